//! From what a request shows to who it comes from. The header goes before the
//! query, the query before the cookie, the cookie before the certificate; a
//! token that does not count is an error and never falls back to another.

use std::{any::Any, net::IpAddr, sync::Arc};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{
    HttpMessage,
    dev::{Extensions, ServiceRequest},
    http::{Method, Uri, header},
    rt::net::TcpStream,
    web::Data,
};

use super::{cookie::Purpose, origin, problems};
use crate::{
    auth::{
        Identity,
        sessions::{Owner, Session},
        shares::PASS_PREFIX,
    },
    http::{
        Problem, State,
        shares::shared::{self, Pass},
    },
};

/// A credential that does not count.
pub struct Refusal {
    pub problem: Problem,
    /// For the trail.
    pub why: &'static str,
}

/// The session that a request belongs to, for what is about it.
#[derive(Clone)]
pub struct InSession {
    pub session: Session,
    pub cookie: String,
}

/// The certificate (DER) that the client of a connection has shown.
struct ClientCertificate(Vec<u8>);

/// Notes the certificate of a new connection's client.
pub fn client_certificate(connection: &dyn Any, extensions: &mut Extensions) {
    let tls = connection.downcast_ref::<TlsStream<TcpStream>>();
    let certificates = tls.and_then(|tls| tls.get_ref().1.peer_certificates());
    if let Some(certificate) = certificates.and_then(|certificates| certificates.first()) {
        extensions.insert(Arc::new(ClientCertificate(certificate.to_vec())));
    }
}

/// Who asks; `None` if nothing says so.
///
/// # Errors
/// When a credential is shown that does not count.
pub async fn identify(
    state: &Data<State>,
    request: &mut ServiceRequest,
    peer: Option<IpAddr>,
) -> Result<Option<Identity>, Refusal> {
    let pass = request.extensions().get::<Pass>().map(|pass| pass.0.clone());
    if let Some(pass) = pass {
        return of_pass(state, request, &pass, peer).map(Some);
    }
    // Taken out in any case: no link and no redirect of an answer repeats it.
    let in_query = take_query_token(request);
    let bearer = match bearer(request)? {
        Some(token) => Some(token),
        None if in_query.is_some() && !state.config.auth.query_token => {
            let problem = problems::invalid(
                "a token in the query is not accepted here; send it in the Authorization header (or set \
                 auth.query_token = true)",
            );
            return Err(Refusal { problem, why: "token in the query" });
        }
        None => in_query,
    };
    if let Some(token) = bearer.as_deref().filter(|token| token.starts_with(PASS_PREFIX)) {
        return of_pass(state, request, token, peer).map(Some);
    }
    if let Some(token) = bearer {
        let found = state.auth.bearer(&token, peer).await;
        return found
            .map(Some)
            .map_err(|error| Refusal { problem: problems::refused(error), why: error.code() });
    }
    if let Some(identity) = of_cookie(state, request, peer)? {
        return Ok(Some(identity));
    }
    let certificate = request.request().conn_data::<Arc<ClientCertificate>>();
    Ok(certificate.and_then(|certificate| state.auth.certificate(&certificate.0, peer)))
}

/// Who comes by a share link that was opened.
fn of_pass(
    state: &Data<State>,
    request: &ServiceRequest,
    pass: &str,
    peer: Option<IpAddr>,
) -> Result<Identity, Refusal> {
    match state.auth.pass(pass, &state.tenant, peer) {
        Ok((identity, grant)) => {
            request.extensions_mut().insert(Arc::new(grant));
            Ok(identity)
        }
        Err(error) => {
            Err(Refusal { problem: shared::refused(error), why: "pass of a link that is not open" })
        }
    }
}

/// The token of the Authorization header.
fn bearer(request: &ServiceRequest) -> Result<Option<String>, Refusal> {
    let refusal = |detail: &str, why| Err(Refusal { problem: problems::invalid(detail), why });
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return refusal("there is more than one Authorization header", "two headers");
    }
    let text = value.to_str().unwrap_or_default().trim();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim().to_owned())),
        _ => refusal("the Authorization header must be Bearer and a token", "other scheme"),
    }
}

/// The identity of a session, whose use is noted. An unknown or ended one is as
/// if there were none: its owner is to log in anew.
fn of_cookie(
    state: &Data<State>,
    request: &ServiceRequest,
    peer: Option<IpAddr>,
) -> Result<Option<Identity>, Refusal> {
    let Some(cookie) = Purpose::Session.of(request.request(), state.is_secure(request.request())) else {
        return Ok(None);
    };
    let Some(session) = state.auth.sessions.get(&cookie) else { return Ok(None) };
    let Some(identity) = state.auth.of_session(&session, peer) else {
        // A pass of a link is no cookie, and goes on.
        if !matches!(session.owner, Owner::Share { .. }) {
            state.auth.sessions.end(&cookie);
        }
        return Ok(None);
    };
    let changes_nothing = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !changes_nothing && !origin::may_change(state, request.request(), &session.csrf) {
        return Err(Refusal { problem: problems::cross_site(), why: "cross-site use of a session" });
    }
    request.extensions_mut().insert(InSession { session, cookie });
    Ok(Some(identity))
}

/// Takes `access_token` (RFC 6750 section 2.3) out of the query.
fn take_query_token(request: &mut ServiceRequest) -> Option<String> {
    let query = request.uri().query()?;
    let is_token = |pair: &&str| pair.split_once('=').map_or(*pair, |(name, _)| name) == "access_token";
    let token = query.split('&').find(is_token)?.split_once('=').map_or("", |(_, value)| value).to_owned();
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
    let path = request.uri().path();
    let text = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = text.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        request.head_mut().uri = uri;
    }
    Some(token)
}
