//! Reservations of SOP Instance UIDs: two uploads of one instance at the same
//! time go one after the other, so that what the second comes to is known
//! before its bytes are written.
//!
//! Who waits keeps no thread: a commit takes as long as the disk or the bucket
//! does, and whoever sends an instance again and again would keep the whole pool.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::dicom::InstanceUid;

#[derive(Debug, Clone, Default)]
pub(super) struct Reservations {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    taken: Mutex<HashSet<InstanceUid>>,
    freed: Notify,
}

/// The sole right to store an instance of this UID. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Reservation {
    uid: InstanceUid,
    shared: Arc<Shared>,
}

impl Reservations {
    /// Takes the UID, if no other upload has it.
    pub(super) fn try_take(&self, uid: &InstanceUid) -> Option<Reservation> {
        let is_free = self.shared.lock().insert(uid.clone());
        is_free.then(|| Reservation { uid: uid.clone(), shared: Arc::clone(&self.shared) })
    }

    /// Takes the UID once no other upload has it, which is after its commit.
    pub(super) async fn take(&self, uid: &InstanceUid) -> Reservation {
        loop {
            // Before it is tried: what is freed in between is told.
            let freed = self.shared.freed.notified();
            if let Some(reservation) = self.try_take(uid) {
                return reservation;
            }
            freed.await;
        }
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
        self.shared.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_after_the_other() {
        let reservations = Reservations::default();
        let uid = InstanceUid::parse("1.2.3").unwrap();
        let first = reservations.try_take(&uid).unwrap();
        assert!(reservations.try_take(&uid).is_none());
        assert!(reservations.try_take(&InstanceUid::parse("1.2.4").unwrap()).is_some());
        let inside = Arc::new(Mutex::new(()));
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let (reservations, uid, inside) = (reservations.clone(), uid.clone(), Arc::clone(&inside));
                tokio::spawn(async move {
                    let reservation = reservations.take(&uid).await;
                    assert!(inside.try_lock().is_ok(), "two have it");
                    drop(reservation);
                })
            })
            .collect();
        // One that gives up while it waits leaves nothing behind.
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(1), reservations.take(&uid));
        assert!(given_up.await.is_err());
        drop(first);
        for waited in waiting {
            waited.await.unwrap();
        }
        assert!(reservations.try_take(&uid).is_some());
    }
}
