//! The icon of what has no picture: its modality in letters on a dark ground.

use super::{
    Image, RenderError,
    font::{self, Size},
    geometry,
};

const GROUND: [u8; 3] = [38, 44, 52];
const EDGE: [u8; 3] = [92, 104, 120];
const INK: [u8; 3] = [214, 222, 232];
/// Modalities are code strings of at most sixteen letters; six can be read.
const LETTERS_MAX: usize = 6;

/// A square icon that fits into this.
///
/// # Errors
/// The scaler gave up.
pub fn draw(label: &str, width: u32, height: u32) -> Result<Image, RenderError> {
    let side = width.min(height).max(1);
    let label: String = label.chars().take(LETTERS_MAX).collect();
    let size = Size::Large;
    let mut text = Image::filled(size.width(&label).max(1), size.line_height(), GROUND);
    font::write(&mut text, &label, 0, 0, size, INK);
    let text = geometry::fit(text, (side * 3 / 4).max(1), (side / 2).max(1))?;
    let mut icon = Image::filled(side, side, GROUND);
    for at in 0..i64::from(side) {
        let last = i64::from(side) - 1;
        for (x, y) in [(at, 0), (at, last), (0, at), (last, at)] {
            icon.blend(x, y, EDGE, 255);
        }
    }
    let (left, top) = ((side - text.width) / 2, (side - text.height) / 2);
    for (row, line) in text.data.chunks_exact(text.width as usize * 3).enumerate() {
        let start = ((top as usize + row) * side as usize + left as usize) * 3;
        icon.data[start..start + line.len()].copy_from_slice(line);
    }
    Ok(icon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rnd_17_every_size_has_an_icon() {
        for (width, height) in [(1, 1), (2, 300), (200, 200), (1000, 900)] {
            let icon = draw("RTSTRUCT", width, height).expect("drawn");
            assert_eq!(icon.width, icon.height);
            assert!(icon.width <= width && icon.height <= height);
        }
        let icon = draw("SR", 128, 128).expect("drawn");
        assert!(icon.data.iter().any(|value| *value > 200), "there are letters on it");
    }
}
