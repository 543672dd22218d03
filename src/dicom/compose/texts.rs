//! Texts that come as bulk data. A file that is made says UTF-8 of all its text, so
//! what comes in another character set, as the metadata declare it, becomes that:
//! once, however many attributes have the same part.

use std::collections::HashMap;

use dicom_core::VR;
use dicom_dictionary_std::tags;

use super::{ComposeError, Store, appended};
use crate::dicom::dataset::{DataSet, Value};
use crate::dicom::encode::Stretch;
use crate::dicom::text::{Delimiters, Repertoire};

/// A longer one stays as it came.
const TEXT_BYTES_MAX: u64 = 16 << 20;
const ESCAPE: u8 = 0x1B;

/// Parts that are texts, by their positions.
#[derive(Default)]
pub(super) struct Texts(HashMap<usize, Vec<(Reading, Text)>>);

/// How a text is read: by which character set, and what ends an escape sequence.
type Reading = (Repertoire, Delimiters);

/// A text in UTF-8, somewhere in the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    pub(super) stretch: Stretch,
    pub(super) is_ascii: bool,
}

/// What a data set or an item says of its own text.
pub(super) fn declared(set: &DataSet) -> Option<Repertoire> {
    match set.get(tags::SPECIFIC_CHARACTER_SET).map(|element| &element.value) {
        Some(Value::Text(terms)) => Some(Repertoire::declared(terms.join("\\").as_bytes()).0),
        Some(_) | None => None,
    }
}

impl Texts {
    /// The text that a part is in a character set, as the value of a VR.
    pub(super) fn in_utf8(
        &mut self,
        position: usize,
        stretch: Stretch,
        (repertoire, vr): (Repertoire, VR),
        store: &mut dyn Store,
    ) -> Result<Text, ComposeError> {
        let delimiters = if vr == VR::UC { Delimiters::Values } else { Delimiters::Lines };
        let reading = (repertoire, delimiters);
        let known = self.0.entry(position).or_default();
        if let Some((_, text)) = known.iter().find(|(other, _)| *other == reading) {
            return Ok(*text);
        }
        let text = converted(stretch, reading, store)?;
        known.push((reading, text));
        Ok(text)
    }
}

fn converted(
    stretch: Stretch,
    (repertoire, delimiters): Reading,
    store: &mut dyn Store,
) -> Result<Text, ComposeError> {
    let length = usize::try_from(stretch.length).ok().filter(|_| stretch.length <= TEXT_BYTES_MAX);
    let Some(length) = length else { return Ok(Text { stretch, is_ascii: true }) };
    let mut bytes = vec![0; length];
    store.read_exact_at(&mut bytes, stretch.offset)?;
    if !bytes.contains(&ESCAPE) && std::str::from_utf8(&bytes).is_ok() {
        return Ok(Text { stretch, is_ascii: bytes.is_ascii() });
    }
    let (text, is_clean) = repertoire.decode(&bytes, delimiters);
    // Of a set that is not declared nothing is better than what it looks like.
    if !is_clean && repertoire != Repertoire::default() {
        return Ok(Text { stretch, is_ascii: false });
    }
    let start = store.len();
    store.append(text.as_bytes())?;
    Ok(Text { stretch: appended(store, start), is_ascii: text.is_ascii() })
}
