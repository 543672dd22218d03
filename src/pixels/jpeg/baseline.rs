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
    segments::{self, Frame, Segment},
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

/// The code stream as a file that shows the same to those who know nothing but it;
/// none if they would take its colours for others. What application segments and
/// comments say besides may tell of the patient, and is left out.
pub fn picture(code: &[u8], frame: &Frame, luminance_chrominance: bool) -> Option<Vec<u8>> {
    let seen = match (frame.is_jfif, frame.adobe_transform) {
        (true, Some(0)) => return None,
        (true, _) => true,
        (false, Some(transform)) => transform != 0,
        (false, None) => !frame.is_named_rgb(),
    };
    // Fragments are padded to even lengths.
    let end = code.iter().rposition(|&byte| byte != 0)? + 1;
    let is_whole = code.get(..end)?.ends_with(&[0xFF, 0xD9]);
    (seen == luminance_chrominance && is_whole).then(|| {
        without(code.get(..end).unwrap_or(code), |segment| match segment.marker {
            0xE0 => !segment.bytes.starts_with(b"JFIF\0"),
            0xEE => !segment.bytes.starts_with(b"Adobe"),
            marker => is_remark(marker),
        })
    })
}

/// The code stream without application segments and comments: some are broken,
/// and what they say of the colour was read before.
fn without_remarks(code: &[u8]) -> Vec<u8> {
    without(code, |segment| is_remark(segment.marker))
}

fn is_remark(marker: u8) -> bool {
    matches!(marker, 0xE0..=0xEF | 0xFE)
}

/// The code stream without some of the segments before its first scan.
fn without(code: &[u8], left_out: impl Fn(&Segment<'_>) -> bool) -> Vec<u8> {
    let mut kept = Vec::with_capacity(code.len());
    let mut copied = 0;
    let mut at = 0;
    while let Ok(segment) = segments::next(code, at) {
        if left_out(&segment) {
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

#[cfg(test)]
mod tests {
    use super::{super::picture, *};

    const COMMENT: &[u8] = b"\xFF\xFE\x00\x0ADOE^JOHN\xFF\xE1\x00\x06Exif";

    /// A JPEG that says of its colours what these segments say.
    fn saying(remarks: &[u8]) -> Vec<u8> {
        let values = Values::Bytes((0..16 * 8 * 3_u16).map(|at| (at % 251) as u8).collect());
        let samples = Samples { columns: 16, rows: 8, per_pixel: 3, precision: 8, values };
        let code = without_remarks(&encode(&samples, Photometric::Rgb, 90).unwrap());
        [&code[..2], remarks, &code[2..]].concat()
    }

    #[test]
    fn a_picture_is_given_only_where_any_viewer_sees_the_same() {
        let jfif = b"\xFF\xE0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".as_slice();
        let adobe =
            |transform: u8| [b"\xFF\xEE\x00\x0EAdobe\0\x64\0\0\0\0".as_slice(), &[transform]].concat();
        let bare = saying(b"");
        let shown = |code: &[u8], luminance| picture(code, 16, 8, luminance);
        assert_eq!(shown(&bare, true).as_deref(), Some(&bare[..]));
        assert_eq!(shown(&bare, false), None, "it is RGB, and does not say so");
        assert_eq!(shown(&saying(&adobe(0)), false), Some(saying(&adobe(0))));
        assert_eq!(shown(&saying(&adobe(1)), true), Some(saying(&adobe(1))));
        assert_eq!(shown(&saying(jfif), true), Some(saying(jfif)));
        assert_eq!(shown(&saying(&[jfif, &adobe(0)].concat()), true), None, "who is right?");
        assert_eq!(
            shown(&saying(&[jfif, COMMENT].concat()), true),
            Some(saying(jfif)),
            "nothing else is said"
        );
        assert_eq!(shown(&[&bare[..], &[0]].concat(), true).as_deref(), Some(&bare[..]), "padded");
        assert_eq!(shown(&bare[..bare.len() - 2], true), None, "cut off");
        assert_eq!(picture(&bare, 8, 16, true), None, "of another image");
        assert_eq!(shown(b"", true), None);
    }
}
