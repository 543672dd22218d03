//! Small DICOM files made in code, for tests: a writer that can also write what
//! no writer should.

use std::io::Write;

use dicom_core::{Tag, VR};

use super::{
    DEFLATED_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, Encoding, IMPLICIT_LITTLE_ENDIAN,
};
use crate::dicom::vr;

pub(crate) const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

/// Writes elements in one encoding.
#[derive(Clone)]
pub(crate) struct Sample {
    pub encoding: Encoding,
    pub bytes: Vec<u8>,
}

impl Sample {
    pub(crate) fn new(encoding: Encoding) -> Self {
        Self { encoding, bytes: Vec::new() }
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        let bytes = if self.encoding.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes.extend(bytes);
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        let bytes = if self.encoding.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes.extend(bytes);
        self
    }

    pub(crate) fn header(&mut self, tag: Tag, vr: VR, length: u32) -> &mut Self {
        self.u16(tag.group()).u16(tag.element());
        if !self.encoding.explicit {
            return self.u32(length);
        }
        self.bytes.extend(vr.to_bytes());
        if vr::has_long_header(vr) { self.u16(0).u32(length) } else { self.u16(length as u16) }
    }

    pub(crate) fn raw(&mut self, tag: Tag, vr: VR, value: &[u8]) -> &mut Self {
        self.header(tag, vr, value.len() as u32);
        self.bytes.extend(value);
        self
    }

    pub(crate) fn text(&mut self, tag: Tag, vr: VR, text: &str) -> &mut Self {
        let mut bytes = text.as_bytes().to_vec();
        if bytes.len() % 2 == 1 {
            bytes.push(vr::padding(vr));
        }
        self.raw(tag, vr, &bytes)
    }

    pub(crate) fn us(&mut self, tag: Tag, value: u16) -> &mut Self {
        self.header(tag, VR::US, 2).u16(value)
    }

    pub(crate) fn sequence(&mut self, tag: Tag) -> &mut Self {
        self.header(tag, VR::SQ, u32::MAX)
    }

    pub(crate) fn marker(&mut self, element: u16, length: u32) -> &mut Self {
        self.u16(0xFFFE).u16(element).u32(length)
    }

    pub(crate) fn item(&mut self) -> &mut Self {
        self.marker(0xE000, u32::MAX)
    }

    pub(crate) fn item_end(&mut self) -> &mut Self {
        self.marker(0xE00D, 0)
    }

    pub(crate) fn sequence_end(&mut self) -> &mut Self {
        self.marker(0xE0DD, 0)
    }

    pub(crate) fn fragment(&mut self, bytes: &[u8]) -> &mut Self {
        self.marker(0xE000, bytes.len() as u32);
        self.bytes.extend(bytes);
        self
    }

    /// SOP Class, SOP Instance, Study and Series UID, in the order of tags with
    /// what `between` writes in group 0008 to 0018.
    pub(crate) fn identity(&mut self, between: impl FnOnce(&mut Self)) -> &mut Self {
        self.text(Tag(0x0008, 0x0016), VR::UI, CT).text(Tag(0x0008, 0x0018), VR::UI, "1.2.3.4");
        between(self);
        self.text(Tag(0x0020, 0x000D), VR::UI, "1.2.3").text(Tag(0x0020, 0x000E), VR::UI, "1.2.3.1")
    }

    /// Image Pixel attributes of 16 bits, grey.
    pub(crate) fn image(&mut self, rows: u16, columns: u16, frames: Option<&str>, bits: u16) -> &mut Self {
        self.us(Tag(0x0028, 0x0002), 1);
        if let Some(frames) = frames {
            self.text(Tag(0x0028, 0x0008), VR::IS, frames);
        }
        self.us(Tag(0x0028, 0x0010), rows)
            .us(Tag(0x0028, 0x0011), columns)
            .us(Tag(0x0028, 0x0100), bits)
            .us(Tag(0x0028, 0x0103), 0)
    }

    /// As a complete file in the named syntax.
    pub(crate) fn file(&self, transfer_syntax: &str) -> Vec<u8> {
        let mut meta = Sample::new(Encoding::EXPLICIT);
        meta.text(Tag(2, 2), VR::UI, CT).text(Tag(2, 3), VR::UI, "1.2.3.4").text(
            Tag(2, 0x10),
            VR::UI,
            transfer_syntax,
        );
        let mut file = Sample::new(Encoding::EXPLICIT);
        file.bytes = vec![0; 128];
        file.bytes.extend(b"DICM");
        file.header(Tag(2, 0), VR::UL, 4).u32(meta.bytes.len() as u32);
        file.bytes.extend(&meta.bytes);
        if transfer_syntax == DEFLATED_LITTLE_ENDIAN {
            let mut encoder = flate2::write::DeflateEncoder::new(file.bytes, flate2::Compression::fast());
            encoder.write_all(&self.bytes).expect("memory");
            return encoder.finish().expect("memory");
        }
        file.bytes.extend(&self.bytes);
        file.bytes
    }
}

/// A grey image with names, numbers, sequences, private elements and a
/// large value, in one encoding.
pub(crate) fn rich(encoding: Encoding) -> Sample {
    let mut sample = Sample::new(encoding);
    sample.text(Tag(0x0008, 0x0005), VR::CS, "ISO_IR 100");
    sample.identity(|sample| {
        sample
            .text(Tag(0x0008, 0x0060), VR::CS, "CT")
            .sequence(Tag(0x0008, 0x1140))
            .item()
            .text(Tag(0x0008, 0x1150), VR::UI, CT)
            .item_end()
            .item()
            .item_end()
            .sequence_end()
            .text(Tag(0x0009, 0x0010), VR::LO, "HILUM TEST")
            .raw(Tag(0x0010, 0x0010), VR::PN, b"M\xFCller^J\xF6rg ")
            .text(Tag(0x0010, 0x1030), VR::DS, "72.5")
            .header(Tag(0x0018, 0x1149), VR::IS, 6);
        sample.bytes.extend(b"10\\20 ");
    });
    sample.image(4, 4, Some("2"), 16);
    sample.us(Tag(0x0028, 0x0106), 7).header(Tag(0x0028, 0x3006), VR::OW, 4).u16(1).u16(2);
    let pixels: Vec<u16> = (0..32).collect();
    sample.header(Tag(0x5400, 0x0110), VR::OW, 4).u16(1).u16(2);
    sample.header(Tag(0x7FE0, 0x0010), VR::OW, 64);
    for pixel in pixels {
        sample.u16(pixel);
    }
    sample
}

/// [`rich`] in each uncompressed syntax.
pub(crate) fn rich_files() -> Vec<(&'static str, Vec<u8>)> {
    [
        (IMPLICIT_LITTLE_ENDIAN, Encoding::IMPLICIT),
        (EXPLICIT_LITTLE_ENDIAN, Encoding::EXPLICIT),
        (EXPLICIT_BIG_ENDIAN, Encoding::BIG_ENDIAN),
        (DEFLATED_LITTLE_ENDIAN, Encoding::EXPLICIT),
    ]
    .map(|(syntax, encoding)| (syntax, rich(encoding).file(syntax)))
    .to_vec()
}

/// An encapsulated image: the offset table, the fragments, the frames declared.
pub(crate) fn encapsulated(table: &[u32], fragments: &[&[u8]], frames: Option<&str>) -> Sample {
    let mut sample = Sample::new(Encoding::EXPLICIT);
    sample.identity(|_| ()).image(4, 4, frames, 8);
    let table: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    sample.header(Tag(0x7FE0, 0x0010), VR::OB, u32::MAX).fragment(&table);
    for fragment in fragments {
        sample.fragment(fragment);
    }
    sample.sequence_end();
    sample
}
