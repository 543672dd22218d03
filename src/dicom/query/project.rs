//! What a search returns of what it found (PS3.18 section 10.6.3.3): the
//! attributes of the tables, those matched, those asked for; of sequences that
//! were matched, only the items that did.

use std::collections::BTreeMap;

use dicom_core::{Tag, VR};

use super::matching::{has_value, item_matches, stored_tag};
use super::parse::creator_tag;
use super::{Key, Level, Query, Test, range};
use crate::dicom::attributes;
use crate::dicom::dataset::{DataSet, Element, Value};

/// What is wanted of an attribute.
#[derive(Debug, Clone, Default)]
struct Want {
    /// All of it; else, of its items, what `items` says.
    whole: bool,
    /// Present without a value when none is known.
    required: bool,
    creator: Option<String>,
    items: Wants,
    /// Each must match an item for it to come back.
    filters: Vec<Vec<Key>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Wants(BTreeMap<Tag, Want>);

/// What a query returns of each level, worked out once for all its results.
#[derive(Debug, Clone)]
pub struct Projection {
    levels: [(Level, Wants); 3],
}

impl Projection {
    #[must_use]
    pub fn new(query: &Query) -> Self {
        let levels = [Level::Study, Level::Series, Level::Instance].map(|level| {
            let mut wants = Wants::default();
            if level <= query.target {
                wants.defaults(query, level);
                wants.keys(query.keys.iter().filter(|key| key.level == level));
                wants.included(query, level);
            }
            (level, wants)
        });
        Self { levels }
    }

    /// One result, from the data sets of its levels with the computed
    /// attributes put in.
    #[must_use]
    pub fn apply(&self, study: &DataSet, series: Option<&DataSet>, instance: Option<&DataSet>) -> DataSet {
        let mut out = DataSet::new();
        for (level, wants) in &self.levels {
            let set = match level {
                Level::Study => Some(study),
                Level::Series => series,
                Level::Instance => instance,
            };
            if let Some(set) = set {
                wants.take(set, range::zone_of(set), &mut out);
            }
        }
        out
    }
}

/// One result of a query; for more than a few, make a [`Projection`] once.
#[must_use]
pub fn project(
    query: &Query,
    study: &DataSet,
    series: Option<&DataSet>,
    instance: Option<&DataSet>,
) -> DataSet {
    Projection::new(query).apply(study, series, instance)
}

impl Wants {
    fn defaults(&mut self, query: &Query, level: Level) {
        if level >= query.resource.top() {
            for tag in attributes::default_return(level) {
                // What tells of the row found is not said of the rows above it.
                if attributes::of_every_level(*tag) && level != query.target {
                    continue;
                }
                let want = self.0.entry(*tag).or_default();
                want.required = attributes::required(level).contains(tag);
                match attributes::default_items(*tag) {
                    Some(items) => want.items.0.extend(items.iter().map(|tag| (*tag, Want::whole()))),
                    None => want.whole = true,
                }
            }
        }
        // The UIDs of the parents, whatever the tables say.
        let uid = match level {
            Level::Study => attributes::STUDY_INSTANCE_UID,
            Level::Series => attributes::SERIES_INSTANCE_UID,
            Level::Instance => attributes::SOP_INSTANCE_UID,
        };
        self.0.entry(uid).or_default().whole = true;
    }

    fn keys<'a>(&mut self, keys: impl Iterator<Item = &'a Key>) {
        for key in keys {
            let want = self.0.entry(key.tag).or_default();
            want.creator = want.creator.take().or_else(|| key.creator.clone());
            match &key.test {
                Test::Item(items) => {
                    want.items.keys(items.iter());
                    want.filters.push(items.clone());
                }
                Test::DateTime { time, .. } => {
                    want.whole = true;
                    self.0.entry(*time).or_default().whole = true;
                }
                Test::Any
                | Test::Empty
                | Test::Uids(_)
                | Test::OneOf(_)
                | Test::AllOf(_)
                | Test::Wildcard(_)
                | Test::Name(_)
                | Test::Number(_)
                | Test::Range(_) => want.whole = true,
            }
        }
    }

    fn included(&mut self, query: &Query, level: Level) {
        if query.include.all && level == query.target {
            for tag in attributes::optional(level).iter().chain(attributes::default_return(level)) {
                self.0.entry(*tag).or_default().whole = true;
            }
        }
        for path in &query.include.fields {
            let Some(first) = path.first() else { continue };
            let found_at =
                if attributes::of_every_level(*first) { query.target } else { attributes::level(*first) };
            if found_at == level {
                self.include(path, &query.include.creators);
            }
        }
    }

    pub(super) fn include(&mut self, path: &[Tag], creators: &[(Tag, String)]) {
        let Some((first, rest)) = path.split_first() else { return };
        let mut creator = None;
        if attributes::is_private(*first) && !attributes::is_private_creator(*first) {
            let at = creator_tag(*first);
            creator = creators.iter().find(|(tag, _)| *tag == at).map(|(_, creator)| creator.clone());
            if creator.is_none() {
                return;
            }
        }
        let want = self.0.entry(*first).or_default();
        want.creator = want.creator.take().or(creator);
        if rest.is_empty() {
            want.whole = true;
        } else {
            want.items.include(rest, creators);
        }
    }

    /// Puts what is wanted of a data set into the result.
    pub(super) fn take(&self, set: &DataSet, zone: Option<i16>, out: &mut DataSet) {
        for (tag, want) in &self.0 {
            let stored = stored_tag(*tag, want.creator.as_deref(), set);
            let found = stored.and_then(|tag| Some((tag, set.get(tag)?)));
            match found {
                Some((tag, element)) if has_value(element) || want.asked_for() => {
                    if want.creator.is_some() {
                        let creator = creator_tag(tag);
                        if let Some(element) = set.get(creator) {
                            out.put(creator, element.clone());
                        }
                    }
                    out.put(tag, want.of(element, zone));
                }
                _ if want.required => out.put(*tag, Element::new(attributes::vr(*tag), Value::Empty)),
                _ => {}
            }
        }
    }
}

impl Want {
    fn whole() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// An attribute that is there without a value comes back as it is.
    fn asked_for(&self) -> bool {
        self.whole || self.required
    }

    fn of(&self, element: &Element, zone: Option<i16>) -> Element {
        let Value::Items(items) = &element.value else { return element.clone() };
        if self.whole && self.filters.is_empty() {
            return element.clone();
        }
        let taken: Vec<DataSet> = items
            .iter()
            .filter(|item| self.filters.iter().all(|keys| item_matches(keys, item, zone)))
            .map(|item| {
                if self.whole {
                    return item.clone();
                }
                let mut out = DataSet::new();
                self.items.take(item, range::zone_of(item).or(zone), &mut out);
                out
            })
            .collect();
        let value = if taken.is_empty() { Value::Empty } else { Value::Items(taken) };
        Element::new(VR::SQ, value)
    }
}
