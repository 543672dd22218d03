//! Deflated Image Frame (PS3.5 section A.4.13): each frame is a deflate stream
//! of its native bytes.

use std::io::{Read, Write};

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use super::{Description, PixelError};

/// As many bytes as the frame has, and not one more.
pub fn inflate(code: &[u8], description: &Description) -> Result<Vec<u8>, PixelError> {
    let expected = description.frame_bytes();
    let mut bytes = Vec::new();
    DeflateDecoder::new(code)
        .take(expected)
        .read_to_end(&mut bytes)
        .map_err(|error| PixelError::damaged("deflated", 0, error.to_string()))?;
    Ok(bytes)
}

pub fn deflate(bytes: &[u8]) -> Result<Vec<u8>, PixelError> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.map_err(|error| PixelError::Unsupported(error.to_string()))
}
