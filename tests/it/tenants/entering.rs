//! Who may enter a tenant, and that one who may not cannot tell it from one that
//! is not there; links, sessions and the audit trail of a tenant.

use std::collections::BTreeMap;

use hilum::{
    auth::{Authentication, NewToken},
    config::Role,
    http::access,
};
use reqwest::{
    blocking::{Client, Response},
    redirect::Policy,
};
use serde_json::{Value, json};

use super::{BOTH, ONLY, add_tenants, file, home, posting};
use crate::{harness::Hilum, library::json_of};

const PASSWORD: &str = "correct horse battery";

/// Names, roles and tenants.
const PEOPLE: [(&str, &[&str], &[&str]); 7] = [
    ("anna", &["administrator"], &[]),
    ("nora", &["clinician"], &["north"]),
    ("sam", &["clinician", "uploader"], &["south"]),
    ("rita", &["clinician", "auditor"], &[]),
    ("ned", &["auditor"], &["north"]),
    ("both", &["reader"], &[]),
    ("lost", &["clinician"], &["nowhere"]),
];

struct Server {
    hilum: Hilum,
    tokens: BTreeMap<&'static str, String>,
    /// It follows no redirect.
    client: Client,
}

impl Server {
    fn start() -> Self {
        let hilum = Hilum::with(|config| {
            add_tenants(config);
            config.auth.enabled = true;
            config.audit.interval_seconds = 60;
            let reader = Role {
                allow: vec!["search".into(), "view".into()],
                r#where: String::new(),
                deidentified: false,
                tenants: vec!["north".into(), "root".into()],
            };
            config.roles.insert("reader".into(), reader);
            let auth = Authentication::open(&config.data, &config.auth).expect("the accounts");
            let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            for (name, roles, tenants) in PEOPLE {
                auth.add_account(name, None, PASSWORD, owned(roles), owned(tenants)).expect("an account");
            }
        });
        let auth =
            Authentication::open(hilum.data(), &hilum::config::Config::default().auth).expect("accounts");
        let token = |name| {
            let new = NewToken { label: "test".into(), ..NewToken::default() };
            auth.add_token(name, new).expect("a token").1
        };
        let tokens: BTreeMap<_, _> = PEOPLE.iter().map(|(name, _, _)| (*name, token(name))).collect();
        let client = Client::builder().redirect(Policy::none()).build().expect("a client");
        let server = Self { hilum, tokens, client };
        // As a command would: the running server looks once a second.
        for name in server.tokens.keys() {
            for _ in 0..100 {
                if server.get(name, "/auth/session").status() == 200 {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
        for (tenant, files) in [
            ("north", vec![file(BOTH, "NORTHERN"), file(ONLY, "NORTHONLY")]),
            ("south", vec![file(BOTH, "MERIDIAN")]),
            ("", vec![file("1.2.3.9", "ROOTED")]),
        ] {
            let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            let request = posting(&server.hilum, tenant, &files).bearer_auth(&server.tokens["anna"]);
            assert_eq!(request.send().expect("an answer").status(), 200, "{tenant}");
        }
        server
    }

    fn ask(&self, method: &str, name: Option<&str>, path: &str) -> Response {
        let request =
            self.client.request(method.parse().expect("a method"), format!("{}{path}", self.hilum.root));
        let request = match name {
            Some(name) => request.bearer_auth(&self.tokens[name]),
            None => request,
        };
        request.send().expect("an answer")
    }

    fn get(&self, name: &str, path: &str) -> Response {
        self.ask("GET", Some(name), path)
    }

    fn status(&self, name: &str, path: &str) -> u16 {
        self.get(name, path).status().as_u16()
    }

    fn records(&self, name: &str, path: &str) -> Vec<Value> {
        let answer = self.get(name, path);
        assert_eq!(answer.status(), 200, "{name} {path}");
        json_of(answer)["records"].as_array().expect("a list").clone()
    }
}

/// All of an answer that a client sees, but for what is of one request.
fn seen(answer: Response, tenant: &str) -> (u16, Vec<(String, String)>, String) {
    let status = answer.status().as_u16();
    let plain = |text: &str| text.replace(&format!("/{tenant}/"), "/TENANT/");
    // These list the same in an order of their own each time.
    let left_out = ["x-request-id", "date", "content-length", "access-control-expose-headers"];
    let mut headers: Vec<(String, String)> = answer
        .headers()
        .iter()
        .filter(|(name, _)| !left_out.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), plain(value.to_str().expect("text"))))
        .collect();
    headers.sort();
    let body = answer.text().expect("a body");
    let body = match serde_json::from_str::<Value>(&body) {
        Ok(mut problem) => {
            problem["request_id"] = Value::Null;
            problem.to_string()
        }
        Err(_) => body,
    };
    (status, headers, plain(&body))
}

#[test]
fn roles_say_who_may_enter() {
    let server = Server::start();
    let studies = |tenant: &str| format!("{tenant}/dicomweb/studies");
    for (name, root, north, south) in [
        ("anna", 200, 200, 200),
        ("nora", 403, 200, 404),
        ("sam", 403, 404, 200),
        ("rita", 200, 404, 404),
        ("ned", 403, 403, 404),
        ("both", 200, 200, 404),
        ("lost", 403, 404, 404),
    ] {
        let found = ["", "/north", "/south"].map(|tenant| server.status(name, &studies(tenant)));
        assert_eq!(found, [root, north, south], "{name}");
        assert_eq!(server.status(name, &studies("/nowhere")), 404, "{name}");
    }
    let text = |name: &str, tenant: &str| server.get(name, &studies(tenant)).text().expect("a body");
    assert!(text("nora", "/north").contains("NORTHERN") && !text("nora", "/north").contains("MERIDIAN"));
    assert!(text("sam", "/south").contains("MERIDIAN") && !text("sam", "/south").contains("NORTH"));
    assert!(text("rita", "").contains("ROOTED"));
    // What is of the server as a whole is for who administers the root archive.
    assert_eq!((server.status("nora", "/metrics"), server.status("anna", "/metrics")), (403, 200));
    let session = json_of(server.get("both", "/auth/session"));
    let archives: Vec<_> = session["archives"].as_array().expect("a list").iter().collect();
    assert_eq!(archives.len(), 2, "{session}");
    assert_eq!(archives[0]["tenant"], Value::Null);
    assert_eq!((&archives[1]["tenant"], &archives[1]["title"]), (&json!("north"), &json!("North Hospital")));
    assert_eq!(archives[1]["dicomweb"], format!("{}/north/dicomweb", server.hilum.root));
    assert_eq!(archives[1]["actions"], json!(["search", "view"]));
}

#[test]
fn a_tenant_that_is_closed_is_as_one_that_is_not_there() {
    let server = Server::start();
    for (pattern, methods) in access::TABLE {
        let first = pattern.split('/').nth(1).expect("a path");
        let path = pattern
            .replace("{study}", BOTH)
            .replace("{series}", &format!("{BOTH}.1"))
            .replace("{instance}", &format!("{BOTH}.1.1"))
            .replace(['{', '}'], "");
        let methods = methods.iter().map(|(method, _)| *method).chain(["OPTIONS", "PUT"]);
        for method in methods {
            for name in [None, Some("nora"), Some("lost")] {
                let [closed, missing] = ["south", "nowhere"]
                    .map(|tenant| seen(server.ask(method, name, &format!("/{tenant}{path}")), tenant));
                assert_eq!(closed, missing, "{name:?} {method} {path}");
                let status = closed.0;
                let expected = match name {
                    // The secret of a link says by itself who comes.
                    _ if first == "shared" => &[204, 400, 401, 404, 405][..],
                    None => &[401, 404],
                    Some(_) => &[404],
                };
                assert!(expected.contains(&status), "{name:?} {method} {path}: {status}");
            }
        }
    }
    // Somebody in a browser who has not logged in yet.
    let client = &server.client;
    let [closed, missing] = ["south", "nowhere"].map(|tenant| {
        let request = client.get(format!("{}/{tenant}/dicomweb/studies", server.hilum.root));
        let request = request.header("Sec-Fetch-Mode", "navigate").header("Sec-Fetch-Dest", "document");
        seen(request.send().expect("an answer"), tenant)
    });
    assert_eq!(closed, missing);
    assert_eq!(closed.0, 303);
    let place = closed.1.iter().find(|(name, _)| name == "location").expect("a place");
    assert!(place.1.ends_with("/auth/login?next=/TENANT/dicomweb/studies"), "{place:?}");
}

#[test]
fn no_link_crosses() {
    let server = Server::start();
    let post = |name: &str, path: &str, body: &Value| {
        let request = server.hilum.client.post(format!("{}{path}", server.hilum.root));
        let request = request.bearer_auth(&server.tokens[name]).header("Content-Type", "application/json");
        request.body(body.to_string()).send().expect("an answer")
    };
    // To a study that is not in the own archive there is none.
    assert_eq!(post("sam", "/south/shares", &json!({ "studies": [ONLY] })).status(), 404);
    let answer = post("nora", "/north/shares", &json!({ "studies": [BOTH] }));
    assert_eq!(answer.status(), 201);
    let link = json_of(answer);
    let url = link["url"].as_str().expect("a URL");
    assert!(url.starts_with(&format!("{}/north/shared/", server.hilum.root)), "{url}");
    let open = |url: &str| server.hilum.client.post(url).send().expect("an answer");
    for other in ["/south/shared/", "/shared/", "/nowhere/shared/"] {
        let other = url.replace("/north/shared/", other);
        assert_eq!(open(&other).status(), 404, "{other}");
        assert_eq!(server.hilum.client.get(&other).send().expect("an answer").status(), 404, "{other}");
    }
    let opened = json_of(open(url));
    let base = opened["dicomweb"].as_str().expect("a URL");
    let pass = opened["pass"].as_str().expect("a pass");
    assert_eq!(base, format!("{}/north/shared/{pass}/dicomweb", server.hilum.root));
    let get = |url: &str| server.hilum.client.get(url).send().expect("an answer");
    let found = get(&format!("{base}/studies")).text().expect("a body");
    assert!(found.contains("NORTHERN") && !found.contains("NORTHONLY"), "{found}");
    assert!(found.contains(&format!("{base}/studies/{BOTH}")), "{found}");
    for other in ["/south/shared/", "/shared/", "/nowhere/shared/"] {
        let other = base.replace("/north/shared/", other);
        assert_eq!(get(&format!("{other}/studies")).status(), 404, "{other}");
        assert_eq!(get(&other.replace("/dicomweb", "/viewer.json")).status(), 404, "{other}");
    }
    let configuration = json_of(get(&base.replace("/dicomweb", "/viewer.json")));
    assert_eq!(configuration["servers"]["dicomWeb"][0]["wadoRoot"], json!(base));
    // The pass as a token.
    let bearer = |tenant: &str| {
        let url = format!("{}/dicomweb/studies", home(&server.hilum, tenant));
        server.hilum.client.get(url).bearer_auth(pass).send().expect("an answer").status().as_u16()
    };
    assert_eq!(bearer("north"), 200);
    for other in ["south", "", "nowhere"] {
        assert!([401, 404].contains(&bearer(other)), "{other}: {}", bearer(other));
    }
    // Nobody lists or revokes it elsewhere, not even who administers all.
    let listed = |name: &str, path: &str| json_of(server.get(name, path)).as_array().expect("a list").len();
    assert_eq!(listed("anna", "/north/shares"), 1);
    assert_eq!((listed("anna", "/south/shares"), listed("anna", "/shares")), (0, 0));
    let id = link["id"].as_str().expect("an id");
    for other in ["/south", ""] {
        assert_eq!(server.ask("DELETE", Some("anna"), &format!("{other}/shares/{id}")).status(), 404);
    }
    assert_eq!(server.ask("DELETE", Some("nora"), &format!("/north/shares/{id}")).status(), 204);
    assert_eq!(get(&format!("{base}/studies")).status(), 410);
}

#[test]
fn a_session_is_of_the_server_and_its_forms_are_too() {
    let server = Server::start();
    let client = &server.client;
    let form = format!("name=sam&password={}&next=/south/dicomweb/studies", PASSWORD.replace(' ', "+"));
    let answer = client
        .post(format!("{}/auth/login", server.hilum.root))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .expect("an answer");
    assert_eq!(answer.status(), 303);
    assert_eq!(
        answer.headers()["location"],
        format!("{}/south/dicomweb/studies", server.hilum.root).as_str()
    );
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(cookie.split("; ").any(|part| part == "Path=/"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let get = |path: &str| {
        let request = client.get(format!("{}{path}", server.hilum.root)).header("Cookie", &cookie);
        request.send().expect("an answer")
    };
    assert_eq!(get("/south/dicomweb/studies").status(), 200);
    assert_eq!(get("/north/dicomweb/studies").status(), 404);
    let csrf = json_of(get("/auth/session"))["csrf_token"].as_str().expect("a token").to_owned();
    let store = |headers: &[(&str, &str)]| {
        let file = file("1.2.3.7", "BYFORM");
        let mut request = posting(&server.hilum, "south", &[&file]).header("Cookie", &cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().expect("an answer").status().as_u16()
    };
    assert_eq!(store(&[]), 403, "nothing says that it is a page of this server");
    assert_eq!(store(&[("Origin", "https://evil.example")]), 403);
    assert_eq!(store(&[("Origin", server.hilum.root.as_str())]), 200);
    assert_eq!(store(&[("X-CSRF-Token", csrf.as_str())]), 200);
}

#[test]
fn an_auditor_sees_the_records_of_their_tenant() {
    let server = Server::start();
    let metadata = |tenant: &str| format!("{tenant}/dicomweb/studies/{BOTH}/metadata");
    // The same caller looks at the same UID in two archives, one after the other.
    for tenant in ["/north", "/south", "/north"] {
        assert_eq!(server.status("anna", &metadata(tenant)), 200);
    }
    assert_eq!(server.status("nora", &metadata("/south")), 404);
    assert_eq!(server.status("nora", &metadata("/nowhere")), 404);
    let views = |name: &str, path: &str| {
        let mut views = server.records(name, path);
        views.retain(|record| record["event"] == "view" && record["actor"]["id"] == "anna");
        views
    };
    let north = views("ned", "/north/audit");
    assert_eq!(north.len(), 1, "{north:?}");
    assert_eq!((&north[0]["tenant"], &north[0]["patient"]["id"]), (&json!("north"), &json!("NORTHERN")));
    let all = server.records("ned", "/north/audit?limit=1000");
    assert!(!all.is_empty() && all.iter().all(|record| record["tenant"] == "north"), "{all:?}");
    assert_eq!((server.status("ned", "/audit"), server.status("ned", "/south/audit")), (403, 404));
    assert_eq!(server.status("ned", "/north/audit?tenant=south"), 400);
    // Who audits the root archive sees what is of it and of the server, and no tenant's.
    let root = server.records("rita", "/audit?limit=1000");
    assert!(!root.is_empty() && root.iter().all(|record| record["tenant"].is_null()), "{root:?}");
    assert_eq!(server.status("rita", "/audit?tenant=north"), 400);
    // Who audits all sees all.
    assert_eq!(views("anna", "/audit?limit=1000").len(), 2);
    let south = views("anna", "/audit?tenant=south&limit=1000");
    assert_eq!((south.len(), &south[0]["patient"]["id"]), (1, &json!("MERIDIAN")));
    let tried = server.records("anna", "/audit?user=nora&limit=1000");
    let tried =
        |tenant: &str| tried.iter().any(|record| record["tenant"] == tenant && record["patient"].is_null());
    assert!(tried("nowhere"), "an attempt says what was named");
    let refused = server.records("anna", "/audit?user=nora&tenant=south");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["outcome"], "minor-failure");
    // In the message for a receiver the tenant is the site.
    let bundle = server
        .hilum
        .client
        .get(format!("{}/north/audit?event=view", server.hilum.root))
        .bearer_auth(&server.tokens["ned"])
        .header("Accept", "application/fhir+json")
        .send()
        .expect("an answer");
    let bundle = json_of(bundle);
    assert_eq!(bundle["entry"][0]["resource"]["source"]["site"], "north", "{bundle}");
    assert!(bundle["link"][0]["url"].as_str().expect("a URL").contains("/north/audit"), "{bundle}");
}
