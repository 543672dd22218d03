//! Sessions, and those who would like to use another's.

use super::{PASSWORD, client, cookie_of, form, log_in, server, server_with, session, with_cookie};
use crate::harness::{Hilum, json_of};

#[test]
fn a_session_begins_and_ends() {
    let hilum = server();
    let answer = log_in(&hilum, "ada", PASSWORD);
    assert_eq!(answer.headers()["location"], format!("{}/docs/index.html", hilum.root));
    let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(set.contains(attribute), "{set}");
    }
    let cookie = cookie_of(&answer);
    let whoami = json_of(with_cookie(&hilum, "/auth/session", &cookie));
    assert_eq!(whoami["subject"], "ada");
    assert_eq!(post(&hilum, "/auth/logout", &cookie, &[("Sec-Fetch-Site", "same-origin")]), 204);
    assert_eq!(with_cookie(&hilum, "/auth/session", &cookie).status(), 401);
}

fn post(hilum: &Hilum, path: &str, cookie: &str, headers: &[(&str, &str)]) -> u16 {
    let request = client().post(format!("{}{path}", hilum.root)).header("Cookie", cookie);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().unwrap().status().as_u16()
}

#[test]
fn a_cookie_that_was_tampered_with_is_none() {
    let hilum = server();
    let cookie = session(&hilum);
    for wrong in [
        cookie[..cookie.len() - 1].to_owned(),
        format!("{cookie}x"),
        "hilum=".to_owned(),
        "hilum=ada".to_owned(),
        // Somebody has put one of their own beside it.
        format!("{cookie}; hilum=other"),
        cookie.replace("hilum=", "__Host-hilum="),
    ] {
        assert_eq!(with_cookie(&hilum, "/auth/session", &wrong).status(), 401, "{wrong}");
        assert_eq!(with_cookie(&hilum, "/auth/login", &wrong).status(), 200, "the way in stays open");
    }
}

/// CSRF: a page of another origin makes the browser send the cookie along.
#[test]
fn another_origin_changes_nothing_by_a_session() {
    let hilum = server();
    let cookie = session(&hilum);
    let csrf =
        json_of(with_cookie(&hilum, "/auth/session", &cookie))["csrf_token"].as_str().unwrap().to_owned();
    let store = |headers: &[(&str, &str)]| post(&hilum, "/dicomweb/studies", &cookie, headers);
    for (headers, is_own) in [
        (vec![("Sec-Fetch-Site", "cross-site")], false),
        (vec![("Sec-Fetch-Site", "same-site")], false),
        (vec![("Sec-Fetch-Site", "cross-site"), ("X-CSRF-Token", csrf.as_str())], false),
        (vec![("Origin", "https://evil.example")], false),
        (vec![("Origin", "null")], false),
        (vec![("Origin", "https://evil.example"), ("X-CSRF-Token", csrf.as_str())], false),
        (vec![], false),
        (vec![("X-CSRF-Token", "guessed")], false),
        (vec![("X-CSRF-Token", csrf.as_str())], true),
        (vec![("Sec-Fetch-Site", "same-origin")], true),
        (vec![("Origin", hilum.root.as_str())], true),
    ] {
        let status = store(&headers);
        assert_eq!(status != 403, is_own, "{headers:?}: {status}");
    }
    let shorter = &hilum.root[..hilum.root.len() - 1];
    assert_eq!(store(&[("Origin", shorter)]), 403, "the beginning of our origin is another");
}

/// Login CSRF: a visitor is logged in to the account of an attacker.
#[test]
fn another_origin_logs_nobody_in() {
    let hilum = server();
    let answer = client()
        .post(format!("{}/auth/login", hilum.root))
        .header("Origin", "https://evil.example")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("name=ada&password={PASSWORD}"))
        .send()
        .unwrap();
    assert_eq!(answer.status(), 403);
    assert!(!answer.headers().contains_key("set-cookie"));
}

/// Session fixation: a session that somebody knows is not the one after a login.
#[test]
fn a_login_begins_a_session_that_nobody_knew() {
    let hilum = server();
    let before = session(&hilum);
    let answer = client()
        .post(format!("{}/auth/login", hilum.root))
        .header("Cookie", &before)
        .header("Sec-Fetch-Site", "same-origin")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("name=ada&password={}", PASSWORD.replace(' ', "+")))
        .send()
        .unwrap();
    assert_ne!(cookie_of(&answer), before);
    assert_eq!(with_cookie(&hilum, "/auth/session", &before).status(), 401);
}

#[test]
fn a_login_leads_to_a_path_of_this_server_only() {
    let hilum = server();
    let to = |next: &str| {
        let password = PASSWORD.replace(' ', "+");
        let answer = form(&hilum, format!("name=ada&password={password}&next={next}"));
        answer.headers()["location"].to_str().unwrap().to_owned()
    };
    assert_eq!(to("%2Fdicomweb%2Fstudies"), format!("{}/dicomweb/studies", hilum.root));
    for next in [
        "https%3A%2F%2Fevil.example",
        "%2F%2Fevil.example",
        "%2F%5Cevil.example",
        "%2Fa%0D%0ASet-Cookie:x",
        "%40evil.example",
    ] {
        assert_eq!(to(next), format!("{}/docs/index.html", hilum.root), "{next}");
    }
}

#[test]
fn the_page_says_what_is_wrong_and_runs_no_script() {
    let hilum = server();
    let answer = form(&hilum, "name=%22%3E%3Cscript%3E&password=x&next=%22%3E%3Cscript%3E".to_owned());
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let page = answer.text().unwrap();
    assert!(!page.contains("<script") && page.contains("role=\"alert\""), "{page}");
    for wrong in ["", "name=ada", "name=ada&password=%ff"] {
        let status = form(&hilum, wrong.to_owned()).status();
        assert!(status == 400 || status == 401, "{wrong}: {status}");
    }
    assert_eq!(form(&hilum, format!("name=ada&password={}", "x".repeat(1 << 20))).status(), 413);
}

#[test]
fn another_password_ends_all_other_sessions() {
    let hilum = server();
    let (own, other) = (session(&hilum), session(&hilum));
    let change = |body: &str| {
        let request = client().post(format!("{}/auth/password", hilum.root)).header("Cookie", &own);
        let request =
            request.header("Sec-Fetch-Site", "same-origin").header("Content-Type", "application/json");
        request.body(body.to_owned()).send().unwrap()
    };
    assert_eq!(change("{\"current\":\"wrong\",\"new\":\"another horse battery\"}").status(), 401);
    assert_eq!(change(&format!("{{\"current\":\"{PASSWORD}\",\"new\":\"short\"}}")).status(), 400);
    let changed = change(&format!("{{\"current\":\"{PASSWORD}\",\"new\":\"another horse battery\"}}"));
    assert_eq!(changed.status(), 303);
    assert_eq!(with_cookie(&hilum, "/auth/session", &cookie_of(&changed)).status(), 200);
    assert_eq!(with_cookie(&hilum, "/auth/session", &other).status(), 401);
    // A password that was refused was on the record as one that was changed.
    let records = with_cookie(&hilum, "/audit?event=user-changed", &cookie_of(&changed)).text().unwrap();
    assert_eq!(records.matches("account-changed: password").count(), 1, "{records}");
    assert_eq!(log_in(&hilum, "ada", "another horse battery").status(), 303);
}

#[test]
fn behind_a_proxy_with_tls_the_cookie_is_secure() {
    let hilum = server_with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".to_owned().try_into().unwrap()];
    });
    let answer = client()
        .post(format!("{}/auth/login", hilum.root))
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "pacs.example.org")
        .header("Origin", "https://pacs.example.org")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(format!("name=ada&password={}", PASSWORD.replace(' ', "+")))
        .send()
        .unwrap();
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("__Host-hilum=") && set.contains("Secure"), "{set}");
    assert_eq!(answer.headers()["location"], "https://pacs.example.org/docs/index.html");
}

#[test]
fn without_authentication_there_is_no_login() {
    let hilum = Hilum::start();
    assert_eq!(client().get(format!("{}/auth/login", hilum.root)).send().unwrap().status(), 404);
    assert_eq!(log_in(&hilum, "ada", PASSWORD).status(), 404);
    let whoami = json_of(client().get(format!("{}/auth/session", hilum.root)).send().unwrap());
    assert_eq!((&whoami["subject"], &whoami["method"]), (&"local".into(), &"off".into()));
}
