//! Blocks: what the index knows of instances. A document for each would cost
//! more than the archive's other documents together, and the slices of a series
//! differ in little; so a document stands for as many instances of one series as
//! were taken in together, and has each of their values once. A search asks
//! blocks for series that may have matching instances; these are then matched
//! one by one.
//!
//! Invariants: an instance lies in one block with all its values, so that several
//! keys can be asked of one block; what does not fit leaves a mark that makes the
//! block a candidate for every key on that attribute.

use dicom_core::Tag;
use tantivy::TantivyDocument;

use super::schema::Fields;
use super::terms::{self, Terms};
use super::text::Texts;
use crate::dicom::attributes;
use crate::dicom::dataset::{DataSet, Element};
use crate::storage::Digest;

/// Terms of a block that is closed to further instances.
const TERMS_FULL: usize = 100_000;
/// Bytes of text of such a block.
const TEXT_FULL: usize = 4 << 20;
/// Terms from which on an instance adds only which attributes it has.
const TERMS_MAX: usize = 200_000;

/// Instances of one series, to be put into the index together.
pub struct Block {
    study_id: u64,
    series_id: u64,
    terms: Terms,
    texts: Texts,
    /// The instance taken in last: what the next one has in common with it is
    /// there already.
    last: DataSet,
}

impl Block {
    /// An empty block of a series.
    #[must_use]
    pub fn new(study_id: u64, series_id: u64) -> Self {
        let mut terms = Terms::without_grams();
        terms.add(terms::A_BLOCK.to_owned());
        terms.add(terms::of_blocks(series_id));
        Self { study_id, series_id, terms, texts: Texts::default(), last: DataSet::new() }
    }

    /// Takes in the attributes of an instance, those of its study and series
    /// left aside: they are searched for in the documents of these.
    pub fn add(&mut self, instance: DataSet) {
        let fresh = self.fresh(&instance);
        for &(tag, element) in &fresh {
            if self.terms.len() < TERMS_MAX {
                self.terms.add_attribute(&instance, tag, element);
            } else {
                self.terms.add_unread(&instance, tag);
            }
        }
        self.terms.add_pairs(&instance, tells_of_instance);
        let is_fresh = |tag| fresh.binary_search_by_key(&tag, |(tag, _)| *tag).is_ok();
        self.texts.add_set(&instance, is_fresh);
        self.last = instance;
    }

    /// The attributes that the instance before has not, or not so; of a private one
    /// the creator must be the same too. Slices of a series differ in a few.
    fn fresh<'a>(&self, instance: &'a DataSet) -> Vec<(Tag, &'a Element)> {
        let mut fresh = Vec::new();
        let mut before = self.last.iter().peekable();
        for (tag, element) in instance.iter() {
            while before.next_if(|(other, _)| *other < tag).is_some() {}
            let same = before.next_if(|(other, _)| *other == tag).is_some_and(|(_, other)| other == element);
            let is_known = same && (!attributes::is_private(tag) || self.has_creator_of(tag, instance));
            if !is_known && tells_of_instance(tag) {
                fresh.push((tag, element));
            }
        }
        fresh
    }

    fn has_creator_of(&self, tag: Tag, instance: &DataSet) -> bool {
        let creator = Tag(tag.group(), tag.element() >> 8);
        self.last.get(creator) == instance.get(creator)
    }

    /// Whether further instances should go into another block.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.terms.len() >= TERMS_FULL || self.texts.bytes() >= TEXT_FULL
    }

    pub(super) fn into_document(self, fields: &Fields) -> TantivyDocument {
        let mut doc = TantivyDocument::with_capacity(4096);
        doc.add_u64(fields.study, self.study_id);
        doc.add_u64(fields.series, self.series_id);
        self.terms.pour(&mut doc, fields);
        self.texts.pour(&mut doc, fields);
        doc
    }
}

/// Whether an attribute is matched on instances. Their own UIDs are not: the
/// catalog finds them.
fn tells_of_instance(tag: Tag) -> bool {
    attributes::is_of_instance(tag)
        && tag != attributes::SOP_INSTANCE_UID
        && !attributes::is_private_creator(tag)
}

/// The text of an encapsulated document: a document of the index of its own,
/// that goes with the blocks of its series.
pub struct DocumentText<'a> {
    pub study_id: u64,
    pub series_id: u64,
    /// The digest of its instance, by which the text is found again.
    pub digest: &'a Digest,
    pub text: &'a str,
}

impl DocumentText<'_> {
    pub(super) fn into_document(self, fields: &Fields) -> TantivyDocument {
        let mut doc = TantivyDocument::with_capacity(self.text.len() + 256);
        doc.add_u64(fields.study, self.study_id);
        doc.add_u64(fields.series, self.series_id);
        doc.add_text(fields.terms, terms::of_blocks(self.series_id));
        doc.add_text(fields.terms, terms::of_document(self.digest));
        doc.add_text(fields.text, self.text);
        doc.add_text(fields.document, self.text);
        doc
    }
}
