//! Thumbnails on disk: small pictures that were made once. Nothing rests on
//! them; the folder may be deleted at any time.
//!
//! A picture has one place, a file whose number follows from its key, and one
//! that comes later to the same place replaces it: so the folder is bounded
//! without a list of what is in it. A file is its key, a CRC-32 of the rest, and
//! the picture; what does not fit that is not there.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Larger pictures are not kept.
const PICTURE_BYTES_MAX: usize = 64 * 1024;
/// What a picture takes on average; with this the places are counted.
const PICTURE_BYTES_USUAL: u64 = 16 * 1024;
const KEY_BYTES: usize = 32;
const HEAD_BYTES: usize = KEY_BYTES + 4;

/// A folder of thumbnails.
pub struct Thumbnails {
    folder: PathBuf,
    places: u64,
    /// Numbers the files that are being written.
    writing: AtomicU64,
}

impl Thumbnails {
    /// About `bytes_max` in all.
    #[must_use]
    pub fn new(folder: PathBuf, bytes_max: u64) -> Self {
        Self { folder, places: (bytes_max / PICTURE_BYTES_USUAL).max(1), writing: AtomicU64::new(0) }
    }

    /// The picture of a key, if it is there.
    #[must_use]
    pub fn get(&self, key: &[u8; KEY_BYTES]) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.path(key)).ok()?;
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
        let checksum = crc32fast::hash(picture).to_le_bytes();
        let written = fs::write(&aside, [key, checksum.as_slice(), picture].concat());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rnd_17_thumbnails_are_kept_bounded_and_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let thumbnails = Thumbnails::new(folder.path().join("thumbnails"), 16 * 1024);
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
