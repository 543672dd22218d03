//! `hilum rebuild`: the catalog from the packs alone, the index from the
//! catalog. What was there is kept aside until the new one is whole.

use std::process::ExitCode;

use super::{logging, say::say, tenants::name_of};
use crate::{archive::Archive, auth::Permit, config::Config, server::options_of};

pub(super) fn run(config: &Config, archives: &[Option<String>]) -> anyhow::Result<ExitCode> {
    logging::start(config)?;
    let mut whole = true;
    for tenant in archives {
        let tenant = tenant.as_deref();
        if archives.len() > 1 {
            say!("{}:", name_of(tenant));
        }
        let (data, options) = (config.folder_of(tenant), options_of(config, tenant));
        let rebuilt = Archive::rebuild(&Permit::operator(), &data, &options)?;
        say!("{:>12}  entries of packs replayed", rebuilt.entries);
        say!("{:>12}  damaged places", rebuilt.damaged);
        say!("{:>12}  files not understood", rebuilt.not_understood);
        whole &= rebuilt.damaged == 0 && rebuilt.not_understood == 0;
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
