//! The operator's line to a running server: a socket in the archive's folder,
//! by which commands on the same machine ask what only the server knows while
//! it holds the archive. Who may open the folder may ask; nobody else can.
//!
//! One question a line, one answer a line, JSON both; one caller at a time. It
//! changes nothing of the archive.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    archive::{Archive, ArchiveError, Moment},
    auth::Permit,
    storage::Stamp,
};

const NAME: &str = "control.sock";
/// A caller that says nothing for so long is let go.
const PATIENCE: Duration = Duration::from_secs(30);
const QUESTION_BYTES_MAX: u64 = 4096;
/// Changes of the feed in one answer.
const STAMPS_MAX: usize = 200_000;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Question {
    /// [`Archive::moment`]
    Moment,
    /// [`Archive::stamps`]
    Stamps {
        #[serde(default)]
        catalog: String,
        after: u64,
        limit: usize,
    },
}

type Answer<T> = Result<T, String>;

/// The server's end. Dropping it ends it.
pub struct Control {
    path: PathBuf,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Begins to answer. The archive must be open, so that what is left of an
    /// earlier server can be taken away.
    ///
    /// # Errors
    /// When the folder can hold no socket, or its path is too long for one.
    pub fn start(data: &Path, archive: &Arc<Archive>) -> io::Result<Self> {
        let path = data.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let ending = Arc::new(AtomicBool::new(false));
        let (archive, ended) = (Arc::downgrade(archive), Arc::clone(&ending));
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || listen(&listener, &archive, &ended))?;
        Ok(Self { path, ending, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        // Wakes the thread, which waits for a caller.
        let woken = UnixStream::connect(&self.path).is_ok();
        let _ = fs::remove_file(&self.path);
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

fn listen(listener: &UnixListener, archive: &Weak<Archive>, ending: &AtomicBool) {
    for caller in listener.incoming() {
        if ending.load(Ordering::Acquire) {
            return;
        }
        let answered = caller.and_then(|caller| answer_all(&caller, archive, ending));
        if let Err(error) = answered {
            tracing::debug!(%error, "a command went away");
        }
    }
}

fn answer_all(caller: &UnixStream, archive: &Weak<Archive>, ending: &AtomicBool) -> io::Result<()> {
    caller.set_read_timeout(Some(PATIENCE))?;
    caller.set_write_timeout(Some(PATIENCE))?;
    let mut questions = BufReader::new(caller);
    loop {
        let mut line = String::new();
        if (&mut questions).take(QUESTION_BYTES_MAX).read_line(&mut line)? == 0 {
            return Ok(());
        }
        // Held only while it answers, so that it does not keep the archive open.
        let Some(archive) = archive.upgrade().filter(|_| !ending.load(Ordering::Acquire)) else {
            return say(caller, &Answer::<()>::Err("the server is stopping".to_owned()));
        };
        let permit = Permit::operator();
        match serde_json::from_str(&line) {
            Ok(Question::Moment) => say(caller, &archive.moment(&permit).map_err(|error| error.to_string()))?,
            Ok(Question::Stamps { catalog, after, limit }) => {
                let stamps = archive.stamps(&permit, &catalog, after, limit.min(STAMPS_MAX));
                say(caller, &stamps.map_err(|error| error.to_string()))?;
            }
            Err(error) => {
                say(caller, &Answer::<()>::Err(format!("the question is not understood: {error}")))?;
            }
        }
    }
}

fn say<T: Serialize>(mut to: &UnixStream, what: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// A command's end. Each question is a connection of its own: hours may lie between
/// two of them, and the server lets go of who says nothing.
pub struct Line {
    path: PathBuf,
}

impl Line {
    /// The line to the server that holds the archive in `data`; `None` when no
    /// server answers there.
    #[must_use]
    pub fn open(data: &Path) -> Option<Self> {
        let path = data.join(NAME);
        UnixStream::connect(&path).ok()?;
        Some(Self { path })
    }

    /// Where the archive is now.
    ///
    /// # Errors
    /// What the server says, and when it goes away.
    pub fn moment(&self) -> Result<Moment, ArchiveError> {
        self.ask(&Question::Moment)
    }

    /// The stamps of the changes after the one with the number `after`, as
    /// `catalog` numbers them.
    ///
    /// # Errors
    /// What the server says, and when it goes away.
    pub fn stamps(&self, catalog: &str, after: u64, limit: usize) -> Result<Vec<(u64, Stamp)>, ArchiveError> {
        self.ask(&Question::Stamps { catalog: catalog.to_owned(), after, limit })
    }

    fn ask<T: DeserializeOwned>(&self, question: &Question) -> Result<T, ArchiveError> {
        let mut line = String::new();
        let stream = UnixStream::connect(&self.path).map_err(ArchiveError::Io)?;
        let asked = say(&stream, question);
        let read = asked.and_then(|()| BufReader::new(&stream).read_line(&mut line));
        if read.map_err(ArchiveError::Io)? == 0 {
            return Err(ArchiveError::Stopping);
        }
        let answer: Answer<T> =
            serde_json::from_str(&line).map_err(|error| ArchiveError::Again(error.to_string()))?;
        answer.map_err(ArchiveError::Again)
    }
}
