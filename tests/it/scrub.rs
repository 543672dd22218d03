//! The scrub reads all that is stored while the server works: it names what is
//! damaged and nothing else.

use std::{
    fs,
    os::unix::fs::{FileExt, PermissionsExt},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Made, Process, packs};

fn start(data: &Path) -> Process {
    Process::with(data, |command| {
        command.env("HILUM_SCRUB_BYTES_PER_SECOND", "200 MiB").env("HILUM_SCRUB_INTERVAL_DAYS", "0")
    })
}

fn metric(server: &Process, name: &str) -> f64 {
    let root = server.base.strip_suffix("/dicomweb").unwrap();
    let text = server.client.get(format!("{root}/metrics")).send().unwrap().text().unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// Waits until two more passes are complete: one of them saw all there is now.
fn wait_for_passes(server: &Process, more: f64) {
    let passes = metric(server, "hilum_scrub_passes_total");
    let until = Instant::now() + Duration::from_mins(1);
    while metric(server, "hilum_scrub_passes_total") < passes + more {
        assert!(Instant::now() < until, "no pass is complete");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn findings(server: &Process) -> u64 {
    let root = server.base.strip_suffix("/dicomweb").unwrap();
    let ready = server.client.get(format!("{root}/readyz")).send().unwrap().text().unwrap();
    let ready: Value = serde_json::from_str(&ready).unwrap();
    ready["findings"].as_u64().unwrap()
}

#[test]
fn the_scrub_names_damage_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let server = start(&data);
    let made: Vec<Made> =
        (1..=8).map(|number| Made::new(1, 1, number, if number > 6 { 150_000 } else { 3000 })).collect();
    for made in &made {
        server.must_store(&[&made.bytes()]);
    }
    // Nothing is amiss while files come and go.
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            for number in 1..=40 {
                let other = Made::new(2, 1, number, if number % 5 == 0 { 100_000 } else { 2000 });
                server.must_store(&[&other.bytes()]);
                if number % 3 == 0 {
                    assert!(server.delete(&other.path()).unwrap().status().is_success());
                }
            }
        });
        wait_for_passes(&server, 2.0);
        busy.join().unwrap();
    });
    wait_for_passes(&server, 2.0);
    assert_eq!(findings(&server), 0, "a false alarm: {:#?}", server.log());
    // A byte of one file changes under the server's hands.
    let hurt = &made[2];
    let needle = &hurt.bytes()[hurt.head().len()..][..1000];
    let place = packs(&data).into_iter().find_map(|pack| {
        let bytes = fs::read(&pack).unwrap();
        memchr::memmem::find(&bytes, needle).map(|at| (pack, at as u64, bytes[at]))
    });
    let (pack, at, byte) = place.expect("some pack has it");
    let mode = fs::metadata(&pack).unwrap().permissions();
    let write = |byte: u8| {
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).unwrap();
        fs::OpenOptions::new().write(true).open(&pack).unwrap().write_all_at(&[byte], at).unwrap();
        fs::set_permissions(&pack, mode.clone()).unwrap();
    };
    write(byte ^ 1);
    wait_for_passes(&server, 2.0);
    assert_eq!(findings(&server), 1);
    assert!((metric(&server, "hilum_scrub_findings") - 1.0).abs() < f64::EPSILON);
    let named = server.log().into_iter().filter(|line| line.contains("the scrub found")).collect::<Vec<_>>();
    assert!(named.len() == 1 && named[0].contains(&hurt.instance), "{named:#?}");
    let told = || -> Vec<Value> {
        let root = server.base.strip_suffix("/dicomweb").unwrap();
        let log = server.client.get(format!("{root}/audit?event=security-alert")).send().unwrap();
        let log: Value = serde_json::from_str(&log.text().unwrap()).unwrap();
        log["records"].as_array().expect("records").clone()
    };
    let until = Instant::now() + Duration::from_secs(20);
    while told().is_empty() {
        assert!(Instant::now() < until, "it is not in the audit log");
        std::thread::sleep(Duration::from_millis(100));
    }
    // Whoever sends the same file again would be told that it is there, and might delete his own.
    let again = server.store(&[&hurt.bytes()]).unwrap();
    assert_eq!(again.status(), 409, "a file that is known to be damaged was a success");
    assert!(again.text().unwrap().contains("lost or damaged"));
    server.must_store(&[&made[3].bytes()]);
    // Not again with each pass.
    wait_for_passes(&server, 2.0);
    let told = told();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(
        (&told[0]["outcome"], &told[0]["object"]["kind"]),
        (&"serious-failure".into(), &"finding".into())
    );
    assert!(told[0]["object"]["id"].as_str().unwrap().contains(&hurt.instance), "{told:#?}");
    // It is known across a stop, and forgotten once it is mended.
    assert!(server.stop().success());
    let server = Process::with(&data, |command| command.env("HILUM_SCRUB_BYTES_PER_SECOND", "0"));
    assert_eq!(findings(&server), 1);
    assert!(server.stop().success());
    write(byte);
    let server = start(&data);
    wait_for_passes(&server, 2.0);
    assert_eq!(findings(&server), 0);
}
