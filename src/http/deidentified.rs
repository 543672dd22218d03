//! `…/studies/{study}/deidentified`: a de-identified copy of a study (not in
//! PS3.18; the profile is PS3.15 annex E). Share links have theirs made here too.

use std::collections::BTreeMap;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Payload},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Problem, State, openapi::ProblemBody, params, small};
use crate::{
    archive::{Copied, Deidentification},
    auth::Permit,
    dicom::{
        StudyUid,
        deidentify::{Dates, LeftOut, Pixels, Retain},
    },
};

/// Instances that are named of those left out for one reason.
const NAMED_MAX: usize = 100;

/// What is kept that the profile would take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// Dates and times as they are (113106)
    FullDates,
    /// All dates of a patient earlier by the same number of days (113107)
    ModifiedDates,
    /// Sex, age, size, weight, ethnic group, smoking, pregnancy (113108)
    PatientCharacteristics,
    /// Serial numbers, stations and detectors (113109)
    DeviceIdentity,
    /// Institutions, their addresses and departments (113112)
    InstitutionIdentity,
}

/// What is known of the pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// Images of which it is in doubt whether they name somebody are left out
    #[default]
    Unseen,
    /// The caller has looked at them and answers for it that they name nobody
    LookedAt,
}

/// How a study is to be de-identified.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeidentificationRequest {
    /// Options of the profile; nothing is kept where none is named
    #[serde(default)]
    retain: Vec<Kept>,
    #[serde(default)]
    pixels: Seen,
}

/// A study and the copy that stands for it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeidentifiedStudy {
    /// The Study Instance UID of the original
    study: String,
    /// That of the copy, always the same for the same study and options
    deidentified: String,
    /// The copy
    url: String,
    /// Instances that were copied now
    stored: u64,
    /// Instances whose copies were there
    already_there: u64,
    /// What has no copy, by reason
    left_out: Vec<LeftOutInstances>,
}

impl DeidentifiedStudy {
    /// Whether this is the copy.
    pub fn is(&self, study: &StudyUid) -> bool {
        self.deidentified == study.as_str()
    }

    pub fn original(&self) -> &str {
        &self.study
    }
}

/// Instances that are left out for one reason.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeftOutInstances {
    /// `burned-in-annotation`, `pixels-in-doubt`, `structured-report`, `document` …
    reason: &'static str,
    why: String,
    count: u64,
    /// SOP Instance UIDs of the first 100
    instances: Vec<String>,
}

#[utoipa::path(
    post, path = "/dicomweb/studies/{study}/deidentified", tag = "De-identification",
    operation_id = "deidentifyStudy", summary = "Have a de-identified copy of a study made",
    params(super::openapi::StudyPath),
    request_body(content = DeidentificationRequest, description = "Nothing, or options of the profile."),
    responses(
        (status = 201, description = "What was copied is stored", body = DeidentifiedStudy),
        (status = 200, description = "All that can be copied was there", body = DeidentifiedStudy),
        (status = 400, description = "The request makes no sense", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "The caller may not have copies made", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is no such study", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Nothing of the study can be de-identified", body = ProblemBody, content_type = "application/problem+json"),
        (status = 410, description = "The study has been deleted", body = ProblemBody, content_type = "application/problem+json"),
        (status = 500, description = "The server failed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The server is busy", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "There is no room for the copy", body = ProblemBody, content_type = "application/problem+json")
    )
)]
pub async fn make(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let study = params::study(&request)?;
    let asked: Option<DeidentificationRequest> = small::json_or_nothing(payload, &state).await?;
    let asked = asked.unwrap_or_default();
    let how = how(&asked.retain, asked.pixels)?;
    let copied = copy(&state, &state.permit(&request), &study, how).await?;
    let is_new = copied.stored > 0;
    let made = described(&study, &copied, &state.base_url(&request)?);
    let mut answer = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer
        .insert_header((header::LOCATION, made.url.as_str()))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(made))
}

/// # Errors
/// When the options contradict each other.
pub fn how(retain: &[Kept], pixels: Seen) -> Result<Deidentification, Problem> {
    let has = |kept| retain.contains(&kept);
    let dates = match (has(Kept::FullDates), has(Kept::ModifiedDates)) {
        (true, true) => {
            return Err(Problem::malformed_body(
                "full-dates and modified-dates exclude each other; name one of them",
            ));
        }
        (true, false) => Dates::Full,
        (false, true) => Dates::Modified,
        (false, false) => Dates::Removed,
    };
    let retain = Retain {
        dates,
        patient_characteristics: has(Kept::PatientCharacteristics),
        device_identity: has(Kept::DeviceIdentity),
        institution_identity: has(Kept::InstitutionIdentity),
    };
    let pixels = match pixels {
        Seen::Unseen => Pixels::Unseen,
        Seen::LookedAt => Pixels::LookedAt,
    };
    Ok(Deidentification { retain, pixels })
}

/// The copy of a study, made as far as it was not there.
///
/// # Errors
/// When there is nothing of the study that can be copied; as those of the archive.
pub async fn copy(
    state: &State,
    permit: &Permit,
    study: &StudyUid,
    how: Deidentification,
) -> Result<Copied, Problem> {
    // It stores as much as an upload does.
    let _place = state.uploads.try_acquire().map_err(|_| Problem::busy())?;
    let copied = state.archive.deidentify(permit, study, how).await?;
    if copied.stored + copied.already_there > 0 {
        return Ok(copied);
    }
    let reasons: Vec<String> = left_out(&copied)
        .iter()
        .map(|left| format!("{} of {}: {}", left.count, left.reason, left.why))
        .collect();
    let detail = format!("nothing of study {study} can be de-identified ({})", reasons.join("; "));
    let title = "Nothing can be de-identified";
    Err(Problem::new(StatusCode::CONFLICT, "not-deidentifiable", title, detail))
}

pub fn described(study: &StudyUid, copied: &Copied, base_url: &str) -> DeidentifiedStudy {
    DeidentifiedStudy {
        study: study.to_string(),
        deidentified: copied.study.to_string(),
        url: format!("{base_url}/studies/{}", copied.study),
        stored: copied.stored,
        already_there: copied.already_there,
        left_out: left_out(copied),
    }
}

fn left_out(copied: &Copied) -> Vec<LeftOutInstances> {
    let mut by_reason: BTreeMap<LeftOut, LeftOutInstances> = BTreeMap::new();
    for left in &copied.left_out {
        let entry = by_reason.entry(left.why).or_insert_with(|| LeftOutInstances {
            reason: left.why.code(),
            why: left.why.to_string(),
            count: 0,
            instances: Vec::new(),
        });
        entry.count += 1;
        if entry.instances.len() < NAMED_MAX {
            entry.instances.push(left.path.instance.to_string());
        }
    }
    by_reason.into_values().collect()
}
