//! What cannot be made safe by going through attributes: names in pixels, in
//! prose, in sound, and in what nobody here knows. It is left out and named, and
//! never passed on.

use dicom_core::{Tag, dictionary::UidDictionary};
use dicom_dictionary_std::{StandardSopClassDictionary, tags};

use super::LeftOut;
use crate::dicom::dataset::{DataSet, Value};

const OVERLAY_ROWS: u16 = 0x0010;
const OVERLAY_DATA: u16 = 0x3000;
const STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";

/// SOP Classes, by what follows [`STORAGE`], of which no instance is taken. A
/// number that ends with a dot stands for all that begin with it.
const REFUSED: &[(&str, LeftOut)] = &[
    ("11.", LeftOut::PresentationState),
    ("88.", LeftOut::Report),
    ("104.", LeftOut::Document),
    ("9.4.", LeftOut::Sound),
    ("66", LeftOut::RawData),
];

/// Those whose pixels often say who the patient is, so that nothing but
/// Burned In Annotation = NO will do: secondary captures, ultrasound, visible
/// light but for slides.
const IN_DOUBT: &[&str] = &["7", "7.", "3.", "3.1", "6.", "6.1", "6.2", "77.1."];
const SLIDES: &str = "77.1.6";
/// Photographs of people.
const PHOTOGRAPHS: &str = "77.1.4";

/// Where pixels came from that were on film, on paper or on a screen
/// (PS3.3 section C.8.6.1).
const CAPTURED: [&str; 6] = ["DF", "DV", "DRW", "SD", "SI", "WSD"];

/// What is known of pixels beyond what the file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pixels {
    /// Nothing: in doubt they are not passed on.
    #[default]
    Unseen,
    /// Somebody has looked at them and answers for it that nobody is named.
    LookedAt,
}

/// # Errors
/// Why the instance is left out.
pub(super) fn check(set: &DataSet, sop_class: &str, pixels: Pixels) -> Result<(), LeftOut> {
    let class = storage_class(sop_class).ok_or(LeftOut::UnknownClass)?;
    let is_of = |number: &str| class == number || number.ends_with('.') && class.starts_with(number);
    if let Some((_, why)) = REFUSED.iter().find(|(number, _)| is_of(number)) {
        return Err(*why);
    }
    let text = |tag| set.first_text(tag).unwrap_or_default().trim().to_ascii_uppercase();
    if text(tags::BURNED_IN_ANNOTATION) == "YES" {
        return Err(LeftOut::BurnedIn);
    }
    if text(tags::RECOGNIZABLE_VISUAL_FEATURES) == "YES" {
        return Err(LeftOut::Recognizable);
    }
    if (0x6000..=0x60FF).step_by(2).any(|group| hides_overlay(set, group)) {
        return Err(LeftOut::HiddenOverlay);
    }
    let image_type = match set.get(tags::IMAGE_TYPE).map(|element| &element.value) {
        Some(Value::Text(values)) => values.join("\\").to_ascii_uppercase(),
        _ => String::new(),
    };
    let is_slide = is_of(SLIDES);
    if is_slide && (image_type.contains("LABEL") || image_type.contains("OVERVIEW")) {
        return Err(LeftOut::SlideLabel);
    }
    if pixels == Pixels::LookedAt {
        return Ok(());
    }
    let is_photograph = is_of(PHOTOGRAPHS) || is_of("77.1.4.");
    if is_photograph && text(tags::RECOGNIZABLE_VISUAL_FEATURES) != "NO" {
        return Err(LeftOut::InDoubt);
    }
    let is_in_doubt = !is_slide && IN_DOUBT.iter().any(|number| is_of(number))
        || CAPTURED.contains(&text(tags::CONVERSION_TYPE).as_str())
        || image_type.contains("SCREEN")
        || image_type.contains("DOSE_INFO");
    if is_in_doubt && text(tags::BURNED_IN_ANNOTATION) != "NO" {
        return Err(LeftOut::InDoubt);
    }
    Ok(())
}

/// An overlay, which may be text, in bits of the pixels that the image does not use
/// (PS3.5 section 8.1.2, retired): it would stay there unseen.
fn hides_overlay(set: &DataSet, group: u16) -> bool {
    let has = |element| set.get(Tag(group, element)).is_some_and(|found| found.value != Value::Empty);
    !has(OVERLAY_DATA) && has(OVERLAY_ROWS)
}

/// What follows the root of the storage classes, of a class that the standard has.
fn storage_class(sop_class: &str) -> Option<&str> {
    let class = sop_class.strip_prefix(STORAGE)?;
    StandardSopClassDictionary.by_uid(sop_class).map(|_| class)
}
