//! A file without a name. It is not flushed: what is in it is not acknowledged.
//! That of an encrypted archive is sealed under a key that is in memory only.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::UploadError;
use crate::dicom::source::Source;
use crate::storage::seal::{Key, SEAL_BYTES};

/// Bytes that are sealed together.
const CHUNK: usize = 64 * 1024;

/// Bytes that are written once, one after the other, and then read anywhere.
#[derive(Debug)]
pub struct Spool {
    file: File,
    sealing: Option<Sealing>,
    length: u64,
    folder: PathBuf,
}

#[derive(Debug)]
struct Sealing {
    key: Key,
    /// Chunks in the file.
    chunks: u64,
    /// What comes after them.
    pending: Vec<u8>,
    /// The chunk that was read last, by its number: reads are small and near.
    opened: Mutex<Option<(u64, Vec<u8>)>>,
}

impl Spool {
    pub(super) fn begin(folder: &Path, sealed: bool) -> Result<Self, UploadError> {
        let failed = UploadError::at(folder, "create a file in");
        let begun = tempfile::tempfile_in(folder).and_then(|file| {
            let sealing = sealed.then(Sealing::begin).transpose()?;
            Ok(Self { file, sealing, length: 0, folder: folder.to_path_buf() })
        });
        begun.map_err(failed)
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// `Full`, and what the disk says; the spool is of no use then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let written = match &mut self.sealing {
            None => self.file.write_all_at(bytes, self.length),
            Some(sealing) => sealing.write(&self.file, bytes),
        };
        written.map_err(UploadError::at(&self.folder, "write a file in"))?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

impl Sealing {
    fn begin() -> io::Result<Self> {
        Ok(Self { key: Key::random()?, chunks: 0, pending: Vec::new(), opened: Mutex::default() })
    }

    fn write(&mut self, file: &File, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == CHUNK {
                self.key.seal_in(&self.chunks.to_le_bytes(), &mut self.pending, 0)?;
                file.write_all_at(&self.pending, place_of(self.chunks))?;
                self.chunks += 1;
                self.pending.clear();
            }
        }
        Ok(())
    }

    /// As many of the bytes from `offset` on as are in one chunk.
    fn read(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (chunk, from) = (offset / CHUNK as u64, usize::try_from(offset % CHUNK as u64).unwrap_or(CHUNK));
        let copy = |bytes: &[u8], buffer: &mut [u8]| {
            let found = bytes.get(from..).unwrap_or_default();
            let take = found.len().min(buffer.len());
            buffer[..take].copy_from_slice(&found[..take]);
            take
        };
        if chunk == self.chunks {
            return Ok(copy(&self.pending, buffer));
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.as_ref().is_none_or(|(last, _)| *last != chunk) {
            let mut bytes = vec![0; CHUNK + SEAL_BYTES];
            file.read_exact_at(&mut bytes, place_of(chunk))?;
            *opened = Some((chunk, self.key.open(&chunk.to_le_bytes(), bytes)?));
        }
        Ok(opened.as_ref().map_or(0, |(_, bytes)| copy(bytes, buffer)))
    }
}

fn place_of(chunk: u64) -> u64 {
    chunk * (CHUNK + SEAL_BYTES) as u64
}

impl Source for Spool {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        let Some(sealing) = &self.sealing else { return self.file.read_exact_at(buffer, offset) };
        if offset.saturating_add(buffer.len() as u64) > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !buffer.is_empty() {
            let read = sealing.read(&self.file, buffer, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer = &mut buffer[read..];
            offset += read as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_name_is_left() {
        for sealed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut spool = Spool::begin(folder.path(), sealed).unwrap();
            spool.write(b"one").unwrap();
            spool.write(b"two").unwrap();
            let mut bytes = [0; 4];
            spool.read_exact_at(&mut bytes, 1).unwrap();
            assert_eq!((&bytes, spool.len()), (b"netw", 6));
            assert!(spool.read_exact_at(&mut bytes, 3).is_err());
            assert_eq!(folder.path().read_dir().unwrap().count(), 0);
        }
    }

    #[test]
    fn a_sealed_one_is_read_anywhere_and_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::begin(folder.path(), true).unwrap();
        let text: Vec<u8> = b"a patient's name; ".iter().copied().cycle().take(3 * CHUNK + 100).collect();
        text.chunks(40_000).for_each(|bytes| spool.write(bytes).unwrap());
        for (from, length) in
            [(0, text.len()), (5, 10), (CHUNK - 3, 6), (3 * CHUNK - 1, 101), (2 * CHUNK, CHUNK)]
        {
            let mut bytes = vec![0; length];
            spool.read_exact_at(&mut bytes, from as u64).unwrap();
            assert!(bytes == text[from..from + length], "{from} {length}");
        }
        let mut stored = vec![0; 3 * (CHUNK + SEAL_BYTES)];
        spool.file.read_exact_at(&mut stored, 0).unwrap();
        assert!(memchr::memmem::find(&stored, b"patient").is_none());
        assert!(spool.read_exact_at(&mut [0; 2], text.len() as u64 - 1).is_err());
    }
}
