//! From the walk's tokens to a [`DataSet`]: values are converted or left in
//! the file, text is decoded by the character set of its own data set (an item
//! inherits what it does not declare, PS3.5 section 7.5.3), and the place of
//! the pixels is noted. Every value that is kept counts against the budget.

use std::mem;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::Limits;
use super::problem::{ReadError, Warning, Warnings};
use super::syntax::Encoding;
use super::value;
use super::walk::{Context, Fragment, Header, Token, Walk};
use crate::dicom::dataset::{Bulk, DataSet, Element, Value};
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
    Set { set: DataSet, repertoire: Repertoire },
    Sequence { tag: Tag, items: Vec<DataSet> },
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
        let root = Open::Set { set: DataSet::new(), repertoire: Repertoire::default() };
        Self { limits, open: vec![root], pixels: None, kept: 0, has_non_ascii: false }
    }

    fn run(mut self, walk: &mut Walk) -> Result<Scanned, ReadError> {
        let encoding = walk.encoding();
        loop {
            match walk.next()? {
                Token::Element(header) => self.element(walk, header)?,
                Token::Fragments(header, fragments) => self.fragments(walk, header, fragments),
                Token::Sequence(header) => {
                    self.open.push(Open::Sequence { tag: header.tag, items: Vec::new() });
                }
                Token::Item => {
                    let repertoire = self.repertoire();
                    self.open.push(Open::Set { set: DataSet::new(), repertoire });
                }
                Token::EndItem => self.end_item(),
                Token::EndSequence => self.end_sequence(walk),
                Token::End => return Ok(self.finish(encoding)),
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
            self.put(walk, tag, Element::new(header.vr, value));
            return Ok(());
        }
        self.charge(&header, header.length)?;
        if tag == tags::SPECIFIC_CHARACTER_SET {
            return self.character_set(walk, header);
        }
        let repertoire = self.repertoire();
        let bytes = walk.value(&header)?;
        if header.vr == VR::PN || header.length > 1024 {
            // Many empty values cost far more than their bytes.
            let values = memchr::memchr_iter(b'\\', bytes).count() as u64;
            self.charge(&header, values * mem::size_of::<crate::dicom::PersonName>() as u64)?;
        }
        let converted = value::convert(header.vr, header.big_endian, bytes, &repertoire);
        self.has_non_ascii |= !converted.ascii;
        if !converted.clean {
            walk.warnings.add(Warning::Undecodable { tag });
        }
        self.put(walk, tag, Element::new(header.vr, converted.value));
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
        self.put(walk, header.tag, Element::text(VR::CS, "ISO_IR 192"));
        Ok(())
    }

    fn fragments(&mut self, walk: &mut Walk, header: Header, fragments: Vec<Fragment>) {
        let value = Value::Bulk(self.bulk(&header));
        if self.open.len() == 1 && header.tag == tags::PIXEL_DATA {
            self.pixels = Some(Pixels::Encapsulated(fragments));
        }
        self.put(walk, header.tag, Element::new(header.vr, value));
    }

    fn end_item(&mut self) {
        let Some(Open::Set { set, .. }) = self.open.pop() else { return };
        if let Some(Open::Sequence { items, .. }) = self.open.last_mut() {
            items.push(set);
        }
    }

    fn end_sequence(&mut self, walk: &mut Walk) {
        let Some(Open::Sequence { tag, items }) = self.open.pop() else { return };
        let value = if items.is_empty() { Value::Empty } else { Value::Items(items) };
        self.put(walk, tag, Element::new(VR::SQ, value));
    }

    fn finish(self, encoding: Encoding) -> Scanned {
        let mut dataset = match self.open.into_iter().next() {
            Some(Open::Set { set, .. }) => set,
            Some(Open::Sequence { .. }) | None => DataSet::new(),
        };
        if self.has_non_ascii {
            dataset.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
        }
        Scanned { dataset, pixels: self.pixels, encoding }
    }

    fn put(&mut self, walk: &mut Walk, tag: Tag, element: Element) {
        let Some(Open::Set { set, .. }) = self.open.last_mut() else { return };
        if set.get(tag).is_some() {
            walk.warnings.add(Warning::Duplicate { tag });
        }
        set.put(tag, element);
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
                path.push_str(&format!("{:04X}{:04X}.{}.", tag.group(), tag.element(), items.len() + 1));
            }
        }
        path.push_str(&format!("{:04X}{:04X}", header.tag.group(), header.tag.element()));
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

/// Pixel Data, Float Pixel Data, Double Float Pixel Data.
fn is_pixels(tag: Tag) -> bool {
    matches!(tag, tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA)
}

/// Overlays, documents, waveforms and spectra: whatever their length.
fn is_always_bulk(tag: Tag) -> bool {
    let is_overlay = matches!(tag, Tag(0x6000..=0x60FF, 0x3000)) && !vr::is_private(tag);
    is_overlay || matches!(tag, tags::ENCAPSULATED_DOCUMENT | tags::WAVEFORM_DATA | tags::SPECTROSCOPY_DATA)
}
