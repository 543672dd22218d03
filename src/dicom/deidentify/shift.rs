//! Dates that become earlier by a number of days, so that the time between two
//! events of a patient stays what it was. Times of the day stay.

use dicom_core::{Tag, VR, dictionary::VirtualVr};
use time::{Date, Duration, macros::format_description};

use crate::dicom::{
    dataset::{Element, Value},
    vr,
};

const DATE: &[time::format_description::FormatItem<'static>] = format_description!("[year][month][day]");

/// Whether it is made of what dates and times are made of, and nothing else.
pub(super) fn is_moment(element: &Element) -> bool {
    let is_plain = |text: &String| text.chars().all(|c| c.is_ascii_digit() || ".:+- ".contains(c));
    match &element.value {
        Value::Text(values) => values.iter().all(is_plain),
        Value::Empty => true,
        // Time stamps of VR OB.
        Value::Inline(_) => element.vr == VR::OB,
        Value::Names(_)
        | Value::Signed(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Tags(_)
        | Value::Items(_)
        | Value::Bulk(_) => false,
    }
}

/// The same so many days earlier; none where that cannot be told. What is a date by the
/// dictionary is one in whatever VR a file has it.
pub(super) fn earlier(tag: Tag, element: &Element, days: i64) -> Option<Element> {
    let Value::Text(values) = &element.value else {
        return (element.value == Value::Empty).then(|| element.clone());
    };
    if !is_moment(element) {
        return None;
    }
    let vr = match vr::of(tag) {
        Some(VirtualVr::Exact(vr @ (VR::DA | VR::DT))) => vr,
        _ => element.vr,
    };
    let shifted: Option<Vec<String>> = values.iter().map(|text| one(vr, text.trim(), days)).collect();
    Some(Element::new(element.vr, Value::Text(shifted?)))
}

fn one(vr: VR, text: &str, days: i64) -> Option<String> {
    // A time, or an offset from UTC.
    if text.is_empty() || vr != VR::DA && vr != VR::DT {
        return Some(text.to_owned());
    }
    // As it was written before 1993: 1990.12.31.
    let old = || text.replace('.', "");
    let text = if vr == VR::DA && text.len() == 10 { old() } else { text.to_owned() };
    let (date, rest) = text.split_at_checked(8)?;
    if vr == VR::DA && !rest.is_empty() {
        return None;
    }
    let date = Date::parse(date, DATE).ok()?.checked_sub(Duration::days(days))?;
    (date.year() > 0).then(|| date.format(DATE).ok())?.map(|date| date + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_taken_off_and_times_stay() {
        let any = Tag(0x0040, 0x0000);
        let shifted = |vr, text| earlier(any, &Element::text(vr, text), 31).map(|element| element.value);
        let is = |text: &str| Some(Value::Text(vec![text.to_owned()]));
        assert_eq!(shifted(VR::DA, "20240131"), is("20231231"));
        assert_eq!(shifted(VR::DA, "2024.01.31"), is("20231231"));
        assert_eq!(shifted(VR::DT, "20240131235959.5+0100"), is("20231231235959.5+0100"));
        assert_eq!(shifted(VR::TM, "235959.5"), is("235959.5"));
        assert_eq!(shifted(VR::SH, "+0100"), is("+0100"));
        for (vr, text) in [(VR::DA, "Mueller"), (VR::DA, "20241331"), (VR::DT, "2024"), (VR::DA, "2024013")] {
            assert_eq!(shifted(vr, text), None, "{text}");
        }
        assert!(!is_moment(&Element::text(VR::TM, "12 o'clock")));
        // A date that a file has as another VR, which stayed what it was.
        let written_so = earlier(Tag(0x0008, 0x0020), &Element::text(VR::LO, "20240131"), 31);
        assert_eq!(written_so, Some(Element::text(VR::LO, "20231231")));
    }
}
