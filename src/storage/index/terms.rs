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
//! | `P#number` | a value of a numeric VR |
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
use crate::dicom::dataset::{DataSet, Element, PersonName, Value};
use crate::dicom::fold::fold;
use crate::dicom::query::{normal_date, normal_datetime, normal_time};

/// Every document of a study has this term.
pub(super) const A_STUDY: &str = "study";
/// Every document of a series has this term.
pub(super) const A_SERIES: &str = "series";

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

pub(super) fn rung(path: &str, rung: usize, digits: &str) -> String {
    format!("{path}@{rung}{digits}")
}

/// The rungs of a VR of dates or times.
pub(super) fn rungs(vr: VR) -> Option<Rungs> {
    match vr {
        VR::DA => Some(ladder::DATE),
        VR::TM => Some(ladder::TIME),
        VR::DT => Some(ladder::DATE_TIME),
        _ => None,
    }
}

/// Whether wildcards can be asked for (QRY-11).
fn takes_wildcards(vr: VR) -> bool {
    matches!(vr, VR::AE | VR::CS | VR::LO | VR::LT | VR::PN | VR::SH | VR::ST | VR::UC | VR::UR | VR::UT)
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
            self.add_element(&path, element, 0, &mut share);
            if share.exceeded {
                self.add(&overflow(&path));
            }
        }
        for (date, time) in PAIRS {
            self.add_pair(set, *date, *time);
        }
    }

    fn add_element(&mut self, path: &str, element: &Element, depth: usize, share: &mut Share) {
        match &element.value {
            Value::Empty => return,
            Value::Text(values) => {
                for value in values.iter().filter(|value| !value.is_empty()) {
                    self.add_value(path, element.vr, value, share);
                }
                if values.iter().all(String::is_empty) {
                    return;
                }
            }
            Value::Names(names) => {
                for group in names.iter().flat_map(groups) {
                    self.add_name(path, group, share);
                }
                if names.iter().flat_map(groups).next().is_none() {
                    return;
                }
            }
            Value::Signed(values) => self.add_numbers(path, values.iter().map(|v| *v as f64), share),
            Value::Unsigned(values) => self.add_numbers(path, values.iter().map(|v| *v as f64), share),
            Value::Float(values) => self.add_numbers(path, values.iter().map(|v| f64::from(*v)), share),
            Value::Double(values) => self.add_numbers(path, values.iter().copied(), share),
            Value::Tags(values) => {
                for value in values {
                    self.add_value(path, VR::AT, &format!("{value:08X}"), share);
                }
            }
            Value::Items(items) => {
                for item in items {
                    self.add_item(path, item, depth + 1, share);
                }
                if items.is_empty() {
                    return;
                }
            }
            Value::Inline(_) | Value::Bulk(_) => {}
        }
        self.add(&present(path));
    }

    fn add_item(&mut self, path: &str, item: &DataSet, depth: usize, share: &mut Share) {
        if depth > DEPTH_MAX {
            share.exceeded = true;
            return;
        }
        for (tag, element) in item.iter().filter(|(tag, _)| tag.group() % 2 == 0) {
            self.add_element(&path_within(path, tag), element, depth, share);
        }
    }

    fn add_value(&mut self, path: &str, vr: VR, value: &str, share: &mut Share) {
        if !share.take(value) {
            return;
        }
        let term = text(path, value);
        self.add(&term);
        if takes_wildcards(vr) {
            self.doc.add_text(self.fields.grams, &term);
        }
        let normal = match vr {
            VR::DA => normal_date(value),
            VR::TM => normal_time(value),
            VR::DT => normal_datetime(value),
            VR::IS | VR::DS => {
                if let Ok(value) = value.trim().parse() {
                    self.add(&number(path, value));
                }
                None
            }
            _ => None,
        };
        if let Some((rungs, normal)) = rungs(vr).zip(normal) {
            self.add_rungs(path, rungs, &normal);
        }
    }

    fn add_name(&mut self, path: &str, group: &str, share: &mut Share) {
        let folded = fold(group);
        let folded = folded.trim_end_matches('^');
        if !share.take(folded) {
            return;
        }
        let term = text(path, folded);
        self.add(&term);
        self.doc.add_text(self.fields.grams, &term);
        for name in words(folded) {
            self.add(&word(path, name));
        }
    }

    fn add_numbers(&mut self, path: &str, values: impl Iterator<Item = f64>, share: &mut Share) {
        for value in values {
            if !share.take("") {
                return;
            }
            self.add(&number(path, value));
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

/// The words of a folded name.
fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}
