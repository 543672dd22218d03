//! Measurements, by hand:
//! `cargo test --release --lib catalog::tests::measure -- --ignored --nocapture`

use std::time::Instant;

use super::*;

/// Text as a CT slice has it; only the last lines differ among slices.
fn slice_json(study: u64, slice: u64) -> Vec<u8> {
    use std::fmt::Write;
    let mut json = String::from("{");
    for element in 0..230u64 {
        let noise = element.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ study;
        _ = write!(
            json,
            "\"{:08X}\":{{\"vr\":\"DS\",\"Value\":[{}.{}]}},",
            0x0018_0000 + element * 16,
            noise % 977,
            noise % 8191
        );
    }
    for (tag, value) in [
        ("00080018", format!("\"1.3.6.1.4.1.9328.50.1.{study}.{}\"", 98_765_432_100 + slice * 7)),
        ("00200013", slice.to_string()),
        ("00200032", format!("-166.0,-171.7,{}.{}", 207 + slice, slice * 37 % 1000)),
        ("00201041", format!("{}.{}", 207 + slice, slice * 37 % 1000)),
        ("00080032", format!("\"1{:05}.{:06}\"", slice * 13, slice * 7919 % 1_000_000)),
    ] {
        _ = write!(json, "\"{tag}\":{{\"vr\":\"LO\",\"Value\":[{value}]}},");
    }
    json.push_str("\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"\u{1}/bulkdata/7FE00010\"}}");
    json.into_bytes()
}

fn slice(study: u64, slice: u64, stamp: u64) -> NewInstance {
    let uid = |tail: String| format!("1.3.6.1.4.1.14519.5.2.1.7009.2403.{tail}");
    let path = InstancePath {
        study: StudyUid::parse(&uid(format!("3342{study:012}33475684"))).unwrap(),
        series: SeriesUid::parse(&uid(format!("2879{study:012}87103472"))).unwrap(),
        instance: InstanceUid::parse(&uid(format!("2{study:09}{:010}", slice * 7919 % 1_000_003))).unwrap(),
    };
    let text = |set: &mut DataSet, element: u16, text: &str| set.put_text(Tag(0x0010, element), VR::LO, text);
    let mut new = version(&path, stamp);
    for element in 0..12 {
        text(&mut new.study, element, "what a study says of itself");
        text(&mut new.series, element, "and a series");
        text(&mut new.summary, element, &(slice + u64::from(element)).to_string());
    }
    let mut noise = stamp;
    new.digest.0.fill_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 56) as u8
    });
    new.place.length = 526_000;
    new.chunks = Chunks(new.digest.0.iter().take(9).map(|byte| u32::from(*byte) * 16_843_009).collect());
    new.frames = FrameTable::Native { offset: 1700, frame_bits: 4_194_304, frames: 1 };
    new.bulk = vec![Bulk { path: "7FE00010".into(), offset: 1700, length: 524_288 }];
    new.metadata = slice_json(study, slice);
    new
}

#[test]
#[ignore = "a measurement"]
fn speed_and_size() {
    for batch in [1, 10, 100, 500] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog.redb");
        let catalog = Catalog::open(&file, Options::default(), None, resplit()).unwrap();
        let all: Vec<Change> =
            (0..20_000u64).map(|n| store(slice(n / 500, n % 500, 1 + n), Rule::Reject)).collect();
        let begun = Instant::now();
        for changes in all.chunks(batch) {
            let applied = fast(&catalog, changes);
            if applied.seq.is_multiple_of(5000) {
                catalog.checkpoint().unwrap();
            }
        }
        let took = begun.elapsed();
        catalog.checkpoint().unwrap();
        let read = catalog.read().unwrap();
        println!(
            "batch {batch}: {:.1} µs an instance; file {} bytes an instance",
            took.as_secs_f64() * 1e6 / all.len() as f64,
            std::fs::metadata(&file).unwrap().len() / all.len() as u64,
        );
        if batch == 100 {
            for (table, rows, stored, overhead) in read.sizes().unwrap() {
                println!(
                    "  {table}: {rows} rows, {} stored + {} overhead bytes each",
                    stored / rows.max(1),
                    overhead / rows.max(1)
                );
            }
            reads(&read, &catalog);
            drop(read);
            deletes(&catalog);
        }
    }
}

fn reads(read: &Snapshot, catalog: &Catalog) {
    let paths: Vec<InstancePath> = (0..20_000u64).map(|n| slice(n / 500, n % 500, 1).path).collect();
    let begun = Instant::now();
    for path in &paths {
        let row = read.instance(path).unwrap().unwrap();
        assert!(read.frame(&row, 0).unwrap().is_some());
    }
    println!("  instance and frame: {:.2} µs", begun.elapsed().as_secs_f64() * 1e6 / paths.len() as f64);
    let begun = Instant::now();
    for path in &paths {
        assert!(catalog.read().unwrap().locate(&path.instance).unwrap().is_some());
    }
    println!("  snapshot and locate: {:.2} µs", begun.elapsed().as_secs_f64() * 1e6 / paths.len() as f64);
    let begun = Instant::now();
    let mut bytes = 0;
    for path in paths.iter().step_by(500) {
        read.metadata(&path.series_path(), None, &mut |_, json| {
            bytes += json.len();
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    println!(
        "  metadata of a series of 500: {:.2} ms, {} bytes of JSON each",
        begun.elapsed().as_secs_f64() * 1e3 / 40.0,
        bytes / 20_000
    );
}

/// A study at once, and another instance by instance.
fn deletes(catalog: &Catalog) {
    let begun = Instant::now();
    fast(catalog, &[delete(Target::Study(slice(0, 0, 1).path.study), 1 << 40)]);
    println!("  a study of 500 deleted: {:.2} ms", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    for n in (0..500).rev() {
        fast(catalog, &[delete(Target::Instance(slice(1, n, 1).path), 1 << 40)]);
    }
    println!("  500 deleted one by one, newest first: {:.2} ms", begun.elapsed().as_secs_f64() * 1e3);
}

#[test]
#[ignore = "a measurement"]
fn opening_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.redb");
    let catalog = Catalog::open(&file, Options::default(), None, resplit()).unwrap();
    for batch in 0..200u64 {
        let changes: Vec<_> =
            (0..500).map(|n| store(slice(batch, n, 1 + batch * 500 + n), Rule::Reject)).collect();
        fast(&catalog, &changes);
        if batch % 20 == 10 {
            catalog.checkpoint().unwrap();
        }
    }
    let killed = folder.path().join("killed.redb");
    std::fs::copy(&file, &killed).unwrap();
    let begun = Instant::now();
    let reopened = Catalog::open(&killed, Options::default(), None, resplit()).unwrap();
    println!(
        "{} MB open in {:?} with {} instances",
        std::fs::metadata(&killed).unwrap().len() / 1_000_000,
        begun.elapsed(),
        reopened.read().unwrap().totals().unwrap().instances
    );
}
