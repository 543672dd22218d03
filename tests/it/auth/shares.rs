//! Share links: what they open to people without an account, and all that they
//! do not.

use hilum::{
    auth::Authentication,
    config::{Config, Role},
};
use reqwest::{StatusCode, blocking::Response};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    PASSWORD, add, client, cookie_of, log_in, raw,
    rights::{CT, MR, sees, store, token},
    with_cookie, with_token,
};
use crate::harness::{Hilum, json_of, until};

/// A server with a CT and an MR, and with people who may share.
fn server() -> Hilum {
    server_with(|_| {})
}

fn server_with(change: impl FnOnce(&mut Config)) -> Hilum {
    let hilum = Hilum::with(|config| {
        change(config);
        config.auth.enabled = true;
        config.auth.failures_max = 3;
        config.audit.interval_seconds = 0;
        config.shares.viewer_url =
            "https://viewer.example/viewer?StudyInstanceUIDs={studies}&url={dicomweb}".into();
        let ct = Role {
            allow: vec!["search".into(), "view".into(), "share".into()],
            r#where: "Modality=CT".into(),
            deidentified: false,
            tenants: Vec::new(),
        };
        config.roles.insert("ct".into(), ct);
        add(config, "root", &["administrator"]);
        add(config, "cleo", &["clinician"]);
        add(config, "eve", &["ct"]);
        add(config, "bob", &["viewer"]);
        add(config, "rita", &["researcher"]);
    });
    let root = token(&hilum, "root", &[]);
    store(&hilum, &root, CT, "CT", "P1");
    store(&hilum, &root, MR, "MR", "P2");
    hilum
}

fn share(hilum: &Hilum, token: &str, body: &Value) -> Response {
    let request = client().post(format!("{}/shares", hilum.root)).bearer_auth(token);
    request.header("Content-Type", "application/json").body(body.to_string()).send().unwrap()
}

fn made(hilum: &Hilum, token: &str, body: &Value) -> Value {
    let answer = share(hilum, token, body);
    let status = answer.status();
    let link = json_of(answer);
    assert_eq!(status, 201, "{link}");
    link
}

fn open(url: &str, password: Option<&str>) -> Response {
    let request = client().post(url).header("Content-Type", "application/json");
    request
        .body(password.map(|text| json!({ "password": text }).to_string()).unwrap_or_default())
        .send()
        .unwrap()
}

fn opened(link: &Value) -> Value {
    let answer = open(link["url"].as_str().unwrap(), None);
    assert_eq!(answer.status(), 200);
    json_of(answer)
}

fn get(url: &str) -> Response {
    client().get(url).send().unwrap()
}

fn code(answer: Response) -> (StatusCode, Value) {
    (answer.status(), json_of(answer)["code"].clone())
}

#[test]
fn a_link_shows_its_studies_and_nothing_else() {
    let hilum = server();
    let cleo = token(&hilum, "cleo", &[]);
    let link = made(&hilum, &cleo, &json!({ "studies": [CT], "label": "Tumour board" }));
    let url = link["url"].as_str().unwrap();
    // Looking at a link uses nothing up.
    let info = json_of(get(url));
    assert_eq!((&info["label"], &info["has_password"]), (&json!("Tumour board"), &json!(false)));
    let pass = opened(&link);
    let base = pass["dicomweb"].as_str().unwrap().to_owned();
    let in_path = |path: &str| get(&format!("{base}{}", path.strip_prefix("/dicomweb").unwrap()));
    sees(&in_path, &[CT]);
    let bearer = pass["pass"].as_str().unwrap();
    sees(&|path| with_token(&hilum, path, bearer), &[CT]);
    assert_eq!(with_cookie(&hilum, "/dicomweb/studies", &format!("hilum={}", &bearer[6..])).status(), 401);
    let instance = format!("/studies/{CT}/series/{CT}.1/instances/{CT}.1.1");
    assert_eq!(get(&format!("{base}{instance}/frames/1")).status(), 200);
    assert_eq!(get(&format!("{base}/studies/{CT}/thumbnail")).status(), 200);
    // Who goes on by what an answer names stays within the link.
    let found = json_of(get(&format!("{base}/studies")));
    assert_eq!(found[0]["00081190"]["Value"][0], format!("{base}/studies/{CT}"));
    let metadata = get(&format!("{base}/studies/{CT}/metadata")).text().unwrap();
    assert!(!metadata.contains(&format!("{}/studies", hilum.base)), "{metadata}");
    // To look, and no more.
    assert_eq!(get(&format!("{base}{instance}")).status(), 403);
    assert_eq!(get(&format!("{base}/zip?StudyInstanceUID={CT}")).status(), 403);
    assert_eq!(client().delete(format!("{base}/studies/{CT}")).send().unwrap().status(), 403);
    assert_eq!(client().post(format!("{base}/studies")).body("x").send().unwrap().status(), 403);
    for path in ["/audit", "/shares", "/metrics", "/auth/tokens"] {
        assert_eq!(with_token(&hilum, path, bearer).status(), 403, "{path}");
    }
    let configuration = json_of(get(pass["configuration"].as_str().unwrap()));
    let services = &configuration["servers"]["dicomWeb"][0];
    assert_eq!(services["wadoRoot"], base);
    // The viewer puts nothing but the query behind this one.
    let by_uri = services["wadoUriRoot"].as_str().unwrap();
    let query = format!("requestType=WADO&studyUID={CT}&seriesUID={CT}.1&objectUID={CT}.1.1");
    assert_eq!(get(&format!("{by_uri}?{query}&contentType=image/jpeg")).status(), 200);
    assert!(
        pass["viewer"]
            .as_str()
            .unwrap()
            .starts_with(&format!("https://viewer.example/viewer?StudyInstanceUIDs={CT}&url=http"))
    );
    // One with files.
    let link = made(&hilum, &cleo, &json!({ "studies": [CT, MR], "download": true }));
    let base = opened(&link)["dicomweb"].as_str().unwrap().to_owned();
    assert_eq!(get(&format!("{base}{instance}")).status(), 200);
    assert_eq!(json_of(get(&format!("{base}/studies/count")))["count"], 2);
}

#[test]
fn a_link_ends() {
    let hilum = server();
    let cleo = token(&hilum, "cleo", &[]);
    let once = made(&hilum, &cleo, &json!({ "studies": [CT], "uses": 1 }));
    let url = once["url"].as_str().unwrap();
    let base = opened(&once)["dicomweb"].as_str().unwrap().to_owned();
    assert_eq!(get(&format!("{base}/studies")).status(), 200);
    assert_eq!(code(open(url, None)), (StatusCode::GONE, json!("link-ended")));
    assert_eq!(code(get(url)), (StatusCode::GONE, json!("link-ended")));
    assert_eq!(get(&format!("{base}/studies")).status(), 200, "it was opened before");

    let revoke = |token: &str| {
        let place = format!("{}/shares/{}", hilum.root, once["id"].as_str().unwrap());
        client().delete(place).bearer_auth(token).send().unwrap().status()
    };
    assert_eq!(revoke(&token(&hilum, "eve", &[])), 404, "another's");
    assert_eq!(revoke(&token(&hilum, "bob", &[])), 403);
    assert_eq!(revoke(&token(&hilum, "root", &[])), 204);
    assert_eq!(revoke(&cleo), 204, "again");
    assert_eq!(code(get(&format!("{base}/studies"))), (StatusCode::GONE, json!("link-ended")));
    assert_eq!(get(&base).status(), 410, "what is open to everybody neither");

    // On a busy machine a link may be over before it is opened: then one that lasts longer.
    let opened_in_time = [2, 10, 50].into_iter().find_map(|seconds| {
        let soon = (OffsetDateTime::now_utc() + Duration::seconds(seconds)).format(&Rfc3339).unwrap();
        let answer = share(&hilum, &cleo, &json!({ "studies": [CT], "expires": soon }));
        let link = (answer.status() == 201).then(|| json_of(answer))?;
        let answer = open(link["url"].as_str().unwrap(), None);
        (answer.status() == 200).then(|| (link, json_of(answer)["dicomweb"].as_str().unwrap().to_owned()))
    });
    let (link, base) = opened_in_time.expect("a link that is opened before it ends");
    until("it ends", || get(&format!("{base}/studies")).status() == 410);
    assert_eq!(code(open(link["url"].as_str().unwrap(), None)), (StatusCode::GONE, json!("link-ended")));

    let unknown = url.replace(&url[url.len() - 4..], "AAAA");
    for wrong in
        [unknown.as_str(), &format!("{}/shared/x", hilum.root), &format!("{}/shared/x.y", hilum.root)]
    {
        assert_eq!(code(open(wrong, None)), (StatusCode::NOT_FOUND, json!("not-found")), "{wrong}");
    }
    assert_eq!(get(&format!("{}/shared/share_x/dicomweb/studies", hilum.root)).status(), 404);
    assert_eq!(raw(&hilum, "GET", "/shared/../dicomweb/studies", ""), 404);
    // Whoever gave it is not let in any more.
    let link = made(&hilum, &cleo, &json!({ "studies": [CT] }));
    let base = opened(&link)["dicomweb"].as_str().unwrap().to_owned();
    let auth = Authentication::open(hilum.data(), &hilum::config::Config::default().auth).unwrap();
    auth.set_disabled("cleo", true).unwrap();
    let gone = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        get(&format!("{base}/studies")).status() == 410
    });
    assert!(gone && open(link["url"].as_str().unwrap(), None).status() == 410);
}

#[test]
fn a_password_is_needed_and_cannot_be_guessed() {
    let hilum = server();
    let cleo = token(&hilum, "cleo", &[]);
    let link = made(&hilum, &cleo, &json!({ "studies": [CT], "password": "blue heron", "uses": 2 }));
    let url = link["url"].as_str().unwrap();
    assert_eq!(code(open(url, None)), (StatusCode::FORBIDDEN, json!("password-needed")));
    assert_eq!(code(open(url, Some("red heron!"))), (StatusCode::FORBIDDEN, json!("wrong-password")));
    let right = open(url, Some("blue heron"));
    assert_eq!(right.status(), 200);
    // The last that is let through locks for longer than any machine takes to guess.
    let guesses: Vec<u16> = (0..6).map(|_| open(url, Some("guess guess")).status().as_u16()).collect();
    assert_eq!(guesses, [403, 403, 403, 429, 429, 429]);
    assert_eq!(open(url, Some("blue heron")).status(), 429, "even the right one has to wait");
    let listed = json_of(with_token(&hilum, "/shares", &cleo));
    assert_eq!((&listed[0]["uses"], &listed[0]["has_password"]), (&json!(1), &json!(true)));
    assert!(listed[0].get("url").is_none(), "the secret is told once");
    // In a browser, by a form.
    let request = client().get(url).header("Accept", "text/html,*/*;q=0.8").send().unwrap();
    let page = request.text().unwrap();
    assert!(page.contains("type=\"password\"") && !page.contains("<script"), "{page}");
}

#[test]
fn nobody_shares_what_is_not_theirs() {
    let hilum = server();
    let (eve, bob) = (token(&hilum, "eve", &[]), token(&hilum, "bob", &[]));
    assert_eq!(share(&hilum, &bob, &json!({ "studies": [CT] })).status(), 403);
    assert_eq!(code(share(&hilum, &eve, &json!({ "studies": [CT, MR] }))).0, 404);
    assert_eq!(code(share(&hilum, &eve, &json!({ "studies": ["1.2.99"] }))).0, 404);
    // A role that may not take files gives none away.
    assert_eq!(code(share(&hilum, &eve, &json!({ "studies": [CT], "download": true }))).0, 403);
    let answer = share(&hilum, &eve, &json!({ "studies": [CT], "deidentified": true }));
    assert_eq!(code(answer), (StatusCode::CONFLICT, json!("not-deidentified")));
    for wrong in [
        json!({}),
        json!({ "studies": [] }),
        json!({ "studies": ["x"] }),
        json!({ "studies": [CT], "hours": 0 }),
        json!({ "studies": [CT], "hours": 24 * 365 }),
        json!({ "studies": [CT], "expires": "2020-01-01T00:00:00Z" }),
        json!({ "studies": [CT], "uses": 0 }),
        json!({ "studies": [CT], "password": "short" }),
        json!({ "studies": [CT], "label": "a\nb" }),
        json!({ "studies": [CT], "passwort": "blue heron" }),
    ] {
        assert_eq!(share(&hilum, &eve, &wrong).status(), 400, "{wrong}");
    }
    // A link is never more than who gave it has now.
    let base =
        opened(&made(&hilum, &eve, &json!({ "studies": [CT] })))["dicomweb"].as_str().unwrap().to_owned();
    assert_eq!(json_of(get(&format!("{base}/studies/count")))["count"], 1);
    let auth = Authentication::open(hilum.data(), &hilum::config::Config::default().auth).unwrap();
    auth.set_roles("eve", vec!["viewer".into()]).unwrap();
    let over = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        get(&format!("{base}/studies/count")).status() == 403
    });
    assert!(over, "who may not share any more goes on sharing");
    // Links are kept over a restart; what was opened is not.
    let cleo = token(&hilum, "cleo", &[]);
    let link = made(&hilum, &cleo, &json!({ "studies": [MR] }));
    let old = opened(&link)["pass"].as_str().unwrap().to_owned();
    let root = hilum.root.clone();
    let hilum = hilum.restart();
    assert_eq!(with_token(&hilum, "/dicomweb/studies", &old).status(), 404);
    let url = link["url"].as_str().unwrap().replace(&root, &hilum.root);
    assert_eq!(open(&url, None).status(), 200);
}

#[test]
fn links_are_on_the_record_and_their_secrets_are_not() {
    let hilum = server();
    let (cleo, root) = (token(&hilum, "cleo", &[]), token(&hilum, "root", &[]));
    let link = made(&hilum, &cleo, &json!({ "studies": [CT] }));
    let pass = opened(&link);
    let base = pass["dicomweb"].as_str().unwrap();
    assert_eq!(get(&format!("{base}/studies/{CT}/metadata")).status(), 200);
    assert_eq!(get(&format!("{base}/studies/{CT}")).status(), 403);
    let secret = link["url"].as_str().unwrap().rsplit('.').next().unwrap();
    let records = with_token(&hilum, "/audit", &root).text().unwrap();
    assert!(
        !records.contains(secret) && !records.contains(&pass["pass"].as_str().unwrap()[6..]),
        "{records}"
    );
    let of = |query: &str| json_of(with_token(&hilum, &format!("/audit?{query}"), &root))["records"].clone();
    let made = of("event=object-security-changed");
    assert_eq!(made[0]["actor"]["id"], "cleo", "{made}");
    assert_eq!((&made[0]["patient"]["id"], &made[0]["studies"][0]["uid"]), (&json!("P1"), &json!(CT)));
    let who = format!("link {}", link["id"].as_str().unwrap());
    let uses = of(&format!("user={}", who.replace(' ', "+")));
    let events: Vec<_> = uses.as_array().unwrap().iter().map(|record| record["event"].clone()).collect();
    assert_eq!(events, [json!("restricted-function"), json!("view"), json!("login")], "{uses}");
}

/// Passes of links and sessions of people share one number of places. Who had a
/// link opened it until everybody else was logged out.
#[test]
fn a_link_that_is_opened_over_and_over_logs_nobody_out() {
    let hilum = server_with(|config| config.auth.sessions_max = 4);
    let link = made(&hilum, &token(&hilum, "cleo", &[]), &json!({ "studies": [CT] }));
    let other = made(&hilum, &token(&hilum, "cleo", &[]), &json!({ "studies": [CT] }));
    let cookie = cookie_of(&log_in(&hilum, "bob", PASSWORD));
    let other = opened(&other)["dicomweb"].as_str().unwrap().to_owned();
    let mut last = String::new();
    for _ in 0..10 {
        last = opened(&link)["dicomweb"].as_str().unwrap().to_owned();
    }
    assert_eq!(with_cookie(&hilum, "/auth/session", &cookie).status(), 200);
    assert_eq!(get(&format!("{other}/studies")).status(), 200);
    assert_eq!(get(&format!("{last}/studies")).status(), 200);
}

/// One more link than is kept was on the record as made.
#[test]
fn a_link_that_is_not_made_is_not_on_the_record() {
    let hilum = server_with(|config| config.shares.count_max = 1);
    let (cleo, root) = (token(&hilum, "cleo", &[]), token(&hilum, "root", &[]));
    made(&hilum, &cleo, &json!({ "studies": [CT] }));
    assert_eq!(code(share(&hilum, &cleo, &json!({ "studies": [CT] }))).1, "too-many-links");
    let told = json_of(with_token(&hilum, "/audit?event=object-security-changed", &root));
    assert_eq!(told["records"].as_array().unwrap().len(), 1, "{told}");
}

/// The link leads to a copy, which is all that is seen by it, and by a researcher.
#[test]
fn a_deidentified_link_is_to_copies() {
    let hilum = server();
    let (cleo, root) = (token(&hilum, "cleo", &[]), token(&hilum, "root", &[]));
    let link = made(&hilum, &cleo, &json!({ "studies": [CT, MR], "deidentified": true }));
    let copies = link["copies"].as_array().unwrap();
    let originals: Vec<&Value> = copies.iter().map(|copy| &copy["study"]).collect();
    assert_eq!(originals, [CT, MR]);
    let uids: Vec<&str> = copies.iter().map(|copy| copy["deidentified"].as_str().unwrap()).collect();
    assert_eq!(link["studies"], json!(uids));
    assert_eq!(copies[0]["stored"], 1, "{link}");
    let pass = opened(&link);
    let base = pass["dicomweb"].as_str().unwrap().to_owned();
    let in_path = |path: &str| get(&format!("{base}{}", path.strip_prefix("/dicomweb").unwrap()));
    let sees_copies = |ask: &dyn Fn(&str) -> Response| {
        let found = json_of(ask("/dicomweb/studies"));
        let found =
            found.as_array().unwrap().iter().map(|study| study["0020000D"]["Value"][0].as_str().unwrap());
        let mut found: Vec<String> = found.map(str::to_owned).collect();
        let mut expected = uids.clone();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(json_of(ask("/dicomweb/patients/count"))["count"], expected.len());
        assert_eq!(json_of(ask("/dicomweb/studies/count?q=findings"))["count"], 0, "of the originals");
        assert_eq!(ask(&format!("/dicomweb/studies/{MR}/metadata")).status(), 404);
    };
    sees_copies(&in_path);
    assert_eq!(get(&format!("{base}/studies/{CT}/metadata")).status(), 404);
    let seen = get(&format!("{base}/studies/{}/metadata", uids[0])).text().unwrap();
    assert!(!seen.contains(CT) && !seen.contains("\"P1\"") && seen.contains("ANON-"), "{seen}");
    assert!(!pass.to_string().contains(CT), "what is opened does not say what it stands for: {pass}");
    let rita = token(&hilum, "rita", &[]);
    sees_copies(&|path| with_token(&hilum, path, &rita));
    // A copy may be shared like any study that is de-identified, and again it is the same.
    let again = made(&hilum, &cleo, &json!({ "studies": [uids[0], MR], "deidentified": true }));
    assert_eq!(again["copies"][0]["already_there"], 1);
    let mut both: Vec<&str> = again["studies"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    both.sort_unstable();
    let mut expected = uids.clone();
    expected.sort_unstable();
    assert_eq!(both, expected);
    assert_eq!(json_of(with_token(&hilum, "/shares", &cleo))[0]["copies"], Value::Null, "told once");
    // Who may not have copies made is told so, and nothing is made.
    let refused = client()
        .post(format!("{}/studies/{CT}/deidentified", hilum.base))
        .bearer_auth(token(&hilum, "bob", &[]))
        .send()
        .unwrap();
    assert_eq!(refused.status(), 403);
    // On the record are the original with its patient, and the copy with its pseudonym.
    let records = json_of(with_token(&hilum, "/audit?event=deidentify", &root))["records"].clone();
    let text = records.to_string();
    assert!(text.contains(CT) && uids.iter().all(|uid| text.contains(uid)), "{records}");
    let of = |study: &str| {
        let all = records.as_array().unwrap();
        all.iter()
            .find(|record| record["studies"][0]["uid"] == study && record["action"] != "D")
            .cloned()
            .unwrap()
    };
    assert_eq!(of(CT)["patient"]["id"], "P1");
    assert_eq!(of(CT)["actor"]["id"], "cleo");
    assert!(of(uids[0])["patient"]["id"].as_str().unwrap().starts_with("ANON-"));
    let of_patient = json_of(with_token(&hilum, "/audit?event=deidentify&patient=P1", &root)).to_string();
    assert!(of_patient.contains(CT) && !of_patient.contains(uids[0]), "{of_patient}");
}
