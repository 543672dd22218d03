//! What the attributes of a study or series become in the index. `clause.rs`
//! asks for the same terms; the two files change together.
//!
//! An attribute is known by its path: its tag in hex, within items after the
//! tags of the sequences (`00400275.00400009`). The terms of a path `P`:
//!
//! | term | stands for |
//! |---|---|
//! | `P?` | there is a value that is not empty |
//! | `P=text` | a value, as it is; of PN a component group, folded |
//! | `P~text` | a word of a PN, folded |
//! | `P#number` | a value of a numeric VR, `P#f` one of single precision |
//! | `P@0digits` | a date or time, by rungs, see `ladder.rs` |
//! | `P!` | there is more than could be indexed: always a candidate |
//!
//! Texts that take wildcards have their trigrams besides, see `grams.rs`.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use tantivy::TantivyDocument;

use super::grams::{END, SEPARATOR, START};
use super::ladder::{self, Rungs};
use super::schema::Fields;
use crate::dicom::StudyUid;
use crate::dicom::attributes;
use crate::dicom::dataset::{DataSet, Element, PersonName, Value};
use crate::dicom::query::{
    Key, Level, Test, matches_key, name_tokens, normal_date, normal_datetime, normal_name, normal_time,
};

/// Every document of a study has this term.
pub(super) const A_STUDY: &str = "study";
/// Every document of a series has this term.
pub(super) const A_SERIES: &str = "series";

/// The term that all documents of a study have in common. Its id will not do:
/// a study that was deleted and stored again has another.
pub(super) fn of_study(study: &StudyUid) -> String {
    format!("study {study}")
}

/// Characters of a value that is indexed; LO and each group of a PN have 64.
const CHARS_MAX: usize = 160;
/// Values of one attribute that are indexed, those within its items included.
const VALUES_MAX: usize = 400;
/// Items within items that are looked into.
const DEPTH_MAX: usize = 4;

/// Date and time attributes that belong together (PS3.18 section 8.3.4.1.1).
pub(super) const PAIRS: &[(Tag, Tag)] = &[
    (tags::STUDY_DATE, tags::STUDY_TIME),
    (tags::SERIES_DATE, tags::SERIES_TIME),
    (tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
    (tags::PERFORMED_PROCEDURE_STEP_START_DATE, tags::PERFORMED_PROCEDURE_STEP_START_TIME),
    (tags::PERFORMED_PROCEDURE_STEP_END_DATE, tags::PERFORMED_PROCEDURE_STEP_END_TIME),
];

pub(super) fn path_of(tag: Tag) -> String {
    format!("{:04X}{:04X}", tag.group(), tag.element())
}

pub(super) fn path_within(sequence: &str, tag: Tag) -> String {
    format!("{sequence}.{:04X}{:04X}", tag.group(), tag.element())
}

/// The path of a date joined with its time.
pub(super) fn path_of_pair(date: Tag) -> String {
    format!("{}+", path_of(date))
}

pub(super) fn present(path: &str) -> String {
    format!("{path}?")
}

pub(super) fn overflow(path: &str) -> String {
    format!("{path}!")
}

pub(super) fn text(path: &str, value: &str) -> String {
    format!("{path}{SEPARATOR}{value}")
}

pub(super) fn word(path: &str, value: &str) -> String {
    format!("{path}~{value}")
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

/// Adds the terms of data sets to a document.
pub(super) struct Terms<'a> {
    pub doc: &'a mut TantivyDocument,
    pub fields: &'a Fields,
}

/// What is left of an attribute's share of the index.
struct Share {
    values: usize,
    exceeded: bool,
}

impl Terms<'_> {
    pub fn add(&mut self, term: &str) {
        self.doc.add_text(self.fields.terms, term);
    }

    /// Adds all attributes of a data set. Private ones are not indexed.
    pub fn add_set(&mut self, set: &DataSet) {
        for (tag, element) in set.iter().filter(|(tag, _)| tag.group() % 2 == 0) {
            let path = path_of(tag);
            let mut share = Share { values: VALUES_MAX, exceeded: false };
            self.add_present(&path, tag, set);
            self.add_element(&path, tag, element, 0, &mut share);
            if share.exceeded {
                self.add(&overflow(&path));
            }
        }
        for (date, time) in PAIRS {
            self.add_pair(set, *date, *time);
        }
    }

    fn add_present(&mut self, path: &str, tag: Tag, set: &DataSet) {
        // The level is of no concern to the test.
        let empty = Key::new(tag, attributes::vr(tag), Level::Study, Test::Empty);
        if !matches_key(&empty, set) {
            self.add(&present(path));
        }
    }

    /// What a value is indexed as is a matter of the VR that a key has, which
    /// is the dictionary's; a value of another shape is a candidate for all.
    fn add_element(&mut self, path: &str, tag: Tag, element: &Element, depth: usize, share: &mut Share) {
        let vr = attributes::vr(tag);
        match &element.value {
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
            Value::Items(items) => {
                for item in items {
                    self.add_item(path, item, depth + 1, share);
                }
            }
            Value::Names(_)
            | Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_) => share.exceeded = true,
            Value::Empty | Value::Inline(_) | Value::Bulk(_) => {}
        }
    }

    fn add_item(&mut self, path: &str, item: &DataSet, depth: usize, share: &mut Share) {
        if depth > DEPTH_MAX {
            share.exceeded = true;
            return;
        }
        for (tag, element) in item.iter().filter(|(tag, _)| tag.group() % 2 == 0) {
            let path = path_within(path, tag);
            self.add_present(&path, tag, item);
            self.add_element(&path, tag, element, depth, share);
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest are no dates or times")]
    fn add_value(&mut self, path: &str, vr: VR, value: &str, share: &mut Share) {
        let value = value.trim_matches([' ', '\0']);
        if value.is_empty() || !share.take(value) {
            return;
        }
        let term = text(path, value);
        self.add(&term);
        if takes_wildcards(vr) {
            self.doc.add_text(self.fields.grams, &term);
        }
        if is_number(vr)
            && let Ok(value) = value.trim().parse()
        {
            self.add(&number(path, value));
        }
        let normal = match vr {
            VR::DA => normal_date(value),
            VR::TM => normal_time(value),
            VR::DT => normal_datetime(value),
            _ => None,
        };
        if let Some((rungs, normal)) = rungs(vr).zip(normal) {
            self.add_rungs(path, rungs, &normal);
        }
    }

    fn add_name(&mut self, path: &str, group: &str, share: &mut Share) {
        let normal = normal_name(group);
        if normal.is_empty() || !share.take(&normal) {
            return;
        }
        let term = text(path, &normal);
        self.add(&term);
        self.doc.add_text(self.fields.grams, &term);
        for token in name_tokens(&normal) {
            self.add(&word(path, token));
        }
    }

    fn add_numbers(&mut self, terms: impl Iterator<Item = String>, share: &mut Share) {
        for term in terms {
            if !share.take("") {
                return;
            }
            self.add(&term);
        }
    }

    fn add_rungs(&mut self, path: &str, rungs: Rungs, normal: &str) {
        for (step, digits) in ladder::steps(rungs, normal).into_iter().flatten() {
            self.add(&rung(path, step, digits));
        }
    }

    fn add_pair(&mut self, set: &DataSet, date: Tag, time: Tag) {
        let Some(day) = set.first_text(date).and_then(normal_date) else { return };
        let Some(clock) = set.first_text(time).and_then(normal_time) else { return };
        self.add_rungs(&path_of_pair(date), ladder::DATE_TIME, &(day + &clock));
    }
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
