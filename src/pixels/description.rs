//! What a data set says of its pixels (PS3.3 section C.7.6.3), and how a frame
//! lies in memory: little endian, samples of one pixel together, frames of
//! single bits packed from bit 0.
//!
//! Invariant: a [`Description`] that was made from a data set is consistent, so
//! that the number of bytes of its frames is known before any is allocated.

use dicom_dictionary_std::tags;

use super::PixelError;
use crate::dicom::{
    DataSet,
    transfer_syntax::{Pixels, TransferSyntax},
};

/// Photometric Interpretation (0028,0004).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Photometric {
    Monochrome1,
    Monochrome2,
    PaletteColor,
    Rgb,
    YbrFull,
    YbrFull422,
    YbrPartial420,
    YbrPartial422,
    YbrIct,
    YbrRct,
    Xyb,
    /// Retired or private: kept as it is.
    Other,
}

impl Photometric {
    const NAMES: [(Self, &'static str); 11] = [
        (Self::Monochrome1, "MONOCHROME1"),
        (Self::Monochrome2, "MONOCHROME2"),
        (Self::PaletteColor, "PALETTE COLOR"),
        (Self::Rgb, "RGB"),
        (Self::YbrFull, "YBR_FULL"),
        (Self::YbrFull422, "YBR_FULL_422"),
        (Self::YbrPartial420, "YBR_PARTIAL_420"),
        (Self::YbrPartial422, "YBR_PARTIAL_422"),
        (Self::YbrIct, "YBR_ICT"),
        (Self::YbrRct, "YBR_RCT"),
        (Self::Xyb, "XYB"),
    ];

    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        Self::NAMES.iter().find(|(_, name)| *name == text).map_or(Self::Other, |(kind, _)| *kind)
    }

    /// The defined term; none for one that is not known.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map(|(_, name)| *name)
    }

    /// Luminance and two colour differences, in one of its forms.
    #[must_use]
    pub fn is_luminance_chrominance(self) -> bool {
        matches!(
            self,
            Self::YbrFull
                | Self::YbrFull422
                | Self::YbrPartial420
                | Self::YbrPartial422
                | Self::YbrIct
                | Self::YbrRct
        )
    }
}

/// What a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    Unsigned,
    /// Two's complement (Pixel Representation 1).
    Signed,
    /// Float Pixel Data (7FE0,0008).
    Float,
    /// Double Float Pixel Data (7FE0,0009).
    Double,
}

/// The shape of an image's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    pub rows: u32,
    pub columns: u32,
    pub samples_per_pixel: u16,
    pub bits_allocated: u16,
    pub bits_stored: u16,
    pub high_bit: u16,
    pub number: Number,
    pub photometric: Photometric,
    /// Planar Configuration 1: all of one sample, then all of the next.
    pub by_plane: bool,
    pub frames: u32,
}

impl Description {
    /// Reads and checks what a data set says.
    ///
    /// # Errors
    /// Something is missing or impossible.
    pub fn of(set: &DataSet) -> Result<Self, PixelError> {
        let number = |tag, name: &str| -> Result<u64, PixelError> {
            let value = set.first_int(tag).ok_or_else(|| missing(name))?;
            u64::try_from(value).map_err(|_| impossible(name, value))
        };
        let float = set.get(tags::FLOAT_PIXEL_DATA).is_some();
        let double = set.get(tags::DOUBLE_FLOAT_PIXEL_DATA).is_some();
        let rows = number(tags::ROWS, "Rows (0028,0010)")?;
        let columns = number(tags::COLUMNS, "Columns (0028,0011)")?;
        let samples = number(tags::SAMPLES_PER_PIXEL, "Samples per Pixel (0028,0002)").unwrap_or(1);
        let allocated = number(tags::BITS_ALLOCATED, "Bits Allocated (0028,0100)")?;
        let stored = number(tags::BITS_STORED, "Bits Stored (0028,0101)").unwrap_or(allocated);
        let high_bit = number(tags::HIGH_BIT, "High Bit (0028,0102)").unwrap_or(stored.saturating_sub(1));
        let frames = number(tags::NUMBER_OF_FRAMES, "Number of Frames (0028,0008)").unwrap_or(1).max(1);
        let photometric = set.first_text(tags::PHOTOMETRIC_INTERPRETATION).map(Photometric::of);
        let number = match (float, double, set.first_int(tags::PIXEL_REPRESENTATION)) {
            (true, _, _) => Number::Float,
            (false, true, _) => Number::Double,
            (false, false, Some(1)) => Number::Signed,
            (false, false, _) => Number::Unsigned,
        };
        let fit = |value: u64, name: &str| u16::try_from(value).map_err(|_| impossible(name, value));
        let description = Self {
            rows: u32::from(fit(rows, "Rows (0028,0010)")?),
            columns: u32::from(fit(columns, "Columns (0028,0011)")?),
            samples_per_pixel: fit(samples, "Samples per Pixel (0028,0002)")?,
            bits_allocated: fit(allocated, "Bits Allocated (0028,0100)")?,
            bits_stored: fit(stored, "Bits Stored (0028,0101)")?,
            high_bit: fit(high_bit, "High Bit (0028,0102)")?,
            number,
            photometric: photometric.unwrap_or(Photometric::Other),
            by_plane: set.first_int(tags::PLANAR_CONFIGURATION) == Some(1) && samples > 1,
            frames: u32::try_from(frames).map_err(|_| impossible("Number of Frames (0028,0008)", frames))?,
        };
        description.check()?;
        Ok(description)
    }

    fn check(&self) -> Result<(), PixelError> {
        if self.rows == 0 || self.columns == 0 {
            return Err(PixelError::Description("Rows or Columns is 0".to_owned()));
        }
        if !(1..=4).contains(&self.samples_per_pixel) {
            return Err(impossible("Samples per Pixel (0028,0002)", self.samples_per_pixel));
        }
        let fits = match self.number {
            Number::Float => self.bits_allocated == 32,
            Number::Double => self.bits_allocated == 64,
            Number::Signed | Number::Unsigned => matches!(self.bits_allocated, 1 | 8 | 12 | 16 | 32 | 64),
        };
        if !fits {
            return Err(impossible("Bits Allocated (0028,0100)", self.bits_allocated));
        }
        if self.bits_stored == 0 || self.bits_stored > self.bits_allocated {
            return Err(impossible("Bits Stored (0028,0101)", self.bits_stored));
        }
        Ok(())
    }

    #[must_use]
    pub fn pixels(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.columns)
    }

    /// Samples of one frame.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.pixels() * u64::from(self.samples_per_pixel)
    }

    /// Bits of one frame of native pixel data; not whole bytes only if Bits
    /// Allocated is 1 or 12.
    #[must_use]
    pub fn frame_bits(&self) -> u64 {
        // Two pixels share their colour differences (PS3.3 section C.7.6.3.1.2).
        let is_shared = matches!(self.photometric, Photometric::YbrFull422 | Photometric::YbrPartial422);
        let samples =
            if is_shared && self.samples_per_pixel == 3 { self.pixels() * 2 } else { self.samples() };
        samples * u64::from(self.bits_allocated)
    }

    /// Bytes of one frame as it is delivered.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        self.frame_bits().div_ceil(8)
    }

    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.number == Number::Signed
    }

    /// The shape of a frame after decoding: what can be said of it before any
    /// code stream was looked at. Samples of a pixel lie together, colour
    /// differences are as many as luminances, samples fill whole bytes unless
    /// they are single bits. The lossy JPEGs and JPEG XL give RGB, since that is
    /// what every other decoder gives; nobody else changes a colour.
    #[must_use]
    pub fn decoded_from(&self, syntax: &TransferSyntax) -> Self {
        use Photometric::{
            Monochrome1, Monochrome2, Other, PaletteColor, Rgb, Xyb, YbrFull, YbrFull422, YbrIct,
            YbrPartial420, YbrPartial422, YbrRct,
        };
        let lossy_jpeg = syntax.pixels == Pixels::Jpeg && !syntax.is_lossless();
        let to_rgb = lossy_jpeg || syntax.pixels == Pixels::JpegXl;
        let photometric = match self.photometric {
            colour if colour.is_luminance_chrominance() && to_rgb => Rgb,
            YbrIct | YbrRct | Xyb => Rgb,
            YbrFull422 => YbrFull,
            Monochrome1 | Monochrome2 | PaletteColor | Rgb | YbrFull | YbrPartial420 | YbrPartial422
            | Other => self.photometric,
        };
        let bits_allocated = if self.bits_allocated == 12 { 16 } else { self.bits_allocated };
        Self { by_plane: false, photometric, bits_allocated, ..*self }
    }
}

fn missing(name: &str) -> PixelError {
    PixelError::Description(format!("{name} is missing"))
}

fn impossible(name: &str, value: impl std::fmt::Display) -> PixelError {
    PixelError::Description(format!("{name} is {value}"))
}
