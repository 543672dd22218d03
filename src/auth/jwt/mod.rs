//! Tokens of issuers (RFC 7519, RFC 8725): a signed text becomes an identity.
//!
//! The issuer is one of the configuration, the algorithm is one that the key is
//! for, and audience, expiry and `nbf` are checked; nothing that a token says is
//! looked at before its signature fits, but the name of its issuer and its key.

mod claims;
mod issuer;
mod keys;

use std::sync::Arc;

use jsonwebtoken::{Algorithm, Validation, dangerous::insecure_decode_claims, decode, decode_header};
use serde::Deserialize;
use serde_json::Value;

pub use claims::{Claims, NO_TENANT, patient_id};
pub use issuer::{Discovery, FetchError, Issuer};

use crate::config;

/// Longer ones are refused before they are looked at.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Keys without a name that are tried for one token.
const TRIED_MAX: usize = 8;

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is malformed")]
    Malformed,
    #[error("the token is of an issuer that is not known here")]
    Issuer,
    #[error("the token is signed by an algorithm that is not accepted; RS256, PS256, ES256 and EdDSA are")]
    Algorithm,
    #[error("the token is signed by a key that its issuer does not have")]
    Key,
    #[error("the signature of the token is wrong")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    Early,
    #[error("the token is meant for another service")]
    Audience,
    #[error("the token lacks a claim that it needs: iss, sub, aud or exp")]
    Claim,
    #[error("the issuer of the token cannot be asked for its keys at present")]
    Away,
}

/// Everybody whose tokens count.
pub struct Issuers(Vec<Arc<Issuer>>);

impl Issuers {
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub fn new(configured: &[config::Issuer]) -> Result<Self, String> {
        configured.iter().map(|issuer| Issuer::new(issuer).map(Arc::new)).collect::<Result<_, _>>().map(Self)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Issuer>> {
        self.0.iter()
    }

    /// An issuer by its URL.
    #[must_use]
    pub fn get(&self, url: &str) -> Option<&Arc<Issuer>> {
        self.0.iter().find(|issuer| issuer.config.issuer == url)
    }

    /// The claims of a token that a client showed.
    ///
    /// # Errors
    /// When it does not count.
    pub async fn bearer(&self, token: &str) -> Result<(Arc<Issuer>, Claims), TokenError> {
        #[derive(Deserialize)]
        struct Named {
            iss: String,
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let named: Named = insecure_decode_claims(token).map_err(|_| TokenError::Malformed)?;
        let issuer = self.get(&named.iss).ok_or(TokenError::Issuer)?;
        let mut audience = issuer.config.audience.clone();
        if audience.is_empty() {
            audience.extend(issuer.config.client_id.clone());
        }
        Ok((Arc::clone(issuer), verify(issuer, token, &audience).await?))
    }
}

/// The claims of a token of this issuer for one of these audiences.
///
/// # Errors
/// When it does not count.
pub async fn verify(issuer: &Arc<Issuer>, token: &str, audience: &[String]) -> Result<Claims, TokenError> {
    if token.len() > TOKEN_BYTES_MAX || token.split('.').count() != 3 {
        return Err(TokenError::Malformed);
    }
    let header = decode_header(token).map_err(|error| {
        use jsonwebtoken::errors::ErrorKind;
        // `none`, and what nobody knows, is no algorithm to the library.
        let is_other = matches!(error.kind(), ErrorKind::Json(_) | ErrorKind::InvalidAlgorithmName);
        if is_other { TokenError::Algorithm } else { TokenError::Malformed }
    })?;
    let accepted = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
    if !accepted.contains(&header.alg) {
        return Err(TokenError::Algorithm);
    }
    // What must be understood and is not (RFC 7515 section 4.1.11).
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let keys = issuer.keys_for(header.kid.as_deref()).await.ok_or(TokenError::Away)?;
    if keys.is_empty() {
        return Err(TokenError::Key);
    }
    let mut last = TokenError::Algorithm;
    for key in keys.iter().filter(|key| key.algorithms.contains(&header.alg)).take(TRIED_MAX) {
        let mut validation = Validation::new(header.alg);
        validation.set_required_spec_claims(&["exp", "iss", "sub", "aud"]);
        validation.set_issuer(&[&issuer.config.issuer]);
        validation.set_audience(audience);
        validation.validate_nbf = true;
        validation.leeway = issuer.config.leeway_seconds;
        match decode::<Value>(token, &key.decoding, &validation) {
            Ok(data) => return Ok(Claims(data.claims)),
            Err(error) => last = meaning(error.kind()),
        }
        if last != TokenError::Signature {
            break;
        }
    }
    Err(last)
}

fn meaning(kind: &jsonwebtoken::errors::ErrorKind) -> TokenError {
    use jsonwebtoken::errors::ErrorKind;
    #[allow(clippy::wildcard_enum_match_arm, reason = "the library may add to its kinds")]
    match kind {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::Early,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::MissingRequiredClaim(_) => TokenError::Claim,
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        _ => TokenError::Malformed,
    }
}
