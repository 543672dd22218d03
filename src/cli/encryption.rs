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

use super::{
    Common,
    deeds::{self, Deed},
    logging,
};
use crate::{
    archive::{Archive, EncryptionStatus},
    audit::{Action, Event},
    auth::Permit,
    config,
    server::archive_options,
    storage::seal::Master,
};

/// Holds the new key of a rotation.
const NEW_KEY_VARIABLE: &str = "HILUM_ENCRYPTION_NEW_KEY";

#[derive(Debug, Subcommand)]
pub(super) enum EncryptionCommand {
    /// Print what of the archive of a stopped server is encrypted, and the ids of its keys.
    Status {
        #[command(flatten)]
        common: Common,
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
        EncryptionCommand::Status { common, json } => {
            let config = common.load(None)?;
            logging::start_quiet(&config)?;
            let options = archive_options(&config);
            print(&Archive::encryption_status(&Permit::operator(), &config.data, &options)?, *json)?;
        }
        EncryptionCommand::Key(KeyCommand::New { out }) => new_key(out.as_deref())?,
        EncryptionCommand::Rotate { common, new_key_file } => {
            let config = common.load(None)?;
            logging::start_quiet(&config)?;
            let text = match new_key_file {
                Some(path) => config::read_key_file(path).map_err(anyhow::Error::msg)?,
                None => std::env::var(NEW_KEY_VARIABLE).map(zeroize::Zeroizing::new).with_context(|| {
                    format!("the new key is to be given with --new-key-file or in {NEW_KEY_VARIABLE}")
                })?,
            };
            let new = Master::parse(&text)?;
            let options = archive_options(&config);
            let object = ("encryption-key", "master".to_owned());
            let deed = Deed { event: Event::RestrictedFunction, action: Action::Update, object };
            return deeds::recorded(&config, "hilum encryption rotate", Some(deed), || {
                let rotated = Archive::rotate_master_key(&Permit::operator(), &config.data, &options, &new)?;
                print(&rotated, false)?;
                println!(
                    "start the server with the new key; backups of KEYS made before open with the old one"
                );
                Ok(ExitCode::SUCCESS)
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn new_key(out: Option<&Path>) -> anyhow::Result<()> {
    let master = Master::random()?;
    let Some(path) = out else {
        println!("{}", *master.reveal());
        return Ok(());
    };
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("the file {} cannot be made", path.display()))?;
    file.write_all(master.reveal().as_bytes()).and_then(|()| file.write_all(b"\n"))?;
    file.sync_all()?;
    println!("key {} is in {}; keep a copy where this machine's disks are not", master.id(), path.display());
    Ok(())
}

fn print(status: &EncryptionStatus, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(status)?);
        return Ok(());
    }
    println!("{:>16}  master key", status.master_key.as_deref().unwrap_or("none"));
    for key in &status.data_keys {
        println!("{:>16}  data key, from pack {:08} on", key.number, key.from_pack);
    }
    let size = |bytes| HumanBytes(bytes).to_string();
    println!("{:>16}  packs encrypted, {}", status.packs_encrypted, size(status.bytes_encrypted));
    println!("{:>16}  packs in the clear, {}", status.packs_in_the_clear, size(status.bytes_in_the_clear));
    Ok(())
}
