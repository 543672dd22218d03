//! The row of an instance: a head that says where the bytes are, then what is
//! needed less often, each part only if it is small. Owns the split: a read of
//! a frame decodes the head and at most one block of frames, however many
//! frames, chunks or bulk values the instance has.
//!
//! Row = head (postcard), then summary, bulk list, chunks, metadata, each as
//! long as the head says (the metadata: the rest).

use serde::{Deserialize, Serialize};

use super::chosen::{self, Wanted};
use super::{CatalogError, keys, tables};
use crate::dicom::{Bulk, DataSet, FrameSpan, FrameTable, InstancePath};
use crate::storage::{Chunks, Digest, Place, Stamp};

/// The kinds of [`tables::PARTS`]; the block counts from 0 within a kind.
pub(super) mod part {
    /// postcard of up to [`super::FRAMES_PER_BLOCK`] frame spans.
    pub const FRAMES: u8 = 0;
    /// postcard of up to [`super::BULKS_PER_BLOCK`] bulk values, by path.
    pub const BULK: u8 = 1;
    /// Up to [`super::CHUNKS_PER_BLOCK`] CRCs, 4 bytes little endian each.
    pub const CHUNKS: u8 = 2;
    /// The compressed metadata, block 0.
    pub const METADATA: u8 = 3;
}

pub(super) const FRAMES_PER_BLOCK: usize = 256;
pub(super) const BULKS_PER_BLOCK: usize = 64;
pub(super) const CHUNKS_PER_BLOCK: usize = 512;
/// What is larger moves out of the row.
const CHUNKS_INLINE_MAX: usize = 64;
const BULKS_INLINE_MAX: usize = 2;
const METADATA_INLINE_MAX: usize = 1024;

/// How much of a Part 10 file the stored bytes are (PS3.10 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    Complete,
    /// Begins with the `DICM` of the prefix or with group 0002.
    NoPreamble,
    /// Only a data set.
    NoMeta,
}

/// What is to be known of the frames before one of them is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frames {
    None,
    /// See [`FrameTable::Native`].
    Native {
        offset: u64,
        frame_bits: u64,
        frames: u32,
    },
    /// Encapsulated, in one frame.
    Single(FrameSpan),
    /// Encapsulated; their places are in a table of their own.
    Table {
        frames: u32,
    },
    Video(FrameSpan),
}

impl Frames {
    /// How many there are; a video counts as none.
    #[must_use]
    pub fn count(&self) -> u32 {
        match self {
            Self::None | Self::Video(_) => 0,
            Self::Single(_) => 1,
            Self::Native { frames, .. } | Self::Table { frames } => *frames,
        }
    }

    fn of(table: &FrameTable) -> Self {
        match table {
            FrameTable::None => Self::None,
            FrameTable::Native { offset, frame_bits, frames } => {
                Self::Native { offset: *offset, frame_bits: *frame_bits, frames: *frames }
            }
            FrameTable::Encapsulated(spans) => match spans.as_slice() {
                [span] => Self::Single(*span),
                spans => Self::Table { frames: u32::try_from(spans.len()).unwrap_or(u32::MAX) },
            },
            FrameTable::Video(span) => Self::Video(*span),
        }
    }
}

/// An instance: where its bytes are and what they are.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceRow {
    pub path: InstancePath,
    /// Sequence number of the change that stored it: another version under the
    /// same path has another.
    pub seq: u64,
    pub stamp: Stamp,
    pub place: Place,
    pub digest: Digest,
    pub form: Form,
    pub transfer_syntax: String,
    pub sop_class: String,
    pub frames: Frames,
    pub(super) sections: Sections,
    /// Summary, bulk list and chunks, as far as they are in the row.
    pub(super) tail: Box<[u8]>,
}

/// What leads the row of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub seq: u64,
    pub stamp: Stamp,
    pub place: Place,
    pub digest: Digest,
    pub form: Form,
    pub transfer_syntax: ShortUid,
    pub sop_class: ShortUid,
    pub frames: Frames,
    pub sections: Sections,
    pub metadata_in_row: bool,
}

/// What stands between the head and the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sections {
    pub summary_bytes: u32,
    pub bulk: Listed,
    pub chunks: Listed,
}

impl Sections {
    fn bytes(self) -> usize {
        self.summary_bytes as usize + self.bulk.bytes() + self.chunks.bytes()
    }
}

/// Where a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Listed {
    /// In the row, in so many bytes.
    Row { bytes: u32 },
    /// In so many blocks of the table of parts.
    Blocks { blocks: u32 },
}

impl Listed {
    fn bytes(self) -> usize {
        match self {
            Self::Row { bytes } => bytes as usize,
            Self::Blocks { .. } => 0,
        }
    }
}

impl Head {
    /// Whether anything of the instance is in the table of parts.
    pub fn has_parts(&self) -> bool {
        !self.metadata_in_row
            || matches!(self.frames, Frames::Table { .. })
            || matches!(self.sections.bulk, Listed::Blocks { .. })
            || matches!(self.sections.chunks, Listed::Blocks { .. })
    }

    /// The head of a row and what follows it.
    pub fn read<'r>(key: &[u8], row: &'r [u8]) -> Result<(Self, &'r [u8]), CatalogError> {
        postcard::take_from_bytes(row).map_err(|source| CatalogError::Row {
            table: "instances",
            key: keys::show(key.get(8..).unwrap_or_default()),
            source,
        })
    }

    /// The checksums in what follows the head, if they are there.
    pub fn chunks<'r>(&self, rest: &'r [u8]) -> Option<&'r [u8]> {
        let Listed::Row { bytes } = self.sections.chunks else { return None };
        let start = self.sections.summary_bytes as usize + self.sections.bulk.bytes();
        rest.get(start..start + bytes as usize)
    }

    /// The compressed metadata in what follows the head, if it is there.
    pub fn metadata<'r>(&self, rest: &'r [u8]) -> Option<&'r [u8]> {
        if self.metadata_in_row { rest.get(self.sections.bytes()..) } else { None }
    }
}

/// A UID of which the root that nearly all of them share is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShortUid(String);

const DICOM_ROOT: &str = "1.2.840.10008.";
const ROOT_MARK: char = '~';

impl ShortUid {
    pub fn new(uid: &str) -> Self {
        match uid.strip_prefix(DICOM_ROOT) {
            Some(rest) => Self(format!("{ROOT_MARK}{rest}")),
            None => Self(uid.to_owned()),
        }
    }

    pub fn into_string(self) -> String {
        match self.0.strip_prefix(ROOT_MARK) {
            Some(rest) => format!("{DICOM_ROOT}{rest}"),
            None => self.0,
        }
    }
}

/// What the rows of a new instance are made from.
pub(super) struct Draft<'a> {
    pub seq: u64,
    pub stamp: Stamp,
    pub place: Place,
    pub digest: Digest,
    pub chunks: &'a Chunks,
    pub form: Form,
    pub transfer_syntax: &'a str,
    pub sop_class: &'a str,
    pub frames: &'a FrameTable,
    pub bulk: &'a [Bulk],
    pub summary: &'a DataSet,
    /// Compressed.
    pub metadata: &'a [u8],
}

/// A row, and what did not fit in, by kind and block.
pub(super) struct Written {
    pub row: Vec<u8>,
    pub parts: Vec<(u8, u32, Vec<u8>)>,
}

impl Draft<'_> {
    pub fn write(&self) -> Result<Written, CatalogError> {
        let mut parts = Vec::new();
        let summary = tables::encode("instances", self.summary)?;
        let (bulk, bulk_bytes) = self.write_bulk(&mut parts)?;
        let (chunks, chunk_bytes) = self.write_chunks(&mut parts);
        if let FrameTable::Encapsulated(spans) = self.frames
            && spans.len() > 1
        {
            for (block, spans) in (0..).zip(spans.chunks(FRAMES_PER_BLOCK)) {
                parts.push((part::FRAMES, block, tables::encode("parts", &spans)?));
            }
        }
        let metadata_in_row = self.metadata.len() <= METADATA_INLINE_MAX;
        let head = Head {
            seq: self.seq,
            stamp: self.stamp,
            place: self.place,
            digest: self.digest,
            form: self.form,
            transfer_syntax: ShortUid::new(self.transfer_syntax),
            sop_class: ShortUid::new(self.sop_class),
            frames: Frames::of(self.frames),
            sections: Sections { summary_bytes: length(summary.len()), bulk, chunks },
            metadata_in_row,
        };
        let mut row = tables::encode("instances", &head)?;
        row.extend_from_slice(&summary);
        row.extend_from_slice(&bulk_bytes);
        row.extend_from_slice(&chunk_bytes);
        if metadata_in_row {
            row.extend_from_slice(self.metadata);
        } else {
            parts.push((part::METADATA, 0, self.metadata.to_vec()));
        }
        Ok(Written { row, parts })
    }

    fn write_bulk(&self, parts: &mut Vec<(u8, u32, Vec<u8>)>) -> Result<(Listed, Vec<u8>), CatalogError> {
        // By path, so that one can be found among many blocks.
        let mut bulk: Vec<&Bulk> = self.bulk.iter().collect();
        bulk.sort_by(|a, b| a.path.cmp(&b.path));
        if bulk.len() <= BULKS_INLINE_MAX {
            let bytes = tables::encode("instances", &bulk)?;
            return Ok((Listed::Row { bytes: length(bytes.len()) }, bytes));
        }
        let mut blocks = 0;
        for bulk in bulk.chunks(BULKS_PER_BLOCK) {
            parts.push((part::BULK, blocks, tables::encode("parts", &bulk)?));
            blocks += 1;
        }
        Ok((Listed::Blocks { blocks }, Vec::new()))
    }

    fn write_chunks(&self, parts: &mut Vec<(u8, u32, Vec<u8>)>) -> (Listed, Vec<u8>) {
        let bytes = |crcs: &[u32]| crcs.iter().flat_map(|crc| crc.to_le_bytes()).collect::<Vec<u8>>();
        let Chunks(crcs) = self.chunks;
        if crcs.len() <= CHUNKS_INLINE_MAX {
            let bytes = bytes(crcs);
            return (Listed::Row { bytes: length(bytes.len()) }, bytes);
        }
        let mut blocks = 0;
        for crcs in crcs.chunks(CHUNKS_PER_BLOCK) {
            parts.push((part::CHUNKS, blocks, bytes(crcs)));
            blocks += 1;
        }
        (Listed::Blocks { blocks }, Vec::new())
    }
}

fn length(bytes: usize) -> u32 {
    // redb refuses values of 3 GiB and more before this could matter.
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The CRCs in a block.
pub(super) fn read_chunks(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).map(|crc| crc.try_into().map_or(0, u32::from_le_bytes))
}

impl InstanceRow {
    pub(super) fn read(path: InstancePath, key: &[u8], row: &[u8]) -> Result<Self, CatalogError> {
        let (head, rest) = Head::read(key, row)?;
        let tail = rest
            .get(..head.sections.bytes())
            .ok_or_else(|| CatalogError::Row {
                table: "instances",
                key: path.to_string(),
                source: postcard::Error::DeserializeUnexpectedEnd,
            })?
            .into();
        Ok(Self {
            path,
            seq: head.seq,
            stamp: head.stamp,
            place: head.place,
            digest: head.digest,
            form: head.form,
            transfer_syntax: head.transfer_syntax.into_string(),
            sop_class: head.sop_class.into_string(),
            frames: head.frames,
            sections: head.sections,
            tail,
        })
    }

    /// The attributes of the instance that searches look at.
    ///
    /// # Errors
    /// The row is damaged.
    pub fn summary(&self) -> Result<DataSet, CatalogError> {
        tables::decode("instances", self.path.to_string().as_bytes(), self.summary_bytes())
    }

    /// Of these attributes the ones that are wanted.
    ///
    /// # Errors
    /// The row is damaged.
    pub fn summary_of(&self, wanted: &Wanted<'_>) -> Result<DataSet, CatalogError> {
        chosen::read(self.summary_bytes(), wanted).map_err(|source| CatalogError::Row {
            table: "instances",
            key: self.path.to_string(),
            source,
        })
    }

    fn summary_bytes(&self) -> &[u8] {
        self.tail.get(..self.sections.summary_bytes as usize).unwrap_or_default()
    }

    pub(super) fn bulk_bytes(&self) -> &[u8] {
        let start = self.sections.summary_bytes as usize;
        self.tail.get(start..start + self.sections.bulk.bytes()).unwrap_or_default()
    }

    pub(super) fn chunk_bytes(&self) -> &[u8] {
        self.tail.get(self.sections.summary_bytes as usize + self.sections.bulk.bytes()..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_uids_are_short() {
        for uid in ["1.2.840.10008.1.2.1", "1.3.6.1.4.1.5962", "", "1.2.840.10008"] {
            assert_eq!(ShortUid::new(uid).into_string(), uid);
        }
        assert_eq!(ShortUid::new("1.2.840.10008.1.2.1").0, "~1.2.1");
    }
}
