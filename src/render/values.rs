//! Values of a data set as the numbers, words and texts that rendering needs.

use crate::dicom::{DataSet, Element, Tag, Value};

/// All values as numbers; a text that is none is left out.
#[must_use]
pub fn numbers(set: &DataSet, tag: Tag) -> Vec<f64> {
    match set.get(tag).map(|element| &element.value) {
        Some(Value::Text(texts)) => texts.iter().filter_map(|text| text.trim().parse().ok()).collect(),
        Some(Value::Unsigned(values)) => values.iter().map(|value| *value as f64).collect(),
        Some(Value::Signed(values)) => values.iter().map(|value| *value as f64).collect(),
        Some(Value::Float(values)) => values.iter().map(|value| f64::from(*value)).collect(),
        Some(Value::Double(values)) => values.clone(),
        Some(
            Value::Empty
            | Value::Names(_)
            | Value::Tags(_)
            | Value::Items(_)
            | Value::Inline(_)
            | Value::Bulk(_),
        )
        | None => Vec::new(),
    }
}

/// The first value as a finite number.
#[must_use]
pub fn number(set: &DataSet, tag: Tag) -> Option<f64> {
    numbers(set, tag).first().copied().filter(|value| value.is_finite())
}

/// The first value as a whole number that fits.
#[must_use]
pub fn whole<T: TryFrom<i64>>(set: &DataSet, tag: Tag) -> Option<T> {
    set.first_int(tag).and_then(|value| T::try_from(value).ok())
}

/// The bytes of a value: those of a byte VR, or the words of US and SS in
/// little endian, since a LUT may be written as either.
#[must_use]
pub fn bytes(set: &DataSet, tag: Tag) -> Option<Vec<u8>> {
    let words = |list: &mut dyn Iterator<Item = i64>| {
        Some(list.flat_map(|word| [word.to_le_bytes()[0], word.to_le_bytes()[1]]).collect())
    };
    match &set.get(tag)?.value {
        Value::Inline(bytes) => Some(bytes.clone()),
        Value::Unsigned(values) => words(&mut values.iter().map(|value| value.cast_signed())),
        Value::Signed(values) => words(&mut values.iter().copied()),
        Value::Empty
        | Value::Text(_)
        | Value::Names(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Tags(_)
        | Value::Items(_)
        | Value::Bulk(_) => None,
    }
}

/// All values as texts; a name by its first group that is not empty.
#[must_use]
pub fn texts(set: &DataSet, tag: Tag) -> Vec<String> {
    set.get(tag).map(element_texts).unwrap_or_default()
}

/// See [`texts`].
#[must_use]
pub fn element_texts(element: &Element) -> Vec<String> {
    match &element.value {
        Value::Text(texts) => texts.clone(),
        Value::Names(names) => names
            .iter()
            .map(|name| {
                let groups = [&name.alphabetic, &name.ideographic, &name.phonetic];
                groups.into_iter().find(|group| !group.is_empty()).cloned().unwrap_or_default()
            })
            .collect(),
        Value::Unsigned(values) => values.iter().map(ToString::to_string).collect(),
        Value::Signed(values) => values.iter().map(ToString::to_string).collect(),
        Value::Float(values) => values.iter().map(ToString::to_string).collect(),
        Value::Double(values) => values.iter().map(ToString::to_string).collect(),
        Value::Empty | Value::Tags(_) | Value::Items(_) | Value::Inline(_) | Value::Bulk(_) => Vec::new(),
    }
}

/// The first value as text, if it is not empty.
#[must_use]
pub fn text(set: &DataSet, tag: Tag) -> Option<String> {
    texts(set, tag).into_iter().next().filter(|text| !text.is_empty())
}
