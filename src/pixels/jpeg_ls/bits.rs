//! The bit stream of JPEG-LS: most significant bit first; after a byte of all
//! ones, a zero bit is stuffed so that no marker can appear (T.87 section A.1).

use super::{super::PixelError, NAME};

pub struct Reader<'a> {
    code: &'a [u8],
    /// The next byte to take.
    at: usize,
    cache: u64,
    /// Bits in the cache, at its upper end.
    filled: u32,
    after_ones: bool,
    /// Zero bits handed out after the end; a few are padding, more are damage.
    beyond: u32,
}

impl<'a> Reader<'a> {
    pub fn new(code: &'a [u8], at: usize) -> Self {
        Self { code, at, cache: 0, filled: 0, after_ones: false, beyond: 0 }
    }

    fn fill(&mut self) {
        // All at once, where no byte is special.
        if !self.after_ones
            && let Some(word) = self.code.get(self.at..).and_then(<[u8]>::first_chunk)
            && let word = u64::from_be_bytes(*word)
            && !has_all_ones(word)
            && self.filled < 64
        {
            let bytes = (64 - self.filled) / 8;
            let rest = 64 - self.filled - bytes * 8;
            self.cache |= word >> self.filled >> rest << rest;
            self.filled += bytes * 8;
            self.at += bytes as usize;
            return;
        }
        while self.filled <= 56 {
            let byte = match self.code.get(self.at) {
                Some(byte) if self.after_ones && *byte >= 0x80 => None,
                Some(0xFF) if self.code.get(self.at + 1).is_none_or(|next| *next >= 0x80) => None,
                other => other.copied(),
            };
            let Some(byte) = byte else {
                // A marker, or the end: whoever reads on reads zeros.
                self.beyond += 8;
                self.filled += 8;
                continue;
            };
            let width = if self.after_ones { 7 } else { 8 };
            self.cache |= u64::from(byte) << (64 - width - self.filled);
            self.filled += width;
            self.after_ones = byte == 0xFF;
            self.at += 1;
        }
    }

    fn check(&self) -> Result<(), PixelError> {
        // Bits in the cache that were never there have not been used yet.
        if self.beyond > self.filled + 64 {
            return Err(PixelError::damaged(NAME, self.at, "it ends before its last line"));
        }
        Ok(())
    }

    /// Up to 32 bits.
    #[inline]
    pub fn take(&mut self, count: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        if self.filled < count {
            self.fill();
        }
        let bits = (self.cache >> (64 - count)) as u32;
        self.cache <<= count;
        self.filled -= count;
        bits
    }

    /// The zeros before the next one, which is taken too; at most `max`.
    fn zeros(&mut self, max: u32) -> Result<u32, PixelError> {
        let mut zeros = 0;
        loop {
            if self.filled < 40 {
                self.fill();
                self.check()?;
            }
            let run = self.cache.leading_zeros().min(self.filled);
            zeros += run;
            if zeros > max {
                return Err(PixelError::damaged(NAME, self.at, "a code is longer than any can be"));
            }
            if run < self.filled {
                self.cache = self.cache << run << 1;
                self.filled -= run + 1;
                return Ok(zeros);
            }
            self.cache = 0;
            self.filled = 0;
        }
    }

    /// A number in a code of limited length (T.87 section A.5.3).
    #[inline]
    pub fn number(&mut self, k: u32, code_bits_max: u32, error_bits: u32) -> Result<i32, PixelError> {
        if self.filled < 40 {
            self.fill();
            self.check()?;
        }
        let escape = code_bits_max - error_bits - 1;
        let zeros = self.cache.leading_zeros();
        let length = zeros + 1 + k;
        if zeros < escape && length <= self.filled {
            let rest = self.cache << zeros << 1;
            self.cache = rest << k;
            self.filled -= length;
            return Ok((zeros << k) as i32 | (rest >> 1 >> (63 - k)) as i32);
        }
        self.long_number(k, escape, error_bits)
    }

    #[cold]
    fn long_number(&mut self, k: u32, escape: u32, error_bits: u32) -> Result<i32, PixelError> {
        let zeros = self.zeros(escape)?;
        Ok(if zeros < escape { (zeros << k | self.take(k)) as i32 } else { self.take(error_bits) as i32 + 1 })
    }

    /// One bit.
    #[inline]
    pub fn one(&mut self) -> Result<bool, PixelError> {
        if self.filled < 8 {
            self.fill();
            self.check()?;
        }
        Ok(self.take(1) == 1)
    }

    /// The first byte that does not belong to this scan: the next marker.
    pub fn marker_position(&self) -> usize {
        let mut at = self.at.saturating_sub(1 + self.filled as usize / 7);
        while at + 1 < self.code.len() && !(self.code[at] == 0xFF && self.code[at + 1] >= 0x80) {
            at += 1;
        }
        at
    }
}

/// Whether a byte of a word is 0xFF (or one before such a byte looks like it).
#[inline]
fn has_all_ones(word: u64) -> bool {
    (!word).wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080 != 0
}

#[derive(Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
    cache: u64,
    filled: u32,
}

impl Writer {
    /// The lower `count` bits, up to 32.
    #[inline]
    pub fn put(&mut self, bits: u32, count: u32) {
        if count == 0 {
            return;
        }
        self.cache = self.cache << count | u64::from(bits);
        self.filled += count;
        while self.filled >= 8 {
            let width = if self.bytes.last() == Some(&0xFF) { 7 } else { 8 };
            self.filled -= width;
            self.bytes.push((self.cache >> self.filled) as u8);
            self.cache &= (1 << self.filled) - 1;
        }
    }

    /// `count` zeros.
    pub fn zeros(&mut self, mut count: u32) {
        while count > 0 {
            let now = count.min(24);
            self.put(0, now);
            count -= now;
        }
    }

    /// Fills the last byte with zeros; what follows a byte of all ones must not
    /// look like a marker.
    pub fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            let width = if self.bytes.last() == Some(&0xFF) { 7 } else { 8 };
            self.bytes.push((self.cache << (width - self.filled)) as u8);
        }
        if self.bytes.last() == Some(&0xFF) {
            self.bytes.push(0);
        }
        self.bytes
    }
}
