//! What authentication has seen: for the audit trail, the log and the metrics.
//! Holds no password, no token and no part of one.

use std::net::IpAddr;

/// Something that happened while somebody said who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub what: What,
    /// Whose identity it is about, where that is known or claimed: the subject
    /// of an identity. Of a failed login this is what was typed, cut to a
    /// length and to printable characters.
    pub subject: Option<String>,
    /// Who did it, where that is another: an administrator, the operator.
    pub by: Option<String>,
    /// The address of the client.
    pub peer: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A session began; `how` is `password` or the issuer.
    LoggedIn {
        how: String,
    },
    /// It did not; `why` is for the trail, never for the client.
    LoginFailed {
        why: &'static str,
        /// A password was looked at, which nobody may do without end.
        tried: bool,
    },
    /// A token, a session cookie or a certificate was refused.
    CredentialRefused {
        why: &'static str,
    },
    /// A session was ended by its owner.
    LoggedOut,
    /// A personal token was made or revoked.
    TokenMade {
        id: String,
    },
    TokenRevoked {
        id: String,
    },
    /// A link to studies was made, opened or revoked.
    ShareMade {
        id: String,
        studies: Vec<String>,
    },
    ShareOpened {
        id: String,
        studies: Vec<String>,
    },
    ShareRevoked {
        id: String,
    },
    /// An account was added or changed: `password`, `roles`, `disabled`, …
    AccountChanged {
        change: &'static str,
    },
}

impl What {
    /// What there is to say beyond the word: why, how, what.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::LoginFailed { why, .. } | Self::CredentialRefused { why } => why,
            Self::AccountChanged { change } => change,
            Self::LoggedIn { how } => how,
            Self::TokenMade { id }
            | Self::TokenRevoked { id }
            | Self::ShareMade { id, .. }
            | Self::ShareOpened { id, .. }
            | Self::ShareRevoked { id } => id,
            Self::LoggedOut => "",
        }
    }

    /// Anybody can make it happen as often as they like, and what they say of
    /// themselves is not proven.
    #[must_use]
    pub fn is_of_strangers(&self) -> bool {
        matches!(self, Self::LoginFailed { tried: false, .. } | Self::CredentialRefused { .. })
    }

    /// A stable word for it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::LoggedIn { .. } => "logged-in",
            Self::LoginFailed { .. } => "login-failed",
            Self::CredentialRefused { .. } => "credential-refused",
            Self::LoggedOut => "logged-out",
            Self::TokenMade { .. } => "token-made",
            Self::TokenRevoked { .. } => "token-revoked",
            Self::ShareMade { .. } => "share-made",
            Self::ShareOpened { .. } => "share-opened",
            Self::ShareRevoked { .. } => "share-revoked",
            Self::AccountChanged { .. } => "account-changed",
        }
    }
}
