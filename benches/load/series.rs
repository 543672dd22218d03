//! One series that grows: what it costs to store into it, to look into it and to
//! read of it, with so many slices of 4 KiB.

use std::time::Instant;

use crate::works::{Check, FILES, FRAMES, JSON};
use crate::{Load, Work, data, data::Known, servers::Server, stored};

/// Files of a request while it is filled.
const AT_ONCE: usize = 50;

pub struct Series {
    slices: usize,
    /// Its first slice.
    first: Known,
}

/// Stores it in every server alike.
pub fn fill(servers: &[Server], slices: usize) -> anyhow::Result<Series> {
    for server in servers {
        let mut client = server.client()?;
        let begun = Instant::now();
        for first in (0..slices).step_by(AT_ONCE) {
            let made: Vec<_> = (first..slices.min(first + AT_ONCE)).map(data::small_slice).collect();
            let files: Vec<&[u8]> = made.iter().map(|made| made.file.as_slice()).collect();
            stored(&client.store(&format!("{}/studies", server.root), &files)?, &made)?;
        }
        server.settle()?;
        let ms = begun.elapsed().as_secs_f64() * 1e3 / slices as f64;
        eprintln!("{} has {slices} slices indexed: {ms:.3} ms each", server.name);
    }
    Ok(Series { slices, first: data::small_slice(0).known })
}

pub fn works(series: &Series) -> Vec<Work<'_>> {
    let &Series { slices, ref first } = series;
    let counts = |attribute: &'static [u8], number: usize| -> Check<'static> {
        Box::new(move |_, body| memchr::memmem::find_iter(body, attribute).count() == number)
    };
    let at = move |n: usize| n * 7919 % slices;
    let page = slices.min(25);
    let instances = format!("{}/instances", first.series_path());
    let slice = move |n: usize| data::small_slice(at(n)).known;
    let is_slice = || -> Check<'static> {
        Box::new(move |n, body| memchr::memmem::find(body, &slice(n).frames[0]).is_some())
    };
    let searched = |what: String| -> Box<dyn Fn(usize) -> String + Sync> {
        let instances = instances.clone();
        Box::new(move |_| format!("{instances}?{what}"))
    };
    let by_uid = instances.clone();
    let by_number = instances.clone();
    vec![
        read("frame", FRAMES, Box::new(move |n| format!("{}/frames/1", slice(n).path())), is_slice()),
        read("instance", FILES, Box::new(move |n| slice(n).path()), is_slice()),
        read(
            "metadata of a slice",
            JSON,
            Box::new(move |n| format!("{}/metadata", slice(n).path())),
            counts(b"\"00200032\"", 1),
        ),
        read(
            "metadata of all",
            JSON,
            Box::new(|_| format!("{}/metadata", first.series_path())),
            counts(b"\"00200032\"", slices),
        ),
        read("search: the first 25", JSON, searched("limit=25".to_owned()), counts(b"\"00080018\"", page)),
        read(
            "search: 25 from the middle",
            JSON,
            searched(format!("limit=25&offset={}", slices / 2)),
            counts(b"\"00080018\"", page.min(slices - slices / 2)),
        ),
        read(
            "search: SOP Instance UID",
            JSON,
            Box::new(move |n| format!("{by_uid}?SOPInstanceUID={}", slice(n).instance)),
            counts(b"\"00080018\"", 1),
        ),
        read(
            "search: Instance Number",
            JSON,
            Box::new(move |n| format!("{by_number}?InstanceNumber={}", at(n) + 1)),
            counts(b"\"00080018\"", 1),
        ),
        read(
            "search: the study",
            JSON,
            Box::new(|_| format!("/studies?StudyInstanceUID={}", first.study)),
            counts(b"\"0020000D\"", 1),
        ),
        Work {
            name: "store: one slice more".to_owned(),
            connections: 1,
            load: Load::Store { make: data::small_slice, files: 1, requests: 40 },
        },
    ]
}

fn read<'s>(
    name: &str,
    accept: &'static str,
    path: Box<dyn Fn(usize) -> String + Sync + 's>,
    check: Check<'s>,
) -> Work<'s> {
    Work { name: name.to_owned(), connections: 1, load: Load::Read { path, accept, check } }
}
