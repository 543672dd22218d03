//! When two URIs are the same name. A client may write a `Content-Location`
//! otherwise than the `BulkDataURI` (RFC 3986 section 6.2.2): other case of the
//! host, the default port, percent signs where none are needed, a path without
//! its server.

use std::collections::HashMap;

/// Parts by the places they say they are.
#[derive(Default)]
pub(super) struct Locations {
    written: HashMap<String, Vec<usize>>,
    normal: HashMap<String, Vec<usize>>,
    /// Those with a server, by what follows its name.
    paths: HashMap<String, Vec<usize>>,
}

impl Locations {
    pub(super) fn add(&mut self, location: &str, position: usize) {
        let normal = normalised(location);
        if let Some(path) = path_of(&normal) {
            self.paths.entry(path.to_owned()).or_default().push(position);
        }
        self.normal.entry(normal).or_default().push(position);
        self.written.entry(location.to_owned()).or_default().push(position);
    }

    /// The parts that a URI names: as it is written, else in another spelling,
    /// else without its server where one of the two names none.
    pub(super) fn find(&self, uri: &str) -> &[usize] {
        if let Some(found) = self.written.get(uri) {
            return found;
        }
        let normal = normalised(uri);
        let found = self.normal.get(&normal).or_else(|| match path_of(&normal) {
            Some(path) => self.normal.get(path),
            None => self.paths.get(&normal),
        });
        found.map_or(&[], Vec::as_slice)
    }
}

fn normalised(uri: &str) -> String {
    let uri = uri.trim().trim_start_matches('<').trim_end_matches('>');
    let uri = uri.split_once('#').map_or(uri, |(before, _)| before);
    let text = decoded(uri);
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let scheme = scheme.to_ascii_lowercase();
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let authority = authority.to_ascii_lowercase();
    let port = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let authority = authority.strip_suffix(port).unwrap_or(&authority);
    format!("{scheme}://{authority}{path}")
}

/// What follows the server's name, with its slash.
fn path_of(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    rest.find('/').and_then(|at| rest.get(at..)).filter(|path| path.len() > 1)
}

/// Percent-encoded characters that need not be, decoded.
fn decoded(uri: &str) -> String {
    let mut text = String::with_capacity(uri.len());
    let mut rest = uri;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&byte) => {
                text.push(char::from(byte));
                rest = after.get(2..).unwrap_or_default();
            }
            Some(_) | None => {
                text.push('%');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sto_24_other_spellings_of_a_name() {
        for (one, other) in [
            ("http://H:80/a/b", "http://h/a/b"),
            ("HTTPS://h:443/a%2Eb", "https://h/a.b"),
            ("http://h/a b#x", "http://h/a b"),
            ("http://h/studies/1", "/studies/1"),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let mut locations = Locations::default();
                locations.add(one, 7);
                assert_eq!(locations.find(other), [7], "{one} {other}");
            }
        }
        let mut locations = Locations::default();
        for (position, name) in ["http://a/x", "http://b/x", "%", "%é", "a%2Fb", "x"].into_iter().enumerate()
        {
            locations.add(name, position);
            assert_eq!(locations.find(name), [position]);
        }
        // Of two servers the names differ, though the paths are alike.
        for name in ["http://c/x", "a/b", "y", ""] {
            assert_eq!(locations.find(name), [0_usize; 0], "{name}");
        }
        assert_eq!(locations.find("/x"), [0, 1]);
    }
}
