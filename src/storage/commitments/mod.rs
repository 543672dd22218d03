//! Storage commitments: what was asked for and what was found, by Transaction
//! UID, so that neither a stop nor a crash loses it. Owns a folder; does not
//! know what a request says or how it is answered.
//!
//! ```text
//! <Transaction UID>.asked   a request that waits for its result
//! <Transaction UID>.done    a result
//! <Transaction UID>.past    an empty file: there was a result, it has expired
//! ```
//! Invariants: a Transaction UID that is known is not taken again; what
//! [`Commitments::begin`] or [`Commitments::finish`] returned is durable; there
//! are never more than `transactions_max`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::whole_file;
use crate::dicom::uid::TransactionUid;

/// The limits of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Transactions that are known at the same time, expired ones included.
    pub transactions_max: usize,
    /// How long a result can be fetched.
    pub keep: Duration,
}

/// Where a transaction stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Pending,
    /// The result.
    Done(Vec<u8>),
    /// There was a result, and it has expired.
    Expired,
}

#[derive(Debug, thiserror::Error)]
pub enum CommitmentError {
    #[error("the Transaction UID is in use")]
    InUse,
    #[error("as many storage commitments as may be known are under way or kept")]
    TooMany,
    #[error("cannot {action} {}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    phase: Phase,
    since: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// `taken`: somebody is at work on it.
    Asked {
        taken: bool,
    },
    Done,
    Past,
}

impl Phase {
    fn extension(self) -> &'static str {
        match self {
            Self::Asked { .. } => "asked",
            Self::Done => "done",
            Self::Past => "past",
        }
    }
}

/// The folder.
#[derive(Debug)]
pub struct Commitments {
    folder: PathBuf,
    options: Options,
    known: Mutex<BTreeMap<TransactionUid, Known>>,
}

impl Commitments {
    /// Opens or begins the folder.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(folder: &Path, options: Options) -> Result<Self, CommitmentError> {
        std::fs::create_dir_all(folder).map_err(at(folder, "create"))?;
        let mut known = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(at(folder, "list"))? {
            let entry = entry.map_err(at(folder, "list"))?;
            let name = entry.file_name();
            let Some((uid, extension)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
                continue;
            };
            let Ok(uid) = TransactionUid::parse(uid) else { continue };
            let phase = match extension {
                "asked" => Phase::Asked { taken: false },
                "done" => Phase::Done,
                "past" => Phase::Past,
                _ => continue,
            };
            let since = entry.metadata().and_then(|metadata| metadata.modified());
            let since = since.map_err(at(&entry.path(), "read"))?;
            let found = known.entry(uid).or_insert(Known { phase, since });
            // A crash may leave what one phase was left for beside the next.
            if rank(phase) > rank(found.phase) {
                *found = Known { phase, since };
            }
        }
        Ok(Self { folder: folder.to_path_buf(), options, known: Mutex::new(known) })
    }

    /// Notes a request. With `taken` the caller finishes it himself; else
    /// [`Self::next`] gives it.
    ///
    /// # Errors
    /// `InUse`, `TooMany`, and what the disk says.
    pub fn begin(&self, uid: &TransactionUid, request: &[u8], taken: bool) -> Result<(), CommitmentError> {
        let mut known = self.known();
        if known.contains_key(uid) {
            return Err(CommitmentError::InUse);
        }
        if known.len() >= self.options.transactions_max {
            self.forget_one(&mut known)?;
        }
        let phase = Phase::Asked { taken };
        let path = self.path(uid, phase);
        whole_file::put_checked(&path, request).map_err(at(&path, "write"))?;
        known.insert(uid.clone(), Known { phase, since: SystemTime::now() });
        Ok(())
    }

    /// Notes the result of a request.
    ///
    /// # Errors
    /// What the disk says; the request still waits for its result then.
    pub fn finish(&self, uid: &TransactionUid, result: &[u8]) -> Result<(), CommitmentError> {
        let path = self.path(uid, Phase::Done);
        let written = whole_file::put_checked(&path, result).map_err(at(&path, "write"));
        let mut known = self.known();
        if let Err(error) = written {
            if let Some(known) = known.get_mut(uid) {
                known.phase = Phase::Asked { taken: false };
            }
            return Err(error);
        }
        known.insert(uid.clone(), Known { phase: Phase::Done, since: SystemTime::now() });
        drop(known);
        let asked = self.path(uid, Phase::Asked { taken: false });
        whole_file::remove(&asked).map_err(at(&asked, "remove"))
    }

    /// Where a transaction stands; none if it is not known.
    ///
    /// # Errors
    /// What the disk says.
    pub fn get(&self, uid: &TransactionUid) -> Result<Option<Standing>, CommitmentError> {
        let mut known = self.known();
        let Some(&found) = known.get(uid) else { return Ok(None) };
        if self.has_expired(found) {
            self.expire(&mut known, uid)?;
            return Ok(Some(Standing::Expired));
        }
        drop(known);
        Ok(Some(match found.phase {
            Phase::Asked { .. } => Standing::Pending,
            Phase::Past => Standing::Expired,
            Phase::Done => {
                let path = self.path(uid, found.phase);
                Standing::Done(whole_file::read_checked(&path).map_err(at(&path, "read"))?)
            }
        }))
    }

    /// A request that waits and that nobody is at work on; the caller is from
    /// now on.
    ///
    /// # Errors
    /// What the disk says.
    pub fn next(&self) -> Result<Option<(TransactionUid, Vec<u8>)>, CommitmentError> {
        let mut known = self.known();
        let waiting = known.iter_mut().filter(|(_, known)| known.phase == Phase::Asked { taken: false });
        let Some((uid, oldest)) = waiting.min_by_key(|(_, known)| known.since) else { return Ok(None) };
        oldest.phase = Phase::Asked { taken: true };
        let uid = uid.clone();
        drop(known);
        let path = self.path(&uid, Phase::Asked { taken: true });
        let request = whole_file::read_checked(&path).map_err(at(&path, "read"))?;
        Ok(Some((uid, request)))
    }

    /// Transactions whose file is not what was written.
    #[must_use]
    pub fn damaged(&self) -> Vec<String> {
        let known: Vec<(TransactionUid, Phase)> =
            self.known().iter().map(|(uid, known)| (uid.clone(), known.phase)).collect();
        let is_damaged = |(uid, phase): &(TransactionUid, Phase)| {
            let read = || whole_file::read_checked(&self.path(uid, *phase)).is_err();
            // One that has just moved on has another file.
            *phase != Phase::Past && read() && self.known().get(uid).map(|known| known.phase) == Some(*phase)
        };
        known.iter().filter(|known| is_damaged(known)).map(|(uid, _)| uid.to_string()).collect()
    }

    /// Gives a request back that could not be finished.
    pub fn release(&self, uid: &TransactionUid) {
        if let Some(known) = self.known().get_mut(uid)
            && known.phase == (Phase::Asked { taken: true })
        {
            known.phase = Phase::Asked { taken: false };
        }
    }

    /// Forgets a request that its caller was refused: it may come again.
    pub fn forget(&self, uid: &TransactionUid) {
        let mut known = self.known();
        // Also the result, of which perhaps only the folder was not flushed.
        for phase in [Phase::Asked { taken: true }, Phase::Done] {
            let path = self.path(uid, phase);
            if let Err(error) = whole_file::remove(&path) {
                // It is written over when it comes again, or found at the next start.
                tracing::warn!(%error, path = %path.display(), "a refused storage commitment is left");
            }
        }
        known.remove(uid);
    }

    /// Makes room for one more: what expired first is forgotten.
    fn forget_one(&self, known: &mut BTreeMap<TransactionUid, Known>) -> Result<(), CommitmentError> {
        let expired: Vec<TransactionUid> =
            known.iter().filter(|(_, known)| self.has_expired(**known)).map(|(uid, _)| uid.clone()).collect();
        for uid in &expired {
            self.expire(known, uid)?;
        }
        let past = known.iter().filter(|(_, known)| known.phase == Phase::Past);
        let oldest = past.min_by_key(|(_, known)| known.since).map(|(uid, _)| uid.clone());
        let Some(uid) = oldest else { return Err(CommitmentError::TooMany) };
        let path = self.path(&uid, Phase::Past);
        whole_file::remove(&path).map_err(at(&path, "remove"))?;
        known.remove(&uid);
        Ok(())
    }

    fn has_expired(&self, known: Known) -> bool {
        let age = known.since.elapsed().unwrap_or_default();
        known.phase == Phase::Done && age >= self.options.keep
    }

    fn expire(
        &self,
        known: &mut BTreeMap<TransactionUid, Known>,
        uid: &TransactionUid,
    ) -> Result<(), CommitmentError> {
        let past = self.path(uid, Phase::Past);
        whole_file::put(&past, &[]).map_err(at(&past, "write"))?;
        let done = self.path(uid, Phase::Done);
        whole_file::remove(&done).map_err(at(&done, "remove"))?;
        known.insert(uid.clone(), Known { phase: Phase::Past, since: SystemTime::now() });
        Ok(())
    }

    fn path(&self, uid: &TransactionUid, phase: Phase) -> PathBuf {
        self.folder.join(format!("{uid}.{}", phase.extension()))
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<TransactionUid, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Asked { .. } => 0,
        Phase::Done => 1,
        Phase::Past => 2,
    }
}

fn at(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> CommitmentError + use<> {
    let path = path.to_path_buf();
    move |source| CommitmentError::Io { path, action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: u32) -> TransactionUid {
        TransactionUid::parse(&format!("1.2.{number}")).unwrap()
    }

    #[test]
    fn a_transaction_goes_through_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let open = |keep| {
            let options = Options { transactions_max: 3, keep };
            Commitments::open(folder.path(), options).unwrap()
        };
        let long = Duration::from_hours(1);
        let commitments = open(long);
        assert_eq!(commitments.get(&uid(1)).unwrap(), None);
        commitments.begin(&uid(1), b"one", false).unwrap();
        assert!(matches!(commitments.begin(&uid(1), b"again", false), Err(CommitmentError::InUse)));
        commitments.begin(&uid(2), b"two", true).unwrap();
        assert_eq!(commitments.next().unwrap(), Some((uid(1), b"one".to_vec())));
        assert_eq!(commitments.next().unwrap(), None);
        // Nobody is at work on anything after a start.
        let commitments = open(long);
        commitments.next().unwrap().unwrap();
        assert!(commitments.next().unwrap().is_some());
        assert_eq!(commitments.get(&uid(2)).unwrap(), Some(Standing::Pending));
        commitments.finish(&uid(1), b"found").unwrap();
        let commitments = open(long);
        assert_eq!(commitments.get(&uid(1)).unwrap(), Some(Standing::Done(b"found".to_vec())));
        commitments.begin(&uid(3), b"three", false).unwrap();
        assert!(matches!(commitments.begin(&uid(4), b"four", false), Err(CommitmentError::TooMany)));
        // A result that has expired is remembered until its place is needed.
        let commitments = open(Duration::ZERO);
        assert_eq!(commitments.get(&uid(1)).unwrap(), Some(Standing::Expired));
        assert!(matches!(commitments.begin(&uid(1), b"again", false), Err(CommitmentError::InUse)));
        let commitments = open(long);
        assert_eq!(commitments.get(&uid(1)).unwrap(), Some(Standing::Expired));
        commitments.begin(&uid(4), b"four", false).unwrap();
        assert_eq!(commitments.get(&uid(1)).unwrap(), None);
        assert_eq!(folder.path().read_dir().unwrap().count(), 3);
    }
}
