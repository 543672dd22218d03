//! Unique identifiers as newtypes, so that a Series UID cannot be passed where
//! a Study UID is meant, and a UID in our hands is known to be well formed.
//!
//! A well-formed UID here is 1 to 64 characters of digits and dots (PS3.5
//! section 9.1 without the rule on leading zeros, which real devices break;
//! PS3.18 section 5.1.1). No path separator can pass.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with the text of a UID. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UidError {
    #[error("a UID is empty")]
    Empty,
    #[error("a UID has {0} characters, and 64 are allowed")]
    TooLong(usize),
    #[error("a UID has a character other than a digit or a dot at position {0}")]
    Character(usize),
}

/// Checks the form of a UID: 1 to 64 characters of `[0-9.]`.
///
/// # Errors
/// What is wrong, with the position.
pub fn check(text: &str) -> Result<(), UidError> {
    if text.is_empty() {
        return Err(UidError::Empty);
    }
    if text.len() > 64 {
        return Err(UidError::TooLong(text.len()));
    }
    match text.bytes().position(|byte| !byte.is_ascii_digit() && byte != b'.') {
        Some(position) => Err(UidError::Character(position)),
        // "." and ".." would be path components; a UID starts with a digit.
        None if text.starts_with('.') => Err(UidError::Character(0)),
        None => Ok(()),
    }
}

macro_rules! uid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(Box<str>);

        impl $name {
            /// Takes a text of 1 to 64 digits and dots.
            ///
            /// # Errors
            /// What is wrong with the text.
            pub fn parse(text: &str) -> Result<Self, UidError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

uid_type!(
    /// Study Instance UID (0020,000D).
    StudyUid
);
uid_type!(
    /// Series Instance UID (0020,000E).
    SeriesUid
);
uid_type!(
    /// SOP Instance UID (0008,0018).
    InstanceUid
);
uid_type!(
    /// Transaction UID (0008,1195).
    TransactionUid
);

/// A series by its full path: the same Series UID may occur in two studies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesPath {
    pub study: StudyUid,
    pub series: SeriesUid,
}

/// An instance by its full path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstancePath {
    pub study: StudyUid,
    pub series: SeriesUid,
    pub instance: InstanceUid,
}

impl InstancePath {
    #[must_use]
    pub fn series_path(&self) -> SeriesPath {
        SeriesPath { study: self.study.clone(), series: self.series.clone() }
    }
}

impl fmt::Display for SeriesPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.study, self.series)
    }
}

impl fmt::Display for InstancePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.study, self.series, self.instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_and_hostile_uids() {
        assert!(check("1.2.840.10008.1.2").is_ok());
        assert!(check("1.02.3").is_ok(), "leading zeros occur in real data");
        assert_eq!(check(""), Err(UidError::Empty));
        assert_eq!(check(&"1".repeat(65)), Err(UidError::TooLong(65)));
        assert_eq!(check("../etc"), Err(UidError::Character(2)));
        assert_eq!(check(".."), Err(UidError::Character(0)));
    }
}
