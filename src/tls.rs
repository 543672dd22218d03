//! TLS by rustls: the server's certificate, which is taken anew when its files
//! change, and what is asked of clients. TLS 1.2 and 1.3 with rustls' own choice
//! of suites, none of which is weak.
//!
//! Must not stop a running server: files that cannot be used are told, and the
//! certificate that was there stays.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use crate::config::{ClientCertificate, Tls};

/// How soon a changed file counts.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why TLS cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}, a file of [tls]: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("tls.client_ca: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The certificate that is shown, and where it comes from.
pub struct Certificate {
    config: Tls,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("file", &self.config.certificate).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// TLS as it is configured, and its certificate.
///
/// # Errors
/// When a file cannot be used, with its path.
pub fn start(config: &Tls) -> Result<(ServerConfig, Arc<Certificate>), TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let certificate = Arc::new(Certificate { config: config.clone(), shown: RwLock::new(read(config)?) });
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = if config.client_certificate == ClientCertificate::Off {
        builder.with_no_client_auth()
    } else {
        let mut authorities = RootCertStore::empty();
        for authority in certificates(&config.client_ca)? {
            authorities.add(authority)?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
        let verifier = match config.client_certificate {
            ClientCertificate::Required => verifier.build()?,
            ClientCertificate::Optional | ClientCertificate::Off => {
                verifier.allow_unauthenticated().build()?
            }
        };
        builder.with_client_cert_verifier(verifier)
    };
    let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&certificate) as _;
    Ok((builder.with_cert_resolver(resolver), certificate))
}

/// Takes the certificate anew whenever its files change, and on SIGHUP; for ever.
pub async fn renew(certificate: Arc<Certificate>) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut known = certificate.changed();
    let mut hangups = signal(SignalKind::hangup()).ok();
    loop {
        let asked = async {
            match &mut hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        let is_asked = tokio::select! {
            _ = asked => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let now = certificate.changed();
        if !is_asked && now == known {
            continue;
        }
        match read(&certificate.config) {
            Ok(fresh) => {
                *certificate.shown.write().unwrap_or_else(PoisonError::into_inner) = fresh;
                tracing::info!(file = %certificate.config.certificate.display(), "a new certificate is shown");
            }
            // Its two files are not put in place at the same moment.
            Err(error) => tracing::warn!(%error, "the certificate stays the one it was"),
        }
        known = now;
    }
}

impl Certificate {
    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.config.certificate, &self.config.key]
            .map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok())
    }
}

fn read(config: &Tls) -> Result<Arc<CertifiedKey>, TlsError> {
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(|error| file(&config.key, &error))?;
    let chain = certificates(&config.certificate)?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| file(&config.key, &error))?;
    Ok(Arc::new(certified))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(path, &error))?;
    if found.is_empty() {
        return Err(file(path, &"holds no certificate (PEM)"));
    }
    Ok(found)
}

fn file(path: &Path, why: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), why: why.to_string() }
}
