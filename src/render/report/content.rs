//! The content tree of a report as values (PS3.3 tables C.17-5 and C.18).

use std::collections::HashMap;

use dicom_dictionary_std::tags;

use crate::{
    dicom::{DataSet, Tag, uid},
    render::values,
};

/// A report.
#[derive(Debug, Clone)]
pub struct Report {
    /// What is said above the content: label and text.
    pub head: Vec<(&'static str, String)>,
    pub root: Item,
}

/// An item of the tree.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its place in the tree: `1`, `1.2`, ….
    pub place: String,
    pub relationship: Relationship,
    /// The meaning of its Concept Name.
    pub name: Option<String>,
    pub value: ItemValue,
    pub children: Vec<Item>,
}

/// Relationship Type (0040,A010), as far as it is shown differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relationship {
    Contains,
    Modifier,
    ObservationContext,
    AcquisitionContext,
    InferredFrom,
    Properties,
    SelectedFrom,
}

impl Relationship {
    /// How it is told to a reader; nothing for what stands where it belongs.
    #[must_use]
    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::Contains | Self::Modifier => None,
            Self::ObservationContext => Some("Context"),
            Self::AcquisitionContext => Some("Acquisition"),
            Self::InferredFrom => Some("Inferred from"),
            Self::Properties => Some("Property"),
            Self::SelectedFrom => Some("Selected from"),
        }
    }

    fn of(text: Option<&str>) -> Self {
        match text {
            Some("HAS CONCEPT MOD") => Self::Modifier,
            Some("HAS OBS CONTEXT") => Self::ObservationContext,
            Some("HAS ACQ CONTEXT") => Self::AcquisitionContext,
            Some("INFERRED FROM") => Self::InferredFrom,
            Some("HAS PROPERTIES") => Self::Properties,
            Some("SELECTED FROM") => Self::SelectedFrom,
            _ => Self::Contains,
        }
    }
}

/// The value of an item, by its Value Type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemValue {
    Container,
    Text(String),
    /// A coded meaning, with the code behind it.
    Code {
        meaning: String,
        code: String,
    },
    Measurement {
        value: String,
        unit: String,
    },
    /// Another instance: what it is called, and where it can be seen.
    Instance {
        what: String,
        link: Option<String>,
    },
    /// Another item of this report, by its place.
    Item(String),
    None,
}

/// Where the instances are that a report refers to.
type Evidence = HashMap<String, String>;

impl Report {
    /// Reads a report; what is missing is left out.
    #[must_use]
    pub fn read(set: &DataSet) -> Self {
        let evidence = evidence(set);
        let mut root = Item::read(set, "1".to_owned(), &evidence);
        root.value = ItemValue::Container;
        Self { head: head(set), root }
    }
}

impl Item {
    /// Nesting is bounded: the data set was read under a limit.
    fn read(set: &DataSet, place: String, evidence: &Evidence) -> Self {
        let children = (1..)
            .zip(set.items(tags::CONTENT_SEQUENCE))
            .map(|(number, child)| Self::read(child, format!("{place}.{number}"), evidence))
            .collect();
        Self {
            place,
            relationship: Relationship::of(set.first_text(tags::RELATIONSHIP_TYPE)),
            name: meaning(set, tags::CONCEPT_NAME_CODE_SEQUENCE),
            value: value(set, evidence),
            children,
        }
    }
}

fn value(set: &DataSet, evidence: &Evidence) -> ItemValue {
    let text = |tag| values::text(set, tag).map_or(ItemValue::None, ItemValue::Text);
    match set.first_text(tags::VALUE_TYPE).unwrap_or_default() {
        "CONTAINER" => ItemValue::Container,
        "TEXT" => text(tags::TEXT_VALUE),
        "DATE" => text(tags::DATE),
        "TIME" => text(tags::TIME),
        "DATETIME" => text(tags::DATE_TIME),
        "UIDREF" => text(tags::UID),
        "PNAME" => text(tags::PERSON_NAME),
        "CODE" => code(set, tags::CONCEPT_CODE_SEQUENCE),
        "NUM" => measurement(set),
        "IMAGE" | "COMPOSITE" | "WAVEFORM" => instance(set, evidence),
        "SCOORD" | "SCOORD3D" => coordinates(set, tags::GRAPHIC_TYPE, tags::GRAPHIC_DATA),
        "TCOORD" => coordinates(set, tags::TEMPORAL_RANGE_TYPE, tags::REFERENCED_TIME_OFFSETS),
        _ => {
            let place = values::texts(set, tags::REFERENCED_CONTENT_ITEM_IDENTIFIER);
            if place.is_empty() { ItemValue::None } else { ItemValue::Item(place.join(".")) }
        }
    }
}

fn code(set: &DataSet, sequence: Tag) -> ItemValue {
    let Some(item) = set.items(sequence).first() else { return ItemValue::None };
    let code =
        [tags::CODE_VALUE, tags::LONG_CODE_VALUE, tags::URN_CODE_VALUE, tags::CODING_SCHEME_DESIGNATOR]
            .into_iter()
            .filter_map(|tag| values::text(item, tag))
            .collect::<Vec<_>>()
            .join(", ");
    ItemValue::Code { meaning: values::text(item, tags::CODE_MEANING).unwrap_or_else(|| code.clone()), code }
}

fn meaning(set: &DataSet, sequence: Tag) -> Option<String> {
    if let ItemValue::Code { meaning, .. } = code(set, sequence)
        && !meaning.is_empty()
    {
        return Some(meaning);
    }
    None
}

/// A number with its unit, or why there is none.
fn measurement(set: &DataSet) -> ItemValue {
    let Some(measured) = set.items(tags::MEASURED_VALUE_SEQUENCE).first() else {
        let why = meaning(set, tags::NUMERIC_VALUE_QUALIFIER_CODE_SEQUENCE);
        return ItemValue::Text(why.unwrap_or_else(|| "not measured".to_owned()));
    };
    let unit = measured.items(tags::MEASUREMENT_UNITS_CODE_SEQUENCE).first();
    let unit = unit
        .and_then(|unit| {
            values::text(unit, tags::CODE_MEANING).or_else(|| values::text(unit, tags::CODE_VALUE))
        })
        // UCUM's unit of a ratio.
        .filter(|unit| unit != "no units" && unit != "1");
    ItemValue::Measurement {
        value: values::texts(measured, tags::NUMERIC_VALUE).join(" \\ "),
        unit: unit.unwrap_or_default(),
    }
}

fn instance(set: &DataSet, evidence: &Evidence) -> ItemValue {
    let Some(reference) = set.items(tags::REFERENCED_SOP_SEQUENCE).first() else { return ItemValue::None };
    let class = values::text(reference, tags::REFERENCED_SOP_CLASS_UID).unwrap_or_default();
    let uid = values::text(reference, tags::REFERENCED_SOP_INSTANCE_UID).unwrap_or_default();
    let class = dicom_core::dictionary::UidDictionary::by_uid(
        &dicom_dictionary_std::StandardSopClassDictionary,
        &class,
    )
    .map_or(class, |entry| entry.name.to_owned());
    let frames = values::texts(reference, tags::REFERENCED_FRAME_NUMBER).join(", ");
    let frames = if frames.is_empty() { frames } else { format!(", frame {frames}") };
    ItemValue::Instance {
        what: format!("{class} {uid}{frames}").trim().to_owned(),
        link: evidence.get(&uid).cloned(),
    }
}

fn coordinates(set: &DataSet, kind: Tag, data: Tag) -> ItemValue {
    const SHOWN_MAX: usize = 20;
    let numbers = values::texts(set, data);
    let more = if numbers.len() > SHOWN_MAX { ", …" } else { "" };
    let shown = numbers.into_iter().take(SHOWN_MAX).collect::<Vec<_>>().join(", ");
    let kind = values::text(set, kind).unwrap_or_default();
    ItemValue::Text(format!("{kind} {shown}{more}").trim().to_owned())
}

/// The rendered resources of the instances in the evidence, relative to that of
/// the report. Only UIDs get into a link.
fn evidence(set: &DataSet) -> Evidence {
    let mut found = Evidence::new();
    for sequence in
        [tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, tags::PERTINENT_OTHER_EVIDENCE_SEQUENCE]
    {
        for study in set.items(sequence) {
            for series in study.items(tags::REFERENCED_SERIES_SEQUENCE) {
                for instance in series.items(tags::REFERENCED_SOP_SEQUENCE) {
                    let uids = [
                        (study, tags::STUDY_INSTANCE_UID),
                        (series, tags::SERIES_INSTANCE_UID),
                        (instance, tags::REFERENCED_SOP_INSTANCE_UID),
                    ]
                    .map(|(holder, tag)| values::text(holder, tag).filter(|text| uid::check(text).is_ok()));
                    if let [Some(study), Some(series), Some(instance)] = uids {
                        let link =
                            format!("../../../../../{study}/series/{series}/instances/{instance}/rendered");
                        found.insert(instance, link);
                    }
                }
            }
        }
    }
    found
}

/// Who and when, from the data set around the content.
fn head(set: &DataSet) -> Vec<(&'static str, String)> {
    let observers = set
        .items(tags::VERIFYING_OBSERVER_SEQUENCE)
        .iter()
        .filter_map(|observer| values::text(observer, tags::VERIFYING_OBSERVER_NAME))
        .map(|name| name.replace('^', " "))
        .collect::<Vec<_>>()
        .join(", ");
    let text = |tag| values::text(set, tag);
    let rows = [
        ("Patient", text(tags::PATIENT_NAME).map(|name| name.replace('^', " "))),
        ("Patient ID", text(tags::PATIENT_ID)),
        ("Birth date", text(tags::PATIENT_BIRTH_DATE)),
        ("Sex", text(tags::PATIENT_SEX)),
        ("Study", text(tags::STUDY_DESCRIPTION)),
        ("Study date", text(tags::STUDY_DATE)),
        ("Accession number", text(tags::ACCESSION_NUMBER)),
        ("Report date", text(tags::CONTENT_DATE)),
        ("Completion", text(tags::COMPLETION_FLAG)),
        ("Verification", text(tags::VERIFICATION_FLAG)),
        ("Verified by", Some(observers)),
    ];
    rows.into_iter()
        .filter_map(|(label, text)| Some((label, text?.trim().to_owned())))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}
