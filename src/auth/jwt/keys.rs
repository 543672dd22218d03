//! Public keys of issuers: from a JWK set or a PEM file to keys that check one
//! kind of signature each. Which algorithm a key checks follows from the key,
//! never from the token; keys that are no public keys for signatures are left
//! out, and so are weak ones.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

/// Keys of one issuer that are looked at.
const KEYS_MAX: usize = 64;
/// 2048 bits, in base64url.
const RSA_LETTERS_MIN: usize = 341;

/// A public key.
#[derive(Clone)]
pub struct Key {
    pub id: Option<String>,
    pub algorithms: Vec<Algorithm>,
    pub decoding: DecodingKey,
}

/// What is accepted at all.
const RSA: [Algorithm; 2] = [Algorithm::RS256, Algorithm::PS256];

/// The usable keys of a JWK set, or of a JWK by itself.
///
/// # Errors
/// When it is neither.
pub fn from_json(text: &str) -> Result<Vec<Key>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let list = match value.get("keys") {
        Some(Value::Array(keys)) => keys.clone(),
        Some(_) => return Err("`keys` is no list".to_owned()),
        None => vec![value],
    };
    // One key that is not understood is no reason to lose the others.
    let jwks = list.into_iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    Ok(jwks.filter_map(|jwk| from_jwk(&jwk)).collect())
}

fn from_jwk(jwk: &Jwk) -> Option<Key> {
    let common = &jwk.common;
    let for_signatures = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !for_signatures {
        return None;
    }
    #[allow(clippy::wildcard_enum_match_arm, reason = "the library may add kinds")]
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if rsa.n.len() >= RSA_LETTERS_MIN => RSA.to_vec(),
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        AlgorithmParameters::RSA(_)
        | AlgorithmParameters::EllipticCurve(_)
        | AlgorithmParameters::OctetKeyPair(_)
        // A shared secret is no public key.
        | AlgorithmParameters::OctetKey(_)
        | AlgorithmParameters::Other(_)
        | _ => return None,
    };
    if let Some(stated) = common.key_algorithm {
        algorithms.retain(|algorithm| {
            matches!(
                (stated, algorithm),
                (KeyAlgorithm::RS256, Algorithm::RS256)
                    | (KeyAlgorithm::PS256, Algorithm::PS256)
                    | (KeyAlgorithm::ES256, Algorithm::ES256)
                    | (KeyAlgorithm::EdDSA, Algorithm::EdDSA)
            )
        });
    }
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    (!algorithms.is_empty()).then(|| Key { id: common.key_id.clone(), algorithms, decoding })
}

/// The public keys of a file: PEM, a JWK or a JWK set.
///
/// # Errors
/// When there is none in it.
pub fn from_file(text: &str) -> Result<Vec<Key>, String> {
    let keys = if text.trim_start().starts_with('{') { from_json(text)? } else { from_pem(text) };
    if keys.is_empty() {
        return Err(
            "holds no public key for RS256, PS256, ES256 or EdDSA (RSA of 2048 bits or more, P-256, \
                    Ed25519; PEM \"PUBLIC KEY\", JWK or JWK set)"
                .to_owned(),
        );
    }
    Ok(keys)
}

fn from_pem(text: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    for (start, _) in text.match_indices("-----BEGIN PUBLIC KEY-----").take(KEYS_MAX) {
        let pem = text[start..].split_inclusive("-----END PUBLIC KEY-----").next().unwrap_or_default();
        let bytes = pem.as_bytes();
        let found = DecodingKey::from_rsa_pem(bytes)
            .ok()
            // Base64 of 2048 bits and their frame.
            .filter(|_| pem.len() > 400)
            .map(|key| (key, RSA.to_vec()))
            .or_else(|| Some((DecodingKey::from_ec_pem(bytes).ok()?, vec![Algorithm::ES256])))
            .or_else(|| Some((DecodingKey::from_ed_pem(bytes).ok()?, vec![Algorithm::EdDSA])));
        keys.extend(found.map(|(decoding, algorithms)| Key { id: None, algorithms, decoding }));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_for_other_things_are_left_out() {
        let set = r#"{"keys":[
            {"kty":"oct","k":"c2VjcmV0","kid":"shared","alg":"HS256"},
            {"kty":"RSA","n":"AQAB","e":"AQAB","kid":"weak"},
            {"kty":"EC","crv":"P-384","x":"AA","y":"AA","kid":"other curve"},
            {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","use":"enc","kid":"enc"},
            {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","alg":"RS256","kid":"lies"},
            {"kty":"quantum","kid":"unknown"}, 7,
            {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","use":"sig","kid":"good"}
        ]}"#;
        let keys = from_json(set).unwrap();
        let ids: Vec<_> = keys.iter().map(|key| key.id.as_deref().unwrap()).collect();
        assert_eq!(ids, ["good"]);
        assert_eq!(keys[0].algorithms, [Algorithm::ES256]);
    }

    #[test]
    fn files_that_hold_no_key() {
        for text in
            ["", "{}", "{\"keys\":[]}", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"]
        {
            assert!(from_file(text).is_err(), "{text}");
        }
    }
}
