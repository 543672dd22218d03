//! The six resources: what each takes and returns (QRS-1 to 6, QRY-04, 07 to
//! 09, 24 to 26, 31, IOP-05, 06).

use serde_json::{Value, json};

use super::{column, sorted};
use crate::{
    harness::Hilum,
    library::{outcome, text},
    sample::{CT_CLASS, Sample},
};

/// Two studies; the first has a CT series of two instances and a PR series.
pub fn small_archive() -> Hilum {
    let hilum = Hilum::start();
    let study = |sample: Sample, number: u8| {
        sample
            .text(0x0008_0020, "DA", &format!("2024010{number}"))
            .text(0x0008_0030, "TM", "101500")
            .text(0x0008_0050, "SH", &format!("ACC{number}"))
            .text(0x0008_0090, "PN", "House^Gregory")
            .text(0x0008_1030, "LO", &format!("Study {number}"))
            .text(0x0010_0010, "PN", &format!("Doe{number}^John"))
            .text(0x0010_0020, "LO", &format!("ID{number}"))
            .text(0x0010_0030, "DA", "19700101")
            .text(0x0010_0040, "CS", "M")
            .text(0x0020_0010, "SH", &number.to_string())
    };
    let ct = |instance: u8| {
        study(Sample::new("1.1", "1.1.1", &format!("1.1.1.{instance}")), 1)
            .text(0x0008_0060, "CS", "CT")
            .text(0x0008_103E, "LO", "Thorax")
            .text(0x0020_0011, "IS", "3")
            .text(0x0020_0013, "IS", &instance.to_string())
            .text(0x0040_0244, "DA", "20240101")
            .text(0x0040_0245, "TM", "1016")
            .items(
                0x0040_0275,
                &[Sample::empty().text(0x0040_0009, "SH", "SPS1").text(0x0040_1001, "SH", "RP1")],
            )
            .pixels(4, 4, 1)
    };
    let pr = study(Sample::new("1.1", "1.1.2", "1.1.2.1"), 1).text(0x0008_0060, "CS", "PR");
    let mr = study(Sample::new("1.2", "1.2.1", "1.2.1.1"), 2).text(0x0008_0060, "CS", "MR");
    let files = [ct(1).file(), ct(2).file(), pr.file(), mr.file()];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(outcome(hilum.store(&files)).0, 200);
    hilum
}

#[test]
fn qrs_1_qry_24_to_26_what_a_study_search_returns() {
    let hilum = small_archive();
    let found = hilum.json("/studies?StudyInstanceUID=1.1");
    let url = format!("{}/studies/1.1", hilum.base);
    let mut study = found[0].as_object().unwrap().clone();
    let mut modalities: Vec<String> =
        study["00080061"]["Value"].as_array().unwrap().iter().map(Value::to_string).collect();
    modalities.sort();
    assert_eq!(modalities, ["\"CT\"", "\"PR\""]);
    study.remove("00080061");
    // Charset is optional.
    study.remove("00080005");
    let expected = json!({
        "00080020": {"vr": "DA", "Value": ["20240101"]},
        "00080030": {"vr": "TM", "Value": ["101500"]},
        "00080050": {"vr": "SH", "Value": ["ACC1"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080090": {"vr": "PN", "Value": [{"Alphabetic": "House^Gregory"}]},
        "00081190": {"vr": "UR", "Value": [url]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe1^John"}]},
        "00100020": {"vr": "LO", "Value": ["ID1"]},
        "00100030": {"vr": "DA", "Value": ["19700101"]},
        "00100040": {"vr": "CS", "Value": ["M"]},
        "0020000D": {"vr": "UI", "Value": ["1.1"]},
        "00200010": {"vr": "SH", "Value": ["1"]},
        "00201206": {"vr": "IS", "Value": [2]},
        "00201208": {"vr": "IS", "Value": [3]},
    });
    assert_eq!(Value::Object(study), expected);
}

#[test]
fn qrs_2_4_qry_26_iop_05_what_a_series_search_returns() {
    let hilum = small_archive();
    for (path, with_study) in [("/studies/1.1/series?Modality=CT", false), ("/series?Modality=CT", true)] {
        let found = hilum.json(path);
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{path}");
        let series = &found[0];
        for (tag, expected) in [
            ("00080060", json!("CT")),
            ("0008103E", json!("Thorax")),
            ("0020000D", json!("1.1")),
            ("0020000E", json!("1.1.1")),
            ("00200011", json!(3)),
            ("00201209", json!(2)),
            ("00400244", json!("20240101")),
            ("00400245", json!("1016")),
            ("00081190", json!(format!("{}/studies/1.1/series/1.1.1", hilum.base))),
        ] {
            assert_eq!(series[tag]["Value"][0], expected, "{path} {tag}");
        }
        let request = &series["00400275"]["Value"][0];
        assert_eq!((text(request, "00400009"), text(request, "00401001")), ("SPS1", "RP1"));
        for tag in ["00080020", "00100010", "00100020", "00201208", "00080061"] {
            assert_eq!(series.get(tag).is_some(), with_study, "{path} {tag}");
        }
        assert!(series.get("00080018").is_none());
    }
}

#[test]
fn qrs_3_5_6_qry_25_26_iop_05_what_an_instance_search_returns() {
    let hilum = small_archive();
    for (path, series, study) in [
        ("/studies/1.1/series/1.1.1/instances?InstanceNumber=2", false, false),
        ("/studies/1.1/instances?InstanceNumber=2", true, false),
        ("/instances?InstanceNumber=2", true, true),
    ] {
        let found = hilum.json(path);
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{path}");
        let instance = &found[0];
        let url = format!("{}/studies/1.1/series/1.1.1/instances/1.1.1.2", hilum.base);
        for (tag, expected) in [
            ("00080016", json!(CT_CLASS)),
            ("00080018", json!("1.1.1.2")),
            ("00080056", json!("ONLINE")),
            ("0020000D", json!("1.1")),
            ("0020000E", json!("1.1.1")),
            ("00200013", json!(2)),
            ("00280010", json!(4)),
            ("00280011", json!(4)),
            ("00280100", json!(8)),
            ("00280008", json!(1)),
            ("00083002", json!("1.2.840.10008.1.2.1")),
            ("00081190", json!(url)),
        ] {
            assert_eq!(instance[tag]["Value"][0], expected, "{path} {tag}");
        }
        assert_eq!(instance.get("00080060").is_some(), series, "{path}");
        assert_eq!(instance.get("00100010").is_some(), study, "{path}");
    }
}

#[test]
fn qrs_1_to_6_qry_31_every_resource_lists_its_level() {
    let hilum = small_archive();
    for (path, tag, expected) in [
        ("/studies", "0020000D", vec!["1.1", "1.2"]),
        ("/studies/1.1/series", "0020000E", vec!["1.1.1", "1.1.2"]),
        ("/studies/1.1/instances", "00080018", vec!["1.1.1.1", "1.1.1.2", "1.1.2.1"]),
        ("/series", "0020000E", vec!["1.1.1", "1.1.2", "1.2.1"]),
        ("/studies/1.1/series/1.1.1/instances", "00080018", vec!["1.1.1.1", "1.1.1.2"]),
        ("/instances", "00080018", vec!["1.1.1.1", "1.1.1.2", "1.1.2.1", "1.2.1.1"]),
        // Of what is not there: nothing, and no failure (QRY-31).
        ("/studies/9/series", "0020000E", vec![]),
        ("/studies/9/instances", "00080018", vec![]),
        ("/studies/1.2/series/1.1.1/instances", "00080018", vec![]),
        ("/studies/1.1/series/9/instances", "00080018", vec![]),
    ] {
        assert_eq!(sorted(&hilum.json(path), tag), expected, "{path}");
    }
}

/// IOP-06: required attributes without a value are there all the same, and
/// those a viewer indexes always have one.
#[test]
fn iop_06_required_attributes_are_present_when_empty() {
    let hilum = Hilum::start();
    assert_eq!(hilum.store(&[&Sample::new("1.2", "1.2.1", "1.2.1.1").file()]).status(), 200);
    let study = &hilum.json("/studies")[0];
    for tag in [
        "00080020", "00080030", "00080050", "00080090", "00100010", "00100020", "00100030", "00100040",
        "00200010",
    ] {
        assert_eq!(study[tag].as_object().map(serde_json::Map::len), Some(1), "{tag}: {study}");
        assert!(study[tag]["vr"].is_string());
    }
    assert_eq!((&study["00201206"]["Value"][0], &study["00201208"]["Value"][0]), (&json!(1), &json!(1)));
    let series = &hilum.json("/series")[0];
    for tag in ["00080060", "00200011"] {
        assert!(series[tag]["vr"].is_string(), "{tag}");
    }
    for results in ["/studies", "/series", "/instances"] {
        let text = hilum.get(results).send().unwrap().text().unwrap();
        for never in ["\"Value\":[]", "[\"\"]", "[null]"] {
            assert!(!text.contains(never), "{results}: {text}");
        }
    }
}

#[test]
fn qry_06_to_08_includefield_brings_more() {
    let hilum = small_archive();
    // At the level searched for, and above; never below.
    let study =
        &hilum.json("/studies?PatientID=ID1&includefield=StudyDescription,00080062&includefield=Modality")[0];
    assert_eq!(text(study, "00081030"), "Study 1");
    assert_eq!(text(study, "00080062"), CT_CLASS);
    assert!(study.get("00080060").is_none());
    let series = &hilum
        .json("/studies/1.1/series?Modality=CT&includefield=00081030%2CPatientName%2CSOPInstanceUID")[0];
    assert_eq!(
        (text(series, "00081030"), series["00100010"]["Value"][0]["Alphabetic"].as_str()),
        ("Study 1", Some("Doe1^John"))
    );
    assert!(series.get("00080018").is_none());
    let instance = &hilum
        .json("/instances?SOPInstanceUID=1.1.1.1&includefield=00280004&includefield=SeriesDescription")[0];
    assert_eq!((text(instance, "00280004"), text(instance, "0008103E")), ("MONOCHROME2", "Thorax"));
    for (path, tag) in [
        ("/studies", "00081030"),
        ("/series?Modality=CT", "0008103E"),
        ("/studies/1.1/instances", "00080018"),
    ] {
        let separator = if path.contains('?') { '&' } else { '?' };
        let found = hilum.json(&format!("{path}{separator}includefield=all"));
        assert!(!text(&found[0], tag).is_empty(), "{path}");
        // Not the whole of the metadata.
        assert!(found[0].get("7FE00010").is_none());
    }
    let all: Vec<String> = ["all,StudyDescription", "StudyDescription,all", "all"]
        .map(|fields| hilum.json(&format!("/studies?includefield={fields}")).to_string())
        .to_vec();
    assert!(all.iter().all(|text| *text == all[0]));
    // What is not known is left out without a word (QRY-06).
    assert_eq!(column(&hilum.json("/studies?includefield=Nonsense,00091001,zzz"), "0020000D").len(), 2);
}

#[test]
fn qry_09_16_matched_attributes_are_said() {
    let hilum = small_archive();
    assert_eq!(text(&hilum.json("/studies?StudyDescription=Study%201")[0], "00081030"), "Study 1");
    assert_eq!(text(&hilum.json("/instances?PhotometricInterpretation=MONO*")[0], "00280004"), "MONOCHROME2");
    // A bare attribute is a return key (QRY-16).
    for query in ["StudyDescription=", "StudyDescription", "00081030="] {
        let found = hilum.json(&format!("/studies?{query}"));
        assert_eq!(sorted(&found, "00081030"), ["Study 1", "Study 2"], "{query}");
    }
}

#[test]
fn qry_24_counts_follow_store_and_delete() {
    let hilum = small_archive();
    let counts = |hilum: &Hilum| {
        let found = hilum.json("/studies?StudyInstanceUID=1.1");
        let study = &found[0];
        (
            study["00201206"]["Value"][0].clone(),
            study["00201208"]["Value"][0].clone(),
            study["00080061"]["Value"].as_array().map(Vec::len),
        )
    };
    assert_eq!(counts(&hilum), (json!(2), json!(3), Some(2)));
    assert_eq!(hilum.delete("/studies/1.1/series/1.1.2/instances/1.1.2.1").status(), 204);
    assert_eq!(counts(&hilum), (json!(1), json!(2), Some(1)));
    assert_eq!(hilum.json("/studies?ModalitiesInStudy=PR"), json!([]));
    let more = Sample::new("1.1", "1.1.3", "1.1.3.1")
        .text(0x0008_0060, "CS", "SR")
        .text(0x0010_0020, "LO", "ID1")
        .file();
    assert_eq!(hilum.store(&[&more]).status(), 200);
    assert_eq!(counts(&hilum), (json!(2), json!(3), Some(2)));
    assert_eq!(sorted(&hilum.json("/studies?ModalitiesInStudy=SR"), "0020000D"), ["1.1"]);
    assert_eq!(hilum.delete("/studies/1.1").status(), 204);
    assert_eq!(sorted(&hilum.json("/studies"), "0020000D"), ["1.2"]);
    assert_eq!(hilum.json("/series?StudyInstanceUID=1.1"), json!([]));
    assert_eq!(hilum.json("/instances?PatientID=ID1"), json!([]));
}

/// IOP-30: of contradicting study attributes the latest counts.
#[test]
fn iop_30_the_latest_instance_speaks_for_its_study() {
    let hilum = Hilum::start();
    for (number, name) in ["Old^Name", "New^Name"].into_iter().enumerate() {
        let file =
            Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}")).text(0x0010_0010, "PN", name).file();
        assert_eq!(hilum.store(&[&file]).status(), 200);
    }
    assert_eq!(hilum.json("/studies?PatientName=Old*"), json!([]));
    assert_eq!(hilum.json("/studies?PatientName=New*")[0]["00201208"]["Value"][0], 2);
    assert_eq!(hilum.delete("/studies/1.2/series/1.2.1/instances/1.2.1.1").status(), 204);
    assert_eq!(hilum.json("/studies?PatientName=New*"), json!([]));
    assert_eq!(hilum.json("/studies?PatientName=Old*").as_array().map(Vec::len), Some(1));
}
