//! Person names compared (PS3.4 section C.2.2.2.1 leaves case, accents and the
//! like to us): every component group is folded, spaces around its components
//! and empty components at its end do not count.

use super::{NameTest, Pattern, closeness::is_fuzzy_match};
use crate::dicom::dataset::PersonName;
use crate::dicom::fold::fold;

/// A component group as it is compared: `" MÜLLER ^Jörg^^"` is `muller^jorg`.
#[must_use]
pub fn normal_name(group: &str) -> String {
    let folded = fold(group);
    let mut components: Vec<&str> = folded.split('^').map(str::trim).collect();
    while components.last().is_some_and(|last| last.is_empty()) {
        components.pop();
    }
    components.join("^")
}

/// The tokens of a folded name, for fuzzy matching.
pub fn name_tokens(folded: &str) -> impl Iterator<Item = &str> {
    folded
        .split(|c: char| c.is_whitespace() || matches!(c, '^' | '=' | ',' | '.' | '-'))
        .filter(|token| !token.is_empty())
}

impl NameTest {
    /// The test that a key value asks for.
    #[must_use]
    pub fn parse(text: &str, fuzzy: bool) -> Self {
        let mut test = Self { any_group: None, by_group: [None, None, None], tokens: Vec::new() };
        if fuzzy && let Some(tokens) = fuzzy_tokens(&fold(text)) {
            test.tokens = tokens;
            return test;
        }
        if !text.contains('=') {
            test.any_group = Some(Pattern::parse(&normal_name(text)));
            return test;
        }
        for (group, place) in text.split('=').zip(&mut test.by_group) {
            let normal = normal_name(group);
            if !normal.is_empty() {
                *place = Some(Pattern::parse(&normal));
            }
        }
        test
    }

    #[must_use]
    pub fn matches(&self, name: &PersonName) -> bool {
        let groups = [&name.alphabetic, &name.ideographic, &name.phonetic].map(|group| normal_name(group));
        if groups.iter().all(String::is_empty) {
            return false;
        }
        if !self.tokens.is_empty() {
            return self.tokens.iter().all(|wanted| {
                groups.iter().flat_map(|group| name_tokens(group)).any(|token| is_fuzzy_match(wanted, token))
            });
        }
        let of_group = |pattern: &Pattern, group: &String| !group.is_empty() && pattern.matches(group);
        if let Some(pattern) = &self.any_group {
            return groups.iter().any(|group| of_group(pattern, group));
        }
        self.by_group
            .iter()
            .zip(&groups)
            .all(|(pattern, group)| pattern.as_ref().is_none_or(|pattern| of_group(pattern, group)))
    }
}

/// The tokens of a fuzzy key. A `*` at the end of a token says what fuzzy
/// matching does anyway; any other wildcard makes it a literal search.
fn fuzzy_tokens(folded: &str) -> Option<Vec<String>> {
    let tokens: Vec<String> = name_tokens(folded)
        .map(|token| token.trim_end_matches('*').to_owned())
        .filter(|token| !token.is_empty())
        .collect();
    let plain = tokens.iter().all(|token| !token.contains(['*', '?']));
    (plain && !tokens.is_empty()).then_some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(alphabetic: &str, ideographic: &str, phonetic: &str) -> PersonName {
        PersonName {
            alphabetic: alphabetic.into(),
            ideographic: ideographic.into(),
            phonetic: phonetic.into(),
        }
    }

    #[test]
    fn qry_12_literal_names() {
        let yamada = name("Yamada^Tarou", "山田^太郎", "やまだ^たろう");
        let muller = name("Müller ^Jörg^^^", "", "");
        for (key, stored, expected) in [
            ("muller^jorg", &muller, true),
            ("MÜLLER^JÖRG^^", &muller, true),
            ("muller", &muller, false),
            ("mul*", &muller, true),
            ("*jorg", &muller, true),
            ("*ÖR?", &muller, true),
            ("m?ller^*", &muller, true),
            ("山田*", &yamada, true),
            ("=山田*", &yamada, true),
            ("yamada*=山田*", &yamada, true),
            ("yamada*=太郎*", &yamada, false),
            ("山田*=", &yamada, false),
            ("==やまだ*", &yamada, true),
            ("やまた*", &yamada, false),
            ("*", &name("", "", ""), false),
        ] {
            assert_eq!(NameTest::parse(key, false).matches(stored), expected, "{key}");
        }
    }

    #[test]
    fn qry_22_fuzzy_names() {
        let doe = name("Doe^John Paul", "", "");
        for (key, expected) in [
            ("joh do", true),
            ("DO^JOH", true),
            ("jo*", true),
            ("paul", true),
            ("ohn", false),
            ("*ohn*", true),
            ("doe smith", false),
            ("jhon", true),
            ("jon", false),
        ] {
            assert_eq!(NameTest::parse(key, true).matches(&doe), expected, "{key}");
        }
        let muller = name("Müller^Jörg", "", "");
        for key in ["Mueller", "MULLER", "Miller jorg", "Muler", "joerg mull"] {
            assert!(NameTest::parse(key, true).matches(&muller), "{key}");
        }
    }
}
