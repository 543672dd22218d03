//! Search (QIDO-RS): PS3.18 section 10.6. Query string in, results out as a JSON
//! array or as XML documents in parts, or their number; what matches is decided
//! in [`crate::archive`].

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
    web::Data,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Problem, State, body,
    multipart::{self, PartHead},
    negotiate::{Accept, DataSetMedia},
    openapi::{CountResponses, SearchParams, SearchResponses, SeriesPath, StudyPath},
    params,
};
use crate::{
    archive::{Asker, Found, Root},
    auth::Permit,
    config::EmptyStatus,
    dicom::{
        DataSet, attributes, json,
        query::{self, Query, Resource},
        xml,
    },
};

/// What tells clients apart that come through one address.
const CLIENT_HEADERS: [HeaderName; 4] =
    [header::AUTHORIZATION, header::USER_AGENT, header::FORWARDED, header::COOKIE];

/// Warnings of one answer at most; a client reads no more.
const WARNINGS_MAX: usize = 16;

macro_rules! search_routes {
    ($($name:ident, $function:ident, $resource:expr, $root:expr, $path:literal, $id:literal, $summary:literal,
        ($($params:ty),*), $responses:ty;)*) => {$(
        #[utoipa::path(
            get, path = $path, tag = "Search", operation_id = $id, summary = $summary,
            params($($params),*), responses($responses)
        )]
        pub async fn $name(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
            let root = $root(&request)?;
            $function(&state, &request, $resource, root).await
        }
    )*};
}

search_routes! {
    studies, search, Resource::Studies, everywhere, "/dicomweb/studies", "searchStudies",
        "Search for studies", (SearchParams), SearchResponses;
    series, search, Resource::Series, everywhere, "/dicomweb/series", "searchAllSeries",
        "Search for series in all studies", (SearchParams), SearchResponses;
    instances, search, Resource::Instances, everywhere, "/dicomweb/instances", "searchAllInstances",
        "Search for instances in all studies", (SearchParams), SearchResponses;
    series_of_study, search, Resource::StudySeries, in_study, "/dicomweb/studies/{study}/series",
        "searchSeriesOfStudy", "Search for series of a study", (StudyPath, SearchParams), SearchResponses;
    instances_of_study, search, Resource::StudyInstances, in_study, "/dicomweb/studies/{study}/instances",
        "searchInstancesOfStudy", "Search for instances of a study", (StudyPath, SearchParams), SearchResponses;
    instances_of_series, search, Resource::SeriesInstances, in_series,
        "/dicomweb/studies/{study}/series/{series}/instances", "searchInstancesOfSeries",
        "Search for instances of a series", (SeriesPath, SearchParams), SearchResponses;
    patients, search_patients, Resource::Studies, everywhere, "/dicomweb/patients", "searchPatients",
        "Search for patients: what is known of each, and how much there is of it", (SearchParams), SearchResponses;

    count_studies, count, Resource::Studies, everywhere, "/dicomweb/studies/count", "countStudies",
        "Count studies", (SearchParams), CountResponses;
    count_series, count, Resource::Series, everywhere, "/dicomweb/series/count", "countAllSeries",
        "Count series in all studies", (SearchParams), CountResponses;
    count_instances, count, Resource::Instances, everywhere, "/dicomweb/instances/count", "countAllInstances",
        "Count instances in all studies", (SearchParams), CountResponses;
    count_series_of_study, count, Resource::StudySeries, in_study, "/dicomweb/studies/{study}/series/count",
        "countSeriesOfStudy", "Count series of a study", (StudyPath, SearchParams), CountResponses;
    count_instances_of_study, count, Resource::StudyInstances, in_study,
        "/dicomweb/studies/{study}/instances/count", "countInstancesOfStudy", "Count instances of a study",
        (StudyPath, SearchParams), CountResponses;
    count_instances_of_series, count, Resource::SeriesInstances, in_series,
        "/dicomweb/studies/{study}/series/{series}/instances/count", "countInstancesOfSeries",
        "Count instances of a series", (SeriesPath, SearchParams), CountResponses;
    count_patients, count_patient_groups, Resource::Studies, everywhere, "/dicomweb/patients/count", "countPatients",
        "Count patients", (SearchParams), CountResponses;
}

#[allow(clippy::unnecessary_wraps, reason = "the others may find a malformed UID")]
fn everywhere(_request: &HttpRequest) -> Result<Root, Problem> {
    Ok(Root::default())
}

fn in_study(request: &HttpRequest) -> Result<Root, Problem> {
    Ok(Root { study: Some(params::study(request)?), series: None })
}

fn in_series(request: &HttpRequest) -> Result<Root, Problem> {
    let path = params::series(request)?;
    Ok(Root { study: Some(path.study), series: Some(path.series) })
}

/// What was asked for, read from the request.
struct Asked {
    query: Query,
    base_url: String,
    warnings: Vec<String>,
}

impl Asked {
    fn of(state: &State, request: &HttpRequest, resource: Resource) -> Result<Self, Problem> {
        let options = query::Options { strict: state.config.strict.query, ..query::Options::default() };
        let mut query = query::parse(resource, request.query_string(), &options)?;
        let mut warnings = std::mem::take(&mut query.warnings);
        // It changes while nothing is stored, so no row has it.
        let matched = query.keys.len();
        if state.config.tier.address().is_some() {
            query.keys.retain(|key| key.tag != attributes::INSTANCE_AVAILABILITY);
        }
        if query.keys.len() < matched {
            warnings
                .push("InstanceAvailability is returned and not matched. It has been ignored.".to_owned());
        }
        Ok(Self { query, base_url: state.base_url(request)?, warnings })
    }
}

async fn search(
    state: &State,
    request: &HttpRequest,
    resource: Resource,
    root: Root,
) -> Result<HttpResponse, Problem> {
    let media = media_of(state, request)?;
    let Asked { query, base_url, warnings } = Asked::of(state, request, resource)?;
    let permit = state.permit(request);
    let results_max = state.config.limits.results_max;
    let asker = Some(asker(request, &permit));
    let found = state.archive.search(&permit, query, root, base_url.clone(), results_max, asker).await?;
    Ok(answer(state, request, media, &found, &base_url, warnings))
}

async fn search_patients(
    state: &State,
    request: &HttpRequest,
    resource: Resource,
    _root: Root,
) -> Result<HttpResponse, Problem> {
    let media = media_of(state, request)?;
    let Asked { query, base_url, warnings } = Asked::of(state, request, resource)?;
    let permit = state.permit(request);
    let found = state.archive.patients(&permit, query, state.config.limits.results_max).await?;
    Ok(answer(state, request, media, &found, &base_url, warnings))
}

/// Who asks for a page of what: all that tells one client from another, and the
/// search without what says which page.
fn asker(request: &HttpRequest, permit: &Permit) -> Asker {
    let mut key = blake3::Hasher::new();
    let peer = request.peer_addr();
    let mut add = |text: &str| {
        key.update(text.as_bytes());
        key.update(&[0]);
    };
    add(&peer.map(|peer| peer.ip().to_string()).unwrap_or_default());
    for name in CLIENT_HEADERS {
        body::values(request, &name).for_each(&mut add);
    }
    add(&permit.fingerprint());
    add(request.path());
    let which_page = |pair: &str| pair.starts_with("limit=") || pair.starts_with("offset=");
    request.query_string().split('&').filter(|pair| !which_page(pair)).for_each(&mut add);
    let anew = body::values(request, &header::CACHE_CONTROL).any(|value| value.contains("no-cache"));
    let connection = peer.map(|peer| u64::from(peer.port())).unwrap_or_default();
    Asker { key: *key.finalize().as_bytes(), connection, anew }
}

fn media_of(state: &State, request: &HttpRequest) -> Result<DataSetMedia, Problem> {
    let offers = [DataSetMedia::Json, DataSetMedia::XmlParts];
    Ok(Accept::of(request, state.config.strict.accept)?.data_set(&offers)?)
}

/// The results as the client wants them, and what it should know of them.
fn answer(
    state: &State,
    request: &HttpRequest,
    media: DataSetMedia,
    found: &Found,
    base_url: &str,
    mut warnings: Vec<String>,
) -> HttpResponse {
    let remaining = found.remaining;
    if remaining > 0 {
        warnings.insert(0, format!("There are {remaining} additional results that can be requested"));
    }
    // A multipart body of no parts is more than some clients can read.
    let empty_status = state.config.search.empty_status;
    let empty_as_204 =
        found.results.is_empty() && (empty_status == EmptyStatus::NoContent || media != DataSetMedia::Json);
    let mut response =
        HttpResponse::build(if empty_as_204 { StatusCode::NO_CONTENT } else { StatusCode::OK });
    response.insert_header(("X-Total-Count", found.total));
    warn(&mut response, base_url, &warnings);
    if empty_as_204 {
        return response.finish();
    }
    match media {
        DataSetMedia::Json => body::text(request, response, body::DICOM_JSON, array(&found.results)),
        DataSetMedia::XmlParts | DataSetMedia::Xml => {
            let boundary = multipart::boundary(&state.boundary_key, &request.uri().to_string());
            let content_type = multipart::content_type(media.name(), &boundary);
            body::text(request, response, &content_type, documents(&found.results, &boundary))
        }
    }
}

/// Headers of every answer to a search.
fn warn(response: &mut HttpResponseBuilder, base_url: &str, warnings: &[String]) {
    // An answer is true for the moment it was given.
    response.insert_header((header::CACHE_CONTROL, "no-cache"));
    for warning in warnings.iter().take(WARNINGS_MAX) {
        response.append_header((header::WARNING, body::warning(base_url, warning)));
    }
}

/// How many there are.
#[derive(Serialize, ToSchema)]
pub struct Count {
    /// Results of the same search without a limit.
    count: u64,
}

async fn count(
    state: &State,
    request: &HttpRequest,
    resource: Resource,
    root: Root,
) -> Result<HttpResponse, Problem> {
    accepts_count(state, request)?;
    let Asked { query, base_url, warnings } = Asked::of(state, request, resource)?;
    let query = Query { limit: Some(0), offset: 0, ..query };
    let permit = state.permit(request);
    let found = state.archive.search(&permit, query, root, base_url.clone(), 0, None).await?;
    Ok(counted(found.total, &base_url, &warnings))
}

async fn count_patient_groups(
    state: &State,
    request: &HttpRequest,
    resource: Resource,
    _root: Root,
) -> Result<HttpResponse, Problem> {
    accepts_count(state, request)?;
    let Asked { query, base_url, warnings } = Asked::of(state, request, resource)?;
    let query = Query { limit: Some(0), offset: 0, ..query };
    let found = state.archive.patients(&state.permit(request), query, 0).await?;
    Ok(counted(found.total, &base_url, &warnings))
}

/// Clients that ask for DICOM JSON wherever they search get their number too.
fn accepts_count(state: &State, request: &HttpRequest) -> Result<(), Problem> {
    Accept::of(request, state.config.strict.accept)?.one_of(&["application/json", body::DICOM_JSON])?;
    Ok(())
}

fn counted(count: u64, base_url: &str, warnings: &[String]) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    warn(&mut response, base_url, warnings);
    response.json(Count { count })
}

/// Results as a DICOM JSON array.
fn array(results: &[DataSet]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + results.len() * 1024);
    out.push(b'[');
    for (index, result) in results.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::write(result, &mut out);
    }
    out.push(b']');
    out
}

/// Results as parts, each an XML document.
fn documents(results: &[DataSet], boundary: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(results.len() * 4096);
    let mut document = Vec::new();
    for (index, result) in results.iter().enumerate() {
        document.clear();
        xml::write(result, &mut document);
        let part = PartHead {
            content_type: DataSetMedia::XmlParts.name(),
            content_location: None,
            length: document.len() as u64,
        };
        out.extend_from_slice(&multipart::head(boundary, index == 0, &part));
        out.extend_from_slice(&document);
    }
    out.extend_from_slice(&multipart::tail(boundary, results.is_empty()));
    out
}
