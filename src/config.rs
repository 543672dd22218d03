//! The configuration: typed, with one commented default file (`config.toml`
//! beside this one) as the only place where keys, defaults and their meaning
//! are written down.
//!
//! Sources, the later the stronger: the defaults, a TOML file, `HILUM_*`
//! variables, the command line. Each value is tried as it is laid over the
//! others, so an error names the line or the variable it came from. An unknown
//! key of a file is an error: a limit with a typing mistake is no limit.

mod audit;
mod auth;
mod bounds;
mod coercion;
mod encryption;
mod network;
mod roles;
mod scrub;
mod shares;
mod tenants;
#[cfg(test)]
mod tests;
mod tier;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

pub use audit::{Audit, Receiver};
pub use auth::{
    Auth, CertificateRule, ClientCertificate, Issuer, PATIENT_CLAIM, Tls, is_safe_url, read_file,
};
pub use coercion::{Attribute, Coercion, CoercionReason};
pub use encryption::{Encryption, KEY_VARIABLE, read_key_file};
pub use network::Network;
pub use roles::Role;
pub use scrub::Scrub;
pub use shares::Shares;
pub use tenants::{EVERY_ARCHIVE, RESERVED, ROOT_ARCHIVE, TENANTS_FOLDER, Tenant, is_name};
pub use tier::{Acknowledge, Tier};

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("config.toml");

/// The variable that names the configuration file; every other `HILUM_*`
/// variable is a key or a secret.
const FILE_VARIABLE: &str = "HILUM_CONFIG";
/// The variable with the token by which `hilum import` stores.
pub const TOKEN_VARIABLE: &str = "HILUM_TOKEN";

/// Everything that can be set. The meaning of each key stands in `config.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub data: PathBuf,
    pub listen: SocketAddr,
    #[serde(with = "url")]
    pub public_url: Option<String>,
    pub trusted_proxies: Vec<Network>,
    pub workers: usize,
    pub stop_seconds_max: u64,
    pub delete_enabled: bool,
    pub store: Store,
    pub limits: Limits,
    pub commitment: Commitment,
    pub pixels: Pixels,
    pub uploads: Uploads,
    pub render: Render,
    pub search: Search,
    pub strict: Strict,
    pub scrub: Scrub,
    pub catalog: Catalog,
    pub index: Index,
    pub encryption: Encryption,
    pub audit: Audit,
    pub tier: Tier,
    pub cors: Cors,
    pub roles: BTreeMap<String, Role>,
    pub auth: Auth,
    pub shares: Shares,
    pub tenants: BTreeMap<String, Tenant>,
    pub tls: Tls,
    pub log: Log,
}

/// How packs are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    #[serde(with = "bytes")]
    pub pack_bytes_max: u64,
    pub streams_max: usize,
    #[serde(with = "bytes")]
    pub small_bytes_max: u64,
    #[serde(with = "bytes")]
    pub alone_bytes_min: u64,
    pub duplicates: Duplicates,
    pub warn_attributes: bool,
    pub coerce: Vec<Coercion>,
    pub versions_max: usize,
    #[serde(with = "bytes")]
    pub quota_bytes_max: u64,
    pub quota_instances_max: u64,
}

/// What happens to a SOP Instance UID that is stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    Reject,
    Replace,
    Keep,
}

/// Where a request ends, however it was meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    #[serde(with = "bytes")]
    pub part_bytes_max: u64,
    #[serde(with = "bytes")]
    pub request_bytes_max: u64,
    pub request_parts_max: usize,
    #[serde(with = "bytes")]
    pub part_header_bytes_max: u64,
    #[serde(with = "bytes")]
    pub dataset_bytes_max: u64,
    #[serde(with = "bytes")]
    pub inflated_bytes_max: u64,
    pub body_silent_seconds_max: u64,
    #[serde(with = "bytes")]
    pub body_bytes_per_second_min: u64,
    pub uploads_max: usize,
    #[serde(with = "bytes")]
    pub upload_memory_bytes_max: u64,
    pub queue_max: usize,
    pub results_max: usize,
    pub request_frames_max: usize,
    pub zip_instances_max: usize,
    #[serde(with = "bytes")]
    pub zip_list_bytes_max: u64,
    pub address_requests_max: usize,
    pub caller_requests_per_second_max: u32,
    pub caller_requests_burst_max: u32,
}

/// What is promised of stored instances, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitment {
    pub references_max: usize,
    pub result_days: u64,
    pub transactions_max: usize,
}

/// What decoding may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pixels {
    pub threads: usize,
    pub waiting_max: usize,
    #[serde(with = "bytes")]
    pub frame_bytes_max: u64,
    pub frame_time_max_ms: u64,
    #[serde(with = "bytes")]
    pub cache_bytes: u64,
    #[serde(with = "bytes")]
    pub ahead_bytes_max: u64,
    pub lossy: bool,
}

/// Uploads that outlive their connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uploads {
    pub count_max: usize,
    #[serde(with = "bytes")]
    pub bytes_max: u64,
    pub idle_seconds_max: u64,
}

/// What pictures may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Render {
    #[serde(with = "bytes")]
    pub cache_bytes: u64,
    pub side_max: u32,
    pub animation_frames_max: usize,
    #[serde(with = "bytes")]
    pub animation_bytes_max: u64,
    pub thumbnail_side: u32,
    #[serde(with = "bytes")]
    pub thumbnail_disk_bytes_max: u64,
}

/// How searches answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    pub empty_status: EmptyStatus,
    pub paging_seconds_max: u64,
    pub paging_sessions_max: usize,
    pub sorted_max: u64,
    pub time_max_ms: u64,
    #[serde(with = "bytes")]
    pub document_bytes_max: u64,
    #[serde(with = "bytes")]
    pub text_bytes_max: u64,
    pub document_seconds_max: u64,
}

/// Where the letter of the standard is stricter than its users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strict {
    pub accept: bool,
    pub query: bool,
}

/// The catalog's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    #[serde(with = "bytes")]
    pub cache_bytes: u64,
}

/// The search index's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    #[serde(with = "bytes")]
    pub writer_bytes: u64,
}

/// Which web pages may use the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    pub origins: Vec<String>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

/// The status of a search that found nothing: 200 since CP-2473, 204 before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum EmptyStatus {
    EmptyList,
    NoContent,
}

impl TryFrom<u16> for EmptyStatus {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        match status {
            200 => Ok(Self::EmptyList),
            204 => Ok(Self::NoContent),
            _ => Err(format!("{status} is neither 200 nor 204")),
        }
    }
}

impl From<EmptyStatus> for u16 {
    fn from(status: EmptyStatus) -> u16 {
        match status {
            EmptyStatus::EmptyList => 200,
            EmptyStatus::NoContent => 204,
        }
    }
}

/// What the command line sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    pub data: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
}

/// Why there is no configuration to run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}, a file of the configuration: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Syntax { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{origin}: unknown key `{key}`{}", meant(key))]
    UnknownKey { origin: Origin, key: String },
    #[error("{origin}: `{key}` {why}")]
    Value { origin: Origin, key: String, why: String },
    #[error("`{key}` {why}")]
    Refused { key: &'static str, why: String },
    #[error("`{key}` is {value}, and must be {}", range(*least, *most))]
    OutOfRange { key: String, value: u64, least: u64, most: u64 },
}

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File { path: PathBuf, line: usize },
    Variable(String),
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        toml::from_str(DEFAULTS).expect("the defaults are a constant that a test parses")
    }
}

impl Config {
    /// The configuration from all its sources, checked.
    ///
    /// # Errors
    /// With the line, the variable or the key that is wrong and how to mend it.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let variables: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let named = std::env::var_os(FILE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        let text = match file.or(named.as_deref()) {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
                Some((path, text))
            }
            None => None,
        };
        let file = text.as_ref().map(|(path, text)| (*path, text.as_str()));
        Self::from_sources(file, &variables, overrides)
    }

    fn from_sources(
        file: Option<(&Path, &str)>,
        variables: &[(String, String)],
        overrides: Overrides,
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::new();
        if let Some((path, text)) = file {
            layers.lay_file(path, text)?;
        }
        for (name, text) in variables {
            layers.lay_variable(name, text)?;
        }
        let mut config = layers.config;
        if let Some(data) = overrides.data {
            config.data = data;
        }
        if let Some(listen) = overrides.listen {
            config.listen = listen;
        }
        config.check()?;
        Ok(config)
    }

    /// `HILUM_*` variables that set nothing. They are no error: an orchestrator
    /// puts variables of its own there for a service of that name.
    #[must_use]
    pub fn unknown_variables() -> Vec<String> {
        let known = variables_of(&defaults());
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| name.starts_with("HILUM_"))
            .filter(|name| ![FILE_VARIABLE, KEY_VARIABLE, TOKEN_VARIABLE].contains(&name.as_str()))
            .filter(|name| !known.iter().any(|(variable, _)| variable == name))
            .collect()
    }

    /// Refuses what must not run, whatever asked for it.
    ///
    /// # Errors
    /// Names the key and how to mend it.
    pub fn check(&self) -> Result<(), ConfigError> {
        auth::check(self)?;
        self.tier.check()?;
        tenants::check(self)?;
        if self.data.as_os_str().is_empty() {
            let why = "is empty, and must name the folder of the archive".to_owned();
            return Err(ConfigError::Refused { key: "data", why });
        }
        bounds::check(self)?;
        check_origins(&self.cors.origins)?;
        check_level(&self.log.level)
    }

    /// The effective values in the commented default file.
    #[must_use]
    pub fn to_commented_toml(&self) -> String {
        let values = Table::try_from(self).expect("every field has a TOML form");
        let mut section = String::new();
        let mut out = String::with_capacity(DEFAULTS.len());
        for line in DEFAULTS.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut section);
            }
            // A role that the defaults have may have a `where` that they do not.
            if let Some(name) = section.strip_prefix("roles.").filter(|_| line.is_empty()) {
                out.push_str(&roles::rest_of(&values, name));
            }
            let key = line.split_once(" = ").map(|(key, _)| key).filter(|key| !key.starts_with('#'));
            let set = key.and_then(|key| Some((key, value_at(&values, &path_of(&section, key))?)));
            match set {
                Some((key, value)) => out.extend([key, " = ", value.to_string().as_str(), "\n"]),
                None => out.extend([line, "\n"]),
            }
        }
        out + &roles::of_ones_own(&values, "roles") + &roles::of_ones_own(&values, "tenants")
    }
}

/// The configuration as it grows, value by value.
struct Layers {
    values: Table,
    config: Config,
}

impl Layers {
    fn new() -> Self {
        Self { values: defaults(), config: Config::default() }
    }

    fn lay_file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let syntax = |source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) };
        let spans = toml::de::DeTable::parse(text).map_err(syntax)?;
        let values: Table = toml::from_str(text).map_err(syntax)?;
        let origin = |start: usize| Origin::File {
            path: path.to_owned(),
            line: text.as_bytes().iter().take(start).filter(|byte| **byte == b'\n').count() + 1,
        };
        for (name, inner) in spans.get_ref() {
            let Some(value) = values.get(name.get_ref().as_ref()) else { continue };
            match (inner.get_ref().as_table(), value) {
                (Some(inner), Value::Table(section)) => {
                    self.known(name.get_ref(), &origin(name.span().start))?;
                    for (key, value) in section {
                        let span = inner.keys().find(|name| name.get_ref() == key).map(toml::Spanned::span);
                        let origin = origin(span.map_or(0, |span| span.start));
                        self.lay(&path_of(name.get_ref(), key), value.clone(), origin)?;
                    }
                }
                _ => self.lay(name.get_ref(), value.clone(), origin(name.span().start))?,
            }
        }
        Ok(())
    }

    fn lay_variable(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let known = variables_of(&self.values);
        let Some((_, key)) = known.into_iter().find(|(variable, _)| variable == name) else {
            return Ok(());
        };
        let value = match value_at(&self.values, &key) {
            Some(Value::Integer(_)) => text.trim().replace('_', "").parse().ok().map(Value::Integer),
            Some(Value::Boolean(_)) => text.trim().parse().ok().map(Value::Boolean),
            Some(Value::Array(_)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
            Some(Value::String(_) | Value::Float(_) | Value::Datetime(_) | Value::Table(_)) | None => None,
        };
        // Text that does not fit is kept as text: the type of the key says what is wrong with it.
        let value = value.unwrap_or_else(|| Value::String(text.to_owned()));
        self.lay(&key, value, Origin::Variable(name.to_owned()))
    }

    fn known(&self, key: &str, origin: &Origin) -> Result<(), ConfigError> {
        // Roles and tenants have what names they like.
        if key.starts_with(roles::SECTION) || key.starts_with(tenants::SECTION) {
            return Ok(());
        }
        match value_at(&self.values, key) {
            Some(_) => Ok(()),
            None => Err(ConfigError::UnknownKey { origin: origin.clone(), key: key.to_owned() }),
        }
    }

    fn lay(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        self.known(key, &origin)?;
        let mut values = self.values.clone();
        let place = match key.split_once('.') {
            Some((section @ ("roles" | "tenants"), name)) => {
                roles::lay(&mut values, section, name, value.clone());
                None
            }
            Some((section, key)) => {
                values.get_mut(section).and_then(Value::as_table_mut).and_then(|table| table.get_mut(key))
            }
            None => values.get_mut(key),
        };
        if let Some(place) = place {
            *place = value;
        }
        match values.clone().try_into() {
            Ok(config) => {
                self.values = values;
                self.config = config;
                Ok(())
            }
            Err(error) => {
                let why = in_words(error.message());
                Err(ConfigError::Value {
                    origin,
                    key: key.to_owned(),
                    why: format!("has a wrong value: {why}"),
                })
            }
        }
    }
}

/// What is wrong with a value, without the names of our types.
fn in_words(message: &str) -> String {
    let whole = ["expected usize", "expected u64", "expected u32"];
    let message = whole.iter().fold(message.to_owned(), |message, told| {
        message.replace(told, "expected a whole number that is not below 0")
    });
    match message.split_once("expected struct ") {
        Some((told, _)) => format!("{told}expected a table, which a file can hold and a variable cannot"),
        None if message == "invalid socket address syntax" => {
            "expected an IP address and a port, such as 127.0.0.1:8080".to_owned()
        }
        None => message,
    }
}

fn range(least: u64, most: u64) -> String {
    if most == u64::MAX { format!("at least {least}") } else { format!("{least} to {most}") }
}

/// An origin as browsers send it: anything else would never be the same.
fn check_origins(origins: &[String]) -> Result<(), ConfigError> {
    let is_origin = |origin: &String| {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let plain = |rest: &str| {
            rest.bytes()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase() || b".-_:[]".contains(&byte))
        };
        origin == "*" || rest.is_some_and(|rest| !rest.is_empty() && plain(rest))
    };
    match origins.iter().find(|origin| !is_origin(origin)) {
        Some(origin) => Err(ConfigError::Refused {
            key: "cors.origins",
            why: format!(
                "has {origin:?}, which no browser calls an origin: scheme, host in small letters and port if \
                 there is one, without a path or a slash at the end, such as \"https://viewer.example.org\"; or \"*\""
            ),
        }),
        None => Ok(()),
    }
}

/// A level, or directives. A word that is no level would name a module, and with it
/// nothing else would be logged.
fn check_level(level: &str) -> Result<(), ConfigError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let is_known = level.split(',').all(|part| match part.rsplit_once('=') {
        Some((_, level)) => is_level(level),
        None => is_level(part) || part.contains("::") || part.contains('['),
    });
    if is_known && tracing_subscriber::EnvFilter::try_new(level).is_ok() {
        return Ok(());
    }
    let why = format!(
        "is {level:?}, and must be \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or directives such as \
         \"info,hilum::storage=debug\""
    );
    Err(ConfigError::Refused { key: "log.level", why })
}

fn defaults() -> Table {
    toml::from_str(DEFAULTS).expect("the defaults are a constant that a test parses")
}

fn path_of(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

fn value_at<'a>(values: &'a Table, path: &str) -> Option<&'a Value> {
    match path.split_once('.') {
        Some((section, key)) => value_at(values.get(section)?.as_table()?, key),
        None => values.get(path),
    }
}

/// Every key with the variable that sets it.
fn variables_of(values: &Table) -> Vec<(String, String)> {
    keys_of(values)
        .into_iter()
        .map(|key| (format!("HILUM_{}", key.to_uppercase().replace('.', "_")), key))
        .collect()
}

fn keys_of(values: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in values {
        match value.as_table() {
            Some(section) => keys.extend(section.keys().map(|key| path_of(name, key))),
            None => keys.push(name.clone()),
        }
    }
    keys
}

/// The key of the same name in another section, or the nearest in spelling.
fn meant(key: &str) -> String {
    let own = key.rsplit('.').next().unwrap_or(key);
    let distance = |known: &String| {
        let name = known.rsplit('.').next().unwrap_or(known);
        spelling_distance(own, name)
    };
    match keys_of(&defaults()).into_iter().min_by_key(distance) {
        Some(known) if distance(&known) <= 3 => format!("; did you mean `{known}`?"),
        _ => "; `hilum config` prints all keys".to_owned(),
    }
}

/// Levenshtein's distance.
fn spelling_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

/// A number of bytes: `4096` or `"4 KiB"`.
mod bytes {
    use super::{Deserialize, Deserializer, Serializer};

    const UNITS: [(&str, u64); 5] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a number of bytes such as 4096 or \"64 MiB\"")]
    enum Written {
        Number(u64),
        Text(String),
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = match Written::deserialize(from)? {
            Written::Number(bytes) => return Ok(bytes),
            Written::Text(text) => text,
        };
        read(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is not a number of bytes such as 4096 or \"64 MiB\""))
        })
    }

    pub(super) fn read(text: &str) -> Option<u64> {
        let text = text.trim().replace('_', "");
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim() {
            "" => 1,
            name => UNITS.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name))?.1,
        };
        number.parse::<u64>().ok()?.checked_mul(unit)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub fn serialize<S: Serializer>(bytes: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&written(*bytes))
    }

    pub(super) fn written(bytes: u64) -> String {
        let exact = UNITS.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
        match exact {
            Some((name, unit)) => format!("{} {name}", bytes / unit),
            None => "0 B".to_owned(),
        }
    }
}

/// A base URL without its last slash; empty means none.
mod url {
    use super::{Deserialize, Deserializer, Serializer};

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
        let text = String::deserialize(from)?;
        let text = text.trim().trim_end_matches('/');
        if text.is_empty() {
            return Ok(None);
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let plain = |rest: &str| {
            rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}?#".contains(&byte))
        };
        match rest {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') && plain(rest) => {
                Ok(Some(text.to_owned()))
            }
            _ => Err(serde::de::Error::custom(format!(
                "{text:?} is not a URL such as https://pacs.example.org"
            ))),
        }
    }

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub fn serialize<S: Serializer>(url: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(url.as_deref().unwrap_or_default())
    }
}
