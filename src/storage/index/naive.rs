//! A matcher so plain that it can be read as the rule.

use dicom_core::{Tag, VR};

use crate::dicom::dataset::{DataSet, Value};
use crate::dicom::fold::fold;
use crate::dicom::query::*;

pub fn matches(query: &Query, study: &DataSet, series: Option<&DataSet>, instance: Option<&DataSet>) -> bool {
    query.keys.iter().all(|key| {
        let set = match key.level {
            Level::Study => Some(study),
            Level::Series => series,
            Level::Instance => instance,
        };
        set.is_none_or(|set| matches_key(key, set))
    })
}

fn texts(set: &DataSet, tag: Tag) -> Vec<String> {
    match set.get(tag).map(|element| &element.value) {
        Some(Value::Text(values)) => values.iter().filter(|v| !v.is_empty()).cloned().collect(),
        _ => vec![],
    }
}

fn inside(range: &Range, value: &str) -> bool {
    range.from.as_deref().is_none_or(|from| from <= value) && range.to.as_deref().is_none_or(|to| value <= to)
}

fn wild(parts: &[Part], text: &[char]) -> bool {
    match parts.split_first() {
        None => text.is_empty(),
        Some((Part::Any, rest)) => (0..=text.len()).any(|at| wild(rest, &text[at..])),
        Some((Part::One, rest)) => !text.is_empty() && wild(rest, &text[1..]),
        Some((Part::Literal(literal), rest)) => {
            let literal: Vec<char> = literal.chars().collect();
            text.starts_with(&literal) && wild(rest, &text[literal.len()..])
        }
    }
}

fn pattern(pattern: &Pattern, text: &str) -> bool {
    wild(&pattern.parts, &text.chars().collect::<Vec<_>>())
}

fn matches_key(key: &Key, set: &DataSet) -> bool {
    let texts = texts(set, key.tag);
    let any = |test: &dyn Fn(&str) -> bool| texts.iter().any(|text| test(text));
    match &key.test {
        Test::Any => true,
        Test::Empty => match set.get(key.tag).map(|element| &element.value) {
            None | Some(Value::Empty) => true,
            Some(Value::Text(_)) => texts.is_empty(),
            Some(_) => false,
        },
        Test::Uids(wanted) | Test::OneOf(wanted) => wanted.iter().any(|w| texts.contains(w)),
        Test::AllOf(wanted) => wanted.iter().all(|w| texts.contains(w)),
        Test::Wildcard(patterns) => patterns.iter().any(|p| any(&|text| pattern(p, text))),
        Test::Number(wanted) => match set.get(key.tag).map(|element| &element.value) {
            Some(Value::Unsigned(values)) => values.iter().any(|v| wanted.contains(&(*v as f64))),
            _ => any(&|text| text.parse().is_ok_and(|v: f64| wanted.contains(&v))),
        },
        Test::Range(range) => any(&|text| match key.vr {
            VR::DA => normal_date(text).is_some_and(|v| inside(range, &v)),
            _ => normal_time(text).is_some_and(|v| inside(range, &v)),
        }),
        Test::DateTime { time, range } => {
            let date = set.first_text(key.tag).and_then(normal_date);
            let time = set.first_text(*time).and_then(normal_time);
            date.zip(time).is_some_and(|(date, time)| inside(range, &(date + &time)))
        }
        Test::Item(keys) => {
            keys.iter().all(|key| key.test == Test::Any)
                || set.items(key.tag).iter().any(|item| keys.iter().all(|key| matches_key(key, item)))
        }
        Test::Name(test) => match set.get(key.tag).map(|element| &element.value) {
            Some(Value::Names(names)) => names.iter().any(|name| {
                let groups = [&name.alphabetic, &name.ideographic, &name.phonetic]
                    .map(|group| fold(group).trim_end_matches('^').to_owned());
                if !test.tokens.is_empty() {
                    return test.tokens.iter().all(|token| {
                        groups
                            .iter()
                            .flat_map(|g| g.split(|c: char| !c.is_alphanumeric()))
                            .any(|word| word.starts_with(token))
                    });
                }
                let fits = |p: &Pattern, group: &String| !group.is_empty() && pattern(p, group);
                test.any_group.as_ref().is_none_or(|p| groups.iter().any(|group| fits(p, group)))
                    && test
                        .by_group
                        .iter()
                        .zip(&groups)
                        .all(|(p, group)| p.as_ref().is_none_or(|p| fits(p, group)))
            }),
            _ => false,
        },
    }
}
