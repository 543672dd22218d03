//! A zip file as a list of known bytes and of entries' data (APPNOTE.TXT 6.3):
//! entries are stored, not compressed, so that the length of the whole is known
//! before the first byte is sent, and any range of it can be fetched later.
//!
//! Must not hold the data of an entry. Zip64 fields are there only where a
//! number does not fit, since some old readers know none.

use std::mem;

/// What a field of 32 bits says when the number stands in a Zip64 field.
const IN_ZIP64: u32 = u32::MAX;
const COUNT_IN_ZIP64: u16 = u16::MAX;

/// 2.0: folders in names; 4.5: Zip64.
const VERSION: u16 = 20;
const VERSION_ZIP64: u16 = 45;
/// Made on Unix, whose file modes the entries carry.
const MADE_BY: u16 = 3 << 8 | VERSION_ZIP64;
/// A regular file, rw-r--r--.
const MODE: u32 = 0o100_644 << 16;
const ZIP64_LOCAL_BYTES: u16 = 20;

/// One file in the zip file.
#[derive(Debug, Clone)]
pub struct Entry {
    /// ASCII; `/` between folders.
    pub name: String,
    pub length: u64,
    pub modified: Moment,
    /// CRC-32 of the data. None: it is put in while the file is sent.
    pub crc: Option<u32>,
}

/// Date and time as MS-DOS wrote them, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    date: u16,
    time: u16,
}

impl Moment {
    /// Of microseconds since 1970. The format knows 1980 to 2107, and every
    /// other second.
    #[must_use]
    pub fn of(microseconds: u64) -> Self {
        let seconds = i64::try_from(microseconds / 1_000_000).unwrap_or(i64::MAX);
        let Ok(moment) = time::OffsetDateTime::from_unix_timestamp(seconds) else { return Self::FIRST };
        let Ok(year) = u16::try_from(moment.year() - 1980) else { return Self::FIRST };
        if year > 127 {
            return Self::FIRST;
        }
        Self {
            date: year << 9 | u16::from(u8::from(moment.month())) << 5 | u16::from(moment.day()),
            time: u16::from(moment.hour()) << 11
                | u16::from(moment.minute()) << 5
                | u16::from(moment.second() / 2),
        }
    }

    const FIRST: Self = Self { date: 1 << 5 | 1, time: 0 };
}

/// A stretch of the zip file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    Bytes(Vec<u8>),
    /// The CRC-32 of this entry, 4 bytes little endian.
    Crc(usize),
    /// The data of this entry.
    Data(usize),
}

/// The whole file, in order.
#[must_use]
pub fn layout(entries: &[Entry]) -> Vec<Stretch> {
    let mut out = Out::default();
    let mut offsets = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        offsets.push(out.length);
        out.local_header(index, entry);
        out.stretch(Stretch::Data(index), entry.length);
    }
    let start = out.length;
    for (index, (entry, offset)) in entries.iter().zip(offsets).enumerate() {
        out.directory_entry(index, entry, offset);
    }
    out.end(entries.len() as u64, start);
    out.flush();
    out.stretches
}

#[derive(Default)]
struct Out {
    stretches: Vec<Stretch>,
    pending: Vec<u8>,
    /// Bytes so far.
    length: u64,
}

impl Out {
    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.length += bytes.len() as u64;
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.stretches.push(Stretch::Bytes(mem::take(&mut self.pending)));
        }
    }

    fn stretch(&mut self, stretch: Stretch, length: u64) {
        self.flush();
        self.stretches.push(stretch);
        self.length += length;
    }

    fn crc(&mut self, index: usize, entry: &Entry) {
        match entry.crc {
            Some(crc) => self.u32(crc),
            None => self.stretch(Stretch::Crc(index), 4),
        }
    }

    /// What the local header and the directory say alike, up to the lengths.
    fn shared(&mut self, index: usize, entry: &Entry, is_zip64: bool) {
        self.u16(if is_zip64 { VERSION_ZIP64 } else { VERSION });
        // No flags; stored.
        self.u16(0);
        self.u16(0);
        self.u16(entry.modified.time);
        self.u16(entry.modified.date);
        self.crc(index, entry);
        let length = short(entry.length).unwrap_or(IN_ZIP64);
        self.u32(length);
        self.u32(length);
        self.u16(name_length(entry));
    }

    fn local_header(&mut self, index: usize, entry: &Entry) {
        let is_zip64 = short(entry.length).is_none();
        self.bytes(b"PK\x03\x04");
        self.shared(index, entry, is_zip64);
        self.u16(if is_zip64 { ZIP64_LOCAL_BYTES } else { 0 });
        self.bytes(entry.name.as_bytes());
        if is_zip64 {
            self.u16(1);
            self.u16(16);
            self.u64(entry.length);
            self.u64(entry.length);
        }
    }

    fn directory_entry(&mut self, index: usize, entry: &Entry, offset: u64) {
        let mut large = Vec::new();
        if short(entry.length).is_none() {
            large.extend([entry.length, entry.length]);
        }
        if short(offset).is_none() {
            large.push(offset);
        }
        let large_bytes: u16 = match large.len() {
            0 => 0,
            1 => 8,
            2 => 16,
            _ => 24,
        };
        self.bytes(b"PK\x01\x02");
        self.u16(MADE_BY);
        self.shared(index, entry, large_bytes > 0);
        self.u16(if large_bytes > 0 { large_bytes + 4 } else { 0 });
        // No comment; on the first disk; no internal attributes.
        self.u16(0);
        self.u16(0);
        self.u16(0);
        self.u32(MODE);
        self.u32(short(offset).unwrap_or(IN_ZIP64));
        self.bytes(entry.name.as_bytes());
        if large_bytes > 0 {
            self.u16(1);
            self.u16(large_bytes);
            for value in large {
                self.u64(value);
            }
        }
    }

    fn end(&mut self, entries: u64, start: u64) {
        let end = self.length;
        let bytes = end - start;
        let count = u16::try_from(entries).ok().filter(|count| *count < COUNT_IN_ZIP64);
        if count.is_none() || short(start).is_none() || short(bytes).is_none() {
            self.bytes(b"PK\x06\x06");
            // Bytes that follow in this record.
            self.u64(44);
            self.u16(MADE_BY);
            self.u16(VERSION_ZIP64);
            self.u32(0);
            self.u32(0);
            self.u64(entries);
            self.u64(entries);
            self.u64(bytes);
            self.u64(start);
            self.bytes(b"PK\x06\x07");
            self.u32(0);
            self.u64(end);
            self.u32(1);
        }
        self.bytes(b"PK\x05\x06");
        self.u16(0);
        self.u16(0);
        let count = count.unwrap_or(COUNT_IN_ZIP64);
        self.u16(count);
        self.u16(count);
        self.u32(short(bytes).unwrap_or(IN_ZIP64));
        self.u32(short(start).unwrap_or(IN_ZIP64));
        self.u16(0);
    }
}

/// The number, if a field of 32 bits can hold it.
fn short(value: u64) -> Option<u32> {
    u32::try_from(value).ok().filter(|value| *value != IN_ZIP64)
}

fn name_length(entry: &Entry) -> u16 {
    u16::try_from(entry.name.len()).expect("three UIDs of 64 characters at most")
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use super::*;

    fn entry(name: &str, length: u64, crc: Option<u32>) -> Entry {
        Entry { name: name.to_owned(), length, modified: Moment::of(1_700_000_000_000_000), crc }
    }

    fn written(entries: &[Entry], data: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        for stretch in layout(entries) {
            match stretch {
                Stretch::Bytes(bytes) => file.extend(bytes),
                Stretch::Crc(index) => file.extend(crc32fast::hash(&data[index]).to_le_bytes()),
                Stretch::Data(index) => file.extend_from_slice(&data[index]),
            }
        }
        file
    }

    #[test]
    fn another_reader_finds_every_entry() {
        let data = [b"one".to_vec(), Vec::new(), vec![7; 70_000]];
        let entries = [
            entry("DICOMDIR", 3, Some(crc32fast::hash(b"one"))),
            entry("1.2/3.4/empty.dcm", 0, Some(0)),
            entry("1.2/3.4/5.dcm", 70_000, None),
        ];
        let file = written(&entries, &data);
        let mut archive = zip::ZipArchive::new(Cursor::new(&file)).expect("a zip file");
        assert_eq!(archive.len(), 3);
        for (index, (entry, data)) in entries.iter().zip(&data).enumerate() {
            let mut found = archive.by_index(index).expect("an entry");
            assert_eq!(found.name().expect("ASCII"), entry.name);
            assert_eq!(found.unix_mode(), Some(0o100_644));
            let modified = found.last_modified().expect("a time");
            assert_eq!((modified.year(), modified.hour(), modified.second()), (2023, 22, 20));
            let mut bytes = Vec::new();
            found.read_to_end(&mut bytes).expect("the checksum fits");
            assert_eq!(&bytes, data);
        }
        let none = written(&[], &[]);
        assert_eq!(zip::ZipArchive::new(Cursor::new(&none)).expect("a zip file").len(), 0);
    }

    #[test]
    fn more_entries_than_16_bits_count() {
        let entries: Vec<Entry> = (0..70_000)
            .map(|number| entry(&format!("IM{number:06}"), 1, Some(crc32fast::hash(&[9]))))
            .collect();
        let data = vec![vec![9]; 70_000];
        let file = written(&entries, &data);
        let mut archive = zip::ZipArchive::new(Cursor::new(&file)).expect("a zip file");
        assert_eq!(archive.len(), 70_000);
        let mut byte = [0];
        archive.by_name("IM069999").expect("the last").read_exact(&mut byte).expect("its byte");
        assert_eq!(byte, [9]);
    }

    /// A file of which nearly all is a hole: 5 GiB, and an entry behind it.
    #[test]
    fn more_bytes_than_32_bits_count() {
        struct Holes {
            stretches: Vec<(u64, Stretch)>,
            length: u64,
            at: u64,
        }
        impl Read for Holes {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let found = self.stretches.iter().rev().find(|(start, _)| *start <= self.at);
                let Some((start, stretch)) = found else { return Ok(0) };
                let inside = usize::try_from(self.at - start).expect("64 bits");
                let count = match stretch {
                    Stretch::Bytes(bytes) => {
                        let rest = bytes.get(inside..).unwrap_or_default();
                        let count = rest.len().min(buffer.len());
                        buffer[..count].copy_from_slice(&rest[..count]);
                        count
                    }
                    Stretch::Crc(_) | Stretch::Data(_) => {
                        let next = self.stretches.iter().find(|(start, _)| *start > self.at);
                        let end = next.map_or(self.length, |(start, _)| *start);
                        let count = usize::try_from(end - self.at).expect("64 bits").min(buffer.len());
                        buffer[..count].fill(0);
                        count
                    }
                };
                self.at += count as u64;
                Ok(count)
            }
        }
        impl std::io::Seek for Holes {
            fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
                self.at = match to {
                    std::io::SeekFrom::Start(at) => at,
                    std::io::SeekFrom::End(back) => self.length.saturating_add_signed(back),
                    std::io::SeekFrom::Current(on) => self.at.saturating_add_signed(on),
                };
                Ok(self.at)
            }
        }
        let small = crc32fast::hash(&[0; 10]);
        let entries = [
            entry("a/large.dcm", 5 << 30, Some(1)),
            entry("a/small.dcm", 10, Some(small)),
            entry("b", u64::from(u32::MAX), Some(2)),
        ];
        let mut length = 0;
        let stretches: Vec<(u64, Stretch)> = layout(&entries)
            .into_iter()
            .map(|stretch| {
                let start = length;
                length += match &stretch {
                    Stretch::Bytes(bytes) => bytes.len() as u64,
                    Stretch::Crc(_) => 4,
                    Stretch::Data(index) => entries[*index].length,
                };
                (start, stretch)
            })
            .collect();
        let mut archive = zip::ZipArchive::new(Holes { stretches, length, at: 0 }).expect("a zip file");
        for (index, entry) in entries.iter().enumerate() {
            let found = archive.by_index(index).expect("an entry");
            assert_eq!(found.name().expect("ASCII"), entry.name);
            assert_eq!(found.size(), entry.length);
        }
        let mut bytes = Vec::new();
        archive.by_name("a/small.dcm").expect("an entry").read_to_end(&mut bytes).expect("the checksum fits");
        assert_eq!(bytes, [0; 10]);
    }

    #[test]
    fn moments_stay_in_the_format() {
        assert_eq!(Moment::of(0), Moment::FIRST);
        assert_eq!(Moment::of(u64::MAX), Moment::FIRST);
        // 2026-11-22 04:05:06
        assert_eq!(
            Moment::of(1_795_320_306_000_000),
            Moment { date: (46 << 9) + (11 << 5) + 22, time: (4 << 11) + (5 << 5) + 3 }
        );
    }
}
