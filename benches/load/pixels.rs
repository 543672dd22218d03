//! Decoding and rendering, every frame anew: Hilum's caches are switched off
//! here, for with them all but the first request would measure a look-up.
//! Compressed images are those of `fixtures/`, the others are made up.

use std::path::Path;

use anyhow::Context;

use crate::{Load, Work, data, http::Answer, servers::Server};

/// What keeps made frames and pictures, switched off.
pub const NO_CACHES: [(&str, &str); 3] = [
    ("HILUM_PIXELS_CACHE_BYTES", "0"),
    ("HILUM_RENDER_CACHE_BYTES", "0"),
    ("HILUM_RENDER_THUMBNAIL_DISK_BYTES_MAX", "0"),
];

const DECODED: &str =
    "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.1";

/// Name, fixture, and the bytes of one frame as it is decoded.
const COMPRESSED: [(&str, &str, usize); 6] = [
    ("RLE, 64 x 64 x 16 bits", "variants/MR_small_RLE.dcm", 64 * 64 * 2),
    ("JPEG Baseline, 320 x 240 in colour", "examples_ybr_color.dcm", 320 * 240 * 3),
    ("JPEG Lossless, 1024 x 256 x 16 bits", "JPEG-LL.dcm", 1024 * 256 * 2),
    ("JPEG-LS, 64 x 64 x 16 bits", "variants/MR_small_jpeg_ls_lossless.dcm", 64 * 64 * 2),
    ("JPEG 2000 lossless, 64 x 64 x 16 bits", "variants/MR_small_jp2klossless.dcm", 64 * 64 * 2),
    ("JPEG 2000, 512 x 512 x 16 bits", "693_J2KI.dcm", 512 * 512 * 2),
];

/// Side of the square that stands for a mammogram.
const MAMMOGRAM_SIDE: u16 = 2560;
const STUDY: usize = 950_001;

/// Where the instances are under the services of a server.
pub struct Filled {
    compressed: Vec<String>,
    slice: String,
    mammogram: String,
}

/// Stores what is drawn, in every server alike.
pub fn fill(servers: &[Server]) -> anyhow::Result<Filled> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut compressed = Vec::new();
    for (index, (_, name, _)) in COMPRESSED.iter().enumerate() {
        let mut file = std::fs::read(folder.join(name)).with_context(|| name.to_string())?;
        renumber(&mut file, index).with_context(|| name.to_string())?;
        compressed.push(store(servers, &file).with_context(|| name.to_string())?);
    }
    let slice = store(servers, &data::ct(STUDY, 0).file)?;
    let mammogram = store(servers, &data::large(STUDY + 1, MAMMOGRAM_SIDE).file)?;
    Ok(Filled { compressed, slice, mammogram })
}

/// Gives an instance an end of its own to its SOP Instance UID: some fixtures
/// are one instance in several transfer syntaxes.
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
    for ((name, _, bytes), path) in COMPRESSED.into_iter().zip(&filled.compressed) {
        works.push(read(format!("decoded: {name}"), DECODED, format!("{path}/frames/1"), move |body| {
            body.len() > bytes
        }));
    }
    let cine = &filled.compressed[1];
    for (name, path) in [
        ("CT slice, 512 x 512", format!("{}/rendered", filled.slice)),
        ("mammogram, 2560 x 2560", format!("{}/rendered", filled.mammogram)),
        ("frame of a cine in JPEG, 320 x 240", format!("{cine}/frames/2/rendered")),
        ("CT slice for a viewport of 128 x 128", format!("{}/rendered?viewport=128,128", filled.slice)),
    ] {
        works.push(read(format!("rendered as JPEG: {name}"), "image/jpeg", path, |body| {
            body.starts_with(&[0xFF, 0xD8])
        }));
    }
    let path = format!("{}/rendered", filled.slice);
    works.push(read("rendered as PNG: CT slice, 512 x 512".to_owned(), "image/png", path, |body| {
        body.starts_with(b"\x89PNG")
    }));
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
