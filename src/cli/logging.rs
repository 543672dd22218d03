//! Logs go to standard error, as lines for people or as JSON for collectors.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Begins to log as the configuration says.
///
/// # Errors
/// When the level is no filter.
pub(crate) fn start(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log.level)?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours would be noise in a file or a journal.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start in one process keeps the first subscriber.
    let _ = match config.log.format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// As [`start`], but only what is wrong: for commands whose output is a report.
///
/// # Errors
/// When the level is no filter.
pub(crate) fn start_quiet(config: &Config) -> anyhow::Result<()> {
    let mut config = config.clone();
    if config.log.level == "info" {
        "warn".clone_into(&mut config.log.level);
    }
    start(&config)
}
