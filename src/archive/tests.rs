//! The archive on a catalog whose disk fails.

use std::{ops::ControlFlow, os::unix::fs::FileExt};

use bytes::Bytes;
use dicom_core::{Tag, VR};
use tempfile::TempDir;

use super::{store::new_instance, *};
use crate::{
    dicom::{
        part10::{Encoding, samples::Sample},
        query::{Query, Resource},
    },
    storage::{
        catalog::tests::crash::SharedDisk,
        packs::{Entry, Hashed, Hasher, NewFile},
    },
};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

pub(super) fn file(study: u32) -> Bytes {
    let mut sample = Sample::new(Encoding { explicit: true, big_endian: false });
    sample
        .text(Tag(0x0008, 0x0016), VR::UI, "1.2.840.10008.5.1.4.1.1.2")
        .text(Tag(0x0008, 0x0018), VR::UI, &format!("1.2.3.{study}.1.1"))
        .text(Tag(0x0020, 0x000D), VR::UI, &format!("1.2.3.{study}"))
        .text(Tag(0x0020, 0x000E), VR::UI, &format!("1.2.3.{study}.1"));
    sample.file(EXPLICIT).into()
}

pub(super) fn options() -> Options {
    Options {
        packs: packs::Options::default(),
        encryption: MasterSource::default(),
        tier: None,
        catalog: catalog::Options::default(),
        index: index::Options { writer_bytes: 15_000_000, ..index::Options::default() },
        documents: DocumentLimits::default(),
        sorted_max: 1000,
        search_time_max: std::time::Duration::from_mins(1),
        parse: part10::Limits::default(),
        duplicates: Duplicates::Reject,
        paging: PagingOptions { idle: std::time::Duration::from_mins(1), sessions_max: 16 },
        warn_attributes: true,
        coercion: Vec::new(),
        versions_max: 10,
        uploads: UploadOptions {
            uploads_max: 10,
            bytes_max: 1 << 30,
            idle: std::time::Duration::from_mins(1),
        },
        commitments: commitments::Options { transactions_max: 10, keep: std::time::Duration::ZERO },
        small_bytes_max: 1 << 20,
        alone_bytes_min: 512 << 10,
        upload_memory_bytes_max: 64 << 20,
        queue_max: 16,
        pool_running_max: 4,
        pool_waiting_max: 64,
        pixels: PixelOptions {
            limits: crate::pixels::Limits {
                frame_bytes_max: 1 << 20,
                frame_time_max: std::time::Duration::from_mins(1),
            },
            running_max: 1,
            waiting_max: 4,
            cache_bytes: 1 << 20,
            ahead_bytes_max: 1 << 20,
        },
        quota: Quota::default(),
        shared: None,
        scrub: super::ScrubOptions {
            bytes_per_second: 0,
            interval: std::time::Duration::ZERO,
            bucket: false,
        },
        pictures: super::PictureOptions {
            cache_bytes: 1 << 20,
            animation_frames_max: 10,
            animation_bytes_max: 1 << 20,
            thumbnail_bytes_max: 1 << 20,
        },
    }
}

fn open(folder: &TempDir, disk: &SharedDisk) -> Arc<Archive> {
    let packs = Packs::open(&Layout::packs(folder.path()), packs::Options::default()).unwrap();
    let catalog = disk.open_as(Box::new(resplit)).unwrap();
    Archive::open_with(packs, (catalog, false), folder.path(), &options()).unwrap().0
}

async fn studies(archive: &Archive) -> u64 {
    let query = Query::new(Resource::Studies);
    let (root, base_url) = (Root::default(), String::new());
    let request = SearchRequest { query, root, base_url, results_max: 100, asker: None };
    let found = archive.search(&Permit::operator(), request, |found| found).await;
    found.unwrap().total
}

/// The catalog goes back to its last checkpoint when its disk fails. What was
/// acknowledged since was lost to searches until the next start, and when the
/// catalog could not be opened again at once, every request failed until then.
#[tokio::test]
async fn a_catalog_that_failed_has_everything_again() {
    let (folder, disk) = (TempDir::new().unwrap(), SharedDisk::default());
    let archive = open(&folder, &disk);
    let permit = Permit::operator();
    let mut acknowledged = 0;
    for round in 0..2 {
        for study in 0..5 {
            let stored = archive.store_bytes(&permit, file(round * 100 + study)).await.unwrap();
            assert!(matches!(stored.outcome, StoreOutcome::Stored { .. }), "{stored:?}");
            acknowledged += 1;
        }
        disk.fail(true);
        // A commit that is not durable may touch no disk; in time one does.
        let mut refused = 0;
        for study in 50..90 {
            if refused > 3 {
                break;
            }
            match archive.store_bytes(&permit, file(round * 100 + study)).await {
                Ok(stored) if matches!(stored.outcome, StoreOutcome::Stored { .. }) => acknowledged += 1,
                Ok(_) | Err(_) => refused += 1,
            }
            tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        }
        assert!(refused > 0, "the disk was not missed");
        disk.fail(false);
        let mut attempts = 0;
        while archive.store_bytes(&permit, file(round * 100 + 99)).await.is_err() {
            attempts += 1;
            assert!(attempts < 100, "it does not come back");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        acknowledged += 1;
        // What was refused after it had reached a pack may be there.
        assert!(studies(&archive).await >= acknowledged, "{acknowledged} were acknowledged");
    }
    let there = studies(&archive).await;
    drop(archive);
    let archive = open(&folder, &disk);
    assert_eq!(studies(&archive).await, there);
    let report = archive.verify(&permit, super::VerifyWhat::All, &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// A process was killed between the two writes of a batch: the second file had
/// its record, the first had none yet. The replay took the second for proof that
/// the first was damage in the middle, and went on behind it; `verify` named it
/// for ever after, and tar found nothing behind it.
#[tokio::test]
async fn a_batch_that_was_cut_off_leaves_no_gap() {
    let (folder, disk) = (TempDir::new().unwrap(), SharedDisk::default());
    let permit = Permit::operator();
    let archive = open(&folder, &disk);
    archive.store_bytes(&permit, file(1)).await.unwrap();
    drop(archive);
    let packs = Packs::open(&Layout::packs(folder.path()), packs::Options::default()).unwrap();
    let pack = packs.list().into_iter().find(|info| info.length > 1024).unwrap().pack;
    let end = packs.replay(pack, 0, &mut |_| ControlFlow::Continue(())).unwrap().valid_until;
    packs.resume(pack, end).unwrap();
    let files = [file(2), file(3)];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let stored: Vec<_> = files
        .iter()
        .map(|bytes| {
            let Hashed { digest, chunks, .. } = Hasher::hash(bytes);
            let read = crate::dicom::part10::read(&bytes.as_ref(), &options().parse).unwrap();
            (new_instance(read, digest, chunks, "").path, digest)
        })
        .collect();
    let entries: Vec<Entry> = (0..2)
        .map(|index| {
            let (path, digest) = &stored[index];
            let stamp = Stamp(u64::try_from(now.as_micros()).unwrap() + index as u64);
            Entry::File(NewFile { path, stamp, role: Role::Current, digest: *digest, bytes: &files[index] })
        })
        .collect();
    let places = packs.append(&entries).unwrap();
    drop(packs);
    let path = Layout::packs(folder.path()).join(format!("0000/{pack}.tar"));
    let tar = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    tar.write_all_at(&[0; 1536], places[0].entry_start()).unwrap();

    let archive = open(&folder, &disk);
    assert_eq!(studies(&archive).await, 1);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), end, "the batch is cut off");
    let torn = std::fs::read_dir(Layout::packs(folder.path()).join("torn")).unwrap().count();
    assert_eq!(torn, 1, "and a copy of it is kept");
    let report = archive.verify(&permit, super::VerifyWhat::All, &mut |_| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
}

/// A large file that filled its pack was in the pack, closed with it, and not in the
/// catalog yet when a backup was begun. Such a backup passed for one of a quiet moment,
/// and its restore said that it was not as it was.
#[test]
fn a_moment_amid_a_store_is_not_quiet() {
    let folder = TempDir::new().unwrap();
    let packs = packs::Options { pack_bytes_max: 500, ..packs::Options::default() };
    let archive = Archive::open(folder.path(), &Options { packs, ..options() }).unwrap();
    let permit = Permit::operator();
    assert!(archive.moment(&permit).unwrap().quiet);
    let bytes = file(1);
    let Hashed { digest, chunks, .. } = Hasher::hash(&bytes);
    let read = crate::dicom::part10::read(&bytes.as_ref(), &options().parse).unwrap();
    let path = new_instance(read, digest, chunks, "").path;
    let mut upload = archive.core.packs.begin().unwrap();
    upload.write(&bytes).unwrap();
    upload.finish(&path, archive.core.clock.stamp(), Role::Current, digest).unwrap();
    let moment = archive.moment(&permit).unwrap();
    assert!(moment.packs[0].sealed && !moment.quiet, "{moment:?}");
    drop(archive);
    let archive = Archive::open(folder.path(), &Options { packs, ..options() }).unwrap();
    assert!(archive.moment(&permit).unwrap().quiet);
}
