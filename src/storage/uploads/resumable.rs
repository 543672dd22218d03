//! Uploads that outlive their connection, and the process. Each is two files:
//!
//! ```text
//! <id>.bytes   what has arrived; beyond the noted offset it is worth nothing
//! <id>.json    [`Note`]: how far it is flushed, what it is, what became of it
//! ```
//! Invariants: the offset that a client is told is flushed; one writes at a
//! time; what is noted is never ahead of what is flushed.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{UploadError, Uploads};
use crate::storage::whole_file;

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
    file: Option<File>,
    /// Bytes written, of which those in the note are flushed.
    written: u64,
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
        let mut known = self.known();
        for entry in listed {
            let path = entry.map_err(UploadError::at(&self.folder, "list"))?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => {
                    // It was written whole; a disk that lost it lost this upload.
                    let note = whole_file::read_checked(&path)
                        .ok()
                        .and_then(|text| serde_json::from_slice(&text).ok());
                    let Some(note) = note else {
                        tracing::warn!(path = %path.display(), "an upload's note cannot be read; it is left alone");
                        continue;
                    };
                    let upload = Upload { note: Mutex::new(note), taken: AtomicBool::new(false) };
                    known.uploads.insert(id, Arc::new(upload));
                }
                Some("unfinished") => whole_file::remove(&path).map_err(UploadError::at(&path, "remove"))?,
                Some("bytes") if !path.with_extension("json").exists() => {
                    whole_file::remove(&path).map_err(UploadError::at(&path, "remove"))?;
                }
                _ => {}
            }
        }
        Ok(())
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
        let bytes = self.path(id, "bytes");
        File::create_new(&bytes).map_err(UploadError::at(&bytes, "create"))?;
        self.put_note(id, &note)?;
        let upload = Upload { note: Mutex::new(note.clone()), taken: AtomicBool::new(false) };
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
        let upload = self.upload(id).ok_or(UploadError::Unknown)?;
        if upload.taken.swap(true, Ordering::Acquire) {
            return Err(UploadError::Taken);
        }
        let written = upload.note().offset;
        let writer = Writer { uploads: self.clone(), id: id.to_owned(), upload, file: None, written };
        // It may have gone between the two.
        if self.note(id).is_none() { Err(UploadError::Unknown) } else { Ok(writer) }
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
    /// What the disk says.
    pub fn expire(&self) -> Result<usize, UploadError> {
        let expired: Vec<String> = {
            let known = self.known();
            let expired = known.uploads.iter().filter(|(_, upload)| self.has_expired(&upload.note()));
            expired.map(|(id, _)| id.clone()).collect()
        };
        let mut gone = 0;
        for id in expired {
            let Some(upload) = self.upload(&id) else { continue };
            if !upload.taken.swap(true, Ordering::Acquire) {
                self.forget(&id)?;
                gone += 1;
            }
        }
        Ok(gone)
    }

    fn forget(&self, id: &str) -> Result<(), UploadError> {
        // The note first: without it the bytes are removed at the next start.
        for extension in ["json", "bytes"] {
            let path = self.path(id, extension);
            whole_file::remove(&path).map_err(UploadError::at(&path, "remove"))?;
        }
        self.known().uploads.remove(id);
        Ok(())
    }

    fn has_room(&self, known: &Known, more: u64) -> Result<(), UploadError> {
        let bytes: u64 = known.uploads.values().map(|upload| upload.note().bytes()).sum();
        if bytes.saturating_add(more) > self.options.bytes_max { Err(UploadError::TooMuch) } else { Ok(()) }
    }

    fn has_expired(&self, note: &Note) -> bool {
        SystemTime::now() > self.expires(note)
    }

    fn put_note(&self, id: &str, note: &Note) -> Result<(), UploadError> {
        let path = self.path(id, "json");
        // A note has strings and numbers only.
        let text = serde_json::to_vec(note).unwrap_or_default();
        whole_file::put_checked(&path, &text).map_err(UploadError::at(&path, "write"))
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
        self.note_down(note)
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
        let path = self.uploads.path(&self.id, "bytes");
        let at = self.written;
        self.file()?.write_all_at(bytes, at).map_err(UploadError::at(&path, "write"))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Flushes what was written and notes how much that is.
    ///
    /// # Errors
    /// `Full`, and what the disk says.
    pub fn flush(&mut self) -> Result<Note, UploadError> {
        let path = self.uploads.path(&self.id, "bytes");
        if let Some(file) = &self.file {
            file.sync_data().map_err(UploadError::at(&path, "flush"))?;
        }
        let note = Note { offset: self.written, touched: now(), ..self.note() };
        self.note_down(note.clone())?;
        Ok(note)
    }

    /// Gives up what was written and not flushed.
    pub fn discard(&mut self) {
        self.written = self.note().offset;
    }

    /// Bytes from `at` on, at most `length` of them.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read(&mut self, at: u64, length: usize) -> Result<Bytes, UploadError> {
        let path = self.uploads.path(&self.id, "bytes");
        let left = usize::try_from(self.note().offset.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; length.min(left)];
        self.file()?.read_exact_at(&mut buffer, at).map_err(UploadError::at(&path, "read"))?;
        Ok(buffer.into())
    }

    /// Notes what became of the bytes, which are not needed any more.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(mut self, result: UploadResult) -> Result<(), UploadError> {
        self.note_down(Note { result: Some(result), touched: now(), ..self.note() })?;
        self.file = None;
        let path = self.uploads.path(&self.id, "bytes");
        whole_file::remove(&path).map_err(UploadError::at(&path, "remove"))
    }

    /// Forgets the upload and its bytes.
    ///
    /// # Errors
    /// What the disk says.
    pub fn remove(self) -> Result<(), UploadError> {
        self.uploads.forget(&self.id)
    }

    fn note_down(&mut self, note: Note) -> Result<(), UploadError> {
        self.uploads.put_note(&self.id, &note)?;
        *self.upload.note() = note;
        Ok(())
    }

    fn file(&mut self) -> Result<&File, UploadError> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open(&self.uploads.path(&self.id, "bytes"))?,
        };
        Ok(self.file.insert(file))
    }
}

fn open(path: &Path) -> Result<File, UploadError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(UploadError::at(path, "open"))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_in(folder: &Path, change: impl FnOnce(&mut Options)) -> Uploads {
        let mut options = Options { uploads_max: 3, bytes_max: 100, idle: Duration::from_secs(60) };
        change(&mut options);
        Uploads::open(folder, options).unwrap()
    }

    fn note(length: Option<u64>) -> Note {
        Note {
            length,
            offset: 0,
            metadata: String::new(),
            content_type: "application/dicom".into(),
            base_url: "http://a".into(),
            owner: String::new(),
            touched: 0,
            result: None,
        }
    }

    #[test]
    fn what_is_flushed_is_there_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = open_in(folder.path(), |_| {});
        uploads.begin("a", note(Some(10))).unwrap();
        let mut writer = uploads.take("a").unwrap();
        assert!(matches!(uploads.take("a"), Err(UploadError::Taken)));
        writer.write(b"01234").unwrap();
        assert_eq!(writer.flush().unwrap().offset, 5);
        writer.write(b"lost").unwrap();
        drop(writer);

        let uploads = open_in(folder.path(), |_| {});
        assert_eq!(uploads.note("a").unwrap().offset, 5);
        let mut writer = uploads.take("a").unwrap();
        writer.write(b"56").unwrap();
        writer.discard();
        writer.write(b"56789").unwrap();
        assert!(writer.flush().unwrap().is_to_be_stored());
        assert_eq!(writer.read(3, 100).unwrap(), "3456789");
        drop(writer);
        let uploads = open_in(folder.path(), |_| {});
        assert_eq!(uploads.to_be_stored(), ["a"]);
        let result = UploadResult { status: 200, content_type: "x".into(), body: "done".into() };
        uploads.take("a").unwrap().finish(result.clone()).unwrap();
        let uploads = open_in(folder.path(), |_| {});
        assert_eq!(uploads.note("a").unwrap().result, Some(result));
        assert_eq!(uploads.to_be_stored(), [""; 0]);
        uploads.take("a").unwrap().remove().unwrap();
        assert!(uploads.note("a").is_none() && matches!(uploads.take("a"), Err(UploadError::Unknown)));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn limits() {
        let folder = tempfile::tempdir().unwrap();
        let uploads = open_in(folder.path(), |_| {});
        uploads.begin("a", note(Some(60))).unwrap();
        assert!(matches!(uploads.begin("b", note(Some(41))), Err(UploadError::TooMuch)));
        uploads.begin("b", note(None)).unwrap();
        let mut writer = uploads.take("b").unwrap();
        writer.write(&[0; 30]).unwrap();
        assert!(matches!(writer.write(&[0; 11]), Err(UploadError::TooMuch)));
        assert!(matches!(writer.set_length(41), Err(UploadError::TooMuch)));
        writer.flush().unwrap();
        writer.set_length(40).unwrap();
        uploads.begin("c", note(Some(0))).unwrap();
        assert!(matches!(uploads.begin("d", note(Some(0))), Err(UploadError::TooMany)));
        assert_eq!(uploads.expire().unwrap(), 0);
        drop(writer);
        std::thread::sleep(Duration::from_millis(1100));
        let uploads = open_in(folder.path(), |options| options.idle = Duration::ZERO);
        assert_eq!(uploads.note("a"), None, "what has expired is not shown");
        assert_eq!(uploads.expire().unwrap(), 3);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_a_crash_left_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.bytes", "b.unfinished", "b.json"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        open_in(folder.path(), |_| {});
        let left: Vec<_> =
            folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["b.json"], "what is not understood is left alone");
    }
}
