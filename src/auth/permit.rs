//! What a caller may do, and to which studies and series: a [`Permit`]. Every
//! transaction of the archive asks for one, and only this room makes them, so
//! that forgetting to authorise does not compile.
//!
//! Invariant: what is not granted is refused. Grants only add up; a scope or a
//! role that is not known grants nothing.

use std::{fmt, net::IpAddr, sync::Arc};

use crate::audit::Trail;
use crate::dicom::query::{Alternative, Filter};

/// What is done to an archive. A right is one of these within a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Search: what a search says of studies, series, instances and patients.
    Search,
    /// See: metadata, frames, rendered pictures, thumbnails, single bulk values.
    View,
    /// Take files away: instances, whole bulk data, zip files.
    Download,
    /// Store instances.
    Store,
    /// Delete studies, series and instances.
    Delete,
    /// See what an instance was before it was replaced.
    Versions,
    /// Ask for storage commitment.
    Commit,
    /// Give links to studies to people without an account.
    Share,
    /// Have de-identified copies of studies made.
    Deidentify,
    /// Read the audit trail.
    Audit,
    /// Administer the server: accounts, metrics, everything of others.
    Administer,
}

impl Action {
    pub const ALL: [Self; 11] = [
        Self::Search,
        Self::View,
        Self::Download,
        Self::Store,
        Self::Delete,
        Self::Versions,
        Self::Commit,
        Self::Share,
        Self::Deidentify,
        Self::Audit,
        Self::Administer,
    ];

    /// What shows something of what is stored.
    pub const READS: [Self; 4] = [Self::Search, Self::View, Self::Download, Self::Versions];

    /// As the configuration writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::View => "view",
            Self::Download => "download",
            Self::Store => "store",
            Self::Delete => "delete",
            Self::Versions => "versions",
            Self::Commit => "commit",
            Self::Share => "share",
            Self::Deidentify => "deidentify",
            Self::Audit => "audit",
            Self::Administer => "administer",
        }
    }

    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|action| *action == self).unwrap_or_default()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// To what a right extends.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Reach {
    #[default]
    Nothing,
    /// What the filter admits; what it does not does not exist for the caller.
    Within(Arc<Filter>),
    Everything,
}

impl Reach {
    /// The filter, if it is not everything. Of nothing, one that admits nothing.
    #[must_use]
    pub fn filter(&self) -> Option<&Arc<Filter>> {
        match self {
            Self::Within(filter) => Some(filter),
            Self::Nothing | Self::Everything => None,
        }
    }

    fn add(&mut self, more: Option<&Alternative>) {
        *self = match (std::mem::take(self), more) {
            (Self::Everything, _) | (_, None) => Self::Everything,
            (Self::Nothing, Some(one)) => Self::Within(Arc::new(Filter { any_of: vec![one.clone()] })),
            (Self::Within(filter), Some(one)) => {
                let mut filter = Arc::unwrap_or_clone(filter);
                if !filter.any_of.contains(one) {
                    filter.any_of.push(one.clone());
                }
                Self::Within(Arc::new(filter))
            }
        };
    }

    /// What both extend to.
    fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => Self::Nothing,
            (Self::Everything, reach) | (reach, Self::Everything) => reach.clone(),
            (Self::Within(a), Self::Within(b)) => {
                let pairs = a.any_of.iter().flat_map(|one| b.any_of.iter().map(|other| one.and(other)));
                Self::Within(Arc::new(Filter { any_of: pairs.collect() }))
            }
        }
    }
}

/// The reach of every action.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rights {
    reach: [Reach; Action::ALL.len()],
}

impl Rights {
    #[must_use]
    pub fn everything() -> Self {
        Self { reach: std::array::from_fn(|_| Reach::Everything) }
    }

    /// Grants actions within an alternative; none: everywhere.
    pub fn grant(&mut self, actions: impl IntoIterator<Item = Action>, within: Option<&Alternative>) {
        for action in actions {
            self.reach[action.index()].add(within);
        }
    }

    /// What this and another grant.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.reach.iter_mut().zip(&other.reach) {
            match other {
                Reach::Nothing => {}
                Reach::Everything => *own = Reach::Everything,
                Reach::Within(filter) => filter.any_of.iter().for_each(|one| own.add(Some(one))),
            }
        }
    }

    /// What is granted both by this and by another.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self { reach: std::array::from_fn(|index| self.reach[index].and(&other.reach[index])) }
    }

    #[must_use]
    pub fn of(&self, action: Action) -> &Reach {
        &self.reach[action.index()]
    }
}

/// An action that the caller may not do, whatever it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the caller may not {action} here")]
pub struct Denied {
    pub action: Action,
}

/// The right to act on the archive. Only this room makes one.
#[derive(Debug, Clone)]
pub struct Permit {
    caller: Arc<str>,
    peer: Option<IpAddr>,
    /// What it is used for now.
    action: Action,
    rights: Arc<Rights>,
    trail: Option<Trail>,
}

impl Permit {
    pub(super) fn new(caller: &str, rights: Rights) -> Self {
        Self {
            caller: caller.into(),
            peer: None,
            action: Action::View,
            rights: Arc::new(rights),
            trail: None,
        }
    }

    /// The permit of every request while authentication is off: of somebody who
    /// reached the loopback interface of this machine.
    #[must_use]
    pub fn local() -> Self {
        Self::new("local", Rights::everything())
    }

    /// The permit of a command that the operator runs on this machine.
    #[must_use]
    pub fn operator() -> Self {
        Self::new("operator", Rights::everything())
    }

    /// The permit of who has not said who they are.
    #[must_use]
    pub fn nobody() -> Self {
        Self::new("anonymous", Rights::default())
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

    /// The same, to do this.
    #[must_use]
    pub fn to(self, action: Action) -> Self {
        Self { action, ..self }
    }

    /// The right to store the copies that the archive makes for the caller, who
    /// need not have that of storing: where a copy belongs and what is in it
    /// follows from the original, and nothing of it is theirs to say.
    ///
    /// # Errors
    /// When the caller may not have copies made.
    pub fn to_store_copies(&self) -> Result<Self, Denied> {
        self.require(Action::Deidentify)?;
        Ok(Self { rights: Arc::new(Rights::everything()), action: Action::Store, ..self.clone() })
    }

    /// The address that the request came from.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The caller's name, as the feed keeps it.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// The same, shared.
    #[must_use]
    pub fn caller_name(&self) -> Arc<str> {
        Arc::clone(&self.caller)
    }

    /// What it is used for.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    pub(super) fn rights(&self) -> &Rights {
        &self.rights
    }

    /// To what an action extends.
    #[must_use]
    pub fn reach(&self, action: Action) -> &Reach {
        self.rights.of(action)
    }

    #[must_use]
    pub fn allows(&self, action: Action) -> bool {
        *self.reach(action) != Reach::Nothing
    }

    /// Whether anything at all is granted.
    #[must_use]
    pub fn allows_anything(&self) -> bool {
        Action::ALL.into_iter().any(|action| self.allows(action))
    }

    /// To what an action extends that must be granted.
    ///
    /// # Errors
    /// When it is not.
    pub fn require(&self, action: Action) -> Result<&Reach, Denied> {
        match self.reach(action) {
            Reach::Nothing => Err(Denied { action }),
            reach @ (Reach::Within(_) | Reach::Everything) => Ok(reach),
        }
    }

    /// To what extends what it is used for.
    ///
    /// # Errors
    /// When that is not granted.
    pub fn required(&self) -> Result<&Reach, Denied> {
        self.require(self.action)
    }

    /// Tells one set of rights from another, for what is remembered of callers.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("{}\0{:?}\0{:?}", self.caller, self.action, self.required().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_add_up_and_narrow() {
        let patient = |id| Alternative::of_patient(id, None);
        let mut rights = Rights::default();
        assert_eq!(*rights.of(Action::View), Reach::Nothing);
        rights.grant([Action::View], Some(&patient("1")));
        rights.grant([Action::View, Action::Search], Some(&patient("2")));
        rights.grant([Action::Store], None);
        let number = |rights: &Rights, action| rights.of(action).filter().map(|filter| filter.any_of.len());
        assert_eq!((number(&rights, Action::View), number(&rights, Action::Search)), (Some(2), Some(1)));
        let mut narrow = Rights::default();
        narrow.grant([Action::View, Action::Store, Action::Delete], Some(&patient("3")));
        let both = rights.and(&narrow);
        assert_eq!(number(&both, Action::View), Some(2), "either of two, and the third");
        assert_eq!(number(&both, Action::Store), Some(1));
        assert_eq!(*both.of(Action::Delete), Reach::Nothing);
        rights.grant([Action::View], None);
        assert_eq!(*rights.of(Action::View), Reach::Everything);
        let permit = Permit::new("somebody", rights).to(Action::Delete);
        assert_eq!(permit.required(), Err(Denied { action: Action::Delete }));
        assert!(permit.allows(Action::Store) && !Permit::nobody().allows(Action::Search));
    }
}
