//! What a picture is drawn from: the data set of an instance with those of its
//! large values that drawing needs, and its frames, decoded.

use std::sync::Arc;

use bytes::Bytes;
use dicom_dictionary_std::tags;

use crate::{
    archive::{ArchiveError, Core, pixels::Image},
    dicom::{DataSet, Tag, Value, json, transfer_syntax::EXPLICIT_LITTLE},
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
        let mut filler = Filler { core, snapshot, row, left: VALUES_BYTES_MAX };
        filler.fill(&mut set)?;
        let image = if row.frames.count() > 0 {
            Some(Arc::new(Image::of(core, snapshot, row, EXPLICIT_LITTLE)?))
        } else {
            None
        };
        let read = usize::try_from(VALUES_BYTES_MAX - filler.left).unwrap_or(usize::MAX);
        Ok(Self { set, image, bytes: metadata.len() * 3 + read })
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
