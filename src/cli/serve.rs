//! `hilum serve`: the server, until it is told to stop.

use std::process::ExitCode;

use super::logging;
use crate::{config::Config, server::Server};

pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    logging::start(config)?;
    for name in Config::unknown_variables() {
        tracing::warn!(name, "an environment variable begins like ours and means nothing");
    }
    actix_web::rt::System::new().block_on(async {
        let server = Server::start(config)?;
        tracing::info!(
            url = %format!("http://{}/dicomweb", server.address),
            docs = %format!("http://{}/docs", server.address),
            data = %config.data.display(),
            "ready"
        );
        server.run().await
    })?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
