//! Who a request comes from, as far as that is proven. Authentication makes an
//! [`Identity`], authorisation makes a `Permit` of it; nothing here says what
//! anybody may do.
//!
//! Invariant: what stands in an identity was proven by its [`Method`]. A name
//! or a role that a client only claims never gets here.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// What stays the same for as long as the caller is the same: the name of a
    /// local account, `issuer|sub` of a token, the subject of a certificate,
    /// `local`, `operator`, `anonymous`, or the id of a share link.
    pub subject: String,
    /// For people to read.
    pub name: Option<String>,
    pub method: Method,
    /// Names of roles, from the account, the claim of the token or the mapping
    /// of the configuration.
    pub roles: Vec<String>,
    /// OAuth scopes (SMART on FHIR v2 among them) as they were granted. For a
    /// personal token: what it is narrowed to.
    pub scopes: Vec<String>,
    /// The patient of a SMART launch context: a Patient ID.
    pub patient: Option<String>,
    /// Whose number that is, where it is known.
    #[serde(default)]
    pub patient_issuer: Option<String>,
    /// The user as a FHIR resource, `Practitioner/123`.
    pub fhir_user: Option<String>,
    /// Tenants the caller belongs to; empty: those that the roles say.
    pub tenants: Vec<String>,
    /// The address the request came from; behind a trusted proxy, that of the
    /// client.
    pub peer: Option<IpAddr>,
}

/// How an identity was proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Not at all: nobody has said who they are. Only what is open to everybody
    /// is open to them.
    Anonymous,
    /// Not at all, and nobody has to: authentication is off, and the caller
    /// reached the loopback interface of this machine.
    Off,
    /// By being able to run a command on this machine.
    Operator,
    /// By the password of a local account, now or at the start of a session.
    Password,
    /// By a personal token of a local account.
    ApiToken { id: String },
    /// By a token of an issuer, or by a session that began with one.
    Jwt { issuer: String },
    /// By the certificate of a TLS client.
    Certificate,
    /// By a share link.
    Share { id: String },
}

impl Identity {
    fn new(subject: &str, method: Method) -> Self {
        Self {
            subject: subject.to_owned(),
            name: None,
            method,
            roles: Vec::new(),
            scopes: Vec::new(),
            patient: None,
            patient_issuer: None,
            fhir_user: None,
            tenants: Vec::new(),
            peer: None,
        }
    }

    /// Everybody, while authentication is off.
    #[must_use]
    pub fn local() -> Self {
        Self::new("local", Method::Off)
    }

    /// Whoever runs a command on this machine.
    #[must_use]
    pub fn operator() -> Self {
        Self::new("operator", Method::Operator)
    }

    /// Whoever has not said who they are.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::new("anonymous", Method::Anonymous)
    }

    /// Of a user who is a patient (`fhirUser` is `Patient/…`): the ID of that one.
    #[must_use]
    pub fn own_patient(&self) -> Option<&str> {
        let (kind, id) = fhir_resource(self.fhir_user.as_deref()?)?;
        (kind == "Patient").then(|| self.patient.as_deref().unwrap_or(id))
    }

    /// The same, from an address.
    #[must_use]
    pub fn from_peer(self, peer: Option<IpAddr>) -> Self {
        Self { peer, ..self }
    }
}

/// Type and id of a FHIR reference, relative or absolute.
#[must_use]
pub fn fhir_resource(reference: &str) -> Option<(&str, &str)> {
    let (rest, id) = reference.trim_end_matches('/').rsplit_once('/')?;
    let kind = rest.rsplit_once('/').map_or(rest, |(_, kind)| kind);
    (!kind.is_empty() && !id.is_empty()).then_some((kind, id))
}
