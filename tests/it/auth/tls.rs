//! TLS of the server's own: certificates that change, clients with certificates.

use std::{path::Path, time::Duration};

use hilum::config::{CertificateRule, ClientCertificate};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use reqwest::blocking::Client;
use tempfile::TempDir;

use super::{PASSWORD, add};
use crate::harness::{Hilum, json_of};

/// An authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key.
    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self, own: Option<&(String, String)>) -> Client {
        let builder = Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap()])
            .redirect(reqwest::redirect::Policy::none());
        let builder = match own {
            Some((certificate, key)) => builder
                .identity(reqwest::Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap()),
            None => builder,
        };
        builder.build().unwrap()
    }
}

fn write(folder: &Path, (certificate, key): &(String, String)) {
    std::fs::write(folder.join("key.pem"), key).unwrap();
    std::fs::write(folder.join("certificate.pem"), certificate).unwrap();
}

fn server(folder: &TempDir, authority: &Authority, clients: ClientCertificate) -> Hilum {
    write(folder.path(), &authority.issue("server", ExtendedKeyUsagePurpose::ServerAuth));
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    Hilum::with(|config| {
        config.auth.enabled = true;
        config.listen = "0.0.0.0:0".parse().unwrap();
        config.tls.certificate = folder.path().join("certificate.pem");
        config.tls.key = folder.path().join("key.pem");
        config.tls.client_certificate = clients;
        if clients != ClientCertificate::Off {
            config.tls.client_ca = folder.path().join("ca.pem");
            config.auth.certificates = vec![CertificateRule {
                subject: Some("CN=ct*".to_owned()),
                san: None,
                roles: vec!["uploader".to_owned()],
                tenants: Vec::new(),
            }];
        }
        add(config, "ada", &["viewer"]);
    })
}

fn url(hilum: &Hilum, path: &str) -> String {
    let port = hilum.root.rsplit(':').next().unwrap();
    format!("https://127.0.0.1:{port}{path}")
}

#[test]
fn a_login_over_tls_and_a_certificate_that_is_renewed() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let (authority, next) = (Authority::new(), Authority::new());
    let hilum = server(&folder, &authority, ClientCertificate::Off);
    let answer = authority.client(None).get(url(&hilum, "/healthz")).send().unwrap();
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
    let form = format!("name=ada&password={}", PASSWORD.replace(' ', "+"));
    let login = authority.client(None).post(url(&hilum, "/auth/login")).body(form);
    let answer = login.header("Content-Type", "application/x-www-form-urlencoded").send().unwrap();
    assert_eq!(answer.status(), 303);
    let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(set.starts_with("__Host-hilum=") && set.contains("Secure"), "{set}");
    let cookie = super::cookie_of(&answer);
    let whoami =
        authority.client(None).get(url(&hilum, "/auth/session")).header("Cookie", cookie).send().unwrap();
    assert_eq!(json_of(whoami)["subject"], "ada");

    // A file that is no certificate changes nothing; a new one counts soon.
    std::fs::write(folder.path().join("certificate.pem"), "nonsense").unwrap();
    std::thread::sleep(Duration::from_secs(6));
    assert!(authority.client(None).get(url(&hilum, "/healthz")).send().is_ok());
    write(folder.path(), &next.issue("server", ExtendedKeyUsagePurpose::ServerAuth));
    std::thread::sleep(Duration::from_secs(6));
    assert!(next.client(None).get(url(&hilum, "/healthz")).send().is_ok());
    assert!(authority.client(None).get(url(&hilum, "/healthz")).send().is_err());
}

#[test]
fn a_certificate_says_who_a_device_is() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let hilum = server(&folder, &authority, ClientCertificate::Optional);
    let device = |name: &str| authority.issue(name, ExtendedKeyUsagePurpose::ClientAuth);
    let get =
        |own: Option<&(String, String)>, path: &str| authority.client(own).get(url(&hilum, path)).send();
    let whoami = json_of(get(Some(&device("ct1")), "/auth/session").unwrap());
    assert_eq!((&whoami["subject"], &whoami["method"]), (&"CN=ct1".into(), &"certificate".into()));
    assert_eq!(whoami["roles"], serde_json::json!(["uploader"]));
    assert_eq!(get(Some(&device("mr1")), "/auth/session").unwrap().status(), 401, "no rule for it");
    assert_eq!(get(None, "/auth/session").unwrap().status(), 401);
    let forged = stranger.issue("ct1", ExtendedKeyUsagePurpose::ClientAuth);
    assert!(get(Some(&forged), "/auth/session").is_err(), "of another authority");
}

#[test]
fn without_a_certificate_there_is_no_connection_where_one_is_required() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    let hilum = server(&folder, &authority, ClientCertificate::Required);
    let own = authority.issue("ct1", ExtendedKeyUsagePurpose::ClientAuth);
    assert!(authority.client(None).get(url(&hilum, "/healthz")).send().is_err());
    assert_eq!(authority.client(Some(&own)).get(url(&hilum, "/auth/session")).send().unwrap().status(), 200);
}
