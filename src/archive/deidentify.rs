//! De-identified copies (PS3.15 annex E): a study is stored once more as another
//! study that says nothing of its patient. Each copy comes in like any other file:
//! flushed, indexed, counted, recorded.
//!
//! Invariants: a copy that is there is not made again, so whoever asks twice, or
//! goes on after a crash, has one copy. Nothing that is kept, logged or answered to
//! who sees the copy leads to the original: only the secret does.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Archive, ArchiveError, Pending, Pieces, Scope, StoreOutcome, View, checked::CheckedSource,
    retrieve::stored, trails,
};
use crate::{
    auth::{Action, Permit},
    dicom::{
        InstancePath, StudyUid,
        deidentify::{Deidentifier, DeidentifyError, LeftOut, Pixels, Retain, Secret},
        part10::ReadError,
        reasons,
    },
    storage::{catalog::InstanceRow, packs::PackError},
};

/// Copies that are on their way into the catalog together, so that they share a
/// flush. Their memory is counted as that of uploads is.
const PENDING_MAX: usize = 16;

/// How it is done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deidentification {
    pub retain: Retain,
    pub pixels: Pixels,
}

/// What became of a study.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The copy.
    pub study: StudyUid,
    /// Instances that were copied now.
    pub stored: u64,
    /// Instances whose copies were there.
    pub already_there: u64,
    pub left_out: Vec<Left>,
}

/// An instance without a copy.
#[derive(Debug, Clone)]
pub struct Left {
    pub path: InstancePath,
    pub why: LeftOut,
}

enum Made {
    There,
    LeftOut(LeftOut),
    File(Pieces),
}

impl View<'_> {
    fn secret(&self) -> Result<Secret, ArchiveError> {
        Ok(Secret::new(self.core.pseudonyms.secret().map_err(ArchiveError::Io)?))
    }

    /// The de-identified form of an instance and its transfer syntax, or why there
    /// is none.
    ///
    /// # Errors
    /// When a storage fails.
    pub fn deidentified(
        &self,
        row: &InstanceRow,
        how: Deidentification,
    ) -> Result<Result<(Pieces, String), LeftOut>, ArchiveError> {
        let secret = self.secret()?;
        let file = stored(self.snapshot(), row, 0..row.place.length)?;
        let source = CheckedSource::new(&self.core.packs, file.clone());
        let plan = Deidentifier::new(&secret, how.retain).file(&source, &self.core.limits, how.pixels);
        match plan {
            Ok(plan) => {
                let transfer_syntax = plan.transfer_syntax.clone();
                Ok(Ok((super::Core::pieces_of(plan, &file, None), transfer_syntax)))
            }
            Err(DeidentifyError::LeftOut(why)) => Ok(Err(why)),
            Err(DeidentifyError::Encode(_)) => Ok(Err(LeftOut::Unwritable)),
            Err(DeidentifyError::Read(error @ ReadError::Io(_))) => left_if_damaged(error.into()).map(Err),
            Err(DeidentifyError::Read(_)) => Ok(Err(LeftOut::Unreadable)),
        }
    }

    fn copy_of(&self, row: &InstanceRow, how: Deidentification) -> Result<Made, ArchiveError> {
        let copy = Deidentifier::new(&self.secret()?, how.retain).path(&row.path);
        // Of the copies, who asks need see nothing.
        if self.snapshot().instance(&copy)?.is_some() {
            trails::read(self.trail.as_ref(), row);
            trails::version(self.trail.as_ref(), &copy);
            return Ok(Made::There);
        }
        Ok(match self.deidentified(row, how)? {
            Ok((pieces, _)) => {
                trails::read(self.trail.as_ref(), row);
                Made::File(pieces)
            }
            Err(why) => Made::LeftOut(why),
        })
    }
}

impl Archive {
    /// Makes the copies of what the caller sees of a study, as far as they are not
    /// there. Who hangs up stops it, and who asks again goes on.
    ///
    /// # Errors
    /// `NotFound` or `Gone` when there is no such study for the caller; when a storage
    /// fails or has no room for them all.
    pub async fn deidentify(
        self: &Arc<Self>,
        permit: &Permit,
        study: &StudyUid,
        how: Deidentification,
    ) -> Result<Copied, ArchiveError> {
        let permit = permit.clone().to(Action::Deidentify);
        let storing = permit.to_store_copies()?;
        let scope = Scope::Study(study.clone());
        let original = study.clone();
        let look = self.retrieve(&permit, move |view| {
            let rows = view.unseen(&scope)?;
            let copy = Deidentifier::new(&view.secret()?, how.retain).study(&original);
            Ok::<_, ArchiveError>((rows, copy))
        });
        let (rows, copy) = look.await?;
        let mut copied = Copied { study: copy, stored: 0, already_there: 0, left_out: Vec::new() };
        let mut pending = VecDeque::new();
        for row in rows {
            let path = row.path.clone();
            match self.retrieve(&permit, move |view| view.copy_of(&row, how)).await? {
                Made::There => copied.already_there += 1,
                Made::LeftOut(why) => copied.left_out.push(Left { path, why }),
                Made::File(pieces) => match self.take_copy(&storing, pieces, &copied.study).await {
                    Ok(taken) => pending.push_back((path, taken)),
                    Err(error) => copied.left_out.push(Left { path, why: left_if_damaged(error)? }),
                },
            }
            if pending.len() >= PENDING_MAX {
                copied.settle(pending.pop_front()).await?;
            }
        }
        while !pending.is_empty() {
            copied.settle(pending.pop_front()).await?;
        }
        Ok(copied)
    }

    /// Stores what is read, piece by piece.
    async fn take_copy(
        self: &Arc<Self>,
        storing: &Permit,
        mut pieces: Pieces,
        study: &StudyUid,
    ) -> Result<Pending, ArchiveError> {
        let mut incoming = self.begin_store_of_own(storing);
        while pieces.length() > 0 {
            pieces = self.read(pieces).await?;
            for bytes in pieces.take_ready() {
                incoming.write(bytes).await?;
            }
        }
        incoming.finish(Some(study)).await
    }
}

impl Copied {
    async fn settle(&mut self, pending: Option<(InstancePath, Pending)>) -> Result<(), ArchiveError> {
        let Some((path, pending)) = pending else { return Ok(()) };
        match pending.outcome().await?.outcome {
            StoreOutcome::Stored { .. } => self.stored += 1,
            StoreOutcome::AlreadyThere { .. } => self.already_there += 1,
            StoreOutcome::Failed { reason: reasons::OUT_OF_RESOURCES, why } => {
                return Err(ArchiveError::OverQuota(why));
            }
            StoreOutcome::Failed { why, .. } => {
                tracing::warn!(why, "a de-identified copy was not taken");
                self.left_out.push(Left { path, why: LeftOut::NotTaken });
            }
        }
        Ok(())
    }
}

/// What is wrong with one instance is said of it; all else is the archive's.
#[allow(clippy::wildcard_enum_match_arm, reason = "only what is of one instance is told apart")]
fn left_if_damaged(error: ArchiveError) -> Result<LeftOut, ArchiveError> {
    match error {
        ArchiveError::Damaged(_)
        | ArchiveError::Unreadable(_)
        | ArchiveError::Packs(PackError::Missing { .. }) => Ok(LeftOut::Unreadable),
        error => Err(error),
    }
}
