//! A login at an issuer: OpenID Connect's authorization code flow with PKCE
//! (RFC 7636, RFC 9700), for browsers.
//!
//! What is needed to go on when the browser comes back lies in a cookie of its
//! own, sealed by a key of this process: the server remembers nothing of logins
//! that are under way, so nobody can fill its memory with them.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::Data,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::{cookie::Purpose, login, tell};
use crate::{
    auth::{
        Identity,
        authentication::now_seconds,
        event::{Event, What},
        jwt::{self, Claims, Discovery, Issuer},
        secret,
        sessions::Owner,
    },
    config,
    http::{Problem, State, openapi::ProblemBody, params},
};

/// How long somebody may take at the issuer.
pub const FLOW_SECONDS: i64 = 600;

/// A login that is under way.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Flow {
    issuer: String,
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    expires: u64,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "described, and read from the query by name")]
pub struct CallbackParams {
    /// What the issuer gives for a token
    code: Option<String>,
    /// As it was sent
    state: Option<String>,
    /// The issuer (RFC 9207)
    iss: Option<String>,
    /// Why there is no code
    error: Option<String>,
}

/// Sends a browser to an issuer.
pub async fn begin(
    state: &Data<State>,
    request: &HttpRequest,
    issuer: &str,
    next: &str,
) -> Result<HttpResponse, Problem> {
    let known = state.auth.issuers.iter().find(|known| {
        known.config.client_id.is_some() && (known.config.issuer == issuer || known.config.label() == issuer)
    });
    let Some((issuer, client_id)) = known.and_then(|known| Some((known, known.config.client_id.as_ref()?)))
    else {
        return Err(Problem::not_found("issuer that browsers can log in at"));
    };
    let discovery = issuer.discover().await.map_err(|error| away(&error))?;
    let Some(endpoint) = &discovery.authorization_endpoint else {
        return Err(away(&"it names no authorization_endpoint"));
    };
    let flow = Flow {
        issuer: issuer.config.issuer.clone(),
        state: secret::random::<32>(),
        nonce: secret::random::<32>(),
        verifier: secret::random::<48>(),
        next: next.to_owned(),
        expires: now_seconds().saturating_add(FLOW_SECONDS.unsigned_abs()),
    };
    let query = [
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", &callback_url(state, request)?),
        ("scope", &issuer.config.scopes.join(" ")),
        ("state", &flow.state),
        ("nonce", &flow.nonce),
        // SHA-256 in base64url, which is what digests are here.
        ("code_challenge", &secret::digest(&flow.verifier)),
        ("code_challenge_method", "S256"),
    ]
    .map(|(name, value)| format!("{name}={}", login::encoded(value).replace('/', "%2F")))
    .join("&");
    let joint = if endpoint.contains('?') { '&' } else { '?' };
    let cookie = Purpose::Login.set(sealed(&state.auth.seal_key, &flow), state.is_secure(request));
    Ok(HttpResponse::SeeOther()
        .cookie(cookie)
        .insert_header((header::LOCATION, format!("{endpoint}{joint}{query}")))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .finish())
}

#[utoipa::path(
    get, path = "/auth/callback", tag = "Authentication", operation_id = "loginCallback",
    summary = "Where an issuer sends a browser back to: a session begins",
    params(CallbackParams),
    responses(
        (status = 303, description = "A session has begun (Set-Cookie)"),
        (status = 401, description = "The login failed; the page again", body = String, content_type = "text/html"),
        (status = 404, description = "Authentication is off", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn callback(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    login::on(&state)?;
    let secure = state.is_secure(&request);
    let peer = state.peer(&request);
    match finish(&state, &request).await {
        Ok((identity, next)) => {
            let how = flow_of(&state, &request).map(|flow| flow.issuer).unwrap_or_default();
            let subject = Some(identity.subject.clone());
            tell(&state, &Event { what: What::LoggedIn { how }, subject, by: None, peer }).await?;
            let cookie = state.auth.sessions.begin(Owner::Issuer(Arc::new(identity)));
            let mut answer = login::go_on(&state, &request, cookie, &next)?;
            let _ = answer.add_cookie(&Purpose::Login.clear(secure));
            Ok(answer)
        }
        Err(Failed { why, log }) => {
            tracing::warn!(why, log, "a login at an issuer failed");
            let what = What::LoginFailed { why, tried: false };
            tell(&state, &Event { what, subject: None, by: None, peer }).await?;
            let message = format!("The login failed: {why}. Please try again.");
            let mut answer = login::page(&state, StatusCode::UNAUTHORIZED, Some(&message), "", "");
            let _ = answer.add_cookie(&Purpose::Login.clear(secure));
            Ok(answer)
        }
    }
}

/// Why a login failed: what people are told, and what only the log is.
struct Failed {
    why: &'static str,
    log: String,
}

fn failed(why: &'static str, log: impl std::fmt::Display) -> Failed {
    Failed { why, log: log.to_string() }
}

fn flow_of(state: &State, request: &HttpRequest) -> Option<Flow> {
    let cookie = Purpose::Login.of(request, state.is_secure(request))?;
    let flow = opened(&state.auth.seal_key, &cookie)?;
    (flow.expires > now_seconds()).then_some(flow)
}

async fn finish(state: &Data<State>, request: &HttpRequest) -> Result<(Identity, String), Failed> {
    let one = |name: &str| params::query_values(request, name).into_iter().next();
    let flow = flow_of(state, request).ok_or_else(|| {
        failed("it was not begun in this browser, or too long ago", "no valid login cookie")
    })?;
    let same_state = one("state").is_some_and(|shown| secret::same(&shown, &flow.state));
    if !same_state {
        return Err(failed("the answer is of another login", "state differs"));
    }
    // An answer that another issuer sent here (RFC 9207).
    if one("iss").is_some_and(|iss| iss != flow.issuer) {
        return Err(failed("the answer is of another issuer", "iss differs"));
    }
    if let Some(error) = one("error") {
        let word: String = error.chars().filter(char::is_ascii_graphic).take(64).collect();
        return Err(failed("the issuer refused it", word));
    }
    let code = one("code").ok_or_else(|| failed("the answer has no code", ""))?;
    let issuer = state.auth.issuers.get(&flow.issuer).ok_or_else(|| failed("the issuer is not known", ""))?;
    let discovery = issuer.discover().await.map_err(|error| failed("the issuer cannot be reached", error))?;
    let redirect =
        callback_url(state, request).map_err(|problem| failed("the Host is malformed", problem))?;
    let tokens = exchange(issuer, &discovery, &code, &flow.verifier, &redirect).await?;
    let client_id = issuer.config.client_id.clone().unwrap_or_default();
    let claims = jwt::verify(issuer, &tokens.id_token, std::slice::from_ref(&client_id))
        .await
        .map_err(|error| failed("the token of the issuer does not count", error))?;
    if claims.text("nonce").is_none_or(|nonce| !secret::same(&nonce, &flow.nonce)) {
        return Err(failed("the token is of another login", "nonce differs"));
    }
    if claims.text("azp").is_some_and(|party| party != client_id) {
        return Err(failed("the token is of another client", "azp differs"));
    }
    let claims = with_roles(issuer, &discovery, &tokens, claims).await;
    let identity = claims.identity(&issuer.config, state.peer(request));
    let mut identity = identity.ok_or_else(|| failed("the token says not who you are", "no sub"))?;
    // What was granted stands in the answer, if it is less than was asked for.
    if identity.scopes.is_empty()
        && let Some(scope) = &tokens.scope
    {
        identity.scopes = scope.split_ascii_whitespace().take(256).map(str::to_owned).collect();
    }
    // So does a launch context; a claim of another name goes before it.
    if identity.patient.is_none() && issuer.config.patient_claim == config::PATIENT_CLAIM {
        identity.patient = tokens.patient.as_deref().and_then(jwt::patient_id);
    }
    Ok((identity, flow.next))
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
    scope: Option<String>,
    /// The launch context of SMART on FHIR.
    patient: Option<String>,
}

/// A code becomes tokens, for who has the verifier.
async fn exchange(
    issuer: &Arc<Issuer>,
    discovery: &Discovery,
    code: &str,
    verifier: &str,
    redirect: &str,
) -> Result<Tokens, Failed> {
    let unreachable = "the issuer gave no token";
    let endpoint =
        discovery.token_endpoint.as_ref().ok_or_else(|| failed(unreachable, "no token_endpoint"))?;
    let client_id = issuer.config.client_id.as_deref().unwrap_or_default();
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect),
        ("code_verifier", verifier),
        ("client_id", client_id),
    ];
    let mut request = issuer
        .http()
        .post(endpoint)
        .header(header::CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded");
    let secret = match &issuer.config.client_secret_file {
        Some(path) => {
            Some(config::read_file(path).map_err(|error| failed("the server is set up wrongly", error))?)
        }
        None => None,
    };
    if let Some(secret) = secret.as_deref().map(str::trim) {
        let methods = &discovery.token_endpoint_auth_methods_supported;
        if methods.is_empty() || methods.iter().any(|method| method == "client_secret_basic") {
            // RFC 6749 section 2.3.1: both are form-encoded first.
            let pair = format!("{}:{}", strictly_encoded(client_id), strictly_encoded(secret));
            let basic = base64::engine::general_purpose::STANDARD.encode(pair);
            request = request.header(header::AUTHORIZATION.as_str(), format!("Basic {basic}"));
        } else {
            form.push(("client_secret", secret));
        }
    }
    let body: Vec<String> =
        form.iter().map(|(name, value)| format!("{name}={}", strictly_encoded(value))).collect();
    let text = issuer
        .fetch(request.body(body.join("&")), endpoint)
        .await
        .map_err(|error| failed(unreachable, error))?;
    serde_json::from_str(&text).map_err(|error| failed(unreachable, error))
}

/// The claims, with the roles from where the issuer puts them: the ID token, else
/// the userinfo endpoint, else the access token.
async fn with_roles(
    issuer: &Arc<Issuer>,
    discovery: &Discovery,
    tokens: &Tokens,
    mut claims: Claims,
) -> Claims {
    let Some(access) = &tokens.access_token else { return claims };
    let wanted = &issuer.config.roles_claim;
    if claims.at(wanted).is_some() {
        return claims;
    }
    if let Some(endpoint) = &discovery.userinfo_endpoint {
        let asked =
            issuer.http().get(endpoint).header(header::AUTHORIZATION.as_str(), format!("Bearer {access}"));
        match issuer.fetch(asked, endpoint).await {
            Ok(text) => {
                let info: Option<serde_json::Value> = serde_json::from_str(&text).ok();
                claims.complete(info);
            }
            Err(error) => tracing::warn!(%error, "the userinfo of a login cannot be fetched"),
        }
    }
    if claims.at(wanted).is_none()
        && let Ok(of_access) = jwt::verify(issuer, access, &issuer.config.audience).await
    {
        claims.complete(Some(of_access.0));
    }
    claims
}

fn callback_url(state: &State, request: &HttpRequest) -> Result<String, Problem> {
    Ok(format!("{}/auth/callback", state.root(request)?))
}

fn strictly_encoded(text: &str) -> String {
    login::encoded(text).replace('/', "%2F")
}

pub fn away(error: &dyn std::fmt::Display) -> Problem {
    tracing::warn!(%error, "an issuer cannot be asked");
    let detail = "the issuer cannot be reached; try again, or log in another way";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "issuer-away", "The issuer cannot be reached", detail)
}

/// A flow as a cookie's value that only this process can have made.
fn sealed(key: &[u8; 32], flow: &Flow) -> String {
    let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(flow).unwrap_or_default());
    let seal = blake3::keyed_hash(key, text.as_bytes()).to_hex();
    format!("{text}.{seal}")
}

fn opened(key: &[u8; 32], value: &str) -> Option<Flow> {
    let (text, seal) = value.split_once('.')?;
    if !secret::same(seal, blake3::keyed_hash(key, text.as_bytes()).to_hex().as_str()) {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_that_was_tampered_with_is_none() {
        let text = |text: &str| text.to_owned();
        let flow = Flow {
            issuer: text("https://id"),
            state: text("s"),
            nonce: text("n"),
            verifier: text("v"),
            next: text("/"),
            expires: 7,
        };
        let value = sealed(&[1; 32], &flow);
        assert_eq!(opened(&[1; 32], &value), Some(flow));
        assert_eq!(opened(&[2; 32], &value), None);
        assert_eq!(opened(&[1; 32], &value.replacen('e', "f", 1)), None);
        assert_eq!(opened(&[1; 32], ""), None);
    }
}
