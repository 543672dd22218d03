//! Packs in a folder of the local disk.
//!
//! ```text
//! FORMAT              the format's number, the archive's key; held locked
//! 0000/00000001.tar   a thousand packs a folder; read-only once sealed
//! KEYS                the key ring, if files are encrypted
//! 0000/00000002.blocks  the manifest of a pack that is in a bucket ([`super::stubs`])
//! torn/               copies of what was cut off after a crash
//! ```
//! Sealed is a matter of the file's mode and not of its content: nothing stored
//! can imitate it, any tar reader is content, and where a copy or a file system
//! loses the mode, the pack is recovered as an open one and sealed anew.
//!
//! Invariant: a name is durable (folders flushed) before `create` returns.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::error::PackError;
use super::lock;
use super::volume::{Access, Listed, PackFile, Volume};
use crate::storage::{PackId, waiting, whole_file};

/// The number of the format this version writes. 2 has a record more than 1
/// (files that were kept), 3 has files that are encrypted; all that was written
/// as 1 or 2 is 3 as well. 4 has packs in a bucket, and is written only once
/// there may be some.
pub(super) const FORMAT: u32 = 3;
const WITH_BUCKET: u32 = 4;
/// The file of the key ring.
const KEY_RING: &str = "KEYS";
pub(super) const PACKS_PER_FOLDER: u32 = 1000;

/// A folder of packs, held by this process alone.
#[derive(Debug)]
pub struct Local {
    pub(super) packs: PathBuf,
    torn: PathBuf,
    key: [u8; 32],
    /// Keeps the lock; none beside another process.
    format: Option<File>,
}

impl Local {
    /// Whether packs were begun in `dir`.
    pub(super) fn exist(dir: &Path) -> bool {
        dir.join("FORMAT").is_file()
    }

    /// Opens or begins the packs in `dir`.
    ///
    /// # Errors
    /// `Newer`, `Format`, `Locked`, and what the disk says.
    pub fn open(dir: &Path) -> Result<Self, PackError> {
        let folder = |path: &Path, action| {
            let path = path.to_path_buf();
            move |source| PackError::Folder { path, action, source }
        };
        let (packs, torn) = (dir.to_path_buf(), dir.join("torn"));
        fs::create_dir_all(&packs).map_err(folder(&packs, "create"))?;
        fs::create_dir_all(&torn).map_err(folder(&torn, "create"))?;
        let path = packs.join("FORMAT");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(folder(&path, "open"))?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => PackError::Locked { path: path.clone() },
            fs::TryLockError::Error(source) => folder(&path, "lock")(source),
        })?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(folder(&path, "read"))?;
        let key = if text.is_empty() || was_cut_off(&text, &packs) {
            let key = new_key(dir);
            let text = format!("{FORMAT}\n{}\n", blake3::Hash::from_bytes(key));
            // In its place, for the lock is on this file.
            let written = file.set_len(0).and_then(|()| file.write_all_at(text.as_bytes(), 0));
            written.and_then(|()| file.sync_all()).map_err(folder(&path, "write"))?;
            // The folder itself, the archive's, and the one that this was begun in.
            for above in dir.ancestors().take(3) {
                let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
                sync_folder(above).map_err(folder(above, "flush"))?;
            }
            key
        } else {
            let (found, key) = parse_format(&text, &path)?;
            if found < FORMAT {
                // In its place, for the lock is on this file; and one byte, so
                // that a crash leaves the one number or the other.
                file.write_all_at(FORMAT.to_string().as_bytes(), 0).map_err(folder(&path, "write"))?;
                file.sync_all().map_err(folder(&path, "flush"))?;
            }
            key
        };
        Ok(Self { packs, torn, key, format: Some(file) })
    }

    /// Opens the packs in `dir` for reading, beside a process that may hold them.
    ///
    /// # Errors
    /// `Newer`, `Format`, and what the disk says.
    pub(super) fn beside(dir: &Path) -> Result<Self, PackError> {
        let path = dir.join("FORMAT");
        let text = fs::read_to_string(&path).map_err(|source| PackError::Folder {
            path: path.clone(),
            action: "read",
            source,
        })?;
        let (_, key) = parse_format(&text, &path)?;
        Ok(Self { packs: dir.to_path_buf(), torn: dir.join("torn"), key, format: None })
    }

    pub(super) fn path(&self, pack: PackId) -> PathBuf {
        self.packs.join(format!("{:04}", pack.0 / PACKS_PER_FOLDER)).join(format!("{pack}.tar"))
    }
}

/// Whether a crash cut the file off while it was written for the first time: what
/// there is of it may be of a whole one, and there is no pack yet.
fn was_cut_off(text: &str, packs: &Path) -> bool {
    let may_be = text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'\n' | 0));
    let is_whole = matches!(parse_format(text, packs), Ok(_) | Err(PackError::Newer { .. }));
    may_be && !is_whole && !packs.join("0000").exists()
}

/// The number of the format, and the key.
fn parse_format(text: &str, path: &Path) -> Result<(u32, [u8; 32]), PackError> {
    let unknown = || PackError::Format { path: path.to_path_buf() };
    let mut lines = text.lines();
    let found: u32 = lines.next().and_then(|line| line.parse().ok()).ok_or_else(unknown)?;
    if found > WITH_BUCKET {
        return Err(PackError::Newer { path: path.to_path_buf(), found, known: WITH_BUCKET });
    }
    let key = lines.next().and_then(|line| blake3::Hash::from_hex(line).ok()).ok_or_else(unknown)?;
    Ok((found, *key.as_bytes()))
}

/// A number that nobody outside can guess. The standard library seeds its hash
/// maps from the system's randomness; 256 bits of that are drawn through them.
fn new_key(dir: &Path) -> [u8; 32] {
    use std::hash::{BuildHasher, RandomState};
    let mut hasher = blake3::Hasher::new();
    hasher.update(dir.as_os_str().as_encoded_bytes());
    for round in 0..4_u64 {
        // A thread's RandomStates share one seed, so each draw is made in a new thread.
        let draw = std::thread::spawn(move || RandomState::new().hash_one(round)).join().unwrap_or(round);
        hasher.update(&draw.to_le_bytes());
        hasher.update(&RandomState::new().hash_one(std::time::SystemTime::now()).to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Reads a pack's number from its file's name, which must be the one we give.
fn parse_name(name: &str) -> Option<PackId> {
    let pack = PackId(name.strip_suffix(".tar")?.parse().ok()?);
    (format!("{pack}.tar") == name).then_some(pack)
}

impl Local {
    /// Notes that packs may lie in a bucket, which an older Hilum does not know.
    pub(super) fn note_bucket(&self) -> Result<(), PackError> {
        let path = self.packs.join("FORMAT");
        let failed = |action| {
            let path = path.clone();
            move |source| PackError::Folder { path, action, source }
        };
        let Some(file) = &self.format else { return Ok(()) };
        // One byte in its place, as when an older format is taken.
        file.write_all_at(WITH_BUCKET.to_string().as_bytes(), 0).map_err(failed("write"))?;
        file.sync_all().map_err(failed("flush"))
    }
}

impl Volume for Local {
    fn key(&self) -> [u8; 32] {
        self.key
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.packs)? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                let pack = file.file_name().to_str().and_then(parse_name);
                // A stranger's file is left alone.
                let Some(pack) = pack.filter(|&pack| self.path(pack) == file.path()) else { continue };
                let metadata = file.metadata()?;
                if metadata.is_file() {
                    let sealed = metadata.permissions().readonly();
                    found.push(Listed { pack, length: metadata.len(), sealed });
                }
            }
        }
        Ok(found)
    }

    fn create(&self, pack: PackId) -> io::Result<Arc<dyn PackFile>> {
        let path = self.path(pack);
        let folder = path.parent().unwrap_or(&self.packs);
        match fs::create_dir(folder) {
            Ok(()) => sync_folder(&self.packs)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        if let Err(error) = file.sync_all().and_then(|()| sync_folder(folder)) {
            // An empty pack does no harm, but a failing disk would fill with them.
            drop(fs::remove_file(&path));
            return Err(error);
        }
        Ok(Arc::new(LocalFile::new(file)))
    }

    fn open(&self, pack: PackId, access: Access) -> io::Result<Arc<dyn PackFile>> {
        let write = match access {
            Access::Read | Access::Scan => false,
            Access::Write => true,
        };
        let file = OpenOptions::new().read(true).write(write).open(self.path(pack))?;
        Ok(Arc::new(LocalFile::new(file)))
    }

    fn remove(&self, pack: PackId) -> io::Result<()> {
        let path = self.path(pack);
        fs::remove_file(&path)?;
        sync_folder(path.parent().unwrap_or(&self.packs))
    }

    fn key_ring(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.packs.join(KEY_RING)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn put_key_ring(&self, text: &[u8]) -> io::Result<()> {
        whole_file::put(&self.packs.join(KEY_RING), text)
    }

    fn set_aside(&self, pack: PackId, offset: u64, bytes: &mut dyn Read) -> io::Result<()> {
        // The same place may be torn again: the first free name is taken.
        for attempt in 0..u32::MAX {
            let path = self.torn.join(format!("{pack}-{offset}-{attempt}.bin"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    let copied = io::copy(bytes, &mut file).and_then(|_| file.sync_all());
                    if let Err(error) = copied {
                        // Half a copy is of no use; what it is of is still in the pack.
                        drop(fs::remove_file(&path));
                        return Err(error);
                    }
                    return sync_folder(&self.torn);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Reads and single writes are positioned. A vectored write has no positioned
/// form in the standard library, so it moves the cursor, which nothing else uses.
#[derive(Debug)]
struct LocalFile {
    file: Arc<File>,
    cursor: Mutex<()>,
    /// A flush that goes on beside writes.
    flushing: Mutex<Option<JoinHandle<io::Result<()>>>>,
}

impl LocalFile {
    fn new(file: File) -> Self {
        Self { file: Arc::new(file), cursor: Mutex::new(()), flushing: Mutex::new(None) }
    }

    /// Waits for a flush that goes on. The system tells of a failed write once: if
    /// it told that one, another would say that all is well.
    fn flushed_meanwhile(&self) -> io::Result<()> {
        let flushing = lock(&self.flushing).take();
        match flushing {
            Some(flushing) => flushing.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())),
            None => Ok(()),
        }
    }
}

impl PackFile for LocalFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if waiting::is_at_once() {
            return read_from_memory(&self.file, buffer, offset);
        }
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        if let [part] = parts {
            return self.file.write_all_at(part, offset);
        }
        let _cursor = lock(&self.cursor);
        let mut file = &*self.file;
        file.seek(SeekFrom::Start(offset))?;
        let mut parts = parts;
        // Empty parts at the front would look like a write of nothing.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match file.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.flushed_meanwhile()?;
        self.file.sync_data()
    }

    fn begin_flush(&self) -> io::Result<bool> {
        if lock(&self.flushing).as_ref().is_some_and(|flushing| !flushing.is_finished()) {
            return Ok(false);
        }
        self.flushed_meanwhile()?;
        let file = Arc::clone(&self.file);
        // A system that has no more threads flushes later.
        let flushing = std::thread::Builder::new().name("flush".into()).spawn(move || file.sync_data()).ok();
        let begun = flushing.is_some();
        *lock(&self.flushing) = flushing;
        Ok(begun)
    }

    fn resize(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn seal(&self) -> io::Result<()> {
        self.flush()?;
        let mut permissions = self.file.metadata()?.permissions();
        permissions.set_readonly(true);
        self.file.set_permissions(permissions)?;
        self.file.sync_all()
    }
}

/// Fills `buffer` if the system has all of it in memory.
#[cfg(target_os = "linux")]
fn read_from_memory(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    use rustix::io::{ReadWriteFlags, preadv2};
    while !buffer.is_empty() {
        let mut parts = [io::IoSliceMut::new(buffer)];
        // Some file systems do not know the flag: they would wait.
        let Ok(read @ 1..) = preadv2(file, &mut parts, offset, ReadWriteFlags::NOWAIT) else {
            return waiting::may_wait();
        };
        buffer = &mut buffer[read..];
        offset += read as u64;
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn read_from_memory(_file: &File, _buffer: &mut [u8], _offset: u64) -> io::Result<()> {
    waiting::may_wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(parse_name("00000001.tar"), Some(PackId(1)));
        assert_eq!(parse_name("123456789.tar"), Some(PackId(123_456_789)));
        for name in ["1.tar", "+0000001.tar", "00000001", "00000001.tar~", "99999999999.tar"] {
            assert_eq!(parse_name(name), None);
        }
    }

    #[test]
    fn the_format_is_kept_and_a_newer_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = Local::open(dir.path()).unwrap().key();
        let again = Local::open(dir.path()).unwrap();
        assert_eq!(again.key(), key);
        assert!(matches!(Local::open(dir.path()), Err(PackError::Locked { .. })));
        drop(again);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Local::open(other.path()).unwrap().key(), key);

        let format = dir.path().join("FORMAT");
        let text = fs::read_to_string(&format).unwrap();
        fs::write(&format, text.replacen('3', "1", 1)).unwrap();
        assert_eq!(Local::open(dir.path()).unwrap().key(), key, "an older one is taken");
        assert_eq!(fs::read_to_string(&format).unwrap(), text, "and is of this format from then on");
        fs::write(&format, "5\nwhatever it needs\n").unwrap();
        assert!(matches!(Local::open(dir.path()), Err(PackError::Newer { found: 5, known: 4, .. })));
        fs::write(&format, "one").unwrap();
        assert!(matches!(Local::open(dir.path()), Err(PackError::Format { .. })));
    }

    /// A kill in the middle of the first write of `FORMAT` left an archive that
    /// never opened again.
    #[test]
    fn a_format_that_was_cut_off_is_begun_anew() {
        for left in ["3", "3\n", "3\n0123456789abcdef", "\0\0\0\0"] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("FORMAT"), left).unwrap();
            let local = Local::open(dir.path()).unwrap();
            let key = local.key();
            drop(local.create(PackId(1)).unwrap());
            drop(local);
            assert_eq!(Local::open(dir.path()).unwrap().key(), key);
            // With packs it is damage.
            fs::write(dir.path().join("FORMAT"), left).unwrap();
            assert!(matches!(Local::open(dir.path()), Err(PackError::Format { .. })));
        }
    }
}
