//! The house rules that a compiler does not check: which floor may import what,
//! how long a file and a function may be, how a file opens. A rule without a
//! checker drifts. Each failure says how to mend it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 120;

/// What only some places may name, and where everybody else should go.
const RESERVED: [(&str, &[&str], &str); 7] = [
    (
        "actix_web",
        &["src/http/", "src/server.rs"],
        "HTTP is floor 4: return a value or an error of your own floor",
    ),
    (
        "actix_http",
        &["src/http/", "src/server.rs"],
        "HTTP is floor 4: return a value or an error of your own floor",
    ),
    (
        "object_store",
        &["src/storage/objects.rs"],
        "only storage/objects.rs knows object_store: ask it for bytes by name",
    ),
    ("redb", &["src/storage/catalog/"], "only the catalog knows redb: ask it for a row, add a method there"),
    ("tantivy", &["src/storage/index/"], "only the index knows tantivy: hand it a dicom::query::Query"),
    (
        "std::fs",
        &[
            "src/storage/packs/",
            "src/storage/index/",
            "src/storage/catalog/",
            "src/storage/uploads/",
            "src/storage/commitments/",
            "src/storage/whole_file.rs",
            "src/storage/thumbnails.rs",
            "src/storage/pseudonyms.rs",
            "src/storage/objects.rs",
            "src/storage/backups/",
            "src/storage/audit/",
            "src/storage/accounts/",
            "src/storage/shares/",
            "src/config/auth.rs",
            // The socket has a name in the archive's folder.
            "src/control.rs",
            "src/config.rs",
            "src/config/encryption.rs",
            "src/config/audit.rs",
            "src/cli/",
            "src/main.rs",
            // An inflated data set above some megabytes goes to an unnamed file.
            "src/dicom/part10/inflate.rs",
        ],
        "files belong to the storages and the commands: pass a Source, bytes or a storage in",
    ),
    ("tokio::fs", &[], "tokio's files are threads in disguise: read in the bounded pool, through a storage"),
];

/// Which modules a floor must not name.
const FLOORS: [(&str, &[&str]); 21] = [
    (
        "src/dicom/",
        &[
            "pixels",
            "render",
            "storage",
            "archive",
            "http",
            "server",
            "config",
            "cli",
            "auth",
            "audit",
            "telemetry",
        ],
    ),
    (
        "src/pixels/",
        &["render", "storage", "archive", "http", "server", "config", "cli", "auth", "audit", "telemetry"],
    ),
    ("src/render/", &["storage", "archive", "http", "server", "config", "cli", "auth", "audit", "telemetry"]),
    ("src/storage/thumbnails.rs", &["archive", "http", "server", "config", "cli"]),
    ("src/storage/pseudonyms.rs", &["archive", "http", "server", "config", "cli"]),
    (
        "src/storage/packs/",
        &[
            "storage::catalog",
            "storage::index",
            "storage::uploads",
            "archive",
            "http",
            "server",
            "config",
            "cli",
        ],
    ),
    (
        "src/storage/catalog/",
        &[
            "storage::packs",
            "storage::index",
            "storage::uploads",
            "archive",
            "http",
            "server",
            "config",
            "cli",
        ],
    ),
    (
        "src/storage/index/",
        &[
            "storage::packs",
            "storage::catalog",
            "storage::uploads",
            "archive",
            "http",
            "server",
            "config",
            "cli",
        ],
    ),
    (
        "src/storage/uploads/",
        &[
            "storage::packs",
            "storage::catalog",
            "storage::index",
            "archive",
            "http",
            "server",
            "config",
            "cli",
        ],
    ),
    (
        "src/storage/commitments/",
        &[
            "storage::packs",
            "storage::catalog",
            "storage::index",
            "storage::uploads",
            "archive",
            "http",
            "server",
        ],
    ),
    (
        "src/storage/backups/",
        &[
            "storage::packs",
            "storage::catalog",
            "storage::index",
            "storage::uploads",
            "storage::commitments",
            "archive",
            "http",
            "server",
            "config",
            "cli",
        ],
    ),
    (
        "src/storage/objects.rs",
        &[
            "storage::packs",
            "storage::catalog",
            "storage::index",
            "archive",
            "http",
            "server",
            "config",
            "cli",
        ],
    ),
    (
        "src/storage/accounts/",
        &[
            "storage::packs",
            "storage::catalog",
            "storage::index",
            "storage::uploads",
            "storage::audit",
            "archive",
            "http",
            "server",
            "config",
            "cli",
            "auth",
        ],
    ),
    (
        "src/storage/shares/",
        &[
            "storage::packs",
            "storage::catalog",
            "storage::index",
            "storage::uploads",
            "storage::accounts",
            "storage::audit",
            "archive",
            "http",
            "server",
            "config",
            "cli",
            "auth",
        ],
    ),
    (
        "src/storage/audit/",
        &[
            "storage::packs",
            "storage::catalog",
            "storage::index",
            "storage::uploads",
            "storage::commitments",
            "storage::backups",
            "storage::objects",
            "archive",
            "http",
            "server",
            "config",
            "cli",
        ],
    ),
    ("src/audit/", &["archive", "http", "server", "config", "cli"]),
    ("src/storage/place.rs", &["archive", "http", "server", "config", "cli"]),
    (
        "src/storage/seal/",
        &[
            "storage::packs",
            "storage::catalog",
            "storage::index",
            "storage::uploads",
            "storage::commitments",
            "archive",
            "http",
            "server",
            "config",
            "cli",
        ],
    ),
    ("src/archive/", &["http", "server", "cli"]),
    (
        "src/http/",
        &["storage::packs", "storage::catalog", "storage::index", "storage::uploads", "server", "cli"],
    ),
    ("src/config.rs", &["http", "server", "cli", "archive", "storage"]),
];

#[test]
fn imports_point_down() {
    let mut report = String::new();
    for file in sources("src") {
        let code = file.code();
        for (number, line) in code.lines().enumerate() {
            for (name, places, mend) in RESERVED {
                if names(line, name) && !places.iter().any(|place| file.path.starts_with(place)) {
                    let _ = writeln!(report, "{}:{}: names {name}. {mend}.", file.path, number + 1);
                }
            }
            for (floor, strangers) in FLOORS {
                if !file.path.starts_with(floor) {
                    continue;
                }
                for stranger in strangers.iter().filter(|stranger| imports(line, floor, stranger)) {
                    let _ = writeln!(
                        report,
                        "{}:{}: {floor} names {stranger}, a floor above it or a sibling. Move what both need to a \
                         floor below, or combine the two in src/archive/.",
                        file.path,
                        number + 1
                    );
                }
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn files_and_functions_fit_a_head() {
    let mut report = String::new();
    for file in sources("src").into_iter().chain(sources("tests")) {
        let recipe = file.text.lines().next().is_some_and(|line| {
            let line = line.to_lowercase();
            line.contains("table") || line.contains("recipe")
        });
        let lines = file.code().lines().count();
        if lines > FILE_LINES_MAX && !recipe {
            let _ = writeln!(
                report,
                "{}: {lines} lines before its tests, more than {FILE_LINES_MAX}. Split it by what it is about (a \
                 folder with a mod.rs that tells the story), not into parts 1 and 2. A table or a straight recipe \
                 may be long: its first line says that it is one.",
                file.path
            );
        }
        for (name, start, length) in functions(&file.text) {
            if length > FUNCTION_LINES_MAX && !recipe {
                let _ = writeln!(
                    report,
                    "{}:{start}: fn {name} has {length} lines, more than {FUNCTION_LINES_MAX}. Name its steps and \
                     make them functions.",
                    file.path
                );
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn files_open_by_saying_what_they_own() {
    let mut report = String::new();
    for file in sources("src").into_iter().chain(sources("tests")) {
        if !file.text.starts_with("//! ") {
            let _ = writeln!(
                report,
                "{}: does not open with `//!`. Three to eight lines: what it owns, what it must not do, the \
                 invariant, the section of the standard.",
                file.path
            );
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn nothing_is_unwrapped_or_left_undone() {
    let mut report = String::new();
    for file in sources("src") {
        for (number, line) in file.code().lines().enumerate() {
            for (word, mend) in [
                (".unwrap()", "return the error, or expect(\"why it cannot fail\")"),
                ("todo!(", "do it, or leave it out"),
                ("unimplemented!(", "do it, or leave it out"),
                ("TODO", "do it, or open an issue"),
                ("FIXME", "do it, or open an issue"),
                ("println!(\"{:?}", "log it with tracing, or leave it out"),
                ("dbg!(", "take it out"),
            ] {
                if line.contains(word) {
                    let _ = writeln!(report, "{}:{}: {word}: {mend}.", file.path, number + 1);
                }
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn no_file_is_named_after_nothing() {
    let mut report = String::new();
    for file in sources("src") {
        let stem = Path::new(&file.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if ["utils", "util", "common", "helpers", "helper", "types", "misc", "manager", "handler"]
            .contains(&stem)
        {
            let _ = writeln!(report, "{}: name it after what it owns.", file.path);
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn every_dependency_is_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest is readable");
    let manifest: toml::Table = manifest.parse().expect("cargo has read it");
    let lived_in = |folders: &[&str]| -> Vec<Source> {
        folders
            .iter()
            .filter(|folder| root.join(folder).is_dir())
            .flat_map(|folder| sources(folder))
            .collect()
    };
    let mut report = String::new();
    for (section, files) in [
        ("dependencies", lived_in(&["src"])),
        ("dev-dependencies", lived_in(&["src", "tests", "benches", "examples"])),
    ] {
        for name in manifest[section].as_table().into_iter().flat_map(toml::Table::keys) {
            let ident = name.replace('-', "_");
            if !files.iter().any(|file| file.text.lines().any(|line| names(line, &ident))) {
                let _ = writeln!(report, "Cargo.toml, [{section}]: {name} is used nowhere. Take it out.");
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines before the unit tests, comments and strings' contents kept
    /// (line numbers stay right), comment lines emptied.
    fn code(&self) -> String {
        if self.path.contains("/tests/") || self.path.ends_with("/tests.rs") {
            return String::new();
        }
        let end = self.text.find("\n#[cfg(test)]\nmod ").map_or(self.text.len(), |at| at + 1);
        let mut code = String::with_capacity(end);
        for line in self.text[..end].lines() {
            code.push_str(if line.trim_start().starts_with("//") { "" } else { line });
            code.push('\n');
        }
        code
    }
}

/// Whether the line names `path` as a whole (`std::fs`, not `std::fsx`).
fn names(line: &str, path: &str) -> bool {
    let bound = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
    let whole = line.match_indices(path).any(|(at, _)| {
        bound(line[..at].chars().next_back()) && bound(line[at + path.len()..].chars().next())
    });
    // `use std::{fmt, fs};`
    let grouped = path.strip_prefix("std::").is_some_and(|module| {
        line.trim_start().starts_with("use std::{")
            && line.split(['{', ',', '}', ' ']).any(|word| {
                word == module || word.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"))
            })
    });
    whole || grouped
}

/// Whether the line names another module of this crate, by `crate::` or, for a
/// sibling on floor 2, by `super::`.
fn imports(line: &str, floor: &str, module: &str) -> bool {
    if names(line, &format!("crate::{module}")) {
        return true;
    }
    let sibling = module.strip_prefix("storage::").filter(|_| floor.starts_with("src/storage/"));
    let (group, inner) = match module.split_once("::") {
        Some((group, inner)) => (format!("crate::{group}::{{"), inner),
        None => ("crate::{".to_owned(), module),
    };
    let grouped = line.split_once(&group).is_some_and(|(_, rest)| {
        rest.split([',', '{', '}', ' ', ';'])
            .any(|word| word == inner || word.starts_with(&format!("{inner}::")))
    });
    grouped
        || sibling.is_some_and(|sibling| {
            names(line, &format!("super::{sibling}")) && floor == "src/storage/place.rs"
        })
}

/// Name, first line and number of lines of every function. rustfmt closes a
/// function at the indentation it began with.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let trimmed = line.trim_start();
        let head = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async "]
            .iter()
            .fold(trimmed, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
        let Some(rest) = head.strip_prefix("fn ") else { continue };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if trimmed.ends_with([';', '}']) {
            found.push((name, index + 1, 1));
            continue;
        }
        let (close, end) = (format!("{}}}", " ".repeat(indent)), format!("{})", " ".repeat(indent)));
        let is_last = |line: &&str| **line == close || (line.starts_with(&end) && line.ends_with(';'));
        let length = lines[index..].iter().position(is_last).map_or(1, |at| at + 1);
        found.push((name, index + 1, length));
    }
    found
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    files.sort();
    assert!(!files.is_empty(), "no sources in {folder}");
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source is readable UTF-8");
            let path =
                path.strip_prefix(root).expect("it was found there").to_string_lossy().replace('\\', "/");
            Source { path, text }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source folder is readable") {
        let path = entry.expect("and its entries too").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert!(names("use std::fs;", "std::fs") && names("use std::{fmt, fs::File};", "std::fs"));
    assert!(!names("use std::fsx;", "std::fs") && !names("use std::{fmt, io};", "std::fs"));
    assert!(names("let x: redb::Error;", "redb") && !names("let predb = 1;", "redb"));
    assert!(imports("use crate::storage::{packs, place};", "src/storage/index/", "storage::packs"));
    assert!(imports("use crate::storage::packs::Packs;", "src/http/", "storage::packs"));
    assert!(imports("use crate::{archive, dicom};", "src/dicom/", "archive"));
    assert!(!imports("use crate::storage::{PackId, Place};", "src/storage/index/", "storage::packs"));
    let text = "fn a() {}\nimpl X {\n    pub fn b(\n        x: u8,\n    ) -> u8 {\n        let y = x;\n        y\n    }\n    fn c(\n        x: u8,\n    );\n}\n";
    assert_eq!(functions(text), [("a".to_owned(), 1, 1), ("b".to_owned(), 3, 6), ("c".to_owned(), 9, 3)]);
}
