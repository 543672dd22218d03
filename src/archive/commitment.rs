//! Storage commitment: whether instances are here, said after their bytes were
//! read back from the packs and held against the digest they came with. A row
//! in the catalog alone commits to nothing.
//!
//! A small request is checked at once; a large one is noted first, checked by a
//! thread of its own, and found again after any stop.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    Archive, ArchiveError, Core,
    checked::{self, Whole},
    sight::Sight,
};
use crate::{
    auth::{Action, Permit, Reach},
    dicom::{
        InstancePath, InstanceUid,
        commitment::{self, Reference, Request},
        json, reasons,
        uid::TransactionUid,
    },
    storage::{
        catalog::{InstanceRow, Snapshot},
        commitments::Standing,
    },
};

/// A request up to this many instances and bytes is checked while it waits.
const AT_ONCE_INSTANCES: usize = 1000;
const AT_ONCE_BYTES: u64 = 64 << 20;
/// How long the thread rests after a failure of the disk.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// What is known of a storage commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commitment {
    /// It is being checked.
    Pending,
    /// The result, as DICOM JSON.
    Done(Vec<u8>),
}

impl Archive {
    /// Takes a request for storage commitment. Its result is there at once, or
    /// later by [`Archive::commitment`].
    ///
    /// # Errors
    /// `Taken` when the Transaction UID was used before, `Busy` when too many
    /// are known.
    pub async fn request_commitment(
        &self,
        permit: &Permit,
        uid: TransactionUid,
        request: Request,
    ) -> Result<Commitment, ArchiveError> {
        let core = Arc::clone(&self.core);
        let permit = permit.clone().to(Action::Commit);
        // What is checked later is checked without the caller: who does not see
        // everything waits for it.
        let is_whole = permit.required()?.filter().is_none();
        self.pool
            .run(move || {
                let at_once = !is_whole || is_small(&core.catalog.read()?, &request)?;
                let mut text = Vec::new();
                json::write(&commitment::write(&request), &mut text);
                core.commitments.begin(&uid, &text, at_once)?;
                if !at_once {
                    core.commitment_signal.wake();
                    return Ok(Commitment::Pending);
                }
                let checked = check(&core, &request, Some(&permit), &AtomicBool::new(false));
                let finished = checked.and_then(|result| {
                    let result = result.unwrap_or_default();
                    core.commitments.finish(&uid, &result)?;
                    Ok(Commitment::Done(result))
                });
                // Who is told to try again does so under the same Transaction UID.
                finished.inspect_err(|_| core.commitments.forget(&uid))
            })
            .await
    }

    /// What is known of a storage commitment.
    ///
    /// # Errors
    /// `NotFound` when it was never asked for, `Gone` when its result has expired.
    pub async fn commitment(
        &self,
        _permit: &Permit,
        uid: TransactionUid,
    ) -> Result<Commitment, ArchiveError> {
        let core = Arc::clone(&self.core);
        self.pool
            .run(move || match core.commitments.get(&uid)? {
                Some(Standing::Pending) => Ok(Commitment::Pending),
                Some(Standing::Done(result)) => Ok(Commitment::Done(result)),
                Some(Standing::Expired) => Err(ArchiveError::Expired("result of this storage commitment")),
                None => Err(ArchiveError::NotFound("storage commitment request")),
            })
            .await
    }
}

/// Whether a request can be checked while its client waits.
fn is_small(snapshot: &Snapshot, request: &Request) -> Result<bool, ArchiveError> {
    if request.references.len() > AT_ONCE_INSTANCES {
        return Ok(false);
    }
    let mut bytes = 0_u64;
    for reference in &request.references {
        bytes += find(snapshot, reference)?.map_or(0, |row| row.place.length);
    }
    Ok(bytes <= AT_ONCE_BYTES)
}

/// The result of a request; none when `stop` was set meanwhile.
fn check(
    core: &Core,
    request: &Request,
    permit: Option<&Permit>,
    stop: &AtomicBool,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    let goes_on = || !stop.load(Ordering::Relaxed);
    let mut failures = Vec::with_capacity(request.references.len());
    // A request may name an instance more than once.
    let mut read: HashMap<InstanceUid, bool> = HashMap::new();
    for reference in &request.references {
        if !goes_on() {
            return Ok(None);
        }
        let filter = permit.map(Permit::required).transpose()?.and_then(Reach::filter).cloned();
        let sight = Sight::through(core, core.catalog.read()?, filter);
        let found = match find(sight.raw(), reference)? {
            Some(row) => sight.instance(&row.path)?,
            None => None,
        };
        drop(sight);
        let failure = match found {
            None => Some(reasons::NO_SUCH_INSTANCE),
            Some(row) if row.sop_class != reference.sop_class => Some(reasons::CLASS_INSTANCE_CONFLICT),
            Some(row) => {
                let right = match read.get(&reference.instance) {
                    Some(right) => *right,
                    None => match checked::is_whole(&core.packs, &row.place, row.digest, &goes_on)? {
                        Whole::Yes => true,
                        Whole::No(why) => {
                            let (instance, pack) = (&row.path, row.place.pack);
                            tracing::error!(%instance, %pack, why, "no storage commitment for damaged bytes");
                            false
                        }
                        Whole::CutOff => return Ok(None),
                    },
                };
                read.insert(reference.instance.clone(), right);
                (!right).then_some(reasons::PROCESSING_FAILURE)
            }
        };
        failures.push(failure);
    }
    let mut text = Vec::new();
    json::write(&commitment::result(request, &failures), &mut text);
    Ok(Some(text))
}

/// The instance of a reference, if it is where it is said to be.
fn find(snapshot: &Snapshot, reference: &Reference) -> Result<Option<InstanceRow>, ArchiveError> {
    let path = match &reference.series {
        Some((study, series)) => InstancePath {
            study: study.clone(),
            series: series.clone(),
            instance: reference.instance.clone(),
        },
        None => match snapshot.locate(&reference.instance)? {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    Ok(snapshot.instance(&path)?)
}

/// Wakes the thread that checks, and ends it.
#[derive(Debug, Default)]
pub(super) struct Signal {
    work: Mutex<bool>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Signal {
    fn wake(&self) {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for work, at most for `time`; false: stop.
    fn wait(&self, time: Option<Duration>) -> bool {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |work: &mut bool| !*work && !self.stop.load(Ordering::Relaxed);
        work = match time {
            Some(time) => {
                let waited = self.changed.wait_timeout_while(work, time, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.changed.wait_while(work, idle).unwrap_or_else(PoisonError::into_inner),
        };
        *work = false;
        !self.stop.load(Ordering::Relaxed)
    }
}

/// The thread that checks what is not checked at once.
pub(super) struct Checker {
    core: Arc<Core>,
    thread: Option<JoinHandle<()>>,
}

impl Checker {
    pub(super) fn start(core: Arc<Core>) -> std::io::Result<Self> {
        let work = Arc::clone(&core);
        let thread = std::thread::Builder::new().name("commitment".into()).spawn(move || run(&work))?;
        Ok(Self { core, thread: Some(thread) })
    }
}

impl Drop for Checker {
    /// Ends the thread. What it was at is checked at the next start.
    fn drop(&mut self) {
        let signal = &self.core.commitment_signal;
        signal.stop.store(true, Ordering::Relaxed);
        signal.wake();
        if let Some(thread) = self.thread.take() {
            // A panic there was logged by the panic hook.
            let _ = thread.join();
        }
    }
}

fn run(core: &Core) {
    let stop = &core.commitment_signal.stop;
    let mut rest = None;
    loop {
        while !stop.load(Ordering::Relaxed) {
            match check_next(core, stop) {
                Ok(true) => rest = None,
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "a storage commitment cannot be checked; trying again");
                    rest = Some(RETRY_AFTER);
                    break;
                }
            }
        }
        if !core.commitment_signal.wait(rest) {
            return;
        }
    }
}

/// Checks the request that has waited longest; false when none waits.
fn check_next(core: &Core, stop: &AtomicBool) -> Result<bool, ArchiveError> {
    let Some((uid, text)) = core.commitments.next()? else { return Ok(false) };
    let request = json::read(&text, json::Limits::default()).ok();
    let request = request.and_then(|set| commitment::read(&set, usize::MAX).ok());
    let checked = match &request {
        Some(request) => check(core, request, None, stop),
        None => Err(ArchiveError::Damaged(format!("the storage commitment request {uid}"))),
    };
    match checked {
        Ok(Some(result)) => core.commitments.finish(&uid, &result)?,
        Ok(None) => {}
        Err(error) => {
            core.commitments.release(&uid);
            return Err(error);
        }
    }
    Ok(true)
}
