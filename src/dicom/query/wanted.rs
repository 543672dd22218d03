//! The match parameters of a request by the attributes they name, those of the
//! items of one sequence together, before any value is read.

use std::collections::BTreeMap;

use dicom_core::Tag;

use super::error::QueryError;
use super::values::decode;
use crate::dicom::attributes;

/// Parameters by the attributes they name, those of one sequence together.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    pub(super) entries: BTreeMap<Tag, Entry<'a>>,
}

pub(super) struct Entry<'a> {
    /// As the client wrote it.
    pub(super) name: String,
    pub(super) values: Vec<&'a str>,
    pub(super) items: Wanted<'a>,
}

impl<'a> Wanted<'a> {
    pub(super) fn add(&mut self, path: &[Tag], name: &str, value: &'a str) {
        let Some((first, rest)) = path.split_first() else { return };
        let entry = self.entries.entry(*first).or_insert_with(|| Entry {
            name: name.to_owned(),
            values: Vec::new(),
            items: Wanted::default(),
        });
        if rest.is_empty() {
            entry.values.push(value);
        } else {
            entry.items.add(rest, name, value);
        }
    }

    pub(super) fn merge(&mut self, tag: Tag, other: Entry<'a>) {
        match self.entries.get_mut(&tag) {
            Some(entry) => entry.values.extend(other.values),
            None => drop(self.entries.insert(tag, other)),
        }
    }

    pub(super) fn creators(&self, found: &mut BTreeMap<Tag, String>) -> Result<(), QueryError> {
        for (tag, entry) in &self.entries {
            if let (true, Some(value)) = (attributes::is_private_creator(*tag), entry.values.first()) {
                let creator = decode(value).map_err(|reason| QueryError::at(&entry.name, reason))?;
                found.insert(*tag, creator.trim().to_owned());
            }
            entry.items.creators(found)?;
        }
        Ok(())
    }
}

impl Entry<'_> {
    /// Only named, not matched.
    pub(super) fn is_return_key(&self) -> bool {
        self.values.iter().all(|value| value.is_empty()) && self.items.entries.is_empty()
    }
}
