//! A real server for a test: on a free port, with an archive in a temporary
//! folder, stopped and cleaned up when it is dropped. And what tests say to it
//! over HTTP.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hilum::{config::Config, server::Server};
use reqwest::blocking::{Client, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;

/// A running server and its archive.
pub struct Hilum {
    /// `http://127.0.0.1:PORT/dicomweb`
    pub base: String,
    /// `http://127.0.0.1:PORT`
    pub root: String,
    pub client: Client,
    handle: Option<actix_web::dev::ServerHandle>,
    thread: Option<JoinHandle<()>>,
    folder: Option<TempDir>,
    config: Config,
}

impl Hilum {
    /// A server with the default configuration.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// A server whose configuration is changed first.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let data = folder.path().join("data");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let mut config = Config { data, listen, ..Config::default() };
        change(&mut config);
        Self::run(config, Some(folder))
    }

    fn run(config: Config, folder: Option<TempDir>) -> Self {
        let (sender, started) = mpsc::channel();
        let for_thread = config.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = Server::start(&for_thread).expect("the server starts");
                sender.send((server.address, server.handle())).expect("the test waits");
                server.run().await.expect("the server runs");
            });
        });
        let (address, handle) = started.recv().expect("the server starts");
        let client = Client::builder().timeout(None).build().expect("a client");
        Self {
            base: format!("http://{address}/dicomweb"),
            root: format!("http://{address}"),
            client,
            handle: Some(handle),
            thread: Some(thread),
            folder,
            config,
        }
    }

    /// Stops the server gracefully and starts another one on the same archive.
    pub fn restart(mut self) -> Self {
        self.stop();
        Self::run(self.config.clone(), self.folder.take())
    }

    /// Stops the server gracefully; the archive stays until this is dropped.
    pub fn stop(&mut self) {
        if let Some(handle) = self.handle.take() {
            // The future only waits; the stop is asked for at once.
            drop(handle.stop(true));
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends without a panic");
        }
    }

    /// The folder of the archive.
    pub fn data(&self) -> &Path {
        &self.config.data
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    pub fn delete(&self, path: &str) -> Response {
        self.client.delete(format!("{}{path}", self.base)).send().expect("an answer")
    }

    /// GET that must be 200; its JSON.
    pub fn json(&self, path: &str) -> Value {
        let response = self.get(path).send().expect("an answer");
        let status = response.status();
        let text = response.text().expect("a body");
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Stores files with one multipart request.
    pub fn store(&self, files: &[&[u8]]) -> Response {
        self.store_at("/studies", files)
    }

    /// Stores files, all of which must be stored without a word against them. A
    /// server with too much to do is asked again, as clients do.
    pub fn must_store(&self, files: &[&[u8]]) {
        let begun = Instant::now();
        let mut response = self.store(files);
        while response.status() == 503 && begun.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_millis(200));
            response = self.store(files);
        }
        let status = response.status();
        assert_eq!(status, 200, "{}", response.text().expect("a body"));
    }

    pub fn store_at(&self, path: &str, files: &[&[u8]]) -> Response {
        self.client
            .post(format!("{}{path}", self.base))
            .header("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=XX-hilum-XX")
            .body(multipart("XX-hilum-XX", files))
            .send()
            .expect("an answer")
    }

    /// Stores a fixture, which must succeed, and says where it is.
    pub fn store_fixture(&self, name: &str) -> Stored {
        let response = self.store(&[&fixture(name)]);
        let status = response.status();
        let module = json_of(response);
        assert!(status == 200 || status == 202, "{name}: {status} {module}");
        let url = module["00081199"]["Value"][0]["00081190"]["Value"][0].as_str().expect("a RetrieveURL");
        let path = url.strip_prefix(&self.base).expect("a URL of this server").to_owned();
        let mut uids = path.split('/').skip(2).step_by(2).map(str::to_owned);
        let mut next = || uids.next().expect("three UIDs");
        Stored { study: next(), series: next(), instance: next(), path }
    }
}

impl Drop for Hilum {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// The JSON of an answer.
pub fn json_of(response: Response) -> Value {
    let text = response.text().expect("a body");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Where an instance is.
pub struct Stored {
    pub study: String,
    pub series: String,
    pub instance: String,
    /// `/studies/…/series/…/instances/…`
    pub path: String,
}

/// The path of a fixture.
pub fn fixture_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The bytes of a fixture.
pub fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixture_path(name)).unwrap_or_else(|error| panic!("fixtures/{name}: {error}"))
}

/// A multipart body of `application/dicom` parts.
pub fn multipart(boundary: &str, files: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for file in files {
        body.extend_from_slice(format!("--{boundary}\r\nContent-Type: application/dicom\r\n\r\n").as_bytes());
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

/// The parts of a multipart answer: their headers as text, and their bytes.
pub fn parts(response: Response) -> Vec<(String, Vec<u8>)> {
    let content_type = response.headers()["content-type"].to_str().expect("text").to_owned();
    let boundary = content_type.split("boundary=").nth(1).expect("a boundary").trim_matches('"').to_owned();
    let body = response.bytes().expect("a body").to_vec();
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter stands at the very beginning.
    let body = [b"\r\n", body.as_slice()].concat();
    let places: Vec<usize> = memchr::memmem::find_iter(&body, delimiter.as_bytes()).collect();
    places
        .windows(2)
        .map(|pair| {
            let part = &body[pair[0] + delimiter.len() + 2..pair[1]];
            let end = memchr::memmem::find(part, b"\r\n\r\n").expect("headers end");
            (String::from_utf8_lossy(&part[..end]).into_owned(), part[end + 4..].to_vec())
        })
        .collect()
}

/// Waits for what will be so in a moment; on the busiest machine in a minute.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(1), "not so: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
