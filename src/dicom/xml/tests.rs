//! The reader and the writer against each other, against the JSON, against
//! damage, and against the forms that others write.

use std::collections::BTreeMap;

use dicom_core::{Tag, VR};
use proptest::prelude::*;

use super::*;
use crate::dicom::dataset::{Bulk, DataSet, Element, PersonName, Value};
use crate::dicom::json;
use crate::dicom::json::tests::{any_set, any_value};
use crate::dicom::{attributes, vr};

fn document(inside: &str) -> String {
    format!("<NativeDicomModel>{inside}</NativeDicomModel>")
}

fn set(inside: &str) -> DataSet {
    read(document(inside).as_bytes(), Limits::default()).expect(inside)
}

fn value(vr: &str, inside: &str) -> Value {
    let set = set(&format!("<DicomAttribute tag=\"00091001\" vr=\"{vr}\">{inside}</DicomAttribute>"));
    set.get(Tag(0x0009, 0x1001)).expect("the attribute is there").value.clone()
}

fn refusal(text: &str) -> Reason {
    read(text.as_bytes(), Limits::default()).expect_err(text).reason
}

fn written(set: &DataSet) -> String {
    let mut out = Vec::new();
    write(set, &mut out);
    let text = String::from_utf8(out).expect("XML is UTF-8");
    let (head, rest) = text.split_once("xml:space=\"preserve\">").expect("a root element");
    assert!(head.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
    rest.strip_suffix("</NativeDicomModel>\n").expect("an end").to_owned()
}

fn one(tag: Tag, vr: VR, value: Value) -> String {
    let mut set = DataSet::new();
    set.put(tag, Element::new(vr, value));
    written(&set)
}

fn texts(values: &[&str]) -> Value {
    Value::Text(values.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn xml_1_the_root_and_what_it_declares() {
    let mut out = Vec::new();
    write(&DataSet::new(), &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel \
         xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" xml:space=\"preserve\"></NativeDicomModel>\n"
    );
}

#[test]
fn xml_2_each_form_of_value_is_written() {
    assert_eq!(
        one(Tag(0x0008, 0x0008), VR::CS, texts(&["A", "", "B&<>\"\r\n", ""])),
        "<DicomAttribute tag=\"00080008\" vr=\"CS\" keyword=\"ImageType\"><Value number=\"1\">A</Value>\
         <Value number=\"2\"></Value><Value number=\"3\">B&amp;&lt;&gt;&quot;&#13;&#10;</Value>\
         <Value number=\"4\"></Value></DicomAttribute>"
    );
    let name = PersonName {
        alphabetic: "Yamada^Tarou^^Dr.^Jr.".into(),
        ideographic: "山田^太郎".into(),
        phonetic: "やまだ".into(),
    };
    assert_eq!(
        one(Tag(0x0010, 0x0010), VR::PN, Value::Names(vec![name])),
        "<DicomAttribute tag=\"00100010\" vr=\"PN\" keyword=\"PatientName\"><PersonName number=\"1\"><Alphabetic>\
         <FamilyName>Yamada</FamilyName><GivenName>Tarou</GivenName><NamePrefix>Dr.</NamePrefix>\
         <NameSuffix>Jr.</NameSuffix></Alphabetic><Ideographic><FamilyName>山田</FamilyName>\
         <GivenName>太郎</GivenName></Ideographic><Phonetic><FamilyName>やまだ</FamilyName></Phonetic>\
         </PersonName></DicomAttribute>"
    );
    let mut item = DataSet::new();
    item.put_text(Tag(0x0008, 0x0100), VR::SH, "C1");
    assert_eq!(
        one(Tag(0x0008, 0x1032), VR::SQ, Value::Items(vec![item, DataSet::new()])),
        "<DicomAttribute tag=\"00081032\" vr=\"SQ\" keyword=\"ProcedureCodeSequence\"><Item number=\"1\">\
         <DicomAttribute tag=\"00080100\" vr=\"SH\" keyword=\"CodeValue\"><Value number=\"1\">C1</Value>\
         </DicomAttribute></Item><Item number=\"2\"></Item></DicomAttribute>"
    );
    let bulk = Bulk { path: "http://x/b?a&b".into(), offset: 0, length: 0 };
    assert_eq!(
        one(Tag(0x7FE0, 0x0010), VR::OW, Value::Bulk(bulk)),
        "<DicomAttribute tag=\"7FE00010\" vr=\"OW\" keyword=\"PixelData\"><BulkData uri=\"http://x/b?a&amp;b\"/>\
         </DicomAttribute>"
    );
    for (vr, value, inside) in [
        (VR::OB, Value::Inline(vec![1, 2, 3, 4]), "<InlineBinary>AQIDBA==</InlineBinary>"),
        (VR::AT, Value::Tags(vec![0x0018_106F]), "<Value number=\"1\">0018106F</Value>"),
        (VR::FL, Value::Float(vec![0.1]), "<Value number=\"1\">0.1</Value>"),
        (VR::FD, Value::Double(vec![f64::NEG_INFINITY]), "<Value number=\"1\">-Infinity</Value>"),
        (VR::SL, Value::Signed(vec![-7]), "<Value number=\"1\">-7</Value>"),
        (VR::UV, Value::Unsigned(vec![u64::MAX]), "<Value number=\"1\">18446744073709551615</Value>"),
        (VR::LT, texts(&["a\u{1B}\u{FFFF}b"]), "<Value number=\"1\">a\u{FFFD}\u{FFFD}b</Value>"),
    ] {
        assert_eq!(
            one(Tag(0x0009, 0x1001), vr, value),
            format!("<DicomAttribute tag=\"00091001\" vr=\"{vr}\">{inside}</DicomAttribute>")
        );
    }
}

#[test]
fn xml_2_what_is_empty_has_no_content() {
    for (vr, value) in [
        (VR::LO, Value::Empty),
        (VR::LO, texts(&[""])),
        (VR::PN, Value::Names(vec![PersonName::default()])),
        (VR::SQ, Value::Items(vec![])),
        (VR::OB, Value::Inline(vec![])),
    ] {
        let expected = format!("<DicomAttribute tag=\"00091001\" vr=\"{vr}\"/>");
        assert_eq!(one(Tag(0x0009, 0x1001), vr, value), expected);
        assert_eq!(self::value(vr.to_string(), ""), Value::Empty);
    }
    assert_eq!(value("LO", "<Value number=\"1\"/>"), Value::Empty);
    assert_eq!(value("PN", "<PersonName number=\"1\"/>"), Value::Empty);
    assert_eq!(value("US", "<Value number=\"1\"> </Value>"), Value::Empty);
    assert_eq!(value("SQ", "<Item number=\"1\"/>"), Value::Items(vec![DataSet::new()]));
}

#[test]
fn xml_2_gaps_in_the_numbers_are_empty_values() {
    assert_eq!(
        value("LO", "<Value number=\"4\">d</Value><Value number=\"2\">b</Value>"),
        texts(&["", "b", "", "d"])
    );
    assert_eq!(value("LO", "<Value>a</Value><Value>b</Value>"), texts(&["a", "b"]));
    let items = value("SQ", "<Item number=\"2\"/>");
    assert_eq!(items, Value::Items(vec![DataSet::new(); 2]));
    let names = value(
        "PN",
        "<PersonName number=\"2\"><Alphabetic><GivenName>A</GivenName></Alphabetic></PersonName>",
    );
    let second = PersonName { alphabetic: "^A".into(), ..PersonName::default() };
    assert_eq!(names, Value::Names(vec![PersonName::default(), second]));
    let attribute =
        |inside: &str| document(&format!("<DicomAttribute tag=\"00080008\">{inside}</DicomAttribute>"));
    for inside in [
        "<Value number=\"1\">a</Value><Value number=\"1\"/>",
        "<Value number=\"0\"/>",
        "<Value number=\"x\"/>",
    ] {
        assert_eq!(refusal(&attribute(inside)), Reason::Position, "{inside}");
    }
    assert_eq!(refusal(&attribute("<Value number=\"99999999999\"/>")), Reason::Elements);
}

#[test]
fn xml_3_jsn_18_private_attributes_stand_by_their_creator() {
    let mut set = DataSet::new();
    set.put_text(Tag(0x0009, 0x0011), VR::LO, "ACME \"1\"");
    set.put_text(Tag(0x0009, 0x0012), VR::LO, "EMPTY");
    set.put_text(Tag(0x0009, 0x1101), VR::SH, "x");
    set.put_text(Tag(0x0009, 0x1301), VR::SH, "of nobody");
    assert_eq!(
        written(&set),
        "<DicomAttribute tag=\"00090012\" vr=\"LO\"><Value number=\"1\">EMPTY</Value></DicomAttribute>\
         <DicomAttribute tag=\"00090001\" vr=\"SH\" privateCreator=\"ACME &quot;1&quot;\"><Value number=\"1\">x</Value>\
         </DicomAttribute>\
         <DicomAttribute tag=\"00091301\" vr=\"SH\"><Value number=\"1\">of nobody</Value></DicomAttribute>"
    );
    let mut again = DataSet::new();
    again.put_text(Tag(0x0009, 0x0010), VR::LO, "ACME \"1\"");
    again.put_text(Tag(0x0009, 0x0012), VR::LO, "EMPTY");
    again.put_text(Tag(0x0009, 0x1001), VR::SH, "x");
    again.put_text(Tag(0x0009, 0x1301), VR::SH, "of nobody");
    assert_eq!(self::set(&written(&set)), again);
}

#[test]
fn jsn_19_blocks_are_told_apart_again() {
    let set = set(
        "<DicomAttribute tag=\"00090001\" vr=\"SH\" privateCreator=\"A\"><Value>1</Value></DicomAttribute>\
         <DicomAttribute tag=\"00090001\" vr=\"SH\" privateCreator=\"B\"><Value>2</Value></DicomAttribute>\
         <DicomAttribute tag=\"00090001\" vr=\"SH\" privateCreator=\"A\"><Value>3</Value></DicomAttribute>\
         <DicomAttribute tag=\"00090002\" vr=\"SH\" privateCreator=\"A\"><Value>4</Value></DicomAttribute>\
         <DicomAttribute tag=\"00091010\" vr=\"SH\" privateCreator=\"C\"><Value>5</Value></DicomAttribute>\
         <DicomAttribute tag=\"00091201\" vr=\"SH\"><Value>6</Value></DicomAttribute>",
    );
    let expected = [
        (0x0010, "A"),
        (0x0011, "B"),
        (0x0013, "A"),
        (0x0014, "C"),
        (0x1001, "1"),
        (0x1002, "4"),
        (0x1101, "2"),
        (0x1201, "6"),
        (0x1301, "3"),
        (0x1410, "5"),
    ];
    let found: Vec<_> =
        set.iter().map(|(tag, _)| (tag.element(), set.first_text(tag).expect("a text"))).collect();
    assert_eq!(found, expected);

    let attribute = "<DicomAttribute tag=\"00090001\" vr=\"SH\" privateCreator=\"A\"/>";
    assert_eq!(self::set(&attribute.repeat(240)).len(), 480);
    assert_eq!(refusal(&document(&attribute.repeat(241))), Reason::Blocks);
}

#[test]
fn xml_4_capitals_namespaces_and_white_space() {
    let set = set("\n <!-- c --> <?pi x?>
        <d:DicomAttribute xmlns:d='urn:x' Tag='0020000d' VR='UI' Keyword='StudyInstanceUID'>
            <d:Value Number='1'>
                1.2
            </d:Value> <d:Unknown><d:Value>x</d:Value></d:Unknown>
        </d:DicomAttribute>
        <Other tag='00080060'/>
        <DicomAttribute keyword='PatientID'><Value number='1'>P&#x26;<![CDATA[<1>]]></Value></DicomAttribute>
        <DicomAttribute tag='00020010' vr='UI'/><DicomAttribute tag='00080000' vr='UL'/>
        <DicomAttribute tag='00091001'><Value>7</Value></DicomAttribute>");
    assert_eq!(set.len(), 3);
    assert_eq!(set.first_text(attributes::STUDY_INSTANCE_UID), Some("1.2"));
    assert_eq!(set.first_text(attributes::PATIENT_ID), Some("P&<1>"));
    assert_eq!(set.get(Tag(0x0009, 0x1001)), Some(&Element::text(VR::LO, "7")));
    assert_eq!(value("LT", "<Value> a\\b\r\n </Value>"), texts(&[" a\\b\n"]));
    assert_eq!(value("CS", "<Value>A\\B</Value>"), texts(&["A", "B"]));
    assert_eq!(value("OB", "<InlineBinary>AQ\n ID</InlineBinary>"), Value::Inline(vec![1, 2, 3]));
    let uuid = Bulk { path: "urn:uuid:0e70f1d8".into(), offset: 0, length: 0 };
    assert_eq!(value("OW", "<BulkData UUID=\"0e70f1d8\"/>"), Value::Bulk(uuid));
    assert!(read("\u{FEFF}<?xml version='1.0'?><NativeDicomModel/>".as_bytes(), Limits::default()).is_ok());
}

/// A name kept as "DOE ^JOHN" came back from its XML as "DOE^JOHN": components
/// were trimmed one by one, though only the ends of a name are padding.
#[test]
fn xml_3_the_inside_of_a_name_is_kept() {
    for name in ["DOE ^JOHN", "DOE^ JOHN", "^ 0", "A^B ^ ^D", "A^B^C^D^E ^F"] {
        let mut set = DataSet::new();
        let names = vec![PersonName { alphabetic: name.to_owned(), ..PersonName::default() }];
        set.put(Tag(0x0010, 0x0010), Element::new(VR::PN, Value::Names(names)));
        let mut xml = Vec::new();
        write(&set, &mut xml);
        assert_eq!(read(&xml, Limits::default()).expect("XML reads"), set, "{name}");
    }
    let printed = "<PersonName number='1'>\n <Alphabetic>\n  <FamilyName>\n   Doe\n  </FamilyName>\n\
        <GivenName>J </GivenName>\n </Alphabetic>\n</PersonName>";
    let doe = PersonName { alphabetic: "Doe^J".to_owned(), ..PersonName::default() };
    assert_eq!(value("PN", printed), Value::Names(vec![doe]));
}

#[test]
fn xml_4_what_is_refused() {
    let attribute = |vr: &str, inside: &str| {
        document(&format!("<DicomAttribute tag='00091001' vr='{vr}'>{inside}</DicomAttribute>"))
    };
    let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><NativeDicomModel/>";
    for (text, reason) in [
        (bomb.to_owned(), Reason::DocumentType),
        (attribute("LO", "<Value>&a;</Value>"), Reason::DocumentType),
        ("<?xml version='1.0' encoding='UTF-16'?><NativeDicomModel/>".to_owned(), Reason::Encoding),
        ("<Model/>".to_owned(), Reason::Root),
        (String::new(), Reason::Root),
        (document("") + "<NativeDicomModel/>", Reason::Syntax),
        (document("x"), Reason::Shape),
        (document("<DicomAttribute"), Reason::Syntax),
        (document("<DicomAttribute vr='LO'/>"), Reason::Attribute),
        (document("<DicomAttribute tag='0009'/>"), Reason::Attribute),
        (attribute("US", "<Value>70000</Value>"), Reason::Number),
        (attribute("US", "<Value number='2'>7</Value>"), Reason::Number),
        (attribute("FL", "<Value>1e39</Value>"), Reason::Number),
        (attribute("AT", "<Value>x</Value>"), Reason::Number),
        (attribute("OW", "<Value>1</Value>"), Reason::Form),
        (attribute("LO", "<InlineBinary>AQI=</InlineBinary>"), Reason::Form),
        (attribute("LO", "<Item/>"), Reason::Form),
        (attribute("SQ", "<BulkData uri='x'/>"), Reason::Form),
        (attribute("OB", "<InlineBinary>*</InlineBinary>"), Reason::Base64),
        (attribute("LO", "<Value><b/></Value>"), Reason::Shape),
        (attribute("LO", "<Value>1</Valu>"), Reason::Syntax),
        (attribute("LO", "<Value>&#xFFFFFFFF;</Value>"), Reason::Syntax),
    ] {
        assert_eq!(refusal(&text), reason, "{text}");
    }
    let error = read(attribute("US", "<Value>x</Value>").as_bytes(), Limits::default()).expect_err("a word");
    assert_eq!(
        error.to_string(),
        "a number is missing, malformed or outside the range of its VR at byte 90 in attribute (0009,1001)"
    );
    assert_eq!(read(b"<NativeDicomModel>\xFF", Limits::default()).expect_err("not UTF-8").offset, 18);
}

#[test]
fn nesting_and_number_are_bounded() {
    let deep = |levels: usize| {
        document(
            &("<DicomAttribute tag='00081032' vr='SQ'><Item>".repeat(levels)
                + &"</Item></DicomAttribute>".repeat(levels)),
        )
    };
    assert!(read(deep(64).as_bytes(), Limits::default()).is_ok());
    assert_eq!(refusal(&deep(65)), Reason::Depth);
    assert_eq!(refusal(&document(&"<x>".repeat(1_000_000))), Reason::Syntax);
    let few = Limits { elements_max: 2, ..Limits::default() };
    let attribute = "<DicomAttribute tag='00080060'/>";
    assert!(read(document(&attribute.repeat(2)).as_bytes(), few).is_ok());
    assert!(read(document(&attribute.repeat(3)).as_bytes(), few).is_err());
}

/// What of a data set the model keeps: trailing empty components of a name say
/// nothing, nor does the padding of the last one (PS3.5 table 6.2-1), and blocks
/// are by their creator.
fn essence(set: &DataSet) -> BTreeMap<(String, Tag), (VR, Value)> {
    let caretless = |text: &str| text.trim_end_matches(['^', ' ']).to_owned();
    set.iter()
        .filter(|(tag, _)| !(attributes::is_private_creator(*tag) && set.first_text(*tag).is_some()))
        .map(|(tag, element)| {
            let value = match &element.value {
                Value::Names(names) => {
                    let names: Vec<_> = names
                        .iter()
                        .map(|name| PersonName {
                            alphabetic: caretless(&name.alphabetic),
                            ideographic: caretless(&name.ideographic),
                            phonetic: caretless(&name.phonetic),
                        })
                        .collect();
                    let is_empty = matches!(names.as_slice(), [only] if *only == PersonName::default());
                    if is_empty { Value::Empty } else { Value::Names(names) }
                }
                Value::Items(items) => {
                    let essences: Vec<_> = items.iter().map(|item| format!("{:?}", essence(item))).collect();
                    Value::Text(essences)
                }
                Value::Empty
                | Value::Text(_)
                | Value::Signed(_)
                | Value::Unsigned(_)
                | Value::Float(_)
                | Value::Double(_)
                | Value::Tags(_)
                | Value::Inline(_)
                | Value::Bulk(_) => element.value.clone(),
            };
            let creator =
                set.first_text(Tag(tag.group(), tag.element() >> 8)).filter(|_| vr::is_private(tag));
            let element_number = if creator.is_some() { tag.element() & 0xFF } else { tag.element() };
            let key = (creator.unwrap_or_default().to_owned(), Tag(tag.group(), element_number));
            (key, (element.vr, value))
        })
        .collect()
}

/// As it is, and with creators for some of its private attributes.
fn any_set_with_creators() -> impl Strategy<Value = DataSet> {
    let privates = prop::collection::btree_map((0x10_u16..0x14, 0_u16..4), any_value(), 0..4);
    (any_set(any_value()), privates, any::<bool>()).prop_map(|(mut set, privates, named)| {
        for ((block, element), (vr, value)) in privates {
            if named {
                set.put_text(Tag(0x0011, block), VR::LO, &format!("CREATOR {block}"));
            }
            set.put(Tag(0x0011, block << 8 | element), Element::new(vr, value));
        }
        set
    })
}

proptest! {
    #[test]
    fn json_and_xml_say_the_same(set in any_set_with_creators()) {
        let mut json = Vec::new();
        json::write(&set, &mut json);
        let from_json = json::read(&json, Limits::default()).expect("JSON reads");
        let mut xml = Vec::new();
        write(&from_json, &mut xml);
        let from_xml = read(&xml, Limits::default()).expect("XML reads");
        prop_assert_eq!(essence(&from_xml), essence(&set));
        let mut again = Vec::new();
        write(&from_xml, &mut again);
        let mut third = Vec::new();
        write(&read(&again, Limits::default()).expect("XML reads"), &mut third);
        prop_assert_eq!(again, third, "what was read once is written alike for ever");
    }

    #[test]
    fn any_text_comes_back(text in any::<String>()) {
        let plain: String = text.chars().map(|c| match c {
            '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'.. => c,
            _ => '\u{FFFD}',
        }).collect();
        let mut set = DataSet::new();
        set.put_text(Tag(0x0010, 0x4000), VR::LT, &text);
        let mut xml = Vec::new();
        write(&set, &mut xml);
        let read = read(&xml, Limits::default()).expect("XML reads");
        let found = read.first_text(Tag(0x0010, 0x4000)).unwrap_or_default();
        prop_assert_eq!(found, plain.trim_end_matches([' ', '\0']));
    }

    #[test]
    fn damage_never_panics(set in any_set_with_creators(), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut xml = Vec::new();
        write(&set, &mut xml);
        for (place, byte) in cuts {
            let place = place.index(xml.len());
            xml[place] = byte;
        }
        let _ = read(&xml, Limits::default());
    }

    #[test]
    fn noise_never_panics(inside in "(<DicomAttribute |tag=|'00080008'|<Value|<Item| number='[0-9]{1,9}'|>|/>|</Item>|</Value>|&amp;|&#[0-9]{1,6};|<!\\[CDATA\\[|]]>|<!--|-->|[a-z]){0,20}") {
        let _ = read(document(&inside).as_bytes(), Limits::default());
    }
}
