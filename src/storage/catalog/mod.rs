//! The catalog: one row an instance, with all that a read needs to know before
//! it touches a pack. Owns the redb database and its layout; knows no pack file
//! and no index. The rows can be made again from the packs alone.
//!
//! Invariants: one transaction applies a list of [`Change`]s whole or not at
//! all; every change that can be seen appends to the feed; stamps decide, so
//! changes may be applied again and in any order ([`Rule::Replay`]).

mod absorbing;
mod apply;
mod change;
mod checked;
mod chosen;
mod dictionaries;
mod error;
mod file;
mod guarded;
mod instance;
mod keys;
mod memory;
mod metadata;
mod rows;
mod sealed;
mod series;
mod snapshot;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod versions;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable};

pub use change::{Applied, Change, Durability, NewInstance, Outcome, Rule, Target};
pub use chosen::Wanted;
pub use error::CatalogError;
pub use instance::{Form, Frames, InstanceRow};
pub use rows::{FeedEntry, FeedKind, PackRow, SeriesRow, StudyRow, Totals};
pub use snapshot::{LastIds, Snapshot};
pub use versions::Version;

use crate::dicom::{DataSet, InstancePath};
use crate::storage::seal::Keyring;
use checked::Damage;
use file::Kept;
pub use file::clear_replaced;
use memory::Memory;
use metadata::Encoder;

/// Splits the metadata of an instance, as it was stored, into its attributes
/// of the Study and of the Series level again. Needed when the newest instance
/// of a study is deleted and the next newest speaks for the study.
pub type Resplit = Box<dyn Fn(&[u8]) -> Option<(DataSet, DataSet)> + Send + Sync>;

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Memory for pages of the database.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 64 * 1024 * 1024 }
    }
}

/// Of a catalog that the disk refuses, memory holds this much before nothing more
/// is taken in.
const STRAIN_BYTES_MAX: u64 = 32 << 20;

/// The name of its file in the folder of an archive.
pub const FILE_NAME: &str = "catalog.redb";

/// Moves a catalog out of the way, next to where it was, with a word in its
/// name that says why. Does nothing where there is none.
///
/// # Errors
/// The file cannot be renamed.
pub fn set_aside(path: &Path, why: &str) -> std::io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut number = since.map_or(0, |since| since.as_secs());
    // One that was set aside before is not written over.
    let aside = loop {
        let aside = path.with_extension(format!("{why}-{number}.redb"));
        if !aside.exists() {
            break aside;
        }
        number += 1;
    };
    std::fs::rename(path, aside)
}

type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// The catalog. Reads go on beside a write; writes wait for each other.
pub struct Catalog {
    path: PathBuf,
    opener: Opener,
    resplit: Resplit,
    /// None after a failure from which it could not be opened again.
    database: RwLock<Option<Database>>,
    writer: Mutex<Writer>,
    id: u64,
    /// Sequence number of the last change that is durable.
    durable: AtomicU64,
    damage: Arc<Damage>,
    memory: Arc<Memory>,
}

struct Writer {
    encoder: Encoder,
    /// Something was committed that a loss of power would take back.
    pending: bool,
    /// Sequence number of the last change.
    seq: u64,
}

impl Catalog {
    /// Opens the catalog, or begins an empty one. With keys it is encrypted from
    /// then on, one that is there too.
    ///
    /// # Errors
    /// Another process has it, it is of a newer format, it is encrypted and the
    /// keys are not those, or the file fails.
    pub fn open(
        path: &Path,
        options: Options,
        ring: Option<&Keyring>,
        resplit: Resplit,
    ) -> Result<Self, CatalogError> {
        let kept = Kept { cache_bytes: options.cache_bytes, ring: ring.cloned() };
        if ring.is_some() {
            file::clear_plain_remains(path)
                .map_err(|error| CatalogError::from(redb::StorageError::from(error)))?;
        }
        if !path.exists() {
            create(path, &kept).map_err(|error| error.at_open(path))?;
        }
        file::add_checksums(path)?;
        if let Some(ring) = ring {
            file::seal(path, ring)?;
        }
        let damage = Arc::new(Damage::default());
        let (file, of_file) = (path.to_owned(), Arc::clone(&damage));
        let opener = move || {
            if of_file.take_flush_failed() {
                let renewed = file::renew(&file).inspect_err(|_| of_file.note_flush_failed());
                renewed.map_err(|error| DatabaseError::Storage(redb::StorageError::Io(error)))?;
            }
            kept.open(&file, &of_file)
        };
        Self::open_with(path, Box::new(opener), resplit, damage)
    }

    fn open_with(
        path: &Path,
        opener: Opener,
        resplit: Resplit,
        damage: Arc<Damage>,
    ) -> Result<Self, CatalogError> {
        // The library below asserts about the form of its file.
        let opened = catch_unwind(AssertUnwindSafe(|| open_database(path, &opener)));
        let (database, id, seq) = opened.unwrap_or_else(|_| Err(CatalogError::damaged(path)))?;
        damage.tolerate();
        Ok(Self {
            path: path.to_owned(),
            opener,
            resplit,
            database: RwLock::new(Some(database)),
            writer: Mutex::new(Writer { encoder: Encoder::new(), pending: false, seq }),
            id,
            durable: AtomicU64::new(seq),
            damage,
            memory: Arc::default(),
        })
    }

    /// Reads that met a page whose checksum does not hold, since it was opened.
    #[must_use]
    pub fn damaged_reads(&self) -> u64 {
        self.damage.reads()
    }

    /// Why nothing more should be taken in: the disk refuses the catalog, and
    /// memory holds much of it already.
    #[must_use]
    pub fn overstrained(&self) -> Option<String> {
        self.damage.strain.why().filter(|_| self.damage.strain.bytes() > STRAIN_BYTES_MAX)
    }

    /// A number that tells this catalog from every other, made when it was
    /// begun: what was derived from another one does not hold for it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Sequence number of the last change that a crash cannot take back. The
    /// changes after it may come again in another order, with other ids.
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Applies changes in their order, all of them in one transaction.
    ///
    /// # Errors
    /// Nothing was applied. After [`CatalogError::Lost`] what was applied since
    /// the last durable transaction is gone too, and the packs are to be
    /// replayed from where [`Snapshot::pack`] says.
    pub fn apply(&self, changes: &[Change], durability: Durability) -> Result<Applied, CatalogError> {
        self.write(|database, writer| {
            let mut write = database.begin_write()?;
            set_durability(&mut write, durability)?;
            let applied = apply::apply(&write, changes, &mut writer.encoder, &self.resplit)?;
            let forgetting = (!changes.iter().all(memory::only_adds)).then(|| self.memory.forget());
            write.commit()?;
            drop(forgetting);
            writer.seq = applied.seq;
            writer.pending = durability == Durability::Fast || self.damage.strain.why().is_some();
            if !writer.pending {
                self.durable.store(writer.seq, Ordering::Release);
            }
            Ok(applied)
        })
    }

    /// Makes everything applied so far durable.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn checkpoint(&self) -> Result<(), CatalogError> {
        self.write(|database, writer| {
            if writer.pending {
                let mut write = database.begin_write()?;
                set_durability(&mut write, Durability::Durable)?;
                write.commit()?;
                if let Some(why) = self.damage.strain.why() {
                    return Err(CatalogError::NotDurable { why });
                }
                writer.pending = false;
                self.durable.store(writer.seq, Ordering::Release);
            }
            Ok(())
        })
    }

    /// Reads the whole file and holds every page against its checksum. Nothing
    /// else may use the catalog meanwhile. False when something was amiss that
    /// could be mended, which it then is.
    ///
    /// # Errors
    /// `Open` when the file is damaged, or is in use.
    pub fn check(&self) -> Result<bool, CatalogError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_mut().ok_or(CatalogError::Closed)?;
        // The library below asserts about the form of its file.
        let checked = catch_unwind(AssertUnwindSafe(|| database.check_integrity()));
        let checked = checked.map_err(|_| CatalogError::damaged(&self.path))?;
        checked.map_err(|error| CatalogError::open(&self.path, error))
    }

    /// The catalog as it is now. It must not be kept over network writes: the
    /// file grows as long as it is held.
    ///
    /// # Errors
    /// The database failed before.
    pub fn read(&self) -> Result<Snapshot, CatalogError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(CatalogError::Closed)?;
        let epoch = self.memory.epoch();
        let read = guarded::guard(|| database.begin_read())?;
        Ok(Snapshot::new(Some(read), Arc::clone(&self.memory), epoch))
    }

    /// As much of the catalog as is in memory, for a thread that must not wait
    /// ([`crate::storage::waiting::at_once`]): the rows of instances that were read lately.
    #[must_use]
    pub fn remembered(&self) -> Snapshot {
        Snapshot::new(None, Arc::clone(&self.memory), self.memory.epoch())
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Database, &mut Writer) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let done = {
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
            match database.as_ref() {
                // A damaged page is an assertion of redb's that fails; the
                // transaction is then undone.
                Some(database) => guarded::guard(|| work(database, &mut writer)),
                None => Err(CatalogError::Closed),
            }
        };
        done.map_err(|error| {
            // Dictionaries and numbers of what was rolled back are not true.
            writer.encoder.clear();
            if error.is_latched() { self.reopen(&mut writer, error) } else { error }
        })
    }

    /// redb takes no more writes after a failed one until it is opened again.
    fn reopen(&self, writer: &mut Writer, error: CatalogError) -> CatalogError {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // What was committed and is not durable may be gone.
        let _forgetting = self.memory.forget();
        // The lock on the file goes with the old one.
        *database = None;
        writer.pending = false;
        writer.seq = self.durable_seq();
        match (self.opener)() {
            Ok(opened) => {
                *database = Some(opened);
                let source = if let CatalogError::Storage { source } = error {
                    source
                } else {
                    Box::new(redb::Error::Io(std::io::Error::other(error)))
                };
                CatalogError::Lost { source }
            }
            Err(_) => error,
        }
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The database, its id and the sequence number of its last change.
fn open_database(path: &Path, opener: &Opener) -> Result<(Database, u64, u64), CatalogError> {
    let database = opener().map_err(|error| CatalogError::open(path, error))?;
    let found = tables::format_of(&database.begin_read()?).map_err(|error| error.at_open(path))?;
    match found {
        Some(found) if found > tables::FORMAT => {
            return Err(CatalogError::TooNew { path: path.to_owned(), found, known: tables::FORMAT });
        }
        Some(found) if found == tables::FORMAT => {}
        // All that an older one has is as it was; it lacks a table.
        Some(_) | None => begin(&database).map_err(|error| error.at_open(path))?,
    }
    let read = database.begin_read().map_err(|error| CatalogError::from(error).at_open(path))?;
    let id = tables::id_of(&read).map_err(|error| error.at_open(path))?;
    let memory = Arc::<Memory>::default();
    let epoch = memory.epoch();
    let seq = Snapshot::new(Some(read), memory, epoch).seq().map_err(|error| error.at_open(path))?;
    Ok((database, id, seq))
}

/// Makes an empty catalog and gives it its name when it is whole: one that a
/// crash left half made would look like a damaged one.
fn create(path: &Path, kept: &Kept) -> Result<(), CatalogError> {
    let failed = |error: std::io::Error| CatalogError::from(redb::StorageError::from(error));
    let unfinished = file::unfinished(path).map_err(failed)?;
    let database = kept.open(&unfinished, &Arc::default());
    let database = database.map_err(|error| CatalogError::open(path, error))?;
    begin(&database)?;
    drop(database);
    file::put_in_place(&unfinished, path).map_err(failed)
}

/// Writes the format and all tables, so that reads find them.
fn begin(database: &Database) -> Result<(), CatalogError> {
    let mut write = database.begin_write()?;
    set_durability(&mut write, Durability::Durable)?;
    {
        let mut tables = tables::Tables::open(&write)?;
        tables.meta.insert("format", tables::FORMAT.to_le_bytes().as_slice())?;
        let is_new = tables.meta.get("id")?.is_none();
        if is_new {
            tables.meta.insert("id", new_id().to_le_bytes().as_slice())?;
        }
    }
    write.commit()?;
    Ok(())
}

/// The standard library seeds its hash maps from the system's randomness.
fn new_id() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::time::SystemTime::now())
}

fn set_durability(write: &mut redb::WriteTransaction, durability: Durability) -> Result<(), CatalogError> {
    match durability {
        Durability::Fast => write.set_durability(redb::Durability::None)?,
        // Saves the allocator's state too, so that an open after a crash does
        // not walk the whole file.
        Durability::Durable => write.set_quick_repair(true),
    }
    Ok(())
}
