//! What HTTP offers on every resource: HEAD, entity tags, ranges and content
//! codings (GEN-06, 09, MPR-5, RNG-1, IOP-23).

use std::io::Read;

use reqwest::{Method, blocking::Response};
use serde_json::Value;

use crate::{
    harness::{Hilum, Stored, fixture},
    library::header,
    sample::Sample,
};

const FILES: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
const SINGLE: &str = "application/dicom; transfer-syntax=*";

/// Resources of an instance and what to ask them for.
fn resources(stored: &Stored) -> Vec<(String, &'static str)> {
    let Stored { study, series, path, .. } = stored;
    vec![
        (format!("/studies/{study}"), FILES),
        (format!("/studies/{study}/series/{series}"), FILES),
        (path.clone(), FILES),
        (path.clone(), SINGLE),
        (format!("{path}/frames/1"), "*/*"),
        (format!("{path}/frames/1"), "application/octet-stream"),
        (format!("{path}/bulkdata/7FE00010"), "application/octet-stream"),
        (format!("{path}/bulkdata"), "*/*"),
        (format!("/studies/{study}/metadata"), "*/*"),
        (format!("{path}/metadata"), "*/*"),
    ]
}

#[test]
fn gen_06_09_head_mirrors_get() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    let mut paths = resources(&stored);
    paths.extend(
        ["/studies", "/series", "/instances", "/studies?limit=1", "/studies?PatientName=nobody", ""]
            .map(|path| (path.to_owned(), "*/*")),
    );
    for (path, accept) in paths {
        let get = hilum.get_as(&path, accept);
        let head = hilum.request(Method::HEAD, &path).header("Accept", accept).send().unwrap();
        assert_eq!(get.status(), head.status(), "{path}");
        for name in [
            "content-type",
            "content-length",
            "etag",
            "accept-ranges",
            "content-location",
            "vary",
            "x-total-count",
        ] {
            assert_eq!(header(&get, name), header(&head, name), "{path} {name}");
        }
        // Length or chunks, never both, never none (GEN-06).
        let framed = |name| usize::from(get.headers().contains_key(name));
        assert_eq!(framed("content-length") + framed("transfer-encoding"), 1, "{path}");
        assert!(head.bytes().unwrap().is_empty(), "{path}");
        assert!(!get.bytes().unwrap().is_empty(), "{path}");
    }
    for path in ["/studies/1.2.3", "/nothing"] {
        let head = hilum.request(Method::HEAD, path).send().unwrap();
        assert_eq!(head.status(), 404);
        assert!(head.bytes().unwrap().is_empty());
    }
}

#[test]
fn gen_09_an_entity_tag_saves_the_second_answer() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    for (path, accept) in resources(&stored) {
        let first = hilum.get_as(&path, accept);
        let etag = header(&first, "etag");
        assert!(etag.ends_with('"'), "{path}: {etag:?}");
        assert_eq!(header(&hilum.get_as(&path, accept), "etag"), etag, "{path}");
        for tags in [etag.clone(), format!("\"other\", {etag}"), "*".to_owned()] {
            let again =
                hilum.get(&path).header("Accept", accept).header("If-None-Match", &tags).send().unwrap();
            assert_eq!(again.status(), 304, "{path} {tags}");
            assert_eq!(header(&again, "etag"), etag, "{path}");
            assert!(again.bytes().unwrap().is_empty(), "{path}");
        }
        let other =
            hilum.get(&path).header("Accept", accept).header("If-None-Match", "\"other\"").send().unwrap();
        assert_eq!(other.status(), 200, "{path}");
    }
}

#[test]
fn gen_09_an_entity_tag_changes_with_what_it_names() {
    let hilum = Hilum::start();
    assert_eq!(hilum.store(&[&Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(2, 2, 1).file()]).status(), 200);
    let paths = [("/studies/1.2", FILES), ("/studies/1.2/metadata", "*/*"), ("/studies/1.2/bulkdata", "*/*")];
    let tags = || paths.map(|(path, accept)| header(&hilum.get_as(path, accept), "etag"));
    let before = tags();
    assert_eq!(hilum.store(&[&Sample::new("1.2", "1.2.1", "1.2.1.2").pixels(2, 2, 1).file()]).status(), 200);
    let with_two = tags();
    assert!(before.iter().zip(&with_two).all(|(a, b)| a != b), "{before:?} {with_two:?}");
    assert_eq!(hilum.delete("/studies/1.2/series/1.2.1/instances/1.2.1.1").status(), 204);
    let with_one = tags();
    assert!(with_one.iter().zip(&with_two).all(|(a, b)| a != b));
    assert!(with_one.iter().zip(&before).all(|(a, b)| a != b));
    // Another representation has another tag.
    let single = header(&hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.2", SINGLE), "etag");
    let multi = header(&hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.2", FILES), "etag");
    assert_ne!(single, multi);
}

#[test]
fn rng_1_mpr_5_ranges_of_single_parts_and_of_multipart_bodies() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    for (path, accept) in resources(&stored).into_iter().filter(|(path, _)| !path.ends_with("metadata")) {
        let whole = hilum.get_as(&path, accept);
        assert_eq!(header(&whole, "accept-ranges"), "bytes", "{path}");
        let etag = header(&whole, "etag");
        let whole = whole.bytes().unwrap();
        let length = whole.len();
        let ranges = [
            (format!("bytes=0-{}", length - 1), 0..length),
            ("bytes=0-0".to_owned(), 0..1),
            ("bytes=100-299".to_owned(), 100..300),
            ("bytes=-50".to_owned(), length - 50..length),
            (format!("bytes={}-", length - 7), length - 7..length),
            (format!("bytes=10-{}", length * 2), 10..length),
            (format!("bytes=-{}", length * 2), 0..length),
        ];
        // Of another method than GET a range means nothing (RFC 9110 section 14.2).
        for range in ["bytes=0-0", "bytes=999999999-"] {
            let head = hilum.request(Method::HEAD, &path).header("Accept", accept).header("Range", range);
            let head = head.send().unwrap();
            assert_eq!(head.status(), 200, "{path} {range}");
            assert_eq!(header(&head, "content-length"), length.to_string(), "{path}");
            assert!(!head.headers().contains_key("content-range"), "{path}");
        }
        for (range, expected) in ranges {
            let part = hilum.get(&path).header("Accept", accept).header("Range", &range).send().unwrap();
            assert_eq!(part.status(), 206, "{path} {range}");
            let said = format!("bytes {}-{}/{length}", expected.start, expected.end - 1);
            assert_eq!(header(&part, "content-range"), said, "{path} {range}");
            assert_eq!(header(&part, "content-length"), expected.len().to_string());
            assert!(part.bytes().unwrap() == whole[expected], "{path} {range}");
        }
        let past = hilum.get(&path).header("Accept", accept).header("Range", format!("bytes={length}-"));
        let past = past.send().unwrap();
        assert_eq!(past.status(), 416, "{path}");
        assert_eq!(header(&past, "content-range"), format!("bytes */{length}"));
        // What is no range of bytes is ignored.
        for range in ["lines=1-2", "bytes=5-2", "bytes=a-b", "bytes=", "1-2"] {
            let all = hilum.get(&path).header("Accept", accept).header("Range", range).send().unwrap();
            assert_eq!(all.status(), 200, "{path} {range}");
        }
        let send = |condition: &str| -> Response {
            let request = hilum.get(&path).header("Accept", accept).header("Range", "bytes=1-2");
            request.header("If-Range", condition).send().unwrap()
        };
        assert_eq!(send(&etag).status(), 206, "{path}");
        assert_eq!(send("\"other\"").status(), 200, "{path}");
    }
}

/// A download that breaks off is taken up again at its end.
#[test]
fn mpr_5_a_study_in_pieces_is_the_study() {
    let hilum = Hilum::start();
    let files: Vec<Vec<u8>> = (1..=9)
        .map(|number| Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}")).pixels(17, 19, number).file())
        .collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    let whole = hilum.get_as("/studies/1.2", FILES).bytes().unwrap();
    let mut pieces = Vec::new();
    while pieces.len() < whole.len() {
        let range = format!("bytes={}-{}", pieces.len(), pieces.len() + 2222);
        let part = hilum.get("/studies/1.2").header("Accept", FILES).header("Range", range).send().unwrap();
        pieces.extend(part.bytes().unwrap());
    }
    assert!(pieces == whole);
}

#[test]
fn iop_23_json_is_compressed_for_who_likes_that() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("emri_small.dcm");
    for path in [format!("{}/metadata", stored.path), format!("/studies/{}/metadata", stored.study)] {
        let plain = hilum.get(&path).send().unwrap();
        assert_eq!(header(&plain, "content-encoding"), "");
        assert!(header(&plain, "vary").contains("Accept-Encoding"));
        let plain = plain.bytes().unwrap();
        let ask = |encodings: &str| hilum.get(&path).header("Accept-Encoding", encodings).send().unwrap();
        let gzip = ask("gzip, deflate, br");
        assert_eq!(header(&gzip, "content-encoding"), "gzip");
        let gzip = gzip.bytes().unwrap();
        assert!(gzip.len() * 3 < plain.len());
        let mut back = Vec::new();
        flate2::read::MultiGzDecoder::new(gzip.as_ref()).read_to_end(&mut back).unwrap();
        assert!(back == plain);
        let zstd = ask("gzip;q=0.5, zstd");
        assert_eq!(header(&zstd, "content-encoding"), "zstd");
        assert!(zstd::decode_all(zstd.bytes().unwrap().as_ref()).unwrap() == plain);
        for none in ["identity", "br", "gzip;q=0", "*;q=0", ""] {
            let answer = ask(none);
            assert_eq!(header(&answer, "content-encoding"), "", "{none}");
            assert!(answer.bytes().unwrap() == plain);
        }
    }
    // Pixels never are.
    for accept in [SINGLE, FILES] {
        let request = hilum.get(&stored.path).header("Accept", accept).header("Accept-Encoding", "gzip");
        let answer = request.send().unwrap();
        assert_eq!(header(&answer, "content-encoding"), "");
    }
    let single =
        hilum.get(&stored.path).header("Accept", SINGLE).header("Accept-Encoding", "gzip").send().unwrap();
    assert!(single.bytes().unwrap() == fixture("emri_small.dcm"));
}

#[test]
fn a_long_search_is_compressed_too() {
    let hilum = Hilum::start();
    let files: Vec<Vec<u8>> =
        (0..300).map(|number| Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}")).file()).collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    for path in ["/instances", "/studies/1.2/metadata"] {
        let plain: Value = hilum.json(path);
        assert_eq!(plain.as_array().map(Vec::len), Some(300));
        let gzip = hilum.get(path).header("Accept-Encoding", "gzip").send().unwrap();
        assert_eq!(header(&gzip, "content-encoding"), "gzip");
        let mut back = Vec::new();
        flate2::read::MultiGzDecoder::new(gzip.bytes().unwrap().as_ref()).read_to_end(&mut back).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&back).unwrap(), plain);
    }
}

/// More than is sent at once: the array is put together from many chunks.
#[test]
fn iop_23_long_metadata_come_in_chunks() {
    let hilum = Hilum::start();
    let files: Vec<Vec<u8>> = (0..14)
        .map(|number| {
            let history: String =
                (b'a'..=b'z').cycle().skip(number).step_by(7).take(60_000).map(char::from).collect();
            Sample::new("1.2", &format!("1.2.{}", number % 3), &format!("1.2.9.{number}"))
                .text(0x0020_4000, "LT", &history[..10_000])
                .text(0x0018_4000, "UT", &history)
                .file()
        })
        .collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    let plain = hilum.get("/studies/1.2/metadata").send().unwrap();
    let etag = header(&plain, "etag");
    let plain = plain.bytes().unwrap();
    assert!(plain.len() > 900_000, "{}", plain.len());
    let all: Value = serde_json::from_slice(&plain).unwrap();
    let mut single: Vec<Value> = (0..14)
        .map(|number| {
            hilum.json(&format!("/studies/1.2/series/1.2.{}/instances/1.2.9.{number}/metadata", number % 3))
                [0]
            .clone()
        })
        .collect();
    let mut all = all.as_array().unwrap().clone();
    for list in [&mut all, &mut single] {
        list.sort_by_key(|set| set["00080018"]["Value"][0].to_string());
    }
    assert!(all == single);
    let ask =
        |coding: &str| hilum.get("/studies/1.2/metadata").header("Accept-Encoding", coding).send().unwrap();
    let mut back = Vec::new();
    flate2::read::MultiGzDecoder::new(ask("gzip").bytes().unwrap().as_ref()).read_to_end(&mut back).unwrap();
    assert!(back == plain);
    assert!(zstd::decode_all(ask("zstd").bytes().unwrap().as_ref()).unwrap() == plain);
    let head = hilum.request(Method::HEAD, "/studies/1.2/metadata").send().unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "etag")), (200, etag.clone()));
    assert!(head.bytes().unwrap().is_empty());
    let again = hilum.get("/studies/1.2/metadata").header("If-None-Match", etag).send().unwrap();
    assert_eq!(again.status(), 304);
}

/// A frame decoded and the same frame as it is stored are both parts of
/// `application/octet-stream`. They had one strong entity tag, so a browser that
/// held the one and asked for the other was told by 304 that it had it.
#[test]
fn gen_09_a_decoded_frame_has_another_tag_than_the_stored_one() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("variants/MR_small_RLE.dcm");
    let octets = |syntax: &str| format!("multipart/related; type=application/octet-stream{syntax}");
    let (decoded, as_stored) = (octets(""), octets("; transfer-syntax=*"));
    for path in ["frames/1", "bulkdata/7FE00010", "pixeldata"] {
        let path = format!("{}/{path}", stored.path);
        let first = hilum.get_as(&path, &decoded);
        let tag = header(&first, "etag");
        let ask = |name: &str, extra: &str| {
            let request = hilum.get(&path).header("Accept", &as_stored).header(name, &tag);
            request.header("Range", extra).send().unwrap()
        };
        assert_eq!(ask("If-None-Match", "").status(), 200, "{path}");
        assert_eq!(ask("If-Range", "bytes=1-2").status(), 200, "{path}: a part of other bytes");
        let second = hilum.get_as(&path, &as_stored);
        assert_ne!(header(&second, "content-type"), header(&first, "content-type"), "{path}: one boundary");
        assert!(first.bytes().unwrap() != second.bytes().unwrap(), "{path}");
    }
}
