//! The text of encapsulated documents, for full text. A document is read from
//! its pack and given to a thread of its own, which may take so long and no
//! longer: what is wrong with a document is then a search's loss, never the
//! archive's. Owns the last texts read, since what a search reads before the
//! index has it is read by the index next.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;

use super::{ArchiveError, Core};
use crate::{
    dicom::{DataSet, Tag, Value, document},
    storage::{
        Digest,
        catalog::{InstanceRow, Snapshot},
    },
};

const ENCAPSULATED_DOCUMENT: Tag = Tag(0x0042, 0x0011);
const ENCAPSULATED_DOCUMENT_PATH: &str = "00420011";
const MEDIA_TYPE: Tag = Tag(0x0042, 0x0012);

/// Texts that are kept.
const KEPT_MAX: usize = 64;
/// Threads that may go on after their time: each is a document that hangs.
const STUCK_MAX: usize = 4;

/// What of documents is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A larger document is not read.
    pub document_bytes_max: u64,
    /// Bytes of the text of one document.
    pub text_bytes_max: usize,
    /// The time that reading one may take.
    pub time_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { document_bytes_max: 64 << 20, text_bytes_max: 1 << 20, time_max: Duration::from_secs(10) }
    }
}

pub(super) struct Documents {
    limits: Limits,
    /// The one read last in front.
    kept: Mutex<VecDeque<(Digest, Arc<str>)>>,
    running: Arc<AtomicUsize>,
}

impl Documents {
    pub fn new(limits: Limits) -> Self {
        Self { limits, kept: Mutex::default(), running: Arc::default() }
    }

    /// The text of the document that an instance encapsulates; none if there is
    /// none that can be read.
    ///
    /// # Errors
    /// When catalog or pack cannot be read.
    pub fn text_of(
        &self,
        core: &Core,
        snapshot: &Snapshot,
        row: &InstanceRow,
        set: &DataSet,
    ) -> Result<Option<Arc<str>>, ArchiveError> {
        let Some(media_type) = readable(set) else { return Ok(None) };
        if let Some(text) = self.kept(&row.digest) {
            return Ok(Some(text));
        }
        if let Some(text) = core.index.reader().document_text(&row.digest)? {
            return Ok(Some(text.into()));
        }
        let document = match self.document(core, snapshot, row, set) {
            Ok(Some(document)) => document,
            Ok(None) => {
                tracing::info!(instance = %row.path, "the text of a large document is not read");
                return Ok(None);
            }
            Err(ArchiveError::Catalog(error)) => return Err(error.into()),
            // A damaged pack is no reason for the index to stand still.
            Err(error) => {
                tracing::error!(instance = %row.path, %error, "a document cannot be read");
                return Ok(None);
            }
        };
        let text: Arc<str> = self.read(row, media_type.to_owned(), document).unwrap_or_default().into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((row.digest, Arc::clone(&text)));
        kept.truncate(KEPT_MAX);
        Ok(Some(text))
    }

    /// The bytes of a document; none if it is too large.
    fn document(
        &self,
        core: &Core,
        snapshot: &Snapshot,
        row: &InstanceRow,
        set: &DataSet,
    ) -> Result<Option<Bytes>, ArchiveError> {
        if let Some(Value::Inline(bytes)) = set.get(ENCAPSULATED_DOCUMENT).map(|element| &element.value) {
            return Ok(Some(bytes.clone().into()));
        }
        let bulk = core.bulk(snapshot, row, ENCAPSULATED_DOCUMENT_PATH)?;
        if bulk.document_bytes > self.limits.document_bytes_max {
            return Ok(None);
        }
        Ok(Some(bulk.pieces.slice(0..bulk.document_bytes).read_all(core)?))
    }

    fn kept(&self, digest: &Digest) -> Option<Arc<str>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(of, _)| of == digest).map(|(_, text)| Arc::clone(text))
    }

    /// Reads a document on a thread of its own, and waits for it a while.
    fn read(&self, row: &InstanceRow, media_type: String, document: Bytes) -> Option<String> {
        if self.running.load(Ordering::Relaxed) > STUCK_MAX {
            tracing::error!(instance = %row.path, "too many documents hang; the text of this one is not read");
            return None;
        }
        let (answer, text) = mpsc::sync_channel(1);
        let (running, bytes_max) = (Arc::clone(&self.running), self.limits.text_bytes_max);
        running.fetch_add(1, Ordering::Relaxed);
        let spawned = std::thread::Builder::new().name("document".into()).spawn(move || {
            let text =
                catch_unwind(AssertUnwindSafe(|| document::text_of(&media_type, &document, bytes_max)));
            running.fetch_sub(1, Ordering::Relaxed);
            // Nobody waits any more when it took too long.
            _ = answer.send(text.unwrap_or_else(|_| Ok(String::new())));
        });
        if spawned.is_err() {
            self.running.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        match text.recv_timeout(self.limits.time_max) {
            Ok(Ok(text)) => Some(text),
            Ok(Err(error)) => {
                tracing::warn!(instance = %row.path, %error, "the text of a document cannot be read");
                None
            }
            Err(_) => {
                tracing::error!(instance = %row.path, "reading the text of a document takes too long");
                None
            }
        }
    }
}

/// The media type of an instance's document, if there is one that can be read.
fn readable(set: &DataSet) -> Option<&str> {
    let media_type = set.first_text(MEDIA_TYPE)?;
    (set.get(ENCAPSULATED_DOCUMENT).is_some() && document::is_readable(media_type)).then_some(media_type)
}
