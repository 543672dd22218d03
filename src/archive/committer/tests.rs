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

fn opened(folder: &TempDir, disk: &faulty::Faulty) -> Arc<Archive> {
    let packs = Packs::open_on(Arc::new(disk.clone()), packs::Options::default()).unwrap();
    let catalog = Layout::catalog(folder.path());
    let catalog = Catalog::open(&catalog, catalog::Options::default(), None, Box::new(resplit)).unwrap();
    Archive::open_with(packs, (catalog, true), folder.path(), &options()).unwrap().0
}

type Answered = oneshot::Receiver<Result<Outcome, ArchiveError>>;

fn job(work: Work) -> (Job, Answered) {
    let (answer, receiver) = oneshot::channel();
    (Job { work, answer }, receiver)
}

fn understood(core: &Arc<Core>, bytes: &Bytes) -> (Box<NewInstance>, Reservation, Room) {
    let instance = instance(bytes);
    let reservation = core.reservations.try_take(&instance.path.instance).unwrap();
    (instance, reservation, core.ledger.reserve(bytes.len() as u64, true).unwrap())
}

/// A file that is in its lane and flushed.
fn placed(core: &Arc<Core>, bytes: &Bytes) -> (Job, Answered) {
    let (mut instance, reservation, room) = understood(core, bytes);
    instance.stamp = core.clock.stamp();
    let mut upload = core.packs.begin().unwrap();
    upload.write(bytes).unwrap();
    instance.place = upload.finish(&instance.path, instance.stamp, instance.role, instance.digest).unwrap();
    job(Work::Placed { instance, reservation, room })
}

/// Nothing is found but what the index lacks, which follows when a commit is durable.
fn holds(archive: &Arc<Archive>, instances: u64) {
    let report = archive.verify(&Permit::operator(), VerifyWhat::All, &mut |_| {}).unwrap();
    let is_late = |finding: &Finding| matches!(finding, Finding::Index { .. });
    assert!(report.findings.iter().all(is_late) && report.instances == instances, "{report:?}");
}

/// A large file was flushed in its lane, and its commit met those of small ones that
/// found no room: it was refused with them, and was there after the next start.
#[tokio::test]
async fn what_is_placed_is_not_refused_with_what_cannot_be_written() {
    let (folder, disk) = (TempDir::new().unwrap(), faulty::Faulty::new());
    let archive = opened(&folder, &disk);
    let permit = Permit::operator();
    archive.store_bytes(&permit, file(1)).await.unwrap();

    let core = Arc::clone(&archive.core);
    let small = file(2);
    let (large, placed) = placed(&core, &file(3));
    let (instance, reservation, room) = understood(&core, &small);
    let (small, refused) = job(Work::File { bytes: small, held: Vec::new(), instance, reservation, room });

    disk.fail(0, faulty::Fault::NoSpace);
    let mut work = Loop::new(Arc::clone(&core));
    work.store(vec![small, large]);
    assert!(matches!(refused.await.unwrap(), Err(ArchiveError::Full)));
    let placed = placed.await.unwrap();
    assert!(matches!(placed, Ok(Outcome::Stored { .. })), "{placed:?}");

    drop((work, core));
    holds(&archive, 2);
    // It can be sent again.
    archive.store_bytes(&permit, file(2)).await.unwrap();
}

/// A file in its lane was refused, since the index was too far behind. Its study was
/// deleted; that meant not what the catalog did not know, and the next start brought
/// the study back with that one instance.
#[tokio::test]
async fn what_was_refused_when_it_was_placed_goes_with_its_study() {
    let (folder, disk) = (TempDir::new().unwrap(), faulty::Faulty::new());
    let archive = opened(&folder, &disk);
    let permit = Permit::operator();
    archive.store_bytes(&permit, file(1)).await.unwrap();
    let core = Arc::clone(&archive.core);
    let large = file(3);
    let study = instance(&large).path.study;
    let (job, refused) = placed(&core, &large);
    let mut work = Loop::new(Arc::clone(&core));
    work.turn_away(Batch::Stores(vec![job]), &ArchiveError::Busy);
    assert!(matches!(refused.await.unwrap(), Err(ArchiveError::Busy)));
    assert!(work.lacking);
    work.catch_up();
    assert!(!work.lacking);
    work.delete_target(&Target::Study(study.clone()), "").unwrap();
    drop((work, core));
    let left = archive.core.catalog.read().unwrap().totals().unwrap().instances;
    holds(&archive, left);
    drop(archive);

    std::fs::remove_file(Layout::catalog(folder.path())).unwrap();
    let archive = opened(&folder, &disk);
    let there = archive.core.catalog.read().unwrap().study(&study).unwrap();
    assert!(there.is_none(), "{there:?}");
    holds(&archive, left);
}
