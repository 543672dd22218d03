//! JPEG XL (ISO 18181-1): the size and the metadata at the start of the code
//! stream, which may stand in a container of boxes.

use super::{Bitstream, BitstreamError, Bytes, Image, allocated};

const NAME: &str = "JPEG XL";
const BOXES_MAX: usize = 64;
const HEAD_BYTES: usize = 64;

pub(super) fn describe(bytes: Bytes<'_>) -> Result<Bitstream, BitstreamError> {
    let stream = code_stream(bytes)?.ok_or(BitstreamError::Not(NAME))?;
    let head = stream.head(HEAD_BYTES)?;
    let mut bits = Bits { bytes: head.get(2..).unwrap_or_default(), at: 0 };
    let image = image(&mut bits);
    Ok(Bitstream { stretch: bytes.stretch, image, transfer_syntax: None })
}

/// The bare code stream, or the first of a container.
fn code_stream(bytes: Bytes<'_>) -> Result<Option<Bytes<'_>>, BitstreamError> {
    match bytes.array::<8>(0)? {
        Some([0xFF, 0x0A, ..]) => return Ok(Some(bytes)),
        Some([0, 0, 0, 12, b'J', b'X', b'L', b' ']) => {}
        Some(_) | None => return Ok(None),
    }
    let mut at = 0;
    for _ in 0..BOXES_MAX {
        let Some([a, b, c, d, kind @ ..]) = bytes.array::<8>(at)? else { return Ok(None) };
        let length = match u32::from_be_bytes([a, b, c, d]) {
            0 => bytes.len() - at,
            length => u64::from(length),
        };
        if length < 8 {
            return Ok(None);
        }
        match &kind {
            b"jxlc" => return Ok(Some(bytes.part(at + 8, length - 8))),
            // A part of the code stream, after its number.
            b"jxlp" => return Ok(Some(bytes.part(at + 12, length.saturating_sub(12)))),
            _ => {}
        }
        at += length;
    }
    Ok(None)
}

/// `SizeHeader` and the part of `ImageMetadata` up to the colours. None for
/// what few images have (extra channels, previews, animations).
fn image(bits: &mut Bits<'_>) -> Option<Image> {
    let small = bits.flag()?;
    let side = |bits: &mut Bits<'_>| {
        if small { Some((bits.take(5)? + 1) * 8) } else { bits.choose([(9, 1), (13, 1), (18, 1), (30, 1)]) }
    };
    let rows = side(bits)?;
    let columns = match bits.take(3)? {
        0 => side(bits)?,
        ratio => {
            let (wide, high) = [(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)]
                .get(ratio as usize - 1)
                .copied()?;
            u32::try_from(u64::from(rows) * wide / high).ok()?
        }
    };
    let (mut depth, mut samples) = (8, 3);
    if !bits.flag()? {
        if bits.flag()? {
            // Orientation, and three things that would follow.
            let orientation = bits.take(3)?;
            if orientation != 0 || bits.flag()? || bits.flag()? || bits.flag()? {
                return None;
            }
        }
        if bits.flag()? {
            return None;
        }
        depth = bits.choose([(0, 8), (0, 10), (0, 12), (6, 1)])?;
        let _buffers_of_16_bits = bits.flag()?;
        if bits.choose([(0, 0), (0, 1), (4, 2), (12, 1)])? != 0 {
            return None;
        }
        let _xyb = bits.flag()?;
        if !bits.flag()? {
            let _icc = bits.flag()?;
            let space = bits.choose([(0, 0), (0, 1), (4, 2), (6, 18)])?;
            samples = match space {
                0 => 3,
                1 => 1,
                _ => return None,
            };
        }
    }
    let depth = u16::try_from(depth).ok()?;
    Some(Image {
        rows: u16::try_from(rows).ok()?,
        columns: u16::try_from(columns).ok()?,
        samples,
        photometric: if samples == 1 { "MONOCHROME2" } else { "RGB" },
        bits_allocated: allocated(depth),
        bits_stored: depth,
        is_signed: false,
        frames: None,
    })
}

/// Bits from the lowest of the first byte on.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// Two bits choose how many more are the value, and what is added to it.
    fn choose(&mut self, kinds: [(usize, u32); 4]) -> Option<u32> {
        let (count, base) = kinds.get(self.take(2)? as usize).copied()?;
        self.take(count)?.checked_add(base)
    }
}
