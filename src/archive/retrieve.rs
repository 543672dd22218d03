//! Retrieve: rows and ranges. Nothing is parsed here but what was stored in a
//! transfer syntax that must not leave the archive as it is (PS3.18 section
//! 8.7.3: Implicit VR, Big Endian and Deflated become Explicit VR Little
//! Endian), and what needs an envelope because it came without one.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    Archive, ArchiveError, Core,
    checked::CheckedSource,
    pieces::{Checksum, Decoding, Pieces, StoredFile},
    pixels::{Image, Made},
    sight::Sight,
    trails,
};
use crate::{
    audit::Trail,
    auth::Permit,
    dicom::{
        DataSet, FrameSpan, InstancePath, InstanceUid, SeriesPath, StudyUid, Tag, attributes, derived, json,
        part10::{self, Inflated},
        source::Source,
        transcode::{self, Plan, Segment},
        transfer_syntax::{self, EXPLICIT_LITTLE},
    },
    storage::{
        CHUNK_BYTES,
        catalog::{Form, Frames, InstanceRow, Snapshot, Target},
        waiting,
    },
};

/// Rows read at once.
const ROW_PAGE: usize = 512;

const PIXEL_DATA: &str = "7FE00010";
const PIXEL_DATA_TAG: Tag = Tag(0x7FE0, 0x0010);
const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
const MIME_TYPE_OF_DOCUMENT: Tag = Tag(0x0042, 0x0012);
const ENCAPSULATED_DOCUMENT_LENGTH: Tag = Tag(0x0042, 0x0015);
const ENCAPSULATED_DOCUMENT: &str = "00420011";

/// What is retrieved: everything below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Study(StudyUid),
    Series(SeriesPath),
    Instance(InstancePath),
}

impl Scope {
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Study(study) => Target::Study(study.clone()),
            Self::Series(series) => Target::Series(series.clone()),
            Self::Instance(instance) => Target::Instance(instance.clone()),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Study(_) => "study",
            Self::Series(_) => "series",
            Self::Instance(_) => "instance",
        }
    }
}

/// The form in which a whole file is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// Byte for byte, with an envelope added if it came without one.
    AsStored,
    /// The data set in Explicit VR Little Endian.
    ExplicitLittleEndian,
    /// The same, the pixels decoded.
    Decoded,
}

/// A value that was left in the file.
pub struct BulkValue {
    pub pieces: Pieces,
    /// The media type of an encapsulated document, as the data set states it.
    pub media_type: Option<String>,
    /// Bytes of the document, which lacks the padding of the value; of anything
    /// else, of the value.
    pub document_bytes: u64,
}

/// The CRC-32 of a file in one of its forms.
pub enum Crc {
    Known(u32),
    Later(Arc<Checksum>),
}

/// The archive at one moment, for one visit to the pool: a request looks its
/// rows up, makes its pieces of them and reads the first bytes in one go, since
/// a hop between threads costs more than any of these.
pub struct View<'a> {
    pub(super) core: &'a Core,
    pub(super) sight: Sight<'a>,
    /// Where it is noted which instances were looked at.
    pub(super) trail: Option<Trail>,
}

impl Archive {
    /// Lets `work` read in the pool. It must not wait for anything but storage.
    ///
    /// # Errors
    /// When the pool is full or the catalog fails; what `work` answers.
    pub async fn retrieve<T, E>(
        &self,
        permit: &Permit,
        work: impl FnOnce(&View<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<ArchiveError> + Send + 'static,
    {
        let core = Arc::clone(&self.core);
        let permit = permit.clone();
        self.pool
            .run(move || {
                let sight = core.sight(&permit)?;
                work(&View { core: &core, sight, trail: permit.trail().cloned() })
            })
            .await
    }

    /// The same in this thread, which must not wait: only if memory has all that
    /// the work reads. What a viewer asks for one after the other comes this way,
    /// and a hop between threads would cost more than the reading.
    pub fn retrieve_at_once<T, E>(
        &self,
        permit: &Permit,
        work: impl FnOnce(&View<'_>) -> Result<T, E>,
    ) -> Option<Result<T, E>>
    where
        E: From<ArchiveError>,
    {
        waiting::at_once(|| {
            let sight = self.core.sight_of_memory(permit)?;
            work(&View { core: &self.core, sight, trail: permit.trail().cloned() })
        })
    }

    /// Takes the next bytes of a body in this thread, which must not wait: as many
    /// as one read gives, if memory has them. `None`: they have to be waited for.
    pub fn read_at_once(&self, pieces: &mut Pieces) -> Option<Result<Bytes, ArchiveError>> {
        pieces.next_at_once(&self.core)
    }

    /// Reads the next bytes of a body into memory, for [`Pieces::take_ready`].
    ///
    /// # Errors
    /// When what is stored is damaged or cannot be read.
    pub async fn read(&self, mut pieces: Pieces) -> Result<Pieces, ArchiveError> {
        let core = Arc::clone(&self.core);
        let (pool, decoding) = if pieces.begins_with_a_frame() {
            (&self.pixel_pool, Decoding::Allowed)
        } else {
            (&self.pool, Decoding::LeftAlone)
        };
        pool.run(move || {
            pieces.load(&core, decoding)?;
            Ok(pieces)
        })
        .await
    }
}

impl View<'_> {
    /// The rows of all instances in `scope`, series by series, in the order of
    /// their UIDs.
    ///
    /// # Errors
    /// `NotFound` or `Gone` when there is none.
    pub fn instances(&self, scope: &Scope) -> Result<Vec<InstanceRow>, ArchiveError> {
        let rows = self.unseen(scope)?;
        for row in &rows {
            self.note(row);
        }
        Ok(rows)
    }

    /// The same for a choice among them: none counts as seen yet.
    pub(super) fn unseen(&self, scope: &Scope) -> Result<Vec<InstanceRow>, ArchiveError> {
        rows(&self.sight, scope)
    }

    /// Notes that an instance is shown.
    pub(super) fn note(&self, row: &InstanceRow) {
        trails::read(self.trail.as_ref(), row);
    }

    /// The row of one instance.
    ///
    /// # Errors
    /// `NotFound` or `Gone` when there is none.
    pub fn instance(&self, path: &InstancePath) -> Result<InstanceRow, ArchiveError> {
        match self.sight.instance(path)? {
            Some(row) => {
                self.note(&row);
                Ok(row)
            }
            None => Err(missing(&self.sight, &Scope::Instance(path.clone()))?),
        }
    }

    /// A file in one of its forms. What must be converted is only measured now
    /// and converted when its turn comes.
    ///
    /// # Errors
    /// When a storage fails.
    pub fn file(&self, row: &InstanceRow, form: FileForm) -> Result<Pieces, ArchiveError> {
        self.core.file_later(self.sight.raw(), row, form)
    }

    /// The CRC-32 of a file in one of its forms. Of one that goes out as it is
    /// stored it follows from the checksums of its chunks, without a read.
    ///
    /// # Errors
    /// When the catalog fails.
    pub fn crc(&self, row: &InstanceRow, form: FileForm) -> Result<Crc, ArchiveError> {
        if form != FileForm::AsStored || row.form != Form::Complete {
            return Ok(Crc::Later(Arc::new(Checksum::new(row.clone(), form))));
        }
        let mut whole = crc32fast::Hasher::new();
        let mut left = row.place.length;
        for chunk in self.sight.raw().chunks(row)?.0 {
            let length = left.min(CHUNK_BYTES);
            whole.combine(&crc32fast::Hasher::new_with_initial_len(chunk, length));
            left -= length;
        }
        Ok(Crc::Known(whole.finalize()))
    }

    /// The metadata of an instance as a data set. Values left in the file stay
    /// there.
    ///
    /// # Errors
    /// When the catalog fails or what it holds is damaged.
    pub fn data_set(&self, row: &InstanceRow) -> Result<DataSet, ArchiveError> {
        data_set(self.sight.raw(), row)
    }

    /// Where a SOP Instance UID is, of whatever study.
    ///
    /// # Errors
    /// When the catalog fails.
    pub fn locate(&self, instance: &InstanceUid) -> Result<Option<InstancePath>, ArchiveError> {
        self.sight.locate(instance)
    }

    /// The bytes of frames, `numbers` counting from 1: uncompressed ones in
    /// little endian, compressed ones as their codestream.
    ///
    /// # Errors
    /// `NotFound` when there is no such frame or no pixel data.
    pub fn frames(&self, row: &InstanceRow, numbers: &[u32]) -> Result<Vec<Pieces>, ArchiveError> {
        let reader = FrameReader::new(self.core, self.sight.raw(), row)?;
        numbers
            .iter()
            .map(|number| reader.one(number.checked_sub(1).ok_or(ArchiveError::NotFound("frame"))?))
            .collect()
    }

    /// A file with its frames in another form. Those are made ahead as far as
    /// `made` goes; a broken one is an error at the second look.
    ///
    /// # Errors
    /// When a storage fails or a frame is broken.
    pub fn file_with_frames(&self, image: &Arc<Image>, made: &Made) -> Result<Pieces, ArchiveError> {
        let lengths: Result<Vec<u64>, ArchiveError> =
            (0..image.frames()).map(|index| Ok(made.frame(image, index)?.length())).collect();
        let lengths = lengths?;
        if image.is_decoded() {
            return self.core.file_later(self.sight.raw(), image.row(), FileForm::Decoded);
        }
        self.core.file_with_frames(self.sight.raw(), image, &lengths)
    }

    /// For reads by a row.
    pub(super) fn snapshot(&self) -> &Snapshot {
        self.sight.raw()
    }

    /// A value left in the file, by the end of its BulkDataURI.
    ///
    /// # Errors
    /// `NotFound` when the instance has no such value.
    pub fn bulk(&self, row: &InstanceRow, path: &str) -> Result<BulkValue, ArchiveError> {
        self.core.bulk(self.sight.raw(), row, path)
    }

    /// The places of all values left in the file.
    ///
    /// # Errors
    /// When the catalog fails.
    pub fn bulk_paths(&self, row: &InstanceRow) -> Result<Vec<String>, ArchiveError> {
        Ok(self.sight.raw().bulks(row)?.into_iter().map(|bulk| bulk.path).collect())
    }

    /// Whether the pack is there that holds an instance. Cheap, and says nothing
    /// of the bytes.
    ///
    /// # Errors
    /// When it is lost or cannot be opened.
    pub fn find(&self, row: &InstanceRow) -> Result<(), ArchiveError> {
        self.core.packs.source(&row.place)?;
        Ok(())
    }

    /// Reads the first bytes of a body into memory, for [`Pieces::take_ready`].
    ///
    /// # Errors
    /// When what is stored is damaged or cannot be read.
    pub fn load(&self, pieces: &mut Pieces) -> Result<(), ArchiveError> {
        pieces.load(self.core, Decoding::LeftAlone)
    }
}

/// All rows of a scope.
fn rows(snapshot: &Sight<'_>, scope: &Scope) -> Result<Vec<InstanceRow>, ArchiveError> {
    let mut found = Vec::new();
    match scope {
        Scope::Instance(path) => found.extend(snapshot.instance(path)?),
        Scope::Series(path) => rows_of(snapshot, path, &mut found)?,
        Scope::Study(study) => {
            for series in snapshot.series_of(study)? {
                rows_of(snapshot, &series.path, &mut found)?;
            }
        }
    }
    if found.is_empty() { Err(missing(snapshot, scope)?) } else { Ok(found) }
}

fn rows_of(
    snapshot: &Sight<'_>,
    path: &SeriesPath,
    found: &mut Vec<InstanceRow>,
) -> Result<(), ArchiveError> {
    let mut after = None;
    loop {
        let page = snapshot.instances(path, after.as_ref(), ROW_PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.path.instance.clone());
        found.extend(page);
    }
}

/// Why there is nothing in a scope: never seen, or deleted (PS3.18 section 8.5).
pub(super) fn missing(snapshot: &Sight<'_>, scope: &Scope) -> Result<ArchiveError, ArchiveError> {
    Ok(if snapshot.is_gone(&scope.target())? {
        ArchiveError::Gone(scope.name())
    } else {
        ArchiveError::NotFound(scope.name())
    })
}

impl Core {
    /// A file whose conversion, if it needs one, is only measured now and done
    /// when its turn comes.
    fn file_later(
        &self,
        snapshot: &Snapshot,
        row: &InstanceRow,
        form: FileForm,
    ) -> Result<Pieces, ArchiveError> {
        let mut pieces = Pieces::new();
        if form == FileForm::AsStored && row.form == Form::Complete {
            let length = row.place.length;
            pieces.push_stored(&stored(snapshot, row, 0..length)?, 0..length);
        } else {
            let length = self.file(row, form)?.length();
            pieces.push_later(row.clone(), form, length);
        }
        Ok(pieces)
    }

    /// A file in one of its forms.
    pub(super) fn file(&self, row: &InstanceRow, form: FileForm) -> Result<Pieces, ArchiveError> {
        let snapshot = self.catalog.read()?;
        let whole = 0..row.place.length;
        let file = stored(&snapshot, row, whole.clone())?;
        let mut pieces = Pieces::new();
        if form == FileForm::AsStored && row.form == Form::Complete {
            pieces.push_stored(&file, whole);
            return Ok(pieces);
        }
        let source = CheckedSource::new(&self.packs, file.clone());
        let plan = match form {
            FileForm::AsStored => transcode::complete(&source, &self.limits)?,
            FileForm::ExplicitLittleEndian => transcode::explicit_little_endian(&source, &self.limits)?,
            FileForm::Decoded => {
                let image = Arc::new(Image::of(self, &snapshot, row, EXPLICIT_LITTLE)?);
                let lengths = if image.is_joined() {
                    vec![image.joined_bytes()]
                } else {
                    vec![image.described().frame_bytes(); image.frames() as usize]
                };
                return self.file_with_frames(&snapshot, &image, &lengths);
            }
        };
        Ok(Self::pieces_of(plan, &file, None))
    }

    /// A file with its frames in another form, of so many bytes each.
    fn file_with_frames(
        &self,
        snapshot: &Snapshot,
        image: &Arc<Image>,
        lengths: &[u64],
    ) -> Result<Pieces, ArchiveError> {
        let row = image.row();
        let file = stored(snapshot, row, 0..row.place.length)?;
        let source = CheckedSource::new(&self.packs, file.clone());
        let description = image.described();
        let derived = image.loss(lengths).map(|loss| -> Result<_, ArchiveError> {
            let set = data_set(snapshot, row)?;
            Ok(derived::with_loss(&set, image.derived_uid(&self.packs.key()), &loss))
        });
        let derived = derived.transpose()?;
        let replaced = transcode::Replaced {
            transfer_syntax: image.syntax(),
            photometric: description.photometric.name(),
            bits_allocated: description.bits_allocated,
            is_colour: description.samples_per_pixel > 1,
            frames: lengths,
            derived: derived.as_ref(),
        };
        let plan = transcode::with_frames(&source, &replaced, &self.limits)?;
        Ok(Self::pieces_of(plan, &file, Some(image)))
    }

    /// A plan as pieces of the stored file it was made from.
    pub(super) fn pieces_of(plan: Plan, file: &StoredFile, image: Option<&Arc<Image>>) -> Pieces {
        let mut pieces = Pieces::new();
        let inflated = plan.inflated.map(Arc::new);
        for segment in plan.segments {
            match (segment, &inflated) {
                (Segment::Bytes(bytes), _) => pieces.push_bytes(bytes),
                (Segment::Copy { offset, length }, None) => {
                    pieces.push_stored(file, offset..offset + length);
                }
                (Segment::Copy { offset, length }, Some(inflated)) => {
                    pieces.push_inflated(inflated, offset..offset + length);
                }
                (Segment::Swap { offset, length, width }, _) => {
                    pieces.push_swapped(file, offset..offset + length, width, offset);
                }
                (Segment::Frame { index, length }, _) => match image {
                    Some(image) if image.is_joined() => pieces.push_joined(image),
                    Some(image) => pieces.push_frame(image, index, length),
                    None => {}
                },
            }
        }
        pieces
    }

    pub(super) fn bulk(
        &self,
        snapshot: &Snapshot,
        row: &InstanceRow,
        path: &str,
    ) -> Result<BulkValue, ArchiveError> {
        let bulk = snapshot.bulk(row, path)?.ok_or(ArchiveError::NotFound("bulkdata"))?;
        let range = bulk.offset..bulk.offset + bulk.length;
        let mut pieces = Pieces::new();
        if let Some(text) = self.long_text(snapshot, row, path)? {
            let document_bytes = text.len() as u64;
            pieces.push_bytes(text.into_bytes());
            return Ok(BulkValue { pieces, media_type: None, document_bytes });
        }
        if path == PIXEL_DATA
            && let Frames::Video(span) = row.frames
        {
            let pieces = FrameReader::new(self, snapshot, row)?.frame(0, span)?;
            return Ok(BulkValue { document_bytes: pieces.length(), pieces, media_type: None });
        }
        if transfer_syntax::is_deflated(&row.transfer_syntax) {
            pieces.push_inflated(&Arc::new(self.inflate(snapshot, row)?), range);
        } else if transfer_syntax::is_big_endian(&row.transfer_syntax) {
            let width = word_bytes(snapshot, row, path)?;
            pieces.push_swapped(&stored(snapshot, row, range.clone())?, range.clone(), width, range.start);
        } else {
            pieces.push_stored(&stored(snapshot, row, range.clone())?, range);
        }
        let whole = pieces.length();
        if path != ENCAPSULATED_DOCUMENT {
            return Ok(BulkValue { pieces, media_type: None, document_bytes: whole });
        }
        let set = data_set(snapshot, row)?;
        let media_type = set.first_text(MIME_TYPE_OF_DOCUMENT).map(str::to_owned);
        let stated = set.first_int(ENCAPSULATED_DOCUMENT_LENGTH).and_then(|bytes| u64::try_from(bytes).ok());
        let document_bytes = match stated {
            Some(bytes) if bytes == whole || bytes + 1 == whole => bytes,
            None if media_type.as_deref().is_some_and(never_ends_with_zero) => {
                let last = pieces.slice(whole.saturating_sub(1)..whole).read_all(self)?;
                whole - u64::from(last == [0][..])
            }
            Some(_) | None => whole,
        };
        Ok(BulkValue { pieces, media_type, document_bytes })
    }

    fn inflate(&self, snapshot: &Snapshot, row: &InstanceRow) -> Result<Inflated, ArchiveError> {
        let source = CheckedSource::new(&self.packs, stored(snapshot, row, 0..row.place.length)?);
        let (_, inflated) = part10::parse_and_keep(&source, &self.limits)?;
        inflated.ok_or_else(|| ArchiveError::Damaged(format!("{} is not deflated any more", row.path)))
    }
}

pub(super) fn data_set(snapshot: &Snapshot, row: &InstanceRow) -> Result<DataSet, ArchiveError> {
    let metadata = snapshot.metadata_of(&row.path)?.unwrap_or_default();
    json::read(&metadata, json::Limits::OWN).map_err(|error| ArchiveError::Damaged(error.to_string()))
}

/// Documents of which a zero at the end is padding. A binary one, such as STL,
/// may well end so.
fn never_ends_with_zero(media_type: &str) -> bool {
    let media_type = media_type.trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || media_type.ends_with("xml")
        || matches!(media_type.as_str(), "application/pdf" | "model/obj" | "model/mtl")
}

/// Bytes of the words of which a big endian value consists. Only the
/// metadata tell it; Big Endian is retired and rare.
fn word_bytes(snapshot: &Snapshot, row: &InstanceRow, path: &str) -> Result<u8, ArchiveError> {
    let set = data_set(snapshot, row)?;
    // Of what stands in an item, the item tells: an icon has pixels of its own.
    let (set, tag) = place_of(&set, path);
    let vr = set.get(tag).map_or_else(|| attributes::vr(tag), |element| element.vr);
    Ok(transcode::word_bytes(tag, vr, set.first_int(BITS_ALLOCATED)))
}

/// The item, or the root, in which a path of bulk data ends, and the tag that it has there.
pub(super) fn place_of<'s>(set: &'s DataSet, path: &str) -> (&'s DataSet, Tag) {
    let tag_of = |name| attributes::by_name(name).unwrap_or(PIXEL_DATA_TAG);
    let (mut set, mut names) = (set, path.split('.'));
    let mut tag = tag_of(names.next().unwrap_or_default());
    while let (Some(item), Some(next)) = (names.next(), names.next()) {
        let index = item.parse::<usize>().unwrap_or(0).saturating_sub(1);
        let Some(item) = set.items(tag).get(index) else { break };
        (set, tag) = (item, tag_of(next));
    }
    (set, tag)
}

/// Makes pieces of the frames of one instance.
pub(super) struct FrameReader<'a> {
    core: &'a Core,
    snapshot: &'a Snapshot,
    row: &'a InstanceRow,
    inflated: Option<Arc<Inflated>>,
    swap: u8,
}

impl<'a> FrameReader<'a> {
    pub(super) fn new(
        core: &'a Core,
        snapshot: &'a Snapshot,
        row: &'a InstanceRow,
    ) -> Result<Self, ArchiveError> {
        let syntax = &row.transfer_syntax;
        let inflated = if transfer_syntax::is_deflated(syntax) {
            Some(Arc::new(core.inflate(snapshot, row)?))
        } else {
            None
        };
        let swap =
            if transfer_syntax::is_big_endian(syntax) { word_bytes(snapshot, row, PIXEL_DATA)? } else { 1 };
        Ok(Self { core, snapshot, row, inflated, swap })
    }

    /// One frame, counting from 0.
    pub(super) fn one(&self, index: u32) -> Result<Pieces, ArchiveError> {
        let span = self.snapshot.frame(self.row, index)?.ok_or(ArchiveError::NotFound("frame"))?;
        self.frame(index, span)
    }

    fn frame(&self, index: u32, span: FrameSpan) -> Result<Pieces, ArchiveError> {
        let mut pieces = Pieces::new();
        if span.fragments > 1 {
            for range in self.fragments(span)? {
                self.push(&mut pieces, range)?;
            }
            return Ok(pieces);
        }
        self.push(&mut pieces, span.offset..span.offset + span.length)?;
        match self.row.frames {
            Frames::Native { frame_bits, .. } if frame_bits % 8 != 0 => {
                let bytes = pieces.read_all(self.core)?;
                let shift = u64::from(index) * frame_bits % 8;
                let mut packed = Pieces::new();
                packed.push_bytes(repack(&bytes, shift, frame_bits));
                Ok(packed)
            }
            Frames::None
            | Frames::Native { .. }
            | Frames::Single(_)
            | Frames::Table { .. }
            | Frames::Video(_) => Ok(pieces),
        }
    }

    fn push(&self, pieces: &mut Pieces, range: Range<u64>) -> Result<(), ArchiveError> {
        match &self.inflated {
            Some(inflated) => pieces.push_inflated(inflated, range),
            None => {
                // A frame of an odd number of bytes, or of bits, shares a word with the next.
                let first = match self.row.frames {
                    Frames::Native { offset, .. } => offset,
                    Frames::None | Frames::Single(_) | Frames::Table { .. } | Frames::Video(_) => range.start,
                };
                let width = u64::from(self.swap);
                let start = first + (range.start - first) / width * width;
                let end = first + (range.end - first).next_multiple_of(width);
                let file = stored(self.snapshot, self.row, start..end)?;
                pieces.push_swapped(&file, range, self.swap, first);
            }
        }
        Ok(())
    }

    /// The values of the fragments in a span, without their item headers.
    fn fragments(&self, span: FrameSpan) -> Result<Vec<Range<u64>>, ArchiveError> {
        let end = span.offset + span.length;
        let mut at = span.offset;
        let mut ranges = Vec::with_capacity(span.fragments as usize);
        let file = stored(self.snapshot, self.row, span.offset..end)?;
        let source = CheckedSource::new(&self.core.packs, file);
        while at + 8 <= end {
            let mut header = [0; 8];
            let read = source.read_exact_at(&mut header, at);
            read.map_err(|error| ArchiveError::of_source(error, ArchiveError::Io))?;
            let [_, _, _, _, a, b, c, d] = header;
            let length = u64::from(u32::from_le_bytes([a, b, c, d]));
            let value = at + 8..at + 8 + length;
            if value.end > end {
                return Err(ArchiveError::Damaged(format!(
                    "an item of the pixel data of {} at byte {at} overruns its frame",
                    self.row.path
                )));
            }
            at = value.end;
            ranges.push(value);
        }
        Ok(ranges)
    }
}

/// The bits of one frame of a 1-bit image from bit 0 on (PS3.5 section 8.1.1
/// packs frames without a gap; PS3.18 section 8.7.3.3.1 unpacks them).
fn repack(bytes: &[u8], shift: u64, bits: u64) -> Vec<u8> {
    let length = usize::try_from(bits.div_ceil(8)).unwrap_or(0);
    let mut packed: Vec<u8> = (0..length)
        .map(|index| {
            let low = bytes.get(index).copied().unwrap_or(0);
            let high = bytes.get(index + 1).copied().unwrap_or(0);
            (u16::from_le_bytes([low, high]) >> shift).to_le_bytes()[0]
        })
        .collect();
    if let (Some(last), 1..) = (packed.last_mut(), bits % 8) {
        *last &= (1u16 << (bits % 8)).wrapping_sub(1).to_le_bytes()[0];
    }
    packed
}

/// A stored file with the checksums of a range of it.
pub(super) fn stored(
    snapshot: &Snapshot,
    row: &InstanceRow,
    range: Range<u64>,
) -> Result<StoredFile, ArchiveError> {
    let (first_chunk, checksums) = snapshot.chunks_of(row, range)?;
    Ok(StoredFile { place: row.place, first_chunk, checksums: checksums.into() })
}

#[cfg(test)]
mod tests {
    use super::repack;

    #[test]
    fn a_frame_of_bits_begins_at_bit_0() {
        // Two frames of 3×3 bits: 9 bits each, the second begins at bit 1 of byte 1.
        let first = repack(&[0b1111_1111, 0b0000_0001], 0, 9);
        assert_eq!(first, [0b1111_1111, 0b0000_0001]);
        let second = repack(&[0b0101_0100, 0b0000_0011], 1, 9);
        assert_eq!(second, [0b1010_1010, 0b0000_0001]);
    }
}
