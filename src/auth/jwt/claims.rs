//! What a verified token says of its owner, and what that means here.

use std::net::IpAddr;

use serde_json::Value;

use crate::{
    auth::{Identity, Method, identity::fhir_resource},
    config,
};

/// Roles, scopes and tenants that are read of one token.
const LIST_MAX: usize = 256;
const TEXT_CHARACTERS_MAX: usize = 256;
/// Where somebody belongs whose issuer may not speak for any tenant that they
/// claim. No tenant can have this name.
pub const NO_TENANT: &str = "-";

/// The claims of a token whose signature fitted.
#[derive(Debug, Clone)]
pub struct Claims(pub Value);

impl Claims {
    /// A claim by its dotted path (`realm_access.roles`). A claim whose own name
    /// has dots (`https://example.org/roles`) goes before.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Value> {
        self.0.get(path).or_else(|| path.split('.').try_fold(&self.0, |value, key| value.get(key)))
    }

    /// A claim of one text.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        let text = self.at(path)?.as_str()?;
        let plain: String = text.chars().filter(|c| !c.is_control()).take(TEXT_CHARACTERS_MAX).collect();
        (!plain.is_empty()).then_some(plain)
    }

    /// A claim that is a list, or words with spaces between them.
    #[must_use]
    pub fn list(&self, path: &str) -> Vec<String> {
        let texts: Vec<&str> = match self.at(path) {
            Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            Some(_) | None => Vec::new(),
        };
        let fits = |text: &&str| !text.is_empty() && text.chars().count() <= TEXT_CHARACTERS_MAX;
        texts.into_iter().filter(fits).take(LIST_MAX).map(str::to_owned).collect()
    }

    /// Takes over what is not known yet from others of the same subject.
    pub fn complete(&mut self, others: Option<Value>) {
        let Some(Value::Object(others)) = others else { return };
        let Value::Object(own) = &mut self.0 else { return };
        if own.get("sub") != others.get("sub") {
            return;
        }
        for (name, value) in others {
            own.entry(name).or_insert(value);
        }
    }

    /// Who that is.
    #[must_use]
    pub fn identity(&self, issuer: &config::Issuer, peer: Option<IpAddr>) -> Option<Identity> {
        let subject = self.text("sub")?;
        let said = self.list(&issuer.roles_claim);
        let mut roles: Vec<String> = if issuer.roles.is_empty() {
            said
        } else {
            said.iter().filter_map(|role| issuer.roles.get(role).cloned()).collect()
        };
        roles.extend(issuer.default_roles.iter().cloned());
        let fhir_user = self.text("fhirUser");
        let kind = fhir_user.as_deref().and_then(fhir_resource).map(|(kind, _)| kind);
        roles.extend(kind.and_then(|kind| issuer.fhir_user_roles.get(kind).cloned()));
        roles.sort();
        roles.dedup();
        let names = ["name", "preferred_username", "email"];
        Some(Identity {
            // A subject is the issuer's own; two issuers may use the same.
            subject: format!("{}|{subject}", issuer.issuer),
            name: names.iter().find_map(|name| self.text(name)),
            method: Method::Jwt { issuer: issuer.issuer.clone() },
            roles,
            scopes: if self.at("scope").is_some() { self.list("scope") } else { self.list("scp") },
            patient: self.text(&issuer.patient_claim).as_deref().and_then(patient_id),
            patient_issuer: issuer.patient_issuer.clone(),
            fhir_user,
            tenants: self.tenants(issuer),
            peer,
        })
    }

    /// To which tenants the owner belongs: those that the token names, of those
    /// that the issuer may speak for.
    fn tenants(&self, issuer: &config::Issuer) -> Vec<String> {
        let named = self.list(&issuer.tenants_claim);
        if issuer.tenants.is_empty() {
            return named;
        }
        if named.is_empty() {
            return issuer.tenants.clone();
        }
        let mut tenants: Vec<String> =
            named.into_iter().filter(|name| issuer.tenants.contains(name)).collect();
        if tenants.is_empty() {
            // An empty list would mean that it says nothing.
            tenants.push(NO_TENANT.to_owned());
        }
        tenants
    }
}

/// The Patient ID of a launch context, which may be written as a reference.
#[must_use]
pub fn patient_id(context: &str) -> Option<String> {
    let id = match fhir_resource(context) {
        Some(("Patient", id)) => id,
        _ => context,
    };
    (!id.trim().is_empty()).then(|| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_become_an_identity() {
        let issuer: config::Issuer = toml::from_str(
            "issuer = \"https://id\"\nroles_claim = \"realm_access.roles\"\ndefault_roles = [\"viewer\"]\n\
             roles = { radiologist = \"clinician\", it = \"administrator\" }",
        )
        .unwrap();
        let claims = Claims(json!({
            "sub": "42", "name": "Ada", "realm_access": { "roles": ["radiologist", "other", 7] },
            "scope": "openid patient/ImagingStudy.rs", "patient": "p1", "tenants": "north south",
        }));
        let identity = claims.identity(&issuer, None).unwrap();
        assert_eq!(identity.subject, "https://id|42");
        assert_eq!(identity.roles, ["clinician", "viewer"]);
        assert_eq!(identity.scopes, ["openid", "patient/ImagingStudy.rs"]);
        assert_eq!(identity.tenants, ["north", "south"]);
        assert_eq!(identity.patient.as_deref(), Some("p1"));
        assert_eq!(patient_id("https://fhir/Patient/4711").as_deref(), Some("4711"));
        assert_eq!(patient_id("H/4711").as_deref(), Some("H/4711"), "an ID with a slash");
        assert!(Claims(json!({ "sub": 7 })).identity(&issuer, None).is_none());
        // An issuer that speaks for one hospital cannot let anybody into another.
        let bound = config::Issuer { tenants: vec!["south".to_owned()], ..issuer.clone() };
        assert_eq!(claims.identity(&bound, None).unwrap().tenants, ["south"]);
        let of = |claim: Value| Claims(json!({ "sub": "42", "tenants": claim })).tenants(&bound);
        assert_eq!((of(json!("north")), of(json!([]))), (vec!["-".to_owned()], vec!["south".to_owned()]));
        let mut claims = claims;
        claims.complete(Some(json!({ "sub": "43", "email": "x" })));
        assert!(claims.text("email").is_none(), "of another subject");
        claims.complete(Some(json!({ "sub": "42", "name": "Eve", "email": "x" })));
        assert_eq!(
            (claims.text("name").as_deref(), claims.text("email").as_deref()),
            (Some("Ada"), Some("x"))
        );
        assert!(Claims(json!({ "a.b": ["x"], "a": { "b": ["y"] } })).list("a.b") == ["x"]);
    }
}
