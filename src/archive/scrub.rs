//! The scrub: a thread that reads all that is stored again and again, slowly,
//! while everything else goes on, and tells what is not as it should be. What
//! it looks for is what `verify` looks for, in an archive that changes meanwhile.
//!
//! Invariant: what is in order is never reported. So what may only be on its
//! way (a file that is flushed and not yet in the catalog) is looked at again
//! before it is called a finding.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::{
    Archive, ArchiveError, Core,
    verify::{self, Finding},
};
use crate::{
    auth::Permit,
    storage::{
        PackId,
        packs::{PackError, Replayed, Standing},
        scrub_state::ScrubState,
    },
};

/// How fast, how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// 0: there is no scrub.
    pub bytes_per_second: u64,
    /// From the begin of one pass to the begin of the next.
    pub interval: Duration,
    /// Also what is only in a bucket.
    pub bucket: bool,
}

/// Findings that are kept; more are only counted.
const FINDINGS_MAX: usize = 1000;
/// Time between notes of how far it has come.
const NOTE_EVERY: Duration = Duration::from_secs(30);
/// An entry of a pack is in the catalog after this long, or will not be.
const SETTLES_AFTER: Duration = Duration::from_secs(2);
const SETTLE_TRIES: u32 = 5;
const PAGE: usize = 256;

/// What the scrub has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrubbed {
    /// Seconds since 1970 when the pass under way began; none between passes.
    pub began: Option<u64>,
    /// When the last complete pass began and ended.
    pub last_began: Option<u64>,
    pub last_complete: Option<u64>,
    /// Where the pass under way is.
    pub pack: u32,
    pub offset: u64,
    /// Bytes of packs read, by all passes.
    pub bytes: u64,
    /// What the last complete pass found.
    pub found_before: BTreeSet<Finding>,
    /// What the pass under way has found so far.
    pub found: BTreeSet<Finding>,
    /// Of all that was found, what is not recorded yet.
    #[serde(default)]
    pub untold: BTreeSet<Finding>,
}

impl Scrubbed {
    /// All that is known to be amiss.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.found_before.union(&self.found).cloned().collect()
    }
}

/// What the thread and those who ask share.
pub(super) struct Board {
    scrubbed: Mutex<Scrubbed>,
    stop: Mutex<bool>,
    stopped: Condvar,
    state: ScrubState,
}

impl Board {
    pub(super) fn new(state: ScrubState) -> Self {
        let scrubbed: Scrubbed = state.load().unwrap_or_default();
        Self { scrubbed: Mutex::new(scrubbed), stop: Mutex::new(false), stopped: Condvar::new(), state }
    }

    fn scrubbed(&self) -> MutexGuard<'_, Scrubbed> {
        self.scrubbed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits; false when it is time to stop.
    fn rest(&self, time: Duration) -> bool {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.stopped.wait_timeout_while(stop, time, |stop| !*stop);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn end(&self) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopped.notify_all();
    }

    fn note(&self) {
        let scrubbed = self.scrubbed().clone();
        if let Err(error) = self.state.save(&scrubbed) {
            tracing::warn!(%error, "how far the scrub has come cannot be noted");
        }
    }

    /// The one place where a finding of the scrub becomes known.
    fn report(&self, finding: &Finding) {
        let mut scrubbed = self.scrubbed();
        if scrubbed.found.contains(finding) || scrubbed.found.len() >= FINDINGS_MAX {
            return;
        }
        let is_new = !scrubbed.found_before.contains(finding);
        scrubbed.found.insert(finding.clone());
        if is_new && scrubbed.untold.len() < FINDINGS_MAX {
            scrubbed.untold.insert(finding.clone());
        }
        drop(scrubbed);
        if is_new {
            let said = serde_json::to_string(finding).unwrap_or_default();
            tracing::error!(finding = said, "the scrub found something that is not as it should be");
            metrics::counter!("hilum_scrub_findings_total").increment(1);
        }
    }
}

/// The thread.
pub(super) struct Scrub {
    core: Arc<Core>,
    thread: Option<JoinHandle<()>>,
}

impl Scrub {
    pub(super) fn start(core: Arc<Core>, options: Options) -> std::io::Result<Self> {
        let work = Arc::clone(&core);
        let run = move || Pass { core: &work, options, owed: Instant::now(), noted: Instant::now() }.run();
        let thread = std::thread::Builder::new().name("scrub".into()).spawn(run)?;
        Ok(Self { core, thread: Some(thread) })
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        self.core.scrub.end();
        if let Some(thread) = self.thread.take() {
            // A panic there was logged by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Archive {
    /// What the scrub has found.
    #[must_use]
    pub fn scrubbed(&self, _permit: &Permit) -> Scrubbed {
        self.core.scrub.scrubbed().clone()
    }

    /// Notes that findings are recorded. Until then they are [`Scrubbed::untold`],
    /// over a stop too.
    pub fn scrub_told(&self, _permit: &Permit, findings: &[Finding]) {
        let mut scrubbed = self.core.scrub.scrubbed();
        scrubbed.untold.retain(|finding| !findings.contains(finding));
        drop(scrubbed);
        self.core.scrub.note();
    }
}

struct Pass<'a> {
    core: &'a Core,
    options: Options,
    /// Until then the disk is left alone.
    owed: Instant,
    noted: Instant,
}

impl Pass<'_> {
    fn run(mut self) {
        let board = &self.core.scrub;
        loop {
            let Scrubbed { began, last_began, .. } = board.scrubbed().clone();
            if began.is_none() {
                let due = last_began.map_or(0, |began| began.saturating_add(self.options.interval.as_secs()));
                let wait = due.saturating_sub(now());
                if !board.rest(Duration::from_secs(wait)) {
                    return;
                }
                let mut scrubbed = board.scrubbed();
                (scrubbed.began, scrubbed.pack, scrubbed.offset) = (Some(now()), 0, 0);
            }
            match self.pass() {
                Ok(true) => self.complete(),
                // Told to stop.
                Ok(false) => return board.note(),
                Err(error) => {
                    tracing::error!(%error, "the scrub cannot go on; trying again");
                    if !board.rest(Duration::from_mins(1)) {
                        return board.note();
                    }
                }
            }
        }
    }

    fn complete(&self) {
        let mut scrubbed = self.core.scrub.scrubbed();
        (scrubbed.last_began, scrubbed.began) = (scrubbed.began, None);
        scrubbed.last_complete = Some(now());
        scrubbed.found_before = std::mem::take(&mut scrubbed.found);
        let findings = scrubbed.found_before.len();
        drop(scrubbed);
        self.core.scrub.note();
        metrics::counter!("hilum_scrub_passes_total").increment(1);
        tracing::info!(findings, "the scrub has read everything");
    }

    /// One pass from where it stands; false when it was told to stop.
    fn pass(&mut self) -> Result<bool, ArchiveError> {
        let board = &self.core.scrub;
        let Scrubbed { pack, offset, .. } = board.scrubbed().clone();
        for info in self.core.packs.list().into_iter().filter(|info| info.pack.0 >= pack) {
            let left_out = !self.options.bucket && self.core.packs.is_far(info.pack);
            if info.standing == Standing::Unrecovered || left_out {
                continue;
            }
            let from = if info.pack.0 == pack { offset } else { 0 };
            if !self.pack(info.pack, from) {
                return Ok(false);
            }
        }
        if !self.catalog()? {
            return Ok(false);
        }
        // What is being replaced just now is whole the next time.
        let damaged = || self.core.index.damaged_files().unwrap_or_default();
        let files = damaged();
        if !files.is_empty() && board.rest(SETTLES_AFTER) {
            for file in damaged().into_iter().filter(|file| files.contains(file)) {
                let what = format!("the file {file} is damaged; without the folder it is made anew");
                board.report(&Finding::Index { what, catalog: 0, index: 0 });
            }
        }
        for transaction in self.core.commitments.damaged() {
            board.report(&Finding::Commitment { transaction });
        }
        Ok(!board.is_stopped())
    }

    /// False when it was told to stop.
    fn pack(&mut self, pack: PackId, from: u64) -> bool {
        let core = self.core;
        let (rate, owed) = (self.options.bytes_per_second, &mut self.owed);
        let mut pace = |bytes: u64| {
            core.scrub.scrubbed().bytes += bytes;
            metrics::counter!("hilum_scrub_bytes_total").increment(bytes);
            // A pause is not made up for.
            let after = Duration::from_secs_f64(bytes as f64 / rate as f64);
            *owed = (*owed).max(Instant::now()) + after;
            core.scrub.rest(owed.saturating_duration_since(Instant::now()))
        };
        let noted = &mut self.noted;
        let walked = core.packs.replay_at_a_pace(pack, from, &mut pace, &mut |found| {
            match found {
                Replayed::File { place, .. } | Replayed::Tombstone { place, .. } => {
                    let mut scrubbed = core.scrub.scrubbed();
                    (scrubbed.pack, scrubbed.offset) = (pack.0, core.packs.entry_end(&place));
                }
                Replayed::Damaged(_) => {}
            }
            check(core, pack, &found);
            if noted.elapsed() >= NOTE_EVERY {
                *noted = Instant::now();
                core.scrub.note();
            }
            if core.scrub.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if core.scrub.is_stopped() {
            return false;
        }
        match walked {
            Ok(end) => end.tail.iter().for_each(|damage| core.scrub.report(&verify::damaged(pack, damage))),
            // It was removed meanwhile.
            Err(_) if !core.packs.list().iter().any(|info| info.pack == pack) => {}
            // Nothing is wrong with it for all that is known.
            Err(error @ PackError::Away { .. }) => tracing::warn!(%error, "the scrub leaves out a pack"),
            Err(error) => {
                core.scrub.report(&Finding::PackUnreadable { pack: pack.0, why: error.to_string() });
            }
        }
        true
    }

    /// Every row can be read, its bytes are in a pack that has so many, and the
    /// counts hold. Whether the bytes are right was seen in the packs.
    fn catalog(&mut self) -> Result<bool, ArchiveError> {
        let board = &self.core.scrub;
        let mut after = 0;
        loop {
            let studies = match self.core.catalog.read().and_then(|snapshot| snapshot.studies(after, PAGE)) {
                Ok(studies) => studies,
                Err(error) => {
                    board.report(&verify::damaged_catalog(&error.into()));
                    return Ok(!board.is_stopped());
                }
            };
            let Some(last) = studies.last() else { return Ok(true) };
            after = last.id;
            for study in studies {
                match verify::look_through(self.core, &study.uid) {
                    Ok(findings) => findings.iter().for_each(|finding| board.report(finding)),
                    Err(error) => board.report(&verify::damaged_catalog(&error)),
                }
                if !board.rest(Duration::from_millis(1)) {
                    return Ok(false);
                }
            }
        }
    }
}

/// One entry of a pack, looked at until it is in order or is not going to be.
fn check(core: &Core, pack: PackId, found: &Replayed) {
    for attempt in 1..=SETTLE_TRIES {
        let finding = core
            .catalog
            .read()
            .map_err(ArchiveError::from)
            .and_then(|snapshot| verify::finding_of(&snapshot, pack, found));
        match finding {
            Ok(None) => return,
            Ok(Some(finding @ Finding::Damaged { .. })) => return core.scrub.report(&finding),
            Ok(Some(finding)) if attempt == SETTLE_TRIES => return core.scrub.report(&finding),
            Err(error) if attempt == SETTLE_TRIES => {
                return core.scrub.report(&verify::damaged_catalog(&error));
            }
            Ok(Some(_)) | Err(_) => {
                if !core.scrub.rest(SETTLES_AFTER) {
                    return;
                }
            }
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
