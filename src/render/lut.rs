//! Look-up tables as PS3.3 writes them: a descriptor of three numbers and the
//! data (sections C.11.1.1 and C.11.2.1.1). Modality LUTs, VOI LUTs and the
//! three tables of a palette have this form.

use super::{RenderError, values};
use crate::dicom::{DataSet, Tag};

/// A table. Invariant: it has at least one entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Lut {
    /// The input that gives the first entry.
    pub first: i64,
    pub entries: Vec<u16>,
    /// Bits of an entry: 8 to 16.
    pub bits: u32,
}

/// What the descriptor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    pub entries: usize,
    pub first: i64,
    pub bits: u32,
}

impl Descriptor {
    /// Reads a descriptor. Its second value is signed if the input of the table
    /// is; the VR does not always say so.
    #[must_use]
    pub fn read(set: &DataSet, tag: Tag, signed: bool) -> Option<Self> {
        let values = values::numbers(set, tag);
        let [entries, first, bits] = values.get(..3)?.try_into().ok()?;
        #[allow(clippy::cast_possible_truncation, reason = "16-bit numbers")]
        let [entries, first, bits] = [entries as i64, first as i64, bits as i64];
        let first = if signed && first > 0x7FFF { first - 0x1_0000 } else { first };
        // 65536 does not fit its 16 bits; read as SS it is negative.
        let entries = match entries & 0xFFFF {
            0 => 0x1_0000,
            count => usize::try_from(count).ok()?,
        };
        Some(Self { entries, first, bits: u32::try_from(bits).unwrap_or(16).clamp(8, 16) })
    }
}

impl Lut {
    /// The table of an item or a data set; `None` when it has none.
    ///
    /// # Errors
    /// The data are missing or shorter than the descriptor says.
    pub fn read(
        set: &DataSet,
        descriptor: Tag,
        data: Tag,
        signed: bool,
    ) -> Result<Option<Self>, RenderError> {
        let Some(head) = Descriptor::read(set, descriptor, signed) else { return Ok(None) };
        let Some(bytes) = values::bytes(set, data) else {
            return Err(RenderError::Inconsistent(format!("the LUT described by {descriptor} has no data")));
        };
        Self::of(head, &bytes).map(Some)
    }

    /// A table of the bytes of its data: one or two a entry, whatever its bits.
    ///
    /// # Errors
    /// There are none.
    pub fn of(head: Descriptor, bytes: &[u8]) -> Result<Self, RenderError> {
        let wide = bytes.len() >= head.entries * 2 || (head.bits > 8 && bytes.len() > head.entries + 1);
        let mut entries: Vec<u16> = if wide {
            bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
        } else {
            bytes.iter().map(|byte| u16::from(*byte)).collect()
        };
        entries.truncate(head.entries);
        if entries.is_empty() {
            return Err(RenderError::Inconsistent("a look-up table has no entries".to_owned()));
        }
        // Entries of one byte stand in a table of 8 bits, whatever it says.
        let bits = if wide { head.bits } else { 8 };
        Ok(Self { first: head.first, entries, bits })
    }

    /// The entry for an input; beyond either end the first or the last one.
    #[must_use]
    pub fn at(&self, input: i64) -> u16 {
        let last = self.entries.len() - 1;
        let index = usize::try_from((input - self.first).max(0)).unwrap_or(last).min(last);
        self.entries[index]
    }

    /// The largest value an entry can have. Data beyond the declared bits
    /// occur: then it is the next width that holds them.
    #[must_use]
    pub fn full_scale(&self) -> u16 {
        let largest = self.entries.iter().copied().max().unwrap_or(0);
        let declared = u16::try_from((1_u32 << self.bits.clamp(1, 16)) - 1).unwrap_or(u16::MAX);
        if largest <= declared { declared } else { u16::MAX >> largest.leading_zeros() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::{Element, VR};

    const DESCRIPTOR: Tag = Tag(0x0028, 0x3002);
    const DATA: Tag = Tag(0x0028, 0x3006);

    fn table(descriptor: [u64; 3], data: Value, signed: bool) -> Result<Option<Lut>, RenderError> {
        let mut set = DataSet::new();
        set.put(DESCRIPTOR, Element::new(VR::US, Value::Unsigned(descriptor.to_vec())));
        set.put(DATA, Element::new(VR::OW, data));
        Lut::read(&set, DESCRIPTOR, DATA, signed)
    }

    use crate::dicom::Value;

    #[test]
    fn rnd_10_descriptor_corner_cases() {
        // 0 entries are 65536; the first input is signed when the input is.
        let full =
            table([0, 0x8000, 16], Value::Inline(vec![7; 131_072]), true).expect("valid").expect("one");
        assert_eq!((full.entries.len(), full.first), (65_536, -32_768));
        // 8-bit entries, one a byte, and one a word.
        let narrow = table([3, 10, 8], Value::Inline(vec![1, 2, 3, 0]), false).expect("valid").expect("one");
        assert_eq!((narrow.entries.clone(), narrow.bits), (vec![1, 2, 3], 8));
        let wide = table([3, 10, 8], Value::Inline(vec![1, 0, 2, 0, 3, 0]), false).expect("valid");
        assert_eq!(wide.expect("one").entries, [1, 2, 3]);
        assert_eq!((narrow.at(9), narrow.at(11), narrow.at(99)), (1, 2, 3));
        assert!(table([3, 0, 8], Value::Empty, false).is_err());
    }
}
