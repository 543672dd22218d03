//! `hilum encryption`: what of the archive is encrypted, a new key, another
//! master key. Only `key new` ever prints a key, and only that one.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Subcommand;
use indicatif::HumanBytes;
use zeroize::Zeroizing;

use super::{
    Common,
    deeds::{self, Deed},
    logging,
    say::say,
    tenants::{Which, each},
};
use crate::{
    archive::{Archive, EncryptionStatus, Options},
    audit::{Action, Event},
    auth::Permit,
    config::{self, Config},
    server::options_of,
    storage::seal::{Master, MasterSource},
};

/// Holds the new key of a rotation.
const NEW_KEY_VARIABLE: &str = "HILUM_ENCRYPTION_NEW_KEY";

#[derive(Debug, Subcommand)]
pub(super) enum EncryptionCommand {
    /// Print what of the archive of a stopped server is encrypted, and the ids of its keys.
    Status {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        which: Which,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Master keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Change the master key of the archive of a stopped server; no pack is rewritten.
    Rotate {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        which: Which,
        /// The file of the new key; else it is taken from HILUM_ENCRYPTION_NEW_KEY.
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a new key: into a file that only its owner can read, or printed.
    New {
        /// A file that is not there yet.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

pub(super) fn run(command: &EncryptionCommand) -> anyhow::Result<ExitCode> {
    match command {
        EncryptionCommand::Status { common, which, json } => {
            let config = common.load(None)?;
            logging::start_quiet(&config)?;
            let status = |tenant: Option<&str>| {
                let (data, options) = (config.folder_of(tenant), options_of(&config, tenant));
                Ok(Archive::encryption_status(&Permit::operator(), &data, &options)?)
            };
            each(&which.archives(&config)?, *json, status, print)?;
        }
        EncryptionCommand::Key(KeyCommand::New { out }) => new_key(out.as_deref())?,
        EncryptionCommand::Rotate { common, which, new_key_file } => {
            let config = common.load(None)?;
            logging::start_quiet(&config)?;
            let text = match new_key_file {
                Some(path) => config::read_key_file(path).map_err(anyhow::Error::msg)?,
                None => std::env::var(NEW_KEY_VARIABLE).map(Zeroizing::new).with_context(|| {
                    format!("the new key is to be given with --new-key-file or in {NEW_KEY_VARIABLE}")
                })?,
            };
            let archives = which.archives(&config)?;
            let object = ("encryption-key", "master".to_owned());
            let deed = Deed { event: Event::RestrictedFunction, action: Action::Update, object };
            return deeds::recorded(&config, &which.said("hilum encryption rotate"), Some(deed), || {
                each(&archives, false, |tenant| rotate(&config, tenant, &text), print)?;
                say!("start the server with the new key; backups of KEYS made before open with the old one");
                Ok(ExitCode::SUCCESS)
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Gives one archive the new key. One of several that has it already, from a
/// rotation that was cut off, stays as it is.
fn rotate(
    config: &Config,
    tenant: Option<&str>,
    new: &Zeroizing<String>,
) -> anyhow::Result<EncryptionStatus> {
    let (permit, data) = (Permit::operator(), config.folder_of(tenant));
    let master = Master::parse(new)?;
    let options = options_of(config, tenant);
    let text = new.clone();
    let encryption = MasterSource::new(move || Master::parse(&text).map(Some));
    let with_new = Options { encryption, ..options.clone() };
    if let Ok(status) = Archive::encryption_status(&permit, &data, &with_new)
        && status.master_key == Some(master.id().to_string())
    {
        return Ok(status);
    }
    Ok(Archive::rotate_master_key(&permit, &data, &options, &master)?)
}

fn new_key(out: Option<&Path>) -> anyhow::Result<()> {
    let master = Master::random()?;
    let Some(path) = out else {
        say!("{}", *master.reveal());
        return Ok(());
    };
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("the file {} cannot be made", path.display()))?;
    file.write_all(master.reveal().as_bytes()).and_then(|()| file.write_all(b"\n"))?;
    file.sync_all()?;
    say!("key {} is in {}; keep a copy where this machine's disks are not", master.id(), path.display());
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "as each report is printed")]
fn print(status: &EncryptionStatus) -> anyhow::Result<()> {
    say!("{:>16}  master key", status.master_key.as_deref().unwrap_or("none"));
    for key in &status.data_keys {
        say!("{:>16}  data key, from pack {:08} on", key.number, key.from_pack);
    }
    let size = |bytes| HumanBytes(bytes).to_string();
    say!("{:>16}  packs encrypted, {}", status.packs_encrypted, size(status.bytes_encrypted));
    say!("{:>16}  packs in the clear, {}", status.packs_in_the_clear, size(status.bytes_in_the_clear));
    Ok(())
}
