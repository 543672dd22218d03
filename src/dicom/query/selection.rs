//! Which attributes of whole data sets are wanted (`includefield` and
//! `excludeprivate` of Retrieve Metadata): the fields of a search, without a
//! search. What identifies an instance is always kept.

use super::error::{QueryError, Reason};
use super::project::Wants;
use super::values::decode;
use super::{Include, Options, Resource, parse};
use crate::dicom::attributes::{self, is_private, is_private_creator};
use crate::dicom::dataset::{DataSet, Value};
use crate::dicom::{Element, Tag};

const ALWAYS: [Tag; 5] = [
    attributes::SPECIFIC_CHARACTER_SET,
    attributes::SOP_CLASS_UID,
    attributes::SOP_INSTANCE_UID,
    attributes::STUDY_INSTANCE_UID,
    attributes::SERIES_INSTANCE_UID,
];

/// What is wanted of a data set.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// None: every attribute.
    wants: Option<Wants>,
    without_private: bool,
}

impl Selection {
    /// Reads the query string of a request for metadata, still percent-encoded.
    ///
    /// # Errors
    /// The parameter that is wrong.
    pub fn parse(raw_query: &str, options: &Options) -> Result<Self, QueryError> {
        let mut selection = Self::default();
        let mut fields = Vec::new();
        let mut is_limited = false;
        for pair in raw_query.split('&') {
            let (raw_name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(raw_name).map_err(|reason| QueryError::at(raw_name, reason))?;
            match name.as_str() {
                "includefield" => {
                    is_limited = true;
                    fields.push(pair);
                }
                "excludeprivate" => {
                    selection.without_private = match value {
                        "true" => true,
                        "false" => false,
                        _ => return Err(QueryError::at(&name, Reason::Flag)),
                    };
                }
                // Who made the private fields (PS3.18 section 8.3.4.3).
                other if attributes::by_name(other).is_some_and(is_private_creator) => {
                    fields.push(pair);
                }
                _ => {}
            }
        }
        if is_limited {
            let include = parse(Resource::Instances, &fields.join("&"), options)?.include;
            selection.wants = (!include.all).then(|| wants(&include));
        }
        Ok(selection)
    }

    /// Nothing is left out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.wants.is_none() && !self.without_private
    }

    /// What is wanted of this data set.
    #[must_use]
    pub fn apply(&self, set: DataSet) -> DataSet {
        let set = if self.without_private { without_private(set) } else { set };
        match &self.wants {
            Some(wants) => {
                let mut out = DataSet::new();
                wants.take(&set, None, &mut out);
                out
            }
            None => set,
        }
    }
}

fn wants(include: &Include) -> Wants {
    let mut wants = Wants::default();
    for path in ALWAYS.iter().map(std::slice::from_ref).chain(include.fields.iter().map(Vec::as_slice)) {
        wants.include(path, &include.creators);
    }
    wants
}

fn without_private(set: DataSet) -> DataSet {
    set.into_iter()
        .filter(|(tag, _)| !is_private(*tag))
        .map(|(tag, Element { vr, value })| {
            let value = match value {
                Value::Items(items) => Value::Items(items.into_iter().map(without_private).collect()),
                other @ (Value::Empty
                | Value::Text(_)
                | Value::Names(_)
                | Value::Signed(_)
                | Value::Unsigned(_)
                | Value::Float(_)
                | Value::Double(_)
                | Value::Tags(_)
                | Value::Inline(_)
                | Value::Bulk(_)) => other,
            };
            (tag, Element { vr, value })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::VR;

    fn set() -> DataSet {
        let mut item = DataSet::new();
        item.put_text(Tag(0x0008, 0x0100), VR::SH, "C");
        item.put_text(Tag(0x0008, 0x0104), VR::LO, "meaning");
        item.put_text(Tag(0x0009, 0x0010), VR::LO, "ACME");
        item.put_text(Tag(0x0009, 0x1001), VR::LO, "inner");
        let mut set = DataSet::new();
        set.put_text(attributes::SOP_INSTANCE_UID, VR::UI, "1.2.3");
        set.put_text(attributes::PATIENT_ID, VR::LO, "P");
        set.put_text(attributes::MODALITY, VR::CS, "CT");
        set.put(Tag(0x0008, 0x1032), Element::new(VR::SQ, Value::Items(vec![item])));
        set.put_text(Tag(0x0009, 0x0011), VR::LO, "ACME");
        set.put_text(Tag(0x0009, 0x1101), VR::LO, "outer");
        set
    }

    fn tags(query: &str) -> String {
        let selection = Selection::parse(query, &Options::default()).expect(query);
        let mut text = Vec::new();
        crate::dicom::json::write(&selection.apply(set()), &mut text);
        String::from_utf8(text).expect("JSON")
    }

    #[test]
    fn fields_by_keyword_tag_path_and_creator() {
        let uid = "\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.2.3\"]}";
        assert_eq!(
            tags("includefield=PatientID,00080060&x=y"),
            format!(
                "{{{uid},\"00080060\":{{\"vr\":\"CS\",\"Value\":[\"CT\"]}},\"00100020\":{{\"vr\":\"LO\",\"Value\":[\"P\"]}}}}"
            )
        );
        assert_eq!(
            tags("includefield=00081032.CodeValue"),
            format!(
                "{{{uid},\"00081032\":{{\"vr\":\"SQ\",\"Value\":[{{\"00080100\":{{\"vr\":\"SH\",\"Value\":[\"C\"]}}}}]}}}}"
            )
        );
        assert_eq!(
            tags("includefield=00091001&00090010=ACME"),
            format!(
                "{{{uid},\"00090011\":{{\"vr\":\"LO\",\"Value\":[\"ACME\"]}},\"00091101\":{{\"vr\":\"LO\",\"Value\":[\"outer\"]}}}}"
            )
        );
        assert_eq!(tags("includefield=00091001"), format!("{{{uid}}}"), "whose it is must be said");
        assert_eq!(tags("includefield=nonsense"), format!("{{{uid}}}"));
    }

    #[test]
    fn everything_or_everything_but_the_private() {
        for query in ["", "includefield=all", "includefield=all,PatientID", "excludeprivate=false"] {
            let selection = Selection::parse(query, &Options::default()).expect(query);
            assert!(selection.is_everything(), "{query}");
            assert_eq!(selection.apply(set()), set());
        }
        let text = tags("excludeprivate=true");
        assert!(!text.contains("0009") && text.contains("meaning") && text.contains("00100020"), "{text}");
        assert!(Selection::parse("excludeprivate=maybe", &Options::default()).is_err());
    }
}
