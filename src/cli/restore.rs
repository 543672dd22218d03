//! `hilum restore`: an archive from a backup, in an empty folder; also up to a
//! point in time, or only a look whether the backup is whole.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::HumanBytes;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Common,
    backup::{BucketArguments, bar, open, place_of},
    deeds::{self, Deed},
    logging,
    say::say,
    tenants::Which,
};
use crate::{
    archive::{Archive, Restored, Until},
    audit::{Action, Event},
    auth::Permit,
    config::{self, Config, ROOT_ARCHIVE},
    server::options_of,
    storage::{
        Stamp,
        backups::{Backups, Manifest, TenantCopy, folder},
    },
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where backups are kept: a folder, or s3://BUCKET/PREFIX.
    #[arg(value_name = "PLACE")]
    place: String,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    bucket: BucketArguments,
    /// Which backup; else the newest. --list shows them.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only what was stored and deleted up to the change with this sequence number.
    #[arg(long, value_name = "N", conflicts_with = "until")]
    to_seq: Option<u64>,
    /// Only what was stored and deleted up to this time, such as 2026-12-31T23:59:59Z.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Restore nothing; print the complete backups.
    #[arg(long)]
    list: bool,
    /// Restore nothing; read the whole backup and hold it against its digests.
    #[arg(long, conflicts_with = "list")]
    check: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = arguments.common.load(None)?;
    logging::start_quiet(&config)?;
    // It may be a tenant that is in the backup only.
    let tenant = arguments.which.tenant.as_deref().filter(|name| *name != ROOT_ARCHIVE);
    let place = place_of(&arguments.place, tenant);
    let backups = open(&place, &arguments.bucket, false)?;
    let names = backups.manifests()?;
    if arguments.list {
        for name in &names {
            let manifest = backups.manifest(name)?;
            let bytes: u64 = manifest.packs.iter().map(|copy| copy.length).sum();
            let instances = manifest.totals.instances;
            let tenants = match manifest.tenants.len() {
                0 => String::new(),
                count => format!("  and {count} tenants"),
            };
            say!("{name}  seq {:>9}  {instances:>9} instances  {}{tenants}", manifest.seq, HumanBytes(bytes));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let newest =
        names.last().with_context(|| format!("there is no complete backup in {}", backups.place()))?;
    let name = arguments.name.as_ref().unwrap_or(newest);
    if !names.contains(name) {
        bail!("there is no backup {name} in {}; --list shows those that are", backups.place());
    }
    let manifest = backups.manifest(name)?;
    // With the root's archive come those that were copied with it.
    let tenants = if arguments.which.tenant.is_none() { manifest.tenants.clone() } else { Vec::new() };
    for copy in &tenants {
        anyhow::ensure!(config::is_name(&copy.tenant), "the backup names a tenant {:?}", copy.tenant);
    }
    if arguments.check {
        check(&backups, &manifest)?;
        for TenantCopy { tenant, backup } in &tenants {
            let backups = open(&place_of(&arguments.place, Some(tenant)), &arguments.bucket, false)?;
            check(&backups, &backups.manifest(backup)?).with_context(|| format!("tenant {tenant}"))?;
        }
        say!("{name} is whole");
        return Ok(ExitCode::SUCCESS);
    }
    let until = match (arguments.to_seq, &arguments.until) {
        (Some(_), _) if !tenants.is_empty() => bail!(
            "each archive counts its changes by itself: use --until, or --tenant to restore one of them (root too)"
        ),
        (Some(seq), _) => Until::Seq(seq),
        (None, Some(text)) => Until::Time(time(text)?),
        (None, None) => Until::End,
    };
    let mut done = one(&config, tenant, &backups, (&manifest, name == newest), until)?;
    for copy in &tenants {
        // Until they are restored they are no archives that could be begun anew.
        folder::restoring(&config.folder_of(Some(&copy.tenant)))?;
    }
    for TenantCopy { tenant, backup } in &tenants {
        say!("{tenant}:");
        let backups = open(&place_of(&arguments.place, Some(tenant)), &arguments.bucket, false)?;
        let is_newest = backups.manifests()?.last() == Some(backup);
        let which = (&backups.manifest(backup)?, is_newest);
        let restored = one(&config, Some(tenant), &backups, which, until);
        let restored = restored.with_context(|| {
            format!("tenant {tenant}; those that are missing are restored with --tenant, one by one")
        })?;
        if restored != ExitCode::SUCCESS {
            done = restored;
        }
    }
    // The log of the archive came with the backup, and goes on from there.
    let object = ("backup", format!("{place} {name}"));
    let deed = Deed { event: Event::Import, action: Action::Create, object };
    let command = arguments.which.said("hilum restore");
    deeds::leave(&config, &deeds::ended(&command, Some(deed), &Ok(done)))?;
    Ok(done)
}

fn check(backups: &Backups, manifest: &Manifest) -> anyhow::Result<()> {
    let bar = bar()?;
    Archive::check_backup(&Permit::operator(), backups, manifest, &mut |bytes| bar.set_position(bytes))?;
    bar.finish_and_clear();
    Ok(())
}

/// Restores one archive.
fn one(
    config: &Config,
    tenant: Option<&str>,
    backups: &Backups,
    which: (&Manifest, bool),
    until: Until,
) -> anyhow::Result<ExitCode> {
    let (data, options) = (config.folder_of(tenant), options_of(config, tenant));
    let bar = bar()?;
    let mut progress = |bytes| bar.set_position(bytes);
    let permit = Permit::operator();
    let restored = Archive::restore(&permit, &data, &options, backups, which, until, &mut progress)?;
    bar.finish_and_clear();
    Ok(print(&restored))
}

fn print(restored: &Restored) -> ExitCode {
    let (recovered, stats) = (&restored.recovered, &restored.stats);
    say!("{:>12}  files and deletions replayed, each by its digest", recovered.entries);
    say!("{:>12}  left out, as they came later", restored.left_out);
    if restored.in_between > 0 {
        say!("{:>12}  came later and could not be left out", restored.in_between);
    }
    say!("{:>12}  damaged places", recovered.damaged);
    say!("{:>12}  files not understood", recovered.not_understood);
    say!("{:>12}  studies", stats.studies);
    say!("{:>12}  series", stats.series);
    say!("{:>12}  instances, {}", stats.instances, HumanBytes(stats.file_bytes));
    say!("{:>12}  versions beside them", stats.versions);
    say!("{:>12}  other files", restored.files);
    let mut whole = recovered.damaged == 0 && recovered.not_understood == 0;
    match restored.as_it_was {
        Some(true) => say!("as it was when the backup was taken"),
        Some(false) => {
            whole = false;
            say!("NOT as it was when the backup was taken: run `hilum verify`");
        }
        None => {}
    }
    if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn time(text: &str) -> anyhow::Result<Stamp> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .with_context(|| format!("{text} is no time: write it like 2026-12-31T23:59:59Z"))?;
    Ok(Stamp(u64::try_from(time.unix_timestamp_nanos() / 1000).context("a time before 1970")?))
}
