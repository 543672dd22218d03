//! From a decoded frame to a code stream, and what the data set must say of it
//! then. Only the Transfer Syntaxes that are lossy by their name lose something,
//! and how much is the same for everybody ([`LOSSY_CODINGS`]).

use super::{
    Description, Frame, Number, Photometric, PixelError, deflate, jpeg, jpeg_ls, jpeg_xl,
    jpeg2000::{self, Coder},
    rle,
    samples::{Samples, Values},
};
use crate::dicom::transfer_syntax::{Pixels, TransferSyntax};

/// How a lossy coding is written.
#[derive(Debug, Clone, Copy)]
pub struct LossyCoding {
    pub uid: &'static str,
    /// Lossy Image Compression Method (0028,2114).
    pub method: &'static str,
    /// For Derivation Description. Whoever changes one of the numbers changes
    /// the SOP Instance UIDs of what is derived, which is as it should be.
    pub description: &'static str,
}

/// The lossy codings.
#[rustfmt::skip]
pub const LOSSY_CODINGS: [LossyCoding; 3] = [
    LossyCoding { uid: "1.2.840.10008.1.2.4.50", method: "ISO_10918_1", description: "JPEG Baseline, quality 90" },
    LossyCoding { uid: "1.2.840.10008.1.2.4.81", method: "ISO_14495_1", description: "JPEG-LS near-lossless, no sample changed by more than 2" },
    LossyCoding { uid: "1.2.840.10008.1.2.4.91", method: "ISO_15444_1", description: "JPEG 2000, a tenth of the bytes" },
];
const JPEG_QUALITY: u8 = 90;
const NEAR: u8 = 2;
const JPEG_2000_RATIO: f32 = 10.0;

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
    let is_floating = matches!(description.number, Number::Float | Number::Double);
    if is_floating && syntax.pixels != Pixels::Native {
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
        _ if !syntax.is_lossless() && description.photometric == Photometric::PaletteColor => {
            return refuse("entries of a palette");
        }
        Pixels::Jpeg if !syntax.is_lossless() => {
            if (bits, description.bits_stored) != (8, 8) || description.is_signed() {
                return refuse("samples that are not of 8 bits without a sign");
            }
            match (colours, description.photometric) {
                (1, _) => {}
                (_, Photometric::Rgb | Photometric::YbrFull) => after.photometric = Photometric::YbrFull422,
                _ => return refuse("colours other than RGB and YBR_FULL"),
            }
        }
        Pixels::Jpeg | Pixels::JpegLs | Pixels::HtJpeg2000 => {}
        Pixels::Jpeg2000 => match (colours, description.photometric) {
            (1, _) => {}
            (_, Photometric::Rgb) if !description.is_signed() => {
                after.photometric =
                    if syntax.is_lossless() { Photometric::YbrRct } else { Photometric::YbrIct };
            }
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
    if !super::can_encode(syntax.uid) && !super::can_encode_lossy(syntax.uid) {
        return Err(PixelError::Unsupported(format!("{} is not written here", syntax.name)));
    }
    let signed = frame.description.is_signed();
    let lossy = !syntax.is_lossless();
    let code = match syntax.pixels {
        Pixels::Rle => rle::encode(&frame.bytes, &frame.description)?,
        Pixels::DeflatedFrame => deflate::deflate(&frame.bytes)?,
        Pixels::Jpeg if lossy => {
            jpeg::encode_baseline(&samples(frame), frame.description.photometric, JPEG_QUALITY)?
        }
        Pixels::Jpeg => jpeg::encode(&samples(frame))?,
        Pixels::JpegLs if lossy => {
            let image = samples(frame);
            if signed && is_at_an_end(&image) {
                // Within the allowed difference is the other end of the range.
                return Err(PixelError::Unsupported("signed samples at the ends of their range".to_owned()));
            }
            jpeg_ls::encode(&image, NEAR)?
        }
        Pixels::JpegLs => jpeg_ls::encode(&samples(frame), 0)?,
        Pixels::Jpeg2000 if lossy => jpeg2000::encode_lossy(&samples(frame), signed, JPEG_2000_RATIO)?,
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

/// A signed sample is so near to the largest or the smallest number that a
/// near-lossless coding could make the one of the other.
fn is_at_an_end(image: &Samples) -> bool {
    let middle = 1u16 << (image.precision - 1);
    let near = u16::from(NEAR);
    let is_near = |value: u16| (middle.saturating_sub(near)..middle.saturating_add(near)).contains(&value);
    match &image.values {
        Values::Bytes(values) => values.iter().any(|value| is_near(u16::from(*value))),
        Values::Words(values) => values.iter().any(|value| is_near(*value)),
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
