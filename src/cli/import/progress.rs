//! How far an import is: a bar on a terminal, a plain line every few seconds
//! elsewhere. Files are found while others are read, so the end is known, and a
//! remaining time shown, only once all are found.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

use super::lock;

const LINE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Mutex<Instant>,
    all_found: AtomicBool,
    files_found: AtomicU64,
    files_done: AtomicU64,
    bytes_found: AtomicU64,
    bytes_done: AtomicU64,
}

impl Progress {
    pub(super) fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            bar.set_style(searching());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let zero = AtomicU64::default;
        Self {
            bar,
            started: Instant::now(),
            last_line: Mutex::new(Instant::now()),
            all_found: AtomicBool::new(false),
            files_found: zero(),
            files_done: zero(),
            bytes_found: zero(),
            bytes_done: zero(),
        }
    }

    pub(super) fn found(&self, files: u64, bytes: u64) {
        self.files_found.fetch_add(files, Relaxed);
        self.bytes_found.fetch_add(bytes, Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc_length(bytes);
        }
    }

    pub(super) fn all_found(&self) {
        self.all_found.store(true, Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_style(counting_down());
        }
    }

    pub(super) fn done(&self, files: u64, bytes: u64) {
        let files_done = self.files_done.fetch_add(files, Relaxed) + files;
        self.bytes_done.fetch_add(bytes, Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
            bar.set_message(format!("{files_done} of {} files", self.files_found.load(Relaxed)));
            return;
        }
        let mut last_line = lock(&self.last_line);
        if last_line.elapsed() >= LINE_INTERVAL {
            *last_line = Instant::now();
            eprintln!("{}", self.line());
        }
    }

    fn line(&self) -> String {
        let (files, bytes) = (self.files_done.load(Relaxed), self.bytes_done.load(Relaxed));
        let (files_found, bytes_found) = (self.files_found.load(Relaxed), self.bytes_found.load(Relaxed));
        let seconds = self.started.elapsed().as_secs().max(1);
        let rate = (bytes / seconds).max(1);
        let remaining = if self.all_found.load(Relaxed) {
            let remaining = Duration::from_secs(bytes_found.saturating_sub(bytes) / rate);
            format!(", {} remaining", HumanDuration(remaining))
        } else {
            ", still searching".to_owned()
        };
        format!("{files} of {files_found} files, {}, {}/s{remaining}", HumanBytes(bytes), HumanBytes(rate))
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn searching() -> ProgressStyle {
    style("{spinner} {msg} found so far, {bytes}, {bytes_per_sec}")
}

fn counting_down() -> ProgressStyle {
    style("{wide_bar} {msg}, {bytes} of {total_bytes}, {bytes_per_sec}, {eta} remaining")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
