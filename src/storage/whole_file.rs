//! Small files that are there whole or not at all, whatever happens meanwhile.
//! Those that are checked are not read if they are not what was written under
//! their name: they begin with a checksum of both. (Those of before that are JSON.)

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a file with a checksum begins with; eight hex digits and a line feed follow.
const MARK: &[u8] = b"hilum-checked ";

/// Reads a file that [`put_checked`] wrote.
///
/// # Errors
/// `InvalidData` when it is not what was written; what the disk says.
pub(super) fn read_checked(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(path)?;
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its checksum does not hold");
    let head_bytes = MARK.len() + 9;
    if bytes.starts_with(MARK) {
        let body = bytes.get(head_bytes..).ok_or_else(damaged)?;
        let is_right = bytes.get(..head_bytes) == Some(&head(path, body)[..]);
        return if is_right { Ok(bytes.split_off(head_bytes)) } else { Err(damaged()) };
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(damaged()),
    }
}

fn head(path: &Path, body: &[u8]) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
    hasher.update(body);
    [MARK, format!("{:08x}\n", hasher.finalize()).as_bytes()].concat()
}

/// As [`put`], with a checksum before it.
pub(super) fn put_checked(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put(path, &[&head(path, bytes), bytes].concat())
}

/// Puts a file in the place of another, or where there was none. It is durable
/// when this returns.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_as(path, bytes, 0o666)
}

/// As [`put`], a file that only its owner reads.
pub(super) fn put_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_as(path, bytes, 0o600)
}

/// As [`put_checked`], a file that only its owner reads.
pub(super) fn put_private_checked(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_private(path, &[&head(path, bytes), bytes].concat())
}

fn put_as(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // A name that no reader of the folder takes for one of its own.
    let unfinished = path.with_extension("unfinished");
    let mut file = File::options().write(true).create(true).truncate(true).mode(mode).open(&unfinished)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&unfinished, path)) {
        drop(fs::remove_file(&unfinished));
        return Err(error);
    }
    sync_folder_of(path)
}

/// Removes a file for good; one that is not there is removed already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder_of(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
