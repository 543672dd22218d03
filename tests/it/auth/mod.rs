//! Who asks: accounts, sessions and personal tokens, tokens of issuers, TLS; and
//! those who try to be somebody else.

mod accounts;
mod import;
mod issuer;
mod rights;
mod sessions;
mod shares;
mod strangers;
mod tls;

use hilum::{auth::Authentication, config::Config};
use reqwest::{
    blocking::{Client, Response},
    redirect::Policy,
};
use serde_json::Value;

use crate::harness::{Hilum, json_of};

const PASSWORD: &str = "correct horse battery";

/// A server with authentication on, and an account `ada`.
fn server() -> Hilum {
    server_with(|_| {})
}

fn server_with(change: impl FnOnce(&mut Config)) -> Hilum {
    Hilum::with(|config| {
        config.auth.enabled = true;
        change(config);
        add(config, "ada", &["administrator", "viewer"]);
    })
}

fn add(config: &Config, name: &str, roles: &[&str]) {
    let auth = Authentication::open(&config.data, &config.auth).expect("the accounts");
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    auth.add_account(name, None, PASSWORD, roles, Vec::new()).expect("an account");
}

/// A client that follows no redirect.
fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().expect("a client")
}

fn log_in(hilum: &Hilum, name: &str, password: &str) -> Response {
    let body = format!("name={name}&password={}", password.replace(' ', "+"));
    form(hilum, body)
}

fn form(hilum: &Hilum, body: String) -> Response {
    client()
        .post(format!("{}/auth/login", hilum.root))
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .expect("an answer")
}

/// The cookie of a new session, as a client sends it.
fn session(hilum: &Hilum) -> String {
    let answer = log_in(hilum, "ada", PASSWORD);
    assert_eq!(answer.status(), 303);
    cookie_of(&answer)
}

fn cookie_of(answer: &Response) -> String {
    let cookie = answer.headers()["set-cookie"].to_str().expect("text");
    cookie.split(';').next().expect("a pair").to_owned()
}

fn with_cookie(hilum: &Hilum, path: &str, cookie: &str) -> Response {
    client().get(format!("{}{path}", hilum.root)).header("Cookie", cookie).send().expect("an answer")
}

fn with_token(hilum: &Hilum, path: &str, token: &str) -> Response {
    client().get(format!("{}{path}", hilum.root)).bearer_auth(token).send().expect("an answer")
}

/// The refusal, which says how to get in.
fn refused(answer: Response) -> Value {
    assert_eq!(answer.status(), 401);
    assert!(answer.headers()["www-authenticate"].to_str().is_ok_and(|value| value.starts_with("Bearer ")));
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    json_of(answer)
}

#[test]
fn nothing_but_the_front_door_is_open() {
    let hilum = server();
    let get = |path: &str| client().get(format!("{}{path}", hilum.root)).send().expect("an answer");
    for path in [
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/conformance",
        "/dicomweb",
        "/docs/index.html",
        "/auth/login",
    ] {
        assert_eq!(get(path).status(), 200, "{path}");
    }
    for path in [
        "/dicomweb/studies",
        "/dicomweb/studies/1.2/thumbnail",
        "/metrics",
        "/uploads",
        "/wado",
        "/auth/session",
        "/auth/tokens",
        "/nonsense",
        "//dicomweb/studies",
        "/dicomweb/studies/",
    ] {
        // The client would tidy the path up.
        assert_eq!(raw(&hilum, "GET", path, ""), 401, "{path}");
    }
    for path in ["/docs/../dicomweb/studies", "/docs/%2e%2e/metrics", "/auth/login/../../dicomweb/studies"] {
        assert!([401, 404].contains(&raw(&hilum, "GET", path, "")), "{path}");
    }
    for method in ["POST", "DELETE", "PUT", "HEAD", "PATCH"] {
        assert_eq!(raw(&hilum, method, "/dicomweb/studies/1.2", ""), 401, "{method}");
    }
    assert_eq!(refused(get("/dicomweb/studies"))["code"], "not-authenticated");
    let open = server_with(|config| config.auth.metrics_open = true);
    assert_eq!(raw(&open, "GET", "/metrics", ""), 200);
}

/// The status of a request that is sent byte for byte.
fn raw(hilum: &Hilum, method: &str, path: &str, headers: &str) -> u16 {
    use std::io::{Read, Write};
    let address = hilum.root.strip_prefix("http://").expect("http");
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[test]
fn a_preflight_needs_no_credentials() {
    let hilum = server_with(|config| config.cors.origins = vec!["https://viewer.example".to_owned()]);
    let preflight = "Origin: https://viewer.example\r\nAccess-Control-Request-Method: GET\r\n\
                     Access-Control-Request-Headers: authorization\r\n";
    assert_eq!(raw(&hilum, "OPTIONS", "/dicomweb/studies", preflight), 200);
    assert_eq!(raw(&hilum, "GET", "/dicomweb/studies", preflight), 401, "no way around");
}

#[test]
fn a_browser_is_led_to_the_login_without_what_it_searched_for() {
    let hilum = server();
    let answer = client()
        .get(format!("{}/studies?PatientName=DOE*", hilum.base))
        .header("Sec-Fetch-Mode", "navigate")
        .header("Sec-Fetch-Dest", "document")
        .send()
        .expect("an answer");
    assert_eq!(answer.status(), 303);
    assert_eq!(answer.headers()["location"], format!("{}/auth/login?next=/dicomweb/studies", hilum.root));
}

#[test]
fn what_one_may_see_is_in_no_shared_cache() {
    let hilum = server();
    let answer = with_cookie(&hilum, "/dicomweb/studies", &session(&hilum));
    assert_eq!(answer.status(), 200);
    let vary = answer.headers()["vary"].to_str().expect("text").to_owned();
    assert!(vary.contains("Authorization") && vary.contains("Cookie") && vary.contains("Accept"), "{vary}");
    let control = answer.headers()["cache-control"].to_str().expect("text");
    assert!(control.contains("private") || control.contains("no-"), "{control}");
}
