//! Rendered resources and thumbnails: PS3.18 sections 8.3.5, 10.4.1.1.3 and
//! 10.4.1.1.4, rows RND-01 to RND-18, RET-09 to 11 and 15, V20 to V26.

mod collections;
mod looks;
mod negotiation;
mod pages;
pub mod presentation;
mod thumbnails;

use reqwest::blocking::Response;

use crate::sample::Sample;

pub const PATH: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.1";

/// A gray image of four by two 16-bit values in `1.2/1.2.1/1.2.1.1`.
pub fn gray(values: [i16; 8]) -> Sample {
    let pixels = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Sample::new("1.2", "1.2.1", "1.2.1.1")
        .number(0x0028_0002, 1)
        .text(0x0028_0004, "CS", "MONOCHROME2")
        .number(0x0028_0010, 2)
        .number(0x0028_0011, 4)
        .number(0x0028_0100, 16)
        .number(0x0028_0101, 16)
        .number(0x0028_0102, 15)
        .number(0x0028_0103, 1)
        .bytes(0x7FE0_0010, "OW", pixels)
}

/// Width, height and pixels of a PNG.
pub fn png_of(response: Response) -> (u32, u32, Vec<u8>) {
    assert_eq!(response.status(), 200, "{:?}", response.text());
    assert_eq!(response.headers()["content-type"], "image/png");
    png_bytes(&response.bytes().unwrap())
}

pub fn png_bytes(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    (info.width, info.height, pixels)
}
