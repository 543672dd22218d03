//! What happens around every request: an id, a line in the log, the metrics,
//! the problem's body with the id in it, and the headers that let pages of
//! other origins use the answers.

use std::time::Instant;

use actix_cors::Cors;
use actix_web::{
    Error, HttpMessage,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, Uri,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};

use super::{Problem, State, audit::RequestId, routes::resource_of};
use crate::{auth::Tenant, config::Config};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where the pages stand that try the API out.
const DOCS: &str = "/docs/";

/// Wraps every request.
///
/// # Errors
/// Those of the services, none of its own.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.call(request).await?.map_into_boxed_body();

    let problem = response.response().error().and_then(|error| error.as_error::<Problem>()).cloned();
    if let Some(problem) = &problem {
        let headers = response.headers().clone();
        let mut answer = problem.response(Some(&id));
        // What inner layers put on, such as CORS, stays on.
        for (name, value) in &headers {
            if !answer.headers().contains_key(name) && name != header::CONTENT_LENGTH {
                answer.headers_mut().append(name.clone(), value.clone());
            }
        }
        response = response.into_response(answer);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    add_security_headers(&mut response);
    let status = response.status().as_u16();
    let request = response.request();
    let method = method_name(request.method());
    let resource = resource_of(request);
    let route = resource.as_deref().unwrap_or("unmatched").to_owned();
    let seconds = started.elapsed().as_secs_f64();
    metrics::histogram!("hilum_http_request_seconds", "method" => method, "route" => route).record(seconds);
    metrics::counter!("hilum_http_requests_total", "status" => status.to_string()).increment(1);
    let path = plain_path(request.path(), resource.as_deref());
    // One that is none may be a name of somebody.
    let state = request.app_data::<Data<State>>();
    let is_unknown = state.is_some_and(|state| state.tenant == Tenant::Unknown);
    let tenant = if is_unknown { Some("…") } else { state.and_then(|state| state.tenant.name()) };
    let line = Line { id: &id, method, tenant, path: &path, status, seconds };
    line.write(problem.as_ref());
    Ok(response)
}

/// Gives a request another path, with the query that it has: nothing that comes
/// after sees the one before.
pub(super) fn put_path(request: &mut ServiceRequest, path: &str) {
    let mut parts = request.uri().clone().into_parts();
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    parts.path_and_query = format!("{path}{query}").parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

/// Methods that no route has share a name, so that strangers cannot make up
/// metrics without end.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The path with what may stand in a log: words of the route, UIDs, numbers and
/// ids. Whatever else a client writes into it may be a name.
fn plain_path(path: &str, pattern: Option<&str>) -> String {
    let pattern = pattern.unwrap_or_default();
    let is_plain = |segment: &str| {
        segment.bytes().all(|byte| byte.is_ascii_hexdigit() || b".,-".contains(&byte))
            || pattern.split('/').any(|word| word == segment)
    };
    let mut plain = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            plain.push('/');
        }
        plain.push_str(if is_plain(segment) { segment } else { "…" });
    }
    plain
}

/// One line a request. The query may hold names and is left out.
struct Line<'a> {
    id: &'a str,
    method: &'a str,
    tenant: Option<&'a str>,
    path: &'a str,
    status: u16,
    seconds: f64,
}

impl Line<'_> {
    fn write(&self, problem: Option<&Problem>) {
        let &Self { id: request_id, method, tenant, path, status, seconds } = self;
        let milliseconds = (seconds * 1e6).round() / 1e3;
        match problem.map(|problem| (problem.code(), problem.cause())) {
            Some((code, Some(cause))) => {
                tracing::error!(
                    request_id,
                    method,
                    tenant,
                    path,
                    status,
                    milliseconds,
                    code,
                    cause,
                    "failed"
                );
            }
            Some((code, None)) => {
                tracing::info!(request_id, method, tenant, path, status, milliseconds, code, "refused");
            }
            None => tracing::info!(request_id, method, tenant, path, status, milliseconds, "served"),
        }
    }
}

/// The caller's id, if it is a plain one, or one of our own.
fn request_id(request: &ServiceRequest) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    given.filter(plain).map_or_else(new_id, str::to_owned)
}

/// 16 hex digits, different for every request of this process and others.
fn new_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    static KEY: std::sync::OnceLock<RandomState> = std::sync::OnceLock::new();
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{:016x}", KEY.get_or_init(RandomState::new).hash_one(number))
}

fn add_security_headers(response: &mut ServiceResponse<BoxBody>) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Viewers with cross-origin isolation load images from us.
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
    // Within such a viewer a browser shows a document, a PDF say, only if the
    // document asks for the same isolation.
    headers.insert(
        HeaderName::from_static("cross-origin-embedder-policy"),
        HeaderValue::from_static("require-corp"),
    );
    if let Some(policy) = content_policy(response)
        && !response.headers().contains_key(header::CONTENT_SECURITY_POLICY)
    {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
}

/// What a page may do in a browser, where who wrote the page has not said it: no
/// answer runs anything, and none is shown within somebody else's page. Pictures,
/// videos and PDF cannot, and viewers show them within theirs.
fn content_policy(response: &ServiceResponse<BoxBody>) -> Option<&'static str> {
    let content_type = response.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    if ["image/", "video/", "application/pdf"].iter().any(|kind| content_type.starts_with(kind)) {
        return None;
    }
    if response.request().path().starts_with(DOCS) {
        // The page that tries the API out: its own scripts, its styles in line.
        return Some(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        );
    }
    Some(
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
}

/// Tells browsers to speak to this server by TLS only (RFC 6797).
pub fn strict_transport(seconds: Option<u64>) -> actix_web::middleware::DefaultHeaders {
    let headers = actix_web::middleware::DefaultHeaders::new();
    match seconds {
        Some(seconds) => headers.add((header::STRICT_TRANSPORT_SECURITY, format!("max-age={seconds}"))),
        None => headers,
    }
}

/// Cross-origin use for the configured origins (IOP-20); none: no header.
pub fn cors(config: &Config) -> Cors {
    let mut cors = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
        .allow_any_header()
        .expose_headers([
            "Warning",
            "Content-Range",
            "Accept-Ranges",
            "Location",
            "Content-Location",
            "ETag",
            "WWW-Authenticate",
            "X-Total-Count",
            "X-Request-Id",
            "Retry-After",
            "Tus-Resumable",
            "Tus-Version",
            "Tus-Extension",
            "Tus-Max-Size",
            "Tus-Checksum-Algorithm",
            "Upload-Offset",
            "Upload-Length",
            "Upload-Defer-Length",
            "Upload-Metadata",
            "Upload-Expires",
        ])
        .max_age(3600)
        .block_on_origin_mismatch(false);
    for origin in &config.cors.origins {
        cors =
            if origin == "*" { cors.allow_any_origin().send_wildcard() } else { cors.allowed_origin(origin) };
    }
    cors
}

#[cfg(test)]
mod tests {
    use super::plain_path;

    #[test]
    fn a_path_in_the_log_has_no_names() {
        let pattern = Some("/dicomweb/studies/{study}/metadata");
        for (path, pattern, expected) in [
            ("/dicomweb/studies/1.2.3/metadata", pattern, "/dicomweb/studies/1.2.3/metadata"),
            ("/dicomweb/studies/DOE%5EJOHN/metadata", pattern, "/dicomweb/studies/…/metadata"),
            ("/DOE", None, "/…"),
            ("/", Some("/"), "/"),
            ("/uploads/00ff12", Some("/uploads/{upload}"), "/uploads/00ff12"),
        ] {
            assert_eq!(plain_path(path, pattern), expected);
        }
    }
}
