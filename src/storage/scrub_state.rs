//! How far the scrub has come and what it found, so that a stop does not begin
//! it anew. Owns one small file; nothing rests on it.

use std::io;
use std::path::PathBuf;

use serde::{Serialize, de::DeserializeOwned};

use super::whole_file;

/// A file that holds one value as JSON.
#[derive(Debug)]
pub struct ScrubState {
    path: PathBuf,
}

impl ScrubState {
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What was kept last; none if nothing was, or it is damaged.
    #[must_use]
    pub fn load<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&whole_file::read_checked(&self.path).ok()?).ok()
    }

    /// Keeps a value.
    ///
    /// # Errors
    /// What the disk says.
    pub fn save(&self, value: &impl Serialize) -> io::Result<()> {
        whole_file::put_checked(&self.path, &serde_json::to_vec(value)?)
    }
}
