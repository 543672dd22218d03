//! Searches from the query string to what comes back: the dialects of clients,
//! what is refused, and the matching rules of PS3.4 section C.2.2.2.

use dicom_core::{Tag, VR};
use proptest::prelude::*;

use super::*;
use crate::dicom::attributes::{self, by_name};
use crate::dicom::dataset::{DataSet, Element, PersonName, Value};

fn query(resource: Resource, text: &str) -> Query {
    parse(resource, text, &Options::default()).expect("this is a search")
}

fn reason(resource: Resource, text: &str) -> Reason {
    parse(resource, text, &Options::default()).expect_err("this is no search").reason
}

fn tag(name: &str) -> Tag {
    by_name(name).expect("a keyword")
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the rest are texts here")]
fn set(values: &[(&str, &str)]) -> DataSet {
    let mut set = DataSet::new();
    for (name, text) in values {
        let (tag, vr) = (tag(name), attributes::vr(tag(name)));
        let value = match vr {
            VR::PN => {
                let mut groups = text.split('=').map(str::to_owned);
                Value::Names(vec![PersonName {
                    alphabetic: groups.next().unwrap_or_default(),
                    ideographic: groups.next().unwrap_or_default(),
                    phonetic: groups.next().unwrap_or_default(),
                }])
            }
            VR::US => Value::Unsigned(text.split('\\').map(|n| n.parse().expect("a number")).collect()),
            _ if text.is_empty() => Value::Empty,
            _ => Value::Text(text.split('\\').map(str::to_owned).collect()),
        };
        set.put(tag, Element::new(vr, value));
    }
    set
}

fn with_items(mut set: DataSet, sequence: &str, items: Vec<DataSet>) -> DataSet {
    set.put(tag(sequence), Element::new(VR::SQ, Value::Items(items)));
    set
}

/// Does a study with these attributes match?
fn found(text: &str, study: &DataSet) -> bool {
    let query = query(Resource::Studies, text);
    assert!(query.warnings.is_empty(), "{text}: {:?}", query.warnings);
    matches(&query, study, None, None)
}

fn doe() -> DataSet {
    set(&[
        ("StudyInstanceUID", "1.2.3"),
        ("StudyDate", "20240131"),
        ("StudyTime", "101500.5"),
        ("PatientName", "Doe^John"),
        ("PatientID", "P-1"),
        ("StudyDescription", "CT, Thorax (gross)"),
        ("ModalitiesInStudy", "CT\\PT"),
        ("AccessionNumber", ""),
        ("NumberOfStudyRelatedSeries", "3"),
        ("PatientWeight", "70.50"),
        ("OtherPatientIDs", "A\\B"),
    ])
}

#[test]
fn single_values_lists_and_wildcards() {
    for (text, expected) in [
        ("", true),
        ("?", true),
        ("PatientID=P-1", true),
        ("00100020=P-1", true),
        ("PatientID=p-1", false),
        ("PatientID=P*", true),
        ("PatientID=P-%3F", true),
        ("PatientID=X,P-1", true),
        ("PatientID=X%2CP-1", false),
        ("StudyDescription=CT%2C+Thorax+%28gross%29", true),
        ("StudyDescription=*Thorax*", true),
        ("StudyDescription=*thorax*", false),
        ("PatientName=doe^JOHN", true),
        ("PatientName=DOE*", true),
        ("PatientName=joh+do", false),
        ("PatientName=joh+do&fuzzymatching=true", true),
        ("fuzzymatching=false&PatientName=joh+do", false),
        ("StudyInstanceUID=1.2,1.2.3", true),
        ("StudyInstanceUID=1.2%5C1.2.3", true),
        ("StudyInstanceUID=1.2&StudyInstanceUID=1.2.3", true),
        ("StudyInstanceUID=1.2", false),
        ("ModalitiesInStudy=MR%2CCT", true),
        ("ModalitiesInStudy=MR%5CCT", true),
        ("ModalitiesInStudy=MR", false),
        ("ModalitiesInStudy=C*", true),
        ("Modality=PT", true),
        ("Modality=MR&ModalitiesInStudy=CT", true),
        ("multiplevaluematching=true&ModalitiesInStudy=PT%5CCT", true),
        ("multiplevaluematching=true&ModalitiesInStudy=PT%5CMR", false),
        ("OtherPatientIDs=B", true),
        ("AccessionNumber=", true),
        ("AccessionNumber", true),
        ("AccessionNumber=*", true),
        ("AccessionNumber=?*", false),
        ("AccessionNumber=%22%22&emptyvaluematching=true", true),
        ("AccessionNumber=%22%22", false),
        ("StudyID=*", true),
        ("StudyID=%22%22&emptyvaluematching=true", true),
        ("PatientID=%22%22&emptyvaluematching=true", false),
        ("StudyID=1", false),
        ("NumberOfStudyRelatedSeries=3", true),
        ("NumberOfStudyRelatedSeries=03", true),
        ("PatientWeight=70.5", true),
        ("PatientWeight=70", false),
        ("SpecificCharacterSet=ISO_IR+192", true),
    ] {
        assert_eq!(found(text.trim_start_matches('?'), &doe()), expected, "{text}");
    }
}

#[test]
fn dates_and_times() {
    for (text, expected) in [
        ("StudyDate=20240131", true),
        ("StudyDate=20240101-20240131", true),
        ("StudyDate=20240201-", false),
        ("StudyDate=-20240131", true),
        ("StudyTime=10", true),
        ("StudyTime=1015", true),
        ("StudyTime=101500", true),
        ("StudyTime=101501-", false),
        // Both ranges are one: 30 January 12:00 to 31 January 11:00.
        ("StudyDate=20240130-20240131&StudyTime=1200-11", true),
        ("StudyDate=20240131-20240131&StudyTime=1200-1300", false),
        // A single date and a range of times are two keys.
        ("StudyDate=20240131&StudyTime=10-11", true),
        ("PatientBirthDate=19700101-", false),
    ] {
        assert_eq!(found(text, &doe()), expected, "{text}");
    }
}

#[test]
fn qry_15_zones() {
    let mut night =
        set(&[("StudyDate", "20240131"), ("StudyTime", "2330"), ("PatientBirthDate", "19700101")]);
    for (text, expected) in [
        ("StudyDate=20240131&TimezoneOffsetFromUTC=+0100", true),
        ("StudyDate=20240201&TimezoneOffsetFromUTC=%2B0100", false),
    ] {
        assert_eq!(found(text, &night), expected, "{text}, of unknown zone");
    }
    night.put_text(attributes::TIMEZONE_OFFSET, VR::SH, "+0000");
    for (text, expected) in [
        ("StudyDate=20240131", true),
        ("StudyDate=20240131&TimezoneOffsetFromUTC=+0100", false),
        ("StudyDate=20240201&TimezoneOffsetFromUTC=%2B0100", true),
        ("StudyTime=0030&TimezoneOffsetFromUTC=%2B0100", true),
        ("StudyDate=20240201-20240201&StudyTime=00-01&00080201=%2B0100", true),
        ("PatientBirthDate=19700101&00080201=-1200", true),
    ] {
        assert_eq!(found(text, &night), expected, "{text}");
    }
}

#[test]
fn items_match_one_by_one() {
    let ids = |id: &str, issuer: &str| set(&[("PatientID", id), ("IssuerOfPatientID", issuer)]);
    let study = with_items(doe(), "OtherPatientIDsSequence", vec![ids("1", "A"), ids("2", "B")]);
    let sequence = "OtherPatientIDsSequence";
    for (text, expected) in [
        (format!("{sequence}.PatientID=1&{sequence}.IssuerOfPatientID=A"), true),
        (format!("00101002.00100020=1&{sequence}.IssuerOfPatientID=B"), false),
        (format!("{sequence}="), true),
        (format!("{sequence}.PatientID="), true),
        (format!("{sequence}.PatientID=3"), false),
        (format!("{sequence}=%22%22&emptyvaluematching=true"), false),
        ("ProcedureCodeSequence.CodeValue=".to_owned(), true),
        ("ProcedureCodeSequence.CodeValue=*&PatientID=P-1".to_owned(), true),
        ("ProcedureCodeSequence=%22%22&emptyvaluematching=true".to_owned(), true),
    ] {
        assert_eq!(found(&text, &study), expected, "{text}");
    }
    let query = query(Resource::Studies, "00101002.PatientID=2&includefield=00101002.00100021");
    let out = project(&query, &study, None, None);
    let items = out.items(tag(sequence));
    assert_eq!(items, [ids("2", "B")], "only what matched, of it what was asked for");
    let query = super::tests::query(Resource::Studies, "00101002.PatientID=");
    let out = project(&query, &study, None, None);
    let items = out.items(tag(sequence));
    assert_eq!(items, [set(&[("PatientID", "1")]), set(&[("PatientID", "2")])], "a return key");
}

#[test]
fn keys_of_the_wrong_level() {
    for (resource, text) in [
        (Resource::Studies, "SeriesNumber=1"),
        (Resource::Studies, "SOPInstanceUID=1.2"),
        (Resource::StudySeries, "PatientID=1"),
        (Resource::Series, "InstanceNumber=1"),
        (Resource::StudyInstances, "PatientID=1"),
        (Resource::SeriesInstances, "Modality=CT"),
        (Resource::Studies, "PatientNme=x"),
        (Resource::Studies, "00091001=x"),
        (Resource::Instances, "00091001=x"),
        (Resource::Instances, "00020010=1.2"),
    ] {
        let lenient = query(resource, text);
        assert_eq!((lenient.keys.len(), lenient.warnings.len()), (0, 1), "{text}");
        let strict = Options { strict: true, ..Options::default() };
        assert!(parse(resource, text, &strict).is_err(), "{text}");
    }
    for (resource, text) in [
        (Resource::StudySeries, "StudyInstanceUID=1.2&Modality=CT"),
        (Resource::Series, "PatientID=1&Modality=CT"),
        (Resource::SeriesInstances, "SeriesInstanceUID=1.2&SOPClassUID=1.2"),
        (Resource::Instances, "PatientID=1&InstanceNumber=1"),
    ] {
        let query = query(resource, text);
        assert_eq!((query.keys.len(), query.warnings.len()), (2, 0), "{text}");
    }
    // A return key of a level above is an include field, of one below nothing.
    let series = query(Resource::StudySeries, "PatientID=&InstanceNumber=");
    assert_eq!(series.include.fields, [vec![attributes::PATIENT_ID]]);
    assert!(series.keys.is_empty() && series.warnings.is_empty());
    let unknown = query(Resource::Studies, "color=x&accept=a%2Fb&Jos%C3%A9=1");
    assert_eq!(
        unknown.warnings,
        [
            "The parameter color is not known. It has been ignored.",
            "The parameter (unprintable) is no attribute that this archive knows. It has been ignored."
        ]
    );
}

#[test]
fn what_is_refused() {
    for (text, expected) in [
        ("limit=-1", Reason::Count),
        ("limit=", Reason::Count),
        ("limit=1&limit=1", Reason::Twice),
        ("fuzzymatching=True", Reason::Flag),
        ("StudyDate=-", Reason::Moment),
        ("StudyDate=2024*", Reason::Moment),
        ("StudyDate=*", Reason::Moment),
        ("StudyDate=20240101&StudyDate=20240102", Reason::Twice),
        ("StudyTime=25", Reason::Moment),
        ("StudyInstanceUID=1.2.*", Reason::Uid),
        ("StudyInstanceUID=*", Reason::Uid),
        ("StudyInstanceUID=,", Reason::NoValue),
        ("NumberOfStudyRelatedSeries=*", Reason::Number),
        ("PatientWeight=NaN", Reason::Number),
        ("PatientAge=0?0Y", Reason::Wildcard),
        ("PatientName=%FF", Reason::Encoding),
        ("PatientName=%4", Reason::Encoding),
        ("%zz=1", Reason::Encoding),
        ("OtherPatientIDsSequence=x", Reason::NoMatching),
        ("TimezoneOffsetFromUTC=0100", Reason::Zone),
        ("orderby=PatientNme", Reason::Order),
        ("orderby=SeriesNumber", Reason::Order),
        ("PatientName=a&PatientName=b", Reason::Twice),
    ] {
        assert_eq!(reason(Resource::Studies, text), expected, "{text}");
    }
    let error =
        parse(Resource::Studies, "PatientName=Doe%", &Options::default()).expect_err("half an escape");
    assert_eq!(error.to_string(), "the parameter PatientName is not percent-encoded UTF-8");
    let many = (0..101).map(|n| format!("0010{n:04X}=x&", n = n + 0x2000)).collect::<Vec<_>>().concat();
    assert_eq!(reason(Resource::Studies, &many), Reason::TooManyKeys(100));
    assert_eq!(reason(Resource::Studies, &"x".repeat(300_000)), Reason::TooLong(256 * 1024));
    let long = format!("PatientID={}", "*a".repeat(600));
    assert_eq!(reason(Resource::Studies, &long), Reason::TooLong(1024));
    let list = format!("StudyInstanceUID={}", "1,".repeat(2001));
    assert_eq!(reason(Resource::Studies, &list), Reason::TooMany(2000));
}

#[test]
fn limits_order_and_fields() {
    let query = query(
        Resource::Series,
        "limit=5&offset=99999999999999999999999&orderby=-StudyDate,SeriesNumber&includefield=all&includefield=00081030%2C00080060,Nonsense",
    );
    assert_eq!((query.limit, query.offset), (Some(5), usize::MAX));
    assert_eq!(
        query.order,
        [
            Order { tag: attributes::STUDY_DATE, level: Level::Study, descending: true },
            Order { tag: tag("SeriesNumber"), level: Level::Series, descending: false },
        ]
    );
    assert!(query.include.all);
    assert_eq!(query.include.fields, [vec![attributes::MODALITY], vec![tag("StudyDescription")]]);
}

#[test]
fn private_attributes_by_their_creator() {
    let mut instance = set(&[("SOPInstanceUID", "1.2.3.4")]);
    instance.put_text(Tag(0x0023, 0x0010), VR::LO, "OtherCompany");
    instance.put_text(Tag(0x0023, 0x0012), VR::LO, "AcmeCompany");
    instance.put_text(Tag(0x0023, 0x1201), VR::LO, "x");
    instance.put_text(Tag(0x0023, 0x1001), VR::LO, "y");
    let asked = |text: &str| query(Resource::Instances, text);
    let found = |query: &Query| matches(query, &DataSet::new(), None, Some(&instance));
    let acme = asked("00230010=AcmeCompany&00231001=x");
    assert!(acme.wants_whole_instances() && acme.warnings.is_empty());
    assert!(found(&acme));
    assert!(!found(&asked("00230010=AcmeCompany&00231001=y")));
    assert!(found(&asked("00230010=OtherCompany&00231001=y")));
    let out = project(&acme, &DataSet::new(), None, Some(&instance));
    assert_eq!(out.first_text(Tag(0x0023, 0x1201)), Some("x"));
    assert_eq!(out.first_text(Tag(0x0023, 0x0012)), Some("AcmeCompany"));
    assert_eq!(out.get(Tag(0x0023, 0x1001)), None);
    let included = asked("00230010=AcmeCompany&includefield=00231001,00231002");
    let out = project(&included, &DataSet::new(), None, Some(&instance));
    assert_eq!(out.first_text(Tag(0x0023, 0x1201)), Some("x"));
}

#[test]
fn what_comes_back_of_a_study() {
    let mut study = doe();
    study.put_text(attributes::RETRIEVE_URL, VR::UR, "http://x/studies/1.2.3");
    let plain = project(&query(Resource::Studies, ""), &study, None, None);
    assert_eq!(plain.get(tag("StudyID")), Some(&Element::new(VR::SH, Value::Empty)), "required and unknown");
    assert_eq!(plain.get(tag("StudyDescription")), None);
    assert_eq!(plain.get(attributes::TIMEZONE_OFFSET), None, "conditional and unknown");
    assert_eq!(plain.len(), 14, "13 required ones and the URL");
    for text in
        ["includefield=StudyDescription", "includefield=all", "StudyDescription=*", "StudyDescription"]
    {
        let out = project(&query(Resource::Studies, text), &study, None, None);
        assert!(out.get(tag("StudyDescription")).is_some(), "{text}");
    }
    let ohif = query(
        Resource::Studies,
        "fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030&limit=101&offset=0\
         &PatientName=*oe*&00100020=*P*&StudyDate=19700102-20260101&ModalitiesInStudy=CT%2CMR",
    );
    assert!(ohif.warnings.is_empty() && matches(&ohif, &study, None, None));
}

#[test]
fn what_comes_back_of_a_series_and_an_instance() {
    let step = set(&[
        ("ScheduledProcedureStepID", "S"),
        ("RequestedProcedureID", "R"),
        ("RequestedProcedureDescription", "D"),
    ]);
    let series = with_items(
        set(&[("SeriesInstanceUID", "1.2.3.1"), ("Modality", "CT"), ("Manufacturer", "ACME")]),
        "RequestAttributesSequence",
        vec![step.clone()],
    );
    let instance = set(&[("SOPInstanceUID", "1.2.3.1.1"), ("SOPClassUID", "1.2.840"), ("Rows", "512")]);
    let study = doe();
    let of = |resource: Resource, text: &str| project(&query(resource, text), &study, Some(&series), None);

    let plain = of(Resource::StudySeries, "");
    assert_eq!(plain.first_text(attributes::STUDY_INSTANCE_UID), Some("1.2.3"), "the parent's UID");
    assert_eq!(plain.get(attributes::PATIENT_ID), None);
    let [item] = plain.items(attributes::REQUEST_ATTRIBUTES) else { panic!("one item") };
    assert_eq!(item.len(), 2, "only the two attributes of the table");
    assert_eq!(
        of(Resource::StudySeries, "includefield=PatientID").first_text(attributes::PATIENT_ID),
        Some("P-1")
    );
    let whole = of(Resource::StudySeries, "includefield=00400275");
    assert_eq!(whole.items(attributes::REQUEST_ATTRIBUTES), [step]);
    assert!(of(Resource::StudySeries, "includefield=all").get(tag("Manufacturer")).is_some());
    assert_eq!(of(Resource::StudySeries, "includefield=all").get(attributes::PATIENT_ID), None);
    assert!(of(Resource::Series, "").get(tag("StudyID")).is_some(), "relational: the study's too");

    let of = |resource: Resource| project(&query(resource, ""), &study, Some(&series), Some(&instance));
    let hierarchical = of(Resource::SeriesInstances);
    assert_eq!(hierarchical.first_text(attributes::SERIES_INSTANCE_UID), Some("1.2.3.1"));
    assert_eq!(hierarchical.first_text(attributes::STUDY_INSTANCE_UID), Some("1.2.3"));
    assert_eq!(hierarchical.first_int(tag("Rows")), Some(512));
    assert_eq!(hierarchical.get(tag("Columns")), None, "only if the instance has it");
    assert_eq!(hierarchical.get(attributes::MODALITY), None);
    assert_eq!(of(Resource::StudyInstances).first_text(attributes::MODALITY), Some("CT"));
    assert_eq!(of(Resource::StudyInstances).get(attributes::PATIENT_ID), None);
    assert_eq!(of(Resource::Instances).first_text(attributes::PATIENT_ID), Some("P-1"));
}

fn any_day() -> impl Strategy<Value = u32> {
    (1998_u32..2001, 1_u32..13, 1_u32..32).prop_map(|(year, month, day)| year * 10_000 + month * 100 + day)
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in ".{0,60}", strict: bool) {
        let options = Options { strict, ..Options::default() };
        for resource in [Resource::Studies, Resource::Series, Resource::Instances] {
            let _ = parse(resource, &text, &options);
        }
    }

    #[test]
    fn any_values_parse_or_are_refused(
        pairs in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "PatientName", "StudyDate", "StudyTime", "ModalitiesInStudy", "StudyInstanceUID", "PatientWeight",
                    "00101002.PatientID", "00101002.00080005", "00080040", "0008002A", "TimezoneOffsetFromUTC",
                    "includefield", "orderby", "limit", "fuzzymatching", "emptyvaluematching", "multiplevaluematching",
                    "00090010", "00091001", "00101002.00090010", "00101002.00091001", "ContentDate", "ContentTime",
                ]),
                prop_oneof!["[0-9:.+%*?,-]{0,16}", ".{0,6}", "true", "%22%22", "[0-9]{8}-[0-9]{0,8}", "PatientID"],
            ),
            0..6,
        ),
        stored in "[0-9.:^ -]{0,12}",
    ) {
        let text: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if let Ok(query) = parse(Resource::Instances, &text.join("&"), &Options::default()) {
            let set = set(&[("StudyDate", &stored), ("StudyTime", &stored), ("PatientName", &stored), ("PatientID", &stored)]);
            let _ = matches(&query, &set, Some(&set), Some(&set));
            let _ = project(&query, &set, Some(&set), Some(&set));
        }
    }

    #[test]
    fn date_ranges_are_those_of_numbers(from in any_day(), to in any_day(), day in any_day()) {
        let study = set(&[("StudyDate", &day.to_string())]);
        prop_assert_eq!(found(&format!("StudyDate={from}-{to}"), &study), (from..=to).contains(&day));
        prop_assert_eq!(found(&format!("StudyDate={from}-"), &study), from <= day);
        prop_assert_eq!(found(&format!("StudyDate=-{to}"), &study), day <= to);
        prop_assert_eq!(found(&format!("StudyDate={day}"), &study), true);
    }
}
