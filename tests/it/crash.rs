//! What was acknowledged outlives the process, whenever it is killed.
//!
//! Workers store (small files, streamed files, several in a request) and
//! delete; the process is killed at a random moment, at times again while it
//! recovers; then everything that was acknowledged must be there, byte for
//! byte, by every search, with right counts, and nothing else. What was under
//! way when it was killed may be there or not, but wholly.
//!
//! `TEST_SEED` repeats a run as far as time lets it, `TEST_KILLS` sets how many
//! kills the long run has, `TEST_HILUM_BINARY` which binary is killed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Dice, Made, Process, encrypt, hilum, is_encrypted, number, packs, run, text, verify};

const WORKERS: u64 = 6;
const SOP_INSTANCE_UID: &str = "00080018";
const STUDY_UID: &str = "0020000D";
const SERIES_UID: &str = "0020000E";
const SERIES_IN_STUDY: &str = "00201206";
const INSTANCES_IN_STUDY: &str = "00201208";
const INSTANCES_IN_SERIES: &str = "00201209";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Acknowledged: it must be there.
    There,
    /// Its deletion was acknowledged: it must be gone.
    Gone,
    /// A store was under way, of something that was not there.
    MayBeThere,
    /// A store was under way, of something that was deleted before.
    MayBeBack,
    /// A deletion was under way.
    MayBeGone,
}

pub type Ledger = BTreeMap<Made, Known>;

/// One client. It works on studies of its own, so that what it knows is so.
pub struct Worker {
    number: u64,
    dice: Dice,
    next: u64,
    pub ledger: Ledger,
    pub stores: u64,
    pub deletes: u64,
}

impl Worker {
    pub fn new(number: u64, seed: u64) -> Self {
        Self { number, dice: Dice::new(seed + number), next: 1, ledger: Ledger::new(), stores: 0, deletes: 0 }
    }

    /// Works until the server is gone.
    pub fn work(&mut self, server: &Process, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let on = if self.dice.chance(18) { self.delete(server) } else { self.store(server) };
            if !on {
                return;
            }
        }
    }

    /// What to store with the next request.
    fn choose(&mut self) -> Vec<Made> {
        let count = if self.dice.chance(20) { 2 + self.dice.below(8) } else { 1 };
        let mut chosen = Vec::new();
        for _ in 0..count {
            let again = self.dice.chance(15);
            let old = self
                .ledger
                .iter()
                .find(|(made, known)| again && **known == Known::Gone && !chosen.contains(*made));
            if let Some((made, _)) = old {
                chosen.push(made.clone());
                continue;
            }
            let large = self.dice.chance(15);
            let pixels =
                if large { 70_000 + self.dice.below(900_000) } else { 500 + self.dice.below(20_000) };
            let study = self.number * 1000 + self.next / 25;
            let series = 1 + self.dice.below(3);
            let pixels = usize::try_from(pixels).unwrap();
            chosen.push(Made::new(study, series, self.next, pixels));
            self.next += 1;
        }
        chosen
    }

    fn store(&mut self, server: &Process) -> bool {
        let chosen = self.choose();
        for made in &chosen {
            let was = self.ledger.get(made).copied();
            let unknown = if was == Some(Known::Gone) { Known::MayBeBack } else { Known::MayBeThere };
            self.ledger.insert(made.clone(), unknown);
        }
        let files: Vec<Vec<u8>> = chosen.iter().map(Made::bytes).collect();
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let Ok(response) = server.store(&files) else { return false };
        let status = response.status().as_u16();
        // Cut off before its end: it says nothing.
        let Ok(module) = response.text() else { return false };
        let module: Value = serde_json::from_str(&module).expect("JSON");
        assert!(matches!(status, 200 | 202 | 409 | 503), "{status} {module}");
        let list = module["00081199"]["Value"].as_array().cloned().unwrap_or_default();
        let stored: BTreeSet<&str> = list.iter().map(|item| text(item, "00081155")).collect();
        assert!(status != 200 || stored.len() == chosen.len(), "{status} {module}");
        for made in chosen.into_iter().filter(|made| stored.contains(made.instance.as_str())) {
            self.ledger.insert(made, Known::There);
            self.stores += 1;
        }
        true
    }

    fn delete(&mut self, server: &Process) -> bool {
        let there: Vec<&Made> =
            self.ledger.iter().filter(|(_, known)| **known == Known::There).map(|(made, _)| made).collect();
        if there.is_empty() {
            return true;
        }
        let one = there[usize::try_from(self.dice.below(there.len() as u64)).unwrap()].clone();
        let (path, covered): (String, Vec<Made>) = match self.dice.below(20) {
            0 => {
                let covered = there.iter().filter(|made| made.study == one.study);
                (format!("/studies/{}", one.study), covered.copied().cloned().collect())
            }
            1..3 => {
                let covered = there.iter().filter(|made| made.series == one.series);
                (format!("/studies/{}/series/{}", one.study, one.series), covered.copied().cloned().collect())
            }
            _ => (one.path(), vec![one]),
        };
        for made in &covered {
            self.ledger.insert(made.clone(), Known::MayBeGone);
        }
        let Ok(response) = server.delete(&path) else { return false };
        let status = response.status().as_u16();
        assert!(matches!(status, 200 | 204 | 503), "DELETE {path}: {status} {:?}", response.text());
        let known = if status == 503 { Known::There } else { Known::Gone };
        for made in covered {
            self.ledger.insert(made, known);
            self.deletes += 1;
        }
        true
    }

    /// Takes down what became of what was under way.
    pub fn settle(&mut self, listed: &BTreeSet<String>) {
        for (made, known) in &mut self.ledger {
            *known = match (*known, listed.contains(&made.path())) {
                (Known::MayBeThere | Known::MayBeBack | Known::MayBeGone, true) => Known::There,
                (Known::MayBeBack | Known::MayBeGone, false) => Known::Gone,
                (known, _) => known,
            };
        }
        // Never arrived: as if it had not been tried. Its UID may come again.
        self.ledger.retain(|_, known| *known != Known::MayBeThere);
    }
}

/// Holds the server against the ledgers; the paths it lists.
pub fn check(server: &Process, workers: &[Worker], every_file: bool, dice: &mut Dice) -> BTreeSet<String> {
    let path_of = |item: &Value| {
        let [study, series, instance] =
            [STUDY_UID, SERIES_UID, SOP_INSTANCE_UID].map(|tag| text(item, tag).to_owned());
        format!("/studies/{study}/series/{series}/instances/{instance}")
    };
    let found = server.search_all("/instances");
    let listed: BTreeSet<String> = found.iter().map(path_of).collect();
    assert_eq!(found.len(), listed.len(), "an instance is listed twice");
    let mut expected = BTreeSet::new();
    for (made, known) in workers.iter().flat_map(|worker| &worker.ledger) {
        let path = made.path();
        let is_listed = listed.contains(&path);
        match known {
            Known::There => assert!(is_listed, "LOST: {path} was acknowledged and is not found"),
            Known::Gone => assert!(!is_listed, "{path} was deleted and is found"),
            Known::MayBeThere | Known::MayBeBack | Known::MayBeGone => {}
        }
        let under_way = !matches!(known, Known::There | Known::Gone);
        if is_listed {
            expected.insert(path.clone());
            if every_file || under_way || dice.chance(10) {
                let file = server.file(&path).unwrap_or_else(|status| panic!("LOST: {path}: {status}"));
                assert!(file == made.bytes(), "DAMAGED: {path}");
            }
        } else if *known == Known::Gone {
            if every_file || dice.chance(10) {
                assert_eq!(server.file(&path), Err(410), "{path} was deleted");
            }
        } else {
            let status = server.file(&path).err();
            assert!(matches!(status, Some(404 | 410)), "{path} is not listed, but there: {status:?}");
        }
    }
    assert_eq!(listed, expected, "something is listed that nobody stored");
    check_levels(server, &listed);
    listed
}

/// Studies and series are those of the instances, with right counts.
fn check_levels(server: &Process, listed: &BTreeSet<String>) {
    let mut series: BTreeMap<(String, String), u64> = BTreeMap::new();
    for path in listed {
        let parts: Vec<&str> = path.split('/').collect();
        *series.entry((parts[2].to_owned(), parts[4].to_owned())).or_default() += 1;
    }
    let mut studies: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for ((study, _), count) in &series {
        let (of_series, of_instances) = studies.entry(study.clone()).or_default();
        *of_series += 1;
        *of_instances += count;
    }
    let found: BTreeMap<String, (u64, u64)> = server
        .search_all("/studies?includefield=all")
        .iter()
        .map(|item| {
            let counts = (number(item, SERIES_IN_STUDY), number(item, INSTANCES_IN_STUDY));
            (text(item, STUDY_UID).to_owned(), counts)
        })
        .collect();
    assert_eq!(found, studies, "studies and their counts of series and instances");
    let found: BTreeMap<(String, String), u64> = server
        .search_all("/series?includefield=all")
        .iter()
        .map(|item| {
            let path = (text(item, STUDY_UID).to_owned(), text(item, SERIES_UID).to_owned());
            (path, number(item, INSTANCES_IN_SERIES))
        })
        .collect();
    assert_eq!(found, series, "series and their counts of instances");
    // By terms of the index, and by names that the catalog looks up.
    for (study, (_, instances)) in studies.iter().take(40) {
        let patient = format!("P{}", study.rsplit('.').next().unwrap());
        let by_patient = server.json(&format!("/studies?PatientID={patient}"));
        assert_eq!(text(&by_patient[0], STUDY_UID), study, "found by PatientID {patient}");
        let of_study = server.search_all(&format!("/studies/{study}/instances"));
        assert_eq!(of_study.len() as u64, *instances, "instances of {study}");
        let modalities: BTreeSet<&str> =
            series.keys().filter(|(of, _)| of == study).map(|(_, series)| modality(series)).collect();
        let said: BTreeSet<&str> = by_patient[0]["00080061"]["Value"]
            .as_array()
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        assert_eq!(said, modalities, "ModalitiesInStudy of {study}");
    }
}

fn modality(series: &str) -> &'static str {
    let number: usize = series.rsplit('.').next().unwrap().parse().unwrap();
    ["CT", "MR", "PT"][number % 3]
}

/// Starts a command and kills it after a moment.
pub fn begin_and_kill(mut command: Command, after: Duration) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    std::thread::sleep(after);
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

fn kill_often(kills: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(now.subsec_nanos()));
    println!("TEST_SEED={seed}");
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut dice = Dice::new(seed);
    if dice.chance(50) {
        encrypt(&data);
        println!("encrypted");
    }
    let mut workers: Vec<Worker> = (0..WORKERS).map(|number| Worker::new(number + 1, seed)).collect();
    let (mut recoveries_killed, mut rebuilds_killed, mut under_way) = (0, 0, 0);
    for kill in 0..kills {
        let mut server = Process::start(&data);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for worker in &mut workers {
                let (server, stop) = (&server, &stop);
                scope.spawn(move || worker.work(server, stop));
            }
            std::thread::sleep(Duration::from_millis(100 + dice.below(2500)));
            // The handle is in use by the workers: by its number, then.
            let killed = Command::new("kill").args(["-KILL", &server.id().to_string()]).status();
            assert!(killed.unwrap().success());
            stop.store(true, Ordering::Relaxed);
        });
        server.kill();
        let ledgers = || workers.iter().flat_map(|worker| worker.ledger.values());
        under_way += ledgers().filter(|known| !matches!(known, Known::There | Known::Gone)).count();
        while dice.chance(40) {
            let command = if dice.chance(25) {
                rebuilds_killed += 1;
                hilum("rebuild", &data)
            } else {
                recoveries_killed += 1;
                let mut command = hilum("serve", &data);
                command.args(["--listen", "127.0.0.1:0"]);
                command
            };
            begin_and_kill(command, Duration::from_millis(5 + dice.below(400)));
        }
        if dice.chance(20) {
            let (clean, report) = verify(&data);
            assert!(clean, "kill {kill}: {report:#}");
        }
        let server = Process::start(&data);
        let every_file = kill % 10 == 9;
        let listed = check(&server, &workers, every_file, &mut dice);
        if every_file {
            println!("{} kills, {} instances there", kill + 1, listed.len());
        }
        for worker in &mut workers {
            worker.settle(&listed);
        }
        let log = server.log();
        let errors: Vec<&String> = log.iter().filter(|line| line.contains("\"ERROR\"")).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        drop(server);
    }
    let sum = |count: fn(&Worker) -> u64| workers.iter().map(count).sum::<u64>();
    println!(
        "{kills} kills ({recoveries_killed} more while recovering, {rebuilds_killed} while rebuilding): {} \
         stores and {} deletions acknowledged, {under_way} under way when killed; {} packs",
        sum(|worker| worker.stores),
        sum(|worker| worker.deletes),
        packs(&data).len(),
    );
    whole_to_the_end(&data, &workers, &mut dice);
}

/// Verify is clean, tar gives the files, and a rebuild gives the archive.
pub fn whole_to_the_end(data: &Path, workers: &[Worker], dice: &mut Dice) {
    let (clean, report) = verify(data);
    assert!(clean, "{report:#}");
    let files = tempfile::TempDir::new().unwrap();
    for pack in packs(data) {
        let output = Command::new("tar").arg("-xf").arg(&pack).arg("-C").arg(files.path()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}: {output:?}", pack.display());
    }
    for (made, known) in workers.iter().flat_map(|worker| &worker.ledger) {
        if *known == Known::There {
            let file = format!("{}/{}/{}.dcm", made.study, made.series, made.instance);
            if is_encrypted(data) {
                let sealed = std::fs::read(files.path().join(format!("{file}.enc"))).unwrap();
                assert!(memchr::memmem::find(&sealed, made.patient.as_bytes()).is_none(), "{file}");
            } else {
                assert!(std::fs::read(files.path().join(&file)).unwrap() == made.bytes(), "{file} by tar");
            }
        }
    }
    let output = run("rebuild", data, &[]);
    assert!(output.status.success(), "{output:?}");
    let server = Process::start(data);
    check(&server, workers, true, dice);
    assert!(server.stop().success());
}

#[test]
fn acknowledged_is_durable() {
    kill_often(3);
}

/// The same for longer: `cargo test --test it crash -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn acknowledged_is_durable_for_long() {
    let kills = std::env::var("TEST_KILLS").ok().and_then(|kills| kills.parse().ok());
    kill_often(kills.unwrap_or(50));
}

/// "ready" stood in the log before the server listened to signals: a stop that came at
/// once killed it.
#[test]
fn a_stop_right_after_the_start_is_a_clean_one() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        assert!(Process::start(&folder.path().join("data")).stop().success());
    }
}
