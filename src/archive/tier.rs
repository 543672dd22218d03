//! Tiering: closed packs move to a bucket, by their age or when the disk has too
//! many of them, and what of the archive is at hand is said in searches.
//! Combines packs and catalog; how a pack moves is [`crate::storage::packs`]'
//! business.
//!
//! Invariant: a failure here costs nobody anything: the pack stays on the disk,
//! and the next round tries again.

use std::{
    num::NonZeroUsize,
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use lru::LruCache;

use super::{ArchiveError, Core, Layout, sight::Sight};
use crate::{
    dicom::{InstancePath, InstanceUid, SeriesPath, StudyUid},
    storage::{
        PackId,
        catalog::SeriesRow,
        objects::Bucket,
        packs::{Closed, Moved, TierOptions},
    },
};

/// Series whose place is remembered.
const SERIES_MAX: NonZeroUsize = NonZeroUsize::new(20_000).expect("it is not zero");
/// Rows read at once.
const PAGE: usize = 512;

/// Which packs lie in a bucket, and what that may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub bucket: Bucket,
    /// Whether what is stored is in the bucket before it is acknowledged.
    pub mirrored: bool,
    /// A closed pack moves when it has not been written for so long.
    pub after: Duration,
    /// Bytes of closed packs on the disk; beyond them the oldest move. 0: no limit.
    pub local_bytes_max: u64,
    /// Disk for what was read of packs in the bucket.
    pub cache_bytes_max: u64,
    pub read_time_max: Duration,
    /// Time between two looks at what is due.
    pub every: Duration,
}

impl Options {
    pub(super) fn of_packs(&self, data: &Path) -> TierOptions {
        TierOptions {
            bucket: self.bucket.clone(),
            cache: Layout::blocks(data),
            cache_bytes_max: self.cache_bytes_max,
            mirrored: self.mirrored,
            read_time_max: self.read_time_max,
        }
    }
}

/// The thread that moves packs.
pub(super) struct Mover {
    stopping: Arc<AtomicBool>,
    signal: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    pub(super) fn start(core: Arc<Core>, options: Options) -> std::io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (signal, stop) = sync_channel(0);
        let for_thread = Arc::clone(&stopping);
        let thread = std::thread::Builder::new()
            .name("tier".into())
            .spawn(move || run(&core, &options, &for_thread, &stop))?;
        Ok(Self { stopping, signal: Some(signal), thread: Some(thread) })
    }
}

impl Drop for Mover {
    /// Ends the thread. A pack that is on its way stays where it is.
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.signal = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was logged by the panic hook.
            let _ = thread.join();
        }
    }
}

fn run(core: &Core, options: &Options, stopping: &AtomicBool, stop: &Receiver<()>) {
    let mut claimed = false;
    loop {
        if let Err(error) = round(core, options, stopping, &mut claimed)
            && !stopping.load(Ordering::Relaxed)
        {
            metrics::counter!("hilum_tier_failures_total").increment(1);
            tracing::warn!(%error, "packs cannot be moved to the bucket at present; trying again");
        }
        match stop.recv_timeout(options.every) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Moves what is due.
fn round(
    core: &Core,
    options: &Options,
    stopping: &AtomicBool,
    claimed: &mut bool,
) -> Result<(), ArchiveError> {
    let goes_on = || !stopping.load(Ordering::Relaxed);
    let closed = core.packs.closed()?;
    let copies = closed.iter().filter(|pack| options.mirrored && !pack.copied);
    let copies: Vec<PackId> = copies.map(|pack| pack.pack).collect();
    let due = due(closed, options, SystemTime::now());
    // Also for what is there already: the keys may be others since the last start.
    if !*claimed && (options.mirrored || !due.is_empty() || core.packs.any_is_far()) {
        core.packs.claim_bucket()?;
        *claimed = true;
    }
    for pack in copies {
        if !goes_on() {
            return Ok(());
        }
        if let Moved::Damaged { places } = core.packs.copy_out(pack, &goes_on)? {
            tracing::error!(%pack, places, "a damaged pack is not copied; run `hilum verify`");
        }
    }
    for pack in due {
        if !goes_on() {
            return Ok(());
        }
        match core.packs.move_out(pack.pack, &goes_on)? {
            Moved::Gone => {
                metrics::counter!("hilum_tier_moved_bytes_total").increment(pack.length);
                tracing::info!(pack = %pack.pack, bytes = pack.length, "a pack was moved to the bucket");
            }
            Moved::Copied => {}
            Moved::Damaged { places } => {
                tracing::error!(pack = %pack.pack, places, "a damaged pack is not moved; run `hilum verify`");
            }
        }
    }
    Ok(())
}

/// The packs that are to move, the oldest first.
fn due(mut closed: Vec<Closed>, options: &Options, now: SystemTime) -> Vec<Closed> {
    closed.sort_by_key(|pack| (pack.since, pack.pack));
    let mut too_much = match options.local_bytes_max {
        0 => 0,
        max => closed.iter().map(|pack| pack.length).sum::<u64>().saturating_sub(max),
    };
    closed.retain(|pack| {
        // A clock that was put back makes a pack young.
        let age = now.duration_since(pack.since).unwrap_or_default();
        let moves = age >= options.after || too_much > 0;
        if moves {
            too_much = too_much.saturating_sub(pack.length);
        }
        moves
    });
    closed
}

/// Where the files of series lie, as long as that is true.
pub(super) struct Whereabouts(Mutex<LruCache<u64, Whereabout>>);

/// Of a series with this number of its last change.
type Whereabout = (u64, Arc<[Run]>);

/// Bytes of a pack that belong to a series.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    pack: PackId,
    range: Range<u64>,
}

impl Default for Whereabouts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(SERIES_MAX)))
    }
}

/// Instance Availability (PS3.3 section C.4.23.1.1) of what is in the bucket
/// only; of several, that of the one that is farthest.
pub(super) const NEARLINE: &str = "NEARLINE";

impl Core {
    /// Whether all of a study that is in sight can be read without the bucket.
    pub(super) fn study_is_at_hand(&self, sight: &Sight<'_>, study: &StudyUid) -> Result<bool, ArchiveError> {
        for series in sight.series_of(study)? {
            if !self.series_is_at_hand(sight, &series)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same of a series.
    pub(super) fn series_is_at_hand(
        &self,
        sight: &Sight<'_>,
        series: &SeriesRow,
    ) -> Result<bool, ArchiveError> {
        let known =
            self.whereabouts.0.lock().unwrap_or_else(PoisonError::into_inner).get(&series.id).cloned();
        let runs = match known {
            Some((seq, runs)) if seq == series.seq => runs,
            _ => {
                let runs: Arc<[Run]> = self.runs_of(sight, &series.path)?.into();
                let known = (series.seq, Arc::clone(&runs));
                self.whereabouts.0.lock().unwrap_or_else(PoisonError::into_inner).put(series.id, known);
                runs
            }
        };
        Ok(runs.iter().all(|run| self.packs.is_at_hand(run.pack, run.range.clone())))
    }

    /// The same of an instance.
    pub(super) fn instance_is_at_hand(
        &self,
        sight: &Sight<'_>,
        path: &InstancePath,
    ) -> Result<bool, ArchiveError> {
        let Some(row) = sight.instance(path)? else { return Ok(true) };
        Ok(self.packs.is_at_hand(row.place.pack, self.packs.content(&row.place)))
    }

    fn runs_of(&self, sight: &Sight<'_>, series: &SeriesPath) -> Result<Vec<Run>, ArchiveError> {
        let mut runs = Vec::new();
        let mut after: Option<InstanceUid> = None;
        loop {
            let rows = sight.raw().instances(series, after.as_ref(), PAGE)?;
            let Some(last) = rows.last() else { break };
            after = Some(last.path.instance.clone());
            runs.extend(rows.iter().map(|row| (row.place.pack, self.packs.content(&row.place))));
        }
        Ok(joined(runs))
    }
}

/// Runs that follow each other, but for a record between them, as one.
fn joined(mut places: Vec<(PackId, Range<u64>)>) -> Vec<Run> {
    const RECORD_BYTES: u64 = 4096;
    places.sort_by_key(|(pack, range)| (*pack, range.start));
    let mut runs: Vec<Run> = Vec::new();
    for (pack, range) in places {
        match runs.last_mut() {
            Some(last) if last.pack == pack && range.start <= last.range.end + RECORD_BYTES => {
                last.range.end = last.range.end.max(range.end);
            }
            _ => runs.push(Run { pack, range }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let closed = |pack: u32, age: u64, length| Closed {
            pack: PackId(pack),
            length,
            since: now - Duration::from_secs(age),
            copied: false,
        };
        let all = vec![closed(1, 50, 10), closed(2, 400, 10), closed(3, 100, 10), closed(4, 200, 10)];
        let options = |after, local_bytes_max| Options {
            bucket: Bucket::default(),
            mirrored: false,
            after: Duration::from_secs(after),
            local_bytes_max,
            cache_bytes_max: 0,
            read_time_max: Duration::ZERO,
            every: Duration::ZERO,
        };
        let numbers = |options: &Options| -> Vec<u32> {
            due(all.clone(), options, now).iter().map(|closed| closed.pack.0).collect()
        };
        assert_eq!(numbers(&options(150, 0)), [2, 4]);
        assert_eq!(numbers(&options(10_000, 0)), [0; 0]);
        assert_eq!(numbers(&options(10_000, 25)), [2, 4], "15 too many: two of 10");
        assert_eq!(numbers(&options(10_000, 40)), [0; 0]);
        assert_eq!(numbers(&options(300, 15)), [2, 4, 3], "one by its age, it counts");
        assert_eq!(numbers(&options(0, 0)), [2, 4, 3, 1]);
        assert!(due(all.clone(), &options(1, 0), now - Duration::from_secs(999)).is_empty());
    }

    #[test]
    fn runs() {
        let at = |pack, range| (PackId(pack), range);
        let runs = joined(vec![at(2, 10..20), at(1, 5000..6000), at(1, 0..1000), at(1, 20_000..20_010)]);
        let run = |pack, range| Run { pack: PackId(pack), range };
        assert_eq!(runs, [run(1, 0..6000), run(1, 20_000..20_010), run(2, 10..20)]);
    }
}
