//! The Modality LUT: stored values to what the modality measured (PS3.3 section
//! C.11.1). A sequence goes before slope and intercept.

use dicom_dictionary_std::tags;

use super::{RenderError, functional::FrameAttributes, lut::Lut, values};

/// The transformation of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Modality {
    Table(Lut),
    Line { slope: f64, intercept: f64 },
}

impl Modality {
    /// What applies to a frame.
    ///
    /// # Errors
    /// A table that cannot be used.
    pub fn of(attributes: &FrameAttributes<'_>, signed: bool) -> Result<Self, RenderError> {
        if let Some(item) = attributes.set.items(tags::MODALITY_LUT_SEQUENCE).first()
            && let Some(table) = Lut::read(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, signed)?
        {
            return Ok(Self::Table(table));
        }
        let holder = attributes.holder(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tags::RESCALE_SLOPE);
        // A slope of 0 would make all pixels equal: nobody means it.
        let slope = values::number(holder, tags::RESCALE_SLOPE).filter(|slope| *slope != 0.0).unwrap_or(1.0);
        let intercept = values::number(holder, tags::RESCALE_INTERCEPT).unwrap_or(0.0);
        Ok(Self::Line { slope, intercept })
    }

    #[must_use]
    pub fn apply(&self, value: f64) -> f64 {
        match self {
            #[allow(clippy::cast_possible_truncation, reason = "saturates")]
            Self::Table(table) => f64::from(table.at(value.round() as i64)),
            Self::Line { slope, intercept } => value.mul_add(*slope, *intercept),
        }
    }
}
