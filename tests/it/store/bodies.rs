//! What bodies are taken: the framings of clients (STO-01 to 04, IOP-11, 12),
//! and what is refused before anything is stored.

use std::io::Read;

use serde_json::json;

use crate::{
    harness::{Hilum, fixture, multipart},
    library::{header, outcome, problem, values},
    sample::Sample,
};

fn sample(number: u32) -> Vec<u8> {
    Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}")).file()
}

#[test]
fn sto_01_a_single_file_as_the_body() {
    let hilum = Hilum::start();
    for (number, kind) in
        ["application/dicom", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1", "Application/DICOM"]
            .into_iter()
            .enumerate()
    {
        let (status, module) = outcome(hilum.post("/studies", kind, sample(u32::try_from(number).unwrap())));
        assert_eq!((status, values(&module, "00081199").len()), (200, 1), "{kind}");
    }
}

#[test]
fn sto_01_04_iop_12_content_types_of_real_clients() {
    let hilum = Hilum::start();
    let kinds = [
        r#"multipart/related; type="application/dicom"; boundary=XX"#,
        r#"multipart/related; type="application/dicom"; boundary="XX""#,
        "multipart/related; type=application/dicom; boundary=XX",
        "multipart/related; boundary=XX; type=application/dicom",
        r#"multipart/related;type="application/dicom";boundary="XX""#,
        "multipart/related; boundary=XX",
        r#"Multipart/Related; Type="Application/Dicom"; Boundary=XX"#,
        r#"multipart/related; type="application/dicom; transfer-syntax=1.2.840.10008.1.2.1"; boundary=XX"#,
        r#"multipart/related; type="application/dicom"; transfer-syntax=*; boundary=XX"#,
    ];
    for (number, kind) in kinds.into_iter().enumerate() {
        let file = sample(u32::try_from(number).unwrap());
        let response = hilum.post("/studies", kind, multipart("XX", &[&file]));
        assert_eq!(response.status(), 200, "{kind}: {}", response.text().unwrap());
    }
}

#[test]
fn sto_04_iop_12_framings_of_real_clients() {
    let hilum = Hilum::start();
    let head = "Content-Type: application/dicom\r\n\r\n";
    let framings: [(&str, String, &str); 9] = [
        ("plain", format!("--XX\r\n{head}"), "\r\n--XX--\r\n"),
        ("an empty line first", format!("\r\n--XX\r\n{head}"), "\r\n--XX--"),
        ("a preamble", format!("hello\r\n--XX\r\n{head}"), "\r\n--XX--"),
        ("no closing delimiter's dashes", format!("--XX\r\n{head}"), "\r\n--XX\r\n"),
        ("no closing delimiter", format!("--XX\r\n{head}"), ""),
        ("an epilogue", format!("--XX\r\n{head}"), "\r\n--XX--\r\ngood bye"),
        ("no headers", "--XX\r\n\r\n".to_owned(), "\r\n--XX--"),
        ("more headers", format!("--XX\r\nMIME-Version: 1.0\r\nContent-Location: a\r\n{head}"), "\r\n--XX--"),
        ("bare line feeds", "--XX\nContent-Type: application/dicom\n\n".to_owned(), "\n--XX--\n"),
    ];
    for (number, (name, before, after)) in framings.into_iter().enumerate() {
        let file = sample(u32::try_from(number).unwrap());
        let body = [before.as_bytes(), &file, after.as_bytes()].concat();
        let response = hilum.post("/studies", "multipart/related; type=application/dicom; boundary=XX", body);
        let status = response.status();
        assert_eq!(status, 200, "{name}: {}", response.text().unwrap());
        let path = format!("/studies/1.2/series/1.2.1/instances/1.2.1.{number}");
        let back = hilum.get_as(&path, "application/dicom; transfer-syntax=*");
        assert_eq!(back.bytes().unwrap(), file, "{name}");
    }
}

#[test]
fn sto_04_delimiters_within_the_data_are_data() {
    let hilum = Hilum::start();
    let tricky = b"\r\n--X\r\n\r\n\r\n--XXY\r\n--\r\nXX--\r\n\r\n".repeat(3);
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1").bytes(0x0009_1010, "OB", tricky).file();
    let (status, _) = outcome(hilum.post(
        "/studies",
        "multipart/related; type=application/dicom; boundary=XX",
        multipart("XX", &[&file]),
    ));
    assert!(status < 300);
    let back =
        hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.1", "application/dicom; transfer-syntax=*");
    assert_eq!(back.bytes().unwrap(), file);
}

/// Gives its bytes a few at a time.
struct Slow(std::io::Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(997);
        self.0.read(&mut buffer[..length])
    }
}

#[test]
fn sto_02_iop_12_a_chunked_body_without_a_length() {
    let hilum = Hilum::start();
    let file = fixture("CT_small.dcm");
    let body = multipart("XX", &[&file, &sample(1)]);
    let body = reqwest::blocking::Body::new(Slow(std::io::Cursor::new(body)));
    let (status, module) =
        outcome(hilum.post("/studies", "multipart/related; type=application/dicom; boundary=XX", body));
    assert_eq!((status, values(&module, "00081199").len()), (200, 2), "{module}");
}

#[test]
fn sto_22_a_large_instance_is_streamed_and_comes_back() {
    let hilum = Hilum::with(|config| config.store.small_bytes_max = 64 * 1024);
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(1024, 1024, 3).file();
    let (status, module) = outcome(hilum.store(&[&sample(2), &file, &sample(3)]));
    assert_eq!((status, values(&module, "00081199").len()), (200, 3), "{module}");
    let path = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
    assert_eq!(hilum.get_as(path, "application/dicom; transfer-syntax=*").bytes().unwrap(), file);
    let frame = hilum.get_as(&format!("{path}/frames/2"), "application/octet-stream");
    assert_eq!(frame.bytes().unwrap(), vec![2; 1024 * 1024]);
    // The same again is no failure, and costs no second copy.
    let (status, module) = outcome(hilum.store(&[&file]));
    assert_eq!((status, values(&module, "00081199").len()), (200, 1));
}

#[test]
fn sto_03_accept_is_looked_at_before_anything_is_stored() {
    let hilum = Hilum::start();
    let send = |accept: &str| {
        let request = hilum.client.post(format!("{}/studies", hilum.base)).header("Accept", accept);
        request.header("Content-Type", "application/dicom").body(sample(1)).send().unwrap()
    };
    problem(send("text/csv"), 406, "not-acceptable");
    assert_eq!(hilum.json("/studies"), json!([]));
    for accept in
        ["*/*", "application/json", "application/dicom+json", "application/dicom+json;q=0.1, text/html"]
    {
        assert_eq!(outcome(send(accept)).0, 200, "{accept}");
    }
}

#[test]
fn sto_01_neg_13_other_media_types_are_415() {
    let hilum = Hilum::start();
    for kind in [
        "application/pdf",
        "text/plain",
        "multipart/form-data; boundary=XX",
        "multipart/related; type=\"image/png\"; boundary=XX",
        "nonsense",
        "",
        "application/x-www-form-urlencoded",
    ] {
        let body = problem(hilum.post("/studies", kind, multipart("XX", &[])), 415, "unsupported-media-type");
        assert!(body["detail"].as_str().unwrap().contains("application/dicom"), "{body}");
    }
    let response = hilum.client.post(format!("{}/studies", hilum.base)).body("x").send().unwrap();
    problem(response, 415, "unsupported-media-type");
    let request = hilum.client.post(format!("{}/studies", hilum.base)).header("Content-Encoding", "gzip");
    let response = request.header("Content-Type", "application/dicom").body("x").send().unwrap();
    problem(response, 415, "unsupported-media-type");
}

#[test]
fn sto_10_a_part_of_another_type_fails_alone() {
    let hilum = Hilum::start();
    let mut body = b"--XX\r\nContent-Type: image/png\r\n\r\nPNG\r\n".to_vec();
    body.extend(multipart("XX", &[&sample(1)]));
    let (status, module) =
        outcome(hilum.post("/studies", "multipart/related; type=application/dicom; boundary=XX", body));
    assert_eq!((status, values(&module, "00081199").len(), values(&module, "0008119A").len()), (202, 1, 1));
}

#[test]
fn sto_04_05_malformed_multipart_is_400() {
    let hilum = Hilum::start();
    let kind = "multipart/related; type=\"application/dicom\"; boundary=XX";
    let long = format!("--XX\r\nX: {}\r\n\r\nx\r\n--XX--", "a".repeat(1 << 20));
    for body in [
        "",
        "nothing here",
        "--YY\r\n\r\nx\r\n--YY--",
        "--XX\r\nno colon\r\n\r\nx\r\n--XX--",
        "--XX--",
        "--XX\r\nA: b",
        &long,
    ] {
        let response = hilum.post("/studies", kind, body.to_owned());
        let status = response.status();
        assert_eq!(status, 400, "{:.40}: {}", body, response.text().unwrap());
    }
    for kind in ["multipart/related; type=\"application/dicom\"", "multipart/related; boundary=\"\""] {
        problem(hilum.post("/studies", kind, multipart("XX", &[])), 400, "malformed-body");
    }
    assert_eq!(hilum.json("/studies"), json!([]));
}

#[test]
fn sto_05_an_empty_body_or_part_is_no_success() {
    let hilum = Hilum::start();
    assert_eq!(outcome(hilum.post("/studies", "application/dicom", "")).0, 409);
    assert_eq!(outcome(hilum.store(&[b"", b""])).0, 409);
}

#[test]
fn sto_05_22_limits_are_413_and_leave_nothing_behind() {
    let hilum = Hilum::with(|config| {
        config.limits.part_bytes_max = 20_000;
        config.limits.request_bytes_max = 100_000;
        config.limits.request_parts_max = 3;
    });
    let large = Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(200, 200, 1).file();
    problem(hilum.post("/studies", "application/dicom", large.clone()), 413, "too-large");
    problem(hilum.store(&[&large]), 413, "too-large");
    assert_eq!(hilum.json("/studies"), json!([]));
    // Announced to be too large: refused before the body is read.
    problem(hilum.post("/studies", "application/dicom", vec![0; 100_001]), 413, "too-large");
    let body = reqwest::blocking::Body::new(Slow(std::io::Cursor::new(vec![0; 200_000])));
    problem(hilum.post("/studies", "application/dicom", body), 413, "too-large");
    let files = [sample(1), sample(2), sample(3), sample(4)];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let response = hilum.store(&files);
    assert!(matches!(response.status().as_u16(), 400 | 413), "{}", response.status());
    assert_eq!(outcome(hilum.store(&files[..3])).0, 200);
}

#[test]
fn sto_22_a_body_that_breaks_off_stores_nothing_of_the_last_part() {
    let hilum = Hilum::start();
    let body = multipart("XX", &[&fixture("CT_small.dcm")]);
    let head = format!(
        "POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\
         Content-Type: multipart/related; type=application/dicom; boundary=XX\r\n\r\n",
        body.len()
    );
    // The connection ends in the middle of the pixel data.
    hilum.raw_and_close(&[head.as_bytes(), &body[..20_000]].concat());
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(hilum.json("/studies"), json!([]));
    assert_eq!(header(&hilum.get("/studies").send().unwrap(), "x-total-count"), "0");
}
