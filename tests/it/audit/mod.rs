//! The audit log over HTTP and by its commands: what is done is found in it, with
//! its patient and study, before the answer is there; a change of it is found;
//! and what must be recorded and cannot be is refused.

mod commands;
mod people;
mod syslog;
mod values;

use std::{fs, path::PathBuf};

use hilum::config::Config;
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    harness::{Hilum, json_of},
    process::binary,
    sample::Sample,
};

const STUDY: &str = "1.2.3";
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

fn file(study: &str, instance: &str, patient: &str) -> Vec<u8> {
    Sample::new(study, &format!("{study}.1"), instance)
        .text(0x0010_0020, "LO", patient)
        .text(0x0008_0050, "SH", "ACC1")
        .text(0x0008_0060, "CS", "CT")
        .pixels(2, 2, 1)
        .file()
}

/// One with an instance of a patient, which records each look by itself.
fn with(change: impl FnOnce(&mut Config)) -> Hilum {
    let hilum = Hilum::with(|config| {
        config.audit.interval_seconds = 0;
        change(config);
    });
    assert_eq!(hilum.store(&[&file(STUDY, "1.2.3.1.1", "P1")]).status(), 200);
    hilum
}

impl Hilum {
    fn audit(&self, query: &str) -> Vec<Value> {
        let response = self.client.get(format!("{}/audit{query}", self.root)).send().expect("an answer");
        assert_eq!(response.status(), 200, "{query}");
        json_of(response)["records"].as_array().expect("a list").clone()
    }

    /// The only record of a search.
    fn audit_one(&self, query: &str) -> Value {
        let found = self.audit(query);
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        found[0].clone()
    }

    fn status(&self, path: &str) -> StatusCode {
        self.get(path).send().expect("an answer").status()
    }

    fn segment(&self) -> PathBuf {
        self.data().join("audit/00000001.log")
    }
}

fn audit(hilum: &Hilum, arguments: &[&str]) -> (bool, String) {
    let (command, rest) = arguments.split_first().expect("a command");
    let output = std::process::Command::new(binary())
        .args(["audit", command, "--data"])
        .arg(hilum.data())
        .args(rest)
        .output()
        .expect("the binary runs");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn what_is_done_is_found_with_its_patient_and_study() {
    let hilum = with(|_| {});
    let instance = format!("/studies/{STUDY}/series/{STUDY}.1/instances/1.2.3.1.1");
    assert_eq!(hilum.status("/studies?PatientID=P1"), 200);
    assert_eq!(hilum.get_as(&instance, "application/dicom; transfer-syntax=*").status(), 200);
    assert_eq!(hilum.status(&format!("/studies/{STUDY}/metadata")), 200);
    assert_eq!(hilum.get_as(&format!("/studies/{STUDY}"), "application/zip").status(), 200);
    assert_eq!(hilum.delete(&format!("/studies/{STUDY}")).status(), 204);
    for (event, action) in
        [("store", "C"), ("retrieve", "R"), ("view", "R"), ("export", "R"), ("study-deleted", "D")]
    {
        let record = hilum.audit_one(&format!("?event={event}&patient=P1&study={STUDY}&outcome=success"));
        assert_eq!(record["action"], action, "{record}");
        assert_eq!(record["actor"]["id"], "local");
        assert_eq!(record["actor"]["address"], "127.0.0.1");
        assert_eq!(record["studies"][0]["accession"], "ACC1", "{record}");
        assert_eq!(record["studies"][0]["instances"][CT], 1, "{record}");
        assert!(record["request_id"].is_string());
    }
    let query = hilum.audit_one("?event=query");
    assert_eq!(query["query"], "GET /dicomweb/studies?PatientID=P1");
    assert_eq!(hilum.audit("?event=application-start").len(), 1);
    // Each of these searches was recorded too.
    assert_eq!(hilum.audit("?event=audit-log-used").len(), 7);
    // The newest first, in pages.
    let newest = hilum.audit("?limit=2&user=local");
    let next = hilum.audit("?limit=1&offset=2&user=local&event=audit-log-used");
    assert!(newest[0]["number"].as_u64() > newest[1]["number"].as_u64());
    assert_eq!(newest[1]["number"], next[0]["number"], "the search itself came between");
    assert!(hilum.audit("?to=2000-01-01").is_empty() && hilum.audit("?patient=P2").is_empty());
}

#[test]
fn refusals_are_recorded() {
    let hilum = with(|config| config.delete_enabled = false);
    assert_eq!(hilum.delete(&format!("/studies/{STUDY}")).status(), 405);
    let refused = hilum.audit_one(&format!("?event=study-deleted&study={STUDY}&patient=P1"));
    assert_eq!(
        (&refused["outcome"], &refused["reason"]),
        (&"minor-failure".into(), &"delete-disabled".into())
    );
    assert_eq!(hilum.status("/studies/9.9/metadata"), 404);
    assert_eq!(hilum.audit_one("?study=9.9&outcome=minor-failure")["reason"], "not-found");
    // A path that is encoded is the same path.
    assert_eq!(hilum.status("/%73tudies/9.8/metadata"), 404);
    assert_eq!(hilum.audit("?study=9.8").len(), 1);
    // One of two patients' files is stored already with other bytes.
    let other = file("1.2.4", "1.2.4.1.1", "P2");
    let changed = file(STUDY, "1.2.3.1.1", "P3");
    assert_eq!(hilum.store(&[&other, &changed]).status(), 202);
    assert_eq!(hilum.audit_one("?event=store&patient=P2")["outcome"], "success");
    assert_eq!(hilum.audit_one("?event=store&outcome=minor-failure")["studies"][0]["uid"], STUDY);
    assert_eq!(hilum.store(&[b"no DICOM"]).status(), 409);
    assert_eq!(hilum.audit("?event=store&outcome=minor-failure").len(), 2);
    for wrong in ["?event=what", "?from=yesterday", "?patientid=P1", "?limit=1001", "?outcome=good"] {
        let response = hilum.client.get(format!("{}/audit{wrong}", hilum.root)).send().expect("an answer");
        assert_eq!(response.status(), 400, "{wrong}");
    }
}

#[test]
fn looks_at_a_study_are_put_together() {
    let hilum = with(|config| config.audit.interval_seconds = 3600);
    for _ in 0..5 {
        assert_eq!(hilum.status(&format!("/studies/{STUDY}/metadata")), 200);
    }
    assert_eq!(hilum.audit("?event=view").len(), 1);
    // A stop writes down what is open.
    let hilum = hilum.restart();
    let views = hilum.audit("?event=view&patient=P1");
    assert_eq!((views.len(), views[0]["requests"].as_u64()), (2, Some(4)), "{views:?}");
    assert_eq!(hilum.audit("?event=application-stop").len(), 1);
}

#[test]
fn the_log_is_given_as_fhir_and_by_export() {
    let hilum = with(|_| {});
    let request = hilum.client.get(format!("{}/audit?event=store", hilum.root));
    let response = request.header("Accept", "application/fhir+json").send().expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/fhir+json");
    let bundle = json_of(response);
    assert_eq!(bundle["entry"][0]["resource"]["resourceType"], "AuditEvent");
    assert_eq!(bundle["entry"][0]["resource"]["type"]["code"], "110104");
    let (is_done, lines) = audit(&hilum, &["export", "--patient", "P1"]);
    assert!(is_done && lines.lines().count() == 1 && lines.contains("\"event\":\"store\""), "{lines}");
    let (_, xml) = audit(&hilum, &["export", "--format", "xml", "--patient", "P1"]);
    assert!(xml.contains("csd-code=\"110104\"") && xml.contains(STUDY), "{xml}");
    let (_, csv) = audit(&hilum, &["export", "--format", "csv"]);
    assert!(csv.lines().count() > 2 && csv.starts_with("number,time,event"), "{csv}");
    // The exports of an operator are recorded by the running server.
    let hilum = hilum.restart();
    assert_eq!(hilum.audit("?user=operator&event=audit-log-used").len(), 3);
}

#[test]
fn one_changed_byte_is_found() {
    let mut hilum = with(|_| {});
    assert!(audit(&hilum, &["verify"]).0);
    hilum.stop();
    let (is_intact, text) = audit(&hilum, &["verify"]);
    assert!(is_intact, "{text}");
    let head = text.rsplit("head ").next().expect("a head").trim().to_owned();
    // It was printed as two words, of which a shell gives --head the first.
    assert!(head.contains(':') && !head.contains(char::is_whitespace), "{head}");
    assert!(audit(&hilum, &["verify", "--head", &head]).0);
    let mut bytes = fs::read(hilum.segment()).unwrap();
    let at = memchr::memmem::find(&bytes, b"\"P1\"").unwrap() + 2;
    bytes[at] = b'2';
    fs::write(hilum.segment(), &bytes).unwrap();
    let (is_intact, text) = audit(&hilum, &["verify"]);
    assert!(!is_intact && text.contains("was changed"), "{text}");
}

#[test]
fn what_must_be_recorded_and_cannot_be_is_refused() {
    for required in [true, false] {
        let hilum = with(|config| {
            config.audit.required = required;
            config.audit.flush_ms = 0;
        });
        let (folder, away) = (hilum.data().join("audit"), hilum.data().join("away"));
        let path = format!("/studies/{STUDY}/metadata");
        assert_eq!(hilum.status(&path), 200);
        fs::rename(&folder, &away).unwrap();
        let wanted = if required { 503 } else { 200 };
        let response = hilum.get(&path).send().expect("an answer");
        assert_eq!(response.status(), wanted);
        if required {
            assert_eq!(json_of(response)["code"], "not-recorded");
            // From then on nothing is done that could not be recorded.
            assert_eq!(hilum.delete(&format!("/studies/{STUDY}")).status(), 503);
            assert_eq!(hilum.client.get(format!("{}/healthz", hilum.root)).send().unwrap().status(), 200);
        }
        fs::rename(&away, &folder).unwrap();
        assert_eq!(hilum.status(&path), 200);
        assert!(hilum.audit("?event=study-deleted").is_empty());
    }
}

#[test]
fn switched_off_nothing_is_recorded() {
    let hilum = with(|config| config.audit.enabled = false);
    let response = hilum.client.get(format!("{}/audit", hilum.root)).send().expect("an answer");
    assert_eq!(response.status(), 404);
    assert!(!hilum.data().join("audit").exists());
}
