//! Ranges of bytes and entity tags (RFC 9110 sections 8.8.3, 13 and 14).
//!
//! Must not know what is sent. Invariants: a range given out lies within the
//! representation and is not empty; a header that cannot be read is ignored.

use std::{fmt, ops::Range};

/// What to answer to a `Range` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// 200
    Whole,
    /// 206 with [`content_range`].
    Part(Range<u64>),
    /// 416 with [`unsatisfied_range`].
    Unsatisfiable,
}

/// Reads `Range`. Several ranges are answered with the whole, which RFC 9110
/// section 14.2 allows: the clients of an archive want one at a time.
#[must_use]
pub fn wanted(header: Option<&str>, length: u64) -> Wanted {
    header.and_then(|text| parse(text, length)).unwrap_or(Wanted::Whole)
}

/// None: not understood, so to be ignored.
fn parse(text: &str, length: u64) -> Option<Wanted> {
    let (unit, ranges) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || ranges.contains(',') {
        return None;
    }
    let (first, last) = ranges.trim().split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let range = if first.is_empty() {
        let suffix = number(last)?;
        if suffix > 0 && length == 0 {
            return None;
        }
        length.saturating_sub(suffix)..length
    } else {
        let first = number(first)?;
        let end = if last.is_empty() { length } else { number(last)?.saturating_add(1) };
        if !last.is_empty() && end <= first {
            return None;
        }
        first..end.min(length)
    };
    Some(if range.is_empty() { Wanted::Unsatisfiable } else { Wanted::Part(range) })
}

/// A decimal number; one too large to count is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `Content-Range` of a 206. The range must not be empty.
#[must_use]
pub fn content_range(range: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1))
}

/// `Content-Range` of a 416.
#[must_use]
pub fn unsatisfied_range(length: u64) -> String {
    format!("bytes */{length}")
}

/// An entity tag. Its `Display` is the header's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag {
    weak: bool,
    opaque: String,
}

impl ETag {
    /// The tag of exactly these bytes. Characters that a tag cannot hold are
    /// left out.
    #[must_use]
    pub fn strong(opaque: &str) -> Self {
        Self { weak: false, opaque: opaque.chars().filter(|c| is_tag_character(*c)).collect() }
    }

    /// The tag of what means the same, such as the same JSON under another
    /// content coding.
    #[must_use]
    pub fn weak(opaque: &str) -> Self {
        Self { weak: true, ..Self::strong(opaque) }
    }

    fn equals_strongly(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    fn equals_weakly(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = if self.weak { "W/" } else { "" };
        write!(f, "{weak}\"{}\"", self.opaque)
    }
}

/// RFC 9110 section 8.8.3, but ASCII only.
fn is_tag_character(character: char) -> bool {
    matches!(character, '!' | '#'..='~')
}

/// `If-None-Match` holds the tag: 304 for GET and HEAD.
#[must_use]
pub fn none_match<'a>(headers: impl IntoIterator<Item = &'a str>, current: &ETag) -> bool {
    any_tag(headers, |tag| tag.equals_weakly(current))
}

/// `If-Match` holds the tag; if not, 412. Not to be asked without the header.
#[must_use]
pub fn matches<'a>(headers: impl IntoIterator<Item = &'a str>, current: &ETag) -> bool {
    any_tag(headers, |tag| tag.equals_strongly(current))
}

fn any_tag<'a>(headers: impl IntoIterator<Item = &'a str>, test: impl Fn(&ETag) -> bool) -> bool {
    headers.into_iter().any(|header| header.trim() == "*" || Tags { rest: header }.any(|tag| test(&tag)))
}

/// The `Range` header counts: there is no `If-Range`, or it names what we have,
/// by the strong tag or by the very text of `Last-Modified`.
#[must_use]
pub fn if_range_holds(header: Option<&str>, current: &ETag, last_modified: Option<&str>) -> bool {
    let Some(text) = header.map(str::trim) else { return true };
    match (Tags { rest: text }).next() {
        Some(tag) => tag.equals_strongly(current),
        None => last_modified == Some(text),
    }
}

/// The tags of a list, read as far as they can be.
struct Tags<'a> {
    rest: &'a str,
}

impl Iterator for Tags<'_> {
    type Item = ETag;

    fn next(&mut self) -> Option<ETag> {
        let text = self.rest.trim_start_matches([' ', '\t', ',']);
        let (weak, text) = match text.strip_prefix("W/") {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (opaque, rest) = text.strip_prefix('"')?.split_once('"')?;
        self.rest = rest;
        Some(ETag { weak, opaque: opaque.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges() {
        let cases = [
            ("bytes=0-499", 1000, Wanted::Part(0..500)),
            ("bytes=500-", 1000, Wanted::Part(500..1000)),
            ("bytes=-500", 1000, Wanted::Part(500..1000)),
            ("bytes=-5000", 1000, Wanted::Part(0..1000)),
            ("bytes=0-99999", 1000, Wanted::Part(0..1000)),
            ("Bytes = 0 - 0", 1000, Wanted::Part(0..1)),
            ("bytes=0-18446744073709551615", 10, Wanted::Part(0..10)),
            ("bytes=0-99999999999999999999999", 10, Wanted::Part(0..10)),
            ("bytes=1000-", 1000, Wanted::Unsatisfiable),
            ("bytes=1000-2000", 1000, Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Wanted::Unsatisfiable),
            ("bytes=-0", 1000, Wanted::Unsatisfiable),
            ("bytes=0-", 0, Wanted::Unsatisfiable),
            ("bytes=-5", 0, Wanted::Whole),
            ("bytes=5-4", 1000, Wanted::Whole),
            ("bytes=0-1,5-6", 1000, Wanted::Whole),
            ("items=0-1", 1000, Wanted::Whole),
            ("bytes=a-b", 1000, Wanted::Whole),
            ("bytes=+1-2", 1000, Wanted::Whole),
            ("bytes=-", 1000, Wanted::Whole),
            ("bytes", 1000, Wanted::Whole),
        ];
        for (header, length, expected) in cases {
            assert_eq!(wanted(Some(header), length), expected, "{header}");
        }
        assert_eq!(wanted(None, 5), Wanted::Whole);
        assert_eq!(content_range(&(0..500), 1000), "bytes 0-499/1000");
        assert_eq!(unsatisfied_range(1000), "bytes */1000");
    }

    #[test]
    fn tags() {
        let tag = ETag::strong("abc");
        assert_eq!(tag.to_string(), "\"abc\"");
        assert_eq!(ETag::weak("a\"b\r\nc").to_string(), "W/\"abc\"");
        assert!(none_match(["\"abc\""], &tag));
        assert!(none_match(["W/\"abc\""], &tag));
        assert!(none_match(["\"x,y\", W/\"abc\""], &tag));
        assert!(none_match(["\"x\"", "\"abc\""], &tag));
        assert!(none_match([" * "], &tag));
        assert!(!none_match(["\"x\""], &tag));
        assert!(!none_match(["abc", "\"abc", ""], &tag));
        assert!(matches(["\"abc\""], &tag) && !matches(["W/\"abc\""], &tag));
        assert!(!matches(["\"abc\""], &ETag::weak("abc")));
    }

    #[test]
    fn if_range() {
        let tag = ETag::strong("abc");
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert!(if_range_holds(None, &tag, None));
        assert!(if_range_holds(Some("\"abc\""), &tag, None));
        assert!(!if_range_holds(Some("W/\"abc\""), &tag, None));
        assert!(!if_range_holds(Some("\"old\""), &tag, None));
        assert!(if_range_holds(Some(date), &tag, Some(date)));
        assert!(!if_range_holds(Some(date), &tag, None));
    }

    proptest! {
        #[test]
        fn a_range_lies_within(header in "bytes=[0-9]{0,3}-?[0-9]{0,3}", length in 0_u64..500) {
            if let Wanted::Part(range) = wanted(Some(&header), length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }

        #[test]
        fn any_tag_list_ends(header in "[\"W/, a*]{0,40}") {
            let _ = none_match([header.as_str()], &ETag::strong("a"));
        }
    }
}
