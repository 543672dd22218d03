//! Blocks of packs that lie in a bucket: fetched when they are read, checked
//! against their digests, and kept at hand: the last few in memory, more of them
//! in a folder of the disk, which may be deleted at any time.
//!
//! Invariants: no byte is given whose block did not have its digest when it came
//! (from the bucket, or from the folder for the first time since the start); a
//! block is fetched once however many want it; what waits for the network has
//! let its place in the pool go, and is bounded in number and time.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lru::LruCache;

use super::super::lock;
use super::manifest::{BLOCK_BYTES, Manifest};
use super::{away, tar_name};
use crate::storage::objects::Objects;
use crate::storage::{PackId, waiting};

/// Blocks in memory.
const RECENT_BLOCKS: NonZeroUsize = NonZeroUsize::new(16).expect("it is not zero");
/// Blocks that one request to the bucket asks for at most, when they are read
/// one after the other.
const RUN_BLOCKS: u32 = 4;
/// Requests to the bucket at the same time; and who may wait for them.
const FETCHES_MAX: usize = 8;
const WAITERS_MAX: usize = 128;
/// After a failure the bucket is left alone for so long: who asks meanwhile is
/// told at once.
const PAUSE: Duration = Duration::from_secs(5);

/// What is to become of what is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    OnDisk,
    /// It is read once, from the beginning to the end.
    InMemory,
}

type Key = (PackId, u32);

#[derive(Debug, Clone, Copy)]
struct OnDisk {
    bytes: u64,
    /// Held against its digest since the start.
    checked: bool,
}

struct State {
    recent: LruCache<Key, Bytes>,
    disk: LruCache<Key, OnDisk>,
    disk_bytes: u64,
    coming: HashSet<Key>,
    fetching: usize,
    waiting: usize,
    left_alone_until: Option<Instant>,
}

pub struct Blocks {
    objects: Objects,
    folder: PathBuf,
    bytes_max: u64,
    time_max: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

/// Blocks that are being fetched by this thread.
struct Fetching<'a> {
    blocks: &'a Blocks,
    pack: PackId,
    run: Range<u32>,
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.blocks.state);
        state.fetching -= 1;
        for index in self.run.clone() {
            state.coming.remove(&(self.pack, index));
        }
        drop(state);
        self.blocks.changed.notify_all();
    }
}

impl Blocks {
    /// Those of the packs in `objects`, of which `folder` keeps up to `bytes_max`
    /// bytes. A block is waited for as long as `time_max` for each of two tries.
    pub fn open(objects: Objects, folder: PathBuf, bytes_max: u64, time_max: Duration) -> Self {
        let mut state = State {
            recent: LruCache::new(RECENT_BLOCKS),
            disk: LruCache::unbounded(),
            disk_bytes: 0,
            coming: HashSet::new(),
            fetching: 0,
            waiting: 0,
            left_alone_until: None,
        };
        let mut found = found_in(&folder);
        found.sort_by_key(|(modified, ..)| *modified);
        for (_, key, bytes) in found {
            state.disk.put(key, OnDisk { bytes, checked: false });
            state.disk_bytes += bytes;
        }
        let blocks =
            Self { objects, folder, bytes_max, time_max, state: Mutex::new(state), changed: Condvar::new() };
        blocks.make_room();
        blocks
    }

    /// Fills `buffer` with the bytes of a pack from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` behind the end, `NotFound` when the pack is not in the
    /// bucket, `InvalidData` when that has other bytes, `HostUnreachable` when it
    /// does not answer.
    pub fn read(
        &self,
        manifest: &Manifest,
        mut buffer: &mut [u8],
        mut offset: u64,
        keep: Keep,
    ) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= manifest.length);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        while !buffer.is_empty() {
            let index = index_of(offset);
            let skip = offset % BLOCK_BYTES;
            let take = buffer.len().min(in_memory(manifest.block_bytes(index) - skip));
            let (now, later) = buffer.split_at_mut(take);
            self.part(manifest, index..index_of(end - 1) + 1, skip, now, keep)?;
            buffer = later;
            offset += take as u64;
        }
        Ok(())
    }

    /// Whether a range of a pack can be read without the bucket.
    pub fn has(&self, pack: PackId, range: Range<u64>) -> bool {
        let state = lock(&self.state);
        let at_hand = |index| {
            let key = (pack, index);
            state.recent.contains(&key) || state.disk.contains(&key)
        };
        range.is_empty() || (index_of(range.start)..=index_of(range.end - 1)).all(at_hand)
    }

    /// Throws away what is at hand of a range, whose bytes are not what they
    /// should be. Whether there was anything, so that reading again may help.
    pub fn doubt(&self, pack: PackId, range: Range<u64>) -> bool {
        let mut any = false;
        for index in index_of(range.start)..=index_of(range.end.max(range.start + 1) - 1) {
            any |= self.discard((pack, index));
        }
        any
    }

    /// Throws away what is at hand of a pack.
    pub fn forget(&self, pack: PackId) {
        let mut state = lock(&self.state);
        let keys: Vec<Key> = state.recent.iter().map(|(key, _)| *key).filter(|key| key.0 == pack).collect();
        for key in keys {
            state.recent.pop(&key);
        }
        let keys: Vec<Key> = state.disk.iter().map(|(key, _)| *key).filter(|key| key.0 == pack).collect();
        for key in keys {
            let bytes = state.disk.pop(&key).map_or(0, |there| there.bytes);
            state.disk_bytes -= bytes;
        }
        drop(state);
        // What cannot be removed is found by its digest, or never asked for again.
        drop(fs::remove_dir_all(self.folder.join(pack.to_string())));
    }

    /// Bytes in the folder.
    pub fn disk_bytes(&self) -> u64 {
        lock(&self.state).disk_bytes
    }

    /// The first block of `wanted` from byte `skip` on; the others will be asked
    /// for next.
    fn part(
        &self,
        manifest: &Manifest,
        wanted: Range<u32>,
        skip: u64,
        buffer: &mut [u8],
        keep: Keep,
    ) -> io::Result<()> {
        let (index, key) = (wanted.start, (manifest.pack, wanted.start));
        let deadline = Instant::now() + self.time_max * 2;
        let fetching = loop {
            let mut state = lock(&self.state);
            if let Some(bytes) = state.recent.get(&key).cloned() {
                drop(state);
                return copy(&bytes, skip, buffer);
            }
            if let Some(there) = state.disk.get(&key).copied() {
                drop(state);
                if self.read_kept(manifest, index, there, skip, buffer).is_ok() {
                    return Ok(());
                }
                self.discard(key);
                continue;
            }
            if state.left_alone_until.is_some_and(|until| Instant::now() < until) {
                return Err(silent("the bucket did not answer a moment ago"));
            }
            if !state.coming.contains(&key) && state.fetching < FETCHES_MAX {
                break self.begin(state, manifest, wanted);
            }
            self.wait(state, deadline)?;
        };
        waiting::let_go();
        let blocks = self.fetch(manifest, fetching.run.clone(), deadline);
        let mut state = lock(&self.state);
        match &blocks {
            Ok(blocks) => {
                state.left_alone_until = None;
                for (index, bytes) in fetching.run.clone().zip(blocks) {
                    state.recent.put((manifest.pack, index), bytes.clone());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::HostUnreachable => {
                state.left_alone_until = Some(Instant::now() + PAUSE);
                metrics::counter!("hilum_bucket_failures_total").increment(1);
            }
            Err(_) => {}
        }
        drop(state);
        let run = fetching.run.clone();
        drop(fetching);
        let blocks = blocks?;
        if keep == Keep::OnDisk && self.bytes_max > 0 {
            for (index, bytes) in run.zip(&blocks) {
                self.keep((manifest.pack, index), bytes);
            }
        }
        copy(blocks.first().ok_or(io::ErrorKind::UnexpectedEof)?, skip, buffer)
    }

    /// Takes a place among those who fetch. What is wanted of one after the other
    /// is asked for together, and what is likely to be wanted next.
    fn begin(
        &self,
        mut state: MutexGuard<'_, State>,
        manifest: &Manifest,
        wanted: Range<u32>,
    ) -> Fetching<'_> {
        let (pack, first) = (manifest.pack, wanted.start);
        let goes_on = first.checked_sub(1).is_some_and(|before| state.recent.contains(&(pack, before)));
        let length = if goes_on { RUN_BLOCKS } else { (wanted.end - first).min(RUN_BLOCKS) };
        let last = u32::try_from(manifest.blocks.len()).unwrap_or(u32::MAX).min(first.saturating_add(length));
        let missing = |index: &u32| {
            let key = (pack, *index);
            !state.recent.contains(&key) && !state.disk.contains(&key) && !state.coming.contains(&key)
        };
        let end = (first + 1..last).take_while(missing).last().map_or(first + 1, |index| index + 1);
        state.fetching += 1;
        state.coming.extend((first..end).map(|index| (pack, index)));
        Fetching { blocks: self, pack, run: first..end }
    }

    /// Waits until somebody has fetched something.
    fn wait(&self, mut state: MutexGuard<'_, State>, deadline: Instant) -> io::Result<()> {
        if state.waiting >= WAITERS_MAX {
            return Err(silent("too many wait for the bucket"));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(silent("the bucket is too slow"));
        }
        state.waiting += 1;
        drop(state);
        waiting::let_go();
        let state = lock(&self.state);
        // Looked at again by the caller, whatever has changed since.
        let waited = self.changed.wait_timeout(state, left.min(Duration::from_millis(200)));
        let (mut state, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        state.waiting -= 1;
        Ok(())
    }

    /// Blocks from the bucket, each with its digest.
    fn fetch(&self, manifest: &Manifest, run: Range<u32>, deadline: Instant) -> io::Result<Vec<Bytes>> {
        let begun = Instant::now();
        let fetched = self.fetch_once(manifest, run.clone());
        let blocks = match fetched {
            // A connection that broke, or bytes that were damaged on their way.
            Err(error)
                if error.kind() != io::ErrorKind::NotFound
                    && begun.elapsed() < self.time_max / 2
                    && Instant::now() < deadline =>
            {
                tracing::warn!(%error, pack = %manifest.pack, "blocks of a pack are fetched once more");
                self.fetch_once(manifest, run)
            }
            fetched => fetched,
        }?;
        let bytes: usize = blocks.iter().map(Bytes::len).sum();
        metrics::counter!("hilum_bucket_read_bytes_total").increment(bytes as u64);
        metrics::histogram!("hilum_bucket_read_seconds").record(begun.elapsed());
        Ok(blocks)
    }

    fn fetch_once(&self, manifest: &Manifest, run: Range<u32>) -> io::Result<Vec<Bytes>> {
        let start = u64::from(run.start) * BLOCK_BYTES;
        let end = manifest.length.min(u64::from(run.end) * BLOCK_BYTES);
        let mut bytes = self.objects.get_range(&tar_name(manifest.pack), start..end).map_err(away)?;
        run.map(|index| {
            let length = in_memory(manifest.block_bytes(index));
            if bytes.len() < length {
                return Err(silent("the bucket sent less than it was asked for"));
            }
            let block = bytes.split_to(length);
            if manifest.is_block(index, &block) {
                Ok(block)
            } else {
                let why = format!("block {index} of pack {} in the bucket has another digest", manifest.pack);
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
        })
        .collect()
    }

    fn path(&self, (pack, index): Key) -> PathBuf {
        self.folder.join(pack.to_string()).join(format!("{index:06}"))
    }

    fn read_kept(
        &self,
        manifest: &Manifest,
        index: u32,
        there: OnDisk,
        skip: u64,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        let key = (manifest.pack, index);
        let file = File::open(self.path(key))?;
        if there.checked {
            return file.read_exact_at(buffer, skip);
        }
        let mut bytes = vec![0; in_memory(manifest.block_bytes(index))];
        file.read_exact_at(&mut bytes, 0)?;
        if !manifest.is_block(index, &bytes) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if let Some(there) = lock(&self.state).disk.get_mut(&key) {
            there.checked = true;
        }
        copy(&bytes, skip, buffer)
    }

    /// Puts a block into the folder. Not flushed: half of one is found by its digest.
    fn keep(&self, key: Key, bytes: &[u8]) {
        let path = self.path(key);
        let unfinished = path.with_extension("unfinished");
        let folder = path.parent().unwrap_or(&self.folder);
        let put = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&unfinished, bytes))
            .and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = put {
            tracing::debug!(%error, path = %path.display(), "a block cannot be kept");
            drop(fs::remove_file(&unfinished));
            return;
        }
        let bytes = bytes.len() as u64;
        let mut state = lock(&self.state);
        let before = state.disk.put(key, OnDisk { bytes, checked: true });
        state.disk_bytes = state.disk_bytes + bytes - before.map_or(0, |before| before.bytes);
        drop(state);
        self.make_room();
    }

    /// Removes the blocks that were not read for the longest time.
    fn make_room(&self) {
        let mut gone = Vec::new();
        let mut state = lock(&self.state);
        while state.disk_bytes > self.bytes_max {
            let Some((key, there)) = state.disk.pop_lru() else { break };
            state.disk_bytes -= there.bytes;
            gone.push(key);
        }
        drop(state);
        for key in gone {
            drop(fs::remove_file(self.path(key)));
        }
    }

    fn discard(&self, key: Key) -> bool {
        let mut state = lock(&self.state);
        let recent = state.recent.pop(&key).is_some();
        let there = state.disk.pop(&key);
        state.disk_bytes -= there.map_or(0, |there| there.bytes);
        drop(state);
        if there.is_some() {
            drop(fs::remove_file(self.path(key)));
        }
        recent || there.is_some()
    }
}

/// The blocks in a folder: when they came, which they are, their bytes.
fn found_in(folder: &Path) -> Vec<(std::time::SystemTime, Key, u64)> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut found = Vec::new();
    for of_pack in entries(folder) {
        let Some(pack) = of_pack.file_name().to_str().and_then(|name| name.parse().ok()).map(PackId) else {
            continue;
        };
        for block in entries(&of_pack.path()) {
            let index = block.file_name().to_str().and_then(|name| name.parse().ok());
            match (index, block.metadata()) {
                (Some(index), Ok(metadata)) => {
                    let modified = metadata.modified().unwrap_or(std::time::UNIX_EPOCH);
                    found.push((modified, (pack, index), metadata.len()));
                }
                // Half of one that a stop left.
                _ => drop(fs::remove_file(block.path())),
            }
        }
    }
    found
}

fn copy(block: &[u8], skip: u64, buffer: &mut [u8]) -> io::Result<()> {
    let from = block.get(in_memory(skip)..).and_then(|rest| rest.get(..buffer.len()));
    buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
    Ok(())
}

fn silent(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::HostUnreachable, why)
}

fn index_of(offset: u64) -> u32 {
    u32::try_from(offset / BLOCK_BYTES).unwrap_or(u32::MAX)
}

fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
