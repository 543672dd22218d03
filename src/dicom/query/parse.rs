//! The parameters of a search request as a [`Query`] (PS3.18 sections 8.3.4 and
//! 10.6.1.2). What is unknown is left out with a warning; what is known and
//! wrong is an error. Values never appear in either, names of parameters do.

use std::collections::BTreeMap;

use dicom_core::{Tag, VR};

use super::error::{QueryError, Reason, printable};
use super::values::{self, Flags, Tests, decode};
use super::wanted::{Entry, Wanted};
use super::{FullText, Include, Key, Level, Order, Query, Resource, Test, moment, range};
use crate::dicom::attributes::{self, PATH_DEPTH_MAX};

/// Warnings in one answer.
const WARNINGS_MAX: usize = 10;

/// Bytes and words of a `q`.
const TEXT_BYTES_MAX: usize = 1024;
const WORDS_MAX: usize = 32;

/// Attributes to order by.
const ORDER_MAX: usize = 16;

/// Parameters that are others' business.
const OTHERS: [&str; 4] = ["accept", "charset", "access_token", "excludeprivate"];

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// An attribute that cannot be matched is an error instead of a warning:
    /// for archives in which a search that finds too much is worse than none.
    pub strict: bool,
    /// Bytes of the query string.
    pub length_max: usize,
    /// Attributes to match, those of items included.
    pub keys_max: usize,
    /// Values of one attribute; fields of an `includefield`.
    pub values_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { strict: false, length_max: 256 * 1024, keys_max: 100, values_max: 2000 }
    }
}

/// Reads the query string of a search, still percent-encoded.
///
/// # Errors
/// The first parameter that is wrong.
pub fn parse(resource: Resource, raw_query: &str, options: &Options) -> Result<Query, QueryError> {
    if raw_query.len() > options.length_max {
        return Err(QueryError {
            parameter: "query".to_owned(),
            reason: Reason::TooLong(options.length_max),
        });
    }
    let mut parser = Parser {
        options,
        query: Query::new(resource),
        flags: Flags { values_max: options.values_max, ..Flags::default() },
        private_text: false,
        snippet: false,
        creators: BTreeMap::new(),
        keys: 0,
        ranges: Vec::new(),
    };
    let mut wanted = Wanted::default();
    let mut include = Vec::new();
    let mut order = Vec::new();
    let mut given = Vec::new();
    for pair in raw_query.split('&').filter(|pair| !pair.is_empty()) {
        let (raw_name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(raw_name).map_err(|reason| QueryError::at(raw_name, reason))?;
        match name.as_str() {
            "includefield" => include.push(value),
            "orderby" => order.push(value),
            "limit"
            | "offset"
            | "fuzzymatching"
            | "emptyvaluematching"
            | "multiplevaluematching"
            | "q"
            | "qprivate"
            | "snippet" => {
                if given.contains(&name) {
                    return Err(QueryError::at(&name, Reason::Twice));
                }
                parser.setting(&name, value).map_err(|reason| QueryError::at(&name, reason))?;
                given.push(name);
            }
            other if OTHERS.contains(&other) => {}
            other => match attributes::by_path(other) {
                Some(path) if path.iter().all(|tag| is_of_data_sets(*tag)) => wanted.add(&path, other, value),
                Some(_) | None => parser.unknown(other)?,
            },
        }
    }
    if let Some(text) = &mut parser.query.text {
        text.private = parser.private_text;
        text.snippet = parser.snippet;
    }
    parser.attributes(wanted)?;
    parser.include(&include).map_err(|reason| QueryError::at("includefield", reason))?;
    parser.order(&order).map_err(|reason| QueryError::at("orderby", reason))?;
    Ok(parser.query)
}

/// Not of commands, not of the file meta group, no group length.
fn is_of_data_sets(tag: Tag) -> bool {
    tag.group() > 0x0007 && tag.element() != 0 && tag.group() != 0xFFFE
}

struct Parser<'a> {
    options: &'a Options,
    query: Query,
    flags: Flags,
    /// `qprivate` and `snippet`, which may stand before `q`.
    private_text: bool,
    snippet: bool,
    /// Private creators, by the tag the client numbers them with.
    creators: BTreeMap<Tag, String>,
    keys: usize,
    /// Attributes of the list of keys in hand that were given as ranges.
    ranges: Vec<Tag>,
}

impl Parser<'_> {
    fn setting(&mut self, name: &str, raw: &str) -> Result<(), Reason> {
        let value = decode(raw)?;
        let flag = || match value.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Reason::Flag),
        };
        let count = || {
            if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Reason::Count);
            }
            // More than a machine can count is as much as there is.
            Ok(value.parse().unwrap_or(usize::MAX))
        };
        match name {
            "limit" => self.query.limit = Some(count()?),
            "offset" => self.query.offset = count()?,
            "fuzzymatching" => {
                self.flags.fuzzy = flag()?;
                self.query.fuzzy = self.flags.fuzzy;
            }
            "emptyvaluematching" => self.flags.empty = flag()?,
            "q" => {
                if value.len() > TEXT_BYTES_MAX {
                    return Err(Reason::TooLong(TEXT_BYTES_MAX));
                }
                self.query.text = FullText::parse(&value);
                if self.query.text.as_ref().is_some_and(|text| text.words.len() > WORDS_MAX) {
                    return Err(Reason::TooMany(WORDS_MAX));
                }
            }
            "qprivate" => self.private_text = flag()?,
            "snippet" => self.snippet = flag()?,
            _ => self.flags.multiple = flag()?,
        }
        Ok(())
    }

    /// Something that this resource does not match: a warning, or an error.
    fn refuse(&mut self, name: &str, reason: Reason) -> Result<(), QueryError> {
        let error = QueryError::at(name, reason);
        if self.options.strict {
            return Err(error);
        }
        self.warn(format!("{error}. It has been ignored."));
        Ok(())
    }

    fn warn(&mut self, mut warning: String) {
        if let Some(first) = warning.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        if self.query.warnings.len() < WARNINGS_MAX && !self.query.warnings.contains(&warning) {
            self.query.warnings.push(warning);
        }
    }

    fn unknown(&mut self, name: &str) -> Result<(), QueryError> {
        // A keyword begins with a capital, a tag has 8 digits.
        let like_keyword = name.starts_with(|c: char| c.is_ascii_uppercase());
        let like_tag = name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if like_keyword || like_tag || name.contains('.') {
            return self.refuse(name, Reason::Unknown);
        }
        self.warn(format!("the parameter {} is not known. It has been ignored.", printable(name)));
        Ok(())
    }

    fn attributes(&mut self, mut wanted: Wanted<'_>) -> Result<(), QueryError> {
        wanted.creators(&mut self.creators)?;
        wanted.entries.remove(&attributes::SPECIFIC_CHARACTER_SET);
        if let Some(entry) = wanted.entries.remove(&attributes::TIMEZONE_OFFSET) {
            self.zone(&entry).map_err(|reason| QueryError::at(&entry.name, reason))?;
        }
        // Clients ask studies for the modality of their series.
        if self.query.target == Level::Study
            && let Some(entry) = wanted.entries.remove(&attributes::MODALITY)
        {
            wanted.merge(attributes::MODALITIES_IN_STUDY, entry);
        }
        let mut allowed = Vec::new();
        for (tag, entry) in wanted.entries {
            if attributes::is_private_creator(tag) {
                continue;
            }
            // Each answer has its own.
            if tag == attributes::RETRIEVE_URL && !entry.is_return_key() {
                self.refuse(&entry.name, Reason::Returned)?;
                continue;
            }
            match self.level_of(tag) {
                Ok(level) => allowed.push((tag, level, entry)),
                Err(level) if entry.is_return_key() => {
                    if level < self.query.target {
                        self.query.include.fields.push(vec![tag]);
                    }
                }
                Err(_) => self.refuse(&entry.name, Reason::WrongLevel)?,
            }
        }
        let mut keys = Vec::new();
        for (tag, level, entry) in allowed {
            self.add_keys(&[tag], level, entry, &mut keys)?;
        }
        range::combine(&mut keys, &self.ranges);
        self.query.keys = keys;
        Ok(())
    }

    /// The level at which an attribute is matched; an error where it may not be.
    fn level_of(&self, tag: Tag) -> Result<Level, Level> {
        let (top, target) = (self.query.resource.top(), self.query.target);
        let level = if attributes::of_every_level(tag) { target } else { attributes::level(tag) };
        let unique = matches!(tag, attributes::STUDY_INSTANCE_UID | attributes::SERIES_INSTANCE_UID);
        if level <= target && (level >= top || unique) { Ok(level) } else { Err(level) }
    }

    fn zone(&mut self, entry: &Entry<'_>) -> Result<(), Reason> {
        for raw in entry.values.iter().filter(|raw| !raw.is_empty()) {
            // A raw `+` has become a space.
            let value = decode(raw)?;
            let value = match value.strip_prefix(' ') {
                Some(digits) => format!("+{digits}"),
                None => value,
            };
            let zone = moment::zone(value.trim_end()).ok_or(Reason::Zone)?;
            if self.flags.zone.replace(zone).is_some_and(|before| before != zone) {
                return Err(Reason::Twice);
            }
        }
        Ok(())
    }

    /// The keys of the attribute at the end of `path`, into the list of its item.
    fn add_keys(
        &mut self,
        path: &[Tag],
        level: Level,
        entry: Entry<'_>,
        keys: &mut Vec<Key>,
    ) -> Result<(), QueryError> {
        let Some(tag) = path.last().copied() else { return Ok(()) };
        if attributes::is_private_creator(tag) {
            return Ok(());
        }
        let mut creator = None;
        if attributes::is_private(tag) {
            creator = self.creators.get(&creator_tag(tag)).filter(|creator| !creator.is_empty()).cloned();
            if creator.is_none() {
                return self.refuse(&entry.name, Reason::NoCreator);
            }
        }
        self.keys += 1;
        if self.keys > self.options.keys_max {
            return Err(QueryError::at(&entry.name, Reason::TooManyKeys(self.options.keys_max)));
        }
        let vr = if entry.items.entries.is_empty() { attributes::vr(tag) } else { VR::SQ };
        let Tests { tests, is_range } = values::tests(tag, vr, &entry.values, &self.flags)
            .map_err(|reason| QueryError::at(&entry.name, reason))?;
        if is_range {
            self.ranges.push(tag);
        }
        for test in tests {
            match test {
                Test::Any if !entry.items.entries.is_empty() => {}
                // Universal matching asks for no item to be there.
                Test::Any if path.len() > 1 => self.query.include.fields.push(path.to_vec()),
                test @ (Test::Any
                | Test::Empty
                | Test::Uids(_)
                | Test::OneOf(_)
                | Test::AllOf(_)
                | Test::Wildcard(_)
                | Test::Name(_)
                | Test::Number(_)
                | Test::Range(_)
                | Test::DateTime { .. }
                | Test::Item(_)) => keys.push(Key { tag, vr, level, creator: creator.clone(), test }),
            }
        }
        if !entry.items.entries.is_empty() && path.len() < PATH_DEPTH_MAX {
            let outer = std::mem::take(&mut self.ranges);
            let mut items = Vec::new();
            for (inner, entry) in entry.items.entries {
                self.add_keys(&[path, &[inner]].concat(), level, entry, &mut items)?;
            }
            range::combine(&mut items, &self.ranges);
            self.ranges = outer;
            if !items.is_empty() {
                keys.push(Key { tag, vr: VR::SQ, level, creator, test: Test::Item(items) });
            }
        }
        Ok(())
    }

    fn include(&mut self, raw: &[&str]) -> Result<(), Reason> {
        let mut include =
            Include { fields: std::mem::take(&mut self.query.include.fields), ..Include::default() };
        for value in raw {
            for name in decode(value)?.split(',').map(str::trim) {
                if name == "all" {
                    include.all = true;
                } else if let Some(path) = attributes::by_path(name) {
                    include.fields.push(path);
                    if include.fields.len() > self.options.values_max {
                        return Err(Reason::TooMany(self.options.values_max));
                    }
                }
                // What is not known is left out.
            }
        }
        include.fields.sort();
        include.fields.dedup();
        for tag in include.fields.iter().flatten().filter(|tag| attributes::is_private(**tag)) {
            let at = creator_tag(*tag);
            let known = include.creators.iter().any(|(tag, _)| *tag == at);
            if let (false, Some(creator)) = (known, self.creators.get(&at)) {
                include.creators.push((at, creator.clone()));
            }
        }
        self.query.include = include;
        Ok(())
    }

    fn order(&mut self, raw: &[&str]) -> Result<(), Reason> {
        for value in raw {
            for name in decode(value)?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let (name, descending) = match name.strip_prefix('-') {
                    Some(name) => (name, true),
                    None => (name, false),
                };
                let tag = attributes::by_name(name).ok_or(Reason::Order)?;
                let everywhere = attributes::of_every_level(tag);
                let level = if everywhere { self.query.target } else { attributes::level(tag) };
                let full = self.query.order.len() >= ORDER_MAX;
                if level > self.query.target
                    || full
                    || attributes::vr(tag) == VR::SQ
                    || attributes::is_private(tag)
                {
                    return Err(Reason::Order);
                }
                self.query.order.push(Order { tag, level, descending });
            }
        }
        Ok(())
    }
}

/// Where the creator of a private attribute stands, in the same numbering.
pub(super) fn creator_tag(tag: Tag) -> Tag {
    Tag(tag.group(), tag.element() >> 8)
}
