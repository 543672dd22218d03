//! A stream to a syslog receiver, plain or TLS. Knows nothing of what is sent.
//! Everything it waits for has an end.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const SEND_TIME_MAX: Duration = Duration::from_secs(20);
/// What a receiver may say without being listened to: nothing but the TLS
/// records that keep a connection going.
const SAID_BYTES_MAX: usize = 64 << 10;

/// Where the log is sent.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub host: String,
    pub port: u16,
    /// None: plain TCP.
    pub tls: Option<TlsFiles>,
}

/// Reads certificates when a connection begins, so that renewed ones count.
#[derive(Clone)]
pub struct TlsFiles(pub Arc<dyn Fn() -> Result<TlsTexts, String> + Send + Sync>);

/// What the files hold, as PEM.
#[derive(Debug, Default)]
pub struct TlsTexts {
    /// Who may have signed the receiver's certificate; none: those of the system.
    pub authorities: Option<Vec<u8>>,
    /// The certificate and the key that we show.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsFiles")
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "tls" } else { "tcp" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl Receiver {
    /// Whether the files of TLS can be used.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> io::Result<()> {
        self.tls.as_ref().map_or(Ok(()), |files| tls_config(files).map(drop))
    }
}

fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

fn tls_config(files: &TlsFiles) -> io::Result<Arc<ClientConfig>> {
    let texts = (files.0)().map_err(invalid)?;
    let mut roots = RootCertStore::empty();
    match &texts.authorities {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
                roots.add(certificate).map_err(invalid)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(invalid("no certificate of an authority is there to check the receiver's with"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_root_certificates(roots);
    let config = match &texts.own {
        Some((certificates, key)) => {
            let certificates = CertificateDer::pem_slice_iter(certificates)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| invalid(error.to_string()))?;
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| invalid(error.to_string()))?;
            builder.with_client_auth_cert(certificates, key).map_err(invalid)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// An open stream.
pub struct Connection {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Connection {
    pub fn open(receiver: &Receiver) -> io::Result<Self> {
        let tls = match &receiver.tls {
            Some(files) => {
                let name = ServerName::try_from(receiver.host.clone()).map_err(invalid)?;
                let client = ClientConnection::new(tls_config(files)?, name).map_err(invalid)?;
                Some(Box::new(client))
            }
            None => None,
        };
        let mut last = invalid("the name of the receiver has no address");
        for address in (receiver.host.as_str(), receiver.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIME_MAX) {
                Ok(socket) => {
                    socket.set_read_timeout(Some(SEND_TIME_MAX))?;
                    socket.set_write_timeout(Some(SEND_TIME_MAX))?;
                    socket.set_nodelay(true)?;
                    let mut connection = Self { socket, tls };
                    if let Some(tls) = &mut connection.tls {
                        while tls.is_handshaking() {
                            tls.complete_io(&mut connection.socket)?;
                        }
                    }
                    return Ok(connection);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Gives bytes to the system.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => {
                let mut stream = rustls::Stream::new(tls.as_mut(), &mut self.socket);
                stream.write_all(bytes)?;
                stream.flush()
            }
            None => self.socket.write_all(bytes),
        }
    }

    /// Whether the receiver still listens, as far as it has said. Takes in what
    /// it sends, or closing would throw away what is on its way to it.
    pub fn is_alive(&mut self) -> bool {
        if self.socket.set_nonblocking(true).is_err() {
            return false;
        }
        let alive = self.listen();
        self.socket.set_nonblocking(false).is_ok() && alive
    }

    /// Reads until there is nothing; false at the end of the stream.
    fn listen(&mut self) -> bool {
        let mut heard = 0;
        let mut buffer = [0; 4096];
        while heard < SAID_BYTES_MAX {
            let read = match &mut self.tls {
                Some(tls) => tls.read_tls(&mut self.socket),
                None => self.socket.read(&mut buffer),
            };
            match read {
                Ok(0) => return false,
                Ok(count) => heard += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
            if let Some(tls) = &mut self.tls {
                match tls.process_new_packets() {
                    Ok(state) if state.peer_has_closed() => return false,
                    Ok(_) => while matches!(tls.reader().read(&mut buffer), Ok(1..)) {},
                    Err(_) => return false,
                }
            }
        }
        // Whoever talks that much is no syslog receiver.
        false
    }

    /// Ends the stream, and waits until the receiver has ended its side: then it
    /// has taken everything.
    pub fn close(mut self, wait: Duration) -> bool {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            while tls.wants_write() {
                if tls.write_tls(&mut self.socket).is_err() {
                    return false;
                }
            }
        }
        let wait = wait.max(Duration::from_millis(10));
        if self.socket.shutdown(Shutdown::Write).is_err() || self.socket.set_read_timeout(Some(wait)).is_err()
        {
            return false;
        }
        let mut heard = 0;
        let mut buffer = [0; 4096];
        while heard < SAID_BYTES_MAX {
            match self.socket.read(&mut buffer) {
                Ok(0) => return true,
                Ok(count) => heard += count,
                Err(_) => return false,
            }
        }
        false
    }
}
