//! The text of a DA, TM or DT key as bounds (PS3.4 sections C.2.2.2.1 and
//! C.2.2.2.5), and stored values held against them.

use dicom_core::{Tag, VR};

use super::moment::{self, Fill};
use super::{Key, Range, Test};
use crate::dicom::attributes::{STUDY_DATE, STUDY_TIME, TIMEZONE_OFFSET};
use crate::dicom::dataset::{DataSet, Value};

/// Date and time attributes that are one moment together, and whether the
/// time zone of the data set is said of it.
const PAIRS: [(Tag, Tag, bool); 13] = [
    (Tag(0x0008, 0x0012), Tag(0x0008, 0x0013), true),
    (STUDY_DATE, STUDY_TIME, true),
    (Tag(0x0008, 0x0021), Tag(0x0008, 0x0031), true),
    (Tag(0x0008, 0x0022), Tag(0x0008, 0x0032), true),
    (Tag(0x0008, 0x0023), Tag(0x0008, 0x0033), true),
    (Tag(0x0010, 0x0030), Tag(0x0010, 0x0032), false),
    (Tag(0x0018, 0x1200), Tag(0x0018, 0x1201), true),
    (Tag(0x0040, 0x0002), Tag(0x0040, 0x0003), true),
    (Tag(0x0040, 0x0004), Tag(0x0040, 0x0005), true),
    (Tag(0x0040, 0x0244), Tag(0x0040, 0x0245), true),
    (Tag(0x0040, 0x0250), Tag(0x0040, 0x0251), true),
    (Tag(0x0040, 0x2004), Tag(0x0040, 0x2005), true),
    (Tag(0x300A, 0x0006), Tag(0x300A, 0x0007), true),
];

/// A key value read: its bounds, and whether it was written as a range.
pub(super) struct Bounds {
    pub(super) range: Range,
    pub(super) is_range: bool,
}

/// Does the zone of a request or data set bear on this DA or TM?
pub(super) fn has_zone(tag: Tag) -> bool {
    PAIRS.iter().any(|(date, time, zoned)| *zoned && (*date == tag || *time == tag))
}

/// Bounds of the text of a key; `zone` is that of the request.
pub(super) fn parse(vr: VR, text: &str, zone: Option<i16>) -> Option<Bounds> {
    if vr == VR::DT {
        return parse_datetime(text, zone);
    }
    let bound = |text: &str, fill| {
        if vr == VR::DA {
            // A date of a key is whole: "2020" is more likely a mistake.
            moment::date(text, fill).filter(|_| text.len() >= 8)
        } else {
            moment::time_of_day(text, fill)
        }
    };
    let (from, to, is_range) = match text.split_once('-') {
        Some((from, to)) => (from.trim(), to.trim(), true),
        None => (text, text, false),
    };
    if from.is_empty() && to.is_empty() {
        return None;
    }
    let optional = |text: &str, fill| if text.is_empty() { Some(None) } else { bound(text, fill).map(Some) };
    let range = Range { from: optional(from, Fill::Low)?, to: optional(to, Fill::High)?, zone };
    Some(Bounds { range, is_range })
}

/// A `-` in a DT may part the bounds or begin an offset from UTC: it parts them
/// where that makes two moments in order.
fn parse_datetime(text: &str, zone: Option<i16>) -> Option<Bounds> {
    // A raw `+` of an offset has become a space on its way here.
    let text = text.replace(' ', "+");
    let single = range_of(&text, &text, zone);
    for (position, _) in text.match_indices('-') {
        let (from, to) = (text.get(..position)?, text.get(position + 1..)?);
        if from.is_empty() && to.is_empty() {
            continue;
        }
        let Some(range) = range_of(from, to, zone) else { continue };
        let in_order = match (&range.from, &range.to) {
            (Some(from), Some(to)) => from <= to,
            _ => true,
        };
        if in_order || single.is_none() {
            return Some(Bounds { range, is_range: true });
        }
    }
    single.map(|range| Bounds { range, is_range: false })
}

fn range_of(from: &str, to: &str, zone: Option<i16>) -> Option<Range> {
    let bound = |text: &str, fill| {
        if text.is_empty() { Some(None) } else { moment::datetime(text, fill).map(Some) }
    };
    let (from, to) = (bound(from, Fill::Low)?, bound(to, Fill::High)?);
    let zone_of = |bound: &Option<(String, Option<i16>)>| bound.as_ref().and_then(|(_, zone)| *zone);
    let zone = zone_of(&from).or(zone_of(&to)).or(zone);
    let moved = |bound: Option<(String, Option<i16>)>| match bound {
        Some((local, own)) => in_zone(&local, own.or(zone), zone).map(Some),
        None => Some(None),
    };
    Some(Range { from: moved(from)?, to: moved(to)?, zone })
}

/// A moment of one zone in another; as it stands when either is not known.
fn in_zone(local: &str, from: Option<i16>, to: Option<i16>) -> Option<String> {
    match (from, to) {
        (Some(from), Some(to)) => moment::shift(local, i32::from(to) - i32::from(from)),
        _ => Some(local.to_owned()),
    }
}

/// Joins the keys of a date range and of its time range into one key each
/// (PS3.18 section 8.3.4.1.1). `ranges` says which tags were given as ranges.
pub(super) fn combine(keys: &mut Vec<Key>, ranges: &[Tag]) {
    for (date, time, _) in PAIRS {
        if !ranges.contains(&date) || !ranges.contains(&time) {
            continue;
        }
        let range_at = |tag: Tag| {
            keys.iter().enumerate().find_map(|(position, key)| match &key.test {
                Test::Range(range) if key.tag == tag => Some((position, range.clone())),
                Test::Any
                | Test::Empty
                | Test::Uids(_)
                | Test::OneOf(_)
                | Test::AllOf(_)
                | Test::Wildcard(_)
                | Test::Name(_)
                | Test::Number(_)
                | Test::Range(_)
                | Test::DateTime { .. }
                | Test::Item(_) => None,
            })
        };
        let (Some((date_position, days)), Some((time_position, times))) = (range_at(date), range_at(time))
        else {
            continue;
        };
        let join = |day: Option<String>, time: Option<String>, open: &str| {
            day.map(|day| day + time.as_deref().unwrap_or(open))
        };
        let range = Range {
            from: join(days.from, times.from, "000000.000000"),
            to: join(days.to, times.to, "235959.999999"),
            zone: days.zone,
        };
        if let Some(key) = keys.get_mut(date_position) {
            key.test = Test::DateTime { time, range };
        }
        keys.remove(time_position);
    }
}

/// The zone that a data set says its dates and times are in.
pub(super) fn zone_of(set: &DataSet) -> Option<i16> {
    moment::zone(set.first_text(TIMEZONE_OFFSET)?.trim())
}

impl Range {
    /// Is a normalised value within the bounds?
    #[must_use]
    pub fn contains(&self, normal: &str) -> bool {
        self.from.as_deref().is_none_or(|from| from <= normal)
            && self.to.as_deref().is_none_or(|to| normal <= to)
    }
}

/// Is any value of a DA, TM or DT attribute within the bounds?
#[allow(clippy::wildcard_enum_match_arm, reason = "of the rest only DT comes here")]
pub(super) fn matches(tag: Tag, vr: VR, range: &Range, set: &DataSet, zone: Option<i16>) -> bool {
    let Some(Value::Text(values)) = set.get(tag).map(|element| &element.value) else { return false };
    let to = range.zone;
    match vr {
        VR::DA => values.iter().filter_map(|text| moment::normal_date(text)).any(|day| {
            let shifted = to.zip(zone).and_then(|_| {
                let (_, time_tag, _) = PAIRS.iter().find(|(date, _, zoned)| *zoned && *date == tag)?;
                let time = moment::normal_time(set.first_text(*time_tag)?)?;
                in_zone(&(day.clone() + &time), zone, to)
            });
            range.contains(shifted.as_deref().and_then(|moment| moment.get(..8)).unwrap_or(&day))
        }),
        VR::TM => values.iter().filter_map(|text| moment::normal_time(text)).any(|time| {
            let shifted = to.zip(zone).and_then(|_| in_zone(&format!("20000102{time}"), zone, to));
            range.contains(shifted.as_deref().and_then(|moment| moment.get(8..)).unwrap_or(&time))
        }),
        _ => values.iter().filter_map(|text| moment::datetime(text.trim(), Fill::Low)).any(|(local, own)| {
            let moved = in_zone(&local, own.or(zone), to);
            range.contains(moved.as_deref().unwrap_or(&local))
        }),
    }
}

/// Is the moment of a date and a time attribute within the bounds?
pub(super) fn matches_pair(date: Tag, time: Tag, range: &Range, set: &DataSet, zone: Option<i16>) -> bool {
    let joined = || {
        let day = moment::normal_date(set.first_text(date)?)?;
        Some(day + &moment::normal_time(set.first_text(time)?)?)
    };
    let Some(local) = joined() else { return false };
    let moved = in_zone(&local, zone, range.zone);
    range.contains(moved.as_deref().unwrap_or(&local))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From, to, zone, and whether it is a range.
    type Read = (Option<String>, Option<String>, Option<i16>, bool);

    fn bounds(vr: VR, text: &str) -> Option<Read> {
        let Bounds { range, is_range } = parse(vr, text, None)?;
        Some((range.from, range.to, range.zone, is_range))
    }

    fn some(from: &str, to: &str, zone: Option<i16>, is_range: bool) -> Option<Read> {
        let bound = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some((bound(from), bound(to), zone, is_range))
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(bounds(VR::DA, "20240131"), some("20240131", "20240131", None, false));
        assert_eq!(bounds(VR::DA, "20240131-"), some("20240131", "", None, true));
        assert_eq!(bounds(VR::DA, "-2024.01.31"), some("", "20240131", None, true));
        assert_eq!(bounds(VR::TM, "10-1130"), some("100000.000000", "113059.999999", None, true));
        for wrong in ["-", "2024", "2024-01-31", "20241301", "*", "20240131-x", "--", "2024013"] {
            assert_eq!(bounds(VR::DA, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn moments_with_offsets() {
        let (day, night) = ("20200101000000.000000", "20200101235959.999999");
        assert_eq!(bounds(VR::DT, "20200101"), some(day, night, None, false));
        assert_eq!(bounds(VR::DT, "20200101-0500"), some(day, night, Some(-300), false));
        assert_eq!(bounds(VR::DT, "20200101-0500-"), some(day, "", Some(-300), true));
        assert_eq!(bounds(VR::DT, "-20200101 0100"), some("", night, Some(60), true));
        assert_eq!(bounds(VR::DT, "20200101-2020"), some(day, "20201231235959.999999", None, true));
        assert_eq!(
            bounds(VR::DT, "2020010110+0100-2020010112+0300"),
            some("20200101100000.000000", "20200101105959.999999", Some(60), true)
        );
        assert_eq!(bounds(VR::DT, "-"), None);
        assert_eq!(bounds(VR::DT, "x-y"), None);
    }
}
