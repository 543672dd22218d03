//! Full text (`q=`): words that are all to be found in the text of a result,
//! whichever attribute says them, and how well a text answers them.
//!
//! The text of a result is its own, that of the levels above it and that of all
//! below it. A word is found as it stands; the last one also as the beginning of
//! a word, for it may be still being typed; one of four letters and more also
//! with a letter or two wrong (see `closeness.rs`).

use super::closeness::{edits_allowed, within};
use crate::dicom::prose::{Token, words};

/// Characters that make the last word a beginning.
const PREFIX_MIN: usize = 2;

/// The words of a `q=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullText {
    /// At least one.
    pub words: Vec<Word>,
    /// Texts in private attributes count too (`qprivate=true`).
    pub private: bool,
    /// The place of a hit is wanted with each result (`snippet=true`).
    pub snippet: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Folded.
    pub text: String,
    /// Words that begin so are found too.
    pub prefix: bool,
    /// Letters that may differ.
    pub edits: u8,
}

/// How a word was found, the best last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Closeness {
    /// With another spelling.
    Near,
    /// As the beginning of a word.
    Begun,
    Exact,
}

impl Closeness {
    /// What a word found so adds to the rank of a result. An exact one adds how
    /// rare it is besides.
    #[must_use]
    pub fn score(self) -> f32 {
        match self {
            Self::Near => 0.5,
            Self::Begun => 0.75,
            Self::Exact => 1.0,
        }
    }
}

impl Word {
    /// How a word of a text answers this one.
    #[must_use]
    pub fn closeness(&self, token: &str) -> Option<Closeness> {
        if self.text == token {
            Some(Closeness::Exact)
        } else if self.prefix && token.starts_with(&self.text) {
            Some(Closeness::Begun)
        } else if within(&self.text, token, self.edits) {
            Some(Closeness::Near)
        } else {
            None
        }
    }
}

impl FullText {
    /// Reads the words of a text; none if there is no word in it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut found: Vec<Word> = Vec::new();
        let mut last = Token::Word;
        words(text, &mut |word, token| {
            let (prefix, edits) = match token {
                Token::Word => (false, edits_allowed(word)),
                Token::Pair => (false, 0),
                // It begins a pair wherever it is not the last itself.
                Token::Last { alone: true } => (true, 0),
                Token::Last { alone: false } => return,
            };
            last = token;
            found.push(Word { text: word.to_owned(), prefix, edits });
        });
        if let (Token::Word, Some(word)) = (last, found.last_mut()) {
            word.prefix = word.text.chars().count() >= PREFIX_MIN;
        }
        // A word given twice says nothing more.
        let mut once: Vec<Word> = Vec::new();
        for word in found {
            match once.iter_mut().find(|before| before.text == word.text) {
                Some(before) => before.prefix |= word.prefix,
                None => once.push(word),
            }
        }
        (!once.is_empty()).then_some(Self { words: once, private: false, snippet: false })
    }

    /// Begins to listen to the texts of a result.
    #[must_use]
    pub fn listen(&self) -> Hearing<'_> {
        Hearing { asked: self, found: vec![None; self.words.len()] }
    }
}

/// What of the words was found so far in the texts of one result.
#[derive(Debug, Clone)]
pub struct Hearing<'a> {
    asked: &'a FullText,
    found: Vec<Option<Closeness>>,
}

impl Hearing<'_> {
    /// Takes a text in; `is_private` if a private attribute says it. Whether any
    /// word was found in it.
    pub fn hear(&mut self, is_private: bool, text: &str) -> bool {
        if is_private && !self.asked.private {
            return false;
        }
        let mut heard = false;
        words(text, &mut |token, _| {
            for (word, found) in self.asked.words.iter().zip(&mut self.found) {
                let closeness = word.closeness(token);
                heard |= closeness.is_some();
                *found = (*found).max(closeness);
            }
        });
        heard
    }

    /// Were all words found?
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.found.iter().all(Option::is_some)
    }

    /// How many of the words were found.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.found.iter().flatten().count()
    }

    /// The rank of the result, with how rare each word is in the archive: as if
    /// every word that was found as it stands stood there once, in a text of
    /// average length.
    #[must_use]
    pub fn score(&self, rarity: &[f32]) -> f32 {
        let of_word = |(found, rarity): (&Option<Closeness>, &f32)| match found {
            None => 0.0,
            Some(Closeness::Exact) => Closeness::Exact.score() + rarity,
            Some(closeness @ (Closeness::Near | Closeness::Begun)) => closeness.score(),
        };
        self.found.iter().zip(rarity).map(of_word).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(query: &str, texts: &[&str]) -> bool {
        let query = FullText::parse(query).unwrap();
        let mut hearing = query.listen();
        for text in texts {
            hearing.hear(false, text);
        }
        hearing.is_complete()
    }

    #[test]
    fn all_words_wherever_they_stand() {
        let texts = ["Müller^Jörg", "CT Thorax with contrast", "胸部X線検査"];
        for query in [
            "muller thorax",
            "JÖRG ct",
            "mueller",
            "thoarx",
            "kontrast",
            "thor",
            "胸部",
            "検",
            "線",
            "部 muller",
        ] {
            assert!(finds(query, &texts), "{query}");
        }
        for query in ["muller abdomen", "thor ct", "ctx", "部胸", "horax ct t"] {
            assert!(!finds(query, &texts), "{query}");
        }
        assert_eq!(FullText::parse(" ^- "), None);
    }

    #[test]
    fn what_is_found_as_it_stands_ranks_first() {
        let query = FullText::parse("thorax").unwrap();
        let score = |text: &str| {
            let mut hearing = query.listen();
            hearing.hear(false, text);
            hearing.score(&[0.1])
        };
        assert!(score("a thorax") > score("thoraxaufnahme") && score("thoraxaufnahme") > score("torax"));
        assert!(!query.listen().hear(true, "thorax"), "private text only when asked for");
    }
}
