//! Records as a table for a spreadsheet. A value that a spreadsheet would take
//! for a formula is given an apostrophe first, so that what a client or a file
//! was named cannot run on the auditor's desk.

use time::format_description::well_known::Rfc3339;

use super::event::Record;

pub const HEADER: &str = "number,time,event,code,action,outcome,reason,user,name,method,roles,address,patient,issuer,\
                          studies,accessions,instances,query,object,requests,since,request_id,tenant\r\n";

/// The line of a record.
#[must_use]
pub fn line(number: u64, record: &Record) -> String {
    let time = |time: &time::OffsetDateTime| time.format(&Rfc3339).unwrap_or_default();
    let actor = &record.actor;
    let list = |values: Vec<&str>| values.join(" ");
    let instances: u64 = record.studies.iter().flat_map(|study| study.instances.values()).sum();
    let query = record.query.as_deref().and_then(super::plain_query).unwrap_or_default();
    let object = record.object.as_ref().map(|object| format!("{} {}", object.kind, object.id));
    let patient = record.patient.clone().unwrap_or_default();
    let fields = [
        number.to_string(),
        time(&record.at),
        record.event.name().to_owned(),
        record.event.code().0.to_owned(),
        record.action.letter().to_owned(),
        record.outcome.indicator().to_owned(),
        record.reason.clone().unwrap_or_default(),
        actor.id.clone(),
        actor.name.clone().unwrap_or_default(),
        actor.method.clone().unwrap_or_default(),
        actor.roles.join(" "),
        actor.address.clone().unwrap_or_default(),
        patient.id,
        patient.issuer,
        list(record.studies.iter().map(|study| study.uid.as_str()).collect()),
        list(record.studies.iter().map(|study| study.accession.as_str()).collect()),
        instances.to_string(),
        query,
        object.unwrap_or_default(),
        record.requests.to_string(),
        record.since.as_ref().map(time).unwrap_or_default(),
        record.request_id.clone().unwrap_or_default(),
        record.tenant.clone().unwrap_or_default(),
    ];
    let mut line = fields.map(|field| quoted(&field)).join(",");
    line.push_str("\r\n");
    line
}

fn quoted(field: &str) -> String {
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    if !is_formula && !field.contains(['"', ',', '\r', '\n', ' ', '\'']) {
        return field.to_owned();
    }
    let lead = if is_formula { "'" } else { "" };
    format!("\"{lead}{}\"", field.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor, Event, Outcome, Patient};

    #[test]
    fn no_value_becomes_a_formula() {
        for (value, field) in [
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("a\"b,c", "\"a\"\"b,c\""),
            ("plain", "plain"),
        ] {
            let actor = Actor { id: value.to_owned(), ..Actor::default() };
            let mut record = Record::new(Event::View, Action::Read, Outcome::Success, actor);
            record.patient = Some(Patient { id: value.to_owned(), issuer: String::new() });
            let line = line(1, &record);
            assert_eq!(line.matches(field).count(), 2, "{line}");
        }
        assert_eq!(HEADER.split(',').count(), 23);
    }
}
