//! Packs in a bucket, over the real binary: they move, are read where they are,
//! and nothing is lost or wrong when the bucket, the network or the server fails.

mod mirror;
mod others;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::until,
    process::{Dice, Made, Process, binary, encrypt, hilum, text, verify},
    s3::S3,
    sample::CT_CLASS,
};

const AVAILABILITY: &str = "00080056";
const SOP_INSTANCE_UID: &str = "00080018";

/// An archive and its bucket.
struct Tiers {
    folder: TempDir,
    s3: S3,
}

impl Tiers {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), s3: S3::start() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn with<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(S3::environment()).envs([
            ("HILUM_TIER_BUCKET", "s3://bucket/hilum"),
            ("HILUM_TIER_ENDPOINT", &self.s3.endpoint()),
            ("HILUM_TIER_AFTER_DAYS", "0"),
            ("HILUM_TIER_CHECK_SECONDS", "1"),
            ("HILUM_TIER_READ_SECONDS_MAX", "2"),
            ("HILUM_TIER_CACHE_BYTES_MAX", "3 MiB"),
            // All into one pack after the other: spread over lanes, none would be full.
            ("HILUM_STORE_ALONE_BYTES_MIN", "1 GiB"),
        ])
    }

    fn start(&self) -> Process {
        Process::with(&self.data(), |command| self.with(command))
    }

    fn run(&self, command: &str, data: &Path, arguments: &[&str]) -> (bool, String) {
        let mut process = hilum(command, data);
        let output = self.with(process.args(arguments)).output().expect("the binary runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// The packs in the bucket that count.
    fn moved(&self) -> usize {
        self.s3.names().iter().filter(|name| name.ends_with(".blocks")).count()
    }
}

/// The closed packs on a disk.
fn closed(data: &Path) -> usize {
    let packs = std::fs::read_dir(data.join("packs/0000")).into_iter().flatten().flatten();
    let sealed = |entry: &std::fs::DirEntry| {
        entry.path().extension().is_some_and(|extension| extension == "tar")
            && entry.metadata().is_ok_and(|metadata| metadata.permissions().readonly())
    };
    packs.filter(sealed).count()
}

/// Asks for storage commitment of one instance.
fn commit(server: &Process, transaction: &str, made: &Made) -> reqwest::blocking::Response {
    let reference = json!({
        "00081150": { "vr": "UI", "Value": [CT_CLASS] },
        "00081155": { "vr": "UI", "Value": [made.instance] },
    });
    let body = json!({ "00081199": { "vr": "SQ", "Value": [reference] } }).to_string();
    let post = server.client.post(format!("{}/commitment-requests/{transaction}", server.base));
    post.header("Content-Type", "application/dicom+json").body(body).send().unwrap()
}

/// Instances of about 100 KiB and some that are streamed: a pack of 4 MiB holds 40.
fn made(study: u64, count: u64) -> Vec<Made> {
    (1..=count)
        .map(|number| Made::new(study, 1 + number % 2, number, 40_000 + 1000 * (number as usize % 60)))
        .collect()
}

fn store(server: &Process, made: &[Made]) {
    for some in made.chunks(20) {
        let files: Vec<Vec<u8>> = some.iter().map(Made::bytes).collect();
        server.must_store(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
}

fn all_is_there(server: &Process, made: &[Made]) {
    for made in made {
        assert!(server.file(&made.path()) == Ok(made.bytes()), "{}", made.instance);
    }
}

fn availability(server: &Process, path: &str) -> BTreeSet<String> {
    server.search_all(path).iter().map(|row| text(row, AVAILABILITY).to_owned()).collect()
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn packs_move_and_everything_stays_as_it_was() {
    let tiers = Tiers::new();
    let data = tiers.data();
    let server = tiers.start();
    let old = made(1, 200);
    store(&server, &old);
    until("the closed packs move", || tiers.moved() >= 2 && closed(&data) == 0);
    let new = made(2, 3);
    store(&server, &new);

    // What a search says, and that it is true.
    assert_eq!(
        availability(&server, "/studies?StudyInstanceUID=1.2.826.0.1.3680043.10.1.1"),
        set(&["NEARLINE"])
    );
    assert_eq!(
        availability(&server, "/studies?StudyInstanceUID=1.2.826.0.1.3680043.10.1.2"),
        set(&["ONLINE"])
    );
    assert!(availability(&server, &format!("/studies/{}/series", old[0].study)).contains("NEARLINE"));
    let instances = format!("/studies/{}/instances", old[0].study);
    assert!(availability(&server, &instances).contains("NEARLINE"));
    let rows = server.search_all(&instances);
    let near: Vec<&Value> = rows.iter().filter(|row| text(row, AVAILABILITY) == "ONLINE").collect();
    let far = old.iter().find(|made| near.iter().all(|row| text(row, SOP_INSTANCE_UID) != made.instance));
    let far = far.expect("one that is far");
    let one = format!("/studies/{}/instances?SOPInstanceUID={}", far.study, far.instance);
    tiers.s3.down(true);
    for row in &near {
        let made = old.iter().find(|made| made.instance == text(row, SOP_INSTANCE_UID)).unwrap();
        assert!(server.file(&made.path()) == Ok(made.bytes()));
    }
    tiers.s3.down(false);
    assert_eq!(availability(&server, &one), set(&["NEARLINE"]));
    let response = server.get(&format!("{}/frames/1", far.path()));
    assert_eq!(response.status(), 200);
    assert_eq!(availability(&server, &one), set(&["ONLINE"]), "it is kept");
    let warned = server.get("/studies?InstanceAvailability=NEARLINE");
    assert!(warned.headers()["warning"].to_str().unwrap().contains("not matched"), "{warned:?}");

    all_is_there(&server, &old);
    all_is_there(&server, &new);
    let kept = |metrics: &str| {
        let line = metrics.lines().find(|line| line.starts_with("hilum_bucket_cache_bytes ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let root = server.base.trim_end_matches("/dicomweb").to_owned();
    let metrics = server.client.get(format!("{root}/metrics")).send().unwrap().text().unwrap();
    assert!((1.0..=3.0 * 1024.0 * 1024.0).contains(&kept(&metrics)), "{metrics}");
    assert_eq!(server.delete(&old[7].path()).unwrap().status(), 204);
    assert!(server.stop().success());

    // The commands know both places.
    let (clean, said) = tiers.run("verify", &data, &["--json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert!(clean && report["instances"] == 202 && report["packs_not_read"] == 0, "{said}");
    let gets = tiers.s3.gets();
    let (clean, said) = tiers.run("verify", &data, &["--json", "--local"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    assert!(clean && report["instances_not_read"].as_u64() > Some(50), "{said}");
    assert_eq!(tiers.s3.gets(), gets);
    let (refused, said) = verify_without_bucket(&data);
    assert!(!refused && said.contains("tier.bucket"), "{said}");
    let place = tiers.folder.path().join("backup");
    let (well, said) = tiers.run("backup", &data, &[place.to_str().unwrap()]);
    assert!(well, "{said}");
    let there = tiers.folder.path().join("restored");
    let (well, said) = tiers.run("restore", &there, &[place.to_str().unwrap()]);
    assert!(well && said.contains("as it was when the backup was taken"), "{said}");
    assert!(verify(&there).0, "all of it is on the disk");
    let (well, said) = tiers.run("rebuild", &data, &[]);
    assert!(well, "{said}");

    // The disk is lost; the bucket has what was moved.
    let lost = tiers.folder.path().join("lost");
    std::fs::rename(&data, &lost).unwrap();
    let server = tiers.start();
    let found = server.search_all("/instances");
    assert!(found.len() >= 50, "{}", found.len());
    for row in &found {
        let made = old.iter().find(|made| made.instance == text(row, SOP_INSTANCE_UID)).unwrap();
        assert!(server.file(&made.path()) == Ok(made.bytes()));
    }
}

fn verify_without_bucket(data: &Path) -> (bool, String) {
    let output = hilum("verify", data).output().expect("the binary runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn while_the_bucket_is_away() {
    let tiers = Tiers::new();
    let data = tiers.data();
    let server = tiers.start();
    let old = made(1, 120);
    store(&server, &old);
    until("the closed packs move", || tiers.moved() >= 1 && closed(&data) == 0);
    let new = made(2, 3);
    store(&server, &new);
    let rows = server.search_all(&format!("/studies/{}/instances", old[0].study));
    let is_far = |made: &&Made| {
        rows.iter()
            .any(|row| text(row, SOP_INSTANCE_UID) == made.instance && text(row, AVAILABILITY) == "NEARLINE")
    };
    let far: Vec<&Made> = old.iter().filter(is_far).collect();
    assert!(far.len() > 20 && far.len() < old.len());

    tiers.s3.down(true);
    let response = server.get(&far[0].path());
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "10");
    let problem: Value = serde_json::from_str(&response.text().unwrap()).unwrap();
    assert_eq!(problem["code"], "bucket-away");
    for path in ["/frames/1", "/rendered"] {
        assert_eq!(server.get(&format!("{}{path}", far[1].path())).status(), 503, "{path}");
    }
    // Not to be had is not lost: who asks for a commitment is to ask again.
    let commitment = commit(&server, "1.2.3.4", far[2]);
    assert_eq!(commitment.status(), 503);
    assert_eq!(commitment.headers()["retry-after"], "10");
    // The rest is served: of the study, what is here; what is new; searches and metadata; stores.
    let response = server.get(&format!("/studies/{}", old[0].study));
    assert_eq!(response.status(), 206);
    let warning = response.headers()["warning"].to_str().unwrap().to_owned();
    assert!(warning.contains("does not answer"), "{warning}");
    all_is_there(&server, &new);
    assert_eq!(server.search_all("/instances").len(), 123);
    assert_eq!(server.get(&format!("{}/metadata", far[0].path())).status(), 200);
    store(&server, &made(3, 60));
    assert_eq!(server.get("/studies?limit=1").status(), 200);
    tiers.s3.down(false);
    until("it answers again", || server.file(&far[0].path()) == Ok(far[0].bytes()));
    // The Transaction UID was taken for good, by a request that nobody went on with.
    let committed = commit(&server, "1.2.3.4", far[2]);
    assert_eq!(committed.status(), 200, "{}", committed.text().unwrap());
    assert_eq!(commit(&server, "1.2.3.4", far[2]).status(), 409);

    // Some that are in no closed pack.
    let new = made(4, 2);
    store(&server, &new);

    // It is reached and says nothing: who waits for it keeps nobody else waiting.
    tiers.s3.stall(true);
    let answered = AtomicUsize::new(0);
    let metadata = format!("{}/metadata", far[5].path());
    std::thread::scope(|scope| {
        for made in far.iter().rev().take(40) {
            let (server, answered) = (&server, &answered);
            scope.spawn(move || {
                let status = server.get(&made.path()).status();
                assert!(status == 503 || status == 200, "{status}");
                answered.fetch_add(1, Ordering::SeqCst);
            });
        }
        until("they wait", || tiers.s3.stalled() > 0);
        all_is_there(&server, &new);
        assert_eq!(server.get(&metadata).status(), 200);
    });
    assert_eq!(answered.load(Ordering::SeqCst), 40);
    tiers.s3.stall(false);
    until("it answers again", || server.file(&far[0].path()) == Ok(far[0].bytes()));

    // It can start without the bucket, and stop.
    assert!(server.stop().success());
    tiers.s3.down(true);
    let server = tiers.start();
    all_is_there(&server, &new);
    assert_eq!(server.search_all("/instances").len(), 185);
    // But not begin on an empty folder: the bucket may hold the archive.
    let (well, said) = tiers.run("serve", &tiers.folder.path().join("other"), &["--listen", "127.0.0.1:0"]);
    assert!(!well && said.contains("bucket"), "{said}");
}

#[test]
fn faults_on_the_way_are_not_served() {
    let tiers = Tiers::new();
    let data = tiers.data();
    // Slow down, lose answers and break bodies while packs move, too.
    tiers.s3.busy(5);
    tiers.s3.mute(2);
    let server = tiers.start();
    let old = made(1, 120);
    store(&server, &old);
    tiers.s3.wrong(1);
    tiers.s3.cut(1);
    until("the closed packs move", || tiers.moved() >= 1 && closed(&data) == 0);

    for (index, made) in old.iter().enumerate() {
        match index % 8 {
            0 => tiers.s3.wrong(1),
            2 => tiers.s3.cut(1),
            4 => tiers.s3.busy(2),
            6 => tiers.s3.mute(1),
            _ => {}
        }
        assert!(server.file(&made.path()) == Ok(made.bytes()), "{index}");
    }
    let problems = server.log().iter().filter(|line| line.contains("\"level\":\"ERROR\"")).count();
    assert_eq!(problems, 0);

    // Bytes that are wrong for good cost the instances that lie in their block.
    assert!(server.stop().success());
    drop(std::fs::remove_dir_all(data.join("cache")));
    let name = tiers.s3.names().into_iter().find(|name| name.contains(".tar")).unwrap();
    let mut bytes = tiers.s3.object(&name).unwrap();
    bytes[1_500_000] ^= 1;
    tiers.s3.replace(&name, Some(bytes));
    let server = tiers.start();
    let mut damaged = 0;
    for made in &old {
        match server.file(&made.path()) {
            Ok(bytes) => assert!(bytes == made.bytes()),
            Err(status) => {
                assert_eq!(status, 500);
                damaged += 1;
            }
        }
    }
    assert!((1..40).contains(&damaged), "{damaged}");
    assert!(server.stop().success());
    let (clean, said) = tiers.run("verify", &data, &["--json"]);
    assert!(!clean && said.contains("damaged"), "{said}");
}

#[test]
fn killed_at_any_time() {
    let tiers = Tiers::new();
    let data = tiers.data();
    let mut dice = Dice::new(5);
    let mut all = Vec::new();
    for round in 0..8 {
        let mut server = tiers.start();
        let some = made(10 + round, 60);
        store(&server, &some);
        all.extend(some);
        match round % 3 {
            0 => tiers.s3.busy(3),
            1 => tiers.s3.mute(1),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(dice.below(1500)));
        server.kill();
    }
    tiers.s3.busy(0);
    tiers.s3.mute(0);
    let server = tiers.start();
    all_is_there(&server, &all);
    until("the rest moves", || tiers.moved() >= 8 && closed(&data) == 0);
    all_is_there(&server, &all);
    assert!(server.stop().success());
    let (clean, said) = tiers.run("verify", &data, &["--json"]);
    assert!(clean, "{said}");
}

/// The bucket had the keys of before the master key was changed until the next pack
/// moved there. Who lost the disk by then, and had destroyed the old master key, could
/// not read what the bucket had.
#[test]
fn the_bucket_has_the_newest_keys() {
    let tiers = Tiers::new();
    let data = tiers.data();
    encrypt(&data);
    let server = tiers.start();
    let old = made(1, 120);
    store(&server, &old);
    until("the closed packs move", || tiers.moved() >= 1 && closed(&data) == 0);
    assert!(server.stop().success());

    let (key, new) = (tiers.folder.path().join("master.key"), tiers.folder.path().join("new.key"));
    std::fs::write(&new, "6".repeat(64)).unwrap();
    let mut rotate = Command::new(binary());
    rotate.args(["encryption", "rotate", "--data"]).arg(&data).arg("--new-key-file").arg(&new);
    let rotated = tiers.with(&mut rotate).env("HILUM_ENCRYPTION_KEY_FILE", &key).output().unwrap();
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    std::fs::rename(&new, &key).unwrap();
    // For months no pack is due.
    let server = Process::with(&data, |command| tiers.with(command).env("HILUM_TIER_AFTER_DAYS", "90"));
    let rings = || tiers.s3.names().iter().filter(|name| name.contains("/KEYS/")).count();
    until("the bucket has the new keys", || rings() == 2);
    drop(server);

    std::fs::rename(&data, tiers.folder.path().join("lost")).unwrap();
    let server = tiers.start();
    let found = server.search_all("/instances");
    assert!(found.len() >= 30, "{}", found.len());
    for row in &found {
        let made = old.iter().find(|made| made.instance == text(row, SOP_INSTANCE_UID)).unwrap();
        assert!(server.file(&made.path()) == Ok(made.bytes()));
    }
}
