//! What is searched for in the log. A cheap look at the bytes of a line first,
//! then at the record.

use time::{
    Date, OffsetDateTime, Time, UtcOffset, format_description::well_known::Rfc3339,
    macros::format_description,
};

use super::event::{Event, Outcome, Record};
use crate::storage::audit::Search;

/// Of which archive records are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Archives {
    #[default]
    All,
    /// Of the root archive, and of the server as a whole.
    Root,
    Tenant(String),
}

/// All that is named must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub archives: Archives,
    pub user: Option<String>,
    pub patient: Option<String>,
    pub study: Option<String>,
    pub event: Option<Event>,
    pub outcome: Option<Outcome>,
    pub address: Option<String>,
    pub from: Option<OffsetDateTime>,
    pub to: Option<OffsetDateTime>,
}

impl Filter {
    #[must_use]
    pub fn matches(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| value == Some(wanted))
        };
        let is_there = match &self.archives {
            Archives::All => true,
            Archives::Root => record.tenant.is_none(),
            Archives::Tenant(name) => record.tenant.as_ref() == Some(name),
        };
        is_there
            && is(&self.user, Some(&record.actor.id))
            && is(&self.address, record.actor.address.as_deref())
            && is(&self.patient, record.patient.as_ref().map(|patient| patient.id.as_str()))
            && self.study.as_deref().is_none_or(|uid| record.studies.iter().any(|study| study.uid == uid))
            && self.event.is_none_or(|event| {
                // Events that share a code are told apart only by name.
                record.event == event
            })
            && self.outcome.is_none_or(|outcome| record.outcome == outcome)
            && self.from.is_none_or(|from| record.at >= from)
            && self.to.is_none_or(|to| record.at <= to)
    }

    /// The same for whoever reads lines and no records.
    #[must_use]
    pub fn search(&self) -> Search {
        let time = |at: OffsetDateTime| at.to_offset(UtcOffset::UTC).format(&Rfc3339).ok();
        // As a value stands in JSON.
        let escaped = |value: &String| serde_json::to_vec(value).ok();
        let named = [&self.user, &self.patient, &self.study, &self.address];
        let tenant = match &self.archives {
            Archives::Tenant(name) => Some(name),
            Archives::All | Archives::Root => None,
        };
        Search {
            needles: named.into_iter().flatten().chain(tenant).filter_map(escaped).collect(),
            from: self.from.and_then(time),
            to: self.to.and_then(time),
            ..Search::default()
        }
    }
}

/// A time as a caller writes it: RFC 3339, or a date, which is its first moment
/// or its last.
#[must_use]
pub fn moment(text: &str, is_end: bool) -> Option<OffsetDateTime> {
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(moment);
    }
    let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    let last = Time::from_hms_nano(23, 59, 59, 999_999_999).ok()?;
    Some(date.with_time(if is_end { last } else { Time::MIDNIGHT }).assume_utc())
}
