//! Results that are kept in memory while there is room, and made once however
//! many ask for them at the same time.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

/// What a result is kept under: a hash of all that it follows from.
pub type Key = [u8; 32];

/// Results that were used last stay. Invariant: the bytes of all are at most
/// `bytes_max`.
pub struct Kept<V> {
    bytes_max: usize,
    inner: Mutex<Inner<V>>,
}

struct Inner<V> {
    entries: HashMap<Key, Entry<V>>,
    /// From the one that was not used for the longest time.
    order: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
    making: HashMap<Key, Arc<OnceCell<V>>>,
}

struct Entry<V> {
    value: V,
    bytes: usize,
    used: u64,
}

impl<V: Clone> Kept<V> {
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let inner = Inner {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            clock: 0,
            bytes: 0,
            making: HashMap::new(),
        };
        Self { bytes_max, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    pub fn get(&self, key: &Key) -> Option<V> {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let entry = inner.entries.get_mut(key)?;
        inner.clock += 1;
        inner.order.remove(&entry.used);
        entry.used = inner.clock;
        inner.order.insert(entry.used, *key);
        Some(entry.value.clone())
    }

    /// Keeps a value of so many bytes, and lets others go for it. One that is
    /// larger than a quarter of the room is not kept.
    pub fn put(&self, key: Key, value: V, bytes: usize) {
        if bytes > self.bytes_max / 4 {
            return;
        }
        let mut inner = self.inner();
        inner.remove(&key);
        while inner.bytes + bytes > self.bytes_max {
            let Some((_, oldest)) = inner.order.pop_first() else { break };
            inner.remove(&oldest);
        }
        inner.clock += 1;
        let used = inner.clock;
        inner.bytes += bytes;
        inner.order.insert(used, key);
        inner.entries.insert(key, Entry { value, bytes, used });
    }

    /// The value that is kept, or that somebody is making now, or else the one
    /// that `make` gives, with its bytes.
    ///
    /// # Errors
    /// What `make` answers. The next who waits then tries it again.
    pub async fn get_or_make<E, F, M>(&self, key: Key, bytes: fn(&V) -> usize, make: M) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
        M: FnOnce() -> F,
    {
        if let Some(value) = self.get(&key) {
            return Ok(value);
        }
        let cell = Arc::clone(self.inner().making.entry(key).or_default());
        let making = Making { kept: self, key, cell };
        let value = making.cell.get_or_try_init(make).await?.clone();
        self.put(key, value.clone(), bytes(&value));
        Ok(value)
    }
}

impl<V> Inner<V> {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

/// One who waits for a value. The last to leave, with it or without, clears the
/// place.
struct Making<'a, V: Clone> {
    kept: &'a Kept<V>,
    key: Key,
    cell: Arc<OnceCell<V>>,
}

impl<V: Clone> Drop for Making<'_, V> {
    fn drop(&mut self) {
        let mut inner = self.kept.inner();
        let is_last = inner
            .making
            .get(&self.key)
            // Its own and the map's.
            .is_some_and(|cell| Arc::ptr_eq(cell, &self.cell) && Arc::strong_count(cell) <= 2);
        if is_last || self.cell.initialized() {
            inner.making.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn key(byte: u8) -> Key {
        [byte; 32]
    }

    #[test]
    fn the_oldest_go_first() {
        let kept = Kept::new(100);
        for byte in 0..4 {
            kept.put(key(byte), byte, 25);
        }
        assert_eq!(kept.get(&key(0)), Some(0));
        kept.put(key(4), 4, 25);
        assert_eq!((kept.get(&key(0)), kept.get(&key(1)), kept.get(&key(4))), (Some(0), None, Some(4)));
        kept.put(key(5), 5, 26);
        assert_eq!(kept.get(&key(5)), None, "too large to be kept");
        assert_eq!(kept.inner().bytes, 100);
    }

    #[tokio::test]
    async fn ten_at_once_cost_one() {
        let kept = Kept::new(100);
        let made = AtomicUsize::new(0);
        let make = || async {
            tokio::task::yield_now().await;
            made.fetch_add(1, Ordering::Relaxed);
            Ok::<_, ()>(7)
        };
        let asked = (0..10).map(|_| kept.get_or_make(key(1), |_| 1, make));
        let answers = futures_util::future::join_all(asked).await;
        assert!(answers.into_iter().all(|answer| answer == Ok(7)));
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert!(kept.inner().making.is_empty());
        // One that fails leaves nothing behind.
        let failed = kept.get_or_make(key(2), |_| 1, || async { Err::<u8, _>("no") }).await;
        assert_eq!(failed, Err("no"));
        assert!(kept.inner().making.is_empty());
    }
}
