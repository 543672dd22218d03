//! Store (STOW-RS): PS3.18 section 10.5. The body streams through; what is in
//! it becomes instances of their own fates, and the answer says what became of
//! each. It is given when every stored instance is durable and visible.
//!
//! `receive` takes the body apart, `parts` the metadata and bulk data of it,
//! `answer` writes the report.

mod answer;
mod parts;
mod receive;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};

pub use self::answer::report;
pub use self::receive::{Framing, Received, Root, receive};

use super::{
    Problem, State,
    media::MediaType,
    multipart,
    negotiate::{Accept, DataSetMedia},
    pace::Paced,
    params,
};
use crate::{
    archive::{MetadataSyntax, StoreOutcome},
    dicom::StudyUid,
};

#[utoipa::path(
    post, path = "/dicomweb/studies", tag = "Store", operation_id = "storeInstances",
    summary = "Store instances",
    request_body(
        content(
            (Vec<u8> = "multipart/related; type=\"application/dicom\""),
            (Vec<u8> = "multipart/related; type=\"application/dicom+json\""),
            (Vec<u8> = "multipart/related; type=\"application/dicom+xml\""),
            (Vec<u8> = "application/dicom"),
            (Vec<u8> = "application/dicom+json"),
            (Vec<u8> = "application/dicom+xml"),
        ),
        description = "One DICOM file a part, in any transfer syntax; or one file as the body. Or metadata (an \
                       array of data sets as JSON in one part; one data set a part as XML) and behind them \
                       the bulk data, each a part whose Content-Location is its BulkDataURI: \
                       application/octet-stream, the media type of compressed pixels (one part a frame), \
                       image/png, image/gif, a video, a document. Nothing is fetched from a URI."
    ),
    responses(super::openapi::StoreResponses)
)]
pub async fn studies(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    store(&state, &request, payload, None).await
}

#[utoipa::path(
    post, path = "/dicomweb/studies/{study}", tag = "Store", operation_id = "storeInstancesOfStudy",
    summary = "Store instances of one study",
    params(super::openapi::StudyPath),
    request_body(
        content(
            (Vec<u8> = "multipart/related; type=\"application/dicom\""),
            (Vec<u8> = "multipart/related; type=\"application/dicom+json\""),
            (Vec<u8> = "multipart/related; type=\"application/dicom+xml\""),
            (Vec<u8> = "application/dicom"),
            (Vec<u8> = "application/dicom+json"),
            (Vec<u8> = "application/dicom+xml"),
        ),
        description = "As for all studies; instances of another study are refused one by one."
    ),
    responses(super::openapi::StoreResponses)
)]
pub async fn study(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let study = params::study(&request)?;
    store(&state, &request, payload, Some(study)).await
}

async fn store(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
    study: Option<StudyUid>,
) -> Result<HttpResponse, Problem> {
    // Before anything is stored: can the answer be given at all (STO-03)?
    let media = Accept::of(request, false)?.data_set(&[DataSetMedia::Json, DataSetMedia::Xml])?;
    let encoding = request.headers().get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Problem::unsupported_media_type(
            "a Content-Encoding is not supported here; send the body plain",
        ));
    }
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let framing = framing(content_type)?;
    let base_url = state.base_url(request)?;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > state.config.limits.request_bytes_max) {
        return Err(receive::request_too_large(state));
    }
    // Places are few: who has one is somebody whose body comes.
    let body = Paced::new(payload, state).begin(state).await?;
    let _place = state.uploads.try_acquire().map_err(|_| Problem::busy())?;
    let Received { stored, refused } =
        receive(state, state.permit(request), study.clone(), &framing, body.chunks()).await?;
    if let Some(error) = refused
        && stored.iter().all(|stored| matches!(stored.outcome, StoreOutcome::Failed { .. }))
    {
        // Nothing at all could be stored, for a reason that is the server's.
        return Err(error.into());
    }
    Ok(answer::response(&stored, &base_url, study.as_ref(), media))
}

/// What a body of this `Content-Type` is made of.
///
/// # Errors
/// 415 if it cannot be stored, 400 if its boundary is missing.
pub fn framing(content_type: Option<&str>) -> Result<Framing, Problem> {
    let wanted = "send multipart/related with a boundary and type=\"application/dicom\", \
                  \"application/dicom+json\" or \"application/dicom+xml\", or one of these by itself";
    let Some(media) = content_type.and_then(MediaType::parse) else {
        return Err(Problem::unsupported_media_type(format!("the Content-Type is missing; {wanted}")));
    };
    if !media.is("multipart/related") {
        let root = root(&media.essence).ok_or_else(|| {
            Problem::unsupported_media_type(format!("{} cannot be stored; {wanted}", media.essence))
        })?;
        return Ok(Framing::Single { root });
    }
    let name = media.root_type();
    let root = root(name.as_deref().unwrap_or("application/dicom")).ok_or_else(|| {
        let other = name.as_deref().unwrap_or_default();
        Problem::unsupported_media_type(format!("parts of type {other} cannot be stored; {wanted}"))
    })?;
    let boundary = multipart::boundary_of(&media)?.to_owned();
    Ok(Framing::Multipart { root, boundary })
}

/// What instances come as.
fn root(essence: &str) -> Option<Root> {
    match essence {
        "application/dicom" => Some(Root::Files),
        "application/dicom+json" | "application/json" => Some(Root::Metadata(MetadataSyntax::Json)),
        "application/dicom+xml" => Some(Root::Metadata(MetadataSyntax::Xml)),
        _ => None,
    }
}
