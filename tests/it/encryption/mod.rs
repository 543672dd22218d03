//! Encryption of the packs, with the real binary: nothing of a patient stands in
//! them, and without the key nothing is given, cut or called damaged.

mod at_rest;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Made, Process, SMALL, binary, packs};

const KEY: &str = "HILUM_ENCRYPTION_KEY";

fn key(digit: char) -> String {
    digit.to_string().repeat(64)
}

struct Site {
    folder: TempDir,
    there: Vec<Made>,
}

impl Site {
    fn new() -> Self {
        // Small files, and one that is streamed.
        let made = |study: u64| {
            (1..=3_u64)
                .map(move |number| Made::new(study, 1, number, if number == 3 { 300_000 } else { 3000 }))
        };
        Self { folder: TempDir::new().unwrap(), there: (1..=2).flat_map(made).collect() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self, digit: char) -> Process {
        Process::with(&self.data(), |command| command.env(KEY, key(digit)))
    }

    fn store(&self, server: &Process) {
        for chunk in self.there.chunks(2) {
            let files: Vec<Vec<u8>> = chunk.iter().map(Made::bytes).collect();
            server.must_store(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }

    fn check(&self, server: &Process) {
        for made in &self.there {
            assert!(server.file(&made.path()) == Ok(made.bytes()), "{}", made.path());
            let found = server
                .json(&format!("/instances?PatientID={}&SOPInstanceUID={}", made.patient, made.instance));
            assert_eq!(found.as_array().map(Vec::len), Some(1));
        }
    }

    fn run(&self, digit: Option<char>, words: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(words).arg("--data").arg(self.data()).envs(SMALL).env_remove(KEY);
        command.envs(digit.map(|digit| (KEY, key(digit)))).output().expect("the binary runs")
    }

    /// What a command says when it must fail.
    fn complaint(&self, digit: Option<char>, words: &[&str]) -> String {
        let output = self.run(digit, words);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn json(&self, digit: char, words: &[&str]) -> Value {
        let output = self.run(Some(digit), &[words, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// The bytes of all packs and of the key ring.
    fn packs(&self) -> Vec<Vec<u8>> {
        packs(&self.data()).iter().map(|path| fs::read(path).unwrap()).collect()
    }
}

/// The files of a folder that hold any of some bytes.
fn files_with(folder: &Path, markers: &[Vec<u8>]) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        markers.iter().any(|marker| memchr::memmem::find(&bytes, marker).is_some())
    };
    files.filter(holds).collect()
}

/// Of each instance: the patient's name, and pixels.
fn markers(there: &[Made]) -> Vec<Vec<u8>> {
    let pixels = |made: &Made| made.bytes()[made.head().len()..][100..140].to_vec();
    there.iter().flat_map(|made| [format!("Made^{}", made.patient).into_bytes(), pixels(made)]).collect()
}

#[test]
fn nothing_of_a_patient_stands_in_the_packs() {
    let site = Site::new();
    let server = site.start('1');
    site.store(&server);
    site.check(&server);
    let last = site.there.last().unwrap();
    let frame = server.get(&format!("{}/frames/1", last.path())).bytes().unwrap();
    let pixels = &last.bytes()[last.head().len()..];
    assert!(memchr::memmem::find(&frame, pixels).is_some());
    let thumbnail = server.get(&format!("{}/thumbnail", last.path()));
    assert_eq!(thumbnail.status(), 200);
    assert!(server.stop().success());
    let found = files_with(&site.data().join("packs"), &markers(&site.there));
    assert!(found.is_empty(), "{found:?}");

    let server = site.start('1');
    site.check(&server);
    assert!(server.stop().success());
    let report = site.json('1', &["verify"]);
    assert_eq!((&report["found"], &report["files"]), (&0.into(), &6.into()), "{report:#}");
    assert!(site.run(Some('1'), &["rebuild"]).status.success());
    let server = site.start('1');
    site.check(&server);
    drop(server);
    let server = site.start('1');
    site.check(&server);
}

#[test]
fn without_the_key_nothing_starts_and_nothing_is_lost() {
    let site = Site::new();
    let server = site.start('1');
    site.store(&server);
    drop(server);
    let before = site.packs();
    for command in ["serve", "verify", "rebuild", "stats"] {
        let said = site.complaint(None, &[command]);
        assert!(
            said.contains("encrypted and no key is given") && said.contains("HILUM_ENCRYPTION_KEY"),
            "{said}"
        );
        let said = site.complaint(Some('2'), &[command]);
        assert!(said.contains("the key that is given is"), "{said}");
        assert!(!said.contains(&key('2')), "a key is never said");
    }
    let ring = site.data().join("packs/KEYS");
    let text = fs::read(&ring).unwrap();
    fs::remove_file(&ring).unwrap();
    for digit in [None, Some('1')] {
        let said = site.complaint(digit, &["serve"]);
        assert!(said.contains("KEYS") && said.contains("put it back"), "{said}");
    }
    fs::write(&ring, [&text[..text.len() / 2], b"garbage"].concat()).unwrap();
    assert!(site.complaint(Some('1'), &["serve"]).contains("KEYS"));
    fs::write(&ring, text).unwrap();
    assert!(site.packs() == before);
    let server = site.start('1');
    site.check(&server);
}

#[test]
fn the_master_key_is_changed_and_no_pack() {
    let site = Site::new();
    let server = site.start('1');
    site.store(&server);
    let running = site.complaint(Some('1'), &["encryption", "status"]);
    assert!(running.contains("held by another process"), "{running}");
    assert!(server.stop().success());
    let before = site.packs();
    let new = site.folder.path().join("new.key");
    let made = Command::new(binary()).args(["encryption", "key", "new", "--out"]).arg(&new).output().unwrap();
    assert!(made.status.success());
    let again =
        Command::new(binary()).args(["encryption", "key", "new", "--out"]).arg(&new).output().unwrap();
    assert!(!again.status.success(), "a key is not written over");
    let new = new.to_str().unwrap();
    let rotated = site.run(Some('1'), &["encryption", "rotate", "--new-key-file", new]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    assert!(site.packs() == before);
    assert!(site.complaint(Some('1'), &["serve"]).contains("the key that is given is"));

    // The key file, and a command that prints it.
    for (name, value) in [
        ("HILUM_ENCRYPTION_KEY_FILE", new.to_owned()),
        ("HILUM_ENCRYPTION_KEY_COMMAND", format!("cat,{new}")),
    ] {
        let server = Process::with(&site.data(), |command| command.env(name, &value));
        site.check(&server);
        assert!(server.stop().success());
    }
}

#[test]
fn encryption_is_switched_on_later() {
    let site = Site::new();
    let server = Process::start(&site.data());
    server.must_store(&[&site.there[0].bytes(), &site.there[2].bytes()]);
    assert!(server.stop().success());
    let plain = packs(&site.data()).len();
    let status = site.json('1', &["encryption", "status"]);
    assert_eq!((&status["master_key"], &status["packs_encrypted"]), (&Value::Null, &0.into()));
    let server = site.start('1');
    for made in [&site.there[1], &site.there[3], &site.there[4], &site.there[5]] {
        server.must_store(&[&made.bytes()]);
    }
    site.check(&server);
    drop(server);
    let server = site.start('1');
    site.check(&server);
    assert!(server.stop().success());
    let status = site.json('1', &["encryption", "status"]);
    assert_eq!(status["packs_in_the_clear"], plain);
    assert!(status["packs_encrypted"].as_u64().is_some_and(|packs| packs > 0));
    assert_eq!(site.json('1', &["verify"])["found"], 0);
}
