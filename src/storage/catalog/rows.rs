//! The rows of studies, series, packs and the feed as values. Invariant: the
//! attributes of a study (a series) are those of its newest instance, and its
//! counts are those of the instances that are there (PS3.4 section C.3.4).

use std::collections::BTreeMap;

use dicom_core::{Tag, VR};
use serde::{Deserialize, Serialize};

use crate::dicom::{DataSet, Element, InstancePath, InstanceUid, SeriesPath, StudyUid, Value};
use crate::storage::Stamp;

const STUDY_UID: Tag = Tag(0x0020, 0x000D);
const SERIES_UID: Tag = Tag(0x0020, 0x000E);
const AVAILABILITY: Tag = Tag(0x0008, 0x0056);
const MODALITIES_IN_STUDY: Tag = Tag(0x0008, 0x0061);
const SOP_CLASSES_IN_STUDY: Tag = Tag(0x0008, 0x0062);
const STUDY_SERIES: Tag = Tag(0x0020, 0x1206);
const STUDY_INSTANCES: Tag = Tag(0x0020, 0x1208);
const SERIES_INSTANCES: Tag = Tag(0x0020, 0x1209);

/// A study and what is known of its instances together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyRow {
    /// Rising and never used twice: the tie-break of every order. It leads the
    /// row, so that it can be read alone.
    pub id: u64,
    pub uid: StudyUid,
    /// Study level attributes of the newest instance, as they came.
    pub attributes: DataSet,
    /// Stamp of that newest instance.
    pub newest: Stamp,
    /// Stamp of the oldest instance there is.
    pub first: Stamp,
    pub series: u32,
    pub instances: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Modality → number of series that have it.
    pub modalities: BTreeMap<String, u32>,
    /// SOP Class UID → number of instances.
    pub sop_classes: BTreeMap<String, u64>,
    /// Sequence number of the last change in the study.
    pub seq: u64,
}

/// A series and what is known of its instances together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesRow {
    /// Rising and never used twice; leads the row.
    pub id: u64,
    pub path: SeriesPath,
    /// Series level attributes of the newest instance, as they came.
    pub attributes: DataSet,
    /// Stamp of that newest instance.
    pub newest: Stamp,
    pub first: Stamp,
    pub instances: u64,
    pub bytes: u64,
    pub sop_classes: BTreeMap<String, u64>,
    pub seq: u64,
    pub(super) newest_instance: InstanceUid,
}

impl StudyRow {
    /// The attributes with those put in that an archive computes
    /// (PS3.18 tables 10.6.3-3 and 8.3.4-2).
    #[must_use]
    pub fn computed(self) -> DataSet {
        let mut set = self.attributes;
        set.put_text(STUDY_UID, VR::UI, self.uid.as_str());
        set.put_text(AVAILABILITY, VR::CS, "ONLINE");
        put_list(&mut set, MODALITIES_IN_STUDY, VR::CS, self.modalities.keys());
        put_list(&mut set, SOP_CLASSES_IN_STUDY, VR::UI, self.sop_classes.keys());
        set.put_text(STUDY_SERIES, VR::IS, &self.series.to_string());
        set.put_text(STUDY_INSTANCES, VR::IS, &self.instances.to_string());
        set
    }
}

impl StudyRow {
    /// The study as if it had these of its series only.
    #[must_use]
    pub fn of_only(self, series: &[SeriesRow]) -> Self {
        let mut row = Self {
            newest: series.iter().map(|series| series.newest).max().unwrap_or(self.newest),
            first: series.iter().map(|series| series.first).min().unwrap_or(self.first),
            series: u32::try_from(series.len()).unwrap_or(u32::MAX),
            instances: series.iter().map(|series| series.instances).sum(),
            bytes: series.iter().map(|series| series.bytes).sum(),
            modalities: BTreeMap::new(),
            sop_classes: BTreeMap::new(),
            seq: series.iter().map(|series| series.seq).max().unwrap_or(self.seq),
            ..self
        };
        for series in series {
            *row.modalities.entry(modality(&series.attributes).to_owned()).or_default() += 1;
            for (class, number) in &series.sop_classes {
                *row.sop_classes.entry(class.clone()).or_default() += number;
            }
        }
        row
    }
}

impl SeriesRow {
    /// The attributes with those put in that an archive computes
    /// (PS3.18 table 10.6.3-4).
    #[must_use]
    pub fn computed(self) -> DataSet {
        let mut set = self.attributes;
        set.put_text(STUDY_UID, VR::UI, self.path.study.as_str());
        set.put_text(SERIES_UID, VR::UI, self.path.series.as_str());
        set.put_text(AVAILABILITY, VR::CS, "ONLINE");
        set.put_text(SERIES_INSTANCES, VR::IS, &self.instances.to_string());
        set
    }
}

fn put_list<'a>(set: &mut DataSet, tag: Tag, vr: VR, values: impl Iterator<Item = &'a String>) {
    let values: Vec<String> = values.filter(|value| !value.is_empty()).cloned().collect();
    let value = if values.is_empty() { Value::Empty } else { Value::Text(values) };
    set.put(tag, Element::new(vr, value));
}

/// What the catalog knows of a pack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRow {
    /// All entries before this byte have been applied: replay goes on here.
    pub applied: u64,
    pub sealed: bool,
    /// Files a row points to, and their bytes.
    pub live_files: u64,
    pub live_bytes: u64,
    /// Bytes of files no row points to any more.
    pub dead_bytes: u64,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub studies: u64,
    pub series: u64,
    pub instances: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Versions that are not the instance itself.
    pub versions: u64,
}

/// One change of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    pub seq: u64,
    pub kind: FeedKind,
    pub path: InstancePath,
    /// The id its series had then.
    pub series_id: u64,
    /// When it was stored or deleted.
    pub stamp: Stamp,
    /// Who did it, as far as known; empty when not.
    pub by: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedKind {
    Stored,
    /// Stored in place of another version under the same path.
    Replaced,
    Deleted,
}

/// Where the numbers stand.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub seq: u64,
    pub studies: u64,
    pub series: u64,
    pub bytes: u64,
}

/// What is known of a SOP Instance UID wherever it lies.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct SopRow {
    /// The newest version ever seen, there or deleted: an older one is too late.
    pub stamp: u64,
    /// The series it is in while it is there.
    pub series: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct FeedRow<'a> {
    pub kind: FeedKind,
    pub series: u64,
    pub instance: &'a str,
    pub stamp: u64,
    pub by: &'a str,
}

/// Puts one more in a map of counts.
pub(super) fn count(map: &mut BTreeMap<String, u64>, key: &str) {
    match map.get_mut(key) {
        Some(number) => *number += 1,
        None => _ = map.insert(key.to_owned(), 1),
    }
}

/// Takes one away; what is at zero is gone.
pub(super) fn uncount(map: &mut BTreeMap<String, u64>, key: &str) {
    if let Some(number) = map.get_mut(key) {
        *number = number.saturating_sub(1);
        if *number == 0 {
            map.remove(key);
        }
    }
}

/// The modality a series counts as in its study; empty if it says none.
pub(super) fn modality(attributes: &DataSet) -> &str {
    attributes.first_text(Tag(0x0008, 0x0060)).unwrap_or("")
}
