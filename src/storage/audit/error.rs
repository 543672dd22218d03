//! Why the audit log cannot be written or read.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("the audit log: {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("another process writes the audit log in {}", .0.display())]
    Locked(PathBuf),
    #[error("{}: this is no key of an audit log: 64 hex digits are expected", .0.display())]
    Key(PathBuf),
    #[error("{}: the audit log is of a newer version of Hilum", .0.display())]
    Newer(PathBuf),
}

impl AuditError {
    pub(super) fn at(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
