//! Whole frames through the one door: what is encoded decodes to the same, what
//! is broken is an error, and the table of the documents is the table.

use std::{path::Path, time::Duration};

use bytes::Bytes;

use super::{Codecs, Description, Frame, Limits, Number, Photometric, PixelError, TABLE};
use crate::dicom::{FrameTable, part10, transfer_syntax};

const EXPLICIT: &str = "1.2.840.10008.1.2.1";

fn codecs() -> Codecs {
    Codecs::new(Limits { frame_bytes_max: 64 << 20, frame_time_max: Duration::from_mins(1) })
}

fn description(bits_allocated: u16, bits_stored: u16, number: Number, colour: bool) -> Description {
    Description {
        rows: 33,
        columns: 50,
        samples_per_pixel: if colour { 3 } else { 1 },
        bits_allocated,
        bits_stored,
        high_bit: bits_stored - 1,
        number,
        photometric: if colour { Photometric::Rgb } else { Photometric::Monochrome2 },
        by_plane: false,
        frames: 1,
    }
}

/// Slopes, flat places and noise.
fn pixels(description: &Description) -> Vec<u8> {
    let mut seed = 3u32;
    (0..description.samples())
        .flat_map(|index| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (row, column) = (index / 150, index % 50);
            let noise = if row < 11 { 0 } else { u64::from(seed >> 29) };
            let unsigned = (row * 40 + column * 9 + noise) & ((1 << description.bits_stored) - 1);
            let value = if description.is_signed() {
                (unsigned as i64) - (1 << (description.bits_stored - 1))
            } else {
                unsigned as i64
            };
            value.to_le_bytes().into_iter().take(usize::from(description.bits_allocated / 8))
        })
        .collect()
}

#[test]
fn enc_4_iop_16_what_is_encoded_decodes_to_the_same() {
    let codecs = codecs();
    for codec in TABLE.iter().filter(|codec| codec.encoder.is_some() && !codec.is_lossy) {
        let mut taken = 0;
        for (allocated, stored, number, colour) in [
            (8, 8, Number::Unsigned, false),
            (8, 8, Number::Unsigned, true),
            (8, 7, Number::Signed, false),
            (16, 10, Number::Unsigned, false),
            (16, 12, Number::Unsigned, false),
            (16, 12, Number::Signed, false),
            (16, 16, Number::Unsigned, false),
            (16, 16, Number::Signed, false),
            (16, 16, Number::Unsigned, true),
            (32, 32, Number::Unsigned, false),
        ] {
            let description = description(allocated, stored, number, colour);
            let frame = Frame { bytes: pixels(&description), description };
            let encoded = match codecs.encode(codec.uid, frame.clone()) {
                Err(PixelError::Unsupported(_)) => continue,
                other => other.expect("what is taken is encoded"),
            };
            let decoded = codecs
                .decode(codec.uid, &Bytes::from(encoded.code), &encoded.description)
                .unwrap_or_else(|error| panic!("{} {description:?}: {error}", codec.uid));
            assert!(decoded.bytes == frame.bytes, "{} {description:?}", codec.uid);
            assert_eq!(decoded.description.photometric, description.photometric, "{}", codec.uid);
            taken += 1;
        }
        assert!(taken >= 4, "{} takes only {taken} of these images", codec.uid);
    }
}

/// A smooth image with a little noise, as photographs are.
fn waves(description: &Description) -> Vec<u8> {
    let colours = u64::from(description.samples_per_pixel);
    let middle = f64::from(1u32 << (description.bits_stored - 1));
    (0..description.samples())
        .flat_map(|index| {
            let (pixel, colour) = (index / colours, index % colours);
            let (row, column) =
                (pixel / u64::from(description.columns), pixel % u64::from(description.columns));
            let wave = (row as f64 / 17.0 + colour as f64).sin() + (column as f64 / 23.0).cos();
            let noise = (index * 7919 % 5) as f64 * middle / 400.0;
            let value = middle * 0.4 * wave + noise + if description.is_signed() { 0.0 } else { middle };
            (value as i64).to_le_bytes().into_iter().take(usize::from(description.bits_allocated / 8))
        })
        .collect()
}

/// Samples of 8 and 16 bits, as they are.
fn numbers(frame: &Frame) -> Vec<i32> {
    let (signed, bits) = (frame.description.is_signed(), frame.description.bits_allocated);
    let word = |bytes: &[u8]| i16::from_le_bytes([bytes[0], bytes[1]]);
    match (bits, signed) {
        (8, true) => frame.bytes.iter().map(|byte| i32::from(byte.cast_signed())).collect(),
        (8, false) => frame.bytes.iter().map(|byte| i32::from(*byte)).collect(),
        (_, true) => frame.bytes.chunks_exact(2).map(|bytes| i32::from(word(bytes))).collect(),
        (_, false) => {
            frame.bytes.chunks_exact(2).map(|bytes| i32::from(word(bytes).cast_unsigned())).collect()
        }
    }
}

#[test]
fn neg_08_what_is_encoded_with_loss_is_still_the_image() {
    let codecs = codecs();
    let mut taken = Vec::new();
    for codec in TABLE.iter().filter(|codec| codec.is_lossy) {
        for (allocated, stored, number, colour) in [
            (8, 8, Number::Unsigned, false),
            (8, 8, Number::Unsigned, true),
            (16, 12, Number::Unsigned, false),
            (16, 12, Number::Signed, false),
            (16, 16, Number::Unsigned, false),
        ] {
            let description =
                Description { rows: 128, columns: 96, ..description(allocated, stored, number, colour) };
            let frame = Frame { bytes: waves(&description), description };
            let encoded = match codecs.encode(codec.uid, frame.clone()) {
                Err(PixelError::Unsupported(_)) => continue,
                other => other.expect("what is taken is encoded"),
            };
            let decoded = codecs
                .decode(codec.uid, &Bytes::from(encoded.code), &encoded.description)
                .unwrap_or_else(|error| panic!("{} {description:?}: {error}", codec.uid));
            let (before, after) = (numbers(&frame), numbers(&decoded));
            let off: i64 = before.iter().zip(&after).map(|(a, b)| i64::from((a - b).abs())).sum();
            let mean = off as f64 / before.len() as f64;
            let range = f64::from(1u32 << stored);
            assert!(mean > 0.0 && mean < range / 200.0, "{} {description:?}: {mean} levels", codec.uid);
            taken.push((codec.uid, stored, colour));
        }
    }
    let jpeg = "1.2.840.10008.1.2.4.50";
    assert!(taken.contains(&(jpeg, 8, true)) && !taken.contains(&(jpeg, 12, false)), "{taken:?}");
    assert_eq!(taken.len(), 2 + 5 + 5, "{taken:?}");
}

#[test]
fn enc_3_native_frames_get_one_order_of_samples() {
    let of = |photometric, samples, bits, by_plane| Description {
        rows: 1,
        columns: 2,
        samples_per_pixel: samples,
        photometric,
        by_plane,
        ..description(bits, bits, Number::Unsigned, false)
    };
    let decode = |bytes: &'static [u8], description| {
        codecs().decode(EXPLICIT, &Bytes::from_static(bytes), &description).map(|frame| frame.bytes)
    };
    assert_eq!(decode(&[1, 2, 3, 4, 5, 6], of(Photometric::Rgb, 3, 8, true)), Ok(vec![1, 3, 5, 2, 4, 6]));
    assert_eq!(decode(&[1, 2, 8, 9], of(Photometric::YbrFull422, 3, 8, false)), Ok(vec![1, 8, 9, 2, 8, 9]));
    assert_eq!(
        decode(&[0x34, 0x12, 0x56], of(Photometric::Monochrome2, 1, 12, false)),
        Ok(vec![0x34, 0x02, 0x61, 0x05])
    );
    assert_eq!(decode(&[0b10], of(Photometric::Monochrome2, 1, 1, false)), Ok(vec![0b10]));
    assert!(matches!(decode(&[1], of(Photometric::Monochrome2, 1, 8, false)), Err(PixelError::Mismatch(_))));
}

#[test]
fn a_frame_beyond_the_limit_is_refused_before_it_is_decoded() {
    let tight = Codecs::new(Limits { frame_bytes_max: 1000, frame_time_max: Duration::from_mins(1) });
    let description = description(8, 8, Number::Unsigned, false);
    let refused = tight.decode("1.2.840.10008.1.2.4.90", &Bytes::new(), &description);
    assert_eq!(refused, Err(PixelError::TooLarge { bytes: 1650, limit: 1000 }));
}

/// The first frames of all compressed fixtures.
fn compressed() -> Vec<(String, String, Description, Bytes)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = Vec::new();
    for folder in [folder.clone(), folder.join("variants")] {
        for entry in std::fs::read_dir(folder).expect("fixtures").flatten() {
            let Ok(bytes) = std::fs::read(entry.path()) else { continue };
            let Ok(parsed) = part10::parse(&bytes, &part10::Limits::default()) else { continue };
            let FrameTable::Encapsulated(spans) = &parsed.frames else { continue };
            let (Some(span), Ok(description)) = (spans.first(), Description::of(&parsed.dataset)) else {
                continue;
            };
            if span.fragments > 1 {
                continue;
            }
            let range = span.offset as usize..(span.offset + span.length) as usize;
            let name = entry.file_name().to_string_lossy().into_owned();
            let code = Bytes::copy_from_slice(&bytes[range]);
            found.push((name, parsed.transfer_syntax, description, code));
        }
    }
    found
}

#[test]
fn iop_16_every_compressed_fixture_decodes() {
    let codecs = codecs();
    let fixtures = compressed();
    assert!(fixtures.len() > 10);
    for (name, syntax, description, code) in fixtures {
        let frame =
            codecs.decode(&syntax, &code, &description).unwrap_or_else(|error| panic!("{name}: {error}"));
        let known = transfer_syntax::find(&syntax).expect("a known one");
        assert_eq!(frame.description, description.decoded_from(known), "{name}");
        assert_eq!(frame.bytes.len() as u64, frame.description.frame_bytes(), "{name}");
    }
}

/// `HILUM_MUTATIONS=5000 cargo test --release pixels` looks harder.
#[test]
fn mutated_frames_are_errors_or_images() {
    let count: u32 = std::env::var("HILUM_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let codecs = Codecs::new(Limits { frame_bytes_max: 16 << 20, frame_time_max: Duration::from_secs(20) });
    let mut frames = compressed();
    // Of the codings that no fixture has, what is encoded here.
    let image = description(16, 12, Number::Unsigned, false);
    let bytes_only = description(8, 8, Number::Unsigned, true);
    for codec in TABLE.iter().filter(|codec| codec.encoder.is_some()) {
        let image = if codec.encoder == Some("jpeg-encoder") { bytes_only } else { image };
        let frame = Frame { bytes: pixels(&image), description: image };
        let encoded = codecs.encode(codec.uid, frame).expect("12 bits are taken by all others");
        frames.push((codec.uid.to_owned(), codec.uid.to_owned(), encoded.description, encoded.code.into()));
    }
    let mut seed = 11u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below.max(1)
    };
    for (name, syntax, description, code) in frames {
        let small = code.len() < 100_000;
        let (mut decoded, mut slow) = (0, 0);
        for _ in 0..if small { count } else { count / 8 } {
            let mut broken = code.to_vec();
            for _ in 0..=random(4) {
                // Half of them in the headers.
                let within = if random(2) == 0 { broken.len().min(120) } else { broken.len() };
                let at = random(within);
                broken[at] = random(256) as u8;
            }
            if random(4) == 0 {
                broken.truncate(random(code.len()));
            }
            match codecs.decode(&syntax, &Bytes::from(broken), &description) {
                Ok(frame) => {
                    assert_eq!(frame.bytes.len() as u64, frame.description.frame_bytes(), "{name}");
                    decoded += 1;
                }
                Err(PixelError::TooSlow(_) | PixelError::Busy) => slow += 1,
                Err(_) => {}
            }
        }
        if count > 100 {
            eprintln!("{name} ({syntax}): {decoded} decoded, {slow} too slow");
        }
    }
}

#[test]
fn the_table_of_the_documents_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PIXELS.md");
    let text = std::fs::read_to_string(path).expect("docs/PIXELS.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `1.2.840"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let expected: Vec<Vec<String>> = TABLE
        .iter()
        .map(|codec| {
            let name = transfer_syntax::find(codec.uid).expect("a known one").name;
            let loss = if codec.is_lossy { ", with loss" } else { "" };
            let encoder = format!("{}{loss}", codec.encoder.unwrap_or("–"));
            vec![format!("`{}`", codec.uid), name.to_owned(), codec.decoder.to_owned(), encoder]
        })
        .collect();
    let shown: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().take(4).copied().collect()).collect();
    let table: Vec<String> = expected.iter().map(|row| format!("| {} |", row.join(" | "))).collect();
    let table = table.join("\n");
    assert_eq!(shown, expected, "docs/PIXELS.md should say:\n{table}");
}
