//! Import against an archive that is a map, and against a server of twenty lines.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use zip::write::SimpleFileOptions;

use super::candidate::{Recognised, recognise};
use super::*;

const MEDIA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/media");
const CT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/CT_small.dcm");

fn settings(paths: &[&Path]) -> Settings {
    Settings {
        paths: paths.iter().map(|path| path.to_path_buf()).collect(),
        threads: 3,
        small_bytes_max: 1 << 20,
        file_bytes_max: 1 << 30,
        journal: None,
    }
}

fn bytes_of(content: Content) -> Vec<u8> {
    match content {
        Content::Bytes(bytes) => bytes,
        Content::File { mut file, length } => {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut file, &mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, length);
            bytes
        }
    }
}

/// An archive that knows files by their bytes.
#[derive(Default)]
struct Map(Mutex<HashMap<Vec<u8>, usize>>);

impl Map {
    fn store(&self, batch: Vec<Candidate>) -> Vec<Outcome> {
        batch
            .into_iter()
            .map(|candidate| {
                let mut map = lock(&self.0);
                let count = map.entry(bytes_of(candidate.content)).or_default();
                *count += 1;
                if *count == 1 { Outcome::Stored } else { Outcome::AlreadyThere }
            })
            .collect()
    }
}

/// A zip file of the medium, two folders deep, with company.
fn zipped(path: &Path) -> usize {
    let mut writer = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let options = SimpleFileOptions::default();
    let mut count = 0;
    for entry in walkdir::WalkDir::new(MEDIA).into_iter().map(Result::unwrap) {
        let name = format!("disc 1/{}", entry.path().strip_prefix(MEDIA).unwrap().display());
        if entry.file_type().is_dir() {
            writer.add_directory(name, options).unwrap();
        } else {
            writer.start_file(name, options).unwrap();
            writer.write_all(&fs::read(entry.path()).unwrap()).unwrap();
            count += 1;
        }
    }
    writer.start_file("autorun.inf", options).unwrap();
    writer.write_all(b"[autorun]").unwrap();
    writer.finish().unwrap();
    count
}

#[test]
fn folders_zips_and_media_are_imported_once() {
    let folder = tempfile::tempdir().unwrap();
    let archive = Map::default();
    let report = run(&settings(&[Path::new(MEDIA)]), &|batch| archive.store(batch), None);
    assert_eq!((report.stored, report.directories, report.failed), (31, 1, 0), "{report}");

    let with_dicomdir = zipped(&folder.path().join("no extension"));
    fs::write(folder.path().join("letter.txt"), "Dear colleague").unwrap();
    fs::copy(CT, folder.path().join("ct")).unwrap();
    let report = run(&settings(&[folder.path()]), &|batch| archive.store(batch), None);
    assert_eq!(with_dicomdir, 32);
    assert_eq!((report.stored, report.already_there), (1, 31), "{report}");
    assert_eq!((report.not_dicom, report.directories, report.failed), (2, 1, 0), "{report}");
    assert!(report.is_complete());
}

#[test]
fn large_files_come_as_open_files() {
    let folder = tempfile::tempdir().unwrap();
    zipped(&folder.path().join("a.zip"));
    fs::copy(CT, folder.path().join("ct")).unwrap();
    let archive = Map::default();
    let settings = Settings { small_bytes_max: 1000, ..settings(&[folder.path()]) };
    let report = run(
        &settings,
        &|batch| {
            assert!(batch.iter().all(|candidate| matches!(candidate.content, Content::File { .. })));
            archive.store(batch)
        },
        None,
    );
    assert_eq!((report.stored, report.failed), (32, 0), "{report}");
    assert!(lock(&archive.0).contains_key(&fs::read(CT).unwrap()));
}

#[test]
fn what_fails_is_named_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(CT, folder.path().join("b.dcm")).unwrap();
    let mut broken = fs::read(CT).unwrap();
    broken.push(0);
    fs::write(folder.path().join("c.dcm"), &broken).unwrap();
    fs::write(folder.path().join("d.zip"), b"PK\x03\x04 and no more").unwrap();
    let missing = folder.path().join("missing");
    let settings = Settings { file_bytes_max: 39206, ..settings(&[folder.path(), &missing]) };
    let archive = Map::default();
    let report = run(&settings, &|batch| archive.store(batch), None);
    assert_eq!((report.stored, report.failed), (1, 3), "{report}");
    let mut names: Vec<_> =
        report.failures.iter().map(|(name, _)| name.rsplit('/').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["c.dcm", "d.zip", "missing"]);
    assert!(report.to_string().contains("limits.part_bytes_max"), "{report}");
    assert!(!report.is_complete());
}

#[test]
fn an_interrupted_import_goes_on_and_a_finished_one_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("import.journal");
    let settings = Settings { threads: 1, journal: Some(journal.clone()), ..settings(&[Path::new(MEDIA)]) };
    let archive = Map::default();

    // The first batch is stored; then the process dies before the end.
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let batches = AtomicUsize::new(0);
        let small = Settings { small_bytes_max: 3000, ..settings.clone() };
        run(
            &small,
            &|batch| {
                assert!(batches.fetch_add(1, Ordering::Relaxed) < 4, "the power went out");
                archive.store(batch)
            },
            None,
        )
    }));
    assert!(died.is_err());
    let before = lock(&archive.0).len() as u64;
    assert!(before > 0 && before < 31);
    // A torn last entry is no entry.
    fs::OpenOptions::new().append(true).open(&journal).unwrap().write_all(b"torn").unwrap();

    let report = run(&settings, &|batch| archive.store(batch), None);
    assert_eq!(
        (report.done_before, report.stored, report.already_there),
        (before, 31 - before, 0),
        "{report}"
    );
    assert!(!journal.exists());
    let report = run(&settings, &|batch| archive.store(batch), None);
    assert_eq!((report.done_before, report.already_there), (0, 31), "{report}");
}

/// A trial: an import through a server was broken off, the archive begun anew, the
/// import run again. It took the journal's word for what only the first archive
/// had, left that out, and reported that all was in the archive.
#[test]
fn what_the_archive_has_no_more_is_imported_again() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("import.journal");
    let settings = Settings { threads: 1, journal: Some(journal.clone()), ..settings(&[Path::new(MEDIA)]) };
    let first = Map::default();
    let broken_off = || {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let batches = AtomicUsize::new(0);
            let small = Settings { small_bytes_max: 3000, ..settings.clone() };
            let _ = run(
                &small,
                &|batch| {
                    assert!(batches.fetch_add(1, Ordering::Relaxed) < 4, "the power went out");
                    first.store(batch)
                },
                None,
            );
        }))
        .unwrap_err()
    };
    broken_off();
    let before = lock(&first.0).len() as u64;

    // It has all that it is asked for: nothing is read twice.
    let asked = AtomicUsize::new(0);
    let all = |uids: &[&str]| {
        asked.fetch_add(uids.len(), Ordering::Relaxed);
        uids.iter().map(|uid| (*uid).to_owned()).collect()
    };
    let report = run(&settings, &|batch| first.store(batch), Some(&all));
    assert_eq!((report.done_before, report.stored), (before, 31 - before), "{report}");
    assert_eq!(asked.load(Ordering::Relaxed) as u64, before);

    lock(&first.0).clear();
    broken_off();
    let second = Map::default();
    let report = run(&settings, &|batch| second.store(batch), Some(&|_| HashSet::new()));
    assert_eq!((report.done_before, report.stored), (0, 31), "{report}");
    assert!(!journal.exists());
}

/// A journal of the form before, which did not name what was stored, is begun anew.
#[test]
fn an_older_journal_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("import.journal");
    fs::write(&journal, [7; 160]).unwrap();
    let settings = Settings { journal: Some(journal.clone()), ..settings(&[Path::new(CT)]) };
    let archive = Map::default();
    let report = run(&settings, &|batch| archive.store(batch), None);
    assert_eq!((report.done_before, report.stored), (0, 1), "{report}");
    assert!(!journal.exists());
}

/// Two imports from one folder into one server shared their journal: the first to
/// end removed it, and the other said "No such file or directory" in place of its
/// report. And a journal that could not be made (the working folder is a CD) kept
/// everything from being imported.
#[test]
fn an_import_without_a_journal_of_its_own_goes_on_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("import.journal");
    let archive = Map::default();
    let (outer, inner) = (settings(&[Path::new(MEDIA)]), settings(&[Path::new(CT)]));
    let outer = Settings { journal: Some(journal.clone()), threads: 1, ..outer };
    let inner = Settings { journal: Some(journal.clone()), ..inner };
    let report = run(
        &outer,
        &|batch| {
            assert!(journal.exists(), "the other one has removed it");
            let report = run(&inner, &|batch| archive.store(batch), None);
            assert_eq!(report.stored + report.already_there, 1, "{report}");
            archive.store(batch)
        },
        None,
    );
    assert_eq!((report.stored, report.failed), (31, 0), "{report}");
    assert!(!journal.exists());

    let nowhere = Settings { journal: Some(folder.path().join("no/folder")), ..inner };
    let report = run(&nowhere, &|batch| archive.store(batch), None);
    assert_eq!(report.already_there, 1, "{report}");
}

/// Names that are no UTF-8 (a share of an old Windows) look the same as text. After
/// an interruption one such file was taken for the other, which was done, and left
/// out. And a name with a line feed or an escape sequence broke the report.
#[test]
fn names_that_are_no_text_are_told_apart() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let name = |bytes: &[u8]| folder.path().join(std::ffi::OsStr::from_bytes(bytes));
    let second = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for (name, byte) in [(name(b"gr\xfcn"), 1), (name(b"gr\xf6n"), 2)] {
        let mut content = fs::read(CT).unwrap();
        content.push(byte);
        let mut file = fs::File::create(&name).unwrap();
        file.write_all(&content).unwrap();
        file.set_modified(second).unwrap();
    }
    let journal = folder.path().join("journal");
    let settings =
        Settings { threads: 1, small_bytes_max: 1000, journal: Some(journal), ..settings(&[folder.path()]) };
    let archive = Map::default();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let store = |batch| {
            assert!(lock(&archive.0).is_empty(), "the power went out");
            archive.store(batch)
        };
        let _ = run(&settings, &store, None);
    }))
    .unwrap_err();
    let report = run(&settings, &|batch| archive.store(batch), None);
    assert_eq!((report.done_before, report.stored), (1, 1), "{report}");

    fs::write(name(b"a\n0  failed\x1b[2J"), fs::read(CT).unwrap()).unwrap();
    let store = |batch: Vec<Candidate>| vec![Outcome::Failed("no".to_owned()); batch.len()];
    let report = run(&Settings { journal: None, ..settings }, &store, None).to_string();
    for name in ["gr\\xfcn: no\n", "gr\\xf6n: no\n", "a\\n0  failed\\u{1b}[2J: no\n"] {
        assert!(report.contains(name), "{report}");
    }
}

/// A zip file may hold two entries of one name, of which the reader gives the last:
/// the other was left out, and the import called complete.
#[test]
fn entries_of_a_zip_file_that_cannot_be_had_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twice.zip");
    let mut writer = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    for name in ["IM0001", "IM0002"] {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(&fs::read(CT).unwrap()).unwrap();
        writer.write_all(name.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"IM0002")).collect();
    // Not the content, which has its checksum: the name before it and that in the directory.
    for at in [places[0], places[places.len() - 1]] {
        bytes[at..at + 6].copy_from_slice(b"IM0001");
    }
    fs::write(&path, bytes).unwrap();
    let archive = Map::default();
    let report = run(&settings(&[&path]), &|batch| archive.store(batch), None);
    assert_eq!((report.stored, report.failed), (1, 1), "{report}");
    assert!(report.to_string().contains("same name"), "{report}");
}

#[test]
fn dicom_is_told_by_its_first_bytes() {
    let uid = |path: &str| match recognise(&fs::read(path).unwrap()) {
        Recognised::Dicom { sop_instance } => sop_instance,
        other @ (Recognised::Directory | Recognised::Other) => panic!("{path} is {other:?}"),
    };
    assert_eq!(uid(CT).as_deref(), Some("1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"));
    let odd = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/odd");
    for name in ["ExplVR_BigEndNoMeta", "ExplVR_LitEndNoMeta", "rtstruct"] {
        assert_eq!(uid(&format!("{odd}/{name}.dcm")), None, "{name}");
    }
    assert_eq!(recognise(&fs::read(format!("{MEDIA}/DICOMDIR")).unwrap()), Recognised::Directory);
    assert_eq!(recognise(&fs::read(format!("{odd}/no_meta.dcm")).unwrap()), Recognised::Other);
    for other in [&b""[..], b"GIF89a..", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7\n", &[0; 200], &[8; 200]] {
        assert_eq!(recognise(other), Recognised::Other, "{other:?}");
    }
    let mut liar = vec![0; 128];
    liar.extend_from_slice(b"DICM\x02\x00\x03\x00UI\xff\xff1.2");
    assert_eq!(recognise(&liar), Recognised::Dicom { sop_instance: None });
}

/// Answers searches with `there` and stores with what `verdict` says of the UIDs
/// it finds in the body, in `bodies` requests or less.
fn server(
    there: &'static [&'static str],
    verdict: fn(&[u8]) -> (u16, String),
) -> (String, std::sync::Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let posts = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = posts.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            stream.read_line(&mut line).unwrap();
            let is_post = line.starts_with("POST /dicomweb/studies ");
            while line != "\r\n" {
                line.clear();
                stream.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            io::Read::read_exact(&mut stream, &mut body).unwrap();
            let (status, answer) = if is_post {
                counter.fetch_add(1, Ordering::Relaxed);
                verdict(&body)
            } else {
                let rows: Vec<_> =
                    there.iter().map(|uid| format!("{{\"00080018\":{{\"Value\":[\"{uid}\"]}}}}")).collect();
                (200, format!("[{}]", rows.join(",")))
            };
            let length = answer.len();
            let head =
                format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.get_mut().write_all((head + &answer).as_bytes()).unwrap();
        }
    });
    (address, posts)
}

fn candidate(uid: &str) -> Candidate {
    Candidate { content: Content::Bytes(format!("<{uid}>").into_bytes()), sop_instance: Some(uid.to_owned()) }
}

#[test]
fn a_batch_is_one_request_and_each_file_gets_its_own_outcome() {
    let (address, posts) = server(&["1.2"], |_| {
        let body = r#"{"00081199":{"vr":"SQ","Value":[{"00081155":{"Value":["1.1"]}},{"00081155":{"Value":["1.2"]}}]},
                       "00081198":{"vr":"SQ","Value":[{"00081155":{"Value":["1.3"]},"00081197":{"Value":[273]}}]}}"#;
        (202, body.to_owned())
    });
    let server = Server::connect(&address, None).unwrap();
    let outcomes = server.store(vec![candidate("1.1"), candidate("1.2"), candidate("1.3")]);
    assert_eq!(outcomes[..2], [Outcome::Stored, Outcome::AlreadyThere]);
    assert!(matches!(&outcomes[2], Outcome::Failed(why) if why.contains("0111")), "{outcomes:?}");
    assert_eq!(posts.load(Ordering::Relaxed), 1);
}

#[test]
fn what_cannot_be_matched_is_sent_again_alone() {
    // Takes single files only, and stores all but 1.2.
    let (address, posts) = server(&[], |body| {
        let body = String::from_utf8_lossy(body);
        let uids: Vec<_> =
            ["1.1", "1.2", "1.3"].into_iter().filter(|uid| body.contains(&format!("<{uid}>"))).collect();
        match uids[..] {
            ["1.2"] => (409, r#"{"0008119A":{"Value":[{"00081197":{"Value":[49152]}}]}}"#.to_owned()),
            [uid] => {
                (200, format!("{{\"00081199\":{{\"Value\":[{{\"00081155\":{{\"Value\":[\"{uid}\"]}}}}]}}}}"))
            }
            _ => (413, r#"{"title":"too large"}"#.to_owned()),
        }
    });
    let server = Server::connect(&address, None).unwrap();
    let outcomes = server.store(vec![candidate("1.1"), candidate("1.2"), candidate("1.3")]);
    assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Stored, &Outcome::Stored));
    assert!(matches!(&outcomes[1], Outcome::Failed(why) if why.contains("C000")), "{outcomes:?}");
    assert_eq!(posts.load(Ordering::Relaxed), 4);
}

/// A token that has ended in the middle of an import: each file was sent again by
/// itself, some hundred wrong tokens at once.
#[test]
fn who_may_not_store_is_told_once_a_batch() {
    let (address, posts) = server(&[], |_| (401, r#"{"detail":"the token has ended"}"#.to_owned()));
    let server = Server::connect(&address, None).unwrap();
    let outcomes = server.store(vec![candidate("1.1"), candidate("1.2"), candidate("1.3")]);
    for outcome in outcomes {
        assert!(matches!(&outcome, Outcome::Failed(why) if why.contains("has ended")), "{outcome:?}");
    }
    assert_eq!(posts.load(Ordering::Relaxed), 1);
}

#[test]
fn an_open_file_is_sent_whole() {
    let (address, _) = server(&[], |body| {
        let ct = fs::read(CT).unwrap();
        let whole = body.windows(ct.len()).any(|window| window == ct);
        let answer = if whole { r#"{"00081199":{"Value":[{"00081155":{"Value":["1.1"]}}]}}"# } else { "{}" };
        (200, answer.to_owned())
    });
    let server = Server::connect(&address, None).unwrap();
    let length = fs::metadata(CT).unwrap().len();
    let content = Content::File { file: fs::File::open(CT).unwrap(), length };
    assert_eq!(server.store(vec![Candidate { content, sop_instance: None }]), [Outcome::There]);
}

#[test]
fn an_address_that_is_none_is_refused() {
    for address in ["", "here", "ftp://x/", "dicomweb", "http://127.0.0.1:1/?a=b", "http://127.0.0.1:1/#a"] {
        assert!(matches!(Server::connect(address, None), Err(ServerError::Address(_))), "{address}");
    }
    assert!(matches!(Server::connect("http://127.0.0.1:1", None), Err(ServerError::Unreachable { .. })));
}

#[test]
fn a_token_goes_over_https_only_or_stays_on_this_machine() {
    for address in ["http://pacs.example.org", "http://192.0.2.1:8080/dicomweb", "http://[2001:db8::1]/"] {
        assert!(matches!(Server::connect(address, Some("secret")), Err(ServerError::Plain(_))), "{address}");
    }
    let (address, _) = server(&[], |_| (200, String::new()));
    for address in [address.clone(), address.replace("127.0.0.1", "localhost")] {
        assert!(Server::connect(&address, Some("secret")).is_ok(), "{address}");
    }
}
