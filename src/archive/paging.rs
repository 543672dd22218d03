//! The pages of one search belong together (QRY-27, QRY-28): while others store
//! and delete, a client that pages by `limit` and `offset` neither loses nor
//! sees twice what was there when it began.
//!
//! A page that leaves results behind is remembered with what its search was
//! answered from: a state of the index and of the overlay, or the list of the
//! matches. The next page is cut from the same. Its rows are those of now: what
//! was deleted is left out, and the page filled up from behind it, so that both
//! who adds up what came and who adds up what was asked for goes on at the right
//! place. An offset of 0 begins anew.
//!
//! No transaction of the catalog is held open for a client. Everything is
//! bounded: sessions in number and in idle time, what they hold in sum.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    candidates::Candidate,
    page::{Places, Position},
};
use crate::storage::index;

/// Sessions of one client with one search: tabs, retries.
const OF_ONE_MAX: usize = 8;
/// Ends of pages that one session remembers.
const MARKS_MAX: usize = 1000;
/// What all sessions hold, in units of about a hundred bytes.
const WEIGHT_MAX: usize = 2_000_000;

/// How long and how many.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Without a request for a further page; 0: pages are remembered not at all.
    pub idle: Duration,
    pub sessions_max: usize,
}

/// Who asks for a page, and of what.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The same for the pages of one search of one client.
    pub key: [u8; 32],
    /// The same for requests on one connection: of two clients that look alike,
    /// each gets its own.
    pub connection: u64,
    /// What was remembered must not be used.
    pub anew: bool,
}

/// What a search was answered from.
pub(super) enum Held {
    /// The index answers without a look at the catalog.
    View {
        /// What the index did not hold, by its rows.
        overlaid: Vec<Candidate>,
        /// Studies of which the index does not hold the last.
        skipped: BTreeSet<u64>,
        index: index::View,
        /// The last change it knows.
        seq: u64,
    },
    /// What matched.
    List(Places),
}

impl Held {
    fn weight(&self) -> usize {
        match self {
            Self::View { overlaid, skipped, .. } => 10 + overlaid.len() + skipped.len(),
            Self::List(places) => 10 + places.len(),
        }
    }
}

/// A session as a search goes on with it.
pub(super) struct Resumed {
    id: u64,
    pub(super) held: Arc<Held>,
    pub(super) start: Position,
}

pub(super) struct Paging {
    options: Options,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next_id: u64,
    weight: usize,
    /// The one begun last is last.
    sessions: Vec<Session>,
}

struct Session {
    id: u64,
    key: [u8; 32],
    connection: u64,
    used: Instant,
    held: Arc<Held>,
    /// Where pages ended, by the offset that a client goes on with; the last
    /// one is last.
    marks: Vec<(usize, Position)>,
}

impl Session {
    /// Where an offset lies: where a page ended, or so far behind one.
    fn position(&self, offset: usize) -> Position {
        if let Some((_, position)) = self.marks.iter().rev().find(|(mark, _)| *mark == offset) {
            return position.clone();
        }
        let before = self.marks.iter().filter(|(mark, _)| *mark < offset).max_by_key(|(mark, _)| *mark);
        let seen = before.map_or(offset, |(mark, position)| position.seen.saturating_add(offset - mark));
        Position { seen, cut: None }
    }

    fn expects(&self, offset: usize) -> bool {
        self.marks.last().is_some_and(|(mark, _)| *mark == offset)
    }
}

impl Paging {
    pub(super) fn new(options: Options) -> Self {
        Self { options, inner: Mutex::default() }
    }

    /// What an earlier page was cut from, if this one goes on with it.
    pub(super) fn resume(&self, asker: &Asker, offset: usize) -> Option<Resumed> {
        if offset == 0 || asker.anew {
            return None;
        }
        let mut inner = self.lock();
        inner.expire(self.options.idle);
        let own = inner.sessions.iter_mut().filter(|session| session.key == asker.key);
        // Ties are the last one's.
        let session = own.max_by_key(|session| {
            (session.connection == asker.connection, session.expects(offset), session.id)
        })?;
        session.used = Instant::now();
        session.connection = asker.connection;
        Some(Resumed { id: session.id, held: Arc::clone(&session.held), start: session.position(offset) })
    }

    /// Remembers that a page of a session ended here.
    pub(super) fn advance(&self, resumed: &Resumed, offset: usize, end: Position) {
        let mut inner = self.lock();
        if let Some(session) = inner.sessions.iter_mut().find(|session| session.id == resumed.id) {
            session.marks.retain(|(mark, _)| *mark != offset);
            if session.marks.len() >= MARKS_MAX {
                session.marks.remove(0);
            }
            session.marks.push((offset, end));
        }
    }

    /// Begins a session with the first page of it, which ended here.
    pub(super) fn begin(&self, asker: &Asker, held: Held, offset: usize, end: Position) {
        let weight = held.weight();
        if self.options.idle.is_zero() || weight > WEIGHT_MAX / 4 {
            return;
        }
        let mut inner = self.lock();
        inner.expire(self.options.idle);
        // Whoever begins again on the same connection has done with the last.
        let same = |session: &Session| session.key == asker.key && session.connection == asker.connection;
        inner.remove(|session| same(session));
        let of_one = inner.sessions.iter().filter(|session| session.key == asker.key).count();
        if of_one >= OF_ONE_MAX
            && let Some(first) = inner.sessions.iter().position(|session| session.key == asker.key)
        {
            inner.drop_at(first);
        }
        while !inner.sessions.is_empty()
            && (inner.sessions.len() >= self.options.sessions_max || inner.weight + weight > WEIGHT_MAX)
        {
            inner.drop_idlest();
        }
        inner.next_id += 1;
        inner.weight += weight;
        let session = Session {
            id: inner.next_id,
            key: asker.key,
            connection: asker.connection,
            used: Instant::now(),
            held: Arc::new(held),
            marks: vec![(offset, end)],
        };
        inner.sessions.push(session);
    }

    /// Forgets what was not used for long, so that old states of the index go.
    pub(super) fn expire(&self) {
        self.lock().expire(self.options.idle);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn expire(&mut self, idle: Duration) {
        self.remove(|session| session.used.elapsed() >= idle);
    }

    fn remove(&mut self, which: impl Fn(&Session) -> bool) {
        let weight = &mut self.weight;
        self.sessions.retain(|session| {
            let goes = which(session);
            if goes {
                *weight -= session.held.weight();
            }
            !goes
        });
    }

    fn drop_idlest(&mut self) {
        let idlest = self.sessions.iter().enumerate().min_by_key(|(_, session)| session.used);
        if let Some((at, _)) = idlest {
            self.drop_at(at);
        }
    }

    fn drop_at(&mut self, at: usize) {
        let session = self.sessions.remove(at);
        self.weight -= session.held.weight();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::page::Place;

    fn paging(sessions_max: usize) -> Paging {
        Paging::new(Options { idle: Duration::from_mins(1), sessions_max })
    }

    fn asker(client: u8, connection: u64) -> Asker {
        Asker { key: [client; 32], connection, anew: false }
    }

    fn list(length: usize) -> Held {
        Held::List((0..length).map(|_| Place { study: 1, series: None, instance: None }).collect())
    }

    fn at(seen: usize) -> Position {
        Position { seen, cut: None }
    }

    fn length(resumed: &Resumed) -> usize {
        match &*resumed.held {
            Held::List(places) => places.len(),
            Held::View { .. } => 0,
        }
    }

    #[test]
    fn a_page_goes_on_where_the_last_one_ended() {
        let paging = paging(10);
        paging.begin(&asker(1, 1), list(50), 10, at(12));
        assert!(paging.resume(&asker(1, 1), 0).is_none());
        assert!(paging.resume(&asker(2, 1), 10).is_none());
        assert!(paging.resume(&Asker { anew: true, ..asker(1, 1) }, 10).is_none());
        let resumed = paging.resume(&asker(1, 1), 10).expect("a session");
        assert_eq!(resumed.start, at(12), "two were gone");
        paging.advance(&resumed, 20, at(25));
        for (offset, seen) in [(20, 25), (10, 12), (30, 35), (15, 17), (5, 5)] {
            assert_eq!(paging.resume(&asker(1, 1), offset).expect("a session").start, at(seen), "{offset}");
        }
    }

    #[test]
    fn two_clients_that_look_alike_have_their_own() {
        let paging = paging(10);
        paging.begin(&asker(1, 1), list(50), 10, at(10));
        paging.begin(&asker(1, 2), list(60), 10, at(10));
        for (connection, expected) in [(1, 50), (2, 60), (1, 50)] {
            assert_eq!(length(&paging.resume(&asker(1, connection), 10).expect("a session")), expected);
        }
        // On a connection of its own each goes on with one that waits for it.
        let first = paging.resume(&asker(1, 3), 10).expect("a session");
        paging.advance(&first, 20, at(20));
        let second = paging.resume(&asker(1, 4), 10).expect("a session");
        assert_ne!(length(&first), length(&second));
        // Whoever begins again has done with the last.
        paging.begin(&asker(1, 4), list(70), 10, at(10));
        assert_eq!(length(&paging.resume(&asker(1, 4), 10).expect("a session")), 70);
    }

    #[test]
    fn sessions_are_bounded() {
        let paging = paging(4);
        for client in 0..20 {
            paging.begin(&asker(client, 1), list(10), 10, at(10));
        }
        assert!(paging.resume(&asker(15, 1), 10).is_none());
        assert!(paging.resume(&asker(16, 1), 10).is_some());
        for connection in 0..20 {
            paging.begin(&asker(19, connection), list(10), 10, at(10));
        }
        assert_eq!(paging.lock().sessions.len(), 4);
        assert_eq!(paging.lock().weight, 80);
        paging.begin(&asker(1, 1), list(WEIGHT_MAX / 4 + 1), 10, at(10));
        assert!(paging.resume(&asker(1, 1), 10).is_none());
        for client in 0..8 {
            paging.begin(&asker(client, 1), list(WEIGHT_MAX / 4 - 10), 10, at(10));
        }
        assert!(paging.lock().weight <= WEIGHT_MAX);
        let resumed = paging.resume(&asker(7, 1), 10).expect("a session");
        for offset in 0..3000 {
            paging.advance(&resumed, offset, at(offset));
        }
        assert_eq!(paging.lock().sessions.last().map(|session| session.marks.len()), Some(MARKS_MAX));
        let none = Paging::new(Options { idle: Duration::ZERO, sessions_max: 4 });
        none.begin(&asker(1, 1), list(10), 10, at(10));
        assert!(none.resume(&asker(1, 1), 10).is_none());
    }
}
