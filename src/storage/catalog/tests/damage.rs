//! Damage to the file: whatever is read is right or an error, and what does
//! not lie in the damage can still be read and written.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use super::*;

const STUDIES: u8 = 6;

fn instances() -> Vec<NewInstance> {
    let of = |study: u8| (1..=20).map(move |instance| (study, instance));
    (1..=STUDIES)
        .flat_map(of)
        .map(|(study, instance)| {
            let stamp = u64::from(study) * 1000 + u64::from(instance);
            let mut new = version(&path(study, study, study * 20 + instance), stamp);
            // Some in the row, some in the table of parts, some of many pages.
            new.chunks = Chunks(vec![stamp as u32; usize::from(instance) * 120]);
            new
        })
        .collect()
}

/// How many reads were refused; all others are right.
fn refused(catalog: &Catalog, expected: &[NewInstance]) -> usize {
    let mut refused = 0;
    for new in expected {
        let read = || -> Result<(), CatalogError> {
            let snapshot = catalog.read()?;
            let row = snapshot.instance(&new.path)?.expect("LOST");
            assert!((row.stamp, row.place, row.digest) == (new.stamp, new.place, new.digest), "WRONG");
            assert!(row.summary()? == new.summary, "WRONG");
            assert!(snapshot.chunks_of(&row, 0..u64::MAX / 2)?.1 == new.chunks.0, "WRONG");
            assert!(snapshot.metadata_of(&new.path)?.expect("LOST") == new.metadata, "WRONG");
            assert_eq!(snapshot.locate(&new.path.instance)?.as_ref(), Some(&new.path));
            let study = snapshot.study(&new.path.study)?.expect("LOST");
            assert_eq!(study.instances, 20);
            Ok(())
        };
        refused += usize::from(read().is_err());
    }
    refused
}

#[test]
fn damage_is_never_read() {
    damage(None);
}

#[test]
fn damage_of_a_sealed_one_is_never_read() {
    damage(Some(&ring()));
}

fn damage(ring: Option<&Keyring>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    let new = instances();
    let catalog = Catalog::open(&file, Options::default(), ring, resplit()).unwrap();
    let changes: Vec<Change> = new.iter().cloned().map(|new| store(new, Rule::Reject)).collect();
    for changes in changes.chunks(7) {
        catalog.apply(changes, Durability::Durable).unwrap();
    }
    drop(catalog);
    let whole = std::fs::read(&file).unwrap();
    let blocks = whole.len() / 4096;
    let (mut not_opened, mut met, mut some_refused, mut all_right) = (0, 0, 0, 0);
    for block in (0..blocks).step_by(5) {
        let mut bytes = whole.clone();
        let page = block * 4096..(block + 1) * 4096;
        if bytes[page.clone()].iter().all(|&byte| byte == 0) {
            continue;
        }
        match block % 4 {
            0 => bytes[page.start + block % 4096] ^= 1 << (block % 8),
            1 => bytes[page].fill(0),
            2 => bytes.copy_within(
                (page.start + 4096) % (blocks * 4096)..(page.start + 4096) % (blocks * 4096) + 4096,
                page.start,
            ),
            _ => bytes[page.start + (block * 31) % 4096] ^= 0x80,
        }
        // Before it is opened (a debug build of redb looks at every page then),
        // or while it is in use, with nothing of it in memory.
        let while_open = block % 3 > 0;
        std::fs::write(&file, if while_open { &whole } else { &bytes }).unwrap();
        let catalog = match Catalog::open(&file, Options { cache_bytes: 0 }, ring, resplit()) {
            Ok(catalog) => catalog,
            Err(error) => {
                assert!(!while_open && error.is_damage(), "{error:?}");
                not_opened += 1;
                continue;
            }
        };
        if while_open {
            let handle = OpenOptions::new().write(true).open(&file).unwrap();
            handle.write_all_at(&bytes[block * 4096..][..4096], block as u64 * 4096).unwrap();
        }
        let refused = refused(&catalog, &new);
        met += usize::from(catalog.damaged_reads() > 0);
        if refused > 0 {
            some_refused += 1;
            assert!(catalog.damaged_reads() > 0);
        } else {
            all_right += 1;
        }
        // The rest is written to as before, or that is refused too.
        let more = version(&path(200, 200, 200), 900_000);
        if catalog.apply(&[store(more.clone(), Rule::Reject)], Durability::Durable).is_ok() {
            let row = catalog.read().unwrap().instance(&more.path);
            assert!(row.is_err() || row.unwrap().is_some());
        }
    }
    println!(
        "{blocks} blocks: {not_opened} not opened, {some_refused} refused some, {all_right} refused none, {met} met"
    );
    assert!(some_refused > 3 && not_opened > 0);
}

/// A page that cannot be read fails who needs it, and none after that.
#[test]
fn a_catalog_without_checksums_gets_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    let new = instances();
    let open_plain = || {
        let plain = folder.path().join("plain");
        let opener = move || Database::create(&plain);
        Catalog::open_with(Path::new("plain"), Box::new(opener), resplit(), Arc::default()).unwrap()
    };
    let catalog = open_plain();
    let changes: Vec<Change> = new.iter().cloned().map(|new| store(new, Rule::Reject)).collect();
    catalog.apply(&changes, Durability::Durable).unwrap();
    let seen = view(&catalog);
    drop(catalog);
    let plain = folder.path().join("plain");
    std::fs::copy(&plain, &file).unwrap();
    let catalog = Catalog::open(&file, Options::default(), None, resplit()).unwrap();
    assert_eq!(view(&catalog), seen);
    assert_eq!(refused(&catalog, &new), 0);
    drop(catalog);
    assert!(!checked::is_plain(&std::fs::read(&file).unwrap()));
    assert_eq!(view(&Catalog::open(&file, Options::default(), None, resplit()).unwrap()), seen);
    // One that is damaged already is not taken for right.
    let handle = OpenOptions::new().write(true).open(&plain).unwrap();
    for page in 1..handle.metadata().unwrap().len() / 4096 {
        handle.write_all_at(&[0x5A; 3], page * 4096 + 200).unwrap();
    }
    std::fs::copy(&plain, &file).unwrap();
    let opened = Catalog::open(&file, Options::default(), None, resplit());
    assert!(opened.is_err_and(|error| error.is_damage()));
}

/// With keys a catalog in the clear becomes an encrypted one, from whatever state
/// a crash left it in, and nothing in the clear remains.
#[test]
fn a_catalog_in_the_clear_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    let new = instances();
    let open = |ring: Option<&Keyring>| Catalog::open(&file, Options::default(), ring, resplit());
    let catalog = open(None).unwrap();
    let changes: Vec<Change> = new.iter().cloned().map(|new| store(new, Rule::Reject)).collect();
    let (durable, lost) = changes.split_at(60);
    catalog.apply(durable, Durability::Durable).unwrap();
    let seen = view(&catalog);
    // A process that is killed: blocks are in the file, their checksums are not.
    catalog.apply(lost, Durability::Fast).unwrap();
    let killed = std::fs::read(&file).unwrap();
    drop(catalog);
    let (ring, marker) = (ring(), b"1.2.840.10008.5.1.4.1.1");
    let in_the_clear = |bytes: &[u8]| memchr::memmem::find(bytes, marker).is_some();
    assert!(in_the_clear(&killed), "it is found where it is");
    for name in ["catalog.new", "catalog.damaged-5.redb", "catalog.replaced-6.redb"] {
        std::fs::write(folder.path().join(name), &killed).unwrap();
    }
    std::fs::write(&file, &killed).unwrap();
    let catalog = open(Some(&ring)).unwrap();
    assert_eq!(view(&catalog), seen);
    assert_eq!(catalog.damaged_reads(), 0);
    catalog.apply(lost, Durability::Durable).unwrap();
    let all = view(&catalog);
    drop(catalog);
    assert_eq!(refused(&open(Some(&ring)).unwrap(), &new), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let sealed = std::fs::read(&file).unwrap();
    assert!(!in_the_clear(&sealed));
    // Without its keys it is not damaged: it is refused, and stays as it is.
    for ring in [None, Some(&Keyring::begin(&Master::random().unwrap(), 1).unwrap())] {
        let refused = open(ring).unwrap_err();
        assert!(!refused.is_damage(), "{refused:?}");
    }
    assert!(std::fs::read(&file).unwrap() == sealed);
    // After another master key it is as it was, under the key that it has.
    let rotated = ring.rotate(&Master::random().unwrap(), 9).unwrap();
    assert_eq!(view(&open(Some(&rotated)).unwrap()), all);
    assert!(
        Catalog::open(&folder.path().join("other.redb"), Options::default(), Some(&rotated), resplit())
            .is_ok()
    );
    // A ring from before the key of a catalog.
    let older = Catalog::open(&folder.path().join("other.redb"), Options::default(), Some(&ring), resplit());
    assert!(older.is_err_and(|error| !error.is_damage()));
}

/// Blocks and seals of one catalog are nothing to another, nor at another place.
#[test]
fn a_block_opens_in_its_place_only() {
    let folder = tempfile::tempdir().unwrap();
    let (ring, new) = (ring(), instances());
    let changes: Vec<Change> = new.iter().cloned().map(|new| store(new, Rule::Reject)).collect();
    let files = ["a.redb", "b.redb"].map(|name| folder.path().join(name));
    for file in &files {
        let catalog = Catalog::open(file, Options::default(), Some(&ring), resplit()).unwrap();
        catalog.apply(&changes, Durability::Durable).unwrap();
    }
    let [a, b] = files.each_ref().map(|file| std::fs::read(file).unwrap());
    assert_eq!(a.len(), b.len());
    // All but what says which key it has.
    std::fs::write(&files[0], [&a[..4096], &b[4096..]].concat()).unwrap();
    let opened = Catalog::open(&files[0], Options::default(), Some(&ring), resplit());
    assert!(opened.is_err_and(|error| error.is_damage()));
    let alike = a.chunks(4096).zip(b.chunks(4096)).filter(|(a, b)| a == b && a.iter().any(|&byte| byte != 0));
    assert_eq!(alike.count(), 0);
}
