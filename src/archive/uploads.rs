//! Uploads: bytes on their way in that are not instances yet. What they become
//! is up to whoever takes them apart; here is how they are kept meanwhile.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;

use super::{Archive, ArchiveError, Core};
use crate::{
    auth::Permit,
    storage::uploads::{Note, Spool, UploadError, UploadResult, Writer},
};

impl Archive {
    /// A file without a name in the archive's folder, for a part of a request
    /// that is too large for memory.
    ///
    /// # Errors
    /// `Full`, `Busy`, and what the disk says.
    pub async fn spool(&self, _permit: &Permit) -> Result<Spool, ArchiveError> {
        self.on_disk(|core| core.uploads.spool()).await
    }

    /// Appends bytes to a spool; gather some before, as each call is a visit to
    /// the pool.
    ///
    /// # Errors
    /// As [`Archive::spool`]; the spool is gone then.
    pub async fn write_spool(&self, mut spool: Spool, bytes: Vec<Bytes>) -> Result<Spool, ArchiveError> {
        let write = move |_: &Core| {
            bytes.iter().try_for_each(|bytes| spool.write(bytes))?;
            Ok(spool)
        };
        self.on_disk(write).await
    }

    /// Begins an upload that outlives its connection; its name, which is a
    /// secret of who may go on with it.
    ///
    /// # Errors
    /// `Busy` when there are too many, `Full`, and what the disk says.
    pub async fn begin_upload(&self, _permit: &Permit, note: Note) -> Result<(String, Note), ArchiveError> {
        let stamp = self.core.clock.stamp();
        let key = self.key();
        self.on_disk(move |core| {
            let mut name = blake3::keyed_hash(&key, format!("upload {}", stamp.0).as_bytes()).to_string();
            name.truncate(32);
            let note = core.uploads.begin(&name, note)?;
            Ok((name, note))
        })
        .await
    }

    /// Whether there would be room now for so many bytes more.
    ///
    /// # Errors
    /// `OverQuota` when there is not.
    pub fn has_room_for(&self, _permit: &Permit, bytes: u64) -> Result<(), ArchiveError> {
        self.core.ledger.has_room_for(bytes)
    }

    /// What is known of an upload, and when that is forgotten.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn upload(&self, _permit: &Permit, name: &str) -> Result<(Note, SystemTime), ArchiveError> {
        let name = name.to_owned();
        self.on_disk(move |core| {
            let note = core.uploads.note(&name).ok_or(UploadError::Unknown)?;
            let expires = core.uploads.expires(&note);
            Ok((note, expires))
        })
        .await
    }

    /// Takes an upload to change it.
    ///
    /// # Errors
    /// `NotFound`; `Locked` while somebody else has it.
    pub async fn take_upload(&self, _permit: &Permit, name: &str) -> Result<Writer, ArchiveError> {
        let name = name.to_owned();
        self.on_disk(move |core| core.uploads.take(&name)).await
    }

    /// Lets `work` write or read an upload, in the pool. When it fails the
    /// upload is let go, and what was not flushed is given up.
    ///
    /// # Errors
    /// What `work` answers.
    pub async fn on_upload<T: Send + 'static>(
        &self,
        mut writer: Writer,
        work: impl FnOnce(&mut Writer) -> Result<T, UploadError> + Send + 'static,
    ) -> Result<(Writer, T), ArchiveError> {
        let work = move |_: &Core| {
            let done = work(&mut writer)?;
            Ok((writer, done))
        };
        self.on_disk(work).await
    }

    /// Notes what became of an upload; its bytes are not kept.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn finish_upload(&self, writer: Writer, result: UploadResult) -> Result<(), ArchiveError> {
        self.on_disk(move |_| writer.finish(result)).await
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn remove_upload(&self, writer: Writer) -> Result<(), ArchiveError> {
        self.on_disk(move |_| writer.remove()).await
    }

    /// Uploads that are whole and not stored yet.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn whole_uploads(&self, _permit: &Permit) -> Result<Vec<String>, ArchiveError> {
        self.on_disk(|core| Ok(core.uploads.to_be_stored())).await
    }

    /// Forgets uploads to which nothing has happened for too long.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn expire_uploads(&self, _permit: &Permit) -> Result<usize, ArchiveError> {
        self.on_disk(|core| core.uploads.expire()).await
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Core) -> Result<T, UploadError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let core = Arc::clone(&self.core);
        self.pool.run(move || work(&core).map_err(ArchiveError::from)).await
    }
}
