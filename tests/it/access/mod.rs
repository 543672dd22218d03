//! Who may do what, over HTTP: every route, with every role, on what the role
//! extends to and on what it does not. Who asks is said by a header that only
//! the server of these tests takes: how callers prove it is tested elsewhere.

use std::{collections::BTreeSet, sync::Arc, sync::mpsc};

use actix_web::{App, HttpMessage, HttpServer, body::MessageBody, dev, middleware::Next, web::Data};
use hilum::{
    archive::Archive,
    auth::{Action, Authentication, Identity, Method, Permit},
    config::{Config, Role},
    http::{
        self, State,
        access::{self, Needs},
    },
    server::archive_options,
};
use reqwest::{
    StatusCode,
    blocking::{Client, Response},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{harness::multipart, library::path_of, sample::Sample};

const OWN: &str = "1.2.3.1";
const FOREIGN: &str = "1.2.3.2";
/// `viewer` and the like extend to one patient here.
const ROLES: [&str; 7] =
    ["viewer", "uploader", "clinician", "researcher", "auditor", "administrator", "nobody"];

struct Server {
    root: String,
    client: Client,
    archive: Arc<Archive>,
    handle: dev::ServerHandle,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

/// Roles of a header as an identity; without it, nobody.
async fn identify(
    request: dev::ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<dev::ServiceResponse<impl MessageBody>, actix_web::Error> {
    let roles = request.headers().get("x-test-roles").and_then(|value| value.to_str().ok());
    let identity = match roles {
        Some(roles) => Identity {
            subject: roles.to_owned(),
            method: Method::Certificate,
            roles: roles.split(' ').map(str::to_owned).collect(),
            ..Identity::anonymous()
        },
        None => Identity::anonymous(),
    };
    request.extensions_mut().insert(Arc::new(identity));
    next.call(request).await
}

fn start() -> Server {
    let folder = TempDir::new().expect("a folder");
    let mut config = Config { data: folder.path().join("data"), ..Config::default() };
    for name in ["viewer", "uploader", "clinician", "administrator"] {
        config.roles.get_mut(name).expect("a role").r#where = "PatientID=OWN".into();
    }
    let everywhere = Role { r#where: String::new(), ..config.roles["administrator"].clone() };
    let of_ct = Role { r#where: "Modality=CT".to_owned(), ..everywhere.clone() };
    config.roles.insert("root".to_owned(), everywhere);
    config.roles.insert("of-ct".to_owned(), of_ct);
    let archive = Archive::open(&config.data, &archive_options(&config)).expect("an archive");
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder().handle();
    let auth = Arc::new(Authentication::open(&config.data, &config.auth).expect("accounts"));
    let state = Data::new(State::new(Arc::clone(&archive), auth, config, metrics).expect("a state"));
    let (sender, started) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(state.clone())
                    .wrap(actix_web::middleware::from_fn(http::authorise))
                    .wrap(actix_web::middleware::from_fn(identify))
                    .wrap(actix_web::middleware::from_fn(http::observe))
                    .configure(http::routes)
            })
            .workers(1)
            .bind("127.0.0.1:0")
            .expect("a port");
            let address = server.addrs()[0];
            let running = server.run();
            sender.send((address, running.handle())).expect("the test waits");
            running.await.expect("the server runs");
        });
    });
    let (address, handle) = started.recv().expect("the server starts");
    let root = format!("http://{address}");
    Server { root, client: Client::new(), archive, handle, _folder: folder }
}

fn file(study: &str, patient: &str) -> Vec<u8> {
    Sample::new(study, &format!("{study}.1"), &format!("{study}.1.1"))
        .text(0x0008_0060, "CS", "CT")
        .text(0x0010_0020, "LO", patient)
        .text(0x0010_4000, "LT", &"findings ".repeat(200))
        .pixels(4, 4, 2)
        .file()
}

impl Server {
    fn put(&self, file: &[u8]) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let permit = Permit::operator();
        runtime.block_on(self.archive.store_bytes(&permit, file.to_vec().into())).expect("an outcome");
    }

    fn ask(&self, method: &str, path: &str, role: Option<&str>) -> Response {
        let method = method.parse().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.root));
        if let Some(role) = role {
            request = request.header("x-test-roles", role);
        }
        request.send().expect("an answer")
    }

    fn json(&self, path: &str, role: &str) -> Value {
        let response = self.ask("GET", path, Some(role));
        let status = response.status();
        let text = response.text().expect("a body");
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    fn store(&self, file: &[u8], role: &str) -> Value {
        let response = self
            .client
            .post(format!("{}/dicomweb/studies", self.root))
            .header("x-test-roles", role)
            .header("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=XX")
            .body(multipart("XX", &[file]))
            .send()
            .expect("an answer");
        serde_json::from_str(&response.text().expect("a body")).expect("JSON")
    }
}

#[test]
fn every_route_says_what_it_asks_for() {
    let mut routes = BTreeSet::new();
    let source = include_str!("../../../src/http/routes.rs");
    for line in source.lines().filter(|line| line.trim_start().starts_with(".service(resource(\"")) {
        let path = line.split('"').nth(1).expect("a path").to_owned();
        for (call, method) in [
            ("read()", "GET"),
            ("web::get()", "GET"),
            ("web::post()", "POST"),
            ("web::put()", "PUT"),
            ("web::delete()", "DELETE"),
            ("web::head()", "HEAD"),
            ("web::patch()", "PATCH"),
            ("web::method(actix_web::http::Method::OPTIONS)", "OPTIONS"),
        ] {
            if line.contains(call) {
                routes.insert((path.clone(), method));
            }
        }
    }
    let table: BTreeSet<_> = access::TABLE
        .iter()
        .filter(|(path, _)| *path != "/docs/{_:.*}")
        .flat_map(|(path, methods)| methods.iter().map(|(method, _)| ((*path).to_owned(), *method)))
        .collect();
    assert_eq!(table, routes, "src/http/access.rs and src/http/routes.rs differ");
}

#[test]
fn every_route_with_every_role_on_own_and_foreign() {
    let server = start();
    let (own, foreign) = (file(OWN, "OWN"), file(FOREIGN, "FOREIGN"));
    server.put(&own);
    server.put(&foreign);
    let roles: hilum::auth::Roles = {
        let config = Config::default();
        hilum::auth::Roles::new(&config.roles).expect("roles")
    };
    let may = |role: &str, action: Action| {
        let identity =
            Identity { method: Method::Certificate, roles: vec![role.to_owned()], ..Identity::anonymous() };
        roles.permit(&identity).allows(action)
    };
    for (pattern, methods) in access::TABLE {
        for (method, needs) in *methods {
            let paths = [(OWN, path_of(pattern, OWN)), (FOREIGN, path_of(pattern, FOREIGN))];
            for (study, path) in paths {
                let anonymous = server.ask(method, &path, None).status();
                assert_eq!(
                    anonymous == 401,
                    *needs != Needs::Nothing,
                    "anonymous {method} {path}: {anonymous}"
                );
                for role in ROLES {
                    let status = server.ask(method, &path, Some(role)).status();
                    let what = format!("{role} {method} {path}: {status}");
                    let is_allowed = match needs {
                        Needs::Nothing | Needs::Identity => true,
                        Needs::Right(action) => may(role, *action),
                    };
                    assert!(status != 401 && status != 410, "{what}");
                    // What is of one's own account asks for one, which nobody here has.
                    if *needs != Needs::Identity {
                        assert_eq!(status == 403, !is_allowed, "{what}");
                    }
                    assert!(!status.is_server_error(), "{what}");
                    // Nothing here is de-identified, so to a researcher all is foreign.
                    let is_foreign = study == FOREIGN || role == "researcher";
                    let names_it = path.contains(study) && !pattern.contains("zip");
                    let is_search = pattern.ends_with("/series")
                        || pattern.ends_with("/instances")
                        || pattern.ends_with("/count");
                    if is_allowed && names_it && !is_search && *method != "POST" {
                        let made_up = ["{version}", "{upload}", "{transaction}"];
                        let is_there = !is_foreign && !made_up.iter().any(|part| pattern.contains(part));
                        // The version of the path is malformed.
                        let missing = status == StatusCode::NOT_FOUND || status == StatusCode::BAD_REQUEST;
                        assert_eq!(missing, !is_there, "{what}");
                    }
                    if *method == "DELETE" && status == 204 {
                        server.put(&own);
                    }
                }
            }
        }
    }
    // One's own, the foreign one, and the copy that was made of one's own.
    assert_eq!(server.json("/dicomweb/studies/count", "root")["count"], 3, "nothing foreign was deleted");
    let found = server.json("/dicomweb/studies", "researcher");
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert!(found[0]["00100020"]["Value"][0].as_str().is_some_and(|id| id.starts_with("ANON-")), "{found}");
}

#[test]
fn what_is_foreign_is_not_counted_and_cannot_be_taken() {
    let server = start();
    server.put(&file(OWN, "OWN"));
    server.put(&file(FOREIGN, "FOREIGN"));
    for (path, expected) in [
        ("/dicomweb/studies/count", 1),
        ("/dicomweb/series/count", 1),
        ("/dicomweb/instances/count", 1),
        ("/dicomweb/patients/count", 1),
        ("/dicomweb/studies/count?q=findings", 1),
    ] {
        assert_eq!(server.json(path, "viewer")["count"], expected, "{path}");
        assert_eq!(server.json(path, "root")["count"], 2, "{path}");
    }
    let found = server.json(&format!("/dicomweb/studies?StudyInstanceUID={FOREIGN}"), "viewer");
    assert_eq!(found, serde_json::json!([]));
    let reason = |module: &Value| module["00081198"]["Value"][0]["00081197"]["Value"][0].clone();
    // Outside of what the uploader may store, and an own patient's into the study of another.
    assert_eq!(reason(&server.store(&file("1.2.3.3", "FOREIGN"), "uploader")), 0x0124);
    let intruder = Sample::new(FOREIGN, &format!("{FOREIGN}.9"), &format!("{FOREIGN}.9.1"))
        .text(0x0010_0020, "LO", "OWN")
        .file();
    let refused = server.store(&intruder, "uploader");
    assert_eq!(reason(&refused), 0x0124);
    assert_eq!(server.json("/dicomweb/studies/count", "viewer")["count"], 1);
    let taken = server.store(&file("1.2.3.4", "OWN"), "uploader");
    assert!(taken["00081199"]["Value"][0].is_object(), "{taken}");
    // What was deleted was never there for who does not see everything.
    assert_eq!(server.ask("DELETE", "/dicomweb/studies/1.2.3.4", Some("root")).status(), 204);
    assert_eq!(server.ask("GET", "/dicomweb/studies/1.2.3.4", Some("root")).status(), 410);
    assert_eq!(server.ask("GET", "/dicomweb/studies/1.2.3.4", Some("clinician")).status(), 404);
    // A file by the URI service is a download.
    let uri = path_of("/wado", OWN) + "&contentType=application/dicom&transferSyntax=*";
    assert_eq!(server.ask("GET", &uri, Some("viewer")).status(), 403);
    assert_eq!(server.ask("GET", &uri, Some("clinician")).status(), 200);
}

#[test]
fn a_researcher_sees_only_studies_that_are_deidentified_throughout() {
    let server = start();
    let instance = |study: &str, number: u8, removed: &str| {
        Sample::new(study, &format!("{study}.1"), &format!("{study}.1.{number}"))
            .text(0x0010_0020, "LO", "P")
            .text(0x0012_0062, "CS", removed)
            .file()
    };
    server.put(&instance("1.2.4.1", 1, "YES"));
    server.put(&instance("1.2.4.2", 1, "NO"));
    // The newest speaks for the study; one before it says otherwise.
    server.put(&instance("1.2.4.3", 1, ""));
    server.put(&instance("1.2.4.3", 2, "YES"));
    let found = server.json("/dicomweb/studies", "researcher");
    let uids: Vec<_> = found.as_array().expect("a list").iter().map(|study| &study["0020000D"]).collect();
    assert_eq!(uids.len(), 1, "{found}");
    assert_eq!(uids[0]["Value"][0], "1.2.4.1");
    for (study, expected) in [("1.2.4.1", 200), ("1.2.4.2", 404), ("1.2.4.3", 404)] {
        let path = format!("/dicomweb/studies/{study}/metadata");
        assert_eq!(server.ask("GET", &path, Some("researcher")).status(), expected, "{study}");
    }
    // It comes to be identified while it is looked at.
    server.put(&instance("1.2.4.1", 2, "NO"));
    assert_eq!(server.ask("GET", "/dicomweb/studies/1.2.4.1/metadata", Some("researcher")).status(), 404);
}

/// Two people at one browser: what it kept of the study for the one, who sees all
/// of it, it showed to the other, who sees a part, since the server said by 304
/// that this is the same.
#[test]
fn metadata_have_another_tag_for_who_sees_less_of_them() {
    let server = start();
    let hidden = Sample::new(OWN, "1.2.3.1.2", "1.2.3.1.2.1").text(0x0008_0060, "CS", "MR");
    server.put(&hidden.file());
    server.put(&file(OWN, "OWN"));
    let path = format!("/dicomweb/studies/{OWN}/metadata");
    let all = server.ask("GET", &path, Some("root"));
    let tag = all.headers()["etag"].clone();
    let count = |answer: Response| {
        let set: Value = serde_json::from_str(&answer.text().expect("a body")).expect("JSON");
        set.as_array().map(Vec::len)
    };
    assert_eq!(count(all), Some(2));
    let ask = |role: &str| {
        let request = server.client.get(format!("{}{path}", server.root)).header("x-test-roles", role);
        request.header("If-None-Match", &tag).send().expect("an answer")
    };
    let part = ask("of-ct");
    assert_eq!(part.status(), 200);
    assert_eq!(count(part), Some(1));
    assert_eq!(ask("root").status(), 304);
}
