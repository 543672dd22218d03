//! Bytes on their way in, before they are instances: a folder beside the packs.
//! Owns the files in it; knows neither packs nor catalog nor what the bytes
//! mean.
//!
//! - [`Uploads::spool`] is a file without a name, gone with its handle or with
//!   the process.
//! - [`Uploads::begin`] is an upload with a name, that goes on after its
//!   connection, or the process, has ended.
//!
//! Both are sealed in an archive that has keys.
//!
//! Nothing here blocks for longer than the disk does, but it does block: call
//! it in the pool.

mod error;
mod resumable;
mod sealed;
mod spool;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub use error::UploadError;
pub use resumable::{Note, Options, UploadResult, Writer};
pub use spool::Spool;

use super::seal::Keyring;

/// The folder of what is arriving. Clones are the same folder.
#[derive(Debug, Clone)]
pub struct Uploads {
    folder: PathBuf,
    options: Options,
    /// Keys, where the archive is encrypted.
    ring: Option<Keyring>,
    known: Arc<Mutex<resumable::Known>>,
}

impl Uploads {
    /// Opens or begins the folder. With keys, what is in it is encrypted, and what
    /// was there before it becomes so.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(folder: &Path, options: Options, ring: Option<&Keyring>) -> Result<Self, UploadError> {
        std::fs::create_dir_all(folder).map_err(UploadError::at(folder, "create"))?;
        let uploads =
            Self { folder: folder.to_path_buf(), options, ring: ring.cloned(), known: Arc::default() };
        uploads.take_up()?;
        Ok(uploads)
    }

    /// A file without a name for what is too large for memory.
    ///
    /// # Errors
    /// `Full`, and what the disk says.
    pub fn spool(&self) -> Result<Spool, UploadError> {
        Spool::begin(&self.folder, self.ring.is_some())
    }
}
