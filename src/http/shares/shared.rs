//! `/shared/…`: what comes by a link. `/shared/LINK` is the page that opens it,
//! and `/shared/PASS/dicomweb/…` are the services for who has opened one: viewers
//! need no more than that URL. (A pass is a bearer token, too.)
//!
//! Invariant: what is secret of a path is taken out of it before anything else
//! sees the request, so it is in no log, no metric and no record.

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header},
    middleware::Next,
    web::{Data, Payload},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{moment, on, page};
use crate::{
    auth::{
        event::{Event, What},
        shares::LinkError,
    },
    http::{
        Problem, State, auth::problems, middleware::put_path, openapi::ProblemBody, pace::Paced, params, tell,
    },
    storage::shares::Share,
};

/// What stands in a path in place of a secret.
const NOTHING: &str = "-";
const BODY_BYTES_MAX: usize = 8 << 10;

/// The secret of a link, taken out of the path.
#[derive(Clone)]
struct LinkSecret(String);

/// The pass of an opened link, taken out of the path.
#[derive(Clone)]
pub struct Pass(pub String);

/// What opens a link.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkForm {
    /// Of a link that has one
    #[serde(default)]
    password: Option<String>,
}

/// A link that can be opened.
#[derive(Serialize, ToSchema)]
pub struct LinkInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    expires: String,
    has_password: bool,
    download: bool,
    deidentified: bool,
}

/// A link that was opened.
#[derive(Serialize, ToSchema)]
pub struct OpenedLink {
    /// The URL of the services for a viewer, which shows nothing but these studies
    dicomweb: String,
    /// The pass alone, for the Authorization header (Bearer)
    pass: String,
    /// When it ends at the latest
    expires: String,
    studies: Vec<String>,
    download: bool,
    /// A configuration for OHIF's DICOMweb proxy
    configuration: String,
    /// The configured viewer, with these studies
    #[serde(skip_serializing_if = "Option::is_none")]
    viewer: Option<String>,
}

/// Wraps every request, outside of what logs it: takes secrets out of the path.
///
/// # Errors
/// Those of the services, none of its own.
pub async fn take_secret(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let rest = request.path().strip_prefix("/shared/").map(str::to_owned);
    if let Some(rest) = rest {
        let (secret, below) = rest.split_once('/').unwrap_or((&rest, ""));
        let path = match below {
            "" => {
                request.extensions_mut().insert(LinkSecret(secret.to_owned()));
                format!("/shared/{NOTHING}")
            }
            "dicomweb" => "/dicomweb".to_owned(),
            below if below.starts_with("dicomweb/") => format!("/{below}"),
            below => format!("/shared/{NOTHING}/{below}"),
        };
        if !below.is_empty() {
            request.extensions_mut().insert(Pass(secret.to_owned()));
        }
        put_path(&mut request, &path);
    }
    next.call(request).await
}

#[utoipa::path(
    get, path = "/shared/{link}", tag = "Sharing", operation_id = "showLink",
    summary = "What a link needs to be opened; for a browser, the page that opens it",
    params(("link" = String, Path, description = "The secret of the link, or the pass that it gave")),
    responses(
        (status = 200, description = "It can be opened", content((LinkInfo = "application/json"), (String = "text/html"))),
        (status = 404, description = "There is no such link", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "It has expired, was revoked or is used up", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn show(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    on(&state)?;
    let share = match state.auth.link(&secret(&request), &state.tenant) {
        Ok(share) => share,
        Err(error) => return refuse(&state, &request, None, error).await,
    };
    if page::is_wanted(&request) {
        return Ok(page::closed(&share, StatusCode::OK, None));
    }
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(LinkInfo {
        label: share.label.clone(),
        expires: moment(share.expires),
        has_password: share.password.is_some(),
        download: share.download,
        deidentified: share.deidentified,
    }))
}

#[utoipa::path(
    post, path = "/shared/{link}", tag = "Sharing", operation_id = "openLink",
    summary = "Open a link: a use of it is counted, and its studies can be seen for a while",
    params(("link" = String, Path, description = "The secret of the link, or the pass that it gave")),
    request_body(content((LinkForm = "application/json"), (LinkForm = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "It is open", content((OpenedLink = "application/json"), (String = "text/html"))),
        (status = 400, description = "Neither a form nor JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The password is missing or wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such link", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "It has expired, was revoked or is used up", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong passwords", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn open(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    on(&state)?;
    let form = form(&request, payload, &state).await?;
    let share = match state.auth.link(&secret(&request), &state.tenant) {
        Ok(share) => share,
        Err(error) => return refuse(&state, &request, None, error).await,
    };
    let peer = state.peer(&request);
    let opened = state.auth.open_link(&share, form.password.as_deref(), peer).await;
    let pass = match opened {
        Ok(pass) => pass,
        Err(error) => return refuse(&state, &request, Some(&share), error).await,
    };
    let what = What::ShareOpened { id: share.id.clone(), studies: share.studies.clone() };
    tell(&state, &Event { what, subject: Some(format!("link {}", share.id)), by: None, peer }).await?;
    let root = state.home(&request)?;
    let base = format!("{root}/shared/{pass}");
    let opened = OpenedLink {
        dicomweb: format!("{base}/dicomweb"),
        expires: moment(share.expires),
        studies: share.studies.clone(),
        download: share.download,
        viewer: viewer(&state.config.shares.viewer_url, &base, &share),
        configuration: format!("{base}/viewer.json"),
        pass,
    };
    if page::is_wanted(&request) {
        return Ok(page::opened(&share, &opened.dicomweb, opened.viewer.as_deref()));
    }
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(opened))
}

#[utoipa::path(
    get, path = "/shared/{link}/viewer.json", tag = "Sharing", operation_id = "viewerConfiguration",
    summary = "A configuration for OHIF's DICOMweb proxy, by the pass of an opened link",
    params(("link" = String, Path, description = "The secret of the link, or the pass that it gave")),
    responses(
        (status = 200, description = "With the URL of the services", body = serde_json::Value),
        (status = 404, description = "No link is open by this", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "The link has ended", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn viewer_configuration(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    if request.extensions().get::<Pass>().is_none() {
        return Err(Problem::not_found("open link"));
    }
    let root = state.base_url(&request)?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(json!({
        "servers": { "dicomWeb": [{
            "friendlyName": "Shared studies",
            "name": "hilum",
            "qidoRoot": root, "wadoRoot": root, "wadoUriRoot": format!("{root}/wado"),
            "qidoSupportsIncludeField": true,
            "supportsFuzzyMatching": true,
            "supportsWildcard": true,
            "imageRendering": "wadors",
            "thumbnailRendering": "wadors",
            "enableStudyLazyLoad": true,
            "omitQuotationForMultipartRequest": true,
            "singlepart": "bulkdata,video,pdf",
            "bulkDataURI": { "enabled": true },
        }] },
    })))
}

fn secret(request: &HttpRequest) -> String {
    request.extensions().get::<LinkSecret>().map(|secret| secret.0.clone()).unwrap_or_default()
}

async fn form(request: &HttpRequest, payload: Payload, state: &State) -> Result<LinkForm, Problem> {
    let body = Paced::new(payload, state).whole(BODY_BYTES_MAX).await?;
    if body.is_empty() {
        return Ok(LinkForm::default());
    }
    let declared = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if declared.is_some_and(|declared| declared.starts_with("application/json")) {
        return serde_json::from_slice(&body)
            .map_err(|_| Problem::malformed_body("the body is JSON such as {\"password\": \"…\"}"));
    }
    let text = std::str::from_utf8(&body).map_err(|_| Problem::malformed_body("the form is not UTF-8"))?;
    let password = params::pairs(text).into_iter().find(|(name, _)| name == "password");
    Ok(LinkForm { password: password.map(|(_, value)| value) })
}

/// Says why a link opens nothing: by the page again, or as a problem.
async fn refuse(
    state: &State,
    request: &HttpRequest,
    share: Option<&Share>,
    error: LinkError,
) -> Result<HttpResponse, Problem> {
    let why = match &error {
        LinkError::Unknown => Some("unknown link"),
        LinkError::Ended(_) => Some("link that has ended"),
        LinkError::WrongPassword => Some("wrong password of a link"),
        LinkError::Wait(_) => Some("too many wrong passwords of a link"),
        LinkError::PasswordNeeded | LinkError::Busy | LinkError::Shares(_) => None,
    };
    if let Some(why) = why {
        let tried = matches!(error, LinkError::WrongPassword);
        let subject = share.map(|share| format!("link {}", share.id));
        let what = What::LoginFailed { why, tried };
        tell(state, &Event { what, subject, by: None, peer: state.peer(request) }).await?;
    }
    let problem = refused(error);
    if page::is_wanted(request) {
        return Ok(match share {
            Some(share) => page::closed(share, problem.status(), Some(problem.detail())),
            None => page::gone(problem.status(), problem.detail()),
        });
    }
    Err(problem)
}

/// A link or a pass that opens nothing, as a problem.
pub fn refused(error: LinkError) -> Problem {
    match error {
        LinkError::Unknown => Problem::not_found("link, or it was opened too long ago: open it again"),
        LinkError::Ended(_) => {
            let detail = format!("{error}; ask who sent it for another");
            Problem::new(StatusCode::GONE, "link-ended", "The link has ended", detail)
        }
        LinkError::PasswordNeeded => {
            let detail = "the link has a password: send it as password, in a form or as JSON";
            Problem::new(StatusCode::FORBIDDEN, "password-needed", "The link has a password", detail)
        }
        LinkError::WrongPassword => {
            let detail = "the password of the link is wrong";
            Problem::new(StatusCode::FORBIDDEN, "wrong-password", "The password is wrong", detail)
        }
        LinkError::Wait(wait) => problems::wait(wait),
        LinkError::Busy => Problem::busy(),
        LinkError::Shares(error) => super::problem(&error),
    }
}

fn viewer(template: &str, base: &str, share: &Share) -> Option<String> {
    let encoded = |text: &str| crate::http::auth::login::encoded(text).replace('/', "%2F");
    let url = template
        .replace("{studies}", &share.studies.join(","))
        .replace("{studies_by_semicolon}", &share.studies.join(";"))
        .replace("{dicomweb}", &encoded(&format!("{base}/dicomweb")))
        .replace("{configuration}", &encoded(&format!("{base}/viewer.json")));
    (!template.is_empty()).then_some(url)
}
