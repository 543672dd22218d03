//! The archive's clock: stamps that are unique and rise, even when the
//! machine's clock is set back.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::storage::Stamp;

#[derive(Debug, Default)]
pub struct Clock {
    last: AtomicU64,
}

impl Clock {
    /// A stamp later than every one before it.
    pub fn stamp(&self) -> Stamp {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let next = now.max(last + 1);
            match self.last.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Stamp(next),
                Err(other) => last = other,
            }
        }
    }

    /// Makes every later stamp later than `seen`, which stands in a pack.
    pub fn observe(&self, seen: Stamp) {
        self.last.fetch_max(seen.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_rise_past_what_was_seen() {
        let clock = Clock::default();
        let first = clock.stamp();
        assert!(clock.stamp() > first);
        clock.observe(Stamp(first.0 + 1_000_000_000));
        assert!(clock.stamp().0 > first.0 + 1_000_000_000);
    }
}
