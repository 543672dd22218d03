//! Commitments of damaged bytes, of more than can be read at once, and across
//! stops and kills.

use std::{path::Path, time::Duration};

use serde_json::Value;

use super::{instances, uids};
use crate::process::{Made, Process};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

fn start(data: &Path) -> Process {
    Process::with(data, |command| command)
}

fn ask(server: &Process, transaction: &str, request: &Value) -> (u16, Value) {
    let response = server
        .client
        .post(format!("{}/commitment-requests/{transaction}", server.base))
        .header("Content-Type", "application/dicom+json")
        .body(request.to_string())
        .send()
        .unwrap();
    let status = response.status().as_u16();
    if status == 202 {
        assert!(response.headers().contains_key("retry-after"));
    }
    (status, serde_json::from_str(&response.text().unwrap()).unwrap_or_default())
}

fn wait_for(server: &Process, transaction: &str) -> Value {
    for _ in 0..1200 {
        let response = server.get(&format!("/commitment-requests/{transaction}"));
        match response.status().as_u16() {
            202 => std::thread::sleep(Duration::from_millis(100)),
            200 => return serde_json::from_str(&response.text().unwrap()).unwrap(),
            other => panic!("{other}: {}", response.text().unwrap()),
        }
    }
    panic!("there is no result");
}

/// A byte of a stored file changed on the disk, and the catalog does not know:
/// only who reads the file back does not commit to it.
#[test]
fn cmt_1_damaged_bytes_are_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    // One in the batch pack, one streamed.
    let made: Vec<Made> =
        (1..=4).map(|number| Made::new(1, 1, number, if number > 2 { 100_000 } else { 500 })).collect();
    let server = start(data);
    for made in &made {
        server.must_store(&[&made.bytes()]);
    }
    let references: Vec<(&str, &str)> = made.iter().map(|made| (CT, made.instance.as_str())).collect();
    let request = instances(&references);
    let (status, result) = ask(&server, "1.1", &request);
    assert_eq!((status, uids(&result, "00081199").len()), (200, 4));
    assert!(server.stop().success());

    for damaged in [&made[1], &made[2]] {
        let bytes = damaged.bytes();
        let packs = walkdir::WalkDir::new(data.join("packs"));
        let mut hits = 0;
        for pack in packs.into_iter().map(|entry| entry.unwrap().into_path()).filter(|path| path.is_file()) {
            let mut content = std::fs::read(&pack).unwrap();
            if let Some(at) = memchr::memmem::find(&content, &bytes) {
                content[at + bytes.len() - 3] ^= 1;
                std::fs::write(&pack, content).unwrap();
                hits += 1;
            }
        }
        assert_eq!(hits, 1);
    }
    let server = start(data);
    let (_, result) = ask(&server, "1.2", &request);
    let failed = [&made[1], &made[2]].map(|made| (made.instance.clone(), Some(272)));
    assert_eq!(uids(&result, "00081198"), failed);
    assert_eq!(uids(&result, "00081199").len(), 2);
    assert_eq!(uids(&wait_for(&server, "1.1"), "00081199").len(), 4, "a result is of its time");
    // For the log they are errors.
    let logged = server.log().iter().filter(|line| line.contains("no storage commitment")).count();
    assert_eq!(logged, 2);
}

/// More instances than are checked at once, over kills: each request has its
/// result in the end, and none is taken twice.
#[test]
fn cmt_2_a_large_request_outlives_kills() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut server = start(data);
    let made = Made::new(1, 1, 1, 10_000);
    server.must_store(&[&made.bytes()]);
    let absent: Vec<String> = (0..3000).map(|number| format!("9.9.{number}")).collect();
    let references: Vec<(&str, &str)> =
        absent.iter().map(|uid| (CT, uid.as_str())).chain([(CT, made.instance.as_str())]).collect();
    let request = instances(&references);
    for round in 0..4 {
        let transaction = format!("1.{round}");
        assert_eq!(ask(&server, &transaction, &request).0, 202);
        assert_eq!(ask(&server, &transaction, &request).0, 409);
        server.kill();
        server = start(data);
    }
    for round in 0..4 {
        let result = wait_for(&server, &format!("1.{round}"));
        assert_eq!(uids(&result, "00081199"), [(made.instance.clone(), None)]);
        assert_eq!(uids(&result, "00081198").len(), 3000);
    }
    assert!(server.stop().success());
}
