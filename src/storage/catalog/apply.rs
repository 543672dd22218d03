//! One transaction: changes in, rows out. Owns the rules of stamps and of
//! duplicates (PS3.18 section 10.5.3); what studies and series make of it is in
//! [`super::series`].
//!
//! The rule of stamps: of all files of a SOP Instance UID that were stored as
//! the instance itself, the one with the newest stamp is it, unless a newer
//! deletion names its path; the older ones, and those stored beside it, are its
//! versions ([`super::versions`]). A SOP Instance UID is under one path at a
//! time, that of the newest. Nothing in this depends on the order in which they
//! become known.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableTable, WriteTransaction};

use super::change::{Applied, Change, NewInstance, Outcome, Rule, Target};
use super::instance::{Draft, Head};
use super::metadata::{Encoder, decompress_dictionary, dictionary_of};
use super::rows::{FeedKind, FeedRow, PackRow, SopRow, State};
use super::series::Rollup;
use super::tables::{Tables, decode, encode};
use super::{CatalogError, Resplit, dictionaries, keys};
use crate::dicom::{InstancePath, InstanceUid, SeriesPath, StudyUid};
use crate::storage::{PackId, Place, Role, Stamp};

pub(super) fn apply(
    write: &WriteTransaction,
    changes: &[Change],
    encoder: &mut Encoder,
    resplit: &Resplit,
) -> Result<Applied, CatalogError> {
    let mut batch = Batch::begin(Tables::open(write)?, encoder)?;
    let outcomes = changes.iter().map(|change| batch.change(change)).collect::<Result<_, _>>()?;
    batch.finish(resplit, outcomes)
}

/// A transaction in the making.
pub(super) struct Batch<'t, 'e> {
    pub tables: Tables<'t>,
    pub state: State,
    pub encoder: &'e mut Encoder,
    rollup: Rollup,
    packs: BTreeMap<PackId, PackRow>,
    changed: BTreeSet<StudyUid>,
    newest: Stamp,
}

/// An instance that is there.
pub(super) struct Present {
    pub path: InstancePath,
    pub series_id: u64,
    pub head: Head,
}

impl<'t, 'e> Batch<'t, 'e> {
    fn begin(tables: Tables<'t>, encoder: &'e mut Encoder) -> Result<Self, CatalogError> {
        let state = match tables.meta.get("state")? {
            Some(state) => decode("meta", b"state", state.value())?,
            None => State::default(),
        };
        Ok(Self {
            tables,
            state,
            encoder,
            rollup: Rollup::default(),
            packs: BTreeMap::new(),
            changed: BTreeSet::new(),
            newest: Stamp::default(),
        })
    }

    fn finish(mut self, resplit: &Resplit, outcomes: Vec<Outcome>) -> Result<Applied, CatalogError> {
        let rollup = std::mem::take(&mut self.rollup);
        rollup.write(&mut self, resplit)?;
        for (pack, row) in &self.packs {
            self.tables.packs.insert(pack.0, encode("packs", row)?.as_slice())?;
        }
        let newest = self.tables.meta.get("stamp")?;
        let newest = newest.and_then(|stamp| <[u8; 8]>::try_from(stamp.value()).ok());
        if newest.is_none_or(|newest| u64::from_le_bytes(newest) < self.newest.0) {
            self.tables.meta.insert("stamp", self.newest.0.to_le_bytes().as_slice())?;
        }
        self.tables.meta.insert("state", encode("meta", &self.state)?.as_slice())?;
        Ok(Applied { outcomes, changed: self.changed.into_iter().collect(), seq: self.state.seq })
    }

    fn change(&mut self, change: &Change) -> Result<Outcome, CatalogError> {
        match change {
            Change::Store { instance, rule } => self.store(instance, *rule),
            Change::Delete { target, stamp, by } => self.delete(target, *stamp, by),
            Change::Move { path, stamp, place } => self.relocate(path, *stamp, *place),
            Change::PackApplied { pack, until } => {
                let row = self.pack(*pack)?;
                row.applied = row.applied.max(*until);
                Ok(Outcome::Noted)
            }
            Change::PackSealed { pack } => {
                self.pack(*pack)?.sealed = true;
                Ok(Outcome::Noted)
            }
            Change::PackRemoved { pack } => {
                self.packs.remove(pack);
                self.tables.packs.remove(pack.0)?;
                Ok(Outcome::Noted)
            }
        }
    }

    // -- store

    fn store(&mut self, new: &NewInstance, rule: Rule) -> Result<Outcome, CatalogError> {
        let uid = &new.path.instance;
        self.newest = self.newest.max(new.stamp);
        let sop = self.sop(uid)?;
        let present = match sop {
            Some(SopRow { series: Some(series_id), .. }) => Some(self.present(series_id, uid)?),
            _ => None,
        };
        if let Some(settled) = self.settled(present.as_ref(), new, rule)? {
            return Ok(settled);
        }
        let newest = sop.map_or(Stamp(0), |sop| Stamp(sop.stamp));
        if sop.is_some() && new.stamp <= newest {
            let is_here = match &present {
                Some(present) => present.path == new.path,
                // Of a path whose deletion is still to come there may be versions too.
                None => self.has_version(&new.path, newest)?,
            };
            if !is_here {
                self.bury(new)?;
                return Ok(Outcome::Superseded);
            }
        }
        let replaced = present.as_ref().map(|present| present.head.place);
        let present = match present {
            Some(elsewhere) if elsewhere.path != new.path => {
                self.take_away(&elsewhere)?;
                self.delete_versions(&elsewhere.path, Stamp(u64::MAX))?;
                self.feed(FeedKind::Deleted, &elsewhere.path, elsewhere.series_id, new.stamp, &new.by)?;
                None
            }
            present => present,
        };
        let sop = SopRow {
            stamp: newest.max(new.stamp).0,
            series: present.as_ref().map(|present| present.series_id),
        };
        let deleted = self.tables.tombstones.get(keys::path_key(&new.path).as_slice())?;
        if deleted.is_some_and(|stamp| stamp.value() > new.stamp.0) {
            self.put_sop(uid, sop)?;
            self.bury(new)?;
            return Ok(Outcome::Superseded);
        }
        if new.role == Role::Kept {
            self.put_sop(uid, sop)?;
            self.add_version(new)?;
            return Ok(Outcome::Kept { beside: present.is_some() });
        }
        let kind = match &present {
            Some(present) if present.head.stamp > new.stamp => {
                self.add_version(new)?;
                return Ok(Outcome::Superseded);
            }
            Some(present) => {
                self.demote(present)?;
                FeedKind::Replaced
            }
            None => FeedKind::Stored,
        };
        let seq = self.put(new, kind, sop.stamp)?;
        Ok(Outcome::Stored { seq, replaced })
    }

    /// What a store comes to that changes nothing but places.
    fn settled(
        &mut self,
        present: Option<&Present>,
        new: &NewInstance,
        rule: Rule,
    ) -> Result<Option<Outcome>, CatalogError> {
        if let Some(present) = present {
            let here = present.path == new.path;
            let same = here && present.head.digest == new.digest;
            let conflict = || Ok(Some(Outcome::Conflict { existing: present.path.clone() }));
            match (rule, new.role) {
                (Rule::Replay, Role::Current) if same && present.head.stamp == new.stamp => {
                    return self.same_again(present, new).map(Some);
                }
                (Rule::Reject | Rule::Replace, Role::Current) if same => {
                    return Ok(Some(Outcome::AlreadyThere));
                }
                (Rule::Reject, Role::Current) => return conflict(),
                (Rule::Reject | Rule::Replace, _) if !here => return conflict(),
                (Rule::Reject | Rule::Replace | Rule::Replay, _) => {}
            }
        }
        self.version_again(new)
    }

    /// A version that is there comes from a pack once more: from the same
    /// place, or from a copy, of which the last one counts.
    fn same_again(&mut self, present: &Present, new: &NewInstance) -> Result<Outcome, CatalogError> {
        let order = |place: &Place| (place.pack, place.offset);
        if order(&new.place) > order(&present.head.place) {
            self.place_anew(present, new.place)?;
            return Ok(Outcome::Moved);
        }
        if new.place != present.head.place {
            self.bury(new)?;
        }
        Ok(Outcome::AlreadyThere)
    }

    /// Writes the rows of an instance that is not there. `newest`: the newest
    /// stamp its SOP Instance UID was seen with.
    fn put(&mut self, new: &NewInstance, kind: FeedKind, newest: u64) -> Result<u64, CatalogError> {
        let series_path = new.path.series_path();
        let series_id = self.with_rollup(|rollup, batch| rollup.add(batch, &series_path, new))?;
        let seq = self.feed(kind, &new.path, series_id, new.stamp, &new.by)?;
        let metadata = self.compress(series_id, &new.path, &new.metadata)?;
        let written = Draft {
            seq,
            stamp: new.stamp,
            place: new.place,
            digest: new.digest,
            chunks: &new.chunks,
            form: new.form,
            transfer_syntax: &new.transfer_syntax,
            sop_class: &new.sop_class,
            frames: &new.frames,
            bulk: &new.bulk,
            summary: &new.summary,
            metadata: &metadata,
        }
        .write()?;
        let uid = &new.path.instance;
        self.tables
            .instances
            .insert(keys::instance_key(series_id, uid).as_slice(), written.row.as_slice())?;
        for (kind, block, bytes) in written.parts {
            self.tables.parts.insert((seq, kind, block), bytes.as_slice())?;
        }
        self.put_sop(uid, SopRow { stamp: newest, series: Some(series_id) })?;
        let pack = self.pack(new.place.pack)?;
        pack.live_files += 1;
        pack.live_bytes += new.place.length;
        self.state.bytes += new.place.length;
        Ok(seq)
    }

    fn compress(
        &mut self,
        series_id: u64,
        path: &InstancePath,
        json: &[u8],
    ) -> Result<Vec<u8>, CatalogError> {
        let failed = |why| CatalogError::Metadata { key: path.to_string(), verb: "compressed", why };
        let prepared = match self.encoder.prepared(series_id) {
            Some(prepared) => prepared,
            None => {
                let stored = dictionaries::get(&self.tables, series_id)?;
                let stored = stored.map(|stored| decompress_dictionary(&stored));
                let Some(dictionary) = stored.transpose().map_err(failed)? else {
                    let dictionary = self.encoder.compress_dictionary(dictionary_of(json)).map_err(failed)?;
                    dictionaries::put(&mut self.tables, series_id, &dictionary)?;
                    return self.encoder.compress_first(json).map_err(failed);
                };
                self.encoder.prepare(series_id, &dictionary).map_err(failed)?
            }
        };
        self.encoder.compress(json, &prepared).map_err(failed)
    }

    // -- delete

    fn delete(&mut self, target: &Target, stamp: Stamp, by: &str) -> Result<Outcome, CatalogError> {
        self.newest = self.newest.max(stamp);
        let mut instances = Vec::new();
        let above = match target {
            Target::Instance(path) => {
                self.delete_instance(path, stamp, by, &mut instances)?;
                None
            }
            Target::Series(path) => {
                self.delete_series(path, stamp, by, &mut instances)?;
                Some(keys::series_key(path))
            }
            Target::Study(uid) => {
                for path in self.with_rollup(|rollup, batch| rollup.series_of(batch, uid))? {
                    self.delete_series(&path, stamp, by, &mut instances)?;
                }
                Some(uid.as_str().as_bytes().to_vec())
            }
        };
        // What is left are versions whose instance is not there.
        for path in above.map_or_else(|| Ok(Vec::new()), |above| self.version_paths(&above))? {
            self.delete_instance(&path, stamp, by, &mut instances)?;
        }
        Ok(if instances.is_empty() { Outcome::NotFound } else { Outcome::Deleted { instances } })
    }

    fn delete_series(
        &mut self,
        path: &SeriesPath,
        stamp: Stamp,
        by: &str,
        deleted: &mut Vec<InstancePath>,
    ) -> Result<(), CatalogError> {
        let Some(series_id) = self.with_rollup(|rollup, batch| rollup.id_of(batch, path))? else {
            return Ok(());
        };
        let range = keys::of_series(series_id);
        let mut old = Vec::new();
        for row in self.tables.instances.range(range.start.as_slice()..range.end.as_slice())? {
            let (key, row) = row?;
            if Head::read(key.value(), row.value())?.0.stamp < stamp {
                old.push(read_uid(key.value())?);
            }
        }
        for instance in old {
            let path = InstancePath { study: path.study.clone(), series: path.series.clone(), instance };
            self.delete_instance(&path, stamp, by, deleted)?;
        }
        Ok(())
    }

    /// The tombstone is noted even if nothing is there: what it is for may come
    /// from a pack later.
    fn delete_instance(
        &mut self,
        path: &InstancePath,
        stamp: Stamp,
        by: &str,
        deleted: &mut Vec<InstancePath>,
    ) -> Result<(), CatalogError> {
        let key = keys::path_key(path);
        let known = self.tables.tombstones.get(key.as_slice())?.map_or(0, |stamp| stamp.value());
        if stamp.0 > known {
            self.tables.tombstones.insert(key.as_slice(), stamp.0)?;
        }
        self.delete_versions(path, stamp)?;
        let Some(SopRow { stamp: newest, series: Some(series_id) }) = self.sop(&path.instance)? else {
            return Ok(());
        };
        let present = self.present(series_id, &path.instance)?;
        if present.path != *path || present.head.stamp >= stamp {
            return Ok(());
        }
        self.take_away(&present)?;
        self.feed(FeedKind::Deleted, path, series_id, stamp, by)?;
        self.put_sop(&path.instance, SopRow { stamp: newest, series: None })?;
        deleted.push(path.clone());
        Ok(())
    }

    /// Removes an instance but for the row of its SOP Instance UID.
    fn take_away(&mut self, present: &Present) -> Result<(), CatalogError> {
        self.remove_rows(present)?;
        self.die(present.head.place)
    }

    /// The same, but its bytes stay live.
    pub(super) fn remove_rows(&mut self, present: &Present) -> Result<(), CatalogError> {
        let Present { path, series_id, head } = present;
        self.tables.instances.remove(keys::instance_key(*series_id, &path.instance).as_slice())?;
        if head.has_parts() {
            self.tables.parts.retain_in((head.seq, 0, 0)..=(head.seq, u8::MAX, u32::MAX), |_, _| false)?;
        }
        self.with_rollup(|rollup, batch| rollup.remove(batch, &path.series_path(), &path.instance, head))?;
        self.state.bytes = self.state.bytes.saturating_sub(head.place.length);
        Ok(())
    }

    // -- packs

    fn relocate(&mut self, path: &InstancePath, stamp: Stamp, place: Place) -> Result<Outcome, CatalogError> {
        if self.move_version(path, stamp, place)? {
            return Ok(Outcome::Moved);
        }
        let Some(SopRow { series: Some(series_id), .. }) = self.sop(&path.instance)? else {
            return Ok(Outcome::NotFound);
        };
        let present = self.present(series_id, &path.instance)?;
        if present.path != *path || present.head.stamp != stamp {
            return Ok(Outcome::NotFound);
        }
        if present.head.place != place {
            self.place_anew(&present, place)?;
        }
        Ok(Outcome::Moved)
    }

    fn place_anew(&mut self, present: &Present, place: Place) -> Result<(), CatalogError> {
        let key = keys::instance_key(present.series_id, &present.path.instance);
        let row = {
            let Some(row) = self.tables.instances.get(key.as_slice())? else {
                return Err(CatalogError::Missing { table: "instances", key: present.path.to_string() });
            };
            let (head, rest) = Head::read(&key, row.value())?;
            let mut row = encode("instances", &Head { place, ..head })?;
            row.extend_from_slice(rest);
            row
        };
        self.tables.instances.insert(key.as_slice(), row.as_slice())?;
        self.die(present.head.place)?;
        let pack = self.pack(place.pack)?;
        pack.live_files += 1;
        pack.live_bytes += place.length;
        Ok(())
    }

    /// A row no longer points to these bytes.
    pub(super) fn die(&mut self, place: Place) -> Result<(), CatalogError> {
        let pack = self.pack(place.pack)?;
        pack.live_files = pack.live_files.saturating_sub(1);
        pack.live_bytes = pack.live_bytes.saturating_sub(place.length);
        pack.dead_bytes += place.length;
        Ok(())
    }

    /// A file in a pack no row will point to; counted once, however often its
    /// pack is replayed.
    pub(super) fn bury(&mut self, new: &NewInstance) -> Result<(), CatalogError> {
        let pack = self.pack(new.place.pack)?;
        if new.place.offset >= pack.applied {
            pack.dead_bytes += new.place.length;
        }
        Ok(())
    }

    pub(super) fn pack(&mut self, pack: PackId) -> Result<&mut PackRow, CatalogError> {
        use std::collections::btree_map::Entry;
        match self.packs.entry(pack) {
            Entry::Occupied(row) => Ok(row.into_mut()),
            Entry::Vacant(empty) => {
                let row = match self.tables.packs.get(pack.0)? {
                    Some(row) => decode("packs", pack.to_string().as_bytes(), row.value())?,
                    None => PackRow::default(),
                };
                Ok(empty.insert(row))
            }
        }
    }

    // -- rows

    fn sop(&self, uid: &InstanceUid) -> Result<Option<SopRow>, CatalogError> {
        let key = uid.as_str().as_bytes();
        self.tables.sops.get(key)?.map(|row| decode("sops", key, row.value())).transpose()
    }

    fn put_sop(&mut self, uid: &InstanceUid, row: SopRow) -> Result<(), CatalogError> {
        self.tables.sops.insert(uid.as_str().as_bytes(), encode("sops", &row)?.as_slice())?;
        Ok(())
    }

    fn present(&self, series_id: u64, uid: &InstanceUid) -> Result<Present, CatalogError> {
        let key = keys::instance_key(series_id, uid);
        let missing = |table| CatalogError::Missing { table, key: uid.to_string() };
        let row = self.tables.instances.get(key.as_slice())?.ok_or_else(|| missing("instances"))?;
        let (head, _) = Head::read(&key, row.value())?;
        let series = self.tables.series_ids.get(series_id)?.ok_or_else(|| missing("series_ids"))?;
        let SeriesPath { study, series } =
            keys::parse_series(series.value()).ok_or_else(|| missing("series_ids"))?;
        Ok(Present { path: InstancePath { study, series, instance: uid.clone() }, series_id, head })
    }

    fn feed(
        &mut self,
        kind: FeedKind,
        path: &InstancePath,
        series: u64,
        stamp: Stamp,
        by: &str,
    ) -> Result<u64, CatalogError> {
        self.state.seq += 1;
        let seq = self.state.seq;
        let row = FeedRow { kind, series, instance: path.instance.as_str(), stamp: stamp.0, by };
        self.tables.feed.insert(seq, encode("feed", &row)?.as_slice())?;
        self.rollup.touch(&path.series_path(), seq);
        if !self.changed.contains(&path.study) {
            self.changed.insert(path.study.clone());
        }
        Ok(seq)
    }

    /// The rollup works on the tables of the batch it is a part of.
    fn with_rollup<T>(
        &mut self,
        work: impl FnOnce(&mut Rollup, &mut Self) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let mut rollup = std::mem::take(&mut self.rollup);
        let done = work(&mut rollup, self);
        self.rollup = rollup;
        done
    }
}

pub(super) fn read_uid(key: &[u8]) -> Result<InstanceUid, CatalogError> {
    keys::parse_instance(key).ok_or_else(|| CatalogError::Row {
        table: "instances",
        key: keys::show(key.get(8..).unwrap_or_default()),
        source: postcard::Error::DeserializeBadUtf8,
    })
}
