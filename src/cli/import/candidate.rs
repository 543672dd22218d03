//! Reads a job and tells DICOM files from the rest by their first bytes
//! (PS3.10 7.1). A file without preamble is taken for DICOM when it begins with
//! an element of group 0002 or 0008. Whether it really is, the archive decides.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::find::Job;
use super::journal::Key;
use super::{Settings, journal};

/// Bytes that say what a file is; group 0002 ends well before.
const HEAD_BYTES: u64 = 4096;

const MEDIA_STORAGE_DIRECTORY: &str = "1.2.840.10008.1.3.10";

/// A file for the archive.
#[derive(Debug)]
pub struct Candidate {
    pub content: Content,
    /// Media Storage SOP Instance UID (0002,0003), if the file has one.
    pub sop_instance: Option<String>,
}

/// The bytes of a file: in memory, or in a file open at its start.
#[derive(Debug)]
pub enum Content {
    Bytes(Vec<u8>),
    File { file: File, length: u64 },
}

impl Content {
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file as it was found.
pub(super) struct Found<'a> {
    pub name: String,
    pub key: Key,
    pub bytes: u64,
    pub kind: Kind<'a>,
}

pub(super) enum Kind<'a> {
    /// `open` reads the rest, unless the journal knows the file.
    Dicom {
        open: Box<dyn FnOnce() -> Result<Content, String> + 'a>,
        sop_instance: Option<String>,
    },
    Directory,
    NotDicom,
    Unreadable(String),
}

/// Hands every file of the job to `take`.
pub(super) fn read(job: Job, settings: &Settings, take: &mut dyn FnMut(Found<'_>)) {
    match job {
        Job::File { path, bytes } => read_file(&path, bytes, settings, take),
        Job::Unreadable { path, why } => take(unreadable(&shown(&path), why)),
        Job::Zip { path, entries, bytes: _ } => {
            let archive = File::open(&path).map_err(ZipError::Io).and_then(ZipArchive::new);
            let modified = journal::modified(&path);
            match archive {
                Ok(mut archive) => {
                    for index in entries {
                        read_entry(&mut archive, index, &path, modified, settings, take);
                    }
                }
                Err(error) => take(unreadable(&shown(&path), error.to_string())),
            }
        }
    }
}

fn read_file(path: &Path, bytes: u64, settings: &Settings, take: &mut dyn FnMut(Found<'_>)) {
    let name = shown(path);
    let key = journal::key(path.as_os_str().as_bytes(), bytes, journal::modified(path));
    let opened = File::open(path).and_then(|mut file| {
        let mut head = Vec::new();
        file.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok((file, head))
    });
    let (mut file, head) = match opened {
        Ok(opened) => opened,
        Err(error) => return take(unreadable(&name, error.to_string())),
    };
    let open = || {
        if bytes > settings.file_bytes_max {
            return Err(too_large(settings));
        }
        if bytes > settings.small_bytes_max {
            file.rewind().map_err(|error| error.to_string())?;
            return Ok(Content::File { file, length: bytes });
        }
        // One byte more than expected tells a file that grows.
        let mut content = head.clone();
        let rest = (bytes + 1).saturating_sub(content.len() as u64);
        file.take(rest).read_to_end(&mut content).map_err(|error| error.to_string())?;
        if content.len() as u64 == bytes {
            Ok(Content::Bytes(content))
        } else {
            Err("the file changed while it was read".to_owned())
        }
    };
    let kind = match recognise(&head) {
        Recognised::Dicom { sop_instance } => Kind::Dicom { open: Box::new(open), sop_instance },
        Recognised::Directory => Kind::Directory,
        Recognised::Other => Kind::NotDicom,
    };
    take(Found { name, key, bytes, kind });
}

fn read_entry(
    archive: &mut ZipArchive<File>,
    index: usize,
    path: &Path,
    modified: u64,
    settings: &Settings,
    take: &mut dyn FnMut(Found<'_>),
) {
    let mut entry = match archive.by_index(index) {
        Ok(entry) => entry,
        Err(error) => {
            return take(unreadable(&format!("{}, entry {index}", shown(path)), error.to_string()));
        }
    };
    if entry.is_dir() {
        return;
    }
    let inner =
        entry.name().map_or_else(|_| format!("entry {index}"), |name| shown(Path::new(name.as_ref())));
    let name = format!("{} > {inner}", shown(path));
    let bytes = entry.size();
    let key = journal::key(&[path.as_os_str().as_bytes(), &index.to_le_bytes()].concat(), bytes, modified);
    let mut head = Vec::new();
    if let Err(error) = entry.by_ref().take(HEAD_BYTES).read_to_end(&mut head) {
        return take(unreadable(&name, error.to_string()));
    }
    let kind = match recognise(&head) {
        Recognised::Dicom { sop_instance } => {
            let open = || unpack(head, entry, bytes, settings);
            Kind::Dicom { open: Box::new(open), sop_instance }
        }
        Recognised::Directory => Kind::Directory,
        Recognised::Other => Kind::NotDicom,
    };
    take(Found { name, key, bytes, kind });
}

/// The whole of a packed file. Its declared length is only a claim: no more
/// than that is unpacked, and less is an error.
fn unpack(head: Vec<u8>, rest: impl Read, bytes: u64, settings: &Settings) -> Result<Content, String> {
    if bytes > settings.file_bytes_max {
        return Err(too_large(settings));
    }
    let whole = Cursor::new(head).chain(rest);
    let mut whole = whole.take(bytes + 1);
    let (content, length) = if bytes > settings.small_bytes_max {
        let mut file = tempfile::tempfile().map_err(|error| error.to_string())?;
        let length = io::copy(&mut whole, &mut file).map_err(|error| error.to_string())?;
        file.rewind().map_err(|error| error.to_string())?;
        (Content::File { file, length }, length)
    } else {
        let mut content = Vec::new();
        let length = whole.read_to_end(&mut content).map_err(|error| error.to_string())?;
        (Content::Bytes(content), length as u64)
    };
    if length == bytes { Ok(content) } else { Err("its length is not what the zip file says".to_owned()) }
}

fn too_large(settings: &Settings) -> String {
    format!("larger than limits.part_bytes_max, {} bytes", settings.file_bytes_max)
}

fn unreadable<'a>(name: &str, why: String) -> Found<'a> {
    let key = journal::key(name.as_bytes(), 0, 0);
    Found { name: name.to_owned(), key, bytes: 0, kind: Kind::Unreadable(why) }
}

/// A path on one line of a report, whatever stands in it: what is no text, or
/// would steer a terminal, by its number.
fn shown(path: &Path) -> String {
    let mut shown = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        for byte in chunk.invalid() {
            shown.extend(std::ascii::escape_default(*byte).map(char::from));
        }
    }
    shown
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recognised {
    Dicom { sop_instance: Option<String> },
    Directory,
    Other,
}

/// What the first bytes of a file say.
pub(super) fn recognise(head: &[u8]) -> Recognised {
    if head.get(128..132) == Some(b"DICM") {
        let meta = Meta::read(&head[132..]);
        return if meta.sop_class.as_deref() == Some(MEDIA_STORAGE_DIRECTORY) {
            Recognised::Directory
        } else {
            Recognised::Dicom { sop_instance: meta.sop_instance }
        };
    }
    match head.get(..8) {
        // An element number above 00FF is none that a data set begins with.
        Some([2 | 8, 0, _, 0, ..] | [0, 2 | 8, 0, _, ..]) => Recognised::Dicom { sop_instance: None },
        Some(_) | None => Recognised::Other,
    }
}

#[derive(Default)]
struct Meta {
    sop_class: Option<String>,
    sop_instance: Option<String>,
}

impl Meta {
    /// Group 0002, which is always Explicit VR Little Endian (PS3.10 7.1).
    /// Stops at the first thing that is not as it should be.
    fn read(mut bytes: &[u8]) -> Self {
        let mut meta = Self::default();
        while let Some([2, 0, low, high, vr @ ..]) = bytes.first_chunk::<6>() {
            let element = u16::from_le_bytes([*low, *high]);
            let (start, length) = match vr {
                b"OB" | b"UN" | b"OW" | b"SQ" | b"UT" | b"UC" | b"UR" => {
                    let Some(length) = bytes.get(8..12).and_then(|bytes| bytes.try_into().ok()) else {
                        break;
                    };
                    (12, u32::from_le_bytes(length) as usize)
                }
                _ => {
                    let Some(length) = bytes.get(6..8).and_then(|bytes| bytes.try_into().ok()) else { break };
                    (8, usize::from(u16::from_le_bytes(length)))
                }
            };
            let Some(value) = bytes.get(start..).and_then(|rest| rest.get(..length)) else { break };
            let uid =
                || std::str::from_utf8(value).ok().map(|uid| uid.trim_end_matches(['\0', ' ']).to_owned());
            match element {
                0x0002 => meta.sop_class = uid(),
                0x0003 => meta.sop_instance = uid().filter(|uid| is_plain(uid)),
                _ => {}
            }
            bytes = &bytes[start + length..];
        }
        meta
    }
}

/// Fit to stand in a URL and a report.
fn is_plain(uid: &str) -> bool {
    (1..=64).contains(&uid.len()) && uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
