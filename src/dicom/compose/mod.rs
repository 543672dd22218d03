//! Metadata and bulk data as one instance (PS3.18 section 10.5.1.4): the bulk
//! parts that a data set names are found and become values, its pixels are
//! native or encapsulated as their media type says, and what the metadata leave
//! out of the Image Pixel Description Macro is taken from the bit stream (table
//! 10.5.2-1).
//!
//! The bulk data lie one after the other in a [`Store`] that may be a file; the
//! instance is a [`Plan`] that copies from it. A URI is a name here: nothing is
//! ever fetched.

mod location;
mod pixels;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use self::location::Locations;
use self::texts::Texts;
use super::bitstream::{BitstreamError, Kind};
use super::dataset::{Bulk, DataSet, Element, Value};
use super::encode::{self, Content, EncodeError, Meta, Stretch};
use super::plan::Plan;
use super::raster::RasterError;
use super::source::Source;
use super::text::Repertoire;
use super::uid::{self, UidError};
use super::{attributes, transfer_syntax, vr};

const CHARACTER_SET: Tag = tags::SPECIFIC_CHARACTER_SET;

/// Where bulk data lie, and where decoded pixels are put behind them.
pub trait Store: Source {
    /// # Errors
    /// What the storage says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl Store for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// What the media type of a bulk part says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coding {
    /// `application/octet-stream`.
    Bytes,
    /// Compressed pixels.
    Pixels(Kind),
    /// Any other type: a document of that type.
    Document(String),
}

/// A bulk part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its `Content-Location`.
    pub location: Option<String>,
    pub coding: Coding,
    /// The parameter of its media type.
    pub transfer_syntax: Option<String>,
    pub stretch: Stretch,
}

/// Why an instance could not be made. Neither values nor URIs are repeated.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    #[error("{tag} is missing or empty")]
    MissingUid { tag: Tag },
    #[error("{tag} is no UID: {reason}")]
    BadUid { tag: Tag, reason: UidError },
    #[error(
        "{tag} has a BulkDataURI that is the Content-Location of no part of this request; nothing is \
         fetched from elsewhere"
    )]
    Unresolved { tag: Tag },
    #[error("{tag} has one value, and {parts} parts have its BulkDataURI as their Content-Location")]
    SeveralParts { tag: Tag, parts: usize },
    #[error("the pixel data {0}")]
    Bitstream(#[from] BitstreamError),
    #[error("the image {0}")]
    Raster(#[from] RasterError),
    #[error("{0}")]
    Pixels(&'static str),
    #[error("the pixel data are {held} frames, and Number of Frames says {declared}")]
    Frames { declared: i64, held: u64 },
    #[error("{tag} of the metadata contradicts the bit stream")]
    Contradiction { tag: Tag },
    #[error("{tag} is missing, and the bit stream does not tell it")]
    MissingMacro { tag: Tag },
    #[error("the transfer syntax of the pixel data is not one that can be stored from parts")]
    TransferSyntax,
    #[error("{0}")]
    Encode(#[from] EncodeError),
    #[error("the bulk data could not be read: {0}")]
    Io(#[from] io::Error),
}

/// The bulk parts of a request, by their locations.
pub struct Parts {
    list: Arc<[Part]>,
    locations: Locations,
    /// Parts that some data set named.
    used: Vec<bool>,
    /// Those of them that were named as texts, however often.
    texts: Texts,
}

/// An instance as it will be stored.
#[derive(Debug)]
pub struct Composed {
    pub plan: Plan,
    pub sop_class: String,
    pub sop_instance: String,
}

/// Who an instance says it is, for a report on what could not be stored.
#[must_use]
pub fn identity(set: &DataSet) -> (Option<String>, Option<String>) {
    let uid = |tag| set.first_text(tag).filter(|uid| uid::check(uid).is_ok()).map(str::to_owned);
    (uid(tags::SOP_CLASS_UID), uid(tags::SOP_INSTANCE_UID))
}

impl Parts {
    #[must_use]
    pub fn new(list: Vec<Part>) -> Self {
        let mut locations = Locations::default();
        for (position, part) in list.iter().enumerate() {
            if let Some(location) = &part.location {
                locations.add(location, position);
            }
        }
        Self { used: vec![false; list.len()], list: list.into(), locations, texts: Texts::default() }
    }

    /// The parts that a URI names, in the order they came, by their positions.
    fn named(&mut self, uri: &str) -> Vec<usize> {
        let positions = self.locations.find(uri);
        for position in positions {
            self.used[*position] = true;
        }
        positions.to_vec()
    }

    /// How many parts no data set named.
    #[must_use]
    pub fn unused(&self) -> usize {
        self.used.iter().filter(|used| !**used).count()
    }

    /// Makes an instance of a data set. `decoded_bytes_max` limits what its
    /// PNG or GIF parts become.
    ///
    /// # Errors
    /// [`ComposeError`]. The parts it named count as used all the same.
    pub fn compose(
        &mut self,
        mut set: DataSet,
        store: &mut dyn Store,
        decoded_bytes_max: u64,
    ) -> Result<Composed, ComposeError> {
        // What another archive said of where it kept the instance; but how the
        // pixels were coded there is a hint to what a part is.
        let hint = set.first_text(attributes::AVAILABLE_TRANSFER_SYNTAX).map(str::to_owned);
        for tag in [
            attributes::AVAILABLE_TRANSFER_SYNTAX,
            attributes::INSTANCE_AVAILABILITY,
            attributes::RETRIEVE_URL,
        ] {
            set.remove(tag);
        }
        let mut found = HashMap::new();
        let repertoire = texts::declared(&set).unwrap_or_default();
        if self.resolve(&mut set, repertoire, true, store, &mut found)? && is_absent(&set, CHARACTER_SET) {
            set.put_text(CHARACTER_SET, VR::CS, "ISO_IR 192");
        }
        let job = pixels::Job { store, decoded_bytes_max, hint };
        let transfer_syntax = match self.pixel_parts(&set) {
            Some(positions) => {
                let parts: Vec<&Part> = positions.iter().map(|position| &self.list[*position]).collect();
                job.parts(&mut set, &parts, &mut found)?
            }
            None => job.inline(&mut set, &mut found)?,
        };
        if !encode::can_write(&transfer_syntax) {
            return Err(ComposeError::TransferSyntax);
        }
        // Those of the root have no name.
        let within =
            |(path, content): (&String, &Content)| !path.is_empty() && matches!(content, Content::Frames(_));
        if !is_encapsulated(&transfer_syntax) && found.iter().any(within) {
            let why = "pixels within a sequence are compressed, and those of the image are not";
            return Err(ComposeError::Pixels(why));
        }
        let sop_class = required(&set, tags::SOP_CLASS_UID)?;
        let sop_instance = required(&set, tags::SOP_INSTANCE_UID)?;
        let meta =
            Meta { sop_class: &sop_class, sop_instance: &sop_instance, transfer_syntax: &transfer_syntax };
        let plan = encode::file(&set, meta, &|_, bulk| found.get(&bulk.path).cloned())?;
        Ok(Composed { plan, sop_class, sop_instance })
    }

    /// Finds the parts of every bulk value but the pixels of the root, which
    /// are more than a value. Says whether a text among them is more than ASCII.
    fn resolve(
        &mut self,
        set: &mut DataSet,
        repertoire: Repertoire,
        is_root: bool,
        store: &mut dyn Store,
        found: &mut HashMap<String, Content>,
    ) -> Result<bool, ComposeError> {
        let (mut document, mut has_text) = (None, false);
        for (tag, element) in set.iter_mut() {
            match &mut element.value {
                Value::Items(items) => {
                    for item in items {
                        let own = texts::declared(item).unwrap_or(repertoire);
                        has_text |= self.resolve(item, own, false, store, found)?;
                    }
                }
                Value::Bulk(bulk) if !(is_root && tag == tags::PIXEL_DATA) => {
                    let positions = self.named(&bulk.path);
                    let [position] = positions.as_slice() else {
                        return Err(match positions.len() {
                            0 => ComposeError::Unresolved { tag },
                            parts => ComposeError::SeveralParts { tag, parts },
                        });
                    };
                    let part = &self.list[*position];
                    if tag == tags::PIXEL_DATA {
                        bulk.path = format!("{} {tag}", bulk.path);
                        found.insert(bulk.path.clone(), pixels::within(part, store)?);
                        continue;
                    }
                    let mut stretch = part.stretch;
                    if tag == tags::ENCAPSULATED_DOCUMENT {
                        document = Some(part.clone());
                    }
                    if vr::is_encoded_text(element.vr) && part.coding == Coding::Bytes {
                        let text = self.texts.in_utf8(*position, stretch, (repertoire, element.vr), store)?;
                        has_text |= !text.is_ascii;
                        stretch = text.stretch;
                        // The same part may be another value elsewhere.
                        bulk.path = format!("{} {}", bulk.path, stretch.offset);
                    }
                    if vr::number_bytes(element.vr).is_some_and(|bytes| !stretch.length.is_multiple_of(bytes))
                    {
                        return Err(EncodeError::Form { tag, vr: element.vr }.into());
                    }
                    found.insert(bulk.path.clone(), Content::Value(vec![stretch]));
                }
                Value::Inline(bytes) if !is_root && tag == tags::PIXEL_DATA => {
                    let Some(length) = pixels::items_length(bytes) else { continue };
                    let offset = store.len();
                    store.append(bytes)?;
                    let path = format!("{offset} {tag}");
                    found.insert(path.clone(), Content::Fragments(Stretch { offset, length }));
                    element.value = Value::Bulk(Bulk { path, offset: 0, length: 0 });
                }
                Value::Empty
                | Value::Text(_)
                | Value::Names(_)
                | Value::Signed(_)
                | Value::Unsigned(_)
                | Value::Float(_)
                | Value::Double(_)
                | Value::Tags(_)
                | Value::Inline(_)
                | Value::Bulk(_) => {}
            }
        }
        if let Some(part) = document {
            describe_document(set, &part);
        }
        Ok(has_text)
    }

    fn pixel_parts(&mut self, set: &DataSet) -> Option<Vec<usize>> {
        match &set.get(tags::PIXEL_DATA)?.value {
            Value::Bulk(bulk) => Some(self.named(&bulk.path)),
            Value::Empty
            | Value::Text(_)
            | Value::Names(_)
            | Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_)
            | Value::Items(_)
            | Value::Inline(_) => None,
        }
    }
}

/// What the metadata leave open of a document (PS3.3 section C.24.2).
fn describe_document(set: &mut DataSet, part: &Part) {
    if let Coding::Document(name) = &part.coding
        && is_absent(set, tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT)
    {
        set.put_text(tags::MIME_TYPE_OF_ENCAPSULATED_DOCUMENT, VR::LO, name);
    }
    // A byte of padding would become part of it.
    if part.stretch.length % 2 == 1 && is_absent(set, tags::ENCAPSULATED_DOCUMENT_LENGTH) {
        let length = Value::Unsigned(vec![part.stretch.length]);
        set.put(tags::ENCAPSULATED_DOCUMENT_LENGTH, Element::new(VR::UL, length));
    }
}

fn is_absent(set: &DataSet, tag: Tag) -> bool {
    set.get(tag).is_none_or(|element| element.value == Value::Empty)
}

fn required(set: &DataSet, tag: Tag) -> Result<String, ComposeError> {
    let uid = set.first_text(tag).ok_or(ComposeError::MissingUid { tag })?;
    uid::check(uid).map_err(|reason| ComposeError::BadUid { tag, reason })?;
    Ok(uid.to_owned())
}

/// A place in the store under a name that no URI has.
fn put_found(set: &mut DataSet, vr: VR, content: Content, found: &mut HashMap<String, Content>) {
    let path = String::new();
    found.insert(path.clone(), content);
    let bulk = Value::Bulk(Bulk { path, offset: 0, length: 0 });
    set.put(tags::PIXEL_DATA, Element::new(vr, bulk));
}

/// Whether pixels of this Transfer Syntax lie in items.
fn is_encapsulated(transfer_syntax: &str) -> bool {
    transfer_syntax::find(transfer_syntax).is_some_and(transfer_syntax::TransferSyntax::is_encapsulated)
}

/// From here to the end of what is appended next.
fn appended(store: &dyn Store, from: u64) -> Stretch {
    Stretch { offset: from, length: store.len().saturating_sub(from) }
}
