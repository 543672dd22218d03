//! What the instances of a transaction make of their series and studies:
//! attributes, counts, modalities. Owns the rows of both; each is read once and
//! written once in a transaction, however many instances it got.
//!
//! Invariant: the rows are a function of the instances that are there, not of
//! the order in which they came and went.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use redb::ReadableTable;

use super::apply::{Batch, read_uid};
use super::change::NewInstance;
use super::instance::{Head, part};
use super::metadata::Decoder;
use super::rows::{self, SeriesRow, StudyRow};
use super::tables::{decode, encode};
use super::{CatalogError, Resplit, dictionaries, keys};
use crate::dicom::{DataSet, InstanceUid, SeriesPath, StudyUid};
use crate::storage::Stamp;

/// The rows of series and studies that a transaction touches.
#[derive(Default)]
pub(super) struct Rollup {
    series: BTreeMap<SeriesPath, Series>,
    studies: BTreeMap<StudyUid, Study>,
}

struct Series {
    row: SeriesRow,
    /// The modality its study counts it as; none while it has no row yet.
    counted: Option<String>,
    /// Its newest or its oldest instance went.
    stale: bool,
}

struct Study {
    row: StudyRow,
    stored: bool,
    stale: bool,
}

impl Rollup {
    /// Counts an instance in; the id of its series.
    pub fn add(
        &mut self,
        batch: &mut Batch,
        path: &SeriesPath,
        new: &NewInstance,
    ) -> Result<u64, CatalogError> {
        let stamp = new.stamp;
        let study = &mut *self.study(batch, &path.study)?;
        let row = &mut study.row;
        if row.instances == 0 || stamp > row.newest {
            row.newest = stamp;
            assign(&mut row.attributes, &new.study);
        }
        study.stale &= row.instances > 0;
        row.first = if row.instances == 0 { stamp } else { row.first.min(stamp) };
        row.instances += 1;
        row.bytes += new.place.length;
        rows::count(&mut row.sop_classes, &new.sop_class);

        let series = self.series(batch, path, &new.path.instance)?;
        let row = &mut series.row;
        if row.instances == 0 || stamp > row.newest {
            row.newest = stamp;
            row.newest_instance = new.path.instance.clone();
            assign(&mut row.attributes, &new.series);
        }
        series.stale &= row.instances > 0;
        row.first = if row.instances == 0 { stamp } else { row.first.min(stamp) };
        row.instances += 1;
        row.bytes += new.place.length;
        rows::count(&mut row.sop_classes, &new.sop_class);
        Ok(row.id)
    }

    /// Counts an instance out.
    pub fn remove(
        &mut self,
        batch: &mut Batch,
        path: &SeriesPath,
        instance: &InstanceUid,
        head: &Head,
    ) -> Result<(), CatalogError> {
        let sop_class = head.sop_class.clone().into_string();
        let study = self.study(batch, &path.study)?;
        let row = &mut study.row;
        row.instances = row.instances.saturating_sub(1);
        row.bytes = row.bytes.saturating_sub(head.place.length);
        rows::uncount(&mut row.sop_classes, &sop_class);
        study.stale |= head.stamp == row.newest || head.stamp == row.first;

        let series = self.series(batch, path, instance)?;
        let row = &mut series.row;
        row.instances = row.instances.saturating_sub(1);
        row.bytes = row.bytes.saturating_sub(head.place.length);
        rows::uncount(&mut row.sop_classes, &sop_class);
        series.stale |= head.stamp == row.newest || head.stamp == row.first;
        Ok(())
    }

    /// Notes the number of a change in a series.
    pub fn touch(&mut self, path: &SeriesPath, seq: u64) {
        if let Some(series) = self.series.get_mut(path) {
            series.row.seq = seq;
        }
        if let Some(study) = self.studies.get_mut(&path.study) {
            study.row.seq = seq;
        }
    }

    pub fn id_of(&self, batch: &Batch, path: &SeriesPath) -> Result<Option<u64>, CatalogError> {
        if let Some(series) = self.series.get(path) {
            return Ok(Some(series.row.id));
        }
        let key = keys::series_key(path);
        let row = batch.tables.series.get(key.as_slice())?;
        Ok(row.map(|row| decode::<SeriesRow>("series", &key, row.value())).transpose()?.map(|row| row.id))
    }

    /// The series of a study, those of this transaction included.
    pub fn series_of(&self, batch: &Batch, study: &StudyUid) -> Result<Vec<SeriesPath>, CatalogError> {
        let mut paths: Vec<SeriesPath> =
            stored_series(batch, study)?.into_iter().map(|row| row.path).collect();
        paths.extend(self.series.keys().filter(|path| path.study == *study).cloned());
        paths.sort();
        paths.dedup();
        Ok(paths)
    }

    /// Writes all rows back.
    pub fn write(mut self, batch: &mut Batch, resplit: &Resplit) -> Result<(), CatalogError> {
        for (path, series) in std::mem::take(&mut self.series) {
            let study = self.study(batch, &path.study)?;
            write_series(batch, &path, series, &mut study.row, resplit)?;
        }
        for (uid, study) in self.studies {
            write_study(batch, &uid, study, resplit)?;
        }
        Ok(())
    }

    fn study(&mut self, batch: &mut Batch, uid: &StudyUid) -> Result<&mut Study, CatalogError> {
        let empty = match self.studies.entry(uid.clone()) {
            Entry::Occupied(study) => return Ok(study.into_mut()),
            Entry::Vacant(empty) => empty,
        };
        let key = uid.as_str().as_bytes();
        if let Some(row) = batch.tables.studies.get(key)? {
            let row = decode("studies", key, row.value())?;
            return Ok(empty.insert(Study { row, stored: true, stale: false }));
        }
        batch.state.studies += 1;
        let row = StudyRow {
            id: batch.state.studies,
            uid: uid.clone(),
            attributes: DataSet::new(),
            newest: Stamp::default(),
            first: Stamp::default(),
            series: 0,
            instances: 0,
            bytes: 0,
            modalities: BTreeMap::new(),
            sop_classes: BTreeMap::new(),
            seq: 0,
        };
        Ok(empty.insert(Study { row, stored: false, stale: false }))
    }

    fn series(
        &mut self,
        batch: &mut Batch,
        path: &SeriesPath,
        instance: &InstanceUid,
    ) -> Result<&mut Series, CatalogError> {
        let empty = match self.series.entry(path.clone()) {
            Entry::Occupied(series) => return Ok(series.into_mut()),
            Entry::Vacant(empty) => empty,
        };
        let key = keys::series_key(path);
        if let Some(row) = batch.tables.series.get(key.as_slice())? {
            let row: SeriesRow = decode("series", &key, row.value())?;
            let counted = Some(rows::modality(&row.attributes).to_owned());
            return Ok(empty.insert(Series { row, counted, stale: false }));
        }
        batch.state.series += 1;
        let row = SeriesRow {
            id: batch.state.series,
            path: path.clone(),
            attributes: DataSet::new(),
            newest: Stamp::default(),
            first: Stamp::default(),
            instances: 0,
            bytes: 0,
            sop_classes: BTreeMap::new(),
            seq: 0,
            newest_instance: instance.clone(),
        };
        batch.tables.series_ids.insert(row.id, key.as_slice())?;
        Ok(empty.insert(Series { row, counted: None, stale: false }))
    }
}

fn write_series(
    batch: &mut Batch,
    path: &SeriesPath,
    series: Series,
    study: &mut StudyRow,
    resplit: &Resplit,
) -> Result<(), CatalogError> {
    let Series { mut row, counted, stale } = series;
    if let Some(modality) = &counted {
        study.series = study.series.saturating_sub(1);
        uncount(&mut study.modalities, modality);
    }
    let key = keys::series_key(path);
    if row.instances == 0 {
        batch.tables.series.remove(key.as_slice())?;
        dictionaries::remove(&mut batch.tables, row.id)?;
        batch.encoder.forget(row.id);
        return Ok(());
    }
    if stale {
        refresh_series(batch, &mut row, resplit)?;
    }
    study.series += 1;
    let modality = rows::modality(&row.attributes);
    match study.modalities.get_mut(modality) {
        Some(series) => *series += 1,
        None => _ = study.modalities.insert(modality.to_owned(), 1),
    }
    batch.tables.series.insert(key.as_slice(), encode("series", &row)?.as_slice())?;
    Ok(())
}

fn write_study(
    batch: &mut Batch,
    uid: &StudyUid,
    study: Study,
    resplit: &Resplit,
) -> Result<(), CatalogError> {
    let Study { mut row, stored, stale } = study;
    let key = uid.as_str().as_bytes();
    if row.instances == 0 {
        batch.tables.studies.remove(key)?;
        batch.tables.study_ids.remove(row.id)?;
        return Ok(());
    }
    if stale {
        refresh_study(batch, &mut row, resplit)?;
    }
    batch.tables.studies.insert(key, encode("studies", &row)?.as_slice())?;
    if !stored {
        batch.tables.study_ids.insert(row.id, key)?;
    }
    Ok(())
}

/// Finds the newest and the oldest instance anew.
fn refresh_series(batch: &Batch, row: &mut SeriesRow, resplit: &Resplit) -> Result<(), CatalogError> {
    let range = keys::of_series(row.id);
    let mut newest = None;
    let mut first = None;
    for instance in batch.tables.instances.range(range.start.as_slice()..range.end.as_slice())? {
        let (key, value) = instance?;
        let stamp = Head::read(key.value(), value.value())?.0.stamp;
        first = Some(first.map_or(stamp, |first| stamp.min(first)));
        if newest.as_ref().is_none_or(|(newest, _)| stamp > *newest) {
            newest = Some((stamp, read_uid(key.value())?));
        }
    }
    row.first = first.unwrap_or(row.first);
    let Some((newest, instance)) = newest else {
        return Err(CatalogError::Missing { table: "instances", key: row.path.to_string() });
    };
    if newest != row.newest {
        row.newest = newest;
        row.newest_instance = instance;
        if let Some((_, series)) = split_again(batch, row, resplit)? {
            row.attributes = series;
        }
    }
    Ok(())
}

/// Asks the series, which have been written, for the newest of the study.
fn refresh_study(batch: &Batch, row: &mut StudyRow, resplit: &Resplit) -> Result<(), CatalogError> {
    let series = stored_series(batch, &row.uid)?;
    row.first = series.iter().map(|series| series.first).min().unwrap_or(row.first);
    let Some(newest) = series.iter().max_by_key(|series| series.newest) else {
        return Err(CatalogError::Missing { table: "series", key: row.uid.to_string() });
    };
    if newest.newest != row.newest {
        row.newest = newest.newest;
        if let Some((study, _)) = split_again(batch, newest, resplit)? {
            row.attributes = study;
        }
    }
    Ok(())
}

fn stored_series(batch: &Batch, study: &StudyUid) -> Result<Vec<SeriesRow>, CatalogError> {
    let range = keys::below(study.as_str().as_bytes());
    let rows = batch.tables.series.range(range.start.as_slice()..range.end.as_slice())?;
    rows.map(|row| {
        let (key, row) = row?;
        decode("series", key.value(), row.value())
    })
    .collect()
}

/// The attributes of the newest instance of a series, from its metadata.
fn split_again(
    batch: &Batch,
    series: &SeriesRow,
    resplit: &Resplit,
) -> Result<Option<(DataSet, DataSet)>, CatalogError> {
    let missing = |table| CatalogError::Missing { table, key: series.path.to_string() };
    let failed = |why| CatalogError::Metadata { key: series.path.to_string(), verb: "decompressed", why };
    let key = keys::instance_key(series.id, &series.newest_instance);
    let row = batch.tables.instances.get(key.as_slice())?.ok_or_else(|| missing("instances"))?;
    let (head, rest) = Head::read(&key, row.value())?;
    let dictionary =
        dictionaries::get(&batch.tables, series.id)?.ok_or_else(|| missing("dictionary_pieces"))?;
    let mut decoder = Decoder::new(&dictionary).map_err(failed)?;
    let mut json = Vec::new();
    match head.metadata(rest) {
        Some(metadata) => decoder.decompress(metadata, &mut json).map_err(failed)?,
        None => {
            let metadata = batch.tables.parts.get((head.seq, part::METADATA, 0))?;
            let metadata = metadata.ok_or_else(|| missing("parts"))?;
            decoder.decompress(metadata.value(), &mut json).map_err(failed)?;
        }
    }
    let split = resplit(&json);
    if split.is_none() {
        tracing::warn!(series = %series.path, "the stored metadata of the newest instance does not split: the attributes stay those of the one before");
    }
    Ok(split)
}

/// Nearly always the instances of a series agree: to compare costs less than to
/// copy.
fn assign(attributes: &mut DataSet, new: &DataSet) {
    if attributes != new {
        attributes.clone_from(new);
    }
}

fn uncount(modalities: &mut BTreeMap<String, u32>, modality: &str) {
    if let Some(series) = modalities.get_mut(modality) {
        *series = series.saturating_sub(1);
        if *series == 0 {
            modalities.remove(modality);
        }
    }
}
