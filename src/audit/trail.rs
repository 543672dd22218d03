//! What a request has touched, noted where the archive touches it: a permit
//! carries the trail, so that whoever adds a transaction gets its audit with the
//! permit it needs anyway. Holds identifiers only, in bounded memory, and knows
//! nothing of who asks or how the request ends.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::event::{Action, Outcome};

/// Instances of one SOP class that are told apart; more are counted as they come.
const DISTINCT_MAX: usize = 100_000;

/// Studies that one trail tells apart.
const STUDIES_MAX: usize = 10_000;

/// The patient of a study, by identifier only.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Patient {
    pub id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub issuer: String,
}

/// Whose study it is, and its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub patient: Patient,
    pub accession: String,
}

/// What was done to a study, and how it ended for these instances.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deed {
    pub study: String,
    pub action: Action,
    pub outcome: Outcome,
}

/// The instances a deed is about.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    pub subject: Option<Subject>,
    pub classes: BTreeMap<String, Instances>,
    /// Why instances were refused: Failure Reasons of a store.
    pub reasons: BTreeSet<u16>,
}

/// Instances of one SOP class.
#[derive(Debug, Clone, Default)]
pub struct Instances {
    seen: HashSet<u64>,
    more: u64,
}

impl Instances {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.seen.len() as u64 + self.more
    }

    fn see(&mut self, instance: &str) {
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let hash = KEY.get_or_init(RandomState::new).hash_one(instance);
        if self.seen.len() < DISTINCT_MAX {
            self.seen.insert(hash);
        } else if !self.seen.contains(&hash) {
            self.more += 1;
        }
    }

    fn add(&mut self, other: Self) {
        self.more += other.more;
        for hash in other.seen {
            if self.seen.len() < DISTINCT_MAX {
                self.seen.insert(hash);
            } else if !self.seen.contains(&hash) {
                self.more += 1;
            }
        }
    }

    /// So many that are not told apart: whole studies.
    fn at_least(&mut self, count: u64) {
        self.more = self.more.max(count.saturating_sub(self.seen.len() as u64));
    }
}

impl Touched {
    /// Why instances were refused, if any was.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        reason_of(&self.reasons)
    }

    /// Takes in what another request touched of the same.
    pub fn merge(&mut self, other: Self) {
        if self.subject.is_none() {
            self.subject = other.subject;
        }
        self.reasons.extend(other.reasons);
        for (class, instances) in other.classes {
            let own = self.classes.entry(class).or_default();
            if instances.seen.is_empty() { own.at_least(instances.more) } else { own.add(instances) }
        }
    }
}

/// Failure Reasons as the standard writes them.
pub(crate) fn reason_of(reasons: &BTreeSet<u16>) -> Option<String> {
    let text: Vec<String> = reasons.iter().map(|reason| format!("{reason:04X}H")).collect();
    (!text.is_empty()).then(|| format!("failure-reason {}", text.join(" ")))
}

/// Shared by the permits of one request.
#[derive(Debug, Clone, Default)]
pub struct Trail(Arc<Mutex<BTreeMap<Deed, Touched>>>);

impl Trail {
    /// Notes that an instance was refused.
    pub fn refused(&self, deed: Deed, reason: u16) {
        self.note(deed, |touched| {
            touched.reasons.insert(reason);
        });
    }

    /// Notes one instance of a study.
    pub fn instance(&self, deed: Deed, class: &str, instance: &str, subject: Option<Subject>) {
        self.note(deed, |touched| {
            if subject.is_some() {
                touched.subject = subject;
            }
            match touched.classes.get_mut(class) {
                Some(instances) => instances.see(instance),
                None => touched.classes.entry(class.to_owned()).or_default().see(instance),
            }
        });
    }

    /// Notes so many instances of each SOP class.
    pub fn classes(&self, deed: Deed, classes: &BTreeMap<String, u64>, subject: Option<Subject>) {
        self.note(deed, |touched| {
            if subject.is_some() {
                touched.subject = subject;
            }
            for (class, count) in classes {
                touched.classes.entry(class.clone()).or_default().at_least(*count);
            }
        });
    }

    fn note(&self, deed: Deed, work: impl FnOnce(&mut Touched)) {
        let mut deeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if deeds.len() < STUDIES_MAX || deeds.contains_key(&deed) {
            work(deeds.entry(deed).or_default());
        }
    }

    /// What was noted so far; the trail is empty afterwards.
    #[must_use]
    pub fn take(&self) -> BTreeMap<Deed, Touched> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_counts_once_however_often_it_is_seen() {
        let trail = Trail::default();
        let deed = || Deed { study: "1.2".into(), action: Action::Read, outcome: Outcome::Success };
        for instance in ["1", "2", "2"] {
            trail.instance(deed(), "CT", instance, None);
        }
        trail.classes(deed(), &BTreeMap::from([("CT".to_owned(), 3), ("SR".to_owned(), 1)]), None);
        let touched = trail.take().remove(&deed()).unwrap();
        assert_eq!((touched.classes["CT"].count(), touched.classes["SR"].count()), (3, 1));
        assert!(trail.take().is_empty());
    }
}
