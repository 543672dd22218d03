//! The reader and the writer against each other, against damage, and against
//! the forms that clients send.

use dicom_core::{Tag, VR};
use proptest::prelude::*;

use super::*;
use crate::dicom::attributes;
use crate::dicom::dataset::{Bulk, DataSet, Element, PersonName, Value};
use crate::dicom::form::trimmed;

fn element(json: &str) -> Result<Element, JsonError> {
    let set = read(format!("{{\"00091001\":{json}}}").as_bytes(), Limits::default())?;
    Ok(set.get(Tag(0x0009, 0x1001)).expect("the attribute is there").clone())
}

fn value(json: &str) -> Value {
    element(json).expect("this reads").value
}

fn texts(values: &[&str]) -> Value {
    Value::Text(values.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn jsn_22_lenient_forms() {
    assert_eq!(value(r#"{"vr":"IS","Value":["5 ", 6, 7.0]}"#), texts(&["5", "6", "7"]));
    let Value::Double(values) = value(r#"{"vr":"FD","Value":[1,null,"NaN","-Infinity"]}"#) else {
        panic!("doubles")
    };
    assert!(values.len() == 4 && values[1].is_nan() && values[3] == f64::NEG_INFINITY);
    assert_eq!(value(r#"{"Value":[7],"vr":"US"}"#), Value::Unsigned(vec![7]), "the VR may come last");
}

#[test]
fn empty_in_every_way() {
    for json in [
        r#"{"vr":"LO"}"#,
        r#"{"vr":"LO","Value":[]}"#,
        r#"{"vr":"LO","Value":[""]}"#,
        r#"{"vr":"LO","Value":[null]}"#,
        r#"{"vr":"LO","Value":null}"#,
        r#"{"vr":"PN","Value":[{}]}"#,
        r#"{"vr":"PN","Value":[{"Alphabetic":""}]}"#,
        r#"{"vr":"US","Value":[null]}"#,
        r#"{"vr":"FL","Value":[null]}"#,
        r#"{"vr":"SQ","Value":null}"#,
        r#"{"vr":"OB","InlineBinary":""}"#,
        r#"{"vr":"OB","InlineBinary":null}"#,
        r#"{"vr":"UN","Value":[]}"#,
        "{}",
    ] {
        assert_eq!(value(json), Value::Empty, "{json}");
    }
    assert_eq!(value(r#"{"vr":"SQ","Value":[null,{}]}"#), Value::Items(vec![DataSet::new(); 2]));
    assert_eq!(value(r#"{"vr":"LO","Value":["a",null,""]}"#), texts(&["a", "", ""]));
}

#[test]
fn scalars_and_arrays_and_strings_and_numbers() {
    assert_eq!(value(r#"{"vr":"LO","Value":"a"}"#), texts(&["a"]));
    assert_eq!(value(r#"{"vr":"CS","Value":["A\\B"]}"#), texts(&["A", "B"]));
    assert_eq!(value(r#"{"vr":"LT","Value":[" A\\B "]}"#), texts(&[" A\\B"]));
    assert_eq!(value(r#"{"vr":"US","Value":"7"}"#), Value::Unsigned(vec![7]));
    assert_eq!(value(r#"{"vr":"UV","Value":["18446744073709551615"]}"#), Value::Unsigned(vec![u64::MAX]));
    assert_eq!(value(r#"{"vr":"SL","Value":[-1.0]}"#), Value::Signed(vec![-1]));
    // Writers that have no whole numbers; an IS of a file keeps its form.
    assert_eq!(
        value(r#"{"vr":"IS","Value":[5.0,1e3,-0,5.5,"5.0"]}"#),
        texts(&["5", "1000", "-0", "5.5", "5.0"])
    );
    assert_eq!(
        value(r#"{"vr":"AT","Value":["00181063","(0018,106f)"]}"#),
        Value::Tags(vec![0x0018_1063, 0x0018_106F])
    );
    assert_eq!(value(r#"{"vr":"OB","InlineBinary":["AQI"]}"#), Value::Inline(vec![1, 2]));
    assert_eq!(value(r#"{"Value":[1.5]}"#), texts(&["1.5"]), "a guess of DS");
    let name = PersonName { alphabetic: "A^B".into(), ideographic: "山".into(), phonetic: String::new() };
    assert_eq!(value(r#"{"vr":"PN","Value":["A^B=山"]}"#), Value::Names(vec![name.clone()]));
    assert_eq!(value(r#"{"Value":{"Alphabetic":"A^B","Ideographic":"山"}}"#), Value::Names(vec![name]));
    let uri = value(r#"{"vr":"OW","BulkDataURI":"http://x/b"}"#);
    assert_eq!(uri, Value::Bulk(Bulk { path: "http://x/b".into(), offset: 0, length: 0 }));
}

#[test]
fn names_of_attributes() {
    let json = r#"[{"0010002x":1, "0020000d":{"Value":["1.2"]}, "PatientID":{"x":[{}],"vr":"LO","Value":["P"]},
        "00020010":{"vr":"UI"}, "00080000":{"vr":"UL"}}]"#;
    let set = read(json.as_bytes(), Limits::default()).expect("this reads");
    assert_eq!(set.len(), 2);
    assert_eq!(set.first_text(attributes::STUDY_INSTANCE_UID), Some("1.2"));
    assert_eq!(set.first_text(attributes::PATIENT_ID), Some("P"));
}

#[test]
fn strings_with_escapes() {
    assert_eq!(
        value(r#"{"vr":"LT","Value":["\u00fc\ud83d\ude00\n\/\ud800x"]}"#),
        texts(&["ü😀\n/\u{FFFD}x"])
    );
    assert_eq!(
        element("{\"vr\":\"LT\",\"Value\":[\"\\q\"]}").expect_err("this does not read").reason,
        Reason::Syntax
    );
    let broken = b"{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"\xFF\"]}}";
    let error = read(broken, Limits::default()).expect_err("this does not read");
    assert_eq!((error.reason, error.tag), (Reason::Utf8, Some(Tag(0x0008, 0x0060))));
}

#[test]
fn what_is_refused() {
    for (json, reason) in [
        (r#"{"vr":"US","Value":[70000]}"#, Reason::Number),
        (r#"{"vr":"US","Value":[1,null]}"#, Reason::Number),
        (r#"{"vr":"US","Value":["x"]}"#, Reason::Number),
        // These were taken for an infinity.
        (r#"{"vr":"FL","Value":[1e39]}"#, Reason::Number),
        (r#"{"vr":"FD","Value":["-1e999"]}"#, Reason::Number),
        (r#"{"vr":"OW","Value":[1]}"#, Reason::Form),
        (r#"{"vr":"LO","InlineBinary":"AQI="}"#, Reason::Form),
        (r#"{"vr":"OB","InlineBinary":"*"}"#, Reason::Base64),
        (r#"{"vr":"LO","Value":[true]}"#, Reason::Shape),
        (r#"{"vr":"LO","Value":[{}]}"#, Reason::Shape),
        (r#"{"vr":"LO","Value":["a" "b"]}"#, Reason::Syntax),
        (r#"{"vr":"LO","Value":[1"#, Reason::Syntax),
        ("7", Reason::Shape),
    ] {
        assert_eq!(element(json).map_err(|error| error.reason), Err(reason), "{json}");
    }
    assert!(read(b"[]", Limits::default()).is_err());
    assert!(read(b"{} x", Limits::default()).is_err());
    assert_eq!(read_all(b"[{},{}]", Limits::default()).map(|sets| sets.len()), Ok(2));
    assert_eq!(read_all(b"[]", Limits::default()).map(|sets| sets.len()), Ok(0));
}

#[test]
fn nesting_is_bounded() {
    let deep = |levels: usize| {
        "{\"00091001\":{\"vr\":\"SQ\",\"Value\":[".repeat(levels) + "{}" + &"]}}".repeat(levels)
    };
    assert!(read(deep(64).as_bytes(), Limits::default()).is_ok());
    assert_eq!(
        read(deep(65).as_bytes(), Limits::default()).expect_err("this does not read").reason,
        Reason::Depth
    );
    let unknown = format!("{{\"x\":{}", "[".repeat(1_000_000));
    assert_eq!(
        read(unknown.as_bytes(), Limits::default()).expect_err("this does not read").reason,
        Reason::Depth
    );
    // The data set counts too: an empty item is three bytes.
    let few = Limits { elements_max: 3, ..Limits::default() };
    assert!(read(br#"{"00080060":{},"00080061":{}}"#, few).is_ok());
    assert!(read(br#"{"00080060":{},"00080061":{},"00080062":{}}"#, few).is_err());
    assert!(read(br#"{"00081140":{"vr":"SQ","Value":[{}]}}"#, few).is_ok());
    assert!(read(br#"{"00081140":{"vr":"SQ","Value":[{},{}]}}"#, few).is_err());
    assert!(read_all(b"[{},{},{},{}]", few).is_err());
    let values = format!(r#"{{"00080008":{{"vr":"CS","Value":[""{}]}}}}"#, r#","""#.repeat(8));
    assert!(read(values.as_bytes(), few).is_ok());
    let values = format!(r#"{{"00080008":{{"vr":"CS","Value":[""{}]}}}}"#, r#","""#.repeat(9));
    assert!(read(values.as_bytes(), few).is_err());
}

pub(in crate::dicom) fn any_value() -> impl Strategy<Value = (VR, Value)> {
    let text = "[ -~ü山]{1,12}".prop_filter("trimmed", |text| {
        trimmed(text, VR::LO) == text && !text.contains('\\') && !text.is_empty()
    });
    let leaf = prop_oneof![
        Just((VR::LO, Value::Empty)),
        prop::collection::vec(text.clone(), 1..4).prop_map(|values| (VR::LO, Value::Text(values))),
        prop::collection::vec("[+-]?[0-9]{1,18}([.][0-9]{0,3})?(e-?[0-9]{1,3})?", 1..4)
            .prop_map(|values| (VR::DS, Value::Text(values))),
        (text, "[a-z^]{0,5}").prop_map(|(alphabetic, phonetic)| (
            VR::PN,
            Value::Names(vec![PersonName { alphabetic, ideographic: String::new(), phonetic }])
        )),
        prop::collection::vec(any::<i64>(), 1..4).prop_map(|values| (VR::SV, Value::Signed(values))),
        prop::collection::vec(any::<u64>(), 1..4).prop_map(|values| (VR::UV, Value::Unsigned(values))),
        prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 1..4)
            .prop_map(|values| (VR::FL, Value::Float(values))),
        prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::INFINITE, 1..4)
            .prop_map(|values| (VR::FD, Value::Double(values))),
        prop::collection::vec(any::<u32>(), 1..4).prop_map(|values| (VR::AT, Value::Tags(values))),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(|values| (VR::OB, Value::Inline(values))),
    ];
    leaf.prop_recursive(3, 24, 3, |inner| {
        prop::collection::vec(any_set(inner), 1..3).prop_map(|items| (VR::SQ, Value::Items(items)))
    })
}

pub(in crate::dicom) fn any_set(value: impl Strategy<Value = (VR, Value)>) -> impl Strategy<Value = DataSet> {
    prop::collection::btree_map((3_u16..9, 1_u16..9), value, 0..4).prop_map(|elements| {
        elements
            .into_iter()
            .map(|((group, element), (vr, value))| (Tag(group, element), Element::new(vr, value)))
            .collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(set in any_set(any_value())) {
        let mut json = Vec::new();
        write(&set, &mut json);
        let mut filled = Vec::new();
        fill(&json, "http://x", &mut filled);
        prop_assert_eq!(&json, &filled);
        serde_json::from_slice::<serde::de::IgnoredAny>(&json).expect("it is JSON");
        prop_assert_eq!(read(&json, Limits::default()).expect("it reads"), set);
    }

    #[test]
    fn damage_never_panics(set in any_set(any_value()), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut json = Vec::new();
        write(&set, &mut json);
        for (place, byte) in cuts {
            let place = place.index(json.len());
            json[place] = byte;
        }
        let _ = read_all(&json, Limits::default());
    }

    #[test]
    fn noise_never_panics(bytes in "[\\[\\]{}:,\"a0\\\\u-]{0,40}") {
        let _ = read_all(bytes.as_bytes(), Limits::default());
    }
}

#[test]
fn the_dictionary_crates_read_it_alike() {
    let name = PersonName { alphabetic: "Doe^John".into(), ..PersonName::default() };
    let mut item = DataSet::new();
    item.put_text(Tag(0x0008, 0x0100), VR::SH, "T-D1100");
    let mut set = DataSet::new();
    set.put(
        Tag(0x0008, 0x0008),
        Element::new(VR::CS, Value::Text(vec!["ORIGINAL".into(), "PRIMARY".into()])),
    );
    set.put(attributes::PATIENT_NAME, Element::new(VR::PN, Value::Names(vec![name])));
    set.put(Tag(0x0018, 0x0050), Element::text(VR::DS, "2.5"));
    set.put(Tag(0x0028, 0x0010), Element::new(VR::US, Value::Unsigned(vec![512])));
    set.put(Tag(0x0008, 0x2218), Element::new(VR::SQ, Value::Items(vec![item])));
    set.put(Tag(0x0009, 0x1001), Element::new(VR::OB, Value::Inline(vec![1, 2, 3, 4])));
    let mut json = Vec::new();
    write(&set, &mut json);
    let text = String::from_utf8(json).expect("JSON is UTF-8");
    let theirs: dicom_object::InMemDicomObject = dicom_json::from_str(&text).expect("they read it");
    let string =
        |tag: Tag| theirs.element(tag).expect("it is there").to_str().expect("it is text").into_owned();
    assert_eq!(string(Tag(0x0008, 0x0008)), "ORIGINAL\\PRIMARY");
    assert_eq!(string(attributes::PATIENT_NAME), "Doe^John");
    assert_eq!(string(Tag(0x0018, 0x0050)), "2.5");
    assert_eq!(string(Tag(0x0028, 0x0010)), "512");
    let sequence = theirs.element(Tag(0x0008, 0x2218)).expect("it is there").items().expect("it has items");
    assert_eq!(sequence.len(), 1);
    assert_eq!(
        theirs.element(Tag(0x0009, 0x1001)).expect("it is there").to_bytes().expect("it is bytes").as_ref(),
        [1, 2, 3, 4]
    );
}
