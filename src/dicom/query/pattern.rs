//! `*` and `?` (PS3.4 section C.2.2.2.4): `*` is any run of characters, `?`
//! is one; there is no escape.

use super::{Part, Pattern};

impl Pattern {
    /// Takes the text apart. A run of `*` is one gap.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        for c in text.chars() {
            match (c, parts.last_mut()) {
                ('*', Some(Part::Any)) => {}
                ('*', _) => parts.push(Part::Any),
                ('?', _) => parts.push(Part::One),
                (c, Some(Part::Literal(literal))) => literal.push(c),
                (c, _) => parts.push(Part::Literal(c.to_string())),
            }
        }
        Self { parts }
    }

    /// Does it match everything, even nothing?
    #[must_use]
    pub fn is_universal(&self) -> bool {
        matches!(self.parts.as_slice(), [Part::Any])
    }

    /// The text it is, if there is no gap in it.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Does the whole text match? At worst the length of the text times that of
    /// the pattern.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut rest = text;
        let mut parts = self.parts.as_slice();
        // Where to go on after a mismatch: behind the last gap, one character on.
        let mut retry: Option<(&[Part], &str)> = None;
        loop {
            let step = match parts.split_first() {
                Some((Part::Any, after)) => {
                    retry = Some((after, rest));
                    Some((after, rest))
                }
                Some((Part::One, after)) => without_first(rest).map(|rest| (after, rest)),
                Some((Part::Literal(literal), after)) => {
                    rest.strip_prefix(literal.as_str()).map(|rest| (after, rest))
                }
                None if rest.is_empty() => return true,
                None => None,
            };
            let next = step.or_else(|| {
                let (after, from) = retry?;
                let from = without_first(from)?;
                retry = Some((after, from));
                Some((after, from))
            });
            match next {
                Some((next_parts, next_rest)) => (parts, rest) = (next_parts, next_rest),
                None => return false,
            }
        }
    }
}

fn without_first(text: &str) -> Option<&str> {
    let mut chars = text.chars();
    chars.next()?;
    Some(chars.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            (['?', pattern @ ..], [_, text @ ..]) => naive(pattern, text),
            ([p, pattern @ ..], [t, text @ ..]) => p == t && naive(pattern, text),
            ([], _) | (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn as_the_naive_matcher(pattern in "[abü*?]{0,8}", text in "[abü]{0,8}") {
            let characters: Vec<char> = pattern.chars().collect();
            let expected = naive(&characters, &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(Pattern::parse(&pattern).matches(&text), expected);
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = Pattern::parse(&"*a".repeat(2000));
        assert!(!pattern.matches(&("a".repeat(1999) + &"b".repeat(20_000))));
        assert!(Pattern::parse("**").is_universal());
        assert_eq!(Pattern::parse("ab").as_literal(), Some("ab"));
    }
}
