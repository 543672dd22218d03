//! A disk that fails while it is being written.

use super::super::faulty::Fault;
use super::*;

/// The disk fails at each operation in turn; what was acknowledged stays, what
/// was refused is gone, and the store goes on.
#[test]
pub(super) fn every_operation_may_fail() {
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
pub(super) fn a_full_disk_recovers() {
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
    assert_eq!(disk.bytes(PackId(2)).unwrap(), [0; 1024]);
    drop(stream);
    append(&packs, &[item(1, 100)]).unwrap();
    upload(&packs, &item(2, 100)).unwrap();
    assert_eq!(packs.list().len(), 2);
}

/// A process that died may have written what it had not flushed. Who replays it
/// may rely on it, also if the power fails next.
#[test]
pub(super) fn what_was_replayed_is_durable() {
    let disk = Faulty::new();
    let stored = [item(1, 5_000), tombstone(2), item(3, 100)];
    let pack = append(&on(disk.clone(), Options::default()), &stored).unwrap()[0].pack;
    let bytes = disk.bytes(pack).unwrap();
    for seed in 0..20 {
        let disk = disk.another();
        let file = disk.create(pack).unwrap();
        file.write_all_at(&mut [io::IoSlice::new(&bytes)], 0).unwrap();
        let disk = disk.restart();
        assert_eq!(items(&on(disk.clone(), Options::default()), pack, 0).0, stored);
        assert_eq!(recover(&on(disk.crash(seed), Options::default())), stored);
    }
}

/// After a failed flush Linux forgets what it could not write: a second flush
/// of the same file would say all is well.
#[test]
pub(super) fn a_failed_flush_is_never_repeated() {
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

/// Of a study that is deleted the records of all instances were in memory at once,
/// however many. They are written in several parts since, of which none is there
/// when one fails.
#[test]
fn a_deletion_of_very_many() {
    let first = item(0, 100);
    let many: Vec<Item> = (1..=2500).map(tombstone).collect();
    let found = |packs: &Packs| {
        let found = packs.list().into_iter().flat_map(|info| items(packs, info.pack, 0).0);
        found.collect::<Vec<Item>>()
    };
    // Three parts, the first record of all, the flush.
    for at in 0..6 {
        let disk = Faulty::new();
        let packs = on(disk.clone(), Options::default());
        append(&packs, std::slice::from_ref(&first)).unwrap();
        disk.fail(at, Fault::NoSpace);
        let refused = append(&packs, &many);
        assert_eq!(refused.is_err(), at < 5, "{at}");
        if refused.is_err() {
            assert!(found(&packs) == [first.clone()], "{at}");
            append(&packs, &many).unwrap();
        }
        let all: Vec<Item> = [first.clone()].into_iter().chain(many.clone()).collect();
        assert!(found(&packs) == all, "{at}");
        assert!(recover(&on(disk.crash(at), Options::default())) == all, "{at}");
    }
}
