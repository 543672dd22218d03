//! The bytes of an upload of an encrypted archive: records that are only
//! appended, so that what was flushed is never written again, however often a
//! client is cut off.
//!
//! ```text
//! head       which key the file has (`seal/file.rs`)
//! records    length, 4 bytes, little endian; so many bytes, sealed; their seal
//! ```
//! Invariant: a record is bound to where it begins in the upload and to its
//! length, so that none is left out or changes its place.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::storage::seal::{FILE_HEAD_BYTES, FileKey, Keyring, SEAL_BYTES};

/// What the key of the file is for.
const PURPOSE: &str = "upload";
/// A record has no more.
const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Of a length.
const LENGTH_BYTES: usize = 4;
/// Where the first record is.
pub(super) const FIRST: u64 = FILE_HEAD_BYTES as u64;

#[derive(Debug)]
pub(super) struct SealedBytes {
    file: File,
    key: FileKey,
    /// Where the next record goes.
    end: u64,
    /// Bytes of the upload in the records before it.
    sealed: u64,
    /// What comes after them.
    pending: Vec<u8>,
    /// A record, as the bytes before it and its place: reads go on from there.
    at: (u64, u64),
}

impl SealedBytes {
    /// Begins one in an empty file; it is flushed.
    pub fn begin(file: File, ring: &Keyring) -> io::Result<Self> {
        let key = FileKey::begin(ring, PURPOSE)?;
        file.write_all_at(key.head(), 0)?;
        file.sync_data()?;
        Ok(Self::of(file, key, 0, FIRST))
    }

    /// Goes on with one of which `length` bytes are in the first `end` of the file.
    pub fn open(file: File, ring: Option<&Keyring>, length: u64, end: u64) -> io::Result<Self> {
        let mut head = [0; FILE_HEAD_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let key = FileKey::open(ring, PURPOSE, &head)?;
        Ok(Self::of(file, key, length, end))
    }

    fn of(file: File, key: FileKey, sealed: u64, end: u64) -> Self {
        Self { file, key, end, sealed, pending: Vec::new(), at: (0, FIRST) }
    }

    /// Takes the next bytes.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(RECORD_BYTES_MAX - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == RECORD_BYTES_MAX {
                self.put_record()?;
            }
        }
        Ok(())
    }

    /// Writes all that was taken; the bytes that the file has then.
    pub fn flush(&mut self) -> io::Result<u64> {
        if !self.pending.is_empty() {
            self.put_record()?;
        }
        self.file.sync_data()?;
        Ok(self.end)
    }

    /// Gives up what came after `length` bytes in the first `end` of the file.
    pub fn discard(&mut self, length: u64, end: u64) {
        self.pending.clear();
        (self.sealed, self.end, self.at) = (length, end, (0, FIRST));
    }

    /// Fills `buffer` with bytes from `offset` on, all of them flushed.
    pub fn read(&mut self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        if offset < self.at.0 {
            self.at = (0, FIRST);
        }
        while !buffer.is_empty() {
            let (begin, place) = self.at;
            let length = self.length_at(place)?;
            if offset >= begin + length as u64 {
                self.at = (begin + length as u64, place + (LENGTH_BYTES + length + SEAL_BYTES) as u64);
                continue;
            }
            let mut record = vec![0; length + SEAL_BYTES];
            self.file.read_exact_at(&mut record, place + LENGTH_BYTES as u64)?;
            let opened = self.key.key().open_in(&bound(begin, length), &mut record)?;
            let from = usize::try_from(offset - begin).map_err(io::Error::other)?;
            let found = opened.get(from..).unwrap_or_default();
            let take = found.len().min(buffer.len());
            let (filled, rest) = buffer.split_at_mut(take);
            filled.copy_from_slice(&found[..take]);
            buffer = rest;
            offset += take as u64;
        }
        Ok(())
    }

    fn length_at(&self, place: u64) -> io::Result<usize> {
        if place >= self.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut length = [0; LENGTH_BYTES];
        self.file.read_exact_at(&mut length, place)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length == 0 || length > RECORD_BYTES_MAX {
            Err(io::ErrorKind::InvalidData.into())
        } else {
            Ok(length)
        }
    }

    fn put_record(&mut self) -> io::Result<()> {
        let length = self.pending.len();
        let mut record = Vec::with_capacity(LENGTH_BYTES + length + SEAL_BYTES);
        record.extend_from_slice(&length_bytes(length));
        record.extend_from_slice(&self.pending);
        self.key.key().seal_in(&bound(self.sealed, length), &mut record, LENGTH_BYTES)?;
        self.file.write_all_at(&record, self.end)?;
        self.end += record.len() as u64;
        self.sealed += length as u64;
        self.pending.clear();
        Ok(())
    }
}

fn length_bytes(length: usize) -> [u8; LENGTH_BYTES] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

fn bound(begin: u64, length: usize) -> [u8; 12] {
    let mut bound = [0; 12];
    bound[..8].copy_from_slice(&begin.to_le_bytes());
    bound[8..].copy_from_slice(&length_bytes(length));
    bound
}
