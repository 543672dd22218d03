//! No wrong byte is ever served. Files of an archive are damaged in seven ways,
//! then every way to read is tried: an answer is what it was before, or an
//! error, or it breaks off; and damage to one instance is felt by none beside.
//!
//! `TEST_DAMAGES` sets how many; `TEST_SEED` which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use reqwest::blocking::Response;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    harness::{Hilum, fixture},
    process::Dice,
};

const FIXTURES: [&str; 7] = [
    "CT_small.dcm",
    "ExplVR_BigEnd.dcm",
    "image_dfl.dcm",
    "SC_rgb_rle_2frame.dcm",
    "693_J2KI.dcm",
    "test-SR.dcm",
    "JPGExtended.dcm",
];
const TRANSACTION: &str = "1.2.826.0.1.3680043.10.1.777";
const KINDS: [&str; 7] = ["bit", "byte", "page", "truncated", "extended", "swapped", "deleted"];

/// What was asked, and with which Accept.
type Question = (String, &'static str);

/// An answer as far as it must not change.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Whole(u16, Vec<u8>),
    /// The parts of a multipart answer, in any order.
    Parts(u16, BTreeSet<Vec<u8>>),
    /// An error, or the answer broke off.
    Refused,
}

/// With the key of its archive, if that is encrypted.
fn start(data: &Path, key: Option<&Path>) -> Hilum {
    Hilum::with(|config| {
        config.data = data.to_path_buf();
        config.encryption.key_file = key.map(Path::to_path_buf).unwrap_or_default();
        config.public_url = Some("http://archive.test".to_owned());
    })
}

fn answer_of(response: reqwest::Result<Response>) -> Answer {
    let Ok(response) = response else { return Answer::Refused };
    let status = response.status().as_u16();
    if status >= 500 {
        return Answer::Refused;
    }
    let media =
        response.headers().get("content-type").and_then(|text| text.to_str().ok()).unwrap_or_default();
    let boundary = media.split("boundary=").nth(1).map(|boundary| boundary.trim_matches('"').to_owned());
    if status >= 400 {
        // A problem names the request.
        return Answer::Whole(status, Vec::new());
    }
    let Ok(body) = response.bytes() else { return Answer::Refused };
    let Some(boundary) = boundary else { return Answer::Whole(status, body.to_vec()) };
    let delimiter = format!("--{boundary}");
    let ends: Vec<usize> = memchr::memmem::find_iter(&body, delimiter.as_bytes()).collect();
    let parts = ends.windows(2).map(|pair| body[pair[0] + delimiter.len()..pair[1]].to_vec()).collect();
    Answer::Parts(status, parts)
}

fn ask(hilum: &Hilum, (path, accept): &Question) -> Answer {
    let root = if path.starts_with("/studies") || path.starts_with('/') { &hilum.base } else { &hilum.root };
    answer_of(hilum.client.get(format!("{root}{path}")).header("Accept", *accept).send())
}

/// Whether an answer to damaged storage is right: the same, refused, or some of
/// the parts with a status that says so.
fn is_right(was: &Answer, now: &Answer) -> bool {
    match (was, now) {
        (_, Answer::Refused) => true,
        (Answer::Parts(_, was), Answer::Parts(206, now)) => now.is_subset(was),
        (was, now) => was == now,
    }
}

/// An archive and what it answers.
struct Sample {
    folder: TempDir,
    key: Option<PathBuf>,
    answers: BTreeMap<Question, Answer>,
}

impl Sample {
    fn new(encrypted: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let key = encrypted.then(|| folder.path().join("master.key"));
        if let Some(key) = &key {
            fs::write(key, "6".repeat(64)).unwrap();
        }
        // Without a public URL, by which the files just stored are found.
        let mut hilum = Hilum::with(|config| {
            config.data.clone_from(&data);
            config.encryption.key_file = key.clone().unwrap_or_default();
        });
        let stored: Vec<_> = FIXTURES.iter().map(|name| hilum.store_fixture(&fixture_name(name))).collect();
        let mut questions: Vec<Question> = Vec::new();
        let any = "application/dicom; transfer-syntax=*";
        let multipart = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
        let json = "application/dicom+json";
        for stored in &stored {
            for path in [&stored.path, &format!("/studies/{}", stored.study)] {
                questions.push((path.clone(), multipart));
                questions.push((path.clone(), "multipart/related; type=\"application/dicom\""));
                questions.push((path.clone(), "application/zip"));
                questions.push((format!("{path}/metadata"), json));
                questions
                    .push((format!("{path}/metadata"), "multipart/related; type=\"application/dicom+xml\""));
                questions.push((format!("{path}/bulkdata"), "*/*"));
            }
            questions.push((stored.path.clone(), any));
            questions
                .push((format!("{}/frames/1", stored.path), "application/octet-stream; transfer-syntax=*"));
            questions.push((format!("{}/frames/1", stored.path), "*/*"));
            questions.push((format!("{}/rendered", stored.path), "image/png"));
            questions.push((format!("{}/thumbnail", stored.path), "*/*"));
            questions.push((format!("/studies/{}/instances?includefield=all", stored.study), json));
        }
        for search in [
            "/studies?includefield=all",
            "/series?includefield=all",
            "/instances?includefield=all",
            "/studies?PatientID=1CT1",
            "/studies?PatientName=*a*",
            "/instances?Modality=CT,MR",
            "/studies?StudyDate=19000101-20301231",
        ] {
            questions.push((search.to_owned(), json));
        }
        let items: Vec<_> = stored
            .iter()
            .map(|stored| {
                json!({
                    "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
                    "00081155": {"vr": "UI", "Value": [stored.instance]},
                })
            })
            .collect();
        let commitment = format!("/commitment-requests/{TRANSACTION}");
        let asked = hilum
            .client
            .post(format!("{}{commitment}", hilum.base))
            .header("Content-Type", "application/dicom+json")
            .body(json!([{"00081199": {"vr": "SQ", "Value": items}}]).to_string())
            .send()
            .unwrap();
        assert!(asked.status().is_success(), "{:?}", asked.text());
        questions.push((commitment, json));
        // Searched with all in the index and none beside it.
        hilum.stop();
        hilum = start(&data, key.as_deref());
        let mut answers = BTreeMap::new();
        for question in questions {
            let answer = ask(&hilum, &question);
            answers.insert(question, answer);
        }
        let whole =
            answers.values().filter(|answer| matches!(answer, Answer::Whole(200, _) | Answer::Parts(200, _)));
        assert!(whole.count() * 3 > answers.len() * 2, "most questions have an answer");
        hilum.stop();
        Self { folder, key, answers }
    }

    /// A copy of the archive's folder.
    fn copy(&self) -> TempDir {
        let to = TempDir::new().unwrap();
        copy(&self.folder.path().join("data"), &to.path().join("data"));
        to
    }
}

fn fixture_name(name: &str) -> String {
    assert!(!fixture(name).is_empty());
    name.to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All files that hold something, by the part of the archive they are of.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
}

/// Damages a file in one way; where, for the message.
fn damage(path: &Path, kind: &str, dice: &mut Dice) -> String {
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len();
    let below = |dice: &mut Dice, end: usize| usize::try_from(dice.below(end.max(1) as u64)).unwrap();
    // Half of the time where something stands.
    let mut at = below(dice, length);
    for _ in 0..40 {
        if bytes[at] != 0 || dice.chance(10) {
            break;
        }
        at = below(dice, length);
    }
    match kind {
        "bit" => bytes[at] ^= 1 << dice.below(8),
        "byte" => bytes[at] = bytes[at].wrapping_add(1 + dice.below(255) as u8),
        "page" => {
            let start = at / 4096 * 4096;
            let end = (start + 4096).min(length);
            bytes[start..end].fill(0);
        }
        "truncated" => bytes.truncate(at),
        "extended" => bytes.extend((0..=dice.below(6000)).map(|number| (number * 7 + 13) as u8)),
        "swapped" => {
            let size = (length / 2).min(4096);
            let (a, b) = (at / size.max(1) * size, below(dice, length) / size.max(1) * size);
            if a.abs_diff(b) >= size && a.max(b) + size <= length {
                for index in 0..size {
                    bytes.swap(a + index, b + index);
                }
            } else {
                bytes.rotate_left(length / 2);
            }
        }
        _ => {
            fs::remove_file(path).unwrap();
            return "deleted".to_owned();
        }
    }
    let mode = fs::metadata(path).unwrap().permissions();
    drop(fs::remove_file(path));
    fs::write(path, &bytes).unwrap();
    fs::set_permissions(path, mode).unwrap();
    format!("{kind} at {at} of {length}")
}

#[test]
fn no_wrong_byte_is_served() {
    no_wrong_byte(false);
}

#[test]
fn no_wrong_byte_of_an_encrypted_archive_is_served() {
    no_wrong_byte(true);
}

fn no_wrong_byte(encrypted: bool) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let damages: u64 = number("TEST_DAMAGES").unwrap_or(if encrypted { 7 } else { 14 });
    let seed: u64 = number("TEST_SEED").unwrap_or(4711);
    let sample = Sample::new(encrypted);
    let mut dice = Dice::new(seed);
    let mut tally: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    for round in 0..damages {
        let copy = sample.copy();
        let data = copy.path().join("data");
        let kind = KINDS[usize::try_from(round).unwrap() % KINDS.len()];
        // The packs as often as all else together.
        let part = ["packs", "catalog.redb", "packs", "index", "packs", "thumbnails", "packs", "commitments"]
            [usize::try_from(dice.below(8)).unwrap()];
        let mut found = Vec::new();
        let at = data.join(part);
        if at.is_dir() {
            files(&at, &mut found);
        } else {
            found.push(at);
        }
        if part == "packs" && dice.chance(85) {
            found.retain(|path| path.extension().is_some_and(|extension| extension == "tar"));
        }
        let path = found[usize::try_from(dice.below(found.len() as u64)).unwrap()].clone();
        let place = damage(&path, kind, &mut dice);
        let name = path.strip_prefix(&data).unwrap().display().to_string();
        let said = format!("TEST_SEED={seed}, damage {round}: {name}, {place}");
        // A server that does not start serves nothing wrong.
        let Ok(hilum) = catch_unwind(AssertUnwindSafe(|| start(&data, sample.key.as_deref()))) else {
            *tally.entry((kind, "not started")).or_default() += 1;
            println!("{said}: not started");
            continue;
        };
        let mut refused = BTreeSet::new();
        for (question, was) in &sample.answers {
            let now = ask(&hilum, question);
            // A result that is deleted is not known of any more.
            let forgotten =
                kind == "deleted" && part == "commitments" && question.0.starts_with("/commitment");
            if !is_right(was, &now) && !forgotten {
                wrong.push(format!("{said}: {question:?} was {was:.200?} and is {now:.200?}"));
            }
            if now == Answer::Refused && *was != Answer::Refused {
                refused.insert(question.0.clone());
            }
        }
        if part == "packs" && matches!(kind, "bit" | "byte") {
            let hurt: BTreeSet<&str> = refused
                .iter()
                .filter_map(|path| path.split("/instances/").nth(1)?.split('/').next())
                .collect();
            assert!(hurt.len() <= 1, "{said}: more than one instance fails: {refused:#?}");
        }
        let outcome = if refused.is_empty() { "not felt" } else { "refused" };
        *tally.entry((kind, outcome)).or_default() += 1;
        println!("{said}: {} questions refused", refused.len());
    }
    println!("{damages} damages: {tally:#?}");
    assert!(wrong.is_empty(), "{} wrong answers: {wrong:#?}", wrong.len());
}
