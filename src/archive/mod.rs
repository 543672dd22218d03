//! Floor 3: the transactions. One file each; the only place that combines the
//! storages. Every public function takes a [`Permit`](crate::auth::Permit).
//!
//! Invariants:
//! 1. What is acknowledged is flushed in a pack and visible to every read.
//! 2. No lock is held and no snapshot kept across a write to a client.
//! 3. Whatever blocks runs in the pool or in the two threads, committer and
//!    indexer; the callers are async and never block.

mod clock;
mod committer;
mod delete;
mod error;
mod indexer;
mod metadata;
mod overlay;
mod pieces;
mod pool;
mod recover;
mod reserve;
mod retrieve;
mod search;
mod stats;
mod store;
mod verify;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::Semaphore;

use crate::{
    dicom::{StudyUid, part10},
    storage::{
        catalog::{self, Catalog, Change, Durability, Outcome, Target},
        index::{self, Index},
        packs::{self, Packs},
    },
};
use clock::Clock;
use committer::Committer;
use indexer::Indexer;
use overlay::Overlay;
use pool::Pool;
use reserve::Reservations;

pub use error::ArchiveError;
pub use metadata::Metadata;
pub use pieces::Pieces;
pub use recover::Recovered;
pub use retrieve::{BulkValue, FileForm, Scope};
pub use search::{Found, Root};
pub use stats::Stats;
pub use store::{Incoming, Outcome as StoreOutcome, Pending, Stored};
pub use verify::{Finding, Report};

pub use crate::storage::catalog::{Frames, InstanceRow};

/// The limits and sizes of an archive.
#[derive(Debug, Clone)]
pub struct Options {
    pub packs: packs::Options,
    pub catalog: catalog::Options,
    pub index: index::Options,
    pub parse: part10::Limits,
    /// A file up to this size is kept in memory until it is written with others.
    pub small_bytes_max: usize,
    /// Memory for files that are arriving.
    pub upload_memory_bytes_max: u64,
    /// Files waiting for the committer.
    pub queue_max: usize,
    /// Blocking work at once.
    pub pool_running_max: usize,
    /// Blocking work that waits.
    pub pool_waiting_max: usize,
}

/// What the transactions share with the two threads.
pub(crate) struct Core {
    pub(crate) packs: Packs,
    pub(crate) catalog: Catalog,
    pub(crate) index: Index,
    overlay: Overlay,
    clock: Clock,
    limits: part10::Limits,
    indexer: indexer::Signal,
    reservations: Reservations,
}

/// An open archive. Dropping it finishes what is queued and commits durably.
pub struct Archive {
    committer: Committer,
    /// Dropped after the committer, so that it indexes the last commit.
    _indexer: Indexer,
    core: Arc<Core>,
    pool: Pool,
    /// Memory for arriving files, in KiB.
    memory: Arc<Semaphore>,
    /// Streams into packs.
    lanes: Arc<Semaphore>,
    small_bytes_max: usize,
}

impl Archive {
    /// Opens the archive in `data`, or begins one, and recovers what a crash
    /// left: the catalog from the packs, the index from the catalog.
    ///
    /// # Errors
    /// When another process has it, a part of it is of a newer version, or the
    /// disk fails.
    pub fn open(data: &Path, options: &Options) -> Result<Arc<Self>, ArchiveError> {
        let packs = Packs::open(&Layout::packs(data), options.packs)?;
        let catalog = open_catalog(&Layout::catalog(data), options.catalog)?;
        let (index, state) = Index::open(&Layout::index(data), options.index)?;
        let core = Arc::new(Core {
            packs,
            catalog,
            index,
            overlay: Overlay::default(),
            clock: Clock::default(),
            limits: options.parse,
            indexer: indexer::Signal::default(),
            reservations: Reservations::default(),
        });
        recover::recover(&core, matches!(state, index::State::Rebuild))?;
        let indexer = Indexer::start(Arc::clone(&core)).map_err(ArchiveError::Io)?;
        let committer = Committer::start(Arc::clone(&core), options.queue_max).map_err(ArchiveError::Io)?;
        Ok(Arc::new(Self {
            committer,
            _indexer: indexer,
            core,
            pool: Pool::new(options.pool_running_max, options.pool_waiting_max),
            memory: Arc::new(Semaphore::new(
                usize::try_from(options.upload_memory_bytes_max / 1024).unwrap_or(usize::MAX >> 4),
            )),
            lanes: Arc::new(Semaphore::new(options.packs.streams_max)),
            small_bytes_max: options.small_bytes_max,
        }))
    }
}

/// Where the parts of an archive lie in its folder.
pub(crate) struct Layout;

impl Layout {
    pub(crate) fn packs(data: &Path) -> PathBuf {
        data.join("packs")
    }

    pub(crate) fn catalog(data: &Path) -> PathBuf {
        data.join("catalog.redb")
    }

    pub(crate) fn index(data: &Path) -> PathBuf {
        data.join("index")
    }
}

impl Core {
    /// Applies changes to the catalog and marks the studies they touch, so that
    /// the next search sees them.
    fn apply(&self, changes: &[Change], durability: Durability) -> Result<Vec<Outcome>, ArchiveError> {
        let mut ids = BTreeMap::new();
        let before = self.catalog.read()?;
        for study in changes.iter().filter_map(deletes_in) {
            ids.insert(study.clone(), before.study(study)?.map(|row| row.id));
        }
        drop(before);
        let applied = self.catalog.apply(changes, durability)?;
        if applied.changed.is_empty() {
            return Ok(applied.outcomes);
        }
        let after = self.catalog.read()?;
        for study in &applied.changed {
            let now = after.study(study)?.map(|row| row.id);
            let before = ids.get(study).copied().flatten();
            self.overlay.mark(study, now.into_iter().chain(before), applied.seq);
        }
        self.indexer.wake();
        Ok(applied.outcomes)
    }
}

/// The study in which a change may delete.
fn deletes_in(change: &Change) -> Option<&StudyUid> {
    match change {
        Change::Delete { target, .. } => Some(match target {
            Target::Study(study) => study,
            Target::Series(path) => &path.study,
            Target::Instance(path) => &path.study,
        }),
        Change::Store { .. }
        | Change::Move { .. }
        | Change::PackApplied { .. }
        | Change::PackSealed { .. }
        | Change::PackRemoved { .. } => None,
    }
}
