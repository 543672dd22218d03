//! What of a study cannot be given is left out, and the answer says so (NEG-07,
//! V15): no acceptable form, or damaged bytes.

use std::{fs, path::PathBuf};

use crate::{
    harness::{Hilum, parts},
    library::{header, part_header, problem},
    sample::Sample,
};

const FILES: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
const SINGLE: &str = "application/dicom; transfer-syntax=*";

/// The pack in which these bytes stand.
fn pack_with(hilum: &Hilum, needle: &[u8]) -> PathBuf {
    let packs = walkdir::WalkDir::new(hilum.data().join("packs")).into_iter().filter_map(Result::ok);
    let mut packs = packs
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|ending| ending == "tar"));
    let found = packs.find(|path| memchr::memmem::find(&fs::read(path).unwrap(), needle).is_some());
    found.expect("some pack holds it")
}

/// Changes one byte of what is stored, where `needle` stands.
fn damage(hilum: &Hilum, needle: &[u8]) {
    let path = pack_with(hilum, needle);
    let mut bytes = fs::read(&path).unwrap();
    let at = memchr::memmem::find(&bytes, needle).expect("it is in there");
    bytes[at] ^= 0x20;
    fs::write(&path, bytes).unwrap();
}

/// An answer of many instances was broken off in the middle when the bytes of
/// one of them were damaged, so that a client got none of those behind it. What
/// is found before the answer begins is now that instance's failure alone.
#[test]
fn neg_07_a_damaged_instance_of_many_fails_alone() {
    let hilum = Hilum::start();
    let file = |number: u8, series: &str| {
        Sample::new("1.2", series, &format!("1.2.9.{number}"))
            .text(0x0020_4000, "LT", &format!("needle {number}"))
            .pixels(20, 20, 4)
            .file()
    };
    let files = [file(1, "1.2.1"), file(2, "1.2.1"), file(3, "1.2.2")];
    assert!(hilum.store(&files.each_ref().map(Vec::as_slice)).status().is_success());
    damage(&hilum, b"needle 2");
    let whole = hilum.get_as("/studies/1.2", FILES);
    assert_eq!(whole.status(), 206);
    let warning = header(&whole, "warning");
    assert!(warning.contains("1 instances are damaged"), "{warning}");
    let length: u64 = header(&whole, "content-length").parse().unwrap();
    let etag = header(&whole, "etag");
    let found = parts(whole);
    assert_eq!(found.len(), 2);
    assert!(found[0].1 == files[0] && found[1].1 == files[2]);
    let head = hilum.request(reqwest::Method::HEAD, "/studies/1.2").header("Accept", FILES).send().unwrap();
    assert_eq!((header(&head, "content-length"), header(&head, "etag")), (length.to_string(), etag));
    // Of bulk data and pixel data the same.
    for resource in ["bulkdata", "pixeldata"] {
        let answer = hilum.get(&format!("/studies/1.2/{resource}")).send().unwrap();
        assert_eq!(answer.status(), 206, "{resource}");
        let locations: Vec<String> =
            parts(answer).iter().map(|(head, _)| part_header(head, "content-location")).collect();
        assert!(
            locations.len() == 2 && !locations.iter().any(|url| url.contains("1.2.9.2")),
            "{locations:?}"
        );
    }
    // A series without it is whole; alone it is an error.
    assert_eq!(hilum.get_as("/studies/1.2/series/1.2.2", FILES).status(), 200);
    let alone = "/studies/1.2/series/1.2.1/instances/1.2.9.2";
    problem(hilum.get_as(alone, FILES), 500, "damaged");
    damage(&hilum, b"needle 3");
    problem(hilum.get_as("/studies/1.2/series/1.2.2", FILES), 500, "damaged");
}

/// Long answers go out in many reads, and end where the first damaged byte of them
/// would be.
#[test]
fn neg_07_a_long_answer_breaks_off_where_it_is_damaged() {
    let hilum = Hilum::start();
    let file = |number: u8| {
        let sample = Sample::new("1.2", "1.2.1", &format!("1.2.9.{number}"));
        sample.pixels(1100, 1100, number).text(0xFFFC_FFFC, "OB", &format!("needle {number}")).file()
    };
    let files: Vec<Vec<u8>> = (1..=3).map(file).collect();
    assert!(hilum.store(&files.iter().map(Vec::as_slice).collect::<Vec<_>>()).status().is_success());
    // The second time what there is is in memory.
    for _ in 0..2 {
        let found = parts(hilum.get_as("/studies/1.2", FILES));
        assert!(found.iter().map(|(_, bytes)| bytes).eq(&files));
        let single = hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.9.3", SINGLE);
        assert!(single.bytes().unwrap() == files[2]);
    }
    damage(&hilum, b"needle 3");
    for (path, accept) in [("/studies/1.2", FILES), ("/studies/1.2/series/1.2.1/instances/1.2.9.3", SINGLE)] {
        let response = hilum.get_as(path, accept);
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.bytes().is_err(), "{path}");
    }
}

/// A lost pack is known before the first byte, wherever in the answer its
/// instances would stand.
#[test]
fn neg_07_a_lost_pack_takes_only_its_own_instances() {
    // Packs of one file.
    let hilum = Hilum::with(|config| config.store.pack_bytes_max = 1000);
    let file = |number: u8, bytes: usize| {
        Sample::new("1.2", "1.2.1", &format!("1.2.9.{number}"))
            .text(0x0020_4000, "LT", &format!("needle {number}"))
            .bytes(0x7FE0_0010, "OB", vec![number; bytes])
            .file()
    };
    let files = [file(1, 900_000), file(2, 2000), file(3, 2000)];
    for file in &files {
        assert!(hilum.store(&[file]).status().is_success());
    }
    let hilum = hilum.restart();
    let pack = pack_with(&hilum, b"needle 3");
    assert_ne!(pack, pack_with(&hilum, b"needle 2"));
    fs::remove_file(pack).unwrap();
    let answer = hilum.get_as("/studies/1.2", FILES);
    assert_eq!(answer.status(), 206);
    let found = parts(answer);
    assert_eq!(found.len(), 2);
    assert!(found[0].1 == files[0] && found[1].1 == files[1]);
}
