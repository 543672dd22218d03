//! Backup: a copy of the packs and of what else is not derived, beside the
//! process that writes them.
//!
//! Consistency: all of a backup is one [`Moment`], which the archive itself
//! states. Up to where it says a pack is durable, no byte of it changes ever
//! again, so the copying needs no lock and nobody waits for it; what is stored
//! meanwhile belongs to the next backup. The manifest comes last.
//!
//! Invariant: what was acknowledged before the moment is in the backup.

mod restore;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

pub use restore::{Restored, Until};

use super::{Archive, ArchiveError, Layout, Options, recover::END_MARK_BYTES};
use crate::{
    auth::Permit,
    storage::{
        Digest, PackId, Stamp,
        backups::{
            self, BackupError, Backups, FORMAT, FeedPiece, Manifest, PACK_PIECE_BYTES, PackCopy, TenantCopy,
            Totals, Written,
        },
        packs::{PackError, Reader, Standing},
    },
};

/// How long the numbers of the last changes are waited for. They count only
/// once a crash cannot take them back.
const DURABLE_WAIT: Duration = Duration::from_secs(5);
const DURABLE_STEP: Duration = Duration::from_millis(20);
/// Changes of the feed in one object.
const FEED_PIECE: usize = 200_000;

/// The state of the archive that a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub taken: Stamp,
    /// The catalog that gives the sequence numbers.
    pub catalog: String,
    /// The last change whose number a crash cannot take back.
    pub seq: u64,
    pub totals: Totals,
    /// Nothing changed while this was looked at.
    pub quiet: bool,
    pub packs: Vec<PackEnd>,
    /// Packs that the catalog knows and that are not there.
    #[serde(default)]
    pub lost: Vec<PackId>,
}

/// How far a pack is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackEnd {
    pub pack: PackId,
    pub length: u64,
    pub sealed: bool,
}

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The name of the manifest.
    pub name: String,
    pub seq: u64,
    pub packs: u64,
    /// Bytes of the packs in all.
    pub pack_bytes: u64,
    /// Files and tombstones in them.
    pub entries: u64,
    pub files: u64,
    /// Objects that were not there yet, and their bytes.
    pub written: Written,
    /// Places of packs whose bytes are not what was written. They are copied as
    /// they are.
    pub damaged: u64,
    /// Packs that are not there any more. What an earlier backup has of them, this
    /// one has too.
    pub lost: u64,
}

impl Archive {
    /// Where the archive is now, for a backup. May take some seconds, until the
    /// numbers of the latest changes are durable.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn moment(&self, _permit: &Permit) -> Result<Moment, ArchiveError> {
        let core = &self.core;
        let taken = core.clock.stamp();
        let wanted = core.catalog.read()?.seq()?;
        let until = Instant::now() + DURABLE_WAIT;
        while core.catalog.durable_seq() < wanted && Instant::now() < until {
            std::thread::sleep(DURABLE_STEP);
        }
        let seq = core.catalog.durable_seq();
        // First the catalog, then the packs: what it knows is in them.
        let snapshot = core.catalog.read()?;
        let totals = snapshot.totals()?;
        let packs: Vec<PackEnd> = core
            .packs
            .list()
            .into_iter()
            .map(|info| PackEnd {
                pack: info.pack,
                length: info.length,
                sealed: info.standing == Standing::Sealed,
            })
            .collect();
        let mut quiet = snapshot.seq()? == core.catalog.read()?.seq()?;
        for end in &packs {
            let applied = snapshot.pack(end.pack)?.unwrap_or_default().applied;
            // A file may have filled its pack, and not be in the catalog yet.
            let end_mark = if end.sealed { END_MARK_BYTES } else { 0 };
            quiet &= applied.saturating_add(end_mark) == end.length;
        }
        let mut lost: Vec<PackId> =
            snapshot.packs()?.into_iter().filter(|(_, row)| row.applied > 0).map(|(pack, _)| pack).collect();
        lost.retain(|pack| packs.binary_search_by_key(pack, |end| end.pack).is_err());
        Ok(Moment {
            taken,
            catalog: self.catalog_name(),
            seq,
            totals: Totals {
                studies: totals.studies,
                series: totals.series,
                instances: totals.instances,
                file_bytes: totals.bytes,
                versions: totals.versions,
            },
            quiet,
            packs,
            lost,
        })
    }

    fn catalog_name(&self) -> String {
        format!("{:016x}", self.core.catalog.id())
    }

    /// The stamps of the changes after the one with the number `after`, as the
    /// catalog of a [`Moment`] numbers them.
    ///
    /// # Errors
    /// When the catalog cannot be read, or is not that one any more.
    pub fn stamps(
        &self,
        _permit: &Permit,
        catalog: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Stamp)>, ArchiveError> {
        if catalog != self.catalog_name() {
            let why = "the catalog was made anew since the backup was begun: begin it again";
            return Err(ArchiveError::Again(why.to_owned()));
        }
        let feed = self.core.catalog.read()?.feed(after, limit)?;
        Ok(feed.into_iter().map(|entry| (entry.seq, entry.stamp)).collect())
    }
}

/// What tells an archive apart, without giving its key away: its key, and where
/// it left off from another state of itself.
fn name_of(key: &[u8; 32], lineage: &[u8]) -> String {
    let key = blake3::derive_key("hilum 2026 backup: which archive", key);
    Digest(*blake3::keyed_hash(&key, lineage).as_bytes()).to_string()
}

/// Copies what `backups` lacks of the archive in `data`, which may be running.
/// `stamps` is [`Archive::stamps`] of that archive; `progress` is told the bytes
/// of packs that were looked at. `tenants` are the backups of the tenants of the
/// same server.
///
/// # Errors
/// When something cannot be read or written. Complete backups stay, and what
/// was copied of this one will not be copied again.
pub fn backup(
    _permit: &Permit,
    (data, options): (&Path, &Options),
    moment: &Moment,
    stamps: &mut dyn FnMut(u64, usize) -> Result<Vec<(u64, Stamp)>, ArchiveError>,
    (backups, tenants): (&Backups, Vec<TenantCopy>),
    progress: &mut dyn FnMut(u64),
) -> Result<BackupReport, ArchiveError> {
    let tier = options.tier.as_ref().map(|tier| tier.of_packs(data));
    let reader = Reader::open(&Layout::packs(data), tier.as_ref())?;
    reader.unlock(|| options.encryption.fetch().map_err(PackError::Keys))?;
    let archive = name_of(&reader.key(), &backups::folder::lineage(data)?);
    let before = backups.newest()?;
    if before.as_ref().is_some_and(|before| before.archive != archive) {
        return Err(BackupError::OtherArchive { place: backups.place().to_owned() }.into());
    }
    let known = |pack| before.as_ref().and_then(|before| before.packs.iter().find(|copy| copy.pack == pack));
    let mut written = Written::default();
    let feed = feed_of(moment, before.as_ref(), stamps, backups, &mut written)?;
    let mut copying = Copying { reader, backups, written, progress, seen: 0 };
    let (mut packs, mut lost) = (Vec::with_capacity(moment.packs.len()), moment.lost.clone());
    for end in &moment.packs {
        match copying.pack(*end, known(end.pack)) {
            // One without anything in it may have been swept away.
            Err(ArchiveError::Packs(PackError::Missing { .. })) if end.length == 0 => {}
            Err(ArchiveError::Packs(PackError::Missing { .. })) => lost.push(end.pack),
            copied => packs.push(copied?),
        }
    }
    // Of what the disk has lost, a copy of before may be the only one.
    packs.extend(lost.iter().filter_map(|pack| known(*pack)).cloned());
    packs.sort_by_key(|copy| copy.pack);
    let mut written = copying.written;
    // After the packs: what an account or a promise rests on is there before it.
    let mut files = Vec::new();
    backups::folder::each_file(data, &mut |listed| {
        files.push(backups.put_file(listed.path, listed.length, listed.file, &mut written)?);
        Ok(())
    })?;
    let manifest = Manifest {
        format: FORMAT,
        hilum: env!("CARGO_PKG_VERSION").to_owned(),
        archive,
        taken: moment.taken,
        catalog: moment.catalog.clone(),
        seq: feed.last().map_or(0, |piece| piece.last),
        totals: moment.totals,
        quiet: moment.quiet,
        damaged: packs.iter().map(|copy| copy.damaged).sum(),
        packs,
        files,
        feed,
        tenants,
    };
    let name = backups.complete(&manifest)?;
    Ok(BackupReport {
        name,
        seq: manifest.seq,
        packs: manifest.packs.len() as u64,
        pack_bytes: manifest.packs.iter().map(|copy| copy.length).sum(),
        entries: manifest.packs.iter().map(|copy| copy.entries).sum(),
        files: manifest.files.len() as u64,
        written,
        damaged: manifest.damaged,
        lost: lost.len() as u64,
    })
}

/// The feed up to the moment. It comes before the packs, which take long: until then
/// the server that numbers the changes may have been stopped.
fn feed_of(
    moment: &Moment,
    before: Option<&Manifest>,
    stamps: &mut dyn FnMut(u64, usize) -> Result<Vec<(u64, Stamp)>, ArchiveError>,
    backups: &Backups,
    written: &mut Written,
) -> Result<Vec<FeedPiece>, ArchiveError> {
    let before = before.filter(|before| before.catalog == moment.catalog);
    let mut feed = before.map(|before| before.feed.clone()).unwrap_or_default();
    let mut after = feed.last().map_or(0, |piece| piece.last);
    while after < moment.seq {
        let limit = usize::try_from(moment.seq - after).unwrap_or(FEED_PIECE).min(FEED_PIECE);
        let entries = stamps(after, limit)?;
        let Some(piece) = backups.put_feed(&moment.catalog, &entries, written)? else { break };
        after = piece.last;
        feed.push(piece);
    }
    Ok(feed)
}

struct Copying<'a> {
    reader: Reader,
    backups: &'a Backups,
    written: Written,
    progress: &'a mut dyn FnMut(u64),
    seen: u64,
}

impl Copying<'_> {
    fn pack(&mut self, end: PackEnd, known: Option<&PackCopy>) -> Result<PackCopy, ArchiveError> {
        let PackEnd { pack, length, sealed } = end;
        self.reader.has(pack)?;
        // What was damaged when it was copied may have been put right since.
        let whole = known.filter(|known| known.damaged == 0);
        let mut copy = match whole {
            Some(known) if known.sealed && sealed && known.length == length => {
                self.saw(length);
                return Ok(known.clone());
            }
            Some(known) if known.length <= length && self.still_begins(known)? => known.clone(),
            // A pack of which a disk has lost something, or a new one.
            Some(_) | None => {
                PackCopy { pack, length: 0, sealed: false, entries: 0, damaged: 0, pieces: Vec::new() }
            }
        };
        self.saw(copy.length);
        if copy.length < length {
            // Read twice, but the second time from memory.
            let checked = self.reader.check(pack, copy.length..length)?;
            copy.entries += checked.entries;
            copy.damaged += checked.damaged;
        }
        while copy.length < length {
            let to = length.min(copy.length.saturating_add(PACK_PIECE_BYTES));
            let bytes = self.reader.read(pack, copy.length..to)?;
            copy.pieces.push(self.backups.put_pack(pack, copy.length, bytes, &mut self.written)?);
            self.saw(to - copy.length);
            copy.length = to;
        }
        copy.sealed = sealed;
        Ok(copy)
    }

    /// Whether a pack that grows still begins with what was copied of it, by the
    /// last that was copied: its entries follow each other in time, so what lies
    /// before the same entry is the same.
    fn still_begins(&self, known: &PackCopy) -> Result<bool, ArchiveError> {
        let Some(last) = known.pieces.last() else { return Ok(true) };
        let bytes = self.reader.read(known.pack, last.from..last.to)?;
        Ok(Backups::is_of(last, &bytes))
    }

    fn saw(&mut self, bytes: u64) {
        self.seen += bytes;
        (self.progress)(self.seen);
    }
}

impl From<BackupError> for ArchiveError {
    fn from(error: BackupError) -> Self {
        Self::Backups(Arc::new(error))
    }
}
