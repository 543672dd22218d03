//! Scopes of SMART on FHIR (version 2, and version 1) as rights to images:
//! `patient/ImagingStudy.rs`, `user/*.cruds`, `system/*.c`, `patient/*.read`.
//!
//! Of ImagingStudy, `c` and `u` are to store, `r` is to see and to download one
//! that is known, `s` is to search, `d` is to delete. Resources that are not
//! images are passed over; a scope with a search parameter (`?…`) narrows by
//! what this archive cannot hold it to, and grants nothing.

use super::{Rights, permit::Action};
use crate::dicom::query::Alternative;

/// The resource that stands for images.
const RESOURCE: &str = "ImagingStudy";

/// What a launch told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// A Patient ID.
    pub patient: Option<&'a str>,
    /// Whose number that is.
    pub issuer: Option<&'a str>,
}

/// What scopes say.
#[derive(Debug, Default)]
pub struct Scopes {
    /// There are scopes of SMART among them, of whatever resource.
    pub is_smart: bool,
    /// To what a user's own rights are narrowed.
    pub of_user: Option<Rights>,
    /// What stands without a user.
    pub own: Rights,
}

/// Reads the scopes of a token. Without a patient in its context, those of a
/// patient grant nothing.
#[must_use]
pub fn read(scopes: &[String], context: &Context<'_>) -> Scopes {
    let mut found = Scopes::default();
    let patient = context.patient.map(str::trim).filter(|id| !id.is_empty());
    for scope in scopes.iter().flat_map(|scopes| scopes.split_whitespace()) {
        let Some((compartment, rest)) = scope.split_once('/') else { continue };
        if !matches!(compartment, "patient" | "user" | "system") {
            continue;
        }
        let Some((resource, permissions)) = rest.split_once('.') else { continue };
        found.is_smart = true;
        if resource != RESOURCE && resource != "*" {
            continue;
        }
        let Some(actions) = actions(permissions) else { continue };
        match (compartment, patient) {
            ("user", _) => found.of_user.get_or_insert_default().grant(actions, None),
            ("system", _) => found.own.grant(actions, None),
            (_, Some(id)) => {
                let within = Alternative::of_patient(id, context.issuer);
                found.own.grant(actions, Some(&within));
            }
            (_, None) => {}
        }
    }
    found
}

/// Whether somebody's own token can be narrowed to this scope. One that says nothing
/// of what a user may do with images would leave the token nothing.
#[must_use]
pub fn narrows(scope: &str) -> bool {
    let said = read(&[scope.to_owned()], &Context::default());
    !scope.contains(char::is_whitespace) && said.of_user.is_some()
}

/// The letters of `cruds` in this order, or a word of version 1.
fn actions(permissions: &str) -> Option<Vec<Action>> {
    let letters = match permissions {
        "read" => "rs",
        "write" => "cud",
        "*" => "cruds",
        letters => letters,
    };
    let mut left = "cruds".chars();
    let mut actions = Vec::new();
    for letter in letters.chars() {
        // Each once, and in their order; else it is no scope.
        left.find(|next| *next == letter)?;
        actions.extend_from_slice(match letter {
            'c' | 'u' => &[Action::Store, Action::Commit],
            'r' => &[Action::View, Action::Download],
            's' => &[Action::Search],
            _ => &[Action::Delete],
        });
    }
    (!actions.is_empty()).then_some(actions)
}
