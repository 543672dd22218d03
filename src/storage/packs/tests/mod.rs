//! One contract that every volume keeps (a straight recipe), and what all tests of packs share.

mod damage;
mod faults;
mod history;
mod sealed;
mod tar;
mod tiered;

use std::ops::ControlFlow;

use super::faulty::Faulty;
use super::*;
use crate::dicom::source::Source;
use crate::dicom::uid::{InstancePath, InstanceUid, SeriesUid, StudyUid};
use crate::storage::{Digest, Role, Stamp};

/// A file to store, or a tombstone (`None`).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    path: InstancePath,
    stamp: Stamp,
    role: Role,
    bytes: Option<Vec<u8>>,
}

fn item(number: u64, length: usize) -> Item {
    let path = InstancePath {
        study: StudyUid::parse(&format!("1.2.{}", number % 3)).unwrap(),
        series: SeriesUid::parse(&format!("1.2.3.{}", number % 5)).unwrap(),
        instance: InstanceUid::parse(&format!("1.2.3.4.{number}")).unwrap(),
    };
    let bytes = (0..length as u64).map(|i| (i * 31 + number * 7 + i / 251) as u8).collect();
    let role = if number % 4 == 3 { Role::Kept } else { Role::Current };
    Item { path, stamp: Stamp(1_700_000_000_000_000 + number), role, bytes: Some(bytes) }
}

fn tombstone(number: u64) -> Item {
    Item { role: Role::Current, bytes: None, ..item(number, 0) }
}

impl Item {
    fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    /// What tar calls it.
    fn name(&self) -> String {
        match self.role {
            Role::Current => format!("{}.dcm", self.path),
            Role::Kept => format!("{}.kept-{}.dcm", self.path, self.stamp.0),
        }
    }

    fn digest(&self) -> Digest {
        Hasher::hash(self.bytes()).digest
    }

    fn entry(&self) -> Entry<'_> {
        match &self.bytes {
            Some(bytes) => {
                let digest = self.digest();
                Entry::File(NewFile { path: &self.path, stamp: self.stamp, role: self.role, digest, bytes })
            }
            None => Entry::Tombstone { path: &self.path, stamp: self.stamp },
        }
    }
}

fn append(packs: &Packs, items: &[Item]) -> Result<Vec<Place>, PackError> {
    packs.append(&items.iter().map(Item::entry).collect::<Vec<_>>())
}

fn upload(packs: &Packs, item: &Item) -> Result<Place, PackError> {
    let mut upload = packs.begin()?;
    for piece in item.bytes().chunks(1000) {
        upload.write(piece)?;
    }
    upload.finish(&item.path, item.stamp, item.role, item.digest())
}

/// Also unlocks them, in a test that runs with encryption.
fn on(volume: impl Volume + 'static, options: Options) -> Packs {
    let packs = Packs::open_on(Arc::new(volume), options).unwrap();
    packs.unlock(sealed::master().as_ref()).unwrap();
    packs
}

fn open(dir: &Path, options: Options) -> Packs {
    let packs = Packs::open(dir, options).unwrap();
    packs.unlock(sealed::master().as_ref()).unwrap();
    packs
}

fn small(pack_bytes_max: u64) -> Options {
    Options { pack_bytes_max, streams_max: 3, files_open_max: 2, chunks_kept_max: 3 }
}

fn replay(packs: &Packs, pack: PackId, from: u64) -> (Vec<Replayed>, ReplayEnd) {
    let mut seen = Vec::new();
    let end = packs.replay(pack, from, &mut |replayed| {
        seen.push(replayed);
        ControlFlow::Continue(())
    });
    (seen, end.unwrap())
}

/// Replays one pack into items, and reads each file back the checked way.
fn items(packs: &Packs, pack: PackId, from: u64) -> (Vec<Item>, ReplayEnd) {
    let (seen, end) = replay(packs, pack, from);
    let whole = |replayed| match replayed {
        Replayed::File { path, stamp, role, digest, chunks, place } => {
            let bytes = packs.read(&place, 0..place.length, 0, &chunks.0).unwrap();
            packs.verify(&place, &digest).unwrap();
            Some(Item { path, stamp, role, bytes: Some(bytes.to_vec()) })
        }
        Replayed::Tombstone { path, stamp, .. } => {
            Some(Item { path, stamp, role: Role::Current, bytes: None })
        }
        Replayed::Damaged(_) => None,
    };
    (seen.into_iter().filter_map(whole).collect(), end)
}

/// What a start does: replays all packs and resumes those that need it.
fn recover(packs: &Packs) -> Vec<Item> {
    let mut found = Vec::new();
    for PackInfo { pack, standing, .. } in packs.list() {
        let (items, end) = items(packs, pack, 0);
        found.extend(items);
        if standing == Standing::Unrecovered {
            packs.resume(pack, end.valid_until).unwrap();
            let (_, again) = replay(packs, pack, 0);
            assert_eq!(again, ReplayEnd { valid_until: end.valid_until, tail: Vec::new() });
        }
    }
    found.sort_by_key(|item| item.stamp);
    found
}

/// What every volume must do. `open` gives the same volume as a new process sees it.
fn contract(open: &dyn Fn(Options) -> Packs) {
    let options = small(300_000);
    let packs = open(options);
    assert_eq!(packs.list(), []);
    assert_eq!(packs.append(&[]).unwrap(), []);

    // A batch, and all ways to read it.
    let lengths = [0, 1, 511, 512, 513, 8192, 65_536, 100_000];
    let mut stored: Vec<Item> = (0..).zip(lengths).map(|(number, length)| item(number, length)).collect();
    stored.insert(3, tombstone(100));
    let places = append(&packs, &stored).unwrap();
    for (item, place) in stored.iter().zip(&places) {
        assert_eq!(place.length, item.bytes().len() as u64);
        assert!(place.offset.is_multiple_of(512));
        let chunks = Hasher::hash(item.bytes()).chunks;
        let length = place.length;
        for range in [0..length, 0..length.min(1), length / 3..length / 2, length / 2..length, length..length]
        {
            let expected = &item.bytes()[range.start as usize..range.end as usize];
            assert_eq!(packs.read(place, range, 0, &chunks.0).unwrap(), expected);
        }
        let beyond = packs.read(place, 0..length + 1, 0, &chunks.0);
        assert!(matches!(beyond, Err(PackError::OutOfRange { .. })));
        packs.verify(place, &item.digest()).unwrap();
        let source = packs.source(place).unwrap();
        let mut buffer = vec![0; item.bytes().len()];
        source.read_exact_at(&mut buffer, 0).unwrap();
        assert_eq!(buffer, item.bytes());
        let beyond = source.read_exact_at(&mut [0], source.len()).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
    }
    for pair in places.windows(2) {
        assert_eq!(packs.entry_end(&pair[0]), pair[1].entry_start());
    }
    assert_eq!(packs.list()[0].length, packs.entry_end(&places[8]));

    // A replay from any entry gives those behind it, and may be broken off.
    for (index, place) in places.iter().enumerate() {
        let (found, end) = items(&packs, place.pack, place.entry_start());
        assert_eq!(found, stored[index..]);
        assert_eq!(end, ReplayEnd { valid_until: packs.entry_end(&places[8]), tail: Vec::new() });
    }
    let end = packs.replay(places[0].pack, 0, &mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!(end.valid_until, packs.entry_end(&places[0]));
    let beyond = packs.replay(places[0].pack, 1 << 30, &mut |_| ControlFlow::Break(()));
    assert!(matches!(beyond, Err(PackError::Damaged { .. })));

    // Streams: as many as allowed, each in its own pack, readable before the end.
    let mut streams: Vec<Upload> = (0..3).map(|_| packs.begin().unwrap()).collect();
    assert!(matches!(packs.begin(), Err(PackError::Busy { streams_max: 3 })));
    let streamed: Vec<Item> = (20..23).map(|number| item(number, 70_000)).collect();
    for half in 0..2 {
        for (stream, item) in streams.iter_mut().zip(&streamed) {
            stream.write(&item.bytes()[half * 35_000..][..35_000]).unwrap();
            let source = stream.source().unwrap();
            let mut buffer = vec![0; source.len() as usize];
            source.read_exact_at(&mut buffer, 0).unwrap();
            assert_eq!(buffer, item.bytes()[..(half + 1) * 35_000]);
        }
    }
    // The batch goes on meanwhile; the streams in their packs are not seen.
    let meanwhile = tombstone(30);
    append(&packs, std::slice::from_ref(&meanwhile)).unwrap();
    stored.push(meanwhile);
    for PackInfo { pack, .. } in packs.list().into_iter().skip(1) {
        assert_eq!(items(&packs, pack, 0), (vec![], ReplayEnd { valid_until: 0, tail: vec![] }));
        assert!(matches!(packs.seal(pack), Err(PackError::Busy { .. })));
    }
    let aborted = streams.remove(0);
    assert_eq!(aborted.length(), 70_000);
    drop(aborted);
    for (stream, item) in streams.into_iter().zip(&streamed[1..]) {
        stream.finish(&item.path, item.stamp, item.role, item.digest()).unwrap();
        stored.push(item.clone());
    }
    assert_eq!(packs.list().len(), 4);
    upload(&packs, &streamed[0]).unwrap();
    stored.push(streamed[0].clone());
    assert_eq!(packs.list().len(), 4, "packs are used again");

    // A pack that is full is sealed; one file may be larger than a pack.
    for number in 40..43 {
        let item = item(number, 400_000);
        let place = append(&packs, std::slice::from_ref(&item)).unwrap();
        assert_eq!(place[0].entry_start(), 0);
        stored.push(item);
    }
    let large = item(43, 500_000);
    upload(&packs, &large).unwrap();
    stored.push(large);
    let sealed = packs.list().into_iter().filter(|info| info.standing == Standing::Sealed).count();
    assert_eq!(sealed, 5);
    for PackInfo { pack, standing, .. } in packs.list() {
        assert_eq!(replay(&packs, pack, 0).1.tail, []);
        match standing {
            Standing::Sealed => packs.seal(pack).unwrap(),
            Standing::Unrecovered | Standing::Open | Standing::Abandoned => {
                assert!(matches!(packs.remove(pack), Err(PackError::Standing { .. })));
            }
        }
    }

    // A new process finds it all, and goes on where the old one stopped.
    let torn = item(50, 5_000);
    let mut upload = packs.begin().unwrap();
    upload.write(torn.bytes()).unwrap();
    std::mem::forget(upload);
    let before = packs.list();
    drop(packs);
    let packs = open(options);
    assert_eq!(packs.list().len(), before.len());
    stored.sort_by_key(|item| item.stamp);
    assert_eq!(recover(&packs), stored);
    let number_of = |packs: &Packs| packs.list().len();
    let count = number_of(&packs);
    append(&packs, &[item(60, 10)]).unwrap();
    super::tests::upload(&packs, &item(61, 10)).unwrap();
    assert_eq!(number_of(&packs), count);

    // Compaction: a pack goes, its number never comes back.
    for PackInfo { pack, .. } in packs.list() {
        packs.seal(pack).unwrap();
        packs.remove(pack).unwrap();
        assert!(matches!(
            packs.source(&Place { pack, offset: 0, length: 0 }),
            Err(PackError::Missing { .. })
        ));
        assert!(matches!(packs.remove(pack), Err(PackError::Missing { .. })));
    }
    let left = packs.list();
    assert_eq!(left.len(), 1);
    assert!(left[0].pack > before.last().unwrap().pack);
    drop(packs);
    let packs = open(options);
    assert_eq!(recover(&packs), []);
    assert!(append(&packs, &[item(70, 1)]).unwrap()[0].pack >= left[0].pack);
    assert!(packs.shared.files.len() <= 2);
}

#[test]
fn local_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    contract(&|options| {
        // A forgotten upload of the "dead" process holds the lock on.
        let old = dir.path().join("FORMAT");
        if let Ok(text) = std::fs::read(&old) {
            std::fs::remove_file(&old).unwrap();
            std::fs::write(&old, text).unwrap();
        }
        super::tests::open(dir.path(), options)
    });
}

#[test]
fn faulty_keeps_the_contract() {
    let disk = Faulty::new();
    contract(&|options| on(disk.restart(), options));
}

#[test]
fn a_batch_of_more_parts_than_one_write_takes() {
    let dir = tempfile::tempdir().unwrap();
    let packs = open(dir.path(), Options::default());
    let batch: Vec<Item> = (0..1_500).map(|number| item(number, number as usize % 700)).collect();
    let pack = append(&packs, &batch).unwrap()[0].pack;
    assert_eq!(items(&packs, pack, 0).0, batch);
}

#[test]
fn many_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let packs = open(dir.path(), small(500_000));
    let stored = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (packs, stored) = (&packs, &stored);
            scope.spawn(move || {
                for number in 0..15 {
                    let item = item(thread * 100 + number, 20_000 + number as usize * 999);
                    let place = match thread {
                        0 => append(packs, std::slice::from_ref(&item)).unwrap()[0],
                        _ => upload(packs, &item).unwrap(),
                    };
                    let chunks = Hasher::hash(item.bytes()).chunks;
                    assert_eq!(packs.read(&place, 0..place.length, 0, &chunks.0).unwrap(), item.bytes());
                    lock(stored).push(item);
                }
            });
        }
    });
    drop(packs);
    let mut stored = stored.into_inner().unwrap();
    stored.sort_by_key(|item| item.stamp);
    let packs = open(dir.path(), small(500_000));
    assert_eq!(recover(&packs), stored);
}
