//! A file without a name. It is not flushed: what is in it is not acknowledged.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::UploadError;
use crate::dicom::source::Source;

/// Bytes that are written once, one after the other, and then read anywhere.
#[derive(Debug)]
pub struct Spool {
    file: File,
    length: u64,
    folder: PathBuf,
}

impl Spool {
    pub(super) fn begin(folder: &Path) -> Result<Self, UploadError> {
        let file = tempfile::tempfile_in(folder).map_err(UploadError::at(folder, "create a file in"))?;
        Ok(Self { file, length: 0, folder: folder.to_path_buf() })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// `Full`, and what the disk says; the spool is of no use then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.file.write_all(bytes).map_err(UploadError::at(&self.folder, "write a file in"))?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

impl Source for Spool {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_name_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::begin(folder.path()).unwrap();
        spool.write(b"one").unwrap();
        spool.write(b"two").unwrap();
        let mut bytes = [0; 4];
        spool.read_exact_at(&mut bytes, 1).unwrap();
        assert_eq!((&bytes, spool.len()), (b"netw", 6));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}
