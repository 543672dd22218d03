//! What is left in the folder of a pack that is in a bucket: its manifest
//! (`0000/00000002.blocks`), and how a folder begins that has nothing but such.
//!
//! Invariant: a manifest is there whole or not at all, and durable when it was put.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::local::{Local, sync_folder};
use super::remote::{HEAD_BYTES, folder_of, length_of};
use crate::storage::{PackId, whole_file};

fn path_in(dir: &Path, pack: PackId) -> PathBuf {
    dir.join(folder_of(pack)).join(format!("{pack}.blocks"))
}

impl Local {
    /// The packs that have a manifest here, and their lengths. One that cannot
    /// be understood is left out; opening its pack will mend it.
    pub(super) fn manifests(&self) -> io::Result<Vec<(PackId, u64)>> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.packs)? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let path = file?.path();
                let name = path.file_name().and_then(|name| name.to_str());
                let number =
                    name.and_then(|name| name.strip_suffix(".blocks")).and_then(|name| name.parse().ok());
                let Some(pack) = number.map(PackId).filter(|&pack| path_in(&self.packs, pack) == path) else {
                    continue;
                };
                let mut head = [0; HEAD_BYTES];
                let length = File::open(&path).and_then(|mut file| file.read_exact(&mut head));
                match length.and_then(|()| length_of(&head, pack)) {
                    Ok(length) => found.push((pack, length)),
                    Err(error) => {
                        tracing::error!(%error, path = %path.display(), "delete it, and copy the object of that name here");
                    }
                }
            }
        }
        Ok(found)
    }

    /// The text of a manifest.
    pub(super) fn manifest(&self, pack: PackId) -> io::Result<Vec<u8>> {
        fs::read(path_in(&self.packs, pack))
    }

    pub(super) fn put_manifest(&self, pack: PackId, text: &[u8]) -> io::Result<()> {
        whole_file::put(&path_in(&self.packs, pack), text)
    }

    pub(super) fn remove_manifest(&self, pack: PackId) -> io::Result<()> {
        whole_file::remove(&path_in(&self.packs, pack))
    }

    /// When a pack was written last.
    pub(super) fn modified(&self, pack: PackId) -> io::Result<SystemTime> {
        fs::metadata(self.path(pack))?.modified()
    }

    /// The text of the FORMAT file.
    pub(super) fn format(&self) -> io::Result<String> {
        fs::read_to_string(self.packs.join("FORMAT"))
    }

    /// Puts a manifest into a folder that is no pack store yet.
    pub(super) fn begin_manifest(dir: &Path, pack: PackId, text: &[u8]) -> io::Result<()> {
        let path = path_in(dir, pack);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        whole_file::put(&path, text)
    }

    /// Puts a pack that was being written into a folder that is no pack store
    /// yet; `fill` writes it.
    pub(super) fn begin_pack(
        dir: &Path,
        pack: PackId,
        fill: &mut dyn FnMut(&File) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = path_in(dir, pack).with_extension("tar");
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder)?;
        let file = File::create(&path)?;
        fill(&file)?;
        file.sync_all()?;
        sync_folder(folder)
    }

    /// Makes a folder a pack store, by the FORMAT file of one.
    pub(super) fn begin(dir: &Path, format: &[u8], ring: Option<&[u8]>) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        if let Some(ring) = ring {
            whole_file::put(&dir.join("KEYS"), ring)?;
        }
        sync_folder(dir)?;
        whole_file::put(&dir.join("FORMAT"), format)?;
        for above in dir.ancestors().skip(1).take(2).filter(|above| !above.as_os_str().is_empty()) {
            sync_folder(above)?;
        }
        Ok(())
    }
}
