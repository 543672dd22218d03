//! The real binary as a process of its own: started, asked, stopped, killed.
//! And the files to feed it with, made so that any of them can be made again.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use reqwest::blocking::{Client, Response};
use serde_json::Value;

use crate::harness::multipart;

/// `TEST_HILUM_BINARY` names another one, such as that of a release.
pub fn binary() -> PathBuf {
    std::env::var_os("TEST_HILUM_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_hilum").into(), PathBuf::from)
}

/// Small packs and low bounds for streaming and for what is written alone, so
/// that a short run meets all of a pack's life.
pub const SMALL: [(&str, &str); 4] = [
    ("HILUM_STORE_PACK_BYTES_MAX", "4 MiB"),
    ("HILUM_STORE_SMALL_BYTES_MAX", "64 KiB"),
    ("HILUM_STORE_ALONE_BYTES_MIN", "16 KiB"),
    ("HILUM_STORE_STREAMS_MAX", "4"),
];

/// A command on an archive.
pub fn hilum(command: &str, data: &Path) -> Command {
    let mut process = Command::new(binary());
    process.arg(command).arg("--data").arg(data);
    process.envs(SMALL).env("HILUM_LOG_FORMAT", "json");
    if is_encrypted(data) {
        process.env("HILUM_ENCRYPTION_KEY_FILE", key_beside(data));
    }
    process
}

fn key_beside(data: &Path) -> PathBuf {
    data.with_file_name("master.key")
}

pub fn is_encrypted(data: &Path) -> bool {
    key_beside(data).is_file()
}

/// From now on the archive is encrypted, for every command on it.
pub fn encrypt(data: &Path) {
    std::fs::write(key_beside(data), "5".repeat(64)).unwrap();
}

/// Runs a command on an archive to its end.
pub fn run(command: &str, data: &Path, arguments: &[&str]) -> Output {
    hilum(command, data).args(arguments).output().expect("the binary runs")
}

/// `hilum verify`: whether it is clean, and its report.
pub fn verify(data: &Path) -> (bool, Value) {
    let output = run("verify", data, &["--json"]);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("verify: {:?} {}", output.status, String::from_utf8_lossy(&output.stderr))
    });
    (output.status.success(), report)
}

/// A running server. Killed when dropped.
pub struct Process {
    child: Child,
    /// `http://127.0.0.1:PORT/dicomweb`
    pub base: String,
    pub client: Client,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub fn start(data: &Path) -> Self {
        Self::with(data, |command| command)
    }

    /// Starts a server and waits until it is ready.
    pub fn with(data: &Path, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        Self::try_with(data, change).unwrap_or_else(|log| panic!("the server did not start: {log:#?}"))
    }

    /// As [`Self::with`]; or what it logged, if it ended before it was ready.
    pub fn try_with(
        data: &Path,
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Result<Self, Vec<String>> {
        let mut command = hilum("serve", data);
        command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = change(&mut command).spawn().expect("the binary runs");
        let stderr = child.stderr.take().expect("a pipe");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, ready) = mpsc::channel();
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let json: Value = serde_json::from_str(&line).unwrap_or_default();
                if json["message"] == "ready" {
                    let _ = sender.send(json["url"].as_str().expect("a URL").to_owned());
                }
                lines.lock().unwrap().push(line);
            }
        });
        let Ok(base) = ready.recv_timeout(Duration::from_mins(2)) else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(log.lock().unwrap().clone());
        };
        let client = Client::builder().timeout(Duration::from_mins(2)).build().expect("a client");
        Ok(Self { child, base, client, log })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Kills it, as a loss of power would end it.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    }

    /// Asks it to stop, and waits until it has; how it ended.
    pub fn stop(mut self) -> ExitStatus {
        self.terminate();
        self.wait(Duration::from_mins(1))
    }

    pub fn wait(&mut self, at_most: Duration) -> ExitStatus {
        let until = Instant::now() + at_most;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let log = self.log();
        panic!("the server did not end: {:#?}", log.last_chunk::<5>());
    }

    pub fn get(&self, path: &str) -> Response {
        let url = format!("{}{path}", self.base);
        self.client.get(&url).send().unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// GET that must be 200; its JSON.
    pub fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        let status = response.status();
        let text = response.text().expect("a body");
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// All results of a search, page by page.
    pub fn search_all(&self, path: &str) -> Vec<Value> {
        const PAGE: usize = 5000;
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        loop {
            let page = self.json(&format!("{path}{joint}limit={PAGE}&offset={}", all.len()));
            let page = page.as_array().expect("a list").clone();
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return all;
            }
        }
    }

    /// The bytes of an instance as they were stored, or the status.
    pub fn file(&self, path: &str) -> Result<Vec<u8>, u16> {
        let response = self
            .client
            .get(format!("{}{path}", self.base))
            .header("Accept", "application/dicom; transfer-syntax=*")
            .send()
            .expect("an answer");
        match response.status().as_u16() {
            // A body that breaks off is what a damaged instance looks like.
            200 => response.bytes().map(|bytes| bytes.to_vec()).map_err(|_| 599),
            status => Err(status),
        }
    }

    pub fn store(&self, files: &[&[u8]]) -> reqwest::Result<Response> {
        self.client
            .post(format!("{}/studies", self.base))
            .header("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=XX-hilum-XX")
            .body(multipart("XX-hilum-XX", files))
            .send()
    }

    /// As [`Self::store`], as a client does it: a server with too much to do says so, and is asked again.
    pub fn store_patiently(&self, files: &[&[u8]]) -> Response {
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            let response = self.store(files).expect("an answer");
            let is_busy = response.status() == 503 && response.headers().contains_key("retry-after");
            if !is_busy || Instant::now() > until {
                return response;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Stores files, all of which must be stored without a word against them.
    pub fn must_store(&self, files: &[&[u8]]) {
        let response = self.store_patiently(files);
        let status = response.status();
        assert_eq!(status, 200, "{}", response.text().unwrap_or_default());
    }

    pub fn delete(&self, path: &str) -> reqwest::Result<Response> {
        self.client.delete(format!("{}{path}", self.base)).send()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of the first value of an attribute.
pub fn text<'a>(result: &'a Value, tag: &str) -> &'a str {
    result[tag]["Value"][0].as_str().unwrap_or_default()
}

pub fn number(result: &Value, tag: &str) -> u64 {
    result[tag]["Value"][0].as_u64().unwrap_or_default()
}

/// Numbers that look random and come again with the same seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 11) % end
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

const COLUMNS: usize = 100;
/// Of large ones, whose rows would not fit into their attribute.
const COLUMNS_OF_LARGE: usize = 4096;

fn columns_of(pixels: usize) -> usize {
    if pixels > 6_000_000 { COLUMNS_OF_LARGE } else { COLUMNS }
}

/// An instance that can be made from a few numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Made {
    pub study: String,
    pub series: String,
    pub instance: String,
    pub patient: String,
    pub modality: &'static str,
    pub pixels: usize,
}

impl Made {
    /// The instance of these numbers; what differs in any of them differs in
    /// its UIDs. Without pixels it says that they are compressed.
    pub fn new(study: u64, series: u64, instance: u64, pixels: usize) -> Self {
        let pixels = pixels.next_multiple_of(columns_of(pixels));
        let root = format!("1.2.826.0.1.3680043.10.1.{study}");
        Self {
            series: format!("{root}.{series}"),
            instance: format!("{root}.{series}.{instance}"),
            study: root,
            patient: format!("P{study}"),
            modality: ["CT", "MR", "PT"][series as usize % 3],
            pixels,
        }
    }

    /// `/studies/…/series/…/instances/…`
    pub fn path(&self) -> String {
        format!("/studies/{}/series/{}/instances/{}", self.study, self.series, self.instance)
    }

    /// The file without the value of its pixel data.
    pub fn head(&self) -> Vec<u8> {
        const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
        let mut meta = Vec::new();
        long(&mut meta, 0x0002, 0x0001, b"OB", &[0, 1]);
        short(&mut meta, 0x0002, 0x0002, b"UI", CT);
        short(&mut meta, 0x0002, 0x0003, b"UI", &self.instance);
        let native = self.pixels > 0;
        let syntax = if native { "1.2.840.10008.1.2.1" } else { "1.2.840.10008.1.2.4.50" };
        short(&mut meta, 0x0002, 0x0010, b"UI", syntax);
        let mut file = vec![0; 128];
        file.extend_from_slice(b"DICM\x02\x00\x00\x00UL\x04\x00");
        file.extend_from_slice(&u32::try_from(meta.len()).unwrap().to_le_bytes());
        file.extend(meta);
        short(&mut file, 0x0008, 0x0016, b"UI", CT);
        short(&mut file, 0x0008, 0x0018, b"UI", &self.instance);
        short(&mut file, 0x0008, 0x0020, b"DA", "20260101");
        short(&mut file, 0x0008, 0x0060, b"CS", self.modality);
        short(&mut file, 0x0010, 0x0010, b"PN", &format!("Made^{}", self.patient));
        short(&mut file, 0x0010, 0x0020, b"LO", &self.patient);
        short(&mut file, 0x0020, 0x000D, b"UI", &self.study);
        short(&mut file, 0x0020, 0x000E, b"UI", &self.series);
        short(&mut file, 0x0020, 0x0013, b"IS", self.instance.rsplit('.').next().unwrap());
        let number = |file: &mut Vec<u8>, element: u16, value: usize| {
            file.extend_from_slice(&0x0028_u16.to_le_bytes());
            file.extend_from_slice(&element.to_le_bytes());
            file.extend_from_slice(b"US\x02\x00");
            file.extend_from_slice(&u16::try_from(value).unwrap().to_le_bytes());
        };
        number(&mut file, 0x0002, 1);
        short(&mut file, 0x0028, 0x0004, b"CS", "MONOCHROME2");
        number(&mut file, 0x0010, (self.pixels / columns_of(self.pixels)).max(1));
        number(&mut file, 0x0011, columns_of(self.pixels));
        for (element, value) in [(0x0100, 8), (0x0101, 8), (0x0102, 7), (0x0103, 0)] {
            number(&mut file, element, value);
        }
        file.extend_from_slice(b"\xE0\x7F\x10\x00OB\0\0");
        file.extend_from_slice(&u32::try_from(self.pixels).unwrap().to_le_bytes());
        file
    }

    /// The file; its pixels follow from its UID.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = self.head();
        let seed = self.instance.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        let mut dice = Dice::new(seed);
        let end = file.len() + self.pixels;
        while file.len() < end {
            file.extend_from_slice(&dice.roll().to_le_bytes());
        }
        file.truncate(end);
        file
    }
}

fn short(file: &mut Vec<u8>, group: u16, element: u16, vr: &[u8], value: &str) {
    let mut value = value.as_bytes().to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == b"UI" { 0 } else { b' ' });
    }
    file.extend_from_slice(&group.to_le_bytes());
    file.extend_from_slice(&element.to_le_bytes());
    file.extend_from_slice(vr);
    file.extend_from_slice(&u16::try_from(value.len()).unwrap().to_le_bytes());
    file.extend(value);
}

fn long(file: &mut Vec<u8>, group: u16, element: u16, vr: &[u8], value: &[u8]) {
    file.extend_from_slice(&group.to_le_bytes());
    file.extend_from_slice(&element.to_le_bytes());
    file.extend_from_slice(vr);
    file.extend_from_slice(&[0, 0]);
    file.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
    file.extend(value);
}

/// All packs of an archive.
pub fn packs(data: &Path) -> Vec<PathBuf> {
    let mut packs = Vec::new();
    for folder in std::fs::read_dir(data.join("packs")).expect("a folder of packs").flatten() {
        if folder.path().is_dir() {
            packs.extend(std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path()));
        }
    }
    packs.retain(|path| path.extension().is_some_and(|extension| extension == "tar"));
    packs.sort();
    packs
}
