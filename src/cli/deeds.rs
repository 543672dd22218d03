//! What commands leave in the audit log, beside a running server or without one:
//! that they began, what they did, how they ended. Where there is no archive yet
//! nothing is left.

use std::process::ExitCode;

use anyhow::Context;

use crate::{
    audit::{self, Action, Actor, Event, Journal, Outcome, Record},
    auth::Permit,
    config::Config,
    server::{audit_folder, audit_settings},
};

/// What a command does, beyond that it runs.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub event: Event,
    pub action: Action,
    /// What it is about: its kind, and which.
    pub object: (&'static str, String),
}

/// Who runs commands on this machine.
pub(super) fn operator() -> Actor {
    let id = Permit::operator().caller().to_owned();
    Actor { id, method: Some("operator".to_owned()), ..Actor::default() }
}

/// Does the work of a command between the records of it. With `audit.required`
/// nothing is done that cannot be recorded.
pub(super) fn recorded(
    config: &Config,
    command: &str,
    deed: Option<Deed>,
    work: impl FnOnce() -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    leave(config, &[audit::start(operator()).about("command", command)])?;
    let done = work();
    leave(config, &ended(command, deed, &done))?;
    done
}

/// The records of a command that ended so.
pub(super) fn ended(command: &str, deed: Option<Deed>, done: &anyhow::Result<ExitCode>) -> Vec<Record> {
    let (outcome, reason) = match done {
        Ok(code) if *code == ExitCode::SUCCESS => (Outcome::Success, None),
        Ok(_) => (Outcome::MinorFailure, Some("not all is as it should be")),
        Err(_) => (Outcome::SeriousFailure, Some("failed")),
    };
    let record = |event, action, (kind, id): (&str, String)| {
        let record = Record::new(event, action, outcome, operator()).about(kind, id);
        Record { reason: reason.map(str::to_owned), ..record }
    };
    let mut records = Vec::new();
    if let Some(Deed { event, action, object }) = deed {
        records.push(record(event, action, object));
    } else if outcome == Outcome::MinorFailure {
        records.push(record(Event::Alert, Action::Execute, ("command", command.to_owned())));
    }
    records.push(record(Event::Stop, Action::Execute, ("command", command.to_owned())));
    records
}

/// Leaves records in the log of an archive.
///
/// # Errors
/// When it cannot be, and must be.
pub(super) fn leave(config: &Config, records: &[Record]) -> anyhow::Result<()> {
    // A folder that is none of ours, by a mistake of typing, stays as it is.
    let is_ours = ["packs/FORMAT", "accounts", "audit"].iter().any(|name| config.data.join(name).exists());
    if !config.audit.enabled || !is_ours {
        return Ok(());
    }
    let settings = audit_settings(config);
    match Journal::note(&audit_folder(config), &settings, records) {
        Err(error) if settings.required => {
            Err(error).context("this cannot be recorded in the audit log, and audit.required is set")
        }
        Err(error) => {
            eprintln!("hilum: this could not be recorded in the audit log: {error}");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// The audit log, held open by a command that holds the archive.
///
/// # Errors
/// When it cannot be written, and must be.
pub(super) fn open(config: &Config, command: &str) -> anyhow::Result<Option<std::sync::Arc<Journal>>> {
    if !config.audit.enabled {
        return Ok(None);
    }
    // Sending is for the server: it goes on where the log was sent last.
    let settings = audit::Settings { receiver: None, ..audit_settings(config) };
    let required = settings.required;
    let start = audit::start(operator()).about("command", command);
    match Journal::open(audit_folder(config), settings, start) {
        Ok(journal) => Ok(Some(journal)),
        Err(error) if required => Err(error).context("audit.required is set"),
        Err(error) => {
            eprintln!("hilum: this could not be recorded in the audit log: {error}");
            Ok(None)
        }
    }
}
