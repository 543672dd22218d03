//! Storage commitment (CMT): what is committed was read back.

mod durable;

use std::{io::Write, net::TcpStream, time::Duration};

use reqwest::blocking::Response;
use serde_json::{Value, json};

use crate::{
    harness::{Hilum, parts},
    library::{header, json_of, problem, text, values},
    sample::{CT_CLASS, Sample},
};

/// Instances of one study in two series.
const INSTANCES: [(&str, &str); 3] = [("1.2.1", "1.2.1.1"), ("1.2.1", "1.2.1.2"), ("1.2.2", "1.2.2.1")];

fn with_instances() -> Hilum {
    let hilum = Hilum::start();
    for (series, instance) in INSTANCES {
        let file = Sample::new("1.2", series, instance).pixels(10, 10, 1).file();
        assert_eq!(hilum.store(&[&file]).status(), 200);
    }
    hilum
}

/// Referenced SOP Sequence.
fn instances(references: &[(&str, &str)]) -> Value {
    let items: Vec<Value> = references
        .iter()
        .map(|(class, instance)| {
            json!({
                "00081150": { "vr": "UI", "Value": [class] },
                "00081155": { "vr": "UI", "Value": [instance] },
            })
        })
        .collect();
    json!({ "00081199": { "vr": "SQ", "Value": items } })
}

/// Referenced Study Sequence, of CT images.
fn tree(references: &[(&str, &str, &str)]) -> Value {
    let items: Vec<Value> = references
        .iter()
        .map(|(study, series, instance)| {
            let instance = json!({ "00081155": { "vr": "UI", "Value": [instance] } });
            let class = json!({
                "00081150": { "vr": "UI", "Value": [CT_CLASS] },
                "0008114A": { "vr": "SQ", "Value": [instance] },
            });
            let series = json!({
                "0020000E": { "vr": "UI", "Value": [series] },
                "00081112": { "vr": "SQ", "Value": [class] },
            });
            json!({
                "0020000D": { "vr": "UI", "Value": [study] },
                "00081115": { "vr": "SQ", "Value": [series] },
            })
        })
        .collect();
    json!({ "00081110": { "vr": "SQ", "Value": items } })
}

impl Hilum {
    fn ask(&self, transaction: &str, request: &Value) -> Response {
        let path = format!("/commitment-requests/{transaction}");
        self.post(&path, "application/dicom+json", request.to_string())
    }

    fn result(&self, transaction: &str) -> Response {
        self.get(&format!("/commitment-requests/{transaction}")).send().expect("an answer")
    }
}

fn uids(set: &Value, sequence: &str) -> Vec<(String, Option<u64>)> {
    values(set, sequence)
        .into_iter()
        .map(|item| (text(item, "00081155").to_owned(), item["00081197"]["Value"][0].as_u64()))
        .collect()
}

#[test]
fn cmt_1_instances_are_committed_or_not_one_by_one() {
    let hilum = with_instances();
    let request = instances(&[
        (CT_CLASS, "1.2.1.1"),
        (CT_CLASS, "9.9"),
        ("1.2.840.10008.5.1.4.1.1.4", "1.2.1.2"),
        (CT_CLASS, "1.2.2.1"),
    ]);
    let response = hilum.ask("2.25.1", &request);
    assert_eq!(
        (response.status().as_u16(), header(&response, "content-type").as_str()),
        (200, "application/dicom+json")
    );
    let result = json_of(response);
    let committed = vec![("1.2.1.1".to_owned(), None), ("1.2.2.1".to_owned(), None)];
    assert_eq!(uids(&result, "00081199"), committed);
    assert_eq!(text(values(&result, "00081199")[0], "00081150"), CT_CLASS);
    // 0112: no such instance, 0119: of another class.
    let failed = vec![("9.9".to_owned(), Some(274)), ("1.2.1.2".to_owned(), Some(281))];
    assert_eq!(uids(&result, "00081198"), failed);
    assert!(!result.to_string().contains("2.25.1"), "the transaction is not repeated");

    assert_eq!(json_of(hilum.result("2.25.1")), result);
    let hilum = hilum.restart();
    assert_eq!(json_of(hilum.result("2.25.1")), result);
    // What is deleted is not committed any more.
    assert_eq!(hilum.delete("/studies/1.2/series/1.2.2").status(), 204);
    let result = json_of(hilum.ask("2.25.2", &instances(&[(CT_CLASS, "1.2.2.1")])));
    assert_eq!(uids(&result, "00081198"), [("1.2.2.1".to_owned(), Some(274))]);
    assert_eq!(result["00081199"], Value::Null);
}

#[test]
fn cmt_3_a_tree_is_answered_by_trees() {
    let hilum = with_instances();
    let request = tree(&[
        ("1.2", "1.2.1", "1.2.1.1"),
        ("1.2", "1.2.2", "1.2.2.1"),
        // It is there, but in another series.
        ("1.2", "1.2.2", "1.2.1.2"),
        ("1.3", "1.2.1", "1.2.1.1"),
    ]);
    let result = json_of(hilum.ask("2.25.1", &request));
    let leaves = |sequence: &str| {
        let mut leaves = Vec::new();
        for study in values(&result, sequence) {
            for series in values(study, "00081115") {
                for class in values(series, "00081112") {
                    assert_eq!(text(class, "00081150"), CT_CLASS);
                    for (instance, reason) in uids(class, "0008114A") {
                        leaves.push((
                            text(study, "0020000D").to_owned(),
                            text(series, "0020000E").to_owned(),
                            instance,
                            reason,
                        ));
                    }
                }
            }
        }
        leaves
    };
    let leaf = |study: &str, series: &str, instance: &str, reason| {
        (study.to_owned(), series.to_owned(), instance.to_owned(), reason)
    };
    let committed = [leaf("1.2", "1.2.1", "1.2.1.1", None), leaf("1.2", "1.2.2", "1.2.2.1", None)];
    assert_eq!(leaves("00081110"), committed);
    assert_eq!(values(&result, "00081110").len(), 1, "one study");
    let failed = [leaf("1.2", "1.2.2", "1.2.1.2", Some(274)), leaf("1.3", "1.2.1", "1.2.1.1", Some(274))];
    assert_eq!(leaves("0008119B"), failed);
    assert_eq!((&result["00081199"], &result["00081198"]), (&Value::Null, &Value::Null));
}

#[test]
fn cmt_4_requests_and_results_in_xml_and_multipart() {
    let hilum = with_instances();
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <NativeDicomModel><DicomAttribute tag=\"00081199\" vr=\"SQ\" keyword=\"ReferencedSOPSequence\">\
         <Item number=\"1\"><DicomAttribute tag=\"00081150\" vr=\"UI\"><Value number=\"1\">{CT_CLASS}</Value></DicomAttribute>\
         <DicomAttribute tag=\"00081155\" vr=\"UI\"><Value number=\"1\">1.2.1.1</Value></DicomAttribute></Item>\
         </DicomAttribute></NativeDicomModel>"
    );
    let json = instances(&[(CT_CLASS, "1.2.1.1")]).to_string();
    let wrapped = |root: &str, text: &str| {
        let body = format!("--B\r\nContent-Type: {root}\r\n\r\n{text}\r\n--B--\r\n");
        (format!("multipart/related; type=\"{root}\"; boundary=B"), body)
    };
    let bodies = [
        ("application/dicom+json".to_owned(), json.clone()),
        ("application/dicom+json".to_owned(), format!("[{json}]")),
        ("application/dicom+xml".to_owned(), xml.clone()),
        wrapped("application/dicom+json", &json),
        wrapped("application/dicom+xml", &xml),
    ];
    for (number, (content_type, body)) in bodies.into_iter().enumerate() {
        let path = format!("/commitment-requests/1.{number}");
        let result = json_of(hilum.post(&path, &content_type, body));
        assert_eq!(uids(&result, "00081199"), [("1.2.1.1".to_owned(), None)], "{content_type}");
    }
    let answer = hilum.get_as("/commitment-requests/1.0", "application/dicom+xml");
    assert_eq!(header(&answer, "content-type"), "application/dicom+xml");
    let text = answer.text().unwrap();
    assert!(text.contains("tag=\"00081199\"") && text.contains(">1.2.1.1<"), "{text}");
    let several = "multipart/related; type=\"application/dicom+xml\"";
    let parts = parts(hilum.get_as("/commitment-requests/1.0", several));
    assert_eq!((parts.len(), String::from_utf8_lossy(&parts[0].1).as_ref()), (1, text.as_str()));
    problem(hilum.get_as("/commitment-requests/1.0", "image/png"), 406, "not-acceptable");
}

#[test]
fn cmt_1_what_is_refused() {
    let hilum = Hilum::with(|config| config.commitment.references_max = 2);
    let good = instances(&[(CT_CLASS, "1.9")]);
    assert_eq!(hilum.ask("1.1", &good).status(), 200);
    problem(hilum.ask("1.1", &good), 409, "in-use");
    problem(hilum.ask("x", &good), 400, "invalid-uid");
    let many = instances(&[(CT_CLASS, "1.7"), (CT_CLASS, "1.8"), (CT_CLASS, "1.9")]);
    problem(hilum.ask("1.2", &many), 413, "too-large");
    let nothing = problem(hilum.ask("1.2", &json!({})), 400, "malformed-body");
    assert!(nothing["detail"].as_str().unwrap().contains("ReferencedSOPSequence"));
    let mut both = good.clone();
    both["00081110"] = tree(&[("1", "2", "3")])["00081110"].clone();
    problem(hilum.ask("1.2", &both), 400, "malformed-body");
    let no_class =
        json!({ "00081199": { "vr": "SQ", "Value": [{ "00081155": { "vr": "UI", "Value": ["1.2"] } }] } });
    let told = problem(hilum.ask("1.2", &no_class), 400, "malformed-body");
    assert!(told["detail"].as_str().unwrap().starts_with("item 1 has no (0008,1150)"), "{told}");
    let post = |content_type: &str, body: String| hilum.post("/commitment-requests/1.2", content_type, body);
    problem(post("application/dicom+json", "{".to_owned()), 400, "malformed-body");
    problem(post("application/dicom+xml", "<a>".to_owned()), 400, "malformed-body");
    problem(post("application/dicom", String::new()), 415, "unsupported-media-type");
    problem(post("application/dicom+json", " ".repeat(1 << 20)), 413, "too-large");
    let two = format!("--B\r\n\r\n{good}\r\n--B\r\n\r\n{good}\r\n--B--");
    problem(
        post("multipart/related; type=\"application/dicom+json\"; boundary=B", two),
        400,
        "malformed-body",
    );
    // None of them used the Transaction UID up.
    assert_eq!(hilum.ask("1.2", &good).status(), 200);
}

#[test]
fn cmt_2_results_that_are_not_there() {
    let hilum = Hilum::with(|config| {
        config.commitment.result_days = 0;
        config.commitment.transactions_max = 2;
    });
    problem(hilum.result("1.1"), 404, "not-found");
    let request = instances(&[(CT_CLASS, "1.9")]);
    assert_eq!(hilum.ask("1.1", &request).status(), 200);
    problem(hilum.result("1.1"), 410, "expired");
    // Expired, and yet the Transaction UID stays used.
    problem(hilum.ask("1.1", &request), 409, "in-use");
    let hilum = hilum.restart();
    problem(hilum.result("1.1"), 410, "expired");
    // Until it has to make room.
    assert_eq!(hilum.ask("1.2", &request).status(), 200);
    assert_eq!(hilum.ask("1.3", &request).status(), 200);
    problem(hilum.result("1.1"), 404, "not-found");
    problem(hilum.result("1.3"), 410, "expired");
}

/// Only the bodies of stores counted as memory and had to come before they took
/// one of the places that are few: requests for commitment could take all of both.
#[test]
fn cmt_1_requests_take_no_more_than_stores() {
    let hilum = Hilum::with(|config| {
        config.limits.uploads_max = 1;
        config.limits.upload_memory_bytes_max = 16 << 20;
        config.limits.body_silent_seconds_max = 60;
    });
    let (host, path) = hilum.base.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let head = format!(
        "POST /{path}/commitment-requests/1.3 HTTP/1.1\r\nHost: {host}\r\n\
         Content-Type: application/dicom+json\r\nContent-Length: 1000\r\n\r\n{{"
    );
    let mut silent = TcpStream::connect(host).unwrap();
    silent.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let good = instances(&[(CT_CLASS, "1.9")]);
    assert_eq!(hilum.ask("1.4", &good).status(), 200, "the place is free");
    drop(silent);
    let large = format!("{}{good}", " ".repeat(12 << 20));
    let answer = hilum.post("/commitment-requests/1.5", "application/dicom+json", large);
    problem(answer, 503, "busy");
    assert_eq!(hilum.ask("1.5", &good).status(), 200, "the memory is given back");
}
