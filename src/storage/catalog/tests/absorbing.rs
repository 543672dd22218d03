//! A disk that refuses writes: reads go on, nothing is called durable, and when
//! the disk is well again all of it is, in a new file.

use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use super::crash::SharedDisk;
use super::*;
use crate::storage::catalog::absorbing::{Absorbing, Successor};

/// The disks that one after the other are the catalog's file.
struct Next(Arc<Mutex<Vec<SharedDisk>>>, Arc<Damage>);

impl Successor for Next {
    fn begin(&self) -> io::Result<Arc<dyn StorageBackend>> {
        let mut disks = self.0.lock().unwrap();
        let next = disks.last().unwrap().next();
        next.fail(disks.last().unwrap().fails());
        disks.push(next.clone());
        next.blocks(&self.1).inspect_err(|_| drop(disks.pop()))
    }

    fn put_in_place(&self) -> io::Result<()> {
        Ok(())
    }
}

fn open(disks: &Arc<Mutex<Vec<SharedDisk>>>) -> Catalog {
    let damage = Arc::new(Damage::default());
    let (of_opener, disks) = (Arc::clone(&damage), Arc::clone(disks));
    let opener = move || {
        let failed = |error| DatabaseError::Storage(redb::StorageError::Io(error));
        let disk = disks.lock().unwrap().last().unwrap().clone();
        let blocks = disk.blocks(&of_opener).map_err(failed)?;
        let next = Box::new(Next(Arc::clone(&disks), Arc::clone(&of_opener)));
        let absorbing = Absorbing::new(blocks, Arc::clone(&of_opener.strain), next);
        Database::builder().create_with_backend(absorbing)
    };
    Catalog::open_with(Path::new("disk"), Box::new(opener), resplit(), damage).unwrap()
}

fn batch(stamps: std::ops::Range<u64>) -> Vec<Change> {
    stamps
        .map(|stamp| {
            store(version(&path(stamp as u8 % 3, stamp as u8 % 2, stamp as u8), stamp), Rule::Replay)
        })
        .collect()
}

/// A full disk once closed the catalog after a second, and with it all that is
/// read, until there was room again.
#[test]
fn reads_go_on_while_writes_are_refused() {
    for sealed in [false, true] {
        let first = SharedDisk::new(sealed);
        let disks = Arc::new(Mutex::new(vec![first.clone()]));
        let catalog = open(&disks);
        fast(&catalog, &batch(1..20));
        catalog.checkpoint().unwrap();
        let durable = (view(&catalog), catalog.durable_seq());
        fast(&catalog, &batch(20..40));
        first.fail(true);
        for round in 0..3 {
            let error = catalog.checkpoint().unwrap_err();
            assert!(matches!(error, CatalogError::NotDurable { .. }), "round {round}: {error:?}");
            assert_eq!(view(&catalog).instances.len(), 39 + round * 10);
            let from = 40 + round as u64 * 10;
            fast(&catalog, &batch(from..from + 10));
        }
        assert_eq!(catalog.durable_seq(), durable.1);
        assert_eq!(view(&first.after_power_loss(u64::MAX).open()), durable.0, "the file is as it was");
        // The disk is well again.
        let all = view(&catalog);
        disks.lock().unwrap().iter().for_each(|disk| disk.fail(false));
        catalog.checkpoint().unwrap();
        assert!(catalog.durable_seq() > durable.1);
        assert_eq!(view(&catalog), all);
        let last = disks.lock().unwrap().last().unwrap().clone();
        assert_eq!(view(&last.after_power_loss(0).open()), all);
        fast(&catalog, &batch(70..80));
        catalog.checkpoint().unwrap();
        assert_eq!(view(&last.after_power_loss(0).open()), view(&catalog));
    }
}
