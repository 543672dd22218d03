//! `hilum user` and `hilum token`: the local accounts. They write the accounts'
//! files; a running server takes the change up within a second.
//!
//! A password comes from the terminal or from standard input, never from an
//! argument, which others can see.

use std::{
    io::{BufRead, IsTerminal},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Subcommand;
use time::{OffsetDateTime, macros::format_description};

use super::{
    Common,
    deeds::{self, Deed},
    say::say,
};
use crate::{
    audit::{Action, Event},
    auth::{Authentication, NewToken},
    config::{EVERY_ARCHIVE, ROOT_ARCHIVE},
};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add an account. The password is asked for, or read from standard input.
    Add {
        #[command(flatten)]
        common: Common,
        name: String,
        /// The name for people to read.
        #[arg(long)]
        full_name: Option<String>,
        /// A role that it has; may be given more than once.
        #[arg(long = "role", value_name = "ROLE", required = true)]
        roles: Vec<String>,
        /// A tenant that it belongs to; may be given more than once.
        #[arg(long = "tenant", value_name = "TENANT")]
        tenants: Vec<String>,
    },
    /// Give an account another password; its sessions end.
    Passwd {
        #[command(flatten)]
        common: Common,
        name: String,
    },
    /// Let nobody in by an account any more; its sessions and tokens end.
    Disable {
        #[command(flatten)]
        common: Common,
        name: String,
    },
    /// Let the owner of a disabled account in again.
    Enable {
        #[command(flatten)]
        common: Common,
        name: String,
    },
    /// Give an account these roles in place of those it has.
    Roles {
        #[command(flatten)]
        common: Common,
        name: String,
        #[arg(required = true)]
        roles: Vec<String>,
    },
    /// Let an account belong to these tenants in place of those it belongs to; none: to the root archive.
    Tenants {
        #[command(flatten)]
        common: Common,
        name: String,
        tenants: Vec<String>,
    },
    /// List the accounts.
    List {
        #[command(flatten)]
        common: Common,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a personal token of an account and print it, this once.
    Add {
        #[command(flatten)]
        common: Common,
        /// The account that it acts for.
        name: String,
        /// What it is for.
        #[arg(long)]
        label: String,
        /// One of the account's roles; may be given more than once. None: all of them.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// A SMART on FHIR scope that narrows it; may be given more than once.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// For how many days it is valid [default: 90].
        #[arg(long)]
        days: Option<u64>,
    },
    /// List the tokens of all accounts, or of one.
    List {
        #[command(flatten)]
        common: Common,
        name: Option<String>,
    },
    /// Make a token worthless.
    Revoke {
        #[command(flatten)]
        common: Common,
        id: String,
    },
}

pub(super) fn user(command: UserCommand) -> anyhow::Result<ExitCode> {
    match command {
        UserCommand::Add { common, name, full_name, roles, tenants } => {
            check_roles(&common, &roles)?;
            check_tenants(&common, &tenants)?;
            recorded(&common, "hilum user add", of_account(Action::Create, &name), || {
                let auth = open(&common)?;
                let password = new_password(&name)?;
                auth.add_account(&name, full_name, &password, roles, tenants)?;
                say!("{name} was added");
                Ok(())
            })
        }
        UserCommand::Passwd { common, name } => {
            recorded(&common, "hilum user passwd", of_account(Action::Update, &name), || {
                let auth = open(&common)?;
                if auth.account(&name).is_none() {
                    bail!("there is no account {name}");
                }
                auth.set_password(&name, &new_password(&name)?)?;
                say!("{name} has another password");
                Ok(())
            })
        }
        UserCommand::Disable { common, name } => {
            recorded(&common, "hilum user disable", of_account(Action::Update, &name), || {
                open(&common)?.set_disabled(&name, true)?;
                say!("{name} is disabled");
                Ok(())
            })
        }
        UserCommand::Enable { common, name } => {
            recorded(&common, "hilum user enable", of_account(Action::Update, &name), || {
                open(&common)?.set_disabled(&name, false)?;
                say!("{name} is enabled");
                Ok(())
            })
        }
        UserCommand::Roles { common, name, roles } => {
            check_roles(&common, &roles)?;
            let deed = Deed { event: Event::RolesChanged, ..of_account(Action::Update, &name) };
            recorded(&common, "hilum user roles", deed, || {
                let account = open(&common)?.set_roles(&name, roles)?;
                say!("{name} is {}", account.roles.join(", "));
                Ok(())
            })
        }
        UserCommand::Tenants { common, name, tenants } => {
            check_tenants(&common, &tenants)?;
            let deed = Deed { event: Event::RolesChanged, ..of_account(Action::Update, &name) };
            recorded(&common, "hilum user tenants", deed, || {
                let account = open(&common)?.set_tenants(&name, tenants)?;
                match account.tenants.as_slice() {
                    [] => say!("{name} belongs to no tenant"),
                    tenants => say!("{name} belongs to {}", tenants.join(", ")),
                }
                Ok(())
            })
        }
        UserCommand::List { common, json } => {
            list_users(&open(&common)?, json)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What is done to an account.
fn of_account(action: Action, name: &str) -> Deed {
    Deed { event: Event::UserChanged, action, object: ("account", name.to_owned()) }
}

fn recorded(
    common: &Common,
    command: &str,
    deed: Deed,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    deeds::recorded(&common.load(None)?, command, Some(deed), || work().map(|()| ExitCode::SUCCESS))
}

pub(super) fn token(command: TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Add { common, name, label, roles, scopes, days } => {
            recorded(&common, "hilum token add", of_account(Action::Update, &name), || {
                let new = NewToken { label, roles, scopes, days };
                let (token, text) = open(&common)?.add_token(&name, new)?;
                let until = date(token.expires);
                eprintln!("token {} of {name}, valid until {until}; it is shown this once:", token.id);
                say!("{text}");
                Ok(())
            })
        }
        TokenCommand::List { common, name } => {
            let auth = open(&common)?;
            if let Some(name) =
                name.as_ref().filter(|name| auth.accounts().iter().all(|known| known.name != **name))
            {
                bail!("there is no account {name}");
            }
            for account in auth.accounts() {
                if name.as_ref().is_some_and(|name| *name != account.name) {
                    continue;
                }
                for token in &account.tokens {
                    let used = token
                        .last_used
                        .map_or_else(|| "never used".to_owned(), |at| format!("used {}", date(at)));
                    let (id, label, until) = (&token.id, &token.label, date(token.expires));
                    say!("{id}  {}  until {until}  {used}  {label}", account.name);
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        TokenCommand::Revoke { common, id } => {
            let deed = Deed { object: ("token", id.clone()), ..of_account(Action::Delete, "") };
            recorded(&common, "hilum token revoke", deed, || {
                let auth = open(&common)?;
                let owner = auth.owner_of_token(&id).with_context(|| format!("there is no token {id}"))?;
                auth.revoke_token(&owner.name, &id)?;
                say!("token {id} of {} is worthless", owner.name);
                Ok(())
            })
        }
    }
}

fn open(common: &Common) -> anyhow::Result<Authentication> {
    let config = common.load(None)?;
    Ok(Authentication::open(&config.data, &config.auth)?)
}

/// A role that is none would be a mistake of typing, and grant nothing.
fn check_roles(common: &Common, roles: &[String]) -> anyhow::Result<()> {
    let known = common.load(None)?.roles;
    match roles.iter().find(|role| !known.contains_key(*role)) {
        Some(role) => {
            let known: Vec<&str> = known.keys().map(String::as_str).collect();
            bail!("there is no role {role}; the configuration has {}", known.join(", "))
        }
        None => Ok(()),
    }
}

/// As for a role.
fn check_tenants(common: &Common, tenants: &[String]) -> anyhow::Result<()> {
    let known = common.load(None)?.tenants;
    let is_known =
        |name: &String| known.contains_key(name) || [ROOT_ARCHIVE, EVERY_ARCHIVE].contains(&name.as_str());
    match tenants.iter().find(|name| !is_known(name)) {
        Some(name) => {
            let mut known: Vec<&str> = known.keys().map(String::as_str).collect();
            if known.is_empty() {
                known.push("none");
            }
            bail!("there is no tenant {name}; the configuration has {}", known.join(", "))
        }
        None => Ok(()),
    }
}

fn list_users(auth: &Authentication, json: bool) -> anyhow::Result<()> {
    if json {
        let accounts: Vec<_> = auth
            .accounts()
            .iter()
            .map(|account| {
                serde_json::json!({
                    "name": account.name, "full_name": account.full_name, "roles": account.roles,
                    "tenants": account.tenants, "disabled": account.disabled, "tokens": account.tokens.len(),
                })
            })
            .collect();
        say!("{}", serde_json::to_string_pretty(&accounts)?);
        return Ok(());
    }
    for account in auth.accounts() {
        let state = if account.disabled { "  (disabled)" } else { "" };
        let full_name = account.full_name.as_deref().map(|name| format!("  {name}")).unwrap_or_default();
        let tenants = match account.tenants.as_slice() {
            [] => String::new(),
            tenants => format!("  in {}", tenants.join(",")),
        };
        say!("{}  {}{tenants}{full_name}{state}", account.name, account.roles.join(","));
    }
    Ok(())
}

/// A new password: typed twice, or the first line of standard input.
fn new_password(name: &str) -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("Password of {name}: "))?;
        if rpassword::prompt_password("The same again: ")? != typed {
            bail!("the two are not the same");
        }
        return Ok(typed);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("no password on standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn date(seconds: u64) -> String {
    let moment =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]Z");
    moment.and_then(|moment| moment.format(format).ok()).unwrap_or_default()
}
