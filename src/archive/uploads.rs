//! Uploads: bytes on their way in that are not instances yet.

use std::sync::Arc;

use bytes::Bytes;

use super::{Archive, ArchiveError};
use crate::{auth::Permit, storage::uploads::Spool};

impl Archive {
    /// A file without a name in the archive's folder, for a part of a request
    /// that is too large for memory.
    ///
    /// # Errors
    /// `Full`, `Busy`, and what the disk says.
    pub async fn spool(&self, _permit: &Permit) -> Result<Spool, ArchiveError> {
        let core = Arc::clone(&self.core);
        self.pool.run(move || core.uploads.spool().map_err(ArchiveError::from)).await
    }

    /// Appends bytes to a spool; gather some before, as each call is a visit to
    /// the pool.
    ///
    /// # Errors
    /// As [`Archive::spool`]; the spool is gone then.
    pub async fn write_spool(&self, mut spool: Spool, bytes: Vec<Bytes>) -> Result<Spool, ArchiveError> {
        let write = move || {
            bytes.iter().try_for_each(|bytes| spool.write(bytes))?;
            Ok::<_, ArchiveError>(spool)
        };
        self.pool.run(write).await
    }
}
