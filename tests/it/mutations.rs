//! Real files, bodies, queries and JSON, broken in ways that are the same in
//! every run: the parsers refuse or understand, and never panic, hang or
//! contradict themselves. The properties are those of the fuzz targets.

use std::path::Path;

use crate::harness::{fixture, fixture_path, multipart};

#[path = "../fuzz/targets.rs"]
mod targets;

/// SplitMix64: the same numbers for the same seed, on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("below a usize")
    }
}

/// What lengths and counts are at their worst.
const HOSTILE: [&[u8]; 10] = [
    &[0xFF; 4],
    &[0xFE, 0xFF, 0xFF, 0xFF],
    &[0xFF, 0xFF, 0xFF, 0x7F],
    &[0; 4],
    &[0xFF; 8],
    &[0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF],
    &[0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0],
    &[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0],
    b"SQ",
    b"\\\x1b$B=^&%%2a*?-",
];

/// Breaks bytes in one to four places.
pub fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        match dice.below(7) {
            0 => bytes.truncate(at),
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(dice.below(256)).expect("a byte");
                }
            }
            3 => drop(bytes.drain(at..(at + 1 + dice.below(64)).min(bytes.len()))),
            4 => {
                let copied = bytes[at..(at + 1 + dice.below(128)).min(bytes.len())].to_vec();
                let to = dice.below(bytes.len());
                bytes.splice(to..to, copied);
            }
            _ => {
                let hostile = HOSTILE[dice.below(HOSTILE.len())];
                let end = (at + hostile.len()).min(bytes.len());
                bytes.splice(at..end, hostile.iter().copied());
            }
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
}

/// Tries `target` with so many mutations of each seed, or HILUM_MUTATIONS times
/// as many. A failure names the seed and the number of the mutation, from which
/// it can be made again.
fn broken(name: &str, seeds: &[Vec<u8>], each: u64, target: fn(&[u8])) {
    let times = std::env::var("HILUM_MUTATIONS").ok().and_then(|text| text.parse().ok());
    let each = each * times.unwrap_or(1);
    for (index, seed) in seeds.iter().enumerate() {
        for round in 0..each {
            let mut bytes = seed.clone();
            if round > 0 {
                mutate(&mut bytes, &mut Dice((index as u64) << 32 | round));
            }
            let ran = std::panic::catch_unwind(|| target(&bytes));
            assert!(ran.is_ok(), "{name}: mutation {round} of seed {index} ({} bytes)", bytes.len());
        }
    }
}

pub fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_none_or(|extension| extension == "dcm") {
            let bytes = std::fs::read(&path).expect("a fixture");
            // The pixels of the large ones only take time.
            found.push(bytes[..bytes.len().min(32 * 1024)].to_vec());
        }
    }
}

fn file_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    files(&fixture_path(""), &mut seeds);
    seeds
}

fn body_seeds() -> Vec<Vec<u8>> {
    let small = b"DICM\r\n--boundar\r\n--\r\n--boundaryy\r\n".as_slice();
    let mut seeds = vec![
        multipart("boundary", &[small, b"", small]),
        multipart("boundary", &[&fixture("SC_rgb_small_odd.dcm")]),
        b"pre\n--boundary \t\nContent-Type: application/dicom\nX:\n\ndata\n--boundary--".to_vec(),
        b"--boundary\r\nContent-Location: a\r\n\r\n\r\n--boundary--\r\nepilogue".to_vec(),
    ];
    for seed in &mut seeds {
        seed.insert(0, 17);
    }
    seeds
}

fn query_seeds() -> Vec<Vec<u8>> {
    let seeds = [
        "PatientName=D%C3%B6e*^J?hn&StudyDate=20040101-20041231&includefield=all&limit=10&offset=3",
        "00100020=1CT1%2A&ModalitiesInStudy=CT,MR&fuzzymatching=true&orderby=-StudyDate,PatientName",
        "StudyInstanceUID=1.2.3,4.5.6\\7&RequestAttributesSequence.ScheduledProcedureStepID=*&StudyTime=-1030",
        "0020,000D=1.2&00091001=x&00090010=ACME&AcquisitionDateTime=20040119072730.5%2B0100-&PatientID=%22%22",
        "PatientName==%E5%B1%B1%E7%94%B0*&emptyvaluematching=true&includefield=00100010,00081140.00081155",
    ];
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

fn json_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        br#"[{"00100010":{"vr":"PN","Value":[{"Alphabetic":"A^B","Ideographic":"\u5c71"},null]},
            "00720026":{"vr":"AT","Value":["00100010"]},"7FE00010":{"vr":"OW","InlineBinary":"AAEC"},
            "00189219":{"vr":"SS","Value":[-1,2]},"00720082":{"vr":"SV","Value":["-9223372036854775808"]},
            "00720074":{"vr":"FD","Value":[1e300,-0.0,"NaN"]},"00101030":{"vr":"DS","Value":[70.5,"1.50"]}}]"#
            .to_vec(),
        br#"{"00081140":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["1.2"]}},{},{"00081140":{"vr":"SQ"}}]},
            "00420011":{"vr":"OB","BulkDataURI":"http://localhost/1"}}"#
            .to_vec(),
    ];
    for name in ["CT_small.dcm", "rtplan.dcm", "charset/chrH32.dcm"] {
        let parsed = hilum::dicom::part10::parse(&fixture(name), &hilum::dicom::part10::Limits::default());
        let mut text = Vec::new();
        hilum::dicom::json::write(&parsed.expect("a fixture").dataset, &mut text);
        seeds.push(text);
    }
    seeds
}

fn xml_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        b"<NativeDicomModel><DicomAttribute tag=\"00091001\" vr=\"LO\" privateCreator=\"A\"><Value number=\"2\">b</Value>\
          </DicomAttribute><DicomAttribute Tag=\"7FE00010\" VR=\"OW\"><BulkData uuid=\"x\"/></DicomAttribute>\
          </NativeDicomModel>"
            .to_vec(),
    ];
    for name in ["reportsi.dcm", "charset/chrH32.dcm"] {
        let mut text = Vec::new();
        let parsed = hilum::dicom::part10::parse(&fixture(name), &hilum::dicom::part10::Limits::default());
        hilum::dicom::xml::write(&parsed.expect("a fixture").dataset, &mut text);
        seeds.push(text);
    }
    seeds
}

fn picture_seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![crate::rendered::presentation::everything()];
    files(&fixture_path(""), &mut seeds);
    seeds
}

#[test]
fn broken_files() {
    let seeds = file_seeds();
    assert!(seeds.len() > 90);
    broken("part10", &seeds, 25, targets::part10);
}

#[test]
fn broken_bodies() {
    broken("multipart", &body_seeds(), 500, targets::multipart);
}

#[test]
fn broken_queries() {
    broken("query", &query_seeds(), 800, targets::query);
}

#[test]
fn broken_json() {
    broken("json", &json_seeds(), 500, targets::json);
}

#[test]
fn broken_frames() {
    let seeds = targets::frames();
    assert!(seeds.len() > 25);
    broken("frame", &seeds, 40, targets::frame);
}

/// A JPEG 2000 whose bands have less than no bits: the library's sum overflows and it
/// panics, which is caught and takes nothing along.
#[test]
fn a_panic_of_a_library_is_caught() {
    const FOUND: &[u8] =
        b"\x10\x0F\x14\x0C\x0B\0\xFFO\xFFQ\0)\0\0\0\0\0\x15\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\x10\0\x15\0\0\
        \0\0\0\0\0\0\0\0\0\x01\x8B\x01\x01\xFFR\0\x0C\0\0\0\x01\0\x04\x04\x04\0\0\xFF\\\0\x1DB\x8F \x8F\
        \0\x8F\0\x8E\xE0\x87P\x87P\x87hp\x05p\x05p\x8Dw\xD3w\xD3wb\xFF\\\0%\0\x01Created by OpenJPEG ver\
        sion 6.5.2\xFF\x90\0\x0A\0\0\0\0\0+\0\x01\xFF\x93\xC3\xF5\x04\x01MONOCHROME2\x07\xC6\x10\x0B<#e\
        \xA0\x07\x06\x03\x82)\x80\xFFY";
    for _ in 0..3 {
        targets::frame(FOUND);
    }
}

/// One pixel in YBR_FULL_422, of which two share their colour: it came out as no pixel at
/// all, and an answer would have broken off before its end.
#[test]
fn a_pixel_without_its_partner_is_refused() {
    targets::frame(b"\0\0\0\x0B\"Value\"");
}

#[test]
fn broken_pictures() {
    let seeds = picture_seeds();
    broken("picture", &seeds, 4, targets::picture);
    broken("picture", &seeds[..1], 400, targets::picture);
}

#[test]
fn broken_xml() {
    broken("xml", &xml_seeds(), 500, targets::xml);
}

/// What libFuzzer begins with: the seeds of the tests above, and the goldens.
#[test]
#[ignore = "writes the folder HILUM_CORPUS, for tests/fuzz/run"]
fn write_seeds() {
    let corpus = std::env::var("HILUM_CORPUS").expect("a folder");
    let golden = |form: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let paths = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
        let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == form));
        paths.map(|path| std::fs::read(path).expect("a golden")).collect::<Vec<_>>()
    };
    for (name, seeds) in [
        ("part10", file_seeds()),
        ("multipart", body_seeds()),
        ("query", query_seeds()),
        ("json", [json_seeds(), golden("json")].concat()),
        ("xml", [xml_seeds(), golden("xml")].concat()),
        ("picture", picture_seeds()),
        ("frame", targets::frames()),
    ] {
        let folder = Path::new(&corpus).join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).expect("a file");
        }
    }
}
