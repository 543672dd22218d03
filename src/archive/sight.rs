//! The catalog at one moment as one caller sees it: the same reads as those of
//! [`Snapshot`], without what the filter of the caller's permit does not admit.
//! A study of which only some series are seen counts and lists those alone; what
//! it says of itself and its patient is of the whole study.
//!
//! Invariant: whatever leaves the archive towards a caller was found through
//! one of these. What is read by a row ([`Sight::raw`]) needs no second look:
//! the row was found here.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    ArchiveError, Core,
    instances::{self, Attributes},
    overlay::StudyView,
};
use crate::{
    auth::Permit,
    dicom::{
        DataSet, InstancePath, InstanceUid, SeriesPath, StudyUid, json,
        query::{Filter, is_deidentified},
    },
    storage::catalog::{InstanceRow, SeriesRow, Snapshot, StudyRow, Target, Version},
};

/// Studies of which it is remembered whether they are de-identified.
const REMEMBERED_MAX: usize = 100_000;

/// Which studies are de-identified in all their instances, by their number and
/// the last change in them.
#[derive(Debug, Default)]
pub(super) struct Deidentified {
    known: Mutex<HashMap<(u64, u64), bool>>,
}

/// See the module.
pub(super) struct Sight<'a> {
    core: &'a Core,
    raw: Snapshot,
    filter: Option<Arc<Filter>>,
    until: Option<Deadline>,
}

/// When looking is given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    time_max: Duration,
}

impl Deadline {
    /// After this time from now.
    pub(super) fn after(time_max: Duration) -> Option<Self> {
        Some(Self { at: Instant::now().checked_add(time_max)?, time_max })
    }

    fn check(&self) -> Result<(), ArchiveError> {
        if Instant::now() < self.at {
            return Ok(());
        }
        let why = format!("it was given up after {} ms", self.time_max.as_millis());
        Err(ArchiveError::TooBroad(why))
    }
}

impl Core {
    /// The catalog now, as who has the permit sees it while doing what it is for.
    pub(super) fn sight(&self, permit: &Permit) -> Result<Sight<'_>, ArchiveError> {
        let filter = permit.required()?.filter().cloned();
        Ok(Sight { core: self, raw: self.catalog.read()?, filter, until: None })
    }

    /// The same of as much as is in memory.
    pub(super) fn sight_of_memory(&self, permit: &Permit) -> Result<Sight<'_>, ArchiveError> {
        let filter = permit.required()?.filter().cloned();
        Ok(Sight { core: self, raw: self.catalog.remembered(), filter, until: None })
    }
}

impl<'a> Sight<'a> {
    /// The catalog at a moment through a filter; none: all of it.
    pub(super) fn through(core: &'a Core, raw: Snapshot, filter: Option<Arc<Filter>>) -> Self {
        Self { core, raw, filter, until: None }
    }

    /// The same for a search, which looks at no more rows than time is left for.
    pub(super) fn until(self, until: Option<Deadline>) -> Self {
        Self { until, ..self }
    }

    /// # Errors
    /// [`ArchiveError::TooBroad`] when the time for looking is over.
    pub(super) fn check_time(&self) -> Result<(), ArchiveError> {
        self.until.as_ref().map_or(Ok(()), Deadline::check)
    }

    /// For reads by a row that was found here, and for what is no caller's.
    pub(super) fn raw(&self) -> &Snapshot {
        &self.raw
    }

    pub(super) fn is_filtered(&self) -> bool {
        self.filter.is_some()
    }

    pub(super) fn seq(&self) -> Result<u64, ArchiveError> {
        Ok(self.raw.seq()?)
    }

    // -- studies and series

    pub(super) fn study(&self, uid: &StudyUid) -> Result<Option<StudyRow>, ArchiveError> {
        match self.raw.study(uid)? {
            Some(row) => self.seen(row),
            None => Ok(None),
        }
    }

    pub(super) fn study_by_id(&self, id: u64) -> Result<Option<StudyRow>, ArchiveError> {
        self.check_time()?;
        match self.raw.study_by_id(id)? {
            Some(row) => self.seen(row),
            None => Ok(None),
        }
    }

    pub(super) fn series(&self, path: &SeriesPath) -> Result<Option<SeriesRow>, ArchiveError> {
        let Some(row) = self.raw.series(path)? else { return Ok(None) };
        Ok(self.admits(path, Some(&row))?.then_some(row))
    }

    pub(super) fn series_by_id(&self, id: u64) -> Result<Option<SeriesRow>, ArchiveError> {
        let Some(row) = self.raw.series_by_id(id)? else { return Ok(None) };
        Ok(self.admits(&row.path, Some(&row))?.then_some(row))
    }

    /// In ascending order of their UIDs.
    pub(super) fn series_of(&self, study: &StudyUid) -> Result<Vec<SeriesRow>, ArchiveError> {
        self.check_time()?;
        let rows = self.raw.series_of(study)?;
        if self.filter.is_none() {
            return Ok(rows);
        }
        let Some(row) = self.raw.study(study)? else { return Ok(Vec::new()) };
        self.of(&row, rows)
    }

    /// Those of the series of a study that are seen.
    fn of(&self, study: &StudyRow, mut series: Vec<SeriesRow>) -> Result<Vec<SeriesRow>, ArchiveError> {
        let Some(filter) = &self.filter else { return Ok(series) };
        let mut holding = Vec::new();
        for one in filter.any_of.iter().filter(|one| one.admits_study(&study.attributes)) {
            if !one.deidentified || self.is_deidentified(study)? {
                holding.push(one);
            }
        }
        series.retain(|row| holding.iter().any(|one| one.admits_series(&row.attributes)));
        Ok(series)
    }

    /// What is seen of a study.
    fn seen(&self, row: StudyRow) -> Result<Option<StudyRow>, ArchiveError> {
        let Some(filter) = &self.filter else { return Ok(Some(row)) };
        if !filter.may_admit(&row.attributes) {
            return Ok(None);
        }
        if !filter.parts_studies() && !filter.asks_instances() {
            return Ok(Some(row));
        }
        let series = self.of(&row, self.raw.series_of(&row.uid)?)?;
        if series.is_empty() {
            return Ok(None);
        }
        if series.len() == row.series as usize {
            return Ok(Some(row));
        }
        Ok(Some(row.of_only(&series)))
    }

    /// Whether a series is seen. `row`: it, where it was read already.
    fn admits(&self, path: &SeriesPath, row: Option<&SeriesRow>) -> Result<bool, ArchiveError> {
        let Some(filter) = &self.filter else { return Ok(true) };
        let Some(study) = self.raw.study(&path.study)? else { return Ok(false) };
        let read;
        let series = match row {
            Some(row) => row,
            None => match self.raw.series(path)? {
                Some(row) => {
                    read = row;
                    &read
                }
                None => return Ok(false),
            },
        };
        for one in &filter.any_of {
            if one.admits_study(&study.attributes)
                && one.admits_series(&series.attributes)
                && (!one.deidentified || self.is_deidentified(&study)?)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A study as the overlay has it.
    pub(super) fn view(&self, view: &Arc<Option<StudyView>>) -> Result<Arc<Option<StudyView>>, ArchiveError> {
        let (Some(filter), Some(study)) = (&self.filter, view.as_ref()) else { return Ok(Arc::clone(view)) };
        if !filter.may_admit(&study.set) {
            return Ok(Arc::new(None));
        }
        if !filter.parts_studies() && !filter.asks_instances() {
            return Ok(Arc::clone(view));
        }
        let row = self.study_by_id(study.id)?;
        let Some(row) = row else { return Ok(Arc::new(None)) };
        let series = self.series_of(&row.uid)?;
        Ok(Arc::new(Some(StudyView::of(row, series))))
    }

    /// Whether all instances of a study say that they are de-identified.
    fn is_deidentified(&self, study: &StudyRow) -> Result<bool, ArchiveError> {
        let key = (study.id, study.seq);
        let lock = || self.core.deidentified.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return Ok(*known);
        }
        let mut all = is_deidentified(&study.attributes);
        for series in self.raw.series_of(&study.uid)? {
            if !all {
                break;
            }
            self.check_time()?;
            self.raw.metadata(&series.path, None, &mut |_, metadata| {
                let set = json::read(metadata, json::Limits::OWN);
                all = set.is_ok_and(|set| is_deidentified(&set));
                if all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        let mut known = lock();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(key, all);
        Ok(all)
    }

    // -- instances

    pub(super) fn instance(&self, path: &InstancePath) -> Result<Option<InstanceRow>, ArchiveError> {
        let Some(row) = self.raw.instance(path)? else { return Ok(None) };
        Ok(self.admits(&path.series_path(), None)?.then_some(row))
    }

    /// Instances of a series in ascending order of their UIDs, those after `after`.
    pub(super) fn instances(
        &self,
        series: &SeriesPath,
        after: Option<&InstanceUid>,
        limit: usize,
    ) -> Result<Vec<InstanceRow>, ArchiveError> {
        if !self.admits(series, None)? {
            return Ok(Vec::new());
        }
        Ok(self.raw.instances(series, after, limit)?)
    }

    /// As [`instances::each_instance`].
    pub(super) fn each_instance(
        &self,
        series: &SeriesPath,
        attributes: Attributes<'_>,
        take: &mut dyn FnMut(InstanceRow, DataSet) -> Result<ControlFlow<()>, ArchiveError>,
    ) -> Result<(), ArchiveError> {
        if !self.admits(series, None)? {
            return Ok(());
        }
        instances::each_instance(&self.raw, series, attributes, &mut |row, set| {
            self.check_time()?;
            take(row, set)
        })
    }

    /// Where a SOP Instance UID is.
    pub(super) fn locate(&self, uid: &InstanceUid) -> Result<Option<InstancePath>, ArchiveError> {
        let Some(path) = self.raw.locate(uid)? else { return Ok(None) };
        Ok(self.admits(&path.series_path(), None)?.then_some(path))
    }

    /// As [`Snapshot::metadata`].
    pub(super) fn metadata(
        &self,
        series: &SeriesPath,
        after: Option<&InstanceUid>,
        sink: &mut dyn FnMut(&InstanceUid, &[u8]) -> ControlFlow<()>,
    ) -> Result<bool, ArchiveError> {
        if !self.admits(series, None)? {
            return Ok(true);
        }
        Ok(self.raw.metadata(series, after, sink)?)
    }

    /// The metadata of one instance, as it was stored.
    pub(super) fn metadata_of(&self, path: &InstancePath) -> Result<Option<Vec<u8>>, ArchiveError> {
        if !self.admits(&path.series_path(), None)? {
            return Ok(None);
        }
        Ok(self.raw.metadata_of(path)?)
    }

    /// The versions of an instance that is there. Of one that is not, nobody
    /// knows any more whom it was shown to: only who sees everything sees them.
    pub(super) fn versions(&self, path: &InstancePath) -> Result<Vec<Version>, ArchiveError> {
        if self.filter.is_some() && self.instance(path)?.is_none() {
            return Ok(Vec::new());
        }
        Ok(self.raw.versions(path)?)
    }

    /// Whether something was deleted that is not there now. To who does not see
    /// everything, what is gone was never there.
    pub(super) fn is_gone(&self, target: &Target) -> Result<bool, ArchiveError> {
        Ok(self.filter.is_none() && self.raw.tombstone(target)?.is_some())
    }
}
