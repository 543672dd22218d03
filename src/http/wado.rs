//! Retrieve (WADO-RS): PS3.18 section 10.4. Rows become parts; which
//! representation of each is sent follows from `Accept`, part by part.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{
    Problem, State,
    body::{self, FirstBytes, Part, Representation},
    negotiate::{Accept, Choices, Content, DataSetMedia, Form, How, Items, Stored},
    params,
};
use crate::{
    archive::{FileForm, Frames, InstanceRow, Scope, View},
    dicom::transfer_syntax,
};

const PIXEL_DATA: &str = "7FE00010";

macro_rules! retrieve_routes {
    ($($name:ident, $function:ident, $scope:expr, $path:literal, $id:literal, $summary:literal, $params:ty, $responses:ty;)*) => {$(
        #[utoipa::path(
            get, path = $path, tag = "Retrieve", operation_id = $id, summary = $summary,
            params($params), responses($responses)
        )]
        pub async fn $name(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
            let scope = $scope(&request)?;
            $function(&state, &request, scope).await
        }
    )*};
}

retrieve_routes! {
    study, files, study_scope, "/dicomweb/studies/{study}", "retrieveStudy",
        "Retrieve all instances of a study", super::openapi::StudyPath, super::openapi::FileResponses;
    series, files, series_scope, "/dicomweb/studies/{study}/series/{series}", "retrieveSeries",
        "Retrieve all instances of a series", super::openapi::SeriesPath, super::openapi::FileResponses;
    instance, files, instance_scope, "/dicomweb/studies/{study}/series/{series}/instances/{instance}", "retrieveInstance",
        "Retrieve an instance", super::openapi::InstancePath, super::openapi::FileResponses;
    study_metadata, metadata, study_scope, "/dicomweb/studies/{study}/metadata", "retrieveStudyMetadata",
        "Retrieve the metadata of a study", super::openapi::StudyPath, super::openapi::MetadataResponses;
    series_metadata, metadata, series_scope, "/dicomweb/studies/{study}/series/{series}/metadata", "retrieveSeriesMetadata",
        "Retrieve the metadata of a series", super::openapi::SeriesPath, super::openapi::MetadataResponses;
    instance_metadata, metadata, instance_scope,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/metadata", "retrieveInstanceMetadata",
        "Retrieve the metadata of an instance", super::openapi::InstancePath, super::openapi::MetadataResponses;
    study_bulkdata, all_bulkdata, study_scope, "/dicomweb/studies/{study}/bulkdata", "retrieveStudyBulkdata",
        "Retrieve all bulk data of a study", super::openapi::StudyPath, super::openapi::BulkResponses;
    series_bulkdata, all_bulkdata, series_scope, "/dicomweb/studies/{study}/series/{series}/bulkdata", "retrieveSeriesBulkdata",
        "Retrieve all bulk data of a series", super::openapi::SeriesPath, super::openapi::BulkResponses;
    instance_bulkdata, all_bulkdata, instance_scope,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/bulkdata", "retrieveInstanceBulkdata",
        "Retrieve all bulk data of an instance", super::openapi::InstancePath, super::openapi::BulkResponses;
    frames, some_frames, instance_scope,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", "retrieveFrames",
        "Retrieve frames of an instance", super::openapi::FramesPath, super::openapi::BulkResponses;
    bulkdata, one_bulkdata, instance_scope,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/bulkdata/{bulkdata}", "retrieveBulkdata",
        "Retrieve one bulk data value by its BulkDataURI", super::openapi::BulkPath, super::openapi::BulkResponses;
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

fn items(scope: &Scope) -> Items {
    match scope {
        Scope::Instance(_) => Items::One,
        Scope::Study(_) | Scope::Series(_) => Items::Many,
    }
}

async fn metadata(state: &Data<State>, request: &HttpRequest, scope: Scope) -> Result<HttpResponse, Problem> {
    Accept::of(request, state.config.strict.accept)?.data_set(&[DataSetMedia::Json])?;
    let base_url = state.base_url(request)?;
    let metadata = state.archive.metadata(&state.permit(request), scope, base_url.clone()).await?;
    body::metadata(state, request, metadata, &base_url).await
}

/// What the work in the pool needs to know of the request.
struct Asked {
    choices: Choices,
    base_url: String,
    boundary_key: [u8; 32],
    first_bytes: FirstBytes,
}

impl Asked {
    fn new(state: &State, request: &HttpRequest, choices: Choices) -> Result<Self, Problem> {
        Ok(Self {
            choices,
            base_url: state.base_url(request)?,
            boundary_key: state.boundary_key,
            first_bytes: FirstBytes::of(request),
        })
    }

    fn multipart(&self, root: &str, parts: Vec<Part>, identity: &blake3::Hasher) -> Representation {
        Representation::multipart(&self.boundary_key, root, parts, &self.base_url, identity)
    }

    /// Looks up and reads in one visit to the pool, then sends.
    async fn answer(
        self,
        state: &Data<State>,
        request: &HttpRequest,
        represent: impl FnOnce(&View<'_>, &Asked) -> Result<Representation, Problem> + Send + 'static,
    ) -> Result<HttpResponse, Problem> {
        let base_url = self.base_url.clone();
        let permit = state.permit(request);
        let represented = state.archive.retrieve(&permit, move |view| {
            Ok::<_, Problem>(represent(view, &self)?.loaded(view, self.first_bytes)?)
        });
        represented.await?.send(state, request, &base_url).await
    }
}

/// Whole files, in the representation that suits each.
async fn files(state: &Data<State>, request: &HttpRequest, scope: Scope) -> Result<HttpResponse, Problem> {
    let choices = Accept::of(request, state.config.strict.accept)?.instances(items(&scope))?;
    if !choices.is_dicom() {
        // PS3.18 table 10.4.4-1: bulk data in place of the files.
        return all_bulkdata(state, request, scope).await;
    }
    let asked = Asked::new(state, request, choices)?;
    asked.answer(state, request, move |view, asked| represent_files(view, asked, &scope)).await
}

fn represent_files(view: &View<'_>, asked: &Asked, scope: &Scope) -> Result<Representation, Problem> {
    let rows = view.instances(scope)?;
    let mut identity = blake3::Hasher::new();
    let mut omitted = Omitted::default();
    let mut parts = Vec::with_capacity(rows.len());
    let mut single = false;
    for row in rows {
        let stored =
            Stored { transfer_syntax: &row.transfer_syntax, content: Content::Pixels, decodable: false };
        let Some(delivery) = asked.choices.deliver(&stored) else {
            omitted.add(&row);
            continue;
        };
        let form = match delivery.how {
            How::Stored => FileForm::AsStored,
            How::LittleEndian | How::Decoded => FileForm::ExplicitLittleEndian,
        };
        single = delivery.form == Form::Single;
        let content_type = delivery.content_type();
        identity.update(&row.digest.0);
        identity.update(content_type.as_bytes());
        let location = Some(instance_url(&asked.base_url, &row));
        parts.push(Part { content_type, location, pieces: view.file(&row, form)? });
    }
    let partial = omitted.settle(parts.is_empty())?;
    let representation = match (single, parts.len()) {
        (true, 1) => Representation::single(parts.remove(0), &identity),
        _ => asked.multipart("application/dicom", parts, &identity),
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
    let locate = |number: u32| format!("{url}/frames/{number}");
    let Some(mut answer) = frame_parts(view, asked, &row, numbers, &locate)? else {
        return Err(not_decoded(&row.transfer_syntax));
    };
    let mut identity = identity_of(&row);
    for number in numbers {
        identity.update(&number.to_le_bytes());
    }
    Ok(match (answer.single, answer.parts.len()) {
        (true, 1) => Representation::single(answer.parts.remove(0), &identity),
        _ => asked.multipart(&answer.name, answer.parts, &identity),
    })
}

fn one_row(view: &View<'_>, scope: &Scope) -> Result<InstanceRow, Problem> {
    view.instances(scope)?.pop().ok_or_else(|| Problem::not_found("instance"))
}

struct FrameParts {
    parts: Vec<Part>,
    single: bool,
    name: String,
}

/// The frames of an instance as parts, if any choice can be satisfied.
fn frame_parts(
    view: &View<'_>,
    asked: &Asked,
    row: &InstanceRow,
    numbers: &[u32],
    locate: &dyn Fn(u32) -> String,
) -> Result<Option<FrameParts>, Problem> {
    let stored = Stored { transfer_syntax: &row.transfer_syntax, content: Content::Pixels, decodable: false };
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
    let Some(delivery) = asked.choices.deliver(&stored) else { return Ok(None) };
    let content_type = delivery.content_type();
    let parts = view
        .frames(row, numbers)?
        .into_iter()
        .zip(numbers)
        .map(|(pieces, number)| Part {
            content_type: content_type.clone(),
            location: Some(locate(*number)),
            pieces,
        })
        .collect();
    Ok(Some(FrameParts { parts, single: delivery.form == Form::Single, name: delivery.name.to_owned() }))
}

/// One value by its BulkDataURI.
async fn one_bulkdata(
    state: &Data<State>,
    request: &HttpRequest,
    scope: Scope,
) -> Result<HttpResponse, Problem> {
    let path = params::part(request, "bulkdata").to_owned();
    let choices = Accept::of(request, state.config.strict.accept)?.bulk(Items::One)?;
    let asked = Asked::new(state, request, choices)?;
    asked.answer(state, request, move |view, asked| represent_bulkdata(view, asked, &scope, &path)).await
}

fn represent_bulkdata(
    view: &View<'_>,
    asked: &Asked,
    scope: &Scope,
    path: &str,
) -> Result<Representation, Problem> {
    let row = one_row(view, scope)?;
    let Some(mut answer) = bulk_parts(view, asked, &row, path)? else {
        return Err(not_decoded(&row.transfer_syntax));
    };
    let mut identity = identity_of(&row);
    identity.update(path.as_bytes());
    match (answer.single, answer.parts.len()) {
        (true, 1) => Ok(Representation::single(answer.parts.remove(0), &identity)),
        (true, _) => Err(Problem::not_acceptable(
            "the pixel data are several frames: ask for multipart/related, or for one frame by /frames/1",
        )),
        (false, _) => Ok(asked.multipart(&answer.name, answer.parts, &identity)),
    }
}

/// One value as parts: one, or one for each frame of compressed pixel data.
fn bulk_parts(
    view: &View<'_>,
    asked: &Asked,
    row: &InstanceRow,
    path: &str,
) -> Result<Option<FrameParts>, Problem> {
    let url = format!("{}/bulkdata/{path}", instance_url(&asked.base_url, row));
    let compressed_frames = matches!(row.frames, Frames::Single(_) | Frames::Table { .. });
    if path == PIXEL_DATA && compressed_frames {
        let numbers: Vec<u32> = (1..=row.frames.count()).collect();
        return frame_parts(view, asked, row, &numbers, &|_| url.clone());
    }
    let value = view.bulk(row, path)?;
    let media_type = value.media_type.unwrap_or_default();
    let content = match media_type.as_str() {
        _ if path == PIXEL_DATA => Content::Pixels,
        "" => Content::Bytes,
        document => Content::Document(document),
    };
    let stored = Stored { transfer_syntax: &row.transfer_syntax, content, decodable: false };
    let Some(delivery) = asked.choices.deliver(&stored) else { return Ok(None) };
    let part = Part { content_type: delivery.content_type(), location: Some(url), pieces: value.pieces };
    Ok(Some(FrameParts {
        parts: vec![part],
        single: delivery.form == Form::Single,
        name: delivery.name.to_owned(),
    }))
}

/// Every value of every instance.
async fn all_bulkdata(
    state: &Data<State>,
    request: &HttpRequest,
    scope: Scope,
) -> Result<HttpResponse, Problem> {
    let choices = Accept::of(request, state.config.strict.accept)?.bulk(Items::Many)?;
    let asked = Asked::new(state, request, choices)?;
    asked.answer(state, request, move |view, asked| represent_all_bulkdata(view, asked, &scope)).await
}

fn represent_all_bulkdata(view: &View<'_>, asked: &Asked, scope: &Scope) -> Result<Representation, Problem> {
    let mut identity = blake3::Hasher::new();
    let mut omitted = Omitted::default();
    let mut parts = Vec::new();
    let mut root = None;
    let mut found = false;
    for row in view.instances(scope)? {
        identity.update(&row.digest.0);
        for path in view.bulk_paths(&row)? {
            found = true;
            match bulk_parts(view, asked, &row, &path)? {
                Some(answer) => {
                    root.get_or_insert(answer.name);
                    parts.extend(answer.parts);
                }
                None => omitted.add(&row),
            }
        }
    }
    if !found {
        return Err(Problem::not_found("bulk data in this resource"));
    }
    let partial = omitted.settle(parts.is_empty())?;
    let root = root.unwrap_or_else(|| "application/octet-stream".to_owned());
    Ok(asked.multipart(&root, parts, &identity).partial(partial))
}

fn instance_url(base_url: &str, row: &InstanceRow) -> String {
    let path = &row.path;
    format!("{base_url}/studies/{}/series/{}/instances/{}", path.study, path.series, path.instance)
}

fn identity_of(row: &InstanceRow) -> blake3::Hasher {
    let mut identity = blake3::Hasher::new();
    identity.update(&row.digest.0);
    identity
}

/// What could not be given in an acceptable form.
#[derive(Default)]
struct Omitted {
    count: usize,
    syntax: Option<String>,
}

impl Omitted {
    fn add(&mut self, row: &InstanceRow) {
        self.count += 1;
        self.syntax.get_or_insert_with(|| row.transfer_syntax.clone());
    }

    /// 406 when nothing is left, else what to say of the rest.
    fn settle(self, nothing_left: bool) -> Result<Option<String>, Problem> {
        match self.syntax {
            Some(syntax) if nothing_left => Err(not_decoded(&syntax)),
            Some(_) => Ok(Some(format!(
                "{} items cannot be given in an acceptable form and are left out",
                self.count
            ))),
            None => Ok(None),
        }
    }
}

fn not_decoded(syntax: &str) -> Problem {
    let name = transfer_syntax::find(syntax).map_or("a private transfer syntax", |known| known.name);
    Problem::not_acceptable(format!(
        "it is stored in {syntax} ({name}) and can be given as that only: add transfer-syntax=* to the \
         media type in Accept, or ask for the media type of that compression"
    ))
}
