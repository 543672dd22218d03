//! The one thread that writes the audit log: takes records from a queue, appends
//! them, and answers when they are with the system (or, with `flush` none, on the
//! disk). Between requests it writes down looks that are put together, takes in
//! what commands left, and removes what has been kept long enough.
//!
//! Invariant: times rise along the log, whatever the clock does.

use std::{
    sync::{
        PoisonError,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    event::{Action, Event, Outcome, Record},
    journal::{Job, JournalError, RETENTION, Settings, Shared, own},
};
use crate::storage::audit::{AuditError, Log};

/// Time between two looks at what is due.
const TICK: Duration = Duration::from_millis(250);
/// Records written with one call to the system.
const BATCH_MAX: usize = 512;
const RETENTION_EVERY: Duration = Duration::from_hours(1);

/// What the thread works with.
pub(super) struct Writer {
    log: Log,
    shared: Shared,
    settings: Settings,
    /// That this process began; its end is told likewise.
    start: Record,
    latest: OffsetDateTime,
    flushed: Instant,
    tidied: Option<Instant>,
}

impl Writer {
    pub(super) fn new(log: Log, shared: Shared, settings: Settings, start: Record) -> Self {
        let latest = OffsetDateTime::UNIX_EPOCH;
        Self { log, shared, settings, start, latest, flushed: Instant::now(), tidied: None }
    }

    pub(super) fn run(mut self, receiver: &Receiver<Job>) {
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
                    Ok(Job::Try(answer)) => {
                        let _ = answer.send(self.try_again());
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
    pub(super) fn write(&mut self, records: Vec<Record>) -> Result<(), JournalError> {
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
        let room = if written.is_ok() { self.log.make_room() } else { Ok(()) };
        self.note_failure(written.as_ref().err().or(room.as_ref().err()));
        self.note_flushed();
        if written.is_ok() {
            metrics::counter!("hilum_audit_records_total").increment(count);
        }
        Ok(written?)
    }

    pub(super) fn flush(&mut self) -> Result<(), AuditError> {
        self.log.flush()?;
        self.note_flushed();
        Ok(())
    }

    fn note_flushed(&self) {
        self.shared.flushed.store(self.log.flushed().number, Ordering::Release);
    }

    /// The first of several failures is logged, and all make requests ask first.
    fn note_failure(&self, error: Option<&AuditError>) {
        let was_failed = self.shared.failed.swap(error.is_some(), Ordering::Relaxed);
        if let Some(error) = error.filter(|_| !was_failed) {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }

    /// Whether the log can be written again; then that it could not is in it.
    fn try_again(&mut self) -> Result<(), JournalError> {
        if !self.shared.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.log.make_room()?;
        let again = Record::new(Event::RecordingStarted, Action::Execute, Outcome::Success, own());
        self.write(vec![again.because("the log could not be written for a while")])?;
        if self.shared.failed.load(Ordering::Relaxed) { Err(JournalError::Failing) } else { Ok(()) }
    }

    fn tick(&mut self) {
        let due = self.shared.gathering.lock().unwrap_or_else(PoisonError::into_inner).due(false);
        if !due.is_empty() {
            let _ = self.write(due);
        }
        let noted = self.take_notes();
        let is_due = self.settings.flush.is_none_or(|every| self.flushed.elapsed() >= every);
        let flushed = if is_due { self.flush() } else { Ok(()) };
        if is_due {
            self.flushed = Instant::now();
        }
        let tidied = self.tidy();
        let failure = noted.err().or(flushed.err()).or(tidied.err());
        if failure.is_some() {
            self.note_failure(failure.as_ref());
        }
        let failed = self.shared.failed.load(Ordering::Relaxed);
        metrics::gauge!("hilum_audit_failed").set(if failed { 1.0 } else { 0.0 });
    }

    /// Takes in what commands left; they wrote when that was, and here stands
    /// when it came into the log.
    fn take_notes(&mut self) -> Result<(), AuditError> {
        self.latest = self.latest.max(OffsetDateTime::now_utc());
        take_notes(&mut self.log, self.latest)
    }

    /// Removes what has been kept long enough; the record of it comes first.
    fn tidy(&mut self) -> Result<(), AuditError> {
        let days = i64::try_from(self.settings.keep_days).unwrap_or(i64::MAX);
        if days == 0 || self.tidied.is_some_and(|tidied| tidied.elapsed() < RETENTION_EVERY) {
            return Ok(());
        }
        self.tidied = Some(Instant::now());
        let before = |days: i64| {
            let time = OffsetDateTime::now_utc().checked_sub(time::Duration::days(days.min(1_000_000)))?;
            let text = time.format(&Rfc3339).ok()?;
            text.get(..19).map(str::to_owned)
        };
        let (Some(yesterday), Some(limit)) = (before(1), before(days)) else { return Ok(()) };
        self.log.rotate_if_older(&yesterday)?;
        let sent = self.shared.sent.load(Ordering::Acquire);
        let Some((segments, head)) = self.log.older_than(&limit, sent)? else { return Ok(()) };
        let removal = Record::new(Event::RestrictedFunction, Action::Delete, Outcome::Success, own())
            .about(RETENTION, head.to_string())
            .because(format!("audit.keep_days = {days}: {} segments removed", segments.len()));
        if self.write(vec![removal]).is_ok() {
            self.flush()?;
            self.log.remove(&segments)?;
        }
        Ok(())
    }

    fn end(&mut self) {
        let mut last = self.shared.gathering.lock().unwrap_or_else(PoisonError::into_inner).due(true);
        last.push(Record { event: Event::Stop, ..self.start.clone() });
        let _ = self.take_notes();
        let _ = self.write(last);
        if let Err(error) = self.flush() {
            tracing::error!(%error, "the end of the audit log is not flushed");
        }
        tracing::info!(head = %self.log.head(), "the audit log is closed");
    }
}

/// Takes in what commands left while another process wrote the log.
pub(super) fn take_notes(log: &mut Log, now: OffsetDateTime) -> Result<(), AuditError> {
    let renewed = |note: &[u8]| {
        let mut record: Record = serde_json::from_slice(note).ok()?;
        record.since.get_or_insert(record.at);
        record.at = now;
        serde_json::to_vec(&record).ok()
    };
    log.take_notes(renewed).map(drop)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{
        audit::{Journal, Source, folder_of, removal, start},
        storage::audit::Options,
    };

    fn settings(keep_days: u64) -> Settings {
        Settings {
            required: true,
            flush: None,
            aggregate: Duration::ZERO,
            queue_max: 10,
            segment_bytes_max: 2000,
            keep_days,
            source: Source::default(),
            receiver: None,
        }
    }

    /// What is older than it must be goes; that it did is recorded, and the rest
    /// is as verifiable as before.
    #[test]
    fn old_records_are_removed_and_the_chain_holds() {
        let dir = TempDir::new().unwrap();
        let folder = folder_of(dir.path(), None);
        std::fs::create_dir_all(&folder.path).unwrap();
        let (mut log, _) = Log::open(folder.clone(), Options { segment_bytes_max: 2000 }).unwrap();
        let now = OffsetDateTime::now_utc();
        for days in (1..=60).rev() {
            let at = now - time::Duration::days(days);
            let record = Record { at, ..start(own()) };
            log.append([serde_json::to_vec(&record).unwrap().as_slice()]).unwrap();
        }
        log.flush().unwrap();
        drop(log);
        assert!(folder.check(&[], removal).unwrap().is_intact());
        let journal = Journal::open(folder.clone(), settings(30), start(own())).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        while folder.check(&[], removal).unwrap().begins.number == 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        journal.close();
        let report = folder.check(&[], removal).unwrap();
        assert!(report.is_intact(), "{:?}", report.findings);
        assert!((1..=30).contains(&report.begins.number), "nothing that must be kept is gone");
        assert!(!folder.check(&[], |_| None).unwrap().is_intact(), "the record explains it");
        // Another removal needs another record.
        let first = folder.segments().unwrap()[0];
        std::fs::remove_file(folder.segment_path(first)).unwrap();
        assert!(!folder.check(&[], removal).unwrap().is_intact());
    }
}
