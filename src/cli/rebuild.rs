//! `hilum rebuild`: the catalog from the packs alone, the index from the
//! catalog. What was there is kept aside until the new one is whole.

use std::process::ExitCode;

use super::logging;
use crate::{archive::Archive, auth::Permit, config::Config, server::archive_options};

pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    logging::start(config)?;
    let rebuilt = Archive::rebuild(&Permit::operator(), &config.data, &archive_options(config))?;
    println!("{:>12}  entries of packs replayed", rebuilt.entries);
    println!("{:>12}  damaged places", rebuilt.damaged);
    println!("{:>12}  files not understood", rebuilt.not_understood);
    let whole = rebuilt.damaged == 0 && rebuilt.not_understood == 0;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
