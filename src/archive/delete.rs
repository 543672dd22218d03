//! Delete: a tombstone in the packs and in the catalog, so that a later request
//! is answered with 410 and a rebuild does not bring the instance back. The
//! bytes stay in their pack until it is rewritten.

use super::{Archive, ArchiveError, Scope, committer::Work, retrieve::missing, sight::Sight, trails};
use crate::{
    audit,
    auth::{Action, Permit},
    dicom::InstancePath,
    storage::catalog::Outcome,
};

impl Archive {
    /// Deletes everything in `scope`; the instances that were there.
    ///
    /// # Errors
    /// `NotFound` when there is nothing, `Gone` when it was deleted before.
    pub async fn delete(&self, permit: &Permit, scope: Scope) -> Result<Vec<InstancePath>, ArchiveError> {
        let permit = permit.clone().to(Action::Delete);
        if permit.required()?.filter().is_none() {
            return self.delete_whole(&permit, scope).await;
        }
        // Of what is seen in part only that part goes: series by series, since
        // nothing is finer.
        let core = std::sync::Arc::clone(&self.core);
        let asking = permit.clone();
        let seen = move || parts_of(&core.sight(&asking)?, &scope);
        let mut gone = Vec::new();
        for part in self.pool.run(seen).await? {
            match self.delete_whole(&permit, part).await {
                Ok(instances) => gone.extend(instances),
                // Somebody else was faster.
                Err(ArchiveError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(gone)
    }

    async fn delete_whole(&self, permit: &Permit, scope: Scope) -> Result<Vec<InstancePath>, ArchiveError> {
        let trail = permit.trail().cloned();
        if trail.is_some() {
            // Afterwards nobody knows whose they were.
            let (core, scope) = (std::sync::Arc::clone(&self.core), scope.clone());
            let note = move || trails::scope(trail.as_ref(), &core, &scope, audit::Action::Delete);
            self.pool.run(note).await?;
        }
        let work = Work::Delete { target: scope.target(), caller: permit.caller_name() };
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
                let permit = permit.clone();
                let missing = move || missing(&core.sight(&permit)?, &scope);
                Err(self.pool.run(missing).await?)
            }
        }
    }
}

/// What of a scope the caller sees.
fn parts_of(sight: &Sight<'_>, scope: &Scope) -> Result<Vec<Scope>, ArchiveError> {
    let parts: Vec<Scope> = match scope {
        Scope::Study(study) => {
            sight.series_of(study)?.into_iter().map(|series| Scope::Series(series.path)).collect()
        }
        Scope::Series(path) => sight.series(path)?.map(|row| Scope::Series(row.path)).into_iter().collect(),
        Scope::Instance(path) => {
            sight.instance(path)?.map(|row| Scope::Instance(row.path)).into_iter().collect()
        }
    };
    if parts.is_empty() { Err(missing(sight, scope)?) } else { Ok(parts) }
}
