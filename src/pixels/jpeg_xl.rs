//! JPEG XL (ISO/IEC 18181-1): decoding through jxl-oxide, lossless encoding
//! through zune-jpegxl.

use jxl_oxide::{AllocTracker, JxlImage, PixelFormat};
use zune_core::{bit_depth::BitDepth, colorspace::ColorSpace, options::EncoderOptions};
use zune_jpegxl::JxlSimpleEncoder;

use super::{
    PixelError,
    samples::{Samples, Values},
};

const NAME: &str = "JPEG XL";

pub fn decode(
    code: &[u8],
    memory_max: usize,
    allow: impl Fn(u32, u32, u16, u16) -> Result<(), PixelError>,
) -> Result<Samples, PixelError> {
    let damaged =
        |error: Box<dyn std::error::Error + Send + Sync>| PixelError::damaged(NAME, 0, error.to_string());
    let mut image = JxlImage::builder()
        .alloc_tracker(AllocTracker::with_limit(memory_max))
        .read(code)
        .map_err(damaged)?;
    let per_pixel = match image.pixel_format() {
        PixelFormat::Gray | PixelFormat::Graya => 1,
        PixelFormat::Rgb | PixelFormat::Rgba => 3,
        PixelFormat::Cmyk | PixelFormat::Cmyka => {
            return Err(PixelError::Unsupported("JPEG XL in CMYK".to_owned()));
        }
    };
    let precision = image.image_header().metadata.bit_depth.bits_per_sample() as u16;
    allow(image.width(), image.height(), per_pixel, precision)?;
    image.set_render_spot_color(false);
    let render = image.render_frame(0).map_err(damaged)?;
    let mut stream = render.stream_no_alpha();
    if (stream.width(), stream.height(), stream.channels())
        != (image.width(), image.height(), u32::from(per_pixel))
    {
        return Err(PixelError::damaged(NAME, 0, "its first frame is not the image"));
    }
    let count = image.width() as usize * image.height() as usize * usize::from(per_pixel);
    let values = if precision <= 8 {
        let mut values = vec![0u8; count];
        stream.write_to_buffer(&mut values);
        if precision < 8 {
            let top = (1u32 << precision) - 1;
            values.iter_mut().for_each(|value| *value = ((u32::from(*value) * top + 127) / 255) as u8);
        }
        Values::Bytes(values)
    } else {
        let mut values = vec![0u16; count];
        stream.write_to_buffer(&mut values);
        if precision < 16 {
            // Full scale is handed out, whatever the precision.
            let top = (1u32 << precision) - 1;
            values.iter_mut().for_each(|value| *value = ((u32::from(*value) * top + 32767) / 65535) as u16);
        }
        Values::Words(values)
    };
    Ok(Samples { columns: image.width(), rows: image.height(), per_pixel, precision, values })
}

/// Losslessly, with 8 or 16 bits a sample.
pub fn encode(image: &Samples) -> Result<Vec<u8>, PixelError> {
    let colour = if image.per_pixel == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let (bytes, depth) = match &image.values {
        Values::Bytes(values) => (values.clone(), BitDepth::Eight),
        Values::Words(values) => {
            (values.iter().flat_map(|value| value.to_ne_bytes()).collect(), BitDepth::Sixteen)
        }
    };
    let options = EncoderOptions::new(image.columns as usize, image.rows as usize, colour, depth);
    let mut code = Vec::new();
    JxlSimpleEncoder::new(&bytes, options)
        .encode(&mut code)
        .map_err(|error| PixelError::Unsupported(format!("JPEG XL: {error:?}")))?;
    // A young encoder, that gets some images of pure noise wrong.
    let memory_max = 16 * 4 * (bytes.len() + (1 << 20));
    if decode(&code, memory_max, |_, _, _, _| Ok(()))?.values == image.values {
        Ok(code)
    } else {
        Err(PixelError::Unsupported("the encoder changed the samples of this frame".to_owned()))
    }
}
