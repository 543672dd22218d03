//! Small instances made by hand, in Explicit VR Little Endian, by a writer that
//! shares nothing with the code it tests.

use std::collections::BTreeMap;

/// CT Image Storage
pub const CT_CLASS: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";

/// A data set that can be written.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    elements: BTreeMap<u32, (&'static str, Vec<u8>)>,
}

impl Sample {
    /// An item, or the base of an instance: nothing at all.
    pub fn empty() -> Self {
        Self::default()
    }

    /// What an archive asks of an instance.
    pub fn new(study: &str, series: &str, instance: &str) -> Self {
        Self::default()
            .text(0x0008_0016, "UI", CT_CLASS)
            .text(0x0008_0018, "UI", instance)
            .text(0x0020_000D, "UI", study)
            .text(0x0020_000E, "UI", series)
    }

    pub fn text(self, tag: u32, vr: &'static str, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        if bytes.len() % 2 == 1 {
            bytes.push(if vr == "UI" { 0 } else { b' ' });
        }
        self.bytes(tag, vr, bytes)
    }

    pub fn bytes(mut self, tag: u32, vr: &'static str, value: Vec<u8>) -> Self {
        self.elements.insert(tag, (vr, value));
        self
    }

    pub fn number(self, tag: u32, value: u16) -> Self {
        self.bytes(tag, "US", value.to_le_bytes().to_vec())
    }

    pub fn without(mut self, tag: u32) -> Self {
        self.elements.remove(&tag);
        self
    }

    pub fn items(self, tag: u32, items: &[Self]) -> Self {
        let mut value = Vec::new();
        for item in items {
            let item = item.data_set();
            value.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0]);
            value.extend_from_slice(&length_of(&item).to_le_bytes());
            value.extend_from_slice(&item);
        }
        self.bytes(tag, "SQ", value)
    }

    /// `frames` of 8-bit pixels, `rows` by `columns`, each frame filled with
    /// its number.
    pub fn pixels(self, rows: u16, columns: u16, frames: u8) -> Self {
        let size = usize::from(rows) * usize::from(columns);
        let mut pixels: Vec<u8> = (1..=frames).flat_map(|frame| std::iter::repeat_n(frame, size)).collect();
        if pixels.len() % 2 == 1 {
            pixels.push(0);
        }
        self.number(0x0028_0002, 1)
            .text(0x0028_0004, "CS", "MONOCHROME2")
            .text(0x0028_0008, "IS", &frames.to_string())
            .number(0x0028_0010, rows)
            .number(0x0028_0011, columns)
            .number(0x0028_0100, 8)
            .number(0x0028_0101, 8)
            .number(0x0028_0102, 7)
            .number(0x0028_0103, 0)
            .bytes(0x7FE0_0010, "OB", pixels)
    }

    /// A file in Implicit VR Little Endian. Only for values without items.
    pub fn implicit(&self) -> Vec<u8> {
        let explicit = self.file_as("1.2.840.10008.1.2");
        let mut file = explicit[..explicit.len() - self.data_set().len()].to_vec();
        for (tag, (_, value)) in &self.elements {
            let [g1, g0, e1, e0] = tag.to_be_bytes();
            file.extend_from_slice(&[g0, g1, e0, e1]);
            file.extend_from_slice(&length_of(value).to_le_bytes());
            file.extend_from_slice(value);
        }
        file
    }

    /// A file in Explicit VR Big Endian, whose OW are words of 16 bits.
    pub fn big_endian(&self) -> Vec<u8> {
        let explicit = self.file_as("1.2.840.10008.1.2.2");
        let mut file = explicit[..explicit.len() - self.data_set().len()].to_vec();
        file.extend_from_slice(&self.data_set_in_big_endian());
        file
    }

    fn data_set_in_big_endian(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (tag, (vr, value)) in &self.elements {
            let mut value = value.clone();
            let width = match *vr {
                "AT" | "OW" | "SS" | "US" => 2,
                "FL" | "OF" | "SL" | "UL" => 4,
                _ => 1,
            };
            value.chunks_exact_mut(width).for_each(<[u8]>::reverse);
            let [g1, g0, e1, e0] = tag.to_be_bytes();
            out.extend_from_slice(&[g1, g0, e1, e0]);
            out.extend_from_slice(vr.as_bytes());
            if matches!(*vr, "OB" | "OF" | "OW" | "SQ" | "UN" | "UT") {
                out.extend_from_slice(&[0, 0]);
                out.extend_from_slice(&length_of(&value).to_be_bytes());
            } else {
                let length = u16::try_from(value.len()).expect("a short value");
                out.extend_from_slice(&length.to_be_bytes());
            }
            out.extend_from_slice(&value);
        }
        out
    }

    /// A sequence of one item, for [`Sample::big_endian`].
    pub fn item_in_big_endian(self, tag: u32, item: &Self) -> Self {
        let item = item.data_set_in_big_endian();
        let mut value = vec![0xFF, 0xFE, 0xE0, 0x00];
        value.extend_from_slice(&length_of(&item).to_be_bytes());
        value.extend_from_slice(&item);
        self.bytes(tag, "SQ", value)
    }

    /// A file with compressed pixels: these fragments behind an empty offset
    /// table.
    pub fn encapsulated(&self, transfer_syntax: &str, fragments: &[&[u8]]) -> Vec<u8> {
        let mut file = self.file_as(transfer_syntax);
        file.extend_from_slice(&[0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
        for fragment in [&[][..]].iter().chain(fragments) {
            file.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0]);
            file.extend_from_slice(&length_of(fragment).to_le_bytes());
            file.extend_from_slice(fragment);
        }
        file.extend_from_slice(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
        file
    }

    /// The elements without any envelope.
    pub fn data_set(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (tag, (vr, value)) in &self.elements {
            write(*tag, vr, value, &mut out);
        }
        out
    }

    /// A file of PS3.10.
    pub fn file(&self) -> Vec<u8> {
        self.file_as(EXPLICIT_LITTLE)
    }

    /// A file whose meta information claims a transfer syntax.
    pub fn file_as(&self, transfer_syntax: &str) -> Vec<u8> {
        let value = |tag: u32| self.elements.get(&tag).map(|(_, value)| value.clone()).unwrap_or_default();
        let mut syntax = transfer_syntax.as_bytes().to_vec();
        if syntax.len() % 2 == 1 {
            syntax.push(0);
        }
        let mut meta = Vec::new();
        write(0x0002_0001, "OB", &[0, 1], &mut meta);
        write(0x0002_0002, "UI", &value(0x0008_0016), &mut meta);
        write(0x0002_0003, "UI", &value(0x0008_0018), &mut meta);
        write(0x0002_0010, "UI", &syntax, &mut meta);
        write(0x0002_0012, "UI", b"1.2.3.4\0", &mut meta);
        let mut file = vec![0; 128];
        file.extend_from_slice(b"DICM");
        write(0x0002_0000, "UL", &length_of(&meta).to_le_bytes(), &mut file);
        file.extend_from_slice(&meta);
        file.extend_from_slice(&self.data_set());
        file
    }
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("samples are small")
}

fn write(tag: u32, vr: &str, value: &[u8], out: &mut Vec<u8>) {
    let [g1, g0, e1, e0] = tag.to_be_bytes();
    out.extend_from_slice(&[g0, g1, e0, e1]);
    out.extend_from_slice(vr.as_bytes());
    if ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"].contains(&vr) {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&length_of(value).to_le_bytes());
    } else {
        let length = u16::try_from(value.len()).expect("samples are small");
        out.extend_from_slice(&length.to_le_bytes());
    }
    out.extend_from_slice(value);
}
