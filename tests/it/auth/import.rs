//! `hilum import --url` into a server that asks who stores: the real command,
//! with a token in a file or in the environment.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use hilum::auth::{Authentication, NewToken};

use super::{add, server_with, with_token};
use crate::{
    harness::{Hilum, fixture_path, json_of},
    process::binary,
};

/// A token of an account with this role.
fn token(config: &hilum::config::Config, role: &str) -> String {
    add(config, role, &[role]);
    let auth = Authentication::open(&config.data, &config.auth).expect("the accounts");
    auth.add_token(role, NewToken { label: "import".to_owned(), ..NewToken::default() }).expect("a token").1
}

fn import(hilum: &Hilum, place: &Path, change: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(place).env_remove("HILUM_TOKEN");
    command.args(["import", "--url", &hilum.root]).arg(fixture_path("CT_small.dcm"));
    change(&mut command);
    command.output().expect("it runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn an_import_shows_its_token() {
    let (mut administrator, mut uploader, mut viewer) = Default::default();
    let hilum = server_with(|config| {
        administrator = token(config, "administrator");
        uploader = token(config, "uploader");
        viewer = token(config, "viewer");
    });
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path();
    let count = || json_of(with_token(&hilum, "/dicomweb/studies/count", &administrator))["count"].clone();

    let without = import(&hilum, place, |_| {});
    assert!(!without.status.success());
    assert!(said(&without).contains("--token-file"), "it says what is missing: {}", said(&without));
    let unknown = import(&hilum, place, |command| {
        command.env("HILUM_TOKEN", "hilum_guessed");
    });
    assert!(!unknown.status.success());
    assert!(said(&unknown).contains("does not know the token"), "{}", said(&unknown));
    assert!(!said(&unknown).contains("guessed"), "{}", said(&unknown));
    let refused = import(&hilum, place, |command| {
        command.env("HILUM_TOKEN", &viewer);
    });
    assert!(!refused.status.success(), "who only views stores nothing");
    assert!(said(&refused).contains("403"), "{}", said(&refused));
    assert_eq!(count(), 0);

    // By a file, as an editor leaves it, and of who may store but not search; the file goes before the environment.
    let file = place.join("token");
    fs::write(&file, format!("{uploader}\n")).expect("written");
    let stored = import(&hilum, place, |command| {
        command.env("HILUM_TOKEN", &viewer).arg("--token-file").arg(&file);
    });
    assert!(stored.status.success(), "{}", said(&stored));
    assert_eq!(count(), 1);
    // Who may not search is not told what was there: it was counted as stored, each time.
    let unknown = import(&hilum, place, |command| {
        command.arg("--token-file").arg(&file);
    });
    assert!(said(&unknown).contains("1  stored, or already there"), "{}", said(&unknown));
    let again = import(&hilum, place, |command| {
        command.env("HILUM_TOKEN", &administrator).args(["--no-journal"]);
    });
    assert!(again.status.success() && said(&again).contains("already"), "{}", said(&again));
    assert_eq!(count(), 1);

    for wrong in ["", "two words"] {
        fs::write(&file, wrong).expect("written");
        let output = import(&hilum, place, |command| {
            command.arg("--token-file").arg(&file);
        });
        assert!(!output.status.success() && said(&output).contains("must hold"), "{}", said(&output));
    }
}
