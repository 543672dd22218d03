//! Ranges of dates and times as few terms.
//!
//! A stored date or time is a normalised text (PS3.4 section C.2.2.2.5) whose
//! order is lexicographic. Each is indexed at several precisions, its rungs:
//! `2024`, `202405`, `20240517`. A range is then whole years, whole months at
//! both ends, whole days at both ends, instead of every distinct day or second
//! of the archive. Nothing finer than a second is indexed: a bound within a
//! second makes the answer a superset, and [`Cover::exact`] says so.
//! Knows no tantivy.

use time::{Date, Duration, Month};

use crate::dicom::query::Range;

/// How many characters each rung keeps, coarsest first.
pub type Rungs = &'static [usize];

/// DA: years, months, days.
pub const DATE: Rungs = &[4, 6, 8];
/// TM: hours, minutes, seconds.
pub const TIME: Rungs = &[2, 4, 6];
/// DT, and a date with its time.
pub const DATE_TIME: Rungs = &[4, 6, 8, 10, 12, 14];

/// After every digit, before any further text.
const PAST_DIGITS: char = ':';

/// One stretch of the digits of one rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    pub rung: usize,
    /// From this text, itself included or not.
    pub from: (String, bool),
    /// To this text, itself included or not.
    pub to: (String, bool),
}

/// The stretches whose union holds every value of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    pub stretches: Vec<Stretch>,
    /// The union holds nothing else.
    pub exact: bool,
}

/// The digits of a normalised value that each rung indexes, or none if it has
/// a character that does not belong there.
#[must_use]
pub fn steps(rungs: Rungs, value: &str) -> Option<impl Iterator<Item = (usize, &str)>> {
    let finest = *rungs.last()?;
    let digits = value.get(..finest)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| rungs.iter().enumerate().map(move |(rung, len)| (rung, &digits[..*len])))
}

/// Covers a range; none if a bound is no normalised value, or the range has no
/// bound. A range in a zone is covered with two days more on both sides: that
/// much local times may be away from it. Beyond the ends of the calendar there is
/// nothing, so that a bound which would be moved there is none.
#[must_use]
pub fn cover(rungs: Rungs, range: &Range) -> Option<Cover> {
    if range.from.is_none() && range.to.is_none() {
        return None;
    }
    if range.zone.is_some() {
        let cover = cover(rungs, &widened(rungs, range)?)?;
        return Some(Cover { exact: false, ..cover });
    }
    let finest = *rungs.last()?;
    let from = bound(finest, range.from.as_deref())?;
    let to = bound(finest, range.to.as_deref())?;
    let exact = from.is_none_or(|(_, fraction)| fraction.bytes().all(|byte| matches!(byte, b'0' | b'.')))
        && to.is_none_or(|(_, fraction)| fraction.bytes().all(|byte| matches!(byte, b'9' | b'.')));
    let mut stretches = Vec::new();
    let (from, to) = (from.map(|(digits, _)| digits), to.map(|(digits, _)| digits));
    if from.zip(to).is_none_or(|(from, to)| from <= to) {
        descend(rungs, 0, "", from, to, &mut stretches);
    }
    Some(Cover { stretches, exact })
}

fn widened(rungs: Rungs, range: &Range) -> Option<Range> {
    let moved = |bound: &Option<String>, days: i64, rest: &str| {
        let Some(text) = bound else { return Some(None) };
        let number = |at: std::ops::Range<usize>| text.get(at)?.parse::<u16>().ok();
        let month = Month::try_from(u8::try_from(number(4..6)?).ok()?).ok()?;
        // The last day of a filled bound may be one that its month has not.
        let day = u8::try_from(number(6..8)?).ok()?.min(month.length(i32::from(number(0..4)?)));
        let date = Date::from_calendar_date(i32::from(number(0..4)?), month, day).ok()?;
        let moved = date.checked_add(Duration::days(days)).filter(|moved| (0..=9999).contains(&moved.year()));
        Some(moved.map(|to| format!("{:04}{:02}{:02}{rest}", to.year(), u8::from(to.month()), to.day())))
    };
    let (low, high) = match *rungs.last()? {
        8 => ("", ""),
        14 => ("000000.000000", "235959.999999"),
        _ => return None,
    };
    Some(Range { from: moved(&range.from, -2, low)?, to: moved(&range.to, 2, high)?, zone: None })
}

/// A bound as the digits of the finest rung and what follows them.
#[allow(clippy::option_option, reason = "no bound is one thing, a malformed one another")]
fn bound(finest: usize, text: Option<&str>) -> Option<Option<(&str, &str)>> {
    let Some(text) = text else { return Some(None) };
    let (digits, rest) = text.split_at_checked(finest)?;
    let well_formed = digits.bytes().all(|byte| byte.is_ascii_digit())
        && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    well_formed.then_some(Some((digits, rest)))
}

/// Covers the values that begin with `parent` and lie between the bounds that
/// are given; a bound that is given begins with `parent` too.
fn descend(
    rungs: Rungs,
    rung: usize,
    parent: &str,
    from: Option<&str>,
    to: Option<&str>,
    out: &mut Vec<Stretch>,
) {
    let Some(len) = rungs.get(rung).copied() else { return };
    let (low, high) = (from.map(|from| &from[..len]), to.map(|to| &to[..len]));
    let last = rung + 1 == rungs.len();
    if !last && let (Some(low), true) = (low, low == high) {
        return descend(rungs, rung + 1, low, from, to, out);
    }
    out.push(Stretch {
        rung,
        from: low.map_or((parent.to_owned(), true), |low| (low.to_owned(), last)),
        to: high.map_or((format!("{parent}{PAST_DIGITS}"), false), |high| (high.to_owned(), last)),
    });
    if !last {
        if let Some(low) = low {
            descend(rungs, rung + 1, low, from, None, out);
        }
        if let Some(high) = high {
            descend(rungs, rung + 1, high, None, to, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn covered(cover: &Cover, rungs: Rungs, value: &str) -> bool {
        let mut steps = steps(rungs, value).expect("values of the test are digits");
        steps.any(|(rung, digits)| {
            cover.stretches.iter().any(|stretch| {
                let (from, from_too) = &stretch.from;
                let (to, to_too) = &stretch.to;
                stretch.rung == rung
                    && (digits > from.as_str() || (*from_too && digits == from))
                    && (digits < to.as_str() || (*to_too && digits == to))
            })
        })
    }

    #[test]
    fn a_range_of_years_needs_few_stretches() {
        let range = Range { from: Some("20010517".into()), to: Some("20240101".into()), zone: None };
        let cover = cover(DATE, &range).expect("a range");
        assert!(cover.exact);
        assert_eq!(cover.stretches.len(), 5, "years, two times months, two times days");
    }

    #[test]
    fn fractions_of_a_second_make_a_superset() {
        let range = Range { from: Some("101500.500000".into()), to: None, zone: None };
        assert!(!cover(TIME, &range).expect("a range").exact);
        let range =
            Range { from: Some("101500.000000".into()), to: Some("101559.999999".into()), zone: None };
        assert!(cover(TIME, &range).expect("a range").exact);
    }

    #[test]
    fn malformed_bounds_are_refused() {
        for text in ["", "2024", "2024051", "２０２４", "2024-5-1", "yyyymmdd"] {
            let range = Range { from: Some(text.into()), to: None, zone: None };
            assert_eq!(cover(DATE, &range), None, "{text}");
        }
    }

    #[test]
    fn a_zone_widens() {
        let range = Range { from: Some("20240301".into()), to: Some("20240231".into()), zone: Some(60) };
        let cover = cover(DATE, &range).expect("a range");
        assert!(!cover.exact);
        assert!(covered(&cover, DATE, "20240228") && covered(&cover, DATE, "20240302"));
        assert!(!covered(&cover, DATE, "20240227") && !covered(&cover, DATE, "20240303"));
    }

    /// A range that is open but for the last day of all, which clients have for
    /// "until further notice".
    #[test]
    fn a_zone_does_not_widen_beyond_the_calendar() {
        for (from, to) in [("20240101", "99991231"), ("00000101", "20240301")] {
            let range = Range { from: Some(from.into()), to: Some(to.into()), zone: Some(-720) };
            let cover = cover(DATE, &range).expect("a range");
            assert!(covered(&cover, DATE, "20240215"), "{from} to {to}");
        }
        let range = Range { from: None, to: Some("99991231".into()), zone: Some(60) };
        assert_eq!(cover(DATE, &range), None, "no bound is left");
    }

    fn date() -> impl Strategy<Value = String> {
        (1999..2003u32, 1..13u32, 1..32u32).prop_map(|(y, m, d)| format!("{y:04}{m:02}{d:02}"))
    }

    proptest! {
        #[test]
        fn a_cover_is_the_range(from in proptest::option::of(date()), to in proptest::option::of(date()), value in date()) {
            let range = Range { from: from.clone(), to: to.clone(), zone: None };
            prop_assume!(from.is_some() || to.is_some());
            let cover = cover(DATE, &range).expect("a range");
            let wanted = from.is_none_or(|from| from <= value) && to.is_none_or(|to| value <= to);
            prop_assert_eq!(covered(&cover, DATE, &value), wanted);
        }
    }
}
