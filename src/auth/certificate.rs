//! Certificates of TLS clients: whom a verified certificate stands for. That it
//! is valid, and whose authority vouches for it, was checked by TLS.

use std::net::IpAddr;

use x509_parser::{extensions::GeneralName, prelude::*};

use super::{Identity, Method};
use crate::config::CertificateRule;

/// The identity of a certificate (DER) by the first rule that fits it.
#[must_use]
pub fn identity(der: &[u8], rules: &[CertificateRule], peer: Option<IpAddr>) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject().to_string();
    let sans: Vec<String> = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
                Some((*text).to_owned())
            }
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => None,
        })
        .collect();
    let fits = |rule: &&CertificateRule| {
        rule.subject.as_ref().is_none_or(|pattern| matches(pattern, &subject))
            && rule.san.as_ref().is_none_or(|pattern| sans.iter().any(|san| matches(pattern, san)))
    };
    let rule = rules.iter().find(fits)?;
    let common_name = certificate.subject().iter_common_name().next();
    Some(Identity {
        name: common_name.and_then(|name| name.as_str().ok()).map(str::to_owned),
        subject,
        method: Method::Certificate,
        roles: rule.roles.clone(),
        scopes: Vec::new(),
        patient: None,
        patient_issuer: None,
        fhir_user: None,
        tenants: rule.tenants.clone(),
        peer,
    })
}

/// Whether the text is as the pattern, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text) in
            [("a", "a"), ("*", ""), ("CN=ct*, O=X", "CN=ct1, O=X"), ("a*b*c", "a1b2c"), ("*.x", "y.x")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("a", "ab"), ("", "a"), ("CN=ct*, O=X", "CN=ct1, O=Y"), ("a*b*c", "acb"), ("*a", "")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_certificate_is_who_the_first_rule_says() {
        let mut params = rcgen::CertificateParams::new(vec!["ct1.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "ct1");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Hospital");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let rule = |subject: Option<&str>, san: Option<&str>, role: &str| CertificateRule {
            subject: subject.map(str::to_owned),
            san: san.map(str::to_owned),
            roles: vec![role.to_owned()],
            tenants: Vec::new(),
        };
        let who = |rules: &[CertificateRule]| identity(certificate.der(), rules, None);
        let found = who(&[
            rule(Some("CN=mr*"), None, "a"),
            rule(Some("CN=ct1, O=Hospital"), Some("*.example"), "b"),
            rule(None, Some("*"), "c"),
        ])
        .unwrap();
        assert_eq!((found.subject.as_str(), found.name.as_deref()), ("CN=ct1, O=Hospital", Some("ct1")));
        assert_eq!(found.roles, ["b"]);
        assert!(who(&[rule(Some("CN=ct1"), None, "a")]).is_none());
        assert!(identity(b"nonsense", &[rule(Some("*"), None, "a")], None).is_none());
    }
}
