//! The index follows the catalog's feed: after every durable commit of the
//! catalog a thread puts the changed studies into the index, commits, and then
//! takes the marks of what it committed off the overlay.
//!
//! Of a series it takes in the instances that are new, as a further block. All
//! blocks of the series are made anew when it has twice the instances, so that a
//! slow stream leaves no block for each, and when instances were deleted or
//! replaced, so that nothing is found by what was taken away.
//!
//! Invariant: the index is never ahead of what is durable in the catalog. What
//! a crash takes back comes again from the packs, but in their order: the same
//! sequence numbers and ids would then stand for other changes and studies.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    ArchiveError, Core,
    instances::{Attributes, each_instance, whole_instance},
    overlay::view_of,
};
use crate::{
    dicom::{DataSet, InstancePath, InstanceUid, SeriesPath, StudyUid},
    storage::{
        catalog::{FeedEntry, FeedKind, InstanceRow, LastIds, SeriesRow, Snapshot},
        index::{Block, DocumentText, SeriesDoc, StudyDoc},
    },
};

/// Time until a failed commit is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Feed entries taken at once: as many as stores that wait for the index leave in
/// it. Each commit makes a segment, and segments are merged.
const FEED_PAGE: usize = 16_384;
/// Studies read at once while the index is made anew.
const STUDY_PAGE: usize = 512;
/// Studies put between two commits while the index is made anew.
const REBUILD_BATCH: u64 = 20_000;

/// The way to the indexer's thread.
#[derive(Default)]
pub(super) struct Signal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

#[derive(Default)]
struct SignalState {
    work: bool,
    stop: bool,
}

impl Signal {
    /// There is something durable in the feed.
    pub(super) fn wake(&self) {
        self.lock().work = true;
        self.changed.notify_one();
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_one();
    }

    /// Waits for work; false: stop.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        while !state.work && !state.stop {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.work = false;
        !state.stop
    }

    /// Waits for `time` or the stop.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.stop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, SignalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Indexer {
    core: Arc<Core>,
    thread: Option<JoinHandle<()>>,
}

impl Indexer {
    pub(super) fn start(core: Arc<Core>) -> std::io::Result<Self> {
        let worker = Arc::clone(&core);
        let thread = std::thread::Builder::new().name("indexer".into()).spawn(move || run(&worker))?;
        Ok(Self { core, thread: Some(thread) })
    }
}

impl Drop for Indexer {
    /// Lets the thread index what is in the feed, and ends it.
    fn drop(&mut self) {
        self.core.indexer.stop();
        if let Some(thread) = self.thread.take() {
            // A panic there was logged by the panic hook; the catalog holds the truth.
            let _ = thread.join();
        }
    }
}

/// What of the catalog the index may hold: numbers up to these. What has a larger
/// one was made since the rows were last read for the index, so nothing of it is
/// to be taken away. That is asked for often: tantivy keeps each removal in memory
/// while a merge goes on, and looks for it in every segment.
#[derive(Default)]
pub(super) struct Known(Option<LastIds>);

impl Known {
    /// Takes in the numbers of the rows that are read now, and gives those of before.
    fn advance(&mut self, now: LastIds) -> Self {
        let before = self.0;
        let most = |before: LastIds| LastIds {
            study: before.study.max(now.study),
            series: before.series.max(now.series),
        };
        self.0 = Some(before.map_or(now, most));
        Self(before)
    }

    fn has_study(&self, id: u64) -> bool {
        self.0.is_none_or(|last| id <= last.study)
    }

    fn has_series(&self, id: u64) -> bool {
        self.0.is_none_or(|last| id <= last.series)
    }
}

fn run(core: &Core) {
    let mut known = Known::default();
    loop {
        let go_on = core.indexer.wait();
        if let Err(error) = follow(core, &mut known) {
            // What is not indexed stays in the overlay, so answers stay right.
            tracing::error!(%error, "the index could not follow the catalog; trying again");
            core.indexer.pause(RETRY_AFTER);
            core.indexer.wake();
        }
        metrics::gauge!("hilum_overlay_studies").set(core.overlay.len() as f64);
        if !go_on {
            return;
        }
    }
}

/// Brings the index up to the end of the feed. `known`: of this index so far.
///
/// # Errors
/// When catalog or index fail.
pub(super) fn follow(core: &Core, known: &mut Known) -> Result<(), ArchiveError> {
    loop {
        let _turn = core.indexing.take();
        let from = core.index.committed_seq();
        // Before the snapshot, which then holds all of it.
        let durable = core.catalog.durable_seq();
        let snapshot = core.catalog.read()?;
        let mut entries = snapshot.feed(from, FEED_PAGE)?;
        entries.retain(|entry| entry.seq <= durable);
        let Some(last) = entries.last() else {
            core.overlay.clear(from);
            return Ok(());
        };
        let to = last.seq;
        let known = known.advance(snapshot.last_ids()?);
        for (study, less) in changed_of(&entries) {
            // Changes of the study later in the feed are in the snapshot too;
            // putting it again then is harmless.
            put(core, &snapshot, study, |id| less || known.has_study(id))?;
        }
        for (series_id, news) in news_of(&entries) {
            let may_be_there = known.has_series(series_id);
            readable(put_instances(core, &snapshot, series_id, &news, may_be_there), series_id)?;
        }
        core.index.commit(to)?;
        core.overlay.clear(to);
        core.paging.expire();
    }
}

/// Makes an empty index hold the whole catalog.
///
/// # Errors
/// When catalog or index fail.
pub(super) fn rebuild(core: &Core) -> Result<u64, ArchiveError> {
    let _turn = core.indexing.take();
    let snapshot = core.catalog.read()?;
    let seq = snapshot.seq()?;
    let mut studies = 0;
    let mut after = 0;
    loop {
        let page = snapshot.studies(after, STUDY_PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for row in &page {
            put(core, &snapshot, &row.uid, |_| false)?;
            for series in snapshot.series_of(&row.uid)? {
                readable(put_all_instances(core, &snapshot, &series), series.id)?;
            }
            studies += 1;
            if studies % REBUILD_BATCH == 0 {
                // Progress only: sequence 0 makes a start after a crash begin anew.
                core.index.commit(0)?;
                tracing::info!(studies, "indexing");
            }
        }
    }
    core.index.commit(seq)?;
    Ok(studies)
}

/// The studies that changed, and whether something of them was taken away: a study
/// that was deleted and stored again has a new number, and is in the index under
/// its old one.
fn changed_of(entries: &[FeedEntry]) -> BTreeMap<&StudyUid, bool> {
    let mut changed = BTreeMap::new();
    for entry in entries {
        *changed.entry(&entry.path.study).or_default() |= entry.kind != FeedKind::Stored;
    }
    changed
}

/// What the feed says of the instances of one series.
#[derive(Default)]
struct News<'a> {
    stored: BTreeSet<&'a InstanceUid>,
    /// Something was taken away.
    less: bool,
}

fn news_of(entries: &[FeedEntry]) -> BTreeMap<u64, News<'_>> {
    let mut series: BTreeMap<u64, News<'_>> = BTreeMap::new();
    for entry in entries {
        let news = series.entry(entry.series_id).or_default();
        match entry.kind {
            FeedKind::Stored => _ = news.stored.insert(&entry.path.instance),
            FeedKind::Replaced | FeedKind::Deleted => news.less = true,
        }
    }
    series
}

/// Takes in the new instances of a series, or makes all its blocks anew.
fn put_instances(
    core: &Core,
    snapshot: &Snapshot,
    series_id: u64,
    news: &News<'_>,
    may_be_there: bool,
) -> Result<(), ArchiveError> {
    let Some(row) = snapshot.series_by_id(series_id)? else {
        return Ok(core.index.remove_blocks(series_id)?);
    };
    let before = row.instances.saturating_sub(news.stored.len() as u64);
    if news.less || before == 0 || row.instances.ilog2() > before.ilog2() {
        if news.less || may_be_there {
            core.index.remove_blocks(series_id)?;
        }
        return put_all_instances(core, snapshot, &row);
    }
    let mut blocks = Blocks::of(core, snapshot, &row)?;
    for instance in &news.stored {
        let SeriesPath { study, series } = row.path.clone();
        let path = InstancePath { study, series, instance: (*instance).clone() };
        // What is gone again comes up later in the feed.
        if let Some(instance) = snapshot.instance(&path)? {
            blocks.add(snapshot, &instance, whole_instance(snapshot, &instance)?)?;
        }
    }
    blocks.finish()
}

/// What cannot be read never can: the index goes on without it.
fn readable(put: Result<(), ArchiveError>, series_id: u64) -> Result<(), ArchiveError> {
    if let Err(ArchiveError::Damaged(error)) = put {
        tracing::error!(series_id, error, "not all instances of a series can be searched for");
        return Ok(());
    }
    put
}

fn put_all_instances(core: &Core, snapshot: &Snapshot, row: &SeriesRow) -> Result<(), ArchiveError> {
    let mut blocks = Blocks::of(core, snapshot, row)?;
    each_instance(snapshot, &row.path, Attributes::All, &mut |row, set| {
        blocks.add(snapshot, &row, set)?;
        Ok(ControlFlow::Continue(()))
    })?;
    blocks.finish()
}

/// Fills blocks of one series and puts them into the index.
struct Blocks<'a> {
    core: &'a Core,
    study_id: u64,
    series_id: u64,
    block: Option<Block>,
}

impl<'a> Blocks<'a> {
    fn of(core: &'a Core, snapshot: &Snapshot, row: &SeriesRow) -> Result<Self, ArchiveError> {
        let study = snapshot.study(&row.path.study)?;
        let study_id = study.map(|study| study.id).unwrap_or_default();
        Ok(Self { core, study_id, series_id: row.id, block: None })
    }

    fn add(&mut self, snapshot: &Snapshot, row: &InstanceRow, set: DataSet) -> Result<(), ArchiveError> {
        if let Some(text) = self.core.documents.text_of(self.core, snapshot, row, &set)? {
            let (study_id, series_id) = (self.study_id, self.series_id);
            let digest = &row.digest;
            self.core.index.put_document(DocumentText { study_id, series_id, digest, text: &text })?;
        }
        let mut block = self.block.take().unwrap_or_else(|| Block::new(self.study_id, self.series_id));
        block.add(set);
        if block.is_full() {
            self.core.index.put_block(block)?;
        } else {
            self.block = Some(block);
        }
        Ok(())
    }

    fn finish(self) -> Result<(), ArchiveError> {
        self.block.map_or(Ok(()), |block| Ok(self.core.index.put_block(block)?))
    }
}

/// `may_be_there`: whether the index may hold the study, which now has this number.
fn put(
    core: &Core,
    snapshot: &Snapshot,
    study: &StudyUid,
    may_be_there: impl Fn(u64) -> bool,
) -> Result<(), ArchiveError> {
    let Some(view) = view_of(snapshot, study)? else {
        return Ok(core.index.remove(study)?);
    };
    let series = view
        .series
        .iter()
        .map(|series| SeriesDoc {
            id: series.id,
            set: &series.set,
            sop_classes: series.sop_classes.iter().map(String::as_str).collect(),
            instances: series.instances,
        })
        .collect();
    let is_new = !may_be_there(view.id);
    core.index.put(&StudyDoc { id: view.id, uid: study, is_new, set: &view.set, series })?;
    Ok(())
}
