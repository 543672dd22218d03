//! What a client may ask of the server before it is refused: time for a search,
//! requests at once and in a second; and that no request makes it speak for
//! somebody else, to another server or on the connection of another client.

use std::net::TcpListener;

use serde_json::json;

use crate::{
    harness::{Hilum, until},
    library::{header, problem},
    sample::Sample,
};

/// Anything that only every instance can answer takes longer than this.
#[test]
fn a_search_that_takes_too_long_is_given_up_and_says_so() {
    let hilum = Hilum::with(|config| config.search.time_max_ms = 1);
    let long = "x".repeat(10_000);
    let files: Vec<Vec<u8>> = (0..400)
        .map(|number| {
            Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}")).text(0x0020_4000, "LT", &long).file()
        })
        .collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    for path in [
        "/instances?ImageComments=*y*",
        "/instances/count?ImageComments=*y*",
        "/studies/1.2/instances?ImageComments=*y*",
    ] {
        let body = problem(hilum.get(path).send().unwrap(), 413, "search-too-broad");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains("1 ms") && detail.contains("add a key"), "{detail}");
    }
    // What is found at once is found, and so is everything by its path.
    assert_eq!(hilum.get("/studies/1.2/series/1.2.1/instances/1.2.1.7").send().unwrap().status(), 200);
}

#[test]
fn requests_of_one_address_beyond_its_share_are_429() {
    let hilum = Hilum::with(|config| config.limits.address_requests_max = 2);
    // A busy machine may not have come to them yet: then they are begun again.
    let refused = (0..100).find_map(|_| {
        let slow = [hilum.open_upload(1000), hilum.open_upload(1000)];
        let response = hilum.get("/studies").send().unwrap();
        (response.status() != 200).then_some((slow, response))
    });
    let (slow, response) = refused.expect("a third request is refused");
    assert!(header(&response, "retry-after").parse::<u32>().is_ok());
    problem(response, 429, "too-many-requests");
    // Whoever watches the server still hears of it.
    assert_eq!(hilum.client.get(format!("{}/healthz", hilum.root)).send().unwrap().status(), 200);
    drop(slow);
    until("the share is given back", || hilum.get("/studies").send().unwrap().status() == 200);
}

#[test]
fn a_caller_that_asks_too_often_is_429() {
    let hilum = Hilum::with(|config| {
        config.limits.caller_requests_per_second_max = 1;
        config.limits.caller_requests_burst_max = 5;
    });
    let statuses: Vec<u16> =
        (0..30).map(|_| hilum.get("/studies").send().unwrap().status().as_u16()).collect();
    assert_eq!(statuses[..5], [200; 5]);
    assert!(statuses.contains(&429), "{statuses:?}");
    // Each client of a proxy that is trusted is one of its own.
    let hilum = Hilum::with(|config| {
        config.limits.caller_requests_per_second_max = 1;
        config.limits.caller_requests_burst_max = 1;
        config.trusted_proxies = vec!["127.0.0.1".to_owned().try_into().unwrap()];
    });
    for client in ["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8:0:1::1"] {
        let status = hilum.get("/studies").header("X-Forwarded-For", client).send().unwrap().status();
        assert_eq!(status, 200, "{client}");
    }
    // But not each address of one network.
    let response = hilum.get("/studies").header("X-Forwarded-For", "2001:db8::2").send().unwrap();
    problem(response, 429, "too-many-requests");
}

/// A proxy before the server may read these another way than the server does:
/// each is refused, or its end is beyond doubt.
#[test]
fn a_request_of_doubtful_length_is_no_two_requests() {
    let hilum = Hilum::start();
    let hidden = "GET /dicomweb/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = hidden.len();
    for head in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        "Content-Length: 0\r\nTransfer-Encoding: chunked".to_owned(),
        format!("Content-Length: {length}\r\nContent-Length: 0"),
        format!("Content-Length: {length}, 0"),
        format!("Content-Length: +{length}"),
        format!("Content-Length: 0x{length:x}"),
        format!("Content-Length : {length}"),
        format!("Content-Length: {length}\r\n Content-Length: 0"),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: identity, chunked".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding:\u{b}chunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
    ] {
        // To who believes in chunks, the body ends at once, and what is hidden is
        // the next request.
        let body = format!("0\r\n\r\n{hidden}");
        for body in [hidden, body.as_str()] {
            let request = format!(
                "POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: text/css\r\n{head}\r\n\r\n{body}"
            );
            let answer = hilum.raw(request.as_bytes());
            let answers = answer.matches("HTTP/1.1 ").count();
            let first: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(400);
            assert!((400..500).contains(&first), "{head}: {answer}");
            assert!(answers <= 1 && !answer.contains("no-such-resource"), "{head:?} {body:?}: {answer}");
        }
    }
}

/// Nothing is ever fetched from an address that a client gave.
#[test]
fn no_address_of_a_client_is_asked() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}/secret", elsewhere.local_addr().unwrap());
    let hilum = Hilum::start();
    let pixels = |uri: &str| {
        json!([{
            "00020010": { "vr": "UI", "Value": ["1.2.840.10008.1.2.1"] },
            "00080016": { "vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"] },
            "00080018": { "vr": "UI", "Value": ["1.2.1.1"] },
            "0020000D": { "vr": "UI", "Value": ["1.2"] },
            "0020000E": { "vr": "UI", "Value": ["1.2.1"] },
            "7FE00010": { "vr": "OW", "BulkDataURI": uri },
        }])
    };
    for uri in [url.as_str(), "file:///etc/passwd", "/etc/passwd", "../../../etc/passwd"] {
        let body = format!("--XX\r\nContent-Type: application/dicom+json\r\n\r\n{}\r\n--XX--", pixels(uri));
        let kind = "multipart/related; type=\"application/dicom+json\"; boundary=XX";
        let status = hilum.post("/studies", kind, body).status().as_u16();
        assert!((400..500).contains(&status), "{uri}: {status}");
    }
    // A file that says where its pixels are is kept as it is, and no more.
    let file = Sample::new("1.3", "1.3.1", "1.3.1.1").text(0x0028_7FE0, "UR", &url).file();
    assert_eq!(hilum.store(&[&file]).status(), 200);
    for path in ["", "/rendered", "/thumbnail", "/frames/1", "/metadata"] {
        let status =
            hilum.get(&format!("/studies/1.3/series/1.3.1/instances/1.3.1.1{path}")).send().unwrap().status();
        assert!(!status.is_server_error(), "{path}: {status}");
    }
    let host = url.trim_start_matches("http://").split('/').next().unwrap();
    for name in ["Host", "Forwarded", "X-Forwarded-Host", "Origin", "Referer"] {
        let value = if name == "Forwarded" { format!("host={host}") } else { host.to_owned() };
        let _ = hilum.get("/studies").header(name, value).send().unwrap();
    }
    assert!(elsewhere.accept().is_err(), "somebody called");
}

/// No answer runs anything in a browser, or is shown within somebody else's page,
/// but pictures.
#[test]
fn every_answer_tells_browsers_what_it_must_not_do() {
    let hilum = Hilum::start();
    assert_eq!(hilum.store(&[&Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(8, 8, 1).file()]).status(), 200);
    let instance = "/dicomweb/studies/1.2/series/1.2.1/instances/1.2.1.1";
    for path in [
        "/dicomweb/studies",
        "/dicomweb/studies?limit=x",
        "/dicomweb/nothing",
        "/nothing",
        "/dicomweb/studies/1.2/metadata",
        "/conformance",
        "/openapi.json",
        "/docs/index.html",
        "/healthz",
        "/metrics",
        instance,
        &format!("{instance}/rendered"),
    ] {
        let answer = hilum.client.get(format!("{}{path}", hilum.root)).send().unwrap();
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer", "{path}");
        let policy = header(&answer, "content-security-policy");
        if header(&answer, "content-type").starts_with("image/") {
            // Viewers show them within their pages.
            assert_eq!(policy, "", "{path}");
        } else {
            assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
            assert!(!policy.contains("script-src") && !policy.contains("unsafe-eval"), "{path}: {policy}");
        }
    }
}
