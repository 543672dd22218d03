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
//! 2. `tar xf` of a pack, in whatever state, gives its files byte for byte.
//! 3. A file whose flush failed is never flushed again: its pack is abandoned.
//! 4. A pack's number is never used twice.
//! 5. No lock that a reader needs is held while the disk works.

mod append;
mod cache;
mod error;
pub mod faulty;
mod hasher;
mod local;
mod read;
mod record;
mod replay;
#[cfg(test)]
mod tests;
mod upload;
mod volume;

use std::collections::BTreeMap;
use std::io::{self, IoSlice, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use append::{Entry, NewFile};
pub use error::{PackError, Standing, Why};
pub use hasher::{Hashed, Hasher};
pub use local::Local;
pub use read::PackSource;
pub use replay::{Damage, ReplayEnd, Replayed};
pub use upload::Upload;
pub use volume::{Access, Listed, PackFile, Volume};

use self::cache::FileCache;
use self::record::{BLOCK_BYTES, RECORD_BYTES, Seat};
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
}

impl Default for Options {
    fn default() -> Self {
        Self { pack_bytes_max: 512 << 20, streams_max: 16, files_open_max: 256 }
    }
}

/// A pack store. Clones are the same store.
#[derive(Clone)]
pub struct Packs {
    shared: Arc<Shared>,
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
    /// Where the entry that holds this file ends in its pack, and the next may
    /// begin: the position to replay from when all before is known.
    #[must_use]
    pub fn entry_end(&self) -> u64 {
        record::padded(self.length).map_or(u64::MAX, |padded| self.offset.saturating_add(padded))
    }

    /// Where that entry begins.
    #[must_use]
    pub fn entry_start(&self) -> u64 {
        self.offset.saturating_sub(RECORD_BYTES as u64)
    }
}

struct Shared {
    volume: Arc<dyn Volume>,
    options: Options,
    files: FileCache,
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
        Self::open_on(Arc::new(volume), options).map_err(|source| PackError::Folder {
            path: dir.to_path_buf(),
            action: "list the packs in",
            source,
        })
    }

    /// Opens the packs of a volume.
    ///
    /// # Errors
    /// What the volume says.
    pub fn open_on(volume: Arc<dyn Volume>, options: Options) -> io::Result<Self> {
        let mut known = Known::default();
        for Listed { pack, length, sealed } in volume.list()? {
            let standing = if sealed { Standing::Sealed } else { Standing::Unrecovered };
            known.packs.insert(pack, (length, standing));
            known.highest = known.highest.max(pack.0);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                volume,
                options,
                files: FileCache::new(options.files_open_max),
                known: Mutex::new(known),
                batch: Mutex::new(None),
                pool: Mutex::default(),
            }),
        })
    }

    /// All packs, in the order they were begun.
    #[must_use]
    pub fn list(&self) -> Vec<PackInfo> {
        let known = lock(&self.shared.known);
        let info =
            |(&pack, &(length, standing)): (&PackId, &(u64, Standing))| PackInfo { pack, length, standing };
        known.packs.iter().map(info).collect()
    }

    /// Takes an unrecovered pack into service again: cuts off what lies behind
    /// `end`, which a replay gave as [`ReplayEnd::valid_until`], and appends from
    /// there on. What is cut and is not all zero is kept aside first.
    ///
    /// # Errors
    /// `Standing`, `Damaged` when `end` is no possible end, `Full` when there is
    /// no room for the copy, and what the disk says. The pack is then as before.
    pub fn resume(&self, pack: PackId, end: u64) -> Result<(), PackError> {
        let shared = &*self.shared;
        let standing = shared.standing(pack)?;
        if standing != Standing::Unrecovered {
            return Err(PackError::Standing { pack, found: standing, wanted: "resumed" });
        }
        let open = shared.volume.open(pack, Access::Write);
        let file = open.map_err(|error| PackError::io(pack, "open", error))?;
        let length = file.length().map_err(|error| PackError::io(pack, "read", error))?;
        if end > length || !end.is_multiple_of(BLOCK_BYTES as u64) {
            return Err(PackError::Damaged { pack, offset: end, why: Why::Short });
        }
        let mark = shared.mark(pack, &*file)?;
        if length > end {
            shared.set_aside(pack, &*file, end, length)?;
            file.cut(end).map_err(|error| PackError::io(pack, "cut", error))?;
        }
        // A replay may have been served from memory what never reached the disk.
        file.flush().map_err(|error| PackError::io(pack, "flush", error))?;
        shared.note(pack, end, Standing::Open);
        let open = OpenPack { pack, mark, file, end };
        if end >= shared.options.pack_bytes_max {
            shared.close(open);
            return Ok(());
        }
        shared.employ(open);
        Ok(())
    }

    /// Closes an open pack: the end mark of tar, and never a write again. Does
    /// nothing to one that is closed.
    ///
    /// # Errors
    /// `Busy` while an upload writes it, `Standing` when it is unrecovered, and
    /// what the disk says.
    pub fn seal(&self, pack: PackId) -> Result<(), PackError> {
        let shared = &*self.shared;
        match shared.standing(pack)? {
            Standing::Sealed | Standing::Abandoned => return Ok(()),
            found @ Standing::Unrecovered => {
                return Err(PackError::Standing { pack, found, wanted: "sealed" });
            }
            Standing::Open => {}
        }
        let mut batch = lock(&shared.batch);
        let open = if batch.as_ref().is_some_and(|open| open.pack == pack) {
            batch.take()
        } else {
            let mut pool = lock(&shared.pool);
            let index = pool.idle.iter().position(|open| open.pack == pack);
            index.map(|index| pool.idle.swap_remove(index))
        };
        drop(batch);
        let open = open.ok_or(PackError::Busy { streams_max: shared.options.streams_max })?;
        shared.try_close(open)
    }

    /// Deletes a closed pack for good, after what is live in it was stored
    /// elsewhere. Readings under way may end; later ones find it `Missing`.
    ///
    /// # Errors
    /// `Standing` when it is not closed, and what the disk says.
    pub fn remove(&self, pack: PackId) -> Result<(), PackError> {
        let shared = &*self.shared;
        match shared.standing(pack)? {
            Standing::Sealed | Standing::Abandoned => {}
            found @ (Standing::Open | Standing::Unrecovered) => {
                return Err(PackError::Standing { pack, found, wanted: "removed" });
            }
        }
        // The highest number on the disk is how the next one is known, and a
        // number must not come back while a catalog may remember it.
        if lock(&shared.known).packs.last_key_value().is_some_and(|(&last, _)| last == pack) {
            let next = shared.begin_pack()?;
            shared.employ(next);
        }
        shared.volume.remove(pack).map_err(|error| PackError::io(pack, "remove", error))?;
        lock(&shared.known).packs.remove(&pack);
        shared.files.forget(pack);
        Ok(())
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
    fn mark(&self, pack: PackId, file: &dyn PackFile) -> Result<u64, PackError> {
        let mut head = [0; RECORD_BYTES];
        match file.read_exact_at(&mut head, 0) {
            Ok(()) => {
                if let Some((_, mark)) = record::decode(&head, None, 0) {
                    return Ok(mark);
                }
            }
            // A shorter pack has no record; an unreadable one may have later ones.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(PackError::Missing { pack }),
            Err(_) => {}
        }
        Ok(self.own_mark(pack))
    }

    fn own_mark(&self, pack: PackId) -> u64 {
        let hash = blake3::keyed_hash(&self.volume.key(), &pack.0.to_le_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Begins a new pack, durably.
    fn begin_pack(&self) -> Result<OpenPack, PackError> {
        let pack = {
            let mut known = lock(&self.known);
            let next = known.highest.checked_add(1);
            // Not to be met: it would take as many packs as there are numbers.
            let pack = next.map(PackId).ok_or(PackError::Full { pack: PackId(u32::MAX) })?;
            known.highest = pack.0;
            pack
        };
        let file = self.volume.create(pack).map_err(|error| PackError::io(pack, "create", error))?;
        self.note(pack, 0, Standing::Open);
        Ok(OpenPack { pack, mark: self.own_mark(pack), file, end: 0 })
    }

    /// Gives an open pack its work: the batch if that has none, else uploads.
    /// One too many is closed.
    fn employ(&self, open: OpenPack) {
        // When the batch is at work it has a pack; nobody waits for the disk here.
        if let Ok(mut batch) = self.batch.try_lock()
            && batch.is_none()
        {
            *batch = Some(open);
            return;
        }
        let surplus = {
            let mut pool = lock(&self.pool);
            if pool.idle.len() + pool.streams < self.options.streams_max {
                pool.idle.push(open);
                None
            } else {
                Some(open)
            }
        };
        if let Some(open) = surplus {
            self.close(open);
        }
    }

    /// Closes a pack whose entries are all durable, so that it is not worth an
    /// error if the end mark cannot be written.
    fn close(&self, open: OpenPack) {
        let pack = open.pack;
        if let Err(error) = self.try_close(open) {
            tracing::warn!(%pack, %error, "a full pack could not be sealed and is left as it is");
        }
    }

    fn try_close(&self, open: OpenPack) -> Result<(), PackError> {
        const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];
        let OpenPack { pack, file, end, .. } = open;
        let written = file.write_all_at(&mut [IoSlice::new(&END)], end).and_then(|()| file.seal());
        match written {
            Ok(()) => {
                self.note(pack, end + END.len() as u64, Standing::Sealed);
                Ok(())
            }
            Err(error) => {
                self.note(pack, end, Standing::Abandoned);
                Err(PackError::io(pack, "seal", error))
            }
        }
    }

    /// Gives a pack up after a failed flush or cut. What lies behind its end was
    /// refused to whoever sent it: it is cut if that can be, so that a later
    /// start does not find in memory what is not on the disk.
    fn abandon(&self, open: OpenPack) {
        let OpenPack { pack, file, end, .. } = open;
        tracing::error!(%pack, end, "a pack could not be flushed and is given up");
        if end == 0 && self.volume.remove(pack).is_ok() {
            lock(&self.known).packs.remove(&pack);
            self.files.forget(pack);
            return;
        }
        drop(file.cut(end));
        self.note(pack, end, Standing::Abandoned);
    }

    /// Keeps a copy of `end..length` unless it is all zero.
    fn set_aside(&self, pack: PackId, file: &dyn PackFile, end: u64, length: u64) -> Result<(), PackError> {
        let tail = || io::BufReader::with_capacity(256 << 10, Tail { file, at: end, end: length });
        let failed = |error| PackError::io(pack, "keep a copy of the end of", error);
        if all_zero(tail()).map_err(failed)? {
            return Ok(());
        }
        tracing::warn!(%pack, from = end, to = length, "the end of a pack is torn; a copy of it is kept");
        self.volume.set_aside(pack, end, &mut tail()).map_err(failed)
    }
}

fn all_zero(mut bytes: impl io::BufRead) -> io::Result<bool> {
    loop {
        let piece = bytes.fill_buf()?;
        if piece.is_empty() {
            return Ok(true);
        }
        if piece.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        let length = piece.len();
        bytes.consume(length);
    }
}

/// A range of a pack as a stream.
struct Tail<'a> {
    file: &'a dyn PackFile,
    at: u64,
    end: u64,
}

impl Read for Tail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let take = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..take) else { return Ok(0) };
        self.file.read_exact_at(buffer, self.at)?;
        self.at += take as u64;
        Ok(take)
    }
}
