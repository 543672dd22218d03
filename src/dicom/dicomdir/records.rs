//! The table of directory records: which SOP Class is listed by which record
//! (PS3.3 table F.4-1) and what such a record says of it (section F.5). A table.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};

use super::FileOfMedium;
use crate::dicom::dataset::{DataSet, Element, Value};

/// The type of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Patient,
    Study,
    Series,
    Image,
    RtDose,
    RtStructureSet,
    RtPlan,
    RtTreatment,
    Presentation,
    Waveform,
    SrDocument,
    KeyObjects,
    Spectroscopy,
    RawData,
    Registration,
    Fiducial,
    Document,
    ValueMap,
    Stereometric,
    Measurement,
    Surface,
    SurfaceScan,
    Tract,
    Assessment,
    Radiotherapy,
    Plan,
}

use Kind::{
    Assessment, Document, Fiducial, Image, KeyObjects, Measurement, Patient, Plan, Presentation,
    Radiotherapy, RawData, Registration, RtDose, RtPlan, RtStructureSet, RtTreatment, Series, Spectroscopy,
    SrDocument, Stereometric, Study, Surface, SurfaceScan, Tract, ValueMap, Waveform,
};

/// The SOP Classes that are not listed as images.
#[rustfmt::skip]
const CLASSES: &[(Kind, &[&str])] = &[
    (RtDose, &[uids::RT_DOSE_STORAGE]),
    (RtStructureSet, &[uids::RT_STRUCTURE_SET_STORAGE]),
    (RtPlan, &[uids::RT_PLAN_STORAGE, uids::RT_ION_PLAN_STORAGE]),
    (RtTreatment, &[
        uids::RT_BEAMS_TREATMENT_RECORD_STORAGE, uids::RT_BRACHY_TREATMENT_RECORD_STORAGE,
        uids::RT_TREATMENT_SUMMARY_RECORD_STORAGE, uids::RT_ION_BEAMS_TREATMENT_RECORD_STORAGE,
    ]),
    (Presentation, &[
        uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE, uids::COLOR_SOFTCOPY_PRESENTATION_STATE_STORAGE,
        uids::PSEUDO_COLOR_SOFTCOPY_PRESENTATION_STATE_STORAGE, uids::BLENDING_SOFTCOPY_PRESENTATION_STATE_STORAGE,
        uids::XAXRF_GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE, uids::BASIC_STRUCTURED_DISPLAY_STORAGE,
        uids::ADVANCED_BLENDING_PRESENTATION_STATE_STORAGE,
    ]),
    (Waveform, &[
        uids::TWELVE_LEAD_ECG_WAVEFORM_STORAGE, uids::GENERAL_ECG_WAVEFORM_STORAGE,
        uids::AMBULATORY_ECG_WAVEFORM_STORAGE, uids::HEMODYNAMIC_WAVEFORM_STORAGE,
        uids::CARDIAC_ELECTROPHYSIOLOGY_WAVEFORM_STORAGE, uids::BASIC_VOICE_AUDIO_WAVEFORM_STORAGE,
        uids::GENERAL_AUDIO_WAVEFORM_STORAGE, uids::ARTERIAL_PULSE_WAVEFORM_STORAGE,
        uids::RESPIRATORY_WAVEFORM_STORAGE, uids::MULTICHANNEL_RESPIRATORY_WAVEFORM_STORAGE,
        uids::ROUTINE_SCALP_ELECTROENCEPHALOGRAM_WAVEFORM_STORAGE, uids::ELECTROMYOGRAM_WAVEFORM_STORAGE,
        uids::ELECTROOCULOGRAM_WAVEFORM_STORAGE, uids::SLEEP_ELECTROENCEPHALOGRAM_WAVEFORM_STORAGE,
        uids::BODY_POSITION_WAVEFORM_STORAGE,
    ]),
    (KeyObjects, &[uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE]),
    (Spectroscopy, &[uids::MR_SPECTROSCOPY_STORAGE]),
    (RawData, &[uids::RAW_DATA_STORAGE]),
    (Registration, &[uids::SPATIAL_REGISTRATION_STORAGE, uids::DEFORMABLE_SPATIAL_REGISTRATION_STORAGE]),
    (Fiducial, &[uids::SPATIAL_FIDUCIALS_STORAGE]),
    (ValueMap, &[uids::REAL_WORLD_VALUE_MAPPING_STORAGE]),
    (Stereometric, &[uids::STEREOMETRIC_RELATIONSHIP_STORAGE]),
    (Measurement, &[
        uids::LENSOMETRY_MEASUREMENTS_STORAGE, uids::AUTOREFRACTION_MEASUREMENTS_STORAGE,
        uids::KERATOMETRY_MEASUREMENTS_STORAGE, uids::SUBJECTIVE_REFRACTION_MEASUREMENTS_STORAGE,
        uids::VISUAL_ACUITY_MEASUREMENTS_STORAGE, uids::OPHTHALMIC_AXIAL_MEASUREMENTS_STORAGE,
        uids::OPHTHALMIC_VISUAL_FIELD_STATIC_PERIMETRY_MEASUREMENTS_STORAGE,
    ]),
    (Surface, &[uids::SURFACE_SEGMENTATION_STORAGE]),
    (SurfaceScan, &[uids::SURFACE_SCAN_MESH_STORAGE, uids::SURFACE_SCAN_POINT_CLOUD_STORAGE]),
    (Tract, &[uids::TRACTOGRAPHY_RESULTS_STORAGE]),
    (Assessment, &[uids::CONTENT_ASSESSMENT_RESULTS_STORAGE]),
];

/// The root of the SOP Classes of structured reports, and others of them.
const SR_ROOT: &str = "1.2.840.10008.5.1.4.1.1.88.";
const OTHER_SR: &[&str] =
    &[uids::SPECTACLE_PRESCRIPTION_REPORT_STORAGE, uids::MACULAR_GRID_THICKNESS_AND_VOLUME_REPORT_STORAGE];
const DOCUMENT_ROOT: &str = "1.2.840.10008.5.1.4.1.1.104.";

impl Kind {
    /// The record by which a file is listed.
    pub fn of(file: &FileOfMedium<'_>) -> Self {
        match file.set.first_text(tags::MODALITY) {
            Some("RTINTENT" | "RTSEGANN" | "RTRAD") => return Radiotherapy,
            Some("PLAN") => return Plan,
            _ => {}
        }
        let class = file.sop_class;
        if let Some((kind, _)) = CLASSES.iter().find(|(_, classes)| classes.contains(&class)) {
            return *kind;
        }
        if class.starts_with(SR_ROOT) || OTHER_SR.contains(&class) {
            return SrDocument;
        }
        if class.starts_with(DOCUMENT_ROOT) || file.set.get(tags::ENCAPSULATED_DOCUMENT).is_some() {
            return Document;
        }
        Image
    }

    /// Directory Record Type (0004,1430)
    pub fn name(self) -> &'static str {
        match self {
            Patient => "PATIENT",
            Study => "STUDY",
            Series => "SERIES",
            Image => "IMAGE",
            RtDose => "RT DOSE",
            RtStructureSet => "RT STRUCTURE SET",
            RtPlan => "RT PLAN",
            RtTreatment => "RT TREAT RECORD",
            Presentation => "PRESENTATION",
            Waveform => "WAVEFORM",
            SrDocument => "SR DOCUMENT",
            KeyObjects => "KEY OBJECT DOC",
            Spectroscopy => "SPECTROSCOPY",
            RawData => "RAW DATA",
            Registration => "REGISTRATION",
            Fiducial => "FIDUCIAL",
            Document => "ENCAP DOC",
            ValueMap => "VALUE MAP",
            Stereometric => "STEREOMETRIC",
            Measurement => "MEASUREMENT",
            Surface => "SURFACE",
            SurfaceScan => "SURFACE SCAN",
            Tract => "TRACT",
            Assessment => "ASSESSMENT",
            Radiotherapy => "RADIOTHERAPY",
            Plan => "PLAN",
        }
    }

    /// What the record says of the instance: attributes it must have, without a
    /// value if none is known (type 1 and 2), and those it has if they are known.
    fn keys(self) -> (&'static [Tag], &'static [Tag]) {
        const IDENTIFIED: &[Tag] = &[
            tags::INSTANCE_NUMBER,
            tags::CONTENT_DATE,
            tags::CONTENT_TIME,
            tags::CONTENT_LABEL,
            tags::CONTENT_DESCRIPTION,
            tags::CONTENT_CREATOR_NAME,
        ];
        const DATED: &[Tag] = &[tags::INSTANCE_NUMBER, tags::CONTENT_DATE, tags::CONTENT_TIME];
        match self {
            Patient => (&[tags::PATIENT_NAME, tags::PATIENT_ID], &[tags::ISSUER_OF_PATIENT_ID]),
            Study => (
                &[
                    tags::STUDY_DATE,
                    tags::STUDY_TIME,
                    tags::STUDY_DESCRIPTION,
                    tags::STUDY_INSTANCE_UID,
                    tags::STUDY_ID,
                    tags::ACCESSION_NUMBER,
                ],
                &[],
            ),
            Series => (
                &[tags::MODALITY, tags::SERIES_INSTANCE_UID, tags::SERIES_NUMBER],
                &[tags::SERIES_DESCRIPTION],
            ),
            Image => (&[tags::INSTANCE_NUMBER], &[tags::IMAGE_TYPE]),
            RtDose => (&[tags::INSTANCE_NUMBER, tags::DOSE_SUMMATION_TYPE], &[tags::DOSE_COMMENT]),
            RtStructureSet => (
                &[
                    tags::INSTANCE_NUMBER,
                    tags::STRUCTURE_SET_LABEL,
                    tags::STRUCTURE_SET_DATE,
                    tags::STRUCTURE_SET_TIME,
                ],
                &[],
            ),
            RtPlan => {
                (&[tags::INSTANCE_NUMBER, tags::RT_PLAN_LABEL, tags::RT_PLAN_DATE, tags::RT_PLAN_TIME], &[])
            }
            RtTreatment => (&[tags::INSTANCE_NUMBER, tags::TREATMENT_DATE, tags::TREATMENT_TIME], &[]),
            Presentation => (
                &[
                    tags::PRESENTATION_CREATION_DATE,
                    tags::PRESENTATION_CREATION_TIME,
                    tags::INSTANCE_NUMBER,
                    tags::CONTENT_LABEL,
                    tags::CONTENT_DESCRIPTION,
                    tags::CONTENT_CREATOR_NAME,
                ],
                &[tags::REFERENCED_SERIES_SEQUENCE, tags::BLENDING_SEQUENCE],
            ),
            SrDocument => (
                &[
                    tags::INSTANCE_NUMBER,
                    tags::COMPLETION_FLAG,
                    tags::VERIFICATION_FLAG,
                    tags::CONTENT_DATE,
                    tags::CONTENT_TIME,
                    tags::CONCEPT_NAME_CODE_SEQUENCE,
                ],
                &[tags::VERIFICATION_DATE_TIME],
            ),
            KeyObjects => (
                &[
                    tags::INSTANCE_NUMBER,
                    tags::CONTENT_DATE,
                    tags::CONTENT_TIME,
                    tags::CONCEPT_NAME_CODE_SEQUENCE,
                ],
                &[],
            ),
            Spectroscopy => (
                &[
                    tags::IMAGE_TYPE,
                    tags::CONTENT_DATE,
                    tags::CONTENT_TIME,
                    tags::INSTANCE_NUMBER,
                    tags::NUMBER_OF_FRAMES,
                    tags::ROWS,
                    tags::COLUMNS,
                    tags::DATA_POINT_ROWS,
                    tags::DATA_POINT_COLUMNS,
                ],
                &[tags::REFERENCED_IMAGE_EVIDENCE_SEQUENCE],
            ),
            Document => (
                &[
                    tags::CONTENT_DATE,
                    tags::CONTENT_TIME,
                    tags::INSTANCE_NUMBER,
                    tags::DOCUMENT_TITLE,
                    tags::CONCEPT_NAME_CODE_SEQUENCE,
                    tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT,
                ],
                &[tags::HL7_INSTANCE_IDENTIFIER],
            ),
            Registration | Fiducial | ValueMap | Measurement | Surface | Tract => (IDENTIFIED, &[]),
            Waveform | RawData | SurfaceScan => (DATED, &[]),
            Assessment => {
                (&[tags::INSTANCE_NUMBER, tags::INSTANCE_CREATION_DATE], &[tags::INSTANCE_CREATION_TIME])
            }
            Radiotherapy => (
                &[tags::INSTANCE_NUMBER, tags::CONTENT_DESCRIPTION, tags::CONTENT_CREATOR_NAME],
                &[tags::USER_CONTENT_LABEL, tags::USER_CONTENT_LONG_LABEL],
            ),
            Plan | Stereometric => (&[], &[]),
        }
    }
}

/// The attributes of an instance that its record, or one above it, says.
pub fn select(kind: Kind, set: &DataSet) -> DataSet {
    let (always, known) = kind.keys();
    let mut record = DataSet::new();
    for tag in always {
        let value = set.get(*tag).filter(|element| !is_bulk(element)).cloned();
        record.put(
            *tag,
            value.unwrap_or_else(|| Element::new(crate::dicom::attributes::vr(*tag), Value::Empty)),
        );
    }
    for tag in known {
        if let Some(element) = set.get(*tag).filter(|element| !is_bulk(element)) {
            record.put(*tag, element.clone());
        }
    }
    // The declared repertoire goes with the text, which is UTF-8 by now.
    if let Some(repertoire) = set.get(tags::SPECIFIC_CHARACTER_SET) {
        record.put(tags::SPECIFIC_CHARACTER_SET, repertoire.clone());
    }
    record
}

fn is_bulk(element: &Element) -> bool {
    matches!(element.value, Value::Bulk(_))
}

/// What stands in for attributes that must have a value (type 1) and that the
/// instance does not say. `number` counts the records beside it.
pub fn made_up(kind: Kind, number: usize) -> Vec<(Tag, Element)> {
    let text = |tag: Tag, vr: VR, text: &str| (tag, Element::text(vr, text));
    let counted = || text(tags::INSTANCE_NUMBER, VR::IS, &number.to_string());
    let date = |tag| text(tag, VR::DA, "19000101");
    let time = |tag| text(tag, VR::TM, "000000");
    let dated = || vec![counted(), date(tags::CONTENT_DATE), time(tags::CONTENT_TIME)];
    match kind {
        Patient => vec![text(tags::PATIENT_ID, VR::LO, &format!("PATIENT{number}"))],
        Study => vec![
            date(tags::STUDY_DATE),
            time(tags::STUDY_TIME),
            text(tags::STUDY_ID, VR::SH, &format!("STUDY{number}")),
        ],
        Series => {
            vec![text(tags::MODALITY, VR::CS, "OT"), text(tags::SERIES_NUMBER, VR::IS, &number.to_string())]
        }
        RtDose => vec![counted(), text(tags::DOSE_SUMMATION_TYPE, VR::CS, "PLAN")],
        RtStructureSet => vec![counted(), text(tags::STRUCTURE_SET_LABEL, VR::SH, "UNLABELED")],
        RtPlan => vec![counted(), text(tags::RT_PLAN_LABEL, VR::SH, "UNLABELED")],
        Presentation => vec![
            counted(),
            date(tags::PRESENTATION_CREATION_DATE),
            time(tags::PRESENTATION_CREATION_TIME),
            text(tags::CONTENT_LABEL, VR::CS, "UNLABELED"),
        ],
        SrDocument => [
            dated(),
            vec![
                text(tags::COMPLETION_FLAG, VR::CS, "PARTIAL"),
                text(tags::VERIFICATION_FLAG, VR::CS, "UNVERIFIED"),
            ],
        ]
        .concat(),
        Registration | Fiducial | ValueMap | Measurement | Surface | Tract => {
            [dated(), vec![text(tags::CONTENT_LABEL, VR::CS, "UNLABELED")]].concat()
        }
        Document => vec![
            counted(),
            text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, VR::LO, "application/octet-stream"),
        ],
        KeyObjects | Spectroscopy | Waveform | RawData | SurfaceScan => dated(),
        Assessment => vec![counted(), date(tags::INSTANCE_CREATION_DATE)],
        Image | RtTreatment | Radiotherapy => vec![counted()],
        Plan | Stereometric => Vec::new(),
    }
}
