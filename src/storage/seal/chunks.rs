//! Long things sealed in chunks, so that a part can be read without the rest.
//! Chunk `n` is the bytes from `n` times the size of a chunk on (for what is in
//! packs [`CHUNK_BYTES`]), sealed by itself; the last is shorter or full, and says that it is the last. Sealed chunks
//! follow each other without a gap, so places are computed and not looked up.
//!
//! Invariant: each chunk is bound to its number and to the thing it is of, and
//! the last one to be the last: chunks that change places, come from elsewhere
//! or are left out do not open.

use std::io;
use std::ops::Range;

use super::{Key, SEAL_BYTES};
use crate::storage::CHUNK_BYTES;

/// The same as a length in memory.
#[allow(clippy::cast_possible_truncation, reason = "it is 64 KiB")]
const FULL: usize = CHUNK_BYTES as usize;

/// Bytes that a thing of this length takes when it is sealed. `None` for a
/// length that nothing can have.
#[must_use]
pub fn sealed_length(length: u64) -> Option<u64> {
    sealed_length_by(CHUNK_BYTES, length)
}

fn sealed_length_by(chunk_bytes: u64, length: u64) -> Option<u64> {
    length.div_ceil(chunk_bytes).checked_mul(SEAL_BYTES as u64)?.checked_add(length)
}

/// The length of a thing that takes so many bytes in chunks of this size. (Of no
/// thing, if it ends within a seal: then its last chunk does not open.)
#[must_use]
pub fn plain_length(chunk_bytes: u64, sealed: u64) -> u64 {
    let seals = sealed.div_ceil(chunk_bytes + SEAL_BYTES as u64) * SEAL_BYTES as u64;
    sealed.saturating_sub(seals)
}

/// Why chunks could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    #[error("the sealed bytes cannot be read")]
    Read(#[source] io::Error),
    /// `at`: sealed bytes before the chunk that did not open.
    #[error("the bytes are not what was encrypted")]
    Unsealed { at: u64 },
}

impl From<ChunkError> for io::Error {
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::Read(error) => error,
            ChunkError::Unsealed { .. } => Self::new(io::ErrorKind::InvalidData, error.to_string()),
        }
    }
}

fn place(thing: u64, index: u64, is_last: bool) -> [u8; 17] {
    let mut place = [0; 17];
    place[..8].copy_from_slice(&thing.to_le_bytes());
    place[8..16].copy_from_slice(&index.to_le_bytes());
    place[16] = u8::from(is_last);
    place
}

/// A thing that is sealed, by its length as it was before.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub key: Key,
    /// Tells it from others under the same key.
    pub thing: u64,
    pub length: u64,
    pub chunk_bytes: u64,
}

impl Sealed {
    /// Opens all chunks that bytes `range` touch: the bytes from the beginning
    /// of the first to the end of the last of them, and the position of the
    /// first of those bytes. `read` fills a buffer from a position of the sealed
    /// thing on, and is called once.
    ///
    /// # Errors
    /// A chunk does not open, or `read` fails.
    pub fn read(
        &self,
        range: Range<u64>,
        read: impl FnOnce(&mut [u8], u64) -> io::Result<()>,
    ) -> Result<(Vec<u8>, u64), ChunkError> {
        let end = range.end.min(self.length);
        if range.start >= end {
            return Ok((Vec::new(), range.start));
        }
        let chunk_bytes = self.chunk_bytes;
        let sealed_chunk_bytes = chunk_bytes + SEAL_BYTES as u64;
        let chunks = range.start / chunk_bytes..end.div_ceil(chunk_bytes);
        let start = chunks.start * sealed_chunk_bytes;
        let whole = sealed_length_by(chunk_bytes, self.length).unwrap_or(u64::MAX);
        let stop = whole.min(chunks.end * sealed_chunk_bytes);
        let size = |bytes: u64| {
            usize::try_from(bytes).map_err(|_| ChunkError::Read(io::ErrorKind::OutOfMemory.into()))
        };
        let mut buffer = vec![0; size(stop - start)?];
        read(&mut buffer, start).map_err(ChunkError::Read)?;
        let last = self.length.div_ceil(chunk_bytes) - 1;
        let (mut from, mut to) = (0, 0);
        for index in chunks.clone() {
            let until = buffer.len().min(from + size(sealed_chunk_bytes)?);
            let place = place(self.thing, index, index == last);
            let unsealed = |_| ChunkError::Unsealed { at: start + from as u64 };
            let opened = self.key.open_in(&place, &mut buffer[from..until]).map_err(unsealed)?.len();
            // The first one lies where it is to be.
            if from != to {
                buffer.copy_within(from..from + opened, to);
            }
            (from, to) = (until, to + opened);
        }
        buffer.truncate(to);
        Ok((buffer, chunks.start * chunk_bytes))
    }
}

/// Seals a thing as it comes.
#[derive(Debug)]
pub struct Sealer {
    key: Key,
    thing: u64,
    chunk_bytes: usize,
    index: u64,
    /// What is not sealed yet: whether it is the last chunk is not known.
    pending: Vec<u8>,
}

impl Sealer {
    #[must_use]
    pub fn new(key: Key, thing: u64) -> Self {
        Self::in_chunks(key, thing, FULL)
    }

    /// In chunks of this size.
    #[must_use]
    pub fn in_chunks(key: Key, thing: u64, chunk_bytes: usize) -> Self {
        Self { key, thing, chunk_bytes: chunk_bytes.max(1), index: 0, pending: Vec::new() }
    }

    /// Takes the next bytes, and puts the chunks that they complete behind `out`.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.pending.len() == self.chunk_bytes {
                self.put(false, out)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.chunk_bytes - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Puts the last chunk behind `out`.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.pending.is_empty() { Ok(()) } else { self.put(true, out) }
    }

    /// What was taken and is not sealed yet: the end of what there is.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// All of a thing that is in memory.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn seal(key: &Key, thing: u64, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let length = sealed_length(bytes.len() as u64).and_then(|length| usize::try_from(length).ok());
        let mut out = Vec::with_capacity(length.unwrap_or_default());
        let count = bytes.len().div_ceil(FULL);
        for (index, chunk) in bytes.chunks(FULL).enumerate() {
            let from = out.len();
            out.extend_from_slice(chunk);
            key.seal_in(&place(thing, index as u64, index + 1 == count), &mut out, from)?;
        }
        Ok(out)
    }

    fn put(&mut self, is_last: bool, out: &mut Vec<u8>) -> io::Result<()> {
        let from = out.len();
        out.extend_from_slice(&self.pending);
        self.key.seal_in(&place(self.thing, self.index, is_last), out, from)?;
        self.index += 1;
        self.pending.clear();
        Ok(())
    }
}
