//! A volume of two places: the packs that are written, and those that were
//! closed lately, in a folder; the others in a bucket. Where a pack of the bucket
//! was in the folder lies its manifest, so a start does not need the bucket.
//!
//! If it is mirrored, packs that are being written are in both places
//! ([`super::mirror`]), and closed ones go to the bucket at once.
//!
//! A pack moves in steps, each of which may be the last: it is sent, read back,
//! noted in the bucket, noted in the folder (durably), removed from the folder.
//! Invariant: at no moment is there less than one whole, checked copy that the
//! folder knows of.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::mirror::{MirroredFile, Step};
use super::remote::{Keep, Manifest, Remote, TierOptions};
use super::{Access, Listed, Local, PackError, PackFile, Packs, Replayed, Standing, Volume, lock};
use crate::storage::{PackId, Place};

pub(super) struct Tiered {
    local: Local,
    remote: Arc<Remote>,
    /// Nothing is acknowledged that is only on the disk.
    mirrored: bool,
    /// The packs that are only in the bucket, and their lengths.
    far: Mutex<BTreeMap<PackId, u64>>,
}

/// A closed pack that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    pub pack: PackId,
    pub length: u64,
    /// When it was written last.
    pub since: SystemTime,
    /// Whether the bucket has it already.
    pub copied: bool,
}

/// What became of a pack that was to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It is in the bucket, and not on the disk any more.
    Gone,
    /// It is in the bucket as well.
    Copied,
    /// Something in it is damaged, so it stays where it is.
    Damaged { places: u64 },
}

/// The packs in the bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TierStats {
    pub packs: u64,
    pub bytes: u64,
    /// Blocks of them that are kept on the disk.
    pub cache_bytes: u64,
}

impl Tiered {
    /// The packs of `dir` and of the bucket, held by this process alone. The
    /// bucket is asked only if there are no packs in `dir`: if it has any, they
    /// are taken as those of this archive.
    pub fn open(dir: &Path, options: &TierOptions) -> Result<Self, PackError> {
        let remote = Remote::open(options).map_err(failed(dir, "name the bucket for"))?;
        Self::on(dir, remote, options.mirrored)
    }

    pub fn on(dir: &Path, remote: Remote, mirrored: bool) -> Result<Self, PackError> {
        if !Local::exist(dir) {
            adopt(dir, &remote).map_err(failed(dir, "ask the bucket for the packs of"))?;
        }
        let local = Local::open(dir)?;
        local.note_bucket()?;
        let tiered = Self::with(dir, local, remote, mirrored)?;
        let mut there = Vec::new();
        if mirrored {
            tiered.claim()?;
            there = tiered.remote.packs().map_err(|source| tiered.of_bucket(source))?;
        }
        tiered.close_again(&there).map_err(failed(dir, "close what the bucket has closed in"))?;
        if mirrored {
            tiered.expect_no_later_packs(there)?;
        }
        Ok(tiered)
    }

    fn of_bucket(&self, source: io::Error) -> PackError {
        PackError::Bucket { place: self.remote.place().to_owned(), source }
    }

    /// Who copies a folder may lose that closed packs are read-only. They would be
    /// resumed, and what is written to one that the bucket has as closed would never
    /// come to be there.
    fn close_again(&self, there: &[PackId]) -> io::Result<()> {
        for Listed { pack, length, sealed } in self.local.list()? {
            if sealed {
                continue;
            }
            let manifest = match self.noted(pack) {
                Ok(noted) => noted,
                Err(_) if there.contains(&pack) => self.remote.manifest(pack)?,
                Err(_) => continue,
            };
            let file = self.local.open(pack, Access::Write)?;
            let is_whole = || {
                let found = Manifest::of(pack, length, &mut |buffer, at| file.read_exact_at(buffer, at));
                found.is_ok_and(|found| found == manifest)
            };
            if manifest.length == length && is_whole() {
                tracing::warn!(%pack, "a pack that the bucket has is writable on the disk, and is closed again");
                file.seal()?;
            }
        }
        Ok(())
    }

    /// A folder that was put back from a copy would give numbers again that the
    /// bucket has packs of, and what is stored then would be lost among these.
    fn expect_no_later_packs(&self, closed: Vec<PackId>) -> Result<(), PackError> {
        let remote = &self.remote;
        let failed = |source| self.of_bucket(source);
        let near: BTreeMap<PackId, bool> = self
            .local
            .list()
            .map_err(failed)?
            .into_iter()
            .map(|listed| (listed.pack, listed.sealed))
            .collect();
        let noted = |pack| self.local.manifest(pack).is_ok();
        let closed = closed.into_iter().filter(|pack| near.get(pack) != Some(&true) && !noted(*pack));
        let open = remote.open_packs().map_err(failed)?;
        let open = open.into_iter().filter(|pack| !near.contains_key(pack) && !noted(*pack));
        match closed.chain(open).min() {
            Some(pack) => Err(PackError::Ahead { place: remote.place().to_owned(), pack }),
            None => Ok(()),
        }
    }

    /// Makes sure that the bucket is this archive's, and notes so in an empty one.
    fn claim(&self) -> Result<(), PackError> {
        let remote = &self.remote;
        let failed = |source| self.of_bucket(source);
        let ours = self.local.format().map_err(failed)?;
        if remote.format().map_err(failed)?.is_none() {
            remote.put_format(&ours).map_err(failed)?;
        }
        let theirs = remote.format().map_err(failed)?;
        // The first line is the number of the format, which may rise.
        let key = |text: &str| text.lines().nth(1).map(str::to_owned);
        let theirs = theirs.and_then(|bytes| key(std::str::from_utf8(&bytes).ok()?));
        if theirs.is_none() || theirs != key(&ours) {
            return Err(PackError::Foreign { place: remote.place().to_owned() });
        }
        match self.local.key_ring().map_err(failed)? {
            Some(ring) => remote.put_key_ring(&ring).map_err(failed),
            None => Ok(()),
        }
    }

    /// The same for reading, beside a process that may hold them.
    pub fn beside(dir: &Path, options: &TierOptions) -> Result<Self, PackError> {
        // The blocks that are kept are the other's.
        let cache = options.cache.join("none");
        let options = TierOptions { cache, cache_bytes_max: 0, ..options.clone() };
        let remote = Remote::open(&options).map_err(failed(dir, "name the bucket for"))?;
        Self::with(dir, Local::beside(dir)?, remote, false)
    }

    fn with(dir: &Path, local: Local, remote: Remote, mirrored: bool) -> Result<Self, PackError> {
        let tiered = Self { local, remote: Arc::new(remote), mirrored, far: Mutex::default() };
        tiered.look().map_err(failed(dir, "list the packs in"))?;
        Ok(tiered)
    }

    /// Finds out which packs are only in the bucket.
    fn look(&self) -> io::Result<()> {
        let near: Vec<PackId> = self.local.list()?.into_iter().map(|listed| listed.pack).collect();
        let mut far: BTreeMap<PackId, u64> = self.local.manifests()?.into_iter().collect();
        for pack in near {
            far.remove(&pack);
        }
        *lock(&self.far) = far;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn read_nothing_kept(&self, pack: PackId) {
        self.remote.blocks().forget(pack);
    }

    pub fn is_far(&self, pack: PackId) -> bool {
        self.far(pack).is_some()
    }

    /// Whether the manifest of a pack says that the bucket has it.
    fn is_copied(&self, pack: PackId, length: u64) -> bool {
        self.noted(pack).is_ok_and(|noted| noted.length == length)
    }

    /// The manifest that the folder has of a pack.
    fn noted(&self, pack: PackId) -> io::Result<Manifest> {
        self.local.manifest(pack).and_then(|text| Manifest::parse(&text, pack))
    }

    fn far(&self, pack: PackId) -> Option<u64> {
        lock(&self.far).get(&pack).copied()
    }

    fn manifest(&self, pack: PackId) -> io::Result<Manifest> {
        match self.noted(pack) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(%pack, "the manifest of a pack is damaged and is taken from the bucket");
                let manifest = self.remote.manifest(pack)?;
                self.local.put_manifest(pack, manifest.to_text().as_bytes())?;
                Ok(manifest)
            }
            manifest => manifest,
        }
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> PackError {
    let path = path.to_path_buf();
    move |source| PackError::Folder { path, action, source }
}

/// Makes the folder of an archive whose disk was lost, of what the bucket has.
/// FORMAT is written last: until then there is no archive.
fn adopt(dir: &Path, remote: &Remote) -> io::Result<()> {
    let Some(format) = remote.format()? else { return Ok(()) };
    let packs = remote.packs()?;
    let open: Vec<PackId> = remote.open_packs()?.into_iter().filter(|pack| !packs.contains(pack)).collect();
    tracing::warn!(packs = packs.len(), bucket = remote.place(), "an archive is taken over from a bucket");
    for pack in packs {
        Local::begin_manifest(dir, pack, remote.manifest(pack)?.to_text().as_bytes())?;
    }
    for pack in open {
        Local::begin_pack(dir, pack, &mut |file| {
            for (number, step) in remote.steps(pack)? {
                match &step {
                    Step::Part(range) => {
                        file.write_all_at(&remote.part(pack, number, &step)?, range.start)?;
                    }
                    Step::Cut(length) => file.set_len(*length)?,
                }
            }
            Ok(())
        })?;
    }
    let ring = remote.key_ring()?;
    Local::begin(dir, &format, ring.as_deref())
}

impl Volume for Tiered {
    fn key(&self) -> [u8; 32] {
        self.local.key()
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let mut all = self.local.list()?;
        let far = lock(&self.far);
        all.extend(far.iter().map(|(&pack, &length)| Listed { pack, length, sealed: true }));
        Ok(all)
    }

    fn create(&self, pack: PackId) -> io::Result<Arc<dyn PackFile>> {
        if !self.mirrored {
            return self.local.create(pack);
        }
        self.remote.ready()?;
        let file = self.local.create(pack)?;
        Ok(Arc::new(MirroredFile::new(pack, file, Arc::clone(&self.remote))))
    }

    fn open(&self, pack: PackId, access: Access) -> io::Result<Arc<dyn PackFile>> {
        match self.local.open(pack, access) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(file) if self.mirrored && access == Access::Write => {
                return Ok(Arc::new(MirroredFile::resume(pack, file, Arc::clone(&self.remote))?));
            }
            opened => return opened,
        }
        let keep = match access {
            Access::Read => Keep::OnDisk,
            Access::Scan => Keep::InMemory,
            Access::Write => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(self.remote.file(self.manifest(pack)?, keep)))
    }

    fn remove(&self, pack: PackId) -> io::Result<()> {
        // Also of one that is on the disk: it may have been sent already.
        let noted = self.local.manifest(pack).is_ok();
        if noted {
            self.remote.remove(pack)?;
        }
        if self.mirrored {
            self.remote.remove_steps(pack)?;
        }
        match self.local.remove(pack) {
            Err(error) if error.kind() != io::ErrorKind::NotFound || !noted => return Err(error),
            Ok(()) | Err(_) => {}
        }
        if noted {
            self.local.remove_manifest(pack)?;
            lock(&self.far).remove(&pack);
        }
        Ok(())
    }

    fn key_ring(&self) -> io::Result<Option<Vec<u8>>> {
        self.local.key_ring()
    }

    fn put_key_ring(&self, text: &[u8]) -> io::Result<()> {
        if self.mirrored {
            self.remote.put_key_ring(text)?;
        }
        self.local.put_key_ring(text)
    }

    fn set_aside(&self, pack: PackId, offset: u64, bytes: &mut dyn Read) -> io::Result<()> {
        self.local.set_aside(pack, offset, bytes)
    }
}

impl Packs {
    /// Opens the packs in `dir` and in a bucket. Where there are none in `dir`,
    /// those in the bucket are taken over.
    ///
    /// # Errors
    /// `Newer`, `Format`, `Locked`, what the disk says; when there are none in
    /// `dir`, also when the bucket does not answer.
    pub fn open_tiered(dir: &Path, options: super::Options, tier: &TierOptions) -> Result<Self, PackError> {
        Self::on_tiers(dir, Tiered::open(dir, tier)?, options)
    }

    pub(super) fn on_tiers(dir: &Path, tiered: Tiered, options: super::Options) -> Result<Self, PackError> {
        let tiered = Arc::new(tiered);
        let volume: Arc<dyn Volume> = Arc::clone(&tiered) as Arc<dyn Volume>;
        Self::open_both(volume, Some(tiered), options).map_err(failed(dir, "list the packs in"))
    }

    /// Whether there are packs of an archive in a bucket.
    ///
    /// # Errors
    /// `Bucket`.
    pub fn exist_in_bucket(tier: &TierOptions) -> Result<bool, PackError> {
        let place = || tier.bucket.name.clone();
        let format = Remote::open(tier).and_then(|remote| remote.format());
        Ok(format.map_err(|source| PackError::Bucket { place: place(), source })?.is_some())
    }

    /// Whether a pack is only in the bucket.
    #[must_use]
    pub fn is_far(&self, pack: PackId) -> bool {
        self.shared.tiered.as_ref().is_some_and(|tiered| tiered.far(pack).is_some())
    }

    /// Whether any is.
    #[must_use]
    pub fn any_is_far(&self) -> bool {
        self.shared.tiered.as_ref().is_some_and(|tiered| !lock(&tiered.far).is_empty())
    }

    /// Whether bytes of a pack can be read without the bucket.
    #[must_use]
    pub fn is_at_hand(&self, pack: PackId, range: Range<u64>) -> bool {
        match &self.shared.tiered {
            Some(tiered) if tiered.far(pack).is_some() => tiered.remote.blocks().has(pack, range),
            _ => true,
        }
    }

    /// Where the bytes of a file lie in its pack.
    #[must_use]
    pub fn content(&self, place: &Place) -> Range<u64> {
        place.offset..self.entry_end(place)
    }

    #[must_use]
    pub fn tier_stats(&self) -> TierStats {
        let Some(tiered) = &self.shared.tiered else { return TierStats::default() };
        let far = lock(&tiered.far);
        let (packs, bytes) = (far.len() as u64, far.values().sum());
        drop(far);
        TierStats { packs, bytes, cache_bytes: tiered.remote.blocks().disk_bytes() }
    }

    /// The closed packs that are on the disk, in the order they were begun.
    ///
    /// # Errors
    /// What the disk says.
    pub fn closed(&self) -> Result<Vec<Closed>, PackError> {
        let Some(tiered) = &self.shared.tiered else { return Ok(Vec::new()) };
        let sealed = |info: &super::PackInfo| info.standing == Standing::Sealed && !self.is_far(info.pack);
        let since = |info: super::PackInfo| {
            let since = tiered.local.modified(info.pack);
            let since = since.map_err(|error| PackError::named(info.pack, "look at", error))?;
            let copied = tiered.mirrored && tiered.is_copied(info.pack, info.length);
            Ok(Closed { pack: info.pack, length: info.length, since, copied })
        };
        self.list().into_iter().filter(sealed).map(since).collect()
    }

    /// Makes sure that the bucket is this archive's, and notes so in an empty one.
    ///
    /// # Errors
    /// `Foreign`, `Bucket`.
    pub fn claim_bucket(&self) -> Result<(), PackError> {
        let Some(tiered) = &self.shared.tiered else { return Ok(()) };
        tiered.claim()?;
        // What a stop left of packs that are not being written any more.
        let failed = |source| PackError::Bucket { place: tiered.remote.place().to_owned(), source };
        let is_written =
            |pack| matches!(self.shared.standing(pack), Ok(standing) if standing != Standing::Sealed);
        for pack in tiered.remote.open_packs().map_err(failed)? {
            // Of one that is not known here they may be all that there is.
            let is_closed = self.shared.standing(pack).is_ok() && !is_written(pack);
            let length = self.shared.length(pack).unwrap_or_default();
            if is_closed && tiered.is_copied(pack, length) {
                tiered.remote.remove_steps(pack).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Moves a closed pack to the bucket, after each of its files was held
    /// against its digest. May be cut off at any time, and is when `goes_on` says no.
    ///
    /// # Errors
    /// As [`Self::copy_out`].
    pub fn move_out(&self, pack: PackId, goes_on: &dyn Fn() -> bool) -> Result<Moved, PackError> {
        let copied = self.copy_out(pack, goes_on)?;
        let (Moved::Copied, Some(tiered)) = (copied, &self.shared.tiered) else { return Ok(copied) };
        let length = self.shared.length(pack)?;
        // Before it is removed: else it would be in neither place for a moment.
        lock(&tiered.far).insert(pack, length);
        if let Err(error) = tiered.local.remove(pack) {
            lock(&tiered.far).remove(&pack);
            return Err(PackError::named(pack, "remove", error));
        }
        // Else its bytes would stay on the disk for as long as it is open.
        self.shared.files.forget(pack);
        Ok(Moved::Gone)
    }

    /// Copies a closed pack to the bucket, and leaves it on the disk.
    ///
    /// # Errors
    /// `Standing` when it is not closed, `Bucket` with what the bucket says, and
    /// what the disk says. It is then on the disk as before.
    pub fn copy_out(&self, pack: PackId, goes_on: &dyn Fn() -> bool) -> Result<Moved, PackError> {
        let shared = &*self.shared;
        let Some(tiered) = &shared.tiered else { return Err(PackError::Missing { pack }) };
        let found = shared.standing(pack)?;
        if found != Standing::Sealed {
            return Err(PackError::Standing { pack, found, wanted: "moved" });
        }
        let of_bucket = |source| tiered.of_bucket(source);
        let file = tiered.local.open(pack, Access::Read);
        let file = file.map_err(|error| PackError::named(pack, "open", error))?;
        let length = file.length().map_err(|error| PackError::io(pack, "read", error))?;
        // Noted in the folder: it was sent and read back before a stop.
        if !tiered.is_copied(pack, length) {
            let mut places = 0;
            self.replay(pack, 0, &mut |found| {
                places += u64::from(matches!(found, Replayed::Damaged(_)));
                if goes_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            if places > 0 {
                return Ok(Moved::Damaged { places });
            }
            let mut read = |buffer: &mut [u8], at| {
                if !goes_on() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                file.read_exact_at(buffer, at)
            };
            let manifest = Manifest::of(pack, length, &mut read);
            let manifest = manifest.map_err(|error| PackError::read(pack, 0, error))?;
            tiered.remote.send(&manifest, &mut read, goes_on).map_err(of_bucket)?;
            tiered
                .local
                .put_manifest(pack, manifest.to_text().as_bytes())
                .map_err(|error| PackError::io(pack, "note the move of", error))?;
            tiered.remote.remove_steps(pack).map_err(of_bucket)?;
        }
        Ok(Moved::Copied)
    }
}
