//! Native frames, in little endian: brought into the one order of samples that
//! decoded frames have (PS3.5 section 8.1 and 8.2, PS3.3 section C.7.6.3.1).

use super::{Description, Photometric, PixelError};

pub fn decode(code: &[u8], description: &Description) -> Result<Vec<u8>, PixelError> {
    let expected = description.frame_bytes();
    let code = usize::try_from(expected).ok().and_then(|length| code.get(..length)).ok_or_else(|| {
        PixelError::Mismatch(format!("it has {} bytes, the data set says {expected}", code.len()))
    })?;
    match (description.photometric, description.bits_allocated) {
        (Photometric::YbrFull422, 8)
            if description.samples_per_pixel == 3 && !description.pixels().is_multiple_of(2) =>
        {
            Err(PixelError::Unsupported("native YBR_FULL_422 with an odd number of pixels".to_owned()))
        }
        (Photometric::YbrFull422, 8) if description.samples_per_pixel == 3 => Ok(each_with_its_colour(code)),
        (Photometric::YbrFull422 | Photometric::YbrPartial422 | Photometric::YbrPartial420, _)
            if description.samples_per_pixel == 3 =>
        {
            Err(PixelError::Unsupported(
                "native pixels with sub-sampled colour, other than YBR_FULL_422 of 8 bits".to_owned(),
            ))
        }
        (_, 12) => Ok(twelve_to_sixteen(code, description)),
        (_, 1) if description.by_plane => Err(PixelError::Unsupported("planes of single bits".to_owned())),
        (_, bits) if description.by_plane => Ok(interleaved(code, description, usize::from(bits / 8))),
        _ => Ok(code.to_vec()),
    }
}

/// Two luminances, then the colour of both, become two whole pixels.
fn each_with_its_colour(code: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(code.len() / 2 * 3);
    for pair in code.chunks_exact(4) {
        bytes.extend([pair[0], pair[2], pair[3], pair[1], pair[2], pair[3]]);
    }
    bytes
}

/// Retired: two samples in three bytes.
fn twelve_to_sixteen(code: &[u8], description: &Description) -> Vec<u8> {
    let samples = description.samples() as usize;
    let sample = |index: usize| -> u16 {
        let at = index * 3 / 2;
        let low = u16::from(code[at]);
        let high = u16::from(code.get(at + 1).copied().unwrap_or(0));
        if index.is_multiple_of(2) { low | (high & 0x0F) << 8 } else { low >> 4 | high << 4 }
    };
    let extended =
        |value: u16| if description.is_signed() { ((value << 4) as i16 >> 4) as u16 } else { value };
    (0..samples).flat_map(|index| extended(sample(index)).to_le_bytes()).collect()
}

fn interleaved(code: &[u8], description: &Description, width: usize) -> Vec<u8> {
    let planes = usize::from(description.samples_per_pixel);
    let plane_bytes = code.len() / planes;
    let mut bytes = vec![0; code.len()];
    for (plane, samples) in code.chunks_exact(plane_bytes.max(1)).enumerate() {
        for (pixel, sample) in samples.chunks_exact(width).enumerate() {
            let at = (pixel * planes + plane) * width;
            bytes[at..at + width].copy_from_slice(sample);
        }
    }
    bytes
}
