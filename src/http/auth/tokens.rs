//! `/auth/tokens`: the personal tokens of one's own account. A token is shown
//! once; what is listed later is all that is known of it.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path, Payload},
};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use super::{
    session::{blocking, own_account},
    tell,
};
use crate::{
    auth::{
        Identity, NewToken,
        event::{Event, What},
    },
    http::{Problem, State, openapi::ProblemBody, small},
    storage::accounts::Token,
};

/// A personal token as it is known.
#[derive(Serialize, ToSchema)]
pub struct PersonalToken {
    id: String,
    label: String,
    /// Roles of the account that it has; empty: all of them
    roles: Vec<String>,
    /// What it is narrowed to; empty: nothing
    scopes: Vec<String>,
    created: String,
    expires: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<String>,
    /// The token itself, at its making only
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenWish {
    /// What it is for
    label: String,
    /// Some of the account's roles; none: all of them
    #[serde(default)]
    roles: Vec<String>,
    /// SMART on FHIR scopes that narrow it, such as `system/ImagingStudy.rs`
    #[serde(default)]
    scopes: Vec<String>,
    /// For how long it is valid; 90 where nothing is said
    days: Option<u64>,
}

#[utoipa::path(
    get, path = "/auth/tokens", tag = "Authentication", operation_id = "listTokens",
    summary = "The personal tokens of one's own account",
    responses(
        (status = 200, description = "All of them", body = Vec<PersonalToken>),
        (status = 403, description = "Not a session of a local account", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn list(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let caller = own_account(&request)?;
    let account = state.auth.account(&caller.subject);
    let tokens = account.iter().flat_map(|account| &account.tokens);
    let tokens: Vec<PersonalToken> =
        tokens.map(|token| described(token, state.auth.last_used(token), None)).collect();
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(tokens))
}

#[utoipa::path(
    post, path = "/auth/tokens", tag = "Authentication", operation_id = "makeToken",
    summary = "Make a personal token; it is shown this once",
    request_body = TokenWish,
    responses(
        (status = 201, description = "The token", body = PersonalToken),
        (status = 400, description = "It cannot be as asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "Not a session of a local account", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn make(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let caller = own_account(&request)?;
    let wish: TokenWish = small::json(&request, payload, &state).await?;
    let new = NewToken { label: wish.label, roles: wish.roles, scopes: wish.scopes, days: wish.days };
    let name = caller.subject.clone();
    let (token, text) = blocking(&state, move |auth| auth.add_token(&name, new)).await?;
    let told = tell(&state, &event(&caller, What::TokenMade { id: token.id.clone() })).await;
    if let Err(problem) = told {
        // Nobody has the token yet, and nobody shall.
        let (name, id) = (caller.subject, token.id);
        blocking(&state, move |auth| auth.revoke_token(&name, &id)).await?;
        return Err(problem);
    }
    Ok(HttpResponse::Created().insert_header((header::CACHE_CONTROL, "no-store")).json(described(
        &token,
        None,
        Some(text),
    )))
}

#[utoipa::path(
    delete, path = "/auth/tokens/{token}", tag = "Authentication", operation_id = "revokeToken",
    summary = "Make a personal token worthless",
    params(("token" = String, Path, description = "The id of the token, as the list of tokens has it")),
    responses(
        (status = 204, description = "It is"),
        (status = 403, description = "Not a session of a local account", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such token", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn revoke(
    state: Data<State>,
    request: HttpRequest,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let caller = own_account(&request)?;
    let (name, id) = (caller.subject.clone(), id.into_inner());
    let revoked = id.clone();
    blocking(&state, move |auth| auth.revoke_token(&name, &id)).await?;
    tell(&state, &event(&caller, What::TokenRevoked { id: revoked })).await?;
    Ok(HttpResponse::NoContent().finish())
}

fn event(caller: &Identity, what: What) -> Event {
    let subject = Some(caller.subject.clone());
    Event { what, subject: subject.clone(), by: subject, peer: caller.peer }
}

fn described(token: &Token, last_used: Option<u64>, text: Option<String>) -> PersonalToken {
    PersonalToken {
        id: token.id.clone(),
        label: token.label.clone(),
        roles: token.roles.clone(),
        scopes: token.scopes.clone(),
        created: moment(token.created),
        expires: moment(token.expires),
        last_used: last_used.map(moment),
        token: text,
    }
}

fn moment(seconds: u64) -> String {
    let moment =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}
