//! Recovery: the catalog catches up with the packs, the index with the catalog.
//!
//! A start after a crash, a rebuild of a lost catalog and the first start are
//! one and the same: every pack is replayed from where the catalog says it is
//! applied, which may be the beginning. Replay is idempotent and its order does
//! not matter, for stamps decide.

use std::{ops::ControlFlow, sync::Arc};

use super::{ArchiveError, Core, store::new_instance};
use crate::{
    dicom::part10::{self, ReadError},
    storage::{
        Chunks, Digest, PackId, Place, Role, Stamp,
        catalog::{Catalog, Change, Durability, Rule, Target},
        packs::{Damage, PackError, PackInfo, Packs, Replayed, Standing, Why},
    },
};

/// Changes in one transaction of a replay.
const BATCH: usize = 512;
/// Changes among which the latest stamp is.
const FEED_TAIL: u64 = 1024;
/// Within so many microseconds the entries of one batch have their stamps.
const MOMENT: u64 = 1_000_000;
/// The end mark of a sealed pack.
pub(super) const END_MARK_BYTES: u64 = 1024;

/// What a replay found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Files and tombstones that were replayed.
    pub entries: u64,
    /// Places in packs whose bytes are not what was written.
    pub damaged: u64,
    /// Files whose bytes are right and that are not understood.
    pub not_understood: u64,
}

/// Cuts off what a crash left of a batch that was being written. Its first record
/// is written last, so others of it may be whole behind bytes that are not: left
/// there, those would be a gap for ever, at which tar ends and of which `verify`
/// complains.
///
/// Only behind what the catalog knows, and only if all that is whole behind the gap
/// is of one moment, as a batch is: else it is damage amid what was acknowledged,
/// which stays, and the replay passes over it. So a catalog that was lost says
/// nothing here, and one that was put back from a copy cuts nothing off.
///
/// # Errors
/// When the catalog fails.
pub(super) fn cut_torn(packs: &Packs, catalog: &Catalog) -> Result<(), ArchiveError> {
    for info in packs.list().into_iter().filter(|info| info.standing == Standing::Unrecovered) {
        let applied = catalog.read()?.pack(info.pack)?.unwrap_or_default().applied;
        let (mut whole_until, mut is_torn, mut behind) = (applied, false, Vec::new());
        let walked = packs.replay(info.pack, applied, &mut |found| {
            match found {
                Replayed::Damaged(damage) if damage.why == Why::Unreadable => {
                    is_torn = false;
                    return ControlFlow::Break(());
                }
                Replayed::Damaged(_) => is_torn = true,
                Replayed::File { stamp, .. } | Replayed::Tombstone { stamp, .. } if is_torn => {
                    behind.push(stamp);
                }
                Replayed::File { place, .. } | Replayed::Tombstone { place, .. } => {
                    whole_until = packs.entry_end(&place);
                }
            }
            ControlFlow::Continue(())
        });
        let (first, last) = (behind.iter().min(), behind.iter().max());
        let of_one_moment = first.zip(last).is_some_and(|(first, last)| last.0 - first.0 <= MOMENT);
        // What cannot be read is told by the replay that follows.
        if walked.is_ok() && is_torn && of_one_moment {
            tracing::warn!(pack = %info.pack, offset = whole_until, "a batch that was cut off is taken away");
            packs.resume(info.pack, whole_until)?;
        }
    }
    Ok(())
}

/// Replays what the catalog lacks of every pack, and opens the packs for writing.
///
/// # Errors
/// When the catalog fails. A pack that cannot be read is counted as damaged,
/// for the others are whole.
pub(super) fn replay_packs(core: &Core) -> Result<Recovered, ArchiveError> {
    let mut recovered = Recovered::default();
    for info in core.packs.list() {
        let applied = core.catalog.read()?.pack(info.pack)?.unwrap_or_default().applied;
        match replay_pack(core, &info, applied, &mut recovered) {
            Ok(()) => {}
            // Without its key nothing is wrong with a pack: it is left as it is.
            Err(Failed::Catalog(error) | Failed::Pack(error @ ArchiveError::Packs(PackError::Keys(_)))) => {
                return Err(error);
            }
            // Nor while it cannot be had. What it holds would not be there.
            Err(Failed::Pack(error @ ArchiveError::Away(_))) => return Err(error),
            Err(Failed::Pack(error)) => {
                // This one's instances fail when they are read.
                tracing::error!(pack = %info.pack, %error, "a pack cannot be recovered; verify the archive");
                recovered.damaged += 1;
            }
        }
    }
    Ok(recovered)
}

fn replay_pack(core: &Core, info: &PackInfo, applied: u64, recovered: &mut Recovered) -> Result<(), Failed> {
    let sealed = matches!(info.standing, Standing::Sealed);
    if sealed && info.length.saturating_sub(applied) <= END_MARK_BYTES {
        return Ok(());
    }
    let mut replay =
        Replay { core, pack: info.pack, changes: Vec::new(), until: applied, recovered, failed: None };
    let walked = core.packs.replay(info.pack, applied, &mut |found| replay.take(found));
    if let Some(failed) = replay.failed.take() {
        return Err(failed);
    }
    let end = walked.map_err(|error| Failed::Pack(error.into()))?;
    replay.until = end.valid_until;
    replay.flush()?;
    for damage in &end.tail {
        report(info.pack, damage);
    }
    if info.standing == Standing::Unrecovered {
        core.packs.resume(info.pack, end.valid_until).map_err(|error| Failed::Pack(error.into()))?;
    }
    Ok(())
}

struct Replay<'a> {
    core: &'a Core,
    pack: PackId,
    changes: Vec<Change>,
    until: u64,
    recovered: &'a mut Recovered,
    failed: Option<Failed>,
}

/// Why a pack was not replayed to its end.
enum Failed {
    /// Nothing can be replayed.
    Catalog(ArchiveError),
    /// This one cannot.
    Pack(ArchiveError),
}

impl Replay<'_> {
    fn take(&mut self, found: Replayed) -> ControlFlow<()> {
        let taken = match found {
            Replayed::File { path: _, stamp, role, digest, chunks, place } => {
                self.file(stamp, role, digest, chunks, place)
            }
            Replayed::Tombstone { path, stamp, place } => {
                self.core.clock.observe(stamp);
                self.until = self.core.packs.entry_end(&place);
                self.changes.push(Change::Delete {
                    target: Target::Instance(path),
                    stamp,
                    by: String::new(),
                });
                Ok(())
            }
            Replayed::Damaged(damage) => {
                report(self.pack, &damage);
                self.recovered.damaged += 1;
                return ControlFlow::Continue(());
            }
        };
        self.recovered.entries += 1;
        match taken.and_then(|()| if self.changes.len() >= BATCH { self.flush() } else { Ok(()) }) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn file(
        &mut self,
        stamp: Stamp,
        role: Role,
        digest: Digest,
        chunks: Chunks,
        place: Place,
    ) -> Result<(), Failed> {
        self.core.clock.observe(stamp);
        self.until = self.core.packs.entry_end(&place);
        let source = self.core.packs.source(&place).map_err(|error| Failed::Pack(error.into()))?;
        match part10::read(&source, &self.core.limits) {
            Ok(read) => {
                let mut instance = new_instance(read, digest, chunks, "");
                instance.stamp = stamp;
                instance.role = role;
                instance.place = place;
                self.changes.push(Change::Store { instance: Box::new(instance), rule: Rule::Replay });
            }
            Err(ReadError::Io(error)) if error.kind() == std::io::ErrorKind::HostUnreachable => {
                return Err(Failed::Pack(ReadError::Io(error).into()));
            }
            Err(error) => {
                tracing::error!(pack = %self.pack, offset = place.offset, %error, "a stored file is not understood");
                self.recovered.not_understood += 1;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failed> {
        self.changes.push(Change::PackApplied { pack: self.pack, until: self.until });
        self.core.apply(&self.changes, Durability::Fast).map_err(Failed::Catalog)?;
        self.changes.clear();
        Ok(())
    }
}

fn report(pack: PackId, damage: &Damage) {
    let instance = damage.instance.as_ref().map(|(path, _)| path.to_string()).unwrap_or_default();
    tracing::warn!(
        %pack, offset = damage.offset, length = damage.length, why = %damage.why, instance,
        "bytes in a pack are not a whole entry"
    );
}

/// Catalog and index at the end of what the packs hold.
pub(super) fn recover(
    core: &Arc<Core>,
    catalog_is_new: bool,
    index_is_new: bool,
) -> Result<Recovered, ArchiveError> {
    observe_last_stamp(core)?;
    if let Some((highest, _)) = core.catalog.read()?.packs()?.last() {
        core.packs.number_after(*highest);
    }
    if !catalog_is_new {
        cut_torn(&core.packs, &core.catalog)?;
    }
    let recovered = replay_packs(core)?;
    if recovered != Recovered::default() {
        tracing::info!(
            entries = recovered.entries,
            damaged = recovered.damaged,
            not_understood = recovered.not_understood,
            "the catalog caught up with the packs"
        );
    }
    core.catalog.checkpoint()?;
    if index_is_new {
        let studies = super::indexer::rebuild(core)?;
        tracing::info!(studies, "the index was made anew from the catalog");
    } else {
        super::indexer::follow(core, &mut super::indexer::Known::default())?;
    }
    Ok(recovered)
}

fn observe_last_stamp(core: &Core) -> Result<(), ArchiveError> {
    let snapshot = core.catalog.read()?;
    if let Some(stamp) = snapshot.newest_stamp()? {
        core.clock.observe(stamp);
    }
    let seq = snapshot.seq()?;
    // A catalog of format 1 does not know it. Streamed files get their stamps before they queue for the committer, so
    // the last change need not have the latest stamp.
    for entry in snapshot.feed(seq.saturating_sub(FEED_TAIL), usize::MAX)? {
        core.clock.observe(entry.stamp);
    }
    Ok(())
}
