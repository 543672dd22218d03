//! `hilum audit`: whether the audit log is what was written, and what is in it.
//! Reads beside a running server and changes nothing but that an export is
//! itself recorded.

use std::{
    io::{BufWriter, ErrorKind, Write},
    ops::ControlFlow,
    process::ExitCode,
};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{Common, deeds, logging, say::say};
use crate::{
    audit::{Action, Archives, Event, Filter, Outcome, Record, csv, moment, removal, xml},
    config::ROOT_ARCHIVE,
    server::{audit_folder, audit_settings},
    storage::audit::{Head, oldest_first},
};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Check every line of the log against the one before it, and print its head.
    Verify {
        #[command(flatten)]
        common: Common,
        /// A head that was noted elsewhere, as this command prints it (`NUMBER:HASH`); may be given again.
        #[arg(long, value_name = "HEAD")]
        head: Vec<Head>,
    },
    /// Print the log, the oldest record first.
    Export(Export),
}

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    common: Common,
    /// `json`: a record a line; `xml`: an `AuditMessage` (PS3.15 A.5) a line; `csv`: a table.
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
    /// From this time or day on.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Up to this time, or to the end of this day.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[arg(long)]
    user: Option<String>,
    /// The Patient ID.
    #[arg(long)]
    patient: Option<String>,
    /// The Study Instance UID.
    #[arg(long)]
    study: Option<String>,
    /// Records of the archive of this tenant, `root` for the one that is no tenant's; else of all.
    #[arg(long)]
    tenant: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Xml,
    Csv,
}

pub(super) fn run(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify { common, head } => verify(common, head),
        AuditCommand::Export(export) => export.run(),
    }
}

fn verify(common: &Common, noted: &[Head]) -> anyhow::Result<ExitCode> {
    let config = common.load(None)?;
    logging::start_quiet(&config)?;
    let folder = audit_folder(&config);
    anyhow::ensure!(folder.exists(), "there is no audit log in {}", config.data.display());
    let report = folder.check(noted, removal)?;
    for finding in &report.findings {
        say!("{finding}");
    }
    if report.more_findings > 0 {
        say!("and {} findings more", report.more_findings);
    }
    // One word, as --head takes it.
    let head = report.head.to_string().replacen(' ', ":", 1);
    say!("{} lines in {} segments; head {head}", report.lines, report.segments);
    let used = Record::new(Event::AuditLogUsed, Action::Read, Outcome::Success, deeds::operator());
    let mut records = vec![used.about("audit-log", "hilum audit verify")];
    if !report.is_intact() {
        let alert = Record::new(Event::Alert, Action::Execute, Outcome::SeriousFailure, deeds::operator());
        let places = report.findings.len() as u64 + report.more_findings;
        let alert = alert.about("audit-log", "hilum audit verify");
        records.push(alert.because(format!("{places} places of the audit log are not what was written")));
    }
    // What was found counts more than that it was looked for.
    if let Err(error) = deeds::leave(&config, &records) {
        eprintln!("hilum: {error:#}");
    }
    Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Export {
    fn run(&self) -> anyhow::Result<ExitCode> {
        let config = self.common.load(None)?;
        logging::start_quiet(&config)?;
        let folder = audit_folder(&config);
        anyhow::ensure!(folder.exists(), "there is no audit log in {}", config.data.display());
        let settings = audit_settings(&config);
        let filter = self.filter()?;
        // First, so that nothing is shown that is not recorded.
        let used = Record::new(Event::AuditLogUsed, Action::Read, Outcome::Success, deeds::operator());
        deeds::leave(&config, &[used.about("audit-log", "hilum audit export")])?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        if matches!(self.format, Format::Csv) {
            out.write_all(csv::HEADER.as_bytes())?;
        }
        let mut failed = None;
        oldest_first(&folder, &filter.search(), |number, line| {
            let record = serde_json::from_slice::<Record>(line).ok();
            let Some(record) = record.filter(|record| filter.matches(record)) else {
                return ControlFlow::Continue(());
            };
            let written = match self.format {
                Format::Json => json_line(number, &record),
                Format::Xml => xml::message(&record, &settings.source) + "\n",
                Format::Csv => csv::line(number, &record),
            };
            match out.write_all(written.as_bytes()) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed.map_or_else(|| out.flush(), Err) {
            // Who reads it has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn filter(&self) -> anyhow::Result<Filter> {
        let time = |text: &Option<String>, is_end| match text {
            Some(text) => match moment(text, is_end) {
                Some(moment) => Ok(Some(moment)),
                None => {
                    anyhow::bail!("{text:?} is neither a day (2026-01-31) nor a time (2026-01-31T12:00:00Z)")
                }
            },
            None => Ok(None),
        };
        Ok(Filter {
            archives: match self.tenant.as_deref() {
                None => Archives::All,
                Some(ROOT_ARCHIVE) => Archives::Root,
                Some(name) => Archives::Tenant(name.to_owned()),
            },
            user: self.user.clone(),
            patient: self.patient.clone(),
            study: self.study.clone(),
            from: time(&self.from, false)?,
            to: time(&self.to, true)?,
            ..Filter::default()
        })
    }
}

fn json_line(number: u64, record: &Record) -> String {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    value["number"] = json!(number);
    format!("{value}\n")
}
