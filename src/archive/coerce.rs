//! Coercion while an instance is stored: the rules of the configuration look at
//! a file that has arrived, and if they change it, the changed file takes its
//! place on the way into the archive. Bulk data keep their bytes; a large file
//! is copied through a spool and needs no memory for it.

use std::{io::Read, net::IpAddr, sync::Arc};

use bytes::Bytes;

use super::{Archive, ArchiveError, Core, incoming::join};
use crate::{
    config::Network,
    dicom::{
        DataSet,
        coerce::{self, Rule},
        json,
        part10::{self, Instance},
        plan::Plan,
        source::Source,
        transcode,
    },
    storage::{packs::Upload, uploads::Spool},
};

/// Bytes copied at once.
const COPY_BYTES: usize = 1024 * 1024;

/// Rules, and from where they are for.
#[derive(Debug, Clone)]
pub struct CoercionRule {
    /// Empty: from anywhere.
    pub peers: Vec<Network>,
    pub rule: Rule,
}

/// A file that rules have changed.
pub(super) struct Coerced<T> {
    pub(super) file: T,
    /// The item of its Original Attributes Sequence.
    pub(super) original: DataSet,
}

impl Archive {
    /// The rules for what comes from an address.
    pub(super) fn has_coercion(&self) -> bool {
        !self.core.coercion.is_empty()
    }
}

/// What the rules make of a file in memory: nothing, or another file.
pub(super) fn in_memory(
    core: &Core,
    peer: Option<IpAddr>,
    chunks: Vec<Bytes>,
) -> Result<(Bytes, Option<Coerced<Bytes>>), ArchiveError> {
    let bytes = join(chunks);
    let source: &[u8] = &bytes;
    let Some((plan, original)) = plan(core, peer, &source)? else { return Ok((bytes, None)) };
    let mut file = Vec::with_capacity(usize::try_from(plan.length).unwrap_or(0));
    plan.reader(&source).read_to_end(&mut file).map_err(ArchiveError::Io)?;
    Ok((bytes, Some(Coerced { file: file.into(), original })))
}

/// What the rules make of a file in a pack: nothing, or a copy.
pub(super) fn streamed(
    core: &Core,
    peer: Option<IpAddr>,
    upload: &Upload,
) -> Result<Option<Coerced<Spool>>, ArchiveError> {
    let source = upload.source()?;
    let Some((plan, original)) = plan(core, peer, &source)? else { return Ok(None) };
    let mut spool = core.uploads.spool()?;
    let mut reader = plan.reader(&source);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = reader.read(&mut buffer).map_err(ArchiveError::Io)?;
        if count == 0 {
            return Ok(Some(Coerced { file: spool, original }));
        }
        spool.write(&buffer[..count])?;
    }
}

/// The next bytes of a spool.
pub(super) fn next_of(spool: &Spool, at: u64) -> Result<Bytes, ArchiveError> {
    let left = usize::try_from(spool.len() - at).unwrap_or(usize::MAX);
    let mut bytes = vec![0; left.min(COPY_BYTES)];
    spool.read_exact_at(&mut bytes, at).map_err(ArchiveError::Io)?;
    Ok(bytes.into())
}

/// The changed file, if the rules change it. What cannot be read is none of
/// theirs.
fn plan(
    core: &Core,
    peer: Option<IpAddr>,
    source: &dyn Source,
) -> Result<Option<(Plan, DataSet)>, ArchiveError> {
    let Ok(instance) = part10::read(source, &core.limits) else { return Ok(None) };
    let is_from = |rule: &&CoercionRule| {
        rule.peers.is_empty()
            || peer.is_some_and(|peer| rule.peers.iter().any(|network| network.contains(peer)))
    };
    let rules = core.coercion.iter().filter(is_from).map(|rule| &rule.rule);
    let Some(changes) = coerce::changes(rules, &instance.dataset) else { return Ok(None) };
    let source_name = peer.map(|peer| peer.to_string()).unwrap_or_default();
    let original = coerce::original_attributes(&changes, &moment(core, &instance)?, &source_name);
    match transcode::edited(source, &core.limits, &changes.new, &original) {
        Ok(plan) => Ok(Some((plan, original))),
        Err(error) => {
            // Better as it came than not at all.
            tracing::warn!(instance = %instance.path, %error, "an instance could not be coerced");
            Ok(None)
        }
    }
}

/// When the change was made: now, or when the same instance was coerced before,
/// so that the same file sent again comes to the same bytes.
fn moment(core: &Core, instance: &Instance) -> Result<String, ArchiveError> {
    if let Some(metadata) = core.catalog.read()?.metadata_of(&instance.path)?
        && let Ok(set) = json::read(&metadata, json::Limits::OWN)
        && let Some(moment) = coerce::last_moment(&set)
    {
        return Ok(moment.to_owned());
    }
    let now = time::OffsetDateTime::now_utc();
    Ok(format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}.{:06}+0000",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        now.microsecond()
    ))
}

/// The rules as every transaction shares them.
pub(super) type Rules = Arc<[CoercionRule]>;
