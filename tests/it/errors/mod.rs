//! What is answered when something is wrong: `application/problem+json` of one
//! shape for every code, and the rules of GEN-01 to 10.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use reqwest::Method;

use crate::{
    harness::{Hilum, multipart, until},
    library::{header, problem},
    sample::Sample,
};

#[test]
fn gen_10_malformed_uids_are_400() {
    let hilum = Hilum::start();
    let long = "1".repeat(65);
    for (path, parameter) in [
        ("/studies/abc", "study"),
        ("/studies/abc/metadata", "study"),
        ("/studies/1.2/series/x", "series"),
        ("/studies/1.2/series/1.3/instances/x", "instance"),
        ("/studies/1.2/series/1.3/instances/x/frames/1", "instance"),
        ("/studies/1.2/series/1.3/instances/1%2F..%2F2", "instance"),
        ("/studies/%2E%2E%2F%2E%2E%2Fetc", "study"),
        ("/studies/1.2%00", "study"),
        ("/studies/1.2/series/1.3/instances/x/bulkdata/7FE00010", "instance"),
        (&format!("/studies/{long}"), "study"),
        ("/studies/1.2%C3%A9/series", "study"),
    ] {
        let body = problem(hilum.get(path).send().unwrap(), 400, "invalid-uid");
        assert_eq!(body["parameter"], parameter, "{path}");
    }
    // Leading zeros and 64 characters are real (GEN-10).
    for uid in ["1.02.003", "0", &"1".repeat(64)] {
        problem(hilum.get(&format!("/studies/{uid}")).send().unwrap(), 404, "not-found");
    }
}

#[test]
fn paths_that_lead_nowhere_are_404() {
    let hilum = Hilum::start();
    for path in
        ["/nothing", "/studies/1.2/nothing", "/studies/1.2/series/1.3/instances/1.4/frames", "/STUDIES"]
    {
        problem(hilum.get(path).send().unwrap(), 404, "no-such-resource");
    }
    let root = |path: &str| hilum.client.get(format!("{}{path}", hilum.root)).send().unwrap();
    problem(root("/dicomweb/../../etc/passwd"), 404, "no-such-resource");
    let answer =
        hilum.raw(b"GET /dicomweb/../../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn gen_02_slashes_too_many_do_no_harm() {
    let hilum = Hilum::start();
    assert_eq!(hilum.store(&[&Sample::new("1.2", "1.2.1", "1.2.1.1").file()]).status(), 200);
    for path in [
        "/studies/",
        "//studies",
        "/studies?",
        "/studies/1.2/",
        "/studies//1.2//metadata",
        "/studies/1.2/metadata/",
    ] {
        assert_eq!(hilum.get(path).send().unwrap().status(), 200, "{path}");
    }
    let response =
        hilum.post("/studies/", "application/dicom", Sample::new("1.2", "1.2.1", "1.2.1.2").file());
    assert_eq!(response.status(), 200);
}

#[test]
fn methods_that_a_resource_lacks_are_405_with_allow() {
    let hilum = Hilum::start();
    for (method, path, allow) in [
        (Method::PUT, "/studies", "GET, HEAD, POST, OPTIONS"),
        (Method::DELETE, "/studies", "GET, HEAD, POST, OPTIONS"),
        (Method::POST, "/series", "GET, HEAD, OPTIONS"),
        (Method::POST, "/studies/1.2/metadata", "GET, HEAD, OPTIONS"),
        (Method::PATCH, "/studies/1.2", "GET, HEAD, POST, DELETE, OPTIONS"),
        (Method::POST, "/studies/1.2/series/1.3", "GET, HEAD, DELETE, OPTIONS"),
        (Method::DELETE, "/studies/1.2/series/1.3/instances/1.4/frames/1", "GET, HEAD, OPTIONS"),
        (Method::TRACE, "/studies", "GET, HEAD, POST, OPTIONS"),
    ] {
        let response = hilum.request(method.clone(), path).send().unwrap();
        assert_eq!(header(&response, "allow"), allow, "{method} {path}");
        problem(response, 405, "method-not-allowed");
    }
}

#[test]
fn every_answer_has_an_id() {
    let hilum = Hilum::start();
    let id = |request: reqwest::blocking::RequestBuilder| header(&request.send().unwrap(), "x-request-id");
    let first = id(hilum.get("/studies"));
    assert!(first.len() >= 8);
    assert_ne!(id(hilum.get("/studies")), first);
    assert_eq!(id(hilum.get("/studies/1.2").header("X-Request-Id", "mine-1.2_3")), "mine-1.2_3");
    let body =
        problem(hilum.get("/studies/1.2").header("X-Request-Id", "abc").send().unwrap(), 404, "not-found");
    assert_eq!(body["request_id"], "abc");
    for bad in ["a b", "<script>", &"x".repeat(65), "\"quoted\""] {
        assert_ne!(id(hilum.get("/studies").header("X-Request-Id", bad)), bad);
    }
}

#[test]
fn huge_headers_and_urls_are_refused_and_cost_nothing() {
    let hilum = Hilum::start();
    let long = "a".repeat(1 << 20);
    for request in [
        format!("GET /dicomweb/studies HTTP/1.1\r\nHost: a\r\nAccept: {long}\r\n\r\n"),
        format!("GET /dicomweb/studies HTTP/1.1\r\nHost: {long}\r\n\r\n"),
        format!("GET /dicomweb/studies?PatientName={long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET /dicomweb/{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!(
            "POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: {long}\r\nContent-Length: 0\r\n\r\n"
        ),
        format!("{long} / HTTP/1.1\r\n\r\n"),
        format!("GET /dicomweb/studies HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(50_000)),
    ] {
        let answer = hilum.raw(request.as_bytes());
        let status: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        // A closed connection is an answer too.
        assert!(status == 0 || (400..500).contains(&status), "{request:.60}: {answer:.200}");
        assert_eq!(hilum.get("/studies").send().unwrap().status(), 200);
    }
    // What is still allowed: nonsense of some kilobytes.
    let some = "a/b;".repeat(4000);
    for (name, value) in
        [("Accept", some.as_str()), ("Range", &some), ("If-None-Match", &some), ("Accept-Encoding", &some)]
    {
        let status = hilum.get("/studies/1.2/metadata").header(name, value).send().unwrap().status().as_u16();
        assert!((400..500).contains(&status), "{name}: {status}");
    }
}

#[test]
fn requests_that_are_no_http() {
    let hilum = Hilum::start();
    for request in [
        "\0\0\0\0",
        "GET\r\n\r\n",
        "GET /dicomweb/studies HTTP/1.1\r\nHost a\r\n\r\n",
        "POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: application/dicom\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET /dicomweb/studies HTTP/1.1\r\n\r\n",
    ] {
        let answer = hilum.raw(request.as_bytes());
        assert!(!answer.starts_with("HTTP/1.1 5"), "{request:?}: {answer}");
    }
    assert_eq!(hilum.get("/studies").send().unwrap().status(), 200);
}

/// One request for each code that a client can bring about; its shape is
/// checked by `problem`.
#[test]
fn each_code_has_its_status() {
    let hilum = Hilum::with(|config| config.limits.part_bytes_max = 5000);
    let stored = Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(2, 2, 1).file();
    assert_eq!(hilum.store(&[&stored]).status(), 200);
    assert_eq!(hilum.store(&[&Sample::new("1.3", "1.3.1", "1.3.1.1").file()]).status(), 200);
    assert_eq!(hilum.delete("/studies/1.3").status(), 204);
    let get = |path: &str| hilum.get(path).send().unwrap();
    let related = "multipart/related; type=\"application/dicom\"; boundary=XX";
    problem(get("/studies?limit=x"), 400, "invalid-parameter");
    problem(get("/studies/x"), 400, "invalid-uid");
    problem(hilum.post("/studies", related, "nothing"), 400, "malformed-body");
    problem(get("/studies/9"), 404, "not-found");
    problem(get("/nothing"), 404, "no-such-resource");
    problem(hilum.request(Method::PUT, "/studies").send().unwrap(), 405, "method-not-allowed");
    problem(hilum.get_as("/studies", "text/css"), 406, "not-acceptable");
    problem(get("/studies/1.3"), 410, "gone");
    problem(hilum.post("/studies", related, multipart("XX", &[&vec![0; 6000]])), 413, "too-large");
    problem(hilum.post("/studies", "text/css", "x"), 415, "unsupported-media-type");
    problem(hilum.get("/studies").header("Host", "a b").send().unwrap(), 400, "bad-host");
}

/// A place for uploads that is taken: 503, and served again when it is free.
#[test]
fn too_many_uploads_are_503_with_retry_after() {
    let hilum = Hilum::with(|config| config.limits.uploads_max = 1);
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1").file();
    // A busy machine may not have come to the bytes yet: then they are sent again.
    let refused = (0..100).find_map(|_| {
        let mut slow = hilum.open_upload(100_000);
        // Who has sent next to nothing has no place yet.
        until("a place is free", || hilum.store(&[&file]).status() == 200);
        slow.write_all(&vec![0; 20_000]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        let response = hilum.store(&[&file]);
        (response.status() != 200).then_some((slow, response))
    });
    let (slow, response) = refused.expect("a second upload is refused");
    assert!(header(&response, "retry-after").parse::<u32>().is_ok());
    problem(response, 503, "busy");
    // Reads go on.
    assert_eq!(hilum.get("/studies").send().unwrap().status(), 200);
    drop(slow);
    until("the place is given back", || hilum.store(&[&file]).status() == 200);
}

/// A refused body must not be taken for the next request of the connection.
#[test]
fn a_refused_body_is_no_request() {
    let hilum = Hilum::start();
    let inner = "GET /dicomweb/smuggled HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000);
    for kind in ["text/css", "multipart/related; boundary=XX", "application/dicom"] {
        let request = format!(
            "POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{inner}\
             GET /dicomweb/series HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            inner.len()
        );
        let answer = hilum.raw(request.as_bytes());
        assert!(!answer.contains("no-such-resource"), "{kind}: {answer}");
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 2, "{kind}: {answer}");
    }
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let hilum = Hilum::start();
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1").file();
    let head = format!(
        "POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: application/dicom\r\nExpect: 100-continue\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    let answer = hilum.raw(&[head.as_bytes(), &file].concat());
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
}

/// A client that sends on although it has been refused was cut off after five seconds,
/// and if it then wrote before it read, it lost the answer.
#[test]
fn an_answer_amid_a_slow_body_is_not_lost() {
    let hilum = Hilum::start();
    let mut refused = TcpStream::connect(hilum.root.trim_start_matches("http://")).expect("a connection");
    let head = "POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nContent-Type: text/plain\r\n\r\n";
    refused.write_all(head.as_bytes()).expect("the server listens");
    for _ in 0..65 {
        std::thread::sleep(Duration::from_millis(100));
        refused.write_all(&[b'x'; 1000]).expect("it is still listened to");
    }
    let mut answer = String::new();
    refused.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    // It is read until nothing more comes.
    let _ = refused.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
}

/// Sixty-four clients that sent a byte now and then once kept everybody else from storing.
#[test]
fn a_body_that_does_not_come_is_408() {
    let hilum = Hilum::with(|config| config.limits.body_silent_seconds_max = 1);
    let mut silent = hilum.open_upload(1000);
    // A server that waits for it without end must not be waited for without end.
    silent.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut answer = String::new();
    silent.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("too-slow"), "{answer}");
}
