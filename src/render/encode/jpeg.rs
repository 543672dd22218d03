//! JPEG: baseline, eight bits, Huffman coding (PS3.18 section 8.7.4).

use jpeg_encoder::{ColorType, Encoder, ImageBuffer, JpegColorType};

use crate::render::{Channels, Image, RenderError, icc::Profile};

/// What `quality` is when nobody asks: as of 90 the colours have the resolution
/// of the brightness.
pub const QUALITY_DEFAULT: u8 = 90;

pub fn encode(image: &Image, quality: u8, profile: Option<&Profile>) -> Result<Vec<u8>, RenderError> {
    let side = |length: u32| {
        u16::try_from(length).map_err(|_| RenderError::Parameter {
            name: "viewport",
            detail: "a JPEG has at most 65535 rows and columns; ask for a smaller viewport or for image/png"
                .to_owned(),
        })
    };
    let mut bytes = Vec::with_capacity(image.data.len() / 4 + 1024);
    let mut encoder = Encoder::new(&mut bytes, quality);
    if let Some(profile) = profile {
        encoder.add_icc_profile(profile.bytes()).map_err(RenderError::encode)?;
    }
    let (width, height) = (side(image.width)?, side(image.height)?);
    match image.channels {
        Channels::Gray => encoder.encode_image(Gray { width, height, data: &image.data }),
        Channels::Rgb => encoder.encode(&image.data, width, height, ColorType::Rgb),
    }
    .map_err(RenderError::encode)?;
    Ok(bytes)
}

/// Gray rows as they are: those of the encoder are copied one pixel at a time,
/// which is a sixth of its work.
struct Gray<'a> {
    width: u16,
    height: u16,
    data: &'a [u8],
}

impl ImageBuffer for Gray<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Luma
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let width = usize::from(self.width);
        let start = usize::from(y) * width;
        buffers[0].extend_from_slice(&self.data[start..start + width]);
    }
}
