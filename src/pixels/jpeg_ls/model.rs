//! The model that decoder and encoder of JPEG-LS share: the gradients around a
//! sample choose one of 365 contexts, the context corrects the prediction and
//! chooses the code (T.87 annex A). Names in capitals there are fields here.

/// The parameters of a scan, those of T.87 section C.2.4.1.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    pub max: i32,
    pub near: i32,
    pub range: i32,
    /// Bits of an unmapped error, `qbpp`.
    pub error_bits: u32,
    /// Bits of the longest code, `LIMIT`.
    pub code_bits_max: u32,
    pub thresholds: [i32; 3],
    pub reset: i32,
}

impl Parameters {
    /// With the default thresholds and reset.
    pub fn new(max: i32, near: i32) -> Self {
        let range = (max + 2 * near) / (2 * near + 1) + 1;
        let bits = |values: i32| 32 - (values - 1).leading_zeros();
        let sample_bits = bits(max + 1).max(2);
        Self {
            max,
            near,
            range,
            error_bits: bits(range),
            code_bits_max: 2 * (sample_bits + sample_bits.max(8)),
            thresholds: Self::default_thresholds(max, near),
            reset: 64,
        }
    }

    fn default_thresholds(max: i32, near: i32) -> [i32; 3] {
        let clamp = |value: i32, low: i32| if value > max || value < low { low } else { value };
        let [a, b, c] = if max >= 128 {
            let factor = (max.min(4095) + 128) >> 8;
            [factor + 2 + 3 * near, factor * 4 + 3 + 5 * near, factor * 17 + 4 + 7 * near]
        } else {
            let factor = 256 / (max + 1);
            [(3 / factor + 3 * near).max(2), (7 / factor + 5 * near).max(3), (21 / factor + 7 * near).max(4)]
        };
        let first = clamp(a, near + 1);
        let second = clamp(b, first);
        [first, second, clamp(c, second)]
    }

    #[inline]
    fn quantized(&self, gradient: i32) -> i32 {
        // Thresholds rise, and without branches there is none to guess wrong.
        let [first, second, third] = self.thresholds;
        let size = gradient.abs();
        let level = i32::from(size > self.near)
            + i32::from(size >= first)
            + i32::from(size >= second)
            + i32::from(size >= third);
        with_sign(level, gradient >> 31)
    }

    /// For each sample of a line what the two gradients of the line above add to
    /// its context: for many at a time.
    pub fn contexts_above(&self, above: &[i32], contexts: &mut [i32]) {
        let around = above.iter().zip(&above[1..]).zip(&above[2..]);
        for (context, ((c, b), d)) in contexts[1..].iter_mut().zip(around) {
            *context = self.quantized(d - b) * 81 + self.quantized(b - c) * 9;
        }
    }

    /// What the gradient to the left adds.
    #[inline]
    pub fn context_left(&self, left: i32, above_left: i32) -> i32 {
        self.quantized(above_left - left)
    }

    /// The context of a sample between its neighbours, negative if its errors
    /// count with the other sign; 0 begins a run.
    #[inline]
    pub fn context(&self, around: &Around) -> i32 {
        self.quantized(around.d - around.b) * 81
            + self.quantized(around.b - around.c) * 9
            + self.quantized(around.c - around.a)
    }

    /// A prediction and its error as a sample.
    #[inline]
    pub fn reconstruct(&self, predicted: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let mut value = predicted + error * step;
        if value < -self.near {
            value += self.range * step;
        } else if value > self.max + self.near {
            value -= self.range * step;
        }
        value.clamp(0, self.max)
    }

    /// An error in steps of what may be lost.
    #[inline]
    pub fn quantize(&self, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        if error > 0 { (error + self.near) / step } else { -((self.near - error) / step) }
    }

    /// An error brought into the range that is coded.
    #[inline]
    pub fn reduce(&self, error: i32) -> i32 {
        let error = if error < 0 { error + self.range } else { error };
        if error >= (self.range + 1) / 2 { error - self.range } else { error }
    }
}

/// The neighbours of a sample: left, above, above left, above right.
#[derive(Debug, Clone, Copy)]
pub struct Around {
    pub a: i32,
    pub b: i32,
    pub c: i32,
    pub d: i32,
}

impl Around {
    #[inline]
    pub fn median(&self) -> i32 {
        // Clamped, it is the smaller or the larger where the corner is beyond both.
        (self.a + self.b - self.c).max(self.a.min(self.b)).min(self.a.max(self.b))
    }
}

/// A number, or its negative where `sign` is all ones.
#[inline]
pub fn with_sign(number: i32, sign: i32) -> i32 {
    (number ^ sign) - sign
}

/// What is known of the errors of one context.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Sum of the sizes of errors, `A`.
    pub size: i32,
    pub bias: i32,
    pub correction: i32,
    pub count: i32,
    /// Bits of an error that are written as they are, `k`: kept, for it is needed at once.
    k: u32,
}

impl Context {
    fn new(size: i32) -> Self {
        Self { size, bias: 0, correction: 0, count: 1, k: golomb(1, size) }
    }

    #[inline]
    pub fn golomb(&self) -> u32 {
        self.k
    }

    #[inline]
    pub fn update(&mut self, error: i32, parameters: &Parameters) {
        self.bias += error * (2 * parameters.near + 1);
        self.size += error.abs();
        if self.count == parameters.reset {
            self.size >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        let low = i32::from(self.bias <= -self.count);
        let high = i32::from(self.bias > 0);
        self.bias = (self.bias + (low - high) * self.count).max(1 - self.count).min(0);
        self.correction = (self.correction + high - low).clamp(-128, 127);
        self.k = golomb(self.count, self.size);
    }
}

/// What is known of the errors that end runs.
#[derive(Debug, Clone, Copy)]
pub struct RunContext {
    pub size: i32,
    pub count: i32,
    pub negative: i32,
    /// 1 if left and above are alike, `RItype`.
    pub kind: i32,
}

impl RunContext {
    pub fn golomb(&self) -> u32 {
        golomb(self.count, self.size + (self.count >> 1) * self.kind)
    }

    pub fn update(&mut self, error: i32, mapped: i32, parameters: &Parameters) {
        if error < 0 {
            self.negative += 1;
        }
        self.size += (mapped + 1 - self.kind) >> 1;
        if self.count == parameters.reset {
            self.size >>= 1;
            self.count >>= 1;
            self.negative >>= 1;
        }
        self.count += 1;
    }
}

/// The smallest k with count << k >= size; sizes are far below 2^30.
#[inline]
fn golomb(count: i32, size: i32) -> u32 {
    // So far that both have as many bits, and perhaps one more.
    let k = count.leading_zeros().saturating_sub(size.leading_zeros());
    (k + u32::from(count << k < size)).min(24)
}

/// All that changes while a scan is coded.
pub struct State {
    pub contexts: [Context; 365],
    pub runs: [RunContext; 2],
}

impl State {
    pub fn new(parameters: &Parameters) -> Self {
        let size = ((parameters.range + 32) >> 6).max(2);
        let run = |kind| RunContext { size, count: 1, negative: 0, kind };
        Self { contexts: [Context::new(size); 365], runs: [run(0), run(1)] }
    }
}

/// Lengths of runs as powers of 2, `J`.
pub const RUN_BITS: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// A line with one more sample at either end, which stand for what is outside.
pub struct Lines {
    pub above: Vec<i32>,
    pub current: Vec<i32>,
    pub run_index: usize,
}

impl Lines {
    pub fn new(columns: usize) -> Self {
        Self { above: vec![0; columns + 2], current: vec![0; columns + 2], run_index: 0 }
    }

    /// Makes the line just coded the one above.
    pub fn advance(&mut self) {
        std::mem::swap(&mut self.above, &mut self.current);
        let last = self.above.len() - 1;
        self.above[last] = self.above[last - 1];
        self.current[0] = self.above[1];
    }

    #[inline]
    pub fn around(&self, at: usize) -> Around {
        Around { a: self.current[at - 1], b: self.above[at], c: self.above[at - 1], d: self.above[at + 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_branches_is_what_the_standard_says() {
        for count in 1..130 {
            for size in (0..300).chain([4095, 65535, 1 << 20, (1 << 22) + 1]) {
                let said = (0..24).find(|k| count << k >= size).expect("there is one");
                assert_eq!(golomb(count, size), said, "{count} {size}");
            }
        }
        for (a, b, c) in (0..512).map(|bits| (bits & 7, bits >> 3 & 7, bits >> 6)) {
            let said = match c {
                c if c >= a.max(b) => a.min(b),
                c if c <= a.min(b) => a.max(b),
                c => a + b - c,
            };
            assert_eq!(Around { a, b, c, d: 0 }.median(), said, "{a} {b} {c}");
        }
        for near in [0, 2] {
            let parameters = Parameters::new(4095, near);
            let [first, second, third] = parameters.thresholds;
            for gradient in -4095..=4095_i32 {
                let said = match gradient.abs() {
                    size if size <= near => 0,
                    size if size < first => 1,
                    size if size < second => 2,
                    size if size < third => 3,
                    _ => 4,
                };
                assert_eq!(parameters.quantized(gradient), said * gradient.signum(), "{gradient}");
            }
        }
    }
}
