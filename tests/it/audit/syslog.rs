//! The log on its way to an audit repository: real sockets, a receiver that goes
//! away, TLS with certificates on both sides. Nothing is left out, and nothing
//! goes to a receiver that is not who it should be.

use std::{
    fs,
    io::{self, Read},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hilum::config::{Config, Receiver};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;

use super::{STUDY, with};
use crate::harness::Hilum;

type Messages = Arc<Mutex<Vec<(u64, String)>>>;

/// Takes messages for as long as it is there.
struct Repository {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Repository {
    fn start(port: u16, messages: &Messages, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a socket");
        let stop = Arc::new(AtomicBool::new(false));
        let (messages, stopped) = (Arc::clone(messages), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((socket, _)) => {
                        // An end of the stream, or of the receiver, is none of a test.
                        drop(take(socket, tls.as_ref(), &messages, &stopped));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            }
        });
        Self { port, stop, thread: Some(thread) }
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn take(
    socket: TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    messages: &Messages,
    stop: &AtomicBool,
) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut stream: Box<dyn Read> = match tls {
        Some(config) => {
            let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(connection, socket))
        }
        None => Box::new(socket),
    };
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
            let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().expect("a length");
            if bytes.len() < space + 1 + length {
                break;
            }
            let message = String::from_utf8(bytes[space + 1..space + 1 + length].to_vec()).expect("UTF-8");
            bytes.drain(..space + 1 + length);
            messages.lock().unwrap().push(read(&message));
        }
    }
    Ok(())
}

/// The number and the XML of a message.
fn read(message: &str) -> (u64, String) {
    let (header, xml) = message.split_once('\u{feff}').expect("a byte order mark");
    let fields: Vec<&str> = header.split(' ').collect();
    assert_eq!((fields[0], fields[3], fields[5]), ("<85>1", "hilum", "DICOM+RFC3881"), "{header}");
    let (date, host) = (fields[1], fields[2]);
    assert!(date.ends_with('Z') && date.len() <= 27 && !host.is_empty(), "{header}");
    assert_eq!(fields[6], "[meta", "{header}");
    assert!(xml.starts_with("<?xml") && xml.ends_with("</AuditMessage>"), "{xml}");
    let number = fields[7].strip_prefix("sequenceId=\"").and_then(|text| text.strip_suffix("\"]"));
    (number.expect("a number").parse().unwrap(), xml.to_owned())
}

fn wait_for(messages: &Messages, what: &str, is_there: impl Fn(&[(u64, String)]) -> bool) {
    let until = Instant::now() + Duration::from_mins(1);
    while !is_there(&messages.lock().unwrap()) {
        assert!(Instant::now() < until, "{what} never came: {:?}", numbers(messages));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn numbers(messages: &Messages) -> Vec<u64> {
    messages.lock().unwrap().iter().map(|(number, _)| *number).collect()
}

/// Every line up to the newest has come.
fn wait_for_all(hilum: &Hilum, messages: &Messages) {
    let newest = hilum.audit("?limit=1")[0]["number"].as_u64().expect("a number");
    wait_for(messages, "a line", |messages| {
        (1..=newest).all(|number| messages.iter().any(|(other, _)| *other == number))
    });
}

fn sending(port: u16, config: &mut Config) {
    config.audit.flush_ms = 100;
    config.audit.syslog_receiver = Receiver::Tcp("127.0.0.1".to_owned(), port);
}

#[test]
fn what_is_recorded_is_sent_though_the_receiver_goes_away() {
    let messages = Messages::default();
    let repository = Repository::start(0, &messages, None);
    let port = repository.port;
    let hilum = with(|config| sending(port, config));
    assert_eq!(hilum.status(&format!("/studies/{STUDY}/metadata")), 200);
    wait_for_all(&hilum, &messages);
    drop(repository);
    assert_eq!(hilum.delete(&format!("/studies/{STUDY}")).status(), 204);
    assert_eq!(hilum.status("/studies"), 200);
    std::thread::sleep(Duration::from_millis(700));
    let is_deletion = |(_, xml): &(u64, String)| xml.contains("csd-code=\"110105\"") && xml.contains(STUDY);
    assert!(!messages.lock().unwrap().iter().any(is_deletion));
    let repository = Repository::start(port, &messages, None);
    wait_for(&messages, "the deletion", |messages| messages.iter().any(is_deletion));
    wait_for_all(&hilum, &messages);
    // A stop sends the rest; the next start goes on behind it.
    let hilum = hilum.restart();
    let is_stop = |(_, xml): &(u64, String)| xml.contains("csd-code=\"110121\"");
    wait_for(&messages, "the stop", |messages| messages.iter().any(is_stop));
    let stopped = messages.lock().unwrap().iter().find(|message| is_stop(message)).map(|(number, _)| *number);
    wait_for_all(&hilum, &messages);
    let after: Vec<u64> = {
        let numbers = numbers(&messages);
        let at = numbers.iter().position(|number| Some(*number) == stopped).expect("the stop");
        numbers[at..].to_vec()
    };
    assert!(after.windows(2).all(|pair| pair[0] + 1 == pair[1]), "nothing twice: {after:?}");
    drop(repository);
}

/// An authority, and what it signs: certificate and key, as PEM.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

fn tls(authority: &Authority) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.1.as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let (certificate, key) = authority.sign("localhost");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        );
    Arc::new(config.unwrap())
}

fn trusting(folder: &Path, authority: &Authority, own: &Authority, port: u16, config: &mut Config) {
    sending(port, config);
    let syslog = &mut config.audit;
    syslog.syslog_receiver = Receiver::Tls("localhost".to_owned(), port);
    let (certificate, key) = own.sign("archive");
    for (path, name, text) in [
        (&mut syslog.syslog_ca_file, "ca.pem", &authority.1),
        (&mut syslog.syslog_certificate_file, "archive.pem", &certificate),
        (&mut syslog.syslog_key_file, "archive.key", &key),
    ] {
        *path = folder.join(name);
        fs::write(&path, text).unwrap();
    }
}

#[test]
fn over_tls_each_side_knows_the_other() {
    let (authority, other) = (Authority::new(), Authority::new());
    let messages = Messages::default();
    let repository = Repository::start(0, &messages, Some(tls(&authority)));
    let folder = TempDir::new().unwrap();
    let hilum = with(|config| trusting(folder.path(), &authority, &authority, repository.port, config));
    wait_for_all(&hilum, &messages);
    drop(hilum);
    wait_for(&messages, "the stop", |messages| {
        messages.iter().any(|(_, xml)| xml.contains("csd-code=\"110121\""))
    });
    // Neither to a stranger, nor as one.
    for (trusted, own) in [(&other, &authority), (&authority, &other)] {
        messages.lock().unwrap().clear();
        let hilum = with(|config| trusting(folder.path(), trusted, own, repository.port, config));
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(hilum.status("/studies"), 200, "an archive goes on without its receiver");
        drop(hilum);
        assert!(messages.lock().unwrap().is_empty());
    }
}
