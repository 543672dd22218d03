//! Search within one series: which of its instances match, in their order. Of those
//! only what is on the page is read with its attributes, so that a series of any
//! length takes no more memory than a page and the names of its instances.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc};

use super::{
    ArchiveError,
    full_text::Asked,
    instances::{Attributes, named_instances},
    orders::Name,
    page::{InstanceOrder, Match, Page, Place},
    search::{SOP_UID, Search},
    sight::Sight,
};
use crate::{
    dicom::{
        DataSet, InstanceUid, SeriesPath, Tag,
        query::{self, Hearing, Level},
    },
    storage::catalog::InstanceRow,
};

const INSTANCE_NUMBER: Tag = Tag(0x0020, 0x0013);

/// A series in which is looked.
pub(super) struct Within<'a> {
    pub(super) path: &'a SeriesPath,
    pub(super) place: &'a Place,
    pub(super) study: &'a Arc<DataSet>,
    pub(super) series: &'a Arc<DataSet>,
    /// Of its instances those only that were there at this change.
    pub(super) since: Option<u64>,
}

impl Within<'_> {
    fn matched(&self, order: InstanceOrder, instance: DataSet) -> Match {
        Match {
            place: Place { instance: Some(order), ..self.place.clone() },
            study: Arc::clone(self.study),
            series: Some(Arc::clone(self.series)),
            instance: Some(instance),
        }
    }
}

fn order_of((row, set): (InstanceRow, &DataSet)) -> InstanceOrder {
    (set.first_int(INSTANCE_NUMBER).unwrap_or(i64::MAX), row.path.instance)
}

impl Search<'_> {
    /// Takes the matching instances of one series.
    pub(super) fn try_instances(
        &self,
        snapshot: &Sight<'_>,
        within: &Within<'_>,
        page: &mut Page<'_>,
    ) -> Result<(), ArchiveError> {
        if !query::matches(self.query, within.study, Some(within.series), None) {
            return Ok(());
        }
        if page.is_sink() {
            return self.each_match(snapshot, within, &mut |row, set| {
                page.take(within.matched(order_of((row, &set)), set));
            });
        }
        let order = self.order_of_matches(snapshot, within)?;
        page.take_instances(within.place, &order, |wanted| {
            let uids = wanted.iter().map(|(_, uid)| uid);
            let whole = self.query.wants_whole_instances();
            let read = named_instances(snapshot.raw(), within.path, uids, whole)?;
            Ok(read.into_iter().map(|(row, set)| within.matched(order_of((row, &set)), set)).collect())
        })
    }

    /// What orders the instances of a series that match.
    fn order_of_matches(
        &self,
        snapshot: &Sight<'_>,
        within: &Within<'_>,
    ) -> Result<Arc<[InstanceOrder]>, ArchiveError> {
        let mut name = None;
        if self.asked.is_none() && !query::narrows(self.query, Level::Instance) {
            let Some(row) = snapshot.series(within.path)? else { return Ok(Arc::default()) };
            name = within.since.is_none_or(|since| row.seq <= since).then(|| Name::from(&row));
        }
        if let Some(known) = name.and_then(|name| self.core.orders.get(name)) {
            return Ok(known);
        }
        let mut order = Vec::new();
        self.each_match(snapshot, within, &mut |row, set| order.push(order_of((row, &set))))?;
        order.sort();
        let order = Arc::from(order);
        if let Some(name) = name {
            self.core.orders.add(name, &order);
        }
        Ok(order)
    }

    /// Gives the instances of a series that match, by themselves and all above them.
    fn each_match(
        &self,
        snapshot: &Sight<'_>,
        within: &Within<'_>,
        take: &mut dyn FnMut(InstanceRow, DataSet),
    ) -> Result<(), ArchiveError> {
        let Within { path, study, series, since, .. } = *within;
        let heard_above = self.asked.as_ref().map(|asked| {
            let mut hearing = asked.text.listen();
            Asked::hear_row(&mut hearing, study);
            Asked::hear_row(&mut hearing, series);
            hearing
        });
        let mut look = |row: InstanceRow, set: DataSet| -> Result<(), ArchiveError> {
            if since.is_some_and(|since| row.seq > since) && snapshot.raw().versions(&row.path)?.is_empty() {
                // New, and not another version of what was there.
                return Ok(());
            }
            if query::matches(self.query, study, Some(series), Some(&set))
                && self.has_words(snapshot, heard_above.as_ref(), &row, &set)?
            {
                take(row, set);
            }
            Ok(())
        };
        let Some(uids) = self.uids_of(SOP_UID) else {
            let wanted = |tag, vr| tag == INSTANCE_NUMBER || self.query.looks_at(tag, vr);
            let attributes = if self.query.matches_whole_instances() {
                Attributes::All
            } else {
                Attributes::Chosen(&wanted)
            };
            return snapshot.each_instance(path, attributes, &mut |row, set| {
                look(row, set).map(|()| ControlFlow::Continue(()))
            });
        };
        if snapshot.series(path)?.is_none() {
            return Ok(());
        }
        // One that is named twice is still one instance.
        let uids: BTreeSet<_> = uids.iter().filter_map(|uid| InstanceUid::parse(uid).ok()).collect();
        let whole = self.query.matches_whole_instances();
        let named = named_instances(snapshot.raw(), path, uids.iter(), whole)?;
        named.into_iter().try_for_each(|(row, set)| look(row, set))
    }

    /// Whether an instance has the words which the levels above it lack.
    fn has_words(
        &self,
        snapshot: &Sight<'_>,
        heard_above: Option<&Hearing<'_>>,
        row: &InstanceRow,
        set: &DataSet,
    ) -> Result<bool, ArchiveError> {
        let (Some(asked), Some(heard)) = (&self.asked, heard_above) else { return Ok(true) };
        let mut hearing = heard.clone();
        asked.hear_instance(snapshot.raw(), &mut hearing, row, set)?;
        Ok(hearing.is_complete())
    }
}
