//! The one predicate that decides what matches (PS3.4 section C.2.2.2).

use std::borrow::Cow;

use dicom_core::{Tag, VR};

use super::{Key, Level, Query, Test, range};
use crate::dicom::dataset::{DataSet, Element, PersonName, Value};
use crate::dicom::{attributes, form};

/// Do all keys match? Keys of a level whose data set is not given are passed
/// over, so that a series can be asked before its instances are read. Of a study
/// alone, a filter of series says only that there may be one.
#[must_use]
pub fn matches(query: &Query, study: &DataSet, series: Option<&DataSet>, instance: Option<&DataSet>) -> bool {
    let seen = query.filter.as_ref().is_none_or(|filter| match series {
        Some(series) => filter.admits(study, series),
        None => filter.may_admit(study),
    });
    seen && query.keys.iter().all(|key| {
        let set = match key.level {
            Level::Study => Some(study),
            Level::Series => series,
            Level::Instance => instance,
        };
        set.is_none_or(|set| matches_key(key, set))
    })
}

/// Is there a key of this level that may leave something out?
#[must_use]
pub fn narrows(query: &Query, level: Level) -> bool {
    query.keys.iter().any(|key| key.level == level && !is_universal(&key.test))
}

/// Does one key match a data set of its level?
#[must_use]
pub fn matches_key(key: &Key, set: &DataSet) -> bool {
    key_matches(key, set, range::zone_of(set))
}

/// Does the item of a sequence match all keys? `zone` is that of the data set
/// the sequence is in.
pub(super) fn item_matches(keys: &[Key], item: &DataSet, zone: Option<i16>) -> bool {
    let zone = range::zone_of(item).or(zone);
    keys.iter().all(|key| key_matches(key, item, zone))
}

fn key_matches(key: &Key, set: &DataSet, zone: Option<i16>) -> bool {
    if is_universal(&key.test) {
        return true;
    }
    let tag = stored_tag(key.tag, key.creator.as_deref(), set);
    let value = tag.and_then(|tag| set.get(tag)).map(|element| &element.value);
    let empty = value.is_none_or(is_empty);
    if matches!(key.test, Test::Empty) {
        return empty;
    }
    let (Some(tag), Some(value), false) = (tag, value, empty) else { return false };
    match &key.test {
        Test::Any => true,
        Test::Empty => empty,
        Test::Uids(list) => any_text(value, |text| list.iter().any(|uid| uid == text)),
        Test::OneOf(list) => any_text(value, |text| list.iter().any(|wanted| wanted == text)),
        Test::AllOf(list) => list.iter().all(|wanted| any_text(value, |text| wanted == text)),
        Test::Wildcard(patterns) => {
            any_text(value, |text| !text.is_empty() && patterns.iter().any(|pattern| pattern.matches(text)))
        }
        Test::Name(test) => match value {
            Value::Names(names) => names.iter().any(|name| test.matches(name)),
            // Under another VR than its own.
            Value::Text(texts) => texts.iter().any(|text| test.matches(&form::name(text))),
            Value::Empty
            | Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_)
            | Value::Items(_)
            | Value::Inline(_)
            | Value::Bulk(_) => false,
        },
        Test::Number(numbers) => any_number(value, numbers),
        Test::Range(bounds) => range::matches(tag, key.vr, bounds, set, zone),
        Test::DateTime { time, range: bounds } => range::matches_pair(tag, *time, bounds, set, zone),
        Test::Item(keys) => set.items(tag).iter().any(|item| item_matches(keys, item, zone)),
    }
}

/// Universal matching needs nothing to be there, within items neither.
fn is_universal(test: &Test) -> bool {
    match test {
        Test::Any => true,
        Test::Item(keys) => keys.iter().all(|key| is_universal(&key.test)),
        Test::Empty
        | Test::Uids(_)
        | Test::OneOf(_)
        | Test::AllOf(_)
        | Test::Wildcard(_)
        | Test::Name(_)
        | Test::Number(_)
        | Test::Range(_)
        | Test::DateTime { .. } => false,
    }
}

/// Where a data set keeps an attribute: for a private one, the block that its
/// creator reserved there.
pub(super) fn stored_tag(tag: Tag, creator: Option<&str>, set: &DataSet) -> Option<Tag> {
    let Some(creator) = creator else { return Some(tag) };
    set.iter()
        .skip_while(|(at, _)| *at < Tag(tag.group(), 0x0010))
        .take_while(|(at, _)| *at <= Tag(tag.group(), 0x00FF))
        .filter(|(_, element)| any_text(&element.value, |text| text == creator))
        .map(|(at, _)| Tag(tag.group(), at.element() << 8 | tag.element() & 0x00FF))
        // A creator may have reserved more than one block.
        .find(|at| set.get(*at).is_some())
}

/// Has an attribute no value?
#[must_use]
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Empty => true,
        Value::Text(values) => values.iter().all(|text| text.trim().is_empty()),
        Value::Names(names) => names.iter().all(|name| *name == PersonName::default()),
        Value::Signed(values) => values.is_empty(),
        Value::Unsigned(values) => values.is_empty(),
        Value::Float(values) => values.is_empty(),
        Value::Double(values) => values.is_empty(),
        Value::Tags(tags) => tags.is_empty(),
        Value::Items(items) => items.is_empty(),
        Value::Inline(bytes) => bytes.is_empty(),
        Value::Bulk(_) => false,
    }
}

pub(super) fn has_value(element: &Element) -> bool {
    !is_empty(&element.value)
}

/// Gives all values of an attribute as the texts that they are matched by where
/// their VR is not known.
pub fn each_text(value: &Value, mut take: impl FnMut(&str)) {
    any_text(value, |text| {
        take(text);
        false
    });
}

/// Holds the test on any of the values as text? Padding does not count.
fn any_text(value: &Value, mut test: impl FnMut(&str) -> bool) -> bool {
    let mut numbers = |text: String| test(&text);
    match value {
        Value::Text(values) => values.iter().any(|text| test(text.trim_matches([' ', '\0']))),
        Value::Names(names) => names.iter().any(|name| test(&joined(name))),
        // Only a private attribute of unknown VR is asked for its numbers as text.
        Value::Signed(values) => values.iter().map(ToString::to_string).any(&mut numbers),
        Value::Unsigned(values) => values.iter().map(ToString::to_string).any(&mut numbers),
        Value::Float(values) => values.iter().map(ToString::to_string).any(&mut numbers),
        Value::Double(values) => values.iter().map(ToString::to_string).any(&mut numbers),
        Value::Tags(tags) => tags.iter().map(|tag| format!("{tag:08X}")).any(&mut numbers),
        Value::Empty | Value::Items(_) | Value::Inline(_) | Value::Bulk(_) => false,
    }
}

fn joined(name: &PersonName) -> Cow<'_, str> {
    if name.ideographic.is_empty() && name.phonetic.is_empty() {
        return Cow::Borrowed(&name.alphabetic);
    }
    let text = format!("{}={}={}", name.alphabetic, name.ideographic, name.phonetic);
    Cow::Owned(text.trim_end_matches('=').to_owned())
}

/// Is any of the values one of these numbers?
#[allow(
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "what is single is compared as single, and equal means equal"
)]
fn any_number(value: &Value, numbers: &[f64]) -> bool {
    let wanted = |stored: f64| numbers.contains(&stored);
    match value {
        Value::Text(values) => values.iter().filter_map(|text| text.trim().parse().ok()).any(wanted),
        Value::Signed(values) => values.iter().any(|stored| wanted(*stored as f64)),
        Value::Unsigned(values) => values.iter().any(|stored| wanted(*stored as f64)),
        // 0.1 in single precision is the 0.1 that was asked for.
        Value::Float(values) => {
            values.iter().any(|stored| numbers.iter().any(|number| *number as f32 == *stored))
        }
        Value::Double(values) => values.iter().any(|stored| wanted(*stored)),
        Value::Empty
        | Value::Names(_)
        | Value::Tags(_)
        | Value::Items(_)
        | Value::Inline(_)
        | Value::Bulk(_) => false,
    }
}

impl Query {
    /// Does the search match or return attributes of instances that their
    /// summary does not hold? Then [`super::project`] is to be given whole data
    /// sets of instances.
    #[must_use]
    pub fn wants_whole_instances(&self) -> bool {
        // A sequence may have been too large for the summary.
        let returns = |tag: &Tag| {
            attributes::level(*tag) == Level::Instance
                && (!attributes::in_summary(*tag) || attributes::vr(*tag) == VR::SQ)
        };
        let mut fields = self.include.fields.iter().filter_map(|path| path.first());
        self.matches_whole_instances()
            || self.target == Level::Instance && (self.include.all || fields.any(returns))
    }

    /// Does it match, or order, by such attributes? Then [`matches()`] is to be
    /// given whole data sets of instances; else what it [looks at](Self::looks_at).
    #[must_use]
    pub fn matches_whole_instances(&self) -> bool {
        // A sequence may have been too large for the summary.
        let by_key = |key: &Key| key.level == Level::Instance && (is_outside(key.tag) || key.vr == VR::SQ);
        self.target == Level::Instance
            && (self.text.is_some()
                || self.order.iter().any(|order| is_outside(order.tag))
                || self.keys.iter().any(by_key))
    }

    /// Whether an attribute in the summary of an instance may decide whether it
    /// matches, or in which order.
    #[must_use]
    pub fn looks_at(&self, tag: Tag, vr: VR) -> bool {
        // A date may be held against a range together with a time and a zone.
        let of_moment = |vr| matches!(vr, VR::DA | VR::TM | VR::DT);
        tag == attributes::TIMEZONE_OFFSET
            || self.order.iter().any(|order| order.tag == tag)
            || self.keys.iter().any(|key| key.tag == tag || of_moment(key.vr) && of_moment(vr))
    }
}

/// Whether it is an attribute of instances that their summaries do not hold.
fn is_outside(tag: Tag) -> bool {
    attributes::level(tag) == Level::Instance && !attributes::in_summary(tag)
}
