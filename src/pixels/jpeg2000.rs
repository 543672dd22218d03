//! JPEG 2000 and High-Throughput JPEG 2000 (ISO/IEC 15444-1 and -15): decoded by
//! openjp2 (OpenJPEG in Rust), encoded by the same and by openjph-core (OpenJPH
//! in Rust).
//!
//! The size of the image is read here first, so that nothing is allocated for
//! an image other than the one that the data set describes. What is encoded
//! leaves only after it was decoded to the same samples.

use std::io::Read;

use jpeg2k::{DecodeParameters, Image};
use openjp2::{
    CODEC_FORMAT::OPJ_CODEC_J2K,
    COLOR_SPACE::{OPJ_CLRSPC_GRAY, OPJ_CLRSPC_SRGB},
    Codec, Stream, opj_cparameters_t, opj_image, opj_image_comptparm,
};
use openjph_core::{
    codestream::Codestream,
    file::MemOutfile,
    types::{Point, Size as Extent},
};

use super::{
    PixelError,
    samples::{Samples, Values},
};

const NAME: &str = "JPEG 2000";

/// A code stream decodes to at most this many tiles: each costs memory however
/// few pixels it has.
const TILES_MAX: u64 = 65_535;

/// What the SIZ marker segment says.
struct Size {
    columns: u32,
    rows: u32,
    components: u16,
    precision: u16,
}

pub fn decode(
    code: &[u8],
    allow: impl Fn(u32, u32, u16, u16) -> Result<(), PixelError>,
) -> Result<Samples, PixelError> {
    let code = codestream(code)?;
    let size = size(code)?;
    allow(size.columns, size.rows, size.components, size.precision)?;
    // A frame of which a part is missing is not the frame.
    let parameters = DecodeParameters::new().strict(true);
    let image = Image::from_bytes_with(code, parameters)
        .map_err(|error| PixelError::damaged(NAME, 0, error.to_string()))?;
    let components = image.components();
    let pixels = size.columns as usize * size.rows as usize;
    if components.len() != usize::from(size.components) || components.iter().any(|c| c.data().len() != pixels)
    {
        return Err(PixelError::damaged(NAME, 0, "it decodes to another size than it says"));
    }
    let mask = 0xFFFFu16 >> (16 - size.precision);
    let per_pixel = components.len();
    let values = if size.precision <= 8 {
        let mut values = vec![0u8; pixels * per_pixel];
        for (place, component) in components.iter().enumerate() {
            let places = values.iter_mut().skip(place).step_by(per_pixel);
            places.zip(component.data()).for_each(|(to, from)| *to = (*from as u16 & mask) as u8);
        }
        Values::Bytes(values)
    } else {
        let mut values = vec![0u16; pixels * per_pixel];
        for (place, component) in components.iter().enumerate() {
            let places = values.iter_mut().skip(place).step_by(per_pixel);
            places.zip(component.data()).for_each(|(to, from)| *to = *from as u16 & mask);
        }
        Values::Words(values)
    };
    Ok(Samples {
        columns: size.columns,
        rows: size.rows,
        per_pixel: size.components,
        precision: size.precision,
        values,
    })
}

/// The code stream alone: some writers put it into the boxes of a JP2 file.
fn codestream(code: &[u8]) -> Result<&[u8], PixelError> {
    const START: &[u8] = &[0xFF, 0x4F, 0xFF, 0x51];
    if code.starts_with(START) {
        return Ok(code);
    }
    let boxed = code.get(4..8) == Some(b"jP  ");
    let start = if boxed { memchr::memmem::find(code, START) } else { None };
    start
        .and_then(|start| code.get(start..))
        .ok_or_else(|| PixelError::damaged(NAME, 0, "it does not begin as a JPEG 2000 code stream does"))
}

fn size(code: &[u8]) -> Result<Size, PixelError> {
    let cut_off = || PixelError::damaged(NAME, 4, "the image size is cut off");
    let word = |at: usize| -> Result<u32, PixelError> {
        let bytes: [u8; 4] =
            code.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).ok_or_else(cut_off)?;
        Ok(u32::from_be_bytes(bytes))
    };
    let byte = |at: usize| code.get(at).copied().ok_or_else(cut_off);
    let (right, bottom, left, top) = (word(8)?, word(12)?, word(16)?, word(20)?);
    let (tile_columns, tile_rows) = (word(24)?, word(28)?);
    let components = u16::from_be_bytes([byte(40)?, byte(41)?]);
    let (Some(columns), Some(rows)) = (right.checked_sub(left), bottom.checked_sub(top)) else {
        return Err(PixelError::damaged(NAME, 8, "the image ends before it begins"));
    };
    if tile_columns == 0 || tile_rows == 0 {
        return Err(PixelError::damaged(NAME, 24, "a tile has no pixels"));
    }
    let tiles = u64::from(right.div_ceil(tile_columns)) * u64::from(bottom.div_ceil(tile_rows));
    if tiles > TILES_MAX {
        return Err(PixelError::damaged(NAME, 24, "more tiles than there can be"));
    }
    let depth = byte(42)?;
    for component in 0..usize::from(components) {
        if byte(42 + component * 3)? != depth {
            return Err(PixelError::Unsupported("JPEG 2000 with components of different depths".to_owned()));
        }
        if (byte(43 + component * 3)?, byte(44 + component * 3)?) != (1, 1) {
            return Err(PixelError::Unsupported("JPEG 2000 with sub-sampled components".to_owned()));
        }
    }
    Ok(Size { columns, rows, components, precision: u16::from(depth & 0x7F) + 1 })
}

/// Which block coder writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coder {
    Classic,
    HighThroughput,
}

/// Losslessly. Classic code streams have three components as luminance and
/// chrominance, others have them as they are.
pub fn encode(image: &Samples, is_signed: bool, coder: Coder) -> Result<Vec<u8>, PixelError> {
    let planes = planes(image, is_signed);
    if coder == Coder::Classic {
        let code = classic(image, is_signed, &planes, None)?;
        if is_same(&code, image) {
            return Ok(code);
        }
    } else {
        // The port of OpenJPH has errors that depend on the size of its blocks.
        for block in BLOCKS {
            let code = high_throughput(image, is_signed, &planes, block)?;
            if is_same(&code, image) {
                return Ok(code);
            }
        }
    }
    Err(PixelError::Unsupported("the encoder changed the samples of this frame".to_owned()))
}

/// Classic, irreversible, so that a frame has about `1 / ratio` of its bytes.
pub fn encode_lossy(image: &Samples, is_signed: bool, ratio: f32) -> Result<Vec<u8>, PixelError> {
    classic(image, is_signed, &planes(image, is_signed), Some(ratio))
}

/// Columns and rows of code blocks, those that compress best first.
const BLOCKS: [(u32, u32); 4] = [(64, 64), (32, 32), (16, 16), (4, 1024)];

fn is_same(code: &[u8], image: &Samples) -> bool {
    decode(code, |_, _, _, _| Ok(())).as_ref() == Ok(image)
}

/// One list of samples per component.
fn planes(image: &Samples, is_signed: bool) -> Vec<Vec<i32>> {
    let per_pixel = usize::from(image.per_pixel);
    let shift = if is_signed { 32 - u32::from(image.precision) } else { 0 };
    let value = |bits: u16| i32::from(bits) << shift >> shift;
    (0..per_pixel)
        .map(|place| match &image.values {
            Values::Bytes(values) => {
                values.iter().skip(place).step_by(per_pixel).map(|bits| value(u16::from(*bits))).collect()
            }
            Values::Words(values) => {
                values.iter().skip(place).step_by(per_pixel).map(|bits| value(*bits)).collect()
            }
        })
        .collect()
}

/// Halvings until the smaller side has one sample, at most five.
fn decompositions(image: &Samples) -> u32 {
    image.columns.min(image.rows).ilog2().min(5)
}

/// OpenJPEG writes to a file: a temporary one, that never leaves the cache of
/// the operating system.
fn classic(
    image: &Samples,
    is_signed: bool,
    planes: &[Vec<i32>],
    ratio: Option<f32>,
) -> Result<Vec<u8>, PixelError> {
    let refused = |what: &str| PixelError::Unsupported(format!("JPEG 2000: {what}"));
    let component = opj_image_comptparm {
        dx: 1,
        dy: 1,
        w: image.columns,
        h: image.rows,
        x0: 0,
        y0: 0,
        prec: u32::from(image.precision),
        bpp: u32::from(image.precision),
        sgnd: u32::from(is_signed),
    };
    let components = vec![component; planes.len()];
    let colour = if planes.len() == 3 { OPJ_CLRSPC_SRGB } else { OPJ_CLRSPC_GRAY };
    let mut picture = opj_image::create(&components, colour).ok_or_else(|| refused("no memory"))?;
    (picture.x1, picture.y1) = (image.columns, image.rows);
    for (to, from) in picture.comps_data_mut_iter().into_iter().flatten().zip(planes) {
        to.copy_from_slice(from);
    }
    let mut parameters = opj_cparameters_t {
        tcp_numlayers: 1,
        cp_disto_alloc: 1,
        tcp_mct: i8::from(planes.len() == 3),
        numresolution: decompositions(image) as i32 + 1,
        ..opj_cparameters_t::default()
    };
    if let Some(ratio) = ratio {
        parameters.irreversible = 1;
        parameters.tcp_rates[0] = ratio;
    }
    let mut codec = Codec::new_encoder(OPJ_CODEC_J2K).ok_or_else(|| refused("no encoder"))?;
    if codec.setup_encoder(&mut parameters, &mut picture) == 0 {
        return Err(refused("these samples are not taken"));
    }
    let failed = |error: std::io::Error| refused(&error.to_string());
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    let mut stream = Stream::new_file(file.path(), 1 << 20, false).map_err(failed)?;
    let is_written = codec.start_compress(&mut picture, &mut stream) != 0
        && codec.encode(&mut stream) != 0
        && codec.end_compress(&mut stream) != 0;
    if !is_written {
        return Err(refused("the encoder gave up"));
    }
    drop(stream);
    let mut code = Vec::new();
    file.read_to_end(&mut code).map_err(failed)?;
    Ok(code)
}

fn high_throughput(
    image: &Samples,
    is_signed: bool,
    planes: &[Vec<i32>],
    block: (u32, u32),
) -> Result<Vec<u8>, PixelError> {
    let refused = |error: openjph_core::error::OjphError| PixelError::Unsupported(format!("HTJ2K: {error}"));
    let mut codestream = Codestream::new();
    let size = codestream.access_siz_mut();
    size.set_image_extent(Point::new(image.columns, image.rows));
    size.set_tile_size(Extent::new(image.columns, image.rows));
    size.set_num_components(u32::from(image.per_pixel));
    for component in 0..u32::from(image.per_pixel) {
        size.set_comp_info(component, Point::new(1, 1), u32::from(image.precision), is_signed);
    }
    let style = codestream.access_cod_mut();
    style.set_num_decomposition(decompositions(image));
    style.set_reversible(true);
    style.set_color_transform(false);
    style.set_block_dims(block.0, block.1);
    codestream.set_planar(0);
    let mut out = MemOutfile::new();
    codestream.write_headers(&mut out, &[]).map_err(refused)?;
    for row in 0..image.rows as usize {
        let samples = row * image.columns as usize..(row + 1) * image.columns as usize;
        for (component, plane) in planes.iter().enumerate() {
            codestream.exchange(&plane[samples.clone()], component as u32).map_err(refused)?;
        }
    }
    codestream.flush(&mut out).map_err(refused)?;
    Ok(out.get_data().to_vec())
}
