//! The URI service (WADO-URI): PS3.18 chapter 9. One instance by its UIDs in a
//! query, as a DICOM file, or rendered; videos and documents come as what they
//! are.
//!
//! Parameter names are case-sensitive; what the chapter does not know is passed
//! over (section 8.3), what it knows and cannot be understood is 400.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::Data,
};

use super::{
    Problem, State, access,
    body::{self, FirstBytes, Part, Representation},
    negotiate::{Accept, Asked, Choices, NegotiateError, Rendered, UriMedia},
    openapi, params, rendered,
    wado::{
        answer::{Asked as Request, identity_of},
        represent_files,
    },
};
use crate::{
    archive::{Deidentification, Scope},
    auth::Action,
    dicom::{
        InstancePath, InstanceUid, SeriesUid, StudyUid, transfer_syntax::EXPLICIT_LITTLE, uid, uid::UidError,
    },
};

const DICOM: &str = "application/dicom";

/// Parameters that only a rendered image has (section 9.5.1).
const OF_IMAGES: [&str; 9] = [
    "frameNumber",
    "rows",
    "columns",
    "region",
    "imageQuality",
    "imageAnnotation",
    "annotation",
    "presentationSeriesUID",
    "presentationUID",
];

/// How a rendered image is wanted (PS3.18 section 9.5.1).
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, and read from the query by name")]
struct ImageParams {
    /// Which frame of several, counted from 1
    #[param(rename = "frameNumber", minimum = 1)]
    frame_number: Option<u32>,
    /// Height that the picture fits into
    #[param(minimum = 1)]
    rows: Option<u32>,
    /// Width that the picture fits into
    #[param(minimum = 1)]
    columns: Option<u32>,
    /// Left, top, right and bottom of the region, as parts of the image
    #[param(example = "0.25,0.25,0.75,0.75")]
    region: Option<String>,
    /// Center of the window of a gray image; with `windowWidth`, and not with a presentation state
    #[param(rename = "windowCenter")]
    window_center: Option<f64>,
    /// Width of that window
    #[param(rename = "windowWidth")]
    window_width: Option<f64>,
    /// Of a JPEG: 1, the smallest file, to 100, the best picture
    #[param(rename = "imageQuality", minimum = 1, maximum = 100)]
    image_quality: Option<u8>,
    /// Text to write into the picture: patient, technique
    #[param(example = "patient,technique")]
    annotation: Option<String>,
    /// The series of a presentation state in the same study; with `presentationUID`
    #[param(rename = "presentationSeriesUID")]
    presentation_series: Option<String>,
    /// The presentation state to show the image with, which must refer to it
    #[param(rename = "presentationUID")]
    presentation: Option<String>,
}

#[utoipa::path(
    get,
    path = "/dicomweb/wado",
    tag = "Retrieve",
    operation_id = "retrieveByUri",
    summary = "Retrieve an instance by the URI service (WADO-URI)",
    params(openapi::UriParams, ImageParams),
    responses(openapi::UriResponses)
)]
pub async fn service(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    answer(&state, &request).await
}

#[utoipa::path(
    get,
    path = "/wado",
    tag = "Retrieve",
    operation_id = "retrieveByUriAtRoot",
    summary = "Retrieve an instance by the URI service, where older clients look for it",
    params(openapi::UriParams, ImageParams),
    responses(openapi::UriResponses)
)]
pub async fn at_root(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    answer(&state, &request).await
}

async fn answer(state: &Data<State>, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let pairs = params::query(request);
    let wanted = Wanted::read(&pairs)?;
    let headers = body::values(request, &header::ACCEPT);
    let kinds = wanted.content_types.iter().map(String::as_str);
    let accept = Accept::read(headers, kinds, state.config.strict.accept).map_err(of_content_type)?;
    let accept = accept.without_parts();
    // Of what is rendered, the instance says what it can be.
    match accept.uri_service(&Rendered::ALL) {
        Ok(UriMedia::Dicom) => file(state, request, wanted).await,
        // A picture could write the patient's name into itself.
        _ if wanted.anonymize => Err(Problem::not_acceptable(
            "anonymize is of application/dicom: name it as contentType, or leave anonymize out",
        )),
        // A document may have a type that nothing is rendered as.
        Ok(UriMedia::Rendered(_)) | Err(NegotiateError::NotAcceptable) => {
            rendered::by_uri(state, request, accept, wanted.path, &pairs).await
        }
        Err(other) => Err(of_content_type(other)),
    }
}

fn of_content_type(error: NegotiateError) -> Problem {
    match error {
        NegotiateError::NotAcceptable => error.into(),
        NegotiateError::Parameter | NegotiateError::ParameterOfType | NegotiateError::Mixed => {
            let detail = "contentType is application/dicom, or a list of rendered media types without wildcards; it \
                          takes neither a transfer-syntax nor a charset";
            Problem::invalid_parameter("contentType", detail)
        }
    }
}

/// What the query says.
struct Wanted {
    path: InstancePath,
    content_types: Vec<String>,
    transfer_syntax: Asked,
    /// Parameters that make no sense for a DICOM file.
    of_images: Option<&'static str>,
    has_window: bool,
    /// The instance is to be de-identified.
    anonymize: bool,
}

impl Wanted {
    fn read(pairs: &[(String, String)]) -> Result<Self, Problem> {
        if single(pairs, "requestType")? != Some("WADO") {
            let detail =
                "the URI service takes requestType=WADO, and with it studyUID, seriesUID and objectUID";
            return Err(Problem::invalid_parameter("requestType", detail));
        }
        let path = InstancePath {
            study: of_path(pairs, "studyUID", StudyUid::parse)?,
            series: of_path(pairs, "seriesUID", SeriesUid::parse)?,
            instance: of_path(pairs, "objectUID", InstanceUid::parse)?,
        };
        match single(pairs, "anonymize")? {
            None | Some("yes") => {}
            Some(_) => {
                return Err(Problem::invalid_parameter("anonymize", "anonymize=yes is its only value"));
            }
        }
        let window = [single(pairs, "windowCenter")?, single(pairs, "windowWidth")?];
        if window.iter().flatten().count() == 1 {
            let detail = "windowCenter and windowWidth come together";
            return Err(Problem::invalid_parameter("windowCenter", detail));
        }
        let content_types = pairs.iter().filter(|(name, _)| name == "contentType");
        Ok(Self {
            path,
            content_types: content_types.map(|(_, value)| value.clone()).collect(),
            transfer_syntax: transfer_syntax(pairs)?,
            of_images: OF_IMAGES.into_iter().find(|known| pairs.iter().any(|(name, _)| name == known)),
            has_window: window[0].is_some(),
            anonymize: single(pairs, "anonymize")?.is_some(),
        })
    }
}

/// The value of a parameter that must not come twice.
fn single<'p>(pairs: &'p [(String, String)], name: &str) -> Result<Option<&'p str>, Problem> {
    let mut values = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let first = values.next();
    if values.any(|other| Some(other) != first) {
        return Err(Problem::invalid_parameter(name, format!("{name} has two values; give one")));
    }
    Ok(first)
}

fn of_path<T>(
    pairs: &[(String, String)],
    name: &str,
    parse: impl Fn(&str) -> Result<T, UidError>,
) -> Result<T, Problem> {
    let text = single(pairs, name)?.ok_or_else(|| {
        Problem::invalid_parameter(
            name,
            format!("{name} is missing; studyUID, seriesUID and objectUID are needed"),
        )
    })?;
    parse(text).map_err(|error| Problem::invalid_uid(name, error))
}

/// Section 9.4.1.2.2; `*`, which viewers send, is the stored one.
fn transfer_syntax(pairs: &[(String, String)]) -> Result<Asked, Problem> {
    match single(pairs, "transferSyntax")? {
        None => Ok(Asked::Default),
        Some("*") => Ok(Asked::Any),
        Some(text) if uid::check(text).is_ok() => Ok(Asked::Uid(text.to_owned())),
        Some(_) => {
            let detail = "transferSyntax is one Transfer Syntax UID, or * for the stored one";
            Err(Problem::invalid_parameter("transferSyntax", detail))
        }
    }
}

/// The instance as a DICOM file (section 9.4).
async fn file(state: &Data<State>, request: &HttpRequest, wanted: Wanted) -> Result<HttpResponse, Problem> {
    if wanted.has_window {
        let detail = "a window is of a rendered image, not of application/dicom";
        return Err(Problem::invalid_parameter("windowCenter", detail));
    }
    if let Some(name) = wanted.of_images {
        return Err(Problem::not_acceptable(format!(
            "{name} is of a rendered image, which application/dicom is not: leave one of the two out"
        )));
    }
    access::also(state, request, Action::Download)?;
    if wanted.anonymize {
        return deidentified(state, request, wanted).await;
    }
    let scope = Scope::Instance(wanted.path);
    let asked = Request::new(state, request, Choices::files(wanted.transfer_syntax))?;
    let answer = asked.answer(state, request, move |view, asked| {
        // The media types of this service take no parameters (section 9.1.2.2.1).
        Ok(represent_files(view, asked, &scope)?.of_type(DICOM))
    });
    answer.await.map_err(|problem| match problem.code() {
        "not-acceptable" => Problem::not_acceptable(
            "it cannot be given in the transfer syntax that was asked for, or none is named and it cannot be \
             decoded: ask for transferSyntax=*",
        ),
        _ => problem,
    })
}

/// The instance de-identified by the Basic Profile (section 9.4.1.2.1), under the
/// UIDs that a stored copy without options has. Pixels are not cleaned: what may
/// have names in them is refused.
async fn deidentified(
    state: &Data<State>,
    request: &HttpRequest,
    wanted: Wanted,
) -> Result<HttpResponse, Problem> {
    let base_url = state.base_url(request)?;
    let first_bytes = FirstBytes::of(request);
    let permit = state.permit(request);
    let answer = state.archive.retrieve(&permit, move |view| {
        let row = view.instance(&wanted.path)?;
        let (pieces, syntax) = view.deidentified(&row, Deidentification::default())?.map_err(|why| {
            let detail = format!("the instance cannot be de-identified: {why}");
            Problem::new(StatusCode::CONFLICT, "not-deidentifiable", "It cannot be de-identified", detail)
        })?;
        let fits = match &wanted.transfer_syntax {
            Asked::Any => true,
            Asked::Default => syntax == EXPLICIT_LITTLE,
            Asked::Uid(uid) => *uid == syntax,
        };
        if !fits {
            return Err(Problem::not_acceptable(format!(
                "a de-identified instance keeps its pixels as they are stored: ask for transferSyntax=* or {syntax}"
            )));
        }
        let mut identity = identity_of(&row);
        identity.update(b"de-identified");
        let part = Part { content_type: DICOM.to_owned(), location: None, pieces };
        Ok(Representation::single(part, &identity).loaded(view, first_bytes)?)
    });
    answer.await?.send(state, request, &base_url).await
}
