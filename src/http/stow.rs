//! Store (STOW-RS): PS3.18 section 10.5. The body streams through; each part
//! becomes an instance of its own fate, and the answer says what became of
//! each. It is given when every stored instance is durable and visible.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Payload},
};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{
    Problem, State, body,
    media::MediaType,
    multipart::{self, Event, Reader},
    negotiate::{Accept, DataSetMedia},
    params,
};
use crate::{
    archive::{ArchiveError, Incoming, Pending, StoreOutcome, Stored},
    auth::Permit,
    dicom::{DataSet, Element, StudyUid, Tag, VR, Value, json, reasons},
};

const RETRIEVE_URL: Tag = Tag(0x0008, 0x1190);
const REFERENCED_SOP_SEQUENCE: Tag = Tag(0x0008, 0x1199);
const FAILED_SOP_SEQUENCE: Tag = Tag(0x0008, 0x1198);
const OTHER_FAILURES_SEQUENCE: Tag = Tag(0x0008, 0x119A);
const REFERENCED_SOP_CLASS: Tag = Tag(0x0008, 0x1150);
const REFERENCED_SOP_INSTANCE: Tag = Tag(0x0008, 0x1155);
const WARNING_REASON: Tag = Tag(0x0008, 0x1196);
const FAILURE_REASON: Tag = Tag(0x0008, 0x1197);
const FAILED_ATTRIBUTES_SEQUENCE: Tag = Tag(0x0074, 0x1048);
const ERROR_COMMENT: Tag = Tag(0x0000, 0x0902);

/// Instances of one request whose commits are awaited at the same time.
const PENDING_MAX: usize = 64;

#[utoipa::path(
    post, path = "/dicomweb/studies", tag = "Store", operation_id = "storeInstances",
    summary = "Store instances",
    request_body(
        content((Vec<u8> = "multipart/related; type=\"application/dicom\""), (Vec<u8> = "application/dicom")),
        description = "One DICOM file a part, in any transfer syntax; or one file as the body."
    ),
    responses(super::openapi::StoreResponses)
)]
pub async fn studies(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    store(&state, &request, payload, None).await
}

#[utoipa::path(
    post, path = "/dicomweb/studies/{study}", tag = "Store", operation_id = "storeInstancesOfStudy",
    summary = "Store instances of one study",
    params(super::openapi::StudyPath),
    request_body(
        content((Vec<u8> = "multipart/related; type=\"application/dicom\""), (Vec<u8> = "application/dicom")),
        description = "One DICOM file a part; those of another study are refused one by one."
    ),
    responses(super::openapi::StoreResponses)
)]
pub async fn study(
    state: Data<State>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let study = params::study(&request)?;
    store(&state, &request, payload, Some(study)).await
}

/// What the body is made of.
enum Framing {
    Multipart { boundary: String },
    Single,
}

async fn store(
    state: &State,
    request: &HttpRequest,
    payload: Payload,
    study: Option<StudyUid>,
) -> Result<HttpResponse, Problem> {
    // Before anything is stored: can the answer be given at all (STO-03)?
    Accept::of(request, false)?.data_set(&[DataSetMedia::Json])?;
    let framing = framing(request)?;
    let base_url = state.base_url(request)?;
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > state.config.limits.request_bytes_max) {
        return Err(request_too_large(state));
    }
    let _place = state.uploads.try_acquire().map_err(|_| Problem::busy())?;
    let mut receiver = Receiver {
        state,
        permit: state.permit(request),
        study: study.clone(),
        received: 0,
        pending: std::collections::VecDeque::new(),
        stored: Vec::new(),
        refused: None,
    };
    match framing {
        Framing::Single => receiver.single(payload).await?,
        Framing::Multipart { boundary } => receiver.parts(payload, &boundary).await?,
    }
    let (stored, refused) = receiver.finish().await;
    if let Some(error) = refused
        && stored.iter().all(|stored| matches!(stored.outcome, StoreOutcome::Failed { .. }))
    {
        // Nothing at all could be stored, for a reason that is the server's.
        return Err(error.into());
    }
    if stored.is_empty() {
        return Err(Problem::malformed_body(
            "the body holds no part; each part is a boundary line, headers, an empty line, and a DICOM file",
        ));
    }
    Ok(answer(&stored, &base_url, study.as_ref()))
}

fn framing(request: &HttpRequest) -> Result<Framing, Problem> {
    let wanted = "send multipart/related; type=\"application/dicom\"; boundary=…, or application/dicom";
    let encoding = request.headers().get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Problem::unsupported_media_type(
            "a Content-Encoding is not supported here; send the body plain",
        ));
    }
    let text = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let Some(media) = text.and_then(MediaType::parse) else {
        return Err(Problem::unsupported_media_type(format!("the Content-Type is missing; {wanted}")));
    };
    if media.is("application/dicom") {
        return Ok(Framing::Single);
    }
    if !media.is("multipart/related") {
        return Err(Problem::unsupported_media_type(format!("{} cannot be stored; {wanted}", media.essence)));
    }
    match media.root_type().as_deref() {
        None | Some("application/dicom") => {}
        Some(other) => {
            return Err(Problem::unsupported_media_type(format!(
                "parts of type {other} cannot be stored; {wanted}"
            )));
        }
    }
    let boundary = multipart::boundary_of(&media)?;
    Ok(Framing::Multipart { boundary: boundary.to_owned() })
}

fn request_too_large(state: &State) -> Problem {
    Problem::too_large(format!(
        "one request may have {} bytes (limits.request_bytes_max); send the instances in several",
        state.config.limits.request_bytes_max
    ))
}

/// Takes a body apart and gathers what becomes of its instances.
struct Receiver<'a> {
    state: &'a State,
    permit: Permit,
    study: Option<StudyUid>,
    received: u64,
    pending: std::collections::VecDeque<Pending>,
    stored: Vec<Stored>,
    /// The first reason of the server's own not to store something.
    refused: Option<ArchiveError>,
}

/// The part that is arriving.
enum Part {
    Taking(Incoming),
    /// Its fate is known; the rest of it is read and left.
    Skipping,
}

impl Receiver<'_> {
    async fn single(&mut self, mut payload: Payload) -> Result<(), Problem> {
        let mut part = self.begin(None);
        while let Some(chunk) = payload.next().await {
            let chunk = self.count(chunk)?;
            self.write(&mut part, chunk).await?;
        }
        self.end(part).await;
        Ok(())
    }

    async fn parts(&mut self, mut payload: Payload, boundary: &str) -> Result<(), Problem> {
        let limits = multipart::Limits {
            header_bytes_max: usize::try_from(self.state.config.limits.part_header_bytes_max)
                .unwrap_or(usize::MAX),
            parts_max: self.state.config.limits.request_parts_max,
            ..multipart::Limits::default()
        };
        let mut reader = Reader::new(boundary, limits);
        let mut part = Part::Skipping;
        loop {
            match reader.next()? {
                Some(Event::Part(headers)) => part = self.begin(headers.content_type.as_deref()),
                Some(Event::Data(bytes)) => self.write(&mut part, bytes).await?,
                Some(Event::EndPart) => self.end(std::mem::replace(&mut part, Part::Skipping)).await,
                Some(Event::End { .. }) => return self.drain(payload).await,
                None => match payload.next().await {
                    Some(chunk) => reader.feed(self.count(chunk)?),
                    None => reader.finish(),
                },
            }
        }
    }

    /// Reads what follows the last part, so that the connection stays usable.
    async fn drain(&mut self, mut payload: Payload) -> Result<(), Problem> {
        while let Some(chunk) = payload.next().await {
            self.count(chunk)?;
        }
        Ok(())
    }

    fn count(&mut self, chunk: Result<Bytes, actix_web::error::PayloadError>) -> Result<Bytes, Problem> {
        let chunk = chunk.map_err(|_| {
            Problem::malformed_body("the body ended before its Content-Length, or its chunks are malformed")
        })?;
        self.received += chunk.len() as u64;
        if self.received > self.state.config.limits.request_bytes_max {
            return Err(request_too_large(self.state));
        }
        Ok(chunk)
    }

    fn begin(&mut self, content_type: Option<&str>) -> Part {
        let media = content_type.and_then(MediaType::parse);
        if media.is_none_or(|media| media.is("application/dicom")) {
            return Part::Taking(self.state.archive.begin_store(&self.permit));
        }
        let why = "a part that is not application/dicom belongs to no instance of this request".to_owned();
        self.fail(reasons::CANNOT_UNDERSTAND, why);
        Part::Skipping
    }

    async fn write(&mut self, part: &mut Part, bytes: Bytes) -> Result<(), Problem> {
        let Part::Taking(incoming) = part else { return Ok(()) };
        let part_bytes_max = self.state.config.limits.part_bytes_max;
        if incoming.received() + bytes.len() as u64 > part_bytes_max {
            *part = Part::Skipping;
            return Err(Problem::too_large(format!(
                "one instance may have {part_bytes_max} bytes (limits.part_bytes_max)"
            )));
        }
        if let Err(error) = incoming.write(bytes).await {
            *part = Part::Skipping;
            self.refuse(error);
        }
        Ok(())
    }

    async fn end(&mut self, part: Part) {
        let Part::Taking(incoming) = part else { return };
        match incoming.finish(self.study.as_ref()).await {
            Ok(pending) => self.pending.push_back(pending),
            Err(error) => self.refuse(error),
        }
        while self.pending.len() > PENDING_MAX {
            self.settle().await;
        }
    }

    /// Waits for the oldest commit.
    async fn settle(&mut self) {
        let Some(pending) = self.pending.pop_front() else { return };
        match pending.outcome().await {
            Ok(stored) => self.stored.push(stored),
            Err(error) => self.refuse(error),
        }
    }

    async fn finish(mut self) -> (Vec<Stored>, Option<ArchiveError>) {
        while !self.pending.is_empty() {
            self.settle().await;
        }
        (self.stored, self.refused)
    }

    /// An instance that the server could not store, whatever it holds.
    fn refuse(&mut self, error: ArchiveError) {
        tracing::warn!(%error, "an instance could not be stored");
        let reason = match &error {
            ArchiveError::Full | ArchiveError::Busy | ArchiveError::Stopping => reasons::OUT_OF_RESOURCES,
            ArchiveError::NotFound(_)
            | ArchiveError::Gone(_)
            | ArchiveError::NotRepresentable(_)
            | ArchiveError::TooBroad(_)
            | ArchiveError::Expired(_)
            | ArchiveError::Taken(_)
            | ArchiveError::Damaged(_)
            | ArchiveError::Unreadable(_)
            | ArchiveError::Packs(_)
            | ArchiveError::Catalog(_)
            | ArchiveError::Index(_)
            | ArchiveError::Uploads(_)
            | ArchiveError::Commitments(_)
            | ArchiveError::Io(_)
            | ArchiveError::Again(_) => reasons::PROCESSING_FAILURE,
        };
        let why = match reason {
            reasons::OUT_OF_RESOURCES => error.to_string(),
            _ => "the server failed to store it; its log says more".to_owned(),
        };
        self.fail(reason, why);
        self.refused.get_or_insert(error);
    }

    fn fail(&mut self, reason: u16, why: String) {
        let outcome = StoreOutcome::Failed { reason, why };
        self.stored.push(Stored { sop_class: None, sop_instance: None, outcome });
    }
}

/// The Store Instances Response Module (PS3.18 Annex I) with its status
/// (table 10.5.3-1).
fn answer(stored: &[Stored], base_url: &str, study: Option<&StudyUid>) -> HttpResponse {
    let mut referenced = Vec::new();
    let mut failed = Vec::new();
    let mut other = Vec::new();
    let mut studies = std::collections::BTreeSet::new();
    let mut warned = false;
    for instance in stored {
        match &instance.outcome {
            StoreOutcome::Stored { path, warnings } => {
                warned |= !warnings.is_empty();
                studies.insert(path.study.clone());
                let url = format!(
                    "{base_url}/studies/{}/series/{}/instances/{}",
                    path.study, path.series, path.instance
                );
                referenced.push(success(instance, &url, warnings));
            }
            StoreOutcome::AlreadyThere { path } => {
                studies.insert(path.study.clone());
                let url = format!(
                    "{base_url}/studies/{}/series/{}/instances/{}",
                    path.study, path.series, path.instance
                );
                referenced.push(success(instance, &url, &[]));
            }
            StoreOutcome::Failed { reason, why } if instance.sop_instance.is_some() => {
                failed.push(failure(instance, *reason, why));
            }
            StoreOutcome::Failed { reason, why } => other.push(failure(instance, *reason, why)),
        }
    }
    let status = match (referenced.is_empty(), failed.is_empty() && other.is_empty()) {
        (true, _) => StatusCode::CONFLICT,
        (false, true) if !warned => StatusCode::OK,
        (false, _) => StatusCode::ACCEPTED,
    };
    let url = match (study, studies.len(), studies.first()) {
        (Some(study), 1.., _) | (None, 1, Some(study)) => Some(format!("{base_url}/studies/{study}")),
        _ => None,
    };
    let mut module = DataSet::new();
    match &url {
        Some(url) => module.put_text(RETRIEVE_URL, VR::UR, url),
        None => module.put(RETRIEVE_URL, Element::new(VR::UR, Value::Empty)),
    }
    for (tag, items) in [
        (REFERENCED_SOP_SEQUENCE, referenced),
        (FAILED_SOP_SEQUENCE, failed),
        (OTHER_FAILURES_SEQUENCE, other),
    ] {
        if !items.is_empty() {
            module.put(tag, Element::new(VR::SQ, Value::Items(items)));
        }
    }
    let mut out = Vec::new();
    json::write(&module, &mut out);
    let mut response = HttpResponse::build(status);
    if let Some(url) = url {
        response.insert_header((header::LOCATION, url));
    }
    response.content_type(body::DICOM_JSON).body(out)
}

fn success(instance: &Stored, url: &str, warnings: &[String]) -> DataSet {
    let mut item = reference(instance);
    item.put_text(RETRIEVE_URL, VR::UR, url);
    if !warnings.is_empty() {
        put_reason(&mut item, WARNING_REASON, reasons::DEPARTS_FROM_STANDARD);
        put_comments(&mut item, warnings.iter().map(String::as_str));
    }
    item
}

fn failure(instance: &Stored, reason: u16, why: &str) -> DataSet {
    let mut item = reference(instance);
    put_reason(&mut item, FAILURE_REASON, reason);
    put_comments(&mut item, std::iter::once(why));
    item
}

fn reference(instance: &Stored) -> DataSet {
    let mut item = DataSet::new();
    if let Some(class) = &instance.sop_class {
        item.put_text(REFERENCED_SOP_CLASS, VR::UI, class);
    }
    if let Some(uid) = &instance.sop_instance {
        item.put_text(REFERENCED_SOP_INSTANCE, VR::UI, uid);
    }
    item
}

fn put_reason(item: &mut DataSet, tag: Tag, reason: u16) {
    item.put(tag, Element::new(VR::US, Value::Unsigned(vec![u64::from(reason)])));
}

/// The reasons in words: the standard has only numbers. Other servers put
/// them in the same place.
fn put_comments<'a>(item: &mut DataSet, comments: impl Iterator<Item = &'a str>) {
    let items = comments
        .map(|comment| {
            let mut item = DataSet::new();
            // A backslash would separate values.
            item.put_text(ERROR_COMMENT, VR::LO, &comment.replace('\\', "/"));
            item
        })
        .collect();
    item.put(FAILED_ATTRIBUTES_SEQUENCE, Element::new(VR::SQ, Value::Items(items)));
}
