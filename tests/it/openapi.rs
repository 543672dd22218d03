//! The OpenAPI document: what is served, what is committed and what the routes
//! do are one and the same.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::harness::Hilum;

/// Routes that are no part of the API: the document itself and its pages.
const PAGES: [&str; 4] = ["/openapi.json", "/", "/docs", "/docs/{_:.*}"];

fn committed() -> Value {
    serde_json::from_str(include_str!("../../openapi/openapi.json")).expect("JSON")
}

fn object<'v>(value: &'v Value, what: &str) -> &'v Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{what} is missing"))
}

/// Every operation with its name for messages.
fn operations(document: &Value) -> Vec<(String, String, String, &Value)> {
    let paths = object(&document["paths"], "paths");
    paths
        .iter()
        .flat_map(|(path, methods)| {
            object(methods, path).iter().map(move |(method, operation)| {
                (format!("{method} {path}"), method.clone(), path.clone(), operation)
            })
        })
        .collect()
}

#[test]
fn the_committed_document_is_the_served_one() {
    let hilum = Hilum::start();
    let served = hilum.client.get(format!("{}/openapi.json", hilum.root)).send().expect("an answer");
    assert_eq!(served.headers()["content-type"], "application/json");
    let served = served.text().expect("a body");
    assert_eq!(served, hilum::http::openapi::text());
    assert!(
        served == include_str!("../../openapi/openapi.json"),
        "openapi/openapi.json is not what the routes say: cargo run -- openapi > openapi/openapi.json"
    );
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let source = include_str!("../../src/http/routes.rs");
    // The table has one line a resource, and each method is a call in it.
    let mut routes = BTreeSet::new();
    for line in source.lines().filter(|line| line.trim_start().starts_with(".service(resource(\"")) {
        let path = line.split('"').nth(1).expect("a path");
        if PAGES.contains(&path) {
            continue;
        }
        for (call, method) in [
            ("read()", "get"),
            ("web::post()", "post"),
            ("web::put()", "put"),
            ("web::delete()", "delete"),
            ("web::head()", "head"),
            ("web::get()", "get"),
            ("web::patch()", "patch"),
            ("web::method(actix_web::http::Method::OPTIONS)", "options"),
        ] {
            if line.contains(call) {
                routes.insert((path.to_owned(), method.to_owned()));
            }
        }
    }
    assert!(routes.len() > 25, "the routes were not found in the source");
    let document = committed();
    let described: BTreeSet<_> =
        operations(&document).into_iter().map(|(_, method, path, _)| (path, method)).collect();
    assert_eq!(described, routes);
}

#[test]
fn every_operation_says_what_it_takes_and_gives() {
    let document = committed();
    let mut ids = BTreeSet::new();
    for (name, method, path, operation) in operations(&document) {
        let text = |key: &str| operation[key].as_str().unwrap_or_default().to_owned();
        assert!(text("summary").len() > 10, "{name} has no summary");
        assert!(ids.insert(text("operationId")), "{name} has no operation id of its own");
        assert!(operation["tags"][0].is_string(), "{name} has no tag");

        let of_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let named: BTreeSet<&str> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(named, of_path, "{name}: the parameters of the path");
        for parameter in &parameters {
            let described = parameter["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described && parameter["schema"].is_object(), "{name}: {parameter}");
        }
        let is_search = operation["tags"][0] == "Search" || operation["operationId"] == "searchAuditLog";
        assert_eq!(parameters.iter().any(|parameter| parameter["name"] == "limit"), is_search, "{name}");

        let is_store = operation["tags"][0] == "Store";
        if is_store {
            let request = object(&operation["requestBody"]["content"], &name);
            for media in ["application/dicom", "multipart/related; type=\"application/dicom\""] {
                assert!(request.contains_key(media), "{name} does not say that it takes {media}");
            }
        }

        let responses = object(&operation["responses"], &name);
        let succeeds = responses.keys().any(|status| status.starts_with('2') || status == "303");
        assert!(succeeds, "{name} does not say what success is");
        for (status, response) in responses {
            let described = response["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{name}: {status} has no description");
            let content = response["content"].as_object();
            match status.as_str() {
                "204" | "303" | "304" | "416" => assert!(content.is_none(), "{name}: {status} has no body"),
                // A store that stores nothing says so instance by instance.
                "409" if is_store || operation["operationId"] == "uploadResult" => {
                    assert!(object(&response["content"], &name).contains_key("application/dicom+json"));
                }
                // What is begun or put off, and HEAD, have no body to speak of.
                "201" | "202" if !is_store => {}
                "200" if method == "head" => {}
                // The login page again, and what is wrong.
                "401" | "429" if content.is_some_and(|content| content.contains_key("text/html")) => {}
                status if status.starts_with('2') => {
                    assert!(
                        content.is_some_and(|content| !content.is_empty()),
                        "{name}: {status} of which type"
                    );
                }
                _ => {
                    let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                    assert_eq!(schema, "#/components/schemas/ProblemBody", "{name}: {status}");
                }
            }
        }
        let may_fail = path.starts_with("/dicomweb/");
        for status in ["400", "500", "503"] {
            assert!(!may_fail || responses.contains_key(status), "{name} does not describe {status}");
        }
    }
}

#[test]
fn the_pages_need_nothing_from_elsewhere() {
    let hilum = Hilum::start();
    let get = |path: &str| {
        let response = hilum.client.get(format!("{}{path}", hilum.root)).send().expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        response.text().expect("text")
    };
    // A redirect leads from the short addresses to the page.
    for path in ["", "/", "/docs", "/docs/", "/docs/index.html"] {
        let page = get(path);
        assert!(page.contains("swagger-ui"), "{path}");
        let assets: Vec<&str> = page
            .split(['"', '\''])
            .filter(|text| {
                [".js", ".css", ".png"].iter().any(|end| text.ends_with(end)) && !text.contains(' ')
            })
            .collect();
        assert!(assets.len() >= 4, "{assets:?}");
        for asset in assets {
            assert!(!asset.contains("//"), "{asset} is not on this server");
            assert!(!get(&format!("/docs/{}", asset.trim_start_matches("./"))).is_empty());
        }
    }
    assert!(get("/docs/swagger-initializer.js").contains("/openapi.json"));
}
