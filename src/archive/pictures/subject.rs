//! What a picture is drawn from: the data set of an instance with those of its
//! large values that drawing needs, and its frames, decoded.

use std::sync::Arc;

use bytes::Bytes;
use dicom_dictionary_std::tags;

use crate::{
    archive::{ArchiveError, Core, checked::CheckedSource, pixels::Image, retrieve::stored},
    dicom::{
        DataSet, Tag, Value, json,
        part10::{self, ReadError},
        transfer_syntax::EXPLICIT_LITTLE,
        vr,
    },
    pixels::Description,
    storage::catalog::{InstanceRow, Snapshot},
};

/// Of a large value at most so much is read; tables and profiles are smaller,
/// and of a waveform the beginning is drawn.
const VALUE_BYTES_MAX: u64 = 16 << 20;
/// All large values of an instance.
const VALUES_BYTES_MAX: u64 = 64 << 20;

/// Large values that drawing needs, wherever they stand.
const NEEDED: [Tag; 9] = [
    tags::LUT_DATA,
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::ICC_PROFILE,
    tags::WAVEFORM_DATA,
];
const OVERLAY_DATA: u16 = 0x3000;

/// An instance, ready to be drawn.
pub struct Subject {
    pub set: DataSet,
    /// None: it has no pixels.
    image: Option<Arc<Image>>,
    /// About how much memory it takes.
    pub bytes: usize,
}

/// A frame and how it lies in memory.
pub struct Decoded<'a> {
    pub bytes: Bytes,
    pub description: &'a Description,
}

impl Subject {
    /// Blocks on storage: to be called from a pool.
    ///
    /// # Errors
    /// When what is stored is damaged or describes no image.
    pub fn read(core: &Core, snapshot: &Snapshot, row: &InstanceRow) -> Result<Self, ArchiveError> {
        let metadata = snapshot.metadata_of(&row.path)?.ok_or(ArchiveError::Gone("instance"))?;
        let mut set = json::read(&metadata, json::Limits::OWN)
            .map_err(|error| ArchiveError::Damaged(error.to_string()))?;
        let text_bytes = if has_long_values(&set) { long_values(core, snapshot, row, &mut set)? } else { 0 };
        let mut filler = Filler { core, snapshot, row, left: VALUES_BYTES_MAX };
        filler.fill(&mut set)?;
        let image = if row.frames.count() > 0 {
            Some(Arc::new(Image::of(core, snapshot, row, EXPLICIT_LITTLE)?))
        } else {
            None
        };
        let read = usize::try_from(VALUES_BYTES_MAX - filler.left).unwrap_or(usize::MAX);
        Ok(Self { set, image, bytes: metadata.len() * 3 + text_bytes + read })
    }

    /// One frame as it is stored, if that is a picture for any viewer: `number` as
    /// for [`Self::frame`], which it goes before.
    pub fn stored_picture(&self, core: &Core, number: u32) -> Result<Option<Vec<u8>>, ArchiveError> {
        match (&self.image, number.checked_sub(1)) {
            (Some(image), Some(index)) => core.stored_picture(image, index),
            _ => Ok(None),
        }
    }

    /// One decoded frame, `number` counting from 1. Blocks for as long as that
    /// takes: only for the pool of pixels.
    ///
    /// # Errors
    /// There is no such frame, or it cannot be decoded.
    pub fn frame(&self, core: &Core, number: u32) -> Result<Decoded<'_>, ArchiveError> {
        let image = self.image.as_ref().ok_or(ArchiveError::NotFound("pixel data"))?;
        let index = number.checked_sub(1).ok_or(ArchiveError::NotFound("frame"))?;
        Ok(Decoded { bytes: core.frame(image, index)?, description: image.described() })
    }
}

/// Whether texts or numbers were left in the file for their length.
fn has_long_values(set: &DataSet) -> bool {
    set.iter().any(|(_, element)| {
        if let Value::Items(items) = &element.value {
            return items.iter().any(has_long_values);
        }
        matches!(element.value, Value::Bulk(_)) && !vr::is_binary(element.vr)
    })
}

/// Puts long texts and lists of numbers into a data set, as the file has them, and says how
/// many bytes they are: a report without one of its texts reads as if nothing were there.
fn long_values(
    core: &Core,
    snapshot: &Snapshot,
    row: &InstanceRow,
    set: &mut DataSet,
) -> Result<usize, ArchiveError> {
    let file = stored(snapshot, row, 0..row.place.length)?;
    let limits = part10::Limits { text_bytes_max: VALUE_BYTES_MAX, ..core.limits };
    match part10::parse(&CheckedSource::new(&core.packs, file), &limits) {
        Ok(mut parsed) => Ok(take_long_values(set, &mut parsed.dataset)),
        // More than may be kept: what is left out stays so.
        Err(ReadError::Limit { .. }) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn take_long_values(set: &mut DataSet, whole: &mut DataSet) -> usize {
    let mut bytes = 0;
    for (tag, element) in set.iter_mut() {
        let Some(found) = whole.get_mut(tag) else { continue };
        match (&mut element.value, &mut found.value) {
            (Value::Items(items), Value::Items(whole)) => {
                bytes += items
                    .iter_mut()
                    .zip(whole)
                    .map(|(item, whole)| take_long_values(item, whole))
                    .sum::<usize>();
            }
            (value @ Value::Bulk(_), found)
                if !vr::is_binary(element.vr) && !matches!(found, Value::Bulk(_)) =>
            {
                *value = std::mem::replace(found, Value::Empty);
                bytes += size_of(value);
            }
            _ => {}
        }
    }
    bytes
}

/// About how much memory a value takes.
fn size_of(value: &Value) -> usize {
    match value {
        Value::Text(texts) => texts.iter().map(|text| text.len() + 24).sum(),
        Value::Signed(numbers) => numbers.len() * 8,
        Value::Unsigned(numbers) => numbers.len() * 8,
        Value::Float(numbers) => numbers.len() * 4,
        Value::Double(numbers) => numbers.len() * 8,
        Value::Empty
        | Value::Names(_)
        | Value::Tags(_)
        | Value::Items(_)
        | Value::Inline(_)
        | Value::Bulk(_) => 0,
    }
}

/// Puts the needed large values into a data set.
struct Filler<'a> {
    core: &'a Core,
    snapshot: &'a Snapshot,
    row: &'a InstanceRow,
    /// Bytes that may still be read.
    left: u64,
}

impl Filler<'_> {
    /// Nesting is bounded: the JSON was read under a limit.
    fn fill(&mut self, set: &mut DataSet) -> Result<(), ArchiveError> {
        for (tag, element) in set.iter_mut() {
            if let Value::Items(items) = &mut element.value {
                items.iter_mut().try_for_each(|item| self.fill(item))?;
            } else if let Value::Bulk(bulk) = &element.value
                && is_needed(tag)
            {
                // What was read from the metadata is a URL.
                let path = bulk.path.rsplit("/bulkdata/").next().unwrap_or_default();
                let pieces = self.core.bulk(self.snapshot, self.row, path)?.pieces;
                let wanted = pieces.length().min(VALUE_BYTES_MAX).min(self.left);
                self.left -= wanted;
                element.value = Value::Inline(pieces.slice(0..wanted).read_all(self.core)?.to_vec());
            }
        }
        Ok(())
    }
}

fn is_needed(tag: Tag) -> bool {
    NEEDED.contains(&tag) || (tag.group() & 0xFFE1 == 0x6000 && tag.element() == OVERLAY_DATA)
}
