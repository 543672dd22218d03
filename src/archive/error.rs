//! What can go wrong in a transaction, as meanings rather than sources: the
//! http floor maps each to one problem.

use std::path::PathBuf;

use crate::{
    auth::Denied,
    dicom::{InstancePath, part10::ReadError},
    pixels::PixelError,
    render::RenderError,
    storage::{
        backups::BackupError, catalog::CatalogError, commitments::CommitmentError, index::IndexError,
        packs::PackError, uploads::UploadError,
    },
};

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Nothing is known under this path.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A command was pointed at a folder that holds none.
    #[error("there is no archive in {}; --data names another folder", .0.display())]
    NoArchive(PathBuf),
    /// It was here and has been deleted.
    #[error("the {0} has been deleted")]
    Gone(&'static str),
    /// Too much is under way; later it will work.
    #[error("the archive is busy")]
    Busy,
    /// The permit is for less.
    #[error("{0}")]
    NotPermitted(#[from] Denied),
    /// It was here for a time, and that is over.
    #[error("the {0} has expired")]
    Expired(&'static str),
    /// What is to be begun was begun before under the same name.
    #[error("this {0} is in use")]
    Taken(&'static str),
    /// Somebody else is at work on it.
    #[error("the {0} is being changed")]
    Locked(&'static str),
    /// A search would have to look at more than it may.
    #[error("{0}")]
    TooBroad(String),
    /// There is no room on the disk.
    #[error("the disk is full")]
    Full,
    /// The archive holds as much as it may, or would.
    #[error("{0}")]
    OverQuota(String),
    /// The disk takes nothing, and not for want of room; later it may.
    #[error("the disk refuses what is to be stored: {0}")]
    Refused(String),
    /// The archive is about to stop, or a part of it has stopped.
    #[error("the archive is stopping")]
    Stopping,
    /// A frame cannot be decoded, or not be encoded as it was asked for.
    #[error("frame {frame} of {instance}: {why}")]
    Pixels { instance: Box<InstancePath>, frame: u32, why: PixelError },
    /// It is in a bucket that does not answer; later it will.
    #[error("{0}")]
    Away(String),
    /// Stored bytes are not what was stored.
    #[error("stored bytes are damaged: {0}")]
    Damaged(String),
    /// A stored file that was understood once is not understood any more.
    #[error("a stored file cannot be read: {0}")]
    Unreadable(ReadError),
    /// It is no picture of the kind that was asked for.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A restore into the folder was cut off.
    #[error("a restore into this folder was cut off; run it again, or use another folder")]
    Unfinished,
    #[error("packs: {0}")]
    Packs(#[source] PackError),
    #[error("catalog: {0}")]
    Catalog(#[source] CatalogError),
    #[error("index: {0}")]
    Index(#[source] IndexError),
    #[error("storage commitments: {0}")]
    Commitments(#[source] CommitmentError),
    #[error("uploads: {0}")]
    Uploads(#[source] UploadError),
    #[error("{0}")]
    Backups(std::sync::Arc<BackupError>),
    #[error("{0}")]
    Io(std::io::Error),
    /// The same error told to another of those who waited for it.
    #[error("{0}")]
    Again(String),
}

impl From<PackError> for ArchiveError {
    fn from(error: PackError) -> Self {
        match error {
            PackError::Full { .. } => Self::Full,
            PackError::Busy { .. } | PackError::Descriptors { .. } => Self::Busy,
            PackError::Io { .. } if error.is_refusal() => Self::Refused(said(&error)),
            PackError::Damaged { .. } => Self::Damaged(error.to_string()),
            PackError::Away { .. } => Self::Away(error.to_string()),
            other @ (PackError::Over { .. }
            | PackError::Missing { .. }
            | PackError::OutOfRange { .. }
            | PackError::Standing { .. }
            | PackError::Newer { .. }
            | PackError::Format { .. }
            | PackError::Locked { .. }
            | PackError::Keys(_)
            | PackError::Bucket { .. }
            | PackError::Foreign { .. }
            | PackError::Ahead { .. }
            | PackError::Bucketless { .. }
            | PackError::Io { .. }
            | PackError::Folder { .. }) => Self::Packs(other),
        }
    }
}

impl From<ReadError> for ArchiveError {
    #[allow(clippy::wildcard_enum_match_arm, reason = "only what a storage says is told apart")]
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::of_source(error, |error| Self::Unreadable(error.into())),
            error => Self::Unreadable(error),
        }
    }
}

impl From<UploadError> for ArchiveError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Full { .. } => Self::Full,
            UploadError::Unknown => Self::NotFound("upload"),
            UploadError::Taken => Self::Locked("upload"),
            UploadError::TooMany | UploadError::TooMuch => Self::Busy,
            UploadError::Io { .. } => Self::Refused(said(&error)),
        }
    }
}

impl From<CommitmentError> for ArchiveError {
    fn from(error: CommitmentError) -> Self {
        match error {
            CommitmentError::InUse => Self::Taken("Transaction UID"),
            CommitmentError::TooMany => Self::Busy,
            CommitmentError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Self::Full
            }
            CommitmentError::Io { action: "write" | "remove", .. } => Self::Refused(error.to_string()),
            other @ CommitmentError::Io { .. } => Self::Commitments(other),
        }
    }
}

impl From<CatalogError> for ArchiveError {
    fn from(error: CatalogError) -> Self {
        if error.is_full() { Self::Full } else { Self::Catalog(error) }
    }
}

impl From<IndexError> for ArchiveError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::TooBroad { .. } => Self::TooBroad(error.to_string()),
            other @ (IndexError::Folder { .. } | IndexError::Inner(_)) => Self::Index(other),
        }
    }
}

/// An error with its source, which says what the disk did.
pub(super) fn said(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl ArchiveError {
    /// An error of a read from a stored file, by its meaning.
    pub(super) fn of_source(error: std::io::Error, other: impl FnOnce(std::io::Error) -> Self) -> Self {
        if error.kind() == std::io::ErrorKind::HostUnreachable {
            Self::Away(error.to_string())
        } else {
            other(error)
        }
    }

    /// It cannot be had at present, and nothing is known to be wrong with it.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }

    /// The same, met while the catalog was to take a change in.
    #[must_use]
    pub(super) fn of_a_change(self) -> Self {
        if let Self::Catalog(
            error @ (CatalogError::Lost { .. } | CatalogError::Closed | CatalogError::Storage { .. }),
        ) = &self
        {
            return Self::Refused(said(error));
        }
        self
    }

    /// The bytes of one instance are at fault, and others may be well.
    #[must_use]
    pub fn is_of_one_instance(&self) -> bool {
        match self {
            Self::Away(_)
            | Self::Damaged(_)
            | Self::Unreadable(_)
            | Self::Packs(_)
            | Self::Render(_)
            | Self::Pixels { .. } => true,
            Self::NotFound(_)
            | Self::Gone(_)
            | Self::Busy
            | Self::TooBroad(_)
            | Self::Expired(_)
            | Self::Taken(_)
            | Self::Locked(_)
            | Self::Full
            | Self::OverQuota(_)
            | Self::Refused(_)
            | Self::Stopping
            | Self::Catalog(_)
            | Self::Index(_)
            | Self::Io(_)
            | Self::Backups(_)
            | Self::NoArchive(_)
            | Self::Unfinished
            | Self::Uploads(_)
            | Self::Commitments(_)
            | Self::NotPermitted(_)
            | Self::Again(_) => false,
        }
    }

    /// The same meaning for the next of those who wait.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Busy => Self::Busy,
            Self::Full => Self::Full,
            Self::OverQuota(why) => Self::OverQuota(why.clone()),
            Self::Refused(why) => Self::Refused(why.clone()),
            Self::Stopping => Self::Stopping,
            Self::NotFound(what) => Self::NotFound(what),
            Self::Gone(what) => Self::Gone(what),
            Self::Away(why) => Self::Away(why.clone()),
            Self::Expired(what) => Self::Expired(what),
            Self::Taken(what) => Self::Taken(what),
            Self::Locked(what) => Self::Locked(what),
            Self::NotPermitted(denied) => Self::NotPermitted(*denied),
            Self::TooBroad(why) => Self::TooBroad(why.clone()),
            Self::Render(error) => Self::Render(error.clone()),
            Self::Backups(error) => Self::Backups(error.clone()),
            Self::Pixels { instance, frame, why } => {
                Self::Pixels { instance: instance.clone(), frame: *frame, why: why.clone() }
            }
            Self::Damaged(_)
            | Self::Unreadable(_)
            | Self::Packs(_)
            | Self::Catalog(_)
            | Self::Index(_)
            | Self::Uploads(_)
            | Self::Commitments(_)
            | Self::Io(_)
            | Self::NoArchive(_)
            | Self::Unfinished
            | Self::Again(_) => Self::Again(self.to_string()),
        }
    }
}
