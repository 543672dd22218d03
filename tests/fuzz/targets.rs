//! What must hold for any bytes at all: one function for each parser of what
//! strangers send. The fuzz targets beside this call them with libFuzzer's
//! inputs, `tests/it/mutations.rs` with mutated real files in every test run.

use std::{io::Read as _, sync::LazyLock, time::Duration};

use bytes::Bytes;
use hilum::{
    dicom::{
        DataSet, attributes,
        frames::FrameTable,
        json,
        part10::{self, Limits},
        query::{self, Options, Resource},
        transcode, xml,
    },
    http::multipart::{self, Event, Reader},
    pixels::{self, Codecs, Description, Number, Photometric, PixelError, TABLE},
    render::{
        geometry::{Source, Viewport},
        picture::{self, Frame, Look},
        presentation, report, waveform,
    },
};

/// Small, so that a run tries many inputs and not a few large ones.
fn limits() -> Limits {
    Limits {
        elements_max: 50_000,
        header_bytes_max: 4 << 20,
        frames_max: 10_000,
        inflated_bytes_max: 4 << 20,
        ..Limits::default()
    }
}

/// A file is read, or refused with a reason; what was read of it can be
/// written as JSON and as a file, and its frames lie within it.
pub fn part10(data: &[u8]) {
    let _ = part10::read(&data, &limits());
    let Ok(parsed) = part10::parse(&data, &limits()) else { return };
    let mut text = Vec::new();
    json::write(&parsed.dataset, &mut text);
    let mut filled = Vec::new();
    json::fill(&text, "http://localhost/instance", &mut filled);
    serde_json::from_slice::<serde_json::Value>(&filled).expect("what is written is JSON");
    json::read(&filled, json::Limits { depth_max: 100, elements_max: 100_000 }).expect("and DICOM JSON");
    let _ = attributes::split(&parsed.dataset);

    let inflated = parsed.transfer_syntax == "1.2.840.10008.1.2.1.99";
    let length = if inflated { limits().inflated_bytes_max } else { data.len() as u64 };
    let within = |offset: u64, bytes: u64| {
        assert!(offset.checked_add(bytes).is_some_and(|end| end <= length), "a frame lies within the file");
    };
    match &parsed.frames {
        FrameTable::None => {}
        FrameTable::Native { offset, frame_bits, frames } => {
            let bits = frame_bits.checked_mul(u64::from(*frames)).expect("no more bits than the file has");
            within(*offset, bits.div_ceil(8));
        }
        FrameTable::Encapsulated(spans) => spans.iter().for_each(|span| within(span.offset, span.length)),
        FrameTable::Video(span) => within(span.offset, span.length),
    }

    for plan in [transcode::explicit_little_endian(&data, &limits()), transcode::complete(&data, &limits())] {
        let Ok(plan) = plan else { continue };
        let mut file = Vec::new();
        plan.reader(&data).read_to_end(&mut file).expect("the ranges of a plan lie within the file");
        assert_eq!(file.len() as u64, plan.length, "a plan knows its length");
    }
}

/// The events of a body do not depend on how it was cut into chunks.
pub fn multipart(data: &[u8]) {
    let Some((&seed, body)) = data.split_first() else { return };
    let whole = events(body, body.len().max(1));
    assert_eq!(whole, events(body, 1 + usize::from(seed) % 97));
}

/// The events of a body in chunks of so many bytes, neighbouring data joined.
fn events(body: &[u8], chunk_bytes: usize) -> Vec<String> {
    let limits = multipart::Limits { header_bytes_max: 512, preamble_bytes_max: 512, parts_max: 64 };
    let mut reader = Reader::new("boundary", limits);
    let mut chunks = body.chunks(chunk_bytes);
    let mut told: Vec<String> = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    loop {
        let event = reader.next();
        if let Ok(Some(Event::Data(bytes))) = &event {
            data.extend_from_slice(bytes);
            continue;
        }
        match event {
            Ok(None) => match chunks.next() {
                Some(chunk) => reader.feed(chunk.to_vec().into()),
                None if reader.is_done() => return told,
                None => reader.finish(),
            },
            Ok(Some(event)) => {
                told.push(format!("{data:?}"));
                data.clear();
                told.push(format!("{event:?}"));
                if let Event::End { .. } = event {
                    return told;
                }
            }
            // How much of the last data came before it may differ.
            Err(error) => {
                told.push(error.to_string());
                return told;
            }
        }
    }
}

/// A query string is read, or refused with the parameter at fault; what was
/// read can be asked of any data set.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut set = DataSet::new();
    set.put_text(dicom_core::Tag(0x0010, 0x0010), dicom_core::VR::PN, "Yamada^Tarou=山田^太郎=やまだ^たろう");
    set.put_text(dicom_core::Tag(0x0008, 0x0020), dicom_core::VR::DA, "20040119");
    for (resource, strict) in [(Resource::Studies, false), (Resource::Instances, true)] {
        match query::parse(resource, text, &Options { strict, ..Options::default() }) {
            Ok(query) => {
                let _ = query::matches(&query, &set, Some(&set), Some(&set));
                let _ = query::project(&query, &set, Some(&set), Some(&set));
            }
            Err(error) => assert!(!error.parameter.is_empty() && !error.to_string().is_empty()),
        }
    }
}

/// DICOM JSON is read, or refused; what was read is written the same again.
pub fn json(data: &[u8]) {
    let Ok(sets) = json::read_all(data, json::Limits { depth_max: 32, elements_max: 10_000 }) else { return };
    for set in sets {
        let mut first = Vec::new();
        json::write(&set, &mut first);
        let again = json::read(&first, json::Limits::default()).expect("what is written can be read");
        let mut second = Vec::new();
        json::write(&again, &mut second);
        if first.contains(&1) {
            // A reference to bytes elsewhere: written relative to an instance
            // of ours, which it is not.
            continue;
        }
        assert_eq!(
            String::from_utf8_lossy(&first),
            String::from_utf8_lossy(&second),
            "writing what was read changes nothing"
        );
    }
}

/// A document of the Native DICOM Model is read, or refused; what was read is
/// written the same again.
pub fn xml(data: &[u8]) {
    let Ok(set) = xml::read(data, xml::Limits { depth_max: 32, elements_max: 10_000 }) else { return };
    let mut first = Vec::new();
    xml::write(&set, &mut first);
    let again = xml::read(&first, xml::Limits::default()).expect("what is written can be read");
    let mut second = Vec::new();
    xml::write(&again, &mut second);
    let third = xml::read(&second, xml::Limits::default()).expect("what is written can be read");
    assert_eq!(format!("{again:?}"), format!("{third:?}"), "writing what was read changes nothing");
}

static CODECS: LazyLock<Codecs> = LazyLock::new(|| {
    Codecs::new(pixels::Limits { frame_bytes_max: 1 << 20, frame_time_max: Duration::from_secs(20) })
});

/// The image that the first six bytes of an input stand for.
fn described(head: [u8; 6]) -> Description {
    let bits_allocated = [1, 8, 16, 32][usize::from(head[3] >> 1 & 3)];
    let photometrics =
        [Photometric::Monochrome2, Photometric::Rgb, Photometric::YbrFull422, Photometric::YbrRct];
    Description {
        rows: u32::from(head[1]) + 1,
        columns: u32::from(head[2]) + 1,
        samples_per_pixel: if head[3] & 1 == 1 { 3 } else { 1 },
        bits_allocated,
        bits_stored: u16::from(head[4]) % bits_allocated + 1,
        high_bit: u16::from(head[4]) % bits_allocated,
        number: if head[3] >> 3 & 1 == 1 { Number::Signed } else { Number::Unsigned },
        photometric: photometrics[usize::from(head[5] % 4)],
        by_plane: false,
        frames: 1,
    }
}

/// A frame of any coding is as long as its description says, or refused. No
/// decoder of ours panics; one of another's that does costs its frame.
pub fn frame(data: &[u8]) {
    let Some((head, code)) = data.split_first_chunk::<6>() else { return };
    let codec = TABLE[usize::from(head[0]) % TABLE.len()];
    match CODECS.decode(codec.uid, &Bytes::copy_from_slice(code), &described(*head)) {
        Ok(frame) => assert_eq!(frame.bytes.len() as u64, frame.description.frame_bytes(), "{}", codec.uid),
        Err(PixelError::Damaged { what, .. }) if codec.decoder == "hilum" => {
            assert!(!what.contains("gave up"), "{}: a panic", codec.uid);
        }
        Err(_) => {}
    }
}

/// Inputs of [`frame`] that are sound: a small image in every coding that is
/// written here.
pub fn frames() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for (number, codec) in (0_u8..).zip(TABLE).filter(|(_, codec)| codec.encoder.is_some()) {
        // Gray of 8, 16 and 32 bits, signed gray of 12, colour of 8.
        for (kind, stored, colour) in [(2, 7, 0), (4, 15, 0), (6, 31, 0), (12, 11, 0), (3, 7, 1)] {
            let head = [number, 15, 20, kind, stored, colour];
            let description = described(head);
            let mut noise = 77_u32;
            let bytes = (0..description.frame_bytes()).map(|at| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Of two bytes, the upper one stays small, so that 12 bits hold all.
                let is_upper = description.bits_allocated == 16 && at % 2 == 1;
                if is_upper { 3 } else { (at / 8 % 200) as u8 + (noise >> 30) as u8 }
            });
            let frame = pixels::Frame { bytes: bytes.collect(), description };
            if let Ok(encoded) = CODECS.encode(codec.uid, frame) {
                inputs.push([head.as_slice(), &encoded.code].concat());
            }
        }
    }
    inputs
}

/// Whatever a data set says of its image, of reports, waveforms and presentation
/// states, it is drawn or refused: the image as itself and as a state, which it
/// then is, shows it.
pub fn picture(data: &[u8]) {
    let Ok(parsed) = part10::parse(&data, &limits()) else { return };
    let set = &parsed.dataset;
    let _ = (report::html(set), report::text(set), report::xml(set), waveform::svg(set));
    let Ok(description) = Description::of(set) else { return };
    if description.samples() > 1 << 18 {
        return;
    }
    let description = Description { by_plane: false, ..description };
    let length = usize::try_from(description.samples() * 8).expect("a few MiB");
    let bytes: Vec<u8> = data.iter().copied().cycle().take(length).collect();
    for index in [0, 1] {
        let frame = Frame { bytes: &bytes, description: &description, set, index };
        let viewport = Some(Viewport { fits: Some((64, 48)), source: Source::default() });
        if let Ok(image) = picture::draw(&frame, &Look { viewport, ..Look::default() }) {
            assert_eq!(image.data.len(), (image.width * image.height) as usize * image.channels.count());
        }
        let mut state = set.clone();
        for class in
            ["1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.11.2", "1.2.840.10008.5.1.4.1.1.11.3"]
        {
            state.put_text(dicom_core::Tag(0x0008, 0x0016), dicom_core::VR::UI, class);
            if let Ok(image) = presentation::draw(&frame, &state, Some((64, 48))) {
                assert_eq!(image.data.len(), (image.width * image.height) as usize * image.channels.count());
                assert!(image.width <= 64 && image.height <= 64);
            }
        }
        let _ = presentation::references(&state);
    }
}
