//! The archive heals itself from what is left of it, says clearly when it
//! cannot, and verify names what is damaged.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Made, Process, hilum, packs, run, text, verify};

/// An archive of a few studies, one of them deleted, and what it answers.
struct Sample {
    folder: TempDir,
    there: Vec<Made>,
    gone: Vec<Made>,
    answers: Vec<Value>,
}

const SEARCHES: [&str; 3] =
    ["/studies?includefield=all", "/series?includefield=all", "/instances?includefield=all"];

impl Sample {
    /// Stored, partly deleted, and stopped.
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let server = Process::start(&folder.path().join("data"));
        let made = |study: u64| {
            (1..=6_u64).map(move |number| {
                let pixels = if number == 6 { 200_000 } else { 3000 };
                Made::new(study, 1 + number % 2, number, pixels)
            })
        };
        let mut there: Vec<Made> = (1..=4).flat_map(made).collect();
        for chunk in there.chunks(5) {
            let files: Vec<Vec<u8>> = chunk.iter().map(Made::bytes).collect();
            let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            server.must_store(&files);
        }
        // A study, and one instance of another.
        assert!(server.delete(&format!("/studies/{}", there[0].study)).unwrap().status().is_success());
        let mut gone: Vec<Made> = there.drain(..6).collect();
        assert!(server.delete(&there[0].path()).unwrap().status().is_success());
        gone.push(there.remove(0));
        // One that was cut off in the middle of a streamed file.
        let half = Made::new(9, 1, 1, 400_000).bytes();
        assert_ne!(server.store(&[&half[..300_000]]).unwrap().status(), 200);
        let answers = SEARCHES.iter().map(|search| answer(&server, search)).collect();
        assert!(server.stop().success());
        Self { folder, there, gone, answers }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn catalog(&self) -> PathBuf {
        self.data().join("catalog.redb")
    }

    /// Starts a server and holds it against what the archive was.
    fn check(&self) -> Process {
        let server = Process::start(&self.data());
        self.check_answers(&server);
        server
    }

    fn check_answers(&self, server: &Process) {
        for (search, answer_then) in SEARCHES.iter().zip(&self.answers) {
            assert_eq!(&answer(server, search), answer_then, "{search}");
        }
        for made in &self.there {
            assert!(server.file(&made.path()) == Ok(made.bytes()), "{}", made.path());
        }
        for made in &self.gone {
            assert_eq!(server.file(&made.path()), Err(410), "{}", made.path());
        }
    }

    fn assert_clean(&self) {
        let (clean, report) = verify(&self.data());
        assert!(clean, "{report:#}");
    }

    /// What verify says, of which something must be amiss.
    fn findings(&self) -> Vec<Value> {
        let (clean, report) = verify(&self.data());
        let findings = report["findings"].as_array().expect("a list").clone();
        assert!(!clean && !findings.is_empty(), "{report:#}");
        findings
    }

    /// The pack and the place in it of the value of an instance's pixel data.
    fn place_of(&self, made: &Made) -> (PathBuf, u64) {
        let wanted = &made.bytes()[made.head().len()..][..1000];
        for pack in packs(&self.data()) {
            if let Some(at) = memchr::memmem::find(&fs::read(&pack).unwrap(), wanted) {
                return (pack, at as u64);
            }
        }
        panic!("{} is in no pack", made.path());
    }
}

/// The results of a search, without the address of the server, in an order of
/// their own: the order of equals may differ after a rebuild.
fn answer(server: &Process, search: &str) -> Value {
    let mut results = server.search_all(search);
    for result in &mut results {
        result.as_object_mut().expect("an object").remove("00081190");
    }
    results.sort_by_key(|result| {
        ["0020000D", "0020000E", "00080018"].map(|tag| text(result, tag).to_owned()).concat()
    });
    Value::Array(results)
}

fn names<'a>(findings: &'a [Value], kind: &str) -> Vec<&'a Value> {
    findings.iter().filter(|finding| finding["finding"] == kind).collect()
}

fn is_logged(server: &Process, words: &str) -> bool {
    server.log().iter().any(|line| line.contains(words))
}

// -- healing

#[test]
fn a_lost_catalog_and_a_lost_index_come_back() {
    let sample = Sample::new();
    sample.assert_clean();
    fs::remove_file(sample.catalog()).unwrap();
    drop(sample.check());
    fs::remove_dir_all(sample.data().join("index")).unwrap();
    drop(sample.check());
    fs::remove_file(sample.catalog()).unwrap();
    fs::remove_dir_all(sample.data().join("index")).unwrap();
    assert!(sample.check().stop().success());
    sample.assert_clean();
}

#[test]
fn a_rebuilt_archive_is_the_same() {
    let sample = Sample::new();
    for _ in 0..2 {
        let output = run("rebuild", &sample.data(), &[]);
        assert!(output.status.success(), "{output:?}");
        sample.assert_clean();
        assert!(sample.check().stop().success());
    }
}

/// The index held ids of the catalog it was made from. With that catalog
/// replaced by one made anew in another order, the ids of one study meant
/// another, and a search found neither.
#[test]
fn an_index_does_not_outlive_its_catalog() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&data);
    let made: Vec<Made> = (1..=8).map(|study| Made::new(study, 1, 1, 1000)).collect();
    for made in &made {
        server.must_store(&[&made.bytes()]);
    }
    // Deleted and stored again: a replay gives out other ids than there were.
    for made in made.iter().step_by(2) {
        assert!(server.delete(&made.path()).unwrap().status().is_success());
        server.must_store(&[&made.bytes()]);
    }
    assert!(server.stop().success());
    fs::remove_file(data.join("catalog.redb")).unwrap();
    let server = Process::start(&data);
    for made in &made {
        let found = server.json(&format!("/studies?PatientID={}", made.patient));
        assert_eq!(text(&found[0], "0020000D"), made.study);
    }
}

/// A copy of the catalog from before is put back: what it lacks is in the
/// packs, and the index, which is ahead of it, must not be believed.
#[test]
fn an_older_catalog_catches_up() {
    let sample = Sample::new();
    let copy = sample.folder.path().join("copy");
    fs::copy(sample.catalog(), &copy).unwrap();
    let server = Process::start(&sample.data());
    let more: Vec<Made> = (20..26).map(|study| Made::new(study, 1, 1, 2000)).collect();
    for made in &more {
        server.must_store(&[&made.bytes()]);
    }
    assert!(server.stop().success());
    fs::copy(&copy, sample.catalog()).unwrap();
    let server = Process::start(&sample.data());
    for made in &more {
        let found = server.json(&format!("/studies?PatientID={}", made.patient));
        assert_eq!(text(&found[0], "0020000D"), made.study);
    }
    let late = Made::new(30, 1, 1, 2000);
    server.must_store(&[&late.bytes()]);
    std::thread::sleep(Duration::from_millis(2500));
    let found = server.json(&format!("/studies?PatientID={}", late.patient));
    assert_eq!(text(&found[0], "0020000D"), late.study, "found once the index has it too");
}

#[test]
fn a_damaged_catalog_is_set_aside_and_made_anew() {
    let sample = Sample::new();
    let length = fs::metadata(sample.catalog()).unwrap().len();
    let whole = fs::read(sample.catalog()).unwrap();
    let rubbish: Vec<u8> = (0..4096_u32).map(|at| (at * 7 % 251) as u8).collect();
    let overwrite = |from: u64, count: u64| {
        let file = fs::OpenOptions::new().write(true).open(sample.catalog()).unwrap();
        for page in 0..count {
            file.write_all_at(&rubbish, from + page * 4096).unwrap();
        }
    };
    overwrite(0, 1);
    drop(sample.check());
    let aside = |sample: &Sample| {
        let names = fs::read_dir(sample.data()).unwrap().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().contains("damaged")).count()
    };
    assert_eq!(aside(&sample), 1);
    // Cut short.
    fs::write(sample.catalog(), &whole[..whole.len() / 3]).unwrap();
    drop(sample.check());
    // Not a catalog.
    fs::write(sample.catalog(), "this is no catalog, and never was").unwrap();
    drop(sample.check());
    assert_eq!(aside(&sample), 3);
    // The rows and not the head: a rebuild makes it good, and verify says so.
    fs::write(sample.catalog(), &whole).unwrap();
    overwrite(4096, length / 4096 - 1);
    if let Ok(output) = hilum("verify", &sample.data()).output() {
        println!("{output:?}");
    }
    let output = run("rebuild", &sample.data(), &[]);
    assert!(output.status.success(), "{output:?}");
    drop(sample.check());
    sample.assert_clean();
}

// -- refusing

#[test]
fn a_second_process_is_refused() {
    let sample = Sample::new();
    let server = sample.check();
    for command in ["serve", "rebuild", "verify", "stats"] {
        let output = run(command, &sample.data(), &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("another process"), "{command}: {said}");
    }
    sample.check_answers(&server);
}

#[test]
fn newer_formats_are_refused_or_made_anew() {
    let sample = Sample::new();
    let format = sample.data().join("packs/FORMAT");
    let text = fs::read_to_string(&format).unwrap();
    fs::write(&format, format!("9{text}")).unwrap();
    for command in ["verify", "rebuild", "serve"] {
        let output = run(command, &sample.data(), &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("newer"), "{command}: {said}");
    }
    fs::write(&format, text).unwrap();
    drop(sample.check());
    // The index of another version is made anew.
    let meta = sample.data().join("index/meta.json");
    let text = fs::read_to_string(&meta).unwrap();
    assert!(text.contains("hilum-index "), "{text}");
    fs::write(&meta, text.replacen("hilum-index ", "hilum-index 9", 1)).unwrap();
    let server = sample.check();
    assert!(is_logged(&server, "the index is made anew"));
}

#[test]
fn commands_want_an_archive() {
    let folder = TempDir::new().unwrap();
    for command in ["verify", "stats", "rebuild"] {
        let output = run(command, &folder.path().join("none"), &[]);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("no archive in"), "{command}: {said}");
        assert!(!folder.path().join("none").exists(), "{command} made a folder");
    }
}

// -- damage

/// A damaged instance fails alone: an error for itself, the rest as before.
#[test]
fn damage_is_named_and_fails_alone() {
    let sample = Sample::new();
    let (hurt, rest) = sample.there.split_at(1);
    let (pack, at) = sample.place_of(&hurt[0]);
    let mode = fs::metadata(&pack).unwrap().permissions();
    let write = |byte: u8| {
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&pack).unwrap();
        file.write_all_at(&[byte], at + 100).unwrap();
        fs::set_permissions(&pack, mode.clone()).unwrap();
    };
    let byte = fs::read(&pack).unwrap()[usize::try_from(at).unwrap() + 100];
    write(byte ^ 4);
    let findings = sample.findings();
    let damaged = names(&findings, "damaged");
    let instance =
        hurt[0].path().replace("/studies/", "").replace("/series/", "/").replace("/instances/", "/");
    assert!(damaged.iter().any(|finding| finding["instance"] == instance), "{findings:#?}");
    assert!(names(&findings, "bytes-missing").iter().any(|finding| finding["instance"] == instance));
    let server = Process::start(&sample.data());
    let failed = server.file(&hurt[0].path()).expect_err("it is damaged");
    assert!(failed >= 500, "{failed}");
    for made in rest {
        assert!(server.file(&made.path()) == Ok(made.bytes()), "{}", made.path());
    }
    let metadata = server.json(&format!("/studies/{}/metadata", hurt[0].study));
    assert!(!metadata.as_array().unwrap().is_empty());
    assert!(server.stop().success());
    // Made good again, as from a copy.
    write(byte);
    sample.assert_clean();
    drop(sample.check());
}

#[test]
fn truncated_and_lost_packs_are_named() {
    for cut in [true, false] {
        let sample = Sample::new();
        let (pack, at) = sample.place_of(&sample.there[0]);
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).unwrap();
        if cut {
            fs::OpenOptions::new().write(true).open(&pack).unwrap().set_len(at + 50).unwrap();
        } else {
            fs::remove_file(&pack).unwrap();
        }
        let findings = sample.findings();
        assert!(!names(&findings, "bytes-missing").is_empty(), "{findings:#?}");
        if !cut {
            assert!(!names(&findings, "pack-unreadable").is_empty(), "{findings:#?}");
        }
        let server = Process::start(&sample.data());
        assert!(server.file(&sample.there[0].path()).expect_err("it is lost") >= 500);
        let other = sample.there.iter().find(|made| sample.place_elsewhere(made, &pack));
        if let Some(other) = other {
            assert!(server.file(&other.path()) == Ok(other.bytes()));
        }
        // New packs do not take the number of the lost one.
        let new = Made::new(40, 1, 1, 5000);
        server.must_store(&[&new.bytes()]);
        drop(server);
        assert!(cut || !pack.exists(), "{} came again", pack.display());
        let server = Process::start(&sample.data());
        assert!(server.file(&new.path()) == Ok(new.bytes()), "stored after the loss, and killed");
    }
}

impl Sample {
    /// Whether an instance lies in another pack than this one.
    fn place_elsewhere(&self, made: &Made, lost: &Path) -> bool {
        let wanted = &made.bytes()[made.head().len()..][..1000];
        packs(&self.data())
            .iter()
            .filter(|pack| *pack != lost)
            .any(|pack| memchr::memmem::find(&fs::read(pack).unwrap(), wanted).is_some())
    }
}

#[test]
fn an_index_that_lacks_a_study_is_named() {
    let sample = Sample::new();
    // An index of the same catalog from before its last study came.
    let old = sample.folder.path().join("index");
    copy(&sample.data().join("index"), &old);
    let server = Process::start(&sample.data());
    server.must_store(&[&Made::new(50, 1, 1, 1000).bytes()]);
    assert!(server.stop().success());
    let now = fs::read_to_string(sample.data().join("index/meta.json")).unwrap();
    let was = fs::read_to_string(old.join("meta.json")).unwrap();
    // Behind the JSON stands its checksum.
    let json = |meta: &str| meta[..meta.len() - 9].to_owned();
    let (now, was) = (json(&now), json(&was));
    let payload =
        |meta: &str| serde_json::from_str::<Value>(meta).unwrap()["payload"].as_str().unwrap().to_owned();
    fs::remove_dir_all(sample.data().join("index")).unwrap();
    copy(&old, &sample.data().join("index"));
    let lie = was.replace(&payload(&was), &payload(&now));
    let lie = format!("{lie}\n{:08x}", crc32fast::hash(lie.as_bytes()));
    fs::write(sample.data().join("index/meta.json"), lie).unwrap();
    let findings = sample.findings();
    let named = names(&findings, "index");
    let study = Made::new(50, 1, 1, 1000).study;
    assert!(named.iter().any(|finding| finding["what"].as_str().unwrap().contains(&study)), "{findings:#?}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

// -- storing

/// Each file of a request held its lane until its commit was waited for, and
/// that was only after many more files: a request with more large files than
/// there are lanes waited for itself, for half a minute, and lost the rest.
#[test]
fn a_request_may_have_more_large_files_than_there_are_lanes() {
    let folder = TempDir::new().unwrap();
    let server =
        Process::with(&folder.path().join("data"), |command| command.env("HILUM_STORE_STREAMS_MAX", "2"));
    let began = Instant::now();
    let made: Vec<Made> = (1..=9).map(|number| Made::new(1, 1, number, 100_000)).collect();
    let files: Vec<Vec<u8>> = made.iter().map(Made::bytes).collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    server.must_store(&files);
    assert!(began.elapsed() < Duration::from_secs(20));
}

// -- stopping

#[test]
fn a_stop_leaves_nothing_to_recover() {
    let sample = Sample::new();
    let server = sample.check();
    let made = Made::new(60, 1, 1, 300_000);
    let response = server.store(&[&made.bytes(), &Made::new(60, 1, 2, 1000).bytes()]).unwrap();
    assert_eq!(response.status(), 200);
    assert!(server.stop().success());
    let server = Process::start(&sample.data());
    assert!(!is_logged(&server, "caught up"), "{}", server.log()[0]);
    assert!(server.file(&made.path()) == Ok(made.bytes()));
}

/// However much is stored, a start after a crash reads what came in the last moments.
#[test]
fn a_crash_leaves_little_to_recover() {
    let folder = TempDir::new().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let mut server = Process::start(&data);
    let made: Vec<Made> = (1..=60).map(|number| Made::new(1, 1, number, 3000)).collect();
    for made in made.chunks(10) {
        let files: Vec<Vec<u8>> = made.iter().map(Made::bytes).collect();
        server.must_store(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    // A backup tells up to which change the catalog is durable.
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let output = run("backup", &data, &[copy.to_str().unwrap(), "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        if report["seq"].as_u64() >= Some(made.len() as u64) {
            break;
        }
        assert!(Instant::now() < until, "nothing becomes durable: {report}");
    }
    let last = Made::new(1, 1, 61, 3000);
    server.must_store(&[&last.bytes()]);
    server.kill();
    let server = Process::start(&data);
    let caught_up = server.log().into_iter().find(|line| line.contains("caught up"));
    let report: Value = caught_up.map_or(Value::Null, |line| serde_json::from_str(&line).expect("JSON"));
    assert!(report.is_null() || report["entries"] == 1, "{report}");
    for made in made.iter().chain([&last]) {
        assert!(server.file(&made.path()) == Ok(made.bytes()), "{}", made.path());
    }
}

/// The time from a start to ready, after a kill amid stores: `tests/reliability/run recovery`.
#[test]
#[ignore = "measures"]
fn ready_after_a_kill() {
    let count = std::env::var("TEST_INSTANCES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_u64);
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let start = || {
        let began = Instant::now();
        let server = Process::with(&data, |command| command.env_remove("HILUM_STORE_PACK_BYTES_MAX"));
        (server, began.elapsed())
    };
    let (mut server, _) = start();
    let mut times = Vec::new();
    for round in 0..5 {
        let numbers: Vec<u64> = (1..=count / 5).collect();
        for numbers in numbers.chunks(50) {
            let made = numbers.iter().map(|&number| Made::new(1 + round * 40 + number % 40, 1, number, 2000));
            let files: Vec<Vec<u8>> = made.map(|made| made.bytes()).collect();
            server.must_store(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        server.kill();
        let (again, took) = start();
        server = again;
        let caught_up = server.log().into_iter().find(|line| line.contains("caught up"));
        let report: Value = caught_up.map_or(Value::Null, |line| serde_json::from_str(&line).expect("JSON"));
        times.push((server.search_all("/studies").len(), report["entries"].clone(), took));
    }
    assert_eq!(server.search_all("/instances").len() as u64, count / 5 * 5);
    assert!(server.stop().success());
    let (_server, clean) = start();
    println!("studies, entries that were replayed, time to ready: {times:?}; after a clean stop {clean:?}");
}

/// Uploads in flight at a stop finish, or fail whole; no client that dawdles
/// keeps the server from ending.
#[test]
fn a_stop_amid_uploads_is_clean() {
    use std::io::{Read, Write};
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut server = Process::with(&data, |command| command.env("HILUM_STOP_SECONDS_MAX", "3"));
    let address = server.base.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let slow = Made::new(70, 1, 1, 500_000);
    let mut dawdler = std::net::TcpStream::connect(&address).unwrap();
    let body = crate::harness::multipart("XX", &[&slow.bytes()]);
    let head = format!(
        "POST /dicomweb/studies HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\
         Content-Type: multipart/related; type=\"application/dicom\"; boundary=XX\r\n\r\n",
        body.len()
    );
    dawdler.write_all(head.as_bytes()).unwrap();
    dawdler.write_all(&body[..200_000]).unwrap();
    let acknowledged = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let (server, acknowledged) = (&server, &acknowledged);
            scope.spawn(move || {
                for number in 1.. {
                    let pixels = if number % 4 == 0 { 300_000 } else { 4000 };
                    let made = Made::new(71 + worker, 1, number, pixels);
                    match server.store(&[&made.bytes()]) {
                        Ok(response) if response.status() == 200 => acknowledged.lock().unwrap().push(made),
                        Ok(response) => assert_eq!(response.status(), 503),
                        Err(_) => return,
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_millis(800));
        server.terminate();
    });
    let began = Instant::now();
    let status = server.wait(Duration::from_secs(20));
    assert!(status.success(), "{status}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let mut rest = Vec::new();
    let _ = dawdler.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));

    let server = Process::start(&data);
    assert!(!is_logged(&server, "caught up"), "{}", server.log()[0]);
    assert_eq!(server.file(&slow.path()), Err(404));
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() > 4);
    for made in &acknowledged {
        assert!(server.file(&made.path()) == Ok(made.bytes()), "{}", made.path());
    }
    assert!(server.stop().success());
    let (clean, report) = verify(&data);
    assert!(clean, "{report:#}");
}

// -- read your writes

/// Whatever was acknowledged is found by every later search, while the index
/// commits, while other studies change, by any way the search takes.
#[test]
fn what_was_acknowledged_is_found_at_once() {
    let folder = TempDir::new().unwrap();
    let server = Process::start(&folder.path().join("data"));
    let found = std::sync::atomic::AtomicU64::new(0);
    let until = Instant::now() + Duration::from_secs(6);
    std::thread::scope(|scope| {
        for worker in 0..4_u64 {
            let (server, found) = (&server, &found);
            scope.spawn(move || {
                let mut number = 0;
                while Instant::now() < until {
                    number += 1;
                    let study = 1000 * (worker + 1) + number;
                    let made = Made::new(study, 1, 1, 500);
                    server.must_store(&[&made.bytes()]);
                    // An old one too: it may be leaving the overlay just now.
                    for study in [study, 1000 * (worker + 1) + 1 + number / 2] {
                        let patient = format!("P{study}");
                        for search in ["studies", "series", "instances"] {
                            let results = server.json(&format!("/{search}?PatientID={patient}"));
                            assert_eq!(results.as_array().unwrap().len(), 1, "{search} of {patient}");
                        }
                        found.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                    if number % 3 == 0 {
                        assert!(server.delete(&made.path()).unwrap().status().is_success());
                        let results = server.json(&format!("/studies?PatientID={}", made.patient));
                        assert_eq!(results.as_array().unwrap().len(), 0, "deleted {}", made.patient);
                        server.must_store(&[&made.bytes()]);
                    }
                }
            });
        }
    });
    println!("{found:?} studies stored and found");
}

// -- memory

/// The most memory a process had, in MiB.
fn peak_memory(server: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Zeros without end, of which none is in memory.
fn zeros(bytes: u64) -> impl std::io::Read + Send + 'static {
    std::io::Read::take(std::io::repeat(0), bytes)
}

#[test]
#[ignore = "writes 5 GB"]
fn a_file_of_5_gb_needs_little_memory() {
    use std::io::Read;
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&data);
    // More than a value of defined length may have: encapsulated, in fragments.
    let made = Made::new(1, 1, 1, 0);
    let head = made.head();
    let mut head = head[..head.len() - 4].to_vec();
    head.extend_from_slice(&u32::MAX.to_le_bytes());
    head.extend_from_slice(b"\xFE\xFF\x00\xE0\0\0\0\0");
    let fragment = 1_u64 << 30;
    let mut body: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(head.clone()));
    let mut length = head.len() as u64;
    for _ in 0..5 {
        let item = [b"\xFE\xFF\x00\xE0".as_slice(), &u32::try_from(fragment).unwrap().to_le_bytes()].concat();
        body = Box::new(body.chain(std::io::Cursor::new(item)).chain(zeros(fragment)));
        length += 8 + fragment;
    }
    let end = b"\xFE\xFF\xDD\xE0\0\0\0\0";
    body = Box::new(body.chain(&end[..]));
    length += end.len() as u64;
    let before = peak_memory(&server);
    let response = server
        .client
        .post(format!("{}/studies", server.base))
        .timeout(Duration::from_mins(20))
        .header("Content-Type", "application/dicom")
        .body(reqwest::blocking::Body::sized(body, length))
        .send()
        .unwrap();
    let status = response.status();
    assert_eq!(status, 200, "{:?}", response.text());
    let after = peak_memory(&server);
    println!("{length} bytes stored; memory before {before} MiB, at most {after} MiB");
    assert!(after < before + 64, "{before} MiB, then {after} MiB");
    let mut response = server.get(&format!("{}?accept=application/dicom", made.path()));
    let read = std::io::copy(&mut response, &mut std::io::sink()).unwrap();
    println!("{read} bytes read; memory at most {} MiB", peak_memory(&server));
    assert!(peak_memory(&server) < before + 96);
}

#[test]
#[ignore = "a load"]
fn two_hundred_uploads_at_once_need_bounded_memory() {
    let folder = TempDir::new().unwrap();
    let server = Process::with(&folder.path().join("data"), |command| {
        command.env_remove("HILUM_STORE_SMALL_BYTES_MAX").env("HILUM_LIMITS_UPLOADS_MAX", "256")
    });
    let before = peak_memory(&server);
    std::thread::scope(|scope| {
        for worker in 0..200_u64 {
            let server = &server;
            scope.spawn(move || {
                for number in 1..=5 {
                    let made = Made::new(1 + worker / 10, 1 + worker % 10, number, 512 * 1024);
                    let status = server.store(&[&made.bytes()]).unwrap().status();
                    assert!(status == 200 || status == 503, "{status}");
                }
            });
        }
    });
    let after = peak_memory(&server);
    println!("1,000 files of 512 KiB, 200 at once: memory before {before} MiB, at most {after} MiB");
    assert!(after < 512);
}

/// Commands print a report and exit with what it says.
#[test]
fn stats_and_reports() {
    let sample = Sample::new();
    let output = run("stats", &sample.data(), &["--json"]);
    assert!(output.status.success());
    let stats: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stats["instances"], sample.there.len());
    assert_eq!(stats["studies"], 3);
    let output = run("verify", &sample.data(), &[]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains(" 0  findings"));
    let output =
        Command::new(crate::process::binary()).args(["stats", "--data", "x", "--what"]).output().unwrap();
    assert!(!output.status.success());
}
