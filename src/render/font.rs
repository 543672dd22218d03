//! Text in pictures: one raster font of one width, in three sizes. What it has
//! no letter for is shown without its accents, or as a question mark.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use unicode_normalization::UnicodeNormalization;

use super::Image;

/// A size of the font.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Small,
    Medium,
    Large,
}

impl Size {
    /// The size that suits a picture of this height.
    #[must_use]
    pub fn for_height(height: u32) -> Self {
        match height {
            0..600 => Self::Small,
            600..1200 => Self::Medium,
            _ => Self::Large,
        }
    }

    fn raster(self) -> RasterHeight {
        match self {
            Self::Small => RasterHeight::Size16,
            Self::Medium => RasterHeight::Size20,
            Self::Large => RasterHeight::Size24,
        }
    }

    /// Pixels from one line to the next.
    #[must_use]
    pub fn line_height(self) -> u32 {
        match self {
            Self::Small => 16,
            Self::Medium => 20,
            Self::Large => 24,
        }
    }

    /// Pixels of a letter's width.
    #[must_use]
    pub fn letter_width(self) -> u32 {
        u32::try_from(get_raster_width(FontWeight::Regular, self.raster())).unwrap_or(8)
    }

    /// Pixels of a text's width.
    #[must_use]
    pub fn width(self, text: &str) -> u32 {
        u32::try_from(letters(text).count()).unwrap_or(0) * self.letter_width()
    }
}

fn letters(text: &str) -> impl Iterator<Item = char> {
    text.nfkc().filter(|letter| !letter.is_control())
}

/// Writes one line, its upper left corner at this place.
pub fn write(image: &mut Image, text: &str, x: i64, y: i64, size: Size, color: [u8; 3]) {
    let width = i64::from(size.letter_width());
    let raster = |letter: char| get_raster(letter, FontWeight::Regular, size.raster());
    for (left, letter) in (0..).map(|position| x + position * width).zip(letters(text)) {
        let plain = || letter.to_string().nfd().next().and_then(raster);
        let Some(glyph) = raster(letter).or_else(plain).or_else(|| raster('?')) else { continue };
        for (y, line) in (y..).zip(glyph.rows()) {
            for (x, coverage) in (left..).zip(line).filter(|(_, coverage)| **coverage > 0) {
                image.blend(x, y, color, *coverage);
            }
        }
    }
}

/// As [`write`], readable over anything: a dark edge around bright letters.
pub fn write_outlined(image: &mut Image, text: &str, x: i64, y: i64, size: Size) {
    write_edged(image, text, x, y, size, [255; 3]);
}

/// As [`write`], with an edge that is dark around bright letters and bright
/// around dark ones.
pub fn write_edged(image: &mut Image, text: &str, x: i64, y: i64, size: Size, color: [u8; 3]) {
    let edge = if super::image::luminance(color) > 96 { [0; 3] } else { [255; 3] };
    for (right, down) in [(-1, 0), (1, 0), (0, -1), (0, 1), (1, 1)] {
        write(image, text, x + right, y + down, size, edge);
    }
    write(image, text, x, y, size, color);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rnd_06_every_text_can_be_written() {
        let mut image = Image::gray(64, 16, vec![0; 1024]);
        write(&mut image, "É\u{1}山\u{1F600}", 0, 0, Size::Small, [255; 3]);
        assert!(image.data.iter().any(|value| *value > 128));
        assert_eq!(Size::Small.width("abc"), 3 * Size::Small.letter_width());
        write_outlined(&mut image, "far outside", 1000, -1000, Size::Large);
    }
}
