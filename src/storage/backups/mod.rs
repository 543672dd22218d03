//! Backups: copies of an archive, made of objects that never change. Knows how
//! they are named and checked; what is copied, and from where, is not its
//! business.
//!
//! ```text
//! manifests/<time>-<digest>.json          one complete backup each, written last
//! packs/<pack>/<from>-<to>-<digest>.tar   a range of a pack; a whole pack, one after
//!                                         the other, is the tar file that it was
//! files/<digest>                          a piece of another file
//! feed/<catalog>/<first>-<last>-<digest>.zst   lines of sequence number and stamp
//! ```
//! Invariants: what a manifest names was durable before it; nothing is written
//! over or changed, so a backup that is cut off harms none that is complete.
//! What is read is held against its digest.

pub mod folder;

use std::fmt::Write as _;
use std::io::{self, Read};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::objects::{Found, Objects, Put};
use super::{PackId, Stamp};

/// The form of a backup that this version writes.
pub const FORMAT: u32 = 1;
/// Bytes of an object of a pack at most.
pub const PACK_PIECE_BYTES: u64 = 64 << 20;
/// Bytes of an object of another file at most. A log that grew is the same
/// pieces and a new last one.
const FILE_PIECE_BYTES: u64 = 4 << 20;

/// A complete backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The version of hilum that wrote it.
    pub hilum: String,
    /// What tells archives apart.
    pub archive: String,
    /// When it was begun, in microseconds since 1970.
    pub taken: Stamp,
    /// The catalog whose sequence numbers are meant.
    pub catalog: String,
    /// Sequence number of the last change whose number is known.
    pub seq: u64,
    pub totals: Totals,
    /// Whether nothing changed while `totals` and the packs' lengths were taken.
    pub quiet: bool,
    pub packs: Vec<PackCopy>,
    pub files: Vec<FileCopy>,
    pub feed: Vec<FeedPiece>,
    /// Of a server with tenants: their backups, which were complete before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<TenantCopy>,
    /// Places of packs whose bytes were found not to be what was written.
    pub damaged: u64,
}

/// The backup of a tenant's archive, in a place of its own below this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantCopy {
    pub tenant: String,
    /// The name of its manifest.
    pub backup: String,
}

/// How much an archive holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub studies: u64,
    pub series: u64,
    pub instances: u64,
    pub file_bytes: u64,
    pub versions: u64,
}

/// A pack up to its last entry, or up to its end mark when it is sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackCopy {
    pub pack: PackId,
    pub length: u64,
    pub sealed: bool,
    /// Files and tombstones in it.
    pub entries: u64,
    /// Places in it that are not what was written.
    pub damaged: u64,
    pub pieces: Vec<PackPiece>,
}

/// A range of a pack, one after the other without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackPiece {
    pub from: u64,
    pub to: u64,
    pub blake3: String,
}

/// A file of the archive's folder that is no pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCopy {
    /// Below the folder, with `/` between the names.
    pub path: String,
    pub length: u64,
    /// Digests, which are the names too.
    pub pieces: Vec<String>,
}

/// A part of the feed: what stamp each sequence number has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedPiece {
    pub first: u64,
    pub last: u64,
    pub blake3: String,
}

/// What may go wrong with a backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{name} in {place}: {source}")]
    Object { name: String, place: String, source: io::Error },
    #[error("{name} in {place} is damaged: its bytes do not have their digest")]
    Damaged { name: String, place: String },
    #[error("{name} in {place} is not understood: {why}")]
    Form { name: String, place: String, why: String },
    #[error("{name} has format {found}, and this version of hilum knows {FORMAT}: use a newer hilum")]
    Newer { name: String, found: u32 },
    #[error("there is no complete backup in {place}")]
    None { place: String },
    #[error("{place} holds backups of another archive; give each archive a place of its own")]
    OtherArchive { place: String },
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
}

/// A place for the backups of one archive.
#[derive(Debug, Clone)]
pub struct Backups {
    objects: Objects,
}

/// What was written, and what was there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Written {
    pub objects: u64,
    pub bytes: u64,
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Enough of a digest for a name among few.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

impl Backups {
    #[must_use]
    pub fn new(objects: Objects) -> Self {
        Self { objects }
    }

    /// Where they are, for people.
    #[must_use]
    pub fn place(&self) -> &str {
        self.objects.place()
    }

    fn failed(&self, name: &str) -> impl FnOnce(io::Error) -> BackupError {
        let (name, place) = (name.to_owned(), self.place().to_owned());
        move |source| BackupError::Object { name, place, source }
    }

    /// Puts an object whose name follows from its bytes.
    fn put(&self, name: &str, bytes: Vec<u8>, written: &mut Written) -> Result<(), BackupError> {
        let length = bytes.len() as u64;
        // Of a backup that was cut off: a bucket would be sent all of it to say so.
        if self.objects.length(name).map_err(self.failed(name))? == Some(length) {
            return Ok(());
        }
        let put = self.objects.put(name, Bytes::from(bytes)).map_err(self.failed(name))?;
        if self.objects.length(name).map_err(self.failed(name))? != Some(length) {
            return Err(BackupError::Damaged { name: name.to_owned(), place: self.place().to_owned() });
        }
        if put == Put::Created {
            written.objects += 1;
            written.bytes += length;
        }
        Ok(())
    }

    fn get(&self, name: &str, blake3: &str) -> Result<Bytes, BackupError> {
        let bytes = self.objects.get(name).map_err(self.failed(name))?;
        if digest(&bytes) == blake3 {
            Ok(bytes)
        } else {
            Err(BackupError::Damaged { name: name.to_owned(), place: self.place().to_owned() })
        }
    }

    /// The names of the complete backups, the oldest first.
    ///
    /// # Errors
    /// What the place says.
    pub fn manifests(&self) -> Result<Vec<String>, BackupError> {
        let found = self.objects.list("manifests").map_err(self.failed("manifests"))?;
        let name = |Found { name, .. }| {
            let name: String = name;
            Some(name.strip_prefix("manifests/")?.strip_suffix(".json")?.to_owned())
        };
        Ok(found.into_iter().filter_map(name).collect())
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// `Damaged`, `Newer`, `Form`, and what the place says.
    pub fn manifest(&self, name: &str) -> Result<Manifest, BackupError> {
        let object = format!("manifests/{name}.json");
        let place = || self.place().to_owned();
        let bytes = self.objects.get(&object).map_err(self.failed(&object))?;
        if !name.ends_with(short(&digest(&bytes))) {
            return Err(BackupError::Damaged { name: object, place: place() });
        }
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let form = |why: serde_json::Error| BackupError::Form {
            name: object.clone(),
            place: place(),
            why: why.to_string(),
        };
        let Head { format } = serde_json::from_slice(&bytes).map_err(form)?;
        if format > FORMAT {
            return Err(BackupError::Newer { name: object, found: format });
        }
        serde_json::from_slice(&bytes).map_err(form)
    }

    /// The newest complete backup, if there is one.
    ///
    /// # Errors
    /// As [`Self::manifest`].
    pub fn newest(&self) -> Result<Option<Manifest>, BackupError> {
        self.manifests()?.last().map(|name| self.manifest(name)).transpose()
    }

    /// Completes a backup; its name.
    ///
    /// # Errors
    /// What the place says.
    pub fn complete(&self, manifest: &Manifest) -> Result<String, BackupError> {
        let bytes = serde_json::to_vec_pretty(manifest).map_err(|why| BackupError::Form {
            name: "the manifest".to_owned(),
            place: self.place().to_owned(),
            why: why.to_string(),
        })?;
        let name = format!("{}-{}", basic_time(manifest.taken), short(&digest(&bytes)));
        self.put(&format!("manifests/{name}.json"), bytes, &mut Written::default())?;
        Ok(name)
    }

    /// Keeps a range of a pack.
    ///
    /// # Errors
    /// What the place says.
    pub fn put_pack(
        &self,
        pack: PackId,
        from: u64,
        bytes: Vec<u8>,
        written: &mut Written,
    ) -> Result<PackPiece, BackupError> {
        let piece = PackPiece { from, to: from + bytes.len() as u64, blake3: digest(&bytes) };
        self.put(&pack_name(pack, &piece), bytes, written)?;
        Ok(piece)
    }

    /// Whether these are the bytes of a piece.
    #[must_use]
    pub fn is_of(piece: &PackPiece, bytes: &[u8]) -> bool {
        digest(bytes) == piece.blake3
    }

    /// A range of a pack.
    ///
    /// # Errors
    /// `Damaged`, and what the place says.
    pub fn pack(&self, pack: PackId, piece: &PackPiece) -> Result<Bytes, BackupError> {
        self.get(&pack_name(pack, piece), &piece.blake3)
    }

    /// Keeps a file of `length` bytes.
    ///
    /// # Errors
    /// What the place says, and the file.
    pub fn put_file(
        &self,
        path: String,
        length: u64,
        mut file: impl Read,
        written: &mut Written,
    ) -> Result<FileCopy, BackupError> {
        let mut copy = FileCopy { path, length: 0, pieces: Vec::new() };
        while copy.length < length {
            let mut bytes = Vec::new();
            let read = (&mut file).take(FILE_PIECE_BYTES.min(length - copy.length)).read_to_end(&mut bytes);
            let read = read.map_err(|source| BackupError::File { path: copy.path.clone(), source })? as u64;
            if read == 0 {
                break;
            }
            let blake3 = digest(&bytes);
            self.put(&file_name(&blake3), bytes, written)?;
            copy.length += read;
            copy.pieces.push(blake3);
        }
        Ok(copy)
    }

    /// The pieces of a file, one after the other.
    pub fn file<'a>(&'a self, copy: &'a FileCopy) -> impl Iterator<Item = Result<Bytes, BackupError>> + 'a {
        copy.pieces.iter().map(|blake3| self.get(&file_name(blake3), blake3))
    }

    /// Keeps a part of the feed.
    ///
    /// # Errors
    /// What the place says.
    pub fn put_feed(
        &self,
        catalog: &str,
        entries: &[(u64, Stamp)],
        written: &mut Written,
    ) -> Result<Option<FeedPiece>, BackupError> {
        let (Some(&(first, _)), Some(&(last, _))) = (entries.first(), entries.last()) else {
            return Ok(None);
        };
        let mut lines = String::new();
        for (seq, stamp) in entries {
            // Writing to a String does not fail.
            let _ = writeln!(lines, "{seq} {}", stamp.0);
        }
        let bytes = zstd::encode_all(lines.as_bytes(), 3).map_err(self.failed("the feed"))?;
        let piece = FeedPiece { first, last, blake3: digest(&bytes) };
        self.put(&feed_name(catalog, &piece), bytes, written)?;
        Ok(Some(piece))
    }

    /// A part of the feed.
    ///
    /// # Errors
    /// `Damaged`, `Form`, and what the place says.
    pub fn feed(&self, catalog: &str, piece: &FeedPiece) -> Result<Vec<(u64, Stamp)>, BackupError> {
        let name = feed_name(catalog, piece);
        let bytes = self.get(&name, &piece.blake3)?;
        let form = |why: &str| BackupError::Form {
            name: name.clone(),
            place: self.place().to_owned(),
            why: why.to_owned(),
        };
        let lines = zstd::decode_all(&*bytes).map_err(|error| form(&error.to_string()))?;
        let lines = String::from_utf8(lines).map_err(|_| form("it is no text"))?;
        let entry = |line: &str| {
            let (seq, stamp) = line.split_once(' ')?;
            Some((seq.parse().ok()?, Stamp(stamp.parse().ok()?)))
        };
        lines.lines().map(|line| entry(line).ok_or_else(|| form("a line is not two numbers"))).collect()
    }
}

fn pack_name(pack: PackId, piece: &PackPiece) -> String {
    format!("packs/{pack}/{:013}-{:013}-{}.tar", piece.from, piece.to, short(&piece.blake3))
}

fn file_name(blake3: &str) -> String {
    format!("files/{blake3}")
}

fn feed_name(catalog: &str, piece: &FeedPiece) -> String {
    format!("feed/{catalog}/{:012}-{:012}-{}.zst", piece.first, piece.last, short(&piece.blake3))
}

/// `20261231T235959.123456Z`: names in the order of time.
fn basic_time(stamp: Stamp) -> String {
    let format =
        time::macros::format_description!("[year][month][day]T[hour][minute][second].[subsecond digits:6]Z");
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(stamp.0) * 1000);
    time.ok().and_then(|time| time.format(&format).ok()).unwrap_or_else(|| stamp.0.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_damage_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let backups = Backups::new(Objects::in_folder(dir.path()).unwrap());
        assert_eq!(backups.newest().unwrap(), None);
        let mut written = Written::default();
        let piece = backups.put_pack(PackId(7), 512, vec![1; 1000], &mut written).unwrap();
        assert_eq!((piece.from, piece.to), (512, 1512));
        assert_eq!(written, Written { objects: 1, bytes: 1000 });
        assert_eq!(backups.put_pack(PackId(7), 512, vec![1; 1000], &mut written).unwrap(), piece);
        assert_eq!(written, Written { objects: 1, bytes: 1000 }, "what is there is not written again");
        assert_eq!(backups.pack(PackId(7), &piece).unwrap(), vec![1; 1000]);
        let name = dir.path().join(pack_name(PackId(7), &piece));
        std::fs::write(&name, [2; 1000]).unwrap();
        assert!(matches!(backups.pack(PackId(7), &piece), Err(BackupError::Damaged { .. })));
        std::fs::write(&name, [2; 999]).unwrap();
        let again = backups.put_pack(PackId(7), 512, vec![1; 1000], &mut written);
        assert!(matches!(again, Err(BackupError::Damaged { .. })), "a cut object is no copy");

        let file: Vec<u8> = (0..9_000_000_u32).map(|i| (i / 1000) as u8).collect();
        let copy = backups.put_file("a/b".to_owned(), 8_999_999, &*file, &mut written).unwrap();
        assert_eq!((copy.length, copy.pieces.len()), (8_999_999, 3));
        let read: Vec<u8> = backups.file(&copy).flat_map(|piece| piece.unwrap().to_vec()).collect();
        assert_eq!(read, file[..8_999_999]);

        let entries = [(3, Stamp(5)), (4, Stamp(9))];
        let feed = backups.put_feed("c", &entries, &mut written).unwrap().unwrap();
        assert_eq!(backups.feed("c", &feed).unwrap(), entries);
        assert_eq!(backups.put_feed("c", &[], &mut written).unwrap(), None);
    }

    #[test]
    fn manifests_in_the_order_of_time() {
        let dir = tempfile::tempdir().unwrap();
        let backups = Backups::new(Objects::in_folder(dir.path()).unwrap());
        let mut manifest = Manifest {
            format: FORMAT,
            hilum: "0".to_owned(),
            archive: "a".to_owned(),
            taken: Stamp(1_700_000_000_000_000),
            catalog: "c".to_owned(),
            seq: 9,
            totals: Totals::default(),
            quiet: true,
            packs: Vec::new(),
            files: Vec::new(),
            feed: Vec::new(),
            tenants: Vec::new(),
            damaged: 0,
        };
        let first = backups.complete(&manifest).unwrap();
        assert!(first.starts_with("20231114T221320.000000Z-"), "{first}");
        manifest.taken.0 += 1;
        let second = backups.complete(&manifest).unwrap();
        assert_eq!(backups.manifests().unwrap(), [first.clone(), second]);
        assert_eq!(backups.newest().unwrap(), Some(manifest.clone()));

        let path = dir.path().join(format!("manifests/{first}.json"));
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace('9', "8")).unwrap();
        assert!(matches!(backups.manifest(&first), Err(BackupError::Damaged { .. })));
        manifest.format += 1;
        let newer = backups.complete(&manifest).unwrap();
        assert!(matches!(backups.manifest(&newer), Err(BackupError::Newer { found: 2, .. })));
    }
}
