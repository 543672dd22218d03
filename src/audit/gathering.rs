//! Puts the many requests of one look at a study together: the first is recorded
//! at once, the others of the interval in one record at its end, with how many
//! they were and which instances they touched. Bounded; what does not fit is
//! recorded by itself.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use time::OffsetDateTime;

use super::{
    event::{Actor, Event, Record, Study},
    trail::{Deed, Patient, Subject, Touched},
};

/// Looks at a study that are under way at the same time.
const OPEN_MAX: usize = 20_000;

/// What belongs together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    event: Event,
    anonymized: bool,
    tenant: Option<String>,
    deed: Deed,
    reason: Option<String>,
    user: String,
    address: Option<String>,
}

/// Requests that are put together.
struct Open {
    until: Instant,
    since: OffsetDateTime,
    actor: Actor,
    subject: Option<Subject>,
    /// Behind the first, which is recorded.
    requests: u64,
    touched: Touched,
}

/// One request for one study.
pub struct Access<'a> {
    pub event: Event,
    /// The tenant in whose archive.
    pub tenant: Option<&'a str>,
    pub deed: Deed,
    pub reason: Option<&'a str>,
    pub actor: &'a Actor,
    pub touched: Touched,
    pub anonymized: bool,
}

/// What is under way.
#[derive(Default)]
pub struct Gathering {
    open: HashMap<Key, Open>,
}

impl Gathering {
    /// Takes a request to those it belongs to; gives it back if it is the first.
    pub fn join<'a>(&mut self, access: Access<'a>) -> Option<Access<'a>> {
        match self.open.get_mut(&key_of(&access)) {
            Some(open) => {
                open.requests += 1;
                open.touched.merge(access.touched);
                None
            }
            None => Some(access),
        }
    }

    /// Others that follow within `interval` belong to this one. Called when the
    /// record of it is written.
    pub fn open(&mut self, access: &Access<'_>, subject: Option<Subject>, interval: Duration) {
        if interval.is_zero() || self.open.len() >= OPEN_MAX {
            return;
        }
        if let Entry::Vacant(place) = self.open.entry(key_of(access)) {
            place.insert(Open {
                until: Instant::now() + interval,
                since: OffsetDateTime::now_utc(),
                actor: access.actor.clone(),
                subject,
                requests: 0,
                touched: Touched::default(),
            });
        }
    }

    /// The records of those whose interval is over; of all if `all`.
    pub fn due(&mut self, all: bool) -> Vec<Record> {
        let now = Instant::now();
        let over: Vec<Key> = self
            .open
            .iter()
            .filter(|(_, open)| all || open.until <= now)
            .map(|(key, _)| key.clone())
            .collect();
        over.into_iter()
            .filter_map(|key| {
                let open = self.open.remove(&key).filter(|open| open.requests > 0)?;
                let access = Access {
                    event: key.event,
                    tenant: key.tenant.as_deref(),
                    deed: key.deed,
                    reason: key.reason.as_deref(),
                    actor: &open.actor,
                    touched: open.touched,
                    anonymized: key.anonymized,
                };
                let record = record_of(&access, open.subject);
                Some(Record { since: Some(open.since), requests: open.requests, ..record })
            })
            .collect()
    }
}

fn key_of(access: &Access<'_>) -> Key {
    Key {
        event: access.event,
        anonymized: access.anonymized,
        tenant: access.tenant.map(str::to_owned),
        deed: access.deed.clone(),
        reason: access.reason.map(str::to_owned),
        user: access.actor.id.clone(),
        address: whence(access.actor),
    }
}

/// From where somebody asks. A stranger with one IPv6 address has a network of them.
fn whence(actor: &Actor) -> Option<String> {
    let address = actor.address.as_ref()?;
    match address.parse() {
        Ok(IpAddr::V6(v6)) if actor.method.is_none() => {
            Some(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).to_string())
        }
        Ok(_) | Err(_) => Some(address.clone()),
    }
}

/// The record of a request for a study.
#[must_use]
pub fn record_of(access: &Access<'_>, subject: Option<Subject>) -> Record {
    let Deed { study, action, outcome } = &access.deed;
    let record = Record::new(access.event, *action, *outcome, access.actor.clone());
    let mut record = record.of_tenant(access.tenant);
    let (patient, accession) = match subject {
        Some(Subject { patient, accession }) => (Some(patient), accession),
        None => (None, String::new()),
    };
    record.patient = patient.filter(|patient: &Patient| !patient.id.is_empty());
    if !study.is_empty() {
        let classes = access.touched.classes.iter();
        let instances = classes.map(|(class, instances)| (class.clone(), instances.count())).collect();
        record.studies = vec![Study { uid: study.clone(), accession, instances }];
    }
    record.reason = access.reason.map(str::to_owned);
    record.anonymized = access.anonymized;
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Outcome};

    #[test]
    fn the_first_is_recorded_and_the_others_are_counted() {
        let actor = Actor { id: "a".into(), ..Actor::default() };
        let access = |study: &str| Access {
            event: Event::View,
            tenant: None,
            deed: Deed { study: study.into(), action: Action::Read, outcome: Outcome::Success },
            reason: None,
            actor: &actor,
            touched: Touched::default(),
            anonymized: false,
        };
        let mut gathering = Gathering::default();
        let first = gathering.join(access("1")).unwrap();
        gathering.open(&first, None, Duration::from_mins(1));
        assert!(gathering.join(access("1")).is_none() && gathering.join(access("1")).is_none());
        assert!(gathering.join(access("2")).is_some());
        let elsewhere = Access { tenant: Some("north"), ..access("1") };
        assert!(gathering.join(elsewhere).is_some(), "the same UID in another archive is another study");
        let without_names = Access { anonymized: true, ..access("1") };
        assert!(gathering.join(without_names).is_some(), "who saw no names is told from who did");
        assert!(gathering.due(false).is_empty());
        let due = gathering.due(true);
        assert_eq!((due.len(), due[0].requests), (1, 2));
        assert!(gathering.join(access("1")).is_some());
    }
}
