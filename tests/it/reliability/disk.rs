//! The disk under a process (`tests/reliability/disk.c`), and what a loss of
//! power leaves of it: of what was not flushed some writes, some sectors of
//! others, some names, in any mixture that a disk may keep.
//!
//! Invariant: what was flushed stays. A file by a flush of it, its name by a
//! flush of the folder that it is in; nothing is taken for flushed because some
//! file system would.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::process::Dice;

const SECTOR: usize = 512;

/// The library, built once a run. None where this disk cannot be had: it is of Linux.
pub fn library() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reliability/disk.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-{}.so", std::process::id()));
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut command = Command::new(compiler);
        command.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).args(["-ldl", "-lpthread"]);
        let built = command.output().expect("a C compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Some(library)
    };
    BUILT.get_or_init(build).as_deref()
}

/// Puts the disk under a command whose archive is `data`.
pub fn under<'a>(command: &'a mut Command, data: &Path, settings: &[(&str, String)]) -> &'a mut Command {
    let library = library().expect("asked for before");
    fs::create_dir_all(data).unwrap();
    command.env("LD_PRELOAD", library).env("DISK_ROOT", data.canonicalize().unwrap());
    command.envs(settings.iter().map(|(key, value)| (*key, value)))
}

#[derive(Debug, Clone, Default)]
struct Image {
    bytes: Vec<u8>,
    mode: u32,
}

/// A change of a file that waits for a flush.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { length: usize },
    Mode(u32),
}

/// A change of names, which waits for a flush of its folder.
#[derive(Debug, Clone)]
enum Naming {
    Create { path: String, file: usize },
    Folder { path: String },
    Rename { from: String, to: String },
    Remove { path: String },
}

impl Naming {
    fn folder(&self) -> &str {
        let (Self::Create { path, .. }
        | Self::Folder { path }
        | Self::Rename { to: path, .. }
        | Self::Remove { path }) = self;
        path.rsplit_once('/').expect("an absolute path").0
    }
}

#[derive(Debug, Clone, Default)]
struct Names {
    files: BTreeMap<String, usize>,
    folders: BTreeSet<String>,
}

impl Names {
    /// What cannot be done any more, for what came before it is lost, is lost too.
    fn apply(&mut self, naming: &Naming) {
        match naming {
            Naming::Create { path, file } => drop(self.files.insert(path.clone(), *file)),
            Naming::Folder { path } => drop(self.folders.insert(path.clone())),
            Naming::Rename { from, to } => {
                if let Some(file) = self.files.remove(from) {
                    self.files.insert(to.clone(), file);
                }
                // A folder takes along what is in it.
                let prefix = format!("{from}/");
                let inside: Vec<(String, usize)> = self
                    .files
                    .range(prefix.clone()..)
                    .take_while(|(path, _)| path.starts_with(&prefix))
                    .map(|(path, &file)| (path.clone(), file))
                    .collect();
                for (path, file) in inside {
                    self.files.remove(&path);
                    self.files.insert(format!("{to}/{}", &path[prefix.len()..]), file);
                }
                let folders: Vec<String> = self
                    .folders
                    .iter()
                    .filter(|path| *path == from || path.starts_with(&prefix))
                    .cloned()
                    .collect();
                for path in folders {
                    self.folders.remove(&path);
                    self.folders.insert(format!("{to}{}", &path[from.len()..]));
                }
            }
            Naming::Remove { path } => {
                self.files.remove(path);
                self.folders.remove(path);
            }
        }
    }
}

/// What a folder held when a process began, to be changed by what it wrote down.
#[derive(Debug, Default)]
pub struct Disk {
    root: String,
    files: Vec<Image>,
    durable: Names,
    /// As the process sees them.
    live: Names,
    waiting: BTreeMap<usize, Vec<Change>>,
    namings: Vec<Naming>,
    inodes: BTreeMap<u64, usize>,
    /// Files of which a flush failed, and what was done to them after that.
    after_failure: BTreeMap<usize, AfterFailure>,
}

#[derive(Debug)]
struct AfterFailure {
    path: String,
    writes: u64,
    flushes: u64,
}

impl Disk {
    /// All that is in the folder counts as flushed.
    pub fn of(data: &Path) -> Self {
        let mut disk = Self { root: data.canonicalize().unwrap().display().to_string(), ..Self::default() };
        disk.durable.folders.insert(disk.root.clone());
        let mut folders = vec![data.canonicalize().unwrap()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                let kind = entry.file_type().unwrap();
                let path = entry.path().display().to_string();
                if kind.is_dir() {
                    disk.durable.folders.insert(path);
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let mode = entry.metadata().unwrap().permissions().mode();
                    disk.durable.files.insert(path, disk.files.len());
                    disk.files.push(Image { bytes: fs::read(entry.path()).unwrap(), mode });
                }
            }
        }
        disk.live = disk.durable.clone();
        disk
    }

    /// Follows what a process wrote down, as far as that is whole.
    pub fn follow(&mut self, log: &Path) {
        let bytes = fs::read(log).unwrap_or_default();
        let mut rest = bytes.as_slice();
        while let Some((head, behind)) = rest.split_at_checked(32) {
            let half = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
            let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
            let (kind, inode, offset, length) = (half(0), number(8), number(16), number(24));
            let Some((path, behind)) = behind.split_at_checked(half(4) as usize) else { return };
            let Some((data, behind)) = behind.split_at_checked(if kind == 2 { length as usize } else { 0 })
            else {
                return;
            };
            rest = behind;
            self.take(kind, inode, &String::from_utf8_lossy(path), offset as usize, data);
        }
    }

    fn take(&mut self, kind: u32, inode: u64, path: &str, offset: usize, data: &[u8]) {
        let path = path.to_owned();
        match kind {
            1 if path.is_empty() || offset == 1 => {
                let file = self.files.len();
                self.files.push(Image { bytes: Vec::new(), mode: 0o644 });
                self.inodes.insert(inode, file);
                if !path.is_empty() {
                    self.name(Naming::Create { path, file });
                }
            }
            1 => {
                let file = *self.live.files.get(&path).unwrap_or_else(|| panic!("{path} is not known"));
                self.inodes.insert(inode, file);
            }
            2 => self.change(inode, Change::Write { offset, bytes: data.to_vec() }),
            3 => self.change(inode, Change::Truncate { length: offset }),
            11 => self.change(inode, Change::Mode(offset as u32)),
            4 => {
                // A file may be flushed by who opened it only to read.
                let file = self.live.files.get(&path).or_else(|| self.inodes.get(&inode)).copied();
                for change in file.and_then(|file| self.waiting.remove(&file)).unwrap_or_default() {
                    apply(&mut self.files[file.expect("it has changes")], &change);
                }
                if let Some(after) = file.and_then(|file| self.after_failure.get_mut(&file)) {
                    after.flushes += 1;
                }
            }
            5 => self.name(Naming::Folder { path }),
            6 => {
                let (from, to) = path.split_once('\n').expect("two paths");
                self.name(Naming::Rename { from: from.to_owned(), to: to.to_owned() });
            }
            7 | 8 => self.name(Naming::Remove { path }),
            9 => {
                let (now, later): (Vec<Naming>, Vec<Naming>) =
                    std::mem::take(&mut self.namings).into_iter().partition(|naming| naming.folder() == path);
                self.namings = later;
                for naming in &now {
                    self.durable.apply(naming);
                }
            }
            10 => {
                if let Some(&file) = self.inodes.get(&inode) {
                    let failed = |path| AfterFailure { path, writes: 0, flushes: 0 };
                    let again = |after: &mut AfterFailure| after.flushes += 1;
                    self.after_failure.entry(file).and_modify(again).or_insert_with(|| failed(path));
                }
            }
            _ => panic!("{kind} is not known"),
        }
    }

    fn name(&mut self, naming: Naming) {
        self.live.apply(&naming);
        self.namings.push(naming);
    }

    fn change(&mut self, inode: u64, change: Change) {
        let file = *self.inodes.get(&inode).expect("opened before it is written");
        // Cutting off what was refused is all that may still be done.
        if !matches!(change, Change::Truncate { .. })
            && let Some(after) = self.after_failure.get_mut(&file)
        {
            after.writes += 1;
        }
        self.waiting.entry(file).or_default().push(change);
    }

    /// Files that were written or flushed again after a flush of them had failed.
    pub fn used_after_failure(&self) -> Vec<String> {
        self.after_failure(|after| after.writes + after.flushes)
    }

    /// Files that were flushed again after a flush of them had failed.
    pub fn flushed_after_failure(&self) -> Vec<String> {
        self.after_failure(|after| after.flushes)
    }

    fn after_failure(&self, count: impl Fn(&AfterFailure) -> u64) -> Vec<String> {
        let counted = self.after_failure.values().filter(|after| count(after) > 0);
        counted.map(|after| after.path.clone()).collect()
    }

    /// Changes that no flush has made durable.
    pub fn unflushed(&self) -> usize {
        self.waiting.values().map(Vec::len).sum::<usize>() + self.namings.len()
    }

    /// Cuts the power: what was not flushed is kept or lost as the dice say, and
    /// the folder holds what is left.
    pub fn cut(mut self, dice: &mut Dice) {
        for (file, changes) in std::mem::take(&mut self.waiting) {
            lose(&mut self.files[file], &changes, dice);
        }
        let namings = std::mem::take(&mut self.namings);
        // A journal keeps their order; without one, any may be missing.
        let journal = dice.chance(70);
        let kept = dice.below(namings.len() as u64 + 1) as usize;
        for (index, naming) in namings.iter().enumerate() {
            if if journal { index < kept } else { dice.chance(50) } {
                self.durable.apply(naming);
            }
        }
        self.put();
    }

    fn put(&self) {
        let root = Path::new(&self.root);
        for entry in fs::read_dir(root).unwrap().flatten() {
            let path = entry.path();
            let is_folder = entry.file_type().unwrap().is_dir();
            if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        // A folder within one that is lost is lost.
        for folder in &self.durable.folders {
            let _ = fs::create_dir(folder);
        }
        for (path, &file) in &self.durable.files {
            let Image { bytes, mode } = &self.files[file];
            if fs::write(path, bytes).is_ok() {
                fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
            }
        }
    }
}

fn apply(image: &mut Image, change: &Change) {
    match change {
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if image.bytes.len() < end {
                image.bytes.resize(end, 0);
            }
            image.bytes[*offset..end].copy_from_slice(bytes);
        }
        Change::Truncate { length } => image.bytes.resize(*length, 0),
        Change::Mode(mode) => image.mode = *mode,
    }
}

/// What a loss of power leaves of changes that were not flushed.
fn lose(image: &mut Image, changes: &[Change], dice: &mut Dice) {
    let how = dice.below(4);
    for change in changes {
        match (how, change) {
            (0, _) => {}
            (1, _) => apply(image, change),
            (2, _) => {
                if dice.chance(50) {
                    apply(image, change);
                }
            }
            (_, Change::Write { offset, bytes }) => {
                let mut at = *offset;
                while at < offset + bytes.len() {
                    let end = ((at / SECTOR + 1) * SECTOR).min(offset + bytes.len());
                    if dice.chance(50) {
                        let bytes = bytes[at - offset..end - offset].to_vec();
                        apply(image, &Change::Write { offset: at, bytes });
                    }
                    at = end;
                }
            }
            (_, change) => {
                if dice.chance(50) {
                    apply(image, change);
                }
            }
        }
    }
    // A file may have its length before it has its bytes.
    let end = changes
        .iter()
        .map(|change| if let Change::Write { offset, bytes } = change { offset + bytes.len() } else { 0 });
    let end = end.max().unwrap_or_default();
    if end > image.bytes.len() && dice.chance(30) {
        image.bytes.resize(end, 0);
    }
}

#[test]
fn a_disk_keeps_what_was_flushed() {
    if library().is_none() {
        return;
    }
    // `dd` truncates, writes, and flushes what it writes; `mv` flushes nothing.
    let script = "dd if=/dev/zero of=DATA/flushed bs=3000 count=3 conv=fsync; sync DATA; \
                  dd if=/dev/zero of=DATA/not bs=3000 count=3; mv DATA/old DATA/new";
    let mut lost = [0; 3];
    for round in 0..40 {
        let folder = tempfile::TempDir::new().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("old"), "old").unwrap();
        let mut disk = Disk::of(&data);
        let log = folder.path().join("log");
        let mut command = Command::new("sh");
        let root = data.canonicalize().unwrap().display().to_string();
        under(&mut command, &data, &[("DISK_LOG", log.display().to_string())]);
        let output = command.args(["-c", &script.replace("DATA", &root)]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        disk.follow(&log);
        assert!(disk.unflushed() > 0);
        disk.cut(&mut Dice::new(round));
        assert_eq!(fs::read(data.join("flushed")).unwrap(), [0; 9000]);
        let [not, old, new] = ["not", "old", "new"].map(|name| data.join(name));
        assert!(old.exists() != new.exists(), "one of the names");
        lost[0] += usize::from(fs::read(&not).is_ok_and(|bytes| bytes.len() < 9000));
        lost[1] += usize::from(!not.exists());
        lost[2] += usize::from(old.exists());
    }
    assert!(lost.iter().all(|&lost| lost > 0), "{lost:?}");
}
