//! Who asks: a request becomes a request with an [`Identity`] in its
//! extensions. What somebody may do is decided elsewhere, from that identity
//! ([`super::State::permit`]).
//!
//! While authentication is on, a request without valid credentials gets no
//! further than here, but to what asks for nothing ([`super::access::TABLE`]).

pub mod cookie;
pub mod credentials;
pub mod document;
pub mod login;
pub mod oidc;
mod open;
mod origin;
pub mod page;
pub mod problems;
pub mod session;
pub mod smart;
mod tend;
pub mod tokens;
mod told;

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderValue},
    middleware::Next,
    web::Data,
};

use credentials::Refusal;
pub use credentials::client_certificate;
pub use open::is_open;
pub use tend::tend;
pub use told::tell;

use super::{Problem, State, flood, shares::shared::Pass, tenants};
use crate::auth::{
    Identity,
    event::{Event, What},
};

/// Wraps every request, inside of what logs it.
///
/// # Errors
/// Those of the services, none of its own.
pub async fn authenticate(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<Data<State>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let peer = state.peer(request.request());
    if !state.config.auth.enabled {
        request.extensions_mut().insert(Arc::new(Identity::local().from_peer(peer)));
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let identity = match credentials::identify(&state, &mut request, peer).await {
        Ok(Some(identity)) => identity,
        // Also with credentials that do not count, or nobody could log in anew.
        Ok(None) | Err(_)
            if open::is_open(&request, &state) && request.extensions().get::<Pass>().is_none() =>
        {
            Identity::anonymous().from_peer(peer)
        }
        Ok(None) => return Ok(refuse(&state, request, None, peer).await),
        Err(refusal) => return Ok(refuse(&state, request, Some(refusal), peer).await),
    };
    request.extensions_mut().insert(Arc::new(identity));
    let mut response = next.call(request).await?.map_into_boxed_body();
    // What one may see is nobody else's, whatever a cache between thinks of it.
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    // In one header: what handles CORS knows only the first.
    let varies: Vec<&str> = headers.get_all(header::VARY).filter_map(|value| value.to_str().ok()).collect();
    let varies = [varies.as_slice(), &["Authorization, Cookie"]].concat().join(", ");
    if let Ok(varies) = HeaderValue::from_str(&varies) {
        headers.insert(header::VARY, varies);
    }
    Ok(response)
}

/// The answer to a request that gets no further than here.
async fn refuse(
    state: &State,
    request: ServiceRequest,
    refusal: Option<Refusal>,
    peer: Option<IpAddr>,
) -> ServiceResponse<BoxBody> {
    // Nor does it get to where callers are counted.
    if let Err(problem) = flood::count_stranger(state, peer) {
        return request.error_response(problem);
    }
    let Some(Refusal { problem, why }) = refusal else { return nobody(state, request) };
    let event = Event { what: What::CredentialRefused { why }, subject: None, by: None, peer };
    let told = tell(state, &event).await;
    request.error_response(told.err().unwrap_or(problem))
}

/// The answer to who has not said who they are: a person in a browser is shown
/// where to, a program is told how.
fn nobody(state: &State, request: ServiceRequest) -> ServiceResponse<BoxBody> {
    let said = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_person = request.method() == actix_web::http::Method::GET
        && said("sec-fetch-mode") == Some("navigate")
        && said("sec-fetch-dest") == Some("document");
    if is_person && let Ok(root) = state.root(request.request()) {
        // Without the query, which may hold a patient's name.
        let tenant = tenants::asked(request.request()).map(|name| format!("/{name}")).unwrap_or_default();
        let next = login::encoded(&format!("{tenant}{}", request.path()));
        let place = format!("{root}/auth/login?next={next}");
        let answer = HttpResponse::SeeOther().insert_header((header::LOCATION, place)).finish();
        return request.into_response(answer);
    }
    request.error_response(Problem::not_authenticated())
}
