//! The reader against files made in code: the encodings, the tolerances, the
//! errors, the frame table, and mutations of all of them.

use std::time::{Duration, Instant};

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use proptest::prelude::*;

use super::samples::{CT, Sample, encapsulated, rich, rich_files};
use super::*;
use crate::dicom::dataset::{Bulk, Element, PersonName, Value};
use crate::dicom::frames::FrameSpan;

const JPEG: &str = "1.2.840.10008.1.2.4.50";

fn parsed(bytes: &[u8]) -> Parsed {
    parse(&bytes, &Limits::default()).expect("parses")
}

fn error(bytes: &[u8]) -> ReadError {
    parse(&bytes, &Limits::default()).expect_err("must not parse")
}

/// A file of `body` after an identity, explicit little endian.
fn explicit(body: impl FnOnce(&mut Sample)) -> Vec<u8> {
    let mut sample = Sample::new(Encoding::EXPLICIT);
    sample.identity(|_| ());
    body(&mut sample);
    sample.file(EXPLICIT_LITTLE_ENDIAN)
}

fn text(list: &[&str]) -> Value {
    Value::Text(list.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn every_encoding_gives_the_same_data_set() {
    for (syntax, file) in rich_files() {
        let instance = read(&file, &Limits::default()).expect("reads");
        assert_eq!(instance.form, Form::Complete);
        assert_eq!(instance.transfer_syntax, syntax);
        assert_eq!(instance.path.to_string(), "1.2.3/1.2.3.1/1.2.3.4");
        assert_eq!(instance.sop_class, CT);
        assert_eq!(instance.warnings, [], "{syntax}");
        let set = &instance.dataset;
        assert_eq!(set.first_text(tags::SPECIFIC_CHARACTER_SET), Some("ISO_IR 192"));
        let name = PersonName { alphabetic: "Müller^Jörg".to_owned(), ..PersonName::default() };
        assert_eq!(set.get(tags::PATIENT_NAME).expect("there").value, Value::Names(vec![name]));
        assert_eq!(set.items(tags::REFERENCED_IMAGE_SEQUENCE).len(), 2);
        assert_eq!(set.get(Tag(0x0018, 0x1149)).expect("there").value, text(&["10", "20"]));
        assert_eq!(set.get(Tag(0x0028, 0x0106)), Some(&Element::new(VR::US, Value::Unsigned(vec![7]))));
        assert_eq!(set.get(Tag(0x0028, 0x3006)).expect("there").value, Value::Inline(vec![1, 0, 2, 0]));
        let Some(Value::Bulk(bulk)) = set.get(tags::PIXEL_DATA).map(|element| &element.value) else {
            panic!("bulk")
        };
        assert_eq!((bulk.path.as_str(), bulk.length), ("7FE00010", 64));
        let frames = FrameTable::Native { offset: bulk.offset, frame_bits: 256, frames: 2 };
        assert_eq!(instance.frames, frames);
        if syntax != DEFLATED_LITTLE_ENDIAN {
            assert_eq!(bulk.offset + 64, file.len() as u64);
        }
    }
}

#[test]
fn files_without_preamble_or_meta() {
    for (syntax, file) in rich_files() {
        let expected = parsed(&file);
        let no_preamble = parsed(&file[132..]);
        assert_eq!((no_preamble.form, no_preamble.transfer_syntax.as_str()), (Form::NoPreamble, syntax));
        assert_eq!(no_preamble.dataset.len(), expected.dataset.len());
        if syntax == DEFLATED_LITTLE_ENDIAN {
            continue;
        }
        let no_meta = &file[expected.dataset_offset as usize..];
        let guessed = parsed(no_meta);
        assert_eq!((guessed.form, guessed.transfer_syntax.as_str()), (Form::NoMeta, syntax));
        assert_eq!(guessed.dataset.len(), expected.dataset.len());
        let only_prefix = [&file[..132], no_meta].concat();
        assert_eq!(parsed(&only_prefix).dataset_offset, 132);
    }
}

#[test]
fn what_is_not_dicom() {
    for bytes in
        [&b""[..], b"DICM", b"<!DOCTYPE html><html></html>", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &[0; 600]]
    {
        assert!(matches!(error(bytes), ReadError::NotDicom), "{bytes:?}");
    }
}

#[test]
fn a_body_that_contradicts_its_syntax() {
    for (declared, actual) in [
        (EXPLICIT_LITTLE_ENDIAN, Encoding::IMPLICIT),
        (IMPLICIT_LITTLE_ENDIAN, Encoding::EXPLICIT),
        (EXPLICIT_LITTLE_ENDIAN, Encoding::BIG_ENDIAN),
        (JPEG, Encoding::IMPLICIT),
    ] {
        let file = rich(actual).file(declared);
        let parsed = parsed(&file);
        assert_eq!(parsed.encoding, actual);
        assert_eq!(parsed.transfer_syntax, declared);
        assert!(matches!(parsed.warnings[0], Warning::Encoding { .. }));
        assert_eq!(parsed.dataset.len(), rich_len());
    }
}

fn rich_len() -> usize {
    parsed(&rich_files()[0].1).dataset.len()
}

#[test]
fn uids_from_the_meta_information() {
    let mut sample = Sample::new(Encoding::EXPLICIT);
    sample.text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3").text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.3.1");
    let instance = read(&sample.file(EXPLICIT_LITTLE_ENDIAN), &Limits::default()).expect("reads");
    assert_eq!(instance.path.instance.as_str(), "1.2.3.4");
    assert!(instance.warnings.contains(&Warning::UidFromMeta { tag: tags::SOP_INSTANCE_UID }));
    let no_series = Sample::new(Encoding::EXPLICIT).text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2").clone();
    let missing = read(&no_series.file(EXPLICIT_LITTLE_ENDIAN), &Limits::default());
    assert!(matches!(missing, Err(ReadError::MissingUid { tag }) if tag == tags::SERIES_INSTANCE_UID));
    let mut bad = Sample::new(Encoding::EXPLICIT);
    bad.text(tags::STUDY_INSTANCE_UID, VR::UI, "../../etc").text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2");
    let bad = read(&bad.file(EXPLICIT_LITTLE_ENDIAN), &Limits::default());
    assert!(matches!(bad, Err(ReadError::BadUid { tag, .. }) if tag == tags::STUDY_INSTANCE_UID));
}

#[test]
fn an_item_inherits_its_character_set() {
    let mut sample = Sample::new(Encoding::EXPLICIT);
    sample.text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 144");
    sample.sequence(tags::REQUEST_ATTRIBUTES_SEQUENCE).item();
    sample.raw(tags::REQUESTED_PROCEDURE_DESCRIPTION, VR::LO, b"\xb1\xb1").item_end().item();
    sample.text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100");
    sample.raw(tags::REQUESTED_PROCEDURE_DESCRIPTION, VR::LO, b"\xb1\xb1").item_end().sequence_end();
    let parsed = parsed(&sample.file(EXPLICIT_LITTLE_ENDIAN));
    let items = parsed.dataset.items(tags::REQUEST_ATTRIBUTES_SEQUENCE);
    let description = |n: usize| items[n].first_text(tags::REQUESTED_PROCEDURE_DESCRIPTION);
    assert_eq!((description(0), description(1)), (Some("ББ"), Some("±±")));
    assert_eq!(items[0].get(tags::SPECIFIC_CHARACTER_SET), None);
    assert_eq!(items[1].first_text(tags::SPECIFIC_CHARACTER_SET), Some("ISO_IR 192"));
}

#[test]
fn enc_2_unknown_vrs_that_are_known() {
    let mut inside = Sample::new(Encoding::IMPLICIT);
    inside.item().text(tags::CODE_VALUE, VR::SH, "CODE").item_end().sequence_end();
    let mut broken = inside.clone();
    broken.bytes.truncate(18);
    let file = explicit(|sample| {
        // Of undefined length: implicit little endian inside.
        sample.header(tags::PROCEDURE_CODE_SEQUENCE, VR::UN, u32::MAX);
        sample.bytes.extend(&inside.bytes);
        // Of defined length, with and without sense.
        let items = &inside.bytes[..inside.bytes.len() - 8];
        sample.raw(tags::ANATOMIC_REGION_SEQUENCE, VR::UN, items);
        sample.raw(tags::CONCEPT_NAME_CODE_SEQUENCE, VR::UN, &broken.bytes);
        sample.raw(tags::PRESENTATION_LUT_SHAPE, VR::UN, b"IDENTITY");
        sample.raw(Tag(0x3001, 0x0010), VR::UN, b"OURS").raw(Tag(0x3001, 0x1001), VR::UN, b"1234");
    });
    let parsed = parsed(&file);
    for tag in [tags::PROCEDURE_CODE_SEQUENCE, tags::ANATOMIC_REGION_SEQUENCE] {
        assert_eq!(parsed.dataset.items(tag)[0].first_text(tags::CODE_VALUE), Some("CODE"), "{tag}");
    }
    let vr = |tag| parsed.dataset.get(tag).expect("there").vr;
    assert_eq!(vr(tags::CONCEPT_NAME_CODE_SEQUENCE), VR::UN);
    assert_eq!(vr(tags::PRESENTATION_LUT_SHAPE), VR::CS);
    assert_eq!((vr(Tag(0x3001, 0x0010)), vr(Tag(0x3001, 0x1001))), (VR::LO, VR::UN));
}

#[test]
fn enc_2_signs_come_from_pixel_representation() {
    let mut sample = Sample::new(Encoding::IMPLICIT);
    sample.identity(|sample| {
        // Before Pixel Representation.
        sample.us(tags::ZERO_VELOCITY_PIXEL_VALUE, 0xFFFF);
    });
    sample
        .us(tags::BITS_ALLOCATED, 16)
        .us(tags::PIXEL_REPRESENTATION, 1)
        .us(tags::SMALLEST_IMAGE_PIXEL_VALUE, 0xFFFE);
    sample.sequence(tags::MODALITY_LUT_SEQUENCE).item();
    sample.header(tags::LUT_DESCRIPTOR, VR::US, 6).u16(1).u16(0xFFFF).u16(16);
    sample.us(tags::LUT_DATA, 5).item_end().sequence_end();
    let parsed = parsed(&sample.file(IMPLICIT_LITTLE_ENDIAN));
    let signed = |n| Element::new(VR::SS, Value::Signed(vec![n]));
    assert_eq!(parsed.dataset.get(tags::SMALLEST_IMAGE_PIXEL_VALUE), Some(&signed(-2)));
    assert_eq!(parsed.dataset.get(tags::ZERO_VELOCITY_PIXEL_VALUE), Some(&signed(-1)));
    let lut = &parsed.dataset.items(tags::MODALITY_LUT_SEQUENCE)[0];
    assert_eq!(lut.get(tags::LUT_DESCRIPTOR).expect("there").value, Value::Signed(vec![1, -1, 16]));
    assert_eq!(lut.get(tags::LUT_DATA), Some(&Element::new(VR::US, Value::Unsigned(vec![5]))));
}

#[test]
fn what_stays_in_the_file() {
    let file = explicit(|sample| {
        sample.raw(tags::ENCAPSULATED_DOCUMENT, VR::OB, b"%PDF");
        sample.sequence(tags::WAVEFORM_SEQUENCE).item().item_end().item();
        sample.raw(tags::WAVEFORM_DATA, VR::OW, &[1, 2]).item_end().sequence_end();
        sample.raw(Tag(0x5600, 0x0020), VR::OF, &[]);
        sample.raw(Tag(0x6002, 0x3000), VR::OW, &[1, 2]);
        sample.raw(Tag(0x7001, 0x0010), VR::LO, b"US").raw(Tag(0x7001, 0x1001), VR::UN, &[7; 1026]);
        sample.raw(Tag(0x7001, 0x1002), VR::OB, &[7; 1024]).raw(
            Tag(0x7001, 0x1003),
            VR::UT,
            &vec![b'x'; 70_000],
        );
        sample.raw(Tag(0x7001, 0x1004), VR::SH, &[b'x'; 2000]);
    });
    let parsed = parsed(&file);
    let bulk = |set: &DataSet, tag| {
        let Value::Bulk(Bulk { path, offset, length }) = &set.get(tag).expect("there").value else {
            return None;
        };
        Some((path.clone(), file[*offset as usize..][..*length as usize].to_vec()))
    };
    let set = &parsed.dataset;
    assert_eq!(bulk(set, tags::ENCAPSULATED_DOCUMENT), Some(("00420011".into(), b"%PDF".to_vec())));
    let waveform = &set.items(tags::WAVEFORM_SEQUENCE)[1];
    assert_eq!(bulk(waveform, tags::WAVEFORM_DATA), Some(("54000100.2.54001010".into(), vec![1, 2])));
    assert_eq!(set.get(Tag(0x5600, 0x0020)).expect("there").value, Value::Empty);
    assert!(bulk(set, Tag(0x6002, 0x3000)).is_some());
    assert_eq!(bulk(set, Tag(0x7001, 0x1001)).expect("bulk").1, [7; 1026]);
    assert_eq!(bulk(set, Tag(0x7001, 0x1002)), None);
    assert_eq!(bulk(set, Tag(0x7001, 0x1003)).expect("bulk").1.len(), 70_000);
    assert_eq!(bulk(set, Tag(0x7001, 0x1004)), None);
}

#[test]
fn faults_that_are_forgiven() {
    let forgiven = |body: &dyn Fn(&mut Sample)| {
        let parsed = parsed(&explicit(body));
        assert_eq!(parsed.warnings.len(), 1, "{:?}", parsed.warnings);
        (parsed.warnings[0].clone(), parsed.dataset)
    };
    let (warning, set) = forgiven(&|sample| {
        sample.raw(Tag(0x0040, 0xA123), VR::FL, &[1, 2, 3]);
    });
    assert_eq!(warning, Warning::WrongLength { tag: Tag(0x0040, 0xA123) });
    assert_eq!(set.get(Tag(0x0040, 0xA123)), Some(&Element::new(VR::UN, Value::Inline(vec![1, 2, 3]))));
    let (warning, _) = forgiven(&|sample| {
        sample.raw(tags::IMAGE_COMMENTS, VR::LT, b"odd");
    });
    assert_eq!(warning, Warning::OddLength { tag: tags::IMAGE_COMMENTS });
    let (warning, set) = forgiven(&|sample| {
        sample.text(tags::STUDY_ID, VR::SH, "A").text(tags::STUDY_ID, VR::SH, "B");
    });
    assert_eq!(warning, Warning::Duplicate { tag: tags::STUDY_ID });
    assert_eq!(set.first_text(tags::STUDY_ID), Some("B"));
    let (warning, _) = forgiven(&|sample| {
        sample.text(tags::MODALITY, VR::CS, "MR");
    });
    assert_eq!(warning, Warning::OutOfOrder { tag: tags::MODALITY });
    let (warning, _) = forgiven(&|sample| {
        sample.item_end();
    });
    assert!(matches!(warning, Warning::StrayDelimiter { .. }));
    let (warning, set) = forgiven(&|sample| {
        sample.sequence(tags::CONTENT_SEQUENCE).item().text(tags::STUDY_ID, VR::SH, "A").sequence_end();
    });
    assert!(matches!(warning, Warning::MissingDelimiter { .. }));
    assert_eq!(set.items(tags::CONTENT_SEQUENCE).len(), 1);
    let (warning, _) = forgiven(&|sample| {
        sample.raw(tags::PIXEL_DATA, VR::OB, &[]).bytes.extend([0; 300]);
    });
    assert!(matches!(warning, Warning::TrailingBytes { length: 300, .. }));
    let (warning, set) = forgiven(&|sample| {
        sample.u16(0x0040).u16(0xA124);
        sample.bytes.extend(b"ZZ\0\0\x02\0\0\0hi");
    });
    assert_eq!(warning, Warning::UnknownVr { tag: Tag(0x0040, 0xA124) });
    assert_eq!(set.first_text(Tag(0x0040, 0xA124)), Some("hi"));
    let (_, set) = forgiven(&|sample| {
        let mut inside = Sample::new(Encoding::IMPLICIT);
        inside.item().text(tags::CODE_VALUE, VR::SH, "CODE").item_end().sequence_end();
        sample.sequence(tags::CONCEPT_NAME_CODE_SEQUENCE).bytes.extend(&inside.bytes);
    });
    assert_eq!(set.items(tags::CONCEPT_NAME_CODE_SEQUENCE)[0].first_text(tags::CODE_VALUE), Some("CODE"));
    let trailing = explicit(|sample| {
        sample.raw(Tag(0xFFFC, 0xFFFC), VR::OB, &[0; 64]);
    });
    assert_eq!(parsed(&trailing).warnings, []);
}

#[test]
fn a_torn_file_is_never_good() {
    for (syntax, file) in rich_files() {
        let end = file.len();
        // Into the pixels and a little before: their header is 8 or 12 bytes.
        let torn = if syntax == DEFLATED_LITTLE_ENDIAN { end - 20..end } else { end - 71..end };
        for length in torn {
            let error = error(&file[..length]);
            let is_torn = matches!(error, ReadError::Truncated { .. } | ReadError::Deflate { .. });
            assert!(is_torn, "{syntax} cut to {length} of {end}: {error}");
        }
    }
    let whole = encapsulated(&[], &[&[0xFF, 0xD8, 0xFF, 0xE0], &[1, 2]], None).file(JPEG);
    for cut in 1..=34 {
        assert!(matches!(error(&whole[..whole.len() - cut]), ReadError::Truncated { .. }), "{cut}");
    }
}

#[test]
fn hostile_files_cost_nothing() {
    let start = Instant::now();
    let deep = explicit(|sample| {
        for _ in 0..10_000 {
            sample.sequence(tags::CONTENT_SEQUENCE).item();
        }
    });
    assert!(matches!(error(&deep), ReadError::TooDeep { max: 64, .. }));
    let deep_unknown = explicit(|sample| {
        for _ in 0..10_000 {
            sample.header(tags::CONTENT_SEQUENCE, VR::UN, u32::MAX);
            sample.encoding = Encoding::IMPLICIT;
            sample.item();
        }
    });
    assert!(matches!(error(&deep_unknown), ReadError::TooDeep { .. }));
    for vr in [VR::OB, VR::UT, VR::UN, VR::SQ, VR::UC] {
        let long = explicit(|sample| {
            sample.header(Tag(0x0040, 0xA160), vr, 0xFFFF_FFF0);
        });
        assert!(matches!(error(&long), ReadError::Truncated { .. }), "{vr:?}");
    }
    let overrun = explicit(|sample| {
        sample.header(tags::CONTENT_SEQUENCE, VR::SQ, 30).marker(0xE000, 22);
        sample.text(tags::STUDY_ID, VR::SH, "longer than the item that holds it");
    });
    assert!(matches!(error(&overrun), ReadError::Overrun { .. }));
    let values = explicit(|sample| {
        sample.raw(tags::OTHER_PATIENT_NAMES, VR::UN, &vec![b'\\'; 4 << 20]);
    });
    assert!(matches!(error(&values), ReadError::Limit { .. }));
    let many = explicit(|sample| {
        for _ in 0..2000 {
            sample.us(tags::ROWS, 1);
        }
    });
    let limits = Limits { elements_max: 1000, ..Limits::default() };
    assert!(matches!(parse(&many, &limits), Err(ReadError::Limit { max: 1000, .. })));
    assert!(start.elapsed() < Duration::from_secs(5));
}

fn spans(file: &[u8]) -> (Vec<Vec<u8>>, Vec<Warning>) {
    let parsed = parsed(file);
    let FrameTable::Encapsulated(spans) = parsed.frames else { panic!("{:?}", parsed.frames) };
    let bytes = |span: &FrameSpan| file[span.offset as usize..][..span.length as usize].to_vec();
    (spans.iter().map(bytes).collect(), parsed.warnings)
}

const SOI: [u8; 4] = [0xFF, 0xD8, 0xFF, 0xE0];

#[test]
fn enc_3_frames_by_table_by_number_and_by_marker() {
    let more = [9; 4];
    let joined =
        [&[0xFE, 0xFF, 0, 0xE0, 4, 0, 0, 0][..], &SOI, &[0xFE, 0xFF, 0, 0xE0, 4, 0, 0, 0], &more].concat();
    // One frame: all fragments.
    let (frames, warnings) = spans(&encapsulated(&[], &[&SOI, &more], None).file(JPEG));
    assert_eq!((frames, warnings), (vec![joined.clone()], vec![]));
    // As many fragments as frames.
    let (frames, warnings) = spans(&encapsulated(&[], &[&SOI, &more], Some("2")).file(JPEG));
    assert_eq!((frames, warnings), (vec![SOI.to_vec(), more.to_vec()], vec![]));
    // Basic Offset Table.
    let (frames, warnings) = spans(&encapsulated(&[0, 24], &[&more, &more, &more], Some("2")).file(JPEG));
    assert_eq!((frames[1].clone(), frames.len(), warnings), (more.to_vec(), 2, vec![]));
    // By the first marker, and with a table that points nowhere.
    let (frames, warnings) = spans(&encapsulated(&[], &[&SOI, &more, &SOI], Some("2")).file(JPEG));
    assert_eq!((frames, warnings), (vec![joined.clone(), SOI.to_vec()], vec![]));
    let (frames, warnings) = spans(&encapsulated(&[0, 13], &[&SOI, &more, &SOI], Some("2")).file(JPEG));
    assert_eq!((frames, warnings), (vec![joined, SOI.to_vec()], vec![Warning::OffsetTable]));
    // No way to tell.
    let (frames, warnings) = spans(&encapsulated(&[], &[&more, &more, &more], Some("2")).file(JPEG));
    assert_eq!(frames.len(), 3);
    assert!(warnings.contains(&Warning::Fragments));
    // Fewer fragments than frames.
    let (frames, warnings) = spans(&encapsulated(&[], &[&SOI, &SOI], Some("5")).file(JPEG));
    assert_eq!(frames.len(), 2);
    assert!(warnings.contains(&Warning::FrameCount { declared: 5, held: 2 }));
    // None at all.
    assert_eq!(parsed(&encapsulated(&[], &[], None).file(JPEG)).frames, FrameTable::None);
}

#[test]
fn enc_3_the_extended_offset_table_has_exact_lengths() {
    let mut sample = Sample::new(Encoding::EXPLICIT);
    sample.identity(|_| ()).image(4, 4, Some("2"), 8);
    sample.raw(tags::EXTENDED_OFFSET_TABLE, VR::OV, &[0u64.to_le_bytes(), 12u64.to_le_bytes()].concat());
    sample.raw(
        tags::EXTENDED_OFFSET_TABLE_LENGTHS,
        VR::OV,
        &[3u64.to_le_bytes(), 4u64.to_le_bytes()].concat(),
    );
    sample.header(tags::PIXEL_DATA, VR::OB, u32::MAX).fragment(&[]).fragment(&[1, 2, 3, 0]).fragment(&[4; 4]);
    sample.sequence_end();
    let (frames, warnings) = spans(&sample.file(JPEG));
    assert_eq!((frames, warnings), (vec![vec![1, 2, 3], vec![4; 4]], vec![]));
}

#[test]
fn videos_are_one_span() {
    let file = encapsulated(&[], &[&[1; 4], &[2; 4]], Some("100")).file("1.2.840.10008.1.2.4.102");
    let FrameTable::Video(span) = parsed(&file).frames else { panic!("a video") };
    assert_eq!((span.fragments, span.length), (2, 24));
}

#[test]
fn native_frames_are_no_more_than_there_are() {
    let table = |frames: Option<&str>, bits: u16, bytes: usize| {
        let file = explicit(|sample| {
            sample.image(4, 4, frames, bits).raw(tags::PIXEL_DATA, VR::OW, &vec![0; bytes]);
        });
        let parsed = parsed(&file);
        let FrameTable::Native { frame_bits, frames, .. } = parsed.frames else { return None };
        Some((frame_bits, frames, parsed.warnings.len()))
    };
    assert_eq!(table(None, 16, 32), Some((256, 1, 0)));
    assert_eq!(table(Some("3"), 16, 96), Some((256, 3, 0)));
    assert_eq!(table(Some("3"), 1, 6), Some((16, 3, 0)));
    assert_eq!(table(Some("9999999"), 16, 64), Some((256, 2, 1)));
    assert_eq!(table(Some("1A"), 16, 64), Some((256, 2, 1)));
    assert_eq!(table(None, 16, 64), Some((256, 1, 1)));
    assert_eq!(table(None, 16, 30), None);
    assert_eq!(table(None, 0, 30), None);
}

/// Gigabytes of which only the headers exist; counts what is read.
struct Sparse {
    pieces: std::collections::BTreeMap<u64, Vec<u8>>,
    length: u64,
    read: std::cell::Cell<u64>,
}

impl Source for Sparse {
    fn len(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        let end = offset + buffer.len() as u64;
        assert!(end <= self.length);
        self.read.set(self.read.get() + buffer.len() as u64);
        buffer.fill(0);
        let first = self.pieces.range(..=offset).next_back().map_or(offset, |(start, _)| *start);
        for (start, piece) in self.pieces.range(first..end) {
            for (at, byte) in (*start..).zip(piece).filter(|(at, _)| (offset..end).contains(at)) {
                buffer[(at - offset) as usize] = *byte;
            }
        }
        Ok(())
    }
}

#[test]
fn gigabytes_cost_kilobytes() {
    let mut sample = Sample::new(Encoding::EXPLICIT);
    sample.identity(|_| ()).image(20_000, 20_000, Some("5"), 16);
    let (mut native, mut pieces) = (sample.clone(), std::collections::BTreeMap::new());
    native.header(tags::PIXEL_DATA, VR::OW, 4_000_000_000);
    let head = native.file(EXPLICIT_LITTLE_ENDIAN);
    let length = head.len() as u64 + 4_000_000_000;
    pieces.insert(0, head);
    let source = Sparse { pieces, length, read: 0.into() };
    let instance = read(&source, &Limits::default()).expect("reads");
    assert!(matches!(instance.frames, FrameTable::Native { frames: 5, .. }));
    assert!(source.read.get() < 100_000, "{}", source.read.get());

    // 10,000 fragments of 1 MB.
    sample.header(tags::PIXEL_DATA, VR::OB, u32::MAX).fragment(&[]);
    let head = sample.file(JPEG);
    let (mut pieces, mut at) = (std::collections::BTreeMap::new(), head.len() as u64);
    pieces.insert(0, head);
    for _ in 0..10_000 {
        pieces.insert(at, Sample::new(Encoding::EXPLICIT).marker(0xE000, 1_000_000).bytes.clone());
        at += 1_000_008;
    }
    pieces.insert(at, Sample::new(Encoding::EXPLICIT).sequence_end().bytes.clone());
    let source = Sparse { pieces, length: at + 8, read: 0.into() };
    let parsed = parse(&source, &Limits::default()).expect("reads");
    let FrameTable::Encapsulated(spans) = parsed.frames else { panic!("encapsulated") };
    assert_eq!(spans.len(), 10_000);
    assert!(source.read.get() < 100_000_000, "{}", source.read.get());
}

/// Files that between them use most of what the reader knows.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = rich_files().into_iter().map(|(_, file)| file).collect();
    seeds.push(encapsulated(&[0, 24], &[&SOI, &[9; 4], &SOI], Some("2")).file(JPEG));
    seeds.push(encapsulated(&[], &[&SOI, &[9; 4], &SOI], Some("2")).file(JPEG));
    seeds.push(rich(Encoding::IMPLICIT).file(EXPLICIT_LITTLE_ENDIAN));
    seeds.push(rich(Encoding::EXPLICIT).bytes);
    seeds.push(explicit(|sample| {
        let mut inside = Sample::new(Encoding::IMPLICIT);
        inside.item().text(tags::CODE_VALUE, VR::SH, "CODE").item_end();
        sample.raw(tags::ANATOMIC_REGION_SEQUENCE, VR::UN, &inside.bytes);
    }));
    seeds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Whatever is done to a file: an answer, soon, and what it says lies
    /// inside the file.
    #[test]
    fn mutations_are_survived(
        seed in 0..9usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut file = seeds().swap_remove(seed);
        // The preamble is of no interest.
        let from = if file.len() > 132 && &file[128..132] == b"DICM" { 132 } else { 0 };
        for (index, byte) in changes {
            let at = from + index.index(file.len() - from);
            file[at] = byte;
        }
        if is_cut {
            file.truncate(from + cut.index(file.len() - from));
        }
        if let Ok(instance) = read(&file, &Limits::default())
            && !Syntax::of(&instance.transfer_syntax).deflated
        {
            let end = file.len() as u64;
            match instance.frames {
                FrameTable::None => {}
                FrameTable::Native { offset, frame_bits, frames } => {
                    prop_assert!(offset + (frame_bits * u64::from(frames)).div_ceil(8) <= end);
                }
                FrameTable::Encapsulated(spans) => {
                    prop_assert!(spans.iter().all(|span| span.offset + span.length <= end));
                }
                FrameTable::Video(span) => prop_assert!(span.offset + span.length <= end),
            }
        }
    }
}
