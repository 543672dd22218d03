//! How a picture looks: values, colours, regions, text.

use super::{PATH, gray, png_of};
use crate::{
    harness::{Hilum, parts},
    library::{header, problem},
    sample::Sample,
};

/// The pixels of the only instance, as PNG.
fn pixels_of(sample: &Sample, query: &str) -> Vec<u8> {
    let hilum = Hilum::start();
    assert!(hilum.store(&[&sample.file()]).status().is_success());
    png_of(hilum.get_as(&format!("{PATH}/rendered{query}"), "image/png")).2
}

#[test]
fn rnd_08_rnd_09_rnd_03_windows_over_rescaled_values() {
    let image = gray([-1000, 0, 40, 140, 240, 241, 1000, 3000]);
    // None: from the smallest value to the largest, padding left out.
    assert_eq!(pixels_of(&image, ""), [0, 64, 66, 73, 79, 79, 128, 255]);
    let padded = image.clone().bytes(0x0028_0120, "SS", 3000_i16.to_le_bytes().to_vec());
    assert_eq!(pixels_of(&padded, ""), [0, 128, 133, 145, 158, 158, 255, 0]);
    let windowed = image.text(0x0028_1050, "DS", "140.5\\9").text(0x0028_1051, "DS", "201\\9").text(
        0x0028_1053,
        "DS",
        "1",
    );
    let linear = [0, 0, 0, 128, 255, 255, 255, 255];
    assert_eq!(pixels_of(&windowed, ""), linear, "the first window");
    assert_eq!(
        pixels_of(&windowed.clone().text(0x0028_1052, "DS", "1000"), "?window=1140.5,201,linear"),
        linear
    );
    assert_eq!(pixels_of(&windowed, "?window=140,200,linear-exact"), [0, 0, 0, 128, 255, 255, 255, 255]);
    assert_eq!(pixels_of(&windowed, "?window=140,200,sigmoid"), [0, 15, 30, 128, 225, 225, 255, 255]);
    let sigmoid = windowed.clone().text(0x0028_1056, "CS", "SIGMOID");
    assert_eq!(pixels_of(&sigmoid, "")[3], 127);
    // A table goes before the window.
    let table = Sample::empty().bytes(
        0x0028_3002,
        "SS",
        [2_i16, 140, 8].iter().flat_map(|n| n.to_le_bytes()).collect(),
    );
    let table = table.bytes(0x0028_3006, "OW", vec![10, 200]);
    assert_eq!(pixels_of(&windowed.items(0x0028_3010, &[table]), ""), [10, 10, 10, 10, 200, 200, 200, 200]);
}

/// The first input of a VOI LUT was signed only if the frame at hand had a negative value:
/// of the slices of one series, those without air came out all white.
#[test]
fn rnd_10_the_sign_of_a_table_is_that_of_the_series() {
    let words = |words: [u16; 3]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let table = Sample::empty().bytes(0x0028_3002, "US", words([3, 65_436, 8]));
    let table = table.bytes(0x0028_3006, "OW", vec![10, 100, 200, 0]);
    let slice = |values| {
        let slice = gray(values).number(0x0028_0101, 12).number(0x0028_0102, 11).number(0x0028_0103, 0);
        slice.text(0x0028_1052, "DS", "-1024").items(0x0028_3010, std::slice::from_ref(&table))
    };
    // -100, -99 and -98 are what the table tells apart.
    let air = slice([0, 924, 925, 926, 1024, 2000, 3000, 4000]);
    assert_eq!(pixels_of(&air, ""), [10, 10, 100, 200, 200, 200, 200, 200]);
    assert_eq!(pixels_of(&slice([1024, 1025, 1026, 1027, 1100, 2000, 3000, 4000]), ""), [200; 8]);
}

/// Each tile of a gray slide, fluorescence say, was stretched from its own darkest to its
/// own brightest value, so that none fitted its neighbours; and `window` was ignored.
#[test]
fn rnd_12_rnd_03_the_tiles_of_a_gray_slide_have_one_brightness() {
    // Two tiles of four columns beside each other.
    let slide = gray([0; 8])
        .text(0x0008_0008, "CS", "ORIGINAL\\PRIMARY\\VOLUME\\NONE")
        .text(0x0020_9311, "CS", "TILED_FULL")
        .text(0x0028_0008, "IS", "2")
        .number(0x0028_0010, 1)
        .bytes(0x0048_0006, "UL", 8_u32.to_le_bytes().to_vec())
        .bytes(0x0048_0007, "UL", 1_u32.to_le_bytes().to_vec())
        .bytes(0x7FE0_0010, "OW", (0..8_u16).flat_map(|at| (at * 100).to_le_bytes()).collect());
    assert_eq!(pixels_of(&slide, ""), [0, 36, 73, 109, 146, 182, 219, 255].map(|gray| [gray; 3]).concat());
    let windowed = pixels_of(&slide, "?window=400,200,linear-exact");
    assert_eq!(windowed, [0, 0, 0, 0, 128, 255, 255, 255].map(|gray| [gray; 3]).concat());
}

#[test]
fn rnd_01_a_faint_fraction_is_not_a_certain_one() {
    let segmentation =
        gray([0, 50, 100, 0, 0, 0, 0, 25]).text(0x0062_0001, "CS", "FRACTIONAL").number(0x0062_000E, 200);
    assert_eq!(pixels_of(&segmentation, ""), [0, 64, 128, 0, 0, 0, 0, 32]);
}

/// Parametric maps (Float and Double Float Pixel Data) were refused: whether their frames
/// can be decoded was asked of the encoder, which takes no floating point samples.
#[test]
fn rnd_08_floating_point_samples_are_drawn() {
    let values = [-1.0_f32, 0.0, 0.25, 0.5, 0.75, 1.0, 0.1, 100.0];
    let float = gray([0; 8]).without(0x7FE0_0010).without(0x0028_0101).without(0x0028_0102);
    let double = float.clone().number(0x0028_0100, 64).bytes(
        0x7FE0_0009,
        "OD",
        values.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect(),
    );
    let float = float.number(0x0028_0100, 32).bytes(
        0x7FE0_0008,
        "OF",
        values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    );
    for image in [&float, &double] {
        assert_eq!(pixels_of(image, "?window=0.5,1,linear-exact"), [0, 0, 64, 128, 191, 255, 26, 255]);
        assert_eq!(pixels_of(image, "")[..2], [0, 3], "from the smallest value to the largest");
    }
    let hilum = Hilum::start();
    assert!(hilum.store(&[&float.file()]).status().is_success());
    let refused = hilum.get_as(&format!("{PATH}/frames/1"), "image/jls");
    assert!(problem(refused, 406, "not-acceptable")["detail"].as_str().unwrap().contains("floating point"));
}

#[test]
fn rnd_10_inversion_palettes_and_colour_spaces() {
    let values = [0, 1, 2, 3, 3, 2, 1, 255];
    let inverse = gray(values).text(0x0028_0004, "CS", "MONOCHROME1");
    assert_eq!(pixels_of(&inverse, ""), [255, 254, 253, 252, 252, 253, 254, 0]);
    let both = inverse.text(0x2050_0020, "CS", "INVERSE");
    assert_eq!(pixels_of(&both, "")[7], 0, "both say the same");

    let mut palette =
        gray([0, 1, 2, 3, 3, 2, 1, 9]).text(0x0028_0004, "CS", "PALETTE COLOR").number(0x0028_0103, 0);
    let words = |values: [u16; 3]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    for (descriptor, data, top) in [
        (0x0028_1101, 0x0028_1201, 0xFF00),
        (0x0028_1102, 0x0028_1202, 0x8000),
        (0x0028_1103, 0x0028_1203, 0),
    ] {
        palette =
            palette.bytes(descriptor, "US", words([3, 1, 16])).bytes(data, "OW", words([0, 0x1000, top]));
    }
    let colors = pixels_of(&palette, "");
    assert_eq!(colors[..15], [0, 0, 0, 0, 0, 0, 16, 16, 16, 255, 128, 0, 255, 128, 0]);

    let color = |photometric: &str, pixels: [u8; 6]| {
        Sample::new("1.2", "1.2.1", "1.2.1.1")
            .pixels(1, 2, 1)
            .number(0x0028_0002, 3)
            .text(0x0028_0004, "CS", photometric)
            .number(0x0028_0006, 0)
            .bytes(0x7FE0_0010, "OB", pixels.to_vec())
    };
    assert_eq!(pixels_of(&color("RGB", [1, 2, 3, 4, 5, 6]), ""), [1, 2, 3, 4, 5, 6]);
    let planes = color("RGB", [1, 2, 3, 4, 5, 6]).number(0x0028_0006, 1);
    assert_eq!(pixels_of(&planes, ""), [1, 3, 5, 2, 4, 6]);
    assert_eq!(pixels_of(&color("YBR_FULL", [76, 85, 255, 29, 255, 107]), ""), [254, 0, 0, 0, 0, 254]);
}

#[test]
fn rnd_04_rnd_02_regions_scales_and_mirrors() {
    let hilum = Hilum::start();
    assert!(hilum.store(&[&gray([0, 1, 2, 3, 4, 5, 6, 255]).file()]).status().is_success());
    let shown = |query: &str| png_of(hilum.get_as(&format!("{PATH}/rendered?viewport={query}"), "image/png"));
    assert_eq!(shown("2,2,1,0,2,2"), (2, 2, vec![1, 2, 5, 6]));
    assert_eq!(shown("2,2,1,0,-2,-2"), (2, 2, vec![6, 5, 2, 1]));
    assert_eq!(shown("4,1,,1"), (4, 1, vec![4, 5, 6, 255]));
    let (width, height, _) = shown("400,400");
    assert_eq!((width, height), (400, 200), "scaled up, in its aspect");
    let (width, height, _) = shown("2,400");
    assert_eq!((width, height), (2, 1));
    let outside = hilum.get_as(&format!("{PATH}/rendered?viewport=2,2,4,0"), "image/png");
    assert_eq!(problem(outside, 400, "invalid-parameter")["parameter"], "viewport");
}

#[test]
fn rnd_03_rnd_04_rnd_05_rnd_06_rnd_07_bad_values_are_named() {
    let hilum = Hilum::start();
    assert!(hilum.store(&[&gray([0; 8]).file()]).status().is_success());
    for (query, parameter) in [
        ("window=1,2,cubic", "window"),
        ("window=", "window"),
        ("viewport=100", "viewport"),
        ("viewport=0,10", "viewport"),
        ("viewport=100000,10", "viewport"),
        ("quality=0", "quality"),
        ("quality=high", "quality"),
        ("annotation=", "annotation"),
        ("iccprofile=cmyk", "iccprofile"),
        ("iccprofile=yes&accept=image/gif", "iccprofile"),
    ] {
        let refused = hilum.get_as(&format!("{PATH}/rendered?{query}"), "*/*");
        assert_eq!(problem(refused, 400, "invalid-parameter")["parameter"], parameter, "{query}");
    }
    let warned = hilum.get_as(&format!("{PATH}/rendered?annotation=patient,series&unknown=1"), "*/*");
    assert_eq!(warned.status(), 200);
    let warning = header(&warned, "warning");
    assert!(
        warning.starts_with("299 ") && warning.contains("annotation values are not supported: series"),
        "{warning}"
    );
}

#[test]
fn rnd_06_rnd_05_text_and_quality_change_the_picture() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("examples_overlay.dcm");
    let bytes = |query: &str| {
        let answer = hilum.get_as(&format!("{}/rendered?{query}", stored.path), "image/jpeg");
        assert_eq!(answer.status(), 200, "{query}");
        answer.bytes().unwrap()
    };
    let plain = bytes("quality=90");
    assert!(plain == bytes(""), "90 is the default");
    assert!(bytes("quality=20").len() < plain.len() / 2);
    let named = bytes("annotation=patient,technique");
    assert!(named != plain && named.len() > plain.len());
    assert!(memchr::memmem::find(&bytes("iccprofile=yes"), b"ICC_PROFILE\0").is_some());
}

/// Tiles of slides and frames of ultrasound are stored as what every viewer shows: to draw
/// them anew took ten times the work and lost a little each time.
#[test]
fn rnd_01_a_frame_that_is_a_picture_is_shown_as_it_is() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("examples_ybr_color.dcm");
    let frame = format!("{}/frames/3", stored.path);
    let code =
        parts(hilum.get_as(&frame, "multipart/related; type=\"image/jpeg\"; transfer-syntax=*")).remove(0).1;
    let rendered = |query: &str| {
        let answer = hilum.get_as(&format!("{frame}/rendered{query}"), "image/jpeg");
        assert_eq!(answer.status(), 200, "{query}");
        answer.bytes().unwrap()
    };
    let plain = rendered("");
    let scan = memchr::memmem::find(&plain, &[0xFF, 0xDA]).unwrap();
    assert!(memchr::memmem::find(&code, &plain[scan..]).is_some(), "the same scan");
    assert!(plain.ends_with(&[0xFF, 0xD9]));
    // What is drawn from it shows the same.
    let drawn = png_of(hilum.get_as(&format!("{frame}/rendered"), "image/png"));
    let decoded =
        zune_jpeg::JpegDecoder::new(zune_core::bytestream::ZCursor::new(&plain[..])).decode().unwrap();
    assert_eq!((drawn.0, drawn.1, drawn.2.len()), (320, 240, decoded.len()));
    assert!(drawn.2.iter().zip(&decoded).all(|(drawn, shown)| drawn.abs_diff(*shown) <= 2));
    for query in ["?quality=60", "?viewport=320,240", "?annotation=technique", "?iccprofile=yes"] {
        assert!(rendered(query) != plain, "{query}");
    }
}
