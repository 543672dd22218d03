//! An instance that is arriving: a small file stays in memory until it is whole, a
//! large one is streamed into a pack of its own lane, so that memory does not
//! grow with it. What becomes of it then is [`super::store`]'s.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};

use super::{
    Archive, ArchiveError,
    coerce::{self, Coerced},
    store::{self, Finished, Pending, Stored, Waiting},
};
use crate::{
    auth::Permit,
    dicom::{DataSet, StudyUid, source::Source},
    storage::{
        packs::{Hasher, Upload},
        uploads::Spool,
    },
};

/// Bytes gathered before they are handed to storage.
const WRITE_BYTES: usize = 512 * 1024;
/// How long an upload waits for a free lane before the client is told to come back.
const LANE_WAIT: Duration = Duration::from_secs(30);

/// An instance that is arriving.
pub struct Incoming {
    archive: Arc<Archive>,
    permit: Permit,
    /// Rules have changed it already.
    original: Option<Box<DataSet>>,
    /// The archive made it, of what rules have seen before.
    is_own: bool,
    received: u64,
    state: State,
}

enum State {
    Memory {
        chunks: Vec<Bytes>,
        bytes: usize,
        held: Vec<OwnedSemaphorePermit>,
    },
    /// On its way into a pack: what came last waits while the pool writes what
    /// came before.
    Stream {
        lent: JoinHandle<Result<Writing, ArchiveError>>,
        waiting: Vec<Bytes>,
        bytes: usize,
    },
    /// All of it is in a pack.
    Placed(Writing),
    /// It is whole, and another upload of the same instance is under way.
    Waiting(Box<Waiting>),
    /// A write failed, or a hand-over to the pool was cut off.
    Lost,
}

/// What writes one file. The permit of the lane is dropped last (fields are
/// dropped in their order): whoever gets a lane finds a free stream.
struct Writing {
    upload: Box<Upload>,
    hasher: Box<Hasher>,
    permit: OwnedSemaphorePermit,
}

impl Writing {
    fn write(mut self, parts: &[Bytes]) -> Result<Self, ArchiveError> {
        for bytes in parts {
            self.hasher.update(bytes);
            self.upload.write(bytes)?;
        }
        Ok(self)
    }
}

impl Archive {
    /// Begins to receive one instance.
    #[must_use]
    pub fn begin_store(self: &Arc<Self>, permit: &Permit) -> Incoming {
        Incoming {
            archive: Arc::clone(self),
            permit: permit.clone(),
            original: None,
            is_own: false,
            received: 0,
            state: State::Memory { chunks: Vec::new(), bytes: 0, held: Vec::new() },
        }
    }

    /// The same for what the archive makes itself: no rule of coercion is for it.
    pub(super) fn begin_store_of_own(self: &Arc<Self>, permit: &Permit) -> Incoming {
        let mut incoming = self.begin_store(permit);
        incoming.is_own = true;
        incoming
    }

    /// Stores a whole file that is in memory or on disk, and waits for the outcome.
    ///
    /// # Errors
    /// When the archive cannot store anything at the moment.
    pub async fn store_bytes(
        self: &Arc<Self>,
        permit: &Permit,
        bytes: Bytes,
    ) -> Result<Stored, ArchiveError> {
        let mut incoming = self.begin_store(permit);
        incoming.write(bytes).await?;
        incoming.finish(None).await?.outcome().await
    }
}

impl Incoming {
    /// Bytes received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// When there is no room for it, in memory or on disk.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        self.received += bytes.len() as u64;
        match &mut self.state {
            State::Memory { chunks, bytes: size, held } => {
                *size += bytes.len();
                chunks.push(bytes);
                if *size <= self.archive.small_bytes_max && hold(&self.archive, held, *size) {
                    return Ok(());
                }
                self.spill().await
            }
            State::Stream { waiting, bytes: size, .. } => {
                *size += bytes.len();
                waiting.push(bytes);
                if *size >= WRITE_BYTES { self.drain().await } else { Ok(()) }
            }
            State::Placed(_) | State::Waiting(_) | State::Lost => Err(ArchiveError::Stopping),
        }
    }

    /// Moves from memory into a pack.
    async fn spill(&mut self) -> Result<(), ArchiveError> {
        let lanes = Arc::clone(&self.archive.lanes);
        let permit = tokio::time::timeout(LANE_WAIT, lanes.acquire_owned())
            .await
            .map_err(|_| ArchiveError::Busy)?
            .map_err(|_| ArchiveError::Stopping)?;
        let State::Memory { chunks, held, .. } = std::mem::replace(&mut self.state, State::Lost) else {
            return Err(ArchiveError::Stopping);
        };
        let core = Arc::clone(&self.archive.core);
        core.ledger.has_room_for(self.received)?;
        let write = move || {
            let upload = Box::new(core.packs.begin()?);
            let written = Writing { upload, hasher: Box::default(), permit }.write(&chunks);
            drop(held);
            written
        };
        let lent = self.archive.pool.begin(write).await?;
        self.state = State::Stream { lent, waiting: Vec::new(), bytes: 0 };
        Ok(())
    }

    /// Lets the pool write what is waiting into the pack, once it has written what
    /// it was given before.
    async fn drain(&mut self) -> Result<(), ArchiveError> {
        // What would not fit in the end is not written to be cut off again.
        self.archive.core.ledger.has_room_for(self.received)?;
        let State::Stream { lent, waiting, .. } = std::mem::replace(&mut self.state, State::Lost) else {
            return Err(ArchiveError::Stopping);
        };
        let writing = returned(lent).await?;
        let lent = self.archive.pool.begin(move || writing.write(&waiting)).await?;
        self.state = State::Stream { lent, waiting: Vec::new(), bytes: 0 };
        Ok(())
    }

    /// Waits until all that came is in the pack, if it goes there.
    async fn settle(&mut self) -> Result<(), ArchiveError> {
        if !matches!(self.state, State::Stream { .. }) {
            return Ok(());
        }
        self.drain().await?;
        if let State::Stream { lent, .. } = std::mem::replace(&mut self.state, State::Lost) {
            self.state = State::Placed(returned(lent).await?);
        }
        Ok(())
    }

    /// Lets the rules of coercion look at the file, and puts what they make of
    /// it in its place.
    async fn coerce(&mut self) -> Result<(), ArchiveError> {
        let core = Arc::clone(&self.archive.core);
        let peer = self.permit.peer();
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Memory { chunks, held, .. } => {
                let run = move || coerce::in_memory(&core, peer, chunks);
                let (bytes, coerced) = self.archive.pool.run(run).await?;
                let (file, original) = match coerced {
                    Some(Coerced { file, original }) => (file, Some(Box::new(original))),
                    None => (bytes, None),
                };
                self.original = original;
                self.state = State::Memory { bytes: file.len(), chunks: vec![file], held };
            }
            State::Placed(writing) => {
                // Without changes the upload goes on as it is. With changes it is
                // taken back before another begins: who holds a lane must not
                // wait for one.
                let run = move || match coerce::streamed(&core, peer, &writing.upload)? {
                    Some(coerced) => {
                        drop(writing);
                        Ok(Err(coerced))
                    }
                    None => Ok::<_, ArchiveError>(Ok(writing)),
                };
                match self.archive.pool.run(run).await? {
                    Ok(writing) => self.state = State::Placed(writing),
                    Err(coerced) => self.take_spool(coerced).await?,
                }
            }
            State::Stream { .. } | State::Waiting(_) | State::Lost => return Err(ArchiveError::Stopping),
        }
        Ok(())
    }

    /// Begins again with a changed file.
    async fn take_spool(&mut self, coerced: Coerced<Spool>) -> Result<(), ArchiveError> {
        let Coerced { file, original } = coerced;
        self.original = Some(Box::new(original));
        self.state = State::Memory { chunks: Vec::new(), bytes: 0, held: Vec::new() };
        let length = file.len();
        let file = Arc::new(file);
        let mut at = 0;
        while at < length {
            let spool = Arc::clone(&file);
            let bytes = self.archive.pool.run(move || coerce::next_of(&spool, at)).await?;
            at += bytes.len() as u64;
            self.write(bytes).await?;
        }
        self.settle().await
    }

    /// The file is whole: parses it and queues its commit. With `study`, an
    /// instance of another study is refused.
    ///
    /// # Errors
    /// When the archive cannot store anything at the moment.
    pub async fn finish(mut self, study: Option<&StudyUid>) -> Result<Pending, ArchiveError> {
        self.settle().await?;
        if self.archive.has_coercion() && self.original.is_none() && !self.is_own {
            self.coerce().await?;
        }
        let archive = Arc::clone(&self.archive);
        let (study, permit) = (study.cloned(), self.permit.clone());
        let state = std::mem::replace(&mut self.state, State::Lost);
        let finish = move || match state {
            State::Memory { chunks, held, .. } => {
                store::finish_in_memory(&archive, chunks, held, study.as_ref(), &permit)
            }
            State::Placed(Writing { upload, hasher, permit: lane }) => {
                store::finish_stream(&archive, lane, upload, hasher.finish(), study.as_ref(), &permit)
            }
            State::Stream { .. } | State::Waiting(_) | State::Lost => Err(ArchiveError::Stopping),
        };
        let pending = match self.archive.pool.run(finish).await? {
            Finished::Pending(pending) => pending,
            Finished::Waiting(waiting) => self.wait(waiting).await?,
        };
        let original = self.original.take();
        Ok(pending.changed_from(original).on_trail(self.permit.trail().cloned()))
    }

    /// Goes on once the other uploads of the same instance are over.
    async fn wait(&mut self, waiting: Box<Waiting>) -> Result<Pending, ArchiveError> {
        let instance = waiting.instance().clone();
        // Where it is taken back if the client hangs up.
        self.state = State::Waiting(waiting);
        let reservation = self.archive.core.reservations.take(&instance).await;
        let State::Waiting(waiting) = std::mem::replace(&mut self.state, State::Lost) else {
            return Err(ArchiveError::Stopping);
        };
        let (archive, permit) = (Arc::clone(&self.archive), self.permit.clone());
        self.archive.pool.run(move || waiting.go_on(&archive, reservation, &permit)).await
    }
}

impl Drop for Incoming {
    /// An upload that is cut off is taken back, which is work for the disk.
    fn drop(&mut self) {
        if matches!(self.state, State::Stream { .. } | State::Placed(_) | State::Waiting(_))
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let state = std::mem::replace(&mut self.state, State::Lost);
            runtime.spawn_blocking(move || drop(state));
        }
    }
}

/// What was lent to the pool, once that has written.
async fn returned(lent: JoinHandle<Result<Writing, ArchiveError>>) -> Result<Writing, ArchiveError> {
    lent.await.unwrap_or(Err(ArchiveError::Stopping))
}

/// Accounts for `bytes` of memory in steps; false when there is no more.
pub(super) fn hold(archive: &Archive, held: &mut Vec<OwnedSemaphorePermit>, bytes: usize) -> bool {
    const STEP_KIB: u32 = 64;
    const STEP: usize = STEP_KIB as usize * 1024;
    while held.len() * STEP < bytes {
        let Ok(permit) = Arc::clone(&archive.memory).try_acquire_many_owned(STEP_KIB) else {
            return false;
        };
        held.push(permit);
    }
    true
}

pub(super) fn join(mut chunks: Vec<Bytes>) -> Bytes {
    if chunks.len() == 1 {
        return chunks.pop().unwrap_or_default();
    }
    let mut whole = Vec::with_capacity(chunks.iter().map(Bytes::len).sum());
    for chunk in &chunks {
        whole.extend_from_slice(chunk);
    }
    whole.into()
}
