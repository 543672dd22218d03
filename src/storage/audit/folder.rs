//! The folder of the log: its key, its segments, the anchor that says how far it
//! was flushed, and the notes that commands leave for a server that holds it.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    AuditError,
    line::{Hash, Head},
};
use crate::storage::whole_file;

/// Notes that wait at most; a command that finds more fails.
const NOTES_MAX: usize = 10_000;
const NOTE_BYTES_MAX: u64 = 1 << 20;
const ANCHOR_BYTES: usize = 256;

/// Where the parts of a log are.
#[derive(Debug, Clone)]
pub struct Folder {
    pub path: PathBuf,
    key_file: PathBuf,
}

/// How far the log was flushed: the head, and where its line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    pub head: Head,
    pub segment: u64,
    pub offset: u64,
}

impl Folder {
    /// A folder whose key lies in `key_file`, or in the folder itself.
    #[must_use]
    pub fn new(path: &Path, key_file: Option<&Path>) -> Self {
        let key_file = key_file.map_or_else(|| path.join("KEY"), Path::to_owned);
        Self { path: path.to_owned(), key_file }
    }

    /// Whether there is a log.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.join("LOCK").is_file()
    }

    pub(super) fn create(&self) -> Result<(), AuditError> {
        fs::create_dir_all(self.path.join("notes")).map_err(AuditError::at(&self.path))
    }

    /// The lock of whoever writes; held as long as the file is open.
    pub(super) fn lock(&self) -> Result<File, AuditError> {
        let path = self.path.join("LOCK");
        let file = private().create(true).write(true).truncate(false).open(&path);
        let file = file.map_err(AuditError::at(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(AuditError::Locked(self.path.clone())),
            Err(fs::TryLockError::Error(source)) => Err(AuditError::Io { path, source }),
        }
    }

    /// The key of the log; `make` makes one where there is none.
    pub(super) fn key(&self, make: bool) -> Result<Hash, AuditError> {
        let path = &self.key_file;
        match fs::read_to_string(path) {
            Ok(text) => match blake3::Hash::from_hex(text.trim()) {
                Ok(key) => Ok(*key.as_bytes()),
                Err(_) => Err(AuditError::Key(path.clone())),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && make => {
                let key = random();
                let text = format!("{}\n", blake3::Hash::from_bytes(key).to_hex());
                // Half a key would be none for ever: it gets its name when it is whole.
                let unfinished = path.with_extension("unfinished");
                let file = private().create(true).truncate(true).write(true).open(&unfinished);
                let mut file = file.map_err(AuditError::at(&unfinished))?;
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
                    .and_then(|()| fs::rename(&unfinished, path))
                    .and_then(|()| File::open(path.parent().unwrap_or(&self.path))?.sync_all())
                    .map_err(AuditError::at(path))?;
                Ok(key)
            }
            Err(source) => Err(AuditError::Io { path: path.clone(), source }),
        }
    }

    #[must_use]
    pub fn segment_path(&self, segment: u64) -> PathBuf {
        self.path.join(format!("{segment:08}.log"))
    }

    /// The numbers of the segments there are, rising.
    pub fn segments(&self) -> Result<Vec<u64>, AuditError> {
        let at = AuditError::at(&self.path);
        let entries =
            fs::read_dir(&self.path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(at)?;
        let number = |entry: &fs::DirEntry| {
            entry.file_name().to_str()?.strip_suffix(".log").filter(|name| name.len() == 8)?.parse().ok()
        };
        let mut segments: Vec<u64> = entries.iter().filter_map(number).collect();
        segments.sort_unstable();
        Ok(segments)
    }

    pub(super) fn sync(&self) -> Result<(), AuditError> {
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(AuditError::at(&self.path))
    }

    /// The anchor; none when it is missing or not of this log.
    pub(super) fn anchor(&self, key: &Hash) -> Option<Anchor> {
        let text = fs::read_to_string(self.path.join("HEAD")).ok()?;
        let (body, mac) = text.trim_end().rsplit_once(' ')?;
        if blake3::Hash::from_hex(mac).ok()? != blake3::keyed_hash(key, body.as_bytes()) {
            return None;
        }
        let mut words = body.splitn(3, ' ');
        let (segment, offset) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Anchor { head: words.next()?.parse().ok()?, segment, offset })
    }

    /// Whether there should be an anchor.
    pub(super) fn has_anchor_file(&self) -> bool {
        self.path.join("HEAD").exists()
    }

    /// Writes the anchor, always over the same bytes of the same file.
    pub(super) fn put_anchor(&self, key: &Hash, anchor: &Anchor) -> Result<(), AuditError> {
        let path = self.path.join("HEAD");
        let body = format!("{} {} {}", anchor.segment, anchor.offset, anchor.head);
        let mut text = format!("{body} {}", blake3::keyed_hash(key, body.as_bytes()).to_hex()).into_bytes();
        text.resize(ANCHOR_BYTES - 1, b' ');
        text.push(b'\n');
        private()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .and_then(|file| file.write_all_at(&text, 0))
            .map_err(AuditError::at(&path))
    }

    /// Makes the anchor and its name durable, as they are once.
    pub(super) fn sync_anchor(&self) -> Result<(), AuditError> {
        let path = self.path.join("HEAD");
        File::open(&path).and_then(|file| file.sync_all()).map_err(AuditError::at(&path))?;
        self.sync()
    }

    /// The last line that was sent on; 0: none.
    #[must_use]
    pub fn sent(&self) -> u64 {
        fs::read_to_string(self.path.join("SENT")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Notes how far lines were sent on.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn put_sent(&self, number: u64) -> Result<(), AuditError> {
        let path = self.path.join("SENT");
        whole_file::put(&path, format!("{number}\n").as_bytes()).map_err(AuditError::at(&path))
    }

    /// Leaves a record for whoever writes the log.
    pub fn leave_note(&self, json: &[u8]) -> Result<(), AuditError> {
        let folder = self.path.join("notes");
        let at = || AuditError::at(&folder);
        fs::create_dir_all(&folder).map_err(at())?;
        if fs::read_dir(&folder).map_err(at())?.count() >= NOTES_MAX {
            let source = std::io::Error::other("too many notes wait for the server to take them");
            return Err(AuditError::Io { path: folder, source });
        }
        // Taken in the order in which they were left.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let name = format!("{now:020}-{}", &blake3::Hash::from_bytes(random()).to_hex()[..8]);
        let unfinished = folder.join(format!("{name}.unfinished"));
        let mut file =
            private().create_new(true).write(true).open(&unfinished).map_err(AuditError::at(&unfinished))?;
        file.write_all(json)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&unfinished, folder.join(format!("{name}.json"))))
            .map_err(AuditError::at(&unfinished))
    }

    /// The notes that were left, with what removes each.
    pub(super) fn notes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let Ok(entries) = fs::read_dir(self.path.join("notes")) else { return Vec::new() };
        let mut notes = Vec::new();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())).take(NOTES_MAX) {
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let mut json = Vec::new();
            let read = File::open(&path).and_then(|file| file.take(NOTE_BYTES_MAX).read_to_end(&mut json));
            if read.is_ok() && !json.contains(&b'\n') {
                notes.push((path, json));
            }
        }
        notes.sort();
        notes
    }
}

/// Files that only their owner reads: they name patients.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// 256 bits of the system's randomness, with which the standard library seeds
/// its hash maps.
fn random() -> Hash {
    use std::hash::{BuildHasher, RandomState};
    let mut hasher = blake3::Hasher::new();
    for round in 0..8_u64 {
        // Of one thread only the first state is drawn anew, so each has its own.
        let drawn = std::thread::spawn(move || RandomState::new().hash_one(round)).join().unwrap_or(round);
        hasher.update(&drawn.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}
