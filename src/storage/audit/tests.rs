//! The log against crashes and against hands: what is torn is cut, what is
//! changed, removed, moved or cut off is found.

use std::{fs, ops::ControlFlow, path::Path};

use tempfile::TempDir;

use super::*;

fn folder(dir: &Path) -> Folder {
    Folder::new(&dir.join("audit"), None)
}

fn open(dir: &Path) -> (Log, Recovered) {
    Log::open(folder(dir), Options { segment_bytes_max: 2000 }).unwrap()
}

fn json(number: u64) -> Vec<u8> {
    let minutes = number / 60;
    format!("{{\"at\":\"2026-01-01T00:{minutes:02}:{:02}.5Z\",\"n\":{number}}}", number % 60).into_bytes()
}

/// A log of sixty lines in several segments.
fn written(dir: &Path) -> Vec<Head> {
    let (mut log, recovered) = open(dir);
    assert_eq!(recovered, Recovered::default());
    let mut heads = Vec::new();
    for number in 1..=60 {
        log.append([json(number).as_slice()]).unwrap();
        heads.push(log.head());
    }
    log.flush().unwrap();
    assert!(log.folder().segments().unwrap().len() > 2);
    heads
}

fn check(dir: &Path) -> Report {
    folder(dir).check(&[], |_| None).unwrap()
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let dir = TempDir::new().unwrap();
    let heads = written(dir.path());
    let (mut log, recovered) = open(dir.path());
    assert_eq!(recovered, Recovered::default());
    assert_eq!(log.head(), heads[59]);
    log.append([json(61).as_slice(), json(62).as_slice()]).unwrap();
    // A process that dies leaves what it gave to the system.
    drop(log);
    let (log, recovered) = open(dir.path());
    assert_eq!((log.head().number, recovered), (62, Recovered::default()));
    let report = check(dir.path());
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!((report.lines, report.head.number), (62, 62));
    assert!(matches!(
        Log::open(folder(dir.path()), Options { segment_bytes_max: 9 }),
        Err(AuditError::Locked(_))
    ));
}

#[test]
fn a_torn_end_is_cut_and_kept_aside() {
    let dir = TempDir::new().unwrap();
    written(dir.path());
    let last = *folder(dir.path()).segments().unwrap().last().unwrap();
    let path = folder(dir.path()).segment_path(last);
    let mut bytes = fs::read(&path).unwrap();
    let whole = bytes.clone();
    bytes.extend_from_slice(b"61 00ff torn");
    fs::write(&path, &bytes).unwrap();
    let (_log, recovered) = open(dir.path());
    assert_eq!(recovered.cut_bytes, 12);
    assert_eq!(recovered.lost, None);
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert!(check(dir.path()).is_intact());
}

#[test]
fn a_segment_torn_at_its_birth_is_set_aside() {
    let dir = TempDir::new().unwrap();
    let heads = written(dir.path());
    let last = *folder(dir.path()).segments().unwrap().last().unwrap();
    fs::write(folder(dir.path()).segment_path(last + 1), "#hilum-au").unwrap();
    let (log, recovered) = open(dir.path());
    assert_eq!((log.head(), recovered.cut_bytes), (heads[59], 9));
}

/// One changed byte, wherever it is, is found; so is a line taken out, put in
/// another place, or doubled.
#[test]
fn every_planted_change_is_found() {
    let dir = TempDir::new().unwrap();
    written(dir.path());
    for segment in folder(dir.path()).segments().unwrap() {
        let path = folder(dir.path()).segment_path(segment);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(5) {
            let mut changed = whole.clone();
            // The second makes another case of a letter.
            for flip in [1, 0x20] {
                changed[at] = whole[at] ^ flip;
                fs::write(&path, &changed).unwrap();
                assert!(!check(dir.path()).is_intact(), "segment {segment}, byte {at}");
            }
        }
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        for at in 1..lines.len() {
            let mut without = lines.clone();
            without.remove(at);
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at]);
            let mut moved = lines.clone();
            moved.swap(at, (at + 1) % lines.len());
            for planted in [without, doubled, moved] {
                fs::write(&path, planted.concat()).unwrap();
                assert!(!check(dir.path()).is_intact(), "segment {segment}, line {at}");
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(check(dir.path()).is_intact());
}

/// The end cut off: the anchor knows, and after the server went on the gap stays.
#[test]
fn a_cut_end_is_found_before_and_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let heads = written(dir.path());
    let last = *folder(dir.path()).segments().unwrap().last().unwrap();
    let path = folder(dir.path()).segment_path(last);
    let whole = fs::read(&path).unwrap();
    let shorter = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&path, &whole[..shorter]).unwrap();
    assert!(!check(dir.path()).is_intact());
    let (mut log, recovered) = open(dir.path());
    assert_eq!(recovered.lost, Some((60, 60)));
    log.append([json(61).as_slice()]).unwrap();
    log.flush().unwrap();
    drop(log);
    let report = check(dir.path());
    assert!(report.findings.iter().any(|finding| finding.what == "lines 60 to 60 are missing"), "{report:?}");

    // All of it gone, the anchor too: a head that was noted elsewhere knows.
    fs::remove_dir_all(dir.path().join("audit")).unwrap();
    let (mut log, _) = open(dir.path());
    log.append([json(1).as_slice()]).unwrap();
    log.flush().unwrap();
    assert!(check(dir.path()).is_intact());
    assert!(!folder(dir.path()).check(&heads[59..], |_| None).unwrap().is_intact());
}

#[test]
fn a_removed_segment_is_found_and_one_that_was_old_is_explained() {
    let dir = TempDir::new().unwrap();
    written(dir.path());
    let (mut log, _) = open(dir.path());
    let (old, begins) = log.older_than("2026-01-01T00:00:40", u64::MAX).unwrap().unwrap();
    assert_eq!(old[0], 1);
    assert!(log.older_than("2026-01-01T00:00:40", 0).unwrap().is_none(), "not what is not sent on yet");
    let told = json(61);
    let told = told.as_slice();
    log.append([told]).unwrap();
    log.flush().unwrap();
    // A stop in the middle of it leaves some of what was to go.
    log.remove(&old[..1]).unwrap();
    let half = folder(dir.path()).check(&[], |line| (line == told).then_some(begins)).unwrap();
    assert!(old.len() > 1 && half.is_intact(), "{:?}", half.findings);
    log.remove(&old[1..]).unwrap();
    drop(log);
    assert!(!check(dir.path()).is_intact());
    let explained = folder(dir.path()).check(&[], |line| (line == told).then_some(begins)).unwrap();
    assert!(explained.is_intact(), "{:?}", explained.findings);
    let middle = folder(dir.path()).segments().unwrap()[1];
    fs::remove_file(folder(dir.path()).segment_path(middle)).unwrap();
    assert!(!folder(dir.path()).check(&[], |line| (line == told).then_some(begins)).unwrap().is_intact());
}

#[test]
fn scans_are_bounded_by_time_and_number() {
    let dir = TempDir::new().unwrap();
    written(dir.path());
    let folder = folder(dir.path());
    let run = |search: &Search| {
        let mut numbers = Vec::new();
        newest_first(&folder, search, |number, _| {
            numbers.push(number);
            if numbers.len() == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        numbers
    };
    assert_eq!(run(&Search::default()), [60, 59, 58, 57, 56]);
    assert_eq!(run(&Search { before: Some(9), ..Search::default() }), [8, 7, 6, 5, 4]);
    let times = |from: &str, to: &str| Search {
        from: Some(format!("2026-01-01T00:00:{from}Z")),
        to: Some(format!("2026-01-01T00:00:{to}Z")),
        ..Search::default()
    };
    assert_eq!(run(&times("20", "22")), [22, 21, 20]);
    assert_eq!(run(&Search { needles: vec![b"\"n\":7}".to_vec()], ..Search::default() }), [7]);
    let mut forward = Vec::new();
    oldest_first(&folder, &times("20", "22"), |number, _| {
        forward.push(number);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(forward, [20, 21, 22]);

    let mut cursor = Cursor::after(50);
    let mut numbers = Vec::new();
    loop {
        let lines = cursor.next(&folder, 100, 58).unwrap();
        if lines.is_empty() {
            break;
        }
        numbers.extend(lines.into_iter().map(|(number, _)| number));
    }
    assert_eq!(numbers, (51..=58).collect::<Vec<u64>>());
}

#[test]
fn notes_of_commands_come_into_the_log() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = open(dir.path());
    folder(dir.path()).leave_note(&json(1)).unwrap();
    folder(dir.path()).leave_note(b"not for the log").unwrap();
    let taken = log.take_notes(|note| note.starts_with(b"{").then(|| note.to_vec())).unwrap();
    assert_eq!((taken, log.head().number), (1, 1));
    assert_eq!(log.take_notes(|note| Some(note.to_vec())).unwrap(), 0);
}

/// A log that few write is divided by age, so that what is old can go.
#[test]
fn an_old_segment_ends() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = open(dir.path());
    log.append([json(1).as_slice()]).unwrap();
    log.rotate_if_older("2026-01-01T00:00:01").unwrap();
    assert_eq!(log.folder().segments().unwrap(), [1]);
    log.rotate_if_older("2026-01-02T00:00:00").unwrap();
    log.rotate_if_older("2026-01-02T00:00:00").unwrap();
    assert_eq!(log.folder().segments().unwrap(), [1, 2], "an empty one does not end");
    log.append([json(2).as_slice()]).unwrap();
    log.flush().unwrap();
    assert!(check(dir.path()).is_intact());
}

/// A segment cannot be begun: nothing of what was to be written is in the log,
/// and once it can be again the log goes on as if nothing had been.
#[test]
fn what_cannot_be_written_is_not_there() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = open(dir.path());
    let in_the_way = folder(dir.path()).segment_path(2);
    fs::create_dir(&in_the_way).unwrap();
    let mut number = 0;
    while log.append([json(number + 1).as_slice()]).is_ok() {
        log.make_room().unwrap();
        number += 1;
        assert!(number < 100);
    }
    assert_eq!(log.head().number, number);
    assert!(log.append([json(1).as_slice()]).is_err());
    fs::remove_dir(&in_the_way).unwrap();
    log.append([json(number + 1).as_slice()]).unwrap();
    log.flush().unwrap();
    assert_eq!(log.flushed().number, number + 1);
    drop(log);
    let report = check(dir.path());
    assert!(report.is_intact() && report.lines == number + 1, "{report:?}");
}
