//! Shutters: what of an image is covered (PS3.3 sections C.7.6.11 and C.7.6.15).
//! Several shapes leave what lies within all of them.

use dicom_dictionary_std::tags;

use super::{Image, OVERLAY_ROWS, color_of, fill, overlay, values};
use crate::dicom::{DataSet, Tag};

/// Covers what the shutters of a state cover.
pub fn draw(image: &mut Image, state: &DataSet) {
    let color =
        color_of(state, tags::SHUTTER_PRESENTATION_COLOR_CIE_LAB_VALUE, tags::SHUTTER_PRESENTATION_VALUE)
            .unwrap_or([0; 3]);
    if color.iter().any(|channel| *channel != color[0]) {
        image.make_rgb();
    }
    for shape in values::texts(state, tags::SHUTTER_SHAPE) {
        match shape.as_str() {
            "RECTANGULAR" => rectangle(image, state, color),
            "CIRCULAR" => circle(image, state, color),
            "POLYGONAL" => polygon(image, state, color),
            "BITMAP" => bitmap(image, state, color),
            _ => {}
        }
    }
}

/// Covers what of each row is not between two columns, which do not overlap.
fn keep(image: &mut Image, color: [u8; 3], kept: impl Fn(f64) -> Vec<(f64, f64)>) {
    let width = f64::from(image.width);
    let mut is_kept = vec![false; image.width as usize];
    for row in 0..image.height {
        is_kept.fill(false);
        for (from, to) in kept(f64::from(row) + 0.5) {
            // Pixels whose middle lies between the two.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the row")]
            let bound = |edge: f64| (edge - 0.5).ceil().clamp(0.0, width) as usize;
            if let Some(part) = is_kept.get_mut(bound(from)..bound(to)) {
                part.fill(true);
            }
        }
        for (column, _) in (0..).zip(&is_kept).filter(|(_, is_kept)| !**is_kept) {
            image.blend(column, i64::from(row), color, 255);
        }
    }
}

fn rectangle(image: &mut Image, state: &DataSet, color: [u8; 3]) {
    let edge = |tag, other: f64| values::number(state, tag).unwrap_or(other);
    let left = edge(tags::SHUTTER_LEFT_VERTICAL_EDGE, 1.0) - 1.0;
    let right = edge(tags::SHUTTER_RIGHT_VERTICAL_EDGE, f64::from(image.width));
    let top = edge(tags::SHUTTER_UPPER_HORIZONTAL_EDGE, 1.0) - 1.0;
    let bottom = edge(tags::SHUTTER_LOWER_HORIZONTAL_EDGE, f64::from(image.height));
    keep(image, color, |y| if (top..bottom).contains(&y) { vec![(left, right)] } else { Vec::new() });
}

fn circle(image: &mut Image, state: &DataSet, color: [u8; 3]) {
    let [row, column] = values::numbers(state, tags::CENTER_OF_CIRCULAR_SHUTTER)[..] else { return };
    let Some(radius) = values::number(state, tags::RADIUS_OF_CIRCULAR_SHUTTER) else { return };
    let (x, middle) = (column - 0.5, row - 0.5);
    keep(image, color, |y| {
        let half = radius.mul_add(radius, -(y - middle).powi(2));
        if half > 0.0 { vec![(x - half.sqrt(), x + half.sqrt())] } else { Vec::new() }
    });
}

fn polygon(image: &mut Image, state: &DataSet, color: [u8; 3]) {
    let numbers = values::numbers(state, tags::VERTICES_OF_THE_POLYGONAL_SHUTTER);
    let points: Vec<(f64, f64)> =
        numbers.chunks_exact(2).map(|pair| (pair[1] - 0.5, pair[0] - 0.5)).collect();
    if (3..=fill::POINTS_MAX).contains(&points.len()) {
        keep(image, color, |y| fill::spans(&points, y));
    }
}

/// The pixels that an overlay of the state marks are covered.
fn bitmap(image: &mut Image, state: &DataSet, color: [u8; 3]) {
    let Some(group) = values::whole::<u16>(state, tags::SHUTTER_OVERLAY_GROUP) else { return };
    if state.get(Tag(group, OVERLAY_ROWS)).is_some() && group & 0xFFE1 == 0x6000 {
        overlay::draw_plane(image, state, group, 0, color);
    }
}
