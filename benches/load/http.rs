//! A client that costs little: one connection, kept alive, whole bodies. It
//! knows as much of HTTP/1.1 as the answers of DICOMweb servers need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};

const PATIENCE: Duration = Duration::from_mins(2);
/// Smaller files are sent together; larger ones are not copied for it.
const COPIED_BYTES_MAX: usize = 64 * 1024;

pub struct Client {
    address: String,
    stream: BufReader<TcpStream>,
    /// The memory of the last body: a client that asks the system for 100 MiB
    /// and has them zeroed for each answer measures itself.
    spare: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Client {
    pub fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let stream = BufReader::with_capacity(256 * 1024, stream);
        Ok(Self { address: address.to_owned(), stream, spare: Vec::new() })
    }

    /// Gives the memory of an answer back for the next one.
    pub fn recycle(&mut self, answer: Answer) {
        self.spare = answer.body;
    }

    pub fn get(&mut self, path: &str, accept: &str) -> anyhow::Result<Answer> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\n\r\n", self.address);
        self.stream.get_mut().write_all(head.as_bytes())?;
        self.answer()
    }

    /// Sends files as one request to store them.
    pub fn store(&mut self, path: &str, files: &[&[u8]]) -> anyhow::Result<Answer> {
        const PART: &[u8] = b"\r\n--part\r\nContent-Type: application/dicom\r\n\r\n";
        const END: &[u8] = b"\r\n--part--\r\n";
        let length: usize = files.iter().map(|file| PART.len() + file.len()).sum::<usize>() + END.len();
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/dicom+json\r\n\
             Content-Type: multipart/related; type=\"application/dicom\"; boundary=part\r\n\
             Content-Length: {length}\r\n\r\n",
            self.address
        )
        .into_bytes();
        for file in files {
            request.extend_from_slice(PART);
            if file.len() < COPIED_BYTES_MAX {
                request.extend_from_slice(file);
                continue;
            }
            self.stream.get_mut().write_all(&request)?;
            self.stream.get_mut().write_all(file)?;
            request.clear();
        }
        request.extend_from_slice(END);
        self.stream.get_mut().write_all(&request)?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("not an answer: {first}"))?;
        let (mut length, mut chunked) = (None, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            let Some((name, value)) = line.split_once(':') else { break };
            match name {
                "content-length" => length = Some(value.trim().parse()?),
                "transfer-encoding" => chunked = value.contains("chunked"),
                _ => {}
            }
        }
        let mut body = std::mem::take(&mut self.spare);
        body.clear();
        match length {
            Some(length) if !chunked => {
                self.take(length, &mut body)?;
                return Ok(Answer { status, body });
            }
            None if !chunked => {
                // The body ends with the connection.
                self.stream.read_to_end(&mut body)?;
                *self = Self::connect(&self.address)?;
                return Ok(Answer { status, body });
            }
            Some(_) | None => {}
        }
        loop {
            let line = self.line()?;
            let length = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
            self.take(length, &mut body)?;
            self.line()?;
            if length == 0 {
                return Ok(Answer { status, body });
            }
        }
    }

    fn take(&mut self, length: usize, body: &mut Vec<u8>) -> anyhow::Result<()> {
        let before = body.len();
        body.reserve(length);
        (&mut self.stream).take(length as u64).read_to_end(body)?;
        anyhow::ensure!(body.len() - before == length, "the server closed the connection");
        Ok(())
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}
