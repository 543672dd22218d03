//! Which right each method of each resource asks for: one table beside that of
//! the routes. A route without an entry here is closed to everybody but to who
//! may do everything, and a test fails.
//!
//! The table says whether somebody may do such a thing at all (403); to what of
//! the archive that extends is looked at where the data is (404).

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
    web::Data,
};

use super::{Problem, State, auth, routes::resource_of, state::identity};
use crate::auth::{Action, Method as Proof, Tenant};

/// What a method of a resource asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: everybody may.
    Nothing,
    /// To have said who they are.
    Identity,
    Right(Action),
}

use Needs::{Identity, Nothing, Right};

const SEARCH: Needs = Right(Action::Search);
const VIEW: Needs = Right(Action::View);
const DOWNLOAD: Needs = Right(Action::Download);
const STORE: Needs = Right(Action::Store);
const DELETE: Needs = Right(Action::Delete);
const VERSIONS: Needs = Right(Action::Versions);
const DEIDENTIFY: Needs = Right(Action::Deidentify);
const SHARE: Needs = Right(Action::Share);
const COMMIT: Needs = Right(Action::Commit);
const AUDIT: Needs = Right(Action::Audit);
const ADMINISTER: Needs = Right(Action::Administer);

/// Methods by the paths of the route table. GET stands for HEAD where that has
/// no entry of its own; OPTIONS is open everywhere.
#[rustfmt::skip]
pub const TABLE: &[(&str, &[(&str, Needs)])] = &[
    ("/dicomweb", &[("GET", Nothing), ("OPTIONS", Nothing)]),
    ("/dicomweb/studies", &[("GET", SEARCH), ("POST", STORE)]),
    ("/dicomweb/patients", &[("GET", SEARCH)]),
    ("/dicomweb/patients/count", &[("GET", SEARCH)]),
    ("/dicomweb/studies/count", &[("GET", SEARCH)]),
    ("/dicomweb/series", &[("GET", SEARCH)]),
    ("/dicomweb/series/count", &[("GET", SEARCH)]),
    ("/dicomweb/instances", &[("GET", SEARCH)]),
    ("/dicomweb/instances/count", &[("GET", SEARCH)]),
    ("/dicomweb/studies/{study}", &[("GET", DOWNLOAD), ("POST", STORE), ("DELETE", DELETE)]),
    ("/dicomweb/studies/{study}/metadata", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/bulkdata", &[("GET", DOWNLOAD)]),
    ("/dicomweb/studies/{study}/pixeldata", &[("GET", DOWNLOAD)]),
    ("/dicomweb/studies/{study}/series", &[("GET", SEARCH)]),
    ("/dicomweb/studies/{study}/series/count", &[("GET", SEARCH)]),
    ("/dicomweb/studies/{study}/instances", &[("GET", SEARCH)]),
    ("/dicomweb/studies/{study}/instances/count", &[("GET", SEARCH)]),
    ("/dicomweb/studies/{study}/series/{series}", &[("GET", DOWNLOAD), ("DELETE", DELETE)]),
    ("/dicomweb/studies/{study}/series/{series}/metadata", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/bulkdata", &[("GET", DOWNLOAD)]),
    ("/dicomweb/studies/{study}/series/{series}/pixeldata", &[("GET", DOWNLOAD)]),
    ("/dicomweb/studies/{study}/series/{series}/instances", &[("GET", SEARCH)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/count", &[("GET", SEARCH)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}", &[("GET", DOWNLOAD), ("DELETE", DELETE)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/metadata", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/bulkdata", &[("GET", DOWNLOAD)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/pixeldata", &[("GET", DOWNLOAD)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/bulkdata/{bulkdata}", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/rendered", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/thumbnail", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/rendered", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/thumbnail", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/rendered", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/thumbnail", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/rendered/{frames}", &[("GET", VIEW)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/thumbnail/{frames}", &[("GET", VIEW)]),
    ("/dicomweb/commitment-requests/{transaction}", &[("GET", COMMIT), ("POST", COMMIT)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/versions", &[("GET", VERSIONS)]),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/versions/{version}", &[("GET", VERSIONS)]),
    ("/dicomweb/studies/{study}/deidentified", &[("POST", DEIDENTIFY)]),
    // A picture; for a file it asks for the right to that itself.
    ("/dicomweb/wado", &[("GET", VIEW)]),
    ("/wado", &[("GET", VIEW)]),
    ("/dicomweb/zip", &[("GET", DOWNLOAD), ("POST", DOWNLOAD)]),
    ("/uploads", &[("POST", STORE), ("OPTIONS", Nothing)]),
    ("/uploads/{upload}", &[("HEAD", STORE), ("GET", STORE), ("PATCH", STORE), ("DELETE", STORE), ("POST", STORE)]),
    ("/audit", &[("GET", AUDIT)]),
    ("/.well-known/smart-configuration", &[("GET", Nothing)]),
    ("/auth/login", &[("GET", Nothing), ("POST", Nothing)]),
    ("/auth/callback", &[("GET", Nothing)]),
    ("/auth/logout", &[("POST", Identity)]),
    // Of a local account; that is looked at where they are.
    ("/auth/password", &[("POST", Identity)]),
    ("/auth/session", &[("GET", Identity)]),
    ("/auth/tokens", &[("GET", Identity), ("POST", Identity)]),
    ("/auth/tokens/{token}", &[("DELETE", Identity)]),
    ("/shares", &[("GET", SHARE), ("POST", SHARE)]),
    ("/shares/{share}", &[("DELETE", SHARE)]),
    // The link itself is what one needs.
    ("/shared/{link}", &[("GET", Nothing), ("POST", Nothing)]),
    ("/shared/{link}/viewer.json", &[("GET", Identity)]),
    ("/healthz", &[("GET", Nothing)]),
    ("/readyz", &[("GET", Nothing)]),
    ("/metrics", &[("GET", ADMINISTER)]),
    ("/conformance", &[("GET", Nothing)]),
    ("/openapi.json", &[("GET", Nothing)]),
    ("/", &[("GET", Nothing)]),
    ("/docs", &[("GET", Nothing)]),
    ("/docs/{_:.*}", &[("GET", Nothing)]),
];

/// What a method of a resource asks for; none where the table has no entry.
#[must_use]
pub fn needs(pattern: &str, method: &str) -> Option<Needs> {
    let methods = TABLE.iter().find(|(path, _)| *path == pattern).map(|(_, methods)| *methods)?;
    let entry = |name: &str| methods.iter().find(|(known, _)| *known == name).map(|(_, needs)| *needs);
    match method {
        "HEAD" => entry("HEAD").or_else(|| entry("GET")),
        "OPTIONS" => Some(entry("OPTIONS").unwrap_or(Nothing)),
        name => entry(name),
    }
}

/// What a request turned out to be about.
#[derive(Debug, Clone, Copy)]
struct About(Action);

/// Asks for another right than that of the table, by what the request says.
///
/// # Errors
/// When the caller lacks it.
pub fn also(state: &State, request: &HttpRequest, action: Action) -> Result<(), Problem> {
    request.extensions_mut().insert(About(action));
    state.permit(request).required().map_err(Problem::not_permitted)?;
    Ok(())
}

/// The right that a request is about. Where the table has no entry it is the one
/// that the fewest have.
pub fn action(request: &HttpRequest) -> Action {
    if let Some(About(action)) = request.extensions().get::<About>().copied() {
        return action;
    }
    match resource_of(request).and_then(|pattern| needs(&pattern, request.method().as_str())) {
        Some(Right(action)) => action,
        // What everybody may see is read without a right.
        Some(Nothing | Identity) => Action::View,
        None => Action::Administer,
    }
}

/// Wraps every request, inside of what finds out who asks. Answers 401 and 403
/// where a right is missing.
///
/// # Errors
/// Those of the services.
pub async fn authorise(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match check(&request) {
        Ok(()) => Ok(next.call(request).await?.map_into_boxed_body()),
        // An answer, not an error: what is around this has still to record it.
        Err(problem) => Ok(request.error_response(problem)),
    }
}

/// Whether the caller may enter the archive at all. Of a tenant that they may
/// not, or that is not there, nothing is there for them.
fn enter(request: &ServiceRequest) -> Result<(), Problem> {
    let Some(state) = request.app_data::<Data<State>>() else { return Ok(()) };
    if state.tenant == Tenant::Root || auth::is_open(request, state) {
        return Ok(());
    }
    if identity(request.request()).method == Proof::Anonymous {
        return Err(Problem::not_authenticated());
    }
    let may_enter = state.permit(request.request()).allows_anything();
    may_enter.then_some(()).ok_or_else(Problem::no_such_route)
}

fn check(request: &ServiceRequest) -> Result<(), Problem> {
    enter(request)?;
    // A path that is no resource is answered as such.
    let Some(pattern) = resource_of(request.request()) else { return Ok(()) };
    let found = needs(&pattern, request.method().as_str());
    if found == Some(Nothing) {
        return Ok(());
    }
    let state = request.app_data::<Data<State>>();
    if state.is_some_and(|state| auth::is_open(request, state)) {
        return Ok(());
    }
    let is_resource = TABLE.iter().any(|(path, _)| *path == &*pattern);
    if found.is_none() && is_resource && *request.method() != Method::OPTIONS {
        // A method that no resource has is answered as such (405).
        return Ok(());
    }
    let caller = identity(request.request());
    if caller.method == Proof::Anonymous {
        return Err(Problem::not_authenticated());
    }
    if found == Some(Identity) {
        return Ok(());
    }
    let Some(state) = state else { return Err(Problem::not_authenticated()) };
    state.permit(request.request()).required().map_err(Problem::not_permitted)?;
    Ok(())
}
