//! RLE Lossless (PS3.5 annex G): each byte of each sample is a segment of its
//! own, packed by runs. All depths of whole bytes, and single bits.
//!
//! Invariant: decoding writes as many bytes as the data set describes, whatever
//! the segments say.

use super::{Description, PixelError};

const SEGMENTS_MAX: usize = 15;
const HEADER_BYTES: usize = 64;
const NAME: &str = "RLE";

/// Into samples of one pixel together, little endian.
pub fn decode(code: &[u8], description: &Description) -> Result<Vec<u8>, PixelError> {
    let offsets = segments(code)?;
    if description.bits_allocated == 1 {
        return single_bits(code, &offsets, description);
    }
    let width = usize::from(description.bits_allocated / 8);
    let samples = usize::from(description.samples_per_pixel);
    if offsets.len() != width * samples {
        return Err(PixelError::Mismatch(format!(
            "it has {} byte planes, the data set says {samples} samples of {width} bytes",
            offsets.len()
        )));
    }
    let pixels = in_memory(description.pixels())?;
    let mut planes = vec![0; pixels * width * samples];
    for (index, plane) in planes.chunks_exact_mut(pixels.max(1)).enumerate() {
        let end = offsets.get(index + 1).copied().unwrap_or(code.len());
        unpack(code, offsets[index]..end, plane)?;
    }
    Ok(together(planes, pixels, width, samples))
}

/// Byte planes, each sample's from its highest byte down, as samples.
fn together(planes: Vec<u8>, pixels: usize, width: usize, samples: usize) -> Vec<u8> {
    let count = width * samples;
    if count == 1 || pixels == 0 {
        return planes;
    }
    let mut bytes = vec![0; planes.len()];
    match (width, samples) {
        (2, 1) => {
            let (high, low) = planes.split_at(pixels);
            for (word, (high, low)) in bytes.chunks_exact_mut(2).zip(high.iter().zip(low)) {
                word.copy_from_slice(&[*low, *high]);
            }
        }
        (1, 3) => {
            let (red, others) = planes.split_at(pixels);
            let (green, blue) = others.split_at(pixels);
            for ((pixel, red), (green, blue)) in
                bytes.chunks_exact_mut(3).zip(red).zip(green.iter().zip(blue))
            {
                pixel.copy_from_slice(&[*red, *green, *blue]);
            }
        }
        _ => {
            for (index, plane) in planes.chunks_exact(pixels).enumerate() {
                let place = index / width * width + (width - 1 - index % width);
                for (pixel, value) in bytes.chunks_exact_mut(count).zip(plane) {
                    pixel[place] = *value;
                }
            }
        }
    }
    bytes
}

/// Single bits are packed into one segment of bytes before they are coded.
fn single_bits(code: &[u8], offsets: &[usize], description: &Description) -> Result<Vec<u8>, PixelError> {
    let [start] = offsets else {
        return Err(PixelError::Mismatch(format!("it has {} byte planes of single bits", offsets.len())));
    };
    let packed = in_memory(description.frame_bytes())?;
    let mut bytes = vec![0; packed];
    unpack(code, *start..code.len(), &mut bytes)?;
    Ok(bytes)
}

fn segments(code: &[u8]) -> Result<Vec<usize>, PixelError> {
    let word = |index: usize| -> Option<usize> {
        let bytes = code.get(index * 4..index * 4 + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let count = word(0).unwrap_or(0);
    if code.len() < HEADER_BYTES || count == 0 || count > SEGMENTS_MAX {
        return Err(PixelError::damaged(NAME, 0, "the header does not count its segments"));
    }
    let offsets: Vec<usize> = (1..=count).filter_map(word).collect();
    let rises = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let inside = offsets.iter().all(|offset| (HEADER_BYTES..=code.len()).contains(offset));
    if rises && inside {
        Ok(offsets)
    } else {
        Err(PixelError::damaged(NAME, 4, "the segments overlap or lie outside"))
    }
}

/// Fills a plane with the bytes of a segment. One that is too short is damage;
/// more than is needed is padding.
fn unpack(code: &[u8], range: std::ops::Range<usize>, plane: &mut [u8]) -> Result<(), PixelError> {
    let (start, segment) = (range.start, &code[range]);
    let (mut at, mut filled) = (0, 0);
    while filled < plane.len() {
        let Some(head) = segment.get(at) else {
            return Err(PixelError::damaged(
                NAME,
                start + at,
                format!("a segment ends after {filled} of {} bytes", plane.len()),
            ));
        };
        at += 1;
        let rest = &mut plane[filled..];
        match head {
            0..=127 => {
                let count = usize::from(*head) + 1;
                let literal = segment.get(at..).unwrap_or_default();
                let taken = count.min(literal.len()).min(rest.len());
                rest[..taken].copy_from_slice(&literal[..taken]);
                filled += taken;
                at += count;
            }
            129..=255 => {
                let value = *segment
                    .get(at)
                    .ok_or_else(|| PixelError::damaged(NAME, start + at, "a run has no value"))?;
                let count = (257 - usize::from(*head)).min(rest.len());
                rest[..count].fill(value);
                filled += count;
                at += 1;
            }
            128 => {}
        }
    }
    Ok(())
}

/// From the shape that [`decode`] gives.
pub fn encode(bytes: &[u8], description: &Description) -> Result<Vec<u8>, PixelError> {
    let single_bits = description.bits_allocated == 1;
    let width = if single_bits { 1 } else { usize::from(description.bits_allocated / 8) };
    let samples = if single_bits { 1 } else { usize::from(description.samples_per_pixel) };
    let planes = width * samples;
    if planes > SEGMENTS_MAX || (single_bits && description.samples_per_pixel != 1) {
        return Err(PixelError::Unsupported("RLE has at most 15 byte planes".to_owned()));
    }
    // Runs end with their row (PS3.5 section G.3.1).
    let row = if single_bits { bytes.len() } else { description.columns as usize };
    let mut code = vec![0; HEADER_BYTES];
    code[0] = planes as u8;
    let mut plane = Vec::with_capacity(bytes.len() / planes);
    for index in 0..planes {
        let (sample, byte) = (index / width, width - 1 - index % width);
        plane.clear();
        plane.extend(bytes.iter().skip(sample * width + byte).step_by(planes));
        let offset = u32::try_from(code.len())
            .map_err(|_| PixelError::Unsupported("RLE codes no frame of more than 4 GiB".to_owned()))?;
        code[4 + index * 4..8 + index * 4].copy_from_slice(&offset.to_le_bytes());
        for row in plane.chunks(row.max(1)) {
            pack(row, &mut code);
        }
        if code.len() % 2 == 1 {
            code.push(0);
        }
    }
    Ok(code)
}

/// PackBits: runs of two are left in a literal when they stand inside one.
fn pack(row: &[u8], code: &mut Vec<u8>) {
    let mut at = 0;
    let mut literal = 0;
    while at < row.len() {
        let run = row[at..].iter().take(128).take_while(|value| **value == row[at]).count();
        if run >= 3 || (run == 2 && literal == at) {
            flush(&row[literal..at], code);
            code.extend([(257 - run) as u8, row[at]]);
            literal = at + run;
        }
        at += run;
    }
    flush(&row[literal..], code);
}

fn flush(literal: &[u8], code: &mut Vec<u8>) {
    for chunk in literal.chunks(128) {
        code.push((chunk.len() - 1) as u8);
        code.extend(chunk);
    }
}

fn in_memory(length: u64) -> Result<usize, PixelError> {
    usize::try_from(length).map_err(|_| PixelError::TooLarge { bytes: length, limit: usize::MAX as u64 })
}
