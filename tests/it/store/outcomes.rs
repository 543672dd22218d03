//! What became of each instance, and the status that follows from it.

use serde_json::json;

use crate::{
    harness::{Hilum, fixture},
    library::{header, names, outcome, problem, reasons, text, values, variants},
    sample::{CT_CLASS, Sample},
};

#[test]
fn str_1_sto_05_to_08_11_jsn_01_iop_11_all_stored_is_200_with_the_module() {
    let hilum = Hilum::start();
    let response = hilum.store(&[&Sample::new("1.2", "1.2.1", "1.2.1.1").file()]);
    let url = format!("{}/studies/1.2", hilum.base);
    assert_eq!(header(&response, "location"), url);
    let (status, module) = outcome(response);
    assert_eq!(status, 200);
    // One object of exactly this (Annex I.1): no failed sequences at all.
    let expected = json!({
        "00081190": { "vr": "UR", "Value": [url] },
        "00081199": { "vr": "SQ", "Value": [{
            "00081150": { "vr": "UI", "Value": [CT_CLASS] },
            "00081155": { "vr": "UI", "Value": ["1.2.1.1"] },
            "00081190": { "vr": "UR", "Value": [format!("{url}/series/1.2.1/instances/1.2.1.1")] },
        }] },
    });
    assert_eq!(module, expected);
}

#[test]
fn sto_07_11_two_studies_have_no_common_retrieve_url() {
    let hilum = Hilum::start();
    let files =
        [Sample::new("1.2", "1.2.1", "1.2.1.1").file(), Sample::new("1.3", "1.3.1", "1.3.1.1").file()];
    let response = hilum.store(&[&files[0], &files[1]]);
    assert_eq!(header(&response, "location"), "");
    let (status, module) = outcome(response);
    assert_eq!((status, &module["00081190"]), (200, &json!({ "vr": "UR" })));
    assert_eq!(values(&module, "00081199").len(), 2);
}

#[test]
fn every_fixture_is_stored() {
    let hilum = Hilum::start();
    let all = names(&["", "charset", "media"]);
    assert!(all.len() > 60, "{}", all.len());
    for name in &all {
        hilum.store_fixture(name);
    }
    let studies = hilum.json("/studies");
    let counted: i64 = studies
        .as_array()
        .expect("an array")
        .iter()
        .map(|study| study["00201208"]["Value"][0].as_i64().expect("a count"))
        .sum();
    assert_eq!(usize::try_from(counted).ok(), Some(all.len()));
}

#[test]
fn enc_5_every_variant_is_stored() {
    let hilum = Hilum::start();
    for name in variants() {
        let stored = hilum.store_fixture(&name);
        // The next one may have the same UID.
        assert_eq!(hilum.delete(&stored.path).status(), 204);
    }
}

#[test]
fn sto_05_09_10_a_partial_success_is_202_and_names_both() {
    let hilum = Hilum::start();
    let good = Sample::new("1.2", "1.2.1", "1.2.1.1").file();
    let no_series = Sample::new("1.2", "1.2.1", "1.2.1.2").without(0x0020_000E).file();
    let (status, module) = outcome(hilum.store(&[b"no DICOM at all", &good, &no_series]));
    assert_eq!(status, 202);
    assert_eq!(values(&module, "00081199").len(), 1);
    // What cannot be told to be an instance is another failure (STO-10).
    let failures = values(&module, "00081198").len() + values(&module, "0008119A").len();
    assert_eq!(failures, 2, "{module}");
    assert!(!values(&module, "0008119A").is_empty());
    assert_eq!(hilum.json("/instances").as_array().map(Vec::len), Some(1));
}

#[test]
fn sto_05_09_10_nothing_stored_is_409_with_reasons() {
    let hilum = Hilum::start();
    let (status, module) = outcome(hilum.store(&[b"no DICOM at all"]));
    assert_eq!(status, 409);
    assert_eq!(reasons(&module, "0008119A"), [0xC000]);
    assert!(module.get("00081199").is_none() && module.get("00081198").is_none());
    assert_eq!(module["00081190"], json!({ "vr": "UR" }));
    assert_eq!(hilum.json("/studies"), json!([]));
}

#[test]
fn sto_21_each_uid_is_needed() {
    let hilum = Hilum::start();
    // The meta information stands in for the SOP UIDs, so take both away.
    for tag in [0x0020_000D, 0x0020_000E] {
        let file = Sample::new("1.2", "1.2.1", "1.2.1.1").without(tag).file();
        let (status, module) = outcome(hilum.store(&[&file]));
        let found = [reasons(&module, "0008119A"), reasons(&module, "00081198")].concat();
        assert_eq!((status, found.as_slice()), (409, [0xA900].as_slice()), "{tag:08X}: {module}");
    }
    for tag in [0x0008_0016, 0x0008_0018] {
        let file = Sample::new("1.2", "1.2.1", "1.2.1.1").without(tag).data_set();
        let (status, _) = outcome(hilum.store(&[&file]));
        assert_eq!(status, 409, "{tag:08X}");
    }
    // PatientID may be missing (STO-21).
    assert_eq!(outcome(hilum.store(&[&Sample::new("1.2", "1.2.1", "1.2.1.1").file()])).0, 200);
}

#[test]
fn sto_21_a_uid_with_a_path_in_it_is_refused() {
    let hilum = Hilum::start();
    for evil in ["../../etc/passwd", "1.2/../3", "..", "1.2.3.\u{0}4", "1.2 3", "a.b"] {
        let file = Sample::new(evil, "1.2.1", "1.2.1.1").file();
        let (status, module) = outcome(hilum.store(&[&file]));
        assert_eq!(status, 409, "{evil:?}: {module}");
        assert!(!module.to_string().contains("passwd"), "{module}");
    }
    assert_eq!(hilum.json("/studies"), json!([]));
    let long = "1.".repeat(40) + "1";
    assert_eq!(outcome(hilum.store(&[&Sample::new("1.2", &long, "1.3").file()])).0, 409);
}

#[test]
fn str_2_sto_09_a_study_of_the_url_refuses_other_studies() {
    let hilum = Hilum::start();
    let mine = Sample::new("1.2", "1.2.1", "1.2.1.1").file();
    let other = Sample::new("1.3", "1.3.1", "1.3.1.1").file();
    let (status, module) = outcome(hilum.store_at("/studies/1.2", &[&mine, &other]));
    assert_eq!((status, reasons(&module, "00081198")), (202, vec![43265]));
    assert_eq!(text(&module, "00081190"), format!("{}/studies/1.2", hilum.base));
    let (status, module) = outcome(hilum.store_at("/studies/1.2", &[&other]));
    assert_eq!((status, reasons(&module, "00081198")), (409, vec![43265]));
    assert_eq!(text(values(&module, "00081198")[0], "00081155"), "1.3.1.1");
    assert_eq!(hilum.json("/studies").as_array().map(Vec::len), Some(1));
    problem(hilum.store_at("/studies/abc", &[&mine]), 400, "invalid-uid");
}

#[test]
fn sto_08_12_what_departs_from_the_standard_is_stored_with_a_warning() {
    let hilum = Hilum::start();
    for name in ["variants/badVR.dcm", "charset/chrJapMulti.dcm", "odd/SC_rgb_jpeg.dcm"] {
        let (status, module) = outcome(hilum.store(&[&fixture(name)]));
        assert_eq!(status, 202, "{name}: {module}");
        let item = values(&module, "00081199")[0];
        assert_eq!(item["00081196"]["Value"][0], 45063, "{name}");
        // In words, where other servers put them.
        assert!(text(values(item, "00741048")[0], "00000902").len() > 10, "{name}: {item}");
    }
}

#[test]
fn sto_13_enc_5_odd_files_are_stored_or_refused_one_by_one() {
    let hilum = Hilum::start();
    let odd = names(&["odd"]);
    let files: Vec<Vec<u8>> = odd.iter().map(|name| fixture(name)).collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let (status, module) = outcome(hilum.store(&files));
    assert_eq!(status, 202, "{module}");
    let count = |tag| values(&module, tag).len();
    assert_eq!(count("00081199") + count("00081198") + count("0008119A"), odd.len(), "{module}");
    let stored = hilum.json("/instances").as_array().map_or(0, Vec::len);
    assert_eq!(count("00081199"), stored);
    assert!(stored >= 3, "{module}");
}

#[test]
fn a_thousand_instances_in_one_request() {
    let hilum = Hilum::start();
    let files: Vec<Vec<u8>> = (0..1000)
        .map(|number| {
            Sample::new("1.2", &format!("1.2.{}", number % 7), &format!("1.2.3.{number}"))
                .text(0x0020_0013, "IS", &number.to_string())
                .file()
        })
        .collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let (status, module) = outcome(hilum.store(&files));
    assert_eq!((status, values(&module, "00081199").len()), (200, 1000));
    let study = &hilum.json("/studies")[0];
    assert_eq!(study["00201206"]["Value"][0], 7);
    assert_eq!(study["00201208"]["Value"][0], 1000);
}

#[test]
fn sto_12_each_value_that_breaks_its_vr_is_named() {
    let inner = Sample::empty().text(0x0008_0100, "SH", "far too long for a short string");
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1")
        .text(0x0008_0020, "DA", "20240231")
        .text(0x0008_0008, "CS", "ORIGINAL\\Primary")
        .text(0x0008_0050, "SH", "fits")
        .items(0x0008_2218, &[Sample::empty(), inner])
        .file();
    let hilum = Hilum::start();
    let (status, module) = outcome(hilum.store(&[&file]));
    assert_eq!(status, 202, "{module}");
    let item = values(&module, "00081199")[0];
    assert_eq!(item["00081196"]["Value"][0], 45063);
    let notes = values(item, "00741048");
    let of = |tag: &str| {
        let found = notes.iter().find(|note| text(note, "00720026") == tag);
        (*found.unwrap_or_else(|| panic!("{tag}: {module}"))).clone()
    };
    assert!(text(&of("00080020"), "00000902").contains("is no DA"));
    assert_eq!(of("00080008")["00720028"]["Value"][0], 2);
    assert_eq!(text(&of("00080100"), "00720052"), "00082218");
    assert_eq!(of("00080100")["00741057"]["Value"][0], 2);
    assert_eq!(notes.len(), 3, "{module}");
    assert!(!module.to_string().contains("20240231") && !module.to_string().contains("Primary"));
    // Stored as it came.
    let path = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
    let stored = hilum.get_as(path, "application/dicom; transfer-syntax=*").bytes().unwrap();
    assert_eq!(stored, file);

    let hilum = Hilum::with(|config| config.store.warn_attributes = false);
    assert_eq!(outcome(hilum.store(&[&file])).0, 200);
}
