//! The audit log of a running process, for those who record: a bounded queue to
//! the one thread that writes ([`super::writer`]), whose answer they wait for
//! before theirs goes out.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::{
    event::{Action, Actor, Event, Outcome, Record},
    gathering::{Access, Gathering, record_of},
    sender::{self, Sender},
    trail::Subject,
    writer::{Writer, take_notes},
    xml::Source,
};
use crate::storage::audit::{AuditError, Folder, Head, Log, Options, Recovered};

/// The object of the record that explains why the log begins later.
pub(super) const RETENTION: &str = "audit-retention";

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
    /// Where records are sent, if anywhere.
    pub receiver: Option<sender::Receiver>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    #[error("{0}")]
    Log(Arc<AuditError>),
    #[error("too many audit records wait to be written")]
    Busy,
    #[error("what kept the audit log from being written is still so")]
    Failing,
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

/// What the writer is asked to do.
pub(super) enum Job {
    Write(Vec<Record>, Answer),
    /// To try whether the log can be written again.
    Try(Answer),
    Close,
}

/// What the threads of a log share.
#[derive(Clone)]
pub(super) struct Shared {
    pub gathering: Arc<Mutex<Gathering>>,
    /// Nothing can be written, or nothing more.
    pub failed: Arc<AtomicBool>,
    /// The last line that is on the disk.
    pub flushed: Arc<AtomicU64>,
    /// The last line that is sent on; the highest number where none is.
    pub sent: Arc<AtomicU64>,
}

/// The audit log of a running process.
pub struct Journal {
    jobs: SyncSender<Job>,
    shared: Shared,
    folder: Folder,
    settings: Settings,
    thread: Mutex<Option<JoinHandle<()>>>,
    sender: Mutex<Option<Sender>>,
}

impl Journal {
    /// Opens the log for writing and records that this process has begun: `start`,
    /// and the same for its end.
    ///
    /// # Errors
    /// When another process writes it, or it cannot be written.
    pub fn open(folder: Folder, settings: Settings, start: Record) -> Result<Arc<Self>, JournalError> {
        let options = Options { segment_bytes_max: settings.segment_bytes_max };
        let (log, recovered) = Log::open(folder.clone(), options)?;
        let (jobs, receiver) = sync_channel(settings.queue_max.max(1));
        let shared = Shared {
            gathering: Arc::default(),
            failed: Arc::default(),
            flushed: Arc::default(),
            sent: Arc::new(AtomicU64::new(u64::MAX)),
        };
        let mut writer = Writer::new(log, shared.clone(), settings.clone(), start.clone());
        let mut first = vec![start];
        first.extend(alarm(&recovered));
        writer.write(first)?;
        writer.flush()?;
        let failed = |error| JournalError::Thread(Arc::new(error));
        let sender = settings.receiver.as_ref().map(|receiver| {
            Sender::start(receiver.clone(), settings.source.clone(), folder.clone(), shared.clone())
        });
        let sender = sender.transpose().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(failed)?;
        let (thread, sender) = (Mutex::new(Some(thread)), Mutex::new(sender));
        Ok(Arc::new(Self { jobs, shared, folder, settings, thread, sender }))
    }

    /// Leaves records, whether or not another process writes the log.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn note(folder: &Folder, settings: &Settings, records: &[Record]) -> Result<(), JournalError> {
        let options = Options { segment_bytes_max: settings.segment_bytes_max };
        match Log::open(folder.clone(), options) {
            Ok((mut log, recovered)) => {
                take_notes(&mut log, OffsetDateTime::now_utc())?;
                let at = OffsetDateTime::now_utc();
                let lines: Vec<Vec<u8>> = alarm(&recovered)
                    .iter()
                    .chain(records)
                    .filter_map(|record| serde_json::to_vec(&Record { at, ..record.clone() }).ok())
                    .collect();
                log.append(lines.iter().map(Vec::as_slice))?;
                Ok(log.flush()?)
            }
            Err(AuditError::Locked(_)) => {
                for record in records {
                    folder.leave_note(&serde_json::to_vec(record).unwrap_or_default())?;
                }
                Ok(())
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
        let written = match self.submit(|answer| Job::Write(records, answer)) {
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
        let written = match self.submit(|answer| Job::Write(records, answer)) {
            Ok(answer) => answer.blocking_recv().unwrap_or(Err(JournalError::Closed)),
            Err(error) => Err(error),
        };
        self.settle(written)
    }

    fn submit(
        &self,
        job: impl FnOnce(Answer) -> Job,
    ) -> Result<oneshot::Receiver<Result<(), JournalError>>, JournalError> {
        let (answer, receiver) = oneshot::channel();
        match self.jobs.try_send(job(answer)) {
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

    /// Whether records can be written: after a failure, or when the disk has no
    /// room for more, tries.
    ///
    /// # Errors
    /// When nothing can be recorded, and must be.
    pub async fn ready(&self) -> Result<(), JournalError> {
        if !self.shared.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let tried = match self.submit(Job::Try) {
            Ok(answer) => answer.await.unwrap_or(Err(JournalError::Closed)),
            Err(error) => Err(error),
        };
        if self.settings.required { tried } else { Ok(()) }
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
        self.shared.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is still open, and that this process ends.
    pub fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A full queue is worked off; nothing is lost by waiting for it.
            let _ = self.jobs.send(Job::Close);
            let _ = thread.join();
        }
        // It sends what was written to the last line.
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(sender);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

/// The record of a process that begins.
#[must_use]
pub fn start(actor: Actor) -> Record {
    Record::new(Event::Start, Action::Execute, Outcome::Success, actor)
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

/// Up to where a line tells that the log was removed, if it is of that.
#[must_use]
pub fn removal(json: &[u8]) -> Option<Head> {
    memchr::memmem::find(json, RETENTION.as_bytes())?;
    let object = serde_json::from_slice::<Record>(json).ok()?.object?;
    if object.kind == RETENTION { object.id.parse().ok() } else { None }
}

/// The folder of the log of an archive.
#[must_use]
pub fn folder_of(data: &Path, key_file: Option<&Path>) -> Folder {
    Folder::new(&data.join("audit"), key_file)
}
