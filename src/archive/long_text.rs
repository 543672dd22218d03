//! Texts that are too long for the metadata. These say that all text is UTF-8, and
//! so is what they leave behind a BulkDataURI, whatever the file has it in (PS3.18
//! section F.2). What is no text of the file's character set goes out as it is stored.

use super::{
    ArchiveError, Core,
    checked::CheckedSource,
    retrieve::{data_set, place_of, stored},
};
use crate::{
    dicom::{
        attributes,
        dataset::Value,
        part10::{self, ReadError},
        vr,
    },
    storage::catalog::{InstanceRow, Snapshot},
};

impl Core {
    /// The text at a path of bulk data, or none if it is something else.
    pub(super) fn long_text(
        &self,
        snapshot: &Snapshot,
        row: &InstanceRow,
        path: &str,
    ) -> Result<Option<String>, ArchiveError> {
        let tag = path.rsplit('.').next().and_then(attributes::by_name);
        // Most bulk data are pixels, and need no look at the metadata.
        let is_known = |tag: &_| !vr::is_private(*tag) && !vr::is_encoded_text(attributes::vr(*tag));
        if tag.as_ref().is_none_or(is_known) {
            return Ok(None);
        }
        let metadata = data_set(snapshot, row)?;
        let (set, tag) = place_of(&metadata, path);
        if set.get(tag).is_none_or(|element| !vr::is_encoded_text(element.vr)) {
            return Ok(None);
        }
        let file = stored(snapshot, row, 0..row.place.length)?;
        let limits = part10::Limits { text_bytes_max: u64::MAX, ..self.limits };
        let parsed = match part10::parse(&CheckedSource::new(&self.packs, file), &limits) {
            Ok(parsed) => parsed,
            // More than may be kept.
            Err(ReadError::Limit { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (set, tag) = place_of(&parsed.dataset, path);
        Ok(match set.get(tag).map(|element| &element.value) {
            Some(Value::Text(texts)) => Some(texts.join("\\")),
            Some(_) | None => None,
        })
    }
}
