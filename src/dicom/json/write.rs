//! A data set as a JSON object (PS3.18 section F.2). Never fails: what JSON
//! cannot say (NaN, numbers past 2^53, the text of a broken IS) is a string.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dicom_core::{Tag, VR};

use crate::dicom::dataset::{DataSet, Element, PersonName, Value};
use crate::dicom::form;

/// Stands for the URL of the instance in what [`write`] writes.
const URL_MARK: u8 = 0x01;

/// Whole numbers up to here are exact in every JSON reader.
const EXACT_MAX: u64 = 1 << 53;

/// Decimal digits that a double can hold.
const DIGITS_MAX: usize = 17;

/// Appends the data set as one JSON object. A bulk value of the archive's own
/// becomes `"BulkDataURI":"\x01/bulkdata/{path}"`, to be completed by [`fill`]; one
/// whose path is a URI keeps it.
pub fn write(set: &DataSet, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (tag, element) in set.iter() {
        // Group lengths and the file meta group are of the encoding, not of the data.
        if tag.element() == 0 || tag.group() == 2 {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        attribute(tag, element, out);
    }
    out.push(b'}');
}

/// Appends JSON of [`write()`] with the URL of the instance in its places.
pub fn fill(json: &[u8], instance_url: &str, out: &mut Vec<u8>) {
    let mut url = Vec::with_capacity(instance_url.len());
    escape(instance_url, &mut url);
    out.reserve(json.len() + url.len() * 4);
    let mut rest = json;
    while let Some(position) = memchr::memchr(URL_MARK, rest) {
        let (before, after) = rest.split_at(position);
        out.extend_from_slice(before);
        out.extend_from_slice(&url);
        rest = after.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Does for a data set that was read from JSON of [`write()`] what [`fill`] does
/// for its text.
pub fn link(set: &mut DataSet, instance_url: &str) {
    for (_, element) in set.iter_mut() {
        match &mut element.value {
            Value::Bulk(bulk) => {
                if let Some(path) = bulk.path.strip_prefix(char::from(URL_MARK)) {
                    bulk.path = format!("{instance_url}{path}");
                }
            }
            Value::Items(items) => items.iter_mut().for_each(|item| link(item, instance_url)),
            Value::Empty
            | Value::Text(_)
            | Value::Names(_)
            | Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_)
            | Value::Inline(_) => {}
        }
    }
}

fn attribute(tag: Tag, element: &Element, out: &mut Vec<u8>) {
    out.push(b'"');
    hex(u32::from(tag.group()) << 16 | u32::from(tag.element()), out);
    out.extend_from_slice(b"\":{\"vr\":\"");
    out.extend_from_slice(element.vr.to_string().as_bytes());
    out.push(b'"');
    match &element.value {
        Value::Empty => {}
        Value::Text(values) => {
            // One empty string is an empty value; two are two values.
            if !matches!(values.as_slice(), [only] if only.is_empty()) {
                let numbers = matches!(element.vr, VR::IS | VR::DS);
                array(values, out, |text, out| match text.as_str() {
                    "" => out.extend_from_slice(b"null"),
                    number if numbers && is_number(number, element.vr) => {
                        out.extend_from_slice(number.as_bytes());
                    }
                    text => string(text, out),
                });
            }
        }
        Value::Names(names) => {
            if !matches!(names.as_slice(), [only] if is_empty(only)) {
                array(names, out, name);
            }
        }
        Value::Signed(values) => array(values, out, |value, out| {
            whole(value.unsigned_abs(), *value < 0, element.vr == VR::SV, out);
        }),
        Value::Unsigned(values) => array(values, out, |value, out| {
            whole(*value, false, element.vr == VR::UV, out);
        }),
        Value::Float(values) => array(values, out, |value, out| {
            float(value.is_finite(), &form::single_text(*value), out);
        }),
        Value::Double(values) => array(values, out, |value, out| {
            float(value.is_finite(), &form::double_text(*value), out);
        }),
        Value::Tags(tags) => array(tags, out, |tag, out| {
            out.push(b'"');
            hex(*tag, out);
            out.push(b'"');
        }),
        Value::Items(items) => array(items, out, write),
        Value::Inline(bytes) => inline(bytes, out),
        Value::Bulk(bulk) => {
            out.extend_from_slice(b",\"BulkDataURI\":\"");
            // What was read has a whole URI, what was scanned a place in its file.
            if !bulk.path.contains([':', '/']) {
                out.push(URL_MARK);
                out.extend_from_slice(b"/bulkdata/");
            }
            escape(&bulk.path, out);
            out.push(b'"');
        }
    }
    out.push(b'}');
}

/// `,"Value":[…]`, or nothing if there is no value.
fn array<T>(values: &[T], out: &mut Vec<u8>, mut one: impl FnMut(&T, &mut Vec<u8>)) {
    let Some((first, more)) = values.split_first() else { return };
    out.extend_from_slice(b",\"Value\":[");
    one(first, out);
    for value in more {
        out.push(b',');
        one(value, out);
    }
    out.push(b']');
}

fn is_empty(name: &PersonName) -> bool {
    name.alphabetic.is_empty() && name.ideographic.is_empty() && name.phonetic.is_empty()
}

fn name(name: &PersonName, out: &mut Vec<u8>) {
    if is_empty(name) {
        out.extend_from_slice(b"null");
        return;
    }
    let groups =
        [("Alphabetic", &name.alphabetic), ("Ideographic", &name.ideographic), ("Phonetic", &name.phonetic)];
    let mut open = b'{';
    for (group, text) in groups {
        if text.is_empty() {
            continue;
        }
        out.extend_from_slice(&[open, b'"']);
        out.extend_from_slice(group.as_bytes());
        out.extend_from_slice(b"\":");
        string(text, out);
        open = b',';
    }
    out.push(b'}');
}

fn inline(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"InlineBinary\":\"");
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    if let Some(room) = out.get_mut(start..) {
        STANDARD.encode_slice(bytes, room).expect("the room is that of padded base64");
    }
    out.push(b'"');
}

/// May the text of an IS or DS stand as a JSON number, and is it one that a
/// reader with doubles gives back as it was?
fn is_number(text: &str, vr: VR) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = is_digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(|text| is_digits(text.strip_prefix(['+', '-']).unwrap_or(text)));
    if !well_formed || mantissa.len() > DIGITS_MAX + usize::from(fraction.is_some()) {
        return false;
    }
    if fraction.is_none() && exponent.is_none() {
        return whole.parse().is_ok_and(|value: u64| value <= EXACT_MAX);
    }
    if vr == VR::IS {
        return false;
    }
    match text.parse::<f64>() {
        Ok(value) => {
            // An underflow to zero loses the number.
            let zero_as_written = || mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.'));
            value.is_finite() && (value != 0.0 || zero_as_written())
        }
        Err(_) => false,
    }
}

fn whole(value: u64, negative: bool, may_be_text: bool, out: &mut Vec<u8>) {
    let quoted = may_be_text && value > EXACT_MAX;
    if quoted {
        out.push(b'"');
    }
    if negative {
        out.push(b'-');
    }
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        start -= 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
    if quoted {
        out.push(b'"');
    }
}

/// What JSON has no number for is a string.
fn float(finite: bool, text: &str, out: &mut Vec<u8>) {
    if finite { out.extend_from_slice(text.as_bytes()) } else { string(text, out) }
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// The inside of a JSON string. No control character passes, so [`URL_MARK`]
/// cannot come from a value.
fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (position, byte) in bytes.iter().enumerate() {
        let short: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => b"",
            _ => continue,
        };
        out.extend_from_slice(bytes.get(copied..position).unwrap_or_default());
        copied = position + 1;
        if short.is_empty() {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[nibble(u32::from(*byte) >> 4), nibble(u32::from(*byte))]);
        } else {
            out.extend_from_slice(short);
        }
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
}

fn hex(number: u32, out: &mut Vec<u8>) {
    for shift in [28, 24, 20, 16, 12, 8, 4, 0] {
        out.push(nibble(number >> shift));
    }
}

fn nibble(number: u32) -> u8 {
    match (number & 0xF) as u8 {
        digit @ 0..=9 => b'0' + digit,
        letter => b'A' + letter - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::dataset::Bulk;

    fn json(vr: VR, value: Value) -> String {
        let mut set = DataSet::new();
        set.put(Tag(0x0009, 0x10FF), Element::new(vr, value));
        let mut out = Vec::new();
        write(&set, &mut out);
        let text = String::from_utf8(out).expect("JSON is UTF-8");
        let (_, text) = text.split_once("{\"000910FF\":").expect("one attribute");
        text.strip_suffix('}').expect("an object").to_owned()
    }

    fn texts(vr: VR, values: &[&str]) -> String {
        json(vr, Value::Text(values.iter().map(|text| (*text).to_owned()).collect()))
    }

    #[test]
    fn empty_values() {
        assert_eq!(json(VR::LO, Value::Empty), r#"{"vr":"LO"}"#);
        assert_eq!(texts(VR::LO, &[]), r#"{"vr":"LO"}"#);
        assert_eq!(texts(VR::LO, &[""]), r#"{"vr":"LO"}"#);
        assert_eq!(texts(VR::LO, &["bar", "", "foo", ""]), r#"{"vr":"LO","Value":["bar",null,"foo",null]}"#);
        assert_eq!(json(VR::SQ, Value::Items(vec![])), r#"{"vr":"SQ"}"#);
        assert_eq!(json(VR::SQ, Value::Items(vec![DataSet::new()])), r#"{"vr":"SQ","Value":[{}]}"#);
        assert_eq!(json(VR::PN, Value::Names(vec![PersonName::default()])), r#"{"vr":"PN"}"#);
        assert_eq!(json(VR::OB, Value::Inline(vec![])), r#"{"vr":"OB"}"#);
        assert_eq!(json(VR::US, Value::Unsigned(vec![])), r#"{"vr":"US"}"#);
    }

    #[test]
    fn numbers_in_text() {
        assert_eq!(
            texts(
                VR::DS,
                &["1.50", "-0", "1e5", "", "+1.0", "1.", ".5", "007", "abc", "1e999", "1e-400", "0.0"]
            ),
            r#"{"vr":"DS","Value":[1.50,-0,1e5,null,"+1.0","1.",".5","007","abc","1e999","1e-400",0.0]}"#
        );
        assert_eq!(
            texts(VR::DS, &["0.1234567890123456", "0.12345678901234567", "-", "e5", "1 2"]),
            r#"{"vr":"DS","Value":[0.1234567890123456,"0.12345678901234567","-","e5","1 2"]}"#
        );
        assert_eq!(
            texts(VR::IS, &["5", "-12", "9007199254740993", "1.0", "+5", "05"]),
            r#"{"vr":"IS","Value":[5,-12,"9007199254740993","1.0","+5","05"]}"#
        );
        assert_eq!(texts(VR::LO, &["5"]), r#"{"vr":"LO","Value":["5"]}"#);
    }

    /// Python reads `-0` as the integer 0: a client's comparison of the
    /// metadata of a CT with its file found the sign lost.
    #[test]
    fn negative_zero_keeps_its_sign() {
        assert_eq!(json(VR::FD, Value::Double(vec![-0.0, 0.0])), r#"{"vr":"FD","Value":[-0.0,0]}"#);
    }

    #[test]
    fn numbers() {
        assert_eq!(
            json(VR::FL, Value::Float(vec![0.1, -0.0, 1e30])),
            r#"{"vr":"FL","Value":[0.1,-0.0,1e30]}"#
        );
        assert_eq!(
            json(VR::FD, Value::Double(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-7, 1e300])),
            r#"{"vr":"FD","Value":["NaN","Infinity","-Infinity",1e-7,1e300]}"#
        );
        assert_eq!(json(VR::US, Value::Unsigned(vec![0, 65535])), r#"{"vr":"US","Value":[0,65535]}"#);
        assert_eq!(
            json(VR::UV, Value::Unsigned(vec![1 << 53, u64::MAX])),
            r#"{"vr":"UV","Value":[9007199254740992,"18446744073709551615"]}"#
        );
        assert_eq!(
            json(VR::SV, Value::Signed(vec![-1, i64::MIN])),
            r#"{"vr":"SV","Value":[-1,"-9223372036854775808"]}"#
        );
        assert_eq!(json(VR::AT, Value::Tags(vec![0x0018_1063])), r#"{"vr":"AT","Value":["00181063"]}"#);
    }

    #[test]
    fn names_by_group() {
        let yamada = PersonName {
            alphabetic: "Yamada^Tarou".into(),
            ideographic: "山田^太郎".into(),
            phonetic: "やまだ^たろう".into(),
        };
        let only = PersonName { phonetic: "やまだ".into(), ..PersonName::default() };
        assert_eq!(
            json(VR::PN, Value::Names(vec![yamada, PersonName::default(), only])),
            r#"{"vr":"PN","Value":[{"Alphabetic":"Yamada^Tarou","Ideographic":"山田^太郎","Phonetic":"やまだ^たろう"},null,{"Phonetic":"やまだ"}]}"#
        );
    }

    #[test]
    fn bytes_inline_and_left_behind() {
        assert_eq!(json(VR::UN, Value::Inline(vec![1, 2, 3, 4])), r#"{"vr":"UN","InlineBinary":"AQIDBA=="}"#);
        let bulk = Bulk { path: "54000100.1.54001010".into(), offset: 0, length: 0 };
        let written = json(VR::OW, Value::Bulk(bulk));
        assert_eq!(written, "{\"vr\":\"OW\",\"BulkDataURI\":\"\u{1}/bulkdata/54000100.1.54001010\"}");
        let mut filled = Vec::new();
        fill(written.as_bytes(), "https://pacs/\"studies\"/1", &mut filled);
        assert_eq!(
            String::from_utf8_lossy(&filled),
            r#"{"vr":"OW","BulkDataURI":"https://pacs/\"studies\"/1/bulkdata/54000100.1.54001010"}"#
        );
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(
            texts(VR::LT, &["a\"b\\c\r\n\t\u{1}\u{1f}\u{7f}ü"]),
            "{\"vr\":\"LT\",\"Value\":[\"a\\\"b\\\\c\\r\\n\\t\\u0001\\u001F\u{7f}ü\"]}"
        );
    }

    #[test]
    fn an_object_is_in_order_and_without_the_file_meta_group() {
        let mut set = DataSet::new();
        set.put_text(Tag(0x0010, 0x0020), VR::LO, "P1");
        set.put_text(Tag(0x0008, 0x0060), VR::CS, "CT");
        set.put_text(Tag(0x0002, 0x0010), VR::UI, "1.2.840.10008.1.2.1");
        set.put(Tag(0x0008, 0x0000), Element::new(VR::UL, Value::Unsigned(vec![10])));
        let mut out = Vec::new();
        write(&set, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#"{"00080060":{"vr":"CS","Value":["CT"]},"00100020":{"vr":"LO","Value":["P1"]}}"#
        );
    }
}
