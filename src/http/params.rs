//! Text of a path becomes typed values.

use actix_web::HttpRequest;

use super::Problem;
use crate::dicom::{InstancePath, InstanceUid, SeriesPath, SeriesUid, StudyUid};

/// The Study Instance UID of the path.
///
/// # Errors
/// 400 when it is none.
pub fn study(request: &HttpRequest) -> Result<StudyUid, Problem> {
    StudyUid::parse(part(request, "study")).map_err(|error| Problem::invalid_uid("study", error))
}

/// The series of the path.
///
/// # Errors
/// 400 when a UID is none.
pub fn series(request: &HttpRequest) -> Result<SeriesPath, Problem> {
    let series = SeriesUid::parse(part(request, "series"));
    let series = series.map_err(|error| Problem::invalid_uid("series", error))?;
    Ok(SeriesPath { study: study(request)?, series })
}

/// The instance of the path.
///
/// # Errors
/// 400 when a UID is none.
pub fn instance(request: &HttpRequest) -> Result<InstancePath, Problem> {
    let SeriesPath { study, series } = series(request)?;
    let instance = InstanceUid::parse(part(request, "instance"));
    let instance = instance.map_err(|error| Problem::invalid_uid("instance", error))?;
    Ok(InstancePath { study, series, instance })
}

/// A list of frame numbers, counted from 1 (PS3.18 section 10.4.1.1.3).
///
/// # Errors
/// 400 when it is no list of positive whole numbers or longer than `frames_max`.
pub fn frames(request: &HttpRequest, frames_max: usize) -> Result<Vec<u32>, Problem> {
    let text = part(request, "frames");
    // A comma may come encoded.
    let text = text.replace("%2C", ",").replace("%2c", ",");
    let mut numbers = Vec::new();
    for number in text.split(',') {
        let number = number.trim();
        // A sign would be read as well.
        let digits = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok()).flatten();
        let number = digits.filter(|number| *number > 0).ok_or_else(|| {
            Problem::invalid_parameter(
                "frames",
                "the frames are a list of whole numbers from 1 on, separated by commas: /frames/1,2,3",
            )
        })?;
        if numbers.len() >= frames_max {
            let detail = format!("one request may ask for {frames_max} frames; split the list");
            return Err(Problem::invalid_parameter("frames", detail));
        }
        numbers.push(number);
    }
    Ok(numbers)
}

pub fn part<'r>(request: &'r HttpRequest, name: &str) -> &'r str {
    request.match_info().get(name).unwrap_or_default()
}

/// The parameters of the query, decoded.
pub fn query(request: &HttpRequest) -> Vec<(String, String)> {
    pairs(request.query_string())
}

/// The parameters of a query or of a form, decoded.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    actix_web::web::Query::<Vec<(String, String)>>::from_query(text)
        .map(actix_web::web::Query::into_inner)
        .unwrap_or_default()
}

/// The values of a parameter of the query, decoded.
pub fn query_values(request: &HttpRequest, name: &str) -> Vec<String> {
    query(request).into_iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect()
}
