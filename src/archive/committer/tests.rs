//! One batch on a disk that fails.

use tempfile::TempDir;

use super::*;
use crate::{
    archive::{
        Archive, Finding, Layout, VerifyWhat, resplit,
        store::new_instance,
        tests::{file, options},
    },
    auth::Permit,
    dicom::part10,
    storage::{
        catalog::{self, Catalog},
        packs::{self, Hasher, Packs, faulty},
    },
};

fn instance(bytes: &Bytes) -> Box<NewInstance> {
    let hashed = Hasher::hash(bytes);
    let read = part10::read(&bytes.as_ref(), &options().parse).unwrap();
    Box::new(new_instance(read, hashed.digest, hashed.chunks, ""))
}

/// A large file was flushed in its lane, and its commit met those of small ones that
/// found no room: it was refused with them, and was there after the next start.
#[tokio::test]
async fn what_is_placed_is_not_refused_with_what_cannot_be_written() {
    let (folder, disk) = (TempDir::new().unwrap(), faulty::Faulty::new());
    let packs = Packs::open_on(Arc::new(disk.clone()), packs::Options::default()).unwrap();
    let catalog = Layout::catalog(folder.path());
    let catalog = Catalog::open(&catalog, catalog::Options::default(), None, Box::new(resplit)).unwrap();
    let (archive, _) = Archive::open_with(packs, (catalog, true), folder.path(), &options()).unwrap();
    let permit = Permit::operator();
    archive.store_bytes(&permit, file(1)).await.unwrap();

    let core = Arc::clone(&archive.core);
    let job = |work| {
        let (answer, receiver) = oneshot::channel();
        (Job { work, answer }, receiver)
    };
    let understood = |bytes: &Bytes| {
        let instance = instance(bytes);
        let reservation = core.reservations.try_take(&instance.path.instance).unwrap();
        (instance, reservation, core.ledger.reserve(bytes.len() as u64, true).unwrap())
    };
    let (small, large) = (file(2), file(3));
    let (mut instance, reservation, room) = understood(&large);
    instance.stamp = core.clock.stamp();
    let mut upload = core.packs.begin().unwrap();
    upload.write(&large).unwrap();
    instance.place = upload.finish(&instance.path, instance.stamp, instance.role, instance.digest).unwrap();
    let (large, placed) = job(Work::Placed { instance, reservation, room });
    let (instance, reservation, room) = understood(&small);
    let (small, refused) = job(Work::File { bytes: small, held: Vec::new(), instance, reservation, room });

    disk.fail(0, faulty::Fault::NoSpace);
    let mut work = Loop {
        core: Arc::clone(&core),
        progress: Progress::default(),
        behind: false,
        uncommitted_since: None,
    };
    work.store(vec![small, large]);
    assert!(matches!(refused.await.unwrap(), Err(ArchiveError::Full)));
    let placed = placed.await.unwrap();
    assert!(matches!(placed, Ok(Outcome::Stored { .. })), "{placed:?}");

    drop((work, core));
    let report = archive.verify(&permit, VerifyWhat::All, &mut |_| {}).unwrap();
    // The index follows when the commit is durable.
    let is_late = |finding: &Finding| matches!(finding, Finding::Index { .. });
    assert!(report.findings.iter().all(is_late) && report.instances == 2, "{report:?}");
    // It can be sent again.
    archive.store_bytes(&permit, file(2)).await.unwrap();
}
