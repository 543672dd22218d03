//! The secret of an archive from which its de-identified copies get their UIDs and
//! pseudonyms: one small file, made when it is first needed and never changed. In an
//! encrypted archive it is sealed.
//!
//! Invariant: a secret that is there and cannot be read is an error, and never
//! replaced by another: all copies would come anew under other names.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use zeroize::Zeroizing;

use super::{
    seal::{FileKey, Keyring, open_file, seal_file},
    whole_file,
};

const SECRET_BYTES: usize = 32;
const PURPOSE: &str = "pseudonyms";
/// Only the owner of the archive reads it.
const MODE: u32 = 0o600;

/// Where the secret is.
pub struct Pseudonyms {
    path: PathBuf,
    ring: Option<Keyring>,
    known: Mutex<Option<Zeroizing<[u8; SECRET_BYTES]>>>,
}

impl Pseudonyms {
    #[must_use]
    pub fn new(path: PathBuf, ring: Option<&Keyring>) -> Self {
        Self { path, ring: ring.cloned(), known: Mutex::default() }
    }

    /// The secret, which is durable when this returns. Reads the disk once.
    ///
    /// # Errors
    /// When it is damaged, or the disk or the system's randomness fails.
    pub fn secret(&self) -> io::Result<[u8; SECRET_BYTES]> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secret) = &*known {
            return Ok(**secret);
        }
        let read = self.read().map_err(|error| {
            let path = self.path.display();
            io::Error::new(error.kind(), format!("the secret of de-identified copies, {path}: {error}"))
        })?;
        Ok(**known.insert(Zeroizing::new(read)))
    }

    fn read(&self) -> io::Result<[u8; SECRET_BYTES]> {
        let begin = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.begin(),
            begin => begin?,
        };
        if fs::metadata(&self.path)?.permissions().mode() & 0o077 != 0 {
            // It was put back from a backup.
            fs::set_permissions(&self.path, Permissions::from_mode(MODE))?;
        }
        let is_sealed = FileKey::is_head(&begin);
        let text = if is_sealed {
            open_file(self.ring.as_ref(), PURPOSE, name(&self.path), begin)?
        } else {
            whole_file::read_checked(&self.path)?
        };
        let hex = std::str::from_utf8(&text).ok().and_then(|text| blake3::Hash::from_hex(text.trim()).ok());
        let secret = *hex.ok_or(io::ErrorKind::InvalidData)?.as_bytes();
        // The archive has been encrypted since.
        if !is_sealed && self.ring.is_some() {
            self.write(&secret)?;
        }
        Ok(secret)
    }

    fn begin(&self) -> io::Result<[u8; SECRET_BYTES]> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        self.write(&secret)?;
        Ok(secret)
    }

    fn write(&self, secret: &[u8; SECRET_BYTES]) -> io::Result<()> {
        let text = format!("{}\n", blake3::Hash::from_bytes(*secret).to_hex());
        match &self.ring {
            Some(ring) => {
                let sealed = seal_file(ring, PURPOSE, name(&self.path), text.as_bytes())?;
                whole_file::put_private(&self.path, &sealed)
            }
            None => whole_file::put_private_checked(&self.path, text.as_bytes()),
        }
    }
}

fn name(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_encoded_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deidentify.key");
        let secret = Pseudonyms::new(path.clone(), None).secret().unwrap();
        assert_eq!(Pseudonyms::new(path.clone(), None).secret().unwrap(), secret);
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), MODE);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Pseudonyms::new(path.clone(), None).secret().unwrap(), secret);
        assert_eq!(mode(), MODE);
        let other = folder.path().join("other.key");
        assert_ne!(Pseudonyms::new(other, None).secret().unwrap(), secret);
    }

    #[test]
    fn one_that_is_damaged_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deidentify.key");
        Pseudonyms::new(path.clone(), None).secret().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 2;
        bytes[last] = if bytes[last] == b'0' { b'1' } else { b'0' };
        fs::write(&path, &bytes).unwrap();
        assert!(Pseudonyms::new(path.clone(), None).secret().is_err());
        fs::write(&path, b"").unwrap();
        assert!(Pseudonyms::new(path.clone(), None).secret().is_err());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
}
