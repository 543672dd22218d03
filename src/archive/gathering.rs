//! A store request of metadata and bulk data: its bulk parts lie in a spool
//! until the metadata that name them are all there; then instance after
//! instance is composed and takes the way of every file that arrives, through
//! [`super::Incoming`].
//!
//! In memory while it is small and memory lasts, else in a file without a name.

use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{Archive, ArchiveError, Pending, StoreOutcome, incoming::hold, store::Stored};
use crate::{
    auth::Permit,
    dicom::{
        DataSet, StudyUid,
        compose::{self, ComposeError, Composed, Part, Parts, Store},
        encode::Stretch,
        json::{self, Limits},
        plan::Plan,
        reasons,
        source::Source,
        xml,
    },
    storage::uploads::{Spool, UploadError},
};

/// Bytes gathered before they are handed to storage.
const WRITE_BYTES: usize = 512 * 1024;
/// Bytes of a composed file that are made in one visit to the pool.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Bulk parts on their way in.
pub struct Gathering {
    archive: Arc<Archive>,
    permit: Permit,
    /// None while a visit to the pool has it, or after one failed.
    held: Option<Held>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    length: u64,
    memory: Vec<OwnedSemaphorePermit>,
    accounted: usize,
}

/// The bytes of all parts, one after the other.
enum Held {
    Memory(Vec<u8>, Arc<Archive>),
    File(Spool),
}

/// Metadata and parts that are complete.
pub struct Composition {
    gathering: Gathering,
    sets: VecDeque<DataSet>,
    parts: Parts,
}

/// How metadata are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataSyntax {
    /// An array of data sets, or one.
    Json,
    /// One data set.
    Xml,
}

impl Archive {
    /// Reads the metadata of instances. The inner error says what is wrong with
    /// them, without any value.
    ///
    /// # Errors
    /// When the archive is too busy to read them.
    pub async fn parse_metadata(
        &self,
        _permit: &Permit,
        syntax: MetadataSyntax,
        bytes: Vec<u8>,
    ) -> Result<Result<Vec<DataSet>, String>, ArchiveError> {
        let limits = Limits::default();
        let read = move || match syntax {
            MetadataSyntax::Json => json::read_all(&bytes, limits).map_err(|error| error.to_string()),
            MetadataSyntax::Xml => match xml::read(&bytes, limits) {
                Ok(set) => Ok(vec![set]),
                Err(error) => Err(error.to_string()),
            },
        };
        self.pool.run(move || Ok(read())).await
    }

    /// Begins to receive metadata and bulk data.
    #[must_use]
    pub fn begin_gathering(self: &Arc<Self>, permit: &Permit) -> Gathering {
        Gathering {
            archive: Arc::clone(self),
            permit: permit.clone(),
            held: Some(Held::Memory(Vec::new(), Arc::clone(self))),
            waiting: Vec::new(),
            waiting_bytes: 0,
            length: 0,
            memory: Vec::new(),
            accounted: 0,
        }
    }
}

impl Gathering {
    /// Bytes of bulk data so far: where the next part begins.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// From a place to the end of what has come.
    #[must_use]
    pub fn stretch_from(&self, offset: u64) -> Stretch {
        Stretch { offset, length: self.length.saturating_sub(offset) }
    }

    /// Accounts for memory that metadata take: what they are long, and what
    /// they become.
    ///
    /// # Errors
    /// `Busy`, when the uploads of all clients have no more.
    pub fn account(&mut self, bytes: usize) -> Result<(), ArchiveError> {
        self.accounted = self.accounted.saturating_add(bytes);
        if hold(&self.archive, &mut self.memory, self.accounted) { Ok(()) } else { Err(ArchiveError::Busy) }
    }

    /// Takes the next bytes of a bulk part.
    ///
    /// # Errors
    /// When there is no room for them, in memory or on disk.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        self.length += bytes.len() as u64;
        self.waiting_bytes += bytes.len();
        self.waiting.push(bytes);
        if self.waiting_bytes >= WRITE_BYTES { self.drain().await } else { Ok(()) }
    }

    async fn drain(&mut self) -> Result<(), ArchiveError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.with_held(move |held| {
            waiting.iter().try_for_each(|bytes| held.put(bytes)).map_err(ArchiveError::from)
        })
        .await
    }

    /// Takes the bytes to the pool and back.
    async fn with_held<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Held) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let mut held = self.held.take().ok_or(ArchiveError::Stopping)?;
        let run = move || {
            let answer = work(&mut held);
            Ok::<_, ArchiveError>((held, answer))
        };
        let (held, answer) = self.archive.pool.run(run).await?;
        self.held = Some(held);
        answer
    }

    /// All has come: the data sets can be composed.
    ///
    /// # Errors
    /// When the last bytes cannot be kept.
    pub async fn finish(mut self, sets: Vec<DataSet>, parts: Vec<Part>) -> Result<Composition, ArchiveError> {
        self.drain().await?;
        Ok(Composition { gathering: self, sets: sets.into(), parts: Parts::new(parts) })
    }
}

impl Composition {
    /// Composes the next instance and queues its commit; none after the last.
    ///
    /// # Errors
    /// When the archive cannot store anything at the moment. An instance that
    /// cannot be composed is an outcome.
    pub async fn next(&mut self, study: Option<&StudyUid>) -> Option<Result<Pending, ArchiveError>> {
        let set = self.sets.pop_front()?;
        Some(self.store(set, study).await)
    }

    async fn store(&mut self, set: DataSet, study: Option<&StudyUid>) -> Result<Pending, ArchiveError> {
        let (sop_class, sop_instance) = compose::identity(&set);
        let mut parts = std::mem::replace(&mut self.parts, Parts::new(Vec::new()));
        let decoded_bytes_max = self.gathering.archive.core.limits.inflated_bytes_max;
        let composed = self.gathering.with_held(move |held| {
            let composed = parts.compose(set, held, decoded_bytes_max);
            Ok((parts, composed))
        });
        let (parts, composed) = composed.await?;
        self.parts = parts;
        match composed {
            Ok(Composed { plan, .. }) => self.send(plan, study).await,
            Err(ComposeError::Io(error)) if error.kind() == io::ErrorKind::StorageFull => {
                Err(ArchiveError::Full)
            }
            Err(error) => {
                let outcome = StoreOutcome::Failed { reason: reason(&error), why: error.to_string() };
                let stored = Stored { sop_class, sop_instance, about: None, outcome };
                Ok(Pending::known(stored).on_trail(self.gathering.permit.trail().cloned()))
            }
        }
    }

    /// Sends a composed file on the way of those that arrive whole.
    async fn send(&mut self, plan: Plan, study: Option<&StudyUid>) -> Result<Pending, ArchiveError> {
        let mut incoming = self.gathering.archive.begin_store(&self.gathering.permit);
        let plan = Arc::new(plan);
        let mut at = 0;
        while at < plan.length {
            let piece = Arc::clone(&plan);
            let bytes = self.gathering.with_held(move |held| piece_of(&piece, held, at)).await?;
            at += bytes.len() as u64;
            incoming.write(bytes).await?;
        }
        incoming.finish(study).await
    }

    /// Parts that no data set named.
    #[must_use]
    pub fn unused(&self) -> usize {
        self.parts.unused()
    }
}

/// The next bytes of a file to be.
fn piece_of(plan: &Plan, source: &dyn Source, at: u64) -> Result<Bytes, ArchiveError> {
    let left = usize::try_from(plan.length - at).unwrap_or(usize::MAX);
    let mut bytes = vec![0; left.min(READ_BYTES)];
    let mut reader = plan.reader(source);
    reader.skip(at);
    reader.read_exact(&mut bytes).map_err(ArchiveError::Io)?;
    Ok(bytes.into())
}

fn reason(error: &ComposeError) -> u16 {
    match error {
        ComposeError::MissingUid { .. } | ComposeError::BadUid { .. } => reasons::DATA_SET_MISMATCH,
        ComposeError::TransferSyntax => reasons::TRANSFER_SYNTAX_NOT_SUPPORTED,
        ComposeError::Io(_) => reasons::PROCESSING_FAILURE,
        ComposeError::Unresolved { .. }
        | ComposeError::SeveralParts { .. }
        | ComposeError::Bitstream(_)
        | ComposeError::Raster(_)
        | ComposeError::Pixels(_)
        | ComposeError::Frames { .. }
        | ComposeError::Contradiction { .. }
        | ComposeError::MissingMacro { .. }
        | ComposeError::Encode(_) => reasons::CANNOT_UNDERSTAND,
    }
}

impl Held {
    fn put(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        if let Self::Memory(memory, archive) = self
            && memory.len() + bytes.len() > WRITE_BYTES
        {
            let mut spool = archive.core.uploads.spool()?;
            spool.write(memory)?;
            *self = Self::File(spool);
        }
        match self {
            Self::Memory(memory, _) => {
                memory.extend_from_slice(bytes);
                Ok(())
            }
            Self::File(spool) => spool.write(bytes),
        }
    }
}

impl Source for Held {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(memory, _) => Source::len(memory),
            Self::File(spool) => spool.len(),
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Memory(memory, _) => memory.read_exact_at(buffer, offset),
            Self::File(spool) => spool.read_exact_at(buffer, offset),
        }
    }
}

impl Store for Held {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes).map_err(|error| match error {
            UploadError::Full { .. } => io::ErrorKind::StorageFull.into(),
            other @ (UploadError::Unknown
            | UploadError::Taken
            | UploadError::TooMany
            | UploadError::TooMuch
            | UploadError::Io { .. }) => io::Error::other(other),
        })
    }
}
