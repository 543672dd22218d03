//! From whole uploads to instances: the same way that a store request goes, with
//! the disk in place of the line. Nothing here is lost by a stop: the next start
//! begins again, and what was stored by then is there already.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::header,
    rt::{spawn, task::JoinHandle, time::sleep},
    web::Data,
};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::Mutex;

use crate::{
    archive::{ArchiveError, UploadNote, UploadResult, UploadWriter},
    audit::Trail,
    auth::{Action, Identity, Permit},
    http::{Problem, State, audit, stow},
};

/// Bytes read at a time.
const READ_BYTES: usize = 512 * 1024;
/// Time between two looks for uploads that are left over or forgotten.
const TEND_EVERY: Duration = Duration::from_secs(30);

/// Begins to store a whole upload.
pub fn begin(state: &Data<State>, writer: UploadWriter) -> JoinHandle<()> {
    let state = state.clone();
    spawn(async move {
        if let Err(error) = store(&state, writer).await {
            tracing::error!(%error, "an upload is not stored yet; it will be tried again");
        }
    })
}

/// Stores what an earlier process, or a full disk, left, and forgets uploads
/// that nobody goes on with; for ever.
pub async fn tend(state: Data<State>) {
    let permit = Permit::local();
    loop {
        for name in state.archive.whole_uploads(&permit).await.unwrap_or_default() {
            // Another one may be at work on it.
            if let Ok(writer) = state.archive.take_upload(&permit, &name).await {
                let _ = begin(&state, writer).await;
            }
        }
        match state.archive.expire_uploads(&permit).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "uploads were forgotten that nobody went on with"),
            Err(error) => tracing::error!(%error, "uploads that nobody goes on with cannot be removed"),
        }
        sleep(TEND_EVERY).await;
    }
}

/// Stores an upload and notes what became of it; an error if the server could
/// not, which may be better later.
async fn store(state: &Data<State>, writer: UploadWriter) -> Result<(), ArchiveError> {
    let note = writer.note();
    let _place = state.uploads.acquire().await.map_err(|_| ArchiveError::Stopping)?;
    let shared = Arc::new(Mutex::new(Some(writer)));
    // A note without an owner is of a time before there were any.
    let owner = serde_json::from_str(&note.owner).unwrap_or_else(|_| Identity::local());
    let response = match respond(state, &shared, &note, &owner).await {
        Ok(response) => response,
        Err(Failed::Server(error)) => return Err(error),
        Err(Failed::Body(problem)) if problem.status_code().is_server_error() => {
            return Err(ArchiveError::Again(problem.to_string()));
        }
        Err(Failed::Body(problem)) => problem.response(None),
    };
    let status = response.status().as_u16();
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or("application/octet-stream").to_owned();
    let body = actix_web::body::to_bytes(response.into_body()).await.unwrap_or_default();
    let result = UploadResult { status, content_type, body: String::from_utf8_lossy(&body).into_owned() };
    let writer = shared.lock().await.take().ok_or(ArchiveError::Stopping)?;
    state.archive.finish_upload(writer, result).await
}

/// Why there is no report.
enum Failed {
    /// The body as a whole is no store request.
    Body(Problem),
    /// The server could not store it now.
    Server(ArchiveError),
}

async fn respond(
    state: &Data<State>,
    writer: &Arc<Mutex<Option<UploadWriter>>>,
    note: &UploadNote,
    owner: &Identity,
) -> Result<HttpResponse, Failed> {
    let length = note.offset;
    let trail = Trail::default();
    let permit = state.roles.permit_in(owner, &state.tenant).to(Action::Store).on_trail(Some(trail.clone()));
    let framing = stow::framing(Some(&note.content_type)).map_err(Failed::Body)?;
    let chunks = Box::pin(stream::try_unfold(0, |at| async move {
        if at >= length {
            return Ok(None);
        }
        let bytes = read(state, writer, at).await?;
        let next = at + bytes.len() as u64;
        Ok::<_, Problem>(Some((bytes, next)))
    }));
    let received = stow::receive(state, permit, None, &framing, chunks).await;
    audit::record_upload(state, owner, &trail).await;
    let received = received.map_err(Failed::Body)?;
    match received.refused {
        // To try again would not help: what is there must go first.
        Some(error) if !matches!(error, ArchiveError::OverQuota(_)) => Err(Failed::Server(error)),
        Some(_) | None => Ok(stow::report(&received.stored, &note.base_url)),
    }
}

async fn read(
    state: &Data<State>,
    shared: &Mutex<Option<UploadWriter>>,
    at: u64,
) -> Result<Bytes, ArchiveError> {
    let mut held = shared.lock().await;
    let writer = held.take().ok_or(ArchiveError::Stopping)?;
    let (writer, bytes) = state.archive.on_upload(writer, move |writer| writer.read(at, READ_BYTES)).await?;
    *held = Some(writer);
    Ok(bytes)
}
