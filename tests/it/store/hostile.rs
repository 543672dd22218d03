//! Bad input: files that want to break the parser, and real files with random
//! damage. Never a 5xx, and the other instances of the request are stored.

use std::collections::BTreeSet;

use hilum::dicom::part10;

use crate::{
    harness::{Hilum, fixture, multipart},
    library::{bulk_uris, names, outcome, text, values},
    sample::Sample,
};

fn good(number: u32) -> Vec<u8> {
    Sample::new("9.9", "9.9.1", &format!("9.9.1.{number}")).file()
}

/// Stores a hostile file between two good ones, which must be stored.
fn among_good_ones(hilum: &Hilum, name: &str, file: &[u8], number: u32) {
    let (status, module) = outcome(hilum.store(&[&good(number * 2), file, &good(number * 2 + 1)]));
    assert!(matches!(status, 200 | 202), "{name}: {status} {module}");
    let stored: Vec<&str> =
        values(&module, "00081199").into_iter().map(|item| text(item, "00081155")).collect();
    for number in [number * 2, number * 2 + 1] {
        let uid = format!("9.9.1.{number}");
        assert!(stored.contains(&uid.as_str()), "{name}: {module}");
    }
}

fn nested(depth: usize, defined: bool) -> Vec<u8> {
    let mut inner = Vec::new();
    if defined {
        for _ in 0..depth {
            let length = u32::try_from(inner.len()).expect("small");
            let mut outer = vec![0x40, 0x00, 0x75, 0x02, b'S', b'Q', 0, 0];
            outer.extend_from_slice(&(length + 8).to_le_bytes());
            outer.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0]);
            outer.extend_from_slice(&length.to_le_bytes());
            outer.append(&mut inner);
            inner = outer;
        }
    } else {
        for _ in 0..depth {
            inner.extend_from_slice(&[0x40, 0x00, 0x75, 0x02, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
            inner.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
        }
    }
    inner
}

#[test]
fn hostile_files_fail_alone() {
    let hilum = Hilum::start();
    let base = Sample::new("1.2", "1.2.1", "1.2.1.1").file();
    let lying = |vr: &[u8; 2], length: u32| {
        let head = [&[0x40, 0x00, 0x80, 0x02][..], vr, &[0, 0], &length.to_le_bytes()].concat();
        [base.clone(), head, vec![7; 400]].concat()
    };
    let bomb = {
        use std::io::Write;
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        let head = Sample::new("1.2", "1.2.1", "1.2.1.1").data_set();
        deflate.write_all(&head).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..600 {
            deflate.write_all(&zeros).unwrap();
        }
        let whole = Sample::new("1.2", "1.2.1", "1.2.1.1").file_as("1.2.840.10008.1.2.1.99");
        let meta = whole.len() - head.len();
        [&whole[..meta], &deflate.finish().unwrap()].concat()
    };
    let files: [(&str, Vec<u8>); 14] = [
        ("10,000 nested sequences", [base.clone(), nested(10_000, false)].concat()),
        ("10,000 nested sequences of defined length", [base.clone(), nested(3_000, true)].concat()),
        ("4 GiB of OB", lying(b"OB", 0xFFFF_FFFE)),
        ("4 GiB of UT", lying(b"UT", 0xFFFF_FFF0)),
        ("4 GiB of SQ", lying(b"SQ", 0xFFFF_FFFE)),
        ("2 GiB of UN", lying(b"UN", 0x7FFF_FFFE)),
        ("unending SQ", lying(b"SQ", 0xFFFF_FFFF)),
        ("unending OB", lying(b"OB", 0xFFFF_FFFF)),
        ("only a preamble", vec![0; 128]),
        ("only the prefix", [vec![0; 128], b"DICM".to_vec()].concat()),
        (
            "a meta length of 4 GiB",
            [vec![0; 128], b"DICM\x02\0\0\0UL\x04\0\xFF\xFF\xFF\xFF".to_vec()].concat(),
        ),
        ("half a header", base[..base.len() - 5].to_vec()),
        ("0xFF", vec![0xFF; 5000]),
        ("a bomb", bomb),
    ];
    for (number, (name, file)) in files.iter().enumerate() {
        among_good_ones(&hilum, name, file, u32::try_from(number).unwrap());
    }
    assert_eq!(hilum.client.get(format!("{}/readyz", hilum.root)).send().unwrap().status(), 200);
}

#[test]
fn truncated_files_fail_alone() {
    let hilum = Hilum::start();
    let mut number = 0;
    for name in ["CT_small.dcm", "rtplan.dcm", "693_J2KI.dcm", "image_dfl.dcm", "ExplVR_BigEnd.dcm"] {
        let whole = fixture(name);
        for part in 1..12 {
            let cut = whole.len() * part / 12;
            among_good_ones(&hilum, &format!("{name} to {cut}"), &whole[..cut], number);
            number += 1;
        }
    }
}

/// xorshift64*: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("small")
    }
}

/// Damages a file: most of the hits are in its head, where the structure is.
fn damage(file: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let end = if random.below(4) == 0 { file.len() } else { file.len().min(3000) };
        let at = 132 + random.below(end - 140);
        match random.below(10) {
            0..=3 => file[at] = random.next().to_le_bytes()[0],
            4 => file[at] ^= 1 << random.below(8),
            5 => file[at..at + 4].fill(0xFF),
            6 => file[at..at + 2].fill(0),
            7 => drop(file.drain(at..at + 2)),
            8 => drop(file.splice(at..at, [0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF])),
            _ => drop(file.splice(at..at, b"\x08\0\x40\x11SQ\0\0\xFF\xFF\xFF\xFF".iter().copied())),
        }
    }
}

/// Asks for every resource of an instance; whatever comes, it is no failure of
/// the server, and no answer breaks off.
fn read_everything(hilum: &Hilum, path: &str) {
    let ask = |path: &str, accept: &str| {
        let response = hilum.get_as(path, accept);
        let status = response.status().as_u16();
        let body = response.bytes();
        assert!(status < 500 && body.is_ok(), "{path} {accept}: {status} {body:?}");
        (status, body.expect("an answer as asked for"))
    };
    let (status, body) = ask(&format!("{path}/metadata"), "application/dicom+json");
    assert_eq!(status, 200, "{path}");
    let metadata: serde_json::Value = serde_json::from_slice(&body).expect("an answer as asked for");
    let mut uris = Vec::new();
    bulk_uris(&metadata, &mut uris);
    for uri in uris {
        ask(uri.strip_prefix(&hilum.base).expect("an answer as asked for"), "*/*");
    }
    let (status, plain) = ask(path, "application/dicom");
    if status == 200 {
        // What was made of it can be read again.
        let again = part10::parse(&plain.as_ref(), &part10::Limits::default());
        assert!(again.is_ok(), "{path}: {:?}", again.err());
    }
    assert_eq!(ask(path, "application/dicom; transfer-syntax=*").0, 200, "{path}");
    for (resource, accept) in [
        ("/frames/1", "*/*"),
        ("/frames/1", "application/octet-stream; transfer-syntax=*"),
        ("/bulkdata", "*/*"),
    ] {
        ask(&format!("{path}{resource}"), accept);
    }
}

/// Real files with random damage: whatever of them is stored can be found and
/// read by every resource without a failure of the server.
#[test]
fn damaged_files_are_stored_and_read_or_refused() {
    let hilum = Hilum::start();
    let seed = std::env::var("HILUM_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut random = Random(seed.unwrap_or(20261));
    let sources: Vec<Vec<u8>> = names(&["", "charset", "variants"])
        .iter()
        .map(|name| fixture(name))
        .filter(|file| file.len() < 50_000)
        .collect();
    let mut read = 0;
    for request in 0..20 {
        let files: Vec<Vec<u8>> = (0..15)
            .map(|_| {
                let mut file = sources[random.below(sources.len())].clone();
                damage(&mut file, &mut random);
                file
            })
            .collect();
        let good = good(request);
        let mut parts: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        parts.push(&good);
        let kind = "multipart/related; type=application/dicom; boundary=hilum-damaged";
        let (status, module) = outcome(hilum.post("/studies", kind, multipart("hilum-damaged", &parts)));
        assert!(matches!(status, 200 | 202), "{status} {module}");
        let stored = values(&module, "00081199");
        assert!(stored.iter().any(|item| text(item, "00081155") == format!("9.9.1.{request}")), "{module}");
        for resource in ["/studies", "/series", "/instances"] {
            assert_eq!(hilum.get(&format!("{resource}?includefield=all")).send().unwrap().status(), 200);
        }
        let urls: BTreeSet<&str> = stored.into_iter().map(|item| text(item, "00081190")).collect();
        for url in urls {
            let path = url.strip_prefix(&hilum.base).unwrap();
            read_everything(&hilum, path);
            read += 1;
            // Another one of the same file may come.
            assert_eq!(hilum.delete(path).status(), 204);
        }
    }
    assert!(read > 80, "only {read} were stored: the damage is too great to test much");
}
