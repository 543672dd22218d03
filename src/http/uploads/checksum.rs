//! `Upload-Checksum`: of the bytes of one request (tus, extension checksum).

use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::http::Problem;

/// What clients may send.
pub const ALGORITHMS: &str = "sha1,sha256";

/// A checksum that is expected, and what arrived so far.
pub struct Checksum {
    expected: Vec<u8>,
    hasher: Hasher,
}

enum Hasher {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Checksum {
    /// Reads `algorithm base64`.
    ///
    /// # Errors
    /// 400 when it is malformed or of an algorithm that is not supported.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let (algorithm, value) = text.split_once(' ').unwrap_or((text, ""));
        let hasher = match algorithm {
            "sha1" => Hasher::Sha1(Sha1::new()),
            "sha256" => Hasher::Sha256(Sha256::new()),
            _ => return Err(wrong("the algorithm is not supported; OPTIONS lists those that are")),
        };
        let expected = STANDARD.decode(value.trim()).map_err(|_| wrong("it is `algorithm base64`"))?;
        Ok(Self { expected, hasher })
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.hasher {
            Hasher::Sha1(hasher) => hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
        }
    }

    pub fn fits(self) -> bool {
        match self.hasher {
            Hasher::Sha1(hasher) => hasher.finalize()[..] == self.expected[..],
            Hasher::Sha256(hasher) => hasher.finalize()[..] == self.expected[..],
        }
    }
}

fn wrong(why: &str) -> Problem {
    Problem::invalid_parameter("Upload-Checksum", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_abc() {
        for (text, right) in [
            ("sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", true),
            ("sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", true),
            ("sha1 AAAA", false),
        ] {
            let mut checksum = Checksum::read(text).expect("well formed");
            checksum.update(b"a");
            checksum.update(b"bc");
            assert_eq!(checksum.fits(), right, "{text}");
        }
        for malformed in ["", "md5 AAAA", "sha1 ?"] {
            assert!(Checksum::read(malformed).is_err());
        }
    }
}
