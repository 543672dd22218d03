//! Resumable uploads: the tus protocol, version 1.0.0 (core, creation, creation
//! with upload, deferred length, checksum, termination, expiration), for lines
//! that break. The bytes of an upload are one DICOM file or the multipart body
//! of a store request, and when the last of them is flushed they go the way of
//! every store ([`storing`]); `GET` of the upload then gives the report.
//!
//! Invariant: the offset that a client is told is flushed. A request that is cut
//! off keeps what arrived, unless it came with a checksum, which only the whole
//! can have.

mod checksum;
mod metadata;
mod receiving;
mod storing;

use std::time::SystemTime;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
    middleware::DefaultHeaders,
    web::{Data, Payload},
};
use serde::Serialize;
use utoipa::ToSchema;

use self::checksum::Checksum;
use super::{
    Problem, State, params,
    state::{SERVICE_ROOT, identity},
    stow,
};
use crate::{
    archive::{UploadNote, UploadWriter},
    auth::{Identity, Method},
};

pub use storing::tend;

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,checksum,termination,expiration";
const OFFSET_STREAM: &str = "application/offset+octet-stream";
/// After so many seconds it makes sense to ask for the report again.
const RETRY_AFTER_SECONDS: u32 = 2;

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

/// What every answer says, problems too.
pub fn headers() -> DefaultHeaders {
    DefaultHeaders::new().add((TUS_RESUMABLE, VERSION)).add(("Tus-Version", VERSION))
}

/// An upload whose bytes are not all here, or not stored yet.
#[derive(Serialize, ToSchema)]
pub struct UploadProgress {
    /// `receiving` or `storing`
    state: &'static str,
    /// Bytes that are flushed
    offset: u64,
    /// Bytes in all, once they are known
    length: Option<u64>,
}

#[utoipa::path(
    options, path = "/uploads", tag = "Resumable upload", operation_id = "uploadOptions",
    summary = "What of tus is supported",
    responses((status = 204, description = "Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm"))
)]
pub async fn options(state: Data<State>) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header(("Tus-Extension", EXTENSIONS))
        .insert_header(("Tus-Max-Size", length_max(&state).to_string()))
        .insert_header(("Tus-Checksum-Algorithm", checksum::ALGORITHMS))
        .insert_header((header::ALLOW, "POST, OPTIONS"))
        .finish()
}

#[utoipa::path(
    post, path = "/uploads", tag = "Resumable upload", operation_id = "beginUpload",
    summary = "Begin a resumable upload",
    params(super::openapi::UploadHeaders),
    request_body(
        content((Vec<u8> = "application/offset+octet-stream")),
        description = "Nothing, or the first bytes. `filetype` in Upload-Metadata says what the whole is: \
                       application/dicom (also when it is missing), or the Content-Type of a store request."
    ),
    responses(super::openapi::UploadBeginResponses)
)]
pub async fn begin(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    check_version(&request)?;
    let length = match (number(&request, &UPLOAD_LENGTH)?, text(&request, &UPLOAD_DEFER_LENGTH)) {
        (Some(length), None) => Some(length),
        (None, Some("1")) => None,
        _ => {
            return Err(Problem::invalid_parameter(
                "Upload-Length",
                "say how many bytes the upload will have, or Upload-Defer-Length: 1",
            ));
        }
    };
    if length.is_some_and(|length| length > length_max(&state)) {
        return Err(too_long(length_max(&state)));
    }
    let metadata = text(&request, &UPLOAD_METADATA).unwrap_or_default().to_owned();
    let content_type = metadata::content_type(&metadata)?;
    stow::framing(Some(&content_type))?;
    let has_bytes = text(&request, &header::CONTENT_TYPE).is_some_and(|media| media == OFFSET_STREAM);
    let checksum = checksum_of(&request)?;
    let base_url = state.base_url(&request)?;
    let permit = state.permit(&request);
    let owner = owner(&request);
    state.archive.has_room_for(&permit, length.unwrap_or_default())?;
    let note =
        UploadNote { length, offset: 0, metadata, content_type, base_url, owner, touched: 0, result: None };
    let (name, mut note) = state.archive.begin_upload(&permit, note).await?;
    if has_bytes || note.is_to_be_stored() {
        let writer = state.archive.take_upload(&permit, &name).await?;
        note = receiving::receive(&state, writer, payload, checksum).await?;
    }
    let (_, expires) = state.archive.upload(&permit, &name).await?;
    let root = note.base_url.strip_suffix(SERVICE_ROOT).unwrap_or(&note.base_url);
    let mut response = HttpResponse::Created();
    put_expires(&mut response, expires);
    response.insert_header((header::LOCATION, format!("{root}/uploads/{name}")));
    if has_bytes {
        response.insert_header((UPLOAD_OFFSET, note.offset));
    }
    Ok(response.finish())
}

#[utoipa::path(
    head,
    path = "/uploads/{upload}",
    tag = "Resumable upload",
    operation_id = "uploadOffset",
    summary = "How much of an upload is there",
    params(super::openapi::UploadPath),
    responses(super::openapi::UploadOffsetResponses)
)]
pub async fn offset(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    check_version(&request)?;
    let (note, expires) = state.archive.upload(&state.permit(&request), name(&request)).await?;
    check_owner(&note, &request)?;
    let mut response = HttpResponse::Ok();
    put_expires(&mut response, expires);
    response.insert_header((header::CACHE_CONTROL, "no-store")).insert_header((UPLOAD_OFFSET, note.offset));
    match note.length {
        Some(length) => response.insert_header((UPLOAD_LENGTH, length)),
        None => response.insert_header((UPLOAD_DEFER_LENGTH, "1")),
    };
    if !note.metadata.is_empty() {
        response.insert_header((UPLOAD_METADATA, note.metadata));
    }
    Ok(response.finish())
}

#[utoipa::path(
    patch, path = "/uploads/{upload}", tag = "Resumable upload", operation_id = "continueUpload",
    summary = "Send the next bytes of an upload",
    params(super::openapi::UploadPath, super::openapi::PatchHeaders),
    request_body(
        content((Vec<u8> = "application/offset+octet-stream")),
        description = "The bytes from Upload-Offset on."
    ),
    responses(super::openapi::UploadPatchResponses)
)]
pub async fn patch(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    check_version(&request)?;
    if text(&request, &header::CONTENT_TYPE) != Some(OFFSET_STREAM) {
        return Err(Problem::unsupported_media_type(format!("send the bytes as {OFFSET_STREAM}")));
    }
    let offset = number(&request, &UPLOAD_OFFSET)?.ok_or_else(|| {
        Problem::invalid_parameter("Upload-Offset", "say where the bytes begin; HEAD tells how much is there")
    })?;
    let checksum = checksum_of(&request)?;
    let permit = state.permit(&request);
    let mut writer = take_own(&state, &request).await?;
    let note = writer.note();
    if offset != note.offset {
        let detail =
            format!("{} bytes are there, and these begin at {offset}; go on from there", note.offset);
        return Err(Problem::new(StatusCode::CONFLICT, "offset-mismatch", "Another offset", detail));
    }
    if let Some(length) = number(&request, &UPLOAD_LENGTH)? {
        writer = set_length(&state, writer, &note, length).await?;
    }
    let length = writer.note().length.unwrap_or_else(|| length_max(&state));
    let announced = number(&request, &header::CONTENT_LENGTH)?;
    if announced.is_some_and(|bytes| offset.saturating_add(bytes) > length) {
        return Err(too_long(length));
    }
    let note = receiving::receive(&state, writer, payload, checksum).await?;
    let (_, expires) = state.archive.upload(&permit, name(&request)).await?;
    let mut response = HttpResponse::NoContent();
    put_expires(&mut response, expires);
    Ok(response.insert_header((UPLOAD_OFFSET, note.offset)).finish())
}

async fn set_length(
    state: &State,
    writer: UploadWriter,
    note: &UploadNote,
    length: u64,
) -> Result<UploadWriter, Problem> {
    match note.length {
        Some(known) if known == length => Ok(writer),
        None if length >= note.offset && length <= length_max(state) => {
            Ok(state.archive.on_upload(writer, move |writer| writer.set_length(length)).await?.0)
        }
        _ => Err(Problem::invalid_parameter(
            "Upload-Length",
            "the length is known and another one, less than what is there, or more than one upload may have",
        )),
    }
}

#[utoipa::path(
    delete,
    path = "/uploads/{upload}",
    tag = "Resumable upload",
    operation_id = "endUpload",
    summary = "Give an upload up",
    params(super::openapi::UploadPath),
    responses(super::openapi::UploadEndResponses)
)]
pub async fn end(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    check_version(&request)?;
    let writer = take_own(&state, &request).await?;
    state.archive.remove_upload(writer).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A POST that stands for another method, where a firewall lets no other pass.
#[utoipa::path(
    post, path = "/uploads/{upload}", tag = "Resumable upload", operation_id = "overrideUploadMethod",
    summary = "Send bytes or give an upload up, where only POST passes (X-HTTP-Method-Override)",
    params(super::openapi::UploadPath, super::openapi::PatchHeaders),
    request_body(content((Vec<u8> = "application/offset+octet-stream")), description = "As for the method named."),
    responses(super::openapi::UploadOverrideResponses)
)]
pub async fn instead(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    match text(&request, &HeaderName::from_static("x-http-method-override")) {
        Some("PATCH") => patch(state, request, payload).await,
        Some("DELETE") => end(state, request).await,
        _ => Err(Problem::method_not_allowed("GET, HEAD, PATCH, DELETE, OPTIONS")),
    }
}

#[utoipa::path(
    get,
    path = "/uploads/{upload}",
    tag = "Resumable upload",
    operation_id = "uploadResult",
    summary = "What became of an upload",
    params(super::openapi::UploadPath),
    responses(super::openapi::UploadResultResponses)
)]
pub async fn result(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (note, expires) = state.archive.upload(&state.permit(&request), name(&request)).await?;
    check_owner(&note, &request)?;
    let is_whole = note.is_to_be_stored();
    let Some(result) = note.result else {
        let state = if is_whole { "storing" } else { "receiving" };
        return Ok(HttpResponse::Accepted()
            .insert_header((header::RETRY_AFTER, RETRY_AFTER_SECONDS))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(UploadProgress { state, offset: note.offset, length: note.length }));
    };
    let status = StatusCode::from_u16(result.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    put_expires(&mut response, expires);
    Ok(response.content_type(result.content_type).body(result.body))
}

fn name(request: &HttpRequest) -> &str {
    params::part(request, "upload")
}

/// Whose an upload is, written so that it can be stored when its owner is gone.
fn owner(request: &HttpRequest) -> String {
    serde_json::to_string(&*identity(request)).unwrap_or_default()
}

/// Takes the caller's own upload to write to it. Whose it is comes first: that
/// another is in the hands of its owner is told to nobody else.
async fn take_own(state: &State, request: &HttpRequest) -> Result<UploadWriter, Problem> {
    let permit = state.permit(request);
    let (note, _) = state.archive.upload(&permit, name(request)).await?;
    check_owner(&note, request)?;
    Ok(state.archive.take_upload(&permit, name(request)).await?)
}

/// Somebody else's upload is not there.
fn check_owner(note: &UploadNote, request: &HttpRequest) -> Result<(), Problem> {
    let is_own = match serde_json::from_str::<Identity>(&note.owner) {
        Ok(owner) => owner.subject == identity(request).subject,
        Err(_) => identity(request).method == Method::Off,
    };
    if is_own { Ok(()) } else { Err(crate::archive::ArchiveError::NotFound("upload").into()) }
}

fn length_max(state: &State) -> u64 {
    state.config.limits.request_bytes_max.min(state.config.uploads.bytes_max)
}

fn too_long(length: u64) -> Problem {
    Problem::too_large(format!("the upload may have {length} bytes and would have more"))
}

fn check_version(request: &HttpRequest) -> Result<(), Problem> {
    if text(request, &TUS_RESUMABLE) == Some(VERSION) {
        return Ok(());
    }
    let detail = format!("this resource speaks tus {VERSION}; send Tus-Resumable: {VERSION}");
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "tus-version", "Another version of tus", detail))
}

fn checksum_of(request: &HttpRequest) -> Result<Option<Checksum>, Problem> {
    text(request, &UPLOAD_CHECKSUM).map(Checksum::read).transpose()
}

fn text<'r>(request: &'r HttpRequest, name: &HeaderName) -> Option<&'r str> {
    request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn number(request: &HttpRequest, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let wrong = || Problem::invalid_parameter(name.as_str(), "it is a whole number from 0 on");
    text(request, name).map(|text| text.parse().map_err(|_| wrong())).transpose()
}

fn put_expires(response: &mut HttpResponseBuilder, expires: SystemTime) {
    response.insert_header((UPLOAD_EXPIRES, header::HttpDate::from(expires).to_string()));
}
