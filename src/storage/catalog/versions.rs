//! Versions: files that have the SOP Instance UID of an instance and are not
//! it, since it was replaced by a later one ([`Role::Current`], once) or came
//! first ([`Role::Kept`]). Owns their rows, which say where the bytes are and
//! how to check them; what is in such a file is not kept here.
//!
//! Invariants: a version is under the path its instance has or had; it goes
//! when its path is deleted after its stamp; no rollup counts it.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::apply::{Batch, Present};
use super::change::{NewInstance, Outcome};
use super::instance::{Form, Head, ShortUid, part, read_chunks};
use super::rows::FeedRow;
use super::tables::encode;
use super::{CatalogError, keys};
use crate::dicom::InstancePath;
use crate::storage::{Chunks, Digest, Place, Role, Stamp};

/// A version of an instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    pub stamp: Stamp,
    pub place: Place,
    pub digest: Digest,
    pub form: Form,
    pub transfer_syntax: String,
    pub sop_class: String,
    pub role: Role,
    /// Who stored it; empty if that is not known any more.
    pub by: String,
}

/// What leads the row of a version; its CRCs follow, 4 bytes little endian each.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct VersionHead {
    place: Place,
    digest: Digest,
    form: Form,
    transfer_syntax: ShortUid,
    sop_class: ShortUid,
    role: Role,
    by: String,
}

impl VersionHead {
    fn read<'r>(key: &[u8], row: &'r [u8]) -> Result<(Self, &'r [u8]), CatalogError> {
        postcard::take_from_bytes(row).map_err(|source| CatalogError::Row {
            table: "versions",
            key: keys::show(key),
            source,
        })
    }

    fn write(&self, chunks: &[u8]) -> Result<Vec<u8>, CatalogError> {
        let mut row = encode("versions", self)?;
        row.extend_from_slice(chunks);
        Ok(row)
    }
}

/// A row of the table of versions, and the CRCs of its file.
pub(super) fn read(key: &[u8], row: &[u8], stamp: Stamp) -> Result<(Version, Chunks), CatalogError> {
    let (head, chunks) = VersionHead::read(key, row)?;
    let version = Version {
        stamp,
        place: head.place,
        digest: head.digest,
        form: head.form,
        transfer_syntax: head.transfer_syntax.into_string(),
        sop_class: head.sop_class.into_string(),
        role: head.role,
        by: head.by,
    };
    Ok((version, Chunks(read_chunks(chunks).collect())))
}

impl Batch<'_, '_> {
    pub(super) fn has_version(&self, path: &InstancePath, stamp: Stamp) -> Result<bool, CatalogError> {
        Ok(self.version_place(path, stamp)?.is_some())
    }

    /// A file that is no instance, with its bytes.
    pub(super) fn add_version(&mut self, new: &NewInstance) -> Result<(), CatalogError> {
        let head = VersionHead {
            place: new.place,
            digest: new.digest,
            form: new.form,
            transfer_syntax: ShortUid::new(&new.transfer_syntax),
            sop_class: ShortUid::new(&new.sop_class),
            role: new.role,
            by: new.by.clone(),
        };
        let chunks: Vec<u8> = new.chunks.0.iter().flat_map(|crc| crc.to_le_bytes()).collect();
        let key = keys::version_key(&new.path, new.stamp);
        self.tables.versions.insert(key.as_slice(), head.write(&chunks)?.as_slice())?;
        let pack = self.pack(new.place.pack)?;
        pack.live_files += 1;
        pack.live_bytes += new.place.length;
        Ok(())
    }

    /// Makes a version of an instance that is there; its bytes stay live.
    pub(super) fn demote(&mut self, present: &Present) -> Result<(), CatalogError> {
        let Present { path, series_id, head } = present;
        let chunks = self.chunk_bytes(*series_id, present)?;
        let by = self.stored_by(head.seq)?;
        let version = VersionHead {
            place: head.place,
            digest: head.digest,
            form: head.form,
            transfer_syntax: head.transfer_syntax.clone(),
            sop_class: head.sop_class.clone(),
            role: Role::Current,
            by,
        };
        let key = keys::version_key(path, head.stamp);
        self.tables.versions.insert(key.as_slice(), version.write(&chunks)?.as_slice())?;
        self.remove_rows(present)
    }

    /// Who made a change.
    fn stored_by(&self, seq: u64) -> Result<String, CatalogError> {
        let Some(row) = self.tables.feed.get(seq)? else { return Ok(String::new()) };
        match postcard::from_bytes::<FeedRow>(row.value()) {
            Ok(row) => Ok(row.by.to_owned()),
            Err(source) => Err(CatalogError::Row { table: "feed", key: seq.to_string(), source }),
        }
    }

    fn chunk_bytes(&self, series_id: u64, present: &Present) -> Result<Vec<u8>, CatalogError> {
        let key = keys::instance_key(series_id, &present.path.instance);
        let missing = |table| CatalogError::Missing { table, key: present.path.to_string() };
        let row = self.tables.instances.get(key.as_slice())?.ok_or_else(|| missing("instances"))?;
        let (head, rest) = Head::read(&key, row.value())?;
        if let Some(bytes) = head.chunks(rest) {
            return Ok(bytes.to_vec());
        }
        let mut bytes = Vec::new();
        let blocks = (head.seq, part::CHUNKS, 0)..=(head.seq, part::CHUNKS, u32::MAX);
        for block in self.tables.parts.range(blocks)? {
            bytes.extend_from_slice(block?.1.value());
        }
        Ok(bytes)
    }

    /// A version that is there comes from a pack once more, as in
    /// [`Batch::same_again`]. None when it is not there.
    pub(super) fn version_again(&mut self, new: &NewInstance) -> Result<Option<Outcome>, CatalogError> {
        let Some(place) = self.version_place(&new.path, new.stamp)? else { return Ok(None) };
        let order = |place: &Place| (place.pack, place.offset);
        if order(&new.place) > order(&place) {
            self.move_version(&new.path, new.stamp, new.place)?;
            return Ok(Some(Outcome::Moved));
        }
        if new.place != place {
            self.bury(new)?;
        }
        Ok(Some(Outcome::AlreadyThere))
    }

    fn version_place(&self, path: &InstancePath, stamp: Stamp) -> Result<Option<Place>, CatalogError> {
        let key = keys::version_key(path, stamp);
        let row = self.tables.versions.get(key.as_slice())?;
        row.map(|row| Ok(VersionHead::read(&key, row.value())?.0.place)).transpose()
    }

    /// The bytes of a version are elsewhere; false when there is no such version.
    pub(super) fn move_version(
        &mut self,
        path: &InstancePath,
        stamp: Stamp,
        place: Place,
    ) -> Result<bool, CatalogError> {
        let key = keys::version_key(path, stamp);
        let (was, row) = {
            let Some(row) = self.tables.versions.get(key.as_slice())? else { return Ok(false) };
            let (head, chunks) = VersionHead::read(&key, row.value())?;
            (head.place, VersionHead { place, ..head }.write(chunks)?)
        };
        if was == place {
            return Ok(true);
        }
        self.tables.versions.insert(key.as_slice(), row.as_slice())?;
        self.die(was)?;
        let pack = self.pack(place.pack)?;
        pack.live_files += 1;
        pack.live_bytes += place.length;
        Ok(true)
    }

    /// Forgets the versions of a path that are older than `stamp`.
    pub(super) fn delete_versions(&mut self, path: &InstancePath, stamp: Stamp) -> Result<(), CatalogError> {
        let start = keys::version_key(path, Stamp(0));
        let end = keys::version_key(path, stamp);
        let mut places = Vec::new();
        for row in self.tables.versions.range(start.as_slice()..end.as_slice())? {
            let (key, row) = row?;
            places.push((key.value().to_vec(), VersionHead::read(key.value(), row.value())?.0.place));
        }
        for (key, place) in places {
            self.tables.versions.remove(key.as_slice())?;
            self.die(place)?;
        }
        Ok(())
    }

    /// The paths below a study or a series that have versions.
    pub(super) fn version_paths(&self, above: &[u8]) -> Result<Vec<InstancePath>, CatalogError> {
        let range = keys::below(above);
        let rows = self.tables.versions.range(range.start.as_slice()..range.end.as_slice())?;
        paths(rows.map(|row| Ok(row?.0.value().to_vec())))
    }
}

/// The paths in keys of the table of versions, each once.
pub(super) fn paths(
    found: impl Iterator<Item = Result<Vec<u8>, CatalogError>>,
) -> Result<Vec<InstancePath>, CatalogError> {
    let mut paths: Vec<InstancePath> = Vec::new();
    for key in found {
        let (path, _) = parse(&key?)?;
        if paths.last() != Some(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// What a key of the table of versions says.
pub(super) fn parse(key: &[u8]) -> Result<(InstancePath, Stamp), CatalogError> {
    keys::parse_version(key).ok_or_else(|| CatalogError::Row {
        table: "versions",
        key: keys::show(key),
        source: postcard::Error::DeserializeBadUtf8,
    })
}
