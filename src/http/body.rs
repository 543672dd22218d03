//! Answers: bodies that stream out of the archive, with what RFC 9110 says of
//! them (length, ranges, entity tags, conditional requests, content codings).

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::{BodySize, MessageBody, SizedStream},
    http::{
        StatusCode,
        header::{self, HeaderName},
    },
    rt::task::JoinHandle,
};
use bytes::Bytes;
use futures_util::stream;

use super::{
    Problem, State,
    encoding::{self, Coding, Compressed},
    multipart::{self, Layout, PartHead, Slice},
    range::{self, ETag, Wanted},
    wado::Presented,
};
use crate::archive::{ArchiveError, Metadata, Pieces, View};

/// The media type of DICOM JSON, exactly: clients compare the whole value.
pub const DICOM_JSON: &str = "application/dicom+json";

/// The values of a header.
pub fn values<'r>(request: &'r HttpRequest, name: &HeaderName) -> impl Iterator<Item = &'r str> + use<'r> {
    request.headers().get_all(name).filter_map(|value| value.to_str().ok())
}

/// A `Warning` header (QRY-30).
pub fn warning(base_url: &str, text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| match c {
            '"' => '\'',
            ' '..='~' => c,
            _ => '?',
        })
        .collect();
    format!("299 {base_url} \"{text}\"")
}

/// A text that is in memory and [encoded](encoding::encode).
pub fn text(
    mut response: HttpResponseBuilder,
    content_type: &str,
    (coding, body): (Coding, Bytes),
) -> HttpResponse {
    response.content_type(content_type).insert_header((header::VARY, "Accept, Accept-Encoding, Origin"));
    if let Some(name) = coding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    response.body(body)
}

/// One part of an answer, or the only one.
pub struct Part {
    pub content_type: String,
    pub location: Option<String>,
    pub pieces: Pieces,
}

/// What is sent for a resource.
pub struct Representation {
    content_type: String,
    location: Option<String>,
    pieces: Pieces,
    etag: ETag,
    /// Some of what was asked for is left out: 206 and why.
    partial: Option<String>,
    /// What a browser is to do with it.
    presented: Option<Presented>,
    /// What of the request was ignored.
    warning: Option<String>,
}

impl Representation {
    /// A single part. `identity` names the stored bytes it is made from.
    pub fn single(part: Part, identity: &blake3::Hasher) -> Self {
        let etag = tag(identity, &part.content_type, "");
        let Part { content_type, location, pieces } = part;
        Self { content_type, location, pieces, etag, partial: None, presented: None, warning: None }
    }

    /// A multipart body. Its boundary follows from its entity tag, so that a
    /// later Range request meets the same bytes (MPR-5).
    pub fn multipart(
        key: &[u8; 32],
        root: &str,
        parts: Vec<Part>,
        base_url: &str,
        identity: &blake3::Hasher,
    ) -> Self {
        // Decoded or as stored, a frame is of one media type: its parameter tells them apart.
        let mut identity = identity.clone();
        for part in &parts {
            identity.update(part.content_type.as_bytes());
        }
        let etag = tag(&identity, root, base_url);
        let boundary = multipart::boundary(key, &etag.to_string());
        let layout = Layout::of(
            &boundary,
            parts.iter().map(|part| PartHead {
                content_type: &part.content_type,
                content_location: part.location.as_deref(),
                length: part.pieces.length(),
            }),
        );
        let mut data: Vec<Option<Pieces>> = parts.into_iter().map(|part| Some(part.pieces)).collect();
        let mut pieces = Pieces::new();
        for slice in layout.slices(0..layout.content_length()) {
            match slice {
                Slice::Bytes(bytes) => pieces.push_bytes(bytes),
                Slice::Part { index, .. } => {
                    if let Some(part) = data.get_mut(index).and_then(Option::take) {
                        pieces.append(part);
                    }
                }
            }
        }
        let content_type = multipart::content_type(root, &boundary);
        Self { content_type, location: None, pieces, etag, partial: None, presented: None, warning: None }
    }

    pub fn partial(mut self, why: Option<String>) -> Self {
        self.partial = why;
        self
    }

    /// Under another name of its media type.
    pub fn of_type(mut self, content_type: &str) -> Self {
        content_type.clone_into(&mut self.content_type);
        self
    }

    pub fn warned(mut self, warning: Option<String>) -> Self {
        self.warning = warning;
        self
    }

    pub fn presented(mut self, how: Option<Presented>) -> Self {
        self.presented = how;
        self
    }

    /// Reads the first bytes while at it, if the request is one that will get
    /// them.
    ///
    /// # Errors
    /// When what is stored is damaged or cannot be read.
    pub fn loaded(mut self, view: &View<'_>, wanted: FirstBytes) -> Result<Self, ArchiveError> {
        if wanted.0 {
            view.load(&mut self.pieces)?;
        }
        Ok(self)
    }

    /// The answer to this request: whole, a range, or not modified.
    ///
    /// # Errors
    /// When the first bytes cannot be read.
    pub async fn send(
        self,
        state: &actix_web::web::Data<State>,
        request: &HttpRequest,
        base_url: &str,
    ) -> Result<HttpResponse, Problem> {
        let mut response = HttpResponse::Ok();
        response
            .insert_header((header::ETAG, self.etag.to_string()))
            .insert_header((header::CACHE_CONTROL, "private, no-cache"))
            .insert_header((header::VARY, "Accept, Origin"));
        if range::none_match(values(request, &header::IF_NONE_MATCH), &self.etag) {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        response.insert_header((header::ACCEPT_RANGES, "bytes"));
        if let Some(location) = &self.location {
            response.insert_header((header::CONTENT_LOCATION, location.as_str()));
        }
        if let Some(presented) = &self.presented {
            response.insert_header((header::CONTENT_DISPOSITION, presented.disposition.as_str()));
            if let Some(policy) = presented.policy {
                response.insert_header((header::CONTENT_SECURITY_POLICY, policy));
            }
        }
        if let Some(why) = &self.warning {
            response.append_header((header::WARNING, warning(base_url, why)));
        }
        if let Some(why) = &self.partial {
            response.status(StatusCode::PARTIAL_CONTENT);
            response.insert_header((header::WARNING, warning(base_url, why)));
        }
        let length = self.pieces.length();
        let header_value = values(request, &header::RANGE).next();
        let conditional = range::if_range_holds(values(request, &header::IF_RANGE).next(), &self.etag, None);
        // Of another method a range means nothing (RFC 9110 section 14.2).
        let is_get = request.method() == actix_web::http::Method::GET;
        let wanted = if self.partial.is_none() && conditional && is_get {
            range::wanted(header_value, length)
        } else {
            Wanted::Whole
        };
        let pieces = match wanted {
            Wanted::Whole => self.pieces,
            Wanted::Part(part) => {
                response.status(StatusCode::PARTIAL_CONTENT);
                response.insert_header((header::CONTENT_RANGE, range::content_range(&part, length)));
                self.pieces.slice(part)
            }
            Wanted::Unsatisfiable => {
                response.insert_header((header::CONTENT_RANGE, range::unsatisfied_range(length)));
                return Ok(response.status(StatusCode::RANGE_NOT_SATISFIABLE).finish());
            }
        };
        response.content_type(self.content_type);
        if request.method() == actix_web::http::Method::HEAD {
            let empty = stream::empty::<Result<Bytes, Problem>>();
            return Ok(response.body(SizedStream::new(pieces.length(), empty)));
        }
        stream_out(state, response, pieces).await
    }
}

/// Whether an answer to this request begins with the first bytes of the
/// representation, as far as its headers tell.
#[derive(Debug, Clone, Copy)]
pub struct FirstBytes(bool);

impl FirstBytes {
    pub fn of(request: &HttpRequest) -> Self {
        let conditional = [header::RANGE, header::IF_NONE_MATCH];
        let whole = !conditional.iter().any(|name| request.headers().contains_key(name));
        Self(whole && request.method() != actix_web::http::Method::HEAD)
    }
}

/// Sends pieces. The first read happens before the status is sent, so that
/// damage there is still an error of its own.
async fn stream_out(
    state: &actix_web::web::Data<State>,
    mut response: HttpResponseBuilder,
    mut pieces: Pieces,
) -> Result<HttpResponse, Problem> {
    let length = pieces.length();
    let mut ready = pieces.take_ready();
    if ready.is_empty() && length > 0 {
        pieces = state.archive.read(pieces).await?;
        ready = pieces.take_ready();
    }
    if pieces.length() == 0 && ready.len() <= 1 {
        return Ok(response.body(ready.pop_front().unwrap_or_default()));
    }
    Ok(response.body(Outflow {
        state: state.clone(),
        length,
        ready,
        rest: Rest::InMemory(pieces),
        in_turn: 0,
    }))
}

/// Reads that a worker does for one answer before others have their turn.
const READS_IN_TURN: u32 = 2;

/// A body on its way.
struct Outflow {
    state: actix_web::web::Data<State>,
    length: u64,
    ready: VecDeque<Bytes>,
    rest: Rest,
    /// Reads since others had their turn.
    in_turn: u32,
}

/// What is not ready yet.
enum Rest {
    /// As far as is known: the worker itself reads it, a piece at a time.
    InMemory(Pieces),
    /// Something had to be waited for. The next bytes are being read while the
    /// client takes what is ready.
    Coming(JoinHandle<Result<Pieces, ArchiveError>>),
    Nothing,
}

impl Outflow {
    /// Begins to read on.
    fn ask_for(&mut self, rest: Pieces) {
        self.rest = if rest.length() > 0 {
            let state = self.state.clone();
            Rest::Coming(actix_web::rt::spawn(async move { state.archive.read(rest).await }))
        } else {
            Rest::Nothing
        };
    }

    /// The next bytes; none at the end.
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, ArchiveError>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            match &mut self.rest {
                Rest::InMemory(rest) if rest.length() > 0 => {
                    if self.in_turn >= READS_IN_TURN {
                        self.in_turn = 0;
                        task.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    self.ready = rest.take_ready();
                    if !self.ready.is_empty() {
                        continue;
                    }
                    self.in_turn += 1;
                    if let Some(bytes) = self.state.archive.read_at_once(rest) {
                        return Poll::Ready(Some(bytes));
                    }
                    let rest = std::mem::take(rest);
                    self.ask_for(rest);
                }
                Rest::Coming(coming) => {
                    let read = std::task::ready!(Pin::new(coming).poll(task));
                    self.rest = Rest::Nothing;
                    match read.unwrap_or(Err(ArchiveError::Stopping)) {
                        Ok(mut rest) => {
                            self.ready = rest.take_ready();
                            self.ask_for(rest);
                        }
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
                Rest::InMemory(_) | Rest::Nothing => return Poll::Ready(None),
            }
        }
    }
}

impl MessageBody for Outflow {
    type Error = Problem;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.get_mut().poll(task).map_err(|error| {
            // The status is sent: all that is left is to break off, so that the
            // client sees that it did not get the whole.
            tracing::error!(%error, "an answer was broken off");
            Problem::from(error)
        })
    }
}

/// Sends metadata, compressed if the client likes that.
///
/// # Errors
/// When the first chunk cannot be read.
pub async fn metadata(
    state: &actix_web::web::Data<State>,
    request: &HttpRequest,
    metadata: Metadata,
    content_type: String,
    base_url: &str,
) -> Result<HttpResponse, Problem> {
    let mut response = HttpResponse::Ok();
    let mut identity = blake3::Hasher::new();
    identity.update(metadata.version.as_bytes());
    identity.update(request.uri().to_string().as_bytes());
    identity.update(content_type.as_bytes());
    let etag = ETag::weak(&short(&identity, base_url));
    response
        .content_type(content_type.as_str())
        .insert_header((header::ETAG, etag.to_string()))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::VARY, "Accept, Accept-Encoding, Origin"));
    if range::none_match(values(request, &header::IF_NONE_MATCH), &etag) {
        return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
    }
    let (first, rest) = state.archive.read_metadata(metadata).await?;
    let first = first.unwrap_or_default();
    if rest.is_done() {
        let encoded = encoding::encode(values(request, &header::ACCEPT_ENCODING), first);
        return Ok(text(response, &content_type, encoded));
    }
    let state = state.clone();
    let chunks = Box::pin(stream::unfold((Some(first), Some(rest)), move |(ready, rest)| {
        let state = state.clone();
        async move {
            if let Some(bytes) = ready {
                return Some((Ok(bytes), (None, rest)));
            }
            match state.archive.read_metadata(rest?).await {
                Ok((Some(bytes), rest)) => Some((Ok(bytes), (None, Some(rest)))),
                Ok((None, _)) => None,
                Err(error) => {
                    tracing::error!(%error, "metadata were broken off");
                    Some((Err(std::io::Error::other("broken off")), (None, None)))
                }
            }
        }
    }));
    match encoding::choose(values(request, &header::ACCEPT_ENCODING), None) {
        Coding::Identity => Ok(response.streaming(chunks)),
        coding @ (Coding::Gzip | Coding::Zstd) => match Compressed::new(coding, chunks) {
            Ok(compressed) => {
                response.insert_header((header::CONTENT_ENCODING, coding.name().unwrap_or_default()));
                Ok(response.streaming(compressed))
            }
            Err(_) => Err(Problem::busy()),
        },
    }
}

/// The entity tag of a single part, before the part is made.
pub fn etag(identity: &blake3::Hasher, content_type: &str) -> ETag {
    tag(identity, content_type, "")
}

/// The answer to a client that has this single part already.
pub fn unchanged(
    request: &HttpRequest,
    identity: &blake3::Hasher,
    content_type: &str,
) -> Option<HttpResponse> {
    let etag = etag(identity, content_type);
    range::none_match(values(request, &header::IF_NONE_MATCH), &etag).then(|| {
        HttpResponse::NotModified()
            .insert_header((header::ETAG, etag.to_string()))
            .insert_header((header::CACHE_CONTROL, "private, no-cache"))
            .insert_header((header::VARY, "Accept, Origin"))
            .finish()
    })
}

fn tag(identity: &blake3::Hasher, content_type: &str, base_url: &str) -> ETag {
    let mut hasher = identity.clone();
    hasher.update(content_type.as_bytes());
    ETag::strong(&short(&hasher, base_url))
}

fn short(identity: &blake3::Hasher, base_url: &str) -> String {
    let mut hasher = identity.clone();
    hasher.update(&[0]);
    hasher.update(base_url.as_bytes());
    let mut text = hasher.finalize().to_hex().to_string();
    text.truncate(32);
    text
}
