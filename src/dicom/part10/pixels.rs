//! The frame table: where each frame of the top-level pixel data lies (PS3.5
//! sections 8.1.1, 8.2 and A.4, PS3.3 section C.7.6.3).
//!
//! Every span it gives lies inside the pixel data. What the attributes claim is
//! checked against what the bytes hold: an offset table that does not point at
//! fragments is ignored, a number of frames is never more than there are.

use std::collections::HashMap;

use dicom_core::VR;
use dicom_dictionary_std::tags;

use super::Limits;
use super::problem::{ReadError, Warning, Warnings};
use super::scan::{Pixels, Scanned};
use super::syntax::{PixelForm, Syntax};
use super::walk::{Fragment, Header};
use crate::dicom::dataset::{DataSet, Value};
use crate::dicom::frames::{FrameSpan, FrameTable};
use crate::dicom::source::Source;

const ITEM_HEADER: u64 = 8;

pub(crate) fn frame_table(
    source: &dyn Source,
    scanned: &Scanned,
    syntax: Syntax,
    warnings: &mut Warnings,
    limits: &Limits,
) -> Result<FrameTable, ReadError> {
    match &scanned.pixels {
        None => Ok(FrameTable::None),
        Some(Pixels::Native(header)) => {
            // A private syntax may do what it likes.
            if syntax.standard && syntax.pixels != PixelForm::Native {
                warnings.add(Warning::PixelForm);
            }
            Ok(native(&scanned.dataset, header, warnings))
        }
        Some(Pixels::Encapsulated(fragments)) => {
            if syntax.pixels == PixelForm::Native {
                warnings.add(Warning::PixelForm);
            }
            let pixels = Encapsulated { source, dataset: &scanned.dataset, fragments, limits };
            pixels.frame_table(syntax, warnings)
        }
    }
}

fn native(dataset: &DataSet, header: &Header, warnings: &mut Warnings) -> FrameTable {
    let Some(frame_bits) = native_frame_bits(dataset, header) else {
        warnings.add(Warning::NoDimensions);
        return FrameTable::None;
    };
    let held = header.length.saturating_mul(8) / frame_bits;
    let declared = declared_frames(dataset);
    // A frame more than declared is a lie, less than one frame is padding.
    let is_as_declared = declared.is_some_and(|declared| u64::try_from(declared) == Ok(held));
    if !is_as_declared {
        warnings.add(Warning::FrameCount { declared: declared.unwrap_or(0), held });
    }
    if held == 0 {
        return FrameTable::None;
    }
    let frames = match declared {
        Some(declared @ 1..) => held.min(declared.unsigned_abs()),
        Some(_) | None => held,
    };
    FrameTable::Native {
        offset: header.offset,
        frame_bits,
        frames: u32::try_from(frames).unwrap_or(u32::MAX),
    }
}

/// Bits of one frame as they lie in the file; none without dimensions.
fn native_frame_bits(dataset: &DataSet, header: &Header) -> Option<u64> {
    let number = |tag| dataset.first_int(tag).and_then(|number| u64::try_from(number).ok());
    let bits_allocated = match header.tag {
        tags::FLOAT_PIXEL_DATA => 32,
        tags::DOUBLE_FLOAT_PIXEL_DATA => 64,
        _ => number(tags::BITS_ALLOCATED)?,
    };
    let samples = number(tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    let photometric = dataset.first_text(tags::PHOTOMETRIC_INTERPRETATION);
    // Two pixels share their chrominance samples: four bytes for both.
    let samples = if samples == 3 && matches!(photometric, Some("YBR_FULL_422" | "YBR_PARTIAL_422")) {
        2
    } else {
        samples
    };
    let pixels = number(tags::ROWS)?.checked_mul(number(tags::COLUMNS)?)?;
    let bits = pixels.checked_mul(samples)?.checked_mul(bits_allocated)?;
    (bits > 0).then_some(bits)
}

/// Number of Frames; 1 if it is absent, none if it is no number.
fn declared_frames(dataset: &DataSet) -> Option<i64> {
    match dataset.get(tags::NUMBER_OF_FRAMES).map(|element| &element.value) {
        None | Some(Value::Empty) => Some(1),
        Some(_) => dataset.first_int(tags::NUMBER_OF_FRAMES),
    }
}

struct Encapsulated<'a> {
    source: &'a dyn Source,
    dataset: &'a DataSet,
    /// The first is the Basic Offset Table.
    fragments: &'a [Fragment],
    limits: &'a Limits,
}

impl Encapsulated<'_> {
    fn frame_table(&self, syntax: Syntax, warnings: &mut Warnings) -> Result<FrameTable, ReadError> {
        let declared = declared_frames(self.dataset);
        let data = self.data();
        if data.is_empty() {
            warnings.add(Warning::FrameCount { declared: declared.unwrap_or(0), held: 0 });
            return Ok(FrameTable::None);
        }
        if syntax.pixels == PixelForm::Video {
            return Ok(FrameTable::Video(span(data)));
        }
        let frames =
            declared.and_then(|declared| usize::try_from(declared).ok()).filter(|frames| *frames > 0);
        if let Some(spans) = self.by_extended_table(frames, warnings)? {
            return Ok(FrameTable::Encapsulated(spans));
        }
        if let Some(spans) = self.by_basic_table(frames, warnings)? {
            return Ok(FrameTable::Encapsulated(spans));
        }
        let one_each =
            || data.iter().map(|fragment| span(std::slice::from_ref(fragment))).collect::<Vec<_>>();
        let spans = match frames {
            Some(1) => vec![span(data)],
            Some(frames) if frames == data.len() => one_each(),
            Some(_) | None => {
                let by_marker = self.by_markers()?;
                let agrees = frames.is_none_or(|frames| frames == by_marker.len());
                if !agrees || frames.is_none() {
                    warnings.add(Warning::Fragments);
                    let held = by_marker.len() as u64;
                    warnings.add(Warning::FrameCount { declared: declared.unwrap_or(0), held });
                }
                // Nothing told the fragments apart: one each is the best guess.
                if by_marker.len() > 1 || agrees { by_marker } else { one_each() }
            }
        };
        Ok(FrameTable::Encapsulated(spans))
    }

    fn data(&self) -> &[Fragment] {
        self.fragments.get(1..).unwrap_or_default()
    }

    /// Place from which offset tables count: the first item after the Basic
    /// Offset Table.
    fn base(&self) -> u64 {
        self.data().first().map_or(0, |first| first.offset - ITEM_HEADER)
    }

    /// Extended Offset Table (PS3.3 section C.7.6.3.1.8): one fragment a frame,
    /// with its length without padding.
    fn by_extended_table(
        &self,
        frames: Option<usize>,
        warnings: &mut Warnings,
    ) -> Result<Option<Vec<FrameSpan>>, ReadError> {
        let offsets = self.table(tags::EXTENDED_OFFSET_TABLE)?;
        let lengths = self.table(tags::EXTENDED_OFFSET_TABLE_LENGTHS)?;
        let (Some(offsets), Some(lengths)) = (offsets, lengths) else { return Ok(None) };
        let starts = self.starts();
        let spans = offsets.iter().zip(&lengths).map(|(offset, length)| {
            let fragment = self.data().get(*starts.get(offset)?)?;
            let fits = *length > 0 && *length <= fragment.length;
            fits.then_some(FrameSpan { offset: fragment.offset, length: *length, fragments: 1 })
        });
        let is_complete =
            offsets.len() == lengths.len() && frames.is_none_or(|frames| frames == offsets.len());
        let spans = if is_complete { spans.collect::<Option<Vec<_>>>() } else { None };
        if spans.is_none() {
            warnings.add(Warning::OffsetTable);
        }
        Ok(spans)
    }

    /// The 64-bit numbers of an OV element, wherever it stands.
    fn table(&self, tag: dicom_core::Tag) -> Result<Option<Vec<u64>>, ReadError> {
        let Some(element) = self.dataset.get(tag) else { return Ok(None) };
        let bytes = match &element.value {
            Value::Unsigned(numbers) => return Ok(Some(numbers.clone())),
            Value::Inline(bytes) if element.vr != VR::SQ => bytes.clone(),
            Value::Bulk(bulk) if bulk.length <= self.limits.frames_max as u64 * 8 => {
                #[allow(clippy::cast_possible_truncation, reason = "bounded by the line above")]
                let mut bytes = vec![0; bulk.length as usize];
                self.source.read_exact_at(&mut bytes, bulk.offset)?;
                bytes
            }
            Value::Empty
            | Value::Text(_)
            | Value::Names(_)
            | Value::Signed(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_)
            | Value::Items(_)
            | Value::Inline(_)
            | Value::Bulk(_) => return Ok(None),
        };
        let number = |chunk: &[u8]| chunk.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Ok(Some(bytes.chunks_exact(8).map(number).collect()))
    }

    /// Basic Offset Table (PS3.5 section A.4): each frame's first fragment.
    fn by_basic_table(
        &self,
        frames: Option<usize>,
        warnings: &mut Warnings,
    ) -> Result<Option<Vec<FrameSpan>>, ReadError> {
        let Some(table) = self.fragments.first().filter(|table| table.length > 0) else { return Ok(None) };
        let spans = self.basic_table_spans(table, frames)?;
        if spans.is_none() {
            warnings.add(Warning::OffsetTable);
        }
        Ok(spans)
    }

    fn basic_table_spans(
        &self,
        table: &Fragment,
        frames: Option<usize>,
    ) -> Result<Option<Vec<FrameSpan>>, ReadError> {
        let entries = table.length / 4;
        let is_plausible = table.length.is_multiple_of(4)
            && entries <= self.data().len() as u64
            && frames.is_none_or(|frames| frames as u64 == entries);
        if !is_plausible {
            return Ok(None);
        }
        #[allow(
            clippy::cast_possible_truncation,
            reason = "not longer than there are fragments, which are limited"
        )]
        let mut bytes = vec![0; table.length as usize];
        self.source.read_exact_at(&mut bytes, table.offset)?;
        let starts = self.starts();
        let mut firsts = Vec::with_capacity(bytes.len() / 4);
        for chunk in bytes.chunks_exact(4) {
            let offset = chunk.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            match starts.get(&offset) {
                Some(first) if firsts.last().is_none_or(|last| last < first) => firsts.push(*first),
                Some(_) | None => return Ok(None),
            }
        }
        if firsts.first() != Some(&0) {
            return Ok(None);
        }
        Ok(Some(self.groups(&firsts)))
    }

    /// Fragments by their offset from the base.
    fn starts(&self) -> HashMap<u64, usize> {
        let base = self.base();
        let starts = self.data().iter().enumerate();
        starts.map(|(index, fragment)| (fragment.offset - ITEM_HEADER - base, index)).collect()
    }

    /// A fragment that starts with a codestream's first marker starts a frame.
    fn by_markers(&self) -> Result<Vec<FrameSpan>, ReadError> {
        let mut firsts = vec![0];
        for (index, fragment) in self.data().iter().enumerate().skip(1) {
            if starts_codestream(self.source, fragment)? {
                firsts.push(index);
            }
        }
        Ok(self.groups(&firsts))
    }

    /// Spans of fragments, each from one of `firsts` to before the next.
    fn groups(&self, firsts: &[usize]) -> Vec<FrameSpan> {
        let data = self.data();
        let ends = firsts.iter().skip(1).copied().chain([data.len()]);
        firsts.iter().zip(ends).map(|(first, end)| span(&data[*first..end])).collect()
    }
}

/// The span of one or more fragments that follow each other.
fn span(fragments: &[Fragment]) -> FrameSpan {
    match fragments {
        [] => FrameSpan { offset: 0, length: 0, fragments: 0 },
        [one] => FrameSpan { offset: one.offset, length: one.length, fragments: 1 },
        [first, .., last] => {
            let offset = first.offset - ITEM_HEADER;
            let fragments = u32::try_from(fragments.len()).unwrap_or(u32::MAX);
            FrameSpan { offset, length: last.offset + last.length - offset, fragments }
        }
    }
}

fn first_bytes(source: &dyn Source, fragment: &Fragment) -> Result<[u8; 12], ReadError> {
    let mut first = [0; 12];
    let count = fragment.length.min(12) as usize;
    source.read_exact_at(&mut first[..count], fragment.offset)?;
    Ok(first)
}

/// JPEG and JPEG-LS (SOI), JPEG 2000 (SOC, or its boxes), JPEG XL.
fn starts_codestream(source: &dyn Source, fragment: &Fragment) -> Result<bool, ReadError> {
    let first = first_bytes(source, fragment)?;
    Ok(first.starts_with(&[0xFF, 0xD8, 0xFF])
        || first.starts_with(&[0xFF, 0x4F, 0xFF, 0x51])
        || first.starts_with(&[0xFF, 0x0A])
        || first.starts_with(b"\0\0\0\x0cjP  ")
        || first.starts_with(b"\0\0\0\x0cJXL "))
}

/// The transfer syntax of encapsulated pixels without file meta information,
/// by their first codestream; none for native ones and what we cannot tell.
pub(crate) fn guess_syntax(source: &dyn Source, pixels: &Pixels) -> Result<Option<&'static str>, ReadError> {
    let Pixels::Encapsulated(fragments) = pixels else { return Ok(None) };
    let Some(fragment) = fragments.get(1) else { return Ok(None) };
    let mut bytes = vec![0; fragment.length.min(4096) as usize];
    source.read_exact_at(&mut bytes, fragment.offset)?;
    if bytes.starts_with(&[0xFF, 0x4F, 0xFF, 0x51]) {
        return Ok(Some("1.2.840.10008.1.2.4.91"));
    }
    if bytes.starts_with(&[0xFF, 0x0A]) {
        return Ok(Some("1.2.840.10008.1.2.4.112"));
    }
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        // An RLE header: a number of segments, the first right behind it.
        let is_rle = bytes.len() > 64 && matches!(bytes[..8], [1..=15, 0, 0, 0, 64, 0, 0, 0]);
        return Ok(if is_rle { Some("1.2.840.10008.1.2.5") } else { None });
    }
    Ok(jpeg_process(&bytes))
}

/// The start of frame marker tells the process of a JPEG stream.
fn jpeg_process(bytes: &[u8]) -> Option<&'static str> {
    let mut rest = bytes.get(2..)?;
    loop {
        let [0xFF, marker, high, low, ..] = *rest else { return None };
        match marker {
            0xC0 => return Some("1.2.840.10008.1.2.4.50"),
            0xC1 => return Some("1.2.840.10008.1.2.4.51"),
            0xC3 => return Some("1.2.840.10008.1.2.4.57"),
            0xF7 => return Some("1.2.840.10008.1.2.4.81"),
            _ => {}
        }
        rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..)?;
    }
}
