//! Files of an archive that are sealed, other than packs. Each has a key of its
//! own, made from a data key and a number that was drawn when it was begun, and
//! begins with what that takes: so what is in one file opens in no other.
//!
//! ```text
//! name of the form    16 bytes
//! data key            its number, 4 bytes, little endian
//! drawn               32 bytes
//! proof of the key    8 bytes, made from the key of the file
//! CRC-32              of all this, 4 bytes, little endian
//! ```
//! Invariant: a head that is damaged is told from one whose data key is missing or
//! is another.

use std::io;

use super::{Key, KeyError, Keyring, fill_random};

/// Of which a sealed file is told from others.
const FORM: &[u8; 16] = b"hilum sealed, 1\n";
const DRAWN_BYTES: usize = 32;
const PROOF_BYTES: usize = 8;
/// Where the proof stands, and the checksum.
const PROVEN_BYTES: usize = FORM.len() + 4 + DRAWN_BYTES;
const SUMMED_BYTES: usize = PROVEN_BYTES + PROOF_BYTES;
/// What a sealed file begins with.
pub const HEAD_BYTES: usize = SUMMED_BYTES + 4;

/// The key of one file.
#[derive(Debug, Clone)]
pub struct FileKey {
    head: [u8; HEAD_BYTES],
    key: Key,
}

impl FileKey {
    /// Whether a file is a sealed one, by what it begins with.
    #[must_use]
    pub fn is_head(begin: &[u8]) -> bool {
        begin.starts_with(FORM)
    }

    /// For a new file, under the newest data key.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn begin(ring: &Keyring, purpose: &'static str) -> io::Result<Self> {
        let data = ring.newest();
        let mut head = [0; HEAD_BYTES];
        let (form, rest) = head.split_at_mut(FORM.len());
        form.copy_from_slice(FORM);
        let (number, rest) = rest.split_at_mut(4);
        number.copy_from_slice(&data.number.to_le_bytes());
        fill_random(&mut rest[..DRAWN_BYTES])?;
        let key = data.key.derive(purpose, &rest[..DRAWN_BYTES]);
        let proof = proof(&key, &head[..PROVEN_BYTES]);
        head[PROVEN_BYTES..SUMMED_BYTES].copy_from_slice(&proof);
        let sum = crc32fast::hash(&head[..SUMMED_BYTES]);
        head[SUMMED_BYTES..].copy_from_slice(&sum.to_le_bytes());
        Ok(Self { head, key })
    }

    /// Of a file that is there, by what it begins with.
    ///
    /// # Errors
    /// `InvalidData` when the head is damaged; another kind, with what to do,
    /// when there is no ring or it lacks the data key.
    pub fn open(ring: Option<&Keyring>, purpose: &'static str, begin: &[u8]) -> io::Result<Self> {
        let head: [u8; HEAD_BYTES] = begin
            .get(..HEAD_BYTES)
            .and_then(|head| head.try_into().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        let is_right = head[SUMMED_BYTES..] == crc32fast::hash(&head[..SUMMED_BYTES]).to_le_bytes();
        if !Self::is_head(&head) || !is_right {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let [a, b, c, d, drawn @ ..] = &head[FORM.len()..PROVEN_BYTES] else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let number = u32::from_le_bytes([*a, *b, *c, *d]);
        let missing = |why: String| io::Error::other(KeyError::Ring { why });
        let ring = ring.ok_or_else(|| {
            missing(
                "is missing, and other files of the archive are encrypted: put it back from a backup".into(),
            )
        })?;
        let data = ring.numbered(number).ok_or_else(|| {
            missing(format!("lacks data key {number}: it is older than the archive; put the newest back"))
        })?;
        let key = data.key.derive(purpose, drawn);
        if head[PROVEN_BYTES..SUMMED_BYTES] != proof(&key, &head[..PROVEN_BYTES]) {
            return Err(missing(
                "is not the one of the archive's other files: put theirs back from a backup".into(),
            ));
        }
        Ok(Self { head, key })
    }

    /// What the file begins with.
    #[must_use]
    pub fn head(&self) -> &[u8; HEAD_BYTES] {
        &self.head
    }

    /// Tells the file from every other.
    ///
    /// It is a part of what was drawn for it.
    #[must_use]
    pub fn drawn(&self) -> [u8; 16] {
        let mut drawn = [0; 16];
        drawn.copy_from_slice(&self.head[FORM.len() + 4..FORM.len() + 20]);
        drawn
    }

    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
}

/// Tells a key from others, and says nothing of it.
fn proof(key: &Key, head: &[u8]) -> [u8; PROOF_BYTES] {
    let [a, b, c, d, e, f, g, h, ..] = key.derive("proof", head).authenticate(head);
    [a, b, c, d, e, f, g, h]
}

/// A small file, sealed whole. It opens under its own name only.
///
/// # Errors
/// The system has no random numbers.
pub fn seal_file(ring: &Keyring, purpose: &'static str, name: &[u8], plain: &[u8]) -> io::Result<Vec<u8>> {
    let file = FileKey::begin(ring, purpose)?;
    let mut sealed = Vec::with_capacity(HEAD_BYTES + plain.len() + super::SEAL_BYTES);
    sealed.extend_from_slice(file.head());
    sealed.extend_from_slice(plain);
    file.key().seal_in(name, &mut sealed, HEAD_BYTES)?;
    Ok(sealed)
}

/// What [`seal_file`] sealed.
///
/// # Errors
/// As [`FileKey::open`]; `InvalidData` too when the bytes are not what was sealed.
pub fn open_file(
    ring: Option<&Keyring>,
    purpose: &'static str,
    name: &[u8],
    mut sealed: Vec<u8>,
) -> io::Result<Vec<u8>> {
    let file = FileKey::open(ring, purpose, &sealed)?;
    let body = sealed.split_off(HEAD_BYTES);
    Ok(file.key().open(name, body)?)
}
