//! The folder of the index as tantivy sees it. Its files end with checksums,
//! which are compared when the index is opened; the few that it replaces whole
//! have none, and among them the one that says of what the index consists. They
//! get one here.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tantivy::Directory;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    DirectoryLock, FileHandle, Lock, MmapDirectory, WatchCallback, WatchHandle, WritePtr,
};

/// A line feed and eight hex digits.
const SUM_BYTES: usize = 9;

/// A folder whose small files have checksums.
#[derive(Debug, Clone)]
pub(super) struct Checked(pub MmapDirectory);

/// What stands behind the bytes of a small file.
pub(super) fn sum_of(bytes: &[u8]) -> String {
    format!("\n{:08x}", crc32fast::hash(bytes))
}

/// Begins a file anew. Most have names that nobody used before, but what was deleted
/// of a segment is in a file named by the number of the operation: when a process
/// ended after it had written one and before the commit that names it, the next
/// one comes to the same number. Such a file is in nobody's use.
pub(super) fn begin(folder: &MmapDirectory, path: &Path) -> Result<WritePtr, OpenWriteError> {
    match folder.open_write(path) {
        Err(OpenWriteError::FileAlreadyExists(_)) => {
            // Should it stay, the second attempt says so.
            drop(folder.delete(path));
            folder.open_write(path)
        }
        opened => opened,
    }
}

impl Directory for Checked {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.0.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.0.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.0.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        begin(&self.0, path)
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let mut bytes = self.0.atomic_read(path)?;
        let sum = bytes.split_off(bytes.len().saturating_sub(SUM_BYTES));
        if sum == sum_of(&bytes).as_bytes() {
            return Ok(bytes);
        }
        let error = io::Error::new(io::ErrorKind::InvalidData, "its checksum does not hold");
        Err(OpenReadError::IoError { io_error: Arc::new(error), filepath: path.to_path_buf() })
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        self.0.atomic_write(path, &[data, sum_of(data).as_bytes()].concat())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.0.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.0.acquire_lock(lock)
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.0.watch(callback)
    }
}
