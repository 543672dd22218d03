//! No value of a patient leaves the archive but in what was asked for and in the
//! audit log: not in a line of the server's log, a metric, the body of a problem
//! or a header. One instance has a mark in each attribute; every route is asked,
//! well and badly, also with the marks in what the client itself sends.

use std::collections::BTreeMap;

use hilum::http::access::TABLE;
use reqwest::blocking::Response;
use tempfile::TempDir;

use crate::{
    harness::{json_of, multipart},
    process::Process,
    sample::Sample,
};

/// What every marked value has in it; no word of ours.
const MARK: &str = "ZQMARK";
const STUDY: &str = "1.2.3";

fn marked(study: &str, instance: &str) -> Sample {
    let text = [
        (0x0008_0050, "SH"),
        (0x0008_0080, "LO"),
        (0x0008_0090, "PN"),
        (0x0008_1030, "LO"),
        (0x0008_103E, "LO"),
        (0x0010_0010, "PN"),
        (0x0010_0020, "LO"),
        (0x0010_1000, "LO"),
        (0x0010_1001, "PN"),
        (0x0010_1040, "LO"),
        (0x0010_4000, "LT"),
        (0x0020_0010, "SH"),
    ];
    let sample = Sample::new(study, &format!("{study}.1"), instance).text(0x0008_0060, "CS", "CT");
    let marked = |sample: Sample, (tag, vr): (u32, &'static str)| {
        sample.text(tag, vr, &format!("{MARK}{:04X}", tag & 0xFFFF))
    };
    // Values that are wrong for their VR are what a server likes to cite.
    let wrong = [(0x0008_0020, "DA"), (0x0010_0030, "DA"), (0x0010_0040, "CS"), (0x0010_1010, "AS")];
    let sample = text.into_iter().fold(sample, marked);
    wrong.into_iter().fold(sample, marked).pixels(4, 4, 2)
}

/// Marks where they must not be.
struct Found(Vec<String>);

impl Found {
    fn look(&mut self, what: &str, text: &str) {
        if let Some(at) = text.to_ascii_uppercase().find(MARK) {
            let from = text[..at].char_indices().rev().nth(80).map_or(0, |(index, _)| index);
            let cited: String = text[from..].chars().take(200).collect();
            self.0.push(format!("{what}: {cited}"));
        }
    }

    fn look_at(&mut self, what: &str, response: Response) {
        for (name, value) in response.headers() {
            self.look(&format!("{what}, header {name}"), &String::from_utf8_lossy(value.as_bytes()));
        }
        let is_problem = response.headers().get("content-type").is_some_and(|media| {
            media.to_str().is_ok_and(|media| media.starts_with("application/problem+json"))
        });
        // Read in any case: what fails on the way is logged.
        let body = response.bytes().unwrap_or_default();
        if is_problem {
            self.look(&format!("{what}, problem"), &String::from_utf8_lossy(&body));
        }
    }
}

fn path_of(pattern: &str) -> String {
    let values = BTreeMap::from([
        ("{study}", STUDY),
        ("{series}", "1.2.3.1"),
        ("{instance}", "1.2.3.1.1"),
        ("{frames}", "1"),
        ("{bulkdata}", "7FE00010"),
        ("{version}", "1"),
        ("{transaction}", "1.2.3.9"),
        ("{upload}", "00ff"),
        ("{_:.*}", "index.html"),
    ]);
    values.iter().fold(pattern.to_owned(), |path, (name, value)| path.replace(name, value))
}

#[test]
fn no_value_of_a_patient_is_where_it_must_not_be() {
    let folder = TempDir::new().unwrap();
    let server = Process::with(folder.path(), |command| command.env("HILUM_LOG_LEVEL", "debug"));
    let root = server.base.trim_end_matches("/dicomweb").to_owned();
    let client = &server.client;
    let mut found = Found(Vec::new());
    let file = marked(STUDY, "1.2.3.1.1").file();
    let stored = server.store(&[&file]).unwrap();
    let status = stored.status();
    let report = stored.text().unwrap();
    assert!(status == 200 || status == 202, "{status}: {report}");
    found.look("the report of a store", &report);
    // Refused for each of several reasons.
    let other = marked(STUDY, "1.2.3.1.1").text(0x0010_2160, "SH", MARK).file();
    let torn = &file[..file.len() - 40];
    let nameless = marked(STUDY, "1.2.3.1.2").without(0x0020_000D).file();
    let odd = marked(STUDY, "1.2.3.1.3").text(0x0020_000E, "UI", MARK).file();
    for (what, file) in [("another", &other[..]), ("torn", torn), ("no study", &nameless), ("bad UID", &odd)]
    {
        let response = server.store(&[file]).unwrap();
        assert!(!response.status().is_success() || response.status() == 202, "{what}");
        let text = response.text().unwrap();
        found.look(&format!("the report of a store, {what}"), &text);
    }
    let body = multipart("XX", &[&file]);
    let into_another = client.post(format!("{}/studies/1.2.9", server.base)).body(body);
    let media = "multipart/related; type=\"application/dicom\"; boundary=XX";
    found.look_at("a store into another study", into_another.header("Content-Type", media).send().unwrap());
    let queries = [
        String::new(),
        format!("?PatientName={MARK}*"),
        format!("?PatientID={MARK}0020&{MARK}={MARK}&limit={MARK}"),
        format!("?StudyDate={MARK}&StudyInstanceUID={MARK}"),
        format!("?includefield={MARK}&orderby={MARK}&q={MARK}"),
        format!("?viewport={MARK}&window={MARK}&quality={MARK}&requestType={MARK}"),
        format!("?requestType=WADO&studyUID={STUDY}&seriesUID={MARK}&objectUID={MARK}"),
        format!("?from={MARK}&user={MARK}&event={MARK}"),
    ];
    for (pattern, methods) in TABLE {
        let path = path_of(pattern);
        let marked = pattern.split('/').map(|part| if part.starts_with('{') { MARK } else { part });
        let marked = marked.collect::<Vec<_>>().join("/");
        for (method, _) in methods.iter().filter(|(method, _)| *method != "DELETE") {
            for query in &queries {
                for (path, accept) in
                    [(&path, "*/*"), (&path, "x/ZQMARK"), (&marked, "*/*"), (&path, "application/json")]
                {
                    let method: reqwest::Method = method.parse().unwrap();
                    let request = client.request(method.clone(), format!("{root}{path}{query}"));
                    let response = request.header("Accept", accept).header("X-Other", MARK).send().unwrap();
                    found.look_at(&format!("{method} {path}{query} as {accept}"), response);
                }
            }
        }
        let response = client.delete(format!("{root}{marked}")).send().unwrap();
        found.look_at(&format!("DELETE {marked}"), response);
    }
    // An upload in pieces, with its name.
    let name = "ZmlsZW5hbWU= ".trim();
    let upload = client
        .post(format!("{root}/uploads"))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", other.len())
        .header("Upload-Metadata", format!("filename {name},filetype YXBwbGljYXRpb24vZGljb20="))
        .header("Content-Type", "application/offset+octet-stream");
    found.look_at("an upload", upload.body(other).send().unwrap());
    // What nobody made a route for, and a body that is none.
    found.look_at("no route", client.get(format!("{root}/{MARK}?a={MARK}")).send().unwrap());
    let zip = client.post(format!("{}/zip", server.base)).header("Content-Type", "application/json");
    found.look_at("a bad list", zip.body(format!("{{\"{MARK}\":\"{MARK}\"}}")).send().unwrap());
    for path in [format!("/studies/{STUDY}/series/1.2.3.1/instances/1.2.3.1.1"), format!("/studies/{STUDY}")]
    {
        found.look_at("a deletion", server.delete(&path).unwrap());
        found.look_at("what was deleted", server.get(&path));
    }
    let metrics = client.get(format!("{root}/metrics")).send().unwrap().text().unwrap();
    assert!(metrics.contains("hilum_http_requests_total"));
    found.look("a metric", &metrics);
    // The audit log alone names the patient.
    let audit = json_of(client.get(format!("{root}/audit?event=store&limit=50")).send().unwrap()).to_string();
    assert!(audit.contains("ZQMARK0020"), "{audit}");
    server.terminate();
    let mut server = server;
    server.wait(std::time::Duration::from_mins(1));
    let log = server.log();
    assert!(log.len() > 100);
    for line in log {
        found.look("the log", &line);
    }
    found.0.sort();
    found.0.dedup();
    assert!(found.0.is_empty(), "{} places: {:#?}", found.0.len(), &found.0[..found.0.len().min(40)]);
}

/// A browser that is sent to log in comes back to where it was without its query.
#[test]
fn no_value_is_in_a_redirect_to_log_in() {
    let folder = TempDir::new().unwrap();
    let server = Process::with(folder.path(), |command| {
        command.env("HILUM_LOG_LEVEL", "debug").env("HILUM_AUTH_ENABLED", "true")
    });
    let root = server.base.trim_end_matches("/dicomweb").to_owned();
    let client = reqwest::blocking::Client::builder();
    let client = client.redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut found = Found(Vec::new());
    let mut redirects = 0;
    for (pattern, _) in TABLE {
        let path = path_of(pattern);
        for name in ["Authorization", "Cookie", "X-Other"] {
            // With credentials that are wrong, and without any.
            let token = if name == "X-Other" { String::new() } else { format!("&access_token={MARK}") };
            let url = format!("{root}{path}?PatientName={MARK}{token}");
            let request = client.get(url).header(name, format!("Bearer {MARK}={MARK}"));
            let request = request.header("Sec-Fetch-Mode", "navigate").header("Sec-Fetch-Dest", "document");
            let response = request.send().unwrap();
            redirects += u32::from(response.status() == 303);
            found.look_at(&format!("{path} with {name}"), response);
        }
    }
    assert!(redirects > 10, "{redirects}");
    server.terminate();
    let mut server = server;
    server.wait(std::time::Duration::from_mins(1));
    for line in server.log() {
        found.look("the log", &line);
    }
    assert!(found.0.is_empty(), "{:#?}", found.0);
}
