//! A data set of values as the bytes of Explicit VR Little Endian (PS3.5
//! sections 7.1 and A.2), and as a whole file (PS3.10 section 7).
//!
//! Text is written as UTF-8, and (0008,0005) says so wherever it stands, and at
//! the root if any text needs it. Bulk values are not copied but named as
//! stretches of a source, so that a file of gigabytes is a [`Plan`] of
//! kilobytes. Groups 0000 and 0002, group lengths and delimiters in the data
//! set are passed over: they are of an encoding, not of the data.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::dataset::{Bulk, DataSet, Element, PersonName, Value};
use super::plan::{Plan, Segment, Writer};
use super::{transcode, transfer_syntax, vr};

/// The most that a length of 32 bits can say, and is even.
const VALUE_BYTES_MAX: u64 = 0xFFFF_FFFE;
/// Of an offset of the Basic Offset Table.
const BASIC_OFFSET_MAX: u64 = u32::MAX as u64;
const ITEM_HEADER: u64 = 8;

/// What the file meta information says of a data set.
#[derive(Debug, Clone, Copy)]
pub struct Meta<'a> {
    pub sop_class: &'a str,
    pub sop_instance: &'a str,
    /// Explicit VR Little Endian, or one whose pixels are encapsulated in that.
    pub transfer_syntax: &'a str,
}

/// Bytes of the source that a plan will be read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub offset: u64,
    pub length: u64,
}

/// Where the bytes of a bulk value are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The value, little endian; stretches follow each other.
    Value(Vec<Stretch>),
    /// The same in big endian, and Bits Allocated of its data set.
    BigEndian(Stretch, Option<i64>),
    /// Encapsulated pixels: one code stream a frame, or one of all frames
    /// (a video).
    Frames(Vec<Stretch>),
    /// Encapsulated pixels as they are stored: all items, from that of the offset
    /// table to before the sequence delimiter.
    Fragments(Stretch),
}

/// Why a data set cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("{tag} refers to bulk data that are not there")]
    Unresolved { tag: Tag },
    #[error("{tag} is longer than the 4 GiB that its length can say")]
    TooLong { tag: Tag },
    #[error("{tag} has a value that its VR {vr} cannot hold")]
    Form { tag: Tag, vr: VR },
}

/// Appends a data set without bulk values.
///
/// # Errors
/// [`EncodeError`]; what was appended until then is of no use.
pub fn data_set(set: &DataSet, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    data_set_and_items(set, None, out).map(|_| ())
}

/// As [`data_set`]; says also where the item headers of one of its sequences
/// are, counted from the first byte of the data set, for a directory whose
/// records name each other by their offsets (PS3.3 section F.3).
///
/// # Errors
/// As [`data_set`].
pub fn data_set_and_items(
    set: &DataSet,
    sequence: Option<Tag>,
    out: &mut Vec<u8>,
) -> Result<Vec<u64>, EncodeError> {
    let mut encoder = Encoder::new(&|_, _| None, sequence);
    encoder.root(set)?;
    out.append(&mut encoder.writer.pending);
    Ok(encoder.items)
}

/// Appends preamble, prefix and file meta information.
pub fn file_meta(meta: Meta<'_>, out: &mut Vec<u8>) {
    let mut writer = Writer::default();
    writer.preamble_and_meta(meta.sop_class, meta.sop_instance, meta.transfer_syntax);
    out.append(&mut writer.pending);
}

/// A whole file. `find` says where the bytes of a bulk value are, in the source
/// that the plan will be read with.
///
/// # Errors
/// [`EncodeError`], when a bulk value is not found or a value has no such form.
pub fn file(
    set: &DataSet,
    meta: Meta<'_>,
    find: &dyn Fn(Tag, &Bulk) -> Option<Content>,
) -> Result<Plan, EncodeError> {
    let mut encoder = Encoder::new(find, None);
    encoder.writer.preamble_and_meta(meta.sop_class, meta.sop_instance, meta.transfer_syntax);
    encoder.root(set)?;
    Ok(encoder.writer.into_plan(meta.transfer_syntax.to_owned(), None))
}

struct Encoder<'a> {
    writer: Writer,
    find: &'a dyn Fn(Tag, &Bulk) -> Option<Content>,
    /// The sequence of the root whose items are noted.
    sequence: Option<Tag>,
    items: Vec<u64>,
    /// The data set had an Extended Offset Table, and keeps one.
    is_extended: bool,
}

impl<'a> Encoder<'a> {
    fn new(find: &'a dyn Fn(Tag, &Bulk) -> Option<Content>, sequence: Option<Tag>) -> Self {
        Self { writer: Writer::default(), find, sequence, items: Vec::new(), is_extended: false }
    }

    fn root(&mut self, set: &DataSet) -> Result<(), EncodeError> {
        let moves_pixels = match set.get(tags::PIXEL_DATA).map(|pixels| &pixels.value) {
            // Those stay where they were, seen from the table.
            Some(Value::Bulk(bulk)) => {
                !matches!((self.find)(tags::PIXEL_DATA, bulk), Some(Content::Fragments(_)))
            }
            Some(_) | None => false,
        };
        let is_declared = set.get(tags::SPECIFIC_CHARACTER_SET).is_some();
        let mut is_due = !is_declared && has_non_ascii(set);
        for (tag, element) in set.iter() {
            if is_due && tag > tags::SPECIFIC_CHARACTER_SET {
                self.character_set()?;
                is_due = false;
            }
            // Tables of where the frames were; they are about to be elsewhere.
            let is_table = matches!(tag, tags::EXTENDED_OFFSET_TABLE | tags::EXTENDED_OFFSET_TABLE_LENGTHS);
            if is_table && moves_pixels {
                self.is_extended = true;
                continue;
            }
            self.element(tag, element, 0)?;
        }
        if is_due { self.character_set() } else { Ok(()) }
    }

    fn character_set(&mut self) -> Result<(), EncodeError> {
        self.value(tags::SPECIFIC_CHARACTER_SET, VR::CS, b"ISO_IR 192")
    }

    fn element(&mut self, tag: Tag, element: &Element, depth: usize) -> Result<(), EncodeError> {
        if tag.element() == 0 || matches!(tag.group(), 0 | 2 | 0xFFFE | 0xFFFF) {
            return Ok(());
        }
        if tag == tags::SPECIFIC_CHARACTER_SET && element.value != Value::Empty {
            return self.character_set();
        }
        match &element.value {
            Value::Items(items) => self.sequence(tag, items, depth),
            Value::Empty if element.vr == VR::SQ => self.sequence(tag, &[], depth),
            Value::Bulk(bulk) => self.bulk(tag, element.vr, bulk),
            Value::Empty
            | Value::Text(_)
            | Value::Names(_)
            | Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_)
            | Value::Inline(_) => {
                let mut bytes = Vec::new();
                put_value(element, &mut bytes).ok_or(EncodeError::Form { tag, vr: element.vr })?;
                self.value(tag, element.vr, &bytes)
            }
        }
    }

    /// A value with its header and padding.
    fn value(&mut self, tag: Tag, vr: VR, bytes: &[u8]) -> Result<(), EncodeError> {
        self.header(tag, vr, bytes.len() as u64)?;
        self.writer.pending.extend_from_slice(bytes);
        self.writer.pad(bytes.len() as u64, vr);
        Ok(())
    }

    fn header(&mut self, tag: Tag, vr: VR, length: u64) -> Result<(), EncodeError> {
        let padded = length.next_multiple_of(2);
        // A value too long for a short header is UN (PS3.5 section 6.2.2 note 1).
        match u16::try_from(padded) {
            Ok(length) if !vr::has_long_header(vr) => self.writer.short_header(tag, vr, length),
            _ => {
                let vr = if vr::has_long_header(vr) { vr } else { VR::UN };
                let length = u32::try_from(padded).map_err(|_| EncodeError::TooLong { tag })?;
                self.writer.long_header(tag, vr, length);
            }
        }
        Ok(())
    }

    fn sequence(&mut self, tag: Tag, items: &[DataSet], depth: usize) -> Result<(), EncodeError> {
        if items.is_empty() {
            self.writer.long_header(tag, VR::SQ, 0);
            return Ok(());
        }
        self.writer.open(tag, VR::SQ);
        for item in items {
            if depth == 0 && self.sequence == Some(tag) {
                self.items.push(self.writer.length());
            }
            self.writer.item();
            for (tag, element) in item.iter() {
                self.element(tag, element, depth + 1)?;
            }
            self.writer.delimiter([0x0D, 0xE0]);
        }
        self.writer.delimiter([0xDD, 0xE0]);
        Ok(())
    }

    fn bulk(&mut self, tag: Tag, vr: VR, bulk: &Bulk) -> Result<(), EncodeError> {
        match (self.find)(tag, bulk).ok_or(EncodeError::Unresolved { tag })? {
            Content::Value(stretches) => {
                let length = stretches.iter().map(|stretch| stretch.length).sum::<u64>();
                if length > VALUE_BYTES_MAX {
                    return Err(EncodeError::TooLong { tag });
                }
                self.header(tag, vr, length)?;
                for stretch in stretches {
                    self.copy(stretch);
                }
                self.writer.pad(length, vr);
                Ok(())
            }
            Content::BigEndian(Stretch { offset, length }, bits_allocated) => {
                if length > VALUE_BYTES_MAX {
                    return Err(EncodeError::TooLong { tag });
                }
                self.header(tag, vr, length)?;
                match transcode::word_bytes(tag, vr, bits_allocated) {
                    width @ 2.. if length > 0 => {
                        self.writer.segment(Segment::Swap { offset, length, width });
                    }
                    _ => self.copy(Stretch { offset, length }),
                }
                self.writer.pad(length, vr);
                Ok(())
            }
            Content::Frames(frames) => self.frames(tag, &frames),
            Content::Fragments(stretch) => {
                self.writer.open(tag, VR::OB);
                self.copy(stretch);
                self.writer.delimiter([0xDD, 0xE0]);
                Ok(())
            }
        }
    }

    /// Encapsulated pixels with one fragment a frame (PS3.5 section A.4) and a
    /// table of their offsets: the extended one where 32 bits are too few.
    fn frames(&mut self, tag: Tag, frames: &[Stretch]) -> Result<(), EncodeError> {
        if frames.iter().any(|frame| frame.length > VALUE_BYTES_MAX) {
            return Err(EncodeError::TooLong { tag });
        }
        let offsets: Vec<u64> = frames
            .iter()
            .scan(0, |next, frame| {
                let offset = *next;
                *next += ITEM_HEADER + frame.length.next_multiple_of(2);
                Some(offset)
            })
            .collect();
        let is_basic = !self.is_extended && offsets.last().is_none_or(|last| *last <= BASIC_OFFSET_MAX);
        if !is_basic && tag == tags::PIXEL_DATA {
            let numbers = |numbers: &mut dyn Iterator<Item = u64>| -> Vec<u8> {
                numbers.flat_map(u64::to_le_bytes).collect()
            };
            let lengths = numbers(&mut frames.iter().map(|frame| frame.length));
            self.value(tags::EXTENDED_OFFSET_TABLE, VR::OV, &numbers(&mut offsets.iter().copied()))?;
            self.value(tags::EXTENDED_OFFSET_TABLE_LENGTHS, VR::OV, &lengths)?;
        }
        self.writer.open(tag, VR::OB);
        // Of one frame, or a video, nothing need be said.
        let table: Vec<u8> = if is_basic && frames.len() > 1 {
            offsets
                .iter()
                .filter_map(|offset| u32::try_from(*offset).ok())
                .flat_map(u32::to_le_bytes)
                .collect()
        } else {
            Vec::new()
        };
        self.item_of(table.len() as u64);
        self.writer.pending.extend(table);
        for frame in frames {
            self.item_of(frame.length.next_multiple_of(2));
            self.copy(*frame);
            self.writer.pad(frame.length, VR::OB);
        }
        self.writer.delimiter([0xDD, 0xE0]);
        Ok(())
    }

    /// The header of a fragment; its length was checked.
    fn item_of(&mut self, length: u64) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.writer.pending.extend([0xFE, 0xFF, 0x00, 0xE0]);
        self.writer.pending.extend(length.to_le_bytes());
    }

    fn copy(&mut self, stretch: Stretch) {
        if stretch.length > 0 {
            self.writer.segment(Segment::Copy { offset: stretch.offset, length: stretch.length });
        }
    }
}

/// Whether a transfer syntax is one that [`file()`] can write: a data set in
/// Explicit VR Little Endian, with native or encapsulated pixels.
#[must_use]
pub fn can_write(transfer_syntax: &str) -> bool {
    transfer_syntax::find(transfer_syntax).is_some_and(|syntax| {
        syntax.encoding == transfer_syntax::Encoding::ExplicitLittle
            && syntax.pixels != transfer_syntax::Pixels::Elsewhere
    })
}

/// Any text beyond ASCII, at any depth.
#[must_use]
pub fn has_non_ascii(set: &DataSet) -> bool {
    set.iter().any(|(_, element)| match &element.value {
        Value::Text(texts) => texts.iter().any(|text| !text.is_ascii()),
        Value::Names(names) => names.iter().any(|name| {
            ![&name.alphabetic, &name.ideographic, &name.phonetic].iter().all(|group| group.is_ascii())
        }),
        Value::Items(items) => items.iter().any(has_non_ascii),
        Value::Empty
        | Value::Signed(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Tags(_)
        | Value::Inline(_)
        | Value::Bulk(_) => false,
    })
}

/// The bytes of a value that is neither a sequence nor bulk, without padding;
/// none if the VR has no such values.
pub(super) fn put_value(element: &Element, out: &mut Vec<u8>) -> Option<()> {
    let vr = element.vr;
    let is_text = !vr::is_binary(vr) && vr::number_bytes(vr).is_none() && vr != VR::SQ;
    match &element.value {
        Value::Empty => {}
        Value::Text(texts) if is_text && vr != VR::PN => out.extend(texts.join("\\").as_bytes()),
        Value::Names(names) if vr == VR::PN => {
            let names: Vec<String> = names.iter().map(name).collect();
            out.extend(names.join("\\").as_bytes());
        }
        Value::Signed(numbers) if matches!(vr, VR::SS | VR::SL | VR::SV) => {
            for number in numbers {
                put_number(i128::from(*number), vr, true, out)?;
            }
        }
        Value::Unsigned(numbers) if matches!(vr, VR::US | VR::UL | VR::UV) => {
            for number in numbers {
                put_number(i128::from(*number), vr, false, out)?;
            }
        }
        Value::Float(numbers) if vr == VR::FL => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Value::Double(numbers) if vr == VR::FD => out.extend(numbers.iter().flat_map(|n| n.to_le_bytes())),
        Value::Tags(tags) if vr == VR::AT => {
            for tag in tags {
                out.extend(((tag >> 16) as u16).to_le_bytes());
                out.extend(((tag & 0xFFFF) as u16).to_le_bytes());
            }
        }
        Value::Inline(bytes) if vr::is_binary(vr) => out.extend_from_slice(bytes),
        Value::Text(_)
        | Value::Names(_)
        | Value::Signed(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Tags(_)
        | Value::Items(_)
        | Value::Inline(_)
        | Value::Bulk(_) => return None,
    }
    Some(())
}

/// A whole number in the bytes of its VR; none if they are too few.
fn put_number(number: i128, vr: VR, signed: bool, out: &mut Vec<u8>) -> Option<()> {
    let width = usize::try_from(vr::number_bytes(vr)?).ok()?;
    let bits = width * 8 - usize::from(signed);
    let least = if signed { -(1_i128 << bits) } else { 0 };
    let fits = (least..1 << bits).contains(&number);
    fits.then(|| out.extend(number.to_le_bytes().iter().take(width)))
}

/// `alphabetic=ideographic=phonetic`, without what is empty at the end.
fn name(name: &PersonName) -> String {
    let text = format!("{}={}={}", name.alphabetic, name.ideographic, name.phonetic);
    text.trim_end_matches('=').to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;
    use crate::dicom::FrameTable;
    use crate::dicom::part10::{EXPLICIT_LITTLE_ENDIAN, Form, Limits, parse, read};

    const JPEG: &str = "1.2.840.10008.1.2.4.50";

    fn identity() -> DataSet {
        let mut set = DataSet::new();
        set.put_text(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.2");
        set.put_text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3");
        set.put_text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2");
        set.put_text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.1");
        set
    }

    fn meta(transfer_syntax: &str) -> Meta<'_> {
        Meta { sop_class: "1.2.840.10008.5.1.4.1.1.2", sop_instance: "1.2.3", transfer_syntax }
    }

    fn written(plan: &Plan, source: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        plan.reader(&source).read_to_end(&mut bytes).expect("memory");
        assert_eq!(plan.length, bytes.len() as u64);
        bytes
    }

    /// Fragments that stay as they are keep the table of where they are.
    #[test]
    fn fragments_are_copied_with_their_table() {
        let items =
            [&[0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0][..], &[0xFE, 0xFF, 0x00, 0xE0, 4, 0, 0, 0, 1, 2, 3, 4]];
        let stored = items.concat();
        let length = stored.len() as u64;
        let mut set = identity();
        let table = Value::Inline(vec![0; 8]);
        set.put(tags::EXTENDED_OFFSET_TABLE, Element::new(VR::OV, table));
        let bulk = Bulk { path: "7FE00010".into(), offset: 0, length };
        set.put(tags::PIXEL_DATA, Element::new(VR::OB, Value::Bulk(bulk)));
        let find = |_, _: &Bulk| Some(Content::Fragments(Stretch { offset: 0, length }));
        let file = written(&file(&set, meta(JPEG), &find).unwrap(), &stored);
        let (parsed, _) = crate::dicom::part10::parse_and_keep(&&file[..], &Limits::default()).unwrap();
        assert!(parsed.dataset.get(tags::EXTENDED_OFFSET_TABLE).is_some());
        assert!(memchr::memmem::find(&file, &stored).is_some());
    }

    fn texts(vr: VR, list: &[&str]) -> Element {
        Element::new(vr, Value::Text(list.iter().map(|text| (*text).to_owned()).collect()))
    }

    /// One of each shape.
    fn rich() -> DataSet {
        let mut set = identity();
        let names = [("Müller^Jörg", "", ""), ("", "山田^太郎", "やまだ^たろう")]
            .map(|(a, i, p)| PersonName { alphabetic: a.into(), ideographic: i.into(), phonetic: p.into() });
        set.put(tags::SPECIFIC_CHARACTER_SET, Element::text(VR::CS, "ISO_IR 192"));
        set.put(tags::PATIENT_NAME, Element::new(VR::PN, Value::Names(names.to_vec())));
        set.put(tags::IMAGE_TYPE, texts(VR::CS, &["ORIGINAL", "", "AXIAL"]));
        set.put(tags::PATIENT_ID, Element::new(VR::LO, Value::Empty));
        set.put(Tag(0x0009, 0x0010), texts(VR::LO, &["ACME"]));
        set.put(Tag(0x0009, 0x1001), Element::new(VR::SS, Value::Signed(vec![-2, 3])));
        set.put(Tag(0x0009, 0x1002), Element::new(VR::UV, Value::Unsigned(vec![u64::MAX])));
        set.put(Tag(0x0009, 0x1003), Element::new(VR::FD, Value::Double(vec![0.1])));
        set.put(Tag(0x0009, 0x1004), Element::new(VR::FL, Value::Float(vec![0.1, -1.0])));
        set.put(Tag(0x0009, 0x1005), Element::new(VR::AT, Value::Tags(vec![0x0010_0020, 0x7FE0_0010])));
        set.put(Tag(0x0009, 0x1006), Element::new(VR::OW, Value::Inline(vec![1, 2, 3, 4])));
        set.put(Tag(0x0009, 0x1007), Element::new(VR::UN, Value::Inline(vec![9, 8])));
        set.put(Tag(0x0009, 0x1008), texts(VR::UT, &["a\\b\r\nä"]));
        let mut item = DataSet::new();
        item.put(tags::CODE_MEANING, texts(VR::LO, &["é"]));
        item.put(Tag(0x0040, 0xA730), Element::new(VR::SQ, Value::Items(vec![DataSet::new()])));
        let items = vec![item, DataSet::new()];
        set.put(Tag(0x0040, 0xA730), Element::new(VR::SQ, Value::Items(items)));
        set.put(Tag(0x0040, 0xA370), Element::new(VR::SQ, Value::Empty));
        set
    }

    #[test]
    fn what_is_written_reads_back() {
        let set = rich();
        let plan = file(&set, meta(EXPLICIT_LITTLE_ENDIAN), &|_, _| None).expect("no bulk");
        let instance = read(&written(&plan, &[]), &Limits::default()).expect("reads back");
        assert_eq!(instance.form, Form::Complete);
        assert_eq!(instance.warnings, []);
        assert!(instance.dataset == set, "{:#?}", instance.dataset);
    }

    #[test]
    fn text_says_that_it_is_utf_8() {
        let mut set = identity();
        set.put_text(tags::PATIENT_ID, VR::LO, "plain");
        let read_back = |set: &DataSet| {
            let plan = file(set, meta(EXPLICIT_LITTLE_ENDIAN), &|_, _| None).expect("no bulk");
            read(&written(&plan, &[]), &Limits::default()).expect("reads back").dataset
        };
        assert_eq!(read_back(&set).get(tags::SPECIFIC_CHARACTER_SET), None);
        set.put_text(tags::PATIENT_ID, VR::LO, "Jörg");
        assert_eq!(read_back(&set).first_text(tags::SPECIFIC_CHARACTER_SET), Some("ISO_IR 192"));
        // Whatever was declared before the text became what it is now.
        set.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
        let back = read_back(&set);
        assert_eq!(back.first_text(tags::SPECIFIC_CHARACTER_SET), Some("ISO_IR 192"));
        assert_eq!(back.first_text(tags::PATIENT_ID), Some("Jörg"));
    }

    #[test]
    fn bulk_values_are_ranges() {
        let source: Vec<u8> = (0..=255).collect();
        let mut set = identity();
        let bulk = |path: &str| Value::Bulk(Bulk { path: path.to_owned(), offset: 0, length: 0 });
        set.put(tags::PIXEL_DATA, Element::new(VR::OW, bulk("a")));
        let native = |_: Tag, bulk: &Bulk| {
            let stretches = vec![Stretch { offset: 10, length: 3 }, Stretch { offset: 200, length: 2 }];
            (bulk.path == "a").then_some(Content::Value(stretches))
        };
        let plan = file(&set, meta(EXPLICIT_LITTLE_ENDIAN), &native).expect("found");
        let bytes = written(&plan, &source);
        assert!(
            bytes.ends_with(&[0xE0, 0x7F, 0x10, 0, b'O', b'W', 0, 0, 6, 0, 0, 0, 10, 11, 12, 200, 201, 0])
        );
        set.put(tags::PIXEL_DATA, Element::new(VR::OW, bulk("b")));
        let missing = file(&set, meta(EXPLICIT_LITTLE_ENDIAN), &native);
        assert_eq!(missing.expect_err("not found"), EncodeError::Unresolved { tag: tags::PIXEL_DATA });
        let huge = |_: Tag, _: &Bulk| Some(Content::Value(vec![Stretch { offset: 0, length: 1 << 33 }]));
        let too_long = file(&set, meta(EXPLICIT_LITTLE_ENDIAN), &huge).expect_err("too long");
        assert_eq!(too_long, EncodeError::TooLong { tag: tags::PIXEL_DATA });
    }

    #[test]
    fn frames_are_found_by_their_table() {
        let source: Vec<u8> = (0..=255).collect();
        let mut set = identity();
        set.put_text(tags::NUMBER_OF_FRAMES, VR::IS, "3");
        let bulk = Bulk { path: "a".to_owned(), offset: 0, length: 0 };
        set.put(tags::PIXEL_DATA, Element::new(VR::OB, Value::Bulk(bulk)));
        let frames = vec![
            Stretch { offset: 0, length: 5 },
            Stretch { offset: 5, length: 10 },
            Stretch { offset: 20, length: 1 },
        ];
        let plan = file(&set, meta(JPEG), &|_, _| Some(Content::Frames(frames.clone()))).expect("found");
        let bytes = written(&plan, &source);
        let instance = read(&bytes, &Limits::default()).expect("reads back");
        assert_eq!((instance.transfer_syntax.as_str(), instance.warnings.as_slice()), (JPEG, &[][..]));
        let FrameTable::Encapsulated(spans) = instance.frames else { panic!("encapsulated") };
        for (span, frame) in spans.iter().zip(&frames) {
            let at = usize::try_from(span.offset).expect("small");
            assert_eq!(bytes[at], source[usize::try_from(frame.offset).expect("small")]);
            assert_eq!(span.length, frame.length.next_multiple_of(2));
        }
        assert_eq!(spans.len(), 3);
    }

    #[test]
    fn frames_beyond_four_gigabytes_have_the_extended_table() {
        let mut set = identity();
        let bulk = Bulk { path: "a".to_owned(), offset: 0, length: 0 };
        set.put(tags::PIXEL_DATA, Element::new(VR::OB, Value::Bulk(bulk)));
        let frames = vec![Stretch { offset: 0, length: 1_999_999_999 }; 4];
        let plan = file(&set, meta(JPEG), &|_, _| Some(Content::Frames(frames.clone()))).expect("found");
        let Some(Segment::Bytes(head)) = plan.segments.first() else { panic!("headers first") };
        let at = memchr::memmem::find(head, &[0xE0, 0x7F, 0x01, 0x00, b'O', b'V']).expect("offsets");
        assert_eq!(head[at + 12 + 24..at + 12 + 32], (3 * 2_000_000_008_u64).to_le_bytes());
        let at = memchr::memmem::find(head, &[0xE0, 0x7F, 0x02, 0x00, b'O', b'V']).expect("lengths");
        assert_eq!(head[at + 12..at + 20], 1_999_999_999_u64.to_le_bytes());
        assert!(plan.length > 8_000_000_000);
        // Who had one keeps one; it says what is so now.
        let stale = Element::new(VR::OV, Value::Inline(vec![9; 8]));
        set.put(tags::EXTENDED_OFFSET_TABLE, stale.clone());
        set.put(tags::EXTENDED_OFFSET_TABLE_LENGTHS, stale);
        let frame = Content::Frames(vec![Stretch { offset: 0, length: 3 }]);
        let plan = file(&set, meta(JPEG), &|_, _| Some(frame.clone())).expect("found");
        let back = read(&written(&plan, &[0xFF, 0xD8, 0xFF]), &Limits::default()).expect("reads back");
        let FrameTable::Encapsulated(spans) = back.frames else { panic!("encapsulated") };
        assert_eq!((spans.len(), spans[0].length, back.warnings.len()), (1, 3, 0));
    }

    #[test]
    fn the_items_of_a_sequence_are_where_it_says() {
        let set = rich();
        let mut bytes = vec![7; 3];
        let items = data_set_and_items(&set, Some(Tag(0x0040, 0xA730)), &mut bytes).expect("no bulk");
        assert_eq!(items.len(), 2);
        for item in items {
            let at = 3 + usize::try_from(item).expect("small");
            assert_eq!(bytes[at..at + 4], [0xFE, 0xFF, 0x00, 0xE0]);
        }
    }

    #[test]
    fn what_a_vr_cannot_hold_is_refused_and_what_is_long_is_un() {
        let mut out = Vec::new();
        let mut set = DataSet::new();
        set.put(tags::ROWS, Element::new(VR::US, Value::Unsigned(vec![70_000])));
        assert_eq!(data_set(&set, &mut out), Err(EncodeError::Form { tag: tags::ROWS, vr: VR::US }));
        set.put(tags::ROWS, Element::new(VR::US, Value::Inline(vec![1, 2])));
        assert_eq!(data_set(&set, &mut out), Err(EncodeError::Form { tag: tags::ROWS, vr: VR::US }));
        let mut set = identity();
        let long = Element::new(VR::FL, Value::Float(vec![1.5; 20_000]));
        set.put(Tag(0x0070, 0x0022), long);
        let plan = file(&set, meta(EXPLICIT_LITTLE_ENDIAN), &|_, _| None).expect("no bulk");
        let bytes = written(&plan, &[]);
        assert!(memchr::memmem::find(&bytes, &[0x70, 0, 0x22, 0, b'U', b'N']).is_some());
        // The dictionary knows the VR of what is UN.
        parse(&bytes, &Limits::default()).expect("reads back");
    }

    fn any_element() -> impl Strategy<Value = Element> {
        let text = "[ -~äあ]{1,12}".prop_map(|text| {
            let value = text.replace(['\\', '='], "").trim().to_owned();
            if value.is_empty() { Value::Empty } else { Value::Text(vec![value]) }
        });
        prop_oneof![
            text.prop_map(|value| Element::new(VR::LO, value)),
            prop::collection::vec(any::<i16>(), 1..4).prop_map(|numbers| {
                Element::new(VR::SS, Value::Signed(numbers.into_iter().map(i64::from).collect()))
            }),
            prop::collection::vec(any::<u32>(), 1..4).prop_map(|numbers| {
                Element::new(VR::UL, Value::Unsigned(numbers.into_iter().map(u64::from).collect()))
            }),
            prop::collection::vec(any::<u8>(), 1..9).prop_map(|bytes| {
                let even = bytes.len().next_multiple_of(2);
                let mut bytes = bytes;
                bytes.resize(even, 0);
                Element::new(VR::OB, Value::Inline(bytes))
            }),
        ]
    }

    fn any_set() -> impl Strategy<Value = DataSet> {
        let leaf = prop::collection::vec((0x10_u16..0x20, any_element()), 0..6).prop_map(|list| {
            list.into_iter()
                .map(|(element, value)| (Tag(0x0008, 0x9000 + element), value))
                .collect::<DataSet>()
        });
        leaf.prop_recursive(4, 40, 4, |inner| {
            (prop::collection::vec(inner, 1..4), any_element()).prop_map(|(items, element)| {
                let mut set = DataSet::new();
                set.put(Tag(0x0008, 0x9050), element);
                set.put(Tag(0x0040, 0xA730), Element::new(VR::SQ, Value::Items(items)));
                set
            })
        })
    }

    proptest! {
        #[test]
        fn any_data_set_reads_back(set in any_set()) {
            let mut whole = identity();
            whole.put_text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
            for (tag, element) in set {
                whole.put(tag, element);
            }
            let plan = file(&whole, meta(EXPLICIT_LITTLE_ENDIAN), &|_, _| None).expect("no bulk");
            let back = read(&written(&plan, &[]), &Limits::default()).expect("reads back");
            prop_assert_eq!(&back.warnings, &[]);
            prop_assert!(back.dataset == whole);
        }
    }
}
