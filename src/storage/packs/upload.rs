//! The streaming way in: one file of any size, written as it arrives into a
//! pack that nobody else writes meanwhile.
//!
//! Invariant: until the file is whole its record is zero, which is the end of
//! the archive to tar and to a replay. A dropped upload is cut off again.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::error::is_of_bucket;
use super::read::PackSource;
use super::record::{RECORD_BYTES, What, encode, padding};
use super::sealed::Claim;
use super::{OpenPack, PackError, PackFile, Packs, Shared, Standing, lock};
use crate::dicom::source::Source;
use crate::dicom::uid::InstancePath;
use crate::storage::seal::Sealer;
use crate::storage::{Digest, PackId, Place, Role, Stamp};

/// From so much on it is flushed while more is written, if the volume can: the
/// disk is at work meanwhile, and the flush that an answer waits for is short.
const UNFLUSHED_BYTES: u64 = 8 << 20;
/// So much is written at most before it is flushed, or the system's memory would
/// be full of a 5 GB file.
const UNFLUSHED_BYTES_MAX: u64 = 64 << 20;

/// A file that is being streamed. Dropping it takes it back, which is work for
/// the disk: drop it where blocking is allowed.
pub struct Upload {
    pack: PackId,
    /// `None` only once it is finished or given up.
    open: Option<OpenPack>,
    length: u64,
    /// Bytes of it in the pack.
    stored: u64,
    /// Encrypts what goes into the pack.
    sealer: Option<Sealer>,
    unflushed: u64,
    slot: Slot,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("pack", &self.pack)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// One of the streams that are allowed.
struct Slot(Arc<Shared>);

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.0.pool).streams -= 1;
    }
}

impl Packs {
    /// Begins a streamed upload.
    ///
    /// # Errors
    /// `Busy`, `Full`, and what the disk says.
    pub fn begin(&self) -> Result<Upload, PackError> {
        let (slot, idle) = {
            let mut pool = lock(&self.shared.pool);
            let streams_max = self.shared.options.streams_max;
            if pool.streams >= streams_max {
                return Err(PackError::Busy { streams_max });
            }
            pool.streams += 1;
            (Slot(Arc::clone(&self.shared)), pool.idle.pop())
        };
        let open = match idle {
            Some(open) => open,
            None => self.shared.begin_pack()?,
        };
        let key = self.shared.pack_key(open.pack);
        let sealer = key.map(|key| key.sealer(open.end + RECORD_BYTES as u64));
        Ok(Upload { pack: open.pack, open: Some(open), length: 0, stored: 0, sealer, unflushed: 0, slot })
    }
}

impl Upload {
    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// `Full`, and what the disk says. The upload is then over: later calls
    /// fail, and it can only be dropped.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        self.open()?;
        if let Some(sealer) = &mut self.sealer {
            let mut sealed = Vec::new();
            let pushed = sealer.push(bytes, &mut sealed);
            pushed.map_err(|error| PackError::io(self.pack, "encrypt for", error))?;
            self.put(&sealed)?;
        } else {
            self.put(bytes)?;
        }
        self.length += bytes.len() as u64;
        if self.unflushed >= UNFLUSHED_BYTES_MAX {
            self.flush()?;
            self.unflushed = 0;
        } else if self.unflushed >= UNFLUSHED_BYTES && self.flushing(|file| file.begin_flush())? {
            self.unflushed = 0;
        }
        Ok(())
    }

    /// Puts bytes into the pack behind those that are there.
    fn put(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        let open = self.open()?;
        let (pack, offset) = (open.pack, open.end + RECORD_BYTES as u64 + self.stored);
        if let Err(error) = open.file.write_all_at(&mut [IoSlice::new(bytes)], offset) {
            self.take_back();
            return Err(PackError::io(pack, "write", error));
        }
        self.stored += bytes.len() as u64;
        self.unflushed += bytes.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What was written so far, to be read back.
    ///
    /// # Errors
    /// When an earlier call failed.
    pub fn source(&self) -> Result<impl Source + use<>, PackError> {
        let open = self.open()?;
        let offset = open.end + RECORD_BYTES as u64;
        let file = Arc::clone(&open.file);
        let Some(sealer) = &self.sealer else { return Ok(PackSource::new(file, offset, self.length)) };
        let key = self.slot.0.pack_key(self.pack);
        let pending = sealer.pending();
        Ok(PackSource::sealed(file, offset, self.length, key, pending))
    }

    /// Completes the file: it is durable, and found by a replay, once this returns.
    ///
    /// One flush serves for bytes and record. If the power fails before it
    /// returns the record may be there without all of the bytes; a replay sees
    /// that by the digest and takes it for what it is, a torn end.
    ///
    /// # Errors
    /// `Full`, and what the disk says. Then it is not stored.
    pub fn finish(
        mut self,
        path: &InstancePath,
        stamp: Stamp,
        role: Role,
        digest: Digest,
    ) -> Result<Place, PackError> {
        if let Some(sealer) = &mut self.sealer {
            let mut sealed = Vec::new();
            let finished = sealer.finish(&mut sealed);
            finished.map_err(|error| PackError::io(self.pack, "encrypt for", error))?;
            self.put(&sealed)?;
        }
        let (length, stored) = (self.length, self.stored);
        let open = self.open()?;
        let place = Place { pack: open.pack, offset: open.end + RECORD_BYTES as u64, length };
        let proof =
            Claim { path, stamp, role, digest, place }.proof(self.slot.0.pack_key(open.pack).as_ref());
        let record = encode(path, stamp, What::Stored { role, length, proof }, open.seat(open.end));
        let pad = |()| match padding(stored) {
            [] => Ok(()),
            zeros => open.file.write_all_at(&mut [IoSlice::new(zeros)], place.offset + stored),
        };
        let head = |()| open.file.write_all_at(&mut [IoSlice::new(&record)], open.end);
        // On an error the drop takes the upload back.
        Ok(()).and_then(pad).and_then(head).map_err(|error| PackError::io(place.pack, "write", error))?;
        self.flush()?;
        if let Some(mut open) = self.open.take() {
            open.end = self.slot.0.entry_end(&place);
            self.slot.0.give_back(open);
        }
        Ok(place)
    }

    fn open(&self) -> Result<&OpenPack, PackError> {
        self.open.as_ref().ok_or(PackError::Over { pack: self.pack })
    }

    fn flush(&mut self) -> Result<(), PackError> {
        self.flushing(|file| file.flush())
    }

    fn flushing<T>(&mut self, flush: impl FnOnce(&dyn PackFile) -> io::Result<T>) -> Result<T, PackError> {
        let open = self.open()?;
        let pack = open.pack;
        flush(&*open.file).map_err(|error| {
            if is_of_bucket(&error) {
                // On the disk it is flushed; only the bucket did not take it.
                self.take_back();
            } else if let Some(open) = self.open.take() {
                self.slot.0.abandon(open);
            }
            PackError::io(pack, "flush", error)
        })
    }

    fn take_back(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        if open.cut_back().is_ok() {
            self.slot.0.give_back(open);
        } else {
            self.slot.0.abandon(open);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.take_back();
    }
}

impl Shared {
    /// Puts a pack back for the next upload, or closes it if it is full.
    fn give_back(&self, open: OpenPack) {
        self.note(open.pack, open.end, Standing::Open);
        if open.end >= self.options.pack_bytes_max {
            self.close(open);
        } else {
            lock(&self.pool).idle.push(open);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::Options;
    use super::*;
    use crate::dicom::uid::{InstanceUid, SeriesUid, StudyUid};

    /// The file is a hole: it is its length that tar and the record must carry.
    #[test]
    fn more_than_tar_could_count() {
        let dir = tempfile::tempdir().unwrap();
        let packs = Packs::open(dir.path(), Options::default()).unwrap();
        let path = InstancePath {
            study: StudyUid::parse("1.2").unwrap(),
            series: SeriesUid::parse("1.2.3").unwrap(),
            instance: InstanceUid::parse("1.2.3.4").unwrap(),
        };
        let length = (8 << 30) + 5;
        let mut upload = packs.begin().unwrap();
        (upload.length, upload.stored) = (length, length);
        let place = upload.finish(&path, Stamp(1), Role::Current, Digest([1; 32])).unwrap();
        assert_eq!(place, Place { pack: place.pack, offset: 1536, length });
        assert_eq!(packs.list()[0].length, 1536 + length.next_multiple_of(512) + 1024);

        let pack = dir.path().join("0000/00000001.tar");
        let Ok(listed) = Command::new("tar").arg("-tvf").arg(pack).output() else { return };
        let (said, complaint) = (String::from_utf8(listed.stdout).unwrap(), listed.stderr);
        assert!(said.contains(&length.to_string()) && complaint.is_empty(), "{said}");
    }
}
