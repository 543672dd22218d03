//! A DICOM file that is not there yet (PS3.10): new bytes, and ranges of a
//! source that are copied when it is read. So gigabytes of pixels get another
//! envelope in kilobytes of memory, and the length is known beforehand.
//!
//! The writer knows headers, lengths and padding of Explicit VR Little Endian
//! (PS3.5 section 7.1.2), and nothing of where values come from.

use std::io::{self, Read};

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::part10::Inflated;
use super::source::Source;
use super::vr;

/// Who wrote the file meta information (0002,0012) and (0002,0013).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.109175899083519642146088038627999148073";
pub const IMPLEMENTATION_VERSION_NAME: &str = "HILUM";

/// A piece of the file to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Bytes(Vec<u8>),
    /// As they are stored.
    Copy {
        offset: u64,
        length: u64,
    },
    /// As they are stored, with the bytes of each word of `width` reversed.
    Swap {
        offset: u64,
        length: u64,
        width: u8,
    },
    /// A frame in another form than the stored one: whoever reads the plan has
    /// to make it. `index` counts from 0.
    Frame {
        index: u32,
        length: u64,
    },
}

/// A complete file, piece by piece.
#[derive(Debug)]
pub struct Plan {
    pub segments: Vec<Segment>,
    /// Bytes in all.
    pub length: u64,
    pub transfer_syntax: String,
    /// What the offsets count in; in the stored file if there is none.
    pub inflated: Option<Inflated>,
}

/// Writes a plan from its start to its end.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) pending: Vec<u8>,
    segments: Vec<Segment>,
    length: u64,
}

impl Writer {
    pub(super) fn preamble_and_meta(&mut self, sop_class: &str, sop_instance: &str, transfer_syntax: &str) {
        let mut meta = Writer::default();
        meta.long_header(tags::FILE_META_INFORMATION_VERSION, VR::OB, 2);
        meta.pending.extend([0, 1]);
        meta.text(tags::MEDIA_STORAGE_SOP_CLASS_UID, VR::UI, sop_class);
        meta.text(tags::MEDIA_STORAGE_SOP_INSTANCE_UID, VR::UI, sop_instance);
        meta.text(tags::TRANSFER_SYNTAX_UID, VR::UI, transfer_syntax);
        meta.text(tags::IMPLEMENTATION_CLASS_UID, VR::UI, IMPLEMENTATION_CLASS_UID);
        meta.text(tags::IMPLEMENTATION_VERSION_NAME, VR::SH, IMPLEMENTATION_VERSION_NAME);
        self.pending.extend([0; 128]);
        self.pending.extend(b"DICM");
        self.short_header(tags::FILE_META_INFORMATION_GROUP_LENGTH, VR::UL, 4);
        let length = u32::try_from(meta.pending.len()).expect("a few UIDs of 64 characters");
        self.pending.extend(length.to_le_bytes());
        self.pending.append(&mut meta.pending);
    }

    /// A short text of ours, padded.
    pub(super) fn text(&mut self, tag: Tag, vr: VR, text: &str) {
        let length = u16::try_from(text.len()).expect("a UID or a name of ours");
        self.short_header(tag, vr, length + length % 2);
        self.pending.extend(text.as_bytes());
        self.pad(u64::from(length), vr);
    }

    /// Undefined length, so that nothing need be known of what follows.
    pub(super) fn open(&mut self, tag: Tag, vr: VR) {
        self.long_header(tag, vr, u32::MAX);
    }

    pub(super) fn item(&mut self) {
        self.pending.extend([0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }

    pub(super) fn delimiter(&mut self, element: [u8; 2]) {
        self.pending.extend([0xFE, 0xFF, element[0], element[1], 0, 0, 0, 0]);
    }

    fn tag_and_vr(&mut self, tag: Tag, vr: VR) {
        self.pending.extend(tag.group().to_le_bytes());
        self.pending.extend(tag.element().to_le_bytes());
        self.pending.extend(vr.to_bytes());
    }

    pub(super) fn short_header(&mut self, tag: Tag, vr: VR, length: u16) {
        self.tag_and_vr(tag, vr);
        self.pending.extend(length.to_le_bytes());
    }

    pub(super) fn long_header(&mut self, tag: Tag, vr: VR, length: u32) {
        self.tag_and_vr(tag, vr);
        self.pending.extend([0, 0]);
        self.pending.extend(length.to_le_bytes());
    }

    pub(super) fn pad(&mut self, length: u64, vr: VR) {
        if length % 2 == 1 {
            self.pending.push(vr::padding(vr));
        }
    }

    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length + self.pending.len() as u64
    }

    pub(super) fn segment(&mut self, segment: Segment) {
        self.flush();
        self.length += segment.length();
        self.segments.push(segment);
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.length += self.pending.len() as u64;
            self.segments.push(Segment::Bytes(std::mem::take(&mut self.pending)));
        }
    }

    pub(super) fn into_plan(mut self, transfer_syntax: String, inflated: Option<Inflated>) -> Plan {
        self.flush();
        Plan { segments: self.segments, length: self.length, transfer_syntax, inflated }
    }
}

impl Segment {
    #[must_use]
    fn length(&self) -> u64 {
        match self {
            Segment::Bytes(bytes) => bytes.len() as u64,
            Segment::Copy { length, .. } | Segment::Swap { length, .. } | Segment::Frame { length, .. } => {
                *length
            }
        }
    }

    /// Fills `buffer` from `at` on, all of it inside the segment.
    #[allow(clippy::cast_possible_truncation, reason = "the buffer and a word at either end")]
    fn fill(&self, source: &dyn Source, buffer: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Segment::Bytes(bytes) => bytes.read_exact_at(buffer, at),
            Segment::Copy { offset, .. } => source.read_exact_at(buffer, offset + at),
            Segment::Frame { .. } => Err(io::Error::other("a plan of frames that were not made")),
            Segment::Swap { offset, length, width } => {
                let width = u64::from(*width).max(1);
                let start = at - at % width;
                let end = (at + buffer.len() as u64).next_multiple_of(width).min(*length);
                let mut words = vec![0; (end - start) as usize];
                source.read_exact_at(&mut words, offset + start)?;
                words.chunks_exact_mut(width as usize).for_each(<[u8]>::reverse);
                let skipped = (at - start) as usize;
                buffer.copy_from_slice(&words[skipped..skipped + buffer.len()]);
                Ok(())
            }
        }
    }
}

impl Plan {
    /// Reads the file to be, from the stored one the plan was made from.
    #[must_use]
    pub fn reader<'a>(&'a self, source: &'a dyn Source) -> PlanReader<'a> {
        let source = match &self.inflated {
            Some(inflated) => inflated,
            None => source,
        };
        PlanReader { segments: &self.segments, source, at: 0 }
    }
}

/// The file to be, as a stream of bytes.
pub struct PlanReader<'a> {
    /// Those not yet read to their end.
    segments: &'a [Segment],
    source: &'a dyn Source,
    /// Bytes read of the first segment.
    at: u64,
}

impl PlanReader<'_> {
    /// Goes on `count` bytes later without reading those between.
    pub fn skip(&mut self, mut count: u64) {
        while let Some((first, rest)) = self.segments.split_first() {
            let left = first.length() - self.at;
            if count < left {
                self.at += count;
                return;
            }
            count -= left;
            self.segments = rest;
            self.at = 0;
        }
    }
}

impl Read for PlanReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Words are swapped in a buffer of their own: bounded.
        let buffer_max = buffer.len().min(1 << 20);
        while let Some((first, rest)) = self.segments.split_first() {
            let left = first.length() - self.at;
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer_max);
            if left == 0 {
                self.segments = rest;
                self.at = 0;
                continue;
            }
            first.fill(self.source, &mut buffer[..count], self.at)?;
            self.at += count as u64;
            return Ok(count);
        }
        Ok(0)
    }
}
