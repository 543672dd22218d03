//! Roles as the configuration has them: names of actions and a predicate as
//! text. What they mean is decided in `auth/`. Theirs is the one section whose
//! keys are names that the defaults do not have to know.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::DEFAULTS;

/// How keys of roles begin.
pub(super) const SECTION: &str = "roles.";

/// Lays a role (or what else a section has by names of one's own) over what is
/// known of it: what it does not say stays.
pub(super) fn lay(values: &mut Table, section: &str, name: &str, value: Value) {
    let Some(known) = values.get_mut(section).and_then(Value::as_table_mut) else { return };
    match (known.get_mut(name).and_then(Value::as_table_mut), value) {
        (Some(known), Value::Table(fresh)) => known.extend(fresh),
        (_, value) => drop(known.insert(name.to_owned(), value)),
    }
}

/// The lines of a role of the defaults that these do not have.
pub(super) fn rest_of(values: &Table, name: &str) -> String {
    let known: Option<Table> = toml::from_str(DEFAULTS).ok();
    let known = known.as_ref().and_then(|known| known.get("roles")?.get(name)?.as_table());
    let role = values.get("roles").and_then(|roles| roles.get(name)?.as_table());
    lines(role, |key| known.is_some_and(|known| known.contains_key(key)))
}

/// The roles, and what else a section has by names, that the defaults do not have.
pub(super) fn of_ones_own(values: &Table, section: &str) -> String {
    let mut out = String::new();
    for (name, role) in values.get(section).and_then(Value::as_table).into_iter().flatten() {
        if DEFAULTS.contains(&format!("\n[{section}.{name}]\n")) {
            continue;
        }
        let name = Value::String(name.clone());
        let _ = write!(out, "\n[{section}.{name}]\n{}", lines(role.as_table(), |_| false));
    }
    out
}

/// What a role says, but not what it says by saying nothing.
fn lines(role: Option<&Table>, skip: impl Fn(&str) -> bool) -> String {
    let silent = |key: &str, value: &Value| {
        matches!(value.as_str(), Some("" | "0 B"))
            || value.as_bool() == Some(false)
            || value.as_integer() == Some(0)
            || (key == "tenants" && value.as_array().is_some_and(Vec::is_empty))
    };
    let said = role.into_iter().flatten().filter(|(key, value)| !skip(key) && !silent(key, value));
    said.fold(String::new(), |mut out, (key, value)| {
        let _ = writeln!(out, "{key} = {value}");
        out
    })
}

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
    /// In which archives; empty: where its owner belongs.
    #[serde(default)]
    pub tenants: Vec<String>,
}
