//! A record as a FHIR R4 `AuditEvent`, with the codes that its `AuditMessage`
//! has, and search results as a `Bundle`.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::{
    event::{Code, Event, Record},
    xml::Source,
};

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const ENTITY_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const SOURCE_TYPE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";
const DICOM_UID: &str = "urn:dicom:uid";

/// The resource of a record.
#[must_use]
pub fn audit_event(number: u64, record: &Record, source: &Source) -> Value {
    let mut event = json!({
        "resourceType": "AuditEvent",
        "id": number.to_string(),
        "type": coding(record.event.code()),
        "action": record.action.letter(),
        "recorded": record.at.format(&Rfc3339).unwrap_or_default(),
        "outcome": record.outcome.indicator(),
        "agent": [caller(record), archive(record, source)],
        "source": {
            "observer": {"display": source_id(source)},
            "type": [{"system": SOURCE_TYPE, "code": "4", "display": "Application Server"}],
        },
    });
    let entities = entities(record);
    let site = source.site_of(record);
    if !site.is_empty() {
        event["source"]["site"] = json!(site);
    }
    let mut put = |key: &str, value: Value| {
        if let Some(event) = event.as_object_mut() {
            event.insert(key.to_owned(), value);
        }
    };
    if let Some(kind) = record.event.kind() {
        put("subtype", json!([coding(kind)]));
    }
    if let Some(reason) = &record.reason {
        put("outcomeDesc", json!(reason));
    }
    if let Some(since) = record.since.and_then(|since| since.format(&Rfc3339).ok()) {
        put("period", json!({"start": since, "end": record.at.format(&Rfc3339).unwrap_or_default()}));
    }
    if !entities.is_empty() {
        put("entity", Value::Array(entities));
    }
    event
}

/// The results of a search.
#[must_use]
pub fn bundle(base: &str, link: &str, next: Option<&str>, total: Option<u64>, events: Vec<Value>) -> Value {
    let entries: Vec<Value> = events
        .into_iter()
        .map(|event| {
            let id = event["id"].as_str().unwrap_or_default();
            json!({"fullUrl": format!("{base}/audit#{id}"), "resource": event, "search": {"mode": "match"}})
        })
        .collect();
    let mut links = vec![json!({"relation": "self", "url": link})];
    links.extend(next.map(|next| json!({"relation": "next", "url": next})));
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset", "link": links});
    if let (Some(total), Some(bundle)) = (total, bundle.as_object_mut()) {
        bundle.insert("total".to_owned(), json!(total));
    }
    if let (false, Some(bundle)) = (entries.is_empty(), bundle.as_object_mut()) {
        bundle.insert("entry".to_owned(), Value::Array(entries));
    }
    bundle
}

fn coding((code, display): Code) -> Value {
    json!({"system": DCM, "code": code, "display": display})
}

fn source_id(source: &Source) -> &str {
    if source.id.is_empty() { "hilum" } else { &source.id }
}

fn caller(record: &Record) -> Value {
    let actor = &record.actor;
    let mut agent = json!({
        "who": {"identifier": {"value": if actor.id.is_empty() { "anonymous" } else { &actor.id }}},
        "requestor": true,
    });
    let Some(fields) = agent.as_object_mut() else { return agent };
    if let Some(name) = &actor.name {
        fields.insert("name".to_owned(), json!(name));
    }
    if let Some(method) = &actor.method {
        fields.insert("altId".to_owned(), json!(method));
    }
    if let Some(address) = &actor.address {
        fields.insert("network".to_owned(), json!({"address": address, "type": "2"}));
    }
    if !actor.roles.is_empty() {
        let roles: Vec<Value> = actor.roles.iter().map(|role| json!({"text": role})).collect();
        fields.insert("role".to_owned(), Value::Array(roles));
    }
    agent
}

fn archive(record: &Record, source: &Source) -> Value {
    let role = if record.event.is_inward() {
        ("110152", "Destination Role ID")
    } else if record.event.is_activity() {
        ("110150", "Application")
    } else {
        ("110153", "Source Role ID")
    };
    json!({
        "type": {"coding": [coding(role)]},
        "who": {"display": source_id(source)},
        "requestor": false,
    })
}

fn entities(record: &Record) -> Vec<Value> {
    let mut entities = Vec::new();
    let entity = |kind: (&str, &str), role: (&str, &str), mut rest: Value| {
        if let Some(rest) = rest.as_object_mut() {
            rest.insert("type".to_owned(), json!({"system": ENTITY_TYPE, "code": kind.0, "display": kind.1}));
            rest.insert("role".to_owned(), json!({"system": ENTITY_ROLE, "code": role.0, "display": role.1}));
        }
        rest
    };
    for study in &record.studies {
        let mut details: Vec<Value> = study
            .instances
            .iter()
            .map(|(class, count)| json!({"type": format!("SOPClass {class}"), "valueString": count.to_string()}))
            .collect();
        if !study.accession.is_empty() {
            details.push(json!({"type": "Accession", "valueString": study.accession}));
        }
        if record.requests > 0 {
            details.push(json!({"type": "requests", "valueString": record.requests.to_string()}));
        }
        if record.anonymized {
            details.push(json!({"type": "Anonymized", "valueString": "true"}));
        }
        let uid = if study.uid.is_empty() { "unknown".to_owned() } else { format!("urn:oid:{}", study.uid) };
        let mut rest =
            json!({"what": {"type": "ImagingStudy", "identifier": {"system": DICOM_UID, "value": uid}}});
        if let (false, Some(rest)) = (details.is_empty(), rest.as_object_mut()) {
            rest.insert("detail".to_owned(), Value::Array(details));
        }
        entities.push(entity(("2", "System Object"), ("3", "Report"), rest));
    }
    if let Some(patient) = &record.patient {
        let mut identifier = json!({"value": if patient.id.is_empty() { "unknown" } else { &patient.id }});
        if let (false, Some(identifier)) = (patient.issuer.is_empty(), identifier.as_object_mut()) {
            identifier.insert("assigner".to_owned(), json!({"display": patient.issuer}));
        }
        let rest = json!({"what": {"type": "Patient", "identifier": identifier}});
        entities.push(entity(("1", "Person"), ("1", "Patient"), rest));
    }
    if let Some(query) = &record.query {
        entities.push(entity(("2", "System Object"), ("24", "Query"), json!({"query": query})));
    }
    if let Some(object) = &record.object {
        let rest = json!({"what": {"identifier": {"value": object.id}}, "name": object.kind});
        let rest = if record.event == Event::AuditLogUsed {
            json!({"what": {"identifier": {"value": object.id}}, "name": "Security Audit Log"})
        } else {
            rest
        };
        entities.push(entity(("2", "System Object"), ("13", "Security Resource"), rest));
    }
    entities
}
