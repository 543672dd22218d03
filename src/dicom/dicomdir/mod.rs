//! The directory of a medium: a DICOMDIR file (PS3.3 Annex F, PS3.10 section 8)
//! that lists files as records of patients, studies, series and what they hold.
//!
//! Must not read a file: it is told of each by its data set. Invariants: every
//! record is reached from the first by its offsets; what a record must say and
//! the instance does not is made up here, and only here (section F.5 asks the
//! creator of a file-set to do so).

mod records;

use std::collections::HashMap;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use self::records::{Kind, made_up, select};
use super::{
    dataset::{DataSet, Element, Value},
    encode::{self, EncodeError, Meta},
    transfer_syntax::EXPLICIT_LITTLE,
};

/// Media Storage Directory Storage
const DIRECTORY: &str = "1.2.840.10008.1.3.10";
const IN_USE: u64 = 0xFFFF;

/// A file of the medium, as far as its directory speaks of it.
#[derive(Debug, Clone, Copy)]
pub struct FileOfMedium<'a> {
    /// The folders and the name, each of 1 to 8 of `A-Z 0-9 _` (PS3.10
    /// section 8.2).
    pub id: &'a [String],
    pub sop_class: &'a str,
    pub sop_instance: &'a str,
    pub transfer_syntax: &'a str,
    pub set: &'a DataSet,
}

/// A directory in the making.
#[derive(Debug, Default)]
pub struct Directory {
    records: Vec<Record>,
    patients: Vec<usize>,
    /// Records by the one above and by what their kind is told apart by.
    known: HashMap<(Option<usize>, String), usize>,
}

#[derive(Debug)]
struct Record {
    set: DataSet,
    children: Vec<usize>,
}

impl Directory {
    /// Lists a file. Files of one study, and of one series, come one after
    /// another or not, as they like.
    pub fn add(&mut self, file: &FileOfMedium<'_>) {
        let text = |tag: Tag| file.set.first_text(tag).unwrap_or_default().to_owned();
        let study_uid = text(tags::STUDY_INSTANCE_UID);
        let id = text(tags::PATIENT_ID);
        // Without an id, patients are as many as their studies.
        let patient_key = if id.is_empty() {
            study_uid.clone()
        } else {
            format!("{id}\n{}", text(tags::ISSUER_OF_PATIENT_ID))
        };
        let patient = self.below(None, patient_key, Kind::Patient, file);
        let study = self.below(Some(patient), study_uid, Kind::Study, file);
        let series = self.below(Some(study), text(tags::SERIES_INSTANCE_UID), Kind::Series, file);
        let leaf = self.below(Some(series), file.sop_instance.to_owned(), Kind::of(file), file);
        let set = &mut self.records[leaf].set;
        set.put(tags::REFERENCED_FILE_ID, Element::new(VR::CS, Value::Text(file.id.to_vec())));
        set.put_text(tags::REFERENCED_SOP_CLASS_UID_IN_FILE, VR::UI, file.sop_class);
        set.put_text(tags::REFERENCED_SOP_INSTANCE_UID_IN_FILE, VR::UI, file.sop_instance);
        set.put_text(tags::REFERENCED_TRANSFER_SYNTAX_UID_IN_FILE, VR::UI, file.transfer_syntax);
    }

    /// The record with this key below another, made if it is not there.
    fn below(&mut self, above: Option<usize>, key: String, kind: Kind, file: &FileOfMedium<'_>) -> usize {
        let key = (above, key);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let siblings = match above {
            Some(above) => &self.records[above].children,
            None => &self.patients,
        };
        let number = siblings.len() + 1;
        let mut set = select(kind, file.set);
        for (tag, element) in made_up(kind, number) {
            if !set.get(tag).is_some_and(has_value) {
                set.put(tag, element);
            }
        }
        put_number(&mut set, tags::OFFSET_OF_THE_NEXT_DIRECTORY_RECORD, VR::UL, 0);
        put_number(&mut set, tags::RECORD_IN_USE_FLAG, VR::US, IN_USE);
        put_number(&mut set, tags::OFFSET_OF_REFERENCED_LOWER_LEVEL_DIRECTORY_ENTITY, VR::UL, 0);
        set.put_text(tags::DIRECTORY_RECORD_TYPE, VR::CS, kind.name());
        let record = self.records.len();
        self.known.insert(key, record);
        self.records.push(Record { set, children: Vec::new() });
        match above {
            Some(above) => self.records[above].children.push(record),
            None => self.patients.push(record),
        }
        record
    }

    /// The file. `uid` is its SOP Instance UID.
    ///
    /// # Errors
    /// A value that cannot be written, or a directory beyond 4 GiB.
    pub fn write(mut self, uid: &str) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        let meta = Meta { sop_class: DIRECTORY, sop_instance: uid, transfer_syntax: EXPLICIT_LITTLE };
        encode::file_meta(meta, &mut out);
        // Offsets count from the first byte of the file. They have a fixed
        // length, so a first writing tells where the records will be.
        let (start, order) = (out.len() as u64, self.order());
        let mut probe = Vec::new();
        let found = encode::data_set_and_items(
            &self.data_set(&order),
            Some(tags::DIRECTORY_RECORD_SEQUENCE),
            &mut probe,
        )?;
        let mut offsets = vec![0; self.records.len()];
        for (record, offset) in order.iter().zip(found) {
            offsets[*record] = start + offset;
        }
        if offsets.iter().any(|offset| u32::try_from(*offset).is_err()) {
            return Err(EncodeError::TooLong { tag: tags::DIRECTORY_RECORD_SEQUENCE });
        }
        self.link(&offsets);
        let mut set = self.data_set(&order);
        let of = |record: Option<&usize>| record.map_or(0, |record| offsets[*record]);
        let (first, last) = (of(self.patients.first()), of(self.patients.last()));
        put_number(
            &mut set,
            tags::OFFSET_OF_THE_FIRST_DIRECTORY_RECORD_OF_THE_ROOT_DIRECTORY_ENTITY,
            VR::UL,
            first,
        );
        put_number(
            &mut set,
            tags::OFFSET_OF_THE_LAST_DIRECTORY_RECORD_OF_THE_ROOT_DIRECTORY_ENTITY,
            VR::UL,
            last,
        );
        encode::data_set(&set, &mut out)?;
        Ok(out)
    }

    /// The records as they are written: each one followed by what is below it.
    fn order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.records.len());
        let mut open: Vec<usize> = self.patients.iter().rev().copied().collect();
        while let Some(record) = open.pop() {
            order.push(record);
            open.extend(self.records[record].children.iter().rev());
        }
        order
    }

    /// Puts the offset of the next one, and of the first one below, into each.
    fn link(&mut self, offsets: &[u64]) {
        let mut lists: Vec<Vec<usize>> = vec![self.patients.clone()];
        for record in 0..self.records.len() {
            let children = self.records[record].children.clone();
            if let Some(first) = children.first() {
                let tag = tags::OFFSET_OF_REFERENCED_LOWER_LEVEL_DIRECTORY_ENTITY;
                put_number(&mut self.records[record].set, tag, VR::UL, offsets[*first]);
            }
            lists.push(children);
        }
        for list in lists {
            for pair in list.windows(2) {
                let tag = tags::OFFSET_OF_THE_NEXT_DIRECTORY_RECORD;
                put_number(&mut self.records[pair[0]].set, tag, VR::UL, offsets[pair[1]]);
            }
        }
    }

    fn data_set(&self, order: &[usize]) -> DataSet {
        let mut set = DataSet::new();
        set.put_text(tags::FILE_SET_ID, VR::CS, "HILUM");
        put_number(
            &mut set,
            tags::OFFSET_OF_THE_FIRST_DIRECTORY_RECORD_OF_THE_ROOT_DIRECTORY_ENTITY,
            VR::UL,
            0,
        );
        put_number(
            &mut set,
            tags::OFFSET_OF_THE_LAST_DIRECTORY_RECORD_OF_THE_ROOT_DIRECTORY_ENTITY,
            VR::UL,
            0,
        );
        put_number(&mut set, tags::FILE_SET_CONSISTENCY_FLAG, VR::US, 0);
        let items = order.iter().map(|record| self.records[*record].set.clone()).collect();
        set.put(tags::DIRECTORY_RECORD_SEQUENCE, Element::new(VR::SQ, Value::Items(items)));
        set
    }
}

fn has_value(element: &Element) -> bool {
    match &element.value {
        Value::Empty => false,
        Value::Text(values) => values.iter().any(|value| !value.is_empty()),
        Value::Names(_)
        | Value::Signed(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Tags(_)
        | Value::Items(_)
        | Value::Inline(_)
        | Value::Bulk(_) => true,
    }
}

fn put_number(set: &mut DataSet, tag: Tag, vr: VR, value: u64) {
    set.put(tag, Element::new(vr, Value::Unsigned(vec![value])));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::part10::{self, Limits};

    fn instance(patient: &str, study: &str, series: &str, instance: &str) -> DataSet {
        let mut set = DataSet::new();
        let texts = [
            (tags::PATIENT_ID, VR::LO, patient),
            (tags::STUDY_INSTANCE_UID, VR::UI, study),
            (tags::SERIES_INSTANCE_UID, VR::UI, series),
            (tags::SOP_INSTANCE_UID, VR::UI, instance),
            (tags::MODALITY, VR::CS, "CT"),
            (tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
        ];
        for (tag, vr, text) in texts {
            set.put_text(tag, vr, text);
        }
        let name =
            super::super::dataset::PersonName { alphabetic: "Müller^Jörg".into(), ..Default::default() };
        set.put(tags::PATIENT_NAME, Element::new(VR::PN, Value::Names(vec![name])));
        set
    }

    /// The records as a walk over the offsets finds them, in the file itself.
    #[test]
    fn offsets_lead_to_every_record() {
        let sets = [
            instance("A", "1.1", "1.1.1", "1.1.1.1"),
            instance("A", "1.1", "1.1.1", "1.1.1.2"),
            instance("A", "1.1", "1.1.2", "1.1.2.1"),
            instance("A", "1.2", "1.2.1", "1.2.1.1"),
            instance("B", "1.3", "1.3.1", "1.3.1.1"),
            instance("", "1.4", "1.4.1", "1.4.1.1"),
            instance("", "1.5", "1.5.1", "1.5.1.1"),
            // Back to one that was left.
            instance("A", "1.1", "1.1.1", "1.1.1.3"),
        ];
        let mut directory = Directory::default();
        for (number, set) in sets.iter().enumerate() {
            directory.add(&FileOfMedium {
                id: &["DICOM".to_owned(), format!("IM{number:06}")],
                sop_class: "1.2.840.10008.5.1.4.1.1.2",
                sop_instance: set.first_text(tags::SOP_INSTANCE_UID).expect("a UID"),
                transfer_syntax: EXPLICIT_LITTLE,
                set,
            });
        }
        let file = directory.write("2.25.1").expect("writes");
        let parsed = part10::parse(&file, &Limits::default()).expect("reads");
        assert_eq!(parsed.warnings, []);
        assert_eq!(parsed.meta_sop_class.as_deref(), Some(DIRECTORY));
        let items = parsed.dataset.items(tags::DIRECTORY_RECORD_SEQUENCE);
        // Where each item begins: by the walk, not by the offsets.
        let text = |set: &DataSet, tag| set.first_text(tag).unwrap_or_default().to_owned();
        let at = |offset: i64| -> Option<usize> {
            let offset = usize::try_from(offset).ok().filter(|offset| *offset > 0)?;
            assert_eq!(file[offset..offset + 4], [0xFE, 0xFF, 0x00, 0xE0]);
            // Records are told apart by counting the item headers of their level
            // before: each has an in-use flag.
            let needle = [0x04, 0x00, 0x10, 0x14, b'U', b'S'];
            Some(memchr::memmem::find_iter(&file[..offset], &needle).count())
        };
        let number = |set: &DataSet, tag| set.first_int(tag).expect("a number");
        let mut found = Vec::new();
        let mut open = vec![at(number(
            &parsed.dataset,
            tags::OFFSET_OF_THE_FIRST_DIRECTORY_RECORD_OF_THE_ROOT_DIRECTORY_ENTITY,
        ))];
        while let Some(next) = open.pop() {
            let Some(index) = next else { continue };
            let set = &items[index];
            found.push(text(set, tags::DIRECTORY_RECORD_TYPE));
            if let Some(id) = set.first_text(tags::REFERENCED_FILE_ID) {
                assert_eq!(id, "DICOM");
            }
            open.push(at(number(set, tags::OFFSET_OF_THE_NEXT_DIRECTORY_RECORD)));
            open.push(at(number(set, tags::OFFSET_OF_REFERENCED_LOWER_LEVEL_DIRECTORY_ENTITY)));
        }
        let count = |name: &str| found.iter().filter(|kind| *kind == name).count();
        assert_eq!((count("PATIENT"), count("STUDY"), count("SERIES"), count("IMAGE")), (4, 5, 6, 8));
        assert_eq!(items.len(), 23);
        let patients: Vec<&DataSet> =
            items.iter().filter(|set| text(set, tags::DIRECTORY_RECORD_TYPE) == "PATIENT").collect();
        assert_eq!(text(patients[0], tags::PATIENT_ID), "A");
        assert_eq!(text(patients[0], tags::SPECIFIC_CHARACTER_SET), "ISO_IR 192");
        assert_eq!(text(patients[2], tags::PATIENT_ID), "PATIENT3");
    }
}
