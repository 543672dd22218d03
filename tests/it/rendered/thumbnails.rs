//! Thumbnails: small, kept, and without anything that tells who it is.

use super::{PATH, gray, png_of};
use crate::{
    harness::{Hilum, parts},
    library::{header, part_header, problem},
    sample::Sample,
};

#[test]
fn ret_11_rnd_17_every_level_has_a_thumbnail() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("emri_small.dcm");
    let series = format!("/studies/{}/series/{}", stored.study, stored.series);
    for path in [
        format!("/studies/{}/thumbnail", stored.study),
        format!("{series}/thumbnail"),
        format!("{}/thumbnail", stored.path),
        format!("{}/frames/3/thumbnail", stored.path),
        format!("{}/thumbnail/3", stored.path),
    ] {
        for accept in ["*/*", "image/jpeg", "image/avif,image/webp,image/*,*/*;q=0.8"] {
            let answer = hilum.get_as(&path, accept);
            assert_eq!(
                (answer.status().as_u16(), header(&answer, "content-type").as_str()),
                (200, "image/jpeg"),
                "{path}"
            );
        }
        let (width, height, _) = png_of(hilum.get_as(&format!("{path}?viewport=40,30"), "image/png"));
        assert_eq!((width, height), (30, 30), "{path}");
        let refused = hilum.get_as(&format!("{path}?viewport=40,30,0,0"), "*/*");
        assert_eq!(problem(refused, 400, "invalid-parameter")["parameter"], "viewport");
    }
    problem(hilum.get_as(&format!("{}/frames/11/thumbnail", stored.path), "*/*"), 404, "not-found");
    problem(hilum.get_as(&format!("{}/thumbnail", stored.path), "application/dicom"), 406, "not-acceptable");
}

#[test]
fn rnd_17_what_has_no_picture_has_an_icon() {
    let hilum = Hilum::start();
    for name in ["test-SR.dcm", "rtplan.dcm"] {
        let stored = hilum.store_fixture(name);
        let (width, height, pixels) =
            png_of(hilum.get_as(&format!("{}/thumbnail?viewport=64,80", stored.path), "image/png"));
        assert_eq!((width, height), (64, 64));
        assert!(pixels.iter().any(|value| *value > 180), "{name}");
    }
}

#[test]
fn rnd_17_nothing_that_identifies_is_in_a_thumbnail() {
    let hilum = Hilum::start();
    let image = || gray([0, 100, 200, 300, 400, 500, 600, 700]);
    let plain = |sample: Sample, query: &str| {
        assert!(hilum.delete("/studies/1.2").status().as_u16() < 500);
        assert!(hilum.store(&[&sample.file()]).status().is_success());
        png_of(hilum.get_as(&format!("{PATH}/thumbnail?viewport=4,4{query}"), "image/png")).2
    };
    let expected = [0, 36, 73, 109, 146, 182, 219, 255];
    assert_eq!(plain(image(), ""), expected);
    assert_eq!(plain(image().text(0x0010_0010, "PN", "DOE^JANE"), "&annotation=patient"), expected);
    let overlay = image()
        .number(0x6000_0010, 2)
        .number(0x6000_0011, 4)
        .text(0x6000_0040, "CS", "G")
        .bytes(0x6000_0050, "SS", vec![1, 0, 1, 0])
        .bytes(0x6000_3000, "OW", vec![0xFF, 0]);
    assert_eq!(plain(overlay, ""), expected);
    let written_in = plain(image().text(0x0028_0301, "CS", "YES"), "");
    assert_ne!(written_in, expected, "an icon");
}

#[test]
fn rnd_17_thumbnails_are_made_once_and_kept() {
    let hilum = Hilum::start();
    assert!(hilum.store(&[&gray([0, 1, 2, 3, 4, 5, 6, 7]).file()]).status().is_success());
    let path = format!("{PATH}/thumbnail");
    let first = hilum.get_as(&path, "*/*").bytes().unwrap();
    let folder = hilum.data().join("thumbnails");
    assert!(folder.is_dir());
    let hilum = hilum.restart();
    assert!(hilum.get_as(&path, "*/*").bytes().unwrap() == first);
    // Nothing rests on them.
    std::fs::remove_dir_all(hilum.data().join("thumbnails")).unwrap();
    let hilum = hilum.restart();
    assert!(hilum.get_as(&path, "*/*").bytes().unwrap() == first);
    let deleted = hilum.delete(PATH).status();
    assert!(deleted.is_success());
    problem(hilum.get_as(&path, "*/*"), 410, "gone");
}

/// Who takes multipart only was given a bare picture, which it did not accept.
#[test]
fn ret_11_a_thumbnail_comes_in_a_part_for_who_asks_so() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("CT_small.dcm");
    let path = format!("{}/thumbnail", stored.path);
    let single = hilum.get_as(&path, "image/png");
    let tag = header(&single, "etag");
    let multipart = hilum.get_as(&path, "multipart/related; type=\"image/png\"");
    assert!(header(&multipart, "content-type").starts_with("multipart/related; type=\"image/png\""));
    assert_ne!(header(&multipart, "etag"), tag);
    let found = parts(multipart);
    assert_eq!(found.len(), 1);
    assert_eq!(part_header(&found[0].0, "content-type"), "image/png");
    assert!(found[0].1 == single.bytes().unwrap());
}
