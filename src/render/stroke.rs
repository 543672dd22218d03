//! Lines in pictures, with smooth edges: how much of a pixel a line covers is
//! told by the distance of its middle from the line.

use super::Image;

/// Draws a line through these points, `width` pixels wide.
pub fn polyline(image: &mut Image, points: &[(f64, f64)], width: f64, color: [u8; 3]) {
    for pair in points.windows(2) {
        segment(image, pair[0], pair[1], width, color);
    }
}

fn segment(image: &mut Image, from: (f64, f64), to: (f64, f64), width: f64, color: [u8; 3]) {
    let reach = width / 2.0 + 0.5;
    let span = |a: f64, b: f64, size: u32| {
        let (low, high) = (f64::min(a, b) - reach, f64::max(a, b) + reach);
        #[allow(clippy::cast_possible_truncation, reason = "cut to the picture")]
        let span = (low.floor().max(0.0) as i64, high.ceil().min(f64::from(size) - 1.0) as i64);
        span
    };
    if ![from.0, from.1, to.0, to.1].into_iter().all(f64::is_finite) {
        return;
    }
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length_squared = dx.mul_add(dx, dy * dy);
    let (top, bottom) = span(from.1, to.1, image.height);
    let (left, right) = span(from.0, to.0, image.width);
    for y in top..=bottom {
        let middle = y as f64 + 0.5;
        // Only the part of the row that the line can reach.
        let (left, right) = if dy.abs() > 1.0 && dx != 0.0 {
            let at = |y: f64| from.0 + (y - from.1) / dy * dx;
            let slack = reach * (1.0 + (dx / dy).abs());
            let (a, b) = (at(middle - 1.0), at(middle + 1.0));
            #[allow(clippy::cast_possible_truncation, reason = "cut to the picture")]
            let part = (
                left.max((f64::min(a, b) - slack).floor() as i64),
                right.min((f64::max(a, b) + slack).ceil() as i64),
            );
            part
        } else {
            (left, right)
        };
        for x in left..=right {
            let (px, py) = (x as f64 + 0.5 - from.0, middle - from.1);
            let along = if length_squared > 0.0 {
                (px.mul_add(dx, py * dy) / length_squared).clamp(0.0, 1.0)
            } else {
                0.0
            };
            let distance = f64::hypot(px - along * dx, py - along * dy);
            let coverage = super::image::byte((reach - distance).clamp(0.0, 1.0));
            if coverage > 0 {
                image.blend(x, y, color, coverage);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rnd_13_lines_cover_what_they_pass() {
        let mut image = Image::gray(5, 5, vec![0; 25]);
        polyline(&mut image, &[(0.0, 2.5), (5.0, 2.5)], 1.0, [255; 3]);
        assert_eq!(image.data[10..15], [255; 5]);
        assert_eq!(image.data[0..5], [0; 5]);
        let mut image = Image::gray(5, 5, vec![0; 25]);
        polyline(&mut image, &[(-1e9, -1e9), (1e9, 1e9), (f64::NAN, 0.0)], 1.0, [255; 3]);
        assert!(image.data[12] > 200);
    }
}
