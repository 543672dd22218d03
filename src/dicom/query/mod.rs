//! A search as values (PS3.18 section 8.3.4, PS3.4 section C.2.2.2).
//!
//! [`parse`] turns the parameters of a request into a [`Query`]; [`matches()`]
//! is the one predicate that decides what matches. The index only narrows the
//! candidates down by the same tests.

mod closeness;
mod error;
mod filter;
mod full_text;
mod matching;
mod moment;
mod names;
mod parse;
mod pattern;
mod project;
mod range;
mod selection;
mod values;
mod wanted;

use std::sync::Arc;

use dicom_core::{Tag, VR};

pub use closeness::{edits_allowed, is_fuzzy_match, sound};
pub use error::{QueryError, Reason};
pub use filter::{Alternative, Filter, is_deidentified};
pub use full_text::{Closeness, FullText, Hearing, Word};
pub use matching::{each_text, is_empty, matches, matches_key, narrows};
pub use moment::{normal_date, normal_datetime, normal_time};
pub use names::{name_tokens, normal_name};
pub use parse::{Options, parse};
pub use project::{Projection, project};
pub use selection::Selection;

/// The level of the information model an attribute belongs to, from the root
/// down. Patient attributes are searched on the Study level (Study Root).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Study,
    Series,
    Instance,
}

/// The search resources of PS3.18 Table 10.6.1-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `/studies`
    Studies,
    /// `/studies/{s}/series`
    StudySeries,
    /// `/studies/{s}/instances`
    StudyInstances,
    /// `/series`
    Series,
    /// `/studies/{s}/series/{se}/instances`
    SeriesInstances,
    /// `/instances`
    Instances,
}

impl Resource {
    /// The level of what is searched for.
    #[must_use]
    pub fn target(self) -> Level {
        match self {
            Self::Studies => Level::Study,
            Self::StudySeries | Self::Series => Level::Series,
            Self::StudyInstances | Self::SeriesInstances | Self::Instances => Level::Instance,
        }
    }

    /// The highest level whose attributes may be matched, and come back by
    /// default; it and every level down to the target (PS3.18 section
    /// 10.6.1.2.1 and 10.6.3.3).
    #[must_use]
    pub fn top(self) -> Level {
        match self {
            Self::Studies | Self::Series | Self::Instances => Level::Study,
            Self::StudySeries | Self::StudyInstances => Level::Series,
            Self::SeriesInstances => Level::Instance,
        }
    }
}

/// A search: what must match, what comes back, how much of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub resource: Resource,
    /// The level of what is searched for: that of the resource.
    pub target: Level,
    /// All of them must match. A tag may occur more than once.
    pub keys: Vec<Key>,
    pub include: Include,
    /// What of the archive is looked at: one of its alternatives must hold too.
    pub filter: Option<Arc<Filter>>,
    /// Words to be found in any text of a result (`q=`). Whoever asks
    /// [`matches()`] has to look for them too.
    pub text: Option<FullText>,
    /// `fuzzymatching=true` was asked for; the [`NameTest`]s show it already.
    pub fuzzy: bool,
    /// The order of the results, most significant first, before the default
    /// order; empty: the default order.
    pub order: Vec<Order>,
    /// Results to leave out at the start.
    pub offset: usize,
    /// Results wanted; none: as many as the server gives.
    pub limit: Option<usize>,
    /// What the client should know: ignored parameters and the like, each a
    /// sentence for a `Warning: 299` header.
    pub warnings: Vec<String>,
}

impl Query {
    /// The search that finds everything.
    #[must_use]
    pub fn new(resource: Resource) -> Self {
        Self {
            resource,
            target: resource.target(),
            keys: Vec::new(),
            include: Include::default(),
            filter: None,
            text: None,
            fuzzy: false,
            order: Vec::new(),
            offset: 0,
            limit: None,
            warnings: Vec::new(),
        }
    }
}

/// One attribute to order results by (`orderby=-StudyDate`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub tag: Tag,
    /// Never below the target's level.
    pub level: Level,
    pub descending: bool,
}

/// One attribute and the test on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub tag: Tag,
    pub vr: VR,
    /// Where the attribute lives; keys within an item have the level of their
    /// sequence.
    pub level: Level,
    /// For a private attribute: its private creator. The tag's block number is
    /// the client's, the stored one may differ.
    pub creator: Option<String>,
    pub test: Test,
}

impl Key {
    /// A key on a standard attribute.
    #[must_use]
    pub fn new(tag: Tag, vr: VR, level: Level, test: Test) -> Self {
        Self { tag, vr, level, creator: None, test }
    }
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
    /// The bounds are in this zone, in minutes east of UTC, and a stored value
    /// whose zone is known is brought into it before it is compared. Whoever
    /// compares without zones must take up to 26 hours more on both sides.
    /// None: local times are compared as they stand.
    pub zone: Option<i16>,
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameTest {
    /// One of these must match any one of the groups; or `by_group`.
    pub any_group: Vec<Pattern>,
    /// Alphabetic, ideographic, phonetic: one of the patterns of each, where there
    /// are any.
    pub by_group: [Vec<Pattern>; 3],
    /// With fuzzy matching: folded tokens, each of which must begin a token of
    /// the name, be written nearly like one or sound like one, whichever group it
    /// is in (`joh do` finds `John^Doe`, see [`is_fuzzy_match`]). Where there are
    /// any they decide alone, and the patterns are none.
    pub tokens: Vec<String>,
}

/// What attributes come back beside the default ones.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Include {
    /// `includefield=all`
    pub all: bool,
    /// Paths of tags; one tag for a top-level attribute.
    pub fields: Vec<Vec<Tag>>,
    /// The private creators of the private tags in `fields`: the tag of the
    /// creator element as the client numbers it, and its value.
    pub creators: Vec<(Tag, String)>,
}

#[cfg(test)]
mod tests;
