//! The keys of an archive: the master key, which is not in it, wraps the data
//! keys, which are; from those comes every other key ([`Key::derive`]).
//!
//! The keyring is a small text that lies beside the packs (`KEYS`). Another
//! master key means another text with the same data keys and one more for what
//! comes: not a byte of a pack changes. Packs are numbered in the order they
//! are begun, so `from` says which data key a pack is under, and that packs
//! before the first are not encrypted.

use std::fmt;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::Key;
#[cfg(test)]
use super::taken;

/// The number of the keyring's form.
const FORMAT: u32 = 1;

/// Why the keys of an archive cannot be had. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "the archive is encrypted and no key is given: set encryption.key_file, encryption.key_command or \
         the variable HILUM_ENCRYPTION_KEY (the key has the id {wanted})"
    )]
    None { wanted: KeyId },
    #[error("the archive is encrypted with the master key {wanted}, and the key that is given is {given}")]
    Wrong { wanted: KeyId, given: KeyId },
    #[error(
        "files of pack {pack} are encrypted and the archive's key ring (the file KEYS beside the packs) is \
         missing: put it back from a backup; without it nobody can read them"
    )]
    Lost { pack: crate::storage::PackId },
    #[error("the archive's key ring (the file KEYS beside the packs) {why}")]
    Ring { why: String },
    /// The key file, the command or the variable gives no key.
    #[error("{0}")]
    Source(String),
    #[error("a key is 64 hexadecimal digits (256 bits), as `hilum encryption key new` makes one")]
    Form,
    #[error("the keys of the archive cannot be read or written")]
    Io(#[from] io::Error),
}

/// Tells a master key from others, and says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The key that wraps the others.
#[derive(Clone)]
pub struct Master(Zeroizing<[u8; 32]>);

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Master({})", self.id())
    }
}

impl Master {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> io::Result<Self> {
        Key::random().map(|Key(bytes)| Self(bytes))
    }

    /// Reads one as it is written: 64 hexadecimal digits.
    ///
    /// # Errors
    /// `Form`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        unhex(text.trim()).map(Self).ok_or(KeyError::Form)
    }

    /// As it is written: to be shown to its owner and nobody else.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(&*self.0))
    }

    #[must_use]
    pub fn id(&self) -> KeyId {
        let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key("hilum 2026 id of a master key", &*self.0);
        KeyId([a, b, c, d, e, f, g, h])
    }

    /// The key that wraps: not the master key itself, so that its id and what
    /// it wraps have nothing in common.
    fn wrapping(&self) -> Key {
        Key(Zeroizing::new(blake3::derive_key("hilum 2026 wrapping of data keys", &*self.0)))
    }
}

/// Where the master key comes from. It is asked when an archive is opened, and
/// not kept.
#[derive(Clone, Default)]
pub struct MasterSource(Option<Arc<Fetch>>);

type Fetch = dyn Fn() -> Result<Option<Master>, KeyError> + Send + Sync;

impl MasterSource {
    /// `fetch` gives `None` when no key is configured.
    #[must_use]
    pub fn new(fetch: impl Fn() -> Result<Option<Master>, KeyError> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(fetch)))
    }

    /// The key, if one is configured.
    ///
    /// # Errors
    /// It is configured and cannot be had.
    pub fn fetch(&self) -> Result<Option<Master>, KeyError> {
        self.0.as_ref().map_or(Ok(None), |fetch| fetch())
    }
}

impl fmt::Debug for MasterSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterSource")
    }
}

/// A data key: from it come the keys of packs.
#[derive(Debug, Clone)]
pub struct DataKey {
    /// 1 for the first.
    pub number: u32,
    /// The first pack that is under it; the later of two keys counts.
    pub from: u32,
    pub key: Key,
}

/// The data keys of an archive, in their order. There is at least one.
#[derive(Debug, Clone)]
pub struct Keyring {
    master: KeyId,
    keys: Vec<DataKey>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    /// Id of the master key.
    master: String,
    keys: Vec<WrittenKey>,
}

#[derive(Serialize, Deserialize)]
struct WrittenKey {
    number: u32,
    from: u32,
    /// Sealed under the master key.
    wrapped: String,
}

impl Keyring {
    /// Begins one: packs from `from` on are encrypted.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn begin(master: &Master, from: u32) -> io::Result<Self> {
        Ok(Self { master: master.id(), keys: vec![DataKey { number: 1, from, key: Key::random()? }] })
    }

    /// Unwraps the keys of a ring. `archive` is what it was written for.
    ///
    /// # Errors
    /// `None`, `Wrong`, `Ring`.
    pub fn open(text: &[u8], master: Option<&Master>, archive: &[u8; 32]) -> Result<Self, KeyError> {
        let ring = |why: &str| KeyError::Ring { why: why.to_owned() };
        let Written { format, master: wanted, keys } =
            serde_json::from_slice(text).map_err(|_| ring("cannot be understood"))?;
        if format > FORMAT {
            return Err(KeyError::Ring {
                why: format!(
                    "has format {format}, and this version of hilum knows {FORMAT}: use a newer hilum"
                ),
            });
        }
        let wanted = unhex(&wanted).map(|id: Zeroizing<[u8; 8]>| KeyId(*id));
        let wanted = wanted.ok_or_else(|| ring("names no master key"))?;
        let master = master.ok_or(KeyError::None { wanted })?;
        if master.id() != wanted {
            return Err(KeyError::Wrong { wanted, given: master.id() });
        }
        let wrapping = master.wrapping();
        let unwrap = |WrittenKey { number, from, wrapped }: WrittenKey| {
            let damaged = || KeyError::Ring {
                why: format!("is damaged: data key {number} cannot be unwrapped; put it back from a backup"),
            };
            let wrapped = unhex_all(&wrapped).ok_or_else(damaged)?;
            let mut plain = wrapping.open(&bound(archive, number, from), wrapped).map_err(|_| damaged())?;
            let key = <[u8; 32]>::try_from(&*plain).map(Zeroizing::new);
            plain.zeroize();
            Ok(DataKey { number, from, key: Key(key.map_err(|_| damaged())?) })
        };
        let keys: Vec<DataKey> = keys.into_iter().map(unwrap).collect::<Result<_, KeyError>>()?;
        let in_order =
            keys.windows(2).all(|pair| pair[0].number < pair[1].number && pair[0].from <= pair[1].from);
        if keys.is_empty() || !in_order {
            return Err(ring("is damaged: its keys are not in order; put it back from a backup"));
        }
        Ok(Self { master: wanted, keys })
    }

    /// The text of the ring, its keys wrapped.
    ///
    /// # Errors
    /// `Wrong` with another master key than its own; the system has no random
    /// numbers.
    pub fn write(&self, master: &Master, archive: &[u8; 32]) -> Result<Vec<u8>, KeyError> {
        if master.id() != self.master {
            return Err(KeyError::Wrong { wanted: self.master, given: master.id() });
        }
        let wrapping = master.wrapping();
        let mut keys = Vec::with_capacity(self.keys.len());
        for DataKey { number, from, key } in &self.keys {
            let wrapped = hex(&wrapping.seal(&bound(archive, *number, *from), &*key.0)?);
            keys.push(WrittenKey { number: *number, from: *from, wrapped });
        }
        let written = Written { format: FORMAT, master: self.master.to_string(), keys };
        let mut text = serde_json::to_vec_pretty(&written).map_err(io::Error::other)?;
        text.push(b'\n');
        Ok(text)
    }

    /// The ring under another master key, with one data key more: for packs from
    /// `from` on.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn rotate(&self, master: &Master, from: u32) -> io::Result<Self> {
        let mut keys = self.keys.clone();
        let number = self.newest().number.saturating_add(1);
        keys.push(DataKey { number, from, key: Key::random()? });
        Ok(Self { master: master.id(), keys })
    }

    /// Id of the master key.
    #[must_use]
    pub fn master(&self) -> KeyId {
        self.master
    }

    /// All data keys, in their order.
    #[must_use]
    pub fn keys(&self) -> &[DataKey] {
        &self.keys
    }

    /// The data key of a pack, by the number of that; none if it is from before
    /// encryption.
    #[must_use]
    pub fn of_pack(&self, pack: u32) -> Option<&DataKey> {
        self.keys.iter().rev().find(|key| key.from <= pack)
    }

    /// The data key with a number.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Option<&DataKey> {
        self.keys.iter().find(|key| key.number == number)
    }

    /// The data key for what is begun now.
    #[must_use]
    pub fn newest(&self) -> &DataKey {
        self.keys.last().expect("a ring has a key, as both ways to make one see to")
    }
}

/// What a wrapped key is bound to: it does not unwrap in another archive, nor
/// for other packs.
fn bound(archive: &[u8; 32], number: u32, from: u32) -> Vec<u8> {
    [archive.as_slice(), &number.to_le_bytes(), &from.to_le_bytes()].concat()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // Allocated once: what grows leaves copies behind.
    let mut text = String::with_capacity(bytes.len() * 2);
    for &byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn unhex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let bytes = Zeroizing::new(unhex_all(text)?);
    <[u8; N]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new)
}

fn unhex_all(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in pairs {
        let &[high, low] = pair else { return None };
        bytes.push(digit(high)? << 4 | digit(low)?);
    }
    Some(bytes)
}

/// A hash as a key, for tests of what the ring does with one.
#[cfg(test)]
pub(super) fn master_of(text: &str) -> Master {
    Master(taken(blake3::hash(text.as_bytes())))
}
