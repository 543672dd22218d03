//! The words the storages share: where bytes lie and how they are known to be
//! the right ones.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a pack. Packs are numbered in the order they were begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackId(pub u32);

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

/// Where a DICOM file lies in a pack: the bytes as received, without tar's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub pack: PackId,
    /// Bytes from the start of the pack to the first byte of the file.
    pub offset: u64,
    /// Bytes of the file.
    pub length: u64,
}

/// BLAKE3 of a file's bytes as received.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As what a file was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Role {
    /// As the instance itself; what was there before is an older version since.
    #[default]
    Current,
    /// Beside the instance that was there already and stays: kept as a version
    /// of it, and never the one that is shown.
    Kept,
}

/// CRC-32 (IEEE) of each [`CHUNK_BYTES`] of a file, so that a range can be
/// checked without reading the whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chunks(pub Vec<u32>);

/// Bytes per entry of [`Chunks`]; the last chunk may be shorter.
pub const CHUNK_BYTES: u64 = 64 * 1024;

/// Microseconds since 1970-01-01T00:00:00Z, unique and rising within an
/// archive: the order of all that was ever stored or deleted. It stands in the
/// packs, so it survives the loss of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Stamp(pub u64);
