//! Which archives of a data folder a command is about: that of the root, those
//! of the tenants, or one of them; and a report for each.

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::say::say;
use crate::{
    config::{Config, ROOT_ARCHIVE},
    server::tenants_on_disk,
};

/// The archives that a command is about.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Which {
    /// Only the archive of this tenant, `root` for the one that is no tenant's; else all of them.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
}

impl Which {
    /// All that are meant, the root's first; a tenant's by its name.
    pub fn archives(&self, config: &Config) -> anyhow::Result<Vec<Option<String>>> {
        if self.tenant.is_some() {
            return Ok(vec![self.one(config)?]);
        }
        let mut names = tenants_on_disk(config)?;
        // Of an archive in a bucket the folder may be lost.
        if config.tier.address().is_some() {
            names.extend(config.tenants.keys().cloned());
            names.sort();
            names.dedup();
        }
        Ok(std::iter::once(None).chain(names.into_iter().map(Some)).collect())
    }

    /// The one that is meant: without a word, the root's.
    pub fn one(&self, config: &Config) -> anyhow::Result<Option<String>> {
        let Some(name) = self.tenant.as_deref().filter(|name| *name != ROOT_ARCHIVE) else {
            return Ok(None);
        };
        let is_there =
            config.tenants.contains_key(name) || tenants_on_disk(config)?.iter().any(|there| there == name);
        anyhow::ensure!(is_there, "there is no tenant {name:?}, in the configuration or in the data folder");
        Ok(Some(name.to_owned()))
    }

    /// As a command says it.
    pub fn said(&self, command: &str) -> String {
        match &self.tenant {
            Some(name) => format!("{command} --tenant {name}"),
            None => command.to_owned(),
        }
    }
}

/// What an archive is called in a report on several.
pub(super) fn name_of(tenant: Option<&str>) -> &str {
    tenant.unwrap_or(ROOT_ARCHIVE)
}

/// Does the work for each archive and reports it: in the form of one report
/// where there is one archive, under their names where there are several.
pub(super) fn each<T: Serialize>(
    archives: &[Option<String>],
    json: bool,
    mut work: impl FnMut(Option<&str>) -> anyhow::Result<T>,
    print: impl Fn(&T) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<T>> {
    let mut reports = Vec::with_capacity(archives.len());
    for tenant in archives {
        let tenant = tenant.as_deref();
        let report = work(tenant).map_err(|error| match tenant {
            Some(name) => error.context(format!("the archive of tenant {name}")),
            None => error,
        })?;
        if !json {
            if archives.len() > 1 {
                say!("{}:", name_of(tenant));
            }
            print(&report)?;
        }
        reports.push(report);
    }
    if json {
        let mut values = reports.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        let whole = if let [one] = values.as_mut_slice() {
            one.take()
        } else {
            let names = archives.iter().map(|tenant| name_of(tenant.as_deref()).to_owned());
            Value::Object(names.zip(values).collect::<Map<_, _>>())
        };
        say!("{}", serde_json::to_string_pretty(&whole)?);
    }
    Ok(reports)
}
