//! The commands of the `hilum` binary, one file (or folder) each. A command
//! reads its arguments, calls the floors below and prints; it holds no rule of
//! the archive itself.

#![deny(clippy::print_stdout, reason = "it panics when nobody reads on: say! does not")]

mod allocator;
mod audit;
mod backup;
mod deeds;
mod encryption;
pub mod import;
mod import_command;
mod logging;
mod rebuild;
mod restore;
mod say;
mod serve;
mod stats;
mod tenants;
mod user;
mod verify;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Overrides};

/// An imaging archive that speaks only DICOMweb.
#[derive(Debug, Parser)]
#[command(name = "hilum", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve {
        #[command(flatten)]
        common: Common,
        /// Address and port to listen on.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<SocketAddr>,
    },
    /// Import files, folders, zip files and DICOM media.
    Import(import_command::Arguments),
    /// Make the catalog anew from the packs, and the index from the catalog.
    Rebuild {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        which: tenants::Which,
    },
    /// Read every stored byte and check packs, catalog and index against each other.
    Verify {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        which: tenants::Which,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
        /// Do not read the packs that are only in the bucket.
        #[arg(long)]
        local: bool,
    },
    /// Copy what is new of the archive, which may be running, to a folder or a bucket.
    Backup(backup::Arguments),
    /// Make an archive from a backup, in an empty folder.
    Restore(restore::Arguments),
    /// Print how much the archive holds.
    Stats {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        which: tenants::Which,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Encryption at rest: what is encrypted, new keys, another master key.
    #[command(subcommand)]
    Encryption(encryption::EncryptionCommand),
    /// The audit log: whether it is what was written, and what is in it.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print the effective configuration, with comments.
    Config {
        #[command(flatten)]
        common: Common,
    },
    /// Manage the local accounts.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Manage the personal tokens of local accounts.
    #[command(subcommand)]
    Token(user::TokenCommand),
    /// Print the OpenAPI document.
    Openapi,
    /// Print the DICOM Conformance Statement.
    Conformance,
}

/// What all commands on an archive take.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The folder of the archive.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A TOML file with the configuration.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Common {
    /// The configuration for a command.
    ///
    /// # Errors
    /// When the file or a variable cannot be understood.
    pub(crate) fn load(&self, listen: Option<SocketAddr>) -> anyhow::Result<Config> {
        let overrides = Overrides { data: self.data.clone(), listen };
        Ok(Config::load(self.config.as_deref(), overrides)?)
    }
}

/// An error with what it came from, each said once: many say theirs themselves.
#[must_use]
pub fn told(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// Runs the command of the arguments.
///
/// # Errors
/// What kept the command from doing its work.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let done = chosen(cli)?;
    Ok(if say::is_said() { done } else { ExitCode::FAILURE })
}

fn chosen(cli: Cli) -> anyhow::Result<ExitCode> {
    if matches!(cli.command, Command::Serve { .. } | Command::Import(_) | Command::Rebuild { .. }) {
        allocator::restrain();
    }
    match cli.command {
        Command::Serve { common, listen } => serve::run(&common.load(listen)?),
        Command::Import(arguments) => import_command::run(&arguments),
        Command::Rebuild { common, which } => {
            let config = common.load(None)?;
            let archives = which.archives(&config)?;
            let command = which.said("hilum rebuild");
            deeds::recorded(&config, &command, None, || rebuild::run(&config, &archives))
        }
        Command::Verify { common, which, json, local } => {
            let config = common.load(None)?;
            let archives = which.archives(&config)?;
            let command = which.said("hilum verify");
            deeds::recorded(&config, &command, None, || verify::run(&config, &archives, json, local))
        }
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Stats { common, which, json } => {
            let config = common.load(None)?;
            stats::run(&config, &which.archives(&config)?, json)
        }
        Command::Encryption(command) => encryption::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Config { common } => {
            say::text(&common.load(None)?.to_commented_toml());
            Ok(ExitCode::SUCCESS)
        }
        Command::User(command) => user::user(command),
        Command::Token(command) => user::token(command),
        Command::Openapi => {
            say::text(&crate::http::openapi::text());
            Ok(ExitCode::SUCCESS)
        }
        Command::Conformance => {
            say::text(&crate::http::conformance::text());
            Ok(ExitCode::SUCCESS)
        }
    }
}
