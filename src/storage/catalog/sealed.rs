//! The file of the catalog of an encrypted archive: as [`super::checked`] has
//! it, with every block sealed by itself, and its seal in place of a checksum.
//!
//! ```text
//! block 0          what the file is, and which key it has (`seal/file.rs`)
//! groups           one block of seals, then the 102 blocks they are of
//! ```
//! Invariants are those of [`super::checked`], for the same reasons: a block and
//! its seal may reach the disk apart, as redb never writes over what its last
//! durable state refers to, and of those the seals stay as they are whenever
//! others of their block are written. The header has its seal in its own sector.
//! A seal is bound to the file and the block: nothing opens elsewhere.
//!
//! Of the seals a bounded part is in memory: those of a large catalog would take
//! 1 % of it.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::checked::{
    BLOCK, BLOCK_BYTES, Damage, HEADER_BYTES_MAX, SECTOR_BYTES, damaged, locks_of_inner, size, whole_blocks,
};
use crate::storage::seal::{FILE_HEAD_BYTES, FileKey, Keyring, SEAL_BYTES};

/// As many as there is room for their seals in a block.
const BLOCKS_PER_GROUP: u64 = BLOCK_BYTES / SEAL_BYTES as u64;
/// What the key of the file is for.
const PURPOSE: &str = "catalog";
/// Groups that wait for each other's reads.
const SHARDS: usize = 16;
/// Blocks of seals that one shard keeps: all together 4 MiB.
const HELD_MAX: usize = 64;
/// The place of the header, which no block has.
const HEADER: u64 = u64::MAX;

type Seal = [u8; SEAL_BYTES];
/// Of a block that was never written, which is all zeros.
const NONE: Seal = [0; SEAL_BYTES];
/// Opens nothing.
const SPOILT: Seal = [0xFF; SEAL_BYTES];

/// A storage whose every block is sealed.
#[derive(Debug)]
pub(super) struct Sealed<S> {
    inner: S,
    file: FileKey,
    blocks: AtomicU64,
    shards: [Mutex<Shard>; SHARDS],
    damage: Arc<Damage>,
}

/// Blocks of seals, by group.
type Shard = HashMap<u64, Held>;

#[derive(Debug, Clone)]
struct Held {
    bytes: Box<[u8; BLOCK]>,
    /// Not in the file yet.
    is_dirty: bool,
}

impl Held {
    /// The seal of a block of this group.
    fn seal(&self, block: u64) -> Seal {
        let at = size(block % BLOCKS_PER_GROUP) * SEAL_BYTES;
        self.bytes.get(at..at + SEAL_BYTES).and_then(|seal| seal.try_into().ok()).unwrap_or(SPOILT)
    }

    fn put(&mut self, block: u64, seal: &Seal) {
        let at = size(block % BLOCKS_PER_GROUP) * SEAL_BYTES;
        if let Some(place) = self.bytes.get_mut(at..at + SEAL_BYTES) {
            place.copy_from_slice(seal);
        }
        self.is_dirty = true;
    }
}

impl<S: StorageBackend> Sealed<S> {
    /// Begins an empty one.
    pub fn begin(inner: S, ring: &Keyring, damage: Arc<Damage>) -> io::Result<Self> {
        let file = FileKey::begin(ring, PURPOSE)?;
        inner.set_len(BLOCK_BYTES)?;
        inner.write(0, file.head())?;
        Ok(Self { inner, file, blocks: AtomicU64::new(0), shards: Default::default(), damage })
    }

    /// Goes on with one that is there.
    pub fn open(inner: S, ring: Option<&Keyring>, damage: Arc<Damage>) -> io::Result<Self> {
        let mut head = [0; FILE_HEAD_BYTES];
        inner.read(0, &mut head)?;
        let file = FileKey::open(ring, PURPOSE, &head)?;
        let blocks = (inner.len()? / BLOCK_BYTES).saturating_sub(1);
        let (groups, rest) = (blocks / (BLOCKS_PER_GROUP + 1), blocks % (BLOCKS_PER_GROUP + 1));
        let blocks = AtomicU64::new(groups * BLOCKS_PER_GROUP + rest.saturating_sub(1));
        Ok(Self { inner, file, blocks, shards: Default::default(), damage })
    }

    /// From now on a block is one that cannot be read.
    pub fn spoil(&self, block: u64) -> io::Result<()> {
        self.change(block / BLOCKS_PER_GROUP, |held| held.put(block, &SPOILT))
    }

    fn blocks(&self) -> u64 {
        self.blocks.load(Ordering::Acquire)
    }

    fn shard(&self, group: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[size(group) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The seals of a group as the file has them. With its shard locked: else
    /// what another has changed and written meanwhile would be forgotten.
    fn load(&self, group: u64) -> io::Result<Held> {
        let mut bytes = Box::new([0; BLOCK]);
        self.inner.read(place_of_seals(group), &mut *bytes)?;
        Ok(Held { bytes, is_dirty: false })
    }

    /// The seals of a group, to be read.
    fn seals(&self, group: u64) -> io::Result<Held> {
        let mut shard = self.shard(group);
        if let Some(held) = shard.get(&group) {
            return Ok(held.clone());
        }
        let held = self.load(group)?;
        if make_room(&mut shard) {
            shard.insert(group, held.clone());
        }
        Ok(held)
    }

    /// Changes the seals of a group.
    fn change(&self, group: u64, change: impl FnOnce(&mut Held)) -> io::Result<()> {
        let mut shard = self.shard(group);
        if !shard.contains_key(&group) {
            let held = self.load(group)?;
            if !make_room(&mut shard) {
                // None of them is in the file yet. Put there before a flush they do no
                // harm: they may reach the disk before their blocks, as after them.
                self.put_down(&mut shard)?;
                make_room(&mut shard);
            }
            shard.insert(group, held);
        }
        shard.get_mut(&group).map(change).ok_or_else(damaged)
    }

    /// Writes what of a shard is not in the file yet.
    fn put_down(&self, shard: &mut Shard) -> io::Result<()> {
        let mut dirty: Vec<(&u64, &mut Held)> = shard.iter_mut().filter(|(_, held)| held.is_dirty).collect();
        dirty.sort_by_key(|(group, _)| **group);
        for (&group, held) in dirty {
            self.inner.write(place_of_seals(group), &*held.bytes)?;
            held.is_dirty = false;
        }
        Ok(())
    }

    fn header(&self) -> io::Result<[u8; HEADER_BYTES_MAX]> {
        let mut sector = [0; SECTOR_BYTES];
        self.inner.read(place_of(0), &mut sector)?;
        let (header, seal) = sector.split_at_mut(HEADER_BYTES_MAX);
        if header.iter().chain(&*seal).any(|&byte| byte != 0) {
            let seal: &Seal = (&*seal).try_into().map_err(|_| damaged())?;
            self.file.key().open_apart(&HEADER.to_le_bytes(), header, seal).map_err(|_| damaged())?;
        }
        (&*header).try_into().map_err(|_| damaged())
    }

    fn read_header(&self, out: &mut [u8]) -> io::Result<()> {
        out.copy_from_slice(self.header()?.get(..out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_header(&self, data: &[u8]) -> io::Result<()> {
        let mut header = self.header().unwrap_or([0; HEADER_BYTES_MAX]);
        header.get_mut(..data.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(data);
        let seal = self.file.key().seal_apart(&HEADER.to_le_bytes(), &mut header)?;
        // One write of one sector.
        self.inner.write(place_of(0), &[header.as_slice(), &seal].concat())
    }

    /// Blocks of one group.
    fn read_sealed(&self, first: u64, out: &mut [u8]) -> io::Result<()> {
        let seals = self.seals(first / BLOCKS_PER_GROUP)?;
        self.inner.read(place_of(first), out)?;
        for (block, bytes) in (first..).zip(out.chunks_mut(BLOCK)) {
            let seal = seals.seal(block);
            if seal != NONE {
                let opened = self.file.key().open_apart(&block.to_le_bytes(), bytes, &seal);
                opened.map_err(|_| damaged())?;
            } else if bytes.iter().any(|&byte| byte != 0) {
                return Err(damaged());
            }
        }
        Ok(())
    }

    /// Blocks of one group.
    fn write_sealed(&self, first: u64, data: &[u8]) -> io::Result<()> {
        let mut sealed = data.to_vec();
        let mut seals = Vec::with_capacity(sealed.len() / BLOCK);
        for (block, bytes) in (first..).zip(sealed.chunks_mut(BLOCK)) {
            seals.push(self.file.key().seal_apart(&block.to_le_bytes(), bytes)?);
        }
        self.change(first / BLOCKS_PER_GROUP, |held| {
            (first..).zip(&seals).for_each(|(block, seal)| held.put(block, seal));
        })?;
        self.inner.write(place_of(first), &sealed)
    }
}

/// Whether there is room for one more, after one that the file has was let go.
fn make_room(shard: &mut Shard) -> bool {
    if shard.len() < HELD_MAX {
        return true;
    }
    let clean = shard.iter().find_map(|(&group, held)| (!held.is_dirty).then_some(group));
    clean.is_some_and(|group| shard.remove(&group).is_some())
}

/// The parts of a range of blocks that lie in one group each: the first block of
/// each, and where its bytes are.
fn by_group(first: u64, blocks: u64) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let block = first + done;
        let take = (blocks - done).min(BLOCKS_PER_GROUP - block % BLOCKS_PER_GROUP);
        let bytes = size(done) * BLOCK..size(done + take) * BLOCK;
        done += take;
        (take > 0).then_some((block, bytes))
    })
}

impl<S: StorageBackend> StorageBackend for Sealed<S> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.blocks() * BLOCK_BYTES)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset == 0 && out.len() <= HEADER_BYTES_MAX {
            return self.read_header(out);
        }
        let (first, blocks) = whole_blocks(offset, out.len())?;
        if first + blocks > self.blocks() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let outcome = by_group(first, blocks)
            .try_for_each(|(block, bytes)| self.read_sealed(block, out.get_mut(bytes).unwrap_or_default()));
        outcome.or_else(|error| self.damage.meet(error, offset, out))
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let (_, is) = whole_blocks(0, size(length))?;
        let was = self.blocks();
        self.inner.set_len(if is == 0 { BLOCK_BYTES } else { place_of(is - 1) + BLOCK_BYTES })?;
        self.blocks.store(is, Ordering::Release);
        if is < was {
            for shard in &self.shards {
                let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.retain(|&group, _| group * BLOCKS_PER_GROUP < is);
            }
            let (group, left) = (is / BLOCKS_PER_GROUP, is % BLOCKS_PER_GROUP);
            if left > 0 {
                // What is cut off and comes again is zeros.
                self.change(group, |held| (left..BLOCKS_PER_GROUP).for_each(|block| held.put(block, &NONE)))?;
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        for shard in &self.shards {
            self.put_down(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))?;
        }
        self.inner.sync_data().inspect_err(|_| self.damage.note_flush_failed())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 && data.len() <= HEADER_BYTES_MAX {
            return self.write_header(data);
        }
        let (first, blocks) = whole_blocks(offset, data.len())?;
        if first + blocks > self.blocks() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        by_group(first, blocks)
            .try_for_each(|(block, bytes)| self.write_sealed(block, data.get(bytes).unwrap_or_default()))
    }

    locks_of_inner!();
}

/// Where a block lies in the file.
fn place_of(block: u64) -> u64 {
    (2 + block + block / BLOCKS_PER_GROUP) * BLOCK_BYTES
}

fn place_of_seals(group: u64) -> u64 {
    place_of(group * BLOCKS_PER_GROUP) - BLOCK_BYTES
}
