//! The record: the 1,536 bytes before a file in a pack, which are three tar
//! blocks and our log entry at once. It knows nothing of files on a disk.
//!
//! ```text
//! 512  pax extended header ('x')
//! 512  its body: `512 comment=hilum1 stored=<study>/<series>/<instance> length=… blake3=…
//!      stamp=… pack=… at=… check=…`, filled with spaces (for 8 GiB and more, `size=` before it)
//! 512  ustar header: `<study>/<series>/<instance>.dcm`
//! ```
//! A file that was kept beside the instance that was there already (see
//! [`Role`]) has `kept=` for `stored=`, and a name that says so: extraction
//! must not put it in the place of the other.
//!
//! A file that is encrypted (see [`super::sealed`]) has `seal=` for `blake3=`: a
//! number that only who has the key can make of the digest and the rest. Its
//! `length` is that of the file, the one tar sees that of the encrypted bytes,
//! and its name ends in `.enc`.
//!
//! A tombstone has `deleted=` for `stored=` and, as the entry that tar wants,
//! the folder `<study>/<series>/`: extraction makes nothing of it that is not
//! there. (A pax global header would be the obvious form, but one at the end
//! of an archive is an error to Python's tarfile.) `comment` is the one pax
//! keyword that every reader passes over in silence.
//!
//! Invariant: a record is valid only in the pack (`pack`, a number that cannot
//! be guessed from outside) and at the offset (`at`) it was written for, and
//! only if it is, byte for byte, what we would write. So neither old blocks
//! that a crash brings back nor a stored file that looks like a pack can pass.

use std::fmt::Write as _;

use crate::dicom::uid::{InstancePath, InstanceUid, SeriesUid, StudyUid};
use crate::storage::seal::sealed_length;
use crate::storage::{Digest, Role, Stamp};

/// Tar counts in blocks of this many bytes.
pub(super) const BLOCK_BYTES: usize = 512;
/// Bytes of a record.
pub(super) const RECORD_BYTES: usize = 3 * BLOCK_BYTES;
/// The first length that a ustar header cannot hold (11 octal digits).
const USTAR_SIZE_END: u64 = 1 << 33;
/// What a reader of pax headers sees before our own words.
const MAGIC: &str = "comment=hilum1 ";

/// What a record says of its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Stored { role: Role, length: u64, proof: Proof },
    Deleted,
}

/// By what the bytes of a file are known to be the right ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Digest(Digest),
    /// Of a file that is encrypted, see [`super::sealed::PackKey::proof`].
    Sealed([u8; 32]),
}

impl What {
    /// Bytes of the file.
    pub fn length(self) -> u64 {
        match self {
            Self::Stored { length, .. } => length,
            Self::Deleted => 0,
        }
    }

    /// Bytes that the file takes after the record, without padding. `None` for a
    /// length that no pack can have.
    pub fn stored_length(self) -> Option<u64> {
        match self {
            Self::Stored { length, proof: Proof::Sealed(_), .. } => sealed_length(length),
            Self::Stored { .. } | Self::Deleted => Some(self.length()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub path: InstancePath,
    pub stamp: Stamp,
    pub what: What,
}

/// The one place where a record is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    /// The number that marks all records of one pack.
    pub mark: u64,
    pub offset: u64,
}

/// Bytes that a file of this length takes in a pack, without its record.
/// `None` for a length that no pack can have.
pub(super) fn padded(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(BLOCK_BYTES as u64)
}

/// Bytes of zero after a file of this length.
pub(super) fn padding(length: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    #[allow(clippy::cast_possible_truncation, reason = "less than a block")]
    let used = (length % BLOCK_BYTES as u64) as usize;
    if used == 0 { &[] } else { &ZEROS[used..] }
}

/// Writes a record.
pub(super) fn encode(path: &InstancePath, stamp: Stamp, what: What, seat: Seat) -> [u8; RECORD_BYTES] {
    let mtime = stamp.0 / 1_000_000;
    let mut bytes = [0; RECORD_BYTES];
    let instance = path.instance.as_str();
    let pax =
        Header { name: &format!("PaxHeaders/{instance}"), prefix: "", mode: 0o644, size: 512, kind: b'x' };
    let series = || format!("{}/{}", path.study, path.series);
    let extension = match what {
        What::Stored { proof: Proof::Sealed(_), .. } => "dcm.enc",
        What::Stored { proof: Proof::Digest(_), .. } | What::Deleted => "dcm",
    };
    let (name, prefix) = match what {
        What::Stored { role: Role::Current, .. } => (format!("{instance}.{extension}"), series()),
        // At most 64 + 6 + 20 + 8 of 100 bytes.
        What::Stored { role: Role::Kept, .. } => {
            (format!("{instance}.kept-{}.{extension}", stamp.0), series())
        }
        What::Deleted => (format!("{}/", path.series), path.study.to_string()),
    };
    let ustar = match what {
        What::Stored { .. } => Header {
            name: &name,
            prefix: &prefix,
            mode: 0o644,
            size: what.stored_length().filter(|&length| length < USTAR_SIZE_END).unwrap_or(0),
            kind: b'0',
        },
        What::Deleted => Header { name: &name, prefix: &prefix, mode: 0o755, size: 0, kind: b'5' },
    };
    bytes[..512].copy_from_slice(&pax.block(mtime));
    bytes[1024..].copy_from_slice(&ustar.block(mtime));

    let (body, check_at) = body(path, stamp, what, seat);
    bytes[512..512 + body.len()].copy_from_slice(body.as_bytes());
    let check = format!("{:08x}", crc32fast::hash(&bytes));
    let check_at = 512 + check_at;
    bytes[check_at..check_at + 8].copy_from_slice(check.as_bytes());
    bytes
}

/// The body of the pax header with a check of zeros, and where in it the check stands.
fn body(path: &InstancePath, stamp: Stamp, what: What, seat: Seat) -> (String, usize) {
    let mut words = String::with_capacity(BLOCK_BYTES);
    let mut say = |text: std::fmt::Arguments<'_>| {
        words.write_fmt(text).expect("writing to a String does not fail");
    };
    match what {
        What::Stored { role, length, proof } => {
            let word = match role {
                Role::Current => "stored",
                Role::Kept => "kept",
            };
            say(format_args!("{word}={path} length={length} "));
            match proof {
                Proof::Digest(digest) => say(format_args!("blake3={digest}")),
                Proof::Sealed(proof) => say(format_args!("seal={}", Digest(proof))),
            }
        }
        What::Deleted => say(format_args!("deleted={path}")),
    }
    say(format_args!(" stamp={} pack={:016x} at={} check=", stamp.0, seat.mark, seat.offset));

    let mut body = String::with_capacity(BLOCK_BYTES);
    if let What::Stored { length, .. } = what
        && let length = what.stored_length().unwrap_or(length)
        && length >= USTAR_SIZE_END
    {
        // 2 digits of record length, a space, "size=", the digits, a line feed.
        let digits = length.to_string();
        body = format!("{} size={digits}\n", 9 + digits.len());
    }
    // The comment takes the rest; it is always three digits long.
    body = format!("{body}{} {MAGIC}{words}", BLOCK_BYTES - body.len());
    let check_at = body.len();
    body.push_str("00000000");
    // Never longer than the block: with every number and UID at its longest
    // the words end at byte 437 (a test writes that one).
    while body.len() < BLOCK_BYTES - 1 {
        body.push(' ');
    }
    body.push('\n');
    debug_assert_eq!(body.len(), BLOCK_BYTES);
    (body, check_at)
}

struct Header<'a> {
    name: &'a str,
    prefix: &'a str,
    mode: u32,
    size: u64,
    kind: u8,
}

impl Header<'_> {
    /// A ustar header block (POSIX.1-2017, pax, "ustar Header Block").
    fn block(&self, mtime: u64) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, self.name);
        put(100, &format!("{:07o}", self.mode));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", self.size));
        put(136, &format!("{:011o}", mtime.min(USTAR_SIZE_END - 1)));
        put(148, "        ");
        put(257, "ustar");
        put(263, "00");
        put(329, "0000000");
        put(337, "0000000");
        put(345, self.prefix);
        block[156] = self.kind;
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }
}

/// Whether a block may be the first of a record: a cheap look before [`decode`].
pub(super) fn may_begin(block: &[u8]) -> bool {
    block.get(156) == Some(&b'x') && block.get(257..265) == Some(b"ustar\x0000") && block.starts_with(b"PaxH")
}

/// Reads a record that stands at `offset`. With no `mark` given any is taken;
/// the mark found is returned.
pub(super) fn decode(bytes: &[u8; RECORD_BYTES], mark: Option<u64>, offset: u64) -> Option<(Record, u64)> {
    if !may_begin(&bytes[..512]) {
        return None;
    }
    let body = std::str::from_utf8(&bytes[512..1024]).ok()?;
    let (_, words) = body.split_once(MAGIC)?;
    let (mut path, mut role, mut length, mut proof, mut stamp, mut found) =
        (None, None, None, None, None, None);
    for word in words.split_ascii_whitespace() {
        match word.split_once('=')? {
            ("stored", text) => (path, role) = (Some(parse_path(text)?), Some(Role::Current)),
            ("kept", text) => (path, role) = (Some(parse_path(text)?), Some(Role::Kept)),
            ("deleted", text) => (path, role) = (Some(parse_path(text)?), None),
            ("length", text) => length = Some(text.parse().ok()?),
            ("blake3", text) => proof = Some(Proof::Digest(Digest(from_hex(text)?))),
            ("seal", text) => proof = Some(Proof::Sealed(from_hex(text)?)),
            ("stamp", text) => stamp = Some(Stamp(text.parse().ok()?)),
            ("pack", text) => found = Some(u64::from_str_radix(text, 16).ok()?),
            // The place and the check are held against what we would write.
            _ => {}
        }
    }
    let (path, stamp, found) = (path?, stamp?, found?);
    if mark.is_some_and(|mark| mark != found) {
        return None;
    }
    let what = match role {
        Some(role) => What::Stored { role, length: length?, proof: proof? },
        None => What::Deleted,
    };
    let again = encode(&path, stamp, what, Seat { mark: found, offset });
    (again == *bytes).then_some((Record { path, stamp, what }, found))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(text).ok().map(|hash| *hash.as_bytes())
}

fn parse_path(text: &str) -> Option<InstancePath> {
    let mut parts = text.split('/');
    let path = InstancePath {
        study: StudyUid::parse(parts.next()?).ok()?,
        series: SeriesUid::parse(parts.next()?).ok()?,
        instance: InstanceUid::parse(parts.next()?).ok()?,
    };
    parts.next().is_none().then_some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(study: &str, series: &str, instance: &str) -> InstancePath {
        InstancePath {
            study: StudyUid::parse(study).unwrap(),
            series: SeriesUid::parse(series).unwrap(),
            instance: InstanceUid::parse(instance).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            study in "[0-9][0-9.]{0,63}", series in "[0-9][0-9.]{0,63}", instance in "[0-9][0-9.]{0,63}",
            stamp: u64, length: u64, digest: [u8; 32], mark: u64, offset: u64, kind in 0..5,
        ) {
            let path = path(&study, &series, &instance);
            let what = match kind {
                0 => What::Stored { role: Role::Current, length, proof: Proof::Digest(Digest(digest)) },
                1 => What::Stored { role: Role::Kept, length, proof: Proof::Digest(Digest(digest)) },
                2 => What::Stored { role: Role::Current, length, proof: Proof::Sealed(digest) },
                3 => What::Stored { role: Role::Kept, length, proof: Proof::Sealed(digest) },
                _ => What::Deleted,
            };
            let bytes = encode(&path, Stamp(stamp), what, Seat { mark, offset });
            let record = Record { path, stamp: Stamp(stamp), what };
            prop_assert_eq!(decode(&bytes, Some(mark), offset), Some((record.clone(), mark)));
            prop_assert_eq!(decode(&bytes, None, offset), Some((record, mark)));
            prop_assert_eq!(decode(&bytes, Some(mark), offset ^ 512), None);
            prop_assert_eq!(decode(&bytes, Some(mark ^ 1), offset), None);
        }

        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), RECORD_BYTES), words in "[ =a-z0-9/.]{0,400}") {
            bytes[0..4].copy_from_slice(b"PaxH");
            bytes[156] = b'x';
            bytes[257..265].copy_from_slice(b"ustar\x0000");
            bytes[512..512 + MAGIC.len()].copy_from_slice(MAGIC.as_bytes());
            let at = 512 + MAGIC.len();
            bytes[at..1024].fill(b' ');
            bytes[at..at + words.len()].copy_from_slice(words.as_bytes());
            let bytes: [u8; RECORD_BYTES] = bytes.try_into().unwrap();
            prop_assert_eq!(decode(&bytes, None, 0), None);
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let what = What::Stored { role: Role::Kept, length: u64::MAX / 2, proof: Proof::Sealed([7; 32]) };
        let long = "1".repeat(64);
        let seat = Seat { mark: u64::MAX, offset: u64::MAX };
        let bytes = encode(&path(&long, &long, &long), Stamp(u64::MAX), what, seat);
        assert!(decode(&bytes, Some(seat.mark), seat.offset).is_some());
        for bit in 0..RECORD_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes, None, seat.offset), None, "bit {bit}");
        }
    }

    /// Packs of format 1 are read as they are: what it could say is said in the
    /// same bytes.
    #[test]
    fn format_1_has_the_same_bytes() {
        let proof = Proof::Digest(Digest([7; 32]));
        let what = What::Stored { role: Role::Current, length: 5000, proof };
        let bytes = encode(
            &path("1.2", "1.3", "1.4"),
            Stamp(1_700_000_000_000_000),
            what,
            Seat { mark: 9, offset: 1024 },
        );
        assert_eq!(
            blake3::hash(&bytes).to_hex().as_str(),
            "8927080b410aae53ea142a5c0f6ef16dfb1c9faac39a2d653c7d7108f95e1ce0"
        );
    }
}
