//! The bytes of a value to a [`Value`], by its VR (PS3.5 section 6.2): text is
//! decoded, split and trimmed; numbers are taken in the file's byte order;
//! other bytes are turned little endian. Whoever calls has checked that the
//! length fits the VR and the budget.

use dicom_core::VR;

use crate::dicom::dataset::{PersonName, Value};
use crate::dicom::text::{Delimiters, Repertoire};
use crate::dicom::vr;

/// A value, and whether its text was what its character set allows.
pub(crate) struct Converted {
    pub value: Value,
    pub clean: bool,
    pub ascii: bool,
}

pub(crate) fn convert(vr: VR, big_endian: bool, bytes: &[u8], repertoire: &Repertoire) -> Converted {
    let value = match vr {
        _ if bytes.is_empty() => Value::Empty,
        VR::PN => return names(bytes, repertoire),
        VR::LO | VR::SH | VR::UC => return text(vr, bytes, repertoire, Delimiters::Values),
        VR::LT | VR::ST | VR::UT => return text(vr, bytes, repertoire, Delimiters::Lines),
        VR::AE | VR::AS | VR::CS | VR::DA | VR::DS | VR::DT | VR::IS | VR::TM | VR::UI | VR::UR => {
            return text(vr, bytes, &Repertoire::default(), Delimiters::Values);
        }
        VR::US => Value::Unsigned(numbers(bytes, big_endian, |b| u16::from_le_bytes(b).into())),
        VR::UL => Value::Unsigned(numbers(bytes, big_endian, |b| u32::from_le_bytes(b).into())),
        VR::UV => Value::Unsigned(numbers(bytes, big_endian, u64::from_le_bytes)),
        VR::SS => Value::Signed(numbers(bytes, big_endian, |b| i16::from_le_bytes(b).into())),
        VR::SL => Value::Signed(numbers(bytes, big_endian, |b| i32::from_le_bytes(b).into())),
        VR::SV => Value::Signed(numbers(bytes, big_endian, i64::from_le_bytes)),
        VR::FL => Value::Float(numbers(bytes, big_endian, f32::from_le_bytes)),
        VR::FD => Value::Double(numbers(bytes, big_endian, f64::from_le_bytes)),
        VR::AT => Value::Tags(tags(bytes, big_endian)),
        VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::SQ | VR::UN => {
            Value::Inline(little_endian(bytes, big_endian, vr::word_bytes(vr)))
        }
    };
    Converted { value, clean: true, ascii: true }
}

fn numbers<const N: usize, T>(bytes: &[u8], big_endian: bool, number: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes
        .chunks_exact(N)
        .map(|chunk| {
            let mut word = [0; N];
            word.copy_from_slice(chunk);
            if big_endian {
                word.reverse();
            }
            number(word)
        })
        .collect()
}

fn tags(bytes: &[u8], big_endian: bool) -> Vec<u32> {
    let halves: Vec<u32> = numbers(bytes, big_endian, |half| u16::from_le_bytes(half).into());
    halves.chunks_exact(2).map(|pair| pair[0] << 16 | pair[1]).collect()
}

/// Bytes with their words turned little endian; a last, broken word stays.
pub(crate) fn little_endian(bytes: &[u8], big_endian: bool, word_bytes: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if big_endian && word_bytes > 1 {
        bytes.chunks_exact_mut(usize::from(word_bytes)).for_each(<[u8]>::reverse);
    }
    bytes
}

fn text(vr: VR, bytes: &[u8], repertoire: &Repertoire, delimiters: Delimiters) -> Converted {
    let bytes = without_padding(bytes);
    let (text, clean) = repertoire.decode(bytes, delimiters);
    let ascii = text.is_ascii();
    let is_single = matches!(vr, VR::LT | VR::ST | VR::UT | VR::UR);
    let value = if text.is_empty() {
        Value::Empty
    } else if is_single {
        Value::Text(vec![text.into_owned()])
    } else {
        Value::Text(text.split('\\').map(|part| trimmed(vr, part).to_owned()).collect())
    };
    Converted { value: or_empty(value), clean, ascii }
}

fn names(bytes: &[u8], repertoire: &Repertoire) -> Converted {
    let (text, clean) = repertoire.decode(without_padding(bytes), Delimiters::Names);
    let ascii = text.is_ascii();
    let name = |part: &str| {
        let mut groups = part.splitn(4, '=').map(|group| group.trim_matches([' ', '\0']).to_owned());
        PersonName {
            alphabetic: groups.next().unwrap_or_default(),
            ideographic: groups.next().unwrap_or_default(),
            phonetic: groups.next().unwrap_or_default(),
        }
    };
    let names: Vec<_> = text.split('\\').map(name).collect();
    let is_empty = names.len() == 1 && names[0] == PersonName::default();
    Converted { value: if is_empty { Value::Empty } else { Value::Names(names) }, clean, ascii }
}

/// A value of nothing but padding is an empty one.
fn or_empty(value: Value) -> Value {
    let is_empty = matches!(&value, Value::Text(texts) if texts.len() == 1 && texts[0].is_empty());
    if is_empty { Value::Empty } else { value }
}

/// Trailing spaces and NULs pad every text. UTF-8, GBK and JIS have none of
/// them as trail bytes.
fn without_padding(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    &bytes[..end]
}

/// Leading spaces are significant in UC (and in LT, ST, UT, which do not come
/// here), in no other VR.
fn trimmed(vr: VR, text: &str) -> &str {
    let text = text.trim_end_matches([' ', '\0']);
    if vr == VR::UC { text } else { text.trim_start_matches(' ') }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(vr: VR, bytes: &[u8]) -> Value {
        convert(vr, false, bytes, &Repertoire::default()).value
    }

    fn texts(list: &[&str]) -> Value {
        Value::Text(list.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn padding_and_multiplicity() {
        assert_eq!(value(VR::CS, b" ORIGINAL\\PRIMARY \\ "), texts(&["ORIGINAL", "PRIMARY", ""]));
        assert_eq!(value(VR::UI, b"1.2.3\0"), texts(&["1.2.3"]));
        assert_eq!(value(VR::ST, b" a\\b  "), texts(&[" a\\b"]));
        assert_eq!(value(VR::UR, b"http://x/\\ "), texts(&["http://x/\\"]));
        assert_eq!(value(VR::UC, b" a\\ b "), texts(&[" a", " b"]));
        assert_eq!(value(VR::LO, b"  "), Value::Empty);
        assert_eq!(value(VR::LO, b"\\"), texts(&["", ""]));
        assert_eq!(value(VR::SH, b"\0"), Value::Empty);
    }

    #[test]
    fn names_have_three_groups() {
        let Value::Names(names) = value(VR::PN, b"Doe^John^^=I=P=more\\\\Roe ") else { panic!("names") };
        assert_eq!(names.len(), 3);
        assert_eq!(names[0].alphabetic, "Doe^John^^");
        assert_eq!((names[0].ideographic.as_str(), names[0].phonetic.as_str()), ("I", "P"));
        assert_eq!(names[1], PersonName::default());
        assert_eq!(names[2].alphabetic, "Roe");
    }

    #[test]
    fn numbers_in_both_orders() {
        let big = |vr, bytes: &[u8]| convert(vr, true, bytes, &Repertoire::default()).value;
        assert_eq!(value(VR::US, &[1, 2, 3, 4]), Value::Unsigned(vec![0x0201, 0x0403]));
        assert_eq!(big(VR::US, &[1, 2]), Value::Unsigned(vec![0x0102]));
        assert_eq!(big(VR::SL, &[255, 255, 255, 254]), Value::Signed(vec![-2]));
        assert_eq!(value(VR::AT, &[0x10, 0, 0x20, 0]), Value::Tags(vec![0x0010_0020]));
        assert_eq!(big(VR::AT, &[0, 0x10, 0, 0x20]), Value::Tags(vec![0x0010_0020]));
        assert_eq!(big(VR::OW, &[1, 2, 3]), Value::Inline(vec![2, 1, 3]));
        assert_eq!(value(VR::FL, &0.1f32.to_le_bytes()), Value::Float(vec![0.1]));
    }
}
