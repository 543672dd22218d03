//! What is measured: each work's name, which leads its row in the table, the
//! requests it is made of, and what their answers must hold.

use crate::data::{self, Made};
use crate::{Bench, Filled};

pub const JSON: &str = "application/dicom+json";
pub const FILES: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
pub const FRAMES: &str = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
const TILES: &str = "multipart/related; type=\"image/jpeg\"; transfer-syntax=1.2.840.10008.1.2.4.50";

/// One measurement.
pub struct Work<'a> {
    pub name: String,
    pub connections: usize,
    pub load: Load<'a>,
}

impl Work<'_> {
    /// The name of an answer that is served as a file.
    pub fn file(&self, number: usize) -> String {
        let name = self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        format!("{name}-{}-{number}", self.connections)
    }
}

pub enum Load<'a> {
    /// Requests of so many files each, so often.
    Store { make: fn(usize) -> Made, files: usize, requests: usize },
    /// The path, what to accept, and the check of the answer to request `n`.
    Read { path: Box<dyn Fn(usize) -> String + Sync + 'a>, accept: &'static str, check: Check<'a> },
}

pub type Check<'a> = Box<dyn Fn(usize, &[u8]) -> bool + Sync + 'a>;

impl Bench {
    pub fn works<'a>(&'a self, filled: &'a Filled) -> Vec<Work<'a>> {
        let slices = &filled.slices;
        let studies = self.options.studies;
        let slice = move |n: usize| &slices[n * 7 % slices.len()];
        let tile = move |n: usize| n * 31 % filled.slide.frames.len();
        let enhanced = &filled.enhanced;
        let frame = move |n: usize| n * 7 % enhanced.frames.len();
        let mut works = Vec::new();
        let mut store = |name: &str, connections, make, files, requests| {
            works.push(Work {
                name: name.to_owned(),
                connections,
                load: Load::Store { make, files, requests },
            });
        };
        for connections in [1, 16] {
            store(
                "store: CT slice, one a request",
                connections,
                |n| data::ct(n, 0),
                1,
                10 * connections + 40,
            );
            store(
                "store: small instance, one a request",
                connections,
                data::small,
                1,
                25 * connections + 100,
            );
        }
        store("store: small instances, 50 a request", 4, data::small, 50, 16);
        store("store: CT slices, 50 a request", 4, |n| data::ct(n, 0), 50, 8);
        store("store: multi-frame of 52 MB", 1, data::enhanced, 1, 4);
        let mut read =
            |name: &str, connections, accept, path: Box<dyn Fn(usize) -> String + Sync + 'a>, check| {
                let load = Load::Read { path, accept, check };
                works.push(Work { name: name.to_owned(), connections, load });
            };
        let holds = |bytes: &[u8], part: &[u8]| memchr::memmem::find(bytes, part).is_some();
        for &connections in &self.options.connections {
            read(
                "frame: tile of a slide",
                connections,
                TILES,
                Box::new(move |n| format!("{}/frames/{}", filled.slide.path(), tile(n) + 1)),
                Box::new(move |n, body| holds(body, &filled.slide.frames[tile(n)])),
            );
            read(
                "frame: CT slice",
                connections,
                FRAMES,
                Box::new(move |n| format!("{}/frames/1", slice(n).path())),
                Box::new(move |n, body| body.len() > 512 * 1024 && holds(body, &slice(n).frames[0])),
            );
            read(
                "frame: enhanced CT of 100",
                connections,
                FRAMES,
                Box::new(move |n| format!("{}/frames/{}", enhanced.path(), frame(n) + 1)),
                Box::new(move |n, body| body.len() > 512 * 1024 && holds(body, &enhanced.frames[frame(n)])),
            );
            read(
                "instance: CT slice",
                connections,
                FILES,
                Box::new(move |n| slice(n).path()),
                Box::new(move |n, body| body.len() > 512 * 1024 && holds(body, &slice(n).frames[0])),
            );
            read(
                "search: Patient ID",
                connections,
                JSON,
                Box::new(move |n| format!("/studies?PatientID={}", data::patient(n * 17 % studies))),
                Box::new(move |n, body| holds(body, data::patient(n * 17 % studies).as_bytes())),
            );
            read(
                "search: name, 25 of many",
                connections,
                JSON,
                Box::new(|_| "/studies?PatientName=BENCH*&limit=25&includefield=StudyDescription".to_owned()),
                Box::new(|_, body| memchr::memmem::find_iter(body, b"Thorax").count() == 25),
            );
            read(
                "search: name contains",
                connections,
                JSON,
                Box::new(move |n| {
                    format!("/studies?PatientName=*{}*", data::patient(n * 17 % studies).to_lowercase())
                }),
                Box::new(move |n, body| holds(body, data::patient(n * 17 % studies).as_bytes())),
            );
            read(
                "search: dates, 25 of many",
                connections,
                JSON,
                Box::new(move |n| {
                    let to = data::date(n * 17 % studies);
                    format!("/studies?StudyDate={}01-{to}&limit=25", &to[..6])
                }),
                Box::new(move |n, body| holds(body, &data::date(n * 17 % studies).as_bytes()[..6])),
            );
            read(
                "search: modality, 25 of many",
                connections,
                JSON,
                Box::new(|n| format!("/studies?ModalitiesInStudy={}&limit=25", data::modality(n))),
                Box::new(|_, body| memchr::memmem::find_iter(body, b"\"00100020\"").count() == 25),
            );
            read(
                "search: everything, 25 of all",
                connections,
                JSON,
                Box::new(|_| "/studies?limit=25".to_owned()),
                Box::new(|_, body| memchr::memmem::find_iter(body, b"\"00100020\"").count() == 25),
            );
        }
        read(
            "metadata: the CT series",
            1,
            JSON,
            Box::new(|_| format!("{}/metadata", slices[0].series_path())),
            Box::new(|_, body| memchr::memmem::find_iter(body, b"\"00200032\"").count() == slices.len()),
        );
        read(
            "metadata: enhanced CT of 100 frames",
            1,
            JSON,
            Box::new(move |_| format!("{}/metadata", enhanced.path())),
            Box::new(move |_, body| {
                memchr::memmem::find_iter(body, b"\"00200032\"").count() > enhanced.frames.len()
            }),
        );
        read(
            "series: all its instances",
            1,
            FILES,
            Box::new(|_| slices[0].series_path()),
            Box::new(|_, body| body.len() > slices.len() * 512 * 1024),
        );
        works
    }
}
