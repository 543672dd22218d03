//! What commands leave in the log, the log in a backup, and what of it is found
//! to be changed.

use std::fs;

use hilum::audit::{folder_of, removal};
use serde_json::Value;
use tempfile::TempDir;

use super::{STUDY, audit, file, with};
use crate::{
    harness::Hilum,
    process::{Process, binary, hilum},
};

/// Runs a command; what it says.
fn run(command: &mut std::process::Command) -> (bool, String) {
    let output = command.output().expect("the binary runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn records(data: &std::path::Path) -> Vec<Value> {
    let mut export = std::process::Command::new(binary());
    let (is_done, said) = run(export.args(["audit", "export", "--data"]).arg(data));
    assert!(is_done, "{said}");
    said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The event, the action, the outcome and the object of records of an operator.
fn told(records: &[Value]) -> Vec<String> {
    let by_operator = records.iter().filter(|record| record["actor"]["id"] == "operator");
    by_operator
        .map(|record| {
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let parts =
                [&record["event"], &record["action"], &record["outcome"], &record["object"]["id"]].map(word);
            parts.join(" ")
        })
        .collect()
}

#[test]
fn commands_leave_records_and_a_backup_has_the_log() {
    let mut server = with(|_| {});
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("backup");
    // Beside a running server.
    let (is_done, said) = run(hilum("backup", server.data()).arg(&place));
    assert!(is_done, "{said}");
    server.stop();
    let files = folder.path().join("files");
    fs::create_dir(&files).unwrap();
    for number in 1..=3 {
        fs::write(files.join(number.to_string()), file("1.2.4", &format!("1.2.4.1.{number}"), "P2")).unwrap();
    }
    assert!(run(hilum("import", server.data()).arg(&files)).0);
    assert!(run(&mut hilum("verify", server.data())).0);
    assert!(run(&mut hilum("rebuild", server.data())).0);
    assert!(run(hilum("backup", server.data()).arg(&place)).0);
    let all = records(server.data());
    let place = place.display().to_string();
    let export = format!("export R success {place}");
    let mut told = told(&all);
    // Three files of one study, of which others than the first may be put together.
    told.dedup();
    assert_eq!(
        told,
        [
            "application-start E success hilum backup",
            &export,
            "application-stop E success hilum backup",
            "application-start E success hilum import",
            "import C success ",
            "application-stop E success hilum import",
            "application-start E success hilum verify",
            "application-stop E success hilum verify",
            "application-start E success hilum rebuild",
            "application-stop E success hilum rebuild",
            "application-start E success hilum backup",
            &export,
            "application-stop E success hilum backup",
            "audit-log-used R success hilum audit export",
        ]
    );
    let import = all.iter().find(|record| record["event"] == "import").expect("the import");
    assert_eq!((&import["patient"]["id"], &import["studies"][0]["uid"]), (&"P2".into(), &"1.2.4".into()));

    let there = folder.path().join("there");
    let (is_done, said) = run(hilum("restore", &there).arg(&place));
    assert!(is_done, "{said}");
    let restored = records(&there);
    let stored = restored.iter().any(|record| record["event"] == "store" && record["patient"]["id"] == "P1");
    assert!(stored, "what was recorded before the backup");
    let object = format!("{place} ");
    let is_restore = |record: &&Value| {
        record["event"] == "import"
            && record["object"]["id"].as_str().is_some_and(|id| id.starts_with(&object))
    };
    assert!(restored.iter().any(|record| is_restore(&record)), "{restored:?}");
    let report = folder_of(&there, None).check(&[], removal).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings);
}

/// Damage that is found is told to whoever reads the log.
#[test]
fn what_is_found_is_recorded() {
    let mut server = with(|_| {});
    server.stop();
    let pack = server.data().join("packs/0000/00000001.tar");
    let mut bytes = fs::read(&pack).unwrap();
    let at = memchr::memmem::find(&bytes, b"DICM").unwrap() + 200;
    bytes[at] ^= 1;
    fs::write(&pack, bytes).unwrap();
    assert!(!run(&mut hilum("verify", server.data())).0);
    let told = told(&records(server.data()));
    assert_eq!(told[1], "security-alert E minor-failure hilum verify", "{told:?}");
}

#[test]
fn with_required_a_command_does_nothing_that_cannot_be_recorded() {
    let mut server = with(|_| {});
    server.stop();
    let folder = TempDir::new().unwrap();
    fs::rename(server.data().join("audit"), folder.path().join("audit")).unwrap();
    fs::write(server.data().join("audit"), "in the way").unwrap();
    let place = folder.path().join("backup");
    let (is_done, said) = run(hilum("backup", server.data()).arg(&place).env("HILUM_AUDIT_REQUIRED", "true"));
    assert!(!is_done && said.contains("audit.required") && !place.exists(), "{said}");
    let (is_done, said) = run(hilum("backup", server.data()).arg(&place));
    assert!(is_done && said.contains("could not be recorded") && place.exists(), "{said}");
}

/// Of a log as the server writes it: any byte, any line, the end.
#[test]
fn whatever_is_changed_is_found() {
    let mut server = with(|_| {});
    for _ in 0..5 {
        assert_eq!(server.status(&format!("/studies/{STUDY}/metadata")), 200);
    }
    server.stop();
    let folder = folder_of(server.data(), None);
    let check = |heads: &[_]| folder.check(heads, removal).unwrap();
    let whole = fs::read(server.segment()).unwrap();
    let head = check(&[]).head;
    assert!(check(&[head]).is_intact());
    for at in (0..whole.len()).step_by(37) {
        for flip in [1, 0x20, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= flip;
            fs::write(server.segment(), &changed).unwrap();
            assert!(!check(&[]).is_intact(), "byte {at} changed by {flip:#x}");
        }
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    for at in 1..lines.len() {
        // The last lines cut off: as long as the anchor is there it tells.
        fs::write(server.segment(), lines[..at].concat()).unwrap();
        assert!(!check(&[]).is_intact(), "cut before line {at}");
        let mut without = lines.clone();
        without.remove(at);
        fs::write(server.segment(), without.concat()).unwrap();
        assert!(!check(&[]).is_intact(), "without line {at}");
    }
    // An end cut off with its anchor, by somebody who has the key: only a head
    // that was noted elsewhere tells.
    let data = server.data().to_path_buf();
    let log = fs::read(server.segment()).unwrap();
    assert_ne!(log, whole);
    fs::write(data.join("audit/00000001.log"), &whole).unwrap();
    let hilum: Hilum = server.restart();
    assert_eq!(hilum.status("/studies"), 200);
    let mut hilum = hilum;
    hilum.stop();
    let later = check(&[head]).head;
    assert!(later.number > head.number && check(&[head, later]).is_intact());
    let cut = fs::read(hilum.segment()).unwrap();
    let end = cut[..cut.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(hilum.segment(), &cut[..end]).unwrap();
    fs::remove_file(data.join("audit/HEAD")).unwrap();
    // The next process writes a new anchor, and says that there was none.
    let mut hilum = hilum.restart();
    hilum.stop();
    assert!(check(&[]).is_intact());
    assert!(!check(&[later]).is_intact());
    let (is_intact, said) = audit(&hilum, &["verify", "--head", &later.to_string()]);
    assert!(!is_intact && said.contains(&format!("line {} is not the one", later.number)), "{said}");
    let alerts = records(&data).iter().filter(|record| record["event"] == "security-alert").count();
    assert_eq!(alerts, 2, "the missing anchor, and what verify found");
}

/// The account that the first start makes, for whom nobody asked.
#[test]
fn the_first_administrator_is_recorded() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    for starts in 1..=2 {
        let server = Process::with(&data, |command| command.env("HILUM_AUTH_ENABLED", "true"));
        assert_eq!(server.get("/studies").status(), 401);
        assert!(server.stop().success());
        let told = told(&records(&data));
        let made: Vec<_> = told.iter().filter(|line| line.starts_with("user-changed C")).collect();
        assert_eq!(made, ["user-changed C success admin"], "{starts}: {told:?}");
    }
}
