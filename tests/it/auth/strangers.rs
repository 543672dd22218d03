//! Those who have not said who they are, or not so that it counts: what they do
//! costs them as much as others, and leaves no more in the log than it must.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use hilum::config::{Config, Tenant};
use reqwest::blocking::RequestBuilder;
use serde_json::Value;

use super::{add, client, form, log_in, rights::token, session, with_cookie, with_token};
use crate::harness::{Hilum, json_of, until};

fn server(change: impl FnOnce(&mut Config)) -> Hilum {
    Hilum::with(|config| {
        config.auth.enabled = true;
        change(config);
        add(config, "ada", &["administrator"]);
        add(config, "cleo", &["clinician"]);
    })
}

fn records(hilum: &Hilum, token: &str, query: &str) -> Vec<Value> {
    let found = json_of(with_token(hilum, &format!("/audit?limit=1000{query}"), token));
    found["records"].as_array().unwrap().clone()
}

/// Each answer 401 of an address is put together with those before it, but what
/// authentication told of it besides was a record for each request, and so were
/// tenants that nobody has, links that nobody made and forms of other origins:
/// anybody on the network could fill the disk.
#[test]
fn what_strangers_do_does_not_fill_the_log() {
    const TIMES: u64 = 20;
    let hilum = server(|config| {
        config.auth.failures_max = 1;
        config.audit.interval_seconds = 2;
        config.tenants.insert("north".into(), Tenant::default());
        config.trusted_proxies = vec!["127.0.0.1".to_owned().try_into().unwrap()];
    });
    let ada = token(&hilum, "ada", &[]);
    let get = |path: String| client().get(format!("{}{path}", hilum.root));
    let from_elsewhere = |_| {
        let post =
            client().post(format!("{}/auth/login", hilum.root)).header("Origin", "https://evil.example");
        post.header("Content-Type", "application/x-www-form-urlencoded").body("name=ada&password=x")
    };
    // From here on it is locked.
    assert_eq!(log_in(&hilum, "cleo", "wrong").status(), 401);
    let locked = |_| {
        let post = client().post(format!("{}/auth/login", hilum.root));
        post.header("Content-Type", "application/x-www-form-urlencoded").body("name=cleo&password=x")
    };
    type Ask<'a> = (&'a str, u16, Box<dyn Fn(u64) -> RequestBuilder + 'a>);
    let kinds: Vec<Ask<'_>> = vec![
        ("token", 401, Box::new(|n| get("/dicomweb/studies".into()).bearer_auth(n))),
        ("study", 401, Box::new(|n| get(format!("/dicomweb/studies/1.2.{n}")))),
        (
            "address",
            401,
            Box::new(|n| get("/dicomweb/studies".into()).header("X-Forwarded-For", format!("2001:db8::{n}"))),
        ),
        ("tenant", 401, Box::new(|n| get(format!("/t{n}/dicomweb/studies")))),
        ("link", 404, Box::new(|n| get(format!("/shared/0{n}.x")))),
        ("pass", 404, Box::new(|n| get(format!("/shared/share_{n}/dicomweb/studies?PatientID={n}")))),
        ("callback", 401, Box::new(|n| get(format!("/auth/callback?code={n}")))),
        ("origin", 403, Box::new(from_elsewhere)),
        ("locked", 429, Box::new(locked)),
    ];
    for (kind, status, ask) in &kinds {
        let before = records(&hilum, &ada, "")[0]["number"].as_u64().unwrap();
        for number in 0..TIMES {
            assert_eq!(ask(number).send().unwrap().status(), *status, "{kind}");
        }
        let last = records(&hilum, &ada, "")[0]["number"].as_u64().unwrap();
        assert!(last - before < TIMES / 2, "{kind}: {} records", last - before);
    }
    // How often is not lost, nor who was meant.
    let count = || {
        let all = records(&hilum, &ada, "&event=access-refused");
        let tokens = all.iter().filter(|record| record["reason"] == "credential-refused: malformed token");
        tokens.map(|record| record["requests"].as_u64().unwrap_or(1)).sum::<u64>()
    };
    until("all of them are told", || count() == TIMES);
    let logins = records(&hilum, &ada, "&event=login&outcome=minor-failure");
    let of = |reason: &str| logins.iter().find(|record| record["reason"] == reason).cloned().unwrap();
    assert_eq!(of("login-failed: wrong password")["actor"]["id"], "cleo");
    let locked = of("login-failed: locked for a while");
    assert_eq!((&locked["actor"]["id"], &locked["object"]["id"]), (&"anonymous".into(), &"cleo".into()));
}

/// What was refused for its credentials never came to where callers are counted,
/// so that who had none could ask without end.
#[test]
fn who_is_refused_is_counted_too() {
    for credential in [None, Some("Bearer of.no.thing"), Some("Basic YTpi")] {
        let hilum = server(|config| {
            config.limits.caller_requests_per_second_max = 1;
            config.limits.caller_requests_burst_max = 5;
        });
        let ask = || {
            let request = client().get(format!("{}/dicomweb/studies", hilum.root));
            let request =
                credential.into_iter().fold(request, |asked, value| asked.header("Authorization", value));
            request.send().unwrap().status().as_u16()
        };
        let statuses: Vec<u16> = (0..30).map(|_| ask()).collect();
        assert_eq!(statuses[..5], [401; 5], "{credential:?}");
        assert!(statuses.contains(&429), "{credential:?}: {statuses:?}");
        assert_eq!(client().get(format!("{}/healthz", hilum.root)).send().unwrap().status(), 200);
    }
}

/// A form of which a few bytes came was waited for as long as its connection
/// stood, without credentials.
#[test]
fn a_form_that_does_not_come_is_408() {
    let hilum = server(|config| config.limits.body_silent_seconds_max = 1);
    let token = token(&hilum, "ada", &[]);
    let cookie = session(&hilum);
    let host = hilum.root.strip_prefix("http://").unwrap();
    let form = "application/x-www-form-urlencoded";
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let browser = format!("Cookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\n");
    let asked = [
        ("/auth/login", form, ""),
        ("/shared/00.x", form, ""),
        ("/shares", "application/json", &bearer),
        ("/dicomweb/studies/1.2/deidentified", "application/json", &bearer),
        ("/auth/password", "application/json", &browser),
        ("/auth/tokens", "application/json", &browser),
    ];
    for (path, media, headers) in asked {
        let mut line = TcpStream::connect(host).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media}\r\n{headers}");
        line.write_all(format!("{head}Content-Length: 100\r\n\r\n{{\"na").as_bytes()).unwrap();
        line.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut answer = [0; 12];
        line.read_exact(&mut answer).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408", "{path}");
    }
}

/// What a page of another origin may send without being asked whether it may is
/// no JSON.
#[test]
fn small_bodies_are_of_their_type() {
    let hilum = server(|_| {});
    let cookie = session(&hilum);
    let post = |path: &str, media: &str, body: &str| {
        let request = client().post(format!("{}{path}", hilum.root)).header("Content-Type", media);
        let request = request.header("Cookie", &cookie).header("Sec-Fetch-Site", "same-origin");
        request.body(body.to_owned()).send().unwrap().status().as_u16()
    };
    let label = "{\"label\":\"mine\"}";
    for media in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"] {
        assert_eq!(post("/auth/tokens", media, label), 400, "{media}");
    }
    assert_eq!(post("/auth/tokens", "Application/JSON; charset=utf-8", label), 201);
    assert_eq!(post("/auth/tokens", "application/json", &format!("{label}{}", " ".repeat(3 << 20))), 413);
    assert_eq!(post("/auth/tokens", "application/json", "{\"label\":"), 400);
    assert_eq!(post("/auth/login", "application/json", label), 400);
    assert_eq!(form(&hilum, "name=ada&password=%FF".into()).status(), 401);
    assert_eq!(form(&hilum, "name=ada".into()).status(), 400);
    assert_eq!(form(&hilum, format!("name=ada&password={}", "x".repeat(20_000))).status(), 413);
    assert_eq!(with_cookie(&hilum, "/auth/session", &cookie).status(), 200);
}
