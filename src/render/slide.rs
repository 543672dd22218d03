//! A level of a whole slide put together from its tiles (PS3.3 section
//! C.8.12.4), small enough to be looked at.

use dicom_dictionary_std::tags;

use super::{Channels, Image, RenderError, functional::FrameAttributes, geometry, values};
use crate::dicom::DataSet;

/// Of a level of more tiles one tile is shown.
const TILES_MAX: u32 = 400;
/// The longer side of the whole, in pixels.
const SIDE_MAX: f64 = 2048.0;

/// Where the tiles of a level lie.
#[derive(Debug, Clone)]
pub struct Mosaic {
    /// Frame number, counted from 1, and the tile's upper left pixel.
    tiles: Vec<(u32, f64, f64)>,
    columns: f64,
    rows: f64,
    /// Pixels of the whole for one of the level.
    scale: f64,
    whole: Image,
}

impl Mosaic {
    /// The level that an instance of several frames is; none if it is none, or
    /// too large.
    #[must_use]
    pub fn of(set: &DataSet, frames: u32) -> Option<Self> {
        let whole = |tag| values::whole::<u32>(set, tag).filter(|side| *side > 0);
        let (width, height) =
            (whole(tags::TOTAL_PIXEL_MATRIX_COLUMNS)?, whole(tags::TOTAL_PIXEL_MATRIX_ROWS)?);
        let (columns, rows) = (whole(tags::COLUMNS)?, whole(tags::ROWS)?);
        if !(2..=TILES_MAX).contains(&frames) {
            return None;
        }
        let across = width.div_ceil(columns);
        let tiles = if set.first_text(tags::DIMENSION_ORGANIZATION_TYPE) == Some("TILED_FULL") {
            // Of several focal planes and optical paths the first.
            let count = across.checked_mul(height.div_ceil(rows))?.min(frames);
            (0..count)
                .map(|index| {
                    (index + 1, f64::from(index % across * columns), f64::from(index / across * rows))
                })
                .collect()
        } else {
            (0..frames).filter_map(|index| placed(set, index)).collect::<Vec<_>>()
        };
        let scale = f64::min(1.0, SIDE_MAX / f64::from(width.max(height)));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most SIDE_MAX")]
        let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
        let whole = Image::filled(side(width), side(height), [255; 3]);
        Some(Self { tiles, columns: f64::from(columns), rows: f64::from(rows), scale, whole })
    }

    /// The frames it consists of, counted from 1.
    pub fn frames(&self) -> impl Iterator<Item = u32> + use<> {
        let frames: Vec<u32> = self.tiles.iter().map(|(frame, ..)| *frame).collect();
        frames.into_iter()
    }

    /// Puts a tile where it belongs.
    ///
    /// # Errors
    /// The scaler gave up.
    pub fn put(&mut self, frame: u32, tile: Image) -> Result<(), RenderError> {
        let Some((_, x, y)) = self.tiles.iter().find(|(number, ..)| *number == frame) else { return Ok(()) };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, small")]
        let at = |length: f64| (length * self.scale).round() as u32;
        let (left, top) = (at(*x), at(*y));
        let (width, height) = (at(x + self.columns) - left, at(y + self.rows) - top);
        let tile = geometry::to_size(tile.into_rgb(), width.max(1), height.max(1))?;
        let pixel = Channels::Rgb.count();
        let shown = tile.width.min(self.whole.width.saturating_sub(left)) as usize * pixel;
        let lines = tile.data.chunks_exact(tile.width as usize * pixel);
        for (row, line) in (top..self.whole.height).zip(lines) {
            let start = (row as usize * self.whole.width as usize + left as usize) * pixel;
            if shown > 0 {
                self.whole.data[start..start + shown].copy_from_slice(&line[..shown]);
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn into_image(self) -> Image {
        self.whole
    }
}

/// Where the functional groups of a frame say that it lies, counted from 1.
fn placed(set: &DataSet, index: u32) -> Option<(u32, f64, f64)> {
    let position = tags::COLUMN_POSITION_IN_TOTAL_IMAGE_PIXEL_MATRIX;
    let place = FrameAttributes::of(set, index).group(tags::PLANE_POSITION_SLIDE_SEQUENCE, position)?;
    let x = values::number(place, position)? - 1.0;
    let y = values::number(place, tags::ROW_POSITION_IN_TOTAL_IMAGE_PIXEL_MATRIX)? - 1.0;
    (x >= 0.0 && y >= 0.0).then_some((index + 1, x, y))
}

/// Whether the picture shows the label of the slide, on which the patient's name
/// stands.
#[must_use]
pub fn shows_label(set: &DataSet) -> bool {
    set.first_text(tags::SPECIMEN_LABEL_IN_IMAGE) == Some("YES")
        || values::texts(set, tags::IMAGE_TYPE).iter().any(|kind| kind == "LABEL")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::{Element, VR, Value};

    fn level(width: u64, height: u64, organization: &str) -> DataSet {
        let mut set = DataSet::new();
        for (tag, value) in [
            (tags::TOTAL_PIXEL_MATRIX_COLUMNS, width),
            (tags::TOTAL_PIXEL_MATRIX_ROWS, height),
            (tags::COLUMNS, 4),
            (tags::ROWS, 4),
        ] {
            set.put(tag, Element::new(VR::UL, Value::Unsigned(vec![value])));
        }
        set.put_text(tags::DIMENSION_ORGANIZATION_TYPE, VR::CS, organization);
        set
    }

    #[test]
    fn rnd_12_tiles_make_a_level() {
        let mut mosaic = Mosaic::of(&level(6, 8, "TILED_FULL"), 4).expect("a level");
        assert_eq!(mosaic.frames().collect::<Vec<_>>(), [1, 2, 3, 4]);
        for frame in 1..=4 {
            mosaic.put(frame, Image::gray(4, 4, vec![u8::try_from(frame).expect("small"); 16])).expect("put");
        }
        let whole = mosaic.into_image();
        assert_eq!((whole.width, whole.height), (6, 8));
        let pixel = |x: usize, y: usize| whole.data[(y * 6 + x) * 3];
        assert_eq!((pixel(0, 0), pixel(5, 3), pixel(3, 4), pixel(5, 7)), (1, 2, 3, 4));
        assert!(Mosaic::of(&level(6, 8, "TILED_FULL"), 1).is_none());
        assert!(Mosaic::of(&level(60_000, 80_000, "TILED_FULL"), 10_000).is_none());
        // A large level is made smaller while it is put together.
        let mut large = Mosaic::of(&level(40_000, 8, "TILED_FULL"), 300).expect("a level");
        large.put(300, Image::gray(4, 4, vec![7; 16])).expect("put");
        assert_eq!(large.into_image().width, 2048);
        // Sparse ones say where their tiles are; one that does not is left out.
        assert_eq!(Mosaic::of(&level(6, 8, "TILED_SPARSE"), 4).expect("a level").frames().count(), 0);
    }

    #[test]
    fn rnd_17_labels_are_known() {
        let mut set = DataSet::new();
        assert!(!shows_label(&set));
        set.put(
            tags::IMAGE_TYPE,
            Element::new(
                VR::CS,
                Value::Text(["ORIGINAL", "PRIMARY", "LABEL", "NONE"].map(str::to_owned).to_vec()),
            ),
        );
        assert!(shows_label(&set));
    }
}
