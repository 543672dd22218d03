//! `orderby` by any attribute of the level searched for or above, by as many as
//! wanted, with ties in the default order.

use super::{column, settle, total};
use crate::{harness::Hilum, library::problem, sample::Sample};

const INSTANCE_UID: &str = "00080018";

/// Three studies of one series of two instances.
fn store() -> Hilum {
    let hilum = Hilum::with(|config| config.search.sorted_max = 6);
    let mut files = Vec::new();
    for (study, weight, operator) in [(1, "70.5", "Roe"), (2, "9", "Doe"), (3, "", "Éa")] {
        for number in 1..=2 {
            let instance = format!("1.{study}.1.{number}");
            let sample = Sample::new(&format!("1.{study}"), &format!("1.{study}.1"), &instance)
                .text(0x0008_0005, "CS", "ISO_IR 192")
                .text(0x0008_0020, "DA", "20240101")
                .text(0x0010_1030, "DS", weight)
                .text(0x0008_1070, "PN", operator)
                .text(0x0020_0013, "IS", &number.to_string())
                .text(0x0008_002A, "DT", &format!("2024010{}10{study}0", 4 - number))
                .text(0x0018_0050, "DS", ["-1.5", "2"][number - 1]);
            files.push(sample.file());
        }
    }
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    hilum
}

/// Orders, and where in them the instances stand.
#[rustfmt::skip]
const ORDERS: &[(&str, &[&str])] = &[
    ("SliceThickness,PatientWeight", &["2.1.1", "1.1.1", "3.1.1", "2.1.2", "1.1.2", "3.1.2"]),
    ("-SliceThickness,-PatientWeight", &["1.1.2", "2.1.2", "3.1.2", "1.1.1", "2.1.1", "3.1.1"]),
    ("AcquisitionDateTime", &["1.1.2", "2.1.2", "3.1.2", "1.1.1", "2.1.1", "3.1.1"]),
    ("-InstanceNumber,-AcquisitionDateTime", &["3.1.2", "2.1.2", "1.1.2", "3.1.1", "2.1.1", "1.1.1"]),
    ("OperatorsName", &["2.1.1", "2.1.2", "3.1.1", "3.1.2", "1.1.1", "1.1.2"]),
    ("StudyDate,StudyTime,PatientID,AccessionNumber,SeriesNumber,-OperatorsName,-InstanceNumber",
        &["1.1.2", "1.1.1", "3.1.2", "3.1.1", "2.1.2", "2.1.1"]),
];

#[test]
fn qry_28_any_attribute_orders() {
    let hilum = store();
    for _ in 0..2 {
        for (order, expected) in ORDERS {
            let wanted: Vec<String> = expected.iter().map(|uid| format!("1.{uid}")).collect();
            let found = hilum.json(&format!("/instances?orderby={order}"));
            assert_eq!(column(&found, INSTANCE_UID), wanted, "{order}");
            let mut pages = Vec::new();
            for offset in [0, 2, 4] {
                let page = hilum.json(&format!("/instances?orderby={order}&limit=2&offset={offset}"));
                pages.extend(column(&page, INSTANCE_UID).into_iter().map(str::to_owned));
            }
            assert_eq!(pages, wanted, "{order} by pages");
        }
        let found = hilum.json("/studies?orderby=-PatientWeight&limit=2");
        assert_eq!(column(&found, "0020000D"), ["1.1", "1.2"]);
        assert_eq!(total(&hilum, "/studies?orderby=-PatientWeight&limit=2"), 3);
        let found = hilum.json("/studies/1.2/instances?orderby=-SliceThickness");
        assert_eq!(column(&found, INSTANCE_UID), ["1.2.1.2", "1.2.1.1"]);
        settle(&hilum);
    }
    // One more than may be read for an order; those that the index holds go on.
    let late = Sample::new("1.9", "1.9.1", "1.9.1.1").file();
    assert_eq!(hilum.store(&[&late]).status(), 200);
    settle(&hilum);
    problem(
        hilum.get("/instances?orderby=InstanceNumber").send().expect("an answer"),
        413,
        "search-too-broad",
    );
    assert_eq!(hilum.json("/instances?orderby=-StudyDate").as_array().map(Vec::len), Some(7));
    assert_eq!(
        hilum.json("/instances?orderby=InstanceNumber&StudyDate=20240101").as_array().map(Vec::len),
        Some(6)
    );
}
