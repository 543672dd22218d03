//! Of a data set in a row the attributes that are wanted. The others are passed over
//! where they lie: a search looks at one or two of some thirty
//! attributes of each of thousands of instances.

use std::fmt;
use std::marker::PhantomData;

use dicom_core::{Tag, VR};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use crate::dicom::{DataSet, Element, Value};

/// Which attributes are wanted.
pub type Wanted<'w> = dyn Fn(Tag, VR) -> bool + 'w;

/// Reads what is wanted of a data set.
///
/// # Errors
/// The bytes are no data set.
pub(super) fn read(bytes: &[u8], wanted: &Wanted<'_>) -> Result<DataSet, postcard::Error> {
    Chosen(wanted).deserialize(&mut postcard::Deserializer::from_bytes(bytes))
}

struct Chosen<'w>(&'w Wanted<'w>);

impl<'de> DeserializeSeed<'de> for Chosen<'_> {
    type Value = DataSet;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<DataSet, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Chosen<'_> {
    type Value = DataSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of attributes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<DataSet, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element_seed(One(self.0))? {
            elements.extend(element);
        }
        Ok(elements.into_iter().collect())
    }
}

struct One<'w>(&'w Wanted<'w>);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = Option<(Tag, Element)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_tuple(3, self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = Option<(Tag, Element)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag, a VR and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let ends = || A::Error::custom("an attribute ends early");
        let tag: u32 = parts.next_element()?.ok_or_else(ends)?;
        let vr: u16 = parts.next_element()?.ok_or_else(ends)?;
        let tag = Tag((tag >> 16) as u16, (tag & 0xFFFF) as u16);
        let vr = VR::from_binary(vr.to_be_bytes()).ok_or_else(|| A::Error::custom("an unknown VR"))?;
        if !(self.0)(tag, vr) {
            parts.next_element::<Passed<'de>>()?.ok_or_else(ends)?;
            return Ok(None);
        }
        let value: Value = parts.next_element()?.ok_or_else(ends)?;
        Ok(Some((tag, Element { vr, value })))
    }
}

/// A [`Value`] that is passed over: the same variants in the same order.
#[derive(Deserialize)]
#[allow(dead_code, reason = "it is only read to come behind it")]
enum Passed<'a> {
    Empty,
    #[serde(borrow)]
    Text(Each<&'a [u8]>),
    Names(Each<[&'a [u8]; 3]>),
    Signed(Each<i64>),
    Unsigned(Each<u64>),
    Float(Each<f32>),
    Double(Each<f64>),
    Tags(Each<u32>),
    Items(Each<Each<(u32, u16, Passed<'a>)>>),
    Inline(&'a [u8]),
    Bulk((&'a [u8], u64, u64)),
}

/// A list of which nothing is kept.
struct Each<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Each<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<T>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::{Bulk, PersonName};

    fn all_kinds() -> DataSet {
        let mut item = DataSet::new();
        item.put_text(Tag(8, 0x100), VR::SH, "");
        item.put(Tag(8, 0x1199), Element::new(VR::SQ, Value::Items(vec![DataSet::new(), DataSet::new()])));
        let name = PersonName {
            alphabetic: "Yamada^Tarou".into(),
            ideographic: "山田^太郎".into(),
            phonetic: String::new(),
        };
        let bulk = Bulk { path: "7FE00010".into(), offset: 1 << 40, length: 300 };
        let values = [
            (VR::LO, Value::Empty),
            (VR::LO, Value::Text(vec!["a\u{e9}".into(), String::new(), "b".repeat(300)])),
            (VR::PN, Value::Names(vec![name, PersonName::default()])),
            (VR::SS, Value::Signed(vec![-1, i64::MIN, 0])),
            (VR::UV, Value::Unsigned(vec![u64::MAX, 1])),
            (VR::FL, Value::Float(vec![0.1, f32::NAN])),
            (VR::FD, Value::Double(vec![-0.0, 1e300])),
            (VR::AT, Value::Tags(vec![0x7FE0_0010])),
            (VR::SQ, Value::Items(vec![item.clone(), DataSet::new(), item])),
            (VR::OB, Value::Inline(vec![0, 255, 7])),
            (VR::OW, Value::Bulk(bulk)),
        ];
        (1..).zip(values).map(|(at, (vr, value))| (Tag(0x0009, at), Element::new(vr, value))).collect()
    }

    #[test]
    fn every_kind_of_value_is_passed_over() {
        let set = all_kinds();
        let bytes = postcard::to_stdvec(&set).expect("values of memory serialise");
        assert_eq!(set.len(), 11);
        for (wanted, element) in set.iter() {
            let one = read(&bytes, &|tag, _| tag == wanted).expect("what we wrote reads");
            assert_eq!(one.len(), 1);
            // Not a number is not equal to itself.
            assert_eq!(format!("{:?}", one.get(wanted)), format!("{:?}", Some(element)));
        }
        let names = read(&bytes, &|_, vr| vr == VR::PN).expect("what we wrote reads");
        assert_eq!(names.iter().map(|(tag, _)| tag).collect::<Vec<_>>(), [Tag(9, 3)]);
        assert_eq!(read(&bytes, &|_, _| false), Ok(DataSet::new()));
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end], &|_, _| false).is_err(), "cut off at {end}");
        }
    }
}
