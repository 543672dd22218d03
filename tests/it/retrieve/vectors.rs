//! The negotiation vectors (PS3.18 section 8.7) over HTTP: what is asked, how,
//! and what must come of it. A table.
//!
//! [`DECODES`] and [`RENDERS`] are the two places that say what this server can do;
//! what needs what it cannot do is 406.

use super::oracle;
use crate::{
    harness::{Hilum, fixture, parts},
    library::{header, part_header},
    sample::Sample,
};

/// Compressed pixels can be decoded.
const DECODES: bool = true;
/// Images can be rendered.
const RENDERS: bool = true;

const J2K: &str = "1.2.840.10008.1.2.4.90";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const MO: &str = "multipart/related; type=\"application/octet-stream\"";
const MD: &str = "multipart/related; type=\"application/dicom\"";
const XM: &str = "multipart/related; type=\"application/dicom+xml\"";
const JSON: &str = "application/dicom+json";
const OHIF: &str =
    "application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*";
const JAVA: &str = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2";
const BROWSER: &str = "image/avif,image/webp,image/*,*/*;q=0.8";
const EXPLICIT: &str = "; transfer-syntax=1.2.840.10008.1.2.1";

// The study: two frames of JPEG 2000, a JPEG, an uncompressed image in
// Implicit VR, a report and a PDF.
const STUDY: &str = "/studies/1.2";
const CODED: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
const LOSSY: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.2";
const PLAIN: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.3";
const REPORT: &str = "/studies/1.2/series/1.2.2/instances/1.2.2.1";
const PDF: &str = "/studies/1.2/series/1.2.2/instances/1.2.2.2";

/// What must come of a request.
#[derive(Debug, Clone)]
enum Expect {
    /// One part of this type.
    Single(String),
    /// The type of each part.
    Parts(Vec<String>),
    /// The same with 206 and a warning.
    Partial(Vec<String>),
    Status(u16),
}

use Expect::{Partial, Parts, Single, Status};

fn as_stored(transfer_syntax: &str) -> String {
    format!("application/dicom; transfer-syntax={transfer_syntax}")
}

fn single(kind: &str) -> Expect {
    Single(kind.to_owned())
}

fn parts_of(kinds: &[&str]) -> Expect {
    Parts(kinds.iter().map(|kind| (*kind).to_owned()).collect())
}

/// What is expected once pixels are decoded, and until then.
fn decoded(then: Expect) -> Expect {
    if DECODES { then } else { Status(406) }
}

/// What is expected once images are rendered, and until then.
fn rendered(then: Expect) -> Expect {
    if RENDERS { then } else { Status(406) }
}

fn server() -> Hilum {
    let hilum = Hilum::start();
    let grey = oracle::frames(&fixture("variants/MR_small_jp2klossless.dcm")).remove(0);
    let colour = oracle::frames(&fixture("SC_rgb_jpeg_dcmtk.dcm")).remove(0);
    let image = |instance: &str, samples: u16, size: u16, bits: u16, kind: &str| {
        Sample::new("1.2", "1.2.1", instance)
            .number(0x0028_0002, samples)
            .text(0x0028_0004, "CS", kind)
            .number(0x0028_0006, 0)
            .number(0x0028_0010, size)
            .number(0x0028_0011, size)
            .number(0x0028_0100, bits)
            .number(0x0028_0101, bits)
            .number(0x0028_0102, bits - 1)
            .number(0x0028_0103, u16::from(bits == 16))
    };
    let coded = image("1.2.1.1", 1, 64, 16, "MONOCHROME2").text(0x0028_0008, "IS", "2");
    let lossy = image("1.2.1.2", 3, 100, 8, "YBR_FULL");
    let pdf = Sample::new("1.2", "1.2.2", "1.2.2.2").text(0x0042_0012, "LO", "application/pdf").bytes(
        0x0042_0011,
        "OB",
        b"%PDF-1.7".to_vec(),
    );
    let report =
        Sample::new("1.2", "1.2.2", "1.2.2.1").text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.88.11");
    let files = [
        coded.encapsulated(J2K, &[&grey, &grey]),
        lossy.encapsulated(JPEG, &[&colour]),
        Sample::new("1.2", "1.2.1", "1.2.1.3").pixels(2, 2, 1).implicit(),
        report.file(),
        pdf.file(),
    ];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert!(hilum.store(&files).status().is_success());
    hilum
}

fn check(hilum: &Hilum, vector: &str, path: &str, accept: &str, expected: &Expect) {
    let response = hilum.get_as(path, accept);
    let status = response.status().as_u16();
    let said = format!("{vector}: {path} as {accept}");
    match expected {
        Status(expected) => assert_eq!(status, *expected, "{said}"),
        Single(kind) => {
            assert_eq!((status, header(&response, "content-type")), (200, kind.clone()), "{said}");
        }
        Parts(kinds) | Partial(kinds) => {
            let partial = matches!(expected, Partial(_));
            assert_eq!(status, if partial { 206 } else { 200 }, "{said}");
            assert_eq!(!header(&response, "warning").is_empty(), partial, "{said}");
            let root = kinds[0].split(';').next().unwrap();
            let kind = header(&response, "content-type");
            assert!(
                kind.starts_with(&format!("multipart/related; type=\"{root}\"; boundary=")),
                "{said}: {kind}"
            );
            let found: Vec<String> =
                parts(response).iter().map(|(head, _)| part_header(head, "content-type")).collect();
            assert_eq!(found, *kinds, "{said}");
        }
    }
}

#[test]
fn neg_01_v01_no_accept_at_all() {
    let file = Sample::new("1.2", "1.2.1", "1.2.1.3").pixels(2, 2, 1).file();
    for (strict, status) in [(true, 406), (false, 200)] {
        let hilum = Hilum::with(|config| config.strict.accept = strict);
        assert!(hilum.store(&[&file]).status().is_success());
        // A client of ours would add one.
        let request =
            format!("GET /dicomweb{PLAIN}/frames/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = hilum.raw(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

#[test]
fn v02_v03_v04_v05_v06_v07_v08_v09_v10_frames() {
    let hilum = server();
    let octets = format!("application/octet-stream{EXPLICIT}");
    let as_stored = format!("application/octet-stream; transfer-syntax={J2K}");
    let jp2 = format!("image/jp2; transfer-syntax={J2K}");
    let one = format!("{CODED}/frames/1");
    let two = format!("{CODED}/frames/1,2");
    let lossy = "multipart/related; type=\"image/jpeg\"; transfer-syntax=1.2.840.10008.1.2.4.50";
    // Who takes anything gets the stored form where it cannot be decoded.
    let anything = if DECODES { parts_of(&[&octets]) } else { parts_of(&[&as_stored]) };
    let any_image = "multipart/related; type=\"image/*\"; transfer-syntax=*";
    let table: [(&str, &str, &str, Expect); 14] = [
        ("V02", &one, "*/*", anything),
        ("V03", &one, MO, decoded(parts_of(&[&octets]))),
        (
            "V04",
            &one,
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            parts_of(&[&as_stored]),
        ),
        ("V05", &one, "multipart/related; type=\"image/jp2\"", parts_of(&[&jp2])),
        ("V06", &two, any_image, parts_of(&[&jp2, &jp2])),
        ("V06", &two, "multipart/related; type=\"image/*\"", parts_of(&[&jp2, &jp2])),
        ("V07", &one, "image/jp2", single(&jp2)),
        ("V07", &two, "image/jp2", Status(406)),
        ("V08", &one, lossy, Status(406)),
        (
            "V09",
            &one,
            &format!("{lossy}, multipart/related; type=\"image/jp2\"; transfer-syntax={J2K};q=0.1"),
            parts_of(&[&jp2]),
        ),
        ("V10", &format!("{LOSSY}/frames/1"), MO, decoded(parts_of(&[&octets]))),
        // The same of what needs no decoding.
        ("V02", &format!("{PLAIN}/frames/1"), "*/*", parts_of(&[&octets])),
        ("V03", &format!("{PLAIN}/frames/1"), MO, parts_of(&[&octets])),
        (
            "V05",
            &format!("{PLAIN}/frames/1"),
            "multipart/related; type=\"image/jp2\"",
            decoded(parts_of(&[&jp2])),
        ),
    ];
    for (vector, path, accept, expected) in &table {
        check(&hilum, vector, path, accept, expected);
    }
    let locations: Vec<String> = parts(hilum.get_as(&two, any_image))
        .iter()
        .map(|(head, _)| part_header(head, "content-location"))
        .collect();
    assert_eq!(locations, [1, 2].map(|frame| format!("{}{CODED}/frames/{frame}", hilum.base)));
}

#[test]
fn v11_v12_v13_v14_v15_neg_06_neg_07_instances() {
    let hilum = server();
    let explicit = format!("application/dicom{EXPLICIT}");
    let coded = format!("application/dicom; transfer-syntax={J2K}");
    let lossy = format!("application/dicom; transfer-syntax={JPEG}");
    let all = [coded.as_str(), &lossy, &explicit, &explicit, &explicit];
    let table: [(&str, &str, &str, Expect); 12] = [
        ("V11", CODED, "application/dicom", decoded(single(&explicit))),
        ("V11", PLAIN, "application/dicom", single(&explicit)),
        ("V12", CODED, "application/dicom; transfer-syntax=*", single(&coded)),
        // GEN-07: never Implicit VR, not even as it is stored.
        ("V12", PLAIN, "application/dicom; transfer-syntax=*", single(&explicit)),
        ("V13", PLAIN, &format!("{MD}; transfer-syntax=1.2.840.10008.1.2"), Status(406)),
        ("V13", PLAIN, &format!("{MD}; transfer-syntax=1.2.840.10008.1.2.2"), Status(406)),
        ("V14", STUDY, "application/dicom", Status(406)),
        ("V14", "/studies/1.2/series/1.2.1", "application/dicom; transfer-syntax=*", Status(406)),
        (
            "V15",
            STUDY,
            &format!("{MD}; transfer-syntax={J2K}"),
            Partial(vec![coded.clone(); if DECODES { 3 } else { 1 }]),
        ),
        ("V15", STUDY, &format!("{MD}; transfer-syntax=1.2.840.10008.1.2.4.51"), Status(406)),
        ("V15", STUDY, &format!("{MD}; transfer-syntax=*"), parts_of(&all)),
        (
            "V15",
            STUDY,
            MD,
            if DECODES { parts_of(&[explicit.as_str(); 5]) } else { Partial(vec![explicit.clone(); 3]) },
        ),
    ];
    for (vector, path, accept, expected) in &table {
        check(&hilum, vector, path, accept, expected);
    }
}

#[test]
fn v16_v17_v18_v19_v26_data_sets() {
    let hilum = server();
    let json = single(JSON);
    for path in [CODED, STUDY, "/studies/1.2/series/1.2.1"] {
        let path = format!("{path}/metadata");
        for accept in ["application/json", "*/*", "application/dicom+json;q=0.1, text/html"] {
            check(&hilum, "V16", &path, accept, &json);
        }
        check(&hilum, "V18", &path, OHIF, &json);
        check(&hilum, "V19", &path, "application/dicom", &Status(406));
        check(&hilum, "V26", &path, JAVA, &json);
    }
    for path in ["/studies/1.2/series", "/series", "/studies"] {
        check(&hilum, "V18", path, OHIF, &json);
        check(&hilum, "V26", path, JAVA, &json);
    }
    let xml = hilum.get_as(&format!("{CODED}/metadata"), XM);
    assert_eq!(xml.status(), 200, "V17");
    assert!(header(&xml, "content-type").starts_with(&format!("{XM}; boundary=")), "V17");
    assert_eq!(parts(xml).len(), 1, "V17");
    assert_eq!(parts(hilum.get_as(&format!("{STUDY}/metadata"), XM)).len(), 5, "V17: one for each instance");
}

#[test]
fn v20_v21_v22_v23_v24_v25_neg_04_rendered() {
    let hilum = server();
    let path = format!("{PLAIN}/rendered");
    let jpeg = || rendered(single("image/jpeg"));
    let png = || rendered(single("image/png"));
    let table: [(&str, String, &str, Expect); 9] = [
        ("V20", path.clone(), "image/png;q=0.9, image/jpeg;q=0.4", png()),
        ("V21", path.clone(), "application/dicom, image/jpeg", Status(400)),
        ("V22", path.clone(), BROWSER, jpeg()),
        ("V23", format!("{path}?accept=image/png"), "*/*", png()),
        ("V23", format!("{path}?accept=image/png"), "image/jpeg", jpeg()),
        ("V24", format!("{path}?accept=image/*"), "*/*", Status(400)),
        ("V24", format!("{path}?accept=application/dicom,image/png"), "*/*", Status(400)),
        ("V25", format!("{REPORT}/rendered"), "*/*", rendered(single("text/html; charset=utf-8"))),
        ("V25", format!("{REPORT}/rendered"), "image/jpeg", Status(406)),
    ];
    for (vector, path, accept, expected) in &table {
        check(&hilum, vector, path, accept, expected);
    }
}

#[test]
fn v27_blk_3_bulk_data_of_a_document() {
    let hilum = server();
    let path = format!("{PDF}/bulkdata/00420011");
    let octets = format!("application/octet-stream{EXPLICIT}");
    check(&hilum, "V27", &path, "application/pdf", &single("application/pdf"));
    check(&hilum, "V27", &format!("{path}?accept=application/pdf"), "*/*", &single("application/pdf"));
    check(&hilum, "V27", &path, "*/*", &parts_of(&[&octets]));
    check(&hilum, "V27", &path, MO, &parts_of(&[&octets]));
    check(&hilum, "V27", &format!("{PDF}/rendered"), "*/*", &single("application/pdf"));
}

#[test]
fn v28_the_uri_service() {
    let hilum = server();
    let query = "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.2.1&objectUID=1.2.1.3";
    check(&hilum, "V28", query, "*/*", &rendered(single("image/jpeg")));
    check(
        &hilum,
        "V28",
        &format!("{query}&contentType=application/dicom"),
        "*/*",
        &single("application/dicom"),
    );
    let with_syntax = format!("{query}&contentType=application/dicom;transfer-syntax=1.2.840.10008.1.2.1");
    check(&hilum, "V28", &with_syntax, "*/*", &Status(400));
}

/// The parameter goes before the header, if the header allows what it says.
#[test]
fn neg_01_neg_02_neg_03_neg_05_neg_06_the_accept_parameter() {
    let hilum = server();
    let explicit = format!("application/dicom{EXPLICIT}");
    let octets = format!("application/octet-stream{EXPLICIT}");
    let frame = format!("{PLAIN}/frames/1");
    let (coded, lossy) = (as_stored(J2K), as_stored(JPEG));
    let anything = if DECODES {
        [explicit.as_str(); 5]
    } else {
        [coded.as_str(), &lossy, &explicit, &explicit, &explicit]
    };
    let anything = parts_of(&anything);
    let table: [(&str, String, &str, Expect); 14] = [
        ("NEG-01", format!("{PLAIN}?accept=application/dicom"), "*/*", single(&explicit)),
        ("NEG-01", format!("{PLAIN}?accept=application/dicom"), "application/*", single(&explicit)),
        // Not covered by the header: not acceptable, and the header decides.
        ("NEG-01", format!("{PLAIN}?accept=application/dicom"), MD, parts_of(&[&explicit])),
        ("NEG-01", format!("{PLAIN}?accept=application/dicom"), "text/html", Status(406)),
        ("NEG-01", format!("{frame}?accept=application/octet-stream"), "*/*", single(&octets)),
        ("NEG-01", format!("{frame}?accept=*/*"), "*/*", Status(400)),
        ("NEG-01", format!("{frame}?accept=text"), "*/*", Status(400)),
        ("NEG-02", frame.clone(), "text, ;;, a/b/c, application/octet-stream;foo=\"bar", single(&octets)),
        ("NEG-03", frame.clone(), "application/octet-stream;q=0.1, */*", single(&octets)),
        ("NEG-03", frame.clone(), "*/*;q=0.1, application/octet-stream;q=0", parts_of(&[&octets])),
        // Both forms of the bytes may be refused; nothing else is made of them.
        ("NEG-05", frame.clone(), "image/png", Status(406)),
        // A file is no answer for a study; the header's wildcard is.
        ("NEG-06", format!("{STUDY}?accept=application/dicom"), "*/*", anything),
        ("NEG-06", format!("{STUDY}/bulkdata"), "application/octet-stream", Status(406)),
        ("NEG-06", format!("{PLAIN}/frames/1?accept=image/png"), "image/png", Status(406)),
    ];
    for (vector, path, accept, expected) in &table {
        check(&hilum, vector, path, accept, expected);
    }
}
