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

impl Place {
    /// Whether both are in the same series.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        (self.study, self.series) == (other.study, other.series)
    }
}

/// Where matches are, in order. Those of one series share what orders them.
#[derive(Debug, Default)]
pub(super) struct Places {
    runs: Vec<Run>,
    length: usize,
}

#[derive(Debug)]
enum Run {
    One(Place),
    Instances { study: u64, series: Option<u64>, order: Arc<[InstanceOrder]> },
}

impl Run {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Instances { order, .. } => order.len(),
        }
    }

    fn at(&self, position: usize) -> Place {
        match self {
            Self::One(place) => place.clone(),
            Self::Instances { study, series, order } => {
                Place { study: *study, series: *series, instance: order.get(position).cloned() }
            }
        }
    }
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Those behind the first `skip`.
    pub(super) fn after(&self, mut skip: usize) -> impl Iterator<Item = Place> {
        self.runs.iter().flat_map(move |run| {
            let skipped = skip.min(run.len());
            skip -= skipped;
            (skipped..run.len()).map(|position| run.at(position))
        })
    }

    fn push(&mut self, run: Run) {
        self.length += run.len();
        self.runs.push(run);
    }
}

impl FromIterator<Place> for Places {
    fn from_iter<I: IntoIterator<Item = Place>>(places: I) -> Self {
        let runs: Vec<Run> = places.into_iter().map(Run::One).collect();
        Self { length: runs.len(), runs }
    }
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
    places: Option<Places>,
    /// Gets every match, in place of the page.
    sink: Option<&'p mut dyn FnMut(&Match)>,
}

impl<'p> Page<'p> {
    pub(super) fn new(start: Position, limit: usize, listed: bool) -> Self {
        let places = listed.then(Places::default);
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

    /// Whether all matches are given to somebody, in place of a page of them.
    pub(super) fn is_sink(&self) -> bool {
        self.sink.is_some()
    }

    pub(super) fn take(&mut self, found: Match) {
        if let Some(sink) = &mut self.sink {
            self.seen += 1;
            sink(&found);
            return;
        }
        self.list(|| Run::One(found.place.clone()), 1);
        let is_on_page = self.seen >= self.start.seen && !self.is_full();
        self.seen += 1;
        if is_on_page {
            self.keep(found);
        }
    }

    /// Takes all instances of a series that match, in order; `read` gives those that
    /// are on the page.
    pub(super) fn take_instances<E>(
        &mut self,
        place: &Place,
        order: &Arc<[InstanceOrder]>,
        read: impl FnOnce(&[InstanceOrder]) -> Result<Vec<Match>, E>,
    ) -> Result<(), E> {
        let run = || Run::Instances { study: place.study, series: place.series, order: Arc::clone(order) };
        self.list(run, order.len());
        let mut order = &**order;
        if let Some(last) = self.cut() {
            order = &order[order.partition_point(|one| one <= last)..];
            self.seen = self.start.seen;
        }
        let end = self.seen + order.len();
        let (before, rest) = order.split_at(self.start.seen.saturating_sub(self.seen).min(order.len()));
        let wanted = &rest[..rest.len().min(self.limit.saturating_sub(self.kept.len()))];
        if !wanted.is_empty() {
            self.seen += before.len();
            for found in read(wanted)? {
                self.seen += 1;
                self.keep(found);
            }
        }
        self.seen = end;
        Ok(())
    }

    fn keep(&mut self, found: Match) {
        let last = found.place.instance.clone();
        self.kept.push(found);
        if self.is_full() {
            let cut = last.map(|last| Cut { base: self.base, last });
            self.end = Some(Position { seen: self.seen, cut });
        }
    }

    /// Notes so many places, as long as they are not too many.
    fn list(&mut self, run: impl FnOnce() -> Run, many: usize) {
        match &mut self.places {
            Some(places) if places.len() + many <= LISTED_MAX => places.push(run()),
            _ => self.places = None,
        }
    }

    /// All matches that went by, if they were to be listed.
    pub(super) fn places(&mut self) -> Option<Places> {
        self.places.take()
    }
}
