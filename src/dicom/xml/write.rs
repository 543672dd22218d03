//! A data set as a document of the Native DICOM Model. Never fails: a control
//! character that XML 1.0 cannot hold becomes U+FFFD.

use std::io::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dicom_core::Tag;

use crate::dicom::attributes;
use crate::dicom::dataset::{DataSet, Element, PersonName, Value};
use crate::dicom::form;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel \
    xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\">";

const COMPONENTS: [&str; 5] = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];

/// Appends the data set as one XML document.
pub fn write(set: &DataSet, out: &mut Vec<u8>) {
    out.extend_from_slice(HEAD.as_bytes());
    attributes_of(set, out);
    out.extend_from_slice(b"</NativeDicomModel>\n");
}

fn attributes_of(set: &DataSet, out: &mut Vec<u8>) {
    for (tag, element) in set.iter() {
        // Group lengths and the file meta group are of the encoding, not of the data.
        if tag.element() == 0 || tag.group() == 2 || is_implied(set, tag) {
            continue;
        }
        attribute(set, tag, element, out);
    }
}

/// The creator of the block that a private attribute is in.
fn creator(set: &DataSet, tag: Tag) -> Option<&str> {
    let block = tag.element() >> 8;
    if !attributes::is_private(tag) || block < 0x10 {
        return None;
    }
    set.first_text(Tag(tag.group(), block))
}

/// Is it a private creator that its block's attributes name?
fn is_implied(set: &DataSet, tag: Tag) -> bool {
    attributes::is_private_creator(tag)
        && set.first_text(tag).is_some()
        && set.iter().any(|(other, _)| other.group() == tag.group() && other.element() >> 8 == tag.element())
}

fn attribute(set: &DataSet, tag: Tag, element: &Element, out: &mut Vec<u8>) {
    let creator = creator(set, tag);
    let number = if creator.is_some() { tag.element() & 0x00FF } else { tag.element() };
    print(out, format_args!("<DicomAttribute tag=\"{:04X}{number:04X}\" vr=\"{}\"", tag.group(), element.vr));
    if let Some(keyword) = attributes::keyword(tag) {
        print(out, format_args!(" keyword=\"{keyword}\""));
    }
    if let Some(creator) = creator {
        out.extend_from_slice(b" privateCreator=\"");
        escape(creator, out);
        out.push(b'"');
    }
    let start = out.len();
    out.push(b'>');
    content(&element.value, out);
    if out.len() == start + 1 {
        out.truncate(start);
        out.extend_from_slice(b"/>");
    } else {
        out.extend_from_slice(b"</DicomAttribute>");
    }
}

fn content(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Empty => {}
        Value::Text(values) => {
            // One empty string is an empty value; two are two values.
            if !matches!(values.as_slice(), [only] if only.is_empty()) {
                each(values, out, |text, out| escape(text, out));
            }
        }
        Value::Names(names) => {
            if !form::is_empty(value) {
                for (index, name) in names.iter().enumerate() {
                    person_name(index + 1, name, out);
                }
            }
        }
        Value::Signed(values) => each(values, out, |value, out| print(out, format_args!("{value}"))),
        Value::Unsigned(values) => each(values, out, |value, out| print(out, format_args!("{value}"))),
        Value::Float(values) => {
            each(values, out, |value, out| out.extend_from_slice(form::single_text(*value).as_bytes()));
        }
        Value::Double(values) => {
            each(values, out, |value, out| out.extend_from_slice(form::double_text(*value).as_bytes()));
        }
        Value::Tags(tags) => each(tags, out, |tag, out| print(out, format_args!("{tag:08X}"))),
        Value::Items(items) => {
            for (index, item) in items.iter().enumerate() {
                print(out, format_args!("<Item number=\"{}\">", index + 1));
                attributes_of(item, out);
                out.extend_from_slice(b"</Item>");
            }
        }
        Value::Inline(bytes) => {
            if !bytes.is_empty() {
                out.extend_from_slice(b"<InlineBinary>");
                out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
                out.extend_from_slice(b"</InlineBinary>");
            }
        }
        Value::Bulk(bulk) => {
            out.extend_from_slice(b"<BulkData uri=\"");
            escape(&bulk.path, out);
            out.extend_from_slice(b"\"/>");
        }
    }
}

/// A `Value` each. One that is nothing is written too: a gap in the numbers
/// cannot tell of values missing at the end.
fn each<T>(values: &[T], out: &mut Vec<u8>, mut one: impl FnMut(&T, &mut Vec<u8>)) {
    for (index, value) in values.iter().enumerate() {
        print(out, format_args!("<Value number=\"{}\">", index + 1));
        one(value, out);
        out.extend_from_slice(b"</Value>");
    }
}

fn person_name(number: usize, name: &PersonName, out: &mut Vec<u8>) {
    print(out, format_args!("<PersonName number=\"{number}\">"));
    let groups =
        [("Alphabetic", &name.alphabetic), ("Ideographic", &name.ideographic), ("Phonetic", &name.phonetic)];
    for (group, text) in groups {
        if text.is_empty() {
            continue;
        }
        print(out, format_args!("<{group}>"));
        // More components than there are stay in the last one, parted as they came.
        for (component, text) in COMPONENTS.iter().zip(text.splitn(COMPONENTS.len(), '^')) {
            if !text.is_empty() {
                print(out, format_args!("<{component}>"));
                escape(text, out);
                print(out, format_args!("</{component}>"));
            }
        }
        print(out, format_args!("</{group}>"));
    }
    out.extend_from_slice(b"</PersonName>");
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("memory takes every byte");
}

/// The inside of a text or of an attribute in double quotes, so that what a
/// reader gives back is what was there: line ends included, which a reader may
/// otherwise turn into others.
fn escape(text: &str, out: &mut Vec<u8>) {
    let mut copied = 0;
    for (position, character) in text.char_indices() {
        let substitute: &[u8] = match character {
            '&' => b"&amp;",
            '<' => b"&lt;",
            '>' => b"&gt;",
            '"' => b"&quot;",
            '\t' => b"&#9;",
            '\n' => b"&#10;",
            '\r' => b"&#13;",
            '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => "\u{FFFD}".as_bytes(),
            _ => continue,
        };
        out.extend_from_slice(text.get(copied..position).unwrap_or_default().as_bytes());
        out.extend_from_slice(substitute);
        copied = position + character.len_utf8();
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default().as_bytes());
}
