//! The writer: part headers and delimiters as bytes, the exact length of a body
//! before its first byte is sent, and any range of it (PS3.18 section 8.6.1.2).
//!
//! Must not hold the data of a part. Invariants: no preamble; `Content-Type` is
//! a part's first header and so cased; the blank line comes within 1,000 bytes;
//! the same parts under the same boundary give the same bytes, so that a range
//! of the body can be fetched later.

use std::{fmt::Write, ops::Range};

use bytes::Bytes;

/// A widespread client looks for the blank line only this far.
const HEAD_BYTES_MAX: usize = 1000;

/// The headers of a part, and the length of what follows them.
#[derive(Debug, Clone, Copy)]
pub struct PartHead<'a> {
    pub content_type: &'a str,
    /// The URL of what the part represents.
    pub content_location: Option<&'a str>,
    /// Bytes of the data.
    pub length: u64,
}

/// A boundary for a representation: always the same for the same `tag` (such
/// as an `ETag` or the path and the choice), and not to be guessed without the
/// key, so that no stored file can hold it.
#[must_use]
pub fn boundary(key: &[u8; 32], tag: &str) -> String {
    let digest = blake3::keyed_hash(key, tag.as_bytes());
    let mut text = digest.to_hex().to_string();
    text.truncate(40);
    text
}

/// The `Content-Type` of the whole body. `root` is the media type of its parts,
/// without parameters: clients split the value at every semicolon.
#[must_use]
pub fn content_type(root: &str, boundary: &str) -> String {
    let root = root.split(';').next().unwrap_or(root).trim();
    format!("multipart/related; type=\"{root}\"; boundary={boundary}")
}

/// A body as a sequence of known bytes and of parts' data.
#[derive(Debug, Clone)]
pub struct Layout {
    boundary: String,
    parts: Vec<Placed>,
    length: u64,
}

#[derive(Debug, Clone)]
struct Placed {
    /// Where the part's delimiter begins in the body.
    start: u64,
    head: Bytes,
    length: u64,
}

/// A stretch of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slice {
    /// Delimiters and headers.
    Bytes(Bytes),
    /// This range of the data of the part of this position.
    Part { index: usize, range: Range<u64> },
}

impl Layout {
    #[must_use]
    pub fn new(boundary: &str) -> Self {
        Self { boundary: boundary.to_owned(), parts: Vec::new(), length: 0 }
    }

    /// The layout of these parts.
    #[must_use]
    pub fn of<'a>(boundary: &str, parts: impl IntoIterator<Item = PartHead<'a>>) -> Self {
        let mut layout = Self::new(boundary);
        for part in parts {
            layout.push(&part);
        }
        layout
    }

    /// Adds a part. Gives the bytes that go before its data, for one who sends
    /// while the parts are still being found.
    pub fn push(&mut self, part: &PartHead<'_>) -> Bytes {
        let head = head(&self.boundary, self.parts.is_empty(), part);
        self.parts.push(Placed { start: self.length, head: head.clone(), length: part.length });
        self.length = self.length.saturating_add(head.len() as u64).saturating_add(part.length);
        head
    }

    /// The bytes that go after the last part's data.
    #[must_use]
    pub fn tail(&self) -> Bytes {
        tail(&self.boundary, self.parts.is_empty())
    }

    /// Bytes of the whole body: its `Content-Length`.
    #[must_use]
    pub fn content_length(&self) -> u64 {
        self.length.saturating_add(self.tail().len() as u64)
    }

    /// A range of the body, in order; `0..content_length()` is all of it.
    pub fn slices(&self, range: Range<u64>) -> impl Iterator<Item = Slice> + '_ {
        let first = self.parts.partition_point(|part| part.start <= range.start).saturating_sub(1);
        let of_parts = range.clone();
        self.parts[first..]
            .iter()
            .enumerate()
            .map(move |(position, part)| (first + position, part))
            .take_while(move |(_, part)| part.start < range.end)
            .flat_map(move |(index, part)| {
                let data_start = part.start.saturating_add(part.head.len() as u64);
                [
                    bytes_within(&part.head, part.start, &of_parts),
                    within(data_start, part.length, &of_parts).map(|range| Slice::Part { index, range }),
                ]
            })
            .flatten()
            .chain(bytes_within(&self.tail(), self.length, &range))
    }
}

/// What of `length` bytes from `start` on lies in the range, counted from
/// `start`.
fn within(start: u64, length: u64, range: &Range<u64>) -> Option<Range<u64>> {
    let from = range.start.max(start) - start;
    let to = range.end.min(start.saturating_add(length)).saturating_sub(start);
    (from < to).then_some(from..to)
}

fn bytes_within(bytes: &Bytes, start: u64, range: &Range<u64>) -> Option<Slice> {
    let part = within(start, bytes.len() as u64, range)?;
    let (from, to) = (usize::try_from(part.start).ok()?, usize::try_from(part.end).ok()?);
    Some(Slice::Bytes(bytes.slice(from..to)))
}

/// The bytes that go before a part's data, for one who sends parts as they are
/// made and cannot know the length of the whole.
#[must_use]
pub fn head(boundary: &str, first: bool, part: &PartHead<'_>) -> Bytes {
    let line_end = if first { "" } else { "\r\n" };
    let mut text = format!("{line_end}--{boundary}\r\nContent-Type: {}\r\n", clean(part.content_type));
    let length = format!("Content-Length: {}\r\n\r\n", part.length);
    if let Some(location) = part.content_location.map(clean) {
        let line = format!("Content-Location: {location}\r\n");
        // Only a base URL of hundreds of characters gets here. Such a client
        // would fail on the part, and can do without its location.
        if text.len() + line.len() + length.len() <= HEAD_BYTES_MAX {
            text.push_str(&line);
        }
    }
    text.push_str(&length);
    Bytes::from(text)
}

/// The bytes that go after the last part's data, or make up a body of none.
#[must_use]
pub fn tail(boundary: &str, empty: bool) -> Bytes {
    let line_end = if empty { "" } else { "\r\n" };
    Bytes::from(format!("{line_end}--{boundary}--\r\n"))
}

/// A header value must not end its line; what is not printable ASCII is
/// percent-encoded.
fn clean(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if matches!(byte, b' '..=b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::read::{Event, Limits, Reader},
        *,
    };

    fn render(layout: &Layout, data: &[Vec<u8>], range: Range<u64>) -> Vec<u8> {
        let mut body = Vec::new();
        for slice in layout.slices(range) {
            match slice {
                Slice::Bytes(bytes) => body.extend_from_slice(&bytes),
                Slice::Part { index, range } => {
                    let range = usize::try_from(range.start).expect("small")
                        ..usize::try_from(range.end).expect("small");
                    body.extend_from_slice(&data[index][range]);
                }
            }
        }
        body
    }

    fn layout_of(data: &[Vec<u8>]) -> Layout {
        let heads = data.iter().map(|data| PartHead {
            content_type: "image/jls; transfer-syntax=1.2.840.10008.1.2.4.80",
            content_location: Some("https://h/frames/1"),
            length: data.len() as u64,
        });
        Layout::of("7f3c", heads)
    }

    #[test]
    fn the_golden_shape() {
        let data = [b"one".to_vec(), b"two!".to_vec()];
        let layout = layout_of(&data);
        let expected = "--7f3c\r\nContent-Type: image/jls; transfer-syntax=1.2.840.10008.1.2.4.80\r\n\
            Content-Location: https://h/frames/1\r\nContent-Length: 3\r\n\r\none\r\n\
            --7f3c\r\nContent-Type: image/jls; transfer-syntax=1.2.840.10008.1.2.4.80\r\n\
            Content-Location: https://h/frames/1\r\nContent-Length: 4\r\n\r\ntwo!\r\n--7f3c--\r\n";
        let body = render(&layout, &data, 0..layout.content_length());
        assert_eq!(String::from_utf8(body).expect("text"), expected);
        assert_eq!(layout.content_length(), expected.len() as u64);
        assert_eq!(
            content_type("image/jls; transfer-syntax=1.2", "7f3c"),
            "multipart/related; type=\"image/jls\"; boundary=7f3c"
        );
        let empty = Layout::new("b");
        assert_eq!(render(&empty, &[], 0..empty.content_length()), b"--b--\r\n");
    }

    #[test]
    fn boundaries_are_stable_and_differ() {
        let key = [7; 32];
        assert_eq!(boundary(&key, "a"), boundary(&key, "a"));
        assert_ne!(boundary(&key, "a"), boundary(&key, "b"));
        assert_ne!(boundary(&key, "a"), boundary(&[8; 32], "a"));
        let text = boundary(&key, "a");
        assert!((32..=70).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    fn long_part(location: &str) -> PartHead<'_> {
        PartHead {
            content_type: "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.102.1",
            content_location: Some(location),
            length: u64::MAX,
        }
    }

    #[test]
    fn heads_are_short_and_cannot_be_broken() {
        let uid = "1".repeat(64);
        let base = "https://pacs.department.hospital.example.org/imaging/archive/dicomweb";
        let location = format!("{base}/studies/{uid}/series/{uid}/instances/{uid}/frames/100000");
        let longest = head(&"b".repeat(70), false, &long_part(&location));
        assert!(longest.len() < HEAD_BYTES_MAX);
        assert!(memchr::memmem::find(&longest, location.as_bytes()).is_some());
        let absurd = head("b", true, &long_part(&"x".repeat(2000)));
        assert!(absurd.len() < HEAD_BYTES_MAX);
        let hostile = head("b", true, &long_part("http://h/\r\nX: y\u{e9}"));
        assert!(memchr::memmem::find(&hostile, b"Content-Location: http://h/%0D%0AX: y%C3%A9\r\n").is_some());
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read_and_cut(
            data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5),
            from in 0_u64..800,
            to in 0_u64..800,
        ) {
            let layout = layout_of(&data);
            let length = layout.content_length();
            let body = render(&layout, &data, 0..length);
            prop_assert_eq!(body.len() as u64, length);

            let range = from.min(to).min(length)..from.max(to).min(length);
            let expected = body[usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small")].to_vec();
            prop_assert_eq!(render(&layout, &data, range), expected);

            let mut reader = Reader::new("7f3c", Limits::default());
            reader.feed(Bytes::from(body));
            reader.finish();
            let mut read: Vec<Vec<u8>> = Vec::new();
            while let Some(event) = reader.next().expect("valid") {
                match event {
                    Event::Part(headers) => {
                        prop_assert_eq!(headers.content_location.as_deref(), Some("https://h/frames/1"));
                        read.push(Vec::new());
                    }
                    Event::Data(bytes) => read.last_mut().expect("in a part").extend_from_slice(&bytes),
                    Event::EndPart => {}
                    Event::End { terminated } => prop_assert!(terminated),
                }
            }
            prop_assert_eq!(read, data);
        }
    }
}
