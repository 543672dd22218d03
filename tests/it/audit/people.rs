//! Who gets in and who does not, what is refused for want of a right, as a whole
//! and instance by instance, and what is done to accounts: all of it is in the log.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hilum::{
    auth::{Authentication, NewToken},
    config::{Config, Role},
};
use reqwest::{
    blocking::{Client, RequestBuilder, Response},
    redirect::Policy,
};
use serde_json::Value;

use super::file;
use crate::{
    harness::{Hilum, json_of, multipart},
    process::binary,
};

const PASSWORD: &str = "correct horse battery";

fn client() -> Client {
    Client::builder().redirect(Policy::none()).build().expect("a client")
}

/// An account and a token of it, made before the server starts.
fn account(config: &Config, name: &str, role: &str) -> String {
    let auth = Authentication::open(&config.data, &config.auth).expect("the accounts");
    auth.add_account(name, None, PASSWORD, vec![role.to_owned()], Vec::new()).expect("an account");
    let new = NewToken { label: "test".into(), ..NewToken::default() };
    auth.add_token(name, new).expect("a token").1
}

/// Asks the log as an auditor.
fn audit(hilum: &Hilum, token: &str, query: &str) -> Vec<Value> {
    let request = client().get(format!("{}/audit{query}", hilum.root)).bearer_auth(token);
    let response = request.send().expect("an answer");
    assert_eq!(response.status(), 200, "{query}");
    json_of(response)["records"].as_array().expect("a list").clone()
}

fn log_in(hilum: &Hilum, name: &str, password: &str) -> Response {
    let request = client().post(format!("{}/auth/login", hilum.root));
    let request = request.header("Content-Type", "application/x-www-form-urlencoded");
    request.body(format!("name={name}&password={}", password.replace(' ', "+"))).send().expect("an answer")
}

fn send(request: RequestBuilder) -> u16 {
    request.send().expect("an answer").status().as_u16()
}

#[test]
fn logins_refusals_and_changes_of_accounts_are_recorded() {
    let (mut ann, mut eve, mut kim) = (String::new(), String::new(), String::new());
    let hilum = Hilum::with(|config| {
        config.auth.enabled = true;
        let role = |allow: &[&str], filter: &str| Role {
            allow: allow.iter().map(|&name| name.to_owned()).collect(),
            r#where: filter.to_owned(),
            deidentified: false,
            tenants: Vec::new(),
        };
        config.roles.insert("mr".into(), role(&["store", "view"], "Modality=MR"));
        config.roles.insert("some".into(), role(&["audit"], "Modality=MR"));
        ann = account(config, "ann", "auditor");
        eve = account(config, "eve", "mr");
        kim = account(config, "kim", "some");
    });
    let one = |query: &str| {
        let found = audit(&hilum, &ann, query);
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        found[0].clone()
    };
    assert_eq!(log_in(&hilum, "eve", "wrong").status(), 401);
    assert_eq!(log_in(&hilum, "eve", PASSWORD).status(), 303);
    let failed = one("?event=login&outcome=minor-failure");
    assert_eq!((&failed["object"]["id"], &failed["actor"]["address"]), (&"eve".into(), &"127.0.0.1".into()));
    assert!(failed["reason"].as_str().is_some_and(|reason| reason.starts_with("login-failed: ")), "{failed}");
    assert_eq!(one("?event=login&outcome=success")["actor"]["id"], "eve");

    // Strangers are put together, or they could fill the disk.
    for study in 1..=5 {
        assert_eq!(send(client().get(format!("{}/studies/1.2.{study}", hilum.base))), 401);
    }
    // The failed login was an answer 401 as well.
    let refused = audit(&hilum, &ann, "?event=access-refused&user=anonymous");
    assert!(refused.len() <= 2 && !refused.is_empty(), "{refused:?}");
    assert_eq!(send(client().get(format!("{}/studies", hilum.base)).bearer_auth("hilum_no_such_token")), 401);
    let bad = audit(&hilum, &ann, "?event=access-refused");
    let is_told = |record: &Value| {
        record["reason"].as_str().is_some_and(|reason| reason.starts_with("credential-refused: "))
    };
    assert!(bad.iter().any(is_told), "{bad:?}");

    // A right that is lacking, and one that does not extend to this instance.
    assert_eq!(send(client().delete(format!("{}/studies/1.2.3", hilum.base)).bearer_auth(&eve)), 403);
    let restricted = one("?event=restricted-function&user=eve");
    assert_eq!(
        (&restricted["outcome"], &restricted["reason"]),
        (&"minor-failure".into(), &"not-permitted".into())
    );
    assert_eq!(restricted["object"]["id"], "/dicomweb/studies/1.2.3");
    let store = client().post(format!("{}/studies", hilum.base)).bearer_auth(&eve);
    let store = store.header("Content-Type", "multipart/related; type=\"application/dicom\"; boundary=XX");
    assert_eq!(send(store.body(multipart("XX", &[&file("1.2.3", "1.2.3.1.1", "P1")]))), 409);
    let refused = one("?event=store&user=eve");
    assert_eq!((&refused["outcome"], &refused["patient"]["id"]), (&"minor-failure".into(), &"P1".into()));
    assert_eq!(refused["reason"], "failure-reason 0124H", "{refused}");

    // The log is read as a whole, by who has the right to it.
    for (token, expected) in [(&eve, 403), (&kim, 403), (&ann, 200)] {
        assert_eq!(send(client().get(format!("{}/audit", hilum.root)).bearer_auth(token)), expected);
    }

    let mut command = Command::new(binary());
    command.args(["user", "add", "bob", "--role", "viewer", "--data"]).arg(hilum.data());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(b"correct horse battery\n").unwrap();
    assert!(child.wait().unwrap().success());
    // Besides what the command says, the server tells that it has seen the change.
    let until = Instant::now() + Duration::from_secs(30);
    let added = loop {
        let changes = audit(&hilum, &ann, "?event=user-changed");
        if let Some(added) = changes.into_iter().find(|record| record["action"] == "C") {
            break added;
        }
        assert!(Instant::now() < until, "what a command did comes into the log");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!((&added["actor"]["id"], &added["object"]["id"]), (&"operator".into(), &"bob".into()));
}
