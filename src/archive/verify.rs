//! Verify: every stored byte against its digest, and packs, catalog and index
//! against each other. It changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Archive, ArchiveError, Core};
use crate::{
    auth::Permit,
    dicom::{
        InstancePath, StudyUid,
        query::{Query, Resource},
    },
    storage::{
        PackId, Place, Stamp,
        catalog::Snapshot,
        packs::{Damage, PackError, Replayed, Why},
    },
};

/// Rows read at once.
const PAGE: usize = 512;
/// Findings kept; more are only counted.
const FINDINGS_MAX: usize = 10_000;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// Bytes of a pack are not what was written there.
    Damaged { pack: u32, offset: u64, length: u64, instance: Option<String>, why: String },
    /// A pack that the catalog knows of is not there, or cannot be read.
    PackUnreadable { pack: u32, why: String },
    /// The catalog has an instance whose bytes are not where it says.
    BytesMissing { instance: String, pack: u32, offset: u64 },
    /// A pack has an instance that the catalog should have and has not.
    NotInCatalog { instance: String, pack: u32, offset: u64 },
    /// The catalog's own numbers contradict each other.
    Counts { what: String, says: u64, there_are: u64 },
    /// The catalog itself is damaged: `hilum rebuild` makes it anew.
    Catalog { why: String },
    /// The catalog does not say of an instance what its pack says.
    Differs { instance: String, pack: u32, offset: u64 },
    /// The result or the request of a storage commitment is not what was written.
    Commitment { transaction: String },
    /// The index does not count the instances of a study or series as the
    /// catalog does; none when one of them does not know it.
    Index { what: String, catalog: u64, index: u64 },
}

/// Which packs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    All,
    /// Not those that are only in a bucket: reading them has its time and price.
    OnDisk,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub packs: u64,
    /// Files in packs whose bytes were read and are right, live or not.
    pub files: u64,
    pub bytes: u64,
    /// Instances of the catalog whose bytes were read and are right.
    pub instances: u64,
    /// Versions beside them whose bytes were read and are right.
    pub versions: u64,
    /// Packs in a bucket that were left out, or did not answer, and instances and
    /// versions that the catalog has in them.
    pub packs_not_read: u64,
    pub instances_not_read: u64,
    /// Findings in all.
    pub found: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Everything is as it should be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found == 0
    }

    fn add(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

impl Archive {
    /// Reads everything and compares everything. Blocks for as long as reading
    /// the archive takes; `progress` is told the bytes read so far.
    ///
    /// # Errors
    /// When the catalog cannot be read at all.
    pub fn verify(
        self: &Arc<Self>,
        _permit: &Permit,
        packs: What,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Report, ArchiveError> {
        let mut report = Report::default();
        match self.core.catalog.check() {
            Ok(true) => {}
            Ok(false) => report.add(Finding::Catalog { why: "it was not whole, and was mended".to_owned() }),
            Err(error) => report.add(damaged_catalog(&error.into())),
        }
        let right = verify_packs(&self.core, packs, &mut report, progress)?;
        verify_rows(&self.core, &right, &mut report)?;
        verify_versions(&self.core, &right, &mut report)?;
        for transaction in self.core.commitments.damaged() {
            report.add(Finding::Commitment { transaction });
        }
        if let Err(error) = verify_index(&self.core, &mut report) {
            report.add(Finding::Index { what: error.to_string(), catalog: 0, index: 0 });
        }
        Ok(report)
    }
}

/// What the packs were found to hold.
#[derive(Default)]
struct Right {
    /// Where the files are whose bytes are right.
    places: HashSet<(PackId, u64)>,
    /// Packs of which nothing is known.
    not_read: HashSet<PackId>,
}

/// What is known of the bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bytes {
    Right,
    Missing,
    /// Their pack was not read.
    Unknown,
}

impl Right {
    fn bytes(&self, place: &Place) -> Bytes {
        if self.places.contains(&(place.pack, place.offset)) {
            Bytes::Right
        } else if self.not_read.contains(&place.pack) {
            Bytes::Unknown
        } else {
            Bytes::Missing
        }
    }
}

/// Reads the packs.
fn verify_packs(
    core: &Core,
    which: What,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) -> Result<Right, ArchiveError> {
    let snapshot = core.catalog.read()?;
    let mut right = Right::default();
    let packs = core.packs.list();
    let known: HashSet<PackId> = packs.iter().map(|info| info.pack).collect();
    for info in packs {
        if which == What::OnDisk && core.packs.is_far(info.pack) {
            report.packs_not_read += 1;
            right.not_read.insert(info.pack);
            continue;
        }
        report.packs += 1;
        let walked = core.packs.replay(info.pack, 0, &mut |found| {
            match check_entry(&snapshot, info.pack, &found, report) {
                Ok(Some(place)) => drop(right.places.insert((place.pack, place.offset))),
                Ok(None) => {}
                Err(error) => report.add(damaged_catalog(&error)),
            }
            progress(report.bytes);
            ControlFlow::Continue(())
        });
        match walked {
            Ok(end) => end.tail.iter().for_each(|damage| report.add(damaged(info.pack, damage))),
            Err(error) => {
                report.add(Finding::PackUnreadable { pack: info.pack.0, why: error.to_string() });
                // Nothing is said of what is in it.
                if matches!(error, PackError::Away { .. }) {
                    report.packs_not_read += 1;
                    right.not_read.insert(info.pack);
                }
            }
        }
    }
    for (pack, row) in snapshot.packs()? {
        if !known.contains(&pack) && row.live_files > 0 {
            report.add(Finding::PackUnreadable { pack: pack.0, why: "the pack is not there".to_owned() });
        }
    }
    Ok(right)
}

/// One entry of a pack; its place if it is a file whose bytes are right.
fn check_entry(
    snapshot: &Snapshot,
    pack: PackId,
    found: &Replayed,
    report: &mut Report,
) -> Result<Option<Place>, ArchiveError> {
    if let Some(finding) = finding_of(snapshot, pack, found)? {
        report.add(finding);
    }
    let Replayed::File { place, .. } = found else { return Ok(None) };
    report.files += 1;
    report.bytes += place.length;
    Ok(Some(*place))
}

/// What is amiss with an entry of a pack.
pub(super) fn finding_of(
    snapshot: &Snapshot,
    pack: PackId,
    found: &Replayed,
) -> Result<Option<Finding>, ArchiveError> {
    let (path, stamp, place, digest) = match found {
        Replayed::File { path, stamp, place, digest, .. } => (path, *stamp, *place, *digest),
        Replayed::Tombstone { .. } => return Ok(None),
        Replayed::Damaged(damage) if is_of_no_matter(snapshot, damage)? => return Ok(None),
        Replayed::Damaged(damage) => return Ok(Some(damaged(pack, damage))),
    };
    let (instance, pack, offset) = (path.to_string(), pack.0, place.offset);
    let known = match snapshot.instance(path)?.filter(|row| row.stamp == stamp) {
        Some(row) => Some((row.place, row.digest)),
        None => snapshot.version(path, stamp)?.map(|(version, _)| (version.place, version.digest)),
    };
    Ok(match known {
        // A copy of it may lie elsewhere.
        Some((known_at, known)) if known_at == place && known != digest => {
            Some(Finding::Differs { instance, pack, offset })
        }
        Some(_) => None,
        None if is_superseded(snapshot, path, stamp)? => None,
        None => Some(Finding::NotInCatalog { instance, pack, offset }),
    })
}

/// The rows of a study: all can be read, their bytes are within packs that are
/// there, the counts hold. No byte of a pack is read.
pub(super) fn look_through(core: &Core, study: &StudyUid) -> Result<Vec<Finding>, ArchiveError> {
    let snapshot = core.catalog.read()?;
    let mut report = Report::default();
    let Some(row) = snapshot.study(study)? else { return Ok(Vec::new()) };
    let ends: BTreeMap<PackId, u64> =
        core.packs.list().into_iter().map(|info| (info.pack, info.length)).collect();
    let bytes = |place: &Place| match ends.get(&place.pack) {
        Some(&end) if core.packs.entry_end(place) <= end => Bytes::Right,
        _ => Bytes::Missing,
    };
    let found = verify_study(&snapshot, study, &bytes, &mut report)?;
    count(&mut report, &format!("instances of study {study}"), row.instances, found);
    for series in snapshot.series_of(study)? {
        snapshot.metadata(&series.path, None, &mut |_, _| ControlFlow::Continue(()))?;
    }
    Ok(report.findings)
}

/// Whether damage is of the content of a file that was deleted, as one is to mend
/// it: nobody reads that again, and its record and all behind it are right.
fn is_of_no_matter(snapshot: &Snapshot, damage: &Damage) -> Result<bool, ArchiveError> {
    let Some((path, stamp)) = &damage.instance else { return Ok(false) };
    Ok(matches!(damage.why, Why::Digest | Why::Seal)
        && snapshot.instance(path)?.is_none_or(|row| row.stamp != *stamp)
        && snapshot.version(path, *stamp)?.is_none()
        && is_superseded(snapshot, path, *stamp)?)
}

/// Whether a file is not in the catalog as it should be: it was deleted, or its
/// SOP Instance UID is elsewhere now.
fn is_superseded(snapshot: &Snapshot, path: &InstancePath, stamp: Stamp) -> Result<bool, ArchiveError> {
    Ok(snapshot.deleted_at(path)?.is_some_and(|deleted| deleted > stamp)
        || snapshot.locate(&path.instance)?.is_some_and(|located| located != *path))
}

pub(super) fn damaged(pack: PackId, damage: &Damage) -> Finding {
    Finding::Damaged {
        pack: pack.0,
        offset: damage.offset,
        length: damage.length,
        instance: damage.instance.as_ref().map(|(path, _)| path.to_string()),
        why: damage.why.to_string(),
    }
}

/// Every row of the catalog: its bytes were found right, its counts hold.
fn verify_rows(core: &Core, right: &Right, report: &mut Report) -> Result<(), ArchiveError> {
    let snapshot = core.catalog.read()?;
    let mut after = 0;
    loop {
        let studies = snapshot.studies(after, PAGE)?;
        let Some(last) = studies.last() else { return Ok(()) };
        after = last.id;
        for study in &studies {
            match verify_study(&snapshot, &study.uid, &|place| right.bytes(place), report) {
                Ok(found) => {
                    count(report, &format!("instances of study {}", study.uid), study.instances, found);
                }
                Err(error) => report.add(damaged_catalog(&error)),
            }
        }
    }
}

fn verify_study(
    snapshot: &Snapshot,
    study: &StudyUid,
    bytes: &dyn Fn(&Place) -> Bytes,
    report: &mut Report,
) -> Result<u64, ArchiveError> {
    let mut instances = 0;
    for series in snapshot.series_of(study)? {
        let mut found = 0;
        let mut after = None;
        loop {
            let rows = snapshot.instances(&series.path, after.as_ref(), PAGE)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.path.instance.clone());
            for row in &rows {
                found += 1;
                match bytes(&row.place) {
                    Bytes::Right => report.instances += 1,
                    Bytes::Unknown => report.instances_not_read += 1,
                    Bytes::Missing => report.add(Finding::BytesMissing {
                        instance: row.path.to_string(),
                        pack: row.place.pack.0,
                        offset: row.place.offset,
                    }),
                }
            }
        }
        count(report, &format!("instances of series {}", series.path), series.instances, found);
        instances += found;
    }
    Ok(instances)
}

/// Every version beside an instance: its bytes were found right.
fn verify_versions(core: &Core, right: &Right, report: &mut Report) -> Result<(), ArchiveError> {
    let snapshot = core.catalog.read()?;
    let mut after = None;
    loop {
        let page = snapshot.all_versions(after.as_ref(), PAGE)?;
        for (path, version) in &page {
            match right.bytes(&version.place) {
                Bytes::Right => report.versions += 1,
                Bytes::Unknown => report.instances_not_read += 1,
                Bytes::Missing => report.add(Finding::BytesMissing {
                    instance: path.to_string(),
                    pack: version.place.pack.0,
                    offset: version.place.offset,
                }),
            }
        }
        match page.into_iter().next_back() {
            Some((path, version)) => after = Some((path, version.stamp)),
            None => return Ok(()),
        }
    }
}

fn count(report: &mut Report, what: &str, says: u64, there_are: u64) {
    if says != there_are {
        report.add(Finding::Counts { what: what.to_owned(), says, there_are });
    }
}

pub(super) fn damaged_catalog(error: &ArchiveError) -> Finding {
    Finding::Catalog { why: error.to_string() }
}

/// The index knows the studies and series of the catalog, and no others.
fn verify_index(core: &Core, report: &mut Report) -> Result<(), ArchiveError> {
    let snapshot = core.catalog.read()?;
    let of = |resource| -> Result<BTreeMap<u64, u64>, ArchiveError> {
        let hits = core.index.search(&Query::new(resource), 0..usize::MAX, &BTreeSet::new())?;
        Ok(hits.rows.iter().map(|hit| (hit.series_id.unwrap_or(hit.study_id), hit.instances)).collect())
    };
    let (mut studies, mut series) = (of(Resource::Studies)?, of(Resource::Series)?);
    let mut after = 0;
    loop {
        let page = snapshot.studies(after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for study in page {
            let known = studies.remove(&study.id).unwrap_or_default();
            indexed(report, || format!("study {}", study.uid), study.instances, known);
            for row in snapshot.series_of(&study.uid)? {
                let known = series.remove(&row.id).unwrap_or_default();
                indexed(report, || format!("series {}", row.path), row.instances, known);
            }
        }
    }
    for (what, left) in [("a study", studies), ("a series", series)] {
        for (id, instances) in left {
            indexed(report, || format!("{what} that is not there, with the id {id}"), 0, instances.max(1));
        }
    }
    Ok(())
}

fn indexed(report: &mut Report, what: impl FnOnce() -> String, catalog: u64, index: u64) {
    if catalog != index {
        report.add(Finding::Index { what: what(), catalog, index });
    }
}
