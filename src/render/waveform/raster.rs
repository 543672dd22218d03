//! A sheet as a picture.

use super::sheet::Sheet;
use crate::render::{
    Image,
    font::{self, Size},
    stroke,
};

const PAPER: [u8; 3] = [255, 248, 248];
const FINE: [u8; 3] = [246, 214, 214];
const COARSE: [u8; 3] = [226, 150, 150];
const INK: [u8; 3] = [16, 16, 16];
/// Pixels of a millimetre when nobody asks for a size: about 100 an inch.
const PIXELS_PER_MM: f64 = 4.0;
/// A fine grid below this would be a gray veil.
const FINE_GRID_MIN: f64 = 3.0;
const LINE_MM: f64 = 0.3;

pub fn draw(sheet: &Sheet, fits: Option<(u32, u32)>) -> Image {
    let scale = fits.map_or(PIXELS_PER_MM, |(width, height)| {
        f64::min(f64::from(width) / sheet.width, f64::from(height) / sheet.height)
    });
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are limited")]
    let side = |millimetres: f64| ((millimetres * scale).floor() as u32).max(1);
    let mut image = Image::filled(side(sheet.width), side(sheet.height), PAPER);
    if scale >= FINE_GRID_MIN {
        grid(&mut image, scale, 1.0, FINE);
    }
    grid(&mut image, scale, 5.0, COARSE);
    let width = (LINE_MM * scale).max(1.0);
    for line in &sheet.lines {
        let points: Vec<_> = line.iter().map(|(x, y)| (x * scale, y * scale)).collect();
        stroke::polyline(&mut image, &points, width, INK);
    }
    let size = if scale < 6.0 { Size::Small } else { Size::Large };
    // Letters have the size they have: on a small picture they would hide it.
    if scale >= 2.5 {
        for (x, y, text) in &sheet.texts {
            #[allow(clippy::cast_possible_truncation, reason = "sizes are limited")]
            let at = |millimetres: f64| (millimetres * scale) as i64;
            font::write(&mut image, text, at(*x), at(*y) - i64::from(size.line_height()), size, INK);
        }
    }
    image
}

fn grid(image: &mut Image, scale: f64, millimetres: f64, color: [u8; 3]) {
    let (width, height) = (i64::from(image.width), i64::from(image.height));
    #[allow(clippy::cast_possible_truncation, reason = "sizes are limited")]
    let places = |length: i64| {
        (0..)
            .map(move |number| (f64::from(number) * millimetres * scale) as i64)
            .take_while(move |at| *at < length)
    };
    for x in places(width) {
        (0..height).for_each(|y| image.blend(x, y, color, 255));
    }
    for y in places(height) {
        (0..width).for_each(|x| image.blend(x, y, color, 255));
    }
}
