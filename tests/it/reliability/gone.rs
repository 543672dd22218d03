//! Clients that hang up at any byte of a store, or after the last before the answer:
//! whatever was begun for them is given back, and what is there is whole.

use std::{
    io::Write,
    net::{Shutdown, TcpStream},
};

use tempfile::TempDir;

use super::{seed, times};
use crate::{
    harness::{multipart, until},
    process::{Dice, Made, Process, packs, verify},
};

const LANES: usize = 3;
const CLIENTS: u64 = 4;

/// Few of each, so that one that is kept is missed.
fn start(data: &std::path::Path, duplicates: &str) -> Process {
    Process::with(data, |command| {
        command.envs([
            ("HILUM_STORE_STREAMS_MAX", LANES.to_string().as_str()),
            ("HILUM_STORE_PACK_BYTES_MAX", "512 MiB"),
            ("HILUM_STORE_SMALL_BYTES_MAX", "1 MiB"),
            ("HILUM_STORE_ALONE_BYTES_MIN", "64 KiB"),
            ("HILUM_STORE_DUPLICATES", duplicates),
            ("HILUM_STORE_QUOTA_BYTES_MAX", "200 MiB"),
            ("HILUM_LIMITS_UPLOAD_MEMORY_BYTES_MAX", "2 MiB"),
            ("HILUM_LIMITS_UPLOADS_MAX", "6"),
        ])
    })
}

/// Some of few instances, so that they meet those of others.
fn some(dice: &mut Dice) -> Vec<Made> {
    let sizes = [2_000, 50_000, 100_000, 900_000, 3_000_000];
    let one = |dice: &mut Dice| {
        let number = dice.below(10);
        Made::new(1, 1, number, sizes[number as usize % sizes.len()])
    };
    (0..=dice.below(3)).map(|_| one(dice)).collect()
}

/// Sends a store, or the beginning of one, and hangs up.
fn send(address: &str, files: &[Vec<u8>], dice: &mut Dice) -> std::io::Result<()> {
    let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
    let body = multipart("gone", &files);
    let end = if dice.chance(30) { body.len() } else { dice.below(body.len() as u64) as usize };
    let mut socket = TcpStream::connect(address)?;
    write!(
        socket,
        "POST /dicomweb/studies HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nContent-Type: \
         multipart/related; type=\"application/dicom\"; boundary=gone\r\n\r\n",
        body.len()
    )?;
    for piece in body[..end].chunks(1 + dice.below(200_000) as usize) {
        socket.write_all(piece)?;
    }
    std::thread::sleep(std::time::Duration::from_millis(dice.below(20)));
    socket.shutdown(Shutdown::Both)
}

#[test]
fn clients_that_hang_up() {
    let rounds = times("TEST_GONE", 40);
    let mut dice = Dice::new(seed());
    for duplicates in ["reject", "replace", "keep"] {
        let folder = TempDir::new().unwrap();
        let server = start(folder.path(), duplicates);
        let address = server.base.trim_start_matches("http://").trim_end_matches("/dicomweb").to_owned();
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                let (server, address, mut dice) = (&server, &address, Dice::new(dice.roll()));
                scope.spawn(move || {
                    for _ in 0..rounds {
                        let made = some(&mut dice);
                        if dice.chance(15) {
                            server.delete(&made[0].path()).unwrap();
                        }
                        let files: Vec<Vec<u8>> = made.iter().map(Made::bytes).collect();
                        // One that is refused may be let go before it has said all.
                        let _ = send(address, &files, &mut dice);
                    }
                });
            }
        });
        // All lanes, all places and all memory are there again.
        let next: Vec<Made> = (0..6).map(|number| Made::new(2, 1, number, 3_000_000)).collect();
        std::thread::scope(|scope| {
            for made in &next {
                scope.spawn(|| server.must_store(&[&made.bytes()]));
            }
        });
        let small = Made::new(2, 2, 1, 900_000).bytes();
        let gathered = [&small[..]; 3];
        until("it is stored", || server.store(&gathered).unwrap().status() == 200);
        for number in 0..10 {
            let sizes = [2_000, 50_000, 100_000, 900_000, 3_000_000];
            let made = Made::new(1, 1, number, sizes[number as usize % sizes.len()]);
            let file = server.file(&made.path());
            let is_whole = file.as_ref().is_ok_and(|file| *file == made.bytes());
            assert!(is_whole || matches!(file, Err(404 | 410)), "{}: {:?}", made.path(), file.err());
            // Whoever held it is gone.
            until("it is stored", || server.store(&[&made.bytes()]).unwrap().status() == 200);
        }
        let open = packs(folder.path()).len();
        assert!(open <= LANES + 1, "{open} packs");
        assert!(server.stop().success());
        let (clean, report) = verify(folder.path());
        assert!(clean, "{duplicates}: {report:#}");
    }
}
