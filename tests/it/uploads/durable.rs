//! Uploads over kills of the server: a client that goes on from the offset it
//! is told ends with every byte stored.

use std::time::Duration;

use serde_json::Value;

use super::{STREAM, with_type};
use crate::{
    harness::multipart,
    process::{Dice, Made, Process},
};

fn head(server: &Process, url: &str) -> usize {
    let response = server.client.head(url).header("Tus-Resumable", "1.0.0").send().unwrap();
    assert_eq!(response.status(), 200);
    response.headers()["upload-offset"].to_str().unwrap().parse().unwrap()
}

#[test]
fn tus_an_upload_outlives_kills_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut dice = Dice::new(7);
    let made: Vec<Made> = (1..=5).map(|number| Made::new(1, 1, number, 6_000_000)).collect();
    let files: Vec<Vec<u8>> = made.iter().map(Made::bytes).collect();
    let file = multipart("B", &files.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let mut server = Process::with(data, |command| command);
    let root = |server: &Process| server.base.strip_suffix("/dicomweb").unwrap().to_owned();
    let begun = server
        .client
        .post(format!("{}/uploads", root(&server)))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", file.len())
        .header("Upload-Metadata", with_type("multipart/related; type=\"application/dicom\"; boundary=B"))
        .send()
        .unwrap();
    let location = begun.headers()["location"].to_str().unwrap().to_owned();
    let name = location.rsplit('/').next().unwrap().to_owned();
    let mut last = 0;
    for round in 0.. {
        let url = format!("{}/uploads/{name}", root(&server));
        let offset = head(&server, &url);
        assert!(offset >= last, "what was told is kept");
        last = offset;
        if offset == file.len() {
            break;
        }
        let end = if round % 2 == 0 { (offset + 4_000_000).min(file.len()) } else { file.len() };
        let (client, bytes) = (server.client.clone(), file[offset..end].to_vec());
        let patch = std::thread::spawn(move || {
            let request = client.patch(url).header("Tus-Resumable", "1.0.0").header("Upload-Offset", offset);
            request
                .header("Content-Type", STREAM)
                .body(bytes)
                .send()
                .is_ok_and(|answer| answer.status() == 204)
        });
        // After a whole piece, or amid one: a flush is every 16 MiB.
        if round % 2 == 0 {
            assert!(patch.join().unwrap());
            last = end;
        } else {
            std::thread::sleep(Duration::from_millis(dice.below(120)));
        }
        server.kill();
        server = Process::with(data, |command| command);
    }
    let url = format!("{}/uploads/{name}", root(&server));
    let mut report = Value::Null;
    for _ in 0..600 {
        let response = server.client.get(&url).send().unwrap();
        if response.headers().contains_key("retry-after") {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        }
        assert_eq!(response.status(), 200);
        report = serde_json::from_str(&response.text().unwrap()).unwrap();
        break;
    }
    assert_eq!(report["00081199"]["Value"].as_array().map(Vec::len), Some(5), "{report}");
    for (made, file) in made.iter().zip(&files) {
        assert!(server.file(&made.path()).unwrap() == *file);
    }
    // The bytes are not kept twice.
    let left = || -> Vec<_> {
        data.join("uploads").read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    // They go only after the report is safe, so a client may be faster.
    for _ in 0..100 {
        if left().len() > 1 {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    assert_eq!(left(), [format!("{name}.json").as_str()]);
    assert!(server.stop().success());
}
