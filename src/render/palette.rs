//! Palette colour look-up tables, plain and segmented (PS3.3 sections C.7.6.3.1.5,
//! C.7.6.3.1.6 and C.7.9.2).

use dicom_dictionary_std::tags;

use super::{
    Image, RenderError, functional::FrameAttributes, lut::Descriptor, lut::Lut, stored::Stored, values,
};
use crate::{
    dicom::{DataSet, Tag},
    pixels::Description,
};

/// Three tables of eight bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Palette {
    first: i64,
    /// Invariant: not empty.
    colors: Vec<[u8; 3]>,
}

const RED: [Tag; 3] = [
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
];
const GREEN: [Tag; 3] = [
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
];
const BLUE: [Tag; 3] = [
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
    tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
];

impl Palette {
    /// The colour of a part of the palette's range: 0 its first, 255 its last.
    #[must_use]
    pub fn part(&self, part: u8) -> [u8; 3] {
        self.colors[usize::from(part) * (self.colors.len() - 1) / 255]
    }

    /// The palette of a data set; `None` when it has none.
    ///
    /// # Errors
    /// A table is missing, empty, or its segments make no sense.
    pub fn read(set: &DataSet, signed: bool) -> Result<Option<Self>, RenderError> {
        let Some(head) = Descriptor::read(set, RED[0], signed) else { return Ok(None) };
        let [red, green, blue] = [RED, GREEN, BLUE].map(|tags| channel(set, tags, signed));
        let (red, green, blue) = (red?, green?, blue?);
        let colors = (0..head.entries.min(red.len().max(1)))
            .map(|at| {
                let of = |table: &[u8]| table.get(at).or(table.last()).copied().unwrap_or(0);
                [of(&red), of(&green), of(&blue)]
            })
            .collect();
        Ok(Some(Self { first: head.first, colors }))
    }

    /// The stored value that has the first colour.
    #[must_use]
    pub fn first(&self) -> i64 {
        self.first
    }

    /// The colour of a stored value.
    #[must_use]
    pub fn at(&self, value: i64) -> [u8; 3] {
        let last = self.colors.len() - 1;
        self.colors[usize::try_from((value - self.first).max(0)).unwrap_or(last).min(last)]
    }
}

/// Draws a PALETTE COLOR frame.
///
/// # Errors
/// The palette is missing or the pixels do not fit.
pub fn draw(
    bytes: &[u8],
    description: &Description,
    attributes: &FrameAttributes<'_>,
) -> Result<Image, RenderError> {
    let palette = Palette::read(attributes.set, description.is_signed())?.ok_or_else(|| {
        RenderError::Inconsistent(
            "it is PALETTE COLOR and has no Red Palette Color Lookup Table (0028,1101)".to_owned(),
        )
    })?;
    let Stored::Codes { codes, offset, .. } = Stored::read(bytes, description)? else {
        return Err(RenderError::Unsupported("a palette of more than 16 bits is not rendered".to_owned()));
    };
    let data = codes.iter().flat_map(|code| palette.at(i64::from(*code) - offset)).collect();
    Ok(Image::rgb(description.columns, description.rows, data))
}

/// One of the three tables, in eight bits.
fn channel(
    set: &DataSet,
    [descriptor, plain, segmented]: [Tag; 3],
    signed: bool,
) -> Result<Vec<u8>, RenderError> {
    let Some(head) = Descriptor::read(set, descriptor, signed) else {
        return Err(RenderError::Inconsistent(format!("the palette has no descriptor {descriptor}")));
    };
    let lut = match (values::bytes(set, plain), values::bytes(set, segmented)) {
        (Some(bytes), _) => Lut::of(head, &bytes)?,
        (None, Some(bytes)) => Lut { first: head.first, entries: expand(&bytes, head)?, bits: head.bits },
        (None, None) => return Err(RenderError::Inconsistent(format!("the palette has no data {plain}"))),
    };
    // Tables that say 16 bits and never pass 255 are of 8.
    let eight = lut.bits <= 8 || lut.entries.iter().all(|entry| *entry <= 0xFF);
    let shift = if eight { 0 } else { u32::from(lut.full_scale()).ilog2().saturating_sub(7) };
    Ok(lut.entries.iter().map(|entry| (entry >> shift).to_le_bytes()[0]).collect())
}

/// Expands the segments of a table (PS3.3 section C.7.9.2): 0 discrete, 1
/// linear, 2 indirect, which repeats segments that stand earlier.
fn expand(bytes: &[u8], head: Descriptor) -> Result<Vec<u16>, RenderError> {
    let wide = head.bits > 8;
    let words: Vec<u16> = if wide {
        bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
    } else {
        bytes.iter().map(|byte| u16::from(*byte)).collect()
    };
    let mut entries = Vec::with_capacity(head.entries);
    segments(&words, wide, 0, None, head.entries, &mut entries)?;
    if entries.is_empty() {
        return Err(broken("it has no segments"));
    }
    entries.truncate(head.entries);
    Ok(entries)
}

/// Appends the entries of the segments from `at` on: `count` of them, or all.
fn segments(
    words: &[u16],
    wide: bool,
    mut at: usize,
    count: Option<u16>,
    entries_max: usize,
    entries: &mut Vec<u16>,
) -> Result<(), RenderError> {
    let mut left = count;
    while at + 1 < words.len() && left != Some(0) && entries.len() < entries_max {
        let (kind, length) = (words[at], usize::from(words[at + 1]));
        at += 2;
        match kind {
            0 => {
                let discrete = words.get(at..at + length).ok_or_else(|| broken("a segment is cut off"))?;
                entries.extend_from_slice(discrete);
                at += length;
            }
            1 => {
                let end = *words.get(at).ok_or_else(|| broken("a segment is cut off"))?;
                let start = entries.last().copied().ok_or_else(|| broken("a line begins nowhere"))?;
                let (start, end) = (f64::from(start), f64::from(end));
                entries.extend((1..=length).map(|step| {
                    let value = (end - start).mul_add(step as f64 / length as f64, start).round();
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two")]
                    let entry = value as u16;
                    entry
                }));
                at += 1;
            }
            // Within another one it would be endless.
            2 if count.is_none() => {
                // A byte offset of 32 bits, in two words or in four.
                let (length_of_offset, shift) = if wide { (2, 16) } else { (4, 8) };
                let offset =
                    words.get(at..at + length_of_offset).ok_or_else(|| broken("a segment is cut off"))?;
                let offset = offset.iter().rev().fold(0, |sum, word| sum << shift | usize::from(*word));
                let offset = if wide { offset / 2 } else { offset };
                let repeats = u16::try_from(length).unwrap_or(u16::MAX);
                segments(words, wide, offset, Some(repeats), entries_max, entries)?;
                at += length_of_offset;
            }
            _ => return Err(broken("a segment is of an unknown kind")),
        }
        left = left.map(|left| left - 1);
    }
    Ok(())
}

fn broken(why: &str) -> RenderError {
    RenderError::Inconsistent(format!("a segmented palette cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::{Element, VR, Value};

    #[test]
    fn rnd_10_segments_are_expanded() {
        let head = Descriptor { entries: 12, first: 0, bits: 16 };
        // Two discrete values, a line of four to 500, and both again.
        let words: [u16; 14] = [0, 2, 10, 100, 1, 4, 500, 2, 2, 0, 0, 0, 1, 7];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let entries = expand(&bytes, head).expect("valid");
        assert_eq!(entries, [10, 100, 200, 300, 400, 500, 10, 100, 200, 300, 400, 500]);
        let endless: Vec<u8> = [2_u16, 1, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        assert!(expand(&endless, head).is_err());
    }

    #[test]
    fn rnd_10_sixteen_bit_palettes_keep_their_upper_bits() {
        let mut set = DataSet::new();
        for (tags, value) in [(RED, 0xFF00_u64), (GREEN, 0x8000), (BLUE, 0x0100)] {
            set.put(tags[0], Element::new(VR::US, Value::Unsigned(vec![2, 5, 16])));
            set.put(tags[1], Element::new(VR::US, Value::Unsigned(vec![0, value])));
        }
        let palette = Palette::read(&set, false).expect("valid").expect("one");
        assert_eq!((palette.at(4), palette.at(6), palette.at(99)), ([0; 3], [255, 128, 1], [255, 128, 1]));
    }
}
