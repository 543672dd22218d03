//! Read your writes: the studies that changed since the index last committed.
//!
//! Every transaction marks its studies here before it is acknowledged; the
//! indexer takes a mark away once a commit holds that change. A search leaves
//! marked studies out of the index's answer and matches their rows directly,
//! by the same predicate.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    dicom::{DataSet, StudyUid},
    storage::{
        catalog::{Catalog, SeriesRow, Snapshot, StudyRow},
        index::{self, Index},
    },
};

use super::ArchiveError;

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
}

#[derive(Debug)]
struct Inner {
    marks: BTreeMap<StudyUid, Mark>,
    /// The last change that was marked.
    seq: u64,
}

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
    /// By id; a study that is gone has no view.
    pub studies: BTreeMap<u64, Arc<Option<StudyView>>>,
    pub snapshot: Snapshot,
    pub index: index::View,
}

impl Overlay {
    /// An empty overlay over an index that will follow the feed from `seq` on.
    pub fn new(seq: u64) -> Self {
        Self { inner: Mutex::new(Inner { marks: BTreeMap::new(), seq }) }
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
    }

    /// Takes away the marks of changes up to `seq`, which the index holds.
    pub fn clear(&self, seq: u64) {
        self.lock().marks.retain(|_, mark| mark.seq > seq);
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
        let (marks, snapshot, index) = loop {
            attempts += 1;
            let indexed = index.committed_seq();
            let (marks, marked) = {
                let inner = self.lock();
                (inner.marks.clone(), inner.seq)
            };
            let snapshot = catalog.read()?;
            let index = index.reader();
            let is_one = index.seq() == indexed && snapshot.seq()? == marked;
            if is_one || attempts >= ATTEMPTS_MAX {
                break (marks, snapshot, index);
            }
            std::thread::yield_now();
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
