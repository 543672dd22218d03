//! The keys of the tables: UIDs joined by 0x00 in order study, series,
//! instance, so that all of a study, and all of a series, is one range. A UID
//! has only digits and dots, so the joint is unambiguous and sorts first.

use std::ops::Range;

use crate::dicom::{InstancePath, InstanceUid, SeriesPath, SeriesUid, StudyUid};
use crate::storage::Stamp;

const JOINT: u8 = 0;
const AFTER_JOINT: u8 = 1;

pub(super) fn series_key(path: &SeriesPath) -> Vec<u8> {
    join(&[path.study.as_str(), path.series.as_str()])
}

pub(super) fn path_key(path: &InstancePath) -> Vec<u8> {
    join(&[path.study.as_str(), path.series.as_str(), path.instance.as_str()])
}

/// Within the table of instances the series stands as its number: 8 bytes
/// instead of up to 130 in every row.
pub(super) fn instance_key(series_id: u64, uid: &InstanceUid) -> Vec<u8> {
    let mut key = Vec::with_capacity(8 + uid.as_str().len());
    key.extend_from_slice(&series_id.to_be_bytes());
    key.extend_from_slice(uid.as_str().as_bytes());
    key
}

/// A version stands below the path of its instance, in the order of the stamps.
pub(super) fn version_key(path: &InstancePath, stamp: Stamp) -> Vec<u8> {
    let mut key = path_key(path);
    key.push(JOINT);
    key.extend_from_slice(&stamp.0.to_be_bytes());
    key
}

pub(super) fn parse_version(key: &[u8]) -> Option<(InstancePath, Stamp)> {
    let (path, stamp) = key.split_last_chunk::<8>()?;
    let mut uids = std::str::from_utf8(path.strip_suffix(&[JOINT])?).ok()?.split('\0');
    let path = InstancePath {
        study: StudyUid::parse(uids.next()?).ok()?,
        series: SeriesUid::parse(uids.next()?).ok()?,
        instance: InstanceUid::parse(uids.next()?).ok()?,
    };
    uids.next().is_none().then_some((path, Stamp(u64::from_be_bytes(*stamp))))
}

/// Everything below a study or a series, itself not included.
pub(super) fn below(key: &[u8]) -> Range<Vec<u8>> {
    let with = |last: u8| key.iter().copied().chain([last]).collect();
    with(JOINT)..with(AFTER_JOINT)
}

/// All instances of a series in the table of instances.
pub(super) fn of_series(series_id: u64) -> Range<Vec<u8>> {
    series_id.to_be_bytes().to_vec()..series_id.saturating_add(1).to_be_bytes().to_vec()
}

pub(super) fn parse_study(key: &[u8]) -> Option<StudyUid> {
    StudyUid::parse(std::str::from_utf8(key).ok()?).ok()
}

pub(super) fn parse_series(key: &[u8]) -> Option<SeriesPath> {
    let (study, series) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    Some(SeriesPath { study: StudyUid::parse(study).ok()?, series: SeriesUid::parse(series).ok()? })
}

/// The SOP Instance UID in a key of the table of instances.
pub(super) fn parse_instance(key: &[u8]) -> Option<InstanceUid> {
    InstanceUid::parse(std::str::from_utf8(key.get(8..)?).ok()?).ok()
}

/// A key for a message.
pub(super) fn show(key: &[u8]) -> String {
    String::from_utf8_lossy(key).replace('\0', "/")
}

fn join(uids: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(uids.iter().map(|uid| uid.len() + 1).sum());
    for uid in uids {
        if !key.is_empty() {
            key.push(JOINT);
        }
        key.extend_from_slice(uid.as_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_own_and_no_neighbour() {
        let path = |study: &str, series: &str| {
            series_key(&SeriesPath {
                study: StudyUid::parse(study).expect("a UID"),
                series: SeriesUid::parse(series).expect("a UID"),
            })
        };
        let range = below(b"1.2");
        assert!(range.contains(&path("1.2", "9")));
        for other in [path("1.20", "1"), path("1.2.1", "1"), path("1.1", "9"), b"1.2".to_vec()] {
            assert!(!range.contains(&other));
        }
        assert_eq!(parse_series(&path("1.2", "9")).map(|path| path.to_string()), Some("1.2/9".into()));
    }
}
