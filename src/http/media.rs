//! Media types as text: `Content-Type` and `Accept` values (RFC 9110 sections
//! 8.3.1 and 12.5.1, PS3.18 section 8.7).
//!
//! Must not decide anything. Invariant: reading never fails as a whole; a member
//! or a parameter that makes no sense is left out (PS3.18 section 8.7.7), since
//! clients send `type=application/dicom` without quotes, `;null`, and `*; q=.2`.

/// More members than this in one request are ignored.
const RANGES_MAX: usize = 128;

/// `type/subtype; name=value`: type, subtype and names in lower case, values
/// as they came, without quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    pub essence: String,
    pub params: Vec<(String, String)>,
}

impl MediaType {
    /// Reads one value, as in `Content-Type`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut pieces = split_outside_quotes(text, ';');
        let (kind, subtype) = pieces.next()?.trim().split_once('/')?;
        let (kind, subtype) = (kind.trim(), subtype.trim());
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let mut media =
            Self { essence: format!("{kind}/{subtype}").to_ascii_lowercase(), params: Vec::new() };
        for piece in pieces {
            media.take_param(piece);
        }
        Some(media)
    }

    fn take_param(&mut self, piece: &str) {
        let Some((name, value)) = piece.split_once('=') else { return };
        let name = name.trim().to_ascii_lowercase();
        if !is_token(&name) || self.param(&name).is_some() {
            return;
        }
        let value = unquote(value.trim());
        // Some clients put the parameters of the part within the quotes:
        // type="application/dicom; transfer-syntax=*".
        if name == "type"
            && let Some((root, inner)) = value.split_once(';')
        {
            self.params.push((name, root.trim().to_owned()));
            for piece in inner.split(';') {
                self.take_param(piece);
            }
            return;
        }
        self.params.push((name, value));
    }

    /// The value of a parameter, by its name in lower case.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `type/subtype` equals this one, which must be in lower case.
    #[must_use]
    pub fn is(&self, essence: &str) -> bool {
        self.essence == essence
    }

    /// The root type of `multipart/related; type=…`, in lower case.
    #[must_use]
    pub fn root_type(&self) -> Option<String> {
        let root = self.param("type")?.trim().to_ascii_lowercase();
        let (kind, subtype) = root.split_once('/')?;
        (is_token(kind) && is_token(subtype)).then_some(root)
    }
}

/// One member of an `Accept` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRange {
    pub media: MediaType,
    /// Thousandths, 0 to 1000.
    pub quality: u16,
}

/// All members of all `Accept` headers, in the order they stand. A member that
/// cannot be read is left out.
#[must_use]
pub fn parse_accept<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<MediaRange> {
    values
        .into_iter()
        .flat_map(|value| split_outside_quotes(value, ','))
        .filter_map(|member| {
            let mut media = MediaType::parse(member)?;
            let quality = media.param("q").and_then(parse_quality).unwrap_or(1000);
            media.params.retain(|(name, _)| name != "q");
            Some(MediaRange { media, quality })
        })
        .take(RANGES_MAX)
        .collect()
}

/// A quality value in thousandths. `.2` and `1.0000` occur.
#[must_use]
pub fn parse_quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if whole.bytes().any(|byte| byte != b'0') {
        return Some(1000);
    }
    let thousandths =
        fraction.bytes().chain(*b"000").take(3).fold(0, |sum, byte| sum * 10 + u16::from(byte - b'0'));
    Some(thousandths)
}

/// Splits at a separator that is not within a quoted string. A quote that is
/// never closed reaches to the end.
pub(crate) fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |character| {
        if escaped {
            escaped = false;
            return false;
        }
        match character {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return character == separator && !quoted,
        }
        false
    })
}

/// The value of a quoted string, or the text itself.
pub(crate) fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let mut value = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    value
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn essences(values: &[&str]) -> Vec<(String, u16)> {
        parse_accept(values.iter().copied())
            .into_iter()
            .map(|range| (range.media.essence, range.quality))
            .collect()
    }

    #[test]
    fn quoted_and_unquoted_type_are_the_same() {
        let texts = [
            "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*",
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            "Multipart/Related;TYPE=application/octet-stream;Transfer-Syntax=\"*\"",
            "multipart/related ;type=application/octet-stream;null;;transfer-syntax=* ;",
            "multipart/related; type=\"application/octet-stream; transfer-syntax=*\"",
        ];
        for text in texts {
            let media = MediaType::parse(text).expect(text);
            assert_eq!(media.essence, "multipart/related", "{text}");
            assert_eq!(media.root_type().as_deref(), Some("application/octet-stream"), "{text}");
            assert_eq!(media.param("transfer-syntax"), Some("*"), "{text}");
        }
    }

    #[test]
    fn java_default_accept_loses_only_the_bare_star() {
        assert_eq!(
            essences(&["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"]),
            [
                ("text/html".to_owned(), 1000),
                ("image/gif".to_owned(), 1000),
                ("image/jpeg".to_owned(), 1000),
                ("*/*".to_owned(), 200),
            ]
        );
    }

    #[test]
    fn several_headers_and_commas_in_quotes() {
        assert_eq!(
            essences(&["a/b;x=\"1,2\";q=0.5,c/d", "", "e/f;q=0"]),
            [("a/b".to_owned(), 500), ("c/d".to_owned(), 1000), ("e/f".to_owned(), 0)]
        );
    }

    #[test]
    fn quality_values() {
        let cases = [
            ("1", Some(1000)),
            ("0", Some(0)),
            (".2", Some(200)),
            ("0.85", Some(850)),
            ("1.000", Some(1000)),
            ("0.1234", Some(123)),
            ("7", Some(1000)),
            ("00.5", Some(500)),
            ("", None),
            (".", None),
            ("x", None),
            ("-1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_quality(text), expected, "{text}");
        }
    }

    #[test]
    fn content_types() {
        let media = MediaType::parse("application/dicom+json; charset=utf-8").expect("valid");
        assert!(media.is("application/dicom+json"));
        assert_eq!(media.param("charset"), Some("utf-8"));
        assert_eq!(MediaType::parse("dicom"), None);
        assert_eq!(MediaType::parse(""), None);
        let media = MediaType::parse(r#"multipart/related; boundary="a\"b;c""#).expect("valid");
        assert_eq!(media.param("boundary"), Some("a\"b;c"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".{0,200}") {
            let _ = MediaType::parse(&text);
            let _ = parse_accept([text.as_str()]);
        }

        #[test]
        fn any_near_miss_is_read(text in r#"[a-z*/;=",\\q0.1 ]{0,80}"#) {
            for range in parse_accept([text.as_str()]) {
                prop_assert!(range.quality <= 1000);
                prop_assert!(range.media.essence.contains('/'));
            }
        }
    }
}
