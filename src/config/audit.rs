//! How the audit log is kept, as the configuration writes it. What the keys mean
//! stands in `config.toml`.

use serde::{Deserialize, Serialize};

/// The audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    pub enabled: bool,
    pub required: bool,
    pub flush_ms: u64,
    pub interval_seconds: u64,
}
