//! Whole instances: as stored, and as Explicit VR Little Endian (RET-01 to 03,
//! GEN-07, 08, IOP-13).

use std::collections::HashMap;

use dicom_object::Tag;

use super::oracle::{self, EXPLICIT, is_native};
use crate::{
    harness::{Hilum, fixture, parts},
    library::{Library, header, part_header, problem, variants},
    sample::Sample,
};

const FILES: &str = "multipart/related; type=\"application/dicom\"";

#[test]
fn ret_03_gen_07_neg_10_iop_13_what_comes_back_is_what_was_stored() {
    let library = Library::open();
    for held in &library.held {
        let syntax = oracle::declared(&held.bytes);
        let response = library.hilum.get_as(&held.stored.path, "application/dicom; transfer-syntax=*");
        assert_eq!(response.status(), 200, "{}", held.name);
        assert_eq!(
            header(&response, "content-location"),
            format!("{}{}", library.hilum.base, held.stored.path)
        );
        let sent = header(&response, "content-type");
        if [oracle::IMPLICIT, oracle::BIG_ENDIAN].contains(&syntax.as_str()) {
            // Never these on the wire, whatever was asked for (GEN-07).
            assert_eq!(sent, format!("application/dicom; transfer-syntax={EXPLICIT}"), "{}", held.name);
            continue;
        }
        assert_eq!(sent, format!("application/dicom; transfer-syntax={syntax}"), "{}", held.name);
        assert!(response.bytes().unwrap() == held.bytes, "{}: other bytes", held.name);
    }
}

#[test]
fn gen_08_neg_09_enc_1_2_uncompressed_come_as_explicit_little_endian() {
    let library = Library::open();
    let mut converted = 0;
    for held in &library.held {
        let syntax = oracle::declared(&held.bytes);
        let response = library.hilum.get_as(&held.stored.path, "application/dicom");
        if !is_native(&syntax) {
            // A video is not decoded; what is, is looked at elsewhere.
            let expected = if held.name.starts_with("media/") { response.status().as_u16() } else { 200 };
            assert_eq!(response.status(), expected, "{}", held.name);
            continue;
        }
        check_converted(&held.name, &held.bytes, &response.bytes().unwrap());
        converted += usize::from(syntax != EXPLICIT);
    }
    assert!(converted >= 4, "{converted}");
}

#[test]
fn gen_08_enc_1_2_the_same_of_every_variant() {
    let hilum = Hilum::start();
    for name in variants() {
        let file = fixture(&name);
        let stored = hilum.store_fixture(&name);
        let response = hilum.get_as(&stored.path, "application/dicom");
        if is_native(&oracle::declared(&file)) {
            assert_eq!(response.status(), 200, "{name}");
            check_converted(&name, &file, &response.bytes().unwrap());
        } else {
            assert_eq!(response.status(), 200, "{name}");
            assert_eq!(oracle::declared(&response.bytes().unwrap()), EXPLICIT, "{name}");
            let response = hilum.get_as(&stored.path, "application/dicom; transfer-syntax=*");
            assert!(response.bytes().unwrap() == file, "{name}");
        }
        // The next one may have the same UID.
        assert_eq!(hilum.delete(&stored.path).status(), 204);
    }
}

fn check_converted(name: &str, stored: &[u8], sent: &[u8]) {
    assert_eq!(oracle::declared(sent), EXPLICIT, "{name}");
    assert_eq!(&sent[128..132], b"DICM", "{name}");
    let (ours, theirs) = (oracle::open(sent), oracle::open(stored));
    let clean = |uid: &str| uid.trim_end_matches('\0').to_owned();
    // What was made anew says in both places who it is (ENC-1).
    let sop = ours.element(Tag(0x0008, 0x0018)).expect("an identity").to_str().expect("an identity");
    if oracle::declared(stored) != EXPLICIT {
        assert_eq!(clean(&ours.meta().media_storage_sop_instance_uid), clean(&sop), "{name}");
    }
    assert_eq!(oracle::frames(sent), oracle::frames(stored), "{name}");
    oracle::assert_same(name, &ours, &theirs);
    // The file reads without a complaint of its own.
    let own = oracle::own(sent);
    assert_eq!(own.transfer_syntax, EXPLICIT, "{name}");
}

#[test]
fn ret_01_02_mpr_1_to_3_iop_09_a_study_and_a_series_as_multipart() {
    let library = Library::open();
    let mut studies: HashMap<&str, Vec<&crate::library::Held>> = HashMap::new();
    for held in &library.held {
        studies.entry(&held.stored.study).or_default().push(held);
    }
    let largest = studies.values().max_by_key(|held| held.len()).unwrap();
    assert!(largest.len() > 5);
    let accept = format!("{FILES}; transfer-syntax=*");
    for path in [
        format!("/studies/{}", largest[0].stored.study),
        format!("/studies/{}/series/{}", largest[0].stored.study, largest[0].stored.series),
    ] {
        let response = library.hilum.get_as(&path, &accept);
        assert_eq!(response.status(), 200);
        let kind = header(&response, "content-type");
        assert!(kind.starts_with("multipart/related; type=\"application/dicom\"; boundary="), "{kind}");
        let length: u64 = header(&response, "content-length").parse().unwrap();
        let wanted: HashMap<String, &[u8]> = largest
            .iter()
            .filter(|held| held.stored.path.starts_with(&path))
            .map(|held| (format!("{}{}", library.hilum.base, held.stored.path), held.bytes.as_slice()))
            .collect();
        let body = library.hilum.get_as(&path, &accept).bytes().unwrap();
        assert_eq!(body.len() as u64, length);
        // No preamble: readers take the boundary from the first line (IOP-09).
        assert!(body.starts_with(b"--"));
        let found = parts(response);
        assert_eq!(found.len(), wanted.len());
        for (head, bytes) in found {
            assert!(head.starts_with("Content-Type: application/dicom; transfer-syntax="), "{head}");
            assert!(head.len() < 1000, "{head}");
            assert!(wanted[&part_header(&head, "content-location")] == bytes, "{head}");
        }
    }
}

#[test]
fn neg_07_what_cannot_be_given_is_left_out_with_206() {
    let hilum = Hilum::start();
    let compressed = |number: u32| {
        let file = Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}"));
        let pixels = [
            &[0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF][..],
            &[0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0],
            &[0xFE, 0xFF, 0x00, 0xE0, 4, 0, 0, 0, 1, 2, 3, 4],
            &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0],
        ]
        .concat();
        [file.file_as("1.2.840.10008.1.2.4.90"), pixels].concat()
    };
    let native = Sample::new("1.2", "1.2.1", "1.2.1.9").pixels(2, 2, 1).file();
    let (status, _) = crate::library::outcome(hilum.store(&[&compressed(1), &compressed(2), &native]));
    assert!(status < 300);
    let response = hilum.get_as("/studies/1.2", FILES);
    assert_eq!(response.status(), 206);
    assert!(header(&response, "warning").starts_with("299 "), "{}", header(&response, "warning"));
    assert!(header(&response, "warning").contains('2'));
    assert_eq!(parts(response).len(), 1);
    let jpeg2000 = format!("{FILES}; transfer-syntax=1.2.840.10008.1.2.4.90");
    let response = hilum.get_as("/studies/1.2", &jpeg2000);
    assert_eq!(response.status(), 200);
    assert_eq!(parts(response).len(), 3);
    let response = hilum.get_as("/studies/1.2", &format!("{jpeg2000}, {FILES}"));
    assert_eq!((response.status().as_u16(), parts(response).len()), (200, 3));
    let none = format!("{FILES}; transfer-syntax=1.2.840.10008.1.2.4.81");
    problem(hilum.get_as("/studies/1.2", &none), 406, "not-acceptable");
}

#[test]
fn ret_02_iop_30_a_series_under_another_study_is_not_found() {
    let hilum = Hilum::start();
    // The same Series Instance UID in two studies (IOP-30).
    let files = [Sample::new("1.2", "1.5", "1.2.1").file(), Sample::new("1.3", "1.5", "1.3.1").file()];
    assert_eq!(hilum.store(&[&files[0], &files[1]]).status(), 200);
    let accept = format!("{FILES}; transfer-syntax=*");
    for (study, file) in [("1.2", &files[0]), ("1.3", &files[1])] {
        let found = parts(hilum.get_as(&format!("/studies/{study}/series/1.5"), &accept));
        assert_eq!(found.len(), 1);
        assert!(&found[0].1 == file);
    }
    for path in ["/studies/1.4", "/studies/1.2/series/1.3", "/studies/1.2/series/1.5/instances/1.3.1"] {
        for resource in ["", "/metadata", "/bulkdata"] {
            problem(hilum.get(&format!("{path}{resource}")).send().unwrap(), 404, "not-found");
        }
    }
    problem(hilum.get("/studies/1.2/series/1.5/instances/1.3.1/frames/1").send().unwrap(), 404, "not-found");
}

#[test]
fn ret_01_bulk_data_in_place_of_files() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    for path in [format!("/studies/{}", stored.study), stored.path.clone()] {
        let response = hilum.get_as(&path, "multipart/related; type=\"application/octet-stream\"");
        assert_eq!(response.status(), 200, "{path}");
        let pixels = parts(response);
        let location = format!("{}{}/bulkdata/7FE00010", hilum.base, stored.path);
        let (head, bytes) = pixels
            .iter()
            .find(|(head, _)| part_header(head, "content-location") == location)
            .expect("pixel data");
        assert!(head.contains("application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"), "{head}");
        assert_eq!(bytes, &oracle::frames(&fixture("CT_small.dcm"))[0]);
    }
}

/// Reports of archives that name the Transfer Syntax of the images beside them
/// have no pixels that would have to be decoded: 406 for "application/dicom".
#[test]
fn gen_08_what_has_no_pixels_is_explicit_little_endian_for_who_wants_that() {
    let hilum = Hilum::start();
    let sample = Sample::new("1.2", "1.2.1", "1.2.1.1")
        .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.88.11")
        .text(0x0010_0010, "PN", "Doe^John");
    let jpeg = "1.2.840.10008.1.2.4.50";
    hilum.must_store(&[&sample.file_as(jpeg)]);
    let path = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
    let uri =
        "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.2.1&objectUID=1.2.1.1&contentType=application/dicom";
    for (path, accept) in [(path, "application/dicom"), (uri, "*/*")] {
        let answer = hilum.get_as(path, accept);
        assert_eq!(answer.status(), 200, "{path}");
        let file = answer.bytes().unwrap();
        assert_eq!(oracle::declared(&file), EXPLICIT);
        assert!(file.ends_with(&sample.data_set()));
    }
    for accept in
        ["application/dicom; transfer-syntax=*", &format!("application/dicom; transfer-syntax={jpeg}")]
    {
        assert_eq!(oracle::declared(&hilum.get_as(path, accept).bytes().unwrap()), jpeg);
    }
}
