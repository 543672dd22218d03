//! Quotas: what an archive may hold, and what happens to what would be more.

use std::sync::atomic::{AtomicU64, Ordering};

use hilum::config::Tenant;
use serde_json::{Value, json};

use super::{add_tenants, file, get, home, json, store, stored};
use crate::{
    harness::{Hilum, json_of},
    library::header,
    sample::Sample,
};

const OUT_OF_RESOURCES: u64 = 0xA700;

fn server(bytes_max: u64, instances_max: u64) -> Hilum {
    Hilum::with(|config| {
        add_tenants(config);
        // Some are kept in memory until they are written, some are streamed.
        config.store.small_bytes_max = 16 << 10;
        let quota =
            Tenant { quota_bytes_max: bytes_max, quota_instances_max: instances_max, ..Tenant::default() };
        config.tenants.insert("north".to_owned(), quota);
    })
}

/// A file of about so many bytes.
fn sized(number: usize, bytes: usize) -> Vec<u8> {
    let study = format!("1.2.7.{number}");
    Sample::new(&study, &format!("{study}.1"), &format!("{study}.1.1"))
        .bytes(0x0042_0011, "OB", vec![number as u8; bytes & !1])
        .file()
}

fn used(hilum: &Hilum, tenant: &str) -> (u64, u64) {
    let metrics = hilum.client.get(format!("{}/metrics", hilum.root)).send().expect("an answer");
    let metrics = metrics.text().expect("a body");
    let of = |name: &str| {
        let start = format!("{name}{{tenant=\"{tenant}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("{start}: {metrics}")).parse::<u64>().expect("a number")
    };
    (of("hilum_file_bytes") + of("hilum_version_bytes"), of("hilum_instances"))
}

#[test]
fn what_would_be_more_is_refused() {
    for size in [1000, 40_000] {
        let (first, second, third) = (sized(1, size), sized(2, size), sized(3, size));
        let quota = (first.len() + second.len() + third.len() / 2) as u64;
        let hilum = server(quota, 0);
        stored(&hilum, "north", &[&first]);
        // Of two, the one that fits.
        let answer = store(&hilum, "north", &[&second, &third]);
        assert_eq!(answer.status(), 202);
        let module = json_of(answer);
        assert_eq!(module["00081199"]["Value"].as_array().expect("a list").len(), 1, "{module}");
        let failed = if size < 16 << 10 { &module["00081198"] } else { &module["0008119A"] };
        let failed = failed["Value"].get(0).unwrap_or(&module["00081198"]["Value"][0]);
        assert_eq!(failed["00081197"]["Value"][0], OUT_OF_RESOURCES, "{module}");
        assert!(failed.to_string().contains(&format!("may hold {quota} bytes (its quota)")), "{module}");
        // Of none, 507.
        let answer = store(&hilum, "north", &[&third]);
        assert_eq!(answer.status(), 507);
        let problem = json_of(answer);
        assert_eq!(problem["code"], "over-quota");
        assert!(problem["detail"].as_str().expect("text").contains("quota"), "{problem}");
        // Others go on, and what is there can be read and is there again.
        stored(&hilum, "south", &[&third]);
        stored(&hilum, "", &[&third]);
        assert_eq!(get(&hilum, "north", "/dicomweb/studies/1.2.7.2").status(), 200);
        if size < 16 << 10 {
            stored(&hilum, "north", &[&first]);
        }
        // A start counts the same.
        let hilum = hilum.restart();
        assert_eq!(used(&hilum, "north"), ((first.len() + second.len()) as u64, 2));
        assert_eq!(store(&hilum, "north", &[&third]).status(), 507);
        // A deletion gives room.
        let url = format!("{}/dicomweb/studies/1.2.7.1", home(&hilum, "north"));
        assert_eq!(hilum.client.delete(url).send().expect("an answer").status(), 204);
        stored(&hilum, "north", &[&third]);
        assert_eq!(used(&hilum, "north"), ((second.len() + third.len()) as u64, 2));
    }
}

#[test]
fn instances_and_versions_count() {
    let hilum = Hilum::with(|config| {
        config.store.duplicates = hilum::config::Duplicates::Replace;
        config.store.quota_instances_max = 1;
        config.store.quota_bytes_max = 10_000;
    });
    stored(&hilum, "", &[&file("1.2", "ONE")]);
    assert_eq!(store(&hilum, "", &[&file("1.3", "TWO")]).status(), 507, "one instance");
    // In its place, as long as there are bytes for both.
    let mut replaced = 0;
    for number in 0..20 {
        let answer = store(&hilum, "", &[&file("1.2", &format!("AGAIN{number}"))]);
        if answer.status() != 200 {
            assert_eq!(json_of(answer)["code"], "over-quota");
            break;
        }
        replaced += 1;
    }
    assert!((2..10).contains(&replaced), "{replaced}");
    let metrics = get(&hilum, "", "/metrics").text().expect("a body");
    let value = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().expect("a number")
    };
    assert!(value("hilum_quota_used_bytes") <= value("hilum_quota_bytes"));
    assert_eq!((value("hilum_quota_bytes"), value("hilum_quota_instances")), (10_000, 1));
    assert_eq!(value("hilum_quota_used_instances"), 1);
}

#[test]
fn stores_at_the_same_time_do_not_overshoot() {
    // Sizes and a quota by chance; where the sum ends is not.
    for seed in 0..3_u64 {
        let quota = 150_000 + seed * 37_123;
        let hilum = server(quota, 0);
        let (taken, refused_min) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (hilum, taken, refused_min) = (&hilum, &taken, &refused_min);
                scope.spawn(move || {
                    for turn in 0..8 {
                        let number = thread * 100 + turn;
                        let size = 500 + (number * 7919 + seed as usize * 104_729) % 24_000;
                        let file = sized(number, size);
                        let answer = store(hilum, "north", &[&file]);
                        match answer.status().as_u16() {
                            200 => _ = taken.fetch_add(file.len() as u64, Ordering::Relaxed),
                            507 => _ = refused_min.fetch_min(file.len() as u64, Ordering::Relaxed),
                            other => panic!("{other}: {}", answer.text().unwrap_or_default()),
                        }
                    }
                });
            }
        });
        let taken = taken.into_inner();
        assert!(taken <= quota, "{taken} of {quota}");
        assert_eq!(used(&hilum, "north").0, taken);
        // What was acknowledged is there, and what was refused did not leave anything.
        assert!(refused_min.into_inner() < u64::MAX, "the quota was met");
        let answer = store(&hilum, "north", &[&sized(9999, (quota - taken) as usize)]);
        assert_eq!(answer.status(), 507, "a little more than what is left");
        if quota - taken > 1000 {
            stored(&hilum, "north", &[&sized(9998, (quota - taken - 900) as usize)]);
        }
    }
}

#[test]
fn an_upload_that_cannot_fit_is_not_begun() {
    let hilum = server(5000, 1);
    let begin = |length: usize| {
        let request = hilum.client.post(format!("{}/uploads", home(&hilum, "north")));
        request.header("Tus-Resumable", "1.0.0").header("Upload-Length", length).send().expect("an answer")
    };
    let refused = begin(5001);
    assert_eq!(refused.status(), 507);
    assert_eq!(json_of(refused)["code"], "over-quota");
    let finish = |number: usize| -> (u16, Value) {
        let file = sized(number, 500);
        let url = header(&begin(file.len()), "location");
        let request = hilum.client.patch(&url).header("Tus-Resumable", "1.0.0").header("Upload-Offset", 0);
        let request = request.header("Content-Type", "application/offset+octet-stream").body(file);
        assert_eq!(request.send().expect("an answer").status(), 204);
        let report = hilum.client.get(&url).send().expect("an answer");
        (report.status().as_u16(), json_of(report))
    };
    assert_eq!(finish(1).0, 200);
    // One instance is all it may have: the report says so, and it is not tried for ever.
    let (status, report) = finish(2);
    assert_eq!(status, 409, "{report}");
    assert_eq!(report["00081198"]["Value"][0]["00081197"]["Value"][0], OUT_OF_RESOURCES, "{report}");
    assert_eq!(json(&hilum, "north", "/dicomweb/instances/count"), json!({ "count": 1 }));
}
