//! Search (QIDO-RS): PS3.18 section 10.6. Query string in, result array out;
//! what matches is decided in [`crate::archive`].

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::Data,
};

use super::{
    Problem, State, body,
    negotiate::{Accept, DataSetMedia},
    params,
};
use crate::{
    archive::Root,
    config::EmptyStatus,
    dicom::{
        DataSet, json,
        query::{self, Resource},
    },
};

/// Warnings of one answer at most; a client reads no more.
const WARNINGS_MAX: usize = 16;

#[utoipa::path(
    get,
    path = "/dicomweb/studies",
    tag = "Search",
    operation_id = "searchStudies",
    summary = "Search for studies",
    params(super::openapi::SearchParams),
    responses(super::openapi::SearchResponses)
)]
pub async fn studies(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    search(&state, &request, Resource::Studies, Root::default()).await
}

#[utoipa::path(
    get,
    path = "/dicomweb/series",
    tag = "Search",
    operation_id = "searchAllSeries",
    summary = "Search for series in all studies",
    params(super::openapi::SearchParams),
    responses(super::openapi::SearchResponses)
)]
pub async fn series(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    search(&state, &request, Resource::Series, Root::default()).await
}

#[utoipa::path(
    get,
    path = "/dicomweb/instances",
    tag = "Search",
    operation_id = "searchAllInstances",
    summary = "Search for instances in all studies",
    params(super::openapi::SearchParams),
    responses(super::openapi::SearchResponses)
)]
pub async fn instances(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    search(&state, &request, Resource::Instances, Root::default()).await
}

#[utoipa::path(
    get,
    path = "/dicomweb/studies/{study}/series",
    tag = "Search",
    operation_id = "searchSeriesOfStudy",
    summary = "Search for series of a study",
    params(super::openapi::StudyPath, super::openapi::SearchParams),
    responses(super::openapi::SearchResponses)
)]
pub async fn series_of_study(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let root = Root { study: Some(params::study(&request)?), series: None };
    search(&state, &request, Resource::StudySeries, root).await
}

#[utoipa::path(
    get,
    path = "/dicomweb/studies/{study}/instances",
    tag = "Search",
    operation_id = "searchInstancesOfStudy",
    summary = "Search for instances of a study",
    params(super::openapi::StudyPath, super::openapi::SearchParams),
    responses(super::openapi::SearchResponses)
)]
pub async fn instances_of_study(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let root = Root { study: Some(params::study(&request)?), series: None };
    search(&state, &request, Resource::StudyInstances, root).await
}

#[utoipa::path(
    get,
    path = "/dicomweb/studies/{study}/series/{series}/instances",
    tag = "Search",
    operation_id = "searchInstancesOfSeries",
    summary = "Search for instances of a series",
    params(super::openapi::SeriesPath, super::openapi::SearchParams),
    responses(super::openapi::SearchResponses)
)]
pub async fn instances_of_series(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = params::series(&request)?;
    let root = Root { study: Some(path.study), series: Some(path.series) };
    search(&state, &request, Resource::SeriesInstances, root).await
}

async fn search(
    state: &State,
    request: &HttpRequest,
    resource: Resource,
    root: Root,
) -> Result<HttpResponse, Problem> {
    Accept::of(request, state.config.strict.accept)?.data_set(&[DataSetMedia::Json])?;
    let options = query::Options { strict: state.config.strict.query, ..query::Options::default() };
    let query = query::parse(resource, request.query_string(), &options)?;
    let base_url = state.base_url(request)?;
    let results_max = state.config.limits.results_max;
    let offset = query.offset as u64;
    let mut warnings = query.warnings.clone();
    let permit = state.permit(request);
    let found = state.archive.search(&permit, query, root, base_url.clone(), results_max).await?;

    let returned = found.results.len() as u64;
    let remaining = found.total.saturating_sub(offset.saturating_add(returned));
    if remaining > 0 && offset < found.total {
        warnings.insert(0, format!("There are {remaining} additional results that can be requested"));
    }
    let empty_as_204 = found.results.is_empty() && state.config.search.empty_status == EmptyStatus::NoContent;
    let mut response =
        HttpResponse::build(if empty_as_204 { StatusCode::NO_CONTENT } else { StatusCode::OK });
    response.insert_header(("X-Total-Count", found.total));
    // An answer is true for the moment it was given.
    response.insert_header((header::CACHE_CONTROL, "no-cache"));
    for warning in warnings.iter().take(WARNINGS_MAX) {
        response.append_header((header::WARNING, body::warning(&base_url, warning)));
    }
    if empty_as_204 {
        return Ok(response.finish());
    }
    Ok(body::json(request, response, array(&found.results)))
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
