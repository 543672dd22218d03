//! What a request is for an audit: from the method and the path as the router
//! sees it, before anything is done. Touches nothing and knows no answer.
//!
//! Invariant: a route that shows, takes or removes data of patients has an
//! event here; a test holds the route table against it.

use actix_web::http::Method;

use crate::{
    audit::{Action, Event},
    dicom::StudyUid,
};

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub event: Event,
    pub action: Action,
    /// The study of the path, if its UID is one.
    pub study: Option<StudyUid>,
}

/// `None` for what is no matter of an audit: health, metrics, documents, and
/// the steps of an upload, whose storing is recorded when it is done.
pub fn classify(method: &Method, path: &str) -> Option<Asked> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let is_read = method == Method::GET || method == Method::HEAD;
    let (event, action) = match segments.as_slice() {
        ["audit"] if is_read => (Event::AuditLogUsed, Action::Read),
        ["wado"] | ["dicomweb", "wado"] if is_read => (Event::View, Action::Read),
        ["dicomweb", "zip"] if is_read || method == Method::POST => (Event::Export, Action::Read),
        ["dicomweb", "commitment-requests", _] if method == Method::POST => (Event::Store, Action::Execute),
        ["dicomweb", "studies", _, "deidentified"] if method == Method::POST => {
            (Event::Deidentify, Action::Create)
        }
        ["dicomweb", "studies"] | ["dicomweb", "studies", _] if method == Method::POST => {
            (Event::Store, Action::Create)
        }
        ["dicomweb", "studies", _] if method == Method::DELETE => (Event::StudyDeleted, Action::Delete),
        ["dicomweb", "studies", ..] if method == Method::DELETE => (Event::Delete, Action::Delete),
        ["dicomweb", rest @ ..] if is_read => (read(rest)?, Action::Read),
        _ => return None,
    };
    let study = match segments.as_slice() {
        ["dicomweb", "studies", study, ..] => StudyUid::parse(study).ok(),
        _ => None,
    };
    Some(Asked { event, action, study })
}

fn read(rest: &[&str]) -> Option<Event> {
    match rest {
        ["studies" | "series" | "instances" | "patients"]
        | ["studies" | "series" | "instances" | "patients", "count"]
        | ["studies", _, "series" | "instances"]
        | ["studies", _, "series" | "instances", "count"]
        | ["studies", _, "series", _, "instances"]
        | ["studies", _, "series", _, "instances", "count"] => Some(Event::Query),
        ["studies", _]
        | ["studies", _, "series", _]
        | ["studies", _, "series", _, "instances", _]
        | ["studies", _, "series", _, "instances", _, "versions", _] => Some(Event::Retrieve),
        ["studies", ..] => Some(Event::View),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use utoipa::OpenApi;

    use super::*;
    use crate::http::openapi::Document;

    /// What shows nothing of a patient, or is recorded elsewhere.
    const NOT_RECORDED: [&str; 19] = [
        "/dicomweb",
        "/healthz",
        "/readyz",
        "/metrics",
        "/conformance",
        "/uploads",
        "/uploads/{upload}",
        // Authentication tells what it has seen.
        "/.well-known/smart-configuration",
        "/auth/login",
        "/shares",
        "/shares/{share}",
        "/shared/{link}",
        "/shared/{link}/viewer.json",
        "/auth/callback",
        "/auth/logout",
        "/auth/password",
        "/auth/session",
        "/auth/tokens",
        "/auth/tokens/{token}",
    ];

    #[test]
    fn every_route_has_an_event_or_needs_none() {
        for (pattern, item) in Document::openapi().paths.paths {
            let path = pattern.replace(['{', '}'], "");
            for (method, operation) in [
                (Method::GET, &item.get),
                (Method::POST, &item.post),
                (Method::PUT, &item.put),
                (Method::PATCH, &item.patch),
                (Method::DELETE, &item.delete),
            ] {
                // The result of a commitment names no more than was asked.
                let is_exempt = NOT_RECORDED.contains(&pattern.as_str())
                    || (method == Method::GET && pattern.contains("/commitment-requests/"));
                if operation.is_some() {
                    assert_eq!(classify(&method, &path).is_none(), is_exempt, "{method} {pattern}");
                }
            }
        }
    }

    #[test]
    fn events_are_told_apart() {
        let event = |method: &Method, path: &str| classify(method, path).map(|asked| asked.event);
        for (path, wanted) in [
            ("/dicomweb/studies", Event::Query),
            ("/dicomweb/studies/count", Event::Query),
            ("/dicomweb/studies/1.2", Event::Retrieve),
            ("/dicomweb/studies/1.2/series", Event::Query),
            ("/dicomweb/studies/1.2/series/1.3/instances/1.4", Event::Retrieve),
            ("/dicomweb/studies/1.2/series/1.3/instances/1.4/frames/1", Event::View),
            ("/dicomweb/studies/1.2/metadata", Event::View),
            ("/dicomweb/zip", Event::Export),
            ("/audit", Event::AuditLogUsed),
        ] {
            assert_eq!(event(&Method::GET, path), Some(wanted), "{path}");
        }
        assert_eq!(event(&Method::DELETE, "/dicomweb/studies/1.2"), Some(Event::StudyDeleted));
        assert_eq!(event(&Method::DELETE, "/dicomweb/studies/1.2/series/1.3"), Some(Event::Delete));
        assert_eq!(event(&Method::POST, "/dicomweb/studies"), Some(Event::Store));
        assert_eq!(event(&Method::OPTIONS, "/dicomweb/studies"), None);
        let study = classify(&Method::GET, "/dicomweb/studies/1.2/metadata").and_then(|asked| asked.study);
        assert_eq!(study.map(|study| study.to_string()), Some("1.2".to_owned()));
    }
}
