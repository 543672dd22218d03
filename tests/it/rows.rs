//! The requirements and their tests (`tests/rows.toml`): every row is proven by
//! a test that has its id in its name, or the conformance statement says why
//! not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::Path,
};

use toml::{Table, Value};

/// The service or chapter of a row, and its number.
type Row = (String, u32);

fn rows() -> BTreeMap<Row, Table> {
    let table: Table = include_str!("../rows.toml").parse().expect("TOML");
    let rows = table["rows"].as_table().expect("a table of rows");
    let row = |(id, value): (&String, &Value)| {
        let (chapter, number) = id.split_once('-').unwrap_or_else(|| panic!("{id} is no id"));
        let number = number.parse().unwrap_or_else(|_| panic!("{id} is no id"));
        ((chapter.to_owned(), number), value.as_table().expect("what it says").clone())
    };
    rows.iter().map(row).collect()
}

fn name(row: &Row) -> String {
    format!("{}-{:02}", row.0, row.1)
}

/// The names of all tests of the project.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source is readable UTF-8");
            let mut after_attribute = false;
            for line in text.lines().map(str::trim_start) {
                let named = line.strip_prefix("fn ").filter(|_| after_attribute);
                found.extend(named.and_then(|rest| rest.split('(').next()).map(str::to_owned));
                // Attributes and comments may stand between the two.
                after_attribute = line.starts_with("#[test]")
                    || after_attribute && (line.starts_with("#[") || line.starts_with("//"));
            }
        }
    }
}

/// `sto_04_x` is of STO-04, `qry_01_04_to_06_x` of QRY-01, 04, 05 and 06.
fn rows_of(test: &str, chapters: &BTreeSet<String>) -> BTreeSet<Row> {
    let mut found = BTreeSet::new();
    let (mut chapter, mut last, mut range) = (None, None, false);
    for word in test.split('_') {
        let upper = word.to_ascii_uppercase();
        if chapters.contains(&upper) {
            (chapter, last, range) = (Some(upper), None, false);
            continue;
        }
        match (&chapter, word.parse::<u32>(), last) {
            (Some(of), Ok(number), before) => {
                let first = before.filter(|_| range).unwrap_or(number);
                found.extend((first..=number).map(|number| (of.clone(), number)));
                (last, range) = (Some(number), false);
            }
            (Some(_), Err(_), Some(_)) if word == "to" => range = true,
            _ => chapter = None,
        }
    }
    found
}

#[test]
fn every_row_has_a_test_or_a_reason() {
    let rows = rows();
    assert!(rows.len() > 150, "{}", rows.len());
    let chapters: BTreeSet<String> = rows.keys().map(|(chapter, _)| chapter.clone()).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        tests(&root.join(folder), &mut names);
    }
    let proven: BTreeSet<Row> = names.iter().flat_map(|test| rows_of(test, &chapters)).collect();
    let statement = hilum::http::conformance::text();
    let mut report = String::new();
    for (row, says) in &rows {
        let text = |key: &str| says.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("at").is_empty() || text("says").is_empty() {
            let _ = writeln!(report, "{}: say where it stands and what it is.", name(row));
        }
        let reason = text("reason");
        if reason.is_empty() && !proven.contains(row) {
            let _ = writeln!(
                report,
                "{}: no test has it in its name. Prove it ({}), or give a reason in tests/rows.toml and in \
                 src/http/conformance/unsupported.rs.",
                name(row),
                text("says")
            );
        }
        if !reason.is_empty() && !statement.contains(reason) {
            let _ = writeln!(report, "{}: the conformance statement does not say: {reason}", name(row));
        }
    }
    for row in proven.iter().filter(|row| !rows.contains_key(*row)) {
        let _ = writeln!(report, "{}: a test has it in its name, tests/rows.toml has it not.", name(row));
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn names_of_tests_are_read_as_they_are_meant() {
    let chapters = ["STO", "QRY", "MPR"].map(str::to_owned).into();
    let read = |test: &str| rows_of(test, &chapters).iter().map(name).collect::<Vec<_>>();
    assert_eq!(read("sto_04_framings"), ["STO-04"]);
    assert_eq!(
        read("qry_01_04_to_06_mpr_2_of_100_studies"),
        ["MPR-02", "QRY-01", "QRY-04", "QRY-05", "QRY-06"]
    );
    assert_eq!(read("a_study_in_2_pieces"), Vec::<String>::new());
}
