//! The one writer. A thread takes whatever is queued, writes it to the packs
//! with one flush, to the catalog with one transaction, and only then answers:
//! all uploads in flight share the cost of both (group commit).
//!
//! Durability: an answer is given after the pack was flushed. The catalog's
//! transaction need not be: a start replays what the packs hold beyond the
//! last durable one (see [`super::recover`]), which is made every second.
//!
//! Invariant: nothing is written to a pack that the catalog will refuse, for a
//! replay would take it in. So whoever submits a store holds the reservation of
//! its SOP Instance UID and has looked whether it is known.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{ArchiveError, Core, Duplicates, quota::Room, recover, reserve::Reservation};
use crate::{
    dicom::InstancePath,
    storage::{
        PackId, Place, Role,
        catalog::{CatalogError, Change, Durability, NewInstance, Outcome, Rule, Snapshot, Target},
        packs::{Entry, NewFile},
    },
};

/// Time between durable commits of the catalog while there is work.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// Bytes of files written with one flush at most.
const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Changes in one transaction at most.
const BATCH_JOBS_MAX: usize = 1024;
/// Instances read at once to find what a deletion covers.
const PATH_PAGE: usize = 1024;

/// What is to be committed.
pub(super) enum Work {
    /// A file in memory, to be written into the batch pack. The memory is accounted
    /// for until it is, whether anybody waits for that or not.
    File {
        bytes: Bytes,
        held: Vec<OwnedSemaphorePermit>,
        instance: Box<NewInstance>,
        reservation: Reservation,
        room: Room,
    },
    /// A file that was streamed into a pack and is flushed already.
    Placed { instance: Box<NewInstance>, reservation: Reservation, room: Room },
    /// A study, a series or an instance to be deleted.
    Delete { target: Target, caller: Arc<str> },
}

type Answer = oneshot::Sender<Result<Outcome, ArchiveError>>;

struct Job {
    work: Work,
    answer: Answer,
}

/// The way to the committer's thread.
pub(super) struct Committer {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread.
    pub(super) fn start(core: Arc<Core>, queue_max: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(queue_max);
        let work = Loop::new(core);
        let thread = std::thread::Builder::new().name("committer".into()).spawn(move || work.run(&jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues work. The answer comes when it is durable and visible.
    ///
    /// # Errors
    /// [`ArchiveError::Busy`] when the queue is full; what is placed already
    /// waits for room instead, so it may block.
    pub(super) fn submit(
        &self,
        work: Work,
    ) -> Result<oneshot::Receiver<Result<Outcome, ArchiveError>>, ArchiveError> {
        let (answer, receiver) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(ArchiveError::Stopping)?;
        let patient = matches!(work, Work::Placed { .. });
        let job = Job { work, answer };
        if patient {
            queue.send(job).map_err(|_| ArchiveError::Stopping)?;
            return Ok(receiver);
        }
        match queue.try_send(job) {
            Ok(()) => Ok(receiver),
            Err(TrySendError::Full(_)) => Err(ArchiveError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(ArchiveError::Stopping),
        }
    }
}

impl Drop for Committer {
    /// Lets the thread finish what is queued, commit durably and end.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was logged by the panic hook; the packs hold the truth.
            let _ = thread.join();
        }
    }
}

struct Loop {
    core: Arc<Core>,
    progress: Progress,
    /// The catalog went back to its last checkpoint, and the packs could not be
    /// replayed yet: it lacks what was acknowledged.
    behind: bool,
    /// The packs hold files that were refused when they were in them already. A
    /// deletion would not mean them, and the next start bring them back.
    lacking: bool,
    uncommitted_since: Option<Instant>,
}

/// What is committed together.
enum Batch {
    Stores(Vec<Job>),
    /// A deletion goes alone: it must see every store that was acknowledged
    /// before it, to write a tombstone for each.
    Delete(Job),
}

impl Batch {
    fn has_placed(&self) -> bool {
        match self {
            Self::Stores(jobs) => jobs.iter().any(|job| matches!(job.work, Work::Placed { .. })),
            Self::Delete(_) => false,
        }
    }

    fn answers(self) -> Vec<Answer> {
        match self {
            Self::Stores(jobs) => jobs.into_iter().map(|job| job.answer).collect(),
            Self::Delete(job) => vec![job.answer],
        }
    }
}

/// A store whose bytes are flushed, and who waits for it.
struct Flushed {
    instance: Box<NewInstance>,
    answer: Answer,
    /// Given back once the catalog knows the instance.
    reservation: Reservation,
    room: Room,
}

/// Files of a batch that could not be written, and who waits to hear of it.
type Refused = (ArchiveError, Vec<Answer>);

impl Loop {
    fn new(core: Arc<Core>) -> Self {
        Self { core, progress: Progress::default(), behind: false, lacking: false, uncommitted_since: None }
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        let mut held_over = None;
        loop {
            let wait = self
                .uncommitted_since
                .map_or(Duration::from_hours(1), |since| CHECKPOINT_EVERY.saturating_sub(since.elapsed()));
            let first = match held_over.take() {
                Some(job) => Ok(job),
                None => jobs.recv_timeout(wait),
            };
            match first {
                Ok(first) => {
                    let (batch, next) = take_batch(first, jobs);
                    held_over = next;
                    self.catch_up();
                    let overstrained = self.core.catalog.overstrained();
                    match batch {
                        _ if self.behind => self.turn_away(batch, &ArchiveError::Busy),
                        _ if overstrained.is_some() => {
                            self.turn_away(batch, &ArchiveError::Refused(overstrained.unwrap_or_default()));
                        }
                        Batch::Stores(jobs) if self.index_follows() => self.store(jobs),
                        Batch::Stores(_) => self.turn_away(batch, &ArchiveError::Busy),
                        Batch::Delete(_) if self.lacking => self.turn_away(batch, &ArchiveError::Busy),
                        Batch::Delete(job) => self.delete(job),
                    }
                    self.uncommitted_since.get_or_insert_with(Instant::now);
                }
                Err(RecvTimeoutError::Timeout) => self.catch_up(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.uncommitted_since.is_some_and(|since| since.elapsed() >= CHECKPOINT_EVERY) {
                self.checkpoint();
            }
        }
        self.catch_up();
        self.checkpoint();
    }

    /// Refuses a batch as a whole.
    fn turn_away(&mut self, batch: Batch, why: &ArchiveError) {
        self.lacking |= batch.has_placed();
        refuse(batch.answers(), why);
    }

    /// Waits for an index that is far behind; false if it does not follow at all.
    fn index_follows(&mut self) -> bool {
        if self.core.overlay.is_crowded() && self.uncommitted_since.is_some() {
            // It takes up nothing but what is durable.
            self.checkpoint();
        }
        self.core.overlay.wait_for_room()
    }

    fn checkpoint(&mut self) {
        // Also the time of the next attempt when this one fails.
        self.uncommitted_since = None;
        match self.core.catalog.checkpoint() {
            Ok(()) => self.core.indexer.wake(),
            Err(error) => {
                let error_said = super::error::said(&error);
                tracing::error!(
                    error = error_said,
                    "the catalog cannot be made durable; the packs hold what it lacks"
                );
                self.failed(matches!(error, CatalogError::Lost { .. } | CatalogError::Closed));
            }
        }
    }

    /// One batch: packs, then catalog, then the answers.
    fn store(&mut self, jobs: Vec<Job>) {
        let started = Instant::now();
        let (stores, refused) = self.write_files(jobs);
        if let Some((error, waiting)) = refused {
            refuse(waiting, &error);
        }
        if stores.is_empty() {
            return;
        }
        let places: Vec<Place> = stores.iter().map(|store| store.instance.place).collect();
        metrics::histogram!("hilum_flush_seconds").record(started.elapsed());
        let mut answers = Vec::with_capacity(stores.len());
        let mut reservations = Vec::with_capacity(stores.len());
        let mut rooms = Vec::with_capacity(stores.len());
        let mut changes = Vec::with_capacity(stores.len() + 1);
        let rule = match self.core.duplicates {
            Duplicates::Replace => Rule::Replace,
            Duplicates::Reject | Duplicates::Keep => Rule::Reject,
        };
        let mut kept = Vec::new();
        for (index, Flushed { instance, answer, reservation, room }) in stores.into_iter().enumerate() {
            if instance.role == Role::Kept {
                kept.push((index, instance.path.clone()));
            }
            changes.push(Change::Store { instance, rule });
            answers.push(answer);
            reservations.push(reservation);
            rooms.push(room);
        }
        match self.apply(changes, &places) {
            Ok(outcomes) => {
                for (room, outcome) in rooms.into_iter().zip(&outcomes) {
                    if let Outcome::Stored { replaced, .. } = outcome {
                        room.taken(replaced.is_none());
                    } else if matches!(outcome, Outcome::Kept { beside: true }) {
                        room.taken(false);
                    }
                }
                for (index, path) in kept {
                    if matches!(outcomes.get(index), Some(Outcome::Kept { beside: false })) {
                        self.forget(path);
                    }
                }
                drop(reservations);
                metrics::histogram!("hilum_commit_seconds").record(started.elapsed());
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // A caller that hung up does not want its answer.
                    let _ = answer.send(Ok(outcome));
                }
            }
            Err(error) => refuse(answers, &error),
        }
    }

    /// A streamed file was written to be kept beside an instance that was
    /// deleted before it: it goes too, as its client is told.
    fn forget(&mut self, path: InstancePath) {
        let target = Target::Instance(path);
        if let Err(error) = self.delete_target(&target, "") {
            tracing::error!(%error, ?target, "a version of a deleted instance is left");
        }
    }

    /// Applies changes together with how far their packs are now applied.
    fn apply(&mut self, mut changes: Vec<Change>, places: &[Place]) -> Result<Vec<Outcome>, ArchiveError> {
        let noted = self.progress.note(&self.core, places)?;
        changes.extend(noted.into_iter().map(|(pack, until)| Change::PackApplied { pack, until }));
        self.core.apply(&changes, Durability::Fast).map_err(|error| {
            // A full disk may hide that the catalog went back.
            let went_back = matches!(
                error,
                ArchiveError::Catalog(CatalogError::Lost { .. } | CatalogError::Closed) | ArchiveError::Full
            );
            self.failed(went_back);
            error.of_a_change()
        })
    }

    /// The catalog failed: how far packs are applied is what it says itself
    /// from here on, and when it went back to its last checkpoint, nothing is
    /// taken until the packs have been replayed.
    fn failed(&mut self, went_back: bool) {
        self.progress = Progress::default();
        self.uncommitted_since = Some(Instant::now());
        self.behind |= went_back;
        self.catch_up();
    }

    /// Brings a catalog that went back to its last checkpoint up again: what
    /// was acknowledged since is in the packs. One that lacks what was refused
    /// too, once it and the index can take that.
    fn catch_up(&mut self) {
        let takes_more = || self.core.catalog.overstrained().is_none() && !self.core.overlay.is_crowded();
        if !(self.behind || self.lacking && takes_more()) {
            return;
        }
        // Tried once: what fails then is damage, which the next start tells.
        self.lacking = false;
        self.progress = Progress::default();
        // A write is what opens a closed catalog again, and says by its failure
        // that it did.
        let opened = match self.core.catalog.checkpoint() {
            Ok(()) | Err(CatalogError::Lost { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        };
        match opened.and_then(|()| recover::replay_packs(&self.core)) {
            Ok(recovered) => {
                self.behind = false;
                self.count();
                tracing::warn!(?recovered, "the catalog was brought up from the packs again");
            }
            Err(error) => {
                self.uncommitted_since = Some(Instant::now());
                tracing::error!(%error, "the catalog cannot be brought up from the packs; trying again");
            }
        }
    }

    /// A deletion: a tombstone in the pack for every instance, so that a
    /// rebuild from the packs does not bring it back, then the catalog.
    fn delete(&mut self, job: Job) {
        let Work::Delete { target, caller } = &job.work else { return };
        let _ = job.answer.send(self.delete_target(target, caller));
    }

    fn delete_target(&mut self, target: &Target, caller: &str) -> Result<Outcome, ArchiveError> {
        let stamp = self.core.clock.stamp();
        let paths = paths_of(&self.core.catalog.read()?, target)?;
        if paths.is_empty() {
            return Ok(Outcome::NotFound);
        }
        let tombstones: Vec<Entry> = paths.iter().map(|path| Entry::Tombstone { path, stamp }).collect();
        let places = self.core.packs.append(&tombstones)?;
        let change = Change::Delete { target: target.clone(), stamp, by: caller.to_owned() };
        let outcomes = self.apply(vec![change], &places)?;
        self.count();
        outcomes.into_iter().next().ok_or(ArchiveError::Stopping)
    }

    /// Counts what the archive holds anew.
    fn count(&self) {
        if let Err(error) = self.core.ledger.count(&self.core.catalog) {
            tracing::error!(%error, "what the archive holds cannot be counted for its quota");
        }
    }

    /// Whether an instance was deleted since a file was to be kept beside it.
    fn is_gone(&self, path: &InstancePath) -> bool {
        // A catalog that fails refuses the store when it is applied.
        let located = self.core.catalog.read().and_then(|snapshot| snapshot.locate(&path.instance));
        matches!(located, Ok(None))
    }

    /// Writes the files of a batch with one flush. If that fails they are refused,
    /// and only they: what is placed was durable before.
    fn write_files(&self, jobs: Vec<Job>) -> (Vec<Flushed>, Option<Refused>) {
        let mut stores = Vec::with_capacity(jobs.len());
        let mut files = Vec::new();
        for Job { work, answer } in jobs {
            match work {
                Work::File { bytes, held, mut instance, reservation, room } => {
                    instance.stamp = self.core.clock.stamp();
                    if instance.role == Role::Kept && self.is_gone(&instance.path) {
                        instance.role = Role::Current;
                    }
                    files.push((stores.len(), bytes, held));
                    stores.push(Flushed { instance, answer, reservation, room });
                }
                Work::Placed { instance, reservation, room } => {
                    stores.push(Flushed { instance, answer, reservation, room });
                }
                // A deletion is never in a batch of stores.
                Work::Delete { .. } => {}
            }
        }
        let entries: Vec<Entry> = files
            .iter()
            .map(|(index, bytes, _): &(usize, Bytes, _)| {
                let NewInstance { path, stamp, role, digest, .. } = &*stores[*index].instance;
                Entry::File(NewFile { path, stamp: *stamp, role: *role, digest: *digest, bytes })
            })
            .collect();
        match self.core.packs.append(&entries) {
            Ok(places) => {
                for ((index, ..), place) in files.iter().zip(places) {
                    stores[*index].instance.place = place;
                }
                (stores, None)
            }
            Err(error) => {
                let unwritten: HashSet<usize> = files.iter().map(|(index, ..)| *index).collect();
                let (mut placed, mut waiting) = (Vec::new(), Vec::new());
                for (index, store) in stores.into_iter().enumerate() {
                    if unwritten.contains(&index) {
                        waiting.push(store.answer);
                    } else {
                        placed.push(store);
                    }
                }
                (placed, Some((error.into(), waiting)))
            }
        }
    }
}

/// How far each pack is applied without a gap. Uploads into one pack follow
/// each other, but may reach the committer in another order.
#[derive(Default)]
struct Progress {
    packs: HashMap<PackId, PackProgress>,
}

struct PackProgress {
    until: u64,
    /// Entries beyond a gap: where they begin, where they end.
    ahead: BTreeMap<u64, u64>,
}

impl Progress {
    /// Notes that the entries at these places are being applied; how far that
    /// makes each of their packs applied.
    fn note(&mut self, core: &Core, places: &[Place]) -> Result<BTreeMap<PackId, u64>, ArchiveError> {
        let mut noted = BTreeMap::new();
        for place in places {
            let pack = match self.packs.entry(place.pack) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(new) => {
                    let until = core.catalog.read()?.pack(place.pack)?.unwrap_or_default().applied;
                    new.insert(PackProgress { until, ahead: BTreeMap::new() })
                }
            };
            pack.ahead.insert(place.entry_start(), core.packs.entry_end(place));
            while let Some(next) = pack.ahead.first_entry().filter(|next| *next.key() <= pack.until) {
                pack.until = pack.until.max(next.remove());
            }
            noted.insert(place.pack, pack.until);
        }
        Ok(noted)
    }
}

/// Every path a deletion covers: those of the instances, and those that have
/// only versions.
fn paths_of(snapshot: &Snapshot, target: &Target) -> Result<Vec<InstancePath>, ArchiveError> {
    let mut paths = Vec::new();
    let series = match target {
        Target::Instance(path) => {
            paths.extend(snapshot.instance(path)?.map(|row| row.path));
            Vec::new()
        }
        Target::Series(path) => vec![path.clone()],
        Target::Study(study) => snapshot.series_of(study)?.into_iter().map(|row| row.path).collect(),
    };
    for series in series {
        let mut after = None;
        loop {
            let rows = snapshot.instances(&series, after.as_ref(), PATH_PAGE)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.path.instance.clone());
            paths.extend(rows.into_iter().map(|row| row.path));
        }
    }
    for path in snapshot.version_paths(target)? {
        if snapshot.instance(&path)?.is_none() {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn take_batch(first: Job, jobs: &Receiver<Job>) -> (Batch, Option<Job>) {
    if matches!(first.work, Work::Delete { .. }) {
        return (Batch::Delete(first), None);
    }
    let mut bytes = first.bytes();
    let mut batch = vec![first];
    while bytes < BATCH_BYTES_MAX && batch.len() < BATCH_JOBS_MAX {
        let Ok(job) = jobs.try_recv() else { break };
        if matches!(job.work, Work::Delete { .. }) {
            return (Batch::Stores(batch), Some(job));
        }
        bytes += job.bytes();
        batch.push(job);
    }
    (Batch::Stores(batch), None)
}

impl Job {
    fn bytes(&self) -> usize {
        match &self.work {
            Work::File { bytes, .. } => bytes.len(),
            Work::Placed { .. } | Work::Delete { .. } => 0,
        }
    }
}

fn refuse(waiting: Vec<Answer>, error: &ArchiveError) {
    tracing::error!(%error, jobs = waiting.len(), "a batch was refused");
    for answer in waiting {
        let _ = answer.send(Err(error.again()));
    }
}

#[cfg(test)]
mod tests;
