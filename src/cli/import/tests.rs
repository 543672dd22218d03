//! Import against an archive that is a map, and against a server of twenty lines.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
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
    let report = run(&settings(&[Path::new(MEDIA)]), &|batch| archive.store(batch)).unwrap();
    assert_eq!((report.stored, report.directories, report.failed), (31, 1, 0), "{report}");

    let with_dicomdir = zipped(&folder.path().join("no extension"));
    fs::write(folder.path().join("letter.txt"), "Dear colleague").unwrap();
    fs::copy(CT, folder.path().join("ct")).unwrap();
    let report = run(&settings(&[folder.path()]), &|batch| archive.store(batch)).unwrap();
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
    let report = run(&settings, &|batch| {
        assert!(batch.iter().all(|candidate| matches!(candidate.content, Content::File { .. })));
        archive.store(batch)
    })
    .unwrap();
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
    let report = run(&settings, &|batch| archive.store(batch)).unwrap();
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
        run(&small, &|batch| {
            assert!(batches.fetch_add(1, Ordering::Relaxed) < 4, "the power went out");
            archive.store(batch)
        })
    }));
    assert!(died.is_err());
    let before = lock(&archive.0).len() as u64;
    assert!(before > 0 && before < 31);
    assert_eq!(fs::metadata(&journal).unwrap().len(), before * 16);
    // A torn last entry is no entry.
    fs::OpenOptions::new().append(true).open(&journal).unwrap().write_all(b"torn").unwrap();

    let report = run(&settings, &|batch| archive.store(batch)).unwrap();
    assert_eq!(
        (report.done_before, report.stored, report.already_there),
        (before, 31 - before, 0),
        "{report}"
    );
    assert!(!journal.exists());
    let report = run(&settings, &|batch| archive.store(batch)).unwrap();
    assert_eq!((report.done_before, report.already_there), (0, 31), "{report}");
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
    assert_eq!(server.store(vec![Candidate { content, sop_instance: None }]), [Outcome::Stored]);
}

#[test]
fn an_address_that_is_none_is_refused() {
    for address in ["", "here", "ftp://x/", "dicomweb"] {
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
