//! The only mapping of errors to HTTP: `application/problem+json` (RFC 9457)
//! with a stable `code`, the parameter at fault where there is one, what is
//! wrong and how to mend it. An internal error shows only its request id; what
//! happened stands in the log under the same id.

use std::fmt;

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{StatusCode, header},
};
use serde::Serialize;

use super::{multipart::MultipartError, negotiate::NegotiateError};
use crate::{
    archive::ArchiveError,
    audit::JournalError,
    auth::Denied,
    dicom::{encode::EncodeError, query::QueryError, uid::UidError},
    render::RenderError,
    storage::audit::AuditError,
};

/// Seconds after which a busy server may be asked again.
const RETRY_AFTER_SECONDS: u32 = 2;
/// The same where a bucket does not answer, which is left alone for a while then.
const AWAY_SECONDS: u32 = 10;

/// An answer that is not what was asked for. Boxed, for every answer that is
/// what was asked for would be as large.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    /// What is wrong, and how to mend it. Never a patient's value.
    detail: String,
    parameter: Option<String>,
    allow: Option<&'static str>,
    /// How to authenticate (RFC 9110 section 11.6.1).
    challenge: Option<String>,
    retry_after_seconds: Option<u32>,
    /// For the log only.
    cause: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let detail = detail.into();
        let retry_after_seconds = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECONDS);
        Self(Box::new(Inner {
            status,
            code,
            title,
            detail,
            parameter: None,
            allow: None,
            challenge: None,
            retry_after_seconds,
            cause: None,
        }))
    }

    /// Says how to authenticate.
    pub(super) fn challenge(mut self, challenge: String) -> Self {
        self.0.challenge = Some(challenge);
        self
    }

    /// Says when to try again.
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    fn parameter(mut self, name: impl Into<String>) -> Self {
        self.0.parameter = Some(name.into());
        self
    }

    /// A parameter of the query or the path that cannot be understood.
    pub fn invalid_parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-parameter", "A parameter is invalid", detail)
            .parameter(name)
    }

    /// A UID in the path that is none.
    pub fn invalid_uid(name: &str, error: UidError) -> Self {
        let detail = format!("{error}; a UID has 1 to 64 digits and dots");
        Self::new(StatusCode::BAD_REQUEST, "invalid-uid", "A UID is malformed", detail).parameter(name)
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", format!("there is no such {what}"))
    }

    /// No route has this path.
    pub fn no_such_route() -> Self {
        let detail = "no resource has this path; GET /openapi.json lists them all";
        Self::new(StatusCode::NOT_FOUND, "no-such-resource", "No such resource", detail)
    }

    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this resource allows {allow}");
        let mut problem =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail);
        problem.0.allow = Some(allow);
        problem
    }

    /// Nobody said who they are, and that is asked here.
    pub fn not_authenticated() -> Self {
        let detail =
            "say who you are: a token in the Authorization header (Bearer …), or a session from /auth/login";
        Self::new(StatusCode::UNAUTHORIZED, "not-authenticated", "Not authenticated", detail)
            .challenge(super::auth::problems::REALM.to_owned())
    }

    /// The caller may do something else, but not this.
    pub fn not_permitted(denied: Denied) -> Self {
        let detail = format!("{denied}; the roles of the configuration say who may do what");
        Self::new(StatusCode::FORBIDDEN, "not-permitted", "Not permitted", detail)
    }

    pub fn delete_disabled() -> Self {
        let detail = "deleting is switched off; set delete_enabled = true in the configuration";
        let mut problem =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "delete-disabled", "Deleting is disabled", detail);
        problem.0.allow = Some("GET, HEAD, OPTIONS");
        problem
    }

    pub fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "No acceptable representation", detail)
    }

    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body has a media type that cannot be stored",
            detail,
        )
    }

    pub fn malformed_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-body", "The body cannot be understood", detail)
    }

    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    pub fn busy() -> Self {
        let detail = format!("too much is under way; try again in {RETRY_AFTER_SECONDS} seconds");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server is busy", detail)
    }

    pub fn not_recorded(error: &JournalError) -> Self {
        let detail = "what was asked for cannot be recorded in the audit log, and audit.required is set; \
                      the log of the server says why";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut problem = Self::new(status, "not-recorded", "The audit log cannot be written", detail);
        problem.0.cause = Some(error.to_string());
        problem
    }

    pub fn audit_unreadable(error: &AuditError) -> Self {
        let detail = "the log of the server says why";
        Self::internal("audit-unreadable", "The audit log cannot be read", detail, error)
    }

    /// A client that asks for more than its share.
    pub fn too_many(why: &str, retry_after_seconds: u32) -> Self {
        let detail = format!("{why}; try again in {retry_after_seconds} s");
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut problem = Self::new(status, "too-many-requests", "Too many requests", detail);
        problem.0.retry_after_seconds = Some(retry_after_seconds);
        problem
    }

    /// It is in a bucket, and that does not answer.
    fn away(cause: String) -> Self {
        let detail = "it is stored in a bucket that does not answer at present; try again in a moment";
        let mut problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "bucket-away", "The bucket does not answer", detail);
        problem.0.retry_after_seconds = Some(AWAY_SECONDS);
        problem.0.cause = Some(cause);
        problem
    }

    pub fn disk_full() -> Self {
        let detail = "the disk of the archive is full; nothing of the failed instances was stored";
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", "There is no room left", detail)
    }

    /// The archive holds as much as it may.
    fn over_quota(why: String) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "over-quota", "The quota is used up", why)
    }

    /// A client is too slow to be waited for.
    pub fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "The body came too slowly", detail)
    }

    fn storage_failed(cause: String) -> Self {
        let detail = "the disk of the archive failed or is read-only; nothing of the failed instances was stored; \
                      the log of the server says more";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut problem =
            Self::new(status, "storage-failed", "The disk refuses what is to be stored", detail);
        problem.0.cause = Some(cause);
        problem
    }

    pub fn bad_host() -> Self {
        let detail = "the Host header is missing or malformed, and answers need it for absolute URLs; \
                      send one, or set public_url in the configuration";
        Self::new(StatusCode::BAD_REQUEST, "bad-host", "The Host header is malformed", detail)
    }

    pub(super) fn internal(
        code: &'static str,
        title: &'static str,
        detail: &str,
        cause: impl fmt::Display,
    ) -> Self {
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, title, detail);
        problem.0.cause = Some(cause.to_string());
        problem
    }

    /// What only the log may know.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    #[must_use]
    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(super) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub fn code(&self) -> &'static str {
        self.0.code
    }

    /// The response, with the id of the request if it is known.
    #[must_use]
    pub fn response(&self, request_id: Option<&str>) -> HttpResponse {
        let body = Body {
            r#type: format!("urn:hilum:problem:{}", self.0.code),
            title: self.0.title,
            status: self.0.status.as_u16(),
            code: self.0.code,
            detail: &self.0.detail,
            parameter: self.0.parameter.as_deref(),
            request_id,
        };
        let mut response = HttpResponseBuilder::new(self.0.status);
        if let Some(seconds) = self.0.retry_after_seconds {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(challenge) = &self.0.challenge {
            response.insert_header((header::WWW_AUTHENTICATE, challenge.as_str()));
        }
        if let Some(allow) = self.0.allow {
            response.insert_header((header::ALLOW, allow));
        }
        response.content_type("application/problem+json").body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        self.response(None)
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::NotFound(what) => Self::not_found(what),
            ArchiveError::Gone(what) => {
                Self::new(StatusCode::GONE, "gone", "Deleted", format!("the {what} has been deleted"))
            }
            ArchiveError::Pixels { frame, why, .. } => Self::not_acceptable(format!(
                "frame {frame}: {why}; add transfer-syntax=* to the media type in Accept for the frames as they are stored"
            )),
            ArchiveError::TooBroad(why) => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "search-too-broad",
                "The search is too broad",
                format!("{why}; add a key such as StudyDate or PatientID"),
            ),
            ArchiveError::NotPermitted(denied) => Self::not_permitted(denied),
            ArchiveError::Expired(what) => {
                Self::new(StatusCode::GONE, "expired", "Expired", format!("the {what} has expired"))
            }
            ArchiveError::Taken(what) => {
                let detail = format!("this {what} was used before; each request needs one of its own");
                Self::new(StatusCode::CONFLICT, "in-use", "Already in use", detail)
            }
            ArchiveError::Locked(what) => {
                let detail = format!("the {what} is in other hands; try again in a moment");
                Self::new(StatusCode::LOCKED, "locked", "In other hands", detail)
            }
            ArchiveError::Busy => Self::busy(),
            ArchiveError::Full => Self::disk_full(),
            ArchiveError::OverQuota(why) => Self::over_quota(why),
            ArchiveError::Away(cause) => Self::away(cause),
            ArchiveError::Refused(why) => Self::storage_failed(why),
            ArchiveError::Catalog(error) if error.is_closed() => Self::storage_failed(with_sources(error)),
            ArchiveError::Stopping => {
                let detail = "the server is about to stop; try again when it is back";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The server is stopping", detail)
            }
            ArchiveError::Damaged(why) => Self::internal(
                "damaged",
                "Stored bytes are damaged",
                "the stored bytes of this instance are not what was stored and are not served; \
                 `hilum verify` tells the extent",
                why,
            ),
            ArchiveError::Render(RenderError::Parameter { name, detail }) => {
                Self::invalid_parameter(name, detail)
            }
            ArchiveError::Render(error @ (RenderError::Unsupported(_) | RenderError::Inconsistent(_))) => {
                Self::not_acceptable(format!("it cannot be rendered: {error}"))
            }
            error @ (ArchiveError::Render(RenderError::Encode(_))
            | ArchiveError::Unreadable(_)
            | ArchiveError::Packs(_)
            | ArchiveError::Catalog(_)
            | ArchiveError::Index(_)
            | ArchiveError::Uploads(_)
            | ArchiveError::Commitments(_)
            | ArchiveError::Io(_)
            | ArchiveError::Backups(_)
            | ArchiveError::NoArchive(_)
            | ArchiveError::Unfinished
            | ArchiveError::Again(_)) => Self::internal(
                "internal",
                "Internal error",
                "the server failed; its log says more under this request id",
                with_sources(error),
            ),
        }
    }
}

impl From<EncodeError> for Problem {
    fn from(error: EncodeError) -> Self {
        Self::internal(
            "internal",
            "Internal error",
            "the server failed; its log says more under this request id",
            error,
        )
    }
}

impl From<NegotiateError> for Problem {
    fn from(error: NegotiateError) -> Self {
        match error {
            NegotiateError::Parameter | NegotiateError::ParameterOfType => {
                Self::invalid_parameter("accept", error.to_string())
            }
            NegotiateError::Mixed => Self::invalid_parameter("Accept", error.to_string()),
            NegotiateError::NotAcceptable => Self::not_acceptable(
                "nothing that Accept names can be given here; GET /openapi.json lists the media types of each resource",
            ),
        }
    }
}

impl From<MultipartError> for Problem {
    fn from(error: MultipartError) -> Self {
        Self::malformed_body(error.to_string())
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        Self::invalid_parameter(&error.parameter, error.to_string())
    }
}

/// An error with all its sources. Not by `anyhow`, which takes a backtrace where
/// `RUST_BACKTRACE` is set: one stands behind every answer that is tried first
/// without waiting and cannot be given so.
fn with_sources(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
