//! Zip files of instances, series, studies and lists, and of media with a
//! DICOMDIR (PS3.10 section 8, PS3.3 Annex F).

use std::io::{Cursor, Read};

use ::zip::ZipArchive;
use dicom_object::{InMemDicomObject, Tag};
use reqwest::{Method, blocking::Response};

use super::oracle;
use crate::{
    harness::{Hilum, fixture},
    library::{Held, Library, header, names, problem},
    sample::Sample,
};

const ZIP: &str = "application/zip";

/// Names and bytes, after another reader has checked every checksum.
fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).expect("a zip file");
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).expect("an entry");
            let mut data = Vec::new();
            entry.read_to_end(&mut data).expect("the checksum fits");
            assert!(entry.enclosed_name().is_some(), "{:?} leaves its folder", entry.name());
            (entry.name().expect("ASCII").into_owned(), data)
        })
        .collect()
}

fn zip_of(response: Response, status: u16) -> Vec<(String, Vec<u8>)> {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(header(&response, "content-type"), ZIP);
    let length: usize = header(&response, "content-length").parse().unwrap();
    let body = response.bytes().unwrap();
    assert_eq!(body.len(), length);
    entries(&body)
}

fn name(held: &Held) -> String {
    format!("{}/{}/{}.dcm", held.stored.study, held.stored.series, held.stored.instance)
}

#[test]
fn every_study_series_and_instance_as_it_is_stored() {
    let library = Library::open();
    for held in &library.held {
        let path = &held.stored.path;
        let one = library.hilum.get_as(path, ZIP);
        assert_eq!(
            header(&one, "content-disposition"),
            format!("attachment; filename=\"{}.zip\"", held.stored.instance)
        );
        assert_eq!(header(&one, "content-location"), format!("{}{path}", library.hilum.base));
        // Byte for byte, Implicit VR and all: nothing asked for another form.
        assert!(zip_of(one, 200) == [(name(held), held.bytes.clone())], "{}", held.name);
        for scope in [path.split("/series/").next().unwrap(), path.split("/instances/").next().unwrap()] {
            let found = zip_of(library.hilum.get_as(&format!("{scope}?accept=application/zip"), "*/*"), 200);
            let mut expected: Vec<(String, Vec<u8>)> = library
                .held
                .iter()
                .filter(|other| other.stored.path.starts_with(&format!("{scope}/")))
                .map(|other| (name(other), other.bytes.clone()))
                .collect();
            expected.sort();
            let mut sorted = found.clone();
            sorted.sort();
            assert!(sorted == expected, "{scope}");
        }
    }
}

#[test]
fn who_takes_anything_gets_no_zip_file() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    let study = format!("/studies/{}", stored.study);
    for accept in [
        "*/*",
        "multipart/related; type=\"application/dicom\", application/zip;q=0.5",
        "multipart/related; type=\"application/dicom\", application/zip;q=0",
        "application/*, multipart/related; type=application/dicom",
    ] {
        let kind = header(&hilum.get_as(&study, accept), "content-type");
        assert!(kind.starts_with("multipart/related"), "{accept}: {kind}");
    }
    for accept in ["application/zip", "application/zip, */*", "text/html, Application/Zip;q=0.3, */*;q=0.1"] {
        assert_eq!(header(&hilum.get_as(&study, accept), "content-type"), ZIP, "{accept}");
    }
    problem(hilum.get_as("/studies/1.2.3", ZIP), 404, "not-found");
    problem(hilum.get_as(&format!("{study}/metadata"), ZIP), 406, "not-acceptable");
}

/// The length is known, so a download goes on where it broke off.
#[test]
fn rng_1_ranges_of_a_zip_file_fit_together() {
    let library = Library::of(&names(&["media"]));
    let scope = format!("/studies/{}", library.held[0].stored.study);
    for query in ["", "?dicomdir=true"] {
        let path = format!("{scope}{query}");
        let whole = library.hilum.get_as(&path, ZIP);
        let (etag, length) = (header(&whole, "etag"), header(&whole, "content-length"));
        assert_eq!(header(&whole, "accept-ranges"), "bytes");
        let whole = whole.bytes().unwrap();
        let mut together = Vec::new();
        for start in (0..whole.len()).step_by(5000) {
            let request = library.hilum.get(&path).header("Accept", ZIP).header("If-Range", &etag);
            let part = request.header("Range", format!("bytes={start}-{}", start + 4999)).send().unwrap();
            assert_eq!(part.status(), 206);
            together.extend(part.bytes().unwrap());
        }
        assert!(together == whole);
        let head = library.hilum.request(Method::HEAD, &path).header("Accept", ZIP).send().unwrap();
        assert_eq!((header(&head, "content-length"), header(&head, "etag")), (length, etag.clone()));
        let again = library.hilum.get(&path).header("Accept", ZIP).header("If-None-Match", &etag);
        assert_eq!(again.send().unwrap().status(), 304);
    }
}

/// By the parameter of the media type, as elsewhere.
#[test]
fn a_transfer_syntax_can_be_asked_for() {
    let library = Library::of(
        &["rtdose.dcm", "ExplVR_BigEnd.dcm", "image_dfl.dcm", "CT_small.dcm", "693_J2KI.dcm"]
            .map(str::to_owned),
    );
    let syntaxes = |accept: &str, held: &Held| -> Vec<String> {
        let found = library.hilum.get_as(&held.stored.path, accept);
        if found.status() == 406 {
            return Vec::new();
        }
        zip_of(found, 200).iter().map(|(_, bytes)| oracle::declared(bytes)).collect()
    };
    for held in &library.held {
        let own = oracle::declared(&held.bytes);
        assert_eq!(syntaxes(ZIP, held), [own.as_str()], "{}", held.name);
        let barred = [oracle::IMPLICIT, oracle::BIG_ENDIAN].contains(&own.as_str());
        let any = if barred { oracle::EXPLICIT } else { own.as_str() };
        assert_eq!(syntaxes("application/zip; transfer-syntax=*", held), [any], "{}", held.name);
        let plain = syntaxes("application/zip; transfer-syntax=1.2.840.10008.1.2.1", held);
        if oracle::is_native(&own) {
            assert_eq!(plain, [oracle::EXPLICIT], "{}", held.name);
        } else {
            assert!(plain.is_empty(), "{}", held.name);
        }
    }
}

#[test]
fn neg_07_what_cannot_be_given_is_left_out_and_said() {
    let hilum = Hilum::start();
    let native = Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(2, 2, 1).file();
    let coded = Sample::new("1.2", "1.2.1", "1.2.1.2").encapsulated("1.2.840.10008.1.2.4.90", &[&[1, 2]]);
    assert!(hilum.store(&[&native, &coded]).status().is_success());
    let plain = hilum.get_as("/studies/1.2", "application/zip; transfer-syntax=1.2.840.10008.1.2.1");
    assert!(header(&plain, "warning").contains("1 items cannot be given"));
    assert!(zip_of(plain, 206) == [("1.2/1.2.1/1.2.1.1.dcm".to_owned(), native)]);
    let none = "application/zip; transfer-syntax=1.2.840.10008.1.2.4.80";
    problem(hilum.get_as("/studies/1.2", none), 406, "not-acceptable");
}

#[test]
fn a_list_by_uids_and_by_resources() {
    let hilum = Hilum::start();
    let files: Vec<Vec<u8>> = ["1.2/1.2.1/1", "1.2/1.2.1/2", "1.2/1.2.2/3", "1.3/1.3.1/4", "1.4/1.4.1/5"]
        .iter()
        .map(|path| {
            let uids: Vec<&str> = path.split('/').collect();
            Sample::new(uids[0], uids[1], uids[2]).file()
        })
        .collect();
    let stored: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&stored).status(), 200);
    let held = |found: Vec<(String, Vec<u8>)>| -> Vec<char> {
        let mut held: Vec<char> =
            found.iter().map(|(name, _)| name.trim_end_matches(".dcm").chars().last().unwrap()).collect();
        held.sort_unstable();
        held
    };
    let url = format!("{}/studies/1.4/series/1.4.1", hilum.base);
    for (query, expected) in [
        ("StudyInstanceUID=1.2".to_owned(), "123"),
        ("StudyInstanceUID=1.2,1.3".to_owned(), "1234"),
        ("StudyInstanceUID=1.2&StudyInstanceUID=1.4".to_owned(), "1235"),
        ("StudyInstanceUID=1.2%5C1.3".to_owned(), "1234"),
        ("StudyInstanceUID=1.2,1.3&SeriesInstanceUID=1.2.2".to_owned(), "3"),
        ("StudyInstanceUID=1.2,1.3&SeriesInstanceUID=1.2.2,1.3.1".to_owned(), "34"),
        ("SOPInstanceUID=1,5".to_owned(), "15"),
        ("StudyInstanceUID=1.2&SeriesInstanceUID=1.2.1&SOPInstanceUID=2".to_owned(), "2"),
        ("resource=studies/1.2/series/1.2.1/instances/1,studies/1.3".to_owned(), "14"),
        (format!("resource={url}&resource=studies/1.2"), "1235"),
        // Each file once, however often it is named.
        ("StudyInstanceUID=1.2&resource=studies/1.2&resource=/studies/1.2/series/1.2.1".to_owned(), "123"),
    ] {
        let found = held(zip_of(hilum.get(&format!("/zip?{query}")).send().unwrap(), 200));
        assert_eq!(found, expected.chars().collect::<Vec<_>>(), "{query}");
        let form = "application/x-www-form-urlencoded";
        let posted = held(zip_of(hilum.post("/zip", form, query.clone()), 200));
        assert_eq!(posted, found, "{query}");
    }
    // What is not here is said.
    for query in
        ["StudyInstanceUID=1.2,1.9", "SOPInstanceUID=1,9", "resource=studies/1.3,studies/1.3/series/9"]
    {
        let answer = hilum.get(&format!("/zip?{query}")).send().unwrap();
        assert!(header(&answer, "warning").contains("1 of the resources"), "{query}");
        assert!(!zip_of(answer, 206).is_empty(), "{query}");
    }
    assert_eq!(hilum.delete("/studies/1.3").status(), 204);
    problem(hilum.get("/zip?StudyInstanceUID=1.3").send().unwrap(), 410, "gone");
    for query in ["SOPInstanceUID=9", "StudyInstanceUID=1.2&SOPInstanceUID=5", "StudyInstanceUID=9"] {
        problem(hilum.get(&format!("/zip?{query}")).send().unwrap(), 404, "not-found");
    }
    for (query, code) in [
        ("", "invalid-parameter"),
        ("SeriesInstanceUID=1.2.1", "invalid-parameter"),
        ("resource=series/1", "invalid-parameter"),
        ("resource=studies/1/metadata", "invalid-parameter"),
        ("resource=studies/..", "invalid-uid"),
        ("StudyInstanceUID=abc", "invalid-uid"),
        ("StudyInstanceUID=1.2&dicomdir=maybe", "invalid-parameter"),
    ] {
        problem(hilum.get(&format!("/zip?{query}")).send().unwrap(), 400, code);
    }
    problem(hilum.get_as("/zip?StudyInstanceUID=1.2", "application/dicom"), 406, "not-acceptable");
    problem(hilum.post("/zip", "application/json", "[]"), 415, "unsupported-media-type");
}

#[test]
fn lists_and_zip_files_have_limits() {
    let hilum = Hilum::with(|config| {
        config.limits.zip_list_bytes_max = 1000;
        config.limits.zip_instances_max = 2;
    });
    let files: Vec<Vec<u8>> =
        (1..=3).map(|number| Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}")).file()).collect();
    assert_eq!(hilum.store(&[&files[0], &files[1], &files[2]]).status(), 200);
    let form = "application/x-www-form-urlencoded";
    let long = format!("SOPInstanceUID={}", "1.2.1.1,".repeat(200));
    problem(hilum.post("/zip", form, long), 413, "too-large");
    problem(hilum.get_as("/studies/1.2", ZIP), 413, "too-large");
    problem(hilum.get("/zip?StudyInstanceUID=1.2").send().unwrap(), 413, "too-large");
    assert_eq!(hilum.get("/zip?SOPInstanceUID=1.2.1.1,1.2.1.3").send().unwrap().status(), 200);
}

/// Walks over a DICOMDIR by its offsets, as dicom-rs reads it: the type of each
/// record and the file it names.
fn records(file: &[u8]) -> Vec<(String, Option<String>)> {
    let directory = oracle::open(file);
    let text = |item: &InMemDicomObject, tag: Tag| -> Option<String> {
        item.element_opt(tag).unwrap().map(|element| element.to_multi_str().unwrap().join("/"))
    };
    directory
        .element(Tag(0x0004, 0x1220))
        .unwrap()
        .items()
        .unwrap()
        .iter()
        .map(|item| (text(item, Tag(0x0004, 0x1430)).unwrap(), text(item, Tag(0x0004, 0x1500))))
        .collect()
}

#[test]
fn a_medium_lists_every_file_by_a_name_that_every_reader_knows() {
    let library = Library::open();
    let uids: Vec<&str> = library.held.iter().map(|held| held.stored.instance.as_str()).collect();
    let body = format!("dicomdir=true&SOPInstanceUID={}", uids.join(","));
    let found = zip_of(library.hilum.post("/zip", "application/x-www-form-urlencoded", body), 200);
    assert_eq!(found.len(), library.held.len() + 1);
    assert_eq!(found[0].0, "DICOMDIR");
    let listed = records(&found[0].1);
    let files: Vec<&String> = listed.iter().filter_map(|(_, file)| file.as_ref()).collect();
    let names: Vec<&String> = found[1..].iter().map(|(name, _)| name).collect();
    assert_eq!(files.iter().collect::<std::collections::BTreeSet<_>>(), names.iter().collect());
    for name in names {
        let parts: Vec<&str> = name.split('/').collect();
        assert!(parts.len() <= 8, "{name}");
        for part in parts {
            let fits = part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            assert!(fits && (1..=8).contains(&part.len()), "{name}");
        }
    }
    let kinds = |kind: &str| listed.iter().filter(|(found, _)| found == kind).count();
    assert_eq!(kinds("RT DOSE"), 1);
    assert_eq!(kinds("RT PLAN"), 1);
    assert_eq!(kinds("SR DOCUMENT"), 2);
    assert_eq!(kinds("WAVEFORM"), 1);
    assert_eq!(
        kinds("SERIES"),
        library.held.iter().map(|held| &held.stored.series).collect::<std::collections::BTreeSet<_>>().len()
    );
    assert!(kinds("IMAGE") > 40);
    // A medium is uncompressed in one syntax only, and else as it was.
    for (name, file) in &found {
        let syntax = oracle::declared(file);
        assert!(![oracle::IMPLICIT, oracle::BIG_ENDIAN].contains(&syntax.as_str()), "{name}");
    }
}

/// What cannot be read now is not offered; what is complete comes as it came.
#[test]
fn a_file_without_an_envelope_gets_one() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("odd/rtstruct.dcm");
    let bare = fixture("odd/rtstruct.dcm");
    let found = zip_of(hilum.get_as(&stored.path, ZIP), 200);
    assert_ne!(&bare[128..132], b"DICM");
    assert_eq!(&found[0].1[128..132], b"DICM");
    assert_eq!(oracle::own(&found[0].1).path.instance.as_str(), stored.instance);
}
