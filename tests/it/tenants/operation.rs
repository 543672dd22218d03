//! Tenants as an operator has them: the real binary, killed and started again,
//! verified, rebuilt, backed up and restored; and a tenant that is taken out of
//! the configuration.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use reqwest::blocking::Response;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{BOTH, ONLY, file};
use crate::{
    harness::{json_of, multipart},
    process::{Process, hilum},
    s3::S3,
};

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: TempDir::new().expect("a folder") };
        place.configure("[tenants.north]\ntitle = \"North\"\n[tenants.south]\nquota_instances_max = 1\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, text: &str) {
        std::fs::write(self.path("hilum.toml"), text).expect("the configuration");
    }

    fn serve(&self) -> Process {
        let config = self.path("hilum.toml");
        Process::with(&self.path("data"), |command| command.arg("--config").arg(config))
    }

    fn command(&self, name: &str, data: &str) -> Command {
        let mut command = hilum(name, &self.path(data));
        command.arg("--config").arg(self.path("hilum.toml"));
        command
    }

    fn run(&self, name: &str, arguments: &[&str]) -> String {
        done(&self.command(name, "data").args(arguments).output().expect("the binary runs"))
    }

    fn json(&self, name: &str, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        serde_json::from_str(&self.run(name, &arguments)).expect("JSON")
    }
}

fn done(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `/north/dicomweb/…` of a server.
fn url(server: &Process, tenant: &str, path: &str) -> String {
    let root = server.base.strip_suffix("/dicomweb").expect("a base");
    let tenant = if tenant.is_empty() { String::new() } else { format!("/{tenant}") };
    format!("{root}{tenant}/dicomweb{path}")
}

fn get(server: &Process, tenant: &str, path: &str) -> Response {
    server.client.get(url(server, tenant, path)).send().expect("an answer")
}

fn store(server: &Process, tenant: &str, files: &[&[u8]]) -> u16 {
    let request = server.client.post(url(server, tenant, "/studies"));
    let request =
        request.header("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=XX-hilum-XX");
    request.body(multipart("XX-hilum-XX", files)).send().expect("an answer").status().as_u16()
}

fn count(server: &Process, tenant: &str) -> u64 {
    json_of(get(server, tenant, "/instances/count"))["count"].as_u64().expect("a number")
}

/// The file of the study that is in both, as a tenant has it.
fn held(server: &Process, tenant: &str) -> Vec<u8> {
    let path = format!("/studies/{BOTH}/series/{BOTH}.1/instances/{BOTH}.1.1");
    let request = server.client.get(url(server, tenant, &path));
    let request = request.header("Accept", "application/dicom; transfer-syntax=*");
    request.send().expect("an answer").bytes().expect("a body").to_vec()
}

fn fill(server: &Process) {
    assert_eq!(store(server, "north", &[&file(BOTH, "NORTHERN"), &file(ONLY, "NORTHONLY")]), 200);
    assert_eq!(store(server, "south", &[&file(BOTH, "MERIDIAN")]), 200);
    assert_eq!(store(server, "", &[&file("1.2.3.9", "ROOTED")]), 200);
}

fn is_as_filled(server: &Process) {
    assert_eq!(held(server, "north"), file(BOTH, "NORTHERN"));
    assert_eq!(held(server, "south"), file(BOTH, "MERIDIAN"));
    assert_eq!(["north", "south", ""].map(|tenant| count(server, tenant)), [2, 1, 1]);
    assert_eq!(store(server, "south", &[&file(ONLY, "TOOMUCH")]), 507, "the quota counts what is there");
}

fn tree(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_acknowledged_outlives_a_kill_in_every_archive() {
    let place = Place::new();
    let mut server = place.serve();
    fill(&server);
    server.kill();
    let server = place.serve();
    is_as_filled(&server);
    assert_eq!(get(&server, "doe-john", "/studies").status(), 404);
    let log = server.log().concat();
    assert!(log.contains("\"tenant\":\"south\"") && !log.contains("doe-john"), "{log}");
    assert!(server.stop().success());

    let report = place.json("verify", &[]);
    for name in ["root", "north", "south"] {
        assert_eq!(report[name]["found"], 0, "{report}");
    }
    let instances = |stats: &Value| {
        ["root", "north", "south"].map(|name| stats[name]["instances"].as_u64().expect("a number"))
    };
    assert_eq!(instances(&place.json("stats", &[])), [1, 2, 1]);
    assert_eq!(place.json("stats", &["--tenant", "north"])["instances"], 2);
    assert_eq!(place.json("stats", &["--tenant", "root"])["instances"], 1);
    let unknown = place.command("stats", "data").args(["--tenant", "nroth"]).output().expect("it runs");
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no tenant \"nroth\""));

    // From the packs alone; and into one archive, which its quota bounds.
    std::fs::remove_file(place.path("data/tenants/north/catalog.redb")).expect("a catalog");
    let said = place.run("rebuild", &[]);
    assert!(said.contains("north:") && said.contains("south:"), "{said}");
    assert_eq!(instances(&place.json("stats", &[])), [1, 2, 1]);
    let new = place.path("new.dcm");
    std::fs::write(&new, file("1.2.3.4", "IMPORTED")).expect("a file");
    let import = |tenant: &str| {
        let mut command = place.command("import", "data");
        command.arg(&new).args(["--tenant", tenant, "--no-journal"]).output().expect("it runs")
    };
    done(&import("north"));
    let refused = import("south");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stdout).contains("its quota"), "{refused:?}");
    assert_eq!(instances(&place.json("stats", &[])), [1, 3, 1]);
    // The log says in which.
    let mut export = Command::new(crate::process::binary());
    export.args(["audit", "export", "--tenant", "north", "--data"]).arg(place.path("data"));
    let log = done(&export.output().expect("it runs"));
    assert!(log.contains("\"event\":\"import\"") && !log.contains("MERIDIAN"), "{log}");
}

#[test]
fn a_backup_takes_all_and_a_restore_brings_all_back() {
    let place = Place::new();
    let server = place.serve();
    fill(&server);
    let copies = place.path("copies");
    let copies = copies.to_str().expect("UTF-8");
    let report = place.json("backup", &[copies]);
    for name in ["root", "north", "south"] {
        assert_eq!(report[name]["damaged"], 0, "{report}");
    }
    // Only what is new.
    assert_eq!(store(&server, "north", &[&file("1.2.3.4", "LATER")]), 200);
    let again = place.json("backup", &[copies]);
    let written = |report: &Value, name: &str| report[name]["written"]["bytes"].as_u64().expect("a number");
    assert!(written(&again, "south") < written(&again, "north"), "{again}");
    assert!(server.stop().success());

    let restore = |data: &str, arguments: &[&str]| {
        place.command("restore", data).arg(copies).args(arguments).output().expect("it runs")
    };
    done(&restore("unused", &["--check"]));
    assert!(done(&restore("unused", &["--list"])).contains("and 2 tenants"));
    let first = report["root"]["name"].as_str().expect("a name").to_owned();
    done(&restore("first", &["--name", &first]));
    let config = place.path("hilum.toml");
    let server = Process::with(&place.path("first"), |command| command.arg("--config").arg(&config));
    is_as_filled(&server);
    assert!(server.stop().success());

    done(&restore("newest", &[]));
    // One of them, to look at what it was.
    done(&restore("one", &["--tenant", "north", "--to-seq", "1"]));
    assert_eq!(tree(&place.path("one/tenants")), ["north"]);
    let by_seq = restore("refused", &["--to-seq", "1"]);
    assert!(String::from_utf8_lossy(&by_seq.stderr).contains("--tenant"), "{by_seq:?}");
    let stats = |data: &str, tenant: &str| -> Value {
        let output = place.command("stats", data).args(["--json", "--tenant", tenant]).output();
        serde_json::from_str(&done(&output.expect("it runs"))).expect("JSON")
    };
    assert_eq!(stats("newest", "north")["instances"], 3);
    assert_eq!(stats("one", "north")["instances"], 1);
}

#[test]
fn a_tenant_out_of_the_configuration_stays_on_the_disk() {
    let place = Place::new();
    let server = place.serve();
    fill(&server);
    // While it runs, nobody else writes.
    let mut import = place.command("import", "data");
    let import = import.args(["--tenant", "north", "--no-journal"]).arg(place.path("hilum.toml"));
    let taken = import.output().expect("it runs");
    assert!(!taken.status.success());
    assert!(server.stop().success());
    place.configure("[tenants.south]\n[roles.viewer]\ntenants = [\"north\"]\n");
    let server = place.serve();
    let log = server.log().concat();
    assert!(log.contains("this tenant is not configured") && log.contains("tenants/north"), "{log}");
    assert!(log.contains("a tenant is named that is not configured"), "{log}");
    assert_eq!(get(&server, "north", "/studies").status(), 404);
    assert_eq!(get(&server, "south", "/studies/count").status(), 200);
    let copies = place.path("copies");
    let report = place.json("backup", &[copies.to_str().expect("UTF-8")]);
    assert_eq!(report["north"]["entries"], 2, "it is backed up all the same: {report}");
    assert!(server.stop().success());
    place.configure("[tenants.north]\n");
    let server = place.serve();
    assert_eq!(held(&server, "north"), file(BOTH, "NORTHERN"));
    assert_eq!(json_of(get(&server, "north", "/studies/count")), json!({ "count": 2 }));
    assert!(server.stop().success());
}

#[test]
fn in_a_bucket_too_each_archive_has_its_own() {
    let place = Place::new();
    let s3 = S3::start();
    let serve = || {
        let config = place.path("hilum.toml");
        Process::with(&place.path("data"), |command| {
            command.arg("--config").arg(config).envs(S3::environment()).envs([
                ("HILUM_TIER_BUCKET", "s3://bucket/hilum"),
                ("HILUM_TIER_ENDPOINT", &s3.endpoint()),
                ("HILUM_TIER_ACKNOWLEDGE", "bucket"),
            ])
        })
    };
    let mut server = serve();
    fill(&server);
    let under = |prefix: &str| s3.names().iter().filter(|name| name.contains(prefix)).count();
    assert!(under("hilum/tenants/north/") > 0 && under("hilum/tenants/south/") > 0, "{:?}", s3.names());
    server.kill();
    // The disk is lost with all archives on it.
    std::fs::remove_dir_all(place.path("data")).expect("it can be removed");
    let server = serve();
    is_as_filled(&server);
    let mut backup = place.command("backup", "data");
    backup.arg("s3://bucket/copies").envs(S3::environment()).env("AWS_ENDPOINT_URL", s3.endpoint());
    backup.envs([("HILUM_TIER_BUCKET", "s3://bucket/hilum"), ("HILUM_TIER_ENDPOINT", &s3.endpoint())]);
    done(&backup.output().expect("it runs"));
    assert!(server.stop().success());
    let mut restore = place.command("restore", "again");
    restore.arg("s3://bucket/copies").envs(S3::environment()).env("AWS_ENDPOINT_URL", s3.endpoint());
    done(&restore.output().expect("it runs"));
    let config = place.path("hilum.toml");
    let server = Process::with(&place.path("again"), |command| command.arg("--config").arg(config));
    is_as_filled(&server);
    assert!(server.stop().success());
}

#[test]
fn one_key_encrypts_all_and_is_changed_for_all() {
    let place = Place::new();
    let key = |digit: &str| digit.repeat(64);
    let with = |key: String| {
        let config = place.path("hilum.toml");
        Process::with(&place.path("data"), |command| {
            command.arg("--config").arg(config).env("HILUM_ENCRYPTION_KEY", key)
        })
    };
    let server = with(key("a"));
    fill(&server);
    assert!(server.stop().success());
    let command = |verb: &[&str], old: String| {
        let mut command = Command::new(crate::process::binary());
        command.arg("encryption").args(verb).arg("--data").arg(place.path("data"));
        command.arg("--config").arg(place.path("hilum.toml")).env("HILUM_ENCRYPTION_KEY", old);
        command.env("HILUM_ENCRYPTION_NEW_KEY", key("b")).output().expect("it runs")
    };
    // One alone, as if a rotation of all had been cut off after it.
    done(&command(&["rotate", "--tenant", "north"], key("a")));
    done(&command(&["rotate"], key("a")));
    let status: Value = serde_json::from_str(&done(&command(&["status", "--json"], key("b")))).expect("JSON");
    let ids: Vec<&Value> =
        ["root", "north", "south"].iter().map(|name| &status[*name]["master_key"]).collect();
    assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{status}");
    let server = with(key("b"));
    is_as_filled(&server);
    assert!(server.stop().success());
}
