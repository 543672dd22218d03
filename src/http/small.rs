//! Bodies that are small and read as a whole: forms, and JSON that is not of
//! DICOM. At the pace of their clients, as all bodies are ([`super::pace`]).
//!
//! Must not take a body of another type than it reads: a page of another origin
//! may send some types without being asked whether it may.

use actix_web::{
    HttpRequest,
    http::header,
    web::{Bytes, Payload, Query},
};
use serde::de::DeserializeOwned;

use super::{Problem, State, media::MediaType, pace::Paced};

const JSON_BYTES_MAX: usize = 2 << 20;
const FORM_BYTES_MAX: usize = 16 << 10;

/// A body of JSON; none if it is empty, whatever its type is said to be.
///
/// # Errors
/// 400 when it is none, 408 when it comes too slowly, 413 when it is too large.
pub async fn json_or_nothing<T: DeserializeOwned>(
    payload: Payload,
    state: &State,
) -> Result<Option<T>, Problem> {
    let body = Paced::new(payload, state).whole(JSON_BYTES_MAX).await?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    read_json(&body).map(Some)
}

/// A body of JSON.
///
/// # Errors
/// As [`json_or_nothing`].
pub async fn json<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    state: &State,
) -> Result<T, Problem> {
    let is_json = |media: &MediaType| media.essence.ends_with("/json") || media.essence.ends_with("+json");
    if !media_of(request).is_some_and(|media| is_json(&media)) {
        return Err(Problem::malformed_body("send JSON, and Content-Type: application/json"));
    }
    read_json(&Paced::new(payload, state).whole(JSON_BYTES_MAX).await?)
}

fn read_json<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::malformed_body(error.to_string()))
}

/// The form of a page.
///
/// # Errors
/// As [`json_or_nothing`].
pub async fn form<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    state: &State,
) -> Result<T, Problem> {
    if !media_of(request).is_some_and(|media| media.is("application/x-www-form-urlencoded")) {
        return Err(Problem::malformed_body(
            "send a form, and Content-Type: application/x-www-form-urlencoded",
        ));
    }
    let body = Paced::new(payload, state).whole(FORM_BYTES_MAX).await?;
    let text = std::str::from_utf8(&body).map_err(|_| Problem::malformed_body("the form is not UTF-8"))?;
    let form = Query::<T>::from_query(text).map_err(|error| Problem::malformed_body(error.to_string()))?;
    Ok(form.into_inner())
}

fn media_of(request: &HttpRequest) -> Option<MediaType> {
    request.headers().get(header::CONTENT_TYPE)?.to_str().ok().and_then(MediaType::parse)
}
