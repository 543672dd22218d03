//! Losses of power and failing disks, on a disk of our own making: what is not
//! flushed may be there afterwards, or not, or in part.

use std::io;
use std::sync::Arc;

use proptest::prelude::*;
use redb::StorageBackend;

use super::*;

/// A disk that forgets.
#[derive(Debug, Default)]
struct Disk {
    /// What everybody sees.
    now: Vec<u8>,
    /// What a loss of power leaves.
    flushed: Vec<u8>,
    /// Writes since the last flush.
    written: Vec<(u64, Vec<u8>)>,
    /// Calls until it fails; none: never.
    fails_in: Option<u32>,
    /// Keys, where the catalog on it is encrypted.
    ring: Option<Keyring>,
    why: Option<io::ErrorKind>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct SharedDisk(Arc<Mutex<Disk>>);

impl SharedDisk {
    /// One for a catalog that is encrypted, or one in the clear.
    pub(crate) fn new(sealed: bool) -> Self {
        Self(Arc::new(Mutex::new(Disk { ring: sealed.then(ring), ..Disk::default() })))
    }

    /// Another that is empty, for a catalog with the same keys.
    pub(super) fn next(&self) -> Self {
        Self(Arc::new(Mutex::new(Disk { ring: self.disk().ring.clone(), ..Disk::default() })))
    }

    /// What lies on it as blocks that are checked or sealed.
    pub(super) fn blocks(&self, damage: &Arc<Damage>) -> io::Result<Arc<dyn StorageBackend>> {
        let ring = self.disk().ring.clone();
        let is_empty = self.len()? == 0;
        Ok(match &ring {
            None => Arc::new(Checked::open(self.clone(), Arc::clone(damage))?),
            Some(ring) if is_empty => Arc::new(Sealed::begin(self.clone(), ring, Arc::clone(damage))?),
            ring => Arc::new(Sealed::open(self.clone(), ring.as_ref(), Arc::clone(damage))?),
        })
    }

    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    fn failing(&self) -> io::Result<std::sync::MutexGuard<'_, Disk>> {
        let mut disk = self.disk();
        if let Some(left) = disk.fails_in {
            if left == 0 {
                return Err(disk.why.unwrap_or(io::ErrorKind::Other).into());
            }
            disk.fails_in = Some(left - 1);
        }
        Ok(disk)
    }

    /// The disk after a loss of power: of the writes since the last flush those
    /// for which `kept` has a bit, some of them cut in half.
    pub(super) fn after_power_loss(&self, kept: u64) -> Self {
        let disk = self.disk();
        let mut left = disk.flushed.clone();
        for (index, (offset, bytes)) in disk.written.iter().enumerate() {
            if kept.rotate_right(index as u32) & 1 == 1 {
                let bytes = if index % 3 == 2 { &bytes[..bytes.len() / 2] } else { bytes };
                let start = *offset as usize;
                if left.len() < start + bytes.len() {
                    left.resize(start + bytes.len(), 0);
                }
                left[start..start + bytes.len()].copy_from_slice(bytes);
            }
        }
        // The length of the file is in the journal of the file system.
        left.resize(disk.now.len().max(left.len()), 0);
        let ring = disk.ring.clone();
        Self(Arc::new(Mutex::new(Disk { now: left.clone(), flushed: left, ring, ..Disk::default() })))
    }

    pub(super) fn open(&self) -> Catalog {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Catalog, CatalogError> {
        self.open_as(resplit())
    }

    pub(crate) fn open_as(&self, resplit: Resplit) -> Result<Catalog, CatalogError> {
        let disk = self.clone();
        let damage = Arc::new(Damage::default());
        let of_disk = Arc::clone(&damage);
        let opener = move || {
            let failed = |error| DatabaseError::Storage(redb::StorageError::Io(error));
            Database::builder().create_with_backend(Blocks(disk.blocks(&of_disk).map_err(failed)?))
        };
        Catalog::open_with(Path::new("disk"), Box::new(opener), resplit, damage)
    }

    pub(super) fn fails(&self) -> bool {
        self.disk().fails_in == Some(0)
    }

    /// From now on every write fails, or none.
    pub(crate) fn fail(&self, fails: bool) {
        self.disk().fails_in = fails.then_some(0);
    }
}

/// Blocks of either form, as redb takes them.
#[derive(Debug)]
struct Blocks(Arc<dyn StorageBackend>);

impl StorageBackend for Blocks {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

impl StorageBackend for SharedDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk();
        let start = offset as usize;
        let bytes = disk.now.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.failing()?.now.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.failing()?;
        let disk = &mut *disk;
        disk.flushed.clone_from(&disk.now);
        disk.written.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.failing()?;
        let start = offset as usize;
        disk.now[start..start + data.len()].copy_from_slice(data);
        disk.written.push((offset, data.to_vec()));
        Ok(())
    }
}

fn some(stamps: std::ops::Range<u64>) -> Vec<Change> {
    stamps
        .map(|stamp| {
            let at = stamp as u8;
            store(version(&path(at % 3, at % 2, at), stamp), Rule::Replay)
        })
        .collect()
}

#[test]
fn what_was_not_made_durable_is_gone_and_comes_back_from_the_packs() {
    for sealed in [false, true] {
        let disk = SharedDisk::new(sealed);
        let catalog = disk.open();
        fast(&catalog, &some(1..20));
        let mut marked = some(20..30);
        marked.push(Change::PackApplied { pack: PackId(0), until: 777 });
        fast(&catalog, &marked);
        catalog.checkpoint().unwrap();
        let durable = view(&catalog);
        fast(&catalog, &some(30..60));
        let all = view(&catalog);
        assert_ne!(durable, all);

        for kept in [0, u64::MAX, 0xAAAA_5555_F0F0_1234] {
            let reopened = disk.after_power_loss(kept).open();
            assert_eq!(view(&reopened), durable);
            assert_eq!(reopened.read().unwrap().pack(PackId(0)).unwrap().unwrap().applied, 777);
            fast(&reopened, &some(30..60));
            assert_eq!(view(&reopened), all);
        }
    }
}

#[test]
fn a_durable_batch_needs_no_checkpoint() {
    for sealed in [false, true] {
        let disk = SharedDisk::new(sealed);
        let catalog = disk.open();
        fast(&catalog, &some(1..5));
        catalog.apply(&some(5..9), Durability::Durable).unwrap();
        let all = view(&catalog);
        assert_eq!(view(&disk.after_power_loss(0).open()), all);
        drop(catalog);
        assert_eq!(view(&disk.open()), all, "and an orderly end keeps everything");
    }
}

#[test]
fn an_orderly_end_keeps_what_was_fast() {
    for sealed in [false, true] {
        let disk = SharedDisk::new(sealed);
        let catalog = disk.open();
        fast(&catalog, &some(1..9));
        let all = view(&catalog);
        drop(catalog);
        assert_eq!(view(&disk.after_power_loss(0).open()), all);
    }
}

#[test]
fn after_a_failure_it_goes_on_from_the_last_checkpoint() {
    for sealed in [false, true] {
        let disk = SharedDisk::new(sealed);
        let catalog = disk.open();
        fast(&catalog, &some(1..9));
        catalog.checkpoint().unwrap();
        let durable = view(&catalog);
        fast(&catalog, &some(9..20));
        let all = view(&catalog);
        let old_reader = catalog.read().unwrap();

        disk.disk().fails_in = Some(1);
        disk.disk().why = Some(io::ErrorKind::StorageFull);
        let error = catalog.checkpoint().unwrap_err();
        assert!(error.is_full(), "{error:?}");
        // While the disk fails it stays closed, and says so.
        assert!(catalog.apply(&some(20..21), Durability::Durable).is_err());
        drop(old_reader);
        disk.disk().fails_in = None;
        for _ in 0..2 {
            if catalog.read().is_ok() {
                break;
            }
            assert!(matches!(catalog.checkpoint(), Err(CatalogError::Lost { .. })));
        }
        assert_eq!(view(&catalog), durable);
        fast(&catalog, &some(9..20));
        catalog.checkpoint().unwrap();
        assert_eq!(view(&catalog), all);
        assert_eq!(view(&disk.after_power_loss(0).open()), all);
    }
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.redb");
    let open = || Catalog::open(&file, Options::default(), None, resplit());
    let catalog = open().unwrap();
    assert!(matches!(open(), Err(CatalogError::AlreadyOpen { path }) if path == file));
    fast(&catalog, &some(1..4));
    drop(catalog);
    assert_eq!(view(&open().unwrap()).instances.len(), 3);

    let database = open_file(&file).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(tables::META).unwrap().insert("format", 7u32.to_le_bytes().as_slice()).unwrap();
    write.commit().unwrap();
    drop(database);
    assert!(matches!(open(), Err(CatalogError::TooNew { found: 7, known: tables::FORMAT, .. })));
    std::fs::write(&file, b"this is not a database, but long enough to look at").unwrap();
    assert!(matches!(open(), Err(CatalogError::Open { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Batches with checkpoints among them, power lost in the middle of
    /// anything: what is there is what some checkpoint, not before the last
    /// successful one, had.
    #[test]
    fn power_fails_anywhere(
        checkpoints in prop::collection::vec(any::<bool>(), 1..8),
        fails_in in 0..120u32,
        kept in any::<u64>(),
        sealed in any::<bool>(),
    ) {
        let disk = SharedDisk::new(sealed);
        let catalog = disk.open();
        disk.disk().fails_in = Some(fails_in);
        // What may be there: the last durable state, and one being made durable.
        let model = memory();
        let mut durable = view(&model);
        let mut maybe = None;
        for (index, checkpoint) in (0..).zip(checkpoints) {
            let batch = some(index * 5..index * 5 + 5);
            if catalog.apply(&batch, Durability::Fast).is_err() {
                break;
            }
            fast(&model, &batch);
            if checkpoint {
                if catalog.checkpoint().is_err() {
                    maybe = Some(view(&model));
                    break;
                }
                durable = view(&model);
            }
        }
        let left = view(&disk.after_power_loss(kept).open());
        prop_assert!(left == durable || Some(left) == maybe);
    }
}
