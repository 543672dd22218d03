//! Which media type is given: the vectors V20 to V26, and what RND-11 and 12 say
//! of several frames.

use super::{PATH, gray};
use crate::{
    harness::{Hilum, parts},
    library::{header, problem},
    sample::Sample,
};

#[test]
fn rnd_15_rnd_18_v20_to_v26_types_of_a_picture() {
    let hilum = Hilum::start();
    assert!(hilum.store(&[&gray([0, 1, 2, 3, 4, 5, 6, 7]).file()]).status().is_success());
    for (query, accept, expected) in [
        ("", "image/png;q=0.9, image/jpeg;q=0.4", "image/png"),
        ("", "image/avif,image/webp,image/*,*/*;q=0.8", "image/jpeg"),
        ("", "*/*", "image/jpeg"),
        ("", "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.70", "image/jpeg"),
        ("", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "image/gif"),
        ("?accept=image/png", "*/*", "image/png"),
        ("?accept=image/png", "image/jpeg", "image/jpeg"),
        ("?accept=image/tiff", "*/*", "image/tiff"),
        ("?accept=image/jxl", "*/*", "image/jxl"),
        ("?accept=application/pdf", "*/*", "application/pdf"),
    ] {
        let answer = hilum.get_as(&format!("{PATH}/rendered{query}"), accept);
        assert_eq!(answer.status(), 200, "{query} {accept}");
        assert_eq!(header(&answer, "content-type"), expected, "{query} {accept}");
        let location = header(&answer, "content-location");
        assert!(location.ends_with(PATH), "rnd_18: {location}");
    }
    problem(
        hilum.get_as(&format!("{PATH}/rendered"), "application/dicom, image/jpeg"),
        400,
        "invalid-parameter",
    );
    problem(hilum.get_as(&format!("{PATH}/rendered?accept=image/*"), "*/*"), 400, "invalid-parameter");
    problem(hilum.get_as(&format!("{PATH}/rendered"), "text/html"), 406, "not-acceptable");
    problem(hilum.get_as(&format!("{PATH}/rendered"), "video/mp4"), 406, "not-acceptable");
}

fn three_frames() -> Sample {
    Sample::new("1.2", "1.2.1", "1.2.1.1").pixels(2, 2, 3).text(0x0018_1063, "DS", "40")
}

#[test]
fn rnd_11_rnd_12_ret_15_several_frames() {
    let hilum = Hilum::start();
    assert!(hilum.store(&[&three_frames().file()]).status().is_success());
    let jpeg = "multipart/related; type=\"image/jpeg\"";
    // In the order in which they are asked for.
    let answer = hilum.get_as(&format!("{PATH}/frames/3,1/rendered"), jpeg);
    assert_eq!(answer.status(), 200);
    let heads: Vec<String> = parts(answer).into_iter().map(|(head, _)| head).collect();
    assert!(heads[0].contains("/frames/3") && heads[1].contains("/frames/1"), "{heads:?}");
    assert!(heads[0].starts_with("Content-Type: image/jpeg"), "{heads:?}");
    problem(hilum.get_as(&format!("{PATH}/frames/1,2/rendered"), "image/jpeg"), 406, "not-acceptable");
    problem(hilum.get_as(&format!("{PATH}/frames/4/rendered"), "image/jpeg"), 404, "not-found");
    problem(hilum.get_as(&format!("{PATH}/frames/0/rendered"), "image/jpeg"), 400, "invalid-parameter");
    for path in ["frames/2/rendered", "rendered/2"] {
        let answer = hilum.get_as(&format!("{PATH}/{path}"), "*/*");
        assert_eq!((answer.status().as_u16(), header(&answer, "content-type").as_str()), (200, "image/jpeg"));
        assert!(header(&answer, "content-location").ends_with("/frames/2"));
    }
    // All frames in one moving picture, with the time between them.
    for (path, count) in [("rendered", 3), ("frames/1,2/rendered", 2)] {
        let answer = hilum.get_as(&format!("{PATH}/{path}"), "image/gif");
        assert_eq!(answer.status(), 200, "{path}");
        let bytes = answer.bytes().unwrap();
        let mut decoder = gif::DecodeOptions::new().read_info(bytes.as_ref()).unwrap();
        let mut delays = Vec::new();
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            delays.push(frame.delay);
        }
        assert_eq!(delays, vec![4; count], "{path}");
    }
    let all = hilum.get_as(&format!("{PATH}/rendered"), jpeg);
    assert_eq!(parts(all).len(), 3);
}

#[test]
fn gen_09_a_picture_is_known_by_its_tag() {
    let hilum = Hilum::start();
    assert!(hilum.store(&[&gray([0, 1, 2, 3, 4, 5, 6, 7]).file()]).status().is_success());
    for path in ["rendered", "rendered?viewport=2,2", "thumbnail"] {
        let url = format!("{PATH}/{path}");
        let first = hilum.get_as(&url, "*/*");
        let tag = header(&first, "etag");
        let again = hilum.get(&url).header("Accept", "*/*").header("If-None-Match", &tag).send().unwrap();
        assert_eq!(again.status(), 304, "{path}");
        assert_eq!(header(&again, "etag"), tag);
        let range = hilum.get(&url).header("Accept", "*/*").header("Range", "bytes=0-1").send().unwrap();
        assert_eq!(range.status(), 206);
        assert_eq!(range.bytes().unwrap(), [0xFF, 0xD8].as_slice());
        let png = hilum.get_as(&url, "image/png");
        assert_ne!(header(&png, "etag"), tag, "{path}");
    }
    let head = hilum.client.head(format!("{}{PATH}/rendered", hilum.base)).send().unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "content-type").as_str()), (200, "image/jpeg"));
}
