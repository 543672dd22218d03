//! What stands in the files of an archive: unusual words in all that arrives, by
//! all ways in, and then every byte of every file is searched for them. The same
//! is done in an archive in the clear, where they must be found: else the search
//! would prove nothing.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tempfile::TempDir;

use crate::{
    crash::begin_and_kill,
    harness::multipart,
    process::{Process, encrypt, hilum, run, verify},
    sample::Sample,
};

const NAME: &str = "Zqxnamej";
const PATIENT_ID: &str = "Zqxidentj";
const DESCRIPTION: &str = "Zqxwordsj";
const COMMENTS: &str = "Zqxcommentj";
const DOCUMENT: &str = "Zqxletterj";
const UPLOAD: &str = "Zqxtusj";
const FILE_NAME: &str = "Zqxfilej.dcm";
const CUT_OFF: &str = "Zqxcutj";
/// Pixels, which are in thumbnails and packs.
const PIXELS: &str = "Zqxpixelj";

const ALL: [&str; 8] = [NAME, PATIENT_ID, DESCRIPTION, COMMENTS, DOCUMENT, UPLOAD, CUT_OFF, PIXELS];

fn sample(instance: &str, words: &str, lines: u16) -> Vec<u8> {
    let size = usize::from(lines) * 100;
    let pixels: Vec<u8> = PIXELS.bytes().cycle().take(size).collect();
    Sample::new("1.2.77", "1.2.77.1", instance)
        .text(0x0008_0020, "DA", "20260101")
        .text(0x0010_0010, "PN", &format!("{NAME}^First"))
        .text(0x0010_0020, "LO", PATIENT_ID)
        .text(0x0008_1030, "LO", DESCRIPTION)
        .text(0x0010_4000, "LT", &format!("{COMMENTS} {words}"))
        .pixels(lines, 100, 1)
        .bytes(0x7FE0_0010, "OW", pixels)
        .file()
}

fn document(instance: &str) -> Vec<u8> {
    let text = format!(
        "<?xml version=\"1.0\"?><ClinicalDocument><title>{DOCUMENT} of the left</title></ClinicalDocument>"
    );
    let mut text = text.into_bytes();
    text.resize(text.len().next_multiple_of(2), b' ');
    Sample::new("1.2.78", "1.2.78.1", instance)
        .text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.104.2")
        .text(0x0010_0020, "LO", PATIENT_ID)
        .text(0x0042_0012, "LO", "text/xml")
        .bytes(0x0042_0011, "OB", text)
        .file()
}

fn tus(server: &Process, length: usize, bytes: &[u8]) -> String {
    let request = |method: &str, url: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        server.client.request(method, url).header("Tus-Resumable", "1.0.0")
    };
    let root = server.base.trim_end_matches("/dicomweb");
    let metadata =
        format!("filename {},filetype {}", STANDARD.encode(FILE_NAME), STANDARD.encode("application/dicom"));
    let begun = request("POST", &format!("{root}/uploads"))
        .header("Upload-Length", length)
        .header("Upload-Metadata", metadata)
        .send()
        .unwrap();
    assert_eq!(begun.status(), 201);
    let url = begun.headers()["location"].to_str().unwrap().to_owned();
    let sent = request("PATCH", &url)
        .header("Upload-Offset", 0)
        .header("Content-Type", "application/offset+octet-stream")
        .body(bytes.to_vec())
        .send()
        .unwrap();
    assert_eq!(sent.status(), 204);
    url
}

/// A store request that never comes to its end.
fn cut_off(server: &Process) -> TcpStream {
    let file = sample("1.2.77.9", CUT_OFF, 9000);
    let body = multipart("XX-hilum-XX", &[&file]);
    let host = server.base.trim_start_matches("http://").trim_end_matches("/dicomweb");
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST /dicomweb/studies HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nContent-Type: \
         multipart/related; type=\"application/dicom\"; boundary=XX-hilum-XX\r\n\r\n",
        body.len()
    )
    .unwrap();
    stream.write_all(&body[..body.len() - 5000]).unwrap();
    stream
}

/// A place's files that say a word, in whatever letters: as it is, in lower case
/// as the index has it, as UTF-16, or as tus sends it.
fn says(folder: &Path, word: &str) -> BTreeSet<String> {
    let lower = word.to_lowercase().into_bytes();
    let wide = |low_first: bool| -> Vec<u8> {
        lower.iter().flat_map(|&byte| if low_first { [byte, 0] } else { [0, byte] }).collect()
    };
    let encoded = STANDARD.encode(word).trim_end_matches('=').to_lowercase().into_bytes();
    let forms = [lower.clone(), wide(true), wide(false), encoded];
    let mut found = BTreeSet::new();
    for entry in walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap) {
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).unwrap().to_ascii_lowercase();
            if forms.iter().any(|form| memchr::memmem::find(&bytes, form).is_some()) {
                found.insert(entry.path().strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    found
}

/// The files below a folder that begin as a picture may, after what else
/// thumbnails begin with.
fn pictures(folder: &Path) -> usize {
    let files = walkdir::WalkDir::new(folder.join("thumbnails")).into_iter().flatten();
    let is_picture = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        [&b"\xFF\xD8\xFF"[..], b"\x89PNG"].iter().any(|magic| memchr::memmem::find(&bytes, magic).is_some())
    };
    files.filter(|entry| entry.file_type().is_file() && is_picture(entry.path())).count()
}

/// Fills an archive by all ways in, and kills its server in the middle.
fn fill(data: &Path) {
    let mut server = Process::start(data);
    // Small ones together, one that is streamed, one of which text is read.
    server.must_store(&[&sample("1.2.77.2", "one", 10), &sample("1.2.77.3", "two", 10)]);
    server.must_store(&[&sample("1.2.77.4", "three", 3000)]);
    server.must_store(&[&document("1.2.78.2")]);
    let whole = sample("1.2.77.5", UPLOAD, 1000);
    let url = tus(&server, whole.len(), &whole);
    let path = "/studies/1.2.77/series/1.2.77.1/instances";
    let until = Instant::now() + Duration::from_secs(30);
    while server.get(&format!("{path}/1.2.77.5/metadata")).status() != 200 {
        assert!(Instant::now() < until, "{:?}", server.client.get(&url).send().unwrap().text());
        std::thread::sleep(Duration::from_millis(20));
    }
    tus(&server, 1 << 20, &sample("1.2.77.6", UPLOAD, 1000));
    assert_eq!(server.get(&format!("{path}/1.2.77.4/thumbnail")).status(), 200);
    for word in [NAME, DESCRIPTION, DOCUMENT] {
        let until = Instant::now() + Duration::from_secs(30);
        while server.search_all(&format!("/studies?q={}", word.to_lowercase())).is_empty() {
            assert!(Instant::now() < until, "{word}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let streams = [cut_off(&server), cut_off(&server)];
    // Until the catalog is durable and the index has a commit.
    std::thread::sleep(Duration::from_millis(2500));
    server.kill();
    drop(streams);
}

fn of(found: &BTreeSet<String>, place: &str) -> bool {
    found.iter().any(|path| path.starts_with(place))
}

/// What an encrypted archive may say, and nothing else: the audit log names
/// patients by their identifier, and searches by what was searched for.
fn only_the_audit_log(data: &Path, packs_of_before: bool) {
    for word in ALL.into_iter().chain([FILE_NAME]) {
        let mut found = says(data, word);
        found.retain(|path| !(path.starts_with("audit/") || packs_of_before && path.starts_with("packs/")));
        assert!(found.is_empty(), "{word}: {found:?}");
    }
    for word in [COMMENTS, UPLOAD, CUT_OFF, FILE_NAME, PIXELS] {
        assert!(!of(&says(data, word), "audit/"), "{word}");
    }
    assert_eq!(pictures(data), 0);
}

fn works(data: &Path) {
    let server = Process::start(data);
    for (instance, words, lines) in
        [("1.2.77.2", "one", 10), ("1.2.77.4", "three", 3000), ("1.2.77.5", UPLOAD, 1000)]
    {
        let path = format!("/studies/1.2.77/series/1.2.77.1/instances/{instance}");
        assert!(server.file(&path) == Ok(sample(instance, words, lines)), "{instance}");
    }
    assert_eq!(server.search_all(&format!("/studies?PatientName={NAME}*")).len(), 1);
    assert_eq!(server.search_all(&format!("/studies?q={}", DOCUMENT.to_lowercase())).len(), 1);
    assert_eq!(server.get("/studies/1.2.77/series/1.2.77.1/instances/1.2.77.4/thumbnail").status(), 200);
    assert!(server.stop().success());
    let (clean, report) = verify(data);
    assert!(clean, "{report:#}");
}

fn places() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    (folder, data)
}

#[test]
fn nothing_of_a_patient_stands_in_any_file() {
    let (folder, data) = places();
    encrypt(&data);
    fill(&data);
    assert!(data.join("catalog.redb").exists() && data.join("index/meta.json").exists());
    assert!(walkdir::WalkDir::new(data.join("thumbnails")).into_iter().count() > 2);
    assert_eq!(fs::read_dir(data.join("uploads")).unwrap().count(), 3, "a note, and one with its bytes");
    only_the_audit_log(&data, false);
    works(&data);
    only_the_audit_log(&data, false);
    // Nor in a copy of it, nor in what is made of that.
    let (place, again) = (folder.path().join("backups"), folder.path().join("again"));
    assert!(run("backup", &data, &[place.to_str().unwrap()]).status.success());
    let copies: BTreeSet<String> = ALL.into_iter().flat_map(|word| says(&place, word)).collect();
    let said =
        |copy: &String| ALL.into_iter().filter(|word| says(&place, word).contains(copy)).collect::<Vec<_>>();
    assert_eq!(copies.len(), 1, "that of the audit log: {copies:?}");
    let said = said(copies.first().unwrap());
    assert!(said.contains(&PATIENT_ID), "as it has it itself");
    assert!([COMMENTS, UPLOAD, CUT_OFF, PIXELS].iter().all(|word| !said.contains(word)), "{said:?}");
    assert!(says(&place, FILE_NAME).is_empty());
    assert!(run("restore", &again, &[place.to_str().unwrap()]).status.success());
    only_the_audit_log(&again, false);
    works(&again);
    only_the_audit_log(&again, false);
    assert!(run("rebuild", &data, &[]).status.success());
    only_the_audit_log(&data, false);
    works(&data);
}

/// The words are where they are looked for, when nothing is encrypted; and
/// encryption that is switched on later takes them out of all but the packs,
/// however often it is cut off.
#[test]
fn in_the_clear_they_are_found_until_it_is_encrypted() {
    let (_folder, data) = places();
    fill(&data);
    for (word, places) in [
        (NAME, &["packs/", "catalog.redb", "index/"][..]),
        (PATIENT_ID, &["packs/", "catalog.redb", "index/", "audit/"]),
        (DESCRIPTION, &["packs/", "catalog.redb", "index/"]),
        (COMMENTS, &["packs/", "catalog.redb"]),
        (DOCUMENT, &["packs/", "index/"]),
        (UPLOAD, &["packs/", "uploads/"]),
        (FILE_NAME, &["uploads/"]),
        (CUT_OFF, &["packs/"]),
        (PIXELS, &["packs/", "uploads/"]),
    ] {
        let found = says(&data, word);
        for place in places {
            assert!(of(&found, place), "{word} is not in {place}: {found:?}");
        }
    }
    assert!(pictures(&data) > 0);
    fs::copy(data.join("catalog.redb"), data.join("catalog.damaged-1.redb")).unwrap();
    encrypt(&data);
    for moment in [5, 20, 40, 60, 90, 130] {
        let mut command = hilum("serve", &data);
        command.args(["--listen", "127.0.0.1:0"]);
        begin_and_kill(command, Duration::from_millis(moment));
    }
    works(&data);
    only_the_audit_log(&data, true);
    let mut command = Command::new(crate::process::binary());
    let without = command.args(["serve", "--data"]).arg(&data).output().unwrap();
    assert!(String::from_utf8_lossy(&without.stderr).contains("encrypted and no key is given"));
    only_the_audit_log(&data, true);
    works(&data);
}
