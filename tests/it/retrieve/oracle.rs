//! What a file holds, as dicom-rs reads it: the second opinion.

use dicom_object::{DefaultDicomObject, InMemDicomObject, Tag, from_reader};
use hilum::dicom::part10;

pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
pub const IMPLICIT: &str = "1.2.840.10008.1.2";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);

/// Reads a file; a deflated one is inflated first, for dicom-rs is built
/// without that here.
pub fn open(file: &[u8]) -> DefaultDicomObject {
    if declared(file) == DEFLATED {
        return from_reader(inflated(file).as_slice()).expect("dicom-rs reads it");
    }
    from_reader(file).expect("dicom-rs reads it")
}

/// The same file, not deflated.
fn inflated(file: &[u8]) -> Vec<u8> {
    let group = u32::from_le_bytes(file[140..144].try_into().expect("four bytes"));
    let head = 144 + usize::try_from(group).expect("small");
    let mut plain = Vec::new();
    let mut inflate = flate2::read::DeflateDecoder::new(&file[head..]);
    std::io::Read::read_to_end(&mut inflate, &mut plain).expect("deflated data");
    let mut out = file[..head].to_vec();
    let at = memchr::memmem::find(&out, DEFLATED.as_bytes()).expect("a transfer syntax");
    assert_eq!(out[at - 2..at], [22, 0]);
    out[at - 2] = 20;
    drop(out.splice(at..at + 22, b"1.2.840.10008.1.2.1\0".iter().copied()));
    out[140..144].copy_from_slice(&(group - 2).to_le_bytes());
    out.extend(plain);
    out
}

/// As written in the meta information of a file.
pub fn declared(file: &[u8]) -> String {
    let meta = dicom_object::FileMetaTable::from_reader(&file[128..]).expect("file meta information");
    transfer_syntax(&meta.transfer_syntax).to_owned()
}

fn transfer_syntax(text: &str) -> &str {
    text.trim_end_matches(['\0', ' '])
}

/// It has no compressed pixels: it can be given in any encoding.
pub fn is_native(transfer_syntax: &str) -> bool {
    [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED].contains(&transfer_syntax)
}

/// Panics where two data sets differ in any value.
pub fn assert_same(name: &str, ours: &InMemDicomObject, theirs: &InMemDicomObject) {
    let tags = |set: &InMemDicomObject| -> Vec<Tag> {
        set.iter().map(|element| element.header().tag).filter(|tag| tag.element() != 0).collect()
    };
    assert_eq!(tags(ours), tags(theirs), "{name}");
    for element in theirs {
        let tag = element.header().tag;
        // Pixels are compared by their frames.
        if tag.element() == 0 || tag == PIXEL_DATA {
            continue;
        }
        let other = ours.element(tag).expect("checked above");
        match (element.items(), other.items()) {
            (Some(a), Some(b)) => {
                assert_eq!(a.len(), b.len(), "{name} {tag}");
                for (a, b) in a.iter().zip(b) {
                    assert_same(&format!("{name} {tag}"), b, a);
                }
            }
            (None, None) => {
                let (a, b) = (element.to_bytes(), other.to_bytes());
                let (Ok(a), Ok(b)) = (a, b) else { continue };
                let plain = |bytes: &[u8]| -> Vec<u8> {
                    let end =
                        bytes.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1);
                    bytes[..end].to_vec()
                };
                assert!(plain(&a) == plain(&b), "{name} {tag}: {:?} is {:?}", element.value(), other.value());
            }
            // A sequence in an unknown VR may be told to be one, or not.
            (a, b) => assert_eq!(a.is_some(), b.is_some(), "{name} {tag}"),
        }
    }
}

/// The frames of a file: of native pixels their little endian bytes, of
/// compressed ones their code streams.
pub fn frames(file: &[u8]) -> Vec<Vec<u8>> {
    let object = open(file);
    let number = |tag: Tag| -> Option<usize> { object.element(tag).ok()?.to_int().ok() };
    let count = number(Tag(0x0028, 0x0008)).unwrap_or(1);
    let Ok(element) = object.element(PIXEL_DATA) else { return Vec::new() };
    if let Some(fragments) = element.value().fragments() {
        let fragments: Vec<&[u8]> = fragments.iter().map(Vec::as_slice).collect();
        if fragments.len() == count {
            return fragments.into_iter().map(<[u8]>::to_vec).collect();
        }
        assert_eq!(count, 1, "no fixture has several fragments a frame and several frames");
        return vec![fragments.concat()];
    }
    let mut bytes = element.to_bytes().expect("bytes").into_owned();
    let pixels = number(Tag(0x0028, 0x0010)).expect("rows") * number(Tag(0x0028, 0x0011)).expect("columns");
    let samples = number(Tag(0x0028, 0x0002)).unwrap_or(1);
    let bits = number(Tag(0x0028, 0x0100)).expect("bits");
    let photometric = object.element(Tag(0x0028, 0x0004)).expect("photometric").to_str().expect("text");
    let samples = if photometric.trim() == "YBR_FULL_422" { 2 } else { samples };
    if bits == 32 && declared(file) == BIG_ENDIAN {
        // dicom-rs turns each word of OW; the bytes of a pixel are to be turned.
        bytes.chunks_exact_mut(4).for_each(|pixel| pixel.rotate_left(2));
    }
    if bits == 1 {
        return (0..count).map(|frame| bits_of(&bytes, frame * pixels, pixels)).collect();
    }
    let size = pixels * samples * bits / 8;
    (0..count).map(|frame| bytes[frame * size..(frame + 1) * size].to_vec()).collect()
}

/// Bits from `from` on, packed from bit 0 of the first byte.
fn bits_of(bytes: &[u8], from: usize, count: usize) -> Vec<u8> {
    let mut out = vec![0; count.div_ceil(8)];
    for bit in 0..count {
        let at = from + bit;
        if bytes[at / 8] >> (at % 8) & 1 == 1 {
            out[bit / 8] |= 1 << (bit % 8);
        }
    }
    out
}

/// The data set as our own reader has it: for files that dicom-rs cannot read.
pub fn own(file: &[u8]) -> part10::Instance {
    part10::read(&file, &part10::Limits::default()).expect("our own file")
}
