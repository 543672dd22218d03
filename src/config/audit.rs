//! How the audit log is kept and where it is sent, as the configuration writes
//! it. What the keys mean stands in `config.toml`.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    pub enabled: bool,
    pub required: bool,
    pub flush_ms: u64,
    pub interval_seconds: u64,
    pub keep_days: u64,
    pub key_file: PathBuf,
    pub source: String,
    pub site: String,
    pub syslog_receiver: Receiver,
    pub syslog_ca_file: PathBuf,
    pub syslog_certificate_file: PathBuf,
    pub syslog_key_file: PathBuf,
}

/// A syslog receiver, `tls://HOST:PORT` or `tcp://HOST:PORT`; or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Receiver {
    #[default]
    None,
    Tcp(String, u16),
    Tls(String, u16),
}

/// The ports of RFC 6587 and RFC 5425.
const TCP_PORT: u16 = 601;
const TLS_PORT: u16 = 6514;

impl TryFrom<String> for Receiver {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no syslog receiver: tls://HOST:6514 or tcp://HOST:601");
        if text.is_empty() {
            return Ok(Self::None);
        }
        let (scheme, place) = text.split_once("://").ok_or_else(wrong)?;
        let standard = match scheme {
            "tls" => TLS_PORT,
            "tcp" => TCP_PORT,
            _ => return Err(wrong()),
        };
        let (host, port) = match place.rsplit_once(':') {
            // An IPv6 address without a port ends in its bracket.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (place, standard),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let plain = |letter: char| letter.is_ascii_alphanumeric() || ".:-_%".contains(letter);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(wrong());
        }
        let host = host.to_owned();
        Ok(if scheme == "tls" { Self::Tls(host, port) } else { Self::Tcp(host, port) })
    }
}

impl From<Receiver> for String {
    fn from(receiver: Receiver) -> Self {
        receiver.to_string()
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::None => return Ok(()),
            Self::Tcp(host, port) => ("tcp", host, port),
            Self::Tls(host, port) => ("tls", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

/// PEM of who may have signed the receiver's certificate, and of our own
/// certificate and its key.
type Pems = (Option<Vec<u8>>, Option<(Vec<u8>, Vec<u8>)>);

impl Audit {
    /// What the files of TLS to the receiver hold.
    ///
    /// # Errors
    /// What is wrong, for the operator.
    pub fn pems(&self) -> Result<Pems, String> {
        let authorities = read(&self.syslog_ca_file)?;
        let own = match (read(&self.syslog_certificate_file)?, read(&self.syslog_key_file)?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err("audit.syslog_certificate_file and audit.syslog_key_file are set both or not \
                            at all"
                    .to_owned());
            }
        };
        Ok((authorities, own))
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_read_and_written() {
        let read = |text: &str| Receiver::try_from(text.to_owned());
        for (text, written) in [
            ("tls://audit.example.org", "tls://audit.example.org:6514"),
            ("tcp://10.0.0.1", "tcp://10.0.0.1:601"),
            ("tcp://10.0.0.1:1514", "tcp://10.0.0.1:1514"),
            ("tls://[fe80::1]:7", "tls://[fe80::1]:7"),
            ("tls://[fe80::1]", "tls://[fe80::1]:6514"),
            ("", ""),
        ] {
            let receiver = read(text).unwrap();
            assert_eq!(receiver.to_string(), written);
            assert_eq!(read(written), Ok(receiver));
        }
        for wrong in
            ["host", "udp://host", "tls://", "tls://:1", "tcp://host:port", "tcp://ho st:1", "tls://h/p"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
