//! Studies and series as pictures: one that stands for them, or all.

use super::{gray, png_bytes};
use crate::{
    harness::{Hilum, parts},
    library::{header, problem},
    sample::Sample,
};

fn in_series(series: &str, instance: &str, number: &str, value: i16) -> Sample {
    gray([value, 0, 0, 0, 0, 0, 0, 1000])
        .text(0x0020_000E, "UI", series)
        .text(0x0008_0018, "UI", instance)
        .text(0x0020_0013, "IS", number)
        .text(0x0020_0011, "IS", if series == "1.2.1" { "5" } else { "2" })
        .text(0x0008_0060, "CS", if series == "1.2.3" { "SR" } else { "CT" })
        .text(0x0028_1050, "DS", "500")
        .text(0x0028_1051, "DS", "1000")
}

/// Two series of three and one images, and one of a report.
fn study(change: impl FnOnce(&mut hilum::config::Config)) -> Hilum {
    let hilum = Hilum::with(change);
    let report = Sample::new("1.2", "1.2.3", "1.2.3.1")
        .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.77.9.9")
        .text(0x0008_0060, "CS", "SR")
        .text(0x0020_0011, "IS", "1");
    let files = [
        in_series("1.2.1", "1.2.1.9", "1", 100).file(),
        in_series("1.2.1", "1.2.1.1", "2", 200).file(),
        in_series("1.2.1", "1.2.1.5", "3", 300).file(),
        in_series("1.2.2", "1.2.2.1", "1", 400).file(),
        report.file(),
    ];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    hilum
}

#[test]
fn ret_09_iop_22_one_stands_for_all() {
    let hilum = study(|_| {});
    // The series with the lowest number among those of pictures; the instance
    // in the middle of a series.
    for (path, location) in [
        ("/studies/1.2/rendered", "/series/1.2.2/instances/1.2.2.1"),
        ("/studies/1.2/series/1.2.1/rendered", "/series/1.2.1/instances/1.2.1.1"),
        ("/studies/1.2/thumbnail", "/series/1.2.2/instances/1.2.2.1"),
        ("/studies/1.2/series/1.2.1/thumbnail", "/series/1.2.1/instances/1.2.1.1"),
    ] {
        for accept in ["*/*", "image/jpeg"] {
            let answer = hilum.get_as(path, accept);
            assert_eq!(
                (answer.status().as_u16(), header(&answer, "content-type").as_str()),
                (200, "image/jpeg"),
                "{path}"
            );
            assert!(header(&answer, "content-location").ends_with(location), "{path}");
        }
    }
    problem(hilum.get_as("/studies/1.9/rendered", "*/*"), 404, "not-found");
    problem(hilum.get_as("/studies/1.2/series/1.2.3/rendered", "*/*"), 406, "not-acceptable");
}

#[test]
fn ret_09_neg_07_all_of_a_study_but_what_has_no_picture() {
    let hilum = study(|_| {});
    let png = "multipart/related; type=\"image/png\"";
    let series = hilum.get_as("/studies/1.2/series/1.2.1/rendered?viewport=4,2", png);
    assert_eq!(series.status(), 200);
    let mut first_pixels: Vec<u8> = parts(series).iter().map(|(_, bytes)| png_bytes(bytes).2[0]).collect();
    first_pixels.sort_unstable();
    assert_eq!(first_pixels, [26, 51, 77]);
    let all = hilum.get_as("/studies/1.2/rendered", png);
    assert_eq!(all.status(), 206);
    assert!(header(&all, "warning").contains("1 instances cannot be given as image/png"));
    assert_eq!(parts(all).len(), 4);
}

#[test]
fn ret_09_neg_06_strictly_a_collection_is_multipart() {
    let hilum = study(|config| config.strict.accept = true);
    problem(hilum.get_as("/studies/1.2/rendered", "image/jpeg"), 406, "not-acceptable");
    let answer = hilum.get_as("/studies/1.2/series/1.2.1/rendered", "*/*");
    assert!(header(&answer, "content-type").starts_with("multipart/related; type=\"image/jpeg\""));
    assert_eq!(parts(answer).len(), 3);
}

#[test]
fn rnd_16_a_request_has_a_limit_of_pictures() {
    let hilum = study(|config| config.limits.request_frames_max = 2);
    let answer = hilum.get_as("/studies/1.2/series/1.2.1/rendered", "multipart/related; type=\"image/png\"");
    problem(answer, 413, "too-large");
}

/// Too many at once are told to come again; what needs no drawing is not kept
/// waiting.
#[test]
fn rnd_01_overload_is_an_answer() {
    let hilum = study(|config| {
        config.pixels.threads = 1;
        config.pixels.waiting_max = 0;
    });
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..12)
            .map(|number| {
                let url = format!("/studies/1.2/series/1.2.1/rendered?viewport={},3000", 3000 + number);
                let hilum = &hilum;
                scope.spawn(move || hilum.get_as(&url, "image/png"))
            })
            .collect();
        let plain = hilum.get_as("/studies/1.2/metadata", "*/*");
        assert_eq!(plain.status(), 200);
        asked
            .into_iter()
            .map(|answer| {
                let answer = answer.join().unwrap();
                let status = answer.status().as_u16();
                assert!(status != 503 || header(&answer, "retry-after") == "2");
                status
            })
            .collect()
    });
    assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
}
