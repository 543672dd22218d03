//! The rows that were read lately: the next read of the same needs no page of
//! the database, and so no thread that may wait for one. A viewer asks for one
//! frame after the other of the same instances.
//!
//! Invariants: what is remembered is what the database has. Before a transaction
//! that may change or remove rows is committed everything is forgotten, and
//! nothing is remembered, or given out, until it is over; a snapshot of before
//! neither adds to what is remembered after it nor reads from it. New rows change
//! none of the others, so storing goes on beside it. Bounded by counts of rows
//! that are themselves bounded.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::change::{Change, Rule};
use super::instance::InstanceRow;
use super::tables::PartKey;
use crate::dicom::{FrameSpan, InstancePath};

/// Instances whose rows are remembered.
const ROWS_MAX: usize = 4096;
/// Blocks of frames and of checksums, a few KiB each.
const PARTS_MAX: usize = 1024;
/// A row that has more besides its head is read anew each time.
const TAIL_BYTES_MAX: usize = 2048;

/// The time between two changes of what there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

#[derive(Debug)]
pub(super) struct Memory {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// Odd while a change is under way.
    epoch: u64,
    rows: LruCache<InstancePath, Arc<InstanceRow>>,
    frames: LruCache<PartKey, Arc<[FrameSpan]>>,
    chunks: LruCache<PartKey, Arc<[u8]>>,
}

impl Default for Memory {
    fn default() -> Self {
        fn at_most<K: std::hash::Hash + Eq, V>(count: usize) -> LruCache<K, V> {
            LruCache::new(NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN))
        }
        Self {
            kept: Mutex::new(Kept {
                epoch: 0,
                rows: at_most(ROWS_MAX),
                frames: at_most(PARTS_MAX),
                chunks: at_most(PARTS_MAX),
            }),
        }
    }
}

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time now; to be asked before a snapshot is taken.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.kept().epoch)
    }

    /// What is kept, for who reads in that time.
    fn at(&self, epoch: Epoch) -> Option<MutexGuard<'_, Kept>> {
        let kept = self.kept();
        (kept.epoch == epoch.0 && epoch.0.is_multiple_of(2)).then_some(kept)
    }

    pub fn row(&self, epoch: Epoch, path: &InstancePath) -> Option<InstanceRow> {
        let row = self.at(epoch)?.rows.get(path).cloned()?;
        Some((*row).clone())
    }

    pub fn add_row(&self, epoch: Epoch, row: &InstanceRow) {
        if row.tail.len() <= TAIL_BYTES_MAX
            && let Some(mut kept) = self.at(epoch)
        {
            kept.rows.put(row.path.clone(), Arc::new(row.clone()));
        }
    }

    pub fn frames(&self, epoch: Epoch, key: PartKey) -> Option<Arc<[FrameSpan]>> {
        self.at(epoch)?.frames.get(&key).cloned()
    }

    pub fn add_frames(&self, epoch: Epoch, key: PartKey, frames: &Arc<[FrameSpan]>) {
        if let Some(mut kept) = self.at(epoch) {
            kept.frames.put(key, Arc::clone(frames));
        }
    }

    pub fn chunks(&self, epoch: Epoch, key: PartKey) -> Option<Arc<[u8]>> {
        self.at(epoch)?.chunks.get(&key).cloned()
    }

    pub fn add_chunks(&self, epoch: Epoch, key: PartKey, chunks: &Arc<[u8]>) {
        if let Some(mut kept) = self.at(epoch) {
            kept.chunks.put(key, Arc::clone(chunks));
        }
    }

    /// Forgets everything, until the change that follows is over.
    pub fn forget(&self) -> Forgetting<'_> {
        let mut kept = self.kept();
        kept.epoch += 1;
        kept.rows.clear();
        kept.frames.clear();
        kept.chunks.clear();
        Forgetting(self)
    }
}

/// A change is under way.
pub(super) struct Forgetting<'m>(&'m Memory);

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        self.0.kept().epoch += 1;
    }
}

/// Whether nothing that is there is changed or removed by it.
pub(super) fn only_adds(change: &Change) -> bool {
    match change {
        Change::Store { rule, .. } => *rule == Rule::Reject,
        Change::PackApplied { .. } | Change::PackSealed { .. } => true,
        Change::Delete { .. } | Change::Move { .. } | Change::PackRemoved { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PartKey = (1, 0, 0);

    /// Whoever read before a change must not add what was to what is.
    #[test]
    fn nothing_is_carried_over_a_change() {
        let memory = Memory::default();
        let block: Arc<[u8]> = Arc::from([1]);
        let before = memory.epoch();
        memory.add_chunks(before, KEY, &block);
        assert!(memory.chunks(before, KEY).is_some());
        let forgetting = memory.forget();
        let meanwhile = memory.epoch();
        for epoch in [before, meanwhile] {
            memory.add_chunks(epoch, KEY, &block);
            assert!(memory.chunks(epoch, KEY).is_none(), "it may be of before or of after");
        }
        drop(forgetting);
        for epoch in [before, meanwhile] {
            memory.add_chunks(epoch, KEY, &block);
            assert!(memory.chunks(epoch, KEY).is_none());
        }
        assert!(memory.chunks(memory.epoch(), KEY).is_none());
        memory.add_chunks(memory.epoch(), KEY, &block);
        assert!(memory.chunks(memory.epoch(), KEY).is_some());
    }
}
