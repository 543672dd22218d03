//! The archive on a catalog whose disk fails.

use bytes::Bytes;
use dicom_core::{Tag, VR};
use tempfile::TempDir;

use super::*;
use crate::{
    dicom::{
        part10::{Encoding, samples::Sample},
        query::{Query, Resource},
    },
    storage::catalog::tests::crash::SharedDisk,
};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

fn file(study: u32) -> Bytes {
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
        search_time_max: std::time::Duration::from_secs(60),
        parse: part10::Limits::default(),
        duplicates: Duplicates::Reject,
        paging: PagingOptions { idle: std::time::Duration::from_secs(60), sessions_max: 16 },
        warn_attributes: true,
        coercion: Vec::new(),
        versions_max: 10,
        uploads: UploadOptions {
            uploads_max: 10,
            bytes_max: 1 << 30,
            idle: std::time::Duration::from_secs(60),
        },
        commitments: commitments::Options { transactions_max: 10, keep: std::time::Duration::ZERO },
        small_bytes_max: 1 << 20,
        upload_memory_bytes_max: 64 << 20,
        queue_max: 16,
        pool_running_max: 4,
        pool_waiting_max: 64,
        pixels: PixelOptions {
            limits: crate::pixels::Limits {
                frame_bytes_max: 1 << 20,
                frame_time_max: std::time::Duration::from_secs(60),
            },
            running_max: 1,
            waiting_max: 4,
            cache_bytes: 1 << 20,
            ahead_bytes_max: 1 << 20,
        },
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
    Archive::open_with(packs, catalog, folder.path(), &options()).unwrap().0
}

async fn studies(archive: &Archive) -> u64 {
    let query = Query::new(Resource::Studies);
    let found = archive.search(&Permit::operator(), query, Root::default(), String::new(), 100, None).await;
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
