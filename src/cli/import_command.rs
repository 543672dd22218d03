//! The arguments of `hilum import`, and its way into the archive of a stopped
//! server: [`super::import`] finds and reads, here files are stored.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::{Args, builder::RangedU64ValueParser};
use zeroize::Zeroizing;

use super::{
    Common, deeds,
    import::{self, Candidate, Content, Outcome, Server, Settings},
    logging,
    say::say,
    tenants::Which,
};
use crate::{
    archive::{Archive, ArchiveError, Pending, StoreOutcome, Stored},
    audit::{Access, Event, Journal, JournalError, Trail},
    auth::Permit,
    config::{Config, ROOT_ARCHIVE, TOKEN_VARIABLE},
    server::options_of,
    storage::packs::PackError,
};

/// Bytes of a large file handed on at once.
const READ_BYTES: usize = 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files, folders, zip files, DICOM media.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Store through a running server, for example http://127.0.0.1:8080.
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    url: Option<String>,
    /// A file with a token for that server, which asks who stores; else HILUM_TOKEN of the environment counts.
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// Files read at the same time; one for each core if not given.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    threads: Option<usize>,
    /// Do not continue an interrupted import, and note nothing for a later one.
    #[arg(long)]
    no_journal: bool,
    /// Into the archive of this tenant; else into that of the root.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = arguments.common.load(None)?;
    logging::start_quiet(&config)?;
    let settings = Settings {
        paths: arguments.paths.clone(),
        threads: arguments
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from)),
        small_bytes_max: config.store.small_bytes_max,
        file_bytes_max: config.limits.part_bytes_max,
        journal: None,
    };
    let report = match &arguments.url {
        Some(url) => {
            let url = match arguments.tenant.as_deref().filter(|name| *name != ROOT_ARCHIVE) {
                Some(name) => {
                    let root = url.trim_end_matches('/');
                    format!("{}/{name}/dicomweb", root.strip_suffix("/dicomweb").unwrap_or(root))
                }
                None => url.clone(),
            };
            let token = token(arguments.token_file.as_deref())?;
            let server = Server::connect(&url, token.as_ref().map(|token| token.as_str()))?;
            let journal = journal_for(&url);
            let settings = Settings { journal: (!arguments.no_journal).then_some(journal), ..settings };
            let there = |uids: &[&str]| server.already_there(uids).unwrap_or_default();
            import::run(&settings, &|batch| server.store(batch), Some(&there))
        }
        None => into_folder(&config, arguments, settings)?,
    };
    say!("{report}");
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The token that says who stores. It is no argument: those are for everybody to read.
fn token(file: Option<&Path>) -> anyhow::Result<Option<Zeroizing<String>>> {
    let (text, place) = match file {
        Some(file) => {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            (Some(text), file.display().to_string())
        }
        None => (std::env::var(TOKEN_VARIABLE).ok(), TOKEN_VARIABLE.to_owned()),
    };
    let Some(text) = text.map(Zeroizing::new) else { return Ok(None) };
    match text.trim() {
        "" if file.is_none() => Ok(None),
        "" => bail!("{place} is empty; it must hold a token, as `hilum token add` prints it"),
        token if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(token.to_owned().into())),
        _ => bail!("{place} must hold one token and nothing else, as `hilum token add` prints it"),
    }
}

/// What one server has acknowledged says nothing of another.
fn journal_for(url: &str) -> PathBuf {
    let digest = blake3::hash(url.trim_end_matches('/').as_bytes()).to_hex();
    PathBuf::from(format!(".hilum-import-{}.journal", &digest[..8]))
}

fn into_folder(config: &Config, arguments: &Arguments, settings: Settings) -> anyhow::Result<import::Report> {
    let which = Which { tenant: arguments.tenant.clone() };
    let tenant = which.one(config)?;
    let data = config.folder_of(tenant.as_deref());
    let archive = match Archive::open(&data, &options_of(config, tenant.as_deref())) {
        Err(ArchiveError::Packs(error @ PackError::Locked { .. })) => {
            return Err(error).context("give the address of the running server by --url, or stop it");
        }
        archive => archive?,
    };
    let journal = data.join("import.journal");
    let settings = Settings { journal: (!arguments.no_journal).then_some(journal), ..settings };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let permit = Permit::operator();
    let log = deeds::open(config, &which.said("hilum import"))?;
    let store = |batch: Vec<Candidate>| {
        let count = batch.len();
        runtime.block_on(async {
            let Some(log) = &log else { return store(&archive, &permit, batch).await };
            if let Err(error) = log.ready().await {
                return refused(count, &error);
            }
            let trail = Trail::default();
            let stored = store(&archive, &permit.clone().on_trail(Some(trail.clone())), batch).await;
            match record(log, tenant.as_deref(), &trail).await {
                Ok(()) => stored,
                Err(error) => refused(count, &error),
            }
        })
    };
    // The journal lies in the archive, and is lost with it.
    let report = import::run(&settings, &store, None);
    drop(runtime);
    Ok(report)
}

fn refused(count: usize, error: &JournalError) -> Vec<Outcome> {
    (0..count).map(|_| Outcome::Failed(format!("this cannot be recorded: {error}"))).collect()
}

/// Records what a batch did; one study's batches are put together.
async fn record(log: &Journal, tenant: Option<&str>, trail: &Trail) -> Result<(), JournalError> {
    let actor = deeds::operator();
    for (deed, touched) in trail.take() {
        let subject = touched.subject.clone();
        let reason = touched.reason();
        let reason = reason.as_deref();
        let event = Event::Import;
        let access = Access { event, tenant, deed, reason, actor: &actor, touched, anonymized: false };
        if let Some(access) = log.join(access) {
            log.write(vec![Journal::record_of(&access, subject.clone())]).await?;
            log.open_access(&access, subject);
        }
    }
    Ok(())
}

/// Stores a batch; its instances share their commits.
async fn store(archive: &Arc<Archive>, permit: &Permit, batch: Vec<Candidate>) -> Vec<Outcome> {
    let mut pending = Vec::with_capacity(batch.len());
    for candidate in batch {
        pending.push(begin(archive, permit, candidate).await);
    }
    let mut outcomes = Vec::with_capacity(pending.len());
    for begun in pending {
        let stored = match begun {
            Ok(pending) => pending.outcome().await,
            Err(error) => Err(error),
        };
        outcomes.push(stored.map_or_else(|error| Outcome::Failed(error.to_string()), outcome_of));
    }
    outcomes
}

async fn begin(
    archive: &Arc<Archive>,
    permit: &Permit,
    candidate: Candidate,
) -> Result<Pending, ArchiveError> {
    let mut incoming = archive.begin_store(permit);
    match candidate.content {
        Content::Bytes(bytes) => incoming.write(Bytes::from(bytes)).await?,
        Content::File { mut file, .. } => loop {
            // Blocks a thread of this command only.
            let mut bytes = vec![0; READ_BYTES];
            let count = file.read(&mut bytes).map_err(ArchiveError::Io)?;
            if count == 0 {
                break;
            }
            bytes.truncate(count);
            incoming.write(bytes.into()).await?;
        },
    }
    incoming.finish(None).await
}

fn outcome_of(stored: Stored) -> Outcome {
    match stored.outcome {
        StoreOutcome::Stored { .. } => Outcome::Stored,
        StoreOutcome::AlreadyThere { .. } => Outcome::AlreadyThere,
        StoreOutcome::Failed { why, .. } => Outcome::Failed(why),
    }
}
