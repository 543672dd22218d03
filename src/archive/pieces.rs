//! A body as a list of pieces: bytes in memory and ranges of stored files,
//! whose length is known before the first is read. A Range request cuts the
//! list; a reader takes it piece by piece, so that a study of any size needs
//! the memory of one read.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::{Bytes, BytesMut};

use super::{ArchiveError, Core, pixels::Image, retrieve::FileForm};
use crate::{
    dicom::{part10::Inflated, source::Source},
    storage::{CHUNK_BYTES, Place, catalog::InstanceRow, packs::READ_CHUNKS_MAX, waiting},
};

/// Bytes of a body that are in memory before the next are read.
const READ_BYTES: u64 = 512 * 1024;

/// One stored file, as much of its row as reading it needs.
#[derive(Debug, Clone)]
pub struct StoredFile {
    pub place: Place,
    /// The number of the chunk that the first of `checksums` is of.
    pub first_chunk: u64,
    /// The checksums of the chunks that will be read.
    pub checksums: Arc<[u32]>,
}

/// Where a piece's bytes come from.
#[derive(Clone)]
enum Origin {
    Memory(Bytes),
    Stored(StoredFile),
    /// A deflated data set, inflated for this answer.
    Inflated(Arc<Inflated>),
    /// A file that is converted again when its turn comes, so that the answer
    /// for a long series does not hold the conversion of all of it.
    Later(Arc<(InstanceRow, FileForm)>),
    /// The CRC-32 of such a file.
    Checksum(Arc<Checksum>),
    /// A frame (counting from 0) that is decoded or encoded when its turn comes.
    Frame(Arc<Image>, u32),
    /// All decoded frames, the bits of each right behind those of the one before.
    Joined(Arc<Image>),
}

/// The CRC-32 of a file that is converted when its turn comes: computed when it
/// is first sent, for a zip file says it twice.
pub struct Checksum {
    row: InstanceRow,
    form: FileForm,
    crc: OnceLock<u32>,
}

impl Checksum {
    pub(super) fn new(row: InstanceRow, form: FileForm) -> Self {
        Self { row, form, crc: OnceLock::new() }
    }

    fn bytes(&self, core: &Core) -> Result<[u8; 4], ArchiveError> {
        if let Some(crc) = self.crc.get() {
            return Ok(crc.to_le_bytes());
        }
        let mut hasher = crc32fast::Hasher::new();
        let mut file = core.file(&self.row, self.form)?;
        while let Some(bytes) = file.next(core)? {
            hasher.update(&bytes);
        }
        Ok(self.crc.get_or_init(|| hasher.finalize()).to_le_bytes())
    }
}

/// Whether frames may be decoded, which belongs into a pool of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoding {
    Allowed,
    LeftAlone,
}

#[derive(Clone)]
struct Piece {
    origin: Origin,
    /// Bytes of the origin that this piece delivers.
    range: Range<u64>,
    /// Width of the words to swap; 1: as they are.
    swap: u8,
    /// Where the first word begins, in bytes of the origin.
    phase: u64,
}

impl Piece {
    fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn in_memory(&self) -> Option<Bytes> {
        match &self.origin {
            Origin::Memory(bytes) => {
                Some(bytes.slice(in_memory(self.range.start)..in_memory(self.range.end)))
            }
            Origin::Stored(_)
            | Origin::Inflated(_)
            | Origin::Later(_)
            | Origin::Checksum(_)
            | Origin::Frame(..)
            | Origin::Joined(_) => None,
        }
    }
}

/// A body: its pieces in order and its length in bytes.
#[derive(Clone, Default)]
pub struct Pieces {
    list: VecDeque<Piece>,
    length: u64,
}

impl Pieces {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes in all.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn push_bytes(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let range = 0..bytes.len() as u64;
        self.push(Piece { origin: Origin::Memory(bytes), range, swap: 1, phase: 0 });
    }

    /// A range of a stored file, in bytes from the start of the file.
    pub fn push_stored(&mut self, file: &StoredFile, range: Range<u64>) {
        self.push_swapped(file, range.clone(), 1, range.start);
    }

    /// As [`Pieces::push_stored`], every word of `width` bytes reversed; `first` is where
    /// the words begin, for a range may begin or end within one. The checksums of the file
    /// are to be those of whole words.
    pub fn push_swapped(&mut self, file: &StoredFile, range: Range<u64>, width: u8, first: u64) {
        self.push(Piece { origin: Origin::Stored(file.clone()), range, swap: width, phase: first });
    }

    pub fn push_inflated(&mut self, inflated: &Arc<Inflated>, range: Range<u64>) {
        self.push(Piece { origin: Origin::Inflated(Arc::clone(inflated)), range, swap: 1, phase: 0 });
    }

    /// A file to be converted when its turn comes, into `length` bytes.
    pub fn push_later(&mut self, row: InstanceRow, form: FileForm, length: u64) {
        self.push(Piece {
            origin: Origin::Later(Arc::new((row, form))),
            range: 0..length,
            swap: 1,
            phase: 0,
        });
    }

    /// Four bytes, little endian.
    pub fn push_checksum(&mut self, checksum: &Arc<Checksum>) {
        self.push(Piece { origin: Origin::Checksum(Arc::clone(checksum)), range: 0..4, swap: 1, phase: 0 });
    }

    /// A frame (counting from 0) to be made when its turn comes, of `length`
    /// bytes.
    pub fn push_frame(&mut self, image: &Arc<Image>, index: u32, length: u64) {
        let origin = Origin::Frame(Arc::clone(image), index);
        self.push(Piece { origin, range: 0..length, swap: 1, phase: 0 });
    }

    /// All frames of an image that [`Image::is_joined`], to be made when their turn comes.
    pub fn push_joined(&mut self, image: &Arc<Image>) {
        let range = 0..image.joined_bytes();
        self.push(Piece { origin: Origin::Joined(Arc::clone(image)), range, swap: 1, phase: 0 });
    }

    /// The next bytes are of a frame that has to be made.
    pub(super) fn begins_with_a_frame(&self) -> bool {
        let front = self.list.front();
        front.is_some_and(|piece| matches!(piece.origin, Origin::Frame(..) | Origin::Joined(_)))
    }

    pub fn append(&mut self, other: Pieces) {
        self.length += other.length;
        self.list.extend(other.list);
    }

    fn push(&mut self, piece: Piece) {
        if piece.length() > 0 {
            self.length += piece.length();
            self.list.push_back(piece);
        }
    }

    /// The part of the body that `range` covers.
    #[must_use]
    pub fn slice(&self, range: Range<u64>) -> Pieces {
        let mut cut = Pieces::new();
        let mut at = 0;
        for piece in &self.list {
            let (start, end) = (range.start.max(at), range.end.min(at + piece.length()));
            if start < end {
                let mut part = piece.clone();
                part.range = piece.range.start + (start - at)..piece.range.start + (end - at);
                cut.push(part);
            }
            at += piece.length();
        }
        cut
    }

    /// Takes what is in memory off the front.
    pub fn take_ready(&mut self) -> VecDeque<Bytes> {
        let mut ready = VecDeque::new();
        while let Some(bytes) = self.list.front().and_then(Piece::in_memory) {
            self.list.pop_front();
            self.length -= bytes.len() as u64;
            ready.push_back(bytes);
        }
        ready
    }

    /// Reads the next [`READ_BYTES`], or what is left, into memory. Blocks on
    /// storage: to be called from the pool.
    ///
    /// # Errors
    /// As [`Pieces::next`].
    pub(super) fn load(&mut self, core: &Core, decoding: Decoding) -> Result<(), ArchiveError> {
        let mut loaded = Pieces::new();
        while loaded.length < READ_BYTES {
            if decoding == Decoding::LeftAlone && self.begins_with_a_frame() {
                break;
            }
            let Some(bytes) = self.next(core)? else { break };
            loaded.push_bytes(bytes);
        }
        while let Some(piece) = loaded.list.pop_back() {
            self.length += piece.length();
            self.list.push_front(piece);
        }
        Ok(())
    }

    /// Takes the next bytes off the front; `None` at the end. Blocks on
    /// storage: to be called from the pool.
    ///
    /// # Errors
    /// When the stored bytes are not what was stored, or cannot be read.
    pub(super) fn next(&mut self, core: &Core) -> Result<Option<Bytes>, ArchiveError> {
        loop {
            let Some(piece) = self.list.front_mut() else { return Ok(None) };
            if let Origin::Later(later) = &piece.origin {
                let converted = core.file(&later.0, later.1)?.slice(piece.range.clone());
                if converted.length != piece.length() {
                    return Err(ArchiveError::Damaged(format!("{} converts differently now", later.0.path)));
                }
                self.list.pop_front();
                for piece in converted.list.into_iter().rev() {
                    self.list.push_front(piece);
                }
                continue;
            }
            if let Origin::Frame(image, index) = &piece.origin {
                let bytes = core.frame(image, *index)?;
                if (bytes.len() as u64) < piece.range.end {
                    return Err(ArchiveError::Damaged(format!(
                        "{} decodes differently now",
                        image.row().path
                    )));
                }
                let bytes = bytes.slice(in_memory(piece.range.start)..in_memory(piece.range.end));
                self.list.pop_front();
                self.length -= bytes.len() as u64;
                return Ok(Some(bytes));
            }
            let start = piece.range.start;
            let bytes = if let Origin::Joined(image) = &piece.origin {
                core.joined(image, piece.range.clone())?
            } else {
                // Where a chunk of the file ends, so that none is read twice.
                let end = piece.range.end.min((start / CHUNK_BYTES + READ_CHUNKS_MAX) * CHUNK_BYTES);
                read(core, piece, start..end)?
            };
            piece.range.start = start + bytes.len() as u64;
            self.length -= bytes.len() as u64;
            if piece.range.start == piece.range.end {
                self.list.pop_front();
            }
            return Ok(Some(bytes));
        }
    }

    /// The same for a thread that must not wait, if memory has what is next and
    /// nothing is to be made of it: that belongs into a pool.
    pub(super) fn next_at_once(&mut self, core: &Core) -> Option<Result<Bytes, ArchiveError>> {
        match &self.list.front()?.origin {
            Origin::Stored(_) => waiting::at_once(|| self.next(core))?.transpose(),
            Origin::Memory(_)
            | Origin::Inflated(_)
            | Origin::Later(_)
            | Origin::Checksum(_)
            | Origin::Frame(..)
            | Origin::Joined(_) => None,
        }
    }

    /// All of it at once; for bodies known to be small.
    ///
    /// # Errors
    /// As [`Pieces::next`].
    pub(super) fn read_all(mut self, core: &Core) -> Result<Bytes, ArchiveError> {
        let first = self.next(core)?.unwrap_or_default();
        if self.list.is_empty() {
            return Ok(first);
        }
        let mut all = BytesMut::with_capacity(usize::try_from(self.length).unwrap_or(0) + first.len());
        all.extend_from_slice(&first);
        while let Some(bytes) = self.next(core)? {
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }
}

fn read(core: &Core, piece: &Piece, range: Range<u64>) -> Result<Bytes, ArchiveError> {
    match &piece.origin {
        Origin::Memory(bytes) => Ok(bytes.slice(in_memory(range.start)..in_memory(range.end))),
        Origin::Stored(file) if piece.swap <= 1 => core.read_stored(file, range),
        Origin::Stored(file) => {
            let width = u64::from(piece.swap);
            let start = piece.phase + (range.start - piece.phase) / width * width;
            let end = piece.phase + (range.end - piece.phase).div_ceil(width) * width;
            let (from, length) = (in_memory(range.start - start), in_memory(range.end - range.start));
            let mut bytes = core.read_stored(file, start..end.min(file.place.length))?.to_vec();
            bytes.chunks_exact_mut(usize::from(piece.swap)).for_each(<[u8]>::reverse);
            Ok(Bytes::from(bytes).slice(from..from + length))
        }
        Origin::Inflated(inflated) => {
            let mut bytes = vec![0; in_memory(range.end - range.start)];
            inflated.read_exact_at(&mut bytes, range.start).map_err(ArchiveError::Io)?;
            Ok(bytes.into())
        }
        Origin::Checksum(checksum) => {
            let bytes = checksum.bytes(core)?;
            Ok(Bytes::copy_from_slice(&bytes[in_memory(range.start)..in_memory(range.end)]))
        }
        Origin::Later(_) | Origin::Frame(..) | Origin::Joined(_) => Ok(Bytes::new()),
    }
}

impl Core {
    fn read_stored(&self, file: &StoredFile, range: Range<u64>) -> Result<Bytes, ArchiveError> {
        Ok(self.packs.read(&file.place, range, file.first_chunk, &file.checksums)?)
    }
}

fn in_memory(offset: u64) -> usize {
    usize::try_from(offset).expect("offsets within memory fit the address space")
}
