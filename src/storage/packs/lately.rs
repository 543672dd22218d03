//! The chunks of which a small part was read lately: the tiles of a slide are a
//! few KiB each, and a viewer asks for one beside the other. So many chunks at
//! most: all of a small slide, or what a few viewers look at of large ones.
//!
//! Invariant: a chunk is given to who knows its checksum only, which it was held
//! against when it was read; so it is what a read of the disk would have to give.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use bytes::Bytes;
use lru::LruCache;

use super::lock;
use crate::storage::PackId;

/// Where a chunk begins in which pack, and its checksum.
pub(super) type Name = (PackId, u64, u32);

pub(super) struct Lately(Mutex<LruCache<Name, Bytes>>);

impl Lately {
    /// At least one chunk is kept.
    pub fn new(chunks_max: usize) -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(chunks_max).unwrap_or(NonZeroUsize::MIN))))
    }

    pub fn get(&self, name: Name) -> Option<Bytes> {
        lock(&self.0).get(&name).cloned()
    }

    pub fn add(&self, name: Name, chunk: Bytes) {
        let let_go = lock(&self.0).push(name, chunk);
        // Not under the lock.
        drop(let_go);
    }
}
