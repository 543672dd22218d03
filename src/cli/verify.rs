//! `hilum verify`: a report, and exit status 0 only if all is as it should be.

use std::process::ExitCode;

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::{logging, say::say, tenants::each};
use crate::{
    archive::{Archive, Report, VerifyWhat},
    auth::Permit,
    config::Config,
    server::options_of,
};

pub(super) fn run(
    config: &Config,
    archives: &[Option<String>],
    json: bool,
    local: bool,
) -> anyhow::Result<ExitCode> {
    logging::start_quiet(config)?;
    let what = if local { VerifyWhat::OnDisk } else { VerifyWhat::All };
    let verify = |tenant: Option<&str>| {
        let archive = Archive::open_existing(&config.folder_of(tenant), &options_of(config, tenant))?;
        let bar = ProgressBar::new_spinner();
        bar.set_style(ProgressStyle::with_template("{bytes} read, {bytes_per_sec}")?);
        let report = archive.verify(&Permit::operator(), what, &mut |bytes| bar.set_position(bytes))?;
        bar.finish_and_clear();
        Ok(report)
    };
    let reports = each(archives, json, verify, print)?;
    let is_clean = reports.iter().all(Report::is_clean);
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report) -> anyhow::Result<()> {
    for finding in &report.findings {
        say!("{}", serde_json::to_string(finding)?);
    }
    say!("{:>12}  packs read", report.packs);
    say!("{:>12}  files read, {}", report.files, HumanBytes(report.bytes));
    say!("{:>12}  instances right", report.instances);
    say!("{:>12}  versions beside them right", report.versions);
    if report.packs_not_read > 0 {
        say!("{:>12}  packs in the bucket not read", report.packs_not_read);
        say!("{:>12}  instances and versions in them", report.instances_not_read);
    }
    say!("{:>12}  findings", report.found);
    Ok(())
}
