//! `hilum stats`: how much the archive of a stopped server holds. A running
//! one tells it at `/metrics`.

use std::process::ExitCode;

use indicatif::HumanBytes;

use super::logging;
use crate::{archive::Archive, auth::Permit, config::Config, server::archive_options};

pub(super) fn run(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    logging::start_quiet(config)?;
    let archive = Archive::open_existing(&config.data, &archive_options(config))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let stats = runtime.block_on(archive.stats(&Permit::operator()))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&stats)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:>12}  studies", stats.studies);
    println!("{:>12}  series", stats.series);
    println!("{:>12}  instances, {}", stats.instances, HumanBytes(stats.file_bytes));
    println!("{:>12}  versions beside them, {}", stats.versions, HumanBytes(stats.version_bytes));
    println!("{:>12}  packs, {}", stats.packs, HumanBytes(stats.pack_bytes));
    if stats.bucket_packs > 0 {
        println!("{:>12}  of them in the bucket, {}", stats.bucket_packs, HumanBytes(stats.bucket_bytes));
    }
    println!("{:>12}  of them no longer used", HumanBytes(stats.dead_bytes).to_string());
    println!("{:>12}  changes since the beginning", stats.seq);
    Ok(ExitCode::SUCCESS)
}
