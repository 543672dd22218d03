//! What a compressed image or video says of itself: its size, depth, colour
//! and Transfer Syntax, from its headers alone (PS3.18 table 10.5.2-1, PS3.5
//! section 8.2). Nothing is decoded. The bytes may be anyone's: every place
//! is checked, and only so many headers are looked at.

mod jpeg;
mod jpeg2000;
mod jpegxl;
mod video;

use super::encode::Stretch;
use super::source::Source;
use super::transfer_syntax as syntax;

/// A form of compressed pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// ISO 10918: baseline, extended, lossless.
    Jpeg,
    JpegLs,
    Jpeg2000,
    /// JPEG 2000 part 2.
    Jpx,
    HtJpeg2000,
    JpegXl,
    Rle,
    DeflatedFrame,
    Mpeg2,
    Mpeg4,
    Hevc,
    /// Not a coding of DICOM: stored decoded.
    Png,
    Gif,
}

/// What the headers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitstream {
    /// Where the code stream itself is, without a file format around it.
    pub stretch: Stretch,
    pub image: Option<Image>,
    /// Which of the kind's Transfer Syntaxes it is, if that shows.
    pub transfer_syntax: Option<&'static str>,
}

/// The Image Pixel Description Macro (PS3.3 section C.7.6.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub rows: u16,
    pub columns: u16,
    pub samples: u16,
    pub photometric: &'static str,
    pub bits_allocated: u16,
    pub bits_stored: u16,
    pub is_signed: bool,
    /// Of a video.
    pub frames: Option<u32>,
}

/// Why a code stream is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum BitstreamError {
    #[error("is no {0} stream")]
    Not(&'static str),
    #[error("is a {0} that cannot be stored as it is")]
    Unsupported(&'static str),
    #[error("could not be read")]
    Io(#[from] std::io::Error),
}

impl Kind {
    /// All frames are one stream.
    #[must_use]
    pub fn is_video(self) -> bool {
        matches!(self, Self::Mpeg2 | Self::Mpeg4 | Self::Hevc)
    }

    /// Is this Transfer Syntax one of the kind?
    #[must_use]
    pub fn carries(self, transfer_syntax: &str) -> bool {
        let Some(known) = syntax::find(transfer_syntax) else { return false };
        match known.pixels {
            syntax::Pixels::Jpeg => self == Self::Jpeg,
            syntax::Pixels::JpegLs => self == Self::JpegLs,
            syntax::Pixels::Jpeg2000 => self == Self::Jpeg2000,
            syntax::Pixels::Jpeg2000Part2 => self == Self::Jpx,
            syntax::Pixels::HtJpeg2000 => self == Self::HtJpeg2000,
            syntax::Pixels::JpegXl => self == Self::JpegXl,
            syntax::Pixels::Rle => self == Self::Rle,
            syntax::Pixels::DeflatedFrame => self == Self::DeflatedFrame,
            syntax::Pixels::Mpeg2 => self == Self::Mpeg2,
            syntax::Pixels::Mpeg4 => self == Self::Mpeg4,
            syntax::Pixels::Hevc => self == Self::Hevc,
            syntax::Pixels::Native | syntax::Pixels::EncapsulatedUncompressed | syntax::Pixels::Elsewhere => {
                false
            }
        }
    }

    /// The Transfer Syntax when neither parameter nor stream tells.
    #[must_use]
    pub fn default_transfer_syntax(self) -> &'static str {
        match self {
            Self::Jpeg => "1.2.840.10008.1.2.4.70",
            Self::JpegLs => "1.2.840.10008.1.2.4.80",
            Self::Jpeg2000 => "1.2.840.10008.1.2.4.90",
            Self::Jpx => "1.2.840.10008.1.2.4.92",
            Self::HtJpeg2000 => "1.2.840.10008.1.2.4.201",
            Self::JpegXl => "1.2.840.10008.1.2.4.110",
            Self::Rle => "1.2.840.10008.1.2.5",
            Self::DeflatedFrame => "1.2.840.10008.1.2.8.1",
            Self::Mpeg2 => "1.2.840.10008.1.2.4.101",
            Self::Mpeg4 => "1.2.840.10008.1.2.4.102",
            Self::Hevc => "1.2.840.10008.1.2.4.107",
            Self::Png | Self::Gif => syntax::EXPLICIT_LITTLE,
        }
    }
}

/// Looks at the headers of a code stream. A kind without headers that tell
/// anything (RLE, deflate) is taken as it is.
///
/// # Errors
/// [`BitstreamError`], when it is plainly something else.
pub fn describe(kind: Kind, source: &dyn Source, stretch: Stretch) -> Result<Bitstream, BitstreamError> {
    let bytes = Bytes { source, stretch };
    match kind {
        Kind::Jpeg => jpeg::describe(bytes, false),
        Kind::JpegLs => jpeg::describe(bytes, true),
        Kind::Jpeg2000 | Kind::Jpx | Kind::HtJpeg2000 => jpeg2000::describe(bytes, kind),
        Kind::JpegXl => jpegxl::describe(bytes),
        Kind::Mpeg2 => video::mpeg2(bytes),
        Kind::Mpeg4 => video::mp4(bytes),
        Kind::Hevc => video::hevc(bytes),
        Kind::Rle | Kind::DeflatedFrame | Kind::Png | Kind::Gif => {
            Ok(Bitstream { stretch, image: None, transfer_syntax: None })
        }
    }
}

/// The kind of a code stream that does not say it, by its first bytes.
///
/// # Errors
/// What the storage says.
pub fn guess(source: &dyn Source, stretch: Stretch) -> std::io::Result<Option<Kind>> {
    let bytes = Bytes { source, stretch };
    let Some(first) = bytes.array::<12>(0)? else { return Ok(None) };
    Ok(match first {
        [0xFF, 0xD8, 0xFF, ..] => {
            Some(if jpeg::describe(bytes, true).is_ok() { Kind::JpegLs } else { Kind::Jpeg })
        }
        [0xFF, 0x4F, 0xFF, 0x51, ..] => {
            Some(if jpeg2000::is_high_throughput(bytes)? { Kind::HtJpeg2000 } else { Kind::Jpeg2000 })
        }
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] => Some(Kind::Jpeg2000),
        [0xFF, 0x0A, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Some(Kind::JpegXl),
        [0, 0, 1, 0xB3, ..] => Some(Kind::Mpeg2),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Kind::Mpeg4),
        [1..=15, 0, 0, 0, 64, 0, 0, 0, ..] => Some(Kind::Rle),
        _ => None,
    })
}

/// A stretch of a source, read from its own start.
#[derive(Clone, Copy)]
struct Bytes<'a> {
    source: &'a dyn Source,
    stretch: Stretch,
}

impl<'a> Bytes<'a> {
    fn len(self) -> u64 {
        self.stretch.length
    }

    /// `N` bytes from `at` on; none beyond the end.
    fn array<const N: usize>(self, at: u64) -> std::io::Result<Option<[u8; N]>> {
        let mut array = [0; N];
        let fits = at.checked_add(N as u64).is_some_and(|end| end <= self.stretch.length);
        if !fits {
            return Ok(None);
        }
        self.source.read_exact_at(&mut array, self.stretch.offset + at)?;
        Ok(Some(array))
    }

    /// The first `most` bytes, or what there is.
    fn head(self, most: usize) -> std::io::Result<Vec<u8>> {
        let count = usize::try_from(self.stretch.length).unwrap_or(usize::MAX).min(most);
        let mut bytes = vec![0; count];
        self.source.read_exact_at(&mut bytes, self.stretch.offset)?;
        Ok(bytes)
    }

    /// A part of it, as far as that reaches.
    fn part(self, at: u64, length: u64) -> Bytes<'a> {
        let at = at.min(self.stretch.length);
        let length = length.min(self.stretch.length - at);
        Bytes { source: self.source, stretch: Stretch { offset: self.stretch.offset + at, length } }
    }
}

/// Bits Allocated that hold so many bits.
fn allocated(bits: u16) -> u16 {
    if bits <= 8 { 8 } else { bits.next_multiple_of(8).next_power_of_two() }
}

#[cfg(test)]
mod tests;
