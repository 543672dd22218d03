//! A stored file as a complete DICOM file (PS3.10) in a syntax that every
//! client reads: Explicit VR Little Endian for all that is not compressed.
//!
//! It makes a [`Plan`]: new headers as bytes, large values as ranges of the
//! stored file, so that 5 GB are transcoded in kilobytes and the length is
//! known beforehand. Text keeps its bytes and its character set. Compressed
//! pixels are never touched. The plan's data set reads back as the stored one.

use std::io::{self, Read};

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::part10::walk::{Context, Header, Token, Walk};
use super::part10::{
    self, EXPLICIT_LITTLE_ENDIAN, Form, Inflated, Limits, Parsed, ReadError, Syntax, Warning,
};
use super::source::Source;
use super::vr;

/// Who wrote the file meta information (0002,0012) and (0002,0013).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.109175899083519642146088038627999148073";
pub const IMPLEMENTATION_VERSION_NAME: &str = "HILUM";

/// Values up to this many bytes are copied into the plan. Not more than what
/// reading keeps, so that the same limit bounds both.
const COPIED_BYTES_MAX: u64 = 512;

/// A piece of the file to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Bytes(Vec<u8>),
    /// As they are stored.
    Copy {
        offset: u64,
        length: u64,
    },
    /// As they are stored, with the bytes of each word of `width` reversed.
    Swap {
        offset: u64,
        length: u64,
        width: u8,
    },
}

/// A complete file, piece by piece.
#[derive(Debug)]
pub struct Plan {
    pub segments: Vec<Segment>,
    /// Bytes in all.
    pub length: u64,
    pub transfer_syntax: String,
    /// What the offsets count in; in the stored file if there is none.
    pub inflated: Option<Inflated>,
}

/// The file in Explicit VR Little Endian.
///
/// # Errors
/// [`ReadError::Compressed`] if its pixels are; whatever reading it meets.
pub fn explicit_little_endian(source: &dyn Source, limits: &Limits) -> Result<Plan, ReadError> {
    let (parsed, inflated) = part10::parse_and_keep(source, limits)?;
    if parsed.transfer_syntax == EXPLICIT_LITTLE_ENDIAN && is_as_declared(&parsed) {
        return as_stored(source, parsed);
    }
    rewrite(source, parsed, inflated, Some(EXPLICIT_LITTLE_ENDIAN), limits)
}

/// The file in its own transfer syntax, with the preamble and file meta
/// information it may lack. A data set that is not encoded as its transfer
/// syntax says is put right.
///
/// # Errors
/// Whatever reading it meets.
pub fn complete(source: &dyn Source, limits: &Limits) -> Result<Plan, ReadError> {
    let (parsed, inflated) = part10::parse_and_keep(source, limits)?;
    if is_as_declared(&parsed) {
        return as_stored(source, parsed);
    }
    rewrite(source, parsed, inflated, None, limits)
}

/// Bytes of the words that big endian reverses in a value. Pixels of more than
/// 16 bits are stored as OW and still are one word each.
#[must_use]
pub fn word_bytes(tag: Tag, vr: VR, bits_allocated: Option<i64>) -> u8 {
    match (tag, vr, bits_allocated) {
        (tags::PIXEL_DATA, VR::OW, Some(32)) => 4,
        (tags::PIXEL_DATA, VR::OW, Some(64)) => 8,
        _ => vr::word_bytes(vr),
    }
}

fn is_as_declared(parsed: &Parsed) -> bool {
    !parsed.warnings.iter().any(|warning| matches!(warning, Warning::Encoding { .. }))
}

/// The stored bytes, with what is missing before the data set.
fn as_stored(source: &dyn Source, mut parsed: Parsed) -> Result<Plan, ReadError> {
    let mut writer = Writer::default();
    let start = match parsed.form {
        Form::Complete => 0,
        Form::NoPreamble | Form::NoMeta => {
            let (sop_class, sop_instance) = part10::sop_uids(&mut parsed)?;
            writer.preamble_and_meta(&sop_class, &sop_instance, &parsed.transfer_syntax);
            parsed.dataset_offset
        }
    };
    writer.segment(Segment::Copy { offset: start, length: source.len().saturating_sub(start) });
    Ok(writer.into_plan(parsed.transfer_syntax, None))
}

/// The data set element by element in explicit little endian. Without a target
/// its pixels decide between that and the declared, encapsulated syntax.
fn rewrite(
    source: &dyn Source,
    mut parsed: Parsed,
    inflated: Option<Inflated>,
    target: Option<&'static str>,
    limits: &Limits,
) -> Result<Plan, ReadError> {
    let (sop_class, sop_instance) = part10::sop_uids(&mut parsed)?;
    let declared = Syntax::of(&parsed.transfer_syntax);
    let is_native = declared.deflated || declared.pixels == part10::PixelForm::Native;
    let target = match target {
        Some(target) => target,
        None if is_native => EXPLICIT_LITTLE_ENDIAN,
        None => &parsed.transfer_syntax,
    };
    let mut writer = Writer::default();
    writer.preamble_and_meta(&sop_class, &sop_instance, target);
    let (body, offset): (&dyn Source, u64) = match &inflated {
        Some(inflated) => (inflated, 0),
        None => (source, parsed.dataset_offset),
    };
    let signed = parsed.dataset.first_int(tags::PIXEL_REPRESENTATION).map(|sign| sign == 1);
    let context = Context { signed, ..Context::default() };
    let mut walk = Walk::new(body, offset, declared.encoding, context, limits)?;
    let bits_allocated = parsed.dataset.first_int(tags::BITS_ALLOCATED);
    let copied_max = COPIED_BYTES_MAX.min(limits.inline_bytes_max);
    loop {
        match walk.next()? {
            Token::Element(header) => {
                let width =
                    if header.big_endian { word_bytes(header.tag, header.vr, bits_allocated) } else { 1 };
                writer.element(&mut walk, &header, width, copied_max)?;
            }
            Token::Fragments(header, _) => {
                let at_root = walk.is_at_root();
                if at_root && header.tag == tags::PIXEL_DATA && target == EXPLICIT_LITTLE_ENDIAN {
                    return Err(ReadError::Compressed);
                }
                writer.fragments(&header);
            }
            Token::Sequence(header) => writer.open(header.tag, VR::SQ),
            Token::Item => writer.item(),
            Token::EndItem => writer.delimiter([0x0D, 0xE0]),
            Token::EndSequence => writer.delimiter([0xDD, 0xE0]),
            Token::End => break,
        }
    }
    let transfer_syntax = target.to_owned();
    Ok(writer.into_plan(transfer_syntax, inflated))
}

#[derive(Default)]
struct Writer {
    pending: Vec<u8>,
    segments: Vec<Segment>,
    length: u64,
}

impl Writer {
    fn preamble_and_meta(&mut self, sop_class: &str, sop_instance: &str, transfer_syntax: &str) {
        let mut meta = Writer::default();
        meta.long_header(tags::FILE_META_INFORMATION_VERSION, VR::OB, 2);
        meta.pending.extend([0, 1]);
        meta.text(tags::MEDIA_STORAGE_SOP_CLASS_UID, VR::UI, sop_class);
        meta.text(tags::MEDIA_STORAGE_SOP_INSTANCE_UID, VR::UI, sop_instance);
        meta.text(tags::TRANSFER_SYNTAX_UID, VR::UI, transfer_syntax);
        meta.text(tags::IMPLEMENTATION_CLASS_UID, VR::UI, IMPLEMENTATION_CLASS_UID);
        meta.text(tags::IMPLEMENTATION_VERSION_NAME, VR::SH, IMPLEMENTATION_VERSION_NAME);
        self.pending.extend([0; 128]);
        self.pending.extend(b"DICM");
        self.short_header(tags::FILE_META_INFORMATION_GROUP_LENGTH, VR::UL, 4);
        let length = u32::try_from(meta.pending.len()).expect("a few UIDs of 64 characters");
        self.pending.extend(length.to_le_bytes());
        self.pending.append(&mut meta.pending);
    }

    /// A short text of ours, padded.
    fn text(&mut self, tag: Tag, vr: VR, text: &str) {
        let length = u16::try_from(text.len()).expect("a UID or a name of ours");
        self.short_header(tag, vr, length + length % 2);
        self.pending.extend(text.as_bytes());
        self.pad(u64::from(length), vr);
    }

    fn element(
        &mut self,
        walk: &mut Walk,
        header: &Header,
        width: u8,
        copied_max: u64,
    ) -> Result<(), ReadError> {
        let padded = header.length + header.length % 2;
        // A value too long for a short header is UN (PS3.5 section 6.2.2 note 1).
        let short = u16::try_from(padded).ok().filter(|_| !vr::has_long_header(header.vr));
        match short {
            Some(length) => self.short_header(header.tag, header.vr, length),
            None => {
                let vr = if vr::has_long_header(header.vr) { header.vr } else { VR::UN };
                let length = u32::try_from(padded).unwrap_or(u32::MAX - 1);
                self.long_header(header.tag, vr, length);
            }
        }
        let (offset, length) = (header.offset, header.length);
        if length <= copied_max {
            let at = self.pending.len();
            self.pending.extend_from_slice(walk.value(header)?);
            if width > 1 {
                self.pending[at..].chunks_exact_mut(usize::from(width)).for_each(<[u8]>::reverse);
            }
        } else if width > 1 {
            self.segment(Segment::Swap { offset, length, width });
        } else {
            self.segment(Segment::Copy { offset, length });
        }
        self.pad(length, header.vr);
        Ok(())
    }

    fn fragments(&mut self, header: &Header) {
        self.open(header.tag, VR::OB);
        self.segment(Segment::Copy { offset: header.offset, length: header.length });
        self.delimiter([0xDD, 0xE0]);
    }

    /// Undefined length, so that nothing need be known of what follows.
    fn open(&mut self, tag: Tag, vr: VR) {
        self.long_header(tag, vr, u32::MAX);
    }

    fn item(&mut self) {
        self.pending.extend([0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }

    fn delimiter(&mut self, element: [u8; 2]) {
        self.pending.extend([0xFE, 0xFF, element[0], element[1], 0, 0, 0, 0]);
    }

    fn tag_and_vr(&mut self, tag: Tag, vr: VR) {
        self.pending.extend(tag.group().to_le_bytes());
        self.pending.extend(tag.element().to_le_bytes());
        self.pending.extend(vr.to_bytes());
    }

    fn short_header(&mut self, tag: Tag, vr: VR, length: u16) {
        self.tag_and_vr(tag, vr);
        self.pending.extend(length.to_le_bytes());
    }

    fn long_header(&mut self, tag: Tag, vr: VR, length: u32) {
        self.tag_and_vr(tag, vr);
        self.pending.extend([0, 0]);
        self.pending.extend(length.to_le_bytes());
    }

    fn pad(&mut self, length: u64, vr: VR) {
        if length % 2 == 1 {
            self.pending.push(vr::padding(vr));
        }
    }

    fn segment(&mut self, segment: Segment) {
        self.flush();
        self.length += segment.length();
        self.segments.push(segment);
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.length += self.pending.len() as u64;
            self.segments.push(Segment::Bytes(std::mem::take(&mut self.pending)));
        }
    }

    fn into_plan(mut self, transfer_syntax: String, inflated: Option<Inflated>) -> Plan {
        self.flush();
        Plan { segments: self.segments, length: self.length, transfer_syntax, inflated }
    }
}

impl Segment {
    #[must_use]
    fn length(&self) -> u64 {
        match self {
            Segment::Bytes(bytes) => bytes.len() as u64,
            Segment::Copy { length, .. } | Segment::Swap { length, .. } => *length,
        }
    }

    /// Fills `buffer` from `at` on, all of it inside the segment.
    #[allow(clippy::cast_possible_truncation, reason = "the buffer and a word at either end")]
    fn fill(&self, source: &dyn Source, buffer: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Segment::Bytes(bytes) => bytes.read_exact_at(buffer, at),
            Segment::Copy { offset, .. } => source.read_exact_at(buffer, offset + at),
            Segment::Swap { offset, length, width } => {
                let width = u64::from(*width).max(1);
                let start = at - at % width;
                let end = (at + buffer.len() as u64).next_multiple_of(width).min(*length);
                let mut words = vec![0; (end - start) as usize];
                source.read_exact_at(&mut words, offset + start)?;
                words.chunks_exact_mut(width as usize).for_each(<[u8]>::reverse);
                let skipped = (at - start) as usize;
                buffer.copy_from_slice(&words[skipped..skipped + buffer.len()]);
                Ok(())
            }
        }
    }
}

impl Plan {
    /// Reads the file to be, from the stored one the plan was made from.
    #[must_use]
    pub fn reader<'a>(&'a self, source: &'a dyn Source) -> PlanReader<'a> {
        let source = match &self.inflated {
            Some(inflated) => inflated,
            None => source,
        };
        PlanReader { segments: &self.segments, source, at: 0 }
    }
}

/// The file to be, as a stream of bytes.
pub struct PlanReader<'a> {
    /// Those not yet read to their end.
    segments: &'a [Segment],
    source: &'a dyn Source,
    /// Bytes read of the first segment.
    at: u64,
}

impl PlanReader<'_> {
    /// Goes on `count` bytes later without reading those between.
    pub fn skip(&mut self, mut count: u64) {
        while let Some((first, rest)) = self.segments.split_first() {
            let left = first.length() - self.at;
            if count < left {
                self.at += count;
                return;
            }
            count -= left;
            self.segments = rest;
            self.at = 0;
        }
    }
}

impl Read for PlanReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Words are swapped in a buffer of their own: bounded.
        let buffer_max = buffer.len().min(1 << 20);
        while let Some((first, rest)) = self.segments.split_first() {
            let left = first.length() - self.at;
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer_max);
            if left == 0 {
                self.segments = rest;
                self.at = 0;
                continue;
            }
            first.fill(self.source, &mut buffer[..count], self.at)?;
            self.at += count as u64;
            return Ok(count);
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dicom::dataset::{DataSet, Element, Value};
    use crate::dicom::part10::samples::{Sample, encapsulated, rich, rich_files};
    use crate::dicom::part10::{EXPLICIT_BIG_ENDIAN, IMPLICIT_LITTLE_ENDIAN, read};

    const JPEG: &str = "1.2.840.10008.1.2.4.50";

    fn written(plan: &Plan, source: &dyn Source) -> Vec<u8> {
        let mut bytes = Vec::new();
        plan.reader(source).read_to_end(&mut bytes).expect("memory");
        assert_eq!(plan.length, bytes.len() as u64);
        bytes
    }

    /// Values left in the file, brought into the data set, little endian.
    fn inlined(set: DataSet, file: &dyn Source, big_endian: bool) -> DataSet {
        let inline = |element: Element| match element.value {
            Value::Bulk(bulk) => {
                let mut bytes = vec![0; bulk.length as usize];
                file.read_exact_at(&mut bytes, bulk.offset).expect("inside");
                if big_endian {
                    let width = usize::from(vr::word_bytes(element.vr));
                    bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
                }
                Element::new(element.vr, Value::Inline(bytes))
            }
            Value::Items(items) => {
                let items = items.into_iter().map(|item| inlined(item, file, big_endian)).collect();
                Element::new(element.vr, Value::Items(items))
            }
            value @ (Value::Empty
            | Value::Text(_)
            | Value::Names(_)
            | Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_)
            | Value::Inline(_)) => Element::new(element.vr, value),
        };
        set.into_iter().map(|(tag, element)| (tag, inline(element))).collect()
    }

    fn content(file: &dyn Source) -> DataSet {
        let limits = Limits::default();
        let (parsed, inflated) = part10::parse_and_keep(file, &limits).expect("parses");
        let source: &dyn Source = match &inflated {
            Some(inflated) => inflated,
            None => file,
        };
        inlined(parsed.dataset, source, parsed.encoding.big_endian)
    }

    #[test]
    fn every_uncompressed_file_becomes_the_same_explicit_one() {
        let expected = content(&rich_files()[1].1);
        for (syntax, file) in rich_files() {
            let plan = explicit_little_endian(&file, &Limits::default()).expect("plans");
            let target = written(&plan, &file);
            let instance = read(&target, &Limits::default()).expect("reads back");
            assert_eq!(instance.form, Form::Complete);
            assert_eq!(instance.transfer_syntax, EXPLICIT_LITTLE_ENDIAN);
            assert_eq!(instance.warnings, []);
            assert!(content(&target) == expected, "{syntax}");
            assert!(content(&file) == expected, "{syntax}");
        }
    }

    #[test]
    fn what_is_right_is_not_touched() {
        let (_, file) = &rich_files()[1];
        let whole = [Segment::Copy { offset: 0, length: file.len() as u64 }];
        assert_eq!(explicit_little_endian(file, &Limits::default()).expect("plans").segments, whole);
        let jpeg = encapsulated(&[], &[&[1, 2]], None).file(JPEG);
        assert_eq!(complete(&jpeg, &Limits::default()).expect("plans").segments.len(), 1);
        assert!(matches!(explicit_little_endian(&jpeg, &Limits::default()), Err(ReadError::Compressed)));
    }

    #[test]
    fn what_is_missing_is_added() {
        for encoding in [part10::Encoding::IMPLICIT, part10::Encoding::EXPLICIT, part10::Encoding::BIG_ENDIAN]
        {
            let bare = rich(encoding).bytes;
            let plan = complete(&bare, &Limits::default()).expect("plans");
            let file = written(&plan, &bare);
            let instance = read(&file, &Limits::default()).expect("reads back");
            assert_eq!((instance.form, instance.warnings.as_slice()), (Form::Complete, &[][..]));
            assert_eq!(file[instance.dataset_offset as usize..], bare);
        }
        let jpeg = encapsulated(&[], &[&[0xFF, 0xD8, 0xFF, 0xC0, 0, 2]], None).bytes;
        assert_eq!(complete(&jpeg, &Limits::default()).expect("plans").transfer_syntax, JPEG);
    }

    #[test]
    fn what_contradicts_its_syntax_is_put_right() {
        for (declared, actual, expected) in [
            (EXPLICIT_LITTLE_ENDIAN, part10::Encoding::IMPLICIT, EXPLICIT_LITTLE_ENDIAN),
            (IMPLICIT_LITTLE_ENDIAN, part10::Encoding::EXPLICIT, EXPLICIT_LITTLE_ENDIAN),
            (EXPLICIT_BIG_ENDIAN, part10::Encoding::EXPLICIT, EXPLICIT_LITTLE_ENDIAN),
        ] {
            let file = rich(actual).file(declared);
            let plan = complete(&file, &Limits::default()).expect("plans");
            assert_eq!(plan.transfer_syntax, expected);
            let instance = read(&written(&plan, &file), &Limits::default()).expect("reads back");
            assert_eq!(instance.warnings, []);
        }
    }

    #[test]
    fn long_values_are_ranges_and_words_are_swapped() {
        let mut sample = Sample::new(part10::Encoding::BIG_ENDIAN);
        sample.identity(|_| ()).image(20, 30, None, 32);
        sample.header(tags::PIXEL_DATA, VR::OW, 2400);
        for pixel in 0..600u32 {
            sample.u32(pixel);
        }
        let file = sample.file(EXPLICIT_BIG_ENDIAN);
        let plan = explicit_little_endian(&file, &Limits::default()).expect("plans");
        let Some(Segment::Swap { offset, length: 2400, width: 4 }) = plan.segments.last() else {
            panic!("{:?}", plan.segments.last())
        };
        assert_eq!(offset + 2400, file.len() as u64);
        let target = written(&plan, &file);
        let pixels: Vec<u8> = (0..600u32).flat_map(u32::to_le_bytes).collect();
        assert!(target.ends_with(&pixels));
        for start in [0, 131, target.len() - 2397, target.len() - 1, target.len(), target.len() + 9] {
            let mut reader = plan.reader(&file);
            reader.skip(start as u64);
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).expect("memory");
            assert_eq!(rest, target.get(start..).unwrap_or_default());
        }
    }

    #[test]
    fn odd_and_overlong_values() {
        let mut sample = Sample::new(part10::Encoding::IMPLICIT);
        sample.identity(|_| ());
        sample.raw(tags::IMAGE_COMMENTS, VR::LT, b"odd").raw(tags::TEXT_VALUE, VR::UT, b"abc");
        sample.raw(Tag(0x0070, 0x0022), VR::FL, &vec![0; 70_000]);
        let file = sample.file(IMPLICIT_LITTLE_ENDIAN);
        let plan = explicit_little_endian(&file, &Limits::default()).expect("plans");
        let target = written(&plan, &file);
        assert!(content(&target) == content(&file));
        assert_eq!(target.len() % 2, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]

        /// What can be read can be written, and reads back alike.
        #[test]
        fn mutations_transcode_or_fail(
            which in 0..3usize,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let (_, mut file) = rich_files().swap_remove(which);
            // Behind the first tag, by which the byte order is known.
            let from = part10::parse(&file, &Limits::default()).expect("ours").dataset_offset as usize + 8;
            for (index, byte) in changes {
                let at = from + index.index(file.len() - from);
                file[at] = byte;
            }
            let Ok(plan) = explicit_little_endian(&file, &Limits::default()) else { return Ok(()) };
            let target = written(&plan, &file);
            let again = part10::parse(&target, &Limits::default()).expect("what we write reads");
            let first = part10::parse(&file, &Limits::default()).expect("it was read");
            prop_assert_eq!(again.dataset.len(), first.dataset.len());
        }
    }
}
