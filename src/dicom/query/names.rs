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
        let mut test = Self::default();
        if fuzzy && let Some(tokens) = fuzzy_tokens(&fold(text)) {
            test.tokens = tokens;
            return test;
        }
        if !text.contains('=') {
            test.any_group = patterns(&normal_name(text));
            return test;
        }
        for (group, place) in text.split('=').zip(&mut test.by_group) {
            let normal = normal_name(group);
            if !normal.is_empty() {
                *place = patterns(&normal);
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
        let of_group = |patterns: &[Pattern], group: &String| {
            !group.is_empty() && patterns.iter().any(|pattern| pattern.matches(group))
        };
        if !self.any_group.is_empty() {
            return groups.iter().any(|group| of_group(&self.any_group, group));
        }
        self.by_group
            .iter()
            .zip(&groups)
            .all(|(patterns, group)| patterns.is_empty() || of_group(patterns, group))
    }
}

/// What a component group that was made normal must match, one of these. Since
/// empty components at the end of a name do not count, `smith^*` is `smith` too,
/// as it would be of a name written `smith^^^^`: what the end of a pattern has of
/// `^` and `*` may as well stand for components that are not there. A `?` stands
/// for a character that is.
fn patterns(normal: &str) -> Vec<Pattern> {
    let head = normal.trim_end_matches(['^', '*']);
    let Some(gap) = normal[head.len()..].find('*') else { return vec![Pattern::parse(normal)] };
    // Whatever follows the first `*` asks for nothing more.
    let open = Pattern::parse(&normal[..=head.len() + gap]);
    if gap == 0 || head.is_empty() { vec![open] } else { vec![Pattern::parse(head), open] }
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
    fn components_that_are_not_there() {
        let (smith, john) = (name("SMITH^^^^", "", ""), name("Smith^John", "", ""));
        for (key, of_smith, of_john) in [
            ("smith^*", true, true),
            ("smith^^*", true, false),
            ("smith^*^*", true, true),
            ("smith^*^*^*^*", true, true),
            ("smith^*^", true, true),
            ("smi*^*", true, true),
            ("smi*^j*", false, true),
            ("smith^john^*", false, true),
            ("smith^john^^*", false, true),
            ("smith^j*^*", false, true),
            ("*^*", true, true),
            ("*^john^*", false, true),
            ("*h^*", true, true),
            ("smith^?*", false, true),
            ("smith^?*^*", false, true),
            ("smith?^*", false, false),
            ("smit?^*", true, true),
            ("smit^*", false, false),
            ("^*", false, false),
            ("^^*", false, false),
            ("smith^*=*", false, false),
            ("smith^*=", true, true),
        ] {
            let test = NameTest::parse(key, false);
            assert_eq!((test.matches(&smith), test.matches(&john)), (of_smith, of_john), "{key}");
        }
        assert!(!NameTest::parse("smith^*", false).matches(&name("Smithson", "", "")));
        assert!(NameTest::parse("^*", false).matches(&name("^John", "", "")));
        let yamada = name("Yamada^", "山田", "やまだ^たろう");
        for (key, expected) in [
            ("yamada^*=山田^*", true),
            ("yamada^*=山田^*=やまだ^たろう^*", true),
            ("=山田^*", true),
            ("山田^*", true),
            ("やまだ^*", true),
            ("yamada^*=山^*", false),
            ("yamada^*=山田^?*", false),
        ] {
            assert_eq!(NameTest::parse(key, false).matches(&yamada), expected, "{key}");
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
