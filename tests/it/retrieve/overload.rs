//! More decoding than there is room for (HOUSE: a full queue is 503 with
//! Retry-After), and the same decoding asked for by many.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::{
    harness::{Hilum, fixture, multipart},
    library::header,
    process::Process,
    sample::Sample,
};

const JPEG_2000: &str = "image/jp2";
const INSTANCE: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.1";

/// Frames of noise, which take an encoder long.
fn heavy(frames: usize, side: u16) -> Sample {
    let mut seed = 9_u32;
    let pixels = (0..usize::from(side) * usize::from(side) * frames)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        })
        .collect();
    Sample::new("1.2", "1.2.1", "1.2.1.1")
        .pixels(side, side, 1)
        .text(0x0028_0008, "IS", &frames.to_string())
        .bytes(0x7FE0_0010, "OB", pixels)
}

#[test]
fn ret_05_an_overload_is_503_and_reads_go_on() {
    let hilum = Hilum::with(|config| {
        config.pixels.threads = 1;
        config.pixels.waiting_max = 1;
    });
    assert_eq!(hilum.store(&[&heavy(24, 512).file()]).status(), 200);
    let refused = AtomicUsize::new(0);
    let served = AtomicUsize::new(0);
    let read = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (1..=24)
            .map(|frame| {
                let (hilum, refused, served) = (&hilum, &refused, &served);
                scope.spawn(move || {
                    let answer = hilum.get_as(&format!("{INSTANCE}/frames/{frame}"), JPEG_2000);
                    match answer.status().as_u16() {
                        200 => served.fetch_add(1, Ordering::SeqCst),
                        503 => {
                            assert!(header(&answer, "retry-after").parse::<u32>().expect("seconds") > 0);
                            refused.fetch_add(1, Ordering::SeqCst)
                        }
                        other => panic!("{other}"),
                    };
                })
            })
            .collect();
        let (hilum, read, is_over) = (&hilum, &read, &is_over);
        scope.spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                let plain = hilum.get_as(&format!("{INSTANCE}/frames/1"), "application/octet-stream");
                assert_eq!(plain.status(), 200, "what needs no decoding is given");
                assert_eq!(hilum.get_as(&format!("{INSTANCE}/metadata"), "*/*").status(), 200);
                read.fetch_add(1, Ordering::SeqCst);
            }
        });
        for asked in asking {
            asked.join().expect("no panic");
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let [refused, served, read] = [refused, served, read].map(|count| count.load(Ordering::SeqCst));
    assert!(refused > 0 && served > 0 && read > 0, "{refused} refused, {served} served, {read} read");
    // Later there is room again.
    let until = Instant::now() + Duration::from_mins(1);
    while hilum.get_as(&format!("{INSTANCE}/frames/24"), JPEG_2000).status() != 200 {
        assert!(Instant::now() < until, "still refused");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn ret_05_a_frame_has_a_limit_of_time_and_of_size() {
    let hilum = Hilum::with(|config| config.pixels.frame_time_max_ms = 1);
    let stored = hilum.store_fixture("RG3_J2KI.dcm");
    let frame = format!("{}/frames/1", stored.path);
    let slow = hilum.get_as(&frame, "application/octet-stream");
    assert_eq!(slow.status(), 406);
    assert!(slow.text().expect("a body").contains("pixels.frame_time_max_ms"));
    assert_eq!(hilum.get_as(&frame, "image/jp2").status(), 200, "as it is stored");
    // A code stream that says that it is 60000 by 60000 pixels is never begun.
    let hilum = Hilum::start();
    let mut file = fixture("693_J2KI.dcm");
    let start = memchr::memmem::find(&file, &[0xFF, 0x4F, 0xFF, 0x51]).expect("a code stream");
    for at in [8, 12, 24, 28] {
        file[start + at..start + at + 4].copy_from_slice(&60_000_u32.to_be_bytes());
    }
    let report = hilum.store(&[&file]);
    assert_eq!(report.status(), 200);
    let answer = hilum.get_as(&format!("{}/frames/1", stored_path(report)), "application/octet-stream");
    assert_eq!(answer.status(), 406);
    assert!(answer.text().expect("a body").contains("60000×60000"));
}

/// Where the only instance of a report is.
fn stored_path(report: reqwest::blocking::Response) -> String {
    let module = crate::harness::json_of(report);
    let url = module["00081199"]["Value"][0]["00081190"]["Value"][0].as_str().expect("a URL");
    url.split("/dicomweb").nth(1).expect("a path").to_owned()
}

/// The value of a counter; nothing is 0.
fn counted(server: &Process, name: &str) -> u32 {
    let url = server.base.replace("/dicomweb", "/metrics");
    let text = server.client.get(url).send().expect("an answer").text().expect("text");
    let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0, |value| value.parse().expect("a number"))
}

/// Stores a fixture; the URL of its instance.
fn stored(server: &Process, name: &str) -> String {
    let body = multipart("XX", &[&fixture(name)]);
    let kind = "multipart/related; type=\"application/dicom\"; boundary=XX";
    let url = format!("{}/studies", server.base);
    let report = server.client.post(url).header("Content-Type", kind).body(body).send().expect("an answer");
    let report: serde_json::Value = serde_json::from_str(&report.text().expect("text")).expect("JSON");
    report["00081199"]["Value"][0]["00081190"]["Value"][0].as_str().expect("a URL").to_owned()
}

#[test]
fn ret_05_ten_who_ask_for_one_frame_cost_one_decoding() {
    // A process of its own, since counters are of a process.
    let folder = tempfile::TempDir::new().expect("a folder");
    let server = Process::start(&folder.path().join("data"));
    let url = stored(&server, "RG3_J2KI.dcm");
    let ask = |path: &str, accept: &str| {
        let answer = server.client.get(format!("{url}{path}")).header("Accept", accept).send();
        assert_eq!(answer.expect("an answer").status(), 200, "{path} {accept}");
    };
    let made = || counted(&server, "hilum_frames_made_total");
    assert_eq!(made(), 0);
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| ask("/frames/1", "application/octet-stream"));
        }
    });
    assert_eq!(made(), 1);
    ask("/rendered", "image/jpeg");
    assert_eq!(made(), 1, "drawn from the same decoded frame");
    ask("/frames/1", "image/jls");
    assert_eq!(made(), 2, "another form of it");
}

#[test]
fn ret_05_a_frame_that_is_not_kept_is_made_once_an_answer() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let server =
        Process::with(&folder.path().join("data"), |command| command.env("HILUM_PIXELS_CACHE_BYTES", "0"));
    let url = stored(&server, "examples_ybr_color.dcm");
    let plain = "multipart/related; type=\"application/octet-stream\"";
    let frames = |list: &str| {
        let answer = server.client.get(format!("{url}/frames/{list}")).header("Accept", plain).send();
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes().expect("a body").len()
    };
    assert!(frames("2") > 230_400);
    assert_eq!(counted(&server, "hilum_frames_made_total"), 1);
    // Of several none waits in memory for the others.
    assert!(frames("1,2") > 460_800);
    assert_eq!(counted(&server, "hilum_frames_made_total"), 5);
}
