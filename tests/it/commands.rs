//! The command line as its users meet it: what commands say, where they look, and
//! how they end.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Output, Stdio},
};

use crate::{
    harness::{Hilum, fixture_path, json_of},
    process::{Process, binary, hilum, run},
};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `hilum config | head -1` ended in a panic, with exit status 101.
#[test]
fn a_reader_that_has_seen_enough_ends_no_command() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert!(run("import", &data, &[fixture_path("CT_small.dcm").to_str().unwrap()]).status.success());
    for arguments in
        [&["openapi"][..], &["conformance"], &["config"], &["stats", "--json"], &["audit", "export"]]
    {
        let mut command = Command::new(binary());
        command.args(arguments).env("HILUM_DATA", &data).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        if arguments == ["openapi"] || arguments == ["conformance"] {
            // Longer than what a pipe holds.
            BufReader::new(&mut stdout).read_line(&mut String::new()).unwrap();
        }
        drop(stdout);
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{arguments:?}: {}", said(&ended));
        assert_eq!(said(&ended), "", "{arguments:?}");
    }
}

/// `HILUM_CONFIG` was known by its name, and meant nothing: the server ran with
/// its defaults, without authentication, and did not say so.
#[test]
fn the_file_that_the_environment_names_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (named, given) = (file("a.toml", "workers = 3\n"), file("b.toml", "workers = 5\n"));
    let config = |change: &dyn Fn(&mut Command)| {
        let mut command = Command::new(binary());
        command.arg("config").env("HILUM_CONFIG", &named);
        change(&mut command);
        let output = command.output().unwrap();
        said(&output)
    };
    assert!(config(&|_| {}).contains("\nworkers = 3\n"));
    let by_argument = config(&|command| {
        command.arg("--config").arg(&given);
    });
    assert!(by_argument.contains("\nworkers = 5\n"), "the command line goes before the environment");
    let by_variable = config(&|command| {
        command.env("HILUM_WORKERS", "7");
    });
    assert!(by_variable.contains("\nworkers = 7\n"), "a key's own variable goes before the file");
    assert!(
        config(&|command| {
            command.env("HILUM_CONFIG", "");
        })
        .contains("\nworkers = 0\n")
    );

    // The reason was told twice.
    let missing = config(&|command| {
        command.env("HILUM_CONFIG", folder.path().join("c.toml"));
    });
    assert!(missing.contains("c.toml"), "{missing}");
    assert_eq!(missing.matches("No such file").count(), 1, "{missing}");
}

/// "There is no such archive in this folder": in which?
#[test]
fn a_folder_without_an_archive_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    for command in [&["stats"][..], &["verify"], &["rebuild"], &["encryption", "status"], &["backup", "b"]] {
        let output = Command::new(binary())
            .args(command)
            .arg("--data")
            .arg(&nowhere)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(said(&output).contains(nowhere.to_str().unwrap()), "{command:?}: {}", said(&output));
        assert!(!nowhere.exists(), "{command:?} began one");
    }
}

/// An archive is one process's; what else can be done is said.
#[test]
fn beside_a_running_server_commands_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Process::start(&data);
    let file = fixture_path("CT_small.dcm");
    let output = run("import", &data, &[file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--url"), "{}", said(&output));
    assert!(said(&run("stats", &data, &[])).contains("a server that runs"));

    // "Address already in use": which?
    let address = server.base.trim_start_matches("http://").trim_end_matches("/dicomweb").to_owned();
    let output = hilum("serve", &folder.path().join("other")).args(["--listen", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&format!("cannot listen on {address}")), "{}", said(&output));
}

/// `--tenant root` is the archive that is no tenant's, by every way into it; and an
/// address with a query was taken, after which each file failed by itself.
#[test]
fn an_import_through_a_server_takes_the_address_at_its_word() {
    let hilum = Hilum::start();
    let place = tempfile::tempdir().unwrap();
    let import = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.arg("import").args(arguments).arg(fixture_path("CT_small.dcm")).current_dir(place.path());
        command.output().unwrap()
    };
    let output = import(&["--url", &hilum.root, "--tenant", "root"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(json_of(hilum.get("/studies/count").send().unwrap())["count"], 1);
    let output = import(&["--url", &format!("{}/?limit=1", hilum.root)]);
    assert!(said(&output).contains("is not the address of a server"), "{}", said(&output));
    for threads in ["0", "100000"] {
        let output = import(&["--url", &hilum.root, "--threads", threads]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
}

/// A proxy of the environment got what is for a server on this machine, the token in
/// the clear with it, which is promised to stay here.
#[test]
fn what_stays_on_this_machine_passes_no_proxy() {
    let hilum = Hilum::start();
    let place = tempfile::tempdir().unwrap();
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    for host in ["127.0.0.1", "localhost"] {
        let mut command = Command::new(binary());
        command.args(["import", "--url", &hilum.root.replace("127.0.0.1", host)]);
        command.arg(fixture_path("CT_small.dcm")).current_dir(place.path());
        command.envs([("http_proxy", &address), ("HTTP_PROXY", &address), ("ALL_PROXY", &address)]);
        let output = command.env("HILUM_TOKEN", "hilum_secret").env_remove("NO_PROXY").output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    proxy.set_nonblocking(true).unwrap();
    assert!(proxy.accept().is_err(), "the proxy was asked");
}

/// A token with a scope that is none granted nothing, and nobody was told; so it was
/// with one that only issuers' tokens have. The tokens of nobody were an empty list.
#[test]
fn a_token_is_not_made_with_a_scope_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let account = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).arg("--data").arg(&data);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(b"correct horse battery\n");
        child.wait_with_output().unwrap()
    };
    assert!(account(&["user", "add", "ada", "--role", "clinician"]).status.success());
    for scope in ["views", "system/ImagingStudy.rs", "user/Patient.rs", "user/ImagingStudy.sr", ""] {
        let output = account(&["token", "add", "ada", "--label", "x", "--scope", scope]);
        assert_eq!(output.status.code(), Some(1), "{scope}");
        assert!(said(&output).contains(&format!("{scope:?} is no scope")), "{}", said(&output));
    }
    for scope in ["view", "user/ImagingStudy.rs", "user/*.read"] {
        let output = account(&["token", "add", "ada", "--label", "x", "--scope", scope]);
        assert!(output.status.success(), "{scope}: {}", said(&output));
    }
    let of_nobody = account(&["token", "list", "eve"]);
    assert_eq!(of_nobody.status.code(), Some(1));
    assert!(said(&of_nobody).contains("no account eve"), "{}", said(&of_nobody));
}

/// What a rebuild replaces is kept until the new one is whole, and was kept for ever:
/// each rebuild took the disk of one more catalog.
#[test]
fn a_rebuild_that_went_well_leaves_one_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert!(run("import", &data, &[fixture_path("CT_small.dcm").to_str().unwrap()]).status.success());
    // One that was cut off.
    std::fs::copy(data.join("catalog.redb"), data.join("catalog.replaced-5.redb")).unwrap();
    for _ in 0..2 {
        assert!(run("rebuild", &data, &[]).status.success());
        let names = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name());
        let catalogs: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("catalog")).collect();
        assert_eq!(catalogs, ["catalog.redb"]);
    }
    assert!(run("verify", &data, &[]).status.success());
}

/// A backup in the archive's own folder, by a mistake of typing: it went well, mixed
/// its objects with the packs, and each later one had those before it in itself.
#[test]
fn a_backup_is_not_put_into_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert!(run("import", &data, &[fixture_path("CT_small.dcm").to_str().unwrap()]).status.success());
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&data, &link).unwrap();
    for place in [data.clone(), data.join("backup"), data.join("a/b"), link.join("backup")] {
        let output = run("backup", &data, &[place.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", place.display());
        assert!(said(&output).contains("archive's own folder"), "{}", said(&output));
        assert!(
            !data.join("manifests").exists() && !data.join("backup").exists() && !data.join("a").exists()
        );
    }
    let place = folder.path().join("data-backup");
    assert!(run("backup", &data, &[place.to_str().unwrap()]).status.success());
    // What is not there is said in words.
    let nowhere = folder.path().join("nowhere");
    let output = run("restore", &nowhere, &[place.to_str().unwrap(), "--name", "yesterday"]);
    assert!(said(&output).contains("there is no backup yesterday"), "{}", said(&output));
}

/// "packs: could not create …/packs": the reason, a missing right most of the time, was not told.
#[test]
fn a_folder_that_cannot_be_made_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let output = run("import", &file.join("data"), &[fixture_path("CT_small.dcm").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("could not create"), "{}", said(&output));
    assert!(said(&output).contains("Not a directory"), "{}", said(&output));
}
