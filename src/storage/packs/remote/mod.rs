//! Packs in a bucket: sent there whole and read back before anybody relies on
//! it, then read by blocks.
//!
//! ```text
//! FORMAT                   whose packs these are: the FORMAT file of the archive
//! KEYS/00000001            the key ring, if files are encrypted; the highest number counts
//! packs/0000/00000001.tar      the pack, as it was on the disk
//! packs/0000/00000001.blocks   its manifest, put there last
//! open/00000002/…          a pack that is being written ([`super::mirror`])
//! ```
//! Invariants: no object is ever changed; a pack counts as being in the bucket
//! once its manifest is, and that is put there after every block was read back
//! and had its digest; packs of another archive are never touched.

mod blocks;
mod manifest;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::mirror::{self, Mood, Step};
use super::volume::PackFile;
use crate::storage::objects::{Bucket, Objects};
use crate::storage::{PackId, waiting};

use self::blocks::Blocks;
pub use self::blocks::Keep;
pub use self::manifest::{BLOCK_BYTES, HEAD_BYTES, Manifest, length_of};

/// Bytes that are read back at a time.
const CHECK_BYTES: u64 = 4 * BLOCK_BYTES;
const FORMAT: &str = "FORMAT";
const KEYS: &str = "KEYS";
/// How long an upload is tried again.
const UPLOAD_TIME_MAX: Duration = Duration::from_mins(1);

/// Where the packs of an archive are that are not on its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierOptions {
    pub bucket: Bucket,
    /// The folder for blocks that were read.
    pub cache: PathBuf,
    pub cache_bytes_max: u64,
    /// Whether what is stored is in the bucket before it is acknowledged.
    pub mirrored: bool,
    /// How long a read waits for the bucket.
    pub read_time_max: Duration,
}

pub struct Remote {
    objects: Objects,
    /// Waits no longer than somebody who waits for it.
    impatient: Objects,
    mood: Mood,
    blocks: Arc<Blocks>,
}

/// An error of the bucket by its meaning: one that has none of its own says that
/// the bucket does not do its work.
#[allow(clippy::wildcard_enum_match_arm, reason = "only kinds with a meaning here are told apart")]
pub(super) fn away(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists | io::ErrorKind::InvalidData => error,
        _ => io::Error::new(io::ErrorKind::HostUnreachable, error),
    }
}

pub(super) fn folder_of(pack: PackId) -> String {
    format!("{:04}", pack.0 / super::local::PACKS_PER_FOLDER)
}

fn tar_name(pack: PackId) -> String {
    format!("packs/{}/{pack}.tar", folder_of(pack))
}

fn open_folder(pack: PackId) -> String {
    format!("open/{pack}")
}

fn manifest_name(pack: PackId) -> String {
    format!("packs/{}/{pack}.blocks", folder_of(pack))
}

impl Remote {
    /// # Errors
    /// When the address is malformed. The bucket is not asked yet.
    pub fn open(options: &TierOptions) -> io::Result<Self> {
        let within = |time| Bucket {
            retry_time_max: Some(time),
            request_time_max: Some(time),
            ..options.bucket.clone()
        };
        let objects = Objects::in_bucket(&within(UPLOAD_TIME_MAX))?;
        let for_reads = Objects::in_bucket(&within(options.read_time_max))?;
        Ok(Self::on(objects, for_reads, options))
    }

    pub(super) fn on(objects: Objects, for_reads: Objects, options: &TierOptions) -> Self {
        let TierOptions { cache, cache_bytes_max, read_time_max, .. } = options;
        let blocks = Blocks::open(for_reads.clone(), cache.clone(), *cache_bytes_max, *read_time_max);
        Self { objects, impatient: for_reads, mood: Mood::default(), blocks: Arc::new(blocks) }
    }

    /// Where it is, for people.
    pub fn place(&self) -> &str {
        self.objects.place()
    }

    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The FORMAT file of the archive whose packs lie here; none if there are none.
    ///
    /// # Errors
    /// `HostUnreachable`.
    pub fn format(&self) -> io::Result<Option<Bytes>> {
        self.get(FORMAT)
    }

    /// Notes whose packs lie here, where that is not noted yet.
    ///
    /// # Errors
    /// `HostUnreachable`.
    pub fn put_format(&self, text: &str) -> io::Result<()> {
        self.objects.put(FORMAT, Bytes::copy_from_slice(text.as_bytes())).map(drop).map_err(away)
    }

    /// The key ring that was put last.
    ///
    /// # Errors
    /// `HostUnreachable`.
    pub fn key_ring(&self) -> io::Result<Option<Bytes>> {
        let rings = self.objects.list(KEYS).map_err(away)?;
        rings.last().map_or(Ok(None), |ring| self.get(&ring.name))
    }

    /// # Errors
    /// `HostUnreachable`; `AlreadyExists` when somebody else puts one.
    pub fn put_key_ring(&self, text: &[u8]) -> io::Result<()> {
        if self.key_ring()?.is_some_and(|newest| *newest == *text) {
            return Ok(());
        }
        let next = self.objects.list(KEYS).map_err(away)?.len() + 1;
        let name = format!("{KEYS}/{next:08}");
        self.objects.put_same(&name, &Bytes::copy_from_slice(text)).map(drop).map_err(away)
    }

    /// The packs that are here.
    ///
    /// # Errors
    /// `HostUnreachable`.
    pub fn packs(&self) -> io::Result<Vec<PackId>> {
        let pack = |name: &str| {
            let pack = PackId(name.rsplit('/').next()?.strip_suffix(".blocks")?.parse().ok()?);
            (manifest_name(pack) == name).then_some(pack)
        };
        let found = self.objects.list("packs").map_err(away)?;
        Ok(found.iter().filter_map(|found| pack(&found.name)).collect())
    }

    /// # Errors
    /// `NotFound`, `InvalidData`, `HostUnreachable`.
    pub fn manifest(&self, pack: PackId) -> io::Result<Manifest> {
        let text = self.get(&manifest_name(pack))?.ok_or(io::ErrorKind::NotFound)?;
        Manifest::parse(&text, pack)
    }

    /// Sends a pack, whose bytes `read` gives, and reads it back. One that is
    /// there already is only read.
    ///
    /// # Errors
    /// `AlreadyExists` when the bucket has another pack of that number, which is
    /// then left as it is; `InvalidData` when what was sent is not what is there;
    /// `HostUnreachable`; what `read` says.
    pub fn send(
        &self,
        manifest: &Manifest,
        read: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>,
        goes_on: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let (pack, name) = (manifest.pack, tar_name(manifest.pack));
        let there = self.objects.length(&name).map_err(away)?;
        let is_there = match there {
            Some(length) if length == manifest.length => match self.check(manifest, goes_on) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => false,
                checked => checked.map(|()| true)?,
            },
            Some(_) | None => false,
        };
        if !is_there {
            if there.is_some() {
                // One that does not count is what is left of a move that was cut off.
                if self.get(&manifest_name(pack))?.is_some() {
                    let why = format!("{name} in {} is another pack of that number", self.place());
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
                }
                self.objects.delete(&name).map_err(away)?;
            }
            let sent = self.objects.upload(&name, manifest.length, &mut |range| {
                let length = usize::try_from(range.end - range.start).unwrap_or_default();
                let mut bytes = vec![0; length];
                read(&mut bytes, range.start)?;
                Ok(bytes.into())
            });
            sent.map_err(away)?;
            // What is not what was sent does not count, and the next try replaces it.
            self.check(manifest, goes_on)?;
        }
        let text = Bytes::from(manifest.to_text());
        self.objects.put_same(&manifest_name(pack), &text).map(drop).map_err(away)
    }

    /// Reads a pack and holds each block against its digest.
    ///
    /// # Errors
    /// `InvalidData`, `NotFound`, `HostUnreachable`.
    fn check(&self, manifest: &Manifest, goes_on: &dyn Fn() -> bool) -> io::Result<()> {
        let name = tar_name(manifest.pack);
        let (mut at, mut index) = (0, 0);
        while at < manifest.length {
            if !goes_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let end = manifest.length.min(at + CHECK_BYTES);
            let bytes = self.objects.get_range(&name, at..end).map_err(away)?;
            for block in bytes.chunks(usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX)) {
                if !manifest.is_block(index, block) {
                    let why = format!("{name} in {} is not what was sent", self.place());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why));
                }
                index += 1;
            }
            at = end;
        }
        Ok(())
    }

    /// Removes a pack: first what makes it count.
    ///
    /// # Errors
    /// `HostUnreachable`.
    pub fn remove(&self, pack: PackId) -> io::Result<()> {
        self.objects.delete(&manifest_name(pack)).map_err(away)?;
        self.objects.delete(&tar_name(pack)).map_err(away)?;
        self.blocks.forget(pack);
        Ok(())
    }

    /// Whether it is worth asking the bucket to take something.
    ///
    /// # Errors
    /// `HostUnreachable` for a moment after it did not.
    pub fn ready(&self) -> io::Result<()> {
        self.mood.check()
    }

    /// The packs that are being written.
    ///
    /// # Errors
    /// `HostUnreachable`.
    pub fn open_packs(&self) -> io::Result<Vec<PackId>> {
        let pack = |name: &str| name.strip_prefix("open/")?.split('/').next()?.parse().ok().map(PackId);
        let found = self.objects.list("open").map_err(away)?;
        let mut packs: Vec<PackId> = found.iter().filter_map(|found| pack(&found.name)).collect();
        packs.dedup();
        Ok(packs)
    }

    /// What makes a pack that is being written, in its order.
    ///
    /// # Errors
    /// `HostUnreachable`.
    pub fn steps(&self, pack: PackId) -> io::Result<Vec<(u32, Step)>> {
        let found = self.impatient.list(&open_folder(pack)).map_err(away)?;
        let step = |name: &str| mirror::parse(name.rsplit('/').next()?);
        Ok(found.iter().filter_map(|found| step(&found.name)).collect())
    }

    /// Puts some of them. They are durable when this returns.
    ///
    /// # Errors
    /// `HostUnreachable`.
    pub fn put_steps(&self, pack: PackId, steps: Vec<(u32, Step, Bytes)>) -> io::Result<()> {
        waiting::let_go();
        let named = |(number, step, bytes)| {
            (format!("{}/{}", open_folder(pack), mirror::name_of(number, &step)), bytes)
        };
        let put = self.impatient.put_all(steps.into_iter().map(named).collect());
        self.mood.note(put.map_err(away))
    }

    /// The bytes of a part.
    ///
    /// # Errors
    /// `NotFound`, `HostUnreachable`.
    pub fn part(&self, pack: PackId, number: u32, step: &Step) -> io::Result<Bytes> {
        let name = format!("{}/{}", open_folder(pack), mirror::name_of(number, step));
        self.objects.get(&name).map_err(away)
    }

    /// Removes what is there of a pack that is not being written any more.
    ///
    /// # Errors
    /// `HostUnreachable`.
    pub fn remove_steps(&self, pack: PackId) -> io::Result<()> {
        for found in self.objects.list(&open_folder(pack)).map_err(away)? {
            self.objects.delete(&found.name).map_err(away)?;
        }
        Ok(())
    }

    /// A pack opened for reading, of which nothing is read yet.
    pub fn file(&self, manifest: Manifest, keep: Keep) -> RemoteFile {
        RemoteFile { manifest, blocks: Arc::clone(&self.blocks), keep }
    }

    fn get(&self, name: &str) -> io::Result<Option<Bytes>> {
        match self.objects.get(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(away(error)),
        }
    }
}

/// A pack in the bucket. It is closed, so it is only read.
pub struct RemoteFile {
    manifest: Manifest,
    blocks: Arc<Blocks>,
    keep: Keep,
}

impl PackFile for RemoteFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.manifest.length)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        waiting::may_wait()?;
        self.blocks.read(&self.manifest, buffer, offset, self.keep)
    }

    fn doubt(&self, offset: u64, length: u64) -> bool {
        self.blocks.doubt(self.manifest.pack, offset..offset.saturating_add(length))
    }

    fn write_all_at(&self, _parts: &mut [io::IoSlice<'_>], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn resize(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn seal(&self) -> io::Result<()> {
        Ok(())
    }
}
