//! The batch way in: files and tombstones that are in memory, appended to the
//! batch pack with one flush for all of them.
//!
//! Invariant: all or nothing. The first record of a batch is written last, so
//! until then the pack ends for tar where it ended before; and when anything
//! fails the pack is cut back, or given up if it was the flush that failed.

use std::borrow::Cow;
use std::io::IoSlice;

use super::error::is_of_bucket;
use super::record::{RECORD_BYTES, What, encode, padded, padding};
use super::sealed::{Claim, PackKey};
use super::{OpenPack, PackError, Packs, Shared, lock};
use crate::dicom::uid::InstancePath;
use crate::storage::seal::sealed_length;
use crate::storage::{Digest, Place, Role, Stamp};

/// Entries whose records are in memory at the same time. Of files a batch has no more,
/// but of a study that is deleted there may be any number.
const RECORDS_MAX: usize = 1024;

/// What is appended.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    File(NewFile<'a>),
    /// The instance was deleted at `stamp`.
    Tombstone {
        path: &'a InstancePath,
        stamp: Stamp,
    },
}

/// A file that is in memory.
#[derive(Debug, Clone, Copy)]
pub struct NewFile<'a> {
    pub path: &'a InstancePath,
    pub stamp: Stamp,
    pub role: Role,
    /// BLAKE3 of `bytes`; without it a replay does not accept the file.
    pub digest: Digest,
    pub bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::File(file) => file.bytes,
            Self::Tombstone { .. } => &[],
        }
    }

    fn record(&self, open: &OpenPack, place: Place, key: Option<&PackKey>) -> [u8; RECORD_BYTES] {
        let seat = open.seat(place.entry_start());
        match *self {
            Self::File(NewFile { path, stamp, role, digest, bytes }) => {
                let proof = Claim { path, stamp, role, digest, place }.proof(key);
                let what = What::Stored { role, length: bytes.len() as u64, proof };
                encode(path, stamp, what, seat)
            }
            Self::Tombstone { path, stamp } => encode(path, stamp, What::Deleted, seat),
        }
    }
}

impl Packs {
    /// Appends the entries, flushes once, and tells where each lies (a
    /// tombstone as a file of no length). To be called by one thread; a second
    /// one waits.
    ///
    /// # Errors
    /// `Full`, and what the disk says. Then none of them is stored. (Only if the
    /// power fails before the pack is written again may a replay find some: the
    /// disk may have kept what it was not yet told to forget.)
    pub fn append(&self, entries: &[Entry<'_>]) -> Result<Vec<Place>, PackError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let shared = &*self.shared;
        let mut batch = lock(&shared.batch);
        let mut open = shared.batch_pack(batch.take(), entries)?;
        let key = shared.pack_key(open.pack);
        let (places, end) = match write(&open, entries, key.as_ref()) {
            Ok(written) => written,
            Err(error) => {
                let error = PackError::io(open.pack, "write", error);
                if open.cut_back().is_ok() {
                    *batch = Some(open);
                } else {
                    shared.abandon(open);
                }
                return Err(error);
            }
        };
        if let Err(error) = open.file.flush() {
            // On the disk it is flushed; only the bucket did not take it.
            let reusable = is_of_bucket(&error) && open.cut_back().is_ok();
            let error = PackError::io(open.pack, "flush", error);
            if reusable {
                *batch = Some(open);
            } else {
                shared.abandon(open);
            }
            return Err(error);
        }
        open.end = end;
        shared.note(open.pack, end, super::Standing::Open);
        if end >= shared.options.pack_bytes_max {
            shared.close(open);
        } else {
            *batch = Some(open);
        }
        Ok(places)
    }
}

impl Shared {
    /// The pack for these entries: the one at hand if they fit, else a new one.
    fn batch_pack(&self, at_hand: Option<OpenPack>, entries: &[Entry<'_>]) -> Result<OpenPack, PackError> {
        let sealed = at_hand.as_ref().is_some_and(|open| self.pack_key(open.pack).is_some());
        let bytes = |entry: &Entry<'_>| {
            let length = entry.bytes().len() as u64;
            let content = if sealed { sealed_length(length) } else { Some(length) };
            content.and_then(padded).unwrap_or(u64::MAX).saturating_add(RECORD_BYTES as u64)
        };
        let total = entries.iter().map(bytes).fold(0, u64::saturating_add);
        if let Some(open) = at_hand {
            if open.end == 0 || open.end.saturating_add(total) <= self.options.pack_bytes_max {
                return Ok(open);
            }
            self.close(open);
        }
        self.begin_pack()
    }
}

/// Writes the entries behind the end of the pack; the places, and the new end.
fn write(
    open: &OpenPack,
    entries: &[Entry<'_>],
    key: Option<&PackKey>,
) -> std::io::Result<(Vec<Place>, u64)> {
    let mut places = Vec::with_capacity(entries.len());
    let mut first_record = None;
    let mut at = open.end;
    for group in entries.chunks(RECORDS_MAX) {
        let begin = at;
        let mut records = Vec::with_capacity(group.len());
        let mut contents = Vec::with_capacity(group.len());
        for entry in group {
            let bytes = entry.bytes();
            let offset = at + RECORD_BYTES as u64;
            let place = Place { pack: open.pack, offset, length: bytes.len() as u64 };
            records.push(entry.record(open, place, key));
            let content = match key {
                Some(key) => Cow::Owned(key.seal(offset, bytes)?),
                None => Cow::Borrowed(bytes),
            };
            at = offset + content.len() as u64 + padding(content.len() as u64).len() as u64;
            contents.push(content);
            places.push(place);
        }
        let mut parts = Vec::with_capacity(group.len() * 3);
        for (content, record) in contents.iter().zip(&records) {
            parts.push(IoSlice::new(record));
            parts.push(IoSlice::new(content));
            parts.push(IoSlice::new(padding(content.len() as u64)));
        }
        if first_record.is_none() {
            first_record = records.first().copied();
            let (_, rest) = parts.split_at_mut(1);
            open.file.write_all_at(rest, begin + RECORD_BYTES as u64)?;
        } else {
            open.file.write_all_at(&mut parts, begin)?;
        }
    }
    let first = first_record.unwrap_or([0; RECORD_BYTES]);
    open.file.write_all_at(&mut [IoSlice::new(&first)], open.end)?;
    Ok((places, at))
}
