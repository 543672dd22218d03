//! The pool where everything runs that blocks: parsing, hashing, reads of packs
//! and catalog. Bounded in what runs and in what waits, so that overload is an
//! answer (503) and not a growing queue.

use std::sync::Arc;

use tokio::{sync::Semaphore, task::JoinHandle};

use super::ArchiveError;
use crate::storage::waiting;

#[derive(Debug, Clone)]
pub struct Pool {
    running: Arc<Semaphore>,
    /// Places of those that run and those that wait.
    places: Arc<Semaphore>,
}

impl Pool {
    /// `running_max` at once, `waiting_max` more in the queue.
    #[must_use]
    pub fn new(running_max: usize, waiting_max: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running_max)),
            places: Arc::new(Semaphore::new(running_max + waiting_max)),
        }
    }

    /// Runs a blocking piece of work and waits for its answer.
    ///
    /// # Errors
    /// [`ArchiveError::Busy`] when the queue is full; what the work answers.
    pub async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<ArchiveError> + Send + 'static,
        F: FnOnce() -> Result<T, E> + Send + 'static,
    {
        let task = self.begin(work).await?;
        task.await.unwrap_or_else(|_| Err(ArchiveError::Stopping.into()))
    }

    /// Begins a blocking piece of work as soon as there is room for it. Its answer,
    /// if nobody waits for it any more, is dropped where the work ran.
    ///
    /// # Errors
    /// [`ArchiveError::Busy`] when the queue is full.
    pub async fn begin<T, F>(&self, work: F) -> Result<JoinHandle<T>, ArchiveError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ArchiveError::Busy)?;
        let permit = Arc::clone(&self.running).acquire_owned().await.map_err(|_| ArchiveError::Stopping)?;
        // The permit goes with the work: a caller that hangs up does not make
        // room while its work still runs. Work that waits for a bucket gives it up.
        Ok(tokio::task::spawn_blocking(move || {
            let held = waiting::hold(permit);
            let answer = work();
            drop(held);
            drop(place);
            answer
        }))
    }
}
