//! What may match a search: what one state of the index has for it, and what was
//! found in the overlay, studies or series, merged into the order of the results.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use super::{ArchiveError, overlay::StudyView, page::Place};
use crate::{
    dicom::query::{Level, Query},
    storage::index::{self, SortKey},
};

/// A study or series that may match.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) order: SortKey,
    /// Results it makes if it matches, and its instances with it.
    pub(super) results: usize,
    pub(super) source: Source,
}

#[derive(Clone)]
pub(super) enum Source {
    /// In the catalog, by ids.
    Row { study: u64, series: Option<u64> },
    /// In the overlay; the position of the series in it.
    View { study: Arc<Option<StudyView>>, series: Option<usize> },
}

impl Candidate {
    pub(super) fn place(&self) -> Place {
        let (study, series) = match &self.source {
            Source::Row { study, series } => (*study, *series),
            Source::View { study, series } => {
                let view = study.as_ref().as_ref();
                let series = view.zip(*series).and_then(|(view, at)| view.series.get(at));
                (view.map(|view| view.id).unwrap_or_default(), series.map(|series| series.id))
            }
        };
        Place { study, series, instance: None }
    }

    /// The same, to be read from the catalog when it is wanted.
    pub(super) fn as_row(&self) -> Self {
        let Place { study, series, .. } = self.place();
        Self { order: self.order.clone(), results: self.results, source: Source::Row { study, series } }
    }
}

/// What one state of index and overlay gives for a search, in order.
pub(super) struct Candidates {
    /// Results left out that stand before all rows that are needed.
    pub(super) before: usize,
    pub(super) rows: Vec<Candidate>,
    /// They match, and `total` is right.
    pub(super) exact: bool,
    pub(super) total: u64,
    /// None were left out for want of need.
    pub(super) is_all: bool,
}

impl Candidates {
    /// Asks the index for what is needed of the hits in order, those of skipped
    /// studies left out, and adds what is overlaid.
    pub(super) fn of(
        query: &Query,
        overlaid: Vec<Candidate>,
        skipped: &BTreeSet<u64>,
        index: &index::View,
        need: Range<usize>,
    ) -> Result<Self, ArchiveError> {
        // Each candidate that is overlaid may stand before any that is needed.
        let before = match query.target {
            Level::Study | Level::Series => need.start.saturating_sub(overlaid.len()),
            // How many results each makes is seen when they go by.
            Level::Instance => 0,
        };
        let hits = index.search(query, before..need.end, skipped)?;
        let before =
            if hits.exact { before.min(usize::try_from(hits.total).unwrap_or(usize::MAX)) } else { 0 };
        let is_all = (before + hits.rows.len()) as u64 >= hits.total;
        let indexed = if query.target == Level::Instance { hits.instances } else { hits.total };
        let total = overlaid.iter().map(|candidate| candidate.results as u64).sum::<u64>() + indexed;
        let mut rows = overlaid;
        rows.extend(hits.rows.into_iter().map(|hit| Candidate {
            order: hit.order,
            results: results_of(query, hit.instances),
            source: Source::Row { study: hit.study_id, series: hit.series_id },
        }));
        rows.sort_by(|a, b| a.order.cmp(&b.order));
        Ok(Self { before, rows, exact: hits.exact, total, is_all })
    }
}

/// Results that a series makes if it matches, and its instances with it.
pub(super) fn results_of(query: &Query, instances: u64) -> usize {
    match query.target {
        Level::Study | Level::Series => 1,
        Level::Instance => usize::try_from(instances).unwrap_or(usize::MAX),
    }
}
