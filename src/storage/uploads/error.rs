//! What the folder of uploads can fail with.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is no room on the disk.
    #[error("no room on the disk for an upload: {source}")]
    Full { source: io::Error },
    /// There is no such upload, or not any more.
    #[error("there is no such upload")]
    Unknown,
    /// Somebody else is at work on it.
    #[error("the upload is being written, or being stored")]
    Taken,
    #[error("as many uploads as may be are under way")]
    TooMany,
    #[error("the uploads under way have as many bytes as they may")]
    TooMuch,
    #[error("cannot {action} {}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
}

impl UploadError {
    /// What an error of the disk at `path` means.
    pub(super) fn at(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| {
            let full =
                [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::FileTooLarge];
            if full.contains(&source.kind()) {
                Self::Full { source }
            } else {
                Self::Io { path, action, source }
            }
        }
    }
}
