//! How much an archive may hold. A store reserves its room before anything of it
//! is written for good, so that stores at the same time do not together take
//! what each would find free.
//!
//! Counted are the bytes of all files that the catalog knows, versions among
//! them, and the instances. Only the committer changes what is counted; after a
//! deletion, and when the catalog was brought up again, all is counted anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ArchiveError;
use crate::storage::catalog::{Catalog, CatalogError};

/// What an archive may hold; 0: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    pub bytes_max: u64,
    pub instances_max: u64,
}

impl Quota {
    fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// What an archive holds, and what is about to come.
#[derive(Debug, Clone, Copy, Default)]
struct Books {
    bytes: u64,
    instances: u64,
    reserved_bytes: u64,
    reserved_instances: u64,
}

#[derive(Debug)]
pub(super) struct Ledger {
    quota: Quota,
    books: Mutex<Books>,
}

/// Room for one file. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Room {
    /// None where there is no quota.
    ledger: Option<Arc<Ledger>>,
    bytes: u64,
    instances: u64,
}

impl Ledger {
    pub(super) fn new(quota: Quota) -> Arc<Self> {
        Arc::new(Self { quota, books: Mutex::default() })
    }

    pub(super) fn quota(&self) -> Quota {
        self.quota
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether so many bytes more would fit now.
    pub(super) fn has_room_for(&self, bytes: u64) -> Result<(), ArchiveError> {
        if self.quota.is_none() { Ok(()) } else { fits(self.quota, &self.books(), bytes, 0) }
    }

    /// Takes room for a file.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64, is_new: bool) -> Result<Room, ArchiveError> {
        let instances = u64::from(is_new);
        if self.quota.is_none() {
            return Ok(Room { ledger: None, bytes, instances });
        }
        let mut books = self.books();
        fits(self.quota, &books, bytes, instances)?;
        books.reserved_bytes += bytes;
        books.reserved_instances += instances;
        Ok(Room { ledger: Some(Arc::clone(self)), bytes, instances })
    }

    /// Counts what the catalog knows.
    pub(super) fn count(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        if self.quota.is_none() {
            return Ok(());
        }
        let snapshot = catalog.read()?;
        let instances = snapshot.totals()?.instances;
        let bytes = snapshot.packs()?.iter().map(|(_, row)| row.live_bytes).sum();
        let mut books = self.books();
        (books.bytes, books.instances) = (bytes, instances);
        Ok(())
    }
}

impl Room {
    /// The file is in the catalog: its room is taken for good. Whether it is a
    /// new instance is known only now: one that it was to replace may be gone.
    pub(super) fn taken(self, is_new: bool) {
        if let Some(ledger) = &self.ledger {
            let mut books = ledger.books();
            books.bytes += self.bytes;
            books.instances += u64::from(is_new);
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(ledger) = &self.ledger {
            let mut books = ledger.books();
            books.reserved_bytes = books.reserved_bytes.saturating_sub(self.bytes);
            books.reserved_instances = books.reserved_instances.saturating_sub(self.instances);
        }
    }
}

fn fits(quota: Quota, books: &Books, bytes: u64, instances: u64) -> Result<(), ArchiveError> {
    let Quota { bytes_max, instances_max } = quota;
    let all_bytes = books.bytes.saturating_add(books.reserved_bytes);
    if bytes_max > 0 && all_bytes.saturating_add(bytes) > bytes_max {
        return Err(ArchiveError::OverQuota(format!(
            "the archive may hold {bytes_max} bytes (its quota), has {all_bytes} and would have {bytes} more"
        )));
    }
    let all_instances = books.instances.saturating_add(books.reserved_instances);
    if instances_max > 0 && all_instances.saturating_add(instances) > instances_max {
        return Err(ArchiveError::OverQuota(format!(
            "the archive may hold {instances_max} instances (its quota), and has {all_instances}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is reserved, kept and given back, in whatever order: never more
        /// than the quota, and nothing is lost of it.
        #[test]
        fn never_more_than_the_quota(steps in prop::collection::vec((0u64..40, any::<bool>(), 0u8..3), 0..200)) {
            let quota = Quota { bytes_max: 500, instances_max: 30 };
            let ledger = Ledger::new(quota);
            let mut held = Vec::new();
            let (mut bytes, mut instances) = (0, 0);
            for (size, is_new, what) in steps {
                match what {
                    0 => match ledger.reserve(size, is_new) {
                        Ok(room) => held.push(room),
                        Err(_) => {
                            let books = *ledger.books();
                            let over = books.bytes + books.reserved_bytes + size > 500;
                            prop_assert!(over || books.instances + books.reserved_instances == 30);
                        }
                    },
                    1 => drop(held.pop()),
                    _ => if let Some(room) = held.pop() {
                        bytes += room.bytes;
                        instances += room.instances;
                        let is_new = room.instances > 0;
                        room.taken(is_new);
                    },
                }
                let books = *ledger.books();
                prop_assert!(books.bytes + books.reserved_bytes <= 500);
                prop_assert!(books.instances + books.reserved_instances <= 30);
                prop_assert_eq!((books.bytes, books.instances), (bytes, instances));
                prop_assert_eq!(books.reserved_bytes, held.iter().map(|room| room.bytes).sum::<u64>());
            }
        }
    }

    #[test]
    fn without_a_quota_nothing_is_counted() {
        let ledger = Ledger::new(Quota::default());
        let room = ledger.reserve(u64::MAX, true).unwrap();
        assert!(ledger.reserve(u64::MAX, true).is_ok() && ledger.has_room_for(u64::MAX).is_ok());
        room.taken(true);
        assert_eq!(ledger.books().bytes, 0);
    }
}
