//! The catalog under test: instances made from three small numbers, and a view
//! of all that can be read, to compare catalogs by.

// Numbers in tests are small.
#![allow(clippy::cast_possible_truncation)]

mod absorbing;
pub(crate) mod crash;
mod damage;
mod measure;
mod model;
mod rules;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use dicom_core::{Tag, VR};

use super::checked::Checked;
use super::sealed::Sealed;
use super::*;
use crate::dicom::{Bulk, FrameSpan, FrameTable, InstanceUid, SeriesPath, SeriesUid, StudyUid, Value};
use crate::storage::seal::Master;
use crate::storage::{CHUNK_BYTES, Chunks, Digest, PackId, Place, Role, Stamp};

pub fn study_uid(study: u8) -> StudyUid {
    StudyUid::parse(&format!("1.2.{study}")).unwrap()
}

pub fn path(study: u8, series: u8, instance: u8) -> InstancePath {
    InstancePath {
        study: study_uid(study),
        series: SeriesUid::parse(&format!("1.3.{series}")).unwrap(),
        instance: InstanceUid::parse(&format!("1.4.{instance}")).unwrap(),
    }
}

/// A version of an instance; the stamp makes its bytes and attributes differ.
pub fn version(path: &InstancePath, stamp: u64) -> NewInstance {
    let mut study = DataSet::new();
    study.put_text(Tag(0x0010, 0x0020), VR::LO, &format!("P{stamp}"));
    let mut series = DataSet::new();
    series.put_text(Tag(0x0008, 0x0060), VR::CS, ["CT", "MR", "US"][stamp as usize % 3]);
    series.put_text(Tag(0x0008, 0x103E), VR::LO, &format!("D{stamp}"));
    let mut summary = DataSet::new();
    summary.put_text(Tag(0x0020, 0x0013), VR::IS, &stamp.to_string());
    let metadata = json(&study, &series);
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&stamp.to_le_bytes());
    NewInstance {
        path: path.clone(),
        stamp: Stamp(stamp),
        role: Role::Current,
        place: Place { pack: PackId((stamp % 3) as u32), offset: stamp * 4096, length: 100 + stamp },
        digest: Digest(digest),
        chunks: Chunks(vec![stamp as u32; 2]),
        form: Form::Complete,
        transfer_syntax: "1.2.840.10008.1.2.1".into(),
        sop_class: format!("1.2.840.10008.5.1.4.1.1.{}", stamp % 2),
        frames: FrameTable::None,
        bulk: Vec::new(),
        study,
        series,
        summary,
        metadata,
        by: String::new(),
    }
}

/// Something that splits again.
fn json(study: &DataSet, series: &DataSet) -> Vec<u8> {
    serde_json::to_vec(&postcard::to_stdvec(&(study, series)).unwrap()).unwrap()
}

fn resplit() -> Resplit {
    Box::new(|json| postcard::from_bytes(&serde_json::from_slice::<Vec<u8>>(json).ok()?).ok())
}

pub fn store(instance: NewInstance, rule: Rule) -> Change {
    Change::Store { instance: Box::new(instance), rule }
}

pub fn delete(target: Target, stamp: u64) -> Change {
    Change::Delete { target, stamp: Stamp(stamp), by: "someone".into() }
}

/// The keys of an archive.
pub fn ring() -> Keyring {
    Keyring::begin(&Master::random().unwrap(), 1).unwrap()
}

/// The database in a file, in the clear.
fn open_file(path: &Path) -> Result<Database, DatabaseError> {
    Kept { cache_bytes: 1 << 20, ring: None }.open(path, &Arc::default())
}

/// A catalog in memory.
pub fn memory() -> Catalog {
    let opener = || Database::builder().create_with_backend(redb::backends::InMemoryBackend::new());
    Catalog::open_with(Path::new("memory"), Box::new(opener), resplit(), Arc::default()).unwrap()
}

pub fn fast(catalog: &Catalog, changes: &[Change]) -> Applied {
    catalog.apply(changes, Durability::Fast).unwrap()
}

/// All that can be read but for numbers that tell the order of the changes.
#[derive(Debug, Default, PartialEq)]
pub struct View {
    pub studies: BTreeMap<StudyUid, StudyRow>,
    pub series: BTreeMap<SeriesPath, SeriesRow>,
    pub instances: BTreeMap<InstancePath, Seen>,
    pub packs: BTreeMap<PackId, PackRow>,
    pub versions: BTreeMap<(InstancePath, Stamp), (Role, Place, Digest, Chunks)>,
    pub bytes: u64,
}

#[derive(Debug, PartialEq)]
pub struct Seen {
    pub stamp: Stamp,
    pub place: Place,
    pub digest: Digest,
    pub summary: DataSet,
    pub metadata: Vec<u8>,
}

/// Reads everything by every way in, and checks that they agree.
pub fn view(catalog: &Catalog) -> View {
    let read = catalog.read().unwrap();
    let mut view = View { packs: read.packs().unwrap().into_iter().collect(), ..View::default() };
    for mut study in read.studies(0, usize::MAX).unwrap() {
        assert_eq!(read.study_by_id(study.id).unwrap().as_ref(), Some(&study));
        let mut counted = 0;
        for mut series in read.series_of(&study.uid).unwrap() {
            assert_eq!(read.series_by_id(series.id).unwrap().as_ref(), Some(&series));
            counted += see_series(&read, &series, &mut view);
            assert_eq!(read.tombstone(&Target::Series(series.path.clone())).unwrap(), None);
            (series.id, series.seq) = (0, 0);
            view.series.insert(series.path.clone(), series);
        }
        assert_eq!(counted, study.instances);
        assert_eq!(read.tombstone(&Target::Study(study.uid.clone())).unwrap(), None);
        (study.id, study.seq) = (0, 0);
        view.studies.insert(study.uid.clone(), study);
    }
    let totals = read.totals().unwrap();
    assert_eq!(totals.studies, view.studies.len() as u64);
    assert_eq!(totals.series, view.series.len() as u64);
    assert_eq!(totals.instances, view.instances.len() as u64);
    see_versions(&read, &mut view);
    assert_eq!(totals.versions, view.versions.len() as u64);
    view.bytes = totals.bytes;
    let feed = read.feed(0, usize::MAX).unwrap();
    assert!(feed.iter().map(|entry| entry.seq).eq(1..=read.seq().unwrap()));
    view
}

fn see_versions(read: &Snapshot, view: &mut View) {
    let mut after = None;
    loop {
        let page = read.all_versions(after.as_ref(), 2).unwrap();
        let Some((path, version)) = page.last() else { return };
        after = Some((path.clone(), version.stamp));
        for (path, version) in page {
            assert!(read.versions(&path).unwrap().contains(&version));
            let (same, chunks) = read.version(&path, version.stamp).unwrap().unwrap();
            assert_eq!(same, version);
            let study = Target::Study(path.study.clone());
            assert!(read.version_paths(&study).unwrap().contains(&path));
            let seen = (version.role, version.place, version.digest, chunks);
            view.versions.insert((path, version.stamp), seen);
        }
    }
}

fn see_series(read: &Snapshot, series: &SeriesRow, view: &mut View) -> u64 {
    let mut metadata = BTreeMap::new();
    let whole = read
        .metadata(&series.path, None, &mut |uid, json| {
            metadata.insert(uid.clone(), json.to_vec());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(whole);
    let rows = read.instances(&series.path, None, usize::MAX).unwrap();
    assert_eq!(rows.len() as u64, series.instances);
    for row in rows {
        assert_eq!(read.instance(&row.path).unwrap().as_ref(), Some(&row));
        assert_eq!(read.locate(&row.path.instance).unwrap().as_ref(), Some(&row.path));
        assert_eq!(read.tombstone(&Target::Instance(row.path.clone())).unwrap(), None);
        let metadata = metadata.remove(&row.path.instance).unwrap();
        assert_eq!(read.metadata_of(&row.path).unwrap().as_ref(), Some(&metadata));
        let seen = Seen {
            stamp: row.stamp,
            place: row.place,
            digest: row.digest,
            summary: row.summary().unwrap(),
            metadata,
        };
        view.instances.insert(row.path, seen);
    }
    assert!(metadata.is_empty());
    series.instances
}
