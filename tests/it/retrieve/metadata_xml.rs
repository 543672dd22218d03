//! Metadata as XML (V17, XML-1 to 4): every fixture against its JSON, and the
//! shape of the answer.

use serde_json::Value;

use crate::{
    harness::{Hilum, parts},
    library::{Library, header, part_header, problem},
    sample::Sample,
};

const XML: &str = "multipart/related; type=\"application/dicom+xml\"";

/// What differs between the two models: private blocks are told apart by their
/// creators, and XML has no trailing empty components and no control characters.
fn comparable(set: &Value) -> Value {
    let text = set.to_string().replace(r"\u001B", "\u{FFFD}").replace(r"\u001b", "\u{FFFD}");
    let mut set: Value = serde_json::from_str(&text).expect("JSON");
    normalise(&mut set);
    set
}

fn normalise(set: &mut Value) {
    let Value::Object(members) = set else { return };
    let odd = |tag: &str| u16::from_str_radix(&tag[..4], 16).is_ok_and(|group| group % 2 == 1);
    let private: Vec<(String, Value)> =
        members.iter().filter(|(tag, _)| odd(tag)).map(|(tag, value)| (tag.clone(), value.clone())).collect();
    members.retain(|tag, _| !odd(tag));
    for (tag, value) in &private {
        let creator = format!("{}00{}", &tag[..4], &tag[4..6]);
        let creator = private.iter().find(|(other, _)| *other == creator);
        match creator.and_then(|(_, creator)| creator["Value"][0].as_str()) {
            Some(creator) => {
                drop(members.insert(format!("{} {creator} {}", &tag[..4], &tag[6..]), value.clone()));
            }
            None if tag[4..].starts_with("00") => {}
            None => drop(members.insert(tag.clone(), value.clone())),
        }
    }
    for attribute in members.values_mut() {
        let is_name = attribute["vr"] == "PN";
        for value in attribute["Value"].as_array_mut().into_iter().flatten() {
            if !is_name {
                normalise(value);
            } else if let Some(groups) = value.as_object_mut() {
                for group in groups.values_mut() {
                    *group = group.as_str().expect("a text").trim_end_matches('^').into();
                }
                groups.retain(|_, group| group != "");
                if groups.is_empty() {
                    *value = Value::Null;
                }
            }
        }
        if attribute["Value"].is_null() || attribute["Value"] == serde_json::json!([null]) {
            attribute.as_object_mut().expect("an attribute").remove("Value");
        }
    }
}

fn json_of(document: &[u8]) -> Value {
    let set = hilum::dicom::xml::read(document, hilum::dicom::xml::Limits::default()).expect("a document");
    let mut text = Vec::new();
    hilum::dicom::json::write(&set, &mut text);
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn v17_xml_1_to_3_every_fixture_says_the_same_in_xml() {
    let library = Library::open();
    for held in &library.held {
        let path = format!("{}/metadata", held.stored.path);
        let response = library.hilum.get_as(&path, XML);
        assert_eq!(response.status(), 200, "{}", held.name);
        let found = parts(response);
        assert_eq!(found.len(), 1, "{}", held.name);
        let (head, document) = &found[0];
        assert_eq!(part_header(head, "Content-Type"), "application/dicom+xml");
        assert_eq!(part_header(head, "Content-Location"), format!("{}{path}", library.hilum.base));
        let expected = library.hilum.json(&path);
        assert_eq!(comparable(&json_of(document)), comparable(&expected[0]), "{}", held.name);
        // One item may be a single part.
        let single = library.hilum.get_as(&path, "application/dicom+xml");
        assert_eq!(header(&single, "content-type"), "application/dicom+xml");
        assert_eq!(single.bytes().unwrap(), document.as_slice(), "{}", held.name);
    }
}

#[test]
fn v17_ret_04_a_part_for_each_instance_of_a_study() {
    let hilum = Hilum::start();
    // More than one chunk's worth.
    let files: Vec<Vec<u8>> = (0..60)
        .map(|number| {
            Sample::new("1.2", &format!("1.2.{}", number % 3), &format!("1.2.{}.{number}", number % 3))
                .text(0x0010_4000, "LT", &"long \u{1}comment ".repeat(600))
                .pixels(2, 2, 1)
                .file()
        })
        .collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    // A control character in a text is told, and stored.
    assert_eq!(hilum.store(&files).status(), 202);
    for (path, count) in [("/studies/1.2", 60), ("/studies/1.2/series/1.2.1", 20)] {
        let response = hilum.get_as(&format!("{path}/metadata"), XML);
        assert!(header(&response, "content-type").starts_with(&format!("{XML}; boundary=")));
        let found = parts(response);
        assert_eq!(found.len(), count, "{path}");
        let json = hilum.json(&format!("{path}/metadata"));
        for ((head, document), expected) in found.iter().zip(json.as_array().unwrap()) {
            let uid = |tag: &str| expected[tag]["Value"][0].as_str().unwrap();
            let url = format!(
                "{}/studies/1.2/series/{}/instances/{}",
                hilum.base,
                uid("0020000E"),
                uid("00080018")
            );
            assert_eq!(part_header(head, "Content-Location"), format!("{url}/metadata"));
            let text = String::from_utf8_lossy(document);
            assert!(text.contains(&format!("<BulkData uri=\"{url}/bulkdata/7FE00010\"/>")), "{text}");
        }
        // Compressed on the way, the same again.
        let request = hilum.get(&format!("{path}/metadata")).header("Accept", XML);
        let response = request.header("Accept-Encoding", "gzip").send().unwrap();
        assert_eq!(header(&response, "content-encoding"), "gzip");
        let mut inflated = Vec::new();
        let body = response.bytes().unwrap();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&body[..]), &mut inflated).unwrap();
        assert_eq!(memchr::memmem::find_iter(&inflated, b"<NativeDicomModel").count(), count);
    }
    // A single part is for a single item (NEG-06).
    problem(hilum.get_as("/studies/1.2/metadata", "application/dicom+xml"), 406, "not-acceptable");
    problem(hilum.get_as("/studies/9/metadata", XML), 404, "not-found");
}
