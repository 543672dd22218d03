//! DICOM JSON small: zstd with the JSON of the series' first instance as the
//! dictionary, for the slices of a series differ in little. Owns the limits of
//! memory: how long a dictionary may be and how many stay prepared.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::{CCtx, DCtx, compress_bound, get_error_name, get_frame_content_size};

const LEVEL: i32 = 3;
/// Of a longer first JSON the beginning serves as the dictionary.
const DICTIONARY_BYTES_MAX: usize = 128 * 1024;
/// A JSON document is never larger: it is made of the header of one file.
const JSON_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const PREPARED_MAX: usize = 64;
/// What a JSON takes when its dictionary begins with it.
const SMALL_BYTES: usize = 512;

thread_local! {
    /// A decompressor is some 100 KiB, and most decompress one row: it is used again.
    static CONTEXT: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

/// Compresses, and keeps the dictionaries of the series in use prepared.
pub(super) struct Encoder {
    context: CCtx<'static>,
    prepared: HashMap<u64, Prepared>,
    clock: u64,
}

struct Prepared {
    dictionary: Arc<EncoderDictionary<'static>>,
    used: u64,
}

impl Encoder {
    pub fn new() -> Self {
        Self { context: CCtx::default(), prepared: HashMap::new(), clock: 0 }
    }

    /// Forgets all dictionaries: those of a transaction that failed are not true.
    pub fn clear(&mut self) {
        self.prepared.clear();
    }

    pub fn forget(&mut self, series_id: u64) {
        self.prepared.remove(&series_id);
    }

    pub fn prepared(&mut self, series_id: u64) -> Option<Arc<EncoderDictionary<'static>>> {
        self.clock += 1;
        let prepared = self.prepared.get_mut(&series_id)?;
        prepared.used = self.clock;
        Some(Arc::clone(&prepared.dictionary))
    }

    /// Compresses the first JSON of a series, which is its own dictionary. Most of
    /// what is imported comes in series of one: nothing is prepared for more.
    pub fn compress_first(&mut self, json: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::with_capacity(SMALL_BYTES);
        // In memory of its own: zstd takes a dictionary for overwritten where it lies in what
        // is compressed, and does without it.
        let dictionary = &*dictionary_of(json).to_vec();
        if self.context.compress_using_dict(&mut out, json, dictionary, LEVEL).is_err() {
            // More than was thought of: what goes beyond the dictionary.
            out = Vec::with_capacity(compress_bound(json.len()));
            self.context.compress_using_dict(&mut out, json, dictionary, LEVEL).map_err(get_error_name)?;
        }
        Ok(out)
    }

    /// Prepares a dictionary; the one not used for longest makes room.
    pub fn prepare(
        &mut self,
        series_id: u64,
        dictionary: &[u8],
    ) -> Result<Arc<EncoderDictionary<'static>>, &'static str> {
        let dictionary = EncoderDictionary::try_copy(dictionary, LEVEL).map_err(|_| "no memory")?;
        let dictionary = Arc::new(dictionary);
        if self.prepared.len() >= PREPARED_MAX
            && let Some(oldest) =
                self.prepared.iter().min_by_key(|(_, prepared)| prepared.used).map(|(id, _)| *id)
        {
            self.prepared.remove(&oldest);
        }
        self.clock += 1;
        self.prepared.insert(series_id, Prepared { dictionary: Arc::clone(&dictionary), used: self.clock });
        Ok(dictionary)
    }

    pub fn compress(
        &mut self,
        json: &[u8],
        dictionary: &EncoderDictionary<'static>,
    ) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::with_capacity(compress_bound(json.len()));
        self.context.compress_using_cdict(&mut out, json, dictionary.as_cdict()).map_err(get_error_name)?;
        Ok(out)
    }

    /// A dictionary for the table.
    pub fn compress_dictionary(&mut self, dictionary: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::with_capacity(compress_bound(dictionary.len()));
        self.context.compress(&mut out, dictionary, LEVEL).map_err(get_error_name)?;
        Ok(out)
    }
}

/// What of a series' first JSON becomes its dictionary.
pub(super) fn dictionary_of(json: &[u8]) -> &[u8] {
    json.get(..DICTIONARY_BYTES_MAX).unwrap_or(json)
}

pub(super) fn decompress_dictionary(stored: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut context = CONTEXT.take().unwrap_or_default();
    let dictionary = decompress_with(&mut context, stored);
    CONTEXT.set(Some(context));
    dictionary
}

fn decompress_with(context: &mut DCtx<'static>, stored: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::new();
    reserve(&mut out, stored)?;
    context.decompress(&mut out, stored).map_err(get_error_name)?;
    Ok(out)
}

/// Decompresses the JSON of one series.
pub(super) struct Decoder {
    /// There until it is dropped.
    context: Option<DCtx<'static>>,
    dictionary: DecoderDictionary<'static>,
}

impl Decoder {
    /// With the series' dictionary as it is in the table.
    pub fn new(stored: &[u8]) -> Result<Self, &'static str> {
        let mut context = CONTEXT.take().unwrap_or_default();
        let dictionary = decompress_with(&mut context, stored)?;
        let dictionary = DecoderDictionary::try_copy(&dictionary).map_err(|_| "no memory")?;
        Ok(Self { context: Some(context), dictionary })
    }

    /// Puts the JSON in `out`, in place of what was there.
    pub fn decompress(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.clear();
        reserve(out, frame)?;
        self.context
            .get_or_insert_default()
            .decompress_using_ddict(out, frame, self.dictionary.as_ddict())
            .map_err(get_error_name)?;
        Ok(())
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        CONTEXT.set(self.context.take());
    }
}

fn reserve(out: &mut Vec<u8>, frame: &[u8]) -> Result<(), &'static str> {
    match get_frame_content_size(frame) {
        Ok(Some(bytes)) if bytes <= JSON_BYTES_MAX => {
            let bytes = usize::try_from(bytes).map_err(|_| "too large")?;
            out.try_reserve(bytes).map_err(|_| "no memory")
        }
        Ok(Some(_)) => Err("too large"),
        Ok(None) | Err(_) => Err("not a zstd frame of known size"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let mut encoder = Encoder::new();
        let first = br#"{"00080060":{"vr":"CS","Value":["CT"]}}"#.repeat(40);
        let stored = encoder.compress_dictionary(&first).unwrap();
        let dictionary = encoder.prepare(1, &first).unwrap();
        let mut decoder = Decoder::new(&stored).unwrap();
        let mut out = Vec::new();
        for json in [&first[..], b"", b"{}", &first[7..900], &b"x".repeat(3_000_000)] {
            let frame = encoder.compress(json, &dictionary).unwrap();
            decoder.decompress(&frame, &mut out).unwrap();
            assert_eq!(out, json);
        }
        assert!(decoder.decompress(b"junk", &mut out).is_err());
    }

    /// The dictionary lay within the JSON once, so that zstd passed over it: what a series
    /// of one instance says was kept twice, in eight KiB of the catalog in place of four.
    #[test]
    fn the_first_of_a_series_takes_next_to_nothing() {
        let mut encoder = Encoder::new();
        let mut first = Vec::new();
        for element in 0..500_u32 {
            let noise = element.wrapping_mul(2_654_435_761);
            first.extend(format!("\"{element:08X}\":{{\"vr\":\"LO\",\"Value\":[\"{noise}\"]}},").bytes());
        }
        let stored = encoder.compress_dictionary(&first).unwrap();
        let frame = encoder.compress_first(&first).unwrap();
        assert!(stored.len() > 2000 && frame.len() < 100, "{} and {}", stored.len(), frame.len());
        let mut out = Vec::new();
        Decoder::new(&stored).unwrap().decompress(&frame, &mut out).unwrap();
        assert_eq!(out, first);
    }

    #[test]
    fn the_memory_for_dictionaries_is_bounded() {
        let mut encoder = Encoder::new();
        for id in 0..3 * PREPARED_MAX as u64 {
            encoder.prepare(id, b"{}").unwrap();
            assert!(id == 0 || encoder.prepared(0).is_some(), "what is in use stays");
        }
        assert_eq!(encoder.prepared.len(), PREPARED_MAX);
    }
}
