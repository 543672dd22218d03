//! Packs as a backup sees them: read beside the process that writes them, and
//! written whole into an empty folder.
//!
//! Invariants: a [`Reader`] changes nothing and needs no lock, for what was
//! durable once never changes; what it must not read beyond, its caller knows
//! from the process that writes. A [`Writer`] never writes where a pack is.

use std::io::{self, IoSlice};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use super::tiered::Tiered;
use super::{Access, Local, Options, PackError, PackFile, Packs, Replayed, TierOptions, Volume};
use crate::storage::seal::{KeyError, Master};
use crate::storage::{PackId, Stamp};

/// Where a range cannot be read as a whole, pieces of this size are tried one by one:
/// a block in a bucket, a sector of a disk.
const PIECES_BYTES: [u64; 2] = [1 << 20, 4096];

/// The packs of an archive that another process may be writing.
#[derive(Debug)]
pub struct Reader {
    packs: Packs,
}

/// What lies in a range of a pack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Files whose bytes have their digest, and tombstones.
    pub entries: u64,
    /// Places whose bytes are not what was written.
    pub damaged: u64,
}

impl Reader {
    /// The packs in `dir`, as they are now, and those in a bucket if there is one.
    ///
    /// # Errors
    /// `Newer`, `Format`, and what the disk says.
    pub fn open(dir: &Path, tier: Option<&TierOptions>) -> Result<Self, PackError> {
        if let Some(tier) = tier {
            let tiered = Tiered::beside(dir, tier)?;
            return Ok(Self { packs: Packs::on_tiers(dir, tiered, Options::default())? });
        }
        let local = Local::beside(dir)?;
        if local.manifests().is_ok_and(|manifests| !manifests.is_empty()) {
            return Err(PackError::Bucketless { path: dir.to_path_buf() });
        }
        Self::on(Arc::new(local)).map_err(|source| PackError::Folder {
            path: dir.to_path_buf(),
            action: "list the packs in",
            source,
        })
    }

    /// The packs of a volume.
    ///
    /// # Errors
    /// What the volume says.
    pub fn on(volume: Arc<dyn Volume>) -> io::Result<Self> {
        Ok(Self { packs: Packs::open_on(volume, Options::default())? })
    }

    /// The secret of the archive.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        self.packs.key()
    }

    /// Takes the keys, where files are encrypted; `fetch` is asked only then.
    ///
    /// # Errors
    /// `Keys`: there are none, or others.
    pub fn unlock(&self, fetch: impl FnOnce() -> Result<Option<Master>, PackError>) -> Result<(), PackError> {
        // Only who writes packs begins a key ring.
        let master = if self.packs.has_ring()? { fetch()? } else { None };
        self.packs.unlock(master.as_ref())
    }

    /// Holds every file of a range of a pack, which begins at 0 or at the end
    /// of an entry, against its digest.
    ///
    /// # Errors
    /// `Missing`, and what the disk says.
    pub fn check(&self, pack: PackId, range: Range<u64>) -> Result<Checked, PackError> {
        let mut checked = Checked::default();
        let end = self.packs.replay_within(pack, range, &mut |found| {
            match found {
                Replayed::File { .. } | Replayed::Tombstone { .. } => checked.entries += 1,
                Replayed::Damaged(_) => checked.damaged += 1,
            }
            ControlFlow::Continue(())
        })?;
        checked.damaged += end.tail.len() as u64;
        Ok(checked)
    }

    /// Whether a pack is there.
    ///
    /// # Errors
    /// `Missing`.
    pub fn has(&self, pack: PackId) -> Result<(), PackError> {
        self.packs.shared.standing(pack).map(drop)
    }

    /// A range of a pack, unchecked. What of it is damaged so that it cannot be
    /// read is zeros.
    ///
    /// # Errors
    /// `Missing`, `Damaged` when the pack is not so long, and what the disk says.
    pub fn read(&self, pack: PackId, range: Range<u64>) -> Result<Vec<u8>, PackError> {
        let file = self.packs.shared.file(pack)?;
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
        read_all(&*file, &mut bytes, range.start, &PIECES_BYTES)
            .map_err(|error| PackError::read(pack, range.start, error))?;
        Ok(bytes)
    }
}

/// Fills `buffer` from `offset` on, piece by piece where the whole cannot be read.
fn read_all(file: &dyn PackFile, buffer: &mut [u8], offset: u64, smaller: &[u64]) -> io::Result<()> {
    match file.read_exact_at(buffer, offset) {
        Err(error) if is_of_a_place(&error) => {}
        done => return done,
    }
    let Some((&piece_bytes, smaller)) = smaller.split_first() else {
        buffer.fill(0);
        return Ok(());
    };
    let (mut rest, mut at) = (buffer, offset);
    while !rest.is_empty() {
        let length = usize::try_from(piece_bytes - at % piece_bytes).unwrap_or(usize::MAX).min(rest.len());
        let (piece, behind) = rest.split_at_mut(length);
        read_all(file, piece, at, smaller)?;
        (rest, at) = (behind, at + length as u64);
    }
    Ok(())
}

/// Whether an error says that bytes at a place are lost, and nothing of others: of a
/// disk (EIO), and of a block in a bucket.
fn is_of_a_place(error: &io::Error) -> bool {
    error.raw_os_error() == Some(5) || error.kind() == io::ErrorKind::InvalidData
}

/// Packs that are being restored.
pub struct Writer {
    volume: Arc<dyn Volume>,
    master: Option<Master>,
}

/// A pack that is being restored.
pub struct PackWriter {
    pack: PackId,
    file: Arc<dyn PackFile>,
    at: u64,
}

/// What was left out of a pack, and what could not be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Where the pack ends now, if anything was cut off.
    pub end: Option<u64>,
    pub entries: u64,
    /// Entries that were not wanted and lie before one that is.
    pub in_between: u64,
}

impl Writer {
    /// Begins in `dir`, where the FORMAT file is and the key ring, if files are
    /// encrypted: only then `fetch` is asked for the key.
    ///
    /// # Errors
    /// `Newer`, `Format`, `Locked`, `Keys`, and what the disk says.
    pub fn begin(
        dir: &Path,
        fetch: impl FnOnce() -> Result<Option<Master>, PackError>,
    ) -> Result<Self, PackError> {
        let volume: Arc<dyn Volume> = Arc::new(Local::open(dir)?);
        let has_ring = volume.key_ring().map_err(KeyError::Io)?.is_some();
        let master = if has_ring { fetch()? } else { None };
        Ok(Self { volume, master })
    }

    /// Begins a pack.
    ///
    /// # Errors
    /// `Full`, and what the disk says.
    pub fn pack(&self, pack: PackId) -> Result<PackWriter, PackError> {
        let file = self.volume.create(pack).map_err(|error| PackError::io(pack, "create", error))?;
        Ok(PackWriter { pack, file, at: 0 })
    }
}

impl PackWriter {
    /// Takes the next bytes of the pack.
    ///
    /// # Errors
    /// `Full`, and what the disk says.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        let pack = self.pack;
        self.file
            .write_all_at(&mut [IoSlice::new(bytes)], self.at)
            .map_err(|error| PackError::io(pack, "write", error))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Makes it durable, and closes it if it was closed.
    ///
    /// # Errors
    /// `Full`, and what the disk says.
    pub fn finish(self, sealed: bool) -> Result<(), PackError> {
        let done = if sealed { self.file.seal() } else { self.file.flush() };
        done.map_err(|error| PackError::io(self.pack, "flush", error))
    }

    /// Cuts off what lies behind the last entry whose stamp is wanted, durably.
    /// (Entries follow each other in time, so nothing wanted is lost.)
    ///
    /// # Errors
    /// `Full`, and what the disk says.
    pub fn cut(&self, writer: &Writer, is_wanted: &dyn Fn(Stamp) -> bool) -> Result<Cut, PackError> {
        let pack = self.pack;
        self.file.flush().map_err(|error| PackError::io(pack, "flush", error))?;
        let packs = Packs::open_on(Arc::clone(&writer.volume), Options::default())
            .map_err(|error| PackError::io(pack, "list", error))?;
        packs.unlock(writer.master.as_ref())?;
        let (mut end, mut cut, mut behind) = (0, Cut::default(), 0);
        packs.replay_within(pack, 0..self.at, &mut |found| {
            let (stamp, place) = match found {
                Replayed::File { stamp, place, .. } | Replayed::Tombstone { stamp, place, .. } => {
                    (stamp, place)
                }
                Replayed::Damaged(_) => return ControlFlow::Continue(()),
            };
            if is_wanted(stamp) {
                end = packs.entry_end(&place);
                cut.in_between += std::mem::take(&mut behind);
            } else {
                behind += 1;
            }
            ControlFlow::Continue(())
        })?;
        if behind > 0 {
            let file = writer.volume.open(pack, Access::Write);
            let cut_off = file.and_then(|file| file.resize(end).and_then(|()| file.flush()));
            cut_off.map_err(|error| PackError::io(pack, "cut", error))?;
            cut.end = Some(end);
            cut.entries = behind;
        }
        Ok(cut)
    }
}
