//! What an attribute is: its keyword and VR (PS3.6, from the dictionary crate),
//! and its place in the information model: whether it tells of the Study (with
//! its Patient), of the Series, or of the Instance, and whether a search
//! returns it. One table says it for everyone: the catalog keeps by it, the
//! search matches and answers by it.
//!
//! PS3.3 section A.1.2, PS3.4 Annex C, PS3.18 section 10.6.3.3.

mod table;

use std::sync::LazyLock;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use super::dataset::{DataSet, Element, Value};
pub use super::query::Level;
use table::TABLE;

/// Tags in one path, the last one included.
pub const PATH_DEPTH_MAX: usize = 8;

/// Bytes of one value in the parts that the catalog keeps of a study or series.
const INLINE_BYTES_MAX: usize = 1024;

/// Bytes of one attribute in the summary of an instance.
const SUMMARY_BYTES_MAX: usize = 4096;

/// When a search returns an attribute of its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Always: without a value when none is known.
    Required,
    /// When a value is known.
    Known,
    /// When asked for, `includefield=all` included.
    Optional,
}

pub const SPECIFIC_CHARACTER_SET: Tag = Tag(0x0008, 0x0005);
pub const STUDY_DATE: Tag = Tag(0x0008, 0x0020);
pub const STUDY_TIME: Tag = Tag(0x0008, 0x0030);
pub const ACCESSION_NUMBER: Tag = Tag(0x0008, 0x0050);
pub const INSTANCE_AVAILABILITY: Tag = Tag(0x0008, 0x0056);
pub const MODALITY: Tag = Tag(0x0008, 0x0060);
pub const MODALITIES_IN_STUDY: Tag = Tag(0x0008, 0x0061);
pub const SOP_CLASS_UID: Tag = Tag(0x0008, 0x0016);
pub const SOP_INSTANCE_UID: Tag = Tag(0x0008, 0x0018);
pub const SOP_CLASSES_IN_STUDY: Tag = Tag(0x0008, 0x0062);
pub const TIMEZONE_OFFSET: Tag = Tag(0x0008, 0x0201);
pub const RETRIEVE_URL: Tag = Tag(0x0008, 0x1190);
pub const AVAILABLE_TRANSFER_SYNTAX: Tag = Tag(0x0008, 0x3002);
pub const PATIENT_NAME: Tag = Tag(0x0010, 0x0010);
pub const PATIENT_ID: Tag = Tag(0x0010, 0x0020);
pub const STUDY_INSTANCE_UID: Tag = Tag(0x0020, 0x000D);
pub const SERIES_INSTANCE_UID: Tag = Tag(0x0020, 0x000E);
pub const REQUEST_ATTRIBUTES: Tag = Tag(0x0040, 0x0275);

/// Attributes that tell of whatever row they stand in. Returned at the target
/// level when known.
const EVERY_LEVEL: [Tag; 4] = [INSTANCE_AVAILABILITY, TIMEZONE_OFFSET, RETRIEVE_URL, SPECIFIC_CHARACTER_SET];

/// Attributes that the archive states itself; what a file says in them is of
/// another archive.
const COMPUTED: [Tag; 13] = [
    Tag(0x0008, 0x0054), // RetrieveAETitle
    INSTANCE_AVAILABILITY,
    MODALITIES_IN_STUDY,
    SOP_CLASSES_IN_STUDY,
    Tag(0x0008, 0x0063), // AnatomicRegionsInStudyCodeSequence
    RETRIEVE_URL,
    AVAILABLE_TRANSFER_SYNTAX,
    Tag(0x0020, 0x1200), // NumberOfPatientRelatedStudies
    Tag(0x0020, 0x1202), // NumberOfPatientRelatedSeries
    Tag(0x0020, 0x1204), // NumberOfPatientRelatedInstances
    Tag(0x0020, 0x1206), // NumberOfStudyRelatedSeries
    Tag(0x0020, 0x1208), // NumberOfStudyRelatedInstances
    Tag(0x0020, 0x1209), // NumberOfSeriesRelatedInstances
];

/// Does the archive state an attribute itself?
#[must_use]
pub fn is_computed(tag: Tag) -> bool {
    COMPUTED.contains(&tag)
}

/// Of a default sequence, the attributes of its items that come back by default.
const DEFAULT_ITEM: &[(Tag, &[Tag])] = &[(REQUEST_ATTRIBUTES, &[Tag(0x0040, 0x0009), Tag(0x0040, 0x1001)])];

fn row(tag: Tag) -> Option<(Level, Role)> {
    let number = u32::from(tag.group()) << 16 | u32::from(tag.element());
    let position = TABLE.binary_search_by_key(&number, |(tag, _, _)| *tag).ok()?;
    TABLE.get(position).map(|(_, level, role)| (*level, *role))
}

/// The level of the information model that an attribute tells of.
#[must_use]
pub fn level(tag: Tag) -> Level {
    match row(tag) {
        Some((level, _)) => level,
        // Whatever else is in the group of the patient is the patient's.
        None if tag.group() == 0x0010 => Level::Study,
        None => Level::Instance,
    }
}

/// Does the attribute tell of whatever row it stands in?
#[must_use]
pub fn of_every_level(tag: Tag) -> bool {
    EVERY_LEVEL.contains(&tag)
}

/// Is an attribute of the Instance level in the summary that the catalog keeps,
/// or only in the instance's metadata?
#[must_use]
pub fn in_summary(tag: Tag) -> bool {
    of_every_level(tag) || matches!(row(tag), Some((Level::Instance, _)))
}

/// Is an attribute matched on instances?
#[must_use]
pub fn is_of_instance(tag: Tag) -> bool {
    of_every_level(tag) || level(tag) == Level::Instance
}

#[must_use]
pub fn is_private(tag: Tag) -> bool {
    tag.group() % 2 == 1
}

/// Is it a private creator, (gggg,0010) to (gggg,00FF) in an odd group?
#[must_use]
pub fn is_private_creator(tag: Tag) -> bool {
    is_private(tag) && (0x0010..=0x00FF).contains(&tag.element())
}

/// The VR by the dictionary; an ambiguous one as it is in most data: US for US
/// or SS, OW for OB or OW, US for US or OW. UN for what the dictionary does
/// not know.
#[must_use]
pub fn vr(tag: Tag) -> VR {
    match StandardDataDictionary.by_tag(tag).map(DataDictionaryEntry::vr) {
        Some(VirtualVr::Exact(vr)) => vr,
        Some(VirtualVr::Xs | VirtualVr::Lt) => VR::US,
        Some(VirtualVr::Ox | VirtualVr::Px) => VR::OW,
        // The enum is open; what it may learn is as good as unknown.
        Some(_) | None => VR::UN,
    }
}

/// The keyword of a standard attribute.
#[must_use]
pub fn keyword(tag: Tag) -> Option<&'static str> {
    // The dictionary lends its entries for as long as it lives itself.
    static DICTIONARY: StandardDataDictionary = StandardDataDictionary;
    if is_private(tag) || tag.element() == 0 {
        return None;
    }
    DICTIONARY.by_tag(tag).map(|entry| entry.alias)
}

/// An attribute by 8 hexadecimal digits in either case, or by its keyword.
#[must_use]
pub fn by_name(text: &str) -> Option<Tag> {
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let number = u32::from_str_radix(text, 16).ok()?;
        return Some(Tag((number >> 16) as u16, (number & 0xFFFF) as u16));
    }
    let tag = StandardDataDictionary.by_name(text)?.tag();
    // The dictionary's names of families of tags name no attribute.
    (tag != Tag(0, 0) || text == "CommandGroupLength").then_some(tag)
}

/// An attribute within sequences: names joined by dots.
#[must_use]
pub fn by_path(text: &str) -> Option<Vec<Tag>> {
    if text.bytes().filter(|byte| *byte == b'.').count() >= PATH_DEPTH_MAX {
        return None;
    }
    let path: Vec<Tag> = text.split('.').map(by_name).collect::<Option<_>>()?;
    let (_, above) = path.split_last()?;
    let nests = |tag: &Tag| matches!(vr(*tag), VR::SQ | VR::UN);
    above.iter().all(nests).then_some(path)
}

/// The attributes of one level by when they come back.
#[derive(Default)]
struct Lists {
    required: Vec<Tag>,
    default: Vec<Tag>,
    optional: Vec<Tag>,
}

impl Lists {
    fn of(wanted: Level) -> Self {
        let mut lists = Self::default();
        for (number, _, role) in TABLE.iter().filter(|(_, level, _)| *level == wanted) {
            let tag = Tag((number >> 16) as u16, (number & 0xFFFF) as u16);
            match role {
                Role::Required => {
                    lists.required.push(tag);
                    lists.default.push(tag);
                }
                Role::Known => lists.default.push(tag),
                Role::Optional => lists.optional.push(tag),
            }
        }
        lists.default.extend([INSTANCE_AVAILABILITY, TIMEZONE_OFFSET, RETRIEVE_URL]);
        lists.default.sort();
        lists.optional.insert(0, SPECIFIC_CHARACTER_SET);
        lists
    }
}

fn lists(level: Level) -> &'static Lists {
    static STUDY: LazyLock<Lists> = LazyLock::new(|| Lists::of(Level::Study));
    static SERIES: LazyLock<Lists> = LazyLock::new(|| Lists::of(Level::Series));
    static INSTANCE: LazyLock<Lists> = LazyLock::new(|| Lists::of(Level::Instance));
    match level {
        Level::Study => &STUDY,
        Level::Series => &SERIES,
        Level::Instance => &INSTANCE,
    }
}

/// What a search for this level returns of this level unasked (the R, U and C
/// rows of PS3.18 Tables 10.6.3-3 to -5).
#[must_use]
pub fn default_return(target: Level) -> &'static [Tag] {
    &lists(target).default
}

/// Those of [`default_return`] that are there even when no value is known.
#[must_use]
pub fn required(target: Level) -> &'static [Tag] {
    &lists(target).required
}

/// What `includefield=all` adds.
#[must_use]
pub fn optional(level: Level) -> &'static [Tag] {
    &lists(level).optional
}

/// Of a sequence in [`default_return`], what comes back of its items unasked;
/// none: all of them, whole.
#[must_use]
pub fn default_items(sequence: Tag) -> Option<&'static [Tag]> {
    DEFAULT_ITEM.iter().find(|(tag, _)| *tag == sequence).map(|(_, tags)| *tags)
}

/// A data set by what its attributes tell of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    /// All that tells of the patient and the study.
    pub study: DataSet,
    /// All that tells of the series.
    pub series: DataSet,
    /// What a search may match and return of the instance without a look into
    /// its metadata.
    pub instance: DataSet,
}

/// What the catalog keeps of a data set, by level. Without what the archive
/// computes itself, and without values too large for a row.
#[must_use]
pub fn split(set: &DataSet) -> Parts {
    let mut parts = Parts::default();
    for (tag, element) in set.iter() {
        if is_computed(tag) {
            continue;
        }
        if of_every_level(tag) {
            for part in [&mut parts.study, &mut parts.series, &mut parts.instance] {
                part.put(tag, element.clone());
            }
            continue;
        }
        match level(tag) {
            Level::Study => keep(&mut parts.study, tag, element),
            Level::Series => keep(&mut parts.series, tag, element),
            Level::Instance if in_summary(tag) && weight(&element.value) <= SUMMARY_BYTES_MAX => {
                keep(&mut parts.instance, tag, element);
            }
            Level::Instance => {}
        }
    }
    parts
}

fn keep(part: &mut DataSet, tag: Tag, element: &Element) {
    let value = match &element.value {
        Value::Bulk(_) => return,
        Value::Inline(bytes) if bytes.len() > INLINE_BYTES_MAX => return,
        Value::Items(items) => Value::Items(items.iter().map(without_bulk).collect()),
        Value::Empty
        | Value::Text(_)
        | Value::Names(_)
        | Value::Signed(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Tags(_)
        | Value::Inline(_) => element.value.clone(),
    };
    part.put(tag, Element::new(element.vr, value));
}

fn without_bulk(item: &DataSet) -> DataSet {
    let mut kept = DataSet::new();
    for (tag, element) in item.iter() {
        keep(&mut kept, tag, element);
    }
    kept
}

/// About how many bytes a value takes in a row.
fn weight(value: &Value) -> usize {
    match value {
        Value::Empty => 0,
        Value::Text(values) => values.iter().map(|text| text.len() + 1).sum(),
        Value::Names(names) => {
            names.iter().map(|n| n.alphabetic.len() + n.ideographic.len() + n.phonetic.len() + 3).sum()
        }
        Value::Signed(values) => values.len() * 8,
        Value::Unsigned(values) => values.len() * 8,
        Value::Float(values) => values.len() * 4,
        Value::Double(values) => values.len() * 8,
        Value::Tags(tags) => tags.len() * 4,
        Value::Items(items) => items
            .iter()
            .map(|item| 8 + item.iter().map(|(_, element)| 8 + weight(&element.value)).sum::<usize>())
            .sum(),
        Value::Inline(bytes) => bytes.len(),
        Value::Bulk(bulk) => bulk.path.len() + 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::dataset::Bulk;

    #[test]
    fn the_table_is_sorted_and_known_to_the_dictionary() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        for (number, _, _) in TABLE {
            let tag = Tag((number >> 16) as u16, (number & 0xFFFF) as u16);
            assert!(keyword(tag).is_some(), "{tag} has no keyword");
            assert_ne!(vr(tag), VR::UN, "{tag} has no VR");
        }
    }

    #[test]
    fn names_and_paths() {
        assert_eq!(by_name("PatientName"), Some(PATIENT_NAME));
        assert_eq!(by_name("0020000d"), Some(STUDY_INSTANCE_UID));
        assert_eq!(by_name("0020000D"), Some(STUDY_INSTANCE_UID));
        assert_eq!(by_name("patientname"), None);
        assert_eq!(by_name("0020000"), None);
        assert_eq!(by_name("PrivateCreator"), None);
        assert_eq!(by_name("GenericGroupLength"), None);
        assert_eq!(by_path("00101002.PatientID"), Some(vec![Tag(0x0010, 0x1002), PATIENT_ID]));
        assert_eq!(by_path("PatientName.PatientID"), None, "a name has no items");
        assert_eq!(by_path("00101002..PatientID"), None);
        assert_eq!(by_path(""), None);
        assert_eq!(by_path(&["00101002"; 9].join(".")), None);
        assert_eq!(keyword(PATIENT_NAME), Some("PatientName"));
        assert_eq!(keyword(Tag(0x0009, 0x0010)), None);
        assert_eq!(keyword(Tag(0x6002, 0x0010)), Some("OverlayRows"));
        assert_eq!(vr(Tag(0x0028, 0x0106)), VR::US);
        assert_eq!(vr(Tag(0x7FE0, 0x0010)), VR::OW);
        assert_eq!(vr(Tag(0x0009, 0x0010)), VR::LO);
        assert_eq!(vr(Tag(0x0009, 0x1001)), VR::UN);
    }

    #[test]
    fn what_the_standard_returns() {
        let study = default_return(Level::Study);
        assert_eq!(study.len(), 16, "13 rows of R and U, 3 of C");
        assert!(study.contains(&TIMEZONE_OFFSET) && study.contains(&PATIENT_ID));
        assert!(default_return(Level::Series).contains(&REQUEST_ATTRIBUTES));
        assert!(!required(Level::Series).contains(&REQUEST_ATTRIBUTES));
        assert!(required(Level::Instance).contains(&SOP_CLASS_UID));
        for level in [Level::Study, Level::Series, Level::Instance] {
            assert!(optional(level).iter().all(|tag| !default_return(level).contains(tag)));
        }
    }

    #[test]
    fn a_data_set_falls_into_its_levels() {
        let mut item = DataSet::new();
        item.put_text(Tag(0x0040, 0x0009), VR::SH, "SPS1");
        item.put(
            Tag(0x0042, 0x0011),
            Element::new(VR::OB, Value::Bulk(Bulk { path: "00420011".into(), offset: 0, length: 9 })),
        );
        let mut set = DataSet::new();
        set.put_text(PATIENT_ID, VR::LO, "P1");
        set.put_text(Tag(0x0010, 0xFFFE), VR::LO, "a tag of a later edition");
        set.put_text(MODALITY, VR::CS, "CT");
        set.put_text(SOP_INSTANCE_UID, VR::UI, "1.2.3");
        set.put_text(MODALITIES_IN_STUDY, VR::CS, "XX");
        set.put_text(TIMEZONE_OFFSET, VR::SH, "+0100");
        set.put_text(Tag(0x0018, 0x0060), VR::DS, "120");
        set.put(REQUEST_ATTRIBUTES, Element::new(VR::SQ, Value::Items(vec![item])));
        set.put(Tag(0x0018, 0x5100), Element::new(VR::CS, Value::Inline(vec![0; 1025])));

        let parts = split(&set);
        assert_eq!(
            parts.study.iter().map(|(tag, _)| tag).collect::<Vec<_>>(),
            [TIMEZONE_OFFSET, PATIENT_ID, Tag(0x0010, 0xFFFE)]
        );
        assert_eq!(
            parts.series.iter().map(|(tag, _)| tag).collect::<Vec<_>>(),
            [MODALITY, TIMEZONE_OFFSET, REQUEST_ATTRIBUTES]
        );
        let items = parts.series.items(REQUEST_ATTRIBUTES);
        assert_eq!(items.first().map(DataSet::len), Some(1), "bulk stays out of the row");
        assert_eq!(
            parts.instance.iter().map(|(tag, _)| tag).collect::<Vec<_>>(),
            [SOP_INSTANCE_UID, TIMEZONE_OFFSET]
        );
    }
}
