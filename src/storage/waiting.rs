//! What a thread does about waiting. One of a pool gives its place among those
//! that run up before it waits for something slower than a disk, so that the
//! rest of the work goes on while a bucket does not answer. One that must not
//! wait at all tries whether memory has what it needs. Knows nothing of pools
//! and of what is waited for.
//!
//! Invariants: a place is given back once, when it is let go or when the work
//! ends. While [`at_once`] runs, whatever would read from a disk asks [`may_wait`]
//! first, or reads only what the system has in memory.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;

thread_local! {
    static HELD: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
    static PATIENCE: Cell<Patience> = const { Cell::new(Patience::Waits) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Waits,
    /// Nothing has been waited for.
    AtOnce,
    /// Something would have had to be.
    Lost,
}

/// Does a piece of work that reads, if it can be done without waiting for a
/// disk; `None` if it cannot, whatever the work made of that.
pub fn at_once<T>(work: impl FnOnce() -> T) -> Option<T> {
    /// Also when the work panics.
    struct Restored;
    impl Drop for Restored {
        fn drop(&mut self) {
            PATIENCE.set(Patience::Waits);
        }
    }
    PATIENCE.set(Patience::AtOnce);
    let _restored = Restored;
    let done = work();
    (PATIENCE.get() == Patience::AtOnce).then_some(done)
}

/// Whether this thread must not wait.
#[must_use]
pub fn is_at_once() -> bool {
    PATIENCE.get() != Patience::Waits
}

/// Asked before something is waited for.
///
/// # Errors
/// `WouldBlock` where this thread must not.
pub fn may_wait() -> io::Result<()> {
    if is_at_once() {
        PATIENCE.set(Patience::Lost);
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(())
}

/// The work that a place is held for. When it ends, so does the holding.
pub struct Work(());

/// Holds `place` for the work of this thread.
#[must_use]
pub fn hold(place: impl Any) -> Work {
    HELD.with(|held| *held.borrow_mut() = Some(Box::new(place)));
    Work(())
}

/// Gives the place up: somebody else may run. Does nothing where none is held.
pub fn let_go() {
    let place = HELD.with(|held| held.borrow_mut().take());
    drop(place);
}

impl Drop for Work {
    fn drop(&mut self) {
        let_go();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_would_wait_is_not_done_at_once() {
        assert_eq!(at_once(is_at_once), Some(true));
        assert_eq!(at_once(|| may_wait().is_err()), None);
        assert!(!is_at_once() && may_wait().is_ok());
        let panicked = std::panic::catch_unwind(|| at_once(|| panic!("as meant")));
        assert!(panicked.is_err() && !is_at_once());
    }

    #[test]
    fn a_place_is_given_back_once() {
        let place = Arc::new(());
        let work = hold(Arc::clone(&place));
        assert_eq!(Arc::strong_count(&place), 2);
        let_go();
        assert_eq!(Arc::strong_count(&place), 1);
        let_go();
        drop(work);
        let work = hold(Arc::clone(&place));
        drop(work);
        assert_eq!(Arc::strong_count(&place), 1);
    }
}
