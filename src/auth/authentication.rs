//! Proving who somebody is: passwords, personal tokens, sessions, tokens of
//! issuers, certificates. Everything that keeps state of it is here, and all of
//! it is bounded.
//!
//! Invariant: whoever is refused learns that, and nothing of why an account is
//! not theirs: an unknown name, a wrong password and a disabled account look
//! and take the same.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::Semaphore;

use super::{
    Action, Identity, Method,
    attempts::Attempts,
    certificate,
    jwt::{Issuers, TokenError},
    password::{self, PasswordError},
    secret,
    sessions::{Owner, Session, Sessions},
    smart,
};
use crate::{
    config,
    storage::{
        accounts::{Account, Accounts, AccountsError, Token},
        shares::{Shares, SharesError},
    },
};

/// The first letters of a personal token: for people, and for scanners that look
/// for secrets where none should be.
const TOKEN_PREFIX: &str = "hilum_";
/// How long a password waits for its turn to be hashed.
const TURN_MAX: Duration = Duration::from_secs(5);
/// The account that the first start makes.
const FIRST: &str = "admin";
const ADMINISTRATOR: &str = "administrator";
const DAY_SECONDS: u64 = 24 * 60 * 60;

pub struct Authentication {
    pub config: config::Auth,
    accounts: Accounts,
    pub shares: Shares,
    pub sessions: Sessions,
    pub issuers: Issuers,
    pub(super) attempts: Attempts,
    /// Turns of passwords that are hashed.
    turns: Semaphore,
    /// When tokens were last used, as far as that is not written yet.
    used: Mutex<HashMap<String, u64>>,
    /// What is given to a browser and must come back as it was is sealed by it.
    pub seal_key: [u8; 32],
}

/// Why a login failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginError {
    /// For the trail only.
    Wrong(&'static str),
    Wait(Duration),
    Busy,
}

/// Why a credential does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error("the personal token is not known, or was revoked")]
    Unknown,
    #[error("the personal token has expired")]
    Expired,
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl CredentialError {
    /// A stable word for the trail.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown personal token",
            Self::Expired => "expired personal token",
            Self::Token(error) => match error {
                TokenError::Malformed => "malformed token",
                TokenError::Issuer => "token of an unknown issuer",
                TokenError::Algorithm => "token of another algorithm",
                TokenError::Key => "token of an unknown key",
                TokenError::Signature => "token with a wrong signature",
                TokenError::Expired => "expired token",
                TokenError::Early => "token not valid yet",
                TokenError::Audience => "token for another service",
                TokenError::Claim => "token without a claim it needs",
                TokenError::Away => "issuer away",
            },
        }
    }
}

/// Why an account or a token is not changed as asked.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    #[error("there is no token {0}")]
    NoSuchToken(String),
    #[error("the account does not have the role {0}, so a token of it cannot have it")]
    Role(String),
    #[error("a token is valid for 1 to {0} days")]
    Days(u64),
    #[error("a label has 1 to 100 printable characters")]
    Label,
    #[error(
        "{0:?} is no scope of a personal token, which would grant nothing with it: name an action, such as view, or a \
         scope of a user, such as user/ImagingStudy.rs"
    )]
    Scope(String),
    #[error("{0:?} is no name of a role: 1 to 64 letters, digits, '-', '_' and '.'")]
    RoleName(String),
}

/// What a new token is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewToken {
    pub label: String,
    pub roles: Vec<String>,
    pub scopes: Vec<String>,
    pub days: Option<u64>,
}

impl Authentication {
    /// # Errors
    /// When accounts, keys or secrets cannot be read.
    pub fn open(data: &Path, config: &config::Auth) -> Result<Self, OpenError> {
        let minutes = |minutes: u64| Duration::from_secs(minutes.saturating_mul(60));
        let mut seal_key = [0; 32];
        getrandom::fill(&mut seal_key).map_err(|error| OpenError::Random(error.to_string()))?;
        Ok(Self {
            accounts: Accounts::open(data)?,
            shares: Shares::open(data)?,
            sessions: Sessions::new(
                minutes(config.session_idle_minutes),
                minutes(config.session_hours_max.saturating_mul(60)),
                config.sessions_max,
            ),
            issuers: Issuers::new(&config.issuers).map_err(OpenError::Issuers)?,
            attempts: Attempts::new(config.failures_max, Duration::from_secs(config.lock_seconds)),
            turns: Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)),
            used: Mutex::default(),
            config: config.clone(),
            seal_key,
        })
    }

    /// Whose password this is. The attempt is counted.
    ///
    /// # Errors
    /// When it is nobody's, or too many were tried.
    pub async fn log_in(
        &self,
        name: &str,
        password: &str,
        peer: Option<IpAddr>,
    ) -> Result<Arc<Account>, LoginError> {
        if !self.config.accounts {
            return Err(LoginError::Wrong("local accounts are off"));
        }
        let name = name.trim().to_lowercase();
        self.attempts.begin(&name, peer).map_err(LoginError::Wait)?;
        let account = self.accounts.get(&name);
        let kept = account.as_ref().map(|account| account.password.clone());
        if !self.verify(kept, password).await? {
            return Err(LoginError::Wrong(if account.is_some() { "wrong password" } else { "unknown name" }));
        }
        let account =
            account.filter(|account| !account.disabled).ok_or(LoginError::Wrong("disabled account"))?;
        self.attempts.succeeded(&name, peer);
        Ok(account)
    }

    pub(super) async fn verify(&self, kept: Option<String>, password: &str) -> Result<bool, LoginError> {
        let turn = tokio::time::timeout(TURN_MAX, self.turns.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or(LoginError::Busy)?;
        let password = password.to_owned();
        let verified =
            tokio::task::spawn_blocking(move || password::verify(kept.as_deref(), &password)).await;
        verified.map_err(|_| LoginError::Busy)
    }

    /// Begins a session of an account; the value of its cookie.
    #[must_use]
    pub fn begin_session(&self, account: &Account) -> String {
        self.sessions.begin(Owner::Account { name: account.name.clone(), epoch: account.epoch })
    }

    /// Who the owner of a session is now.
    #[must_use]
    pub fn of_session(&self, session: &Session, peer: Option<IpAddr>) -> Option<Identity> {
        match &session.owner {
            Owner::Issuer(identity) => Some(Identity::clone(identity).from_peer(peer)),
            // It is shown in the path or as a token, never as a cookie.
            Owner::Share { .. } => None,
            Owner::Account { name, epoch } => {
                let account = self.accounts.get(name)?;
                let goes_on = self.config.accounts && !account.disabled && account.epoch == *epoch;
                goes_on.then(|| of_account(&account, Method::Password, peer))
            }
        }
    }

    /// Who shows this token: a personal one, or one of an issuer.
    ///
    /// # Errors
    /// When it does not count.
    pub async fn bearer(&self, token: &str, peer: Option<IpAddr>) -> Result<Identity, CredentialError> {
        if let Some(rest) = token.strip_prefix(TOKEN_PREFIX) {
            return self.personal(rest, peer);
        }
        let (issuer, claims) = self.issuers.bearer(token).await?;
        claims.identity(&issuer.config, peer).ok_or(CredentialError::Token(TokenError::Claim))
    }

    fn personal(&self, text: &str, peer: Option<IpAddr>) -> Result<Identity, CredentialError> {
        let (id, secret) = text.split_once('_').ok_or(CredentialError::Unknown)?;
        let account = self.accounts.of_token(id).filter(|_| self.config.accounts);
        let token = account.as_ref().and_then(|account| account.tokens.iter().find(|token| token.id == id));
        let kept = token.map_or("", |token| token.digest.as_str());
        let fits = secret::same(&secret::digest(secret), kept);
        let (Some(account), Some(token), true) = (&account, token, fits) else {
            return Err(CredentialError::Unknown);
        };
        if account.disabled {
            return Err(CredentialError::Unknown);
        }
        let now = now_seconds();
        if token.expires <= now {
            return Err(CredentialError::Expired);
        }
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(token.id.clone(), now);
        let mut identity = of_account(account, Method::ApiToken { id: token.id.clone() }, peer);
        if !token.roles.is_empty() {
            identity.roles.retain(|role| token.roles.contains(role));
        }
        identity.scopes.clone_from(&token.scopes);
        Ok(identity)
    }

    /// Who a TLS client's certificate stands for.
    #[must_use]
    pub fn certificate(&self, der: &[u8], peer: Option<IpAddr>) -> Option<Identity> {
        certificate::identity(der, &self.config.certificates, peer)
    }

    #[must_use]
    pub fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts.get(name)
    }

    #[must_use]
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.list()
    }

    /// Makes an account. Blocks.
    ///
    /// # Errors
    /// When the name is taken or the password too weak.
    pub fn add_account(
        &self,
        name: &str,
        full_name: Option<String>,
        password: &str,
        roles: Vec<String>,
        tenants: Vec<String>,
    ) -> Result<Arc<Account>, ChangeError> {
        check_roles(&roles)?;
        let password = password::hash(name, password, self.config.password_characters_min)?;
        let account =
            Account { full_name, tenants, ..Account::new(name.to_owned(), password, roles, now_seconds()) };
        Ok(self.accounts.add(account)?)
    }

    /// Whether a password can be that of an account.
    ///
    /// # Errors
    /// When it is too weak.
    pub fn check_password(&self, name: &str, password: &str) -> Result<(), ChangeError> {
        Ok(password::check(name, password, self.config.password_characters_min)?)
    }

    /// Gives an account another password and ends its sessions. Blocks.
    ///
    /// # Errors
    /// When there is no such account or the password is too weak.
    pub fn set_password(&self, name: &str, password: &str) -> Result<Arc<Account>, ChangeError> {
        let hash = password::hash(name, password, self.config.password_characters_min)?;
        Ok(self.accounts.change(name, |account| {
            account.password = hash;
            account.epoch += 1;
        })?)
    }

    /// Lets nobody in by an account any more, or again. Blocks.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn set_disabled(&self, name: &str, disabled: bool) -> Result<Arc<Account>, ChangeError> {
        Ok(self.accounts.change(name, |account| {
            account.disabled = disabled;
            account.epoch += 1;
        })?)
    }

    /// Gives an account other roles. Blocks.
    ///
    /// # Errors
    /// When there is no such account, or a name of a role is none.
    pub fn set_roles(&self, name: &str, roles: Vec<String>) -> Result<Arc<Account>, ChangeError> {
        check_roles(&roles)?;
        Ok(self.accounts.change(name, |account| account.roles = roles)?)
    }

    /// Lets an account belong to these tenants. Blocks.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn set_tenants(&self, name: &str, tenants: Vec<String>) -> Result<Arc<Account>, ChangeError> {
        Ok(self.accounts.change(name, |account| account.tenants = tenants)?)
    }

    /// Makes a personal token: what is kept of it, and the token itself, which
    /// nobody can be told again. Blocks.
    ///
    /// # Errors
    /// When it may not be as asked.
    pub fn add_token(&self, name: &str, new: NewToken) -> Result<(Token, String), ChangeError> {
        let account = self.accounts.get(name).ok_or_else(|| AccountsError::Unknown(name.to_owned()))?;
        if let Some(role) = new.roles.iter().find(|role| !account.roles.contains(role)) {
            return Err(ChangeError::Role(role.clone()));
        }
        let days = new.days.unwrap_or(self.config.token_days_max.min(90));
        if !(1..=self.config.token_days_max).contains(&days) {
            return Err(ChangeError::Days(self.config.token_days_max));
        }
        let is_known = |scope: &String| Action::by_name(scope).is_some() || smart::narrows(scope);
        if let Some(scope) = new.scopes.iter().find(|scope| !is_known(scope)) {
            return Err(ChangeError::Scope(scope.clone()));
        }
        let label = new.label.trim().to_owned();
        if !(1..=100).contains(&label.chars().count()) || label.chars().any(char::is_control) {
            return Err(ChangeError::Label);
        }
        let secret = secret::random::<32>();
        let created = now_seconds();
        let token = Token {
            id: secret::new_id(),
            label,
            digest: secret::digest(&secret),
            roles: new.roles,
            scopes: new.scopes,
            created,
            expires: created.saturating_add(days.saturating_mul(DAY_SECONDS)),
            last_used: None,
        };
        self.accounts.change(name, |account| account.tokens.push(token.clone()))?;
        let text = format!("{TOKEN_PREFIX}{}_{secret}", token.id);
        Ok((token, text))
    }

    /// Makes a token worthless. Blocks.
    ///
    /// # Errors
    /// When the account has no such token.
    pub fn revoke_token(&self, name: &str, id: &str) -> Result<(), ChangeError> {
        let mut found = false;
        self.accounts.change(name, |account| {
            let before = account.tokens.len();
            account.tokens.retain(|token| token.id != id);
            found = account.tokens.len() < before;
        })?;
        if found { Ok(()) } else { Err(ChangeError::NoSuchToken(id.to_owned())) }
    }

    /// The account of a token.
    #[must_use]
    pub fn owner_of_token(&self, id: &str) -> Option<Arc<Account>> {
        self.accounts.of_token(id)
    }

    /// When a token was last used.
    #[must_use]
    pub fn last_used(&self, token: &Token) -> Option<u64> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(&token.id).copied().max(token.last_used)
    }

    /// Reads what commands have changed; the names of those accounts. Blocks.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn refresh(&self) -> Result<Vec<String>, AccountsError> {
        self.accounts.refresh()
    }

    /// Writes when tokens were last used. Blocks.
    ///
    /// # Errors
    /// When an account cannot be written.
    pub fn note_uses(&self) -> Result<(), AccountsError> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        let names: std::collections::BTreeSet<String> =
            used.keys().filter_map(|id| Some(self.accounts.of_token(id)?.name.clone())).collect();
        for name in names {
            self.accounts.change(&name, |account| {
                for token in &mut account.tokens {
                    token.last_used = used.get(&token.id).copied().max(token.last_used);
                }
            })?;
        }
        Ok(())
    }

    /// Makes the first account when there is none; its name and password, to be
    /// shown once. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn first_run(&self) -> Result<Option<(&'static str, String)>, ChangeError> {
        if !self.config.enabled || !self.config.accounts || !self.accounts.list().is_empty() {
            return Ok(None);
        }
        let password = secret::random::<18>();
        self.add_account(FIRST, None, &password, vec![ADMINISTRATOR.to_owned()], Vec::new())?;
        Ok(Some((FIRST, password)))
    }
}

/// Why authentication cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    #[error(transparent)]
    Shares(#[from] SharesError),
    #[error("auth.issuers: {0}")]
    Issuers(String),
    #[error("the operating system has no random numbers: {0}")]
    Random(String),
}

fn of_account(account: &Account, method: Method, peer: Option<IpAddr>) -> Identity {
    Identity {
        subject: account.name.clone(),
        name: account.full_name.clone(),
        method,
        roles: account.roles.clone(),
        scopes: Vec::new(),
        patient: None,
        patient_issuer: None,
        fhir_user: None,
        tenants: account.tenants.clone(),
        peer,
    }
}

fn check_roles(roles: &[String]) -> Result<(), ChangeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match roles.iter().find(|role| !(1..=64).contains(&role.len()) || !role.chars().all(plain)) {
        Some(role) => Err(ChangeError::RoleName(role.clone())),
        None => Ok(()),
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
