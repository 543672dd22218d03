//! A JSON object as a data set (PS3.18 section F.2), from whoever wrote it:
//! lower-case tags, keywords for tags, a missing VR, a value that is no array,
//! numbers as strings and strings as numbers are all understood, members
//! unknown are passed over. Bounded in nesting and in number of attributes.

use base64::Engine;
use dicom_core::{Tag, VR};

use super::error::{JsonError, Reason};
use super::lexer::{Kind, Lexer, Scalar};
use crate::dicom::dataset::{Bulk, DataSet, Element, PersonName, Value};
use crate::dicom::form::{self, BASE64, Limits, is_empty, is_single, trimmed, whole};
use crate::dicom::{attributes, vr::is_binary};

/// One data set: an object, or an array of one.
///
/// # Errors
/// What is wrong and where.
pub fn read(bytes: &[u8], limits: Limits) -> Result<DataSet, JsonError> {
    let mut sets = sets(bytes, limits, Written::Exactly)?;
    match (sets.pop(), sets.is_empty()) {
        (Some(set), true) => Ok(set),
        _ => Err(JsonError { offset: 0, tag: None, reason: Reason::Shape }),
    }
}

/// Any number of data sets that are to become files: an array of objects, or one object.
/// What they give as numbers gets the form of its VR.
///
/// # Errors
/// What is wrong and where.
pub fn read_all(bytes: &[u8], limits: Limits) -> Result<Vec<DataSet>, JsonError> {
    sets(bytes, limits, Written::AsNumbers)
}

/// What numbers in the place of text (DS) stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// The text itself, as it is in a file.
    Exactly,
    AsNumbers,
}

fn sets(bytes: &[u8], limits: Limits, written: Written) -> Result<Vec<DataSet>, JsonError> {
    let mut reader = Reader { lexer: Lexer::new(bytes), limits, written, elements: 0, values: 0 };
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

/// Values in all, for each attribute that there may be.
const VALUES_PER_ELEMENT: usize = 3;

struct Reader<'a> {
    lexer: Lexer<'a>,
    limits: Limits,
    written: Written,
    elements: usize,
    values: usize,
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
        self.count_element()?;
        self.lexer.expect(b'{')?;
        // Into a list first: whoever sends the tags in descending order must not
        // have each one moved for the next.
        let mut elements = Vec::new();
        let mut first = true;
        while let Some(name) = self.lexer.member(&mut first)? {
            // Group lengths and the file meta group are no attributes of a data set.
            let tag = attributes::by_name(&name).filter(|tag| tag.element() != 0 && tag.group() != 2);
            let Some(tag) = tag else {
                self.lexer.skip()?;
                continue;
            };
            self.count_element()?;
            let element = self
                .attribute(tag, depth)
                .map_err(|error| JsonError { tag: error.tag.or(Some(tag)), ..error })?;
            elements.push((tag, element));
        }
        Ok(elements.into_iter().collect())
    }

    /// Counts an attribute or a data set.
    fn count_element(&mut self) -> Result<(), JsonError> {
        self.elements += 1;
        if self.elements > self.limits.elements_max {
            Err(self.lexer.error(Reason::Elements))
        } else {
            Ok(())
        }
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
            (Some(_), _) if !is_binary(vr) => return Err(self.lexer.error(Reason::Form)),
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
            // An empty value is two bytes here and a string in memory.
            self.values += 1;
            if self.values > self.limits.elements_max.saturating_mul(VALUES_PER_ELEMENT) {
                return Err(self.lexer.error(Reason::Elements));
            }
            one(self)?;
        }
        Ok(())
    }

    fn value(&mut self, tag: Tag, vr: Option<VR>, depth: usize) -> Result<Element, JsonError> {
        let mut vr = known_vr(tag, vr);
        if vr == VR::UN {
            vr = attributes::vr(tag);
        }
        if vr == VR::UN {
            vr = self.guessed_vr()?;
        }
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
            VR::FL => Value::Float(self.doubles(form::single, f32::NAN)?),
            VR::FD => Value::Double(self.doubles(form::double, f64::NAN)?),
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
                // Some writers have no other numbers than `5.0`; an IS has no fraction.
                Scalar::Number(number) if vr == VR::IS && number.contains(['.', 'e', 'E']) => {
                    values.push(whole(number).map_or_else(|| number.to_owned(), |number| number.to_string()));
                }
                Scalar::Number(number) if vr == VR::DS && reader.written == Written::AsNumbers => {
                    values.push(form::decimal(number));
                }
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
                Scalar::Text(text) => names.extend(text.split('\\').map(form::name)),
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
                Scalar::Text(text) => form::tag(&text),
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
