//! A bucket of whatever server there is, by what can be seen from outside:
//! `tests/clients/s3/run` runs this against servers that others wrote, by
//! `TEST_S3_ENDPOINT`, `TEST_S3_BUCKET` and the key in the environment. Without
//! them it is s3s-fs, in this process.

use std::{
    path::Path,
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{all_is_there, closed, made, store, until};
use crate::{
    process::{Made, Process, hilum, verify},
    s3::S3,
    s3_fs::S3Fs,
};

struct Bucket {
    endpoint: String,
    name: String,
    /// It takes any key.
    is_open: bool,
    /// Empty: those of the environment.
    key: Vec<(&'static str, &'static str)>,
    _in_process: Option<S3Fs>,
}

impl Bucket {
    fn new() -> Self {
        let Ok(endpoint) = std::env::var("TEST_S3_ENDPOINT") else {
            let name = "bucket".to_owned();
            let (s3, key) = (S3Fs::start(&name), S3::environment().to_vec());
            return Self { endpoint: s3.endpoint(), name, is_open: false, key, _in_process: Some(s3) };
        };
        let name = std::env::var("TEST_S3_BUCKET").expect("TEST_S3_BUCKET");
        let is_open = std::env::var("TEST_S3_IS_OPEN").is_ok_and(|open| !open.is_empty());
        Self { endpoint, name, is_open, key: Vec::new(), _in_process: None }
    }

    /// A prefix that nobody used before.
    fn prefix(&self, of: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        format!("s3://{}/{of}/{}", self.name, now.as_micros())
    }

    fn tier<'a>(&self, command: &'a mut Command, prefix: &str, acknowledge: &str) -> &'a mut Command {
        command.envs(self.key.iter().copied()).envs([
            ("HILUM_TIER_BUCKET", prefix),
            ("HILUM_TIER_ENDPOINT", &self.endpoint),
            ("HILUM_TIER_AFTER_DAYS", if acknowledge == "disk" { "0" } else { "1" }),
            ("HILUM_TIER_ACKNOWLEDGE", acknowledge),
            ("HILUM_TIER_CHECK_SECONDS", "1"),
            ("HILUM_TIER_CACHE_BYTES_MAX", "3 MiB"),
            // Larger than one part of an upload.
            ("HILUM_STORE_PACK_BYTES_MAX", if acknowledge == "disk" { "12 MiB" } else { "4 MiB" }),
            ("HILUM_STORE_STREAMS_MAX", "1"),
        ])
    }

    fn start(&self, data: &Path, prefix: &str, acknowledge: &str) -> Process {
        Process::with(data, |command| self.tier(command, prefix, acknowledge))
    }

    fn run(&self, command: &str, data: &Path, prefix: &str, arguments: &[&str]) -> Output {
        let mut process = hilum(command, data);
        self.tier(&mut process, prefix, "disk").args(arguments).output().expect("the binary runs")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

fn metric(server: &Process, name: &str) -> f64 {
    let root = server.base.trim_end_matches("/dicomweb");
    let text = server.client.get(format!("{root}/metrics")).send().unwrap().text().unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// Packs of which the disk has only the manifest.
fn manifests(data: &Path) -> usize {
    let packs = std::fs::read_dir(data.join("packs/0000")).unwrap().flatten();
    packs.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "blocks")).count()
}

/// Packs of several parts move, are read by ranges, verified, backed up, and
/// come back when the disk is lost.
#[test]
fn packs_move_to_a_server_of_others_and_come_back() {
    let bucket = Bucket::new();
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let (prefix, place) = (bucket.prefix("packs"), bucket.prefix("backups"));
    let server = bucket.start(&data, &prefix, "disk");
    let all: Vec<Made> = (1..=3).flat_map(|study| made(study, 250)).collect();
    store(&server, &all);
    until("the closed packs move", || manifests(&data) >= 2 && closed(&data) == 0);
    all_is_there(&server, &all);
    for made in all.iter().step_by(50) {
        assert_eq!(server.get(&format!("{}/frames/1", made.path())).status(), 200);
    }
    assert!(metric(&server, "hilum_bucket_read_bytes_total") > 20e6);
    let failures =
        (metric(&server, "hilum_tier_failures_total"), metric(&server, "hilum_bucket_failures_total"));
    assert_eq!(failures, (0.0, 0.0), "{:#?}", server.log());
    assert!(server.stop().success());

    let verified = bucket.run("verify", &data, &prefix, &["--json"]);
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(verified.status.success() && report["instances"] == all.len(), "{}", said(&verified));
    // Twice: the second finds what the first has put there.
    for _ in 0..2 {
        let backup = bucket.run("backup", &data, &prefix, &["--endpoint", &bucket.endpoint, &place]);
        assert!(backup.status.success(), "{}", said(&backup));
    }
    let there = folder.path().join("restored");
    let restored = bucket.run("restore", &there, &prefix, &["--endpoint", &bucket.endpoint, &place]);
    assert!(said(&restored).contains("as it was when the backup was taken"), "{}", said(&restored));
    assert!(verify(&there).0, "all of it is on the disk");

    std::fs::rename(&data, folder.path().join("lost")).unwrap();
    let server = bucket.start(&data, &prefix, "disk");
    let found = server.search_all("/instances");
    assert!(found.len() >= 300, "{}", found.len());
    let moved = |made: &&Made| found.iter().any(|row| row["00080018"]["Value"][0] == made.instance.as_str());
    all_is_there(&server, &all.iter().filter(moved).cloned().collect::<Vec<_>>());
    assert!(server.stop().success());

    let mut wrong = hilum("verify", &data);
    let wrong = bucket
        .tier(&mut wrong, &prefix, "disk")
        .envs([("AWS_ACCESS_KEY_ID", "another"), ("AWS_SECRET_ACCESS_KEY", "not-this-one")]);
    let wrong = wrong.output().unwrap();
    assert!(bucket.is_open || !wrong.status.success(), "{}", said(&wrong));
    assert!(!said(&wrong).contains("not-this-one"));
}

/// What was acknowledged is there when server and disk are gone in one moment.
#[test]
fn a_server_of_others_is_the_store() {
    let bucket = Bucket::new();
    let folder = TempDir::new().unwrap();
    let prefix = bucket.prefix("store");
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for round in 0..4 {
        let mut server = bucket.start(&folder.path().join(format!("disk-{round}")), &prefix, "bucket");
        all_is_there(&server, &there);
        let some: Vec<Made> = made(10 + round, 50);
        for (number, made) in some.into_iter().enumerate() {
            server.must_store(&[&made.bytes()]);
            if number % 10 == 7 {
                assert_eq!(server.delete(&made.path()).unwrap().status(), 204);
                gone.push(made);
            } else {
                there.push(made);
            }
        }
        server.kill();
    }
    let server = bucket.start(&folder.path().join("last"), &prefix, "bucket");
    all_is_there(&server, &there);
    assert!(gone.iter().all(|made| server.file(&made.path()).is_err()));
    assert_eq!(server.search_all("/instances").len(), there.len());
    assert!(server.stop().success());
}
