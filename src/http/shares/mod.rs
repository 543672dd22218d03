//! `/shares`: links to studies for people without an account: made, listed and
//! revoked by who may `share`. What a link opens is in [`shared`].

mod page;
pub mod shared;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{self, Data, Payload},
};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use super::{
    Problem, State, audit,
    deidentified::{self, DeidentifiedStudy, Kept, Seen},
    openapi::ProblemBody,
    small,
    state::identity,
    tell,
};
use crate::{
    archive::Deidentification,
    audit::Trail,
    auth::{
        Action, Reach,
        authentication::now_seconds,
        event::{Event, What},
        shares::{Grant, NewShare, is_of},
    },
    dicom::StudyUid,
    storage::shares::{Share, SharesError},
};

const HOURS_DEFAULT: u64 = 7 * 24;
const LABEL_CHARACTERS_MAX: usize = 100;

/// A link that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareRequest {
    /// Study Instance UIDs
    studies: Vec<String>,
    /// What it is for; shown to who opens it
    label: Option<String>,
    /// When it ends (RFC 3339), else after `hours`
    expires: Option<String>,
    /// For how many hours it is valid; 168 where nothing is said
    hours: Option<u64>,
    /// How often it can be opened; as often as one likes where nothing is said
    uses: Option<u32>,
    /// What must be known to open it, 8 characters at least
    password: Option<String>,
    /// Files may be taken, not only looked at
    #[serde(default)]
    download: bool,
    /// Only what is de-identified is shown: of studies that are not, copies that are made now
    #[serde(default)]
    deidentified: bool,
    /// What these copies keep
    #[serde(default)]
    retain: Vec<Kept>,
    #[serde(default)]
    pixels: Seen,
}

/// A link to studies.
#[derive(Serialize, ToSchema)]
pub struct ShareLink {
    id: String,
    /// The link itself; told once, when it is made
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Who gave it
    by: String,
    studies: Vec<String>,
    /// Which study each copy stands for, and what it lacks; told once, when the link is made
    #[serde(skip_serializing_if = "Vec::is_empty")]
    copies: Vec<DeidentifiedStudy>,
    download: bool,
    deidentified: bool,
    has_password: bool,
    created: String,
    expires: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uses_max: Option<u32>,
    uses: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    /// Whether it can be opened now, as far as it is about the link itself
    open: bool,
}

#[utoipa::path(
    get, path = "/shares", tag = "Sharing", operation_id = "listShares",
    summary = "One's own share links; all of them for an administrator",
    responses(
        (status = 200, description = "Without their secrets", body = Vec<ShareLink>),
        (status = 403, description = "The caller may not share", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Authentication is off", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn list(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    on(&state)?;
    let mut shares = state.auth.shares.list();
    shares.retain(|share| is_own(&state, &request, share));
    shares.sort_by_key(|share| std::cmp::Reverse(share.created));
    let shares: Vec<ShareLink> = shares.iter().map(|share| described(share, None)).collect();
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(shares))
}

#[utoipa::path(
    post, path = "/shares", tag = "Sharing", operation_id = "makeShare",
    summary = "Make a link to studies for people without an account",
    request_body = ShareRequest,
    responses(
        (status = 201, description = "The link, told this once", body = ShareLink),
        (status = 400, description = "It cannot be as asked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The caller may not share, or not what the link is to give", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such study, or authentication is off", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "A study is not de-identified and cannot be, or there are too many links", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn make(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    on(&state)?;
    let body: ShareRequest = small::json(&request, payload, &state).await?;
    let studies = studies_of(&state, &body)?;
    let how = deidentified::how(&body.retain, body.pixels)?;
    let mut new = read(&state, body, &studies)?;
    let by = identity(&request);
    let (studies, copies) = if new.deidentified {
        with_copies(&state, &request, studies, how).await?
    } else {
        (studies, Vec::new())
    };
    new.studies = studies.iter().map(ToString::to_string).collect();
    let grant = Grant {
        studies: new.studies.clone(),
        download: new.download,
        deidentified: new.deidentified,
        by: by.as_ref().clone(),
    };
    check(&state, &grant, studies, &copies).await?;
    let auth = Arc::clone(&state.auth);
    let giver = Arc::clone(&by);
    let made = web::block(move || auth.new_share(&giver, new)).await.map_err(|_| Problem::busy())?;
    let (share, secret) = made.map_err(|error| Problem::malformed_body(error.to_string()))?;
    let auth = Arc::clone(&state.auth);
    let count_max = state.config.shares.count_max;
    let kept = web::block(move || auth.shares.add(share, count_max)).await.map_err(|_| Problem::busy())?;
    let share = kept.map_err(|error| problem(&error))?;
    let what = What::ShareMade { id: share.id.clone(), studies: share.studies.clone() };
    let event = Event { what, subject: Some(by.subject.clone()), by: None, peer: by.peer };
    if let Err(problem) = tell(&state, &event).await {
        // Nobody has the link yet, and nobody shall.
        end(&state, share.id.clone()).await?;
        return Err(problem);
    }
    let url = format!("{}/shared/{secret}", state.home(&request)?);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, format!("{}/shares/{}", state.home(&request)?, share.id)))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(ShareLink { copies, ..described(&share, Some(url)) }))
}

#[utoipa::path(
    delete, path = "/shares/{share}", tag = "Sharing", operation_id = "revokeShare",
    summary = "Revoke a link: it and all that was opened by it end at once",
    params(("share" = String, Path, description = "The id of the link, as the list of links has it")),
    responses(
        (status = 204, description = "It opens nothing any more"),
        (status = 403, description = "The caller may not share", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "The caller has no such link", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn revoke(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    on(&state)?;
    let id = request.match_info().get("share").unwrap_or_default();
    let share = state.auth.shares.get(id).filter(|share| is_own(&state, &request, share));
    let share = share.ok_or_else(|| Problem::not_found("link"))?;
    let by = identity(&request);
    let what = What::ShareRevoked { id: share.id.clone() };
    tell(&state, &Event { what, subject: Some(by.subject.clone()), by: None, peer: by.peer }).await?;
    end(&state, share.id.clone()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends a link, and all that was opened by it.
async fn end(state: &State, id: String) -> Result<(), Problem> {
    let auth = Arc::clone(&state.auth);
    let revoked = web::block(move || {
        auth.shares.change(&id, |share| {
            let goes_on = share.revoked.is_none();
            share.revoked = share.revoked.or_else(|| Some(now_seconds()));
            goes_on
        })
    });
    revoked.await.map_err(|_| Problem::busy())?.map_err(|error| problem(&error))?;
    Ok(())
}

/// Without authentication there is nobody who could be let in besides.
fn on(state: &State) -> Result<(), Problem> {
    let is_on = state.config.auth.enabled;
    is_on.then_some(()).ok_or_else(|| Problem::not_found("resource while auth.enabled is false"))
}

/// Whether a link is the caller's, or they may administer those of others.
fn is_own(state: &State, request: &HttpRequest, share: &Share) -> bool {
    let permit = state.permit(request);
    if !is_of(share, &state.tenant) {
        return false;
    }
    share.by == permit.caller() || *permit.reach(Action::Administer) == Reach::Everything
}

fn studies_of(state: &State, body: &ShareRequest) -> Result<Vec<StudyUid>, Problem> {
    let studies_max = state.config.shares.studies_max;
    let texts: BTreeSet<&str> = body.studies.iter().map(|text| text.trim()).collect();
    if !(1..=studies_max).contains(&texts.len()) {
        let why = format!("studies names 1 to {studies_max} studies (shares.studies_max)");
        return Err(Problem::malformed_body(why));
    }
    let read = |text: &str| StudyUid::parse(text).map_err(|error| Problem::invalid_uid("studies", error));
    texts.into_iter().map(read).collect()
}

fn read(state: &State, body: ShareRequest, studies: &[StudyUid]) -> Result<NewShare, Problem> {
    let wrong = |why: String| Err(Problem::malformed_body(why));
    let days_max = state.config.shares.days_max;
    let (now, longest) = (now_seconds(), days_max.saturating_mul(24 * 60 * 60));
    let expires = match (&body.expires, body.hours) {
        (Some(_), Some(_)) => return wrong("expires and hours say the same; name one of them".to_owned()),
        (Some(text), None) => {
            let moment = OffsetDateTime::parse(text, &Rfc3339).ok();
            let seconds = moment.and_then(|moment| u64::try_from(moment.unix_timestamp()).ok());
            match seconds {
                Some(seconds) => seconds,
                None => return wrong("expires is a time such as 2026-01-31T12:00:00Z".to_owned()),
            }
        }
        (None, hours) => {
            let usual = HOURS_DEFAULT.min(days_max.saturating_mul(24));
            now.saturating_add(hours.unwrap_or(usual).saturating_mul(60 * 60))
        }
    };
    if expires <= now || expires > now.saturating_add(longest) {
        return wrong(format!("a link is valid for up to {days_max} days from now (shares.days_max)"));
    }
    if body.uses == Some(0) {
        return wrong("uses is 1 or more".to_owned());
    }
    let label = body.label.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let is_plain =
        |text: &String| text.chars().count() <= LABEL_CHARACTERS_MAX && !text.chars().any(char::is_control);
    if !label.as_ref().is_none_or(is_plain) {
        return wrong(format!("a label has up to {LABEL_CHARACTERS_MAX} printable characters"));
    }
    Ok(NewShare {
        label,
        studies: studies.iter().map(ToString::to_string).collect(),
        download: body.download,
        deidentified: body.deidentified,
        password: body.password,
        expires,
        uses_max: body.uses,
        tenant: state.tenant.name().map(str::to_owned),
    })
}

/// The studies that a de-identified link is to: those that are de-identified
/// themselves, and of the others the copies, which are made now. The caller must be
/// one who may share all of them.
async fn with_copies(
    state: &State,
    request: &HttpRequest,
    studies: Vec<StudyUid>,
    how: Deidentification,
) -> Result<(Vec<StudyUid>, Vec<DeidentifiedStudy>), Problem> {
    let by = identity(request);
    let grant = |study: &StudyUid, deidentified| Grant {
        studies: vec![study.to_string()],
        download: false,
        deidentified,
        by: by.as_ref().clone(),
    };
    let mut identified = Vec::new();
    let mut shown = Vec::new();
    for study in studies {
        let seen = async |deidentified| {
            let permit = state.roles.permit_of_link(&by, &grant(&study, deidentified), &state.tenant);
            let permit = permit.to(Action::View);
            permit.required().map_err(Problem::not_permitted)?;
            Ok::<_, Problem>(state.archive.first_unseen(&permit, vec![study.clone()]).await?.is_none())
        };
        if seen(true).await? {
            shown.push(study);
        } else if seen(false).await? {
            identified.push(study);
        } else {
            return Err(Problem::not_found(&format!("study: {study}")));
        }
    }
    let trail = Trail::default();
    let permit = state.permit(request).on_trail(Some(trail.clone())).to(Action::Deidentify);
    if let (Some(study), Err(_)) = (identified.first(), permit.required()) {
        let detail = format!(
            "study {study} has instances that do not say PatientIdentityRemoved = YES, and the caller lacks the right \
             to have a copy made that does (deidentify); share one that is there, or share without deidentified"
        );
        let title = "The study is not de-identified";
        return Err(Problem::new(StatusCode::CONFLICT, "not-deidentified", title, detail));
    }
    let base_url = state.base_url(request)?;
    let mut copies = Vec::new();
    let mut failed = None;
    for study in &identified {
        match deidentified::copy(state, &permit, study, how).await {
            Ok(copied) => {
                copies.push(deidentified::described(study, &copied, &base_url));
                shown.push(copied.study);
            }
            Err(problem) => {
                failed = Some(problem);
                break;
            }
        }
    }
    // Also what was copied before something failed.
    audit::record_copies(state, &by, &trail).await?;
    match failed {
        Some(problem) => Err(problem),
        None => Ok((shown, copies)),
    }
}

/// Whether who gives the link may do with each study what the link allows.
async fn check(
    state: &State,
    grant: &Grant,
    studies: Vec<StudyUid>,
    copies: &[DeidentifiedStudy],
) -> Result<(), Problem> {
    let permit = state.roles.permit_of_link(&grant.by, grant, &state.tenant);
    let mut actions = vec![Action::Search, Action::View];
    actions.extend(grant.download.then_some(Action::Download));
    for action in actions {
        let permit = permit.clone().to(action);
        permit.required().map_err(Problem::not_permitted)?;
        let Some(study) = state.archive.first_unseen(&permit, studies.clone()).await? else { continue };
        let identified = Grant { deidentified: false, ..grant.clone() };
        let permit = state.roles.permit_of_link(&grant.by, &identified, &state.tenant).to(action);
        let is_there = state.archive.first_unseen(&permit, vec![study.clone()]).await?.is_none();
        if let Some(copy) = copies.iter().find(|copy| copy.is(&study)) {
            let detail = format!(
                "the copy of study {} is there, and is outside of what the caller may {action}: a copy says nothing of \
                 its patient, nor of what else the caller's role may be bound to",
                copy.original()
            );
            let title = "The copy cannot be shared";
            return Err(Problem::new(StatusCode::CONFLICT, "copy-not-seen", title, detail));
        }
        if grant.deidentified && is_there {
            let detail = format!("study {study} has instances that do not say PatientIdentityRemoved = YES");
            let title = "The study is not de-identified";
            return Err(Problem::new(StatusCode::CONFLICT, "not-deidentified", title, detail));
        }
        return Err(Problem::not_found(&format!("study: {study}")));
    }
    Ok(())
}

fn described(share: &Share, url: Option<String>) -> ShareLink {
    let now = now_seconds();
    let is_used_up = share.uses_max.is_some_and(|max| share.uses >= max);
    ShareLink {
        id: share.id.clone(),
        url,
        label: share.label.clone(),
        by: share.by.clone(),
        studies: share.studies.clone(),
        copies: Vec::new(),
        download: share.download,
        deidentified: share.deidentified,
        has_password: share.password.is_some(),
        created: moment(share.created),
        expires: moment(share.expires),
        uses_max: share.uses_max,
        uses: share.uses,
        last_used: share.last_used.map(moment),
        revoked: share.revoked.map(moment),
        open: share.revoked.is_none() && share.expires > now && !is_used_up,
    }
}

fn moment(seconds: u64) -> String {
    let moment =
        OffsetDateTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds).try_into().unwrap_or_default());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

fn problem(error: &SharesError) -> Problem {
    match error {
        SharesError::Full(_) => {
            let title = "There are too many links";
            Problem::new(StatusCode::CONFLICT, "too-many-links", title, error.to_string())
        }
        SharesError::Io { .. } | SharesError::Form { .. } => {
            let detail = "the links cannot be written; the log says more";
            Problem::internal("internal", "Internal error", detail, error)
        }
    }
}
