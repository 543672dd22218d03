//! Packs: the files as they came, appended to plain tar archives that are the
//! archive's write-ahead log at the same time. Knows instances only by path,
//! stamp and digest; what is in them, and which of them is live, is not its
//! business.
//!
//! - [`Packs::append`] is the batch way in: many files, one flush.
//! - [`Packs::begin`] is the streaming way in: one file of any size, in a pack
//!   of its own while it lasts.
//! - [`Packs::read`] is the way out, checked by checksum.
//! - [`Packs::replay`] and [`Packs::resume`] are the start after a stop of any kind.
//!
//! Invariants:
//! 1. What `append` or `finish` returned is flushed and found by a replay.
//! 2. `tar xf` of a pack, in whatever state, gives its files byte for byte; where
//!    they are encrypted, as they are encrypted.
//! 3. A file whose flush failed is never flushed again: its pack is abandoned.
//! 4. A pack's number is never used twice.
//! 5. No lock that a reader needs is held while the disk works.

mod append;
mod buffers;
mod cache;
mod copy;
mod error;
pub mod faulty;
mod hasher;
mod lately;
mod life;
mod local;
mod mirror;
mod read;
mod record;
mod remote;
mod replay;
mod sealed;
mod stubs;
#[cfg(test)]
mod tests;
mod tiered;
mod upload;
mod volume;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use append::{Entry, NewFile};
pub use copy::{Checked, Cut, PackWriter, Reader, Writer};
pub use error::{PackError, Standing, Why};
pub use hasher::{Hashed, Hasher};
pub use local::Local;
pub use read::{PackSource, READ_CHUNKS_MAX};
pub use remote::TierOptions;
pub use replay::{Damage, ReplayEnd, Replayed};
pub use tiered::{Closed, Moved, TierStats};
pub use upload::Upload;
pub use volume::{Access, Listed, PackFile, Volume};

use self::cache::FileCache;
use self::lately::Lately;
use self::record::{RECORD_BYTES, Seat};
use self::sealed::Ring;
use self::tiered::Tiered;
use crate::storage::{PackId, Place};

/// The limits of a pack store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A pack of this size is sealed. One file may be larger, alone or as the last.
    pub pack_bytes_max: u64,
    /// Uploads that are streamed at the same time, each into a pack of its own.
    pub streams_max: usize,
    /// Packs held open for reading.
    pub files_open_max: usize,
    /// Chunks of 64 KiB that stay in memory once a small part of them was read.
    pub chunks_kept_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { pack_bytes_max: 512 << 20, streams_max: 16, files_open_max: 256, chunks_kept_max: 512 }
    }
}

/// A pack store. Clones are the same store.
#[derive(Clone)]
pub struct Packs {
    shared: Arc<Shared>,
}

impl fmt::Debug for Packs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packs").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// What is known of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackInfo {
    pub pack: PackId,
    /// Bytes up to the end of the last whole entry; for an unrecovered pack
    /// what is there, and for a sealed one with the end mark of tar.
    pub length: u64,
    pub standing: Standing,
}

impl Place {
    /// Where the entry that holds this file begins in its pack.
    #[must_use]
    pub fn entry_start(&self) -> u64 {
        self.offset.saturating_sub(RECORD_BYTES as u64)
    }
}

struct Shared {
    volume: Arc<dyn Volume>,
    /// The same, if a part of it is a bucket.
    tiered: Option<Arc<Tiered>>,
    options: Options,
    files: FileCache,
    lately: Lately,
    ring: Ring,
    known: Mutex<Known>,
    /// The pack that `append` writes. Held while it writes.
    batch: Mutex<Option<OpenPack>>,
    /// The packs that uploads write. Never held while the disk works.
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Known {
    packs: BTreeMap<PackId, (u64, Standing)>,
    highest: u32,
}

#[derive(Default)]
struct Pool {
    idle: Vec<OpenPack>,
    /// Uploads under way.
    streams: usize,
}

/// A pack that can be written, in the hands of the one who writes it.
struct OpenPack {
    pack: PackId,
    mark: u64,
    file: Arc<dyn PackFile>,
    /// End of the last whole entry. What lies behind is of no worth.
    end: u64,
}

impl OpenPack {
    fn seat(&self, offset: u64) -> Seat {
        Seat { mark: self.mark, offset }
    }
}

/// A panic cannot leave these in a state that matters: they change in one step
/// after the disk has done its work.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Packs {
    /// Opens the packs in `dir`, or begins them. Packs that were not sealed are
    /// [`Standing::Unrecovered`] until [`Self::resume`].
    ///
    /// # Errors
    /// `Newer`, `Format`, `Locked`, and what the disk says.
    pub fn open(dir: &Path, options: Options) -> Result<Self, PackError> {
        let volume = Local::open(dir)?;
        if volume.manifests().is_ok_and(|manifests| !manifests.is_empty()) {
            return Err(PackError::Bucketless { path: dir.to_path_buf() });
        }
        Self::open_on(Arc::new(volume), options).map_err(|source| PackError::Folder {
            path: dir.to_path_buf(),
            action: "list the packs in",
            source,
        })
    }

    /// Whether there is a pack store in `dir`.
    #[must_use]
    pub fn exist(dir: &Path) -> bool {
        Local::exist(dir)
    }

    /// Opens the packs of a volume.
    ///
    /// # Errors
    /// What the volume says.
    pub fn open_on(volume: Arc<dyn Volume>, options: Options) -> io::Result<Self> {
        Self::open_both(volume, None, options)
    }

    fn open_both(volume: Arc<dyn Volume>, tiered: Option<Arc<Tiered>>, options: Options) -> io::Result<Self> {
        let mut known = Known::default();
        for Listed { pack, length, sealed } in volume.list()? {
            let standing = if sealed { Standing::Sealed } else { Standing::Unrecovered };
            known.packs.insert(pack, (length, standing));
            known.highest = known.highest.max(pack.0);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                volume,
                tiered,
                options,
                files: FileCache::new(options.files_open_max),
                lately: Lately::new(options.chunks_kept_max),
                ring: Ring::new(),
                known: Mutex::new(known),
                batch: Mutex::new(None),
                pool: Mutex::default(),
            }),
        })
    }

    /// A secret that belongs to these packs for good.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        self.shared.volume.key()
    }

    /// Numbers new packs behind `highest`. The highest number on the disk is how
    /// the next one is known; when that pack is lost, somebody else may still
    /// know how much of it there was, and a new one must not be taken for it.
    pub fn number_after(&self, highest: PackId) {
        let mut known = lock(&self.shared.known);
        known.highest = known.highest.max(highest.0);
    }

    /// All packs, in the order they were begun.
    #[must_use]
    pub fn list(&self) -> Vec<PackInfo> {
        let known = lock(&self.shared.known);
        let info =
            |(&pack, &(length, standing)): (&PackId, &(u64, Standing))| PackInfo { pack, length, standing };
        known.packs.iter().map(info).collect()
    }
}

impl Shared {
    fn standing(&self, pack: PackId) -> Result<Standing, PackError> {
        let known = lock(&self.known);
        known.packs.get(&pack).map(|&(_, standing)| standing).ok_or(PackError::Missing { pack })
    }

    fn length(&self, pack: PackId) -> Result<u64, PackError> {
        let known = lock(&self.known);
        known.packs.get(&pack).map(|&(length, _)| length).ok_or(PackError::Missing { pack })
    }

    fn note(&self, pack: PackId, length: u64, standing: Standing) {
        lock(&self.known).packs.insert(pack, (length, standing));
    }

    /// The mark of a pack's records. It follows from the archive's key, so it is
    /// known before the first record is read; but a pack that came with another
    /// key is believed by its first record, which no stored file can be.
    fn mark(&self, pack: PackId, file: &dyn PackFile) -> u64 {
        let mut head = [0; RECORD_BYTES];
        // A shorter pack has no record, and an unreadable one may have later ones.
        let first = file.read_exact_at(&mut head, 0).ok().and_then(|()| record::decode(&head, None, 0));
        first.map_or_else(|| self.own_mark(pack), |(_, mark)| mark)
    }

    fn own_mark(&self, pack: PackId) -> u64 {
        let hash = blake3::keyed_hash(&self.volume.key(), &pack.0.to_le_bytes());
        hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}
