//! What can go wrong in the catalog, as meanings. Owns the translation of
//! redb's errors; no redb type leaves this folder except as a source. UIDs and
//! paths may stand in a message, values of patients never do.

use std::path::PathBuf;

/// Why the catalog could not do as told.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("the catalog {} is open in another process", path.display())]
    AlreadyOpen { path: PathBuf },
    #[error("the catalog {} has format {found}, and this version of hilum knows formats up to {known}: use a newer hilum, or rebuild the catalog from the packs", path.display())]
    TooNew { path: PathBuf, found: u32, known: u32 },
    #[error("the catalog {} cannot be opened", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: Box<redb::Error>,
    },
    /// The database failed while writing and was opened again as it was at the
    /// last checkpoint: what was applied since is to be replayed from the packs.
    #[error("the catalog failed and went back to its last checkpoint")]
    Lost {
        #[source]
        source: Box<redb::Error>,
    },
    /// The database failed and cannot be opened again; the next write tries it
    /// once more.
    #[error("the catalog failed and is closed")]
    Closed,
    /// The disk refuses it; it goes on in memory, as readable as before.
    #[error("the disk refuses the catalog: {why}")]
    NotDurable { why: String },
    #[error("the catalog failed")]
    Storage {
        #[source]
        source: Box<redb::Error>,
    },
    /// A page of the file is not what was written there, or cannot be read.
    #[error("a page of the catalog is damaged; `hilum rebuild` makes the catalog anew from the packs")]
    Page,
    /// It is not in memory, and the caller must not wait for a disk.
    #[error("that part of the catalog is not in memory")]
    NotRemembered,
    #[error("the row {key} of {table} in the catalog does not decode")]
    Row {
        table: &'static str,
        key: String,
        #[source]
        source: postcard::Error,
    },
    #[error("the catalog contradicts itself: {table} lacks {key}")]
    Missing { table: &'static str, key: String },
    #[error("the metadata of {key} cannot be {verb}: {why}")]
    Metadata { key: String, verb: &'static str, why: &'static str },
}

impl CatalogError {
    /// The disk has no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Lost { source } | Self::Storage { source } => {
                matches!(&**source, redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull)
            }
            Self::AlreadyOpen { .. }
            | Self::TooNew { .. }
            | Self::Closed
            | Self::NotDurable { .. }
            | Self::Page
            | Self::NotRemembered
            | Self::Row { .. }
            | Self::Missing { .. }
            | Self::Metadata { .. } => false,
        }
    }

    /// It failed and is to be opened again by the next write.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Closed)
    }

    /// redb refuses all further writes after such an error.
    pub(super) fn is_latched(&self) -> bool {
        match self {
            Self::Storage { source } => matches!(
                **source,
                redb::Error::Io(_)
                    | redb::Error::PreviousIo
                    | redb::Error::DatabaseClosed
                    | redb::Error::LockPoisoned(_)
            ),
            Self::Closed => true,
            Self::AlreadyOpen { .. }
            | Self::TooNew { .. }
            | Self::Open { .. }
            | Self::Lost { .. }
            | Self::NotDurable { .. }
            | Self::Page
            | Self::NotRemembered
            | Self::Row { .. }
            | Self::Missing { .. }
            | Self::Metadata { .. } => false,
        }
    }

    /// What is in the file cannot be a catalog, however often it is read. (An
    /// error of the disk is not that: the next start may not meet it.)
    #[must_use]
    #[allow(clippy::wildcard_enum_match_arm, reason = "of errors of the database a few mean damage")]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Lost { source } | Self::Storage { source } => match &**source {
                redb::Error::Io(error) => {
                    use std::io::ErrorKind;
                    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
                }
                other => matches!(
                    other,
                    redb::Error::Corrupted(_)
                        | redb::Error::UpgradeRequired(_)
                        | redb::Error::RepairAborted
                        | redb::Error::TableDoesNotExist(_)
                        | redb::Error::TableTypeMismatch { .. }
                        | redb::Error::TypeDefinitionChanged { .. }
                ),
            },
            Self::Page | Self::Row { .. } | Self::Missing { .. } | Self::Metadata { .. } => true,
            Self::AlreadyOpen { .. }
            | Self::TooNew { .. }
            | Self::Closed
            | Self::NotDurable { .. }
            | Self::NotRemembered => false,
        }
    }

    /// The same, met while the catalog was being opened.
    pub(super) fn at_open(self, path: &std::path::Path) -> Self {
        if let Self::Storage { source } = self {
            return Self::Open { path: path.to_owned(), source };
        }
        if self.is_damage() { Self::damaged(path) } else { self }
    }

    /// The file is not a catalog.
    pub(super) fn damaged(path: &std::path::Path) -> Self {
        let source = Box::new(redb::Error::Corrupted("its content makes no sense".to_owned()));
        Self::Open { path: path.to_owned(), source }
    }

    pub(super) fn open(path: &std::path::Path, error: redb::DatabaseError) -> Self {
        let path = path.to_owned();
        if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
            return Self::AlreadyOpen { path };
        }
        Self::Open { path, source: Box::new(error.into()) }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {$(
        impl From<$error> for CatalogError {
            fn from(error: $error) -> Self {
                Self::Storage { source: Box::new(error.into()) }
            }
        }
    )*};
}
from_redb!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::SetDurabilityError
);
