//! The way out: ranges of files, checked against their checksums, whole files
//! against their digest, and unchecked access for the parser.
//!
//! Invariant: `read` returns no byte whose checksum it has not checked.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Access, PackError, PackFile, Packs, Shared, Why};
use crate::dicom::source::Source;
use crate::storage::{CHUNK_BYTES, Digest, PackId, Place};

/// Bytes read at a time where a whole file is read.
const PIECE_BYTES: u64 = 256 << 10;

impl Packs {
    /// Bytes `range` of the file at `place`. Whole chunks are read to check
    /// them, so a reader of a long range should ask for multiples of
    /// [`CHUNK_BYTES`], and for no more at a time than it will hold in memory.
    /// `sums` are the checksums of the file's chunks from number `first_sum` on,
    /// as many as the range needs.
    ///
    /// # Errors
    /// `Damaged` with the offset in the pack, `OutOfRange`, `Missing`, and what
    /// the disk says.
    pub fn read(
        &self,
        place: &Place,
        range: Range<u64>,
        first_sum: u64,
        sums: &[u32],
    ) -> Result<Bytes, PackError> {
        let &Place { pack, offset, length } = place;
        let out = || PackError::OutOfRange { pack, start: range.start, end: range.end, length };
        if range.start > range.end || range.end > length {
            return Err(out());
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let first = range.start / CHUNK_BYTES;
        let start = first * CHUNK_BYTES;
        let end = range.end.next_multiple_of(CHUNK_BYTES).min(length);
        let size = |bytes: u64| usize::try_from(bytes).map_err(|_| out());
        let mut buffer = vec![0; size(end - start)?];
        let file = self.shared.file(pack)?;
        let at = offset.checked_add(start).ok_or_else(out)?;
        file.read_exact_at(&mut buffer, at).map_err(|error| PackError::read(pack, at, error))?;

        let known = first.checked_sub(first_sum).and_then(|skip| usize::try_from(skip).ok());
        let sums = known.and_then(|skip| sums.get(skip..)).unwrap_or_default();
        for (index, chunk) in buffer.chunks(size(CHUNK_BYTES)?).enumerate() {
            if sums.get(index) != Some(&crc32fast::hash(chunk)) {
                let offset = at + index as u64 * CHUNK_BYTES;
                return Err(PackError::Damaged { pack, offset, why: Why::Checksum });
            }
        }
        Ok(Bytes::from(buffer).slice(size(range.start - start)?..size(range.end - start)?))
    }

    /// The file at `place`, unchecked.
    ///
    /// # Errors
    /// `Missing`, and what the disk says.
    pub fn source(&self, place: &Place) -> Result<PackSource, PackError> {
        Ok(PackSource::new(self.shared.file(place.pack)?, place.offset, place.length))
    }

    /// Reads the whole file at `place` and holds it against its digest.
    ///
    /// # Errors
    /// `Damaged`, `Missing`, and what the disk says.
    pub fn verify(&self, place: &Place, digest: &Digest) -> Result<(), PackError> {
        let &Place { pack, offset, length } = place;
        let file = self.shared.file(pack)?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; usize::try_from(length.min(PIECE_BYTES)).unwrap_or_default()];
        let mut done = 0;
        while done < length {
            let take = (length - done).min(PIECE_BYTES);
            // Never longer than the buffer, which has the length of the longest piece.
            let piece = &mut buffer[..usize::try_from(take).unwrap_or_default()];
            let at = offset.saturating_add(done);
            file.read_exact_at(piece, at).map_err(|error| PackError::read(pack, at, error))?;
            hasher.update(piece);
            done += take;
        }
        if hasher.finalize() == blake3::Hash::from_bytes(digest.0) {
            Ok(())
        } else {
            Err(PackError::Damaged { pack, offset, why: Why::Digest })
        }
    }
}

impl Shared {
    /// The pack opened for reading.
    pub(super) fn file(&self, pack: PackId) -> Result<Arc<dyn PackFile>, PackError> {
        let file = self.files.get(pack, || self.volume.open(pack, Access::Read));
        let file = file.map_err(|error| PackError::named(pack, "open", error))?;
        // It may have been removed while it was being opened.
        self.standing(pack).inspect_err(|_| self.files.forget(pack))?;
        Ok(file)
    }
}

/// A file in a pack, for reading at any place in it, unchecked.
#[derive(Clone)]
pub struct PackSource {
    file: Arc<dyn PackFile>,
    offset: u64,
    length: u64,
}

impl fmt::Debug for PackSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackSource").field("length", &self.length).finish_non_exhaustive()
    }
}

impl PackSource {
    pub(super) fn new(file: Arc<dyn PackFile>, offset: u64, length: u64) -> Self {
        Self { file, offset, length }
    }
}

impl Source for PackSource {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(buffer, self.offset.saturating_add(offset))
    }
}
