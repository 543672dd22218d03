//! What an unfinished import has done, so that the next run need not read those
//! files again. A file is known by its path, length and time of change; 16 bytes
//! of a digest stand for them. Written after the archive has acknowledged, so
//! it never knows more than the archive; removed when an import comes to its
//! end, so it never speaks of files that were deleted since.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Stands for one state of one file.
pub(super) type Key = [u8; 16];

pub(super) struct Journal {
    path: PathBuf,
    file: File,
    known: HashSet<Key>,
}

impl Journal {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (keys, torn) = bytes.as_chunks::<16>();
        if !torn.is_empty() {
            // The end of an entry that a power failure cut: the next one begins at its place.
            file.set_len((bytes.len() - torn.len()) as u64)?;
        }
        Ok(Self { path: path.to_owned(), file, known: keys.iter().copied().collect() })
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.known.contains(key)
    }

    pub(super) fn add(&mut self, keys: &[Key]) -> io::Result<()> {
        self.file.write_all(keys.as_flattened())
    }

    /// The import came to its end.
    pub(super) fn finish(self) -> io::Result<()> {
        drop(self.file);
        std::fs::remove_file(&self.path)
    }
}

pub(super) fn key(name: &str, bytes: u64, modified: u64) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes.to_le_bytes()).update(&modified.to_le_bytes()).update(name.as_bytes());
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
