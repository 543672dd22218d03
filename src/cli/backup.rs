//! `hilum backup`: a copy of the archive, running or not, in a folder or in a
//! bucket. Only what is new is copied.

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::{
    Common,
    deeds::{self, Deed},
    logging,
    say::say,
    tenants::{Which, each},
};
use crate::{
    archive::{self, Archive, ArchiveError, BackupReport},
    audit::{Action, Event},
    auth::Permit,
    config::{Config, TENANTS_FOLDER},
    control::Line,
    server::options_of,
    storage::{
        backups::{Backups, TenantCopy},
        objects::{Bucket, Objects},
        packs::PackError,
    },
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where backups are kept: a folder, or s3://BUCKET/PREFIX. Credentials for
    /// a bucket come from the environment (AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or the role of the machine).
    #[arg(value_name = "PLACE")]
    pub place: String,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub bucket: BucketArguments,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(super) struct BucketArguments {
    /// The URL of an S3-compatible server; else that of the region.
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL")]
    pub endpoint: Option<String>,
    /// The region of the bucket.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = arguments.common.load(None)?;
    let object = ("backup", arguments.place.clone());
    let deed = Deed { event: Event::Export, action: Action::Read, object };
    let command = arguments.which.said("hilum backup");
    deeds::recorded(&config, &command, Some(deed), || work(&config, arguments))
}

fn work(config: &Config, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    logging::start_quiet(config)?;
    if !arguments.place.starts_with("s3://") && is_within(Path::new(&arguments.place), &config.data) {
        anyhow::bail!(
            "{} is in the archive's own folder ({}): it would be lost with it, and copied into each later backup; \
             name another place",
            arguments.place,
            config.data.display()
        );
    }
    // The root's last: it names those of the tenants, and is complete when all are.
    let mut archives = arguments.which.archives(config)?;
    archives.rotate_left(1);
    let mut copies = Vec::new();
    let backup = |tenant: Option<&str>| {
        let place = place_of(&arguments.place, tenant);
        let backups = open(&place, &arguments.bucket, true)?;
        let tenants = if tenant.is_none() { std::mem::take(&mut copies) } else { Vec::new() };
        let bar = bar()?;
        let report = copy((config, tenant), (&backups, tenants), &mut |bytes| bar.set_position(bytes))?;
        bar.finish_and_clear();
        if let Some(tenant) = tenant {
            copies.push(TenantCopy { tenant: tenant.to_owned(), backup: report.name.clone() });
        }
        Ok(report)
    };
    let reports = each(&archives, arguments.json, backup, print)?;
    let is_whole = reports.iter().all(|report| report.damaged == 0 && report.lost == 0);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a place, which need not be there yet, is this folder or below it.
fn is_within(place: &Path, folder: &Path) -> bool {
    let (Ok(place), Ok(folder)) = (std::path::absolute(place), folder.canonicalize()) else { return false };
    let there = place.ancestors().find_map(|part| part.canonicalize().ok());
    there.is_some_and(|there| there.starts_with(folder))
}

#[expect(clippy::unnecessary_wraps, reason = "as each report is printed")]
fn print(report: &BackupReport) -> anyhow::Result<()> {
    say!("{:>12}  name of this backup", report.name);
    say!("{:>12}  last sequence number", report.seq);
    say!("{:>12}  packs, {}", report.packs, HumanBytes(report.pack_bytes));
    say!("{:>12}  files and deletions in them", report.entries);
    say!("{:>12}  other files", report.files);
    say!("{:>12}  objects copied, {}", report.written.objects, HumanBytes(report.written.bytes));
    say!("{:>12}  damaged places", report.damaged);
    if report.lost > 0 {
        say!("{:>12}  packs that are NOT there any more: run `hilum verify`", report.lost);
    }
    Ok(())
}

fn copy(
    (config, tenant): (&Config, Option<&str>),
    to: (&Backups, Vec<TenantCopy>),
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<BackupReport> {
    let permit = Permit::operator();
    let (data, options) = (config.folder_of(tenant), options_of(config, tenant));
    let from = (data.as_path(), &options);
    if let Some(line) = Line::open(&data) {
        let moment = line.moment()?;
        let mut stamps = |after, limit| line.stamps(&moment.catalog, after, limit);
        return Ok(archive::backup(&permit, from, &moment, &mut stamps, to, progress)?);
    }
    let archive = match Archive::open_existing(&data, &options) {
        Err(ArchiveError::Packs(error @ PackError::Locked { .. })) => {
            return Err(error).context(
                "a process holds the archive and does not answer at control.sock in its folder; if it is a \
                 server, its log says why",
            );
        }
        archive => archive?,
    };
    let moment = archive.moment(&permit)?;
    let mut stamps = |after, limit| archive.stamps(&permit, &moment.catalog, after, limit);
    Ok(archive::backup(&permit, from, &moment, &mut stamps, to, progress)?)
}

/// Where backups of a tenant's archive are kept, below those of the root's.
pub(super) fn place_of(place: &str, tenant: Option<&str>) -> String {
    match tenant {
        Some(name) => format!("{}/{TENANTS_FOLDER}/{name}", place.trim_end_matches('/')),
        None => place.to_owned(),
    }
}

/// The place of the backups. Only to write one, a folder may be begun.
pub(super) fn open(place: &str, bucket: &BucketArguments, to_write: bool) -> anyhow::Result<Backups> {
    let Some(rest) = place.strip_prefix("s3://") else {
        if !to_write && !Path::new(place).is_dir() {
            anyhow::bail!("{place} is no folder");
        }
        return Ok(Backups::new(Objects::in_folder(Path::new(place)).context(place.to_owned())?));
    };
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if name.is_empty() {
        anyhow::bail!("{place} names no bucket: s3://BUCKET/PREFIX");
    }
    let objects = Objects::in_bucket(&Bucket {
        name: name.to_owned(),
        prefix: prefix.to_owned(),
        endpoint: bucket.endpoint.clone(),
        region: bucket.region.clone(),
        retry_time_max: None,
        request_time_max: None,
    });
    Ok(Backups::new(objects.context(place.to_owned())?))
}

pub(super) fn bar() -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{bytes}, {bytes_per_sec}")?);
    bar.enable_steady_tick(Duration::from_millis(500));
    Ok(bar)
}
