//! JPEG 2000 (ISO 15444-1, -2 and -15): the main header of the code stream,
//! and the boxes of the file format if it stands in one, which DICOM leaves out
//! (PS3.5 section A.4.4).

use super::{Bitstream, BitstreamError, Bytes, Image, Kind, allocated};

const SEGMENTS_MAX: usize = 1024;
const BOXES_MAX: usize = 256;

const NAME: &str = "JPEG 2000";

/// What the main header says.
#[derive(Default)]
struct Headers {
    size: Option<(u32, u32, u16, u8)>,
    /// Progression order, multiple component transform, wavelet.
    coding: Option<(u8, u8, u8)>,
    has_capabilities: bool,
}

pub(super) fn describe(bytes: Bytes<'_>, kind: Kind) -> Result<Bitstream, BitstreamError> {
    let stream = code_stream(bytes)?.ok_or(BitstreamError::Not(NAME))?;
    let headers = main_header(stream)?.ok_or(BitstreamError::Not(NAME))?;
    let (Some((columns, rows, samples, depth)), Some((progression, transform, wavelet))) =
        (headers.size, headers.coding)
    else {
        return Err(BitstreamError::Not(NAME));
    };
    if headers.has_capabilities != (kind == Kind::HtJpeg2000) && kind != Kind::Jpx {
        let name = if headers.has_capabilities {
            "high-throughput JPEG 2000 stream"
        } else {
            "plain JPEG 2000 stream"
        };
        return Err(BitstreamError::Unsupported(name));
    }
    let is_reversible = wavelet == 1;
    let bits = u16::from(depth & 0x7F) + 1;
    let photometric = match (samples, transform, is_reversible) {
        (1, _, _) => "MONOCHROME2",
        (_, 0, _) => "RGB",
        (_, _, true) => "YBR_RCT",
        (_, _, false) => "YBR_ICT",
    };
    let image = match (u16::try_from(rows), u16::try_from(columns)) {
        (Ok(rows), Ok(columns)) if matches!(samples, 1 | 3) && bits <= 32 => Some(Image {
            rows,
            columns,
            samples,
            photometric,
            bits_allocated: allocated(bits),
            bits_stored: bits,
            is_signed: depth & 0x80 != 0,
            frames: None,
        }),
        _ => None,
    };
    let transfer_syntax = match (kind, is_reversible) {
        (Kind::HtJpeg2000, true) if progression == 2 => "1.2.840.10008.1.2.4.202",
        (Kind::HtJpeg2000, true) => "1.2.840.10008.1.2.4.201",
        (Kind::HtJpeg2000, false) => "1.2.840.10008.1.2.4.203",
        (Kind::Jpx, true) => "1.2.840.10008.1.2.4.92",
        (Kind::Jpx, false) => "1.2.840.10008.1.2.4.93",
        (_, true) => "1.2.840.10008.1.2.4.90",
        (_, false) => "1.2.840.10008.1.2.4.91",
    };
    Ok(Bitstream { stretch: stream.stretch, image, transfer_syntax: Some(transfer_syntax) })
}

/// A code stream with the capabilities marker of part 15.
pub(super) fn is_high_throughput(bytes: Bytes<'_>) -> std::io::Result<bool> {
    Ok(main_header(bytes)?.is_some_and(|headers| headers.has_capabilities))
}

/// The code stream in the boxes, or the bytes if they are one.
fn code_stream(bytes: Bytes<'_>) -> Result<Option<Bytes<'_>>, BitstreamError> {
    match bytes.array(0)? {
        Some([0xFF, 0x4F, 0xFF, 0x51]) => return Ok(Some(bytes)),
        Some([0, 0, 0, 12]) => {}
        Some(_) | None => return Ok(None),
    }
    let mut at = 0;
    for _ in 0..BOXES_MAX {
        let Some([a, b, c, d, kind @ ..]) = bytes.array::<8>(at)? else { return Ok(None) };
        let (header, length) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, bytes.len() - at),
            1 => match bytes.array(at + 8)?.map(u64::from_be_bytes) {
                Some(length) => (16, length),
                None => return Ok(None),
            },
            length => (8, u64::from(length)),
        };
        if length < header {
            return Ok(None);
        }
        match &kind {
            b"jp2c" => return Ok(Some(bytes.part(at + header, length - header))),
            b"jp2h" if has_palette(bytes.part(at + header, length - header))? => {
                return Err(BitstreamError::Unsupported("JPEG 2000 file with a palette"));
            }
            _ => {}
        }
        at = at.saturating_add(length);
    }
    Ok(None)
}

/// The samples are positions in a palette that is outside the code stream.
fn has_palette(header: Bytes<'_>) -> std::io::Result<bool> {
    Ok(memchr::memmem::find(&header.head(64 * 1024)?, b"pclr").is_some())
}

fn main_header(bytes: Bytes<'_>) -> std::io::Result<Option<Headers>> {
    let mut headers = Headers::default();
    let Some([0xFF, 0x4F]) = bytes.array(0)? else { return Ok(None) };
    let mut at = 2;
    for _ in 0..SEGMENTS_MAX {
        let Some([0xFF, marker, high, low]) = bytes.array(at)? else { return Ok(None) };
        let length = u64::from(u16::from_be_bytes([high, low]));
        match marker {
            0x51 => headers.size = size(bytes.part(at + 4, length))?,
            0x50 => headers.has_capabilities = true,
            0x52 => {
                let coding = bytes.array::<10>(at + 4)?;
                headers.coding = coding.map(|[_, progression, _, _, transform, _, _, _, _, wavelet]| {
                    (progression, transform, wavelet)
                });
            }
            // The first tile.
            0x90 => return Ok(Some(headers)),
            _ => {}
        }
        if length < 2 {
            return Ok(None);
        }
        at += 2 + length;
    }
    Ok(None)
}

/// Columns, rows, components, and depth with sign of the first.
fn size(segment: Bytes<'_>) -> std::io::Result<Option<(u32, u32, u16, u8)>> {
    let word = |at| segment.array(at).map(|bytes| bytes.map(u32::from_be_bytes));
    let (Some(right), Some(bottom), Some(left), Some(top)) = (word(2)?, word(6)?, word(10)?, word(14)?)
    else {
        return Ok(None);
    };
    let Some([high, low, depth]) = segment.array(34)? else { return Ok(None) };
    let (Some(columns), Some(rows)) = (right.checked_sub(left), bottom.checked_sub(top)) else {
        return Ok(None);
    };
    Ok(Some((columns, rows, u16::from_be_bytes([high, low]), depth)))
}
