//! Who may come in, as the configuration has it: local accounts, issuers of
//! tokens and certificates of clients. Holds no secret, only the names of the
//! files that hold them; what the rules mean for a request is decided in
//! [`crate::auth`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};

/// How callers prove who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub enabled: bool,
    pub accounts: bool,
    pub password_characters_min: usize,
    pub failures_max: u32,
    pub lock_seconds: u64,
    pub session_idle_minutes: u64,
    pub session_hours_max: u64,
    pub sessions_max: usize,
    pub token_days_max: u64,
    pub query_token: bool,
    pub metrics_open: bool,
    pub issuers: Vec<Issuer>,
    pub certificates: Vec<CertificateRule>,
}

/// Somebody whose tokens are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The `iss` of its tokens, and where its discovery document is found.
    pub issuer: String,
    /// What the login page calls it; the issuer where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// One of these must be in the `aud` of a token.
    #[serde(default)]
    pub audience: Vec<String>,
    /// Where its keys are, in place of what the discovery says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// A file with its keys (PEM, JWK or JWK set); nothing is fetched then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_file: Option<PathBuf>,
    /// Certificates that its own server is trusted by, besides the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// As what Hilum is registered there; with it browsers can log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// What is asked for at a login of a browser.
    #[serde(default = "login_scopes")]
    pub scopes: Vec<String>,
    /// Where the roles stand in a token; a dot leads into an object.
    #[serde(default = "roles_claim")]
    pub roles_claim: String,
    #[serde(default = "tenants_claim")]
    pub tenants_claim: String,
    /// To which tenants its tokens can belong, and do where they name none.
    /// Empty: to those that a token names.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Where the Patient ID of a SMART launch stands in a token.
    #[serde(default = "patient_claim")]
    pub patient_claim: String,
    /// Whose Patient IDs these are (Issuer of Patient ID); none: any issuer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_issuer: Option<String>,
    /// Roles by what kind of FHIR resource `fhirUser` is, such as `Practitioner`.
    #[serde(default)]
    pub fhir_user_roles: BTreeMap<String, String>,
    /// Roles by what the claim says. Empty: the claim names roles.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
    /// What everybody with a token of this issuer is.
    #[serde(default)]
    pub default_roles: Vec<String>,
    /// By how much its clock may differ from ours.
    #[serde(default = "leeway")]
    pub leeway_seconds: u64,
}

fn login_scopes() -> Vec<String> {
    ["openid", "profile"].map(str::to_owned).to_vec()
}

fn roles_claim() -> String {
    "roles".to_owned()
}

/// As SMART on FHIR names it.
pub const PATIENT_CLAIM: &str = "patient";

fn patient_claim() -> String {
    PATIENT_CLAIM.to_owned()
}

fn tenants_claim() -> String {
    "tenants".to_owned()
}

fn leeway() -> u64 {
    30
}

/// Who the owner of a certificate is. All that is named must fit; `*` stands
/// for any text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRule {
    /// The subject, such as `CN=ct1, O=Hospital`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// One of the subject's alternative names (DNS, e-mail, URI).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub san: Option<String>,
    pub roles: Vec<String>,
    #[serde(default)]
    pub tenants: Vec<String>,
}

/// TLS of the server's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: PathBuf,
    pub client_certificate: ClientCertificate,
    pub hsts_seconds: u64,
}

/// Whether a client needs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    Off,
    Optional,
    Required,
}

impl Tls {
    /// The server speaks TLS itself.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }
}

impl Issuer {
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.issuer)
    }
}

/// The text of a file that the configuration names.
///
/// # Errors
/// When it cannot be read.
pub fn read_file(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// Nothing is fetched over a line that others can write on.
#[must_use]
pub fn is_safe_url(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return url.starts_with("https://") && url.len() > 8 };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    !authority.contains('@')
        && (host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

/// Whether what the configuration says of callers may run.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let (auth, tls) = (&config.auth, &config.tls);
    let refused = |key: &'static str, why: String| Err(ConfigError::Refused { key, why });
    let proxied = !config.trusted_proxies.is_empty();
    if !config.listen.ip().to_canonical().is_loopback() && !(auth.enabled && (tls.is_on() || proxied)) {
        let missing = match (auth.enabled, tls.is_on() || proxied) {
            (false, true) => {
                "there is no authentication: anyone could read and delete every study. Set \
                              auth.enabled = true"
            }
            (true, false) => {
                "passwords and images would cross the network in the clear. Set tls.certificate and \
                              tls.key, or name the reverse proxy that speaks TLS in trusted_proxies"
            }
            (_, _) => {
                "there is neither authentication nor TLS: anyone could read and delete every study. Set \
                       auth.enabled = true, and tls.certificate and tls.key (or name the reverse proxy that \
                       speaks TLS in trusted_proxies); docs/SECURITY-SETUP.md goes through it in ten minutes"
            }
        };
        let listen = config.listen;
        let why = format!(
            "is {listen}, which other machines can reach, and {missing}; or listen on 127.0.0.1 or [::1]"
        );
        return refused("listen", why);
    }
    if tls.is_on() == tls.key.as_os_str().is_empty() {
        return refused("tls.key", "and tls.certificate are needed both, or neither".to_owned());
    }
    if tls.client_certificate != ClientCertificate::Off
        && (!tls.is_on() || tls.client_ca.as_os_str().is_empty())
    {
        let why =
            "needs tls.certificate, and tls.client_ca: the authorities whose certificates count".to_owned();
        return refused("tls.client_certificate", why);
    }
    if !auth.certificates.is_empty() && tls.client_certificate == ClientCertificate::Off {
        let why = "needs tls.client_certificate = \"optional\" or \"required\"".to_owned();
        return refused("auth.certificates", why);
    }
    if auth.certificates.iter().any(|rule| rule.subject.is_none() && rule.san.is_none()) {
        return refused("auth.certificates", "has a rule that names neither a subject nor a san".to_owned());
    }
    if auth.enabled && !auth.accounts && auth.issuers.is_empty() && auth.certificates.is_empty() {
        let why = "is true, but nobody could come in: set auth.accounts = true or name an issuer".to_owned();
        return refused("auth.enabled", why);
    }
    for issuer in &auth.issuers {
        check_issuer(issuer).or_else(|why| refused("auth.issuers", format!("{}: {why}", issuer.issuer)))?;
    }
    let names: std::collections::BTreeSet<&str> =
        auth.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect();
    if names.len() < auth.issuers.len() {
        return refused("auth.issuers", "names an issuer twice".to_owned());
    }
    check_roles(config)?;
    let above_zero = [
        ("auth.failures_max", u64::from(auth.failures_max)),
        ("auth.lock_seconds", auth.lock_seconds),
        ("auth.session_idle_minutes", auth.session_idle_minutes),
        ("auth.session_hours_max", auth.session_hours_max),
        ("auth.sessions_max", auth.sessions_max as u64),
        ("auth.token_days_max", auth.token_days_max),
    ];
    if let Some((key, _)) = above_zero.into_iter().find(|(_, value)| *value == 0) {
        return refused(key, "must be above 0".to_owned());
    }
    if auth.password_characters_min < 8 {
        return refused("auth.password_characters_min", "must be at least 8".to_owned());
    }
    Ok(())
}

/// A role that is none would let in whoever has it, to nothing.
fn check_roles(config: &Config) -> Result<(), ConfigError> {
    let of_issuers = config.auth.issuers.iter().flat_map(|issuer| {
        let roles = issuer.roles.values().chain(&issuer.default_roles).chain(issuer.fhir_user_roles.values());
        roles.map(|role| ("auth.issuers", role))
    });
    let of_certificates = config.auth.certificates.iter().flat_map(|rule| &rule.roles);
    let mut named = of_issuers.chain(of_certificates.map(|role| ("auth.certificates", role)));
    match named.find(|(_, role)| !config.roles.contains_key(*role)) {
        Some((key, role)) => {
            let known: Vec<&str> = config.roles.keys().map(String::as_str).collect();
            let why = format!("names the role {role}, which is none of {}", known.join(", "));
            Err(ConfigError::Refused { key, why })
        }
        None => Ok(()),
    }
}

fn check_issuer(issuer: &Issuer) -> Result<(), String> {
    if issuer.audience.is_empty() && issuer.client_id.is_none() {
        return Err(
            "name the audience of its tokens, or a token made for another service would count".to_owned()
        );
    }
    if issuer.leeway_seconds > 300 {
        return Err("leeway_seconds is more than five minutes".to_owned());
    }
    let fetched = [Some(&issuer.issuer).filter(|_| issuer.keys_file.is_none()), issuer.jwks_uri.as_ref()];
    match fetched.into_iter().flatten().find(|url| !is_safe_url(url)) {
        Some(url) => Err(format!("{url} is not https (http is accepted of this machine only)")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_safe_url;

    #[test]
    fn only_this_machine_is_asked_in_the_clear() {
        for url in
            ["https://id.example", "http://127.0.0.1:8080/x", "http://[::1]:1", "http://localhost/realm"]
        {
            assert!(is_safe_url(url), "{url}");
        }
        for url in [
            "http://id.example",
            "http://127.0.0.1@id.example/",
            "ftp://x",
            "https://",
            "http://localhost.example",
        ] {
            assert!(!is_safe_url(url), "{url}");
        }
    }
}
