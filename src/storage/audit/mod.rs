//! Storage of the audit log: lines of JSON, appended and chained by a keyed
//! hash, in segments of bounded size. Knows nothing of what a line says but its
//! time, which leads it.
//!
//! `DIR/audit/`: `00000001.log` … the segments, `HEAD` the anchor (how far it is
//! flushed), `KEY`, `LOCK`, `SENT` (how far it was sent on), `notes/` what commands leave for a running server,
//! `torn/` what a recovery cut off.
//!
//! Invariants: one process writes; a line is never changed; after a crash
//! nothing that was flushed is missing, and what is torn behind that is cut. A
//! log that is shorter than its anchor goes on *from the anchor*, so that the
//! gap stays visible for ever.

mod check;
mod error;
mod folder;
pub mod line;
mod scan;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use rustix::io::Errno;

pub use check::{Finding, Report};
pub use error::AuditError;
pub use folder::Folder;
use folder::{Anchor, private};
pub use line::Head;
use line::{Hash, opening};
pub use scan::{Cursor, Ended, Search, newest_first, oldest_first};

/// Room that is kept ahead of the end of the log, so that a disk is found to be
/// full before something is done that could not be recorded.
const ROOM_BYTES: u64 = 1 << 20;
/// With less, more is asked for.
const ROOM_BYTES_MIN: u64 = 512 << 10;

/// How much a segment holds.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub segment_bytes_max: u64,
}

/// The log, open for writing.
pub struct Log {
    folder: Folder,
    key: Hash,
    /// Held as long as this is.
    _lock: File,
    file: File,
    segment: u64,
    /// Where the next line begins.
    offset: u64,
    head: Head,
    flushed: Head,
    /// Up to where the disk keeps room for the segment.
    reserved: u64,
    /// A write failed: what lies behind `offset` is not of the log.
    is_torn: bool,
    /// A flush of the file failed.
    is_suspect: bool,
    options: Options,
}

/// What opening found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes of a torn end that were set aside.
    pub cut_bytes: u64,
    /// Lines that were flushed and are not there any more, or not unchanged.
    pub lost: Option<(u64, u64)>,
    /// There is a log but no anchor of it.
    pub anchor_missing: bool,
}

/// Where a segment's chain breaks off.
struct Walked {
    head: Head,
    end: u64,
}

impl Log {
    /// The log with a segment at hand, nothing of it flushed.
    fn at(
        (folder, key, lock): (Folder, Hash, File),
        (segment, file): (u64, File),
        (head, offset): (Head, u64),
        options: Options,
    ) -> Self {
        Self {
            folder,
            key,
            _lock: lock,
            file,
            segment,
            offset,
            head,
            flushed: Head::default(),
            reserved: 0,
            is_torn: false,
            is_suspect: false,
            options,
        }
    }

    /// Opens the log for writing, or begins one.
    ///
    /// # Errors
    /// When another process writes it, the key cannot be read, or the disk fails.
    pub fn open(folder: Folder, options: Options) -> Result<(Self, Recovered), AuditError> {
        folder.create()?;
        let lock = folder.lock()?;
        let key = folder.key(true)?;
        let anchor = folder.anchor(&key);
        let mut segments = folder.segments()?;
        let mut recovered = Recovered {
            anchor_missing: anchor.is_none() && (folder.has_anchor_file() || segments.len() > 1),
            ..Recovered::default()
        };
        let reached = |head: Head| anchor.is_none_or(|anchor| head.number >= anchor.head.number);
        while let Some(segment) = segments.pop() {
            let path = folder.segment_path(segment);
            let bytes = fs::read(&path).map_err(AuditError::at(&path))?;
            if line::is_newer(&bytes) {
                return Err(AuditError::Newer(path));
            }
            let Some(walked) = walk(&key, segment, &bytes) else {
                // Cut off while it was begun: nothing in it was flushed.
                if anchor.is_none_or(|anchor| anchor.segment < segment) {
                    recovered.cut_bytes += bytes.len() as u64;
                    set_aside(&folder, segment, 0, &bytes)?;
                    fs::remove_file(&path).map_err(AuditError::at(&path))?;
                    continue;
                }
                break;
            };
            if !reached(walked.head) || anchor.is_some_and(|anchor| anchor.segment > segment) {
                break;
            }
            let torn = bytes.len() as u64 - walked.end;
            let file = private().write(true).open(&path).map_err(AuditError::at(&path))?;
            if torn > 0 {
                recovered.cut_bytes += torn;
                let at = usize::try_from(walked.end).unwrap_or(usize::MAX);
                set_aside(&folder, segment, walked.end, &bytes[at..])?;
                file.set_len(walked.end).and_then(|()| file.sync_all()).map_err(AuditError::at(&path))?;
            }
            let Walked { head, end: offset } = walked;
            let mut log = Self::at((folder, key, lock), (segment, file), (head, offset), options);
            // The anchor is there before the first line is.
            recovered.anchor_missing |= anchor.is_none() && head.number > 0;
            log.flush()?;
            return Ok((log, recovered));
        }
        // There is none, or what the anchor names is not there any more.
        let head = anchor.map(|anchor| anchor.head).unwrap_or_default();
        if head.number > 0 {
            let there = segments_end(&folder, &key)?;
            recovered.lost = Some((there + 1, head.number.max(there + 1)));
        }
        let last = folder.segments()?.last().copied().unwrap_or_default();
        let segment = 1 + last.max(anchor.map(|anchor| anchor.segment).unwrap_or_default());
        let (file, offset) = begin(&folder, segment, &head)?;
        let mut log = Self::at((folder, key, lock), (segment, file), (head, offset), options);
        log.flush()?;
        log.folder.sync_anchor()?;
        Ok((log, recovered))
    }

    /// Appends lines. They are with the system when this returns, and on the
    /// disk after [`Log::flush`].
    ///
    /// # Errors
    /// When they could not be written; then none of them is in the log.
    pub fn append<'a>(&mut self, lines: impl IntoIterator<Item = &'a [u8]>) -> Result<(), AuditError> {
        self.mend()?;
        if self.offset >= self.options.segment_bytes_max {
            self.rotate()?;
        }
        let mut bytes = Vec::new();
        let head =
            lines.into_iter().fold(self.head, |head, json| line::write(head, &self.key, json, &mut bytes));
        if let Err(source) = self.file.write_all_at(&bytes, self.offset) {
            self.is_torn = true;
            return Err(AuditError::Io { path: self.folder.segment_path(self.segment), source });
        }
        self.head = head;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Keeps room on the disk for what comes next; takes back what a failed write
    /// left.
    ///
    /// # Errors
    /// When there is none.
    pub fn make_room(&mut self) -> Result<(), AuditError> {
        self.mend()?;
        if self.reserved >= self.offset + ROOM_BYTES_MIN {
            return Ok(());
        }
        let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(&self.file, flags, self.offset, ROOM_BYTES) {
            Ok(()) => self.reserved = self.offset + ROOM_BYTES,
            // Not every file system can; then a write tells.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.reserved = u64::MAX,
            Err(error) => {
                return Err(AuditError::Io {
                    path: self.folder.segment_path(self.segment),
                    source: error.into(),
                });
            }
        }
        Ok(())
    }

    /// Gives back the room of a segment that is full, or of a log that ends.
    fn give_room_back(&mut self) {
        self.reserved = 0;
        // What is kept in vain is only room.
        drop(self.file.set_len(self.offset));
    }

    /// Takes back what a failed write left.
    fn mend(&mut self) -> Result<(), AuditError> {
        if self.is_torn {
            let at = AuditError::at(&self.folder.path);
            self.file.set_len(self.offset).map_err(at)?;
            self.is_torn = false;
        }
        if self.is_suspect {
            self.renew()?;
        }
        Ok(())
    }

    /// Goes on in a copy after a flush failed: of the file itself nobody knows any
    /// more what of it is on the disk, and another flush would not tell.
    fn renew(&mut self) -> Result<(), AuditError> {
        let path = self.folder.segment_path(self.segment);
        let unfinished = path.with_extension("unfinished");
        let mut bytes = fs::read(&path).map_err(AuditError::at(&path))?;
        bytes.truncate(usize::try_from(self.offset).unwrap_or(usize::MAX));
        drop(fs::remove_file(&unfinished));
        write_private(&unfinished, &bytes)
            .and_then(|()| fs::rename(&unfinished, &path))
            .and_then(|()| private().write(true).open(&path))
            .map(|file| self.file = file)
            .map_err(AuditError::at(&path))?;
        self.folder.sync()?;
        self.is_suspect = false;
        Ok(())
    }

    /// Makes everything durable that was appended.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn flush(&mut self) -> Result<(), AuditError> {
        if self.flushed == self.head && self.head.number > 0 {
            return Ok(());
        }
        if self.is_suspect {
            self.mend()?;
        } else if let Err(error) = self.file.sync_data() {
            self.is_suspect = true;
            return Err(AuditError::at(&self.folder.path)(error));
        }
        let anchor = Anchor { head: self.head, segment: self.segment, offset: self.offset };
        self.folder.put_anchor(&self.key, &anchor)?;
        self.flushed = self.head;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), AuditError> {
        self.flush()?;
        self.give_room_back();
        let (file, offset) = begin(&self.folder, self.segment + 1, &self.head)?;
        self.segment += 1;
        self.file = file;
        self.offset = offset;
        Ok(())
    }

    /// Begins a new segment if the first line of this one is older than `time`,
    /// so that old lines can be removed while few are written.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn rotate_if_older(&mut self, time: &str) -> Result<(), AuditError> {
        match scan::beginning(&self.folder, self.segment)? {
            Some((_, Some(first))) if first.as_str() < time => self.rotate(),
            _ => Ok(()),
        }
    }

    /// How far it is flushed.
    #[must_use]
    pub fn flushed(&self) -> Head {
        self.flushed
    }

    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Segments all of whose lines are older than `time` (RFC 3339, UTC, whole
    /// seconds) and up to the line `number`, and the head at which the log will
    /// begin without them.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn older_than(&self, time: &str, number: u64) -> Result<Option<(Vec<u64>, Head)>, AuditError> {
        let mut old = Vec::new();
        let mut begins = None;
        for pair in self.folder.segments()?.windows(2) {
            let Some((opening, Some(first))) = scan::beginning(&self.folder, pair[1])? else { break };
            if first.as_str() >= time || opening.number > number {
                break;
            }
            old.push(pair[0]);
            begins = Some(opening);
        }
        Ok(begins.map(|head| (old, head)))
    }

    /// Removes segments for good.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn remove(&mut self, segments: &[u64]) -> Result<(), AuditError> {
        for segment in segments.iter().filter(|segment| **segment != self.segment) {
            let path = self.folder.segment_path(*segment);
            fs::remove_file(&path).map_err(AuditError::at(&path))?;
        }
        self.folder.sync()
    }

    /// Takes in what commands left, as `line` makes lines of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn take_notes(&mut self, line: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Result<usize, AuditError> {
        let notes = self.folder.notes();
        let lines: Vec<Vec<u8>> = notes.iter().filter_map(|(_, json)| line(json)).collect();
        if notes.is_empty() {
            return Ok(0);
        }
        self.append(lines.iter().map(Vec::as_slice))?;
        self.flush()?;
        for (path, _) in &notes {
            fs::remove_file(path).map_err(AuditError::at(path))?;
        }
        Ok(lines.len())
    }

    /// What is in the folder, for those who read.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !self.is_torn {
            self.give_room_back();
        }
    }
}

/// Begins a segment; it and its name are durable on return.
fn begin(folder: &Folder, segment: u64, head: &Head) -> Result<(File, u64), AuditError> {
    let path = folder.segment_path(segment);
    let text = opening(segment, head);
    let file = private().create_new(true).write(true).open(&path).map_err(AuditError::at(&path))?;
    let written = file.write_all_at(text.as_bytes(), 0).and_then(|()| file.sync_all());
    if let Err(source) = written {
        drop(fs::remove_file(&path));
        return Err(AuditError::Io { path, source });
    }
    folder.sync()?;
    Ok((file, text.len() as u64))
}

/// Follows the chain of a segment as far as it holds. `None` if it does not begin.
fn walk(key: &Hash, segment: u64, bytes: &[u8]) -> Option<Walked> {
    let first = memchr::memchr(b'\n', bytes)?;
    let (number, mut head) = line::read_opening(&bytes[..first])?;
    if number != segment {
        return None;
    }
    let mut end = first + 1;
    for newline in memchr::memchr_iter(b'\n', bytes).skip(1) {
        let Some(read) = line::read(&bytes[end..newline]) else { break };
        let next = head.next(key, read.json);
        if (next.number, next.hash) != (read.number, read.hash) {
            break;
        }
        head = next;
        end = newline + 1;
    }
    Some(Walked { head, end: end as u64 })
}

/// The number of the last line of the last segment as far as its chain holds.
fn segments_end(folder: &Folder, key: &Hash) -> Result<u64, AuditError> {
    let Some(segment) = folder.segments()?.last().copied() else { return Ok(0) };
    let path = folder.segment_path(segment);
    let bytes = fs::read(&path).map_err(AuditError::at(&path))?;
    Ok(walk(key, segment, &bytes).map_or(0, |walked| walked.head.number))
}

/// Keeps what is cut off.
fn set_aside(folder: &Folder, segment: u64, offset: u64, bytes: &[u8]) -> Result<(), AuditError> {
    let torn = folder.path.join("torn");
    fs::create_dir_all(&torn).map_err(AuditError::at(&torn))?;
    let path = torn.join(format!("{segment:08}-{offset}"));
    write_private(&path, bytes).map_err(AuditError::at(&path))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let file = private().create(true).write(true).truncate(true).open(path)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()
}
