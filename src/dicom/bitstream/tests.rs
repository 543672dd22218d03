//! Headers of real frames against what their files say of them, and of streams
//! made by hand.

use std::path::Path;

use dicom_dictionary_std::tags;
use proptest::prelude::*;

use super::*;
use crate::dicom::frames::FrameTable;
use crate::dicom::part10::{Limits, read};

/// The first frame of a fixture, with its data set and Transfer Syntax.
fn fixture(name: &str) -> (Vec<u8>, crate::dicom::DataSet, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    let file = std::fs::read(path).expect("a fixture");
    let instance = read(&file, &Limits::default()).expect("an instance");
    let FrameTable::Encapsulated(spans) = instance.frames else { panic!("{name} is not encapsulated") };
    let (at, length) = (spans[0].offset as usize, spans[0].length as usize);
    let mut rest = &file[at..at + length];
    if spans[0].fragments == 1 {
        return (rest.to_vec(), instance.dataset, instance.transfer_syntax);
    }
    let mut frame = Vec::new();
    while let [_, _, _, _, a, b, c, d, after @ ..] = rest {
        let (fragment, next) = after.split_at(u32::from_le_bytes([*a, *b, *c, *d]) as usize);
        frame.extend_from_slice(fragment);
        rest = next;
    }
    (frame, instance.dataset, instance.transfer_syntax)
}

fn whole(bytes: &[u8]) -> Stretch {
    Stretch { offset: 0, length: bytes.len() as u64 }
}

#[test]
fn sto_26_real_frames_say_what_their_files_say() {
    for name in [
        "693_J2KI.dcm",
        "JPEG-LL.dcm",
        "JPGExtended.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "examples_ybr_color.dcm",
        "variants/MR_small_jp2klossless.dcm",
        "variants/MR_small_jpeg_ls_lossless.dcm",
        "variants/SC_rgb_jpeg_gdcm.dcm",
        "variants/emri_small_jpeg_2k_lossless.dcm",
        "variants/emri_small_jpeg_ls_lossless.dcm",
    ] {
        let (frame, set, transfer_syntax) = fixture(name);
        let kind = guess(&frame, whole(&frame)).expect("memory").expect(name);
        assert!(kind.carries(&transfer_syntax), "{name}: {kind:?}");
        let found = describe(kind, &frame, whole(&frame)).expect(name);
        let image = found.image.expect(name);
        let number = |tag| set.first_int(tag).unwrap_or_default();
        assert_eq!(i64::from(image.rows), number(tags::ROWS), "{name}");
        assert_eq!(i64::from(image.columns), number(tags::COLUMNS), "{name}");
        assert_eq!(i64::from(image.samples), number(tags::SAMPLES_PER_PIXEL), "{name}");
        assert_eq!(i64::from(image.bits_allocated), number(tags::BITS_ALLOCATED), "{name}");
        // Lossy JPEG 2000 of another wavelet than its Transfer Syntax allows is
        // no lie: .91 carries both.
        let lossy_of = |uid: &str| uid.replace("4.90", "4.91").replace("4.57", "4.70");
        assert_eq!(lossy_of(found.transfer_syntax.expect(name)), lossy_of(&transfer_syntax), "{name}");
    }
}

#[test]
fn a_file_format_around_a_code_stream_is_left_out() {
    let (frame, _, _) = fixture("693_J2KI.dcm");
    let mut file = b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 \0\0\0\x0cjp2h\0\0\0\0".to_vec();
    let inside = file.len() as u64 + 8;
    file.extend((frame.len() as u32 + 8).to_be_bytes());
    file.extend(b"jp2c");
    file.extend(&frame);
    let found = describe(Kind::Jpeg2000, &file, whole(&file)).expect("a JP2 file");
    assert_eq!(found.stretch, Stretch { offset: inside, length: frame.len() as u64 });
}

#[test]
fn a_stream_of_another_kind_is_refused() {
    let (frame, _, _) = fixture("693_J2KI.dcm");
    for kind in [Kind::Jpeg, Kind::JpegLs, Kind::HtJpeg2000, Kind::JpegXl, Kind::Mpeg2, Kind::Mpeg4] {
        assert!(describe(kind, &frame, whole(&frame)).is_err(), "{kind:?}");
    }
    let (frame, _, _) = fixture("SC_rgb_jpeg_dcmtk.dcm");
    assert!(describe(Kind::JpegLs, &frame, whole(&frame)).is_err());
    assert!(describe(Kind::Jpeg, &frame, Stretch { offset: 0, length: 20 }).is_err());
}

fn mp4_box(kind: &[u8], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).expect("small");
    [&length.to_be_bytes(), kind, content].concat()
}

#[test]
fn sto_26_a_video_tells_its_size_and_frames() {
    let mut entry = vec![0; 24];
    entry.extend([2, 128, 1, 224]);
    entry.extend([0; 50]);
    entry.extend(mp4_box(b"avcC", &[1, 100, 0, 41, 0xFF]));
    let entry = mp4_box(b"avc1", &entry);
    let stsd = mp4_box(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], entry.as_slice()].concat());
    let stsz = mp4_box(b"stsz", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30]);
    let tables = mp4_box(b"stbl", &[stsd, stsz].concat());
    let path: [&[u8]; 4] = [b"minf", b"mdia", b"trak", b"moov"];
    let moov = path.iter().fold(tables, |inner, kind| mp4_box(kind, &inner));
    let file = [mp4_box(b"ftyp", b"isom"), mp4_box(b"mdat", &[7; 100]), moov].concat();
    let found = describe(Kind::Mpeg4, &file, whole(&file)).expect("a video");
    let image = found.image.expect("a size");
    assert_eq!((image.columns, image.rows, image.frames), (640, 480, Some(30)));
    assert_eq!(found.transfer_syntax, Some("1.2.840.10008.1.2.4.102"));
    let mpeg2 = [&[0, 0, 1, 0xB3, 0x2D, 0x02, 0x40][..], &[0; 20]].concat();
    let image = describe(Kind::Mpeg2, &mpeg2, whole(&mpeg2)).expect("a video").image.expect("a size");
    assert_eq!((image.columns, image.rows), (720, 576));
}

/// The fields of a grey image of 16 bits, 120 by 50, written out.
#[test]
fn a_jpeg_xl_size_is_read_bit_by_bit() {
    let mut bits = Vec::new();
    let mut put = |value: u32, count: u32| (0..count).for_each(|place| bits.push((value >> place & 1) as u8));
    // Not small; 50 rows as 9 bits; no ratio; 120 columns as 9 bits.
    put(0, 1);
    put(0, 2);
    put(49, 9);
    put(0, 3);
    put(0, 2);
    put(119, 9);
    // Metadata: not the default; none extra; whole numbers of 16 bits; no
    // buffers of 16 bits; no extra channels; no XYB; colours not the default,
    // no profile, grey.
    put(0, 1);
    put(0, 1);
    put(0, 1);
    put(3, 2);
    put(15, 6);
    put(0, 1);
    put(0, 2);
    put(0, 1);
    put(0, 1);
    put(0, 1);
    put(1, 2);
    let mut file = vec![0xFF, 0x0A];
    file.extend(bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit)));
    file.extend([0; 8]);
    let image = describe(Kind::JpegXl, &file, whole(&file)).expect("JPEG XL").image.expect("a size");
    assert_eq!((image.rows, image.columns, image.samples, image.bits_stored), (50, 120, 1, 16));
}

proptest! {
    #[test]
    fn nothing_panics(
        which in 0..4usize,
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        let names = ["693_J2KI.dcm", "JPEG-LL.dcm", "SC_rgb_jpeg_dcmtk.dcm", "variants/MR_small_jpeg_ls_lossless.dcm"];
        let (mut frame, _, _) = fixture(names[which]);
        frame.truncate(1 + cut.index(400));
        for (index, byte) in changes {
            let at = index.index(frame.len());
            frame[at] = byte;
        }
        let stretch = whole(&frame);
        let _ = guess(&frame, stretch);
        for kind in [Kind::Jpeg, Kind::JpegLs, Kind::Jpeg2000, Kind::HtJpeg2000, Kind::JpegXl, Kind::Mpeg2,
                     Kind::Mpeg4, Kind::Hevc] {
            let _ = describe(kind, &frame, stretch);
        }
    }

    #[test]
    fn no_box_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for head in [&b"\0\0\0\x0cftyp"[..], b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL ", b"\xFF\x0A"] {
            let file = [head, bytes.as_slice()].concat();
            for kind in [Kind::Jpeg2000, Kind::JpegXl, Kind::Mpeg4] {
                let _ = describe(kind, &file, whole(&file));
            }
        }
    }
}
