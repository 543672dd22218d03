//! Import through a running server: batches by STOW-RS (PS3.18 10.5), with one
//! search (10.6) before each that tells what was there already. The server
//! compares bytes, so everything is sent; an answer is matched to its file by
//! the SOP Instance UID, and what cannot be matched is sent again alone.

use std::collections::{HashMap, HashSet};
use std::io::{Cursor, Read};
use std::net::IpAddr;
use std::time::Duration;

use reqwest::blocking::{Body, Client, RequestBuilder, Response};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::{Candidate, Content, Outcome};
use crate::dicom::part10;

/// UIDs of one search: some 64 bytes each, and the line must stay below 8 KiB.
const SEARCH_UIDS_MAX: usize = 100;
const ATTEMPTS_MAX: u32 = 6;
const RETRY_SECONDS_MAX: u64 = 60;

const REFERENCED_SOP_SEQUENCE: &str = "00081199";
const FAILED_SOP_SEQUENCE: &str = "00081198";
const OTHER_FAILURES_SEQUENCE: &str = "0008119A";
const REFERENCED_SOP_INSTANCE_UID: &str = "00081155";
const FAILURE_REASON: &str = "00081197";
const FAILED_ATTRIBUTES_SEQUENCE: &str = "00741048";
const ERROR_COMMENT: &str = "00000902";
const SOP_INSTANCE_UID: &str = "00080018";

/// Why nothing can be sent to a server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{0} is not the address of a server such as http://127.0.0.1:8080/dicomweb")]
    Address(String),
    #[error("cannot set up HTTP: {0}")]
    Client(reqwest::Error),
    #[error("{url} does not answer as a DICOMweb server: {why}")]
    Unreachable { url: String, why: String },
    #[error(
        "{0} asks who stores: give a token by --token-file or in HILUM_TOKEN (`hilum token add` makes one)"
    )]
    Unknown(String),
    #[error("{0} does not know the token, or it is no longer valid")]
    Token(String),
    #[error("a token is sent over https only, or to this machine: {0} is neither")]
    Plain(String),
}

/// A DICOMweb server that takes files.
#[derive(Debug)]
pub struct Server {
    client: Client,
    base_url: String,
    /// `Bearer …`, of who stores.
    authorization: Option<HeaderValue>,
}

impl Server {
    /// A server by its address; without a path, `/dicomweb` is meant. The token
    /// says who stores, where the server asks.
    ///
    /// # Errors
    /// When the address is none, or nobody answers a search there, or not to
    /// who has this token; and when others on the way could read the token.
    pub fn connect(address: &str, token: Option<&str>) -> Result<Self, ServerError> {
        let url = Url::parse(address).map_err(|_| ServerError::Address(address.to_owned()))?;
        let is_base = url.query().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_base {
            return Err(ServerError::Address(address.to_owned()));
        }
        let base_url = match url.path() {
            "" | "/" => format!("{}/dicomweb", address.trim_end_matches('/')),
            _ => address.trim_end_matches('/').to_owned(),
        };
        let client = Client::builder().connect_timeout(Duration::from_secs(10)).timeout(None);
        // A proxy of the environment is for other machines; it would read the token.
        let client = if is_here(&url) { client.no_proxy() } else { client };
        let client = client.build().map_err(ServerError::Client)?;
        let authorization = match token {
            Some(_) if !keeps_secrets(&url) => return Err(ServerError::Plain(base_url)),
            Some(token) => {
                let value = HeaderValue::try_from(format!("Bearer {token}"));
                let mut value = value.map_err(|_| ServerError::Token(base_url.clone()))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let server = Self { client, base_url, authorization };
        server.probe()?;
        Ok(server)
    }

    /// A request in the name of who stores.
    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.client.request(method, url).header(ACCEPT, "application/dicom+json");
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    fn probe(&self) -> Result<(), ServerError> {
        let url = format!("{}/studies?limit=1", self.base_url);
        let unreachable = |why: String| ServerError::Unreachable { url: url.clone(), why };
        let request = self.request(Method::GET, &url).timeout(Duration::from_secs(30));
        let response = request.send().map_err(|error| unreachable(reason(&error)))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED if self.authorization.is_none() => {
                Err(ServerError::Unknown(self.base_url.clone()))
            }
            StatusCode::UNAUTHORIZED => Err(ServerError::Token(self.base_url.clone())),
            // Who may store need not be allowed to search.
            StatusCode::FORBIDDEN if self.authorization.is_some() => Ok(()),
            status => Err(unreachable(status.to_string())),
        }
    }

    /// Stores a batch: one request, and more only for what that leaves open.
    #[must_use]
    pub fn store(&self, batch: Vec<Candidate>) -> Vec<Outcome> {
        let uids: Vec<Option<String>> = batch.iter().map(sop_instance).collect();
        let there = self.already_there(&uids.iter().flatten().map(String::as_str).collect::<Vec<_>>());
        let there = there.as_ref();
        let mut outcomes: Vec<Option<Outcome>> = batch.iter().map(|_| None).collect();
        // Open files, and files that their UID does not tell from others, go alone.
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for (index, candidate) in batch.into_iter().enumerate() {
            let is_unique =
                uids[index].is_some() && uids.iter().filter(|uid| **uid == uids[index]).count() == 1;
            match candidate.content {
                Content::Bytes(bytes) if is_unique => together.push((index, bytes)),
                content @ (Content::Bytes(_) | Content::File { .. }) => alone.push((index, content)),
            }
        }
        if together.len() > 1 {
            let answer = self
                .post(&mut |boundary| Ok(in_memory(together.iter().map(|(_, bytes)| &bytes[..]), boundary)));
            for (index, bytes) in together {
                let uid = uids[index].as_deref().unwrap_or_default();
                outcomes[index] = match &answer {
                    Ok(answer) => answer.outcome(uid, there),
                    // One of them may be what the server cannot take.
                    Err(Refusal::Request(_)) => None,
                    Err(Refusal::Server(why)) => Some(Outcome::Failed(why.clone())),
                };
                if outcomes[index].is_none() {
                    alone.push((index, Content::Bytes(bytes)));
                }
            }
        } else {
            alone.extend(together.into_iter().map(|(index, bytes)| (index, Content::Bytes(bytes))));
        }
        for (index, content) in alone {
            outcomes[index] = Some(self.store_one(content, &stored(uids[index].as_deref(), there)));
        }
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unanswered)).collect()
    }

    fn store_one(&self, content: Content, if_taken: &Outcome) -> Outcome {
        let answer = match content {
            Content::Bytes(bytes) => {
                self.post(&mut |boundary| Ok(in_memory([&bytes[..]].into_iter(), boundary)))
            }
            Content::File { file, length } => self.post(&mut |boundary| from_file(&file, length, boundary)),
        };
        match answer {
            Ok(answer) => answer.outcome_of_one(if_taken),
            Err(Refusal::Request(why) | Refusal::Server(why)) => Outcome::Failed(why),
        }
    }

    /// Which of the instances the server has. A search that fails tells nothing
    /// and hinders nothing.
    #[must_use]
    pub fn already_there(&self, uids: &[&str]) -> Option<HashSet<String>> {
        let mut there = HashSet::new();
        for uids in uids.chunks(SEARCH_UIDS_MAX) {
            // Plain UIDs: nothing to escape.
            let url = format!("{}/instances?SOPInstanceUID={}&limit=1000", self.base_url, uids.join(","));
            let response = self.request(Method::GET, &url).send().ok()?;
            let rows = match response.status() {
                StatusCode::NO_CONTENT => Vec::new(),
                StatusCode::OK => {
                    let Value::Array(rows) = json(response)? else { return None };
                    rows
                }
                _ => return None,
            };
            there.extend(
                rows.iter().filter_map(|row| first(row, SOP_INSTANCE_UID)?.as_str()).map(str::to_owned),
            );
        }
        Some(there)
    }

    /// Posts what `body` makes, again while the server is busy or out of reach.
    fn post(&self, body: &mut dyn FnMut(&str) -> std::io::Result<Body>) -> Result<Answer, Refusal> {
        let url = format!("{}/studies", self.base_url);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let boundary = boundary();
            let body = body(&boundary).map_err(|error| Refusal::Request(error.to_string()))?;
            let content_type = format!("multipart/related; type=\"application/dicom\"; boundary={boundary}");
            let request = self.request(Method::POST, &url).header(CONTENT_TYPE, content_type);
            let sent = request.body(body).send();
            let (why, wait_seconds) = match sent {
                Ok(response) => match answer(response)? {
                    Reply::Answer(answer) => return Ok(answer),
                    Reply::Later { wait_seconds } => ("the server is busy".to_owned(), wait_seconds),
                },
                Err(error) => (format!("the server is out of reach: {}", reason(&error)), 1 << attempt),
            };
            if attempt >= ATTEMPTS_MAX {
                return Err(Refusal::Server(why));
            }
            std::thread::sleep(Duration::from_secs(wait_seconds.min(RETRY_SECONDS_MAX)));
        }
    }
}

/// Whether nobody on the way can read what is sent there.
fn keeps_secrets(url: &Url) -> bool {
    url.scheme() == "https" || is_here(url)
}

/// Whether it is on this machine.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The file's SOP Instance UID. Only a file without its meta group is parsed for it.
fn sop_instance(candidate: &Candidate) -> Option<String> {
    match (&candidate.sop_instance, &candidate.content) {
        (Some(uid), _) => Some(uid.clone()),
        (None, Content::Bytes(bytes)) => {
            let instance = part10::read(bytes, &part10::Limits::default()).ok()?;
            Some(instance.path.instance.to_string())
        }
        (None, Content::File { .. }) => None,
    }
}

/// Why a request brought no answer for its files.
enum Refusal {
    /// The request was wrong: another one may be right.
    Request(String),
    /// The server cannot.
    Server(String),
}

enum Reply {
    Answer(Answer),
    Later { wait_seconds: u64 },
}

fn answer(response: Response) -> Result<Reply, Refusal> {
    let status = response.status();
    match status {
        StatusCode::OK | StatusCode::ACCEPTED | StatusCode::CONFLICT => {
            let body = json(response)
                .ok_or_else(|| Refusal::Server(format!("the answer ({status}) is not DICOM JSON")))?;
            Ok(Reply::Answer(Answer::read(&body)))
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY => {
            let after =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Ok(Reply::Later { wait_seconds: after.unwrap_or(1) })
        }
        // Whoever may not store this may store no part of it either: sent one by one, each file
        // of a token that has ended would be one more wrong one.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED => Err(Refusal::Server(problem(status, response))),
        _ if status.is_client_error() => Err(Refusal::Request(problem(status, response))),
        _ => Err(Refusal::Server(problem(status, response))),
    }
}

fn json(response: Response) -> Option<Value> {
    serde_json::from_slice(&response.bytes().ok()?).ok()
}

/// The title of an `application/problem+json`, or the bare status.
fn problem(status: StatusCode, response: Response) -> String {
    let body = json(response);
    let said = |name: &str| body.as_ref()?.get(name)?.as_str().map(str::to_owned);
    match said("detail").or_else(|| said("title")) {
        Some(said) => format!("{status}: {said}"),
        None => status.to_string(),
    }
}

/// The Store Instances Response Module (PS3.18 I.2), as far as it matters here.
#[derive(Default)]
struct Answer {
    stored: HashSet<String>,
    failed: HashMap<String, String>,
    other_failures: Vec<String>,
}

impl Answer {
    fn read(body: &Value) -> Self {
        let uid = |item: &Value| Some(first(item, REFERENCED_SOP_INSTANCE_UID)?.as_str()?.to_owned());
        let why = |item: &Value| match comment(item) {
            Some(comment) => comment.to_owned(),
            None => explain(first(item, FAILURE_REASON).and_then(Value::as_u64).unwrap_or(0x0110)),
        };
        Self {
            stored: items(body, REFERENCED_SOP_SEQUENCE).filter_map(uid).collect(),
            failed: items(body, FAILED_SOP_SEQUENCE)
                .filter_map(|item| Some((uid(item)?, why(item))))
                .collect(),
            other_failures: items(body, OTHER_FAILURES_SEQUENCE).map(why).collect(),
        }
    }

    /// Nothing when the answer does not name the file, or names it twice.
    fn outcome(&self, uid: &str, there: Option<&HashSet<String>>) -> Option<Outcome> {
        match (self.stored.contains(uid), self.failed.get(uid)) {
            (true, None) => Some(stored(Some(uid), there)),
            (false, Some(why)) => Some(Outcome::Failed(why.clone())),
            (true, Some(_)) | (false, None) => None,
        }
    }

    fn outcome_of_one(&self, if_taken: &Outcome) -> Outcome {
        let failure = self.failed.values().chain(&self.other_failures).next();
        match failure {
            Some(why) => Outcome::Failed(why.clone()),
            None if self.stored.is_empty() => unanswered(),
            None => if_taken.clone(),
        }
    }
}

fn unanswered() -> Outcome {
    Outcome::Failed("the server did not say what became of it".to_owned())
}

/// What it means that the server has a file now, by what it had before: nothing
/// is known of that if it gave no answer to the search, or the file has told no UID.
fn stored(uid: Option<&str>, there: Option<&HashSet<String>>) -> Outcome {
    match (uid, there) {
        (Some(uid), Some(there)) if there.contains(uid) => Outcome::AlreadyThere,
        (Some(_), Some(_)) => Outcome::Stored,
        (None, _) | (_, None) => Outcome::There,
    }
}

/// What Hilum itself says of a failure, in the server's words.
fn comment(item: &Value) -> Option<&str> {
    first(first(item, FAILED_ATTRIBUTES_SEQUENCE)?, ERROR_COMMENT)?.as_str()
}

/// Failure reasons of PS3.18 I.2.2.
fn explain(reason: u64) -> String {
    let meaning = match reason {
        0x0111 => "another file is stored under its SOP Instance UID",
        0x0122 => "its SOP class is not accepted",
        0xC122 => "its transfer syntax is not accepted",
        0xA700..=0xA7FF => "the server is out of space",
        0xA900..=0xA9FF => "it does not match its SOP class, or lacks a UID",
        0xC000..=0xCFFF => "it cannot be understood",
        _ => "the server could not process it",
    };
    format!("{meaning} (failure reason {reason:04X})")
}

fn items<'a>(body: &'a Value, tag: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    body.get(tag).and_then(|element| element.get("Value")).and_then(Value::as_array).into_iter().flatten()
}

fn first<'a>(item: &'a Value, tag: &str) -> Option<&'a Value> {
    item.get(tag)?.get("Value")?.get(0)
}

/// The innermost reason: reqwest's own text only says that something failed.
fn reason(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

fn part_head(boundary: &str) -> String {
    format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n")
}

fn in_memory<'a>(files: impl Iterator<Item = &'a [u8]>, boundary: &str) -> Body {
    let mut body = Vec::new();
    for bytes in files {
        body.extend_from_slice(part_head(boundary).as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Body::from(body)
}

fn from_file(file: &std::fs::File, length: u64, boundary: &str) -> std::io::Result<Body> {
    use std::io::Seek;
    let mut file = file.try_clone()?;
    file.rewind()?;
    let head = part_head(boundary).into_bytes();
    let tail = format!("\r\n--{boundary}--\r\n").into_bytes();
    let total = head.len() as u64 + length + tail.len() as u64;
    Ok(Body::sized(Cursor::new(head).chain(file.take(length)).chain(Cursor::new(tail)), total))
}

/// 128 bits that no file can hold on purpose: drawn anew for each request.
fn boundary() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let draw = || RandomState::new().build_hasher().finish();
    format!("hilum{:016x}{:016x}", draw(), draw())
}
