//! PNG, eight bits a channel: a rendered picture has no more than a screen
//! shows; who wants all bits asks for the frame.

use std::borrow::Cow;

use png::{BitDepth, ColorType, Compression, Encoder};

use crate::render::{Channels, Image, RenderError, icc::Profile};

pub fn encode(image: &Image, profile: Option<&Profile>) -> Result<Vec<u8>, RenderError> {
    let mut bytes = Vec::with_capacity(image.data.len() / 2 + 1024);
    let mut info = png::Info::with_size(image.width, image.height);
    info.bit_depth = BitDepth::Eight;
    info.color_type = match image.channels {
        Channels::Gray => ColorType::Grayscale,
        Channels::Rgb => ColorType::Rgb,
    };
    info.icc_profile = profile.map(|profile| Cow::Borrowed(profile.bytes()));
    let mut encoder = Encoder::with_info(&mut bytes, info).map_err(RenderError::encode)?;
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header().map_err(RenderError::encode)?;
    writer.write_image_data(&image.data).map_err(RenderError::encode)?;
    writer.finish().map_err(RenderError::encode)?;
    Ok(bytes)
}
