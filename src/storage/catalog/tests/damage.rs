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
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    let new = instances();
    let catalog = Catalog::open(&file, Options::default(), resplit()).unwrap();
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
        let catalog = match Catalog::open(&file, Options { cache_bytes: 0 }, resplit()) {
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
    let catalog = Catalog::open(&file, Options::default(), resplit()).unwrap();
    assert_eq!(view(&catalog), seen);
    assert_eq!(refused(&catalog, &new), 0);
    drop(catalog);
    assert!(!checked::is_plain(&std::fs::read(&file).unwrap()));
    assert_eq!(view(&Catalog::open(&file, Options::default(), resplit()).unwrap()), seen);
    // One that is damaged already is not taken for right.
    let handle = OpenOptions::new().write(true).open(&plain).unwrap();
    for page in 1..handle.metadata().unwrap().len() / 4096 {
        handle.write_all_at(&[0x5A; 3], page * 4096 + 200).unwrap();
    }
    std::fs::copy(&plain, &file).unwrap();
    let opened = Catalog::open(&file, Options::default(), resplit());
    assert!(opened.is_err_and(|error| error.is_damage()));
}
