//! Metadata, as JSON and as XML, against files that were checked against other
//! readers of the same fixtures, pydicom and DCMTK (`tests/golden/check.py`): a
//! change of any value shows here.
//!
//! After an intended change: `HILUM_GOLDEN=write cargo test golden`, then run
//! the script, then look at the difference.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{
    harness::{Hilum, Stored, parts},
    library::{header, names, variants},
};

const XML: &str = "multipart/related; type=\"application/dicom+xml\"";

/// Every fixture and variant, and one of each modality of the medium.
fn fixtures() -> Vec<String> {
    let medium = ["CR1/6154", "CT2N/6293", "MR1/4919", "MR700/4467"];
    let mut all = names(&["", "charset"]);
    all.extend(variants());
    all.extend(names(&["media"]).into_iter().filter(|name| medium.iter().any(|end| name.ends_with(end))));
    all
}

fn golden_path(name: &str, extension: &str) -> PathBuf {
    let stem = name.strip_suffix(".dcm").unwrap_or(name).replace('/', "_");
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{stem}.{extension}"))
}

fn writes() -> bool {
    std::env::var("HILUM_GOLDEN").is_ok_and(|value| value == "write")
}

fn golden(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each fixture in an archive of its own: some have a SOP Instance UID in common.
fn each(check: impl Fn(&Hilum, &Stored, &str)) {
    let hilum = Hilum::start();
    let fixtures = fixtures();
    assert!(fixtures.len() >= 40, "{}", fixtures.len());
    for name in fixtures {
        let stored = hilum.store_fixture(&name);
        check(&hilum, &stored, &name);
        assert_eq!(hilum.delete(&stored.path).status(), 204);
    }
}

#[test]
fn ret_04_jsn_02_golden_metadata_as_json() {
    each(|hilum, stored, name| {
        let response = hilum.get(&format!("{}/metadata", stored.path)).send().unwrap();
        assert_eq!(header(&response, "content-type"), "application/dicom+json");
        let text = response.text().unwrap().replace(&hilum.base, "http://host/dicomweb");
        let sent: Value = serde_json::from_str(&text).unwrap();
        let path = golden_path(name, "json");
        if writes() {
            let mut pretty = serde_json::to_string_pretty(&sent[0]).unwrap();
            pretty.push('\n');
            return std::fs::write(&path, pretty).unwrap();
        }
        let golden: Value = serde_json::from_str(&golden(&path)).unwrap();
        let (golden, sent) = (golden.as_object().unwrap(), sent[0].as_object().unwrap());
        for (tag, attribute) in golden {
            assert_eq!(sent.get(tag), Some(attribute), "{name} {tag}");
        }
        let more: Vec<&String> = sent.keys().filter(|tag| !golden.contains_key(*tag)).collect();
        assert!(more.is_empty(), "{name}: {more:?}");
    });
}

#[test]
fn ret_04_xml_1_2_golden_metadata_as_xml() {
    each(|hilum, stored, name| {
        let response = hilum.get_as(&format!("{}/metadata", stored.path), XML);
        let kind = header(&response, "content-type");
        assert!(kind.starts_with(XML), "{name}: {kind}");
        let parts = parts(response);
        assert_eq!(parts.len(), 1, "{name}");
        let text = std::str::from_utf8(&parts[0].1).expect("UTF-8");
        let text = text.replace(&hilum.base, "http://host/dicomweb");
        let path = golden_path(name, "xml");
        if writes() {
            return std::fs::write(&path, lines(&text)).unwrap();
        }
        let (golden, sent) = (golden(&path), lines(&text));
        for (number, (golden, sent)) in golden.lines().zip(sent.lines()).enumerate() {
            assert_eq!(sent, golden, "{name}, line {}", number + 1);
        }
        assert!(sent == golden, "{name}: more or less of it");
    });
}

/// One attribute a line, so that a difference can be looked at.
fn lines(text: &str) -> String {
    let mut text = text.replace("><DicomAttribute ", ">\n<DicomAttribute ");
    text.push('\n');
    text
}
