//! Duplicates that are not refused (STO-20): one file is the instance, the
//! others are its versions. Nothing is lost, and nothing but `…/versions` shows
//! what is not current.

mod durable;

use reqwest::blocking::Response;
use serde_json::Value;

use crate::{
    harness::Hilum,
    library::{header, outcome, problem, reasons, text, values},
    sample::Sample,
};
use hilum::config::Duplicates;

const PATH: &str = "/studies/1.2/series/1.2.1/instances/1.2.1.1";

/// A file of the instance that its patient's name tells from others, with
/// `pixels` bytes of pixel data.
fn file(name: &str, pixels: u16) -> Vec<u8> {
    Sample::new("1.2", "1.2.1", "1.2.1.1")
        .text(0x0008_0060, "CS", if name < "M" { "CT" } else { "MR" })
        .text(0x0010_0010, "PN", name)
        .pixels(pixels / 100, 100, 1)
        .file()
}

fn with(duplicates: Duplicates) -> Hilum {
    Hilum::with(|config| {
        config.store.duplicates = duplicates;
        // A file of two hundred lines of pixels is streamed.
        config.store.small_bytes_max = 16 * 1024;
    })
}

impl Hilum {
    fn versions(&self) -> Vec<Value> {
        self.json(&format!("{PATH}/versions")).as_array().expect("a list").clone()
    }

    fn version(&self, version: &Value) -> Response {
        let url = version["url"].as_str().expect("a URL");
        self.client.get(url).send().expect("an answer")
    }

    /// The instance as everybody sees it.
    fn current(&self) -> Vec<u8> {
        self.get_as(PATH, "application/dicom; transfer-syntax=*").bytes().expect("a body").to_vec()
    }

    /// The patient's name by every way that shows it.
    fn names(&self) -> Vec<String> {
        let name =
            |set: &Value| set["00100010"]["Value"][0]["Alphabetic"].as_str().expect("a name").to_owned();
        let found =
            |path: &str| self.json(path).as_array().expect("a list").iter().map(name).collect::<Vec<_>>();
        let mut names = found("/studies");
        names.extend(found(&format!("{PATH}/metadata")));
        names.extend(found("/instances?includefield=PatientName"));
        names
    }
}

#[test]
fn sto_20_replace_makes_the_new_file_current() {
    for pixels in [0, 20_000] {
        let hilum = with(Duplicates::Replace);
        let (first, second, third) = (file("First", pixels), file("Second", pixels), file("Third", pixels));
        assert_eq!(outcome(hilum.store(&[&first])).0, 200);
        let etag = header(&hilum.get_as(PATH, "application/dicom"), "etag");
        assert_eq!(outcome(hilum.store(&[&second])).0, 200);
        assert_eq!(hilum.names(), ["Second"; 3]);
        assert_eq!(hilum.current(), second);
        assert_ne!(header(&hilum.get_as(PATH, "application/dicom"), "etag"), etag);
        // What the first one said of its series is no longer found.
        assert_eq!(hilum.json("/studies?ModalitiesInStudy=CT"), Value::Array(Vec::new()));
        assert_eq!(hilum.json("/studies?PatientName=First").as_array().map(Vec::len), Some(0));
        let study = hilum.json("/studies?PatientName=Second")[0].clone();
        assert_eq!((&study["00201208"]["Value"][0], text(&study, "00080061")), (&1.into(), "MR"));

        assert_eq!(outcome(hilum.store(&[&third])).0, 200);
        assert_eq!(outcome(hilum.store(&[&first])).0, 200, "it may come back");
        assert_eq!((hilum.current(), hilum.names()), (first.clone(), vec!["First".to_owned(); 3]));
        let versions = hilum.versions();
        assert_eq!(versions.len(), 4);
        for (version, bytes) in versions.iter().zip([&first, &second, &third, &first]) {
            assert_eq!(hilum.version(version).bytes().unwrap(), bytes.as_slice());
            assert_eq!(version["length"], bytes.len());
            assert_eq!(version["digest"], blake3::hash(bytes).to_hex().as_str());
            assert_eq!((&version["role"], &version["by"]), (&"stored".into(), &"local".into()));
        }
        let current: Vec<bool> = versions.iter().map(|version| version["current"] == true).collect();
        assert_eq!(current, [false, false, false, true]);
    }
}

#[test]
fn sto_20_keep_warns_and_loses_nothing() {
    for pixels in [0, 20_000] {
        let hilum = with(Duplicates::Keep);
        let (first, second) = (file("First", pixels), file("Second", pixels));
        assert_eq!(outcome(hilum.store(&[&first])).0, 200);
        let before = hilum.get(&format!("{PATH}/metadata")).send().unwrap();
        for _ in 0..2 {
            // The second time it is there already, and nothing is written.
            let (status, module) = outcome(hilum.store(&[&second]));
            assert_eq!((status, values(&module, "00081199").len()), (202, 1), "{module}");
            let item = values(&module, "00081199")[0];
            assert_eq!(item["00081196"]["Value"][0], 45063, "B007");
            let comment = text(values(item, "00741048")[0], "00000902");
            assert!(comment.contains("kept as a version"), "{comment}");
        }
        let versions = hilum.versions();
        assert_eq!(versions.len(), 2);
        assert_eq!((&versions[0]["current"], &versions[1]["role"]), (&true.into(), &"kept".into()));
        assert_eq!(hilum.version(&versions[1]).bytes().unwrap(), second);
        assert_eq!((hilum.current(), hilum.names()), (first, vec!["First".to_owned(); 3]));
        let after = hilum.get(&format!("{PATH}/metadata")).send().unwrap();
        assert_eq!(header(&after, "etag"), header(&before, "etag"), "nothing to be seen changed");
    }
}

#[test]
fn sto_20_the_same_bytes_and_another_place_by_every_rule() {
    for rule in [Duplicates::Reject, Duplicates::Replace, Duplicates::Keep] {
        let hilum = with(rule);
        let first = file("First", 0);
        for _ in 0..2 {
            assert_eq!(outcome(hilum.store(&[&first])).0, 200, "{rule:?}");
        }
        for elsewhere in [Sample::new("1.3", "1.2.1", "1.2.1.1"), Sample::new("1.2", "1.2.2", "1.2.1.1")] {
            let (status, module) = outcome(hilum.store(&[&elsewhere.file()]));
            assert_eq!((status, reasons(&module, "00081198")), (409, vec![273]), "{rule:?}");
        }
        assert_eq!(hilum.versions().len(), 1);
        let metrics = hilum.client.get(format!("{}/metrics", hilum.root)).send().unwrap().text().unwrap();
        for line in ["hilum_versions 0", "hilum_version_bytes 0", "hilum_dead_bytes 0"] {
            assert!(metrics.lines().any(|other| other == line), "{line}");
        }
    }
}

#[test]
fn sto_20_a_deletion_takes_the_versions_along() {
    for rule in [Duplicates::Replace, Duplicates::Keep] {
        for scope in ["/studies/1.2", "/studies/1.2/series/1.2.1", PATH] {
            let hilum = with(rule);
            hilum.store(&[&file("First", 0)]);
            hilum.store(&[&file("Second", 0)]);
            let versions = hilum.versions();
            assert_eq!(hilum.delete(scope).status(), 204);
            problem(hilum.get(&format!("{PATH}/versions")).send().unwrap(), 410, "gone");
            for version in &versions {
                problem(hilum.version(version), 410, "gone");
            }
            let metrics = hilum.client.get(format!("{}/metrics", hilum.root)).send().unwrap().text().unwrap();
            assert!(metrics.lines().any(|line| line == "hilum_version_bytes 0"));
            // What comes after a deletion has no history.
            assert_eq!(outcome(hilum.store(&[&file("Third", 0)])).0, 200);
            assert_eq!(hilum.versions().len(), 1);
            for version in &versions {
                problem(hilum.version(version), 404, "not-found");
            }
        }
    }
}

#[test]
fn sto_20_versions_have_a_limit() {
    for rule in [Duplicates::Replace, Duplicates::Keep] {
        let hilum = Hilum::with(|config| {
            config.store.duplicates = rule;
            config.store.versions_max = 2;
        });
        for name in ["A", "B", "C"] {
            assert!(outcome(hilum.store(&[&file(name, 0)])).0 < 300);
        }
        let (status, module) = outcome(hilum.store(&[&file("D", 0)]));
        assert_eq!((status, reasons(&module, "00081198")), (409, vec![273]));
        let comment = text(values(values(&module, "00081198")[0], "00741048")[0], "00000902");
        assert!(comment.contains("store.versions_max"), "{comment}");
        assert_eq!(hilum.versions().len(), 3);
    }
}

#[test]
fn sto_20_versions_are_files_as_others() {
    let hilum = with(Duplicates::Replace);
    let first = file("First", 20_000);
    hilum.store(&[&first]);
    hilum.store(&[&file("Second", 20_000)]);
    let versions = hilum.versions();
    let url = versions[0]["url"].as_str().unwrap().to_owned();
    let whole = hilum.version(&versions[0]);
    let content_type = header(&whole, "content-type");
    assert_eq!(content_type, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1");
    let etag = header(&whole, "etag");
    let part = hilum.client.get(&url).header("Range", "bytes=130-4000").send().unwrap();
    assert_eq!((part.status().as_u16(), header(&part, "etag")), (206, etag.clone()));
    assert_eq!(part.bytes().unwrap(), &first[130..=4000]);
    let same = hilum.client.get(&url).header("If-None-Match", etag).send().unwrap();
    assert_eq!(same.status(), 304);
    let head = hilum.client.head(&url).send().unwrap();
    assert_eq!(header(&head, "content-length"), first.len().to_string());

    let other = |end: &str| hilum.get(&format!("{PATH}/versions{end}")).send().unwrap();
    problem(other("/1"), 404, "not-found");
    problem(other("/x"), 400, "invalid-parameter");
    let png = hilum.get_as(&format!("{PATH}/versions"), "image/png");
    problem(png, 406, "not-acceptable");
    problem(hilum.get("/studies/1.2/series/1.2.1/instances/9/versions").send().unwrap(), 404, "not-found");
}

/// What was read lately is given from memory. Whoever asks after a change was
/// acknowledged gets what it made, and whoever asks meanwhile one or the other.
#[test]
fn what_is_remembered_is_never_older_than_what_was_acknowledged() {
    let hilum = with(Duplicates::Replace);
    let files = [file("First", 400), file("Second", 800)];
    let whole = |response: Response| (response.status().as_u16(), response.bytes().unwrap().to_vec());
    let read = || whole(hilum.get_as(PATH, "application/dicom; transfer-syntax=*"));
    assert_eq!(outcome(hilum.store(&[&files[0]])).0, 200);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [(); 3].map(|()| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    let (status, bytes) = read();
                    assert!(matches!(status, 200 | 410), "{status}");
                    assert!(status == 410 || files.contains(&bytes));
                }
            })
        });
        for round in 1..=40 {
            let file = &files[round % 2];
            assert_eq!(outcome(hilum.store(&[file])).0, 200);
            for _ in 0..2 {
                assert!(read() == (200, file.clone()), "round {round}");
            }
            if round % 8 == 0 {
                assert!(
                    hilum
                        .client
                        .delete(format!("{}{PATH}", hilum.base))
                        .send()
                        .unwrap()
                        .status()
                        .is_success()
                );
                assert_eq!(read().0, 410, "round {round}");
            }
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        for reader in readers {
            reader.join().expect("no reader fails");
        }
    });
}
