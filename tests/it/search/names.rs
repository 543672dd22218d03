//! Names that end early (QRY-12): a client whose form has a field for each component
//! asks for `SMITH^*`, and the hospital's files say `SMITH`.

use super::{column, settle, sorted, total};
use crate::{harness::Hilum, sample::Sample};

#[rustfmt::skip]
const NAMES: [(&str, &str); 7] = [
    ("1.1", "SMITH"),
    ("1.2", "SMITH^"),
    ("1.3", "SMITH^^^^"),
    ("1.4", "SMITH^JOHN"),
    ("1.5", "SMITHSON"),
    ("1.6", "SMITH^JOHN^PAUL^DR"),
    ("1.7", "YAMADA^=山田^太郎=やまだ"),
];

const ALL_SMITHS: &[&str] = &["1.1", "1.2", "1.3", "1.4", "1.6"];
const JOHNS: &[&str] = &["1.4", "1.6"];

#[rustfmt::skip]
const KEYS: &[(&str, &[&str])] = &[
    ("SMITH%5E*", ALL_SMITHS),
    ("smith^*", ALL_SMITHS),
    ("SMITH%5E*%5E*", ALL_SMITHS),
    ("SMITH%5E*%5E*%5E*%5E*", ALL_SMITHS),
    ("SMITH%5E*%5E", ALL_SMITHS),
    ("SMITH%5E%5E*", &["1.1", "1.2", "1.3"]),
    ("SMITH", &["1.1", "1.2", "1.3"]),
    ("SMI*%5E*", &["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"]),
    ("*TH%5E*", ALL_SMITHS),
    ("SM?TH%5E*", ALL_SMITHS),
    ("SMITH%5EJOHN%5E*", JOHNS),
    ("SMITH%5EJO*%5E*", JOHNS),
    ("*%5EJOHN%5E*", JOHNS),
    ("SMITH%5EJOHN%5E%5E*", &["1.4"]),
    // Something must be there for these.
    ("SMITH%5E?*", JOHNS),
    ("SMITH%5E?*%5E*", JOHNS),
    ("SMITH%5E*%5E?*", &["1.6"]),
    ("SMIT%5E*", &[]),
    // Each component group by itself.
    ("YAMADA%5E*=%E5%B1%B1%E7%94%B0%5E*", &["1.7"]),
    ("YAMADA%5E*=%E5%B1%B1%E7%94%B0%5E%5E*", &[]),
    ("YAMADA%5E*=%E5%B1%B1%E7%94%B0%5E%E5%A4%AA%E9%83%8E%5E*=%E3%82%84%E3%81%BE%E3%81%A0%5E*", &["1.7"]),
    ("%E3%82%84%E3%81%BE%E3%81%A0%5E*", &["1.7"]),
];

fn check(hilum: &Hilum, when: &str) {
    let mut wrong = Vec::new();
    // The referring physician has the same name, and so have the two of each request.
    let attributes =
        ["PatientName", "ReferringPhysicianName", "RequestAttributesSequence.RequestingPhysician"];
    for (resource, attribute) in [
        ("studies", attributes[0]),
        ("studies", attributes[1]),
        ("series", attributes[2]),
        ("instances", attributes[0]),
    ] {
        for (key, expected) in KEYS {
            let found = hilum.json(&format!("/{resource}?{attribute}={key}"));
            let found = sorted(&found, "0020000D");
            if found != *expected {
                wrong.push(format!("{resource}?{attribute}={key}: {found:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
}

#[test]
fn qry_12_components_that_are_not_there_are_any() {
    let hilum = Hilum::start();
    for (study, name) in NAMES {
        let request = Sample::empty().text(0x0032_1032, "PN", name);
        let file = Sample::new(study, &format!("{study}.1"), &format!("{study}.1.1"))
            .text(0x0008_0005, "CS", "ISO_IR 192")
            .text(0x0008_0090, "PN", name)
            .text(0x0010_0010, "PN", name)
            .items(0x0040_0275, &[request])
            .file();
        assert_eq!(hilum.store(&[&file]).status(), 200);
    }
    check(&hilum, "right after the store");
    settle(&hilum);
    check(&hilum, "from the index");
}

/// A file that says its names under another VR: the index had them, though not as
/// names, and the search did not. There was one, and it was not in the list.
#[test]
fn names_under_another_vr_are_names() {
    let hilum = Hilum::start();
    for (study, name) in [("1.1", "Doe^Jörg"), ("1.2", "doe^jane=山田"), ("1.3", "12345")] {
        let file = Sample::new(study, &format!("{study}.1"), &format!("{study}.1.1"))
            .text(0x0008_0005, "CS", "ISO_IR 192")
            .text(0x0010_0010, "LO", name)
            .file();
        // It warns of the VR.
        assert!(hilum.store(&[&file]).status().is_success());
    }
    for round in ["overlay", "index"] {
        for (key, expected) in [
            ("DOE%5E*", &["1.1", "1.2"][..]),
            ("doe^jorg", &["1.1"]),
            ("=%E5%B1%B1*", &["1.2"]),
            ("12345", &["1.3"]),
            ("jane&fuzzymatching=true", &["1.2"]),
        ] {
            let query = format!("/studies?PatientName={key}");
            assert_eq!(sorted(&hilum.json(&query), "0020000D"), expected, "{round} {key}");
            assert_eq!(total(&hilum, &query), expected.len() as u64, "{round} {key}");
        }
        let ordered = hilum.json("/studies?orderby=PatientName");
        assert_eq!(column(&ordered, "0020000D"), ["1.3", "1.2", "1.1"], "{round}");
        settle(&hilum);
    }
}
