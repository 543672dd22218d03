//! `hilum stats`: how much the archives of a stopped server hold. A running
//! one tells it at `/metrics`.

use std::process::ExitCode;

use indicatif::HumanBytes;

use super::{logging, say::say, tenants::each};
use crate::{
    archive::{Archive, Stats},
    auth::Permit,
    config::Config,
    server::options_of,
};

pub(super) fn run(config: &Config, archives: &[Option<String>], json: bool) -> anyhow::Result<ExitCode> {
    logging::start_quiet(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let stats = |tenant: Option<&str>| {
        let archive = Archive::open_existing(&config.folder_of(tenant), &options_of(config, tenant))?;
        Ok(runtime.block_on(archive.stats(&Permit::operator()))?)
    };
    each(archives, json, stats, print)?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::unnecessary_wraps, reason = "as each report is printed")]
fn print(stats: &Stats) -> anyhow::Result<()> {
    say!("{:>12}  studies", stats.studies);
    say!("{:>12}  series", stats.series);
    say!("{:>12}  instances, {}", stats.instances, HumanBytes(stats.file_bytes));
    say!("{:>12}  versions beside them, {}", stats.versions, HumanBytes(stats.version_bytes));
    say!("{:>12}  packs, {}", stats.packs, HumanBytes(stats.pack_bytes));
    if stats.bucket_packs > 0 {
        say!("{:>12}  of them in the bucket, {}", stats.bucket_packs, HumanBytes(stats.bucket_bytes));
    }
    say!("{:>12}  of them no longer used", HumanBytes(stats.dead_bytes).to_string());
    say!("{:>12}  changes since the beginning", stats.seq);
    Ok(())
}
