//! Delete (DEL-1) and what is left of it: 410 (GEN-05).

use serde_json::json;

use crate::{
    harness::{Hilum, Stored, fixture},
    library::{header, outcome, problem},
    sample::Sample,
};

fn resources(stored: &Stored) -> Vec<String> {
    let Stored { path, .. } = stored;
    vec![
        path.clone(),
        format!("{path}/metadata"),
        format!("{path}/frames/1"),
        format!("{path}/bulkdata"),
        format!("{path}/bulkdata/7FE00010"),
    ]
}

#[test]
fn del_1_gen_05_each_level_is_gone_afterwards() {
    for level in ["instance", "series", "study"] {
        let hilum = Hilum::start();
        let stored = hilum.store_fixture("CT_small.dcm");
        let study = format!("/studies/{}", stored.study);
        let series = format!("{study}/series/{}", stored.series);
        let target = match level {
            "instance" => stored.path.clone(),
            "series" => series.clone(),
            _ => study.clone(),
        };
        let response = hilum.delete(&target);
        assert_eq!(response.status(), 204, "{level}");
        assert!(response.bytes().unwrap().is_empty());
        for round in ["at once", "after a restart"] {
            for path in resources(&stored) {
                problem(hilum.get(&path).send().unwrap(), 410, "gone");
                problem(hilum.get_as(&path, "*/*"), 410, "gone");
            }
            // With its last instance the series and the study are gone too.
            for path in [&study, &series] {
                for resource in ["", "/metadata", "/bulkdata"] {
                    problem(hilum.get(&format!("{path}{resource}")).send().unwrap(), 410, "gone");
                }
            }
            problem(hilum.delete(&target), 410, "gone");
            for path in ["/studies", "/series", "/instances"] {
                assert_eq!(hilum.json(path), json!([]), "{level} {round}");
            }
            assert_eq!(hilum.json(&format!("{study}/series")), json!([]));
        }
        let hilum = hilum.restart();
        problem(hilum.get(&stored.path).send().unwrap(), 410, "gone");
        // Never seen is 404.
        problem(hilum.get("/studies/1.2.3").send().unwrap(), 404, "not-found");
    }
}

#[test]
fn del_1_only_the_target_is_deleted() {
    let hilum = Hilum::start();
    let sample = |series: u8, instance: u8| {
        Sample::new("1.2", &format!("1.2.{series}"), &format!("1.2.{series}.{instance}")).file()
    };
    let files = [sample(1, 1), sample(1, 2), sample(2, 1), Sample::new("1.3", "1.3.1", "1.3.1.1").file()];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    let status = |path: &str| hilum.get(path).send().unwrap().status().as_u16();

    assert_eq!(hilum.delete("/studies/1.2/series/1.2.1/instances/1.2.1.1").status(), 204);
    assert_eq!(status("/studies/1.2/series/1.2.1/instances/1.2.1.1"), 410);
    assert_eq!(status("/studies/1.2/series/1.2.1/instances/1.2.1.2"), 200);
    assert_eq!(status("/studies/1.2/series/1.2.1"), 200);
    assert_eq!(hilum.json("/studies/1.2/metadata").as_array().map(Vec::len), Some(2));

    assert_eq!(hilum.delete("/studies/1.2/series/1.2.1").status(), 204);
    assert_eq!(status("/studies/1.2/series/1.2.1/instances/1.2.1.2"), 410);
    assert_eq!(status("/studies/1.2/series/1.2.2"), 200);
    assert_eq!(hilum.json("/studies/1.2/series").as_array().map(Vec::len), Some(1));

    assert_eq!(hilum.delete("/studies/1.2").status(), 204);
    assert_eq!(status("/studies/1.2/series/1.2.2/instances/1.2.2.1"), 410);
    assert_eq!(status("/studies/1.3"), 200);
    assert_eq!(hilum.json("/instances").as_array().map(Vec::len), Some(1));

    for path in [
        "/studies/9",
        "/studies/1.3/series/9",
        "/studies/1.3/series/1.3.1/instances/9",
        "/studies/1.3/series/1.3.1/instances/1.2.1.1",
    ] {
        let code = hilum.delete(path).status().as_u16();
        assert!(matches!(code, 404 | 410), "{path}: {code}");
    }
    problem(hilum.delete("/studies/9"), 404, "not-found");
    problem(hilum.delete("/studies/abc"), 400, "invalid-uid");
    assert_eq!(status("/studies/1.3"), 200);
}

#[test]
fn what_was_deleted_can_be_stored_again() {
    let hilum = Hilum::start();
    for round in 0..3 {
        let stored = hilum.store_fixture("CT_small.dcm");
        let back = hilum.get_as(&stored.path, "application/dicom; transfer-syntax=*");
        assert_eq!(back.bytes().unwrap(), fixture("CT_small.dcm"), "{round}");
        assert_eq!(hilum.json("/studies").as_array().map(Vec::len), Some(1));
        let etag = header(&hilum.get(&stored.path).send().unwrap(), "etag");
        assert_eq!(hilum.delete(&format!("/studies/{}", stored.study)).status(), 204);
        // What a client has cached is gone as well.
        let cached = hilum.get(&stored.path).header("If-None-Match", etag).send().unwrap();
        assert_eq!(cached.status(), 410);
    }
    // Other bytes under the UID that is free again.
    let stored = hilum.store_fixture("CT_small.dcm");
    assert_eq!(hilum.delete(&stored.path).status(), 204);
    let other = Sample::new(&stored.study, &stored.series, &stored.instance).file();
    assert_eq!(outcome(hilum.store(&[&other])).0, 200);
    let hilum = hilum.restart();
    let back = hilum.get_as(&stored.path, "application/dicom; transfer-syntax=*");
    assert_eq!(back.bytes().unwrap(), other);
}

/// The index takes away nothing of a study that it cannot know yet. One that was
/// deleted and stored again has a new number, as such a study has, and is known.
#[test]
fn the_index_forgets_a_study_that_was_stored_again() {
    const ROUNDS: u64 = 40;
    let hilum = Hilum::start();
    let name = |round: u64| format!("ROUND{round:03}");
    for round in 0..ROUNDS {
        // The indexer's turns begin anywhere between these.
        let pause = || std::thread::sleep(std::time::Duration::from_millis(round * 7 % 23));
        let file = Sample::new("1.2", "1.2.1", &format!("1.2.1.{}", round % 3))
            .text(0x0010_0010, "PN", &name(round))
            .text(0x0008_103E, "LO", &name(round))
            .text(0x0020_4000, "LT", &name(round))
            .file();
        assert_eq!(outcome(hilum.store(&[&file])).0, 200);
        pause();
        if round + 1 < ROUNDS {
            assert_eq!(hilum.delete("/studies/1.2").status(), 204);
            if round % 2 == 0 {
                pause();
            }
        }
    }
    // All is indexed before a server ends.
    let hilum = hilum.restart();
    let found = |path: &str, key: &str, round: u64| {
        let name = name(round);
        hilum.json(&format!("{path}?{key}={name}")).as_array().map_or(0, Vec::len)
    };
    for round in 0..ROUNDS {
        let expected = usize::from(round + 1 == ROUNDS);
        assert_eq!(found("/studies", "PatientName", round), expected, "study of round {round}");
        assert_eq!(found("/series", "SeriesDescription", round), expected, "series of round {round}");
        assert_eq!(found("/instances", "ImageComments", round), expected, "instance of round {round}");
    }
    assert_eq!(hilum.json("/studies").as_array().map(Vec::len), Some(1));
    assert_eq!(hilum.json("/series").as_array().map(Vec::len), Some(1));
}

#[test]
fn del_1_deleting_can_be_switched_off() {
    let hilum = Hilum::with(|config| config.delete_enabled = false);
    let stored = hilum.store_fixture("CT_small.dcm");
    for path in [stored.path.clone(), format!("/studies/{}", stored.study), "/studies/9".to_owned()] {
        let response = hilum.delete(&path);
        assert!(!header(&response, "allow").contains("DELETE"));
        problem(response, 405, "delete-disabled");
    }
    assert_eq!(hilum.get(&stored.path).send().unwrap().status(), 200);
}

#[test]
fn deleting_while_others_read_and_store() {
    let hilum = Hilum::start();
    let file = |number: u32| Sample::new("1.2", "1.2.1", &format!("1.2.1.{number}")).pixels(64, 64, 4).file();
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let (hilum, file) = (&hilum, &file);
            scope.spawn(move || {
                for round in 0..10 {
                    let number = worker * 100 + round;
                    let bytes = file(number);
                    assert_eq!(outcome(hilum.store(&[&bytes])).0, 200);
                    let path = format!("/studies/1.2/series/1.2.1/instances/1.2.1.{number}");
                    let back = hilum.get_as(&path, "application/dicom; transfer-syntax=*");
                    assert!(back.bytes().unwrap() == bytes);
                    assert_eq!(hilum.delete(&path).status(), 204);
                    assert_eq!(hilum.get(&path).send().unwrap().status(), 410);
                    let all = hilum.get("/studies/1.2/metadata").send().unwrap().status().as_u16();
                    assert!(matches!(all, 200 | 410), "{all}");
                }
            });
        }
    });
    assert_eq!(hilum.json("/studies"), json!([]));
}
