//! The reader: chunks of a body in, events out, in time linear in the bytes.
//!
//! A part's data are slices of the chunks that were fed. At most a delimiter's
//! length is held back, where a chunk ends in what may become a delimiter.
//! Tolerated (PS3.18 section 8.6.1.2 and what clients do): a preamble, bare line
//! feeds, space after the boundary, no final `--`, an epilogue, parts without
//! `Content-Type`, and the boundary followed by other text inside the data.

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memmem};

use crate::http::media::MediaType;

/// Space and tabs after a delimiter; more make it data.
const PADDING_MAX: usize = 128;

/// The longest boundary taken; RFC 2046 allows 70 characters.
const BOUNDARY_MAX: usize = 256;

/// What a body may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the headers of one part.
    pub header_bytes_max: usize,
    /// Bytes before the first delimiter.
    pub preamble_bytes_max: usize,
    pub parts_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes_max: 16 * 1024, preamble_bytes_max: 16 * 1024, parts_max: 1_000_000 }
    }
}

/// What is wrong with a body. Offsets count from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    #[error("the boundary of the multipart body is missing, empty or too long")]
    Boundary,
    #[error("the body does not begin with the boundary that its Content-Type names")]
    NoDelimiter,
    #[error("at byte {offset}: part {part} has a header line without a colon")]
    Header { part: usize, offset: u64 },
    #[error("part {part} has more than {max} bytes of headers")]
    HeaderTooLong { part: usize, max: usize },
    #[error("the body ends within the headers of part {part}")]
    Truncated { part: usize },
    #[error("the body has more than {max} parts")]
    TooManyParts { max: usize },
}

/// The headers of a part that mean something in DICOMweb.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartHeaders {
    pub content_type: Option<String>,
    pub content_location: Option<String>,
    /// As claimed. The delimiter alone ends a part.
    pub content_length: Option<u64>,
    /// `binary` and the like change nothing; `base64` would.
    pub content_transfer_encoding: Option<String>,
    pub content_encoding: Option<String>,
}

/// What comes next in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Part(PartHeaders),
    Data(Bytes),
    EndPart,
    /// Nothing more comes. Not `terminated`: the final `--` was missing. The last
    /// part may then have been cut off, unless the length of the body was known
    /// and reached.
    End {
        terminated: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    /// In the headers of a part.
    Headers,
    /// In the data of a part.
    Data,
    /// Between parts: a delimiter was read, its part not yet begun.
    Delimiter {
        closing: bool,
    },
    Done,
}

/// What a place that looks like a delimiter is.
enum Candidate {
    /// A delimiter of this many bytes, its line end included.
    Delimiter { length: usize, closing: bool, bare: bool },
    /// Other text begins with the boundary.
    Data,
    /// More bytes are needed to tell.
    Open,
}

/// Reads one body. Feed it chunks, and after each call [`Reader::next`] until
/// it gives none; after the last chunk call [`Reader::finish`].
#[derive(Debug)]
pub struct Reader {
    /// `\n--boundary`; the `\r` before it is looked at when it was found.
    delimiter: memmem::Finder<'static>,
    limits: Limits,
    state: State,
    /// Fed and not yet consumed, in the states but `Headers`.
    pending: Bytes,
    /// No delimiter begins before this position of `pending`.
    scanned: usize,
    /// The headers collected so far, and where their last line begins.
    headers: BytesMut,
    line_start: usize,
    /// Every line end since the last delimiter was a bare line feed: then a
    /// `\r` before the next one is data.
    bare: bool,
    finished: bool,
    parts: usize,
    /// Bytes consumed.
    offset: u64,
}

/// The boundary of a `multipart/related` content type.
///
/// # Errors
/// It is missing, empty, too long, or has control characters.
pub fn boundary_of(content_type: &MediaType) -> Result<&str, MultipartError> {
    let boundary = content_type.param("boundary").unwrap_or_default().trim_end();
    let sound = (1..=BOUNDARY_MAX).contains(&boundary.len()) && !boundary.chars().any(char::is_control);
    sound.then_some(boundary).ok_or(MultipartError::Boundary)
}

impl Reader {
    #[must_use]
    pub fn new(boundary: &str, limits: Limits) -> Self {
        let delimiter = [b"\n--", boundary.as_bytes()].concat();
        Self {
            delimiter: memmem::Finder::new(&delimiter).into_owned(),
            limits,
            state: State::Preamble,
            // As if the body began with a line end, so that the first
            // delimiter is like the others.
            pending: Bytes::from_static(b"\r\n"),
            scanned: 0,
            headers: BytesMut::new(),
            line_start: 0,
            bare: false,
            finished: false,
            parts: 0,
            offset: 0,
        }
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, chunk: Bytes) {
        if chunk.is_empty() || self.state == State::Done || self.finished {
            return;
        }
        if self.pending.is_empty() {
            self.pending = chunk;
            return;
        }
        // Rare: the last chunk ended in what may be the start of a delimiter.
        // Only that start and the chunk are copied.
        let mut joined = BytesMut::with_capacity(self.pending.len() + chunk.len());
        joined.extend_from_slice(&self.pending);
        joined.extend_from_slice(&chunk);
        self.pending = joined.freeze();
    }

    /// Says that the body has ended.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// [`Event::End`] or an error was given.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The next event; none if more bytes are needed, or after [`Event::End`].
    ///
    /// # Errors
    /// The body is malformed or over a limit. The reader gives nothing more.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Event>, MultipartError> {
        let event = self.advance();
        if event.is_err() {
            self.close();
        }
        event
    }

    fn advance(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            match self.state {
                State::Done => return Ok(None),
                State::Preamble => match self.scan() {
                    Scan::Data(bytes) => {
                        self.count_preamble(bytes.len())?;
                    }
                    Scan::Delimiter { closing } => self.state = State::Delimiter { closing },
                    Scan::More => return Ok(None),
                    Scan::End => return Err(MultipartError::NoDelimiter),
                },
                State::Data => match self.scan() {
                    Scan::Data(bytes) => return Ok(Some(Event::Data(bytes))),
                    Scan::Delimiter { closing } => {
                        self.state = State::Delimiter { closing };
                        return Ok(Some(Event::EndPart));
                    }
                    Scan::More => return Ok(None),
                    Scan::End => {
                        self.state = State::Delimiter { closing: false };
                        return Ok(Some(Event::EndPart));
                    }
                },
                State::Delimiter { closing } => {
                    if closing || (self.finished && self.pending.is_empty()) {
                        self.close();
                        return Ok(Some(Event::End { terminated: closing }));
                    }
                    if self.pending.is_empty() {
                        return Ok(None);
                    }
                    self.begin_part()?;
                }
                State::Headers => match self.read_headers()? {
                    Some(headers) => {
                        self.state = State::Data;
                        return Ok(Some(Event::Part(headers)));
                    }
                    None if self.finished => return Err(MultipartError::Truncated { part: self.parts }),
                    None => return Ok(None),
                },
            }
        }
    }

    fn close(&mut self) {
        self.state = State::Done;
        self.pending = Bytes::new();
        self.headers = BytesMut::new();
    }

    fn begin_part(&mut self) -> Result<(), MultipartError> {
        if self.parts == self.limits.parts_max {
            return Err(MultipartError::TooManyParts { max: self.limits.parts_max });
        }
        self.parts += 1;
        self.headers.clear();
        self.line_start = 0;
        self.state = State::Headers;
        Ok(())
    }

    fn count_preamble(&self, discarded: usize) -> Result<(), MultipartError> {
        // `offset` counts the two bytes that were put before the body.
        let max = self.limits.preamble_bytes_max as u64 + 2;
        if discarded > 0 && self.offset > max { Err(MultipartError::NoDelimiter) } else { Ok(()) }
    }

    /// The next stretch of data, or the delimiter at hand.
    fn scan(&mut self) -> Scan {
        loop {
            let found = self.delimiter.find(&self.pending[self.scanned..]).map(|at| at + self.scanned);
            let Some(line_feed) = found else {
                return self.scan_without_match();
            };
            match self.classify(line_feed) {
                Candidate::Data => self.scanned = line_feed + 1,
                Candidate::Open if !self.finished => {
                    self.scanned = line_feed;
                    return self.data_before(self.delimiter_start(line_feed)).map_or(Scan::More, Scan::Data);
                }
                // The body ends right after a boundary: its last delimiter,
                // which lacks its end (the example of PS3.18 annex B.22 does).
                Candidate::Open => {
                    let start = self.delimiter_start(line_feed);
                    if let Some(bytes) = self.data_before(start) {
                        self.scanned = line_feed - start;
                        return Scan::Data(bytes);
                    }
                    self.consume(self.pending.len());
                    return Scan::Delimiter { closing: false };
                }
                Candidate::Delimiter { length, closing, bare } => {
                    let start = self.delimiter_start(line_feed);
                    if let Some(bytes) = self.data_before(start) {
                        self.scanned = line_feed - start;
                        return Scan::Data(bytes);
                    }
                    self.consume(line_feed - start + length);
                    self.bare = bare;
                    return Scan::Delimiter { closing };
                }
            }
        }
    }

    /// No full `\n--boundary` in what is there: all of it is data but an end
    /// that may be the start of one.
    fn scan_without_match(&mut self) -> Scan {
        if self.finished {
            let length = self.pending.len();
            return self.data_before(length).map_or(Scan::End, Scan::Data);
        }
        let needle = self.delimiter.needle();
        let from = self.pending.len().saturating_sub(needle.len() - 1).max(self.scanned);
        let tail = &self.pending[from..];
        let line_feed = memchr::memchr_iter(b'\n', tail).find(|at| needle.starts_with(&tail[*at..]));
        let keep_from = match line_feed {
            Some(at) => {
                self.scanned = from + at;
                self.delimiter_start(from + at)
            }
            None => {
                self.scanned = self.pending.len();
                self.pending.len() - usize::from(self.pending.last() == Some(&b'\r'))
            }
        };
        self.data_before(keep_from).map_or(Scan::More, Scan::Data)
    }

    /// Where the line end before a delimiter begins.
    fn delimiter_start(&self, line_feed: usize) -> usize {
        let carriage_return = !self.bare && line_feed > 0 && self.pending[line_feed - 1] == b'\r';
        line_feed - usize::from(carriage_return)
    }

    /// Takes the bytes before a position as data.
    fn data_before(&mut self, end: usize) -> Option<Bytes> {
        if end == 0 {
            return None;
        }
        self.offset += end as u64;
        self.scanned = self.scanned.saturating_sub(end);
        Some(self.pending.split_to(end))
    }

    fn consume(&mut self, length: usize) {
        self.offset += length as u64;
        self.scanned = 0;
        let _ = self.pending.split_to(length);
    }

    /// What stands after `\n--boundary`. The length counts from the line feed.
    fn classify(&self, line_feed: usize) -> Candidate {
        let length = self.delimiter.needle().len();
        let rest = &self.pending[line_feed + length..];
        match rest {
            [b'-', b'-', ..] => {
                return Candidate::Delimiter { length: length + 2, closing: true, bare: false };
            }
            [b'-'] => return Candidate::Open,
            _ => {}
        }
        let blank = rest.iter().take(PADDING_MAX + 1).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if blank > PADDING_MAX {
            return Candidate::Data;
        }
        match &rest[blank..] {
            [] | [b'\r'] => Candidate::Open,
            [b'\n', ..] => Candidate::Delimiter { length: length + blank + 1, closing: false, bare: true },
            [b'\r', b'\n', ..] => {
                Candidate::Delimiter { length: length + blank + 2, closing: false, bare: false }
            }
            _ => Candidate::Data,
        }
    }

    /// Collects header lines up to the empty one.
    fn read_headers(&mut self) -> Result<Option<PartHeaders>, MultipartError> {
        while let Some(at) = memchr(b'\n', &self.pending) {
            self.collect_headers(at + 1)?;
            let line = &self.headers[self.line_start..self.headers.len() - 1];
            let line = match line.strip_suffix(b"\r") {
                Some(line) => {
                    self.bare = false;
                    line
                }
                None => line,
            };
            if line.is_empty() {
                let headers = parse_headers(&self.headers[..self.line_start]);
                self.headers.clear();
                return Ok(Some(headers));
            }
            let continuation = self.line_start > 0 && matches!(line[0], b' ' | b'\t');
            if !continuation && memchr(b':', line).is_none() {
                return Err(MultipartError::Header { part: self.parts, offset: self.body_offset() });
            }
            self.line_start = self.headers.len();
        }
        self.collect_headers(self.pending.len())?;
        Ok(None)
    }

    fn collect_headers(&mut self, length: usize) -> Result<(), MultipartError> {
        let max = self.limits.header_bytes_max;
        if self.headers.len() + length > max {
            return Err(MultipartError::HeaderTooLong { part: self.parts, max });
        }
        self.headers.extend_from_slice(&self.pending[..length]);
        self.consume(length);
        Ok(())
    }

    /// Bytes of the body consumed, without the two that were put before it.
    fn body_offset(&self) -> u64 {
        self.offset.saturating_sub(2)
    }
}

enum Scan {
    Data(Bytes),
    Delimiter { closing: bool },
    More,
    End,
}

fn parse_headers(block: &[u8]) -> PartHeaders {
    let text = String::from_utf8_lossy(block);
    let mut lines: Vec<String> = Vec::new();
    for line in text.split('\n') {
        match lines.last_mut() {
            // A folded line (RFC 5322 section 2.2.3) continues the one before.
            Some(last) if line.starts_with([' ', '\t']) => last.push_str(line.trim_end()),
            _ => lines.push(line.trim_end().to_owned()),
        }
    }
    let mut headers = PartHeaders::default();
    for (name, value) in lines.iter().filter_map(|line| line.split_once(':')) {
        let value = value.trim().to_owned();
        match name.trim().to_ascii_lowercase().as_str() {
            "content-type" => headers.content_type = Some(value),
            "content-location" => headers.content_location = Some(value),
            "content-length" => headers.content_length = value.parse().ok(),
            "content-transfer-encoding" => headers.content_transfer_encoding = Some(value),
            "content-encoding" => headers.content_encoding = Some(value),
            _ => {}
        }
    }
    headers
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
