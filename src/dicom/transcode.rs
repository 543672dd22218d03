//! A stored file as a complete DICOM file (PS3.10) in a syntax that every
//! client reads: Explicit VR Little Endian for all that is not compressed.
//!
//! It makes a [`Plan`]: new headers as bytes, large values as ranges of the
//! stored file, so that 5 GB are transcoded in kilobytes and the length is
//! known beforehand. Text keeps its bytes and its character set. Compressed
//! pixels are never touched. The plan's data set reads back as the stored one.

use std::collections::BTreeMap;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::dataset::{DataSet, Element};
use super::edit::Edit;
use super::part10::walk::{Context, Header, Token, Walk};
use super::part10::{
    self, EXPLICIT_LITTLE_ENDIAN, Form, Inflated, Limits, Parsed, ReadError, Syntax, Warning,
};
use super::plan::Writer;
pub use super::plan::{Plan, PlanReader, Segment};
use super::source::Source;
use super::vr;

/// Values up to this many bytes are copied into the plan. Not more than what
/// reading keeps, so that the same limit bounds both.
const COPIED_BYTES_MAX: u64 = 512;

/// The file in Explicit VR Little Endian.
///
/// # Errors
/// [`ReadError::Compressed`] if its pixels are; whatever reading it meets.
pub fn explicit_little_endian(source: &dyn Source, limits: &Limits) -> Result<Plan, ReadError> {
    let (parsed, inflated) = part10::parse_and_keep(source, limits)?;
    if parsed.transfer_syntax == EXPLICIT_LITTLE_ENDIAN && is_as_declared(&parsed) {
        return as_stored(source, parsed);
    }
    rewrite(source, parsed, inflated, Some(EXPLICIT_LITTLE_ENDIAN), None, None, limits)
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
    rewrite(source, parsed, inflated, None, None, None, limits)
}

/// Frames in another form, and what the data set says of them then.
#[derive(Debug, Clone, Copy)]
pub struct Replaced<'a> {
    /// Explicit VR Little Endian, or one whose pixels are encapsulated in that.
    pub transfer_syntax: &'static str,
    /// None: as it was.
    pub photometric: Option<&'static str>,
    pub bits_allocated: u16,
    /// More than one sample a pixel, those of a pixel together.
    pub is_colour: bool,
    /// Bytes of each frame.
    pub frames: &'a [u64],
    /// The file becomes another instance.
    pub derived: Option<&'a Derived>,
}

/// What makes another instance of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    pub sop_instance: String,
    /// In place of those that stand there. SOP Instance UID comes by itself.
    pub elements: BTreeMap<Tag, Element>,
}

/// The file with frames in another form in place of its pixel data
/// (PS3.5 section 8.2 and A.4). Lossy Image Compression stays: what was lost
/// once is lost for ever.
///
/// # Errors
/// More pixels than a native value can hold; whatever reading it meets.
pub fn with_frames(source: &dyn Source, replaced: &Replaced<'_>, limits: &Limits) -> Result<Plan, ReadError> {
    let (parsed, inflated) = part10::parse_and_keep(source, limits)?;
    let edit = replaced.derived.map(|derived| {
        let mut elements = derived.elements.clone();
        elements.insert(tags::SOP_INSTANCE_UID, Element::text(VR::UI, &derived.sop_instance));
        Edit::new(&elements, None).map_err(|_| left_in_the_file(tags::SOURCE_IMAGE_SEQUENCE))
    });
    let edit = edit.transpose()?;
    rewrite(source, parsed, inflated, Some(replaced.transfer_syntax), Some(replaced), edit, limits)
}

/// The file with other elements in its data set, and with an item more in its
/// Original Attributes Sequence. What is compressed stays so; everything else
/// becomes Explicit VR Little Endian.
///
/// # Errors
/// Whatever reading it meets.
pub fn edited(
    source: &dyn Source,
    limits: &Limits,
    elements: &BTreeMap<Tag, Element>,
    original: &DataSet,
) -> Result<Plan, ReadError> {
    let (parsed, inflated) = part10::parse_and_keep(source, limits)?;
    let edit = Edit::new(elements, Some(original))
        .map_err(|_| left_in_the_file(tags::ORIGINAL_ATTRIBUTES_SEQUENCE))?;
    rewrite(source, parsed, inflated, None, None, Some(edit), limits)
}

fn left_in_the_file(tag: Tag) -> ReadError {
    ReadError::Structure { tag, offset: 0, reason: "has values left in the file" }
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
    replaced: Option<&Replaced<'_>>,
    mut edit: Option<Edit>,
    limits: &Limits,
) -> Result<Plan, ReadError> {
    let (sop_class, mut sop_instance) = part10::sop_uids(&mut parsed)?;
    if let Some(derived) = replaced.and_then(|replaced| replaced.derived) {
        sop_instance.clone_from(&derived.sop_instance);
    }
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
        let token = walk.next()?;
        // First, since it also writes what comes before.
        if let Some(edit) = &mut edit
            && edit.take(&token, &mut writer)
        {
            continue;
        }
        if let (Some(replaced), true) = (replaced, walk.is_at_root())
            && writer.replace(&token, replaced)?
        {
            continue;
        }
        match token {
            Token::Element(header) => {
                // An icon within has its own depth.
                let bits = bits_allocated.filter(|_| walk.is_at_root());
                let width = if header.big_endian { word_bytes(header.tag, header.vr, bits) } else { 1 };
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

/// What is copied from a walk over the stored data set.
impl Writer {
    /// Writes what stands in place of an element of the root; false: the
    /// element stays as it is.
    fn replace(&mut self, token: &Token, replaced: &Replaced<'_>) -> Result<bool, ReadError> {
        let (Token::Element(header) | Token::Fragments(header, _)) = token else { return Ok(false) };
        match (header.tag, replaced.photometric) {
            (tags::PHOTOMETRIC_INTERPRETATION, Some(name)) => {
                self.text(header.tag, VR::CS, name);
            }
            (tags::PLANAR_CONFIGURATION, _) if replaced.is_colour => self.number(header.tag, 0),
            (tags::BITS_ALLOCATED, _) => self.number(header.tag, replaced.bits_allocated),
            // Of where the frames were.
            (tags::EXTENDED_OFFSET_TABLE | tags::EXTENDED_OFFSET_TABLE_LENGTHS, _) => {}
            (tags::PIXEL_DATA, _) if replaced.transfer_syntax == EXPLICIT_LITTLE_ENDIAN => {
                let length: u64 = replaced.frames.iter().sum();
                let vr = if replaced.bits_allocated > 8 { VR::OW } else { VR::OB };
                let padded = u32::try_from(length + length % 2).ok().filter(|length| *length != u32::MAX);
                self.long_header(header.tag, vr, padded.ok_or(ReadError::Compressed)?);
                self.frames(replaced.frames);
                self.pad(length, vr);
            }
            (tags::PIXEL_DATA, _) => {
                self.open(header.tag, VR::OB);
                self.item_of(0);
                for (index, length) in (0..).zip(replaced.frames) {
                    self.item_of(u32::try_from(length + length % 2).map_err(|_| ReadError::Compressed)?);
                    self.segment(Segment::Frame { index, length: *length });
                    self.pad(*length, VR::OB);
                }
                self.delimiter([0xDD, 0xE0]);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn frames(&mut self, lengths: &[u64]) {
        for (index, length) in (0..).zip(lengths) {
            self.segment(Segment::Frame { index, length: *length });
        }
    }

    fn item_of(&mut self, length: u32) {
        self.pending.extend([0xFE, 0xFF, 0x00, 0xE0]);
        self.pending.extend(length.to_le_bytes());
    }

    fn number(&mut self, tag: Tag, value: u16) {
        self.short_header(tag, VR::US, 2);
        self.pending.extend(value.to_le_bytes());
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
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;
    use crate::dicom::dataset::Value;
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
