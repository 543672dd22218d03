//! A picture ready to be looked at: eight bits a channel, gray or RGB, rows
//! from the top, without gaps.

/// What a pixel consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    Gray,
    Rgb,
}

impl Channels {
    /// Bytes of a pixel.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

/// A picture. Invariant: `data` holds `width * height` pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub width: u32,
    pub height: u32,
    pub channels: Channels,
    pub data: Vec<u8>,
    /// Height of a pixel by its width, as the data set has it.
    pub pixel_aspect: f64,
}

impl Image {
    /// A picture of one colour.
    #[must_use]
    pub fn filled(width: u32, height: u32, color: [u8; 3]) -> Self {
        let data = color.repeat(width as usize * height as usize);
        Self { width, height, channels: Channels::Rgb, data, pixel_aspect: 1.0 }
    }

    #[must_use]
    pub fn gray(width: u32, height: u32, data: Vec<u8>) -> Self {
        Self { width, height, channels: Channels::Gray, data, pixel_aspect: 1.0 }
    }

    #[must_use]
    pub fn rgb(width: u32, height: u32, data: Vec<u8>) -> Self {
        Self { width, height, channels: Channels::Rgb, data, pixel_aspect: 1.0 }
    }

    /// The same picture in three channels.
    #[must_use]
    pub fn into_rgb(self) -> Self {
        match self.channels {
            Channels::Rgb => self,
            Channels::Gray => {
                let data = self.data.iter().flat_map(|value| [*value; 3]).collect();
                Self { channels: Channels::Rgb, data, ..self }
            }
        }
    }

    /// The same, in place.
    pub fn make_rgb(&mut self) {
        let image = std::mem::replace(self, Self::gray(0, 0, Vec::new()));
        *self = image.into_rgb();
    }

    /// Mixes a colour into a pixel, as far as `coverage` (0 to 255) says.
    /// Outside the picture nothing happens.
    pub fn blend(&mut self, x: i64, y: i64, color: [u8; 3], coverage: u8) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y as usize * self.width as usize + x as usize) * self.channels.count();
        let mix = |old: u8, new: u8| {
            let sum = u32::from(old) * u32::from(255 - coverage) + u32::from(new) * u32::from(coverage);
            u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
        };
        match self.channels {
            Channels::Gray => self.data[at] = mix(self.data[at], luminance(color)),
            Channels::Rgb => {
                for (channel, new) in color.into_iter().enumerate() {
                    self.data[at + channel] = mix(self.data[at + channel], new);
                }
            }
        }
    }
}

/// The gray of a colour.
#[must_use]
pub fn luminance([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    u8::try_from((sum + 500) / 1000).unwrap_or(u8::MAX)
}

/// 0 to 1 as 0 to 255, rounded; what is no number is 0.
#[must_use]
pub fn byte(value: f64) -> u8 {
    // A cast from a float saturates and turns NaN into 0.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as it should")]
    let byte = value.mul_add(255.0, 0.5) as u8;
    byte
}
