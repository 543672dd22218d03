//! Share links: who comes by one, and to what it extends. A link is opened once
//! (which counts) and gives a pass for a while; the pass is what each request
//! shows.
//!
//! Invariant: a link never shows more than who gave it may see at the moment it
//! is used, and nothing but its studies.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    Authentication, Identity, LoginError, Method, Permit, Rights, Roles, Tenant,
    authentication::now_seconds,
    password::{self, PasswordError},
    permit::{Action, Reach},
    secret,
    sessions::Owner,
};
use crate::{
    dicom::query::Alternative,
    storage::shares::{Share, SharesError},
};

/// How a pass begins.
pub const PASS_PREFIX: &str = "share_";
/// Shorter passwords of links are refused.
const PASSWORD_CHARACTERS_MIN: usize = 8;

/// Why a link opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is none of this secret.
    #[error("there is no such link")]
    Unknown,
    #[error("the link {0}")]
    Ended(&'static str),
    #[error("the link has a password")]
    PasswordNeeded,
    #[error("the password of the link is wrong")]
    WrongPassword,
    #[error("too many wrong passwords")]
    Wait(Duration),
    #[error("too much is under way")]
    Busy,
    #[error(transparent)]
    Shares(#[from] SharesError),
}

/// What a new link is to be.
#[derive(Debug, Clone, Default)]
pub struct NewShare {
    pub label: Option<String>,
    pub studies: Vec<String>,
    pub download: bool,
    pub deidentified: bool,
    pub password: Option<String>,
    pub expires: u64,
    pub uses_max: Option<u32>,
    /// The tenant whose studies they are.
    pub tenant: Option<String>,
}

/// To what a request by a link extends.
#[derive(Debug, Clone)]
pub struct Grant {
    pub studies: Vec<String>,
    pub download: bool,
    pub deidentified: bool,
    /// Who gave the link, as they are now.
    pub by: Identity,
}

impl Grant {
    fn of(share: &Share, by: Identity) -> Self {
        let Share { studies, download, deidentified, .. } = share;
        Self { studies: studies.clone(), download: *download, deidentified: *deidentified, by }
    }
}

impl Authentication {
    /// What is kept of a new link, and its secret text, which nobody can be told
    /// again. Not kept yet. Blocks.
    ///
    /// # Errors
    /// When its password must not be taken.
    pub fn new_share(&self, by: &Identity, new: NewShare) -> Result<(Share, String), PasswordError> {
        let password = match &new.password {
            Some(password) => Some(password::hash("", password, PASSWORD_CHARACTERS_MIN)?),
            None => None,
        };
        let secret = secret::random::<32>();
        let identity = serde_json::to_value(by).unwrap_or_default();
        let share = Share::new(secret::new_id(), secret::digest(&secret), by.subject.clone(), identity);
        let text = format!("{}.{secret}", share.id);
        let share = Share {
            label: new.label,
            studies: new.studies,
            download: new.download,
            deidentified: new.deidentified,
            password,
            created: now_seconds(),
            expires: new.expires,
            uses_max: new.uses_max,
            tenant: new.tenant,
            ..share
        };
        Ok((share, text))
    }

    /// The link of a secret text to studies of this archive, if it goes on.
    ///
    /// # Errors
    /// When there is none, or it has ended.
    pub fn link(&self, text: &str, tenant: &Tenant) -> Result<Arc<Share>, LinkError> {
        let (id, secret) = text.split_once('.').ok_or(LinkError::Unknown)?;
        let share = self.shares.get(id);
        let kept = share.as_ref().map_or("", |share| share.digest.as_str());
        let fits = secret::same(&secret::digest(secret), kept);
        let share = share.filter(|share| fits && is_of(share, tenant)).ok_or(LinkError::Unknown)?;
        self.giver(&share)?;
        if share.uses_max.is_some_and(|max| share.uses >= max) {
            return Err(LinkError::Ended("was used as often as it could be"));
        }
        Ok(share)
    }

    /// Opens a link: a use of it is counted, and it gives a pass.
    ///
    /// # Errors
    /// When it opens nothing.
    pub async fn open_link(
        self: &Arc<Self>,
        share: &Share,
        password: Option<&str>,
        peer: Option<IpAddr>,
    ) -> Result<String, LinkError> {
        if let Some(kept) = &share.password {
            let password = password.filter(|text| !text.is_empty()).ok_or(LinkError::PasswordNeeded)?;
            let name = format!("link {}", share.id);
            self.attempts.begin(&name, peer).map_err(LinkError::Wait)?;
            let verified = self.verify(Some(kept.clone()), password).await.map_err(|error| match error {
                LoginError::Wait(wait) => LinkError::Wait(wait),
                LoginError::Wrong(_) | LoginError::Busy => LinkError::Busy,
            })?;
            if !verified {
                return Err(LinkError::WrongPassword);
            }
            self.attempts.succeeded(&name, peer);
        }
        let (auth, id) = (Arc::clone(self), share.id.clone());
        let used = tokio::task::spawn_blocking(move || {
            auth.shares.change(&id, |share| {
                let may = share.uses_max.is_none_or(|max| share.uses < max) && share.revoked.is_none();
                if may {
                    share.uses = share.uses.saturating_add(1);
                    share.last_used = Some(now_seconds());
                }
                may
            })
        });
        // Somebody else had the last use at the same moment.
        let used = used.await.map_err(|_| LinkError::Busy)??;
        used.ok_or(LinkError::Ended("was used as often as it could be"))?;
        Ok(format!("{PASS_PREFIX}{}", self.sessions.begin(Owner::Share { id: share.id.clone() })))
    }

    /// Who shows this pass in this archive, and what they may see.
    ///
    /// # Errors
    /// When it is none, or its link has ended.
    pub fn pass(
        &self,
        pass: &str,
        tenant: &Tenant,
        peer: Option<IpAddr>,
    ) -> Result<(Identity, Grant), LinkError> {
        let cookie = pass.strip_prefix(PASS_PREFIX).ok_or(LinkError::Unknown)?;
        let session = self.sessions.get(cookie);
        let Some(Owner::Share { id }) = session.map(|session| session.owner) else {
            return Err(LinkError::Unknown);
        };
        let share = self.shares.get(&id).filter(|share| is_of(share, tenant)).ok_or(LinkError::Unknown)?;
        let by = self.giver(&share)?;
        let identity = Identity {
            subject: format!("link {id}"),
            name: Some(format!("by a link of {}", share.by)),
            method: Method::Share { id },
            ..Identity::anonymous()
        };
        Ok((identity.from_peer(peer), Grant::of(&share, by)))
    }

    /// Who gave a link that goes on, as they are now.
    fn giver(&self, share: &Share) -> Result<Identity, LinkError> {
        if share.revoked.is_some() {
            return Err(LinkError::Ended("was revoked"));
        }
        if share.expires <= now_seconds() {
            return Err(LinkError::Ended("has expired"));
        }
        let ended = LinkError::Ended("is of somebody who may not share any more");
        let Ok(mut by) = serde_json::from_value::<Identity>(share.identity.clone()) else {
            return Err(ended);
        };
        if matches!(by.method, Method::Password | Method::ApiToken { .. }) {
            let account = self.account(&by.subject).filter(|account| !account.disabled);
            let Some(account) = account.filter(|_| self.config.accounts) else { return Err(ended) };
            // A token that had only some of the roles has no more of them now.
            let is_token = matches!(by.method, Method::ApiToken { .. });
            let roles = account.roles.iter().filter(|role| !is_token || by.roles.contains(role));
            by.roles = roles.cloned().collect();
            by.tenants.clone_from(&account.tenants);
        }
        Ok(by)
    }
}

/// Whether a link is to studies of this archive.
#[must_use]
pub fn is_of(share: &Share, tenant: &Tenant) -> bool {
    *tenant != Tenant::Unknown && share.tenant.as_deref() == tenant.name()
}

impl Roles {
    /// What somebody may do in an archive who comes by a link to studies of it.
    #[must_use]
    pub fn permit_of_link(&self, identity: &Identity, grant: &Grant, tenant: &Tenant) -> Permit {
        let giver = self.permit_in(&grant.by, tenant);
        let mut actions = vec![Action::Search, Action::View];
        if grant.download {
            actions.push(Action::Download);
        }
        let within = Alternative::of_studies(grant.studies.clone());
        let within = if grant.deidentified { within.of_deidentified() } else { within };
        let mut link = Rights::default();
        link.grant(actions.iter().copied(), Some(&within));
        // What who gave it may share, and may do so themselves.
        let mut given = Rights::default();
        match giver.reach(Action::Share) {
            Reach::Nothing => {}
            Reach::Everything => given.grant(actions.iter().copied(), None),
            Reach::Within(filter) => {
                for one in &filter.any_of {
                    given.grant(actions.iter().copied(), Some(one));
                }
            }
        }
        let rights = giver.rights().and(&given).and(&link);
        Permit::new(&identity.subject, rights).from_peer(identity.peer)
    }
}
