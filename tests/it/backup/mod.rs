//! Backup and restore over the real binary: under load, cut off, again and
//! again, to a folder and to a bucket, and up to a point in time.

use std::{
    collections::BTreeSet,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use hilum::control::Line;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    process::{Dice, Made, Process, hilum, number, run, text, verify},
    s3::S3,
};

const SOP_INSTANCE_UID: &str = "00080018";
const INSTANCES_IN_STUDY: &str = "00201208";

fn backup(data: &Path, place: &str) -> Command {
    let mut command = hilum("backup", data);
    command.args(["--json", place]).envs(S3::environment());
    command
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn backed_up(data: &Path, place: &str) -> Value {
    report(&backup(data, place).output().expect("the binary runs"))
}

fn restore(place: &str, data: &Path, arguments: &[&str]) -> (bool, String) {
    let output = hilum("restore", data)
        .arg(place)
        .args(arguments)
        .envs(S3::environment())
        .output()
        .expect("the binary runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn restored(place: &str, data: &Path, arguments: &[&str]) -> String {
    let (well, said) = restore(place, data, arguments);
    assert!(well, "{said}");
    said
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("UTF-8").to_owned()
}

/// The archive in `data` holds exactly these, byte for byte, and its counts say so.
fn holds(data: &Path, expected: &BTreeSet<Made>) {
    let server = Process::start(data);
    let found = server.search_all("/instances");
    let found: BTreeSet<String> = found.iter().map(|row| text(row, SOP_INSTANCE_UID).to_owned()).collect();
    let uids: BTreeSet<String> = expected.iter().map(|made| made.instance.clone()).collect();
    assert_eq!(found, uids);
    for made in expected {
        assert!(server.file(&made.path()) == Ok(made.bytes()), "{}", made.instance);
    }
    let counted: u64 = server.search_all("/studies").iter().map(|row| number(row, INSTANCES_IN_STUDY)).sum();
    assert_eq!(counted, expected.len() as u64);
    assert!(server.stop().success());
    let (clean, found) = verify(data);
    assert!(clean, "{found}");
}

/// Instances of some sizes, a few of them streamed.
fn made(study: u64, count: u64) -> Vec<Made> {
    let mut dice = Dice::new(study);
    let mut pixels = |number| if number % 9 == 0 { 300_000 } else { 500 + dice.below(30_000) };
    (1..=count)
        .map(|number| Made::new(study, 1 + number % 3, number, usize::try_from(pixels(number)).unwrap()))
        .collect()
}

fn store(server: &Process, made: &[Made]) {
    for some in made.chunks(10) {
        let files: Vec<Vec<u8>> = some.iter().map(Made::bytes).collect();
        server.must_store(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
}

/// Stores and deletes until told to stop.
fn work(server: &Process, study: u64, stop: &AtomicBool) {
    let mut dice = Dice::new(study);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let pixels = if dice.chance(10) { 400_000 } else { 20_000 };
        let made = Made::new(study, 1, number, pixels);
        server.must_store(&[&made.bytes()]);
        if dice.chance(20) {
            let status = server.delete(&made.path()).expect("an answer").status();
            assert_eq!(status, 204);
        }
    }
}

#[test]
fn under_load_and_cut_off() {
    let folder = TempDir::new().unwrap();
    let (data, place) = (folder.path().join("data"), path(&folder, "backups"));
    let server = Process::start(&data);
    let mut first = made(1, 150);
    store(&server, &first);
    let gone = first.split_off(120);
    for made in &gone {
        assert_eq!(server.delete(&made.path()).unwrap().status(), 204);
    }
    let first: BTreeSet<Made> = first.into_iter().collect();
    let stop = AtomicBool::new(false);
    let seq = std::thread::scope(|scope| {
        let workers: Vec<_> = (2..5)
            .map(|study| {
                scope.spawn({
                    let (server, stop) = (&server, &stop);
                    move || work(server, study, stop)
                })
            })
            .collect();
        // Cut off at one moment and another, the first ones before anything is complete.
        for wait in [5, 20, 40, 60, 100] {
            let mut cut = backup(&data, &place).stdout(std::process::Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(wait));
            cut.kill().unwrap();
            cut.wait().unwrap();
        }
        let seq = backed_up(&data, &place)["seq"].as_u64().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
        seq
    });

    // What was there before it is there, what was deleted is not; of what came
    // meanwhile, what is there is whole (`verify` reads it all).
    let there = folder.path().join("hot");
    restored(&place, &there, &[]);
    let hot = Process::start(&there);
    for made in &first {
        assert!(hot.file(&made.path()) == Ok(made.bytes()), "{}", made.instance);
    }
    for made in &gone {
        assert!(hot.file(&made.path()).is_err());
    }
    assert!(hot.stop().success());
    assert!(verify(&there).0);

    // Quiet, and of a stopped server: equal in everything, and little is new.
    let expected: BTreeSet<Made> = {
        let rows = server.search_all("/instances");
        let uids: BTreeSet<&str> = rows.iter().map(|row| text(row, SOP_INSTANCE_UID)).collect();
        let all = (2..5).flat_map(|study| {
            (1..3000)
                .flat_map(move |number| [20_000, 400_000].map(|pixels| Made::new(study, 1, number, pixels)))
        });
        let of_workers = all.filter(|made| uids.contains(made.instance.as_str()));
        let right = of_workers.filter(|made| server.file(&made.path()) == Ok(made.bytes()));
        first.iter().cloned().chain(right).collect()
    };
    assert!(server.stop().success());
    backed_up(&data, &place);
    let again = backed_up(&data, &place);
    // The audit log alone, which tells of the backup before: its end and its anchor.
    assert_eq!(again["written"]["objects"], 2, "{again}");
    let cold = folder.path().join("cold");
    let said = restored(&place, &cold, &[]);
    assert!(said.contains("as it was when the backup was taken") && !said.contains("NOT"), "{said}");
    holds(&cold, &expected);

    // The moment of the hot one, out of a later backup.
    let earlier = folder.path().join("earlier");
    let said = restored(&place, &earlier, &["--to-seq", &seq.to_string()]);
    let server = Process::start(&earlier);
    for made in &first {
        assert!(server.file(&made.path()) == Ok(made.bytes()), "{said}");
    }
}

#[test]
fn a_point_in_time_is_exact() {
    let folder = TempDir::new().unwrap();
    let (data, place) = (folder.path().join("data"), path(&folder, "backups"));
    let server = Process::start(&data);
    let (first, second) = (made(1, 40), made(2, 40));
    store(&server, &first);
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seq = backed_up(&data, &place)["seq"].as_u64().unwrap();
    let since = now();
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(since.as_nanos().cast_signed()).unwrap();
    let time = time.format(&time::format_description::well_known::Rfc3339).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    store(&server, &second);
    let middle = backed_up(&data, &place);
    for made in first.iter().chain(&second).step_by(3) {
        assert_eq!(server.delete(&made.path()).unwrap().status(), 204);
    }
    let last = backed_up(&data, &place);
    assert!(server.stop().success());

    let first: BTreeSet<Made> = first.into_iter().collect();
    let both: BTreeSet<Made> = first.iter().cloned().chain(second).collect();
    let at = |name: &str, arguments: &[&str], expected: &BTreeSet<Made>| {
        let data = folder.path().join(name);
        restored(&place, &data, arguments);
        holds(&data, expected);
        data
    };
    at("by-seq", &["--to-seq", &seq.to_string()], &first);
    let by_time = at("by-time", &["--until", &time], &first);
    at("named", &["--name", middle["name"].as_str().unwrap()], &both);
    at("middle", &["--to-seq", &middle["seq"].to_string()], &both);
    let beyond = (last["seq"].as_u64().unwrap() + 1).to_string();
    let (well, said) = restore(&place, &folder.path().join("beyond"), &["--to-seq", &beyond]);
    assert!(!well && said.contains("sequence number"), "{said}");

    // What goes on from an earlier state is an archive of its own.
    let other = backup(&by_time, &place).output().unwrap();
    assert!(!other.status.success());
    assert!(String::from_utf8_lossy(&other.stderr).contains("another archive"));
    let own = backed_up(&by_time, &path(&folder, "own"));
    assert!(own["written"]["objects"].as_u64().unwrap() > 0);
}

#[test]
fn refusals_and_damage() {
    let folder = TempDir::new().unwrap();
    let (data, place) = (folder.path().join("data"), path(&folder, "backups"));
    let server = Process::start(&data);
    store(&server, &made(1, 10));
    std::fs::create_dir(data.join("accounts")).unwrap();
    std::fs::write(data.join("accounts/list"), "kept").unwrap();
    assert!(server.stop().success());
    backed_up(&data, &place);
    let (well, said) = restore(&place, &data, &[]);
    assert!(!well && said.contains("only into an empty folder"), "{said}");
    let (well, said) = restore(&path(&folder, "nothing"), &folder.path().join("x"), &[]);
    assert!(!well && said.contains("is no folder"), "{said}");
    assert!(restored(&place, &data, &["--list"]).contains("10 instances"));
    assert!(restored(&place, &data, &["--check"]).contains("is whole"));

    let new = folder.path().join("new");
    restored(&place, &new, &[]);
    assert_eq!(std::fs::read_to_string(new.join("accounts/list")).unwrap(), "kept");
    assert_eq!(
        std::fs::read(new.join("packs/FORMAT")).unwrap(),
        std::fs::read(data.join("packs/FORMAT")).unwrap()
    );

    // A cut restore is no archive, until another has ended.
    std::fs::write(new.join("RESTORING"), "").unwrap();
    // (`rebuild` took it for one, and said that all was well.)
    for command in ["verify", "rebuild"] {
        let refused = run(command, &new, &[]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("a restore into this folder was cut off"), "{command}: {said}");
    }
    restored(&place, &new, &[]);
    holds(&new, &made(1, 10).into_iter().collect());

    let pieces = folder.path().join("backups/packs/00000001");
    let piece = std::fs::read_dir(pieces).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&piece).unwrap();
    bytes[3000] ^= 1;
    std::fs::write(&piece, bytes).unwrap();
    let (well, said) = restore(&place, &data, &["--check"]);
    assert!(!well && said.contains("damaged"), "{said}");
    let (well, said) = restore(&place, &folder.path().join("damaged"), &[]);
    assert!(!well && said.contains("damaged"), "{said}");
}

#[test]
fn to_a_bucket() {
    let s3 = S3::start();
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&data);
    let first = made(1, 60);
    store(&server, &first);
    let endpoint = s3.endpoint();
    let to = |place: &str| {
        report(&backup(&data, place).args(["--endpoint", &endpoint]).output().expect("the binary runs"))
    };
    // Requests are lost and refused; none of it is seen.
    s3.busy(3);
    to("s3://bucket/some/prefix");
    s3.mute(2);
    let more = made(2, 20);
    store(&server, &more);
    let new = to("s3://bucket/some/prefix");
    assert!(new["written"]["bytes"].as_u64().unwrap() < new["pack_bytes"].as_u64().unwrap());
    assert!(s3.names().iter().all(|name| name.starts_with("bucket/some/prefix/")));
    let there = folder.path().join("there");
    restored("s3://bucket/some/prefix", &there, &["--endpoint", &endpoint]);
    holds(&there, &first.into_iter().chain(more).collect());

    let wrong = backup(&data, "s3://bucket/x")
        .args(["--endpoint", &endpoint])
        .env("AWS_ACCESS_KEY_ID", "another")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && !said.contains("test-secret"), "{said}");
}

/// The server hung up on a backup that copied for half a minute before it asked for the
/// numbers of the changes, so that none that took longer was ever complete. A server
/// that was started anew meanwhile stands for one that hung up.
#[test]
fn the_line_to_the_server_may_be_cut() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&data);
    store(&server, &made(1, 10));
    let line = Line::open(&data).expect("it answers");
    let moment = line.moment().unwrap();
    assert_eq!(moment.seq, 10);
    assert!(server.stop().success());
    assert!(line.stamps(&moment.catalog, 0, 100).is_err());
    let server = Process::start(&data);
    assert_eq!(line.stamps(&moment.catalog, 0, 100).unwrap().len(), 10);
    assert_eq!(line.stamps(&moment.catalog, 7, 100).unwrap().len(), 3);

    // Another catalog has other numbers.
    assert!(server.stop().success());
    assert!(run("rebuild", &data, &[]).status.success());
    let _server = Process::start(&data);
    let refused = line.stamps(&moment.catalog, 0, 100).unwrap_err().to_string();
    assert!(refused.contains("made anew"), "{refused}");
}

/// A backup of an archive that had lost a pack said that all was well, and was without
/// that pack, which the one before had.
#[test]
fn a_lost_pack_is_told_and_stays_in_the_backups() {
    let folder = TempDir::new().unwrap();
    let (data, place) = (folder.path().join("data"), path(&folder, "backups"));
    let server = Process::start(&data);
    let stored = made(1, 40);
    store(&server, &stored);
    assert!(server.stop().success());
    backed_up(&data, &place);
    let new = path(&folder, "new");
    std::fs::remove_file(data.join("packs/0000/00000001.tar")).unwrap();
    for (place, copied) in [(&place, true), (&place, true), (&new, false)] {
        let told = backup(&data, place).output().unwrap();
        let said: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert!(!told.status.success() && said["lost"] == 1, "{said}");
        let there = folder.path().join("there");
        drop(std::fs::remove_dir_all(&there));
        let (well, said) = restore(place, &there, &[]);
        assert_eq!((well, said.contains("NOT as it was")), (copied, !copied), "{said}");
        if copied {
            holds(&there, &stored.iter().cloned().collect());
        }
    }
    // Also one that is lost under a server.
    let server = Process::start(&data);
    let more = made(2, 40);
    store(&server, &more);
    backup(&data, &place).output().unwrap();
    let newest = std::fs::read_dir(data.join("packs/0000")).unwrap().map(|entry| entry.unwrap().path()).max();
    std::fs::remove_file(newest.unwrap()).unwrap();
    let told = backup(&data, &place).output().unwrap();
    let said: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert!(!told.status.success() && said["lost"] == 2, "{said}");
}

/// A folder that lies elsewhere, as that of the audit log may, was left out without a word.
#[test]
fn what_a_link_leads_to_is_copied() {
    let folder = TempDir::new().unwrap();
    let (data, place) = (folder.path().join("data"), path(&folder, "backups"));
    let server = Process::start(&data);
    store(&server, &made(1, 3));
    assert!(server.stop().success());
    let elsewhere = folder.path().join("elsewhere");
    std::fs::rename(data.join("audit"), &elsewhere).unwrap();
    symlink(&elsewhere, data.join("audit")).unwrap();
    backed_up(&data, &place);
    let there = folder.path().join("there");
    restored(&place, &there, &[]);
    let log = |data: &Path| std::fs::read_to_string(data.join("audit/00000001.log")).unwrap();
    assert!(log(&there).starts_with(log(&data).lines().next().unwrap()));

    // What cannot be had is told.
    symlink(folder.path().join("nothing"), data.join("more")).unwrap();
    assert!(!backup(&data, &place).output().unwrap().status.success());
    std::fs::remove_file(data.join("more")).unwrap();
    symlink(&data, data.join("more")).unwrap();
    let refused = backup(&data, &place).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("that it is in"), "{said}");
}
