//! A frame becomes a picture: values, overlays, viewport, annotation, in this
//! order (PS3.18 section 8.3.5.1).

use dicom_dictionary_std::tags;

use super::{
    Image, RenderError,
    annotate::{self, Annotations},
    color,
    functional::FrameAttributes,
    geometry::{self, Viewport},
    gray::{self, Brightness, Measured},
    overlay, palette, segment, values,
    voi::Window,
};
use crate::{
    dicom::DataSet,
    pixels::{Description, Photometric},
};

/// A decoded frame and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// In the native layout that `description` tells.
    pub bytes: &'a [u8],
    pub description: &'a Description,
    /// The instance's data set; LUTs, palettes and overlays are in it inline.
    pub set: &'a DataSet,
    /// Counted from 0.
    pub index: u32,
}

/// How a picture is wanted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Look {
    /// Only for gray images; others have no window.
    pub window: Option<Window>,
    /// None: the size of the image.
    pub viewport: Option<Viewport>,
    pub annotations: Annotations,
    /// See `Brightness::range`.
    pub range: Option<(f64, f64)>,
    /// Leave out overlays, which may say who the patient is.
    pub without_overlays: bool,
}

/// Draws a frame.
///
/// # Errors
/// The frame is of a kind that cannot be drawn, or does not fit what is asked.
pub fn draw(frame: &Frame<'_>, look: &Look) -> Result<Image, RenderError> {
    let Frame { bytes, description, set, index } = *frame;
    let attributes = FrameAttributes::of(set, index);
    let mut image = match (description.samples_per_pixel, description.photometric) {
        (1, Photometric::PaletteColor) => palette::draw(bytes, description, &attributes)?,
        (1, _) => {
            let asked = Brightness { window: look.window, range: look.range };
            let gray = gray::draw(bytes, description, &attributes, &asked)?;
            segment::colored(gray, &attributes)
        }
        _ => color::draw(bytes, description)?,
    };
    image.pixel_aspect = pixel_aspect(&attributes);
    if !look.without_overlays {
        overlay::draw(&mut image, bytes, description, set, index);
    }
    finish(image, set, index, look)
}

/// What is done to a picture last, whatever it was drawn from.
///
/// # Errors
/// The viewport does not fit.
pub fn finish(mut image: Image, set: &DataSet, index: u32, look: &Look) -> Result<Image, RenderError> {
    if let Some(viewport) = &look.viewport {
        image = geometry::show(image, viewport)?;
    }
    if look.annotations != Annotations::default() {
        annotate::annotate(&mut image, &FrameAttributes::of(set, index), look.annotations);
    }
    Ok(image)
}

/// From the smallest to the largest value of a gray frame; none for one of
/// colours.
///
/// # Errors
/// As [`draw`].
pub fn range(frame: &Frame<'_>) -> Result<Option<(f64, f64)>, RenderError> {
    let Frame { bytes, description, set, index } = *frame;
    if description.samples_per_pixel != 1 || description.photometric == Photometric::PaletteColor {
        return Ok(None);
    }
    let attributes = FrameAttributes::of(set, index);
    Ok(Some(Measured::read(bytes, description, &attributes)?.range()))
}

/// Whether anything may be drawn over the frames of an image.
#[must_use]
pub fn has_overlays(set: &DataSet) -> bool {
    overlay::any(set)
}

/// Height of a pixel by its width: Pixel Aspect Ratio, or what the spacings
/// say.
fn pixel_aspect(attributes: &FrameAttributes<'_>) -> f64 {
    let set = attributes.set;
    let pair = |holder: &DataSet, tag| match values::numbers(holder, tag)[..] {
        [vertical, horizontal, ..] if vertical > 0.0 && horizontal > 0.0 => Some(vertical / horizontal),
        _ => None,
    };
    let measures = attributes.holder(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING);
    pair(set, tags::PIXEL_ASPECT_RATIO)
        .or_else(|| pair(measures, tags::PIXEL_SPACING))
        .or_else(|| pair(set, tags::IMAGER_PIXEL_SPACING))
        .filter(|ratio| (0.05..=20.0).contains(ratio))
        .unwrap_or(1.0)
}

/// The frame that stands for an instance, counted from 1: Representative Frame
/// Number, the one in the middle of a stack, the first of anything else.
#[must_use]
pub fn representative(set: &DataSet, frames: u32) -> u32 {
    let stack = !set.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).is_empty();
    values::whole(set, tags::REPRESENTATIVE_FRAME_NUMBER)
        .filter(|number| (1..=frames).contains(number))
        .unwrap_or(if stack { frames.div_ceil(2).max(1) } else { 1 })
}

/// Milliseconds from one frame to the next, by Frame Time, Frame Time Vector or
/// one of the rates; a fifteenth of a second when nothing tells it.
#[must_use]
pub fn frame_time_ms(set: &DataSet, index: u32) -> f64 {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let rate = |tag| values::number(set, tag).filter(|rate| positive(*rate)).map(|rate| 1000.0 / rate);
    // The vector's first increment is 0: each counts from the frame before.
    let vector = values::numbers(set, tags::FRAME_TIME_VECTOR);
    values::number(set, tags::FRAME_TIME)
        .filter(|time| positive(*time))
        .or_else(|| vector.get(index as usize + 1).copied().filter(|time| positive(*time)))
        .or_else(|| rate(tags::RECOMMENDED_DISPLAY_FRAME_RATE))
        .or_else(|| rate(tags::CINE_RATE))
        .unwrap_or(1000.0 / 15.0)
}
