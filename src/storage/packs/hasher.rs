//! Digest and checksums of a file in one pass, in pieces of any size, so that
//! an upload is hashed while it arrives. BLAKE3 says whether a file is whole;
//! a CRC-32 per 64 KiB lets a read of a range be checked without the rest.

use crate::storage::{CHUNK_BYTES, Chunks, Digest};

/// Hashes a file as it arrives.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    whole: blake3::Hasher,
    chunk: crc32fast::Hasher,
    chunks: Vec<u32>,
    length: u64,
}

/// What a [`Hasher`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    pub digest: Digest,
    pub chunks: Chunks,
    pub length: u64,
}

impl Hasher {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All of a file that is in memory.
    #[must_use]
    pub fn hash(bytes: &[u8]) -> Hashed {
        let mut hasher = Self::new();
        hasher.update(bytes);
        hasher.finish()
    }

    pub fn update(&mut self, mut bytes: &[u8]) {
        self.whole.update(bytes);
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.length % CHUNK_BYTES;
            let take = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
            let (now, later) = bytes.split_at(take);
            self.chunk.update(now);
            self.length += take as u64;
            if self.length.is_multiple_of(CHUNK_BYTES) {
                self.end_chunk();
            }
            bytes = later;
        }
    }

    fn end_chunk(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        self.chunks.push(chunk.finalize());
    }

    #[must_use]
    pub fn finish(mut self) -> Hashed {
        if !self.length.is_multiple_of(CHUNK_BYTES) {
            self.end_chunk();
        }
        Hashed {
            digest: Digest(*self.whole.finalize().as_bytes()),
            chunks: Chunks(self.chunks),
            length: self.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_give_the_same() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i * 7 % 251) as u8).collect();
        for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000] {
            let bytes = &bytes[..length];
            let whole = Hasher::hash(bytes);
            assert_eq!(whole.digest.0, *blake3::hash(bytes).as_bytes());
            let expected: Vec<u32> = bytes.chunks(65_536).map(crc32fast::hash).collect();
            assert_eq!(whole.chunks.0, expected);
            for piece in [1_000, 65_536, 70_000] {
                let mut hasher = Hasher::new();
                bytes.chunks(piece).for_each(|piece| hasher.update(piece));
                assert_eq!(hasher.finish(), whole);
            }
        }
    }
}
