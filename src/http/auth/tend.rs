//! What happens to accounts without a request: changes by commands are taken up
//! and told, and the last uses of tokens are written.

use std::{sync::Arc, time::Duration};

use actix_web::{rt::time::sleep, web, web::Data};

use super::tell;
use crate::{
    auth::event::{Event, What},
    http::State,
};

/// How soon a command's change counts.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two writings of the last uses.
const WRITE_EVERY: u32 = 60;

/// For as long as the server runs.
pub async fn tend(state: Data<State>) {
    if !state.config.auth.enabled {
        return;
    }
    for look in 1_u32.. {
        sleep(LOOK_EVERY).await;
        let auth = Arc::clone(&state.auth);
        let is_time = look.is_multiple_of(WRITE_EVERY);
        let done = web::block(move || {
            let changed = auth.refresh()?;
            if is_time {
                auth.note_uses()?;
            }
            Ok::<_, crate::storage::accounts::AccountsError>(changed)
        });
        let changed = match done.await {
            Ok(Ok(changed)) => changed,
            Ok(Err(error)) => {
                tracing::error!(%error, "the accounts cannot be read or written");
                continue;
            }
            Err(_) => continue,
        };
        for name in changed {
            let what = What::AccountChanged { change: "by a command" };
            let event = Event { what, subject: Some(name), by: Some("operator".to_owned()), peer: None };
            if let Err(error) = tell(&state, &event).await {
                tracing::error!(%error, "a change of an account is not in the trail");
            }
        }
    }
}
