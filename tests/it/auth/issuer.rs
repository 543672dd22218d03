//! Tokens of issuers: keys made here, an issuer in this process, and tokens that
//! are nearly right.

#![allow(clippy::wildcard_enum_match_arm, reason = "algorithms that are not used here")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hilum::config;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};

use super::{client, refused, with_token};
use crate::harness::{Hilum, json_of};

/// An issuer that serves its discovery document and keys.
pub(super) struct Issuer {
    pub(super) url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
}

impl Issuer {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self {
            url,
            keys: Arc::default(),
            asked: Arc::default(),
            connections: Arc::default(),
            away: Arc::default(),
        };
        let (url, keys, asked, away) = (
            issuer.url.clone(),
            Arc::clone(&issuer.keys),
            Arc::clone(&issuer.asked),
            Arc::clone(&issuer.away),
        );
        let connections = Arc::clone(&issuer.connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections.fetch_add(1, Ordering::SeqCst);
                if !away.load(Ordering::SeqCst) {
                    answer(stream, &url, &keys, &asked);
                }
            }
        });
        issuer
    }

    pub(super) fn config(&self) -> config::Issuer {
        toml::from_str(&format!("issuer = \"{}\"\naudience = [\"hilum\"]", self.url)).unwrap()
    }

    fn server(&self) -> Hilum {
        let issuer = self.config();
        Hilum::with(|config| {
            config.auth.enabled = true;
            config.auth.issuers = vec![issuer];
        })
    }

    pub(super) fn publish(&self, key: &Key) {
        self.keys.lock().unwrap().push(key.public());
    }

    pub(super) fn claims(&self) -> Value {
        json!({ "iss": self.url, "sub": "42", "aud": "hilum", "exp": now() + 60, "roles": ["viewer"] })
    }
}

fn answer(mut stream: TcpStream, url: &str, keys: &Mutex<Vec<Value>>, asked: &AtomicUsize) {
    let mut request = [0; 4096];
    let length = stream.read(&mut request).unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let body = if request.starts_with("GET /.well-known/openid-configuration ") {
        json!({
            "issuer": url, "jwks_uri": format!("{url}/jwks"),
            "authorization_endpoint": format!("{url}/auth"), "token_endpoint": format!("{url}/token"),
            "token_endpoint_auth_methods_supported": ["none"],
        })
    } else {
        asked.fetch_add(1, Ordering::SeqCst);
        json!({ "keys": *keys.lock().unwrap() })
    };
    let body = body.to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ";
    let _ = stream.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes());
}

/// A key pair.
pub(super) struct Key {
    id: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
    public: Vec<u8>,
}

impl Key {
    pub(super) fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::EdDSA => &rcgen::PKCS_ED25519,
            _ => &rcgen::PKCS_RSA_SHA256,
        };
        let pair = rcgen::KeyPair::generate_for(kind).unwrap();
        let (pem, public) = (pair.serialize_pem(), pair.public_key_raw().to_vec());
        let private = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
        };
        Self { id, algorithm, private: private.unwrap(), public }
    }

    fn public(&self) -> Value {
        // The library does not read the public half of this kind of key.
        if self.algorithm == Algorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(&self.public);
            return json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.id });
        }
        let key = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        let mut key = serde_json::to_value(key).unwrap();
        key["kid"] = self.id.into();
        key
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_as(self.algorithm, Some(self.id), claims)
    }

    fn sign_as(&self, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, claims, &self.private).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn detail(hilum: &Hilum, token: &str) -> String {
    refused(with_token(hilum, "/dicomweb/studies", token))["detail"].as_str().unwrap().to_owned()
}

/// Who claims only tenants that the issuer may not speak for belongs nowhere,
/// and is told no tenant by a name that none has.
#[test]
fn a_claim_of_foreign_tenants_leads_nowhere() {
    let issuer = Issuer::start();
    let key = Key::new("es", Algorithm::ES256);
    issuer.publish(&key);
    let bound = config::Issuer { tenants: vec!["south".to_owned()], ..issuer.config() };
    let hilum = Hilum::with(|config| {
        config.auth.enabled = true;
        config.auth.issuers = vec![bound];
        for name in ["north", "south"] {
            config.tenants.insert(name.to_owned(), config::Tenant::default());
        }
    });
    for (claimed, tenants, archives) in
        [(json!(["north"]), json!([]), 0), (json!(["north", "south"]), json!(["south"]), 1)]
    {
        let mut claims = issuer.claims();
        claims["tenants"] = claimed;
        let whoami = json_of(with_token(&hilum, "/auth/session", &key.sign(&claims)));
        assert_eq!(whoami["tenants"], tenants);
        assert_eq!(whoami["archives"].as_array().map(Vec::len), Some(archives), "{whoami}");
    }
}

#[test]
fn tokens_of_each_algorithm_say_who_it_is() {
    let issuer = Issuer::start();
    let keys = [
        Key::new("rs", Algorithm::RS256),
        Key::new("ps", Algorithm::PS256),
        Key::new("es", Algorithm::ES256),
        Key::new("ed", Algorithm::EdDSA),
    ];
    for key in &keys {
        issuer.publish(key);
    }
    let hilum = issuer.server();
    for key in &keys {
        let mut claims = issuer.claims();
        claims["scope"] = "openid system/ImagingStudy.rs".into();
        claims["aud"] = json!(["other", "hilum"]);
        let answer = with_token(&hilum, "/auth/session", &key.sign(&claims));
        assert_eq!(answer.status(), 200, "{}", key.id);
        let whoami = json_of(answer);
        assert_eq!(whoami["subject"], format!("{}|42", issuer.url));
        assert_eq!(whoami["roles"], json!(["viewer"]));
        assert_eq!(whoami["scopes"], json!(["openid", "system/ImagingStudy.rs"]));
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "the keys are fetched once");
    let unnamed = keys[2].sign_as(Algorithm::ES256, None, &issuer.claims());
    assert_eq!(with_token(&hilum, "/dicomweb/studies", &unnamed).status(), 200, "without a kid");
}

#[test]
fn claims_that_do_not_fit_are_refused() {
    let issuer = Issuer::start();
    let key = Key::new("k", Algorithm::ES256);
    issuer.publish(&key);
    let hilum = issuer.server();
    let with = |name: &str, value: Value| {
        let mut claims = issuer.claims();
        claims[name] = value;
        detail(&hilum, &key.sign(&claims))
    };
    assert!(with("exp", (now() - 31).into()).contains("expired"));
    assert!(with("nbf", (now() + 60).into()).contains("not valid yet"));
    assert!(with("aud", "other".into()).contains("another service"));
    assert!(with("aud", json!(["a", "b"])).contains("another service"));
    assert!(with("iss", "https://other.example".into()).contains("not known here"));
    assert!(with("sub", Value::Null).contains("token"));
    for claim in ["exp", "aud", "sub", "iss"] {
        let mut claims = issuer.claims();
        claims.as_object_mut().unwrap().remove(claim);
        detail(&hilum, &key.sign(&claims));
    }
    let mut claims = issuer.claims();
    claims["exp"] = (now() - 10).into();
    assert_eq!(with_token(&hilum, "/dicomweb/studies", &key.sign(&claims)).status(), 200, "clocks differ");
}

/// CVE-2015-9235 and its many sisters: the token says how it is to be checked.
#[test]
fn the_algorithm_is_the_keys_and_not_the_tokens() {
    let issuer = Issuer::start();
    let (rsa, other) = (Key::new("rsa", Algorithm::RS256), Key::new("rsa", Algorithm::RS256));
    let ec = Key::new("ec", Algorithm::ES256);
    issuer.publish(&rsa);
    issuer.publish(&ec);
    issuer
        .keys
        .lock()
        .unwrap()
        .push(json!({ "kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "shared" }));
    let hilum = issuer.server();
    let claims = issuer.claims();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in ["none", "None", "NONE", ""] {
        let token = format!("{}.{}.", part(&json!({ "alg": algorithm, "kid": "rsa" })), part(&claims));
        detail(&hilum, &token);
    }
    // The public key as the secret of a HMAC.
    let public = rsa.public();
    for secret in
        [public["n"].as_str().unwrap().as_bytes(), public.to_string().as_bytes(), b"secretsecretsecret"]
    {
        for kid in ["rsa", "shared"] {
            let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
            let token = encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
            assert!(detail(&hilum, &token).contains("algorithm"));
        }
    }
    assert!(detail(&hilum, &rsa.sign_as(Algorithm::RS512, Some("rsa"), &claims)).contains("algorithm"));
    // A key of another type under a name that is known.
    assert!(detail(&hilum, &ec.sign_as(Algorithm::ES256, Some("rsa"), &claims)).contains("algorithm"));
    assert!(detail(&hilum, &other.sign(&claims)).contains("signature"));
    // What is signed is changed afterwards.
    let good = rsa.sign(&claims);
    let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    let mut more = claims.clone();
    more["roles"] = json!(["administrator"]);
    parts[1] = part(&more);
    assert!(detail(&hilum, &parts.join(".")).contains("signature"));
    // A key that the token brings along, or says where to get.
    for (name, value) in
        [("jwk", other.public()), ("jku", json!(format!("{}/evil", issuer.url))), ("crit", json!(["x"]))]
    {
        let head = json!({ "alg": "RS256", "kid": "rsa", name: value });
        let message = format!("{}.{}", part(&head), part(&claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &other.private, Algorithm::RS256).unwrap();
        detail(&hilum, &format!("{message}.{signature}"));
    }
    for token in
        ["", ".", "..", "a.b.c", "a.b.c.d", &good[..good.len() - 2], &format!("{good}.x"), &"a.".repeat(5000)]
    {
        let status = with_token(&hilum, "/dicomweb/studies", token).status();
        assert_eq!(status, 401, "{}", &token[..token.len().min(40)]);
    }
    assert_eq!(with_token(&hilum, "/dicomweb/studies", &good).status(), 200);
}

#[test]
fn keys_rotate_and_made_up_ones_do_not_make_us_ask() {
    let issuer = Issuer::start();
    let (old, new) = (Key::new("old", Algorithm::ES256), Key::new("new", Algorithm::ES256));
    issuer.publish(&old);
    let hilum = issuer.server();
    let claims = issuer.claims();
    assert_eq!(with_token(&hilum, "/dicomweb/studies", &old.sign(&claims)).status(), 200);
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1);
    for number in 0..50 {
        let token = new.sign_as(Algorithm::ES256, Some(&number.to_string()), &claims);
        assert!(detail(&hilum, &token).contains("key"));
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "asked again within ten seconds");
    // The issuer goes away: what is known counts on.
    issuer.away.store(true, Ordering::SeqCst);
    assert_eq!(with_token(&hilum, "/dicomweb/studies", &old.sign(&claims)).status(), 200);
    issuer.away.store(false, Ordering::SeqCst);
    issuer.keys.lock().unwrap().clear();
    issuer.publish(&new);
    std::thread::sleep(std::time::Duration::from_secs(10));
    assert_eq!(with_token(&hilum, "/dicomweb/studies", &new.sign(&claims)).status(), 200, "the new key");
    assert_eq!(
        with_token(&hilum, "/dicomweb/studies", &old.sign(&claims)).status(),
        401,
        "the old one is gone"
    );
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 2);
}

#[test]
fn an_issuer_that_was_never_there_is_503() {
    let issuer = Issuer::start();
    issuer.away.store(true, Ordering::SeqCst);
    let key = Key::new("k", Algorithm::ES256);
    let hilum = issuer.server();
    let answer = with_token(&hilum, "/dicomweb/studies", &key.sign(&issuer.claims()));
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(json_of(answer)["code"], "issuer-away");
    assert_eq!(client().get(format!("{}/healthz", hilum.root)).send().unwrap().status(), 200);
}

/// Who asks where to get a token needs none, and made the server ask its issuer
/// each time while that one did not answer.
#[test]
fn an_issuer_that_is_away_is_not_asked_by_everybody() {
    let issuer = Issuer::start();
    issuer.away.store(true, Ordering::SeqCst);
    let hilum = issuer.server();
    let ask = || {
        let answer = client().get(format!("{}/.well-known/smart-configuration", hilum.root)).send().unwrap();
        answer.status().as_u16()
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| [ask(), ask(), ask()])).collect();
        for answers in asking {
            assert_eq!(answers.join().unwrap(), [503; 3]);
        }
    });
    assert_eq!(issuer.connections.load(Ordering::SeqCst), 1, "asked again within ten seconds");
    issuer.away.store(false, Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_secs(10));
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
        for answer in asking {
            assert_eq!(answer.join().unwrap(), 200);
        }
    });
    assert_eq!(issuer.connections.load(Ordering::SeqCst), 2, "once for all who came at that moment");
}

#[test]
fn keys_of_a_file_need_no_issuer_to_ask() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("keys.json");
    let key = Key::new("k", Algorithm::EdDSA);
    std::fs::write(&file, key.public().to_string()).unwrap();
    let issuer: config::Issuer = toml::from_str(&format!(
        "issuer = \"https://id.invalid\"\naudience = [\"hilum\"]\nkeys_file = {file:?}\nroles_claim = \"a.b\"\n\
         roles = {{ x = \"clinician\" }}\ndefault_roles = [\"viewer\"]"
    ))
    .unwrap();
    let hilum = Hilum::with(|config| {
        config.auth.enabled = true;
        config.auth.issuers = vec![issuer];
    });
    let claims = json!({
        "iss": "https://id.invalid", "sub": "42", "aud": "hilum", "exp": now() + 60,
        "a": { "b": ["x", "administrator"] },
    });
    let whoami = json_of(with_token(&hilum, "/auth/session", &key.sign(&claims)));
    assert_eq!(whoami["roles"], json!(["clinician", "viewer"]), "only what the mapping names");
}

#[test]
fn what_must_not_run_does_not() {
    let refused = |change: &dyn Fn(&mut config::Config)| {
        let mut config = config::Config::default();
        config.auth.enabled = true;
        change(&mut config);
        config.check().expect_err("refused").to_string()
    };
    let issuer = |text: &'static str| {
        move |config: &mut config::Config| {
            config.auth.issuers = vec![toml::from_str(text).unwrap()];
        }
    };
    assert!(refused(&issuer("issuer = \"http://id.example\"\naudience = [\"x\"]")).contains("not https"));
    assert!(refused(&issuer("issuer = \"https://id.example\"")).contains("audience"));
    assert!(
        refused(&issuer(
            "issuer = \"https://i\"\naudience = [\"x\"]\njwks_uri = \"http://169.254.169.254/\""
        ))
        .contains("not https")
    );
    assert!(refused(&|config| config.auth.accounts = false).contains("nobody could come in"));
    assert!(refused(&|config| config.listen = "0.0.0.0:80".parse().unwrap()).contains("tls.certificate"));
    assert!(
        refused(&issuer("issuer = \"https://i\"\naudience = [\"x\"]\ndefault_roles = [\"wiever\"]"))
            .contains("wiever, which is none of administrator")
    );
    assert!(refused(&|config| config.tls.key = "x".into()).contains("both"));
}
