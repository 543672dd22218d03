//! Delete of studies, series and instances (not in PS3.18; the form that
//! other servers share). Afterwards the resource is 410 (PS3.18 section 8.5).

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{Problem, State, params};
use crate::archive::Scope;

#[utoipa::path(
    delete,
    path = "/dicomweb/studies/{study}",
    tag = "Delete",
    operation_id = "deleteStudy",
    summary = "Delete a study",
    params(super::openapi::StudyPath),
    responses(super::openapi::DeleteResponses)
)]
pub async fn study(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    delete(&state, &request, Scope::Study(params::study(&request)?)).await
}

#[utoipa::path(
    delete,
    path = "/dicomweb/studies/{study}/series/{series}",
    tag = "Delete",
    operation_id = "deleteSeries",
    summary = "Delete a series",
    params(super::openapi::SeriesPath),
    responses(super::openapi::DeleteResponses)
)]
pub async fn series(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    delete(&state, &request, Scope::Series(params::series(&request)?)).await
}

#[utoipa::path(
    delete,
    path = "/dicomweb/studies/{study}/series/{series}/instances/{instance}",
    tag = "Delete",
    operation_id = "deleteInstance",
    summary = "Delete an instance",
    params(super::openapi::InstancePath),
    responses(super::openapi::DeleteResponses)
)]
pub async fn instance(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    delete(&state, &request, Scope::Instance(params::instance(&request)?)).await
}

async fn delete(state: &State, request: &HttpRequest, scope: Scope) -> Result<HttpResponse, Problem> {
    if !state.config.delete_enabled {
        return Err(Problem::delete_disabled());
    }
    state.archive.delete(&state.permit(request), scope).await?;
    Ok(HttpResponse::NoContent().finish())
}
