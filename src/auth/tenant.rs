//! Which archive of a server is meant: the root's, or that of a tenant. Every
//! request is of exactly one, and every right is a right in exactly one.

use std::sync::Arc;

use crate::config::{EVERY_ARCHIVE, ROOT_ARCHIVE};

/// An archive of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tenant {
    /// The one that is no tenant's.
    #[default]
    Root,
    Named(Arc<str>),
    /// Somebody named one that is not there. Nobody may do anything in it.
    Unknown,
}

impl Tenant {
    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Root | Self::Unknown => None,
        }
    }

    /// What its paths begin with.
    #[must_use]
    pub fn prefix(&self) -> String {
        self.name().map(|name| format!("/{name}")).unwrap_or_default()
    }

    /// Whether a list of names has it.
    #[must_use]
    pub fn is_in(&self, names: &[String]) -> bool {
        let word = match self {
            Self::Root => ROOT_ARCHIVE,
            Self::Named(name) => name,
            Self::Unknown => return false,
        };
        names.iter().any(|name| name == EVERY_ARCHIVE || name == word)
    }

    /// Whether what extends to these tenants extends to it. Nothing said: where
    /// its owner belongs; of an owner who belongs nowhere, the root archive.
    #[must_use]
    pub fn is_within(&self, said: &[String], owner: &[String]) -> bool {
        match (said.is_empty(), owner.is_empty()) {
            (true, true) => *self == Self::Root,
            (true, false) => self.is_in(owner),
            (false, true) => self.is_in(said),
            (false, false) => self.is_in(said) && self.is_in(owner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_role_extends_to() {
        let (root, north) = (Tenant::Root, Tenant::Named("north".into()));
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        for (said, owner, in_root, in_north) in [
            (&[][..], &[][..], true, false),
            (&["*"], &[], true, true),
            (&["north"], &[], false, true),
            (&["root", "north"], &[], true, true),
            (&[], &["north"], false, true),
            (&["*"], &["north"], false, true),
            (&["root"], &["north"], false, false),
            (&["south"], &["*"], false, false),
            (&["nroth"], &[], false, false),
        ] {
            let (said, owner) = (list(said), list(owner));
            assert_eq!(root.is_within(&said, &owner), in_root, "{said:?} {owner:?}");
            assert_eq!(north.is_within(&said, &owner), in_north, "{said:?} {owner:?}");
            assert!(!Tenant::Unknown.is_within(&said, &owner));
        }
    }
}
