//! Capabilities (CAP-1 to 3), the conformance statement, and cross-origin use
//! (IOP-20).

use reqwest::Method;
use serde_json::Value;

use crate::{
    harness::Hilum,
    library::{header, json_of, problem},
};

const WADL: &str = "application/vnd.sun.wadl+xml";

#[test]
fn cap_1_2_options_of_the_base_describes_the_services() {
    let hilum = Hilum::start();
    for (accept, kind) in [(WADL, WADL), ("*/*", WADL), ("application/json", "application/json")] {
        for path in ["", "/"] {
            let response = hilum.request(Method::OPTIONS, path).header("Accept", accept).send().unwrap();
            assert_eq!(
                (response.status().as_u16(), header(&response, "content-type")),
                (200, kind.to_owned())
            );
        }
    }
    problem(
        hilum.request(Method::OPTIONS, "").header("Accept", "image/png").send().unwrap(),
        406,
        "not-acceptable",
    );

    let xml = hilum.request(Method::OPTIONS, "").header("Accept", WADL).send().unwrap().text().unwrap();
    assert!(xml.contains(&format!("<resources base=\"{}\">", hilum.base)), "{xml}");
    // One resource in another, as the paths have it.
    let mut rest = xml.as_str();
    for path in ["studies", "{study}", "series", "{series}", "instances", "{instance}", "frames", "{frames}"]
    {
        let (_, after) =
            rest.split_once(&format!("<resource path=\"{path}\">")).unwrap_or_else(|| panic!("{path}"));
        rest = after;
    }
    // Every method with its parameters, media types and character sets (CAP-2).
    for text in [
        "<param name=\"Accept-Charset\" style=\"header\">",
        "<param name=\"charset\" style=\"query\">",
        "<option value=\"utf-8\"/>",
        "<option value=\"application/dicom+json\"/>",
        "name=\"accept\" style=\"query\"",
        "name=\"limit\" style=\"query\"",
        "mediaType=\"application/dicom+json\"",
        "<method name=\"POST\"",
        "<method name=\"DELETE\"",
        "<method name=\"GET\"",
    ] {
        assert!(xml.contains(text), "{text}");
    }
    // Well formed: every element is closed in turn.
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name.to_owned()));
        } else if !tag.ends_with('/') && !tag.starts_with('?') {
            open.push(tag.split(' ').next().unwrap().to_owned());
        }
    }
    assert!(open.is_empty());
}

#[test]
fn cap_1_2_the_json_form_says_the_same() {
    let hilum = Hilum::start();
    let response = hilum.request(Method::OPTIONS, "").header("Accept", "application/json").send().unwrap();
    let application = &json_of(response)["application"];
    assert_eq!(application["resources"]["@base"], hilum.base.as_str());
    let mut resources = Vec::new();
    flatten(&application["resources"]["resource"], "", &mut resources);
    let methods = |wanted: &str| -> Vec<&str> {
        let (_, methods) = resources.iter().find(|(path, _)| path == wanted).expect("it is described");
        methods.iter().map(|method| method["@name"].as_str().unwrap()).collect()
    };
    assert_eq!(methods("/studies"), ["GET", "POST"]);
    assert_eq!(methods("/studies/{study}"), ["DELETE", "GET", "POST"]);
    // What is described is there.
    for (path, methods) in &resources {
        let path: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
        let path = path.join("/");
        for method in *methods {
            let method = Method::from_bytes(method["@name"].as_str().unwrap().as_bytes()).unwrap();
            let response = hilum.request(method.clone(), path.trim_end_matches('/')).send().unwrap();
            let status = response.status().as_u16();
            assert_ne!(status, 405, "{method} {path}");
            assert!(status != 404 || json_of(response)["code"] != "no-such-resource", "{method} {path}");
        }
    }
}

/// Every resource that has methods, by its path.
fn flatten<'v>(resources: &'v Value, above: &str, found: &mut Vec<(String, &'v Vec<Value>)>) {
    for resource in resources.as_array().into_iter().flatten() {
        let path = format!("{above}/{}", resource["@path"].as_str().expect("a path"));
        flatten(&resource["resource"], &path, found);
        if let Some(methods) = resource["method"].as_array() {
            found.push((path, methods));
        }
    }
}

#[test]
fn options_of_a_resource_names_its_methods() {
    let hilum = Hilum::start();
    for (path, allow) in [
        ("/studies", "GET, HEAD, POST, OPTIONS"),
        ("/studies/1.2", "GET, HEAD, POST, DELETE, OPTIONS"),
        ("/series", "GET, HEAD, OPTIONS"),
        ("/studies/1.2/series/1.3", "GET, HEAD, DELETE, OPTIONS"),
    ] {
        let response = hilum.request(Method::OPTIONS, path).send().unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, "allow")),
            (204, allow.to_owned()),
            "{path}"
        );
    }
}

fn preflight(hilum: &Hilum, path: &str, origin: &str) -> reqwest::blocking::Response {
    hilum
        .request(Method::OPTIONS, path)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "GET")
        .header("Access-Control-Request-Headers", "accept,authorization,range,if-none-match,content-type")
        .send()
        .expect("an answer")
}

/// CAP-3: a preflight is answered as one, on every resource.
#[test]
fn cap_3_iop_20_pages_of_allowed_origins_may_use_the_server() {
    const ORIGIN: &str = "https://viewer.example.org";
    let hilum = Hilum::with(|config| config.cors.origins = vec![ORIGIN.to_owned()]);
    let stored = hilum.store_fixture("CT_small.dcm");
    for path in ["", "/studies", &stored.path, "/studies/1/metadata"] {
        let response = preflight(&hilum, path, ORIGIN);
        assert!(response.status().is_success(), "{path}: {}", response.status());
        assert_eq!(header(&response, "access-control-allow-origin"), ORIGIN, "{path}");
        let allowed = header(&response, "access-control-allow-headers").to_ascii_lowercase();
        for name in ["accept", "authorization", "range", "if-none-match", "content-type"] {
            assert!(allowed.contains(name), "{allowed}");
        }
        for method in ["GET", "POST", "DELETE"] {
            assert!(header(&response, "access-control-allow-methods").contains(method));
        }
        assert!(!header(&response, "content-type").contains("wadl"));
        assert!(response.bytes().unwrap().is_empty(), "{path}");
    }
    for path in ["/studies", &stored.path, "/studies/1.2.3", "/nothing"] {
        let response = hilum.get(path).header("Origin", ORIGIN).send().unwrap();
        assert_eq!(header(&response, "access-control-allow-origin"), ORIGIN, "{path}: errors too");
        let exposed = header(&response, "access-control-expose-headers").to_ascii_lowercase();
        for name in [
            "warning",
            "content-range",
            "accept-ranges",
            "location",
            "content-location",
            "etag",
            "www-authenticate",
            "x-total-count",
        ] {
            assert!(exposed.contains(name), "{exposed}");
        }
        assert_eq!(header(&response, "cross-origin-resource-policy"), "cross-origin");
        // Without it an isolated page cannot show a PDF of ours (tests/clients/ohif/kinds.mjs).
        assert_eq!(header(&response, "cross-origin-embedder-policy"), "require-corp");
    }
    for path in ["/studies", &stored.path] {
        let response = hilum.get(path).header("Origin", ORIGIN).send().unwrap();
        let vary: Vec<&str> =
            response.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        let vary = vary.join(", ").to_ascii_lowercase();
        assert!(vary.contains("origin") && vary.contains("accept"), "{vary}");
    }
    let other = hilum.get("/studies").header("Origin", "https://evil.example.org").send().unwrap();
    assert_eq!(header(&other, "access-control-allow-origin"), "");
    assert_ne!(
        header(&preflight(&hilum, "/studies", "https://evil.example.org"), "access-control-allow-origin"),
        "*"
    );
}

#[test]
fn iop_20_any_origin_or_none() {
    let any = Hilum::with(|config| config.cors.origins = vec!["*".to_owned()]);
    let response = any.get("/studies").header("Origin", "https://a.example.org").send().unwrap();
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    let none = Hilum::start();
    let response = none.get("/studies").header("Origin", "https://a.example.org").send().unwrap();
    assert_eq!(
        (response.status().as_u16(), header(&response, "access-control-allow-origin")),
        (200, String::new())
    );
}

#[test]
fn the_openapi_document_is_served() {
    let hilum = Hilum::start();
    let response = hilum.client.get(format!("{}/openapi.json", hilum.root)).send().unwrap();
    assert_eq!(response.status(), 200);
    let document: Value = json_of(response);
    assert!(document["paths"]["/dicomweb/studies"]["get"]["summary"].is_string());
    let docs = hilum.client.get(format!("{}/docs/", hilum.root)).send().unwrap();
    assert_eq!(docs.status(), 200);
    assert!(docs.text().unwrap().to_lowercase().contains("swagger"));
}

#[test]
fn the_committed_statement_is_the_generated_one() {
    assert!(
        hilum::http::conformance::text() == include_str!("../../../openapi/conformance.md"),
        "openapi/conformance.md is not what the server says: cargo run -- conformance > openapi/conformance.md"
    );
}

#[test]
fn the_conformance_statement_is_served_in_both_forms() {
    let hilum = Hilum::with(|config| config.limits.results_max = 4321);
    let ask = |accept: &str| {
        let request = hilum.client.get(format!("{}/conformance", hilum.root));
        request.header("Accept", accept).send().unwrap()
    };
    for (accept, kind) in [
        ("*/*", "text/markdown; charset=utf-8"),
        ("text/markdown", "text/markdown; charset=utf-8"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"),
    ] {
        let response = ask(accept);
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, kind.to_owned()));
        let text = response.text().unwrap();
        // The limits of this server, and every resource.
        for said in
            ["4321", "/dicomweb/studies/{study}/series/{series}/metadata", "1.2.840.10008.1.2.4.90", "A901H"]
        {
            assert!(text.contains(said), "{accept}: {said}");
        }
    }
    problem(ask("image/png"), 406, "not-acceptable");
}

/// Each resource and each of its methods stands in the statement.
#[test]
fn the_statement_names_every_route() {
    let statement = hilum::http::conformance::text();
    let document: Value = serde_json::from_str(&hilum::http::openapi::text()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let row = format!("| {} | `{path}` |", method.to_uppercase());
            assert!(statement.contains(&row), "{row}");
        }
    }
}
