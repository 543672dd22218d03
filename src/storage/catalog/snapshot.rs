//! Reads of the catalog as it was at one moment. Owns the ways in: by path, by
//! SOP Instance UID, by id, by sequence number. A read never parses DICOM or
//! JSON; a frame costs one row and at most one block of the frame table.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use redb::{AccessGuard, ReadTransaction, TableDefinition};

use super::change::Target;
use super::guarded::{Guarded, Once, guard};
use super::instance::{
    CHUNKS_PER_BLOCK, FRAMES_PER_BLOCK, Frames, Head, InstanceRow, Listed, part, read_chunks,
};
use super::memory::{Epoch, Memory};
use super::metadata::Decoder;
use super::rows::{FeedEntry, FeedRow, PackRow, SeriesRow, SopRow, State, StudyRow, Totals};
use super::tables::{self, PartKey, decode};
use super::versions::{self, Version};
use super::{CatalogError, dictionaries, keys};
use crate::dicom::{Bulk, FrameSpan, InstancePath, InstanceUid, SeriesPath, StudyUid};
use crate::storage::{CHUNK_BYTES, Chunks, PackId, Stamp, waiting};

/// The catalog at one moment. Owned; drop it before the network is waited for.
pub struct Snapshot {
    /// None: what is in memory is all there is.
    read: Option<ReadTransaction>,
    /// Those of its tables that a search goes to for each result.
    opened: Opened,
    memory: Arc<Memory>,
    epoch: Epoch,
}

#[derive(Default)]
struct Opened {
    studies: Once<&'static [u8], &'static [u8]>,
    study_ids: Once<u64, &'static [u8]>,
    series: Once<&'static [u8], &'static [u8]>,
    series_ids: Once<u64, &'static [u8]>,
    instances: Once<&'static [u8], &'static [u8]>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// Numbers are given in ascending order and never twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastIds {
    pub study: u64,
    pub series: u64,
}

type Value = AccessGuard<'static, &'static [u8]>;

impl Snapshot {
    pub(super) fn new(read: Option<ReadTransaction>, memory: Arc<Memory>, epoch: Epoch) -> Self {
        Self { read, opened: Opened::default(), memory, epoch }
    }

    // -- studies and series

    pub fn study(&self, uid: &StudyUid) -> Result<Option<StudyRow>, CatalogError> {
        let key = uid.as_str().as_bytes();
        self.studies_table()?.get(key)?.map(|row| decode("studies", key, row.value())).transpose()
    }

    pub fn study_by_id(&self, id: u64) -> Result<Option<StudyRow>, CatalogError> {
        let Some(uid) = self.study_ids_table()?.get(id)? else { return Ok(None) };
        match keys::parse_study(uid.value()) {
            Some(uid) => self.study(&uid),
            None => Err(missing("study_ids", &id)),
        }
    }

    /// Studies in the order of their ids, those with ids after `after`.
    pub fn studies(&self, after: u64, limit: usize) -> Result<Vec<StudyRow>, CatalogError> {
        let ids = self.study_ids_table()?.range(after.saturating_add(1)..)?;
        ids.take(limit)
            .map(|entry| {
                let (id, uid) = entry?;
                let study = keys::parse_study(uid.value()).map(|uid| self.study(&uid)).transpose()?;
                study.flatten().ok_or_else(|| missing("studies", &id.value()))
            })
            .collect()
    }

    pub fn series(&self, path: &SeriesPath) -> Result<Option<SeriesRow>, CatalogError> {
        let key = keys::series_key(path);
        self.series_table()?.get(key.as_slice())?.map(|row| decode("series", &key, row.value())).transpose()
    }

    pub fn series_by_id(&self, id: u64) -> Result<Option<SeriesRow>, CatalogError> {
        // A number outlives its series, which may have come back under another.
        Ok(self.series(&self.series_path(id)?)?.filter(|row| row.id == id))
    }

    /// In ascending order of their UIDs; none if there is no such study.
    pub fn series_of(&self, study: &StudyUid) -> Result<Vec<SeriesRow>, CatalogError> {
        let range = keys::below(study.as_str().as_bytes());
        let rows = self.series_table()?.range(range.start.as_slice()..range.end.as_slice())?;
        rows.map(|row| {
            let (key, row) = row?;
            decode("series", key.value(), row.value())
        })
        .collect()
    }

    // -- instances

    pub fn instance(&self, path: &InstancePath) -> Result<Option<InstanceRow>, CatalogError> {
        if let Some(row) = self.memory.row(self.epoch, path) {
            return Ok(Some(row));
        }
        let Some(series_id) = self.series_id(&path.series_path())? else { return Ok(None) };
        let key = keys::instance_key(series_id, &path.instance);
        let Some(row) = self.instances_table()?.get(key.as_slice())? else { return Ok(None) };
        let row = InstanceRow::read(path.clone(), &key, row.value())?;
        self.memory.add_row(self.epoch, &row);
        Ok(Some(row))
    }

    /// Instances of a series in ascending order of their UIDs, those after `after`.
    pub fn instances(
        &self,
        series: &SeriesPath,
        after: Option<&InstanceUid>,
        limit: usize,
    ) -> Result<Vec<InstanceRow>, CatalogError> {
        let Some(series_id) = self.series_id(series)? else { return Ok(Vec::new()) };
        let range = after_in_series(series_id, after);
        let rows = self.instances_table()?.range(range.start.as_slice()..range.end.as_slice())?;
        rows.take(limit)
            .map(|row| {
                let (key, row) = row?;
                let instance = super::apply::read_uid(key.value())?;
                let path =
                    InstancePath { study: series.study.clone(), series: series.series.clone(), instance };
                InstanceRow::read(path, key.value(), row.value())
            })
            .collect()
    }

    /// Those of a series that are named and there, in the order in which they are named.
    pub fn instances_named<'u>(
        &self,
        series: &SeriesPath,
        uids: impl Iterator<Item = &'u InstanceUid>,
    ) -> Result<Vec<InstanceRow>, CatalogError> {
        let Some(series_id) = self.series_id(series)? else { return Ok(Vec::new()) };
        let table = self.instances_table()?;
        let mut rows = Vec::new();
        for uid in uids {
            let key = keys::instance_key(series_id, uid);
            if let Some(row) = table.get(key.as_slice())? {
                let SeriesPath { study, series } = series.clone();
                let path = InstancePath { study, series, instance: uid.clone() };
                rows.push(InstanceRow::read(path, &key, row.value())?);
            }
        }
        Ok(rows)
    }

    /// Where a SOP Instance UID is.
    pub fn locate(&self, uid: &InstanceUid) -> Result<Option<InstancePath>, CatalogError> {
        let key = uid.as_str().as_bytes();
        let Some(row) = self.get(tables::SOPS, key)? else { return Ok(None) };
        let SopRow { series, .. } = decode("sops", key, row.value())?;
        let Some(series) = series else { return Ok(None) };
        let SeriesPath { study, series } = self.series_path(series)?;
        Ok(Some(InstancePath { study, series, instance: uid.clone() }))
    }

    // -- what is in an instance

    /// The bytes of a frame, counted from 0. Of native pixel data whose frames
    /// do not begin at whole bytes: all bytes that have bits of it.
    pub fn frame(&self, row: &InstanceRow, index: u32) -> Result<Option<FrameSpan>, CatalogError> {
        if index >= row.frames.count() {
            return Ok(None);
        }
        match row.frames {
            Frames::None | Frames::Video(_) => Ok(None),
            Frames::Single(span) => Ok(Some(span)),
            Frames::Native { offset, frame_bits, .. } => {
                Ok(native_frame(offset, frame_bits, u64::from(index)))
            }
            Frames::Table { .. } => {
                let index = index as usize;
                let spans = self.frames(row, index / FRAMES_PER_BLOCK)?;
                Ok(spans.get(index % FRAMES_PER_BLOCK).copied())
            }
        }
    }

    /// A block of the places of frames.
    fn frames(&self, row: &InstanceRow, block: usize) -> Result<Arc<[FrameSpan]>, CatalogError> {
        let key = part_key(row, part::FRAMES, block);
        if let Some(frames) = self.memory.frames(self.epoch, key) {
            return Ok(frames);
        }
        let frames: Vec<FrameSpan> = decode_part(row, &self.part(row, part::FRAMES, block)?)?;
        let frames = Arc::from(frames);
        self.memory.add_frames(self.epoch, key, &frames);
        Ok(frames)
    }

    /// A block of checksums.
    fn checksums(&self, row: &InstanceRow, block: usize) -> Result<Arc<[u8]>, CatalogError> {
        let key = part_key(row, part::CHUNKS, block);
        if let Some(chunks) = self.memory.chunks(self.epoch, key) {
            return Ok(chunks);
        }
        let chunks = Arc::from(self.part(row, part::CHUNKS, block)?.value());
        self.memory.add_chunks(self.epoch, key, &chunks);
        Ok(chunks)
    }

    /// A value left in the file, by the end of its BulkDataURI.
    pub fn bulk(&self, row: &InstanceRow, path: &str) -> Result<Option<Bulk>, CatalogError> {
        let find = |list: Vec<Bulk>| list.into_iter().find(|bulk| bulk.path == path);
        let blocks = match row.sections.bulk {
            Listed::Row { .. } => return Ok(find(self.bulks(row)?)),
            Listed::Blocks { blocks } => blocks as usize,
        };
        // The blocks are in the order of the paths.
        let (mut low, mut high) = (0, blocks);
        while low < high {
            let middle = low + (high - low) / 2;
            let list: Vec<Bulk> = decode_part(row, &self.part(row, part::BULK, middle)?)?;
            if list.last().is_none_or(|last| last.path.as_str() < path) {
                low = middle + 1;
            } else if list.first().is_some_and(|first| first.path.as_str() > path) {
                high = middle;
            } else {
                return Ok(find(list));
            }
        }
        Ok(None)
    }

    /// All values left in the file, by their paths.
    pub fn bulks(&self, row: &InstanceRow) -> Result<Vec<Bulk>, CatalogError> {
        match row.sections.bulk {
            Listed::Row { .. } => decode("instances", row.path.to_string().as_bytes(), row.bulk_bytes()),
            Listed::Blocks { blocks } => {
                let mut all = Vec::new();
                for block in 0..blocks as usize {
                    let list: Vec<Bulk> = decode_part(row, &self.part(row, part::BULK, block)?)?;
                    all.extend(list);
                }
                Ok(all)
            }
        }
    }

    /// The checksums of the whole file.
    pub fn chunks(&self, row: &InstanceRow) -> Result<Chunks, CatalogError> {
        Ok(Chunks(self.chunks_of(row, 0..row.place.length)?.1))
    }

    /// The checksums of the chunks that a range of the file touches, and the
    /// number of the first of them.
    pub fn chunks_of(&self, row: &InstanceRow, range: Range<u64>) -> Result<(u64, Vec<u32>), CatalogError> {
        let first = range.start / CHUNK_BYTES;
        let wanted = usize::try_from(range.end.div_ceil(CHUNK_BYTES).saturating_sub(first));
        let wanted = wanted.unwrap_or(usize::MAX);
        let skip = usize::try_from(first).unwrap_or(usize::MAX);
        let blocks = match row.sections.chunks {
            Listed::Row { .. } => {
                return Ok((first, read_chunks(row.chunk_bytes()).skip(skip).take(wanted).collect()));
            }
            Listed::Blocks { blocks } => blocks as usize,
        };
        let mut crcs = Vec::new();
        let mut skip_in_block = skip % CHUNKS_PER_BLOCK;
        for block in skip / CHUNKS_PER_BLOCK..blocks {
            if crcs.len() >= wanted {
                break;
            }
            let block = self.checksums(row, block)?;
            crcs.extend(read_chunks(&block).skip(skip_in_block).take(wanted - crcs.len()));
            skip_in_block = 0;
        }
        Ok((first, crcs))
    }

    // -- metadata

    /// Gives the metadata of the instances of a series, as it was stored, in
    /// ascending order of their UIDs, those after `after`, until `sink` breaks.
    /// False if it did, and more may follow.
    pub fn metadata(
        &self,
        series: &SeriesPath,
        after: Option<&InstanceUid>,
        sink: &mut dyn FnMut(&InstanceUid, &[u8]) -> ControlFlow<()>,
    ) -> Result<bool, CatalogError> {
        let Some(series_id) = self.series_id(series)? else { return Ok(true) };
        let range = after_in_series(series_id, after);
        let mut decoder = self.decoder(series_id, series)?;
        let mut json = Vec::new();
        let rows = self.instances_table()?.range(range.start.as_slice()..range.end.as_slice())?;
        for row in rows {
            let (key, row) = row?;
            let instance = super::apply::read_uid(key.value())?;
            self.decompress(&mut decoder, key.value(), row.value(), &mut json)?;
            if sink(&instance, &json).is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives the metadata of those of a series that are named and there, in the order
    /// in which they are named.
    pub fn metadata_named<'u>(
        &self,
        series: &SeriesPath,
        uids: impl Iterator<Item = &'u InstanceUid>,
        sink: &mut dyn FnMut(&[u8]),
    ) -> Result<(), CatalogError> {
        let Some(series_id) = self.series_id(series)? else { return Ok(()) };
        let table = self.instances_table()?;
        let mut decoder = self.decoder(series_id, series)?;
        let mut json = Vec::new();
        for uid in uids {
            let key = keys::instance_key(series_id, uid);
            if let Some(row) = table.get(key.as_slice())? {
                self.decompress(&mut decoder, &key, row.value(), &mut json)?;
                sink(&json);
            }
        }
        Ok(())
    }

    /// The metadata of one instance, as it was stored.
    pub fn metadata_of(&self, path: &InstancePath) -> Result<Option<Vec<u8>>, CatalogError> {
        let series = path.series_path();
        let Some(series_id) = self.series_id(&series)? else { return Ok(None) };
        let key = keys::instance_key(series_id, &path.instance);
        let Some(row) = self.instances_table()?.get(key.as_slice())? else { return Ok(None) };
        let mut json = Vec::new();
        self.decompress(&mut self.decoder(series_id, &series)?, &key, row.value(), &mut json)?;
        Ok(Some(json))
    }

    // -- what was

    /// When something was deleted that is not there now (PS3.18 section 8.5:
    /// 410 rather than 404). A study or a series counts as deleted when nothing
    /// of it is left and something of it was deleted.
    pub fn tombstone(&self, target: &Target) -> Result<Option<Stamp>, CatalogError> {
        let tombstones = self.table(tables::TOMBSTONES)?;
        let below = |key: &[u8]| -> Result<Option<Stamp>, CatalogError> {
            let range = keys::below(key);
            let mut rows = tombstones.range(range.start.as_slice()..range.end.as_slice())?;
            Ok(rows.next().transpose()?.map(|(_, stamp)| Stamp(stamp.value())))
        };
        match target {
            Target::Study(uid) if self.studies_table()?.get(uid.as_str().as_bytes())?.is_none() => {
                below(uid.as_str().as_bytes())
            }
            Target::Series(path) if self.series_id(path)?.is_none() => below(&keys::series_key(path)),
            Target::Instance(path) if self.instance(path)?.is_none() => {
                let stamp = tombstones.get(keys::path_key(path).as_slice())?;
                Ok(stamp.map(|stamp| Stamp(stamp.value())))
            }
            Target::Study(_) | Target::Series(_) | Target::Instance(_) => Ok(None),
        }
    }

    /// When an instance was last deleted, whether it is there again or not.
    pub fn deleted_at(&self, path: &InstancePath) -> Result<Option<Stamp>, CatalogError> {
        let stamp = self.table(tables::TOMBSTONES)?.get(keys::path_key(path).as_slice())?;
        Ok(stamp.map(|stamp| Stamp(stamp.value())))
    }

    /// The newest stamp of all that was ever stored or deleted.
    pub fn newest_stamp(&self) -> Result<Option<Stamp>, CatalogError> {
        let stamp = self.table(tables::META)?.get("stamp")?;
        let stamp = stamp.and_then(|stamp| <[u8; 8]>::try_from(stamp.value()).ok());
        Ok(stamp.map(|stamp| Stamp(u64::from_le_bytes(stamp))))
    }

    // -- versions

    /// The versions of an instance, itself not included, in the order in which
    /// they came.
    pub fn versions(&self, path: &InstancePath) -> Result<Vec<Version>, CatalogError> {
        let range = keys::below(&keys::path_key(path));
        let rows = self.table(tables::VERSIONS)?.range(range.start.as_slice()..range.end.as_slice())?;
        rows.map(|row| {
            let (key, row) = row?;
            let (_, stamp) = versions::parse(key.value())?;
            Ok(versions::read(key.value(), row.value(), stamp)?.0)
        })
        .collect()
    }

    /// One of them, with the checksums of its file.
    pub fn version(
        &self,
        path: &InstancePath,
        stamp: Stamp,
    ) -> Result<Option<(Version, Chunks)>, CatalogError> {
        let key = keys::version_key(path, stamp);
        self.get(tables::VERSIONS, &key)?.map(|row| versions::read(&key, row.value(), stamp)).transpose()
    }

    /// The paths in a target that have versions, in ascending order.
    pub fn version_paths(&self, target: &Target) -> Result<Vec<InstancePath>, CatalogError> {
        let range = keys::below(&match target {
            Target::Study(study) => study.as_str().as_bytes().to_vec(),
            Target::Series(series) => keys::series_key(series),
            Target::Instance(path) => keys::path_key(path),
        });
        let rows = self.table(tables::VERSIONS)?.range(range.start.as_slice()..range.end.as_slice())?;
        versions::paths(rows.map(|row| Ok(row?.0.value().to_vec())))
    }

    /// All versions there are, those after `after`.
    pub fn all_versions(
        &self,
        after: Option<&(InstancePath, Stamp)>,
        limit: usize,
    ) -> Result<Vec<(InstancePath, Version)>, CatalogError> {
        let mut start = after.map_or_else(Vec::new, |(path, stamp)| keys::version_key(path, *stamp));
        // The least key that is greater.
        start.push(0);
        let rows = self.table(tables::VERSIONS)?.range(start.as_slice()..)?;
        rows.take(limit)
            .map(|row| {
                let (key, row) = row?;
                let (path, stamp) = versions::parse(key.value())?;
                Ok((path, versions::read(key.value(), row.value(), stamp)?.0))
            })
            .collect()
    }

    // -- changes

    /// What changed, in order, after the change with the number `after`.
    pub fn feed(&self, after: u64, limit: usize) -> Result<Vec<FeedEntry>, CatalogError> {
        let rows = self.table(tables::FEED)?.range(after.saturating_add(1)..)?;
        let mut last: Option<(u64, SeriesPath)> = None;
        rows.take(limit)
            .map(|row| {
                let (seq, row) = row?;
                let seq = seq.value();
                let FeedRow { kind, series, instance, stamp, by } =
                    postcard::from_bytes(row.value()).map_err(|source| damaged("feed", &seq, source))?;
                let path = match &last {
                    Some((id, path)) if *id == series => path.clone(),
                    _ => self.series_path(series)?,
                };
                last = Some((series, path.clone()));
                let instance = InstanceUid::parse(instance)
                    .map_err(|_| damaged("feed", &seq, postcard::Error::DeserializeBadUtf8))?;
                let path = InstancePath { study: path.study, series: path.series, instance };
                Ok(FeedEntry { seq, kind, path, series_id: series, stamp: Stamp(stamp), by: by.to_owned() })
            })
            .collect()
    }

    /// The number of the last change.
    pub fn seq(&self) -> Result<u64, CatalogError> {
        Ok(self.state()?.seq)
    }

    /// The largest numbers that a study and a series have had.
    pub fn last_ids(&self) -> Result<LastIds, CatalogError> {
        let State { studies, series, .. } = self.state()?;
        Ok(LastIds { study: studies, series })
    }

    pub fn pack(&self, pack: PackId) -> Result<Option<PackRow>, CatalogError> {
        let row = self.table(tables::PACKS)?.get(pack.0)?;
        row.map(|row| decode("packs", pack.to_string().as_bytes(), row.value())).transpose()
    }

    pub fn packs(&self) -> Result<Vec<(PackId, PackRow)>, CatalogError> {
        let rows = self.table(tables::PACKS)?.range::<u32>(..)?;
        rows.map(|row| {
            let (pack, row) = row?;
            let pack = PackId(pack.value());
            Ok((pack, decode("packs", pack.to_string().as_bytes(), row.value())?))
        })
        .collect()
    }

    pub fn totals(&self) -> Result<Totals, CatalogError> {
        Ok(Totals {
            studies: self.studies_table()?.len()?,
            series: self.series_table()?.len()?,
            instances: self.instances_table()?.len()?,
            bytes: self.state()?.bytes,
            versions: self.table(tables::VERSIONS)?.len()?,
        })
    }

    // -- ways into the tables

    fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<Guarded<K, V>, CatalogError> {
        let read = self.transaction()?;
        guard(|| read.open_table(table)).map(Guarded)
    }

    fn studies_table(&self) -> Result<&Guarded<&'static [u8], &'static [u8]>, CatalogError> {
        self.opened.studies.get(|| self.table(tables::STUDIES))
    }

    fn study_ids_table(&self) -> Result<&Guarded<u64, &'static [u8]>, CatalogError> {
        self.opened.study_ids.get(|| self.table(tables::STUDY_IDS))
    }

    fn series_table(&self) -> Result<&Guarded<&'static [u8], &'static [u8]>, CatalogError> {
        self.opened.series.get(|| self.table(tables::SERIES))
    }

    fn series_ids_table(&self) -> Result<&Guarded<u64, &'static [u8]>, CatalogError> {
        self.opened.series_ids.get(|| self.table(tables::SERIES_IDS))
    }

    fn instances_table(&self) -> Result<&Guarded<&'static [u8], &'static [u8]>, CatalogError> {
        self.opened.instances.get(|| self.table(tables::INSTANCES))
    }

    fn transaction(&self) -> Result<&ReadTransaction, CatalogError> {
        let read = self.read.as_ref();
        read.ok_or_else(|| {
            // Who asks for more than memory has is told so, and so is the work.
            drop(waiting::may_wait());
            CatalogError::NotRemembered
        })
    }

    fn get(&self, table: tables::Bytes, key: &[u8]) -> Result<Option<Value>, CatalogError> {
        self.table(table)?.get(key)
    }

    fn state(&self) -> Result<State, CatalogError> {
        let state = self.table(tables::META)?.get("state")?;
        Ok(state.map(|state| decode("meta", b"state", state.value())).transpose()?.unwrap_or_default())
    }

    /// The number of a series, without the rest of its row.
    fn series_id(&self, path: &SeriesPath) -> Result<Option<u64>, CatalogError> {
        let Some(row) = self.series_table()?.get(keys::series_key(path).as_slice())? else { return Ok(None) };
        match postcard::take_from_bytes(row.value()) {
            Ok((id, _)) => Ok(Some(id)),
            Err(source) => Err(damaged("series", path, source)),
        }
    }

    fn series_path(&self, id: u64) -> Result<SeriesPath, CatalogError> {
        let path = self.series_ids_table()?.get(id)?;
        path.and_then(|path| keys::parse_series(path.value())).ok_or_else(|| missing("series_ids", &id))
    }

    fn part(&self, row: &InstanceRow, kind: u8, block: usize) -> Result<Value, CatalogError> {
        let part = self.table(tables::PARTS)?.get(part_key(row, kind, block))?;
        part.ok_or_else(|| missing("parts", &row.path))
    }

    fn decoder(&self, series_id: u64, path: &SeriesPath) -> Result<Decoder, CatalogError> {
        let pieces = self.table(tables::DICTIONARY_PIECES)?;
        let dictionary = dictionaries::read(&pieces, || self.table(tables::DICTIONARIES), series_id)?;
        let dictionary = dictionary.ok_or_else(|| missing("dictionary_pieces", path))?;
        Decoder::new(&dictionary).map_err(|why| CatalogError::Metadata {
            key: path.to_string(),
            verb: "decompressed",
            why,
        })
    }

    fn decompress(
        &self,
        decoder: &mut Decoder,
        key: &[u8],
        row: &[u8],
        json: &mut Vec<u8>,
    ) -> Result<(), CatalogError> {
        let (head, rest) = Head::read(key, row)?;
        let uid = || keys::show(key.get(8..).unwrap_or_default());
        let failed = |why| CatalogError::Metadata { key: uid(), verb: "decompressed", why };
        if let Some(metadata) = head.metadata(rest) {
            return decoder.decompress(metadata, json).map_err(failed);
        }
        let metadata = self.table(tables::PARTS)?.get((head.seq, part::METADATA, 0))?;
        let metadata = metadata.ok_or_else(|| missing("parts", &uid()))?;
        decoder.decompress(metadata.value(), json).map_err(failed)
    }
}

#[cfg(test)]
impl Snapshot {
    /// Rows in the table of parts.
    pub(super) fn parts(&self) -> Result<u64, CatalogError> {
        self.table(tables::PARTS)?.len()
    }

    /// Name, rows, bytes of keys and values, bytes around them.
    pub(super) fn sizes(&self) -> Result<Vec<(String, u64, u64, u64)>, CatalogError> {
        let mut sizes = Vec::new();
        let read = self.transaction()?;
        for handle in read.list_tables()? {
            let name = redb::TableHandle::name(&handle).to_owned();
            let table = read.open_untyped_table(handle)?;
            use redb::ReadableTableMetadata;
            let stats = table.stats()?;
            let around = stats.metadata_bytes() + stats.fragmented_bytes();
            sizes.push((name, table.len()?, stats.stored_bytes(), around));
        }
        Ok(sizes)
    }
}

/// The keys of a series' instances after one of them, which need not be there.
fn after_in_series(series_id: u64, after: Option<&InstanceUid>) -> Range<Vec<u8>> {
    let mut range = keys::of_series(series_id);
    if let Some(after) = after {
        range.start = keys::instance_key(series_id, after);
        // The least key that is greater.
        range.start.push(0);
    }
    range
}

fn part_key(row: &InstanceRow, kind: u8, block: usize) -> PartKey {
    (row.seq, kind, u32::try_from(block).unwrap_or(u32::MAX))
}

fn decode_part<T: serde::de::DeserializeOwned>(row: &InstanceRow, part: &Value) -> Result<T, CatalogError> {
    postcard::from_bytes(part.value()).map_err(|source| damaged("parts", &row.path, source))
}

fn native_frame(offset: u64, frame_bits: u64, index: u64) -> Option<FrameSpan> {
    let first_bit = frame_bits.checked_mul(index)?;
    let end = first_bit.checked_add(frame_bits)?.div_ceil(8);
    let start = first_bit / 8;
    Some(FrameSpan { offset: offset.checked_add(start)?, length: end - start, fragments: 1 })
}

fn missing(table: &'static str, key: &dyn std::fmt::Display) -> CatalogError {
    CatalogError::Missing { table, key: key.to_string() }
}

fn damaged(table: &'static str, key: &dyn std::fmt::Display, source: postcard::Error) -> CatalogError {
    CatalogError::Row { table, key: key.to_string(), source }
}
