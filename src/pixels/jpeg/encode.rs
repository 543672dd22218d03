//! Lossless JPEG, process 14 with selection value 1 (Transfer Syntax
//! 1.2.840.10008.1.2.4.70): each sample is predicted by its left neighbour.

use super::{
    super::{
        PixelError,
        samples::{Samples, Values},
    },
    huffman::Code,
};

pub fn encode(image: &Samples) -> Result<Vec<u8>, PixelError> {
    let (Ok(columns), Ok(rows)) = (u16::try_from(image.columns), u16::try_from(image.rows)) else {
        return Err(PixelError::Unsupported("JPEG of more than 65535 rows or columns".to_owned()));
    };
    let components = image.per_pixel as u8;
    let precision = image.precision.max(2);
    let differences = differences(image, precision);
    let mut counts = [0u64; 17];
    differences.iter().for_each(|difference| counts[size(*difference) as usize] += 1);
    let huffman = Code::for_counts(&counts);

    let mut code = vec![0xFF, 0xD8, 0xFF, 0xC3, 0, 8 + components * 3, precision as u8];
    code.extend(rows.to_be_bytes());
    code.extend(columns.to_be_bytes());
    code.push(components);
    (1..=components).for_each(|component| code.extend([component, 0x11, 0]));
    code.extend([0xFF, 0xC4, 0, 19 + huffman.values.len() as u8, 0]);
    code.extend(huffman.lengths);
    code.extend(&huffman.values);
    code.extend([0xFF, 0xDA, 0, 6 + components * 2, components]);
    (1..=components).for_each(|component| code.extend([component, 0]));
    code.extend([1, 0, 0]);
    write(&differences, &huffman, &mut code);
    code.extend([0xFF, 0xD9]);
    Ok(code)
}

/// Each sample less its prediction, modulo 2^16.
fn differences(image: &Samples, precision: u16) -> Vec<i16> {
    let per_pixel = usize::from(image.per_pixel);
    let row_length = image.columns as usize * per_pixel;
    let value = |at: usize| match &image.values {
        Values::Bytes(values) => u16::from(values[at]),
        Values::Words(values) => values[at],
    };
    (0..image.values.len())
        .map(|at| {
            let predicted = match at % row_length {
                column if column >= per_pixel => value(at - per_pixel),
                _ if at >= row_length => value(at - row_length),
                _ => 1 << (precision - 1),
            };
            value(at).wrapping_sub(predicted) as i16
        })
        .collect()
}

/// Bits of a difference; 16 only for -32768, which has no more bits to follow.
#[inline]
fn size(difference: i16) -> u32 {
    16 - difference.unsigned_abs().leading_zeros()
}

fn write(differences: &[i16], huffman: &Code, code: &mut Vec<u8>) {
    let (mut cache, mut filled) = (0u64, 0u32);
    for difference in differences {
        let size = size(*difference);
        let (bits, length) = huffman.codes[size as usize];
        cache = cache << length | u64::from(bits);
        filled += length;
        if (1..16).contains(&size) {
            let low = if *difference < 0 { difference.wrapping_sub(1) } else { *difference };
            cache = cache << size | (u64::from(low as u16) & ((1 << size) - 1));
            filled += size;
        }
        while filled >= 8 {
            filled -= 8;
            push((cache >> filled) as u8, code);
        }
        cache &= (1 << filled) - 1;
    }
    if filled > 0 {
        // The last byte is filled with ones.
        push((cache << (8 - filled)) as u8 | ((1u16 << (8 - filled)) - 1) as u8, code);
    }
}

fn push(byte: u8, code: &mut Vec<u8>) {
    code.push(byte);
    if byte == 0xFF {
        code.push(0);
    }
}
