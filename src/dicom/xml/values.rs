//! The values of an attribute, from text to what its VR makes of them.

use base64::Engine;
use dicom_core::VR;

use super::error::Reason;
use crate::dicom::dataset::{Bulk, DataSet, PersonName, Value};
use crate::dicom::form::{self, BASE64};
use crate::dicom::vr::is_binary;

/// What stood within a `DicomAttribute`, in the order of the numbers.
#[derive(Default)]
pub(super) struct Content {
    pub(super) values: Vec<String>,
    pub(super) names: Vec<PersonName>,
    pub(super) items: Vec<DataSet>,
    pub(super) uri: Option<String>,
    pub(super) base64: Option<String>,
}

/// The VR that the content looks like, when nothing says it.
pub(super) fn guessed_vr(content: &Content) -> VR {
    if !content.items.is_empty() {
        VR::SQ
    } else if !content.names.is_empty() {
        VR::PN
    } else if !content.values.is_empty() {
        VR::LO
    } else {
        VR::UN
    }
}

/// The value of an attribute of this VR.
pub(super) fn value(vr: VR, content: Content) -> Result<Value, Reason> {
    let Content { values, names, items, uri, base64 } = content;
    let value = if !items.is_empty() {
        if vr != VR::SQ {
            return Err(Reason::Form);
        }
        Value::Items(items)
    } else if !names.is_empty() {
        if vr != VR::PN {
            return Err(Reason::Form);
        }
        Value::Names(names)
    } else if !values.is_empty() {
        from_texts(vr, &values)?
    } else if let Some(text) = base64 {
        let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let bytes = BASE64.decode(compact).map_err(|_| Reason::Base64)?;
        if !bytes.is_empty() && !is_binary(vr) {
            return Err(Reason::Form);
        }
        Value::Inline(bytes)
    } else if let Some(path) = uri {
        if vr == VR::SQ {
            return Err(Reason::Form);
        }
        Value::Bulk(Bulk { path, offset: 0, length: 0 })
    } else {
        Value::Empty
    };
    Ok(if form::is_empty(&value) { Value::Empty } else { value })
}

fn from_texts(vr: VR, values: &[String]) -> Result<Value, Reason> {
    Ok(match vr {
        VR::LT | VR::ST | VR::UT | VR::UR => {
            Value::Text(values.iter().map(|text| form::trimmed(text, vr).to_owned()).collect())
        }
        VR::AE
        | VR::AS
        | VR::CS
        | VR::DA
        | VR::DS
        | VR::DT
        | VR::IS
        | VR::LO
        | VR::SH
        | VR::TM
        | VR::UC
        | VR::UI => {
            // Some write all values into one element, as they stand in a file.
            let parted = values.iter().flat_map(|text| text.split('\\'));
            Value::Text(parted.map(|text| form::trimmed(unindented(text), vr).to_owned()).collect())
        }
        VR::PN => Value::Names(
            values
                .iter()
                .flat_map(|text| text.split('\\'))
                .map(|text| form::name(unindented(text)))
                .collect(),
        ),
        VR::SS => Value::Signed(wholes(values, i16::MIN.into(), i16::MAX.into())?),
        VR::SL => Value::Signed(wholes(values, i32::MIN.into(), i32::MAX.into())?),
        VR::SV => Value::Signed(wholes(values, i64::MIN.into(), i64::MAX.into())?),
        VR::US => Value::Unsigned(wholes(values, 0, u16::MAX.into())?),
        VR::UL => Value::Unsigned(wholes(values, 0, u32::MAX.into())?),
        VR::UV => Value::Unsigned(wholes(values, 0, u64::MAX.into())?),
        VR::FL => Value::Float(doubles(values, form::single, f32::NAN)?),
        VR::FD => Value::Double(doubles(values, form::double, f64::NAN)?),
        VR::AT => {
            let some = values.iter().filter(|text| !text.trim().is_empty());
            Value::Tags(
                some.map(|text| form::tag(text.trim()).ok_or(Reason::Number)).collect::<Result<_, _>>()?,
            )
        }
        VR::SQ | VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN => {
            if values.iter().any(|text| !text.trim().is_empty()) {
                return Err(Reason::Form);
            }
            Value::Empty
        }
    })
}

/// Without the line ends that a pretty printer puts around a value. In these
/// VRs no line end is part of a value.
pub(super) fn unindented(text: &str) -> &str {
    text.trim_matches(['\n', '\r', '\t', ' '])
}

fn wholes<T: TryFrom<i128>>(values: &[String], least: i128, most: i128) -> Result<Vec<T>, Reason> {
    // A number cannot be left out among others.
    if matches!(values, [only] if only.trim().is_empty()) {
        return Ok(Vec::new());
    }
    values
        .iter()
        .map(|text| {
            let value = form::whole(text.trim()).filter(|value| (least..=most).contains(value));
            value.and_then(|value| T::try_from(value).ok()).ok_or(Reason::Number)
        })
        .collect()
}

fn doubles<T: Copy>(values: &[String], parse: fn(&str) -> Option<T>, missing: T) -> Result<Vec<T>, Reason> {
    if matches!(values, [only] if only.trim().is_empty()) {
        return Ok(Vec::new());
    }
    values
        .iter()
        .map(|text| match text.trim() {
            "" => Ok(missing),
            // "NaN", "INF", "Infinity" and their like parse too.
            text => parse(text).ok_or(Reason::Number),
        })
        .collect()
}
