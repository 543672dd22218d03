//! The archive's folder as a backup sees it: which of its files are neither
//! packs nor made from them, and the mark of a folder that is being restored.
//!
//! Invariant: what is not known to be derived is copied; so a storage that is
//! added later is in every backup without a word here.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::BackupError;
use crate::storage::whole_file;

/// What is made from the packs, what is on its way in, and what lives only as
/// long as the server.
const LEFT_OUT: [&str; 11] = [
    "packs",
    // Archives of their own, with backups of their own.
    "tenants",
    "index",
    "thumbnails",
    "uploads",
    "cache",
    "scrub.json",
    // Of an archive that is restored to an earlier state it would know more than that has.
    "import.journal",
    "control.sock",
    "lost+found",
    RESTORING,
];
/// The anchor of a log: how far it is flushed.
const HEAD: &str = "HEAD";
/// In the folder for as long as a restore is not complete.
const RESTORING: &str = "RESTORING";
/// There once an archive was restored to an earlier state.
const LINEAGE: &str = "LINEAGE";

/// A file to copy.
#[derive(Debug)]
pub struct Listed {
    /// Below the folder, with `/` between the names.
    pub path: String,
    pub length: u64,
    pub file: File,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.display().to_string();
    move |source| BackupError::File { path, source }
}

/// The names of the folders in a folder, which need not be there.
///
/// # Errors
/// What the disk says.
pub fn folders_in(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?.collect::<io::Result<Vec<_>>>()?,
    };
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let names = entries.iter().filter(|entry| is_folder(entry));
    let mut names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Opens the files of the archive's folder that must be copied, one after the
/// other, and hands each on.
///
/// # Errors
/// What the disk says.
pub fn each_file(
    data: &Path,
    each: &mut dyn FnMut(Listed) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let mut folders = vec![(data.to_path_buf(), String::new())];
    // Of the packs, what is no pack.
    folders.push((data.join("packs/torn"), "packs/torn/".to_owned()));
    while let Some((folder, prefix)) = folders.pop() {
        // What says how far others are whole comes before them, and what they grow
        // by meanwhile does no harm.
        if let Some(head) = open(&folder.join(HEAD), format!("{prefix}{HEAD}"))? {
            each(head)?;
        }
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed(&folder))?,
        };
        let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(failed(&folder))?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name == HEAD || is_left_out(&name, prefix.is_empty()) {
                continue;
            }
            let kind = kind_of(&entry, &folder).map_err(failed(&path))?;
            if kind.is_dir() {
                folders.push((path, format!("{prefix}{name}/")));
            } else if kind.is_file()
                && let Some(listed) = open(&path, format!("{prefix}{name}"))?
            {
                each(listed)?;
            }
        }
    }
    for name in ["packs/FORMAT", "packs/KEYS"] {
        if let Some(file) = open(&data.join(name), name.to_owned())? {
            each(file)?;
        }
    }
    Ok(())
}

/// What an entry of a folder is, and of a link what it leads to: the audit log, say,
/// may lie on another volume.
fn kind_of(entry: &fs::DirEntry, folder: &Path) -> io::Result<fs::FileType> {
    let kind = entry.file_type()?;
    if !kind.is_symlink() {
        return Ok(kind);
    }
    let kind = fs::metadata(entry.path())?.file_type();
    if kind.is_dir() && fs::canonicalize(folder)?.starts_with(fs::canonicalize(entry.path())?) {
        return Err(io::Error::other("this link leads to a folder that it is in"));
    }
    Ok(kind)
}

fn is_left_out(name: &str, at_the_top: bool) -> bool {
    // Half of a file that is about to be put in place whole.
    name.ends_with(".unfinished")
        || at_the_top
            && (LEFT_OUT.contains(&name) || name.starts_with("catalog.") || name.starts_with("index."))
}

fn open(path: &Path, name: String) -> Result<Option<Listed>, BackupError> {
    let file = match File::open(path) {
        // It was there when the folder was read, and has been replaced or removed since.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed(path))?,
    };
    let length = file.metadata().map_err(failed(path))?.len();
    Ok(Some(Listed { path: name, length, file }))
}

/// Makes the folder of a restore, which must be empty, or one that an earlier
/// restore was cut off in: that is emptied. Until [`restored`] it is no archive.
///
/// # Errors
/// `File` with what is in the way; what the disk says.
pub fn restoring(data: &Path) -> Result<(), BackupError> {
    fs::create_dir_all(data).map_err(failed(data))?;
    let names = fs::read_dir(data).map_err(failed(data))?;
    let names = names.collect::<Result<Vec<_>, _>>().map_err(failed(data))?;
    let there = |name: &fs::DirEntry| name.file_name() != "lost+found";
    let cut_off = is_restoring(data);
    for entry in names.iter().filter(|name| there(name) && name.file_name() != RESTORING) {
        let path = entry.path();
        if !cut_off {
            let why = format!(
                "{} is in it: a restore writes only into an empty folder",
                entry.file_name().display()
            );
            return Err(failed(data)(io::Error::new(io::ErrorKind::DirectoryNotEmpty, why)));
        }
        let is_dir = entry.file_type().map_err(failed(&path))?.is_dir();
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(failed(&path))?;
    }
    let text = b"A restore writes here. Until this file is gone this is no archive.\n";
    whole_file::put(&data.join(RESTORING), text).map_err(failed(data))
}

/// Whether a restore has begun in the folder and not ended.
#[must_use]
pub fn is_restoring(data: &Path) -> bool {
    data.join(RESTORING).is_file()
}

/// The restore is complete.
///
/// # Errors
/// What the disk says.
pub fn restored(data: &Path) -> Result<(), BackupError> {
    whole_file::remove(&data.join(RESTORING)).map_err(failed(data))
}

/// By which an archive that was restored to an earlier state is told from the
/// one that went on; empty for one that never was.
///
/// # Errors
/// What the disk says.
pub fn lineage(data: &Path) -> Result<Vec<u8>, BackupError> {
    let path = data.join(LINEAGE);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(failed(&path)),
    }
}

/// Makes an archive another than the one that it was restored from.
///
/// # Errors
/// What the disk says.
pub fn part_ways(data: &Path, key: [u8; 32]) -> Result<(), BackupError> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(&lineage(data)?);
    hasher.update(&now.map_or(0, |now| now.as_nanos()).to_le_bytes());
    let text = format!("{}\n", hasher.finalize());
    whole_file::put(&data.join(LINEAGE), text.as_bytes()).map_err(failed(data))
}

/// Writes a file below the folder, durably.
///
/// # Errors
/// `File` when the name leads out of the folder; what the disk says.
pub fn write(
    data: &Path,
    name: &str,
    pieces: impl Iterator<Item = Result<bytes::Bytes, BackupError>>,
) -> Result<(), BackupError> {
    let inside = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !name.split('/').all(inside) {
        return Err(failed(Path::new(name))(io::ErrorKind::InvalidInput.into()));
    }
    let path: PathBuf = data.join(name);
    let folder = path.parent().unwrap_or(data);
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let mut file = File::create_new(&path).map_err(failed(&path))?;
    for piece in pieces {
        file.write_all(&piece?).map_err(failed(&path))?;
    }
    file.sync_all().map_err(failed(&path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(data: &Path) -> Vec<String> {
        let mut names = Vec::new();
        each_file(data, &mut |listed| {
            names.push(listed.path);
            Ok(())
        })
        .unwrap();
        names.sort();
        names
    }

    #[test]
    fn all_that_is_not_derived() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new");
        restoring(&data).unwrap();
        let one = || std::iter::once(Ok(bytes::Bytes::from_static(b"x")));
        for name in [
            "accounts.json",
            "audit/2026/01.log",
            "catalog.redb",
            "catalog.damaged-1.redb",
            "import.journal",
            "index/meta.json",
            "commitments/1.2.asked",
            "commitments/1.2.unfinished",
            "packs/FORMAT",
            "packs/0000/00000001.tar",
            "packs/torn/1.bin",
            "uploads/a.bytes",
        ] {
            write(&data, name, one()).unwrap();
        }
        assert!(write(&data, "../out", one()).is_err());
        let expected = [
            "accounts.json",
            "audit/2026/01.log",
            "commitments/1.2.asked",
            "packs/FORMAT",
            "packs/torn/1.bin",
        ];
        assert_eq!(names(&data), expected);
        assert!(is_restoring(&data));
        restored(&data).unwrap();
        assert!(!is_restoring(&data));
        let refused = restoring(&data).unwrap_err().to_string();
        assert!(refused.contains("only into an empty folder"), "{refused}");
        fs::write(data.join(RESTORING), "").unwrap();
        restoring(&data).unwrap();
        assert_eq!(names(&data), [""; 0]);
    }
}
