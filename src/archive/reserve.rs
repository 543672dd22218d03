//! Reservations of SOP Instance UIDs: two uploads of one instance at the same
//! time go one after the other, so that what the second comes to is known
//! before its bytes are written.

use std::{
    collections::HashSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::dicom::InstanceUid;

#[derive(Debug, Clone, Default)]
pub(super) struct Reservations {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<HashSet<InstanceUid>>,
    freed: Condvar,
}

/// The sole right to store an instance of this UID. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Reservation {
    uid: InstanceUid,
    shared: Arc<Shared>,
}

impl Reservations {
    /// Takes the UID; blocks while another upload has it, which is for as long
    /// as one commit takes.
    pub(super) fn take(&self, uid: &InstanceUid) -> Reservation {
        let mut taken = self.shared.lock();
        while !taken.insert(uid.clone()) {
            taken = self.shared.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        Reservation { uid: uid.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashSet<InstanceUid>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.uid);
        self.shared.freed.notify_all();
    }
}
