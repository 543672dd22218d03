//! Huffman codes of JPEG (annexes C and F) and the bits they are read from.

use super::{super::PixelError, NAME};

/// Codes up to this length are found with one look.
const LOOK_BITS: u32 = 9;

#[derive(Debug, Clone)]
pub struct Table {
    /// For the next bits: length of the code and its value; length 0: longer.
    look: Vec<(u8, u8)>,
    /// Per length: the first code beyond it (left-aligned in 16 bits), and what
    /// to add to a code for the place of its value.
    ends: [u32; 17],
    deltas: [i32; 17],
    values: Vec<u8>,
}

impl Table {
    /// From the number of codes per length and their values. None: more codes
    /// than there can be.
    pub fn new(lengths: &[u8; 16], values: &[u8]) -> Option<Self> {
        let mut look = vec![(0, 0); 1 << LOOK_BITS];
        let (mut ends, mut deltas) = ([0; 17], [0; 17]);
        let (mut code, mut place) = (0u32, 0usize);
        for length in 1..=16u32 {
            let count = usize::from(lengths[length as usize - 1]);
            deltas[length as usize] = place as i32 - code as i32;
            for value in values.get(place..place + count)? {
                if length <= LOOK_BITS {
                    let first = (code << (LOOK_BITS - length)) as usize;
                    let entries = look.get_mut(first..first + (1 << (LOOK_BITS - length)))?;
                    entries.fill((length as u8, *value));
                }
                code += 1;
            }
            if code > 1 << length {
                return None;
            }
            place += count;
            ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(Self { look, ends, deltas, values: values.to_vec() })
    }

    /// The value of the next code.
    #[inline]
    pub fn read(&self, reader: &mut Reader<'_>) -> Result<u8, PixelError> {
        let bits = reader.peek16();
        let (length, value) = self.look[(bits >> (16 - LOOK_BITS)) as usize];
        if length > 0 {
            reader.skip(u32::from(length));
            return Ok(value);
        }
        for length in LOOK_BITS + 1..=16 {
            if bits < self.ends[length as usize] {
                reader.skip(length);
                let place = (bits >> (16 - length)) as i32 + self.deltas[length as usize];
                let value = usize::try_from(place).ok().and_then(|place| self.values.get(place));
                return value.copied().ok_or_else(|| reader.damaged("a code that no table has"));
            }
        }
        Err(reader.damaged("a code that no table has"))
    }
}

/// Bits that are looked at once for a code and the difference after it.
const JOINT_BITS: u32 = 13;

/// A table of the codes of differences (annexes F.1.2.1 and H.1.2.2), which finds
/// most codes together with the bits that follow them.
pub struct Differences<'a> {
    table: &'a Table,
    /// For the next bits: how many of them are taken, and the difference; 0: more.
    joint: Vec<(u8, i16)>,
}

impl<'a> Differences<'a> {
    pub fn new(table: &'a Table) -> Self {
        let joint = (0..1_u32 << JOINT_BITS).map(|bits| {
            let (length, category) = table.look[(bits >> (JOINT_BITS - LOOK_BITS)) as usize];
            let (length, category) = (u32::from(length), u32::from(category));
            if length == 0 || length + category > JOINT_BITS {
                return (0, 0);
            }
            let rest = bits >> (JOINT_BITS - length - category) & ((1 << category) - 1);
            ((length + category) as u8, extended(rest as i32, category) as i16)
        });
        Self { table, joint: joint.collect() }
    }

    /// The next difference.
    #[inline]
    pub fn read(&self, reader: &mut Reader<'_>) -> Result<i32, PixelError> {
        let (length, difference) = self.joint[(reader.peek16() >> (16 - JOINT_BITS)) as usize];
        if length > 0 {
            reader.skip(u32::from(length));
            return Ok(i32::from(difference));
        }
        match u32::from(self.table.read(reader)?) {
            16 => Ok(32768),
            bits @ 0..=15 => Ok(reader.difference(bits)),
            _ => Err(reader.damaged("a difference of more than 16 bits")),
        }
    }
}

/// The difference that so many bits stand for (annex F.2.2.1).
#[inline]
fn extended(bits: i32, count: u32) -> i32 {
    if count > 0 && bits < 1 << (count - 1) { bits - (1 << count) + 1 } else { bits }
}

/// Whether a byte of a word is 0xFF (or one before such a byte looks like it).
#[inline]
fn has_all_ones(word: u32) -> bool {
    (!word).wrapping_sub(0x0101_0101) & word & 0x8080_8080 != 0
}

/// Bits, most significant first; a zero byte is stuffed after each byte of all
/// ones.
pub struct Reader<'a> {
    code: &'a [u8],
    at: usize,
    cache: u64,
    filled: u32,
    /// Bytes handed out after the end.
    beyond: u32,
}

impl<'a> Reader<'a> {
    pub fn new(code: &'a [u8], at: usize) -> Self {
        Self { code, at, cache: 0, filled: 0, beyond: 0 }
    }

    pub fn damaged(&self, what: &str) -> PixelError {
        PixelError::damaged(NAME, self.at, what)
    }

    #[inline]
    fn fill(&mut self) {
        // Four bytes at once, where none of them is special.
        if self.filled <= 32
            && let Some(word) = self.code.get(self.at..).and_then(<[u8]>::first_chunk)
            && let word = u32::from_be_bytes(*word)
            && !has_all_ones(word)
        {
            self.cache |= u64::from(word) << (32 - self.filled);
            self.filled += 32;
            self.at += 4;
            return;
        }
        while self.filled <= 56 {
            let byte = match (self.code.get(self.at), self.code.get(self.at + 1)) {
                (Some(0xFF), Some(0)) => {
                    self.at += 2;
                    0xFF
                }
                // A marker, or the end: whoever reads on reads zeros.
                (Some(0xFF) | None, _) => {
                    self.beyond += 1;
                    0
                }
                (Some(byte), _) => {
                    self.at += 1;
                    *byte
                }
            };
            self.cache |= u64::from(byte) << (56 - self.filled);
            self.filled += 8;
        }
    }

    #[inline]
    fn peek16(&mut self) -> u32 {
        if self.filled < 16 {
            self.fill();
        }
        (self.cache >> 48) as u32
    }

    #[inline]
    fn skip(&mut self, count: u32) {
        self.cache <<= count;
        self.filled -= count;
    }

    /// Up to 16 bits as the difference they stand for (annex F.2.2.1).
    #[inline]
    pub fn difference(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        let bits = (self.peek16() >> (16 - count)) as i32;
        self.skip(count);
        extended(bits, count)
    }

    /// The last bits that were taken were not there.
    pub fn is_beyond(&self) -> bool {
        self.beyond * 8 > self.filled + 64
    }

    /// Passes the restart marker that must be next, if it is there.
    pub fn restart(&mut self) {
        (self.cache, self.filled, self.beyond) = (0, 0, 0);
        let rest = self.code.get(self.at..).unwrap_or_default();
        let marker = rest.windows(2).position(|pair| pair[0] == 0xFF && matches!(pair[1], 0x01..=0xFE));
        if let Some(marker) = marker
            && matches!(rest[marker + 1], 0xD0..=0xD7)
        {
            self.at += marker + 2;
        }
    }

    /// The first byte that was not taken.
    pub fn position(&self) -> usize {
        self.at
    }
}

/// A code to write with, and the table to put before it.
pub struct Code {
    pub lengths: [u8; 16],
    pub values: Vec<u8>,
    /// Per value: its code and length.
    pub codes: Vec<(u32, u32)>,
}

impl Code {
    /// The best code of at most 16 bits for values that occur so often
    /// (annex K.2). No code is all ones.
    pub fn for_counts(counts: &[u64]) -> Self {
        // One more value, the rarest of all, takes the code of all ones.
        let mut weights: Vec<(u64, Vec<usize>)> = counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(value, count)| (*count, vec![value]))
            .collect();
        weights.push((0, vec![counts.len()]));
        let mut depth = vec![0usize; counts.len() + 1];
        while weights.len() > 1 {
            weights.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
            let (Some((a, mut first)), Some((b, second))) = (weights.pop(), weights.pop()) else { break };
            first.extend(second);
            first.iter().for_each(|value| depth[*value] += 1);
            weights.push((a + b, first));
        }
        let mut per_length = [0i32; 64];
        depth.iter().filter(|depth| **depth > 0).for_each(|depth| per_length[*depth] += 1);
        for length in (17..64).rev() {
            while per_length[length] > 0 {
                let shorter = (1..length - 1).rev().find(|shorter| per_length[*shorter] > 0).unwrap_or(1);
                per_length[length] -= 2;
                per_length[length - 1] += 1;
                per_length[shorter + 1] += 2;
                per_length[shorter] -= 1;
            }
        }
        if let Some(longest) = (1..=16).rev().find(|length| per_length[*length] > 0) {
            per_length[longest] -= 1;
        }
        let mut values: Vec<usize> = (0..counts.len()).filter(|value| counts[*value] > 0).collect();
        values.sort_by_key(|value| (depth[*value], *value));
        let mut codes = vec![(0, 0); counts.len()];
        let (mut code, mut place) = (0, 0);
        let mut lengths = [0; 16];
        for length in 1..=16 {
            lengths[length - 1] = per_length[length] as u8;
            for _ in 0..per_length[length] {
                codes[values[place]] = (code, length as u32);
                code += 1;
                place += 1;
            }
            code <<= 1;
        }
        Self { lengths, values: values.into_iter().map(|value| value as u8).collect(), codes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_the_same_read_at_once_and_in_two() {
        // From common to rare, so that some codes are long.
        let counts: Vec<u64> = (0..17).map(|category| 1 << (16 - category)).collect();
        let code = Code::for_counts(&counts);
        let table = Table::new(&code.lengths, &code.values).expect("a table");
        let differences = Differences::new(&table);
        let noise: Vec<u8> = (0..4000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let (mut one, mut two) = (Reader::new(&noise, 0), Reader::new(&noise, 0));
        for _ in 0..2000 {
            let apart = table.read(&mut two).map(|category| match category {
                16 => 32768,
                bits => two.difference(u32::from(bits)),
            });
            assert_eq!(differences.read(&mut one).ok(), apart.ok());
        }
    }

    #[test]
    fn a_code_fits_its_counts_and_16_bits() {
        // Weights of Fibonacci make the deepest tree.
        let mut counts = vec![1u64, 1];
        for at in 2..17 {
            counts.push(counts[at - 1] + counts[at - 2]);
        }
        let code = Code::for_counts(&counts);
        assert_eq!(code.values.len(), 17);
        assert!(code.codes.iter().all(|(_, length)| (1..=16).contains(length)));
        assert!(code.codes.iter().all(|(bits, length)| *bits != (1 << length) - 1));
        assert!(Table::new(&code.lengths, &code.values).is_some());
        assert!(Table::new(&[3; 16], &[0; 48]).is_none(), "too many codes");
    }
}
