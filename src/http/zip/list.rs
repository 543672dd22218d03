//! The list of what a zip file is to hold: UIDs that narrow each other down, as
//! the keys of a search do, and resources by their paths or Retrieve URLs. A
//! basket of a viewer fits either. What is not here is left out and said.

use std::collections::HashSet;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};
use futures_util::StreamExt;

use super::{Order, Rows, answer};
use crate::{
    archive::{ArchiveError, Scope, View},
    dicom::{InstancePath, InstanceUid, SeriesPath, SeriesUid, StudyUid, uid::UidError},
    http::{
        Problem, State, body,
        media::MediaType,
        negotiate::{Accept, Asked},
        openapi,
        pace::Paced,
        params,
    },
};

const FORM: &str = "application/x-www-form-urlencoded";

#[utoipa::path(
    get,
    path = "/dicomweb/zip",
    tag = "Retrieve",
    operation_id = "retrieveZip",
    summary = "Retrieve a zip file of studies, series and instances",
    params(openapi::ZipParams),
    responses(openapi::ZipResponses)
)]
pub async fn get(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let pairs = params::query(&request);
    listed(&state, &request, &pairs).await
}

#[utoipa::path(
    post, path = "/dicomweb/zip", tag = "Retrieve", operation_id = "retrieveZipOfList",
    summary = "Retrieve a zip file of a list that is too long for a URL",
    params(openapi::ZipParams),
    request_body(content = openapi::ZipParams, content_type = "application/x-www-form-urlencoded"),
    responses(openapi::ZipResponses, (status = 415, description = "The list is not a form",
        content_type = "application/problem+json", body = openapi::ProblemBody))
)]
pub async fn post(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let declared = body::values(&request, &header::CONTENT_TYPE).next();
    if !declared.and_then(MediaType::parse).is_some_and(|media| media.is(FORM)) {
        return Err(Problem::unsupported_media_type(format!(
            "the list of what the zip file is to hold comes as {FORM}, such as resource=studies/1.2.3"
        )));
    }
    let bytes_max = state.config.limits.zip_list_bytes_max;
    let too_large = || {
        Problem::too_large(format!("the list is longer than {bytes_max} bytes (limits.zip_list_bytes_max)"))
    };
    let mut chunks = Paced::new(payload, &state).chunks();
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() as u64 > bytes_max {
            return Err(too_large());
        }
    }
    let body = std::str::from_utf8(&body).map_err(|_| Problem::malformed_body("the list is not UTF-8"))?;
    let mut pairs = params::query(&request);
    pairs.extend(params::pairs(body));
    listed(&state, &request, &pairs).await
}

async fn listed(
    state: &Data<State>,
    request: &HttpRequest,
    pairs: &[(String, String)],
) -> Result<HttpResponse, Problem> {
    let headers = body::values(request, &header::ACCEPT);
    let params = pairs.iter().filter(|(name, _)| name == "accept").map(|(_, value)| value.as_str());
    let accept = Accept::read(headers, params, state.config.strict.accept)?;
    let syntax = match accept.zip() {
        Some(syntax) => syntax,
        None => accept.one_of(&["application/zip"]).map(|_| Asked::Default)?,
    };
    let order = Order::of(state, pairs, syntax)?;
    let wanted = Wanted::read(pairs)?;
    let instances_max = order.instances_max;
    let rows = move |view: &View<'_>| wanted.rows(view, instances_max);
    answer(state, request, order, "dicom".to_owned(), None, rows).await
}

/// What was asked for.
struct Wanted {
    studies: Vec<StudyUid>,
    series: Vec<SeriesUid>,
    instances: Vec<InstanceUid>,
    resources: Vec<Scope>,
}

impl Wanted {
    fn read(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let wanted = Self {
            studies: uids(pairs, "StudyInstanceUID", StudyUid::parse)?,
            series: uids(pairs, "SeriesInstanceUID", SeriesUid::parse)?,
            instances: uids(pairs, "SOPInstanceUID", InstanceUid::parse)?,
            resources: pairs
                .iter()
                .filter(|(name, _)| name == "resource")
                .flat_map(|(_, value)| value.split([',', '\n']))
                .filter(|value| !value.trim().is_empty())
                .map(resource)
                .collect::<Result<_, _>>()?,
        };
        if wanted.studies.is_empty() && wanted.instances.is_empty() {
            if !wanted.series.is_empty() {
                let detail = "a series is found by its study: give its StudyInstanceUID too";
                return Err(Problem::invalid_parameter("SeriesInstanceUID", detail));
            }
            if wanted.resources.is_empty() {
                let detail = "say what the zip file is to hold: StudyInstanceUID, with SeriesInstanceUID or \
                              SOPInstanceUID to narrow it down, or resource=studies/1.2.3";
                return Err(Problem::invalid_parameter("StudyInstanceUID", detail));
            }
        }
        Ok(wanted)
    }

    /// The rows of what is there, each once, and what is to be said of the rest.
    fn rows(&self, view: &View<'_>, instances_max: usize) -> Result<Rows, Problem> {
        let mut scopes = self.resources.clone();
        let mut missing = 0;
        if !self.instances.is_empty() {
            for instance in &self.instances {
                match view.locate(instance)?.filter(|path| self.includes(path)) {
                    Some(path) => scopes.push(Scope::Instance(path)),
                    None => missing += 1,
                }
            }
        } else if !self.series.is_empty() {
            for series in &self.series {
                let paths = self
                    .studies
                    .iter()
                    .map(|study| SeriesPath { study: study.clone(), series: series.clone() });
                let there: Vec<Scope> =
                    paths.map(Scope::Series).filter(|scope| view.instances(scope).is_ok()).collect();
                missing += usize::from(there.is_empty());
                scopes.extend(there);
            }
        } else {
            scopes.extend(self.studies.iter().cloned().map(Scope::Study));
        }
        let mut seen: HashSet<InstancePath> = HashSet::new();
        let mut rows = Vec::new();
        let mut reason = ArchiveError::NotFound("study, series or instance among those that were named");
        for scope in &scopes {
            match view.instances(scope) {
                Ok(found) => rows.extend(found.into_iter().filter(|row| seen.insert(row.path.clone()))),
                Err(error @ (ArchiveError::NotFound(_) | ArchiveError::Gone(_))) => {
                    missing += 1;
                    reason = error;
                }
                Err(other) => return Err(other.into()),
            }
            if rows.len() > instances_max {
                break;
            }
        }
        if rows.is_empty() {
            return Err(reason.into());
        }
        let said = format!("{missing} of the resources that were named are not here");
        Ok((rows, (missing > 0).then_some(said)))
    }

    fn includes(&self, path: &InstancePath) -> bool {
        (self.studies.is_empty() || self.studies.contains(&path.study))
            && (self.series.is_empty() || self.series.contains(&path.series))
    }
}

fn uids<T>(
    pairs: &[(String, String)],
    name: &str,
    parse: impl Fn(&str) -> Result<T, UidError>,
) -> Result<Vec<T>, Problem> {
    pairs
        .iter()
        .filter(|(key, _)| key == name)
        .flat_map(|(_, value)| value.split([',', '\\']))
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .map(|value| parse(value).map_err(|error| Problem::invalid_uid(name, error)))
        .collect()
}

/// A resource by its path under the service, or by its URL, wherever the server
/// was reached when that was made.
fn resource(text: &str) -> Result<Scope, Problem> {
    let text = text.trim();
    let text = text.split(['?', '#']).next().unwrap_or(text).trim_end_matches('/');
    let start = if text.starts_with("studies/") { Some(0) } else { text.find("/studies/").map(|at| at + 1) };
    let parts: Vec<&str> = start.map(|start| text[start..].split('/').collect()).unwrap_or_default();
    let malformed = || {
        let detail = "a resource is studies/{study}, studies/{study}/series/{series}, or \
                      studies/{study}/series/{series}/instances/{instance}, or a URL that ends so";
        Problem::invalid_parameter("resource", detail)
    };
    let bad = |error: UidError| Problem::invalid_uid("resource", error);
    let (study, series, instance) = match parts[..] {
        ["studies", study] => (study, None, None),
        ["studies", study, "series", series] => (study, Some(series), None),
        ["studies", study, "series", series, "instances", instance] => (study, Some(series), Some(instance)),
        _ => return Err(malformed()),
    };
    let study = StudyUid::parse(study).map_err(bad)?;
    let Some(series) = series else { return Ok(Scope::Study(study)) };
    let series = SeriesUid::parse(series).map_err(bad)?;
    let Some(instance) = instance else { return Ok(Scope::Series(SeriesPath { study, series })) };
    Ok(Scope::Instance(InstancePath { study, series, instance: InstanceUid::parse(instance).map_err(bad)? }))
}
