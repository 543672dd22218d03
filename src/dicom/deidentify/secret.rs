//! The secret of an archive, and what is made with it: UIDs, pseudonyms and
//! numbers of days that are always the same for the same original, and from which
//! nobody without the secret finds the original, even by trying all there are.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// The most days by which dates become earlier: ten years.
const DAYS_MAX: u32 = 3650;

/// 256 bits that never leave the archive.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    fn mac(&self, purpose: &str, parts: &[&str]) -> hmac::Tag {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0[..]);
        let mut context = hmac::Context::with_key(&key);
        // Each with its length, so that no two lists of parts are the same bytes.
        for part in std::iter::once(&purpose).chain(parts) {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        context.sign()
    }

    /// A UID made of a UUID (PS3.5 section B.2), of the version that is for
    /// hashes of one's own (RFC 9562 section 5.8).
    pub(super) fn uid(&self, scope: &str, uid: &str) -> String {
        let mac = self.mac("uid", &[scope, uid]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&mac.as_ref()[..16]);
        bytes[6] = bytes[6] & 0x0F | 0x80;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        format!("2.25.{}", u128::from_be_bytes(bytes))
    }

    pub(super) fn pseudonym(&self, patient: &[&str]) -> String {
        let mac = self.mac("patient", patient);
        let digits = mac.as_ref().iter().take(8).map(|byte| format!("{byte:02X}"));
        format!("ANON-{}", digits.collect::<String>())
    }

    pub(super) fn days(&self, patient: &[&str]) -> i64 {
        let mac = self.mac("days", patient);
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&mac.as_ref()[..4]);
        i64::from(1 + u32::from_be_bytes(bytes) % DAYS_MAX)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
