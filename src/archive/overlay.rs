//! Read your writes: the studies that changed since the index last committed.
//!
//! Every transaction marks its studies here before it is acknowledged; the
//! indexer takes a mark away once a commit holds that change. A search leaves
//! marked studies out of the index's answer and matches their rows directly,
//! by the same predicate.
//!
//! Every mark costs memory, and each search looks at all of them: so whoever
//! makes them waits while there are many ([`Overlay::wait_for_room`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    dicom::{DataSet, StudyUid},
    storage::{
        catalog::{Catalog, SeriesRow, Snapshot, StudyRow},
        index::{self, Index},
    },
};

use super::ArchiveError;

/// Studies from which on stores wait for the index.
const STUDIES_MAX: usize = 10_000;
/// Of an index that cannot be written at all: from here on nothing is stored.
const STUDIES_REFUSED: usize = 100_000;
/// How long a batch of stores waits at most.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(1);

/// How often a search tries to find marks, rows and index of one moment.
const ATTEMPTS_MAX: u32 = 8;

/// A study as search sees it: attributes with the computed ones put in.
#[derive(Debug)]
pub struct StudyView {
    pub id: u64,
    pub set: DataSet,
    pub series: Vec<SeriesView>,
}

#[derive(Debug)]
pub struct SeriesView {
    pub id: u64,
    pub set: DataSet,
    pub sop_classes: Vec<String>,
    pub instances: u64,
}

#[derive(Debug)]
pub struct Overlay {
    inner: Mutex<Inner>,
    /// Marks were taken away.
    cleared: Condvar,
}

#[derive(Debug)]
struct Inner {
    marks: BTreeMap<StudyUid, Mark>,
    /// The last change that was marked.
    seq: u64,
    /// Counts what happens to the marks.
    turn: u64,
    /// All of them as the last search put them together, and in which turn.
    whole: Option<(u64, Arc<Studies>)>,
}

/// Marked studies by id; one that is gone has no view.
pub type Studies = BTreeMap<u64, Arc<Option<StudyView>>>;

#[derive(Debug, Clone)]
struct Mark {
    /// Feed sequence of the last change.
    seq: u64,
    /// The ids under which the index may know the study: one that was deleted
    /// and stored again has a new one.
    ids: BTreeSet<u64>,
    /// Read at the first search that needs it; `None` inside: deleted.
    view: Option<Arc<Option<StudyView>>>,
}

/// The marked studies at one moment, and the rows and the index that go with
/// them.
pub struct Moment {
    pub studies: Arc<Studies>,
    pub snapshot: Snapshot,
    pub index: index::View,
}

impl Overlay {
    /// An empty overlay over an index that will follow the feed from `seq` on.
    pub fn new(seq: u64) -> Self {
        Self {
            inner: Mutex::new(Inner { marks: BTreeMap::new(), seq, turn: 0, whole: None }),
            cleared: Condvar::new(),
        }
    }

    /// Marks studies as changed by changes up to `seq`, each with the ids it
    /// has or had.
    pub fn mark<Ids: IntoIterator<Item = u64>>(
        &self,
        studies: impl IntoIterator<Item = (StudyUid, Ids)>,
        seq: u64,
    ) {
        let mut inner = self.lock();
        for (study, ids) in studies {
            let mark =
                inner.marks.entry(study).or_insert_with(|| Mark { seq, ids: BTreeSet::new(), view: None });
            mark.seq = mark.seq.max(seq);
            mark.ids.extend(ids);
            mark.view = None;
        }
        inner.seq = seq;
        inner.turn += 1;
        inner.whole = None;
    }

    /// Takes away the marks of changes up to `seq`, which the index holds.
    pub fn clear(&self, seq: u64) {
        let mut inner = self.lock();
        inner.marks.retain(|_, mark| mark.seq > seq);
        inner.turn += 1;
        inner.whole = None;
        drop(inner);
        self.cleared.notify_all();
    }

    /// Whether stores wait for the index.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.len() >= STUDIES_MAX
    }

    /// Waits, but not long, while the index is far behind: stores then go at its
    /// pace. False if it is so far behind that nothing more is to be stored.
    #[must_use]
    pub fn wait_for_room(&self) -> bool {
        let inner = self.lock();
        if inner.marks.len() < STUDIES_MAX {
            return true;
        }
        let is_many = |inner: &mut Inner| inner.marks.len() >= STUDIES_MAX;
        let waited = self.cleared.wait_timeout_while(inner, ROOM_WAIT_MAX, is_many);
        let (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        inner.marks.len() < STUDIES_REFUSED
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().marks.len()
    }

    /// Marks, rows and index for one search, with each marked study read from
    /// the catalog if no search has yet.
    ///
    /// The order is what makes an acknowledged study be found: the marks before
    /// the index, for a mark goes only once the index that was published holds
    /// its study (the other way round the study could leave the overlay between
    /// the two); the marks before the rows, which then hold every change that
    /// the marks speak of. Nothing holds the three still, though: so it is
    /// tried again when a commit came in between, and a few times are enough,
    /// for what is then amiss is a total that is off by what changed just now.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn moment(&self, catalog: &Catalog, index: &Index) -> Result<Moment, ArchiveError> {
        let mut attempts = 0;
        let (turn, marks, snapshot, index) = loop {
            attempts += 1;
            let indexed = index.committed_seq();
            let (turn, marks, marked) = {
                let inner = self.lock();
                let whole = inner.whole.as_ref().filter(|(turn, _)| *turn == inner.turn);
                let marks =
                    whole.map_or_else(|| Err(inner.marks.clone()), |(_, whole)| Ok(Arc::clone(whole)));
                (inner.turn, marks, inner.seq)
            };
            let snapshot = catalog.read()?;
            let index = index.reader();
            let is_one = index.seq() == indexed && snapshot.seq()? == marked;
            if is_one || attempts >= ATTEMPTS_MAX {
                break (turn, marks, snapshot, index);
            }
            std::thread::yield_now();
        };
        let marks = match marks {
            Ok(studies) => return Ok(Moment { studies, snapshot, index }),
            Err(marks) => marks,
        };
        let gone = Arc::new(None);
        let mut studies = BTreeMap::new();
        for (study, mark) in marks {
            let view = match mark.view {
                Some(view) => view,
                None => {
                    let view = Arc::new(view_of(&snapshot, &study)?);
                    self.keep(&study, mark.seq, &view);
                    view
                }
            };
            for id in mark.ids {
                studies.entry(id).or_insert_with(|| Arc::clone(&gone));
            }
            if let Some(id) = view.as_ref().as_ref().map(|study| study.id) {
                studies.insert(id, view);
            }
        }
        let studies = Arc::new(studies);
        let mut inner = self.lock();
        if inner.turn == turn {
            inner.whole = Some((turn, Arc::clone(&studies)));
        }
        drop(inner);
        Ok(Moment { studies, snapshot, index })
    }

    /// Keeps a view for the next search, unless the study changed meanwhile.
    fn keep(&self, study: &StudyUid, seq: u64, view: &Arc<Option<StudyView>>) {
        if let Some(mark) = self.lock().marks.get_mut(study)
            && mark.seq == seq
        {
            mark.view = Some(Arc::clone(view));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A study's row and its series' as search sees them.
///
/// # Errors
/// When the catalog cannot be read.
pub fn view_of(snapshot: &Snapshot, study: &StudyUid) -> Result<Option<StudyView>, ArchiveError> {
    let Some(row) = snapshot.study(study)? else { return Ok(None) };
    Ok(Some(StudyView::of(row, snapshot.series_of(study)?)))
}

impl StudyView {
    pub fn of(row: StudyRow, series: Vec<SeriesRow>) -> Self {
        let series = series
            .into_iter()
            .map(|series| SeriesView {
                id: series.id,
                sop_classes: series.sop_classes.keys().cloned().collect(),
                instances: series.instances,
                set: series.computed(),
            })
            .collect();
        Self { id: row.id, set: row.computed(), series }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(overlay: &Overlay, studies: std::ops::Range<usize>) {
        let uids = studies.map(|number| StudyUid::parse(&format!("1.2.{number}")).unwrap());
        overlay.mark(uids.map(|uid| (uid, [0])), 1);
    }

    /// Storing a million studies faster than they are indexed took a gigabyte.
    #[test]
    fn stores_wait_for_an_index_that_is_far_behind() {
        let overlay = Overlay::new(0);
        mark(&overlay, 0..STUDIES_MAX - 1);
        assert!(overlay.wait_for_room(), "there is room, and nothing clears it");
        mark(&overlay, 0..STUDIES_MAX);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| overlay.wait_for_room());
            overlay.clear(1);
            assert!(waiting.join().unwrap());
        });
        assert_eq!(overlay.len(), 0);
        mark(&overlay, 0..STUDIES_REFUSED);
        assert!(!overlay.wait_for_room(), "an index that does not follow at all");
    }
}
