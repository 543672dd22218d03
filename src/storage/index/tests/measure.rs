//! Measurements, by hand:
//! `cargo test --release --lib index::tests::measure -- --ignored --nocapture`

use std::time::{Duration, Instant};

use super::*;
use crate::dicom::part10;
use crate::dicom::query::{Options as QueryOptions, parse};

const STUDIES: u64 = 10_000;
const SERIES: usize = 2;
const INSTANCES: u64 = 10;

/// How the instances of a series lie in the index.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    /// Not at all.
    Rows,
    /// As they do.
    Blocks,
    /// A document for each.
    Instances,
}

fn put_text(set: &mut DataSet, tag: Tag, text: &str) {
    set.put_text(tag, crate::dicom::attributes::vr(tag), text);
}

/// A CT slice of a real scanner, with what differs among slices.
fn slice(of: &DataSet, study: u64, series: usize, number: u64) -> DataSet {
    let mut set = of.clone();
    let at = study * 1000 + series as u64 * 100 + number;
    put_text(&mut set, tags::SOP_INSTANCE_UID, &format!("1.3.6.1.4.1.9328.50.1.{at}"));
    put_text(&mut set, tags::INSTANCE_NUMBER, &number.to_string());
    put_text(&mut set, tags::SLICE_LOCATION, &format!("{}.{}", number * 5, at % 97));
    put_text(&mut set, tags::IMAGE_POSITION_PATIENT, &format!("-{}.5", at % 311));
    put_text(&mut set, tags::CONTENT_TIME, &format!("10{:02}{:02}", number, at % 60));
    put_text(&mut set, tags::ACQUISITION_TIME, &format!("10{:02}{:02}", number, at % 60));
    put_text(&mut set, tags::CONTENT_DATE, &format!("2024{:02}{:02}", study % 12 + 1, study % 28 + 1));
    if at % 1009 == 7 {
        put_text(&mut set, tags::IMAGE_COMMENTS, &format!("remark {at}"));
    }
    set
}

fn study_set(study: u64) -> DataSet {
    let mut set = DataSet::new();
    let name = PersonName {
        alphabetic: format!("Name{}^First{}", study % 2003, study % 89),
        ..PersonName::default()
    };
    set.put(tags::PATIENT_NAME, Element::new(VR::PN, Value::Names(vec![name])));
    for (tag, text) in [
        (tags::PATIENT_ID, format!("P{:07}", study * 7919 % 999_983)),
        (tags::ACCESSION_NUMBER, format!("A{study:08}")),
        (tags::STUDY_DATE, format!("2024{:02}{:02}", study % 12 + 1, study % 28 + 1)),
        (tags::STUDY_TIME, format!("{:02}{:02}00", study % 24, study % 60)),
        (
            tags::STUDY_DESCRIPTION,
            ["CT Thorax", "CT Abdomen with contrast", "MR Knee left"][study as usize % 3].to_owned(),
        ),
        (tags::MODALITIES_IN_STUDY, "CT".to_owned()),
        (tags::STUDY_INSTANCE_UID, format!("1.2.{study}")),
    ] {
        put_text(&mut set, tag, &text);
    }
    set
}

fn bytes(folder: &Path) -> u64 {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").metadata().map_or(0, |m| m.len()))
        .sum()
}

fn fill(index: &Index, layout: Layout) -> (Duration, Duration) {
    let file = fs::read("fixtures/CT_small.dcm").expect("a fixture");
    let template = part10::parse(&file, &part10::Limits::default()).expect("a data set").dataset;
    let (mut rows, mut instances) = (Duration::ZERO, Duration::ZERO);
    for id in 0..STUDIES {
        let set = study_set(id);
        let mut series_set = DataSet::new();
        put_text(&mut series_set, tags::MODALITY, "CT");
        put_text(&mut series_set, tags::SERIES_DESCRIPTION, "Axial 5.0 B30f");
        let study = Study {
            set,
            series: (0..SERIES)
                .map(|_| Series {
                    set: series_set.clone(),
                    sop_classes: vec!["1.2".into()],
                    instances: vec![],
                })
                .collect(),
        };
        let begun = Instant::now();
        put(index, id, &study);
        rows += begun.elapsed();
        for series in 0..SERIES {
            let sets: Vec<DataSet> =
                (0..INSTANCES).map(|number| slice(&template, id, series, number)).collect();
            let begun = Instant::now();
            match layout {
                Layout::Rows => {}
                Layout::Blocks => {
                    let mut block = Block::new(id, series_id(id, series));
                    for set in sets {
                        block.add(set);
                    }
                    index.put_block(block).expect("a block");
                }
                Layout::Instances => {
                    for set in sets {
                        let mut block = Block::new(id, series_id(id, series));
                        block.add(set);
                        index.put_block(block).expect("a block");
                    }
                }
            }
            instances += begun.elapsed();
        }
    }
    let begun = Instant::now();
    index.commit(1).expect("a commit");
    (rows, instances + begun.elapsed())
}

#[test]
#[ignore = "a measurement"]
fn layouts() {
    for layout in [Layout::Rows, Layout::Blocks, Layout::Instances] {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { writer_bytes: 50_000_000, ..Options::default() };
        let index = Index::create(folder.path(), options).expect("an index");
        let (rows, instances) = fill(&index, layout);
        // Merges go on behind the commit.
        std::thread::sleep(Duration::from_secs(10));
        let all = STUDIES * SERIES as u64 * INSTANCES;
        println!(
            "{layout:?}: {} bytes a study, {} an instance; {:.0} µs a study for its rows, {:.0} µs an instance",
            bytes(folder.path()) / STUDIES,
            bytes(folder.path()) / all,
            rows.as_secs_f64() * 1e6 / STUDIES as f64,
            instances.as_secs_f64() * 1e6 / all as f64,
        );
        searches(&index);
    }
}

fn searches(index: &Index) {
    for (resource, text) in [
        (Resource::Studies, "PatientID=P0007919"),
        (Resource::Studies, "PatientName=Name19*"),
        (Resource::Studies, "PatientName=*me19*"),
        (Resource::Studies, "PatientName=nam1999&fuzzymatching=true"),
        (Resource::Studies, "StudyDate=20240301-20240331"),
        (Resource::Studies, ""),
        (Resource::Instances, "ImageComments=remark 7063"),
        (Resource::Instances, "ImageComments=*706*"),
        (Resource::Instances, "ContentDate=20240301&ContentTime=100512"),
        (Resource::Studies, "q=thorax name1999"),
        (Resource::Studies, "q=thorx"),
        (Resource::Studies, "q=remark 7063"),
    ] {
        let query = parse(resource, text, &QueryOptions::default()).expect("a query");
        let mut hits = None;
        let begun = Instant::now();
        for _ in 0..20 {
            hits = index.search(&query, 0..100, &BTreeSet::new()).ok();
        }
        println!(
            "  {resource:?} {text}: {:.2} ms, {:?} candidates",
            begun.elapsed().as_secs_f64() * 1e3 / 20.0,
            hits.map(|hits| hits.total)
        );
    }
}

/// Resident memory of this process, in MiB: all of it, and what is no mapped file.
fn memory() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
    };
    (of("VmRSS:"), of("RssAnon:"))
}

/// What encryption costs.
#[test]
#[ignore = "a measurement"]
fn sealed_and_plain() {
    for ring in [None, Some(ring())] {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { writer_bytes: 50_000_000, ring: ring.clone(), ..Options::default() };
        let index = Index::create(folder.path(), options.clone()).expect("an index");
        let (rows, instances) = fill(&index, Layout::Blocks);
        std::thread::sleep(Duration::from_secs(10));
        drop(index);
        let begun = Instant::now();
        let Ok(Opened::Ready(index)) = Index::open(folder.path(), options) else { panic!("it opens") };
        println!(
            "sealed {}: {} bytes, made in {:.1} s, opened in {:.0} ms, memory {:?}",
            ring.is_some(),
            bytes(folder.path()),
            (rows + instances).as_secs_f64(),
            begun.elapsed().as_secs_f64() * 1e3,
            memory(),
        );
        for _ in 0..2 {
            searches(&index);
            println!("  memory {:?}", memory());
        }
    }
}
