//! How frames are described, of the instances that were asked for lately: a viewer
//! asks for one frame after the other. The digest tells the bytes that the
//! description follows from, so what is remembered is never out of date. Bounded in
//! number, and so in bytes: a description has a fixed size.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;

use crate::{pixels::Description, storage::Digest};

/// Instances whose descriptions are remembered, about 150 bytes each.
const COUNT_MAX: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

/// By the number of the archive and the digest of the instance.
#[derive(Debug)]
pub(super) struct Described {
    kept: Mutex<LruCache<(u64, Digest), Description>>,
}

impl Default for Described {
    fn default() -> Self {
        Self { kept: Mutex::new(LruCache::new(COUNT_MAX)) }
    }
}

impl Described {
    fn kept(&self) -> MutexGuard<'_, LruCache<(u64, Digest), Description>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, of: u64, digest: Digest) -> Option<Description> {
        self.kept().get(&(of, digest)).copied()
    }

    pub fn put(&self, of: u64, digest: Digest, description: Description) {
        self.kept().put((of, digest), description);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::{Number, Photometric};

    #[test]
    fn what_is_remembered_has_a_limit() {
        let description = Description {
            rows: 1,
            columns: 1,
            samples_per_pixel: 1,
            bits_allocated: 8,
            bits_stored: 8,
            high_bit: 7,
            number: Number::Unsigned,
            photometric: Photometric::Monochrome2,
            by_plane: false,
            frames: 1,
        };
        let digest = |number: u32| Digest(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let described = Described::default();
        for number in 0..5000 {
            described.put(0, digest(number), Description { rows: number, ..description });
        }
        assert_eq!(described.kept().len(), 4096);
        assert_eq!(described.get(0, digest(4999)).map(|found| found.rows), Some(4999));
        assert_eq!(described.get(0, digest(0)), None, "the least recently used is gone");
        assert_eq!(described.get(1, digest(4999)), None, "another archive has its own");
    }
}
