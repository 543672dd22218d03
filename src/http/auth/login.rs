//! `/auth/login`: the page, the form of local accounts, and the way to an
//! issuer.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Payload},
};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    cookie::Purpose,
    oidc,
    origin::{self, Origin},
    page::Page,
    problems, tell,
};
use crate::{
    auth::{
        LoginError,
        event::{Event, What},
    },
    http::{Problem, State, openapi::ProblemBody, params, small},
};

/// Where one comes to who wanted nothing in particular.
const HOME: &str = "/docs/index.html";
const NEXT_CHARACTERS_MAX: usize = 2000;

#[derive(Deserialize, ToSchema)]
pub struct LoginForm {
    /// Of a local account
    name: String,
    password: String,
    /// Where to go then: a path of this server
    #[serde(default)]
    next: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, and read from the query by name")]
pub struct LoginParams {
    /// A path of this server to go to after the login
    next: Option<String>,
    /// An issuer of the configuration (its URL or its name): the login goes on there
    issuer: Option<String>,
}

#[utoipa::path(
    get, path = "/auth/login", tag = "Authentication", operation_id = "loginPage",
    summary = "The login page, or the way to an issuer",
    params(LoginParams),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 303, description = "To the issuer"),
        (status = 404, description = "Authentication is off, or there is no such issuer", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The issuer cannot be reached", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn get(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    on(&state)?;
    let one = |name: &str| params::query_values(&request, name).into_iter().next();
    let next = one("next").unwrap_or_default();
    match one("issuer") {
        Some(issuer) => oidc::begin(&state, &request, &issuer, safe_next(&next)).await,
        None => Ok(page(&state, StatusCode::OK, None, "", &next)),
    }
}

#[utoipa::path(
    post, path = "/auth/login", tag = "Authentication", operation_id = "login",
    summary = "Log in with a local account: a session begins",
    request_body(content = LoginForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "A session has begun (Set-Cookie)"),
        (status = 400, description = "Not a login form", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The page again", body = String, content_type = "text/html"),
        (status = 403, description = "The form is of another site", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Authentication is off", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many failed attempts", body = String, content_type = "text/html"),
        (status = 503, description = "Too many logins at once", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn post(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    on(&state)?;
    let form: LoginForm = small::form(&request, payload, &state).await?;
    // Else another site could log its visitors in to an account of its own.
    if origin::of(&state, &request) == Origin::Other {
        return Err(problems::cross_site());
    }
    let peer = state.peer(&request);
    let typed: String = form.name.chars().filter(|c| !c.is_control()).take(64).collect();
    let event = |what| Event { what, subject: Some(typed.clone()), by: None, peer };
    match state.auth.log_in(&form.name, &form.password, peer).await {
        Ok(account) => {
            let what = What::LoggedIn { how: "password".to_owned() };
            tell(&state, &Event { subject: Some(account.name.clone()), ..event(what) }).await?;
            let cookie = state.auth.begin_session(&account);
            go_on(&state, &request, cookie, &form.next)
        }
        Err(LoginError::Wrong(why)) => {
            tell(&state, &event(What::LoginFailed { why, tried: true })).await?;
            let message = "The name or the password is wrong.";
            Ok(page(&state, StatusCode::UNAUTHORIZED, Some(message), &typed, &form.next))
        }
        Err(LoginError::Wait(wait)) => {
            tell(&state, &event(What::LoginFailed { why: "locked for a while", tried: false })).await?;
            let seconds = wait.as_secs() + 1;
            let message = format!("There were too many failed attempts. Try again in {seconds} seconds.");
            let mut answer = page(&state, StatusCode::TOO_MANY_REQUESTS, Some(&message), &typed, &form.next);
            answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            Ok(answer)
        }
        Err(LoginError::Busy) => Err(Problem::busy()),
    }
}

/// A new session, and the place that was asked for. A session that the browser
/// had before ends: nobody is led into one that another began.
pub fn go_on(
    state: &State,
    request: &HttpRequest,
    cookie: String,
    next: &str,
) -> Result<HttpResponse, Problem> {
    let secure = state.is_secure(request);
    if let Some(before) = Purpose::Session.of(request, secure) {
        state.auth.sessions.end(&before);
    }
    let place = format!("{}{}", state.root(request)?, safe_next(next));
    Ok(HttpResponse::SeeOther()
        .cookie(Purpose::Session.set(cookie, secure))
        .insert_header((header::LOCATION, place))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish())
}

/// Without authentication there is nobody to log in.
pub fn on(state: &State) -> Result<(), Problem> {
    if state.config.auth.enabled { Ok(()) } else { Err(Problem::not_found("login: authentication is off")) }
}

pub fn page(
    state: &State,
    status: StatusCode,
    message: Option<&str>,
    name: &str,
    next: &str,
) -> HttpResponse {
    let next = safe_next(next);
    let issuers = state.auth.issuers.iter().filter(|issuer| issuer.config.client_id.is_some());
    let issuers = issuers.map(|issuer| {
        let url = format!("login?issuer={}&next={}", encoded(&issuer.config.issuer), encoded(next));
        (issuer.config.label().to_owned(), url)
    });
    let accounts = state.config.auth.accounts;
    let page = Page { status, message, name, next, accounts, issuers: issuers.collect() };
    page.finish(page.builder())
}

/// A path of this server, or its front door: never a way to another server.
fn safe_next(next: &str) -> &str {
    let mut bytes = next.bytes();
    let is_path = bytes.next() == Some(b'/') && !matches!(bytes.next(), Some(b'/' | b'\\'));
    let plain = next.len() <= NEXT_CHARACTERS_MAX
        && next.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>".contains(&byte));
    if is_path && plain { next } else { HOME }
}

/// Text as a value of a query.
pub fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_nowhere_else() {
        for next in ["/dicomweb/studies?limit=1", "/docs/", "/x%20y"] {
            assert_eq!(safe_next(next), next);
        }
        for next in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "evil",
            "javascript:x",
            "/a\r\nb",
            "/\t/e",
        ] {
            assert_eq!(safe_next(next), HOME, "{next}");
        }
        assert_eq!(encoded("https://a b/ä"), "https%3A//a%20b/%C3%A4");
    }
}
