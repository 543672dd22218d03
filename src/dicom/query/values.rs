//! The values of one match parameter as a test, by the VR of its attribute.

use dicom_core::{Tag, VR};

use super::error::Reason;
use super::{NameTest, Pattern, Test, range};
use crate::dicom::uid;

/// Patterns cost the length of the pattern times that of the text: neither
/// their length nor their number is left to the client.
const PATTERN_BYTES_MAX: usize = 1024;
const PATTERNS_MAX: usize = 100;

/// What of the request bears on every value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) fuzzy: bool,
    pub(super) empty: bool,
    pub(super) multiple: bool,
    pub(super) zone: Option<i16>,
    pub(super) values_max: usize,
}

/// The tests that the values ask for; more than one must all hold. And whether
/// it was a range.
pub(super) struct Tests {
    pub(super) tests: Vec<Test>,
    pub(super) is_range: bool,
}

impl From<Test> for Tests {
    fn from(test: Test) -> Self {
        Self { tests: vec![test], is_range: false }
    }
}

/// Takes the values of one attribute, as they stand in the query string.
pub(super) fn tests(tag: Tag, vr: VR, raw: &[&str], flags: &Flags) -> Result<Tests, Reason> {
    let mut decoded = Vec::new();
    for value in raw {
        decoded.push(decode(value)?);
    }
    decoded.retain(|value| !value.trim().is_empty());
    if decoded.is_empty() {
        return Ok(Test::Any.into());
    }
    if flags.empty && decoded.iter().all(|value| value.trim() == "\"\"") {
        return Ok(Test::Empty.into());
    }
    match vr {
        VR::UI => uids(&split_decoded(&decoded, flags)?),
        VR::AE | VR::CS | VR::LO | VR::SH | VR::UC | VR::UN | VR::AS | VR::AT => texts(vr, raw, flags),
        VR::PN => names(&decoded, flags),
        VR::LT | VR::ST | VR::UR | VR::UT => text_test(vec![single(&decoded)?.to_owned()]),
        VR::DA | VR::TM | VR::DT => {
            let zone = flags.zone.filter(|_| vr == VR::DT || range::has_zone(tag));
            let bounds = range::parse(vr, single(&decoded)?, zone).ok_or(Reason::Moment)?;
            Ok(Tests { tests: vec![Test::Range(bounds.range)], is_range: bounds.is_range })
        }
        VR::DS | VR::IS | VR::FD | VR::FL | VR::SL | VR::SS | VR::SV | VR::UL | VR::US | VR::UV => {
            let parse = |text: &String| text.parse().ok().filter(|number: &f64| number.is_finite());
            let numbers: Option<Vec<f64>> = split_decoded(&decoded, flags)?.iter().map(parse).collect();
            Ok(Test::Number(numbers.ok_or(Reason::Number)?).into())
        }
        VR::SQ | VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW => Err(Reason::NoMatching),
    }
}

fn uids(values: &[String]) -> Result<Tests, Reason> {
    for value in values {
        uid::check(value).map_err(|_| Reason::Uid)?;
    }
    Ok(Test::Uids(values.to_vec()).into())
}

/// AE AS AT CS LO SH UC, and private attributes of unknown VR.
fn texts(vr: VR, raw: &[&str], flags: &Flags) -> Result<Tests, Reason> {
    let mut values: Vec<String> = Vec::new();
    let mut all_of = false;
    // A raw comma parts values; of codes an encoded one does too, since no
    // code has a comma in it.
    for piece in raw.iter().flat_map(|value| value.split(',')) {
        let text = decode(piece)?;
        let is_code = matches!(vr, VR::CS | VR::AS | VR::AT);
        for value in text.split(|c| c == '\\' || is_code && c == ',') {
            let value = value.trim();
            if !value.is_empty() {
                values.push(value.to_owned());
            }
        }
        all_of |= flags.multiple && text.contains('\\');
        limit(values.len(), flags)?;
    }
    if vr == VR::AT {
        for value in &mut values {
            value.make_ascii_uppercase();
        }
        if values.iter().any(|value| u32::from_str_radix(value, 16).is_err() || value.len() != 8) {
            return Err(Reason::TagValue);
        }
    }
    if values.is_empty() {
        return Ok(Test::Any.into());
    }
    if all_of {
        return Ok(Test::AllOf(values).into());
    }
    if matches!(vr, VR::AS | VR::AT) {
        if values.iter().any(|value| is_wild(value)) {
            return Err(Reason::Wildcard);
        }
        return Ok(Test::OneOf(values).into());
    }
    text_test(values)
}

fn names(decoded: &[String], flags: &Flags) -> Result<Tests, Reason> {
    let text = single(decoded)?;
    if is_universal(text) {
        return Ok(Test::Any.into());
    }
    if text.len() > PATTERN_BYTES_MAX {
        return Err(Reason::TooLong(PATTERN_BYTES_MAX));
    }
    let parts: Vec<&str> = if flags.multiple { text.split('\\').collect() } else { vec![text] };
    limit(parts.len(), flags)?;
    let tests = parts
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .map(|part| Test::Name(NameTest::parse(part, flags.fuzzy)))
        .collect();
    Ok(Tests { tests, is_range: false })
}

/// Equal texts, or patterns if any of them has a wildcard.
fn text_test(values: Vec<String>) -> Result<Tests, Reason> {
    if values.iter().any(|value| is_universal(value)) {
        return Ok(Test::Any.into());
    }
    if !values.iter().any(|value| is_wild(value)) {
        return Ok(Test::OneOf(values).into());
    }
    if values.len() > PATTERNS_MAX {
        return Err(Reason::TooMany(PATTERNS_MAX));
    }
    let patterns: Result<_, Reason> = values.iter().map(|value| pattern(value)).collect();
    Ok(Test::Wildcard(patterns?).into())
}

fn pattern(value: &str) -> Result<Pattern, Reason> {
    if value.len() > PATTERN_BYTES_MAX {
        return Err(Reason::TooLong(PATTERN_BYTES_MAX));
    }
    Ok(Pattern::parse(value))
}

fn is_wild(value: &str) -> bool {
    value.contains(['*', '?'])
}

fn is_universal(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'*')
}

/// Lists of values that have neither commas nor backslashes in them.
fn split_decoded(decoded: &[String], flags: &Flags) -> Result<Vec<String>, Reason> {
    let mut values: Vec<String> = Vec::new();
    for value in decoded.iter().flat_map(|text| text.split([',', '\\'])) {
        let value = value.trim_matches([' ', '\0']);
        if !value.is_empty() {
            values.push(value.to_owned());
            limit(values.len(), flags)?;
        }
    }
    if values.is_empty() { Err(Reason::NoValue) } else { Ok(values) }
}

fn limit(count: usize, flags: &Flags) -> Result<(), Reason> {
    if count > flags.values_max { Err(Reason::TooMany(flags.values_max)) } else { Ok(()) }
}

/// The value of an attribute that takes one; the same one again is forgiven.
fn single(decoded: &[String]) -> Result<&str, Reason> {
    match decoded.split_first() {
        Some((first, more)) if more.iter().all(|value| value == first) => Ok(first.trim()),
        Some(_) => Err(Reason::Twice),
        None => Err(Reason::NoValue),
    }
}

/// Percent-encoded UTF-8, with `+` for a space as forms have it.
pub(super) fn decode(raw: &str) -> Result<String, Reason> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit(), digit());
                let code = high.zip(low).ok_or(Reason::Encoding)?;
                u8::try_from(code.0 << 4 | code.1).map_err(|_| Reason::Encoding)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| Reason::Encoding)
}
