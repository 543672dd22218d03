//! Slow clients do not matter: hundreds that send a byte now and then, of a
//! header or of a body, or read an answer that slowly, take nothing from others.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::times;
use crate::process::{Made, Process};

#[derive(Clone, Copy)]
enum Slow {
    Header,
    Body,
    Reader,
}

const KINDS: [Slow; 3] = [Slow::Header, Slow::Body, Slow::Reader];

struct Socket {
    kind: Slow,
    stream: TcpStream,
}

fn connect(address: &str, kind: Slow, study: &str) -> Socket {
    let mut stream = TcpStream::connect(address).unwrap();
    let begin = match kind {
        Slow::Header => "GET /dicomweb/studies HTTP/1.1\r\nX: ".to_owned(),
        Slow::Body => format!(
            "POST /dicomweb/studies HTTP/1.1\r\nHost: {address}\r\nContent-Length: 100000000\r\nContent-Type: \
             multipart/related; type=\"application/dicom\"; boundary=x\r\n\r\n--x\r\n\r\n"
        ),
        Slow::Reader => format!(
            "GET /dicomweb/studies/{study} HTTP/1.1\r\nHost: {address}\r\nAccept: multipart/related; \
             type=\"application/dicom\"; transfer-syntax=*\r\n\r\n"
        ),
    };
    stream.write_all(begin.as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    Socket { kind, stream }
}

impl Socket {
    /// One more byte, or some; false when the server has had enough of it.
    fn step(&mut self) -> bool {
        let mut some = [0; 512];
        let done = match self.kind {
            Slow::Header | Slow::Body => {
                self.stream.write(b"a").and_then(|_| match self.stream.read(&mut some) {
                    // An answer: it was told to go.
                    Ok(_) => Ok(false),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
                    Err(error) => Err(error),
                })
            }
            Slow::Reader => self.stream.read(&mut some).map(|count| count > 0),
        };
        match done {
            Ok(goes_on) => goes_on,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Lets the slow sockets go, also when a request beside them failed.
struct Going<'a>(&'a AtomicBool);

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The time of each request of a few clients, in microseconds, sorted.
fn measure(server: &Process, made: &[Made], next: &AtomicU64, time: Duration) -> Vec<u64> {
    let until = Instant::now() + time;
    let client = |number: usize| {
        let mut times = Vec::new();
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_mins(1)).build().unwrap();
        let mut round = number;
        while Instant::now() < until {
            round += 1;
            let one = &made[round % made.len()];
            let began = Instant::now();
            let response = match round % 4 {
                0 => client.get(format!("{}/studies?PatientID={}", server.base, one.patient)).send(),
                1 => client.get(format!("{}{}/metadata", server.base, one.path())).send(),
                2 => client
                    .get(format!("{}{}", server.base, one.path()))
                    .header("Accept", "application/dicom")
                    .send(),
                _ => {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let file = Made::new(900 + number % 5, 1, number, 3000).bytes();
                    let body = crate::harness::multipart("b", &[&file]);
                    let media = "multipart/related; type=\"application/dicom\"; boundary=b";
                    client
                        .post(format!("{}/studies", server.base))
                        .header("Content-Type", media)
                        .body(body)
                        .send()
                }
            };
            let response = response.unwrap();
            let status = response.status();
            let bytes = response.bytes().unwrap();
            assert!(status == 200, "{status} {}", String::from_utf8_lossy(&bytes));
            times.push(began.elapsed().as_micros() as u64);
        }
        times
    };
    let mut all: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || client(number))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.sort_unstable();
    all
}

#[test]
fn slow_sockets() {
    let sockets = times("TEST_SLOW_SOCKETS", 150);
    let seconds = times("TEST_SLOW_SECONDS", 2);
    let folder = TempDir::new().unwrap();
    let server = Process::with(&folder.path().join("data"), |command| {
        command
            .env("HILUM_LOG_LEVEL", "warn,hilum::cli=info")
            .env("HILUM_LIMITS_BODY_SILENT_SECONDS_MAX", "30")
            // Fewer places than there are slow bodies.
            .env("HILUM_LIMITS_UPLOADS_MAX", "16")
    });
    let address = server.base.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let made: Vec<Made> = (1..=60).map(|number| Made::new(1 + number % 10, 1, number, 4000)).collect();
    for made in &made {
        server.must_store(&[&made.bytes()]);
    }
    // What the slow readers read: more than sockets hold.
    let large: Vec<Made> = (1..=8).map(|number| Made::new(500, 1, number, 2 << 20)).collect();
    for made in &large {
        server.must_store(&[&made.bytes()]);
    }
    let next = AtomicU64::new(1);
    let _warm = measure(&server, &made, &next, Duration::from_secs(1));
    let quiet = measure(&server, &made, &next, Duration::from_secs(seconds));
    let stop = AtomicBool::new(false);
    let dropped = AtomicU64::new(0);
    let loud = std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let kind = |number: u64| KINDS[number as usize % KINDS.len()];
            let mut all: Vec<Socket> =
                (0..sockets).map(|number| connect(&address, kind(number), &large[0].study)).collect();
            while !stop.load(Ordering::Relaxed) {
                for socket in &mut all {
                    if !socket.step() {
                        dropped.fetch_add(1, Ordering::Relaxed);
                        *socket = connect(&address, socket.kind, &large[0].study);
                    }
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        let going = Going(&stop);
        std::thread::sleep(Duration::from_secs(1));
        let loud = measure(&server, &made, &next, Duration::from_secs(seconds));
        drop(going);
        slow.join().unwrap();
        loud
    });
    let p = |times: &[u64], percent: usize| {
        times[(times.len() * percent / 100).min(times.len() - 1)] as f64 / 1000.0
    };
    let rss = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let rss = rss.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned();
    println!(
        "quiet: {} requests, p50 {:.2} ms, p99 {:.2} ms; beside {sockets} slow sockets ({dropped:?} were sent away): \
         {} requests, p50 {:.2} ms, p99 {:.2} ms; {rss}",
        quiet.len(),
        p(&quiet, 50),
        p(&quiet, 99),
        loud.len(),
        p(&loud, 50),
        p(&loud, 99)
    );
    assert!(server.stop().success());
}
