//! Pages (QRY-27 to 30, IOP-04): total, in one order, nothing lost or twice.

use super::{column, settle, total, warnings};
use crate::{harness::Hilum, library::header, sample::Sample};

/// 60 studies of two series; many tie in every attribute.
fn store() -> Hilum {
    let hilum = Hilum::with(|config| config.limits.results_max = 50);
    let files: Vec<Vec<u8>> = (0..120)
        .map(|number| {
            let study = number / 2;
            Sample::new(
                &format!("1.{study}"),
                &format!("1.{study}.{number}"),
                &format!("1.{study}.{number}.1"),
            )
            .text(
                0x0008_0020,
                "DA",
                if study % 5 == 0 { "" } else { ["20240101", "20240102", "20230101"][study % 3] },
            )
            .text(0x0008_0030, "TM", ["10", "11"][study % 2])
            .text(0x0010_0010, "PN", ["Doe", "doe", "Roe"][study % 3])
            .file()
        })
        .collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    hilum
}

fn pages(hilum: &Hilum, path: &str, tag: &str, limit: usize) -> Vec<String> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut all = Vec::new();
    loop {
        let page = hilum.json(&format!("{path}{separator}limit={limit}&offset={}", all.len()));
        let page = column(&page, tag);
        if page.is_empty() {
            return all;
        }
        all.extend(page.into_iter().map(str::to_owned));
    }
}

#[test]
fn qry_27_28_iop_04_pages_make_up_the_whole() {
    let hilum = store();
    for round in ["overlay", "index"] {
        for (path, tag, count) in [
            ("/studies", "0020000D", 60),
            ("/studies?PatientName=doe", "0020000D", 40),
            ("/studies?orderby=PatientName", "0020000D", 60),
            ("/studies?orderby=-StudyTime,StudyDate", "0020000D", 60),
            ("/series", "0020000E", 120),
            ("/series?PatientName=roe", "0020000E", 40),
            ("/instances", "00080018", 120),
        ] {
            assert_eq!(total(&hilum, path), count, "{round} {path}");
            let by_seven = pages(&hilum, path, tag, 7);
            let by_fifty = pages(&hilum, path, tag, 50);
            assert_eq!(by_seven, by_fifty, "{round} {path}");
            let mut distinct = by_seven.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!((by_seven.len() as u64, distinct.len() as u64), (count, count), "{round} {path}");
        }
        settle(&hilum);
    }
}

#[test]
fn qry_28_the_order_is_the_one_asked_for() {
    let hilum = store();
    for _ in 0..2 {
        // By default the newest first, what has no date last.
        let found = hilum.json("/studies?limit=50");
        let dates = column(&found, "00080020");
        let known: Vec<&str> = dates.iter().copied().take_while(|date| !date.is_empty()).collect();
        assert!(known.windows(2).all(|pair| pair[0] >= pair[1]), "{dates:?}");
        assert!(dates[known.len()..].iter().all(|date| date.is_empty()), "{dates:?}");
        let found = hilum.json("/studies?orderby=StudyDate&limit=50");
        let known: Vec<&str> =
            column(&found, "00080020").into_iter().take_while(|date| !date.is_empty()).collect();
        assert!(known.len() > 40 && known.windows(2).all(|pair| pair[0] <= pair[1]));
        let found = hilum.json("/studies?orderby=-PatientName&limit=20");
        let roe = |set: &serde_json::Value| set["00100010"]["Value"][0]["Alphabetic"] == "Roe";
        assert!(found.as_array().unwrap().iter().all(roe));
        settle(&hilum);
    }
}

#[test]
fn qry_27_29_30_limits_and_what_remains() {
    let hilum = store();
    for (path, count, remaining) in [
        ("/studies", 50, 10),
        ("/studies?limit=1000", 50, 10),
        ("/studies?limit=20&offset=30", 20, 10),
        ("/studies?limit=20&offset=40", 20, 0),
        ("/studies?offset=55", 5, 0),
        ("/studies?limit=10&PatientName=roe", 10, 10),
        ("/series?limit=1", 1, 119),
        ("/instances?limit=2", 2, 118),
    ] {
        assert_eq!(hilum.json(path).as_array().map(Vec::len), Some(count), "{path}");
        let said = warnings(&hilum, path);
        if remaining == 0 {
            assert_eq!(said, "", "{path}");
        } else {
            let expected = format!("There are {remaining} additional results that can be requested");
            assert_eq!(said, format!("299 {} \"{expected}\"", hilum.base), "{path}");
        }
    }
    for path in ["/studies?offset=60", "/studies?offset=99999999999999999999", "/series?offset=120&limit=5"] {
        let response = hilum.get(path).send().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "warning"), "", "{path}");
        assert_eq!(response.text().unwrap(), "[]", "{path}");
    }
    // No results were asked for: still no failure.
    let response = hilum.get("/studies?limit=0").send().unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "x-total-count")), (200, "60".to_owned()));
    assert_eq!(response.text().unwrap(), "[]");
}

/// What changes what stands where: studies, series and instances before and
/// within what is being paged through, and some of it gone.
fn disturb(hilum: &Hilum, round: usize) {
    let newer = |number: usize| {
        let study = format!("9.{round}.{number}");
        Sample::new(&study, &format!("{study}.1"), &format!("{study}.1.1"))
            .text(0x0008_0020, "DA", "20250101")
            .text(0x0010_0010, "PN", "Doe")
            .text(0x0018_0050, "DS", "5")
            .file()
    };
    let within = Sample::new("1.1", "1.1.2", &format!("1.1.2.0.{round}"))
        .text(0x0008_0020, "DA", "20240102")
        .text(0x0010_0010, "PN", "Doe")
        .text(0x0018_0050, "DS", "5")
        .file();
    let files = [newer(0), newer(1), newer(2), within];
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
}

/// 30 studies of two series of two instances, each found by a key that the
/// index knows exactly, and by one that only instances tell.
fn larger() -> Hilum {
    let hilum = Hilum::start();
    let files: Vec<Vec<u8>> = (0..120)
        .map(|number| {
            let (study, series) = (number / 4, number / 2);
            Sample::new(
                &format!("1.{study}"),
                &format!("1.{study}.{series}"),
                &format!("1.{study}.{series}.{number}"),
            )
            .text(0x0008_0020, "DA", ["20240101", "20240102", ""][study % 3])
            .text(0x0010_0010, "PN", "Doe")
            .text(0x0018_0050, "DS", "5")
            .file()
        })
        .collect();
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    assert_eq!(hilum.store(&files).status(), 200);
    hilum
}

const PAGED: [(&str, &str, usize); 9] = [
    ("/studies", "0020000D", 30),
    ("/studies?PatientName=doe", "0020000D", 30),
    ("/studies?orderby=-StudyInstanceUID", "0020000D", 30),
    ("/series", "0020000E", 60),
    ("/series?PatientName=D*", "0020000E", 60),
    ("/instances", "00080018", 120),
    ("/instances?SliceThickness=5", "00080018", 120),
    ("/studies/1.1/series", "0020000E", 2),
    ("/studies/1.1/instances", "00080018", 4),
];

/// A client asked for the second page after others had stored: what had been
/// pushed down by the new came twice, and of what followed a deletion one was
/// never seen.
#[test]
fn qry_27_28_a_page_goes_on_where_the_last_one_ended() {
    for (round, (path, tag, count)) in PAGED.into_iter().enumerate() {
        let hilum = larger();
        if round % 2 == 0 {
            settle(&hilum);
        }
        let separator = if path.contains('?') { '&' } else { '?' };
        let before: Vec<String> = column(&hilum.json(&format!("{path}{separator}limit=1000")), tag)
            .into_iter()
            .map(str::to_owned)
            .collect();
        assert_eq!(before.len(), count, "{path}");
        let limit = count.div_ceil(6).max(1);
        let mut seen: Vec<String> = Vec::new();
        let mut gone: Vec<String> = Vec::new();
        for step in 0.. {
            let response =
                hilum.get(&format!("{path}{separator}limit={limit}&offset={}", seen.len())).send().unwrap();
            let total: usize = header(&response, "x-total-count").parse().unwrap();
            let more = header(&response, "warning").contains("additional results");
            let page = crate::library::json_of(response);
            let page: Vec<String> = column(&page, tag).into_iter().map(str::to_owned).collect();
            assert_eq!(total, before.len(), "{path}: the total is that of the search that began");
            seen.extend(page);
            assert!(seen.len() <= count, "{path}: {seen:?}");
            if !more {
                break;
            }
            disturb(&hilum, step);
            // The last one seen goes, and one that is still to come.
            if step < 2 && count > 10 {
                for at in [seen.len() - 1, seen.len() + 2 * step] {
                    let Some(uid) = before.get(at + gone.iter().filter(|uid| !seen.contains(uid)).count())
                    else {
                        continue;
                    };
                    let uids: Vec<&str> = uid.split('.').collect();
                    let target = match tag {
                        "0020000D" => format!("/studies/{uid}"),
                        "0020000E" => format!("/studies/{}/series/{uid}", uids[..2].join(".")),
                        _ => format!(
                            "/studies/{}/series/{}/instances/{uid}",
                            uids[..2].join("."),
                            uids[..3].join(".")
                        ),
                    };
                    assert_eq!(hilum.delete(&target).status(), 204, "{target}");
                    gone.push(uid.clone());
                }
            }
        }
        let expected: Vec<String> =
            before.iter().filter(|uid| seen.contains(uid) || !gone.contains(uid)).cloned().collect();
        assert_eq!(seen, expected, "{path}");
        let missed = gone.iter().filter(|uid| !seen.contains(uid)).count();
        assert_eq!(missed, if count > 10 { 2 } else { 0 }, "{path}: {gone:?}");
        // Who begins anew sees what is there now, and so does who says so.
        let now = total(&hilum, path);
        assert_ne!((now, path.contains("1.1/series")), (count as u64, false), "{path}");
        let anew = hilum.get(&format!("{path}{separator}limit={limit}&offset={limit}"));
        let response = anew.header("Cache-Control", "no-cache").send().unwrap();
        assert_eq!(header(&response, "x-total-count"), now.to_string(), "{path}");
    }
}

/// A page that is asked for again is the same again; one that skips some, too.
#[test]
fn qry_28_a_repeated_page_is_the_same() {
    let hilum = larger();
    for (round, (path, tag, _)) in PAGED.into_iter().take(7).enumerate() {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = |offset: usize| {
            let found = hilum.json(&format!("{path}{separator}limit=5&offset={offset}"));
            column(&found, tag).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let whole: Vec<String> = (0..6).flat_map(|number| page(number * 5)).collect();
        disturb(&hilum, round);
        for offset in [25, 5, 15, 10, 5, 20] {
            assert_eq!(page(offset), whole[offset..offset + 5], "{path} {offset}");
        }
        assert_eq!(total(&hilum, path), total(&hilum, &format!("{path}{separator}limit=5")), "{path}");
    }
    let hilum = hilum.restart();
    assert_eq!(
        column(&hilum.json("/studies?limit=5&offset=10"), "0020000D").len(),
        5,
        "what is forgotten is found anew"
    );
}

/// Whatever is stored and deleted while clients page: what was there before is
/// neither lost nor twice, on any level, for any of them.
#[test]
fn qry_28_paging_while_others_store_and_delete() {
    let hilum = larger();
    let before = |path: &str, tag: &str| -> Vec<String> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let found = hilum.json(&format!("{path}{separator}limit=1000"));
        column(&found, tag).into_iter().map(str::to_owned).collect()
    };
    let kept: Vec<Vec<String>> = PAGED.iter().map(|(path, tag, _)| before(path, tag)).collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..25 {
                disturb(&hilum, round);
                if round > 2 {
                    assert_eq!(hilum.delete(&format!("/studies/9.{}.1", round - 2)).status(), 204);
                }
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        for (kept, (path, tag, _)) in kept.iter().zip(PAGED) {
            let (hilum, done) = (&hilum, &done);
            scope.spawn(move || {
                let client = reqwest::blocking::Client::new();
                let separator = if path.contains('?') { '&' } else { '?' };
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut all: Vec<String> = Vec::new();
                    loop {
                        let url = format!("{}{path}{separator}limit=11&offset={}", hilum.base, all.len());
                        let page = crate::library::json_of(client.get(url).send().unwrap());
                        let page = column(&page, tag);
                        if page.is_empty() {
                            break;
                        }
                        all.extend(page.into_iter().map(str::to_owned));
                    }
                    let mut distinct = all.clone();
                    distinct.sort();
                    distinct.dedup();
                    assert_eq!(distinct.len(), all.len(), "{path}: twice in {all:?}");
                    let mut found: Vec<&String> = all.iter().filter(|uid| kept.contains(uid)).collect();
                    let mut expected: Vec<&String> = kept.iter().collect();
                    // Of what has changed meanwhile the order may be another.
                    found.sort();
                    expected.sort();
                    assert_eq!(found, expected, "{path}");
                }
            });
        }
    });
    assert_eq!(total(&hilum, "/studies"), 30 + 25 * 3 - 22);
}
