//! `/.well-known/smart-configuration` (SMART App Launch 2.2, section 9): where an
//! app gets its token. Hilum gives none: it names the endpoints of the issuer
//! whose tokens it believes, and says only what it holds tokens to itself.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::oidc;
use crate::{
    auth::jwt::Discovery,
    http::{Problem, State, openapi::ProblemBody},
};

/// What a token may ask for here (docs/ACCESS.md).
const SCOPES: [&str; 8] = [
    "openid",
    "fhirUser",
    "launch/patient",
    "patient/ImagingStudy.rs",
    "user/ImagingStudy.cruds",
    "system/ImagingStudy.cruds",
    "patient/ImagingStudy.read",
    "user/ImagingStudy.read",
];

/// What the archive itself does with a token.
const CAPABILITIES: [&str; 4] = ["permission-patient", "permission-user", "permission-v1", "permission-v2"];

/// Where an app gets its token, and what it may ask for.
#[derive(Serialize, ToSchema)]
pub struct SmartConfiguration {
    issuer: String,
    jwks_uri: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    token_endpoint_auth_methods_supported: Vec<String>,
    grant_types_supported: Vec<String>,
    response_types_supported: Vec<String>,
    code_challenge_methods_supported: Vec<String>,
    scopes_supported: Vec<&'static str>,
    capabilities: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_endpoint: Option<String>,
}

#[utoipa::path(
    get, path = "/.well-known/smart-configuration", tag = "Authentication", operation_id = "smartConfiguration",
    summary = "Where a SMART on FHIR app gets its token: the endpoints of the first issuer",
    responses(
        (status = 200, description = "Of the first issuer of the configuration", body = SmartConfiguration),
        (status = 404, description = "No issuer is configured, or it has no endpoints", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The issuer cannot be reached", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn configuration(state: Data<State>) -> Result<HttpResponse, Problem> {
    let auth = &state.config.auth;
    // One with keys in a file is never asked for anything.
    let first = auth.issuers.iter().find(|issuer| issuer.keys_file.is_none()).filter(|_| auth.enabled);
    let issuer = first.and_then(|first| state.auth.issuers.get(&first.issuer));
    let none = || Problem::not_found("SMART configuration: no issuer with endpoints is configured");
    let issuer = issuer.ok_or_else(none)?;
    let found = issuer.discover().await.map_err(|error| oidc::away(&error))?;
    let described = described(&found, issuer.config.jwks_uri.as_deref()).ok_or_else(none)?;
    Ok(HttpResponse::Ok().json(described))
}

fn described(found: &Discovery, jwks_uri: Option<&str>) -> Option<SmartConfiguration> {
    let methods = &found.token_endpoint_auth_methods_supported;
    let mut capabilities = CAPABILITIES.to_vec();
    for (method, capability) in [
        ("none", "client-public"),
        ("client_secret_basic", "client-confidential-symmetric"),
        ("private_key_jwt", "client-confidential-asymmetric"),
    ] {
        if methods.iter().any(|known| known == method) {
            capabilities.push(capability);
        }
    }
    let or =
        |list: &[String], usual: &str| if list.is_empty() { vec![usual.to_owned()] } else { list.to_vec() };
    Some(SmartConfiguration {
        issuer: found.issuer.clone(),
        jwks_uri: jwks_uri.map_or_else(|| found.jwks_uri.clone(), str::to_owned),
        authorization_endpoint: found.authorization_endpoint.clone()?,
        token_endpoint: found.token_endpoint.clone()?,
        token_endpoint_auth_methods_supported: methods.clone(),
        grant_types_supported: or(&found.grant_types_supported, "authorization_code"),
        response_types_supported: or(&found.response_types_supported, "code"),
        code_challenge_methods_supported: or(&found.code_challenge_methods_supported, "S256"),
        scopes_supported: SCOPES.to_vec(),
        capabilities,
        registration_endpoint: found.registration_endpoint.clone(),
        introspection_endpoint: found.introspection_endpoint.clone(),
        revocation_endpoint: found.revocation_endpoint.clone(),
    })
}
