//! Values against their VR (PS3.5 section 6.2): length, characters, form. What
//! breaks a rule is still stored as it is; whoever sent it is told where.
//!
//! Only what harms is told, not what half of all devices do: legacy dates and
//! times, a leading zero in a UID, trailing spaces and private attributes are
//! passed over. A place is tags and positions; a value is never repeated.

use dicom_core::{Tag, VR};
use time::{Date, Month};

use super::dataset::{DataSet, Element, PersonName, Value};
use super::part10::Warning;
use super::query::{normal_date, normal_datetime, normal_time};
use super::{uid, vr};

/// Findings of one instance that are told.
const FINDINGS_MAX: usize = 64;

/// Where an attribute is: the sequences and item numbers that lead to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    pub sequences: Vec<(Tag, u32)>,
    pub tag: Option<Tag>,
    /// Which of its values, from 1; none if it is all of them.
    pub value: Option<u32>,
}

/// An attribute that departs from the standard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub place: Place,
    pub fault: Fault,
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("is longer than the {max} characters of {vr}")]
    Long { vr: VR, max: usize },
    #[error("has a character that {0} does not have")]
    Character(VR),
    #[error("is no {0} as the standard writes it")]
    Form(VR),
}

/// Something to say of an instance that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The attribute it is about, if it is about one.
    pub place: Option<Place>,
    pub why: String,
}

impl From<&str> for Note {
    fn from(why: &str) -> Self {
        Self { place: None, why: why.to_owned() }
    }
}

impl From<&Warning> for Note {
    fn from(warning: &Warning) -> Self {
        Self { place: warning.tag().map(Place::root), why: warning.to_string() }
    }
}

impl From<Finding> for Note {
    fn from(Finding { place, fault }: Finding) -> Self {
        let which = place.value.map(|number| format!("value {number} of ")).unwrap_or_default();
        let why = match place.tag {
            Some(tag) => format!("{which}{tag} {fault}"),
            None => fault.to_string(),
        };
        Self { place: Some(place), why }
    }
}

impl Place {
    /// An attribute of the data set itself.
    #[must_use]
    pub fn root(tag: Tag) -> Self {
        Self { tag: Some(tag), ..Self::default() }
    }
}

/// What in a data set breaks its VR; the first of many.
#[must_use]
pub fn check(set: &DataSet) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut path = Vec::new();
    check_set(set, &mut path, &mut findings);
    findings
}

fn check_set(set: &DataSet, path: &mut Vec<(Tag, u32)>, findings: &mut Vec<Finding>) {
    for (tag, element) in set.iter() {
        if findings.len() >= FINDINGS_MAX {
            return;
        }
        if vr::is_private(tag) {
            continue;
        }
        if let Value::Items(items) = &element.value {
            for (item, number) in items.iter().zip(1..) {
                path.push((tag, number));
                check_set(item, path, findings);
                path.pop();
            }
            continue;
        }
        if let Some((value, fault)) = first_fault(element) {
            let place = Place { sequences: path.clone(), tag: Some(tag), value };
            findings.push(Finding { place, fault });
        }
    }
}

/// The first value that is wrong, and how.
fn first_fault(element: &Element) -> Option<(Option<u32>, Fault)> {
    match &element.value {
        Value::Text(texts) => {
            let is_one = texts.len() == 1;
            texts.iter().zip(1..).find_map(|(text, number)| {
                let fault = text_fault(element.vr, text)?;
                Some(((!is_one).then_some(number), fault))
            })
        }
        Value::Names(names) => {
            let is_one = names.len() == 1;
            names
                .iter()
                .zip(1..)
                .find_map(|(name, number)| Some(((!is_one).then_some(number), name_fault(name)?)))
        }
        Value::Empty
        | Value::Signed(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Tags(_)
        | Value::Items(_)
        | Value::Inline(_)
        | Value::Bulk(_) => None,
    }
}

fn text_fault(vr: VR, text: &str) -> Option<Fault> {
    if text.is_empty() {
        return None;
    }
    if let Some(max) = longest(vr)
        && text.chars().count() > max
    {
        return Some(Fault::Long { vr, max });
    }
    let is_control = |c: char| c.is_control() && !(is_prose(vr) && matches!(c, '\r' | '\n' | '\t' | '\u{c}'));
    if text.chars().any(is_control) {
        return Some(Fault::Character(vr));
    }
    let is_formed = match vr {
        VR::AS => is_age(text),
        VR::CS => {
            let is_in = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, ' ' | '_');
            return (!text.chars().all(is_in)).then_some(Fault::Character(vr));
        }
        VR::AE => text.is_ascii(),
        VR::DA => text.len() >= 8 && normal_date(text).is_some_and(|date| is_day(&date)),
        VR::TM => normal_time(text).is_some(),
        VR::DT => normal_datetime(text).is_some_and(|moment| is_day(&moment)),
        VR::DS => text.parse::<f64>().is_ok_and(f64::is_finite) && !text.contains(['i', 'n', 'I', 'N']),
        VR::IS => text.parse::<i32>().is_ok(),
        VR::UI => uid::check(text).is_ok() && !text.ends_with('.') && !text.contains(".."),
        VR::UR => !text.contains(' '),
        VR::LO
        | VR::LT
        | VR::SH
        | VR::ST
        | VR::UC
        | VR::UT
        | VR::AT
        | VR::FD
        | VR::FL
        | VR::OB
        | VR::OD
        | VR::OF
        | VR::OL
        | VR::OV
        | VR::OW
        | VR::PN
        | VR::SL
        | VR::SQ
        | VR::SS
        | VR::SV
        | VR::UL
        | VR::UN
        | VR::US
        | VR::UV => true,
    };
    (!is_formed).then_some(Fault::Form(vr))
}

/// Is the `YYYYMMDD` a text begins with a day of the calendar?
fn is_day(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u16>().ok();
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(4..6), number(6..8)) else {
        return false;
    };
    let (month, day) = (u8::try_from(month).ok(), u8::try_from(day).ok());
    let month = month.and_then(|month| Month::try_from(month).ok());
    month.zip(day).is_some_and(|(month, day)| Date::from_calendar_date(year.into(), month, day).is_ok())
}

/// Texts that have lines.
fn is_prose(vr: VR) -> bool {
    matches!(vr, VR::LT | VR::ST | VR::UT)
}

/// Characters of one value.
fn longest(vr: VR) -> Option<usize> {
    let of = [
        (VR::AE, 16),
        (VR::AS, 4),
        (VR::CS, 16),
        (VR::DS, 16),
        (VR::DT, 26),
        (VR::IS, 12),
        (VR::LO, 64),
        (VR::LT, 10_240),
        (VR::SH, 16),
        (VR::ST, 1024),
        (VR::UI, 64),
    ];
    of.iter().find(|(of, _)| *of == vr).map(|(_, max)| *max)
}

/// `nnnD`, `nnnW`, `nnnM` or `nnnY`.
fn is_age(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, c, b'D' | b'W' | b'M' | b'Y']
        if a.is_ascii_digit() && b.is_ascii_digit() && c.is_ascii_digit())
}

fn name_fault(name: &PersonName) -> Option<Fault> {
    [&name.alphabetic, &name.ideographic, &name.phonetic].into_iter().find_map(|group| {
        if group.chars().count() > 64 {
            return Some(Fault::Long { vr: VR::PN, max: 64 });
        }
        group.chars().any(char::is_control).then_some(Fault::Character(VR::PN))
    })
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::tags;

    use super::*;

    fn faults(vr: VR, text: &str) -> Option<Fault> {
        text_fault(vr, text)
    }

    #[test]
    fn sto_12_values_that_break_their_vr() {
        let long = |vr, max| Some(Fault::Long { vr, max });
        assert_eq!(faults(VR::SH, "12345678901234567"), long(VR::SH, 16));
        assert_eq!(faults(VR::SH, "山山山山山山山山山山山山山山山山"), None);
        assert_eq!(faults(VR::LO, "a\u{7}b"), Some(Fault::Character(VR::LO)));
        assert_eq!(faults(VR::LT, "a\r\nb"), None);
        for (vr, good, bad) in [
            (VR::DA, &["20240229", "2024.02.29"][..], &["20240231", "29.02.2024", "today"][..]),
            (VR::TM, &["101500", "10", "10:15:00", "235960.5"], &["25", "noon"]),
            (VR::DT, &["20240229101500.123+0100", "2024"], &["2024-02-29"]),
            (VR::DS, &["1.5", "-1e-5", "+3"], &["1,5", "nan", "inf", "x"]),
            (VR::IS, &["5", "-5", "+5"], &["5.0", "9999999999"]),
            (VR::AS, &["018M"], &["18M", "018m"]),
            (VR::UI, &["1.2.840.10008", "1.02"], &["1..2", "1.2.", "abc"]),
        ] {
            for text in good {
                assert_eq!(faults(vr, text), None, "{vr} {text}");
            }
            for text in bad {
                assert_eq!(faults(vr, text), Some(Fault::Form(vr)), "{vr} {text}");
            }
        }
        assert_eq!(faults(VR::CS, "ORIGINAL_1 A"), None);
        assert_eq!(faults(VR::CS, "Original"), Some(Fault::Character(VR::CS)));
    }

    #[test]
    fn sto_12_a_place_leads_into_items_and_names_no_value() {
        let mut item = DataSet::new();
        let texts = ["ok", "far too long for a short string"].map(str::to_owned).to_vec();
        item.put(tags::CODE_VALUE, Element::new(VR::SH, Value::Text(texts)));
        let mut set = DataSet::new();
        let items = vec![DataSet::new(), item];
        set.put(tags::ANATOMIC_REGION_SEQUENCE, Element::new(VR::SQ, Value::Items(items)));
        set.put_text(Tag(0x0009, 0x1001), VR::DA, "private dates are nobody's business");
        let findings = check(&set);
        let [Finding { place, fault }] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(place.sequences, [(tags::ANATOMIC_REGION_SEQUENCE, 2)]);
        assert_eq!((place.tag, place.value), (Some(tags::CODE_VALUE), Some(2)));
        assert_eq!(fault.to_string(), "is longer than the 16 characters of SH");
    }

    #[test]
    fn findings_are_few() {
        let mut set = DataSet::new();
        let items = (0..1000).map(|_| {
            let mut item = DataSet::new();
            item.put_text(tags::STUDY_DATE, VR::DA, "x");
            item
        });
        set.put(tags::ANATOMIC_REGION_SEQUENCE, Element::new(VR::SQ, Value::Items(items.collect())));
        assert!(check(&set).len() <= FINDINGS_MAX);
    }

    /// How many real files would be told something: `HILUM_FILES=folder cargo
    /// test --lib measure_real_files -- --ignored --nocapture`.
    #[test]
    #[ignore = "a measurement over files of your own"]
    fn measure_real_files() {
        let folder = std::env::var("HILUM_FILES").expect("a folder");
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        let (mut files, mut told) = (0, 0);
        for entry in walkdir::WalkDir::new(folder).into_iter().flatten() {
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            let Ok(instance) = crate::dicom::part10::read(&bytes, &crate::dicom::part10::Limits::default())
            else {
                continue;
            };
            files += 1;
            let findings = check(&instance.dataset);
            told += usize::from(!findings.is_empty());
            for finding in findings {
                let tag = finding.place.tag.map(|tag| tag.to_string()).unwrap_or_default();
                *counts.entry(format!("{tag} {}", finding.fault)).or_default() += 1;
            }
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        println!("{told} of {files} files");
        for (what, count) in counts.iter().take(60) {
            println!("{count:6} {what}");
        }
    }
}
