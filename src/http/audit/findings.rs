//! What the scrub finds becomes records of the audit log (PS3.15 section
//! A.5.3.11, Security Alert): that what is kept is not what was stored is for
//! whoever must answer for it, and not for the server's own log alone.

use std::{sync::Arc, time::Duration};

use actix_web::{
    rt::time::sleep,
    web::{self, Data},
};

use super::super::State;
use crate::{
    archive::Finding,
    audit::{self, Action, Event, Outcome, Record},
    auth::Permit,
};

/// How soon a finding is recorded.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Records that are written at once.
const BATCH: usize = 100;

/// For as long as the server runs.
pub async fn tend_findings(state: Data<State>) {
    let Some(journal) = state.audit.clone() else { return };
    let permit = Permit::operator();
    loop {
        sleep(LOOK_EVERY).await;
        for (tenant, archive) in state.all_archives() {
            let found: Vec<Finding> = archive.scrubbed(&permit).untold.into_iter().take(BATCH).collect();
            if found.is_empty() {
                continue;
            }
            let records = found.iter().map(|finding| alert(finding).of_tenant(tenant)).collect();
            match journal.write(records).await {
                Ok(()) => {
                    let archive = Arc::clone(archive);
                    let permit = permit.clone();
                    // It writes a small file.
                    let _ = web::block(move || archive.scrub_told(&permit, &found)).await;
                }
                // They are tried again.
                Err(error) => tracing::error!(%error, "what the scrub found is not in the audit log yet"),
            }
        }
    }
}

fn alert(finding: &Finding) -> Record {
    // UIDs and places: no finding names a patient.
    let said = serde_json::to_string(finding).unwrap_or_default();
    Record::new(Event::Alert, Action::Execute, Outcome::SeriousFailure, audit::own())
        .about("finding", said)
        .because("what is stored is not as it should be")
}
