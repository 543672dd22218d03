//! Images whose coding DICOM does not know, PNG and GIF, as the native pixels
//! that PS3.18 table 10.5.2-1 makes of them ("Transform"): alpha is dropped, an
//! animation becomes frames, a palette becomes colours, or grey if it holds
//! nothing else. Depth is kept: a PNG of 16 bits stays one.
//!
//! Pixels leave as they are decoded. What a few bytes may grow to is limited
//! before anything is allocated.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::bitstream::Image;
use super::encode::Stretch;
use super::source::Source;

/// A picture that must be whole in memory: a frame of a GIF, an interlaced PNG.
const HELD_BYTES_MAX: u64 = PNG_BYTES_MAX as u64;
const PNG_BYTES_MAX: usize = 64 << 20;

/// What was decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    /// Of one frame.
    pub image: Image,
    pub frames: u32,
    /// Milliseconds that each frame of an animation is shown.
    pub delays_ms: Vec<u32>,
}

/// Why an image was not decoded.
#[derive(Debug, thiserror::Error)]
pub enum RasterError {
    #[error("is damaged or no {0} image")]
    Damaged(&'static str),
    #[error("has more pixels than the {max} bytes they may become")]
    TooLarge { max: u64 },
    #[error("is an animated PNG, of which DICOM has no notion; send it as GIF")]
    Animated,
    #[error("could not be read")]
    Io(#[from] io::Error),
}

/// Where decoded pixels go, little endian.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> io::Result<()>;

/// Decodes a PNG image to at most `bytes_max` bytes.
///
/// # Errors
/// [`RasterError`]; what went into the sink until then is of no use.
pub fn png(
    source: &dyn Source,
    stretch: Stretch,
    bytes_max: u64,
    sink: Sink<'_>,
) -> Result<Raster, RasterError> {
    let damaged = |error: png::DecodingError| match error {
        png::DecodingError::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            RasterError::Io(error)
        }
        png::DecodingError::IoError(_)
        | png::DecodingError::Format(_)
        | png::DecodingError::Parameter(_)
        | png::DecodingError::LimitsExceeded => RasterError::Damaged("PNG"),
    };
    let limits = png::Limits { bytes: PNG_BYTES_MAX };
    let reader = BufReader::new(StretchReader { source, stretch, at: 0 });
    let mut decoder = png::Decoder::new_with_limits(reader, limits);
    decoder.set_transformations(png::Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (width, height, interlaced) = (reader.info().width, reader.info().height, reader.info().interlaced);
    if reader.info().animation_control().is_some_and(|animation| animation.num_frames > 1) {
        return Err(RasterError::Animated);
    }
    let (color, depth) = reader.output_color_type();
    let bits: u16 = if depth == png::BitDepth::Sixteen { 16 } else { 8 };
    let channels = color.samples();
    let samples: u16 = if channels <= 2 { 1 } else { 3 };
    let (Ok(columns), Ok(rows)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(RasterError::TooLarge { max: bytes_max });
    };
    let bytes = u64::from(width) * u64::from(height) * u64::from(samples) * u64::from(bits / 8);
    let held = u64::from(width) * u64::from(height) * channels as u64 * u64::from(bits / 8);
    if bytes > bytes_max || (interlaced && held > HELD_BYTES_MAX) {
        return Err(RasterError::TooLarge { max: if interlaced { HELD_BYTES_MAX } else { bytes_max } });
    }
    let wide = bits == 16;
    let mut row_out = Vec::new();
    let mut put = |row: &[u8]| {
        row_out.clear();
        native(row, channels, usize::from(samples), wide, &mut row_out);
        sink(&row_out)
    };
    if interlaced {
        let length = reader.output_buffer_size().ok_or(RasterError::TooLarge { max: HELD_BYTES_MAX })?;
        let mut picture = vec![0; length];
        let info = reader.next_frame(&mut picture).map_err(damaged)?;
        for row in picture.chunks_exact(info.line_size.max(1)) {
            put(row)?;
        }
    } else {
        while let Some(row) = reader.next_row().map_err(damaged)? {
            put(row.data())?;
        }
    }
    let image = image(rows, columns, samples, bits);
    Ok(Raster { image, frames: 1, delays_ms: Vec::new() })
}

/// Without alpha, and the bytes of each sample turned little endian.
fn native(row: &[u8], channels: usize, samples: usize, wide: bool, out: &mut Vec<u8>) {
    let width = if wide { 2 } else { 1 };
    for pixel in row.chunks_exact(channels * width) {
        for sample in pixel.chunks_exact(width).take(samples) {
            out.extend(sample.iter().rev());
        }
    }
}

/// Decodes a GIF image, every frame as it is shown, to at most `bytes_max`
/// bytes.
///
/// # Errors
/// As [`png()`].
pub fn gif(
    source: &dyn Source,
    stretch: Stretch,
    bytes_max: u64,
    sink: Sink<'_>,
) -> Result<Raster, RasterError> {
    // Whether colour occurs is known when every palette was seen.
    let is_grey = has_only_grey(source, stretch)?;
    let mut decoder = open_gif(source, stretch, false)?;
    let (columns, rows) = (decoder.width(), decoder.height());
    let pixels = usize::from(columns) * usize::from(rows);
    let samples: u16 = if is_grey { 1 } else { 3 };
    let frame_bytes = pixels as u64 * u64::from(samples);
    if frame_bytes == 0 {
        return Err(RasterError::Damaged("GIF"));
    }
    if pixels as u64 * 3 > HELD_BYTES_MAX {
        return Err(RasterError::TooLarge { max: HELD_BYTES_MAX });
    }
    let global: Vec<u8> = decoder.global_palette().map(<[u8]>::to_vec).unwrap_or_default();
    let ground = color(&global, decoder.bg_color().unwrap_or(0));
    let mut canvas = Canvas { columns: usize::from(columns), pixels: vec![ground; pixels] };
    let (mut frames, mut delays_ms) = (0_u32, Vec::new());
    loop {
        let frame = match decoder.read_next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => return Err(gif_error(error)),
        };
        if u64::from(frames + 1) * frame_bytes > bytes_max {
            return Err(RasterError::TooLarge { max: bytes_max });
        }
        let before = (frame.dispose == gif::DisposalMethod::Previous).then(|| canvas.pixels.clone());
        canvas.draw(frame, frame.palette.as_deref().unwrap_or(&global));
        let shown: Vec<u8> = if is_grey {
            canvas.pixels.iter().map(|[grey, _, _]| *grey).collect()
        } else {
            canvas.pixels.concat()
        };
        sink(&shown)?;
        frames += 1;
        delays_ms.push(u32::from(frame.delay) * 10);
        match (frame.dispose, before) {
            (gif::DisposalMethod::Background, _) => canvas.clear(frame, ground),
            (_, Some(before)) => canvas.pixels = before,
            (_, None) => {}
        }
    }
    if frames == 0 {
        return Err(RasterError::Damaged("GIF"));
    }
    Ok(Raster { image: image(rows, columns, samples, 8), frames, delays_ms })
}

fn has_only_grey(source: &dyn Source, stretch: Stretch) -> Result<bool, RasterError> {
    let is_grey =
        |palette: &[u8]| palette.chunks_exact(3).all(|color| color[0] == color[1] && color[1] == color[2]);
    let mut decoder = open_gif(source, stretch, true)?;
    let mut all = decoder.global_palette().is_none_or(is_grey);
    while let Some(frame) = decoder.next_frame_info().map_err(gif_error)? {
        all &= frame.palette.as_deref().is_none_or(is_grey);
    }
    Ok(all)
}

type GifDecoder<'a> = gif::Decoder<StretchReader<'a>>;

fn open_gif(source: &dyn Source, stretch: Stretch, skip: bool) -> Result<GifDecoder<'_>, RasterError> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::Indexed);
    options.skip_frame_decoding(skip);
    if let Some(limit) = std::num::NonZeroU64::new(HELD_BYTES_MAX) {
        options.set_memory_limit(gif::MemoryLimit::Bytes(limit));
    }
    options.read_info(StretchReader { source, stretch, at: 0 }).map_err(gif_error)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the crate may add reasons")]
fn gif_error(error: gif::DecodingError) -> RasterError {
    match error {
        gif::DecodingError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            RasterError::Io(error)
        }
        _ => RasterError::Damaged("GIF"),
    }
}

fn color(palette: &[u8], index: usize) -> [u8; 3] {
    palette.get(index * 3..index * 3 + 3).and_then(|color| color.try_into().ok()).unwrap_or_default()
}

/// What an animation shows at a moment.
struct Canvas {
    columns: usize,
    pixels: Vec<[u8; 3]>,
}

impl Canvas {
    fn draw(&mut self, frame: &gif::Frame<'_>, palette: &[u8]) {
        for (row, line) in frame.buffer.chunks_exact(usize::from(frame.width).max(1)).enumerate() {
            for (column, index) in line.iter().enumerate() {
                if frame.transparent == Some(*index) {
                    continue;
                }
                if let Some(pixel) = self.pixel(frame, row, column) {
                    *pixel = color(palette, usize::from(*index));
                }
            }
        }
    }

    fn clear(&mut self, frame: &gif::Frame<'_>, ground: [u8; 3]) {
        for row in 0..usize::from(frame.height) {
            for column in 0..usize::from(frame.width) {
                if let Some(pixel) = self.pixel(frame, row, column) {
                    *pixel = ground;
                }
            }
        }
    }

    /// A pixel of a frame, if it is on the canvas.
    fn pixel(&mut self, frame: &gif::Frame<'_>, row: usize, column: usize) -> Option<&mut [u8; 3]> {
        let column = column + usize::from(frame.left);
        let row = row + usize::from(frame.top);
        if column >= self.columns {
            return None;
        }
        self.pixels.get_mut(row * self.columns + column)
    }
}

fn image(rows: u16, columns: u16, samples: u16, bits: u16) -> Image {
    Image {
        rows,
        columns,
        samples,
        photometric: if samples == 1 { "MONOCHROME2" } else { "RGB" },
        bits_allocated: bits,
        bits_stored: bits,
        is_signed: false,
        frames: None,
    }
}

/// A stretch as a file.
#[derive(Clone, Copy)]
struct StretchReader<'a> {
    source: &'a dyn Source,
    stretch: Stretch,
    at: u64,
}

impl Read for StretchReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.stretch.length.saturating_sub(self.at);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.source.read_exact_at(&mut buffer[..count], self.stretch.offset + self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for StretchReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.stretch.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Decode = fn(&dyn Source, Stretch, u64, Sink<'_>) -> Result<Raster, RasterError>;

    fn decoded(decode: Decode, file: &[u8], bytes_max: u64) -> Result<(Raster, Vec<u8>), RasterError> {
        let mut pixels = Vec::new();
        let whole = Stretch { offset: 0, length: file.len() as u64 };
        let raster = decode(&file, whole, bytes_max, &mut |bytes| {
            pixels.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok((raster, pixels))
    }

    fn png_file(color: png::ColorType, depth: png::BitDepth, width: u32, pixels: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == png::ColorType::Indexed {
            encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
        }
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        file
    }

    #[test]
    fn sto_26_png_loses_its_alpha_and_keeps_its_depth() {
        use png::{BitDepth, ColorType};
        let rgba = png_file(ColorType::Rgba, BitDepth::Eight, 1, &[1, 2, 3, 9, 4, 5, 6, 9]);
        let (raster, pixels) = decoded(png, &rgba, 1000).unwrap();
        assert_eq!(pixels, [1, 2, 3, 4, 5, 6]);
        assert_eq!((raster.image.rows, raster.image.columns, raster.image.photometric), (2, 1, "RGB"));
        let grey = png_file(ColorType::GrayscaleAlpha, BitDepth::Sixteen, 1, &[1, 2, 0, 0, 3, 4, 0, 0]);
        let (raster, pixels) = decoded(png, &grey, 1000).unwrap();
        assert_eq!(pixels, [2, 1, 4, 3]);
        assert_eq!((raster.image.bits_allocated, raster.image.photometric), (16, "MONOCHROME2"));
        let palette = png_file(ColorType::Indexed, BitDepth::One, 1, &[0, 0x80]);
        assert_eq!(decoded(png, &palette, 1000).unwrap().1, [1, 2, 3, 4, 5, 6]);
        let bits = png_file(ColorType::Grayscale, BitDepth::One, 3, &[0b1010_0000, 0b0100_0000]);
        assert_eq!(decoded(png, &bits, 1000).unwrap().1, [255, 0, 255, 0, 255, 0]);
        assert!(matches!(decoded(png, &bits, 5), Err(RasterError::TooLarge { max: 5 })));
        assert!(matches!(decoded(png, &bits[..50], 1000), Err(RasterError::Damaged(_))));
    }

    fn gif_file(palette: &[u8], frames: &[gif::Frame<'_>]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = gif::Encoder::new(&mut file, 2, 1, palette).unwrap();
        for frame in frames {
            encoder.write_frame(frame).unwrap();
        }
        drop(encoder);
        file
    }

    fn gif_frame(pixels: &'static [u8], left: u16) -> gif::Frame<'static> {
        let width = u16::try_from(pixels.len()).unwrap();
        gif::Frame { width, height: 1, left, delay: 4, buffer: pixels.into(), ..gif::Frame::default() }
    }

    #[test]
    fn sto_26_an_animated_gif_becomes_frames() {
        let colors = [10, 20, 30, 40, 50, 60];
        let file = gif_file(&colors, &[gif_frame(&[0, 1], 0), gif_frame(&[0], 1)]);
        let (raster, pixels) = decoded(gif, &file, 1000).unwrap();
        assert_eq!((raster.frames, raster.delays_ms.as_slice()), (2, &[40, 40][..]));
        assert_eq!(pixels, [10, 20, 30, 40, 50, 60, 10, 20, 30, 10, 20, 30]);
        assert!(matches!(decoded(gif, &file, 11), Err(RasterError::TooLarge { max: 11 })));
        let grey = gif_file(&[7, 7, 7, 9, 9, 9], &[gif_frame(&[0, 1], 0)]);
        let (raster, pixels) = decoded(gif, &grey, 1000).unwrap();
        assert_eq!((raster.image.photometric, pixels.as_slice()), ("MONOCHROME2", &[7, 9][..]));
        let mut transparent = gif_frame(&[0, 1], 0);
        transparent.transparent = Some(1);
        transparent.dispose = gif::DisposalMethod::Previous;
        let file = gif_file(&colors, &[gif_frame(&[1, 0], 0), transparent, gif_frame(&[1], 1)]);
        let (_, pixels) = decoded(gif, &file, 1000).unwrap();
        assert_eq!(pixels[6..12], [10, 20, 30, 10, 20, 30]);
        assert_eq!(pixels[12..], [40, 50, 60, 40, 50, 60]);
    }

    /// 100 bytes that claim a picture of gigabytes cost nothing.
    #[test]
    fn a_bomb_is_refused_by_its_header() {
        let mut file = png_file(png::ColorType::Rgb, png::BitDepth::Eight, 1, &[0; 6]);
        file[16..24].copy_from_slice(&[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
        let crc = crc32fast::hash(&file[12..29]).to_be_bytes();
        file[29..33].copy_from_slice(&crc);
        assert!(matches!(decoded(png, &file, 1 << 20), Err(RasterError::TooLarge { .. })));
        let mut file = gif_file(&[0; 6], &[gif_frame(&[0, 0], 0)]);
        file[6..10].fill(0xFF);
        assert!(matches!(decoded(gif, &file, 1 << 20), Err(RasterError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn mutations_decode_or_fail(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        ) {
            let colors = [10, 20, 30, 40, 50, 60];
            let mut gif_bytes = gif_file(&colors, &[gif_frame(&[0, 1], 0), gif_frame(&[0], 1)]);
            let mut png_bytes = png_file(png::ColorType::Rgba, png::BitDepth::Eight, 1, &[1, 2, 3, 9, 4, 5, 6, 9]);
            for (index, byte) in changes {
                let at = index.index(gif_bytes.len());
                gif_bytes[at] = byte;
                let at = index.index(png_bytes.len());
                png_bytes[at] = byte;
            }
            let _ = decoded(gif, &gif_bytes, 1 << 16);
            let _ = decoded(png, &png_bytes, 1 << 16);
        }
    }
}
