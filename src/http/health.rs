//! What a supervisor asks: is the process alive, can it serve, how is it doing.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Problem, State};

#[derive(Serialize, ToSchema)]
pub struct Health {
    /// `ok`
    status: &'static str,
    version: &'static str,
    /// What the scrub found to be damaged; `hilum verify` names it
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<usize>,
}

#[utoipa::path(
    get, path = "/healthz", tag = "Operation", operation_id = "healthz",
    summary = "The process is alive",
    responses((status = 200, description = "Alive", body = Health))
)]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), findings: None })
}

#[utoipa::path(
    get, path = "/readyz", tag = "Operation", operation_id = "readyz",
    summary = "Every archive of the server can be read and written",
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "Not ready", content_type = "application/problem+json", body = super::openapi::ProblemBody)
    )
)]
pub async fn readyz(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let permit = state.permit(&request);
    let mut findings = 0;
    for (_, archive) in state.all_archives() {
        archive.check(&permit).await?;
        findings += archive.scrubbed(&permit).findings().len();
    }
    let findings = Some(findings);
    Ok(HttpResponse::Ok().json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), findings }))
}

#[utoipa::path(
    get, path = "/metrics", tag = "Operation", operation_id = "metrics",
    summary = "Metrics in the text format of Prometheus",
    responses((status = 200, description = "Metrics", body = String, content_type = "text/plain; version=0.0.4"))
)]
pub async fn metrics(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let permit = state.permit(&request);
    for (tenant, archive) in state.all_archives() {
        archive.record_stats(&permit, tenant).await?;
    }
    state.metrics.run_upkeep();
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(state.metrics.render()))
}
