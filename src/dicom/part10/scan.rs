//! From the walk's tokens to a [`DataSet`]: values are converted or left in
//! the file, text is decoded by the character set of its own data set (an item
//! inherits what it does not declare, PS3.5 section 7.5.3), and the place of
//! the pixels is noted. Every value that is kept counts against the budget.

use std::{fmt::Write, mem};

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::Limits;
use super::problem::{ReadError, Warning, Warnings};
use super::syntax::Encoding;
use super::value;
use super::walk::{Context, Fragment, Header, Token, Walk};
use crate::dicom::dataset::{Bulk, DataSet, Element, PersonName, Value};
use crate::dicom::source::Source;
use crate::dicom::text::{Oddity, Repertoire};
use crate::dicom::vr;

/// What one data set holds.
pub(crate) struct Scanned {
    pub dataset: DataSet,
    pub pixels: Option<Pixels>,
    pub encoding: Encoding,
}

/// The top-level pixel data as they lie in the file.
pub(crate) enum Pixels {
    Native(Header),
    /// The first fragment is the Basic Offset Table.
    Encapsulated(Vec<Fragment>),
}

/// A data set or a sequence that is not complete yet.
enum Open {
    /// As they come; put in order once, at the end.
    Set {
        elements: Vec<(Tag, Element)>,
        repertoire: Repertoire,
    },
    Sequence {
        tag: Tag,
        items: Vec<DataSet>,
    },
}

struct Scan<'l> {
    limits: &'l Limits,
    open: Vec<Open>,
    pixels: Option<Pixels>,
    kept: u64,
    has_non_ascii: bool,
}

/// Scans the data set from `offset` to the end of the source.
pub(crate) fn scan(
    source: &dyn Source,
    offset: u64,
    claimed: Encoding,
    warnings: &mut Warnings,
    limits: &Limits,
) -> Result<Scanned, ReadError> {
    let mut walk = Walk::new(source, offset, claimed, Context::default(), limits)?;
    let mut scanned = Scan::new(limits).run(&mut walk)?;
    // A few attributes whose sign Pixel Representation decides stand before it.
    if walk.guessed_sign() && scanned.dataset.first_int(tags::PIXEL_REPRESENTATION) == Some(1) {
        let context = Context { signed: Some(true), ..Context::default() };
        walk = Walk::new(source, offset, claimed, context, limits)?;
        scanned = Scan::new(limits).run(&mut walk)?;
    }
    mem::take(&mut walk.warnings).into_vec().into_iter().for_each(|warning| warnings.add(warning));
    Ok(scanned)
}

impl<'l> Scan<'l> {
    fn new(limits: &'l Limits) -> Self {
        let root = Open::Set { elements: Vec::with_capacity(64), repertoire: Repertoire::default() };
        Self { limits, open: vec![root], pixels: None, kept: 0, has_non_ascii: false }
    }

    fn run(mut self, walk: &mut Walk) -> Result<Scanned, ReadError> {
        let encoding = walk.encoding();
        loop {
            match walk.next()? {
                Token::Element(header) => self.element(walk, header)?,
                Token::Fragments(header, fragments) => self.fragments(&header, fragments),
                Token::Sequence(header) => {
                    self.open.push(Open::Sequence { tag: header.tag, items: Vec::new() });
                }
                Token::Item => {
                    let repertoire = self.repertoire();
                    self.open.push(Open::Set { elements: Vec::new(), repertoire });
                }
                Token::EndItem => self.end_item(walk),
                Token::EndSequence => self.end_sequence(),
                Token::End => return Ok(self.finish(walk, encoding)),
            }
        }
    }

    fn element(&mut self, walk: &mut Walk, header: Header) -> Result<(), ReadError> {
        let tag = header.tag;
        let at_root = self.open.len() == 1;
        if at_root && is_pixels(tag) && header.length > 0 {
            self.pixels = Some(Pixels::Native(header));
        }
        if self.is_bulk(&header, at_root) {
            let value = Value::Bulk(self.bulk(&header));
            self.put(tag, Element::new(header.vr, value));
            return Ok(());
        }
        self.charge(&header, header.length)?;
        if tag == tags::SPECIFIC_CHARACTER_SET {
            return self.character_set(walk, header);
        }
        let repertoire = self.repertoire();
        let bytes = walk.value(&header)?;
        self.charge(&header, expansion(header.vr, bytes))?;
        let converted = value::convert(header.vr, header.big_endian, bytes, &repertoire);
        self.has_non_ascii |= !converted.ascii;
        if !converted.clean {
            walk.warnings.add(Warning::Undecodable { tag });
        }
        self.put(tag, Element::new(header.vr, converted.value));
        Ok(())
    }

    /// Our text is UTF-8, whatever was declared.
    fn character_set(&mut self, walk: &mut Walk, header: Header) -> Result<(), ReadError> {
        let (declared, oddity) = Repertoire::declared(walk.value(&header)?);
        match oddity {
            Some(Oddity::Misspelt) => walk.warnings.add(Warning::MisspeltCharacterSet),
            Some(Oddity::Unknown) => walk.warnings.add(Warning::UnknownCharacterSet),
            None => {}
        }
        if let Some(Open::Set { repertoire, .. }) = self.open.last_mut() {
            *repertoire = declared;
        }
        self.put(header.tag, Element::text(VR::CS, "ISO_IR 192"));
        Ok(())
    }

    fn fragments(&mut self, header: &Header, fragments: Vec<Fragment>) {
        let value = Value::Bulk(self.bulk(header));
        if self.open.len() == 1 && header.tag == tags::PIXEL_DATA {
            self.pixels = Some(Pixels::Encapsulated(fragments));
        }
        self.put(header.tag, Element::new(header.vr, value));
    }

    fn end_item(&mut self, walk: &mut Walk) {
        let Some(Open::Set { elements, .. }) = self.open.pop() else { return };
        if let Some(Open::Sequence { items, .. }) = self.open.last_mut() {
            items.push(in_order(elements, walk));
        }
    }

    fn end_sequence(&mut self) {
        let Some(Open::Sequence { tag, items }) = self.open.pop() else { return };
        let value = if items.is_empty() { Value::Empty } else { Value::Items(items) };
        self.put(tag, Element::new(VR::SQ, value));
    }

    fn finish(self, walk: &mut Walk, encoding: Encoding) -> Scanned {
        let mut dataset = match self.open.into_iter().next() {
            Some(Open::Set { elements, .. }) => in_order(elements, walk),
            Some(Open::Sequence { .. }) | None => DataSet::new(),
        };
        if self.has_non_ascii {
            dataset.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
        }
        Scanned { dataset, pixels: self.pixels, encoding }
    }

    fn put(&mut self, tag: Tag, element: Element) {
        if let Some(Open::Set { elements, .. }) = self.open.last_mut() {
            elements.push((tag, element));
        }
    }

    fn repertoire(&self) -> Repertoire {
        let innermost = self.open.iter().rev().find_map(|open| match open {
            Open::Set { repertoire, .. } => Some(*repertoire),
            Open::Sequence { .. } => None,
        });
        innermost.unwrap_or_default()
    }

    fn is_bulk(&self, header: &Header, at_root: bool) -> bool {
        let length = header.length;
        if length == 0 {
            return false;
        }
        if (at_root && is_pixels(header.tag)) || is_always_bulk(header.tag) {
            return header.vr != VR::SQ;
        }
        if vr::is_binary(header.vr) {
            length > self.limits.inline_bytes_max
        } else {
            vr::may_be_bulk_text(header.vr) && length > self.limits.text_bytes_max
        }
    }

    fn bulk(&self, header: &Header) -> Bulk {
        let mut path = String::new();
        for open in &self.open {
            if let Open::Sequence { tag, items } = open {
                let (group, element, item) = (tag.group(), tag.element(), items.len() + 1);
                let _ = write!(path, "{group:04X}{element:04X}.{item}.");
            }
        }
        let _ = write!(path, "{:04X}{:04X}", header.tag.group(), header.tag.element());
        Bulk { path, offset: header.offset, length: header.length }
    }

    fn charge(&mut self, header: &Header, bytes: u64) -> Result<(), ReadError> {
        self.kept = self.kept.saturating_add(bytes);
        let max = self.limits.header_bytes_max;
        if self.kept > max {
            let what = "bytes of values kept";
            return Err(ReadError::Limit { what, tag: header.tag, offset: header.offset, max });
        }
        Ok(())
    }
}

/// What a value costs in memory beside its bytes: many empty texts, or many
/// small numbers, cost far more than they are long.
#[allow(clippy::wildcard_enum_match_arm, reason = "the rest are kept as strings")]
fn expansion(vr: VR, bytes: &[u8]) -> u64 {
    if let Some(number_bytes) = vr::number_bytes(vr) {
        return bytes.len() as u64 / number_bytes * 8;
    }
    let size = match vr {
        VR::PN => mem::size_of::<PersonName>(),
        VR::LT | VR::ST | VR::UT | VR::UR => 0,
        _ if vr::is_binary(vr) => 0,
        _ => mem::size_of::<String>(),
    };
    if size == 0 { 0 } else { (memchr::memchr_iter(b'\\', bytes).count() * size) as u64 }
}

/// The data set of elements as they came; of a tag that came twice the last.
fn in_order(elements: Vec<(Tag, Element)>, walk: &mut Walk) -> DataSet {
    if elements.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return elements.into_iter().collect();
    }
    let mut tags: Vec<Tag> = elements.iter().map(|(tag, _)| *tag).collect();
    tags.sort_unstable();
    let twice = tags.windows(2).filter(|pair| pair[0] == pair[1]);
    twice.for_each(|pair| walk.warnings.add(Warning::Duplicate { tag: pair[0] }));
    elements.into_iter().collect()
}

/// Pixel Data, Float Pixel Data, Double Float Pixel Data.
fn is_pixels(tag: Tag) -> bool {
    matches!(tag, tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA)
}

/// Overlays, documents, waveforms and spectra: whatever their length.
fn is_always_bulk(tag: Tag) -> bool {
    let is_overlay = matches!(tag, Tag(0x6000..=0x60FF, 0x3000)) && !vr::is_private(tag);
    is_overlay || matches!(tag, tags::ENCAPSULATED_DOCUMENT | tags::WAVEFORM_DATA | tags::SPECTROSCOPY_DATA)
}
