//! What is known of a pack that lies in a bucket: its length, and the digest of
//! each block of it, so that every block is checked when it arrives. It lies
//! beside the pack in the bucket, and in its place in the folder of the packs:
//!
//! ```text
//! hilum-pack 1 00000007 00000000000536870912 <64 hex: BLAKE3 of all but this>
//! <64 hex: BLAKE3 of the first MiB of the pack>
//! …
//! ```
//! Invariant: what is read was written so, for it carries its own digest.

use std::fmt::Write;
use std::io;

use crate::storage::PackId;

/// Bytes of a block; the last may be shorter.
pub const BLOCK_BYTES: u64 = 1 << 20;
/// Bytes of the first line.
pub const HEAD_BYTES: usize = HEAD.len() + 8 + 1 + 20 + 1 + 64 + 1;
const HEAD: &str = "hilum-pack 1 ";
/// Bytes of each of the others.
const LINE_BYTES: usize = 65;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub pack: PackId,
    pub length: u64,
    pub blocks: Vec<blake3::Hash>,
}

fn digest(head: &str, lines: &str) -> blake3::Hash {
    blake3::Hasher::new().update(head.as_bytes()).update(lines.as_bytes()).finalize()
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the manifest of a pack is damaged")
}

impl Manifest {
    /// That of a pack whose bytes `read` gives, block by block.
    ///
    /// # Errors
    /// What `read` says.
    pub fn of(
        pack: PackId,
        length: u64,
        read: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> io::Result<Self> {
        let mut blocks = Vec::new();
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < length {
            let bytes = BLOCK_BYTES.min(length - at);
            buffer.resize(usize::try_from(bytes).unwrap_or_default(), 0);
            read(&mut buffer, at)?;
            blocks.push(blake3::hash(&buffer));
            at += bytes;
        }
        Ok(Self { pack, length, blocks })
    }

    pub fn to_text(&self) -> String {
        let mut lines = String::with_capacity(self.blocks.len() * LINE_BYTES);
        for block in &self.blocks {
            // A String takes all.
            let _ = writeln!(lines, "{block}");
        }
        let head = format!("{HEAD}{} {:020} ", self.pack, self.length);
        let digest = digest(&head, &lines);
        format!("{head}{digest}\n{lines}")
    }

    /// # Errors
    /// `InvalidData` when it is not what was written.
    pub fn parse(text: &[u8], pack: PackId) -> io::Result<Self> {
        let text = std::str::from_utf8(text).map_err(|_| malformed())?;
        let (head, lines) = text.split_at_checked(HEAD_BYTES).ok_or_else(malformed)?;
        let length = length_of(head.as_bytes(), pack)?;
        let said = head.get(HEAD_BYTES - LINE_BYTES..HEAD_BYTES - 1).unwrap_or_default();
        if head.get(..HEAD_BYTES - LINE_BYTES).map(|head| digest(head, lines).to_string()).as_deref()
            != Some(said)
        {
            return Err(malformed());
        }
        let blocks: Result<Vec<_>, _> = lines.lines().map(blake3::Hash::from_hex).collect();
        let blocks = blocks.map_err(|_| malformed())?;
        if blocks.len() as u64 != length.div_ceil(BLOCK_BYTES) {
            return Err(malformed());
        }
        Ok(Self { pack, length, blocks })
    }

    /// The bytes of a block.
    pub fn block_bytes(&self, index: u32) -> u64 {
        self.length.saturating_sub(u64::from(index) * BLOCK_BYTES).min(BLOCK_BYTES)
    }

    /// Whether `bytes` are those of a block.
    pub fn is_block(&self, index: u32, bytes: &[u8]) -> bool {
        self.blocks.get(index as usize).is_some_and(|block| *block == blake3::hash(bytes))
    }
}

/// The length of a pack by the first line of its manifest.
///
/// # Errors
/// `InvalidData` when it is none, or of another pack.
pub fn length_of(head: &[u8], pack: PackId) -> io::Result<u64> {
    let head =
        head.get(..HEAD_BYTES).and_then(|head| std::str::from_utf8(head).ok()).ok_or_else(malformed)?;
    let rest = head.strip_prefix(HEAD).and_then(|rest| rest.strip_suffix('\n')).ok_or_else(malformed)?;
    let mut words = rest.split(' ');
    let of = words.next().and_then(|word| word.parse().ok()).map(PackId);
    let length = words.next().filter(|word| word.len() == 20).and_then(|word| word.parse().ok());
    match (of, length) {
        (Some(of), Some(length)) if of == pack => Ok(length),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_and_not_when_damaged() {
        let bytes: Vec<u8> = (0..BLOCK_BYTES * 2 + 77).map(|at| (at % 253) as u8).collect();
        let manifest = Manifest::of(PackId(7), bytes.len() as u64, &mut |buffer, at| {
            let at = usize::try_from(at).unwrap();
            buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
            Ok(())
        });
        let manifest = manifest.unwrap();
        assert_eq!(manifest.blocks.len(), 3);
        assert_eq!(manifest.block_bytes(2), 77);
        assert!(manifest.is_block(2, &bytes[2 << 20..]) && !manifest.is_block(1, &bytes[2 << 20..]));
        let text = manifest.to_text().into_bytes();
        assert_eq!(Manifest::parse(&text, PackId(7)).unwrap(), manifest);
        assert_eq!(length_of(&text, PackId(7)).unwrap(), manifest.length);
        assert!(Manifest::parse(&text, PackId(8)).is_err());
        for at in 0..text.len() {
            let mut damaged = text.clone();
            damaged[at] ^= 1;
            assert!(Manifest::parse(&damaged, PackId(7)).is_err(), "byte {at}");
        }
        assert!(Manifest::parse(&text[..text.len() - 1], PackId(7)).is_err());
    }
}
