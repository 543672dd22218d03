//! Pixel data of an instance, a series and a study (RET-08, BLK-1, 2), and the
//! bulk data of every kind (RET-06, 07).

use super::oracle;
use crate::{
    harness::{Hilum, fixture, parts},
    library::{Library, bulk_uris, header, names, part_header, problem},
    sample::Sample,
};

const MO: &str = "multipart/related; type=\"application/octet-stream\"";
const ANY: &str = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
const PATH: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
const J2K: &str = "1.2.840.10008.1.2.4.90";

/// As stored: one part for native pixels however many their frames, one part a
/// frame for compressed ones; without fragments' headers and without padding
/// between frames. Nothing else of the instance is among them.
#[test]
fn ret_08_blk_1_blk_2_the_pixel_data_of_every_fixture() {
    let library = Library::of(&names(&[""]));
    let mut with_pixels = 0;
    for held in &library.held {
        let path = format!("{}/pixeldata", held.stored.path);
        let frames = oracle::frames(&held.bytes);
        if frames.is_empty() {
            problem(library.hilum.get_as(&path, ANY), 404, "not-found");
            continue;
        }
        with_pixels += 1;
        let response = library.hilum.get_as(&path, ANY);
        assert_eq!(response.status(), 200, "{}", held.name);
        let found = parts(response);
        let uri = format!("{}{}/bulkdata/7FE00010", library.hilum.base, held.stored.path);
        for (head, _) in &found {
            assert_eq!(part_header(head, "content-location"), uri, "{}", held.name);
        }
        let native = oracle::is_native(&oracle::declared(&held.bytes));
        if native {
            assert_eq!(found.len(), 1, "{}", held.name);
            let stored = oracle::open(&held.bytes);
            let whole = stored.element(oracle::PIXEL_DATA).unwrap().to_bytes().unwrap();
            assert!(found[0].1 == *whole, "{}", held.name);
        } else {
            assert_eq!(found.len(), frames.len(), "{}", held.name);
            assert!(found.iter().zip(&frames).all(|((_, body), frame)| body == frame), "{}", held.name);
        }
        // Without a transfer syntax it is decoded pixels.
        let plain = library.hilum.get_as(&path, MO);
        assert_eq!(plain.status(), 200, "{}", held.name);
        assert_eq!(parts(plain).len(), 1, "{}", held.name);
    }
    assert!(with_pixels > 15, "{with_pixels}");
}

/// Float and double pixels count; icons, overlays and private pixels do not.
#[test]
fn ret_08_only_the_pixels_of_the_instance_itself() {
    let hilum = Hilum::start();
    let icon = Sample::empty().pixels(60, 60, 1);
    let file = |instance: &str| {
        Sample::new("1.2", "1.2.1", instance)
            .items(0x0088_0200, std::slice::from_ref(&icon))
            .text(0x0029_0010, "LO", "HILUM TEST")
            .bytes(0x0029_1010, "OB", vec![7; 4000])
            .bytes(0x6000_3000, "OW", vec![3; 32])
    };
    let float = file("1.2.1.1").bytes(0x7FE0_0008, "OF", vec![1; 64]).file();
    let double = file("1.2.1.2").bytes(0x7FE0_0009, "OD", vec![2; 64]).file();
    let grey = file("1.2.1.3").pixels(2, 2, 3).file();
    let none = file("1.2.1.4").file();
    assert!(hilum.store(&[&float, &double, &grey, &none]).status().is_success());
    for path in ["/studies/1.2", "/studies/1.2/series/1.2.1"] {
        let response = hilum.get_as(&format!("{path}/pixeldata"), "*/*");
        assert_eq!(response.status(), 200);
        let found = parts(response);
        let ends: Vec<(String, Vec<u8>)> = found
            .into_iter()
            .map(|(head, body)| {
                let location = part_header(&head, "content-location");
                (location.rsplit('/').next().unwrap().to_owned(), body)
            })
            .collect();
        let expected = [
            ("7FE00008", vec![1; 64]),
            ("7FE00009", vec![2; 64]),
            ("7FE00010", vec![1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]),
        ];
        assert_eq!(ends, expected.map(|(path, bytes)| (path.to_owned(), bytes)));
    }
    let single =
        hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.3/pixeldata", "application/octet-stream");
    assert_eq!(
        header(&single, "content-type"),
        "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
    );
    assert_eq!(header(&single, "accept-ranges"), "bytes");
    assert_eq!(single.bytes().unwrap(), [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3].as_slice());
    // A collection is never one part (NEG-06), and what is none is 404.
    problem(hilum.get_as("/studies/1.2/pixeldata", "application/octet-stream"), 406, "not-acceptable");
    problem(
        hilum.get("/studies/1.2/series/1.2.1/instances/1.2.1.4/pixeldata").send().unwrap(),
        404,
        "not-found",
    );
    problem(hilum.get("/studies/1.3/pixeldata").send().unwrap(), 404, "not-found");
}

#[test]
fn ret_08_blk_1_compressed_frames_are_parts_of_their_media_type() {
    let hilum = Hilum::start();
    let two = Sample::new("1.2", "1.2.1", "1.2.1.1").text(0x0028_0008, "IS", "2");
    let file = two.encapsulated(J2K, &[&[1, 2, 3, 4], &[5, 6]]);
    assert!(hilum.store(&[&file]).status().is_success());
    let path = format!("{PATH}/pixeldata");
    for accept in ["multipart/related; type=\"image/jp2\"", "multipart/related; type=\"image/*\""] {
        let found = parts(hilum.get_as(&path, accept));
        let bodies: Vec<&[u8]> = found.iter().map(|(_, body)| body.as_slice()).collect();
        assert_eq!(bodies, [&[1, 2, 3, 4][..], &[5, 6]], "{accept}");
        assert_eq!(part_header(&found[0].0, "content-type"), format!("image/jp2; transfer-syntax={J2K}"));
    }
    let found = parts(hilum.get_as(&path, ANY));
    assert_eq!(
        part_header(&found[0].0, "content-type"),
        format!("application/octet-stream; transfer-syntax={J2K}")
    );
    // Two parts cannot be one.
    problem(hilum.get_as(&path, "image/jp2"), 406, "not-acceptable");
    problem(hilum.get_as(&path, "multipart/related; type=\"image/jls\""), 406, "not-acceptable");
    // By the parameter (NEG-01).
    let found = parts(hilum.get_as(&format!("{path}?accept=multipart/related;type=image/jp2"), "*/*"));
    assert_eq!(found.len(), 2);
}

/// NEG-07: the media type is chosen for each part of its own.
#[test]
fn neg_07_a_mixed_study_has_parts_of_several_types() {
    let hilum = Hilum::start();
    let compressed = Sample::new("1.2", "1.2.1", "1.2.1.1").encapsulated(J2K, &[&[1, 2]]);
    let native = Sample::new("1.2", "1.2.1", "1.2.1.2").pixels(2, 2, 1).file();
    assert!(hilum.store(&[&compressed, &native]).status().is_success());
    let both = format!("multipart/related; type=\"image/jp2\", {MO}");
    for resource in ["pixeldata", "bulkdata"] {
        let response = hilum.get_as(&format!("/studies/1.2/{resource}"), &both);
        assert_eq!(response.status(), 200);
        let kinds: Vec<String> =
            parts(response).iter().map(|(head, _)| part_header(head, "content-type")).collect();
        let expected = [
            format!("image/jp2; transfer-syntax={J2K}"),
            "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1".to_owned(),
        ];
        assert_eq!(kinds, expected);
        let one = hilum.get_as(&format!("/studies/1.2/{resource}"), MO);
        assert_eq!((one.status().as_u16(), header(&one, "warning").is_empty()), (206, false));
        assert_eq!(parts(one).len(), 1);
    }
}

/// Each kind of bulk data by its BulkDataURI: as one part and as many, whole
/// and in ranges, with an entity tag, and HEAD.
#[test]
fn ret_06_ret_07_rng_1_every_kind_of_bulk_data() {
    let hilum = Hilum::start();
    let blob = |seed: u8, length: usize| -> Vec<u8> {
        (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap() ^ seed).collect()
    };
    let wave = Sample::empty().bytes(0x5400_1010, "OW", blob(1, 4000));
    let deep = Sample::empty()
        .items(0x0054_0012, &[Sample::empty(), Sample::empty().bytes(0x0028_2000, "OB", blob(2, 3000))]);
    let kinds: [(&str, Vec<u8>); 9] = [
        ("60003000", blob(3, 40)),
        ("00281201", blob(4, 2000)),
        ("00282000", blob(5, 3002)),
        ("00420011", blob(6, 2048)),
        ("7FE00010", blob(7, 12)),
        ("00291010", blob(8, 1500)),
        ("54000100.1.54001010", blob(1, 4000)),
        ("00540016.1.00540012.2.00282000", blob(2, 3000)),
        ("56000020", blob(9, 16)),
    ];
    let value = |path: &str| kinds.iter().find(|(kind, _)| *kind == path).unwrap().1.clone();
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1")
        .bytes(0x0028_1201, "OW", value("00281201"))
        .bytes(0x0028_2000, "OB", value("00282000"))
        .text(0x0029_0010, "LO", "HILUM TEST")
        .bytes(0x0029_1010, "UN", value("00291010"))
        .text(0x0042_0012, "LO", "application/pdf")
        .bytes(0x0042_0011, "OB", value("00420011"))
        .items(0x0054_0016, &[deep])
        .items(0x5400_0100, &[wave])
        .bytes(0x5600_0020, "OF", value("56000020"))
        .bytes(0x6000_3000, "OW", value("60003000"))
        .pixels(2, 2, 3)
        .bytes(0x7FE0_0010, "OB", value("7FE00010"))
        .file();
    assert!(hilum.store(&[&file]).status().is_success());
    let mut uris = Vec::new();
    bulk_uris(&hilum.json("/studies/1.2/metadata"), &mut uris);
    let mut paths: Vec<&str> = uris.iter().map(|uri| uri.rsplit('/').next().unwrap()).collect();
    paths.sort_unstable();
    let mut expected: Vec<&str> = kinds.iter().map(|(path, _)| *path).collect();
    expected.sort_unstable();
    assert_eq!(paths, expected);
    for (path, bytes) in &kinds {
        let path = format!("{PATH}/bulkdata/{path}");
        let found = parts(hilum.get_as(&path, MO));
        assert_eq!(found.len(), 1, "{path}");
        assert!(found[0].1 == *bytes, "{path}");
        assert_eq!(part_header(&found[0].0, "content-location"), format!("{}{path}", hilum.base));
        let whole = hilum.get_as(&path, "application/octet-stream");
        let (etag, length) = (header(&whole, "etag"), header(&whole, "content-length"));
        assert_eq!(header(&whole, "accept-ranges"), "bytes");
        assert_eq!(length, bytes.len().to_string());
        assert!(whole.bytes().unwrap() == *bytes, "{path}");
        let ask = |name: &str, value: &str| {
            let request = hilum.get(&path).header("Accept", "application/octet-stream");
            request.header(name, value).send().unwrap()
        };
        let part = ask("Range", "bytes=3-9");
        assert_eq!(part.status(), 206, "{path}");
        assert_eq!(header(&part, "content-range"), format!("bytes 3-9/{length}"));
        assert!(part.bytes().unwrap() == bytes[3..10], "{path}");
        assert_eq!(ask("Range", "bytes=99999-").status(), 416, "{path}");
        assert_eq!(ask("If-None-Match", &etag).status(), 304, "{path}");
        let head = hilum.request(reqwest::Method::HEAD, &path).header("Accept", "application/octet-stream");
        let head = head.send().unwrap();
        assert_eq!((header(&head, "content-length"), header(&head, "etag")), (length, etag), "{path}");
    }
    for (level, count) in [("/studies/1.2", 9), ("/studies/1.2/series/1.2.1", 9), (PATH, 9)] {
        assert_eq!(parts(hilum.get_as(&format!("{level}/bulkdata"), MO)).len(), count, "{level}");
    }
}

/// The icon of a real file is bulk data but not pixel data.
#[test]
fn ret_07_ret_08_a_real_file_with_an_overlay_and_an_icon() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("examples_overlay.dcm");
    let bulk = parts(hilum.get_as(&format!("{}/bulkdata", stored.path), MO));
    let pixels = parts(hilum.get_as(&format!("{}/pixeldata", stored.path), MO));
    assert_eq!(pixels.len(), 1);
    assert!(bulk.len() > 2, "{}", bulk.len());
    assert!(bulk.contains(&pixels[0]));
    assert!(pixels[0].1 == oracle::frames(&fixture("examples_overlay.dcm")).concat());
}
