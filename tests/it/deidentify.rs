//! De-identified copies, over HTTP: nothing of the original in any byte of them,
//! one copy however often it is asked for, and the same one after a crash, in a
//! restored archive and for a share.

use std::{os::unix::fs::PermissionsExt, path::Path};

use reqwest::{StatusCode, blocking::Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{Hilum, json_of, parts},
    library::Library,
    process::{Process, hilum},
    sample::Sample,
};

/// Long enough not to be in pixels by chance.
const NAME: &str = "MUELLERSCHMIDT^HEINRICHAUGUST";
const ID: &str = "PATIENT-4711-0815";
const STUDY: &str = "1.2.826.0.1.3680043.4711.1";
const DAY: &str = "20210317";
const PRIVATE: &str = "PRIVATEWORDOFADEVICE";

/// All that must not be found in a copy.
const MARKS: [&str; 10] = [
    "MUELLERSCHMIDT",
    "HEINRICHAUGUST",
    ID,
    "1.2.826.0.1.3680043.4711",
    DAY,
    "19470811",
    "CLINICOFTHENORTH",
    "SERIALNUMBER4711",
    PRIVATE,
    "DOCTORREFERRING",
];

/// One instance that says much of its patient.
fn file(study: &str, number: u8) -> Sample {
    let reference = Sample::empty().text(0x0008_1150, "UI", "1.2.840.10008.5.1.4.1.1.2").text(
        0x0008_1155,
        "UI",
        &format!("{study}.1.1"),
    );
    let request = Sample::empty().text(0x0010_0020, "LO", ID).text(0x0040_1001, "SH", "REQ-4711");
    let nested = Sample::empty()
        .text(0x0010_0010, "PN", NAME)
        .text(0x0008_0022, "DA", DAY)
        .text(0x0011_0010, "LO", "OWN 1")
        .text(0x0011_1001, "LO", PRIVATE)
        .items(0x0008_1140, &[reference]);
    Sample::new(study, &format!("{study}.1"), &format!("{study}.1.{number}"))
        .text(0x0008_0005, "CS", "ISO_IR 100")
        .text(0x0008_0020, "DA", DAY)
        .text(0x0008_0021, "DA", DAY)
        .text(0x0008_0023, "DA", DAY)
        .text(0x0008_0030, "TM", "101112")
        .text(0x0008_002A, "DT", &format!("{DAY}101112"))
        .text(0x0008_0050, "SH", "ACCESSION4711")
        .text(0x0008_0060, "CS", "CT")
        .text(0x0008_0080, "LO", "CLINICOFTHENORTH")
        .text(0x0008_0090, "PN", "DOCTORREFERRING")
        .text(0x0009_0010, "LO", "OWN 1")
        .text(0x0009_1001, "LO", PRIVATE)
        .text(0x0010_0010, "PN", NAME)
        .text(0x0010_0020, "LO", ID)
        .text(0x0010_0030, "DA", "19470811")
        .text(0x0010_0040, "CS", "F")
        .text(0x0018_0015, "CS", "CHEST")
        .text(0x0018_1000, "LO", "SERIALNUMBER4711")
        .text(0x0020_0052, "UI", &format!("{study}.9"))
        .text(0x0020_0013, "IS", &number.to_string())
        .items(0x0040_0275, &[request])
        .items(0x5200_9229, &[nested])
        .pixels(16, 16, 1)
}

fn deidentify(hilum: &Hilum, study: &str, body: &Value) -> Response {
    let request = hilum.client.post(format!("{}/studies/{study}/deidentified", hilum.base));
    request.header("Content-Type", "application/json").body(body.to_string()).send().unwrap()
}

fn made(hilum: &Hilum, study: &str, body: &Value) -> (StatusCode, Value) {
    let answer = deidentify(hilum, study, body);
    (answer.status(), json_of(answer))
}

fn has(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// The files of a study, as they are stored.
fn files(hilum: &Hilum, study: &str) -> Vec<Vec<u8>> {
    let accept = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
    let answer = hilum.get(&format!("/studies/{study}")).header("Accept", accept).send().unwrap();
    assert_eq!(answer.status(), 200);
    parts(answer).into_iter().map(|(_, file)| file).collect()
}

#[test]
fn a_copy_says_nothing_of_its_original() {
    let hilum = Hilum::start();
    let (one, two) = (file(STUDY, 1).file(), file(STUDY, 2).file());
    assert_eq!(hilum.store(&[&one, &two]).status(), 200);
    let (status, copy) = made(&hilum, STUDY, &json!({}));
    assert_eq!(status, 201, "{copy}");
    assert_eq!((&copy["stored"], &copy["left_out"]), (&json!(2), &json!([])), "{copy}");
    let uid = copy["deidentified"].as_str().unwrap();
    assert_eq!(copy["url"], format!("{}/studies/{uid}", hilum.base));
    let copies = files(&hilum, uid);
    assert_eq!(copies.len(), 2);
    let metadata = hilum.get(&format!("/studies/{uid}/metadata")).send().unwrap().bytes().unwrap();
    let found = hilum.get(&format!("/studies?StudyInstanceUID={uid}&includefield=all")).send().unwrap();
    let found = found.bytes().unwrap();
    for mark in MARKS {
        assert!(has(&one, mark), "the test is about {mark}");
        for bytes in copies.iter().map(Vec::as_slice).chain([&metadata[..], &found[..]]) {
            assert!(!has(bytes, mark), "{mark}");
        }
    }
    for copy in &copies {
        assert!(has(copy, "CHEST"), "what no table names stays");
        // Preamble and meta are the archive's own, the pixels those of the original.
        assert!(copy[..128].iter().all(|byte| *byte == 0));
        assert_eq!(copy[copy.len() - 256..], one[one.len() - 256..]);
    }
    // References lead to copies.
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    let nested = &metadata[1]["52009229"]["Value"][0]["00081140"]["Value"][0]["00081155"]["Value"][0];
    let instances: Vec<&Value> =
        metadata.as_array().unwrap().iter().map(|set| &set["00080018"]["Value"][0]).collect();
    assert!(instances.contains(&nested), "{nested}");
    assert_eq!(metadata[0]["00120062"]["Value"][0], "YES");
    assert_eq!(metadata[0]["00120064"]["Value"][0]["00080100"]["Value"][0], "113100");
    assert_eq!(metadata[0]["00280303"]["Value"][0], "REMOVED");
    let pseudonym = metadata[0]["00100020"]["Value"][0].as_str().unwrap();
    assert!(pseudonym.starts_with("ANON-"));
    assert_eq!(metadata[0]["00100010"]["Value"][0]["Alphabetic"], pseudonym);
    // The originals stay as they are.
    assert_eq!(files(&hilum, STUDY), [one, two]);
}

#[test]
fn it_is_the_same_copy_however_often_it_is_asked_for() {
    let hilum = Hilum::start();
    assert_eq!(hilum.store(&[&file(STUDY, 1).file()]).status(), 200);
    let (status, first) = made(&hilum, STUDY, &json!({}));
    assert_eq!(status, 201);
    let uid = first["deidentified"].as_str().unwrap().to_owned();
    let bytes = files(&hilum, &uid);
    let (status, again) = made(&hilum, STUDY, &json!({}));
    assert_eq!((status, &again["stored"], &again["already_there"]), (StatusCode::OK, &json!(0), &json!(1)));
    assert_eq!(again["deidentified"], uid);
    // What comes to the original is copied when it is asked for again, and what was deleted too.
    assert_eq!(hilum.store(&[&file(STUDY, 2).file()]).status(), 200);
    let (status, more) = made(&hilum, STUDY, &json!({}));
    assert_eq!(
        (status, &more["stored"], &more["already_there"]),
        (StatusCode::CREATED, &json!(1), &json!(1))
    );
    assert_eq!(hilum.delete(&format!("/studies/{uid}")).status(), 204);
    assert_eq!(made(&hilum, STUDY, &json!({})).1["stored"], 2);
    assert!(files(&hilum, &uid).contains(&bytes[0]));
    // Another study of the patient has the same pseudonym, and other options are another copy.
    let other = format!("{STUDY}.5");
    assert_eq!(hilum.store(&[&file(&other, 1).file()]).status(), 200);
    let (_, second) =
        made(&hilum, &other, &json!({ "retain": ["modified-dates", "patient-characteristics"] }));
    let (_, third) = made(&hilum, &other, &json!({ "retain": ["full-dates", "device-identity"] }));
    assert_ne!(second["deidentified"], third["deidentified"]);
    let metadata = |copy: &Value| {
        hilum.json(&format!("/studies/{}/metadata", copy["deidentified"].as_str().unwrap()))[0].clone()
    };
    let (first, second, third) = (metadata(&first), metadata(&second), metadata(&third));
    assert_eq!(first["00100020"], second["00100020"]);
    assert_eq!(second["00100040"]["Value"][0], "F");
    assert_eq!(second["00280303"]["Value"][0], "MODIFIED");
    assert!(second["00080020"]["Value"][0].is_string() && second["00080020"]["Value"][0] != DAY);
    assert_eq!(third["00080020"]["Value"][0], DAY);
    assert_eq!(third["00181000"]["Value"][0], "SERIALNUMBER4711");
    assert_eq!(third["00100040"]["Value"], Value::Null);
    assert_eq!(third["00280303"]["Value"][0], "UNMODIFIED");
}

#[test]
fn what_may_name_somebody_is_left_out_and_named() {
    let hilum = Hilum::start();
    let burned = file(STUDY, 2).text(0x0028_0301, "CS", "YES").file();
    let capture = file(STUDY, 3).text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.7").file();
    let report = file(STUDY, 4).text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.88.11").file();
    assert_eq!(hilum.store(&[&burned, &report, &capture]).status(), 200);
    let (status, nothing) = made(&hilum, STUDY, &json!({}));
    assert_eq!((status, &nothing["code"]), (StatusCode::CONFLICT, &json!("not-deidentifiable")));
    assert_eq!(hilum.json("/studies/count")["count"], 1);
    assert_eq!(hilum.store(&[&file(STUDY, 1).file()]).status(), 200);
    let (status, copy) = made(&hilum, STUDY, &json!({}));
    assert_eq!((status, &copy["stored"]), (StatusCode::CREATED, &json!(1)));
    let reasons = |copy: &Value| -> Vec<String> {
        let list = copy["left_out"].as_array().unwrap();
        list.iter().map(|left| left["reason"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(reasons(&copy), ["burned-in-annotation", "pixels-in-doubt", "structured-report"]);
    assert_eq!(copy["left_out"][0]["instances"][0], format!("{STUDY}.1.2"));
    // Somebody has looked at them; what says itself that it names somebody stays out.
    let (_, copy) = made(&hilum, STUDY, &json!({ "pixels": "looked-at" }));
    assert_eq!((&copy["stored"], &copy["already_there"]), (&json!(1), &json!(1)));
    assert_eq!(reasons(&copy), ["burned-in-annotation", "structured-report"]);
    for wrong in [
        json!({ "retain": ["full-dates", "modified-dates"] }),
        json!({ "retain": ["uids"] }),
        json!({ "retain": "full-dates" }),
        json!({ "pixel": "looked-at" }),
        json!([1]),
    ] {
        assert_eq!(made(&hilum, STUDY, &wrong).0, 400, "{wrong}");
    }
    assert_eq!(made(&hilum, "1.2.3.99", &json!({})).0, 404);
    assert_eq!(made(&hilum, "1.2.3.x", &json!({})).0, 400);
    let gone = hilum.get(&format!("/studies/{STUDY}/deidentified")).send().unwrap();
    assert_eq!(gone.status(), 405);
}

/// Real files of many transfer syntaxes.
#[test]
fn real_files_are_copied_without_what_they_say() {
    let Library { hilum, held } = Library::open();
    let mut copied = 0;
    let studies: std::collections::BTreeSet<&str> =
        held.iter().map(|held| held.stored.study.as_str()).collect();
    for study in studies {
        let (status, copy) = made(&hilum, study, &json!({ "pixels": "looked-at" }));
        if status == 409 {
            continue;
        }
        assert_eq!(status, 201, "{study}: {copy}");
        let originals = hilum.json(&format!("/studies/{study}/metadata"));
        let copies = files(&hilum, copy["deidentified"].as_str().unwrap());
        for set in originals.as_array().unwrap() {
            let values = ["0020000D", "0020000E", "00080018", "00100020", "00200052", "00080050"];
            let texts = values.iter().filter_map(|tag| set[*tag]["Value"][0].as_str());
            let is_own = |text: &&str| text.len() >= 8 && !text.starts_with("1.2.840.10008.");
            for text in texts.filter(is_own) {
                assert!(copies.iter().all(|copy| !has(copy, text)), "{study}: {text}");
            }
        }
        copied += copies.len();
    }
    assert!(copied > 20, "{copied}");
}

/// The URI service gives the same as a stored copy.
#[test]
fn uri_5_an_instance_is_deidentified_on_its_way() {
    let hilum = Hilum::start();
    let burned = file(STUDY, 2).text(0x0028_0301, "CS", "YES").file();
    assert_eq!(hilum.store(&[&file(STUDY, 1).file(), &burned]).status(), 200);
    let ask = |number: u8, more: &str| {
        let query = format!(
            "requestType=WADO&studyUID={STUDY}&seriesUID={STUDY}.1&objectUID={STUDY}.1.{number}&anonymize=yes{more}"
        );
        hilum.client.get(format!("{}/wado?{query}", hilum.root)).send().unwrap()
    };
    let dicom = "&contentType=application/dicom";
    let answer = ask(1, dicom);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/dicom");
    assert!(!answer.headers().contains_key("content-location"));
    let bytes = answer.bytes().unwrap();
    for mark in MARKS {
        assert!(!has(&bytes, mark), "{mark}");
    }
    assert_eq!(ask(1, &format!("{dicom}&transferSyntax=*")).bytes().unwrap(), bytes);
    assert_eq!(ask(1, &format!("{dicom}&transferSyntax=1.2.840.10008.1.2.4.50")).status(), 406);
    assert_eq!(ask(1, "").status(), 406, "a picture");
    let refused = ask(2, dicom);
    assert_eq!(
        (refused.status(), json_of(refused)["code"].clone()),
        (StatusCode::CONFLICT, json!("not-deidentifiable"))
    );
    let copy = made(&hilum, STUDY, &json!({})).1;
    assert_eq!(files(&hilum, copy["deidentified"].as_str().unwrap()), [bytes.to_vec()]);
}

fn of_process(server: &Process) -> (u16, Value) {
    let url = format!("{}/studies/{STUDY}/deidentified", server.base);
    let answer = reqwest::blocking::Client::new().post(url).send().unwrap();
    (answer.status().as_u16(), json_of(answer))
}

fn key_of(data: &Path) -> (Vec<u8>, u32) {
    let path = data.join("deidentify.key");
    (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().permissions().mode() & 0o777)
}

/// A structure set had contours of no points, and a curve or table of more than 64 KiB was
/// gone: lists of numbers were taken for the long texts that no copy has.
#[test]
fn long_lists_of_numbers_are_no_prose() {
    let hilum = Hilum::start();
    let points = "-12.5\\30\\1.0e2\\".repeat(6000);
    let (points, numbers) = (format!("{points}0 "), [0, 0, 0x80, 0x3F].repeat(20_000));
    // So much of letters is a text, whatever its VR says.
    let prose = format!("{NAME} ").repeat(3000);
    let contour = Sample::empty().bytes(0x3006_0050, "UN", points.clone().into_bytes());
    let sample = file(STUDY, 1)
        .bytes(0x0072_0076, "UN", numbers.clone())
        .bytes(0x0072_0072, "UN", prose.into_bytes())
        .items(0x3006_0039, &[Sample::empty().items(0x3006_0040, &[contour])]);
    assert_eq!(hilum.store(&[&sample.file()]).status(), 200);
    let (status, copy) = made(&hilum, STUDY, &json!({}));
    assert_eq!(status, 201, "{copy}");
    let files = files(&hilum, copy["deidentified"].as_str().unwrap());
    let has = |bytes: &[u8]| memchr::memmem::find(&files[0], bytes).is_some();
    assert!(has(points.as_bytes()) && has(&numbers));
    assert!(!has(NAME.as_bytes()));
}

/// Whatever happens to the server, and wherever its archive goes.
#[test]
fn the_secret_outlives_a_kill_and_is_in_backups() {
    let folder = TempDir::new().unwrap();
    let (data, copy, place) =
        (folder.path().join("data"), folder.path().join("restored"), folder.path().join("backup"));
    let mut server = Process::start(&data);
    server.must_store(&[&file(STUDY, 1).file()]);
    let (status, first) = of_process(&server);
    assert_eq!(status, 201, "{first}");
    server.kill();
    let server = Process::start(&data);
    let (status, again) = of_process(&server);
    assert_eq!((status, &again["deidentified"]), (200, &first["deidentified"]));
    assert!(server.stop().success());
    assert_eq!(key_of(&data).1, 0o600);
    for (command, data) in [("backup", &data), ("restore", &copy)] {
        let output = hilum(command, data).arg(&place).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let server = Process::start(&copy);
    let (status, again) = of_process(&server);
    assert_eq!((status, &again["deidentified"]), (200, &first["deidentified"]));
    // The secret is no line of the log.
    let secret = key_of(&data).0;
    if !secret.starts_with(b"hilum sealed") {
        let hex = String::from_utf8_lossy(&secret).lines().last().unwrap_or_default().to_owned();
        assert!(hex.len() == 64 && server.log().iter().all(|line| !line.contains(&hex)));
    }
    assert!(server.stop().success());
    assert_eq!(key_of(&copy), (secret, 0o600), "also where it was put back");
}

#[test]
fn in_an_encrypted_archive_the_secret_is_sealed() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let start = |is_encrypted: bool| {
        Process::with(&data, |command| {
            if is_encrypted { command.env("HILUM_ENCRYPTION_KEY", "5".repeat(64)) } else { command }
        })
    };
    let server = start(false);
    server.must_store(&[&file(STUDY, 1).file()]);
    let (_, first) = of_process(&server);
    assert!(server.stop().success());
    // It was there before the archive was encrypted.
    for _ in 0..2 {
        let server = start(true);
        let (status, again) = of_process(&server);
        assert_eq!((status, &again["deidentified"]), (200, &first["deidentified"]));
        assert!(server.stop().success());
        let (secret, mode) = key_of(&data);
        assert!(secret.starts_with(b"hilum sealed") && mode == 0o600);
    }
}
