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
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Problem, State, body,
    encoding::{self, Coding},
    multipart::{self, PartHead},
    negotiate::{Accept, DataSetMedia},
    openapi::{CountResponses, SearchParams, SearchResponses, SeriesPath, StudyPath},
    params,
};
use crate::{
    archive::{Asker, Found, Root, SearchRequest},
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
    let form = Form::of(state, request, media);
    let wanted = SearchRequest { query, root, base_url: base_url.clone(), results_max, asker };
    let written = state.archive.search(&permit, wanted, move |found| form.write(&found)).await?;
    Ok(answer(written, &base_url, warnings))
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
    let form = Form::of(state, request, media);
    let results_max = state.config.limits.results_max;
    let written =
        state.archive.patients(&permit, query, results_max, move |found| form.write(&found)).await?;
    Ok(answer(written, &base_url, warnings))
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

/// How the client wants results.
struct Form {
    media: DataSetMedia,
    /// Between the parts of XML.
    boundary: String,
    codings: Vec<String>,
    empty_as_204: bool,
}

/// Results in that form.
struct Written {
    content_type: String,
    /// None: 204 says that there are none.
    body: Option<(Coding, Bytes)>,
    total: u64,
    remaining: u64,
}

impl Form {
    fn of(state: &State, request: &HttpRequest, media: DataSetMedia) -> Self {
        let is_json = media == DataSetMedia::Json;
        Self {
            media,
            boundary: multipart::boundary(&state.boundary_key, &request.uri().to_string()),
            codings: body::values(request, &header::ACCEPT_ENCODING).map(str::to_owned).collect(),
            // A multipart body of no parts is more than some clients can read.
            empty_as_204: !is_json || state.config.search.empty_status == EmptyStatus::NoContent,
        }
    }

    /// Takes long where there are many: to be called from the pool.
    fn write(&self, found: &Found) -> Written {
        let &Found { ref results, total, remaining } = found;
        let (content_type, text) = match self.media {
            DataSetMedia::Json => (body::DICOM_JSON.to_owned(), array(results)),
            DataSetMedia::XmlParts | DataSetMedia::Xml => {
                let content_type = multipart::content_type(self.media.name(), &self.boundary);
                (content_type, documents(results, &self.boundary))
            }
        };
        let has_body = !(results.is_empty() && self.empty_as_204);
        let encode = || encoding::encode(self.codings.iter().map(String::as_str), text.into());
        Written { content_type, body: has_body.then(encode), total, remaining }
    }
}

/// The results, and what the client should know of them.
fn answer(written: Written, base_url: &str, mut warnings: Vec<String>) -> HttpResponse {
    let Written { content_type, body, total, remaining } = written;
    if remaining > 0 {
        warnings.insert(0, format!("There are {remaining} additional results that can be requested"));
    }
    let mut response =
        HttpResponse::build(if body.is_some() { StatusCode::OK } else { StatusCode::NO_CONTENT });
    response.insert_header(("X-Total-Count", total));
    warn(&mut response, base_url, &warnings);
    match body {
        Some(encoded) => body::text(response, &content_type, encoded),
        None => response.finish(),
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
    let query = Query { limit: Some(0), offset: 0, order: Vec::new(), ..query };
    let permit = state.permit(request);
    let wanted = SearchRequest { query, root, base_url: base_url.clone(), results_max: 0, asker: None };
    let total = state.archive.search(&permit, wanted, |found| found.total).await?;
    Ok(counted(total, &base_url, &warnings))
}

async fn count_patient_groups(
    state: &State,
    request: &HttpRequest,
    resource: Resource,
    _root: Root,
) -> Result<HttpResponse, Problem> {
    accepts_count(state, request)?;
    let Asked { query, base_url, warnings } = Asked::of(state, request, resource)?;
    let query = Query { limit: Some(0), offset: 0, order: Vec::new(), ..query };
    let total = state.archive.patients(&state.permit(request), query, 0, |found| found.total).await?;
    Ok(counted(total, &base_url, &warnings))
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
