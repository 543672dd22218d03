//! The same SOP Instance UID again (STO-20), and reading what was just written
//! (STO-13).

use std::sync::atomic::{AtomicU32, Ordering};

use hilum::config::Duplicates;

use crate::{
    harness::{Hilum, fixture},
    library::{outcome, reasons, text, values},
    process,
    sample::Sample,
};

#[test]
fn sto_20_the_same_bytes_are_a_success_and_stored_once() {
    let hilum = Hilum::start();
    let file = fixture("CT_small.dcm");
    let first = outcome(hilum.store(&[&file]));
    let again = outcome(hilum.store(&[&file]));
    assert_eq!(first, again);
    assert_eq!(first.0, 200);
    // Twice in one request too.
    let (status, module) = outcome(hilum.store(&[&file, &file]));
    assert_eq!((status, values(&module, "00081199").len()), (200, 2));
    assert_eq!(hilum.json("/studies")[0]["00201208"]["Value"][0], 1);
}

/// What was sent again after its pack was lost was a success, and who had sent it could
/// delete the last copy there was.
#[test]
fn sto_20_what_is_lost_is_no_success() {
    // Packs of one file.
    let hilum = Hilum::with(|config| config.store.pack_bytes_max = 1000);
    let file = |number: u8| Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}")).file();
    let files = [file(1), file(2)];
    for file in &files {
        assert_eq!(outcome(hilum.store(&[file])).0, 200);
    }
    let hilum = hilum.restart();
    std::fs::remove_file(hilum.data().join("packs/0000/00000001.tar")).unwrap();
    assert_eq!(outcome(hilum.store(&[&files[1]])).0, 200);
    let (status, module) = outcome(hilum.store(&[&files[0]]));
    assert_eq!((status, reasons(&module, "00081198")), (409, vec![0x0110]), "{module}");
    // After a start too.
    let hilum = hilum.restart();
    let (status, module) = outcome(hilum.store(&[&files[0]]));
    assert_eq!((status, reasons(&module, "00081198")), (409, vec![0x0110]), "{module}");
    let path = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
    assert_eq!(hilum.delete(path).status(), 204);
    assert_eq!(outcome(hilum.store(&[&files[0]])).0, 200);
    let back = hilum.get_as(path, "application/dicom; transfer-syntax=*");
    assert_eq!(back.bytes().unwrap(), files[0]);
}

/// What was sent again after its bytes had rotted was a success too, and the one good
/// copy that came was thrown away.
#[test]
fn sto_20_what_is_damaged_is_no_success() {
    let mut hilum = Hilum::with(|config| config.store.duplicates = Duplicates::Keep);
    let path = "/studies/1.2/series/1.2.1/instances/1.2.1.1";
    let named = |name: &str| Sample::new("1.2", "1.2.1", "1.2.1.1").text(0x0010_0010, "PN", name).file();
    let (first, second) = (named("Rotten^First"), named("Rotten^Second"));
    for file in [&first, &second, &first, &second] {
        assert_eq!(outcome(hilum.store(&[file])).0, if *file == first { 200 } else { 202 });
    }
    for (name, file) in [("Rotten^First", &first), ("Rotten^Second", &second)] {
        let pack = hilum.data().join("packs/0000/00000001.tar");
        let mut bytes = std::fs::read(&pack).unwrap();
        let at = bytes.windows(name.len()).position(|found| found == name.as_bytes()).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&pack, bytes).unwrap();
        let (status, module) = outcome(hilum.store(&[file]));
        assert_eq!((status, reasons(&module, "00081198")), (409, vec![0x0110]), "{name}: {module}");
    }
    assert_eq!(hilum.delete(path).status(), 204);
    assert_eq!(outcome(hilum.store(&[&first])).0, 200);
    assert_eq!(hilum.get_as(path, "application/dicom; transfer-syntax=*").bytes().unwrap(), first);
    // What was mended is no finding for ever.
    hilum.stop();
    let (clean, report) = process::verify(hilum.data());
    assert!(clean, "{report}");
}

#[test]
fn sto_20_twice_in_the_first_request() {
    let hilum = Hilum::start();
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1").file();
    let (status, module) = outcome(hilum.store(&[&file, &file, &file]));
    assert_eq!((status, values(&module, "00081199").len()), (200, 3), "{module}");
    assert_eq!(hilum.json("/studies")[0]["00201208"]["Value"][0], 1);
}

#[test]
fn sto_20_other_bytes_are_refused_and_the_first_ones_stay() {
    let hilum = Hilum::start();
    let first = Sample::new("1.2", "1.2.1", "1.2.1.1").text(0x0010_0010, "PN", "First").file();
    let second = Sample::new("1.2", "1.2.1", "1.2.1.1").text(0x0010_0010, "PN", "Second").file();
    assert_eq!(outcome(hilum.store(&[&first])).0, 200);
    let (status, module) = outcome(hilum.store(&[&second]));
    assert_eq!((status, reasons(&module, "00081198")), (409, vec![273]));
    assert_eq!(text(values(&module, "00081198")[0], "00081155"), "1.2.1.1");
    // Under another study or series too.
    for elsewhere in [Sample::new("1.3", "1.2.1", "1.2.1.1"), Sample::new("1.2", "1.2.2", "1.2.1.1")] {
        let (status, module) = outcome(hilum.store(&[&elsewhere.file()]));
        assert_eq!((status, reasons(&module, "00081198")), (409, vec![273]));
    }
    let back =
        hilum.get_as("/studies/1.2/series/1.2.1/instances/1.2.1.1", "application/dicom; transfer-syntax=*");
    assert_eq!(back.bytes().unwrap(), first);
    assert_eq!(hilum.json("/studies").as_array().map(Vec::len), Some(1));
}

#[test]
fn of_many_at_once_one_wins() {
    let hilum = Hilum::start();
    let wins = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (hilum, wins) = (&hilum, &wins);
            scope.spawn(move || {
                let name = format!("Writer{number}");
                let file = Sample::new("1.2", "1.2.1", "1.2.1.1").text(0x0010_0010, "PN", &name).file();
                let (status, module) = outcome(hilum.store(&[&file]));
                match status {
                    200 => drop(wins.fetch_add(1, Ordering::Relaxed)),
                    409 => assert_eq!(reasons(&module, "00081198"), [273]),
                    other => panic!("{other}"),
                }
            });
        }
    });
    assert_eq!(wins.load(Ordering::Relaxed), 1);
    assert_eq!(hilum.json("/studies")[0]["00201208"]["Value"][0], 1);
}

/// STO-13: what was acknowledged is found and read at once, by everybody.
#[test]
fn sto_13_parallel_writers_read_their_writes() {
    let hilum = Hilum::start();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let hilum = &hilum;
            scope.spawn(move || {
                for number in 0..12 {
                    let study = format!("1.2.{writer}");
                    let instance = format!("{study}.1.{number}");
                    let file = Sample::new(&study, &format!("{study}.1"), &instance)
                        .text(0x0010_0020, "LO", &format!("ID{writer}"))
                        .text(0x0008_0060, "CS", "CT")
                        .file();
                    assert_eq!(outcome(hilum.store(&[&file])).0, 200);
                    let found = hilum.json(&format!("/studies?PatientID=ID{writer}"));
                    assert_eq!(found[0]["00201208"]["Value"][0], number + 1, "{found}");
                    let found = hilum.json(&format!("/instances?SOPInstanceUID={instance}"));
                    assert_eq!(text(&found[0], "0020000D"), study);
                    let found = hilum.json(&format!("/series?PatientID=ID{writer}&Modality=CT"));
                    assert_eq!(found[0]["00201209"]["Value"][0], number + 1, "{found}");
                }
            });
        }
    });
    assert_eq!(hilum.json("/studies?ModalitiesInStudy=CT").as_array().map(Vec::len), Some(4));
}

#[test]
fn sto_13_what_was_stored_is_there_after_a_restart() {
    let hilum = Hilum::start();
    let stored = hilum.store_fixture("MR_small.dcm");
    let before = hilum.json(&format!("{}/metadata", stored.path));
    let hilum = hilum.restart();
    let after = hilum.json(&format!("{}/metadata", stored.path));
    assert_eq!(before[0]["00080018"], after[0]["00080018"]);
    assert_eq!(hilum.json("/studies").as_array().map(Vec::len), Some(1));
    let back = hilum.get_as(&stored.path, "application/dicom; transfer-syntax=*");
    assert_eq!(back.bytes().unwrap(), fixture("MR_small.dcm"));
    assert_eq!(outcome(hilum.store(&[&fixture("MR_small.dcm")])).0, 200);
}

/// `Server::run` once returned while a worker still held the archive: the next
/// start found the packs in use by another process, namely itself.
#[test]
fn a_stopped_server_has_closed_its_archive() {
    let mut hilum = Hilum::start();
    let file = Sample::new("1.2", "1.2.1", "1.2.1.1").file();
    for _ in 0..15 {
        assert_eq!(outcome(hilum.store(&[&file])).0, 200);
        hilum = hilum.restart();
    }
    assert_eq!(hilum.json("/instances").as_array().map(Vec::len), Some(1));
}
