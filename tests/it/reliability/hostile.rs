//! Hostile input over HTTP: real files, bodies, metadata, queries and headers,
//! broken in ways that are the same in every run. Each is answered within ten
//! seconds, never with an error of the server's; what is stored nevertheless can
//! be read in every form, or is refused for what it is.

use std::{collections::BTreeMap, time::Duration};

use reqwest::blocking::RequestBuilder;
use tempfile::TempDir;

use super::{seed, times};
use crate::{
    harness::{fixture, fixture_path, multipart},
    mutations::{Dice, files, mutate},
    process::Process,
};

const QUERIES: [&str; 5] = [
    "/studies?PatientName=D%C3%B6e*^J?hn&StudyDate=20040101-20041231&includefield=all&limit=10&offset=3",
    "/series?00100020=1CT1%2A&ModalitiesInStudy=CT,MR&fuzzymatching=true&orderby=-StudyDate,PatientName",
    "/instances?StudyInstanceUID=1.2.3,4.5.6\\7&RequestAttributesSequence.ScheduledProcedureStepID=*&StudyTime=-1030",
    "/studies?q=lung+nodule&0020,000D=1.2&00091001=x&AcquisitionDateTime=20040119072730.5%2B0100-&PatientID=%22%22",
    "/patients?PatientName==%E5%B1%B1%E7%94%B0*&emptyvaluematching=true&includefield=00100010",
];
const ACCEPTS: [&str; 4] = [
    "multipart/related; type=\"application/dicom\"; transfer-syntax=*, application/zip;q=0.5",
    "application/dicom+json;q=0.9, application/dicom+xml, */*;q=0.1",
    "image/jpeg;q=0.8, image/png, image/gif;frames=\"1-3\", text/html;charset=utf-8",
    "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.1; boundary=a",
];

struct Trial {
    server: Process,
    tally: BTreeMap<(&'static str, u16), u64>,
    stored: Vec<String>,
    /// Of them, what was asked for already.
    known: Vec<String>,
}

impl Trial {
    /// The answer to a request that may be anything but a failure.
    fn ask(&mut self, what: &'static str, said: &str, request: RequestBuilder) -> Option<serde_json::Value> {
        // What a client cannot even send is not hostile.
        let request = request.timeout(Duration::from_secs(10)).build().ok()?;
        let response =
            self.server.client.execute(request).unwrap_or_else(|error| panic!("{what} {said}: {error:?}"));
        let status = response.status().as_u16();
        let bytes =
            response.bytes().unwrap_or_else(|error| panic!("{what} {said}: {status}, broken off: {error}"));
        assert!(status < 500, "{what} {said}: {status} {}", String::from_utf8_lossy(&bytes));
        *self.tally.entry((what, status)).or_default() += 1;
        serde_json::from_slice(&bytes).ok()
    }

    fn post(&self, media: &str, body: Vec<u8>) -> RequestBuilder {
        self.server
            .client
            .post(format!("{}/studies", self.server.base))
            .header("Content-Type", media)
            .body(body)
    }

    fn store(&mut self, what: &'static str, said: &str, media: &str, body: Vec<u8>) {
        let request = self.post(media, body);
        let module = self.ask(what, said, request).unwrap_or_default();
        let urls = module["00081199"]["Value"].as_array().cloned().unwrap_or_default();
        let path = |url: &serde_json::Value| {
            url["00081190"]["Value"][0].as_str()?.strip_prefix(&self.server.base).map(str::to_owned)
        };
        let paths: Vec<String> = urls.iter().filter_map(path).collect();
        self.stored.extend(paths);
    }
}

fn text(seed: &str, dice: &mut Dice) -> String {
    let mut bytes = seed.as_bytes().to_vec();
    mutate(&mut bytes, dice);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn hostile_input_is_answered() {
    let count = times("TEST_HOSTILE", 160);
    let seed = seed();
    let folder = TempDir::new().unwrap();
    let server = Process::with(&folder.path().join("data"), |command| {
        command.env("HILUM_STORE_DUPLICATES", "replace").env("HILUM_LOG_LEVEL", "warn,hilum::cli=info")
    });
    let mut trial = Trial { server, tally: BTreeMap::new(), stored: Vec::new(), known: Vec::new() };
    let mut seeds = Vec::new();
    files(&fixture_path(""), &mut seeds);
    let dicom = "multipart/related; type=\"application/dicom\"; boundary=b";
    let json = "multipart/related; type=\"application/dicom+json\"; boundary=b";
    trial.store(
        "files",
        "as they are",
        dicom,
        multipart("b", &[&fixture("CT_small.dcm"), &fixture("MR_small.dcm")]),
    );
    let metadata: Vec<Vec<u8>> = trial
        .stored
        .clone()
        .iter()
        .map(|path| trial.server.get(&format!("{path}/metadata")).bytes().unwrap().to_vec())
        .collect();
    trial.known = std::mem::take(&mut trial.stored);
    for round in 0..count {
        let mut dice = Dice::new(seed.wrapping_add(round));
        let said = format!("TEST_SEED={seed}, round {round}");
        match round % 8 {
            0..4 => {
                let mut file = seeds[dice.below(seeds.len())].clone();
                mutate(&mut file, &mut dice);
                trial.store("files", &said, dicom, multipart("b", &[&file]));
            }
            4 => {
                let mut body =
                    multipart("b", &[&seeds[dice.below(seeds.len())], &fixture("SC_rgb_small_odd.dcm")]);
                mutate(&mut body, &mut dice);
                trial.store("bodies", &said, dicom, body);
            }
            5 => {
                let mut set = metadata[dice.below(metadata.len())].clone();
                mutate(&mut set, &mut dice);
                let head = b"--b\r\nContent-Type: application/dicom+json\r\n\r\n".as_slice();
                trial.store("metadata", &said, json, [head, &set, b"\r\n--b--\r\n"].concat());
            }
            6 => {
                let query = text(QUERIES[dice.below(QUERIES.len())], &mut dice);
                let request = trial.server.client.get(format!("{}{query}", trial.server.base));
                trial.ask("queries", &format!("{said} {query:?}"), request);
            }
            _ => {
                let path = trial.known[dice.below(trial.known.len())].clone();
                let under =
                    ["", "/metadata", "/rendered", "/frames/1", "/thumbnail", "/bulkdata"][dice.below(6)];
                let accept = text(ACCEPTS[dice.below(ACCEPTS.len())], &mut dice);
                let path = if dice.below(2) == 0 { text(&path, &mut dice) } else { path };
                let request = trial.server.client.get(format!("{}{path}{under}", trial.server.base));
                trial.ask("reads", &format!("{said} {path:?} {accept:?}"), request.header("Accept", accept));
            }
        }
        // What was taken in although it is broken.
        for path in std::mem::take(&mut trial.stored) {
            for (under, accept) in [
                ("", "application/dicom; transfer-syntax=*"),
                ("", "application/dicom"),
                ("/metadata", "application/dicom+json"),
                ("/frames/1", "multipart/related; type=\"application/octet-stream\""),
                ("/rendered", "image/jpeg"),
            ] {
                let url = format!("{}{path}{under}", trial.server.base);
                let request = trial.server.client.get(url).header("Accept", accept);
                trial.ask("reads of what is broken", &format!("{said} {path}{under} {accept}"), request);
            }
            trial.known.push(path);
        }
    }
    println!("{count} mutations over HTTP: {:?}", trial.tally);
    let panics: Vec<String> =
        trial.server.log().into_iter().filter(|line| line.contains("panicked")).collect();
    assert!(panics.is_empty(), "{panics:#?}");
    assert!(trial.server.stop().success());
}
