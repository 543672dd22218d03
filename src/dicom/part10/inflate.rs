//! Deflated data sets (PS3.5 section A.5): inflated to memory, or to an unnamed
//! temporary file once they are large, never beyond the limit.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use flate2::{Decompress, FlushDecompress, Status};

use super::Limits;
use super::problem::ReadError;
use crate::dicom::source::Source;

const MEMORY_BYTES_MAX: u64 = 8 << 20;
const STEP_BYTES: usize = 64 * 1024;

/// A data set once it is inflated; offset 0 is its first byte.
#[derive(Debug)]
pub struct Inflated {
    held: Held,
}

#[derive(Debug)]
enum Held {
    Memory(Vec<u8>),
    File { file: File, length: u64 },
}

impl Source for Inflated {
    fn len(&self) -> u64 {
        match &self.held {
            Held::Memory(bytes) => bytes.len() as u64,
            Held::File { length, .. } => *length,
        }
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.held {
            Held::Memory(bytes) => bytes.read_exact_at(buffer, offset),
            Held::File { file, .. } => FileExt::read_exact_at(file, buffer, offset),
        }
    }
}

impl Inflated {
    fn append(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), ReadError> {
        let length = self.len() + bytes.len() as u64;
        if length > limits.inflated_bytes_max {
            return Err(ReadError::InflatedTooLarge { max: limits.inflated_bytes_max });
        }
        if let Held::Memory(held) = &self.held
            && length > MEMORY_BYTES_MAX
        {
            let mut file = tempfile::tempfile()?;
            file.write_all(held)?;
            self.held = Held::File { file, length: held.len() as u64 };
        }
        match &mut self.held {
            Held::Memory(held) => held.extend_from_slice(bytes),
            Held::File { file, length: written } => {
                file.write_all(bytes)?;
                *written = length;
            }
        }
        Ok(())
    }
}

/// Inflates what follows `dataset_offset`.
///
/// # Errors
/// A stream that is damaged, or ends before its end; the limit of
/// `inflated_bytes_max`; what the storage says.
pub fn inflate(source: &dyn Source, dataset_offset: u64, limits: &Limits) -> Result<Inflated, ReadError> {
    let length = source.len();
    let mut inflated = Inflated { held: Held::Memory(Vec::new()) };
    if dataset_offset >= length {
        return Ok(inflated);
    }
    let mut stream = Decompress::new(has_zlib_header(source, dataset_offset)?);
    let mut input = vec![0; STEP_BYTES];
    let mut output = vec![0; STEP_BYTES];
    let mut at = dataset_offset;
    loop {
        let left = usize::try_from(length - at).unwrap_or(usize::MAX).min(STEP_BYTES);
        source.read_exact_at(&mut input[..left], at)?;
        let (read_before, made_before) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress(&input[..left], &mut output, FlushDecompress::None)
            .map_err(|_| ReadError::Deflate { offset: at })?;
        let read = stream.total_in() - read_before;
        let made = stream.total_out() - made_before;
        #[allow(clippy::cast_possible_truncation, reason = "no more than the output has room for")]
        let made_bytes = made as usize;
        inflated.append(&output[..made_bytes], limits)?;
        at += read;
        match status {
            Status::StreamEnd => return Ok(inflated),
            Status::Ok | Status::BufError if read == 0 && made == 0 => {
                return Err(ReadError::Deflate { offset: at });
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

/// Some writers wrap the stream as zlib does. A raw stream that starts with
/// such a byte starts with a stored block, whose length is there twice.
fn has_zlib_header(source: &dyn Source, at: u64) -> Result<bool, ReadError> {
    if source.len() - at < 5 {
        return Ok(false);
    }
    let mut first = [0; 5];
    source.read_exact_at(&mut first, at)?;
    let [method, flags, a, b, c] = first;
    let is_header = method & 0x0F == 8 && method >> 4 <= 7 && u16::from_be_bytes([method, flags]) % 31 == 0;
    let stored = u16::from_le_bytes([flags, a]) == !u16::from_le_bytes([b, c]);
    Ok(is_header && !stored)
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, ZlibEncoder};

    use super::*;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    fn content(inflated: &Inflated) -> Vec<u8> {
        let mut bytes = vec![0; inflated.len() as usize];
        inflated.read_exact_at(&mut bytes, 0).expect("all of it");
        bytes
    }

    #[test]
    fn small_stays_in_memory_and_large_goes_to_a_file() {
        let limits = Limits::default();
        for length in [0_u32, 100, 300_000, 9 << 20] {
            let plain: Vec<u8> = (0..length).map(|n| (n / 7 % 256) as u8).collect();
            let inflated = inflate(&deflated(&plain), 0, &limits).expect("inflates");
            assert!(content(&inflated) == plain);
            assert_eq!(matches!(inflated.held, Held::File { .. }), length > 8 << 20);
        }
    }

    #[test]
    fn zlib_wrapping_is_tolerated() {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"some bytes").expect("memory");
        let bytes = encoder.finish().expect("memory");
        assert_eq!(content(&inflate(&bytes, 0, &Limits::default()).expect("inflates")), b"some bytes");
    }

    #[test]
    fn a_bomb_and_a_torn_stream_are_errors() {
        let bytes = deflated(&vec![0; 4 << 20]);
        let limits = Limits { inflated_bytes_max: 1 << 20, ..Limits::default() };
        assert!(matches!(inflate(&bytes, 0, &limits), Err(ReadError::InflatedTooLarge { .. })));
        let torn = &bytes[..bytes.len() / 2];
        assert!(matches!(inflate(&torn, 0, &Limits::default()), Err(ReadError::Deflate { .. })));
    }
}
