//! What may go wrong with packs, by meaning. Every error names the pack and,
//! where there is one, the offset; none carries a byte of a stored file.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::storage::PackId;
use crate::storage::seal::KeyError;

/// A pack could not be written, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The disk or its quota is full; the pack is as it was before, and
    /// writing goes on when there is room again.
    #[error("there is no space left for pack {pack}")]
    Full { pack: PackId },
    /// As many uploads are being streamed as are allowed.
    #[error("all {streams_max} upload streams are in use")]
    Busy { streams_max: usize },
    /// As many files are open as the system allows.
    #[error("no file can be opened for pack {pack}: too many are open")]
    Descriptors { pack: PackId },
    /// An upload goes on after one of its writes failed.
    #[error("the upload to pack {pack} has failed before")]
    Over { pack: PackId },
    /// The bytes read are not the bytes that were written.
    #[error("pack {pack} is damaged at byte {offset}: {why}")]
    Damaged { pack: PackId, offset: u64, why: Why },
    /// There is no such pack: it was compacted away, or lost.
    #[error("there is no pack {pack}")]
    Missing { pack: PackId },
    /// A range that is not wholly inside the file it is asked of.
    #[error("bytes {start}..{end} are not in a file of {length} bytes in pack {pack}")]
    OutOfRange { pack: PackId, start: u64, end: u64, length: u64 },
    /// The operation does not fit what the pack is at present.
    #[error("pack {pack} is {found}, so it cannot be {wanted}")]
    Standing { pack: PackId, found: Standing, wanted: &'static str },
    /// The packs were written by a newer Hilum.
    #[error(
        "{path} says format {found}, and this version of hilum knows formats up to {known}: use a newer hilum"
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    /// The FORMAT file is there and says nothing.
    #[error("{path} cannot be understood")]
    Format { path: PathBuf },
    /// Another process holds the packs.
    #[error("{path} is held by another process: a server that runs, or another command")]
    Locked { path: PathBuf },
    /// Files are encrypted, and their keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The pack is in a bucket, which does not answer.
    #[error("pack {pack} is in a bucket that does not answer: {source}")]
    Away { pack: PackId, source: io::Error },
    /// A bucket did not do what it was asked for.
    #[error("{place}: {source}")]
    Bucket { place: String, source: io::Error },
    #[error("{place} holds the packs of another archive: give this one another bucket, or another prefix")]
    Foreign { place: String },
    #[error(
        "{place} holds pack {pack} of this archive, and the archive's folder does not: a restored archive needs \
         another bucket or prefix; an empty folder takes over all that is in the bucket"
    )]
    Ahead { place: String, pack: PackId },
    /// There are packs in a bucket, and nobody said in which.
    #[error("packs of {path} lie in a bucket: name it (tier.bucket in the configuration)")]
    Bucketless { path: PathBuf },
    #[error("could not {action} pack {pack}")]
    Io { pack: PackId, action: &'static str, source: io::Error },
    #[error("could not {action} {path}")]
    Folder { path: PathBuf, action: &'static str, source: io::Error },
}

#[allow(clippy::wildcard_enum_match_arm, reason = "only kinds with a meaning here are told apart")]
impl PackError {
    /// Sorts an error of the disk by its meaning.
    pub(super) fn io(pack: PackId, action: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { pack },
            io::ErrorKind::HostUnreachable => Self::Away { pack, source },
            _ if is_out_of_descriptors(&source) => Self::Descriptors { pack },
            _ => Self::Io { pack, action, source },
        }
    }

    /// The same for what is done to a pack by its name.
    pub(super) fn named(pack: PackId, action: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { pack },
            _ => Self::io(pack, action, source),
        }
    }

    /// The same for a read from `offset`, where the end of the pack is damage.
    pub(super) fn read(pack: PackId, offset: u64, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged { pack, offset, why: Why::Short },
            // Of a block from a bucket.
            io::ErrorKind::InvalidData => Self::Damaged { pack, offset, why: Why::Checksum },
            _ => Self::named(pack, "read", source),
        }
    }
}

impl PackError {
    /// The disk refused a change, for another reason than a lack of room.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Io { action, .. } if !matches!(*action, "open" | "read"))
    }
}

/// Whether a flush failed only after the disk had flushed: the bucket did not take
/// it. A disk behind a network may say too that its host cannot be reached, with a
/// number of the system's.
pub(super) fn is_of_bucket(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::HostUnreachable && error.raw_os_error().is_none()
}

/// `EMFILE` and `ENFILE`, for which the standard library has no kind.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// In what way bytes are wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No valid record stands where one should begin.
    Header,
    /// The pack ends before the file does.
    Short,
    /// A whole file does not have the digest its record gives.
    Digest,
    /// A part of a file does not have its checksum.
    Checksum,
    /// An encrypted part of a file is not what was encrypted.
    Seal,
    /// The disk refused to read it.
    Unreadable,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "no valid record begins here",
            Self::Short => "the pack ends too early",
            Self::Digest => "the file does not have its digest",
            Self::Checksum => "the bytes do not have their checksum",
            Self::Seal => "the bytes are not what was encrypted",
            Self::Unreadable => "the disk cannot read it",
        })
    }
}

/// What a pack is at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Found unsealed at the start and not yet resumed; it can be read and replayed.
    Unrecovered,
    /// Takes appends or uploads.
    Open,
    /// Takes no more: full, or closed on purpose.
    Sealed,
    /// A flush of it failed, so it is never written again by this process.
    /// What was acknowledged from it before is durable.
    Abandoned,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unrecovered => "not yet recovered",
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Abandoned => "abandoned",
        })
    }
}
