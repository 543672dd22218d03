//! Images of one sample a pixel that is a brightness: Modality LUT, VOI LUT,
//! presentation (PS3.4 annex N). Up to sixteen bits the three are one table.

use dicom_dictionary_std::tags;

use super::{
    Image, RenderError,
    functional::FrameAttributes,
    image::byte,
    lut::Lut,
    modality::Modality,
    palette::Palette,
    stored::{Stored, bounds},
    values,
    voi::{Voi, Window},
};
use crate::{
    dicom::DataSet,
    pixels::{Description, Photometric},
};

/// What is asked of the brightness.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Brightness {
    /// The window of the request.
    pub window: Option<super::voi::Window>,
    /// The values of all frames of an animation, so that it does not flicker.
    pub range: Option<(f64, f64)>,
}

/// A frame in the values of its modality, not yet a picture.
pub struct Measured {
    stored: Stored,
    modality: Modality,
    padding: Option<(f64, f64)>,
}

impl Measured {
    /// # Errors
    /// The attributes and the pixels do not fit.
    pub fn read(
        bytes: &[u8],
        description: &Description,
        attributes: &FrameAttributes<'_>,
    ) -> Result<Self, RenderError> {
        let stored = Stored::read(bytes, description)?;
        let modality = Modality::of(attributes, description.is_signed())?;
        Ok(Self { stored, modality, padding: padding(attributes.set, description) })
    }

    /// From the smallest to the largest value that is no padding.
    #[must_use]
    pub fn range(&self) -> (f64, f64) {
        if let Stored::Codes { bits: 1, .. } = self.stored {
            return (0.0, 1.0);
        }
        let (low, high) = self.stored.range(self.padding).unwrap_or((0.0, 0.0));
        match &self.modality {
            // A table need not rise.
            Modality::Table(table) => {
                let entries = || table.entries.iter().copied().map(f64::from);
                (entries().fold(f64::MAX, f64::min), entries().fold(f64::MIN, f64::max))
            }
            Modality::Line { .. } => {
                let ends = (self.modality.apply(low), self.modality.apply(high));
                (f64::min(ends.0, ends.1), f64::max(ends.0, ends.1))
            }
        }
    }

    /// From the smallest to the largest value that such pixels could have.
    fn possible(&self) -> (f64, f64) {
        let Stored::Codes { offset, bits, .. } = self.stored else { return self.range() };
        match &self.modality {
            Modality::Table(table) => (0.0, f64::from(table.full_scale())),
            Modality::Line { .. } => {
                let ends = [-offset, (1 << bits) - 1 - offset].map(|end| self.modality.apply(end as f64));
                (f64::min(ends[0], ends[1]), f64::max(ends[0], ends[1]))
            }
        }
    }

    /// The frame as a gray picture.
    fn picture(&self, voi: &Voi, present: impl Fn(f64) -> f64) -> Vec<u8> {
        let scale = voi.full_scale();
        let gray = |value: f64| {
            // Padding is background, whatever the image makes of its value.
            if self.padding.is_some_and(|(low, high)| (low..=high).contains(&value)) {
                return 0;
            }
            let brightness = voi.apply(self.modality.apply(value), scale);
            byte(present(brightness))
        };
        match &self.stored {
            Stored::Codes { codes, offset, .. } => {
                let Some((low, high)) = bounds(codes, None) else { return Vec::new() };
                // Of all codes that there can be, so that no look-up is checked.
                let mut table = vec![0; 1 << 16];
                for code in low..=high {
                    table[usize::from(code)] = gray((i64::from(code) - offset) as f64);
                }
                let Some(table) = table.first_chunk::<{ 1 << 16 }>() else { return Vec::new() };
                codes.iter().map(|code| table[usize::from(*code)]).collect()
            }
            Stored::Numbers(numbers) => numbers.iter().map(|number| gray(*number)).collect(),
        }
    }
}

/// Draws a monochrome frame, with the colours of its supplemental palette if it
/// has one.
///
/// # Errors
/// The attributes and the pixels do not fit.
pub fn draw(
    bytes: &[u8],
    description: &Description,
    attributes: &FrameAttributes<'_>,
    asked: &Brightness,
) -> Result<Image, RenderError> {
    let measured = Measured::read(bytes, description, attributes)?;
    let range = || fractions(attributes.set).or(asked.range).unwrap_or_else(|| measured.range());
    let voi = Voi::of(attributes, asked.window, range, || measured.possible())?;
    let inverted = is_inverted(attributes.set, description);
    let picture = measured.picture(&voi, |brightness| if inverted { 1.0 - brightness } else { brightness });
    let image = Image::gray(description.columns, description.rows, picture);
    match supplemental(attributes, description)? {
        Some(palette) => Ok(colored(image, &measured.stored, &palette)),
        None => Ok(image),
    }
}

/// Draws a monochrome frame as a presentation state says, `voi` being what it
/// says of brightness and contrast: of the image, nothing of that counts.
///
/// # Errors
/// The attributes and the pixels do not fit.
pub fn present(
    bytes: &[u8],
    description: &Description,
    attributes: &FrameAttributes<'_>,
    state: &DataSet,
    voi: Option<&DataSet>,
) -> Result<Image, RenderError> {
    let stored = Stored::read(bytes, description)?;
    let modality = Modality::of(&FrameAttributes::of(state, 0), description.is_signed())?;
    let measured = Measured { stored, modality, padding: padding(attributes.set, description) };
    let range = measured.possible();
    let voi = match voi {
        Some(item) => match Voi::of_items(item, || range)? {
            Some(table) => table,
            None => Window::of(item).map_or(Voi::Range(range.0, range.1), Voi::Window),
        },
        None => Voi::Range(range.0, range.1),
    };
    let table = match state.items(tags::PRESENTATION_LUT_SEQUENCE).first() {
        Some(item) => Lut::read(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, false)?,
        None => None,
    };
    let inverted = state.first_text(tags::PRESENTATION_LUT_SHAPE) == Some("INVERSE");
    let picture = measured.picture(&voi, |brightness| match &table {
        Some(table) => {
            #[allow(clippy::cast_possible_truncation, reason = "between the first and the last entry")]
            let entry = (brightness * (table.entries.len() - 1) as f64).round() as i64;
            f64::from(table.at(table.first + entry)) / f64::from(table.full_scale())
        }
        None if inverted => 1.0 - brightness,
        None => brightness,
    });
    Ok(Image::gray(description.columns, description.rows, picture))
}

/// From nothing to all of it, in a segmentation of probabilities or occupancies
/// (PS3.3 section C.8.20.2.3): a faint one must not look like a certain one.
fn fractions(set: &DataSet) -> Option<(f64, f64)> {
    let is_fractional = set.first_text(tags::SEGMENTATION_TYPE) == Some("FRACTIONAL");
    let most = values::number(set, tags::MAXIMUM_FRACTIONAL_VALUE).filter(|most| *most > 0.0)?;
    is_fractional.then_some((0.0, most))
}

/// MONOCHROME1 shows its lowest value brightest; so does Presentation LUT Shape
/// INVERSE. Both say the same of the same image, so they do not cancel out.
fn is_inverted(set: &DataSet, description: &Description) -> bool {
    description.photometric == Photometric::Monochrome1
        || set.first_text(tags::PRESENTATION_LUT_SHAPE) == Some("INVERSE")
}

/// The stored values that are no part of the image: from Pixel Padding Value to
/// its limit (PS3.3 section C.7.5.1.1.2).
fn padding(set: &DataSet, description: &Description) -> Option<(f64, f64)> {
    use crate::pixels::Number;
    let (value, limit) = match description.number {
        Number::Float => (tags::FLOAT_PIXEL_PADDING_VALUE, tags::FLOAT_PIXEL_PADDING_RANGE_LIMIT),
        Number::Double => {
            (tags::DOUBLE_FLOAT_PIXEL_PADDING_VALUE, tags::DOUBLE_FLOAT_PIXEL_PADDING_RANGE_LIMIT)
        }
        Number::Signed | Number::Unsigned => (tags::PIXEL_PADDING_VALUE, tags::PIXEL_PADDING_RANGE_LIMIT),
    };
    // Written as US in a signed image, or the other way round, it is meant as
    // the image is.
    let stored = |number: f64| {
        if description.is_signed() && description.bits_allocated == 16 && number > 32_767.0 {
            number - 65_536.0
        } else if description.number == Number::Unsigned && number < 0.0 {
            number + 65_536.0
        } else {
            number
        }
    };
    let value = stored(values::number(set, value)?);
    let limit = values::number(set, limit).map_or(value, stored);
    Some((f64::min(value, limit), f64::max(value, limit)))
}

/// The palette that colours a part of a monochrome image (PS3.3 section
/// C.7.6.19), if the image shall be shown with it.
fn supplemental(
    attributes: &FrameAttributes<'_>,
    description: &Description,
) -> Result<Option<Palette>, RenderError> {
    let holds = |text: Option<&str>| matches!(text, Some("COLOR" | "MIXED"));
    let presentation = [attributes.set]
        .into_iter()
        .chain(
            [tags::MR_IMAGE_FRAME_TYPE_SEQUENCE, tags::CT_IMAGE_FRAME_TYPE_SEQUENCE]
                .into_iter()
                .filter_map(|sequence| attributes.group(sequence, tags::PIXEL_PRESENTATION)),
        )
        .any(|holder| holds(holder.first_text(tags::PIXEL_PRESENTATION)));
    if !presentation || description.photometric != Photometric::Monochrome2 {
        return Ok(None);
    }
    Palette::read(attributes.set, description.is_signed())
}

/// Stored values from the palette's first on are its colours.
fn colored(image: Image, stored: &Stored, palette: &Palette) -> Image {
    let mut image = image.into_rgb();
    if let Stored::Codes { codes, offset, .. } = stored {
        for (pixel, code) in image.data.chunks_exact_mut(3).zip(codes) {
            let value = i64::from(*code) - offset;
            if value >= palette.first() {
                pixel.copy_from_slice(&palette.at(value));
            }
        }
    }
    image
}
