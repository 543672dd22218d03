//! The graphics and texts of a state (PS3.3 section C.10.5), layer by layer, at
//! places told in pixels of the image or in parts of the displayed area.

use std::f64::consts::TAU;

use dicom_dictionary_std::tags;

use super::{Image, Target, area::Place, fill, layer_color, values};
use crate::{
    dicom::{DataSet, Tag},
    render::{
        font::{self, Size},
        stroke,
    },
};

/// Segments of a round line, and of one between two points of a curve.
const CIRCLE_SEGMENTS: u32 = 96;
const CURVE_SEGMENTS: u32 = 12;
/// Lines of one text, and letters of a line.
const LINES_MAX: usize = 200;
const LETTERS_MAX: usize = 500;

/// Draws all that is about a target, the lowest layer first.
pub fn draw(image: &mut Image, state: &DataSet, target: &Target<'_>, place: &Place) {
    let mut layers: Vec<(i64, &str)> = state
        .items(tags::GRAPHIC_LAYER_SEQUENCE)
        .iter()
        .filter_map(|layer| {
            let order = layer.first_int(tags::GRAPHIC_LAYER_ORDER).unwrap_or(i64::MAX);
            Some((order, layer.first_text(tags::GRAPHIC_LAYER)?))
        })
        .collect();
    layers.sort_unstable();
    let annotations = state.items(tags::GRAPHIC_ANNOTATION_SEQUENCE);
    let layer_of = |item: &DataSet| item.first_text(tags::GRAPHIC_LAYER).unwrap_or_default().to_owned();
    let position = |item: &DataSet| {
        let layer = layer_of(item);
        layers.iter().position(|(_, name)| *name == layer).unwrap_or(layers.len())
    };
    let mut shown: Vec<&DataSet> = annotations.iter().filter(|item| target.is_of(item)).collect();
    shown.sort_by_key(|item| position(item));
    for item in shown {
        let color = layer_color(state, &layer_of(item));
        if color.iter().any(|channel| *channel != color[0]) {
            image.make_rgb();
        }
        for graphic in item.items(tags::GRAPHIC_OBJECT_SEQUENCE) {
            graphic_object(image, graphic, place, color);
        }
        for text in item.items(tags::TEXT_OBJECT_SEQUENCE) {
            text_object(image, text, place, color);
        }
    }
}

/// A point in the picture.
fn point(place: &Place, item: &DataSet, units: Tag, at: (f64, f64)) -> (f64, f64) {
    if item.first_text(units) == Some("DISPLAY") { place.of_display(at) } else { place.of_pixel(at) }
}

fn width_for(image: &Image) -> f64 {
    (f64::from(image.width.min(image.height)) / 400.0).clamp(1.0, 4.0)
}

fn graphic_object(image: &mut Image, item: &DataSet, place: &Place, color: [u8; 3]) {
    let data = values::numbers(item, tags::GRAPHIC_DATA);
    let points: Vec<(f64, f64)> = data
        .chunks_exact(2)
        .take(fill::POINTS_MAX)
        .map(|pair| point(place, item, tags::GRAPHIC_ANNOTATION_UNITS, (pair[0], pair[1])))
        .collect();
    let line = match (item.first_text(tags::GRAPHIC_TYPE), &points[..]) {
        (Some("POINT"), [(x, y), ..]) => {
            let reach = width_for(image) * 3.0;
            for (dx, dy) in [(reach, 0.0), (0.0, reach)] {
                stroke::polyline(image, &[(x - dx, y - dy), (x + dx, y + dy)], width_for(image), color);
            }
            return;
        }
        (Some("POLYLINE"), _) => points,
        (Some("INTERPOLATED"), _) => curve(&points),
        // The middle and a point of the circle; in the picture an ellipse if its
        // pixels are not square.
        (Some("CIRCLE"), [middle, on]) => {
            let across = (on.0 - middle.0, on.1 - middle.1);
            round(*middle, across, (-across.1, across.0))
        }
        // The ends of one axis, then those of the other.
        (Some("ELLIPSE"), [a, b, c, d]) => {
            let middle = (f64::midpoint(a.0, b.0), f64::midpoint(a.1, b.1));
            let half = |from: &(f64, f64), to: &(f64, f64)| ((to.0 - from.0) / 2.0, (to.1 - from.1) / 2.0);
            round(middle, half(a, b), half(c, d))
        }
        _ => return,
    };
    if item.first_text(tags::GRAPHIC_FILLED) == Some("Y") {
        fill::polygon(image, &line, color);
    }
    stroke::polyline(image, &line, width_for(image), color);
}

/// An ellipse with these half axes.
fn round(middle: (f64, f64), a: (f64, f64), b: (f64, f64)) -> Vec<(f64, f64)> {
    (0..=CIRCLE_SEGMENTS)
        .map(|step| {
            let (sine, cosine) = (TAU * f64::from(step) / f64::from(CIRCLE_SEGMENTS)).sin_cos();
            (middle.0 + a.0 * cosine + b.0 * sine, middle.1 + a.1 * cosine + b.1 * sine)
        })
        .collect()
}

/// A smooth line through all points (Catmull and Rom); closed if it ends where
/// it begins.
fn curve(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let [first, .., last] = points else { return points.to_vec() };
    let count = points.len();
    let is_closed = first == last && count > 2;
    let before = if is_closed { points[count - 2] } else { *first };
    let after = if is_closed { points[1] } else { *last };
    let mut line = vec![*first];
    for (at, pair) in points.windows(2).enumerate() {
        let a = if at == 0 { before } else { points[at - 1] };
        let d = points.get(at + 2).copied().unwrap_or(after);
        let (b, c) = (pair[0], pair[1]);
        for step in 1..=CURVE_SEGMENTS {
            let t = f64::from(step) / f64::from(CURVE_SEGMENTS);
            let between = |a: f64, b: f64, c: f64, d: f64| {
                0.5 * (2.0 * b
                    + (c - a) * t
                    + (2.0 * a - 5.0 * b + 4.0 * c - d) * t * t
                    + (3.0 * b - a - 3.0 * c + d) * t * t * t)
            };
            line.push((between(a.0, b.0, c.0, d.0), between(a.1, b.1, c.1, d.1)));
        }
    }
    line
}

#[allow(clippy::cast_possible_truncation, reason = "saturates; outside of the picture nothing is drawn")]
fn text_object(image: &mut Image, item: &DataSet, place: &Place, color: [u8; 3]) {
    let Some(text) = item.first_text(tags::UNFORMATTED_TEXT_VALUE) else { return };
    let pair = |tag, units| match values::numbers(item, tag)[..] {
        [x, y] => Some(point(place, item, units, (x, y))),
        _ => None,
    };
    let anchor = pair(tags::ANCHOR_POINT, tags::ANCHOR_POINT_ANNOTATION_UNITS);
    let corners = pair(tags::BOUNDING_BOX_TOP_LEFT_HAND_CORNER, tags::BOUNDING_BOX_ANNOTATION_UNITS)
        .zip(pair(tags::BOUNDING_BOX_BOTTOM_RIGHT_HAND_CORNER, tags::BOUNDING_BOX_ANNOTATION_UNITS));
    let size = Size::for_height(image.height);
    let (left, top, right, bottom) = match (corners, anchor) {
        (Some((a, b)), _) => (a.0.min(b.0), a.1.min(b.1), a.0.max(b.0), a.1.max(b.1)),
        (None, Some((x, y))) => (x, y, x, y),
        (None, None) => return,
    };
    if let (Some(_), Some((x, y)), Some("Y")) =
        (corners, anchor, item.first_text(tags::ANCHOR_POINT_VISIBILITY))
    {
        let nearest = (x.clamp(left, right), y.clamp(top, bottom));
        stroke::polyline(image, &[(x, y), nearest], width_for(image), color);
    }
    let justification = item.first_text(tags::BOUNDING_BOX_TEXT_HORIZONTAL_JUSTIFICATION);
    for (number, line) in (0_u32..).zip(text.lines().take(LINES_MAX)) {
        let line: String = line.chars().take(LETTERS_MAX).collect();
        let slack = right - left - f64::from(size.width(&line));
        let x = match justification {
            Some("CENTER") => left + slack / 2.0,
            Some("RIGHT") => left + slack,
            _ => left,
        };
        // Within the picture, as far as it fits.
        let most = f64::from(image.width) - f64::from(size.width(&line));
        let x = x.min(most).max(0.0) as i64;
        let y = (top + f64::from(number * size.line_height())) as i64;
        font::write_edged(image, &line, x, y, size, color);
    }
}
