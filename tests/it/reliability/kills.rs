//! `kill -9` at a chosen call that changes the archive: before it, in the middle
//! of a write, or after it; while work is done, and while a start recovers.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{disk, seed, times};
use crate::{
    crash::{Known, Worker, check, whole_to_the_end},
    process::{Dice, Process, encrypt, hilum},
};

const WORKERS: u64 = 4;
/// After so many kills a new archive is begun.
const KILLS_PER_ARCHIVE: u64 = 25;

/// Kills one start and what follows it at call `at`; whether it came to that.
fn killed_at_work(process: Option<Process>, workers: &mut [Worker]) -> bool {
    let Some(mut server) = process else { return true };
    let stop = AtomicBool::new(false);
    let mut reached = false;
    std::thread::scope(|scope| {
        for worker in workers.iter_mut() {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || worker.work(server, stop));
        }
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until && !reached {
            std::thread::sleep(Duration::from_millis(10));
            // A process that was killed waits to be waited for.
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap_or_default();
            reached = stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z'));
        }
        if !reached {
            let killed = Command::new("kill").args(["-KILL", &server.id().to_string()]).status();
            assert!(killed.unwrap().success());
        }
        stop.store(true, Ordering::Relaxed);
    });
    server.kill();
    reached
}

fn settings(dice: &mut Dice, calls_max: u64) -> [(&'static str, String); 2] {
    let how = ["before", "half", "after"][dice.below(3) as usize];
    [("DISK_KILL", (1 + dice.below(calls_max)).to_string()), ("DISK_HOW", how.to_owned())]
}

#[test]
fn kills_at_any_call() {
    if disk::library().is_none() {
        return;
    }
    let kills = times("TEST_CALL_KILLS", 4);
    let seed = seed();
    let mut dice = Dice::new(seed);
    let (mut at_work, mut at_random, mut recovering, mut acknowledged) = (0, 0, 0, 0);
    let mut archive = TempDir::new().unwrap();
    let mut workers = Vec::new();
    for kill in 0..kills {
        if kill % KILLS_PER_ARCHIVE == 0 {
            archive = TempDir::new().unwrap();
            if dice.chance(50) {
                encrypt(&archive.path().join("data"));
                println!("encrypted");
            }
            workers = (0..WORKERS).map(|number| Worker::new(number + 1, seed + kill)).collect::<Vec<_>>();
        }
        let data = archive.path().join("data");
        // A start has few calls, work has many.
        let calls_max = [60, 300, 1500][dice.below(3) as usize];
        let chosen = settings(&mut dice, calls_max);
        println!("kill {kill}: {chosen:?}");
        let process = Process::try_with(&data, |command| disk::under(command, &data, &chosen)).ok();
        let reached = killed_at_work(process, &mut workers);
        (at_work, at_random) = (at_work + u64::from(reached), at_random + u64::from(!reached));
        while dice.chance(50) {
            let chosen = settings(&mut dice, 40);
            let mut command = hilum(if dice.chance(20) { "rebuild" } else { "serve" }, &data);
            if command.get_args().any(|argument| argument == "serve") {
                command.args(["--listen", "127.0.0.1:0"]);
            }
            disk::under(&mut command, &data, &chosen);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let until = Instant::now() + Duration::from_secs(2);
            while Instant::now() < until && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            recovering += u64::from(child.try_wait().unwrap().is_some());
            let _ = child.kill();
            child.wait().unwrap();
        }
        let server = Process::start(&data);
        let is_last = kill % KILLS_PER_ARCHIVE == KILLS_PER_ARCHIVE - 1 || kill + 1 == kills;
        let listed = check(&server, &workers, is_last, &mut dice);
        for worker in &mut workers {
            worker.settle(&listed);
        }
        drop(server);
        if is_last {
            acknowledged += workers.iter().map(|worker| worker.stores + worker.deletes).sum::<u64>();
            let there =
                |worker: &Worker| worker.ledger.values().filter(|known| **known == Known::There).count();
            println!("{} kills, {} instances there", kill + 1, workers.iter().map(there).sum::<usize>());
            whole_to_the_end(&data, &workers, &mut dice);
        }
    }
    println!(
        "{at_work} kills at a chosen call, {at_random} at a random time, {recovering} while recovering or rebuilding; \
         {acknowledged} stores and deletions acknowledged: none lost, torn or invented"
    );
}
