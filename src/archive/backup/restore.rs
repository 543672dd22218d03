//! Restore: an archive from a backup, in an empty folder.
//!
//! A point in time is a cut of every pack: all its entries carry the stamp of
//! when they were stored or deleted, in rising order. By time that is exact. By
//! sequence number the feed says which stamps are meant, also where an upload
//! got its stamp early and its number late; only where such a one lies in its
//! pack *before* one that is wanted, it stays, and is reported.
//!
//! Invariant: the folder is no archive until all is in it, durable and replayed.

use std::{collections::BTreeSet, path::Path};

use super::{Archive, ArchiveError, Layout, name_of};
use crate::{
    archive::{Options, Recovered, Stats, stats},
    auth::Permit,
    storage::{
        Stamp,
        backups::{Backups, Manifest, folder},
        packs::{PackError, Packs, Writer},
    },
};

/// Up to where an archive is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All that is in the backup.
    End,
    /// The change with this number, and those before it.
    Seq(u64),
    /// All that was stored and deleted up to this time.
    Time(Stamp),
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub recovered: Recovered,
    pub stats: Stats,
    /// Files and tombstones that were left out, as they came later.
    pub left_out: u64,
    /// Files and tombstones that came later and could not be left out.
    pub in_between: u64,
    pub files: u64,
    /// Whether there is as much as there was when the backup was taken; `None`
    /// when something changed just then, or not all was wanted.
    pub as_it_was: Option<bool>,
}

/// Which entries are wanted: those up to a stamp, but for some.
struct Wanted {
    until: Stamp,
    but: BTreeSet<Stamp>,
}

impl Wanted {
    fn has(&self, stamp: Stamp) -> bool {
        stamp <= self.until && !self.but.contains(&stamp)
    }
}

impl Archive {
    /// Restores a backup into an empty folder. `newest`: that it is the last one
    /// of its place, so that later backups of what is restored may go there too.
    ///
    /// # Errors
    /// When the folder is not empty, something of the backup is missing or
    /// damaged, or the disk fails. What was written then is no archive, and
    /// another restore into the same folder begins anew.
    pub fn restore(
        _permit: &Permit,
        data: &Path,
        options: &Options,
        backups: &Backups,
        (manifest, newest): (&Manifest, bool),
        until: Until,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Restored, ArchiveError> {
        let wanted = wanted(backups, manifest, until)?;
        folder::restoring(data)?;
        for copy in &manifest.files {
            folder::write(data, &copy.path, backups.file(copy))?;
        }
        let (left_out, in_between) =
            write_packs((data, options), backups, manifest, wanted.as_ref(), progress)?;
        let packs = Packs::open(&Layout::packs(data), options.packs)?;
        if name_of(&packs.key(), &folder::lineage(data)?) != manifest.archive {
            return Err(ArchiveError::Damaged("the backup's FORMAT file is of another archive".to_owned()));
        }
        // What was not encrypted is not encrypted by its restore.
        let master =
            if packs.has_ring()? { options.encryption.fetch().map_err(PackError::Keys)? } else { None };
        packs.unlock(master.as_ref())?;
        if !newest || wanted.is_some() {
            // It goes on from another state than the last that is backed up, so
            // its packs will differ.
            folder::part_ways(data, packs.key())?;
        }
        let (archive, recovered) = Self::open_on(packs, data, options)?;
        let stats = stats::stats(&archive.core)?;
        drop(archive);
        folder::restored(data)?;
        let entries: u64 = manifest.packs.iter().map(|copy| copy.entries).sum();
        let totals = &manifest.totals;
        let as_it_was = (wanted.is_none() && manifest.quiet).then(|| {
            (stats.studies, stats.series, stats.instances, stats.file_bytes, stats.versions)
                == (totals.studies, totals.series, totals.instances, totals.file_bytes, totals.versions)
        });
        let whole =
            recovered.entries == entries.saturating_sub(left_out) && recovered.damaged <= manifest.damaged;
        Ok(Restored {
            recovered,
            stats,
            left_out,
            in_between,
            files: manifest.files.len() as u64,
            as_it_was: if whole { as_it_was } else { Some(false) },
        })
    }

    /// Reads all that a backup consists of, and holds it against its digests.
    ///
    /// # Errors
    /// With the first object that is missing or damaged.
    pub fn check_backup(
        _permit: &Permit,
        backups: &Backups,
        manifest: &Manifest,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ArchiveError> {
        let mut done = 0;
        for copy in &manifest.files {
            backups.file(copy).try_for_each(|piece| piece.map(drop))?;
        }
        for piece in &manifest.feed {
            backups.feed(&manifest.catalog, piece)?;
        }
        for copy in &manifest.packs {
            for piece in &copy.pieces {
                done += backups.pack(copy.pack, piece)?.len() as u64;
                progress(done);
            }
        }
        Ok(())
    }
}

fn write_packs(
    (data, options): (&Path, &Options),
    backups: &Backups,
    manifest: &Manifest,
    wanted: Option<&Wanted>,
    progress: &mut dyn FnMut(u64),
) -> Result<(u64, u64), ArchiveError> {
    let writer = Writer::begin(&Layout::packs(data), || options.encryption.fetch().map_err(PackError::Keys))?;
    let (mut left_out, mut in_between, mut done) = (0, 0, 0);
    for copy in &manifest.packs {
        let mut pack = writer.pack(copy.pack)?;
        for piece in &copy.pieces {
            pack.write(&backups.pack(copy.pack, piece)?)?;
            done += piece.to - piece.from;
            progress(done);
        }
        let mut sealed = copy.sealed;
        if let Some(wanted) = wanted {
            let cut = pack.cut(&writer, &|stamp| wanted.has(stamp))?;
            left_out += cut.entries;
            in_between += cut.in_between;
            sealed &= cut.end.is_none();
        }
        pack.finish(sealed)?;
    }
    Ok((left_out, in_between))
}

/// The stamps that are wanted; `None` for all.
fn wanted(backups: &Backups, manifest: &Manifest, until: Until) -> Result<Option<Wanted>, ArchiveError> {
    let seq = match until {
        Until::End => return Ok(None),
        Until::Time(until) => return Ok(Some(Wanted { until, but: BTreeSet::new() })),
        Until::Seq(seq) => seq,
    };
    if seq > manifest.seq {
        return Err(ArchiveError::NotFound("sequence number in this backup"));
    }
    let mut until = Stamp::default();
    for piece in manifest.feed.iter().filter(|piece| piece.first <= seq) {
        let entries = backups.feed(&manifest.catalog, piece)?;
        let last = entries.iter().filter(|(number, _)| *number <= seq).map(|(_, stamp)| *stamp).max();
        until = until.max(last.unwrap_or_default());
    }
    let mut but = BTreeSet::new();
    for piece in manifest.feed.iter().filter(|piece| piece.last > seq) {
        let entries = backups.feed(&manifest.catalog, piece)?;
        let later = entries.into_iter().filter(|&(number, stamp)| number > seq && stamp <= until);
        but.extend(later.map(|(_, stamp)| stamp));
    }
    Ok(Some(Wanted { until, but }))
}
