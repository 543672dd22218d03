//! `includefield` in all its forms (QRY-05, 07 to 09), on searches and on
//! metadata.

use serde_json::{Value, json};

use super::settle;
use crate::{
    harness::{Hilum, parts},
    library::problem,
    sample::Sample,
};

const INSTANCE: &str = "/studies/1.1/series/1.1.1/instances/1.1.1.1";

fn store() -> Hilum {
    let hilum = Hilum::start();
    let code = |value: &str| {
        Sample::empty()
            .text(0x0008_0100, "SH", value)
            .text(0x0008_0104, "LO", &format!("Meaning of {value}"))
            .text(0x0009_0010, "LO", "INNER")
            .text(0x0009_1001, "LO", &format!("inner {value}"))
    };
    let request = Sample::empty()
        .text(0x0040_0009, "SH", "SPS1")
        .text(0x0040_1001, "SH", "RP1")
        .text(0x0032_1060, "LO", "Procedure")
        .items(0x0040_0008, &[code("P")]);
    let file = Sample::new("1.1", "1.1.1", "1.1.1.1")
        .text(0x0008_0060, "CS", "CT")
        .text(0x0008_1030, "LO", "Study")
        .text(0x0008_103E, "LO", "Series")
        .items(0x0008_1032, &[code("A"), code("B")])
        .items(0x0008_9215, &[code("D")])
        .text(0x0009_0010, "LO", "FIRST")
        .text(0x0009_0011, "LO", "SECOND")
        .text(0x0009_1001, "LO", "first 01")
        .text(0x0009_1002, "LO", "first 02")
        .text(0x0009_1101, "LO", "second 01")
        .text(0x0010_0020, "LO", "P1")
        .text(0x0018_0050, "DS", "2.5")
        .text(0x0020_0013, "IS", "1")
        .items(0x0040_0275, &[request])
        .pixels(2, 2, 1)
        .file();
    assert_eq!(hilum.store(&[&file]).status(), 200);
    hilum
}

fn tags(set: &Value) -> Vec<&str> {
    set.as_object().expect("a data set").keys().map(String::as_str).collect()
}

const CODE: &str = "Meaning of";

#[test]
#[rustfmt::skip]
fn qry_05_07_08_09_includefield_in_every_form() {
    let hilum = store();
    for round in ["overlay", "index"] {
        // Resource, query, path into the result, what stands there.
        for (resource, query, pointer, expected) in [
            // By keyword, tag in either case, list, repetition, encoded comma.
            ("/studies", "includefield=StudyDescription", "/00081030/Value/0", json!("Study")),
            ("/studies", "includefield=00081030", "/00081030/Value/0", json!("Study")),
            ("/series", "includefield=0008103e", "/0008103E/Value/0", json!("Series")),
            ("/series", "includefield=StudyID,SeriesDescription", "/0008103E/Value/0", json!("Series")),
            ("/series", "includefield=StudyID&includefield=SeriesDescription", "/0008103E/Value/0", json!("Series")),
            ("/instances", "includefield=Rows%2CSliceThickness", "/00180050/Value/0", json!(2.5)),
            // What was matched comes back, at any level above.
            ("/instances", "StudyDescription=St*&SeriesDescription=Ser*", "/00081030/Value/0", json!("Study")),
            ("/instances", "SliceThickness=2.5", "/00180050/Value/0", json!(2.5)),
            // Sequences: whole, and what a dotted path names of their items.
            ("/studies", "includefield=ProcedureCodeSequence", "/00081032/Value/1/00080100/Value/0", json!("B")),
            ("/studies", "includefield=ProcedureCodeSequence.CodeValue", "/00081032/Value/1", json!({"00080100": {"vr": "SH", "Value": ["B"]}})),
            ("/studies", "includefield=00081032.00080104", "/00081032/Value/0", json!({"00080104": {"vr": "LO", "Value": [format!("{CODE} A")]}})),
            ("/studies", "includefield=00081032.00080104,00081032.CodeValue", "/00081032/Value/0/00080100/Value/0", json!("A")),
            ("/studies", "includefield=00081032.00080104,00081032", "/00081032/Value/0/00080100/Value/0", json!("A")),
            ("/instances", "includefield=DerivationCodeSequence.CodeMeaning", "/00089215/Value/0", json!({"00080104": {"vr": "LO", "Value": [format!("{CODE} D")]}})),
            ("/series", "includefield=RequestAttributesSequence.ScheduledProtocolCodeSequence.CodeValue", "/00400275/Value/0/00400008/Value/0", json!({"00080100": {"vr": "SH", "Value": ["P"]}})),
            // Beside what a series says of its requests unasked.
            ("/series", "includefield=RequestAttributesSequence.00321060", "/00400275/Value/0/00321060/Value/0", json!("Procedure")),
            ("/series", "includefield=RequestAttributesSequence.00321060", "/00400275/Value/0/00400009/Value/0", json!("SPS1")),
            // Of a sequence that was matched, the items that did, with what was asked for.
            ("/studies", "ProcedureCodeSequence.CodeValue=B", "/00081032/Value", json!([{"00080100": {"vr": "SH", "Value": ["B"]}}])),
            ("/studies", "ProcedureCodeSequence.CodeValue=B&includefield=00081032.CodeMeaning", "/00081032/Value/0/00080104/Value/0", json!(format!("{CODE} B"))),
            ("/studies", "ProcedureCodeSequence.CodeValue=B&includefield=00081032", "/00081032/Value/0/00080104/Value/0", json!(format!("{CODE} B"))),
            ("/studies", "ProcedureCodeSequence.CodeMeaning=", "/00081032/Value/1", json!({"00080104": {"vr": "LO", "Value": [format!("{CODE} B")]}})),
            // Private, with the creator that the client names, wherever it put it.
            ("/instances", "includefield=00091001&00090010=FIRST", "/00091001/Value/0", json!("first 01")),
            ("/instances", "includefield=00091001&00090010=SECOND", "/00091101/Value/0", json!("second 01")),
            ("/instances", "includefield=00091001&00090010=SECOND", "/00090011/Value/0", json!("SECOND")),
            ("/instances", "includefield=00097702&00090077=FIRST", "/00091002/Value/0", json!("first 02")),
            ("/instances", "00090010=SECOND&00091001=second*", "/00091101/Value/0", json!("second 01")),
            ("/instances", "includefield=00089215.00091001&00090010=INNER", "/00089215/Value/0/00091001/Value/0", json!("inner D")),
        ] {
            let found = hilum.json(&format!("{resource}?{query}"));
            assert_eq!(found[0].pointer(pointer), Some(&expected), "{round} {resource}?{query}: {found}");
        }
        // Never: of a level below; private without its creator, or of another; what nobody knows.
        for (resource, query, never) in [
            ("/studies", "includefield=Modality,SeriesDescription,SOPInstanceUID", vec!["00080060", "0008103E", "00080018"]),
            ("/series", "includefield=SliceThickness,InstanceNumber", vec!["00180050", "00200013"]),
            ("/instances", "includefield=00091001", vec!["00091001", "00090010"]),
            ("/instances", "includefield=00091001&00090010=NOBODY", vec!["00091001", "00090010", "00091101"]),
            ("/instances", "includefield=00091101&00090010=FIRST", vec!["00091101", "00091001"]),
            ("/studies/1.1/series/1.1.1/instances", "includefield=Nonsense,0008,,x.y,PatientID.CodeValue", vec!["00100020"]),
            ("/studies/1.1/series", "", vec!["00081030", "00100020"]),
        ] {
            let found = hilum.json(&format!("{resource}?{query}"));
            let found = tags(&found[0]);
            assert!(never.iter().all(|tag| !found.contains(tag)), "{round} {resource}?{query}: {found:?}");
        }
        settle(&hilum);
    }
}

/// A presentation state of more than some thirty images came back without them.
#[test]
fn qry_07_a_sequence_of_any_length_is_returned() {
    let hilum = Hilum::start();
    for (instance, images) in [("1.1.1.1", 2), ("1.1.1.2", 100)] {
        let image = |number: usize| {
            Sample::empty().text(0x0008_1150, "UI", "1.2.840.10008.5.1.4.1.1.2").text(
                0x0008_1155,
                "UI",
                &format!("1.2.840.99999.1.20260101.{number}"),
            )
        };
        let images: Vec<Sample> = (0..images).map(image).collect();
        let series = Sample::empty().items(0x0008_1140, &images).text(0x0020_000E, "UI", "1.1.9");
        let file = Sample::new("1.1", "1.1.1", instance).items(0x0008_1115, &[series]).file();
        assert_eq!(hilum.store(&[&file]).status(), 200);
    }
    for query in [
        "/instances?includefield=ReferencedSeriesSequence",
        "/instances?includefield=all",
        "/studies/1.1/series/1.1.1/instances?includefield=00081115.00081140.ReferencedSOPInstanceUID",
    ] {
        let found = hilum.json(query);
        for (at, images) in [(0, 2), (1, 100)] {
            let items = found[at].pointer("/00081115/Value/0/00081140/Value").and_then(Value::as_array);
            assert_eq!(items.map(Vec::len), Some(images), "{query}");
        }
    }
}

#[test]
fn ret_14_the_metadata_of_chosen_attributes() {
    let hilum = store();
    const UIDS: [&str; 4] = ["00080016", "00080018", "0020000D", "0020000E"];
    for path in ["/studies/1.1", "/studies/1.1/series/1.1.1", INSTANCE] {
        for (query, more) in [
            ("includefield=PatientID", vec!["00100020"]),
            ("includefield=00180050,Rows&includefield=PatientID", vec!["00100020", "00180050", "00280010"]),
            ("includefield=00081032.CodeValue", vec!["00081032"]),
            ("includefield=00091001&00090010=SECOND", vec!["00090011", "00091101"]),
            ("includefield=00091001,00081032&00090010=SECOND&excludeprivate=true", vec!["00081032"]),
            ("includefield=Nonsense", vec![]),
            ("includefield=", vec![]),
        ] {
            let found = hilum.json(&format!("{path}/metadata?{query}"));
            let mut expected: Vec<&str> = UIDS.into_iter().chain(more).collect();
            expected.sort_unstable();
            assert_eq!(tags(&found[0]), expected, "{path} {query}");
        }
        let whole = hilum.json(&format!("{path}/metadata"));
        assert_eq!(hilum.json(&format!("{path}/metadata?includefield=all")), whole);
        assert_eq!(hilum.json(&format!("{path}/metadata?excludeprivate=false&PatientID=x")), whole);
        let public = hilum.json(&format!("{path}/metadata?excludeprivate=true"));
        assert_eq!(tags(&public[0]).len() + 5, tags(&whole[0]).len());
        assert!(!public.to_string().contains("inner"), "nor within sequences");
        let pixels = hilum.json(&format!("{path}/metadata?includefield=PixelData"));
        let url = format!("{}{INSTANCE}/bulkdata/7FE00010", hilum.base);
        assert_eq!(pixels[0]["7FE00010"]["BulkDataURI"], json!(url));
    }
    let item = &hilum.json(&format!("{INSTANCE}/metadata?includefield=00081032.CodeValue"))[0];
    assert_eq!(item["00081032"]["Value"][1], json!({"00080100": {"vr": "SH", "Value": ["B"]}}));
    problem(
        hilum.get(&format!("{INSTANCE}/metadata?excludeprivate=1")).send().unwrap(),
        400,
        "invalid-parameter",
    );
}

#[test]
fn ret_14_chosen_attributes_in_xml_and_their_own_entity_tag() {
    let hilum = store();
    let path = format!("{INSTANCE}/metadata?includefield=00091001&00090010=SECOND");
    let [(_, document)] =
        &parts(hilum.get_as(&path, "multipart/related; type=\"application/dicom+xml\""))[..]
    else {
        panic!("one part")
    };
    let text = String::from_utf8_lossy(document);
    assert!(
        text.contains("tag=\"00090001\" vr=\"LO\" privateCreator=\"SECOND\"><Value number=\"1\">second 01<"),
        "{text}"
    );
    assert!(!text.contains("FIRST") && !text.contains("PatientID"), "{text}");

    let tag = |path: &str, accept: &str| {
        let response = hilum.get_as(path, accept);
        assert_eq!(response.status(), 200, "{path} {accept}");
        crate::library::header(&response, "etag")
    };
    let mut etags = vec![
        tag(&format!("{INSTANCE}/metadata"), "application/dicom+json"),
        tag(&format!("{INSTANCE}/metadata"), "multipart/related; type=\"application/dicom+xml\""),
        tag(&format!("{INSTANCE}/metadata"), "application/dicom+xml"),
        tag(&path, "application/dicom+json"),
    ];
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 4);
    let again = hilum.get(&path).header("If-None-Match", tag(&path, "*/*")).send().unwrap();
    assert_eq!(again.status(), 304);
}
