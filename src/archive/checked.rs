//! A stored file as a source for the parser, of which no byte is given that has
//! not been held against its checksum. (A replay parses what it has just held
//! against its digest, and needs none of this.)

use std::io;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::pieces::StoredFile;
use crate::{
    dicom::source::Source,
    storage::{CHUNK_BYTES, packs::Packs},
};

/// Bytes asked for at once, in whole chunks.
const READ_BYTES_MAX: u64 = 8 * CHUNK_BYTES;

/// A stored file, or as much of it as its checksums are known.
pub(super) struct CheckedSource<'a> {
    packs: &'a Packs,
    file: StoredFile,
    /// The chunk that was read last: a parser asks for a few bytes at a time.
    chunk: Mutex<(u64, Bytes)>,
}

impl<'a> CheckedSource<'a> {
    pub(super) fn new(packs: &'a Packs, file: StoredFile) -> Self {
        Self { packs, file, chunk: Mutex::new((u64::MAX, Bytes::new())) }
    }

    fn read(&self, start: u64, end: u64) -> io::Result<Bytes> {
        let StoredFile { place, first_chunk, checksums } = &self.file;
        self.packs.read(place, start..end, *first_chunk, checksums).map_err(io::Error::other)
    }
}

impl Source for CheckedSource<'_> {
    fn len(&self) -> u64 {
        self.file.place.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|&end| end <= self.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let (mut at, mut rest) = (offset, buffer);
        while at < end {
            let index = at / CHUNK_BYTES;
            let chunk_end = ((index + 1) * CHUNK_BYTES).min(self.len());
            let bytes = if end > chunk_end {
                let until = end.min(index.saturating_mul(CHUNK_BYTES) + READ_BYTES_MAX);
                self.read(at, until)?
            } else {
                let mut chunk = self.chunk.lock().unwrap_or_else(PoisonError::into_inner);
                if chunk.0 != index {
                    *chunk = (index, self.read(index * CHUNK_BYTES, chunk_end)?);
                }
                let skip = usize::try_from(at - index * CHUNK_BYTES).unwrap_or(usize::MAX);
                chunk.1.slice(skip.min(chunk.1.len())..)
            };
            let take = bytes.len().min(rest.len());
            let (here, behind) = rest.split_at_mut(take);
            here.copy_from_slice(&bytes[..take]);
            rest = behind;
            at += take as u64;
        }
        Ok(())
    }
}
