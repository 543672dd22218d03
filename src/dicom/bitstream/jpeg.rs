//! JPEG (ISO 10918-1) and JPEG-LS (ISO 14495-1): the markers up to the first
//! scan.

use super::{Bitstream, BitstreamError, Bytes, Image, allocated};

/// Segments before the first scan; pages of metadata take some.
const SEGMENTS_MAX: usize = 4096;

/// What the markers before the first scan say.
#[derive(Default)]
struct Headers {
    /// Marker, precision, rows, columns.
    frame: Option<(u8, u16, u16, u16)>,
    /// Identifier and sampling factors of each component.
    components: Vec<(u8, u8)>,
    /// Transform of the Adobe segment: 0 none, 1 `YCbCr`.
    adobe: Option<u8>,
    jfif: bool,
    /// Ss of the first scan: the predictor (lossless), NEAR (JPEG-LS).
    scan: Option<u8>,
}

pub(super) fn describe(bytes: Bytes<'_>, ls: bool) -> Result<Bitstream, BitstreamError> {
    let name = if ls { "JPEG-LS" } else { "JPEG" };
    let headers = headers(bytes)?.ok_or(BitstreamError::Not(name))?;
    let Some((marker, precision, rows, columns)) = headers.frame else {
        return Err(BitstreamError::Not(name));
    };
    if ls != (marker == 0xF7) {
        return Err(BitstreamError::Not(name));
    }
    let samples = u16::try_from(headers.components.len()).unwrap_or(u16::MAX);
    // Lines that only a DNL marker counts: the metadata must say them.
    let is_known = rows > 0 && columns > 0 && matches!(samples, 1 | 3) && (2..=16).contains(&precision);
    let image = is_known.then(|| Image {
        rows,
        columns,
        samples,
        photometric: photometric(&headers, marker),
        bits_allocated: allocated(precision),
        bits_stored: precision,
        is_signed: false,
        frames: None,
    });
    let transfer_syntax = match (marker, headers.scan) {
        (0xC0, _) => Some("1.2.840.10008.1.2.4.50"),
        (0xC1, _) => Some("1.2.840.10008.1.2.4.51"),
        (0xC2, _) => Some("1.2.840.10008.1.2.4.55"),
        (0xC3, Some(1)) => Some("1.2.840.10008.1.2.4.70"),
        (0xC3, _) => Some("1.2.840.10008.1.2.4.57"),
        (0xF7, Some(0)) => Some("1.2.840.10008.1.2.4.80"),
        (0xF7, Some(_)) => Some("1.2.840.10008.1.2.4.81"),
        _ => None,
    };
    Ok(Bitstream { stretch: bytes.stretch, image, transfer_syntax })
}

/// PS3.5 section 8.2.1 and 8.2.3.
fn photometric(headers: &Headers, marker: u8) -> &'static str {
    if headers.components.len() == 1 {
        return "MONOCHROME2";
    }
    let is_named_rgb = headers.components.iter().map(|(name, _)| *name).eq(*b"RGB");
    let is_lossy = matches!(marker, 0xC0..=0xC2);
    let is_rgb = match headers.adobe {
        Some(transform) => transform == 0,
        None => is_named_rgb || (!is_lossy && !headers.jfif),
    };
    match (is_rgb, is_lossy) {
        (true, _) => "RGB",
        (false, true) => "YBR_FULL_422",
        (false, false) => "YBR_FULL",
    }
}

fn headers(bytes: Bytes<'_>) -> Result<Option<Headers>, BitstreamError> {
    let mut headers = Headers::default();
    let Some([0xFF, 0xD8]) = bytes.array(0)? else { return Ok(None) };
    let mut at = 2;
    for _ in 0..SEGMENTS_MAX {
        let Some([0xFF, marker]) = bytes.array(at)? else { return Ok(None) };
        // Fill bytes, and markers without a segment.
        if marker == 0xFF {
            at += 1;
            continue;
        }
        if matches!(marker, 0x01 | 0xD0..=0xD7) {
            at += 2;
            continue;
        }
        let Some(length) = bytes.array(at + 2)?.map(u16::from_be_bytes) else { return Ok(None) };
        if length < 2 {
            return Ok(None);
        }
        let segment = bytes.part(at + 4, u64::from(length) - 2).head(64 * 1024)?;
        match marker {
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7 => {
                take_frame(&mut headers, marker, &segment);
            }
            0xDA => {
                let components = usize::from(segment.first().copied().unwrap_or(0));
                headers.scan = segment.get(1 + 2 * components).copied();
                return Ok(Some(headers));
            }
            0xD9 => return Ok(None),
            0xE0 => headers.jfif |= segment.starts_with(b"JFIF\0"),
            0xEE if segment.starts_with(b"Adobe") => headers.adobe = segment.get(11).copied(),
            _ => {}
        }
        at += 2 + u64::from(length);
    }
    Ok(None)
}

fn take_frame(headers: &mut Headers, marker: u8, segment: &[u8]) {
    let [precision, a, b, c, d, components, ref rest @ ..] = *segment else { return };
    let rows = u16::from_be_bytes([a, b]);
    let columns = u16::from_be_bytes([c, d]);
    headers.frame = Some((marker, u16::from(precision), rows, columns));
    headers.components =
        rest.chunks_exact(3).take(usize::from(components)).map(|part| (part[0], part[1])).collect();
}
