//! Metadata (RET-04, JSN-01 to 21, IOP-01, 06, 15, 26).

use serde_json::{Value, json};

use crate::{
    harness::Hilum,
    library::{Library, header, json_of, problem},
    sample::Sample,
};

/// Looks at every attribute of a data set, in the order it was sent in.
fn check_set(set: &Ordered, path: &str) {
    let mut before = "";
    for (tag, attribute) in &set.members {
        let here = format!("{path}/{tag}");
        assert!(
            tag.len() == 8 && tag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')),
            "{here}"
        );
        assert!(before < tag.as_str(), "{here} after {before}");
        before = tag;
        assert!(!tag.starts_with("0002") && !tag.ends_with("0000"), "{here}: of the encoding");
        check_attribute(attribute, &here);
    }
}

fn check_attribute(attribute: &Ordered, path: &str) {
    let find = |name: &str| attribute.members.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let vr = find("vr").and_then(|vr| vr.plain.as_str()).unwrap_or_default().to_owned();
    assert_eq!(vr.len(), 2, "{path}");
    let holders = ["Value", "BulkDataURI", "InlineBinary"];
    let held: Vec<&str> = holders.into_iter().filter(|name| find(name).is_some()).collect();
    assert!(held.len() <= 1 && attribute.members.len() == 1 + held.len(), "{path}: {held:?}");
    if held == ["BulkDataURI"] {
        assert!(!["SQ", "PN", "LO", "SH", "CS", "UI", "UR", "AT"].contains(&vr.as_str()), "{path}: {vr}");
    }
    if held == ["InlineBinary"] {
        assert!(["OB", "OD", "OF", "OL", "OV", "OW", "UN"].contains(&vr.as_str()), "{path}: {vr}");
    }
    let Some(values) = find("Value") else { return };
    assert!(!values.elements.is_empty(), "{path}: an empty Value");
    for value in &values.elements {
        match (&vr[..], &value.plain) {
            ("SQ", _) => check_set(value, path),
            ("PN", Value::Object(groups)) => {
                assert!(!groups.is_empty(), "{path}");
                for (group, text) in groups {
                    assert!(["Alphabetic", "Ideographic", "Phonetic"].contains(&group.as_str()), "{path}");
                    let text = text.as_str().expect("a text");
                    assert!(!text.is_empty() && !text.contains('='), "{path}");
                }
            }
            (_, Value::Null) => assert!(values.elements.len() > 1, "{path}"),
            ("FL" | "FD", Value::String(text)) => {
                assert!(["NaN", "Infinity", "-Infinity"].contains(&text.as_str()), "{path}: {text}");
            }
            ("FL" | "FD" | "SL" | "SS" | "UL" | "US", value) => assert!(value.is_number(), "{path}"),
            ("DS" | "IS" | "SV" | "UV", value) => assert!(value.is_number() || value.is_string(), "{path}"),
            ("AT", Value::String(text)) => assert_eq!(text.len(), 8, "{path}"),
            (_, Value::String(text)) => {
                assert!(!text.is_empty() && !text.ends_with([' ', '\0']), "{path}: {text:?}");
                let whole = ["ST", "LT", "UT", "UR"].contains(&vr.as_str());
                assert!(whole || !text.contains('\\'), "{path}: {text:?}");
            }
            (_, other) => panic!("{path}: {vr} {other}"),
        }
    }
}

/// JSON with its members as they stood in the text.
struct Ordered {
    members: Vec<(String, Ordered)>,
    elements: Vec<Ordered>,
    plain: Value,
}

impl<'de> serde::Deserialize<'de> for Ordered {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Ordered;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut members: Vec<(String, Ordered)> = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                let plain = members.iter().map(|(key, value)| (key.clone(), value.plain.clone())).collect();
                Ok(Ordered { plain: Value::Object(plain), members, elements: Vec::new() })
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Ordered, A::Error> {
                let mut elements: Vec<Ordered> = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                let plain = elements.iter().map(|element| element.plain.clone()).collect();
                Ok(Ordered { plain: Value::Array(plain), members: Vec::new(), elements })
            }

            fn visit_str<E>(self, text: &str) -> Result<Ordered, E> {
                Ok(leaf(json!(text)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Ordered, E> {
                Ok(leaf(json!(number)))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Ordered, E> {
                Ok(leaf(json!(number)))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Ordered, E> {
                Ok(leaf(json!(number)))
            }

            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(leaf(Value::Null))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn leaf(plain: Value) -> Ordered {
    Ordered { members: Vec::new(), elements: Vec::new(), plain }
}

#[test]
fn jsn_01_to_10_12_15_20_iop_06_15_26_every_fixture_is_sound() {
    let library = Library::open();
    for held in &library.held {
        let response = library.hilum.get(&format!("{}/metadata", held.stored.path)).send().unwrap();
        assert_eq!(header(&response, "content-type"), "application/dicom+json");
        let text = response.text().unwrap();
        let sent: Vec<Ordered> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", held.name));
        assert_eq!(sent.len(), 1, "{}", held.name);
        check_set(&sent[0], &held.name);
        let set = &sent[0].plain;
        assert_eq!(set["00080018"]["Value"][0], held.stored.instance);
        // IOP-15: how it is stored.
        let syntax = super::oracle::declared(&held.bytes);
        assert_eq!(set["00083002"]["Value"][0], syntax, "{}", held.name);
        if let Some(rows) = set.get("00280010") {
            assert!(rows["Value"][0].is_u64(), "{}", held.name);
        }
    }
}

#[test]
fn ret_04_jsn_01_the_metadata_of_a_study_are_those_of_its_instances() {
    let library = Library::open();
    let mut checked = 0;
    for study in library.hilum.json("/studies").as_array().unwrap() {
        let uid = study["0020000D"]["Value"][0].as_str().unwrap();
        let mut all: Vec<Value> =
            library.hilum.json(&format!("/studies/{uid}/metadata")).as_array().unwrap().clone();
        let mut of_series = Vec::new();
        for series in library.hilum.json(&format!("/studies/{uid}/series")).as_array().unwrap() {
            let series = series["0020000E"]["Value"][0].as_str().unwrap();
            let path = format!("/studies/{uid}/series/{series}/metadata");
            of_series.extend(library.hilum.json(&path).as_array().unwrap().clone());
        }
        let mut single: Vec<Value> = library
            .held
            .iter()
            .filter(|held| held.stored.study == uid)
            .map(|held| library.hilum.json(&format!("{}/metadata", held.stored.path))[0].clone())
            .collect();
        for list in [&mut all, &mut of_series, &mut single] {
            list.sort_by_key(|set| set["00080018"]["Value"][0].to_string());
        }
        assert_eq!(all, single, "{uid}");
        assert_eq!(all, of_series, "{uid}");
        checked += all.len();
    }
    assert_eq!(checked, library.held.len());
}

#[test]
fn jsn_05_to_09_11_to_14_18_20_iop_25_values_by_hand() {
    let hilum = Hilum::start();
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1")
        .text(0x0008_0005, "CS", "ISO_IR 192")
        .text(0x0008_0008, "CS", "ORIGINAL\\\\AXIAL")
        .text(0x0010_0010, "PN", "Yamada^Tarou=山田^太郎=やまだ^たろう")
        .text(0x0010_0030, "DA", "")
        .text(0x0010_1001, "PN", "A^B\\==C")
        .text(0x0010_1030, "DS", " 72.50 ")
        .text(0x0020_0013, "IS", "+7")
        .text(0x0020_0032, "DS", "1\\-2.5e3\\abc")
        .bytes(0x0028_0009, "AT", vec![0x18, 0x00, 0x63, 0x10])
        .bytes(0x0018_9073, "FD", [f64::NAN.to_le_bytes(), f64::NEG_INFINITY.to_le_bytes()].concat())
        .bytes(0x0018_9309, "FL", 0.1f32.to_le_bytes().to_vec())
        .bytes(0x0009_0010, "LO", b"ACME 1.0".to_vec())
        .bytes(0x0009_1001, "UN", vec![1, 2, 3, 4])
        .text(0x0040_A160, "UT", "one\\two  ")
        .items(0x0040_0275, &[Sample::empty(), Sample::empty().text(0x0040_0009, "SH", "X ")])
        .items(0x0008_1110, &[])
        .file();
    assert!(hilum.store(&[&file]).status().is_success());
    let set = &hilum.json("/studies/1.2/metadata")[0];
    for (tag, expected) in [
        ("00080008", json!({"vr":"CS","Value":["ORIGINAL",null,"AXIAL"]})),
        (
            "00100010",
            json!({"vr":"PN","Value":[{"Alphabetic":"Yamada^Tarou","Ideographic":"山田^太郎","Phonetic":"やまだ^たろう"}]}),
        ),
        ("00100030", json!({"vr":"DA"})),
        ("00101001", json!({"vr":"PN","Value":[{"Alphabetic":"A^B"},{"Phonetic":"C"}]})),
        ("00280009", json!({"vr":"AT","Value":["00181063"]})),
        ("00189073", json!({"vr":"FD","Value":["NaN","-Infinity"]})),
        ("00189309", json!({"vr":"FL","Value":[0.1]})),
        ("00090010", json!({"vr":"LO","Value":["ACME 1.0"]})),
        ("00091001", json!({"vr":"UN","InlineBinary":"AQIDBA=="})),
        ("0040A160", json!({"vr":"UT","Value":["one\\two"]})),
        ("00400275", json!({"vr":"SQ","Value":[{},{"00400009":{"vr":"SH","Value":["X"]}}]})),
        ("00081110", json!({"vr":"SQ"})),
        ("00080005", json!({"vr":"CS","Value":["ISO_IR 192"]})),
    ] {
        assert_eq!(set[tag], expected, "{tag}");
    }
    // JSN-11: a number where nothing is lost by it, else the text.
    assert_eq!(
        set["00101030"]["Value"][0].as_f64().or_else(|| set["00101030"]["Value"][0].as_str()?.parse().ok()),
        Some(72.5)
    );
    assert_eq!(set["00200032"]["Value"][2], "abc");
    assert!(set["00200013"]["Value"][0] == 7 || set["00200013"]["Value"][0] == "+7");
}

/// IOP-01: the URLs are those of the address the client used.
#[test]
fn iop_01_urls_are_absolute_on_the_public_address() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    let path = format!("{}/metadata", stored.path);
    let ask = |hilum: &Hilum, name: &str, value: &str| {
        let response = hilum.get(&path).header(name, value).send().unwrap();
        json_of(response)[0]["7FE00010"]["BulkDataURI"].as_str().unwrap().to_owned()
    };
    let expected = format!("http://pacs.example.org:8042/dicomweb{}/bulkdata/7FE00010", stored.path);
    assert_eq!(ask(&hilum, "Host", "pacs.example.org:8042"), expected);
    // Nobody is trusted to be a proxy.
    assert!(ask(&hilum, "X-Forwarded-Host", "evil.example.org").starts_with(&hilum.base));
    let response = hilum.get("/studies").header("Host", "a b<script>").send().unwrap();
    assert!(matches!(response.status().as_u16(), 400), "{}", response.status());

    let hilum = Hilum::with(|config| {
        config.trusted_proxies = vec!["127.0.0.0/8".to_owned().try_into().unwrap()];
    });
    hilum.store_fixture("CT_small.dcm");
    let uri = ask(&hilum, "Forwarded", "for=1.2.3.4;proto=https;host=pacs.example.org");
    assert_eq!(uri, format!("https://pacs.example.org/dicomweb{}/bulkdata/7FE00010", stored.path));

    let hilum = Hilum::with(|config| config.public_url = Some("https://public.example.org/pacs".to_owned()));
    let response = hilum.store(&[&crate::harness::fixture("CT_small.dcm")]);
    let module = json_of(response);
    let url = module["00081190"]["Value"][0].as_str().unwrap();
    assert_eq!(url, format!("https://public.example.org/pacs/dicomweb/studies/{}", stored.study));
    assert!(ask(&hilum, "Host", "other").starts_with(url));
}

#[test]
fn only_json_can_be_had() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    let path = format!("{}/metadata", stored.path);
    for accept in [
        "application/dicom+json",
        "application/json",
        "*/*",
        "application/dicom+json;q=0.1, text/html",
        // OHIF (IOP-02), Java (V26), browsers.
        "application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*",
        "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        "application/dicom+json; transfer-syntax=1.2.840.10008.1.2.4.50",
        "application/*",
    ] {
        let response = hilum.get_as(&path, accept);
        assert_eq!(response.status(), 200, "{accept}");
        assert_eq!(header(&response, "content-type"), "application/dicom+json", "{accept}");
    }
    for accept in [
        "application/dicom",
        "text/html",
        "image/*",
        "multipart/related; type=\"application/dicom\"",
        "application/dicom+json;q=0, text/css",
    ] {
        problem(hilum.get_as(&path, accept), 406, "not-acceptable");
    }
    let response = hilum.get(&format!("{path}?accept=application/dicom%2Bjson")).header("Accept", "*/*");
    assert_eq!(response.send().unwrap().status(), 200);
    let response = hilum.get(&format!("{path}?accept=image/*")).header("Accept", "*/*");
    problem(response.send().unwrap(), 400, "invalid-parameter");
}

/// Contours of a large structure set, or the tiles of a sparse slide: what the
/// reader of files took was more than the reader of the archive's own metadata
/// would. Stored with 200, it was "damaged" (500) wherever its metadata were
/// read: as XML, with `includefield`, decoded, drawn; and searches did not find it.
#[test]
fn sto_01_what_was_stored_is_read_however_many_values_it_has() {
    let hilum = Hilum::start();
    let points = "1\\".repeat(29_999) + "1";
    let contour = Sample::empty().text(0x3006_0042, "CS", "POINT").text(0x3006_0050, "DS", &points);
    let contours = vec![contour; 32];
    let code: Vec<u8> = [&[1, 0, 0, 0, 64, 0, 0, 0][..], &[0; 56], &[3, 9, 9, 9, 9, 0]].concat();
    let sample = Sample::new("1.2", "1.2.1", "1.2.1.1")
        .text(0x0010_0010, "PN", "Doe^John")
        .text(0x0018_0060, "DS", "120")
        .items(0x3006_0039, &contours)
        .pixels(2, 2, 1)
        .without(0x7FE0_0010);
    hilum.must_store(&[&sample.encapsulated("1.2.840.10008.1.2.5", &[&code])]);
    let path = "/studies/1.2/series/1.2.1/instances/1.2.1.1";

    let chosen = hilum.json(&format!("{path}/metadata?includefield=KVP"));
    assert_eq!(chosen[0]["00180060"]["Value"], json!([120]));
    let xml = hilum.get_as(&format!("{path}/metadata"), "application/dicom+xml");
    assert_eq!(xml.status(), 200);
    assert!(xml.text().unwrap().contains("<Value number=\"30000\">"));
    let frame = hilum.get_as(&format!("{path}/frames/1"), "application/octet-stream");
    assert_eq!((frame.status().as_u16(), frame.bytes().unwrap().as_ref()), (200, &[9; 4][..]));
    assert_eq!(hilum.get_as(&format!("{path}/rendered"), "image/png").status(), 200);
    assert_eq!(hilum.get_as(&format!("{path}/thumbnail"), "image/png").status(), 200);
    let key = "ROIContourSequence.ContourGeometricType=POINT";
    for query in ["KVP=120&includefield=KVP", key, "q=doe&KVP=120"] {
        let found = hilum.json(&format!("/instances?{query}"));
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{query}");
    }
}
