//! Resumable uploads: the tus protocol 1.0.0 and its extensions, and what
//! becomes of the bytes. No row of the checklist names it: it is not in PS3.18.

mod durable;

use std::{io::Write, net::TcpStream, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Method,
    blocking::{RequestBuilder, Response},
};
use serde_json::Value;

use crate::{
    harness::{Hilum, fixture, multipart},
    library::{header, json_of, problem, text, values},
    sample::Sample,
};

const STREAM: &str = "application/offset+octet-stream";

fn file(instance: &str, lines: u16) -> Vec<u8> {
    Sample::new("1.2", "1.2.1", instance).pixels(lines, 100, 1).file()
}

fn with_type(filetype: &str) -> String {
    format!("filename {},filetype {}", STANDARD.encode("a file.dcm"), STANDARD.encode(filetype))
}

impl Hilum {
    fn tus(&self, method: &str, url: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, url).header("Tus-Resumable", "1.0.0")
    }

    fn uploads(&self) -> String {
        format!("{}/uploads", self.root)
    }

    /// Begins an upload; its URL.
    fn begin(&self, length: usize, metadata: &str) -> String {
        let request = self.tus("POST", &self.uploads()).header("Upload-Length", length);
        let response = request.header("Upload-Metadata", metadata).send().unwrap();
        assert_eq!(response.status(), 201, "{}", response.text().unwrap());
        assert!(!header(&response, "upload-expires").is_empty());
        header(&response, "location")
    }

    fn patch(&self, url: &str, offset: usize, bytes: &[u8]) -> Response {
        let request = self.tus("PATCH", url).header("Upload-Offset", offset).header("Content-Type", STREAM);
        request.body(bytes.to_vec()).send().unwrap()
    }

    fn offset(&self, url: &str) -> u64 {
        let response = self.tus("HEAD", url).send().unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, "cache-control").as_str()),
            (200, "no-store")
        );
        header(&response, "upload-offset").parse().unwrap()
    }

    /// The report, once there is one.
    fn report(&self, url: &str) -> (u16, Value) {
        for _ in 0..300 {
            let response = self.client.get(url).send().unwrap();
            let status = response.status().as_u16();
            if !response.headers().contains_key("retry-after") {
                return (status, json_of(response));
            }
            assert_eq!(status, 202);
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("there is no report");
    }
}

#[test]
fn tus_options_say_what_there_is() {
    let hilum = Hilum::with(|config| config.limits.request_bytes_max = 5000);
    let options = hilum.client.request(Method::OPTIONS, hilum.uploads()).send().unwrap();
    assert_eq!(options.status(), 204);
    for (name, expected) in [
        ("tus-resumable", "1.0.0"),
        ("tus-version", "1.0.0"),
        ("tus-max-size", "5000"),
        ("tus-checksum-algorithm", "sha1,sha256"),
        (
            "tus-extension",
            "creation,creation-with-upload,creation-defer-length,checksum,termination,expiration",
        ),
    ] {
        assert_eq!(header(&options, name), expected, "{name}");
    }
}

#[test]
fn tus_a_file_in_pieces_is_stored_as_by_a_store_request() {
    let hilum = Hilum::start();
    let file = file("1.2.1.1", 60);
    let url = hilum.begin(file.len(), &with_type("application/dicom"));
    assert!(url.starts_with(&format!("{}/uploads/", hilum.root)));
    for (number, piece) in file.chunks(1000).enumerate() {
        assert_eq!(hilum.offset(&url), 1000 * number as u64);
        let progress = json_of(hilum.client.get(&url).send().unwrap());
        assert_eq!((&progress["state"], &progress["length"]), (&"receiving".into(), &file.len().into()));
        let response = hilum.patch(&url, 1000 * number, piece);
        assert_eq!(response.status(), 204);
        let offset = 1000 * number + piece.len();
        assert_eq!(header(&response, "upload-offset"), offset.to_string());
        assert_eq!(header(&response, "tus-resumable"), "1.0.0");
    }
    let (status, module) = hilum.report(&url);
    assert_eq!(status, 200, "{module}");
    let path = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
    let item = values(&module, "00081199")[0];
    assert_eq!(text(item, "00081190"), format!("{}{path}", hilum.base));
    let stored = hilum.get_as(path, "application/dicom; transfer-syntax=*").bytes().unwrap();
    assert_eq!(stored, file);
    // The offset stays what it was, and what was said of it too.
    let head = hilum.tus("HEAD", &url).send().unwrap();
    assert_eq!(header(&head, "upload-offset"), file.len().to_string());
    assert_eq!(header(&head, "upload-length"), file.len().to_string());
    assert_eq!(header(&head, "upload-metadata"), with_type("application/dicom"));
}

#[test]
fn tus_multipart_bodies_and_reports_of_every_kind() {
    let hilum = Hilum::start();
    let upload = |bytes: &[u8], filetype: &str| {
        let url = hilum.begin(bytes.len(), &with_type(filetype));
        assert_eq!(hilum.patch(&url, 0, bytes).status(), 204);
        hilum.report(&url)
    };
    let many = multipart("B", &[&file("1.2.1.1", 10), &file("1.2.1.2", 10), b"no DICOM"]);
    let (status, module) = upload(&many, "multipart/related; type=\"application/dicom\"; boundary=B");
    assert_eq!((status, values(&module, "00081199").len(), values(&module, "0008119A").len()), (202, 2, 1));
    let (status, module) = upload(&fixture("CT_small.dcm"), "application/octet-stream");
    assert_eq!(status, 200, "{module}");
    let (status, module) = upload(&Sample::new("1.2", "1.2.1", "1.2.1.1").file(), "");
    assert_eq!(status, 409, "{module}");
    let (status, told) = upload(b"no multipart", "multipart/related; boundary=B");
    assert_eq!((status, &told["code"]), (400, &"malformed-body".into()));
    assert_eq!(hilum.report(&hilum.begin(0, "")).0, 409, "no bytes at all are no instance");
}

#[test]
fn tus_creation_with_upload_and_deferred_length() {
    let hilum = Hilum::start();
    let file = file("1.2.1.1", 60);
    let begin = |length: (&'static str, String), bytes: &[u8]| {
        let request = hilum.tus("POST", &hilum.uploads()).header(length.0, length.1);
        request.header("Content-Type", STREAM).body(bytes.to_vec()).send().unwrap()
    };
    let response = begin(("Upload-Length", file.len().to_string()), &file[..100]);
    assert_eq!((response.status().as_u16(), header(&response, "upload-offset").as_str()), (201, "100"));
    let url = header(&response, "location");
    assert_eq!(hilum.patch(&url, 100, &file[100..]).status(), 204);
    assert_eq!(hilum.report(&url).0, 200);
    let response = begin(("Upload-Length", file.len().to_string()), &file);
    assert_eq!(hilum.report(&header(&response, "location")).0, 200);

    let response = begin(("Upload-Defer-Length", "1".to_owned()), &file[..100]);
    let url = header(&response, "location");
    let head = hilum.tus("HEAD", &url).send().unwrap();
    assert_eq!(
        (header(&head, "upload-defer-length"), header(&head, "upload-length")),
        ("1".into(), String::new())
    );
    assert_eq!(hilum.patch(&url, 100, &file[100..200]).status(), 204);
    let with_length = |length: usize, bytes: &[u8]| {
        let request = hilum.tus("PATCH", &url).header("Upload-Offset", 200).header("Content-Type", STREAM);
        request.header("Upload-Length", length).body(bytes.to_vec()).send().unwrap()
    };
    problem(with_length(199, b""), 400, "invalid-parameter");
    assert_eq!(with_length(file.len(), b"").status(), 204);
    problem(with_length(file.len() + 1, b""), 400, "invalid-parameter");
    assert_eq!(with_length(file.len(), &file[200..]).status(), 204);
    assert_eq!(hilum.report(&url).0, 200);
}

#[test]
fn tus_checksums() {
    let hilum = Hilum::start();
    let file = file("1.2.1.1", 60);
    let url = hilum.begin(file.len(), "");
    let patch = |offset: usize, bytes: &[u8], checksum: &str| {
        let request = hilum.tus("PATCH", &url).header("Upload-Offset", offset).header("Content-Type", STREAM);
        request.header("Upload-Checksum", checksum).body(bytes.to_vec()).send().unwrap()
    };
    problem(patch(0, &file[..500], "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0="), 460, "checksum-mismatch");
    assert_eq!(hilum.offset(&url), 0, "nothing of it is kept");
    problem(patch(0, &file[..500], "md5 abcd"), 400, "invalid-parameter");
    problem(patch(0, &file[..500], "sha1 ?"), 400, "invalid-parameter");
    use sha1::Digest as _;
    let sha1 = STANDARD.encode(sha1::Sha1::digest(&file[..500]));
    assert_eq!(patch(0, &file[..500], &format!("sha1 {sha1}")).status(), 204);
    let sha256 = STANDARD.encode(sha2::Sha256::digest(&file[500..]));
    assert_eq!(patch(500, &file[500..], &format!("sha256 {sha256}")).status(), 204);
    assert_eq!(hilum.report(&url).0, 200);
}

#[test]
fn tus_what_is_refused() {
    let hilum = Hilum::with(|config| config.limits.request_bytes_max = 5000);
    let begin = |change: fn(RequestBuilder) -> RequestBuilder| {
        change(hilum.tus("POST", &hilum.uploads())).send().unwrap()
    };
    problem(begin(|request| request), 400, "invalid-parameter");
    problem(begin(|request| request.header("Upload-Length", "x")), 400, "invalid-parameter");
    problem(begin(|request| request.header("Upload-Defer-Length", "2")), 400, "invalid-parameter");
    problem(begin(|request| request.header("Upload-Length", 5001)), 413, "too-large");
    let metadata = |metadata: &str| {
        hilum
            .tus("POST", &hilum.uploads())
            .header("Upload-Length", 1)
            .header("Upload-Metadata", metadata)
            .send()
            .unwrap()
    };
    problem(metadata("filetype ?"), 400, "invalid-parameter");
    problem(metadata(&with_type("text/plain")), 415, "unsupported-media-type");
    problem(metadata(&with_type("multipart/related; type=\"application/dicom\"")), 400, "malformed-body");
    let plain = hilum.client.post(hilum.uploads()).header("Upload-Length", 1).send().unwrap();
    assert_eq!(
        (header(&plain, "tus-version"), header(&plain, "tus-resumable")),
        ("1.0.0".into(), "1.0.0".into())
    );
    problem(plain, 412, "tus-version");

    let url = hilum.begin(1000, "");
    problem(hilum.patch(&url, 5, b"abc"), 409, "offset-mismatch");
    problem(hilum.patch(&url, 0, &[0; 1001]), 413, "too-large");
    // Of a body whose length is not announced, too.
    let request = hilum.tus("PATCH", &url).header("Upload-Offset", 0).header("Content-Type", STREAM);
    let long = reqwest::blocking::Body::new(std::io::Cursor::new(vec![0; 2000]));
    problem(request.body(long).send().unwrap(), 413, "too-large");
    let request = hilum.tus("PATCH", &url).header("Upload-Offset", 0).body("abc");
    problem(request.send().unwrap(), 415, "unsupported-media-type");
    problem(hilum.patch(&format!("{}/nothing", hilum.uploads()), 0, b"abc"), 404, "not-found");
    assert_eq!(hilum.tus("HEAD", &format!("{}/nothing", hilum.uploads())).send().unwrap().status(), 404);
    assert_eq!(hilum.client.head(&url).send().unwrap().status(), 412);
    problem(hilum.tus("PUT", &url).send().unwrap(), 405, "method-not-allowed");
    problem(hilum.tus("POST", &url).send().unwrap(), 405, "method-not-allowed");
}

#[test]
fn tus_termination_and_methods_in_disguise() {
    let hilum = Hilum::start();
    let file = file("1.2.1.1", 60);
    let url = hilum.begin(file.len(), "");
    assert_eq!(hilum.patch(&url, 0, &file[..100]).status(), 204);
    assert_eq!(hilum.tus("DELETE", &url).send().unwrap().status(), 204);
    assert_eq!(hilum.tus("HEAD", &url).send().unwrap().status(), 404);
    problem(hilum.client.get(&url).send().unwrap(), 404, "not-found");

    let url = hilum.begin(file.len(), "");
    let instead = |method: &str| hilum.tus("POST", &url).header("X-HTTP-Method-Override", method);
    let patch = instead("PATCH").header("Upload-Offset", 0).header("Content-Type", STREAM);
    assert_eq!(patch.body(file[..100].to_vec()).send().unwrap().status(), 204);
    assert_eq!(hilum.offset(&url), 100);
    assert_eq!(instead("DELETE").send().unwrap().status(), 204);
    assert_eq!(hilum.tus("HEAD", &url).send().unwrap().status(), 404);
}

/// Half a PATCH on a line of its own.
fn half_a_patch(hilum: &Hilum, url: &str, bytes: &[u8], more: usize) -> TcpStream {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let length = bytes.len() + more;
    let head = format!(
        "PATCH /{path} HTTP/1.1\r\nHost: {host}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: {STREAM}\r\nContent-Length: {length}\r\n\r\n"
    );
    for _ in 0..20 {
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(bytes).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        // Had the server not begun by now, this took the upload in its place.
        if hilum.patch(url, 0, b"").status() == 423 {
            return stream;
        }
    }
    panic!("the upload is not taken");
}

#[test]
fn tus_one_writes_at_a_time_and_a_cut_line_keeps_what_came() {
    let hilum = Hilum::start();
    let file = file("1.2.1.1", 300);
    let url = hilum.begin(file.len(), "");
    let line = half_a_patch(&hilum, &url, &file[..20_000], file.len() - 20_000);
    problem(hilum.patch(&url, 0, b"abc"), 423, "locked");
    problem(hilum.tus("DELETE", &url).send().unwrap(), 423, "locked");
    assert_eq!(hilum.offset(&url), 0, "what is not flushed is not told");
    drop(line);
    let mut offset = 0;
    for _ in 0..200 {
        offset = hilum.offset(&url) as usize;
        if offset > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(offset, 20_000);
    assert_eq!(hilum.patch(&url, offset, &file[offset..]).status(), 204);
    assert_eq!(hilum.report(&url).0, 200);
}

#[test]
fn tus_limits_and_expiry() {
    let hilum = Hilum::with(|config| {
        config.uploads.count_max = 2;
        config.uploads.bytes_max = 1000;
        config.uploads.idle_seconds_max = 3600;
    });
    let first = hilum.begin(600, "");
    let begin =
        |length: usize| hilum.tus("POST", &hilum.uploads()).header("Upload-Length", length).send().unwrap();
    problem(begin(1001), 413, "too-large");
    problem(begin(401), 503, "busy");
    hilum.begin(400, "");
    problem(begin(0), 503, "busy");
    assert_eq!(hilum.tus("DELETE", &first).send().unwrap().status(), 204);
    hilum.begin(600, "");

    let hilum = Hilum::with(|config| config.uploads.idle_seconds_max = 1);
    let url = hilum.begin(10, "");
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(hilum.tus("HEAD", &url).send().unwrap().status(), 404);
    problem(hilum.patch(&url, 0, b"abc"), 404, "not-found");
}

#[test]
fn tus_pages_of_other_origins_may_use_it() {
    let hilum = Hilum::with(|config| config.cors.origins = vec!["https://viewer.example.org".to_owned()]);
    let preflight = hilum
        .client
        .request(Method::OPTIONS, format!("{}/x", hilum.uploads()))
        .header("Origin", "https://viewer.example.org")
        .header("Access-Control-Request-Method", "PATCH")
        .header("Access-Control-Request-Headers", "tus-resumable,upload-offset,content-type")
        .send()
        .unwrap();
    assert!(preflight.status().is_success());
    assert!(header(&preflight, "access-control-allow-methods").contains("PATCH"));
    assert!(header(&preflight, "access-control-allow-headers").to_lowercase().contains("upload-offset"));
    let request = hilum.tus("POST", &hilum.uploads()).header("Upload-Length", 1);
    let begun = request.header("Origin", "https://viewer.example.org").send().unwrap();
    let exposed = header(&begun, "access-control-expose-headers").to_lowercase();
    for name in ["location", "upload-offset", "upload-length", "tus-resumable"] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
}
