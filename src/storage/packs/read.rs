//! The way out: ranges of files, checked against their checksums, whole files
//! against their digest, and unchecked access for the parser.
//!
//! What is encrypted is decrypted here, so lengths and ranges are always those
//! of the file as it came.
//!
//! Invariant: `read` returns no byte whose checksum it has not checked. A worker may
//! be given what was checked a moment ago ([`super::lately`]); all others get what
//! the disk has now.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::buffers::Buffer;
use super::sealed::PackKey;
use super::{Access, PackError, PackFile, Packs, Shared, Why, lock};
use crate::dicom::source::Source;
use crate::storage::seal::Sealed;
use crate::storage::{CHUNK_BYTES, PackId, Place, waiting};

/// Chunks that are read at once at most: 512 KiB from any byte on, so that a frame of
/// a CT slice is one read.
pub const READ_CHUNKS_MAX: u64 = 9;

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
        let at = offset.checked_add(start).ok_or_else(out)?;
        let chunk_bytes = size(CHUNK_BYTES)?;
        let known = first.checked_sub(first_sum).and_then(|skip| usize::try_from(skip).ok());
        let sums = known.and_then(|skip| sums.get(skip..)).unwrap_or_default();
        let wanted = size(range.start - start)?..size(range.end - start)?;
        // Whole chunks, from number `first` of the range on.
        let check = |buffer: &[u8], first: usize| {
            for (index, chunk) in (first..).zip(buffer.chunks(chunk_bytes)) {
                if sums.get(index) != Some(&crc32fast::hash(chunk)) {
                    let offset = at + index as u64 * CHUNK_BYTES;
                    return Err(self.shared.misread(place, offset, Why::Checksum));
                }
            }
            Ok(())
        };
        if waiting::is_at_once() && self.shared.pack_key(pack).is_none() {
            let file = self.shared.file(pack)?;
            let read = |chunks: &mut [u8], at: u64| {
                file.read_exact_at(chunks, at).map_err(|error| PackError::read(pack, at, error))
            };
            let size = size(end - start)?;
            if wanted.len() >= chunk_bytes / 2 {
                let mut buffer = Buffer::of(size);
                read(&mut buffer[..size], at)?;
                check(&buffer[..size], 0)?;
                return Ok(Bytes::from_owner(buffer).slice(wanted));
            }
            let chunk = |index: usize, at: u64, bytes: usize| -> Result<Bytes, PackError> {
                let name = sums.get(index).map(|sum| (pack, at, *sum));
                if let Some(known) = name.and_then(|name| self.shared.lately.get(name)) {
                    return Ok(known);
                }
                let mut buffer = Buffer::of(bytes);
                read(&mut buffer[..bytes], at)?;
                check(&buffer[..bytes], index)?;
                let chunk = Bytes::from_owner(buffer).slice(..bytes);
                if let Some(name) = name {
                    self.shared.lately.add(name, chunk.clone());
                }
                Ok(chunk)
            };
            // A frame of a few KiB: of one chunk, or of the end of one and the beginning of the next.
            let mut found = Vec::with_capacity(wanted.len());
            for (index, begin) in (0..size).step_by(chunk_bytes).enumerate() {
                let end = size.min(begin + chunk_bytes);
                let chunk = chunk(index, at + begin as u64, end - begin)?;
                let part = wanted.start.max(begin) - begin..wanted.end.min(end) - begin;
                // Copied: who sends a few KiB does not hold a whole chunk.
                found.extend_from_slice(chunk.get(part).ok_or_else(out)?);
            }
            return Ok(Bytes::from(found));
        }
        let checked = || {
            let buffer = self.shared.whole_chunks(place, start..end)?;
            check(&buffer, 0)?;
            Ok(buffer)
        };
        let buffer = match checked() {
            // What was kept of a pack in a bucket, and has rotted here.
            Err(PackError::Damaged { .. }) if self.shared.doubt(place) => checked()?,
            read => read?,
        };
        Ok(Bytes::from(buffer).slice(wanted))
    }

    /// Whether a pack that was written is not there any more.
    #[must_use]
    pub fn is_lost(&self, pack: PackId) -> bool {
        matches!(self.shared.file(pack), Err(PackError::Missing { .. }))
    }

    /// The file at `place`, unchecked.
    ///
    /// # Errors
    /// `Missing`, and what the disk says.
    pub fn source(&self, place: &Place) -> Result<PackSource, PackError> {
        let file = self.shared.file(place.pack)?;
        Ok(match self.shared.pack_key(place.pack) {
            None => PackSource::new(file, place.offset, place.length),
            key => PackSource::sealed(file, place.offset, place.length, key, &[]),
        })
    }

    /// Reads the whole file at `place` and holds it against its digest.
    #[cfg(test)]
    pub(super) fn verify(&self, place: &Place, digest: &crate::storage::Digest) -> Result<(), PackError> {
        let mut hasher = blake3::Hasher::new();
        let mut done = 0;
        while done < place.length {
            let end = (done + PIECE_BYTES).min(place.length);
            hasher.update(&self.shared.whole_chunks(place, done..end)?);
            done = end;
        }
        if hasher.finalize() == blake3::Hash::from_bytes(digest.0) {
            Ok(())
        } else {
            Err(self.shared.misread(place, place.offset, Why::Digest))
        }
    }
}

impl Shared {
    /// Bytes `range` of a file, which begins with a chunk and ends with one.
    fn whole_chunks(&self, place: &Place, range: Range<u64>) -> Result<Vec<u8>, PackError> {
        let &Place { pack, offset, length } = place;
        let file = self.file(pack)?;
        if let Some(key) = self.pack_key(pack) {
            let read = |buffer: &mut [u8], at: u64| file.read_exact_at(buffer, offset.saturating_add(at));
            let opened = key.content(offset, length).read(range, read);
            return opened.map(|(bytes, _)| bytes).map_err(|error| key.misread(place, error));
        }
        let out = |_| PackError::OutOfRange { pack, start: range.start, end: range.end, length };
        let mut buffer = vec![0; usize::try_from(range.end - range.start).map_err(out)?];
        let at = offset.saturating_add(range.start);
        file.read_exact_at(&mut buffer, at).map_err(|error| PackError::read(pack, at, error))?;
        Ok(buffer)
    }

    /// Told that a file is not what it should be: whether it may be when it is
    /// read again.
    fn doubt(&self, place: &Place) -> bool {
        let end = self.entry_end(place);
        self.file(place.pack).is_ok_and(|file| file.doubt(place.offset, end.saturating_sub(place.offset)))
    }

    /// The pack opened to be read from the beginning to the end.
    pub(super) fn scan(&self, pack: PackId) -> Result<Arc<dyn PackFile>, PackError> {
        if self.tiered.is_none() {
            return self.file(pack);
        }
        self.standing(pack)?;
        let file = self.volume.open(pack, Access::Scan);
        file.map_err(|error| PackError::named(pack, "open", error))
    }

    /// The pack opened for reading.
    pub(super) fn file(&self, pack: PackId) -> Result<Arc<dyn PackFile>, PackError> {
        let open = || waiting::may_wait().and_then(|()| self.volume.open(pack, Access::Read));
        let file = self.files.get(pack, open);
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
    sealed: Option<Arc<SealedSource>>,
}

/// What it takes to read an encrypted file in small pieces.
struct SealedSource {
    content: Sealed,
    /// The end of the file, of a file that is still being written.
    pending: Vec<u8>,
    /// The chunk that was read last, and where it begins.
    chunk: Mutex<(u64, Vec<u8>)>,
}

impl fmt::Debug for PackSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackSource").field("length", &self.length).finish_non_exhaustive()
    }
}

impl PackSource {
    pub(super) fn new(file: Arc<dyn PackFile>, offset: u64, length: u64) -> Self {
        Self { file, offset, length, sealed: None }
    }

    /// Of a file whose end may not be in the pack yet.
    pub(super) fn sealed(
        file: Arc<dyn PackFile>,
        offset: u64,
        length: u64,
        key: Option<PackKey>,
        pending: &[u8],
    ) -> Self {
        let source = |key: PackKey| SealedSource {
            content: key.content(offset, length),
            pending: pending.to_vec(),
            chunk: Mutex::default(),
        };
        Self { file, offset, length, sealed: key.map(source).map(Arc::new) }
    }

    fn read_sealed(&self, sealed: &SealedSource, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        let in_pack = self.length - sealed.pending.len() as u64;
        let mut chunk = lock(&sealed.chunk);
        while !buffer.is_empty() {
            let (start, bytes) = if at >= in_pack {
                (in_pack, &sealed.pending)
            } else {
                let (start, bytes) = &mut *chunk;
                if at < *start || at - *start >= bytes.len() as u64 {
                    // Large reads take many chunks at a time.
                    let end = in_pack.min(at + (buffer.len() as u64).clamp(1, PIECE_BYTES));
                    let read = |buffer: &mut [u8], at| {
                        self.file.read_exact_at(buffer, self.offset.saturating_add(at))
                    };
                    (*bytes, *start) = sealed.content.read(at..end, read)?;
                }
                (*start, &*bytes)
            };
            let found = usize::try_from(at - start).ok().and_then(|skip| bytes.get(skip..));
            let found = found.filter(|found| !found.is_empty()).ok_or(io::ErrorKind::UnexpectedEof)?;
            let take = found.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(take);
            now.copy_from_slice(&found[..take]);
            (buffer, at) = (later, at + take as u64);
        }
        Ok(())
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
        if let Some(sealed) = &self.sealed {
            return self.read_sealed(sealed, buffer, offset);
        }
        self.file.read_exact_at(buffer, self.offset.saturating_add(offset))
    }
}
