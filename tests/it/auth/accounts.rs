//! Local accounts and their personal tokens.

use std::time::{Duration, Instant};

use hilum::auth::{Authentication, NewToken};

use super::{PASSWORD, log_in, refused, server, server_with, session, with_cookie, with_token};
use crate::harness::{Hilum, json_of};

fn accounts(hilum: &Hilum) -> Authentication {
    let mut config = hilum::config::Config::default().auth;
    config.enabled = true;
    Authentication::open(hilum.data(), &config).expect("the accounts")
}

fn token(hilum: &Hilum, new: NewToken) -> (String, String) {
    let (token, text) = accounts(hilum).add_token("ada", new).expect("a token");
    // The server looks each second.
    let started = Instant::now();
    while with_token(hilum, "/auth/session", &text).status() != 200 && started.elapsed().as_secs() < 10 {
        std::thread::sleep(Duration::from_millis(100));
    }
    (token.id, text)
}

fn label(label: &str) -> NewToken {
    NewToken { label: label.to_owned(), ..NewToken::default() }
}

#[test]
fn a_wrong_password_an_unknown_name_and_a_disabled_account_look_the_same() {
    let hilum = server_with(|config| super::add(config, "bob", &["viewer"]));
    accounts(&hilum).set_disabled("bob", true).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let mut pages = Vec::new();
    for (name, password) in [("ada", "wrong"), ("nobody", "wrong"), ("bob", PASSWORD), ("operator", "wrong")]
    {
        let answer = log_in(&hilum, name, password);
        assert_eq!(answer.status(), 401, "{name}");
        assert!(!answer.headers().contains_key("set-cookie"));
        let page = answer.text().unwrap().replace(&format!("value=\"{name}\""), "value=\"NAME\"");
        // But for the nonce of its style.
        let parts: Vec<&str> = page.split("nonce=\"").collect();
        pages.push(format!("{}{}", parts[0], &parts[1][22..]));
    }
    assert!(pages.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(log_in(&hilum, "ADA", PASSWORD).status(), 303, "case does not matter");
}

#[test]
fn guessing_is_stopped_whether_or_not_there_is_such_an_account() {
    let hilum = server_with(|config| config.auth.failures_max = 4);
    for name in ["ada", "nobody"] {
        let (mut wrong, mut waited) = (0, false);
        let mut begun = Instant::now();
        loop {
            let before = std::mem::replace(&mut begun, Instant::now());
            let answer = log_in(&hilum, name, "wrong");
            if answer.status() == 401 {
                wrong += 1;
                // Who is so slow has waited, too.
                waited |= wrong == 4 && before.elapsed() >= Duration::from_secs(1);
                continue;
            }
            assert_eq!(answer.status(), 429);
            let seconds: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            if seconds > 60 {
                break;
            }
            waited = true;
            std::thread::sleep(Duration::from_secs(seconds));
        }
        assert!(wrong == 4 && waited, "{name}: {wrong}");
    }
    let answer = log_in(&hilum, "ada", PASSWORD);
    assert_eq!(answer.status(), 429, "the right one has to wait too");
    assert!(answer.headers().contains_key("retry-after"));
}

#[test]
fn tokens_are_shown_once_and_kept_as_digests() {
    let hilum = server();
    let (id, text) = token(&hilum, NewToken { roles: vec!["viewer".to_owned()], ..label("export") });
    assert!(text.starts_with("hilum_"));
    let whoami = json_of(with_token(&hilum, "/auth/session", &text));
    assert_eq!((&whoami["subject"], &whoami["method"]), (&"ada".into(), &"api-token".into()));
    assert_eq!(whoami["roles"], serde_json::json!(["viewer"]));
    assert!(whoami["csrf_token"].is_null());
    let file = std::fs::read_to_string(hilum.data().join("accounts/ada.json")).unwrap();
    let secret = text.rsplit_once(&format!("{id}_")).unwrap().1;
    assert!(!file.contains(secret) && !file.contains(PASSWORD), "{file}");
    assert_eq!(with_token(&hilum, "/dicomweb/studies", &text).status(), 200);

    for wrong in [
        text.replace(secret, &secret.to_lowercase()),
        text[..text.len() - 1].to_owned(),
        format!("hilum_{id}_"),
        "hilum_".to_owned(),
        "hilum_x_y".to_owned(),
        String::new(),
        "x".repeat(100_000),
    ] {
        let answer = with_token(&hilum, "/dicomweb/studies", &wrong);
        assert!([401, 400, 431].contains(&answer.status().as_u16()), "{} {}", answer.status(), wrong.len());
    }
    accounts(&hilum).revoke_token("ada", &id).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(refused(with_token(&hilum, "/dicomweb/studies", &text))["code"], "invalid-credentials");
}

#[test]
fn a_token_cannot_be_more_than_its_account_nor_last_for_ever() {
    let hilum = server();
    let accounts = accounts(&hilum);
    let error = |new: NewToken| accounts.add_token("ada", new).unwrap_err().to_string();
    assert!(error(NewToken { roles: vec!["auditor".to_owned()], ..label("x") }).contains("auditor"));
    assert!(error(NewToken { days: Some(0), ..label("x") }).contains("1 to 366 days"));
    assert!(error(NewToken { days: Some(367), ..label("x") }).contains("1 to 366 days"));
    assert!(error(label("")).contains("label"));
    // What the account loses, the token loses.
    let (_, text) = token(&hilum, label("all"));
    accounts.set_roles("ada", vec!["viewer".to_owned()]).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let whoami = json_of(with_token(&hilum, "/auth/session", &text));
    assert_eq!(whoami["roles"], serde_json::json!(["viewer"]));
}

#[test]
fn iop_29_a_token_in_the_query_counts_only_where_that_is_allowed() {
    let closed = server();
    let (_, text) = token(&closed, label("images"));
    let get =
        |hilum: &Hilum, path: &str| super::client().get(format!("{}{path}", hilum.root)).send().unwrap();
    assert!(
        refused(get(&closed, &format!("/dicomweb/studies?access_token={text}")))["detail"]
            .as_str()
            .unwrap()
            .contains("query_token")
    );
    let open = server_with(|config| config.auth.query_token = true);
    let (_, text) = token(&open, label("images"));
    open.client
        .post(format!("{}/studies", open.base))
        .bearer_auth(&text)
        .header("Content-Type", "application/dicom")
        .body(crate::harness::fixture("CT_small.dcm"))
        .send()
        .unwrap();
    let answer = get(&open, &format!("/dicomweb/studies?limit=1&access_token={text}&PatientID=*"));
    assert!(answer.status().is_success());
    let headers = format!("{:?}", answer.headers());
    let body = answer.text().unwrap();
    assert!(!headers.contains(&text) && !body.contains(&text), "it is repeated nowhere");
    assert_eq!(refused(get(&open, "/dicomweb/studies?access_token=x"))["code"], "invalid-credentials");
}

#[test]
fn a_session_makes_lists_and_revokes_tokens_and_a_token_does_not() {
    let hilum = server();
    let cookie = session(&hilum);
    let url = format!("{}/auth/tokens", hilum.root);
    let post = |body: &str| {
        let request =
            super::client().post(&url).header("Cookie", &cookie).header("Sec-Fetch-Site", "same-origin");
        request.header("Content-Type", "application/json").body(body.to_owned()).send().unwrap()
    };
    let made = post("{\"label\":\"x\",\"days\":1}");
    assert_eq!(made.status(), 201);
    let made = json_of(made);
    let text = made["token"].as_str().unwrap();
    let listed = json_of(with_cookie(&hilum, "/auth/tokens", &cookie));
    assert_eq!(listed[0]["id"], made["id"]);
    assert!(listed[0]["token"].is_null() && listed[0]["last_used"].is_null());
    assert_eq!(with_token(&hilum, "/auth/tokens", text).status(), 403);
    let listed = json_of(with_cookie(&hilum, "/auth/tokens", &cookie));
    assert!(listed[0]["last_used"].is_string(), "its use is noted");
    for wrong in [
        "",
        "{}",
        "{\"label\":\"x\",\"more\":1}",
        "{\"label\":\"x\",\"days\":9999}",
        "{\"label\":\"\\u0000\"}",
    ] {
        assert_eq!(post(wrong).status(), 400, "{wrong}");
    }
    let revoke = |id: &str| {
        let request = super::client().delete(format!("{url}/{id}")).header("Cookie", &cookie);
        request.header("Sec-Fetch-Site", "same-origin").send().unwrap().status()
    };
    assert_eq!(revoke("nonsense"), 404);
    assert_eq!(revoke(made["id"].as_str().unwrap()), 204);
    assert_eq!(with_token(&hilum, "/auth/session", text).status(), 401, "at once");
}

#[test]
fn the_commands_take_no_password_from_an_argument() {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };
    let folder = tempfile::TempDir::new().unwrap();
    let hilum = |arguments: &[&str], input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hilum"))
            .args(arguments)
            .args(["--data", folder.path().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = command.stdin.take().unwrap().write_all(input.as_bytes());
        let output = command.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let (succeeded, _, error) = hilum(&["user", "add", "eve", "--role", "viewer"], "short\n");
    assert!(!succeeded && error.contains("at least 12"), "{error}");
    assert!(hilum(&["user", "add", "eve", "--role", "viewer"], "correct horse battery\n").0);
    let (succeeded, _, error) = hilum(&["user", "add", "eve", "--role", "viewer"], "correct horse battery\n");
    assert!(!succeeded && error.contains("already"), "{error}");
    assert!(!hilum(&["user", "add", "../x", "--role", "viewer"], "correct horse battery\n").0);
    assert!(hilum(&["user", "roles", "eve", "auditor", "viewer"], "").0);
    assert!(hilum(&["user", "passwd", "eve"], "another horse battery\n").0);
    assert!(hilum(&["user", "disable", "eve"], "").0);
    assert_eq!(hilum(&["user", "list"], "").1, "eve  auditor,viewer  (disabled)\n");
    assert!(hilum(&["user", "enable", "eve"], "").0);
    let (succeeded, token, _) = hilum(&["token", "add", "eve", "--label", "x"], "");
    assert!(succeeded && token.starts_with("hilum_"), "{token}");
    let listed = hilum(&["token", "list"], "").1;
    let id = listed.split(' ').next().unwrap();
    assert!(token.contains(id) && hilum(&["token", "revoke", id], "").0);
    assert!(!hilum(&["token", "revoke", id], "").0 && !hilum(&["user", "enable", "bob"], "").0);
}
