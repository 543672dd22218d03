//! What an unfinished import has done, so that the next run need not read those
//! files again. A file is known by its path, length and time of change, for
//! which 16 bytes of a digest stand; beside them is the SOP Instance UID that it
//! was stored under, by which the archive is asked whether it still has it: it
//! may be another one by then, or have lost what it had. Written after the
//! archive has acknowledged, so it never knows more than the archive; removed
//! when an import comes to its end, so it never speaks of files that were
//! deleted since. One import at a time has it.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::There;

/// Stands for one state of one file.
pub(super) type Key = [u8; 16];

/// The beginning. What begins otherwise is of an older form, and tells nothing.
const HEAD: &[u8] = b"hilum import 2\n";

/// UIDs that the archive is asked for at once.
const ASKED_MAX: usize = 100;

pub(super) struct Journal {
    path: PathBuf,
    /// Nothing once it could not be written: what follows a torn entry means nothing.
    file: Option<File>,
    known: HashSet<Key>,
}

impl Journal {
    /// The journal at `path`, as far as the archive has what it says.
    ///
    /// # Errors
    /// When it cannot be read or written, or another import has it.
    pub(super) fn open(path: &Path, there: Option<&There<'_>>) -> io::Result<Self> {
        let mut file = locked(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut entries = Vec::new();
        let mut whole = 0;
        if let Some(mut rest) = bytes.strip_prefix(HEAD) {
            while let Some((entry, after)) = Entry::read(rest) {
                entries.push(entry);
                rest = after;
            }
            whole = bytes.len() - rest.len();
        }
        if whole < bytes.len() {
            // The end of an entry that a power failure cut: the next one begins at its place.
            file.set_len(whole as u64)?;
        }
        if whole == 0 {
            file.write_all(HEAD)?;
        }
        let known = match there {
            Some(there) => {
                entries.chunks(ASKED_MAX).flat_map(|entries| still_there(entries, there)).collect()
            }
            None => entries.iter().map(|entry| entry.key).collect(),
        };
        Ok(Self { path: path.to_owned(), file: Some(file), known })
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.known.contains(key)
    }

    /// Notes files, each with the UID that it is known by, if it has told one.
    ///
    /// # Errors
    /// When it cannot be written, the first time.
    pub(super) fn add(&mut self, done: &[(Key, Option<String>)]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut bytes = Vec::new();
        for (key, uid) in done {
            let uid = uid.as_deref().unwrap_or_default();
            bytes.extend_from_slice(key);
            bytes.push(u8::try_from(uid.len()).unwrap_or(0));
            bytes.extend_from_slice(&uid.as_bytes()[..usize::from(bytes[bytes.len() - 1])]);
        }
        let written = file.write_all(&bytes);
        if written.is_err() {
            self.file = None;
        }
        written
    }

    /// The import came to its end.
    pub(super) fn finish(self) -> io::Result<()> {
        // While it is locked no other can have put its own there.
        std::fs::remove_file(&self.path)
    }
}

/// The file, which is this process's alone.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "another import has it"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Its owner may have come to an end, and removed it, just before.
        match std::fs::metadata(path) {
            Ok(there) if there.ino() == file.metadata()?.ino() => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

struct Entry<'a> {
    key: Key,
    uid: &'a str,
}

impl<'a> Entry<'a> {
    /// The first entry, and what comes after it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (key, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (uid, rest) = rest.split_at_checked(usize::from(*length))?;
        Some((Self { key: *key, uid: std::str::from_utf8(uid).unwrap_or_default() }, rest))
    }
}

fn still_there(entries: &[Entry<'_>], there: &There<'_>) -> Vec<Key> {
    let uids: Vec<&str> = entries.iter().map(|entry| entry.uid).filter(|uid| !uid.is_empty()).collect();
    let found = if uids.is_empty() { HashSet::new() } else { there(&uids) };
    entries.iter().filter(|entry| found.contains(entry.uid)).map(|entry| entry.key).collect()
}

/// `name` is what no other file has: a path as the system says it, whatever its bytes mean.
pub(super) fn key(name: &[u8], bytes: u64, modified: u64) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes.to_le_bytes()).update(&modified.to_le_bytes()).update(name);
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    key
}

/// When the file was last changed, in nanoseconds since 1970; 0 if unknown.
pub(super) fn modified(path: &Path) -> u64 {
    let time = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}
