//! Floor 1: pixels. From the bytes of one frame to samples and back, for every
//! Transfer Syntax that [`TABLE`] lists. Pure: bytes in, values out.
//!
//! Code streams come from strangers. What a frame will need in memory follows
//! from its data set ([`Description`]), is checked against a limit, and against
//! what the code stream says of itself, before any of it is allocated; a decoder
//! runs where a panic or a runaway costs that one frame (`guard.rs`).
//!
//! A decoded frame always lies in memory in the same way: little endian, the
//! samples of a pixel together, signed values extended to all bits allocated,
//! single bits packed from bit 0. [`Description::decoded_from`] says what else
//! changes.

// Samples are cut to the bits they have, on purpose, all the time.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
// Cases stand in the order of their standard, and in one line where they fit.
#![allow(clippy::match_same_arms, clippy::needless_for_each)]

mod deflate;
mod description;
mod encode;
mod error;
mod guard;
mod jpeg;
mod jpeg2000;
mod jpeg_ls;
mod jpeg_xl;
mod native;
mod rle;
mod samples;
mod table;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;

pub use description::{Description, Number, Photometric};
pub use encode::{Encoded, LOSSY_CODINGS, LossyCoding, described};
pub use error::PixelError;
pub use table::{Codec, TABLE, can_decode, can_encode, can_encode_lossy};

use crate::dicom::transfer_syntax::{self, Pixels, TransferSyntax};

/// What one frame may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a decoded frame.
    pub frame_bytes_max: u64,
    /// How long one frame is decoded or encoded.
    pub frame_time_max: Duration,
}

/// A decoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub bytes: Vec<u8>,
    pub description: Description,
}

/// All decoders and encoders, with the limits they work under.
#[derive(Debug)]
pub struct Codecs {
    limits: Limits,
    guard: guard::Guard,
}

impl Codecs {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, guard: guard::Guard::new(limits.frame_time_max) }
    }

    /// Decodes one frame: its fragments joined, native ones in little endian
    /// and, of single bits, from bit 0 on. Blocks for as long as that takes.
    ///
    /// # Errors
    /// The code stream is damaged, of another image or not known here; a limit
    /// is exceeded.
    pub fn decode(&self, syntax: &str, code: &Bytes, description: &Description) -> Result<Frame, PixelError> {
        let (syntax, description, limits) = (known(syntax)?, *description, self.limits);
        if is_plain(syntax.pixels) {
            return decode(syntax, code, &description, &limits);
        }
        let code = code.clone();
        self.guard.run(move || decode(syntax, &code, &description, &limits))
    }

    /// Encodes a decoded frame; with loss only in a Transfer Syntax that says so. Blocks for as long as that takes.
    ///
    /// # Errors
    /// There is no encoder, or it cannot code such samples.
    pub fn encode(&self, syntax: &str, frame: Frame) -> Result<Encoded, PixelError> {
        let syntax = known(syntax)?;
        self.guard.run(move || encode::encode(syntax, &frame))
    }
}

/// Whether frames in a Transfer Syntax, so described, may be pictures for any viewer as
/// they are: to be known before one is read.
#[must_use]
pub fn may_be_picture(syntax: &str, description: &Description) -> bool {
    use Photometric::{Rgb, YbrFull, YbrFull422};
    let is_colour = matches!(description.photometric, Rgb | YbrFull | YbrFull422);
    let is_plain = is_colour && (description.samples_per_pixel, description.bits_stored) == (3, 8);
    let lossy_jpeg = |syntax: &TransferSyntax| syntax.pixels == Pixels::Jpeg && !syntax.is_lossless();
    is_plain && transfer_syntax::find(syntax).is_some_and(lossy_jpeg)
}

/// The code stream of a frame that [`may_be_picture`] as a JPEG file that any viewer shows
/// as the frame decodes; none where it would not, or might not.
#[must_use]
pub fn jpeg_picture(code: &[u8], description: &Description) -> Option<Vec<u8>> {
    let luminance_chrominance = description.photometric.is_luminance_chrominance();
    jpeg::picture(code, description.columns, description.rows, luminance_chrominance)
}

/// A picture of eight bits a channel, gray or RGB, as a JPEG XL code stream
/// without loss. What comes out was decoded to the same again.
///
/// # Errors
/// The encoder does not take it, or would change it.
pub fn jpeg_xl(columns: u32, rows: u32, per_pixel: u16, data: &[u8]) -> Result<Vec<u8>, PixelError> {
    let values = samples::Values::Bytes(data.to_vec());
    jpeg_xl::encode(&samples::Samples { columns, rows, per_pixel, precision: 8, values })
}

fn known(syntax: &str) -> Result<&'static TransferSyntax, PixelError> {
    transfer_syntax::find(syntax).ok_or_else(|| PixelError::Unsupported(format!("Transfer Syntax {syntax}")))
}

/// So simple, and so surely ended, that no guard is needed.
fn is_plain(pixels: Pixels) -> bool {
    matches!(pixels, Pixels::Native | Pixels::EncapsulatedUncompressed | Pixels::Rle | Pixels::DeflatedFrame)
}

fn decode(
    syntax: &TransferSyntax,
    code: &[u8],
    description: &Description,
    limits: &Limits,
) -> Result<Frame, PixelError> {
    let after = description.decoded_from(syntax);
    if after.frame_bytes() > limits.frame_bytes_max {
        return Err(PixelError::TooLarge { bytes: after.frame_bytes(), limit: limits.frame_bytes_max });
    }
    let allow =
        |columns, rows, per_pixel, precision| samples::fits(columns, rows, per_pixel, precision, &after);
    let bytes = match syntax.pixels {
        Pixels::Native | Pixels::EncapsulatedUncompressed => native::decode(code, description)?,
        Pixels::DeflatedFrame => native::decode(&deflate::inflate(code, description)?, description)?,
        Pixels::Rle => rle::decode(code, &after)?,
        Pixels::Jpeg => {
            let luminance_chrominance = description.photometric.is_luminance_chrominance();
            jpeg::decode(code, luminance_chrominance, allow)?.fit(&after)?
        }
        Pixels::JpegLs => jpeg_ls::decode(code, allow)?.fit(&after)?,
        Pixels::Jpeg2000 | Pixels::Jpeg2000Part2 | Pixels::HtJpeg2000 => {
            jpeg2000::decode(code, allow)?.fit(&after)?
        }
        Pixels::JpegXl => {
            // Samples are floats on their way, of several copies of the image.
            let memory_max = usize::try_from(limits.frame_bytes_max.saturating_mul(16)).unwrap_or(usize::MAX);
            jpeg_xl::decode(code, memory_max, allow)?.fit(&after)?
        }
        Pixels::Mpeg2 | Pixels::Mpeg4 | Pixels::Hevc | Pixels::Elsewhere => {
            return Err(PixelError::Unsupported(syntax.name.to_owned()));
        }
    };
    Ok(Frame { bytes, description: after })
}
