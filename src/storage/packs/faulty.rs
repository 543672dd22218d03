//! A disk in memory for tests: it fails on command, and when its power is cut
//! it keeps of all that was not flushed only some blocks, as a real one does.
//! After a failed flush the unflushed writes can still be read and will never
//! be durable, which is how Linux behaves and why a flush is not tried twice.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::volume::{Access, Listed, PackFile, Volume};
use crate::storage::PackId;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full; of a write, half is done.
    NoSpace,
    /// The disk is broken; of a write, half is done.
    Broken,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::NoSpace => io::ErrorKind::StorageFull.into(),
            Self::Broken => io::Error::other("the disk is broken"),
        }
    }
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Faulty {
    disk: Arc<Mutex<Disk>>,
    /// A volume of before the crash has no access after it.
    life: u64,
}

#[derive(Default)]
struct Disk {
    packs: BTreeMap<PackId, Image>,
    torn: Vec<(PackId, u64, Vec<u8>)>,
    key_ring: Option<Vec<u8>>,
    /// Which operations fail, counted from now on.
    faults: BTreeMap<u64, Fault>,
    /// What cannot be read.
    bad: Vec<(PackId, Range<u64>)>,
    /// All operations fail from here on.
    faults_from: Option<(u64, Fault)>,
    operations: u64,
    life: u64,
}

#[derive(Default, Clone)]
struct Image {
    /// As it is read.
    bytes: Vec<u8>,
    /// As it was at the last flush.
    durable: Vec<u8>,
    /// What was done since.
    unflushed: Vec<Change>,
    sealed: bool,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize { length: usize },
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(bytes);
            }
            Self::Resize { length } => image.resize(*length, 0),
        }
    }
}

impl Faulty {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty disk, but for the key ring, which is that of this one.
    #[must_use]
    pub fn another(&self) -> Self {
        let disk = Disk { key_ring: self.disk().key_ring.clone(), ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)), life: 0 }
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operation that is `after` changing operations away fails, and only that one.
    pub fn fail(&self, after: u64, fault: Fault) {
        let mut disk = self.disk();
        let at = disk.operations + after;
        disk.faults.insert(at, fault);
    }

    /// All changing operations fail, from the one that is `after` away on,
    /// until [`Self::mend`].
    pub fn fail_from(&self, after: u64, fault: Fault) {
        let mut disk = self.disk();
        disk.faults_from = Some((disk.operations + after, fault));
    }

    /// Every read that touches `range` of a pack fails, for ever.
    pub fn refuse(&self, pack: PackId, range: Range<u64>) {
        self.disk().bad.push((pack, range));
    }

    /// Nothing fails any more, but for what cannot be read.
    pub fn mend(&self) {
        let mut disk = self.disk();
        disk.faults.clear();
        disk.faults_from = None;
    }

    /// Cuts the power. Each block of 512 bytes that was not flushed is kept or
    /// lost by the seed; a lost one within the pack reads as zeros.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut random = seed;
        let mut disk = self.disk();
        for image in disk.packs.values_mut() {
            let mut bytes = std::mem::take(&mut image.durable);
            // A third of the disks write in order and stop somewhere.
            let in_order = next(&mut random).is_multiple_of(3);
            let mut stopped = false;
            for change in std::mem::take(&mut image.unflushed) {
                let Change::Write { offset, bytes: written } = &change else {
                    if !stopped {
                        change.apply(&mut bytes);
                    }
                    continue;
                };
                for (index, block) in written.chunks(512).enumerate() {
                    let lost = next(&mut random).is_multiple_of(4);
                    stopped |= in_order && lost;
                    if stopped || lost {
                        continue;
                    }
                    Change::Write { offset: offset + index * 512, bytes: block.to_vec() }.apply(&mut bytes);
                }
            }
            image.bytes.clone_from(&bytes);
            image.durable = bytes;
        }
        disk.faults.clear();
        disk.faults_from = None;
        disk.life += 1;
        Self { disk: Arc::clone(&self.disk), life: disk.life }
    }

    /// Ends the process, with the power on: what was written stays written.
    #[must_use]
    pub fn restart(&self) -> Self {
        let mut disk = self.disk();
        disk.faults.clear();
        disk.faults_from = None;
        disk.life += 1;
        Self { disk: Arc::clone(&self.disk), life: disk.life }
    }

    /// What a pack holds, as it is read.
    #[must_use]
    pub fn bytes(&self, pack: PackId) -> Option<Vec<u8>> {
        self.disk().packs.get(&pack).map(|image| image.bytes.clone())
    }

    /// Puts other bytes in place of a pack's, durably: damage, or an old state.
    pub fn replace(&self, pack: PackId, bytes: Vec<u8>) {
        let image = Image { durable: bytes.clone(), bytes, ..Image::default() };
        self.disk().packs.insert(pack, image);
    }

    /// What was set aside, in order.
    #[must_use]
    pub fn torn(&self) -> Vec<(PackId, u64, Vec<u8>)> {
        self.disk().torn.clone()
    }

    fn read<T>(&self, reading: impl FnOnce(&Disk) -> io::Result<T>) -> io::Result<T> {
        let disk = self.disk();
        if disk.life == self.life { reading(&disk) } else { Err(io::Error::other("the power was cut")) }
    }

    /// Does a changing operation, or what its fault leaves of it.
    fn change<T>(&self, changing: impl FnOnce(&mut Disk, Option<Fault>) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk();
        if disk.life != self.life {
            return Err(io::Error::other("the power was cut"));
        }
        let now = disk.operations;
        disk.operations += 1;
        let always = disk.faults_from.filter(|&(from, _)| from <= now).map(|(_, fault)| fault);
        let fault = disk.faults.remove(&now).or(always);
        changing(&mut disk, fault)
    }
}

/// splitmix64: small, and the same for a seed for ever.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn at(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::StorageFull.into())
}

fn found<T>(image: Option<T>) -> io::Result<T> {
    image.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn passes(fault: Option<Fault>) -> io::Result<()> {
    fault.map_or(Ok(()), |fault| Err(fault.error()))
}

impl Volume for Faulty {
    fn key(&self) -> [u8; 32] {
        [42; 32]
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        self.read(|disk| {
            let listed = |(&pack, image): (&PackId, &Image)| Listed {
                pack,
                length: image.bytes.len() as u64,
                sealed: image.sealed,
            };
            Ok(disk.packs.iter().map(listed).collect())
        })
    }

    fn create(&self, pack: PackId) -> io::Result<Arc<dyn PackFile>> {
        self.change(|disk, fault| {
            passes(fault)?;
            if disk.packs.contains_key(&pack) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            disk.packs.insert(pack, Image::default());
            Ok(())
        })?;
        Ok(Arc::new(FaultyFile { volume: self.clone(), pack }))
    }

    fn open(&self, pack: PackId, _: Access) -> io::Result<Arc<dyn PackFile>> {
        self.read(|disk| found(disk.packs.get(&pack)).map(|_| ()))?;
        Ok(Arc::new(FaultyFile { volume: self.clone(), pack }))
    }

    fn remove(&self, pack: PackId) -> io::Result<()> {
        self.change(|disk, fault| {
            passes(fault)?;
            found(disk.packs.remove(&pack)).map(|_| ())
        })
    }

    fn key_ring(&self) -> io::Result<Option<Vec<u8>>> {
        self.read(|disk| Ok(disk.key_ring.clone()))
    }

    fn put_key_ring(&self, text: &[u8]) -> io::Result<()> {
        self.change(|disk, fault| {
            passes(fault)?;
            disk.key_ring = Some(text.to_vec());
            Ok(())
        })
    }

    fn set_aside(&self, pack: PackId, offset: u64, bytes: &mut dyn Read) -> io::Result<()> {
        let mut copy = Vec::new();
        bytes.read_to_end(&mut copy)?;
        self.change(|disk, fault| {
            passes(fault)?;
            disk.torn.push((pack, offset, copy));
            Ok(())
        })
    }
}

struct FaultyFile {
    volume: Faulty,
    pack: PackId,
}

impl FaultyFile {
    fn change(&self, changing: impl FnOnce(&mut Image, Option<Fault>) -> io::Result<()>) -> io::Result<()> {
        self.volume.change(|disk, fault| changing(found(disk.packs.get_mut(&self.pack))?, fault))
    }
}

impl PackFile for FaultyFile {
    fn length(&self) -> io::Result<u64> {
        self.volume.read(|disk| Ok(found(disk.packs.get(&self.pack))?.bytes.len() as u64))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.volume.read(|disk| {
            let image = found(disk.packs.get(&self.pack))?;
            let end = offset.saturating_add(buffer.len() as u64);
            let touches = |(pack, bad): &(PackId, Range<u64>)| {
                *pack == self.pack && offset < bad.end && bad.start < end
            };
            if disk.bad.iter().any(touches) {
                // EIO
                return Err(io::Error::from_raw_os_error(5));
            }
            let bytes = image.bytes.get(at(offset)?..).and_then(|bytes| bytes.get(..buffer.len()));
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.change(|image, fault| {
            if fault.is_some() {
                bytes.truncate(bytes.len() / 2);
            }
            let change = Change::Write { offset: at(offset)?, bytes };
            change.apply(&mut image.bytes);
            image.unflushed.push(change);
            passes(fault)
        })
    }

    fn flush(&self) -> io::Result<()> {
        self.change(|image, fault| {
            let unflushed = std::mem::take(&mut image.unflushed);
            passes(fault)?;
            for change in &unflushed {
                change.apply(&mut image.durable);
            }
            Ok(())
        })
    }

    fn resize(&self, length: u64) -> io::Result<()> {
        self.change(|image, fault| {
            passes(fault)?;
            let change = Change::Resize { length: at(length)? };
            change.apply(&mut image.bytes);
            image.unflushed.push(change);
            Ok(())
        })
    }

    fn seal(&self) -> io::Result<()> {
        self.flush()?;
        self.change(|image, fault| {
            passes(fault)?;
            image.sealed = true;
            Ok(())
        })
    }
}
