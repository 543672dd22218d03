//! The one place that hears what authentication has seen.

use crate::{
    auth::event::Event,
    http::{Problem, State, audit},
};

/// Takes note of an event, before its consequence is answered: an error stops
/// what was to happen.
///
/// # Errors
/// When it could not be noted.
pub async fn tell(state: &State, event: &Event) -> Result<(), Problem> {
    let code = event.what.code();
    let (subject, by, peer) = (&event.subject, &event.by, event.peer);
    let detail = event.what.detail();
    metrics::counter!("hilum_auth_events_total", "event" => code).increment(1);
    tracing::info!(code, ?subject, ?by, ?peer, detail, "authentication");
    audit::record_told(state, event).await
}
