//! The instances of series in the order of results, as a search put them lately:
//! who pages through a series, or asks for it again, has nothing read but the page.
//!
//! Invariant: an order is given only for the series as it was when it was made, which
//! its last change, its newest instance and their number tell. So many instances at most.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::page::InstanceOrder;
use crate::storage::{Stamp, catalog::SeriesRow};

/// Of all series together, some 100 bytes each.
const INSTANCES_MAX: u64 = 200_000;
/// A series of fewer is put in order in no time, and would only push others out.
const WORTH_IT: u64 = 32;

/// A series at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    series: u64,
    seq: u64,
    newest: Stamp,
    instances: u64,
}

impl From<&SeriesRow> for Name {
    fn from(row: &SeriesRow) -> Self {
        Self { series: row.id, seq: row.seq, newest: row.newest, instances: row.instances }
    }
}

pub(super) struct Orders(Mutex<Kept>);

struct Kept {
    series: LruCache<Name, Arc<[InstanceOrder]>>,
    instances: u64,
}

impl Default for Orders {
    fn default() -> Self {
        Self(Mutex::new(Kept { series: LruCache::unbounded(), instances: 0 }))
    }
}

impl Orders {
    pub fn get(&self, name: Name) -> Option<Arc<[InstanceOrder]>> {
        self.lock().series.get(&name).cloned()
    }

    /// Keeps the order of a series; those not used for longest make room.
    pub fn add(&self, name: Name, order: &Arc<[InstanceOrder]>) {
        let many = order.len() as u64;
        if !(WORTH_IT..=INSTANCES_MAX).contains(&many) {
            return;
        }
        let mut kept = self.lock();
        let old = kept.series.put(name, Arc::clone(order));
        kept.instances = kept.instances + many - old.map_or(0, |old| old.len() as u64);
        while kept.instances > INSTANCES_MAX {
            let Some((_, let_go)) = kept.series.pop_lru() else { break };
            kept.instances -= let_go.len() as u64;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::InstanceUid;

    fn name(series: u64, seq: u64) -> Name {
        Name { series, seq, newest: Stamp::default(), instances: 100 }
    }

    fn order(many: u64) -> Arc<[InstanceOrder]> {
        (0..many)
            .map(|n| (i64::try_from(n).expect("few"), InstanceUid::parse(&n.to_string()).expect("a UID")))
            .collect()
    }

    #[test]
    fn an_order_is_of_a_series_as_it_was() {
        let orders = Orders::default();
        orders.add(name(1, 5), &order(100));
        assert_eq!(orders.get(name(1, 5)).map(|order| order.len()), Some(100));
        assert!(orders.get(name(1, 6)).is_none() && orders.get(name(2, 5)).is_none());
    }

    #[test]
    fn the_memory_is_bounded() {
        let orders = Orders::default();
        let many = order(INSTANCES_MAX / 4);
        for id in 0..10 {
            orders.add(name(id, 1), &many);
            orders.add(name(id, 1), &many);
        }
        let there: Vec<u64> = (0..10).filter(|id| orders.get(name(*id, 1)).is_some()).collect();
        assert_eq!(there, [6, 7, 8, 9]);
        orders.add(name(10, 1), &order(INSTANCES_MAX + 1));
        orders.add(name(11, 1), &order(WORTH_IT - 1));
        assert!(orders.get(name(10, 1)).is_none() && orders.get(name(11, 1)).is_none());
    }
}
