//! Marker segments up to the first scan: what the frame is, before anything is
//! decoded.

use super::{super::PixelError, NAME, huffman::Table};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    Sequential,
    Progressive,
    Lossless,
}

#[derive(Debug, Clone, Copy)]
pub struct Component {
    pub name: u8,
    /// Sampling factors, 1 to 4.
    pub horizontal: usize,
    pub vertical: usize,
    pub quantization: usize,
}

#[derive(Debug, Clone)]
pub struct Frame {
    pub process: Process,
    pub precision: u16,
    pub rows: u32,
    pub columns: u32,
    pub components: Vec<Component>,
    pub is_jfif: bool,
    pub adobe_transform: Option<u8>,
}

impl Frame {
    /// Three components that are called R, G and B.
    pub fn is_named_rgb(&self) -> bool {
        self.components.iter().map(|component| component.name).eq(*b"RGB")
    }
}

/// One marker and the bytes of its segment.
pub struct Segment<'a> {
    pub marker: u8,
    pub bytes: &'a [u8],
    /// Where the marker stands, and where the segment ends.
    pub at: usize,
    pub end: usize,
}

/// The next segment at or after `at`; bytes that are no marker are passed over.
pub fn next(code: &[u8], mut at: usize) -> Result<Segment<'_>, PixelError> {
    loop {
        let found = code.get(at..).and_then(|rest| memchr::memchr(0xFF, rest));
        at += found.ok_or_else(|| PixelError::damaged(NAME, at, "it ends before its last marker"))?;
        match code.get(at + 1) {
            Some(0x00 | 0xFF) => at += 1,
            Some(marker @ (0x01 | 0xD0..=0xD9)) => {
                return Ok(Segment { marker: *marker, bytes: &[], at, end: at + 2 });
            }
            Some(marker) => {
                let length = code
                    .get(at + 2..at + 4)
                    .map_or(0, |bytes| usize::from(bytes[0]) << 8 | usize::from(bytes[1]));
                let bytes = code.get(at + 4..at + 2 + length).filter(|_| length >= 2);
                let bytes =
                    bytes.ok_or_else(|| PixelError::damaged(NAME, at, "a marker segment is cut off"))?;
                return Ok(Segment { marker: *marker, bytes, at, end: at + 2 + length });
            }
            None => return Err(PixelError::damaged(NAME, at, "it ends before its last marker")),
        }
    }
}

/// Reads the frame header.
pub fn frame(code: &[u8]) -> Result<Frame, PixelError> {
    if !code.starts_with(&[0xFF, 0xD8]) {
        return Err(PixelError::damaged(NAME, 0, "it does not begin as a JPEG does"));
    }
    let (mut at, mut is_jfif, mut adobe_transform) = (2, false, None);
    let mut frame = loop {
        let segment = next(code, at)?;
        at = segment.end;
        match segment.marker {
            0xE0 if segment.bytes.starts_with(b"JFIF") => is_jfif = true,
            0xEE if segment.bytes.starts_with(b"Adobe") => adobe_transform = segment.bytes.get(11).copied(),
            0xC0 | 0xC1 => break header(&segment, Process::Sequential)?,
            0xC2 => break header(&segment, Process::Progressive)?,
            0xC3 => break header(&segment, Process::Lossless)?,
            0xF7 => {
                return Err(PixelError::damaged(NAME, segment.at, "it is a JPEG-LS code stream, not a JPEG"));
            }
            0xC5..=0xC7 | 0xCD..=0xCF | 0xDE => {
                return Err(PixelError::Unsupported("hierarchical JPEG".to_owned()));
            }
            0xC9..=0xCB => return Err(PixelError::Unsupported("JPEG with arithmetic coding".to_owned())),
            0xD9 | 0xDA => {
                return Err(PixelError::damaged(NAME, segment.at, "no frame header before the first scan"));
            }
            _ => {}
        }
    };
    // An Adobe marker may also stand after the frame header.
    while let Ok(segment) = next(code, at) {
        match segment.marker {
            0xEE if segment.bytes.starts_with(b"Adobe") => adobe_transform = segment.bytes.get(11).copied(),
            0xDA | 0xD9 => break,
            _ => {}
        }
        at = segment.end;
    }
    frame.is_jfif = is_jfif;
    frame.adobe_transform = adobe_transform;
    Ok(frame)
}

fn header(segment: &Segment<'_>, process: Process) -> Result<Frame, PixelError> {
    let damaged = |what: &str| PixelError::damaged(NAME, segment.at, what);
    let [precision, r0, r1, c0, c1, count, components @ ..] = segment.bytes else {
        return Err(damaged("the frame header is cut off"));
    };
    if !(2..=16).contains(precision) {
        return Err(damaged("a sample has less than 2 or more than 16 bits"));
    }
    if !(1..=4).contains(count) || components.len() < usize::from(*count) * 3 {
        return Err(damaged("the frame header does not list its components"));
    }
    let components: Vec<Component> = components
        .chunks_exact(3)
        .take(usize::from(*count))
        .map(|bytes| Component {
            name: bytes[0],
            horizontal: usize::from(bytes[1] >> 4),
            vertical: usize::from(bytes[1] & 15),
            quantization: usize::from(bytes[2]),
        })
        .collect();
    let possible = |component: &Component| {
        (1..=4).contains(&component.horizontal)
            && (1..=4).contains(&component.vertical)
            && component.quantization < 4
    };
    if !components.iter().all(possible) {
        return Err(damaged("a component has impossible sampling factors"));
    }
    Ok(Frame {
        process,
        precision: u16::from(*precision),
        rows: u32::from(u16::from_be_bytes([*r0, *r1])),
        columns: u32::from(u16::from_be_bytes([*c0, *c1])),
        components,
        is_jfif: false,
        adobe_transform: None,
    })
}

/// Tables that marker segments set, as they stand before a scan.
#[derive(Default)]
pub struct Tables {
    pub dc: [Option<Table>; 4],
    pub ac: [Option<Table>; 4],
    /// In the order of the zigzag.
    pub quantization: [Option<[i32; 64]>; 4],
    /// MCUs between restart markers; 0: none.
    pub restart: usize,
}

/// What a scan header says.
pub struct Scan {
    /// Per component: its position in the frame, its DC and its AC table.
    pub components: Vec<(usize, usize, usize)>,
    /// The predictor of lossless frames, else the start of the spectrum.
    pub selection: u8,
    /// The point transform.
    pub shift: u32,
    /// Where the entropy-coded bytes begin.
    pub start: usize,
}

/// The next scan; the tables before it are read on the way. None at the end.
pub fn scan(
    code: &[u8],
    mut at: usize,
    frame: &Frame,
    tables: &mut Tables,
) -> Result<Option<Scan>, PixelError> {
    loop {
        let Ok(segment) = next(code, at) else { return Ok(None) };
        at = segment.end;
        match segment.marker {
            0xC4 => huffman_tables(&segment, tables)?,
            0xDB => quantization_tables(&segment, tables)?,
            0xDD => {
                let bytes = segment.bytes.get(..2);
                let bytes = bytes
                    .ok_or_else(|| PixelError::damaged(NAME, segment.at, "a restart interval is cut off"))?;
                tables.restart = usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
            }
            0xDA => return scan_header(&segment, frame).map(Some),
            0xD9 => return Ok(None),
            _ => {}
        }
    }
}

fn scan_header(segment: &Segment<'_>, frame: &Frame) -> Result<Scan, PixelError> {
    let damaged = |what: &str| PixelError::damaged(NAME, segment.at, what);
    let count = usize::from(*segment.bytes.first().unwrap_or(&0));
    let (Some(list), Some([selection, _, approximation])) =
        (segment.bytes.get(1..1 + count * 2), segment.bytes.get(1 + count * 2..4 + count * 2))
    else {
        return Err(damaged("the scan header is cut off"));
    };
    let components: Option<Vec<(usize, usize, usize)>> = list
        .chunks_exact(2)
        .map(|pair| {
            let position = frame.components.iter().position(|component| component.name == pair[0])?;
            Some((position, usize::from(pair[1] >> 4) & 3, usize::from(pair[1] & 3)))
        })
        .collect();
    let components =
        components.ok_or_else(|| damaged("a scan of a component that the frame does not have"))?;
    if components.is_empty() || components.len() > 4 {
        return Err(damaged("a scan of no component"));
    }
    Ok(Scan { components, selection: *selection, shift: u32::from(approximation & 15), start: segment.end })
}

fn huffman_tables(segment: &Segment<'_>, tables: &mut Tables) -> Result<(), PixelError> {
    let damaged = || PixelError::damaged(NAME, segment.at, "a Huffman table is cut off or impossible");
    let mut rest = segment.bytes;
    while let [place, more @ ..] = rest {
        let lengths: [u8; 16] = more.get(..16).and_then(|bytes| bytes.try_into().ok()).ok_or_else(damaged)?;
        let count: usize = lengths.iter().map(|length| usize::from(*length)).sum();
        let values = more.get(16..16 + count).ok_or_else(damaged)?;
        let table = Table::new(&lengths, values).ok_or_else(damaged)?;
        let set = if place >> 4 == 0 { &mut tables.dc } else { &mut tables.ac };
        *set.get_mut(usize::from(place & 15)).ok_or_else(damaged)? = Some(table);
        rest = &more[16 + count..];
    }
    Ok(())
}

fn quantization_tables(segment: &Segment<'_>, tables: &mut Tables) -> Result<(), PixelError> {
    let damaged = || PixelError::damaged(NAME, segment.at, "a quantization table is cut off");
    let mut rest = segment.bytes;
    while let [place, more @ ..] = rest {
        let width = if place >> 4 == 0 { 1 } else { 2 };
        let bytes = more.get(..64 * width).ok_or_else(damaged)?;
        let mut table = [0; 64];
        for (entry, bytes) in table.iter_mut().zip(bytes.chunks_exact(width)) {
            *entry = bytes.iter().fold(0, |value, byte| value << 8 | i32::from(*byte));
        }
        *tables.quantization.get_mut(usize::from(place & 15)).ok_or_else(damaged)? = Some(table);
        rest = &more[64 * width..];
    }
    Ok(())
}
