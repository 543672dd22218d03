//! The share links: `DIR/shares/<id>.json`, one file each, put in place whole
//! with a checksum. Only a running server writes them.
//!
//! Holds no secret of a link, only its digest. Knows no right: what a link may
//! show is decided by who reads it. Invariant: a use is counted on the disk
//! before anybody sees anything by it.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::whole_file;

const FORMAT: u32 = 1;
/// For how long it can be told of a link that it has ended.
const REMEMBERED_SECONDS: u64 = 30 * 24 * 60 * 60;

/// A link to studies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Of the file's form.
    pub format: u32,
    pub id: String,
    /// SHA-256 of its secret part, which has 256 random bits.
    pub digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The tenant whose studies they are; none: those of the root archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The subject of who gave it.
    pub by: String,
    /// All that was proven of them then.
    pub identity: serde_json::Value,
    /// Study Instance UIDs.
    pub studies: Vec<String>,
    /// Files may be taken, not only looked at.
    pub download: bool,
    /// Only what is de-identified is shown.
    pub deidentified: bool,
    /// The password's hash as a PHC string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Seconds since 1970, as all times here.
    pub created: u64,
    pub expires: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_max: Option<u32>,
    #[serde(default)]
    pub uses: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
}

/// Why a link cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum SharesError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("there are {0} links, as many as are kept; revoke some")]
    Full(usize),
}

/// All of them.
pub struct Shares {
    folder: PathBuf,
    known: RwLock<BTreeMap<String, Arc<Share>>>,
    /// Held by who writes.
    writing: Mutex<()>,
}

impl Shares {
    /// Reads the links of an archive. The folder is made with the first. A file
    /// that cannot be read opens nothing, and is told.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(data: &Path) -> Result<Self, SharesError> {
        let folder = data.join("shares");
        let mut known = BTreeMap::new();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(SharesError::Io { path: folder, source }),
        };
        for path in entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
            let Some(name) = name else { continue };
            let read = whole_file::read_checked(&path).map_err(|error| error.to_string());
            let share = read
                .and_then(|bytes| serde_json::from_slice::<Share>(&bytes).map_err(|error| error.to_string()));
            match share {
                Ok(share) if share.format == FORMAT && share.id == name => {
                    known.insert(share.id.clone(), Arc::new(share));
                }
                Ok(share) => {
                    tracing::error!(path = %path.display(), format = share.format, "no share link of this version");
                }
                Err(why) => tracing::error!(path = %path.display(), why, "a share link cannot be read"),
            }
        }
        Ok(Self { folder, known: RwLock::new(known), writing: Mutex::default() })
    }

    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Share>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// All of them, by id.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Share>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Keeps a new link, and forgets those that ended long ago. Blocks.
    ///
    /// # Errors
    /// When there are too many, or it cannot be written.
    pub fn add(&self, share: Share, count_max: usize) -> Result<Arc<Share>, SharesError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget(share.created)?;
        let count = self.known.read().unwrap_or_else(PoisonError::into_inner).len();
        if count >= count_max {
            return Err(SharesError::Full(count));
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|source| SharesError::Io { path: self.folder.clone(), source })?;
        self.put(share)
    }

    /// Changes a link, if `change` says that it did. What it is then; `None` if
    /// there is none, or it was not changed. Blocks.
    ///
    /// # Errors
    /// When it cannot be written; it is as before then.
    pub fn change(
        &self,
        id: &str,
        change: impl FnOnce(&mut Share) -> bool,
    ) -> Result<Option<Arc<Share>>, SharesError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(share) = self.get(id) else { return Ok(None) };
        let mut share = Share::clone(&share);
        if change(&mut share) { self.put(share).map(Some) } else { Ok(None) }
    }

    fn put(&self, share: Share) -> Result<Arc<Share>, SharesError> {
        let path = self.folder.join(format!("{}.json", share.id));
        let bytes =
            serde_json::to_vec(&share).map_err(|source| SharesError::Form { path: path.clone(), source })?;
        whole_file::put_checked(&path, &bytes).map_err(|source| SharesError::Io { path, source })?;
        let share = Arc::new(share);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(share.id.clone(), Arc::clone(&share));
        Ok(share)
    }

    fn forget(&self, now: u64) -> Result<(), SharesError> {
        for share in self.list() {
            let ended = share.revoked.unwrap_or(share.expires).min(share.expires);
            if ended.saturating_add(REMEMBERED_SECONDS) > now {
                continue;
            }
            let path = self.folder.join(format!("{}.json", share.id));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(SharesError::Io { path, source: error });
                }
                Ok(()) | Err(_) => {}
            }
            self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&share.id);
        }
        Ok(())
    }
}

impl Share {
    /// A link that nobody has used.
    #[must_use]
    pub fn new(id: String, digest: String, by: String, identity: serde_json::Value) -> Self {
        Self {
            format: FORMAT,
            id,
            digest,
            label: None,
            tenant: None,
            by,
            identity,
            studies: Vec::new(),
            download: false,
            deidentified: false,
            password: None,
            created: 0,
            expires: 0,
            uses_max: None,
            uses: 0,
            last_used: None,
            revoked: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(id: &str, created: u64) -> Share {
        let text = str::to_owned;
        Share {
            created,
            expires: created + 10,
            uses_max: Some(2),
            ..Share::new(text(id), text("d"), text("ada"), serde_json::Value::Null)
        }
    }

    #[test]
    fn uses_are_counted_on_the_disk_and_old_links_are_forgotten() {
        let folder = tempfile::TempDir::new().unwrap();
        let shares = Shares::open(folder.path()).unwrap();
        shares.add(share("a", 1), 2).unwrap();
        for expected in [true, true, false] {
            let used = shares.change("a", |share| {
                let may = share.uses_max.is_none_or(|max| share.uses < max);
                share.uses += u32::from(may);
                may
            });
            assert_eq!(used.unwrap().is_some(), expected);
        }
        shares.add(share("b", 2), 2).unwrap();
        assert!(matches!(shares.add(share("c", 3), 2), Err(SharesError::Full(2))));
        fs::write(folder.path().join("shares/b.json"), "{").unwrap();
        let again = Shares::open(folder.path()).unwrap();
        assert_eq!(again.get("a").unwrap().uses, 2);
        assert!(again.get("b").is_none(), "what is damaged opens nothing");
        let later = 12 + REMEMBERED_SECONDS;
        again.add(share("d", later), 2).unwrap();
        assert_eq!(again.list().len(), 1);
    }
}
