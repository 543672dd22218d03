//! Reading the log beside its writer: newest first for a search, oldest first
//! for an export, and behind a cursor for whoever sends it on. Whole lines only;
//! what is still being written is not there yet. Bounded by time, and by a
//! segment in memory.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    ops::ControlFlow,
    time::Instant,
};

use super::{AuditError, Folder, Head, line};

/// The longest beginning of a segment that is read to learn its time.
const BEGINNING_BYTES_MAX: u64 = 1 << 20;

/// Characters of a time that are compared: whole seconds.
const SECONDS: usize = "2026-01-01T00:00:00".len();

/// What leads every line.
const TIME_KEY: &[u8] = b"{\"at\":\"";

/// Which lines to look at.
#[derive(Debug, Default, Clone)]
pub struct Search {
    /// Byte strings a line must contain, all of them.
    pub needles: Vec<Vec<u8>>,
    /// RFC 3339 in UTC; whole seconds count, both included.
    pub from: Option<String>,
    pub to: Option<String>,
    /// Only lines with a lower number.
    pub before: Option<u64>,
    /// When to give up.
    pub until: Option<Instant>,
}

/// Why a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There is nothing more.
    Complete,
    /// Whoever took the lines has enough.
    Enough,
    /// Time is over; lines below this number were not looked at.
    OutOfTime { before: u64 },
}

/// The time of a line, by the second.
fn time_of(json: &[u8]) -> Option<&str> {
    let time = json.strip_prefix(TIME_KEY)?.get(..SECONDS)?;
    std::str::from_utf8(time).ok()
}

fn seconds(time: &str) -> &str {
    time.get(..SECONDS).unwrap_or(time)
}

/// Where a segment begins, and the time of its first line. `None` if it is gone
/// or not one.
pub(super) fn beginning(folder: &Folder, segment: u64) -> Result<Option<(Head, Option<String>)>, AuditError> {
    let path = folder.segment_path(segment);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AuditError::Io { path, source }),
    };
    let mut reader = BufReader::new(file.take(BEGINNING_BYTES_MAX));
    let mut bytes = Vec::new();
    reader.read_until(b'\n', &mut bytes).map_err(AuditError::at(&path))?;
    let Some((_, head)) = line::read_opening(bytes.trim_ascii_end()) else { return Ok(None) };
    bytes.clear();
    reader.read_until(b'\n', &mut bytes).map_err(AuditError::at(&path))?;
    let first = line::read(bytes.trim_ascii_end()).and_then(|line| time_of(line.json)).map(str::to_owned);
    Ok(Some((head, first)))
}

/// The bytes of a segment; none when it was removed meanwhile.
fn segment_bytes(folder: &Folder, segment: u64) -> Result<Vec<u8>, AuditError> {
    let path = folder.segment_path(segment);
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(AuditError::Io { path, source }),
    }
}

impl Search {
    fn wants(&self, number: u64, json: &[u8]) -> bool {
        let time = time_of(json).unwrap_or_default();
        self.before.is_none_or(|before| number < before)
            && self.from.as_deref().is_none_or(|from| time >= seconds(from))
            && self.to.as_deref().is_none_or(|to| time <= seconds(to))
            && self.needles.iter().all(|needle| memchr::memmem::find(json, needle).is_some())
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Hands out the lines that are searched for, the newest first.
///
/// # Errors
/// When the log cannot be read.
pub fn newest_first(
    folder: &Folder,
    search: &Search,
    mut take: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
) -> Result<Ended, AuditError> {
    for segment in folder.segments()?.into_iter().rev() {
        let Some((head, first)) = beginning(folder, segment)? else { continue };
        let is_later = |first: &String| search.to.as_deref().is_some_and(|to| first.as_str() > seconds(to));
        let is_skipped = search.before.is_some_and(|before| head.number + 1 >= before);
        if !is_skipped && !first.as_ref().is_some_and(is_later) {
            let bytes = segment_bytes(folder, segment)?;
            let mut end = memchr::memrchr(b'\n', &bytes).unwrap_or_default();
            while let Some(newline) = memchr::memrchr(b'\n', &bytes[..end]) {
                let Some(line) = line::read(&bytes[newline + 1..end]) else {
                    end = newline;
                    continue;
                };
                if search.wants(line.number, line.json) && take(line.number, line.json).is_break() {
                    return Ok(Ended::Enough);
                }
                if line.number.is_multiple_of(256) && search.is_over() {
                    return Ok(Ended::OutOfTime { before: line.number });
                }
                end = newline;
            }
        }
        // Times rise along the log: nothing before this segment is wanted.
        if let (Some(first), Some(from)) = (&first, search.from.as_deref())
            && first.as_str() < seconds(from)
        {
            return Ok(Ended::Complete);
        }
        if search.is_over() {
            return Ok(Ended::OutOfTime { before: head.number + 1 });
        }
    }
    Ok(Ended::Complete)
}

/// Hands out the lines that are searched for, the oldest first.
///
/// # Errors
/// When the log cannot be read.
pub fn oldest_first(
    folder: &Folder,
    search: &Search,
    mut take: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
) -> Result<(), AuditError> {
    let segments = folder.segments()?;
    for (index, segment) in segments.iter().enumerate() {
        if let (Some(from), Some(next)) = (search.from.as_deref(), segments.get(index + 1))
            && let Some((_, Some(first))) = beginning(folder, *next)?
            && first.as_str() < seconds(from)
        {
            continue;
        }
        let bytes = segment_bytes(folder, *segment)?;
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', &bytes) {
            let line = line::read(&bytes[start..newline]);
            start = newline + 1;
            if let Some(line) = line.filter(|line| search.wants(line.number, line.json))
                && take(line.number, line.json).is_break()
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A place in the log for whoever follows it: the log is their queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The last line that was taken.
    pub number: u64,
    segment: u64,
    offset: u64,
}

impl Cursor {
    /// Behind the line of this number.
    #[must_use]
    pub fn after(number: u64) -> Self {
        Self { number, segment: 0, offset: 0 }
    }

    /// The next lines up to the number `last`, about so many bytes of them; empty
    /// when there is none.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn next(
        &mut self,
        folder: &Folder,
        bytes_max: u64,
        last: u64,
    ) -> Result<Vec<(u64, Vec<u8>)>, AuditError> {
        if self.segment == 0 && !self.find(folder)? {
            return Ok(Vec::new());
        }
        loop {
            let path = folder.segment_path(self.segment);
            let mut lines = Vec::new();
            if let Ok(mut file) = File::open(&path) {
                file.seek(SeekFrom::Start(self.offset)).map_err(AuditError::at(&path))?;
                let mut reader = BufReader::new(file);
                let mut taken = 0;
                let mut bytes = Vec::new();
                while taken < bytes_max {
                    bytes.clear();
                    let count = reader.read_until(b'\n', &mut bytes).map_err(AuditError::at(&path))?;
                    if bytes.pop() != Some(b'\n') {
                        break;
                    }
                    let line = line::read(&bytes);
                    if line.is_some_and(|line| line.number > last) {
                        return Ok(lines);
                    }
                    self.offset += count as u64;
                    if let Some(line) = line.filter(|line| line.number > self.number) {
                        self.number = line.number;
                        taken += line.json.len() as u64;
                        lines.push((line.number, line.json.to_vec()));
                    }
                }
            }
            if !lines.is_empty() {
                return Ok(lines);
            }
            let next = folder.segments()?.into_iter().find(|segment| *segment > self.segment);
            let Some(next) = next else { return Ok(lines) };
            (self.segment, self.offset) = (next, 0);
        }
    }

    /// Finds the segment in which the next line is.
    fn find(&mut self, folder: &Folder) -> Result<bool, AuditError> {
        for segment in folder.segments()?.into_iter().rev() {
            self.segment = segment;
            self.offset = 0;
            if beginning(folder, segment)?.is_some_and(|(head, _)| head.number <= self.number) {
                break;
            }
        }
        Ok(self.segment > 0)
    }
}
