//! The file of a catalog: which of its forms it has (`checked.rs`, `sealed.rs`),
//! how one becomes another, and how one takes the place of another.
//!
//! Invariant: under the name of the catalog there is a whole one at any time.
//! In an archive that has keys no other remains in the clear.

use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageBackend};

use super::CatalogError;
use super::absorbing::{Absorbing, Successor};
use super::checked::{self, BLOCK, BLOCK_BYTES, BLOCKS_PER_GROUP, Checked, Damage, HEADER_BYTES_MAX, size};
use super::sealed::Sealed;
use crate::storage::seal::{FILE_HEAD_BYTES, FileKey, Keyring};

/// Blocks that are copied at once.
const COPY_BLOCKS: u64 = 256;

/// How the file of a catalog is kept.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub cache_bytes: usize,
    /// Keys, if what is begun is to be encrypted.
    pub ring: Option<Keyring>,
}

impl Kept {
    pub fn open(&self, path: &Path, damage: &Arc<Damage>) -> Result<Database, DatabaseError> {
        let blocks = blocks_of(file_of(path)?, self.ring.as_ref(), damage).map_err(failed)?;
        let successor =
            NextFile { path: path.to_owned(), ring: self.ring.clone(), damage: Arc::clone(damage) };
        let absorbing = Absorbing::new(blocks, Arc::clone(&damage.strain), Box::new(successor));
        Database::builder().set_cache_size(self.cache_bytes).create_with_backend(absorbing)
    }
}

fn failed(error: io::Error) -> DatabaseError {
    DatabaseError::Storage(redb::StorageError::Io(error))
}

/// A file in the form that it has; an empty one gets the form that it is to have.
fn blocks_of(
    file: FileBackend,
    ring: Option<&Keyring>,
    damage: &Arc<Damage>,
) -> io::Result<Arc<dyn StorageBackend>> {
    let length = file.len()?;
    let mut begin = [0; FILE_HEAD_BYTES];
    if length >= FILE_HEAD_BYTES as u64 {
        file.read(0, &mut begin)?;
    }
    let damage = Arc::clone(damage);
    Ok(match ring {
        _ if FileKey::is_head(&begin) => Arc::new(Sealed::open(file, ring, damage)?),
        Some(ring) if length == 0 => Arc::new(Sealed::begin(file, ring, damage)?),
        _ => Arc::new(Checked::open(file, damage)?),
    })
}

/// The file that takes the place of the one that the disk refuses.
struct NextFile {
    path: PathBuf,
    ring: Option<Keyring>,
    damage: Arc<Damage>,
}

impl Successor for NextFile {
    fn begin(&self) -> io::Result<Arc<dyn StorageBackend>> {
        let file = file_of(&unfinished(&self.path)?).map_err(io::Error::other)?;
        blocks_of(file, self.ring.as_ref(), &self.damage)
    }

    fn put_in_place(&self) -> io::Result<()> {
        put_in_place(&self.path.with_extension("new"), &self.path)
    }
}

/// Puts a copy in the place of a file of which a flush failed. It is what the
/// system takes the file for, in part perhaps only in memory; the copy is flushed.
pub(super) fn renew(path: &Path) -> io::Result<()> {
    tracing::warn!("a flush of the catalog failed; it goes on in a new file");
    let unfinished = unfinished(path)?;
    let copied = fs::copy(path, &unfinished)
        .and_then(|_| fs::OpenOptions::new().write(true).open(&unfinished)?.sync_all())
        .and_then(|()| put_in_place(&unfinished, path));
    copied.inspect_err(|_| drop(fs::remove_file(&unfinished)))
}

fn file_of(path: &Path) -> Result<FileBackend, DatabaseError> {
    let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    FileBackend::new(file.map_err(failed)?)
}

/// The first bytes of a file.
fn begin_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    fs::File::open(path)?.take(FILE_HEAD_BYTES as u64).read_to_end(&mut begin)?;
    Ok(begin)
}

/// A catalog of before there were checksums gets them, once its own were
/// compared; else what is damaged already would pass for right.
pub(super) fn add_checksums(path: &Path) -> Result<(), CatalogError> {
    const PIECE_BYTES: usize = 1 << 20;
    let failed = |error: io::Error| CatalogError::from(redb::StorageError::from(error)).at_open(path);
    if !checked::is_plain(&begin_of(path).map_err(failed)?) {
        return Ok(());
    }
    tracing::info!("the catalog gets checksums; this is done once");
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let plain = file_of(path)?;
        let mut database = Database::builder().create_with_backend(plain)?;
        database.check_integrity()
    }));
    match opened {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(CatalogError::open(path, error)),
        Err(_) => return Err(CatalogError::damaged(path)),
    }
    let plain = file_of(path).map_err(|error| CatalogError::open(path, error))?;
    let unfinished = unfinished(path).map_err(failed)?;
    let copy = file_of(&unfinished).map_err(|error| CatalogError::open(path, error))?;
    let copied = || -> io::Result<()> {
        let copy = Checked::open(copy, Arc::default())?;
        let length = plain.len()?;
        copy.set_len(length)?;
        let mut at = 0;
        let mut piece = vec![0; PIECE_BYTES];
        while at < length {
            let take = usize::try_from(length - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let piece = &mut piece[..take];
            plain.read(at, piece)?;
            if at == 0 {
                copy.write(0, &piece[..HEADER_BYTES_MAX])?;
                copy.write(BLOCK_BYTES, &piece[BLOCK..])?;
            } else {
                copy.write(at, piece)?;
            }
            at += take as u64;
        }
        copy.sync_data()?;
        put_in_place(&unfinished, path)
    };
    copied().map_err(failed)
}

/// A catalog in the clear becomes one that is encrypted, in the state that it is
/// in: block by block, so that the packs need not be read. The one in the clear is
/// gone then; where a crash comes between, it is begun anew.
pub(super) fn seal(path: &Path, ring: &Keyring) -> Result<(), CatalogError> {
    let failed = |error: io::Error| CatalogError::from(redb::StorageError::from(error)).at_open(path);
    if FileKey::is_head(&begin_of(path).map_err(failed)?) {
        return Ok(());
    }
    let open = |path: &Path| file_of(path).map_err(|error| CatalogError::open(path, error));
    let plain = Checked::open(open(path)?, Arc::default()).map_err(failed)?;
    tracing::info!("the catalog is encrypted; this is done once");
    let unfinished = unfinished(path).map_err(failed)?;
    let copy = Sealed::begin(open(&unfinished)?, ring, Arc::default()).map_err(failed)?;
    let copied = copy_blocks(&plain, &copy).and_then(|()| put_in_place(&unfinished, path));
    copied.inspect_err(|_| drop(fs::remove_file(&unfinished))).map_err(failed)
}

fn copy_blocks(plain: &Checked<FileBackend>, copy: &Sealed<FileBackend>) -> io::Result<()> {
    let length = plain.len()?;
    copy.set_len(length)?;
    let mut header = [0; HEADER_BYTES_MAX];
    plain.read(0, &mut header)?;
    copy.write(0, &header)?;
    let blocks = length / BLOCK_BYTES;
    // The header is in the first block, alone.
    let mut first = 1;
    while first < blocks {
        let take = COPY_BLOCKS.min(blocks - first).min(BLOCKS_PER_GROUP - first % BLOCKS_PER_GROUP);
        let mut bytes = vec![0; size(take) * BLOCK];
        let all_right = plain.read_checked(first, &mut bytes).is_ok();
        for (block, bytes) in (first..).zip(bytes.chunks_mut(BLOCK)) {
            // What a crash left behind its checksum is nothing that is in use; what
            // is damaged stays damaged.
            if !all_right && plain.read_checked(block, bytes).is_err() {
                copy.spoil(block)?;
            } else if bytes.iter().any(|&byte| byte != 0) {
                copy.write(block * BLOCK_BYTES, bytes)?;
            }
        }
        first += take;
    }
    copy.sync_data()
}

/// Removes the catalogs that were set aside for one made anew, once that is whole.
///
/// # Errors
/// One of them cannot be removed.
pub fn clear_replaced(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let other = entry?.path();
        let name = other.file_name().unwrap_or_default().to_string_lossy();
        if name.strip_prefix(&*stem).is_some_and(|rest| rest.starts_with(".replaced-")) {
            fs::remove_file(&other)?;
        }
    }
    Ok(())
}

/// Removes what other catalogs are there in the clear: set aside because they were
/// damaged or replaced, or never finished. All of them was in the packs.
pub(super) fn clear_plain_remains(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    for entry in fs::read_dir(folder)? {
        let other = entry?.path();
        let name = other.file_name().unwrap_or_default().to_string_lossy();
        let is_remains = name.strip_prefix(&*stem).is_some_and(|rest| {
            rest == ".new" || rest.starts_with(".damaged-") || rest.starts_with(".replaced-")
        });
        if is_remains && !FileKey::is_head(&begin_of(&other)?) {
            tracing::info!(path = %other.display(), "a former catalog in the clear is removed");
            fs::remove_file(&other)?;
        }
    }
    Ok(())
}

/// The name of a catalog that is not whole yet; nothing has it.
pub(super) fn unfinished(path: &Path) -> io::Result<PathBuf> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(unfinished),
    }
}

pub(super) fn put_in_place(unfinished: &Path, path: &Path) -> io::Result<()> {
    fs::rename(unfinished, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
