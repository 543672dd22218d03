//! One page of a search: takes matches in their order, keeps those of the page,
//! and knows where the next one goes on.

use std::sync::Arc;

use crate::dicom::{DataSet, InstanceUid};

/// What orders the instances of a series.
pub(super) type InstanceOrder = (i64, InstanceUid);

/// Matches that one search lists at most, for its next pages.
const LISTED_MAX: usize = 100_000;

/// One match: the attributes of its levels.
pub(super) struct Match {
    pub(super) place: Place,
    pub(super) study: Arc<DataSet>,
    pub(super) series: Option<Arc<DataSet>>,
    pub(super) instance: Option<DataSet>,
}

/// Where a match is in the catalog, by the ids of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) study: u64,
    pub(super) series: Option<u64>,
    pub(super) instance: Option<InstanceOrder>,
}

/// Where a page begins or ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Matches before it.
    pub(super) seen: usize,
    /// It lies within a series.
    pub(super) cut: Option<Cut>,
}

/// A place within a series whose number of matches is known, but whose instances
/// may have changed since: after this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    /// Matches before the series.
    pub(super) base: usize,
    pub(super) last: InstanceOrder,
}

/// Takes matches in order and keeps those of the page.
pub(super) struct Page<'p> {
    pub(super) start: Position,
    pub(super) limit: usize,
    /// Matches that went by.
    pub(super) seen: usize,
    /// Matches before the series in hand.
    pub(super) base: usize,
    pub(super) kept: Vec<Match>,
    /// Where the page became full.
    pub(super) end: Option<Position>,
    /// Matches that may be looked for; more are an error.
    pub(super) matches_max: u64,
    /// Of all matches so far, if they are to be listed and are not too many.
    places: Option<Vec<Place>>,
    /// Gets every match, in place of the page.
    sink: Option<&'p mut dyn FnMut(&Match)>,
}

impl<'p> Page<'p> {
    pub(super) fn new(start: Position, limit: usize, listed: bool) -> Self {
        let places = listed.then(Vec::new);
        Self {
            start,
            limit,
            seen: 0,
            base: 0,
            kept: Vec::new(),
            end: None,
            matches_max: u64::MAX,
            places,
            sink: None,
        }
    }

    /// Takes all there are, keeps none.
    pub(super) fn into(sink: &'p mut dyn FnMut(&Match)) -> Self {
        Self { sink: Some(sink), ..Self::new(Position::default(), usize::MAX, false) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= self.limit
    }

    /// Whether any of the next `count` matches is on the page.
    pub(super) fn touches(&self, count: usize) -> bool {
        !self.is_full() && self.seen + count > self.start.seen
    }

    /// The instance of the series in hand after which the page begins.
    pub(super) fn cut(&self) -> Option<&InstanceOrder> {
        self.start.cut.as_ref().filter(|cut| cut.base == self.base).map(|cut| &cut.last)
    }

    pub(super) fn take(&mut self, found: Match) {
        if let Some(places) = &mut self.places {
            if places.len() < LISTED_MAX { places.push(found.place.clone()) } else { self.places = None }
        }
        let is_on_page = self.seen >= self.start.seen && !self.is_full();
        self.seen += 1;
        if let Some(sink) = &mut self.sink {
            sink(&found);
        } else if is_on_page {
            let last = found.place.instance.clone();
            self.kept.push(found);
            if self.is_full() {
                let cut = last.map(|last| Cut { base: self.base, last });
                self.end = Some(Position { seen: self.seen, cut });
            }
        }
    }

    /// All matches that went by, if they were to be listed.
    pub(super) fn places(&mut self) -> Option<Vec<Place>> {
        self.places.take()
    }
}
