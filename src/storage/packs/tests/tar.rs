//! Packs in every state, given to the tar readers of this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::super::record::RECORD_BYTES;
use super::*;

/// Extracts a pack with a program, and gives what it made: paths and bytes.
fn extract(program: &[&str], pack: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
    let dir = tempfile::tempdir().unwrap();
    let output =
        Command::new(program[0]).args(&program[1..]).arg(pack).current_dir(dir.path()).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program:?}: {said}");
    let files = walkdir::WalkDir::new(dir.path()).into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file()).map(|entry| {
        let name = entry.path().strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(entry.path()).unwrap())
    });
    Some(files.collect())
}

#[test]
fn any_tar_reader_gives_the_files_back() {
    let dir = tempfile::tempdir().unwrap();
    let packs = Packs::open(dir.path(), Options::default()).unwrap();
    let long = "1.".repeat(31) + "23";
    let mut batch: Vec<Item> =
        (0..).zip([0, 1, 512, 700, 100_000]).map(|(n, length)| item(n, length)).collect();
    batch[2].path = InstancePath {
        study: StudyUid::parse(&long).unwrap(),
        series: SeriesUid::parse(&long).unwrap(),
        instance: InstanceUid::parse(&long).unwrap(),
    };
    batch.insert(1, tombstone(50));
    batch.push(tombstone(2));
    let pack = append(&packs, &batch).unwrap()[0].pack;
    let expected: BTreeMap<String, Vec<u8>> =
        batch.iter().filter_map(|item| Some((item.name(), item.bytes.clone()?))).collect();

    let python = "import sys, tarfile; tarfile.open(sys.argv[1]).extractall()";
    let programs: [&[&str]; 3] =
        [&["tar", "-xf"], &["bsdtar", "-xf"], &["python3", "-W", "ignore", "-c", python]];
    let path = |pack: PackId| dir.path().join(format!("0000/{pack}.tar"));
    let check = |pack: PackId, expected: &BTreeMap<String, Vec<u8>>| {
        let ran = programs.iter().filter_map(|program| extract(program, &path(pack)));
        let ran = ran.inspect(|found| assert_eq!(found, expected)).count();
        assert!(ran > 0, "there is no tar on this machine");
    };
    check(pack, &expected);

    // An upload under way, and one that a crash cut short, are not there.
    let mut upload = packs.begin().unwrap();
    upload.write(&[7; 10_001]).unwrap();
    check(PackId(2), &BTreeMap::new());
    let whole = item(60, 3_333);
    super::upload(&packs, &whole).unwrap();
    let mut second = packs.begin().unwrap();
    second.write(&[7; 10_001]).unwrap();
    check(PackId(3), &BTreeMap::from([(whole.name(), whole.bytes().to_vec())]));
    drop((upload, second));
    check(PackId(2), &BTreeMap::new());

    // A batch that was being written when the process was killed: all but the
    // first record, which comes last, and of the rest as much as there is.
    let file = std::fs::read(path(pack)).unwrap();
    let torn = dir.path().join("torn.tar");
    for length in [file.len(), file.len() - 300, RECORD_BYTES + 1] {
        let mut tail = file[..length].to_vec();
        tail[..RECORD_BYTES].fill(0);
        std::fs::write(&torn, [&file[..], &tail].concat()).unwrap();
        for program in programs {
            assert!(extract(program, &torn).is_none_or(|found| found == expected));
        }
    }

    packs.seal(pack).unwrap();
    check(pack, &expected);
    assert!(std::fs::metadata(path(pack)).unwrap().permissions().readonly());
}
