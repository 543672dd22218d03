//! What becomes of one attribute (PS3.15 section E.3 and Table E.1-1): removed,
//! emptied, replaced, kept. Sequences that stay are gone through item by item.
//!
//! Where the table leaves the choice to the Type that an attribute has in its IOD,
//! what fits every Type is taken: a dummy, or no value. Sequences, none of which is
//! required where the table would let it go, are removed. What the table does not
//! name is kept, unless nobody can know what it is: private attributes, those that
//! the standard does not have, values of VR UN, text too long to have been read.
//!
//! Invariant: no value is passed on because it could not be understood.

use dicom_core::{Tag, VR, dictionary::VirtualVr};
use dicom_dictionary_std::tags;

use super::{
    Dates, Deidentifier, secret, shift,
    table::{self, DATES, DEVICE, INSTITUTION, PATIENT},
};
use crate::dicom::{
    dataset::{DataSet, Element, PersonName, Value},
    vr,
};

/// What the Basic Profile does to an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// X
    Remove,
    /// Z
    Empty,
    /// D
    Dummy,
    /// U
    Uid,
    /// Z/D
    EmptyOrDummy,
    /// X/Z
    RemoveOrEmpty,
    /// X/D
    RemoveOrDummy,
    /// X/Z/D
    RemoveEmptyOrDummy,
    /// X/Z/U*
    RemoveEmptyOrUids,
}

const DUMMY_TEXT: &str = "ANONYMIZED";
const DUMMY_DATE: &str = "19000101";
const DUMMY_TIME: &str = "000000";
/// Encrypted copies of what was there; who has the key could read them.
const ENCRYPTED_ATTRIBUTES_SEQUENCE: Tag = Tag(0x0400, 0x0500);
/// UIDs of the standard that may stand where those of instances do: frames of
/// reference of atlases, palettes, service instances.
const OF_THE_STANDARD: &str = "1.2.840.10008.1.";
const OF_THE_STANDARD_LENGTH_MAX: usize = 24;

/// Birth and death as text, in the calendar that a third attribute names.
const DATES_OF_OTHER_CALENDARS: [Tag; 2] =
    [tags::PATIENT_BIRTH_DATE_IN_ALTERNATIVE_CALENDAR, tags::PATIENT_DEATH_DATE_IN_ALTERNATIVE_CALENDAR];

/// URLs of code schemes and codes. All others are where something is or was, mostly with
/// the UIDs of the original in them.
const OF_NO_PLACE: [Tag; 2] = [tags::CODING_SCHEME_URL, tags::URN_CODE_VALUE];

/// UIDs of classes, code schemes and software. All others are of what was made
/// somewhere, and replaced, also where the table has forgotten them.
const OF_NO_INSTANCE: [Tag; 19] = [
    tags::SOP_CLASS_UID,
    tags::RELATED_GENERAL_SOP_CLASS_UID,
    tags::ORIGINAL_SPECIALIZED_SOP_CLASS_UID,
    tags::SOP_CLASSES_IN_STUDY,
    tags::CODING_SCHEME_UID,
    tags::CONTEXT_GROUP_EXTENSION_CREATOR_UID,
    tags::CONTEXT_UID,
    tags::MAPPING_RESOURCE_UID,
    tags::STORED_INSTANCE_TRANSFER_SYNTAX_UID,
    tags::REFERENCED_SOP_CLASS_UID,
    tags::SOP_CLASSES_SUPPORTED,
    tags::AVAILABLE_TRANSFER_SYNTAX_UID,
    tags::CREATOR_VERSION_UID,
    tags::FLOW_TRANSFER_SYNTAX_UID,
    tags::MAC_CALCULATION_TRANSFER_SYNTAX_UID,
    tags::ENCRYPTED_CONTENT_TRANSFER_SYNTAX_UID,
    tags::SEGMENTATION_TEMPLATE_UID,
    tags::PERTINENT_SOP_CLASSES_IN_STUDY,
    tags::PERTINENT_SOP_CLASSES_IN_SERIES,
];

/// Whether a value that was left in the file for its length can say anything. Contours,
/// curves and look-up tables cannot.
fn may_be_prose(vr: VR) -> bool {
    !vr::is_binary(vr) && vr::number_bytes(vr).is_none() && !matches!(vr, VR::DS | VR::IS)
}

/// Whose data set it is.
pub(super) struct Whose {
    pub(super) pseudonym: String,
    /// Dates become so many days earlier.
    pub(super) days: i64,
}

/// What the table says, or what stands for that where it says nothing.
fn rule_of(tag: Tag, vr: VR) -> Option<(Action, u8)> {
    let number = u32::from(tag.group()) << 16 | u32::from(tag.element());
    if let Ok(at) = table::TABLE.binary_search_by_key(&number, |(tag, ..)| *tag) {
        let (_, action, keeps) = table::TABLE[at];
        return Some((action, keeps));
    }
    let is_for_the_letter = matches!(tag.group(), 0x5000..=0x50FF | 0x6000..=0x60FF);
    if is_for_the_letter || tag == ENCRYPTED_ATTRIBUTES_SEQUENCE || vr::of(tag).is_none() {
        return Some((Action::Remove, 0));
    }
    // Some write another VR than the dictionary has; what it is stays what it is.
    let is = |wanted: VR| vr == wanted || vr::of(tag) == Some(VirtualVr::Exact(wanted));
    if DATES_OF_OTHER_CALENDARS.contains(&tag) || (is(VR::UR) && !OF_NO_PLACE.contains(&tag)) {
        return Some((Action::Remove, 0));
    }
    if is(VR::UI) {
        return (!OF_NO_INSTANCE.contains(&tag)).then_some((Action::Uid, 0));
    }
    if is(VR::PN) {
        return Some((Action::Empty, 0));
    }
    (is(VR::DA) || is(VR::DT) || is(VR::TM)).then_some((Action::RemoveOrEmpty, DATES))
}

impl Deidentifier<'_> {
    /// A data set, or an item of one.
    pub(super) fn items(&self, set: DataSet, whose: &Whose, is_root: bool) -> DataSet {
        let elements = set.into_iter().filter_map(|(tag, element)| {
            // Of a picture within, such as an icon.
            let is_picture = tag == tags::PIXEL_DATA && !is_root;
            let element = if is_picture { None } else { self.element(tag, element, whose) };
            element.map(|element| (tag, element))
        });
        elements.collect()
    }

    fn element(&self, tag: Tag, element: Element, whose: &Whose) -> Option<Element> {
        // Those below group 8 are of files, messages and directories.
        if vr::is_private(tag) || tag.group() < 8 || tag.element() == 0 {
            return None;
        }
        match tag {
            tags::PATIENT_ID => return Some(self.patient_id(&element, whose)),
            tags::PATIENT_NAME => return Some(name(&whose.pseudonym)),
            _ => {}
        }
        let is_readable = element.vr != VR::UN || element.value == Value::Empty;
        let is_long_text = matches!(element.value, Value::Bulk(_)) && may_be_prose(element.vr);
        if !is_readable || is_long_text {
            return None;
        }
        let Some((action, keeps)) = rule_of(tag, element.vr) else { return Some(self.kept(element, whose)) };
        if keeps & DATES != 0 {
            match self.retain.dates {
                Dates::Full if shift::is_moment(&element) => return Some(self.kept(element, whose)),
                Dates::Modified => {
                    if let Some(shifted) = shift::earlier(tag, &element, whose.days) {
                        return Some(shifted);
                    }
                    return self.apply(action, tag, element, whose);
                }
                Dates::Removed | Dates::Full => {}
            }
        }
        let retained = [
            (self.retain.patient_characteristics, PATIENT),
            (self.retain.device_identity, DEVICE),
            (self.retain.institution_identity, INSTITUTION),
        ];
        if retained.iter().any(|(is_wanted, bit)| *is_wanted && keeps & bit != 0) {
            return Some(self.kept(element, whose));
        }
        self.apply(action, tag, element, whose)
    }

    /// Kept, which is gone through if it is a sequence.
    fn kept(&self, element: Element, whose: &Whose) -> Element {
        let Value::Items(items) = element.value else { return element };
        let items = items.into_iter().map(|item| self.items(item, whose, false)).collect();
        Element { value: Value::Items(items), ..element }
    }

    fn apply(&self, action: Action, tag: Tag, element: Element, whose: &Whose) -> Option<Element> {
        let is_sequence = element.vr == VR::SQ || matches!(element.value, Value::Items(_));
        match action {
            Action::Remove => None,
            // Also what a device has left empty stays so: there is nothing in it.
            _ if element.value == Value::Empty => Some(element),
            Action::RemoveOrDummy | Action::RemoveEmptyOrDummy if is_sequence => None,
            Action::Empty | Action::RemoveOrEmpty => Some(Element { value: Value::Empty, ..element }),
            Action::Dummy | Action::EmptyOrDummy | Action::RemoveOrDummy | Action::RemoveEmptyOrDummy => {
                Some(self.dummy(tag, element))
            }
            Action::Uid => self.uids(tag, &element),
            Action::RemoveEmptyOrUids => is_sequence.then(|| self.kept(element, whose)),
        }
    }

    fn patient_id(&self, element: &Element, whose: &Whose) -> Element {
        let of_own = if let Value::Text(values) = &element.value {
            values.first().map(|id| id.trim()).filter(|id| !id.is_empty())
        } else {
            None
        };
        // Of another patient than the data set: that of a donor, say.
        let is_other = |id: &&str| *id != self.patient_id_of_set.trim();
        match of_own.filter(is_other) {
            Some(id) => Element::text(VR::LO, &self.secret.pseudonym(&[id, ""])),
            None => Element::text(VR::LO, &whose.pseudonym),
        }
    }

    /// The same UIDs for the same originals; those of the standard stay. What is
    /// in it and is no text is not passed on.
    fn uids(&self, tag: Tag, element: &Element) -> Option<Element> {
        let Value::Text(values) = &element.value else { return None };
        let always =
            matches!(tag, tags::SOP_INSTANCE_UID | tags::STUDY_INSTANCE_UID | tags::SERIES_INSTANCE_UID);
        let replaced = |uid: &String| {
            let is_standard = uid.starts_with(OF_THE_STANDARD)
                && uid.len() <= OF_THE_STANDARD_LENGTH_MAX
                && crate::dicom::uid::check(uid).is_ok();
            if uid.is_empty() || is_standard && !always { uid.clone() } else { self.uid(uid) }
        };
        Some(Element::new(VR::UI, Value::Text(values.iter().map(replaced).collect())))
    }

    /// Something of the same VR that says nothing.
    fn dummy(&self, tag: Tag, element: Element) -> Element {
        let text = |text: &str| Value::Text(vec![text.to_owned()]);
        let value = match (element.vr, element.value) {
            (VR::SQ, Value::Items(items)) => {
                let item = items.into_iter().next().unwrap_or_default();
                let dummies = item.into_iter().filter_map(|(tag, element)| self.dummy_within(tag, element));
                Value::Items(vec![dummies.collect()])
            }
            (VR::UI, value) => {
                let element = Element { vr: VR::UI, value };
                return self.uids(tag, &element).unwrap_or(Element { vr: VR::UI, value: Value::Empty });
            }
            (VR::PN, _) => return name(DUMMY_TEXT),
            (VR::DA, _) => text(DUMMY_DATE),
            (VR::TM, _) => text(DUMMY_TIME),
            (VR::DT, _) => text(&format!("{DUMMY_DATE}{DUMMY_TIME}")),
            (VR::AS, _) => text("000Y"),
            (VR::IS | VR::DS, _) => text("0"),
            (VR::UR, _) => text("urn:anonymized"),
            (_, Value::Signed(numbers)) => Value::Signed(vec![0; numbers.len()]),
            (_, Value::Unsigned(numbers)) => Value::Unsigned(vec![0; numbers.len()]),
            (_, Value::Float(numbers)) => Value::Float(vec![0.0; numbers.len()]),
            (_, Value::Double(numbers)) => Value::Double(vec![0.0; numbers.len()]),
            (_, Value::Tags(tags)) => Value::Tags(vec![0; tags.len()]),
            (vr, _) if vr::is_binary(vr) => Value::Inline(vec![0; 8]),
            (_, Value::Text(_)) => text(DUMMY_TEXT),
            (_, Value::Empty | Value::Names(_) | Value::Items(_) | Value::Inline(_) | Value::Bulk(_)) => {
                Value::Empty
            }
        };
        Element { vr: element.vr, value }
    }

    /// An element of an item of which nothing may be left.
    fn dummy_within(&self, tag: Tag, element: Element) -> Option<(Tag, Element)> {
        if vr::is_private(tag) || vr::of(tag).is_none() || element.vr == VR::UN {
            return None;
        }
        let stays = element.value == Value::Empty || OF_NO_INSTANCE.contains(&tag);
        Some((tag, if stays { element } else { self.dummy(tag, element) }))
    }
}

fn name(text: &str) -> Element {
    let name = PersonName { alphabetic: text.to_owned(), ..PersonName::default() };
    Element::new(VR::PN, Value::Names(vec![name]))
}

impl Whose {
    /// Puts the pseudonym where there was neither name nor ID.
    pub(super) fn name(&self, set: &mut DataSet) {
        set.put_text(tags::PATIENT_ID, VR::LO, &self.pseudonym);
        set.put(tags::PATIENT_NAME, name(&self.pseudonym));
    }

    pub(super) fn of(set: &DataSet, secret: &secret::Secret) -> Self {
        let text = |tag| set.first_text(tag).unwrap_or_default().trim();
        let (id, issuer) = (text(tags::PATIENT_ID), text(tags::ISSUER_OF_PATIENT_ID));
        let study = text(tags::STUDY_INSTANCE_UID);
        // Patients without an ID are not taken for one and the same.
        let parts = if id.is_empty() { ["", study] } else { [id, issuer] };
        Self { pseudonym: secret.pseudonym(&parts), days: secret.days(&parts) }
    }
}
