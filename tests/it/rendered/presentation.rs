//! Presentation states, as the target of a rendering and through the URI
//! service (RND-14, RND-03, URI-6).

use super::{PATH, gray, png_bytes, png_of};
use crate::{
    harness::{Hilum, parts},
    library::{header, part_header, problem},
    sample::Sample,
};

const STATE_CLASS: &str = "1.2.840.10008.5.1.4.1.1.11.1";
const STATE: &str = "/studies/1.2/series/1.2.9/instances/1.2.9.1";

fn signed(tag: u32, values: &[i32], sample: Sample) -> Sample {
    sample.bytes(tag, "SL", values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn floats(tag: u32, values: &[f32], sample: Sample) -> Sample {
    sample.bytes(tag, "FL", values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn reference(instance: &str) -> Sample {
    Sample::empty().text(0x0008_1150, "UI", "1.2.840.10008.5.1.4.1.1.2").text(0x0008_1155, "UI", instance)
}

/// A state of these images of series 1.2.1, which shows them as they are.
fn state(images: &[Sample]) -> Sample {
    let series = Sample::empty().text(0x0020_000E, "UI", "1.2.1").items(0x0008_1140, images);
    Sample::new("1.2", "1.2.9", "1.2.9.1")
        .text(0x0008_0016, "UI", STATE_CLASS)
        .items(0x0008_1115, &[series])
        .text(0x2050_0020, "CS", "IDENTITY")
}

fn window(center: &str, width: &str, images: &[Sample]) -> Sample {
    let item = Sample::empty().text(0x0028_1050, "DS", center).text(0x0028_1051, "DS", width);
    if images.is_empty() { item } else { item.items(0x0008_1140, images) }
}

fn area(corners: [i32; 4], mode: &str) -> Sample {
    let item = signed(0x0070_0052, &corners[..2], Sample::empty());
    signed(0x0070_0053, &corners[2..], item).text(0x0070_0100, "CS", mode)
}

/// An image that is its own presentation state, with all that is drawn of one.
pub fn everything() -> Vec<u8> {
    let layer = Sample::empty()
        .text(0x0070_0002, "CS", "ONE")
        .text(0x0070_0062, "IS", "1")
        .number(0x0070_0066, 0x4040)
        .bytes(0x0070_0401, "US", vec![0, 128, 0, 224, 0, 192]);
    let graphic = |kind: &str, points: &[f32]| {
        floats(0x0070_0022, points, Sample::empty())
            .text(0x0070_0005, "CS", "PIXEL")
            .number(0x0070_0020, 2)
            .number(0x0070_0021, u16::try_from(points.len() / 2).expect("few"))
            .text(0x0070_0023, "CS", kind)
            .text(0x0070_0024, "CS", "Y")
    };
    let graphics = [
        graphic("POINT", &[1.0, 1.0]),
        graphic("POLYLINE", &[0.0, 0.0, 3.0, 1.0, 0.0, 2.0]),
        graphic("INTERPOLATED", &[0.0, 0.0, 3.0, 1.0, 0.0, 2.0, 0.0, 0.0]),
        graphic("CIRCLE", &[2.0, 1.0, 3.0, 1.0]),
        graphic("ELLIPSE", &[0.0, 1.0, 4.0, 1.0, 2.0, 0.0, 2.0, 2.0]),
    ];
    let text = floats(0x0070_0010, &[0.1, 0.1], Sample::empty());
    let text = floats(0x0070_0011, &[0.9, 0.9], text);
    let text = floats(0x0070_0014, &[2.0, 1.0], text)
        .text(0x0070_0003, "CS", "DISPLAY")
        .text(0x0070_0004, "CS", "PIXEL")
        .text(0x0070_0006, "ST", "a\r\nb")
        .text(0x0070_0012, "CS", "CENTER")
        .text(0x0070_0015, "CS", "Y");
    let annotation = Sample::empty()
        .text(0x0070_0002, "CS", "ONE")
        .items(0x0070_0008, &[text])
        .items(0x0070_0009, &graphics);
    let table = Sample::empty().bytes(0x0028_3002, "US", vec![2, 0, 0, 0, 8, 0]).bytes(
        0x0028_3006,
        "OW",
        vec![255, 51],
    );
    let magnified = floats(0x0070_0103, &[8.0], area([2, 1, 3, 2], "MAGNIFY"));
    let series = Sample::empty().text(0x0020_000E, "UI", "1.2.1").items(0x0008_1140, &[reference("1.2.1.1")]);
    gray([0, 100, 200, 300, 400, 500, 600, 700])
        .items(0x0008_1115, &[series])
        .text(0x0018_1600, "CS", "RECTANGULAR\\CIRCULAR\\POLYGONAL\\BITMAP")
        .text(0x0018_1602, "IS", "1")
        .text(0x0018_1604, "IS", "3")
        .text(0x0018_1610, "IS", "1\\2")
        .text(0x0018_1612, "IS", "2")
        .text(0x0018_1620, "IS", "1\\1\\1\\4\\2\\2")
        .number(0x0018_1622, 0x8080)
        .number(0x0018_1623, 0x6000)
        .items(0x0028_3110, &[window("350.5", "701", &[]).items(0x0028_3010, std::slice::from_ref(&table))])
        .items(0x2050_0010, &[table])
        .number(0x6000_0010, 2)
        .number(0x6000_0011, 4)
        .text(0x6000_0040, "CS", "G")
        .bytes(0x6000_0050, "SS", vec![1, 0, 1, 0])
        .number(0x6000_0100, 1)
        .number(0x6000_0102, 0)
        .text(0x6000_1001, "CS", "ONE")
        .bytes(0x6000_3000, "OW", vec![0b0000_0001, 0])
        .items(0x0070_0001, &[annotation])
        .number(0x0070_0042, 90)
        .text(0x0070_0041, "CS", "Y")
        .items(0x0070_005A, &[magnified])
        .items(0x0070_0060, &[layer])
        .file()
}

/// The four by two image and a state of it.
fn shown(state: &Sample, query: &str) -> (u32, u32, Vec<u8>) {
    let hilum = Hilum::start();
    // What the image says of its window does not count.
    let image = gray([0, 100, 200, 300, 400, 500, 600, 700]).text(0x0028_1050, "DS", "5").text(
        0x0028_1051,
        "DS",
        "2",
    );
    assert!(hilum.store(&[&image.file(), &state.file()]).status().is_success());
    png_of(hilum.get_as(&format!("{STATE}/rendered{query}"), "image/png"))
}

#[test]
fn rnd_14_a_state_of_everything_is_drawn() {
    use hilum::{dicom::part10, pixels::Description, render::picture::Frame, render::presentation};
    let file = everything();
    let mut set = part10::parse(&file.as_slice(), &part10::Limits::default()).expect("a file").dataset;
    let description = Description::of(&set).expect("an image");
    set.put_text(dicom_core::Tag(0x0008, 0x0016), dicom_core::VR::UI, STATE_CLASS);
    let frame = Frame { bytes: &[7; 16], description: &description, set: &set, index: 0 };
    let image = presentation::draw(&frame, &set, Some((64, 48))).expect("a picture");
    // Two columns and two rows, eight times as large and turned.
    assert_eq!((image.width, image.height), (16, 16));
    assert!(image.data.iter().any(|value| *value != image.data[0]));
}

#[test]
fn rnd_14_values_go_the_way_of_the_state() {
    let all = [reference("1.2.1.1")];
    let plain = state(&all);
    let of = |state: &Sample| shown(state, "").2;
    // Nothing but the presentation LUT: all values that 16 bits can have.
    assert_eq!(of(&plain)[0], 128);
    let windowed = plain.clone().items(0x0028_3110, &[window("350.5", "701", &[])]);
    let expected = [0, 36, 73, 109, 146, 182, 219, 255];
    assert_eq!(of(&windowed), expected);
    let inverse = windowed.clone().text(0x2050_0020, "CS", "INVERSE");
    assert_eq!(of(&inverse), expected.map(|value| 255 - value));
    // Its own rescaling, and a table as the presentation LUT.
    let rescaled = windowed.clone().text(0x0028_1053, "DS", "2").text(0x0028_1052, "DS", "-700");
    assert_eq!(of(&rescaled), [0, 0, 0, 0, 36, 109, 182, 255]);
    let table = Sample::empty()
        .bytes(0x0028_3002, "US", [2_u16, 0, 8].iter().flat_map(|n| n.to_le_bytes()).collect())
        .bytes(0x0028_3006, "OW", vec![255, 51]);
    let tabled = windowed.without(0x2050_0020).items(0x2050_0010, &[table]);
    assert_eq!(of(&tabled), [255, 255, 255, 255, 51, 51, 51, 51]);
    // Of two windows, the one that is for this image.
    let two = [window("1", "1", &[reference("1.2.1.7")]), window("350.5", "701", &all)];
    assert_eq!(of(&plain.items(0x0028_3110, &two)), expected);
}

#[test]
fn rnd_14_areas_turns_and_sizes() {
    let base = state(&[reference("1.2.1.1")]).items(0x0028_3110, &[window("350.5", "701", &[])]);
    let part = base.clone().items(0x0070_005A, &[area([2, 1, 3, 2], "SCALE TO FIT")]);
    assert_eq!(shown(&part, ""), (2, 2, vec![36, 73, 182, 219]));
    let (width, height, _) = shown(&part, "?viewport=40,60");
    assert_eq!((width, height), (40, 40), "as large as it fits");
    let turned = base
        .clone()
        .items(0x0070_005A, &[area([1, 2, 4, 1], "TRUE SIZE")])
        .number(0x0070_0042, 90)
        .text(0x0070_0041, "CS", "N");
    assert_eq!(shown(&turned, ""), (2, 4, vec![146, 0, 182, 36, 219, 73, 255, 109]));
    let mirrored = base.clone().number(0x0070_0042, 0).text(0x0070_0041, "CS", "Y");
    assert_eq!(shown(&mirrored, "").2, [109, 73, 36, 0, 255, 219, 182, 146]);
    let large = floats(0x0070_0103, &[8.0], area([1, 1, 4, 2], "MAGNIFY"));
    let large = base.items(0x0070_005A, &[large]);
    let (width, height, _) = shown(&large, "");
    assert_eq!((width, height), (32, 16));
    let (width, height, pixels) = shown(&large, "?viewport=10,10");
    assert_eq!((width, height, pixels[0]), (10, 10, 0), "cut, not scaled");
}

#[test]
fn rnd_14_shutters_overlays_and_annotations() {
    let base = state(&[reference("1.2.1.1")]).items(0x0028_3110, &[window("350.5", "701", &[])]);
    let of = |state: &Sample| shown(state, "").2;
    let shutter = base
        .clone()
        .text(0x0018_1600, "CS", "RECTANGULAR")
        .text(0x0018_1602, "IS", "2")
        .text(0x0018_1604, "IS", "3")
        .text(0x0018_1606, "IS", "2")
        .text(0x0018_1608, "IS", "2")
        .number(0x0018_1622, 0x8080);
    assert_eq!(of(&shutter), [128, 128, 128, 128, 128, 182, 219, 128]);
    // An overlay of the state shows only where it is activated, in its layer's gray.
    let layer = Sample::empty()
        .text(0x0070_0002, "CS", "ONE")
        .text(0x0070_0062, "IS", "1")
        .number(0x0070_0066, 0x4040);
    let overlay = base
        .clone()
        .number(0x6000_0010, 2)
        .number(0x6000_0011, 4)
        .text(0x6000_0040, "CS", "G")
        .bytes(0x6000_0050, "SS", vec![1, 0, 1, 0])
        .number(0x6000_0100, 1)
        .number(0x6000_0102, 0)
        .bytes(0x6000_3000, "OW", vec![0b0000_0001, 0])
        .items(0x0070_0060, std::slice::from_ref(&layer));
    assert_eq!(of(&overlay)[0], 0);
    assert_eq!(of(&overlay.text(0x6000_1001, "CS", "ONE"))[0], 64);
    // A filled rectangle over the left half, told in parts of what is shown.
    let filled = floats(0x0070_0022, &[0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0, 0.0, 0.0], Sample::empty())
        .text(0x0070_0005, "CS", "DISPLAY")
        .number(0x0070_0020, 2)
        .number(0x0070_0021, 5)
        .text(0x0070_0023, "CS", "POLYLINE")
        .text(0x0070_0024, "CS", "Y");
    let annotation = Sample::empty().text(0x0070_0002, "CS", "ONE").items(0x0070_0009, &[filled]);
    let annotated = base.items(0x0070_0001, &[annotation]).items(0x0070_0060, &[layer]);
    let pixels = shown(&annotated, "?viewport=64,64").2;
    assert_eq!((pixels[64 * 10 + 10], pixels[64 * 20 + 16]), (64, 64));
    assert!(pixels[64 * 20 + 50] > 200, "not there");
}

#[test]
fn rnd_14_rnd_18_all_images_of_a_state_in_their_order() {
    let hilum = Hilum::start();
    let image = |number: i16, position: &str| {
        gray([number; 8])
            .text(0x0008_0018, "UI", &format!("1.2.1.{number}"))
            .text(0x0020_0032, "DS", position)
            .text(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0")
            .file()
    };
    let references = [reference("1.2.1.1"), reference("1.2.1.2"), reference("1.2.1.3")];
    let files = [image(1, "0\\0\\9"), image(2, "0\\0\\-3"), image(3, "0\\0\\4"), state(&references).file()];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert!(hilum.store(&files).status().is_success());
    let answer = hilum.get_as(&format!("{STATE}/rendered"), "multipart/related; type=\"image/png\"");
    assert_eq!(answer.status(), 200);
    let found = parts(answer);
    let places: Vec<String> = found.iter().map(|(head, _)| part_header(head, "content-location")).collect();
    for (place, number) in places.iter().zip([2, 3, 1]) {
        assert!(place.ends_with(&format!("/instances/1.2.1.{number}/frames/1")), "{places:?}");
    }
    assert!(found.iter().all(|(_, body)| png_bytes(body).0 == 4));
    let one = hilum.get_as(&format!("{STATE}/rendered"), "*/*");
    assert_eq!(header(&one, "content-type"), "image/jpeg");
    let unchanged = hilum.get(&format!("{STATE}/rendered")).header("If-None-Match", header(&one, "etag"));
    assert_eq!(unchanged.send().expect("an answer").status(), 304);
}

#[test]
fn rnd_14_rnd_03_what_does_not_go_with_a_state_is_400() {
    let hilum = Hilum::start();
    let image = gray([0, 100, 200, 300, 400, 500, 600, 700]).file();
    let here = state(&[reference("1.2.1.1")]);
    assert!(hilum.store(&[&image, &here.file()]).status().is_success());
    for query in ["window=40,400,linear", "viewport=10,10,0,0,2,2"] {
        let answer = hilum.get_as(&format!("{STATE}/rendered?{query}"), "image/png");
        problem(answer, 400, "invalid-parameter");
    }
    assert_eq!(hilum.get_as(&format!("{STATE}/frames/1/rendered"), "image/png").status(), 404);
    problem(hilum.get_as(&format!("{STATE}/rendered"), "text/html"), 406, "not-acceptable");
    let lacking = [
        state(&[reference("1.2.1.1"), reference("1.2.1.99")]),
        state(&[reference("1.2.1.1").text(0x0008_1160, "IS", "2")]),
        state(&[]),
    ];
    for lacking in lacking {
        let hilum = Hilum::start();
        assert!(hilum.store(&[&image, &lacking.file()]).status().is_success());
        let answer = hilum.get_as(&format!("{STATE}/rendered"), "image/png");
        assert_eq!(answer.status(), 400);
        assert!(answer.text().expect("a body").contains("the presentation state lacks"));
    }
}

#[test]
fn uri_6_rnd_14_an_image_with_a_state_by_the_uri_service() {
    let hilum = Hilum::start();
    let image = gray([0, 100, 200, 300, 400, 500, 600, 700]);
    let other = image.clone().text(0x0008_0018, "UI", "1.2.1.2");
    let state = state(&[reference("1.2.1.1")]).items(0x0028_3110, &[window("350.5", "701", &[])]).text(
        0x2050_0020,
        "CS",
        "INVERSE",
    );
    assert!(hilum.store(&[&image.file(), &other.file(), &state.file()]).status().is_success());
    let ask = |object: &str, query: &str| {
        let path = format!(
            "/wado?requestType=WADO&studyUID=1.2&seriesUID=1.2.1&objectUID={object}&contentType=image/png{query}"
        );
        hilum.get_as(&path, "*/*")
    };
    let with = "&presentationSeriesUID=1.2.9&presentationUID=1.2.9.1";
    let (_, _, pixels) = png_of(ask("1.2.1.1", with));
    assert_eq!(pixels, [255, 219, 182, 146, 109, 73, 36, 0]);
    assert_ne!(png_of(ask("1.2.1.1", "")).2, pixels);
    for (object, query) in [
        ("1.2.1.1", "&presentationUID=1.2.9.1"),
        ("1.2.1.1", "&presentationSeriesUID=1.2.9&presentationUID=1.2.9.77"),
        ("1.2.1.1", "&presentationSeriesUID=1.2.1&presentationUID=1.2.1.2"),
        ("1.2.1.2", with),
        ("1.2.1.1", &format!("{with}&windowCenter=40&windowWidth=400")),
        ("1.2.1.1", &format!("{with}&region=0,0,0.5,0.5")),
    ] {
        problem(ask(object, query), 400, "invalid-parameter");
    }
    assert_eq!(hilum.get_as(&format!("{PATH}/rendered"), "image/png").status(), 200);
}
