//! The index against a filter over a `Vec`.

mod measure;
mod restart;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::dicom::dataset::{Element, PersonName, Value};
use crate::dicom::query::{Key, NameTest, Order, Part, Pattern, Range, Resource, Test, matches};
use crate::storage::seal::Master;

#[derive(Debug, Clone)]
struct Series {
    set: DataSet,
    sop_classes: Vec<String>,
    /// One for each SOP class; the first of them are in a block of their own.
    instances: Vec<DataSet>,
}

#[derive(Debug, Clone)]
struct Study {
    set: DataSet,
    series: Vec<Series>,
}

/// Series are numbered through: study 7 has series 700, 701, ...
fn series_id(study: u64, at: usize) -> u64 {
    study * 100 + at as u64
}

fn put(index: &Index, id: u64, study: &Study) {
    try_put(index, id, study).expect("the index takes a study");
}

fn try_put(index: &Index, id: u64, study: &Study) -> Result<(), IndexError> {
    let series = study.series.iter().enumerate().map(|(at, series)| SeriesDoc {
        id: series_id(id, at),
        set: &series.set,
        sop_classes: series.sop_classes.iter().map(String::as_str).collect(),
        instances: series.sop_classes.len() as u64,
    });
    let doc = StudyDoc { id, uid: &uid_of(id), is_new: false, set: &study.set, series: series.collect() };
    index.put(&doc)?;
    for (at, series) in study.series.iter().enumerate() {
        index.remove_blocks(series_id(id, at))?;
        let (first, rest) = series.instances.split_at(series.instances.len() / 2);
        for instances in [first, rest].into_iter().filter(|instances| !instances.is_empty()) {
            let mut block = Block::new(id, series_id(id, at));
            for instance in instances {
                block.add(instance.clone());
            }
            index.put_block(block)?;
        }
    }
    Ok(())
}

fn uid_of(id: u64) -> StudyUid {
    StudyUid::parse(&format!("1.2.{id}")).expect("digits and dots")
}

/// What a search finds, by looking at everything: ids in order.
fn filter(
    model: &BTreeMap<u64, Study>,
    query: &Query,
    skip: &BTreeSet<u64>,
) -> Vec<(SortKey, u64, Option<u64>)> {
    let mut found = Vec::new();
    for (id, study) in model.iter().filter(|(id, _)| !skip.contains(id)) {
        if query.target == Level::Study {
            if matches(query, &study.set, None, None) {
                found.push((order_of(query, &study.set, None, *id, None), *id, None));
            }
            continue;
        }
        for (at, series) in study.series.iter().enumerate() {
            let matched = if query.target == Level::Series {
                matches(query, &study.set, Some(&series.set), None)
            } else {
                let all = |instance| matches(query, &study.set, Some(&series.set), Some(instance));
                series.instances.iter().any(all)
            };
            if matched {
                let series_id = Some(series_id(*id, at));
                found.push((order_of(query, &study.set, Some(&series.set), *id, series_id), *id, series_id));
            }
        }
    }
    found.sort();
    found
}

fn check(view: &View, model: &BTreeMap<u64, Study>, query: &Query, skip: &BTreeSet<u64>, need: usize) {
    let wanted = filter(model, query, skip);
    let hits = view.search(query, 0..need, skip).expect("a search");
    assert!(hits.rows.is_sorted_by(|a, b| a.order < b.order), "the order is total: {query:?}");
    let rows: Vec<_> = hits.rows.iter().map(|hit| (hit.order.clone(), hit.study_id, hit.series_id)).collect();
    if hits.exact {
        let first = &wanted[..need.min(wanted.len())];
        assert_eq!(rows, first, "{query:?}");
        assert_eq!(hits.total, wanted.len() as u64, "{query:?}");
        let from = need / 3;
        let later = view.search(query, from..need, skip).expect("a search");
        assert_eq!(later.rows, hits.rows.get(from..).unwrap_or_default(), "from {from}: {query:?}");
        assert_eq!(later.total, hits.total);
    } else {
        assert_eq!(hits.total, rows.len() as u64);
        for row in &wanted {
            assert!(rows.contains(row), "{row:?} is missing of {query:?}");
        }
    }
}

/// A text of few different characters, so that much of it matches.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        30 => "[abA.]{1,6}",
        5 => "[ab=\\^ 山é]{1,5}[ab]",
        1 => "[ab]{155,165}",
        1 => Just("a\u{2}b".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = PersonName> {
    // Some are long enough to differ by a letter, or to sound alike.
    let alphabetic =
        prop_oneof![3 => "[abAÄ]{0,3}(\\^[abé -]{0,2}[ab])?", 1 => "[abcdt]{4,9}(\\^[abcdt]{4,5})?"];
    (alphabetic, "[山田a]{0,2}", "[あかが]{0,1}").prop_map(|(alphabetic, ideographic, phonetic)| PersonName {
        alphabetic,
        ideographic,
        phonetic,
    })
}

fn texts(vr: VR) -> impl Strategy<Value = Element> {
    prop::collection::vec(prop_oneof![8 => text(), 1 => Just(String::new())], 1..3)
        .prop_map(move |values| Element::new(vr, Value::Text(values)))
}

fn date() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (2019..2022u32, 1..13u32, 1..29u32).prop_map(|(y, m, d)| format!("{y}{m:02}{d:02}")),
        1 => (1..13u32).prop_map(|m| format!("2020.{m:02}.07")),
        1 => select(vec!["2020", "nodate", "20201399", "0"]).prop_map(str::to_owned),
    ]
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (9..12u32, select(vec![0, 15, 59]), select(vec![0, 30, 60])).prop_map(|(h, m, s)| format!("{h:02}{m:02}{s:02}")),
        2 => (9..12u32).prop_map(|h| format!("{h:02}0000.5")),
        1 => select(vec!["10", "10:15", "11:15:30", "late"]).prop_map(str::to_owned),
    ]
}

fn moment() -> impl Strategy<Value = String> {
    let zone = select(vec!["", "", "+0500", "-1130"]);
    (date(), time(), zone).prop_map(|(date, time, zone)| format!("{date}{time}{zone}"))
}

fn one(vr: VR, values: impl Strategy<Value = String>) -> impl Strategy<Value = Element> {
    values.prop_map(move |value| Element::new(vr, Value::Text(vec![value])))
}

fn uid() -> impl Strategy<Value = String> {
    (1..5u32).prop_map(|n| format!("1.2.{n}"))
}

fn codes() -> impl Strategy<Value = Element> {
    let item = (proptest::option::of(texts(VR::SH)), proptest::option::of(texts(VR::LO)));
    let item = item.prop_map(|(code, meaning)| {
        let code = code.map(|element| (tags::CODE_VALUE, element));
        code.into_iter().chain(meaning.map(|element| (tags::CODE_MEANING, element))).collect::<DataSet>()
    });
    prop::collection::vec(item, 0..3).prop_map(|items| Element::new(VR::SQ, Value::Items(items)))
}

/// An attribute that is not what the dictionary says.
fn odd() -> impl Strategy<Value = Element> {
    prop_oneof![
        10 => one(VR::LO, text()),
        1 => name().prop_map(|name| Element::new(VR::PN, Value::Names(vec![name]))),
        1 => (-1..2i64).prop_map(|n| Element::new(VR::SS, Value::Signed(vec![n]))),
        1 => Just(Element::new(VR::UN, Value::Inline(b"aA".to_vec()))),
        1 => Just(Element::new(VR::LO, Value::Text(vec!["\t".to_owned()]))),
    ]
}

/// Nowhere in the dictionary.
const UNKNOWN: Tag = Tag(0x0010, 0xFFF0);

/// Puts each attribute in with a chance, or in one of ten empty.
fn set_of(elements: Vec<(Tag, BoxedStrategy<Element>)>) -> impl Strategy<Value = DataSet> {
    let parts: Vec<_> = elements
        .into_iter()
        .map(|(tag, element)| {
            (element, 0..10u32).prop_map(move |(element, chance)| match chance {
                0 | 1 => None,
                2 => Some((tag, Element::new(element.vr, Value::Empty))),
                _ => Some((tag, element)),
            })
        })
        .collect();
    parts.prop_map(|elements| elements.into_iter().flatten().collect())
}

const PRIVATE: Tag = Tag(0x0029, 0x0012);
const PRIVATE_SEQUENCE: Tag = Tag(0x0029, 0x0015);

/// With private attributes in one of two blocks, of one of two creators.
fn instance() -> impl Strategy<Value = DataSet> {
    let standard = set_of(vec![
        (tags::IMAGE_COMMENTS, texts(VR::LT).boxed()),
        (tags::IMAGE_TYPE, texts(VR::CS).boxed()),
        (tags::CONTENT_DATE, one(VR::DA, date()).boxed()),
        (tags::CONTENT_TIME, one(VR::TM, time()).boxed()),
        (
            tags::SLICE_THICKNESS,
            one(VR::DS, select(vec!["1", "2.0", "+1", "x"]).prop_map(str::to_owned)).boxed(),
        ),
        (
            tags::CONTENT_CREATOR_NAME,
            name().prop_map(|name| Element::new(VR::PN, Value::Names(vec![name]))).boxed(),
        ),
        (tags::FRAME_INCREMENT_POINTER, Just(Element::new(VR::AT, Value::Tags(vec![0x0018_1063]))).boxed()),
        (tags::DERIVATION_CODE_SEQUENCE, codes().boxed()),
    ]);
    let private = set_of(vec![(PRIVATE, odd().boxed()), (PRIVATE_SEQUENCE, codes().boxed())]);
    (standard, private, select(vec!["ACME", "OTHER ONE"]), select(vec![0x10u16, 0x77])).prop_map(
        |(mut set, private, creator, block)| {
            set.put_text(Tag(0x0029, block), VR::LO, creator);
            for (tag, element) in private {
                set.put(Tag(0x0029, block << 8 | tag.element()), element);
            }
            set
        },
    )
}

fn study() -> impl Strategy<Value = Study> {
    let names =
        prop::collection::vec(name(), 1..3).prop_map(|names| Element::new(VR::PN, Value::Names(names)));
    let weight = select(vec!["1", "1.0", "+2", "70.5", "-0", "x"]).prop_map(str::to_owned);
    let count = (0..4u64).prop_map(|n| Element::new(VR::US, Value::Unsigned(vec![n])));
    let study = set_of(vec![
        (tags::STUDY_DATE, one(VR::DA, date()).boxed()),
        (tags::STUDY_TIME, one(VR::TM, time()).boxed()),
        (tags::ACCESSION_NUMBER, one(VR::SH, text()).boxed()),
        (tags::MODALITIES_IN_STUDY, texts(VR::CS).boxed()),
        (tags::STUDY_DESCRIPTION, texts(VR::LO).boxed()),
        (tags::PROCEDURE_CODE_SEQUENCE, codes().boxed()),
        (tags::PATIENT_NAME, prop_oneof![9 => names, 1 => one(VR::LO, text())].boxed()),
        (tags::PATIENT_ID, odd().boxed()),
        (UNKNOWN, odd().boxed()),
        (
            tags::EXAMINED_BODY_THICKNESS,
            select(vec![0.1f32, 0.5, -0.0]).prop_map(|x| Element::new(VR::FL, Value::Float(vec![x]))).boxed(),
        ),
        (tags::ACQUISITION_DATE_TIME, one(VR::DT, moment()).boxed()),
        (
            tags::TIMEZONE_OFFSET_FROM_UTC,
            one(VR::SH, select(vec!["+0200", "-1200", "+1400"]).prop_map(str::to_owned)).boxed(),
        ),
        (tags::PATIENT_WEIGHT, one(VR::DS, weight).boxed()),
        (tags::STUDY_INSTANCE_UID, one(VR::UI, uid()).boxed()),
        (tags::NUMBER_OF_STUDY_RELATED_SERIES, count.boxed()),
    ]);
    let series = set_of(vec![
        (tags::MODALITY, one(VR::CS, text()).boxed()),
        (tags::SERIES_DESCRIPTION, texts(VR::LO).boxed()),
        (tags::SERIES_NUMBER, one(VR::IS, (-3..9i32).prop_map(|n| n.to_string())).boxed()),
        (tags::PERFORMED_PROCEDURE_STEP_START_DATE, one(VR::DA, date()).boxed()),
        (tags::PERFORMED_PROCEDURE_STEP_START_TIME, one(VR::TM, time()).boxed()),
        (tags::REQUEST_ATTRIBUTES_SEQUENCE, codes().boxed()),
    ]);
    let series = (series, prop::collection::vec((uid(), instance()), 1..4)).prop_map(|(set, instances)| {
        let with_class = |(uid, mut instance): (String, DataSet)| {
            instance.put_text(tags::SOP_CLASS_UID, VR::UI, &uid);
            (uid, instance)
        };
        let (sop_classes, instances) = instances.into_iter().map(with_class).unzip();
        Series { set, sop_classes, instances }
    });
    (study, prop::collection::vec(series, 1..4)).prop_map(|(set, series)| Study { set, series })
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let part = prop_oneof![
        4 => "[abA.]{1,4}".prop_map(Part::Literal),
        1 => text().prop_map(Part::Literal),
        4 => Just(Part::Any),
        2 => Just(Part::One),
    ];
    prop::collection::vec(part, 1..5).prop_map(|parts| Pattern { parts })
}

fn name_test() -> impl Strategy<Value = NameTest> {
    let folded = "[ab^山田あ -]{0,2}[ab山]".prop_map(Part::Literal);
    let part = prop_oneof![4 => folded, 3 => Just(Part::Any), 1 => Just(Part::One)];
    let pattern = prop::collection::vec(part, 1..4).prop_map(|parts| Pattern { parts });
    let one_of = |least| prop::collection::vec(pattern.clone(), least..3).boxed();
    prop_oneof![
        4 => one_of(1).prop_map(|any_group| NameTest { any_group, ..NameTest::default() }),
        1 => (one_of(1), one_of(0)).prop_map(|(a, b)| NameTest { by_group: [a, b, vec![]], ..NameTest::default() }),
        2 => prop::collection::vec(prop_oneof!["[ab山]{1,2}", "[abcdt]{4,9}"], 1..3).prop_map(|tokens| NameTest { tokens, ..NameTest::default() }),
        2 => "[ab]{1,2}[*?]?[\\^*]{1,4}[ab]?".prop_map(|key| NameTest::parse(&key, false)),
    ]
}

fn range(bound: impl Strategy<Value = (String, String)>, zoned: bool) -> impl Strategy<Value = Range> {
    let zone =
        if zoned { prop_oneof![4 => Just(None), 1 => Just(Some(120))].boxed() } else { Just(None).boxed() };
    (bound, 0..3u32, zone).prop_map(|((a, b), sides, zone)| {
        let (from, to) = if a <= b { (a, b) } else { (b, a) };
        Range { from: (sides != 0).then_some(from), to: (sides != 1).then_some(to), zone }
    })
}

fn days() -> impl Strategy<Value = String> {
    (2019..2022u32, 1..13u32, 1..29u32).prop_map(|(y, m, d)| format!("{y}{m:02}{d:02}"))
}

fn clocks() -> impl Strategy<Value = String> {
    (9..12u32, select(vec![0, 15, 59]), 0..60u32, select(vec!["000000", "500000", "999999"]))
        .prop_map(|(h, m, s, f)| format!("{h:02}{m:02}{s:02}.{f}"))
}

fn text_test() -> impl Strategy<Value = Test> {
    prop_oneof![
        prop::collection::vec(text(), 1..3).prop_map(Test::OneOf),
        prop::collection::vec(text(), 1..3).prop_map(Test::AllOf),
        prop::collection::vec(pattern(), 1..2).prop_map(Test::Wildcard),
        Just(Test::Empty),
        Just(Test::Any),
    ]
}

fn code_keys(level: Level) -> impl Strategy<Value = Test> {
    let keys = vec![(tags::CODE_VALUE, VR::SH), (tags::CODE_MEANING, VR::LO)];
    (subsequence(keys, 0..3), text_test(), text_test()).prop_map(move |(keys, a, b)| {
        let tests = [a, b];
        Test::Item(
            keys.into_iter().zip(tests).map(|((tag, vr), test)| Key::new(tag, vr, level, test)).collect(),
        )
    })
}

fn private_key(tag: Tag, test: BoxedStrategy<Test>) -> BoxedStrategy<Key> {
    // A client numbers the block as it likes.
    let tag = Tag(tag.group(), 0x2000 | tag.element());
    (test, select(vec!["ACME", "OTHER ONE", "NOBODY"]))
        .prop_map(move |(test, creator)| Key {
            creator: Some(creator.to_owned()),
            ..Key::new(tag, VR::UN, Level::Instance, test)
        })
        .boxed()
}

fn key() -> impl Strategy<Value = Key> {
    use Level::{Instance, Series, Study};
    let text_at = |tag, vr, level| text_test().prop_map(move |test| Key::new(tag, vr, level, test)).boxed();
    let whens = ((days(), clocks()), (days(), clocks())).prop_map(|((a, b), (c, d))| (a + &b, c + &d));
    let whens = range(whens, true).boxed();
    let uids = prop::collection::vec(uid(), 1..3).prop_map(Test::Uids).boxed();
    let numbers =
        prop::collection::vec(select(vec![-2.0, 0.0, 1.0, 2.0, 70.5]), 1..3).prop_map(Test::Number).boxed();
    let at = |tag, vr, level, test: BoxedStrategy<Test>| {
        test.prop_map(move |test| Key::new(tag, vr, level, test)).boxed()
    };
    let floats = prop::collection::vec(select(vec![0.0, 0.1, 0.5, f64::from(0.1f32)]), 1..2)
        .prop_map(Test::Number)
        .boxed();
    let day_range = range((days(), days()), true).prop_map(Test::Range).boxed();
    let time_range = range((clocks(), clocks()), true).prop_map(Test::Range).boxed();
    let when = |time| whens.clone().prop_map(move |range| Test::DateTime { time, range }).boxed();
    prop_oneof![
        4 => at(tags::PATIENT_NAME, VR::PN, Study, name_test().prop_map(Test::Name).boxed()),
        4 => text_at(tags::PATIENT_ID, VR::LO, Study),
        3 => text_at(UNKNOWN, VR::UN, Study),
        1 => at(tags::EXAMINED_BODY_THICKNESS, VR::FL, Study, floats),
        2 => at(tags::ACQUISITION_DATE_TIME, VR::DT, Study, whens.clone().prop_map(Test::Range).boxed()),
        2 => text_at(tags::STUDY_DESCRIPTION, VR::LO, Study),
        2 => text_at(tags::MODALITIES_IN_STUDY, VR::CS, Study),
        1 => text_at(tags::ACCESSION_NUMBER, VR::SH, Study),
        2 => at(tags::STUDY_DATE, VR::DA, Study, day_range),
        2 => at(tags::STUDY_TIME, VR::TM, Study, time_range),
        3 => at(tags::STUDY_DATE, VR::DA, Study, when(tags::STUDY_TIME)),
        2 => at(tags::PERFORMED_PROCEDURE_STEP_START_DATE, VR::DA, Series, when(tags::PERFORMED_PROCEDURE_STEP_START_TIME)),
        2 => at(tags::PATIENT_WEIGHT, VR::DS, Study, numbers.clone()),
        1 => at(tags::NUMBER_OF_STUDY_RELATED_SERIES, VR::IS, Study, numbers.clone()),
        1 => at(tags::SERIES_NUMBER, VR::IS, Series, numbers.clone()),
        2 => at(tags::STUDY_INSTANCE_UID, VR::UI, Study, uids.clone()),
        2 => at(tags::SOP_CLASS_UID, VR::UI, Instance, uids),
        3 => text_at(tags::IMAGE_COMMENTS, VR::LT, Instance),
        1 => text_at(tags::IMAGE_TYPE, VR::CS, Instance),
        2 => at(tags::CONTENT_DATE, VR::DA, Instance, range((days(), days()), true).prop_map(Test::Range).boxed()),
        2 => at(tags::CONTENT_DATE, VR::DA, Instance, when(tags::CONTENT_TIME)),
        1 => at(tags::CONTENT_TIME, VR::TM, Instance, range((clocks(), clocks()), true).prop_map(Test::Range).boxed()),
        1 => at(tags::SLICE_THICKNESS, VR::DS, Instance, numbers.clone()),
        2 => at(tags::CONTENT_CREATOR_NAME, VR::PN, Instance, name_test().prop_map(Test::Name).boxed()),
        1 => at(tags::FRAME_INCREMENT_POINTER, VR::AT, Instance, select(vec!["00181063", "00181065"]).prop_map(|tag| Test::OneOf(vec![tag.to_owned()])).boxed()),
        2 => at(tags::DERIVATION_CODE_SEQUENCE, VR::SQ, Instance, code_keys(Instance).boxed()),
        3 => private_key(PRIVATE, text_test().boxed()),
        2 => private_key(PRIVATE_SEQUENCE, code_keys(Instance).boxed()),
        2 => text_at(tags::SERIES_DESCRIPTION, VR::LO, Series),
        2 => text_at(tags::MODALITY, VR::CS, Series),
        2 => at(tags::PROCEDURE_CODE_SEQUENCE, VR::SQ, Study, code_keys(Study).boxed()),
        2 => at(tags::REQUEST_ATTRIBUTES_SEQUENCE, VR::SQ, Series, code_keys(Series).boxed()),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    let order = (select(COLUMNS), any::<bool>());
    let resource = select(vec![Resource::Studies, Resource::Series, Resource::Instances]);
    (resource, prop::collection::vec(key(), 0..3), prop::collection::vec(order, 0..3)).prop_map(
        |(resource, mut keys, order)| {
            let mut query = Query::new(resource);
            keys.retain(|key| key.level <= query.target);
            query.keys = keys;
            query.order = order
                .into_iter()
                .map(|(column, descending)| Order { tag: column.tag, level: column.level, descending })
                .collect();
            query
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_index_is_a_filter_over_a_vec(
        first in prop::collection::vec(study(), 1..25),
        second in prop::collection::vec((0..30u64, proptest::option::of(study())), 0..12),
        queries in prop::collection::vec((query(), subsequence((0..30u64).collect::<Vec<_>>(), 0..4), 0..20usize), 150),
        sealed in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let options = if sealed { encrypted() } else { small() };
        let index = Index::create(folder.path(), options).expect("an index");
        let mut model = BTreeMap::new();
        for (id, study) in (0..).zip(first) {
            put(&index, id, &study);
            model.insert(id, study);
        }
        index.commit(1).expect("a commit");
        let before = (index.reader(), model.clone());
        for (id, study) in second {
            match study {
                Some(study) => {
                    put(&index, id, &study);
                    model.insert(id, study);
                }
                None => {
                    index.remove(&uid_of(id)).expect("a removal");
                    for at in 0..4 {
                        index.remove_blocks(series_id(id, at)).expect("a removal");
                    }
                    model.remove(&id);
                }
            }
        }
        index.commit(2).expect("a commit");
        for (query, skip, need) in queries {
            let skip = skip.into_iter().collect();
            check(&index.reader(), &model, &query, &skip, need);
            check(&index.reader(), &model, &query, &skip, usize::MAX);
            // What was kept for the searches before does not change with what is skipped.
            check(&index.reader(), &model, &query, &BTreeSet::new(), need);
            check(&before.0, &before.1, &query, &BTreeSet::new(), need);
        }
        prop_assert_eq!((before.0.seq(), index.committed_seq()), (1, 2));
    }
}

fn a_study(name: &str) -> Study {
    let mut set = DataSet::new();
    let name = PersonName { alphabetic: name.to_owned(), ..PersonName::default() };
    set.put(tags::PATIENT_NAME, Element::new(VR::PN, Value::Names(vec![name])));
    let instances = vec![DataSet::new()];
    Study {
        set,
        series: vec![Series { set: DataSet::new(), sop_classes: vec!["1.2".to_owned()], instances }],
    }
}

fn small() -> Options {
    Options { writer_bytes: 15_000_000, ..Options::default() }
}

fn ring() -> Keyring {
    Keyring::begin(&Master::random().expect("random numbers"), 1).expect("a ring")
}

fn encrypted() -> Options {
    Options { ring: Some(ring()), ..small() }
}

fn total(index: &Index) -> u64 {
    index.search(&Query::new(Resource::Studies), 0..0, &BTreeSet::new()).expect("a search").total
}

#[test]
fn a_broad_superset_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::create(folder.path(), Options { candidates_max: 3, ..small() }).expect("an index");
    for id in 0..5 {
        put(&index, id, &a_study("a^b"));
    }
    index.commit(1).expect("a commit");
    let mut query = Query::new(Resource::Studies);
    let test = |parts| NameTest { any_group: vec![Pattern { parts }], ..NameTest::default() };
    let a = || Part::Literal("a".into());
    query.keys = vec![Key::new(
        tags::PATIENT_NAME,
        VR::PN,
        Level::Study,
        Test::Name(test(vec![a(), Part::One, Part::Any])),
    )];
    assert!(matches!(
        index.search(&query, 0..1, &BTreeSet::new()),
        Err(IndexError::TooBroad { candidates_max: 3 })
    ));
    query.keys =
        vec![Key::new(tags::PATIENT_NAME, VR::PN, Level::Study, Test::Name(test(vec![a(), Part::Any])))];
    assert_eq!(
        index.search(&query, 0..1, &BTreeSet::new()).expect("a search").total,
        5,
        "an exact one is not"
    );
}

#[test]
fn series_of_many_studies_are_joined() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::create(folder.path(), small()).expect("an index");
    for id in 0..2500 {
        put(&index, id, &a_study(if id % 2 == 0 { "even" } else { "odd" }));
    }
    index.commit(1).expect("a commit");
    let mut query = Query::new(Resource::Instances);
    let pattern = Pattern { parts: vec![Part::Literal("even".into())] };
    let test = NameTest { any_group: vec![pattern], ..NameTest::default() };
    query.keys.push(Key::new(tags::PATIENT_NAME, VR::PN, Level::Study, Test::Name(test)));
    let hits = index.search(&query, 0..3, &BTreeSet::from([2])).expect("a search");
    assert_eq!((hits.total, hits.instances, hits.exact), (1249, 1249, true));
    assert_eq!(hits.rows.iter().map(|hit| hit.study_id).collect::<Vec<_>>(), [0, 4, 6]);
}

/// Each pattern that is asked by a walk over the values has an automaton, which takes
/// longest to make where there are no values at all: a list of patterns for each of
/// many attributes took minutes, before the search looked at its time.
#[test]
fn many_patterns_make_few_automata() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::create(folder.path(), small()).expect("an index");
    let mut study = a_study("a^b");
    study.series[0].instances[0].put_text(tags::IMAGE_TYPE, VR::CS, "ab9cde");
    put(&index, 1, &study);
    index.commit(1).expect("a commit");
    let view = index.reader();
    let mut query = Query::new(Resource::Instances);
    let attributes = [
        (tags::IMAGE_TYPE, Level::Instance),
        (tags::SCANNING_SEQUENCE, Level::Instance),
        (tags::STATION_NAME, Level::Series),
    ];
    for (tag, level) in attributes {
        let patterns = (0..100).map(|number| Pattern::parse(&format!("ab{number}*c??")));
        query.keys.push(Key::new(tag, VR::CS, level, Test::Wildcard(patterns.collect())));
    }
    let compiled = clause::compile(&query, &view.fields, &view.searcher).expect("questions");
    let automata = format!("{:?} {:?}", compiled.own, compiled.blocks).matches("RegexQuery").count();
    assert!((1..=50).contains(&automata), "{automata}");
    query.keys.truncate(1);
    assert_eq!(view.search(&query, 0..1, &BTreeSet::new()).expect("a search").total, 1);
}
