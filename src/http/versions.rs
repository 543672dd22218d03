//! Versions of an instance (not in PS3.18): what it was before it was replaced,
//! and what was kept beside it (`store.duplicates`). For administrators: a
//! viewer sees the instance itself and nothing else.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use utoipa::ToSchema;

use super::{
    Problem, State,
    body::{FirstBytes, Part, Representation},
    negotiate::Accept,
    params,
};
use crate::{
    archive::{Role, Stamp, Version},
    dicom::InstancePath,
};

const JSON: &str = "application/json";
const DICOM: &str = "application/dicom";

/// A file that was stored under the SOP Instance UID of an instance.
#[derive(Serialize, ToSchema)]
pub struct InstanceVersion {
    /// Its number: rising in the order in which they came, and the same for ever
    version: u64,
    /// When it was stored
    received: String,
    /// Whether it is the instance itself
    current: bool,
    /// `stored` if it is or was the instance, `kept` if it came when another was
    role: &'static str,
    /// BLAKE3 of the file, in hex
    digest: String,
    transfer_syntax: String,
    sop_class: String,
    /// Bytes of the file
    length: u64,
    /// Who stored it; absent when that is not known any more, as after `hilum rebuild`
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Where the file is
    url: String,
}

#[utoipa::path(
    get, path = "/dicomweb/studies/{study}/series/{series}/instances/{instance}/versions", tag = "Versions",
    operation_id = "listVersions", summary = "List the versions of an instance",
    params(super::openapi::InstancePath),
    responses(
        (status = 200, description = "The versions in the order in which they came", body = Vec<InstanceVersion>),
        super::openapi::ProblemResponses
    )
)]
pub async fn list(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = params::instance(&request)?;
    Accept::of(&request, state.config.strict.accept)?.one_of(&[JSON])?;
    let base_url = state.base_url(&request)?;
    let permit = state.permit(&request);
    let versions = state.archive.retrieve(&permit, {
        let path = path.clone();
        move |view| Ok::<_, Problem>(view.versions(&path)?)
    });
    let versions: Vec<InstanceVersion> = versions
        .await?
        .into_iter()
        .map(|(version, current)| describe(version, current, &base_url, &path))
        .collect();
    Ok(HttpResponse::Ok().json(versions))
}

fn describe(version: Version, current: bool, base_url: &str, path: &InstancePath) -> InstanceVersion {
    let stamp = version.stamp.0;
    let received = OffsetDateTime::from_unix_timestamp_nanos(i128::from(stamp) * 1000);
    InstanceVersion {
        version: stamp,
        received: received.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default(),
        current,
        role: match version.role {
            Role::Current => "stored",
            Role::Kept => "kept",
        },
        digest: version.digest.to_string(),
        transfer_syntax: version.transfer_syntax,
        sop_class: version.sop_class,
        length: version.place.length,
        by: Some(version.by).filter(|by| !by.is_empty()),
        url: url(base_url, path, version.stamp),
    }
}

fn url(base_url: &str, path: &InstancePath, stamp: Stamp) -> String {
    let InstancePath { study, series, instance } = path;
    format!("{base_url}/studies/{study}/series/{series}/instances/{instance}/versions/{}", stamp.0)
}

#[utoipa::path(
    get,
    path = "/dicomweb/studies/{study}/series/{series}/instances/{instance}/versions/{version}",
    tag = "Versions",
    operation_id = "retrieveVersion",
    summary = "Retrieve a version of an instance as it was stored",
    params(super::openapi::VersionPath),
    responses(super::openapi::VersionResponses)
)]
pub async fn retrieve(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let path = params::instance(&request)?;
    let number = params::part(&request, "version").parse().map_err(|_| {
        Problem::invalid_parameter("version", "a version is a whole number; …/versions lists them")
    })?;
    Accept::of(&request, state.config.strict.accept)?.one_of(&[DICOM])?;
    let base_url = state.base_url(&request)?;
    let first_bytes = FirstBytes::of(&request);
    let location = url(&base_url, &path, Stamp(number));
    let permit = state.permit(&request);
    let represented = state.archive.retrieve(&permit, move |view| {
        let (version, pieces) = view.version(&path, Stamp(number))?;
        let content_type = format!("{DICOM}; transfer-syntax={}", version.transfer_syntax);
        let part = Part { content_type, location: Some(location), pieces };
        let mut identity = blake3::Hasher::new();
        identity.update(&version.digest.0);
        Ok::<_, Problem>(Representation::single(part, &identity).loaded(view, first_bytes)?)
    });
    represented.await?.send(&state, &request, &base_url).await
}
