//! Data folders as earlier versions left them (`fixtures/folders`): each opens,
//! and has everything. The folder of a format is made once, by the version that
//! had it, and never changes; a change of a format adds one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    harness::fixture_path,
    process::{Made, Process, encrypt, packs, verify},
};

/// What is in every one of them; what is streamed too.
fn there() -> Vec<Made> {
    let made = [(1, 1, 1, 600), (1, 1, 2, 600), (1, 2, 1, 0), (2, 1, 1, 70_000), (3, 1, 1, 900)];
    made.map(|(study, series, instance, pixels)| Made::new(study, series, instance, pixels)).into()
}

/// What was deleted.
fn gone() -> Made {
    Made::new(3, 1, 2, 600)
}

fn folders() -> Vec<PathBuf> {
    let folder = fs::read_dir(fixture_path("folders")).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
    files.sort();
    files
}

fn tar(arguments: &[&str]) {
    let status = Command::new("tar").args(arguments).status().expect("tar");
    assert!(status.success());
}

/// A copy of one, ready to be served.
fn unpacked(file: &Path) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    tar(&["xzf", file.to_str().unwrap(), "-C", folder.path().to_str().unwrap()]);
    let data = folder.path().join("data");
    if file.to_str().unwrap().contains("encrypted") {
        encrypt(&data);
    }
    (folder, data)
}

fn check(data: &Path, name: &str) {
    let server = Process::start(data);
    for made in &there() {
        assert!(server.file(&made.path()) == Ok(made.bytes()), "{name}: {}", made.path());
        let found = server.json(&format!("/instances?SOPInstanceUID={}", made.instance));
        assert_eq!(found[0]["00100020"]["Value"][0], made.patient.as_str(), "{name}");
        let metadata = server.json(&format!("{}/metadata", made.path()));
        assert_eq!(metadata[0]["00080060"]["Value"][0], made.modality, "{name}");
    }
    assert_eq!(server.search_all("/instances").len(), there().len(), "{name}");
    assert_eq!(server.search_all("/studies?q=made").len(), 3, "{name}: full text");
    assert_eq!(server.file(&gone().path()), Err(410), "{name}");
    // It goes on from there.
    let new = Made::new(4, 1, 1, 500);
    server.must_store(&[&new.bytes()]);
    assert_eq!(server.file(&new.path()), Ok(new.bytes()), "{name}");
    assert!(server.stop().success());
    let (clean, report) = verify(data);
    assert!(clean, "{name}: {report:#}");
}

#[test]
fn a_folder_of_every_format_opens() {
    let folders = folders();
    assert!(folders.len() >= 4, "of two formats, in the clear and encrypted");
    for file in folders {
        let (_folder, data) = unpacked(&file);
        check(&data, &file.display().to_string());
    }
}

/// Packs of format 1 and 2 differ from those of 3 by their number and by what they may
/// not hold, of which this folder has nothing.
#[test]
fn packs_of_an_older_number_open() {
    for number in [b'1', b'2'] {
        let (_folder, data) = unpacked(&fixture_path("folders/packs-3-catalog-2.tar.gz"));
        let path = data.join("packs/FORMAT");
        let mut format = fs::read(&path).unwrap();
        assert_eq!(format[0], b'3');
        format[0] = number;
        fs::write(&path, format).unwrap();
        check(&data, &format!("packs of format {}", char::from(number)));
        assert_eq!(fs::read(&path).unwrap()[0], b'3', "and are of this one from then on");
    }
}

/// The packs are what nobody can make again: they alone are enough.
#[test]
fn the_packs_of_every_format_are_enough() {
    for file in folders() {
        let (_folder, data) = unpacked(&file);
        for entry in fs::read_dir(&data).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("packs") {
                continue;
            }
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        assert!(!packs(&data).is_empty());
        check(&data, &file.display().to_string());
    }
}

/// Makes the folder of the formats of today: `cargo test --test it formats -- --ignored`.
#[test]
#[ignore = "writes into fixtures; needed once for each format"]
fn make_a_folder() {
    for name in ["packs-3-catalog-3", "packs-3-catalog-3-encrypted"] {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        if name.ends_with("encrypted") {
            encrypt(&data);
        }
        let server = Process::start(&data);
        for made in there().iter().chain([&gone()]) {
            server.must_store(&[&made.bytes()]);
        }
        assert!(server.delete(&gone().path()).unwrap().status().is_success());
        assert!(server.stop().success());
        let file = fixture_path("folders").join(format!("{name}.tar.gz"));
        tar(&["czf", file.to_str().unwrap(), "-C", folder.path().to_str().unwrap(), "data"]);
    }
}
