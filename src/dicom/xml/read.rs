//! A document of the Native DICOM Model as a data set, from whoever wrote it:
//! `Tag`, `VR` and `Keyword` in capitals (as in PS3.18 itself), any namespace or
//! none, a keyword for a tag, a missing VR, numbers with gaps and elements
//! unknown are all understood. Bounded in nesting and in number of attributes.

use std::borrow::Cow;

use dicom_core::{Tag, VR};
use quick_xml::Reader as Events;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::blocks::{self, Private};
use super::error::{Reason, XmlError};
use super::values::{self, Content};
use crate::dicom::attributes;
use crate::dicom::dataset::{DataSet, Element, PersonName};
use crate::dicom::form::{self, Limits, trimmed};

/// XML attributes of one element that are looked at.
const XML_ATTRIBUTES_MAX: usize = 64;

/// One data set: a document whose root is `NativeDicomModel`.
///
/// # Errors
/// What is wrong and where.
pub fn read(bytes: &[u8], limits: Limits) -> Result<DataSet, XmlError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| XmlError {
        offset: error.valid_up_to(),
        tag: None,
        reason: Reason::Encoding,
    })?;
    let mut events = Events::from_str(text);
    events.config_mut().expand_empty_elements = true;
    let mut reader = Reader { events, limits, elements: 0 };
    let set = loop {
        match reader.next()? {
            Node::Open(root) if is(root.local_name().as_ref(), "NativeDicomModel") => {
                break reader.data_set(0)?;
            }
            Node::Open(_) | Node::Close | Node::End => return Err(reader.error(Reason::Root)),
            Node::Text(text) => reader.no_text(&text)?,
        }
    };
    loop {
        match reader.next()? {
            Node::End => return Ok(set),
            Node::Text(text) => reader.no_text(&text)?,
            Node::Open(_) | Node::Close => return Err(reader.error(Reason::Syntax)),
        }
    }
}

/// What there is in a document but for comments and instructions.
enum Node<'a> {
    Open(BytesStart<'a>),
    Close,
    Text(Cow<'a, str>),
    End,
}

/// The XML attributes of a `DicomAttribute`.
#[derive(Default)]
struct Heading {
    tag: Option<Tag>,
    vr: Option<VR>,
    keyword: Option<Tag>,
    creator: Option<String>,
}

struct Reader<'a> {
    events: Events<&'a [u8]>,
    limits: Limits,
    elements: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, reason: Reason) -> XmlError {
        let offset = usize::try_from(self.events.buffer_position()).unwrap_or(usize::MAX);
        XmlError { offset, tag: None, reason }
    }

    fn count(&mut self, elements: usize) -> Result<(), XmlError> {
        self.elements = self.elements.saturating_add(elements);
        if self.elements > self.limits.elements_max { Err(self.error(Reason::Elements)) } else { Ok(()) }
    }

    fn next(&mut self) -> Result<Node<'a>, XmlError> {
        loop {
            return Ok(match self.events.read_event().map_err(|_| self.error(Reason::Syntax))? {
                // Empty elements come as a start and an end.
                Event::Start(start) | Event::Empty(start) => Node::Open(start),
                Event::End(_) => Node::Close,
                Event::Text(text) => Node::Text(text.xml10_content()),
                Event::CData(text) => Node::Text(text.xml10_content()),
                Event::GeneralRef(reference) => Node::Text(self.referenced(&reference)?),
                Event::Decl(declaration) => {
                    let encoding = declaration.encoding().and_then(Result::ok);
                    let readable = |name: &str| is(name, "UTF-8") || is(name, "US-ASCII");
                    if encoding.is_some_and(|name| !readable(&name)) {
                        return Err(self.error(Reason::Encoding));
                    }
                    continue;
                }
                Event::Comment(_) | Event::PI(_) => continue,
                Event::DocType(_) => return Err(self.error(Reason::DocumentType)),
                Event::Eof => Node::End,
            });
        }
    }

    /// A character by its number, or one of the five that XML itself names.
    fn referenced(&self, reference: &BytesRef<'_>) -> Result<Cow<'a, str>, XmlError> {
        if let Some(character) = reference.resolve_char_ref().map_err(|_| self.error(Reason::Syntax))? {
            return Ok(Cow::Owned(character.to_string()));
        }
        Ok(Cow::Borrowed(match reference.as_ref() {
            "lt" => "<",
            "gt" => ">",
            "amp" => "&",
            "apos" => "'",
            "quot" => "\"",
            _ => return Err(self.error(Reason::DocumentType)),
        }))
    }

    fn no_text(&self, text: &str) -> Result<(), XmlError> {
        if text.trim().is_empty() { Ok(()) } else { Err(self.error(Reason::Shape)) }
    }

    fn skip(&mut self, start: &BytesStart<'a>) -> Result<(), XmlError> {
        let end = start.to_end();
        self.events.read_to_end(end.name()).map(drop).map_err(|_| self.error(Reason::Syntax))
    }

    /// Calls `one` at each element up to the end of the one that is open.
    fn children(
        &mut self,
        mut one: impl FnMut(&mut Self, &BytesStart<'a>) -> Result<(), XmlError>,
    ) -> Result<(), XmlError> {
        loop {
            match self.next()? {
                Node::Open(start) => one(self, &start)?,
                Node::Close => return Ok(()),
                Node::Text(text) => self.no_text(&text)?,
                Node::End => return Err(self.error(Reason::Syntax)),
            }
        }
    }

    /// The text up to the end of the element that is open.
    fn text(&mut self) -> Result<String, XmlError> {
        let mut whole = String::new();
        loop {
            match self.next()? {
                Node::Text(text) => whole.push_str(&text),
                Node::Close => return Ok(whole),
                Node::Open(_) => return Err(self.error(Reason::Shape)),
                Node::End => return Err(self.error(Reason::Syntax)),
            }
        }
    }

    /// Names in small letters and values of the XML attributes of an element.
    fn xml_attributes(&self, start: &BytesStart<'a>) -> Result<Vec<(String, String)>, XmlError> {
        let mut found = Vec::new();
        for attribute in start.attributes().with_checks(false).take(XML_ATTRIBUTES_MAX) {
            let attribute = attribute.map_err(|_| self.error(Reason::Syntax))?;
            let value = attribute
                .normalized_value(quick_xml::XmlVersion::Explicit1_0)
                .map_err(|_| self.error(Reason::Syntax))?;
            let name = attribute.key.local_name().as_ref().to_ascii_lowercase();
            found.push((name, value.into_owned()));
        }
        Ok(found)
    }

    fn data_set(&mut self, depth: usize) -> Result<DataSet, XmlError> {
        if depth > self.limits.depth_max {
            return Err(self.error(Reason::Depth));
        }
        let mut elements = Vec::new();
        let mut privates = Vec::new();
        self.children(|reader, start| {
            if !is(start.local_name().as_ref(), "DicomAttribute") {
                return reader.skip(start);
            }
            reader.count(1)?;
            let Heading { tag, vr, keyword, creator } = reader.heading(start)?;
            let tag = tag.or(keyword).ok_or_else(|| reader.error(Reason::Attribute))?;
            // Group lengths and the file meta group are no attributes of a data set.
            if (tag.element() == 0 && creator.is_none()) || tag.group() == 2 {
                return reader.skip(start);
            }
            let attribute = reader
                .attribute(tag, vr, depth)
                .map_err(|error| XmlError { tag: error.tag.or(Some(tag)), ..error })?;
            match creator {
                Some(creator) if attributes::is_private(tag) => {
                    let [_, element] = tag.element().to_be_bytes();
                    privates.push(Private { group: tag.group(), element, creator, attribute });
                }
                _ => elements.push((tag, attribute)),
            }
            Ok(())
        })?;
        blocks::assign(elements, privates).map_err(|reason| self.error(reason))
    }

    fn heading(&self, start: &BytesStart<'a>) -> Result<Heading, XmlError> {
        let mut heading = Heading::default();
        for (name, value) in self.xml_attributes(start)? {
            let value = value.trim();
            match name.as_str() {
                "tag" => {
                    heading.tag = form::tag(value).map(|tag| Tag((tag >> 16) as u16, (tag & 0xFFFF) as u16));
                }
                "vr" => heading.vr = value.parse().ok(),
                "keyword" => heading.keyword = attributes::by_name(value),
                "privatecreator" if !value.is_empty() => heading.creator = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(heading)
    }

    fn attribute(&mut self, tag: Tag, vr: Option<VR>, depth: usize) -> Result<Element, XmlError> {
        let content = self.content(depth)?;
        let mut vr = vr.unwrap_or_else(|| attributes::vr(tag));
        let has_values = !(content.values.is_empty() && content.names.is_empty() && content.items.is_empty());
        if vr == VR::UN && has_values {
            vr = attributes::vr(tag);
            if vr == VR::UN {
                vr = values::guessed_vr(&content);
            }
        }
        let value = values::value(vr, content).map_err(|reason| self.error(reason))?;
        Ok(Element::new(vr, value))
    }

    fn content(&mut self, depth: usize) -> Result<Content, XmlError> {
        let mut values = Slots::default();
        let mut names = Slots::default();
        let mut items = Slots::default();
        let mut content = Content::default();
        self.children(|reader, start| {
            let name = start.local_name();
            let name = name.as_ref();
            if is(name, "Value") {
                let number = reader.number(start)?;
                let text = reader.text()?;
                values.put(reader, number, text)
            } else if is(name, "PersonName") {
                let number = reader.number(start)?;
                let name = reader.person_name()?;
                names.put(reader, number, name)
            } else if is(name, "Item") {
                let number = reader.number(start)?;
                let item = reader.data_set(depth + 1)?;
                items.put(reader, number, item)
            } else if is(name, "BulkData") {
                for (name, value) in reader.xml_attributes(start)? {
                    match name.as_str() {
                        "uri" if !value.is_empty() => content.uri = Some(value),
                        "uuid" if !value.is_empty() && content.uri.is_none() => {
                            content.uri = Some(format!("urn:uuid:{value}"));
                        }
                        _ => {}
                    }
                }
                reader.skip(start)
            } else if is(name, "InlineBinary") {
                content.base64 = Some(reader.text()?);
                Ok(())
            } else {
                reader.skip(start)
            }
        })?;
        content.values = values.filled();
        content.names = names.filled();
        content.items = items.filled();
        Ok(content)
    }

    /// Which of the values it is, counted from 1.
    fn number(&self, start: &BytesStart<'a>) -> Result<Option<usize>, XmlError> {
        let attributes = self.xml_attributes(start)?;
        let Some((_, text)) = attributes.iter().find(|(name, _)| name == "number") else { return Ok(None) };
        match text.trim().parse() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(self.error(Reason::Position)),
        }
    }

    fn person_name(&mut self) -> Result<PersonName, XmlError> {
        let mut name = PersonName::default();
        self.children(|reader, start| {
            let local = start.local_name();
            let local = local.as_ref();
            let group = if is(local, "Alphabetic") || is(local, "SingleByte") {
                &mut name.alphabetic
            } else if is(local, "Ideographic") {
                &mut name.ideographic
            } else if is(local, "Phonetic") {
                &mut name.phonetic
            } else {
                return reader.skip(start);
            };
            *group = reader.component_group()?;
            Ok(())
        })?;
        Ok(name)
    }

    /// Components joined by `^`, without the empty ones at the end. A space
    /// between two components is part of the name, as it is in a file.
    fn component_group(&mut self) -> Result<String, XmlError> {
        let mut components: [String; 5] = Default::default();
        self.children(|reader, start| {
            let local = start.local_name();
            let known = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"];
            let position = known.iter().position(|known| is(local.as_ref(), known));
            let Some(component) = position.and_then(|position| components.get_mut(position)) else {
                return reader.skip(start);
            };
            let text = reader.text()?;
            // What a pretty printer puts around a text has a line end in it.
            let text = if text.contains('\n') { values::unindented(&text) } else { &text };
            text.clone_into(component);
            Ok(())
        })?;
        let joined = components.join("^");
        Ok(trimmed(joined.trim_end_matches(['^', ' ', '\0']), VR::PN).to_owned())
    }
}

/// Values by their numbers; those without one come next.
struct Slots<T>(Vec<Option<T>>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> Slots<T> {
    fn put(&mut self, reader: &mut Reader<'_>, number: Option<usize>, value: T) -> Result<(), XmlError> {
        let index = number.map_or(self.0.len(), |number| number - 1);
        if index >= self.0.len() {
            // What a gap takes counts: a number is short and may be large.
            reader.count(index - self.0.len())?;
            self.0.resize_with(index + 1, || None);
        }
        match self.0.get_mut(index) {
            Some(slot @ None) => *slot = Some(value),
            _ => return Err(reader.error(Reason::Position)),
        }
        Ok(())
    }

    fn filled(self) -> Vec<T> {
        self.0.into_iter().map(Option::unwrap_or_default).collect()
    }
}

fn is(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}
