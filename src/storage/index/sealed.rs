//! The folder of the index of an encrypted archive as tantivy sees it: its files
//! are sealed in chunks, so that a part is read without the rest, and the few
//! that it replaces whole are sealed whole. They cannot be mapped into memory:
//! what is read is opened into memory, and a bounded part of it kept there.
//!
//! ```text
//! head      which key the file has (`seal/file.rs`)
//! chunks    of 16 KiB, each with its seal behind it
//! ```
//! Invariant: to tantivy a file is what it wrote, and as long; what is damaged
//! is an error when it is read.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use tantivy::Directory;
use tantivy::HasLen;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, DirectoryLock, FileHandle, Lock, MmapDirectory, OwnedBytes, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

use super::directory::begin;
use crate::storage::seal::{self, FILE_HEAD_BYTES, FileKey, Keyring, Sealer, plain_length};

/// What the keys of its files are for.
const PURPOSE: &str = "index";
/// Small, since of most chunks a few bytes are wanted.
const CHUNK_BYTES: usize = 16 << 10;
/// Chunks that are checked at once.
const CHECK_BYTES: usize = 64 * CHUNK_BYTES;
/// A read of more chunks is kept as it was asked for, as it is asked for again:
/// the columns of a segment are read whole by every search.
const CHUNKS_MAX: usize = 4;
/// Reads of more than this part of what may be kept are not: who reads so much
/// keeps it himself.
const PARTS_MIN: usize = 8;

/// A folder whose files are sealed.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    inner: MmapDirectory,
    folder: PathBuf,
    ring: Keyring,
    kept: Arc<Kept>,
}

impl Sealed {
    pub fn new(inner: MmapDirectory, folder: &Path, ring: Keyring, kept_bytes_max: usize) -> Self {
        let cache = Cache { reads: LruCache::unbounded(), bytes: 0 };
        Self {
            inner,
            folder: folder.to_owned(),
            ring,
            kept: Arc::new(Kept { cache: Mutex::new(cache), bytes_max: kept_bytes_max }),
        }
    }

    /// Whether a file is what was written, every byte of it; one that is not there
    /// is taken for one that is not needed.
    pub fn is_whole(&self, path: &Path) -> bool {
        match self.open(path).and_then(|file| file.check()) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    fn open(&self, path: &Path) -> io::Result<SealedFile> {
        let file = File::open(self.folder.join(path))?;
        let mut head = [0; FILE_HEAD_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let key = FileKey::open(Some(&self.ring), PURPOSE, &head)?;
        let sealed = file.metadata()?.len().saturating_sub(FILE_HEAD_BYTES as u64);
        let length = plain_length(CHUNK_BYTES as u64, sealed);
        let content =
            seal::Sealed { key: key.key().clone(), thing: 0, length, chunk_bytes: CHUNK_BYTES as u64 };
        let length = usize::try_from(length).map_err(io::Error::other)?;
        Ok(SealedFile { file, drawn: key.drawn(), content, length, kept: Arc::clone(&self.kept) })
    }
}

/// What of the files is kept opened, by file and range.
struct Kept {
    cache: Mutex<Cache>,
    bytes_max: usize,
}

type Place = ([u8; 16], Range<usize>);

struct Cache {
    reads: LruCache<Place, OwnedBytes>,
    bytes: usize,
}

impl Kept {
    fn get(&self, place: &Place) -> Option<OwnedBytes> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).reads.get(place).cloned()
    }

    fn put(&self, place: Place, bytes: &OwnedBytes) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.bytes += bytes.len();
        // Another may have read the same meanwhile.
        let before = cache.reads.put(place, bytes.clone());
        cache.bytes -= before.map_or(0, |before| before.len());
        while cache.bytes > self.bytes_max {
            let Some((_, oldest)) = cache.reads.pop_lru() else { break };
            cache.bytes -= oldest.len();
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

#[derive(Debug)]
struct SealedFile {
    file: File,
    /// Tells the file from every other.
    drawn: [u8; 16],
    content: seal::Sealed,
    length: usize,
    kept: Arc<Kept>,
}

impl SealedFile {
    /// Opens all chunks, as they are on the disk now.
    fn check(&self) -> io::Result<()> {
        for from in (0..self.content.length).step_by(CHECK_BYTES) {
            let to = self.content.length.min(from + CHECK_BYTES as u64);
            self.content
                .read(from..to, |buffer, at| self.file.read_exact_at(buffer, FILE_HEAD_BYTES as u64 + at))?;
        }
        Ok(())
    }

    /// Opens the chunks of a range, and keeps what of them is that range.
    fn read(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        let place = (self.drawn, range.clone());
        if let Some(bytes) = self.kept.get(&place) {
            return Ok(bytes);
        }
        let wanted = range.start as u64..range.end as u64;
        let (mut bytes, start) = self
            .content
            .read(wanted, |buffer, at| self.file.read_exact_at(buffer, FILE_HEAD_BYTES as u64 + at))?;
        let from = range.start - usize::try_from(start).map_err(io::Error::other)?;
        bytes.truncate(from + range.len());
        let bytes = OwnedBytes::new(bytes).slice(from..from + range.len());
        if range.len() <= self.kept.bytes_max / PARTS_MIN {
            self.kept.put(place, &bytes);
        }
        Ok(bytes)
    }

    fn chunk(&self, index: usize) -> Range<usize> {
        index * CHUNK_BYTES..self.length.min((index + 1) * CHUNK_BYTES)
    }
}

impl HasLen for SealedFile {
    fn len(&self) -> usize {
        self.length
    }
}

impl FileHandle for SealedFile {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        if range.end > self.length || range.start > range.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if range.is_empty() {
            return Ok(OwnedBytes::empty());
        }
        let chunks = range.start / CHUNK_BYTES..range.end.div_ceil(CHUNK_BYTES);
        if chunks.len() > CHUNKS_MAX {
            return self.read(range);
        }
        let mut parts = chunks.map(|index| -> io::Result<OwnedBytes> {
            let chunk = self.chunk(index);
            let bytes = self.read(chunk.clone())?;
            let (from, to) = (range.start.max(chunk.start), range.end.min(chunk.end));
            Ok(bytes.slice(from - chunk.start..to - chunk.start))
        });
        let first = parts.next().unwrap_or_else(|| Ok(OwnedBytes::empty()))?;
        if first.len() == range.len() {
            return Ok(first);
        }
        let mut all = Vec::with_capacity(range.len());
        all.extend_from_slice(&first);
        for part in parts {
            all.extend_from_slice(&part?);
        }
        Ok(OwnedBytes::new(all))
    }
}

/// A file that is being written.
struct Writing {
    inner: WritePtr,
    sealer: Sealer,
    sealed: Vec<u8>,
}

impl Writing {
    fn pass_on(&mut self) -> io::Result<()> {
        let written = self.inner.write_all(&self.sealed);
        self.sealed.clear();
        written
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sealer.push(bytes, &mut self.sealed)?;
        self.pass_on()?;
        Ok(bytes.len())
    }

    /// What does not fill a chunk waits for the rest of it, or the end.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl TerminatingWrite for Writing {
    fn terminate_ref(&mut self, token: AntiCallToken) -> io::Result<()> {
        self.sealer.finish(&mut self.sealed)?;
        self.pass_on()?;
        self.inner.flush()?;
        self.inner.get_mut().terminate_ref(token)
    }
}

fn name_of(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

impl Directory for Sealed {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        match self.open(path) {
            Ok(file) => Ok(Arc::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(OpenReadError::FileDoesNotExist(path.to_path_buf()))
            }
            Err(error) => Err(OpenReadError::wrap_io_error(error, path.to_path_buf())),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.inner.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.inner.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let mut inner = begin(&self.inner, path)?;
        let failed = |error| OpenWriteError::wrap_io_error(error, path.to_path_buf());
        let key = FileKey::begin(&self.ring, PURPOSE).map_err(failed)?;
        inner.write_all(key.head()).map_err(failed)?;
        let sealer = Sealer::in_chunks(key.key().clone(), 0, CHUNK_BYTES);
        Ok(WritePtr::new(Box::new(Writing { inner, sealer, sealed: Vec::new() })))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let sealed = self.inner.atomic_read(path)?;
        let opened = seal::open_file(Some(&self.ring), PURPOSE, name_of(path), sealed);
        opened.map_err(|error| OpenReadError::wrap_io_error(error, path.to_path_buf()))
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        self.inner.atomic_write(path, &seal::seal_file(&self.ring, PURPOSE, name_of(path), data)?)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.inner.acquire_lock(lock)
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.inner.watch(callback)
    }
}
