//! A small server that speaks as much of S3 as Hilum needs, in the process of a
//! test: objects in memory, signatures looked at loosely, checksums strictly.
//! It can be down, be busy, or lose the answer to what it did.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// Few, so that a listing has several pages.
const PAGE: usize = 7;

pub const ACCESS_KEY: &str = "test-key";
pub const SECRET_KEY: &str = "test-secret";

#[derive(Default)]
struct Shared {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Multipart uploads that are not complete: their parts by number.
    uploads: Mutex<BTreeMap<String, BTreeMap<usize, Vec<u8>>>>,
    uploads_begun: AtomicUsize,
    /// So many requests are answered with 503.
    busy: AtomicUsize,
    /// So many are done and their connection closed without an answer.
    mute: AtomicUsize,
    /// All are answered with 503.
    down: AtomicBool,
    /// Nothing is answered, and so many wait for it.
    stall: AtomicBool,
    stalled: AtomicUsize,
    /// So many bodies break off in their middle, and in so many a bit is wrong.
    cut: AtomicUsize,
    wrong: AtomicUsize,
    gets: AtomicUsize,
    puts: AtomicUsize,
}

/// The server. It ends with the process.
#[derive(Clone)]
pub struct S3 {
    shared: Arc<Shared>,
    pub address: SocketAddr,
}

#[allow(dead_code, reason = "each test needs some of it")]
impl S3 {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let s3 = Self { shared: Arc::clone(&shared), address };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        s3
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a process needs to know.
    pub fn environment() -> [(&'static str, &'static str); 2] {
        [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)]
    }

    pub fn busy(&self, requests: usize) {
        self.shared.busy.store(requests, Ordering::SeqCst);
    }

    pub fn mute(&self, requests: usize) {
        self.shared.mute.store(requests, Ordering::SeqCst);
    }

    pub fn down(&self, is_down: bool) {
        self.shared.down.store(is_down, Ordering::SeqCst);
    }

    /// Takes requests and answers none until told otherwise.
    pub fn stall(&self, is_stalled: bool) {
        self.shared.stall.store(is_stalled, Ordering::SeqCst);
    }

    pub fn stalled(&self) -> usize {
        self.shared.stalled.load(Ordering::SeqCst)
    }

    pub fn cut(&self, bodies: usize) {
        self.shared.cut.store(bodies, Ordering::SeqCst);
    }

    pub fn wrong(&self, bodies: usize) {
        self.shared.wrong.store(bodies, Ordering::SeqCst);
    }

    /// Bytes of parts that no object was made of.
    pub fn left_over(&self) -> usize {
        self.shared.uploads.lock().unwrap().len()
    }

    pub fn gets(&self) -> usize {
        self.shared.gets.load(Ordering::SeqCst)
    }

    pub fn puts(&self) -> usize {
        self.shared.puts.load(Ordering::SeqCst)
    }

    /// `bucket/name` of every object.
    pub fn names(&self) -> Vec<String> {
        self.shared.objects.lock().unwrap().keys().cloned().collect()
    }

    pub fn object(&self, name: &str) -> Option<Vec<u8>> {
        self.shared.objects.lock().unwrap().get(name).cloned()
    }

    /// Changes an object behind everybody's back; `None` removes it.
    pub fn replace(&self, name: &str, bytes: Option<Vec<u8>>) {
        let mut objects = self.shared.objects.lock().unwrap();
        match bytes {
            Some(bytes) => drop(objects.insert(name.to_owned(), bytes)),
            None => drop(objects.remove(name)),
        }
    }
}

struct Request {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn read(stream: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    if stream.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect();
    Some(Request { method, path: decoded(path.trim_start_matches('/')), query, headers, body })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let hex = std::str::from_utf8(&rest[..2]).expect("two digits");
            bytes.push(u8::from_str_radix(hex, 16).expect("hexadecimal"));
            rest = &rest[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn answer(status: &'static str, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, headers: Vec::new(), body: body.into() }
}

fn error(status: &'static str, code: &str) -> Answer {
    answer(status, format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>"))
}

fn serve(stream: &TcpStream, shared: &Shared) {
    let takes = |counter: &AtomicUsize| {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    };
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        shared.stalled.fetch_add(1, Ordering::SeqCst);
        while shared.stall.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        shared.stalled.fetch_sub(1, Ordering::SeqCst);
        let mut answer = if shared.down.load(Ordering::SeqCst) || takes(&shared.busy) {
            error("503 Service Unavailable", "SlowDown")
        } else {
            let answer = act(&request, shared);
            if takes(&shared.mute) {
                return;
            }
            answer
        };
        let mut head = format!("HTTP/1.1 {}\r\nConnection: keep-alive\r\n", answer.status);
        for (name, value) in &answer.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !answer.headers.iter().any(|(name, _)| *name == "Content-Length") {
            let _ = write!(head, "Content-Length: {}\r\n", answer.body.len());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        let is_long = request.method == "GET" && answer.body.len() > 1000;
        if is_long && takes(&shared.wrong) {
            let middle = answer.body.len() / 2;
            answer.body[middle] ^= 1;
        }
        let cut = is_long && takes(&shared.cut);
        if cut {
            answer.body.truncate(answer.body.len() / 2);
        }
        if request.method != "HEAD" {
            bytes.extend(answer.body);
        }
        let mut stream = stream;
        if stream.write_all(&bytes).is_err() || cut {
            return;
        }
    }
}

fn act(request: &Request, shared: &Shared) -> Answer {
    let header = |name: &str| request.headers.get(name).map(String::as_str).unwrap_or_default();
    let signed = format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/");
    if !header("authorization").starts_with(&signed) {
        return error("403 Forbidden", "InvalidAccessKeyId");
    }
    let sum = Sha256::digest(&request.body);
    let mut hex = String::new();
    sum.iter().for_each(|byte| write!(hex, "{byte:02x}").expect("a String takes all"));
    if !request.body.is_empty() && header("x-amz-content-sha256") != hex {
        return error("400 Bad Request", "XAmzContentSHA256Mismatch");
    }
    if request.query.contains_key("uploads") || request.query.contains_key("uploadId") {
        return multipart(request, shared, &sum);
    }
    let mut objects = shared.objects.lock().unwrap();
    if request.query.contains_key("list-type") {
        return list(request, &objects);
    }
    match request.method.as_str() {
        "PUT" => {
            shared.puts.fetch_add(1, Ordering::SeqCst);
            if header("x-amz-checksum-sha256") != BASE64_STANDARD.encode(sum) {
                return error("400 Bad Request", "BadDigest");
            }
            if header("if-none-match") == "*" && objects.contains_key(&request.path) {
                return error("412 Precondition Failed", "PreconditionFailed");
            }
            objects.insert(request.path.clone(), request.body.clone());
            Answer { headers: vec![("ETag", format!("\"{hex}\""))], ..answer("200 OK", "") }
        }
        "DELETE" => {
            objects.remove(&request.path);
            answer("204 No Content", "")
        }
        "GET" | "HEAD" => {
            shared.gets.fetch_add(1, Ordering::SeqCst);
            let Some(bytes) = objects.get(&request.path) else {
                return error("404 Not Found", "NoSuchKey");
            };
            get(bytes, header("range"))
        }
        _ => error("405 Method Not Allowed", "MethodNotAllowed"),
    }
}

fn multipart(request: &Request, shared: &Shared, sum: &[u8]) -> Answer {
    let mut uploads = shared.uploads.lock().unwrap();
    let value = |key: &str| request.query.get(key).map(String::as_str).unwrap_or_default();
    let id = value("uploadId");
    let number = value("partNumber").parse::<usize>();
    match (request.method.as_str(), number) {
        ("POST", _) if id.is_empty() => {
            let id = format!("u{}", shared.uploads_begun.fetch_add(1, Ordering::SeqCst));
            uploads.insert(id.clone(), BTreeMap::new());
            let id = format!("<UploadId>{id}</UploadId>");
            answer("200 OK", format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>"))
        }
        ("PUT", Ok(number)) => {
            shared.puts.fetch_add(1, Ordering::SeqCst);
            let claimed = request.headers.get("x-amz-checksum-sha256").map(String::as_str);
            if claimed != Some(BASE64_STANDARD.encode(sum).as_str()) {
                return error("400 Bad Request", "BadDigest");
            }
            let Some(upload) = uploads.get_mut(id) else { return error("404 Not Found", "NoSuchUpload") };
            upload.insert(number, request.body.clone());
            Answer { headers: vec![("ETag", format!("\"{id}-{number}\""))], ..answer("200 OK", "") }
        }
        ("POST", _) => {
            let Some(parts) = uploads.remove(id) else { return error("404 Not Found", "NoSuchUpload") };
            let listed = String::from_utf8_lossy(&request.body).matches("<PartNumber>").count();
            if listed != parts.len() {
                return error("400 Bad Request", "InvalidPart");
            }
            let whole = parts.into_values().collect::<Vec<_>>().concat();
            shared.objects.lock().unwrap().insert(request.path.clone(), whole);
            let tag = "<ETag>\"whole\"</ETag>";
            answer("200 OK", format!("<CompleteMultipartUploadResult>{tag}</CompleteMultipartUploadResult>"))
        }
        ("DELETE", _) => {
            uploads.remove(id);
            answer("204 No Content", "")
        }
        _ => error("405 Method Not Allowed", "MethodNotAllowed"),
    }
}

fn get(bytes: &[u8], range: &str) -> Answer {
    let mut headers =
        vec![("ETag", "\"x\"".to_owned()), ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT".to_owned())];
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        headers.push(("Content-Length", bytes.len().to_string()));
        return Answer { headers, ..answer("200 OK", bytes) };
    };
    let from: usize = from.parse().expect("a first byte");
    let to = to.parse().map_or(bytes.len(), |to: usize| (to + 1).min(bytes.len()));
    if from >= bytes.len() {
        return error("416 Requested Range Not Satisfiable", "InvalidRange");
    }
    headers.push(("Content-Range", format!("bytes {from}-{}/{}", to - 1, bytes.len())));
    Answer { headers, ..answer("206 Partial Content", &bytes[from..to]) }
}

fn list(request: &Request, objects: &BTreeMap<String, Vec<u8>>) -> Answer {
    let value = |key: &str| request.query.get(key).map(String::as_str).unwrap_or_default();
    let bucket = format!("{}/", request.path.trim_end_matches('/'));
    let (prefix, after) = (value("prefix"), value("continuation-token"));
    let keys = objects.iter().filter_map(|(name, bytes)| Some((name.strip_prefix(&bucket)?, bytes)));
    let mut found = keys.filter(|(key, _)| key.starts_with(prefix) && *key > after).peekable();
    let mut body = String::from("<?xml version=\"1.0\"?><ListBucketResult>");
    let mut last = "";
    for (key, bytes) in found.by_ref().take(PAGE) {
        last = key;
        let _ = write!(
            body,
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
             <ETag>\"x\"</ETag><Size>{}</Size></Contents>",
            bytes.len()
        );
    }
    let more = found.peek().is_some();
    let _ = write!(body, "<IsTruncated>{more}</IsTruncated>");
    if more {
        let _ = write!(body, "<NextContinuationToken>{last}</NextContinuationToken>");
    }
    body.push_str("</ListBucketResult>");
    answer("200 OK", body)
}
