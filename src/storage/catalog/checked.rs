//! The file of the catalog with a checksum for every block of it. redb keeps
//! checksums too, but looks at them only when it repairs; here none of its
//! pages is read without its checksum having been compared.
//!
//! ```text
//! block 0          what the file is
//! groups           one block of checksums, then the 1,024 blocks they are of
//! ```
//! Invariants: what is read is what was written there, or an error, or (from
//! [`Damage::tolerate`] on) a page that redb cannot take for one of its own. A
//! block and its checksum may reach the disk apart from each other: redb never
//! writes over what its last durable state refers to, so none of that differs.
//! The exception is its header, which has its checksum in its own sector.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::absorbing::Strain;
use crate::storage::seal::SEAL_BYTES;

pub(super) const BLOCK: usize = 4096;
pub(super) const BLOCK_BYTES: u64 = BLOCK as u64;
/// As many as fit into a block, four bytes each.
pub(super) const BLOCKS_PER_GROUP: u64 = BLOCK_BYTES / 4;
/// A block is written as a multiple of this, whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;
/// Of a sector, the checksum is of the rest.
const SUMMED_BYTES: usize = SECTOR_BYTES - 4;
/// Of redb's header, which has no more than 320 bytes; so much leaves room for its seal.
pub(super) const HEADER_BYTES_MAX: usize = SECTOR_BYTES - SEAL_BYTES;
const NAME: &[u8] = b"hilum catalog, blocks with checksums, 1\n";
/// No page of redb begins with it.
const NO_PAGE: u8 = 0xFF;

/// Locks, and the end, of a storage that lies in another one.
macro_rules! locks_of_inner {
    () => {
        fn close(&self) -> std::io::Result<()> {
            self.inner.close()
        }

        fn try_lock_range(
            &self,
            start: std::ops::Bound<u64>,
            end: std::ops::Bound<u64>,
        ) -> Result<bool, redb::BackendError> {
            self.inner.try_lock_range(start, end)
        }

        fn try_lock_shared_range(
            &self,
            start: std::ops::Bound<u64>,
            end: std::ops::Bound<u64>,
        ) -> Result<bool, redb::BackendError> {
            self.inner.try_lock_shared_range(start, end)
        }

        fn lock_range(
            &self,
            start: std::ops::Bound<u64>,
            end: std::ops::Bound<u64>,
        ) -> Result<(), redb::BackendError> {
            self.inner.lock_range(start, end)
        }

        fn lock_shared_range(
            &self,
            start: std::ops::Bound<u64>,
            end: std::ops::Bound<u64>,
        ) -> Result<(), redb::BackendError> {
            self.inner.lock_shared_range(start, end)
        }

        fn unlock_range(
            &self,
            start: std::ops::Bound<u64>,
            end: std::ops::Bound<u64>,
        ) -> Result<(), redb::BackendError> {
            self.inner.unlock_range(start, end)
        }

        fn query_lock_range(
            &self,
            start: std::ops::Bound<u64>,
            end: std::ops::Bound<u64>,
        ) -> Result<bool, redb::BackendError> {
            self.inner.query_lock_range(start, end)
        }
    };
}
pub(super) use locks_of_inner;

/// What is known of the state of a file.
#[derive(Debug, Default)]
pub(super) struct Damage {
    reads: AtomicU64,
    tolerated: AtomicBool,
    flush_failed: AtomicBool,
    /// Of a disk that refuses writes.
    pub strain: Arc<Strain>,
}

impl Damage {
    /// From now on a damaged page fails whoever reads it, and not the database.
    pub fn tolerate(&self) {
        self.tolerated.store(true, Ordering::Release);
    }

    /// Whether a flush failed since this was asked last: the system may then
    /// hold for written what never was, and the next flush would not tell.
    pub fn take_flush_failed(&self) -> bool {
        self.flush_failed.swap(false, Ordering::AcqRel)
    }

    /// To be told again the next time.
    pub fn note_flush_failed(&self) {
        self.flush_failed.store(true, Ordering::Release);
    }

    /// A page cannot be read, or is not what was written there.
    pub fn meet(&self, error: io::Error, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, offset, "a page of the catalog cannot be read; `hilum rebuild` makes it anew");
        if !self.tolerated.load(Ordering::Acquire) {
            return Err(error);
        }
        // After an error redb takes no call at all until it is opened again; a
        // page that is none fails only who asked for it.
        out.fill(NO_PAGE);
        Ok(())
    }

    /// Reads that met a damaged block.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

/// A storage whose every block is checked.
#[derive(Debug)]
pub(super) struct Checked<S> {
    inner: S,
    sums: Mutex<Sums>,
    damage: Arc<Damage>,
}

#[derive(Debug, Default)]
struct Sums {
    /// By block; 0 for one that was never written, which is all zeros.
    of: Vec<u32>,
    /// Groups whose checksums are not in the file yet.
    dirty: std::collections::BTreeSet<u64>,
}

/// Whether a file is a database without checksums, as format 2 had it.
pub(super) fn is_plain(begin: &[u8]) -> bool {
    begin.starts_with(b"redb")
}

impl<S: StorageBackend> Checked<S> {
    /// Begins an empty one, or goes on with one that is there.
    pub fn open(inner: S, damage: Arc<Damage>) -> io::Result<Self> {
        let mut name = [0; NAME.len()];
        let mut sums = Sums::default();
        if inner.len()? == 0 {
            inner.set_len(BLOCK_BYTES)?;
            inner.write(0, NAME)?;
        } else {
            inner.read(0, &mut name)?;
            if name != NAME {
                return Err(damaged());
            }
            sums.of = read_sums(&inner)?;
        }
        Ok(Self { inner, sums: Mutex::new(sums), damage })
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The header: it and its checksum are in one sector.
    fn read_header(&self, out: &mut [u8]) -> io::Result<()> {
        let sector = self.header()?;
        out.copy_from_slice(sector.get(..out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn header(&self) -> io::Result<[u8; SECTOR_BYTES]> {
        let mut sector = [0; SECTOR_BYTES];
        self.inner.read(place_of(0), &mut sector)?;
        let (header, sum) = sector.split_at(SUMMED_BYTES);
        let is_right = sum == sum_of(0, header).to_le_bytes() || sector.iter().all(|&byte| byte == 0);
        if is_right { Ok(sector) } else { Err(damaged()) }
    }

    fn write_header(&self, data: &[u8]) -> io::Result<()> {
        let mut sector = self.header().unwrap_or([0; SECTOR_BYTES]);
        sector.get_mut(..data.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(data);
        let (header, sum) = sector.split_at_mut(SUMMED_BYTES);
        sum.copy_from_slice(&sum_of(0, header).to_le_bytes());
        self.inner.write(place_of(0), &sector)
    }

    /// Blocks of one group, each held against its checksum.
    pub fn read_checked(&self, first: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(place_of(first), out)?;
        let sums = self.sums();
        for (block, bytes) in (first..).zip(out.chunks(size(BLOCK_BYTES))) {
            let sum = sums.of.get(size(block)).copied().unwrap_or_default();
            let is_right =
                if sum == 0 { bytes.iter().all(|&byte| byte == 0) } else { sum == sum_of(block, bytes) };
            if !is_right {
                return Err(damaged());
            }
        }
        Ok(())
    }
}

impl<S: StorageBackend> StorageBackend for Checked<S> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.sums().of.len() as u64 * BLOCK_BYTES)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset == 0 && out.len() <= HEADER_BYTES_MAX {
            return self.read_header(out);
        }
        let (first, blocks) = whole_blocks(offset, out.len())?;
        if first + blocks > self.sums().of.len() as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        let mut outcome = Ok(());
        while done < blocks && outcome.is_ok() {
            let block = first + done;
            let take = (blocks - done).min(BLOCKS_PER_GROUP - block % BLOCKS_PER_GROUP);
            let bytes = size(done * BLOCK_BYTES)..size((done + take) * BLOCK_BYTES);
            outcome = self.read_checked(block, out.get_mut(bytes).unwrap_or_default());
            done += take;
        }
        outcome.or_else(|error| self.damage.meet(error, offset, out))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let (_, blocks) = whole_blocks(0, size(length))?;
        let mut sums = self.sums();
        let (was, is) = (sums.of.len() as u64, blocks);
        self.inner.set_len(if is == 0 { BLOCK_BYTES } else { place_of(is - 1) + BLOCK_BYTES })?;
        sums.of.resize(size(is), 0);
        if is < was {
            // What is cut off and comes again is zeros.
            sums.dirty.retain(|&group| group * BLOCKS_PER_GROUP < is);
            if is % BLOCKS_PER_GROUP > 0 {
                sums.dirty.insert(is / BLOCKS_PER_GROUP);
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut sums = self.sums();
        let groups: Vec<u64> = sums.dirty.iter().copied().collect();
        for group in groups {
            let of = sums.of.get(size(group * BLOCKS_PER_GROUP)..).unwrap_or_default();
            let mut block: Vec<u8> =
                of.iter().take(size(BLOCKS_PER_GROUP)).flat_map(|sum| sum.to_le_bytes()).collect();
            block.resize(size(BLOCK_BYTES), 0);
            self.inner.write(place_of(group * BLOCKS_PER_GROUP) - BLOCK_BYTES, &block)?;
            sums.dirty.remove(&group);
        }
        drop(sums);
        self.inner.sync_data().inspect_err(|_| self.damage.note_flush_failed())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 && data.len() <= HEADER_BYTES_MAX {
            return self.write_header(data);
        }
        let (first, blocks) = whole_blocks(offset, data.len())?;
        let mut done = 0;
        while done < blocks {
            let block = first + done;
            let take = (blocks - done).min(BLOCKS_PER_GROUP - block % BLOCKS_PER_GROUP);
            let bytes = size(done * BLOCK_BYTES)..size((done + take) * BLOCK_BYTES);
            let bytes = data.get(bytes).unwrap_or_default();
            let mut sums = self.sums();
            for (block, bytes) in (block..).zip(bytes.chunks(size(BLOCK_BYTES))) {
                *sums.of.get_mut(size(block)).ok_or(io::ErrorKind::UnexpectedEof)? = sum_of(block, bytes);
            }
            sums.dirty.insert(block / BLOCKS_PER_GROUP);
            drop(sums);
            self.inner.write(place_of(block), bytes)?;
            done += take;
        }
        Ok(())
    }

    locks_of_inner!();
}

/// The checksums of all blocks of a file.
fn read_sums<S: StorageBackend>(inner: &S) -> io::Result<Vec<u32>> {
    let blocks = (inner.len()? / BLOCK_BYTES).saturating_sub(1);
    let (groups, rest) = (blocks / (BLOCKS_PER_GROUP + 1), blocks % (BLOCKS_PER_GROUP + 1));
    let blocks = groups * BLOCKS_PER_GROUP + rest.saturating_sub(1);
    let mut sums = Vec::with_capacity(size(blocks));
    let mut bytes = [0; BLOCK];
    for group in 0..blocks.div_ceil(BLOCKS_PER_GROUP) {
        inner.read(place_of(group * BLOCKS_PER_GROUP) - BLOCK_BYTES, &mut bytes)?;
        sums.extend(bytes.chunks_exact(4).map(|sum| sum.try_into().map_or(0, u32::from_le_bytes)));
    }
    sums.truncate(size(blocks));
    Ok(sums)
}

/// The checksum of a block at its place: elsewhere it does not fit. Never 0.
fn sum_of(block: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize().max(1)
}

/// Where a block lies in the file.
fn place_of(block: u64) -> u64 {
    (2 + block + block / BLOCKS_PER_GROUP) * BLOCK_BYTES
}

pub(super) fn whole_blocks(offset: u64, length: usize) -> io::Result<(u64, u64)> {
    let length = length as u64;
    if offset.is_multiple_of(BLOCK_BYTES) && length.is_multiple_of(BLOCK_BYTES) {
        return Ok((offset / BLOCK_BYTES, length / BLOCK_BYTES));
    }
    Err(io::ErrorKind::InvalidInput.into())
}

pub(super) fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

pub(super) fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its checksum does not hold")
}
