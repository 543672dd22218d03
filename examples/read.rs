//! Prints what Hilum reads in DICOM files, one JSON object a line, for
//! comparison with other implementations (`tests/oracle/read.py`).
//! With `--transcode FOLDER` it also writes each file in Explicit VR Little
//! Endian there, under its position in the list.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use hilum::dicom::part10::{self, Limits};
use hilum::dicom::transcode;
use hilum::dicom::{DataSet, FrameTable, Value};
use serde_json::{Map, json};

fn main() -> Result<()> {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    let folder = (files.first().map(String::as_str) == Some("--transcode")).then(|| {
        files.remove(0);
        files.remove(0)
    });
    let mut out = std::io::stdout().lock();
    for (position, file) in files.iter().enumerate() {
        let bytes = std::fs::read(file).with_context(|| file.clone())?;
        let limits = Limits::default();
        let start = Instant::now();
        let parsed = part10::parse(&bytes, &limits);
        let micros = start.elapsed().as_micros();
        let mut line = match parsed {
            Ok(parsed) => json!({
                "form": format!("{:?}", parsed.form),
                "transfer_syntax": parsed.transfer_syntax,
                "offset": parsed.dataset_offset,
                "frames": frames(&parsed.frames),
                "warnings": parsed.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "dataset": elements(&parsed.dataset),
            }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        line["file"] = json!(file);
        line["micros"] = json!(u64::try_from(micros)?);
        line["read"] = match part10::read(&bytes, &limits) {
            Ok(instance) => json!(instance.path.to_string()),
            Err(error) => json!({ "error": error.to_string() }),
        };
        if let Some(folder) = &folder {
            line["plan"] = match transcode::explicit_little_endian(&bytes, &limits) {
                Ok(plan) => {
                    let mut target = std::fs::File::create(format!("{folder}/{position}.dcm"))?;
                    std::io::copy(&mut plan.reader(&bytes), &mut target)?;
                    json!({ "segments": plan.segments.len(), "length": plan.length })
                }
                Err(error) => json!({ "error": error.to_string() }),
            };
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn elements(dataset: &DataSet) -> serde_json::Value {
    let element = |(tag, element): (dicom_core::Tag, &hilum::dicom::Element)| {
        let value = match &element.value {
            Value::Empty => json!(null),
            Value::Text(texts) => json!(texts),
            Value::Names(names) => {
                let name = |name: &hilum::dicom::PersonName| {
                    format!("{}={}={}", name.alphabetic, name.ideographic, name.phonetic)
                        .trim_end_matches('=')
                        .to_owned()
                };
                json!(names.iter().map(name).collect::<Vec<_>>())
            }
            Value::Signed(numbers) => json!(numbers),
            Value::Unsigned(numbers) => json!(numbers),
            Value::Float(numbers) => json!(numbers.iter().map(|n| format!("{n:e}")).collect::<Vec<_>>()),
            Value::Double(numbers) => json!(numbers.iter().map(|n| format!("{n:e}")).collect::<Vec<_>>()),
            Value::Tags(tags) => json!(tags),
            Value::Items(items) => json!(items.iter().map(elements).collect::<Vec<_>>()),
            Value::Inline(bytes) => {
                json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat())
            }
            Value::Bulk(bulk) => json!({ "path": bulk.path, "offset": bulk.offset, "length": bulk.length }),
        };
        (format!("{:04X}{:04X}", tag.group(), tag.element()), json!([element.vr.to_string(), value]))
    };
    dataset.iter().map(element).collect::<Map<_, _>>().into()
}

fn frames(table: &FrameTable) -> serde_json::Value {
    match table {
        FrameTable::None => json!(null),
        FrameTable::Native { offset, frame_bits, frames } => {
            json!({ "native": [offset, frame_bits, frames] })
        }
        FrameTable::Encapsulated(spans) => {
            json!({ "spans": spans.iter().map(|s| (s.offset, s.length, s.fragments)).collect::<Vec<_>>() })
        }
        FrameTable::Video(span) => json!({ "video": (span.offset, span.length, span.fragments) }),
    }
}
