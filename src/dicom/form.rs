//! What the JSON and the XML of a data set (PS3.18 Annex F, PS3.19 Annex A)
//! have in common: values as text, what of a text is padding, when a value is
//! empty, what a reader takes. Knows neither syntax.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use dicom_core::VR;

use super::dataset::{PersonName, Value};

/// Base64 as clients write it, with or without padding at its end.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a reader takes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Items within items.
    pub depth_max: usize,
    /// Attributes and items in all.
    pub elements_max: usize,
}

impl Limits {
    /// For what the archive wrote itself: of that the reader of the file took as
    /// much as it may.
    pub const OWN: Self = Self { depth_max: 128, elements_max: usize::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth_max: 64, elements_max: 300_000 }
    }
}

/// One value whatever it holds: a backslash in it is a character.
pub(super) fn is_single(vr: VR) -> bool {
    matches!(vr, VR::LT | VR::ST | VR::UT | VR::UR)
}

/// Without what PS3.5 section 6.2 calls insignificant.
pub(super) fn trimmed(text: &str, vr: VR) -> &str {
    let text = text.trim_end_matches([' ', '\0']);
    if is_single(vr) || vr == VR::UC { text } else { text.trim_start_matches(' ') }
}

/// A name as DIMSE writes it, its groups parted by `=`.
pub(super) fn name(text: &str) -> PersonName {
    let mut groups = text.split('=').map(|group| trimmed(group, VR::PN).to_owned());
    PersonName {
        alphabetic: groups.next().unwrap_or_default(),
        ideographic: groups.next().unwrap_or_default(),
        phonetic: groups.next().unwrap_or_default(),
    }
}

/// A whole number, however it is written: `5`, `5.0`, `5e0`.
#[allow(clippy::cast_possible_truncation, reason = "it is whole and not beyond 2^53")]
pub(super) fn whole(text: &str) -> Option<i128> {
    if let Ok(value) = text.parse::<i128>() {
        return Some(value);
    }
    let value = text.parse::<f64>().ok()?;
    (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i128)
}

/// An FL. A number that is too large for it is not taken for an infinity.
pub(super) fn single(text: &str) -> Option<f32> {
    text.parse().ok().filter(|value: &f32| !value.is_infinite() || is_named(text))
}

/// An FD, as [`single`].
pub(super) fn double(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| !value.is_infinite() || is_named(text))
}

/// Characters of a DS (PS3.5 section 6.2).
const DECIMAL_BYTES_MAX: usize = 16;

/// A number as a DS, which has room for fewer digits than a double: of more, what comes
/// nearest to it (PS3.18 section F.2.3).
pub(super) fn decimal(number: &str) -> String {
    let exact = number.parse::<f64>().ok().filter(|value| value.is_finite());
    let (Some(exact), true) = (exact, number.len() > DECIMAL_BYTES_MAX) else { return number.to_owned() };
    let shortest = format!("{exact:e}");
    let exponent = shortest.split_once('e').map_or("0", |(_, exponent)| exponent);
    let room = DECIMAL_BYTES_MAX - usize::from(exact.is_sign_negative());
    // Digits behind the point; one less where rounding makes another before it.
    let both = |digits: usize| [digits, digits.saturating_sub(1)];
    let scientific = both(room - "0.e".len() - exponent.len()).map(|digits| format!("{exact:.digits$e}"));
    let before = exponent.parse().map_or(room, |exponent: i32| usize::try_from(exponent).unwrap_or(0) + 1);
    let plain = both(room.saturating_sub(before + 1)).into_iter().filter(|_| before <= room);
    let plain = plain.map(|digits| format!("{exact:.digits$}"));
    let plain = plain.map(|text| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    });
    let distance = |text: &String| text.parse().map_or(f64::INFINITY, |value: f64| (value - exact).abs());
    scientific
        .into_iter()
        .chain(plain)
        .chain([shortest.clone()])
        .filter(|text| text.len() <= DECIMAL_BYTES_MAX)
        .min_by(|one, other| distance(one).total_cmp(&distance(other)).then(one.len().cmp(&other.len())))
        .unwrap_or_else(|| number.to_owned())
}

/// Whether it is `inf`, `-Infinity` or the like, and no number of digits.
fn is_named(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_digit())
}

/// A tag as the value of an AT: `00181063`, or `(0018,1063)`.
pub(super) fn tag(text: &str) -> Option<u32> {
    let digits: String = text.chars().filter(|c| !matches!(c, '(' | ')' | ',' | ' ')).collect();
    let is_tag = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u32::from_str_radix(&digits, 16).ok().filter(|_| is_tag)
}

/// Nothing, or one value that is nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Empty => true,
        Value::Text(values) => values.iter().all(String::is_empty) && values.len() <= 1,
        Value::Names(names) => names.len() <= 1 && names.iter().all(|name| *name == PersonName::default()),
        Value::Signed(values) => values.is_empty(),
        Value::Unsigned(values) => values.is_empty(),
        Value::Float(values) => values.is_empty(),
        Value::Double(values) => values.is_empty(),
        Value::Tags(tags) => tags.is_empty(),
        Value::Items(items) => items.is_empty(),
        Value::Inline(bytes) => bytes.is_empty(),
        Value::Bulk(_) => false,
    }
}

/// An FL in the fewest digits that give it back.
pub(super) fn single_text(value: f32) -> String {
    special(f64::from(value))
        .unwrap_or_else(|| if is_plain(f64::from(value)) { value.to_string() } else { format!("{value:e}") })
}

/// An FD in the fewest digits that give it back.
pub(super) fn double_text(value: f64) -> String {
    special(value).unwrap_or_else(|| if is_plain(value) { value.to_string() } else { format!("{value:e}") })
}

fn special(value: f64) -> Option<String> {
    let text = if value.is_nan() {
        "NaN"
    } else if value.is_infinite() {
        if value < 0.0 { "-Infinity" } else { "Infinity" }
    } else if value == 0.0 && value.is_sign_negative() {
        // Without a fraction it would be read as an integer, which has no such zero.
        "-0.0"
    } else {
        return None;
    };
    Some(text.to_owned())
}

/// Written out, neither very long nor very small.
fn is_plain(value: f64) -> bool {
    value == 0.0 || (1e-5..1e17).contains(&value.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_has_sixteen_characters() {
        for (number, expected) in [
            ("1.50", "1.50"),
            ("0.30000000000000004", "0.3"),
            ("-0.70710678118654757", "-0.7071067811865"),
            ("0.12345678901234567", "0.12345678901235"),
            ("-1.2345678901234567e-300", "-1.23456789e-300"),
            ("12345678901234567890", "1.23456789012e19"),
            ("123456789012345.678", "123456789012346"),
            ("-0.00000123456789012345", "-1.2345678901e-6"),
            ("99999999999999999.9", "1e17"),
        ] {
            assert_eq!(decimal(number), expected, "{number}");
        }
    }
}
