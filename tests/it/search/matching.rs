//! The kinds of matching (QRY-10 to 23): each query with the studies it finds,
//! once from the overlay, right after the store, and once through the index.

use super::{settle, sorted, warnings};
use crate::{harness::Hilum, library::problem, sample::Sample};

struct Row {
    study: &'static str,
    name: &'static str,
    id: &'static str,
    date: &'static str,
    time: &'static str,
    description: &'static str,
    modalities: &'static [&'static str],
}

#[rustfmt::skip]
const ROWS: [Row; 6] = [
    Row { study: "1.1", name: "Doe^John", id: "A-1", date: "20240101", time: "0900", description: "CT Thorax", modalities: &["CT"] },
    Row { study: "1.2", name: "Müller^Jörg", id: "a-1", date: "20240102", time: "101530.5", description: "ct thorax", modalities: &["MR", "PR"] },
    Row { study: "1.3", name: "Yamada^Tarou=山田^太郎=やまだ^たろう", id: "A-10", date: "20240103", time: "235959", description: "Knee, left & right", modalities: &["CT", "MR"] },
    Row { study: "1.4", name: "", id: "", date: "", time: "", description: "", modalities: &[] },
    Row { study: "1.5", name: "Doe^Jane^Mary^Dr", id: "B 2", date: "20231231", time: "000000", description: "C*T?", modalities: &["US"] },
    Row { study: "1.6", name: "DOE", id: "B+2", date: "20240102", time: "18", description: "Thorax", modalities: &["CT", "SR"] },
];

#[rustfmt::skip]
const QUERIES: &[(&str, &[&str])] = &[
    // Names: folded, by component group (QRY-10 to 12).
    ("PatientName=doe^john", &["1.1"]),
    ("PatientName=DOE%5EJOHN", &["1.1"]),
    ("PatientName=Doe", &["1.6"]),
    ("PatientName=Doe*", &["1.1", "1.5", "1.6"]),
    ("PatientName=*j*", &["1.1", "1.2", "1.5"]),
    ("PatientName=muller^jorg", &["1.2"]),
    ("PatientName=M%C3%BCller*", &["1.2"]),
    ("PatientName=M?ller*", &["1.2"]),
    ("PatientName=%E5%B1%B1%E7%94%B0*", &["1.3"]),
    ("PatientName=*%E3%82%84%E3%81%BE*", &["1.3"]),
    ("PatientName=*", &["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]),
    ("PatientName=", &["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]),
    ("PatientName=nobody", &[]),
    ("PatientName=jo+do&fuzzymatching=true", &["1.1"]),
    ("PatientName=doe&fuzzymatching=true", &["1.1", "1.5", "1.6"]),
    ("PatientName=doe&fuzzymatching=false", &["1.6"]),
    ("PatientName=jor&fuzzymatching=true", &["1.2"]),
    // Text: exact and case-sensitive; wildcards.
    ("PatientID=A-1", &["1.1"]),
    ("PatientID=a-1", &["1.2"]),
    ("PatientID=A-1*", &["1.1", "1.3"]),
    ("PatientID=?-1", &["1.1", "1.2"]),
    ("PatientID=*1*", &["1.1", "1.2", "1.3"]),
    ("00100020=A-10", &["1.3"]),
    ("PatientID=B+2", &["1.5"]),
    ("PatientID=B%202", &["1.5"]),
    ("PatientID=B%2B2", &["1.6"]),
    ("PatientID=A-1%20%20", &["1.1"]),
    ("StudyDescription=*horax", &["1.1", "1.2", "1.6"]),
    ("StudyDescription=CT%20Thorax", &["1.1"]),
    ("StudyDescription=C*T?", &["1.5"]),
    ("StudyDescription=Knee%2C%20left%20%26%20right", &["1.3"]),
    ("StudyDescription=?????", &[]),
    ("StudyDescription=??????", &["1.6"]),
    // Dates and times (QRY-13, 14).
    ("StudyDate=20240102", &["1.2", "1.6"]),
    ("StudyDate=2024.01.02", &["1.2", "1.6"]),
    ("StudyDate=20240102-", &["1.2", "1.3", "1.6"]),
    ("StudyDate=-20240101", &["1.1", "1.5"]),
    ("StudyDate=20240101-20240102", &["1.1", "1.2", "1.6"]),
    ("StudyDate=20240103-20240101", &[]),
    ("StudyTime=0900", &["1.1"]),
    ("StudyTime=10-11", &["1.2"]),
    ("StudyTime=-0900", &["1.1", "1.5"]),
    ("StudyTime=18-", &["1.3", "1.6"]),
    ("StudyTime=2359-", &["1.3"]),
    ("StudyTime=101530-101530", &["1.2"]),
    ("StudyDate=20240101-20240102&StudyTime=1000-1200", &["1.2"]),
    ("StudyDate=20231231-20240102&StudyTime=1000-1000", &["1.1"]),
    ("StudyDate=20240102&StudyTime=1800-1900", &["1.6"]),
    // In a zone, up to the last day of all (QRY-15).
    ("StudyDate=20240102-99991231&TimezoneOffsetFromUTC=%2B0100", &["1.2", "1.3", "1.6"]),
    ("StudyDate=20240102-99991231&StudyTime=1100-&TimezoneOffsetFromUTC=-0500", &["1.3", "1.6"]),
    ("StudyDate=-99991231&StudyTime=-2300&TimezoneOffsetFromUTC=%2B0000", &["1.1", "1.2", "1.3", "1.5", "1.6"]),
    // UIDs: one, a list, repeated (QRY-02).
    ("StudyInstanceUID=1.1", &["1.1"]),
    ("StudyInstanceUID=1.1,1.2,9.9", &["1.1", "1.2"]),
    ("StudyInstanceUID=1.1%2C1.3", &["1.1", "1.3"]),
    ("StudyInstanceUID=1.1%5C1.3", &["1.1", "1.3"]),
    ("StudyInstanceUID=1.1&StudyInstanceUID=1.2", &["1.1", "1.2"]),
    ("0020000d=1.1", &["1.1"]),
    // The computed (QRY-23).
    ("ModalitiesInStudy=CT", &["1.1", "1.3", "1.6"]),
    ("ModalitiesInStudy=CT,MR", &["1.1", "1.2", "1.3", "1.6"]),
    ("ModalitiesInStudy=CT%2CMR", &["1.1", "1.2", "1.3", "1.6"]),
    ("ModalitiesInStudy=CT%5CMR", &["1.1", "1.2", "1.3", "1.6"]),
    ("ModalitiesInStudy=?R", &["1.2", "1.3", "1.6"]),
    ("Modality=US", &["1.5"]),
    ("NumberOfStudyRelatedSeries=2", &["1.2", "1.3", "1.6"]),
    // Several keys, case of names, unknown ones.
    ("PatientName=doe*&StudyDate=20240101-", &["1.1", "1.6"]),
    ("PatientName=doe*&PatientID=B*&ModalitiesInStudy=US", &["1.5"]),
    ("unknown=1&PatientID=A-1", &["1.1"]),
];

fn store() -> Hilum {
    let hilum = Hilum::start();
    for Row { study, name, id, date, time, description, modalities } in &ROWS {
        let modalities: &[&str] = if modalities.is_empty() { &[""] } else { modalities };
        let files: Vec<Vec<u8>> = modalities
            .iter()
            .enumerate()
            .map(|(number, modality)| {
                Sample::new(study, &format!("{study}.{number}"), &format!("{study}.{number}.1"))
                    .text(0x0008_0005, "CS", "ISO_IR 192")
                    .text(0x0008_0020, "DA", date)
                    .text(0x0008_0030, "TM", time)
                    .text(0x0008_0060, "CS", modality)
                    .text(0x0008_1030, "LO", description)
                    .text(0x0010_0010, "PN", name)
                    .text(0x0010_0020, "LO", id)
                    .file()
            })
            .collect();
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        assert_eq!(hilum.store(&files).status(), 200);
    }
    hilum
}

fn check(hilum: &Hilum, when: &str) {
    let mut wrong = Vec::new();
    for (query, expected) in QUERIES {
        let found = hilum.json(&format!("/studies?{query}"));
        let found = sorted(&found, "0020000D");
        if found != *expected {
            wrong.push(format!("{query}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
}

#[test]
fn qry_01_to_03_10_to_14_16_17_22_23_chs_4_studies_by_every_kind_of_key() {
    let hilum = store();
    check(&hilum, "right after the store");
    settle(&hilum);
    check(&hilum, "from the index");
    let hilum = hilum.restart();
    check(&hilum, "after a restart");
}

#[test]
fn gen_03_qry_11_13_22_what_is_wrong_is_400_and_named() {
    let hilum = Hilum::start();
    for (query, parameter) in [
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("offset=1.5", "offset"),
        ("offset=", "offset"),
        ("limit=1&limit=2", "limit"),
        ("fuzzymatching=maybe", "fuzzymatching"),
        ("StudyDate=2024*", "StudyDate"),
        ("StudyDate=-", "StudyDate"),
        ("StudyDate=yesterday", "StudyDate"),
        ("StudyDate=20241301", "StudyDate"),
        ("StudyTime=25", "StudyTime"),
        ("StudyInstanceUID=1.2.*", "StudyInstanceUID"),
        ("StudyInstanceUID=../1", "StudyInstanceUID"),
        ("0020000D=abc", "0020000D"),
        ("PatientName=%FF", "PatientName"),
        ("PatientName=%2", "PatientName"),
        ("NumberOfStudyRelatedSeries=many", "NumberOfStudyRelatedSeries"),
        ("orderby=Nonsense", "orderby"),
        ("orderby=SeriesNumber", "orderby"),
    ] {
        let body = problem(hilum.get(&format!("/studies?{query}")).send().unwrap(), 400, "invalid-parameter");
        assert_eq!(body["parameter"], parameter, "{query}: {body}");
    }
    // The value may be a patient's: it is never repeated.
    let body = problem(hilum.get("/studies?StudyDate=Mustermann").send().unwrap(), 400, "invalid-parameter");
    assert!(!body.to_string().contains("Mustermann"), "{body}");
}

#[test]
fn gen_03_qry_04_06_30_what_is_ignored_is_said() {
    let hilum = Hilum::start();
    assert_eq!(hilum.store(&[&Sample::new("1.2", "1.2.1", "1.2.1.1").file()]).status(), 200);
    for (query, word) in [
        ("unknown=1", "unknown"),
        ("SOPInstanceUID=1.2", "SOPInstanceUID"),
        ("NoSuchKeyword=1", "NoSuchKeyword"),
        ("PixelData=1", "PixelData"),
        // It found nothing, without a word.
        ("RetrieveURL=http://elsewhere/studies/1.2", "RetrieveURL"),
        ("00081190=x", "00081190"),
    ] {
        let path = format!("/studies?{query}");
        assert!(warnings(&hilum, &path).contains(word), "{query}: {}", warnings(&hilum, &path));
        assert_eq!(hilum.json(&path).as_array().map(Vec::len), Some(1), "{query}");
    }
    assert_eq!(warnings(&hilum, "/studies"), "");
    assert_eq!(warnings(&hilum, "/studies?RetrieveURL="), "", "it is asked for");
    assert_eq!(warnings(&hilum, "/studies?PatientName=x&fuzzymatching=true"), "");
    let strict = Hilum::with(|config| config.strict.query = true);
    for query in ["SOPInstanceUID=1.2", "NoSuchKeyword=1", "RetrieveURL=x"] {
        problem(strict.get(&format!("/studies?{query}")).send().unwrap(), 400, "invalid-parameter");
    }
}

#[test]
fn hostile_queries_are_answered() {
    let hilum = store();
    let many = (0..3000).map(|number| format!("1.2.{number}")).collect::<Vec<_>>().join(",");
    let keys = (0..200).map(|number| format!("001000{:02X}=1", number % 256)).collect::<Vec<_>>().join("&");
    for query in [
        format!("PatientName={}", "*a".repeat(2000)),
        format!("PatientName={}", "?".repeat(5000)),
        format!("StudyInstanceUID={many}"),
        keys,
        "&&&===&=&".to_owned(),
        "=".to_owned(),
        "%".to_owned(),
        "PatientName=%00".to_owned(),
        "PatientName=%E0%80%80".to_owned(),
        format!("{}=1", "RequestAttributesSequence.".repeat(300)),
        "limit=99999999999999999999999&offset=99999999999999999999999".to_owned(),
        "PatientName=\"%22%5C()[]{}:^~AND OR NOT".replace(' ', "%20"),
        "includefield=,,,,all,,".to_owned(),
        "orderby=PatientName,-PatientName,StudyDate,StudyDate".to_owned(),
    ] {
        let request =
            format!("GET /dicomweb/studies?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = hilum.raw(request.as_bytes());
        let status: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        assert!((200..500).contains(&status), "{query:.80}: {answer:.200}");
    }
}

/// QRY-18: all keys of a sequence match within one item.
#[test]
fn qry_18_sequences_match_item_by_item() {
    let hilum = Hilum::start();
    let item = |step: &str, procedure: &str| {
        Sample::empty().text(0x0040_0009, "SH", step).text(0x0040_1001, "SH", procedure)
    };
    let files = [
        Sample::new("1.1", "1.1.1", "1.1.1.1")
            .items(0x0040_0275, &[item("S1", "P1"), item("S2", "P2")])
            .file(),
        Sample::new("1.2", "1.2.1", "1.2.1.1").items(0x0040_0275, &[item("S1", "P2")]).file(),
        Sample::new("1.3", "1.3.1", "1.3.1.1").file(),
    ];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    let find = |query: &str| {
        let found = hilum.json(&format!("/series?{query}"));
        sorted(&found, "0020000D").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        assert_eq!(find("RequestAttributesSequence.ScheduledProcedureStepID=S1"), ["1.1", "1.2"]);
        let both = "00400275.00400009=S1&RequestAttributesSequence.RequestedProcedureID=P2";
        assert_eq!(find(both), ["1.2"]);
        assert_eq!(find("00400275.00400009=S*&00400275.00401001=P1"), ["1.1"]);
        assert_eq!(find("00400275.00400009="), ["1.1", "1.2", "1.3"]);
        // Only the items that match come back.
        let found = hilum.json("/series?00400275.00401001=P2&StudyInstanceUID=1.1");
        assert_eq!(found[0]["00400275"]["Value"].as_array().map(Vec::len), Some(1), "{found}");
        settle(&hilum);
    }
    problem(hilum.get("/series?RequestAttributesSequence=x").send().unwrap(), 400, "invalid-parameter");
}

/// QRY-05: a private attribute with its creator, in whatever block it stands.
#[test]
fn qry_05_private_attributes_with_their_creator() {
    let hilum = Hilum::start();
    let files = [
        Sample::new("1.1", "1.1.1", "1.1.1.1")
            .text(0x0023_0010, "LO", "ACME")
            .text(0x0023_1001, "LO", "yes")
            .file(),
        Sample::new("1.1", "1.1.1", "1.1.1.2")
            .text(0x0023_0011, "LO", "ACME")
            .text(0x0023_1101, "LO", "yes")
            .file(),
        Sample::new("1.1", "1.1.1", "1.1.1.3")
            .text(0x0023_0010, "LO", "OTHER")
            .text(0x0023_1001, "LO", "yes")
            .file(),
    ];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    let found = hilum.json("/studies/1.1/instances?00230010=ACME&00231001=yes");
    assert_eq!(sorted(&found, "00080018"), ["1.1.1.1", "1.1.1.2"]);
    assert!(warnings(&hilum, "/studies/1.1/instances?00231001=yes").contains("creator"));
}

/// A study named twice was found twice, and counted twice: by a client whose
/// list of UIDs had a double, and by the property test.
#[test]
fn qry_02_a_uid_named_twice_is_found_once() {
    let hilum = store();
    for (path, count) in [
        ("/studies?StudyInstanceUID=1.1,1.1", 1),
        ("/studies?StudyInstanceUID=1.1&StudyInstanceUID=1.1", 1),
        ("/series?StudyInstanceUID=1.2,1.1,1.2", 3),
        ("/instances?StudyInstanceUID=1.2%5C1.2", 2),
        ("/instances?SOPInstanceUID=1.1.0.1,1.1.0.1", 1),
        ("/series?SeriesInstanceUID=1.1.0,1.1.0", 1),
    ] {
        assert_eq!(super::total(&hilum, path), count, "{path}");
        assert_eq!(hilum.json(path).as_array().map(|found| found.len() as u64), Some(count), "{path}");
    }
}

/// QRY-19 to 21, and keys of the lower levels.
#[test]
fn qry_02_19_to_21_32_lists_of_values_and_empty_ones() {
    let hilum = store();
    let find = |path: &str, tag: &str| {
        let found = hilum.json(path);
        sorted(&found, tag).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(find("/studies?multiplevaluematching=true&ModalitiesInStudy=CT%5CMR", "0020000D"), ["1.3"]);
    assert_eq!(find("/studies?emptyvaluematching=true&PatientID=%22%22", "0020000D"), ["1.4"]);
    assert_eq!(find("/series?Modality=CT&PatientName=doe*", "0020000E"), ["1.1.0", "1.6.0"]);
    assert_eq!(find("/series?ModalitiesInStudy=SR", "0020000E"), ["1.6.0", "1.6.1"]);
    assert_eq!(
        find("/instances?SeriesInstanceUID=1.2.0&SeriesInstanceUID=1.2.1", "00080018"),
        ["1.2.0.1", "1.2.1.1"]
    );
    assert_eq!(find("/instances?SOPInstanceUID=1.1.0.1,1.3.0.1", "00080018"), ["1.1.0.1", "1.3.0.1"]);
    assert_eq!(find("/instances?StudyInstanceUID=1.1&PatientID=nobody", "00080018"), Vec::<String>::new());
}
