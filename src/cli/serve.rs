//! `hilum serve`: the server, until it is told to stop.

use std::process::ExitCode;

use super::{deeds, logging, say::say};
use crate::{
    audit::{Action, Event, Outcome, Record},
    auth::Authentication,
    config::Config,
    server,
};

pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    logging::start(config)?;
    for name in Config::unknown_variables() {
        tracing::warn!(name, "an environment variable begins like ours and means nothing");
    }
    let first = Authentication::open(&config.data, &config.auth)?.first_run()?;
    if let Some((name, password)) = first {
        let made = Record::new(Event::UserChanged, Action::Create, Outcome::Success, deeds::operator());
        let made = made.about("account", name).because("the first account, of an administrator");
        deeds::leave(config, &[made])?;
        // To the terminal and not into the log, which is kept.
        say!(
            "\nThere is no account yet. An administrator was made; this is shown once:\n\n    name      {name}\n    \
             password  {password}\n\nOther accounts: hilum user add NAME --role ROLE\n"
        );
    }
    let scheme = if config.tls.is_on() { "https" } else { "http" };
    server::run(config, |address| {
        tracing::info!(
            url = %format!("{scheme}://{address}/dicomweb"),
            docs = %format!("{scheme}://{address}/docs"),
            data = %config.data.display(),
            "ready"
        );
    })?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
