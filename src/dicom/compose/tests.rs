//! Instances of metadata and parts, read back from what they become.

use std::io::Read;
use std::path::Path;

use super::*;
use crate::dicom::frames::FrameTable;
use crate::dicom::part10::{Instance, Limits, read};

const DECODED_MAX: u64 = 1 << 20;

fn identity() -> DataSet {
    let mut set = DataSet::new();
    set.put_text(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.7");
    set.put_text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3");
    set.put_text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2");
    set.put_text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.1");
    set
}

fn bulk(uri: &str) -> Value {
    Value::Bulk(Bulk { path: uri.to_owned(), offset: 0, length: 0 })
}

fn with_pixels() -> DataSet {
    let mut set = identity();
    set.put(tags::PIXEL_DATA, Element::new(VR::OW, bulk("pixels")));
    set
}

fn described(mut set: DataSet) -> DataSet {
    for (tag, number) in [
        (tags::ROWS, 2),
        (tags::COLUMNS, 2),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
        (tags::PIXEL_REPRESENTATION, 0),
        (tags::SAMPLES_PER_PIXEL, 1),
    ] {
        set.put(tag, Element::new(VR::US, Value::Unsigned(vec![number])));
    }
    set.put_text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    set
}

/// Parts with their bytes in a store.
#[derive(Default)]
struct Request {
    store: Vec<u8>,
    parts: Vec<Part>,
}

impl Request {
    fn part(mut self, location: &str, coding: Coding, bytes: &[u8]) -> Self {
        let stretch = Stretch { offset: self.store.len() as u64, length: bytes.len() as u64 };
        self.store.extend_from_slice(bytes);
        let location = Some(location.to_owned());
        self.parts.push(Part { location, coding, transfer_syntax: None, stretch });
        self
    }

    fn syntax(mut self, uid: &str) -> Self {
        if let Some(part) = self.parts.last_mut() {
            part.transfer_syntax = Some(uid.to_owned());
        }
        self
    }

    fn compose(self, set: DataSet) -> Result<(Instance, Vec<u8>), ComposeError> {
        let Request { mut store, parts } = self;
        let mut parts = Parts::new(parts);
        let composed = parts.compose(set, &mut store, DECODED_MAX)?;
        let mut file = Vec::new();
        composed.plan.reader(&store).read_to_end(&mut file).expect("memory");
        Ok((read(&file, &Limits::default()).expect("what we write reads"), file))
    }
}

/// The frames of a fixture, each as one code stream.
fn frames_of(name: &str) -> (Vec<Vec<u8>>, Instance) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    let file = std::fs::read(path).expect("a fixture");
    let instance = read(&file, &Limits::default()).expect("an instance");
    let FrameTable::Encapsulated(spans) = &instance.frames else { panic!("{name} is not encapsulated") };
    let frame = |span: &crate::dicom::FrameSpan| {
        assert_eq!(span.fragments, 1, "{name}");
        file[span.offset as usize..(span.offset + span.length) as usize].to_vec()
    };
    (spans.iter().map(frame).collect(), instance)
}

#[test]
fn sto_25_native_pixels_are_one_part_or_one_a_frame() {
    let (instance, file) = Request::default()
        .part("pixels", Coding::Bytes, &[1, 2, 3, 4])
        .compose(described(with_pixels()))
        .expect("composes");
    assert_eq!(
        (instance.transfer_syntax.as_str(), instance.warnings.as_slice()),
        ("1.2.840.10008.1.2.1", &[][..])
    );
    assert!(file.ends_with(&[1, 2, 3, 4]));
    let (instance, file) = Request::default()
        .part("pixels", Coding::Bytes, &[1, 2, 3, 4])
        .part("pixels", Coding::Bytes, &[5, 6, 7, 8])
        .compose(described(with_pixels()))
        .expect("composes");
    assert_eq!(instance.dataset.first_int(tags::NUMBER_OF_FRAMES), Some(2));
    assert!(file.ends_with(&[1, 2, 3, 4, 5, 6, 7, 8]));
    let bare = Request::default().part("pixels", Coding::Bytes, &[1]).compose(with_pixels());
    assert!(matches!(bare, Err(ComposeError::MissingMacro { tag: tags::ROWS })));
    let big = Request::default().part("pixels", Coding::Bytes, &[1]).syntax("1.2.840.10008.1.2.2");
    assert!(matches!(big.compose(described(with_pixels())), Err(ComposeError::TransferSyntax)));
}

/// Parts were put one after the other whatever they held: of frames of single bits, each in
/// bytes of its own as `/frames` gives them, and of padded ones, all but the first were
/// stored as other pixels.
#[test]
fn sto_25_native_parts_are_frames_to_the_byte() {
    let parts = |set: DataSet, frames: [&[u8]; 2]| {
        let request = Request::default().part("pixels", Coding::Bytes, frames[0]);
        request.part("pixels", Coding::Bytes, frames[1]).compose(set)
    };
    let mut three = described(with_pixels());
    three.put(tags::ROWS, Element::new(VR::US, Value::Unsigned(vec![1])));
    three.put(tags::COLUMNS, Element::new(VR::US, Value::Unsigned(vec![3])));
    let (instance, file) = parts(three.clone(), [&[1, 2, 3, 0], &[4, 5, 6, 0]]).expect("padded");
    assert!(matches!(instance.frames, FrameTable::Native { frames: 2, .. }), "{:?}", instance.frames);
    assert!(file.ends_with(&[1, 2, 3, 4, 5, 6]));
    assert!(parts(three.clone(), [&[1, 2, 3], &[4, 5]]).is_err(), "half a frame");
    assert!(parts(three.clone(), [&[1, 2, 3, 4, 5, 6], &[7, 8, 9]]).is_err(), "two frames in one");
    three.put(tags::BITS_ALLOCATED, Element::new(VR::US, Value::Unsigned(vec![1])));
    let refused = parts(three, [&[0b101], &[0b111]]).expect_err("3 bits a frame");
    assert!(refused.to_string().contains("one part"), "{refused}");
}

#[test]
fn sto_26_streams_are_encapsulated_and_describe_themselves() {
    for (name, kind) in [
        ("693_J2KI.dcm", Kind::Jpeg2000),
        ("SC_rgb_jpeg_dcmtk.dcm", Kind::Jpeg),
        ("variants/MR_small_jpeg_ls_lossless.dcm", Kind::JpegLs),
        ("variants/emri_small_jpeg_2k_lossless.dcm", Kind::Jpeg2000),
    ] {
        let (frames, original) = frames_of(name);
        let request = frames
            .iter()
            .fold(Request::default(), |request, frame| request.part("pixels", Coding::Pixels(kind), frame));
        let mut set = with_pixels();
        set.put_text(attributes::AVAILABLE_TRANSFER_SYNTAX, VR::UI, &original.transfer_syntax);
        let (instance, file) = request.compose(set).expect(name);
        assert_eq!(instance.transfer_syntax, original.transfer_syntax, "{name}");
        for tag in [tags::ROWS, tags::COLUMNS, tags::SAMPLES_PER_PIXEL, tags::BITS_ALLOCATED] {
            assert_eq!(instance.dataset.first_int(tag), original.dataset.first_int(tag), "{name} {tag}");
        }
        let FrameTable::Encapsulated(spans) = &instance.frames else { panic!("{name}") };
        assert_eq!(spans.len(), frames.len());
        for (span, frame) in spans.iter().zip(&frames) {
            assert!(file[span.offset as usize..].starts_with(frame), "{name}");
        }
    }
}

#[test]
fn sto_26_what_contradicts_the_stream_is_refused() {
    let (frames, _) = frames_of("SC_rgb_jpeg_dcmtk.dcm");
    let request = || Request::default().part("pixels", Coding::Pixels(Kind::Jpeg), &frames[0]);
    let wrong_size = request().compose(described(with_pixels()));
    assert!(matches!(wrong_size, Err(ComposeError::Contradiction { tag: tags::ROWS })));
    let lossless = request().syntax("1.2.840.10008.1.2.4.70").compose(with_pixels());
    assert!(matches!(lossless, Err(ComposeError::TransferSyntax)));
    let extended = request().syntax("1.2.840.10008.1.2.4.51").compose(with_pixels()).expect("51 includes 50");
    assert_eq!(extended.0.transfer_syntax, "1.2.840.10008.1.2.4.51");
    let mut three = with_pixels();
    three.put_text(tags::NUMBER_OF_FRAMES, VR::IS, "3");
    assert!(matches!(request().compose(three), Err(ComposeError::Frames { declared: 3, held: 1 })));
    let other = Request::default().part("pixels", Coding::Pixels(Kind::Jpeg2000), &frames[0]);
    assert!(matches!(other.compose(with_pixels()), Err(ComposeError::Bitstream(_))));
}

#[test]
fn sto_25_a_document_brings_its_type_and_length() {
    let mut set = identity();
    set.put(tags::ENCAPSULATED_DOCUMENT, Element::new(VR::OB, bulk("doc")));
    let (instance, file) = Request::default()
        .part("doc", Coding::Document("application/pdf".to_owned()), b"%PDF-")
        .compose(set)
        .expect("composes");
    assert_eq!(
        instance.dataset.first_text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT),
        Some("application/pdf")
    );
    assert_eq!(instance.dataset.first_int(tags::ENCAPSULATED_DOCUMENT_LENGTH), Some(5));
    assert!(memchr::memmem::find(&file, b"\x06\0\0\0%PDF-\0").is_some());
}

#[test]
fn sto_24_references_are_found_or_the_instance_fails() {
    let mut set = identity();
    let mut item = DataSet::new();
    item.put(tags::WAVEFORM_DATA, Element::new(VR::OW, bulk("http://Host:80/w")));
    set.put(tags::WAVEFORM_SEQUENCE, Element::new(VR::SQ, Value::Items(vec![item])));
    let request = Request::default().part("http://host/w", Coding::Bytes, &[1, 2]).part(
        "http://host/other",
        Coding::Bytes,
        &[3, 4],
    );
    let mut store = request.store;
    let mut parts = Parts::new(request.parts);
    parts.compose(set.clone(), &mut store, DECODED_MAX).expect("composes");
    assert_eq!(parts.unused(), 1);
    let mut nothing = Parts::new(Vec::new());
    let error = nothing.compose(set, &mut store, DECODED_MAX).expect_err("nothing is there");
    assert!(matches!(error, ComposeError::Unresolved { tag: tags::WAVEFORM_DATA }));
    assert!(!error.to_string().contains("host"), "{error}");
}

#[test]
fn inline_items_are_taken_apart() {
    let (frames, original) = frames_of("variants/emri_small_jpeg_2k_lossless.dcm");
    let mut stream = vec![0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0];
    for frame in &frames {
        stream.extend([0xFE, 0xFF, 0x00, 0xE0]);
        stream.extend((frame.len() as u32).to_le_bytes());
        stream.extend(frame);
    }
    let mut set = identity();
    set.put_text(tags::NUMBER_OF_FRAMES, VR::IS, &frames.len().to_string());
    set.put(tags::PIXEL_DATA, Element::new(VR::OB, Value::Inline(stream)));
    let (instance, _) = Request::default().compose(set).expect("composes");
    assert_eq!(instance.transfer_syntax, original.transfer_syntax);
    let FrameTable::Encapsulated(spans) = instance.frames else { panic!("encapsulated") };
    assert_eq!(spans.len(), frames.len());
}
