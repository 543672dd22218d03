//! `cargo run --release --example frames -- OUT FILE...`: decodes all frames of
//! each file into `OUT/<number>.raw` and writes a line of JSON about it, for
//! tests/oracle/pixels.py to compare with other decoders.
//! `--encode UID` encodes the decoded frames as well, into `OUT/<number>.<frame>.code`.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use hilum::{
    dicom::{FrameTable, part10, transfer_syntax},
    pixels::{Codecs, Description, Frame, Limits},
};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let encode = match arguments.iter().position(|argument| argument == "--encode") {
        Some(at) => {
            arguments.remove(at);
            Some(arguments.remove(at))
        }
        None => None,
    };
    let (out, files) = arguments.split_first().context("usage: frames [--encode UID] OUT FILE...")?;
    let codecs = Codecs::new(Limits { frame_bytes_max: 1 << 30, frame_time_max: Duration::from_mins(1) });
    for (number, file) in files.iter().enumerate() {
        let mut line = json!({ "file": file, "number": number });
        if let Err(error) = one_file(Path::new(file), number, out, encode.as_deref(), &codecs, &mut line) {
            line["error"] = Value::from(error.to_string());
        }
        println!("{line}");
    }
    Ok(())
}

fn one_file(
    file: &Path,
    number: usize,
    out: &str,
    encode: Option<&str>,
    codecs: &Codecs,
    line: &mut Value,
) -> Result<()> {
    let bytes = fs::read(file)?;
    let parsed = part10::parse(&bytes.as_slice(), &part10::Limits::default())?;
    line["syntax"] = Value::from(parsed.transfer_syntax.clone());
    if transfer_syntax::is_deflated(&parsed.transfer_syntax)
        || transfer_syntax::is_big_endian(&parsed.transfer_syntax)
    {
        bail!("skipped: its data set is deflated or big endian");
    }
    let description = Description::of(&parsed.dataset)?;
    let frames = code_streams(&bytes, &parsed.frames)?;
    let (mut raw, mut codes) = (Vec::new(), Vec::new());
    let start = Instant::now();
    let mut after = description;
    for code in &frames {
        let Frame { bytes, description } = codecs.decode(&parsed.transfer_syntax, code, &description)?;
        after = description;
        if let Some(syntax) = encode {
            codes.push(codecs.encode(syntax, Frame { bytes: bytes.clone(), description })?);
        }
        raw.extend(bytes);
    }
    line["seconds"] = Value::from(start.elapsed().as_secs_f64());
    line["frames"] = Value::from(frames.len());
    line["bits_allocated"] = Value::from(after.bits_allocated);
    line["photometric"] = Value::from(after.photometric.name());
    fs::write(format!("{out}/{number}.raw"), raw)?;
    for (frame, encoded) in codes.iter().enumerate() {
        fs::write(format!("{out}/{number}.{frame}.code"), &encoded.code)?;
        line["encoded_photometric"] = Value::from(encoded.description.photometric.name());
    }
    Ok(())
}

fn code_streams(bytes: &[u8], table: &FrameTable) -> Result<Vec<Bytes>> {
    let range = |offset: u64, length: u64| -> Result<&[u8]> {
        bytes.get(usize::try_from(offset)?..usize::try_from(offset + length)?).context("a frame lies outside")
    };
    match table {
        FrameTable::None | FrameTable::Video(_) => bail!("skipped: no single frames"),
        FrameTable::Native { frame_bits, .. } if frame_bits % 8 != 0 => bail!("skipped: frames share bytes"),
        FrameTable::Native { offset, frame_bits, frames } => (0..u64::from(*frames))
            .map(|frame| Ok(Bytes::copy_from_slice(range(offset + frame * frame_bits / 8, frame_bits / 8)?)))
            .collect(),
        FrameTable::Encapsulated(spans) => spans
            .iter()
            .map(|span| {
                let mut rest = range(span.offset, span.length)?;
                if span.fragments <= 1 {
                    return Ok(Bytes::copy_from_slice(rest));
                }
                let mut joined = Vec::new();
                while let Some((header, more)) = rest.split_at_checked(8) {
                    let length = u32::from_le_bytes(header[4..8].try_into()?) as usize;
                    let (fragment, more) =
                        more.split_at_checked(length).context("a fragment lies outside")?;
                    joined.extend_from_slice(fragment);
                    rest = more;
                }
                Ok(joined.into())
            })
            .collect(),
    }
}
