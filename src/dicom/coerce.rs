//! Coercion (PS3.18 section 10.5.2, PS3.4 section B.4.1.3): rules that put
//! right what a source writes wrongly, attribute by attribute. What was there
//! before stays in the Original Attributes Sequence (PS3.3 section C.12.1.1.9).
//!
//! Rules touch text attributes of the data set itself, never a UID, and set
//! ASCII, which means the same in every character set.

use std::collections::BTreeMap;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::dataset::{DataSet, Element, PersonName, Value};
use super::{attributes, vr};

/// Who coerced, in (0400,0563).
pub const MODIFYING_SYSTEM: &str = "HILUM";

/// What is done to the instances that match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// All of these must be so. `*` stands for any characters.
    pub matching: Vec<(Tag, String)>,
    /// Whatever there was.
    pub set: Vec<(Tag, String)>,
    /// Only where there is no value.
    pub default: Vec<(Tag, String)>,
    /// From one value to another.
    pub map: Vec<(Tag, Vec<(String, String)>)>,
    pub reason: Reason,
}

/// (0400,0565)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reason {
    #[default]
    Coerce,
    Correct,
}

/// What rules make of one data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    pub new: BTreeMap<Tag, Element>,
    /// What was there before, empty where nothing was.
    pub old: DataSet,
    pub reason: Reason,
}

/// May a rule change this attribute?
///
/// # Errors
/// Why not.
pub fn check_attribute(tag: Tag) -> Result<(), &'static str> {
    let vr = attributes::vr(tag);
    if vr == VR::UI {
        return Err("is a UID: what an instance is called is not coerced");
    }
    let is_text = !vr::is_binary(vr) && vr::number_bytes(vr).is_none() && vr != VR::SQ;
    if !is_text || vr::is_private(tag) || matches!(tag.group(), 0 | 2 | 0xFFFE) {
        return Err("is no text attribute of the standard");
    }
    if tag == tags::SPECIFIC_CHARACTER_SET {
        return Err("says how all other text is to be read");
    }
    Ok(())
}

/// May a rule set this value?
///
/// # Errors
/// Why not.
pub fn check_value(value: &str) -> Result<(), &'static str> {
    let is_plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain { Ok(()) } else { Err("has characters other than printable ASCII") }
}

/// What the rules change, each on top of those before it; none if nothing.
#[must_use]
pub fn changes<'r>(rules: impl IntoIterator<Item = &'r Rule>, set: &DataSet) -> Option<Changes> {
    let mut new: BTreeMap<Tag, Element> = BTreeMap::new();
    let mut reason = Reason::Coerce;
    for rule in rules {
        let now = |tag: Tag| text_of(new.get(&tag).or_else(|| set.get(tag)));
        if !rule.matching.iter().all(|(tag, pattern)| is_like(pattern, &now(*tag))) {
            continue;
        }
        let mut put = Vec::new();
        put.extend(rule.set.iter().map(|(tag, value)| (*tag, value.clone())));
        put.extend(rule.default.iter().filter(|(tag, _)| now(*tag).is_empty()).cloned());
        for (tag, map) in &rule.map {
            let before = now(*tag);
            let to = map.iter().find(|(from, _)| *from == before).map(|(_, to)| (*tag, to.clone()));
            put.extend(to);
        }
        put.retain(|(tag, value)| now(*tag) != *value);
        for (tag, value) in put {
            reason = rule.reason;
            new.insert(tag, element(tag, set, &value));
        }
    }
    new.retain(|tag, element| text_of(Some(element)) != text_of(set.get(*tag)));
    if new.is_empty() {
        return None;
    }
    let old = new.keys().map(|tag| {
        let empty = || Element::new(attributes::vr(*tag), Value::Empty);
        (*tag, set.get(*tag).cloned().unwrap_or_else(empty))
    });
    Some(Changes { old: old.collect(), new, reason })
}

/// The item of the Original Attributes Sequence that tells of changes.
#[must_use]
pub fn original_attributes(changes: &Changes, moment: &str, source: &str) -> DataSet {
    let mut item = DataSet::new();
    let old = Value::Items(vec![changes.old.clone()]);
    item.put(tags::MODIFIED_ATTRIBUTES_SEQUENCE, Element::new(VR::SQ, old));
    item.put_text(tags::ATTRIBUTE_MODIFICATION_DATE_TIME, VR::DT, moment);
    item.put_text(tags::MODIFYING_SYSTEM, VR::LO, MODIFYING_SYSTEM);
    item.put_text(tags::SOURCE_OF_PREVIOUS_VALUES, VR::LO, source);
    let reason = match changes.reason {
        Reason::Coerce => "COERCE",
        Reason::Correct => "CORRECT",
    };
    item.put_text(tags::REASON_FOR_THE_ATTRIBUTE_MODIFICATION, VR::CS, reason);
    item
}

/// When a data set was coerced here the last time.
#[must_use]
pub fn last_moment(set: &DataSet) -> Option<&str> {
    let items = set.items(tags::ORIGINAL_ATTRIBUTES_SEQUENCE).iter().rev();
    let mut own = items.filter(|item| item.first_text(tags::MODIFYING_SYSTEM) == Some(MODIFYING_SYSTEM));
    own.next()?.first_text(tags::ATTRIBUTE_MODIFICATION_DATE_TIME)
}

fn element(tag: Tag, set: &DataSet, value: &str) -> Element {
    let vr = set.get(tag).map_or_else(|| attributes::vr(tag), |element| element.vr);
    if value.is_empty() {
        return Element::new(vr, Value::Empty);
    }
    if vr == VR::PN {
        let name = PersonName { alphabetic: value.to_owned(), ..PersonName::default() };
        return Element::new(vr, Value::Names(vec![name]));
    }
    Element::new(vr, Value::Text(value.split('\\').map(str::to_owned).collect()))
}

/// All values as one text, as they stand in a file.
fn text_of(element: Option<&Element>) -> String {
    let Some(element) = element else { return String::new() };
    let mut bytes = Vec::new();
    match super::encode::put_value(element, &mut bytes) {
        Some(()) => String::from_utf8_lossy(&bytes).into_owned(),
        None => String::new(),
    }
}

/// `*` stands for any characters, none included.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = pattern.split('*').skip(1).last() else { return rest.is_empty() };
    let middle = pattern.matches('*').count().saturating_sub(1);
    for part in parts.take(middle) {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> DataSet {
        let mut set = DataSet::new();
        set.put_text(tags::MODALITY, VR::CS, "MG3D");
        set.put_text(tags::PATIENT_ID, VR::LO, "7");
        set.put(tags::ACCESSION_NUMBER, Element::new(VR::SH, Value::Empty));
        set
    }

    #[test]
    fn sto_12_rules_set_default_and_map() {
        let texts = |from: &str, to: &str| vec![(from.to_owned(), to.to_owned())];
        let rule = Rule {
            matching: vec![(tags::MODALITY, "M*D".to_owned())],
            set: vec![(tags::ISSUER_OF_PATIENT_ID, "HOSP".to_owned())],
            default: vec![
                (tags::ACCESSION_NUMBER, "NONE".to_owned()),
                (tags::PATIENT_ID, "UNKNOWN".to_owned()),
            ],
            map: vec![(tags::MODALITY, texts("MG3D", "MG"))],
            reason: Reason::Correct,
        };
        let changed = changes([&rule], &set()).expect("it matches");
        let now = |tag| text_of(changed.new.get(&tag));
        assert_eq!(now(tags::MODALITY), "MG");
        assert_eq!(now(tags::ISSUER_OF_PATIENT_ID), "HOSP");
        assert_eq!(now(tags::ACCESSION_NUMBER), "NONE");
        assert_eq!(changed.new.len(), 3);
        assert_eq!(changed.old.first_text(tags::MODALITY), Some("MG3D"));
        assert_eq!(changed.old.get(tags::ISSUER_OF_PATIENT_ID).expect("it is told").value, Value::Empty);
        let item = original_attributes(&changed, "20260101", "10.0.0.1");
        assert_eq!(item.first_text(tags::REASON_FOR_THE_ATTRIBUTE_MODIFICATION), Some("CORRECT"));
        let other = Rule { matching: vec![(tags::MODALITY, "CT".to_owned())], ..rule };
        assert_eq!(changes([&other], &set()), None);
        let same = Rule { set: vec![(tags::PATIENT_ID, "7".to_owned())], ..Rule::default() };
        assert_eq!(changes([&same], &set()), None);
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("CT", "CT", true),
            ("CT", "CTX", false),
            ("*", "", true),
            ("A*", "ABC", true),
            ("*C", "ABC", true),
            ("A*B*C", "AxByC", true),
            ("A*B*C", "AxyC", false),
            ("A*A", "A", false),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn uids_are_not_coerced() {
        assert!(check_attribute(tags::STUDY_INSTANCE_UID).is_err());
        assert!(check_attribute(tags::PIXEL_DATA).is_err());
        assert!(check_attribute(tags::SPECIFIC_CHARACTER_SET).is_err());
        assert!(check_attribute(tags::INSTITUTION_NAME).is_ok());
        assert!(check_value("Köln").is_err() && check_value("Koeln").is_ok());
    }
}
