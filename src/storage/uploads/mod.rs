//! Bytes on their way in, before they are instances: a folder beside the packs.
//! Owns the files in it; knows neither packs nor catalog nor what the bytes
//! mean.
//!
//! - [`Uploads::spool`] is a file without a name, gone with its handle or with
//!   the process.
//!
//! Nothing here blocks for longer than the disk does, but it does block: call
//! it in the pool.

mod error;
mod spool;

use std::path::{Path, PathBuf};

pub use error::UploadError;
pub use spool::Spool;

/// The folder of what is arriving.
#[derive(Debug, Clone)]
pub struct Uploads {
    folder: PathBuf,
}

impl Uploads {
    /// Opens or begins the folder.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(folder: &Path) -> Result<Self, UploadError> {
        std::fs::create_dir_all(folder).map_err(UploadError::at(folder, "create"))?;
        Ok(Self { folder: folder.to_path_buf() })
    }

    /// A file without a name for what is too large for memory.
    ///
    /// # Errors
    /// `Full`, and what the disk says.
    pub fn spool(&self) -> Result<Spool, UploadError> {
        Spool::begin(&self.folder)
    }
}
