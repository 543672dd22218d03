//! What a code stream decodes to, before it is made to fit its data set: samples
//! of one precision, those of a pixel together.

use super::{Description, PixelError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Words(values) => values.len(),
        }
    }
}

/// A decoded code stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    pub columns: u32,
    pub rows: u32,
    pub per_pixel: u16,
    /// Bits of a sample, 1 to 16; those above are clear, whether or not the
    /// samples are signed.
    pub precision: u16,
    pub values: Values,
}

impl Samples {
    /// As bytes in the shape that `description` says: little endian, signed
    /// values extended to all bits allocated.
    ///
    /// # Errors
    /// The code stream is of another image.
    pub fn fit(self, description: &Description) -> Result<Vec<u8>, PixelError> {
        fits(self.columns, self.rows, self.per_pixel, self.precision, description)?;
        let expected = description.samples();
        if self.values.len() as u64 != expected {
            return Err(PixelError::Mismatch(format!("{} samples of {expected}", self.values.len())));
        }
        let extend = description.is_signed() && self.precision < description.bits_allocated;
        Ok(match (self.values, description.bits_allocated) {
            (Values::Bytes(values), 1) => packed(values.iter().map(|value| value & 1 == 1)),
            (Values::Words(values), 1) => packed(values.iter().map(|value| value & 1 == 1)),
            (Values::Bytes(values), 8) if !extend => values,
            (Values::Bytes(values), bits) => {
                widened(values.into_iter().map(u16::from), self.precision, extend, bits)
            }
            (Values::Words(values), 16) => words(&values, if extend { 16 - self.precision } else { 0 }),
            (Values::Words(values), bits) => widened(values.into_iter(), self.precision, extend, bits),
        })
    }
}

/// Whether a code stream of this size is the image that the data set describes:
/// to be asked before anything is allocated for it.
///
/// # Errors
/// It is not.
pub fn fits(
    columns: u32,
    rows: u32,
    per_pixel: u16,
    precision: u16,
    description: &Description,
) -> Result<(), PixelError> {
    if (columns, rows) != (description.columns, description.rows) {
        return Err(PixelError::Mismatch(format!(
            "it is {columns}×{rows} pixels, the data set says {}×{}",
            description.columns, description.rows
        )));
    }
    if per_pixel != description.samples_per_pixel {
        return Err(PixelError::Mismatch(format!(
            "it has {per_pixel} samples a pixel, the data set says {}",
            description.samples_per_pixel
        )));
    }
    if precision > description.bits_allocated || precision > 16 || precision == 0 {
        return Err(PixelError::Mismatch(format!(
            "it has {precision} bits a sample, the data set allocates {}",
            description.bits_allocated
        )));
    }
    Ok(())
}

/// Words as bytes, the sign of each so many bits below its top.
fn words(values: &[u16], unused: u16) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * 2];
    let places = bytes.chunks_exact_mut(2).zip(values);
    // Each of these loops takes many words at a time.
    if unused == 0 {
        places.for_each(|(to, value)| to.copy_from_slice(&value.to_le_bytes()));
    } else {
        places.for_each(|(to, value)| {
            to.copy_from_slice(&((value << unused) as i16 >> unused).to_le_bytes());
        });
    }
    bytes
}

fn widened(values: impl Iterator<Item = u16>, precision: u16, extend: bool, bits: u16) -> Vec<u8> {
    let shift = 64 - u32::from(precision);
    let width = usize::from(bits / 8);
    values
        .flat_map(|value| {
            let value =
                if extend { ((u64::from(value) << shift) as i64 >> shift) as u64 } else { u64::from(value) };
            value.to_le_bytes().into_iter().take(width)
        })
        .collect()
}

/// Single bits, the first in bit 0 (PS3.5 section 8.1.1).
pub fn packed(bits: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut bytes = vec![0; bits.len().div_ceil(8)];
    for (index, _) in bits.enumerate().filter(|(_, bit)| *bit) {
        bytes[index / 8] |= 1 << (index % 8);
    }
    bytes
}
