//! Memory stays bounded: many uploads at once, large ones at once, and requests
//! made to need much of it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tempfile::TempDir;

use super::times;
use crate::{
    harness::multipart,
    process::{Made, Process},
};

const RSS_MAX_MIB: u64 = 512;
const HOSTILE_MIB: u64 = 64;
const BOUNDARY: &str = "XX-hilum-XX";

fn memory_mib(server: &Process, which: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// The peak is counted anew from here.
fn forget_peak(server: &Process) {
    std::fs::write(format!("/proc/{}/clear_refs", server.id()), "5").unwrap();
}

/// A file of so many bytes of pixels that need not be in memory.
fn body_of(made: &Made) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut head = format!("--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n").into_bytes();
    head.extend(made.head());
    let seed = made.instance.bytes().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let block = (0..64 * 1024_u32).map(|index| (index as u8).wrapping_mul(seed | 1)).collect();
    (head, block, format!("\r\n--{BOUNDARY}--\r\n").into_bytes())
}

/// Stores one file by a socket of its own; the status and the head of the answer.
fn store(address: &str, made: &Made) -> std::io::Result<(u16, String)> {
    let (head, block, tail) = body_of(made);
    let length = head.len() + made.pixels + tail.len();
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_mins(5)))?;
    let send = |socket: &mut TcpStream| -> std::io::Result<()> {
        write!(
            socket,
            "POST /dicomweb/studies HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Content-Type: multipart/related; type=\"application/dicom\"; boundary={BOUNDARY}\r\n\r\n"
        )?;
        socket.write_all(&head)?;
        let mut left = made.pixels;
        while left > 0 {
            let take = left.min(block.len());
            socket.write_all(&block[..take])?;
            left -= take;
        }
        socket.write_all(&tail)
    };
    // One that is refused may be so before it has said all.
    let sent = send(&mut socket);
    let mut answer = Vec::new();
    let read = socket.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    match status {
        Some(status) => Ok((status, answer)),
        None => {
            Err(sent.and(read.map(|_| ())).err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into()))
        }
    }
}

fn is_stored(server: &Process, made: &Made) -> bool {
    let (head, block, _) = body_of(made);
    let accept = "application/dicom; transfer-syntax=*";
    let response =
        server.client.get(format!("{}{}", server.base, made.path())).header("Accept", accept).send();
    let mut response = response.unwrap();
    let preface = format!("--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n").len();
    let mut start = vec![0; head.len() - preface];
    if response.status() != 200 || response.read_exact(&mut start).is_err() || start != head[preface..] {
        return false;
    }
    let mut left = made.pixels;
    let mut bytes = vec![0; block.len()];
    while left > 0 {
        let take = left.min(block.len());
        if response.read_exact(&mut bytes[..take]).is_err() || bytes[..take] != block[..take] {
            return false;
        }
        left -= take;
    }
    response.read(&mut bytes).is_ok_and(|more| more == 0)
}

/// `settings` over the defaults; `more_mib_max` above what a quiet server takes.
fn uploads_at_once((count, bytes): (u64, usize), settings: &[(&str, &str)], more_mib_max: u64) {
    let folder = TempDir::new().unwrap();
    let server = Process::with(&folder.path().join("data"), |command| {
        // As it comes.
        command
            .env_remove("HILUM_STORE_PACK_BYTES_MAX")
            .env_remove("HILUM_STORE_SMALL_BYTES_MAX")
            .env_remove("HILUM_STORE_STREAMS_MAX")
            .env("HILUM_LOG_LEVEL", "warn,hilum::cli=info")
            .envs(settings.iter().copied())
    });
    let quiet = memory_mib(&server, "VmRSS");
    let address = server.base.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let (stored, refused, broken) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let all: Vec<Made> = (1..=count).map(|number| Made::new(1 + number % 7, 1, number, bytes)).collect();
    let acknowledged: Vec<Option<&Made>> = std::thread::scope(|scope| {
        let one = |made| {
            let (address, stored, refused, broken) = (&address, &stored, &refused, &broken);
            move || match store(address, made) {
                Ok((200, _)) => {
                    stored.fetch_add(1, Ordering::Relaxed);
                    Some(made)
                }
                Ok((503, answer)) => {
                    assert!(answer.to_lowercase().contains("retry-after: "), "{answer}");
                    refused.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Ok((status, answer)) => panic!("{status}: {answer}"),
                Err(error) => {
                    println!("{error}");
                    broken.fetch_add(1, Ordering::Relaxed);
                    None
                }
            }
        };
        let small = || std::thread::Builder::new().stack_size(256 << 10);
        let threads: Vec<_> =
            all.iter().map(|made| small().spawn_scoped(scope, one(made)).unwrap()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let peak = memory_mib(&server, "VmHWM");
    println!(
        "{count} uploads of {bytes} bytes at once: {stored:?} stored, {refused:?} refused, {broken:?} broken off, \
         peak {peak} MiB, {quiet} MiB before"
    );
    assert_eq!(broken.into_inner(), 0, "each is told what became of it");
    assert!(stored.into_inner() > 0);
    assert!(peak < RSS_MAX_MIB && peak - quiet < more_mib_max, "{peak} MiB, {quiet} MiB before");
    for made in acknowledged.into_iter().flatten() {
        assert!(is_stored(&server, made), "{}", made.path());
    }
    assert!(memory_mib(&server, "VmHWM") < RSS_MAX_MIB);
}

#[test]
fn many_uploads_at_once() {
    uploads_at_once((times("TEST_UPLOADS", 90), 512 << 10), &[], RSS_MAX_MIB);
}

#[test]
fn large_uploads_at_once() {
    let large = times("TEST_LARGE_UPLOADS", 0);
    if large > 0 {
        return uploads_at_once((large, 64 << 20), &[], RSS_MAX_MIB);
    }
    // Few, but much more than they may take together.
    let little = [("HILUM_LIMITS_UPLOAD_MEMORY_BYTES_MAX", "8 MiB"), ("HILUM_STORE_STREAMS_MAX", "4")];
    uploads_at_once((24, 8 << 20), &little, 128);
}

/// A file whose data set is these bytes, Explicit VR Little Endian or as said.
fn file_with(syntax: &str, dataset: &[u8]) -> Vec<u8> {
    let mut meta = Vec::new();
    for (element, value) in [(0x02_u16, "1.2.840.10008.5.1.4.1.1.7"), (0x03, "1.2.3.4"), (0x10, syntax)] {
        let mut value = value.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), 0);
        meta.extend_from_slice(&[2, 0]);
        meta.extend_from_slice(&element.to_le_bytes());
        meta.extend_from_slice(b"UI");
        meta.extend_from_slice(&(value.len() as u16).to_le_bytes());
        meta.extend(value);
    }
    let mut file = vec![0; 128];
    file.extend_from_slice(b"DICM\x02\0\0\0UL\x04\0");
    file.extend_from_slice(&(meta.len() as u32).to_le_bytes());
    file.extend(meta);
    file.extend_from_slice(dataset);
    file
}

/// Requests that took other servers gigabytes, or all they had.
fn hostile_requests() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    const LITTLE: &str = "1.2.840.10008.1.2.1";
    const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
    let files = |file: Vec<u8>| multipart(BOUNDARY, &[&file]);
    let dicom = "multipart/related; type=\"application/dicom\"; boundary=XX-hilum-XX";
    let mut requests = Vec::new();
    for vr in [b"OB", b"UT", b"UN", b"OW"] {
        let element = [b"\x10\0\x10\0".as_slice(), vr, b"\0\0\xF0\xFF\xFF\xFF1234"].concat();
        requests.push(("a length of 4 GiB", dicom, files(file_with(LITTLE, &element))));
    }
    let nested = b"\x08\0\x40\x11SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF".repeat(200_000);
    requests.push(("200,000 sequences in each other", dicom, files(file_with(LITTLE, &nested))));
    // Every one of them ends as it should.
    let ends = b"\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0".repeat(100_000);
    let whole = [&nested[..nested.len() / 2], &ends].concat();
    requests.push(("100,000 sequences in each other, whole", dicom, files(file_with(LITTLE, &whole))));
    let many = b"\x09\0\x01\x10LO\0\0".repeat(1_500_000);
    requests.push(("1,500,000 elements", dicom, files(file_with(LITTLE, &many))));
    let mut bomb = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(b"\xE0\x7F\x10\0OB\0\0\0\0\0\x40").unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..times("TEST_BOMB_MIB", 96) {
        bomb.write_all(&zeros).unwrap();
    }
    requests.push(("a deflated data set", dicom, files(file_with(DEFLATED, &bomb.finish().unwrap()))));
    let json = "multipart/related; type=\"application/dicom+json\"; boundary=XX-hilum-XX";
    let part = |body: &[u8]| {
        let head = format!("--{BOUNDARY}\r\nContent-Type: application/dicom+json\r\n\r\n").into_bytes();
        [head.as_slice(), body, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat()
    };
    requests.push(("JSON nested 1,000,000 deep", json, part(&b"[".repeat(1_000_000))));
    let nested = b"{\"00081140\":{\"vr\":\"SQ\",\"Value\":[".repeat(140_000);
    requests.push(("140,000 sequences in each other as JSON", json, part(&nested)));
    let sets = [b"[".as_slice(), &b"{\"00080018\":{\"vr\":\"UI\"}},".repeat(500_000), b"{}]"].concat();
    requests.push(("500,000 data sets as JSON", json, part(&sets)));
    let values =
        [b"{\"00080008\":{\"vr\":\"CS\",\"Value\":[".as_slice(), &b"\"A\",".repeat(2_000_000), b"\"B\"]}}"]
            .concat();
    requests.push(("2,000,000 values as JSON", json, part(&values)));
    let headers = format!("--{BOUNDARY}\r\nX: {}\r\n\r\n", "y".repeat(8 << 20)).into_bytes();
    requests.push(("a header of 8 MiB in a part", dicom, headers));
    requests.push(("500,000 beginnings of a boundary", dicom, b"\r\n--XX-hilum-X".repeat(500_000)));
    requests.push((
        "500,000 empty parts",
        dicom,
        format!("--{BOUNDARY}\r\n\r\n\r\n").into_bytes().repeat(500_000),
    ));
    requests
}

#[test]
fn one_hostile_request() {
    let folder = TempDir::new().unwrap();
    let server = Process::with(&folder.path().join("data"), |command| {
        command.env("HILUM_STORE_SMALL_BYTES_MAX", "4 MiB").env("HILUM_LOG_LEVEL", "warn,hilum::cli=info")
    });
    server.must_store(&[&Made::new(1, 1, 1, 4000).bytes()]);
    let mut most = (0, "");
    for (what, media, body) in hostile_requests() {
        forget_peak(&server);
        let before = memory_mib(&server, "VmRSS");
        let request = server.client.post(format!("{}/studies", server.base)).header("Content-Type", media);
        let response = request.timeout(Duration::from_mins(5)).body(body).send();
        let response = response.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert!(!response.status().is_server_error(), "{what}: {}", response.status());
        let more = memory_mib(&server, "VmHWM").saturating_sub(before);
        println!("{what}: {}, {more} MiB more", response.status());
        most = most.max((more, what));
        assert!(more < HOSTILE_MIB, "{what}: {more} MiB more");
    }
    println!("at most {} MiB more, by {}", most.0, most.1);
}

/// After 200,000 stores the allocator kept 500 MiB, of which 147 were in use: it has
/// eight arenas to a processor unless it is told otherwise, and that has to be known
/// before the process begins.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn the_allocator_is_told_to_give_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(&folder.path().join("data"));
    let environment = std::fs::read(format!("/proc/{}/environ", server.id())).unwrap();
    let told =
        environment.split(|byte| *byte == 0).any(|one| one.starts_with(b"GLIBC_TUNABLES=glibc.malloc"));
    assert!(told, "the process that was started is the one that serves, and has been told");
}
