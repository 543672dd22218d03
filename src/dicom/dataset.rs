//! A data set as values: what the scanner makes of bytes, what the catalog
//! keeps of it, what matching looks at, what JSON and XML are written from.
//!
//! Text is UTF-8 whatever the file's character set was. Padding is stripped.
//! Group length elements and group 0002 never occur. Values too large to keep
//! inline are a [`Bulk`]: a place in the file.
//! Private elements keep their real tag; their creator stands at (gggg,00xx).

use dicom_core::{Tag, VR};
use serde::{Deserialize, Serialize};

/// Attributes in ascending order of their tags.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DataSet {
    /// In ascending order, each tag once. Most data sets arrive in this order,
    /// and many are items of a few elements: a list is smaller than a tree.
    elements: Vec<(Tag, Element)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    pub vr: VR,
    pub value: Value,
}

/// The value of an attribute, by the shape its VR gives it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// Zero length, whatever the VR.
    Empty,
    /// AE AS CS DA DS DT IS LO LT SH ST TM UC UI UR UT, trimmed as PS3.5
    /// section 6.2 allows; an empty string is an empty value among others.
    /// DS and IS stay the text they were (their JSON form is decided on output).
    Text(Vec<String>),
    /// PN, one per value.
    Names(Vec<PersonName>),
    /// SS SL SV.
    Signed(Vec<i64>),
    /// US UL UV.
    Unsigned(Vec<u64>),
    /// FL, kept as single precision so that 0.1 prints as 0.1.
    Float(Vec<f32>),
    /// FD.
    Double(Vec<f64>),
    /// AT, as (group << 16 | element).
    Tags(Vec<u32>),
    /// SQ.
    Items(Vec<DataSet>),
    /// OB OD OF OL OV OW UN small enough to stand inline, little endian.
    Inline(Vec<u8>),
    /// A value left in the file.
    Bulk(Bulk),
}

/// The component groups of a PN value (PS3.5 section 6.2.1), each with its
/// `^` separators as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonName {
    pub alphabetic: String,
    pub ideographic: String,
    pub phonetic: String,
}

/// A value that stays in the file: where it lies and how its URI ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulk {
    /// The end of its BulkDataURI: tags in upper-case hex and 1-based item
    /// numbers, joined by dots: `7FE00010`, `54000100.1.54001010`.
    pub path: String,
    /// Bytes from the start of the file to the first byte of the value (for a
    /// Deflated Transfer Syntax: from the start of the inflated data set).
    pub offset: u64,
    /// Bytes of the value field; for encapsulated Pixel Data: of everything
    /// from the first item to before the sequence delimiter.
    pub length: u64,
}

impl Element {
    #[must_use]
    pub fn new(vr: VR, value: Value) -> Self {
        Self { vr, value }
    }

    #[must_use]
    pub fn text(vr: VR, value: &str) -> Self {
        Self { vr, value: Value::Text(vec![value.to_owned()]) }
    }
}

impl DataSet {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    #[must_use]
    pub fn get(&self, tag: Tag) -> Option<&Element> {
        self.position(tag).ok().map(|at| &self.elements[at].1)
    }

    pub fn get_mut(&mut self, tag: Tag) -> Option<&mut Element> {
        self.position(tag).ok().map(|at| &mut self.elements[at].1)
    }

    /// Sets an attribute; the last one set stays.
    pub fn put(&mut self, tag: Tag, element: Element) {
        match self.position(tag) {
            Ok(at) => self.elements[at].1 = element,
            Err(at) => self.elements.insert(at, (tag, element)),
        }
    }

    pub fn put_text(&mut self, tag: Tag, vr: VR, value: &str) {
        self.put(tag, Element::text(vr, value));
    }

    pub fn remove(&mut self, tag: Tag) -> Option<Element> {
        self.position(tag).ok().map(|at| self.elements.remove(at).1)
    }

    /// Where a tag is, or would be.
    fn position(&self, tag: Tag) -> Result<usize, usize> {
        self.elements.binary_search_by_key(&tag, |(tag, _)| *tag)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Tag, &Element)> {
        self.elements.iter().map(|(tag, element)| (*tag, element))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Tag, &mut Element)> {
        self.elements.iter_mut().map(|(tag, element)| (*tag, element))
    }

    /// The first value as text, if the attribute is there, is of a text VR and
    /// is not empty.
    #[must_use]
    pub fn first_text(&self, tag: Tag) -> Option<&str> {
        match &self.get(tag)?.value {
            Value::Text(values) => values.first().map(String::as_str).filter(|text| !text.is_empty()),
            Value::Empty
            | Value::Names(_)
            | Value::Signed(_)
            | Value::Unsigned(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_)
            | Value::Items(_)
            | Value::Inline(_)
            | Value::Bulk(_) => None,
        }
    }

    /// The first value as a whole number: US UL UV SS SL SV, or an IS/DS text
    /// that is one.
    #[must_use]
    pub fn first_int(&self, tag: Tag) -> Option<i64> {
        match &self.get(tag)?.value {
            Value::Unsigned(values) => values.first().and_then(|value| i64::try_from(*value).ok()),
            Value::Signed(values) => values.first().copied(),
            Value::Text(values) => values.first().and_then(|text| text.trim().parse().ok()),
            Value::Empty
            | Value::Names(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Tags(_)
            | Value::Items(_)
            | Value::Inline(_)
            | Value::Bulk(_) => None,
        }
    }

    /// The items of a sequence; none if the attribute is absent or no sequence.
    #[must_use]
    pub fn items(&self, tag: Tag) -> &[DataSet] {
        match self.get(tag).map(|element| &element.value) {
            Some(Value::Items(items)) => items,
            _ => &[],
        }
    }
}

/// In any order; the last of equal tags stays.
impl FromIterator<(Tag, Element)> for DataSet {
    fn from_iter<I: IntoIterator<Item = (Tag, Element)>>(elements: I) -> Self {
        let mut elements: Vec<_> = elements.into_iter().collect();
        let is_ordered = elements.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !is_ordered {
            // Stable, so that the last of equals can be kept.
            elements.sort_by_key(|(tag, _)| *tag);
            elements.reverse();
            elements.dedup_by_key(|(tag, _)| *tag);
            elements.reverse();
        }
        Self { elements }
    }
}

impl IntoIterator for DataSet {
    type Item = (Tag, Element);
    type IntoIter = std::vec::IntoIter<(Tag, Element)>;

    fn into_iter(self) -> Self::IntoIter {
        self.elements.into_iter()
    }
}

/// The storage form: a list of (tag, VR letters, value).
mod form {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::{DataSet, Element, Tag, VR, Value};

    impl Serialize for DataSet {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self.iter().map(|(tag, element)| {
                let tag = u32::from(tag.group()) << 16 | u32::from(tag.element());
                let vr = u16::from_be_bytes(element.vr.to_bytes());
                (tag, vr, &element.value)
            }))
        }
    }

    impl<'de> Deserialize<'de> for DataSet {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let list: Vec<(u32, u16, Value)> = Vec::deserialize(deserializer)?;
            list.into_iter()
                .map(|(tag, vr, value)| {
                    let vr =
                        VR::from_binary(vr.to_be_bytes()).ok_or_else(|| D::Error::custom("an unknown VR"))?;
                    Ok((Tag((tag >> 16) as u16, (tag & 0xFFFF) as u16), Element { vr, value }))
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_in_order_and_the_last_stays() {
        let element = |text: &str| Element::text(VR::SH, text);
        let list = [(Tag(8, 2), "b"), (Tag(8, 1), "a"), (Tag(8, 2), "c"), (Tag(8, 3), "d")];
        let mut put = DataSet::new();
        for (tag, text) in &list {
            put.put(*tag, element(text));
        }
        let collected: DataSet = list.iter().map(|(tag, text)| (*tag, element(text))).collect();
        assert_eq!(put, collected);
        let tags: Vec<_> = put.iter().map(|(tag, _)| tag).collect();
        assert_eq!(tags, [Tag(8, 1), Tag(8, 2), Tag(8, 3)]);
        assert_eq!(put.first_text(Tag(8, 2)), Some("c"));
        assert_eq!(put.remove(Tag(8, 2)), Some(element("c")));
        assert_eq!(put.get(Tag(8, 2)), None);
        assert_eq!(put.len(), 2);
    }

    #[test]
    fn the_storage_form_round_trips() {
        let mut item = DataSet::new();
        item.put(Tag(0x0040, 0xA30A), Element::new(VR::DS, Value::Text(vec!["1.5".into(), String::new()])));
        let mut set = DataSet::new();
        set.put_text(Tag(0x0008, 0x0060), VR::CS, "CT");
        set.put(Tag(0x0040, 0xA300), Element::new(VR::SQ, Value::Items(vec![item, DataSet::new()])));
        let bytes = postcard::to_stdvec(&set).expect("values of memory serialise");
        assert_eq!(postcard::from_bytes::<DataSet>(&bytes).expect("what we wrote reads"), set);
    }
}
