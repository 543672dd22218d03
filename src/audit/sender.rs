//! Sends the log on to an audit repository, as syslog over TCP or TLS (PS3.15
//! section A.6, RFC 5424, RFC 5425, RFC 6587). The log itself is the queue: a
//! thread follows it and remembers how far the receiver has come.
//!
//! Invariant: only lines that are on the disk are sent, in their order, and none
//! is left out. Syslog acknowledges nothing, so what was sent in the last moments
//! before a connection broke is sent again: a receiver tells a line it has
//! already by its `sequenceId`, the number of the line.

use std::{
    collections::VecDeque,
    io,
    sync::{
        atomic::Ordering,
        mpsc::{Receiver as Waiter, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub use super::connection::{Receiver, TlsFiles, TlsTexts};
use super::{
    connection::Connection,
    event::Record,
    journal::Shared,
    syslog,
    xml::{self, Source},
};
use crate::storage::audit::{AuditError, Cursor, Folder};

/// Time between two looks for new lines.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Lines read at once.
const BATCH_BYTES: u64 = 256 << 10;
/// What was sent longer ago than this has arrived, or the connection had told.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// How long the end of the process waits for the receiver.
const END_WAIT: Duration = Duration::from_secs(5);

/// The thread that sends. Dropped, it sends what there is and ends.
pub struct Sender {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    pub(super) fn start(
        receiver: Receiver,
        source: Source,
        folder: Folder,
        shared: Shared,
    ) -> io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let settled = folder.sent();
        shared.sent.store(settled, Ordering::Release);
        let sending = Sending {
            receiver,
            source,
            cursor: Cursor::after(settled),
            folder,
            shared,
            connection: None,
            settled,
            noted: settled,
            on_its_way: VecDeque::new(),
            pause: PAUSE_MIN,
            is_away: false,
        };
        let thread = std::thread::Builder::new()
            .name("audit-syslog".to_owned())
            .spawn(move || sending.run(&stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Sending {
    receiver: Receiver,
    source: Source,
    folder: Folder,
    shared: Shared,
    cursor: Cursor,
    connection: Option<Connection>,
    /// The last line that has arrived for certain, and the one that is noted so.
    settled: u64,
    noted: u64,
    /// Lines that were sent, and when.
    on_its_way: VecDeque<(Instant, u64)>,
    pause: Duration,
    is_away: bool,
}

/// Why nothing is sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Log(#[from] AuditError),
    #[error(transparent)]
    Line(#[from] io::Error),
}

impl Sending {
    fn run(mut self, stopped: &Waiter<()>) {
        loop {
            let wait = match self.step() {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK_EVERY,
                Err(error) => self.fail(&error),
            };
            self.settle();
            match stopped.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
        }
    }

    /// Sends the next lines; whether there may be more.
    fn step(&mut self) -> Result<bool, SendError> {
        let last = self.shared.flushed.load(Ordering::Acquire);
        if last <= self.cursor.number {
            return Ok(false);
        }
        if self.connection.as_mut().is_some_and(|connection| !connection.is_alive()) {
            self.connection = None;
            self.go_back();
        }
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.receiver)?);
        }
        let Some(connection) = self.connection.as_mut() else { return Ok(false) };
        let lines = self.cursor.next(&self.folder, BATCH_BYTES, last)?;
        let Some((number, _)) = lines.last() else { return Ok(false) };
        let number = *number;
        let mut frames = Vec::new();
        let mut count = 0;
        for (number, line) in &lines {
            if let Ok(record) = serde_json::from_slice::<Record>(line) {
                let xml = xml::message(&record, &self.source);
                frames.extend(syslog::frame(record.at, *number, &self.source.host, &xml));
                count += 1;
            }
        }
        connection.send(&frames)?;
        metrics::counter!("hilum_audit_syslog_sent_total").increment(count);
        self.on_its_way.push_back((Instant::now(), number));
        self.pause = PAUSE_MIN;
        if std::mem::take(&mut self.is_away) {
            tracing::info!(receiver = %self.receiver, "the receiver of the audit log is there again");
        }
        Ok(true)
    }

    /// How long to wait after a failure: longer each time, and not as long as
    /// others that failed at the same moment.
    fn fail(&mut self, error: &SendError) -> Duration {
        self.connection = None;
        self.go_back();
        if !std::mem::replace(&mut self.is_away, true) {
            tracing::warn!(receiver = %self.receiver, %error, "the audit log cannot be sent; it waits");
        }
        let jitter = Duration::from_millis(u64::from(std::process::id() % 100));
        let pause = self.pause + jitter;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        pause
    }

    /// What may have been lost with a connection is sent again.
    fn go_back(&mut self) {
        self.on_its_way.clear();
        self.cursor = Cursor::after(self.settled);
    }

    fn settle(&mut self) {
        while let Some((sent, number)) = self.on_its_way.front()
            && sent.elapsed() >= SETTLED_AFTER
        {
            self.settled = *number;
            self.on_its_way.pop_front();
        }
        self.note();
        let waiting = self.shared.flushed.load(Ordering::Acquire).saturating_sub(self.cursor.number);
        metrics::gauge!("hilum_audit_syslog_waiting").set(waiting as f64);
    }

    fn note(&mut self) {
        if self.noted != self.settled {
            match self.folder.put_sent(self.settled) {
                Ok(()) => {
                    self.noted = self.settled;
                    self.shared.sent.store(self.settled, Ordering::Release);
                }
                // Then it is sent again one day.
                Err(error) => tracing::warn!(%error, "how far the audit log was sent is not noted"),
            }
        }
    }

    /// Sends the rest, and lets the receiver take it.
    fn end(mut self) {
        let until = Instant::now() + END_WAIT;
        while Instant::now() < until && matches!(self.step(), Ok(true)) {}
        let number = self.cursor.number;
        if let Some(connection) = self.connection.take()
            && connection.close(until.saturating_duration_since(Instant::now()))
        {
            self.settled = number;
        }
        self.note();
    }
}
