//! Dates and times as text that compares (PS3.5 section 6.2 DA, TM, DT;
//! PS3.4 section C.2.2.2.5).
//!
//! Everything is brought to `YYYYMMDD`, `HHMMSS.FFFFFF` or both joined, so that
//! the order of time is the order of the texts. What a value leaves out is
//! filled with the lowest or, for an upper bound, with the highest.
//! Zones are minutes east of UTC.

use time::{Date, Duration, Month, PrimitiveDateTime, Time};

/// Which way the components that a value leaves out are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Low,
    High,
}

/// `YYYYMMDD` of a stored DA value: also of the legacy `YYYY.MM.DD`, and of a
/// truncated one, filled low. None if it is no date.
#[must_use]
pub fn normal_date(text: &str) -> Option<String> {
    date(text.trim_matches(is_padding), Fill::Low)
}

/// `HHMMSS.FFFFFF` of a stored TM value: also of the legacy `HH:MM:SS`, and of
/// a truncated one, filled low. None if it is no time.
#[must_use]
pub fn normal_time(text: &str) -> Option<String> {
    time_of_day(text.trim_matches(is_padding), Fill::Low)
}

/// `YYYYMMDDHHMMSS.FFFFFF` of a stored DT value, filled low, as it stands
/// locally: an offset from UTC is checked and left out. None if it is no DT.
#[must_use]
pub fn normal_datetime(text: &str) -> Option<String> {
    datetime(text.trim_matches(is_padding), Fill::Low).map(|(local, _)| local)
}

fn is_padding(c: char) -> bool {
    c == ' ' || c == '\0'
}

pub(super) fn date(text: &str, fill: Fill) -> Option<String> {
    let digits = match text.as_bytes() {
        [y1, y2, y3, y4, b'.', m1, m2, b'.', d1, d2] => vec![*y1, *y2, *y3, *y4, *m1, *m2, *d1, *d2],
        bytes => bytes.to_vec(),
    };
    if !matches!(digits.len(), 4 | 6 | 8) {
        return None;
    }
    let mut out = String::with_capacity(8);
    push_component(&mut out, &digits, 0, 4, 0..=9999, "0000")?;
    push_component(&mut out, &digits, 4, 6, 1..=12, if fill == Fill::Low { "01" } else { "12" })?;
    let last = match fill {
        Fill::Low => "01".to_owned(),
        Fill::High => last_day(&out)?.to_string(),
    };
    push_component(&mut out, &digits, 6, 8, 1..=31, &last)?;
    Some(out)
}

pub(super) fn time_of_day(text: &str, fill: Fill) -> Option<String> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let digits = match whole.as_bytes() {
        [h1, h2, b':', m1, m2] => vec![*h1, *h2, *m1, *m2],
        [h1, h2, b':', m1, m2, b':', s1, s2] => vec![*h1, *h2, *m1, *m2, *s1, *s2],
        bytes => bytes.to_vec(),
    };
    if !matches!(digits.len(), 2 | 4 | 6) || (fraction.is_some() && digits.len() != 6) {
        return None;
    }
    let mut out = String::with_capacity(13);
    let highest = |component: &'static str| if fill == Fill::Low { "00" } else { component };
    push_component(&mut out, &digits, 0, 2, 0..=23, highest("23"))?;
    push_component(&mut out, &digits, 2, 4, 0..=59, highest("59"))?;
    // A leap second is 60.
    push_component(&mut out, &digits, 4, 6, 0..=60, highest("59"))?;
    out.push('.');
    push_fraction(&mut out, fraction.unwrap_or_default(), fill)?;
    Some(out)
}

/// The local digits, and the offset from UTC in minutes if it is given.
pub(super) fn datetime(text: &str, fill: Fill) -> Option<(String, Option<i16>)> {
    let (local, zone) = match text.find(['+', '-']) {
        Some(sign) => (text.get(..sign)?, Some(zone(text.get(sign..)?)?)),
        None => (text, None),
    };
    let split = local.len().min(8);
    let mut out = date(local.get(..split)?, fill)?;
    if local.contains(':') || out.len() != 8 {
        return None;
    }
    match local.get(split..)? {
        "" if fill == Fill::Low => out.push_str("000000.000000"),
        "" => out.push_str("235959.999999"),
        // A time stands only after a whole date.
        time => out.push_str(&time_of_day(time, fill)?),
    }
    Some((out, zone))
}

/// `+ZZXX` or `-ZZXX` as minutes east of UTC.
pub(super) fn zone(text: &str) -> Option<i16> {
    let (sign, digits) = match text.as_bytes() {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    if digits.len() != 4 {
        return None;
    }
    let hours = i16::try_from(number(digits.get(..2)?)?).ok()?;
    let minutes = i16::try_from(number(digits.get(2..)?)?).ok()?;
    (hours <= 14 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

/// A normalised date with time, so many minutes later. None where the calendar
/// ends or the date is one that no month has.
pub(super) fn shift(moment: &str, minutes: i32) -> Option<String> {
    if minutes == 0 {
        return Some(moment.to_owned());
    }
    let digits = |range: std::ops::Range<usize>| number(moment.as_bytes().get(range)?);
    let byte = |range| u8::try_from(digits(range)?).ok();
    let month = Month::try_from(byte(4..6)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(digits(0..4)?).ok()?, month, byte(6..8)?).ok()?;
    let clock = Time::from_hms(byte(8..10)?, byte(10..12)?, 0).ok()?;
    let moved = PrimitiveDateTime::new(date, clock).checked_add(Duration::minutes(i64::from(minutes)))?;
    let year = moved.year();
    if !(0..=9999).contains(&year) {
        return None;
    }
    Some(format!(
        "{year:04}{:02}{:02}{:02}{:02}{}",
        u8::from(moved.month()),
        moved.day(),
        moved.hour(),
        moved.minute(),
        moment.get(12..)?
    ))
}

/// The last day of `YYYYMM`.
fn last_day(year_month: &str) -> Option<u8> {
    let year = i32::try_from(number(year_month.as_bytes().get(..4)?)?).ok()?;
    let month = u8::try_from(number(year_month.as_bytes().get(4..)?)?).ok()?;
    Some(Month::try_from(month).ok()?.length(year))
}

fn number(digits: &[u8]) -> Option<u32> {
    let mut value: u32 = 0;
    for digit in digits {
        value = value.checked_mul(10)?.checked_add(char::from(*digit).to_digit(10)?)?;
    }
    Some(value)
}

fn push_component(
    out: &mut String,
    digits: &[u8],
    start: usize,
    end: usize,
    allowed: std::ops::RangeInclusive<u32>,
    missing: &str,
) -> Option<()> {
    let Some(component) = digits.get(start..end) else {
        out.push_str(missing);
        return Some(());
    };
    if !allowed.contains(&number(component)?) {
        return None;
    }
    out.push_str(std::str::from_utf8(component).ok()?);
    Some(())
}

fn push_fraction(out: &mut String, fraction: &str, fill: Fill) -> Option<()> {
    if fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    out.push_str(fraction);
    for _ in fraction.len()..6 {
        out.push(if fill == Fill::Low { '0' } else { '9' });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_values_of_every_age() {
        assert_eq!(normal_date("20240131").as_deref(), Some("20240131"));
        assert_eq!(normal_date("2024.01.31 ").as_deref(), Some("20240131"));
        assert_eq!(normal_date("2024").as_deref(), Some("20240101"));
        assert_eq!(normal_date("20241301"), None);
        assert_eq!(normal_date("２０２４"), None);
        assert_eq!(normal_time("10").as_deref(), Some("100000.000000"));
        assert_eq!(normal_time("10:15:01.5").as_deref(), Some("101501.500000"));
        assert_eq!(normal_time("101560").as_deref(), Some("101560.000000"));
        assert_eq!(normal_time("1015.5"), None);
        assert_eq!(normal_time("2400"), None);
        assert_eq!(normal_datetime("20240131").as_deref(), Some("20240131000000.000000"));
        assert_eq!(normal_datetime("202401311015+0200").as_deref(), Some("20240131101500.000000"));
        assert_eq!(normal_datetime("2024+9900"), None);
        assert_eq!(normal_datetime(""), None);
    }

    #[test]
    fn upper_bounds_are_filled_high() {
        assert_eq!(time_of_day("10", Fill::High).as_deref(), Some("105959.999999"));
        assert_eq!(time_of_day("101500.1", Fill::High).as_deref(), Some("101500.199999"));
        assert_eq!(
            datetime("202402-0530", Fill::High),
            Some(("20240229235959.999999".to_owned(), Some(-330)))
        );
    }

    #[test]
    fn zones_move_over_midnight_and_new_year() {
        assert_eq!(shift("20231231233000.000000", 60).as_deref(), Some("20240101003000.000000"));
        assert_eq!(shift("20240101003000.500000", -60).as_deref(), Some("20231231233000.500000"));
        assert_eq!(shift("99991231235900.000000", 60), None);
        assert_eq!(zone("+0100"), Some(60));
        assert_eq!(zone("-1200"), Some(-720));
        assert_eq!(zone("+1560"), None);
        assert_eq!(zone("0100"), None);
    }
}
