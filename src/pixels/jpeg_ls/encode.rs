//! JPEG-LS encoding, lossless or with a largest difference `near`: one scan, the
//! components interleaved by line. What a decoder will have of a sample is what
//! the ones after it are predicted from.

use super::{
    super::{
        PixelError,
        samples::{Samples, Values},
    },
    bits::Writer,
    model::{Lines, Parameters, RUN_BITS, State},
};

pub fn encode(image: &Samples, near: u8) -> Result<Vec<u8>, PixelError> {
    let (Ok(columns), Ok(rows)) = (u16::try_from(image.columns), u16::try_from(image.rows)) else {
        return Err(PixelError::Unsupported("JPEG-LS of more than 65535 rows or columns".to_owned()));
    };
    let components = image.per_pixel as u8;
    // A sample has at least 2 bits in JPEG-LS.
    let precision = image.precision.max(2);
    let mut code = vec![0xFF, 0xD8, 0xFF, 0xF7, 0, 8 + components * 3, precision as u8];
    code.extend(rows.to_be_bytes());
    code.extend(columns.to_be_bytes());
    code.push(components);
    (1..=components).for_each(|component| code.extend([component, 0x11, 0]));
    code.extend([0xFF, 0xDA, 0, 6 + components * 2, components]);
    (1..=components).for_each(|component| code.extend([component, 0]));
    let by_line = u8::from(components > 1);
    code.extend([near, by_line, 0]);
    code.extend(scan(image, precision, near));
    code.extend([0xFF, 0xD9]);
    Ok(code)
}

fn scan(image: &Samples, precision: u16, near: u8) -> Vec<u8> {
    let columns = image.columns as usize;
    let per_pixel = usize::from(image.per_pixel);
    let parameters = Parameters::new((1 << precision) - 1, i32::from(near));
    let mut coder = Coder { writer: Writer::default(), parameters, state: State::new(&parameters) };
    let mut lines: Vec<Lines> = (0..per_pixel).map(|_| Lines::new(columns)).collect();
    for row in 0..image.rows as usize {
        for (component, line) in lines.iter_mut().enumerate() {
            let first = row * columns * per_pixel + component;
            let samples = first..(row + 1) * columns * per_pixel;
            match &image.values {
                Values::Bytes(values) => {
                    let values = values[samples].iter().step_by(per_pixel);
                    line.current[1..].iter_mut().zip(values).for_each(|(to, from)| *to = i32::from(*from));
                }
                Values::Words(values) => {
                    let values = values[samples].iter().step_by(per_pixel);
                    line.current[1..].iter_mut().zip(values).for_each(|(to, from)| *to = i32::from(*from));
                }
            }
            coder.line(line, columns);
            line.advance();
        }
    }
    coder.writer.finish()
}

struct Coder {
    writer: Writer,
    parameters: Parameters,
    state: State,
}

impl Coder {
    fn line(&mut self, lines: &mut Lines, columns: usize) {
        let mut at = 1;
        while at <= columns {
            let around = lines.around(at);
            let context = self.parameters.context(&around);
            if context != 0 {
                lines.current[at] = self.sample(context, around.median(), lines.current[at]);
                at += 1;
                continue;
            }
            let near = self.parameters.near;
            let is_alike = |value: &&i32| (**value - around.a).abs() <= near;
            let run = lines.current[at..=columns].iter().take_while(is_alike).count();
            lines.current[at..at + run].fill(around.a);
            at += run;
            self.run(&mut lines.run_index, run, at > columns);
            if at <= columns {
                lines.current[at] =
                    self.run_end(lines.current[at], around.a, lines.above[at], lines.run_index);
                lines.run_index = lines.run_index.saturating_sub(1);
                at += 1;
            }
        }
    }

    #[inline]
    fn sample(&mut self, context: i32, median: i32, value: i32) -> i32 {
        let negative = context < 0;
        let parameters = &self.parameters;
        let context = &mut self.state.contexts[context.unsigned_abs() as usize];
        let correction = if negative { -context.correction } else { context.correction };
        let predicted = (median + correction).clamp(0, parameters.max);
        let error = if negative { predicted - value } else { value - predicted };
        let error = parameters.reduce(parameters.quantize(error));
        let k = context.golomb();
        let inverted = parameters.near == 0 && k == 0 && 2 * context.bias <= -context.count;
        let mapped = match (error >= 0, inverted) {
            (true, false) => 2 * error,
            (false, false) => -2 * error - 1,
            (true, true) => 2 * error + 1,
            (false, true) => -2 * (error + 1),
        };
        put_mapped(&mut self.writer, mapped, k, parameters.code_bits_max, parameters.error_bits);
        context.update(error, parameters);
        parameters.reconstruct(predicted, if negative { -error } else { error })
    }

    fn run(&mut self, run_index: &mut usize, mut run: usize, to_the_end: bool) {
        while run >= 1 << RUN_BITS[*run_index] {
            self.writer.put(1, 1);
            run -= 1 << RUN_BITS[*run_index];
            *run_index = (*run_index + 1).min(31);
        }
        if !to_the_end {
            self.writer.put(run as u32, RUN_BITS[*run_index] + 1);
        } else if run > 0 {
            self.writer.put(1, 1);
        }
    }

    fn run_end(&mut self, value: i32, left: i32, above: i32, run_index: usize) -> i32 {
        let parameters = &self.parameters;
        let kind = usize::from((left - above).abs() <= parameters.near);
        let error = match kind {
            1 => value - left,
            _ if left > above => above - value,
            _ => value - above,
        };
        let error = parameters.reduce(parameters.quantize(error));
        let context = &mut self.state.runs[kind];
        let k = context.golomb();
        let flips = k != 0 || 2 * context.negative >= context.count;
        let odd = i32::from(error != 0 && (error < 0) == flips);
        let mapped = 2 * error.abs() - context.kind - odd;
        let code_bits_max = parameters.code_bits_max - RUN_BITS[run_index] - 1;
        put_mapped(&mut self.writer, mapped, k, code_bits_max, parameters.error_bits);
        context.update(error, mapped, parameters);
        match kind {
            1 => parameters.reconstruct(left, error),
            _ => parameters.reconstruct(above, if left > above { -error } else { error }),
        }
    }
}

#[inline]
fn put_mapped(writer: &mut Writer, mapped: i32, k: u32, code_bits_max: u32, error_bits: u32) {
    let mapped = mapped as u32;
    let escape = code_bits_max - error_bits - 1;
    let high = mapped >> k;
    if high < escape {
        writer.zeros(high);
        writer.put(1, 1);
        writer.put(mapped & ((1 << k) - 1), k);
    } else {
        writer.zeros(escape);
        writer.put(1, 1);
        writer.put(mapped - 1, error_bits);
    }
}
