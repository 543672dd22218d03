//! Private attributes by the name of their creator, put into blocks of their
//! group (PS3.5 section 7.8.1, PS3.18 Table F.3.1-1).

use std::collections::{HashMap, HashSet};

use dicom_core::{Tag, VR};

use super::error::Reason;
use crate::dicom::attributes;
use crate::dicom::dataset::{DataSet, Element, Value};

/// The blocks that a group has room for, by the element of their creator.
const BLOCKS: std::ops::RangeInclusive<u16> = 0x0010..=0x00FF;

/// An attribute whose block is not known yet.
pub(super) struct Private {
    pub(super) group: u16,
    /// The last two digits of its tag.
    pub(super) element: u8,
    pub(super) creator: String,
    pub(super) attribute: Element,
}

/// The blocks of one creator in one group.
#[derive(Default)]
struct Blocks {
    blocks: Vec<u16>,
    /// Of an element, how many of the blocks are known to have it.
    filled: HashMap<u8, usize>,
}

/// The data set of these attributes and of those yet without a block. Each of
/// these goes into a block of its creator, into a new one when there is none, or
/// none where its place is free: a model may hold what were two blocks of one
/// creator.
pub(super) fn assign(mut elements: Vec<(Tag, Element)>, privates: Vec<Private>) -> Result<DataSet, Reason> {
    if privates.is_empty() {
        return Ok(elements.into_iter().collect());
    }
    let mut creators: HashMap<(u16, String), Blocks> = HashMap::new();
    let mut used: HashSet<(u16, u16)> = HashSet::new();
    let mut taken: HashSet<Tag> = HashSet::new();
    for (tag, element) in elements.iter().filter(|(tag, _)| attributes::is_private(*tag)) {
        if attributes::is_private_creator(*tag) {
            used.insert((tag.group(), tag.element()));
            if let Value::Text(names) = &element.value
                && let Some(name) = names.first()
            {
                creators.entry((tag.group(), name.clone())).or_default().blocks.push(tag.element());
            }
        } else {
            // A block whose attributes came without the name of a creator is nobody's.
            used.insert((tag.group(), tag.element() >> 8));
            taken.insert(*tag);
        }
    }
    for Private { group, element, creator, attribute } in privates {
        let place = |block: u16| Tag(group, block << 8 | u16::from(element));
        let free = |block: &u16| !used.contains(&(group, *block));
        let known = creators.entry((group, creator)).or_default();
        let filled = known.filled.entry(element).or_default();
        while known.blocks.get(*filled).is_some_and(|block| taken.contains(&place(*block))) {
            *filled += 1;
        }
        let block = match known.blocks.get(*filled) {
            Some(block) => *block,
            None => {
                let block = BLOCKS.clone().find(free).ok_or(Reason::Blocks)?;
                used.insert((group, block));
                known.blocks.push(block);
                block
            }
        };
        *filled += 1;
        elements.push((place(block), attribute));
    }
    for ((group, creator), Blocks { blocks, .. }) in creators {
        elements.extend(blocks.iter().map(|block| (Tag(group, *block), Element::text(VR::LO, &creator))));
    }
    Ok(elements.into_iter().collect())
}
