//! JSON text (RFC 8259) token by token, over bytes in memory. Knows nothing of
//! DICOM, never recurses, and is lenient only in that control characters may
//! stand in strings as they are.

use std::borrow::Cow;

use super::error::{JsonError, Reason};

/// Nesting of JSON that is stepped over unread.
const SKIP_DEPTH_MAX: usize = 512;

pub(super) struct Lexer<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// A value that is neither object nor array.
pub(super) enum Scalar<'a> {
    Null,
    Bool,
    Number(&'a str),
    Text(Cow<'a, str>),
}

/// What a value is, by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Word,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let position = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Self { bytes, position }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Goes back to where [`Lexer::position`] was.
    pub(super) fn seek(&mut self, position: usize) {
        self.position = position;
    }

    pub(super) fn error(&self, reason: Reason) -> JsonError {
        JsonError { offset: self.position, tag: None, reason }
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.position += 1;
        }
        self.byte()
    }

    /// Steps over a character of structure if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.position += 1;
        }
        there
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { Err(self.error(Reason::Syntax)) }
    }

    pub(super) fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    pub(super) fn kind(&mut self) -> Result<Kind, JsonError> {
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::Text),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'n' | b't' | b'f' | b'N' | b'I') => Ok(Kind::Word),
            Some(_) | None => Err(self.error(Reason::Syntax)),
        }
    }

    /// The name of the next member of an object, up to and with its colon;
    /// none at the end of the object. `first` is true before the first one.
    pub(super) fn member(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, JsonError> {
        if !self.next_of(b'}', first)? {
            return Ok(None);
        }
        let name = self.string()?;
        self.expect(b':')?;
        Ok(Some(name))
    }

    /// Is there another element in the array?
    pub(super) fn element(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        self.next_of(b']', first)
    }

    fn next_of(&mut self, end: u8, first: &mut bool) -> Result<bool, JsonError> {
        let begun = std::mem::replace(first, false);
        if self.take(end) {
            return Ok(false);
        }
        if !begun {
            self.expect(b',')?;
        }
        Ok(true)
    }

    pub(super) fn scalar(&mut self) -> Result<Scalar<'a>, JsonError> {
        match self.kind()? {
            Kind::Text => Ok(Scalar::Text(self.string()?)),
            Kind::Number => Ok(Scalar::Number(self.number()?)),
            Kind::Word => self.word(),
            Kind::Object | Kind::Array => Err(self.error(Reason::Shape)),
        }
    }

    /// `null`, `true`, `false`, and what JavaScript prints for doubles.
    fn word(&mut self) -> Result<Scalar<'a>, JsonError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let (length, scalar) = if rest.starts_with(b"null") {
            (4, Scalar::Null)
        } else if rest.starts_with(b"true") {
            (4, Scalar::Bool)
        } else if rest.starts_with(b"false") {
            (5, Scalar::Bool)
        } else if rest.starts_with(b"NaN") {
            (3, Scalar::Text(Cow::Borrowed("NaN")))
        } else if rest.starts_with(b"Infinity") {
            (8, Scalar::Text(Cow::Borrowed("Infinity")))
        } else {
            return Err(self.error(Reason::Syntax));
        };
        self.position += length;
        Ok(scalar)
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest
            .iter()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        let text = rest.get(..length).and_then(|digits| std::str::from_utf8(digits).ok());
        match text.filter(|text| text.parse::<f64>().is_ok()) {
            Some(text) => {
                self.position += length;
                Ok(text)
            }
            None => Err(self.error(Reason::Syntax)),
        }
    }

    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.expect(b'"')?;
        let mut whole: Option<String> = None;
        loop {
            let rest = self.bytes.get(self.position..).unwrap_or_default();
            let Some(length) = memchr::memchr2(b'"', b'\\', rest) else {
                self.position = self.bytes.len();
                return Err(self.error(Reason::Syntax));
            };
            let piece = std::str::from_utf8(rest.get(..length).unwrap_or_default())
                .map_err(|_| self.error(Reason::Utf8))?;
            self.position += length;
            if self.byte() == Some(b'"') {
                self.position += 1;
                return Ok(match whole {
                    Some(text) => Cow::Owned(text + piece),
                    None => Cow::Borrowed(piece),
                });
            }
            let text = whole.get_or_insert_default();
            text.push_str(piece);
            text.push(self.escaped()?);
        }
    }

    /// The character after a backslash, which comes next.
    fn escaped(&mut self) -> Result<char, JsonError> {
        let letter = self.bytes.get(self.position + 1).copied();
        let plain = match letter {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'u') => return self.unicode_escape(),
            Some(_) | None => return Err(self.error(Reason::Syntax)),
        };
        self.position += 2;
        Ok(plain)
    }

    /// `\uXXXX`, or two of them for a character past the first plane. Half a
    /// pair becomes U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let unit = self.unit(self.position).ok_or_else(|| self.error(Reason::Syntax))?;
        self.position += 6;
        if !(0xD800..0xDC00).contains(&unit) {
            return Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        match self.unit(self.position) {
            Some(low @ 0xDC00..0xE000) => {
                self.position += 6;
                let c = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                Ok(char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            Some(_) | None => Ok(char::REPLACEMENT_CHARACTER),
        }
    }

    fn unit(&self, position: usize) -> Option<u32> {
        let [b'\\', b'u', digits @ ..] = self.bytes.get(position..position + 6)? else { return None };
        digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    }

    /// Steps over any value.
    pub(super) fn skip(&mut self) -> Result<(), JsonError> {
        let mut depth = 0_usize;
        loop {
            match self.kind()? {
                Kind::Object | Kind::Array => {
                    depth += 1;
                    self.position += 1;
                    if depth > SKIP_DEPTH_MAX {
                        return Err(self.error(Reason::Depth));
                    }
                }
                Kind::Text => drop(self.string()?),
                Kind::Number | Kind::Word => drop(self.scalar()?),
            }
            // Between values of a skipped structure anything goes that is made
            // of structure: whoever reads a value looks at it properly.
            loop {
                match self.peek() {
                    Some(b'}' | b']') if depth > 0 => {
                        depth -= 1;
                        self.position += 1;
                    }
                    Some(b',' | b':') if depth > 0 => self.position += 1,
                    _ => break,
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}
