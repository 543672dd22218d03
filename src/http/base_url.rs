//! The absolute URL of the service as the client sees it (RFC 7239, RFC 9110
//! section 7.2): what every `RetrieveURL` and `BulkDataURI` begins with.
//!
//! Must not trust a client. `Forwarded` and `X-Forwarded-*` count only from a
//! trusted proxy, and of a chain of proxies only what a trusted one added.
//! Invariant: the result is a plain `http(s)://host[:port][/path]`, without
//! anything that would need escaping in JSON or in a header.

use std::net::{IpAddr, SocketAddr};

use super::media::{split_outside_quotes, unquote};
use crate::config::Network;

/// Below this path lie all resources.
pub const SERVICE_PATH: &str = "/dicomweb";

/// Why a configured value is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfiguredError {
    #[error("{0:?} is not an http or https URL of a host and a plain path")]
    PublicUrl(String),
}

/// The `Host` of the request is missing or has characters no host has: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request does not name a valid host")]
pub struct HostError;

/// What a request says of its own address.
pub struct Asked<'a> {
    /// The other end of the connection.
    pub peer: Option<IpAddr>,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// The connection is TLS.
    pub tls: bool,
    /// All values of a header, in order, by its name in lower case; for `host`
    /// the `:authority` of HTTP/2 too.
    pub header: &'a dyn Fn(&str) -> Vec<&'a str>,
}

/// How the URL of the service is found.
#[derive(Debug, Clone)]
pub struct BaseUrl {
    /// With the service path.
    configured: Option<String>,
    trusted: Vec<Network>,
}

impl BaseUrl {
    /// `public_url` may be given with or without the service path.
    ///
    /// # Errors
    /// It is not a URL of a host and a plain path.
    pub fn new(public_url: Option<&str>, trusted: Vec<Network>) -> Result<Self, ConfiguredError> {
        let configured = public_url
            .map(|url| read_public_url(url.trim()).ok_or_else(|| ConfiguredError::PublicUrl(url.to_owned())))
            .transpose()?;
        Ok(Self { configured, trusted })
    }

    /// The peer is a proxy whose words count.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// The address of the client. Of the hops that proxies name, from the
    /// nearest on, the first that is no trusted proxy; what lies behind it is
    /// its own word.
    #[must_use]
    pub fn client<'a>(&self, peer: Option<IpAddr>, header: &dyn Fn(&str) -> Vec<&'a str>) -> Option<IpAddr> {
        let mut client = peer?;
        if !self.trusts(client) {
            return Some(client);
        }
        // The common proxies append to X-Forwarded-For and pass a Forwarded of
        // the client on as it is; so it counts only where the other is not.
        let mut hops: Vec<Option<IpAddr>> = header("x-forwarded-for")
            .into_iter()
            .flat_map(|value| split_outside_quotes(value, ','))
            .map(address_of)
            .collect();
        if hops.is_empty() {
            let elements = header("forwarded").into_iter().flat_map(|value| split_outside_quotes(value, ','));
            let hop_of = |element: &str| {
                split_outside_quotes(element, ';').find_map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    name.trim().eq_ignore_ascii_case("for").then(|| address_of(&unquote(value.trim())))?
                })
            };
            hops = elements.map(hop_of).collect();
        }
        for hop in hops.into_iter().rev() {
            if !self.trusts(client) {
                break;
            }
            // A proxy that hides whom it serves is all that is known.
            let Some(hop) = hop else { break };
            client = hop.to_canonical();
        }
        Some(client)
    }

    /// The URL of the service for this request, without a slash at its end.
    ///
    /// # Errors
    /// The request names no valid host.
    pub fn of(&self, asked: &Asked<'_>) -> Result<String, HostError> {
        if let Some(configured) = &self.configured {
            return Ok(configured.clone());
        }
        let mut told = match asked.peer {
            Some(peer) if self.trusts(peer) => self.forwarded(asked),
            Some(_) | None => Told { direct: true, ..Told::default() },
        };
        let own_scheme = if asked.tls { "https" } else { "http" };
        let scheme = told.scheme.as_deref().and_then(known_scheme).unwrap_or(own_scheme);
        let told_host = told.host.filter(|host| is_authority(host));
        let host = match told_host {
            Some(host) => host,
            None => (asked.header)("host")
                .first()
                .map(|host| host.trim())
                .filter(|host| is_authority(host))
                .ok_or(HostError)?
                .to_owned(),
        };
        if told.direct && names_listener(&host, asked) {
            told.port = Some(asked.listen.port());
        }
        let port = told
            .port
            .filter(|port| !has_port(&host) && *port != default_port(scheme))
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        let prefix = told.prefix.as_deref().and_then(plain_path).unwrap_or_default();
        Ok(format!("{scheme}://{host}{port}{prefix}{SERVICE_PATH}"))
    }

    /// What the outermost trusted proxy says. `Forwarded` goes before
    /// `X-Forwarded-*`.
    fn forwarded(&self, asked: &Asked<'_>) -> Told {
        let list = |name: &str| -> Vec<&str> {
            (asked.header)(name).into_iter().flat_map(|value| split_outside_quotes(value, ',')).collect()
        };
        let mut told = Told::default();
        let elements = list("forwarded");
        for element in elements.iter().rev() {
            let mut next = Told { prefix: None, ..Told::default() };
            let mut hop = None;
            for pair in split_outside_quotes(element, ';') {
                let Some((name, value)) = pair.split_once('=') else { continue };
                let value = unquote(value.trim());
                match name.trim().to_ascii_lowercase().as_str() {
                    "host" => next.host = Some(value),
                    "proto" => next.scheme = Some(value),
                    "for" => hop = address_of(&value),
                    _ => {}
                }
            }
            // An element may leave out what its proxy did not change.
            told.host = next.host.or(told.host);
            told.scheme = next.scheme.or(told.scheme);
            if !hop.is_some_and(|hop| self.trusts(hop)) {
                break;
            }
        }
        let hops_before = list("x-forwarded-for")
            .iter()
            .rev()
            .take_while(|hop| address_of(hop).is_some_and(|hop| self.trusts(hop)))
            .count();
        // The value that the outermost trusted proxy added; if not all of them
        // added one, the first.
        let outermost = |name: &str| -> Option<String> {
            let values = list(name);
            let position = values.len().saturating_sub(1 + hops_before);
            values.get(position).map(|value| unquote(value.trim()))
        };
        if elements.is_empty() {
            told.host = outermost("x-forwarded-host");
            told.scheme = outermost("x-forwarded-proto");
            told.port = outermost("x-forwarded-port").and_then(|port| port.parse().ok());
        }
        told.prefix = outermost("x-forwarded-prefix");
        told
    }
}

/// What a proxy says of the request it got; nothing of it is checked yet.
#[derive(Debug, Default)]
struct Told {
    scheme: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    prefix: Option<String>,
    /// No proxy stands between that could listen on another port.
    direct: bool,
}

/// The host is the very address the server listens on. Python's dicomweb-client
/// sends that without the port, and URLs without the port would lead nowhere.
/// Of a name this cannot be known: a container's port may be mapped to another.
fn names_listener(host: &str, asked: &Asked<'_>) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let own = asked.listen.ip();
    let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
    if own.is_loopback() || own.is_unspecified() {
        let local_host = literal.map_or(host.eq_ignore_ascii_case("localhost"), is_loopback);
        return local_host && asked.peer.is_some_and(is_loopback);
    }
    literal == Some(own)
}

fn read_public_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = known_scheme(scheme)?;
    let (host, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    if !is_authority(host) {
        return None;
    }
    let path = plain_path(path)?;
    let path = path.strip_suffix(SERVICE_PATH).unwrap_or(path);
    Some(format!("{scheme}://{host}{path}{SERVICE_PATH}"))
}

fn known_scheme(text: &str) -> Option<&'static str> {
    ["https", "http"].into_iter().find(|known| text.trim().eq_ignore_ascii_case(known))
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A host name, an IPv4 address or an IPv6 address in brackets, and perhaps a
/// port. Stricter than RFC 3986: no user, no percent-encoding.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, rest)) = rest.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            if rest.is_empty() {
                return true;
            }
            let Some(port) = rest.strip_prefix(':') else { return false };
            ("ipv6", Some(port))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    (1..=255).contains(&host.len())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && port
            .is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// A path of plain segments, without the slash at its end; empty for the root.
fn plain_path(text: &str) -> Option<&str> {
    let path = text.trim().trim_end_matches('/');
    if path.is_empty() {
        return Some("");
    }
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    (path.len() <= 255 && path.strip_prefix('/')?.split('/').all(plain)).then_some(path)
}

/// The address of a hop: `1.2.3.4`, `1.2.3.4:80`, `[::1]:80` or `::1`.
fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']')?.0.parse().ok();
    }
    text.parse().ok().or_else(|| text.split_once(':')?.0.parse().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.1.2.3";

    fn network(text: &str) -> Network {
        Network::try_from(text.to_owned()).expect("network")
    }

    fn base(peer: &str, headers: &[(&str, &str)]) -> Result<String, HostError> {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(network);
        let base = BaseUrl::new(None, networks.to_vec()).expect("nothing configured");
        let header = |name: &str| -> Vec<&str> {
            headers.iter().filter(|(known, _)| *known == name).map(|(_, value)| *value).collect()
        };
        let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        base.of(&Asked { peer: peer.parse().ok(), listen, tls: false, header: &header })
    }

    #[allow(clippy::unnecessary_wraps, reason = "what it is compared with")]
    fn url(authority: &str) -> Result<String, HostError> {
        Ok(format!("{authority}/dicomweb"))
    }

    #[test]
    fn the_host_of_the_request() {
        let host = |value| base("1.2.3.4", &[("host", value)]);
        assert_eq!(host("pacs.example:8080"), url("http://pacs.example:8080"));
        assert_eq!(host("[::1]:8080"), url("http://[::1]:8080"));
        assert_eq!(host("192.168.1.1"), url("http://192.168.1.1"));
        for bad in [
            "", "a b", "a@b", "a\"b", "a<b", "a/b", "a:b", "a:99999", "[::1", "[x]:1", "[::1]x", "ä",
            "a\r\nb", ":80",
        ] {
            assert_eq!(host(bad), Err(HostError), "{bad}");
        }
        assert_eq!(base("1.2.3.4", &[]), Err(HostError));
    }

    /// Python's dicomweb-client sends `Host: 127.0.0.1` to port 8080, and got
    /// `BulkDataURI`s of port 80 that it could not fetch.
    #[test]
    fn a_host_without_its_port() {
        let of = |peer: &str, listen: &str, host: &'static str| {
            let base = BaseUrl::new(None, vec![network("127.0.0.9")]);
            let listen = listen.parse().expect("address");
            let header = |name: &str| if name == "host" { vec![host] } else { Vec::new() };
            let asked = Asked { peer: peer.parse().ok(), listen, tls: false, header: &header };
            base.expect("nothing configured").of(&asked)
        };
        let own = "127.0.0.1:8080";
        assert_eq!(of("127.0.0.1", own, "127.0.0.1"), url("http://127.0.0.1:8080"));
        assert_eq!(of("127.0.0.1", own, "LocalHost"), url("http://LocalHost:8080"));
        assert_eq!(of("::1", "[::1]:8080", "[::1]"), url("http://[::1]:8080"));
        assert_eq!(of("127.0.0.1", "0.0.0.0:8080", "localhost"), url("http://localhost:8080"));
        assert_eq!(of("192.0.2.7", "192.0.2.1:8080", "192.0.2.1"), url("http://192.0.2.1:8080"));
        assert_eq!(of("127.0.0.1", "127.0.0.1:80", "localhost"), url("http://localhost"));
        assert_eq!(of("127.0.0.1", own, "localhost:9"), url("http://localhost:9"), "it says its port");
        assert_eq!(of("127.0.0.9", own, "localhost"), url("http://localhost"), "a proxy on port 80");
        assert_eq!(of("192.0.2.7", "0.0.0.0:8080", "localhost"), url("http://localhost"), "a mapped port");
        assert_eq!(of("192.0.2.7", "192.0.2.1:8080", "pacs"), url("http://pacs"), "only a name");
    }

    #[test]
    fn only_a_trusted_proxy_is_heard() {
        let headers = [
            ("host", "inner:8080"),
            ("x-forwarded-host", "pacs.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-prefix", "/imaging/"),
        ];
        assert_eq!(base(PROXY, &headers), url("https://pacs.example/imaging"));
        assert_eq!(base("1.2.3.4", &headers), url("http://inner:8080"));
        assert_eq!(base("no address", &headers), url("http://inner:8080"));
    }

    #[test]
    fn the_client_behind_trusted_proxies() {
        let client = |peer: &str, name: &'static str, value: &'static str| {
            let networks = ["10.0.0.0/8", "fd00::/8"].map(network);
            let base = BaseUrl::new(None, networks.to_vec()).expect("nothing configured");
            let header = |asked: &str| if asked == name { vec![value] } else { Vec::new() };
            base.client(peer.parse().ok(), &header).map(|address| address.to_string()).unwrap_or_default()
        };
        let hops = "x-forwarded-for";
        assert_eq!(client("1.2.3.4", hops, "9.9.9.9"), "1.2.3.4", "a stranger's word");
        assert_eq!(client(PROXY, hops, "6.6.6.6, 1.2.3.4"), "1.2.3.4", "what the client says before it");
        assert_eq!(client(PROXY, hops, "1.2.3.4, 10.0.0.9"), "1.2.3.4");
        assert_eq!(client(PROXY, hops, "10.0.0.8, 10.0.0.9"), "10.0.0.8", "all of them are proxies");
        assert_eq!(client(PROXY, hops, "nonsense"), PROXY);
        assert_eq!(client(PROXY, "forwarded", "for=1.2.3.4;proto=https, for=\"[fd00::5]:81\""), "1.2.3.4");
        assert_eq!(client(PROXY, "forwarded", "for=_hidden"), PROXY);
        assert_eq!(client("no address", hops, "1.2.3.4"), "");
    }

    #[test]
    fn forwarded() {
        let one = |value| base(PROXY, &[("host", "inner"), ("forwarded", value)]);
        assert_eq!(
            one("for=1.2.3.4;Proto=HTTPS;host=\"pacs.example:8443\""),
            url("https://pacs.example:8443")
        );
        assert_eq!(one("for=1.2.3.4;proto=https"), url("https://inner"));
        assert_eq!(one("host=evil.example, for=1.2.3.4;host=pacs.example"), url("http://pacs.example"));
        assert_eq!(
            one("for=1.2.3.4;host=outer.example;proto=https, for=\"[fd00::5]:81\";host=middle"),
            url("https://outer.example"),
            "the hop before is trusted as well"
        );
        assert_eq!(one("host=\"a b\";proto=gopher"), url("http://inner"), "nonsense is not heard");
        assert_eq!(one(";;,,=;\""), url("http://inner"));
    }

    #[test]
    fn chains_of_proxies() {
        let chain = |hops, hosts| {
            base(PROXY, &[("host", "inner"), ("x-forwarded-for", hops), ("x-forwarded-host", hosts)])
        };
        assert_eq!(chain("1.2.3.4", "evil.example, pacs.example"), url("http://pacs.example"));
        assert_eq!(chain("1.2.3.4, 10.0.0.9", "outer.example, middle"), url("http://outer.example"));
        assert_eq!(chain("1.2.3.4, 10.0.0.9", "outer.example"), url("http://outer.example"));
        assert_eq!(
            base(PROXY, &[("host", "inner"), ("x-forwarded-port", "8443"), ("x-forwarded-proto", "https")]),
            url("https://inner:8443")
        );
        assert_eq!(
            base(PROXY, &[("host", "inner"), ("x-forwarded-port", "443"), ("x-forwarded-proto", "https")]),
            url("https://inner")
        );
        for prefix in ["//evil.example", "/a/../b", "a", "/a b", "/a\"b", "/a?b", "/%2e"] {
            let headers = [("host", "inner"), ("x-forwarded-prefix", prefix)];
            assert_eq!(base(PROXY, &headers), url("http://inner"), "{prefix}");
        }
    }

    #[test]
    fn a_configured_url_goes_before_all() {
        let configured = |text| {
            let base = BaseUrl::new(Some(text), Vec::new())?;
            let header = |_: &str| Vec::new();
            let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
            Ok(base.of(&Asked { peer: None, listen, tls: true, header: &header }))
        };
        for text in ["https://pacs.example", " https://pacs.example/ ", "HTTPS://pacs.example/dicomweb/"] {
            assert_eq!(configured(text), Ok(url("https://pacs.example")), "{text}");
        }
        assert_eq!(configured("http://h:1/a/b"), Ok(url("http://h:1/a/b")));
        for bad in
            ["", "pacs.example", "ftp://h", "https://", "https://u@h", "https://h/?q", "https://h/a//b"]
        {
            assert_eq!(configured(bad), Err(ConfiguredError::PublicUrl(bad.to_owned())), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_needs_no_escaping(
            host in "[a-z.:@<\"\\[\\] ]{0,20}",
            forwarded in "[a-z=;,:\"\\[\\]. ]{0,40}|host=[a-z<@. ]{0,9}",
            prefix in "[a-z/.%\" ]{0,20}",
        ) {
            let headers =
                [("host", host.as_str()), ("forwarded", forwarded.as_str()), ("x-forwarded-prefix", prefix.as_str())];
            if let Ok(url) = base(PROXY, &headers) {
                prop_assert!(url.starts_with("http://") || url.starts_with("https://"));
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/[]".contains(&byte);
                prop_assert!(url.bytes().all(plain), "{}", url);
                prop_assert!(!url[8..].contains("//"), "{}", url);
            }
        }
    }
}
