//! Elements of a data set's root that take the place of others while the data
//! set is transcoded, and if need be an item more for its Original Attributes
//! Sequence.
//! It follows the tokens of the walk; everything it is not about passes.

use std::collections::{BTreeMap, VecDeque};

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::dataset::{DataSet, Element};
use super::encode::{self, EncodeError};
use super::part10::walk::Token;
use super::plan::Writer;

const ITEM_BEGINS: [u8; 8] = [0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF];
const ITEM_ENDS: [u8; 8] = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0];
const SEQUENCE_ENDS: [u8; 2] = [0xDD, 0xE0];

/// What is still to be written.
pub(super) struct Edit {
    /// Encoded, in ascending order.
    elements: VecDeque<(Tag, Vec<u8>)>,
    item: Vec<u8>,
    /// Sequences that are open.
    depth: usize,
    /// The one of the root is the Original Attributes Sequence.
    in_originals: bool,
    /// The one of the root was replaced.
    in_replaced: bool,
}

impl Edit {
    pub(super) fn new(
        elements: &BTreeMap<Tag, Element>,
        original: Option<&DataSet>,
    ) -> Result<Self, EncodeError> {
        let mut encoded = VecDeque::with_capacity(elements.len());
        for (tag, element) in elements {
            let mut bytes = Vec::new();
            let set: DataSet = std::iter::once((*tag, element.clone())).collect();
            encode::data_set(&set, &mut bytes)?;
            encoded.push_back((*tag, bytes));
        }
        let mut item = Vec::new();
        if let Some(original) = original {
            item.extend(ITEM_BEGINS);
            encode::data_set(original, &mut item)?;
            item.extend(ITEM_ENDS);
        }
        Ok(Self { elements: encoded, item, depth: 0, in_originals: false, in_replaced: false })
    }

    /// Writes what comes before a token of the stored data set; says whether
    /// the token itself is to be left out.
    pub(super) fn take(&mut self, token: &Token, writer: &mut Writer) -> bool {
        if self.in_replaced {
            match token {
                Token::Sequence(_) => self.depth += 1,
                Token::EndSequence => self.depth = self.depth.saturating_sub(1),
                Token::Element(_) | Token::Fragments(..) | Token::Item | Token::EndItem | Token::End => {}
            }
            self.in_replaced = self.depth > 0;
            return true;
        }
        match token {
            // A group length would be wrong now.
            Token::Element(header) if self.depth == 0 => {
                header.tag.element() == 0 || self.before(header.tag, writer)
            }
            Token::Fragments(header, _) if self.depth == 0 => self.before(header.tag, writer),
            Token::Sequence(header) => {
                if self.depth == 0 {
                    self.in_replaced = self.before(header.tag, writer);
                    self.in_originals = header.tag == tags::ORIGINAL_ATTRIBUTES_SEQUENCE;
                }
                self.depth += 1;
                self.in_replaced
            }
            Token::EndSequence => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 && self.in_originals {
                    writer.pending.append(&mut self.item);
                }
                false
            }
            Token::End => {
                while let Some((tag, bytes)) = self.elements.pop_front() {
                    self.originals_before(Some(tag), writer);
                    writer.pending.extend(bytes);
                }
                self.originals_before(None, writer);
                false
            }
            Token::Element(_) | Token::Fragments(..) | Token::Item | Token::EndItem => false,
        }
    }

    /// Writes what comes before an element of the root; says whether that one
    /// is replaced.
    fn before(&mut self, tag: Tag, writer: &mut Writer) -> bool {
        while let Some((next, bytes)) = self.elements.pop_front() {
            if next > tag {
                self.elements.push_front((next, bytes));
                break;
            }
            self.originals_before(Some(next), writer);
            writer.pending.extend(bytes);
            if next == tag {
                return true;
            }
        }
        self.originals_before(Some(tag), writer);
        false
    }

    /// The sequence with its item, if it is missing and what follows is beyond
    /// it.
    fn originals_before(&mut self, tag: Option<Tag>, writer: &mut Writer) {
        let is_due = tag.is_none_or(|tag| tag > tags::ORIGINAL_ATTRIBUTES_SEQUENCE);
        if is_due && !self.item.is_empty() {
            writer.open(tags::ORIGINAL_ATTRIBUTES_SEQUENCE, VR::SQ);
            writer.pending.append(&mut self.item);
            writer.delimiter(SEQUENCE_ENDS);
        }
    }
}
