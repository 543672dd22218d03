//! What goes into the trail of a permit ([`crate::audit::Trail`]): whose study an
//! instance belongs to, and how many there are. It decides nothing, and a trail
//! that nobody carries costs nothing.

use std::sync::Arc;

use dicom_dictionary_std::tags;

use super::{Archive, ArchiveError, Core, Scope, StoreOutcome, Stored};
use crate::{
    audit::{Action, Deed, Outcome, Patient, Subject, Trail},
    dicom::{DataSet, InstancePath, StudyUid},
    storage::catalog::{InstanceRow, SeriesRow},
};

/// Whose a file is that arrives.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    pub study: StudyUid,
    pub subject: Subject,
    /// Another file was the instance before.
    pub replaces: bool,
}

/// Whose study these attributes are of.
pub(super) fn subject_of(attributes: &DataSet) -> Subject {
    let text = |tag| attributes.first_text(tag).unwrap_or_default().trim().to_owned();
    Subject {
        patient: Patient { id: text(tags::PATIENT_ID), issuer: text(tags::ISSUER_OF_PATIENT_ID) },
        accession: text(tags::ACCESSION_NUMBER),
    }
}

impl Archive {
    /// Whose study this is; for the audit of what was done to it.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn subject(&self, study: StudyUid) -> Result<Option<Subject>, ArchiveError> {
        let core = Arc::clone(&self.core);
        self.pool
            .run(move || Ok(core.catalog.read()?.study(&study)?.map(|row| subject_of(&row.attributes))))
            .await
    }
}

/// An instance is shown.
pub(super) fn read(trail: Option<&Trail>, row: &InstanceRow) {
    if let Some(trail) = trail {
        let deed = deed(&row.path.study, Action::Read);
        trail.instance(deed, &row.sop_class, row.path.instance.as_str(), None);
    }
}

/// A version of an instance is shown, or that there are some.
pub(super) fn version(trail: Option<&Trail>, path: &InstancePath) {
    if let Some(trail) = trail {
        trail.instance(deed(&path.study, Action::Read), "", path.instance.as_str(), None);
    }
}

/// Everything in a scope is about to be shown, or deleted. What is not there
/// leaves no trail.
pub(super) fn scope(
    trail: Option<&Trail>,
    core: &Core,
    scope: &Scope,
    action: Action,
) -> Result<(), ArchiveError> {
    let Some(trail) = trail else { return Ok(()) };
    let snapshot = core.catalog.read()?;
    let (Scope::Study(study)
    | Scope::Series(crate::dicom::SeriesPath { study, .. })
    | Scope::Instance(InstancePath { study, .. })) = scope;
    let Some(row) = snapshot.study(study)? else { return Ok(()) };
    let subject = Some(subject_of(&row.attributes));
    let deed = deed(study, action);
    match scope {
        Scope::Study(_) => trail.classes(deed, &row.sop_classes, subject),
        Scope::Series(path) => {
            if let Some(SeriesRow { sop_classes, .. }) = snapshot.series(path)? {
                trail.classes(deed, &sop_classes, subject);
            }
        }
        Scope::Instance(path) => {
            if let Some(row) = snapshot.instance(path)? {
                trail.instance(deed, &row.sop_class, path.instance.as_str(), subject);
            }
        }
    }
    Ok(())
}

/// What became of a file that arrived.
pub(super) fn stored(trail: Option<&Trail>, stored: &Stored) {
    let Some(trail) = trail else { return };
    let replaces = stored.about.as_ref().is_some_and(|about| about.replaces);
    let (action, outcome) = match &stored.outcome {
        StoreOutcome::Stored { .. } if replaces => (Action::Update, Outcome::Success),
        StoreOutcome::Stored { .. } => (Action::Create, Outcome::Success),
        StoreOutcome::AlreadyThere { .. } => (Action::Read, Outcome::Success),
        StoreOutcome::Failed { .. } => (Action::Create, Outcome::MinorFailure),
    };
    let study = stored.about.as_ref().map(|about| about.study.to_string()).unwrap_or_default();
    let subject = stored.about.as_ref().map(|about| about.subject.clone());
    let class = stored.sop_class.as_deref().unwrap_or_default();
    let instance = stored.sop_instance.as_deref().unwrap_or_default();
    let deed = Deed { study, action, outcome };
    if let StoreOutcome::Failed { reason, .. } = &stored.outcome {
        trail.refused(deed.clone(), *reason);
    }
    trail.instance(deed, class, instance, subject);
}

fn deed(study: &StudyUid, action: Action) -> Deed {
    Deed { study: study.to_string(), action, outcome: Outcome::Success }
}
