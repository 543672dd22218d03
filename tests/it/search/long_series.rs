//! Searches in a series of many instances. A search in a series of 100,000 read all of
//! them whatever was asked (800 ms, one by its UID too) and kept them in memory until the
//! page was cut (882 MiB). The order of a series is kept now, and only the page is read.

use serde_json::Value;

use super::{column, settle, total};
use crate::{harness::Hilum, sample::Sample};

const STUDY: &str = "1.5";
const SERIES: &str = "1.5.1";
const INSTANCES: &str = "/studies/1.5/series/1.5.1/instances";

/// Two slices share a number, and one in ten has none: those are last.
fn number(slice: usize) -> Option<usize> {
    (slice % 10 != 9).then_some(100 - slice / 2)
}

fn uid(slice: usize) -> String {
    format!("{SERIES}.{slice}")
}

fn slice(slice: usize, number: Option<usize>, description: &str) -> Vec<u8> {
    let number = number.map(|number| number.to_string()).unwrap_or_default();
    Sample::new(STUDY, SERIES, &uid(slice))
        .text(0x0020_0013, "IS", &number)
        .text(0x0020_4000, "LT", description)
        .file()
}

fn store(hilum: &Hilum, slices: impl Iterator<Item = usize>) {
    let files: Vec<Vec<u8>> = slices.map(|at| slice(at, number(at), "as it was")).collect();
    hilum.must_store(&files.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

/// What the order has to be: by number, then by UID.
fn ordered(slices: impl Iterator<Item = usize>) -> Vec<String> {
    let mut all: Vec<_> = slices.map(|at| (number(at).unwrap_or(usize::MAX), uid(at))).collect();
    all.sort();
    all.into_iter().map(|(_, uid)| uid).collect()
}

fn uids(found: &Value) -> Vec<String> {
    column(found, "00080018").into_iter().map(str::to_owned).collect()
}

fn pages(hilum: &Hilum, path: &str, limit: usize) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = uids(&hilum.json(&format!("{path}limit={limit}&offset={}", all.len())));
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

#[test]
fn qry_27_28_a_long_series_in_pages() {
    let hilum = Hilum::start();
    store(&hilum, 0..100);
    // Of another study, so that what is named is not all there is.
    hilum.must_store(&[&Sample::new("1.6", "1.6.1", "1.6.1.1").file()]);
    for round in ["overlay", "index"] {
        let all = ordered(0..100);
        for path in [format!("{INSTANCES}?"), format!("/instances?StudyInstanceUID={STUDY}&")] {
            for limit in [1, 7, 100, 1000] {
                assert_eq!(pages(&hilum, &path, limit), all, "{round} {path} {limit}");
            }
            // From the middle, and again, when the order is known.
            for _ in 0..2 {
                assert_eq!(uids(&hilum.json(&format!("{path}limit=5&offset=60"))), all[60..65], "{round}");
            }
            assert_eq!(uids(&hilum.json(&path)), all, "{round} {path}");
            assert_eq!(total(&hilum, &path), 100, "{round} {path}");
            let count = path.replace("instances?", "instances/count?");
            assert_eq!(hilum.json(&count)["count"], 100, "{round} {count}");
        }
        let commented = hilum.json(&format!("{INSTANCES}?includefield=ImageComments&limit=3&offset=40"));
        assert_eq!(uids(&commented), all[40..43], "{round}");
        assert_eq!(column(&commented, "00204000"), ["as it was"; 3], "{round}");
        settle(&hilum);
    }
    // Several series, of which a page has the end of one and the beginning of the next.
    let in_all = pages(&hilum, "/instances?", 8);
    assert_eq!(in_all.len(), 101);
    assert_eq!(in_all, pages(&hilum, "/instances?", 1000));
}

#[test]
fn qry_02_28_a_long_series_by_its_keys() {
    let hilum = Hilum::start();
    store(&hilum, 0..60);
    hilum.must_store(&[&Sample::new(STUDY, "1.5.2", "1.5.2.1").file()]);
    for round in ["overlay", "index"] {
        let found = |what: &str| uids(&hilum.json(&format!("{INSTANCES}?{what}")));
        assert_eq!(found("SOPInstanceUID=1.5.1.7"), ["1.5.1.7"], "{round}");
        // One is named twice, one is of another series, one of none.
        let named = found("SOPInstanceUID=1.5.1.7,1.5.1.30,1.5.2.1,1.5.1.7,1.9.9");
        assert_eq!(named, ["1.5.1.30", "1.5.1.7"], "{round}");
        assert!(found("SOPInstanceUID=1.5.1.7&InstanceNumber=1").is_empty(), "{round}");
        assert_eq!(found("InstanceNumber=97"), ["1.5.1.6", "1.5.1.7"], "{round}");
        assert_eq!(found("InstanceNumber=97&offset=1"), ["1.5.1.7"], "{round}");
        assert_eq!(found("00204000=*was&InstanceNumber=98"), ["1.5.1.4", "1.5.1.5"], "{round}");
        let backwards = found("orderby=-InstanceNumber&limit=3&offset=1");
        assert_eq!(backwards, ["1.5.1.1", "1.5.1.2", "1.5.1.3"], "{round}");
        assert_eq!(hilum.json("/instances?SOPInstanceUID=1.5.1.7,1.5.2.1").as_array().unwrap().len(), 2);
        settle(&hilum);
    }
}

/// The order that is kept is that of the series as it was.
#[test]
fn qry_24_28_a_long_series_follows_store_replace_and_delete() {
    let hilum = Hilum::with(|config| config.store.duplicates = hilum::config::Duplicates::Replace);
    let page = |what: &str| uids(&hilum.json(&format!("{INSTANCES}?{what}")));
    store(&hilum, 0..50);
    let mut expected = ordered(0..50);
    assert_eq!(page("limit=4"), expected[..4]);
    store(&hilum, 50..51);
    expected = ordered(0..51);
    assert_eq!(page(""), expected);
    let path = format!("{INSTANCES}/{}", expected[2]);
    assert_eq!(hilum.delete(&path).status(), 204);
    expected.remove(2);
    assert_eq!(page(""), expected);
    assert_eq!(page("limit=2&offset=2"), expected[2..4]);
    // The last becomes the first.
    let last = expected.pop().expect("an instance");
    let number_of_last: usize =
        last.rsplit('.').next().and_then(|slice| slice.parse().ok()).expect("a slice");
    hilum.must_store(&[&slice(number_of_last, Some(1), "another")]);
    expected.insert(0, last);
    assert_eq!(page(""), expected);
    assert_eq!(page("limit=1"), expected[..1]);
    assert_eq!(hilum.delete(&format!("/studies/{STUDY}")).status(), 204);
    assert!(page("").is_empty());
    store(&hilum, 0..40);
    assert_eq!(page(""), ordered(0..40));
}
