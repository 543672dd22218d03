//! The packs that are open for reading: so many at most, the one that was not
//! read for the longest time is let go first. A hit takes only a shared lock,
//! and no lock is held while a pack is being opened.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::volume::PackFile;
use crate::storage::PackId;

pub(super) struct FileCache {
    files_max: usize,
    /// Counts the look-ups, as the time by which age is told.
    clock: AtomicU64,
    files: RwLock<HashMap<PackId, Cached>>,
}

struct Cached {
    file: Arc<dyn PackFile>,
    used: AtomicU64,
}

impl FileCache {
    pub fn new(files_max: usize) -> Self {
        Self { files_max: files_max.max(1), clock: AtomicU64::new(0), files: RwLock::default() }
    }

    pub fn get(
        &self,
        pack: PackId,
        open: impl FnOnce() -> io::Result<Arc<dyn PackFile>>,
    ) -> io::Result<Arc<dyn PackFile>> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        if let Some(cached) = self.files.read().unwrap_or_else(PoisonError::into_inner).get(&pack) {
            cached.used.store(now, Ordering::Relaxed);
            return Ok(Arc::clone(&cached.file));
        }
        let file = open()?;
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let mut let_go = None;
        if files.len() >= self.files_max && !files.contains_key(&pack) {
            let oldest = files.iter().min_by_key(|(_, cached)| cached.used.load(Ordering::Relaxed));
            let oldest = oldest.map(|(&pack, _)| pack);
            let_go = oldest.and_then(|oldest| files.remove(&oldest));
        }
        files.insert(pack, Cached { file: Arc::clone(&file), used: AtomicU64::new(now) });
        drop(files);
        // Closing is the disk's work too.
        drop(let_go);
        Ok(file)
    }

    pub fn forget(&self, pack: PackId) {
        let file = self.files.write().unwrap_or_else(PoisonError::into_inner).remove(&pack);
        drop(file);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.files.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
