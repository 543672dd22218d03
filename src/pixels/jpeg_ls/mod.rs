//! JPEG-LS (ISO/IEC 14495-1, ITU-T T.87): lossless and near-lossless decoding
//! and encoding.
//!
//! - `model` is what both directions share: gradients, contexts, prediction;
//! - `bits` reads and writes the bit stream with its stuffing;
//! - `decode` and `encode` walk over marker segments, scans and lines.
//!
//! Not done: mapping tables (palettes inside the code stream, which DICOM does
//! not use) and sub-sampled components.

mod bits;
mod decode;
mod encode;
mod model;

pub use decode::decode;
pub use encode::encode;

const NAME: &str = "JPEG-LS";

#[cfg(test)]
mod tests {
    use super::super::samples::{Samples, Values};
    use super::{decode, encode};

    fn image(columns: u32, rows: u32, per_pixel: u16, precision: u16, noise: u32) -> Samples {
        let mut seed = 7u32;
        let max = (1u32 << precision) - 1;
        let values: Vec<u16> = (0..columns * rows * u32::from(per_pixel))
            .map(|index| {
                seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
                let smooth = index / u32::from(per_pixel) % columns / 4 * 3;
                ((smooth + (seed >> 16) % noise) & max) as u16
            })
            .collect();
        Samples { columns, rows, per_pixel, precision, values: Values::Words(values) }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for precision in [2, 7, 8, 10, 12, 15, 16] {
            for (columns, rows, per_pixel) in [(1, 1, 1), (1, 9, 1), (37, 5, 1), (64, 33, 3), (3, 3, 4)] {
                for noise in [1, 3, 40, 65536] {
                    let image = image(columns, rows, per_pixel, precision, noise);
                    let code = encode(&image, 0).expect("any image is encoded");
                    let back = decode(&code, |_, _, _, _| Ok(())).expect("and decoded");
                    let Values::Words(expected) = &image.values else { panic!("words were made") };
                    match &back.values {
                        Values::Words(values) => assert_eq!(values, expected),
                        Values::Bytes(values) => {
                            assert_eq!(&values.iter().map(|v| u16::from(*v)).collect::<Vec<_>>(), expected);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn near_lossless_changes_no_sample_by_more_than_it_may() {
        let numbers = |samples: &Samples| -> Vec<i32> {
            match &samples.values {
                Values::Words(values) => values.iter().map(|value| i32::from(*value)).collect(),
                Values::Bytes(values) => values.iter().map(|value| i32::from(*value)).collect(),
            }
        };
        for precision in [4, 8, 12, 16] {
            for (columns, rows, per_pixel) in [(1, 9, 1), (37, 50, 1), (64, 33, 3)] {
                for (noise, near) in [(1, 1), (3, 2), (3, 7), (40, 2), (65536, 3)] {
                    let image = image(columns, rows, per_pixel, precision, noise);
                    let code = encode(&image, near).expect("any image is encoded");
                    let back = decode(&code, |_, _, _, _| Ok(())).expect("and decoded");
                    let (before, after) = (numbers(&image), numbers(&back));
                    let off = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).max();
                    assert!(
                        off <= Some(i32::from(near)),
                        "{precision} {columns}x{rows} {noise} {near}: {off:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn any_cut_is_an_error_or_an_image_and_never_a_panic() {
        let code = encode(&image(40, 20, 1, 12, 50), 0).expect("any image is encoded");
        for end in 0..code.len() {
            let _ = decode(&code[..end], |_, _, _, _| Ok(()));
        }
    }
}
