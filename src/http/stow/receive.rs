//! A store request's body, taken apart: files go on into the archive while they
//! arrive, metadata and bulk data are gathered until they are complete. Every
//! part has a fate of its own; only what concerns the whole body is an error.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::super::{
    Problem, State,
    media::MediaType,
    multipart::{self, Event, PartHeaders, Reader},
};
use super::parts::{self, Gathered};
use crate::{
    archive::{ArchiveError, Incoming, MetadataSyntax, Pending, StoreOutcome, Stored},
    auth::Permit,
    dicom::{StudyUid, reasons},
};

/// Instances of one request whose commits are awaited at the same time.
const PENDING_MAX: usize = 64;

/// What the instances of a request come as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// DICOM files.
    Files,
    /// Data sets, with their bulk data in parts of their own.
    Metadata(MetadataSyntax),
}

/// What the body is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    Multipart { root: Root, boundary: String },
    Single { root: Root },
}

/// What became of a body.
pub struct Received {
    /// Never empty.
    pub stored: Vec<Stored>,
    /// The first reason of the server's own not to store something.
    pub refused: Option<ArchiveError>,
}

/// Stores what a body holds.
///
/// # Errors
/// When the body as a whole cannot be understood or is too large; what was
/// stored of it until then stays stored.
pub async fn receive(
    state: &State,
    permit: Permit,
    study: Option<StudyUid>,
    framing: &Framing,
    mut chunks: impl Stream<Item = Result<Bytes, Problem>> + Unpin,
) -> Result<Received, Problem> {
    let (Framing::Multipart { root, .. } | Framing::Single { root }) = framing;
    let gathered = match root {
        Root::Files => None,
        Root::Metadata(syntax) => Some(Gathered::new(state.archive.begin_gathering(&permit), *syntax)),
    };
    let mut receiver = Receiver {
        state,
        permit,
        study,
        gathered,
        received: 0,
        pending: VecDeque::new(),
        stored: Vec::new(),
        refused: None,
    };
    match framing {
        Framing::Single { .. } => receiver.single(&mut chunks).await?,
        Framing::Multipart { boundary, .. } => receiver.parts(&mut chunks, boundary).await?,
    }
    receiver.compose().await?;
    let received = receiver.finish().await;
    if received.stored.is_empty() {
        return Err(Problem::malformed_body(
            "the body holds no instance; each part is a boundary line, headers, an empty line, and a DICOM file, \
             metadata or bulk data",
        ));
    }
    Ok(received)
}

pub(super) fn request_too_large(state: &State) -> Problem {
    Problem::too_large(format!(
        "one request may have {} bytes (limits.request_bytes_max); send the instances in several",
        state.config.limits.request_bytes_max
    ))
}

struct Receiver<'a> {
    state: &'a State,
    permit: Permit,
    study: Option<StudyUid>,
    /// Of a request whose instances come as metadata.
    gathered: Option<Gathered>,
    received: u64,
    pending: VecDeque<Pending>,
    stored: Vec<Stored>,
    refused: Option<ArchiveError>,
}

/// The part that is arriving.
enum Part {
    File(Incoming),
    Metadata(Vec<u8>),
    Bulk(parts::Arriving),
    /// Its fate is known; the rest of it is read and left.
    Skipping,
}

impl Receiver<'_> {
    async fn single(
        &mut self,
        chunks: &mut (impl Stream<Item = Result<Bytes, Problem>> + Unpin),
    ) -> Result<(), Problem> {
        let mut part = match &self.gathered {
            None => Part::File(self.state.archive.begin_store(&self.permit)),
            Some(_) => Part::Metadata(Vec::new()),
        };
        while let Some(chunk) = chunks.next().await {
            let chunk = self.count(chunk?)?;
            self.write(&mut part, chunk).await?;
        }
        self.end(part).await
    }

    async fn parts(
        &mut self,
        chunks: &mut (impl Stream<Item = Result<Bytes, Problem>> + Unpin),
        boundary: &str,
    ) -> Result<(), Problem> {
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
                Some(Event::Part(headers)) => part = self.begin(headers),
                Some(Event::Data(bytes)) => self.write(&mut part, bytes).await?,
                Some(Event::EndPart) => self.end(std::mem::replace(&mut part, Part::Skipping)).await?,
                Some(Event::End { .. }) => return self.drain(chunks).await,
                None => match chunks.next().await {
                    Some(chunk) => reader.feed(self.count(chunk?)?),
                    None => reader.finish(),
                },
            }
        }
    }

    /// Reads what follows the last part, so that the connection stays usable.
    async fn drain(
        &mut self,
        chunks: &mut (impl Stream<Item = Result<Bytes, Problem>> + Unpin),
    ) -> Result<(), Problem> {
        while let Some(chunk) = chunks.next().await {
            self.count(chunk?)?;
        }
        Ok(())
    }

    fn count(&mut self, chunk: Bytes) -> Result<Bytes, Problem> {
        self.received += chunk.len() as u64;
        if self.received > self.state.config.limits.request_bytes_max {
            return Err(request_too_large(self.state));
        }
        Ok(chunk)
    }

    fn begin(&mut self, headers: PartHeaders) -> Part {
        let media = headers.content_type.as_deref().and_then(MediaType::parse);
        let is = |essence: &str| media.as_ref().is_some_and(|media| media.is(essence));
        let Some(gathered) = &mut self.gathered else {
            if media.is_none() || is("application/dicom") {
                return Part::File(self.state.archive.begin_store(&self.permit));
            }
            let why =
                "a part that is not application/dicom belongs to no instance of this request".to_owned();
            self.fail(reasons::CANNOT_UNDERSTAND, why);
            return Part::Skipping;
        };
        let is_first_untyped =
            headers.content_type.is_none() && headers.content_location.is_none() && gathered.is_empty();
        if is_first_untyped || gathered.is_metadata(media.as_ref()) {
            return Part::Metadata(Vec::new());
        }
        match gathered.begin(headers, media.as_ref()) {
            Ok(arriving) => Part::Bulk(arriving),
            Err(why) => {
                self.fail(reasons::CANNOT_UNDERSTAND, why);
                Part::Skipping
            }
        }
    }

    async fn write(&mut self, part: &mut Part, bytes: Bytes) -> Result<(), Problem> {
        let part_bytes_max = self.state.config.limits.part_bytes_max;
        let too_large = || {
            Problem::too_large(format!(
                "one instance may have {part_bytes_max} bytes (limits.part_bytes_max)"
            ))
        };
        let written = match (&mut *part, &mut self.gathered) {
            (Part::File(incoming), _) => {
                if incoming.received() + bytes.len() as u64 > part_bytes_max {
                    *part = Part::Skipping;
                    return Err(too_large());
                }
                incoming.write(bytes).await
            }
            (Part::Metadata(metadata), Some(gathered)) => {
                let max = self.state.config.limits.dataset_bytes_max;
                gathered.take_metadata(metadata, &bytes, max)?;
                Ok(())
            }
            (Part::Bulk(arriving), Some(gathered)) => {
                if gathered.length_of(arriving) + bytes.len() as u64 > part_bytes_max {
                    return Err(too_large());
                }
                // Half a spool is no spool: the request is over.
                gathered.gathering.write(bytes).await?;
                Ok(())
            }
            (Part::Skipping | Part::Metadata(_) | Part::Bulk(_), _) => Ok(()),
        };
        if let Err(error) = written {
            *part = Part::Skipping;
            self.refuse(error);
        }
        Ok(())
    }

    async fn end(&mut self, part: Part) -> Result<(), Problem> {
        match (part, &mut self.gathered) {
            (Part::File(incoming), _) => {
                let pending = incoming.finish(self.study.as_ref()).await;
                self.committing(pending).await;
            }
            (Part::Metadata(metadata), Some(gathered)) => {
                let syntax = gathered.syntax;
                match self.state.archive.parse_metadata(&self.permit, syntax, metadata).await? {
                    Ok(sets) => {
                        gathered.sets.extend(sets);
                        let max = self.state.config.limits.request_parts_max;
                        if gathered.sets.len() > max {
                            return Err(Problem::too_large(format!(
                                "one request may have {max} instances (limits.request_parts_max)"
                            )));
                        }
                    }
                    Err(why) if syntax == MetadataSyntax::Json => {
                        // All instances are in this one part.
                        return Err(Problem::malformed_body(format!("the metadata: {why}")));
                    }
                    Err(why) => self.fail(reasons::CANNOT_UNDERSTAND, format!("the metadata: {why}")),
                }
            }
            (Part::Bulk(arriving), Some(gathered)) => gathered.end(arriving),
            (Part::Skipping | Part::Metadata(_) | Part::Bulk(_), _) => {}
        }
        Ok(())
    }

    /// Stores what was gathered.
    async fn compose(&mut self) -> Result<(), Problem> {
        let Some(Gathered { gathering, sets, parts, .. }) = self.gathered.take() else { return Ok(()) };
        let mut composition = gathering.finish(sets, parts).await?;
        while let Some(pending) = composition.next(self.study.as_ref()).await {
            self.committing(pending).await;
        }
        for _ in 0..composition.unused() {
            let why = "no BulkDataURI of the metadata is the Content-Location of this part".to_owned();
            self.fail(reasons::CANNOT_UNDERSTAND, why);
        }
        Ok(())
    }

    /// Notes an instance whose commit is under way, and waits when they are
    /// many.
    async fn committing(&mut self, pending: Result<Pending, ArchiveError>) {
        match pending {
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
            Ok(stored) => {
                if let StoreOutcome::Failed { reason: reasons::OUT_OF_RESOURCES, why } = &stored.outcome {
                    self.refused.get_or_insert_with(|| ArchiveError::OverQuota(why.clone()));
                }
                self.stored.push(stored);
            }
            Err(error) => self.refuse(error),
        }
    }

    async fn finish(mut self) -> Received {
        while !self.pending.is_empty() {
            self.settle().await;
        }
        Received { stored: self.stored, refused: self.refused }
    }

    /// An instance that the server could not store, whatever it holds.
    fn refuse(&mut self, error: ArchiveError) {
        if self.refused.is_none() {
            tracing::warn!(%error, "an instance could not be stored");
        }
        let reason = match &error {
            ArchiveError::NotPermitted(_) => reasons::NOT_AUTHORIZED,
            ArchiveError::Full
            | ArchiveError::OverQuota(_)
            | ArchiveError::Refused(_)
            | ArchiveError::Busy
            | ArchiveError::Stopping
            | ArchiveError::Away(_) => reasons::OUT_OF_RESOURCES,
            ArchiveError::NotFound(_)
            | ArchiveError::Gone(_)
            | ArchiveError::TooBroad(_)
            | ArchiveError::Pixels { .. }
            | ArchiveError::Expired(_)
            | ArchiveError::Taken(_)
            | ArchiveError::Locked(_)
            | ArchiveError::Damaged(_)
            | ArchiveError::Unreadable(_)
            | ArchiveError::Render(_)
            | ArchiveError::Packs(_)
            | ArchiveError::Catalog(_)
            | ArchiveError::Index(_)
            | ArchiveError::Uploads(_)
            | ArchiveError::Commitments(_)
            | ArchiveError::Io(_)
            | ArchiveError::Backups(_)
            | ArchiveError::NoArchive(_)
            | ArchiveError::Unfinished
            | ArchiveError::Again(_) => reasons::PROCESSING_FAILURE,
        };
        let why = match (&error, reason) {
            (ArchiveError::Refused(_), _) => "the disk of the archive failed or is read-only".to_owned(),
            (_, reasons::OUT_OF_RESOURCES) => error.to_string(),
            _ => "the server failed to store it; its log says more".to_owned(),
        };
        self.fail(reason, why);
        self.refused.get_or_insert(error);
    }

    fn fail(&mut self, reason: u16, why: String) {
        let outcome = StoreOutcome::Failed { reason, why };
        self.stored.push(Stored { sop_class: None, sop_instance: None, about: None, outcome });
    }
}
