//! Frames that were made, the least recently used leaving first. Bounded by the
//! bytes it holds. What failed is kept too, so that a hostile frame costs its
//! time once.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::FrameKey;
use crate::pixels::PixelError;

/// What an entry costs besides its bytes.
const ENTRY_BYTES: usize = 256;

#[derive(Debug)]
struct Entry {
    made: Result<Bytes, PixelError>,
    used: u64,
}

impl Entry {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.made.as_ref().map_or(0, Bytes::len)
    }
}

#[derive(Debug)]
pub struct Cache {
    bytes_max: usize,
    bytes: usize,
    entries: HashMap<FrameKey, Entry>,
    /// By when they were used last.
    order: BTreeMap<u64, FrameKey>,
    clock: u64,
}

impl Cache {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, entries: HashMap::new(), order: BTreeMap::new(), clock: 0 }
    }

    pub fn get(&mut self, key: &FrameKey) -> Option<Result<Bytes, PixelError>> {
        let entry = self.entries.get_mut(key)?;
        self.order.remove(&entry.used);
        self.clock += 1;
        entry.used = self.clock;
        self.order.insert(self.clock, key.clone());
        Some(entry.made.clone())
    }

    pub fn put(&mut self, key: FrameKey, made: Result<Bytes, PixelError>) {
        self.remove(&key);
        self.clock += 1;
        let entry = Entry { made, used: self.clock };
        if entry.bytes() > self.bytes_max {
            return;
        }
        self.bytes += entry.bytes();
        self.order.insert(self.clock, key.clone());
        self.entries.insert(key, entry);
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.order.first_key_value() else { break };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &FrameKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Digest;

    fn key(index: u32) -> FrameKey {
        FrameKey { of: 0, digest: Digest([7; 32]), index, syntax: "1.2.840.10008.1.2.1" }
    }

    #[test]
    fn the_least_recently_used_leaves_first() {
        let frame = || Ok(Bytes::from(vec![0; 1000]));
        let mut cache = Cache::new(3 * (1000 + ENTRY_BYTES));
        (0..3).for_each(|index| cache.put(key(index), frame()));
        assert!(cache.get(&key(0)).is_some());
        cache.put(key(3), frame());
        assert!(cache.get(&key(1)).is_none());
        assert!([0, 2, 3].iter().all(|index| cache.get(&key(*index)).is_some()));
        cache.put(key(3), Err(PixelError::Busy));
        cache.put(key(4), Ok(Bytes::from(vec![0; 100_000])));
        assert!(cache.get(&key(4)).is_none(), "larger than the whole cache");
        assert_eq!(cache.bytes, cache.entries.values().map(Entry::bytes).sum::<usize>());
        assert_eq!(cache.order.len(), cache.entries.len());
    }
}
