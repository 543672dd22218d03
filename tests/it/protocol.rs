//! Rules that hold for every service: the protocol (GEN), parameters, values in
//! JSON and character sets that no single service owns.

use serde_json::{Value, json};

use crate::{
    harness::{Hilum, parts},
    library::{Library, header, names, part_header, problem, text},
    sample::Sample,
};

const PATH: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.1";

fn one(sample: &Sample) -> Hilum {
    let hilum = Hilum::start();
    assert!(hilum.store(&[&sample.file()]).status().is_success());
    hilum
}

fn sample() -> Sample {
    Sample::new("1.2", "1.2.1", "1.2.1.1")
}

/// Who speaks HTTP/1.0 knows no chunks: the answer ends with the connection.
#[test]
fn gen_01_an_old_client_gets_a_whole_answer() {
    let hilum = one(&sample().pixels(8, 8, 2));
    for path in ["/studies", "/studies/1.2/metadata", "/studies/1.2", &format!("{PATH}/frames/1")] {
        let answer = hilum.raw(format!("GET /dicomweb{path} HTTP/1.0\r\nHost: a\r\n\r\n").as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer}"));
        assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{path}: {head}");
        assert!(!body.is_empty(), "{path}");
        if path.ends_with("metadata") || path == "/studies" {
            let sets: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(sets.as_array().map(Vec::len), Some(1), "{path}");
        }
    }
}

#[test]
fn gen_04_names_of_parameters_have_their_case() {
    let hilum = one(&sample().text(0x0010_0020, "LO", "A"));
    for (query, found) in [
        ("", 1),
        ("?", 1),
        ("?&", 1),
        ("?PatientID=A", 1),
        ("?PatientID=B", 0),
        // Not that parameter: ignored, and said.
        ("?patientid=B", 1),
        ("?PATIENTID=B", 1),
        ("?LIMIT=0", 1),
        ("?Offset=7", 1),
    ] {
        let response = hilum.get(&format!("/studies{query}")).send().unwrap();
        assert_eq!(response.status(), 200, "{query}");
        let is_said =
            header(&response, "warning").contains(query.trim_start_matches('?').split('=').next().unwrap());
        assert!(is_said || !query.contains('=') || query.starts_with("?PatientID"), "{query}");
        let sets: Value = crate::library::json_of(response);
        assert_eq!(sets.as_array().map(Vec::len), Some(found), "{query}");
    }
}

/// The character set is of the encoding: asked for, it is no filter.
#[test]
fn qry_33_the_character_set_is_no_key() {
    let hilum = one(&sample().text(0x0008_0005, "CS", "ISO_IR 100").text(0x0010_0010, "PN", "A"));
    for path in ["/studies", "/series", "/instances"] {
        let path = format!("{path}?SpecificCharacterSet=ISO_IR%20192&PatientName=A");
        assert_eq!(hilum.json(&path).as_array().map(Vec::len), Some(1), "{path}");
    }
}

#[test]
fn jsn_21_dates_and_times_stay_as_dicom_writes_them() {
    let hilum = one(&sample()
        .text(0x0008_0020, "DA", "20240131")
        .text(0x0008_0030, "TM", "101500.123")
        .text(0x0008_002A, "DT", "20240131101500.5+0100")
        .text(0x0010_0032, "TM", "10")
        .text(0x0010_1010, "AS", "042Y"));
    let set = &hilum.json("/studies/1.2/metadata")[0];
    for (tag, expected) in [
        ("00080020", "20240131"),
        ("00080030", "101500.123"),
        ("0008002A", "20240131101500.5+0100"),
        ("00100032", "10"),
        ("00101010", "042Y"),
    ] {
        assert_eq!(text(set, tag), expected, "{tag}");
    }
    let found = &hilum.json("/studies")[0];
    assert_eq!((text(found, "00080020"), text(found, "00080030")), ("20240131", "101500.123"));
}

/// UIDs with the padding of other makers, dates and times of ACR-NEMA.
#[test]
fn enc_6_padding_and_legacy_dates_do_not_hide_an_instance() {
    let hilum = one(&sample()
        .bytes(0x0020_000D, "UI", b"1.2 ".to_vec())
        .bytes(0x0020_000E, "UI", b"1.2.1\0\0\0".to_vec())
        .text(0x0008_0020, "DA", "2024.01.31")
        .text(0x0008_0030, "TM", "10:15:00"));
    assert_eq!(hilum.get(PATH).send().unwrap().status(), 200);
    for query in [
        "StudyInstanceUID=1.2",
        "StudyInstanceUID=1.2%20",
        "StudyDate=20240131",
        "StudyDate=20240101-20240201",
        "StudyTime=1015",
        "StudyTime=1000-1100",
        "StudyDate=20240131-&StudyTime=1014-",
    ] {
        let found = hilum.json(&format!("/studies?{query}"));
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{query}");
    }
    assert_eq!(hilum.json("/studies?StudyDate=20240201-"), json!([]));
}

#[test]
fn mpr_6_no_multipart_answer_is_empty() {
    let hilum = one(&sample());
    for path in ["/studies/1.2/bulkdata", "/studies/1.2/series/1.2.1/bulkdata", &format!("{PATH}/bulkdata")] {
        problem(hilum.get(path).send().unwrap(), 404, "not-found");
    }
}

/// Viewers go through the per-frame groups by the number of the frame.
#[test]
fn iop_27_functional_groups_are_whole_and_in_order() {
    const MANY: u16 = 700;
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("liver.dcm");
    let set = &hilum.json(&format!("{}/metadata", stored.path))[0];
    assert_eq!(set["52009229"]["Value"].as_array().map(Vec::len), Some(1));
    assert_eq!(set["52009230"]["Value"].as_array().map(Vec::len), Some(3));
    // However many they are, they are in line.
    let position = |number: u16| {
        let position = Sample::empty().text(0x0020_0032, "DS", &format!("0\\0\\{number}"));
        Sample::empty().items(0x0020_9113, &[position])
    };
    let groups: Vec<Sample> = (0..MANY).map(position).collect();
    let file = sample().text(0x0028_0008, "IS", &MANY.to_string()).items(0x5200_9230, &groups).file();
    assert!(hilum.store(&[&file]).status().is_success());
    let set = &hilum.json("/studies/1.2/metadata")[0];
    let found = set["52009230"]["Value"].as_array().expect("in line");
    let positions = found.iter().map(|group| &group["00209113"]["Value"][0]["00200032"]["Value"][2]);
    let positions: Vec<u64> = positions.map(|z| z.as_u64().expect("a number")).collect();
    assert_eq!(positions, (0..u64::from(MANY)).collect::<Vec<_>>());
}

/// Names of media types that were never registered, or no longer are.
#[test]
fn neg_12_legacy_names_of_media_types() {
    let hilum = Hilum::start();
    for (name, alias, syntax) in [
        ("variants/MR_small_RLE.dcm", "image/x-dicom-rle", "1.2.840.10008.1.2.5"),
        ("variants/MR_small_jpeg_ls_lossless.dcm", "image/x-jls", "1.2.840.10008.1.2.4.80"),
        ("variants/SC_rgb_jpeg_gdcm.dcm", "image/jll", "1.2.840.10008.1.2.4.70"),
    ] {
        let stored = hilum.store_fixture(name);
        let path = format!("{}/frames/1", stored.path);
        let single = hilum.get_as(&path, alias);
        assert_eq!(header(&single, "content-type"), format!("{alias}; transfer-syntax={syntax}"), "{name}");
        let found = parts(hilum.get_as(&path, &format!("multipart/related; type=\"{alias}\"")));
        assert!(part_header(&found[0].0, "content-type").starts_with(alias), "{name}");
        assert!(found[0].1 == single.bytes().unwrap(), "{name}");
        assert_eq!(hilum.delete(&stored.path).status(), 204);
    }
    for path in ["/studies", "/series", "/instances"] {
        let response = hilum.get_as(path, "application/json");
        assert_eq!(header(&response, "content-type"), "application/dicom+json");
    }
}

#[test]
fn neg_14_a_transfer_syntax_of_json_says_nothing() {
    let hilum = one(&sample());
    for accept in [
        "application/dicom+json; transfer-syntax=1.2.840.10008.1.2.4.50",
        "application/dicom+json; transfer-syntax=*",
        "application/dicom+json; transfer-syntax=nonsense; q=0.3",
    ] {
        for path in ["/studies", "/studies/1.2/metadata"] {
            let response = hilum.get_as(path, accept);
            assert_eq!(response.status(), 200, "{accept}");
            assert_eq!(header(&response, "content-type"), "application/dicom+json", "{accept}");
        }
    }
}

/// Whatever a file was written in, JSON is UTF-8 and says so.
#[test]
fn chs_2_3_iop_25_every_character_set_becomes_utf_8() {
    let library = Library::of(&names(&["charset"]));
    let mut scripts = std::collections::BTreeSet::new();
    for held in &library.held {
        for path in [
            format!("{}/metadata", held.stored.path),
            format!("/studies?StudyInstanceUID={}", held.stored.study),
        ] {
            let set = &library.hilum.json(&path)[0];
            let name = set["00100010"]["Value"].to_string();
            assert!(!name.contains('\u{FFFD}') && !name.contains('\u{1B}'), "{}: {name}", held.name);
            if set.get("00080005").is_some() || path.ends_with("metadata") {
                assert_eq!(text(set, "00080005"), "ISO_IR 192", "{}", held.name);
            }
            scripts.extend(name.chars().filter(|c| !c.is_ascii()).map(|c| u32::from(c) >> 8));
        }
    }
    // Latin-1, Greek, Cyrillic, Hebrew, Arabic, kana, Han, Hangul and half-width katakana.
    for block in [0x00, 0x03, 0x04, 0x05, 0x06, 0x30, 0x5C, 0xFF] {
        assert!(scripts.contains(&block), "{block:02X}: {scripts:02X?}");
    }
    assert!(scripts.iter().any(|block| (0xAC..=0xD7).contains(block)), "Hangul: {scripts:02X?}");
}
