//! JPEG (ISO/IEC 10918-1): the processes that DICOM uses.
//!
//! - 8-bit DCT frames, sequential and progressive, are decoded by zune-jpeg, and
//!   sequential ones encoded by jpeg-encoder;
//! - `dct` decodes sequential DCT frames of 12 bits, which hardly anybody does;
//! - `lossless` decodes process 14, `encode` writes it with selection value 1;
//! - `segments` and `huffman` are what these share.
//!
//! Not done: arithmetic coding and hierarchical frames, which DICOM retired.

mod baseline;
mod dct;
mod encode;
mod huffman;
mod lossless;
mod segments;

pub use baseline::encode as encode_baseline;
pub use encode::encode;

use self::segments::{Frame, Process};
use super::{PixelError, samples::Samples};

const NAME: &str = "JPEG";

/// Decodes one image. `allow` is asked with the size that the header says
/// before memory is taken. `luminance_chrominance` is what the data set says
/// of three components, and counts unless the code stream itself says otherwise.
pub fn decode(
    code: &[u8],
    luminance_chrominance: bool,
    allow: impl Fn(u32, u32, u16, u16) -> Result<(), PixelError>,
) -> Result<Samples, PixelError> {
    let frame = segments::frame(code)?;
    allow(frame.columns, frame.rows, frame.components.len() as u16, frame.precision)?;
    let luminance_chrominance = is_luminance_chrominance(&frame, luminance_chrominance);
    match frame.process {
        Process::Lossless => lossless::decode(code, &frame),
        Process::Sequential if frame.precision == 12 => dct::decode(code, &frame, luminance_chrominance),
        Process::Sequential | Process::Progressive if frame.precision == 8 => {
            baseline::decode(code, &frame, luminance_chrominance)
        }
        Process::Sequential | Process::Progressive => {
            Err(PixelError::Unsupported(format!("progressive JPEG of {} bits", frame.precision)))
        }
    }
}

/// The code stream of a colour image as a file for any viewer, if it shows there what
/// [`decode`] makes of it: sequential, of 8 bits, whole, of so many columns and rows.
/// Only its headers are looked at.
pub fn picture(code: &[u8], columns: u32, rows: u32, luminance_chrominance: bool) -> Option<Vec<u8>> {
    let frame = segments::frame(code).ok()?;
    let is_baseline = frame.process == Process::Sequential && frame.precision == 8;
    if !is_baseline || frame.components.len() != 3 || (frame.columns, frame.rows) != (columns, rows) {
        return None;
    }
    baseline::picture(code, &frame, is_luminance_chrominance(&frame, luminance_chrominance))
}

/// Whether three components are luminance and chrominance: what an Adobe marker
/// says, else component names, else a JFIF marker, else the data set.
fn is_luminance_chrominance(frame: &Frame, data_set: bool) -> bool {
    match frame.adobe_transform {
        _ if frame.components.len() != 3 => false,
        Some(transform) => transform != 0,
        None if frame.is_named_rgb() => false,
        None if frame.is_jfif => true,
        None => data_set,
    }
}
