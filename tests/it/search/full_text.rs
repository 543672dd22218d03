//! Full text (`q=`): words wherever they stand, ranked, in any script, with
//! typing errors; alike right after the store and through the index.

use std::fmt::Write as _;

use serde_json::Value;

use super::{column, settle, sorted, total};
use crate::{harness::Hilum, library::problem, sample::Sample};

const STUDY_UID: &str = "0020000D";
const INSTANCE_UID: &str = "00080018";
/// Of `test-SR.dcm`.
const REPORT: &str = "1.2.276.0.7230010.3.1.4.2139363186.7819.982086466.2";

fn sample(number: u32) -> Sample {
    Sample::new(&format!("1.{number}"), &format!("1.{number}.1"), &format!("1.{number}.1.1"))
        .text(0x0008_0005, "CS", "ISO_IR 192")
        .text(0x0008_0060, "CS", "CT")
}

fn store() -> Hilum {
    let hilum = Hilum::start();
    let code = |meaning: &str| Sample::empty().text(0x0008_0104, "LO", meaning);
    let files = [
        sample(1)
            .text(0x0010_0010, "PN", "Müller^Jörg")
            .text(0x0008_1030, "LO", "Thorax with contrast")
            .text(0x0020_4000, "LT", "slice through the heart"),
        sample(2).text(0x0010_0010, "PN", "Thorax^Tom").text(0x0008_1030, "LO", "Knee").text(
            0x0008_0080,
            "LO",
            "General Hospital",
        ),
        sample(3)
            .text(0x0010_0010, "PN", "Yamada^Tarou=山田^太郎=やまだ^たろう")
            .text(0x0008_1030, "LO", "胸部X線検査")
            .items(0x0008_1032, &[code("Chest radiography")]),
        sample(4)
            .text(0x0010_0010, "PN", "Иванов^Иван")
            .text(0x0008_103E, "LO", "Thoracic spine")
            .text(0x0009_0010, "LO", "ACME")
            .text(0x0009_1001, "LO", "confidential remark"),
        sample(5).text(0x0010_0010, "PN", "Doe").text(0x0008_103E, "LO", "7.5 mm axial"),
    ];
    let files: Vec<Vec<u8>> = files.iter().map(Sample::file).collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    hilum.store_fixture("test-SR.dcm");
    hilum
}

/// Words, and the studies that have them.
#[rustfmt::skip]
const QUERIES: &[(&str, &[&str])] = &[
    ("muller", &["1.1"]),
    ("MÜLLER thorax", &["1.1"]),
    ("jorg heart contrast", &["1.1"]),
    ("thorax", &["1.1", "1.2"]),
    ("thorx", &["1.1", "1.2"]),
    ("mueller", &["1.1"]),
    ("thora", &["1.1", "1.2", "1.4"]),
    ("hospital knee ct", &["1.2"]),
    ("胸部", &["1.3"]),
    ("山", &["1.3"]),
    ("郎 radiography", &["1.3"]),
    ("ивано", &["1.4"]),
    ("confidential", &[]),
    ("7.5 mm", &["1.5"]),
    ("7.4 mm", &[]),
    ("Riesmeier organisation", &[REPORT]),
    ("mass detected", &[REPORT]),
    ("inferred diametre", &[REPORT]),
    ("nothing like it", &[]),
    ("^ -", &["1.1", "1.2", REPORT, "1.3", "1.4", "1.5"]),
];

fn check(hilum: &Hilum) {
    for (words, expected) in QUERIES {
        for (resource, tag) in [("studies", STUDY_UID), ("series", STUDY_UID), ("instances", STUDY_UID)] {
            let found = hilum.json(&format!("/{resource}?q={words}&includefield=StudyInstanceUID"));
            assert_eq!(sorted(&found, tag), *expected, "{resource}?q={words}");
        }
    }
    let private = hilum.json("/studies?q=confidential&qprivate=true");
    assert_eq!(column(&private, STUDY_UID), ["1.4"]);
    // The words beside any other key, and of one study only.
    assert_eq!(sorted(&hilum.json("/studies?q=thorax&PatientName=M*"), STUDY_UID), ["1.1"]);
    assert_eq!(sorted(&hilum.json("/studies/1.1/instances?q=thorax"), INSTANCE_UID), ["1.1.1.1"]);
    assert!(hilum.json("/studies/1.1/instances?q=knee").as_array().is_some_and(Vec::is_empty));
    assert_eq!(total(hilum, "/studies?q=thora&limit=1&offset=1"), 3);
}

#[test]
fn full_text_finds_words_wherever_they_stand() {
    let hilum = store();
    check(&hilum);
    settle(&hilum);
    check(&hilum);
    let hilum = hilum.restart();
    check(&hilum);
    // What is deleted is not found any more, and what replaces it is.
    assert_eq!(hilum.delete("/studies/1.1").status(), 204);
    let again = sample(1).text(0x0008_1030, "LO", "Abdomen").file();
    assert_eq!(hilum.store(&[&again]).status(), 200);
    for _ in 0..2 {
        assert_eq!(sorted(&hilum.json("/studies?q=thorax"), STUDY_UID), ["1.2"]);
        assert_eq!(sorted(&hilum.json("/studies?q=abdomen"), STUDY_UID), ["1.1"]);
        settle(&hilum);
    }
}

/// Studies in which a word stands more and less clearly.
#[test]
fn full_text_ranks_what_is_found_as_it_stands_first() {
    let hilum = Hilum::start();
    let texts =
        ["Thorx", "Thorax", "Thoraxaufnahme", "Knee", "Thorax thorax and a few more words of no interest"];
    let files: Vec<Vec<u8>> = (1..)
        .zip(texts)
        .map(|(number, text)| {
            let date = format!("2024010{number}");
            sample(number).text(0x0008_1030, "LO", text).text(0x0008_0020, "DA", &date).file()
        })
        .collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    settle(&hilum);
    let found = hilum.json("/studies?q=thorax");
    assert_eq!(column(&found, STUDY_UID)[2..], ["1.3", "1.1"], "a beginning, then another spelling");
    assert_eq!(column(&found, STUDY_UID).len(), 4);
    // A word that was just stored ranks as one that stands once.
    let late = sample(9).text(0x0008_1030, "LO", "thorax").file();
    assert_eq!(hilum.store(&[&late]).status(), 200);
    let found = hilum.json("/studies?q=thorax");
    let place = column(&found, STUDY_UID).iter().position(|uid| *uid == "1.9");
    assert!(place.is_some_and(|place| place < 3), "{place:?}");
    // An order that is asked for overrides the rank.
    let dated = hilum.json("/studies?q=thorax&orderby=-StudyDate&limit=2&offset=1");
    assert_eq!(column(&dated, STUDY_UID), ["1.3", "1.2"]);
}

fn snippet(result: &Value) -> (&str, &str) {
    let text = |tag: &str| result[tag]["Value"][0].as_str().unwrap_or_default();
    (text("00991001"), text("00991002"))
}

#[test]
fn full_text_tells_where_it_was_found_only_if_asked() {
    let hilum = store();
    for _ in 0..2 {
        let found = hilum.json("/studies?q=heart");
        assert!(found[0].get("00990010").is_none());
        let found = hilum.json("/studies?q=heart&snippet=true");
        assert_eq!(found[0]["00990010"]["Value"][0], "HILUM");
        assert_eq!(snippet(&found[0]), ("slice through the heart", "ImageComments"));
        let found = hilum.json("/instances?q=mass&snippet=true");
        assert_eq!(snippet(&found[0]), ("A mass of", "TextValue"));
        let found = hilum.json("/series?q=thoracic&snippet=true");
        assert_eq!(snippet(&found[0]), ("Thoracic spine", "SeriesDescription"));
        settle(&hilum);
    }
}

#[test]
fn full_text_has_its_limits() {
    let hilum = Hilum::start();
    for query in [
        format!("q={}", "a".repeat(1025)),
        format!("q={}", (0..40).map(|n| format!("w{n}")).collect::<Vec<_>>().join("+")),
        "q=a&q=b".to_owned(),
        "q=a&snippet=maybe".to_owned(),
        "q=%FF".to_owned(),
    ] {
        let response = hilum.get(&format!("/studies?{query}")).send().expect("an answer");
        problem(response, 400, "invalid-parameter");
    }
}

/// A PDF of one page, by hand.
fn pdf(words: &str) -> Vec<u8> {
    let content = format!("BT /F1 12 Tf 72 720 Td ({words}) Tj ET");
    let objects = [
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        "<</Type/Pages/Kids[3 0 R]/Count 1>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>"
            .to_owned(),
        format!("<</Length {}>>stream\n{content}\nendstream", content.len()),
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>".to_owned(),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut table = "xref\n0 6\n0000000000 65535 f \n".to_owned();
    for (number, object) in (1..).zip(objects) {
        writeln!(table, "{:010} 00000 n ", file.len()).expect("a string grows");
        writeln!(file, "{number} 0 obj{object}endobj").expect("a string grows");
    }
    let start = file.len();
    // Past the size that stands inline.
    let filling = "% filling\n".repeat(200);
    format!("{file}{table}trailer<</Size 6/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n{filling}").into_bytes()
}

fn document(number: u32, media_type: &str, mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
    sample(number)
        .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.104.1")
        .text(0x0042_0012, "LO", media_type)
        .bytes(0x0042_0011, "OB", bytes)
        .file()
}

#[test]
fn full_text_reads_encapsulated_documents() {
    let hilum = Hilum::start();
    let cda = "<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><title>Entlassungsbrief</title><text>gr&#246;&#223;er</text></ClinicalDocument>";
    let files = [
        document(1, "application/pdf", pdf("Biopsy of the left kidney")),
        document(2, "text/XML", cda.as_bytes().to_vec()),
        document(3, "application/pdf", b"%PDF-1.7 but nothing of the kind".repeat(100)),
    ];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    let check = |hilum: &Hilum| {
        for (words, study) in [("kidney biopsy", "1.1"), ("entlassungsbrief", "1.2"), ("größer", "1.2")] {
            for resource in ["studies", "series", "instances", &format!("studies/{study}/instances")] {
                let found = hilum.json(&format!("/{resource}?q={words}&includefield=StudyInstanceUID"));
                assert_eq!(column(&found, STUDY_UID), [study], "{resource} {words}");
            }
        }
        let found = hilum.json("/instances?q=kidney&snippet=true");
        assert_eq!(snippet(&found[0]), ("Biopsy of the left kidney", "EncapsulatedDocument"));
    };
    check(&hilum);
    settle(&hilum);
    check(&hilum);
    let hilum = hilum.restart();
    check(&hilum);
    assert_eq!(hilum.delete("/studies/1.1").status(), 204);
    settle(&hilum);
    assert!(hilum.json("/studies?q=kidney").as_array().is_some_and(Vec::is_empty));
}
