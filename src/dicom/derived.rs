//! What a data set says of itself once its pixels have lost something: it is
//! another image, derived from the one that is stored (PS3.3 sections
//! C.7.6.1.1.2, C.7.6.1.1.3 and C.7.6.1.1.5). Elements only; nothing is written.
//!
//! What stands there of earlier losses stays, and comes first.

use std::collections::BTreeMap;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

use super::{
    dataset::{DataSet, Element, Value},
    encode::has_non_ascii,
    transcode::Derived,
};

/// The longest Derivation Description (VR ST).
const DESCRIPTION_CHARACTERS_MAX: usize = 1024;

/// How pixels were compressed with loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    /// Lossy Image Compression Method (0028,2114).
    pub method: &'static str,
    /// Bytes before by bytes after.
    pub ratio: f64,
    /// For Derivation Description, in ASCII.
    pub description: &'static str,
}

/// The instance `sop_instance`, which is `set` after a loss.
#[must_use]
pub fn with_loss(set: &DataSet, sop_instance: String, loss: &Loss) -> Derived {
    let texts = |tag| match set.get(tag).map(|element| &element.value) {
        Some(Value::Text(texts)) if texts.iter().all(|text| text.is_ascii()) => texts.clone(),
        _ => Vec::new(),
    };
    let and = |tag, more: &str| {
        let mut values = texts(tag);
        values.retain(|value| !value.is_empty());
        values.push(more.to_owned());
        values
    };
    let mut elements = BTreeMap::new();
    let mut put = |tag, vr, texts: Vec<String>| elements.insert(tag, Element::new(vr, Value::Text(texts)));
    let mut kind = texts(tags::IMAGE_TYPE);
    match kind.first_mut() {
        Some(first) => "DERIVED".clone_into(first),
        None => kind = vec!["DERIVED".to_owned(), "PRIMARY".to_owned()],
    }
    put(tags::IMAGE_TYPE, VR::CS, kind);
    let mut description = and(tags::DERIVATION_DESCRIPTION, loss.description).join("; ");
    if description.len() > DESCRIPTION_CHARACTERS_MAX {
        loss.description.clone_into(&mut description);
    }
    put(tags::DERIVATION_DESCRIPTION, VR::ST, vec![description]);
    put(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, vec!["01".to_owned()]);
    put(
        tags::LOSSY_IMAGE_COMPRESSION_RATIO,
        VR::DS,
        and(tags::LOSSY_IMAGE_COMPRESSION_RATIO, &format!("{:.2}", loss.ratio)),
    );
    put(tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, and(tags::LOSSY_IMAGE_COMPRESSION_METHOD, loss.method));
    let mut source = DataSet::new();
    for (tag, reference) in [
        (tags::SOP_CLASS_UID, tags::REFERENCED_SOP_CLASS_UID),
        (tags::SOP_INSTANCE_UID, tags::REFERENCED_SOP_INSTANCE_UID),
    ] {
        source.put_text(reference, VR::UI, set.first_text(tag).unwrap_or_default());
    }
    let purpose = vec![code("121320", "Uncompressed predecessor")];
    source.put(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, Element::new(VR::SQ, Value::Items(purpose)));
    for (tag, item) in [
        (tags::SOURCE_IMAGE_SEQUENCE, source),
        (tags::DERIVATION_CODE_SEQUENCE, code("113040", "Lossy Compression")),
    ] {
        elements.insert(tag, Element::new(VR::SQ, Value::Items(items_and(set, tag, item))));
    }
    Derived { sop_instance, elements }
}

/// The items that stand there, and one more. Items whose text would need its
/// character set, or whose values are not at hand, are not repeated.
fn items_and(set: &DataSet, tag: Tag, item: DataSet) -> Vec<DataSet> {
    let is_plain = |item: &&DataSet| !has_non_ascii(item) && !has_bulk(item);
    set.items(tag).iter().filter(is_plain).cloned().chain([item]).collect()
}

fn has_bulk(set: &DataSet) -> bool {
    set.iter().any(|(_, element)| match &element.value {
        Value::Bulk(_) => true,
        Value::Items(items) => items.iter().any(has_bulk),
        Value::Empty
        | Value::Text(_)
        | Value::Names(_)
        | Value::Signed(_)
        | Value::Unsigned(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Tags(_)
        | Value::Inline(_) => false,
    })
}

/// A code of DICOM's own.
fn code(value: &str, meaning: &str) -> DataSet {
    let mut code = DataSet::new();
    code.put_text(tags::CODE_VALUE, VR::SH, value);
    code.put_text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM");
    code.put_text(tags::CODE_MEANING, VR::LO, meaning);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neg_08_losses_add_up() {
        let mut set = DataSet::new();
        set.put_text(tags::SOP_CLASS_UID, VR::UI, "1.2.3");
        set.put_text(tags::SOP_INSTANCE_UID, VR::UI, "1.2.3.4");
        let loss = |method| Loss { method, ratio: 7.126, description: "as small as it goes" };
        let once = with_loss(&set, "2.25.1".to_owned(), &loss("ISO_10918_1"));
        assert_eq!(
            once.elements[&tags::IMAGE_TYPE],
            Element::new(VR::CS, Value::Text(vec!["DERIVED".into(), "PRIMARY".into()]))
        );
        for (tag, element) in &once.elements {
            set.put(*tag, element.clone());
        }
        set.put(
            tags::IMAGE_TYPE,
            Element::new(VR::CS, Value::Text(vec!["ORIGINAL".into(), "SECONDARY".into()])),
        );
        let twice = with_loss(&set, "2.25.2".to_owned(), &loss("ISO_14495_1"));
        let texts = |tag| {
            let Value::Text(texts) = &twice.elements[&tag].value else { panic!("{tag} is no text") };
            texts.join("\\")
        };
        assert_eq!(texts(tags::IMAGE_TYPE), "DERIVED\\SECONDARY");
        assert_eq!(texts(tags::LOSSY_IMAGE_COMPRESSION), "01");
        assert_eq!(texts(tags::LOSSY_IMAGE_COMPRESSION_RATIO), "7.13\\7.13");
        assert_eq!(texts(tags::LOSSY_IMAGE_COMPRESSION_METHOD), "ISO_10918_1\\ISO_14495_1");
        assert_eq!(texts(tags::DERIVATION_DESCRIPTION), "as small as it goes; as small as it goes");
        let Value::Items(sources) = &twice.elements[&tags::SOURCE_IMAGE_SEQUENCE].value else {
            panic!("items")
        };
        assert_eq!(sources.len(), 2);
    }
}
