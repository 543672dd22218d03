//! Delete: a tombstone in the packs and in the catalog, so that a later request
//! is answered with 410 and a rebuild does not bring the instance back. The
//! bytes stay in their pack until it is rewritten.

use super::{Archive, ArchiveError, Scope, committer::Work, trails};
use crate::{audit::Action, auth::Permit, dicom::InstancePath, storage::catalog::Outcome};

impl Archive {
    /// Deletes everything in `scope`; the instances that were there.
    ///
    /// # Errors
    /// `NotFound` when there is nothing, `Gone` when it was deleted before.
    pub async fn delete(&self, permit: &Permit, scope: Scope) -> Result<Vec<InstancePath>, ArchiveError> {
        let trail = permit.trail().cloned();
        if trail.is_some() {
            // Afterwards nobody knows whose they were.
            let (core, scope) = (std::sync::Arc::clone(&self.core), scope.clone());
            self.pool.run(move || trails::scope(trail.as_ref(), &core, &scope, Action::Delete)).await?;
        }
        let work = Work::Delete { target: scope.target(), caller: permit.caller() };
        let answer = self.committer.submit(work)?;
        match answer.await.map_err(|_| ArchiveError::Stopping)?? {
            Outcome::Deleted { instances } => Ok(instances),
            Outcome::NotFound
            | Outcome::Stored { .. }
            | Outcome::AlreadyThere
            | Outcome::Kept { .. }
            | Outcome::Conflict { .. }
            | Outcome::Superseded
            | Outcome::Moved
            | Outcome::Noted => {
                let core = std::sync::Arc::clone(&self.core);
                let missing =
                    self.pool.run(move || super::retrieve::missing(&core.catalog.read()?, &scope)).await?;
                Err(missing)
            }
        }
    }
}
