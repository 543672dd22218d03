//! Encryption at rest as an operator sees it: what is encrypted, and another
//! master key. The archive is that of a stopped server.

use std::path::Path;

use serde::Serialize;

use super::{Archive, ArchiveError, Layout, Options, open_packs};
use crate::{
    auth::Permit,
    storage::{
        packs::{PackError, Packs},
        seal::{KeyError, Keyring, Master},
    },
};

/// What of an archive is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EncryptionStatus {
    /// Id of the master key; none when the archive is not encrypted.
    pub master_key: Option<String>,
    pub data_keys: Vec<DataKeyStatus>,
    pub packs_encrypted: u64,
    pub packs_in_the_clear: u64,
    pub bytes_encrypted: u64,
    pub bytes_in_the_clear: u64,
}

/// One of the keys that the master key wraps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataKeyStatus {
    pub number: u32,
    /// The first pack under it.
    pub from_pack: u32,
}

impl Archive {
    /// What of the archive in `data` is encrypted. Nothing is changed, and
    /// encryption is not begun where there is none.
    ///
    /// # Errors
    /// `NotFound` when there is no archive; its keys cannot be had.
    pub fn encryption_status(
        _permit: &Permit,
        data: &Path,
        options: &Options,
    ) -> Result<EncryptionStatus, ArchiveError> {
        let packs = existing_packs(data, options)?;
        let master = options.encryption.fetch().map_err(PackError::Keys)?;
        if packs.has_ring()? {
            packs.unlock(master.as_ref())?;
        } else {
            packs.unlock(None)?;
        }
        Ok(status(&packs))
    }

    /// Wraps the keys of the archive in `data` anew with the master key `new`.
    ///
    /// # Errors
    /// As [`Self::encryption_status`]; the archive is not encrypted.
    pub fn rotate_master_key(
        _permit: &Permit,
        data: &Path,
        options: &Options,
        new: &Master,
    ) -> Result<EncryptionStatus, ArchiveError> {
        let packs = existing_packs(data, options)?;
        if !packs.has_ring()? {
            let why = "is not there: the archive is not encrypted, so there is no key to rotate".to_owned();
            return Err(PackError::Keys(KeyError::Ring { why }).into());
        }
        let master = options.encryption.fetch().map_err(PackError::Keys)?;
        packs.unlock(master.as_ref())?;
        packs.rotate(new)?;
        drop(packs);
        // What was written is what opens.
        let packs = existing_packs(data, options)?;
        packs.unlock(Some(new))?;
        Ok(status(&packs))
    }
}

fn existing_packs(data: &Path, options: &Options) -> Result<Packs, ArchiveError> {
    if !Packs::exist(&Layout::packs(data)) {
        return Err(ArchiveError::NoArchive(data.to_owned()));
    }
    open_packs(data, options)
}

fn status(packs: &Packs) -> EncryptionStatus {
    let ring = packs.ring();
    let keys = ring.map(Keyring::keys).unwrap_or_default();
    let mut status = EncryptionStatus {
        master_key: ring.map(|ring| ring.master().to_string()),
        data_keys: keys.iter().map(|key| DataKeyStatus { number: key.number, from_pack: key.from }).collect(),
        packs_encrypted: 0,
        packs_in_the_clear: 0,
        bytes_encrypted: 0,
        bytes_in_the_clear: 0,
    };
    for info in packs.list() {
        if packs.is_encrypted(info.pack) {
            status.packs_encrypted += 1;
            status.bytes_encrypted += info.length;
        } else {
            status.packs_in_the_clear += 1;
            status.bytes_in_the_clear += info.length;
        }
    }
    status
}
