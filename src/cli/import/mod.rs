//! `hilum import`: files from folders, zip files and media into an archive,
//! through a server or straight into its folder. What an archive does with a
//! batch of files is a function handed in; here is everything around it:
//! finding files, telling DICOM from the rest, reading with several cores,
//! counting, reporting, and going on after an interruption.
//!
//! Every file found ends in exactly one of the numbers of [`Report`]. Memory is
//! bounded: threads times [`BATCH_BYTES_MAX`]; larger files are handed over as
//! open files.

mod candidate;
mod find;
mod journal;
mod progress;
mod server;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use candidate::{Candidate, Content};
pub use server::{Server, ServerError};

use candidate::{Found, Kind};
use find::Job;
use journal::Journal;
use progress::Progress;

/// A batch is handed over when it has this many bytes, or files.
pub const BATCH_BYTES_MAX: u64 = 8 << 20;
const BATCH_FILES_MAX: usize = 200;

/// Jobs found but not yet read.
const JOBS_MAX: usize = 4096;

/// Failures kept in full; more are only counted.
const FAILURES_KEPT_MAX: usize = 10_000;

/// What to import, and how much at once.
#[derive(Debug, Clone)]
pub struct Settings {
    pub paths: Vec<PathBuf>,
    /// Files read, or batches sent, at the same time.
    pub threads: usize,
    /// A larger file is handed over as an open file, not as bytes.
    pub small_bytes_max: u64,
    /// The largest file, also when it comes out of a zip file.
    pub file_bytes_max: u64,
    /// Where an interrupted import notes what it has done. The file is there
    /// only while an import is unfinished.
    pub journal: Option<PathBuf>,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// The archive had the same bytes before.
    AlreadyThere,
    /// The archive has it, and does not say since when.
    There,
    /// It only looked like DICOM.
    NotDicom,
    /// Why it was not stored, without any value of the file except UIDs.
    Failed(String),
}

/// Does with a batch what the archive does: as many outcomes as candidates, in
/// their order.
pub type Store<'a> = dyn Fn(Vec<Candidate>) -> Vec<Outcome> + Sync + 'a;

/// Which of these SOP Instance UIDs the archive has.
pub type There<'a> = dyn Fn(&[&str]) -> HashSet<String> + 'a;

/// What became of all files.
#[derive(Debug, Default)]
pub struct Report {
    pub stored: u64,
    pub already_there: u64,
    /// In the archive, since now or before: the server tells nobody who may not search.
    pub there: u64,
    /// Done by the interrupted import that this one continues.
    pub done_before: u64,
    pub not_dicom: u64,
    /// DICOMDIR files: the files they list are imported, they are not.
    pub directories: u64,
    pub failed: u64,
    /// What failed and why, the first of them.
    pub failures: Vec<(String, String)>,
    pub bytes: u64,
    pub elapsed: Duration,
}

impl Report {
    /// Whether every DICOM file that was found is in the archive.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }

    fn count(&mut self, name: &str, bytes: u64, outcome: Outcome) {
        self.bytes += bytes;
        match outcome {
            Outcome::Stored => self.stored += 1,
            Outcome::AlreadyThere => self.already_there += 1,
            Outcome::There => self.there += 1,
            Outcome::NotDicom => self.not_dicom += 1,
            Outcome::Failed(why) => {
                self.failed += 1;
                if self.failures.len() < FAILURES_KEPT_MAX {
                    self.failures.push((name.to_owned(), why));
                }
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, why) in &self.failures {
            writeln!(f, "FAILED {name}: {why}")?;
        }
        let kept = self.failures.len() as u64;
        if self.failed > kept {
            writeln!(f, "FAILED ... and {} more", self.failed - kept)?;
        }
        for (count, what) in [
            (self.stored, "stored"),
            (self.already_there, "already there"),
            (self.there, "stored, or already there: the server does not tell"),
            (self.done_before, "done before the interruption"),
            (self.failed, "failed"),
            (self.not_dicom, "skipped: not DICOM"),
            (self.directories, "skipped: DICOMDIR, the list of a medium"),
        ] {
            if count > 0 || what == "stored" || what == "failed" {
                writeln!(f, "{count:>10}  {what}")?;
            }
        }
        let seconds = self.elapsed.as_secs_f64();
        let mebibytes = self.bytes as f64 / f64::from(1 << 20);
        write!(f, "{mebibytes:.1} MiB in {seconds:.1} s, {:.1} MiB/s", mebibytes / seconds.max(0.001))
    }
}

/// Imports everything at and below `settings.paths`. A file that fails is in the
/// report, and the others go on. What an interrupted import has noted is believed
/// as far as the archive has it, if `there` tells; what cannot be noted is told,
/// and hinders nothing.
#[must_use]
pub fn run(settings: &Settings, store: &Store<'_>, there: Option<&There<'_>>) -> Report {
    let started = Instant::now();
    let journal = settings.journal.as_deref().and_then(|path| match Journal::open(path, there) {
        Ok(journal) => Some(journal),
        Err(error) => {
            unnoted(&error);
            None
        }
    });
    let (sender, receiver) = sync_channel(JOBS_MAX);
    let shared = Shared {
        settings,
        store,
        jobs: Mutex::new(receiver),
        report: Mutex::new(Report::default()),
        journal: journal.map(Mutex::new),
        progress: Progress::start(),
    };
    std::thread::scope(|scope| {
        let shared = &shared;
        scope.spawn(move || {
            // Ends with the last sender, and so ends the workers.
            find::all(&settings.paths, settings.threads, &mut |job| {
                shared.progress.found(job.files(), job.bytes());
                sender.send(job).is_ok()
            });
            shared.progress.all_found();
        });
        for _ in 0..settings.threads.max(1) {
            scope.spawn(|| shared.work());
        }
    });
    shared.progress.finish();
    let mut report = shared.report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.elapsed = started.elapsed();
    let journal = shared.journal.map(|journal| journal.into_inner().unwrap_or_else(PoisonError::into_inner));
    if let Some(Err(error)) = journal.map(Journal::finish) {
        unnoted(&error);
    }
    report
}

fn unnoted(error: &std::io::Error) {
    eprintln!("hilum: cannot note what is done, and would begin anew after an interruption: {error}");
}

struct Shared<'a> {
    settings: &'a Settings,
    store: &'a Store<'a>,
    jobs: Mutex<Receiver<Job>>,
    report: Mutex<Report>,
    journal: Option<Mutex<Journal>>,
    progress: Progress,
}

impl Shared<'_> {
    /// One worker: reads jobs into a batch, hands the batch over when it is full.
    fn work(&self) {
        let mut batch = Batch::default();
        loop {
            let job = lock(&self.jobs).recv();
            let Ok(job) = job else { break };
            candidate::read(job, self.settings, &mut |found| self.take(found, &mut batch));
        }
        self.hand_over(&mut batch);
    }

    fn take(&self, found: Found, batch: &mut Batch) {
        let Found { name, key, bytes, kind } = found;
        // A lock each: a file that is done must not wait for one that is sent.
        match kind {
            Kind::Dicom { open, sop_instance } => {
                if self.journal.as_ref().is_some_and(|journal| lock(journal).has(&key)) {
                    lock(&self.report).done_before += 1;
                    self.progress.done(1, bytes);
                    return;
                }
                match open() {
                    Ok(content) => {
                        if bytes > self.settings.small_bytes_max {
                            // It is long under way: the small ones before it need not wait.
                            self.hand_over(batch);
                        }
                        batch.names.push((name, key, sop_instance.clone()));
                        batch.bytes += bytes;
                        batch.candidates.push(Candidate { content, sop_instance });
                    }
                    Err(why) => self.count(&name, bytes, Outcome::Failed(why)),
                }
                if batch.bytes >= BATCH_BYTES_MAX || batch.candidates.len() >= BATCH_FILES_MAX {
                    self.hand_over(batch);
                }
            }
            Kind::Directory => {
                lock(&self.report).directories += 1;
                self.progress.done(1, bytes);
            }
            Kind::NotDicom => self.count(&name, bytes, Outcome::NotDicom),
            Kind::Unreadable(why) => self.count(&name, bytes, Outcome::Failed(why)),
        }
    }

    fn hand_over(&self, batch: &mut Batch) {
        let Batch { candidates, names, bytes: _ } = std::mem::take(batch);
        if candidates.is_empty() {
            return;
        }
        let lengths: Vec<u64> = candidates.iter().map(|candidate| candidate.content.len()).collect();
        let mut outcomes = (self.store)(candidates);
        outcomes.resize(names.len(), Outcome::Failed("the archive gave no answer".to_owned()));
        let mut done = Vec::with_capacity(names.len());
        for (((name, key, uid), bytes), outcome) in names.into_iter().zip(lengths).zip(outcomes) {
            match &outcome {
                Outcome::Stored | Outcome::AlreadyThere | Outcome::There => done.push((key, uid)),
                Outcome::NotDicom | Outcome::Failed(_) => {}
            }
            self.count(&name, bytes, outcome);
        }
        if let Some(journal) = &self.journal
            && let Err(error) = lock(journal).add(&done)
        {
            unnoted(&error);
        }
    }

    fn count(&self, name: &str, bytes: u64, outcome: Outcome) {
        self.progress.done(1, bytes);
        lock(&self.report).count(name, bytes, outcome);
    }
}

#[derive(Default)]
struct Batch {
    candidates: Vec<Candidate>,
    names: Vec<(String, journal::Key, Option<String>)>,
    bytes: u64,
}

/// A worker that panicked has lost its own batch, not the others' numbers.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
