//! Pictures to files: JPEG, PNG, GIF, JPEG XL, TIFF and PDF. Each encoder takes a
//! finished picture and what describes its colours.

mod gif;
mod jpeg;
mod pdf;
mod png;
mod tiff;

pub use gif::Animation;
pub use jpeg::QUALITY_DEFAULT;

use super::{Channels, Image, RenderError, icc::Profile};
use crate::pixels;

/// A file format for pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    Jpeg,
    Png,
    Gif,
    Tiff,
    Pdf,
    /// Without loss.
    Jxl,
}

impl Format {
    /// Whether a file of this format can carry an ICC profile here.
    #[must_use]
    pub fn carries_profile(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png)
    }
}

/// Encodes a picture. `quality` (1 to 100) counts for JPEG, and for PDF, which
/// holds one.
///
/// # Errors
/// The picture is larger than the format allows.
pub fn encode(
    image: &Image,
    format: Format,
    quality: u8,
    profile: Option<&Profile>,
) -> Result<Vec<u8>, RenderError> {
    match format {
        Format::Jpeg => jpeg::encode(image, quality, profile),
        Format::Png => png::encode(image, profile),
        Format::Gif => {
            let mut animation = Animation::begin(image.width, image.height)?;
            animation.add(image, 0.0)?;
            animation.end()
        }
        Format::Tiff => tiff::encode(image),
        Format::Pdf => pdf::encode(image, quality),
        Format::Jxl => {
            let per_pixel = if image.channels == Channels::Gray { 1 } else { 3 };
            pixels::jpeg_xl(image.width, image.height, per_pixel, &image.data).map_err(RenderError::encode)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(rgb: bool) -> Image {
        let gray: Vec<u8> = (0..48 * 32).map(|at| u8::try_from(at % 48 * 5).expect("a byte")).collect();
        let image = Image::gray(48, 32, gray);
        if rgb { image.into_rgb() } else { image }
    }

    #[test]
    fn rnd_16_every_format_has_its_signature() {
        for rgb in [false, true] {
            let image = gradient(rgb);
            let starts = |format, start: &[u8]| {
                let bytes = encode(&image, format, 90, None).expect("encoded");
                assert!(bytes.starts_with(start), "{format:?}");
                bytes
            };
            let jpeg = starts(Format::Jpeg, &[0xFF, 0xD8]);
            // Baseline with Huffman coding, eight bits.
            let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("SOF0");
            assert_eq!(jpeg[frame + 4], 8);
            starts(Format::Png, b"\x89PNG\r\n\x1a\n");
            starts(Format::Gif, b"GIF89a");
            starts(Format::Tiff, b"II*\0");
            starts(Format::Jxl, &[0xFF, 0x0A]);
            let pdf = starts(Format::Pdf, b"%PDF-1.4");
            assert!(pdf.ends_with(b"%%EOF\n"));
        }
    }

    #[test]
    fn rnd_05_a_lower_quality_is_a_smaller_file() {
        let size = |quality| encode(&gradient(true), Format::Jpeg, quality, None).expect("encoded").len();
        assert!(size(10) < size(100));
    }

    #[test]
    fn rnd_07_profiles_are_embedded() {
        for rgb in [false, true] {
            let image = gradient(rgb);
            let profile = Profile::well_known(image.channels).expect("built in");
            let jpeg = encode(&image, Format::Jpeg, 90, Some(&profile)).expect("encoded");
            assert!(memchr::memmem::find(&jpeg, b"ICC_PROFILE\0").is_some());
            let png = encode(&image, Format::Png, 90, Some(&profile)).expect("encoded");
            assert!(memchr::memmem::find(&png, b"iCCP").is_some());
        }
    }
}
