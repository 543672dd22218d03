//! Softcopy presentation states (PS3.3 section A.33, PS3.4 annex N): an image as
//! somebody left it, with its window, its part that is shown, its shutters and
//! its annotations. What a state says replaces what the image says; what it
//! leaves out is not done at all (PS3.4 section N.2).
//!
//! Grayscale, color and pseudo-color states; none that blend, subtract masks or
//! draw volumes. Compound graphics are not drawn: the simple ones that go with
//! them are.

mod annotation;
mod area;
mod shutter;

use dicom_dictionary_std::tags;

use super::{
    Image, RenderError, color, fill,
    functional::FrameAttributes,
    gray, overlay,
    palette::{self, Palette},
    picture::Frame,
    segment::rgb_of,
    values,
};
use crate::{
    dicom::{DataSet, Tag},
    pixels::Photometric,
};

/// The SOP classes of presentation states that can be drawn.
const GRAYSCALE: &str = "1.2.840.10008.5.1.4.1.1.11.1";
const COLOR: &str = "1.2.840.10008.5.1.4.1.1.11.2";
const PSEUDO_COLOR: &str = "1.2.840.10008.5.1.4.1.1.11.3";

/// Groups of overlays, and the element that says on which layer one is shown.
const OVERLAY_GROUPS: u16 = 16;
const ACTIVATION_LAYER: u16 = 0x1001;
const OVERLAY_ROWS: u16 = 0x0010;

/// Whether instances of this class are presentation states that can be drawn.
#[must_use]
pub fn is_drawn(sop_class: &str) -> bool {
    matches!(sop_class, GRAYSCALE | COLOR | PSEUDO_COLOR)
}

/// An image that a state is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub series: String,
    pub instance: String,
    /// Counted from 1; empty: all.
    pub frames: Vec<u32>,
}

/// The images that a state is of, as it lists them.
#[must_use]
pub fn references(state: &DataSet) -> Vec<Reference> {
    let mut found = Vec::new();
    for series in state.items(tags::REFERENCED_SERIES_SEQUENCE) {
        let uid = series.first_text(tags::SERIES_INSTANCE_UID).unwrap_or_default();
        for image in series.items(tags::REFERENCED_IMAGE_SEQUENCE) {
            let Some(instance) = image.first_text(tags::REFERENCED_SOP_INSTANCE_UID) else { continue };
            found.push(Reference {
                series: uid.to_owned(),
                instance: instance.to_owned(),
                frames: frames(image),
            });
        }
    }
    found
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn frames(image: &DataSet) -> Vec<u32> {
    let numbers = values::numbers(image, tags::REFERENCED_FRAME_NUMBER);
    numbers.into_iter().filter(|number| *number >= 1.0).map(|number| number as u32).collect()
}

/// Where the plane of an image lies in the patient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    position: [f64; 3],
    orientation: [f64; 6],
}

impl Plane {
    /// None: the image does not say.
    #[must_use]
    pub fn of(set: &DataSet) -> Option<Self> {
        let position = values::numbers(set, tags::IMAGE_POSITION_PATIENT).try_into().ok()?;
        let orientation = values::numbers(set, tags::IMAGE_ORIENTATION_PATIENT).try_into().ok()?;
        Some(Self { position, orientation })
    }
}

/// Where parallel planes lie along their normal; none if they are not parallel.
#[must_use]
pub fn along_the_normal(planes: &[Plane]) -> Option<Vec<f64>> {
    let [a, b, c, d, e, f] = planes.first()?.orientation;
    let normal = [b * f - c * e, c * d - a * f, a * e - b * d];
    let is_parallel = |plane: &Plane| {
        plane.orientation.iter().zip([a, b, c, d, e, f]).all(|(one, other)| (one - other).abs() < 0.01)
    };
    let height = |plane: &Plane| plane.position.iter().zip(normal).map(|(p, n)| p * n).sum();
    planes.iter().all(is_parallel).then(|| planes.iter().map(height).collect())
}

/// What is drawn, in a state's own words.
#[derive(Debug, Clone, Copy)]
struct Target<'a> {
    instance: &'a str,
    /// Counted from 1.
    frame: u32,
}

impl Target<'_> {
    /// Whether an item is about it: one that names no image is about all.
    fn is_of(&self, item: &DataSet) -> bool {
        let images = item.items(tags::REFERENCED_IMAGE_SEQUENCE);
        images.is_empty()
            || images.iter().any(|image| {
                let frames = frames(image);
                image.first_text(tags::REFERENCED_SOP_INSTANCE_UID) == Some(self.instance)
                    && (frames.is_empty() || frames.contains(&self.frame))
            })
    }

    fn item<'s>(&self, state: &'s DataSet, sequence: Tag) -> Option<&'s DataSet> {
        state.items(sequence).iter().find(|item| self.is_of(item))
    }
}

/// Draws a frame as a state shows it, `fits` being the size it is to fit into.
///
/// # Errors
/// The state is not of such an image, or makes no sense.
pub fn draw(frame: &Frame<'_>, state: &DataSet, fits: Option<(u32, u32)>) -> Result<Image, RenderError> {
    let target = Target {
        instance: frame.set.first_text(tags::SOP_INSTANCE_UID).unwrap_or_default(),
        frame: frame.index + 1,
    };
    let mut image = pixels(frame, state, &target)?;
    shutter::draw(&mut image, state);
    for group in (0..OVERLAY_GROUPS).map(|number| 0x6000 + number * 2) {
        let Some(layer) = state.first_text(Tag(group, ACTIVATION_LAYER)).filter(|layer| !layer.is_empty())
        else {
            continue;
        };
        // A plane of the state takes the place of the image's.
        let is_own = state.get(Tag(group, OVERLAY_ROWS)).is_some();
        let set = if is_own { state } else { frame.set };
        let color = layer_color(state, layer);
        if color.iter().any(|channel| *channel != color[0]) {
            image.make_rgb();
        }
        overlay::draw_group(&mut image, frame.bytes, frame.description, set, group, frame.index, color);
    }
    let area = area::Area::of(state, &target, &image);
    let (mut image, place) = area.show(image, fits)?;
    annotation::draw(&mut image, state, &target, &place);
    Ok(image)
}

fn pixels(frame: &Frame<'_>, state: &DataSet, target: &Target<'_>) -> Result<Image, RenderError> {
    let Frame { bytes, description, set, index } = *frame;
    let attributes = FrameAttributes::of(set, index);
    let class = state.first_text(tags::SOP_CLASS_UID).unwrap_or_default();
    let is_gray = description.samples_per_pixel == 1 && description.photometric != Photometric::PaletteColor;
    match (class, is_gray) {
        (COLOR, false) if description.samples_per_pixel == 1 => {
            palette::draw(bytes, description, &attributes)
        }
        (COLOR, false) => color::draw(bytes, description),
        (GRAYSCALE | PSEUDO_COLOR, true) => {
            let voi = target.item(state, tags::SOFTCOPY_VOILUT_SEQUENCE);
            let image = gray::present(bytes, description, &attributes, state, voi)?;
            if class == GRAYSCALE {
                return Ok(image);
            }
            let palette = Palette::read(state, false)?.ok_or_else(|| {
                RenderError::Inconsistent("the presentation state has no palette".to_owned())
            })?;
            let data = image.data.iter().flat_map(|value| palette.part(*value)).collect();
            Ok(Image::rgb(image.width, image.height, data))
        }
        _ => Err(RenderError::Inconsistent(
            "the presentation state is of another kind of image than the one it refers to".to_owned(),
        )),
    }
}

/// The colour in which a layer recommends to draw: CIELab, else its gray, else
/// white.
fn layer_color(state: &DataSet, layer: &str) -> [u8; 3] {
    let is_it = |item: &&DataSet| item.first_text(tags::GRAPHIC_LAYER) == Some(layer);
    let Some(item) = state.items(tags::GRAPHIC_LAYER_SEQUENCE).iter().find(is_it) else { return [255; 3] };
    color_of(
        item,
        tags::GRAPHIC_LAYER_RECOMMENDED_DISPLAY_CIE_LAB_VALUE,
        tags::GRAPHIC_LAYER_RECOMMENDED_DISPLAY_GRAYSCALE_VALUE,
    )
    .unwrap_or([255; 3])
}

fn color_of(item: &DataSet, lab: Tag, gray: Tag) -> Option<[u8; 3]> {
    if let [lightness, a, b] = values::numbers(item, lab)[..] {
        return Some(rgb_of(lightness, a, b).map(super::image::byte));
    }
    values::number(item, gray).map(|gray| [super::image::byte(gray / 65_535.0); 3])
}
