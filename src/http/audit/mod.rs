//! Records what requests do, before their answers go out: around authentication,
//! so that a refusal is recorded too. The archive notes on a trail what was
//! touched; here it becomes records. Decides nothing: a request is held back
//! only when it cannot be recorded and `audit.required` says that it must be.
//!
//! Invariant: no worker waits for a disk here; the journal's thread writes, and
//! its answer is awaited.

mod classify;
mod findings;
mod log;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    web::Data,
};

use super::{Problem, State, state::identity, tenants};
use crate::{
    audit::{
        self, Access, Action, Actor, Deed, Event, Journal, JournalError, Outcome, Patient, Record, Study,
        Subject, Touched, Trail,
    },
    auth::{
        Identity, Method, Tenant,
        event::{Event as Told, What},
    },
    dicom::StudyUid,
};
use classify::{Asked, classify};
pub use findings::tend_findings;
pub use log::*;

/// The id of a request, for its records.
pub(super) struct RequestId(pub String);

/// What is told in one record.
type Group = (Option<Patient>, Action, Outcome);

/// What is noted of a request.
type Deeds = BTreeMap<Deed, Touched>;

/// Wraps every request, inside of what logs it and around authentication.
///
/// # Errors
/// Those of the services, none of its own.
pub async fn record(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let state = request.app_data::<Data<State>>().cloned();
    let Some((state, journal)) = state.and_then(|state| state.audit.clone().map(|journal| (state, journal)))
    else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    // The path as the router has it: decoded.
    let asked = classify(request.method(), request.match_info().as_str());
    let trail = Trail::default();
    if asked.is_some() {
        if let Err(error) = journal.ready().await {
            return Ok(request.into_response(HttpResponse::from_error(not_recorded(&error))));
        }
        request.extensions_mut().insert(trail.clone());
    }
    let response = next.call(request).await?.map_into_boxed_body();
    let request = Answered::of(&state, &response, asked);
    let Some(request) = request else { return Ok(response) };
    match request.record(&state, &journal, trail.take()).await {
        Ok(()) => Ok(response),
        Err(error) => Ok(response.into_response(HttpResponse::from_error(not_recorded(&error)))),
    }
}

/// Records what arrived by an upload, which is stored when no request waits.
pub async fn record_upload(state: &State, owner: &Identity, trail: &Trail) {
    // What failed is counted and logged by the journal.
    drop(record_done(state, Event::Store, owner, trail).await);
}

/// Records the copies that were made for a share link.
///
/// # Errors
/// When they could not be, and must be.
pub(super) async fn record_copies(state: &State, by: &Identity, trail: &Trail) -> Result<(), Problem> {
    let recorded = record_done(state, Event::Deidentify, by, trail).await;
    recorded.map_err(|error| not_recorded(&error))
}

async fn record_done(state: &State, event: Event, by: &Identity, trail: &Trail) -> Result<(), JournalError> {
    let Some(journal) = &state.audit else { return Ok(()) };
    let request = Answered {
        tenant: state.tenant.name().map(str::to_owned),
        event,
        action: Action::Create,
        study: None,
        is_stranger: false,
        outcome: Outcome::Success,
        reason: None,
        actor: actor(by, None),
        id: None,
        query: None,
        path: None,
        anonymized: false,
    };
    let deeds = trail.take();
    // Nothing was copied, nor was there.
    if deeds.is_empty() && event == Event::Deidentify {
        return Ok(());
    }
    request.record(state, journal, deeds).await
}

/// Records what authentication has seen.
///
/// # Errors
/// When it could not be, and must be.
pub(super) async fn record_told(state: &State, told: &Told) -> Result<(), Problem> {
    let Some(journal) = &state.audit else { return Ok(()) };
    let (event, action, outcome) = match &told.what {
        What::LoggedIn { .. } | What::ShareOpened { .. } => (Event::Login, Action::Execute, Outcome::Success),
        What::LoginFailed { .. } => (Event::Login, Action::Execute, Outcome::MinorFailure),
        What::CredentialRefused { .. } => (Event::AccessRefused, Action::Execute, Outcome::MinorFailure),
        What::LoggedOut => (Event::Logout, Action::Execute, Outcome::Success),
        What::TokenMade { .. } | What::TokenRevoked { .. } => {
            (Event::UserChanged, Action::Update, Outcome::Success)
        }
        What::ShareMade { .. } => (Event::ObjectSecurity, Action::Create, Outcome::Success),
        What::ShareRevoked { .. } => (Event::ObjectSecurity, Action::Delete, Outcome::Success),
        What::AccountChanged { change } if *change == "roles" => {
            (Event::RolesChanged, Action::Update, Outcome::Success)
        }
        What::AccountChanged { .. } => (Event::UserChanged, Action::Update, Outcome::Success),
    };
    let subject = told.subject.clone().unwrap_or_else(|| Identity::anonymous().subject);
    let actor = Actor {
        id: told.by.clone().unwrap_or_else(|| subject.clone()),
        address: told.peer.map(|peer| peer.to_string()),
        ..Actor::default()
    };
    let (code, detail) = (told.what.code(), told.what.detail());
    let reason = if detail.is_empty() { code.to_owned() } else { format!("{code}: {detail}") };
    let record = Record::new(event, action, outcome, actor).because(reason).of_tenant(state.tenant.name());
    let records = match &told.what {
        // One for each study, and with it for each patient.
        What::ShareMade { id, studies } | What::ShareOpened { id, studies } => {
            let record = record.about("share", id);
            let mut records = Vec::new();
            for uid in studies {
                let subject = subject_of(state, uid).await;
                records.push(Record {
                    patient: Some(subject.patient).filter(|patient| !patient.id.is_empty()),
                    studies: vec![Study {
                        uid: uid.clone(),
                        accession: subject.accession,
                        ..Study::default()
                    }],
                    ..record.clone()
                });
            }
            records
        }
        What::ShareRevoked { id } => vec![record.about("share", id)],
        what if what.is_of_strangers() => return told_of_strangers(state, journal, record, subject).await,
        What::LoggedIn { .. }
        | What::LoginFailed { .. }
        | What::CredentialRefused { .. }
        | What::LoggedOut
        | What::TokenMade { .. }
        | What::TokenRevoked { .. }
        | What::AccountChanged { .. } => vec![record.about("account", subject)],
    };
    let written = journal.write(records).await;
    written.map_err(|error| not_recorded(&error))
}

/// Records what anybody can make happen as often as they like, who could fill a
/// disk with it: the first of one kind of one address at once, the others together.
async fn told_of_strangers(
    state: &State,
    journal: &Journal,
    record: Record,
    subject: String,
) -> Result<(), Problem> {
    // The name that is claimed may be another each time.
    let actor = Actor { id: Identity::anonymous().subject, ..record.actor.clone() };
    let access = Access {
        event: record.event,
        tenant: state.tenant.name(),
        deed: Deed { study: String::new(), action: record.action, outcome: record.outcome },
        reason: record.reason.as_deref(),
        actor: &actor,
        touched: Touched::default(),
        anonymized: false,
    };
    let Some(access) = journal.join(access) else { return Ok(()) };
    let first = Journal::record_of(&access, None).about("account", subject);
    journal.write(vec![first]).await.map_err(|error| not_recorded(&error))?;
    journal.open_access(&access, None);
    Ok(())
}

fn not_recorded(error: &JournalError) -> Problem {
    Problem::not_recorded(error)
}

/// Who asks, as a record names them.
fn actor(identity: &Identity, peer: Option<std::net::IpAddr>) -> Actor {
    let method = match &identity.method {
        Method::Anonymous => None,
        Method::Off => Some("local"),
        Method::Operator => Some("operator"),
        Method::Password => Some("password"),
        Method::ApiToken { .. } => Some("token"),
        Method::Jwt { .. } => Some("jwt"),
        Method::Certificate => Some("certificate"),
        Method::Share { .. } => Some("share"),
    };
    Actor {
        id: identity.subject.clone(),
        name: identity.name.clone(),
        method: method.map(str::to_owned),
        roles: identity.roles.clone(),
        address: identity.peer.or(peer).map(|address| address.to_string()),
    }
}

/// A request whose answer is made and not sent.
struct Answered {
    /// In whose archive; also that of a tenant that is none, unless a stranger named it.
    tenant: Option<String>,
    event: Event,
    action: Action,
    study: Option<StudyUid>,
    /// Nobody has proven who they are.
    is_stranger: bool,
    outcome: Outcome,
    reason: Option<String>,
    actor: Actor,
    id: Option<String>,
    /// Of a search.
    query: Option<String>,
    /// What was refused.
    path: Option<String>,
    /// An instance went out by the URI service, de-identified.
    anonymized: bool,
}

impl Answered {
    /// `None` if it is nothing to record.
    fn of(state: &State, response: &ServiceResponse<BoxBody>, asked: Option<Asked>) -> Option<Self> {
        let request: &HttpRequest = response.request();
        let status = response.status();
        let is_zip = || {
            let content_type = response.headers().get(CONTENT_TYPE);
            content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/zip"))
        };
        // A stranger could name one study after the other, and one tenant.
        let caller = identity(request);
        let is_stranger = status == StatusCode::UNAUTHORIZED || caller.method == Method::Anonymous;
        let study = asked.as_ref().filter(|_| !is_stranger).and_then(|asked| asked.study.clone());
        let (event, action) = match (status, asked) {
            (StatusCode::UNAUTHORIZED, _) => (Event::AccessRefused, Action::Execute),
            (StatusCode::FORBIDDEN, _) => (Event::RestrictedFunction, Action::Execute),
            (_, Some(_)) if is_stranger => (Event::AccessRefused, Action::Execute),
            (_, Some(asked)) if asked.event == Event::Retrieve && is_zip() => (Event::Export, asked.action),
            (_, Some(asked)) => (asked.event, asked.action),
            (_, None) => return None,
        };
        let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
        let path = request.match_info().as_str();
        let searches = matches!(event, Event::Query | Event::AuditLogUsed);
        let is_refusal = matches!(event, Event::AccessRefused | Event::RestrictedFunction);
        Some(Self {
            tenant: tenants::asked(request).filter(|_| !is_stranger || state.tenant != Tenant::Unknown),
            event,
            action,
            study,
            is_stranger,
            outcome: match status.as_u16() {
                ..400 => Outcome::Success,
                400..500 => Outcome::MinorFailure,
                _ => Outcome::SeriousFailure,
            },
            reason: problem.map(|problem| problem.code().to_owned()),
            actor: actor(&caller, state.peer(request)),
            id: request.extensions().get::<RequestId>().map(|id| id.0.clone()),
            query: searches.then(|| audit::query(request.method().as_str(), path, request.query_string())),
            path: is_refusal.then(|| path.chars().take(1024).collect()),
            anonymized: path.ends_with("/wado") && has_anonymize(request.query_string()),
        })
    }

    async fn record(self, state: &State, journal: &Arc<Journal>, deeds: Deeds) -> Result<(), JournalError> {
        // What strangers ask for too, who could fill a disk with it.
        if self.is_stranger || matches!(self.event, Event::View | Event::Retrieve) {
            return self.record_access(state, journal, deeds).await;
        }
        let records = self.by_patient(state, deeds).await;
        journal.write(records).await
    }

    /// Looks at the same study, of which the first is recorded now.
    async fn record_access(
        &self,
        state: &State,
        journal: &Journal,
        mut deeds: Deeds,
    ) -> Result<(), JournalError> {
        if deeds.is_empty() {
            deeds.insert(self.deed(), Touched::default());
        }
        let mut records = Vec::new();
        let mut begun = Vec::new();
        for (deed, touched) in deeds {
            let access = Access {
                event: self.event,
                tenant: self.tenant.as_deref(),
                deed: Deed { outcome: self.outcome, ..deed },
                reason: self.reason.as_deref(),
                actor: &self.actor,
                touched,
                anonymized: self.anonymized,
            };
            let Some(access) = journal.join(access) else { continue };
            let subject = subject(state, &access.deed.study, access.touched.subject.as_ref()).await;
            let record = Journal::record_of(&access, subject.clone());
            let record = Record { request_id: self.id.clone(), ..record };
            records.push(match &self.path {
                Some(path) => record.about("url", path),
                None => record,
            });
            begun.push((access, subject));
        }
        journal.write(records).await?;
        for (access, subject) in begun {
            journal.open_access(&access, subject);
        }
        Ok(())
    }

    /// One record for each patient, and for each thing that was done to theirs.
    async fn by_patient(&self, state: &State, mut deeds: Deeds) -> Vec<Record> {
        let is_store = matches!(self.event, Event::Store | Event::Deidentify);
        let is_failed = self.outcome != Outcome::Success;
        let tells = !is_store || !is_failed || deeds.keys().any(|deed| deed.outcome != Outcome::Success);
        if deeds.is_empty() || !tells {
            deeds.insert(self.deed(), Touched::default());
        }
        let mut groups: BTreeMap<Group, (Vec<Study>, BTreeSet<u16>)> = BTreeMap::new();
        for (deed, touched) in deeds {
            // Each instance of a store has its own outcome.
            let outcome = if is_store { deed.outcome } else { self.outcome };
            let subject = subject(state, &deed.study, touched.subject.as_ref()).await.unwrap_or_default();
            let patient = Some(subject.patient).filter(|patient| !patient.id.is_empty());
            let (studies, reasons) = groups.entry((patient, deed.action, outcome)).or_default();
            reasons.extend(touched.reasons);
            if !deed.study.is_empty() {
                let classes = touched.classes.iter();
                let instances =
                    classes.map(|(class, instances)| (class.clone(), instances.count())).collect();
                studies.push(Study { uid: deed.study, accession: subject.accession, instances });
            }
        }
        let records = groups.into_iter().map(|((patient, action, outcome), (studies, reasons))| {
            let record = Record::new(self.event, action, outcome, self.actor.clone());
            let mut record = record.of_tenant(self.tenant.as_deref());
            record.patient = patient;
            record.studies = studies;
            record.anonymized = self.event == Event::Deidentify && action == Action::Create;
            record.request_id.clone_from(&self.id);
            record.query.clone_from(&self.query);
            record.reason = self.reason.clone().filter(|_| outcome != Outcome::Success);
            if record.reason.is_none() {
                record.reason = audit::reason_of(&reasons);
            }
            match &self.path {
                Some(path) => record.about("url", path),
                None if self.event == Event::AuditLogUsed => record.about("audit-log", "/audit"),
                None => record,
            }
        });
        records.collect()
    }

    /// What is known when the archive was not reached, or found nothing.
    fn deed(&self) -> Deed {
        let study = self.study.as_ref().map(ToString::to_string).unwrap_or_default();
        Deed { study, action: self.action, outcome: self.outcome }
    }
}

fn has_anonymize(query: &str) -> bool {
    query.split('&').any(|pair| pair == "anonymize=yes")
}

async fn subject_of(state: &State, study: &str) -> Subject {
    subject(state, study, None).await.unwrap_or_default()
}

/// Whose study it is, where the archive still knows.
async fn subject(state: &State, study: &str, known: Option<&Subject>) -> Option<Subject> {
    if let Some(known) = known {
        return Some(known.clone());
    }
    if state.tenant == Tenant::Unknown {
        return None;
    }
    let study = StudyUid::parse(study).ok()?;
    state.archive.subject(study).await.ok().flatten()
}
