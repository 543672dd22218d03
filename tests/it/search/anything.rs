//! Any attribute of instances can be searched for, undeclared: in sequences,
//! private, by every kind of match; once from the overlay, once through the
//! index's blocks, and again after some of it was taken away.

use super::{settle, sorted};
use crate::{harness::Hilum, sample::Sample};

const INSTANCE_UID: &str = "00080018";

/// Two series of four slices and a private attribute; the block that its
/// creator reserved differs.
fn slices(hilum: &Hilum) {
    for series in 1..=2u32 {
        let files: Vec<Vec<u8>> = (1..=4u32).map(|number| slice(series, number)).collect();
        // The first alone, so that it lies in a block of its own.
        for files in [&files[..1], &files[1..]] {
            let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            assert_eq!(hilum.store(&files).status(), 200);
            settle(hilum);
        }
    }
}

fn slice(series: u32, number: u32) -> Vec<u8> {
    let block = 0x0010 + series;
    let code = Sample::empty()
        .text(0x0008_0100, "SH", &format!("C{number}"))
        .text(0x0008_0104, "LO", &format!("Meaning {series}{number}"))
        .text(0x0009_0010, "LO", "INNER")
        .text(0x0009_1001, "LO", &format!("deep {series}{number}"));
    Sample::new("1.1", &format!("1.1.{series}"), &format!("1.1.{series}.{number}"))
        .text(0x0008_0005, "CS", "ISO_IR 192")
        .text(0x0008_0022, "DA", &format!("202401{:02}", 10 * series + number))
        .text(0x0008_0032, "TM", &format!("10{number}000"))
        .text(0x0008_002A, "DT", &format!("202401{:02}10{number}000.5", 10 * series + number))
        .text(0x0020_4000, "LT", &format!("Slice {number} of series {series}"))
        .text(0x0018_0050, "DS", &format!("{number}.50"))
        .text(0x0070_0084, "PN", if number == 3 { "Müller^Jörg" } else { "Doe^Jane" })
        .items(0x0008_9215, &[code])
        .text(0x0029_0000 | block, "LO", "ACME")
        .text(0x0029_0000 | block << 8 | 0x10, "LO", &format!("private {series}{number}"))
        .file()
}

#[rustfmt::skip]
const QUERIES: &[(&str, &[&str])] = &[
    ("ImageComments=Slice 3 of series 2", &["1.1.2.3"]),
    ("ImageComments=*3 of*", &["1.1.1.3", "1.1.2.3"]),
    ("ImageComments=Slice ? of*1", &["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]),
    ("ImageComments=slice*", &[]),
    ("AcquisitionDate=20240113-20240122", &["1.1.1.3", "1.1.1.4", "1.1.2.1", "1.1.2.2"]),
    ("AcquisitionDate=20240124", &["1.1.2.4"]),
    ("AcquisitionTime=1035-", &["1.1.1.4", "1.1.2.4"]),
    ("AcquisitionDate=20240112-20240113&AcquisitionTime=1025-1035", &["1.1.1.3"]),
    ("AcquisitionDateTime=20240113103000-20240121", &["1.1.1.3", "1.1.1.4", "1.1.2.1"]),
    ("SliceThickness=3.5", &["1.1.1.3", "1.1.2.3"]),
    ("SliceThickness=3.5,1.50", &["1.1.1.1", "1.1.1.3", "1.1.2.1", "1.1.2.3"]),
    ("ContentCreatorName=muller*", &["1.1.1.3", "1.1.2.3"]),
    ("DerivationCodeSequence.CodeValue=C2", &["1.1.1.2", "1.1.2.2"]),
    ("DerivationCodeSequence.CodeValue=C2&DerivationCodeSequence.CodeMeaning=*22", &["1.1.2.2"]),
    ("DerivationCodeSequence.CodeValue=C1&DerivationCodeSequence.CodeMeaning=*22", &[]),
    ("00089215.00090010=INNER&00089215.00091001=deep 14", &["1.1.1.4"]),
    ("00290010=ACME&00291010=private 23", &["1.1.2.3"]),
    ("00290077=ACME&00297710=private 1*", &["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]),
    ("00290010=OTHER&00291010=private 23", &[]),
    ("ImageComments=*1*&SliceThickness=4.5&00290010=ACME&00291010=private*", &["1.1.1.4"]),
];

fn check(hilum: &Hilum, gone: &[&str]) {
    for (query, expected) in QUERIES {
        let wanted: Vec<&str> = expected.iter().copied().filter(|uid| !gone.contains(uid)).collect();
        for resource in ["instances", "studies/1.1/instances"] {
            let found = hilum.json(&format!("/{resource}?{}", query.replace(' ', "%20")));
            assert_eq!(sorted(&found, INSTANCE_UID), wanted, "{resource}?{query}");
        }
    }
}

#[test]
fn qry_05_10_to_19_any_attribute_of_instances_is_searchable() {
    let hilum = Hilum::start();
    slices(&hilum);
    check(&hilum, &[]);
    // A study that changed is matched directly.
    assert_eq!(hilum.store(&[&Sample::new("1.1", "1.1.9", "1.1.9.9").file()]).status(), 200);
    check(&hilum, &[]);
    settle(&hilum);
    check(&hilum, &[]);
    for gone in ["1.1.2/instances/1.1.2.3", "1.1.2/instances/1.1.2.2"] {
        assert_eq!(hilum.delete(&format!("/studies/1.1/series/{gone}")).status(), 204);
    }
    settle(&hilum);
    check(&hilum, &["1.1.2.2", "1.1.2.3"]);
    let hilum = hilum.restart();
    check(&hilum, &["1.1.2.2", "1.1.2.3"]);
}
