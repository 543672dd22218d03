//! Search (QIDO-RS): PS3.18 section 10.6, rows QRS-1 to 6 and QRY-01 to 33.

mod anything;
mod dialects;
mod fields;
mod full_text;
mod long_series;
mod matching;
mod names;
mod order;
mod paging;
mod patients;
mod property;
mod representations;
mod resources;

use serde_json::Value;

use crate::{
    harness::Hilum,
    library::{header, text},
};

/// The values of one attribute in all results, in their order.
fn column<'v>(results: &'v Value, tag: &str) -> Vec<&'v str> {
    results.as_array().expect("an array").iter().map(|set| text(set, tag)).collect()
}

/// The same, sorted.
fn sorted<'v>(results: &'v Value, tag: &str) -> Vec<&'v str> {
    let mut values = column(results, tag);
    values.sort_unstable();
    values
}

/// Waits until the index has taken everything in, so that a search goes
/// through it.
fn settle(hilum: &Hilum) {
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let metrics = hilum.client.get(format!("{}/readyz", hilum.root)).send().expect("an answer");
        if metrics.status() == 200 {
            break;
        }
    }
    std::thread::sleep(std::time::Duration::from_millis(1500));
}

fn warnings(hilum: &Hilum, path: &str) -> String {
    let response = hilum.get(path).send().expect("an answer");
    assert_eq!(response.status(), 200, "{path}");
    let all: Vec<&str> =
        response.headers().get_all("warning").iter().map(|value| value.to_str().expect("text")).collect();
    assert!(all.iter().all(|warning| warning.starts_with(&format!("299 {} \"", hilum.base))), "{all:?}");
    all.join("\n")
}

fn total(hilum: &Hilum, path: &str) -> u64 {
    let response = hilum.get(path).send().expect("an answer");
    header(&response, "x-total-count").parse().expect("a number")
}
