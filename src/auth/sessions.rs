//! Sessions of browsers: a random cookie stands for who logged in. Kept in
//! memory only (a restart ends them all), by the digest of the cookie, and
//! never more than the configuration allows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Identity, secret};

pub struct Sessions {
    idle: Duration,
    whole: Duration,
    sessions_max: usize,
    sessions: Mutex<HashMap<String, Session>>,
}

/// Whose a session is.
#[derive(Debug, Clone)]
pub enum Owner {
    /// Of a local account, as it is at each request, as long as its epoch is
    /// the one at the login.
    Account { name: String, epoch: u64 },
    /// As an issuer's token said at the login.
    Issuer(Arc<Identity>),
    /// Of a share link that was opened: no session, but a pass.
    Share { id: String },
}

/// A session that goes on.
#[derive(Debug, Clone)]
pub struct Session {
    pub owner: Owner,
    /// What a page sends along to show that it is of this server.
    pub csrf: String,
    last: Instant,
    ends: Instant,
}

impl Sessions {
    #[must_use]
    pub fn new(idle: Duration, whole: Duration, sessions_max: usize) -> Self {
        Self { idle, whole, sessions_max, sessions: Mutex::default() }
    }

    /// Begins a session; the value of its cookie, which nobody has had before.
    #[must_use]
    pub fn begin(&self, owner: Owner) -> String {
        let cookie = secret::random::<32>();
        let now = Instant::now();
        let session = Session { owner, csrf: secret::random::<32>(), last: now, ends: now + self.whole };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= self.sessions_max {
            sessions.retain(|_, session| self.goes_on(session, now));
        }
        while sessions.len() >= self.sessions_max {
            let Some(key) = dispensable(&sessions, &session.owner) else { break };
            sessions.remove(&key);
        }
        sessions.insert(secret::digest(&cookie), session);
        cookie
    }

    /// The session of a cookie, which is used now.
    #[must_use]
    pub fn get(&self, cookie: &str) -> Option<Session> {
        let now = Instant::now();
        let key = secret::digest(cookie);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get_mut(&key)?;
        if !self.goes_on(session, now) {
            sessions.remove(&key);
            return None;
        }
        session.last = now;
        Some(session.clone())
    }

    /// Ends a session.
    pub fn end(&self, cookie: &str) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&secret::digest(cookie));
    }

    fn goes_on(&self, session: &Session, now: Instant) -> bool {
        now < session.ends && now.saturating_duration_since(session.last) < self.idle
    }
}

/// Which session ends where there are too many, with the next one: the longest
/// unused of whoever has the most. So nobody ends those of others by beginning
/// many, as who has a link without a password can.
fn dispensable(sessions: &HashMap<String, Session>, next: &Owner) -> Option<String> {
    let mut counts = HashMap::from([(next.key(), 1_usize)]);
    for session in sessions.values() {
        *counts.entry(session.owner.key()).or_default() += 1;
    }
    let most = counts.values().max()?;
    let of_those = sessions.iter().filter(|(_, session)| counts.get(&session.owner.key()) == Some(most));
    of_those.min_by_key(|(_, session)| session.last).map(|(key, _)| key.clone())
}

impl Owner {
    /// Tells one from another.
    fn key(&self) -> (u8, &str) {
        match self {
            Self::Account { name, .. } => (0, name),
            Self::Issuer(identity) => (1, &identity.subject),
            Self::Share { id } => (2, id),
        }
    }
}

impl Session {
    /// After which it ends in any case.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner::Account { name: "ada".to_owned(), epoch: 0 }
    }

    #[test]
    fn sessions_end_idle_at_last_and_when_told() {
        let hour = Duration::from_hours(1);
        let sessions = Sessions::new(hour, hour, 10);
        let cookie = sessions.begin(owner());
        assert!(sessions.get(&cookie).is_some() && sessions.get("other").is_none());
        sessions.end(&cookie);
        assert!(sessions.get(&cookie).is_none());
        let sessions = Sessions::new(hour, Duration::ZERO, 10);
        assert!(sessions.get(&sessions.begin(owner())).is_none(), "over");
        let sessions = Sessions::new(Duration::from_millis(20), hour, 10);
        let cookie = sessions.begin(owner());
        std::thread::sleep(Duration::from_millis(30));
        assert!(sessions.get(&cookie).is_none(), "idle");
    }

    #[test]
    fn the_longest_unused_makes_room() {
        let hour = Duration::from_hours(1);
        let sessions = Sessions::new(hour, hour, 2);
        let first = sessions.begin(owner());
        let second = sessions.begin(owner());
        assert!(sessions.get(&first).is_some());
        let third = sessions.begin(owner());
        assert!(sessions.get(&first).is_some() && sessions.get(&third).is_some());
        assert!(sessions.get(&second).is_none());
    }
}
