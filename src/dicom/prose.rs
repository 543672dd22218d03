//! What of a data set is text to read, and the words that text is made of: one
//! definition for what the index holds and for what a search matches directly.
//!
//! Words are runs of letters and digits, folded (case, accents, width). Scripts
//! that put no space between words are cut into pairs of characters instead.

use dicom_core::{Tag, VR};

use super::attributes::{self, MODALITIES_IN_STUDY, MODALITY};
use super::dataset::{DataSet, Element, Value};
use super::fold::fold;

/// Characters of a word that count.
const WORD_CHARS_MAX: usize = 40;

/// Texts that say nothing to a reader: which dictionary a code is from, versions.
const NOT_PROSE: [Tag; 6] = [
    Tag(0x0008, 0x0102), // CodingSchemeDesignator
    Tag(0x0008, 0x0103), // CodingSchemeVersion
    attributes::TIMEZONE_OFFSET,
    Tag(0x0018, 0x1000), // DeviceSerialNumber
    Tag(0x0018, 0x1016), // SecondaryCaptureDeviceManufacturer
    Tag(0x0018, 0x1020), // SoftwareVersions
];

/// Codes that people search for as words.
const CODES: [Tag; 7] = [
    MODALITY,
    MODALITIES_IN_STUDY,
    Tag(0x0008, 0x0008), // ImageType
    Tag(0x0018, 0x0015), // BodyPartExamined
    Tag(0x0018, 0x5101), // ViewPosition
    Tag(0x0020, 0x0060), // Laterality
    Tag(0x0020, 0x0062), // ImageLaterality
];

/// The number of a measurement in a structured report.
const NUMERIC_VALUE: Tag = Tag(0x0040, 0xA30A);

/// Gives the texts of a data set with the attributes they stand in, those in
/// items too, of top-level attributes for which `of` holds, and whether they
/// stand in a private attribute.
pub fn each_text(set: &DataSet, of: impl Fn(Tag) -> bool, take: &mut dyn FnMut(Tag, bool, &str)) {
    for (tag, element) in set.iter().filter(|(tag, _)| of(*tag)) {
        text_of(tag, element, attributes::is_private(tag), take);
    }
}

fn text_of(tag: Tag, element: &Element, is_private: bool, take: &mut dyn FnMut(Tag, bool, &str)) {
    match &element.value {
        Value::Items(items) => {
            for (tag, element) in items.iter().flat_map(DataSet::iter) {
                text_of(tag, element, is_private || attributes::is_private(tag), take);
            }
        }
        Value::Text(values) if is_prose(tag, element.vr) => {
            for value in values.iter().filter(|value| !value.is_empty()) {
                take(tag, is_private, value);
            }
        }
        Value::Names(names) => {
            for name in names {
                for group in [&name.alphabetic, &name.ideographic, &name.phonetic] {
                    if !group.is_empty() {
                        take(tag, is_private, group);
                    }
                }
            }
        }
        Value::Empty
        | Value::Text(_)
        | Value::Signed(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Tags(_)
        | Value::Inline(_)
        | Value::Bulk(_) => {}
    }
}

fn is_prose(tag: Tag, vr: VR) -> bool {
    if attributes::is_private_creator(tag) || NOT_PROSE.contains(&tag) {
        return false;
    }
    matches!(vr, VR::LO | VR::LT | VR::SH | VR::ST | VR::UC | VR::UT)
        || CODES.contains(&tag)
        || tag == NUMERIC_VALUE
}

/// How a token came out of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    Word,
    /// Two characters of a script without spaces.
    Pair,
    /// The last character of a run of such; it may be the only one.
    Last {
        alone: bool,
    },
}

/// Cuts a text into its words.
pub fn words(text: &str, take: &mut dyn FnMut(&str, Token)) {
    let folded = fold(text);
    let mut rest = folded.as_str();
    while let Some(start) = rest.find(char::is_alphanumeric) {
        rest = &rest[start..];
        let dense = rest.starts_with(is_dense);
        let length = run(rest, dense);
        let (word, after) = rest.split_at(length);
        if dense {
            pairs(word, take);
        } else {
            let end = word.char_indices().nth(WORD_CHARS_MAX).map_or(word.len(), |(at, _)| at);
            take(&word[..end], Token::Word);
        }
        rest = after;
    }
}

/// The bytes of the word that a text begins with. A point between digits is
/// part of a number.
fn run(text: &str, dense: bool) -> usize {
    let mut before = ' ';
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let in_number = c == '.'
            && before.is_ascii_digit()
            && characters.peek().is_some_and(|(_, next)| next.is_ascii_digit());
        let goes_on = if c.is_alphanumeric() { is_dense(c) == dense } else { in_number };
        if !goes_on {
            return at;
        }
        before = c;
    }
    text.len()
}

fn pairs(run: &str, take: &mut dyn FnMut(&str, Token)) {
    let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).collect();
    for (position, start) in starts.iter().enumerate() {
        match starts.get(position + 1) {
            Some(_) => {
                let end = starts.get(position + 2).copied().unwrap_or(run.len());
                take(&run[*start..end], Token::Pair);
            }
            None => take(&run[*start..], Token::Last { alone: position == 0 }),
        }
    }
}

/// Is a character of a script that puts no spaces between words, or few: Han,
/// kana, Hangul, Thai, Lao, Khmer, Myanmar?
fn is_dense(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1100}'..='\u{11FF}' | '\u{1780}'..='\u{17FF}'
        | '\u{3040}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}' | '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, &mut |word, _| found.push(word.to_owned()));
        found
    }

    #[test]
    fn words_of_many_scripts() {
        assert_eq!(
            cut("Müller^Jörg, T2-weighted (7.5 mm)."),
            ["muller", "jorg", "t2", "weighted", "7.5", "mm"]
        );
        assert_eq!(cut("ＣＴ胸部X線"), ["ct", "胸部", "部", "x", "線"]);
        assert_eq!(cut("Рентген грудной клетки"), ["рентген", "груднои", "клетки"]);
        assert_eq!(cut("김희중"), ["김희", "희중", "중"]);
        assert_eq!(cut("1.5."), ["1.5"]);
        assert!(cut(" ^=- ").is_empty());
        assert_eq!(cut(&"x".repeat(99)), ["x".repeat(WORD_CHARS_MAX)]);
    }

    #[test]
    fn texts_of_reports_and_private_attributes() {
        let mut content = DataSet::new();
        content.put_text(Tag(0x0040, 0xA160), VR::UT, "No nodule");
        content.put_text(NUMERIC_VALUE, VR::DS, "7.5");
        content.put_text(Tag(0x0008, 0x0102), VR::SH, "DCM");
        let mut set = DataSet::new();
        set.put_text(MODALITY, VR::CS, "SR");
        set.put_text(Tag(0x0008, 0x0018), VR::UI, "1.2.3");
        set.put(Tag(0x0040, 0xA730), Element::new(VR::SQ, Value::Items(vec![content])));
        set.put_text(Tag(0x0029, 0x0010), VR::LO, "CREATOR");
        set.put_text(Tag(0x0029, 0x1001), VR::LO, "secret");
        let mut found = Vec::new();
        each_text(&set, |tag| tag != MODALITY, &mut |_, private, text| {
            found.push((private, text.to_owned()));
        });
        let wanted = [(false, "7.5"), (false, "No nodule"), (true, "secret")];
        found.sort();
        assert_eq!(found, wanted.map(|(private, text)| (private, text.to_owned())));
    }
}
