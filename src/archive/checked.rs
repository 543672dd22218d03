//! A stored file as a source for the parser, of which no byte is given that has
//! not been held against its checksum. (A replay parses what it has just held
//! against its digest, and needs none of this.) And a stored file as a whole, held
//! against its digest.

use std::io;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::{ArchiveError, pieces::StoredFile};
use crate::{
    dicom::source::Source,
    storage::{CHUNK_BYTES, Digest, Place, packs::Packs},
};

/// Bytes asked for at once, in whole chunks.
const READ_BYTES_MAX: u64 = 8 * CHUNK_BYTES;
/// Bytes read at a time of a whole file.
const PIECE_BYTES: usize = 256 << 10;

/// What reading a whole file came to.
pub(super) enum Whole {
    Yes,
    /// It cannot be read, or its digest is another.
    No(String),
    /// It was not read to its end.
    CutOff,
}

/// Reads a file and holds it against its digest, for as long as `goes_on` says so.
///
/// # Errors
/// `Away` when its bucket does not answer, which says nothing of the bytes.
pub(super) fn is_whole(
    packs: &Packs,
    place: &Place,
    digest: Digest,
    goes_on: &dyn Fn() -> bool,
) -> Result<Whole, ArchiveError> {
    let source = match packs.source(place).map_err(ArchiveError::from) {
        Ok(source) => source,
        Err(error) if error.is_away() => return Err(error),
        Err(error) => return Ok(Whole::No(error.to_string())),
    };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < source.len() {
        if !goes_on() {
            return Ok(Whole::CutOff);
        }
        let length = usize::try_from(source.len() - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        let piece = &mut buffer[..length];
        match source.read_exact_at(piece, at) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::HostUnreachable => {
                return Err(ArchiveError::Away(error.to_string()));
            }
            Err(error) => return Ok(Whole::No(error.to_string())),
        }
        hasher.update(piece);
        at += length as u64;
    }
    if hasher.finalize().as_bytes() == &digest.0 {
        Ok(Whole::Yes)
    } else {
        Ok(Whole::No("the digest is another".to_owned()))
    }
}

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
