//! Versions of an instance: what it was before it was replaced, and what was
//! kept beside it. Nothing else of the archive shows them.

use super::{
    ArchiveError, Scope, View,
    pieces::{Pieces, StoredFile},
    retrieve::{missing, stored},
    trails,
};
use crate::{
    dicom::InstancePath,
    storage::{
        Role, Stamp,
        catalog::{InstanceRow, Version},
    },
};

/// What happens to a file whose SOP Instance UID is stored already with other
/// bytes, under the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// It is refused.
    Reject,
    /// It becomes the instance; what was there is a version of it.
    Replace,
    /// It becomes a version of the instance, which stays.
    Keep,
}

impl View<'_> {
    /// All versions of an instance in the order in which they came, and which
    /// of them is the instance itself.
    ///
    /// # Errors
    /// `NotFound` or `Gone` when there is none.
    pub fn versions(&self, path: &InstancePath) -> Result<Vec<(Version, bool)>, ArchiveError> {
        let mut versions: Vec<_> =
            self.sight.versions(path)?.into_iter().map(|version| (version, false)).collect();
        if let Some(row) = self.sight.instance(path)? {
            versions.push((self.as_version(row)?, true));
        }
        trails::version(self.trail.as_ref(), path);
        if versions.is_empty() {
            return Err(missing(&self.sight, &Scope::Instance(path.clone()))?);
        }
        versions.sort_by_key(|(version, _)| version.stamp);
        Ok(versions)
    }

    /// The file of one version, byte for byte as it came.
    ///
    /// # Errors
    /// `NotFound` or `Gone` when there is no such version.
    pub fn version(&self, path: &InstancePath, stamp: Stamp) -> Result<(Version, Pieces), ArchiveError> {
        trails::version(self.trail.as_ref(), path);
        let (version, file) = match self.sight.instance(path)? {
            Some(row) if row.stamp == stamp => {
                let file = stored(self.sight.raw(), &row, 0..row.place.length)?;
                (self.as_version(row)?, file)
            }
            None if self.sight.is_filtered() => return Err(ArchiveError::NotFound("instance")),
            there => match self.sight.raw().version(path, stamp)? {
                Some((version, chunks)) => {
                    let file =
                        StoredFile { place: version.place, first_chunk: 0, checksums: chunks.0.into() };
                    (version, file)
                }
                None if there.is_some() => return Err(ArchiveError::NotFound("version of this instance")),
                None => return Err(missing(&self.sight, &Scope::Instance(path.clone()))?),
            },
        };
        let mut pieces = Pieces::new();
        pieces.push_stored(&file, 0..version.place.length);
        Ok((version, pieces))
    }

    fn as_version(&self, row: InstanceRow) -> Result<Version, ArchiveError> {
        let stored = self.sight.raw().feed(row.seq.saturating_sub(1), 1)?.pop();
        Ok(Version {
            stamp: row.stamp,
            place: row.place,
            digest: row.digest,
            form: row.form,
            transfer_syntax: row.transfer_syntax,
            sop_class: row.sop_class,
            role: Role::Current,
            by: stored.map(|entry| entry.by).unwrap_or_default(),
        })
    }
}
