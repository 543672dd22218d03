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
    storage::catalog::{Catalog, Snapshot},
};

use super::ArchiveError;

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

#[derive(Debug, Default)]
pub struct Overlay {
    marks: Mutex<BTreeMap<StudyUid, Mark>>,
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

/// The marked studies at one moment.
pub struct Marked {
    /// By id; a study that is gone has no view.
    pub studies: BTreeMap<u64, Arc<Option<StudyView>>>,
}

impl Overlay {
    /// Marks a study as changed at `seq`; `ids` are those it has or had.
    pub fn mark(&self, study: &StudyUid, ids: impl IntoIterator<Item = u64>, seq: u64) {
        let mut marks = self.lock();
        let mark =
            marks.entry(study.clone()).or_insert_with(|| Mark { seq, ids: BTreeSet::new(), view: None });
        mark.seq = mark.seq.max(seq);
        mark.ids.extend(ids);
        mark.view = None;
    }

    /// Takes away the marks of changes up to `seq`.
    pub fn clear(&self, seq: u64) {
        self.lock().retain(|_, mark| mark.seq > seq);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// The marked studies, each read from the catalog if no search has yet,
    /// and the snapshot they were read from.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn marked(&self, catalog: &Catalog) -> Result<(Marked, Snapshot), ArchiveError> {
        let marks: Vec<(StudyUid, Mark)> =
            self.lock().iter().map(|(study, mark)| (study.clone(), mark.clone())).collect();
        // Taken after the marks: it holds every change that they speak of.
        let snapshot = catalog.read()?;
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
            let gone = Arc::new(None);
            studies.extend(mark.ids.into_iter().map(|id| (id, Arc::clone(&gone))));
            if let Some(id) = view.as_ref().as_ref().map(|study| study.id) {
                studies.insert(id, view);
            }
        }
        Ok((Marked { studies }, snapshot))
    }

    /// Keeps a view for the next search, unless the study changed meanwhile.
    fn keep(&self, study: &StudyUid, seq: u64, view: &Arc<Option<StudyView>>) {
        if let Some(mark) = self.lock().get_mut(study)
            && mark.seq == seq
        {
            mark.view = Some(Arc::clone(view));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<StudyUid, Mark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A study's row and its series' as search sees them.
///
/// # Errors
/// When the catalog cannot be read.
pub fn view_of(snapshot: &Snapshot, study: &StudyUid) -> Result<Option<StudyView>, ArchiveError> {
    let Some(row) = snapshot.study(study)? else { return Ok(None) };
    let series = snapshot
        .series_of(study)?
        .into_iter()
        .map(|series| SeriesView {
            id: series.id,
            sop_classes: series.sop_classes.keys().cloned().collect(),
            instances: series.instances,
            set: series.computed(),
        })
        .collect();
    Ok(Some(StudyView { id: row.id, set: row.computed(), series }))
}
