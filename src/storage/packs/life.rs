//! The life of a pack: begun, resumed after a stop, sealed when full, given up
//! when the disk fails it, removed when nothing in it is live.
//!
//! Invariants: a pack is in one writer's hands at a time, as an [`OpenPack`];
//! a pack's number is never used twice; an empty pack is an empty archive and
//! not an empty file, which tar would not take.

use std::io::{self, IoSlice, Read};

use super::record::BLOCK_BYTES;
use super::{Access, OpenPack, PackError, PackFile, Packs, Shared, Standing, Why, lock};
use crate::storage::PackId;

/// The end of a tar archive: two blocks of zeros.
const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

impl Packs {
    /// Takes an unrecovered pack into service again: cuts off what lies behind
    /// `end`, which a replay gave as [`super::ReplayEnd::valid_until`], and appends from
    /// there on. What is cut and is not all zero is kept aside first.
    ///
    /// # Errors
    /// `Standing`, `Damaged` when `end` is no possible end, `Full` when there is
    /// no room for the copy, and what the disk says. The pack is then as before.
    pub fn resume(&self, pack: PackId, end: u64) -> Result<(), PackError> {
        let shared = &*self.shared;
        let standing = shared.standing(pack)?;
        if standing != Standing::Unrecovered {
            return Err(PackError::Standing { pack, found: standing, wanted: "resumed" });
        }
        let open = shared.volume.open(pack, Access::Write);
        let file = open.map_err(|error| PackError::named(pack, "open", error))?;
        let length = file.length().map_err(|error| PackError::io(pack, "read", error))?;
        if end > length || !end.is_multiple_of(BLOCK_BYTES as u64) {
            return Err(PackError::Damaged { pack, offset: end, why: Why::Short });
        }
        let mark = shared.mark(pack, &*file);
        shared.set_aside(pack, &*file, end, length)?;
        let open = OpenPack { pack, mark, file, end };
        open.cut_back().map_err(|error| PackError::io(pack, "cut", error))?;
        // A replay may have been served from memory what never reached the disk.
        open.file.flush().map_err(|error| PackError::io(pack, "flush", error))?;
        shared.note(pack, end, Standing::Open);
        if end >= shared.options.pack_bytes_max || !shared.takes_files(pack) {
            shared.close(open);
            return Ok(());
        }
        shared.employ(open);
        Ok(())
    }

    /// Closes an open pack: the end mark of tar, and never a write again. Does
    /// nothing to one that is closed.
    ///
    /// # Errors
    /// `Busy` while an upload writes it, `Standing` when it is unrecovered, and
    /// what the disk says.
    pub fn seal(&self, pack: PackId) -> Result<(), PackError> {
        let shared = &*self.shared;
        match shared.standing(pack)? {
            Standing::Sealed | Standing::Abandoned => return Ok(()),
            found @ Standing::Unrecovered => {
                return Err(PackError::Standing { pack, found, wanted: "sealed" });
            }
            Standing::Open => {}
        }
        let mut batch = lock(&shared.batch);
        let open = if batch.as_ref().is_some_and(|open| open.pack == pack) {
            batch.take()
        } else {
            let mut pool = lock(&shared.pool);
            let index = pool.idle.iter().position(|open| open.pack == pack);
            index.map(|index| pool.idle.swap_remove(index))
        };
        drop(batch);
        let open = open.ok_or(PackError::Busy { streams_max: shared.options.streams_max })?;
        shared.try_close(open)
    }

    /// Deletes a closed pack for good, after what is live in it was stored
    /// elsewhere. Readings under way may end; later ones find it `Missing`.
    ///
    /// # Errors
    /// `Standing` when it is not closed, and what the disk says.
    pub fn remove(&self, pack: PackId) -> Result<(), PackError> {
        let shared = &*self.shared;
        match shared.standing(pack)? {
            Standing::Sealed | Standing::Abandoned => {}
            found @ (Standing::Open | Standing::Unrecovered) => {
                return Err(PackError::Standing { pack, found, wanted: "removed" });
            }
        }
        // The highest number on the disk is how the next one is known, and a
        // number must not come back while a catalog may remember it.
        if lock(&shared.known).packs.last_key_value().is_some_and(|(&last, _)| last == pack) {
            let next = shared.begin_pack()?;
            shared.employ(next);
        }
        shared.take_away(pack).map_err(|error| PackError::named(pack, "remove", error))
    }
}

impl OpenPack {
    /// Cuts off what lies behind the last whole entry.
    pub(super) fn cut_back(&self) -> io::Result<()> {
        self.file.resize(self.end)?;
        if self.end == 0 { self.file.resize(END.len() as u64) } else { Ok(()) }
    }
}

impl Shared {
    /// Begins a new pack, durably.
    pub(super) fn begin_pack(&self) -> Result<OpenPack, PackError> {
        let pack = {
            let mut known = lock(&self.known);
            let next = known.highest.checked_add(1);
            // Not to be met: it would take as many packs as there are numbers.
            let pack = next.map(PackId).ok_or(PackError::Full { pack: PackId(u32::MAX) })?;
            known.highest = pack.0;
            pack
        };
        let file = self.volume.create(pack).map_err(|error| PackError::io(pack, "create", error))?;
        self.note(pack, 0, Standing::Open);
        let open = OpenPack { pack, mark: self.own_mark(pack), file, end: 0 };
        if let Err(error) = open.cut_back() {
            self.abandon(open);
            return Err(PackError::io(pack, "begin", error));
        }
        self.sweep(pack);
        Ok(open)
    }

    /// Removes the packs that were given up before anything was in them, as a
    /// failing disk makes many. The newest pack stays: its number is remembered by it.
    fn sweep(&self, newest: PackId) {
        let empty: Vec<PackId> = {
            let known = lock(&self.known);
            let older = known.packs.range(..newest);
            older.filter(|(_, known)| **known == (0, Standing::Abandoned)).map(|(&pack, _)| pack).collect()
        };
        for pack in empty {
            // One that cannot be removed does no harm.
            drop(self.take_away(pack));
        }
    }

    fn take_away(&self, pack: PackId) -> io::Result<()> {
        self.volume.remove(pack)?;
        lock(&self.known).packs.remove(&pack);
        self.files.forget(pack);
        Ok(())
    }

    /// Gives an open pack its work: the batch if that has none, else uploads.
    /// One too many is closed.
    fn employ(&self, open: OpenPack) {
        // When the batch is at work it has a pack; nobody waits for the disk here.
        if let Ok(mut batch) = self.batch.try_lock()
            && batch.is_none()
        {
            *batch = Some(open);
            return;
        }
        let surplus = {
            let mut pool = lock(&self.pool);
            if pool.idle.len() + pool.streams < self.options.streams_max {
                pool.idle.push(open);
                None
            } else {
                Some(open)
            }
        };
        if let Some(open) = surplus {
            self.close(open);
        }
    }

    /// Closes a pack whose entries are all durable, so that it is not worth an
    /// error if the end mark cannot be written.
    pub(super) fn close(&self, open: OpenPack) {
        let pack = open.pack;
        if let Err(error) = self.try_close(open) {
            tracing::warn!(%pack, %error, "a full pack could not be sealed and is left as it is");
        }
    }

    fn try_close(&self, open: OpenPack) -> Result<(), PackError> {
        let OpenPack { pack, file, end, .. } = open;
        let written = file.write_all_at(&mut [IoSlice::new(&END)], end).and_then(|()| file.seal());
        match written {
            Ok(()) => {
                self.note(pack, end + END.len() as u64, Standing::Sealed);
                Ok(())
            }
            Err(error) => {
                self.note(pack, end, Standing::Abandoned);
                Err(PackError::io(pack, "seal", error))
            }
        }
    }

    /// Gives a pack up after a failed flush or cut. What lies behind its end was
    /// refused to whoever sent it: it is cut if that can be, so that a later
    /// start does not find in memory what is not on the disk.
    #[allow(clippy::needless_pass_by_value, reason = "it is not to be used any more")]
    pub(super) fn abandon(&self, open: OpenPack) {
        tracing::error!(pack = %open.pack, end = open.end, "the disk failed a pack, which is given up");
        drop(open.cut_back());
        self.note(open.pack, open.end, Standing::Abandoned);
    }

    /// Keeps a copy of `end..length` unless it is all zero.
    fn set_aside(&self, pack: PackId, file: &dyn PackFile, end: u64, length: u64) -> Result<(), PackError> {
        let tail = || io::BufReader::with_capacity(256 << 10, Tail { file, at: end, end: length });
        let failed = |error| PackError::io(pack, "keep a copy of the end of", error);
        if all_zero(tail()).map_err(failed)? {
            return Ok(());
        }
        tracing::warn!(%pack, from = end, to = length, "the end of a pack is torn; a copy of it is kept");
        self.volume.set_aside(pack, end, &mut tail()).map_err(failed)
    }
}

fn all_zero(mut bytes: impl io::BufRead) -> io::Result<bool> {
    loop {
        let piece = bytes.fill_buf()?;
        if piece.is_empty() {
            return Ok(true);
        }
        if piece.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        let length = piece.len();
        bytes.consume(length);
    }
}

/// A range of a pack as a stream.
struct Tail<'a> {
    file: &'a dyn PackFile,
    at: u64,
    end: u64,
}

impl Read for Tail<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let take = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..take) else { return Ok(0) };
        self.file.read_exact_at(buffer, self.at)?;
        self.at += take as u64;
        Ok(take)
    }
}
