//! Frames in another form than the stored one (NEG-07 to 10, BLK-2, ENC-4,
//! IOP-13, IOP-16): decoded as pydicom and its plugins decode them, and encoded
//! so that they decode to the same.

use dicom_object::Tag;

use super::oracle::{self, EXPLICIT};
use crate::{
    harness::{Hilum, Stored, fixture, parts},
    library::{header, part_header, problem},
    sample::Sample,
};

const PLAIN: &str = "multipart/related; type=\"application/octet-stream\"";
const RLE: &str = "1.2.840.10008.1.2.5";

/// Fixture, frames, bytes of them all and their CRC-32, as pydicom 3.0.2
/// decodes them (of lossy ones only the length).
const DECODED: [(&str, usize, usize, Option<u32>); 16] = [
    ("693_J2KI.dcm", 1, 524_288, None),
    ("J2K_pixelrep_mismatch.dcm", 1, 524_288, None),
    ("JPEG-LL.dcm", 1, 524_288, Some(2_311_178_399)),
    ("JPGExtended.dcm", 1, 524_288, None),
    ("RG3_J2KI.dcm", 1, 6_195_200, None),
    ("SC_rgb_jpeg_dcmtk.dcm", 1, 30_000, None),
    ("SC_rgb_rle_2frame.dcm", 2, 60_000, Some(772_204_689)),
    ("examples_ybr_color.dcm", 30, 6_912_000, None),
    ("variants/MR_small_RLE.dcm", 1, 8192, Some(638_863_772)),
    ("variants/MR_small_jp2klossless.dcm", 1, 8192, Some(638_863_772)),
    ("variants/MR_small_jpeg_ls_lossless.dcm", 1, 8192, Some(638_863_772)),
    ("variants/SC_rgb_jpeg_gdcm.dcm", 1, 30_000, Some(250_835_251)),
    ("variants/emri_small_RLE.dcm", 10, 81_920, Some(383_121_481)),
    ("variants/emri_small_jpeg_2k_lossless.dcm", 10, 81_920, Some(383_121_481)),
    ("variants/emri_small_jpeg_ls_lossless.dcm", 10, 81_920, Some(383_121_481)),
    ("variants/rtdose_rle.dcm", 15, 6000, Some(1_329_677_288)),
];

fn each(mut look: impl FnMut(&Hilum, &str, &Stored, usize, usize, Option<u32>)) {
    let hilum = Hilum::start();
    for (name, frames, bytes, crc) in DECODED {
        let stored = hilum.store_fixture(name);
        look(&hilum, name, &stored, frames, bytes, crc);
        // The next one may have the same UID.
        assert_eq!(hilum.delete(&stored.path).status(), 204);
    }
}

fn check(name: &str, pixels: &[u8], bytes: usize, crc: Option<u32>) {
    assert_eq!(pixels.len(), bytes, "{name}");
    if let Some(crc) = crc {
        assert_eq!(crc32fast::hash(pixels), crc, "{name}");
    }
}

#[test]
fn neg_09_iop_13_16_28_frames_come_decoded_by_default() {
    each(|hilum, name, stored, frames, bytes, crc| {
        let numbers: Vec<String> = (1..=frames).map(|number| number.to_string()).collect();
        let path = format!("{}/frames/{}", stored.path, numbers.join(","));
        for accept in ["*/*", PLAIN, &format!("{PLAIN}; transfer-syntax={EXPLICIT}")] {
            let response = hilum.get_as(&path, accept);
            assert_eq!(response.status(), 200, "{name} {accept}");
            let found = parts(response);
            assert_eq!(found.len(), frames, "{name} {accept}");
            for (number, (head, _)) in (1..).zip(&found) {
                let expected = format!("application/octet-stream; transfer-syntax={EXPLICIT}");
                assert_eq!(part_header(head, "content-type"), expected, "{name}");
                let location = format!("{}{}/frames/{number}", hilum.base, stored.path);
                assert_eq!(part_header(head, "content-location"), location, "{name}");
            }
            let pixels: Vec<u8> = found.into_iter().flat_map(|(_, body)| body).collect();
            check(name, &pixels, bytes, crc);
        }
    });
}

#[test]
fn blk_2_decoded_pixel_data_are_one_part() {
    each(|hilum, name, stored, _, bytes, crc| {
        for path in ["pixeldata", "bulkdata/7FE00010"] {
            let response = hilum.get_as(&format!("{}/{path}", stored.path), PLAIN);
            assert_eq!(response.status(), 200, "{name} {path}");
            let found = parts(response);
            assert_eq!(found.len(), 1, "{name} {path}");
            check(name, &found[0].1, bytes, crc);
        }
    });
}

#[test]
fn enc_1_4_iop_13_16_instances_come_decoded_by_default() {
    each(|hilum, name, stored, _, bytes, crc| {
        let response = hilum.get_as(&stored.path, "application/dicom");
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(
            header(&response, "content-type"),
            format!("application/dicom; transfer-syntax={EXPLICIT}")
        );
        let file = response.bytes().expect("a body");
        assert_eq!(oracle::declared(&file), EXPLICIT);
        let (ours, theirs) = (oracle::open(&file), oracle::open(&fixture(name)));
        let pixels = ours.element(oracle::PIXEL_DATA).expect("pixels").to_bytes().expect("bytes");
        check(name, &pixels[..bytes], bytes, crc);
        let text = |object: &dicom_object::DefaultDicomObject, tag| -> Option<String> {
            Some(object.element(tag).ok()?.to_str().ok()?.trim().to_owned())
        };
        let photometric = Tag(0x0028, 0x0004);
        let before = text(&theirs, photometric).expect("one");
        let expected = match before.as_str() {
            "YBR_FULL" | "YBR_FULL_422" | "YBR_RCT" | "YBR_ICT"
                if name != "variants/SC_rgb_jpeg_gdcm.dcm" =>
            {
                "RGB"
            }
            same => same,
        };
        assert_eq!(text(&ours, photometric).as_deref(), Some(expected), "{name}");
        if text(&theirs, Tag(0x0028, 0x0006)).is_some() {
            assert_eq!(text(&ours, Tag(0x0028, 0x0006)).as_deref(), Some("0"), "{name}");
        }
        // What was lost is lost (ENC-4), and all else is as it was.
        for element in theirs.iter() {
            let tag = element.header().tag;
            let changed = [photometric, Tag(0x0028, 0x0006), oracle::PIXEL_DATA, Tag(0xFFFC, 0xFFFC)];
            if !changed.contains(&tag) && tag.element() != 0 {
                assert!(ours.element(tag).is_ok(), "{name}: {tag} is missing");
            }
        }
        assert_eq!(text(&ours, Tag(0x0028, 0x2110)), text(&theirs, Tag(0x0028, 0x2110)), "{name}");
    });
}

#[test]
fn neg_07_08_a_lossless_compression_that_was_asked_for() {
    let hilum = Hilum::start();
    for name in ["CT_small.dcm", "examples_rgb_color.dcm", "693_J2KI.dcm", "MR_small.dcm"] {
        let stored = hilum.store_fixture(name);
        let plain = hilum.get_as(&format!("{}/frames/1", stored.path), "application/octet-stream");
        assert_eq!(plain.status(), 200, "{name}");
        let pixels = plain.bytes().expect("a body");
        for (media, syntax) in [
            ("image/jls", "1.2.840.10008.1.2.4.80"),
            ("image/jpeg", "1.2.840.10008.1.2.4.70"),
            ("image/dicom-rle", RLE),
            ("image/jp2", "1.2.840.10008.1.2.4.90"),
            ("image/jphc", "1.2.840.10008.1.2.4.201"),
            ("application/x-deflate", "1.2.840.10008.1.2.8.1"),
        ] {
            // The bulk data: the media type alone means this Transfer Syntax.
            let stored_as_this = name == "693_J2KI.dcm" && media == "image/jp2";
            if !stored_as_this {
                let response = hilum.get_as(&format!("{}/frames/1", stored.path), media);
                let status = response.status();
                assert_eq!(
                    header(&response, "content-type"),
                    format!("{media}; transfer-syntax={syntax}"),
                    "{name} {status}"
                );
            }
            // The file: stored elsewhere and decoded there, it has the same pixels.
            let accept = format!("application/dicom; transfer-syntax={syntax}");
            let response = hilum.get_as(&stored.path, &accept);
            assert_eq!(response.status(), 200, "{name} {syntax}");
            assert_eq!(header(&response, "content-type"), accept);
            let file = response.bytes().expect("a body");
            assert_eq!(oracle::declared(&file), syntax);
            let other = Hilum::start();
            assert_eq!(other.store(&[&file]).status(), 200, "{name} {syntax}");
            let again = other.get_as(&format!("{}/frames/1", stored.path), "application/octet-stream");
            assert!(again.bytes().expect("a body") == pixels, "{name} {syntax}");
        }
        // Nothing is lost that was not lost before: no lossy syntax is written.
        for syntax in ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.102"] {
            let accept = format!("application/dicom; transfer-syntax={syntax}");
            problem(hilum.get_as(&stored.path, &accept), 406, "not-acceptable");
        }
    }
}

#[test]
fn neg_07_a_mixed_study_part_by_part() {
    let hilum = Hilum::start();
    let report = Sample::new("1.2.9", "1.2.9.1", "1.2.9.1.1").file();
    let image = Sample::new("1.2.9", "1.2.9.2", "1.2.9.2.1").pixels(4, 5, 2).file();
    assert_eq!(hilum.store(&[&report, &image]).status(), 200);
    let accept = format!("multipart/related; type=\"application/dicom\"; transfer-syntax={RLE}");
    let response = hilum.get_as("/studies/1.2.9", &accept);
    assert_eq!(response.status(), 206);
    let found = parts(response);
    assert_eq!(found.len(), 1, "what has no pixels cannot be compressed");
    assert_eq!(oracle::declared(&found[0].1), RLE);
}

/// Two frames of RLE, the second of which ends too early.
fn half_broken() -> Vec<u8> {
    let good = {
        let mut code = vec![0; 64];
        (code[0], code[4]) = (1, 64);
        code.extend([0xF1, 7, 0xFD, 7]);
        code
    };
    let mut broken = good.clone();
    broken.truncate(66);
    Sample::new("1.2.8", "1.2.8.1", "1.2.8.1.1")
        .pixels(4, 5, 2)
        .without(0x7FE0_0010)
        .encapsulated(RLE, &[&good, &broken])
}

#[test]
fn neg_07_a_broken_frame_is_left_out_and_the_rest_is_served() {
    let hilum = Hilum::start();
    assert_eq!(hilum.store(&[&half_broken()]).status(), 200);
    let instance = "/studies/1.2.8/series/1.2.8.1/instances/1.2.8.1.1";
    let response = hilum.get_as(&format!("{instance}/frames/1,2"), PLAIN);
    assert_eq!(response.status(), 206);
    assert!(header(&response, "warning").contains("1 frames cannot be decoded"));
    let found = parts(response);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1, [7; 20]);
    let whole = hilum.get_as(&format!("{instance}/frames/1"), PLAIN);
    assert_eq!(whole.status(), 200);
    for path in [format!("{instance}/frames/2"), instance.to_owned(), format!("{instance}/pixeldata")] {
        let accept = if path == instance { "application/dicom" } else { PLAIN };
        let response = hilum.get_as(&path, accept);
        assert_eq!(response.status(), 406, "{path}");
        let text = response.text().expect("a body");
        assert!(text.contains("frame 2") && text.contains("RLE"), "{text}");
    }
    // The one frame that is left went out as if it were all of the value.
    let encoded = hilum.get_as(&format!("{instance}/bulkdata/7FE00010"), "image/jls");
    assert_eq!(encoded.status(), 206);
    assert!(header(&encoded, "warning").contains("1 frames cannot be decoded"));
    // As it is stored, everything is there.
    let stored = hilum.get_as(&format!("{instance}/frames/1,2"), &format!("{PLAIN}; transfer-syntax=*"));
    assert_eq!((stored.status().as_u16(), parts(stored).len()), (200, 2));
    let study = hilum.get_as("/studies/1.2.8", "multipart/related; type=\"application/dicom\"");
    assert_eq!(study.status(), 406, "nothing else is there");
    assert_eq!(hilum.store(&[&Sample::new("1.2.8", "1.2.8.2", "1.2.8.2.1").file()]).status(), 200);
    let study = hilum.get_as("/studies/1.2.8", "multipart/related; type=\"application/dicom\"");
    assert_eq!((study.status().as_u16(), parts(study).len()), (206, 1));
}

#[test]
fn a_frame_beyond_its_limit_and_frames_beyond_what_is_made_ahead() {
    let hilum = Hilum::with(|config| config.pixels.frame_bytes_max = 100_000);
    let stored = hilum.store_fixture("examples_ybr_color.dcm");
    let response = hilum.get_as(&format!("{}/frames/1", stored.path), PLAIN);
    assert_eq!(response.status(), 406);
    assert!(response.text().expect("a body").contains("pixels.frame_bytes_max"));
    // Made when their turn comes, and never kept.
    let hilum = Hilum::with(|config| {
        config.pixels.ahead_bytes_max = 300_000;
        config.pixels.cache_bytes = 0;
    });
    let stored = hilum.store_fixture("examples_ybr_color.dcm");
    let numbers: Vec<String> = (1..=30).map(|number| number.to_string()).collect();
    let path = format!("{}/frames/{}", stored.path, numbers.join(","));
    let response = hilum.get_as(&path, PLAIN);
    assert_eq!(response.status(), 200);
    assert!(parts(response).iter().all(|(_, body)| body.len() == 230_400));
    let response = hilum.get_as(&path, "multipart/related; type=\"image/jls\"");
    assert_eq!(response.status(), 206, "not so many can be encoded at once");
}

#[test]
fn ranges_and_entity_tags_of_decoded_frames() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("RG3_J2KI.dcm");
    let path = format!("{}/frames/1", stored.path);
    let whole = hilum.get_as(&path, "application/octet-stream");
    let tag = header(&whole, "etag");
    let pixels = whole.bytes().expect("a body");
    let part = hilum
        .get(&path)
        .header("Accept", "application/octet-stream")
        .header("Range", "bytes=1000000-1000099")
        .send()
        .expect("an answer");
    assert_eq!(part.status(), 206);
    assert!(part.bytes().expect("a body") == pixels[1_000_000..1_000_100]);
    let same = hilum
        .get(&path)
        .header("Accept", "application/octet-stream")
        .header("If-None-Match", tag)
        .send()
        .expect("an answer");
    assert_eq!(same.status(), 304);
    let stored = hilum.get_as(&path, "application/octet-stream; transfer-syntax=*");
    assert_ne!(header(&stored, "etag"), header(&same, "etag"));
}

#[test]
fn ten_at_once_get_the_same() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("693_J2KI.dcm");
    let path = format!("{}/frames/1", stored.path);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = || scope.spawn(|| hilum.get_as(&path, "application/octet-stream").bytes().expect("a body"));
        let asking: Vec<_> = (0..10).map(|_| ask()).collect();
        asking.into_iter().map(|answer| answer.join().expect("no panic")).collect()
    });
    assert!(answers.iter().all(|answer| answer.len() == 524_288 && *answer == answers[0]));
}

/// Frames of single bits share bytes in a file (PS3.5 section 8.1.1). Those of a compressed
/// segmentation were put into one each with bits to spare, so that all but the first were
/// read as something else.
#[test]
fn neg_09_blk_2_frames_of_single_bits_share_bytes_in_a_file() {
    let hilum = Hilum::start();
    // 3 by 3 pixels: each frame fills a byte and a bit.
    let frames: [[u8; 2]; 3] = [[0b1010_1010, 1], [0xFF, 0], [0b0000_0001, 1]];
    let image = Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(3, 3, 3).without(0x7FE0_0010);
    let image = image.number(0x0028_0100, 1).number(0x0028_0101, 1).number(0x0028_0102, 0);
    let uncompressed = "1.2.840.10008.1.2.1.98";
    let fragments = [&frames[0][..], &frames[1], &frames[2]];
    hilum.must_store(&[&image.encapsulated(uncompressed, &fragments)]);
    let path = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
    for (number, frame) in (1..).zip(frames) {
        let found = hilum.get_as(&format!("{path}/frames/{number}"), "application/octet-stream");
        assert_eq!(found.bytes().unwrap()[..], frame, "frame {number}");
    }
    let answer = hilum.get_as(path, "application/dicom");
    assert_eq!(answer.status(), 200);
    let file = answer.bytes().unwrap();
    let object = oracle::open(&file);
    let pixels = object.element(oracle::PIXEL_DATA).unwrap().to_bytes().unwrap();
    // 27 bits: 101010101 (from the right) 011111111 100000001, and what fills four bytes.
    let bits = 0b1_0000_0001 << 18 | 0b0_1111_1111 << 9 | 0b1_1010_1010_u32;
    assert_eq!(pixels[..], bits.to_le_bytes());
    // As one value too, of which the study's was refused for that one instance.
    for path in [format!("{path}/bulkdata/7FE00010"), "/studies/1.2/pixeldata".to_owned()] {
        let found = parts(hilum.get_as(&path, PLAIN));
        assert_eq!(found.len(), 1, "{path}");
        assert_eq!(found[0].1, bits.to_le_bytes(), "{path}");
    }
    let part = hilum.get(path).header("accept", "application/dicom");
    let part = part.header("range", format!("bytes={}-", file.len() - 2)).send().unwrap();
    assert_eq!(part.bytes().unwrap(), file[file.len() - 2..]);
}
