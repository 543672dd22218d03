//! One line of the log, and the chain that holds lines together.
//!
//! `NUMBER HASH JSON\n`: the hash is BLAKE3 with the log's key over the hash of
//! the line before, the number and the JSON. A segment begins with a line
//! `#hilum-audit 1 SEGMENT NUMBER HASH`, the number of its first line and the
//! hash of the line before that. Invariant: a line that does not fit the one
//! before it is not of this log, at this place.

/// The version of the format.
const MAGIC: &str = "#hilum-audit 1 ";

pub type Hash = [u8; 32];

/// Where a chain has come to: the number of its last line, and its hash. Zero
/// and zeros before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    pub number: u64,
    pub hash: Hash,
}

/// A line taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    pub number: u64,
    pub hash: Hash,
    pub json: &'a [u8],
}

impl Head {
    /// The head after one more line.
    #[must_use]
    pub fn next(&self, key: &Hash, json: &[u8]) -> Self {
        let number = self.number + 1;
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(&self.hash).update(&number.to_le_bytes()).update(json);
        Self { number, hash: *hasher.finalize().as_bytes() }
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.number, blake3::Hash::from_bytes(self.hash).to_hex())
    }
}

impl std::str::FromStr for Head {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "a head of the audit log is a number, a colon and 64 hex digits";
        let (number, hash) = text.trim().split_once([' ', ':']).ok_or(wrong)?;
        let hash = blake3::Hash::from_hex(hash.trim()).map_err(|_| wrong)?;
        Ok(Self { number: number.parse().map_err(|_| wrong)?, hash: *hash.as_bytes() })
    }
}

/// Appends a line to `out`; the head after it.
pub fn write(head: Head, key: &Hash, json: &[u8], out: &mut Vec<u8>) -> Head {
    let head = head.next(key, json);
    out.extend_from_slice(head.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(json);
    out.push(b'\n');
    head
}

/// Takes a line apart, its end left out.
#[must_use]
pub fn read(line: &[u8]) -> Option<Line<'_>> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let number = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
    let rest = &line[space + 1..];
    if rest.len() < 65 || rest[64] != b' ' {
        return None;
    }
    let head = Head { number, hash: *blake3::Hash::from_hex(&rest[..64]).ok()?.as_bytes() };
    // There is one way to write a number and a hash.
    (line[..space + 65] == *head.to_string().as_bytes()).then_some(Line {
        number,
        hash: head.hash,
        json: &rest[65..],
    })
}

/// The first line of a segment that goes on from `head`.
#[must_use]
pub fn opening(segment: u64, head: &Head) -> String {
    format!("{MAGIC}{segment} {head}\n")
}

/// The segment and the head that an opening names. `None` if it is none.
#[must_use]
pub fn read_opening(line: &[u8]) -> Option<(u64, Head)> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix(MAGIC)?;
    let (segment, head) = text.split_once(' ')?;
    let (segment, head) = (segment.parse().ok()?, head.parse().ok()?);
    (opening(segment, &head).as_bytes().strip_suffix(b"\n") == Some(line)).then_some((segment, head))
}

/// Whether this is the opening of a format that is not known here.
#[must_use]
pub fn is_newer(line: &[u8]) -> bool {
    line.starts_with(b"#hilum-audit ") && !line.starts_with(MAGIC.as_bytes())
}
