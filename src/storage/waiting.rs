//! What a thread of a pool gives up before it waits for something slower than a
//! disk: its place among those that run, so that the rest of the work goes on
//! while a bucket does not answer. Knows nothing of pools and of what is waited
//! for.
//!
//! Invariant: a place is given back once, when it is let go or when the work ends.

use std::any::Any;
use std::cell::RefCell;

thread_local! {
    static HELD: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
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
