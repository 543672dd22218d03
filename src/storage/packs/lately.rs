//! The chunks of which a small part was read lately: the tiles of a slide are a
//! few KiB each, and a viewer asks for one beside the other. So many chunks at most.
//!
//! Invariant: a chunk is given to who knows its checksum only, which it was held
//! against when it was read; so it is what a read of the disk would have to give.

use std::num::NonZeroUsize;
use std::sync::Mutex;

use bytes::Bytes;
use lru::LruCache;

use super::lock;
use crate::storage::PackId;

/// 4 MiB.
const CHUNKS_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("not 0");

/// Where a chunk begins in which pack, and its checksum.
pub(super) type Name = (PackId, u64, u32);

pub(super) struct Lately(Mutex<LruCache<Name, Bytes>>);

impl Default for Lately {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CHUNKS_MAX)))
    }
}

impl Lately {
    pub fn get(&self, name: Name) -> Option<Bytes> {
        lock(&self.0).get(&name).cloned()
    }

    pub fn add(&self, name: Name, chunk: Bytes) {
        let let_go = lock(&self.0).push(name, chunk);
        // Not under the lock.
        drop(let_go);
    }
}
