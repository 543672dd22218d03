//! The refusals of authentication. They say how to get in, and never why an
//! account in particular is not let in.

use std::time::Duration;

use actix_web::http::StatusCode;

use crate::{
    auth::{ChangeError, CredentialError, jwt::TokenError},
    http::Problem,
    storage::accounts::AccountsError,
};

/// How one gets in.
pub const REALM: &str = "Bearer realm=\"Hilum\"";

/// A credential does not count.
pub fn refused(error: CredentialError) -> Problem {
    if error == CredentialError::Token(TokenError::Away) {
        return Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "issuer-away",
            "The issuer cannot be reached",
            error.to_string(),
        );
    }
    invalid(&error.to_string())
}

/// A credential does not count, for this reason.
pub fn invalid(why: &str) -> Problem {
    let plain: String = why.chars().filter(|c| c.is_ascii() && *c != '"' && *c != '\\').collect();
    Problem::new(StatusCode::UNAUTHORIZED, "invalid-credentials", "The credentials do not count", why)
        .challenge(format!("{REALM}, error=\"invalid_token\", error_description=\"{plain}\""))
}

/// A page of another origin tried to use a session.
pub fn cross_site() -> Problem {
    let detail = "a session can change things only from this server's own pages: send the X-CSRF-Token of \
                  /auth/session, or a token in the Authorization header in place of the cookie";
    Problem::new(StatusCode::FORBIDDEN, "cross-site", "The request comes from elsewhere", detail)
}

/// Too many wrong passwords.
pub fn wait(wait: Duration) -> Problem {
    let seconds = wait.as_secs().saturating_add(1);
    let detail = format!("there were too many failed attempts; try again in {seconds} seconds");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", "Too many failed attempts", detail)
        .retry_after(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// Something that only the owner of a local account can do.
pub fn no_account() -> Problem {
    let detail = "only a local account has a password and personal tokens, and only its session can change them \
                  (log in at /auth/login)";
    Problem::new(StatusCode::FORBIDDEN, "no-local-account", "This needs a session of a local account", detail)
}

pub fn change(error: ChangeError) -> Problem {
    match error {
        ChangeError::Accounts(AccountsError::Io { .. } | AccountsError::Malformed { .. }) => {
            Problem::internal(
                "internal",
                "Internal error",
                "the accounts cannot be written; the log says more",
                error,
            )
        }
        ChangeError::NoSuchToken(_) => Problem::not_found("token"),
        ChangeError::Password(_)
        | ChangeError::Role(_)
        | ChangeError::RoleName(_)
        | ChangeError::Days(_)
        | ChangeError::Scope(_)
        | ChangeError::Label
        | ChangeError::Accounts(
            AccountsError::Name(_)
            | AccountsError::Unknown(_)
            | AccountsError::Taken(_)
            | AccountsError::Full(_),
        ) => Problem::malformed_body(error.to_string()),
    }
}
