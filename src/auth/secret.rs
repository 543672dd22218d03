//! Random secrets, and how they are kept and compared. Nothing here is logged.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// `N` random bytes, as text that fits into URLs, cookies and headers.
///
/// # Panics
/// When the operating system has no random numbers: no secret is better than a
/// guessable one.
#[must_use]
pub fn random<const N: usize>() -> String {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A name for something that is told apart by it: 16 hex digits.
#[must_use]
pub fn new_id() -> String {
    use std::fmt::Write as _;
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    bytes.iter().fold(String::new(), |mut id, byte| {
        let _ = write!(id, "{byte:02x}");
        id
    })
}

/// What is kept of a secret that has enough randomness to need no slow hash.
#[must_use]
pub fn digest(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret))
}

/// Whether two texts are the same, in a time that does not say where they
/// differ.
#[must_use]
pub fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}
