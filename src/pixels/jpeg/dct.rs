//! Sequential DCT frames of 12 bits a sample (processes 2 and 4), Huffman-coded.
//!
//! The inverse transform is the accurate integer one of Loeffler, Ligtenberg
//! and Moschytz that libjpeg made the reference of everybody else, so that
//! results agree to the last bit.

use super::{
    super::{
        PixelError,
        samples::{Samples, Values},
    },
    NAME,
    huffman::{Reader, Table},
    segments::{self, Component, Frame, Scan, Tables},
};

/// From the order of coding to rows of eight.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The samples of one component, in whole blocks.
struct Plane {
    /// Samples in a line, and blocks in all directions.
    width: usize,
    values: Vec<u16>,
}

pub fn decode(code: &[u8], frame: &Frame, luminance_chrominance: bool) -> Result<Samples, PixelError> {
    let grid = Grid::of(frame)?;
    let mut planes: Vec<Plane> = frame.components.iter().map(|component| grid.plane(component)).collect();
    let mut tables = Tables::default();
    let (mut at, mut done) = (2, 0);
    while done < planes.len() {
        let Some(scan) = segments::scan(code, at, frame, &mut tables)? else {
            return Err(PixelError::damaged(NAME, at, "it ends before its last component"));
        };
        done += scan.components.len();
        at = decode_scan(code, &scan, frame, &grid, &tables, &mut planes)?;
    }
    let mut values = joined(&planes, frame, &grid);
    if luminance_chrominance {
        values.chunks_exact_mut(3).for_each(to_rgb);
    }
    Ok(Samples {
        columns: frame.columns,
        rows: frame.rows,
        per_pixel: planes.len() as u16,
        precision: 12,
        values: Values::Words(values),
    })
}

/// The samples of all components, those of a pixel together.
fn joined(planes: &[Plane], frame: &Frame, grid: &Grid) -> Vec<u16> {
    let (columns, rows) = (frame.columns as usize, frame.rows as usize);
    if let ([plane], [component]) = (planes, frame.components.as_slice())
        && (component.horizontal, component.vertical) == (grid.horizontal, grid.vertical)
    {
        let mut values = Vec::with_capacity(columns * rows);
        let lines = plane.values.chunks_exact(plane.width.max(1)).take(rows);
        lines.for_each(|line| values.extend_from_slice(&line[..columns]));
        return values;
    }
    let mut values = Vec::with_capacity(columns * rows * planes.len());
    for row in 0..rows {
        for column in 0..columns {
            for (plane, component) in planes.iter().zip(&frame.components) {
                let (x, y) = (
                    column * component.horizontal / grid.horizontal,
                    row * component.vertical / grid.vertical,
                );
                values.push(plane.values[y * plane.width + x]);
            }
        }
    }
    values
}

/// How a frame is divided into MCUs.
struct Grid {
    horizontal: usize,
    vertical: usize,
    across: usize,
    down: usize,
}

impl Grid {
    fn of(frame: &Frame) -> Result<Self, PixelError> {
        if !matches!(frame.components.len(), 1 | 3) {
            return Err(PixelError::Unsupported(format!("JPEG of {} components", frame.components.len())));
        }
        let largest =
            |factor: fn(&Component) -> usize| frame.components.iter().map(factor).max().unwrap_or(1);
        let (horizontal, vertical) = (largest(|c| c.horizontal), largest(|c| c.vertical));
        Ok(Self {
            horizontal,
            vertical,
            across: (frame.columns as usize).div_ceil(8 * horizontal),
            down: (frame.rows as usize).div_ceil(8 * vertical),
        })
    }

    fn plane(&self, component: &Component) -> Plane {
        let width = self.across * component.horizontal * 8;
        Plane { width, values: vec![0; width * self.down * component.vertical * 8] }
    }
}

struct Part<'a> {
    place: usize,
    component: Component,
    dc: &'a Table,
    ac: &'a Table,
    quantization: &'a [i32; 64],
    predicted: i32,
}

fn decode_scan(
    code: &[u8],
    scan: &Scan,
    frame: &Frame,
    grid: &Grid,
    tables: &Tables,
    planes: &mut [Plane],
) -> Result<usize, PixelError> {
    let mut reader = Reader::new(code, scan.start);
    let parts: Option<Vec<Part<'_>>> = scan
        .components
        .iter()
        .map(|(place, dc, ac)| {
            let component = frame.components[*place];
            Some(Part {
                place: *place,
                component,
                dc: tables.dc[*dc].as_ref()?,
                ac: tables.ac[*ac].as_ref()?,
                quantization: tables.quantization[component.quantization].as_ref()?,
                predicted: 0,
            })
        })
        .collect();
    let mut parts = parts.ok_or_else(|| reader.damaged("a scan without its tables"))?;
    // A scan of one component counts its own blocks, not those of MCUs.
    let single = match parts.as_slice() {
        [part] => Some(part.component),
        _ => None,
    };
    let (across, down) = match single {
        Some(component) => (
            (frame.columns as usize * component.horizontal).div_ceil(8 * grid.horizontal),
            (frame.rows as usize * component.vertical).div_ceil(8 * grid.vertical),
        ),
        None => (grid.across, grid.down),
    };
    for mcu in 0..across * down {
        if tables.restart != 0 && mcu != 0 && mcu % tables.restart == 0 {
            reader.restart();
            parts.iter_mut().for_each(|part| part.predicted = 0);
        }
        for part in &mut parts {
            let (wide, high) = match single {
                Some(_) => (1, 1),
                None => (part.component.horizontal, part.component.vertical),
            };
            for block in 0..wide * high {
                let x = mcu % across * wide + block % wide;
                let y = mcu / across * high + block / wide;
                let coefficients = part.coefficients(&mut reader)?;
                let plane = &mut planes[part.place];
                inverse(&coefficients, &mut plane.values[y * 8 * plane.width + x * 8..], plane.width);
            }
        }
        if reader.is_beyond() {
            return Err(reader.damaged("it ends before its last block"));
        }
    }
    Ok(reader.position())
}

impl Part<'_> {
    /// The next block, dequantized, in rows of eight.
    fn coefficients(&mut self, reader: &mut Reader<'_>) -> Result<[i32; 64], PixelError> {
        let mut block = [0; 64];
        let size = u32::from(self.dc.read(reader)?);
        if size > 15 {
            return Err(reader.damaged("a difference of more than 15 bits"));
        }
        self.predicted = (self.predicted + reader.difference(size)).clamp(-65536, 65535);
        block[0] = self.predicted.wrapping_mul(self.quantization[0]);
        let mut at = 1;
        while at < 64 {
            let code = self.ac.read(reader)?;
            let (run, size) = (usize::from(code >> 4), u32::from(code & 15));
            match (run, size) {
                (15, 0) => at += 16,
                (_, 0) => break,
                _ => {
                    at += run;
                    let place = ZIGZAG
                        .get(at)
                        .ok_or_else(|| reader.damaged("a block of more than 64 coefficients"))?;
                    block[*place] = reader.difference(size).wrapping_mul(self.quantization[at]);
                    at += 1;
                }
            }
        }
        Ok(block)
    }
}

const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 1;

/// One dimension of the inverse transform: eight values that lie `step` apart.
fn transform(input: [i64; 8]) -> [i64; 8] {
    let [i0, i1, i2, i3, i4, i5, i6, i7] = input;
    let shared = (i2 + i6) * 4433;
    let even2 = shared - i6 * 15137;
    let even3 = shared + i2 * 6270;
    let even0 = (i0 + i4) << CONST_BITS;
    let even1 = (i0 - i4) << CONST_BITS;
    let (e0, e3, e1, e2) = (even0 + even3, even0 - even3, even1 + even2, even1 - even2);

    let (z1, z2, z3, z4) = (i7 + i1, i5 + i3, i7 + i3, i5 + i1);
    let z5 = (z3 + z4) * 9633;
    let (z1, z2) = (-z1 * 7373, -z2 * 20995);
    let (z3, z4) = (z5 - z3 * 16069, z5 - z4 * 3196);
    let o0 = i7 * 2446 + z1 + z3;
    let o1 = i5 * 16819 + z2 + z4;
    let o2 = i3 * 25172 + z2 + z3;
    let o3 = i1 * 12299 + z1 + z4;
    [e0 + o3, e1 + o2, e2 + o1, e3 + o0, e3 - o0, e2 - o1, e1 - o2, e0 - o3]
}

fn descale(value: i64, bits: u32) -> i64 {
    (value + (1 << (bits - 1))) >> bits
}

fn level(value: i64) -> u16 {
    (value + 2048).clamp(0, 4095) as u16
}

/// Where all but the first of eight are 0, all eight of the result are the same:
/// the usual case, and much the cheaper one.
fn inverse(block: &[i32; 64], target: &mut [u16], width: usize) {
    let rows = || (0..8).map(|row| row * width..row * width + 8);
    if block[1..].iter().fold(0, |bits, value| bits | value) == 0 {
        let value = level(descale(i64::from(block[0]) << PASS1_BITS, PASS1_BITS + 3));
        rows().for_each(|row| target[row].fill(value));
        return;
    }
    let mut middle = [0i64; 64];
    for column in 0..8 {
        let input: [i64; 8] = std::array::from_fn(|row| i64::from(block[row * 8 + column]));
        let is_flat = input[1..].iter().fold(0, |bits, value| bits | value) == 0;
        let output = if is_flat {
            [input[0] << PASS1_BITS; 8]
        } else {
            transform(input).map(|value| descale(value, CONST_BITS - PASS1_BITS))
        };
        for (row, value) in output.into_iter().enumerate() {
            middle[row * 8 + column] = value;
        }
    }
    for (row, input) in rows().zip(middle.as_chunks::<8>().0) {
        if input[1..].iter().fold(0, |bits, value| bits | value) == 0 {
            target[row].fill(level(descale(input[0], PASS1_BITS + 3)));
            continue;
        }
        for (to, value) in target[row].iter_mut().zip(transform(*input)) {
            *to = level(descale(value, CONST_BITS + PASS1_BITS + 3));
        }
    }
}

/// YBR_FULL of 12 bits to RGB (PS3.3 section C.7.6.3.1.2).
fn to_rgb(pixel: &mut [u16]) {
    let [y, b, r] = pixel else { return };
    let (luminance, blue, red) = (f64::from(*y), f64::from(*b) - 2048.0, f64::from(*r) - 2048.0);
    let level = |value: f64| value.round().clamp(0.0, 4095.0) as u16;
    *y = level(luminance + 1.402 * red);
    let green = level(luminance - 0.344_136 * blue - 0.714_136 * red);
    let blue = level(luminance + 1.772 * blue);
    (*b, *r) = (green, blue);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_zeros_are_transformed_as_all_others() {
        let plain = |block: &[i32; 64]| {
            let mut middle = [0i64; 64];
            for column in 0..8 {
                let output = transform(std::array::from_fn(|row| i64::from(block[row * 8 + column])));
                for (row, value) in output.into_iter().enumerate() {
                    middle[row * 8 + column] = descale(value, CONST_BITS - PASS1_BITS);
                }
            }
            let rows = middle.as_chunks::<8>().0.iter();
            let levels = rows.flat_map(|row| transform(*row));
            levels.map(|value| level(descale(value, CONST_BITS + PASS1_BITS + 3))).collect::<Vec<u16>>()
        };
        let mut seed = 5u32;
        for count in (0..64).cycle().take(2000) {
            let mut block = [0; 64];
            for at in 0..=count {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Few are far from 0, and many columns and rows stay empty.
                let place = if at == 0 { 0 } else { (seed >> 8) as usize % 64 };
                block[place] = (seed as i32) >> (16 + count % 12);
            }
            let mut values = [0; 64];
            inverse(&block, &mut values, 8);
            assert_eq!(values.to_vec(), plain(&block), "{block:?}");
        }
    }
}
