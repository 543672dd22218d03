//! Uploads that outlive their connection, and the process. Each is two files:
//!
//! ```text
//! <id>.bytes   what has arrived; beyond the noted offset it is worth nothing
//! <id>.json    [`Note`]: how far it is flushed, what it is, what became of it
//! ```
//! In an encrypted archive the first is `<id>.sealed` (`sealed.rs`), and the
//! second is sealed whole.
//! Invariants: the offset that a client is told is flushed; one writes at a
//! time; what is noted is never ahead of what is flushed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::sealed::{self, SealedBytes};
use super::{UploadError, Uploads};
use crate::storage::seal::{self, FileKey};
use crate::storage::whole_file;

/// What the keys of notes are for.
const PURPOSE: &str = "note of an upload";
/// Bytes that are sealed at once when encryption is switched on.
const COPY_BYTES: usize = 1 << 20;

/// The limits of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Uploads at the same time, those that are over and not yet forgotten included.
    pub uploads_max: usize,
    /// Bytes of all of them together, announced or arrived.
    pub bytes_max: u64,
    /// How long nothing may happen to an upload until it is forgotten.
    pub idle: Duration,
}

/// What is known of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Bytes that it will have, once that is known.
    pub length: Option<u64>,
    /// Bytes that are flushed.
    pub offset: u64,
    /// What the client says of it, as it says it.
    pub metadata: String,
    /// The media type of the whole.
    pub content_type: String,
    /// How its client reaches the server.
    pub base_url: String,
    /// Whose it is, as the http floor writes it; empty in notes of before there
    /// were callers.
    #[serde(default)]
    pub owner: String,
    /// Seconds since 1970 when something last happened.
    pub touched: u64,
    pub result: Option<UploadResult>,
}

/// What became of the bytes once they were whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadResult {
    /// An HTTP status.
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

/// A note as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    note: Note,
    /// Bytes of the sealed file that are flushed; 0 for one in the clear.
    #[serde(default)]
    stored: u64,
}

impl Note {
    /// All bytes are there, and nothing was made of them yet.
    #[must_use]
    pub fn is_to_be_stored(&self) -> bool {
        self.length == Some(self.offset) && self.result.is_none()
    }

    fn bytes(&self) -> u64 {
        if self.result.is_some() { 0 } else { self.length.unwrap_or(0).max(self.offset) }
    }
}

#[derive(Debug, Default)]
pub(super) struct Known {
    uploads: BTreeMap<String, Arc<Upload>>,
}

#[derive(Debug)]
struct Upload {
    note: Mutex<Note>,
    /// As in [`Written`].
    stored: AtomicU64,
    /// Somebody writes it, stores it or removes it.
    taken: AtomicBool,
}

/// The sole right to change an upload. Bytes that were not flushed are given up
/// when it is dropped, which costs nothing: they are written over.
#[derive(Debug)]
pub struct Writer {
    uploads: Uploads,
    id: String,
    upload: Arc<Upload>,
    content: Option<Content>,
    /// Bytes written, of which those in the note are flushed.
    written: u64,
}

/// The bytes of an upload.
#[derive(Debug)]
enum Content {
    Plain(File),
    Sealed(SealedBytes),
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.upload.taken.store(false, Ordering::Release);
    }
}

impl Uploads {
    /// Takes up the uploads that an earlier process left.
    pub(super) fn take_up(&self) -> Result<(), UploadError> {
        let listed = fs::read_dir(&self.folder).map_err(UploadError::at(&self.folder, "list"))?;
        let listed: Vec<PathBuf> = listed
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(UploadError::at(&self.folder, "list"))?;
        let mut known = self.known();
        for path in listed {
            let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => {
                    // It was written whole; a disk that lost it lost this upload.
                    let Some((written, was_sealed)) = self.read_note(&id, &path) else {
                        tracing::warn!(path = %path.display(), "an upload's note cannot be read; it is left alone");
                        continue;
                    };
                    let Written { note, stored } = self.seal_up(&id, written, was_sealed)?;
                    let upload = Upload {
                        note: Mutex::new(note),
                        stored: AtomicU64::new(stored),
                        taken: AtomicBool::new(false),
                    };
                    known.uploads.insert(id, Arc::new(upload));
                }
                Some("unfinished") => whole_file::remove(&path).map_err(UploadError::at(&path, "remove"))?,
                Some("bytes" | "sealed") if !path.with_extension("json").exists() => {
                    whole_file::remove(&path).map_err(UploadError::at(&path, "remove"))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A note, and whether it is sealed.
    fn read_note(&self, id: &str, path: &Path) -> Option<(Written, bool)> {
        let text = whole_file::read_checked(path).ok()?;
        let is_sealed = FileKey::is_head(&text);
        let text = if is_sealed {
            seal::open_file(self.ring.as_ref(), PURPOSE, id.as_bytes(), text).ok()?
        } else {
            text
        };
        Some((serde_json::from_slice(&text).ok()?, is_sealed))
    }

    /// Seals an upload of before encryption was switched on. The note says which of
    /// the two files counts, so it may be cut off anywhere.
    fn seal_up(&self, id: &str, written: Written, was_sealed: bool) -> Result<Written, UploadError> {
        let Some(ring) = &self.ring else { return Ok(written) };
        let Written { note, mut stored } = written;
        let (plain, path) = (self.path(id, "bytes"), self.path(id, "sealed"));
        if stored == 0 && note.result.is_none() {
            let seal_all = || -> io::Result<u64> {
                let from = open(&plain)?;
                let mut sealed = SealedBytes::begin(File::create(&path)?, ring)?;
                let (mut at, mut buffer) = (0, vec![0; COPY_BYTES]);
                while at < note.offset {
                    let left = usize::try_from(note.offset - at).unwrap_or(COPY_BYTES);
                    let piece = &mut buffer[..left.min(COPY_BYTES)];
                    from.read_exact_at(piece, at)?;
                    sealed.write(piece)?;
                    at += piece.len() as u64;
                }
                sealed.flush()
            };
            stored = seal_all().map_err(UploadError::at(&path, "encrypt"))?;
        }
        if !was_sealed {
            self.put_note(id, &note, stored)?;
        }
        whole_file::remove(&plain).map_err(UploadError::at(&plain, "remove"))?;
        Ok(Written { note, stored })
    }

    /// Begins an upload under a name that nobody can guess.
    ///
    /// # Errors
    /// `TooMany`, `TooMuch`, `Full`, and what the disk says.
    pub fn begin(&self, id: &str, note: Note) -> Result<Note, UploadError> {
        let mut known = self.known();
        if known.uploads.len() >= self.options.uploads_max {
            return Err(UploadError::TooMany);
        }
        self.has_room(&known, note.bytes())?;
        let note = Note { touched: now(), ..note };
        let path = self.path(id, if self.ring.is_some() { "sealed" } else { "bytes" });
        let file = File::create_new(&path).map_err(UploadError::at(&path, "create"))?;
        let begun = match &self.ring {
            Some(ring) => SealedBytes::begin(file, ring).map(|_| sealed::FIRST),
            None => Ok(0),
        };
        let begun = begun.map_err(UploadError::at(&path, "create"));
        let noted = begun.and_then(|stored| self.put_note(id, &note, stored).map(|()| stored));
        // On a full disk each try would leave a file until the next start.
        let stored = noted.inspect_err(|_| drop(self.remove_files(id)))?;
        let upload = Upload {
            note: Mutex::new(note.clone()),
            stored: AtomicU64::new(stored),
            taken: AtomicBool::new(false),
        };
        known.uploads.insert(id.to_owned(), Arc::new(upload));
        Ok(note)
    }

    /// What is known of an upload.
    #[must_use]
    pub fn note(&self, id: &str) -> Option<Note> {
        let upload = self.upload(id)?;
        let note = upload.note().clone();
        Some(note).filter(|note| !self.has_expired(note))
    }

    /// When an upload is forgotten if nothing more happens to it.
    #[must_use]
    pub fn expires(&self, note: &Note) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(note.touched) + self.options.idle
    }

    /// Takes an upload to change it.
    ///
    /// # Errors
    /// `Unknown`, `Taken`.
    pub fn take(&self, id: &str) -> Result<Writer, UploadError> {
        let writer = self.take_any(id)?;
        // It may have gone between the two.
        if self.note(id).is_none() { Err(UploadError::Unknown) } else { Ok(writer) }
    }

    /// The same of one that may have expired.
    fn take_any(&self, id: &str) -> Result<Writer, UploadError> {
        let upload = self.upload(id).ok_or(UploadError::Unknown)?;
        if upload.taken.swap(true, Ordering::Acquire) {
            return Err(UploadError::Taken);
        }
        let written = upload.note().offset;
        Ok(Writer { uploads: self.clone(), id: id.to_owned(), upload, content: None, written })
    }

    /// Those whose bytes are all there and of which nothing was made yet.
    #[must_use]
    pub fn to_be_stored(&self) -> Vec<String> {
        let known = self.known();
        let waiting = known.uploads.iter().filter(|(_, upload)| upload.note().is_to_be_stored());
        waiting.map(|(id, _)| id.clone()).collect()
    }

    /// Forgets those to which nothing has happened for too long; how many.
    ///
    /// # Errors
    /// What the disk says of one of them; the others are forgotten, and that one
    /// is tried again the next time.
    pub fn expire(&self) -> Result<usize, UploadError> {
        let expired: Vec<String> = {
            let known = self.known();
            let expired = known.uploads.iter().filter(|(_, upload)| self.has_expired(&upload.note()));
            expired.map(|(id, _)| id.clone()).collect()
        };
        let mut gone = Ok(0);
        for id in expired {
            // Somebody has it, or had it until just now and went on with it.
            let Ok(writer) = self.take_any(&id) else { continue };
            if !self.has_expired(&writer.note()) {
                continue;
            }
            match writer.remove() {
                Ok(()) => gone = gone.map(|gone| gone + 1),
                Err(error) => gone = Err(error),
            }
        }
        gone
    }

    fn forget(&self, id: &str) -> Result<(), UploadError> {
        self.remove_files(id)?;
        self.known().uploads.remove(id);
        Ok(())
    }

    fn remove_files(&self, id: &str) -> Result<(), UploadError> {
        // The note first: without it the bytes are removed at the next start.
        for extension in ["json", "bytes", "sealed"] {
            let path = self.path(id, extension);
            whole_file::remove(&path).map_err(UploadError::at(&path, "remove"))?;
        }
        Ok(())
    }

    fn has_room(&self, known: &Known, more: u64) -> Result<(), UploadError> {
        let bytes: u64 = known.uploads.values().map(|upload| upload.note().bytes()).sum();
        if bytes.saturating_add(more) > self.options.bytes_max { Err(UploadError::TooMuch) } else { Ok(()) }
    }

    fn has_expired(&self, note: &Note) -> bool {
        SystemTime::now() > self.expires(note)
    }

    fn put_note(&self, id: &str, note: &Note, stored: u64) -> Result<(), UploadError> {
        let path = self.path(id, "json");
        // A note has strings and numbers only.
        let text = serde_json::to_vec(&Written { note: note.clone(), stored }).unwrap_or_default();
        let text = match &self.ring {
            Some(ring) => seal::seal_file(ring, PURPOSE, id.as_bytes(), &text),
            None => Ok(text),
        };
        text.and_then(|text| whole_file::put_checked(&path, &text)).map_err(UploadError::at(&path, "write"))
    }

    fn upload(&self, id: &str) -> Option<Arc<Upload>> {
        self.known().uploads.get(id).cloned()
    }

    fn path(&self, id: &str, extension: &str) -> PathBuf {
        self.folder.join(format!("{id}.{extension}"))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    fn note(&self) -> MutexGuard<'_, Note> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }
}

impl Writer {
    #[must_use]
    pub fn note(&self) -> Note {
        self.upload.note().clone()
    }

    /// Bytes written so far, flushed or not.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Says how long the whole will be.
    ///
    /// # Errors
    /// `TooMuch`, and what the disk says.
    pub fn set_length(&mut self, length: u64) -> Result<(), UploadError> {
        let mut note = self.note();
        let before = note.bytes();
        note.length = Some(length);
        self.uploads.has_room(&self.uploads.known(), note.bytes().saturating_sub(before))?;
        self.note_down(note, self.upload.stored())
    }

    /// Writes the next bytes. They are not flushed.
    ///
    /// # Errors
    /// `TooMuch`, `Full`, and what the disk says.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        if self.note().length.is_none() {
            let unflushed = self.written - self.note().offset;
            let more = unflushed.saturating_add(bytes.len() as u64);
            self.uploads.has_room(&self.uploads.known(), more)?;
        }
        let (path, at) = (self.path(), self.written);
        let written = match self.content()? {
            Content::Plain(file) => file.write_all_at(bytes, at),
            Content::Sealed(sealed) => sealed.write(bytes),
        };
        written.map_err(UploadError::at(&path, "write"))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Flushes what was written and notes how much that is.
    ///
    /// # Errors
    /// `Full`, and what the disk says.
    pub fn flush(&mut self) -> Result<Note, UploadError> {
        let path = self.path();
        let stored = match &mut self.content {
            None => Ok(self.upload.stored()),
            Some(Content::Plain(file)) => file.sync_data().map(|()| 0),
            Some(Content::Sealed(sealed)) => sealed.flush(),
        };
        let stored = stored.map_err(UploadError::at(&path, "flush"))?;
        let note = Note { offset: self.written, touched: now(), ..self.note() };
        self.note_down(note.clone(), stored)?;
        Ok(note)
    }

    /// Gives up what was written and not flushed.
    pub fn discard(&mut self) {
        self.written = self.note().offset;
        if let Some(Content::Sealed(sealed)) = &mut self.content {
            sealed.discard(self.written, self.upload.stored());
        }
    }

    /// Bytes from `at` on, at most `length` of them.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read(&mut self, at: u64, length: usize) -> Result<Bytes, UploadError> {
        let path = self.path();
        let left = usize::try_from(self.note().offset.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; length.min(left)];
        let read = match self.content()? {
            Content::Plain(file) => file.read_exact_at(&mut buffer, at),
            Content::Sealed(sealed) => sealed.read(&mut buffer, at),
        };
        read.map_err(UploadError::at(&path, "read"))?;
        Ok(buffer.into())
    }

    /// Notes what became of the bytes, which are not needed any more.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(mut self, result: UploadResult) -> Result<(), UploadError> {
        let stored = self.upload.stored();
        self.note_down(Note { result: Some(result), touched: now(), ..self.note() }, stored)?;
        self.content = None;
        let path = self.path();
        whole_file::remove(&path).map_err(UploadError::at(&path, "remove"))
    }

    /// Forgets the upload and its bytes.
    ///
    /// # Errors
    /// What the disk says.
    pub fn remove(self) -> Result<(), UploadError> {
        self.uploads.forget(&self.id)
    }

    fn note_down(&mut self, note: Note, stored: u64) -> Result<(), UploadError> {
        self.uploads.put_note(&self.id, &note, stored)?;
        *self.upload.note() = note;
        self.upload.stored.store(stored, Ordering::Release);
        Ok(())
    }

    /// The file of its bytes.
    fn path(&self) -> PathBuf {
        self.uploads.path(&self.id, if self.upload.stored() > 0 { "sealed" } else { "bytes" })
    }

    fn content(&mut self) -> Result<&mut Content, UploadError> {
        let content = match self.content.take() {
            Some(content) => content,
            None => self.open().map_err(UploadError::at(&self.path(), "open"))?,
        };
        Ok(self.content.insert(content))
    }

    fn open(&self) -> io::Result<Content> {
        let file = open(&self.path())?;
        let (length, stored) = (self.note().offset, self.upload.stored());
        Ok(match stored {
            0 => Content::Plain(file),
            stored => Content::Sealed(SealedBytes::open(file, self.uploads.ring.as_ref(), length, stored)?),
        })
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
