//! Retrieve (WADO-RS): PS3.18 section 10.4. Rows become parts; which
//! representation of each is sent follows from `Accept`, part by part.

pub(super) mod answer;
pub(super) mod own_media;
mod values;

use actix_web::{HttpRequest, HttpResponse, web::Data};

pub use self::own_media::Presented;
use self::{
    answer::{Asked, Gathered, identity_of, instance_url, items, one_row},
    values::{all_bulkdata, all_pixel_data, one_bulkdata},
};
use super::{
    Problem, State,
    body::{Part, Representation},
    metadata::metadata,
    negotiate::{Accept, Content, Form, How, Items, Stored},
    params, zip,
};
use crate::{
    archive::{ArchiveError, FileForm, Frames, InstanceRow, Scope, View},
    dicom::transfer_syntax,
    pixels,
};

pub(super) const PIXEL_DATA: &str = "7FE00010";

macro_rules! retrieve_routes {
    ($($name:ident, $function:ident, $scope:expr, $path:literal, $id:literal, $summary:literal, $($params:ty),+ => $responses:ty;)*) => {$(
        #[utoipa::path(
            get, path = $path, tag = "Retrieve", operation_id = $id, summary = $summary,
            params($($params),+), responses($responses)
        )]
        pub async fn $name(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
            let scope = $scope(&request)?;
            $function(&state, &request, scope).await
        }
    )*};
}

retrieve_routes! {
    study, files, study_scope, "/dicomweb/studies/{study}", "retrieveStudy",
        "Retrieve all instances of a study", super::openapi::StudyPath, super::openapi::FileParams => super::openapi::FileResponses;
    series, files, series_scope, "/dicomweb/studies/{study}/series/{series}", "retrieveSeries",
        "Retrieve all instances of a series", super::openapi::SeriesPath, super::openapi::FileParams => super::openapi::FileResponses;
    instance, files, instance_scope, "/dicomweb/studies/{study}/series/{series}/instances/{instance}", "retrieveInstance",
        "Retrieve an instance", super::openapi::InstancePath, super::openapi::FileParams => super::openapi::FileResponses;
    study_metadata, metadata, study_scope, "/dicomweb/studies/{study}/metadata", "retrieveStudyMetadata",
        "Retrieve the metadata of a study", super::openapi::StudyPath, super::openapi::AcceptParam => super::openapi::MetadataResponses;
    series_metadata, metadata, series_scope, "/dicomweb/studies/{study}/series/{series}/metadata", "retrieveSeriesMetadata",
        "Retrieve the metadata of a series", super::openapi::SeriesPath, super::openapi::AcceptParam => super::openapi::MetadataResponses;
    instance_metadata, metadata, instance_scope,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/metadata", "retrieveInstanceMetadata",
        "Retrieve the metadata of an instance", super::openapi::InstancePath, super::openapi::AcceptParam => super::openapi::MetadataResponses;
    study_bulkdata, all_bulkdata, study_scope, "/dicomweb/studies/{study}/bulkdata", "retrieveStudyBulkdata",
        "Retrieve all bulk data of a study", super::openapi::StudyPath, super::openapi::AcceptParam => super::openapi::BulkResponses;
    series_bulkdata, all_bulkdata, series_scope, "/dicomweb/studies/{study}/series/{series}/bulkdata", "retrieveSeriesBulkdata",
        "Retrieve all bulk data of a series", super::openapi::SeriesPath, super::openapi::AcceptParam => super::openapi::BulkResponses;
    instance_bulkdata, all_bulkdata, instance_scope,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/bulkdata", "retrieveInstanceBulkdata",
        "Retrieve all bulk data of an instance", super::openapi::InstancePath, super::openapi::AcceptParam => super::openapi::BulkResponses;
    study_pixel_data, all_pixel_data, study_scope, "/dicomweb/studies/{study}/pixeldata", "retrieveStudyPixelData",
        "Retrieve the pixel data of a study", super::openapi::StudyPath, super::openapi::AcceptParam => super::openapi::PixelResponses;
    series_pixel_data, all_pixel_data, series_scope, "/dicomweb/studies/{study}/series/{series}/pixeldata",
        "retrieveSeriesPixelData", "Retrieve the pixel data of a series",
        super::openapi::SeriesPath, super::openapi::AcceptParam => super::openapi::PixelResponses;
    instance_pixel_data, all_pixel_data, instance_scope,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/pixeldata", "retrieveInstancePixelData",
        "Retrieve the pixel data of an instance", super::openapi::InstancePath, super::openapi::AcceptParam => super::openapi::PixelResponses;
    frames, some_frames, instance_scope,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", "retrieveFrames",
        "Retrieve frames of an instance", super::openapi::FramesPath, super::openapi::AcceptParam => super::openapi::BulkResponses;
    bulkdata, one_bulkdata, instance_scope,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/bulkdata/{bulkdata}", "retrieveBulkdata",
        "Retrieve one bulk data value by its BulkDataURI", super::openapi::BulkPath, super::openapi::AcceptParam => super::openapi::BulkResponses;
}

fn study_scope(request: &HttpRequest) -> Result<Scope, Problem> {
    params::study(request).map(Scope::Study)
}

fn series_scope(request: &HttpRequest) -> Result<Scope, Problem> {
    params::series(request).map(Scope::Series)
}

fn instance_scope(request: &HttpRequest) -> Result<Scope, Problem> {
    params::instance(request).map(Scope::Instance)
}

/// Whole files, in the representation that suits each.
async fn files(state: &Data<State>, request: &HttpRequest, scope: Scope) -> Result<HttpResponse, Problem> {
    let accept = Accept::of(request, state.config.strict.accept)?;
    if let Some(syntax) = accept.zip() {
        return zip::of_scope(state, request, scope, syntax).await;
    }
    let choices = accept.instances(items(&scope))?;
    if !choices.is_dicom() {
        // PS3.18 table 10.4.4-1: bulk data in place of the files.
        return all_bulkdata(state, request, scope).await;
    }
    let asked = Asked::new(state, request, choices)?;
    asked.answer(state, request, move |view, asked| represent_files(view, asked, &scope)).await
}

pub(super) fn represent_files(
    view: &View<'_>,
    asked: &Asked,
    scope: &Scope,
) -> Result<Representation, Problem> {
    let mut gathered = Gathered::new(items(scope));
    let mut single = false;
    for row in view.instances(scope)? {
        let stored = stored_file(view, &row)?;
        let is_encodable = |syntax: &str| view.image(&row, syntax).is_ok();
        let Some(delivery) = asked.choices.deliver_if(&stored, is_encodable) else {
            gathered.leave_out(&row);
            continue;
        };
        single = delivery.form == Form::Single;
        let content_type = delivery.content_type();
        let location = Some(instance_url(&asked.base_url, &row));
        let pieces = match (delivery.how, delivery.transfer_syntax) {
            (How::Stored, _) => view.file(&row, FileForm::AsStored),
            (How::Decoded | How::Encoded, Some(syntax)) if row.frames.count() > 0 => {
                view.image(&row, syntax).and_then(|image| view.file_with_frames(&image, &asked.made))
            }
            (How::LittleEndian | How::Decoded | How::Encoded, _) => {
                view.file(&row, FileForm::ExplicitLittleEndian)
            }
        };
        let part = pieces.map(|pieces| vec![Part { content_type, location, pieces }]);
        gathered.take(view, &row, part)?;
    }
    let partial = gathered.settle(|syntax| asked.not_acceptable(syntax))?;
    let representation = match (single, gathered.parts.len()) {
        (true, 1) => Representation::single(gathered.parts.remove(0), &gathered.identity),
        _ => asked.multipart("application/dicom", gathered.parts, &gathered.identity),
    };
    Ok(representation.partial(partial))
}

/// Frames of one instance.
async fn some_frames(
    state: &Data<State>,
    request: &HttpRequest,
    scope: Scope,
) -> Result<HttpResponse, Problem> {
    let numbers = params::frames(request, state.config.limits.request_frames_max)?;
    let items = if numbers.len() == 1 { Items::One } else { Items::Many };
    let choices = Accept::of(request, state.config.strict.accept)?.bulk(items)?;
    let asked = Asked::new(state, request, choices)?;
    asked.answer(state, request, move |view, asked| represent_frames(view, asked, &scope, &numbers)).await
}

fn represent_frames(
    view: &View<'_>,
    asked: &Asked,
    scope: &Scope,
    numbers: &[u32],
) -> Result<Representation, Problem> {
    let row = one_row(view, scope)?;
    let url = instance_url(&asked.base_url, &row);
    if let Frames::Video(_) = row.frames {
        return Err(Problem::not_acceptable(format!(
            "a video has no single frames; fetch the whole stream from {url}/bulkdata/{PIXEL_DATA}"
        )));
    }
    // What is not there is 404 whatever was asked for.
    if row.frames.count() == 0 {
        return Err(Problem::not_found("pixel data in this instance"));
    }
    if let Some(number) = numbers.iter().find(|number| **number > row.frames.count()) {
        return Err(Problem::not_found(&format!(
            "frame {number}: the instance has {} frames",
            row.frames.count()
        )));
    }
    let locate = |number: u32| format!("{url}/frames/{number}");
    let Some(mut answer) = frame_parts(view, asked, &row, numbers, &locate)? else {
        return Err(asked.not_acceptable(&row.transfer_syntax));
    };
    let mut identity = identity_of(&row);
    for number in numbers {
        identity.update(&number.to_le_bytes());
    }
    let representation = match (answer.single, answer.parts.len()) {
        (true, 1) => Representation::single(answer.parts.remove(0), &identity),
        _ => asked.multipart(&answer.name, answer.parts, &identity),
    };
    Ok(representation.partial(answer.partial))
}

/// What negotiation must know of an instance's pixels.
fn stored_pixels(row: &InstanceRow) -> Stored<'_> {
    Stored {
        transfer_syntax: &row.transfer_syntax,
        content: Content::Pixels,
        decodable: row.frames.count() > 0 && pixels::can_decode(&row.transfer_syntax),
    }
}

/// The same of a whole file. A report may come in a Transfer Syntax of pixels
/// that it does not have.
fn stored_file<'r>(view: &View<'_>, row: &'r InstanceRow) -> Result<Stored<'r>, ArchiveError> {
    let stored = stored_pixels(row);
    let may_have_none = row.frames == Frames::None && transfer_syntax::is_encapsulated(&row.transfer_syntax);
    if may_have_none && !view.bulk_paths(row)?.iter().any(|path| path == PIXEL_DATA) {
        return Ok(Stored { content: Content::Bytes, ..stored });
    }
    Ok(stored)
}

struct FrameParts {
    parts: Vec<Part>,
    single: bool,
    name: String,
    /// What to say of frames that are left out because they are broken.
    partial: Option<String>,
}

/// The frames of an instance as parts, if any choice can be satisfied.
fn frame_parts(
    view: &View<'_>,
    asked: &Asked,
    row: &InstanceRow,
    numbers: &[u32],
    locate: &dyn Fn(u32) -> String,
) -> Result<Option<FrameParts>, ArchiveError> {
    let stored = stored_pixels(row);
    let is_encodable = |syntax: &str| view.image(row, syntax).is_ok();
    let Some(delivery) = asked.choices.deliver_if(&stored, is_encodable) else { return Ok(None) };
    let content_type = delivery.content_type();
    let mut broken = Broken::default();
    let frames = match (delivery.how, delivery.transfer_syntax) {
        (How::Decoded | How::Encoded, Some(syntax)) => {
            let image = view.image(row, syntax)?;
            numbers.iter().map(|number| asked.made.frame(&image, number.saturating_sub(1))).collect()
        }
        _ => view.frames(row, numbers)?.into_iter().map(Ok).collect::<Vec<_>>(),
    };
    let mut parts = Vec::with_capacity(frames.len());
    for (frame, number) in frames.into_iter().zip(numbers) {
        if let Some(pieces) = broken.or(frame)? {
            let location = Some(locate(*number));
            parts.push(Part { content_type: content_type.clone(), location, pieces });
        }
    }
    let partial = broken.settle(parts.is_empty())?;
    Ok(Some(FrameParts {
        parts,
        single: delivery.form == Form::Single,
        name: delivery.name.to_owned(),
        partial,
    }))
}

/// Frames that cannot be decoded, beside others that can.
#[derive(Default)]
struct Broken {
    count: usize,
    first: Option<ArchiveError>,
}

impl Broken {
    fn or<T>(&mut self, frame: Result<T, ArchiveError>) -> Result<Option<T>, ArchiveError> {
        match frame {
            Ok(frame) => Ok(Some(frame)),
            Err(error @ ArchiveError::Pixels { .. }) => {
                self.count += 1;
                self.first.get_or_insert(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What to say of them; an error when nothing else is left.
    fn settle(self, nothing_left: bool) -> Result<Option<String>, ArchiveError> {
        match self.first {
            Some(error) if nothing_left => Err(error),
            Some(_) => Ok(Some(format!("{} frames cannot be decoded and are left out", self.count))),
            None => Ok(None),
        }
    }
}
