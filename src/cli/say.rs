//! Standard output, for what a command was asked for. Whoever reads it may have
//! seen enough (`hilum config | head`): what is left is not said then, the work
//! goes on, and its exit status is that of the work.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Something else kept it from being said: a full disk.
static FAILED: AtomicBool = AtomicBool::new(false);

/// As `println!`, which would panic.
macro_rules! say {
    ($($arguments:tt)*) => { $crate::cli::say::line(format_args!($($arguments)*)) };
}
pub(super) use say;

pub(super) fn line(line: fmt::Arguments<'_>) {
    text(&format!("{line}\n"));
}

/// Whole texts.
pub(super) fn text(text: &str) {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            if !FAILED.swap(true, Ordering::Relaxed) {
                eprintln!("hilum: standard output: {error}");
            }
        }
        Ok(()) | Err(_) => {}
    }
}

/// Whether all was said that somebody read.
pub(super) fn is_said() -> bool {
    !FAILED.load(Ordering::Relaxed)
}
