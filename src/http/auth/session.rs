//! `/auth/session`: who am I; `/auth/logout` and `/auth/password`.

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{cookie::Purpose, credentials::InSession, login, problems, tell};
use crate::{
    auth::{
        Action, Identity, LoginError, Method,
        event::{Event, What},
        jwt,
        sessions::Owner,
    },
    http::{
        Problem, State,
        openapi::ProblemBody,
        small,
        state::{SERVICE_ROOT, identity},
    },
};

#[derive(Serialize, ToSchema)]
pub struct Whoami {
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `off`, `password`, `api-token`, `jwt`, `certificate`, `share`
    method: &'static str,
    roles: Vec<String>,
    scopes: Vec<String>,
    tenants: Vec<String>,
    /// The archives of this server that the caller may enter
    archives: Vec<OpenArchive>,
    /// Of a session: what a program sends as X-CSRF-Token to change something
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
    /// Of a session: when it ends in any case
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<u64>,
}

/// An archive that the caller may enter.
#[derive(Serialize, ToSchema)]
pub struct OpenArchive {
    /// Its name; the root archive has none
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// The URL of its services
    dicomweb: String,
    /// What the caller may do there, to some of it at least
    actions: Vec<&'static str>,
}

#[derive(Deserialize, ToSchema)]
pub struct PasswordChange {
    current: String,
    new: String,
}

#[utoipa::path(
    get, path = "/auth/session", tag = "Authentication", operation_id = "session",
    summary = "Who the request comes from",
    responses((status = 200, description = "The caller", body = Whoami))
)]
pub async fn whoami(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let caller = identity(&request);
    let session = request.extensions().get::<InSession>().map(|found| found.session.clone());
    let archives = open_archives(&state, &request)?;
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(Whoami {
        subject: caller.subject.clone(),
        name: caller.name.clone(),
        method: word(&caller.method),
        roles: caller.roles.clone(),
        scopes: caller.scopes.clone(),
        tenants: caller.tenants.iter().filter(|name| *name != jwt::NO_TENANT).cloned().collect(),
        archives,
        seconds_left: session.as_ref().map(|session| session.left().as_secs()),
        csrf_token: session.map(|session| session.csrf),
    }))
}

fn open_archives(state: &State, request: &HttpRequest) -> Result<Vec<OpenArchive>, Problem> {
    let root = state.root(request)?;
    let open = state.all_permits(request).into_iter().filter(|(_, permit)| permit.allows_anything());
    let archives = open.map(|(tenant, permit)| {
        let actions = Action::ALL.into_iter().filter(|action| permit.allows(*action));
        let title =
            tenant.name().and_then(|name| state.config.tenants.get(name)).map(|own| own.title.clone());
        OpenArchive {
            tenant: tenant.name().map(str::to_owned),
            title: title.filter(|title| !title.is_empty()),
            dicomweb: format!("{root}{}{SERVICE_ROOT}", tenant.prefix()),
            actions: actions.map(Action::name).collect(),
        }
    });
    Ok(archives.collect())
}

fn word(method: &Method) -> &'static str {
    match method {
        Method::Anonymous => "anonymous",
        Method::Off => "off",
        Method::Operator => "operator",
        Method::Password => "password",
        Method::ApiToken { .. } => "api-token",
        Method::Jwt { .. } => "jwt",
        Method::Certificate => "certificate",
        Method::Share { .. } => "share",
    }
}

#[utoipa::path(
    post, path = "/auth/logout", tag = "Authentication", operation_id = "logout",
    summary = "End the session of the cookie",
    responses((status = 204, description = "There is no session any more"))
)]
pub async fn logout(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let secure = state.is_secure(&request);
    let found = request.extensions().get::<InSession>().cloned();
    if let Some(InSession { cookie, .. }) = found {
        let caller = identity(&request);
        let subject = Some(caller.subject.clone());
        tell(&state, &Event { what: What::LoggedOut, subject, by: None, peer: caller.peer }).await?;
        state.auth.sessions.end(&cookie);
    }
    Ok(HttpResponse::NoContent().cookie(Purpose::Session.clear(secure)).finish())
}

#[utoipa::path(
    post, path = "/auth/password", tag = "Authentication", operation_id = "changePassword",
    summary = "Change the password of one's own account; its other sessions end",
    request_body = PasswordChange,
    responses(
        (status = 303, description = "Changed, and a new session has begun"),
        (status = 400, description = "The new password is too weak", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "The current password is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Not a session of a local account", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many failed attempts", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn change_password(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let caller = own_account(&request)?;
    let body: PasswordChange = small::json(&request, payload, &state).await?;
    match state.auth.log_in(&caller.subject, &body.current, caller.peer).await {
        Ok(_) => {}
        Err(LoginError::Wrong(why)) => {
            let (what, subject) = (What::LoginFailed { why, tried: true }, Some(caller.subject.clone()));
            tell(&state, &Event { what, subject, by: None, peer: caller.peer }).await?;
            return Err(problems::invalid("the current password is wrong"));
        }
        Err(LoginError::Wait(wait)) => return Err(problems::wait(wait)),
        Err(LoginError::Busy) => return Err(Problem::busy()),
    }
    // What is not changed is not told to be.
    state.auth.check_password(&caller.subject, &body.new).map_err(problems::change)?;
    let (what, subject) = (What::AccountChanged { change: "password" }, Some(caller.subject.clone()));
    tell(&state, &Event { what, subject: subject.clone(), by: subject, peer: caller.peer }).await?;
    let account = blocking(&state, move |auth| auth.set_password(&caller.subject, &body.new)).await?;
    let cookie = state.auth.begin_session(&account);
    login::go_on(&state, &request, cookie, "")
}

/// The caller, if it is the owner of a local account in a session of theirs: a
/// token must not make tokens or change passwords.
pub fn own_account(request: &HttpRequest) -> Result<Identity, Problem> {
    let owns = request
        .extensions()
        .get::<InSession>()
        .is_some_and(|found| matches!(found.session.owner, Owner::Account { .. }));
    if owns { Ok(Identity::clone(&identity(request))) } else { Err(problems::no_account()) }
}

/// Does what waits for the disk, or hashes a password, where that holds up
/// nobody.
pub async fn blocking<T: Send + 'static>(
    state: &Data<State>,
    work: impl FnOnce(&crate::auth::Authentication) -> Result<T, crate::auth::ChangeError> + Send + 'static,
) -> Result<T, Problem> {
    let auth = std::sync::Arc::clone(&state.auth);
    let done = actix_web::web::block(move || work(&auth)).await;
    done.map_err(|_| Problem::busy())?.map_err(problems::change)
}
