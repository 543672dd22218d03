//! Links to studies for people without an account.

use serde::{Deserialize, Serialize};

/// What links may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    pub days_max: u64,
    pub studies_max: usize,
    pub count_max: usize,
    pub viewer_url: String,
}
