//! What of an archive a caller may see, as tests of the one predicate: one
//! alternative at least must hold of a study and of a series in it. A study of
//! which no series is seen is not seen.
//!
//! Filters are of studies and series; of an instance nobody asks more than
//! whether it is de-identified, and then its whole study must be.

use dicom_core::{Tag, VR};
use time::format_description::BorrowedFormatItem;

use super::{Key, Level, Options, Reason, Resource, Test, error::QueryError, matches_key, parse};
use crate::dicom::{attributes, dataset::DataSet};

/// `YYYYMMDD`.
const DATE: &[BorrowedFormatItem<'_>] = time::macros::format_description!("[year][month][day]");

/// PatientIdentityRemoved.
const IDENTITY_REMOVED: Tag = Tag(0x0012, 0x0062);

/// Alternatives, one of which must hold; of none, nothing is seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    pub any_of: Vec<Alternative>,
}

/// Tests that must all hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alternative {
    pub study: Vec<Key>,
    pub series: Vec<Key>,
    /// Every instance of the study says that its patient's identity was removed.
    pub deidentified: bool,
}

impl Filter {
    /// Is it said of series, or only of whole studies?
    #[must_use]
    pub fn parts_studies(&self) -> bool {
        self.any_of.iter().any(|one| !one.series.is_empty())
    }

    /// Must instances be looked at?
    #[must_use]
    pub fn asks_instances(&self) -> bool {
        self.any_of.iter().any(|one| one.deidentified)
    }

    /// Whether an instance of such a study and series is admitted. Of one that
    /// is to be de-identified its own word counts.
    #[must_use]
    pub fn admits(&self, study: &DataSet, series: &DataSet) -> bool {
        self.any_of.iter().any(|one| one.admits_study(study) && one.admits_series(series))
    }

    /// May be a study of which something is seen.
    #[must_use]
    pub fn may_admit(&self, study: &DataSet) -> bool {
        self.any_of.iter().any(|one| one.admits_study(study))
    }
}

impl Alternative {
    /// Reads a predicate as it stands in the configuration: match parameters of
    /// a search for series, not percent-encoded, each with a value. `today` is
    /// `YYYYMMDD`; a bound of a date such as `-30d` is so many days before it.
    ///
    /// # Errors
    /// The first parameter that is wrong, or that a filter cannot have.
    pub fn parse(text: &str, today: &str) -> Result<Self, QueryError> {
        let mut raw = String::new();
        for pair in text.split('&').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let refuse = |reason| Err(QueryError::at(name, reason));
            let Some(path) = attributes::by_path(name) else { return refuse(Reason::Unknown) };
            let Some(tag) = path.first().copied() else { return refuse(Reason::Unknown) };
            if attributes::is_computed(tag) {
                return refuse(Reason::WrongLevel);
            }
            // What is empty would let everything through.
            if value.trim().is_empty() || value.trim().bytes().all(|byte| byte == b'*') {
                return refuse(Reason::NoValue);
            }
            let value = if attributes::vr(tag) == VR::DA {
                relative(value.trim(), today).ok_or_else(|| QueryError::at(name, Reason::Moment))?
            } else {
                value.trim().to_owned()
            };
            if !raw.is_empty() {
                raw.push('&');
            }
            raw.push_str(name);
            raw.push('=');
            raw.push_str(&encode(&value));
        }
        let options = Options { strict: true, ..Options::default() };
        let query = parse(Resource::Series, &raw, &options)?;
        let (study, series): (Vec<Key>, Vec<Key>) =
            query.keys.into_iter().partition(|key| key.level == Level::Study);
        Ok(Self { study, series, deidentified: false })
    }

    /// Is a bound of a date in it that moves from day to day?
    #[must_use]
    pub fn is_relative(text: &str) -> bool {
        text.split('&').filter_map(|pair| pair.split_once('=')).any(|(name, value)| {
            let is_date = attributes::by_path(name.trim())
                .is_some_and(|path| path.first().is_some_and(|tag| attributes::vr(*tag) == VR::DA));
            is_date && value.contains(['d', 'w', 'm', 'y'])
        })
    }

    /// The studies with these UIDs.
    #[must_use]
    pub fn of_studies(uids: Vec<String>) -> Self {
        let key = Key::new(attributes::STUDY_INSTANCE_UID, VR::UI, Level::Study, Test::Uids(uids));
        Self { study: vec![key], ..Self::default() }
    }

    /// The series with these UIDs, in one study.
    #[must_use]
    pub fn of_series(study: String, uids: Vec<String>) -> Self {
        let key = Key::new(attributes::SERIES_INSTANCE_UID, VR::UI, Level::Series, Test::Uids(uids));
        Self { series: vec![key], ..Self::of_studies(vec![study]) }
    }

    /// The patient with this ID, of this issuer if one is given.
    #[must_use]
    pub fn of_patient(id: &str, issuer: Option<&str>) -> Self {
        let key = |tag, value: &str| {
            Key::new(tag, VR::LO, Level::Study, Test::OneOf(vec![value.trim().to_owned()]))
        };
        let mut study = vec![key(attributes::PATIENT_ID, id)];
        study.extend(issuer.map(|issuer| key(Tag(0x0010, 0x0021), issuer)));
        Self { study, ..Self::default() }
    }

    /// The same, of de-identified studies only.
    #[must_use]
    pub fn of_deidentified(mut self) -> Self {
        self.deidentified = true;
        let test = Test::OneOf(vec!["YES".to_owned()]);
        self.study.push(Key::new(IDENTITY_REMOVED, VR::CS, Level::Study, test));
        self
    }

    /// What holds both of this and of another.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            study: [&self.study[..], &other.study].concat(),
            series: [&self.series[..], &other.series].concat(),
            deidentified: self.deidentified || other.deidentified,
        }
    }

    #[must_use]
    pub fn admits_study(&self, set: &DataSet) -> bool {
        self.study.iter().all(|key| matches_key(key, set))
    }

    #[must_use]
    pub fn admits_series(&self, set: &DataSet) -> bool {
        self.series.iter().all(|key| matches_key(key, set))
    }
}

/// Whether an instance says that its patient's identity was removed.
#[must_use]
pub fn is_deidentified(set: &DataSet) -> bool {
    set.first_text(IDENTITY_REMOVED).is_some_and(|text| text.trim() == "YES")
}

/// A range of dates with bounds such as `-30d` (days, weeks, months of 30 days,
/// years of 365 before today) put as dates: `-30d-` is from 30 days ago on.
fn relative(value: &str, today: &str) -> Option<String> {
    if !value.contains(['d', 'w', 'm', 'y']) {
        return Some(value.to_owned());
    }
    let today = time::Date::parse(today, DATE).ok()?;
    let date = |bound: &str| -> Option<String> {
        let Some(count) = bound.strip_prefix('-').filter(|rest| rest.ends_with(['d', 'w', 'm', 'y'])) else {
            return bound.bytes().all(|byte| byte.is_ascii_digit()).then(|| bound.to_owned());
        };
        let (number, unit) = count.split_at(count.len() - 1);
        let days = match unit {
            "d" => 1,
            "w" => 7,
            "m" => 30,
            _ => 365,
        };
        let days = number.parse::<u32>().ok()?.checked_mul(days)?;
        today.checked_sub(time::Duration::days(days.into()))?.format(DATE).ok()
    };
    // The dash between the bounds is the one that ends the first.
    let end = value.char_indices().skip(1).find(|(_, c)| *c == '-').map(|(at, _)| at);
    match end {
        Some(at) => {
            let (from, to) = (&value[..at], &value[at + 1..]);
            Some(format!("{}-{}", date(from)?, date(to)?))
        }
        // One bound with a dash before it: up to then, unless it is relative.
        None => date(value),
    }
}

/// Encodes what a query string cannot have as it stands. `%` stays: it writes
/// what else would part parameters or values (`%26`, `%2C`).
fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii() && byte != b'+' {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(digit.into(), 16));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(Tag, VR, &str)]) -> DataSet {
        let mut set = DataSet::new();
        for (tag, vr, text) in pairs {
            set.put_text(*tag, *vr, text);
        }
        set
    }

    const INSTITUTION: Tag = Tag(0x0008, 0x0080);

    #[test]
    fn a_predicate_is_of_studies_and_of_series() {
        let text = "Modality=CT,MR&InstitutionName=Clinic A*&PatientID=4711";
        let filter = Alternative::parse(text, "20260301").expect("a predicate");
        assert_eq!((filter.study.len(), filter.series.len()), (1, 2));
        let study = set(&[(attributes::PATIENT_ID, VR::LO, "4711")]);
        let series = |modality, institution| {
            set(&[(attributes::MODALITY, VR::CS, modality), (INSTITUTION, VR::LO, institution)])
        };
        assert!(filter.admits_study(&study) && filter.admits_series(&series("MR", "Clinic A West")));
        assert!(!filter.admits_series(&series("US", "Clinic A")));
        assert!(!filter.admits_series(&series("CT", "Clinic B")));
        assert!(!filter.admits_study(&set(&[])), "what is not known is not admitted");
        let written = Alternative::parse("InstitutionName=Röntgen %26 Co", "20260301").expect("a predicate");
        assert!(written.admits_series(&set(&[(INSTITUTION, VR::LO, "Röntgen & Co")])));
    }

    #[test]
    fn dates_move_with_the_day() {
        for (text, expected) in [
            ("-30d-", "20260130-"),
            ("-2w--1d", "20260215-20260228"),
            ("20260101--1d", "20260101-20260228"),
            ("-1d", "20260228"),
            ("20260101-", "20260101-"),
        ] {
            assert_eq!(relative(text, "20260301").as_deref(), Some(expected), "{text}");
        }
        for wrong in ["-d-", "-30x-d", "30d-", "-99999999y-"] {
            assert_eq!(relative(wrong, "20260301"), None, "{wrong}");
        }
        assert!(Alternative::is_relative("Modality=CT&StudyDate=-30d-"));
        assert!(!Alternative::is_relative("Modality=CT&StudyDate=20260101-"));
    }

    #[test]
    fn what_would_let_everything_through_is_refused() {
        for wrong in [
            "PatientID=",
            "PatientID",
            "PatientID=*",
            "NoSuchThing=1",
            "InstanceNumber=1",
            "SOPInstanceUID=1.2",
            "NumberOfStudyRelatedSeries=2",
            "ModalitiesInStudy=CT",
            "limit=1",
            "q=word",
            "StudyDate=yesterday",
        ] {
            assert!(Alternative::parse(wrong, "20260301").is_err(), "{wrong}");
        }
    }
}
