//! A JSON object as a data set (PS3.18 section F.2), from whoever wrote it:
//! lower-case tags, keywords for tags, a missing VR, a value that is no array,
//! numbers as strings and strings as numbers are all understood, members
//! unknown are passed over. Bounded in nesting and in number of attributes.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use dicom_core::{Tag, VR};

use super::lexer::{Kind, Lexer, Scalar};
use crate::dicom::attributes;
use crate::dicom::dataset::{Bulk, DataSet, Element, PersonName, Value};

/// What a reader takes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Items within items.
    pub depth_max: usize,
    /// Attributes in all, those of items included.
    pub elements_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth_max: 64, elements_max: 1_000_000 }
    }
}

/// Why a text is not a data set, and where. No value is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}{}", .tag.map(|tag| format!(" in attribute {tag}")).unwrap_or_default())]
pub struct JsonError {
    pub offset: usize,
    /// The innermost attribute it is in.
    pub tag: Option<Tag>,
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("this is not JSON")]
    Syntax,
    #[error("a string is not UTF-8")]
    Utf8,
    #[error("the nesting is too deep")]
    Depth,
    #[error("there are too many attributes")]
    Elements,
    #[error("an object, array, string or number stands where another is needed")]
    Shape,
    #[error("a number is missing, malformed or outside the range of its VR")]
    Number,
    #[error("this VR has no such form of value")]
    Form,
    #[error("an InlineBinary is not base64")]
    Base64,
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One data set: an object, or an array of one.
///
/// # Errors
/// What is wrong and where.
pub fn read(bytes: &[u8], limits: Limits) -> Result<DataSet, JsonError> {
    let mut sets = read_all(bytes, limits)?;
    match (sets.pop(), sets.is_empty()) {
        (Some(set), true) => Ok(set),
        _ => Err(JsonError { offset: 0, tag: None, reason: Reason::Shape }),
    }
}

/// Any number of data sets: an array of objects, or one object.
///
/// # Errors
/// What is wrong and where.
pub fn read_all(bytes: &[u8], limits: Limits) -> Result<Vec<DataSet>, JsonError> {
    let mut reader = Reader { lexer: Lexer::new(bytes), limits, elements: 0 };
    let mut sets = Vec::new();
    if reader.lexer.take(b'[') {
        let mut first = true;
        while reader.lexer.element(&mut first)? {
            sets.push(reader.data_set(0)?);
        }
    } else {
        sets.push(reader.data_set(0)?);
    }
    if reader.lexer.at_end() { Ok(sets) } else { Err(reader.lexer.error(Reason::Syntax)) }
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    limits: Limits,
    elements: usize,
}

/// The members of an attribute as they come.
#[derive(Default)]
struct Members {
    vr: Option<VR>,
    /// Where a `Value` begins that came before its VR.
    unread: Option<usize>,
    element: Option<Element>,
    inline: Option<Vec<u8>>,
    uri: Option<String>,
}

impl Reader<'_> {
    fn data_set(&mut self, depth: usize) -> Result<DataSet, JsonError> {
        if depth > self.limits.depth_max {
            return Err(self.lexer.error(Reason::Depth));
        }
        if self.lexer.kind()? != Kind::Object {
            return Err(self.lexer.error(Reason::Shape));
        }
        self.lexer.expect(b'{')?;
        let mut set = DataSet::new();
        let mut first = true;
        while let Some(name) = self.lexer.member(&mut first)? {
            // Group lengths and the file meta group are no attributes of a data set.
            let tag = attributes::by_name(&name).filter(|tag| tag.element() != 0 && tag.group() != 2);
            let Some(tag) = tag else {
                self.lexer.skip()?;
                continue;
            };
            self.elements += 1;
            if self.elements > self.limits.elements_max {
                return Err(self.lexer.error(Reason::Elements));
            }
            let element = self
                .attribute(tag, depth)
                .map_err(|error| JsonError { tag: error.tag.or(Some(tag)), ..error })?;
            set.put(tag, element);
        }
        Ok(set)
    }

    fn attribute(&mut self, tag: Tag, depth: usize) -> Result<Element, JsonError> {
        if self.lexer.kind()? != Kind::Object {
            return Err(self.lexer.error(Reason::Shape));
        }
        self.lexer.expect(b'{')?;
        let mut members = Members::default();
        let mut first = true;
        while let Some(name) = self.lexer.member(&mut first)? {
            self.attribute_member(&name, tag, depth, &mut members)?;
        }
        if let Some(start) = members.unread {
            let end = self.lexer.position();
            self.lexer.seek(start);
            members.element = Some(self.value(tag, members.vr, depth)?);
            self.lexer.seek(end);
        }
        let vr = known_vr(tag, members.vr);
        if let Some(element) = members.element {
            return Ok(element);
        }
        let value = match (members.inline, members.uri) {
            (Some(bytes), _) if bytes.is_empty() => Value::Empty,
            (Some(_), _) if !is_bytes(vr) => return Err(self.lexer.error(Reason::Form)),
            (Some(bytes), _) => Value::Inline(bytes),
            (None, Some(path)) if vr != VR::SQ => Value::Bulk(Bulk { path, offset: 0, length: 0 }),
            (None, Some(_)) => return Err(self.lexer.error(Reason::Form)),
            (None, None) => Value::Empty,
        };
        Ok(Element::new(vr, value))
    }

    fn attribute_member(
        &mut self,
        name: &str,
        tag: Tag,
        depth: usize,
        members: &mut Members,
    ) -> Result<(), JsonError> {
        match name {
            "vr" => {
                if let Scalar::Text(text) = self.lexer.scalar()? {
                    members.vr = text.parse().ok();
                }
            }
            "Value" if members.vr.is_some() => {
                members.element = Some(self.value(tag, members.vr, depth)?);
            }
            "Value" => {
                members.unread = Some(self.lexer.position());
                self.lexer.skip()?;
            }
            "InlineBinary" => {
                if let Some(text) = self.only_text()? {
                    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
                    let bytes = BASE64.decode(compact).map_err(|_| self.lexer.error(Reason::Base64))?;
                    members.inline = Some(bytes);
                }
            }
            "BulkDataURI" => members.uri = self.only_text()?.filter(|uri| !uri.is_empty()),
            _ => self.lexer.skip()?,
        }
        Ok(())
    }

    /// A string, or an array of one string.
    fn only_text(&mut self) -> Result<Option<String>, JsonError> {
        let mut text = None;
        self.each(|reader| {
            text = match reader.lexer.scalar()? {
                Scalar::Text(text) => Some(text.into_owned()),
                Scalar::Null => None,
                Scalar::Bool | Scalar::Number(_) => return Err(reader.lexer.error(Reason::Shape)),
            };
            Ok(())
        })?;
        Ok(text)
    }

    /// Calls `one` at each element of an array, or at the value that is none.
    fn each(&mut self, mut one: impl FnMut(&mut Self) -> Result<(), JsonError>) -> Result<(), JsonError> {
        if !self.lexer.take(b'[') {
            return one(self);
        }
        let mut first = true;
        while self.lexer.element(&mut first)? {
            one(self)?;
        }
        Ok(())
    }

    fn value(&mut self, tag: Tag, vr: Option<VR>, depth: usize) -> Result<Element, JsonError> {
        let vr = match known_vr(tag, vr) {
            VR::UN => match attributes::vr(tag) {
                VR::UN => self.guessed_vr()?,
                vr => vr,
            },
            vr => vr,
        };
        let value = match vr {
            VR::AE | VR::AS | VR::CS | VR::DA | VR::DS | VR::DT | VR::IS | VR::LO | VR::LT => {
                self.texts(vr)?
            }
            VR::SH | VR::ST | VR::TM | VR::UC | VR::UI | VR::UR | VR::UT => self.texts(vr)?,
            VR::PN => self.names()?,
            VR::SS => Value::Signed(self.wholes(i16::MIN.into(), i16::MAX.into())?),
            VR::SL => Value::Signed(self.wholes(i32::MIN.into(), i32::MAX.into())?),
            VR::SV => Value::Signed(self.wholes(i64::MIN.into(), i64::MAX.into())?),
            VR::US => Value::Unsigned(self.wholes(0, u16::MAX.into())?),
            VR::UL => Value::Unsigned(self.wholes(0, u32::MAX.into())?),
            VR::UV => Value::Unsigned(self.wholes(0, u64::MAX.into())?),
            VR::FL => Value::Float(self.doubles(|text| text.parse::<f32>().ok(), f32::NAN)?),
            VR::FD => Value::Double(self.doubles(|text| text.parse::<f64>().ok(), f64::NAN)?),
            VR::AT => self.tags()?,
            VR::SQ => self.items(depth)?,
            VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN => {
                let mut any = false;
                self.each(|reader| {
                    any |= !matches!(reader.lexer.scalar()?, Scalar::Null);
                    Ok(())
                })?;
                if any {
                    return Err(self.lexer.error(Reason::Form));
                }
                Value::Empty
            }
        };
        Ok(Element::new(vr, if is_empty(&value) { Value::Empty } else { value }))
    }

    /// The VR that the first value looks like, when nothing says it.
    fn guessed_vr(&mut self) -> Result<VR, JsonError> {
        let start = self.lexer.position();
        let mut vr = VR::UN;
        if self.lexer.take(b'[') && self.lexer.take(b']') {
            self.lexer.seek(start);
            return Ok(vr);
        }
        match self.lexer.kind()? {
            Kind::Text => vr = VR::LO,
            Kind::Number => vr = VR::DS,
            Kind::Word | Kind::Array => {}
            Kind::Object => {
                self.lexer.expect(b'{')?;
                let name = self.lexer.member(&mut true)?.unwrap_or_default();
                vr =
                    if matches!(&*name, "Alphabetic" | "Ideographic" | "Phonetic") { VR::PN } else { VR::SQ };
            }
        }
        self.lexer.seek(start);
        Ok(vr)
    }

    fn texts(&mut self, vr: VR) -> Result<Value, JsonError> {
        let mut values = Vec::new();
        self.each(|reader| {
            match reader.lexer.scalar()? {
                Scalar::Null => values.push(String::new()),
                Scalar::Number(number) => values.push(number.to_owned()),
                Scalar::Text(text) if is_single(vr) => values.push(trimmed(&text, vr).to_owned()),
                Scalar::Text(text) => {
                    values.extend(text.split('\\').map(|value| trimmed(value, vr).to_owned()));
                }
                Scalar::Bool => return Err(reader.lexer.error(Reason::Shape)),
            }
            Ok(())
        })?;
        Ok(Value::Text(values))
    }

    fn names(&mut self) -> Result<Value, JsonError> {
        let mut names = Vec::new();
        self.each(|reader| {
            if reader.lexer.kind()? == Kind::Object {
                names.push(reader.name_groups()?);
                return Ok(());
            }
            match reader.lexer.scalar()? {
                Scalar::Null => names.push(PersonName::default()),
                Scalar::Text(text) => names.extend(text.split('\\').map(name_of)),
                Scalar::Number(_) | Scalar::Bool => return Err(reader.lexer.error(Reason::Shape)),
            }
            Ok(())
        })?;
        Ok(Value::Names(names))
    }

    fn name_groups(&mut self) -> Result<PersonName, JsonError> {
        self.lexer.expect(b'{')?;
        let mut name = PersonName::default();
        let mut first = true;
        while let Some(member) = self.lexer.member(&mut first)? {
            let group = match &*member {
                "Alphabetic" => &mut name.alphabetic,
                "Ideographic" => &mut name.ideographic,
                "Phonetic" => &mut name.phonetic,
                _ => {
                    self.lexer.skip()?;
                    continue;
                }
            };
            match self.lexer.scalar()? {
                Scalar::Null => {}
                Scalar::Text(text) => trimmed(&text, VR::PN).clone_into(group),
                Scalar::Number(_) | Scalar::Bool => return Err(self.lexer.error(Reason::Shape)),
            }
        }
        Ok(name)
    }

    fn wholes<T: TryFrom<i128>>(&mut self, least: i128, most: i128) -> Result<Vec<T>, JsonError> {
        let mut values = Vec::new();
        let mut nulls = 0;
        self.each(|reader| {
            let value = match reader.lexer.scalar()? {
                Scalar::Null => {
                    nulls += 1;
                    return Ok(());
                }
                Scalar::Number(text) => whole(text),
                Scalar::Text(text) if text.trim().is_empty() => {
                    nulls += 1;
                    return Ok(());
                }
                Scalar::Text(text) => whole(text.trim()),
                Scalar::Bool => None,
            };
            match value.filter(|value| (least..=most).contains(value)).map(T::try_from) {
                Some(Ok(value)) => values.push(value),
                _ => return Err(reader.lexer.error(Reason::Number)),
            }
            Ok(())
        })?;
        // A number cannot be left out among others.
        if nulls > usize::from(values.is_empty()) {
            return Err(self.lexer.error(Reason::Number));
        }
        Ok(values)
    }

    fn doubles<T: Copy>(&mut self, parse: fn(&str) -> Option<T>, missing: T) -> Result<Vec<T>, JsonError> {
        let mut values = Vec::new();
        let mut nulls = 0;
        self.each(|reader| {
            let value = match reader.lexer.scalar()? {
                Scalar::Null => {
                    nulls += 1;
                    Some(missing)
                }
                Scalar::Number(text) => parse(text),
                // "NaN", "Infinity", "inf" and their like parse too.
                Scalar::Text(text) => parse(text.trim()),
                Scalar::Bool => None,
            };
            values.push(value.ok_or_else(|| reader.lexer.error(Reason::Number))?);
            Ok(())
        })?;
        if nulls == 1 && values.len() == 1 {
            values.clear();
        }
        Ok(values)
    }

    fn tags(&mut self) -> Result<Value, JsonError> {
        let mut tags = Vec::new();
        self.each(|reader| {
            let tag = match reader.lexer.scalar()? {
                Scalar::Null => return Ok(()),
                Scalar::Number(text) => text.parse().ok(),
                Scalar::Text(text) => {
                    let digits: String =
                        text.chars().filter(|c| !matches!(c, '(' | ')' | ',' | ' ')).collect();
                    let is_tag = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                    u32::from_str_radix(&digits, 16).ok().filter(|_| is_tag)
                }
                Scalar::Bool => None,
            };
            tags.push(tag.ok_or_else(|| reader.lexer.error(Reason::Number))?);
            Ok(())
        })?;
        Ok(Value::Tags(tags))
    }

    fn items(&mut self, depth: usize) -> Result<Value, JsonError> {
        let mut items = Vec::new();
        if self.lexer.kind()? == Kind::Word {
            self.lexer.skip()?;
            return Ok(Value::Empty);
        }
        self.each(|reader| {
            items.push(if reader.lexer.kind()? == Kind::Word {
                reader.lexer.skip()?;
                DataSet::new()
            } else {
                reader.data_set(depth + 1)?
            });
            Ok(())
        })?;
        Ok(Value::Items(items))
    }
}

/// The VR given, else that of the dictionary.
fn known_vr(tag: Tag, given: Option<VR>) -> VR {
    given.unwrap_or_else(|| attributes::vr(tag))
}

fn is_bytes(vr: VR) -> bool {
    matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN)
}

/// One value whatever it holds: a backslash in it is a character.
fn is_single(vr: VR) -> bool {
    matches!(vr, VR::LT | VR::ST | VR::UT | VR::UR)
}

/// Without what PS3.5 section 6.2 calls insignificant.
fn trimmed(text: &str, vr: VR) -> &str {
    let text = text.trim_end_matches([' ', '\0']);
    if is_single(vr) || vr == VR::UC { text } else { text.trim_start_matches(' ') }
}

fn name_of(text: &str) -> PersonName {
    let mut groups = text.split('=').map(|group| trimmed(group, VR::PN).to_owned());
    PersonName {
        alphabetic: groups.next().unwrap_or_default(),
        ideographic: groups.next().unwrap_or_default(),
        phonetic: groups.next().unwrap_or_default(),
    }
}

/// A whole number, however it is written: `5`, `5.0`, `5e0`.
fn whole(text: &str) -> Option<i128> {
    if let Ok(value) = text.parse::<i128>() {
        return Some(value);
    }
    let value = text.parse::<f64>().ok()?;
    (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i128)
}

fn is_empty(value: &Value) -> bool {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dicom::json::{fill, write};

    fn element(json: &str) -> Result<Element, JsonError> {
        let set = read(format!("{{\"00091001\":{json}}}").as_bytes(), Limits::default())?;
        Ok(set.get(Tag(0x0009, 0x1001)).expect("the attribute is there").clone())
    }

    fn value(json: &str) -> Value {
        element(json).expect("this reads").value
    }

    fn texts(values: &[&str]) -> Value {
        Value::Text(values.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn lenient_forms() {
        assert_eq!(value(r#"{"vr":"IS","Value":["5 ", 6, 7.0]}"#), texts(&["5", "6", "7.0"]));
        let Value::Double(values) = value(r#"{"vr":"FD","Value":[1,null,"NaN","-Infinity"]}"#) else {
            panic!("doubles")
        };
        assert!(values.len() == 4 && values[1].is_nan() && values[3] == f64::NEG_INFINITY);
        assert_eq!(value(r#"{"Value":[7],"vr":"US"}"#), Value::Unsigned(vec![7]), "the VR may come last");
    }

    #[test]
    fn empty_in_every_way() {
        for json in [
            r#"{"vr":"LO"}"#,
            r#"{"vr":"LO","Value":[]}"#,
            r#"{"vr":"LO","Value":[""]}"#,
            r#"{"vr":"LO","Value":[null]}"#,
            r#"{"vr":"LO","Value":null}"#,
            r#"{"vr":"PN","Value":[{}]}"#,
            r#"{"vr":"PN","Value":[{"Alphabetic":""}]}"#,
            r#"{"vr":"US","Value":[null]}"#,
            r#"{"vr":"FL","Value":[null]}"#,
            r#"{"vr":"SQ","Value":null}"#,
            r#"{"vr":"OB","InlineBinary":""}"#,
            r#"{"vr":"OB","InlineBinary":null}"#,
            r#"{"vr":"UN","Value":[]}"#,
            r#"{}"#,
        ] {
            assert_eq!(value(json), Value::Empty, "{json}");
        }
        assert_eq!(value(r#"{"vr":"SQ","Value":[null,{}]}"#), Value::Items(vec![DataSet::new(); 2]));
        assert_eq!(value(r#"{"vr":"LO","Value":["a",null,""]}"#), texts(&["a", "", ""]));
    }

    #[test]
    fn scalars_and_arrays_and_strings_and_numbers() {
        assert_eq!(value(r#"{"vr":"LO","Value":"a"}"#), texts(&["a"]));
        assert_eq!(value(r#"{"vr":"CS","Value":["A\\B"]}"#), texts(&["A", "B"]));
        assert_eq!(value(r#"{"vr":"LT","Value":[" A\\B "]}"#), texts(&[" A\\B"]));
        assert_eq!(value(r#"{"vr":"US","Value":"7"}"#), Value::Unsigned(vec![7]));
        assert_eq!(value(r#"{"vr":"UV","Value":["18446744073709551615"]}"#), Value::Unsigned(vec![u64::MAX]));
        assert_eq!(value(r#"{"vr":"SL","Value":[-1.0]}"#), Value::Signed(vec![-1]));
        assert_eq!(
            value(r#"{"vr":"AT","Value":["00181063","(0018,106f)"]}"#),
            Value::Tags(vec![0x0018_1063, 0x0018_106F])
        );
        assert_eq!(value(r#"{"vr":"OB","InlineBinary":["AQI"]}"#), Value::Inline(vec![1, 2]));
        assert_eq!(value(r#"{"Value":[1.5]}"#), texts(&["1.5"]), "a guess of DS");
        let name =
            PersonName { alphabetic: "A^B".into(), ideographic: "山".into(), phonetic: String::new() };
        assert_eq!(value(r#"{"vr":"PN","Value":["A^B=山"]}"#), Value::Names(vec![name.clone()]));
        assert_eq!(value(r#"{"Value":{"Alphabetic":"A^B","Ideographic":"山"}}"#), Value::Names(vec![name]));
        let uri = value(r#"{"vr":"OW","BulkDataURI":"http://x/b"}"#);
        assert_eq!(uri, Value::Bulk(Bulk { path: "http://x/b".into(), offset: 0, length: 0 }));
    }

    #[test]
    fn names_of_attributes() {
        let json = r#"[{"0010002x":1, "0020000d":{"Value":["1.2"]}, "PatientID":{"x":[{}],"vr":"LO","Value":["P"]},
            "00020010":{"vr":"UI"}, "00080000":{"vr":"UL"}}]"#;
        let set = read(json.as_bytes(), Limits::default()).expect("this reads");
        assert_eq!(set.len(), 2);
        assert_eq!(set.first_text(attributes::STUDY_INSTANCE_UID), Some("1.2"));
        assert_eq!(set.first_text(attributes::PATIENT_ID), Some("P"));
    }

    #[test]
    fn strings_with_escapes() {
        assert_eq!(
            value(r#"{"vr":"LT","Value":["\u00fc\ud83d\ude00\n\/\ud800x"]}"#),
            texts(&["ü😀\n/\u{FFFD}x"])
        );
        assert_eq!(element("{\"vr\":\"LT\",\"Value\":[\"\\q\"]}").unwrap_err().reason, Reason::Syntax);
        let broken = b"{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"\xFF\"]}}";
        let error = read(broken, Limits::default()).unwrap_err();
        assert_eq!((error.reason, error.tag), (Reason::Utf8, Some(Tag(0x0008, 0x0060))));
    }

    #[test]
    fn what_is_refused() {
        for (json, reason) in [
            (r#"{"vr":"US","Value":[70000]}"#, Reason::Number),
            (r#"{"vr":"US","Value":[1,null]}"#, Reason::Number),
            (r#"{"vr":"US","Value":["x"]}"#, Reason::Number),
            (r#"{"vr":"OW","Value":[1]}"#, Reason::Form),
            (r#"{"vr":"LO","InlineBinary":"AQI="}"#, Reason::Form),
            (r#"{"vr":"OB","InlineBinary":"*"}"#, Reason::Base64),
            (r#"{"vr":"LO","Value":[true]}"#, Reason::Shape),
            (r#"{"vr":"LO","Value":[{}]}"#, Reason::Shape),
            (r#"{"vr":"LO","Value":["a" "b"]}"#, Reason::Syntax),
            (r#"{"vr":"LO","Value":[1"#, Reason::Syntax),
            (r#"7"#, Reason::Shape),
        ] {
            assert_eq!(element(json).map_err(|error| error.reason), Err(reason), "{json}");
        }
        assert!(read(b"[]", Limits::default()).is_err());
        assert!(read(b"{} x", Limits::default()).is_err());
        assert_eq!(read_all(b"[{},{}]", Limits::default()).map(|sets| sets.len()), Ok(2));
        assert_eq!(read_all(b"[]", Limits::default()).map(|sets| sets.len()), Ok(0));
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |levels: usize| {
            "{\"00091001\":{\"vr\":\"SQ\",\"Value\":[".repeat(levels) + "{}" + &"]}}".repeat(levels)
        };
        assert!(read(deep(64).as_bytes(), Limits::default()).is_ok());
        assert_eq!(read(deep(65).as_bytes(), Limits::default()).unwrap_err().reason, Reason::Depth);
        let unknown = format!("{{\"x\":{}", "[".repeat(1_000_000));
        assert_eq!(read(unknown.as_bytes(), Limits::default()).unwrap_err().reason, Reason::Depth);
        let few = Limits { elements_max: 2, ..Limits::default() };
        assert!(read(br#"{"00080060":{},"00080061":{}}"#, few).is_ok());
        assert!(read(br#"{"00080060":{},"00080061":{},"00080062":{}}"#, few).is_err());
    }

    fn any_value() -> impl Strategy<Value = (VR, Value)> {
        let text = "[ -~ü山]{1,12}".prop_filter("trimmed", |text| {
            trimmed(text, VR::LO) == text && !text.contains('\\') && !text.is_empty()
        });
        let leaf = prop_oneof![
            Just((VR::LO, Value::Empty)),
            prop::collection::vec(text.clone(), 1..4).prop_map(|values| (VR::LO, Value::Text(values))),
            prop::collection::vec("[+-]?[0-9]{1,18}([.][0-9]{0,3})?(e-?[0-9]{1,3})?", 1..4)
                .prop_map(|values| (VR::DS, Value::Text(values))),
            (text, "[a-z^]{0,5}").prop_map(|(alphabetic, phonetic)| (
                VR::PN,
                Value::Names(vec![PersonName { alphabetic, ideographic: String::new(), phonetic }])
            )),
            prop::collection::vec(any::<i64>(), 1..4).prop_map(|values| (VR::SV, Value::Signed(values))),
            prop::collection::vec(any::<u64>(), 1..4).prop_map(|values| (VR::UV, Value::Unsigned(values))),
            prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 1..4)
                .prop_map(|values| (VR::FL, Value::Float(values))),
            prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::INFINITE, 1..4)
                .prop_map(|values| (VR::FD, Value::Double(values))),
            prop::collection::vec(any::<u32>(), 1..4).prop_map(|values| (VR::AT, Value::Tags(values))),
            prop::collection::vec(any::<u8>(), 1..9).prop_map(|values| (VR::OB, Value::Inline(values))),
        ];
        leaf.prop_recursive(3, 24, 3, |inner| {
            prop::collection::vec(any_set(inner), 1..3).prop_map(|items| (VR::SQ, Value::Items(items)))
        })
    }

    fn any_set(value: impl Strategy<Value = (VR, Value)>) -> impl Strategy<Value = DataSet> {
        prop::collection::btree_map((3_u16..9, 1_u16..9), value, 0..4).prop_map(|elements| {
            elements
                .into_iter()
                .map(|((group, element), (vr, value))| (Tag(group, element), Element::new(vr, value)))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(set in any_set(any_value())) {
            let mut json = Vec::new();
            write(&set, &mut json);
            let mut filled = Vec::new();
            fill(&json, "http://x", &mut filled);
            prop_assert_eq!(&json, &filled);
            serde_json::from_slice::<serde::de::IgnoredAny>(&json).expect("it is JSON");
            prop_assert_eq!(read(&json, Limits::default()).expect("it reads"), set);
        }

        #[test]
        fn damage_never_panics(set in any_set(any_value()), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
            let mut json = Vec::new();
            write(&set, &mut json);
            for (place, byte) in cuts {
                let place = place.index(json.len());
                json[place] = byte;
            }
            let _ = read_all(&json, Limits::default());
        }

        #[test]
        fn noise_never_panics(bytes in "[\\[\\]{}:,\"a0\\\\u-]{0,40}") {
            let _ = read_all(bytes.as_bytes(), Limits::default());
        }
    }
}
