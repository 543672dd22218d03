//! Metadata against files that were checked against pydicom's `to_json`
//! (`tests/golden/check.py`): a change of any value shows here.
//!
//! After an intended change: `HILUM_GOLDEN=write cargo test golden`, then run
//! the script, then look at the difference.

use std::path::Path;

use serde_json::Value;

use crate::{harness::Hilum, library::header};

const FIXTURES: [&str; 14] = [
    "CT_small.dcm",
    "rtplan.dcm",
    "reportsi.dcm",
    "image_dfl.dcm",
    "ExplVR_BigEnd.dcm",
    "693_J2KI.dcm",
    "examples_overlay.dcm",
    "liver.dcm",
    "test-SR.dcm",
    "charset/chrFrenMulti.dcm",
    "charset/chrH32.dcm",
    "charset/chrI2.dcm",
    "charset/chrX2.dcm",
    "charset/chrKoreanMulti.dcm",
];

#[test]
fn golden_metadata() {
    let hilum = Hilum::start();
    let write = std::env::var("HILUM_GOLDEN").is_ok_and(|value| value == "write");
    for name in FIXTURES {
        let stored = hilum.store_fixture(name);
        let response = hilum.get(&format!("{}/metadata", stored.path)).send().unwrap();
        assert_eq!(header(&response, "content-type"), "application/dicom+json");
        let text = response.text().unwrap().replace(&hilum.base, "http://host/dicomweb");
        let sent: Value = serde_json::from_str(&text).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name.replace('/', "_").replace(".dcm", ".json"));
        if write {
            let mut pretty = serde_json::to_string_pretty(&sent[0]).unwrap();
            pretty.push('\n');
            std::fs::write(&path, pretty).unwrap();
            continue;
        }
        let golden =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let golden: Value = serde_json::from_str(&golden).unwrap();
        let (golden, sent) = (golden.as_object().unwrap(), sent[0].as_object().unwrap());
        for (tag, attribute) in golden {
            assert_eq!(sent.get(tag), Some(attribute), "{name} {tag}");
        }
        let more: Vec<&String> = sent.keys().filter(|tag| !golden.contains_key(*tag)).collect();
        assert!(more.is_empty(), "{name}: {more:?}");
    }
}
