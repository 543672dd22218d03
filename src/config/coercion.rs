//! Rules of coercion as the configuration writes them: attributes by keyword or
//! tag, checked when they are read, so that a typing mistake is found before an
//! instance is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Network;
use crate::dicom::{Tag, attributes, coerce};

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Coercion {
    pub peers: Vec<Network>,
    #[serde(rename = "match")]
    pub matching: BTreeMap<Attribute, String>,
    #[serde(deserialize_with = "values")]
    pub set: BTreeMap<Attribute, String>,
    #[serde(deserialize_with = "values")]
    pub default: BTreeMap<Attribute, String>,
    #[serde(deserialize_with = "maps")]
    pub map: BTreeMap<Attribute, BTreeMap<String, String>>,
    pub reason: CoercionReason,
}

/// (0400,0565)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CoercionReason {
    #[default]
    Coerce,
    Correct,
}

/// An attribute by the name the file gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Attribute {
    name: String,
    number: u32,
}

impl Attribute {
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag((self.number >> 16) as u16, (self.number & 0xFFFF) as u16)
    }
}

impl TryFrom<String> for Attribute {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let tag = attributes::by_name(&name)
            .ok_or_else(|| format!("{name:?} is neither a keyword of PS3.6 nor a tag of 8 hex digits"))?;
        let number = u32::from(tag.group()) << 16 | u32::from(tag.element());
        Ok(Self { name, number })
    }
}

impl From<Attribute> for String {
    fn from(attribute: Attribute) -> String {
        attribute.name
    }
}

/// Values that may be set.
fn values<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Attribute, String>, D::Error> {
    let map = BTreeMap::<Attribute, String>::deserialize(deserializer)?;
    map.iter().try_for_each(|(attribute, value)| check(attribute, value))?;
    Ok(map)
}

/// Values that others are mapped to.
fn maps<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Attribute, BTreeMap<String, String>>, D::Error> {
    let maps = BTreeMap::<Attribute, BTreeMap<String, String>>::deserialize(deserializer)?;
    for (attribute, map) in &maps {
        map.values().try_for_each(|value| check(attribute, value))?;
    }
    Ok(maps)
}

fn check<E: serde::de::Error>(attribute: &Attribute, value: &str) -> Result<(), E> {
    coerce::check_attribute(attribute.tag())
        .map_err(|why| E::custom(format!("{}: this attribute {why}", attribute.name)))?;
    coerce::check_value(value).map_err(|why| E::custom(format!("{}: the value {why}", attribute.name)))
}
