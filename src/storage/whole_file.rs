//! Small files that are there whole or not at all, whatever happens meanwhile.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Puts a file in the place of another, or where there was none. It is durable
/// when this returns.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A name that no reader of the folder takes for one of its own.
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
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
