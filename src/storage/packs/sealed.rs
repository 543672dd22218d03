//! Packs whose files are encrypted (docs/ENCRYPTION.md). Owns which packs are,
//! by the key ring that lies beside them, and what a pack's keys are for: the
//! content of its files, and the proof in a record that takes the place of the
//! digest, which would tell who guesses a file that it is there.
//!
//! Invariants: the ring is durable before the first pack is begun under it; a
//! pack's files are all encrypted or none is; without its key a pack is neither
//! damaged nor cut, but refused.

use std::sync::OnceLock;

use super::record::{Proof, RECORD_BYTES, Record, What, decode, padded};
use super::{PackError, PackFile, Packs, Shared, Why, lock};
use crate::dicom::uid::InstancePath;
use crate::storage::seal::{ChunkError, Key, KeyError, Keyring, Master, Sealed, Sealer, sealed_length};
use crate::storage::{CHUNK_BYTES, Digest, PackId, Place, Role, Stamp};

/// So many of the newest packs are looked at for a ring that should be there.
const PACKS_LOOKED_AT: usize = 16;

/// The ring, once it was asked for. None: the packs are not encrypted.
pub(super) type Ring = OnceLock<Option<Keyring>>;

impl Packs {
    /// Finds out whether the packs are encrypted, and with which keys. With a
    /// master key, packs that are begun from now on are. To be called before
    /// anything is stored or replayed.
    ///
    /// # Errors
    /// `Keys`: they are encrypted and the key is none, or not theirs, or the ring
    /// is lost or damaged.
    pub fn unlock(&self, master: Option<&Master>) -> Result<(), PackError> {
        let shared = &*self.shared;
        let volume = &*shared.volume;
        let ring = match (volume.key_ring().map_err(KeyError::Io)?, master) {
            (Some(text), master) => Some(Keyring::open(&text, master, &volume.key())?),
            (None, master) => {
                shared.expect_no_sealed_pack()?;
                let next = lock(&shared.known).highest.saturating_add(1);
                let begun = master.map(|master| self.put_ring(Keyring::begin(master, next), master));
                begun.transpose()?
            }
        };
        // A second call changes nothing.
        let _ = shared.ring.set(ring);
        Ok(())
    }

    /// Wraps the data keys anew, with another master key. Packs that are begun
    /// from now on are under a new data key.
    ///
    /// # Errors
    /// `Keys`: the packs are not encrypted, or the ring cannot be written; it is
    /// then as it was.
    pub fn rotate(&self, master: &Master) -> Result<Keyring, PackError> {
        let ring = self.ring().ok_or_else(|| KeyError::Ring { why: "is not there yet".to_owned() })?;
        let next = lock(&self.shared.known).highest.saturating_add(1);
        self.put_ring(ring.rotate(master, next), master)
    }

    /// Whether the packs have a key ring.
    ///
    /// # Errors
    /// What the storage says.
    pub fn has_ring(&self) -> Result<bool, PackError> {
        Ok(self.shared.volume.key_ring().map_err(KeyError::Io)?.is_some())
    }

    fn put_ring(&self, ring: std::io::Result<Keyring>, master: &Master) -> Result<Keyring, PackError> {
        let volume = &*self.shared.volume;
        let ring = ring.map_err(KeyError::Io)?;
        volume.put_key_ring(&ring.write(master, &volume.key())?).map_err(KeyError::Io)?;
        Ok(ring)
    }

    /// The keys of the archive; none when it is not encrypted.
    #[must_use]
    pub fn ring(&self) -> Option<&Keyring> {
        self.shared.ring.get().and_then(Option::as_ref)
    }

    /// Whether the files of a pack are encrypted.
    #[must_use]
    pub fn is_encrypted(&self, pack: PackId) -> bool {
        self.ring().is_some_and(|ring| ring.of_pack(pack.0).is_some())
    }

    /// Where the entry that holds this file ends in its pack, and the next may
    /// begin: the position to replay from when all before is known.
    #[must_use]
    pub fn entry_end(&self, place: &Place) -> u64 {
        self.shared.entry_end(place)
    }
}

impl Shared {
    pub(super) fn entry_end(&self, place: &Place) -> u64 {
        let sealed = self.pack_key(place.pack).is_some();
        let stored = if sealed { sealed_length(place.length) } else { Some(place.length) };
        let padded = stored.and_then(padded);
        padded.map_or(u64::MAX, |padded| place.offset.saturating_add(padded))
    }

    pub(super) fn pack_key(&self, pack: PackId) -> Option<PackKey> {
        let data = self.ring.get()?.as_ref()?.of_pack(pack.0)?;
        let key = data.key.derive("pack", &pack.0.to_le_bytes());
        Some(PackKey { pack, newest: data.number == self.newest_key(), key })
    }

    fn newest_key(&self) -> u32 {
        self.ring.get().and_then(Option::as_ref).map_or(0, |ring| ring.newest().number)
    }

    /// Whether files may still be put into a pack: not if they would be
    /// encrypted less well than those in a new one.
    pub(super) fn takes_files(&self, pack: PackId) -> bool {
        self.ring.get().and_then(Option::as_ref).is_none()
            || self.pack_key(pack).is_some_and(|key| key.newest)
    }

    fn expect_no_sealed_pack(&self) -> Result<(), PackError> {
        let newest: Vec<PackId> =
            lock(&self.known).packs.keys().rev().take(PACKS_LOOKED_AT).copied().collect();
        // A start does not wait for a bucket.
        let is_near = |pack: &PackId| self.tiered.as_ref().is_none_or(|tiered| !tiered.is_far(*pack));
        for pack in newest.into_iter().filter(is_near) {
            // One that cannot be read says nothing. Not kept open: a pack that is
            // lost later must be seen to be.
            let file = self.volume.open(pack, super::Access::Read).ok();
            if file.is_some_and(|file| has_sealed_record(&*file, 0)) {
                return Err(KeyError::Lost { pack }.into());
            }
        }
        Ok(())
    }

    /// What is wrong with the file at a place that does not read as it should:
    /// one that is encrypted, in a pack that we hold for one that is not, is not
    /// damaged.
    pub(super) fn misread(&self, place: &Place, offset: u64, why: Why) -> PackError {
        let pack = place.pack;
        let sealed = self.pack_key(pack).is_none()
            && self.file(pack).is_ok_and(|file| has_sealed_record(&*file, place.entry_start()));
        if sealed { KeyError::Lost { pack }.into() } else { PackError::Damaged { pack, offset, why } }
    }
}

fn has_sealed_record(file: &dyn PackFile, offset: u64) -> bool {
    let mut head = [0; RECORD_BYTES];
    let found = file.read_exact_at(&mut head, offset).ok().and_then(|()| decode(&head, None, offset));
    matches!(found, Some((Record { what: What::Stored { proof: Proof::Sealed(_), .. }, .. }, _)))
}

/// The keys of one pack.
#[derive(Debug, Clone)]
pub(super) struct PackKey {
    pack: PackId,
    /// Under the data key that new packs are under.
    newest: bool,
    key: Key,
}

impl PackKey {
    /// The content of the file at a place.
    pub fn content(&self, offset: u64, length: u64) -> Sealed {
        Sealed { key: self.key.derive("content", &[]), thing: offset, length, chunk_bytes: CHUNK_BYTES }
    }

    pub fn sealer(&self, offset: u64) -> Sealer {
        Sealer::new(self.key.derive("content", &[]), offset)
    }

    pub fn seal(&self, offset: u64, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        Sealer::seal(&self.key.derive("content", &[]), offset, bytes)
    }

    /// What a record says in place of the digest: the digest and all else that
    /// it says of the file, under the pack's key.
    pub fn proof(&self, file: &Claim<'_>) -> Proof {
        let Claim { path, stamp, role, digest, place } = file;
        let said = format!("{path} {role:?} {} {} {} {digest}", stamp.0, place.length, place.offset);
        Proof::Sealed(self.key.derive("record", &[]).authenticate(said.as_bytes()))
    }

    pub fn misread(&self, place: &Place, error: ChunkError) -> PackError {
        match error {
            ChunkError::Read(error) => PackError::read(self.pack, place.offset, error),
            ChunkError::Unsealed { at } => PackError::Damaged {
                pack: self.pack,
                offset: place.offset.saturating_add(at),
                why: Why::Seal,
            },
        }
    }
}

/// What a record says of a file.
pub(super) struct Claim<'a> {
    pub path: &'a InstancePath,
    pub stamp: Stamp,
    pub role: Role,
    pub digest: Digest,
    pub place: Place,
}

impl Claim<'_> {
    /// How a record proves it.
    pub fn proof(&self, key: Option<&PackKey>) -> Proof {
        key.map_or(Proof::Digest(self.digest), |key| key.proof(self))
    }
}
