//! Roles as the configuration has them: names of actions and a predicate as
//! text. What they mean is decided in `auth/`.

use serde::{Deserialize, Serialize};

/// What whoever has the role may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Names of actions.
    pub allow: Vec<String>,
    /// Match parameters that say where; empty: everywhere.
    #[serde(default)]
    pub r#where: String,
    /// Only studies that are de-identified.
    #[serde(default)]
    pub deidentified: bool,
}
