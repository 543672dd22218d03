//! Storage commitment: PS3.18 section 13. A request names instances, the answer
//! says of each whether its stored bytes were read back and are right.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Payload},
};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{
    Problem, State,
    body::DICOM_JSON,
    media::MediaType,
    multipart::{self, Event, Layout, PartHead, Reader},
    negotiate::{Accept, DataSetMedia},
    pace::Paced,
    params,
};
use crate::{
    archive::{Commitment, Gathering, MetadataSyntax},
    auth::Permit,
    dicom::{DataSet, commitment, json, uid::TransactionUid, xml},
};

const OFFERS: [DataSetMedia; 3] = [DataSetMedia::Json, DataSetMedia::Xml, DataSetMedia::XmlParts];
/// Bytes that a reference may take in a request, in either form.
const REFERENCE_BYTES_MAX: u64 = 1024;
/// What a request costs in memory: as it came, and as values.
const MEMORY_PER_BYTE: usize = 2;
/// After so many seconds it makes sense to ask again.
const RETRY_AFTER_SECONDS: u32 = 2;

#[utoipa::path(
    post, path = "/dicomweb/commitment-requests/{transaction}", tag = "Storage commitment",
    operation_id = "requestStorageCommitment", summary = "Ask for storage commitment",
    params(super::openapi::TransactionPath),
    request_body(
        content(
            (super::openapi::DicomDataSet = "application/dicom+json"),
            (Vec<u8> = "application/dicom+xml"),
            (Vec<u8> = "multipart/related; type=\"application/dicom+json\""),
            (Vec<u8> = "multipart/related; type=\"application/dicom+xml\"")
        ),
        description = "A Referenced SOP Sequence or a Referenced Study Sequence (PS3.18 section J.1)."
    ),
    responses(super::openapi::CommitmentRequestResponses)
)]
pub async fn request(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let uid = transaction(&request)?;
    let answer_as = Accept::of(&request, state.config.strict.accept)?.data_set(&OFFERS)?;
    let form = Form::of(&request)?;
    // Places are few: who has one is somebody whose body comes.
    let payload = Paced::new(payload, &state).begin(&state).await?;
    let _place = state.uploads.try_acquire().map_err(|_| Problem::busy())?;
    let permit = state.permit(&request);
    let mut memory = state.archive.begin_gathering(&permit);
    let body = receive(payload, &mut memory, &state).await?;
    let asked = form.read(body, &permit, &state).await?;
    drop(memory);
    let commitment = state.archive.request_commitment(&permit, uid, asked).await?;
    answer(&state, &request, commitment, answer_as)
}

#[utoipa::path(
    get,
    path = "/dicomweb/commitment-requests/{transaction}",
    tag = "Storage commitment",
    operation_id = "storageCommitmentResult",
    summary = "Fetch the result of a storage commitment",
    params(super::openapi::TransactionPath),
    responses(super::openapi::CommitmentResponses)
)]
pub async fn result(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let uid = transaction(&request)?;
    let answer_as = Accept::of(&request, state.config.strict.accept)?.data_set(&OFFERS)?;
    let commitment = state.archive.commitment(&state.permit(&request), uid).await?;
    answer(&state, &request, commitment, answer_as)
}

fn transaction(request: &HttpRequest) -> Result<TransactionUid, Problem> {
    TransactionUid::parse(params::part(request, "transaction"))
        .map_err(|error| Problem::invalid_uid("transaction", error))
}

/// The body, whose memory is accounted for.
async fn receive(payload: Paced, memory: &mut Gathering, state: &State) -> Result<Vec<u8>, Problem> {
    let references_max = state.config.commitment.references_max as u64;
    let bytes_max = references_max.saturating_add(16).saturating_mul(REFERENCE_BYTES_MAX);
    let mut body = Vec::new();
    let mut chunks = payload.chunks();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if (body.len() + chunk.len()) as u64 > bytes_max {
            return Err(Problem::too_large(format!(
                "a request may name {references_max} instances (commitment.references_max) and have \
                 {bytes_max} bytes; send several"
            )));
        }
        memory.account(chunk.len() * MEMORY_PER_BYTE)?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What a body is.
struct Form {
    syntax: MetadataSyntax,
    boundary: Option<String>,
}

impl Form {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let wanted =
            "send application/dicom+json or application/dicom+xml, or one of them in multipart/related";
        let refuse = |what: &str| Err(Problem::unsupported_media_type(format!("{what}; {wanted}")));
        let encoding = request.headers().get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return refuse("a Content-Encoding is not supported here");
        }
        let text = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let Some(media) = text.and_then(MediaType::parse) else {
            return refuse("the Content-Type is missing");
        };
        let (kind, boundary) = if media.is("multipart/related") {
            let kind = media.root_type();
            (kind.unwrap_or_default(), Some(multipart::boundary_of(&media)?.to_owned()))
        } else {
            (media.essence.clone(), None)
        };
        match kind.to_ascii_lowercase().as_str() {
            "application/dicom+json" | "application/json" => {
                Ok(Self { syntax: MetadataSyntax::Json, boundary })
            }
            "application/dicom+xml" => Ok(Self { syntax: MetadataSyntax::Xml, boundary }),
            _ => refuse("the body is of another type"),
        }
    }

    async fn read(
        &self,
        body: Vec<u8>,
        permit: &Permit,
        state: &State,
    ) -> Result<commitment::Request, Problem> {
        let malformed = |error: &dyn std::error::Error| Problem::malformed_body(error.to_string());
        let text = match &self.boundary {
            Some(boundary) => first_part(body, boundary)?,
            None => body,
        };
        let mut sets = state
            .archive
            .parse_metadata(permit, self.syntax, text)
            .await?
            .map_err(Problem::malformed_body)?;
        let (Some(set), true) = (sets.pop(), sets.is_empty()) else {
            return Err(Problem::malformed_body("the request is one data set, not several"));
        };
        commitment::read(&set, state.config.commitment.references_max).map_err(|error| match error {
            commitment::RequestError::TooMany { .. } => {
                Problem::too_large(format!("{error} (commitment.references_max)"))
            }
            commitment::RequestError::Nothing
            | commitment::RequestError::Both
            | commitment::RequestError::Uid { .. }
            | commitment::RequestError::Empty { .. } => malformed(&error),
        })
    }
}

fn first_part(body: Vec<u8>, boundary: &str) -> Result<Vec<u8>, Problem> {
    let mut reader = Reader::new(boundary, multipart::Limits::default());
    reader.feed(Bytes::from(body));
    reader.finish();
    let mut part = Vec::new();
    let mut parts = 0;
    while let Some(event) = reader.next()? {
        match event {
            Event::Part(_) => parts += 1,
            Event::Data(bytes) => part.extend_from_slice(&bytes),
            Event::EndPart => {}
            Event::End { .. } => break,
        }
    }
    if parts != 1 {
        return Err(Problem::malformed_body(format!("the request is one part, and the body has {parts}")));
    }
    Ok(part)
}

fn answer(
    state: &State,
    request: &HttpRequest,
    commitment: Commitment,
    media: DataSetMedia,
) -> Result<HttpResponse, Problem> {
    let text = match commitment {
        Commitment::Pending => {
            return Ok(HttpResponse::build(StatusCode::ACCEPTED)
                .insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS))
                .finish());
        }
        Commitment::Done(text) => text,
    };
    let mut response = HttpResponse::Ok();
    response.insert_header((header::VARY, "Accept, Origin"));
    if media == DataSetMedia::Json {
        return Ok(response.content_type(DICOM_JSON).body(text));
    }
    let set: DataSet = json::read(&text, json::Limits::default())
        .map_err(|error| crate::archive::ArchiveError::Damaged(error.to_string()))?;
    let mut text = Vec::new();
    xml::write(&set, &mut text);
    if media == DataSetMedia::Xml {
        return Ok(response.content_type(media.name()).body(text));
    }
    let boundary = multipart::boundary(&state.boundary_key, request.path());
    let mut layout = Layout::new(&boundary);
    let head = PartHead { content_type: media.name(), content_location: None, length: text.len() as u64 };
    let body = [&layout.push(&head)[..], &text, &layout.tail()].concat();
    Ok(response.content_type(multipart::content_type(media.name(), &boundary)).body(body))
}
