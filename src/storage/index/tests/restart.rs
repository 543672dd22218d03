//! What the index does after a restart: where it goes on, what it builds anew, and
//! what it finds of damage, in the clear and encrypted.

use super::*;

#[test]
fn a_new_start_goes_on_from_the_last_commit() {
    for options in [small(), encrypted()] {
        let folder = tempfile::tempdir().expect("a folder");
        let index = Index::create(folder.path(), options.clone()).expect("an index");
        put(&index, 1, &a_study("A"));
        index.commit(41).expect("a commit");
        put(&index, 2, &a_study("B"));
        assert_eq!(total(&index), 1, "what is not committed is not seen");
        drop(index);
        let Ok(Opened::Ready(index)) = Index::open(folder.path(), options.clone()) else {
            panic!("it opens")
        };
        assert_eq!((index.committed_seq(), index.reader().seq(), total(&index)), (41, 41, 1));
        // Tokenizers are there again, and the writer works.
        put(&index, 2, &a_study("Smith"));
        index.commit(42).expect("a commit");
        let mut query = Query::new(Resource::Studies);
        let pattern = Pattern { parts: vec![Part::Any, Part::Literal("mit".into()), Part::Any] };
        let test = NameTest { any_group: vec![pattern], ..NameTest::default() };
        query.keys.push(Key::new(tags::PATIENT_NAME, VR::PN, Level::Study, Test::Name(test)));
        let hits = index.search(&query, 0..10, &BTreeSet::new()).expect("a search");
        assert_eq!((hits.total, hits.exact, hits.rows[0].study_id), (1, true, 2));
    }
}

/// Killed after what a commit deletes was written, and before the commit: a server
/// did not start again, since the same file was to be written again.
#[test]
fn what_a_cut_off_commit_left_is_written_anew() {
    for options in [small(), encrypted()] {
        // The name is the number of an operation. A start does not count from where the
        // last one was, so which number of operations comes to the same one is tried.
        let met = (0..4).filter(|more| meets_what_was_left(&options, *more)).count();
        assert_eq!(met, 1, "one of them comes to the name of the file that was left");
    }
}

/// Whether an index that was cut off in a commit comes to the same file again, with so
/// many operations more than before.
fn meets_what_was_left(options: &Options, more: u64) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::create(folder.path(), options.clone()).expect("an index");
    (1..=10).for_each(|id| put(&index, id, &a_study("A")));
    index.commit(1).expect("a commit");
    let before = ["meta.json", ".managed.json"].map(|name| {
        let path = folder.path().join(name);
        (fs::read(&path).expect("a file"), path)
    });
    put(&index, 1, &a_study("B"));
    index.commit(2).expect("a commit");
    drop(index);
    for (bytes, path) in before {
        fs::write(path, bytes).expect("a file");
    }
    let files = fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let left: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "del")).collect();
    let [left] = left.as_slice() else { panic!("one file is left: {left:?}") };
    let file = fs::File::options().write(true).open(left).expect("a file");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
    let Ok(Opened::Ready(index)) = Index::open(folder.path(), options.clone()) else { panic!("it opens") };
    assert_eq!(index.committed_seq(), 1);
    (0..more).for_each(|id| index.remove(&uid_of(90 + id)).expect("it forgets what it does not have"));
    put(&index, 1, &a_study("B"));
    index.commit(2).expect("a commit");
    assert_eq!(total(&index), 10);
    fs::metadata(left).and_then(|file| file.modified()).expect("a time") > SystemTime::UNIX_EPOCH
}

#[test]
fn an_empty_folder_is_built_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(Index::open(folder.path(), small()), Ok(Opened::Rebuild(_))));
    assert!(matches!(Index::open(&folder.path().join("none"), small()), Ok(Opened::Rebuild(_))));
    let index = Index::create(&folder.path().join("none"), small()).expect("an index");
    assert_eq!((index.committed_seq(), total(&index)), (0, 0));
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::create(folder.path(), small()).expect("an index");
    assert!(Index::open(folder.path(), small()).is_err());
    drop(index);
    // The file of the lock stays, the lock does not.
    assert!(matches!(Index::open(folder.path(), small()), Ok(Opened::Ready(_))));
}

#[test]
fn another_format_is_built_anew() {
    assert_eq!(read_payload(&write_payload(7, 8)), Some((7, 8)));
    for payload in
        ["", "hilum-index", "hilum-index 1 7", "hilum-index 2 7", "hilum-index 2 x 8", "hilum-index 2 7 8 9"]
    {
        assert_eq!(read_payload(payload), None, "{payload}");
    }
}

#[test]
fn damage_is_found_and_built_anew() {
    for options in [small(), encrypted()] {
        let folder = tempfile::tempdir().expect("a folder");
        let index = Index::create(folder.path(), options.clone()).expect("an index");
        put(&index, 1, &a_study("A"));
        index.commit(1).expect("a commit");
        drop(index);
        let files: Vec<_> = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| fs::metadata(path).is_ok_and(|meta| meta.len() > 0))
            .filter(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')))
            .collect();
        for path in &files {
            let whole = fs::read(path).expect("a file");
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 0x5A;
            for damaged in [&whole[..whole.len() / 2], &[], &flipped[..]] {
                fs::write(path, damaged).expect("a file");
                match Index::open(folder.path(), options.clone()) {
                    Ok(Opened::Rebuild(_)) => {}
                    Ok(Opened::Ready(index)) => {
                        // Damage where nothing depends on it.
                        assert_eq!((index.committed_seq(), total(&index)), (1, 1), "{}", path.display());
                    }
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
            fs::write(path, whole).expect("a file");
        }
        let index =
            Index::create(folder.path(), options.clone()).expect("a new index in place of the damaged one");
        assert_eq!(total(&index), 0);
    }
}

#[test]
fn a_failed_commit_loses_only_what_was_not_committed() {
    for options in [small(), encrypted()] {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("index");
        let index = Index::create(&place, options.clone()).expect("an index");
        put(&index, 1, &a_study("A"));
        index.commit(1).expect("a commit");
        let away = folder.path().join("away");
        fs::rename(&place, &away).expect("a move");
        // The thread that writes finds out at once or later: then a put hears of it, or the commit.
        let _ = try_put(&index, 2, &a_study("B"));
        assert!(index.commit(2).is_err(), "the folder is gone");
        assert!(index.commit(2).is_err(), "and stays so");
        assert_eq!((index.committed_seq(), total(&index)), (1, 1), "what was committed is still searched");
        fs::rename(&away, &place).expect("a move");
        // Fed again from the last commit, it goes on.
        put(&index, 2, &a_study("B"));
        put(&index, 3, &a_study("C"));
        index.commit(3).expect("a commit");
        assert_eq!((index.committed_seq(), total(&index)), (3, 3));
    }
}

fn bytes_of(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    files.flat_map(|path| fs::read(path).expect("a file")).collect()
}

/// What was read once is in memory; damage that comes to the disk later is found
/// all the same.
#[test]
fn damage_is_found_while_it_is_in_use() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::create(folder.path(), encrypted()).expect("an index");
    for id in 0..300 {
        put(&index, id, &a_study(&format!("Name{id}")));
    }
    index.commit(1).expect("a commit");
    assert!(index.damaged_files().expect("a list").is_empty());
    assert_eq!(total(&index), 300);
    let files = fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (mut found, mut tried) = (0, 0);
    for path in files
        .filter(|path| path.extension().is_some_and(|extension| extension != "json" && extension != "lock"))
    {
        let whole = fs::read(&path).expect("a file");
        let mut bytes = whole.clone();
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&path, bytes).expect("written");
        tried += 1;
        found += index.damaged_files().expect("a list").len();
        fs::write(&path, whole).expect("written");
    }
    assert!(tried > 3 && found == tried, "{found} of {tried}");
    assert!(index.damaged_files().expect("a list").is_empty());
}

#[test]
fn with_keys_nothing_stands_in_the_clear() {
    let folder = tempfile::tempdir().expect("a folder");
    let says = |marker: &str| memchr::memmem::find(&bytes_of(folder.path()), marker.as_bytes()).is_some();
    let fill = |index: &Index| {
        for id in 0..3000 {
            put(index, id, &a_study(&format!("Qwxzname{id}")));
        }
        index.commit(1).expect("a commit");
        assert_eq!(total(index), 3000);
    };
    let index = Index::create(folder.path(), small()).expect("an index");
    fill(&index);
    drop(index);
    assert!(says("qwxz") && says("hilum-index"), "they are found where they are");
    // One in the clear is not gone on with, and goes when another takes its place.
    let options = encrypted();
    assert!(matches!(Index::open(folder.path(), options.clone()), Ok(Opened::Rebuild(_))));
    let index = Index::create(folder.path(), options.clone()).expect("an index");
    assert!(!says("qwxz"));
    fill(&index);
    drop(index);
    assert!(!says("qwxz") && !says("Qwxz") && !says("hilum-index"));
    let Ok(Opened::Ready(index)) = Index::open(folder.path(), options.clone()) else { panic!("it opens") };
    assert_eq!((index.committed_seq(), total(&index)), (1, 3000));
    assert!(index.damaged_files().expect("a list").is_empty());
    drop(index);
    // Under another master key it goes on; without its keys it does not.
    let rotated =
        options.ring.as_ref().map(|ring| ring.rotate(&Master::random().expect("a key"), 9).expect("a ring"));
    let Ok(Opened::Ready(index)) = Index::open(folder.path(), Options { ring: rotated, ..small() }) else {
        panic!("it opens")
    };
    put(&index, 1, &a_study("B"));
    index.commit(2).expect("a commit");
    assert_eq!(total(&index), 3000);
    drop(index);
    for options in [small(), encrypted()] {
        assert!(matches!(Index::open(folder.path(), options), Ok(Opened::Rebuild(_))));
    }
}
