//! How clients ask (IOP-02, 07, 24), and what an empty answer is (IOP-19).

use super::{resources::small_archive, sorted};
use crate::{
    harness::Hilum,
    library::{header, problem},
};

#[test]
fn iop_02_07_the_dialect_of_ohif() {
    let hilum = small_archive();
    let query =
        "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030";
    for (more, expected) in [
        ("", vec!["1.1", "1.2"]),
        ("&PatientName=*doe1*", vec!["1.1"]),
        ("&00100020=*ID2*", vec!["1.2"]),
        ("&AccessionNumber=*CC*", vec!["1.1", "1.2"]),
        ("&StudyDescription=*udy%201*", vec!["1.1"]),
        ("&StudyDate=19700102-20240101", vec!["1.1"]),
        ("&ModalitiesInStudy=CT%2CMR", vec!["1.1", "1.2"]),
        ("&StudyInstanceUID=1.1%5C1.2", vec!["1.1", "1.2"]),
    ] {
        let accept =
            "application/dicom+json, multipart/related; type=application/octet-stream; transfer-syntax=*";
        let response = hilum.get_as(&format!("/studies?{query}{more}"), accept);
        assert_eq!(response.status(), 200, "{more}");
        let found = crate::library::json_of(response);
        assert_eq!(sorted(&found, "0020000D"), expected, "{more}");
    }
}

#[test]
fn iop_24_chs_4_the_dialects_of_weasis_and_python() {
    let hilum = small_archive();
    let tags = "00080020,00080030,00080050,00080061,00080090,00100010,00100020,00100021,00100030,00100040,0020000D,00200010,00081030";
    let found = hilum.json(&format!("/studies?00100020=ID1&includefield={tags}&offset=0&limit=50"));
    assert_eq!(sorted(&found, "0020000D"), ["1.1"]);
    let found = hilum.json("/series?0020000E=1.1.1&includefield=0020000D");
    assert_eq!(sorted(&found, "0020000D"), ["1.1"]);
    let found = hilum.json("/studies?PatientName=Doe1%5EJohn&StudyDescription=Study+1&includefield=00081030&includefield=PatientName");
    assert_eq!(sorted(&found, "00081030"), ["Study 1"]);
    let found = hilum.json("/studies/1.1/instances?SOPClassUID=1.2.840.10008.5.1.4.1.1.2&Modality=CT&includefield=AvailableTransferSyntaxUID");
    assert_eq!(found.as_array().map(Vec::len), Some(2));
}

#[test]
fn qry_31_iop_19_nothing_found() {
    let hilum = Hilum::start();
    for path in ["/studies", "/series", "/instances", "/studies/1.2/series", "/studies?PatientName=x"] {
        let response = hilum.get(path).send().unwrap();
        assert_eq!((response.status().as_u16(), header(&response, "x-total-count")), (200, "0".to_owned()));
        assert_eq!(header(&response, "content-type"), "application/dicom+json");
        assert_eq!(response.text().unwrap(), "[]", "{path}");
    }
    let old = Hilum::with(|config| config.search.empty_status = hilum::config::EmptyStatus::NoContent);
    for path in ["/studies", "/instances"] {
        let response = old.get(path).send().unwrap();
        assert_eq!(response.status(), 204);
        assert!(response.bytes().unwrap().is_empty());
    }
}

#[test]
fn only_json_is_given() {
    let hilum = Hilum::start();
    for path in ["/studies", "/series", "/instances", "/studies/1.2/instances"] {
        for accept in ["text/html", "application/dicom", "multipart/related; type=\"application/dicom\""] {
            problem(hilum.get_as(path, accept), 406, "not-acceptable");
        }
        for accept in ["application/json", "application/dicom+json;q=0.1, text/html", "*/*"] {
            let response = hilum.get_as(path, accept);
            assert_eq!(header(&response, "content-type"), "application/dicom+json", "{path} {accept}");
        }
    }
}
