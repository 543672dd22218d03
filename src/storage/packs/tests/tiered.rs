//! Packs on a disk and in a bucket (a folder of objects here: what the network
//! adds is tested over HTTP).

use std::fs;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::super::mirror::{MirroredFile, Step};
use super::super::remote::Remote;
use super::super::tiered::Tiered;
use super::*;
use crate::storage::objects::{Bucket, Objects};

/// A disk, and a bucket that outlives it.
struct Place {
    folder: TempDir,
    disk: &'static str,
    mirrored: bool,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), disk: "one", mirrored: false }
    }

    fn packs(&self) -> PathBuf {
        self.folder.path().join(self.disk).join("packs")
    }

    fn object(&self, name: &str) -> PathBuf {
        self.folder.path().join("bucket").join(name)
    }

    fn remote(&self) -> Remote {
        let objects = Objects::in_folder(&self.folder.path().join("bucket")).unwrap();
        let options = TierOptions {
            bucket: Bucket::default(),
            cache: self.folder.path().join(self.disk).join("cache"),
            cache_bytes_max: 3 << 20,
            mirrored: self.mirrored,
            read_time_max: Duration::from_secs(1),
        };
        Remote::on(objects.clone(), objects, &options)
    }

    fn open(&self, options: Options) -> Packs {
        // A forgotten upload of a "dead" process holds the lock on.
        let format = self.packs().join("FORMAT");
        if let Ok(text) = fs::read(&format) {
            fs::remove_file(&format).unwrap();
            fs::write(&format, text).unwrap();
        }
        let tiered = Tiered::on(&self.packs(), self.remote(), self.mirrored).unwrap();
        let packs = Packs::on_tiers(&self.packs(), tiered, options).unwrap();
        packs.unlock(sealed::master().as_ref()).unwrap();
        packs
    }
}

fn move_out(packs: &Packs, pack: PackId) -> Result<Moved, PackError> {
    packs.claim_bucket()?;
    packs.move_out(pack, &|| true)
}

/// One closed pack of some blocks, and what is in it.
fn closed(packs: &Packs) -> (PackId, Vec<Item>, Vec<super::Place>) {
    let stored: Vec<Item> = (0..40).map(|number| item(number, 60_000)).collect();
    let places = append(packs, &stored).unwrap();
    packs.seal(places[0].pack).unwrap();
    (places[0].pack, stored, places)
}

fn read(packs: &Packs, item: &Item, place: &super::Place) -> Result<bytes::Bytes, PackError> {
    packs.read(place, 0..place.length, 0, &Hasher::hash(item.bytes()).chunks.0)
}

fn all_is_there(packs: &Packs, stored: &[Item], places: &[super::Place]) {
    for (item, place) in stored.iter().zip(places) {
        assert_eq!(read(packs, item, place).unwrap(), item.bytes());
    }
    let (found, end) = items(packs, places[0].pack, 0);
    assert_eq!((found.as_slice(), end.tail.len()), (stored, 0));
}

#[test]
fn tiers_keep_the_contract() {
    let place = Place::new();
    contract(&|options| place.open(options));
}

#[test]
fn mirrors_keep_the_contract() {
    let place = Place { mirrored: true, ..Place::new() };
    contract(&|options| place.open(options));
}

/// Whatever is done, and whenever the disk is lost: what was acknowledged is there.
#[test]
pub(super) fn a_mirror_outlives_its_disk() {
    let mut place = Place { mirrored: true, ..Place::new() };
    let options = small(200_000);
    let disks = ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7"];
    let mut stored: Vec<Item> = Vec::new();
    for (round, disk) in (0..).zip(disks) {
        place.disk = disk;
        let packs = place.open(options);
        assert_eq!(recover(&packs), stored, "{disk}");
        packs.claim_bucket().unwrap();
        for number in 0..6 {
            let number = round * 100 + number * 10;
            let batch = [item(number, 3_000), tombstone(number + 1), item(number + 2, 20_000)];
            append(&packs, &batch).unwrap();
            stored.extend(batch);
            // Begun, and never finished: the next goes over it.
            let mut aborted = packs.begin().unwrap();
            aborted.write(&vec![7; 30_000]).unwrap();
            drop(aborted);
            let alone = item(number + 3, 60_000);
            upload(&packs, &alone).unwrap();
            stored.push(alone);
        }
        stored.sort_by_key(|item| item.stamp);
        if round % 2 == 1 {
            let closed = packs.closed().unwrap();
            assert!(!closed.is_empty());
            for pack in closed {
                let done = if round % 4 == 1 { Moved::Copied } else { Moved::Gone };
                let moved = match done {
                    Moved::Copied => packs.copy_out(pack.pack, &|| true),
                    Moved::Gone | Moved::Damaged { .. } => packs.move_out(pack.pack, &|| true),
                };
                assert_eq!(moved.unwrap(), done);
                assert!(!place.object(&format!("open/{}", pack.pack)).join("x").exists());
            }
        }
        if round == 3 {
            // A start on the same disk goes on as well.
            drop(packs);
            let packs = place.open(options);
            assert_eq!(recover(&packs), stored);
        }
    }
}

#[test]
pub(super) fn a_pack_moves_and_is_read() {
    let place = Place::new();
    let packs = place.open(Options::default());
    let (pack, stored, places) = closed(&packs);
    let tar = place.packs().join("0000/00000001.tar");
    let before = fs::read(&tar).unwrap();
    assert_eq!(packs.closed().unwrap().len(), 1);
    assert!(!packs.is_far(pack));
    // Held open, as a reader would.
    all_is_there(&packs, &stored, &places);

    assert_eq!(move_out(&packs, pack).unwrap(), Moved::Gone);
    assert!(!tar.exists() && packs.is_far(pack) && packs.any_is_far());
    assert_eq!(fs::read(place.object("packs/0000/00000001.tar")).unwrap(), before, "the same tar file");
    assert_eq!(packs.closed().unwrap(), []);
    assert!(packs.move_out(pack, &|| true).is_err());
    let at = packs.content(&places[0]);
    assert!(!packs.is_at_hand(pack, at.clone()));
    read(&packs, &stored[0], &places[0]).unwrap();
    assert!(packs.is_at_hand(pack, at.clone()));
    all_is_there(&packs, &stored, &places);

    // Another process, which has what was kept; and one that has not.
    drop(packs);
    let packs = place.open(Options::default());
    assert_eq!(packs.list()[0].standing, Standing::Sealed);
    assert_eq!(packs.list()[0].length, before.len() as u64);
    assert!(packs.is_far(pack) && packs.is_at_hand(pack, at));
    all_is_there(&packs, &stored, &places);
    assert!(packs.tier_stats().cache_bytes <= 3 << 20);
    assert!(append(&packs, &[item(99, 10)]).unwrap()[0].pack > pack, "no number comes back");
    packs.remove(pack).unwrap();
    assert!(matches!(read(&packs, &stored[0], &places[0]), Err(PackError::Missing { .. })));
    assert!(!place.object("packs/0000/00000001.tar").exists());
    assert!(!place.object("packs/0000/00000001.blocks").exists());
    assert!(!place.packs().join("0000/00000001.blocks").exists());
}

/// A process may die behind each step of a move: everything can be read, and the
/// next round finishes it.
#[test]
fn a_move_may_end_behind_each_step() {
    for step in 0..6 {
        let place = Place::new();
        let packs = place.open(Options::default());
        let (pack, stored, places) = closed(&packs);
        let (tar, noted) = ("packs/0000/00000001.tar", "packs/0000/00000001.blocks");
        let on_disk = place.packs().join("0000/00000001.tar");
        let bytes = fs::read(&on_disk).unwrap();
        move_out(&packs, pack).unwrap();
        drop(packs);
        // The state behind a step is that of the end, less what came after.
        let put_back = || {
            fs::write(&on_disk, &bytes).unwrap();
            let mut mode = fs::metadata(&on_disk).unwrap().permissions();
            mode.set_readonly(true);
            fs::set_permissions(&on_disk, mode).unwrap();
        };
        let own_note = place.packs().join("0000/00000001.blocks");
        let remove = |paths: &[PathBuf]| paths.iter().for_each(|path| fs::remove_file(path).unwrap());
        match step {
            // Nothing was sent; all of it was; it was noted there; it was noted here.
            0 => remove(&[own_note, place.object(noted), place.object(tar)]),
            1 => remove(&[own_note, place.object(noted)]),
            2 => remove(&[own_note]),
            3 => {}
            // Sent, and what came to lie there is not what was sent.
            4 => {
                remove(&[own_note, place.object(noted)]);
                fs::write(place.object(tar), &bytes[1..]).unwrap();
            }
            _ => {
                remove(&[own_note, place.object(noted)]);
                let mut wrong = bytes.clone();
                wrong[5000] ^= 1;
                fs::write(place.object(tar), wrong).unwrap();
            }
        }
        put_back();
        let packs = place.open(Options::default());
        assert!(!packs.is_far(pack), "step {step}");
        all_is_there(&packs, &stored, &places);
        assert_eq!(packs.list().len(), 1);
        assert_eq!(move_out(&packs, pack).unwrap(), Moved::Gone, "step {step}");
        assert!(packs.is_far(pack) && !on_disk.exists());
        all_is_there(&packs, &stored, &places);
        assert_eq!(fs::read(place.object(tar)).unwrap(), bytes);
    }
}

#[test]
fn a_move_that_is_stopped_leaves_the_pack() {
    let place = Place::new();
    let packs = place.open(Options::default());
    let (pack, stored, places) = closed(&packs);
    packs.claim_bucket().unwrap();
    for calls in [0, 1, 50, 90] {
        let left = std::cell::Cell::new(calls);
        let goes_on = || {
            left.set(left.get() - 1);
            left.get() > 0
        };
        let stopped = packs.move_out(pack, &goes_on);
        assert!(!matches!(stopped, Ok(Moved::Gone)) || !packs.list().is_empty());
        all_is_there(&packs, &stored, &places);
    }
}

#[test]
pub(super) fn damage_here_and_there() {
    let place = Place::new();
    let packs = place.open(Options::default());
    let (pack, stored, places) = closed(&packs);
    let next = append(&packs, &[item(50, 2_000_000)]).unwrap();
    packs.seal(next[0].pack).unwrap();

    // A damaged pack stays where it is.
    let on_disk = place.packs().join("0000/00000001.tar");
    let whole = fs::read(&on_disk).unwrap();
    let write = |path: &PathBuf, bytes: &[u8]| {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let mut wrong = whole.clone();
    wrong[places[3].offset as usize + 7] ^= 1;
    write(&on_disk, &wrong);
    packs.shared.files.forget(pack);
    assert_eq!(move_out(&packs, pack).unwrap(), Moved::Damaged { places: 1 });
    assert!(!place.object("packs/0000/00000001.tar").exists());
    write(&on_disk, &whole);
    packs.shared.files.forget(pack);
    move_out(&packs, pack).unwrap();

    // What is kept of it rots: fetched anew.
    all_is_there(&packs, &stored, &places);
    let kept = place.folder.path().join("one/cache/00000001");
    let mut rotten = 0;
    for block in fs::read_dir(&kept).unwrap() {
        let path = block.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        rotten += 1;
    }
    assert!(rotten > 0);
    all_is_there(&packs, &stored, &places);
    drop(packs);
    let packs = place.open(Options::default());
    all_is_there(&packs, &stored, &places);

    // The object rots: what lies in its block is damaged, and never served.
    packs.shared.tiered.as_ref().unwrap().read_nothing_kept(pack);
    write(&place.object("packs/0000/00000001.tar"), &wrong);
    let mut damaged = 0;
    for (item, at) in stored.iter().zip(&places) {
        match read(&packs, item, at) {
            Ok(bytes) => assert_eq!(bytes, item.bytes()),
            Err(PackError::Damaged { .. }) => damaged += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!((1..40).contains(&damaged), "{damaged}");
    // The note of it rots: taken from the bucket.
    write(&place.object("packs/0000/00000001.tar"), &whole);
    drop(packs);
    let note = place.packs().join("0000/00000001.blocks");
    let mut bytes = fs::read(&note).unwrap();
    *bytes.last_mut().unwrap() = b'x';
    fs::write(&note, bytes).unwrap();
    let packs = place.open(Options::default());
    all_is_there(&packs, &stored, &places);
}

#[test]
fn a_lost_disk_and_other_archives() {
    let mut place = Place::new();
    let packs = place.open(Options::default());
    let (pack, stored, places) = closed(&packs);
    move_out(&packs, pack).unwrap();
    let key = packs.key();
    drop(packs);
    assert!(matches!(Packs::open(&place.packs(), Options::default()), Err(PackError::Bucketless { .. })));

    place.disk = "two";
    let packs = place.open(Options::default());
    assert_eq!(packs.key(), key);
    all_is_there(&packs, &stored, &places);
    assert!(append(&packs, &[item(99, 10)]).unwrap()[0].pack > pack);
    drop(packs);

    // One that began elsewhere finds that the bucket is not its own.
    place.disk = "three";
    drop(Packs::open(&place.packs(), Options::default()).unwrap());
    let packs = place.open(Options::default());
    let (pack, stored, places) = closed(&packs);
    assert!(matches!(packs.claim_bucket(), Err(PackError::Foreign { .. })));
    all_is_there(&packs, &stored, &places);
    assert!(!packs.is_far(pack));
}

/// The bucket took a batch, but its answer was lost, so the batch was refused and cut
/// off. The next one came in its place, and the server was killed when the disk had
/// flushed it and before the bucket was told. It counted as sent then, and with the
/// disk it was lost.
#[test]
fn what_was_taken_back_is_not_taken_for_what_came_after() {
    let place = Place { mirrored: true, ..Place::new() };
    let (remote, pack) = (Arc::new(place.remote()), PackId(1));
    let local = Local::open(&place.packs()).unwrap();
    let disk = local.create(pack).unwrap();
    let write = |file: &dyn PackFile, bytes: &[u8], at| {
        file.write_all_at(&mut [IoSlice::new(bytes)], at).unwrap();
    };

    let file = MirroredFile::new(pack, Arc::clone(&disk), Arc::clone(&remote));
    write(&file, &[1; 512], 0);
    write(&file, &[2; 2048], 512);
    file.flush().unwrap();
    file.resize(512).unwrap();
    // The bucket does not take it: nothing comes in its place but an end.
    let in_the_way = place.object("open/00000001/00000002-0000000000000512.cut/x");
    fs::create_dir_all(&in_the_way).unwrap();
    assert!(file.write_all_at(&mut [IoSlice::new(&[3; 4096])], 512).is_err());
    assert_eq!(disk.length().unwrap(), 512);
    write(&file, &[0; 1024], 512);
    file.resize(512).unwrap();
    fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    // It does not answer a moment later, for who asks too soon.
    std::thread::sleep(Duration::from_millis(2100));
    write(&file, &[3; 4096], 512);
    disk.flush().unwrap();
    drop(file);

    let disk = local.open(pack, Access::Write).unwrap();
    MirroredFile::resume(pack, disk, Arc::clone(&remote)).unwrap().flush().unwrap();
    let mut bucket = Vec::new();
    for (number, step) in remote.steps(pack).unwrap() {
        match &step {
            Step::Part(range) => {
                let end = usize::try_from(range.end).unwrap();
                bucket.resize(end.max(bucket.len()), 0);
                let part = remote.part(pack, number, &step).unwrap();
                bucket[usize::try_from(range.start).unwrap()..end].copy_from_slice(&part);
            }
            Step::Cut(length) => bucket.truncate(usize::try_from(*length).unwrap()),
        }
    }
    assert!(bucket == [&[1; 512][..], &[3; 4096]].concat());
}
