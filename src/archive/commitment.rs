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

use super::{Archive, ArchiveError, Core, sight::Sight};
use crate::{
    auth::{Action, Permit, Reach},
    dicom::{
        InstancePath, InstanceUid,
        commitment::{self, Reference, Request},
        json, reasons,
        source::Source,
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
/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;
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
    let mut failures = Vec::with_capacity(request.references.len());
    // A request may name an instance more than once.
    let mut read: HashMap<InstanceUid, bool> = HashMap::new();
    for reference in &request.references {
        if stop.load(Ordering::Relaxed) {
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
                    None => match is_right(core, &row, stop)? {
                        Some(right) => right,
                        None => return Ok(None),
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

/// Whether the bytes of an instance can be read and have their digest; none
/// when `stop` was set meanwhile.
fn is_right(core: &Core, row: &InstanceRow, stop: &AtomicBool) -> Result<Option<bool>, ArchiveError> {
    let failed = |why: &dyn std::fmt::Display| {
        tracing::error!(instance = %row.path, pack = %row.place.pack, %why, "no storage commitment for damaged bytes");
        Ok(Some(false))
    };
    let source = match core.packs.source(&row.place).map_err(ArchiveError::from) {
        Ok(source) => source,
        Err(error) if error.is_away() => return Err(error),
        Err(error) => return failed(&error),
    };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < source.len() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let length = usize::try_from(source.len() - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        let piece = &mut buffer[..length];
        match source.read_exact_at(piece, at) {
            Ok(()) => {}
            // It says nothing of the bytes.
            Err(error) if error.kind() == std::io::ErrorKind::HostUnreachable => {
                return Err(ArchiveError::Away(error.to_string()));
            }
            Err(error) => return failed(&error),
        }
        hasher.update(piece);
        at += length as u64;
    }
    if hasher.finalize().as_bytes() == &row.digest.0 {
        Ok(Some(true))
    } else {
        failed(&"the digest is another")
    }
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
