//! The order of results (QRY-28: total, and the same for every page).
//!
//! What a search may be ordered by stands in [`COLUMNS`]; each is a fast field
//! of the index. A [`SortKey`] is a text of bytes whose lexicographic order is
//! the order of the results, made alike from a row of the index and from the
//! data sets of a study that the index has not seen yet, so that both merge.
//! Missing values come last in either direction; the ids of the catalog break
//! every tie. Knows no tantivy.

use std::cmp::Ordering;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use crate::dicom::attributes;
use crate::dicom::dataset::{DataSet, Value};
use crate::dicom::fold::fold;
use crate::dicom::query::{Level, Query, normal_date, normal_datetime, normal_time};

/// An attribute that results can be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub tag: Tag,
    pub level: Level,
    /// The name of the fast field.
    pub name: &'static str,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Date,
    Time,
    Number,
    /// With a point; no column has it.
    Decimal,
    /// A date with its time; no column has it.
    Moment,
    Text,
    Name,
}

impl Kind {
    /// How an attribute that has no column is ordered.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the rest are compared as texts")]
    fn of(tag: Tag) -> Self {
        match attributes::vr(tag) {
            VR::DA => Self::Date,
            VR::TM => Self::Time,
            VR::DT => Self::Moment,
            VR::PN => Self::Name,
            VR::DS | VR::FD | VR::FL => Self::Decimal,
            VR::IS | VR::SL | VR::SS | VR::SV | VR::UL | VR::US | VR::UV => Self::Number,
            _ => Self::Text,
        }
    }
}

const fn column(tag: Tag, level: Level, name: &'static str, kind: Kind) -> Column {
    Column { tag, level, name, kind }
}

/// A new line here needs a new `FORMAT` of the index.
pub const COLUMNS: &[Column] = &[
    column(tags::STUDY_DATE, Level::Study, "study_date", Kind::Date),
    column(tags::STUDY_TIME, Level::Study, "study_time", Kind::Time),
    column(tags::PATIENT_NAME, Level::Study, "patient_name", Kind::Name),
    column(tags::PATIENT_ID, Level::Study, "patient_id", Kind::Text),
    column(tags::PATIENT_BIRTH_DATE, Level::Study, "birth_date", Kind::Date),
    column(tags::PATIENT_SEX, Level::Study, "sex", Kind::Text),
    column(tags::ACCESSION_NUMBER, Level::Study, "accession_number", Kind::Text),
    column(tags::STUDY_ID, Level::Study, "study_id", Kind::Text),
    column(tags::STUDY_DESCRIPTION, Level::Study, "study_description", Kind::Text),
    column(tags::REFERRING_PHYSICIAN_NAME, Level::Study, "referring_physician", Kind::Name),
    column(tags::MODALITIES_IN_STUDY, Level::Study, "modalities", Kind::Text),
    column(tags::NUMBER_OF_STUDY_RELATED_SERIES, Level::Study, "study_series", Kind::Number),
    column(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, Level::Study, "study_instances", Kind::Number),
    column(tags::SERIES_NUMBER, Level::Series, "series_number", Kind::Number),
    column(tags::MODALITY, Level::Series, "modality", Kind::Text),
    column(tags::SERIES_DATE, Level::Series, "series_date", Kind::Date),
    column(tags::SERIES_TIME, Level::Series, "series_time", Kind::Time),
    column(tags::SERIES_DESCRIPTION, Level::Series, "series_description", Kind::Text),
    column(tags::BODY_PART_EXAMINED, Level::Series, "body_part", Kind::Text),
    column(tags::NUMBER_OF_SERIES_RELATED_INSTANCES, Level::Series, "series_instances", Kind::Number),
];

/// Order keys of one search that are heeded; further ones change nothing.
const KEYS_MAX: usize = 4;
/// Parts of an order at most: what was asked for, then the default.
pub(super) const PARTS_MAX: usize = KEYS_MAX + 3;
/// Characters of a text that count for the order.
const TEXT_MAX: usize = 64;

/// Whether results of a level can be ordered by an attribute.
#[must_use]
pub fn sortable(tag: Tag, target: Level) -> bool {
    find(tag, target).is_some()
}

fn find(tag: Tag, target: Level) -> Option<&'static Column> {
    COLUMNS.iter().find(|column| column.tag == tag && column.level <= target)
}

impl Column {
    #[must_use]
    pub fn is_text(&self) -> bool {
        match self.kind {
            Kind::Text | Kind::Name | Kind::Moment => true,
            Kind::Date | Kind::Time | Kind::Number | Kind::Decimal => false,
        }
    }

    /// What the index keeps of an attribute of a date, time or number.
    pub(super) fn number(&self, set: &DataSet) -> Option<u64> {
        let digits = |text: String| text.replace('.', "").parse().ok();
        match self.kind {
            Kind::Date => digits(normal_date(set.first_text(self.tag)?)?),
            Kind::Time => digits(normal_time(set.first_text(self.tag)?)?),
            // The sign bit flipped: the order of the unsigned is that of the signed.
            Kind::Number => Some(set.first_int(self.tag)?.cast_unsigned() ^ (1 << 63)),
            Kind::Decimal => Some(of_decimal(decimal(set, self.tag)?)),
            Kind::Text | Kind::Name | Kind::Moment => None,
        }
    }

    /// What the index keeps of an attribute of text or names.
    pub(super) fn text(&self, set: &DataSet) -> Option<String> {
        let text = match self.kind {
            Kind::Text => set.first_text(self.tag)?,
            Kind::Moment => &normal_datetime(set.first_text(self.tag)?)?,
            Kind::Name => match &set.get(self.tag)?.value {
                Value::Names(names) => {
                    let name = names.first()?;
                    let groups = [&name.alphabetic, &name.ideographic, &name.phonetic];
                    groups.into_iter().map(String::as_str).find(|group| !group.is_empty())?
                }
                Value::Text(names) => names.first()?.split('=').find(|group| !group.is_empty())?,
                Value::Empty
                | Value::Signed(_)
                | Value::Unsigned(_)
                | Value::Float(_)
                | Value::Double(_)
                | Value::Tags(_)
                | Value::Items(_)
                | Value::Inline(_)
                | Value::Bulk(_) => return None,
            },
            Kind::Date | Kind::Time | Kind::Number | Kind::Decimal => return None,
        };
        let kept: String = fold(text).chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect();
        (!kept.is_empty()).then_some(kept)
    }
}

/// The first value of an attribute as a number.
fn decimal(set: &DataSet, tag: Tag) -> Option<f64> {
    let number = match &set.get(tag)?.value {
        Value::Double(values) => *values.first()?,
        Value::Float(values) => f64::from(*values.first()?),
        Value::Text(values) => values.first()?.trim().parse().ok()?,
        Value::Empty
        | Value::Names(_)
        | Value::Signed(_)
        | Value::Unsigned(_)
        | Value::Tags(_)
        | Value::Items(_)
        | Value::Inline(_)
        | Value::Bulk(_) => return None,
    };
    (!number.is_nan()).then_some(number)
}

/// A number whose order among the unsigned is that among the decimals.
fn of_decimal(number: f64) -> u64 {
    let bits = number.to_bits();
    if number.is_sign_negative() { !bits } else { bits ^ (1 << 63) }
}

/// Which columns order a search, most significant first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub column: &'static Column,
    pub descending: bool,
}

impl Plan {
    pub fn of(query: &Query) -> Self {
        let mut plan = Self { parts: Vec::with_capacity(PARTS_MAX) };
        for order in &query.order {
            if plan.parts.len() < KEYS_MAX {
                plan.push(order.tag, query.target, order.descending);
            }
        }
        plan.push(tags::STUDY_DATE, query.target, true);
        plan.push(tags::STUDY_TIME, query.target, true);
        plan.push(tags::SERIES_NUMBER, query.target, false);
        plan
    }

    fn push(&mut self, tag: Tag, target: Level, descending: bool) {
        if let Some(column) = find(tag, target)
            && self.parts.iter().all(|part| part.column.tag != tag)
        {
            self.parts.push(Part { column, descending });
        }
    }
}

/// A number as it is compared: ascending, whatever the wanted direction, a
/// missing one last.
pub(super) fn rank(number: Option<u64>, descending: bool) -> u64 {
    match number {
        None => u64::MAX,
        Some(number) if descending => u64::MAX - 1 - number.min(u64::MAX - 1),
        Some(number) => number.min(u64::MAX - 1),
    }
}

/// Whether a search asks for an order that its columns cannot give: by another
/// attribute, or by more of them. Then its results are to be read and ordered by
/// [`key_of_rows`], those that tie as they come from [`super::View::search`].
#[must_use]
pub fn needs_rows(query: &Query) -> bool {
    query.order.len() > KEYS_MAX || query.order.iter().any(|order| find(order.tag, query.target).is_none())
}

/// The place of a result in the order that the search asks for.
#[must_use]
pub fn key_of_rows(
    query: &Query,
    study: &DataSet,
    series: Option<&DataSet>,
    instance: Option<&DataSet>,
) -> SortKey {
    let mut key = SortKeyWriter::default();
    let nothing = DataSet::new();
    for order in &query.order {
        let set = match order.level {
            Level::Study => study,
            Level::Series => series.unwrap_or(&nothing),
            Level::Instance => instance.unwrap_or(&nothing),
        };
        let known = find(order.tag, query.target).copied();
        let column = known.unwrap_or_else(|| column(order.tag, order.level, "", Kind::of(order.tag)));
        if column.is_text() {
            key.text(column.text(set).as_deref(), order.descending);
        } else {
            key.rank(rank(column.number(set), order.descending));
        }
    }
    key.finish(0, None)
}

/// Whether a search is ordered by how well its words are found: where it asks
/// for words, and for no order.
pub(super) fn is_by_rank(query: &Query) -> bool {
    query.text.is_some() && query.order.is_empty()
}

/// A rank as it is compared: the highest first.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is positive and small")]
pub(super) fn of_rank(score: f32) -> u64 {
    u64::MAX - (f64::from(score.max(0.0)) * 65536.0) as u64
}

/// A place in the order of results. Keys of one query compare; others mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SortKey(Box<[u8]>);

impl SortKey {
    /// The key of a result with this rank: in a search ordered by rank that
    /// comes before all else.
    #[must_use]
    pub fn ranked(self, query: &Query, score: f32) -> Self {
        if !is_by_rank(query) {
            return self;
        }
        let bytes = of_rank(score).to_be_bytes().into_iter().chain(self.0);
        Self(bytes.collect())
    }
}

impl Ord for SortKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Puts a [`SortKey`] together, part by part in the order of the plan.
#[derive(Default)]
pub(super) struct SortKeyWriter {
    bytes: Vec<u8>,
}

impl SortKeyWriter {
    pub fn rank(&mut self, rank: u64) {
        self.bytes.extend(rank.to_be_bytes());
    }

    /// A text holds no control characters, so 0 ends it below any other, and
    /// 1 before it is below the 255 of a missing one.
    pub fn text(&mut self, text: Option<&str>, descending: bool) {
        let Some(text) = text else { return self.bytes.push(0xFF) };
        self.bytes.push(1);
        let flip = if descending { 0xFF } else { 0 };
        self.bytes.extend(text.bytes().chain([0]).map(|byte| byte ^ flip));
    }

    pub fn finish(mut self, study_id: u64, series_id: Option<u64>) -> SortKey {
        self.bytes.extend(study_id.to_be_bytes());
        self.bytes.extend(series_id.unwrap_or_default().to_be_bytes());
        SortKey(self.bytes.into_boxed_slice())
    }
}

/// The place of a study, or of a series of it, in the order of a search: the
/// same that [`super::View::search`] gives once the index holds it, but for the
/// rank, see [`SortKey::ranked`].
#[must_use]
pub fn order_of(
    query: &Query,
    study: &DataSet,
    series: Option<&DataSet>,
    study_id: u64,
    series_id: Option<u64>,
) -> SortKey {
    let mut key = SortKeyWriter::default();
    let nothing = DataSet::new();
    for part in Plan::of(query).parts {
        let set = match part.column.level {
            Level::Study => study,
            Level::Series | Level::Instance => series.unwrap_or(&nothing),
        };
        if part.column.is_text() {
            key.text(part.column.text(set).as_deref(), part.descending);
        } else {
            key.rank(rank(part.column.number(set), part.descending));
        }
    }
    key.finish(study_id, series_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::query::{Order, Resource};

    fn study(date: &str, id: &str) -> DataSet {
        let mut set = DataSet::new();
        if !date.is_empty() {
            set.put_text(tags::STUDY_DATE, VR::DA, date);
        }
        if !id.is_empty() {
            set.put_text(tags::PATIENT_ID, VR::LO, id);
        }
        set
    }

    #[test]
    fn the_newest_comes_first_and_the_undated_last() {
        let query = Query::new(Resource::Studies);
        let key = |date: &str, id| order_of(&query, &study(date, ""), None, id, None);
        let mut keys = [key("", 1), key("20240101", 2), key("20250101", 4), key("20250101", 3)];
        keys.sort();
        assert_eq!(keys, [key("20250101", 3), key("20250101", 4), key("20240101", 2), key("", 1)]);
    }

    #[test]
    fn texts_order_both_ways_with_the_missing_last() {
        for (descending, wanted) in [(false, ["a", "ab", "b", ""]), (true, ["b", "ab", "a", ""])] {
            let mut query = Query::new(Resource::Studies);
            query.order.push(Order { tag: tags::PATIENT_ID, level: Level::Study, descending });
            let mut keyed =
                ["ab", "", "b", "a"].map(|id| (order_of(&query, &study("", id), None, 1, None), id));
            keyed.sort();
            assert_eq!(keyed.map(|(_, id)| id), wanted);
        }
    }

    #[test]
    fn an_order_has_room() {
        let mut query = Query::new(Resource::Series);
        query.order =
            COLUMNS.iter().map(|c| Order { tag: c.tag, level: c.level, descending: false }).rev().collect();
        assert!(Plan::of(&query).parts.len() <= PARTS_MAX);
    }
}
