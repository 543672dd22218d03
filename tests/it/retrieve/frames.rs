//! Frames (RET-05, BLK-1, 2, IOP-08, 28): every frame of every fixture.

use super::oracle;
use crate::{
    harness::{Hilum, fixture, parts},
    library::{Held, Library, header, names, part_header, problem, variants},
    sample::Sample,
};

const ANY: &str = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";

/// All frames at once and one by one, against dicom-rs.
fn check(hilum: &Hilum, held: &Held) -> usize {
    let Held { name, bytes, stored } = held;
    let frames = oracle::frames(bytes);
    if frames.is_empty() {
        problem(hilum.get_as(&format!("{}/frames/1", stored.path), ANY), 404, "not-found");
        return 0;
    }
    let all: Vec<String> = (1..=frames.len()).map(|number| number.to_string()).collect();
    let response = hilum.get_as(&format!("{}/frames/{}", stored.path, all.join(",")), ANY);
    assert_eq!(response.status(), 200, "{name}");
    let found = parts(response);
    assert_eq!(found.len(), frames.len(), "{name}");
    let declared = oracle::declared(bytes);
    let syntax = if oracle::is_native(&declared) { oracle::EXPLICIT } else { declared.as_str() };
    for (index, ((head, body), frame)) in found.iter().zip(&frames).enumerate() {
        assert!(body == frame, "{name}: frame {} has {} bytes, not {}", index + 1, body.len(), frame.len());
        assert_eq!(
            part_header(head, "content-type"),
            format!("application/octet-stream; transfer-syntax={syntax}")
        );
        let location = format!("{}{}/frames/{}", hilum.base, stored.path, index + 1);
        assert_eq!(part_header(head, "content-location"), location);
        assert_eq!(part_header(head, "content-length"), body.len().to_string());
    }
    let last = hilum.get_as(
        &format!("{}/frames/{}", stored.path, frames.len()),
        "application/octet-stream; transfer-syntax=*",
    );
    assert_eq!(header(&last, "content-type"), format!("application/octet-stream; transfer-syntax={syntax}"));
    assert!(last.bytes().unwrap() == frames[frames.len() - 1], "{name}");
    problem(hilum.get_as(&format!("{}/frames/{}", stored.path, frames.len() + 1), ANY), 404, "not-found");
    frames.len()
}

#[test]
fn ret_05_blk_1_2_4_enc_3_every_frame_of_every_fixture() {
    let library = Library::of(&names(&["", "media"]));
    let frames: usize = library.held.iter().map(|held| check(&library.hilum, held)).sum();
    assert!(frames > 100, "{frames}");
}

#[test]
fn ret_05_enc_3_iop_28_every_frame_of_every_variant() {
    let hilum = Hilum::start();
    for name in variants() {
        let held = Held { bytes: fixture(&name), stored: hilum.store_fixture(&name), name };
        // `1A` frames are no number: what they are is a matter of opinion.
        if held.name != "variants/badVR.dcm" {
            check(&hilum, &held);
        }
        // The next one may have the same UID.
        assert_eq!(hilum.delete(&held.stored.path).status(), 204);
    }
}

#[test]
fn neg_08_10_iop_08_14_the_media_type_of_the_compression() {
    let library = Library::of(
        &["693_J2KI.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle_2frame.dcm", "JPEG-LL.dcm"].map(str::to_owned),
    );
    for (name, kind, syntax) in [
        ("693_J2KI.dcm", "image/jp2", "1.2.840.10008.1.2.4.91"),
        ("SC_rgb_jpeg_dcmtk.dcm", "image/jpeg", "1.2.840.10008.1.2.4.50"),
        ("SC_rgb_rle_2frame.dcm", "image/dicom-rle", "1.2.840.10008.1.2.5"),
        ("JPEG-LL.dcm", "image/jpeg", "1.2.840.10008.1.2.4.70"),
    ] {
        let held = library.find(name);
        let frame = &oracle::frames(&held.bytes)[0];
        let path = format!("{}/frames/1", held.stored.path);
        for accept in [
            format!("multipart/related; type=\"{kind}\"; transfer-syntax=*"),
            format!("multipart/related; type={kind}; transfer-syntax={syntax}"),
            format!(
                "multipart/related; type=\"image/*\"; transfer-syntax=*, multipart/related; type=\"{kind}\"; transfer-syntax={syntax}; q=0.5"
            ),
        ] {
            let response = library.hilum.get_as(&path, &accept);
            assert_eq!(response.status(), 200, "{name} {accept}");
            let found = parts(response);
            assert_eq!(part_header(&found[0].0, "content-type"), format!("{kind}; transfer-syntax={syntax}"));
            assert!(&found[0].1 == frame, "{name}");
        }
        let single = library.hilum.get_as(&path, &format!("{kind}; transfer-syntax={syntax}"));
        assert_eq!(header(&single, "content-type"), format!("{kind}; transfer-syntax={syntax}"));
        assert!(single.bytes().unwrap() == *frame, "{name}");
        // Nothing is coded with loss here: a clear 406, which clients probe for (IOP-14).
        for accept in [
            "multipart/related; type=\"image/jls\"; transfer-syntax=1.2.840.10008.1.2.4.81",
            "multipart/related; type=\"image/jpx\"",
        ] {
            problem(library.hilum.get_as(&path, accept), 406, "not-acceptable");
        }
    }
}

#[test]
fn ret_05_iop_28_lists_of_frames() {
    let hilum = Hilum::with(|config| config.limits.request_frames_max = 5);
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(3, 3, 4).file();
    assert_eq!(hilum.store(&[&file]).status(), 200);
    let path = "/studies/1.2/series/1.2.1/instances/1.2.1.1/frames";
    for (list, expected) in [
        ("1,2,3,4", vec![1, 2, 3, 4]),
        ("2", vec![2]),
        ("2,4", vec![2, 4]),
        ("1%2C3", vec![1, 3]),
        ("04", vec![4]),
    ] {
        let found = parts(hilum.get_as(&format!("{path}/{list}"), "*/*"));
        let pixels: Vec<Vec<u8>> = found.into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(pixels, expected.iter().map(|number| vec![*number; 9]).collect::<Vec<_>>(), "{list}");
    }
    for list in
        ["0", "-1", "a", "1,", ",1", "1.5", "1,a", "99999999999", "1,1,1,1,1,1", "%00", "+1", "1,+2", "%2B1"]
    {
        let response = hilum.get_as(&format!("{path}/{list}"), "*/*");
        assert_eq!(problem(response, 400, "invalid-parameter")["parameter"], "frames", "{list}");
    }
    for list in ["5", "1,5", "4294967295"] {
        problem(hilum.get_as(&format!("{path}/{list}"), "*/*"), 404, "not-found");
    }
    problem(hilum.get_as(&format!("{path}/1,2"), "application/octet-stream"), 406, "not-acceptable");
}

#[test]
fn iop_28_a_video_has_no_frames_but_a_stream() {
    let hilum = Hilum::start();
    let pixels = [
        &[0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF][..],
        &[0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0],
        &[0xFE, 0xFF, 0x00, 0xE0, 6, 0, 0, 0, 1, 2, 3, 4, 5, 6],
        &[0xFE, 0xFF, 0x00, 0xE0, 2, 0, 0, 0, 7, 8],
        &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0],
    ]
    .concat();
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1")
        .text(0x0028_0008, "IS", "25")
        .number(0x0028_0010, 16)
        .number(0x0028_0011, 16)
        .number(0x0028_0100, 8)
        .file_as("1.2.840.10008.1.2.4.102");
    assert!(hilum.store(&[&[file, pixels].concat()]).status().is_success());
    let path = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
    let status = hilum.get_as(&format!("{path}/frames/1"), "*/*").status().as_u16();
    assert!(matches!(status, 404 | 406), "{status}");
    let video = hilum.get_as(&format!("{path}/bulkdata/7FE00010"), "video/mp4");
    assert_eq!(video.status(), 200);
    assert_eq!(header(&video, "accept-ranges"), "bytes");
    assert_eq!(video.bytes().unwrap(), [1, 2, 3, 4, 5, 6, 7, 8].as_slice());
    let range = hilum.get(&format!("{path}/bulkdata/7FE00010")).header("Accept", "video/mp4");
    let range = range.header("Range", "bytes=5-6").send().unwrap();
    assert_eq!(range.status(), 206);
    assert_eq!(range.bytes().unwrap(), [6, 7].as_slice());
}

/// Big endian turns words round. A frame of an odd number of bytes, or of bits, begins in
/// the middle of one, and words were counted from the frame: its bytes came in pairs of
/// the wrong two.
#[test]
fn iop_28_a_big_endian_frame_may_begin_within_a_word() {
    let hilum = Hilum::start();
    let pixels: Vec<u8> = (1..=28).collect();
    let bytes =
        Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(3, 3, 3).bytes(0x7FE0_0010, "OW", pixels.clone());
    let bits = Sample::new("1.2", "1.2.1", "1.2.1.2")
        .pixels(3, 3, 3)
        .number(0x0028_0100, 1)
        .number(0x0028_0101, 1)
        .number(0x0028_0102, 0)
        // 27 bits: 1 to 9 are 0, then 1 and 0 alternate.
        .bytes(0x7FE0_0010, "OW", vec![0, 0b1010_1010, 0b1010_1010, 0b0000_0010]);
    for file in [bytes.big_endian(), bits.big_endian()] {
        assert!(hilum.store(&[&file]).status().is_success());
    }
    let frame = |instance: &str, number: usize| {
        let path = format!("/studies/1.2/series/1.2.1/instances/{instance}/frames/{number}");
        hilum.get_as(&path, "application/octet-stream").bytes().unwrap()
    };
    for (number, expected) in (1..).zip(pixels[..27].chunks(9)) {
        assert_eq!(frame("1.2.1.1", number), expected, "frame {number}");
    }
    for (number, expected) in [(1, [0, 0]), (2, [0b0101_0101, 1]), (3, [0b1010_1010, 0])] {
        assert_eq!(frame("1.2.1.2", number)[..], expected, "frame {number} of bits");
    }
}
