//! Text burnt into a picture when a request asks for it (PS3.18 section
//! 8.3.5.1.1): who the patient is, and how the image was made.

use dicom_dictionary_std::tags;

use super::{
    Image,
    font::{self, Size},
    functional::FrameAttributes,
    values,
};
use crate::dicom::{DataSet, Tag};

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Annotations {
    pub patient: bool,
    pub technique: bool,
}

const MARGIN: i64 = 4;

/// Writes what is asked for: the patient at the top, the technique at the
/// bottom.
pub fn annotate(image: &mut Image, attributes: &FrameAttributes<'_>, asked: Annotations) {
    let size = Size::for_height(image.height);
    let line_height = i64::from(size.line_height());
    if asked.patient {
        for (number, line) in (0..).zip(patient(attributes.set)) {
            font::write_outlined(image, &line, MARGIN, MARGIN + number * line_height, size);
        }
    }
    if asked.technique {
        let bottom = i64::from(image.height) - MARGIN;
        for (number, line) in (1..).zip(technique(attributes).iter().rev()) {
            font::write_outlined(image, line, MARGIN, bottom - number * line_height, size);
        }
    }
}

fn patient(set: &DataSet) -> Vec<String> {
    let text = |tag| values::text(set, tag);
    let name = text(tags::PATIENT_NAME).map(|name| {
        let parts: Vec<_> = name.split('^').filter(|part| !part.is_empty()).collect();
        parts.join(" ")
    });
    let born = text(tags::PATIENT_BIRTH_DATE).map(|date| date_of(&date));
    let person = [born, text(tags::PATIENT_SEX)].into_iter().flatten().collect::<Vec<_>>().join("  ");
    let studied = text(tags::STUDY_DATE).map(|date| date_of(&date));
    [name, text(tags::PATIENT_ID), Some(person), studied]
        .into_iter()
        .flatten()
        .filter(|line| !line.is_empty())
        .collect()
}

fn date_of(text: &str) -> String {
    match (text.get(..4), text.get(4..6), text.get(6..8)) {
        (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => text.to_owned(),
    }
}

/// The technique that modalities state, each with its unit.
const TECHNIQUE: [(Tag, &str, &str); 14] = [
    (tags::BODY_PART_EXAMINED, "", ""),
    (tags::PROTOCOL_NAME, "", ""),
    (tags::KVP, "", "kV"),
    (tags::X_RAY_TUBE_CURRENT, "", "mA"),
    (tags::EXPOSURE_TIME, "", "ms"),
    (tags::EXPOSURE, "", "mAs"),
    (tags::CONVOLUTION_KERNEL, "", ""),
    (tags::REPETITION_TIME, "TR", "ms"),
    (tags::ECHO_TIME, "TE", "ms"),
    (tags::FLIP_ANGLE, "FA", "°"),
    (tags::MAGNETIC_FIELD_STRENGTH, "", "T"),
    (tags::SLICE_THICKNESS, "SL", "mm"),
    (tags::SLICE_LOCATION, "Loc", "mm"),
    (tags::BODY_PART_THICKNESS, "Comp", "mm"),
];

fn technique(attributes: &FrameAttributes<'_>) -> Vec<String> {
    let set = attributes.set;
    let head = [tags::MODALITY, tags::SERIES_NUMBER, tags::INSTANCE_NUMBER]
        .into_iter()
        .zip(["", "Se ", "Im "])
        .filter_map(|(tag, label)| values::text(set, tag).map(|text| format!("{label}{text}")))
        .collect::<Vec<_>>()
        .join("  ");
    let thickness = attributes.holder(tags::PIXEL_MEASURES_SEQUENCE, tags::SLICE_THICKNESS);
    let mut lines = vec![head];
    for (tag, label, unit) in TECHNIQUE {
        let holder = if tag == tags::SLICE_THICKNESS { thickness } else { set };
        if let Some(text) = values::text(holder, tag) {
            lines.push([label, text.as_str(), unit].join(" ").trim().to_owned());
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}
