//! Which representation `Accept` means (NEG-01 to 14, MPR-1 to 5, IOP-03, 09,
//! 14), where no pixels need decoding.

use crate::{
    harness::{Hilum, parts},
    library::{header, problem},
    sample::Sample,
};

const PATH: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
const EXPLICIT: &str = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1";

fn server() -> Hilum {
    let hilum = Hilum::start();
    let files = [
        Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(2, 2, 2).file(),
        Sample::new("1.2", "1.2.1", "1.2.1.2").pixels(2, 2, 1).file(),
    ];
    assert_eq!(hilum.store(&[&files[0], &files[1]]).status(), 200);
    hilum
}

#[test]
fn neg_02_03_08_11_iop_03_frames_as_bytes() {
    let hilum = server();
    for accept in [
        "*/*",
        "multipart/related; type=\"application/octet-stream\"",
        "multipart/related; type=application/octet-stream",
        "multipart/related; type=application/octet-stream; transfer-syntax=*",
        "multipart/related;type=\"application/octet-stream\";transfer-syntax=\"1.2.840.10008.1.2.1\"",
        "multipart/related; type=\"application/octet-stream; transfer-syntax=*\"",
        "MULTIPART/Related; TYPE=\"Application/Octet-Stream\"",
        "multipart/related",
        "multipart/*",
        "multipart/related; type=\"image/jpx\", multipart/related; type=\"application/octet-stream\"; q=0.1",
        "multipart/related; type=\"application/octet-stream\"; foo=bar;null",
        "nonsense, multipart/related; type=\"application/octet-stream\"",
        "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
    ] {
        let response = hilum.get_as(&format!("{PATH}/frames/1"), accept);
        assert_eq!(response.status(), 200, "{accept}");
        let kind = header(&response, "content-type");
        assert!(
            kind.starts_with("multipart/related; type=\"application/octet-stream\"; boundary="),
            "{accept}: {kind}"
        );
        let found = parts(response);
        assert!(found[0].0.starts_with(&format!("Content-Type: {EXPLICIT}\r\n")), "{accept}: {}", found[0].0);
        assert_eq!(found[0].1, [1; 4]);
    }
    let single = hilum.get_as(&format!("{PATH}/frames/2"), "application/octet-stream");
    assert_eq!(header(&single, "content-type"), EXPLICIT);
    assert_eq!(single.bytes().unwrap(), [2; 4].as_slice());
}

#[test]
fn gen_07_neg_05_06_what_cannot_be_produced_is_406() {
    let hilum = server();
    for (path, accept) in [
        ("/frames/1", "multipart/related; type=\"image/jpeg\"; transfer-syntax=1.2.840.10008.1.2.4.50"),
        ("/frames/1", "image/jpx"),
        (
            "/frames/1",
            "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.4.90",
        ),
        ("/frames/1", "application/dicom"),
        ("/frames/1", "application/octet-stream;q=0"),
        ("/frames/1,2", "application/octet-stream"),
        // V13: never implicit, never big endian (GEN-07).
        ("", "multipart/related; type=\"application/dicom\"; transfer-syntax=1.2.840.10008.1.2"),
        ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.2"),
        ("", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.91"),
        ("", "text/html"),
    ] {
        problem(hilum.get_as(&format!("{PATH}{path}"), accept), 406, "not-acceptable");
    }
    // V14: a single part for a collection.
    for path in ["/studies/1.2", "/studies/1.2/series/1.2.1"] {
        problem(hilum.get_as(path, "application/dicom"), 406, "not-acceptable");
    }
}

#[test]
fn ret_03_neg_03_instances_in_either_form() {
    let hilum = server();
    for (accept, single) in [
        ("application/dicom", true),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.1", true),
        ("multipart/related; type=\"application/dicom\"", false),
        ("multipart/related; type=application/dicom; transfer-syntax=*", false),
        ("*/*", false),
        ("application/dicom;q=0.5, multipart/related; type=\"application/dicom\"", false),
        ("application/dicom, multipart/related; type=\"application/dicom\";q=0.5", true),
    ] {
        let response = hilum.get_as(PATH, accept);
        assert_eq!(response.status(), 200, "{accept}");
        let kind = header(&response, "content-type");
        let expected = if single {
            "application/dicom; transfer-syntax="
        } else {
            "multipart/related; type=\"application/dicom\"; boundary="
        };
        assert!(kind.starts_with(expected), "{accept}: {kind}");
    }
}

#[test]
fn neg_01_ret_13_the_accept_parameter_wins() {
    let hilum = server();
    let ask = |accept: &str, param: &str| {
        let path = format!("{PATH}/frames/1?accept={param}");
        hilum.get_as(&path, accept)
    };
    let kind = |accept: &str, param: &str| header(&ask(accept, param), "content-type");
    assert_eq!(kind("*/*", "application/octet-stream"), EXPLICIT);
    assert!(kind("*/*", "multipart/related;type=%22application/octet-stream%22").starts_with("multipart/"));
    // A type that the header does not allow is not acceptable by the parameter.
    assert!(kind("multipart/related", "application/octet-stream").starts_with("multipart/"));
    problem(ask("*/*", "*/*"), 400, "invalid-parameter");
    problem(ask("*/*", "image/*"), 400, "invalid-parameter");
}

#[test]
fn neg_01_a_missing_accept_means_anything_unless_strict() {
    let ask = |hilum: &Hilum, path: &str| {
        let request = format!("GET /dicomweb{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        hilum.raw(request.as_bytes())
    };
    let hilum = server();
    for path in ["/studies", PATH, "/studies/1.2/metadata"] {
        assert!(ask(&hilum, path).starts_with("HTTP/1.1 200"), "{path}");
    }
    let strict = Hilum::with(|config| config.strict.accept = true);
    for path in ["/studies", PATH, "/studies/1.2/metadata"] {
        assert!(ask(&strict, path).starts_with("HTTP/1.1 406"), "{path}: {}", ask(&strict, path));
    }
}

/// A kind of multipart that is never given counted as no Accept at all, and who
/// asked for it was sent another.
#[test]
fn neg_01_another_multipart_is_not_acceptable() {
    let hilum = server();
    for path in
        ["/studies", PATH, "/studies/1.2/metadata", &format!("{PATH}/frames/1"), &format!("{PATH}/rendered")]
    {
        for accept in ["multipart/mixed", "multipart/mixed; type=\"application/dicom\""] {
            problem(hilum.get_as(path, accept), 406, "not-acceptable");
        }
        assert_eq!(hilum.get_as(path, "multipart/mixed, */*;q=0.1").status(), 200, "{path}");
    }
}

/// MPR-5: a boundary is no constant, yet the same on every request.
#[test]
fn mpr_5_iop_10_boundaries_are_stable_and_no_constant() {
    let hilum = server();
    let boundary = |path: &str| {
        let kind = header(&hilum.get_as(path, "*/*"), "content-type");
        let boundary = kind.split("boundary=").nth(1).unwrap().to_owned();
        assert!((32..=70).contains(&boundary.len()), "{boundary}");
        assert!(
            boundary.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
            "{boundary}"
        );
        boundary
    };
    let paths =
        ["/studies/1.2".to_owned(), PATH.to_owned(), format!("{PATH}/frames/1"), format!("{PATH}/frames/2")];
    let first: Vec<String> = paths.iter().map(|path| boundary(path)).collect();
    let again: Vec<String> = paths.iter().map(|path| boundary(path)).collect();
    assert_eq!(first, again);
    let different: std::collections::BTreeSet<&String> = first.iter().collect();
    assert_eq!(different.len(), paths.len());
    let other = server();
    let kind = header(&other.get_as("/studies/1.2", "*/*"), "content-type");
    assert!(!kind.contains(&first[0]), "the key is of the archive, not of the program");
}
