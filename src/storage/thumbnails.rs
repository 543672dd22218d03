//! Thumbnails on disk: small pictures that were made once. Nothing rests on
//! them; the folder may be deleted at any time.
//!
//! A picture has one place, a file whose number follows from its key, and one
//! that comes later to the same place replaces it: so the folder is bounded
//! without a list of what is in it. A file is its key, a CRC-32 of the rest, and
//! the picture; what does not fit that is not there. In an encrypted archive it
//! is sealed, and lies in the folder `sealed`: none beside it remains.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::seal::{Keyring, open_file, seal_file};

/// Larger pictures are not kept.
const PICTURE_BYTES_MAX: usize = 64 * 1024;
/// What a picture takes on average; with this the places are counted.
const PICTURE_BYTES_USUAL: u64 = 16 * 1024;
const KEY_BYTES: usize = 32;
const HEAD_BYTES: usize = KEY_BYTES + 4;

/// Where those of an encrypted archive are.
const SEALED: &str = "sealed";
/// What their keys are for.
const PURPOSE: &str = "thumbnail";

/// A folder of thumbnails.
pub struct Thumbnails {
    folder: PathBuf,
    /// Keys, where the archive is encrypted.
    ring: Option<Keyring>,
    places: u64,
    /// Numbers the files that are being written.
    writing: AtomicU64,
}

impl Thumbnails {
    /// About `bytes_max` in all. With keys they are encrypted, and those of before
    /// are removed.
    ///
    /// # Errors
    /// They cannot be removed.
    pub fn open(folder: &Path, bytes_max: u64, ring: Option<&Keyring>) -> io::Result<Self> {
        if ring.is_some() {
            remove_all_but(SEALED, folder)?;
        }
        let folder = if ring.is_some() { folder.join(SEALED) } else { folder.to_owned() };
        let places = (bytes_max / PICTURE_BYTES_USUAL).max(1);
        Ok(Self { folder, ring: ring.cloned(), places, writing: AtomicU64::new(0) })
    }

    /// The picture of a key, if it is there.
    #[must_use]
    pub fn get(&self, key: &[u8; KEY_BYTES]) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.path(key)).ok()?;
        if let Some(ring) = &self.ring {
            return open_file(Some(ring), PURPOSE, key, bytes).ok();
        }
        let (head, picture) = bytes.split_at_checked(HEAD_BYTES)?;
        let (own, checksum) = head.split_at(KEY_BYTES);
        let is_whole = own == key && checksum == crc32fast::hash(picture).to_le_bytes();
        is_whole.then(|| bytes.split_off(HEAD_BYTES))
    }

    /// Keeps a picture, as far as the disk lets it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn put(&self, key: &[u8; KEY_BYTES], picture: &[u8]) -> io::Result<()> {
        if picture.len() > PICTURE_BYTES_MAX {
            return Ok(());
        }
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        // Written aside, so that nobody reads the half of it.
        let number = self.writing.fetch_add(1, Ordering::Relaxed);
        let aside = self.folder.join(format!("{number}.new"));
        let bytes = match &self.ring {
            Some(ring) => seal_file(ring, PURPOSE, key, picture)?,
            None => [key, crc32fast::hash(picture).to_le_bytes().as_slice(), picture].concat(),
        };
        let written = fs::write(&aside, bytes);
        written.and_then(|()| fs::rename(&aside, &path)).inspect_err(|_| {
            let _ = fs::remove_file(&aside);
        })
    }

    fn path(&self, key: &[u8; KEY_BYTES]) -> PathBuf {
        let [a, b, c, d, e, f, g, h, ..] = *key;
        let place = u64::from_le_bytes([a, b, c, d, e, f, g, h]) % self.places;
        Path::new(&self.folder).join(format!("{:03}", place % 1000)).join(place.to_string())
    }
}

fn remove_all_but(name: &str, folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == name {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::seal::Master;

    #[test]
    fn rnd_17_thumbnails_are_kept_bounded_and_whole() {
        kept(None);
    }

    #[test]
    fn sealed_ones_too() {
        kept(Some(&Keyring::begin(&Master::random().expect("a key"), 1).expect("a ring")));
    }

    #[test]
    fn with_keys_none_in_the_clear_remains() {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, key) = (folder.path().join("thumbnails"), [1; 32]);
        let open = |ring: Option<&Keyring>| Thumbnails::open(&place, 1 << 20, ring).expect("opened");
        let all = || -> Vec<u8> {
            let files = walkdir::WalkDir::new(&place).into_iter().map(|entry| entry.expect("an entry"));
            let files = files.filter(|entry| entry.file_type().is_file());
            files.flat_map(|entry| fs::read(entry.path()).expect("a file")).collect()
        };
        let says = || memchr::memmem::find(&all(), b"picture").is_some();
        open(None).put(&key, b"a picture").expect("written");
        assert!(says(), "it is found where it is");
        let ring = Keyring::begin(&Master::random().expect("a key"), 1).expect("a ring");
        assert_eq!(open(Some(&ring)).get(&key), None);
        assert!(all().is_empty(), "it was removed");
        open(Some(&ring)).put(&key, b"a picture").expect("written");
        assert!(!says() && !all().is_empty());
        assert_eq!(open(Some(&ring)).get(&key).as_deref(), Some(&b"a picture"[..]));
        let other = Keyring::begin(&Master::random().expect("a key"), 1).expect("a ring");
        assert_eq!(open(Some(&other)).get(&key), None);
    }

    fn kept(ring: Option<&Keyring>) {
        let folder = tempfile::tempdir().expect("a folder");
        let thumbnails =
            Thumbnails::open(&folder.path().join("thumbnails"), 16 * 1024, ring).expect("opened");
        let (one, two) = ([1; 32], [2; 32]);
        assert_eq!(thumbnails.get(&one), None);
        thumbnails.put(&one, b"picture").expect("written");
        assert_eq!(thumbnails.get(&one).as_deref(), Some(&b"picture"[..]));
        // There is one place: the later takes it.
        thumbnails.put(&two, b"other").expect("written");
        assert_eq!((thumbnails.get(&one), thumbnails.get(&two)), (None, Some(b"other".to_vec())));
        // A file that was damaged is none.
        let path = thumbnails.path(&two);
        let mut bytes = fs::read(&path).expect("there");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&path, bytes).expect("written");
        assert_eq!(thumbnails.get(&two), None);
        thumbnails.put(&one, &vec![0; PICTURE_BYTES_MAX + 1]).expect("left out");
        assert_eq!(thumbnails.get(&one), None);
    }
}
