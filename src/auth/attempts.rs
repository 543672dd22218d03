//! How often somebody may be wrong. Counted per name that was typed, whether or
//! not there is such an account, and per address; in bounded memory.
//!
//! An attempt counts as wrong from its beginning and is taken back if it was
//! right, so that many at the same time are no way around the count.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong attempts that need not be waited for.
const FREE: u32 = 2;
/// An address may stand for a whole hospital.
const ADDRESS_FACTOR: u32 = 10;
const ENTRIES_MAX: usize = 50_000;

pub struct Attempts {
    failures_max: u32,
    lock: Duration,
    entries: Mutex<HashMap<Key, Entry>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    /// Until when nothing more is tried.
    until: Instant,
    last: Instant,
}

impl Attempts {
    #[must_use]
    pub fn new(failures_max: u32, lock: Duration) -> Self {
        Self { failures_max, lock, entries: Mutex::default() }
    }

    /// Begins an attempt.
    ///
    /// # Errors
    /// How long to wait before the next, when there were too many.
    pub fn begin(&self, name: &str, peer: Option<IpAddr>) -> Result<(), Duration> {
        self.begin_at(name, peer, Instant::now())
    }

    fn begin_at(&self, name: &str, peer: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let keys = keys(name, peer);
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let wait =
            keys.iter().filter_map(|key| Some(entries.get(key)?.until.saturating_duration_since(now))).max();
        if let Some(wait) = wait.filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        for key in keys {
            if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
                self.make_room(&mut entries, now);
            }
            let factor = if matches!(key, Key::Address(_)) { ADDRESS_FACTOR } else { 1 };
            let entry = entries.entry(key).or_insert(Entry { failures: 0, until: now, last: now });
            if now.saturating_duration_since(entry.last) > self.lock {
                entry.failures = 0;
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.last = now;
            entry.until = now + self.wait_after(entry.failures, factor);
        }
        Ok(())
    }

    /// The attempt was right: it, and those before it, are forgotten. Those of
    /// its address are not: somebody with one account may be guessing at others.
    pub fn succeeded(&self, name: &str, peer: Option<IpAddr>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys(name, peer) {
            match &key {
                Key::Name(_) => drop(entries.remove(&key)),
                Key::Address(_) => {
                    if let Some(entry) = entries.get_mut(&key) {
                        entry.failures = entry.failures.saturating_sub(1);
                        entry.until = entry.last;
                    }
                }
            }
        }
    }

    fn wait_after(&self, failures: u32, factor: u32) -> Duration {
        let limit = self.failures_max.saturating_mul(factor);
        if failures >= limit {
            return self.lock;
        }
        match failures.saturating_sub(FREE * factor).div_ceil(factor) {
            0 => Duration::ZERO,
            over => Duration::from_secs(1 << (over - 1).min(16)).min(self.lock),
        }
    }

    /// Forgets what has lost its meaning, else half of those longest quiet.
    fn make_room(&self, entries: &mut HashMap<Key, Entry>, now: Instant) {
        entries.retain(|_, entry| now.saturating_duration_since(entry.last) <= self.lock);
        if entries.len() >= ENTRIES_MAX {
            let mut last: Vec<Instant> = entries.values().map(|entry| entry.last).collect();
            let middle = last.len() / 2;
            let (_, median, _) = last.select_nth_unstable(middle);
            let median = *median;
            // Those that are locked stay as long as there are others.
            entries.retain(|_, entry| entry.last > median || entry.failures >= self.failures_max);
            if entries.len() >= ENTRIES_MAX {
                entries.retain(|_, entry| entry.last > median);
            }
        }
    }
}

fn keys(name: &str, peer: Option<IpAddr>) -> Vec<Key> {
    let name = Key::Name(name.chars().take(64).collect());
    // Who has one IPv6 address has a whole network of them.
    let peer = peer.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    });
    [Some(name), peer.map(Key::Address)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: Duration = Duration::from_mins(15);

    #[test]
    fn each_wrong_password_is_waited_for_longer_than_the_last() {
        let attempts = Attempts::new(10, LOCK);
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..10 {
            attempts.begin_at("ada", None, now).unwrap();
            let wait = attempts.begin_at("ada", None, now).err().unwrap_or_default();
            waits.push(wait.as_secs());
            // Two in a row are free, so the look above may have been one.
            now += wait;
        }
        assert!(waits.is_sorted() && waits.contains(&900) && waits.contains(&1), "{waits:?}");
        assert!(attempts.begin_at("bob", None, now).is_ok(), "another name");
    }

    #[test]
    fn a_right_one_forgets_the_wrong_ones() {
        let attempts = Attempts::new(3, LOCK);
        let now = Instant::now();
        attempts.begin_at("ada", None, now).unwrap();
        attempts.begin_at("ada", None, now).unwrap();
        attempts.succeeded("ada", None);
        attempts.begin_at("ada", None, now).unwrap();
        attempts.begin_at("ada", None, now).unwrap();
        attempts.begin_at("ada", None, now).unwrap();
        assert_eq!(attempts.begin_at("ada", None, now), Err(LOCK));
        assert!(attempts.begin_at("ada", None, now + LOCK).is_ok(), "it is over");
    }

    #[test]
    fn an_address_that_tries_many_names_is_stopped() {
        let attempts = Attempts::new(10, LOCK);
        let peer = "2001:db8::1".parse().ok();
        let now = Instant::now();
        let stopped = (0..100).find(|number| attempts.begin_at(&number.to_string(), peer, now).is_err());
        assert!(stopped.is_some_and(|stopped| stopped <= 21), "{stopped:?}");
        let neighbour = "2001:db8::2".parse().ok();
        assert!(attempts.begin_at("x", neighbour, now).is_err(), "of the same network");
        assert!(attempts.begin_at("x", "192.0.2.1".parse().ok(), now).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_the_locked_stay_locked() {
        let attempts = Attempts::new(3, LOCK);
        let start = Instant::now();
        for _ in 0..3 {
            attempts.begin_at("ada", None, start).unwrap();
        }
        for number in 0..ENTRIES_MAX * 2 {
            let now = start + Duration::from_millis(number as u64 / 200);
            attempts.begin_at(&format!("x{number}"), None, now).unwrap();
        }
        assert!(attempts.entries.lock().unwrap().len() <= ENTRIES_MAX);
        assert!(attempts.begin_at("ada", None, start + Duration::from_secs(1)).is_err());
    }
}
