//! Where the attributes of one frame stand: in its own functional groups, in
//! the shared ones, or at the top of the data set (PS3.3 section C.7.6.16).

use crate::dicom::{DataSet, Tag};
use dicom_dictionary_std::tags;

/// The attributes of one frame.
#[derive(Debug, Clone, Copy)]
pub struct FrameAttributes<'a> {
    pub set: &'a DataSet,
    shared: Option<&'a DataSet>,
    own: Option<&'a DataSet>,
}

impl<'a> FrameAttributes<'a> {
    /// `frame_index` counts from 0.
    #[must_use]
    pub fn of(set: &'a DataSet, frame_index: u32) -> Self {
        Self {
            set,
            shared: set.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE).first(),
            own: set.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE).get(frame_index as usize),
        }
    }

    /// The item of a functional group's sequence that holds `tag`.
    #[must_use]
    pub fn group(&self, sequence: Tag, tag: Tag) -> Option<&'a DataSet> {
        [self.own, self.shared]
            .into_iter()
            .flatten()
            .filter_map(|groups| groups.items(sequence).first())
            .find(|item| item.get(tag).is_some())
    }

    /// What holds `tag`: a functional group, or else the data set itself.
    #[must_use]
    pub fn holder(&self, sequence: Tag, tag: Tag) -> &'a DataSet {
        self.group(sequence, tag).unwrap_or(self.set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::{Element, VR, Value};

    fn groups(slope: &str) -> Element {
        let mut transformation = DataSet::new();
        transformation.put_text(tags::RESCALE_SLOPE, VR::DS, slope);
        let mut group = DataSet::new();
        group.put(
            tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
            Element::new(VR::SQ, Value::Items(vec![transformation])),
        );
        Element::new(VR::SQ, Value::Items(vec![group]))
    }

    #[test]
    fn rnd_08_own_groups_go_before_shared_ones_and_those_before_the_data_set() {
        let mut set = DataSet::new();
        set.put_text(tags::RESCALE_SLOPE, VR::DS, "1");
        let slope = |set: &DataSet, frame| {
            let attributes = FrameAttributes::of(set, frame);
            let holder = attributes.holder(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, tags::RESCALE_SLOPE);
            holder.first_text(tags::RESCALE_SLOPE).map(str::to_owned)
        };
        assert_eq!(slope(&set, 0).as_deref(), Some("1"));
        set.put(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, groups("2"));
        assert_eq!(slope(&set, 0).as_deref(), Some("2"));
        set.put(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, groups("3"));
        assert_eq!((slope(&set, 0).as_deref(), slope(&set, 1).as_deref()), (Some("3"), Some("2")));
    }
}
