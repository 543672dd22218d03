//! The one writer of the audit log: a thread that takes records from a bounded
//! queue, appends them, and answers when they are with the system (or, with
//! `flush` none, on the disk). Requests wait for that answer before theirs goes
//! out.
//!
//! Invariant: times rise along the log, whatever the clock does.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::oneshot;

use super::{
    event::{Action, Actor, Event, Outcome, Record},
    gathering::{Access, Gathering, record_of},
    trail::Subject,
    xml::Source,
};
use crate::storage::audit::{AuditError, Folder, Head, Log, Options, Recovered};

/// Time between two looks at what is due.
const TICK: Duration = Duration::from_millis(250);
/// Records written with one call to the system.
const BATCH_MAX: usize = 512;
const RETENTION_EVERY: Duration = Duration::from_secs(60 * 60);
/// The object of the record that explains why the log begins later.
const RETENTION: &str = "audit-retention";

/// How the log is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether an action that cannot be recorded is refused.
    pub required: bool,
    /// How often what was written is flushed; none: before each answer.
    pub flush: Option<Duration>,
    /// Requests for the same study within it are put together.
    pub aggregate: Duration,
    pub queue_max: usize,
    pub segment_bytes_max: u64,
    /// Days after which segments are removed; 0: never.
    pub keep_days: u64,
    pub source: Source,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    #[error("{0}")]
    Log(Arc<AuditError>),
    #[error("too many audit records wait to be written")]
    Busy,
    #[error("the audit log is closed")]
    Closed,
    #[error("the thread of the audit log cannot be started: {0}")]
    Thread(Arc<std::io::Error>),
}

impl From<AuditError> for JournalError {
    fn from(error: AuditError) -> Self {
        Self::Log(Arc::new(error))
    }
}

type Answer = oneshot::Sender<Result<(), JournalError>>;

enum Job {
    Write(Vec<Record>, Answer),
    Close,
}

/// The audit log of a running process.
pub struct Journal {
    sender: SyncSender<Job>,
    gathering: Arc<Mutex<Gathering>>,
    failed: Arc<AtomicBool>,
    folder: Folder,
    settings: Settings,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the log for writing and records that this process has begun.
    ///
    /// # Errors
    /// When another process writes it, or it cannot be written.
    pub fn open(folder: Folder, settings: Settings, actor: Actor) -> Result<Arc<Self>, JournalError> {
        let options = Options { segment_bytes_max: settings.segment_bytes_max };
        let (log, recovered) = Log::open(folder.clone(), options)?;
        let (sender, receiver) = sync_channel(settings.queue_max.max(1));
        let gathering = Arc::new(Mutex::new(Gathering::default()));
        let failed = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            log,
            gathering: Arc::clone(&gathering),
            failed: Arc::clone(&failed),
            settings: settings.clone(),
            latest: OffsetDateTime::UNIX_EPOCH,
            flushed: Instant::now(),
            tidied: None,
        };
        let mut first = vec![Record::new(Event::Start, Action::Execute, Outcome::Success, actor)];
        first.extend(alarm(&recovered));
        writer.write(first)?;
        writer.log.flush()?;
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|error| JournalError::Thread(Arc::new(error)))?;
        Ok(Arc::new(Self { sender, gathering, failed, folder, settings, thread: Mutex::new(Some(thread)) }))
    }

    /// Leaves one record, whether or not another process writes the log.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(folder: &Folder, settings: &Settings, record: &Record) -> Result<(), JournalError> {
        let options = Options { segment_bytes_max: settings.segment_bytes_max };
        match Log::open(folder.clone(), options) {
            Ok((mut log, recovered)) => {
                let lines: Vec<Vec<u8>> = std::iter::once(record.clone())
                    .chain(alarm(&recovered))
                    .filter_map(|record| serde_json::to_vec(&record).ok())
                    .collect();
                log.append(lines.iter().map(Vec::as_slice))?;
                Ok(log.flush()?)
            }
            Err(AuditError::Locked(_)) => {
                Ok(folder.leave_note(&serde_json::to_vec(record).unwrap_or_default())?)
            }
            Err(error) => Err(error.into()),
        }
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the log is, for those who read it.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Waits until records are written.
    ///
    /// # Errors
    /// When they could not be, and must be.
    pub async fn write(&self, records: Vec<Record>) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        let written = match self.submit(records) {
            Ok(answer) => answer.await.unwrap_or(Err(JournalError::Closed)),
            Err(error) => Err(error),
        };
        self.settle(written)
    }

    /// The same for a thread that may block.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn write_and_wait(&self, records: Vec<Record>) -> Result<(), JournalError> {
        let written = match self.submit(records) {
            Ok(answer) => answer.blocking_recv().unwrap_or(Err(JournalError::Closed)),
            Err(error) => Err(error),
        };
        self.settle(written)
    }

    fn submit(
        &self,
        records: Vec<Record>,
    ) -> Result<oneshot::Receiver<Result<(), JournalError>>, JournalError> {
        let (answer, receiver) = oneshot::channel();
        match self.sender.try_send(Job::Write(records, answer)) {
            Ok(()) => Ok(receiver),
            Err(TrySendError::Full(_)) => Err(JournalError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(JournalError::Closed),
        }
    }

    fn settle(&self, written: Result<(), JournalError>) -> Result<(), JournalError> {
        if written.is_err() {
            metrics::counter!("hilum_audit_failures_total").increment(1);
        }
        if self.settings.required { written } else { Ok(()) }
    }

    /// Whether records can be written: after a failure, tries.
    ///
    /// # Errors
    /// When nothing can be recorded, and must be.
    pub async fn ready(&self) -> Result<(), JournalError> {
        if !self.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let again = Record::new(Event::RecordingStarted, Action::Execute, Outcome::Success, own());
        self.write(vec![again.because("the log could not be written for a while")]).await
    }

    /// Takes an access to those it belongs to; gives it back if it must be
    /// recorded.
    pub fn join<'a>(&self, access: Access<'a>) -> Option<Access<'a>> {
        self.gathering().join(access)
    }

    /// The record of the first access; others that follow belong to it once
    /// [`Journal::open_access`] is called.
    #[must_use]
    pub fn record_of(access: &Access<'_>, subject: Option<Subject>) -> Record {
        record_of(access, subject)
    }

    /// The record of this access is written.
    pub fn open_access(&self, access: &Access<'_>, subject: Option<Subject>) {
        self.gathering().open(access, subject, self.settings.aggregate);
    }

    fn gathering(&self) -> std::sync::MutexGuard<'_, Gathering> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is still open, and that this process ends.
    pub fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A full queue is worked off; nothing is lost by waiting for it.
            let _ = self.sender.send(Job::Close);
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// The archive itself, where nobody asked for anything.
#[must_use]
pub fn own() -> Actor {
    Actor { id: "hilum".to_owned(), method: Some("system".to_owned()), ..Actor::default() }
}

/// What is wrong with the log that was opened.
fn alarm(recovered: &Recovered) -> Option<Record> {
    let what = if let Some((first, last)) = recovered.lost {
        format!("lines {first} to {last} of the audit log are missing or were changed")
    } else if recovered.anchor_missing {
        "the anchor of the audit log is missing".to_owned()
    } else if recovered.cut_bytes > 0 {
        format!("{} bytes at the end of the audit log were torn and are set aside", recovered.cut_bytes)
    } else {
        return None;
    };
    tracing::error!(what, "the audit log");
    let is_crash = recovered.lost.is_none() && !recovered.anchor_missing;
    let outcome = if is_crash { Outcome::MinorFailure } else { Outcome::SeriousFailure };
    Some(Record::new(Event::Alert, Action::Execute, outcome, own()).because(what))
}

/// Whether a line explains that the log begins at `head`.
#[must_use]
pub fn explains(json: &[u8], head: &Head) -> bool {
    memchr::memmem::find(json, RETENTION.as_bytes()).is_some()
        && serde_json::from_slice::<Record>(json)
            .ok()
            .and_then(|record| record.object)
            .is_some_and(|object| object.kind == RETENTION && object.id == head.to_string())
}

/// What the thread works with.
struct Writer {
    log: Log,
    gathering: Arc<Mutex<Gathering>>,
    failed: Arc<AtomicBool>,
    settings: Settings,
    latest: OffsetDateTime,
    flushed: Instant,
    tidied: Option<Instant>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Job>) {
        let mut ticked = Instant::now();
        loop {
            let mut is_over = false;
            let mut records = Vec::new();
            let mut answers = Vec::new();
            let mut next = receiver.recv_timeout(TICK);
            loop {
                match next {
                    Ok(Job::Write(more, answer)) => {
                        records.extend(more);
                        answers.push(answer);
                    }
                    Ok(Job::Close) | Err(RecvTimeoutError::Disconnected) => {
                        is_over = true;
                        break;
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                }
                if records.len() >= BATCH_MAX {
                    break;
                }
                next = receiver.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            }
            if !records.is_empty() {
                let written = self.write(records);
                for answer in answers {
                    let _ = answer.send(written.clone());
                }
            }
            if is_over {
                self.end();
                return;
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.tick();
            }
        }
    }

    /// Appends records; flushed too, if each must be.
    fn write(&mut self, records: Vec<Record>) -> Result<(), JournalError> {
        let mut lines = Vec::with_capacity(records.len());
        for mut record in records {
            self.latest = self.latest.max(OffsetDateTime::now_utc());
            record.at = self.latest;
            lines.push(serde_json::to_vec(&record).unwrap_or_default());
        }
        let count = lines.len() as u64;
        let mut written = self.log.append(lines.iter().map(Vec::as_slice));
        if written.is_ok() && self.settings.flush.is_none() {
            written = self.log.flush();
        }
        let was_failed = self.failed.swap(written.is_err(), Ordering::Relaxed);
        match &written {
            Ok(()) => metrics::counter!("hilum_audit_records_total").increment(count),
            Err(error) if !was_failed => tracing::error!(%error, "the audit log cannot be written"),
            Err(_) => {}
        }
        Ok(written?)
    }

    fn tick(&mut self) {
        let due = self.gathering.lock().unwrap_or_else(PoisonError::into_inner).due(false);
        if !due.is_empty() {
            let _ = self.write(due);
        }
        let latest = self.latest.max(OffsetDateTime::now_utc());
        let renewed = |note: &[u8]| {
            let mut record: Record = serde_json::from_slice(note).ok()?;
            record.since.get_or_insert(record.at);
            record.at = latest;
            serde_json::to_vec(&record).ok()
        };
        let noted = self.log.take_notes(renewed);
        self.latest = latest;
        let is_due = self.settings.flush.is_none_or(|every| self.flushed.elapsed() >= every);
        let flushed = if is_due { self.log.flush() } else { Ok(()) };
        if is_due {
            self.flushed = Instant::now();
        }
        let tidied = self.tidy();
        for result in [noted.map(drop), flushed, tidied] {
            if let Err(error) = result
                && !self.failed.swap(true, Ordering::Relaxed)
            {
                tracing::error!(%error, "the audit log");
            }
        }
        metrics::gauge!("hilum_audit_failed").set(if self.failed.load(Ordering::Relaxed) {
            1.0
        } else {
            0.0
        });
    }

    /// Removes what has been kept long enough; the record of it comes first.
    fn tidy(&mut self) -> Result<(), AuditError> {
        let days = i64::try_from(self.settings.keep_days).unwrap_or(i64::MAX);
        if days == 0 || self.tidied.is_some_and(|tidied| tidied.elapsed() < RETENTION_EVERY) {
            return Ok(());
        }
        self.tidied = Some(Instant::now());
        let Some(limit) = OffsetDateTime::now_utc().checked_sub(time::Duration::days(days.min(1_000_000)))
        else {
            return Ok(());
        };
        let limit = limit.format(&Rfc3339).unwrap_or_default();
        let Some((segments, head)) = self.log.older_than(limit.get(..19).unwrap_or_default())? else {
            return Ok(());
        };
        let removal = Record::new(Event::RestrictedFunction, Action::Delete, Outcome::Success, own())
            .about(RETENTION, head.to_string())
            .because(format!("audit.keep_days = {days}: {} segments removed", segments.len()));
        if self.write(vec![removal]).is_ok() {
            self.log.flush()?;
            self.log.remove(&segments)?;
        }
        Ok(())
    }

    fn end(&mut self) {
        let mut last = self.gathering.lock().unwrap_or_else(PoisonError::into_inner).due(true);
        last.push(Record::new(Event::Stop, Action::Execute, Outcome::Success, own()));
        let _ = self.write(last);
        if let Err(error) = self.log.flush() {
            tracing::error!(%error, "the end of the audit log is not flushed");
        }
        tracing::info!(head = %self.log.head(), "the audit log is closed");
    }
}

/// The folder of the log of an archive.
#[must_use]
pub fn folder_of(data: &Path, key_file: Option<&Path>) -> Folder {
    Folder::new(&data.join("audit"), key_file)
}
