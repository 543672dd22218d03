//! Packs that a crash, a disk or a sender has spoiled.

use super::super::record::{self, RECORD_BYTES, Seat};
use super::*;
use crate::storage::{CHUNK_BYTES, waiting};

#[test]
pub(super) fn a_torn_tail_at_every_byte() {
    let disk = Faulty::new();
    let batch = [item(1, 700), tombstone(2), item(3, 512), item(4, 0), item(5, 1)];
    let packs = on(disk.clone(), Options::default());
    let places = append(&packs, &batch).unwrap();
    let ends: Vec<u64> = places.iter().map(|place| packs.entry_end(place)).collect();
    let pack = places[0].pack;
    let bytes = disk.bytes(pack).unwrap();
    assert_eq!(bytes.len() as u64, ends[4]);
    for length in 0..=bytes.len() {
        let disk = disk.another();
        disk.replace(pack, bytes[..length].to_vec());
        let whole = ends.iter().filter(|&&end| end <= length as u64).count();
        let end = whole.checked_sub(1).map_or(0, |last| ends[last]);
        let packs = on(disk.clone(), Options::default());
        let (found, found_end) = items(&packs, pack, 0);
        assert_eq!(found, batch[..whole]);
        assert_eq!(found_end.valid_until, end, "cut at {length}");
        assert_eq!(found_end.tail.is_empty(), length as u64 == end);

        // Repair is the same within a block; now and then is enough.
        if length as u64 != end && length % 29 != 0 {
            continue;
        }
        packs.resume(pack, end).unwrap();
        // What is left is a whole archive, of nothing if need be.
        let left = if end == 0 { vec![0; 1024] } else { bytes[..end as usize].to_vec() };
        assert_eq!(disk.bytes(pack).unwrap(), left);
        let torn: Vec<_> = disk.torn().into_iter().map(|(_, at, bytes)| (at, bytes)).collect();
        let cut = bytes[end as usize..length].to_vec();
        assert_eq!(torn, if cut.is_empty() { vec![] } else { vec![(end, cut)] });
        let next = append(&packs, &[item(9, 100)]).unwrap();
        assert_eq!(next[0].entry_start(), end);
        assert_eq!(items(&packs, pack, end).0, [item(9, 100)]);
    }
}

#[test]
pub(super) fn damage_costs_what_it_lies_in() {
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
            let disk = disk.another();
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
                let found = packs.read(place, 0..place.length, 0, &chunks.0);
                assert!(matches!(found, Err(PackError::Damaged { why: Why::Checksum | Why::Seal, .. })));
                let found = packs.verify(place, &batch[index].digest());
                assert!(matches!(found, Err(PackError::Damaged { why: Why::Digest | Why::Seal, .. })));
            }
        }
    }
}

#[test]
pub(super) fn what_the_disk_refuses_is_passed_over() {
    let batch: Vec<Item> = (0..6).map(|number| item(number, 900_000)).collect();
    for refused in 0..6 {
        let disk = Faulty::new();
        let packs = on(disk.clone(), Options::default());
        let places = append(&packs, &batch).unwrap();
        let pack = places[0].pack;
        let place = places[refused];
        let at = if refused % 2 == 0 { place.entry_start() } else { place.offset + 300_000 };
        disk.refuse(pack, at..at + 1);
        let mut expected = batch.clone();
        expected.remove(refused);
        assert_eq!(items(&packs, pack, 0).0, expected);
        let (seen, end) = replay(&packs, pack, 0);
        let damages = seen.into_iter().filter_map(|seen| match seen {
            Replayed::Damaged(damage) => Some(damage),
            Replayed::File { .. } | Replayed::Tombstone { .. } => None,
        });
        let damages: Vec<Damage> = damages.chain(end.tail).collect();
        assert_eq!(damages.len(), 1);
        assert_eq!((damages[0].offset, damages[0].why), (place.entry_start(), Why::Unreadable));

        // A disk that is gone is an error, and not a pack full of damage.
        disk.refuse(pack, 0..u64::MAX);
        let gone = packs.replay(pack, 0, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(gone, Err(PackError::Io { .. })));
    }
}

#[test]
pub(super) fn checksums_name_the_chunk() {
    let disk = Faulty::new();
    let packs = on(disk.clone(), Options::default());
    let item = item(1, 200_000);
    let place = append(&packs, std::slice::from_ref(&item)).unwrap()[0];
    let chunks = Hasher::hash(item.bytes()).chunks;
    let mut bytes = disk.bytes(place.pack).unwrap();
    bytes[place.offset as usize + 70_000] ^= 1;
    disk.replace(place.pack, bytes);
    assert_eq!(packs.read(&place, 10..65_536, 0, &chunks.0).unwrap(), &item.bytes()[10..65_536]);
    assert_eq!(packs.read(&place, 131_072..200_000, 0, &chunks.0).unwrap(), &item.bytes()[131_072..]);
    match packs.read(&place, 0..200_000, 0, &chunks.0) {
        Err(PackError::Damaged { offset, .. }) => {
            assert_eq!(offset, place.offset + sealed::stored(&packs, place.pack, CHUNK_BYTES));
        }
        other => panic!("{other:?}"),
    }
}

/// A file may hold a whole pack, even the one it lies in, and nothing in it is
/// taken for a record, also when its own record is lost.
#[test]
pub(super) fn a_stored_pack_is_not_replayed() {
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

    let disk = disk.another();
    disk.replace(pack, bytes);
    let found = items(&on(disk, Options::default()), pack, 0).0;
    assert_eq!(found, [first[0].clone(), first[1].clone(), item(4, 10)]);

    // An upload that never ended, in a pack without any record of ours; the
    // sender even guessed the offset, and only the mark is strange.
    let disk = Faulty::new();
    let mut torn = vec![0; RECORD_BYTES];
    let seat = Seat { mark: 0x1234, offset: RECORD_BYTES as u64 };
    torn.extend(record::encode(&first[1].path, Stamp(1), record::What::Deleted, seat));
    disk.replace(pack, torn);
    let (seen, end) = replay(&on(disk, Options::default()), pack, 0);
    assert_eq!((seen, end.valid_until, end.tail.len()), (vec![], 0, 1));
}

/// A worker that reads one tile after the other has what it checked; whoever may
/// wait for the disk sees what the disk has, and nobody is given another file's
/// bytes that came into the same place.
#[test]
pub(super) fn a_chunk_that_was_checked_is_at_hand_for_a_while() {
    let disk = Faulty::new();
    let packs = on(disk.clone(), Options { chunks_kept_max: 64, ..Options::default() });
    let file = item(1, 100_000);
    let place = append(&packs, std::slice::from_ref(&file)).unwrap()[0];
    if packs.is_encrypted(place.pack) {
        return;
    }
    let sums = Hasher::hash(file.bytes()).chunks.0;
    // No worker opens a pack.
    assert_eq!(packs.read(&place, 0..100_000, 0, &sums).unwrap(), file.bytes());
    let tile = |range: std::ops::Range<u64>, sums: &[u32]| {
        waiting::at_once(|| packs.read(&place, range, 0, sums)).expect("it is in memory")
    };
    assert_eq!(tile(100..200, &sums).unwrap(), file.bytes()[100..200]);
    let mut damaged = disk.bytes(place.pack).unwrap();
    damaged[place.offset as usize + 300] ^= 1;
    damaged[place.offset as usize + 99_999] ^= 1;
    disk.replace(place.pack, damaged);
    assert_eq!(tile(250..350, &sums).unwrap(), file.bytes()[250..350]);
    let refused = |read: Result<bytes::Bytes, PackError>| matches!(read, Err(PackError::Damaged { .. }));
    assert!(refused(packs.read(&place, 250..350, 0, &sums)));
    assert!(refused(tile(250..350, &[sums[0] ^ 1, sums[1]])), "it is of another file");
    assert!(refused(tile(99_990..100_000, &sums)) && refused(tile(0..100_000, &sums)));
    // Of the two chunks that this is in, one is known.
    assert!(refused(tile(65_530..65_540, &sums)));
    // So many others later the disk is asked again.
    let others: Vec<Item> = (2..70).map(|number| item(number, 10)).collect();
    for (other, place) in others.iter().zip(append(&packs, &others).unwrap()) {
        let sums = Hasher::hash(other.bytes()).chunks.0;
        let read = waiting::at_once(|| packs.read(&place, 0..10, 0, &sums));
        assert_eq!(read.expect("it is in memory").unwrap(), other.bytes());
    }
    assert!(refused(tile(250..350, &sums)));
}

/// A sector that the disk could not read ended the backup, and every later one.
#[test]
fn what_cannot_be_read_is_backed_up_as_zeros() {
    let disk = Faulty::new();
    let packs = on(disk.clone(), Options::default());
    let stored: Vec<Item> = (0..4).map(|number| item(number, 1_000_000)).collect();
    let places = append(&packs, &stored).unwrap();
    let (pack, end) = (places[0].pack, packs.list()[0].length);
    let bad = places[2].offset + 300_000;
    disk.refuse(pack, bad..bad + 10);

    let reader = Reader::on(Arc::new(disk.clone())).unwrap();
    reader.unlock(|| Ok(sealed::master())).unwrap();
    assert_eq!(reader.check(pack, 0..end).unwrap(), Checked { entries: 3, damaged: 1 });
    let mut expected = disk.bytes(pack).unwrap();
    let sector = usize::try_from(bad / 4096 * 4096).unwrap();
    expected[sector..sector + 4096].fill(0);
    assert!(reader.read(pack, 0..end).unwrap() == expected);
    // A disk that fails as a whole is no damage.
    let missing = reader.read(PackId(7), 0..10);
    assert!(matches!(missing, Err(PackError::Missing { .. })));
    assert!(matches!(reader.read(pack, 0..end + 1), Err(PackError::Damaged { .. })));
}

/// Most frames of a few KiB are in one chunk, some in two: of either it is the
/// same bytes, from the disk and from memory, and damage in one of them refuses it.
#[test]
pub(super) fn a_tile_in_two_chunks_is_in_one_piece() {
    let disk = Faulty::new();
    let packs = on(disk.clone(), Options::default());
    let file = item(1, 200_000);
    let place = append(&packs, std::slice::from_ref(&file)).unwrap()[0];
    if packs.is_encrypted(place.pack) {
        return;
    }
    let sums = Hasher::hash(file.bytes()).chunks.0;
    assert_eq!(packs.read(&place, 0..200_000, 0, &sums).unwrap(), file.bytes());
    let tile = |range: std::ops::Range<u64>, first: u64| {
        let read = || packs.read(&place, range, first, &sums[first as usize..]);
        waiting::at_once(read).expect("it is in memory")
    };
    let (chunk, end) = (CHUNK_BYTES, 200_000);
    for start in [0, 1, chunk - 7_000, chunk - 1, chunk, 2 * chunk - 3, 3 * chunk - 6_999, end - 7_000] {
        let range = start..start + 7_000;
        let expected = &file.bytes()[start as usize..start as usize + 7_000];
        for _ in 0..2 {
            assert_eq!(tile(range.clone(), 0).unwrap(), expected, "from {start}");
            assert_eq!(tile(range.clone(), start / chunk).unwrap(), expected, "from {start}");
        }
    }
    let packs = on(disk.clone(), Options::default());
    assert_eq!(packs.read(&place, 0..200_000, 0, &sums).unwrap(), file.bytes());
    let mut damaged = disk.bytes(place.pack).unwrap();
    damaged[(place.offset + 2 * chunk - 1) as usize] ^= 1;
    disk.replace(place.pack, damaged);
    for range in [chunk - 5..chunk + 5, 2 * chunk - 5..2 * chunk + 5] {
        let read = waiting::at_once(|| packs.read(&place, range, 0, &sums)).expect("it is in memory");
        let Err(PackError::Damaged { offset, .. }) = read else { panic!("{read:?}") };
        assert_eq!(offset, place.offset + chunk);
    }
}
