//! Reads a pack as the log it is: every entry from a position on, each file
//! held against its digest. It repairs nothing.
//!
//! Where no valid record stands the next one is looked for block by block, so
//! damage costs what it lies in and nothing after it. That is safe because a
//! record is valid only where it was written ([`super::record`]).

use std::io;
use std::ops::{ControlFlow, Range};

use super::record::{BLOCK_BYTES, Proof, RECORD_BYTES, Record, What, decode, may_begin, padded};
use super::sealed::{Claim, PackKey};
use super::{Hashed, Hasher, PackError, PackFile, Packs, Standing, Why};
use crate::dicom::uid::InstancePath;
use crate::storage::seal::{KeyError, sealed_length};
use crate::storage::{CHUNK_BYTES, Chunks, Digest, PackId, Place, Role, Stamp};

/// Bytes read at a time.
const WINDOW_BYTES: u64 = 1 << 20;
/// What a disk cannot read is passed over in steps of this size.
const SECTOR_BYTES: u64 = 4096;
/// After so many refusals it is the disk that is at fault and not the pack.
const REFUSALS_MAX: u32 = 1024;

/// What a replay meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// A file whose bytes have their digest.
    File {
        path: InstancePath,
        stamp: Stamp,
        role: Role,
        digest: Digest,
        chunks: Chunks,
        place: Place,
    },
    Tombstone {
        path: InstancePath,
        stamp: Stamp,
        place: Place,
    },
    /// Bytes without worth before what follows.
    Damaged(Damage),
}

/// A part of a pack that is not what was written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub offset: u64,
    pub length: u64,
    pub why: Why,
    /// Of the file that is damaged, where its record can still be read.
    pub instance: Option<(InstancePath, Stamp)>,
}

/// How a replay ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayEnd {
    /// End of the last whole entry, or where the replay began if there was none.
    pub valid_until: u64,
    /// What lies behind in a pack that was not sealed, other than zeros: an
    /// entry that a crash cut short, most likely. [`Packs::resume`] cuts it off.
    pub tail: Vec<Damage>,
}

impl Packs {
    /// Gives every entry of a pack from `from` on, which is 0 or the end of an
    /// entry ([`Self::entry_end`]). Every file is read and checked. An open
    /// pack is read up to its last whole entry at the time of the call.
    ///
    /// # Errors
    /// `Damaged` when `from` is behind the end of the pack, `Missing`, and what
    /// the disk says. Damage within is not an error. `Keys` where a file is
    /// encrypted and there is no key: nothing is known then of what follows.
    pub fn replay(
        &self,
        pack: PackId,
        from: u64,
        each: &mut dyn FnMut(Replayed) -> ControlFlow<()>,
    ) -> Result<ReplayEnd, PackError> {
        self.replay_at_a_pace(pack, from, &mut |_| true, each)
    }

    /// As [`Self::replay`]; `pace` is told of so many bytes before they are
    /// read, and may take its time. When it is false the replay ends in an error.
    ///
    /// # Errors
    /// As [`Self::replay`].
    pub fn replay_at_a_pace(
        &self,
        pack: PackId,
        from: u64,
        pace: &mut dyn FnMut(u64) -> bool,
        each: &mut dyn FnMut(Replayed) -> ControlFlow<()>,
    ) -> Result<ReplayEnd, PackError> {
        let shared = &*self.shared;
        let standing = shared.standing(pack)?;
        let file = shared.scan(pack)?;
        let length = match standing {
            Standing::Sealed => file.length(),
            // What a process that died had not flushed may still be only in
            // memory; what is replayed must be as durable as what is appended.
            Standing::Unrecovered => file.flush().and_then(|()| file.length()),
            Standing::Open | Standing::Abandoned => Ok(shared.length(pack)?),
        };
        let length = length.map_err(|error| PackError::io(pack, "read", error))?;
        if from > length || !from.is_multiple_of(BLOCK_BYTES as u64) {
            return Err(PackError::Damaged { pack, offset: from, why: Why::Short });
        }
        let mark = shared.mark(pack, &*file);
        let key = shared.pack_key(pack);
        let mut walk = Walk { pack, mark, key, window: Window::new(&*file, length, pace) };
        let mut end = walk.run(from, each)?;
        if standing == Standing::Sealed {
            // A sealed pack was whole: there is no tail, only damage.
            let _ = end.tail.drain(..).map(Replayed::Damaged).try_for_each(each);
        }
        Ok(end)
    }

    /// The same for a range of a pack, whatever the pack is at present: for one
    /// that another process writes, up to where that said it is durable.
    ///
    /// # Errors
    /// `Missing`, and what the disk says. Damage within is not an error.
    pub(super) fn replay_within(
        &self,
        pack: PackId,
        range: Range<u64>,
        each: &mut dyn FnMut(Replayed) -> ControlFlow<()>,
    ) -> Result<ReplayEnd, PackError> {
        let file = self.shared.scan(pack)?;
        let mark = self.shared.mark(pack, &*file);
        let key = self.shared.pack_key(pack);
        let mut pace = |_| true;
        let window = Window::new(&*file, range.end, &mut pace);
        Walk { pack, mark, key, window }.run(range.start, each)
    }
}

struct Walk<'a> {
    pack: PackId,
    mark: u64,
    key: Option<PackKey>,
    window: Window<'a>,
}

/// What stands at a position, and where to go on.
enum Found {
    Entry(Replayed, u64),
    Damage(Damage, u64),
    /// Zeros to the end of the pack.
    Nothing,
    /// A file of which nothing can be said without the key.
    Locked,
}

impl Walk<'_> {
    fn run(
        &mut self,
        from: u64,
        each: &mut dyn FnMut(Replayed) -> ControlFlow<()>,
    ) -> Result<ReplayEnd, PackError> {
        let mut at = from;
        let mut end = ReplayEnd { valid_until: from, tail: Vec::new() };
        while at < self.window.end {
            let found = self.at(at);
            match found.map_err(|error| PackError::read(self.pack, at, error))? {
                Found::Nothing => break,
                Found::Locked => return Err(KeyError::Lost { pack: self.pack }.into()),
                Found::Damage(damage, next) => {
                    end.tail.push(damage);
                    at = next;
                }
                Found::Entry(entry, next) => {
                    // What follows proves that this was damage and not the tail.
                    let damages = end.tail.drain(..).map(Replayed::Damaged).try_for_each(&mut *each);
                    if damages.is_break() {
                        break;
                    }
                    end.valid_until = next;
                    at = next;
                    if each(entry).is_break() {
                        break;
                    }
                }
            }
        }
        Ok(end)
    }

    fn at(&mut self, at: u64) -> io::Result<Found> {
        let Some((Record { path, stamp, what }, _)) = self.record(at)? else {
            return self.search(at);
        };
        let place = Place { pack: self.pack, offset: at + RECORD_BYTES as u64, length: what.length() };
        let damage = |why, end: u64, path, stamp| {
            let damage = Damage { offset: at, length: end - at, why, instance: Some((path, stamp)) };
            Ok(Found::Damage(damage, end))
        };
        let next = what.stored_length().and_then(padded);
        let next = next.and_then(|length| place.offset.checked_add(length));
        let Some(next) = next.filter(|&next| next <= self.window.end) else {
            return damage(Why::Short, self.window.end, path, stamp);
        };
        let (role, proof) = match what {
            What::Deleted => return Ok(Found::Entry(Replayed::Tombstone { path, stamp, place }, next)),
            What::Stored { role, proof, .. } => (role, proof),
        };
        let hashed = match (proof, &self.key) {
            (Proof::Digest(_), None) => self.window.hash(place.offset, place.length)?,
            (Proof::Sealed(_), Some(key)) => self.window.hash_sealed(place.offset, place.length, key)?,
            (Proof::Sealed(_), None) => return Ok(Found::Locked),
            // A pack whose files are encrypted has no others but from a stranger.
            (Proof::Digest(_), Some(_)) => Err(Why::Seal),
        };
        match hashed {
            Ok(Hashed { digest, chunks, .. })
                if proof == (Claim { path: &path, stamp, role, digest, place }).proof(self.key.as_ref()) =>
            {
                Ok(Found::Entry(Replayed::File { path, stamp, role, digest, chunks, place }, next))
            }
            Ok(_) => damage(Why::Digest, next, path, stamp),
            Err(why) => damage(why, next, path, stamp),
        }
    }

    fn record(&mut self, at: u64) -> io::Result<Option<(Record, u64)>> {
        let mark = self.mark;
        Ok(self.window.array::<RECORD_BYTES>(at)?.and_then(|bytes| decode(bytes, Some(mark), at)))
    }

    /// Looks for the next valid record behind `from`, where there is none.
    fn search(&mut self, from: u64) -> io::Result<Found> {
        let (mut at, mut why, mut zero) = (from, Why::Header, true);
        while at < self.window.end {
            let Some(block) = self.window.piece(at, BLOCK_BYTES as u64)? else {
                (why, zero) = (Why::Unreadable, false);
                at = (at + 1).next_multiple_of(SECTOR_BYTES);
                continue;
            };
            zero = zero && block.iter().all(|&byte| byte == 0);
            if may_begin(block) && self.record(at)?.is_some() {
                break;
            }
            at += BLOCK_BYTES as u64;
        }
        let at = at.min(self.window.end);
        if zero && at == self.window.end {
            return Ok(Found::Nothing);
        }
        Ok(Found::Damage(Damage { offset: from, length: at - from, why, instance: None }, at))
    }
}

/// A part of the pack in memory, that moves along.
struct Window<'a> {
    file: &'a dyn PackFile,
    end: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Up to here it is read in small pieces, as one of them was refused.
    careful_until: u64,
    refusals: u32,
    pace: &'a mut dyn FnMut(u64) -> bool,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn PackFile, end: u64, pace: &'a mut dyn FnMut(u64) -> bool) -> Self {
        Self { file, end, start: 0, bytes: Vec::new(), careful_until: 0, refusals: 0, pace }
    }

    /// The bytes from `at` on, at least one and at most `length`, fewer at the
    /// end of the window. `None` where the disk refuses, or nothing is left.
    fn piece(&mut self, at: u64, length: u64) -> io::Result<Option<&[u8]>> {
        let inside = |bytes: &[u8], start: u64| at >= start && at - start < bytes.len() as u64;
        if !inside(&self.bytes, self.start) && !self.fill(at)? {
            return Ok(None);
        }
        let skip = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(skip..).unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes.get(..length))
    }

    /// Exactly `N` bytes from `at` on. `None` where there are not so many, or
    /// the disk refuses.
    fn array<const N: usize>(&mut self, at: u64) -> io::Result<Option<&[u8; N]>> {
        if at + N as u64 > self.end {
            return Ok(None);
        }
        let inside = at >= self.start && at + N as u64 <= self.start + self.bytes.len() as u64;
        if !inside && !self.fill(at)? {
            return Ok(None);
        }
        let skip = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(skip..).and_then(|bytes| bytes.first_chunk()))
    }

    /// The inner error says why there is nothing to be hashed.
    fn hash(&mut self, at: u64, length: u64) -> io::Result<Result<Hashed, Why>> {
        let mut hasher = Hasher::new();
        let mut done = 0;
        while done < length {
            let Some(piece) = self.piece(at + done, length - done)? else { return Ok(Err(Why::Unreadable)) };
            hasher.update(piece);
            done += piece.len() as u64;
        }
        Ok(Ok(hasher.finish()))
    }

    /// The same of a file that is encrypted.
    fn hash_sealed(&mut self, at: u64, length: u64, key: &PackKey) -> io::Result<Result<Hashed, Why>> {
        let (content, mut hasher) = (key.content(at, length), Hasher::new());
        let (mut done, mut sealed) = (0, Vec::new());
        while done < length {
            let end = (done + CHUNK_BYTES).min(length);
            let wanted = sealed_length(end - done).unwrap_or(u64::MAX);
            let from = at + sealed_length(done).unwrap_or(u64::MAX);
            sealed.clear();
            while (sealed.len() as u64) < wanted {
                let read = sealed.len() as u64;
                let Some(piece) = self.piece(from + read, wanted - read)? else {
                    return Ok(Err(Why::Unreadable));
                };
                sealed.extend_from_slice(piece);
            }
            // The buffer is of the length that the chunk has.
            let opened = content.read(done..end, |buffer, _| {
                buffer.copy_from_slice(&sealed);
                Ok(())
            });
            let Ok((plain, _)) = opened else { return Ok(Err(Why::Seal)) };
            hasher.update(&plain);
            done = end;
        }
        Ok(Ok(hasher.finish()))
    }

    /// Moves the window to `at`; less of it where the disk refuses the whole.
    fn fill(&mut self, at: u64) -> io::Result<bool> {
        let left = self.end.saturating_sub(at);
        if !(self.pace)(left.min(WINDOW_BYTES)) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut last = None;
        for length in [WINDOW_BYTES, SECTOR_BYTES, BLOCK_BYTES as u64] {
            let length = length.min(left);
            if length > SECTOR_BYTES && at < self.careful_until {
                continue;
            }
            if length == 0 {
                return Ok(false);
            }
            self.bytes.clear();
            self.bytes.resize(usize::try_from(length).unwrap_or_default(), 0);
            match self.file.read_exact_at(&mut self.bytes, at) {
                Ok(()) => {
                    self.start = at;
                    return Ok(true);
                }
                // Nothing is wrong with what is not to be had at present.
                Err(error) if error.kind() == io::ErrorKind::HostUnreachable => return Err(error),
                Err(error) => {
                    self.careful_until = self.careful_until.max(at + length);
                    last = Some(error);
                }
            }
        }
        self.bytes.clear();
        self.refusals += 1;
        match last {
            Some(error) if self.refusals > REFUSALS_MAX => Err(error),
            _ => Ok(false),
        }
    }
}
