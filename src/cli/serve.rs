//! `hilum serve`: the server, until it is told to stop.

use std::process::ExitCode;

use super::logging;
use crate::{config::Config, server};

pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    logging::start(config)?;
    for name in Config::unknown_variables() {
        tracing::warn!(name, "an environment variable begins like ours and means nothing");
    }
    server::run(config, |address| {
        tracing::info!(
            url = %format!("http://{address}/dicomweb"),
            docs = %format!("http://{address}/docs"),
            data = %config.data.display(),
            "ready"
        );
    })?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
