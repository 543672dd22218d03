//! Results as XML, as numbers, and in the only character set they have; the
//! same on every search resource.

use serde_json::{Value, json};

use super::settle;
use crate::{
    harness::{Hilum, parts},
    library::{header, part_header, problem},
    sample::Sample,
};

const XML: &str = "multipart/related; type=\"application/dicom+xml\"";

const RESOURCES: [(&str, u64); 6] = [
    ("/studies", 2),
    ("/series", 4),
    ("/instances", 8),
    ("/studies/1.1/series", 2),
    ("/studies/1.1/instances", 4),
    ("/studies/1.1/series/1.1.2/instances", 2),
];

/// Two studies of two series of two instances.
pub(super) fn store() -> Hilum {
    let hilum = Hilum::start();
    for number in 0..8 {
        let (study, series, instance) = (1 + number / 4, 1 + number / 2 % 2, 1 + number % 2);
        let step =
            Sample::empty().text(0x0040_0009, "SH", &format!("S{series}")).text(0x0040_0007, "LO", "Step");
        let file = Sample::new(
            &format!("1.{study}"),
            &format!("1.{study}.{series}"),
            &format!("1.{study}.{series}.{instance}"),
        )
        .text(0x0008_0005, "CS", "ISO_IR 192")
        .text(0x0008_0060, "CS", if series == 1 { "CT" } else { "MR" })
        .text(0x0010_0010, "PN", "Müller^Jörg^^Dr.=山田^太郎")
        .text(0x0010_0020, "LO", &format!("A&B <{study}>"))
        .text(0x0020_0013, "IS", &instance.to_string())
        .items(0x0040_0275, &[step])
        .text(0x0009_0010, "LO", "ACME 1.0")
        .text(0x0009_1001, "LO", "private")
        .bytes(0x0042_0011, "OB", vec![7; 70_000])
        .file();
        assert_eq!(hilum.store(&[&file]).status(), 200);
    }
    hilum
}

/// A document as DICOM JSON.
fn json_of(document: &[u8]) -> Value {
    let set = hilum::dicom::xml::read(document, hilum::dicom::xml::Limits::default()).expect("a document");
    let mut text = Vec::new();
    hilum::dicom::json::write(&set, &mut text);
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn xml_1_2_v17_every_search_resource_in_xml() {
    let hilum = store();
    for (path, count) in RESOURCES.into_iter().chain([("/patients", 2)]) {
        let response = hilum.get_as(path, XML);
        assert_eq!(
            (response.status().as_u16(), header(&response, "x-total-count")),
            (200, count.to_string())
        );
        let content_type = header(&response, "content-type");
        assert!(content_type.starts_with(&format!("{XML}; boundary=")), "{content_type}");
        let found = parts(response);
        assert_eq!(found.len() as u64, count, "{path}");
        let in_json = hilum.json(path);
        for ((head, document), expected) in found.iter().zip(in_json.as_array().expect("an array")) {
            assert_eq!(part_header(head, "Content-Type"), "application/dicom+xml");
            assert_eq!(part_header(head, "Content-Length"), document.len().to_string());
            assert_eq!(&json_of(document), expected, "{path}");
        }
    }
    let [(_, study)] = &parts(hilum.get_as("/studies?PatientID=A%26B%20%3C1%3E", XML))[..] else {
        panic!("one study")
    };
    let study = String::from_utf8_lossy(study);
    for expected in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel \
         xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\">",
        "<DicomAttribute tag=\"00100010\" vr=\"PN\" keyword=\"PatientName\"><PersonName number=\"1\"><Alphabetic>\
         <FamilyName>Müller</FamilyName><GivenName>Jörg</GivenName><NamePrefix>Dr.</NamePrefix></Alphabetic>\
         <Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic></PersonName>\
         </DicomAttribute>",
        "<Value number=\"1\">A&amp;B &lt;1&gt;</Value>",
        "<DicomAttribute tag=\"00080061\" vr=\"CS\" keyword=\"ModalitiesInStudy\"><Value number=\"1\">CT</Value>\
         <Value number=\"2\">MR</Value></DicomAttribute>",
    ] {
        assert!(study.contains(expected), "{expected}: {study}");
    }
}

/// A single part is for a single item, and a search has none (NEG-06); what
/// finds nothing has no body rather than one of no parts (MPR-6).
#[test]
fn neg_06_13_mpr_6_what_a_search_cannot_be_had_as() {
    let hilum = store();
    for path in ["/studies", "/studies/1.1/series/1.1.1/instances"] {
        for accept in ["application/dicom+xml", "application/dicom", "text/html"] {
            problem(hilum.get_as(path, accept), 406, "not-acceptable");
        }
        let both = format!("{XML};q=0.4, application/dicom+json;q=0.5");
        assert_eq!(header(&hilum.get_as(path, &both), "content-type"), "application/dicom+json");
    }
    let response = hilum.get_as("/studies?PatientID=nobody", XML);
    assert_eq!((response.status().as_u16(), header(&response, "x-total-count")), (204, "0".to_owned()));
    assert_eq!(response.text().unwrap(), "");
    let response =
        hilum.get("/studies?accept=multipart/related;type=application/dicom%2Bxml").send().unwrap();
    assert!(header(&response, "content-type").starts_with("multipart/related"));
}

#[test]
fn chs_1_2_every_answer_is_utf_8_whatever_is_wished() {
    let hilum = store();
    let plain = hilum.get("/studies").send().unwrap().bytes().unwrap();
    for (query, accept, charset) in [
        ("?charset=ISO-8859-1", "application/dicom+json", ""),
        ("?charset=utf-8", "*/*", ""),
        ("", "application/dicom+json; charset=iso-8859-5", ""),
        ("", "application/dicom+json; charset=\"ISO_IR 100\"", ""),
        ("", "application/json;charset=utf-8", "utf-8"),
        ("", "application/dicom+json", "iso-8859-1, *;q=0.1"),
        ("", "application/dicom+json", "nonsense"),
    ] {
        for path in ["/studies", "/studies/1.1/metadata"] {
            let request = hilum.get(&format!("{path}{query}")).header("Accept", accept);
            let response = request.header("Accept-Charset", charset).send().unwrap();
            assert_eq!(response.status(), 200, "{query} {accept} {charset}");
            assert_eq!(header(&response, "warning"), "");
            // IOP-11: the type and nothing else.
            assert_eq!(header(&response, "content-type"), "application/dicom+json");
            let body = response.bytes().unwrap();
            assert!(path != "/studies" || body == plain, "{query} {accept} {charset}");
            assert!(String::from_utf8(body.to_vec()).expect("UTF-8").contains("山田"));
        }
    }
}

#[test]
fn qrs_x_every_search_resource_can_be_counted() {
    let hilum = store();
    for round in ["overlay", "index"] {
        for (path, count) in RESOURCES.into_iter().chain([("/patients", 2)]) {
            let response = hilum.get(&format!("{path}/count")).send().unwrap();
            assert_eq!(header(&response, "content-type"), "application/json", "{path}");
            assert_eq!(header(&response, "cache-control"), "no-cache");
            let text = response.text().unwrap();
            assert_eq!(text, format!("{{\"count\":{count}}}"), "{round} {path}");
        }
        for (path, count) in [
            ("/studies/count?PatientName=m%C3%BCll*", 2),
            ("/studies/count?PatientID=A%26B%20%3C2%3E", 1),
            ("/studies/count?PatientID=nobody", 0),
            ("/studies/count?limit=1&offset=1&includefield=all&orderby=PatientName", 2),
            ("/series/count?Modality=MR", 2),
            ("/series/count?StudyInstanceUID=1.1&Modality=MR", 1),
            ("/studies/1.1/series/count?RequestAttributesSequence.ScheduledProcedureStepID=S2", 1),
            ("/instances/count?InstanceNumber=2", 4),
            ("/instances/count?00090010=ACME%201.0&00091001=private", 8),
            ("/instances/count?Modality=CT&InstanceNumber=1", 2),
            ("/studies/1.2/instances/count?InstanceNumber=2", 2),
            ("/studies/1.2/series/1.2.1/instances/count?SOPInstanceUID=1.2.1.1", 1),
            ("/studies/9/series/count", 0),
        ] {
            assert_eq!(hilum.json(path), json!({ "count": count }), "{round} {path}");
        }
        settle(&hilum);
    }
    problem(hilum.get("/studies/count?StudyDate=x").send().unwrap(), 400, "invalid-parameter");
    problem(hilum.get_as("/studies/count", "text/html"), 406, "not-acceptable");
    assert_eq!(hilum.get_as("/studies/count", "application/dicom+json").status(), 200);
    let response = hilum.get("/studies/count?Nonsense=1").send().unwrap();
    assert!(header(&response, "warning").contains("Nonsense"), "what is ignored is said");
    assert_eq!(hilum.delete("/studies/1.1").status(), 204);
    assert_eq!(hilum.json("/instances/count"), json!({ "count": 4 }));
}

/// What only whole instances have came with a BulkDataURI that began with the
/// byte that stands for their URL in the catalog.
#[test]
fn qry_08_a_bulk_value_in_a_result_has_an_absolute_url() {
    let hilum = store();
    let found =
        hilum.json("/studies/1.1/series/1.1.1/instances?InstanceNumber=1&includefield=EncapsulatedDocument");
    let url = found[0]["00420011"]["BulkDataURI"].as_str().expect("a URL");
    assert_eq!(url, format!("{}/studies/1.1/series/1.1.1/instances/1.1.1.1/bulkdata/00420011", hilum.base));
    let response = hilum.client.get(url).header("Accept", "application/octet-stream").send().unwrap();
    assert_eq!(response.bytes().unwrap().len(), 70_000);
}
