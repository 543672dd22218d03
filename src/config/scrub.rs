//! The background check of all that is stored.

use serde::{Deserialize, Serialize};

use super::bytes;

/// How fast and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scrub {
    #[serde(with = "bytes")]
    pub bytes_per_second: u64,
    pub interval_days: u64,
    pub bucket: bool,
}
