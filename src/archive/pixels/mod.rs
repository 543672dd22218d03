//! Frames in other forms than the stored one: decoded, or encoded anew. Made
//! when they are asked for, one at a time per processor, and kept in a bounded
//! cache by what they are made of: (digest, frame, form). Ten who ask for the
//! same at once cost one decoding.
//!
//! A broken frame is found before an answer begins, as long as the answer's
//! frames are not too many ([`Options::ahead_bytes_max`]): the cache is filled
//! with them, and what fails is left out. Their bytes are then taken from the
//! cache, or made again, when their turn comes: memory is the cache's alone. Only
//! the one frame of an answer of one frame goes straight into it.

mod cache;
mod described;
mod made;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

pub use made::Made;

use super::{Archive, ArchiveError, Core, View, pieces::Pieces, retrieve::FrameReader};
use crate::{
    auth::Permit,
    dicom::{DataSet, derived::Loss, json, transfer_syntax, transfer_syntax::EXPLICIT_LITTLE},
    pixels::{self, Codecs, Description, LOSSY_CODINGS, LossyCoding, PixelError, TABLE},
    storage::{
        Digest,
        catalog::{InstanceRow, Snapshot},
    },
};
use cache::Cache;
use described::Described;
use made::Ready;

/// The limits and sizes of decoding.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub limits: pixels::Limits,
    /// Frames made at once, and requests that wait for that.
    pub running_max: usize,
    pub waiting_max: usize,
    /// Memory for frames that were made.
    pub cache_bytes: usize,
    /// Bytes of frames of one answer that are made before it begins.
    pub ahead_bytes_max: u64,
}

/// A frame in one form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FrameKey {
    /// The number of the archive, where what is made is kept for several.
    of: u64,
    digest: Digest,
    index: u32,
    syntax: &'static str,
}

/// An instance whose frames are wanted in another form than the stored one.
#[derive(Debug)]
pub struct Image {
    row: InstanceRow,
    description: Description,
    /// How the data set will have to describe the frames.
    after: Description,
    /// Explicit VR Little Endian: decoded. Any other: encoded in that.
    syntax: &'static str,
}

impl Image {
    pub(super) fn key(&self, index: u32) -> FrameKey {
        FrameKey { of: 0, digest: self.row.digest, index, syntax: self.syntax }
    }

    pub(super) fn is_decoded(&self) -> bool {
        self.syntax == EXPLICIT_LITTLE
    }

    #[must_use]
    pub fn frames(&self) -> u32 {
        self.row.frames.count()
    }

    /// Decoded frames that share bytes where they follow each other without a gap, as
    /// they do in a file (PS3.5 section 8.1.1): those of single bits.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.is_decoded() && self.frames() > 1 && !self.after.frame_bits().is_multiple_of(8)
    }

    /// Bytes of all such frames.
    pub(super) fn joined_bytes(&self) -> u64 {
        (self.after.frame_bits() * u64::from(self.frames())).div_ceil(8)
    }

    /// As the data set will have to describe the frames.
    pub(super) fn described(&self) -> &Description {
        &self.after
    }

    pub(super) fn syntax(&self) -> &'static str {
        self.syntax
    }

    pub(super) fn row(&self) -> &InstanceRow {
        &self.row
    }

    fn lossy(&self) -> Option<&'static LossyCoding> {
        LOSSY_CODINGS.iter().find(|coding| coding.uid == self.syntax)
    }

    /// What such a coding loses, if it does, its frames having so many bytes.
    pub(super) fn loss(&self, frames: &[u64]) -> Option<Loss> {
        let LossyCoding { method, description, .. } = *self.lossy()?;
        let before = self.after.samples() * u64::from(self.after.bits_allocated) / 8 * frames.len() as u64;
        // At the first look at a request nothing is known of the lengths.
        let after: u64 = frames.iter().sum::<u64>().max(1);
        Some(Loss { method, ratio: before as f64 / after as f64, description })
    }

    /// The SOP Instance UID of the image that a lossy coding makes: always the
    /// same of the same bytes in one archive (PS3.5 section B.2).
    pub(super) fn derived_uid(&self, key: &[u8; 32]) -> String {
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(b"derived").update(&self.row.digest.0).update(self.syntax.as_bytes());
        hasher.update(self.lossy().map_or("", |coding| coding.description).as_bytes());
        let mut uuid = [0; 16];
        hasher.finalize_xof().fill(&mut uuid);
        // RFC 9562 section 5.8: version 8, whose other bits are ours.
        uuid[6] = uuid[6] & 0x0F | 0x80;
        uuid[8] = uuid[8] & 0x3F | 0x80;
        format!("2.25.{}", u128::from_be_bytes(uuid))
    }

    fn error(&self, index: u32, why: PixelError) -> ArchiveError {
        if why == PixelError::Busy {
            return ArchiveError::Busy;
        }
        ArchiveError::Pixels { instance: Box::new(self.row.path.clone()), frame: index + 1, why }
    }
}

/// What makes frames, and what keeps them; for all archives of a server.
#[derive(Debug)]
pub struct Workshop {
    codecs: Codecs,
    described: Described,
    cache: Mutex<Cache>,
    /// One lock a frame that is being made.
    turns: Mutex<HashMap<FrameKey, Arc<Mutex<()>>>>,
}

impl Workshop {
    pub fn new(options: &Options) -> Self {
        Self {
            codecs: Codecs::new(options.limits),
            described: Described::default(),
            cache: Mutex::new(Cache::new(options.cache_bytes)),
            turns: Mutex::default(),
        }
    }
}

/// The frames of one archive.
#[derive(Debug)]
pub(super) struct Frames {
    workshop: Arc<Workshop>,
    of: u64,
}

impl Frames {
    pub fn new(workshop: Arc<Workshop>, of: u64) -> Self {
        Self { workshop, of }
    }

    fn own(&self, image: &Image, index: u32) -> FrameKey {
        FrameKey { of: self.of, ..image.key(index) }
    }

    fn cached(&self, key: &FrameKey) -> Option<Result<Bytes, PixelError>> {
        self.workshop.cache.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    /// The lock of one frame: who gets it first makes the frame.
    fn turn(&self, key: &FrameKey) -> Arc<Mutex<()>> {
        let mut turns = self.workshop.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(key.clone()).or_default())
    }

    fn keep(&self, key: &FrameKey, made: Result<Bytes, PixelError>) {
        // First kept, then nobody's turn: who comes between the two finds it.
        if made != Err(PixelError::Busy) {
            let mut cache = self.workshop.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.put(key.clone(), made);
        }
        self.workshop.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl View<'_> {
    /// An instance whose frames are to be decoded (`syntax` being Explicit VR
    /// Little Endian) or encoded in `syntax`.
    ///
    /// # Errors
    /// When its data set does not describe its pixels, or not such as can be
    /// encoded in that way.
    pub fn image(&self, row: &InstanceRow, syntax: &str) -> Result<Arc<Image>, ArchiveError> {
        Image::of(self.core, self.snapshot(), row, syntax).map(Arc::new)
    }
}

impl Image {
    pub(super) fn of(
        core: &Core,
        snapshot: &Snapshot,
        row: &InstanceRow,
        syntax: &str,
    ) -> Result<Self, ArchiveError> {
        let refused = |why| ArchiveError::Pixels { instance: Box::new(row.path.clone()), frame: 1, why };
        let description = core.description(snapshot, row)?.map_err(refused)?;
        let unknown = || refused(PixelError::Unsupported(format!("Transfer Syntax {syntax}")));
        let syntax = TABLE.iter().find(|codec| codec.uid == syntax).ok_or_else(unknown)?.uid;
        let stored = transfer_syntax::find(&row.transfer_syntax).ok_or_else(unknown)?;
        let target = transfer_syntax::find(syntax).ok_or_else(unknown)?;
        let decoded = description.decoded_from(stored);
        let after = pixels::described(target, &decoded).map_err(refused)?;
        Ok(Self { row: row.clone(), description, after, syntax })
    }
}

impl Core {
    /// What the data set of an instance says of its frames. It is read once, as long
    /// as it is remembered: the metadata of thousands of frames take longer to read
    /// than a frame to decode.
    fn description(
        &self,
        snapshot: &Snapshot,
        row: &InstanceRow,
    ) -> Result<Result<Description, PixelError>, ArchiveError> {
        let Frames { workshop, of } = &self.frames;
        if let Some(description) = workshop.described.get(*of, row.digest) {
            return Ok(Ok(description));
        }
        let metadata = snapshot.metadata_of(&row.path)?.unwrap_or_default();
        let set: DataSet = json::read(&metadata, json::Limits::OWN)
            .map_err(|error| ArchiveError::Damaged(error.to_string()))?;
        let description = Description::of(&set);
        // The row may be of before another file took its place in the snapshot.
        if let Ok(description) = &description
            && snapshot.instance(&row.path)?.is_some_and(|now| now.digest == row.digest)
        {
            workshop.described.put(*of, row.digest, *description);
        }
        Ok(description)
    }

    /// The bytes of one frame, from the cache or made now. Blocks for as long
    /// as that takes: only for the pool of pixels.
    pub(super) fn frame(&self, image: &Image, index: u32) -> Result<Bytes, ArchiveError> {
        let key = self.frames.own(image, index);
        let failed = |why| image.error(index, why);
        if let Some(made) = self.frames.cached(&key) {
            return made.map_err(failed);
        }
        let turn = self.frames.turn(&key);
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = self.frames.cached(&key) {
            return made.map_err(failed);
        }
        let code = self.code(image, index)?;
        metrics::counter!("hilum_frames_made_total").increment(1);
        let codecs = &self.frames.workshop.codecs;
        let decoded = codecs.decode(&image.row.transfer_syntax, &code, &image.description);
        let made = decoded.and_then(|frame| {
            if image.is_decoded() {
                Ok(Bytes::from(frame.bytes))
            } else {
                codecs.encode(image.syntax, frame).map(|encoded| Bytes::from(encoded.code))
            }
        });
        if let Err(error) = &made {
            tracing::warn!(%error, instance = %image.row.path, frame = index + 1, "a frame could not be made");
        }
        self.frames.keep(&key, made.clone());
        made.map_err(failed)
    }
}

impl Core {
    /// Some of the bytes of all frames together, from the first of `range` to where that
    /// byte's frame ends. Blocks for as long as decoding takes.
    pub(super) fn joined(&self, image: &Image, range: Range<u64>) -> Result<Bytes, ArchiveError> {
        let in_memory = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (start, bits) = (in_memory(range.start), in_memory(image.after.frame_bits()).max(1));
        let end = in_memory(range.end).min(((start * 8 / bits + 1) * bits).div_ceil(8));
        let stop = (end * 8).min(bits * image.frames() as usize);
        let mut bytes = vec![0_u8; end - start];
        let mut at = start * 8;
        while at < stop {
            let (index, first) = (u32::try_from(at / bits).unwrap_or(u32::MAX), at % bits);
            let frame = self.frame(image, index)?;
            let count = (bits - first).min(stop - at);
            for bit in 0..count {
                let (from, to) = (first + bit, at + bit - start * 8);
                let is_set = frame.get(from / 8).is_some_and(|byte| byte >> (from % 8) & 1 == 1);
                bytes[to / 8] |= u8::from(is_set) << (to % 8);
            }
            at += count;
        }
        Ok(bytes.into())
    }

    /// A frame that is stored as a picture which any viewer shows as it is, as a JPEG
    /// file; none if it is not one. Blocks on storage.
    pub(super) fn stored_picture(&self, image: &Image, index: u32) -> Result<Option<Vec<u8>>, ArchiveError> {
        if !pixels::may_be_picture(&image.row.transfer_syntax, &image.description) {
            return Ok(None);
        }
        Ok(pixels::jpeg_picture(&self.code(image, index)?, &image.description))
    }

    /// A frame as it is stored.
    fn code(&self, image: &Image, index: u32) -> Result<Bytes, ArchiveError> {
        let snapshot = self.catalog.read()?;
        FrameReader::new(self, &snapshot, &image.row)?.one(index)?.read_all(self)
    }
}

impl Archive {
    /// What a request knows before its first look.
    #[must_use]
    pub fn no_frames_made(&self) -> Made {
        Made::new(self.pixel_ahead_bytes_max)
    }

    /// Makes the frames that a first look at a request found wanting, as far as
    /// they are made ahead.
    ///
    /// # Errors
    /// When too much is being decoded already. What is wrong with a frame is
    /// part of the answer.
    pub async fn make_frames(&self, _permit: &Permit, made: &Made) -> Result<(), ArchiveError> {
        let wanted = made.take_wanted();
        let is_alone = wanted.len() == 1;
        for (image, index) in wanted {
            let core = Arc::clone(&self.core);
            let key = image.key(index);
            let frame = self.pixel_pool.run(move || core.frame(&image, index)).await;
            match frame {
                Err(error @ (ArchiveError::Busy | ArchiveError::Stopping)) => return Err(error),
                other => {
                    let length = |bytes: Bytes| Ready::Length(bytes.len() as u64);
                    made.note(key, other.map(if is_alone { Ready::Whole } else { length }));
                }
            }
        }
        Ok(())
    }
}

/// A frame as a body: its bytes are made when their turn comes.
pub(super) fn later(image: &Arc<Image>, index: u32, length: u64) -> Pieces {
    let mut pieces = Pieces::new();
    pieces.push_frame(image, index, length);
    pieces
}
