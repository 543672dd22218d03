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

/// Whatever is stored while a client pages: what was there before is neither
/// lost nor twice. New studies are older than all others, so they come last.
#[test]
fn qry_28_paging_while_others_store() {
    let hilum = store();
    let before = pages(&hilum, "/studies", "0020000D", 50);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..40 {
                let uid = format!("2.{number}");
                let file = Sample::new(&uid, &format!("{uid}.1"), &format!("{uid}.1.1")).file();
                assert_eq!(hilum.store(&[&file]).status(), 200);
            }
        });
        while !writer.is_finished() {
            let mut found = pages(&hilum, "/studies", "0020000D", 11);
            found.retain(|uid| uid.starts_with("1."));
            assert_eq!(found, before);
        }
    });
    assert_eq!(total(&hilum, "/studies"), 100);
}
