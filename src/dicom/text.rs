//! Text of any Specific Character Set to UTF-8 (PS3.3 section C.12.1.1.2,
//! PS3.5 section 6.1).
//!
//! A [`Repertoire`] is what (0008,0005) declares: one stand-alone multi-byte
//! encoding, or a pair of code elements (G0 for bytes below 0x80, G1 above)
//! that ISO 2022 escape sequences switch and delimiters reset.
//! Decoding never fails: what cannot be decoded is U+FFFD, and is reported.
//! The decoded text can be split at `\`: a trail byte 0x5C of a two-byte
//! character has become part of that character.

use std::borrow::Cow;

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6,
    ISO_8859_7, ISO_8859_8, ISO_8859_15, SHIFT_JIS, WINDOWS_874, WINDOWS_1252, WINDOWS_1254,
};

const ESCAPE: u8 = 0x1B;

/// The coded character sets that may stand as G0 or G1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Ascii,
    /// One byte a character, encoded as in the upper half of this encoding.
    Latin(&'static Encoding),
    /// ISO 8859-1 itself; bytes are the characters.
    Latin1,
    /// JIS X 0201 half-width katakana.
    Katakana,
    Jis0208,
    Jis0212,
    Korean,
    Chinese,
}

impl Set {
    fn is_two_byte(self) -> bool {
        match self {
            Set::Jis0208 | Set::Jis0212 | Set::Korean | Set::Chinese => true,
            Set::Ascii | Set::Latin(_) | Set::Latin1 | Set::Katakana => false,
        }
    }
}

/// What a data set's (0008,0005) declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repertoire {
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing declared, or nothing known: ASCII, and what else there is as
    /// UTF-8 if it is that, as Latin-1 if not.
    Undeclared,
    Utf8,
    /// GBK or GB18030: no escapes.
    Whole(&'static Encoding),
    /// ISO_IR 13. Without an escape sequence its text is read as Shift JIS,
    /// which has the same katakana and is what some devices write.
    Katakana,
    CodeElements {
        /// G1 until an escape sequence says otherwise.
        g1: Option<Set>,
        /// For upper bytes that no escape sequence announced: the first
        /// declared set that could be meant.
        unannounced: Option<Set>,
    },
}

/// What was odd about the declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// Not a defined term, but its meaning is clear.
    Misspelt,
    /// No term we know; it is ignored.
    Unknown,
}

/// Which bytes end the reach of an escape sequence, beside the line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delimiters {
    /// LT, ST, UT: none.
    Lines,
    /// LO, SH, UC: `\`.
    Values,
    /// PN: `\`, `^` and `=`.
    Names,
}

impl Default for Repertoire {
    fn default() -> Self {
        Self { form: Form::Undeclared }
    }
}

/// One declared term.
enum Term {
    Utf8,
    Whole(&'static Encoding),
    Katakana,
    /// A single-byte set, or a code extension for G1.
    Upper(Set),
    /// A code extension reached only by escape sequences.
    Escaped,
    Plain,
}

impl Repertoire {
    /// From the raw value of (0008,0005).
    #[must_use]
    pub fn declared(value: &[u8]) -> (Self, Option<Oddity>) {
        let mut oddity = None;
        let mut first = None;
        let mut unannounced = None;
        // More than the handful of terms that exist has no use.
        for (position, raw) in value.split(|byte| *byte == b'\\').take(16).enumerate() {
            let (term, odd) = term(raw);
            oddity = oddity.max_odd(odd);
            if let Some(Term::Upper(set)) = term {
                unannounced = unannounced.or(Some(set));
            }
            if position == 0 {
                first = term;
            }
        }
        let code_elements = |g1| Form::CodeElements { g1, unannounced };
        let form = match first {
            Some(Term::Utf8) => Form::Utf8,
            Some(Term::Whole(encoding)) => Form::Whole(encoding),
            Some(Term::Katakana) => Form::Katakana,
            Some(Term::Upper(set)) => code_elements(Some(set)),
            Some(Term::Escaped | Term::Plain) => code_elements(None),
            None if unannounced.is_some() => code_elements(None),
            None => Form::Undeclared,
        };
        (Self { form }, oddity)
    }

    /// Decodes a value, and says whether all of it could be.
    #[must_use]
    pub fn decode<'a>(&self, bytes: &'a [u8], delimiters: Delimiters) -> (Cow<'a, str>, bool) {
        if let Some(text) = as_ascii(bytes) {
            return (Cow::Borrowed(text), true);
        }
        match self.form {
            Form::Utf8 => decode_utf8(bytes),
            Form::Whole(encoding) => whole(encoding, bytes),
            Form::Katakana if memchr::memchr(ESCAPE, bytes).is_none() => whole(SHIFT_JIS, bytes),
            Form::Katakana => {
                let (text, clean) = Decoder::new(Some(Set::Katakana), None, delimiters).run(bytes);
                (Cow::Owned(text), clean)
            }
            Form::Undeclared => match std::str::from_utf8(bytes) {
                Ok(text) if !bytes.contains(&ESCAPE) => (Cow::Borrowed(text), false),
                Ok(_) | Err(_) => {
                    let (text, _) = Decoder::new(None, None, delimiters).run(bytes);
                    (Cow::Owned(text), false)
                }
            },
            Form::CodeElements { g1, unannounced } => {
                let (text, clean) = Decoder::new(g1, unannounced, delimiters).run(bytes);
                (Cow::Owned(text), clean)
            }
        }
    }
}

trait MaxOdd {
    fn max_odd(self, other: Self) -> Self;
}

impl MaxOdd for Option<Oddity> {
    fn max_odd(self, other: Self) -> Self {
        match (self, other) {
            (Some(Oddity::Unknown), _) | (_, Some(Oddity::Unknown)) => Some(Oddity::Unknown),
            (Some(Oddity::Misspelt), _) | (_, Some(Oddity::Misspelt)) => Some(Oddity::Misspelt),
            (None, None) => None,
        }
    }
}

fn as_ascii(bytes: &[u8]) -> Option<&str> {
    // An escape is ASCII by its code, not by its meaning.
    if bytes.is_ascii() && memchr::memchr(ESCAPE, bytes).is_none() {
        std::str::from_utf8(bytes).ok()
    } else {
        None
    }
}

fn decode_utf8(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    match String::from_utf8_lossy(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)) {
        Cow::Borrowed(text) => (Cow::Borrowed(text), true),
        Cow::Owned(text) => (Cow::Owned(text), false),
    }
}

fn whole<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> (Cow<'a, str>, bool) {
    let (text, had_errors) = encoding.decode_without_bom_handling(bytes);
    (text, !had_errors)
}

/// The meaning of a term, without regard to separators and case:
/// `ISO_IR 100`, `ISO-IR 100` and `iso ir100` are one.
fn term(raw: &[u8]) -> (Option<Term>, Option<Oddity>) {
    let raw = raw.trim_ascii();
    let raw = raw.strip_suffix(b"\0").unwrap_or(raw);
    if raw.is_empty() {
        return (Some(Term::Plain), None);
    }
    let canonical: String = raw
        .iter()
        .take(32)
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| byte.to_ascii_uppercase() as char)
        .collect();
    let number = canonical
        .strip_prefix("ISO2022IR")
        .or_else(|| canonical.strip_prefix("ISO2022"))
        .or_else(|| canonical.strip_prefix("ISOIR"))
        .unwrap_or(&canonical);
    let term = match number {
        "6" | "ASCII" | "USASCII" | "ISO646" | "NONE" | "ISO6" => Term::Plain,
        "13" | "SHIFTJIS" | "SJIS" => Term::Katakana,
        "87" | "159" | "ISO2022JP" => Term::Escaped,
        "100" | "LATIN1" | "88591" | "ISO88591" => Term::Upper(Set::Latin1),
        "101" | "LATIN2" | "ISO88592" => Term::Upper(Set::Latin(ISO_8859_2)),
        "109" | "LATIN3" | "ISO88593" => Term::Upper(Set::Latin(ISO_8859_3)),
        "110" | "LATIN4" | "ISO88594" => Term::Upper(Set::Latin(ISO_8859_4)),
        "126" | "ISO88597" => Term::Upper(Set::Latin(ISO_8859_7)),
        "127" | "ISO88596" => Term::Upper(Set::Latin(ISO_8859_6)),
        "138" | "ISO88598" => Term::Upper(Set::Latin(ISO_8859_8)),
        "144" | "ISO88595" => Term::Upper(Set::Latin(ISO_8859_5)),
        "148" | "LATIN5" | "ISO88599" => Term::Upper(Set::Latin(WINDOWS_1254)),
        "203" | "LATIN9" | "ISO885915" => Term::Upper(Set::Latin(ISO_8859_15)),
        "166" | "TIS620" | "ISO885911" => Term::Upper(Set::Latin(WINDOWS_874)),
        "149" | "EUCKR" => Term::Upper(Set::Korean),
        "58" | "GB2312" => Term::Upper(Set::Chinese),
        "192" | "UTF8" | "UNICODE11UTF8" => Term::Utf8,
        "GB18030" => Term::Whole(GB18030),
        "GBK" => Term::Whole(GBK),
        "BIG5" => Term::Whole(BIG5),
        "WINDOWS1252" | "CP1252" => Term::Upper(Set::Latin(WINDOWS_1252)),
        _ => return (None, Some(Oddity::Unknown)),
    };
    (Some(term), if is_defined(raw) { None } else { Some(Oddity::Misspelt) })
}

/// Whether a term stands in PS3.3 tables C.12-2 to C.12-5 as it is written.
fn is_defined(raw: &[u8]) -> bool {
    let digits = |rest: &[u8]| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit);
    raw.strip_prefix(b"ISO_IR ").or_else(|| raw.strip_prefix(b"ISO 2022 IR ")).is_some_and(digits)
        || matches!(raw, b"GB18030" | b"GBK")
}

/// The ISO 2022 state machine.
struct Decoder {
    initial_g1: Option<Set>,
    unannounced: Option<Set>,
    delimiters: Delimiters,
    g0: Set,
    g1: Option<Set>,
    text: String,
    clean: bool,
}

impl Decoder {
    fn new(g1: Option<Set>, unannounced: Option<Set>, delimiters: Delimiters) -> Self {
        Self { initial_g1: g1, unannounced, delimiters, g0: Set::Ascii, g1, text: String::new(), clean: true }
    }

    fn run(mut self, bytes: &[u8]) -> (String, bool) {
        self.text.reserve(bytes.len());
        let mut rest = bytes;
        while let Some(&byte) = rest.first() {
            let used = if byte == ESCAPE {
                self.escape(rest)
            } else if byte < 0x80 {
                self.lower(rest)
            } else {
                self.upper(rest)
            };
            rest = rest.get(used..).unwrap_or_default();
        }
        (self.text, self.clean)
    }

    /// An escape sequence (PS3.3 tables C.12-3 and C.12-4, and the forms of it
    /// that occur).
    fn escape(&mut self, bytes: &[u8]) -> usize {
        let intermediates = bytes[1..].iter().take_while(|byte| matches!(byte, 0x20..=0x2F)).count();
        let Some(last) = bytes.get(1 + intermediates) else {
            self.clean = false;
            return bytes.len();
        };
        let length = intermediates + 2;
        match (&bytes[1..=intermediates], last) {
            (b"(", b'B' | b'J') => self.g0 = Set::Ascii,
            (b"(", b'I') => self.g0 = Set::Katakana,
            (b")", b'I') => self.g1 = Some(Set::Katakana),
            (b"-", b'A') => self.g1 = Some(Set::Latin1),
            (b"-", b'B') => self.g1 = Some(Set::Latin(ISO_8859_2)),
            (b"-", b'C') => self.g1 = Some(Set::Latin(ISO_8859_3)),
            (b"-", b'D') => self.g1 = Some(Set::Latin(ISO_8859_4)),
            (b"-", b'F') => self.g1 = Some(Set::Latin(ISO_8859_7)),
            (b"-", b'G') => self.g1 = Some(Set::Latin(ISO_8859_6)),
            (b"-", b'H') => self.g1 = Some(Set::Latin(ISO_8859_8)),
            (b"-", b'L') => self.g1 = Some(Set::Latin(ISO_8859_5)),
            (b"-", b'M') => self.g1 = Some(Set::Latin(WINDOWS_1254)),
            (b"-", b'T') => self.g1 = Some(Set::Latin(WINDOWS_874)),
            (b"-", b'b') => self.g1 = Some(Set::Latin(ISO_8859_15)),
            (b"$" | b"$(", b'@' | b'B') => self.g0 = Set::Jis0208,
            (b"$(", b'D') => self.g0 = Set::Jis0212,
            (b"$(", b'C') => self.g0 = Set::Korean,
            (b"$" | b"$(", b'A') => self.g0 = Set::Chinese,
            (b"$)", b'C') => self.g1 = Some(Set::Korean),
            (b"$)", b'A') => self.g1 = Some(Set::Chinese),
            _ => self.clean = false,
        }
        length
    }

    /// Bytes below 0x80, by G0.
    fn lower(&mut self, bytes: &[u8]) -> usize {
        let byte = bytes[0];
        if byte <= 0x20 || byte == 0x7F {
            self.text.push(byte as char);
            if matches!(byte, b'\t' | b'\n' | 0x0C | b'\r') {
                self.reset();
            }
            return 1;
        }
        match self.g0 {
            Set::Ascii | Set::Latin(_) | Set::Latin1 => {
                self.text.push(byte as char);
                let ends = match self.delimiters {
                    Delimiters::Lines => false,
                    Delimiters::Values => byte == b'\\',
                    Delimiters::Names => matches!(byte, b'\\' | b'^' | b'='),
                };
                if ends {
                    self.reset();
                }
                1
            }
            // Half-width katakana end at 0x5F: beyond it and between is ASCII
            // that forgot its escape.
            Set::Katakana if byte <= 0x5F => {
                self.decode(Set::Katakana, &[byte | 0x80]);
                1
            }
            Set::Katakana => {
                self.text.push(byte as char);
                1
            }
            Set::Jis0208 | Set::Jis0212 | Set::Korean | Set::Chinese => match bytes.get(1) {
                Some(trail @ 0x21..=0x7E) => {
                    self.decode(self.g0, &[byte | 0x80, trail | 0x80]);
                    2
                }
                // No character of this set: ASCII that forgot its escape.
                Some(_) | None => {
                    self.clean = false;
                    self.g0 = Set::Ascii;
                    self.lower(bytes)
                }
            },
        }
    }

    /// Bytes from 0x80 on, by G1.
    fn upper(&mut self, bytes: &[u8]) -> usize {
        let Some(set) = self.g1.or(self.unannounced) else {
            return self.unknown(bytes);
        };
        if self.g1.is_none() {
            self.clean = false;
        }
        let run = bytes.iter().take_while(|byte| **byte >= 0x80).count();
        let run = if set.is_two_byte() && run % 2 == 1 && run > 1 { run - 1 } else { run };
        self.decode(set, &bytes[..run]);
        run
    }

    /// Upper bytes that nothing declares: UTF-8 if they are, else Latin-1.
    fn unknown(&mut self, bytes: &[u8]) -> usize {
        self.clean = false;
        let run = bytes.iter().take_while(|byte| **byte >= 0x80).count();
        match std::str::from_utf8(&bytes[..run]) {
            Ok(text) => self.text.push_str(text),
            Err(_) => self.text.extend(bytes[..run].iter().map(|byte| char::from(*byte))),
        }
        run
    }

    /// Appends bytes of a set, all of them from 0x80 on.
    fn decode(&mut self, set: Set, bytes: &[u8]) {
        let encoding = match set {
            Set::Ascii | Set::Latin1 => {
                self.text.extend(bytes.iter().map(|byte| char::from(*byte)));
                return;
            }
            Set::Latin(encoding) => encoding,
            Set::Katakana => SHIFT_JIS,
            Set::Jis0208 => EUC_JP,
            Set::Jis0212 => {
                let plane: Vec<u8> = bytes.chunks(2).flat_map(|pair| [&[0x8F], pair].concat()).collect();
                self.append(EUC_JP, &plane);
                return;
            }
            Set::Korean => EUC_KR,
            Set::Chinese => GBK,
        };
        self.append(encoding, bytes);
    }

    fn append(&mut self, encoding: &'static Encoding, bytes: &[u8]) {
        let (text, had_errors) = encoding.decode_without_bom_handling(bytes);
        self.clean &= !had_errors;
        self.text.push_str(&text);
    }

    fn reset(&mut self) {
        self.g0 = Set::Ascii;
        self.g1 = self.initial_g1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(declared: &[u8], bytes: &[u8], delimiters: Delimiters) -> String {
        let (repertoire, _) = Repertoire::declared(declared);
        let (text, clean) = repertoire.decode(bytes, delimiters);
        assert!(clean, "{text}");
        text.into_owned()
    }

    #[test]
    fn chs_3_the_examples_of_the_standard() {
        // PS3.5 annexes H, I and J.
        let yamada = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";
        assert_eq!(
            decoded(b"\\ISO 2022 IR 87", yamada, Delimiters::Names),
            "Yamada^Tarou=山田^太郎=やまだ^たろう"
        );
        let katakana = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J";
        assert_eq!(
            decoded(b"ISO 2022 IR 13\\ISO 2022 IR 87", katakana, Delimiters::Names),
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"
        );
        let hong =
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
        assert_eq!(decoded(b"\\ISO 2022 IR 149", hong, Delimiters::Names), "Hong^Gildong=洪^吉洞=홍^길동");
        assert_eq!(
            decoded(b"GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", Delimiters::Names),
            "Wang^XiaoDong=王^小东="
        );
        assert_eq!(
            decoded(
                b"\\ISO 2022 IR 58",
                b"Zhang=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
                Delimiters::Names
            ),
            "Zhang=张^小东="
        );
    }

    #[test]
    fn delimiters_end_an_escape() {
        let (repertoire, _) = Repertoire::declared(b"ISO 2022 IR 100\\ISO 2022 IR 144");
        let bytes = b"\x1b-L\xb1\\\xe9";
        assert_eq!(repertoire.decode(bytes, Delimiters::Values).0, "Б\\é");
        assert_eq!(repertoire.decode(bytes, Delimiters::Lines).0, "Б\\щ", "no delimiter in ST, LT, UT");
        assert_eq!(repertoire.decode(b"\x1b-L\xb1^\xe9", Delimiters::Names).0, "Б^é");
        assert_eq!(repertoire.decode(b"\x1b-L\xb1\r\n\xe9", Delimiters::Lines).0, "Б\r\né");
    }

    #[test]
    fn a_backslash_inside_a_character_is_none() {
        // 0x5C as trail byte in GBK, GB18030 and Shift JIS, as either byte in JIS.
        assert_eq!(decoded(b"GBK", b"\x81\x5c\\A", Delimiters::Values), "乗\\A");
        assert_eq!(decoded(b"ISO_IR 13", b"\x83\x5c\\A", Delimiters::Values), "ソ\\A");
        assert_eq!(decoded(b"\\ISO 2022 IR 87", b"\x1b$B%\x5c\x1b(B\\A", Delimiters::Values), "ボ\\A");
    }

    #[test]
    fn single_byte_sets() {
        for (declared, byte, expected) in [
            (&b"ISO_IR 100"[..], 0xE9, "é"),
            (b"ISO_IR 101", 0xB1, "ą"),
            (b"ISO_IR 109", 0xA1, "Ħ"),
            (b"ISO_IR 110", 0xA1, "Ą"),
            (b"ISO_IR 126", 0xE1, "α"),
            (b"ISO_IR 127", 0xC7, "ا"),
            (b"ISO_IR 138", 0xE0, "א"),
            (b"ISO_IR 144", 0xD0, "а"),
            (b"ISO_IR 148", 0xF0, "ğ"),
            (b"ISO_IR 203", 0xA4, "€"),
            (b"ISO_IR 166", 0xA1, "ก"),
            (b"ISO_IR 13", 0xB1, "ｱ"),
        ] {
            assert_eq!(decoded(declared, &[byte], Delimiters::Values), expected);
        }
        assert_eq!(decoded(b"ISO_IR 192", "Äneas".as_bytes(), Delimiters::Names), "Äneas");
    }

    #[test]
    fn terms_that_are_misspelt_or_unknown() {
        for (term, oddity) in [
            (&b"ISO_IR 192 "[..], None),
            (b"\\ISO 2022 IR 87", None),
            (b"GB18030", None),
            (b"ISO-IR 192", Some(Oddity::Misspelt)),
            (b"UTF-8", Some(Oddity::Misspelt)),
            (b"ISO_IR_192", Some(Oddity::Misspelt)),
        ] {
            assert_eq!(Repertoire::declared(term).1, oddity);
        }
        let (utf8, _) = Repertoire::declared(b"utf8");
        assert_eq!(utf8.decode("é".as_bytes(), Delimiters::Values), ("é".into(), true));
        let (unknown, oddity) = Repertoire::declared(b"KLINGON");
        assert_eq!(oddity, Some(Oddity::Unknown));
        assert_eq!(unknown.decode("é".as_bytes(), Delimiters::Values), ("é".into(), false));
        assert_eq!(unknown.decode(b"\xe9", Delimiters::Values), ("é".into(), false));
    }
}
