//! Packs whose files are encrypted: the same tests once more, and what is only
//! theirs.

use std::cell::Cell;

use super::*;
use crate::storage::CHUNK_BYTES;
use crate::storage::seal::{KeyError, Master, SEAL_BYTES, sealed_length};

thread_local! {
    pub(super) static ENCRYPTED: Cell<bool> = const { Cell::new(false) };
}

/// The key of a test that runs with encryption.
pub(super) fn master() -> Option<Master> {
    ENCRYPTED.get().then(|| key("1"))
}

fn key(digit: &str) -> Master {
    Master::parse(&digit.repeat(64)).unwrap()
}

/// Bytes that so many from the start of a file take in a pack.
pub(super) fn stored(packs: &Packs, pack: PackId, length: u64) -> u64 {
    if packs.is_encrypted(pack) { sealed_length(length).unwrap() } else { length }
}

fn encrypted(test: fn()) {
    ENCRYPTED.set(true);
    test();
}

#[test]
fn the_contract_with_encryption() {
    encrypted(local_keeps_the_contract);
    encrypted(faulty_keeps_the_contract);
    encrypted(tiered::a_pack_moves_and_is_read);
    encrypted(tiered::damage_here_and_there);
    encrypted(tiered::a_mirror_outlives_its_disk);
}

#[test]
fn batches_and_threads_with_encryption() {
    encrypted(a_batch_of_more_parts_than_one_write_takes);
    encrypted(many_at_once);
}

#[test]
fn damage_with_encryption() {
    encrypted(damage::a_torn_tail_at_every_byte);
    encrypted(damage::damage_costs_what_it_lies_in);
    encrypted(damage::what_the_disk_refuses_is_passed_over);
    encrypted(damage::checksums_name_the_chunk);
    encrypted(damage::a_stored_pack_is_not_replayed);
}

#[test]
fn faults_with_encryption() {
    encrypted(faults::every_operation_may_fail);
    encrypted(faults::a_full_disk_recovers);
    encrypted(faults::what_was_replayed_is_durable);
    encrypted(faults::a_failed_flush_is_never_repeated);
}

fn with_key(disk: &Faulty, key: &Master) -> Packs {
    let packs = Packs::open_on(Arc::new(disk.restart()), Options::default()).unwrap();
    packs.unlock(Some(key)).unwrap();
    packs
}

#[test]
fn nothing_of_a_file_stands_in_a_pack() {
    let disk = Faulty::new();
    let packs = with_key(&disk, &key("1"));
    let marker = b"DOE^JANE planted in the clear".repeat(9_000);
    let item = |number| Item { bytes: Some(marker.clone()), ..item(number, 0) };
    let places = [append(&packs, &[item(1)]).unwrap()[0], upload(&packs, &item(2)).unwrap()];
    let digest = item(1).digest();
    for place in places {
        packs.verify(&place, &digest).unwrap();
        let bytes = disk.bytes(place.pack).unwrap();
        let has = |needle: &[u8]| memchr::memmem::find(&bytes, needle).is_some();
        assert!(!has(b"DOE^JANE") && !has(digest.to_string().as_bytes()) && has(b".dcm.enc"));
    }
}

/// Without its key, or without the ring, an archive is refused and stays as it is.
#[test]
fn no_key_is_not_damage() {
    let disk = Faulty::new();
    let stored = [item(1, 100_000), item(2, 10)];
    let packs = with_key(&disk, &key("1"));
    let place = append(&packs, &stored).unwrap()[0];
    let bytes = disk.bytes(place.pack).unwrap();
    let unlock = |disk: &Faulty, key: Option<Master>| {
        let packs = Packs::open_on(Arc::new(disk.restart()), Options::default()).unwrap();
        (packs.unlock(key.as_ref()), packs)
    };
    assert!(matches!(unlock(&disk, None).0, Err(PackError::Keys(KeyError::None { .. }))));
    assert!(matches!(unlock(&disk, Some(key("2"))).0, Err(PackError::Keys(KeyError::Wrong { .. }))));
    let lost = Faulty::new();
    lost.replace(place.pack, bytes.clone());
    for key in [None, Some(key("1"))] {
        let (refused, packs) = unlock(&lost, key);
        assert!(matches!(refused, Err(PackError::Keys(KeyError::Lost { .. }))));
        // Nor by whoever goes on all the same.
        let chunks = Hasher::hash(stored[0].bytes()).chunks;
        let read = packs.read(&place, 0..10, 0, &chunks.0);
        assert!(matches!(read, Err(PackError::Keys(KeyError::Lost { .. }))), "{read:?}");
        let verified = packs.verify(&place, &stored[0].digest());
        assert!(matches!(verified, Err(PackError::Keys(_))));
        let replayed = packs.replay(place.pack, 0, &mut |_| ControlFlow::Continue(()));
        assert!(matches!(replayed, Err(PackError::Keys(_))));
    }
    assert_eq!(lost.bytes(place.pack).unwrap(), bytes);
    assert_eq!(items(&with_key(&disk, &key("1")), place.pack, 0).0, stored);
}

/// Encryption is switched on where files lie in the clear: both are read, and
/// nothing more is put beside the old ones.
#[test]
fn old_packs_in_the_clear_and_new_ones() {
    let disk = Faulty::new();
    let packs = on(disk.clone(), Options::default());
    let old = [append(&packs, &[item(1, 5_000)]).unwrap()[0], upload(&packs, &item(2, 5_000)).unwrap()];
    let packs = with_key(&disk, &key("1"));
    assert_eq!(recover(&packs), [item(1, 5_000), item(2, 5_000)]);
    assert!(packs.list().iter().all(|info| info.standing == Standing::Sealed));
    let new = [append(&packs, &[item(3, 5_000)]).unwrap()[0], upload(&packs, &item(4, 5_000)).unwrap()];
    assert!(old.iter().all(|place| !packs.is_encrypted(place.pack)));
    assert!(new.iter().all(|place| packs.is_encrypted(place.pack)));
    let numbers: Vec<_> =
        recover(&with_key(&disk, &key("1"))).into_iter().map(|item| item.stamp.0 % 10).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn another_master_key_and_not_a_byte_of_a_pack() {
    let disk = Faulty::new();
    let packs = with_key(&disk, &key("1"));
    let before = append(&packs, &[item(1, 90_000)]).unwrap()[0];
    let bytes = disk.bytes(before.pack).unwrap();
    let ring = packs.rotate(&key("2")).unwrap();
    assert_eq!((ring.master(), ring.keys().len()), (key("2").id(), 2));
    assert_eq!(disk.bytes(before.pack).unwrap(), bytes);

    let old = Packs::open_on(Arc::new(disk.restart()), Options::default()).unwrap();
    assert!(matches!(old.unlock(Some(&key("1"))), Err(PackError::Keys(KeyError::Wrong { .. }))));
    let packs = with_key(&disk, &key("2"));
    assert_eq!(recover(&packs), [item(1, 90_000)]);
    // New files are under the new data key, so not in the old pack.
    let after = append(&packs, &[item(2, 90_000)]).unwrap()[0];
    assert_ne!(after.pack, before.pack);
    assert_eq!(recover(&with_key(&disk, &key("2"))), [item(1, 90_000), item(2, 90_000)]);
}

/// Parts of an encrypted file that change places, or come from another file.
#[test]
fn chunks_of_elsewhere_do_not_pass() {
    let disk = Faulty::new();
    let packs = with_key(&disk, &key("1"));
    let items = [item(1, 200_000), item(2, 200_000)];
    let places = append(&packs, &items).unwrap();
    let chunks = Hasher::hash(items[0].bytes()).chunks;
    let bytes = disk.bytes(places[0].pack).unwrap();
    let chunk = CHUNK_BYTES as usize + SEAL_BYTES;
    let [a, b] = [places[0].offset as usize, places[1].offset as usize];
    let mut swapped = bytes.clone();
    swapped[a..a + 2 * chunk].rotate_left(chunk);
    let mut from_other = bytes.clone();
    from_other[a..a + chunk].copy_from_slice(&bytes[b..b + chunk]);
    let mut of_tag = bytes.clone();
    of_tag[a + CHUNK_BYTES as usize + 3] ^= 1;
    let mut of_nonce = bytes.clone();
    of_nonce[a + chunk - 1] ^= 1;
    for damaged in [swapped, from_other, of_tag, of_nonce] {
        let disk = disk.another();
        disk.replace(places[0].pack, damaged);
        let packs = with_key(&disk, &key("1"));
        let read = packs.read(&places[0], 0..10, 0, &chunks.0);
        assert!(
            matches!(read, Err(PackError::Damaged { why: Why::Seal, offset, .. }) if offset == places[0].offset)
        );
        let (seen, _) = replay(&packs, places[0].pack, 0);
        assert!(matches!(&seen[0], Replayed::Damaged(Damage { why: Why::Seal, .. })));
        assert!(matches!(&seen[1], Replayed::File { .. }));
    }
    // The whole file, record and all, in the place of the other: not there.
    let mut moved = bytes.clone();
    let length = b - a;
    moved.copy_within(a - 1536..a - 1536 + length, b - 1536);
    let disk = disk.another();
    disk.replace(places[0].pack, moved);
    let (seen, _) = replay(&with_key(&disk, &key("1")), places[0].pack, 0);
    assert_eq!(seen.len(), 1);
}

/// A disk that tells which bytes it was asked for.
#[test]
fn a_range_reads_its_chunks_only() {
    let disk = Faulty::new();
    let packs = with_key(&disk, &key("1"));
    let item = item(1, 5_000_000);
    let place = append(&packs, std::slice::from_ref(&item)).unwrap()[0];
    let chunks = Hasher::hash(item.bytes()).chunks;
    let range = 3_000_000..3_000_100_u64;
    let chunk = CHUNK_BYTES + SEAL_BYTES as u64;
    let first = place.offset + range.start / CHUNK_BYTES * chunk;
    // All but the chunk that the range is in cannot be read.
    disk.refuse(place.pack, 0..first);
    disk.refuse(place.pack, first + chunk..u64::MAX);
    let found = packs.read(&place, range.clone(), 0, &chunks.0).unwrap();
    assert_eq!(found, &item.bytes()[3_000_000..3_000_100]);
    let mut buffer = [0; 100];
    packs.source(&place).unwrap().read_exact_at(&mut buffer, range.start).unwrap();
    assert_eq!(buffer, item.bytes()[3_000_000..3_000_100]);
    assert!(packs.read(&place, range.start - CHUNK_BYTES..range.end, 0, &chunks.0).is_err());
}
