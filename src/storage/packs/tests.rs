//! One contract for every volume, then the ways a disk can fail, then a model
//! that random histories are held against.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;

use super::faulty::{Fault, Faulty};
use super::record::RECORD_BYTES;
use super::*;
use crate::dicom::source::Source;
use crate::dicom::uid::{InstancePath, InstanceUid, SeriesUid, StudyUid};
use crate::storage::{CHUNK_BYTES, Digest, Stamp};

/// A file to store, or a tombstone (`None`).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    path: InstancePath,
    stamp: Stamp,
    bytes: Option<Vec<u8>>,
}

fn item(number: u64, length: usize) -> Item {
    let path = InstancePath {
        study: StudyUid::parse(&format!("1.2.{}", number % 3)).unwrap(),
        series: SeriesUid::parse(&format!("1.2.3.{}", number % 5)).unwrap(),
        instance: InstanceUid::parse(&format!("1.2.3.4.{number}")).unwrap(),
    };
    let bytes = (0..length as u64).map(|i| (i * 31 + number * 7 + i / 251) as u8).collect();
    Item { path, stamp: Stamp(1_700_000_000_000_000 + number), bytes: Some(bytes) }
}

fn tombstone(number: u64) -> Item {
    Item { bytes: None, ..item(number, 0) }
}

impl Item {
    fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    fn digest(&self) -> Digest {
        Hasher::hash(self.bytes()).digest
    }

    fn entry(&self) -> Entry<'_> {
        match &self.bytes {
            Some(bytes) => {
                let digest = self.digest();
                Entry::File(NewFile { path: &self.path, stamp: self.stamp, digest, bytes })
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
    upload.finish(&item.path, item.stamp, item.digest())
}

fn on(volume: impl Volume + 'static, options: Options) -> Packs {
    Packs::open_on(Arc::new(volume), options).unwrap()
}

fn small(pack_bytes_max: u64) -> Options {
    Options { pack_bytes_max, streams_max: 3, files_open_max: 2 }
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
        Replayed::File { path, stamp, digest, chunks, place } => {
            let bytes = packs.read(&place, 0..place.length, &chunks).unwrap();
            packs.verify(&place, &digest).unwrap();
            Some(Item { path, stamp, bytes: Some(bytes.to_vec()) })
        }
        Replayed::Tombstone { path, stamp, .. } => Some(Item { path, stamp, bytes: None }),
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
            assert_eq!(packs.read(place, range, &chunks).unwrap(), expected);
        }
        let beyond = packs.read(place, 0..length + 1, &chunks);
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
        assert_eq!(pair[0].entry_end(), pair[1].entry_start());
    }
    assert_eq!(packs.list()[0].length, places[8].entry_end());

    // A replay from any entry gives those behind it, and may be broken off.
    for (index, place) in places.iter().enumerate() {
        let (found, end) = items(&packs, place.pack, place.entry_start());
        assert_eq!(found, stored[index..]);
        assert_eq!(end, ReplayEnd { valid_until: places[8].entry_end(), tail: Vec::new() });
    }
    let end = packs.replay(places[0].pack, 0, &mut |_| ControlFlow::Break(())).unwrap();
    assert_eq!(end.valid_until, places[0].entry_end());
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
        stream.finish(&item.path, item.stamp, item.digest()).unwrap();
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
            _ => assert!(matches!(packs.remove(pack), Err(PackError::Standing { .. }))),
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
        let old = dir.path().join("packs/FORMAT");
        if let Ok(text) = std::fs::read(&old) {
            std::fs::remove_file(&old).unwrap();
            std::fs::write(&old, text).unwrap();
        }
        Packs::open(dir.path(), options).unwrap()
    });
}

#[test]
fn faulty_keeps_the_contract() {
    let disk = Faulty::new();
    contract(&|options| on(disk.restart(), options));
}

#[test]
fn a_torn_tail_at_every_byte() {
    let disk = Faulty::new();
    let batch = [item(1, 700), tombstone(2), item(3, 512), item(4, 0), item(5, 1)];
    let places = append(&on(disk.clone(), Options::default()), &batch).unwrap();
    let pack = places[0].pack;
    let bytes = disk.bytes(pack).unwrap();
    assert_eq!(bytes.len() as u64, places[4].entry_end());
    for length in 0..=bytes.len() {
        let disk = Faulty::new();
        disk.replace(pack, bytes[..length].to_vec());
        let whole = places.iter().filter(|place| place.entry_end() <= length as u64).count();
        let end = whole.checked_sub(1).map_or(0, |last| places[last].entry_end());
        let packs = on(disk.clone(), Options::default());
        let (found, found_end) = items(&packs, pack, 0);
        assert_eq!(found, batch[..whole]);
        assert_eq!(found_end.valid_until, end, "cut at {length}");
        assert_eq!(found_end.tail.is_empty(), length as u64 == end);

        packs.resume(pack, end).unwrap();
        let torn: Vec<_> = disk.torn().into_iter().map(|(_, at, bytes)| (at, bytes)).collect();
        let cut = bytes[end as usize..length].to_vec();
        assert_eq!(torn, if cut.is_empty() { vec![] } else { vec![(end, cut)] });
        let next = append(&packs, &[item(9, 100)]).unwrap();
        assert_eq!(next[0].entry_start(), end);
        assert_eq!(items(&packs, pack, end).0, [item(9, 100)]);
    }
}

#[test]
fn damage_costs_what_it_lies_in() {
    let disk = Faulty::new();
    let batch = [item(1, 700), tombstone(2), item(3, 5_000), item(4, 100)];
    let packs = on(disk.clone(), Options::default());
    let places = append(&packs, &batch).unwrap();
    let pack = places[0].pack;
    packs.seal(pack).unwrap();
    let bytes = disk.bytes(pack).unwrap();
    for (index, place) in places.iter().enumerate() {
        for at in (place.entry_start()..place.offset + place.length).step_by(97) {
            let mut damaged = bytes.clone();
            damaged[at as usize] ^= 0x10;
            let disk = Faulty::new();
            disk.replace(pack, damaged);
            let packs = on(disk, Options::default());
            let (seen, end) = replay(&packs, pack, 0);
            let damages = seen.iter().chain(&[]).filter(|seen| matches!(seen, Replayed::Damaged(_)));
            assert_eq!(damages.count() + end.tail.len(), 1);
            let mut expected = batch.to_vec();
            expected.remove(index);
            assert_eq!(items(&packs, pack, 0).0, expected, "byte {at}");
            let chunks = Hasher::hash(batch[index].bytes()).chunks;
            if at >= place.offset {
                let found = packs.read(place, 0..place.length, &chunks);
                assert!(matches!(found, Err(PackError::Damaged { why: Why::Checksum, .. })));
                let found = packs.verify(place, &batch[index].digest());
                assert!(matches!(found, Err(PackError::Damaged { why: Why::Digest, .. })));
            }
        }
    }
}

#[test]
fn checksums_name_the_chunk() {
    let disk = Faulty::new();
    let packs = on(disk.clone(), Options::default());
    let item = item(1, 200_000);
    let place = append(&packs, std::slice::from_ref(&item)).unwrap()[0];
    let chunks = Hasher::hash(item.bytes()).chunks;
    let mut bytes = disk.bytes(place.pack).unwrap();
    bytes[place.offset as usize + 70_000] ^= 1;
    disk.replace(place.pack, bytes);
    assert_eq!(packs.read(&place, 10..65_536, &chunks).unwrap(), &item.bytes()[10..65_536]);
    assert_eq!(packs.read(&place, 131_072..200_000, &chunks).unwrap(), &item.bytes()[131_072..]);
    match packs.read(&place, 0..200_000, &chunks) {
        Err(PackError::Damaged { offset, .. }) => assert_eq!(offset, place.offset + CHUNK_BYTES),
        other => panic!("{other:?}"),
    }
}

/// A file may hold a whole pack, even the one it lies in, and nothing in it is
/// taken for a record, also when its own record is lost.
#[test]
fn a_stored_pack_is_not_replayed() {
    let disk = Faulty::new();
    let packs = on(disk.clone(), Options::default());
    let first = [item(1, 700), tombstone(2)];
    let pack = append(&packs, &first).unwrap()[0].pack;
    let mut trojan = item(3, 0);
    trojan.bytes = disk.bytes(pack);
    let place = append(&packs, std::slice::from_ref(&trojan)).unwrap()[0];
    append(&packs, &[item(4, 10)]).unwrap();
    let mut bytes = disk.bytes(pack).unwrap();
    bytes[place.entry_start() as usize..place.offset as usize].fill(0);

    // Even at the very offset it was made for, where only the mark is strange.
    let other = on(Faulty::new(), Options::default());
    for number in 0..2 {
        append(&other, &[item(number, 10)]).unwrap();
    }
    let disk = Faulty::new();
    disk.replace(pack, bytes.clone());
    let found = items(&on(disk, Options::default()), pack, 0).0;
    assert_eq!(found, [first[0].clone(), first[1].clone(), item(4, 10)]);

    // An upload that never ended, in a pack without any record of ours.
    let disk = Faulty::new();
    let mut torn = vec![0; RECORD_BYTES];
    let seat = Seat { mark: 0x1234, offset: RECORD_BYTES as u64 };
    torn.extend(record::encode(&first[1].path, Stamp(1), record::What::Deleted, seat));
    disk.replace(pack, torn);
    let (seen, end) = replay(&on(disk, Options::default()), pack, 0);
    assert_eq!((seen, end.valid_until, end.tail.len()), (vec![], 0, 1));
}

/// The disk fails at each operation in turn; what was acknowledged stays, what
/// was refused is gone, and the store goes on.
#[test]
fn every_operation_may_fail() {
    for fault in [Fault::NoSpace, Fault::Broken] {
        for at in 0..40 {
            let disk = Faulty::new();
            let packs = on(disk.clone(), small(20_000));
            disk.fail(at, fault);
            let mut acknowledged = Vec::new();
            let mut refused = 0;
            for number in 0..10 {
                let batch = [item(number * 10, 3_000), tombstone(number * 10 + 1)];
                let alone = item(number * 10 + 2, 4_000);
                match append(&packs, &batch) {
                    Ok(_) => acknowledged.extend(batch),
                    Err(error) => {
                        refused += 1;
                        assert_eq!(matches!(error, PackError::Full { .. }), fault == Fault::NoSpace);
                    }
                }
                match upload(&packs, &alone) {
                    Ok(_) => acknowledged.push(alone),
                    Err(_) => refused += 1,
                }
            }
            assert!(refused <= 1);
            let mut found: Vec<Item> = Vec::new();
            for PackInfo { pack, .. } in packs.list() {
                found.extend(items(&packs, pack, 0).0);
            }
            found.sort_by_key(|item| item.stamp);
            assert_eq!(found, acknowledged);
            assert_eq!(recover(&on(disk.restart(), small(20_000))), acknowledged);
            assert_eq!(recover(&on(disk.crash(at), small(20_000))), acknowledged);
        }
    }
}

#[test]
fn a_full_disk_recovers() {
    let disk = Faulty::new();
    let packs = on(disk.clone(), Options::default());
    append(&packs, &[item(0, 100)]).unwrap();
    let before = disk.bytes(PackId(1)).unwrap();
    let mut stream = packs.begin().unwrap();
    stream.write(&[1; 1000]).unwrap();
    disk.fail(0, Fault::NoSpace);
    assert!(matches!(append(&packs, &[item(1, 100)]), Err(PackError::Full { .. })));
    disk.fail(0, Fault::NoSpace);
    assert!(matches!(stream.write(&[1; 1000]), Err(PackError::Full { .. })));
    assert!(matches!(stream.write(&[1; 1000]), Err(PackError::Over { .. })));
    assert_eq!(disk.bytes(PackId(1)).unwrap(), before);
    assert_eq!(disk.bytes(PackId(2)).unwrap(), []);
    drop(stream);
    append(&packs, &[item(1, 100)]).unwrap();
    upload(&packs, &item(2, 100)).unwrap();
    assert_eq!(packs.list().len(), 2);
}

/// After a failed flush Linux forgets what it could not write: a second flush
/// of the same file would say all is well.
#[test]
fn a_failed_flush_is_never_repeated() {
    let disk = Faulty::new();
    let packs = on(disk.clone(), Options::default());
    append(&packs, &[item(0, 100)]).unwrap();
    disk.fail(2, Fault::Broken);
    assert!(append(&packs, &[item(1, 100)]).is_err());
    assert_eq!(packs.list()[0].standing, Standing::Abandoned);
    let place = append(&packs, &[item(2, 100)]).unwrap()[0];
    assert_eq!(place.pack, PackId(2));
    assert_eq!(recover(&on(disk.crash(7), Options::default())), [item(0, 100), item(2, 100)]);
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<usize>),
    Delete,
    Begin,
    Write { stream: usize, length: usize },
    Finish { stream: usize },
    Abort { stream: usize },
    Seal { pack: usize },
    Fail { after: u64, full: bool },
    Restart,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![0..3_usize, 500..520_usize, 0..9_000_usize, 60_000..140_000_usize];
    prop_oneof![
        6 => prop::collection::vec(length.clone(), 1..6).prop_map(Step::Append),
        1 => Just(Step::Delete),
        3 => Just(Step::Begin),
        6 => (0..4_usize, length).prop_map(|(stream, length)| Step::Write { stream, length }),
        3 => (0..4_usize).prop_map(|stream| Step::Finish { stream }),
        1 => (0..4_usize).prop_map(|stream| Step::Abort { stream }),
        1 => (0..4_usize).prop_map(|pack| Step::Seal { pack }),
        2 => (0..6_u64, any::<bool>()).prop_map(|(after, full)| Step::Fail { after, full }),
        1 => Just(Step::Restart),
        1 => any::<u64>().prop_map(Step::Crash),
    ]
}

/// What a history must have left behind.
#[derive(Default)]
struct Model {
    acknowledged: BTreeMap<Stamp, Item>,
    /// Refused with an error: may be there after a start, or not.
    refused: BTreeSet<Stamp>,
    next: u64,
}

impl Model {
    fn settle<T>(&mut self, items: Vec<Item>, outcome: Result<T, PackError>) {
        for item in items {
            if outcome.is_ok() {
                self.acknowledged.insert(item.stamp, item);
            } else {
                self.refused.insert(item.stamp);
            }
        }
    }

    fn check(&mut self, found: Vec<Item>) {
        let count = found.len();
        let found: BTreeMap<Stamp, Item> = found.into_iter().map(|item| (item.stamp, item)).collect();
        assert_eq!(found.len(), count, "nothing is there twice");
        for (stamp, item) in &self.acknowledged {
            assert_eq!(found.get(stamp), Some(item));
        }
        for stamp in found.keys() {
            assert!(self.acknowledged.contains_key(stamp) || self.refused.contains(stamp));
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn histories_against_a_model(steps in prop::collection::vec(step(), 1..60)) {
        let options = small(200_000);
        let mut disk = Faulty::new();
        let mut packs = on(disk.clone(), options);
        let mut streams: Vec<(Upload, Item)> = Vec::new();
        let mut model = Model::default();
        for step in steps.into_iter().chain([Step::Crash(1)]) {
            match step {
                Step::Append(lengths) => {
                    let batch: Vec<Item> = lengths.into_iter().map(|length| item(model.number(), length)).collect();
                    let outcome = append(&packs, &batch);
                    model.settle(batch, outcome);
                }
                Step::Delete => {
                    let item = tombstone(model.number());
                    let outcome = append(&packs, std::slice::from_ref(&item));
                    model.settle(vec![item], outcome);
                }
                Step::Begin => match packs.begin() {
                    Ok(upload) => streams.push((upload, item(model.number(), 0))),
                    Err(PackError::Busy { .. }) => prop_assert_eq!(streams.len(), 3),
                    Err(_) => {}
                },
                Step::Write { stream, length } => {
                    if let Some((upload, item)) = streams.get_mut(stream) {
                        let piece = super::tests::item(length as u64, length);
                        if upload.write(piece.bytes()).is_ok() {
                            item.bytes.as_mut().unwrap().extend(piece.bytes());
                        }
                    }
                }
                Step::Finish { stream } if stream < streams.len() => {
                    let (upload, item) = streams.remove(stream);
                    let outcome = upload.finish(&item.path, item.stamp, item.digest());
                    model.settle(vec![item], outcome);
                }
                Step::Abort { stream } if stream < streams.len() => drop(streams.remove(stream)),
                Step::Finish { .. } | Step::Abort { .. } => {}
                Step::Seal { pack } => {
                    if let Some(info) = packs.list().get(pack) {
                        let _ = packs.seal(info.pack);
                    }
                }
                Step::Fail { after, full } => {
                    disk.fail(after, if full { Fault::NoSpace } else { Fault::Broken });
                }
                Step::Restart | Step::Crash(_) => {
                    disk = if let Step::Crash(seed) = step { disk.crash(seed) } else { disk.restart() };
                    streams.clear();
                    packs = on(disk.clone(), options);
                    model.check(recover(&packs));
                }
            }
        }
    }
}

/// Extracts a pack with a program, and gives what it made: paths and bytes.
fn extract(program: &[&str], pack: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
    let dir = tempfile::tempdir().unwrap();
    let output =
        Command::new(program[0]).args(&program[1..]).arg(pack).current_dir(dir.path()).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program:?}: {said}");
    let files = walkdir::WalkDir::new(dir.path()).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file()).map(|entry| {
        let name = entry.path().strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(entry.path()).unwrap())
    });
    Some(files.collect())
}

#[test]
fn any_tar_reader_gives_the_files_back() {
    let dir = tempfile::tempdir().unwrap();
    let packs = Packs::open(dir.path(), Options::default()).unwrap();
    let long = "1.".repeat(31) + "23";
    let mut batch: Vec<Item> =
        (0..).zip([0, 1, 512, 700, 100_000]).map(|(n, length)| item(n, length)).collect();
    batch[2].path = InstancePath {
        study: StudyUid::parse(&long).unwrap(),
        series: SeriesUid::parse(&long).unwrap(),
        instance: InstanceUid::parse(&long).unwrap(),
    };
    batch.insert(1, tombstone(50));
    batch.push(tombstone(2));
    let pack = append(&packs, &batch).unwrap()[0].pack;
    let expected: BTreeMap<String, Vec<u8>> =
        batch.iter().filter_map(|item| Some((format!("{}.dcm", item.path), item.bytes.clone()?))).collect();

    let python = "import sys, tarfile; tarfile.open(sys.argv[1]).extractall()";
    let programs: [&[&str]; 3] =
        [&["tar", "-xf"], &["bsdtar", "-xf"], &["python3", "-W", "ignore", "-c", python]];
    let path = |pack: PackId| dir.path().join(format!("packs/0000/{pack}.tar"));
    let check = |pack: PackId, expected: &BTreeMap<String, Vec<u8>>| {
        let ran = programs.iter().filter_map(|program| extract(program, &path(pack)));
        let ran = ran.inspect(|found| assert_eq!(found, expected)).count();
        assert!(ran > 0, "there is no tar on this machine");
    };
    check(pack, &expected);

    // An upload under way, and one that a crash cut short, are not there.
    let mut upload = packs.begin().unwrap();
    upload.write(&[7; 10_001]).unwrap();
    check(PackId(2), &BTreeMap::new());
    let whole = item(60, 3_333);
    super::tests::upload(&packs, &whole).unwrap();
    let mut second = packs.begin().unwrap();
    second.write(&[7; 10_001]).unwrap();
    check(PackId(3), &BTreeMap::from([(format!("{}.dcm", whole.path), whole.bytes().to_vec())]));
    drop((upload, second));
    check(PackId(2), &BTreeMap::new());

    // A batch that was being written when the process was killed: all but the
    // first record, which comes last, and of the rest as much as there is.
    let file = std::fs::read(path(pack)).unwrap();
    let torn = dir.path().join("torn.tar");
    for length in [file.len(), file.len() - 300, RECORD_BYTES + 1] {
        let mut tail = file[..length].to_vec();
        tail[..RECORD_BYTES].fill(0);
        std::fs::write(&torn, [&file[..], &tail].concat()).unwrap();
        for program in programs {
            assert!(extract(program, &torn).is_none_or(|found| found == expected));
        }
    }

    packs.seal(pack).unwrap();
    check(pack, &expected);
    assert!(std::fs::metadata(path(pack)).unwrap().permissions().readonly());
}

#[test]
fn many_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let packs = Packs::open(dir.path(), small(500_000)).unwrap();
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
                    assert_eq!(packs.read(&place, 0..place.length, &chunks).unwrap(), item.bytes());
                    lock(stored).push(item);
                }
            });
        }
    });
    drop(packs);
    let mut stored = stored.into_inner().unwrap();
    stored.sort_by_key(|item| item.stamp);
    let packs = Packs::open(dir.path(), small(500_000)).unwrap();
    assert_eq!(recover(&packs), stored);
}
