//! Disks that fail: full, read-only, broken when written or flushed, and no
//! descriptors left. What is stored meanwhile is refused or really stored, reads
//! go on, and when the disk is well again so is the server, without a restart.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use reqwest::blocking::Response;
use serde_json::json;
use tempfile::TempDir;

use super::{
    disk::{self, Disk},
    times,
};
use crate::process::{Made, Process, encrypt, verify};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const EROFS: i32 = 30;
const EMFILE: i32 = 24;
const EHOSTUNREACH: i32 = 113;
const EDQUOT: i32 = 122;

/// What fails: the kind of call, the error, and what its path has in it.
const FAULTS: [(&str, i32, &str); 20] = [
    ("write", ENOSPC, ""),
    ("write", ENOSPC, "/packs/"),
    ("write", ENOSPC, "catalog.redb"),
    ("write", ENOSPC, "/index/"),
    ("write", EDQUOT, ""),
    ("write", EIO, ""),
    ("write", EIO, "/packs/"),
    ("write", EIO, "catalog.redb"),
    ("write", EIO, "/index/"),
    ("write", EIO, "/audit/"),
    ("write", EROFS, ""),
    ("flush", EIO, ""),
    ("flush", EIO, "/packs/"),
    ("flush", EIO, "catalog.redb"),
    ("flush", EIO, "/index/"),
    ("flush", EIO, "/audit/"),
    ("flush", ENOSPC, ""),
    ("open", EMFILE, ""),
    ("open", EMFILE, "/packs/"),
    ("accept", EMFILE, ""),
];

struct Trial {
    folder: TempDir,
    server: Process,
    there: Vec<Made>,
    gone: Vec<Made>,
    next: u64,
    refusals: u64,
}

impl Trial {
    fn begin(encrypted: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        if encrypted {
            encrypt(&data);
        }
        let settings = [
            ("DISK_FAULTS", folder.path().join("faults").display().to_string()),
            ("DISK_LOG", folder.path().join("log").display().to_string()),
        ];
        let server = Process::with(&data, |command| disk::under(command, &data, &settings));
        Self { folder, server, there: Vec::new(), gone: Vec::new(), next: 1, refusals: 0 }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// From now on the disk fails so; with nothing it is well.
    fn fail(&self, rule: &str) {
        let path = self.folder.path().join("faults");
        fs::write(path.with_extension("new"), rule).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    fn made(&mut self, pixels: usize) -> Made {
        self.next += 1;
        Made::new(1 + self.next % 3, 1, self.next, pixels)
    }

    /// Whether an answer is a refusal that says so; else it must be a success.
    fn is_refused(&mut self, response: Response, doing: &str) -> bool {
        let status = response.status().as_u16();
        if matches!(status, 200 | 201 | 202 | 204) {
            return false;
        }
        let retry = response.headers().contains_key("retry-after");
        let text = response.text().unwrap_or_default();
        assert!(matches!(status, 503 | 507), "{doing}: {status} {text}");
        assert!(status == 507 || retry, "{doing}: 503 without Retry-After");
        let problem: serde_json::Value = serde_json::from_str(&text).expect("a problem");
        assert!(problem["code"].is_string(), "{doing}: {text}");
        self.refusals += 1;
        true
    }

    /// One of everything that changes the archive.
    fn change(&mut self, rule: &str) {
        for pixels in [2000, 300_000, 5000] {
            let made = self.made(pixels);
            let response = self.server.store(&[&made.bytes()]).expect("an answer");
            if !self.is_refused(response, &format!("{rule}: a store of {pixels}")) {
                self.there.push(made);
            }
        }
        let both = [self.made(1500), self.made(1500)];
        let files: Vec<Vec<u8>> = both.iter().map(Made::bytes).collect();
        let response = self.server.store(&[&files[0], &files[1]]).expect("an answer");
        assert_ne!(response.status(), 202, "{rule}: both or none");
        if !self.is_refused(response, &format!("{rule}: a store of two")) {
            self.there.extend(both);
        }
        let one = self.there.remove(0);
        let response = self.server.delete(&one.path()).expect("an answer");
        if self.is_refused(response, &format!("{rule}: a deletion")) {
            self.there.push(one);
        } else {
            self.gone.push(one);
        }
        self.next += 1;
        let asked = json!([{"00081199": {"vr": "SQ", "Value": [{
            "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
            "00081155": {"vr": "UI", "Value": [self.there[0].instance]},
        }]}}]);
        let url =
            format!("{}/commitment-requests/1.2.826.0.1.3680043.10.1.9.{}", self.server.base, self.next);
        let request = self.server.client.post(url).header("Content-Type", "application/dicom+json");
        let response = request.body(asked.to_string()).send().expect("an answer");
        self.is_refused(response, &format!("{rule}: a storage commitment"));
    }

    /// All that is there can be read.
    fn read(&self, rule: &str) {
        for made in &self.there {
            let file = self.server.file(&made.path());
            // Without a descriptor no pack is opened that is not open.
            if rule.starts_with("open ") && file == Err(503) {
                continue;
            }
            let said = file.as_ref().map(Vec::len);
            assert!(file == Ok(made.bytes()), "{rule}: {}: {said:?} {:#?}", made.path(), self.server.log());
        }
        let found = self.server.search_all("/instances");
        for made in &self.there {
            let is_found = found.iter().any(|item| item["00080018"]["Value"][0] == made.instance.as_str());
            assert!(is_found, "{rule}: {} is not found", made.path());
        }
        let path = format!("{}/metadata", self.there[0].path());
        assert_eq!(self.server.json(&path)[0]["00080018"]["Value"][0], self.there[0].instance.as_str());
    }

    /// The disk is well again: so is the server, soon.
    fn recover(&mut self, rule: &str) {
        self.fail("");
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let made = self.made(2500);
            let response = self.server.store(&[&made.bytes()]).expect("an answer");
            if response.status() == 200 {
                self.there.push(made);
                break;
            }
            assert!(Instant::now() < until, "{rule}: it stays refused: {:?}", response.text());
            std::thread::sleep(Duration::from_millis(200));
        }
        let made = self.made(200_000);
        self.server.must_store(&[&made.bytes()]);
        self.there.push(made);
        let gone = self.there.remove(0);
        assert!(self.server.delete(&gone.path()).unwrap().status().is_success(), "{rule}");
        self.gone.push(gone);
        self.read(rule);
    }

    /// What was done to the disk so far.
    fn disk(&self) -> Disk {
        let mut disk = Disk::default();
        disk.follow(&self.folder.path().join("log"));
        disk
    }

    fn end(self, rules: &str) -> u64 {
        let used = self.disk().used_after_failure();
        assert_eq!(used, [""; 0], "{rules}: used after a flush of it had failed");
        self.restart(rules)
    }

    /// Killed and started again, on a disk that is well.
    fn restart(mut self, rules: &str) -> u64 {
        self.server.kill();
        let data = self.data();
        let server = Process::start(&data);
        for made in &self.there {
            assert!(server.file(&made.path()) == Ok(made.bytes()), "{rules}: LOST: {}", made.path());
        }
        for made in &self.gone {
            assert_eq!(server.file(&made.path()), Err(410), "{rules}: {} is back", made.path());
        }
        assert!(server.stop().success());
        let (clean, report) = verify(&data);
        assert!(clean, "{rules}: {report:#}");
        self.refusals
    }
}

#[test]
fn disks_that_fail() {
    if disk::library().is_none() {
        return;
    }
    // The long form begins a new archive for each, and lets each last.
    let times = times("TEST_FAULTS", 1);
    let mut refusals = 0;
    // Every other archive is encrypted; those of the long form both ways.
    let forms: &[bool] = if times > 1 { &[false, true] } else { &[false] };
    let chunks = FAULTS.chunks(if times > 1 { 1 } else { 5 });
    let chunks = forms.iter().flat_map(|form| chunks.clone().zip(0..).map(move |chunk| (form, chunk)));
    for (form, (chunk, number)) in chunks {
        let mut trial = Trial::begin(*form != (number % 2 == 1));
        trial.change("none");
        assert_eq!(trial.refusals, 0);
        for round in 0..times {
            for (kind, error, path) in chunk {
                let rule = format!("{kind} {error} {path}");
                trial.fail(&rule);
                if *kind == "accept" {
                    // Whoever is connected goes on.
                    trial.read(&rule);
                } else {
                    for _ in 0..=round {
                        trial.change(&rule);
                        trial.read(&rule);
                    }
                    if times > 1 || matches!((*error, *path), (ENOSPC | EIO, "" | "catalog.redb")) {
                        // Time for what is done every second.
                        std::thread::sleep(Duration::from_millis(1200));
                        trial.read(&rule);
                    }
                }
                trial.recover(&rule);
            }
        }
        refusals += trial.end(&format!("{chunk:?}"));
    }
    println!(
        "{} faults, {refusals} requests refused, none acknowledged and lost",
        FAULTS.len() as u64 * times
    );
    assert!(refusals > 20);
}

/// A large file is flushed while more of it is written. When that flush fails, the
/// system may call the next one good: the pack must be given up without one.
#[test]
fn a_flush_that_fails_beside_writes() {
    if disk::library().is_none() {
        return;
    }
    let mut trial = Trial::begin(false);
    trial.change("none");
    let rule = format!("flush {EIO} /packs/");
    trial.fail(&rule);
    for _ in 0..3 {
        let made = trial.made(30_000_000);
        let response = trial.server.store(&[&made.bytes()]).expect("an answer");
        assert!(trial.is_refused(response, "a large store"));
    }
    trial.read(&rule);
    trial.recover(&rule);
    let made = trial.made(30_000_000);
    trial.server.must_store(&[&made.bytes()]);
    trial.there.push(made);
    trial.read(&rule);
    assert_eq!(trial.disk().flushed_after_failure(), [""; 0], "flushed again after it had failed");
    trial.restart(&rule);
}

/// A disk behind a network may say of a flush that its host cannot be reached. That was
/// taken for the word of a bucket, before whose answer the disk has flushed: the pack
/// went on, though nobody knew what of it was on the disk.
#[test]
fn a_flush_that_does_not_reach_its_host() {
    if disk::library().is_none() {
        return;
    }
    let mut trial = Trial::begin(false);
    trial.change("none");
    let rule = format!("flush {EHOSTUNREACH} /packs/");
    trial.fail(&rule);
    trial.change(&rule);
    trial.read(&rule);
    trial.recover(&rule);
    trial.end(&rule);
}

/// A page of a pack that cannot be read is a failure of its instance, and the
/// rest of the study is served.
#[test]
fn bytes_that_cannot_be_read() {
    if disk::library().is_none() {
        return;
    }
    let mut trial = Trial::begin(false);
    trial.change("none");
    // With a deletion the server forgets the rows it has read lately: of these it
    // gives what the system has in memory, and asks no disk.
    let gone = trial.there.remove(0);
    assert!(trial.server.delete(&gone.path()).unwrap().status().is_success());
    trial.gone.push(gone);
    let first = trial.there[0].clone();
    trial.fail(&format!("read {EIO} /packs/0"));
    for made in &trial.there {
        assert_eq!(trial.server.file(&made.path()), Err(500), "{}", made.path());
    }
    // What needs no pack is answered.
    assert_eq!(
        trial.server.json(&format!("{}/metadata", first.path()))[0]["00080018"]["Value"][0],
        first.instance.as_str()
    );
    assert!(!trial.server.search_all("/instances").is_empty());
    trial.recover("read");
    trial.end("read");
}

/// As [`disks_that_fail`], on a file system that is really full and then
/// read-only. Needs the right to mount: `TEST_MOUNT=1`.
#[test]
#[ignore = "mounts a file system"]
fn a_file_system_that_is_full() {
    let run = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    };
    let mount = TempDir::new().unwrap();
    let at = mount.path().display().to_string();
    run("mount", &["-t", "tmpfs", "-o", "size=24m", "hilum-test", &at]);
    let outcome = std::panic::catch_unwind(|| full_and_read_only(mount.path(), &run));
    let _ = std::process::Command::new("umount").arg(&at).status();
    outcome.unwrap();
}

fn full_and_read_only(mount: &Path, run: &dyn Fn(&str, &[&str])) {
    let data = mount.join("data");
    let server = Process::with(&data, |command| command.env("HILUM_SCRUB_BYTES_PER_SECOND", "0"));
    let mut there = Vec::new();
    let mut refused = 0;
    let read = |server: &Process, there: &[Made]| {
        for made in there {
            assert!(server.file(&made.path()) == Ok(made.bytes()), "{}", made.path());
        }
    };
    for number in 1..=170 {
        let made = Made::new(1, 1, number, if number % 4 == 0 { 400_000 } else { 150_000 });
        let response = server.store(&[&made.bytes()]).unwrap();
        match response.status().as_u16() {
            200 => there.push(made),
            507 => refused += 1,
            status => panic!("{status}: {:?}", response.text()),
        }
    }
    println!("{} stored, {refused} refused with 507 on 24 MiB", there.len());
    assert!(refused > 10 && there.len() > 10);
    read(&server, &there);
    run("mount", &["-o", "remount,size=200m", &mount.display().to_string()]);
    for number in 200..=210 {
        let made = Made::new(1, 1, number, 150_000);
        server.must_store(&[&made.bytes()]);
        there.push(made);
    }
    read(&server, &there);
    assert!(server.stop().success());
    let server = Process::start(&data);
    read(&server, &there);
    assert!(server.stop().success());
    let (clean, report) = verify(&data);
    assert!(clean, "{report:#}");
}
