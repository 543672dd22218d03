//! TIFF: one picture, eight bits a channel, deflated.

use std::io::Cursor;

use tiff::encoder::{Compression, DeflateLevel, TiffEncoder, colortype};

use crate::render::{Channels, Image, RenderError};

pub fn encode(image: &Image) -> Result<Vec<u8>, RenderError> {
    let mut file = Cursor::new(Vec::with_capacity(image.data.len() / 2 + 1024));
    let mut encoder = TiffEncoder::new(&mut file)
        .map_err(RenderError::encode)?
        .with_compression(Compression::Deflate(DeflateLevel::Fast));
    match image.channels {
        Channels::Gray => encoder.write_image::<colortype::Gray8>(image.width, image.height, &image.data),
        Channels::Rgb => encoder.write_image::<colortype::RGB8>(image.width, image.height, &image.data),
    }
    .map_err(RenderError::encode)?;
    Ok(file.into_inner())
}
