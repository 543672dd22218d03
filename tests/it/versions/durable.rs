//! Versions rest on the packs alone: they survive a stop, a kill, the loss of
//! the catalog, and are verified.

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;

use crate::process::{Dice, Process, run, verify};

use super::{PATH, file};

fn start(data: &Path, rule: &str) -> Process {
    Process::with(data, |command| command.env("HILUM_STORE_DUPLICATES", rule))
}

/// Bytes by the versions' numbers, and which is current.
fn everything(server: &Process) -> (Vec<(Value, Vec<u8>)>, Vec<u8>) {
    let versions = server.json(&format!("{PATH}/versions"));
    let versions = versions.as_array().unwrap().iter().map(|version| {
        let url = version["url"].as_str().unwrap();
        let bytes = server.client.get(url).send().unwrap().bytes().unwrap().to_vec();
        let mut version = version.clone();
        // Who stored it is not in the packs, and the port is another one.
        let fields = version.as_object_mut().unwrap();
        fields.remove("by");
        fields.remove("url");
        (version, bytes)
    });
    (versions.collect(), server.file(PATH).unwrap())
}

fn pixels(large: bool) -> u16 {
    // Beyond 64 KiB a file is streamed to a pack of its own.
    if large { 65_500 } else { 100 }
}

#[test]
fn sto_20_versions_are_in_the_packs() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut names = 0_u32;
    let mut store = |rule: &str| {
        let server = start(data, rule);
        for large in [false, true, true, false] {
            names += 1;
            let status = server.store(&[&file(&format!("Name {names}"), pixels(large))]).unwrap().status();
            assert!(status.is_success());
        }
        let seen = everything(&server);
        assert!(server.stop().success());
        seen
    };
    store("replace");
    let before = store("keep");
    assert_eq!(before.0.len(), 8);
    assert_eq!(before.1, file("Name 4", pixels(false)));

    let (clean, report) = verify(data);
    assert!(clean && report["versions"] == 7 && report["instances"] == 1, "{report:#}");
    let stats: Value = serde_json::from_slice(&run("stats", data, &["--json"]).stdout).unwrap();
    assert_eq!((&stats["versions"], &stats["dead_bytes"]), (&7.into(), &0.into()));

    assert!(run("rebuild", data, &[]).status.success());
    let server = start(data, "reject");
    assert_eq!(everything(&server), before);
    assert!(server.stop().success());
    let (clean, report) = verify(data);
    assert!(clean && report["versions"] == 7, "{report:#}");

    // For tar every kept file has a name of its own.
    let files = tempfile::tempdir().unwrap();
    for pack in walkdir::WalkDir::new(data.join("packs")).sort_by_file_name() {
        let pack = pack.unwrap().into_path();
        if pack.extension().is_some_and(|extension| extension == "tar") {
            let output =
                Command::new("tar").arg("-xf").arg(pack).arg("-C").arg(files.path()).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        }
    }
    for (version, bytes) in before.0.iter().filter(|(version, _)| version["role"] == "kept") {
        let name = format!("1.2/1.2.1/1.2.1.1.kept-{}.dcm", version["version"]);
        assert_eq!(&std::fs::read(files.path().join(name)).unwrap(), bytes);
    }
}

/// A damaged version is found, and is nobody's failure but its own.
#[test]
fn sto_20_a_damaged_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let server = start(data, "keep");
    for name in ["First", "Second"] {
        server.store(&[&file(name, 1000)]).unwrap();
    }
    let (versions, _) = everything(&server);
    assert!(server.stop().success());
    let pack = data.join("packs/0000/00000001.tar");
    let mut bytes = std::fs::read(&pack).unwrap();
    let second = memchr::memmem::find(&bytes, b"Second").unwrap();
    bytes[second] ^= 1;
    std::fs::write(&pack, bytes).unwrap();
    let (clean, report) = verify(data);
    assert!(!clean, "{report:#}");
    let findings = report["findings"].to_string();
    assert!(findings.contains("damaged") && findings.contains("bytes-missing"), "{findings}");

    let server = start(data, "keep");
    assert_eq!(server.file(PATH).unwrap(), versions[0].1);
    let number = versions[1].0["version"].to_string();
    let damaged = server.get(&format!("{PATH}/versions/{number}"));
    assert_eq!(damaged.status(), 500);
    assert!(damaged.text().unwrap().contains("damaged"));
}

/// Kills the server among stores that replace or keep, again and again: every
/// version that was acknowledged is there, and the right one is current.
#[test]
fn sto_20_acknowledged_versions_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut dice = Dice::new(20);
    let mut acknowledged: Vec<(bool, Vec<u8>)> = Vec::new();
    for round in 0..6_u32 {
        let replace = round % 2 == 0;
        let mut server = start(data, if replace { "replace" } else { "keep" });
        let kill_at = 1 + dice.below(12);
        for number in 0..kill_at {
            let bytes = file(&format!("Round {round} {number}"), pixels(dice.chance(30)));
            let response = server.store_patiently(&[&bytes]);
            assert!(response.status().is_success(), "{:?}", response.text());
            acknowledged.push((replace, bytes));
        }
        // One more is under way when the kill comes.
        let late = file(&format!("Round {round} late"), pixels(dice.chance(50)));
        let base = server.base.clone();
        let sent = late.clone();
        let under_way = std::thread::spawn(move || {
            let request = reqwest::blocking::Client::new().post(format!("{base}/studies"));
            let request = request.header("Content-Type", "application/dicom").body(sent);
            request.send().is_ok_and(|answer| answer.status().is_success())
        });
        std::thread::sleep(Duration::from_millis(dice.below(12)));
        server.kill();
        let was_acknowledged = under_way.join().unwrap();
        if dice.chance(40) {
            assert!(run("rebuild", data, &[]).status.success());
        }
        let server = start(data, "reject");
        let (versions, current) = everything(&server);
        let has_late = versions.iter().any(|(_, bytes)| *bytes == late);
        assert!(has_late || !was_acknowledged, "round {round}: an acknowledged version is lost");
        if has_late {
            acknowledged.push((replace, late));
        }
        let stored: Vec<&Vec<u8>> = versions.iter().map(|(_, bytes)| bytes).collect();
        let expected: Vec<&Vec<u8>> = acknowledged.iter().map(|(_, bytes)| bytes).collect();
        assert!(stored == expected, "round {round}: {} versions of {}", stored.len(), expected.len());
        let last = acknowledged.iter().rev().find(|(replace, _)| *replace).unwrap();
        assert_eq!(current, last.1);
    }
    let (clean, report) = verify(data);
    assert!(clean, "{report:#}");
}
