//! Bulk data (RET-06, 07, JSN-14 to 17, IOP-18).

use std::collections::BTreeSet;

use dicom_object::Tag;

use super::oracle;
use crate::{
    harness::{Hilum, fixture, parts},
    library::{Library, bulk_uris, header, part_header, problem},
    sample::Sample,
};

const ANY: &str = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";

/// Every BulkDataURI of the metadata can be followed, is among the instance's
/// bulk data, and the other way round.
#[test]
fn ret_06_07_jsn_16_17_iop_17_every_uri_of_the_metadata_leads_somewhere() {
    let library = Library::open();
    let hilum = &library.hilum;
    let mut followed = 0;
    for held in &library.held {
        let metadata = hilum.json(&format!("{}/metadata", held.stored.path));
        let mut uris = Vec::new();
        bulk_uris(&metadata, &mut uris);
        let prefix = format!("{}{}/bulkdata/", hilum.base, held.stored.path);
        let all = hilum.get_as(&format!("{}/bulkdata", held.stored.path), ANY);
        if uris.is_empty() {
            problem(all, 404, "not-found");
            continue;
        }
        let all = parts(all);
        for uri in &uris {
            assert!(uri.starts_with(&prefix), "{uri}");
            let response = hilum.get_as(uri.strip_prefix(&hilum.base).unwrap(), ANY);
            assert_eq!(response.status(), 200, "{}: {uri}", held.name);
            let found = parts(response);
            assert!(!found.is_empty(), "{}: {uri}", held.name);
            let bytes: Vec<&Vec<u8>> = found.iter().map(|(_, bytes)| bytes).collect();
            let same: Vec<&Vec<u8>> = all
                .iter()
                .filter(|(head, _)| part_header(head, "content-location") == *uri)
                .map(|(_, bytes)| bytes)
                .collect();
            assert!(bytes == same, "{}: {uri}", held.name);
            assert!(bytes.iter().all(|bytes| !bytes.is_empty()), "{}: {uri}", held.name);
            followed += 1;
        }
        let locations: BTreeSet<String> =
            all.iter().map(|(head, _)| part_header(head, "content-location")).collect();
        assert_eq!(locations, uris.into_iter().collect(), "{}", held.name);
    }
    assert!(followed > 60, "{followed}");
}

#[test]
fn ret_06_jsn_14_values_are_little_endian_whatever_the_file_is() {
    let hilum = Hilum::start();
    for name in
        ["ExplVR_BigEnd.dcm", "image_dfl.dcm", "rtdose.dcm", "waveform_ecg.dcm", "examples_palette.dcm"]
    {
        let stored = hilum.store_fixture(name);
        let object = oracle::open(&fixture(name));
        let metadata = hilum.json(&format!("{}/metadata", stored.path));
        let mut top = 0;
        for (tag, element) in metadata[0].as_object().unwrap() {
            let Some(uri) = element["BulkDataURI"].as_str() else { continue };
            let part = |range| u16::from_str_radix(&tag[range], 16).unwrap();
            let theirs = object.element(Tag(part(0..4), part(4..8))).unwrap().to_bytes().unwrap();
            let ours = hilum.get_as(uri.strip_prefix(&hilum.base).unwrap(), "application/octet-stream");
            assert_eq!(ours.status(), 200, "{name} {tag}");
            assert!(ours.bytes().unwrap() == *theirs, "{name} {tag}");
            top += 1;
        }
        assert!(top > 0 || name == "waveform_ecg.dcm", "{name}");
    }
}

#[test]
fn blk_3_iop_18_accept_decides_between_one_part_and_many() {
    let hilum = Hilum::start();
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1")
        .text(0x0042_0010, "ST", "Title")
        .text(0x0042_0012, "LO", "application/pdf")
        .bytes(0x0042_0011, "OB", b"%PDF-1.7 ".repeat(400))
        .file();
    assert!(hilum.store(&[&file]).status().is_success());
    let uri = "/studies/1.2/series/1.2.1/instances/1.2.1.1/bulkdata/00420011";
    let document = b"%PDF-1.7 ".repeat(400);
    // V27
    for (accept, kind) in [
        ("application/pdf", "application/pdf"),
        ("application/octet-stream", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"),
    ] {
        let response = hilum.get_as(uri, accept);
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, kind.to_owned()));
        assert_eq!(header(&response, "accept-ranges"), "bytes");
        assert_eq!(response.bytes().unwrap(), document);
    }
    for accept in [
        "*/*",
        "multipart/related; type=\"application/octet-stream\"",
        "multipart/related; type=\"application/pdf\"",
        "multipart/related",
        "multipart/*",
    ] {
        let response = hilum.get_as(uri, accept);
        assert!(header(&response, "content-type").starts_with("multipart/related; type="), "{accept}");
        assert_eq!(parts(response)[0].1, document, "{accept}");
    }
    problem(hilum.get_as(uri, "image/png"), 406, "not-acceptable");
    problem(hilum.get_as(uri, "application/dicom"), 406, "not-acceptable");
}

#[test]
fn ret_06_a_value_in_a_sequence_has_a_uri_too() {
    let hilum = Hilum::start();
    let blob: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let inner = Sample::empty().bytes(0x5400_1010, "OW", blob.clone());
    let empty = Sample::empty().text(0x0040_A0B0, "US", "");
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1").items(0x5400_0100, &[empty, inner]).file();
    assert!(hilum.store(&[&file]).status().is_success());
    let metadata = hilum.json("/studies/1.2/metadata");
    let mut uris = Vec::new();
    bulk_uris(&metadata, &mut uris);
    assert_eq!(uris.len(), 1, "{metadata}");
    let response = hilum.get_as(uris[0].strip_prefix(&hilum.base).unwrap(), "application/octet-stream");
    assert_eq!(response.bytes().unwrap(), blob);
}

#[test]
fn ret_06_what_is_no_bulk_data_is_not_found() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    for name in ["00100010", "7FE00011", "abc", "7FE0001", "..7FE00010", "00400275.0.00100010", "%00"] {
        let status = hilum.get_as(&format!("{}/bulkdata/{name}", stored.path), "*/*").status().as_u16();
        assert!(matches!(status, 400 | 404), "{name}: {status}");
    }
}

/// The words of a big endian value are as wide as its own item says: those of an icon
/// were taken to be as wide as those of the image around it, in its bulk data and in the
/// file that is converted.
#[test]
fn ret_06_jsn_14_an_icon_has_words_of_its_own() {
    let hilum = Hilum::start();
    let pixels: Vec<u8> = (0..64 * 64).map(|at: u16| at.to_le_bytes()[0]).collect();
    let icon = Sample::empty().pixels(64, 64, 1).bytes(0x7FE0_0010, "OB", pixels.clone());
    let wide = Sample::empty().number(0x0028_0100, 8).bytes(0x7FE0_0010, "OW", pixels.clone());
    let image = Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(4, 8, 1).number(0x0028_0100, 16);
    let image = image.bytes(0x7FE0_0010, "OW", vec![1; 64]);
    let deep = Sample::new("1.2", "1.2.1", "1.2.1.2").pixels(4, 8, 1).number(0x0028_0100, 32);
    let deep = deep.bytes(0x7FE0_0010, "OF", vec![1; 128]);
    for (image, icon, instance) in [(image, icon, "1.2.1.1"), (deep, wide, "1.2.1.2")] {
        let file = image.item_in_big_endian(0x0088_0200, &icon).big_endian();
        assert!(hilum.store(&[&file]).status().is_success());
        let path = format!("/studies/1.2/series/1.2.1/instances/{instance}");
        let uri = format!("{path}/bulkdata/00880200.1.7FE00010");
        let bulk = hilum.get_as(&uri, "application/octet-stream").bytes().unwrap();
        assert!(bulk == pixels, "{instance}");
        let converted = hilum.get_as(&path, "application/dicom").bytes().unwrap();
        assert!(memchr::memmem::find(&converted, &pixels).is_some(), "{instance}");
    }
}

/// A report whose text is too long for the metadata came behind its URI in the character
/// set of the file, while the metadata say that all text is UTF-8: whoever read it so had
/// other letters, and an instance that was stored from both said UTF-8 of Latin 1.
#[test]
fn ret_06_jsn_20_a_long_text_is_utf_8_as_the_metadata_say() {
    let hilum = Hilum::start();
    let long = |text: &[u8]| text.repeat(70_000);
    for (number, (character_set, bytes, letter)) in [
        ("ISO_IR 100", &b"\xE9"[..], "é"),
        ("ISO_IR 144", b"\xBB", "Л"),
        ("GB18030", b"\xCD\xF5", "王"),
        ("\\ISO 2022 IR 87", b"\x1B$B;3\x1B(B", "山"),
        ("ISO_IR 192", "é".as_bytes(), "é"),
    ]
    .into_iter()
    .enumerate()
    {
        let instance = format!("1.2.1.{}", number + 1);
        let item =
            || Sample::empty().text(0x0009_0010, "LO", "CREATOR").bytes(0x0009_1001, "UT", long(bytes));
        let sample = Sample::new("1.2", "1.2.1", &instance)
            .text(0x0008_0005, "CS", character_set)
            .bytes(0x0040_A160, "UT", long(bytes))
            .items(0x0040_A730, &[item(), item()]);
        hilum.must_store(&[&sample.file()]);
        let mut uris = Vec::new();
        bulk_uris(
            &hilum.json(&format!("/studies/1.2/series/1.2.1/instances/{instance}/metadata")),
            &mut uris,
        );
        assert_eq!(uris.len(), 3);
        for uri in uris {
            let path = uri.strip_prefix(&hilum.base).unwrap();
            let answer = hilum.get_as(path, "application/octet-stream");
            assert_eq!(answer.status(), 200);
            let text = String::from_utf8(answer.bytes().unwrap().to_vec()).expect("UTF-8");
            assert_eq!(text.trim_end(), letter.repeat(70_000), "{character_set}");
            let part =
                hilum.get(path).header("Accept", "application/octet-stream").header("Range", "bytes=0-5");
            assert_eq!(part.send().unwrap().bytes().unwrap(), text.as_bytes()[..6], "{character_set}");
        }
    }
}
