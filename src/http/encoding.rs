//! Content codings of JSON bodies: the choice (RFC 9110 section 12.5.3) and a
//! compressor that holds no more than a window of the body.
//!
//! Must not be used on pixels, DICOM files or ranges: those are compressed
//! already, or counted in bytes. Invariant: what comes out, decompressed, is
//! what went in, however it was cut.

use std::{
    io::{self, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flate2::write::GzEncoder;
use futures_util::Stream;

use super::media::parse_quality;

/// Below this many bytes compression gains less than it costs.
pub const COMPRESSED_BYTES_MIN: u64 = 1024;

/// JSON of DICOM is so repetitive that more effort gains little.
const GZIP_LEVEL: u32 = 3;
const ZSTD_LEVEL: i32 = 3;

/// Bytes that go into the compressor at a time.
const STEP_BYTES: usize = 64 * 1024;
/// Bytes that come out at a time, about.
const CHUNK_BYTES: usize = 32 * 1024;
/// Bytes compressed before other tasks of the thread get their turn.
const TURN_BYTES: usize = 512 * 1024;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// The value of `Content-Encoding`; none for the identity.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// Chooses a coding from all `Accept-Encoding` headers for a body of this
/// length, if it is known. No header, or nothing acceptable: the identity.
#[must_use]
pub fn choose<'a>(headers: impl IntoIterator<Item = &'a str>, length: Option<u64>) -> Coding {
    if length.is_some_and(|length| length < COMPRESSED_BYTES_MIN) {
        return Coding::Identity;
    }
    let (mut gzip, mut zstd, mut identity, mut any) = (None, None, None, None);
    for member in headers.into_iter().flat_map(|value| value.split(',')) {
        let mut pieces = member.split(';');
        let name = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        let quality = pieces
            .filter_map(|piece| piece.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .and_then(|(_, value)| parse_quality(value))
            .unwrap_or(1000);
        match name.as_str() {
            "gzip" | "x-gzip" => gzip = Some(quality),
            "zstd" => zstd = Some(quality),
            "identity" => identity = Some(quality),
            "*" => any = Some(quality),
            _ => {}
        }
    }
    // The identity needs no mention, but whoever lists codings wants one.
    let candidates = [
        (Coding::Zstd, zstd.or(any).unwrap_or(0)),
        (Coding::Gzip, gzip.or(any).unwrap_or(0)),
        (Coding::Identity, identity.unwrap_or(0)),
    ];
    let mut best = (Coding::Identity, 0);
    for candidate in candidates {
        if candidate.1 > best.1 {
            best = candidate;
        }
    }
    best.0
}

enum Encoder {
    Identity(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

/// Compresses chunk by chunk.
pub struct Compressor {
    encoder: Encoder,
}

impl Compressor {
    /// # Errors
    /// The compressor has no memory.
    pub fn new(coding: Coding) -> io::Result<Self> {
        let encoder = match coding {
            Coding::Identity => Encoder::Identity(Vec::new()),
            Coding::Gzip => Encoder::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
            Coding::Zstd => Encoder::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
        };
        Ok(Self { encoder })
    }

    /// Takes in more of the body.
    ///
    /// # Errors
    /// The compressor failed.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.encoder {
            Encoder::Identity(output) => output.write_all(bytes),
            Encoder::Gzip(encoder) => encoder.write_all(bytes),
            Encoder::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// Bytes that are ready to be taken.
    #[must_use]
    pub fn ready(&self) -> usize {
        match &self.encoder {
            Encoder::Identity(output) => output.len(),
            Encoder::Gzip(encoder) => encoder.get_ref().len(),
            Encoder::Zstd(encoder) => encoder.get_ref().len(),
        }
    }

    /// Takes what is ready, perhaps nothing.
    pub fn take(&mut self) -> Bytes {
        let output = match &mut self.encoder {
            Encoder::Identity(output) => output,
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
        };
        Bytes::from(std::mem::take(output))
    }

    /// Ends the body and takes all that is left.
    ///
    /// # Errors
    /// The compressor failed.
    pub fn finish(self) -> io::Result<Bytes> {
        match self.encoder {
            Encoder::Identity(output) => Ok(output),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
        .map(Bytes::from)
    }
}

/// A whole body in the coding that these headers ask for, as [`choose`] says; as
/// it is where that fails.
#[must_use]
pub fn encode<'a>(headers: impl IntoIterator<Item = &'a str>, body: Bytes) -> (Coding, Bytes) {
    let coding = choose(headers, Some(body.len() as u64));
    match compress(coding, body.clone()) {
        Ok(compressed) => (coding, compressed),
        Err(_) => (Coding::Identity, body),
    }
}

fn compress(coding: Coding, body: Bytes) -> io::Result<Bytes> {
    if coding == Coding::Identity {
        return Ok(body);
    }
    let mut compressor = Compressor::new(coding)?;
    compressor.write(&body)?;
    compressor.finish()
}

/// A stream of chunks, compressed. It asks for no chunk before the last one is
/// used up, and lets other tasks of its thread run in between.
pub struct Compressed<S> {
    chunks: S,
    /// None: the stream has ended.
    compressor: Option<Compressor>,
    /// Got, not yet compressed.
    waiting: Bytes,
}

impl<S> Compressed<S> {
    /// # Errors
    /// The compressor has no memory.
    pub fn new(coding: Coding, chunks: S) -> io::Result<Self> {
        Ok(Self { chunks, compressor: Some(Compressor::new(coding)?), waiting: Bytes::new() })
    }
}

impl<S, E> Stream for Compressed<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: From<io::Error>,
{
    type Item = Result<Bytes, E>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let mut turn_bytes = 0;
        loop {
            let Some(compressor) = &mut this.compressor else { return Poll::Ready(None) };
            if compressor.ready() >= CHUNK_BYTES {
                return Poll::Ready(Some(Ok(compressor.take())));
            }
            if !this.waiting.is_empty() {
                if turn_bytes >= TURN_BYTES {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let step = this.waiting.split_to(this.waiting.len().min(STEP_BYTES));
                turn_bytes += step.len();
                if let Err(error) = compressor.write(&step) {
                    this.compressor = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                continue;
            }
            match ready!(Pin::new(&mut this.chunks).poll_next(context)) {
                Some(Ok(chunk)) => this.waiting = chunk,
                Some(Err(error)) => {
                    this.compressor = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    let last = this.compressor.take().map(Compressor::finish).transpose();
                    let last = last.map(Option::unwrap_or_default).map_err(E::from);
                    let nothing = last.as_ref().is_ok_and(Bytes::is_empty);
                    return Poll::Ready((!nothing).then_some(last));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use futures_util::{StreamExt, stream};
    use proptest::prelude::*;

    use super::*;

    fn decompress(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Identity => plain.extend_from_slice(bytes),
            Coding::Gzip => {
                flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("gzip");
            }
            Coding::Zstd => plain = zstd::stream::decode_all(bytes).expect("zstd"),
        }
        plain
    }

    #[test]
    fn choices() {
        let cases = [
            (vec!["gzip, deflate, br, zstd"], Coding::Zstd),
            (vec!["gzip, deflate"], Coding::Gzip),
            (vec!["GZIP;q=0.5, zstd;q=0.4"], Coding::Gzip),
            (vec!["zstd;q=0, gzip"], Coding::Gzip),
            (vec!["gzip;q=0, *"], Coding::Zstd),
            (vec!["deflate", "x-gzip"], Coding::Gzip),
            (vec!["identity, gzip;q=0.5"], Coding::Identity),
            (vec!["gzip, identity"], Coding::Gzip),
            (vec!["br"], Coding::Identity),
            (vec!["*;q=0"], Coding::Identity),
            (vec![""], Coding::Identity),
            (vec![], Coding::Identity),
        ];
        for (headers, expected) in cases {
            assert_eq!(choose(headers.iter().copied(), None), expected, "{headers:?}");
        }
        assert_eq!(choose(["gzip"], Some(COMPRESSED_BYTES_MIN - 1)), Coding::Identity);
        assert_eq!(choose(["gzip"], Some(COMPRESSED_BYTES_MIN)), Coding::Gzip);
    }

    #[tokio::test]
    async fn a_large_chunk_comes_out_in_pieces_and_a_failure_gets_through() {
        // Pseudo-random, so that the output is as large as the input.
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(3 << 20)
        .collect();
        for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
            let chunks = stream::iter([Ok::<_, io::Error>(Bytes::from(noise.clone())), Ok(Bytes::new())]);
            let mut compressed = Compressed::new(coding, chunks).expect("compressor");
            let mut output = Vec::new();
            while let Some(chunk) = compressed.next().await {
                let chunk = chunk.expect("good");
                assert!(chunk.len() <= 512 * 1024, "{}", chunk.len());
                output.extend_from_slice(&chunk);
            }
            assert!(decompress(coding, &output) == noise);
        }
        let chunks = stream::iter([Ok(Bytes::from_static(b"a")), Err(io::Error::other("gone"))]);
        let mut compressed = Compressed::new(Coding::Gzip, chunks).expect("compressor");
        assert!(compressed.next().await.expect("an item").is_err());
        assert!(compressed.next().await.is_none());
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            coding in prop_oneof![Just(Coding::Identity), Just(Coding::Gzip), Just(Coding::Zstd)],
        ) {
            let mut compressor = Compressor::new(coding).expect("compressor");
            let mut output = Vec::new();
            for chunk in &chunks {
                compressor.write(chunk).expect("in memory");
                output.extend_from_slice(&compressor.take());
            }
            output.extend_from_slice(&compressor.finish().expect("in memory"));
            let whole = chunks.concat();
            prop_assert_eq!(decompress(coding, &output), whole.clone());
            let at_once = compress(coding, Bytes::from(whole.clone())).expect("in memory");
            prop_assert_eq!(decompress(coding, &at_once), whole);
        }
    }
}
