//! Random studies and random queries against a filter over a `Vec` that is
//! written here from PS3.4 section C.2.2.2 alone: right after each store, when
//! everything is in the index, and after a restart.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::select, test_runner::Config};
use serde_json::Value;

use super::{column, settle};
use crate::{harness::Hilum, library::header, sample::Sample};

#[rustfmt::skip]
const NAMES: [&str; 10] = [
    "", "Doe^John", "DOE^Jane", "Müller^Jörg", "Muller^Anna", "Doe", "Doe^^^^", "Yamada^Tarou=山田^太郎", "Yamada^=山田",
    "O'Neil^A B",
];
const IDS: [&str; 6] = ["", "A1", "a1", "A10", "B 2", "*1"];
const DATES: [&str; 5] = ["", "20240101", "20240102", "20231231", "20240201"];
const TIMES: [&str; 5] = ["", "0930", "093000.5", "18", "235959"];
const TEXTS: [&str; 5] = ["", "Thorax", "CT thorax", "thorax CT", "T"];
const MODALITIES: [&str; 4] = ["CT", "MR", "SR", ""];
const NUMBERS: [&str; 4] = ["", "1", "2", "10"];
/// Several values of one attribute.
const OTHER_IDS: [&str; 5] = ["", "X1", "X1\\Y2", "Y2\\Z3\\X10", "z3"];
/// Codes and their meanings, one item each.
const CODES: [(&str, &str); 4] = [("A", "Chest"), ("A", "Head"), ("B", "Chest"), ("", "Head")];

#[derive(Debug, Clone)]
struct Study {
    uid: String,
    name: &'static str,
    id: &'static str,
    date: &'static str,
    time: &'static str,
    text: &'static str,
    others: &'static str,
    codes: Vec<(&'static str, &'static str)>,
    series: Vec<Series>,
}

#[derive(Debug, Clone)]
struct Series {
    uid: String,
    modality: &'static str,
    number: &'static str,
    text: &'static str,
    /// Instance numbers.
    instances: Vec<&'static str>,
}

fn study() -> impl Strategy<Value = Study> {
    let series = (
        select(&MODALITIES[..]),
        select(&NUMBERS[..]),
        select(&TEXTS[..]),
        prop::collection::vec(select(&NUMBERS[..]), 1..4),
    )
        .prop_map(|(modality, number, text, instances)| Series {
            uid: String::new(),
            modality,
            number,
            text,
            instances,
        });
    (
        select(&NAMES[..]),
        select(&IDS[..]),
        select(&DATES[..]),
        select(&TIMES[..]),
        select(&TEXTS[..]),
        select(&OTHER_IDS[..]),
        prop::collection::vec(select(&CODES[..]), 0..3),
        prop::collection::vec(series, 1..4),
    )
        .prop_map(|(name, id, date, time, text, others, codes, series)| Study {
            uid: String::new(),
            others,
            codes,
            name,
            id,
            date,
            time,
            text,
            series,
        })
}

/// Gives every study, series and instance its UID.
fn named(mut studies: Vec<Study>) -> Vec<Study> {
    for (number, study) in studies.iter_mut().enumerate() {
        study.uid = format!("1.{number}");
        for (number, series) in study.series.iter_mut().enumerate() {
            series.uid = format!("{}.{number}", study.uid);
        }
    }
    studies
}

impl Study {
    fn files(&self) -> Vec<Vec<u8>> {
        // The creator's block is another in each file.
        let block = |index: usize| 0x10 + u32::try_from(index).expect("a small number");
        let codes: Vec<Sample> = self
            .codes
            .iter()
            .map(|(code, meaning)| {
                Sample::empty().text(0x0008_0100, "SH", code).text(0x0008_0104, "LO", meaning)
            })
            .collect();
        let file = |series: &Series, index: usize, number: &str| {
            Sample::new(&self.uid, &series.uid, &format!("{}.{index}", series.uid))
                .text(0x0008_0005, "CS", "ISO_IR 192")
                .text(0x0008_0020, "DA", self.date)
                .text(0x0008_0030, "TM", self.time)
                .text(0x0008_0060, "CS", series.modality)
                .text(0x0008_1030, "LO", self.text)
                .text(0x0008_103E, "LO", series.text)
                .text(0x0010_0010, "PN", self.name)
                .text(0x0010_0020, "LO", self.id)
                .text(0x0010_1000, "LO", self.others)
                .items(0x0008_1032, &codes)
                .text(0x0009_0000 | block(index), "LO", "ACME")
                .text(0x0009_0001 | block(index) << 8, "LO", &format!("p{number}"))
                .text(0x0020_0011, "IS", series.number)
                .text(0x0020_0013, "IS", number)
                .file()
        };
        self.series
            .iter()
            .flat_map(|series| {
                series.instances.iter().enumerate().map(move |(index, number)| (series, index, *number))
            })
            .map(|(series, index, number)| file(series, index, number))
            .collect()
    }
}

/// One key of a query, and whether a study, series and instance fit it.
#[derive(Debug, Clone)]
enum Key {
    Name(&'static str),
    Id(&'static str),
    Date(Option<&'static str>, Option<&'static str>),
    Time(Option<&'static str>, Option<&'static str>),
    Text(&'static str),
    Modality(Vec<&'static str>),
    ModalitiesInStudy(&'static str),
    SeriesText(&'static str),
    SeriesNumber(&'static str),
    InstanceNumber(&'static str),
    Study(Vec<u8>),
    EmptyId,
    OtherId(&'static str),
    Code(Option<&'static str>, &'static str),
    Private(&'static str),
}

fn key() -> impl Strategy<Value = Key> {
    let bound = |values: &'static [&'static str]| prop::option::of(select(values));
    prop_oneof![
        select(vec![
            "Doe*",
            "doe^john",
            "*",
            "m?ller*",
            "MÜLLER^JÖRG",
            "*an*",
            "Doe",
            "山田*",
            "yamada*",
            "*^*",
            "nobody",
            "O'Neil*",
            "Doe^*",
            "doe^^*",
            "d*^*",
            "Doe^*^*",
            "Doe^J*^*",
            "Doe^*^",
            "Doe^?*",
            "*e^*",
            "山田^*",
            "yamada^*=山田^*",
            "=山田^太郎^*"
        ])
        .prop_map(Key::Name),
        select(vec!["A1", "a1", "A*", "?1", "*1", "*", "B 2", "B*", "A??"]).prop_map(Key::Id),
        (bound(&DATES[1..]), bound(&DATES[1..])).prop_map(|(from, to)| Key::Date(from, to)),
        (bound(&["00", "0930", "10", "18"]), bound(&["0930", "17", "18", "24"]))
            .prop_map(|(from, to)| Key::Time(from, to.filter(|to| *to != "24"))),
        select(vec!["Thorax", "*horax*", "T", "?", "T*", "CT *", "*CT"]).prop_map(Key::Text),
        prop::collection::vec(select(&MODALITIES[..3]), 1..3).prop_map(Key::Modality),
        select(vec!["CT", "?R", "*", "XX"]).prop_map(Key::ModalitiesInStudy),
        select(vec!["Thorax", "thorax*", "*"]).prop_map(Key::SeriesText),
        select(&NUMBERS[1..]).prop_map(Key::SeriesNumber),
        select(&NUMBERS[1..]).prop_map(Key::InstanceNumber),
        prop::collection::vec(0u8..10, 1..4).prop_map(Key::Study),
        Just(Key::EmptyId),
        select(vec!["X1", "Y*", "?3", "Z3", "X1*"]).prop_map(Key::OtherId),
        (prop::option::of(select(vec!["A", "B", "?"])), select(vec!["Chest", "He*", "chest"]))
            .prop_map(|(code, meaning)| Key::Code(code, meaning)),
        select(vec!["p1", "p*", "p?", "q"]).prop_map(Key::Private),
    ]
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'?' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn range(from: Option<&str>, to: Option<&str>) -> String {
    match (from, to) {
        (Some(from), Some(to)) if from == to => from.to_owned(),
        (from, to) => format!("{}-{}", from.unwrap_or_default(), to.unwrap_or_default()),
    }
}

impl Key {
    fn name(&self) -> &'static str {
        match self {
            Self::Name(_) => "PatientName",
            Self::Id(_) | Self::EmptyId => "PatientID",
            Self::Date(..) => "StudyDate",
            Self::Time(..) => "StudyTime",
            Self::Text(_) => "StudyDescription",
            Self::Modality(_) => "Modality",
            Self::ModalitiesInStudy(_) => "ModalitiesInStudy",
            Self::SeriesText(_) => "SeriesDescription",
            Self::SeriesNumber(_) => "SeriesNumber",
            Self::InstanceNumber(_) => "InstanceNumber",
            Self::Study(_) => "StudyInstanceUID",
            Self::OtherId(_) => "OtherPatientIDs",
            Self::Code(..) => "ProcedureCodeSequence.CodeMeaning",
            Self::Private(_) => "00097701",
        }
    }

    /// The parameters that ask for it.
    fn params(&self) -> String {
        let own = format!("{}={}", self.name(), self.value());
        if let Self::EmptyId = self {
            format!("{own}&emptyvaluematching=true")
        } else if let Self::Code(Some(code), _) = self {
            format!("ProcedureCodeSequence.CodeValue={}&{own}", encode(code))
        } else if let Self::Private(_) = self {
            format!("{own}&00090077=ACME")
        } else {
            own
        }
    }

    fn value(&self) -> String {
        match self {
            Self::Name(text)
            | Self::Id(text)
            | Self::Text(text)
            | Self::ModalitiesInStudy(text)
            | Self::SeriesText(text)
            | Self::SeriesNumber(text)
            | Self::InstanceNumber(text)
            | Self::OtherId(text)
            | Self::Code(_, text)
            | Self::Private(text) => encode(text),
            Self::EmptyId => "%22%22".to_owned(),
            Self::Date(from, to) | Self::Time(from, to) => range(*from, *to),
            Self::Modality(list) => list.join(","),
            Self::Study(list) => {
                list.iter().map(|number| format!("1.{number}")).collect::<Vec<_>>().join(",")
            }
        }
    }

    /// Both bounds missing is no range.
    fn is_sound(&self) -> bool {
        !matches!(self, Self::Date(None, None) | Self::Time(None, None))
    }

    fn fits(&self, study: &Study, series: &Series, number: &str) -> bool {
        match self {
            Self::Name(pattern) => name_fits(pattern, study.name),
            Self::Id(pattern) => text_fits(pattern, study.id),
            Self::Text(pattern) => text_fits(pattern, study.text),
            Self::SeriesText(pattern) => text_fits(pattern, series.text),
            Self::Date(from, to) => {
                !study.date.is_empty()
                    && from.is_none_or(|from| from <= study.date)
                    && to.is_none_or(|to| study.date <= to)
            }
            Self::Time(from, to) => match (moments(study.time), from, to) {
                (None, _, _) => false,
                // A single value is its whole span.
                (Some((at, _)), from, to) => {
                    from.is_none_or(|from| moments(from).expect("a time").0 <= at)
                        && to.is_none_or(|to| at <= moments(to).expect("a time").1)
                }
            },
            Self::Modality(list) => list.contains(&series.modality),
            Self::ModalitiesInStudy(pattern) => {
                *pattern == "*" || study.series.iter().any(|series| text_fits(pattern, series.modality))
            }
            Self::SeriesNumber(wanted) => *wanted == series.number,
            Self::InstanceNumber(wanted) => *wanted == number,
            Self::Study(list) => list.iter().any(|number| format!("1.{number}") == study.uid),
            Self::EmptyId => study.id.is_empty(),
            Self::OtherId(pattern) => study.others.split('\\').any(|other| text_fits(pattern, other)),
            // Both within one item.
            Self::Code(code, meaning) => study.codes.iter().any(|(stored, means)| {
                code.is_none_or(|code| text_fits(code, stored)) && text_fits(meaning, means)
            }),
            Self::Private(pattern) => text_fits(pattern, &format!("p{number}")),
        }
    }
}

/// The first and the last microsecond of a time of any precision.
fn moments(text: &str) -> Option<(u64, u64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() {
        return None;
    }
    let fill = |with: [&str; 2], digit: char| -> u64 {
        let mut time = whole.to_owned();
        for part in with.iter().skip(usize::from(whole.len() > 2)).take((6 - whole.len()) / 2) {
            time.push_str(part);
        }
        let mut fraction = fraction.to_owned();
        while fraction.len() < 6 {
            fraction.push(digit);
        }
        format!("{time}{fraction}").parse().expect("digits")
    };
    Some((fill(["00", "00"], '0'), fill(["59", "59"], '9')))
}

fn text_fits(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    !text.is_empty() && wild(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}

fn name_fits(pattern: &str, name: &str) -> bool {
    let fold = |text: &str| text.to_lowercase().replace('ü', "u").replace('ö', "o");
    let pattern = fold(pattern);
    let groups: Vec<String> = name.split('=').map(|group| fold(group.trim_end_matches('^'))).collect();
    if pattern == "*" {
        return true;
    }
    if !pattern.contains('=') {
        return groups.iter().any(|group| group_fits(&pattern, group));
    }
    pattern.split('=').enumerate().all(|(index, pattern)| {
        pattern.is_empty() || groups.get(index).is_some_and(|group| group_fits(pattern, group))
    })
}

/// A name has as many empty components at its end as anybody likes.
fn group_fits(pattern: &str, group: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let longer = |more: usize| group.chars().chain(std::iter::repeat_n(NOTHING, more)).collect::<Vec<_>>();
    !group.is_empty() && (0..=pattern.len()).any(|more| wild(&pattern, &longer(more)))
}

/// The `^` of a component that is not there.
const NOTHING: char = '\0';

fn wild(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=text.len()).any(|skip| wild(rest, &text[skip..])),
        ([c, pattern @ ..], [NOTHING, text @ ..]) => *c == '^' && wild(pattern, text),
        (['?', pattern @ ..], [_, text @ ..]) => wild(pattern, text),
        ([p, pattern @ ..], [t, text @ ..]) => p == t && wild(pattern, text),
        ([], _) | (_, []) => false,
    }
}

#[derive(Debug, Clone, Copy)]
enum Resource {
    Studies,
    Series,
    Instances,
    /// Of this study, and of this series of it.
    StudySeries(u8),
    StudyInstances(u8),
    SeriesInstances(u8, u8),
}

/// What results are ordered by.
#[derive(Debug, Clone, Copy)]
enum Order {
    Default,
    Id,
    DateDown,
}

#[derive(Debug, Clone)]
struct Query {
    resource: Resource,
    keys: Vec<Key>,
    order: Order,
    page: usize,
}

fn query() -> impl Strategy<Value = Query> {
    let resource = prop_oneof![
        2 => Just(Resource::Studies),
        2 => Just(Resource::Series),
        2 => Just(Resource::Instances),
        1 => (0u8..4).prop_map(Resource::StudySeries),
        1 => (0u8..4).prop_map(Resource::StudyInstances),
        1 => (0u8..4, 0u8..2).prop_map(|(study, series)| Resource::SeriesInstances(study, series)),
    ];
    let order = select(vec![Order::Default, Order::Id, Order::DateDown]);
    (resource, prop::collection::vec(key(), 0..4), order, 1usize..6).prop_map(
        |(resource, keys, order, page)| {
            // Each attribute once, and of a level that the resource matches; a
            // study is asked for the modality of its series, which is another key.
            let level = |key: &Key| match key {
                Key::InstanceNumber(_) | Key::Private(_) => 2,
                Key::Modality(_) | Key::SeriesText(_) | Key::SeriesNumber(_) => 1,
                Key::Name(_)
                | Key::Id(_)
                | Key::Date(..)
                | Key::Time(..)
                | Key::Text(_)
                | Key::ModalitiesInStudy(_)
                | Key::Study(_)
                | Key::EmptyId
                | Key::OtherId(_)
                | Key::Code(..) => 0,
            };
            let levels = match resource {
                Resource::Studies => 0..=0,
                Resource::Series => 0..=1,
                Resource::Instances => 0..=2,
                Resource::StudySeries(_) => 1..=1,
                Resource::StudyInstances(_) => 1..=2,
                Resource::SeriesInstances(..) => 2..=2,
            };
            let keys: BTreeMap<&str, Key> = keys
                .into_iter()
                .filter(|key| key.is_sound() && levels.contains(&level(key)))
                .map(|key| (key.name(), key))
                .collect();
            let mut keys: Vec<Key> = keys.into_values().collect();
            // Ranges of date and time together are one of moments: not told here.
            if keys.iter().any(|key| matches!(key, Key::Date(..))) {
                keys.retain(|key| !matches!(key, Key::Time(..)));
            }
            Query { resource, keys, order, page }
        },
    )
}

impl Query {
    fn path(&self, suffix: &str) -> String {
        let resource = match self.resource {
            Resource::Studies => "studies".to_owned(),
            Resource::Series => "series".to_owned(),
            Resource::Instances => "instances".to_owned(),
            Resource::StudySeries(study) => format!("studies/1.{study}/series"),
            Resource::StudyInstances(study) => format!("studies/1.{study}/instances"),
            Resource::SeriesInstances(study, series) => {
                format!("studies/1.{study}/series/1.{study}.{series}/instances")
            }
        };
        let keys: Vec<String> = self.keys.iter().map(Key::params).collect();
        let order = match self.order {
            Order::Default => "",
            Order::Id => "&orderby=PatientID",
            Order::DateDown => "&orderby=-StudyDate",
        };
        format!("/{resource}{suffix}?{}{order}&includefield=StudyDescription", keys.join("&"))
    }

    fn tag(&self) -> &'static str {
        match self.resource {
            Resource::Studies => "0020000D",
            Resource::Series | Resource::StudySeries(_) => "0020000E",
            Resource::Instances | Resource::StudyInstances(_) | Resource::SeriesInstances(..) => "00080018",
        }
    }

    /// Is it a series of what is searched?
    fn covers(&self, study: &Study, series: &Series) -> bool {
        match self.resource {
            Resource::Studies | Resource::Series | Resource::Instances => true,
            Resource::StudySeries(number) | Resource::StudyInstances(number) => {
                study.uid == format!("1.{number}")
            }
            Resource::SeriesInstances(number, position) => series.uid == format!("1.{number}.{position}"),
        }
    }

    /// The UIDs of what matches, by the filter.
    fn expected(&self, studies: &[Study]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for study in studies {
            for series in &study.series {
                for (index, number) in series.instances.iter().enumerate() {
                    if self.covers(study, series)
                        && self.keys.iter().all(|key| key.fits(study, series, number))
                    {
                        found.insert(match self.resource {
                            Resource::Studies => study.uid.clone(),
                            Resource::Series | Resource::StudySeries(_) => series.uid.clone(),
                            Resource::Instances
                            | Resource::StudyInstances(_)
                            | Resource::SeriesInstances(..) => format!("{}.{index}", series.uid),
                        });
                    }
                }
            }
        }
        found
    }

    /// Asks for everything, and for it page by page.
    fn check(&self, hilum: &Hilum, studies: &[Study], when: &str) -> Result<(), TestCaseError> {
        let path = self.path("");
        let response = hilum.get(&path).send().expect("an answer");
        let total: usize = header(&response, "x-total-count").parse().expect("an answer");
        let found: Value = crate::library::json_of(response);
        let whole: Vec<String> = column(&found, self.tag()).into_iter().map(str::to_owned).collect();
        let distinct: BTreeSet<String> = whole.iter().cloned().collect();
        prop_assert_eq!(&distinct, &self.expected(studies), "{} {}", when, path);
        prop_assert_eq!((whole.len(), total), (distinct.len(), distinct.len()), "{} {}", when, path);
        let counted = hilum.json(&self.path("/count"));
        prop_assert_eq!(&counted["count"], &Value::from(total), "{} {}", when, path);
        self.check_said(&found, studies, &path)?;
        let mut paged = Vec::new();
        while paged.len() < whole.len() {
            let page = hilum.json(&format!("{path}&limit={}&offset={}", self.page, paged.len()));
            let page = column(&page, self.tag());
            prop_assert!(!page.is_empty(), "{} {}: {:?} of {:?}", when, path, paged, whole);
            paged.extend(page.into_iter().map(str::to_owned));
        }
        prop_assert_eq!(paged, whole, "{} {}", when, path);
        Ok(())
    }

    /// What was asked for beside the default is said, and the order is kept.
    fn check_said(&self, found: &Value, studies: &[Study], path: &str) -> Result<(), TestCaseError> {
        let results = found.as_array().expect("an array");
        let of = |result: &Value| {
            let uid = crate::library::text(result, "0020000D").to_owned();
            studies.iter().find(|study| study.uid == uid).expect("a study of ours")
        };
        for result in results {
            prop_assert_eq!(crate::library::text(result, "00081030"), of(result).text, "{}", path);
        }
        let ordered: Vec<(bool, String)> = results
            .iter()
            .map(|result| match self.order {
                Order::Id => of(result).id.to_lowercase(),
                // The latest first is the lowest first of what is left to a later day.
                Order::Default | Order::DateDown => {
                    of(result).date.bytes().map(|digit| char::from(b'0' + b'9' - digit)).collect()
                }
            })
            .map(|key: String| (key.is_empty(), key))
            .collect();
        prop_assert!(ordered.is_sorted(), "{}: {:?}", path, ordered);
        Ok(())
    }
}

proptest! {
    #![proptest_config(Config { cases: cases(), max_shrink_iters: 16, failure_persistence: None, ..Config::default() })]

    #[test]
    fn searches_as_the_filter(
        studies in prop::collection::vec(study(), 1..10),
        queries in prop::collection::vec(query(), 18),
    ) {
        let studies = named(studies);
        let hilum = Hilum::start();
        let mut asked = queries.iter().cycle();
        for (number, study) in studies.iter().enumerate() {
            let files = study.files();
            let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(hilum.store(&files).status(), 200);
            // Some of the studies are in the index by now, and some are not.
            if number == studies.len() / 2 {
                settle(&hilum);
            }
            for query in asked.by_ref().take(3) {
                query.check(&hilum, &studies[..=number], "right after the store")?;
            }
        }
        for query in &queries {
            query.check(&hilum, &studies, "when all is stored")?;
        }
        settle(&hilum);
        for query in &queries {
            query.check(&hilum, &studies, "from the index")?;
        }
        // One is deleted; the rest stay as they were.
        prop_assert_eq!(hilum.delete(&format!("/studies/{}", studies[0].uid)).status(), 204);
        for query in &queries {
            query.check(&hilum, &studies[1..], "after a deletion")?;
        }
        let hilum = hilum.restart();
        for query in &queries {
            query.check(&hilum, &studies[1..], "after a restart")?;
        }
    }
}

/// Few, for each starts servers and waits for their index; more on demand.
fn cases() -> u32 {
    if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { 5 }
}
