//! Images of three samples a pixel: RGB in any depth, luminance and colour
//! differences to RGB (PS3.3 section C.7.6.3.1.2, ITU-R BT.601).

use super::{Image, RenderError};
use crate::pixels::{Description, Photometric};

/// Draws a frame of three samples a pixel (or four, of which retired
/// photometric interpretations consist).
///
/// # Errors
/// The pixels are fewer than described, or of a kind that is not drawn.
pub fn draw(bytes: &[u8], description: &Description) -> Result<Image, RenderError> {
    let samples = eight_bits(bytes, description)?;
    let rgb = match (description.photometric, description.samples_per_pixel) {
        (Photometric::YbrPartial420 | Photometric::YbrPartial422, 3) => converted(&samples, partial_to_rgb),
        // A decoder that undoes the component transformation of JPEG 2000 gives
        // RGB, and YBR_FULL else.
        (Photometric::YbrFull | Photometric::YbrFull422 | Photometric::YbrIct, 3) => {
            converted(&samples, full_to_rgb)
        }
        (_, 3) => samples,
        (Photometric::Other, 4) => {
            samples.chunks_exact(4).flat_map(|pixel| [pixel[1], pixel[2], pixel[3]]).collect()
        }
        (_, count) => {
            return Err(RenderError::Unsupported(format!(
                "{count} samples a pixel of {} are not rendered",
                description.photometric.name().unwrap_or("an unknown photometric interpretation")
            )));
        }
    };
    Ok(Image::rgb(description.columns, description.rows, rgb))
}

/// All samples in eight bits, those of a pixel together.
fn eight_bits(bytes: &[u8], description: &Description) -> Result<Vec<u8>, RenderError> {
    let count = usize::try_from(description.samples()).unwrap_or(usize::MAX);
    let width = usize::from(description.bits_allocated / 8);
    if !matches!(width, 1 | 2 | 4) {
        return Err(RenderError::Unsupported(format!(
            "colour of {} Bits Allocated is not rendered",
            description.bits_allocated
        )));
    }
    let Some(bytes) = bytes.get(..count.saturating_mul(width)) else {
        return Err(RenderError::Inconsistent(format!(
            "the frame has {} bytes and should have {}",
            bytes.len(),
            count.saturating_mul(width)
        )));
    };
    let low = description.high_bit.saturating_add(1).saturating_sub(description.bits_stored);
    // A High Bit beyond what is allocated would shift everything out.
    let low = if low.saturating_add(description.bits_stored) > description.bits_allocated { 0 } else { low };
    let samples: Vec<u8> = match (width, description.bits_stored) {
        (1, 8) => bytes.to_vec(),
        (_, stored) => bytes
            .chunks_exact(width)
            .map(|word| {
                let mut wide = [0; 4];
                wide[..width].copy_from_slice(word);
                scaled(u32::from_le_bytes(wide) >> low, stored)
            })
            .collect(),
    };
    if !description.by_plane {
        return Ok(samples);
    }
    let pixels = usize::try_from(description.pixels()).unwrap_or(0);
    let planes = usize::from(description.samples_per_pixel);
    Ok((0..count).map(|at| samples[at % planes * pixels + at / planes]).collect())
}

/// A sample of so many bits in eight.
fn scaled(sample: u32, bits: u16) -> u8 {
    let bits = u32::from(bits.clamp(1, 32));
    let sample = u64::from(sample) & ((1 << bits) - 1);
    let byte = if bits >= 8 { sample >> (bits - 8) } else { sample * 255 / ((1 << bits) - 1) };
    byte.to_le_bytes()[0]
}

fn converted(samples: &[u8], convert: impl Fn(f32, f32, f32) -> [f32; 3]) -> Vec<u8> {
    samples
        .chunks_exact(3)
        .flat_map(|pixel| {
            let [y, blue, red] = [pixel[0], pixel[1], pixel[2]].map(f32::from);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            convert(y, blue - 128.0, red - 128.0).map(|channel| (channel + 0.5) as u8)
        })
        .collect()
}

fn full_to_rgb(y: f32, blue: f32, red: f32) -> [f32; 3] {
    [
        1.402f32.mul_add(red, y),
        0.714_136_f32.mul_add(-red, 0.344_136_f32.mul_add(-blue, y)),
        1.772f32.mul_add(blue, y),
    ]
}

fn partial_to_rgb(y: f32, blue: f32, red: f32) -> [f32; 3] {
    let y = 1.164_38 * (y - 16.0);
    [
        1.596_03_f32.mul_add(red, y),
        0.812_97_f32.mul_add(-red, 0.391_76_f32.mul_add(-blue, y)),
        2.017_23_f32.mul_add(blue, y),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Number;

    fn description(photometric: Photometric, bits: u16, by_plane: bool) -> Description {
        Description {
            rows: 1,
            columns: 2,
            samples_per_pixel: 3,
            bits_allocated: if bits > 8 { 16 } else { 8 },
            bits_stored: bits,
            high_bit: bits - 1,
            number: Number::Unsigned,
            photometric,
            by_plane,
            frames: 1,
        }
    }

    #[test]
    fn rnd_10_ybr_becomes_rgb() {
        // Red and blue by BT.601.
        let image = draw(&[76, 85, 255, 29, 255, 107], &description(Photometric::YbrFull, 8, false));
        assert_eq!(image.expect("valid").data, [254, 0, 0, 0, 0, 254]);
        // Limited range: 16 is black, 235 white.
        let image = draw(&[16, 128, 128, 235, 128, 128], &description(Photometric::YbrPartial420, 8, false));
        assert_eq!(image.expect("valid").data, [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn rnd_10_planes_and_depths() {
        let planes = draw(&[1, 2, 3, 4, 5, 6], &description(Photometric::Rgb, 8, true)).expect("valid");
        assert_eq!(planes.data, [1, 3, 5, 2, 4, 6]);
        let wide: Vec<u8> = [0_u16, 0x8000, 0xFFFF, 0x00FF, 0x0100, 0x7FFF]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let image = draw(&wide, &description(Photometric::Rgb, 16, false)).expect("valid");
        assert_eq!(image.data, [0, 128, 255, 0, 1, 127]);
        let beyond = Description { high_bit: 100, ..description(Photometric::Rgb, 16, false) };
        assert_eq!(draw(&wide, &beyond).expect("valid").data, [0, 128, 255, 0, 1, 127]);
        assert!(draw(&[0; 5], &description(Photometric::Rgb, 8, false)).is_err());
    }
}
