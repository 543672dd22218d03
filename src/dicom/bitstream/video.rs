//! Videos: the sequence header of MPEG-2, the boxes of an MP4 file (ISO
//! 14496-12), and raw HEVC, of which only the start is known.

use super::{Bitstream, BitstreamError, Bytes, Image};

const BOXES_MAX: usize = 4096;
/// Bytes in which a sequence header must come.
const SEARCHED_BYTES: usize = 256 * 1024;

fn image(columns: u16, rows: u16, bits: u16, frames: Option<u32>) -> Option<Image> {
    (rows > 0 && columns > 0).then_some(Image {
        rows,
        columns,
        samples: 3,
        photometric: "YBR_PARTIAL_420",
        bits_allocated: if bits > 8 { 16 } else { 8 },
        bits_stored: bits,
        is_signed: false,
        frames,
    })
}

pub(super) fn mpeg2(bytes: Bytes<'_>) -> Result<Bitstream, BitstreamError> {
    let head = bytes.head(SEARCHED_BYTES)?;
    let at = memchr::memmem::find(&head, &[0, 0, 1, 0xB3]).ok_or(BitstreamError::Not("MPEG-2"))?;
    let size = head.get(at + 4..at + 7).and_then(|size| <[u8; 3]>::try_from(size).ok());
    let [a, b, c] = size.ok_or(BitstreamError::Not("MPEG-2"))?;
    let columns = u16::from(a) << 4 | u16::from(b) >> 4;
    let rows = (u16::from(b) & 0xF) << 8 | u16::from(c);
    let main_level = columns <= 720 && rows <= 576;
    let transfer_syntax =
        Some(if main_level { "1.2.840.10008.1.2.4.100" } else { "1.2.840.10008.1.2.4.101" });
    Ok(Bitstream { stretch: bytes.stretch, image: image(columns, rows, 8, None), transfer_syntax })
}

/// Raw HEVC begins with a start code; its size stands in entropy-coded fields.
pub(super) fn hevc(bytes: Bytes<'_>) -> Result<Bitstream, BitstreamError> {
    if let Some([_, _, _, _, b'f', b't', b'y', b'p']) = bytes.array(0)? {
        return mp4(bytes);
    }
    let head = bytes.head(64)?;
    memchr::memmem::find(&head, &[0, 0, 1]).ok_or(BitstreamError::Not("H.265"))?;
    Ok(Bitstream { stretch: bytes.stretch, image: None, transfer_syntax: None })
}

pub(super) fn mp4(bytes: Bytes<'_>) -> Result<Bitstream, BitstreamError> {
    let Some([_, _, _, _, b'f', b't', b'y', b'p']) = bytes.array(0)? else {
        return mpeg4_stream(bytes);
    };
    let mut track = Track::default();
    let mut left = BOXES_MAX;
    boxes(bytes, &[], &mut track, &mut left)?;
    let (columns, rows) = track.size.unwrap_or_default();
    let image = image(columns, rows, if track.deep { 10 } else { 8 }, track.frames);
    Ok(Bitstream { stretch: bytes.stretch, image, transfer_syntax: track.transfer_syntax })
}

/// A transport stream, or the bare units of H.264.
fn mpeg4_stream(bytes: Bytes<'_>) -> Result<Bitstream, BitstreamError> {
    match bytes.array::<4>(0)? {
        Some([0x47, ..] | [0, 0, 1, _] | [0, 0, 0, 1]) => {
            Ok(Bitstream { stretch: bytes.stretch, image: None, transfer_syntax: None })
        }
        Some(_) | None => Err(BitstreamError::Not("MPEG-4")),
    }
}

/// The first video track.
#[derive(Default)]
struct Track {
    size: Option<(u16, u16)>,
    frames: Option<u32>,
    transfer_syntax: Option<&'static str>,
    /// More than 8 bits a sample.
    deep: bool,
}

/// Walks the boxes that lead to the sample tables. Bounded by `left` boxes in
/// all, and by the depth of the path.
fn boxes(bytes: Bytes<'_>, path: &[[u8; 4]], track: &mut Track, left: &mut usize) -> std::io::Result<()> {
    let mut at = 0;
    while let Some([a, b, c, d, kind @ ..]) = bytes.array::<8>(at)? {
        if *left == 0 {
            return Ok(());
        }
        *left -= 1;
        let (header, length) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, bytes.len() - at),
            1 => (16, bytes.array(at + 8)?.map_or(0, u64::from_be_bytes)),
            length => (8, u64::from(length)),
        };
        if length < header {
            return Ok(());
        }
        let inner = bytes.part(at + header, length - header);
        match (&kind, path.len()) {
            (b"moov", 0) | (b"trak", 1) | (b"mdia", 2) | (b"minf", 3) | (b"stbl", 4) => {
                boxes(inner, &[path, &[kind]].concat(), track, left)?;
            }
            (b"stsd", 5) => sample_description(inner, track)?,
            (b"stsz", 5) if track.size.is_some() && track.frames.is_none() => {
                track.frames = inner.array(8)?.map(u32::from_be_bytes).filter(|frames| *frames > 0);
            }
            _ => {}
        }
        at = at.saturating_add(length);
    }
    Ok(())
}

fn sample_description(bytes: Bytes<'_>, track: &mut Track) -> std::io::Result<()> {
    let Some(kind) = bytes.array::<4>(12)? else { return Ok(()) };
    let is_video = matches!(&kind, b"avc1" | b"avc3" | b"hvc1" | b"hev1" | b"mp4v");
    if !is_video || track.size.is_some() {
        return Ok(());
    }
    if let Some([a, b, c, d]) = bytes.array(40)? {
        track.size = Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
    }
    let head = bytes.head(64 * 1024)?;
    let after = |name: &[u8], skipped: usize, count: usize| {
        let at = memchr::memmem::find(&head, name)? + name.len() + skipped;
        head.get(at..at + count).map(<[u8]>::to_vec)
    };
    track.transfer_syntax = match &kind {
        b"avc1" | b"avc3" => after(b"avcC", 1, 3).and_then(|avc| match *avc.as_slice() {
            // Stereo High; else by the level.
            [128, _, _] => Some("1.2.840.10008.1.2.4.106"),
            [_, _, ..=41] => Some("1.2.840.10008.1.2.4.102"),
            [_, _, _] => Some("1.2.840.10008.1.2.4.104"),
            _ => None,
        }),
        b"hvc1" | b"hev1" => {
            after(b"hvcC", 1, 1).and_then(|hevc| match hevc.first().map(|first| first & 0x1F) {
                Some(1) => Some("1.2.840.10008.1.2.4.107"),
                Some(2) => {
                    track.deep = true;
                    Some("1.2.840.10008.1.2.4.108")
                }
                Some(_) | None => None,
            })
        }
        _ => None,
    };
    Ok(())
}
