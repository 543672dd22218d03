//! Whether the log is what was written: every line against the one before it,
//! every segment against the last, the end against the anchor, and against a
//! head that somebody noted elsewhere. Reads beside a writer, changes nothing.

use std::{collections::HashMap, fmt, fs, io};

use super::{
    AuditError, Folder, Head,
    line::{self, Hash},
};

/// How often a check begins anew when what it reads is removed.
const TRIES_MAX: u32 = 5;

/// Findings that are kept; more are only counted.
const FINDINGS_MAX: usize = 1000;

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    pub segments: u64,
    pub lines: u64,
    /// Where the log begins and ends.
    pub begins: Head,
    pub head: Head,
    pub findings: Vec<Finding>,
    pub more_findings: u64,
    /// Bytes behind the last whole line: a line being written, or torn by a crash.
    pub unfinished_bytes: u64,
}

/// One place where the log is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub segment: u64,
    pub offset: u64,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {:08}, byte {}: {}", self.segment, self.offset, self.what)
    }
}

impl Report {
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, segment: u64, offset: usize, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { segment, offset: offset as u64, what });
        } else {
            self.more_findings += 1;
        }
    }
}

impl Folder {
    /// Checks the whole log. `noted` are heads that were written down elsewhere.
    /// `removal` says up to where a line tells that all lines were removed, as
    /// retention does; what it was about to remove may still be there.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn check(
        &self,
        noted: &[Head],
        removal: impl Fn(&[u8]) -> Option<Head>,
    ) -> Result<Report, AuditError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.check_once(noted, &removal) {
                // Old segments are removed meanwhile.
                Err(AuditError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && tries < TRIES_MAX => {}
                done => return done,
            }
        }
    }

    fn check_once(
        &self,
        noted: &[Head],
        removal: &impl Fn(&[u8]) -> Option<Head>,
    ) -> Result<Report, AuditError> {
        let key = self.key(false)?;
        // First: what is written meanwhile lies behind it.
        let anchor = self.anchor(&key);
        let mut wanted: HashMap<u64, Hash> = noted.iter().map(|head| (head.number, head.hash)).collect();
        let mut seen = Vec::new();
        if let Some(anchor) = anchor {
            wanted.entry(anchor.head.number).or_insert(anchor.head.hash);
        }
        let mut report = Report::default();
        let segments = self.segments()?;
        let mut head: Option<Head> = None;
        let mut openings = Vec::new();
        let mut removals = Vec::new();
        let mut last = None;
        for segment in segments {
            let path = self.segment_path(segment);
            let bytes = fs::read(&path).map_err(AuditError::at(&path))?;
            let first = memchr::memchr(b'\n', &bytes).unwrap_or(bytes.len());
            let Some((number, opening)) = line::read_opening(&bytes[..first]) else {
                report.find(segment, 0, "this does not begin as a segment of the log does".to_owned());
                continue;
            };
            if number != segment || last.is_some_and(|last: u64| last + 1 != segment) {
                report.find(
                    segment,
                    0,
                    "a segment before it is missing, or it has another's name".to_owned(),
                );
            }
            last = Some(segment);
            match head {
                None => {
                    report.begins = opening;
                }
                Some(head) if head != opening => {
                    report.find(segment, 0, gap(head.number, opening.number + 1));
                }
                Some(_) => {}
            }
            report.segments += 1;
            openings.push(opening);
            let mut current = opening;
            let mut start = first + 1;
            for newline in memchr::memchr_iter(b'\n', &bytes).skip(1) {
                let place = start;
                let text = &bytes[start..newline];
                start = newline + 1;
                report.lines += 1;
                let Some(read) = line::read(text) else {
                    report.find(segment, place, format!("line {} cannot be read", current.number + 1));
                    continue;
                };
                let own = Head { number: read.number, hash: read.hash };
                if own.number != current.number + 1 {
                    report.find(segment, place, gap(current.number, own.number));
                } else if own != current.next(&key, read.json) {
                    report.find(segment, place, format!("line {} was changed", own.number));
                }
                removals.extend(removal(read.json));
                if let Some(hash) = wanted.get(&own.number) {
                    seen.push((own.number, *hash == own.hash));
                }
                current = own;
            }
            report.unfinished_bytes = bytes.len().saturating_sub(start) as u64;
            head = Some(current);
        }
        report.head = head.unwrap_or_default();
        let is_explained = removals.iter().any(|removed| openings.contains(removed));
        if report.begins.number > 0 && !is_explained {
            let what = format!("the lines before {} are missing", report.begins.number + 1);
            report.find(last.unwrap_or_default(), 0, what);
        }
        let begins = report.begins.number;
        for number in wanted.into_keys().filter(|number| *number > begins) {
            match seen.iter().find(|(line, _)| *line == number) {
                Some((_, true)) => {}
                Some((_, false)) => {
                    report.find(
                        last.unwrap_or_default(),
                        0,
                        format!("line {number} is not the one that was noted"),
                    );
                }
                None => {
                    let what = format!(
                        "the log ends, or has a gap, before line {number}, which was flushed or noted"
                    );
                    report.find(last.unwrap_or_default(), 0, what);
                }
            }
        }
        if anchor.is_none() && report.lines > 0 {
            report.find(
                last.unwrap_or_default(),
                0,
                "the anchor (HEAD) is missing or not of this log".to_owned(),
            );
        }
        Ok(report)
    }
}

fn gap(before: u64, after: u64) -> String {
    if after > before + 1 {
        format!("lines {} to {} are missing", before + 1, after - 1)
    } else {
        format!("line {after} stands behind line {before}: lines were put in or moved")
    }
}
