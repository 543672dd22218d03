//! Wildcards without walking a dictionary: every text is indexed as its
//! trigrams, with their positions.
//!
//! A text `abc` is read as `␂abc␃␃` and gives `␂ab`, `abc`, `bc␃`, `c␃␃`; each
//! character begins a trigram, so that a literal of one or two characters is a
//! range of trigrams, and a longer one a phrase of them. `*abc*`, `abc*` and
//! `*abc` are answered exactly, other patterns by a superset. Knows of tantivy
//! only its tokenizers.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

use crate::dicom::query::{Part, Pattern};

/// Stands before a text. Control characters never come from a data set.
pub const START: char = '\u{2}';
/// Stands after a text, twice.
pub const END: char = '\u{3}';
/// What separates the path of an attribute from its text.
pub const SEPARATOR: char = '=';
/// Positions between two values of an attribute: no phrase reaches across.
const GAP: usize = 4096;
/// No phrase is longer; a longer literal is answered by its beginning.
const PHRASE_MAX: usize = 64;

/// Cuts `path=text` into `path=` + trigram.
#[derive(Clone, Default)]
pub struct Grams {
    token: Token,
}

pub struct GramStream<'a> {
    token: &'a mut Token,
    /// Bytes of `path=` in the token.
    prefix: usize,
    text: std::str::Chars<'a>,
    window: [char; 3],
    /// Trigrams yet to come after the text has ended.
    tail: usize,
    next: usize,
}

impl Tokenizer for Grams {
    type TokenStream<'a> = GramStream<'a>;

    fn token_stream<'a>(&'a mut self, field_text: &'a str) -> GramStream<'a> {
        let (path, text) = field_text.split_once(SEPARATOR).unwrap_or(("", field_text));
        self.token.reset();
        self.token.text.push_str(path);
        self.token.text.push(SEPARATOR);
        let prefix = self.token.text.len();
        let mut text = text.chars();
        let tail = text.clone().take(2).count();
        let mut next = || text.next().unwrap_or(END);
        let window = [START, next(), next()];
        // An empty text has no trigram; one of a character has `␂a␃` and `a␃␃`.
        let tail = if tail == 0 { 0 } else { tail + 1 };
        GramStream { token: &mut self.token, prefix, text, window, tail, next: 0 }
    }
}

impl TokenStream for GramStream<'_> {
    fn advance(&mut self) -> bool {
        if self.tail == 0 {
            return false;
        }
        let [a, b, c] = self.window;
        self.token.text.truncate(self.prefix);
        self.token.text.extend([a, b, c]);
        self.token.position = self.next;
        self.next += 1;
        let following = self.text.next();
        if following.is_none() {
            self.tail -= 1;
        }
        self.token.position_length = if self.tail == 0 { GAP } else { 1 };
        self.window = [b, c, following.unwrap_or(END)];
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

/// What the trigrams must show, all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub needs: Vec<Need>,
    /// Whatever shows it matches the pattern.
    pub exact: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A trigram that begins so; one or two characters.
    Begins(String),
    /// These trigrams at these distances.
    Phrase(Vec<(usize, String)>),
}

/// Plans a pattern. A plan without needs is met by every text.
#[must_use]
pub fn plan(pattern: &Pattern) -> Plan {
    let runs = runs(pattern);
    let one_literal = runs.len() == 1 && runs.iter().all(|run| run.iter().all(Option::is_some));
    let mut plan = Plan { needs: Vec::new(), exact: one_literal || runs.is_empty() };
    for run in &runs {
        plan_run(run, &mut plan);
    }
    plan
}

/// The stretches of a pattern between its `*`, with the markers of start and
/// end where it is anchored; none stands for `?`.
fn runs(pattern: &Pattern) -> Vec<Vec<Option<char>>> {
    let mut runs = vec![vec![Some(START)]];
    for part in &pattern.parts {
        match part {
            Part::Literal(text) => {
                if let Some(run) = runs.last_mut() {
                    run.extend(text.chars().map(Some));
                }
            }
            Part::One => {
                if let Some(run) = runs.last_mut() {
                    run.push(None);
                }
            }
            Part::Any => runs.push(Vec::new()),
        }
    }
    if let Some(run) = runs.last_mut() {
        run.push(Some(END));
    }
    // The start or the end alone says nothing.
    let says = |run: &Vec<Option<char>>| run.iter().any(|c| !matches!(c, Some(START | END)));
    runs.retain(says);
    runs
}

fn plan_run(run: &[Option<char>], plan: &mut Plan) {
    let phrase: Vec<(usize, String)> = run
        .windows(3)
        .enumerate()
        .filter_map(|(at, window)| Some((at, window.iter().copied().collect::<Option<String>>()?)))
        .take(PHRASE_MAX)
        .collect();
    if phrase.len() == PHRASE_MAX {
        plan.exact = false;
    }
    let in_phrase = !phrase.is_empty();
    if in_phrase {
        plan.needs.push(Need::Phrase(phrase));
    }
    // Stretches too short for a trigram are the beginning of one. A character
    // alone is asked for only where there is nothing better.
    let short = |len| {
        run.split(Option::is_none)
            .filter(move |stretch| stretch.len() == len)
            .map(|stretch| stretch.iter().copied().flatten().collect::<String>())
            .filter(|text| !text.chars().all(|c| matches!(c, START | END)))
    };
    let before = plan.needs.len();
    plan.needs.extend(short(2).map(Need::Begins));
    if !in_phrase && plan.needs.len() == before {
        plan.needs.extend(short(1).map(Need::Begins));
    }
    if !in_phrase && plan.needs.len() == before {
        plan.exact = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grams(text: &str) -> Vec<String> {
        let mut tokenizer = Grams::default();
        let mut stream = tokenizer.token_stream(text);
        let mut out = Vec::new();
        while let Some(token) = stream.next() {
            out.push(token.text.clone());
        }
        out
    }

    #[test]
    fn every_character_begins_a_trigram() {
        assert_eq!(grams("t=abc"), ["t=\u{2}ab", "t=abc", "t=bc\u{3}", "t=c\u{3}\u{3}"]);
        assert_eq!(grams("t=a"), ["t=\u{2}a\u{3}", "t=a\u{3}\u{3}"]);
        assert_eq!(grams("t=ab"), ["t=\u{2}ab", "t=ab\u{3}", "t=b\u{3}\u{3}"]);
        assert_eq!(grams("t=a=b").len(), 4, "the text may hold the separator");
        assert!(grams("t=").is_empty());
        assert_eq!(grams("t=山田"), ["t=\u{2}山田", "t=山田\u{3}", "t=田\u{3}\u{3}"]);
    }

    fn pattern(text: &str) -> Pattern {
        let mut parts = Vec::new();
        for c in text.chars() {
            match (c, parts.last_mut()) {
                ('*', _) => parts.push(Part::Any),
                ('?', _) => parts.push(Part::One),
                (c, Some(Part::Literal(literal))) => literal.push(c),
                (c, _) => parts.push(Part::Literal(c.into())),
            }
        }
        Pattern { parts }
    }

    #[test]
    fn what_is_exact() {
        for text in ["smith", "smith*", "*smith", "*smith*", "*it*", "*i*", "s*", "*s", "*", "**", "a"] {
            assert!(plan(&pattern(text)).exact, "{text}");
        }
        for text in ["s*h", "sm?th", "*a*b*", "?", "?a", "ab*ba", "???"] {
            assert!(!plan(&pattern(text)).exact, "{text}");
        }
        assert!(plan(&pattern("*")).needs.is_empty());
        assert!(!plan(&pattern(&"x".repeat(200))).exact, "only its beginning is looked at");
    }

    #[test]
    fn gaps_keep_their_distance() {
        let plan = plan(&pattern("*abc?def*"));
        assert_eq!(plan.needs, [Need::Phrase(vec![(0, "abc".into()), (4, "def".into())])]);
    }

    #[test]
    fn short_stretches_narrow_down() {
        let begins = |text: &str| Need::Begins(text.into());
        assert_eq!(plan(&pattern("m?ri?*")).needs, [begins("\u{2}m"), begins("ri")]);
        assert_eq!(plan(&pattern("*?a?*")).needs, [begins("a")]);
        assert_eq!(plan(&pattern("m?ri?a")).needs, [begins("\u{2}m"), begins("ri"), begins("a\u{3}")]);
    }
}
