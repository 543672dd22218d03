//! From a picture to the part of it that is shown, at the size it is shown
//! (PS3.18 section 8.3.5.1.3): crop, mirror, scale.

use fast_image_resize as resize;

use super::{Channels, Image, RenderError};

/// The `viewport` of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Viewport {
    /// Width and height that the picture is scaled to fit into, keeping its
    /// aspect; none: it is not scaled.
    pub fits: Option<(u32, u32)>,
    pub source: Source,
}

/// The part of the image that is shown, in its pixels; what is left out reaches
/// to the edge.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Source {
    pub x: f64,
    pub y: f64,
    /// Negative: mirrored.
    pub width: Option<f64>,
    pub height: Option<f64>,
    /// The numbers are fractions of the image and not pixels.
    pub relative: bool,
}

impl Source {
    fn in_pixels(self, width: f64, height: f64) -> Self {
        Self {
            x: self.x * width,
            y: self.y * height,
            width: self.width.map(|part| part * width),
            height: self.height.map(|part| part * height),
            relative: false,
        }
    }
}

/// Shows a picture through a viewport.
///
/// # Errors
/// The source region lies outside the image.
pub fn show(image: Image, viewport: &Viewport) -> Result<Image, RenderError> {
    let region = crop(image, &viewport.source)?;
    match viewport.fits {
        Some((width, height)) => fit(region, width, height),
        None => Ok(region),
    }
}

fn crop(image: Image, source: &Source) -> Result<Image, RenderError> {
    if *source == Source::default() {
        return Ok(image);
    }
    let (width, height) = (f64::from(image.width), f64::from(image.height));
    let source = &if source.relative { source.in_pixels(width, height) } else { *source };
    let outside = |what: &str| RenderError::Parameter {
        name: "viewport",
        detail: format!("the source region {what}; the image has {width} columns and {height} rows"),
    };
    if source.x < 0.0 || source.y < 0.0 || source.x >= width || source.y >= height {
        return Err(outside("begins outside the image"));
    }
    let wanted = (source.width.unwrap_or(width - source.x), source.height.unwrap_or(height - source.y));
    // One pixel of grace for regions that were computed.
    if source.x + wanted.0.abs() > width + 1.0 || source.y + wanted.1.abs() > height + 1.0 {
        return Err(outside("ends outside the image"));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let span = |start: f64, length: f64, size: u32| {
        let from = (start.round() as u32).min(size - 1);
        let to = ((start + length.abs()).round() as u32).clamp(from + 1, size);
        (from, to - from)
    };
    let (left, columns) = span(source.x, wanted.0, image.width);
    let (top, rows) = span(source.y, wanted.1, image.height);
    let pixel = image.channels.count();
    let stride = image.width as usize * pixel;
    let mut data = Vec::with_capacity(columns as usize * rows as usize * pixel);
    for row in 0..rows {
        let row = if wanted.1 < 0.0 { rows - 1 - row } else { row };
        let start = (top + row) as usize * stride + left as usize * pixel;
        let line = &image.data[start..start + columns as usize * pixel];
        if wanted.0 < 0.0 {
            data.extend(line.chunks_exact(pixel).rev().flatten());
        } else {
            data.extend_from_slice(line);
        }
    }
    Ok(Image { width: columns, height: rows, data, ..image })
}

/// Scales a picture so that it fits, keeping its aspect; pixels that are not
/// square become so.
///
/// # Errors
/// The scaler gave up.
pub fn fit(image: Image, width: u32, height: u32) -> Result<Image, RenderError> {
    let shape = (f64::from(image.width), f64::from(image.height) * image.pixel_aspect);
    let scale = f64::min(f64::from(width) / shape.0, f64::from(height) / shape.1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most width or height")]
    let scaled = |side: f64, most: u32| ((side * scale).round() as u32).clamp(1, most.max(1));
    to_size(image, scaled(shape.0, width), scaled(shape.1, height))
}

/// Scales a picture to exactly this size.
///
/// # Errors
/// The scaler gave up.
pub fn to_size(image: Image, width: u32, height: u32) -> Result<Image, RenderError> {
    if (image.width, image.height) == (width, height) {
        return Ok(Image { pixel_aspect: 1.0, ..image });
    }
    let kind = match image.channels {
        Channels::Gray => resize::PixelType::U8,
        Channels::Rgb => resize::PixelType::U8x3,
    };
    // Averages when it shrinks and interpolates when it grows.
    let options = resize::ResizeOptions::new()
        .resize_alg(resize::ResizeAlg::Convolution(resize::FilterType::CatmullRom));
    let source = resize::images::ImageRef::new(image.width, image.height, &image.data, kind)
        .map_err(RenderError::encode)?;
    let mut target = resize::images::Image::new(width, height, kind);
    resize::Resizer::new().resize(&source, &mut target, &options).map_err(RenderError::encode)?;
    let data = target.into_vec();
    Ok(Image { width, height, data, channels: image.channels, pixel_aspect: 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(width: u32, height: u32) -> Image {
        let data = (0..width * height).map(|at| u8::try_from(at % 256).expect("a byte")).collect();
        Image::gray(width, height, data)
    }

    fn show_at(source: Source, width: u32, height: u32) -> Result<Image, RenderError> {
        show(numbered(4, 3), &Viewport { fits: Some((width, height)), source })
    }

    #[test]
    fn rnd_04_regions_are_cut_and_mirrored() {
        let source = Source { x: 1.0, y: 1.0, width: Some(2.0), height: Some(-2.0), relative: false };
        assert_eq!(show_at(source, 2, 2).expect("valid").data, [9, 10, 5, 6]);
        let source = Source { x: 2.0, y: 2.0, width: Some(-2.0), ..Source::default() };
        assert_eq!(show_at(source, 2, 2).expect("valid").data, [11, 10]);
        let half =
            Source { x: 0.5, width: Some(0.5), height: Some(1.0), relative: true, ..Source::default() };
        assert_eq!(show_at(half, 2, 3).expect("valid").data, [2, 3, 6, 7, 10, 11]);
        let beyond = Source { x: 4.0, ..Source::default() };
        assert!(matches!(show_at(beyond, 2, 2), Err(RenderError::Parameter { name: "viewport", .. })));
        let wide = Source { width: Some(9.0), ..Source::default() };
        assert!(show_at(wide, 2, 2).is_err());
    }

    #[test]
    fn rnd_04_the_aspect_is_kept_in_both_directions() {
        let size = |image: Image| (image.width, image.height);
        assert_eq!(size(show_at(Source::default(), 2, 2).expect("valid")), (2, 2));
        assert_eq!(size(fit(numbered(100, 50), 10, 10).expect("valid")), (10, 5));
        assert_eq!(size(fit(numbered(100, 50), 400, 400).expect("valid")), (400, 200));
        let tall_pixels = Image { pixel_aspect: 2.0, ..numbered(100, 50) };
        assert_eq!(size(fit(tall_pixels, 100, 100).expect("valid")), (100, 100));
        assert_eq!(size(fit(numbered(1000, 1), 10, 10).expect("valid")), (10, 1));
    }
}
