//! Marker segments, scans and lines of a JPEG-LS code stream to be decoded.

use super::{
    super::{
        PixelError,
        samples::{Samples, Values},
    },
    NAME,
    bits::Reader,
    model::{Around, Lines, Parameters, RUN_BITS, State, with_sign},
};

/// The frame header (SOF55).
#[derive(Debug, Clone)]
struct Frame {
    precision: u16,
    rows: u32,
    columns: u32,
    components: Vec<u8>,
}

/// What an LSE marker sets; zeros mean the default.
#[derive(Debug, Clone, Copy, Default)]
struct Preset {
    max: i32,
    thresholds: [i32; 3],
    reset: i32,
}

/// Decodes all scans. `allow` is asked with the size that the header says before
/// memory is taken.
pub fn decode(
    code: &[u8],
    allow: impl Fn(u32, u32, u16, u16) -> Result<(), PixelError>,
) -> Result<Samples, PixelError> {
    let mut at = 0;
    let mut frame: Option<Frame> = None;
    let mut preset = Preset::default();
    let mut restart = 0;
    let mut planes: Vec<u16> = Vec::new();
    let mut done = 0;
    loop {
        let (marker, segment, end) = next_segment(code, at)?;
        match marker {
            0xD8 => {}
            0xF7 => {
                let header = frame_header(segment, at)?;
                allow(header.columns, header.rows, header.components.len() as u16, header.precision)?;
                let samples = header.columns as usize * header.rows as usize * header.components.len();
                planes = vec![0; samples];
                frame = Some(header);
            }
            0xF8 => read_preset(segment, &mut preset, at)?,
            0xDD => restart = segment.iter().fold(0u32, |value, byte| value << 8 | u32::from(*byte)),
            0xDA => {
                let frame = frame
                    .as_ref()
                    .ok_or_else(|| PixelError::damaged(NAME, at, "a scan before the frame header"))?;
                let scan = scan_header(segment, frame, &preset, restart, at)?;
                at = scan.decode(code, end, frame, &mut planes)?;
                done += scan.components.len();
                if done >= frame.components.len() {
                    return Ok(frame.filled(planes));
                }
                continue;
            }
            0xD9 => return Err(PixelError::damaged(NAME, at, "it ends before its last component")),
            0xC0..=0xCF => {
                return Err(PixelError::damaged(NAME, at, "it is a JPEG, but not a JPEG-LS code stream"));
            }
            _ => {}
        }
        at = end;
    }
}

/// The marker at or after `at`, the bytes of its segment and the end of those.
fn next_segment(code: &[u8], mut at: usize) -> Result<(u8, &[u8], usize), PixelError> {
    loop {
        match code.get(at..at + 2) {
            Some([0xFF, 0xFF]) => at += 1,
            Some([0xFF, marker]) if *marker >= 0x80 => {
                if matches!(marker, 0xD0..=0xD9) {
                    return Ok((*marker, &[], at + 2));
                }
                let length = code
                    .get(at + 2..at + 4)
                    .map_or(0, |bytes| usize::from(bytes[0]) << 8 | usize::from(bytes[1]));
                let segment = code.get(at + 4..at + 2 + length).filter(|_| length >= 2);
                let segment =
                    segment.ok_or_else(|| PixelError::damaged(NAME, at, "a marker segment is cut off"))?;
                return Ok((*marker, segment, at + 2 + length));
            }
            _ => return Err(PixelError::damaged(NAME, at, "a marker is expected here")),
        }
    }
}

fn frame_header(segment: &[u8], at: usize) -> Result<Frame, PixelError> {
    let damaged = |what: &str| PixelError::damaged(NAME, at, what);
    let [precision, r0, r1, c0, c1, count, components @ ..] = segment else {
        return Err(damaged("the frame header is cut off"));
    };
    if !(2..=16).contains(precision) {
        return Err(damaged("a sample has less than 2 or more than 16 bits"));
    }
    if *count == 0 || *count > 4 || components.len() < usize::from(*count) * 3 {
        return Err(damaged("the frame header does not list its components"));
    }
    let components = components.chunks_exact(3).take(usize::from(*count));
    if components.clone().any(|component| component[1] != 0x11) {
        return Err(PixelError::Unsupported("JPEG-LS with sub-sampled components".to_owned()));
    }
    Ok(Frame {
        precision: u16::from(*precision),
        rows: u32::from(u16::from_be_bytes([*r0, *r1])),
        columns: u32::from(u16::from_be_bytes([*c0, *c1])),
        components: components.map(|component| component[0]).collect(),
    })
}

impl Frame {
    fn filled(&self, values: Vec<u16>) -> Samples {
        let values = if self.precision <= 8 {
            Values::Bytes(values.into_iter().map(|value| value as u8).collect())
        } else {
            Values::Words(values)
        };
        Samples {
            columns: self.columns,
            rows: self.rows,
            per_pixel: self.components.len() as u16,
            precision: self.precision,
            values,
        }
    }
}

fn read_preset(segment: &[u8], preset: &mut Preset, at: usize) -> Result<(), PixelError> {
    match segment {
        [1, values @ ..] if values.len() == 10 => {
            let word =
                |index: usize| i32::from(u16::from_be_bytes([values[index * 2], values[index * 2 + 1]]));
            *preset = Preset { max: word(0), thresholds: [word(1), word(2), word(3)], reset: word(4) };
            Ok(())
        }
        [2 | 3, ..] => Err(PixelError::Unsupported("JPEG-LS with a mapping table".to_owned())),
        [4, ..] => Err(PixelError::Unsupported("JPEG-LS of more than 65535 rows or columns".to_owned())),
        _ => Err(PixelError::damaged(NAME, at, "the preset parameters are cut off")),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interleave {
    None,
    Line,
    Sample,
}

struct Scan {
    /// Positions of the components in the frame.
    components: Vec<usize>,
    interleave: Interleave,
    parameters: Parameters,
    /// Lines between restart markers; 0: none.
    restart: u32,
}

fn scan_header(
    segment: &[u8],
    frame: &Frame,
    preset: &Preset,
    restart: u32,
    at: usize,
) -> Result<Scan, PixelError> {
    let damaged = |what: &str| PixelError::damaged(NAME, at, what);
    let count = usize::from(*segment.first().unwrap_or(&0));
    let (Some(list), Some([near, interleave, shift])) =
        (segment.get(1..1 + count * 2), segment.get(1 + count * 2..4 + count * 2))
    else {
        return Err(damaged("the scan header is cut off"));
    };
    let components: Option<Vec<usize>> = list
        .chunks_exact(2)
        .map(|pair| frame.components.iter().position(|component| *component == pair[0]))
        .collect();
    let components =
        components.ok_or_else(|| damaged("a scan of a component that the frame does not have"))?;
    if list.chunks_exact(2).any(|pair| pair[1] != 0) {
        return Err(PixelError::Unsupported("JPEG-LS with a mapping table".to_owned()));
    }
    let interleave = match (interleave, count) {
        (_, 0) => return Err(damaged("a scan of no component")),
        (0..=2, 1) => Interleave::None,
        (1, _) => Interleave::Line,
        (2, _) => Interleave::Sample,
        _ => return Err(damaged("an impossible interleave mode")),
    };
    if *shift != 0 {
        return Err(PixelError::Unsupported("JPEG-LS with a point transform".to_owned()));
    }
    let near = i32::from(*near);
    let full = (1 << frame.precision) - 1;
    let max = if preset.max == 0 { full } else { preset.max };
    if max > full || near > 255.min(max / 2) {
        return Err(damaged("impossible coding parameters"));
    }
    let mut parameters = Parameters::new(max, near);
    for (threshold, set) in parameters.thresholds.iter_mut().zip(preset.thresholds) {
        if set != 0 {
            *threshold = set;
        }
    }
    if preset.reset != 0 {
        parameters.reset = preset.reset.max(3);
    }
    Ok(Scan { components, interleave, parameters, restart })
}

impl Scan {
    /// Decodes the lines; answers where the next marker is.
    fn decode(
        &self,
        code: &[u8],
        start: usize,
        frame: &Frame,
        planes: &mut [u16],
    ) -> Result<usize, PixelError> {
        let (columns, rows) = (frame.columns as usize, frame.rows as usize);
        let per_pixel = frame.components.len();
        let mut coder = Coder::new(code, start, self.parameters);
        let mut lines: Vec<Lines> = self.components.iter().map(|_| Lines::new(columns)).collect();
        for row in 0..rows {
            if self.restart != 0 && row != 0 && (row as u32).is_multiple_of(self.restart) {
                let marker = coder.reader.marker_position();
                coder = Coder::new(code, marker + 2, self.parameters);
                lines = self.components.iter().map(|_| Lines::new(columns)).collect();
            }
            match (self.interleave, self.parameters.near) {
                (Interleave::Sample, 0) => coder.line_of_pixels::<true>(&mut lines, columns)?,
                (Interleave::Sample, _) => coder.line_of_pixels::<false>(&mut lines, columns)?,
                (_, 0) => lines.iter_mut().try_for_each(|line| coder.line::<true>(line, columns))?,
                (_, _) => lines.iter_mut().try_for_each(|line| coder.line::<false>(line, columns))?,
            }
            let target = &mut planes[row * columns * per_pixel..(row + 1) * columns * per_pixel];
            for (line, component) in lines.iter_mut().zip(&self.components) {
                for (pixel, value) in target.chunks_exact_mut(per_pixel).zip(&line.current[1..]) {
                    pixel[*component] = *value as u16;
                }
                line.advance();
            }
        }
        Ok(coder.reader.marker_position())
    }
}

struct Coder<'a> {
    reader: Reader<'a>,
    parameters: Parameters,
    state: State,
    /// Of the line that is decoded, see [`Parameters::contexts_above`].
    contexts: Vec<i32>,
}

impl<'a> Coder<'a> {
    fn new(code: &'a [u8], at: usize, parameters: Parameters) -> Self {
        Self {
            reader: Reader::new(code, at),
            parameters,
            state: State::new(&parameters),
            contexts: Vec::new(),
        }
    }

    fn line<const LOSSLESS: bool>(&mut self, lines: &mut Lines, columns: usize) -> Result<(), PixelError> {
        self.contexts.resize(columns + 1, 0);
        self.parameters.contexts_above(&lines.above, &mut self.contexts);
        let mut at = 1;
        let mut left = lines.current[0];
        while at <= columns {
            let (b, c) = (lines.above[at], lines.above[at - 1]);
            let context = self.contexts[at] + self.parameters.context_left(left, c);
            if context != 0 {
                let median = Around { a: left, b, c, d: 0 }.median();
                left = self.sample::<LOSSLESS>(context, median)?;
                lines.current[at] = left;
                at += 1;
                continue;
            }
            let run = self.run(&mut lines.run_index, columns + 1 - at)?;
            lines.current[at..at + run].fill(left);
            at += run;
            if at <= columns {
                let kind = usize::from((left - lines.above[at]).abs() <= self.parameters.near);
                left = self.run_end(kind, left, lines.above[at], lines.run_index)?;
                lines.current[at] = left;
                lines.run_index = lines.run_index.saturating_sub(1);
                at += 1;
            }
        }
        Ok(())
    }

    /// All components of one pixel, then the next: a run is one of pixels.
    fn line_of_pixels<const LOSSLESS: bool>(
        &mut self,
        lines: &mut [Lines],
        columns: usize,
    ) -> Result<(), PixelError> {
        let mut run_index = lines[0].run_index;
        let mut at = 1;
        while at <= columns {
            let flat = lines.iter().all(|line| self.parameters.context(&line.around(at)) == 0);
            if !flat {
                for line in lines.iter_mut() {
                    let around = line.around(at);
                    let context = self.parameters.context(&around);
                    line.current[at] = self.sample::<LOSSLESS>(context, around.median())?;
                }
                at += 1;
                continue;
            }
            let run = self.run(&mut run_index, columns + 1 - at)?;
            for line in lines.iter_mut() {
                let value = line.current[at - 1];
                line.current[at..at + run].fill(value);
            }
            at += run;
            if at <= columns {
                for line in lines.iter_mut() {
                    let (left, above) = (line.current[at - 1], line.above[at]);
                    line.current[at] = self.run_end(0, left, above, run_index)?;
                }
                run_index = run_index.saturating_sub(1);
                at += 1;
            }
        }
        lines[0].run_index = run_index;
        Ok(())
    }

    #[inline]
    fn sample<const LOSSLESS: bool>(&mut self, context: i32, median: i32) -> Result<i32, PixelError> {
        // Known to be 0, most of the arithmetic goes.
        let parameters = if LOSSLESS { Parameters { near: 0, ..self.parameters } } else { self.parameters };
        let sign = context >> 31;
        let context = &mut self.state.contexts[with_sign(context, sign) as usize];
        let predicted = (median + with_sign(context.correction, sign)).clamp(0, parameters.max);
        let k = context.golomb();
        let mapped = self.reader.number(k, parameters.code_bits_max, parameters.error_bits)?;
        let inverted = LOSSLESS && k == 0 && 2 * context.bias <= -context.count;
        let error = (mapped >> 1) ^ -(mapped & 1) ^ -i32::from(inverted);
        if error.abs() > 65535 {
            return Err(PixelError::damaged(NAME, 0, "an error is larger than any sample"));
        }
        context.update(error, &parameters);
        Ok(parameters.reconstruct(predicted, with_sign(error, sign)))
    }

    /// The length of a run, at most `left`.
    fn run(&mut self, run_index: &mut usize, left: usize) -> Result<usize, PixelError> {
        let mut run = 0;
        while self.reader.one()? {
            let whole = 1 << RUN_BITS[*run_index];
            let now = whole.min(left - run);
            run += now;
            if now == whole {
                *run_index = (*run_index + 1).min(31);
            }
            if run == left {
                return Ok(run);
            }
        }
        run += self.reader.take(RUN_BITS[*run_index]) as usize;
        if run >= left {
            return Err(PixelError::damaged(NAME, 0, "a run is longer than its line"));
        }
        Ok(run)
    }

    /// The sample that ends a run.
    fn run_end(&mut self, kind: usize, left: i32, above: i32, run_index: usize) -> Result<i32, PixelError> {
        let parameters = &self.parameters;
        let context = &mut self.state.runs[kind];
        let k = context.golomb();
        let code_bits_max = parameters.code_bits_max - RUN_BITS[run_index] - 1;
        let mapped = self.reader.number(k, code_bits_max, parameters.error_bits)?;
        let both = mapped + context.kind;
        let size = (both + 1) >> 1;
        let odd = both & 1 == 1;
        let flips = k != 0 || 2 * context.negative >= context.count;
        let error = if flips == odd { -size } else { size };
        if size > 65535 {
            return Err(PixelError::damaged(NAME, 0, "an error is larger than any sample"));
        }
        context.update(error, mapped, parameters);
        Ok(match kind {
            1 => parameters.reconstruct(left, error),
            _ => parameters.reconstruct(above, if left > above { -error } else { error }),
        })
    }
}
