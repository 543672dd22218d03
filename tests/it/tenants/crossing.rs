//! A table over the route table: of each route, that it shows nothing of another
//! tenant. A new route without an entry fails.

use std::collections::BTreeSet;

use hilum::http::{OF_AN_ARCHIVE, access};
use serde_json::{Value, json};

use super::{BOTH, ONLY, add_tenants, file, get, home, json, store, stored};
use crate::{
    harness::{Hilum, json_of},
    library::{header, path_of},
    sample::{CT_CLASS, Sample},
};

/// What a route could show of another tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// A list of what fits.
    List,
    Count,
    /// What its path names.
    Object,
    /// It has a test of its own, named here.
    Own(&'static str),
    /// It is no archive's, and is not there below a tenant's name.
    Server,
}

use Shows::{Count, List, Object, Own, Server};

#[rustfmt::skip]
const TABLE: &[(&str, Shows)] = &[
    ("/dicomweb", Own("answers_name_the_tenant")),
    ("/dicomweb/studies", List),
    ("/dicomweb/patients", List),
    ("/dicomweb/patients/count", Count),
    ("/dicomweb/studies/count", Count),
    ("/dicomweb/series", List),
    ("/dicomweb/series/count", Count),
    ("/dicomweb/instances", List),
    ("/dicomweb/instances/count", Count),
    ("/dicomweb/studies/{study}", Object),
    ("/dicomweb/studies/{study}/metadata", Object),
    ("/dicomweb/studies/{study}/bulkdata", Object),
    ("/dicomweb/studies/{study}/pixeldata", Object),
    ("/dicomweb/studies/{study}/series", List),
    ("/dicomweb/studies/{study}/series/count", Count),
    ("/dicomweb/studies/{study}/instances", List),
    ("/dicomweb/studies/{study}/instances/count", Count),
    ("/dicomweb/studies/{study}/series/{series}", Object),
    ("/dicomweb/studies/{study}/series/{series}/metadata", Object),
    ("/dicomweb/studies/{study}/series/{series}/bulkdata", Object),
    ("/dicomweb/studies/{study}/series/{series}/pixeldata", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances", List),
    ("/dicomweb/studies/{study}/series/{series}/instances/count", Count),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/metadata", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/bulkdata", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/pixeldata", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/bulkdata/{bulkdata}", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", Object),
    ("/dicomweb/studies/{study}/rendered", Object),
    ("/dicomweb/studies/{study}/thumbnail", Object),
    ("/dicomweb/studies/{study}/series/{series}/rendered", Object),
    ("/dicomweb/studies/{study}/series/{series}/thumbnail", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/rendered", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/thumbnail", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/rendered/{frames}", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/thumbnail/{frames}", Object),
    ("/dicomweb/commitment-requests/{transaction}", Own("no_commitment_crosses")),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/versions", Object),
    ("/dicomweb/studies/{study}/series/{series}/instances/{instance}/versions/{version}", Own("no_version_crosses")),
    ("/dicomweb/studies/{study}/deidentified", Own("no_copy_crosses")),
    ("/dicomweb/wado", Object),
    ("/wado", Object),
    ("/dicomweb/zip", Object),
    ("/uploads", Own("no_upload_crosses")),
    ("/uploads/{upload}", Own("no_upload_crosses")),
    ("/audit", Own("entering::an_auditor_sees_the_records_of_their_tenant")),
    ("/shares", Own("entering::no_link_crosses")),
    ("/shares/{share}", Own("entering::no_link_crosses")),
    ("/shared/{link}", Own("entering::no_link_crosses")),
    ("/shared/{link}/viewer.json", Own("entering::no_link_crosses")),
    ("/.well-known/smart-configuration", Server),
    ("/auth/login", Server),
    ("/auth/callback", Server),
    ("/auth/logout", Server),
    ("/auth/password", Server),
    ("/auth/session", Server),
    ("/auth/tokens", Server),
    ("/auth/tokens/{token}", Server),
    ("/healthz", Server),
    ("/readyz", Server),
    ("/metrics", Server),
    ("/conformance", Server),
    ("/openapi.json", Server),
    ("/", Server),
    ("/docs", Server),
    ("/docs/{_:.*}", Server),
];

fn server() -> Hilum {
    let hilum = Hilum::with(|config| {
        add_tenants(config);
        config.store.duplicates = hilum::config::Duplicates::Replace;
    });
    stored(&hilum, "north", &[&file(BOTH, "NORTHERN"), &file(ONLY, "NORTHONLY")]);
    stored(&hilum, "south", &[&file(BOTH, "MERIDIAN")]);
    hilum
}

/// Whether bytes have the word of a file, in whatever case.
fn has(bytes: &[u8], word: &str) -> bool {
    memchr::memmem::find(&bytes.to_ascii_uppercase(), word.as_bytes()).is_some()
}

#[test]
fn every_route_has_an_entry() {
    let routes: BTreeSet<&str> = access::TABLE.iter().map(|(pattern, _)| *pattern).collect();
    let here: BTreeSet<&str> = TABLE.iter().map(|(pattern, _)| *pattern).collect();
    assert_eq!(here, routes, "a route lacks its entry in this table, or an entry its route");
    for (pattern, shows) in TABLE {
        let first = pattern.split('/').nth(1).expect("a path");
        assert_eq!(OF_AN_ARCHIVE.contains(&first), *shows != Server, "{pattern}");
        // Else a tenant of that name would hide it.
        assert!(first.is_empty() || !hilum::config::is_name(first), "{first} is to be reserved");
    }
}

#[test]
fn nothing_crosses() {
    let hilum = server();
    for (pattern, shows) in TABLE {
        let (both, only) = (path_of(pattern, BOTH), path_of(pattern, ONLY));
        match shows {
            List => {
                for (tenant, holds, others) in [
                    ("north", true, &["MERIDIAN"][..]),
                    ("south", true, &["NORTHERN", "NORTHONLY", ONLY]),
                    ("", false, &["NORTHERN", "NORTHONLY", "MERIDIAN", BOTH]),
                ] {
                    for path in [&both, &only] {
                        let joint = if path.contains('?') { '&' } else { '?' };
                        let path = format!("{path}{joint}includefield=all");
                        let body = get(&hilum, tenant, &path).bytes().expect("a body");
                        let crossed = others.iter().find(|word| has(&body, word));
                        assert_eq!(crossed, None, "{tenant}{path}: {}", String::from_utf8_lossy(&body));
                        if path.starts_with(&both) && holds {
                            assert!(body.len() > 2, "{tenant}{path} finds its own");
                        }
                    }
                }
            }
            Count => {
                let of_all = !pattern.contains("{study}");
                for (tenant, in_both, in_only) in
                    [("north", 1 + u64::from(of_all), 1), ("south", 1, 0), ("", 0, 0)]
                {
                    for (path, expected) in
                        [(&both, in_both), (&only, if of_all { in_both } else { in_only })]
                    {
                        let answer = get(&hilum, tenant, path);
                        let found =
                            if answer.status() == 404 { json!(0) } else { json_of(answer)["count"].clone() };
                        assert_eq!(found, expected, "{tenant}{path}");
                    }
                }
            }
            Object => {
                for tenant in ["south", ""] {
                    let answer = get(&hilum, tenant, &only);
                    assert_eq!(answer.status(), 404, "{tenant}{only}");
                    assert!(!has(&answer.bytes().expect("a body"), "NORTH"), "{tenant}{only}");
                }
                assert_eq!(get(&hilum, "", &both).status(), 404, "{both}");
                assert_eq!(get(&hilum, "north", &only).status(), 200, "{only}");
                let of = |tenant| {
                    let answer = get(&hilum, tenant, &both);
                    assert_eq!(answer.status(), 200, "{tenant}{both}");
                    let tag = answer.headers().get("etag").cloned();
                    (tag, answer.bytes().expect("a body"))
                };
                let ((north_tag, north), (south_tag, south)) = (of("north"), of("south"));
                assert_ne!(north, south, "{both}");
                assert!(!has(&north, "MERIDIAN") && !has(&south, "NORTHERN"), "{both}");
                assert!(north_tag.is_none() || north_tag != south_tag, "{both}");
                if let Some(tag) = north_tag {
                    let url = format!("{}{both}", home(&hilum, "south"));
                    let answer =
                        hilum.client.get(url).header("If-None-Match", tag).send().expect("an answer");
                    assert_eq!(answer.status(), 200, "{both}");
                    assert_eq!(answer.bytes().expect("a body"), south, "{both}");
                }
            }
            Server => {
                let answer = get(&hilum, "north", &both);
                assert_eq!(answer.status(), 404, "{both}");
                assert_eq!(json_of(answer)["code"], "no-such-resource", "{both}");
            }
            Own(_) => {}
        }
    }
    // What is deleted is deleted here.
    let delete = |tenant: &str, study: &str| {
        let url = format!("{}/dicomweb/studies/{study}", home(&hilum, tenant));
        hilum.client.delete(url).send().expect("an answer").status()
    };
    assert_eq!((delete("south", ONLY).as_u16(), delete("", ONLY).as_u16()), (404, 404));
    assert_eq!(delete("south", BOTH), 204);
    assert_eq!(get(&hilum, "south", &format!("/dicomweb/studies/{BOTH}")).status(), 410);
    assert_eq!(json(&hilum, "north", "/dicomweb/studies/count")["count"], 2);
    // One name, and no more of the path.
    for path in ["/north/north/dicomweb/studies", "/NORTH/dicomweb/studies", "/n%6Frth/dicomweb/studies"] {
        assert_eq!(get(&hilum, "", path).status(), 404, "{path}");
    }
    assert_eq!(get(&hilum, "nowhere", "/dicomweb/studies").status(), 404);
}

/// Requests are kept for use again by the workers: what one was about must not
/// be what the next is about.
#[test]
fn nothing_crosses_where_all_ask_at_once() {
    let hilum = Hilum::with(|config| {
        add_tenants(config);
        config.workers = 1;
    });
    for (tenant, word) in [("north", "NORTHERN"), ("south", "MERIDIAN"), ("", "ROOTED")] {
        stored(&hilum, tenant, &[&file(BOTH, word)]);
    }
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let hilum = &hilum;
            scope.spawn(move || {
                for turn in 0..60 {
                    let (tenant, word) =
                        [("north", "NORTHERN"), ("south", "MERIDIAN"), ("", "ROOTED"), ("nowhere", "")]
                            [(thread + turn * turn) % 4];
                    let answer = get(hilum, tenant, "/dicomweb/studies?includefield=PatientID");
                    if word.is_empty() {
                        assert_eq!(answer.status(), 404);
                        continue;
                    }
                    let found = json_of(answer);
                    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
                    assert_eq!(found[0]["00100020"]["Value"][0], word, "{tenant}");
                    let url = format!("{}/dicomweb/studies/{BOTH}", home(hilum, tenant));
                    assert_eq!(found[0]["00081190"]["Value"][0], json!(url));
                }
            });
        }
    });
}

#[test]
fn no_page_and_no_word_crosses() {
    let hilum = server();
    for at in 0..3 {
        let study = format!("1.2.4.{at}");
        stored(&hilum, "north", &[&file(&study, "PAGED")]);
        stored(&hilum, "south", &[&file(&format!("1.2.5.{at}"), "PAGED")]);
    }
    let page = |tenant: &str, offset: usize| {
        let path = format!("/dicomweb/studies?PatientID=PAGED&limit=1&offset={offset}");
        let found = json(&hilum, tenant, &path);
        found[0]["0020000D"]["Value"][0].as_str().expect("a UID").to_owned()
    };
    // Turn by turn: what is remembered of a search is remembered for one archive.
    let (mut north, mut south) = (BTreeSet::new(), BTreeSet::new());
    for offset in 0..3 {
        north.insert(page("north", offset));
        south.insert(page("south", offset));
    }
    assert!(north.len() == 3 && north.iter().all(|uid| uid.starts_with("1.2.4.")), "{north:?}");
    assert!(south.len() == 3 && south.iter().all(|uid| uid.starts_with("1.2.5.")), "{south:?}");
    for (tenant, word, count) in [
        ("north", "northern", 1),
        ("north", "meridian", 0),
        ("south", "meridian", 1),
        ("south", "northern", 0),
        ("", "northern", 0),
        ("south", "paged", 3),
    ] {
        let found = json(&hilum, tenant, &format!("/dicomweb/studies/count?q={word}"));
        assert_eq!(found["count"], count, "{tenant} {word}");
    }
}

#[test]
fn answers_name_the_tenant() {
    let hilum = Hilum::with(|config| {
        add_tenants(config);
        config.trusted_proxies =
            vec![hilum::config::Network::try_from("127.0.0.0/8".to_owned()).expect("a network")];
    });
    let response = store(&hilum, "north", &[&file(BOTH, "NORTHERN")]);
    let base = format!("{}/north/dicomweb", hilum.root);
    let location = header(&response, "location");
    assert_eq!(location, format!("{base}/studies/{BOTH}"));
    let module = json_of(response);
    let instance = format!("{base}/studies/{BOTH}/series/{BOTH}.1/instances/{BOTH}.1.1");
    assert_eq!(module["00081199"]["Value"][0]["00081190"]["Value"][0], json!(instance));
    let no_other = |what: &str, text: &str| {
        let all = memchr::memmem::find_iter(text.as_bytes(), b"/dicomweb").count();
        let own = memchr::memmem::find_iter(text.as_bytes(), b"/north/dicomweb").count();
        assert_eq!(all, own, "{what}: {text}");
    };
    for path in [
        "/dicomweb/studies".to_owned(),
        "/dicomweb/instances?includefield=all".to_owned(),
        format!("/dicomweb/studies/{BOTH}/metadata"),
        format!("/dicomweb/studies/{BOTH}/series/{BOTH}.1/instances/{BOTH}.1.1/versions"),
    ] {
        let answer = get(&hilum, "north", &path);
        let head = format!("{:?}", answer.headers());
        let text = answer.text().expect("a body");
        assert!(text.contains(&base), "{path}: {text}");
        no_other(&path, &text);
        no_other(&path, &head);
    }
    let capabilities = get(&hilum, "north", "/dicomweb").text().expect("a body");
    assert!(capabilities.contains("/north/dicomweb"), "{capabilities}");
    // A bulk value is where its URL says.
    let metadata = json(&hilum, "north", &format!("/dicomweb/studies/{BOTH}/metadata"));
    let url = metadata[0]["7FE00010"]["BulkDataURI"].as_str().expect("a URL");
    assert_eq!(hilum.client.get(url).send().expect("an answer").status(), 200, "{url}");
    // Behind a proxy with a path of its own.
    let answer = hilum
        .client
        .get(format!("{base}/studies"))
        .header("X-Forwarded-Host", "pacs.example")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Prefix", "/imaging")
        .send()
        .expect("an answer");
    let url = format!("https://pacs.example/imaging/north/dicomweb/studies/{BOTH}");
    assert_eq!(json_of(answer)[0]["00081190"]["Value"][0], json!(url));
    let text = get(&hilum, "", "/openapi.json").text().expect("a body");
    assert!(text.contains("{tenant}"), "the document says how tenants are reached");
}

#[test]
fn a_public_url_goes_before_the_tenant() {
    let hilum = Hilum::with(|config| {
        add_tenants(config);
        config.public_url = Some("https://pacs.example.org/x/dicomweb".to_owned());
    });
    stored(&hilum, "south", &[&file(BOTH, "MERIDIAN")]);
    let found = json(&hilum, "south", "/dicomweb/studies");
    let url = format!("https://pacs.example.org/x/south/dicomweb/studies/{BOTH}");
    assert_eq!(found[0]["00081190"]["Value"][0], json!(url));
}

#[test]
fn no_commitment_crosses() {
    let hilum = server();
    let item = |instance: &str| {
        json!({
            "00081150": { "vr": "UI", "Value": [CT_CLASS] },
            "00081155": { "vr": "UI", "Value": [instance] },
        })
    };
    let body = json!({ "00081199": { "vr": "SQ", "Value": [item(&format!("{ONLY}.1.1"))] } }).to_string();
    let ask = |tenant: &str| {
        let url = format!("{}/dicomweb/commitment-requests/2.25.7", home(&hilum, tenant));
        let request = hilum.client.post(url).header("Content-Type", "application/dicom+json");
        let answer = request.body(body.clone()).send().expect("an answer");
        assert_eq!(answer.status(), 200, "{tenant}");
        json_of(answer)
    };
    let result = |tenant: &str| get(&hilum, tenant, "/dicomweb/commitment-requests/2.25.7");
    assert!(ask("north")["00081199"].is_object());
    assert_eq!(result("south").status(), 404);
    // The same transaction is another one there, and the instance is not there.
    let south = ask("south");
    assert!(south["00081199"].is_null() && south["00081198"].is_object(), "{south}");
    assert!(json_of(result("north"))["00081198"].is_null());
}

#[test]
fn no_version_crosses() {
    let hilum = server();
    let newer = Sample::new(ONLY, &format!("{ONLY}.1"), &format!("{ONLY}.1.1"))
        .text(0x0010_0020, "LO", "NEWER")
        .file();
    stored(&hilum, "north", &[&newer]);
    let path = format!("/dicomweb/studies/{ONLY}/series/{ONLY}.1/instances/{ONLY}.1.1/versions");
    let versions = json(&hilum, "north", &path);
    let versions = versions.as_array().expect("a list");
    assert_eq!(versions.len(), 2);
    for version in versions {
        let url = version["url"].as_str().expect("a URL");
        let status = |url: &str| hilum.client.get(url).send().expect("an answer").status().as_u16();
        assert_eq!(status(url), 200, "{url}");
        for other in ["/south/", "/"] {
            assert_eq!(status(&url.replace("/north/", other)), 404, "{url} {other}");
        }
    }
}

#[test]
fn no_upload_crosses() {
    let hilum = server();
    let file = file("1.2.6", "UPLOADED");
    let tus = |method: &str, url: &str| {
        let method = method.parse().expect("a method");
        hilum.client.request(method, url).header("Tus-Resumable", "1.0.0")
    };
    let begun =
        tus("POST", &format!("{}/uploads", home(&hilum, "north"))).header("Upload-Length", file.len());
    let begun = begun.send().expect("an answer");
    assert_eq!(begun.status(), 201);
    let url = header(&begun, "location");
    assert!(url.starts_with(&format!("{}/north/uploads/", hilum.root)), "{url}");
    let patch = |url: &str| {
        let request = tus("PATCH", url).header("Upload-Offset", 0);
        let request = request.header("Content-Type", "application/offset+octet-stream").body(file.clone());
        request.send().expect("an answer").status().as_u16()
    };
    for other in ["/south/", "/", "/nowhere/"] {
        let other = url.replace("/north/", other);
        assert_eq!(tus("HEAD", &other).send().expect("an answer").status(), 404, "{other}");
        assert_eq!(patch(&other), 404, "{other}");
        assert_eq!(tus("DELETE", &other).send().expect("an answer").status(), 404, "{other}");
    }
    assert_eq!(patch(&url), 204);
    let report = json_of(hilum.client.get(&url).send().expect("an answer"));
    let stored: &Value = &report["00081199"]["Value"][0]["00081190"]["Value"][0];
    assert!(stored.as_str().expect("a URL").contains("/north/dicomweb/"), "{report}");
    let count = |tenant: &str| json(&hilum, tenant, "/dicomweb/studies/count?q=uploaded")["count"].clone();
    assert_eq!((count("north"), count("south"), count("")), (json!(1), json!(0), json!(0)));
}

#[test]
fn no_copy_crosses() {
    let hilum = server();
    let copy = |tenant: &str, study: &str| {
        let url = format!("{}/dicomweb/studies/{study}/deidentified", home(&hilum, tenant));
        hilum.client.post(url).send().expect("an answer")
    };
    assert_eq!(copy("south", ONLY).status(), 404);
    let of = |tenant: &str| json_of(copy(tenant, BOTH));
    let (north, south) = (of("north"), of("south"));
    let uid = |copy: &Value| copy["deidentified"].as_str().expect("a UID").to_owned();
    assert_ne!(uid(&north), uid(&south), "each hospital has a secret of its own");
    assert_eq!(north["url"], format!("{}/dicomweb/studies/{}", home(&hilum, "north"), uid(&north)));
    assert_eq!(get(&hilum, "north", &format!("/dicomweb/studies/{}", uid(&south))).status(), 404);
    let count = |tenant: &str| json(&hilum, tenant, "/dicomweb/studies/count")["count"].clone();
    assert_eq!([count("north"), count("south"), count("")], [Value::from(3), Value::from(2), Value::from(0)]);
}
