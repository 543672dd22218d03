//! A record as an `AuditMessage` (PS3.15 section A.5.1), valid against its schema.
//! Values are cut of what XML cannot hold; no line end is written, for syslog.

use base64::{Engine, engine::general_purpose::STANDARD};
use time::format_description::well_known::Rfc3339;

use super::event::{Code, Event, Record};

/// Who reports: the name of this archive, and its site.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    pub id: String,
    pub site: String,
    /// How it is reached; a host name.
    pub host: String,
}

impl Source {
    /// The site of a record: in the archive of a tenant, that one.
    #[must_use]
    pub fn site_of(&self, record: &Record) -> String {
        match &record.tenant {
            Some(tenant) if self.site.is_empty() => tenant.clone(),
            Some(tenant) => format!("{}/{tenant}", self.site),
            None => self.site.clone(),
        }
    }
}

/// The message of a record.
#[must_use]
pub fn message(record: &Record, source: &Source) -> String {
    let mut out = String::with_capacity(2048);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?><AuditMessage>");
    event(record, &mut out);
    participants(record, source, &mut out);
    out.push_str("<AuditSourceIdentification");
    let site = source.site_of(record);
    if !site.is_empty() {
        attribute("AuditEnterpriseSiteID", &site, &mut out);
    }
    attribute("AuditSourceID", or(&source.id, "hilum"), &mut out);
    // 4: an application server.
    out.push_str("><AuditSourceTypeCode csd-code=\"4\"/></AuditSourceIdentification>");
    objects(record, &mut out);
    out.push_str("</AuditMessage>");
    out
}

fn event(record: &Record, out: &mut String) {
    out.push_str("<EventIdentification");
    attribute("EventActionCode", record.action.letter(), out);
    attribute("EventDateTime", &record.at.format(&Rfc3339).unwrap_or_default(), out);
    attribute("EventOutcomeIndicator", record.outcome.indicator(), out);
    out.push('>');
    code("EventID", record.event.code(), out);
    if let Some(kind) = record.event.kind() {
        code("EventTypeCode", kind, out);
    }
    if let Some(reason) = &record.reason {
        out.push_str("<EventOutcomeDescription>");
        text(reason, out);
        out.push_str("</EventOutcomeDescription>");
    }
    out.push_str("</EventIdentification>");
}

fn participants(record: &Record, source: &Source, out: &mut String) {
    let (caller, own): (Option<Code>, Option<Code>) = match record.event {
        Event::Start | Event::Stop => {
            (Some(("110151", "Application Launcher")), Some(("110150", "Application")))
        }
        Event::Store => (Some(("110153", "Source Role ID")), Some(("110152", "Destination Role ID"))),
        Event::Retrieve | Event::Query => {
            let roles = (Some(("110152", "Destination Role ID")), Some(("110153", "Source Role ID")));
            // Of a search the one who asks is its source.
            if record.event == Event::Query { (roles.1, roles.0) } else { roles }
        }
        Event::Export => (Some(("110154", "Destination Media")), Some(("110153", "Source Role ID"))),
        Event::Import => (Some(("110155", "Source Media")), Some(("110152", "Destination Role ID"))),
        Event::AuditLogUsed
        | Event::View
        | Event::Delete
        | Event::Deidentify
        | Event::StudyDeleted
        | Event::Login
        | Event::Logout
        | Event::AccessRefused
        | Event::Alert
        | Event::RestrictedFunction
        | Event::RecordingStarted
        | Event::RecordingStopped
        | Event::ObjectSecurity
        | Event::RolesChanged
        | Event::UserChanged
        | Event::Procedure => (None, None),
    };
    let actor = &record.actor;
    out.push_str("<ActiveParticipant");
    attribute("UserID", or(&actor.id, "anonymous"), out);
    if let Some(method) = &actor.method {
        attribute("AlternativeUserID", method, out);
    }
    if let Some(name) = &actor.name {
        attribute("UserName", name, out);
    }
    attribute("UserIsRequestor", "true", out);
    if let Some(address) = &actor.address {
        attribute("NetworkAccessPointID", address, out);
        attribute("NetworkAccessPointTypeCode", "2", out);
    }
    out.push('>');
    if let Some(role) = caller {
        code("RoleIDCode", role, out);
    }
    for role in &actor.roles {
        out.push_str("<RoleIDCode");
        attribute("csd-code", role, out);
        out.push_str(" codeSystemName=\"99HILUM\"");
        attribute("originalText", role, out);
        out.push_str("/>");
    }
    if matches!(record.event, Event::Export | Event::Import) {
        out.push_str("<MediaIdentifier>");
        code("MediaType", ("110037", "URI"), out);
        out.push_str("</MediaIdentifier>");
    }
    out.push_str("</ActiveParticipant><ActiveParticipant");
    attribute("UserID", or(&source.id, "hilum"), out);
    attribute("AlternativeUserID", &std::process::id().to_string(), out);
    attribute("UserIsRequestor", "false", out);
    if !source.host.is_empty() {
        attribute("NetworkAccessPointID", &source.host, out);
        attribute("NetworkAccessPointTypeCode", "1", out);
    }
    out.push('>');
    if let Some(role) = own {
        code("RoleIDCode", role, out);
    }
    out.push_str("</ActiveParticipant>");
}

/// How the identifier of an object is to be read.
const STUDY_UID: Code = ("110180", "Study Instance UID");
const PATIENT_NUMBER: (&str, &str) = ("2", "Patient Number");
const SEARCH: (&str, &str) = ("10", "Search Criteria");
const URI: (&str, &str) = ("12", "URI");

fn objects(record: &Record, out: &mut String) {
    for study in &record.studies {
        out.push_str("<ParticipantObjectIdentification");
        attribute("ParticipantObjectID", or(&study.uid, "unknown"), out);
        attribute("ParticipantObjectTypeCode", "2", out);
        attribute("ParticipantObjectTypeCodeRole", "3", out);
        attribute("ParticipantObjectDataLifeCycle", life_cycle(record), out);
        out.push('>');
        code("ParticipantObjectIDTypeCode", STUDY_UID, out);
        out.push_str("<ParticipantObjectName>");
        text(or(&study.uid, "unknown"), out);
        out.push_str("</ParticipantObjectName>");
        if record.requests > 0 {
            detail("requests", &record.requests.to_string(), out);
        }
        if let Some(since) = record.since.and_then(|since| since.format(&Rfc3339).ok()) {
            detail("since", &since, out);
        }
        out.push_str("<ParticipantObjectDescription>");
        if !study.accession.is_empty() {
            out.push_str("<Accession");
            attribute("Number", &study.accession, out);
            out.push_str("/>");
        }
        for (class, count) in &study.instances {
            out.push_str("<SOPClass");
            if !class.is_empty() {
                attribute("UID", class, out);
            }
            attribute("NumberOfInstances", &count.to_string(), out);
            out.push_str("/>");
        }
        if record.anonymized {
            out.push_str("<Anonymized>true</Anonymized>");
        }
        out.push_str("</ParticipantObjectDescription></ParticipantObjectIdentification>");
    }
    if let Some(patient) = &record.patient {
        let id = if patient.issuer.is_empty() {
            patient.id.clone()
        } else {
            // As HL7 writes an identifier with its assigning authority.
            format!("{}^^^{}", patient.id, patient.issuer)
        };
        let id = or(&id, "unknown");
        object(("1", "1"), PATIENT_NUMBER, id, id, out);
    }
    if let Some(query) = &record.query {
        out.push_str(
            "<ParticipantObjectIdentification ParticipantObjectID=\"query\" ParticipantObjectTypeCode=\"2\" \
             ParticipantObjectTypeCodeRole=\"24\"><ParticipantObjectIDTypeCode csd-code=\"",
        );
        out.push_str(SEARCH.0);
        out.push_str("\" codeSystemName=\"RFC-3881\" originalText=\"");
        out.push_str(SEARCH.1);
        out.push_str("\"/><ParticipantObjectQuery>");
        text(query, out);
        out.push_str("</ParticipantObjectQuery></ParticipantObjectIdentification>");
    }
    if let Some(thing) = &record.object {
        object(("2", "13"), URI, or(&thing.id, "unknown"), or(&thing.kind, "unknown"), out);
    }
}

/// An object of type and role, its identifier of an RFC 3881 type.
fn object(
    (kind, role): (&str, &str),
    (number, meaning): (&str, &str),
    id: &str,
    name: &str,
    out: &mut String,
) {
    out.push_str("<ParticipantObjectIdentification");
    attribute("ParticipantObjectID", id, out);
    attribute("ParticipantObjectTypeCode", kind, out);
    attribute("ParticipantObjectTypeCodeRole", role, out);
    out.push_str("><ParticipantObjectIDTypeCode");
    attribute("csd-code", number, out);
    attribute("codeSystemName", "RFC-3881", out);
    attribute("originalText", meaning, out);
    out.push_str("/><ParticipantObjectName>");
    text(name, out);
    out.push_str("</ParticipantObjectName></ParticipantObjectIdentification>");
}

fn life_cycle(record: &Record) -> &'static str {
    match record.event {
        Event::Store => "1",
        Event::Import => "2",
        Event::Deidentify => "7",
        Event::Export => "10",
        Event::Delete | Event::StudyDeleted => "14",
        Event::Start
        | Event::Stop
        | Event::AuditLogUsed
        | Event::Retrieve
        | Event::View
        | Event::Query
        | Event::Login
        | Event::Logout
        | Event::AccessRefused
        | Event::Alert
        | Event::RestrictedFunction
        | Event::RecordingStarted
        | Event::RecordingStopped
        | Event::ObjectSecurity
        | Event::RolesChanged
        | Event::UserChanged
        | Event::Procedure => "6",
    }
}

fn detail(name: &str, value: &str, out: &mut String) {
    out.push_str("<ParticipantObjectDetail");
    attribute("type", name, out);
    attribute("value", &STANDARD.encode(value), out);
    out.push_str("/>");
}

fn code(element: &str, (value, meaning): Code, out: &mut String) {
    out.push('<');
    out.push_str(element);
    attribute("csd-code", value, out);
    attribute("codeSystemName", "DCM", out);
    attribute("originalText", meaning, out);
    out.push_str("/>");
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.trim().is_empty() { other } else { text }
}

fn attribute(name: &str, value: &str, out: &mut String) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    text(value, out);
    out.push('"');
}

fn text(value: &str, out: &mut String) {
    for letter in value.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // What XML 1.0 cannot hold, and line ends, which end a line of syslog.
            '\u{0}'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => out.push(' '),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::audit::{Action, Actor, Outcome, Patient, event::Study};

    #[test]
    fn hostile_values_stay_values() {
        let hostile = "<a b=\"c\">&'\r\n\u{1}é".to_owned();
        for event in Event::ALL {
            let actor = Actor {
                id: hostile.clone(),
                name: Some(hostile.clone()),
                method: Some("session".into()),
                roles: vec![hostile.clone()],
                address: Some("::1".into()),
            };
            let mut record = Record::new(*event, Action::Read, Outcome::MinorFailure, actor);
            record.patient = Some(Patient { id: hostile.clone(), issuer: hostile.clone() });
            let instances = BTreeMap::from([(String::new(), 1), ("1.2".to_owned(), 2)]);
            record.studies = vec![Study { uid: "1.2.3".into(), accession: hostile.clone(), instances }];
            record.query = Some(crate::audit::query("GET", "/studies", "PatientName=A&access_token=x"));
            record.since = Some(record.at);
            record.requests = 3;
            record.anonymized = true;
            let record = record.about(&hostile, hostile.clone()).because(hostile.clone());
            let message =
                message(&record, &Source { id: "hilum".into(), site: "s".into(), host: "h".into() });
            assert!(!message.contains(['\r', '\n', '\u{1}']) && !message.contains("<a "), "{message}");
            if let Ok(folder) = std::env::var("HILUM_AUDIT_MESSAGES") {
                std::fs::write(format!("{folder}/{}.xml", event.name()), &message).unwrap();
            }
        }
    }
}
