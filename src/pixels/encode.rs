//! From a decoded frame to a code stream, always without loss, and what the
//! data set must say of it then.

use super::{
    Description, Frame, Number, Photometric, PixelError, deflate, jpeg, jpeg_ls, jpeg_xl,
    jpeg2000::{self, Coder},
    rle,
    samples::{Samples, Values},
};
use crate::dicom::transfer_syntax::{Pixels, TransferSyntax};

/// A frame as a code stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub code: Vec<u8>,
    /// As the data set must describe it: JPEG 2000 turns RGB into YBR_RCT.
    pub description: Description,
}

/// The description that frames will have after coding; to be known before the
/// first of them is coded.
///
/// # Errors
/// The coding does not take such samples.
pub fn described(syntax: &TransferSyntax, description: &Description) -> Result<Description, PixelError> {
    let refuse = |what: &str| Err(PixelError::Unsupported(format!("{} of {what}", syntax.name)));
    let bits = description.bits_allocated;
    let colours = description.samples_per_pixel;
    if matches!(description.number, Number::Float | Number::Double) {
        return refuse("floating point samples");
    }
    let mut after = *description;
    match syntax.pixels {
        Pixels::EncapsulatedUncompressed | Pixels::DeflatedFrame | Pixels::Native => {}
        Pixels::Rle if bits == 1 && colours > 1 => return refuse("single bits in colour"),
        Pixels::Rle if u32::from(bits.div_ceil(8)) * u32::from(colours) > 15 => {
            return refuse("so many bytes a pixel");
        }
        Pixels::Rle => {}
        _ if !matches!(bits, 8 | 16) => return refuse("samples that are not of 8 or 16 bits"),
        _ if !matches!(colours, 1 | 3) => return refuse("other than 1 or 3 samples a pixel"),
        Pixels::Jpeg | Pixels::JpegLs | Pixels::HtJpeg2000 => {}
        Pixels::Jpeg2000 => match (colours, description.photometric) {
            (1, _) => {}
            (_, Photometric::Rgb) if !description.is_signed() => after.photometric = Photometric::YbrRct,
            _ => return refuse("colours other than RGB"),
        },
        Pixels::JpegXl if description.is_signed() => return refuse("signed samples"),
        Pixels::JpegXl if colours == 3 && description.photometric != Photometric::Rgb => {
            return refuse("colours other than RGB");
        }
        Pixels::JpegXl => {}
        Pixels::Jpeg2000Part2 | Pixels::Mpeg2 | Pixels::Mpeg4 | Pixels::Hevc | Pixels::Elsewhere => {
            return Err(PixelError::Unsupported(format!("{} is not written here", syntax.name)));
        }
    }
    Ok(after)
}

pub fn encode(syntax: &TransferSyntax, frame: &Frame) -> Result<Encoded, PixelError> {
    let description = described(syntax, &frame.description)?;
    if !super::can_encode(syntax.uid) {
        return Err(PixelError::Unsupported(format!("{} is not written here", syntax.name)));
    }
    let signed = frame.description.is_signed();
    let code = match syntax.pixels {
        Pixels::Rle => rle::encode(&frame.bytes, &frame.description)?,
        Pixels::DeflatedFrame => deflate::deflate(&frame.bytes)?,
        Pixels::Jpeg => jpeg::encode(&samples(frame))?,
        Pixels::JpegLs => jpeg_ls::encode(&samples(frame))?,
        Pixels::Jpeg2000 => jpeg2000::encode(&samples(frame), signed, Coder::Classic)?,
        Pixels::HtJpeg2000 => jpeg2000::encode(&samples(frame), signed, Coder::HighThroughput)?,
        Pixels::JpegXl => jpeg_xl::encode(&samples(frame))?,
        Pixels::EncapsulatedUncompressed
        | Pixels::Native
        | Pixels::Jpeg2000Part2
        | Pixels::Mpeg2
        | Pixels::Mpeg4
        | Pixels::Hevc
        | Pixels::Elsewhere => frame.bytes.clone(),
    };
    Ok(Encoded { code, description })
}

/// The samples of a frame of 8 or 16 bits, cut to the bits that are stored; to
/// those that are used, if some use more than that.
fn samples(frame: &Frame) -> Samples {
    let description = &frame.description;
    let (precision, values) = if description.bits_allocated == 8 {
        let values = frame.bytes.clone();
        let bits = fitting(values.iter().map(|value| u16::from(*value)), 8, description);
        let mask = (0xFFu16 >> (8 - bits)) as u8;
        (bits, Values::Bytes(values.into_iter().map(|value| value & mask).collect()))
    } else {
        let words = frame.bytes.chunks_exact(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let bits = fitting(words.clone(), 16, description);
        let mask = 0xFFFFu16 >> (16 - bits);
        let values = words.map(|value| value & mask);
        // Code streams of up to 8 bits have samples of a byte each.
        let values = if bits <= 8 {
            Values::Bytes(values.map(|value| value as u8).collect())
        } else {
            Values::Words(values.collect())
        };
        (bits, values)
    };
    Samples {
        columns: description.columns,
        rows: description.rows,
        per_pixel: description.samples_per_pixel,
        precision,
        values,
    }
}

/// Bits Stored if nothing stands above them (but the sign), else all.
fn fitting(values: impl Iterator<Item = u16>, allocated: u16, description: &Description) -> u16 {
    let stored = description.bits_stored.clamp(2, allocated);
    let shift = 16 - stored;
    let whole = 16 - allocated;
    let fits = |value: u16| {
        if description.is_signed() {
            let value = ((value << whole) as i16) >> whole;
            (value << shift) >> shift == value
        } else {
            (value << shift) >> shift == value
        }
    };
    let mut values = values;
    if values.all(fits) { stored } else { allocated }
}
