//! Decoding and rendering, every frame anew: Hilum's caches are switched off
//! here, for with them all but the first request would measure a look-up.
//! Compressed images are those of `fixtures/`, the others are made up.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::{Load, Work, data, http::Answer, servers::Server};

/// What keeps made frames and pictures, switched off.
pub const SETTINGS: [(&str, &str); 4] = [
    ("HILUM_PIXELS_CACHE_BYTES", "0"),
    ("HILUM_RENDER_CACHE_BYTES", "0"),
    ("HILUM_RENDER_THUMBNAIL_DISK_BYTES_MAX", "0"),
    // For the tile that is stored in JPEG Baseline.
    ("HILUM_PIXELS_LOSSY", "true"),
];

const DECODED: &str =
    "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.1";

/// Name, fixture, and the bytes of one frame as it is decoded.
const FIXTURES: [(&str, &str, usize); 2] = [
    ("JPEG Baseline, 320 x 240 in colour", "examples_ybr_color.dcm", 320 * 240 * 3),
    ("JPEG Extended, 12 bits, 1024 x 256", "JPGExtended.dcm", 1024 * 256 * 2),
];

/// What one CT slice is compressed with, without loss, before it is stored.
const CODINGS: [(&str, &str); 6] = [
    ("RLE", "1.2.840.10008.1.2.5"),
    ("JPEG Lossless", "1.2.840.10008.1.2.4.70"),
    ("JPEG-LS", "1.2.840.10008.1.2.4.80"),
    ("JPEG 2000", "1.2.840.10008.1.2.4.90"),
    ("HTJ2K", "1.2.840.10008.1.2.4.201"),
    ("JPEG XL", "1.2.840.10008.1.2.4.110"),
];
const SLICE_BYTES: usize = 512 * 512 * 2;

/// Side of the square that stands for a mammogram.
const MAMMOGRAM_SIDE: u16 = 2560;
const STUDY: usize = 950_001;

/// Where the instances are under the services of a server.
pub struct Filled {
    /// Name, path and the bytes of a decoded frame.
    compressed: Vec<(String, String, usize)>,
    cine: String,
    slice: String,
    mammogram: String,
    tile: String,
}

/// Stores what is drawn, in every server alike. The first server, which is
/// ours, compresses what no fixture is of.
pub fn fill(servers: &[Server]) -> anyhow::Result<Filled> {
    let ours = servers.first().context("there are no servers")?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut compressed = Vec::new();
    for (name, file, bytes) in FIXTURES {
        let file = std::fs::read(folder.join(file)).with_context(|| name.to_owned())?;
        compressed.push((name.to_owned(), store(servers, &file).with_context(|| name.to_owned())?, bytes));
    }
    let cine = compressed[0].1.clone();
    let slice = store(servers, &data::smooth(STUDY, 512).file)?;
    for (index, (name, syntax)) in CODINGS.into_iter().enumerate() {
        let mut file = fetch(ours, &slice, syntax).with_context(|| name.to_owned())?;
        renumber(&mut file, index).with_context(|| name.to_owned())?;
        let name = format!("{name}, 512 x 512 x 16 bits");
        compressed.push((name, store(servers, &file)?, SLICE_BYTES));
    }
    let mammogram = store(servers, &data::smooth(STUDY + 1, MAMMOGRAM_SIDE).file)?;
    let native = store(servers, &data::tile(STUDY + 2).file)?;
    // With loss it is an instance of its own.
    let tile = store(servers, &fetch(ours, &native, "1.2.840.10008.1.2.4.50").context("the tile")?)?;
    compressed.push(("JPEG Baseline, tile of 256 x 256 in colour".to_owned(), tile.clone(), 256 * 256 * 3));
    Ok(Filled { compressed, cine, slice, mammogram, tile })
}

/// An instance as a file in a transfer syntax.
fn fetch(server: &Server, path: &str, syntax: &str) -> anyhow::Result<Vec<u8>> {
    let accept = format!("application/dicom; transfer-syntax={syntax}");
    let answer = server.client()?.get(&format!("{}{path}", server.root), &accept)?;
    ensure!(answer.status == 200, "status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    Ok(answer.body)
}

/// Gives an instance an end of its own to its SOP Instance UID: it is one slice
/// in several transfer syntaxes.
fn renumber(file: &mut [u8], index: usize) -> Option<()> {
    const SOP_INSTANCE_UID: &[u8] = b"\x08\x00\x18\x00UI";
    let at = memchr::memmem::find(file, SOP_INSTANCE_UID)? + SOP_INSTANCE_UID.len();
    let length = usize::from(u16::from_le_bytes([*file.get(at)?, *file.get(at + 1)?]));
    let value = file.get(at + 2..at + 2 + length)?.to_vec();
    let uid = value.strip_suffix(b"\0").unwrap_or(&value);
    let places: Vec<usize> = memchr::memmem::find_iter(file, uid).collect();
    for place in places {
        file[place + uid.len() - 1] = b'1' + u8::try_from(index).ok()?;
    }
    Some(())
}

/// Stores one file; its path, which is the same in all servers.
fn store(servers: &[Server], file: &[u8]) -> anyhow::Result<String> {
    let mut path = None;
    for server in servers {
        let answer = server.client()?.store(&format!("{}/studies", server.root), &[file])?;
        path = Some(path_of(&answer).with_context(|| format!("{} does not store it", server.name))?);
    }
    path.context("there are no servers")
}

fn path_of(answer: &Answer) -> Option<String> {
    let module: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    let url = module["00081199"]["Value"][0]["00081190"]["Value"][0].as_str()?;
    Some(url[url.find("/studies/")?..].to_owned())
}

pub fn works(filled: &Filled) -> Vec<Work<'_>> {
    let mut works = Vec::new();
    for (name, path, bytes) in &filled.compressed {
        works.push(read(format!("decoded: {name}"), DECODED, format!("{path}/frames/1"), move |body| {
            body.len() > *bytes
        }));
    }
    let Filled { cine, slice, mammogram, tile, .. } = filled;
    for (name, path) in [
        ("rendered as JPEG: CT slice, 512 x 512", format!("{slice}/rendered")),
        ("rendered as JPEG: mammogram, 2560 x 2560", format!("{mammogram}/rendered")),
        ("rendered as JPEG: tile of a slide, 256 x 256", format!("{tile}/frames/1/rendered")),
        ("rendered as JPEG: frame of a cine, 320 x 240", format!("{cine}/frames/2/rendered")),
        ("rendered as JPEG: CT slice into 128 x 128", format!("{slice}/rendered?viewport=128,128")),
        ("thumbnail: CT slice", format!("{slice}/thumbnail")),
        ("thumbnail: mammogram", format!("{mammogram}/thumbnail")),
    ] {
        works.push(read(name.to_owned(), "image/jpeg", path, |body| body.starts_with(&[0xFF, 0xD8])));
    }
    works.push(read(
        "rendered as PNG: CT slice, 512 x 512".to_owned(),
        "image/png",
        format!("{slice}/rendered"),
        |body| body.starts_with(b"\x89PNG"),
    ));
    works
}

fn read<'a>(
    name: String,
    accept: &'static str,
    path: String,
    check: impl Fn(&[u8]) -> bool + Sync + 'a,
) -> Work<'a> {
    Work {
        name,
        connections: 1,
        load: Load::Read {
            path: Box::new(move |_| path.clone()),
            accept,
            check: Box::new(move |_, body| check(body)),
        },
    }
}
