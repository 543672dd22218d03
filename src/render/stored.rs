//! Stored values of one sample a pixel: bytes to numbers, masked by Bits Stored
//! and High Bit and signed by Pixel Representation (PS3.5 section 8.1.1).
//!
//! Up to sixteen bits stay codes, so that what follows is one table for all
//! pixels; anything larger becomes numbers.

use std::ops::RangeInclusive;

use super::RenderError;
use crate::pixels::{Description, Number};

/// The values of a frame, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// A stored value is its code less `offset`: codes rise as values do, also
    /// signed ones.
    Codes {
        codes: Vec<u16>,
        offset: i64,
        bits: u32,
    },
    Numbers(Vec<f64>),
}

impl Stored {
    /// The values of a frame as it is after decoding.
    ///
    /// # Errors
    /// The bytes are fewer than the description needs.
    pub fn read(bytes: &[u8], description: &Description) -> Result<Self, RenderError> {
        let pixels = usize::try_from(description.pixels()).unwrap_or(usize::MAX);
        let needed = pixels.saturating_mul(usize::from(description.bits_allocated)).div_ceil(8);
        let Some(bytes) = bytes.get(..needed) else {
            return Err(RenderError::Inconsistent(format!(
                "the frame has {} bytes and should have {needed}",
                bytes.len()
            )));
        };
        let bits = u32::from(description.bits_stored.min(description.bits_allocated));
        let shift = u32::from(description.high_bit.saturating_add(1).saturating_sub(description.bits_stored));
        // A High Bit beyond what is allocated would shift everything out.
        let shift = if shift + bits > u32::from(description.bits_allocated) { 0 } else { shift };
        let signed = description.number == Number::Signed;
        Ok(match (description.number, description.bits_allocated) {
            (Number::Float, _) => {
                Self::Numbers(words(bytes, |word| f64::from(f32::from_le_bytes(word))).collect())
            }
            (Number::Double, _) => Self::Numbers(words(bytes, f64::from_le_bytes).collect()),
            (_, 1) => {
                let codes = (0..pixels).map(|at| u16::from(bytes[at / 8] >> (at % 8) & 1)).collect();
                Self::Codes { codes, offset: 0, bits: 1 }
            }
            (_, 8) => Self::codes(bytes.iter().map(|byte| u16::from(*byte)), shift, bits, signed),
            (_, 16) => Self::codes(words(bytes, u16::from_le_bytes), shift, bits, signed),
            (_, 32) => {
                let wide = words(bytes, |word| i64::from(u32::from_le_bytes(word)));
                Self::Numbers(wide.map(|word| extended(word >> shift, bits, signed)).collect())
            }
            (_, 64) => {
                let wide = words(bytes, |word| u64::from_le_bytes(word).cast_signed());
                Self::Numbers(wide.map(|word| extended(word >> shift, bits, signed)).collect())
            }
            (_, allocated) => {
                return Err(RenderError::Unsupported(format!("{allocated} Bits Allocated are not rendered")));
            }
        })
    }

    fn codes(words: impl Iterator<Item = u16>, shift: u32, bits: u32, signed: bool) -> Self {
        let mask = u16::MAX >> (16 - bits.clamp(1, 16));
        let sign = if signed { 1 << (bits - 1) } else { 0 };
        let codes = words.map(|word| word >> shift & mask ^ sign).collect();
        Self::Codes { codes, offset: i64::from(sign), bits }
    }

    /// The smallest and the largest value that is no padding; `None` when all
    /// of it is.
    #[must_use]
    pub fn range(&self, padding: Option<(f64, f64)>) -> Option<(f64, f64)> {
        match self {
            Self::Codes { codes, offset, .. } => {
                let (low, high) = bounds(codes, padding.and_then(|padding| in_codes(padding, *offset)))?;
                let value = |code: u16| (i64::from(code) - offset) as f64;
                Some((value(low), value(high)))
            }
            Self::Numbers(numbers) => widest(numbers.iter().copied(), padding),
        }
    }
}

/// The smallest and the largest code outside of `padding`. Without a branch, so
/// that it takes many at a time.
pub fn bounds(codes: &[u16], padding: Option<RangeInclusive<u16>>) -> Option<(u16, u16)> {
    let (low, high) = match padding {
        None => (
            codes.iter().fold(u16::MAX, |low, code| low.min(*code)),
            codes.iter().fold(0, |high, code| high.max(*code)),
        ),
        Some(padding) => {
            let (first, last) = padding.into_inner();
            let is_padding = |code: u16| first <= code && code <= last;
            (
                codes.iter().fold(u16::MAX, |low, code| low.min(if is_padding(*code) { low } else { *code })),
                codes.iter().fold(0, |high, code| high.max(if is_padding(*code) { high } else { *code })),
            )
        }
    };
    // Of no code at all the one is above the other.
    (low <= high && !codes.is_empty()).then_some((low, high))
}

/// Stored values from one to another as codes; `None` when no code is among them.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what a code can be")]
fn in_codes((low, high): (f64, f64), offset: i64) -> Option<RangeInclusive<u16>> {
    let most = f64::from(u16::MAX);
    let (first, last) = ((low + offset as f64).ceil(), (high + offset as f64).floor());
    (first <= most && last >= 0.0).then(|| first.max(0.0) as u16..=last.min(most) as u16)
}

fn widest(values: impl Iterator<Item = f64>, padding: Option<(f64, f64)>) -> Option<(f64, f64)> {
    values
        .filter(|value| value.is_finite() && padding.is_none_or(|(low, high)| *value < low || *value > high))
        .fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
        })
}

/// The lowest `bits` of a word as a number.
fn extended(word: i64, bits: u32, signed: bool) -> f64 {
    let unused = 64 - bits.clamp(1, 64);
    if signed {
        (word << unused >> unused) as f64
    } else {
        ((word << unused).cast_unsigned() >> unused) as f64
    }
}

fn words<const N: usize, T>(bytes: &[u8], word: impl Fn([u8; N]) -> T) -> impl Iterator<Item = T> {
    bytes.chunks_exact(N).map(move |chunk| {
        let mut array = [0; N];
        array.copy_from_slice(chunk);
        word(array)
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these numbers are exact")]
mod tests {
    use super::*;
    use crate::pixels::Photometric;

    pub(crate) fn gray(allocated: u16, stored: u16, high_bit: u16, number: Number) -> Description {
        Description {
            rows: 1,
            columns: 4,
            samples_per_pixel: 1,
            bits_allocated: allocated,
            bits_stored: stored,
            high_bit,
            number,
            photometric: Photometric::Monochrome2,
            by_plane: false,
            frames: 1,
        }
    }

    fn numbers(stored: &Stored) -> Vec<f64> {
        match stored {
            Stored::Codes { codes, offset, .. } => {
                codes.iter().map(|code| (i64::from(*code) - offset) as f64).collect()
            }
            Stored::Numbers(numbers) => numbers.clone(),
        }
    }

    #[test]
    fn rnd_09_values_are_masked_and_signed() {
        // Twelve bits, signed, with something in the bits above.
        let bytes = [0xFF, 0xF7, 0x00, 0xA8, 0xFF, 0x0F, 0x01, 0x50];
        let stored = Stored::read(&bytes, &gray(16, 12, 11, Number::Signed)).expect("valid");
        assert_eq!(numbers(&stored), [2047.0, -2048.0, -1.0, 1.0]);
        assert_eq!(stored.range(None), Some((-2048.0, 2047.0)));
        assert_eq!(stored.range(Some((-2048.0, -2048.0))), Some((-1.0, 2047.0)));
        assert_eq!(stored.range(Some((-1.0, 5000.0))), Some((-2048.0, -2048.0)));
        assert_eq!(stored.range(Some((-9000.0, 9000.0))), None);
        assert_eq!(stored.range(Some((0.5, 0.5))), Some((-2048.0, 2047.0)));
        assert_eq!(stored.range(Some((9000.0, 9001.0))), Some((-2048.0, 2047.0)));
        // Eight bits in the upper half.
        let high = Stored::read(&[9, 1, 9, 2, 9, 3, 9, 255], &gray(16, 8, 15, Number::Unsigned));
        assert_eq!(numbers(&high.expect("valid")), [1.0, 2.0, 3.0, 255.0]);
        // A High Bit that cannot be is left out of account.
        let beyond = Stored::read(&[1, 0, 2, 0, 3, 0, 4, 0], &gray(16, 16, u16::MAX, Number::Unsigned));
        assert_eq!(numbers(&beyond.expect("valid")), [1.0, 2.0, 3.0, 4.0]);
        let bits = Stored::read(&[0b1010], &gray(1, 1, 0, Number::Unsigned)).expect("valid");
        assert_eq!(numbers(&bits), [0.0, 1.0, 0.0, 1.0]);
        let wide: Vec<u8> = [-1_i32, 2, i32::MAX, i32::MIN].iter().flat_map(|n| n.to_le_bytes()).collect();
        let signed = Stored::read(&wide, &gray(32, 32, 31, Number::Signed)).expect("valid");
        assert_eq!(numbers(&signed), [-1.0, 2.0, f64::from(i32::MAX), f64::from(i32::MIN)]);
        let unsigned = Stored::read(&wide, &gray(32, 32, 31, Number::Unsigned)).expect("valid");
        assert_eq!(numbers(&unsigned)[0], f64::from(u32::MAX));
        assert!(Stored::read(&[0; 7], &gray(16, 16, 15, Number::Unsigned)).is_err());
    }
}
