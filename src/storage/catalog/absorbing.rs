//! A disk that refuses writes must not take the reads along: redb gives up a
//! file with the first error. Here a write that is refused, and all after it, are
//! kept in memory, where reads find them, and the file stays as its last durable
//! state left it. With each flush it is tried to go on: in a new file, which is
//! whole and flushed before it takes the name of the old one, for of a file of
//! which a flush failed nobody knows what is on the disk.
//!
//! Invariant: while something is absorbed nothing is durable, and [`Strain`] says
//! so. A crash then loses no more than what the packs hold.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{BackendError, StorageBackend};

use super::checked::{BLOCK, BLOCK_BYTES, HEADER_BYTES_MAX};

/// Beyond this a write is refused after all, and with it the database is given up.
const ABSORBED_BYTES_MAX: u64 = 128 << 20;
/// Blocks that are copied at once into a new file.
const COPY_BLOCKS: u64 = 256;

/// What is known of a disk that refuses.
#[derive(Debug, Default)]
pub(super) struct Strain {
    absorbed: AtomicU64,
    why: Mutex<Option<String>>,
}

impl Strain {
    /// Why nothing is durable at present; none when all is well.
    pub fn why(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that only memory has.
    pub fn bytes(&self) -> u64 {
        self.absorbed.load(Ordering::Relaxed)
    }

    fn set(&self, why: Option<String>) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }
}

/// Makes an empty file that is to take the place of the one in use, and puts it there.
pub(super) trait Successor: Send + Sync {
    /// # Errors
    /// What the disk says.
    fn begin(&self) -> io::Result<Arc<dyn StorageBackend>>;

    /// # Errors
    /// What the disk says.
    fn put_in_place(&self) -> io::Result<()>;
}

pub(super) struct Absorbing {
    inner: RwLock<Arc<dyn StorageBackend>>,
    state: Mutex<State>,
    strain: Arc<Strain>,
    successor: Box<dyn Successor>,
}

#[derive(Default)]
struct State {
    absorbs: bool,
    length: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
    header: Option<Vec<u8>>,
}

impl fmt::Debug for Absorbing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Absorbing").field("strain", &self.strain).finish_non_exhaustive()
    }
}

impl Absorbing {
    pub fn new(inner: Arc<dyn StorageBackend>, strain: Arc<Strain>, successor: Box<dyn Successor>) -> Self {
        strain.set(None);
        strain.absorbed.store(0, Ordering::Relaxed);
        Self { inner: RwLock::new(inner), state: Mutex::default(), strain, successor }
    }

    fn inner(&self) -> Arc<dyn StorageBackend> {
        Arc::clone(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on memory takes what the disk does not.
    fn begin(&self, state: &mut State, error: &io::Error) -> io::Result<()> {
        tracing::error!(%error, "the disk refuses the catalog, which goes on in memory; the packs hold all of it");
        *state = State { absorbs: true, length: self.inner().len()?, ..State::default() };
        self.strain.set(Some(error.to_string()));
        Ok(())
    }

    fn absorb(&self, state: &mut State, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 && data.len() <= HEADER_BYTES_MAX {
            let mut header = vec![0; HEADER_BYTES_MAX];
            // The write that was refused may have spoilt it; redb writes the whole.
            if self.read_absorbed(state, 0, &mut header).is_err() {
                header.fill(0);
            }
            header.get_mut(..data.len()).ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(data);
            state.header = Some(header);
            return Ok(());
        }
        for (block, bytes) in (offset / BLOCK_BYTES..).zip(data.chunks(BLOCK)) {
            state.blocks.insert(block, bytes.into());
        }
        let bytes = state.blocks.len() as u64 * BLOCK_BYTES;
        self.strain.absorbed.store(bytes, Ordering::Relaxed);
        if bytes > ABSORBED_BYTES_MAX { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_absorbed(&self, state: &State, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.inner();
        if offset == 0 && out.len() <= HEADER_BYTES_MAX {
            return match state.header.as_ref().and_then(|header| header.get(..out.len())) {
                Some(header) => {
                    out.copy_from_slice(header);
                    Ok(())
                }
                None => inner.read(0, out),
            };
        }
        let end = inner.len()?;
        for (block, bytes) in (offset / BLOCK_BYTES..).zip(out.chunks_mut(BLOCK)) {
            match state.blocks.get(&block) {
                Some(absorbed) => bytes.copy_from_slice(absorbed),
                None if (block + 1) * BLOCK_BYTES <= end => inner.read(block * BLOCK_BYTES, bytes)?,
                None => bytes.fill(0),
            }
        }
        Ok(())
    }

    /// Goes on in a new file, if the disk takes it.
    fn go_on(&self, state: &mut State) -> io::Result<()> {
        let next = self.successor.begin()?;
        next.set_len(state.length)?;
        let mut header = [0; HEADER_BYTES_MAX];
        self.read_absorbed(state, 0, &mut header)?;
        next.write(0, &header)?;
        let blocks = state.length / BLOCK_BYTES;
        // The header is in the first block, alone.
        let mut block = 1;
        while block < blocks {
            let take = COPY_BLOCKS.min(blocks - block);
            let mut bytes = vec![0; usize::try_from(take * BLOCK_BYTES).unwrap_or(BLOCK)];
            self.read_absorbed(state, block * BLOCK_BYTES, &mut bytes)?;
            for (block, bytes) in (block..).zip(bytes.chunks(BLOCK)) {
                if bytes.iter().any(|&byte| byte != 0) {
                    next.write(block * BLOCK_BYTES, bytes)?;
                }
            }
            block += take;
        }
        next.sync_data()?;
        self.successor.put_in_place()?;
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = next;
        *state = State::default();
        self.strain.absorbed.store(0, Ordering::Relaxed);
        self.strain.set(None);
        tracing::warn!("the disk takes the catalog again, which goes on in a new file");
        Ok(())
    }
}

impl StorageBackend for Absorbing {
    fn len(&self) -> io::Result<u64> {
        let state = self.state();
        if state.absorbs { Ok(state.length) } else { self.inner().len() }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if state.absorbs {
            return self.read_absorbed(&state, offset, out);
        }
        drop(state);
        self.inner().read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        if !state.absorbs {
            match self.inner().set_len(length) {
                Ok(()) => return Ok(()),
                Err(error) => self.begin(&mut state, &error)?,
            }
        }
        state.length = length;
        state.blocks.retain(|&block, _| block * BLOCK_BYTES < length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        if !state.absorbs {
            drop(state);
            let Err(error) = self.inner().sync_data() else { return Ok(()) };
            let mut state = self.state();
            return self.begin(&mut state, &error);
        }
        if let Err(error) = self.go_on(&mut state) {
            self.strain.set(Some(error.to_string()));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if !state.absorbs {
            match self.inner().write(offset, data) {
                Ok(()) => return Ok(()),
                Err(error) => self.begin(&mut state, &error)?,
            }
        }
        self.absorb(&mut state, offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner().close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner().try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner().try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner().lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner().lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner().unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner().query_lock_range(start, end)
    }
}
