//! Losses of power: the process ends at a chosen call or at any time, and the
//! disk under it drops and tears what was not flushed.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    disk::{self, Disk},
    seed, times,
};
use crate::{
    crash::{Worker, check, whole_to_the_end},
    process::{Dice, Process, encrypt, hilum},
};

const WORKERS: u64 = 4;
const CUTS_PER_ARCHIVE: u64 = 10;

struct Cut<'a> {
    folder: &'a Path,
    dice: &'a mut Dice,
    lies: bool,
}

impl Cut<'_> {
    /// What the disk under the next process is told.
    fn settings(&mut self, calls_max: u64) -> Vec<(&'static str, String)> {
        let log = self.folder.join("log");
        let _ = fs::remove_file(&log);
        let how = ["before", "half", "after"][self.dice.below(3) as usize];
        let mut settings = vec![
            ("DISK_LOG", log.display().to_string()),
            ("DISK_KILL", (1 + self.dice.below(calls_max)).to_string()),
            ("DISK_HOW", how.to_owned()),
        ];
        if self.lies {
            settings.push(("DISK_LIES", "/packs/0".to_owned()));
        }
        settings
    }

    /// Works until the power goes; changes that were not flushed then.
    fn work(&mut self, workers: &mut [Worker]) -> usize {
        let data = self.folder.join("data");
        fs::create_dir_all(&data).unwrap();
        let mut disk = Disk::of(&data);
        let calls_max = [100, 600, 3000][self.dice.below(3) as usize];
        let settings = self.settings(calls_max);
        if let Ok(mut server) = Process::try_with(&data, |command| disk::under(command, &data, &settings)) {
            let stop = AtomicBool::new(false);
            let for_ms = 300 + self.dice.below(2500);
            std::thread::scope(|scope| {
                for worker in workers {
                    let (server, stop) = (&server, &stop);
                    scope.spawn(move || worker.work(server, stop));
                }
                std::thread::sleep(Duration::from_millis(for_ms));
                let _ = Command::new("kill").args(["-KILL", &server.id().to_string()]).status();
                stop.store(true, Ordering::Relaxed);
            });
            server.kill();
        }
        self.cut(&mut disk)
    }

    fn cut(&mut self, disk: &mut Disk) -> usize {
        let mut disk = std::mem::take(disk);
        disk.follow(&self.folder.join("log"));
        let unflushed = disk.unflushed();
        disk.cut(self.dice);
        unflushed
    }

    /// Starts, and is cut off from power while it recovers.
    fn recover(&mut self) {
        let data = self.folder.join("data");
        let mut disk = Disk::of(&data);
        let settings = self.settings(40);
        let mut command = hilum("serve", &data);
        command.args(["--listen", "127.0.0.1:0"]);
        disk::under(&mut command, &data, &settings);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_millis(100 + self.dice.below(900));
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        child.wait().unwrap();
        self.cut(&mut disk);
    }
}

fn workers(seed: u64) -> Vec<Worker> {
    (0..WORKERS).map(|number| Worker::new(number + 1, seed)).collect()
}

#[test]
fn losses_of_power() {
    if disk::library().is_none() {
        return;
    }
    let cuts = times("TEST_POWER_CUTS", 3);
    let seed = seed();
    let mut dice = Dice::new(seed);
    let (mut unflushed, mut recovering, mut acknowledged) = (0, 0, 0);
    let mut archive = TempDir::new().unwrap();
    let mut at_work = Vec::new();
    for number in 0..cuts {
        if number % CUTS_PER_ARCHIVE == 0 {
            archive = TempDir::new().unwrap();
            if dice.chance(50) {
                encrypt(&archive.path().join("data"));
                println!("encrypted");
            }
            at_work = workers(seed + number);
        }
        let mut cut = Cut { folder: archive.path(), dice: &mut dice, lies: false };
        unflushed += cut.work(&mut at_work);
        while cut.dice.chance(30) {
            recovering += 1;
            cut.recover();
        }
        let data = archive.path().join("data");
        println!("cut {number}");
        let server = Process::start(&data);
        let is_last = number % CUTS_PER_ARCHIVE == CUTS_PER_ARCHIVE - 1 || number + 1 == cuts;
        let listed = check(&server, &at_work, true, &mut dice);
        for worker in &mut at_work {
            worker.settle(&listed);
        }
        drop(server);
        if is_last {
            acknowledged += at_work.iter().map(|worker| worker.stores + worker.deletes).sum::<u64>();
            whole_to_the_end(&data, &at_work, &mut dice);
        }
    }
    println!(
        "{cuts} losses of power, {recovering} more while recovering, {unflushed} changes not flushed then; \
         {acknowledged} stores and deletions acknowledged: none lost, torn or invented"
    );
}

/// The tool sees a server that does not flush its packs: on a disk that says it
/// did and did not, what was acknowledged is lost.
#[test]
fn a_disk_that_lies_is_found_out() {
    if disk::library().is_none() {
        return;
    }
    let seed = seed();
    let mut dice = Dice::new(seed);
    let found = (0..8).find(|round| {
        let archive = TempDir::new().unwrap();
        let mut at_work = workers(seed + round);
        let mut cut = Cut { folder: archive.path(), dice: &mut dice, lies: true };
        cut.work(&mut at_work);
        let data = archive.path().join("data");
        let mut dice = Dice::new(seed);
        let looked =
            catch_unwind(AssertUnwindSafe(|| check(&Process::start(&data), &at_work, true, &mut dice)));
        looked.is_err()
    });
    assert!(found.is_some(), "no loss was seen in eight losses of power without a flush");
}
