//! When a word is close enough to another: for fuzzy matching of names and for
//! the words of full text. One definition, which the index asks too.

use std::ops::RangeInclusive;

/// Characters of a word that may differ: a short word, or a number, is meant as
/// it stands.
#[must_use]
pub fn edits_allowed(word: &str) -> u8 {
    if word.bytes().any(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    match word.chars().count() {
        0..=3 => 0,
        4..=7 => 1,
        _ => 2,
    }
}

/// Does one word become the other by that many characters put in, left out,
/// replaced or swapped with their neighbour?
#[must_use]
pub fn within(a: &str, b: &str, edits: u8) -> bool {
    if a == b {
        return true;
    }
    let edits = usize::from(edits);
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if edits == 0 || a.len().abs_diff(b.len()) > edits {
        return false;
    }
    // Three rows of the table of distances between beginnings.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (row, from) in a.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, to) in b.iter().enumerate() {
            let replaced = last[column] + usize::from(from != to);
            let mut least = replaced.min(last[column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && *from == b[column - 1] && a[row - 1] == *to {
                least = least.min(before[column - 1] + 1);
            }
            next.push(least);
        }
        if next.iter().all(|distance| *distance > edits) {
            return false;
        }
        before = std::mem::replace(&mut last, next);
    }
    last[b.len()] <= edits
}

/// Consonants that a code needs to stand for a sound that can be told from others.
const SOUNDS_ENOUGH: RangeInclusive<usize> = 2..=12;

/// How a name sounds, in the manner of the Cologne phonetics: a letter for each
/// group of like consonants, without vowels after the first letter. `meier`,
/// `meyer` and `maier` sound alike, and so do `schmidt`, `schmitt` and `schmid`.
/// None for what is not Latin, or has too few consonants to tell.
#[must_use]
pub fn sound(folded: &str) -> Option<String> {
    let letters: Vec<char> = folded.chars().filter(|c| c.is_alphabetic()).collect();
    if !letters.iter().all(char::is_ascii_lowercase) {
        return None;
    }
    let mut code = String::new();
    let mut last = ' ';
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at)).copied();
        let after = letters.get(at + 1).copied();
        let group = match letter {
            'a' | 'e' | 'i' | 'o' | 'u' | 'y' | 'j' => '0',
            'p' if after == Some('h') => 'F',
            'b' | 'p' => 'P',
            'd' | 't' if matches!(after, Some('c' | 's' | 'z')) => 'S',
            'd' | 't' => 'T',
            'f' | 'v' | 'w' => 'F',
            'c' if is_sharp(before, after) => 'S',
            'g' | 'k' | 'q' | 'c' | 'x' => 'K',
            'l' => 'L',
            'm' => 'M',
            'n' => 'N',
            'r' => 'R',
            's' | 'z' => 'S',
            // An h is not heard.
            _ => continue,
        };
        // A vowel counts where the word begins with it, and parts equal consonants.
        let counts = if group == '0' { code.is_empty() } else { group != last };
        if counts {
            code.push(group);
        }
        if *letter == 'x' {
            code.push('S');
            last = 'S';
        } else {
            last = group;
        }
    }
    let consonants = code.chars().filter(|group| *group != '0').count();
    SOUNDS_ENOUGH.contains(&consonants).then_some(code)
}

/// Is a `c` spoken as `s`?
fn is_sharp(before: Option<char>, after: Option<char>) -> bool {
    match before {
        Some('s' | 'z') => true,
        None => !matches!(after, Some('a' | 'h' | 'k' | 'l' | 'o' | 'q' | 'r' | 'u' | 'x')),
        Some(_) => !matches!(after, Some('a' | 'h' | 'k' | 'l' | 'o' | 'q' | 'r' | 'u' | 'x' | 't') | None),
    }
}

/// Fuzzy matching of one token of a name, both folded: it begins so, is written
/// nearly so, or sounds so.
#[must_use]
pub fn is_fuzzy_match(wanted: &str, token: &str) -> bool {
    token.starts_with(wanted)
        || within(wanted, token, edits_allowed(wanted))
        || sound(wanted).is_some_and(|wanted| sound(token).as_ref() == Some(&wanted))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_are_one() {
        for names in [
            &["muller", "mueller", "miller"][..],
            &["meier", "meyer", "maier", "mayer", "mayr"],
            &["schmidt", "schmitt", "schmid"],
            &["catherine", "katherine", "kathrin", "catharina"],
            &["stephen", "steven", "stefan"],
            &["philip", "filipp"],
            &["becker", "bekker"],
            &["ziegler", "siegler"],
        ] {
            for (a, b) in names.iter().flat_map(|a| names.iter().map(move |b| (a, b))) {
                assert!(is_fuzzy_match(a, b), "{a} {b}");
            }
        }
        assert!(is_fuzzy_match("john", "jon") && !is_fuzzy_match("jon", "john"), "short words are meant");
        for (a, b) in
            [("doe", "day"), ("lee", "li"), ("smith", "jones"), ("12345", "12346"), ("山田", "山本")]
        {
            assert!(!is_fuzzy_match(a, b), "{a} {b}");
        }
    }

    #[test]
    fn letters_that_differ() {
        assert!(within("thorax", "throax", 1), "neighbours swapped");
        assert!(
            within("thorax", "torax", 1) && within("thorax", "tthorax", 1) && within("thorax", "thorex", 1)
        );
        assert!(!within("thorax", "torex", 1) && within("thorax", "torex", 2));
        assert_eq!([3, 4, 7, 8].map(|n| edits_allowed(&"x".repeat(n))), [0, 1, 1, 2]);
    }

    proptest! {
        #[test]
        fn the_distance_is_symmetric(a in "[ab]{0,7}", b in "[ab]{0,7}", edits in 0..3u8) {
            prop_assert_eq!(within(&a, &b, edits), within(&b, &a, edits));
            prop_assert!(!within(&a, &b, edits) || within(&a, &b, edits + 1));
        }
    }
}
