//! Every attribute of the table, every action, every option, and the stored examples
//! of many transfer syntaxes: nothing of the original survives but its pixels.

use std::io::Read;

use proptest::prelude::*;

use super::{rules::Action, *};
use crate::dicom::{
    dataset::PersonName,
    part10::{read, samples},
    vr,
};

/// What must not be found anywhere afterwards.
const MARK: &str = "MUELLERHEINRICH";
const MARKED_DATE: &str = "19470811";
const MARKED_UID: &str = "1.2.826.0.1.3680043.4711.4712.4713";
const OVERLAY_DATA: Tag = Tag(0x6002, 0x3000);
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

fn secret() -> Secret {
    Secret::new([7; 32])
}

fn tag_of(number: u32) -> Tag {
    Tag((number >> 16) as u16, (number & 0xFFFF) as u16)
}

fn vr_of(tag: Tag) -> VR {
    use dicom_core::dictionary::VirtualVr;
    match vr::of(tag) {
        Some(VirtualVr::Exact(vr)) => vr,
        Some(VirtualVr::Ox) => VR::OB,
        _ => VR::LO,
    }
}

/// A value of the VR in which the marks are.
#[allow(clippy::wildcard_enum_match_arm, reason = "the rest are text")]
fn marked(vr: VR) -> Element {
    let text = |text: &str| Value::Text(vec![text.to_owned()]);
    let value = match vr {
        VR::SQ => {
            let mut item = DataSet::new();
            item.put_text(tags::PATIENT_ID, VR::LO, MARK);
            item.put_text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, MARKED_UID);
            item.put_text(Tag(0x0009, 0x1001), VR::LO, MARK);
            item.put_text(tags::PATIENT_COMMENTS, VR::LT, MARK);
            Value::Items(vec![item])
        }
        VR::PN => Value::Names(vec![PersonName { alphabetic: MARK.into(), ..PersonName::default() }]),
        VR::UI => text(MARKED_UID),
        VR::DA => text(MARKED_DATE),
        VR::DT => text(&format!("{MARKED_DATE}111111")),
        VR::TM => text("111111.471147"),
        VR::IS | VR::DS => text("4711471147"),
        VR::US | VR::UL => Value::Unsigned(vec![4711]),
        VR::FD => Value::Double(vec![4711.4711]),
        VR::OB | VR::OW | VR::UN => Value::Inline(MARK.as_bytes().to_vec()),
        _ => text(MARK),
    };
    Element::new(vr, value)
}

fn identity() -> DataSet {
    let mut set = DataSet::new();
    set.put_text(tags::SOP_CLASS_UID, VR::UI, CT);
    set.put_text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.826.0.1.3680043.1");
    set.put_text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.826.0.1.3680043.2");
    set.put_text(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.826.0.1.3680043.3");
    set.put_text(tags::PATIENT_ID, VR::LO, "PID 0815");
    set
}

fn bytes_of(set: &DataSet) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::data_set(set, &mut bytes).expect("a data set of ours");
    bytes
}

fn has(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

#[test]
fn the_table_is_in_order_and_whole() {
    assert!(table::TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let count = |action| table::TABLE.iter().filter(|(_, own, _)| *own == action).count();
    assert_eq!(count(Action::Uid) + count(Action::RemoveEmptyOrUids), 55 + 2);
    let kept = |bit| table::TABLE.iter().filter(|(.., keeps)| keeps & bit != 0).count();
    assert_eq!(
        [table::DATES, table::PATIENT, table::DEVICE, table::INSTITUTION].map(kept),
        [165, 10, 46, 10]
    );
}

/// Each listed attribute, at the root and in a sequence, with every option off.
#[test]
fn no_value_of_a_listed_attribute_survives() {
    let secret = secret();
    let plain = Deidentifier::new(&secret, Retain::default());
    for (number, action, _) in table::TABLE {
        let tag = tag_of(*number);
        let vr = vr_of(tag);
        let mut item = DataSet::new();
        item.put(tag, marked(vr));
        let mut set = identity();
        set.put(Tag(0x0040, 0x0555), Element::new(VR::SQ, Value::Items(vec![item.clone()])));
        // A sequence that stays.
        set.put(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, Element::new(VR::SQ, Value::Items(vec![item])));
        set.put(tag, marked(vr));
        let bytes = bytes_of(&plain.data_set(set));
        for mark in [MARK, MARKED_DATE, MARKED_UID, "111111.471147", "4711471147", "PID 0815"] {
            assert!(!has(&bytes, mark), "{tag} {vr} {action:?} keeps {mark}");
        }
    }
}

#[test]
fn each_action_does_what_it_says() {
    let secret = secret();
    let plain = Deidentifier::new(&secret, Retain::default());
    let mut set = identity();
    let private = Tag(0x0009, 0x1001);
    for tag in [
        tags::STUDY_DATE,                       // Z
        tags::STUDY_DESCRIPTION,                // X
        tags::CONTENT_DATE,                     // Z/D
        tags::ACQUISITION_DATE,                 // X/Z
        tags::SERIES_DATE,                      // X/D
        tags::DEVICE_SERIAL_NUMBER,             // X/Z/D
        tags::FRAME_OF_REFERENCE_UID,           // U
        tags::ACQUISITION_CONTEXT_SEQUENCE,     // X/Z, a sequence
        tags::REFERENCED_IMAGE_SEQUENCE,        // X/Z/U*
        tags::OPERATOR_IDENTIFICATION_SEQUENCE, // X/D, a sequence
        tags::CONTENT_SEQUENCE,                 // D, a sequence
        tags::BODY_PART_EXAMINED,               // not listed
        OVERLAY_DATA,
        private,
    ] {
        set.put(tag, marked(vr_of(tag)));
    }
    set.put_text(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.840.10008.1.4.1.1");
    set.put_text(Tag(0x0018, 0x00FF), VR::LO, MARK);
    let set = plain.data_set(set);
    let value = |tag| set.get(tag).map(|element| element.value.clone());
    let text = |text: &str| Some(Value::Text(vec![text.to_owned()]));
    assert_eq!(value(tags::STUDY_DATE), Some(Value::Empty));
    assert_eq!(value(tags::STUDY_DESCRIPTION), None);
    assert_eq!(value(tags::CONTENT_DATE), text("19000101"));
    assert_eq!(value(tags::ACQUISITION_DATE), Some(Value::Empty));
    assert_eq!(value(tags::SERIES_DATE), text("19000101"));
    assert_eq!(value(tags::DEVICE_SERIAL_NUMBER), text("ANONYMIZED"));
    assert_eq!(value(tags::FRAME_OF_REFERENCE_UID), text("1.2.840.10008.1.4.1.1"), "of the standard");
    assert_eq!(value(tags::ACQUISITION_CONTEXT_SEQUENCE), Some(Value::Empty));
    assert_eq!(value(tags::OPERATOR_IDENTIFICATION_SEQUENCE), None);
    assert_eq!(value(tags::BODY_PART_EXAMINED), text(MARK), "the table does not name it");
    for gone in [OVERLAY_DATA, private, Tag(0x0018, 0x00FF)] {
        assert_eq!(value(gone), None, "{gone}");
    }
    let reference = &set.items(tags::REFERENCED_IMAGE_SEQUENCE)[0];
    let uid = reference.first_text(tags::REFERENCED_SOP_INSTANCE_UID).unwrap();
    assert!(uid.starts_with("2.25.") && uid.len() <= 64, "{uid}");
    let content = &set.items(tags::CONTENT_SEQUENCE)[0];
    assert_eq!(content.first_text(tags::PATIENT_COMMENTS), Some("ANONYMIZED"));
    assert_eq!(set.first_text(tags::PATIENT_IDENTITY_REMOVED), Some("YES"));
    assert_eq!(set.first_text(tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED), Some("REMOVED"));
    let codes = set.items(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE);
    assert_eq!((codes.len(), codes[0].first_text(tags::CODE_VALUE)), (1, Some("113100")));
    assert!(METHOD.len() <= 64);
}

/// What the table does not name, and what a file has as another VR than the dictionary, led
/// back all the same: a date of birth in another calendar, URLs with the UIDs of the
/// original, a UID written as text, and a date written as text that stayed the day it was.
#[test]
fn nothing_leads_back_by_what_it_is_called() {
    let secret = secret();
    let modified = Retain { dates: Dates::Modified, ..Retain::default() };
    let mut set = identity();
    let url = format!("https://pacs.example.org/studies/{MARKED_UID}");
    for (tag, vr, text) in [
        (tags::PATIENT_BIRTH_DATE_IN_ALTERNATIVE_CALENDAR, VR::LO, MARKED_DATE),
        (tags::PATIENT_DEATH_DATE_IN_ALTERNATIVE_CALENDAR, VR::LO, MARKED_DATE),
        (tags::RETRIEVE_URL, VR::UR, &url),
        (tags::RETRIEVE_URI, VR::UR, &url),
        (tags::CONCATENATION_UID, VR::LO, MARKED_UID),
        (tags::SOP_INSTANCE_UID_OF_CONCATENATION_SOURCE, VR::ST, MARKED_UID),
        (tags::STUDY_DATE, VR::LO, MARKED_DATE),
        (tags::EXPIRY_DATE, VR::SH, MARKED_DATE),
        (tags::CODING_SCHEME_URL, VR::UR, "http://snomed.info/sct"),
    ] {
        set.put_text(tag, vr, text);
    }
    for retain in [Retain::default(), modified] {
        let copy = Deidentifier::new(&secret, retain).data_set(set.clone());
        let bytes = bytes_of(&copy);
        for mark in [MARKED_DATE, MARKED_UID] {
            assert!(!has(&bytes, mark), "{mark} with {retain:?}");
        }
        assert_eq!(copy.first_text(tags::CODING_SCHEME_URL), Some("http://snomed.info/sct"));
    }
}

#[test]
fn options_keep_what_they_are_for() {
    let secret = secret();
    let mut set = identity();
    for (tag, vr, text) in [
        (tags::STUDY_DATE, VR::DA, "20240131"),
        (tags::SERIES_DATE, VR::DA, "20240210"),
        (tags::STUDY_TIME, VR::TM, "101112"),
        (tags::PATIENT_BIRTH_DATE, VR::DA, MARKED_DATE),
        (tags::ACQUISITION_DATE, VR::DA, MARK),
        (tags::PATIENT_SEX, VR::CS, "F"),
        (tags::STATION_NAME, VR::SH, "CT 1"),
        (tags::INSTITUTION_NAME, VR::LO, "Clinic"),
    ] {
        set.put_text(tag, vr, text);
    }
    let all = Retain {
        dates: Dates::Full,
        patient_characteristics: true,
        device_identity: true,
        institution_identity: true,
    };
    let full = Deidentifier::new(&secret, all).data_set(set.clone());
    assert_eq!(full.first_text(tags::STUDY_DATE), Some("20240131"));
    assert_eq!(full.first_text(tags::PATIENT_SEX), Some("F"));
    assert_eq!(full.first_text(tags::STATION_NAME), Some("CT 1"));
    assert_eq!(full.first_text(tags::INSTITUTION_NAME), Some("Clinic"));
    assert_eq!(full.first_text(tags::PATIENT_BIRTH_DATE), None, "no option keeps it");
    assert_eq!(full.first_text(tags::ACQUISITION_DATE), None, "no date");
    assert_eq!(full.items(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE).len(), 5);
    let modified = Retain { dates: Dates::Modified, ..Retain::default() };
    let modified = Deidentifier::new(&secret, modified).data_set(set);
    let day = |tag| {
        let format = time::macros::format_description!("[year][month][day]");
        time::Date::parse(modified.first_text(tag).unwrap(), format).unwrap()
    };
    assert_eq!((day(tags::SERIES_DATE) - day(tags::STUDY_DATE)).whole_days(), 10);
    assert_ne!(modified.first_text(tags::STUDY_DATE), Some("20240131"));
    assert_eq!(modified.first_text(tags::STUDY_TIME), Some("101112"));
    assert_eq!(modified.first_text(tags::ACQUISITION_DATE), None);
    assert_eq!(modified.first_text(tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED), Some("MODIFIED"));
}

#[test]
fn the_same_is_the_same_and_another_secret_is_another() {
    let (one, other) = (secret(), Secret::new([8; 32]));
    let plain = |secret: &Secret| Deidentifier::new(secret, Retain::default()).data_set(identity());
    assert_eq!(plain(&one), plain(&secret()));
    let (of_one, of_other) = (plain(&one), plain(&other));
    let differs = |tag| of_one.first_text(tag) != of_other.first_text(tag);
    assert!(differs(tags::PATIENT_ID) && differs(tags::SOP_INSTANCE_UID));
    let dated = Retain { dates: Dates::Full, ..Retain::default() };
    let dated = Deidentifier::new(&one, dated).data_set(identity());
    assert_eq!(dated.first_text(tags::PATIENT_ID), of_one.first_text(tags::PATIENT_ID));
    assert_ne!(dated.first_text(tags::STUDY_INSTANCE_UID), of_one.first_text(tags::STUDY_INSTANCE_UID));
    let mut nameless = identity();
    nameless.remove(tags::PATIENT_ID);
    let mut another = nameless.clone();
    another.put_text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.826.0.1.3680043.4");
    let pseudonym = |set| {
        let set = Deidentifier::new(&one, Retain::default()).data_set(set);
        set.first_text(tags::PATIENT_ID).map(str::to_owned)
    };
    assert_ne!(pseudonym(nameless), pseudonym(another), "two patients without an ID are two");
    assert_eq!(format!("{one:?}"), "Secret");
}

#[test]
fn what_may_name_somebody_elsewhere_is_left_out() {
    let class = |number: &str| format!("1.2.840.10008.5.1.4.1.1.{number}");
    let check = |number: &str, values: &[(Tag, &str)], pixels| {
        let mut set = DataSet::new();
        for (tag, text) in values {
            set.put_text(*tag, VR::CS, text);
        }
        safety::check(&set, &class(number), pixels).err()
    };
    use Pixels::{LookedAt, Unseen};
    let burned = |text| [(tags::BURNED_IN_ANNOTATION, text)];
    assert_eq!(check("2", &[], Unseen), None);
    assert_eq!(check("2", &burned("YES"), LookedAt), Some(LeftOut::BurnedIn), "nobody can answer for that");
    for number in ["7", "7.2", "6.1", "3.1", "77.1.1", "77.1.5.1"] {
        assert_eq!(check(number, &[], Unseen), Some(LeftOut::InDoubt), "{number}");
        assert_eq!(check(number, &burned("NO"), Unseen), None, "{number}");
        assert_eq!(check(number, &[], LookedAt), None, "{number}");
    }
    assert_eq!(check("77.1.4", &burned("NO"), Unseen), Some(LeftOut::InDoubt));
    assert_eq!(check("2", &[(tags::IMAGE_TYPE, "SCREEN SAVE")], Unseen), Some(LeftOut::InDoubt));
    assert_eq!(check("1", &[(tags::CONVERSION_TYPE, "DF")], Unseen), Some(LeftOut::InDoubt));
    assert_eq!(check("77.1.6", &[(tags::IMAGE_TYPE, "LABEL")], LookedAt), Some(LeftOut::SlideLabel));
    assert_eq!(check("77.1.6", &[], Unseen), None);
    let (rows, data) = (Tag(0x6002, 0x0010), Tag(0x6002, 0x3000));
    assert_eq!(check("2", &[(rows, "2")], LookedAt), Some(LeftOut::HiddenOverlay));
    assert_eq!(check("2", &[(rows, "2"), (data, "x")], Unseen), None, "it is removed");
    for (number, why) in [
        ("88.11", LeftOut::Report),
        ("88.59", LeftOut::Report),
        ("104.1", LeftOut::Document),
        ("11.1", LeftOut::PresentationState),
        ("9.4.1", LeftOut::Sound),
        ("66", LeftOut::RawData),
        ("4711", LeftOut::UnknownClass),
    ] {
        assert_eq!(check(number, &burned("NO"), LookedAt), Some(why), "{number}");
    }
    for number in ["66.4", "9.1.1", "481.2", "481.3", "481.5", "128", "12.1"] {
        assert_eq!(check(number, &[], Unseen), None, "{number}");
    }
    let foreign = safety::check(&DataSet::new(), "1.3.12.2.1107.5.9.1", LookedAt);
    assert_eq!(foreign, Err(LeftOut::UnknownClass));
}

fn written(plan: &Plan, source: &dyn Source) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.reader(source).read_to_end(&mut bytes).expect("memory");
    assert_eq!(plan.length, bytes.len() as u64);
    bytes
}

/// The bytes of the pixel data, little endian.
fn pixels_of(file: &[u8]) -> Option<Vec<u8>> {
    let (parsed, inflated) = part10::parse_and_keep(&file, &Limits::default()).ok()?;
    let element = parsed.dataset.get(tags::PIXEL_DATA)?;
    let Value::Bulk(bulk) = &element.value else { return None };
    let mut bytes = vec![0; usize::try_from(bulk.length).ok()?];
    match &inflated {
        Some(inflated) => inflated.read_exact_at(&mut bytes, bulk.offset).ok()?,
        None => file.read_exact_at(&mut bytes, bulk.offset).ok()?,
    }
    if parsed.encoding.big_endian {
        let bits = parsed.dataset.first_int(tags::BITS_ALLOCATED);
        let width = crate::dicom::transcode::word_bytes(tags::PIXEL_DATA, element.vr, bits);
        bytes.chunks_exact_mut(usize::from(width)).for_each(<[u8]>::reverse);
    }
    Some(bytes)
}

/// The stored examples, of many transfer syntaxes: their copies are files without
/// a fault, and their pixels are the same.
#[test]
fn copies_are_whole_files_with_the_same_pixels() {
    let secret = secret();
    let limits = Limits::default();
    let deidentifier = Deidentifier::new(&secret, Retain::default());
    let (mut seen, mut left_out) = (0, 0);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let stored = files
        .filter_map(|entry| Some((entry.path().display().to_string(), std::fs::read(entry.path()).ok()?)));
    let made = samples::rich_files().into_iter().map(|(name, file)| (name.to_owned(), file));
    for (what, file) in stored.chain(made) {
        let source: &[u8] = &file;
        let Ok(original) = read(&source, &limits) else { continue };
        let plan = match deidentifier.file(&source, &limits, Pixels::LookedAt) {
            Ok(plan) => plan,
            Err(DeidentifyError::LeftOut(_)) => {
                left_out += 1;
                continue;
            }
            Err(error) => panic!("{what}: {error}"),
        };
        let copy = written(&plan, &source);
        assert!(copy[..128].iter().all(|byte| *byte == 0));
        let again = read(&&copy[..], &limits).expect("it is a DICOM file");
        assert_eq!(again.path, deidentifier.path(&original.path), "{what}");
        assert_eq!(pixels_of(&copy), pixels_of(&file), "{what}");
        let is_ours = |warning: &&part10::Warning| !original.warnings.contains(warning);
        assert_eq!(again.warnings.iter().find(is_ours), None, "{what}");
        let text = |tag| original.dataset.first_text(tag).filter(|text| text.len() >= 6).map(str::to_owned);
        let gone = [tags::PATIENT_ID, tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID];
        let gone = gone.into_iter().chain([tags::SOP_INSTANCE_UID]);
        for value in gone.filter_map(text) {
            assert!(!has(&copy, &value), "{what} keeps {value}");
        }
        seen += 1;
    }
    assert!(seen > 30 && left_out > 1, "{seen} copies, {left_out} left out");
}

proptest! {
    /// Whatever text stands in whatever attribute of the table.
    #[test]
    fn long_texts_never_survive(at in 0..table::TABLE.len(), text in "[A-Z]{12,40}", nested: bool) {
        let secret = secret();
        let tag = tag_of(table::TABLE[at].0);
        let mut set = identity();
        if nested {
            let mut item = DataSet::new();
            item.put_text(tag, VR::LO, &text);
            set.put(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, Element::new(VR::SQ, Value::Items(vec![item])));
        } else {
            set.put_text(tag, VR::LO, &text);
        }
        let all = Retain { dates: Dates::Full, ..Retain::default() };
        for retain in [Retain::default(), all] {
            let bytes = bytes_of(&Deidentifier::new(&secret, retain).data_set(set.clone()));
            prop_assert!(!has(&bytes, &text), "{tag}");
        }
    }
}
