//! Passwords: Argon2id (RFC 9106) with the memory and passes that OWASP asks
//! for. Slow on purpose: call it where blocking is allowed, and never more of
//! them at once than there are processors.

use std::sync::LazyLock;

use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};

/// Longer ones are refused before they are hashed.
pub const CHARACTERS_MAX: usize = 1024;

/// Why a password cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    #[error("a password has at least {0} characters")]
    Short(usize),
    #[error("a password has at most {CHARACTERS_MAX} characters")]
    Long,
    #[error("a password must not contain the name of its account")]
    Name,
    #[error("a password needs more than a few different characters")]
    Plain,
    #[error("the password cannot be hashed: {0}")]
    Hash(String),
}

/// What is kept of a password.
///
/// # Errors
/// When it must not be taken.
pub fn hash(name: &str, password: &str, characters_min: usize) -> Result<String, PasswordError> {
    check(name, password, characters_min)?;
    hashed(password).map_err(PasswordError::Hash)
}

/// Whether a password can be taken. Takes no time.
///
/// # Errors
/// When it must not be.
pub fn check(name: &str, password: &str, characters_min: usize) -> Result<(), PasswordError> {
    let count = password.chars().count();
    if count < characters_min {
        return Err(PasswordError::Short(characters_min));
    }
    if count > CHARACTERS_MAX {
        return Err(PasswordError::Long);
    }
    if name.len() > 2 && password.to_lowercase().contains(name) {
        return Err(PasswordError::Name);
    }
    if password.chars().collect::<std::collections::BTreeSet<_>>().len() < 5 {
        return Err(PasswordError::Plain);
    }
    Ok(())
}

fn hashed(password: &str) -> Result<String, String> {
    let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|error| error.to_string())?;
    Ok(hash.to_string())
}

/// Whether it is the password. Of an account that does not exist (`None`) the
/// answer is no, after the same time.
#[must_use]
pub fn verify(kept: Option<&str>, password: &str) -> bool {
    static NOBODY: LazyLock<String> =
        LazyLock::new(|| hashed("nobody has this password").unwrap_or_default());
    if password.chars().count() > CHARACTERS_MAX {
        return false;
    }
    let hash = PasswordHash::new(kept.unwrap_or(&NOBODY));
    let fits = hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
    fits && kept.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_kept_as_argon2id() {
        let kept = hash("ada", "correct horse battery", 12).unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(verify(Some(&kept), "correct horse battery"));
        assert!(!verify(Some(&kept), "correct horse batterY") && !verify(Some(&kept), ""));
        assert!(!verify(Some("nonsense"), "x") && !verify(None, "nobody has this password"));
        assert_ne!(kept, hash("ada", "correct horse battery", 12).unwrap(), "salted");
    }

    #[test]
    fn weak_passwords_are_refused() {
        let refused = |password: &str| hash("ada", password, 12).unwrap_err();
        assert_eq!(refused("short"), PasswordError::Short(12));
        assert_eq!(refused("my name is Ada, hello"), PasswordError::Name);
        assert_eq!(refused("aaaaaaaaaaaaaaaa"), PasswordError::Plain);
        assert_eq!(refused(&"abcde".repeat(300)), PasswordError::Long);
    }
}
