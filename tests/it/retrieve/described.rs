//! The description of the frames is remembered with the bytes it is of: one frame
//! after the other of the same instance, and after other bytes took its place.

use crate::{
    harness::{Hilum, parts},
    library::outcome,
    sample::Sample,
};
use hilum::config::Duplicates;

const PLAIN: &str = "multipart/related; type=\"application/octet-stream\"";
const RLE: &str = "1.2.840.10008.1.2.5";
const PATH: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.1";

/// Frames of RLE, so many rows of 5 columns, each filled with its value.
fn file(rows: u16, values: &[u8], photometric: &str) -> Vec<u8> {
    let code = |value: &u8| {
        let mut code = vec![0; 64];
        (code[0], code[4]) = (1, 64);
        // One run of all pixels.
        code.extend([u8::try_from(257 - rows * 5).expect("a short run"), *value]);
        code
    };
    let codes: Vec<Vec<u8>> = values.iter().map(code).collect();
    let codes: Vec<&[u8]> = codes.iter().map(Vec::as_slice).collect();
    Sample::new("1.2", "1.2.1", "1.2.1.1")
        .pixels(rows, 5, u8::try_from(values.len()).expect("few"))
        .text(0x0028_0004, "CS", photometric)
        .without(0x7FE0_0010)
        .encapsulated(RLE, &codes)
}

/// Twice each, by itself and together, and in a file.
fn check(hilum: &Hilum, rows: u16, values: &[u8], photometric: &str) {
    let frame = |value: u8| vec![value; usize::from(rows) * 5];
    for _ in 0..2 {
        for (number, value) in (1..).zip(values) {
            let found = parts(hilum.get_as(&format!("{PATH}/frames/{number}"), PLAIN));
            assert_eq!(found[0].1, frame(*value), "frame {number}");
        }
        let numbers: Vec<String> = (1..=values.len()).map(|number| number.to_string()).collect();
        let found = parts(hilum.get_as(&format!("{PATH}/frames/{}", numbers.join(",")), PLAIN));
        let expected: Vec<Vec<u8>> = values.iter().map(|value| frame(*value)).collect();
        assert_eq!(found.into_iter().map(|(_, body)| body).collect::<Vec<_>>(), expected);
    }
    let whole = hilum.get_as(PATH, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1");
    assert_eq!(whole.status(), 200);
    let whole = whole.bytes().expect("a body");
    let mut pixels: Vec<u8> = values.iter().flat_map(|value| frame(*value)).collect();
    if pixels.len() % 2 == 1 {
        pixels.push(0);
    }
    assert!(whole.ends_with(&pixels));
    assert!(whole.windows(photometric.len()).any(|window| window == photometric.as_bytes()));
}

#[test]
fn neg_09_sto_20_frames_are_described_as_the_file_that_is_there() {
    let hilum = Hilum::with(|config| {
        config.store.duplicates = Duplicates::Replace;
        // So that every frame is made each time it is asked for.
        config.pixels.cache_bytes = 0;
    });
    let first = file(4, &[7, 8, 9], "MONOCHROME2");
    let second = file(9, &[1, 2], "MONOCHROME1");
    assert_eq!(outcome(hilum.store(&[&first])).0, 200);
    check(&hilum, 4, &[7, 8, 9], "MONOCHROME2");
    assert_eq!(outcome(hilum.store(&[&second])).0, 200);
    check(&hilum, 9, &[1, 2], "MONOCHROME1");
    assert_eq!(hilum.delete(PATH).status(), 204);
    assert_eq!(hilum.get_as(&format!("{PATH}/frames/1"), PLAIN).status(), 410);
    assert_eq!(outcome(hilum.store(&[&first])).0, 200);
    check(&hilum, 4, &[7, 8, 9], "MONOCHROME2");
    let hilum = hilum.restart();
    check(&hilum, 4, &[7, 8, 9], "MONOCHROME2");
}
