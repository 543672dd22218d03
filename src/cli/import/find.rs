//! Finds what can be imported: files below folders, and the entries of zip
//! files. Finds only; what a file is, is seen when it is read. A DICOMDIR is
//! not followed, since the files it lists lie below the same folder.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;
use zip::ZipArchive;

/// Entries of a zip file that one worker reads in one go, at least.
const ZIP_ENTRIES_MIN: usize = 64;

/// Something for a worker to read.
#[derive(Debug)]
pub(super) enum Job {
    File {
        path: PathBuf,
        bytes: u64,
    },
    /// Some of the entries of a zip file; `bytes` is their part of the file.
    Zip {
        path: PathBuf,
        entries: Range<usize>,
        bytes: u64,
    },
    /// A place that could not be looked into.
    Unreadable {
        path: PathBuf,
        why: String,
    },
}

impl Job {
    pub(super) fn files(&self) -> u64 {
        match self {
            Self::File { .. } | Self::Unreadable { .. } => 1,
            Self::Zip { entries, .. } => entries.len() as u64,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::File { bytes, .. } | Self::Zip { bytes, .. } => *bytes,
            Self::Unreadable { .. } => 0,
        }
    }
}

/// Hands every job to `take`, until that says `false`.
pub(super) fn all(paths: &[PathBuf], threads: usize, take: &mut dyn FnMut(Job) -> bool) {
    for path in paths {
        for entry in WalkDir::new(path).follow_links(true).sort_by_file_name() {
            let go_on = match entry {
                Ok(entry) if entry.file_type().is_file() => {
                    let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
                    file(entry.into_path(), bytes, threads, take)
                }
                // Folders come with their files; sockets and devices hold no DICOM.
                Ok(_) => true,
                Err(error) => {
                    let path = error.path().unwrap_or(path).to_owned();
                    let why = match error.io_error() {
                        Some(error) => error.to_string(),
                        None => "a link to a folder above it".to_owned(),
                    };
                    take(Job::Unreadable { path, why })
                }
            };
            if !go_on {
                return;
            }
        }
    }
}

fn file(path: PathBuf, bytes: u64, threads: usize, take: &mut dyn FnMut(Job) -> bool) -> bool {
    if !is_zip(&path) {
        return take(Job::File { path, bytes });
    }
    let (entries, is_whole) =
        match File::open(&path).map_err(zip::result::ZipError::Io).and_then(ZipArchive::new) {
            Ok(archive) => (archive.len(), !archive.has_duplicate_names()),
            Err(error) => return take(Job::Unreadable { path, why: error.to_string() }),
        };
    if !is_whole {
        let why = "entries of it have the same name, and only the last of each is read: unpack it".to_owned();
        if !take(Job::Unreadable { path: path.clone(), why }) {
            return false;
        }
    }
    // A share for each worker, yet few enough that re-reading the directory costs nothing.
    let share = (entries / (threads.max(1) * 4)).max(ZIP_ENTRIES_MIN);
    (0..entries).step_by(share).all(|first| {
        let range = first..(first + share).min(entries);
        let bytes = bytes * range.len() as u64 / entries.max(1) as u64;
        take(Job::Zip { path: path.clone(), entries: range, bytes })
    })
}

/// By its first bytes: media come without file extensions.
fn is_zip(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"PK\x03\x04"
}
