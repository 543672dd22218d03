//! Sealing: bytes that only who has the key can read, or change unnoticed.
//! Pure: bytes in, bytes out; where they lie is the business of the storages,
//! which share this room as they share `place.rs`.
//!
//! [`Key::seal`] is AES-256-GCM (NIST SP 800-38D, by aws-lc) under a key of its
//! own for each message: 24 random bytes, of which the first half and the key
//! make the message's key (BLAKE3, keyed) and the second half is the nonce. So
//! no count of messages has to be kept, over crashes, restored copies and lost
//! writes, for none ever to be sealed under the key and nonce of another.
//!
//! Invariants: a key is wiped from memory when it is dropped, and stands in no
//! message and no `Debug`; what does not open is an error and never bytes.

mod chunks;
mod file;
mod keyring;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

pub use chunks::{ChunkError, Sealed, Sealer, plain_length, sealed_length};
pub use file::{FileKey, HEAD_BYTES as FILE_HEAD_BYTES, open_file, seal_file};
pub use keyring::{DataKey, KeyError, KeyId, Keyring, Master, MasterSource};

/// Of GCM.
const TAG_BYTES: usize = 16;
/// Of which a message's key is made.
const SALT_BYTES: usize = 12;
/// What a sealed message is longer: tag, salt, nonce. They stand behind it, so
/// that it opens where it lies.
pub const SEAL_BYTES: usize = TAG_BYTES + SALT_BYTES + NONCE_LEN;

/// Sealed bytes are not what was sealed under this key for this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not what was encrypted")]
pub struct Unsealed;

impl From<Unsealed> for io::Error {
    fn from(error: Unsealed) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Seals and opens. Each purpose has its own, by [`Key::derive`].
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// A key that nobody had before.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> io::Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        fill_random(&mut *key)?;
        Ok(Self(key))
    }

    /// The key for one purpose and one thing, from which this one cannot be told.
    #[must_use]
    pub fn derive(&self, purpose: &'static str, thing: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // The length keeps what belongs to the one from passing as of the other.
        hasher.update(&(purpose.len() as u64).to_le_bytes()).update(purpose.as_bytes()).update(thing);
        Self(taken(hasher.finalize()))
    }

    /// A number that only who has the key can make of these bytes.
    #[must_use]
    pub fn authenticate(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, bytes).as_bytes()
    }

    /// Seals what stands in `buffer` from `from` on, where it stands, and puts
    /// the seal behind it. `place` is not stored: it must be the same when it
    /// is opened.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn seal_in(&self, place: &[u8], buffer: &mut Vec<u8>, from: usize) -> io::Result<()> {
        let seal = self.seal_apart(place, buffer.get_mut(from..).unwrap_or_default())?;
        buffer.extend_from_slice(&seal);
        Ok(())
    }

    /// Seals bytes where they stand, and gives the seal: it is to be kept apart.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn seal_apart(&self, place: &[u8], bytes: &mut [u8]) -> io::Result<[u8; SEAL_BYTES]> {
        let mut seal = [0; SEAL_BYTES];
        let (tag, drawn) = seal.split_at_mut(TAG_BYTES);
        fill_random(drawn)?;
        let drawn: &[u8; SALT_BYTES + NONCE_LEN] = (&*drawn).try_into().map_err(|_| failed())?;
        let (cipher, nonce) = self.cipher(drawn).map_err(|Unsealed| failed())?;
        let made = cipher.seal_in_place_separate_tag(nonce, Aad::from(place), bytes).map_err(|_| failed())?;
        tag.copy_from_slice(made.as_ref());
        Ok(seal)
    }

    /// Opens bytes where they stand whose seal was kept apart.
    ///
    /// # Errors
    /// As [`Self::open_in`]; what stands there then is nothing.
    pub fn open_apart(
        &self,
        place: &[u8],
        bytes: &mut [u8],
        seal: &[u8; SEAL_BYTES],
    ) -> Result<(), Unsealed> {
        let (tag, drawn) = seal.split_at(TAG_BYTES);
        let drawn: &[u8; SALT_BYTES + NONCE_LEN] = drawn.try_into().map_err(|_| Unsealed)?;
        let (cipher, nonce) = self.cipher(drawn)?;
        let opened = cipher.open_in_place_separate_tag(nonce, Aad::from(place), tag, bytes);
        opened.map(drop).map_err(|_| Unsealed)
    }

    /// A sealed copy of some bytes.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn seal(&self, place: &[u8], plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut sealed = Vec::with_capacity(plain.len() + SEAL_BYTES);
        sealed.extend_from_slice(plain);
        self.seal_in(place, &mut sealed, 0)?;
        Ok(sealed)
    }

    /// Opens sealed bytes where they stand; gives those that were sealed.
    ///
    /// # Errors
    /// They are not what was sealed, not with this key, or not for this place.
    pub fn open_in<'b>(&self, place: &[u8], sealed: &'b mut [u8]) -> Result<&'b mut [u8], Unsealed> {
        let plain_and_tag = sealed.len().checked_sub(SALT_BYTES + NONCE_LEN).ok_or(Unsealed)?;
        let (sealed, drawn) = sealed.split_at_mut(plain_and_tag);
        let drawn: &[u8; SALT_BYTES + NONCE_LEN] = (&*drawn).try_into().map_err(|_| Unsealed)?;
        let (cipher, nonce) = self.cipher(drawn)?;
        cipher.open_in_place(nonce, Aad::from(place), sealed).map_err(|_| Unsealed)
    }

    /// What was sealed.
    ///
    /// # Errors
    /// As [`Self::open_in`].
    pub fn open(&self, place: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, Unsealed> {
        let length = self.open_in(place, &mut sealed)?.len();
        sealed.truncate(length);
        Ok(sealed)
    }

    /// The cipher of one message.
    fn cipher(&self, drawn: &[u8; SALT_BYTES + NONCE_LEN]) -> Result<(LessSafeKey, Nonce), Unsealed> {
        let (salt, nonce) = drawn.split_at(SALT_BYTES);
        let own = taken(blake3::keyed_hash(&self.0, salt));
        let unbound = UnboundKey::new(&AES_256_GCM, &*own).map_err(|_| Unsealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealed)?;
        Ok((LessSafeKey::new(unbound), nonce))
    }
}

/// A hash that is a key.
fn taken(mut hash: blake3::Hash) -> Zeroizing<[u8; 32]> {
    let key = Zeroizing::new(*hash.as_bytes());
    hash.zeroize();
    key
}

fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| failed())
}

fn failed() -> io::Error {
    io::Error::other("the system has no random numbers to encrypt with")
}
