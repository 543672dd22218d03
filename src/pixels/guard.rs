//! Runs a decoder where it can be left behind: in a thread of its own, that is
//! waited for only so long. A panic there is an error here. Threads that were
//! left behind are counted, and when there are too many none is started, so that
//! hostile frames cannot take all processors one by one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use super::PixelError;

/// Threads left behind at once.
const LEFT_MAX: usize = 4;
/// Decoders recurse little; some keep tables on the stack.
const STACK_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub struct Guard {
    time_max: Duration,
    /// Threads that nobody waits for any more.
    left: Arc<AtomicUsize>,
}

const RUNNING: u8 = 0;
const FINISHED: u8 = 1;
const LEFT: u8 = 2;

/// Lives as long as its thread works, however that ends.
struct Work {
    state: Arc<AtomicU8>,
    left: Arc<AtomicUsize>,
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.state.swap(FINISHED, Ordering::SeqCst) == LEFT {
            self.left.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Guard {
    pub fn new(time_max: Duration) -> Self {
        Self { time_max, left: Arc::default() }
    }

    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PixelError> + Send + 'static,
    ) -> Result<T, PixelError> {
        if self.left.load(Ordering::SeqCst) >= LEFT_MAX {
            return Err(PixelError::Busy);
        }
        let state = Arc::new(AtomicU8::new(RUNNING));
        let at_work = Work { state: Arc::clone(&state), left: Arc::clone(&self.left) };
        let (answer, answered) = mpsc::sync_channel(1);
        let thread =
            thread::Builder::new().name("pixels".to_owned()).stack_size(STACK_BYTES).spawn(move || {
                let at_work = at_work;
                let result = work();
                drop(at_work);
                // Nobody may be waiting any more.
                let _ = answer.send(result);
            });
        if thread.is_err() {
            return Err(PixelError::Busy);
        }
        match answered.recv_timeout(self.time_max) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                self.leave(&state);
                Err(PixelError::TooSlow(self.time_max))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(PixelError::damaged("compressed", 0, "its decoder or encoder gave up on it"))
            }
        }
    }

    fn leave(&self, state: &AtomicU8) {
        // Counted first: a thread that ends now takes itself off again.
        self.left.fetch_add(1, Ordering::SeqCst);
        if state.compare_exchange(RUNNING, LEFT, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            self.left.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_and_a_runaway_cost_one_frame() {
        let patient = Guard::new(Duration::from_mins(1));
        let panicked: Result<(), _> = patient.run(|| panic!("hostile bytes"));
        assert!(matches!(panicked, Err(PixelError::Damaged { .. })));
        let guard = Guard::new(Duration::from_millis(30));
        let (stop, stopped) = mpsc::channel::<()>();
        let stopped = Arc::new(std::sync::Mutex::new(stopped));
        for _ in 0..LEFT_MAX {
            let stopped = Arc::clone(&stopped);
            let slow = guard.run(move || {
                let _ = stopped.lock().expect("nobody panics with it").recv();
                Ok(())
            });
            assert!(matches!(slow, Err(PixelError::TooSlow(_))));
        }
        assert_eq!(guard.run(|| Ok(())), Err(PixelError::Busy));
        drop(stop);
        while guard.left.load(Ordering::SeqCst) > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        let again: Result<i32, PixelError> =
            Guard { time_max: Duration::from_mins(1), ..guard }.run(|| Ok(7));
        assert_eq!(again, Ok(7));
    }
}
