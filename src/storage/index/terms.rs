//! What the attributes of a study, a series or a block of instances become in
//! the index. `clause.rs` asks for the same terms; the two files change together.
//!
//! An attribute is known by its path: its tag in hex, within items after the
//! tags of the sequences (`00400275.00400009`). A private one has its creator in
//! place of the number of its block (`0029xx10 SIEMENS CSA HEADER`), for that
//! differs among files. The terms of a path `P`:
//!
//! | term | stands for |
//! |---|---|
//! | `P?` | there is a value that is not empty |
//! | `P=text` | a value, as it is; of PN a component group, folded. Not of dates and numbers |
//! | `P~text` | a word of a PN, folded |
//! | `P%code` | how a word of a PN sounds |
//! | `P#number` | a value of a numeric VR, `P#f` one of single precision |
//! | `P^3text` | a value that begins so, of what results are ordered by, see [`EDGES`] |
//! | `P@0digits` | a date or time, by rungs, see `ladder.rs` |
//! | `P!` | there is more than could be indexed: always a candidate |
//!
//! Texts of studies and series that take wildcards have their trigrams besides,
//! see `grams.rs`. A term stands for all the instances of a block that have it.

use std::collections::HashSet;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use foldhash::fast::RandomState;
use tantivy::TantivyDocument;

use super::grams::{END, SEPARATOR, START};
use super::ladder::{self, Rungs};
use super::order::COLUMNS;
use super::schema::Fields;
use crate::dicom::StudyUid;
use crate::dicom::attributes::{self, PATH_DEPTH_MAX};
use crate::dicom::dataset::{DataSet, Element, PersonName, Value};
use crate::dicom::query::{
    each_text, is_empty, name_tokens, normal_date, normal_datetime, normal_name, normal_time, sound,
};
use crate::storage::Digest;

/// Every document of a study has this term.
pub(super) const A_STUDY: &str = "study";
/// Every document of a series has this term.
pub(super) const A_SERIES: &str = "series";
/// Every document of a block of instances has this term.
pub(super) const A_BLOCK: &str = "block";

/// The term that all documents of a study have in common. Its id will not do:
/// a study that was deleted and stored again has another.
pub(super) fn of_study(study: &StudyUid) -> String {
    format!("study {study}")
}

/// The term that all blocks of a series have in common.
pub(super) fn of_blocks(series_id: u64) -> String {
    format!("block {series_id:x}")
}

/// The term of the text of one encapsulated document.
pub(super) fn of_document(digest: &Digest) -> String {
    format!("document {digest}")
}

/// Characters of a value that is indexed; LO and each group of a PN have 64.
const CHARS_MAX: usize = 160;
/// Distinct values of one attribute that are indexed, those within its items
/// included: of a study, a series, or of one instance more in its block.
const VALUES_MAX: usize = 1000;
/// Component groups of a name.
const GROUPS: usize = 3;
/// Bytes of a private creator that count; LO has 64 characters.
const CREATOR_MAX: usize = 64;

/// How many characters of the beginning of a value are terms of their own, so that
/// what begins so is one list, or few, however many values there are.
pub(super) const EDGES: &[usize] = &[1, 2, 3, 4, 6, 9, 13];

/// Date and time attributes that belong together (PS3.18 section 8.3.4.1.1).
pub(super) const PAIRS: &[(Tag, Tag)] = &[
    (tags::STUDY_DATE, tags::STUDY_TIME),
    (tags::SERIES_DATE, tags::SERIES_TIME),
    (tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
    (tags::PERFORMED_PROCEDURE_STEP_START_DATE, tags::PERFORMED_PROCEDURE_STEP_START_TIME),
    (tags::PERFORMED_PROCEDURE_STEP_END_DATE, tags::PERFORMED_PROCEDURE_STEP_END_TIME),
];

/// As `format!` would, in a third of the time: there are some hundred terms to an
/// instance.
fn joined(path: &str, mark: char, value: &str) -> String {
    let mut term = String::with_capacity(path.len() + mark.len_utf8() + value.len());
    term.push_str(path);
    term.push(mark);
    term.push_str(value);
    term
}

pub(super) fn path_of(tag: Tag) -> String {
    let number = u32::from(tag.group()) << 16 | u32::from(tag.element());
    let digit = |place: u32| char::from_digit(number >> (28 - 4 * place) & 0xF, 16).unwrap_or('0');
    (0..8).map(|place| digit(place).to_ascii_uppercase()).collect()
}

/// The path of a private attribute; its block number is not in it.
pub(super) fn path_of_private(tag: Tag, creator: &str) -> String {
    let end = (0..=CREATOR_MAX.min(creator.len())).rev().find(|end| creator.is_char_boundary(*end));
    let creator = &creator[..end.unwrap_or_default()];
    format!("{:04X}xx{:02X} {creator}", tag.group(), tag.element() & 0xFF)
}

pub(super) fn path_within(sequence: &str, path: &str) -> String {
    joined(sequence, '.', path)
}

/// The path of a date joined with its time.
pub(super) fn path_of_pair(date: Tag) -> String {
    format!("{}+", path_of(date))
}

pub(super) fn present(path: &str) -> String {
    joined(path, '?', "")
}

pub(super) fn overflow(path: &str) -> String {
    joined(path, '!', "")
}

pub(super) fn text(path: &str, value: &str) -> String {
    joined(path, SEPARATOR, value)
}

pub(super) fn sounds(path: &str, code: &str) -> String {
    joined(path, '%', code)
}

pub(super) fn word(path: &str, value: &str) -> String {
    joined(path, '~', value)
}

/// Numbers are equal as numbers: `1`, `1.0` and `+01` are one term.
pub(super) fn number(path: &str, value: f64) -> String {
    // Negative zero prints a sign.
    let value = if value == 0.0 { 0.0 } else { value };
    format!("{path}#{value}")
}

/// Single precision is compared as such: the 0.1 of an FL is the 0.1 of a key.
pub(super) fn float(path: &str, value: f32) -> String {
    let value = if value == 0.0 { 0.0 } else { value };
    format!("{path}#f{value}")
}

pub(super) fn rung(path: &str, rung: usize, digits: &str) -> String {
    format!("{path}@{rung}{digits}")
}

pub(super) fn edge(path: &str, length: usize, beginning: &str) -> String {
    format!("{path}^{length}{beginning}")
}

/// Whether an attribute of a study or series has edges.
fn takes_edges(tag: Tag) -> bool {
    COLUMNS.iter().any(|column| column.tag == tag && column.is_text())
}

/// Whether the attribute of a path has edges.
pub(super) fn has_edges(path: &str) -> bool {
    COLUMNS.iter().any(|column| column.is_text() && path_of(column.tag) == path)
}

/// The rungs of a VR of dates or times.
#[allow(clippy::wildcard_enum_match_arm, reason = "the rest are no dates or times")]
pub(super) fn rungs(vr: VR) -> Option<Rungs> {
    match vr {
        VR::DA => Some(ladder::DATE),
        VR::TM => Some(ladder::TIME),
        VR::DT => Some(ladder::DATE_TIME),
        _ => None,
    }
}

/// Whether wildcards can be asked for (QRY-11); of an attribute that the
/// dictionary does not know they can.
fn takes_wildcards(vr: VR) -> bool {
    matches!(
        vr,
        VR::AE | VR::CS | VR::LO | VR::LT | VR::PN | VR::SH | VR::ST | VR::UC | VR::UN | VR::UR | VR::UT
    )
}

/// Whether a key of this VR asks for numbers.
fn is_number(vr: VR) -> bool {
    matches!(vr, VR::DS | VR::IS | VR::FD | VR::FL | VR::SL | VR::SS | VR::SV | VR::UL | VR::US | VR::UV)
}

/// The terms of a document while they are collected, each once.
pub(super) struct Terms {
    found: HashSet<String, RandomState>,
    /// Texts whose trigrams are wanted; none: no trigrams at all.
    grams: Option<Vec<String>>,
}

/// What is left of an attribute's share of the index.
struct Share {
    values: usize,
    exceeded: bool,
    /// Whether their beginnings are indexed too.
    edges: bool,
}

impl Terms {
    pub fn with_grams() -> Self {
        Self { found: HashSet::default(), grams: Some(Vec::new()) }
    }

    /// For documents in which wildcards are answered by a walk over the values.
    pub fn without_grams() -> Self {
        Self { found: HashSet::default(), grams: None }
    }

    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Puts all into a document.
    pub fn pour(self, doc: &mut TantivyDocument, fields: &Fields) {
        for term in self.found {
            doc.add_text(fields.terms, term);
        }
        for text in self.grams.unwrap_or_default() {
            doc.add_text(fields.grams, text);
        }
    }

    /// False if it was there.
    pub fn add(&mut self, term: String) -> bool {
        self.found.insert(term)
    }

    /// Adds all attributes of a data set.
    pub fn add_set(&mut self, set: &DataSet) {
        for (tag, element) in set.iter() {
            self.add_attribute(set, tag, element);
        }
        self.add_pairs(set, |_| true);
    }

    /// Adds one attribute of a data set.
    pub fn add_attribute(&mut self, set: &DataSet, tag: Tag, element: &Element) {
        for path in paths(set, tag) {
            let edges = self.grams.is_some() && takes_edges(tag);
            let mut share = Share { values: VALUES_MAX, exceeded: false, edges };
            self.add_element(&path, tag, element, 1, &mut share);
            if share.exceeded {
                self.add(overflow(&path));
            }
        }
    }

    /// Adds only that an attribute is there, with whatever value.
    pub fn add_unread(&mut self, set: &DataSet, tag: Tag) {
        for path in paths(set, tag) {
            self.add(present(&path));
            self.add(overflow(&path));
        }
    }

    /// Adds the dates of a data set that are wanted and have a time beside them.
    pub fn add_pairs(&mut self, set: &DataSet, of: impl Fn(Tag) -> bool) {
        for (date, time) in PAIRS.iter().filter(|(date, _)| of(*date)) {
            self.add_pair(set, *date, *time);
        }
    }

    /// What a value is indexed as is a matter of the VR that a key has, which
    /// is the dictionary's; a value of another shape is a candidate for all.
    fn add_element(&mut self, path: &str, tag: Tag, element: &Element, depth: usize, share: &mut Share) {
        if is_empty(&element.value) {
            return;
        }
        self.add(present(path));
        if let Value::Items(items) = &element.value {
            // No key names what lies deeper.
            if depth < PATH_DEPTH_MAX {
                for item in items {
                    self.add_item(path, item, depth + 1, share);
                }
            }
            return;
        }
        let vr = attributes::vr(tag);
        if attributes::is_private(tag) {
            each_text(&element.value, |value| self.add_value(path, vr, value, share));
            return;
        }
        match &element.value {
            // A name under another VR is a name.
            Value::Text(values) if vr == VR::PN => {
                for group in values.iter().flat_map(|value| value.split('=').take(GROUPS)) {
                    self.add_name(path, group, share);
                }
            }
            Value::Text(values) => {
                for value in values {
                    self.add_value(path, vr, value, share);
                }
            }
            Value::Names(names) if vr == VR::PN => {
                for group in names.iter().flat_map(groups) {
                    self.add_name(path, group, share);
                }
            }
            Value::Signed(values) if is_number(vr) => {
                self.add_numbers(values.iter().map(|value| number(path, *value as f64)), share);
            }
            Value::Unsigned(values) if is_number(vr) => {
                self.add_numbers(values.iter().map(|value| number(path, *value as f64)), share);
            }
            Value::Float(values) if is_number(vr) => {
                self.add_numbers(values.iter().map(|value| float(path, *value)), share);
            }
            Value::Double(values) if is_number(vr) => {
                self.add_numbers(values.iter().map(|value| number(path, *value)), share);
            }
            Value::Tags(values) if vr == VR::AT => {
                for value in values {
                    self.add_value(path, vr, &format!("{value:08X}"), share);
                }
            }
            Value::Names(_)
            | Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_) => share.exceeded = true,
            Value::Empty | Value::Items(_) | Value::Inline(_) | Value::Bulk(_) => {}
        }
    }

    fn add_item(&mut self, path: &str, item: &DataSet, depth: usize, share: &mut Share) {
        for (tag, element) in item.iter() {
            for within in paths(item, tag) {
                self.add_element(&path_within(path, &within), tag, element, depth, share);
            }
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest are no dates or times")]
    fn add_value(&mut self, path: &str, vr: VR, value: &str, share: &mut Share) {
        let value = value.trim_matches([' ', '\0']);
        if value.is_empty() {
            return;
        }
        if is_number(vr) {
            let numbers = value.trim().parse().ok().map(|value| number(path, value));
            return self.add_numbers(numbers.into_iter(), share);
        }
        if let Some(rungs) = rungs(vr) {
            let normal = match vr {
                VR::DA => normal_date(value),
                VR::TM => normal_time(value),
                _ => normal_datetime(value),
            };
            if let Some(normal) = normal {
                self.add_rungs(path, rungs, &normal, share);
            }
            return;
        }
        let term = text(path, value);
        if self.found.contains(&term) || !share.take(value) {
            return;
        }
        if let (true, Some(grams)) = (takes_wildcards(vr), &mut self.grams) {
            grams.push(term.clone());
        }
        self.add(term);
        self.add_edges(path, value, share);
    }

    fn add_edges(&mut self, path: &str, value: &str, share: &Share) {
        for length in EDGES.iter().copied().filter(|_| share.edges) {
            let end = value.char_indices().nth(length).map_or(value.len(), |(end, _)| end);
            self.add(edge(path, length, &value[..end]));
        }
    }

    fn add_name(&mut self, path: &str, group: &str, share: &mut Share) {
        let normal = normal_name(group);
        let term = text(path, &normal);
        if normal.is_empty() || self.found.contains(&term) || !share.take(&normal) {
            return;
        }
        if let Some(grams) = &mut self.grams {
            grams.push(term.clone());
        }
        self.add(term);
        self.add_edges(path, &normal, share);
        for token in name_tokens(&normal) {
            self.add(word(path, token));
            if let Some(code) = sound(token) {
                self.add(sounds(path, &code));
            }
        }
    }

    fn add_numbers(&mut self, terms: impl Iterator<Item = String>, share: &mut Share) {
        for term in terms {
            if !self.found.contains(&term) {
                if !share.take("") {
                    return;
                }
                self.add(term);
            }
        }
    }

    /// The finest rung first: where it is known, so are the coarser ones.
    fn add_rungs(&mut self, path: &str, rungs: Rungs, normal: &str, share: &mut Share) {
        let mut steps: Vec<_> = ladder::steps(rungs, normal).into_iter().flatten().collect();
        while let Some((step, digits)) = steps.pop() {
            let term = rung(path, step, digits);
            if self.found.contains(&term) || !share.take("") {
                return;
            }
            self.add(term);
        }
    }

    fn add_pair(&mut self, set: &DataSet, date: Tag, time: Tag) {
        let Some(day) = set.first_text(date).and_then(normal_date) else { return };
        let Some(clock) = set.first_text(time).and_then(normal_time) else { return };
        let mut share = Share { values: VALUES_MAX, exceeded: false, edges: false };
        self.add_rungs(&path_of_pair(date), ladder::DATE_TIME, &(day + &clock), &mut share);
    }
}

/// The paths of an attribute of a data set: one, of a private attribute one for
/// each value of its creator. A private creator itself is no attribute to ask for.
fn paths(set: &DataSet, tag: Tag) -> Vec<String> {
    if !attributes::is_private(tag) {
        return vec![path_of(tag)];
    }
    let mut paths = Vec::new();
    if let Some(creator) = set.get(Tag(tag.group(), tag.element() >> 8))
        && !attributes::is_private_creator(tag)
    {
        each_text(&creator.value, |creator| paths.push(path_of_private(tag, creator)));
    }
    paths
}

impl Share {
    /// Whether a value may still be indexed.
    fn take(&mut self, value: &str) -> bool {
        let fits = self.values > 0
            && (value.len() <= CHARS_MAX || value.chars().nth(CHARS_MAX).is_none())
            && !value.contains([START, END]);
        if fits {
            self.values -= 1;
        } else {
            self.exceeded = true;
        }
        fits
    }
}

fn groups(name: &PersonName) -> impl Iterator<Item = &str> {
    [&name.alphabetic, &name.ideographic, &name.phonetic]
        .into_iter()
        .map(String::as_str)
        .filter(|g| !g.is_empty())
}
