//! `GET /audit`: the log for those who may read it. The log is read beside its
//! writer and bounded: so many records, so much time, so many readers at once.
//! That somebody has read it is recorded like every other request.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};

use crate::{
    audit::{self, Archives, Event, Filter, Outcome, Record, fhir, moment},
    auth::{Action, Permit, Reach, Tenant},
    config::ROOT_ARCHIVE,
    http::{Problem, State, negotiate::Accept, params},
    storage::audit::{Ended, Search, newest_first},
};

const OFFERS: [&str; 2] = ["application/json", "application/fhir+json"];
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;
const OFFSET_MAX: usize = 1_000_000;
/// How long one search may look.
const TIME_MAX: Duration = Duration::from_secs(10);
/// A search reads a segment into memory: so many at the same time.
static READERS: Semaphore = Semaphore::const_new(2);

/// Which records; all that is named must fit.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "the parameters, for the document")]
pub struct AuditParams {
    /// Who did it
    user: Option<String>,
    /// The Patient ID
    patient: Option<String>,
    /// The Study Instance UID
    study: Option<String>,
    /// From this time or day on (RFC 3339, UTC for a day)
    #[param(example = "2026-01-31")]
    from: Option<String>,
    /// Up to this time, or to the end of this day
    to: Option<String>,
    /// The name of an event, such as `store`, `retrieve`, `view`, `query`, `study-deleted`
    #[param(example = "store")]
    event: Option<String>,
    /// Of whose archive, `root` for the one that is no tenant's; only for who may read the records of all, at `/audit`
    tenant: Option<String>,
    /// `success`, `minor-failure`, `serious-failure` or `major-failure`
    outcome: Option<String>,
    /// So many at most
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Without the first so many
    #[param(maximum = 1_000_000, default = 0)]
    offset: Option<usize>,
}

/// Records of the audit log, the newest first.
#[derive(Serialize, ToSchema)]
pub struct AuditRecords {
    /// As they are kept, with their number in the log; `query` is plain text here
    #[schema(value_type = Vec<Object>)]
    records: Vec<Value>,
    /// Whether there are more: ask again with a higher offset
    more: bool,
    /// Whether the whole log was looked at as far as was asked; if not, narrow the time
    complete: bool,
}

#[utoipa::path(
    get, path = "/audit", tag = "Audit", operation_id = "searchAuditLog",
    summary = "Search the audit log: who did what to whose images",
    params(AuditParams),
    responses(
        (status = 200, description = "The records that fit, the newest first; as FHIR, a Bundle of AuditEvent",
            content((AuditRecords = "application/json"), (serde_json::Value = "application/fhir+json"))),
        (status = 403, description = "The caller may not read it", content_type = "application/problem+json",
            body = super::super::openapi::ProblemBody),
        super::super::openapi::ProblemResponses
    )
)]
pub async fn search(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let Some(journal) = state.audit.clone() else {
        return Err(Problem::not_found("audit log: audit.enabled is false"));
    };
    // A record may be of many patients, or of none: no filter divides the log.
    if *state.permit(&request).required().map_err(Problem::not_permitted)? != Reach::Everything {
        let detail = "the right to read the audit log is within a filter, and the log is read as a whole; \
                      grant audit in a role without `where`";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not-permitted", "Not permitted", detail));
    }
    let chosen = Accept::of(&request, state.config.strict.accept)?.one_of(&OFFERS)?;
    let asked = Asked::of(&request, archives(&state, &request))?;
    let _reader = READERS.try_acquire().map_err(|_| Problem::busy())?;
    let folder = journal.folder().clone();
    let (limit, offset) = (asked.limit, asked.offset);
    let found = actix_web::web::block(move || {
        let search = Search { until: Some(Instant::now() + TIME_MAX), ..asked.filter.search() };
        let mut skipped = 0;
        let mut found: Vec<(u64, Record)> = Vec::new();
        let ended = newest_first(&folder, &search, |number, line| {
            let record = serde_json::from_slice::<Record>(line).ok();
            let Some(record) = record.filter(|record| asked.filter.matches(record)) else {
                return ControlFlow::Continue(());
            };
            if skipped < asked.offset {
                skipped += 1;
            } else {
                found.push((number, record));
            }
            // One more than wanted tells that there are more.
            if found.len() > asked.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        ended.map(|ended| (ended, found))
    });
    let (ended, mut found) =
        found.await.map_err(|_| Problem::busy())?.map_err(|error| Problem::audit_unreadable(&error))?;
    let more = found.len() > limit;
    found.truncate(limit);
    if chosen == 1 {
        let source = &journal.settings().source;
        let events = found.iter().map(|(number, record)| fhir::audit_event(*number, record, source));
        let base = state.base_url(&request)?;
        let base = base.strip_suffix(super::super::state::SERVICE_ROOT).unwrap_or(&base);
        let query = request.query_string();
        let link = if query.is_empty() { format!("{base}/audit") } else { format!("{base}/audit?{query}") };
        let next = more.then(|| next_page(base, &request, limit, offset));
        let bundle = fhir::bundle(base, &link, next.as_deref(), None, events.collect());
        return Ok(HttpResponse::Ok().content_type(OFFERS[1]).body(bundle.to_string()));
    }
    let records = found.into_iter().map(|(number, record)| plain(number, record)).collect();
    let complete = !matches!(ended, Ended::OutOfTime { .. });
    Ok(HttpResponse::Ok().json(AuditRecords { records, more, complete }))
}

fn next_page(base: &str, request: &HttpRequest, limit: usize, offset: usize) -> String {
    let kept = |pair: &&str| !pair.is_empty() && !pair.starts_with("offset=");
    let mut query: Vec<&str> = request.query_string().split('&').filter(kept).collect();
    let offset = format!("offset={}", offset + limit);
    query.push(&offset);
    format!("{base}/audit?{}", query.join("&"))
}

fn plain(number: u64, record: Record) -> Value {
    let query = record.query.as_deref().and_then(audit::plain_query);
    let mut value = serde_json::to_value(record).unwrap_or_default();
    value["number"] = json!(number);
    if let Some(query) = query {
        value["query"] = json!(query);
    }
    value
}

/// Of which archives the caller may read the records here. At the root, who may
/// read them everywhere sees all.
fn archives(state: &State, request: &HttpRequest) -> Archives {
    let reads_all = |(_, permit): &(Tenant, Permit)| *permit.reach(Action::Audit) == Reach::Everything;
    match state.tenant.name() {
        Some(name) => Archives::Tenant(name.to_owned()),
        None if state.all_permits(request).iter().all(reads_all) => Archives::All,
        None => Archives::Root,
    }
}

/// What a caller asks for.
struct Asked {
    filter: Filter,
    limit: usize,
    offset: usize,
}

impl Asked {
    fn of(request: &HttpRequest, archives: Archives) -> Result<Self, Problem> {
        let filter = Filter { archives, ..Filter::default() };
        let mut asked = Self { filter, limit: LIMIT, offset: 0 };
        let filter = &mut asked.filter;
        for (key, value) in params::query(request) {
            let wrong = |detail: &str| Problem::invalid_parameter(&key, detail);
            let time = |is_end| {
                moment(&value, is_end)
                    .map(Some)
                    .ok_or_else(|| wrong("a time is a day (2026-01-31) or 2026-01-31T12:00:00Z"))
            };
            let number = |max: usize| {
                value
                    .parse()
                    .ok()
                    .filter(|number: &usize| *number <= max)
                    .ok_or_else(|| wrong(&format!("a whole number up to {max} is expected")))
            };
            match key.as_str() {
                "user" => filter.user = Some(value),
                "patient" => filter.patient = Some(value),
                "study" => filter.study = Some(value),
                "tenant" if filter.archives == Archives::All => {
                    let is_root = value == ROOT_ARCHIVE;
                    filter.archives = if is_root { Archives::Root } else { Archives::Tenant(value) };
                }
                "tenant" => return Err(wrong("what you may read here is of this archive only")),
                "from" => filter.from = time(false)?,
                "to" => filter.to = time(true)?,
                "event" => {
                    let names = || Event::ALL.iter().map(|event| event.name()).collect::<Vec<_>>().join(", ");
                    let event =
                        Event::parse(&value).ok_or_else(|| wrong(&format!("an event is one of {}", names())));
                    filter.event = Some(event?);
                }
                "outcome" => {
                    let outcome = Outcome::parse(&value).ok_or_else(|| {
                        wrong("an outcome is success, minor-failure, serious-failure or major-failure")
                    });
                    filter.outcome = Some(outcome?);
                }
                "limit" => asked.limit = number(LIMIT_MAX)?.max(1),
                "offset" => asked.offset = number(OFFSET_MAX)?,
                "accept" | "access_token" => {}
                _ => {
                    return Err(wrong(
                        "the audit log is searched by user, patient, study, tenant, from, to, event, outcome, limit and offset",
                    ));
                }
            }
        }
        Ok(asked)
    }
}
