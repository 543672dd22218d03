//! Folding of text for comparison: case, accents and width do not matter.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Compatibility decomposition without combining marks, in lower case:
/// `Müller` and `MULLER` fold alike. Kana keep their voicing marks, and what
/// stays is composed again, so that a character is one for wildcards too.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // U+3099 and U+309A are the voicing marks of kana: が is not か.
    text.nfkd()
        .filter(|c| !is_combining_mark(*c) || matches!(c, '\u{3099}' | '\u{309A}'))
        .flat_map(char::to_lowercase)
        .nfc()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn case_accents_and_width() {
        assert_eq!(fold("MÜLLER^Jörg"), "muller^jorg");
        assert_eq!(fold("Ｙａｍａｄａ"), "yamada");
        assert_ne!(fold("が"), fold("か"));
        assert!(!fold("やまだ").starts_with(&fold("やまた")));
        assert_eq!(fold("김희중"), "김희중");
    }
}
