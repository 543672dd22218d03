//! Which of some studies a caller does not see: before a link to them is given.

use std::sync::Arc;

use super::{Archive, ArchiveError};
use crate::{auth::Permit, dicom::StudyUid};

impl Archive {
    /// The first of these studies that does not exist for the caller, doing what
    /// the permit is for.
    ///
    /// # Errors
    /// When a storage fails or the archive is busy.
    pub async fn first_unseen(
        &self,
        permit: &Permit,
        studies: Vec<StudyUid>,
    ) -> Result<Option<StudyUid>, ArchiveError> {
        let core = Arc::clone(&self.core);
        let permit = permit.clone();
        self.pool
            .run(move || {
                let sight = core.sight(&permit)?;
                for study in studies {
                    if sight.study(&study)?.is_none() {
                        return Ok(Some(study));
                    }
                }
                Ok(None)
            })
            .await
    }
}
