//! Videos and documents as what they are, for browsers (RET-10, BLK-3, RNG-1,
//! IOP-18, 21).

use reqwest::Method;

use crate::{
    harness::Hilum,
    library::{header, problem},
    sample::Sample,
};

const PATH: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
const H264: &str = "1.2.840.10008.1.2.4.102";

fn video(transfer_syntax: &str) -> (Hilum, Vec<u8>) {
    let hilum = Hilum::start();
    let stream: Vec<u8> = (0..3000_u32).map(|at| u8::try_from(at * at % 253).unwrap()).collect();
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1")
        .text(0x0028_0008, "IS", "50")
        .number(0x0028_0010, 16)
        .number(0x0028_0011, 16)
        .number(0x0028_0100, 8)
        .encapsulated(transfer_syntax, &[&stream[..2000], &stream[2000..]]);
    assert!(hilum.store(&[&file]).status().is_success());
    (hilum, stream)
}

/// What a viewer and a `<video>` element ask for.
#[test]
fn iop_21_ret_10_rng_1_a_video_plays_from_either_url() {
    let (hilum, stream) = video(H264);
    for (resource, accept, kind) in [
        ("rendered", "*/*", "video/mp4"),
        ("rendered", "video/mp4", "video/mp4"),
        (
            "rendered",
            "video/webm,video/ogg,video/*;q=0.9,application/ogg;q=0.7,audio/*;q=0.6,*/*;q=0.5",
            "video/mp4",
        ),
        ("rendered?accept=video/mp4", "*/*", "video/mp4"),
        ("pixeldata?accept=video/mp4", "*/*", "video/mp4; transfer-syntax=1.2.840.10008.1.2.4.102"),
        ("pixeldata", "video/mp4", "video/mp4; transfer-syntax=1.2.840.10008.1.2.4.102"),
        ("bulkdata/7FE00010", "video/mp4", "video/mp4; transfer-syntax=1.2.840.10008.1.2.4.102"),
    ] {
        let path = format!("{PATH}/{resource}");
        let whole = hilum.get_as(&path, accept);
        assert_eq!(whole.status(), 200, "{path}");
        assert_eq!(header(&whole, "content-type"), kind, "{path}");
        assert_eq!(header(&whole, "accept-ranges"), "bytes");
        assert_eq!(header(&whole, "content-length"), "3000");
        assert_eq!(header(&whole, "content-disposition"), "inline; filename=\"1.2.1.1.mp4\"");
        let etag = header(&whole, "etag");
        assert!(whole.bytes().unwrap() == stream, "{path}");
        for (range, expected) in [
            ("bytes=0-", Some(0..3000)),
            ("bytes=1990-2009", Some(1990..2010)),
            ("bytes=-100", Some(2900..3000)),
            ("bytes=2999-", Some(2999..3000)),
            // Several at once: the whole, as RFC 9110 section 14.2 allows.
            ("bytes=0-1,5-6", None),
        ] {
            let request = hilum.get(&path).header("Accept", accept).header("Range", range);
            let answer = request.header("If-Range", &etag).send().unwrap();
            match expected {
                Some(expected) => {
                    assert_eq!(answer.status(), 206, "{path} {range}");
                    let said = format!("bytes {}-{}/3000", expected.start, expected.end - 1);
                    assert_eq!(header(&answer, "content-range"), said);
                    assert!(answer.bytes().unwrap() == stream[expected]);
                }
                None => assert!(answer.status() == 200 && answer.bytes().unwrap() == stream),
            }
        }
        let head = hilum.request(Method::HEAD, &path).header("Accept", accept).send().unwrap();
        assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "3000".to_owned()));
    }
    problem(hilum.get_as(&format!("{PATH}/rendered"), "image/jpeg"), 406, "not-acceptable");
    problem(hilum.get_as(&format!("{PATH}/pixeldata"), "video/mpeg"), 406, "not-acceptable");
    problem(hilum.get_as(&format!("{PATH}/frames/1"), "*/*"), 406, "not-acceptable");
}

#[test]
fn iop_21_other_videos_have_their_own_types() {
    for (syntax, kind, ending) in [
        ("1.2.840.10008.1.2.4.100", "video/mpeg", "mpg"),
        ("1.2.840.10008.1.2.4.107", "video/h265", "h265"),
        ("1.2.840.10008.1.2.4.106", "video/mp4", "mp4"),
    ] {
        let (hilum, stream) = video(syntax);
        let answer = hilum.get_as(&format!("{PATH}/rendered"), "*/*");
        assert_eq!(header(&answer, "content-type"), kind);
        assert_eq!(header(&answer, "content-disposition"), format!("inline; filename=\"1.2.1.1.{ending}\""));
        assert!(answer.bytes().unwrap() == stream);
    }
}

/// BLK-3: a document has the type it was stored with, and ends where it ends:
/// a zero that only makes the value even would spoil an XML document. Text that
/// a browser may run stays in a sandbox, and what it would run is a download.
#[test]
fn blk_3_iop_21_documents_are_shown_as_themselves() {
    let hilum = Hilum::start();
    let cda = b"<?xml version=\"1.0\"?><ClinicalDocument/>\n".to_vec();
    assert_eq!(cda.len() % 2, 1);
    let triangle = [vec![b's'; 80], vec![1, 0, 0, 0], vec![9; 48], vec![0, 0]].concat();
    // As declared, as sent, the bytes, their number if stated, how it is shown, in a sandbox.
    type Document = (&'static str, &'static str, Vec<u8>, Option<u32>, &'static str, bool);
    let documents: [Document; 7] = [
        (
            "application/pdf",
            "application/pdf",
            b"%PDF-1.7 and so on".to_vec(),
            None,
            "inline; filename=\"1.2.1.0.pdf\"",
            false,
        ),
        ("text/XML", "text/xml", cda, None, "inline; filename=\"1.2.1.1.xml\"", true),
        ("model/stl", "model/stl", triangle, None, "inline; filename=\"1.2.1.2.stl\"", false),
        ("model/obj", "model/obj", b"v 1 2 3\n".to_vec(), Some(8), "inline; filename=\"1.2.1.3.obj\"", false),
        (
            "model/mtl",
            "model/mtl",
            b"newmtl a\n".to_vec(),
            Some(9),
            "inline; filename=\"1.2.1.4.mtl\"",
            false,
        ),
        (
            "text/html",
            "text/html",
            b"<script>alert(1)</script>".to_vec(),
            None,
            "attachment; filename=\"1.2.1.5.bin\"",
            true,
        ),
        (
            "no type at\u{e9} all",
            "application/octet-stream",
            vec![1, 2, 3, 0],
            None,
            "attachment; filename=\"1.2.1.6.bin\"",
            true,
        ),
    ];
    for (number, (declared, kind, bytes, length, disposition, sandboxed)) in documents.iter().enumerate() {
        let mut value = bytes.clone();
        if value.len() % 2 == 1 {
            value.push(0);
        }
        let mut sample = Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}"))
            .text(0x0042_0012, "LO", declared)
            .bytes(0x0042_0011, "OB", value.clone());
        if let Some(length) = length {
            sample = sample.bytes(0x0042_0015, "UL", length.to_le_bytes().to_vec());
        }
        assert!(hilum.store(&[&sample.file()]).status().is_success());
        let path = format!("/studies/1.2/series/1.2.1/instances/1.2.1.{number}");
        let mut ways = vec![("rendered", "*/*"), ("rendered", "text/html,application/xhtml+xml,*/*;q=0.8")];
        if *kind != "application/octet-stream" {
            ways.extend([("rendered", *kind), ("bulkdata/00420011", *kind)]);
        }
        for (resource, accept) in ways {
            let answer = hilum.get_as(&format!("{path}/{resource}"), accept);
            assert_eq!(answer.status(), 200, "{declared} {resource} {accept}");
            assert_eq!(header(&answer, "content-type"), *kind, "{declared} {resource}");
            assert_eq!(header(&answer, "content-disposition"), *disposition);
            assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
            let policy = header(&answer, "content-security-policy");
            assert_eq!(policy.starts_with("sandbox"), *sandboxed, "{declared}: {policy}");
            assert!(answer.bytes().unwrap() == *bytes, "{declared} {resource}");
        }
        // As bulk data it is the value, padding and all.
        let bulk = hilum.get_as(&format!("{path}/bulkdata/00420011"), "application/octet-stream");
        assert!(bulk.bytes().unwrap() == value, "{declared}");
        problem(hilum.get_as(&format!("{path}/rendered"), "image/png"), 406, "not-acceptable");
    }
}

#[test]
fn ret_10_rnd_13_what_cannot_be_seen_is_said() {
    let hilum = Hilum::start();
    let plan = hilum.store_fixture("rtplan.dcm");
    let refused = problem(hilum.get_as(&format!("{}/rendered", plan.path), "*/*"), 406, "not-acceptable");
    assert!(refused["detail"].as_str().unwrap().contains("not rendered"), "{refused}");
    let unknown = format!("/studies/{}/series/{}/instances/1.2.3/rendered", plan.study, plan.series);
    problem(hilum.get_as(&unknown, "*/*"), 404, "not-found");
}
