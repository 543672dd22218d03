//! An archive that holds every fixture with an identity of its own, and helpers
//! to look at answers.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use reqwest::{
    Method,
    blocking::{RequestBuilder, Response},
};
use serde_json::Value;

use super::harness::{Hilum, Stored, fixture, fixture_path};

/// An instance and what was stored of it.
pub struct Held {
    pub name: String,
    pub bytes: Vec<u8>,
    pub stored: Stored,
}

/// A server with all fixtures.
pub struct Library {
    pub hilum: Hilum,
    pub held: Vec<Held>,
}

impl Library {
    pub fn open() -> Self {
        Self::of(&names(&["", "charset", "media"]))
    }

    pub fn of(names: &[String]) -> Self {
        let hilum = Hilum::start();
        let held = names
            .iter()
            .map(|name| Held { name: name.clone(), bytes: fixture(name), stored: hilum.store_fixture(name) })
            .collect();
        Self { hilum, held }
    }

    pub fn find(&self, name: &str) -> &Held {
        self.held.iter().find(|held| held.name == name).expect("a fixture of this name")
    }
}

/// The fixtures in some folders, in order of their names.
pub fn names(folders: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for folder in folders {
        let depth = if *folder == "media" { usize::MAX } else { 1 };
        for entry in walkdir::WalkDir::new(fixture_path(folder)).max_depth(depth).sort_by_file_name() {
            let entry = entry.expect("a readable folder");
            let path = entry.path().strip_prefix(fixture_path("")).expect("in fixtures").to_owned();
            let name = path.to_str().expect("a plain name").to_owned();
            let is_dicom = path.extension().is_none_or(|extension| extension == "dcm");
            if entry.file_type().is_file() && is_dicom && !name.ends_with("DICOMDIR") {
                found.push(name);
            }
        }
    }
    found
}

/// The variants: each has the SOP Instance UID of another fixture.
pub fn variants() -> Vec<String> {
    names(&["variants"])
}

impl Hilum {
    /// GET with an Accept header.
    pub fn get_as(&self, path: &str, accept: &str) -> Response {
        self.get(path).header("Accept", accept).send().expect("an answer")
    }

    pub fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::blocking::Body>) -> Response {
        let request = self.client.post(format!("{}{path}", self.base)).header("Content-Type", content_type);
        request.body(body).send().expect("an answer")
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// Begins an upload that does not end.
    pub fn open_upload(&self, length: usize) -> TcpStream {
        let address = self.root.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("a connection");
        let head = format!(
            "POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\
             Content-Type: application/dicom\r\n\r\nx"
        );
        stream.write_all(head.as_bytes()).expect("the server listens");
        std::thread::sleep(Duration::from_millis(200));
        stream
    }

    /// Sends bytes as they are and ends the connection.
    pub fn raw_and_close(&self, request: &[u8]) {
        let address = self.root.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(request).expect("the server listens");
        stream.shutdown(std::net::Shutdown::Both).expect("a connection");
    }

    /// Sends bytes as they are and reads until the server closes or is quiet.
    pub fn raw(&self, request: &[u8]) -> String {
        let address = self.root.strip_prefix("http://").expect("an address");
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(3))).expect("a timeout");
        // The server may refuse before it has read everything.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The body of an answer as JSON.
pub fn json_of(response: Response) -> Value {
    let text = response.text().expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The values of one header.
pub fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map_or(String::new(), |value| value.to_str().expect("text").to_owned())
}

/// The answer to a store: its status and module.
pub fn outcome(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    assert_eq!(header(&response, "content-type"), "application/dicom+json");
    (status, json_of(response))
}

/// The reasons in a sequence of that module.
pub fn reasons(module: &Value, sequence: &str) -> Vec<u64> {
    let items = module[sequence]["Value"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["00081197"]["Value"][0].as_u64().expect("a reason")).collect()
}

/// What a problem says, after its shape was checked.
pub fn problem(response: Response, status: u16, code: &str) -> Value {
    let url = response.url().clone();
    assert_eq!(response.status().as_u16(), status, "{url}");
    assert_eq!(header(&response, "content-type"), "application/problem+json", "{url}");
    let id = header(&response, "x-request-id");
    let body = json_of(response);
    assert_eq!(body["code"], code, "{url}: {body}");
    assert_eq!(body["status"], status, "{url}: {body}");
    assert_eq!(body["type"], format!("urn:hilum:problem:{code}"), "{body}");
    assert_eq!(body["request_id"], id, "{body}");
    assert!(!body["title"].as_str().expect("a title").is_empty());
    assert!(body["detail"].as_str().expect("a detail").len() > 10, "{body}");
    body
}

/// The values of an attribute in one data set.
pub fn values<'v>(set: &'v Value, tag: &str) -> Vec<&'v Value> {
    set[tag]["Value"].as_array().map(|values| values.iter().collect()).unwrap_or_default()
}

pub fn text<'v>(set: &'v Value, tag: &str) -> &'v str {
    set[tag]["Value"][0].as_str().unwrap_or_default()
}

/// One header of a part.
pub fn part_header(head: &str, name: &str) -> String {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

/// Every `BulkDataURI` in a JSON text.
pub fn bulk_uris(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(uri) if name == "BulkDataURI" => found.push(uri.to_owned()),
                    _ => bulk_uris(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| bulk_uris(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The path of a route for a study that has one series of one instance, by the
/// names of which one begins with the other.
pub fn path_of(pattern: &str, study: &str) -> String {
    let path = pattern
        .replace("{study}", study)
        .replace("{series}", &format!("{study}.1"))
        .replace("{instance}", &format!("{study}.1.1"))
        .replace("{frames}", "1")
        .replace("{bulkdata}", "7FE00010")
        .replace("{_:.*}", "index.html");
    match pattern {
        "/wado" | "/dicomweb/wado" => {
            format!("{path}?requestType=WADO&studyUID={study}&seriesUID={study}.1&objectUID={study}.1.1")
        }
        "/dicomweb/zip" => format!("{path}?StudyInstanceUID={study}"),
        _ => path,
    }
}
