//! What authentication proves takes effect in what is seen: two accounts with
//! two roles, by token and by session, and tokens of an issuer with roles and
//! with SMART scopes, each over HTTP from end to end.

use std::{collections::BTreeSet, io::Write, net::TcpStream};

use hilum::{
    auth::{Authentication, NewToken},
    config::Role,
};
use jsonwebtoken::Algorithm;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    PASSWORD, add, client, cookie_of,
    issuer::{Issuer, Key},
    log_in, with_cookie, with_token,
};
use crate::{
    harness::{Hilum, json_of, multipart},
    sample::Sample,
};

pub(super) const CT: &str = "1.2.5.1";
pub(super) const MR: &str = "1.2.5.2";

/// A server with a role of its own, and with accounts.
fn server(issuer: Option<&Issuer>) -> Hilum {
    Hilum::with(|config| {
        config.auth.enabled = true;
        config.auth.issuers = issuer.map(Issuer::config).into_iter().collect();
        for issuer in &mut config.auth.issuers {
            issuer.fhir_user_roles.insert("Practitioner".into(), "viewer".into());
        }
        let ct = Role {
            allow: vec!["search".into(), "view".into()],
            r#where: "Modality=CT".into(),
            deidentified: false,
            tenants: Vec::new(),
        };
        config.roles.insert("ct".into(), ct);
        add(config, "root", &["administrator"]);
        add(config, "bob", &["viewer"]);
        add(config, "eve", &["ct"]);
        add(config, "mia", &["uploader"]);
    })
}

pub(super) fn token(hilum: &Hilum, name: &str, scopes: &[&str]) -> String {
    let auth = Authentication::open(hilum.data(), &hilum::config::Config::default().auth).unwrap();
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let new = NewToken { label: "test".into(), scopes, ..NewToken::default() };
    let (_, token) = auth.add_token(name, new).unwrap();
    // As a command would: the running server looks once a second.
    for _ in 0..100 {
        if with_token(hilum, "/auth/session", &token).status() == 200 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    token
}

pub(super) fn store(hilum: &Hilum, token: &str, study: &str, modality: &str, patient: &str) -> Value {
    let file = Sample::new(study, &format!("{study}.1"), &format!("{study}.1.1"))
        .text(0x0008_0060, "CS", modality)
        .text(0x0010_0020, "LO", patient)
        .text(0x0010_4000, "LT", "findings")
        .pixels(4, 4, 1)
        .file();
    let answer = client()
        .post(format!("{}/studies", hilum.base))
        .bearer_auth(token)
        .header("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=XX")
        .body(multipart("XX", &[&file]))
        .send()
        .unwrap();
    json_of(answer)
}

/// A server with a CT of one patient and an MR of another.
fn filled(issuer: Option<&Issuer>) -> Hilum {
    let hilum = server(issuer);
    let root = token(&hilum, "root", &[]);
    store(&hilum, &root, CT, "CT", "P1");
    store(&hilum, &root, MR, "MR", "P2");
    hilum
}

fn studies(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|study| study["0020000D"]["Value"][0].as_str().unwrap()).collect()
}

/// What somebody sees: by a search, a count, full text, and by name.
pub(super) fn sees(ask: &dyn Fn(&str) -> reqwest::blocking::Response, expected: &[&str]) {
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    assert_eq!(studies(&json_of(ask("/dicomweb/studies"))), expected);
    assert_eq!(json_of(ask("/dicomweb/studies/count?q=findings"))["count"], expected.len());
    assert_eq!(json_of(ask("/dicomweb/patients/count"))["count"], expected.len());
    for study in [CT, MR] {
        let status = ask(&format!("/dicomweb/studies/{study}/metadata")).status();
        assert_eq!(status, if expected.contains(study) { 200 } else { 404 }, "{study}");
    }
}

#[test]
fn two_accounts_with_two_roles_see_what_is_theirs() {
    let hilum = filled(None);
    for (name, expected) in [("root", &[CT, MR][..]), ("bob", &[CT, MR]), ("eve", &[CT])] {
        let token = token(&hilum, name, &[]);
        sees(&|path| with_token(&hilum, path, &token), expected);
        let cookie = cookie_of(&log_in(&hilum, name, PASSWORD));
        sees(&|path| with_cookie(&hilum, path, &cookie), expected);
    }
    let (bob, root) = (token(&hilum, "bob", &[]), token(&hilum, "root", &[]));
    // A viewer takes no files home and brings none.
    assert_eq!(with_token(&hilum, &format!("/dicomweb/studies/{CT}"), &bob).status(), 403);
    assert_eq!(with_token(&hilum, &format!("/dicomweb/studies/{CT}"), &root).status(), 200);
    assert_eq!(store(&hilum, &bob, "1.2.5.3", "CT", "P1")["code"], "not-permitted");
    assert_eq!(with_token(&hilum, "/metrics", &bob).status(), 403);
    assert_eq!(with_token(&hilum, "/metrics", &root).status(), 200);
    // A token may be less than its account.
    let search = token(&hilum, "bob", &["search"]);
    assert_eq!(with_token(&hilum, "/dicomweb/studies", &search).status(), 200);
    assert_eq!(with_token(&hilum, &format!("/dicomweb/studies/{CT}/metadata"), &search).status(), 403);
    // Another role takes effect in a session that goes on.
    let cookie = cookie_of(&log_in(&hilum, "eve", PASSWORD));
    let auth = Authentication::open(hilum.data(), &hilum::config::Config::default().auth).unwrap();
    auth.set_roles("eve", vec!["auditor".into()]).unwrap();
    for _ in 0..100 {
        if with_cookie(&hilum, "/dicomweb/studies", &cookie).status() == 403 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("eve is an auditor only, and still searches");
}

#[test]
fn tokens_of_an_issuer_see_what_their_roles_and_scopes_say() {
    let issuer = Issuer::start();
    let key = Key::new("k", Algorithm::ES256);
    issuer.publish(&key);
    let hilum = filled(Some(&issuer));
    let with = |claims: &[(&str, Value)]| {
        let mut all = issuer.claims();
        all["roles"] = json!([]);
        for (name, value) in claims {
            all[*name] = value.clone();
        }
        key.sign(&all)
    };
    for (claims, expected) in [
        (vec![("roles", json!(["viewer"]))], &[CT, MR][..]),
        (vec![("roles", json!(["ct"]))], &[CT]),
        (vec![("scope", json!("openid patient/ImagingStudy.rs")), ("patient", json!("P2"))], &[MR]),
        (vec![("scope", json!("user/ImagingStudy.rs")), ("roles", json!(["ct"]))], &[CT]),
        (vec![("scope", json!("system/*.rs"))], &[CT, MR]),
        // A user who is a patient; a kind of user that has a role.
        (vec![("roles", json!(["viewer"])), ("fhirUser", json!("https://fhir/Patient/P2"))], &[MR]),
        (vec![("fhirUser", json!("Practitioner/7"))], &[CT, MR]),
        (vec![("scope", json!("patient/*.read")), ("patient", json!("Patient/P1"))], &[CT]),
    ] {
        let token = with(&claims);
        sees(&|path| with_token(&hilum, path, &token), expected);
    }
    for claims in [
        vec![],
        vec![("roles", json!(["no such role"]))],
        vec![("scope", json!("patient/ImagingStudy.rs"))],
        vec![("scope", json!("user/ImagingStudy.rs"))],
        vec![("scope", json!("patient/Observation.rs")), ("patient", json!("P1"))],
    ] {
        let status = with_token(&hilum, "/dicomweb/studies", &with(&claims)).status();
        assert_eq!(status, 403, "{claims:?}");
    }
    let uploads = with(&[("scope", json!("system/ImagingStudy.c"))]);
    assert!(store(&hilum, &uploads, "1.2.5.4", "CT", "P3")["00081199"]["Value"][0].is_object());
    assert_eq!(with_token(&hilum, "/dicomweb/studies", &uploads).status(), 403);
}

#[test]
fn an_app_is_told_where_it_gets_its_token() {
    let issuer = Issuer::start();
    let hilum = server(Some(&issuer));
    let place = format!("{}/.well-known/smart-configuration", hilum.root);
    let told = json_of(client().get(&place).send().unwrap());
    assert_eq!(told["issuer"], issuer.url);
    assert_eq!(told["token_endpoint"], format!("{}/token", issuer.url));
    assert_eq!(told["jwks_uri"], format!("{}/jwks", issuer.url));
    let has = |key: &str, value: &str| told[key].as_array().unwrap().contains(&value.into());
    assert!(
        has("scopes_supported", "patient/ImagingStudy.rs") && has("capabilities", "permission-v2"),
        "{told}"
    );
    assert!(
        has("code_challenge_methods_supported", "S256") && has("grant_types_supported", "authorization_code")
    );
    let without = server(None);
    let place = format!("{}/.well-known/smart-configuration", without.root);
    assert_eq!(client().get(place).send().unwrap().status(), 404);
}

/// Whose an upload is was asked after it was taken to be written to: while its
/// owner wrote to it, others were told that it is there, and for a moment took it.
#[test]
fn an_upload_of_another_is_not_there_while_it_is_written() {
    let hilum = server(None);
    let (root, mia) = (token(&hilum, "root", &[]), token(&hilum, "mia", &[]));
    let tus = |method: Method, url: &str, token: &str| {
        let request = client().request(method, url).bearer_auth(token).header("Tus-Resumable", "1.0.0");
        request.header("Upload-Offset", 0).header("Content-Type", "application/offset+octet-stream")
    };
    let uploads = format!("{}/uploads", hilum.root);
    let begun = tus(Method::POST, &uploads, &root).header("Upload-Length", 1000).send().unwrap();
    let url = begun.headers()["location"].to_str().unwrap().to_owned();
    let host = hilum.root.strip_prefix("http://").unwrap();
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {root}\r\nTus-Resumable: 1.0.0\r\n\
         Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 1000\r\n\r\nabc",
        url.strip_prefix(&hilum.root).unwrap()
    );
    let writing = (0..20).find_map(|_| {
        let mut line = TcpStream::connect(host).unwrap();
        line.write_all(head.as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        // Had the server not begun by now, this took the upload in its place.
        (tus(Method::PATCH, &url, &root).send().unwrap().status() == 423).then_some(line)
    });
    assert!(writing.is_some(), "its owner writes to it");
    let none = format!("{uploads}/{}", "0".repeat(32));
    for method in [Method::PATCH, Method::DELETE, Method::HEAD, Method::GET] {
        for url in [&url, &none] {
            assert_eq!(
                tus(method.clone(), url, &mia).body("x").send().unwrap().status(),
                404,
                "{method} {url}"
            );
        }
    }
}
