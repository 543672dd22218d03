//! Areas bounded by straight lines: a row at a time, by where the lines cross
//! its middle (even-odd).

use super::Image;

/// Corners of one area; more are not drawn.
pub const POINTS_MAX: usize = 10_000;

/// From where to where a row is inside.
#[must_use]
pub fn spans(points: &[(f64, f64)], y: f64) -> Vec<(f64, f64)> {
    let next = points.iter().cycle().skip(1);
    let mut crossings: Vec<f64> = points
        .iter()
        .zip(next)
        .filter(|(a, b)| (a.1 <= y) != (b.1 <= y))
        .map(|(a, b)| a.0 + (y - a.1) / (b.1 - a.1) * (b.0 - a.0))
        .collect();
    crossings.sort_by(f64::total_cmp);
    crossings.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Fills an area with a colour.
pub fn polygon(image: &mut Image, points: &[(f64, f64)], color: [u8; 3]) {
    if points.len() < 3 || points.len() > POINTS_MAX {
        return;
    }
    for row in 0..image.height {
        for (from, to) in spans(points, f64::from(row) + 0.5) {
            let (from, to) = (from.max(0.0), to.min(f64::from(image.width)));
            #[allow(clippy::cast_possible_truncation, reason = "cut to the picture")]
            for column in (from - 0.5).ceil() as i64..(to + 0.5).floor() as i64 {
                image.blend(column, i64::from(row), color, 255);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rnd_14_areas_are_filled() {
        let mut image = Image::gray(4, 3, vec![0; 12]);
        polygon(&mut image, &[(1.0, 0.0), (3.0, 0.0), (3.0, 2.0), (1.0, 2.0)], [9; 3]);
        assert_eq!(image.data, [0, 9, 9, 0, 0, 9, 9, 0, 0, 0, 0, 0]);
        polygon(&mut image, &[(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)], [7; 3]);
        assert_eq!(image.data, [7; 12]);
        polygon(&mut image, &[(f64::NAN, 0.0), (1.0, 1.0), (2.0, f64::INFINITY)], [1; 3]);
    }
}
