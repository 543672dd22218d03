//! Patients as a search resource: one result a patient, however many studies.

use serde_json::{Value, json};

use super::settle;
use crate::{
    harness::Hilum,
    library::{header, problem, text, values},
    sample::Sample,
};

/// Study, Patient ID, issuer, name, date of birth, study date, instances.
const STUDIES: [(&str, &str, &str, &str, &str, &str, usize); 8] = [
    ("1.1", "P1", "", "Doe^John", "19700101", "20240101", 1),
    ("1.2", "P1", "", "Doe^John^M", "19700101", "20240301", 2),
    ("1.3", "P1", "OTHER", "Roe^Jane", "19800101", "20240201", 1),
    ("1.4", "P2", "", "Poe^Edgar", "18090119", "20230101", 3),
    ("1.5", "", "", "Nemo", "19000101", "20220101", 1),
    ("1.6", "", "", "Nemo", "19000101", "20220102", 1),
    ("1.7", "", "", "Nemo", "19010101", "20220103", 1),
    ("1.8", "p1", "", "Doe^John", "19700101", "20210101", 1),
];

fn store() -> Hilum {
    let hilum = Hilum::start();
    for (study, id, issuer, name, birth, date, instances) in STUDIES {
        let files: Vec<Vec<u8>> = (0..instances)
            .map(|number| {
                // Each instance in a series of its own but the last two.
                let series = number.min(1);
                Sample::new(study, &format!("{study}.{series}"), &format!("{study}.{series}.{number}"))
                    .text(0x0008_0020, "DA", date)
                    .text(0x0008_0060, "CS", "CT")
                    .text(0x0010_0010, "PN", name)
                    .text(0x0010_0020, "LO", id)
                    .text(0x0010_0021, "LO", issuer)
                    .text(0x0010_0030, "DA", birth)
                    .text(0x0010_4000, "LT", &format!("of {study}"))
                    .file()
            })
            .collect();
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        hilum.must_store(&files);
    }
    hilum
}

/// ID, issuer, name, and the three numbers of each.
fn brief(found: &Value) -> Vec<String> {
    let number = |set: &Value, tag: &str| set[tag]["Value"][0].to_string();
    found
        .as_array()
        .expect("an array")
        .iter()
        .map(|set| {
            let name = set["00100010"]["Value"][0]["Alphabetic"].as_str().unwrap_or_default();
            let numbers = ["00201200", "00201202", "00201204"].map(|tag| number(set, tag)).join(" ");
            format!("{} {} {name}: {numbers}", text(set, "00100020"), text(set, "00100021"))
        })
        .collect()
}

#[test]
fn qrs_x_qry_24_patients_with_what_there_is_of_them() {
    let hilum = store();
    for round in ["overlay", "index"] {
        // In the order of the newest study of each, and by what that one says.
        assert_eq!(
            brief(&hilum.json("/patients?includefield=IssuerOfPatientID")),
            [
                "P1  Doe^John^M: 2 3 3",
                "P1 OTHER Roe^Jane: 1 1 1",
                "P2  Poe^Edgar: 1 2 3",
                "  Nemo: 1 1 1",
                "  Nemo: 2 2 2",
                "p1  Doe^John: 1 1 1",
            ],
            "{round}"
        );
        for (query, expected) in [
            ("PatientID=P1", vec!["P1  Doe^John^M: 2 3 3", "P1  Roe^Jane: 1 1 1"]),
            ("PatientName=doe*", vec!["P1  Doe^John^M: 2 3 3", "p1  Doe^John: 1 1 1"]),
            // What is said of a patient counts all its studies, not those found.
            ("PatientName=doe%5EJohn", vec!["P1  Doe^John: 2 3 3", "p1  Doe^John: 1 1 1"]),
            ("StudyDate=20240101", vec!["P1  Doe^John: 2 3 3"]),
            ("PatientBirthDate=19010101", vec!["  Nemo: 1 1 1"]),
            ("PatientID=P1&limit=1&offset=1", vec!["P1  Roe^Jane: 1 1 1"]),
            ("orderby=PatientName&limit=2", vec!["p1  Doe^John: 1 1 1", "P1  Doe^John: 2 3 3"]),
            ("PatientID=nobody", vec![]),
        ] {
            let mut found = brief(&hilum.json(&format!("/patients?{query}")));
            let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            if query.starts_with("orderby") {
                // Two of one name: which comes first is not told here.
                found.sort();
                expected.sort();
            }
            assert_eq!(found, expected, "{round} {query}");
        }
        settle(&hilum);
    }
}

#[test]
fn qry_07_08_27_patients_say_nothing_of_studies() {
    let hilum = store();
    let response =
        hilum.get("/patients?includefield=all&StudyDate=20240301&includefield=Modality").send().unwrap();
    assert_eq!(header(&response, "x-total-count"), "1");
    let found = crate::library::json_of(response);
    let tags: Vec<&String> = found[0].as_object().unwrap().keys().collect();
    assert!(
        tags.iter().all(|tag| tag.starts_with("0010") || tag.starts_with("002012") || *tag == "00080005"),
        "{tags:?}"
    );
    let found = hilum.json("/patients?PatientID=P2&includefield=PatientComments");
    assert_eq!(text(&found[0], "00104000"), "of 1.4");
    assert_eq!(found[0]["00100040"], json!({ "vr": "CS" }), "the sex is not known");
    assert!(values(&found[0], "0020000D").is_empty());

    let response = hilum.get("/patients?limit=2&offset=1").send().unwrap();
    assert_eq!(header(&response, "x-total-count"), "6");
    assert!(header(&response, "warning").contains("There are 3 additional results"), "{response:?}");
    problem(hilum.get("/patients?PatientBirthDate=x").send().unwrap(), 400, "invalid-parameter");
    let response = hilum.get("/patients?Modality=CT").send().unwrap();
    assert_eq!(header(&response, "x-total-count"), "6", "a modality of the series is one of the study");
    assert_eq!(hilum.json("/patients/count?PatientID=P*"), json!({ "count": 3 }));
}

/// What was stored is there at once, what was deleted is not.
#[test]
fn sto_13_patients_follow_store_and_delete() {
    let hilum = store();
    settle(&hilum);
    let more = Sample::new("1.9", "1.9.1", "1.9.1.1").text(0x0010_0020, "LO", "P2").file();
    hilum.must_store(&[&more]);
    assert_eq!(brief(&hilum.json("/patients?PatientID=P2")), ["P2  Poe^Edgar: 2 3 4"]);
    assert_eq!(hilum.delete("/studies/1.4").status(), 204);
    assert_eq!(brief(&hilum.json("/patients?PatientID=P2")), ["P2  : 1 1 1"]);
    assert_eq!(hilum.delete("/studies/1.9").status(), 204);
    assert_eq!(hilum.json("/patients?PatientID=P2"), json!([]));
}

/// By an attribute whose order the index does not hold, patients came in no
/// order at all, and nobody said so.
#[test]
fn qrs_x_patients_in_any_order() {
    let hilum = Hilum::start();
    for (study, id, weight) in
        [("1.1", "P1", "81"), ("1.2", "P2", "7.5"), ("1.3", "P3", "100"), ("1.4", "P4", "")]
    {
        let sample = Sample::new(study, &format!("{study}.1"), &format!("{study}.1.1"));
        let sample = sample.text(0x0010_0020, "LO", id).text(0x0010_1030, "DS", weight);
        hilum.must_store(&[&sample.file()]);
    }
    settle(&hilum);
    let ids = |query: &str| {
        let found = hilum.json(&format!("/patients?{query}"));
        let sets = found.as_array().expect("an array").iter();
        sets.map(|set| text(set, "00100020").to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids("orderby=PatientWeight"), "P2 P1 P3 P4");
    assert_eq!(ids("orderby=-PatientWeight"), "P3 P1 P2 P4");
    assert_eq!(ids("orderby=-PatientWeight&offset=1&limit=2"), "P1 P2");
    assert_eq!(hilum.json("/patients/count?orderby=PatientWeight"), json!({ "count": 4 }));
}
