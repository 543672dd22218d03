//! JPEG: baseline, eight bits, Huffman coding (PS3.18 section 8.7.4).

use jpeg_encoder::{ColorType, Encoder};

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
    let color = match image.channels {
        Channels::Gray => ColorType::Luma,
        Channels::Rgb => ColorType::Rgb,
    };
    encoder
        .encode(&image.data, side(image.width)?, side(image.height)?, color)
        .map_err(RenderError::encode)?;
    Ok(bytes)
}
