//! One story a test: what each rule does, seen from outside.

use super::*;

#[test]
fn what_is_stored_can_be_read() {
    let catalog = memory();
    let mut new = version(&path(1, 1, 1), 10);
    new.frames = FrameTable::Native { offset: 1000, frame_bits: 12, frames: 3 };
    new.bulk = vec![Bulk { path: "7FE00010".into(), offset: 1000, length: 5 }];
    let applied = fast(&catalog, &[store(new, Rule::Reject)]);
    assert_eq!(applied.outcomes, [Outcome::Stored { seq: 1, replaced: None }]);
    assert_eq!(applied.changed, [study_uid(1)]);
    view(&catalog);

    let read = catalog.read().unwrap();
    let row = read.instance(&path(1, 1, 1)).unwrap().unwrap();
    assert_eq!(row.transfer_syntax, "1.2.840.10008.1.2.1");
    assert_eq!(read.chunks(&row).unwrap(), Chunks(vec![10]), "the file has one chunk");
    let frame = read.frame(&row, 1).unwrap().unwrap();
    assert_eq!((frame.offset, frame.length), (1001, 2), "bits 12 to 24");
    assert_eq!(read.frame(&row, 3).unwrap(), None);
    assert_eq!(read.bulk(&row, "7FE00010").unwrap().unwrap().offset, 1000);
    assert_eq!(read.bulk(&row, "7FE00011").unwrap(), None);
    assert_eq!(read.instance(&path(1, 1, 2)).unwrap(), None);
    assert_eq!(read.tombstone(&Target::Instance(path(1, 1, 2))).unwrap(), None);
    let entry = read.feed(0, 9).unwrap().remove(0);
    assert_eq!((entry.kind, entry.path, entry.stamp), (FeedKind::Stored, path(1, 1, 1), Stamp(10)));
}

#[test]
fn computed_attributes() {
    let catalog = memory();
    let changes = [(1, 1, 3), (1, 2, 4), (2, 3, 8)]
        .map(|(series, instance, stamp)| store(version(&path(1, series, instance), stamp), Rule::Reject));
    fast(&catalog, &changes);
    let read = catalog.read().unwrap();
    let set = read.study(&study_uid(1)).unwrap().unwrap().computed();
    let texts = |tag| {
        let Value::Text(texts) = &set.get(tag).unwrap().value else { panic!("{tag} is no text") };
        texts.clone()
    };
    // What the newest instance of each series says.
    assert_eq!(texts(Tag(0x0008, 0x0061)), ["MR", "US"]);
    assert_eq!(texts(Tag(0x0008, 0x0062)), ["1.2.840.10008.5.1.4.1.1.0", "1.2.840.10008.5.1.4.1.1.1"]);
    assert_eq!(texts(Tag(0x0020, 0x1206)), ["2"]);
    assert_eq!(texts(Tag(0x0020, 0x1208)), ["3"]);
    assert_eq!(texts(Tag(0x0010, 0x0020)), ["P8"]);
    let series = read.series(&path(1, 1, 1).series_path()).unwrap().unwrap().computed();
    assert_eq!(series.first_text(Tag(0x0020, 0x1209)), Some("2"));
    assert_eq!(series.first_text(Tag(0x0020, 0x000D)), Some("1.2.1"));
}

#[test]
fn duplicates() {
    let catalog = memory();
    let here = path(1, 1, 1);
    let first = version(&here, 10);
    let again = NewInstance { stamp: Stamp(11), ..first.clone() };
    // The second of one batch meets the first of the same batch.
    let applied = fast(&catalog, &[store(first, Rule::Reject), store(again.clone(), Rule::Replace)]);
    assert_eq!(applied.outcomes[1], Outcome::AlreadyThere);
    let conflict = Outcome::Conflict { existing: here.clone() };
    let elsewhere = NewInstance { path: path(2, 1, 1), ..again };
    for other in [version(&here, 12), elsewhere] {
        assert_eq!(fast(&catalog, &[store(other, Rule::Reject)]).outcomes, std::slice::from_ref(&conflict));
    }
    // Nor does any rule let a SOP Instance UID be under two paths.
    for elsewhere in [path(2, 1, 1), path(1, 2, 1)] {
        let other = version(&elsewhere, 12);
        let kept = NewInstance { role: Role::Kept, ..other.clone() };
        for other in [other, kept] {
            let applied = fast(&catalog, &[store(other, Rule::Replace)]);
            assert_eq!(applied.outcomes, std::slice::from_ref(&conflict));
        }
    }
    let replaced = fast(&catalog, &[store(version(&here, 13), Rule::Replace)]);
    let was = version(&here, 10).place;
    assert_eq!(replaced.outcomes, [Outcome::Stored { seq: 2, replaced: Some(was) }]);
    assert_eq!(replaced.changed, [study_uid(1)]);
    let kept = NewInstance { role: Role::Kept, ..version(&here, 14) };
    let applied = fast(&catalog, &[store(kept.clone(), Rule::Reject)]);
    assert_eq!((applied.outcomes, applied.changed), (vec![Outcome::Kept { beside: true }], Vec::new()));
    let seen = view(&catalog);
    assert_eq!((seen.instances.len(), seen.versions.len()), (1, 2));
    assert_eq!(seen.instances[&here].stamp, Stamp(13));
    assert_eq!(seen.packs[&was.pack].dead_bytes, 0, "the bytes of a version live");
    // A version is found in another pack as an instance is.
    let place = Place { pack: PackId(9), ..was };
    let moved = Change::Move { path: here.clone(), stamp: Stamp(10), place };
    assert_eq!(fast(&catalog, &[moved]).outcomes, [Outcome::Moved]);
    assert_eq!(view(&catalog).packs[&was.pack].dead_bytes, was.length);
    // It goes with its instance.
    fast(&catalog, &[delete(Target::Series(here.series_path()), 20)]);
    let seen = view(&catalog);
    assert_eq!((seen.instances.len(), seen.versions.len()), (0, 0));
    assert_eq!(seen.packs.values().map(|pack| pack.live_bytes).sum::<u64>(), 0);
    let kinds: Vec<_> = catalog
        .read()
        .unwrap()
        .feed(0, 9)
        .unwrap()
        .into_iter()
        .map(|entry| (entry.kind, entry.path))
        .collect();
    assert_eq!(
        kinds,
        [(FeedKind::Stored, here.clone()), (FeedKind::Replaced, here.clone()), (FeedKind::Deleted, here)]
    );
}

#[test]
fn gone_and_back() {
    let catalog = memory();
    let here = path(1, 1, 1);
    let gone = |target: Target| catalog.read().unwrap().tombstone(&target).unwrap();
    let series = || Target::Series(here.series_path());
    fast(&catalog, &[1, 2, 3].map(|i| store(version(&path(1, 1, i), 10 + u64::from(i)), Rule::Reject)));
    let applied = fast(&catalog, &[delete(Target::Instance(here.clone()), 20)]);
    assert_eq!(applied.outcomes, [Outcome::Deleted { instances: vec![here.clone()] }]);
    assert_eq!(gone(Target::Instance(here.clone())), Some(Stamp(20)));
    assert_eq!(gone(series()), None, "two are left");
    let applied = fast(&catalog, &[delete(Target::Study(study_uid(1)), 21)]);
    assert_eq!(applied.outcomes, [Outcome::Deleted { instances: vec![path(1, 1, 2), path(1, 1, 3)] }]);
    for target in [series(), Target::Study(study_uid(1)), Target::Instance(path(1, 1, 3))] {
        assert!(gone(target).is_some());
    }
    assert_eq!(gone(Target::Study(study_uid(2))), None, "never there");
    assert_eq!(fast(&catalog, &[delete(Target::Study(study_uid(1)), 22)]).outcomes, [Outcome::NotFound]);
    let empty = view(&catalog);
    assert_eq!((empty.studies.len(), empty.bytes), (0, 0));
    assert_eq!(empty.packs.values().map(|pack| pack.live_files).sum::<u64>(), 0);
    let entry = catalog.read().unwrap().feed(3, 1).unwrap().remove(0);
    assert_eq!((entry.kind, entry.by.as_str()), (FeedKind::Deleted, "someone"));

    let back = fast(&catalog, &[store(version(&here, 30), Rule::Reject)]);
    assert_eq!(back.outcomes, [Outcome::Stored { seq: 7, replaced: None }]);
    assert_eq!(gone(Target::Instance(here.clone())), None);
    assert_eq!(gone(series()), None);
    assert_eq!(gone(Target::Instance(path(1, 1, 2))), Some(Stamp(21)));
    view(&catalog);
}

#[test]
fn the_next_newest_speaks_for_its_study() {
    let catalog = memory();
    let stored = [(1, 1, 10), (1, 2, 11), (2, 3, 12)]
        .map(|(series, instance, stamp)| store(version(&path(1, series, instance), stamp), Rule::Reject));
    fast(&catalog, &stored);
    fast(&catalog, &[delete(Target::Instance(path(1, 2, 3)), 20)]);
    let seen = view(&catalog);
    let study = &seen.studies[&study_uid(1)];
    assert_eq!(study.attributes, version(&path(1, 1, 2), 11).study);
    assert_eq!((study.newest, study.first, study.series), (Stamp(11), Stamp(10), 1));
    fast(&catalog, &[delete(Target::Instance(path(1, 1, 1)), 21)]);
    assert_eq!(view(&catalog).studies[&study_uid(1)].first, Stamp(11));
}

#[test]
fn a_copy_in_a_later_pack_counts() {
    let catalog = memory();
    let here = path(1, 1, 1);
    let old = version(&here, 10);
    let place = Place { pack: PackId(9), ..old.place };
    fast(&catalog, &[store(old.clone(), Rule::Reject)]);
    let moved = Change::Move { path: here.clone(), stamp: Stamp(10), place };
    assert_eq!(fast(&catalog, &[moved]).outcomes, [Outcome::Moved]);
    let seen = view(&catalog);
    assert_eq!(seen.instances[&here].place, place);
    assert_eq!(seen.packs[&old.place.pack].dead_bytes, old.place.length);
    assert_eq!(seen.packs[&PackId(9)].live_bytes, old.place.length);
    // From the packs alone the same follows, in either order.
    let copy = NewInstance { place, ..old.clone() };
    for copies in [[&old, &copy], [&copy, &old]] {
        let again = memory();
        fast(&again, &copies.map(|version| store(version.clone(), Rule::Replay)));
        assert_eq!(view(&again), seen);
    }
    let stale = Change::Move { path: here, stamp: Stamp(9), place };
    assert_eq!(fast(&catalog, &[stale]).outcomes, [Outcome::NotFound]);
    fast(&catalog, &[Change::PackRemoved { pack: old.place.pack }]);
    assert_eq!(catalog.read().unwrap().pack(old.place.pack).unwrap(), None);
}

#[test]
fn a_pack_replayed_again_changes_nothing() {
    let catalog = memory();
    let at = |instance, stamp, offset| NewInstance {
        place: Place { pack: PackId(7), offset, length: 50 },
        ..version(&path(1, 1, instance), stamp)
    };
    let log = [
        store(at(1, 10, 1536), Rule::Replay),
        store(at(1, 11, 3584), Rule::Replay),
        store(at(2, 12, 5632), Rule::Replay),
        delete(Target::Instance(path(1, 1, 2)), 13),
        Change::PackApplied { pack: PackId(7), until: 8192 },
        Change::PackSealed { pack: PackId(7) },
    ];
    fast(&catalog, &log);
    let seen = view(&catalog);
    assert_eq!(
        seen.packs[&PackId(7)],
        PackRow { applied: 8192, sealed: true, live_files: 2, live_bytes: 100, dead_bytes: 50 }
    );
    fast(&catalog, &log);
    assert_eq!(view(&catalog), seen);
}

#[test]
fn large_tables_are_read_in_blocks() {
    let catalog = memory();
    let span = |index: u64| FrameSpan { offset: 1000 * index, length: index, fragments: 1 };
    let crcs: Vec<u32> = (0..2000).map(|crc| crc * 7919).collect();
    let mut new = version(&path(1, 1, 1), 10);
    new.place.length = CHUNK_BYTES * 2000 - 5;
    new.frames = FrameTable::Encapsulated((0..1000).map(span).collect());
    new.bulk = (0..500)
        .map(|item| Bulk { path: format!("54000100.{item}.54001010"), offset: item, length: 1 })
        .collect();
    new.chunks = Chunks(crcs.clone());
    // Too large for the row, and made of what does not compress.
    new.metadata = (0..3_000_000u64).map(|i| ((i * i) >> 7) as u8).collect();
    let metadata = new.metadata.clone();
    fast(&catalog, &[store(new, Rule::Reject)]);

    let read = catalog.read().unwrap();
    let row = read.instance(&path(1, 1, 1)).unwrap().unwrap();
    assert_eq!(row.frames.count(), 1000);
    for index in [0, 255, 256, 999] {
        assert_eq!(read.frame(&row, index).unwrap(), Some(span(u64::from(index))));
    }
    assert_eq!(read.frame(&row, 1000).unwrap(), None);
    for item in [0, 63, 64, 321, 499] {
        assert_eq!(
            read.bulk(&row, &format!("54000100.{item}.54001010")).unwrap().map(|bulk| bulk.offset),
            Some(item)
        );
    }
    for none in ["", "54000100.1", "7FE00010"] {
        assert_eq!(read.bulk(&row, none).unwrap(), None);
    }
    assert_eq!(read.bulks(&row).unwrap().len(), 500);
    assert_eq!(read.chunks(&row).unwrap().0, crcs);
    let touched = CHUNK_BYTES * 511 + 1..CHUNK_BYTES * 513 + 1;
    assert_eq!(read.chunks_of(&row, touched).unwrap(), (511, crcs[511..514].to_vec()));
    assert_eq!(read.metadata_of(&path(1, 1, 1)).unwrap(), Some(metadata));
    drop(read);
    view(&catalog);

    fast(&catalog, &[delete(Target::Study(study_uid(1)), 20)]);
    let read = catalog.read().unwrap();
    assert_eq!(read.parts().unwrap(), 0, "nothing of it is left");
}

#[test]
fn metadata_goes_on_after_a_break() {
    let catalog = memory();
    fast(&catalog, &[1, 2, 3, 4, 5].map(|i| store(version(&path(1, 1, i), 10 + u64::from(i)), Rule::Reject)));
    let read = catalog.read().unwrap();
    let series = path(1, 1, 1).series_path();
    let mut after: Option<InstanceUid> = None;
    let mut seen = Vec::new();
    loop {
        let mut taken = 0;
        let whole = read
            .metadata(&series, after.as_ref(), &mut |uid, _| {
                seen.push(uid.clone());
                taken += 1;
                if taken == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
        if whole {
            break;
        }
        after = seen.last().cloned();
    }
    let rows = read.instances(&series, None, 9).unwrap();
    assert!(rows.iter().map(|row| &row.path.instance).eq(&seen));
    let page = read.instances(&series, Some(&seen[1]), 2).unwrap();
    assert!(page.iter().map(|row| &row.path.instance).eq(&seen[2..4]));
}

#[test]
fn numbers_are_never_used_twice() {
    let catalog = memory();
    let ids = || {
        let read = catalog.read().unwrap();
        let series = read.series(&path(1, 1, 1).series_path()).unwrap().unwrap();
        (read.study(&study_uid(1)).unwrap().unwrap().id, series.id)
    };
    fast(&catalog, &[store(version(&path(1, 1, 1), 10), Rule::Reject)]);
    let before = ids();
    fast(&catalog, &[delete(Target::Study(study_uid(1)), 11)]);
    fast(&catalog, &[store(version(&path(1, 1, 1), 12), Rule::Reject)]);
    assert!(ids().0 > before.0 && ids().1 > before.1);
    let read = catalog.read().unwrap();
    assert_eq!(read.study_by_id(before.0).unwrap(), None);
    assert_eq!(read.series_by_id(before.1).unwrap(), None);
    assert_eq!(read.feed(0, 9).unwrap().len(), 3);
}

/// A version whose instance went before it was known is not in the way of a
/// deletion, nor of the instance when it comes back.
#[test]
fn a_version_without_an_instance() {
    let here = path(1, 1, 1);
    let kept = |stamp| NewInstance { role: Role::Kept, ..version(&here, stamp) };
    for target in [
        Target::Instance(here.clone()),
        Target::Series(here.series_path()),
        Target::Study(here.study.clone()),
    ] {
        let catalog = memory();
        let applied = fast(&catalog, &[store(kept(10), Rule::Replay)]);
        assert_eq!(applied.outcomes, [Outcome::Kept { beside: false }]);
        assert_eq!(view(&catalog).versions.len(), 1);
        assert_eq!(catalog.read().unwrap().locate(&here.instance).unwrap(), None);
        fast(&catalog, &[delete(target, 11)]);
        assert_eq!(view(&catalog).versions.len(), 0);
    }
    let catalog = memory();
    fast(&catalog, &[store(kept(10), Rule::Replay), store(version(&here, 9), Rule::Replay)]);
    let seen = view(&catalog);
    assert_eq!((seen.instances[&here].stamp, seen.versions.len()), (Stamp(9), 1));
    assert_eq!(catalog.read().unwrap().newest_stamp().unwrap(), Some(Stamp(10)));
}

/// Format 1 had no versions, 1 and 2 a dictionary in one row; nothing else was different.
#[test]
fn a_catalog_of_an_older_format_is_taken() {
    for format in [1_u32, 2] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let open = || Catalog::open(&path, Options::default(), None, resplit()).unwrap();
        let catalog = open();
        let changes = [(1, 1), (1, 2), (2, 3)].map(|(series, instance)| {
            store(version(&super::path(1, series, instance), 10 + u64::from(instance)), Rule::Reject)
        });
        fast(&catalog, &changes);
        catalog.checkpoint().unwrap();
        let (id, seen) = (catalog.id(), view(&catalog));
        drop(catalog);
        let database = open_file(&path).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(tables::META).unwrap().insert("format", format.to_le_bytes().as_slice()).unwrap();
        if format == 1 {
            write.delete_table(tables::VERSIONS).unwrap();
        }
        {
            let mut whole = std::collections::BTreeMap::<u64, Vec<u8>>::new();
            for piece in
                write.open_table(tables::DICTIONARY_PIECES).unwrap().range::<tables::PieceKey>(..).unwrap()
            {
                let (key, piece) = piece.unwrap();
                whole.entry(key.value().0).or_default().extend(piece.value());
            }
            assert_eq!(whole.len(), 2);
            let mut rows = write.open_table(tables::DICTIONARIES).unwrap();
            for (id, dictionary) in &whole {
                rows.insert(id, dictionary.as_slice()).unwrap();
            }
        }
        write.delete_table(tables::DICTIONARY_PIECES).unwrap();
        write.commit().unwrap();
        drop(database);
        let catalog = open();
        assert_eq!((catalog.id(), view(&catalog)), (id, seen), "{format}");
        // A series of then goes on, and can be deleted.
        let more = super::path(1, 2, 4);
        fast(&catalog, &[store(version(&more, 20), Rule::Reject)]);
        let json = catalog.read().unwrap().metadata_of(&more).unwrap().unwrap();
        assert_eq!(json, version(&more, 20).metadata);
        fast(&catalog, &[delete(Target::Series(more.series_path()), 30)]);
        assert_eq!(view(&catalog).instances.len(), 2);
        drop(catalog);
        let database = open_file(&path).unwrap();
        let read = database.begin_read().unwrap();
        assert_eq!(tables::format_of(&read).unwrap(), Some(tables::FORMAT));
        let left = read.open_table(tables::DICTIONARIES).unwrap();
        assert_eq!(redb::ReadableTableMetadata::len(&left).unwrap(), 1);
    }
}

/// An instance was kept and deleted, came back in another study and was kept
/// there too. A replay that met both kept files first took the older study for
/// the one that the SOP Instance UID is in, since there was a version under it,
/// and buried the instance.
#[test]
fn versions_of_a_path_that_was_deleted_hide_no_instance() {
    let (old, new) = (path(1, 0, 2), path(0, 0, 2));
    let kept = |at: &InstancePath, stamp| NewInstance { role: Role::Kept, ..version(at, stamp) };
    let stored = memory();
    let changes = [
        store(kept(&old, 112), Rule::Replay),
        store(kept(&new, 117), Rule::Replay),
        store(version(&old, 101), Rule::Replay),
        store(version(&new, 114), Rule::Replay),
        delete(Target::Instance(old.clone()), 113),
    ];
    for change in changes {
        fast(&stored, &[change]);
    }
    let seen = view(&stored);
    assert_eq!(seen.instances.keys().collect::<Vec<_>>(), [&new]);
    assert_eq!(seen.instances[&new].stamp, Stamp(114));
    assert_eq!(seen.versions.keys().collect::<Vec<_>>(), [&(new, Stamp(117))]);
}
