//! Memory for what a worker reads and sends, used again once it is sent: it needs
//! no zeros before the next read, and is still near the processor. Each thread
//! keeps its own, so many at most.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use super::READ_CHUNKS_MAX;
use crate::storage::CHUNK_BYTES;

/// Buffers of each size that a thread keeps.
const KEPT_MAX: usize = 4;

#[allow(clippy::cast_possible_truncation, reason = "it is 64 KiB")]
const SMALL_BYTES: usize = CHUNK_BYTES as usize;
#[allow(clippy::cast_possible_truncation, reason = "it is 576 KiB")]
const LARGE_BYTES: usize = (READ_CHUNKS_MAX * CHUNK_BYTES) as usize;

#[derive(Default)]
struct Kept {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl Kept {
    /// Those of a size; none are kept of any other than the two.
    fn of(&mut self, bytes: usize) -> Option<&mut Vec<Vec<u8>>> {
        match bytes {
            SMALL_BYTES => Some(&mut self.small),
            LARGE_BYTES => Some(&mut self.large),
            _ => None,
        }
    }
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// What is in it is what it held before.
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    /// One of so many bytes or more.
    pub fn of(bytes: usize) -> Self {
        let size = [SMALL_BYTES, LARGE_BYTES].into_iter().find(|size| bytes <= *size).unwrap_or(bytes);
        let kept = KEPT.with_borrow_mut(|kept| kept.of(size).and_then(Vec::pop));
        Self(kept.unwrap_or_else(|| vec![0; size]))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.0);
        // A thread that ends has let go of its own already, and this goes with them.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if let Some(kept) = kept.of(memory.len())
                && kept.len() < KEPT_MAX
            {
                kept.push(memory);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_used_again() {
        let mut first = Buffer::of(1000);
        assert_eq!(first.len(), SMALL_BYTES);
        first[0] = 7;
        drop(first);
        assert_eq!(Buffer::of(SMALL_BYTES)[0], 7);
        assert_eq!(Buffer::of(SMALL_BYTES + 1).len(), LARGE_BYTES);
        assert_eq!(Buffer::of(LARGE_BYTES + 1).len(), LARGE_BYTES + 1);
        let many: Vec<Buffer> = (0..20).map(|_| Buffer::of(LARGE_BYTES)).collect();
        drop(many);
        let kept = KEPT.with_borrow(|kept| (kept.small.len(), kept.large.len()));
        assert_eq!(kept, (1, KEPT_MAX));
    }
}
