//! The report on a store request: the Store Instances Response Module (PS3.18
//! Annex I), as JSON or XML, with the status that follows from it (table
//! 10.5.3-1).

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};

use super::super::negotiate::DataSetMedia;
use crate::{
    archive::{StoreOutcome, Stored},
    dicom::{
        DataSet, Element, StudyUid, Tag, VR, Value,
        check::{Note, Place},
        json, reasons, xml,
    },
};

const RETRIEVE_URL: Tag = Tag(0x0008, 0x1190);
const REFERENCED_SOP_SEQUENCE: Tag = Tag(0x0008, 0x1199);
const FAILED_SOP_SEQUENCE: Tag = Tag(0x0008, 0x1198);
const OTHER_FAILURES_SEQUENCE: Tag = Tag(0x0008, 0x119A);
const REFERENCED_SOP_CLASS: Tag = Tag(0x0008, 0x1150);
const REFERENCED_SOP_INSTANCE: Tag = Tag(0x0008, 0x1155);
const WARNING_REASON: Tag = Tag(0x0008, 0x1196);
const FAILURE_REASON: Tag = Tag(0x0008, 0x1197);
const FAILED_ATTRIBUTES_SEQUENCE: Tag = Tag(0x0074, 0x1048);
const SELECTOR_ATTRIBUTE: Tag = Tag(0x0072, 0x0026);
const SELECTOR_VALUE_NUMBER: Tag = Tag(0x0072, 0x0028);
const SELECTOR_SEQUENCE_POINTER: Tag = Tag(0x0072, 0x0052);
const SELECTOR_SEQUENCE_POINTER_ITEMS: Tag = Tag(0x0074, 0x1057);
const ORIGINAL_ATTRIBUTES_SEQUENCE: Tag = Tag(0x0400, 0x0561);
const ERROR_COMMENT: Tag = Tag(0x0000, 0x0902);

/// The report on what came otherwise than by a store request, as JSON.
pub fn report(stored: &[Stored], base_url: &str) -> HttpResponse {
    response(stored, base_url, None, DataSetMedia::Json)
}

/// The Store Instances Response Module (PS3.18 Annex I) with its status
/// (table 10.5.3-1).
pub(super) fn response(
    stored: &[Stored],
    base_url: &str,
    study: Option<&StudyUid>,
    media: DataSetMedia,
) -> HttpResponse {
    let mut referenced = Vec::new();
    let mut failed = Vec::new();
    let mut other = Vec::new();
    let mut studies = std::collections::BTreeSet::new();
    let mut warned = false;
    for instance in stored {
        match &instance.outcome {
            StoreOutcome::Stored { path, warnings, original } => {
                warned |= !warnings.is_empty() || original.is_some();
                studies.insert(path.study.clone());
                let url = format!(
                    "{base_url}/studies/{}/series/{}/instances/{}",
                    path.study, path.series, path.instance
                );
                referenced.push(success(instance, &url, warnings, original.as_deref()));
            }
            StoreOutcome::AlreadyThere { path } => {
                studies.insert(path.study.clone());
                let url = format!(
                    "{base_url}/studies/{}/series/{}/instances/{}",
                    path.study, path.series, path.instance
                );
                referenced.push(success(instance, &url, &[], None));
            }
            StoreOutcome::Failed { reason, why } if instance.sop_instance.is_some() => {
                failed.push(failure(instance, *reason, why));
            }
            StoreOutcome::Failed { reason, why } => other.push(failure(instance, *reason, why)),
        }
    }
    let status = match (referenced.is_empty(), failed.is_empty() && other.is_empty()) {
        (true, _) => StatusCode::CONFLICT,
        (false, true) if !warned => StatusCode::OK,
        (false, _) => StatusCode::ACCEPTED,
    };
    let url = match (study, studies.len(), studies.first()) {
        (Some(study), 1.., _) | (None, 1, Some(study)) => Some(format!("{base_url}/studies/{study}")),
        _ => None,
    };
    let mut module = DataSet::new();
    match &url {
        Some(url) => module.put_text(RETRIEVE_URL, VR::UR, url),
        None => module.put(RETRIEVE_URL, Element::new(VR::UR, Value::Empty)),
    }
    for (tag, items) in [
        (REFERENCED_SOP_SEQUENCE, referenced),
        (FAILED_SOP_SEQUENCE, failed),
        (OTHER_FAILURES_SEQUENCE, other),
    ] {
        if !items.is_empty() {
            module.put(tag, Element::new(VR::SQ, Value::Items(items)));
        }
    }
    let mut out = Vec::new();
    match media {
        DataSetMedia::Json => json::write(&module, &mut out),
        DataSetMedia::Xml | DataSetMedia::XmlParts => xml::write(&module, &mut out),
    }
    let mut response = HttpResponse::build(status);
    if let Some(url) = url {
        response.insert_header((header::LOCATION, url));
    }
    response.content_type(media.name()).body(out)
}

fn success(instance: &Stored, url: &str, warnings: &[Note], original: Option<&DataSet>) -> DataSet {
    let mut item = reference(instance);
    item.put_text(RETRIEVE_URL, VR::UR, url);
    // There is room for one reason: that it was changed is the graver one.
    if let Some(original) = original {
        put_reason(&mut item, WARNING_REASON, reasons::COERCED);
        let items = Value::Items(vec![original.clone()]);
        item.put(ORIGINAL_ATTRIBUTES_SEQUENCE, Element::new(VR::SQ, items));
    } else if !warnings.is_empty() {
        put_reason(&mut item, WARNING_REASON, reasons::DEPARTS_FROM_STANDARD);
    }
    if !warnings.is_empty() {
        put_notes(&mut item, warnings);
    }
    item
}

fn failure(instance: &Stored, reason: u16, why: &str) -> DataSet {
    let mut item = reference(instance);
    put_reason(&mut item, FAILURE_REASON, reason);
    put_notes(&mut item, &[Note::from(why)]);
    item
}

fn reference(instance: &Stored) -> DataSet {
    let mut item = DataSet::new();
    if let Some(class) = &instance.sop_class {
        item.put_text(REFERENCED_SOP_CLASS, VR::UI, class);
    }
    if let Some(uid) = &instance.sop_instance {
        item.put_text(REFERENCED_SOP_INSTANCE, VR::UI, uid);
    }
    item
}

fn put_reason(item: &mut DataSet, tag: Tag, reason: u16) {
    item.put(tag, Element::new(VR::US, Value::Unsigned(vec![u64::from(reason)])));
}

/// The reasons in words, where other servers put them, and the attribute each
/// is about (PS3.3 table 10-20, Selector Attribute Macro): the standard has only
/// numbers.
fn put_notes(item: &mut DataSet, notes: &[Note]) {
    let items = notes
        .iter()
        .map(|note| {
            let mut item = note.place.as_ref().map(selector).unwrap_or_default();
            // A backslash would separate values.
            item.put_text(ERROR_COMMENT, VR::LO, &note.why.replace('\\', "/"));
            item
        })
        .collect();
    item.put(FAILED_ATTRIBUTES_SEQUENCE, Element::new(VR::SQ, Value::Items(items)));
}

fn selector(place: &Place) -> DataSet {
    let number = |tag: &Tag| u32::from(tag.group()) << 16 | u32::from(tag.element());
    let mut item = DataSet::new();
    if let Some(tag) = &place.tag {
        item.put(SELECTOR_ATTRIBUTE, Element::new(VR::AT, Value::Tags(vec![number(tag)])));
    }
    if let Some(value) = place.value {
        item.put(SELECTOR_VALUE_NUMBER, Element::new(VR::US, Value::Unsigned(vec![value.into()])));
    }
    if !place.sequences.is_empty() {
        let pointers = place.sequences.iter().map(|(tag, _)| number(tag)).collect();
        item.put(SELECTOR_SEQUENCE_POINTER, Element::new(VR::AT, Value::Tags(pointers)));
        let items = place.sequences.iter().map(|(_, item)| item.to_string()).collect();
        item.put(SELECTOR_SEQUENCE_POINTER_ITEMS, Element::new(VR::IS, Value::Text(items)));
    }
    item
}
