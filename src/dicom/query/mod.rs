//! A search as values (PS3.18 section 8.3.4, PS3.4 section C.2.2.2).
//!
//! [`parse`] turns the parameters of a request into a [`Query`]; [`matches`]
//! is the one predicate that decides what matches. The index only narrows the
//! candidates down by the same tests.

use dicom_core::{Tag, VR};

/// The level of the information model an attribute belongs to, from the root
/// down. Patient attributes are searched on the Study level (Study Root).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Study,
    Series,
    Instance,
}

/// A search: what must match, what comes back, how much of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The level of what is searched for.
    pub target: Level,
    /// All of them must match.
    pub keys: Vec<Key>,
    pub include: Include,
    /// Names are matched by folded token prefixes too (`fuzzymatching=true`).
    pub fuzzy: bool,
    /// Results to leave out at the start.
    pub offset: usize,
    /// Results wanted; none: as many as the server gives.
    pub limit: Option<usize>,
    /// What the client should know: ignored parameters and the like, each a
    /// sentence for a `Warning: 299` header.
    pub warnings: Vec<String>,
}

/// One attribute and the test on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub tag: Tag,
    pub vr: VR,
    /// Where the attribute lives; keys within an item have the level of their
    /// sequence.
    pub level: Level,
    pub test: Test,
}

/// What a value must be. Every test but [`Test::Any`] and [`Test::Empty`]
/// fails on an absent or empty attribute; a multi-valued attribute matches if
/// any of its values does.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Universal matching: a return key.
    Any,
    /// Empty Value matching (PS3.4 section C.2.2.2.7).
    Empty,
    /// List of UID matching, or one UID.
    Uids(Vec<String>),
    /// Equal to one of these texts. Case-sensitive, padding stripped.
    OneOf(Vec<String>),
    /// Multiple Value matching: the attribute has all of these values.
    AllOf(Vec<String>),
    /// `*` and `?` in a text; case-sensitive.
    Wildcard(Vec<Pattern>),
    /// A person name: folded, by component group, see [`NameTest`].
    Name(NameTest),
    /// A number equal to one of these (IS DS US UL SS SL FL FD SV UV).
    Number(Vec<f64>),
    /// DA, TM or DT between two bounds, both inclusive.
    Range(Range),
    /// Combined date and time (PS3.18 section 8.3.4.1.1): the key's tag is the
    /// date attribute, `time` the time attribute; the bounds are 14 to 21
    /// characters `YYYYMMDDHHMMSS.FFFFFF`.
    DateTime { time: Tag, range: Range },
    /// Sequence matching: one item in which all of these keys match.
    Item(Vec<Key>),
}

/// Inclusive bounds, as normalised text that compares in lexicographic order:
/// DA `YYYYMMDD`, TM `HHMMSS.FFFFFF`, DT `YYYYMMDDHHMMSS.FFFFFF`. A stored value
/// is normalised the same way (truncated components filled with the lowest)
/// before it is compared. A lower bound is filled low, an upper one high.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    pub from: Option<String>,
    pub to: Option<String>,
}

/// A wildcard pattern: literal texts with gaps of any or of one character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Literal(String),
    /// `*`
    Any,
    /// `?`
    One,
}

/// Matching of person names. Text is folded ([`crate::dicom::fold::fold`]) and
/// stripped of trailing `^`. Without `=` in the key every component group is
/// tried; with it each given group must match the stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTest {
    /// Alternatives for any group, or `by_group`.
    pub any_group: Option<Pattern>,
    /// Alphabetic, ideographic, phonetic.
    pub by_group: [Option<Pattern>; 3],
    /// With fuzzy matching: folded tokens, each of which must begin a token of
    /// the name (`joh do` finds `John^Doe`).
    pub tokens: Vec<String>,
}

/// What attributes come back beside the default ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Include {
    /// `includefield=all`
    pub all: bool,
    /// Paths of tags; one tag for a top-level attribute.
    pub fields: Vec<Vec<Tag>>,
}
