//! Stores that are acknowledged when the bucket has them: the disk may be lost
//! at any time.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::{Tiers, all_is_there, made, until};
use crate::{
    harness::multipart,
    process::{Dice, Made, Process},
};

fn start(tiers: &Tiers, disk: &str) -> Process {
    let data = tiers.folder.path().join(disk);
    Process::with(&data, |command| {
        let command = tiers.with(command);
        command.env("HILUM_STORE_ALONE_BYTES_MIN", "16 KiB");
        command.env("HILUM_TIER_ACKNOWLEDGE", "bucket").env("HILUM_TIER_AFTER_DAYS", "1")
    })
}

/// Every round the process is killed at some time, and its disk is lost.
#[test]
fn what_was_acknowledged_outlives_every_disk() {
    let tiers = Tiers::new();
    let mut dice = Dice::new(11);
    let mut there: BTreeMap<String, Made> = BTreeMap::new();
    let mut gone: Vec<Made> = Vec::new();
    for round in 0..6 {
        let mut server = start(&tiers, &format!("disk-{round}"));
        let all: Vec<Made> = there.values().cloned().collect();
        all_is_there(&server, &all);
        for made in &gone {
            assert!(server.file(&made.path()).is_err(), "{}", made.instance);
        }
        match round {
            2 => tiers.s3.busy(3),
            4 => tiers.s3.mute(2),
            _ => {}
        }
        std::thread::scope(|scope| {
            let (server, dice) = (&server, &mut dice);
            let workers: Vec<_> = (0..3)
                .map(|worker| {
                    scope.spawn(move || {
                        let mut acknowledged = Vec::new();
                        let mut deleted = Vec::new();
                        for made in made(100 + round * 10 + worker, 60) {
                            match server.store(&[&made.bytes()]) {
                                Ok(response) if response.status() == 200 => acknowledged.push(made),
                                _ => break,
                            }
                            if acknowledged.len() % 7 == 0 {
                                let made = acknowledged.pop().expect("one was stored");
                                match server.delete(&made.path()) {
                                    Ok(response) if response.status() == 204 => deleted.push(made),
                                    // It may be there or not.
                                    _ => break,
                                }
                            }
                        }
                        (acknowledged, deleted)
                    })
                })
                .collect();
            std::thread::sleep(Duration::from_millis(200 + dice.below(1200)));
            let id = server.id().to_string();
            assert!(std::process::Command::new("kill").args(["-9", &id]).status().unwrap().success());
            for worker in workers {
                let (acknowledged, deleted) = worker.join().unwrap();
                there.extend(acknowledged.into_iter().map(|made| (made.instance.clone(), made)));
                gone.extend(deleted);
            }
        });
        server.kill();
        tiers.s3.busy(0);
        tiers.s3.mute(0);
    }
    assert!(there.len() > 20, "{}", there.len());
    let server = start(&tiers, "last");
    let all: Vec<Made> = there.values().cloned().collect();
    all_is_there(&server, &all);
    // Closed packs are in the bucket as a whole, and on the disk; what they were made of is not.
    super::store(&server, &made(1, 300));
    until("closed packs are copied", || {
        let names = tiers.s3.names();
        let copied = names.iter().filter(|name| name.ends_with(".blocks"));
        let pack = |name: &str| name.rsplit('/').next().unwrap().trim_end_matches(".blocks").to_owned();
        let copied: Vec<String> = copied.map(|name| pack(name)).collect();
        copied.len() >= 3
            && copied.iter().all(|pack| !names.iter().any(|name| name.contains(&format!("open/{pack}/"))))
    });
    assert!(server.stop().success());
    let (clean, said) = {
        let data = tiers.folder.path().join("last");
        tiers.run("verify", &data, &["--json"])
    };
    assert!(clean, "{said}");
}

#[test]
fn nothing_is_acknowledged_without_the_bucket() {
    let tiers = Tiers::new();
    let server = start(&tiers, "one");
    let first = made(1, 10);
    super::store(&server, &first);
    tiers.s3.down(true);
    let refused = Made::new(2, 1, 1, 5_000);
    let streamed = Made::new(2, 1, 2, 500_000);
    for made in [&refused, &streamed, &refused] {
        let response = server.store(&[&made.bytes()]).unwrap();
        assert_eq!(response.status(), 503, "{}", response.text().unwrap());
    }
    let response = server.store(&[&refused.bytes()]).unwrap();
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(server.delete(&first[0].path()).unwrap().status(), 503);
    all_is_there(&server, &first);
    assert!(server.file(&refused.path()).is_err());
    tiers.s3.down(false);
    until("it is stored again", || {
        server.store(&[&refused.bytes(), &streamed.bytes()]).unwrap().status() == 200
    });
    drop(server);

    let server = start(&tiers, "two");
    all_is_there(&server, &first);
    all_is_there(&server, &[refused, streamed]);
}

/// While the bucket said nothing, a client that sent what was on its way already
/// kept a thread of the pool for each time, and with a few of these all searches
/// and all reads waited too.
#[test]
fn who_sends_again_keeps_nobody_waiting() {
    let tiers = Tiers::new();
    let server = Process::with(&tiers.data(), |command| {
        let command = tiers.with(command).env("HILUM_TIER_ACKNOWLEDGE", "bucket");
        command.env("HILUM_STORE_ALONE_BYTES_MIN", "64 KiB").env("HILUM_TIER_READ_SECONDS_MAX", "20")
    });
    let there = made(1, 3);
    super::store(&server, &there);
    // One for the committer, one for a lane.
    let coming = [Made::new(2, 1, 1, 5_000), Made::new(2, 1, 2, 100_000)];
    let times = 4 * std::thread::available_parallelism().unwrap().get();
    let answered = AtomicUsize::new(0);
    tiers.s3.stall(true);
    std::thread::scope(|scope| {
        for _ in 0..times {
            for made in &coming {
                let (server, answered) = (&server, &answered);
                scope.spawn(move || {
                    let status = server.store(&[&made.bytes()]).unwrap().status();
                    assert!(status == 200 || status == 503, "{status}");
                    answered.fetch_add(1, Ordering::SeqCst);
                });
            }
        }
        until("they wait", || tiers.s3.stalled() > 1);
        // The others have arrived by then.
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(server.search_all("/instances").len(), 3);
        all_is_there(&server, &there);
        assert_eq!(server.get(&format!("{}/metadata", there[0].path())).status(), 200);
        assert_eq!(answered.load(Ordering::SeqCst), 0, "reads waited for the stores");
        tiers.s3.stall(false);
    });
    for made in &coming {
        until("it is stored", || server.store(&[&made.bytes()]).unwrap().status() == 200);
    }
    all_is_there(&server, &coming);
    assert_eq!(server.search_all("/instances").len(), 5);
}

/// Sends a whole store, and resets the connection before the answer.
fn store_and_hang_up(address: &str, made: &Made) {
    let body = multipart("x", &[&made.bytes()]);
    let mut socket = TcpStream::connect(address).unwrap();
    let media = "multipart/related; type=\"application/dicom\"; boundary=x";
    let head = format!("POST /dicomweb/studies HTTP/1.1\r\nHost: {address}\r\nContent-Type: {media}\r\n");
    write!(socket, "{head}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", body.len()).unwrap();
    // Of a socket that is closed before all is read the system resets the connection.
    socket.read_exact(&mut [0; 1]).unwrap();
    // One that there is no room for is not read to its end.
    socket.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let _ = socket.write_all(&body);
    std::thread::sleep(Duration::from_millis(50));
}

/// Files that wait for the bucket were counted for as long as somebody waited for them:
/// clients that hung up and sent again filled the memory.
#[test]
fn who_hangs_up_leaves_no_memory_uncounted() {
    const FILES: u64 = 40;
    const COUNTED_MIB: u64 = 16;
    let tiers = Tiers::new();
    let server = Process::with(&tiers.data(), |command| {
        let command = tiers.with(command).env("HILUM_TIER_ACKNOWLEDGE", "bucket");
        command
            .env("HILUM_TIER_READ_SECONDS_MAX", "60")
            .env("HILUM_STORE_SMALL_BYTES_MAX", "4 MiB")
            .env("HILUM_STORE_STREAMS_MAX", "1")
            .env("HILUM_LIMITS_UPLOAD_MEMORY_BYTES_MAX", format!("{COUNTED_MIB} MiB"))
    });
    let address = server.base.trim_start_matches("http://").trim_end_matches("/dicomweb").to_owned();
    super::store(&server, &made(1, 3));
    let taken = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let Some(before) = taken() else { return };
    tiers.s3.stall(true);
    let coming: Vec<Made> = (1..=FILES).map(|number| Made::new(2, 1, number, 3 << 20)).collect();
    for made in &coming {
        store_and_hang_up(&address, made);
    }
    until("they wait", || tiers.s3.stalled() > 0);
    let more = taken().unwrap().saturating_sub(before) / 1024;
    println!("{more} MiB more for {FILES} files of 3 MiB");
    assert!(more < 4 * COUNTED_MIB, "{more} MiB for files that nobody waits for");
    tiers.s3.stall(false);
    until("it is stored", || server.store(&[&coming[0].bytes()]).unwrap().status() == 200);
}

/// An archive that was restored gave numbers again that the bucket had later packs of.
/// What it acknowledged was lost with its disk among what these had, and they were lost too.
#[test]
fn a_bucket_that_is_ahead_of_a_restored_archive() {
    let tiers = Tiers::new();
    let at = |name: &str| tiers.folder.path().join(name);
    // One pack after the other.
    let try_start = |disk: &str, bucket: &str| {
        Process::try_with(&at(disk), |command| {
            let command = tiers.with(command).env("HILUM_TIER_ACKNOWLEDGE", "bucket");
            command.env("HILUM_TIER_BUCKET", bucket).env("HILUM_STORE_STREAMS_MAX", "1")
        })
    };
    let server = try_start("one", "s3://bucket/hilum").unwrap();
    let before = made(1, 60);
    super::store(&server, &before);
    let place = at("backup").to_str().unwrap().to_owned();
    let (well, said) = tiers.run("backup", &at("one"), &[&place]);
    assert!(well, "{said}");
    let after = made(2, 200);
    super::store(&server, &after);
    drop(server);
    let (well, said) = tiers.run("restore", &at("two"), &[&place]);
    assert!(well, "{said}");
    let said = try_start("two", "s3://bucket/hilum").err().expect("it does not start").join("\n");
    assert!(said.contains("another bucket or prefix"), "{said}");

    // With one it is an archive of its own, and the bucket has what it had.
    let server = try_start("two", "s3://bucket/other").unwrap();
    all_is_there(&server, &before);
    super::store(&server, &made(3, 10));
    drop(server);
    let server = try_start("three", "s3://bucket/hilum").unwrap();
    all_is_there(&server, &before);
    all_is_there(&server, &after);
}

/// A folder was copied to where files are not read-only. Its closed packs were open
/// ones there, and a bucket that has them as closed was taken for one that is ahead:
/// the server did not start. With notes of what the bucket has it did, and went on
/// writing to packs whose ends the bucket would never have.
#[test]
fn closed_packs_that_lost_their_mode() {
    let tiers = Tiers::new();
    let data = tiers.folder.path().join("one");
    let mut all = made(1, 300);
    let mut server = start(&tiers, "one");
    super::store(&server, &all);
    until("closed packs are copied", || tiers.moved() > 0);
    let copied = tiers.moved();
    for (round, notes) in [true, false].into_iter().enumerate() {
        assert!(server.stop().success());
        for file in std::fs::read_dir(data.join("packs/0000")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "tar") {
                let writable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
                std::fs::set_permissions(&path, writable).unwrap();
            } else if !notes {
                std::fs::remove_file(&path).unwrap();
            }
        }
        assert_eq!(super::closed(&data), 0);
        server = start(&tiers, "one");
        assert!(super::closed(&data) >= copied);
        all_is_there(&server, &all);
        let more = made(10 + round as u64, 10);
        super::store(&server, &more);
        all.extend(more);
    }
    drop(server);
    all_is_there(&start(&tiers, "two"), &all);
}
