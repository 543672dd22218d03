//! The part of an image that a state shows, how large, and turned how (PS3.3
//! sections C.10.4 and C.10.6). Corners are told in the image's own pixels,
//! whichever way it is turned.

use dicom_dictionary_std::tags;

use super::{Image, RenderError, Target, values};
use crate::{
    dicom::DataSet,
    render::{
        Channels,
        geometry::{self, Source, Viewport},
    },
};

/// A picture that is not fitted into anything has at most so many columns and
/// rows.
const SIDE_MAX: f64 = 8192.0;

/// Quarters that an image is turned clockwise, and whether it is mirrored left
/// to right after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    quarters: u8,
    is_flipped: bool,
}

impl Turn {
    fn of(state: &DataSet) -> Self {
        let degrees = state.first_int(tags::IMAGE_ROTATION).unwrap_or(0).rem_euclid(360);
        Self {
            quarters: u8::try_from(degrees / 90).unwrap_or(0),
            is_flipped: state.first_text(tags::IMAGE_HORIZONTAL_FLIP) == Some("Y"),
        }
    }

    fn is_on_its_side(self) -> bool {
        self.quarters % 2 == 1
    }

    /// Where a point of the unit square comes to lie.
    fn point(self, (x, y): (f64, f64)) -> (f64, f64) {
        let (x, y) = match self.quarters {
            1 => (1.0 - y, x),
            2 => (1.0 - x, 1.0 - y),
            3 => (y, 1.0 - x),
            _ => (x, y),
        };
        if self.is_flipped { (1.0 - x, y) } else { (x, y) }
    }

    fn image(self, image: Image) -> Image {
        if self == (Self { quarters: 0, is_flipped: false }) {
            return image;
        }
        let (width, height) = (image.width as usize, image.height as usize);
        let (to_width, to_height) = if self.is_on_its_side() { (height, width) } else { (width, height) };
        let pixel = image.channels.count();
        let mut data = Vec::with_capacity(image.data.len());
        for y in 0..to_height {
            for x in 0..to_width {
                let x = if self.is_flipped { to_width - 1 - x } else { x };
                let (from_x, from_y) = match self.quarters {
                    1 => (y, height - 1 - x),
                    2 => (width - 1 - x, height - 1 - y),
                    3 => (width - 1 - y, x),
                    _ => (x, y),
                };
                let at = (from_y * width + from_x) * pixel;
                data.extend_from_slice(&image.data[at..at + pixel]);
            }
        }
        let side = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Image { width: side(to_width), height: side(to_height), data, ..image }
    }
}

/// What is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Area {
    /// Of the image, its first pixel being at 0; it may reach beyond it.
    left: f64,
    top: f64,
    columns: f64,
    rows: f64,
    /// Height of a pixel by its width.
    aspect: f64,
    /// MAGNIFY: pixels of the picture for one of the image.
    magnified: Option<f64>,
    turn: Turn,
}

/// Where things lie in the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    area: Area,
    /// Of the whole area, whether or not all of it is in the picture.
    width: f64,
    height: f64,
}

impl Place {
    /// A point of the image, the upper left corner of its first pixel being 0, 0.
    pub fn of_pixel(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let unit = ((x - self.area.left) / self.area.columns, (y - self.area.top) / self.area.rows);
        self.of_display(self.area.turn.point(unit))
    }

    /// A point in parts of the displayed area.
    pub fn of_display(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (x * self.width, y * self.height)
    }
}

impl Area {
    /// What a state shows of an image: all of it, if the state does not say.
    pub fn of(state: &DataSet, target: &Target<'_>, image: &Image) -> Self {
        let turn = Turn::of(state);
        let whole = Self {
            left: 0.0,
            top: 0.0,
            columns: f64::from(image.width),
            rows: f64::from(image.height),
            aspect: 1.0,
            magnified: None,
            turn,
        };
        let Some(item) = target.item(state, tags::DISPLAYED_AREA_SELECTION_SEQUENCE) else { return whole };
        let pair = |tag| match values::numbers(item, tag)[..] {
            [a, b, ..] if a.is_finite() && b.is_finite() => Some((a, b)),
            _ => None,
        };
        let ratio = |tag| {
            pair(tag)
                .filter(|(a, b)| *a > 0.0 && *b > 0.0)
                .map(|(vertical, horizontal)| vertical / horizontal)
        };
        let aspect = ratio(tags::PRESENTATION_PIXEL_SPACING)
            .or_else(|| ratio(tags::PRESENTATION_PIXEL_ASPECT_RATIO))
            .filter(|ratio| (0.05..=20.0).contains(ratio))
            .unwrap_or(1.0);
        let magnified = values::number(item, tags::PRESENTATION_PIXEL_MAGNIFICATION_RATIO)
            .filter(|ratio| *ratio > 0.0 && item.first_text(tags::PRESENTATION_SIZE_MODE) == Some("MAGNIFY"));
        let corners = pair(tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER)
            .zip(pair(tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER));
        let Some(((ax, ay), (bx, by))) = corners else { return Self { aspect, magnified, ..whole } };
        Self {
            left: f64::min(ax, bx) - 1.0,
            top: f64::min(ay, by) - 1.0,
            columns: (ax - bx).abs() + 1.0,
            rows: (ay - by).abs() + 1.0,
            aspect,
            magnified,
            turn,
        }
    }

    /// The picture, and where things lie in it.
    ///
    /// # Errors
    /// It would be larger than any picture may be.
    pub fn show(self, image: Image, fits: Option<(u32, u32)>) -> Result<(Image, Place), RenderError> {
        let on_side = |(width, height): (f64, f64)| {
            if self.turn.is_on_its_side() { (height, width) } else { (width, height) }
        };
        let limits = fits.map(|(width, height)| on_side((f64::from(width), f64::from(height))));
        let (columns, rows) = (self.columns, self.rows * self.aspect);
        let scale = match (self.magnified, limits) {
            (Some(ratio), _) => ratio,
            (None, Some((width, height))) => f64::min(width / columns, height / rows),
            (None, None) => f64::min(1.0, f64::min(SIDE_MAX / columns, SIDE_MAX / rows)),
        };
        let (across, down) = (scale, scale * self.aspect);
        let full = ((self.columns * across).round().max(1.0), (self.rows * down).round().max(1.0));
        let (width, height) = on_side(full);
        let shown =
            limits.map_or(full, |limits| (full.0.min(limits.0.round()), full.1.min(limits.1.round())));
        if shown.0 > SIDE_MAX || shown.1 > SIDE_MAX {
            return Err(RenderError::Parameter {
                name: "viewport",
                detail: format!(
                    "the presentation state magnifies to {width}×{height} pixels; give a viewport of at most {SIDE_MAX}"
                ),
            });
        }
        // What is cut off is what lies farthest from the corner that is shown at
        // the top left.
        let corner = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]
            .into_iter()
            .find(|corner| self.turn.point(*corner) == (0.0, 0.0))
            .unwrap_or((0.0, 0.0));
        let offset = ((full.0 - shown.0) * corner.0, (full.1 - shown.1) * corner.1);
        let canvas = paste(image, &self, (across, down), offset, shown)?;
        let picture = self.turn.image(canvas);
        Ok((picture, Place { area: self, width, height }))
    }
}

/// The part of an area that begins `offset` pixels of the picture from its upper
/// left corner and is `shown` large, not yet turned. Beyond the image is black.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and cut to the picture")]
fn paste(
    image: Image,
    area: &Area,
    scale: (f64, f64),
    offset: (f64, f64),
    shown: (f64, f64),
) -> Result<Image, RenderError> {
    let (width, height) = (shown.0 as u32, shown.1 as u32);
    let black = vec![0; width as usize * height as usize * image.channels.count()];
    let mut canvas = match image.channels {
        Channels::Gray => Image::gray(width, height, black),
        Channels::Rgb => Image::rgb(width, height, black),
    };
    // In pixels of the image: what can be seen of it.
    let span = |start: f64, scale: f64, offset: f64, shown: f64, size: u32| {
        let from = (start + offset / scale).max(0.0).floor();
        let to = (start + (offset + shown) / scale).min(f64::from(size)).ceil();
        (to > from).then_some((from, to))
    };
    let across = span(area.left, scale.0, offset.0, shown.0, image.width);
    let down = span(area.top, scale.1, offset.1, shown.1, image.height);
    let (Some((x0, x1)), Some((y0, y1))) = (across, down) else { return Ok(canvas) };
    let source = Source { x: x0, y: y0, width: Some(x1 - x0), height: Some(y1 - y0), relative: false };
    let part = geometry::show(image, &Viewport { fits: None, source })?;
    let at =
        |pixel: f64, start: f64, scale: f64, offset: f64| ((pixel - start) * scale - offset).round() as i64;
    let (left, right) = (at(x0, area.left, scale.0, offset.0), at(x1, area.left, scale.0, offset.0));
    let (top, bottom) = (at(y0, area.top, scale.1, offset.1), at(y1, area.top, scale.1, offset.1));
    let side = |from: i64, to: i64| u32::try_from((to - from).max(1)).unwrap_or(1);
    let part = geometry::to_size(part, side(left, right), side(top, bottom))?;
    let pixel = canvas.channels.count();
    for (y, row) in (top..).zip(part.data.chunks_exact(part.width as usize * pixel)) {
        let Some(y) = usize::try_from(y).ok().filter(|y| *y < height as usize) else { continue };
        let skip = usize::try_from(-left).unwrap_or(0);
        let from = usize::try_from(left).unwrap_or(0);
        if skip >= part.width as usize || from >= width as usize {
            continue;
        }
        let count = (part.width as usize - skip).min(width as usize - from);
        let to = (y * width as usize + from) * pixel;
        canvas.data[to..to + count * pixel].copy_from_slice(&row[skip * pixel..(skip + count) * pixel]);
    }
    Ok(canvas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::{Element, VR, Value};

    fn numbered() -> Image {
        Image::gray(3, 2, vec![1, 2, 3, 4, 5, 6])
    }

    fn state(rotation: u64, flip: &str, corners: [i64; 4], magnified: Option<f32>) -> DataSet {
        let mut item = DataSet::new();
        let signed = |values: &[i64]| Element::new(VR::SL, Value::Signed(values.to_vec()));
        item.put(tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER, signed(&corners[..2]));
        item.put(tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER, signed(&corners[2..]));
        item.put_text(
            tags::PRESENTATION_SIZE_MODE,
            VR::CS,
            if magnified.is_some() { "MAGNIFY" } else { "SCALE TO FIT" },
        );
        if let Some(ratio) = magnified {
            item.put(
                tags::PRESENTATION_PIXEL_MAGNIFICATION_RATIO,
                Element::new(VR::FL, Value::Float(vec![ratio])),
            );
        }
        let mut state = DataSet::new();
        state.put(tags::DISPLAYED_AREA_SELECTION_SEQUENCE, Element::new(VR::SQ, Value::Items(vec![item])));
        state.put(tags::IMAGE_ROTATION, Element::new(VR::US, Value::Unsigned(vec![rotation])));
        state.put_text(tags::IMAGE_HORIZONTAL_FLIP, VR::CS, flip);
        state
    }

    fn shown(state: &DataSet, fits: Option<(u32, u32)>) -> (Image, Place) {
        let target = Target { instance: "1.2", frame: 1 };
        Area::of(state, &target, &numbered()).show(numbered(), fits).expect("shown")
    }

    #[test]
    fn rnd_14_areas_are_turned_and_then_mirrored() {
        for (rotation, flip, corners, expected, columns) in [
            (0, "N", [1, 1, 3, 2], vec![1, 2, 3, 4, 5, 6], 3),
            (90, "N", [1, 2, 3, 1], vec![4, 1, 5, 2, 6, 3], 2),
            (180, "N", [3, 2, 1, 1], vec![6, 5, 4, 3, 2, 1], 3),
            (270, "N", [3, 1, 1, 2], vec![3, 6, 2, 5, 1, 4], 2),
            (0, "Y", [3, 1, 1, 2], vec![3, 2, 1, 6, 5, 4], 3),
            (90, "Y", [1, 1, 3, 2], vec![1, 4, 2, 5, 3, 6], 2),
            (0, "N", [2, 1, 3, 2], vec![2, 3, 5, 6], 2),
            (0, "N", [0, 0, 1, 1], vec![0, 0, 0, 1], 2),
            (0, "N", [9, 9, 10, 10], vec![0, 0, 0, 0], 2),
        ] {
            let (image, _) = shown(&state(rotation, flip, corners, None), None);
            assert_eq!((image.data, image.width), (expected, columns), "{rotation} {flip} {corners:?}");
        }
    }

    #[test]
    fn rnd_14_magnified_areas_are_cut_to_the_viewport() {
        let (image, place) = shown(&state(0, "N", [1, 1, 3, 2], Some(4.0)), Some((6, 6)));
        assert_eq!((image.width, image.height, image.data[0]), (6, 6, 1));
        assert_eq!((place.width, place.height), (12.0, 8.0));
        // From the corner that is shown at the top left.
        let (image, place) = shown(&state(180, "N", [3, 2, 1, 1], Some(4.0)), Some((6, 6)));
        assert_eq!((image.width, image.data[0]), (6, 6));
        assert_eq!(place.of_pixel((3.0, 2.0)), (0.0, 0.0));
        let far = state(0, "N", [-2_000_000_000, 1, 2_000_000_000, 2], Some(9.0));
        let target = Target { instance: "1.2", frame: 1 };
        assert!(Area::of(&far, &target, &numbered()).show(numbered(), None).is_err());
        let (image, _) = shown(&state(0, "N", [-2_000_000_000, 1, 2_000_000_000, 2], None), None);
        assert!(image.width <= 8192);
    }
}
