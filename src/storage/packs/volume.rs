//! The seam: where pack files lie. A local folder ([`super::local`]) and a disk
//! that fails on command ([`super::faulty`]) stand behind it, and a folder
//! with a bucket ([`super::tiered`]). It knows bytes
//! and names; what the bytes mean is decided above.
//!
//! Invariant: what was written is durable when `flush` returned well, a created
//! pack is durable when `create` returned, and nothing else is promised.

use std::io::{self, IoSlice, Read};
use std::sync::Arc;

use crate::storage::PackId;

/// A place that holds pack files.
pub trait Volume: Send + Sync {
    /// A secret of the archive that never changes, from which the marks of its
    /// packs are made.
    fn key(&self) -> [u8; 32];

    /// All packs, in no order.
    ///
    /// # Errors
    /// What the storage says.
    fn list(&self) -> io::Result<Vec<Listed>>;

    /// Makes an empty pack that is still there after a crash.
    ///
    /// # Errors
    /// `AlreadyExists`, `StorageFull`, what else the storage says.
    fn create(&self, pack: PackId) -> io::Result<Arc<dyn PackFile>>;

    /// # Errors
    /// `NotFound`, what else the storage says.
    fn open(&self, pack: PackId, access: Access) -> io::Result<Arc<dyn PackFile>>;

    /// Deletes a pack for good. Who has it open may still read it.
    ///
    /// # Errors
    /// `NotFound`, what else the storage says.
    fn remove(&self, pack: PackId) -> io::Result<()>;

    /// The text of the key ring that lies beside the packs; none if they are not
    /// encrypted.
    ///
    /// # Errors
    /// What the storage says.
    fn key_ring(&self) -> io::Result<Option<Vec<u8>>>;

    /// Puts a key ring in the place of the one there is, if there is one: whole
    /// or not at all, and for good.
    ///
    /// # Errors
    /// `StorageFull`, what else the storage says.
    fn put_key_ring(&self, text: &[u8]) -> io::Result<()>;

    /// Keeps a copy of what is about to be cut from a pack at `offset`.
    ///
    /// # Errors
    /// What the storage says.
    fn set_aside(&self, pack: PackId, offset: u64, bytes: &mut dyn Read) -> io::Result<()>;
}

/// An open pack.
pub trait PackFile: Send + Sync {
    /// # Errors
    /// What the storage says.
    fn length(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end, what else the storage says.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes the parts one after the other from `offset` on. One writer at a time.
    ///
    /// # Errors
    /// `StorageFull`, what else the storage says; some of it may then be written.
    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes all that was written durable. After an error nothing is known of
    /// what was written since the last flush, and a second flush may lie.
    ///
    /// # Errors
    /// What the storage says.
    fn flush(&self) -> io::Result<()>;

    /// Begins to make durable what was written so far, while more is written, if
    /// the storage can and is not at it already; whether it does. The next call
    /// of this, `flush` or `seal` tells how it ended.
    ///
    /// # Errors
    /// As of `flush`, for one that was begun before.
    fn begin_flush(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Cuts off what is behind `length`, or adds zeros up to it.
    ///
    /// # Errors
    /// What the storage says.
    fn resize(&self, length: u64) -> io::Result<()>;

    /// Told that bytes are not what they should be. Whether they came from
    /// somewhere that may have them right when it is asked again.
    fn doubt(&self, _offset: u64, _length: u64) -> bool {
        false
    }

    /// Flushes, and marks the pack as one that is not written again.
    ///
    /// # Errors
    /// What the storage says.
    fn seal(&self) -> io::Result<()>;
}

/// A pack found on a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    pub pack: PackId,
    pub length: u64,
    pub sealed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    /// To be read once, from the beginning to the end.
    Scan,
    Write,
}
