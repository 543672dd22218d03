//! The OpenAPI document: made from the handlers' own annotations, served at
//! `/openapi.json`, committed as `openapi/openapi.json`. Here stand the parts
//! that many of them share: parameters, and in `responses.rs` what they answer.

mod responses;

use std::collections::BTreeMap;

use actix_web::{HttpResponse, http::header};
use serde::Serialize;
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};

pub use responses::*;

use super::{
    audit,
    auth::{self, document::Security},
    capabilities, commitment, conformance, deidentified, delete, health, qido, rendered, shares, stow,
    uploads, uri, versions, wado, zip,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hilum",
        description = "An imaging archive that speaks only DICOMweb (DICOM PS3.18).",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers(
        (url = "/", description = "The root archive, and what is of the server as a whole"),
        (
            url = "/{tenant}",
            description = "The archive of a tenant: all paths that begin with /dicomweb, /wado, /uploads, /audit, \
                           /shares and /shared are there too. A tenant that the caller may not enter is answered \
                           as one that is not there (404)",
            variables(("tenant" = (default = "tenant", description = "A name of the configuration")))
        )
    ),
    tags(
        (name = "Store", description = "STOW-RS, PS3.18 section 10.5"),
        (name = "Search", description = "QIDO-RS, PS3.18 section 10.6"),
        (name = "Retrieve", description = "WADO-RS, PS3.18 section 10.4"),
        (name = "Rendered", description = "Pictures and thumbnails, PS3.18 sections 10.4.1.1.3 and 10.4.1.1.4"),
        (name = "Delete", description = "Deletion of studies, series and instances"),
        (name = "Storage commitment", description = "PS3.18 section 13"),
        (name = "Resumable upload", description = "tus 1.0.0; a whole upload is stored as by STOW-RS"),
        (name = "Versions", description = "What an instance was before it was replaced, and what was kept beside it"),
        (name = "Audit", description = "Who did what to whose images, and when (PS3.15 section A.5)"),
        (name = "Capabilities", description = "PS3.18 section 8.9"),
        (name = "Authentication", description = "Sessions and personal tokens, while authentication is on"),
        (name = "De-identification", description = "Copies of studies that say nothing of their patients"),
        (name = "Sharing", description = "Links to studies for people without an account, while authentication is on"),
        (name = "Operation", description = "Health, readiness and metrics")
    ),
    paths(
        stow::studies, stow::study,
        qido::studies, qido::series, qido::instances,
        qido::series_of_study, qido::instances_of_study, qido::instances_of_series, qido::patients,
        qido::count_studies, qido::count_series, qido::count_instances, qido::count_series_of_study,
        qido::count_instances_of_study, qido::count_instances_of_series, qido::count_patients,
        wado::study, wado::series, wado::instance,
        wado::study_metadata, wado::series_metadata, wado::instance_metadata,
        wado::frames, wado::bulkdata,
        wado::study_bulkdata, wado::series_bulkdata, wado::instance_bulkdata,
        wado::study_pixel_data, wado::series_pixel_data, wado::instance_pixel_data,
        rendered::study, rendered::series, rendered::instance, rendered::frames, rendered::frame_alias,
        rendered::study_thumbnail, rendered::series_thumbnail, rendered::instance_thumbnail,
        rendered::frames_thumbnail, rendered::thumbnail_alias,
        zip::list::get, zip::list::post,
        uri::service, uri::at_root,
        deidentified::make,
        delete::study, delete::series, delete::instance,
        commitment::request, commitment::result,
        uploads::options, uploads::begin, uploads::offset, uploads::patch, uploads::end, uploads::instead,
        uploads::result,
        versions::list, versions::retrieve,
        audit::search,
        capabilities::describe, conformance::document,
        shares::list, shares::make, shares::revoke,
        shares::shared::show, shares::shared::open, shares::shared::viewer_configuration,
        auth::smart::configuration, auth::login::get, auth::login::post, auth::oidc::callback,
        auth::session::whoami, auth::session::logout, auth::session::change_password,
        auth::tokens::list, auth::tokens::make, auth::tokens::revoke,
        health::healthz, health::readyz, health::metrics,
    ),
    components(schemas(
        ProblemBody, DicomDataSet, DicomAttribute, health::Health, versions::InstanceVersion, qido::Count,
        uploads::UploadProgress, audit::AuditRecords
    )),
    modifiers(&DistinctIds, &Security)
)]
pub struct Document;

/// One handler answers OPTIONS and GET of the service root; an operation's id
/// stands for one method.
struct DistinctIds;

impl Modify for DistinctIds {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            if let Some(options) = &mut item.options
                && let Some(id) = &mut options.operation_id
            {
                id.push_str("ByOptions");
            }
        }
    }
}

/// The document as it is committed and served: indented, with a final line end.
#[must_use]
pub fn text() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// `GET /openapi.json`
pub async fn document() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(text())
}

/// `GET /docs`, and `GET /` for who opens the server in a browser: the pages
/// stand one level down. Not for ever: a browser would remember it.
pub async fn to_docs() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, "/docs/index.html")).finish()
}

/// A data set in the DICOM JSON Model (PS3.18 Annex F): attributes by their
/// tags in eight hex digits.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the shape of a data set, for the document")]
pub struct DicomDataSet(BTreeMap<String, DicomAttribute>);

/// One attribute; of the last three members at most one is there.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the shape of an attribute, for the document")]
pub struct DicomAttribute {
    /// Value Representation, such as `DA`
    vr: String,
    /// Strings, numbers, names by their groups, or data sets, as the VR has it;
    /// `null` for an empty one among several
    #[serde(rename = "Value")]
    value: Option<Vec<serde_json::Value>>,
    /// Base64
    #[serde(rename = "InlineBinary")]
    inline_binary: Option<String>,
    /// Where the value can be fetched
    #[serde(rename = "BulkDataURI")]
    bulk_data_uri: Option<String>,
}

/// What is wrong and how to mend it (RFC 9457).
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "the shape of the problem, for the document")]
pub struct ProblemBody {
    /// A URN that ends with the code.
    r#type: String,
    title: String,
    status: u16,
    /// Stable, for programs.
    code: String,
    /// For people.
    detail: String,
    /// The parameter at fault, if it is one.
    parameter: Option<String>,
    /// Under which the server's log says more.
    request_id: Option<String>,
}

/// A study of the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "described, and read from the path by name")]
pub struct StudyPath {
    /// Study Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322")]
    study: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "described, and read from the path by name")]
pub struct SeriesPath {
    /// Study Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322")]
    study: String,
    /// Series Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322")]
    series: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "described, and read from the path by name")]
pub struct InstancePath {
    /// Study Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322")]
    study: String,
    /// Series Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322")]
    series: String,
    /// SOP Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322")]
    instance: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "described, and read from the path by name")]
pub struct TransactionPath {
    /// Transaction UID, made by the client
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "2.25.329800735698586629295641978511506172918")]
    transaction: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "described, and read from the path by name")]
pub struct UploadPath {
    /// The name of the upload, from its Location
    upload: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "described, and read from the headers by name")]
pub struct UploadHeaders {
    /// 1.0.0
    #[param(rename = "Tus-Resumable")]
    tus_resumable: String,
    /// Bytes in all
    #[param(rename = "Upload-Length")]
    upload_length: Option<u64>,
    /// 1: how many bytes is said later
    #[param(rename = "Upload-Defer-Length")]
    upload_defer_length: Option<u8>,
    /// Pairs of a key and a base64 value; `filetype` is the media type of the whole
    #[param(rename = "Upload-Metadata")]
    upload_metadata: Option<String>,
    /// Of the bytes of this request
    #[param(rename = "Upload-Checksum")]
    upload_checksum: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "described, and read from the headers by name")]
pub struct PatchHeaders {
    /// 1.0.0
    #[param(rename = "Tus-Resumable")]
    tus_resumable: String,
    /// Where the bytes begin
    #[param(rename = "Upload-Offset")]
    upload_offset: u64,
    /// Bytes in all, if that was deferred
    #[param(rename = "Upload-Length")]
    upload_length: Option<u64>,
    /// `sha1` or `sha256` and the base64 value, of the bytes of this request
    #[param(rename = "Upload-Checksum")]
    upload_checksum: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "described, and read from the path by name")]
pub struct VersionPath {
    /// Study Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322")]
    study: String,
    /// Series Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322")]
    series: String,
    /// SOP Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322")]
    instance: String,
    /// The number of the version
    #[param(example = 1_700_000_000_000_000_u64)]
    version: u64,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "described, and read from the path by name")]
pub struct FramesPath {
    /// Study Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322")]
    study: String,
    /// Series Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322")]
    series: String,
    /// SOP Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322")]
    instance: String,
    /// Frame numbers from 1 on, separated by commas
    #[param(pattern = "^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$", example = "1")]
    frames: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "described, and read from the path by name")]
pub struct BulkPath {
    /// Study Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322")]
    study: String,
    /// Series Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322")]
    series: String,
    /// SOP Instance UID
    #[param(pattern = "^[0-9][0-9.]{0,63}$", example = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322")]
    instance: String,
    /// The end of a BulkDataURI of the metadata, such as `7FE00010`
    #[param(example = "7FE00010")]
    bulkdata: String,
}

/// The media type by a parameter, for links (PS3.18 section 8.3.3.1).
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, and read from the query by name")]
pub struct AcceptParam {
    /// Media types that the header allows, without wildcards; they go before those of the header
    #[param(example = "multipart/related;type=application/octet-stream")]
    accept: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, and read from the query by name")]
pub struct FileParams {
    /// Media types that the header allows, without wildcards; they go before those of the header
    #[param(example = "application/zip")]
    accept: Option<String>,
    /// With `application/zip`: as a medium with a DICOMDIR
    dicomdir: Option<bool>,
}

/// The query of the URI service, PS3.18 section 9.1.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, and read from the query by name")]
pub struct UriParams {
    /// `WADO`
    #[param(rename = "requestType", example = "WADO")]
    request_type: String,
    /// Study Instance UID
    #[param(rename = "studyUID", example = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322")]
    study: String,
    /// Series Instance UID
    #[param(rename = "seriesUID", example = "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322")]
    series: String,
    /// SOP Instance UID
    #[param(rename = "objectUID", example = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322")]
    object: String,
    /// `application/dicom`, a rendered type such as `image/png`, or the type of a video or a document
    #[param(rename = "contentType", example = "application/dicom")]
    content_type: Option<String>,
    /// A Transfer Syntax UID, or `*` for the stored one; Explicit VR Little Endian without it
    #[param(rename = "transferSyntax", example = "*")]
    transfer_syntax: Option<String>,
    /// `yes`, with application/dicom: the instance de-identified
    anonymize: Option<String>,
}

/// What a zip file is to hold: what the UIDs name together, as in a search, and
/// each `resource`.
#[derive(IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, and read from the query by name")]
pub struct ZipParams {
    /// Studies, separated by commas
    #[serde(rename = "StudyInstanceUID")]
    #[param(rename = "StudyInstanceUID")]
    study: Option<String>,
    /// Series of these studies
    #[serde(rename = "SeriesInstanceUID")]
    #[param(rename = "SeriesInstanceUID")]
    series: Option<String>,
    /// Instances, of these studies and series or wherever they are
    #[serde(rename = "SOPInstanceUID")]
    #[param(rename = "SOPInstanceUID")]
    instance: Option<String>,
    /// Studies, series and instances by their paths or their Retrieve URLs; may be repeated
    #[param(example = "studies/1.2.3/series/1.2.3.4")]
    resource: Option<String>,
    /// As a medium with a DICOMDIR
    dicomdir: Option<bool>,
    /// `application/zip`, with a transfer-syntax if need be
    accept: Option<String>,
}

/// Beside these, any attribute is a match key: its keyword or its tag in eight
/// hex digits, such as `PatientName=DOE*` or `00080020=20240101-20241231`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, and read from the query by name")]
pub struct SearchParams {
    /// Patient's Name: wildcards, in any case and without accents
    #[param(rename = "PatientName")]
    patient_name: Option<String>,
    /// Patient ID
    #[param(rename = "PatientID")]
    patient_id: Option<String>,
    /// Study Date, `20240131`, or a range, `20240101-20241231`, open at one end if one date is left out
    #[param(rename = "StudyDate")]
    study_date: Option<String>,
    /// Accession Number
    #[param(rename = "AccessionNumber")]
    accession_number: Option<String>,
    /// A modality that the study has
    #[param(rename = "ModalitiesInStudy")]
    modalities_in_study: Option<String>,
    /// Attributes to return beside the default ones, or `all`
    includefield: Option<String>,
    /// Match names by the beginnings of their parts, by their sound and with a letter or two wrong
    fuzzymatching: Option<bool>,
    /// Full text: words that are all found in a result, its levels above and below, whichever attribute says them
    q: Option<String>,
    /// With `q`: look into private attributes too
    qprivate: Option<bool>,
    /// With `q`: tell with each result where it was found, in private attributes of the creator `HILUM`
    snippet: Option<bool>,
    /// Attributes to order by, `-` before one for descending; with `q` the default is the rank
    orderby: Option<String>,
    /// Results at most
    limit: Option<u32>,
    /// Results to leave out at the start
    offset: Option<u32>,
}

/// How a picture is wanted (PS3.18 section 8.3.5.1).
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, and read from the query by name")]
pub struct RenderedQuery {
    /// A media type, as in the Accept header
    #[param(example = "image/png")]
    accept: Option<String>,
    /// Center, width and function (linear, linear-exact or sigmoid) of the window of a gray image; not
    /// with a presentation state as the target
    #[param(example = "40,400,linear")]
    window: Option<String>,
    /// Width and height that the picture fits into; then left, top, width and height of the region of
    /// the image, each of which may be left out; a negative size mirrors
    #[param(example = "512,512")]
    viewport: Option<String>,
    /// Of a JPEG: 1, the smallest file, to 100, the best picture
    #[param(minimum = 1, maximum = 100)]
    quality: Option<u8>,
    /// Text to write into the picture: patient, technique
    #[param(example = "patient,technique")]
    annotation: Option<String>,
    /// Colour profile to embed: no, yes, srgb, adobergb or rommrgb
    iccprofile: Option<String>,
}

/// How a thumbnail is wanted (PS3.18 section 8.3.5.2).
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, and read from the query by name")]
pub struct ThumbnailQuery {
    /// A media type, as in the Accept header
    #[param(example = "image/jpeg")]
    accept: Option<String>,
    /// Width and height that the thumbnail fits into
    #[param(example = "128,128")]
    viewport: Option<String>,
}
