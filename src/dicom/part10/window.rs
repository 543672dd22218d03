//! A moving window over a [`Source`], so that walking a file costs a few reads
//! and a few kilobytes whatever the file's size. It only reads what it is asked
//! for and some bytes ahead; whoever asks has checked the range before.

use std::io;

use crate::dicom::source::Source;

const AHEAD_LEAST: usize = 4 * 1024;
const AHEAD_MOST: usize = 64 * 1024;

pub(crate) struct Window<'a> {
    source: &'a dyn Source,
    length: u64,
    /// Place of the first byte of `buffer` in the source.
    start: u64,
    buffer: Vec<u8>,
    /// Values too long for the window.
    long: Vec<u8>,
    ahead: usize,
}

impl<'a> Window<'a> {
    pub(crate) fn new(source: &'a dyn Source) -> Self {
        let length = source.len();
        Self { source, length, start: 0, buffer: Vec::new(), long: Vec::new(), ahead: AHEAD_LEAST }
    }

    /// Bytes of the source.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// `count` bytes from `offset` on.
    pub(crate) fn bytes(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        if let Some(at) = self.held(offset, count) {
            return Ok(&self.buffer[at..at + count]);
        }
        if count > AHEAD_MOST {
            self.long.resize(count, 0);
            self.source.read_exact_at(&mut self.long, offset)?;
            return Ok(&self.long);
        }
        self.fill(offset, count)?;
        Ok(&self.buffer[..count])
    }

    /// An array of `N` bytes from `offset` on.
    pub(crate) fn array<const N: usize>(&mut self, offset: u64) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(offset, N)?);
        Ok(array)
    }

    fn held(&self, offset: u64, count: usize) -> Option<usize> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (at.checked_add(count)? <= self.buffer.len()).then_some(at)
    }

    fn fill(&mut self, offset: u64, count: usize) -> io::Result<()> {
        // Going on where the window ends reads ever more ahead; a jump over a
        // large value starts small again.
        let window_end = self.start + self.buffer.len() as u64;
        let goes_on = offset >= self.start && offset <= window_end;
        self.ahead = if goes_on { (self.ahead * 2).min(AHEAD_MOST) } else { AHEAD_LEAST };
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = self.ahead.max(count).min(left.max(count));
        self.buffer.resize(wanted, 0);
        self.start = offset;
        let read = self.source.read_exact_at(&mut self.buffer, offset);
        if read.is_err() {
            self.buffer.clear();
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_anywhere_in_any_order() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let mut window = Window::new(&bytes);
        for (offset, count) in [(0, 8), (4090, 12), (199_992, 8), (10, 100_000), (5000, 70), (0, 4)] {
            let expected = &bytes[offset..offset + count];
            assert_eq!(window.bytes(offset as u64, count).expect("inside"), expected);
        }
        assert!(window.bytes(199_999, 2).is_err());
        assert_eq!(window.bytes(0, 1).expect("inside"), [0]);
    }
}
