//! Stores of few instances with other bytes, in batches and in lanes, that meet each
//! other and deletions: whatever order they come to, the catalog has what the packs
//! say, before and after a kill and when it is made anew.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::{seed, times};
use crate::process::{Dice, Made, Process, run, verify};

const CLIENTS: u64 = 6;
const INSTANCES: u64 = 4;
/// What a file may have of pixels: they go into a batch, alone into a lane, or stream.
const SIZES: [usize; 3] = [3_000, 90_000, 600_000];

fn start(data: &Path, duplicates: &str) -> Process {
    Process::with(data, |command| {
        command.envs([
            ("HILUM_STORE_SMALL_BYTES_MAX", "256 KiB"),
            ("HILUM_STORE_ALONE_BYTES_MIN", "64 KiB"),
            ("HILUM_STORE_PACK_BYTES_MAX", "8 MiB"),
            ("HILUM_STORE_DUPLICATES", duplicates),
            ("HILUM_STORE_VERSIONS_MAX", "1000"),
        ])
    })
}

fn made(number: u64, size: usize) -> Made {
    Made::new(1 + number % 2, 1, number, size)
}

/// Of each instance which file it is, and the versions of it.
fn state(server: &Process) -> BTreeMap<String, (Option<usize>, Vec<String>)> {
    let mut found = BTreeMap::new();
    for number in 0..INSTANCES {
        let path = made(number, SIZES[0]).path();
        let current = match server.file(&path) {
            Ok(file) => {
                let size = SIZES.iter().position(|size| made(number, *size).bytes() == file);
                assert!(size.is_some(), "{path}: {} bytes that nobody stored", file.len());
                size
            }
            Err(status) => {
                assert!(matches!(status, 404 | 410), "{path}: {status}");
                None
            }
        };
        let response = server.get(&format!("{path}/versions"));
        let mut versions = Vec::new();
        if response.status() == 200 {
            let listed: Value = serde_json::from_str(&response.text().unwrap()).unwrap();
            for version in listed.as_array().unwrap() {
                versions.push(format!(
                    "{} {} {} {}",
                    version["version"], version["digest"], version["current"], version["role"]
                ));
            }
        }
        found.insert(path, (current, versions));
    }
    found
}

#[test]
fn stores_and_deletions_that_meet() {
    let rounds = times("TEST_MEETINGS", 15);
    let mut dice = Dice::new(seed());
    for duplicates in ["reject", "replace", "keep"] {
        let folder = TempDir::new().unwrap();
        let mut server = start(folder.path(), duplicates);
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let (server, mut dice) = (&server, Dice::new(dice.roll()));
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let one = made(dice.below(INSTANCES), SIZES[dice.below(3) as usize]);
                        if dice.chance(25) {
                            let path = one.path();
                            let series = path.split("/instances").next().unwrap();
                            let study = path.split("/series").next().unwrap();
                            let scope = [&path[..], series, study][dice.below(3) as usize];
                            let status = server.delete(scope).unwrap().status().as_u16();
                            assert!(matches!(status, 204 | 404 | 410), "{status}");
                            continue;
                        }
                        let other = made(dice.below(INSTANCES), SIZES[dice.below(3) as usize]);
                        let response = server.store(&[&one.bytes(), &other.bytes()]).unwrap();
                        let status = response.status().as_u16();
                        assert!(matches!(status, 200 | 202 | 409), "{status}: {}", response.text().unwrap());
                    }
                });
            }
        });
        let before = state(&server);
        server.kill();
        let server = start(folder.path(), duplicates);
        assert_eq!(state(&server), before, "{duplicates}: after a kill");
        assert!(server.stop().success());
        let (clean, report) = verify(folder.path());
        assert!(clean, "{duplicates}: {report:#}");
        assert!(run("rebuild", folder.path(), &[]).status.success());
        let server = start(folder.path(), duplicates);
        assert_eq!(state(&server), before, "{duplicates}: made anew");
        assert!(server.stop().success());
    }
}
