//! The attributes of instances as search matches them and as the index takes
//! them in: one function for both, so that the index never lacks what the
//! predicate would find.

use std::ops::ControlFlow;

use super::ArchiveError;
use crate::{
    dicom::{DataSet, InstanceUid, SeriesPath, Tag, VR, json},
    storage::catalog::{InstanceRow, Snapshot, Wanted},
};

const AVAILABLE_TRANSFER_SYNTAX: Tag = Tag(0x0008, 0x3002);
const AVAILABILITY: Tag = Tag(0x0008, 0x0056);

/// Instances of a series read at once.
const PAGE: usize = 512;

/// What of the attributes of instances is read.
#[derive(Clone, Copy)]
pub(super) enum Attributes<'w> {
    All,
    /// Of those in the summaries.
    Chosen(&'w Wanted<'w>),
}

/// Gives the instances of a series in ascending order of their UIDs, with what is to
/// be read of their attributes, until `take` breaks.
///
/// # Errors
/// When the catalog cannot be read, and what `take` says.
pub(super) fn each_instance(
    snapshot: &Snapshot,
    series: &SeriesPath,
    attributes: Attributes<'_>,
    take: &mut dyn FnMut(InstanceRow, DataSet) -> Result<ControlFlow<()>, ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut after: Option<InstanceUid> = None;
    loop {
        let rows = snapshot.instances(series, after.as_ref(), PAGE)?;
        let Some(last) = rows.last().map(|row| row.path.instance.clone()) else { return Ok(()) };
        let are_last = rows.len() < PAGE;
        let mut whole = match attributes {
            Attributes::All => read_whole(snapshot, series, after.as_ref(), rows.len())?.into_iter(),
            Attributes::Chosen(_) => Vec::new().into_iter(),
        };
        for row in rows {
            let set = match attributes {
                Attributes::Chosen(wanted) => chosen(&row, wanted)?,
                Attributes::All => with_computed(whole.next().unwrap_or_default(), &row),
            };
            if take(row, set)?.is_break() {
                return Ok(());
            }
        }
        if are_last {
            return Ok(());
        }
        after = Some(last);
    }
}

/// Those instances of a series that are named, with their attributes, in the order
/// in which they are named; what is not there is left out.
///
/// # Errors
/// When the catalog cannot be read.
pub(super) fn named_instances<'u>(
    snapshot: &Snapshot,
    series: &SeriesPath,
    uids: impl Iterator<Item = &'u InstanceUid>,
    whole: bool,
) -> Result<Vec<(InstanceRow, DataSet)>, ArchiveError> {
    let rows = snapshot.instances_named(series, uids)?;
    if !whole {
        return rows.into_iter().map(|row| summary_of(&row).map(|set| (row, set))).collect();
    }
    let mut sets = Vec::with_capacity(rows.len());
    let uids = rows.iter().map(|row| &row.path.instance);
    snapshot.metadata_named(series, uids, &mut |metadata| sets.push(parse(metadata)))?;
    let with_set = |(row, set): (InstanceRow, Result<DataSet, ArchiveError>)| {
        let set = with_computed(set?, &row);
        Ok((row, set))
    };
    rows.into_iter().zip(sets).map(with_set).collect()
}

/// All attributes of one instance.
///
/// # Errors
/// When the catalog cannot be read.
pub(super) fn whole_instance(snapshot: &Snapshot, row: &InstanceRow) -> Result<DataSet, ArchiveError> {
    let metadata = snapshot.metadata_of(&row.path)?.unwrap_or_default();
    Ok(with_computed(parse(&metadata)?, row))
}

/// The attributes of the summary of one instance.
///
/// # Errors
/// When the row cannot be read.
pub(super) fn summary_of(row: &InstanceRow) -> Result<DataSet, ArchiveError> {
    Ok(with_computed(row.summary()?, row))
}

fn read_whole(
    snapshot: &Snapshot,
    series: &SeriesPath,
    after: Option<&InstanceUid>,
    count: usize,
) -> Result<Vec<DataSet>, ArchiveError> {
    let mut sets = Vec::with_capacity(count);
    let mut failed = None;
    snapshot.metadata(series, after, &mut |_, metadata| {
        match parse(metadata) {
            Ok(set) => sets.push(set),
            Err(error) => failed = Some(error),
        }
        if sets.len() < count && failed.is_none() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(sets), Err)
}

fn parse(metadata: &[u8]) -> Result<DataSet, ArchiveError> {
    json::read(metadata, json::Limits::OWN).map_err(|error| ArchiveError::Damaged(error.to_string()))
}

/// With the attributes put in that the archive states itself.
fn with_computed(mut set: DataSet, row: &InstanceRow) -> DataSet {
    for (tag, vr, value) in computed(row) {
        set.put_text(tag, vr, value);
    }
    set
}

/// What is wanted of the summary of an instance and of what the archive states.
fn chosen(row: &InstanceRow, wanted: &Wanted<'_>) -> Result<DataSet, ArchiveError> {
    let mut set = row.summary_of(wanted)?;
    for (tag, vr, value) in computed(row).into_iter().filter(|(tag, vr, _)| wanted(*tag, *vr)) {
        set.put_text(tag, vr, value);
    }
    Ok(set)
}

fn computed(row: &InstanceRow) -> [(Tag, VR, &str); 2] {
    [(AVAILABLE_TRANSFER_SYNTAX, VR::UI, &row.transfer_syntax), (AVAILABILITY, VR::CS, "ONLINE")]
}
