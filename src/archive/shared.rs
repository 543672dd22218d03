//! What the archives of one server share, so that many cost no more memory and
//! processors than one: the pools, the memory of what arrives, the lanes, what
//! was drawn and decoded, and the turn of who writes an index.
//!
//! Invariant: what one archive keeps here no other gets: all that is kept is
//! under the number of the archive that made it.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Semaphore;

use super::{Options, pictures, pixels, pool::Pool};

/// Indexes written at the same time: each needs the memory of a writer.
const INDEXING_MAX: usize = 2;

/// What archives share.
#[derive(Clone)]
pub struct Shared {
    pub(super) pool: Pool,
    /// Where frames are made: apart, so that reads that need none stay fast.
    pub(super) pixel_pool: Pool,
    /// Memory for arriving files, in KiB.
    pub(super) memory: Arc<Semaphore>,
    /// Streams into packs.
    pub(super) lanes: Arc<Semaphore>,
    pub(super) frames: Arc<pixels::Workshop>,
    pub(super) pictures: Arc<pictures::Gallery>,
    pub(super) indexing: Arc<Turns>,
    opened: Arc<AtomicU64>,
}

impl Shared {
    /// As one archive with these options would have it.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        Self {
            pool: Pool::new(options.pool_running_max, options.pool_waiting_max),
            pixel_pool: Pool::new(options.pixels.running_max, options.pixels.waiting_max),
            memory: Arc::new(Semaphore::new(
                usize::try_from(options.upload_memory_bytes_max / 1024).unwrap_or(usize::MAX >> 4),
            )),
            lanes: Arc::new(Semaphore::new(options.packs.streams_max)),
            frames: Arc::new(pixels::Workshop::new(&options.pixels)),
            pictures: Arc::new(pictures::Gallery::new(options.pictures.cache_bytes)),
            indexing: Arc::new(Turns { free: Mutex::new(INDEXING_MAX), freed: Condvar::new() }),
            opened: Arc::default(),
        }
    }

    /// The number of an archive that is opened now.
    pub(super) fn number(&self) -> u64 {
        self.opened.fetch_add(1, Ordering::Relaxed)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("opened", &self.opened).finish_non_exhaustive()
    }
}

/// Turns that few have at the same time.
pub(super) struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A turn. Dropping it gives it to the next.
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for a turn.
    pub(super) fn take(&self) -> Turn<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
