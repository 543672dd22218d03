//! Packs that are being written, in the bucket too: what a flush made durable on
//! the disk is put there before the flush returns, so that nothing is
//! acknowledged that the loss of the disk would take.
//!
//! ```text
//! open/00000007/00000001-0000000000000000-0000000000524288.part   bytes from an offset on
//! open/00000007/00000002-0000000000000512.cut                     all behind is gone
//! ```
//! In the order of their first number they make the pack. When the pack was
//! closed and is in the bucket as a whole, they are removed.
//!
//! Invariants: when a flush returned well, the objects of its pack make all that
//! was written before it; nothing is written on the disk where the bucket has
//! something that was taken back.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::lock;
use super::remote::Remote;
use super::volume::PackFile;
use crate::storage::PackId;

/// Bytes of one object at most, and objects on their way at the same time.
const PART_BYTES: u64 = 4 << 20;
const PARTS_AT_ONCE: usize = 2;
/// After a failure the bucket is left alone for so long.
const PAUSE: Duration = Duration::from_secs(2);

/// What is done to a pack by one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Part(Range<u64>),
    /// The length that is left.
    Cut(u64),
}

/// The name of an object below the folder of its pack.
pub(super) fn name_of(number: u32, step: &Step) -> String {
    match step {
        Step::Part(range) => format!("{number:08}-{:016}-{:016}.part", range.start, range.end - range.start),
        Step::Cut(length) => format!("{number:08}-{length:016}.cut"),
    }
}

pub(super) fn parse(name: &str) -> Option<(u32, Step)> {
    let (words, kind) = name.split_once('.')?;
    let mut words = words.split('-');
    let number = words.next()?.parse().ok()?;
    let offset: u64 = words.next()?.parse().ok()?;
    let step = match (kind, words.next()) {
        ("part", Some(length)) => Step::Part(offset..offset.checked_add(length.parse().ok()?)?),
        ("cut", None) => Step::Cut(offset),
        _ => return None,
    };
    (name_of(number, &step) == name).then_some((number, step))
}

/// Whether the bucket took what it was given last.
#[derive(Debug, Default)]
pub(super) struct Mood(Mutex<Option<Instant>>);

impl Mood {
    /// # Errors
    /// `HostUnreachable` for a moment after a failure.
    pub fn check(&self) -> io::Result<()> {
        match *lock(&self.0) {
            Some(until) if Instant::now() < until => {
                Err(io::Error::new(io::ErrorKind::HostUnreachable, "the bucket did not answer a moment ago"))
            }
            _ => Ok(()),
        }
    }

    pub fn note<T>(&self, done: io::Result<T>) -> io::Result<T> {
        *lock(&self.0) = done.is_err().then(|| Instant::now() + PAUSE);
        done
    }
}

/// A pack that is written in both places.
pub(super) struct MirroredFile {
    pack: PackId,
    file: Arc<dyn PackFile>,
    remote: Arc<Remote>,
    state: Mutex<State>,
}

/// What the bucket lacks.
#[derive(Debug, Default)]
struct State {
    /// Written since, in order and apart.
    ranges: Vec<Range<u64>>,
    /// There may be nothing behind this any more.
    cut: Option<u64>,
    /// How far the bucket's copy may reach.
    sent_until: u64,
    /// Of the next object.
    number: u32,
}

impl State {
    fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.ranges.push(range);
        self.ranges.sort_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::with_capacity(self.ranges.len());
        for range in self.ranges.drain(..) {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        self.ranges = joined;
    }

    fn remove(&mut self, gone: &Range<u64>) {
        let left = |range: Range<u64>| {
            let before = range.start..range.end.min(gone.start);
            let behind = range.start.max(gone.end)..range.end;
            [before, behind].into_iter().filter(|range| range.start < range.end)
        };
        self.ranges = std::mem::take(&mut self.ranges).into_iter().flat_map(left).collect();
    }

    fn cut(&mut self, length: u64) {
        self.remove(&(length..u64::MAX));
        if self.sent_until > length {
            self.cut = Some(length);
            self.sent_until = length;
        }
    }
}

impl MirroredFile {
    /// A pack of which the bucket has nothing.
    pub fn new(pack: PackId, file: Arc<dyn PackFile>, remote: Arc<Remote>) -> Self {
        let state = Mutex::new(State { number: 1, ..State::default() });
        Self { pack, file, remote, state }
    }

    /// A pack that was written before: what the bucket lacks of it is found out.
    ///
    /// # Errors
    /// `HostUnreachable`, and what the disk says.
    pub fn resume(pack: PackId, file: Arc<dyn PackFile>, remote: Arc<Remote>) -> io::Result<Self> {
        let length = file.length()?;
        let mut state = State { number: 1, ..State::default() };
        state.add(0..length);
        for (number, step) in remote.steps(pack)? {
            state.number = number + 1;
            match step {
                // A part is flushed here before it is sent.
                Step::Part(range) => {
                    state.remove(&range);
                    state.sent_until = state.sent_until.max(range.end);
                }
                Step::Cut(left) => {
                    state.sent_until = state.sent_until.min(left);
                    state.add(left.min(length)..length);
                }
            }
        }
        state.cut(length);
        Ok(Self { pack, file, remote, state: Mutex::new(state) })
    }

    /// Tells the bucket of what was taken back.
    fn send_cut(&self, state: &mut State) -> io::Result<()> {
        let Some(length) = state.cut else { return Ok(()) };
        self.remote.ready()?;
        self.remote.put_steps(self.pack, vec![(state.number, Step::Cut(length), Bytes::new())])?;
        state.number += 1;
        state.cut = None;
        Ok(())
    }

    /// Sends what the bucket lacks.
    fn send(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.ranges.is_empty() && state.cut.is_none() {
            return Ok(());
        }
        self.remote.ready()?;
        self.send_cut(&mut state)?;
        while let Some(first) = state.ranges.first().cloned() {
            let mut parts = Vec::with_capacity(PARTS_AT_ONCE);
            let (mut at, mut number) = (first.start, state.number);
            while at < first.end && parts.len() < PARTS_AT_ONCE {
                let range = at..first.end.min(at + PART_BYTES);
                let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
                self.file.read_exact_at(&mut bytes, range.start)?;
                at = range.end;
                parts.push((number, Step::Part(range), bytes.into()));
                number += 1;
            }
            // What became of them is not known if this fails: they count as sent,
            // but are sent again under other numbers.
            state.number = number;
            state.sent_until = state.sent_until.max(at);
            self.remote.put_steps(self.pack, parts)?;
            state.remove(&(first.start..at));
        }
        Ok(())
    }
}

impl PackFile for MirroredFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut state = lock(&self.state);
        // Before the disk has anything new there: what has an object counts as sent
        // after a stop, and these would have the bytes that were taken back. An end
        // mark is nothing: a pack is closed without the bucket too.
        if state.cut.is_some() && parts.iter().any(|part| part.iter().any(|&byte| byte != 0)) {
            self.send_cut(&mut state)?;
        }
        // Also when it fails: some of it may be written.
        state.add(offset..offset.saturating_add(length));
        drop(state);
        self.file.write_all_at(parts, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.flush()?;
        self.send()
    }

    fn resize(&self, length: u64) -> io::Result<()> {
        self.file.resize(length)?;
        lock(&self.state).cut(length);
        Ok(())
    }

    /// The bucket needs no end mark: the pack goes there as a whole next.
    fn seal(&self) -> io::Result<()> {
        self.file.seal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for step in [Step::Part(512..70_000), Step::Cut(1024), Step::Part(0..1)] {
            assert_eq!(parse(&name_of(7, &step)), Some((7, step)));
        }
        for name in
            ["", "1-2.cut", "00000001-0000000000000001.part", "00000001-0000000000000001.tar", "x.cut"]
        {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_lacking() {
        let mut state = State::default();
        state.add(10..20);
        state.add(30..40);
        state.add(20..25);
        assert_eq!(state.ranges, [10..25, 30..40]);
        state.remove(&(12..14));
        assert_eq!(state.ranges, [10..12, 14..25, 30..40]);
        state.sent_until = 100;
        state.cut(20);
        assert_eq!(
            (state.ranges.as_slice(), state.cut, state.sent_until),
            ([10..12, 14..20].as_slice(), Some(20), 20)
        );
        state.add(20..30);
        assert_eq!(state.ranges, [10..12, 14..30]);
    }
}
