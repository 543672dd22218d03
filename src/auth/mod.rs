//! Who may do what: a caller becomes a [`Permit`], and every transaction of
//! the archive asks for one, so that forgetting to authorise does not compile.
//!
//! Authentication is off in this version; Hilum then listens on loopback only
//! (see [`crate::config::Config::check`]), and every caller is the local one.

pub mod event;
pub mod identity;

use std::net::IpAddr;

use crate::audit::Trail;
pub use identity::{Identity, Method};

/// The right to act on the archive. Only this module makes one.
#[derive(Debug, Clone)]
pub struct Permit {
    caller: Caller,
    peer: Option<IpAddr>,
    trail: Option<Trail>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Caller {
    /// Somebody who reached the loopback interface of this machine.
    Local,
    /// The operator, by a command on this machine.
    Operator,
}

impl Permit {
    /// The permit of every request while authentication is off.
    #[must_use]
    pub fn local() -> Self {
        Self { caller: Caller::Local, peer: None, trail: None }
    }

    /// The permit of a command that the operator runs on this machine.
    #[must_use]
    pub fn operator() -> Self {
        Self { caller: Caller::Operator, peer: None, trail: None }
    }

    /// The same, from an address.
    #[must_use]
    pub fn from_peer(self, peer: Option<IpAddr>) -> Self {
        Self { peer, ..self }
    }

    /// The same, noting what it is used for.
    #[must_use]
    pub fn on_trail(self, trail: Option<Trail>) -> Self {
        Self { trail, ..self }
    }

    /// Where it is noted what it is used for.
    #[must_use]
    pub fn trail(&self) -> Option<&Trail> {
        self.trail.as_ref()
    }

    /// The address that the request came from.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The caller's name, as the feed keeps it.
    #[must_use]
    pub fn caller(&self) -> &'static str {
        match self.caller {
            Caller::Local => "local",
            Caller::Operator => "operator",
        }
    }
}
