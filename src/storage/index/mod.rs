//! The index: which studies and series match a search, which series have
//! instances that may match, in which order
//! (PS3.18 section 10.6, PS3.4 section C.2.2.2).
//!
//! One document per study, one per series with the order of its study, and
//! blocks: one for some instances of a series together, which says what values
//! their attributes have (see `block.rs`). A document holds terms, trigrams and
//! ids; nothing is stored, the rows of a result are the catalog's. The index follows the catalog's feed: a commit
//! carries the sequence number up to which it knows it. It may lose anything
//! and be deleted at any time; whoever feeds it goes on from
//! [`Index::committed_seq`], or builds it anew.
//! Only this folder knows tantivy.

mod block;
mod clause;
mod directory;
mod grams;
mod ladder;
mod matched;
mod order;
mod ranking;
mod schema;
mod sealed;
mod terms;
#[cfg(test)]
mod tests;
mod text;
mod view;

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::{fs, io};

use dicom_dictionary_std::tags;
use tantivy::directory::MmapDirectory;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::{
    Directory, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, SegmentReader, TantivyDocument,
    TantivyError, Term,
};

pub use block::{Block, DocumentText};
pub use order::{COLUMNS, Column, Kind, SortKey, key_of_rows, needs_rows, order_of, sortable};
pub use view::View;

use crate::dicom::StudyUid;
use crate::dicom::dataset::DataSet;
use crate::dicom::query::{Level, Query};
use crate::storage::seal::Keyring;
use directory::Checked;
use matched::Kept;
use schema::Fields;
use sealed::Sealed;
use terms::Terms;
use text::Texts;

/// The version of what is in the index. An index of another one is built anew.
const FORMAT: u32 = 7;
/// What the payload of a commit begins with.
const PAYLOAD: &str = "hilum-index";

#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("the folder {path} of the index cannot be used")]
    Folder { path: PathBuf, source: io::Error },
    /// The index failed. After a failed write all that was not committed is
    /// lost, and is to be fed again.
    #[error("the index failed: {0}")]
    Inner(#[from] TantivyError),
    /// More than `candidates_max` rows would have to be looked at.
    #[error("the search has more than {candidates_max} candidates that must be checked one by one")]
    TooBroad { candidates_max: usize },
}

#[derive(Debug, Clone)]
pub struct Options {
    /// Memory for documents that are not committed yet; 15 MB at least.
    pub writer_bytes: usize,
    /// Rows that a search which the index can only narrow down may return.
    pub candidates_max: usize,
    /// Read every file once and compare its checksum before it is trusted.
    pub check: bool,
    /// The catalog whose feed it follows: an index of another is not opened,
    /// for its ids and sequence numbers mean something else.
    pub of: u64,
    /// Keys, if its files are to be encrypted: an index in the clear is not opened
    /// then, and one that is encrypted not without them.
    pub ring: Option<Keyring>,
    /// Of what is encrypted, memory for what was opened last.
    pub opened_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            writer_bytes: 50_000_000,
            candidates_max: 500_000,
            check: true,
            of: 0,
            ring: None,
            opened_bytes_max: 64 << 20,
        }
    }
}

/// What [`Index::open`] found.
pub enum Opened {
    /// An index to go on with from [`Index::committed_seq`].
    Ready(Box<Index>),
    /// None that could be used: [`Index::create`] is to be called, and fed from
    /// the start of the feed. The reason is for the log.
    Rebuild(String),
}

/// A study as the index takes it in.
pub struct StudyDoc<'a> {
    pub id: u64,
    /// What it is put in place of and removed by.
    pub uid: &'a StudyUid,
    /// Nothing of it is in the index, so nothing has to be put in place of.
    pub is_new: bool,
    /// All attributes of the study, computed ones too.
    pub set: &'a DataSet,
    pub series: Vec<SeriesDoc<'a>>,
}

pub struct SeriesDoc<'a> {
    pub id: u64,
    /// All attributes of the series, computed ones too.
    pub set: &'a DataSet,
    /// SOP Class UIDs of its instances.
    pub sop_classes: Vec<&'a str>,
    pub instances: u64,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hits {
    /// In order: those that were wanted or, unless `exact`, all.
    pub rows: Vec<Hit>,
    /// Rows there are: studies for a search of studies, else series.
    pub total: u64,
    /// Instances in all of these; counted in a search of instances only.
    pub instances: u64,
    /// Every row matches. Otherwise the rows are candidates, none that match
    /// is missing, and each must be checked.
    pub exact: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub order: SortKey,
    pub study_id: u64,
    /// None in a search of studies.
    pub series_id: Option<u64>,
    /// Instances of the study or series.
    pub instances: u64,
}

/// The index. One writer at a time; views may be had from any thread.
pub struct Index {
    inner: tantivy::Index,
    folder: PathBuf,
    fields: Fields,
    options: Options,
    reader: IndexReader,
    /// None after a failure, until the next write opens one.
    writer: Mutex<Option<IndexWriter>>,
    view: RwLock<View>,
}

impl Index {
    /// Opens the index in a folder if there is one that can be trusted.
    ///
    /// # Errors
    /// If another process has it.
    pub fn open(folder: &Path, options: Options) -> Result<Opened, IndexError> {
        if !folder.join("meta.json").exists() {
            return Ok(Opened::Rebuild("there is none".to_owned()));
        }
        // The library below asserts about the form of its files.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::open_existing(folder, options)));
        match opened {
            Ok(Ok(index)) => Ok(Opened::Ready(Box::new(index))),
            Ok(Err(Refused::Unusable(reason))) => Ok(Opened::Rebuild(reason)),
            Ok(Err(Refused::Failed(error))) => Err(error),
            Err(_) => Ok(Opened::Rebuild("its files are damaged".to_owned())),
        }
    }

    fn open_existing(folder: &Path, options: Options) -> Result<Self, Refused> {
        let mut inner = tantivy::Index::open(directory_of(folder, &options)?)?;
        let payload = inner.load_metas()?.payload.unwrap_or_default();
        let (seq, of) = read_payload(&payload)
            .ok_or_else(|| Refused::Unusable("it is of another format or was never committed".to_owned()))?;
        if of != options.of {
            return Err(Refused::Unusable("it is of another catalog".to_owned()));
        }
        let (schema, fields) = schema::schema();
        if inner.schema() != schema {
            return Err(Refused::Unusable("its schema is another".to_owned()));
        }
        if options.check && !damaged_files(&inner, folder, &options)?.is_empty() {
            return Err(Refused::Unusable("checksums of its files do not hold".to_owned()));
        }
        inner.set_tokenizers(schema::tokenizers());
        Self::assemble(inner, folder, fields, options, seq)
    }

    /// Begins an empty index in a folder, whatever is in it.
    ///
    /// # Errors
    /// If the folder cannot be emptied or written.
    pub fn create(folder: &Path, options: Options) -> Result<Self, IndexError> {
        let failed = |source| IndexError::Folder { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        empty(folder).map_err(failed)?;
        let (schema, fields) = schema::schema();
        let directory = directory_of(folder, &options)?;
        let settings =
            IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() };
        let inner = tantivy::Index::builder()
            .schema(schema)
            .settings(settings)
            .tokenizers(schema::tokenizers())
            .open_or_create(directory)?;
        let index = Self::assemble(inner, folder, fields, options, 0).map_err(|refused| match refused {
            Refused::Failed(error) => error,
            Refused::Unusable(reason) => failed(io::Error::other(reason)),
        })?;
        index.commit(0)?;
        Ok(index)
    }

    fn assemble(
        inner: tantivy::Index,
        folder: &Path,
        fields: Fields,
        options: Options,
        seq: u64,
    ) -> Result<Self, Refused> {
        let reader = inner.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let writer = open_writer(&inner, &options)?;
        let view = View {
            searcher: reader.searcher(),
            fields: fields.clone(),
            seq,
            candidates_max: options.candidates_max,
            kept: Arc::new(Kept::new(options.ring.is_none())),
        };
        view.warm()?;
        let (writer, view) = (Mutex::new(Some(writer)), RwLock::new(view));
        Ok(Self { inner, folder: folder.to_owned(), fields, options, reader, writer, view })
    }

    /// The state of the last commit.
    #[must_use]
    pub fn reader(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The names of files whose checksums do not hold.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn damaged_files(&self) -> Result<Vec<String>, IndexError> {
        let damaged = damaged_files(&self.inner, &self.folder, &self.options)?;
        Ok(damaged.into_iter().map(|path| path.display().to_string()).collect())
    }

    /// The sequence number of the last commit.
    #[must_use]
    pub fn committed_seq(&self) -> u64 {
        self.view.read().unwrap_or_else(PoisonError::into_inner).seq
    }

    /// Searches the state of the last commit, see [`View::search`].
    ///
    /// # Errors
    /// As [`View::search`].
    pub fn search(
        &self,
        query: &Query,
        wanted: Range<usize>,
        skip: &BTreeSet<u64>,
    ) -> Result<Hits, IndexError> {
        self.reader().search(query, wanted, skip)
    }

    /// Takes a study in, in place of what was known of it. Seen after the next
    /// commit.
    ///
    /// # Errors
    /// If the index failed: all since [`Self::committed_seq`] is lost.
    pub fn put(&self, study: &StudyDoc<'_>) -> Result<(), IndexError> {
        self.write(|writer| {
            if !study.is_new {
                writer.delete_term(self.study_term(study.uid));
            }
            writer.add_document(self.study_document(study))?;
            for series in &study.series {
                writer.add_document(self.series_document(study, series))?;
            }
            Ok(())
        })
    }

    /// Forgets a study and its series, not their blocks. Seen after the next
    /// commit.
    ///
    /// # Errors
    /// If the index failed: all since [`Self::committed_seq`] is lost.
    pub fn remove(&self, study: &StudyUid) -> Result<(), IndexError> {
        self.write(|writer| {
            writer.delete_term(self.study_term(study));
            Ok(())
        })
    }

    /// Takes in a block of instances, beside those there are. Seen after the
    /// next commit.
    ///
    /// # Errors
    /// If the index failed: all since [`Self::committed_seq`] is lost.
    pub fn put_block(&self, block: Block) -> Result<(), IndexError> {
        self.write(|writer| {
            writer.add_document(block.into_document(&self.fields))?;
            Ok(())
        })
    }

    /// Takes in the text of an encapsulated document. Seen after the next commit.
    ///
    /// # Errors
    /// If the index failed: all since [`Self::committed_seq`] is lost.
    pub fn put_document(&self, document: DocumentText<'_>) -> Result<(), IndexError> {
        self.write(|writer| {
            writer.add_document(document.into_document(&self.fields))?;
            Ok(())
        })
    }

    /// Forgets all blocks of a series, and the texts of its documents. Seen after the next commit.
    ///
    /// # Errors
    /// If the index failed: all since [`Self::committed_seq`] is lost.
    pub fn remove_blocks(&self, series_id: u64) -> Result<(), IndexError> {
        self.write(|writer| {
            writer.delete_term(Term::from_field_text(self.fields.terms, &terms::of_blocks(series_id)));
            Ok(())
        })
    }

    fn study_term(&self, study: &StudyUid) -> Term {
        Term::from_field_text(self.fields.terms, &terms::of_study(study))
    }

    /// Makes all that was put and removed visible, as the state of the feed
    /// at `seq`.
    ///
    /// # Errors
    /// If the index failed: all since [`Self::committed_seq`] is lost.
    pub fn commit(&self, seq: u64) -> Result<(), IndexError> {
        self.write(|writer| {
            let mut prepared = writer.prepare_commit()?;
            prepared.set_payload(&write_payload(seq, self.options.of));
            prepared.commit()?;
            self.reader.reload()?;
            let next = View { searcher: self.reader.searcher(), seq, ..self.reader() };
            next.warm()?;
            let segments = next.searcher.segment_readers().iter().map(SegmentReader::segment_id);
            next.kept.retain(&segments.collect());
            *self.view.write().unwrap_or_else(PoisonError::into_inner) = next;
            Ok(())
        })
    }

    /// Runs a write. After a failure the writer is given up and with it what
    /// it had not committed; the next write opens another.
    fn write(&self, work: impl FnOnce(&mut IndexWriter) -> tantivy::Result<()>) -> Result<(), IndexError> {
        let mut guard: MutexGuard<'_, Option<IndexWriter>> =
            self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = match guard.take() {
            Some(writer) => writer,
            None => open_writer(&self.inner, &self.options)?,
        };
        work(&mut writer)?;
        *guard = Some(writer);
        Ok(())
    }

    fn study_document(&self, study: &StudyDoc<'_>) -> TantivyDocument {
        let mut doc = TantivyDocument::with_capacity(4096);
        doc.add_u64(self.fields.study, study.id);
        doc.add_u64(self.fields.instances, study.series.iter().map(|series| series.instances).sum());
        self.add_columns(&mut doc, Level::Study, study.set);
        let mut terms = Terms::with_grams();
        terms.add(terms::A_STUDY.to_owned());
        terms.add(terms::of_study(study.uid));
        terms.add_set(study.set);
        terms.pour(&mut doc, &self.fields);
        self.add_texts(&mut doc, study.set);
        doc
    }

    fn series_document(&self, study: &StudyDoc<'_>, series: &SeriesDoc<'_>) -> TantivyDocument {
        let mut doc = TantivyDocument::with_capacity(2048);
        doc.add_u64(self.fields.study, study.id);
        doc.add_u64(self.fields.series, series.id);
        doc.add_u64(self.fields.instances, series.instances);
        self.add_columns(&mut doc, Level::Study, study.set);
        self.add_columns(&mut doc, Level::Series, series.set);
        let mut terms = Terms::with_grams();
        terms.add(terms::A_SERIES.to_owned());
        terms.add(terms::of_study(study.uid));
        terms.add_set(series.set);
        let sop_class = terms::path_of(tags::SOP_CLASS_UID);
        for uid in &series.sop_classes {
            terms.add(terms::text(&sop_class, uid));
        }
        terms.pour(&mut doc, &self.fields);
        self.add_texts(&mut doc, series.set);
        doc
    }

    fn add_texts(&self, doc: &mut TantivyDocument, set: &DataSet) {
        let mut texts = Texts::default();
        texts.add_set(set, |_| true);
        texts.pour(doc, &self.fields);
    }

    fn add_columns(&self, doc: &mut TantivyDocument, level: Level, set: &DataSet) {
        let columns = COLUMNS.iter().zip(&self.fields.columns);
        for (column, field) in columns.filter(|(column, _)| column.level == level) {
            if let Some(number) = column.number(set) {
                doc.add_u64(*field, number);
            }
            if let Some(text) = column.text(set) {
                doc.add_text(*field, text);
            }
        }
    }
}

/// The folder of an index as tantivy sees it.
fn directory_of(folder: &Path, options: &Options) -> tantivy::Result<Box<dyn Directory>> {
    let inner = MmapDirectory::open(folder)?;
    Ok(match &options.ring {
        Some(ring) => Box::new(Sealed::new(inner, folder, ring.clone(), options.opened_bytes_max)),
        None => Box::new(Checked(inner)),
    })
}

/// The files in use that are not what was written.
fn damaged_files(
    index: &tantivy::Index,
    folder: &Path,
    options: &Options,
) -> tantivy::Result<BTreeSet<PathBuf>> {
    let Some(ring) = &options.ring else { return Ok(index.validate_checksum()?.into_iter().collect()) };
    // Not by way of tantivy, which wants each file as a whole.
    let segments = index.searchable_segment_ids()?.into_iter().map(|id| id.uuid_string());
    let segments: BTreeSet<String> = segments.collect();
    let directory = Sealed::new(MmapDirectory::open(folder)?, folder, ring.clone(), 0);
    let mut damaged = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = PathBuf::from(entry?.file_name());
        let is_of = |name: &str| name.split_once('.').is_some_and(|(id, _)| segments.contains(id));
        if name.to_str().is_some_and(is_of) && !directory.is_whole(&name) {
            damaged.insert(name);
        }
    }
    Ok(damaged)
}

/// Throws the index in a folder away; the next open says [`Opened::Rebuild`].
///
/// # Errors
/// If the folder cannot be emptied.
pub fn discard(folder: &Path) -> io::Result<()> {
    if folder.exists() { empty(folder) } else { Ok(()) }
}

/// Why an index that is there was not opened.
enum Refused {
    Unusable(String),
    Failed(IndexError),
}

impl From<TantivyError> for Refused {
    #[allow(clippy::wildcard_enum_match_arm, reason = "an index that fails otherwise is rebuilt")]
    fn from(error: TantivyError) -> Self {
        match error {
            // Another process has it: not a reason to wipe it.
            TantivyError::LockFailure(..) => Self::Failed(error.into()),
            error => Self::Unusable(error.to_string()),
        }
    }
}

fn open_writer(index: &tantivy::Index, options: &Options) -> tantivy::Result<IndexWriter> {
    let threads = IndexWriterOptions::builder()
        .memory_budget_per_thread(options.writer_bytes)
        .num_worker_threads(1)
        .num_merge_threads(1)
        .build();
    let writer = index.writer_with_options(threads)?;
    let mut policy = LogMergePolicy::default();
    // A study is written again with each batch of its instances: without this
    // its former documents would stay for long.
    policy.set_del_docs_ratio_before_merge(0.3);
    writer.set_merge_policy(Box::new(policy));
    Ok(writer)
}

fn write_payload(seq: u64, of: u64) -> String {
    format!("{PAYLOAD} {FORMAT} {seq} {of:016x}")
}

/// The sequence number of a payload of our format, and the catalog it is of.
fn read_payload(payload: &str) -> Option<(u64, u64)> {
    let mut words = payload.split(' ');
    let ours = words.next()? == PAYLOAD && words.next()?.parse() == Ok(FORMAT);
    let seq = words.next()?.parse().ok()?;
    let of = u64::from_str_radix(words.next()?, 16).ok()?;
    (ours && words.next().is_none()).then_some((seq, of))
}

/// Removes all in a folder, not the folder: it may be a mount.
fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
