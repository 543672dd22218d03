//! Instances stored as metadata and bulk data (STO-23 to STO-26).

use std::fmt::Write as _;

use base64::Engine;
use reqwest::blocking::Response;
use serde_json::{Value, json};

use crate::{
    harness::{Hilum, Stored, json_of, parts},
    library::{Library, header, outcome, part_header, problem, reasons, text, values},
};

const ANY: &str = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";

/// A multipart body of metadata and bulk data.
#[derive(Default)]
pub struct Body(Vec<u8>);

impl Body {
    pub fn part(mut self, content_type: &str, location: Option<&str>, bytes: &[u8]) -> Self {
        let mut head = format!("--XX\r\nContent-Type: {content_type}\r\n");
        if let Some(location) = location {
            let _ = write!(head, "Content-Location: {location}\r\n");
        }
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(b"\r\n");
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    pub fn json(metadata: &Value) -> Self {
        Self::default().part("application/dicom+json", None, metadata.to_string().as_bytes())
    }

    pub fn send(mut self, hilum: &Hilum, root: &str) -> Response {
        self.0.extend_from_slice(b"--XX--\r\n");
        hilum.post("/studies", &format!("multipart/related; type=\"{root}\"; boundary=XX"), self.0)
    }

    pub fn send_json(self, hilum: &Hilum) -> Response {
        self.send(hilum, "application/dicom+json")
    }
}

/// A data set with the UIDs of an instance.
pub fn data_set(instance: &str, more: &Value) -> Value {
    let mut set = json!({
        "00080016": { "vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"] },
        "00080018": { "vr": "UI", "Value": [instance] },
        "0020000D": { "vr": "UI", "Value": ["1.2"] },
        "0020000E": { "vr": "UI", "Value": ["1.2.1"] },
    });
    for (name, value) in more.as_object().expect("an object") {
        set[name] = value.clone();
    }
    set
}

/// The attributes of a small grey image.
fn image(instance: &str, uri: &str) -> Value {
    data_set(
        instance,
        &json!({
            "00280002": { "vr": "US", "Value": [1] },
            "00280004": { "vr": "CS", "Value": ["MONOCHROME2"] },
            "00280010": { "vr": "US", "Value": [2] },
            "00280011": { "vr": "US", "Value": [2] },
            "00280100": { "vr": "US", "Value": [8] },
            "00280101": { "vr": "US", "Value": [8] },
            "00280102": { "vr": "US", "Value": [7] },
            "00280103": { "vr": "US", "Value": [0] },
            "7FE00010": { "vr": "OB", "BulkDataURI": uri },
        }),
    )
}

/// The text of an instance's metadata under other UIDs.
fn renamed(text: &str, stored: &Stored, number: usize) -> String {
    // The longest first: one may begin another.
    let mut uids = [&stored.study, &stored.series, &stored.instance];
    uids.sort_by_key(|uid| std::cmp::Reverse(uid.len()));
    uids.iter().enumerate().fold(text.to_owned(), |text, (position, uid)| {
        text.replace(&format!("\"{uid}\""), &format!("\"2.25.{number}.{position}\""))
            .replace(&format!(">{uid}<"), &format!(">2.25.{number}.{position}<"))
    })
}

/// Metadata without what says where the bulk data are.
fn without_uris(mut value: Value) -> Value {
    fn clean(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if name == "BulkDataURI" {
                        let uri = value.as_str().expect("a URI");
                        *value = uri.rsplit('/').next().unwrap_or_default().into();
                    } else {
                        clean(value);
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(clean),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    clean(&mut value);
    value
}

/// Every fixture's metadata and bulk data, as they are retrieved, are stored
/// as another instance whose metadata and bulk data are the same.
#[test]
fn sto_23_24_25_metadata_and_bulk_data_of_every_fixture_round_trip_as_json() {
    let library = Library::open();
    let hilum = &library.hilum;
    for (number, held) in library.held.iter().enumerate() {
        let name = &held.name;
        let metadata = hilum.get(&format!("{}/metadata", held.stored.path)).send().unwrap().text().unwrap();
        let renamed = renamed(&metadata, &held.stored, number);
        let mut body = Body::default().part("application/dicom+json", None, renamed.as_bytes());
        let bulk = bulk_of(hilum, &held.stored.path);
        for (head, bytes) in &bulk {
            let location = part_header(head, "content-location");
            body = body.part(&part_header(head, "content-type"), Some(&location), bytes);
        }
        let (status, module) = outcome(body.send_json(hilum));
        assert!(status == 200 || status == 202, "{name}: {module}");
        let item = values(&module, "00081199")[0];
        let path = text(item, "00081190").strip_prefix(&hilum.base).unwrap().to_owned();
        let expected: Value = serde_json::from_str(&renamed).unwrap();
        let found = hilum.json(&format!("{path}/metadata"));
        let (found, mut expected) = (without_uris(found), without_uris(expected));
        // What was not compressed is stored in one way.
        let syntax = text(&expected[0], "00083002");
        if ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"].contains(&syntax) {
            expected[0]["00083002"]["Value"][0] = "1.2.840.10008.1.2.1".into();
        }
        for (tag, value) in expected[0].as_object().unwrap() {
            assert!(found[0][tag] == *value, "{name} {tag}");
        }
        assert!(found == expected, "{name}");
        let again = bulk_of(hilum, &path);
        let bytes = |bulk: &[(String, Vec<u8>)]| -> Vec<Vec<u8>> {
            bulk.iter().map(|(_, bytes)| even(bytes.clone())).collect()
        };
        assert!(bytes(&again) == bytes(&bulk), "{name}");
    }
}

/// The same as XML: one part a data set.
#[test]
fn sto_01_06_23_metadata_and_bulk_data_of_every_fixture_round_trip_as_xml() {
    let library = Library::open();
    let hilum = &library.hilum;
    for (number, held) in library.held.iter().enumerate() {
        let name = &held.name;
        let metadata = hilum.get(&format!("{}/metadata", held.stored.path)).send().unwrap().text().unwrap();
        let renamed = renamed(&metadata, &held.stored, number);
        let set =
            hilum::dicom::json::read(renamed.as_bytes(), hilum::dicom::json::Limits::default()).unwrap();
        let mut document = Vec::new();
        hilum::dicom::xml::write(&set, &mut document);
        let mut body = Body::default().part("application/dicom+xml", None, &document);
        for (head, bytes) in bulk_of(hilum, &held.stored.path) {
            let location = part_header(&head, "content-location");
            body = body.part(&part_header(&head, "content-type"), Some(&location), &bytes);
        }
        let response = body.send(hilum, "application/dicom+xml");
        let (status, module) = outcome(response);
        assert!(status == 200 || status == 202, "{name}: {module}");
        let item = values(&module, "00081199")[0];
        let path = text(item, "00081190").strip_prefix(&hilum.base).unwrap().to_owned();
        let (found, expected) =
            (hilum.json(&format!("{path}/metadata")), serde_json::from_str(&renamed).unwrap());
        let (found, expected): (Value, Value) = (without_uris(found), without_uris(expected));
        for (tag, value) in expected[0].as_object().unwrap() {
            // XML 1.0 has no word for most control characters, nor the Native
            // DICOM Model for the carets of empty name components.
            let is_sayable = !value.to_string().contains("\\u00") && tag != "00083002";
            let carets = |value: &Value| {
                value
                    .to_string()
                    .replace('^', " ")
                    .replace(" \"", "\"")
                    .replace(' ', "")
                    .replace(",\"Value\":[{\"Alphabetic\":\"\"}]", "")
            };
            let is_same = carets(&found[0][tag]) == carets(value);
            assert!(is_same || !is_sayable, "{name} {tag}: {} {value}", found[0][tag]);
        }
    }
}

#[test]
fn sto_06_the_answer_is_xml_when_that_is_asked_for() {
    let hilum = Hilum::start();
    let request = hilum.client.post(format!("{}/studies", hilum.base));
    let response = request
        .header("Content-Type", "application/dicom+json")
        .header("Accept", "application/dicom+xml")
        .body(json!([data_set("1.2.1.1", &json!({}))]).to_string())
        .send()
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), header(&response, "content-type")),
        (200, "application/dicom+xml".into())
    );
    let document = response.text().unwrap();
    let module = hilum::dicom::xml::read(document.as_bytes(), hilum::dicom::json::Limits::default()).unwrap();
    let items = module.items(hilum::dicom::Tag(0x0008, 0x1199));
    assert_eq!(items[0].first_text(hilum::dicom::Tag(0x0008, 0x1155)), Some("1.2.1.1"));
    assert!(document.contains("keyword=\"ReferencedSOPSequence\""), "{document}");
}

fn even(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

fn bulk_of(hilum: &Hilum, path: &str) -> Vec<(String, Vec<u8>)> {
    let response = hilum.get_as(&format!("{path}/bulkdata"), ANY);
    if response.status() == 404 { Vec::new() } else { parts(response) }
}

#[test]
fn sto_23_json_metadata_with_bulk_parts_is_stored() {
    let hilum = Hilum::start();
    let sets = json!([image("1.2.1.1", "a"), image("1.2.1.2", "b")]);
    let body = Body::json(&sets).part("application/octet-stream", Some("b"), &[5, 6, 7, 8]).part(
        "application/octet-stream",
        Some("a"),
        &[1, 2, 3, 4],
    );
    let response = body.send_json(&hilum);
    assert_eq!(header(&response, "location"), format!("{}/studies/1.2", hilum.base));
    let (status, module) = outcome(response);
    assert_eq!((status, values(&module, "00081199").len()), (200, 2), "{module}");
    let frame =
        hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.2/frames/1", "application/octet-stream");
    assert_eq!(frame.bytes().unwrap(), vec![5, 6, 7, 8]);
    // The same again is the same file: nothing is written.
    let body = Body::json(&sets).part("application/octet-stream", Some("a"), &[1, 2, 3, 4]).part(
        "application/octet-stream",
        Some("b"),
        &[5, 6, 7, 8],
    );
    assert_eq!(outcome(body.send_json(&hilum)).0, 200);
    let body = Body::json(&json!([image("1.2.1.2", "b")])).part(
        "application/octet-stream",
        Some("b"),
        &[9, 9, 9, 9],
    );
    let (status, module) = outcome(body.send_json(&hilum));
    assert_eq!((status, reasons(&module, "00081198")), (409, vec![0x0111]));
}

#[test]
fn sto_23_metadata_alone_need_no_multipart() {
    let hilum = Hilum::start();
    let set =
        data_set("1.2.1.1", &json!({ "00100010": { "vr": "PN", "Value": [{ "Alphabetic": "Müller" }] } }));
    let response = hilum.post("/studies", "application/dicom+json", json!([set]).to_string());
    assert_eq!(outcome(response).0, 200);
    let metadata = hilum.json("/studies/1.2/metadata");
    assert_eq!(metadata[0]["00100010"]["Value"][0]["Alphabetic"], "Müller");
    assert_eq!(text(&metadata[0], "00080005"), "ISO_IR 192");
    assert_eq!(text(&metadata[0], "00083002"), "1.2.840.10008.1.2.1");
    // Group 2 is the server's.
    let mut liar = data_set("1.2.1.2", &json!({}));
    liar["00020010"] = json!({ "vr": "UI", "Value": ["1.2.840.10008.1.2.2"] });
    let response = hilum.post("/studies", "application/dicom+json", liar.to_string());
    assert_eq!(outcome(response).0, 200);
}

#[test]
fn sto_24_mpr_4_each_reference_and_each_part_has_its_fate() {
    let hilum = Hilum::start();
    let sets = json!([image("1.2.1.1", "a"), image("1.2.1.2", "missing")]);
    let body = Body::json(&sets)
        .part("application/octet-stream", Some("a"), &[1, 2, 3, 4])
        .part("application/octet-stream", Some("c"), &[1, 2, 3, 4])
        .part("application/octet-stream", None, &[1, 2, 3, 4]);
    let (status, module) = outcome(body.send_json(&hilum));
    assert_eq!(status, 202, "{module}");
    assert_eq!(values(&module, "00081199").len(), 1);
    assert_eq!(reasons(&module, "00081198"), [0xC000]);
    assert_eq!(text(values(&module, "00081198")[0], "00081155"), "1.2.1.2");
    assert_eq!(reasons(&module, "0008119A"), [0xC000, 0xC000]);
    // A name in another spelling, and bulk data in no part of any instance.
    let body = Body::json(&json!([image("1.2.1.3", "HTTP://Pacs:80/bulk/1%2E2")])).part(
        "application/octet-stream",
        Some("http://pacs/bulk/1.2"),
        &[1, 2, 3, 4],
    );
    assert_eq!(outcome(body.send_json(&hilum)).0, 200);
}

/// Nothing is ever fetched: whoever could make the server ask other servers or
/// read its files would be inside the hospital's network.
#[test]
fn sto_24_a_uri_is_a_name_and_never_fetched() {
    let hilum = Hilum::start();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let here = format!("http://{}/secret", listener.local_addr().unwrap());
    let own = format!("{}/studies", hilum.base);
    for uri in [here.as_str(), "file:///etc/passwd", own.as_str(), "/etc/passwd", "../x"] {
        let (status, module) = outcome(Body::json(&json!([image("1.2.1.1", uri)])).send_json(&hilum));
        assert_eq!((status, reasons(&module, "00081198")), (409, vec![0xC000]), "{uri}");
        assert!(!module.to_string().contains("passwd"), "{module}");
    }
    assert!(listener.accept().is_err(), "the server asked");
}

#[test]
fn sto_05_21_23_what_is_wrong_with_metadata_is_said() {
    let hilum = Hilum::start();
    problem(hilum.post("/studies", "application/dicom+json", "[{"), 400, "malformed-body");
    problem(hilum.post("/studies", "application/dicom+json", "[]"), 400, "malformed-body");
    problem(hilum.post("/studies", "application/dicom+json", ""), 400, "malformed-body");
    problem(Body::default().send_json(&hilum), 400, "malformed-body");
    for tag in ["00080016", "00080018", "0020000D", "0020000E"] {
        let mut set = data_set("1.2.1.1", &json!({}));
        set.as_object_mut().unwrap().remove(tag);
        let (status, module) =
            outcome(hilum.post("/studies", "application/dicom+json", json!([set]).to_string()));
        let found = [reasons(&module, "0008119A"), reasons(&module, "00081198")].concat();
        assert_eq!((status, found.as_slice()), (409, [0xA900].as_slice()), "{tag}: {module}");
    }
    let set = data_set("1.2.1.1", &json!({}));
    let response = hilum.post("/studies/1.9", "application/dicom+json", json!([set]).to_string());
    assert_eq!(reasons(&outcome(response).1, "00081198"), [43265]);
    // DICOM files do not belong into such a request.
    let body = Body::json(&json!([set])).part("application/dicom", None, b"DICM");
    let (status, module) = outcome(body.send_json(&hilum));
    assert_eq!((status, reasons(&module, "0008119A")), (202, vec![0xC000]));
}

#[test]
fn sto_25_frames_come_as_parts_of_one_location() {
    let hilum = Hilum::start();
    let mut set = image("1.2.1.1", "px");
    set["00280008"] = json!({ "vr": "IS", "Value": [2] });
    let body = |parts: &[[u8; 4]]| {
        parts.iter().fold(Body::json(&json!([set])), |body, pixels| {
            body.part("application/octet-stream", Some("px"), pixels)
        })
    };
    let (status, module) = outcome(body(&[[1; 4], [2; 4], [3; 4]]).send_json(&hilum));
    assert_eq!((status, reasons(&module, "00081198")), (409, vec![0xC000]));
    assert_eq!(outcome(body(&[[1; 4], [2; 4]]).send_json(&hilum)).0, 200);
    let frame =
        hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.1/frames/2", "application/octet-stream");
    assert_eq!(frame.bytes().unwrap(), vec![2; 4]);
}

#[test]
fn sto_26_a_png_is_stored_decoded_and_describes_itself() {
    let hilum = Hilum::start();
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 1, 1);
    encoder.set_color(png::ColorType::Rgba);
    encoder.write_header().unwrap().write_image_data(&[255, 128, 7, 100]).unwrap();
    let set = data_set("1.2.1.1", &json!({ "7FE00010": { "vr": "OB", "BulkDataURI": "p" } }));
    let (status, module) =
        outcome(Body::json(&json!([set])).part("image/png", Some("p"), &png).send_json(&hilum));
    assert_eq!(status, 200, "{module}");
    let metadata = &hilum.json("/studies/1.2/metadata")[0];
    for (tag, number) in [("00280010", 1), ("00280011", 1), ("00280002", 3), ("00280100", 8), ("00280006", 0)]
    {
        assert_eq!(metadata[tag]["Value"][0], number, "{tag}");
    }
    assert_eq!(text(metadata, "00280004"), "RGB");
    let frame =
        hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.1/frames/1", "application/octet-stream");
    assert_eq!(frame.bytes().unwrap(), vec![255, 128, 7]);
}

#[test]
fn sto_22_large_bulk_data_go_through_a_file() {
    let hilum = Hilum::with(|config| config.store.small_bytes_max = 1 << 20);
    let pixels: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut set = image("1.2.1.1", "px");
    set["00280010"] = json!({ "vr": "US", "Value": [3000] });
    set["00280011"] = json!({ "vr": "US", "Value": [1000] });
    let body = Body::json(&json!([set])).part("application/octet-stream", Some("px"), &pixels);
    assert_eq!(outcome(body.send_json(&hilum)).0, 200);
    let frame =
        hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.1/frames/1", "application/octet-stream");
    assert!(frame.bytes().unwrap() == pixels);
}

#[test]
fn sto_22_metadata_have_limits() {
    let hilum = Hilum::with(|config| {
        config.limits.dataset_bytes_max = 100_000;
        config.limits.part_bytes_max = 200_000;
    });
    let long = data_set("1.2.1.1", &json!({ "00104000": { "vr": "LT", "Value": ["x".repeat(100_000)] } }));
    problem(hilum.post("/studies", "application/dicom+json", long.to_string()), 413, "too-large");
    let body = Body::json(&json!([image("1.2.1.1", "a")]));
    let body = body.part("application/octet-stream", Some("a"), &vec![0; 300_000]);
    problem(body.send_json(&hilum), 413, "too-large");
    assert_eq!(hilum.json("/studies"), json!([]));
}

#[test]
fn sto_22_bombs_of_json_are_refused() {
    let hilum = Hilum::with(|config| config.limits.request_parts_max = 1000);
    let deep = "{\"00081140\":{\"vr\":\"SQ\",\"Value\":[".repeat(10_000);
    problem(hilum.post("/studies", "application/dicom+json", deep), 400, "malformed-body");
    let many = format!("[{}{{}}]", "{},".repeat(1000));
    problem(hilum.post("/studies", "application/dicom+json", many), 413, "too-large");
    assert_eq!(json_of(hilum.get("/studies").send().unwrap()), json!([]));
}

/// What came as a bulk text stayed in its character set, in a file that says UTF-8 of
/// all its text; and where that is all that is more than ASCII, the file said nothing.
#[test]
fn sto_25_bulk_texts_are_in_the_character_set_of_the_file() {
    let hilum = Hilum::start();
    let utf_8 = "é".repeat(10);
    let tests: [(&str, Option<&str>, &[u8], &str); 5] = [
        ("1.1", Some("ISO_IR 100"), &[0xE9; 10], &utf_8),
        ("1.2", Some("ISO_IR 100"), utf_8.as_bytes(), &utf_8),
        ("1.3", None, utf_8.as_bytes(), &utf_8),
        ("1.4", None, &[0xE9; 10], &utf_8),
        ("1.5", None, b"plain", "plain"),
    ];
    for (instance, character_set, bytes, text) in tests {
        let mut set = data_set(instance, &json!({ "0040A160": { "vr": "UT", "BulkDataURI": "text" } }));
        if let Some(character_set) = character_set {
            set["00080005"] = json!({ "vr": "CS", "Value": [character_set] });
        }
        let body = Body::json(&json!([set])).part("application/octet-stream", Some("text"), bytes);
        assert_eq!(body.send_json(&hilum).status(), 200, "{instance}");
        let path = format!("/studies/1.2/series/1.2.1/instances/{instance}");
        let metadata = hilum.json(&format!("{path}/metadata"));
        assert_eq!(metadata[0]["0040A160"]["Value"][0], text, "{instance}");
        let file = hilum.get_as(&path, "application/dicom").bytes().unwrap();
        let says_utf_8 = file.windows(10).any(|bytes| bytes == b"ISO_IR 192");
        assert_eq!(says_utf_8, text != "plain", "{instance}");
        assert!(file.windows(text.len()).any(|bytes| bytes == text.as_bytes()), "{instance}");
    }
}

/// A compressed icon was stored as if its code stream were plain pixels, and one that came
/// as it is given out as if the items around it were; nobody could read either.
#[test]
fn sto_25_a_compressed_icon_lies_in_items() {
    const FRAGMENT: &[u8] = b"\xFE\xFF\x00\xE0\x04\x00\x00\x00ICON\xFE\xFF\xDD\xE0";
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("variants/emri_small_jpeg_2k_lossless.dcm");
    let mut set = hilum.json(&format!("{}/metadata", stored.path))[0].take();
    let uri = set["7FE00010"]["BulkDataURI"].as_str().expect("bulk data").to_owned();
    let frames = parts(hilum.get_as(uri.strip_prefix(&hilum.base).expect("its own"), ANY));
    let icon = json!({ "00280010": { "vr": "US", "Value": [1] }, "7FE00010": { "vr": "OB", "BulkDataURI": "icon" } });
    set["00880200"] = json!({ "vr": "SQ", "Value": [icon] });
    let body = |set: &Value, icon: Option<&[u8]>, content_type: &str| {
        let location = set["00880200"]["Value"][0]["7FE00010"]["BulkDataURI"].as_str();
        let body = frames
            .iter()
            .fold(Body::json(&json!([set])), |body, (_, frame)| body.part("image/jp2", Some(&uri), frame));
        icon.into_iter().fold(body, |body, icon| body.part(content_type, location, icon))
    };
    let series = stored.path.rsplit_once('/').expect("a path").0.to_owned();
    let file = |instance: &str| {
        hilum.get_as(&format!("{series}/{instance}"), "application/dicom; transfer-syntax=*").bytes().unwrap()
    };
    let has = |file: &[u8], bytes: &[u8]| file.windows(bytes.len()).any(|found| found == bytes);
    set["00080018"]["Value"][0] = json!("2.25.1");
    assert_eq!(body(&set, Some(b"ICON"), "image/jp2").send_json(&hilum).status(), 200);
    assert!(has(&file("2.25.1"), FRAGMENT));
    // And as the archive gives it out, behind a URI and inline.
    let mut copy = hilum.json(&format!("{series}/2.25.1/metadata"))[0].take();
    copy["7FE00010"] = set["7FE00010"].clone();
    let icon =
        copy["00880200"]["Value"][0]["7FE00010"]["BulkDataURI"].as_str().expect("bulk data").to_owned();
    let icon = hilum.get_as(icon.strip_prefix(&hilum.base).expect("its own"), "application/octet-stream");
    let icon = icon.bytes().expect("bytes");
    copy["00080018"]["Value"][0] = json!("2.25.2");
    assert_eq!(body(&copy, Some(&icon), "application/octet-stream").send_json(&hilum).status(), 200);
    assert!(has(&file("2.25.2"), FRAGMENT));
    let encoded = base64::engine::general_purpose::STANDARD.encode(&icon);
    copy["00880200"]["Value"][0]["7FE00010"] = json!({ "vr": "OB", "InlineBinary": encoded });
    copy["00080018"]["Value"][0] = json!("2.25.3");
    assert_eq!(body(&copy, None, "").send_json(&hilum).status(), 200);
    assert!(has(&file("2.25.3"), FRAGMENT));
    // An image that is not compressed has no icon that is.
    let mut plain = image("2.25.4", "pixels");
    plain["00880200"] = set["00880200"].clone();
    let body = Body::json(&json!([plain]))
        .part("application/octet-stream", Some("pixels"), &[1, 2, 3, 4])
        .part("image/jp2", Some("icon"), b"ICON");
    assert_eq!(body.send_json(&hilum).status(), 409);
}

/// Doubles as JavaScript and Python write them became a DS of more than its sixteen
/// characters: a file that breaks its VR, and a warning to who had broken nothing.
#[test]
fn sto_12_a_json_number_becomes_a_ds_that_is_one() {
    let hilum = Hilum::start();
    let numbers = json!([0.300_000_000_000_000_04, -0.123_456_789_012_345_68, 1.5]);
    let set = data_set("1.1", &json!({ "00200032": { "vr": "DS", "Value": numbers } }));
    assert_eq!(Body::json(&json!([set])).send_json(&hilum).status(), 200);
    let metadata = hilum.json("/studies/1.2/series/1.2.1/instances/1.1/metadata");
    assert_eq!(metadata[0]["00200032"]["Value"], json!([0.3, -0.123_456_789_012_3, 1.5]));
    // What is text is the client's own, and is told of.
    let text = json!({ "vr": "DS", "Value": ["0.30000000000000004"] });
    let set = data_set("1.2", &json!({ "00200032": text }));
    assert_eq!(Body::json(&json!([set])).send_json(&hilum).status(), 202);
}

/// Bulk numbers that end in the middle of one became a value that other readers refuse.
#[test]
fn sto_24_bulk_numbers_are_whole() {
    let hilum = Hilum::start();
    for (instance, vr, bytes, status) in
        [("1.1", "UL", 8, 200), ("1.2", "UL", 6, 409), ("1.3", "US", 5, 409), ("1.4", "OB", 5, 200)]
    {
        let value = json!({ "00091001": { "vr": vr, "BulkDataURI": "numbers" } });
        let body = Body::json(&json!([data_set(instance, &value)]));
        let body = body.part("application/octet-stream", Some("numbers"), &vec![1; bytes]);
        assert_eq!(body.send_json(&hilum).status(), status, "{vr} {bytes}");
    }
}
