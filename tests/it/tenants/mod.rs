//! Tenants: one server, several archives. The same UIDs in each, nothing of one
//! in another, who may enter, how much each may hold, and how they are operated.

mod crossing;
mod entering;
mod operation;
mod quotas;

use hilum::config::{Config, Tenant};
use reqwest::blocking::{RequestBuilder, Response};
use serde_json::Value;

use crate::{
    harness::{Hilum, multipart},
    sample::Sample,
};

/// A study that is in both tenants, with other bytes.
const BOTH: &str = "1.2.3.1";
/// A study that is in the north only.
const ONLY: &str = "1.2.3.2";

fn add_tenants(config: &mut Config) {
    for (name, title) in [("north", "North Hospital"), ("south", "")] {
        let tenant = Tenant { title: title.to_owned(), ..Tenant::default() };
        config.tenants.insert(name.to_owned(), tenant);
    }
}

/// One instance of a study, with a word that only this one has.
fn file(study: &str, word: &str) -> Vec<u8> {
    let shade = word.bytes().map(u32::from).sum::<u32>() as u8;
    Sample::new(study, &format!("{study}.1"), &format!("{study}.1.1"))
        .text(0x0008_0060, "CS", "CT")
        .text(0x0010_0010, "PN", word)
        .text(0x0010_0020, "LO", word)
        .text(0x0010_4000, "LT", &format!("{word} ").repeat(300))
        .pixels(16, 16, 1)
        .bytes(
            0x7FE0_0010,
            "OB",
            (0..=255).map(|at: u8| at.wrapping_mul(shade | 1).wrapping_add(shade)).collect(),
        )
        .file()
}

/// The root of a tenant; without a name that of the server.
fn home(hilum: &Hilum, tenant: &str) -> String {
    if tenant.is_empty() { hilum.root.clone() } else { format!("{}/{tenant}", hilum.root) }
}

fn get(hilum: &Hilum, tenant: &str, path: &str) -> Response {
    hilum.client.get(format!("{}{path}", home(hilum, tenant))).send().expect("an answer")
}

fn json(hilum: &Hilum, tenant: &str, path: &str) -> Value {
    let response = get(hilum, tenant, path);
    let status = response.status();
    let text = response.text().expect("a body");
    assert_eq!(status, 200, "{tenant} {path}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

fn posting(hilum: &Hilum, tenant: &str, files: &[&[u8]]) -> RequestBuilder {
    hilum
        .client
        .post(format!("{}/dicomweb/studies", home(hilum, tenant)))
        .header("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=XX-hilum-XX")
        .body(multipart("XX-hilum-XX", files))
}

fn store(hilum: &Hilum, tenant: &str, files: &[&[u8]]) -> Response {
    posting(hilum, tenant, files).send().expect("an answer")
}

fn stored(hilum: &Hilum, tenant: &str, files: &[&[u8]]) {
    let response = store(hilum, tenant, files);
    let status = response.status();
    let text = response.text().expect("a body");
    assert!(status == 200 || status == 202, "{tenant}: {status} {text}");
    assert!(!text.contains("00081198"), "{tenant}: {text}");
}
