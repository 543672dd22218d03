//! 8-bit DCT frames, decoded by zune-jpeg, encoded by jpeg-encoder. The colour of
//! three components is decided here, so that the decoder does not guess.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

use super::{
    super::{
        Photometric, PixelError,
        samples::{Samples, Values},
    },
    NAME,
    segments::{self, Frame},
};

/// Three components become RGB if they are luminance and chrominance, and are
/// left as they are if not.
pub fn decode(code: &[u8], frame: &Frame, luminance_chrominance: bool) -> Result<Samples, PixelError> {
    let damaged = |error: zune_jpeg::errors::DecodeErrors| PixelError::damaged(NAME, 0, error.to_string());
    let options = DecoderOptions::default()
        .set_max_width(frame.columns as usize)
        .set_max_height(frame.rows as usize)
        .set_strict_mode(false);
    let code = without_remarks(code);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(code.as_slice()), options);
    decoder.decode_headers().map_err(damaged)?;
    let wanted = match (frame.components.len(), decoder.input_colorspace()) {
        (1, _) => ColorSpace::Luma,
        // The decoder converts only between two that differ.
        (3, Some(ColorSpace::YCbCr)) if !luminance_chrominance && !frame.is_named_rgb() => ColorSpace::YCbCr,
        (3, _) => ColorSpace::RGB,
        (other, _) => return Err(PixelError::Unsupported(format!("JPEG of {other} components"))),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(wanted));
    let values = decoder.decode().map_err(damaged)?;
    Ok(Samples {
        columns: frame.columns,
        rows: frame.rows,
        per_pixel: frame.components.len() as u16,
        precision: 8,
        values: Values::Bytes(values),
    })
}

/// Sequential, of 8 bits, colours as luminance and chrominance with half of the
/// columns of the latter (YBR_FULL_422).
pub fn encode(image: &Samples, photometric: Photometric, quality: u8) -> Result<Vec<u8>, PixelError> {
    let refused = |what: &str| PixelError::Unsupported(format!("JPEG Baseline: {what}"));
    let (Ok(columns), Ok(rows)) = (u16::try_from(image.columns), u16::try_from(image.rows)) else {
        return Err(refused("more than 65535 rows or columns"));
    };
    let Values::Bytes(values) = &image.values else { return Err(refused("samples of more than 8 bits")) };
    let colour = match (image.per_pixel, photometric) {
        (1, _) => ColorType::Luma,
        (_, Photometric::Rgb) => ColorType::Rgb,
        _ => ColorType::Ycbcr,
    };
    let mut code = Vec::with_capacity(values.len() / 8 + 1024);
    let mut encoder = Encoder::new(&mut code, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_1);
    encoder.encode(values, columns, rows, colour).map_err(|error| refused(&error.to_string()))?;
    Ok(code)
}

/// The code stream without application segments and comments: some are broken,
/// and what they say of the colour was read before.
fn without_remarks(code: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(code.len());
    let mut copied = 0;
    let mut at = 0;
    while let Ok(segment) = segments::next(code, at) {
        if matches!(segment.marker, 0xE0..=0xEF | 0xFE) {
            kept.extend_from_slice(&code[copied..segment.at]);
            copied = segment.end;
        }
        at = segment.end;
        if segment.marker == 0xDA {
            break;
        }
    }
    kept.extend_from_slice(&code[copied..]);
    kept
}
