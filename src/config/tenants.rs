//! Tenants as the configuration has them: further archives of one server, by
//! name. What a name opens for whom is decided in `auth/`; where its archive
//! lies is said here, so that the server and every command agree.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Config, ConfigError};

/// How keys of tenants begin.
pub(super) const SECTION: &str = "tenants.";
/// The archive that is no tenant's, where names of tenants stand in a list.
pub const ROOT_ARCHIVE: &str = "root";
/// All archives, where names of tenants stand in a list.
pub const EVERY_ARCHIVE: &str = "*";
/// The folder of their archives.
pub const TENANTS_FOLDER: &str = "tenants";

/// What stands at the beginning of paths already, or may one day.
pub const RESERVED: [&str; 20] = [
    ROOT_ARCHIVE,
    "admin",
    "api",
    "audit",
    "auth",
    "conformance",
    "dicomweb",
    "docs",
    "fhir",
    "healthz",
    "metrics",
    "readyz",
    "shared",
    "shares",
    "static",
    "tenants",
    "ui",
    "uploads",
    "viewer",
    "wado",
];
const NAME_CHARACTERS_MAX: usize = 32;

/// One further archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// For people to read.
    #[serde(default)]
    pub title: String,
    #[serde(default, with = "super::bytes")]
    pub quota_bytes_max: u64,
    #[serde(default)]
    pub quota_instances_max: u64,
}

/// Whether a tenant may have this name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_CHARACTERS_MAX).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !RESERVED.contains(&name)
}

pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let Some(name) = config.tenants.keys().find(|name| !is_name(name)) else { return Ok(()) };
    let why = if RESERVED.contains(&name.as_str()) {
        format!("cannot have {name:?}: paths of the server itself begin with that, or may one day")
    } else {
        format!(
            "has {name:?}: a name is 1 to {NAME_CHARACTERS_MAX} of a-z, 0-9 and -, the first of them no -"
        )
    };
    Err(ConfigError::Refused { key: "tenants", why })
}

impl Config {
    /// The folder of a tenant's archive; without a name that of the root.
    #[must_use]
    pub fn folder_of(&self, tenant: Option<&str>) -> PathBuf {
        match tenant {
            Some(name) => self.data.join(TENANTS_FOLDER).join(name),
            None => self.data.clone(),
        }
    }

    /// Names of tenants in roles and elsewhere that are none: they grant nothing.
    #[must_use]
    pub fn unknown_tenants(&self) -> Vec<(String, String)> {
        let is_known = |name: &String| {
            name == ROOT_ARCHIVE || name == EVERY_ARCHIVE || self.tenants.contains_key(name.as_str())
        };
        let roles = self.roles.iter().map(|(role, said)| (format!("roles.{role}"), &said.tenants));
        let issuers = self.auth.issuers.iter().map(|issuer| (issuer.issuer.clone(), &issuer.tenants));
        let certificates = self.auth.certificates.iter();
        let certificates = certificates.map(|rule| ("auth.certificates".to_owned(), &rule.tenants));
        let named = roles.chain(issuers).chain(certificates);
        named
            .flat_map(|(place, names)| names.iter().map(move |name| (place.clone(), name)))
            .filter(|(_, name)| !is_known(name))
            .map(|(place, name)| (place, name.clone()))
            .collect()
    }
}
