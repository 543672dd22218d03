//! GIF: one picture or an animation, written picture by picture. Gray is exact;
//! of colours each picture has its best 256.

use gif::{Encoder, Frame, Repeat};

use crate::render::{Channels, Image, RenderError};

/// Between the finest palette (1) and the fastest (30).
const PALETTE_SPEED: i32 = 15;

/// An animation that is being written.
pub struct Animation {
    encoder: Encoder<Vec<u8>>,
    width: u16,
    height: u16,
}

impl Animation {
    /// # Errors
    /// A side is longer than 65535.
    pub fn begin(width: u32, height: u32) -> Result<Self, RenderError> {
        let side = |length: u32| {
            u16::try_from(length).map_err(|_| RenderError::Parameter {
                name: "viewport",
                detail: "a GIF has at most 65535 rows and columns; ask for a smaller viewport".to_owned(),
            })
        };
        let (width, height) = (side(width)?, side(height)?);
        // Every picture has a palette of its own.
        let mut encoder = Encoder::new(Vec::new(), width, height, &[]).map_err(RenderError::encode)?;
        encoder.set_repeat(Repeat::Infinite).map_err(RenderError::encode)?;
        Ok(Self { encoder, width, height })
    }

    /// Adds a picture that is shown for so many milliseconds.
    ///
    /// # Errors
    /// It has another size than the first.
    pub fn add(&mut self, image: &Image, duration_ms: f64) -> Result<(), RenderError> {
        if (image.width, image.height) != (u32::from(self.width), u32::from(self.height)) {
            return Err(RenderError::Inconsistent("the frames differ in size".to_owned()));
        }
        let mut frame = match image.channels {
            Channels::Gray => {
                let grays: Vec<u8> = (0..=255).flat_map(|gray| [gray; 3]).collect();
                Frame::from_palette_pixels(self.width, self.height, image.data.clone(), grays, None)
            }
            Channels::Rgb => Frame::from_rgb_speed(self.width, self.height, &image.data, PALETTE_SPEED),
        };
        // In hundredths of a second; viewers take 0 and 1 for 10.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let delay = (duration_ms / 10.0).round() as u16;
        frame.delay = if delay == 0 { 0 } else { delay.max(2) };
        self.encoder.write_frame(&frame).map_err(RenderError::encode)
    }

    /// Bytes so far.
    #[must_use]
    pub fn length(&self) -> usize {
        self.encoder.get_ref().len()
    }

    /// # Errors
    /// The encoder gave up.
    pub fn end(self) -> Result<Vec<u8>, RenderError> {
        self.encoder.into_inner().map_err(RenderError::encode)
    }
}
