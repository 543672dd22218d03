//! Floor 3: the transactions. One file each; the only place that combines the
//! storages. Every public function takes a [`Permit`].
//!
//! Invariants:
//! 1. What is acknowledged is flushed in a pack and visible to every read.
//! 2. No lock is held and no snapshot kept across a write to a client.
//! 3. Whatever blocks runs in the pool or in the two threads, committer and
//!    indexer; the callers are async and never block.

mod backup;
mod candidates;
mod checked;
mod clock;
mod coerce;
mod commitment;
mod committer;
mod deidentify;
mod delete;
mod describe;
mod documents;
mod encryption;
mod error;
mod full_text;
mod gathering;
mod in_series;
mod incoming;
mod indexer;
mod instances;
mod long_text;
mod metadata;
mod orders;
mod overlay;
mod page;
mod paging;
mod patients;
mod pictures;
mod pieces;
mod pixels;
mod pool;
mod quota;
mod recover;
mod reserve;
mod retrieve;
mod scrub;
mod search;
mod shared;
mod shares;
mod sight;
#[cfg(test)]
mod sight_tests;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod tier;
mod trails;
mod uploads;
mod verify;
mod versions;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Semaphore;

use crate::{
    auth::Permit,
    dicom::{DataSet, StudyUid, attributes, json, part10},
    storage::{
        backups::folder,
        catalog::{self, Catalog, CatalogError, Change, Durability, Outcome, Target},
        commitments::{self, Commitments},
        index::{self, Index, Opened},
        packs::{self, PackError, Packs},
        pseudonyms::Pseudonyms,
        scrub_state::ScrubState,
        seal::{Keyring, MasterSource},
        thumbnails::Thumbnails,
        uploads::{Options as UploadOptions, Uploads},
    },
};
use clock::Clock;
use commitment::Checker;
use committer::Committer;
use documents::Documents;
use indexer::Indexer;
use overlay::Overlay;
use paging::Paging;
use pictures::Studio;
use pool::Pool;
use quota::Ledger;
use reserve::Reservations;
use scrub::Scrub;
use tier::Mover;

pub use backup::{BackupReport, Moment, PackEnd, Restored, Until, backup};
pub use coerce::CoercionRule;
pub use commitment::Commitment;
pub use deidentify::{Copied, Deidentification, Left};
pub use documents::Limits as DocumentLimits;
pub use encryption::{DataKeyStatus, EncryptionStatus};
pub use error::ArchiveError;
pub use gathering::{Composition, Gathering, MetadataSyntax};
pub use incoming::Incoming;
pub use metadata::{Assembly, Metadata};
pub use paging::{Asker, Options as PagingOptions};
pub use pictures::{Options as PictureOptions, Order, Output, Page, Thumbnail, What};
pub use pieces::{Checksum, Pieces};
pub use pixels::{Image, Made, Options as PixelOptions};
pub use quota::Quota;
pub use recover::Recovered;
pub use retrieve::{BulkValue, Crc, FileForm, Scope, View};
pub use scrub::{Options as ScrubOptions, Scrubbed};
pub use search::{Found, Root, SearchRequest};
pub use shared::Shared;
pub use stats::Stats;
pub use store::{Outcome as StoreOutcome, Pending, Stored};
pub use tier::Options as TierOptions;
pub use verify::{Finding, Report, What as VerifyWhat};
pub use versions::Duplicates;

pub use crate::storage::{
    Role, Stamp,
    catalog::{Frames, InstanceRow, Version},
    uploads::{Note as UploadNote, Spool, UploadResult, Writer as UploadWriter},
};

/// The limits and sizes of an archive.
#[derive(Debug, Clone)]
pub struct Options {
    pub packs: packs::Options,
    /// Where the master key comes from, if what is stored is to be encrypted.
    pub encryption: MasterSource,
    /// The bucket of packs, if there is one.
    pub tier: Option<TierOptions>,
    pub catalog: catalog::Options,
    pub index: index::Options,
    pub parse: part10::Limits,
    /// What happens to a SOP Instance UID that is stored already.
    pub duplicates: Duplicates,
    /// Versions of one instance beside itself.
    pub versions_max: usize,
    pub commitments: commitments::Options,
    pub uploads: UploadOptions,
    /// What is read of encapsulated documents, for full text.
    pub documents: DocumentLimits,
    /// Results that may be ordered by what the index holds no order for: all of
    /// them are read.
    pub sorted_max: u64,
    /// For how long one search may look.
    pub search_time_max: Duration,
    /// Whether values that break their VR are told to who stored them.
    pub warn_attributes: bool,
    /// What is put right in instances that arrive.
    pub coercion: Vec<CoercionRule>,
    /// A file up to this size is kept in memory until it is whole.
    pub small_bytes_max: usize,
    /// One from this size on is then written by itself, a smaller one with others.
    pub alone_bytes_min: usize,
    /// Memory for files that are arriving.
    pub upload_memory_bytes_max: u64,
    /// Files waiting for the committer.
    pub queue_max: usize,
    /// How long the pages of a search belong together.
    pub paging: paging::Options,
    /// Blocking work at once.
    pub pool_running_max: usize,
    /// Blocking work that waits.
    pub pool_waiting_max: usize,
    pub pixels: PixelOptions,
    pub pictures: PictureOptions,
    pub scrub: ScrubOptions,
    /// How much it may hold.
    pub quota: Quota,
    /// What it has in common with others of the same server; none: it is alone.
    pub shared: Option<Shared>,
}

/// What the transactions share with the two threads.
pub(crate) struct Core {
    pub(crate) packs: Packs,
    pub(crate) catalog: Catalog,
    pub(crate) index: Index,
    /// What is on its way in and not yet an instance.
    pub(crate) uploads: Uploads,
    commitments: Commitments,
    commitment_signal: commitment::Signal,
    scrub: scrub::Board,
    /// Frames in other forms than the stored one.
    frames: pixels::Frames,
    overlay: Overlay,
    paging: Paging,
    orders: orders::Orders,
    documents: Documents,
    sorted_max: u64,
    search_time_max: Duration,
    clock: Clock,
    limits: part10::Limits,
    warn_attributes: bool,
    coercion: coerce::Rules,
    duplicates: Duplicates,
    versions_max: usize,
    indexer: indexer::Signal,
    reservations: Reservations,
    ledger: Arc<Ledger>,
    /// The turns of those who write an index.
    indexing: Arc<shared::Turns>,
    deidentified: sight::Deidentified,
    pseudonyms: Pseudonyms,
    whereabouts: tier::Whereabouts,
}

/// An open archive. Dropping it finishes what is queued and commits durably.
pub struct Archive {
    committer: Committer,
    /// Dropped after the committer, so that it indexes the last commit.
    _indexer: Indexer,
    /// Runs only in a server.
    checker: Mutex<Option<Checker>>,
    /// Runs only in a server too.
    scrub: Mutex<Option<Scrub>>,
    scrub_options: ScrubOptions,
    mover: Mutex<Option<Mover>>,
    tier: Option<TierOptions>,
    core: Arc<Core>,
    pool: Pool,
    /// Where frames are made: apart, so that reads that need none stay fast.
    pixel_pool: Pool,
    pixel_ahead_bytes_max: u64,
    studio: Studio,
    /// Memory for arriving files, in KiB.
    memory: Arc<Semaphore>,
    /// Streams into packs.
    lanes: Arc<Semaphore>,
    /// Lanes there are in all.
    streams_max: usize,
    small_bytes_max: usize,
    alone_bytes_min: usize,
}

impl Archive {
    /// Opens the archive in `data`, or begins one, and recovers what a crash
    /// left: the catalog from the packs, the index from the catalog.
    ///
    /// # Errors
    /// When another process has it, a part of it is of a newer version, or the
    /// disk fails.
    pub fn open(data: &Path, options: &Options) -> Result<Arc<Self>, ArchiveError> {
        let (archive, recovered) = Self::open_and_recover(data, options)?;
        if recovered.damaged > 0 || recovered.not_understood > 0 {
            tracing::error!(?recovered, "not all of the packs could be recovered; run `hilum verify`");
        }
        Ok(archive)
    }

    /// As [`Archive::open`], but does not begin one where there is none.
    ///
    /// # Errors
    /// `NotFound` when there is no archive; as [`Archive::open`].
    pub fn open_existing(data: &Path, options: &Options) -> Result<Arc<Self>, ArchiveError> {
        expect_one(data, options)?;
        Self::open(data, options)
    }

    /// Makes the catalog anew from the packs alone, and the index from it. The
    /// catalog that was there is set aside.
    ///
    /// # Errors
    /// As [`Archive::open_existing`].
    pub fn rebuild(_permit: &Permit, data: &Path, options: &Options) -> Result<Recovered, ArchiveError> {
        expect_one(data, options)?;
        // Opened first, so that nothing is pulled away from under a server.
        let packs = open_packs(data, options)?;
        unlock(&packs, options)?;
        let path = Layout::catalog(data);
        // It may be what knows where the packs are torn; one that is damaged does not.
        if path.exists()
            && let Ok(catalog) = Catalog::open(&path, options.catalog, packs.ring(), Box::new(resplit))
        {
            recover::cut_torn(&packs, &catalog)?;
        }
        catalog::set_aside(&path, "replaced").map_err(ArchiveError::Io)?;
        index::discard(&Layout::index(data)).map_err(ArchiveError::Io)?;
        let (archive, recovered) = Self::open_on(packs, data, options)?;
        drop(archive);
        if recovered.damaged == 0 && recovered.not_understood == 0 {
            catalog::clear_replaced(&path).map_err(ArchiveError::Io)?;
        }
        Ok(recovered)
    }

    fn open_and_recover(data: &Path, options: &Options) -> Result<(Arc<Self>, Recovered), ArchiveError> {
        if folder::is_restoring(data) {
            return Err(ArchiveError::Unfinished);
        }
        let packs = open_packs(data, options)?;
        unlock(&packs, options)?;
        match Self::open_on(packs.clone(), data, options) {
            // It opened and was found to be damaged when it was read.
            Err(ArchiveError::Catalog(error)) if error.is_damage() => {
                replace_catalog(&Layout::catalog(data), &error)?;
                Self::open_on(packs, data, options)
            }
            opened => opened,
        }
    }

    fn open_on(packs: Packs, data: &Path, options: &Options) -> Result<(Arc<Self>, Recovered), ArchiveError> {
        let (catalog, is_new) = open_catalog(&Layout::catalog(data), options.catalog, packs.ring())?;
        Self::open_with(packs, (catalog, is_new), data, options)
    }

    fn open_with(
        packs: Packs,
        (catalog, catalog_is_new): (Catalog, bool),
        data: &Path,
        options: &Options,
    ) -> Result<(Arc<Self>, Recovered), ArchiveError> {
        let (index, index_is_new) = open_index(&Layout::index(data), &options.index, &catalog, packs.ring())?;
        let seq = catalog.durable_seq();
        let shared = options.shared.clone().unwrap_or_else(|| Shared::new(options));
        let number = shared.number();
        let uploads = Uploads::open(&Layout::uploads(data), options.uploads, packs.ring())?;
        let bytes_max = options.pictures.thumbnail_bytes_max;
        let thumbnails = Thumbnails::open(&Layout::thumbnails(data), bytes_max, packs.ring());
        let thumbnails = Some(thumbnails.map_err(ArchiveError::Io)?).filter(|_| bytes_max > 0);
        let pseudonyms = Pseudonyms::new(Layout::pseudonyms(data), packs.ring());
        let core = Arc::new(Core {
            pseudonyms,
            packs,
            catalog,
            index,
            uploads,
            commitments: Commitments::open(&Layout::commitments(data), options.commitments)?,
            commitment_signal: commitment::Signal::default(),
            scrub: scrub::Board::new(ScrubState::new(Layout::scrub(data))),
            frames: pixels::Frames::new(shared.frames, number),
            overlay: Overlay::new(seq),
            documents: Documents::new(options.documents),
            sorted_max: options.sorted_max,
            search_time_max: options.search_time_max,
            clock: Clock::default(),
            limits: options.parse,
            paging: Paging::new(options.paging),
            orders: orders::Orders::default(),
            duplicates: options.duplicates,
            warn_attributes: options.warn_attributes,
            coercion: options.coercion.clone().into(),
            versions_max: options.versions_max,
            indexer: indexer::Signal::default(),
            reservations: Reservations::default(),
            ledger: Ledger::new(options.quota),
            indexing: shared.indexing,
            deidentified: sight::Deidentified::default(),
            whereabouts: tier::Whereabouts::default(),
        });
        let recovered = recover::recover(&core, catalog_is_new, index_is_new)?;
        core.ledger.count(&core.catalog)?;
        let indexer = Indexer::start(Arc::clone(&core)).map_err(ArchiveError::Io)?;
        let committer = Committer::start(Arc::clone(&core), options.queue_max).map_err(ArchiveError::Io)?;
        let archive = Arc::new(Self {
            committer,
            _indexer: indexer,
            checker: Mutex::default(),
            scrub: Mutex::default(),
            scrub_options: options.scrub,
            mover: Mutex::default(),
            tier: options.tier.clone(),
            core,
            pool: shared.pool,
            pixel_pool: shared.pixel_pool,
            pixel_ahead_bytes_max: options.pixels.ahead_bytes_max,
            studio: Studio::new(options.pictures, shared.pictures, number, thumbnails),
            memory: shared.memory,
            lanes: shared.lanes,
            streams_max: options.packs.streams_max,
            small_bytes_max: options.small_bytes_max,
            alone_bytes_min: options.alone_bytes_min,
        });
        Ok((archive, recovered))
    }

    /// Begins, or goes on with, what is done while nobody waits for it: the
    /// storage commitments that were asked for and have no result yet, the scrub,
    /// and the moving of packs to the bucket, if there is one.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn work_in_background(&self) -> Result<(), ArchiveError> {
        let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        if checker.is_none() {
            *checker = Some(Checker::start(Arc::clone(&self.core)).map_err(ArchiveError::Io)?);
        }
        let mut scrub = self.scrub.lock().unwrap_or_else(PoisonError::into_inner);
        if scrub.is_none() && self.scrub_options.bytes_per_second > 0 {
            let started = Scrub::start(Arc::clone(&self.core), self.scrub_options);
            *scrub = Some(started.map_err(ArchiveError::Io)?);
        }
        let mut mover = self.mover.lock().unwrap_or_else(PoisonError::into_inner);
        if let (None, Some(tier)) = (&*mover, &self.tier) {
            *mover = Some(Mover::start(Arc::clone(&self.core), tier.clone()).map_err(ArchiveError::Io)?);
        }
        Ok(())
    }

    /// A secret of this archive, the same at every start.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        self.core.packs.key()
    }
}

fn open_packs(data: &Path, options: &Options) -> Result<Packs, ArchiveError> {
    let folder = Layout::packs(data);
    Ok(match &options.tier {
        Some(tier) => Packs::open_tiered(&folder, options.packs, &tier.of_packs(data))?,
        None => Packs::open(&folder, options.packs)?,
    })
}

/// There is an archive, in the folder or in the bucket.
fn expect_one(data: &Path, options: &Options) -> Result<(), ArchiveError> {
    if folder::is_restoring(data) {
        return Err(ArchiveError::Unfinished);
    }
    let in_bucket = |tier: &TierOptions| Packs::exist_in_bucket(&tier.of_packs(data));
    if Packs::exist(&Layout::packs(data)) || options.tier.as_ref().map_or(Ok(false), in_bucket)? {
        return Ok(());
    }
    Err(ArchiveError::NoArchive(data.to_owned()))
}

/// Nothing is written, and nothing is recovered, before the keys are there.
fn unlock(packs: &Packs, options: &Options) -> Result<(), ArchiveError> {
    let master = options.encryption.fetch().map_err(PackError::Keys)?;
    Ok(packs.unlock(master.as_ref())?)
}

/// When the newest instance of a study is deleted, the next newest speaks for
/// the study: by its metadata, as its file did when it came.
fn resplit(metadata: &[u8]) -> Option<(DataSet, DataSet)> {
    let set = json::read(metadata, json::Limits::OWN).ok()?;
    let parts = attributes::split(&set);
    Some((parts.study, parts.series))
}

/// Opens the catalog; one that is damaged is set aside and made anew from the
/// packs. True when it is an empty one where another was, or where there was none.
fn open_catalog(
    path: &Path,
    options: catalog::Options,
    ring: Option<&Keyring>,
) -> Result<(Catalog, bool), ArchiveError> {
    let is_new = !path.exists();
    match Catalog::open(path, options, ring, Box::new(resplit)) {
        Err(error) if error.is_damage() => {
            replace_catalog(path, &error)?;
            Ok((Catalog::open(path, options, ring, Box::new(resplit))?, true))
        }
        opened => Ok((opened?, is_new)),
    }
}

/// Moves a damaged catalog out of the way of a new one.
fn replace_catalog(path: &Path, error: &CatalogError) -> Result<(), ArchiveError> {
    let source = std::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, source, "the catalog is set aside and made anew from the packs");
    catalog::set_aside(path, "damaged").map_err(ArchiveError::Io)
}

/// Opens the index; true when it is an empty one to be filled from the catalog.
fn open_index(
    path: &Path,
    options: &index::Options,
    catalog: &Catalog,
    ring: Option<&Keyring>,
) -> Result<(Index, bool), ArchiveError> {
    let options = index::Options { of: catalog.id(), ring: ring.cloned(), ..options.clone() };
    let reason = match Index::open(path, options.clone())? {
        // A catalog that was put back from a copy: what it does anew from
        // there on has the numbers of what the index knows already.
        Opened::Ready(index) if index.committed_seq() > catalog.durable_seq() => {
            "it is ahead of the catalog".to_owned()
        }
        Opened::Ready(index) => return Ok((*index, false)),
        Opened::Rebuild(reason) => reason,
    };
    tracing::info!(reason, "the index is made anew from the catalog");
    Ok((Index::create(path, options)?, true))
}

/// Where the parts of an archive lie in its folder.
pub(crate) struct Layout;

impl Layout {
    pub(crate) fn packs(data: &Path) -> PathBuf {
        data.join("packs")
    }

    pub(crate) fn catalog(data: &Path) -> PathBuf {
        data.join(catalog::FILE_NAME)
    }

    pub(crate) fn index(data: &Path) -> PathBuf {
        data.join("index")
    }

    pub(crate) fn commitments(data: &Path) -> PathBuf {
        data.join("commitments")
    }

    pub(crate) fn uploads(data: &Path) -> PathBuf {
        data.join("uploads")
    }

    pub(crate) fn pseudonyms(data: &Path) -> PathBuf {
        data.join("deidentify.key")
    }

    pub(crate) fn scrub(data: &Path) -> PathBuf {
        data.join("scrub.json")
    }

    /// Blocks of packs in a bucket. Nothing rests on it.
    pub(crate) fn blocks(data: &Path) -> PathBuf {
        data.join("cache").join("packs")
    }

    /// Nothing rests on it.
    pub(crate) fn thumbnails(data: &Path) -> PathBuf {
        data.join("thumbnails")
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
        let mut marks = Vec::with_capacity(applied.changed.len());
        for study in applied.changed {
            let now = after.study(&study)?.map(|row| row.id);
            let before = ids.get(&study).copied().flatten();
            marks.push((study, now.into_iter().chain(before)));
        }
        self.overlay.mark(marks, applied.seq);
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
